// Package node joins the parts of Stile into one council's node: it opens the
// ledger, keeps the agreements, exchanges records with partners and answers
// the operations that commands and other programs ask for.
//
// A data folder holds all of it:
//
//	stile.yaml     configuration (package config)
//	keys/          the council's private keys; who has these can speak for it
//	ledger/        the Badger store; altering it is detected on reading, not prevented
//	head           tells this folder from a copy of it; see docs/quarantine.md
//	directory/     who is a member, by TUF; who can write here can set it back to an older state, and no more
//	authority/     where this node is the directory's host: what it publishes, and what waits for signatures
//	footprints/    a replica of each ledger kept with others; see docs/footprints.md
//	handover/      what a council that ended hands over, on its way; every field of its records is in it
//	rehearsed      the day on which the end of the council was last rehearsed
//	backups.json   what backups were made; the log says so too
//	restored       marks a folder that came from a backup until its log may grow; see docs/backup.md
//	notify.json    what was told to whom; see package notify
//	webhooks.json  where changes are sent, sealed; see package hooks
//	access.json    keys of systems, as hashes; who can write here can let a system in
//	machine        where the council runs on several machines: whose folder this is; see docs/machines.md
//	admin.sock     while the node runs: whoever can open it may do everything the node may
//
// Init makes one, Open opens it, and Run exchanges records until it is told to
// stop. What a node can be asked to do is in [Operations], by noun:
//
//	reply, err := n.Records().Put(ctx, node.PutRequest{Standard: "housing-need", Records: records})
//
// Operations work before, during and after Run, until Close. Dial gives the same
// ones at the admin socket of a node that runs in another process. Requests and
// replies are plain structs, the same in JSON; a failure is an [*Error].
package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/backup"
	"github.com/stile-exchange/stile/internal/book"
	"github.com/stile-exchange/stile/internal/byhand"
	"github.com/stile-exchange/stile/internal/catalogue"
	"github.com/stile-exchange/stile/internal/condition"
	"github.com/stile-exchange/stile/internal/conduct"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/directory/follow"
	"github.com/stile-exchange/stile/internal/disclosure"
	"github.com/stile-exchange/stile/internal/explain"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/gate"
	"github.com/stile-exchange/stile/internal/hooks"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/machines"
	"github.com/stile-exchange/stile/internal/mapper"
	"github.com/stile-exchange/stile/internal/metrics"
	"github.com/stile-exchange/stile/internal/notify"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/internal/publiclog"
	"github.com/stile-exchange/stile/internal/question"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/replicas"
	"github.com/stile-exchange/stile/internal/retention"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/statement"
	"github.com/stile-exchange/stile/internal/succession"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/entrance"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// A Role is what a member of the directory is.
type Role string

// The roles of members.
const (
	RoleCouncil       Role = "council"
	RoleFootprint     Role = "footprint"
	RoleStandardsBody Role = "standards-body"
	RoleAuditor       Role = "auditor"
	RoleRegulator     Role = "regulator"
)

// InitOptions say what data folder to make.
type InitOptions struct {
	Dir            string       // made when missing; must hold no node yet
	Council        name.Council // whose node it is
	Title          string       // what people call the council; default the domain
	GSS            string       // its ONS code, such as E07000998; "" when it has none
	Role           Role         // default council
	Listen         []string     // multiaddrs; default as in config
	Addresses      []string     // what partners dial; default what is listened on, where that is one address
	PassphraseFile string       // encrypts the keys; "" leaves them to the folder's permissions
	RecordKMS      string       // sigstore KMS reference of the record key, "name://key"; "" makes a key in a file
	NoStandards    bool         // do not adopt the standards that come with Stile
	Now            func() time.Time
}

// Init founds a data folder: keys, configuration, an empty ledger with the
// shipped standards adopted, and a directory of one. It refuses a folder that
// holds a node already, and leaves nothing behind when it fails.
func Init(ctx context.Context, o InitOptions) (cfg *config.Config, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, config.FileName)); err == nil {
		return nil, fail(Conflict, "name another folder with --data", "%s holds a node already", dir)
	}
	if es, err := os.ReadDir(dir); err == nil && len(es) > 0 {
		return nil, fail(Conflict, "name an empty or a new folder with --data", "%s is not empty", dir)
	}
	cfg = config.Default(o.Council, dir)
	if o.Listen != nil {
		cfg.Listen = o.Listen
	}
	if o.PassphraseFile != "" {
		if cfg.PassphraseFile, err = filepath.Abs(o.PassphraseFile); err != nil {
			return nil, err
		}
	}
	pass, err := cfg.Passphrase()
	if err != nil {
		return nil, fail(Failed, "write the passphrase into a file of mode 0600", "%v", err)
	}
	_, statErr := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			for _, made := range []string{"keys", "ledger", "directory", datadir.AuthorityName, config.FileName} {
				os.RemoveAll(filepath.Join(dir, made))
			}
			if os.IsNotExist(statErr) {
				os.Remove(dir)
			}
		}
	}()
	if o.RecordKMS != "" {
		if err := keys.NameRecordKey(filepath.Join(dir, "keys"), o.RecordKMS); err != nil {
			return nil, fail(Usage, "see \"A record key in a security module\" in docs/operating.md", "%v", err)
		}
	}
	ring, err := keys.Create(filepath.Join(dir, "keys"), o.Council, pass)
	if err != nil {
		return nil, err
	}
	m := directory.FromRing(o.Council, ring)
	m.Title, m.GSS, m.Role, m.Addresses = o.Title, o.GSS, directory.Role(o.Role), o.Addresses
	m.ValidFrom = o.Now().UTC().Truncate(24 * time.Hour)
	if m.Title == "" {
		m.Title = string(o.Council)
	}
	if m.Role == "" {
		m.Role = directory.RoleCouncil
	}
	if err := m.Check(); err != nil {
		return nil, fail(Usage, "", "%v", err)
	}
	if err := datadir.FoundSole(ctx, cfg, pass, o.Now, m); err != nil {
		return nil, err
	}
	if err := writeConfig(cfg, filepath.Join(dir, config.FileName)); err != nil {
		return nil, err
	}
	n, err := Open(cfg, Options{Now: o.Now, founded: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if !o.NoStandards {
		if err := n.catalogue.AdoptFirst(ctx); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

// writeConfig writes a configuration that says what is not a default.
func writeConfig(cfg *config.Config, path string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by stile init. The manual of every key is in the example file of\n# package config; what is not here has its default.\n\n")
	fmt.Fprintf(&b, "version: %d\ncouncil: %s\n", cfg.Version, cfg.Council)
	if cfg.PassphraseFile != "" {
		fmt.Fprintf(&b, "passphrase_file: %q\n", cfg.PassphraseFile)
	}
	if def := config.Default(cfg.Council, cfg.Data); !slices.Equal(def.Listen, cfg.Listen) {
		fmt.Fprintf(&b, "listen:%s\n", map[bool]string{true: " []"}[len(cfg.Listen) == 0])
		for _, a := range cfg.Listen {
			fmt.Fprintf(&b, "  - %s\n", a)
		}
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}

// Options say how to open a node.
type Options struct {
	Log     *slog.Logger     // default discards
	Now     func() time.Time // default time.Now
	Version string           // of the program, for status

	// Fatal is called when storage fails; the process should end. Default logs.
	Fatal func(error)

	// Conditions returns those of what runs beside the node, such as feeds; nil for
	// none. See NewCondition.
	Conditions func() []Condition

	// Reading opens the folder for reading alone: for a disk that is read-only or full. Nothing in it is written; an
	// operation that would write fails, and so does Run.
	Reading bool

	// founded: the folder's keys were made just now.
	founded bool
	// stand makes it the copy on which a succession is tried: see Rehearse.
	stand stand

	// shared is where the ledger is when this is a council's node on a machine
	// that leads; see package machines.
	shared *ledger.Shared
}

// A Node is one council's open node. All methods may be called concurrently.
type Node struct {
	Operations

	cfg        *config.Config
	o          Options
	log        *slog.Logger
	now        func() time.Time
	keys       *keys.Ring
	follower   *follow.Follower     // keeps the directory up to date
	directory  *directory.Directory // the follower's: who is a member
	files      *machines.Files      // nil where the ledger is the folder's own
	judge      *judge.Judge         // of what other councils send
	ledger     *ledger.Ledger
	book       *book.Book
	asker      *question.Asker
	answerer   *question.Answerer
	mapper     *mapper.Mapper
	catalogue  *catalogue.Catalogue
	gate       *gate.Gate
	uses       *statement.Uses
	statements *statement.Keeper
	explain    *explain.Explainer
	register   *disclosure.Register
	conduct    *conduct.Keeper
	refusals   *disclosure.Refusals
	replicas   *replicas.Set
	// confirmations are the receipts of footprints, in our own ledger.
	confirmations *peersync.Confirmations
	metrics       *metrics.Monitor
	publisher     *publiclog.Publisher
	conditions    *condition.Keeper
	seenClock     seenClock
	quota         *quota.Keeper
	backups       *backup.Keeper
	// restored marks a folder that came from a backup, until its log may grow; nil in
	// any other.
	restored  *backup.Restored
	snapshots snapshots     // of lists that are being read
	access    *access.Store // keys of systems
	people    speakers      // who says something for the council, and whether two must
	terms     *retention.Keeper
	byhand    *byhand.Keeper
	ends      *succession.Keeper
	notifier  *notify.Notifier
	hooks     *hooks.Keeper

	rules stoppedRules

	clocks *clocks
	bodies atomic.Int64 // bytes of requests on the admin socket: see maxBodies

	ready chan struct{}
	once  sync.Once

	mu    sync.Mutex // guards what follows
	host  *wire.Host
	net   wire.Network
	sync  *peersync.Syncer
	since time.Time
}

// Open opens the data folder that cfg names. It opens no network; see Run.
func Open(cfg *config.Config, o Options) (*Node, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if !o.Reading {
		if err := datadir.Mend(cfg); err != nil {
			return nil, err
		}
	}
	for _, a := range cfg.Accepted {
		if k, ok := condition.Of(a); !ok || k.Severity == Critical {
			return nil, fail(Usage, "docs/operating.md lists them", "accepted in %s: %q is no condition that can be accepted", config.FileName, a)
		}
	}
	if err := checkRules(cfg); err != nil {
		return nil, err
	}
	if err := cfg.CheckFolders(); err != nil {
		return nil, fail(NotFound, "stile init --data DIR --council DOMAIN makes a data folder", "%v", err)
	}
	if m, err := machines.ReadOwner(cfg.Data); err != nil {
		return nil, err
	} else if m != nil && o.shared == nil {
		return nil, m.Elsewhere(cfg.Council)
	}
	pass, err := cfg.Passphrase()
	if err != nil {
		return nil, err
	}
	ring, err := datadir.OpenKeys(cfg, pass)
	if err != nil {
		return nil, err
	}
	enc, err := cfg.EncryptionKey()
	if err != nil {
		return nil, err
	}
	var n *Node // made below; until then nobody talks to us
	shares, err := quota.Open(quota.Options{
		Partner: func(c name.Council) bool { return n == nil || n.partner(c) }, Now: o.Now, File: filepath.Join(cfg.Data, quotasName),
	})
	if err != nil {
		return nil, err
	}
	o.Log = slog.New(shares.Log(o.Log.Handler()))
	clocks := &clocks{}
	l, err := ledger.Open(ledger.Options{
		Dir: filepath.Join(cfg.Data, "ledger"), Council: cfg.Council, Keys: ring, EncryptionKey: enc,
		Now: o.Now, Log: o.Log, MinFree: cfg.Limits.MinFree(), Memory: cfg.Limits.Memory(), Fatal: o.Fatal, Shared: o.shared,
		Copies: o.stand == nil, Clock: clocks.refusal, Reading: o.Reading, Founded: o.founded,
		Erasures: filepath.Join(cfg.Data, ledger.ErasuresName), ErasuresToo: besideBackups(cfg),
	})
	if err != nil {
		return nil, wayBack(cfg, err)
	}
	n = &Node{
		cfg: cfg, o: o, log: o.Log, now: o.Now, keys: ring, ledger: l, quota: shares, clocks: clocks,
		ready: make(chan struct{}), uses: statement.NewUses(l, o.Log), conditions: condition.OpenKeeper(cfg.Data, o.Log),
		backups: backup.OpenKeeper(cfg.Data),
	}
	n.Operations = Operations{node: n}
	if n.restored, err = backup.ReadRestored(cfg.Data); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if n.access, err = access.OpenStore(filepath.Join(cfg.Data, "access.json"), rand.Reader, o.Now); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	n.people = openSpeakers(cfg, o.Now)
	n.gate = gate.New(gate.Options{
		Ledger: l, Keys: ring, Standard: func(typed string) (*standard.Standard, error) { return n.catalogue.Named(typed) }, Now: o.Now,
		Workers: cfg.Limits.Workers(), RecordBytes: cfg.Limits.RecordBytes,
	})
	n.mapper = mapper.New(mapper.Options{
		Ledger: l, Gate: n.gate.Judge, Now: o.Now, Log: o.Log, Workers: cfg.Limits.Workers(), RecordBytes: cfg.Limits.RecordBytes,
	})
	// The ledger is open, so no other process has the folder: only one may use
	// a directory's at a time.
	if err := n.begin(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) begin() (err error) {
	n.follower, err = follow.Open(context.Background(), follow.Options{
		Config: n.cfg, Keys: n.keys, Ledger: n.ledger, Log: n.log, Now: n.now, Shuffle: mathrand.Shuffle, Adopted: n.adopted,
		Changed: n.changed, Stored: func() error { return n.files.Copy() }, Quota: n.quota,
	})
	if err != nil {
		return err
	}
	n.directory = n.follower.Members()
	if n.files, err = machines.OpenFiles(n.cfg, n.o.shared, n.log); err != nil {
		return err
	}
	n.replicas = replicas.New(replicas.Options{
		Config: n.cfg, Keys: n.keys, Ledger: n.ledger, Directory: n.directory, Log: n.log, Now: n.now, Fatal: n.fatal, Changed: n.refreshed,
		Machine:  &machines.Machine{Config: n.cfg, Log: n.log, Now: n.now, Open: n.openCouncil},
		Record:   n.recordID,
		Standard: func(typed string) (*standard.Standard, error) { return n.catalogue.Named(typed) },
		SignedBy: func(ref agreement.Ref, members []name.Council) []name.Council { return n.book.SignedBy(ref, members) },
		Under:    func(fp name.Council, line name.StandardLine) (name.Agreement, bool) { return n.book.Under(fp, line) },
		Flows:    func(fp name.Council) []api.PartnerReply { return n.explain.Flows(fp) },
		Relay: func(ctx context.Context, f *footprint.Footprint) error {
			if s := n.exchange(); s != nil {
				return s.Relay(ctx, f)
			}
			return nil // a footprint is left by a node that runs
		},
	})
	n.judge = judge.New(judge.Options{
		Let:       n.ledger.Let,
		Directory: n.directory, Ledger: n.ledger, Prove: n.prove, Stopped: n.stopped, Standards: n.ledger.Standard, Now: n.now,
		Last: n.ledger.Last, Members: n.replicas.Members, Ask: n.follower.Ask,
	})
	n.book, err = book.Open(book.Options{
		Self: n.cfg.Council, Ledger: n.ledger, Footprints: n.replicas, Log: n.log, Now: n.now, Changed: n.changed, Role: n.role, Ended: n.ended, Follows: n.follows,
	})
	if err != nil {
		return err
	}
	if err := n.countKept(); err != nil {
		return err
	}
	n.catalogue = catalogue.New(catalogue.Options{
		Self: n.cfg.Council, Ledger: n.ledger, Directory: n.follower, Agreements: n.book, Mapper: n.mapper, Log: n.log, Now: n.now,
		Workers: n.cfg.Limits.Workers(), Changed: n.changed,
	})
	n.statements = statement.New(statement.Options{
		Self: n.cfg.Council, Ledger: n.ledger, Directory: n.directory, Agreements: n.book, Uses: n.uses, Standard: n.catalogue.Named,
		RecordID: n.keys.RecordID, Feeds: n.feedsOf, Stands: n.gate.Stands, Put: n.gate.Put, Log: n.log, Now: n.now, Workers: n.cfg.Limits.Workers(), Every: time.Duration(n.cfg.MeasureEvery) * time.Hour,
	})
	n.refusals = disclosure.NewRefusals(func(ctx context.Context, kind string, body map[string]any) error {
		_, _, err := n.ledger.AppendNotice(ctx, kind, body)
		return err
	}, n.log, n.now)
	n.asker, n.answerer = question.NewAsker(n.questions()), question.NewAnswerer(n.questions())
	if n.confirmations, err = peersync.OpenConfirmations(n.ledger); err != nil {
		return err
	}
	n.explain = explain.New(explain.Options{
		Self: n.cfg.Council, Ledger: n.ledger, Keys: n.keys, Directory: n.directory, View: n.follower.View, Agreements: n.book, Footprints: n.replicas,
		Confirmations: n.confirmations, AsksFor: n.asker.AsksFor, Running: n.running, Record: n.recordID, Held: n.heldID, Log: n.log, Now: n.now,
		LetOut: func(ctx context.Context, in api.DisclosureRequest) (*api.DisclosureReply, error) {
			return n.register.List(ctx, in)
		},
		PassedOn: func(origin name.Agreement, r name.Record) ([]api.Disclosure, error) {
			return n.register.PassedOn(origin, r)
		},
	})
	n.register = n.openRegister()
	n.conduct = conduct.New(conduct.Options{
		Self: n.cfg.Council, Ledger: n.ledger, Member: n.directory.Member, Texts: n.book.Standing, Refused: n.register.ListRefused, Adoption: n.statements.Adoption, Now: n.now,
	})
	n.metrics = metrics.New(metrics.Options{
		Listen: n.cfg.MetricsListen, Version: n.o.Version, Data: n.cfg.Data, MinFree: n.cfg.Limits.MinFree(), Ledger: n.ledger, Directory: n.directory,
		View: n.follower.View, Agreements: n.book, Replicas: n.replicas, Conditions: n.conditions.Last, Blocked: n.blocked, Ready: n.ready, Log: n.log, Now: n.now,
		Passed:   n.quota.Refused,
		Partners: func() ([]api.PartnerReply, error) { return n.explain.Partners(false) },
	})
	n.terms = retention.New(retention.Options{
		Ledger: n.ledger, Agreements: n.book, Senders: n.senders, Footprint: n.replicas.Is, Clocks: n.partnerClocks,
		Replicas: n.replicas.Open, File: filepath.Join(n.cfg.Data, retention.FileName), Log: n.log, Now: n.now,
	})
	n.byhand = n.openByHand()
	n.ends = n.openSuccession()
	if err := n.openNotifier(); err != nil {
		return err
	}
	if err := n.openHooks(); err != nil {
		return err
	}
	if err := n.openPublisher(); err != nil {
		return err
	}
	// Who may know our log is asked when the node runs. Where nobody does, no copy of it
	// can contradict anybody.
	if known, err := n.ledger.Acquainted(); err != nil {
		return err
	} else if len(known)+len(n.book.Related())+len(n.witnessURLs()) == 0 && n.restored == nil && (n.ledger.Size() > 0 || len(n.directory.Members()) <= 1) {
		n.ledger.AskFirst(nil)
	}
	if !n.o.Reading {
		if err := n.ledger.HideUnread(context.Background()); err != nil {
			return err
		}
	}
	if n.ledger.Halted() == nil && !n.o.Reading {
		n.unmark()
	}
	return nil
}

// Close closes the node. Run must have returned.
func (n *Node) Close() error {
	n.uses.Close()
	var err error
	if !n.o.Reading {
		err = n.quota.Save()
	}
	err = errors.Join(err, n.ledger.Close())
	if n.follower != nil {
		err = errors.Join(err, n.follower.Close())
	}
	return err
}

// Config returns the configuration that the node was opened with; it must not be
// changed.
func (n *Node) Config() *config.Config { return n.cfg }

// Ready returns a channel that is closed once Run can be reached by partners
// and by commands.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Addresses returns the multiaddrs that the node listens at while it runs.
func (n *Node) Addresses() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.host == nil {
		return nil
	}
	return n.host.Addresses()
}

// Run opens the network and the admin socket and exchanges records until ctx
// ends, which is no error.
func (n *Node) Run(ctx context.Context) error {
	if n.o.Reading {
		return asError(ledger.ErrReading)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	net := wire.From(ctx, n.cfg.Council) // tests give one
	own := net == nil
	if own {
		h, err := wire.Open(wire.Options{
			Key: n.keys.Node, Self: n.cfg.Council, Directory: n.follower.Wire(), Listen: n.cfg.Listen, Logger: n.log,
		})
		if err != nil {
			return fail(Failed, "see the addresses under listen in "+config.FileName, "%v", err)
		}
		defer h.Close()
		net = h
		n.mu.Lock()
		n.host = h
		n.mu.Unlock()
	}
	net = entrance.Guard(net, n.quota, footprint.RaftProtocol, wirepb.Protocol)
	n.follower.Attach(ctx, net)
	defer n.follower.Detach()
	instance, previous := n.drawInstance()
	s := peersync.New(peersync.Options{
		Instance: instance, Previous: previous,
		Self: n.cfg.Council, Ledger: n.ledger, Keys: n.keys, Directory: n.directory,
		Judge: n.judge, Network: net, Agreements: n.book, Log: n.log, Now: n.now,
		Footprints: n.replicas, Book: n.book, Confirmations: n.confirmations, Signed: n.cfg.SignedTokens, Refused: n.refused,
		Agreed: n.o.shared != nil, Quota: n.quota, Everybody: n.forgot(), Strangers: n.witnessURLs(), AskStranger: n.askWitness,
	})
	net.Handle(wirepb.HandOverProtocol, func(sctx context.Context, from name.Council, st wire.Stream) {
		sctx, stop := context.WithCancel(sctx)
		defer stop()
		defer context.AfterFunc(ctx, stop)()
		n.ends.Serve(sctx, from, st)
	})
	net.Handle(wirepb.LookupProtocol, func(sctx context.Context, from name.Council, st wire.Stream) {
		sctx, stop := context.WithCancel(sctx)
		defer stop()
		defer context.AfterFunc(ctx, stop)()
		select {
		case <-s.Settled():
			n.answerer.Serve(sctx, from, st)
		case <-sctx.Done():
		}
	})
	n.mu.Lock()
	n.net, n.sync, n.since = net, s, n.now().UTC()
	n.mu.Unlock()
	n.clocks.of.Store(s)
	defer func() {
		n.mu.Lock()
		n.net, n.sync, n.host = nil, nil, nil
		n.mu.Unlock()
		n.clocks.of.Store(nil)
	}()

	defer n.replicas.End()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	stop := func(what string, err error) {
		if err != nil && ctx.Err() == nil {
			cancel(fmt.Errorf("%s: %w", what, err))
		}
	}
	wg.Go(func() { stop("exchange", s.Run(ctx)) })
	wg.Go(func() { n.follower.Run(ctx) })
	wg.Go(func() { n.files.Run(ctx) })
	// Nothing is signed before those who may know our log were asked what they hold of
	// it. If it may be an old copy, that lasts until it is settled.
	select {
	case <-s.Settled():
	case <-ctx.Done():
	}
	begin := func() error {
		if err := n.eraseAgain(ctx); err != nil {
			return err
		}
		if err := n.book.Resume(ctx); err != nil {
			return err
		}
		err := n.replicas.Begin(ctx, net)
		n.changed()
		return err
	}
	if n.ledger.Halted() == nil && ctx.Err() == nil {
		n.unmark()
		if err := begin(); err != nil {
			return err
		}
	} else {
		wg.Go(func() {
			select {
			case <-n.ledger.Released():
				n.unmark()
				stop("begin after the log was held back", begin())
			case <-ctx.Done():
			}
		})
	}
	// signs runs what signs by itself, from when that may be.
	signs := func(run func(context.Context)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				select {
				case <-n.ledger.Released():
					run(ctx)
				case <-ctx.Done():
				}
			}
		})
	}
	wg.Go(func() {
		wire.Keep(ctx, net, s.Partners, func(c name.Council, err error) {
			if err != nil {
				n.log.Info("partner not reached", "partner", c, "because", err.Error())
			}
		})
	})
	signs(n.book.Run)
	signs(n.terms.Run)
	signs(n.byhand.Run)
	signs(n.refusals.Run)
	signs(n.statements.Run)
	signs(n.mapper.Run)
	signs(n.runRules)
	wg.Go(func() { n.purge(ctx) })
	wg.Go(func() { n.saveQuotas(ctx) })
	wg.Go(func() { n.keepLooking(ctx) })
	wg.Go(func() { n.notifier.Run(ctx) })
	wg.Go(func() { n.hooks.Run(ctx) })
	wg.Go(func() { n.keepBackups(ctx) })
	if n.public() {
		signs(func(ctx context.Context) { stop("publish the log", n.publisher.Run(ctx)) })
	}
	if n.cfg.HTTPListen != "" {
		wg.Go(func() { stop("HTTP", n.serveHTTP(ctx)) })
	}
	if n.cfg.MetricsListen != "" {
		wg.Go(func() { stop("monitoring", n.metrics.Serve(ctx)) })
		wg.Go(func() { n.metrics.Run(ctx) })
	}
	if n.cfg.AdminSocket != "" && own {
		wg.Go(func() { stop("admin socket", n.serveAdmin(ctx)) })
		if err := n.awaitAdmin(ctx); err != nil {
			cancel(err)
		}
	}
	n.once.Do(func() { close(n.ready) })
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// exchange returns what exchanges with partners, nil while the node does not run.
func (n *Node) exchange() *peersync.Syncer {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sync
}

// running returns what exchanges with partners, nil while the node does not run, and
// with whom there is a connection.
func (n *Node) running() (s *peersync.Syncer, connected []name.Council) {
	n.mu.Lock()
	s, net := n.sync, n.net
	n.mu.Unlock()
	if net != nil {
		connected = net.Connected()
	}
	return s, connected
}

// awaitAdmin returns once the admin socket answers.
func (n *Node) awaitAdmin(ctx context.Context) error {
	for {
		c, err := Dial(ctx, n.cfg.AdminSocket)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// changed makes the exchange look again at agreements and members.
func (n *Node) changed() {
	if n.book != nil {
		n.book.Recount()
	}
	n.mu.Lock()
	s, h := n.sync, n.host
	n.mu.Unlock()
	if h != nil {
		h.Refresh()
	}
	if s != nil {
		s.Refresh()
	}
}

// refreshed makes the exchange look again at which replicas are open.
func (n *Node) refreshed() {
	if s := n.exchange(); s != nil {
		s.Refresh()
	}
}

// fatal reports that storage has failed.
func (n *Node) fatal(err error) {
	if n.o.Fatal != nil {
		n.o.Fatal(err)
	} else {
		n.log.Error("storage failed", "error", err.Error())
	}
}

// rooms are what carries operations out.
func (n *Node) rooms() []any {
	return []any{n, n.follower, n.replicas, n.catalogue, n.gate, n.statements, n.explain, n.register, n.hooks, n.byhand, n.ends, n.conduct}
}

// feedsOf names the feeds whose records come from a digital tool of ours.
func (n *Node) feedsOf(tool string) (names []string) {
	for _, f := range n.cfg.Feeds {
		if f.Tool != "" && f.Tool == tool {
			names = append(names, f.Name)
		}
	}
	return names
}

// adopted reports whether this node has taken a standard into use.
func (n *Node) adopted(want name.Standard) bool {
	return slices.ContainsFunc(n.ledger.Standards(), func(s *standard.Standard) bool { return s.Name() == want })
}

// openCouncil opens the node of a council that this one is a machine of.
func (n *Node) openCouncil(cfg *config.Config, store *ledger.Shared, fatal func(error)) (machines.Node, error) {
	c, err := Open(cfg, Options{Log: n.log.With("council", cfg.Council), Now: n.o.Now, Version: n.o.Version, Fatal: fatal, shared: store})
	if err != nil {
		return nil, err
	}
	return councilNode{c}, nil
}

type councilNode struct{ *Node }

// Since implements machines.Node.
func (c councilNode) Since() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since
}

func (n *Node) retry(ctx context.Context, _ Empty) (*Empty, error) {
	if err := n.follower.Refresh(ctx); err != nil {
		return nil, fail(Failed, "see whether the members it names can be reached; the directory as it was before goes on being used", "%v", err)
	}
	s := n.exchange()
	if s == nil {
		return nil, fail(Behind, "stile serve", "the node is not running")
	}
	s.Retry()
	return &Empty{}, nil
}
