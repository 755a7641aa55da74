// Package node joins the parts of Stile into one council's node: it opens the
// ledger, keeps the agreements, exchanges records with partners and answers
// the operations that commands and other programs ask for.
//
// A data folder holds all of it:
//
//	stile.yaml     configuration (package config)
//	keys/          the council's private keys; who has these can speak for it
//	ledger/        the Badger store; altering it is detected on reading, not prevented
//	directory/     who is a member, by TUF; who can write here can set it back to an older state, and no more
//	authority/     where this node is the directory's host: what it publishes, and what waits for signatures
//	footprints/    a replica of each ledger kept with others; see docs/footprints.md
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
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/book"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/mapper"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/internal/question"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
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
	n, err := Open(cfg, Options{Now: o.Now})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if !o.NoStandards {
		for _, f := range schemas.All() {
			std, err := standard.Load(f)
			if err != nil {
				return nil, fmt.Errorf("load shipped standard: %w", err)
			}
			if err := n.ledger.Adopt(ctx, std); err != nil {
				return nil, err
			}
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
		fmt.Fprintf(&b, "listen:\n")
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

	// shared is where the ledger is when this is a council's node on a machine
	// that leads; see machines.go.
	shared *ledger.Shared
}

// A Node is one council's open node. All methods may be called concurrently.
type Node struct {
	Operations

	cfg       *config.Config
	o         Options
	log       *slog.Logger
	now       func() time.Time
	keys      *keys.Ring
	directory *directory.Directory
	judge     *judge.Judge                  // of what other councils send          // what tuf says, in view
	tuf       atomic.Pointer[tufdir.Client] // replaced when the node joins another directory
	guest     atomic.Pointer[wire.Member]   // whom we fetch a directory from that we are not yet in
	asking    chan struct{}                 // buffered: the directory is to be looked after
	ledger    *ledger.Ledger
	book      *book.Book
	asker     *question.Asker
	answerer  *question.Answerer
	mapper    *mapper.Mapper
	loaded    standardCache
	looked    usedQueue
	replicas  replicas
	// confirmations are the receipts of footprints, in our own ledger.
	confirmations *peersync.Confirmations
	counted       atomic.Pointer[counted] // nil where nobody watches

	ready chan struct{}
	once  sync.Once

	keeping sync.Mutex // held while files are kept
	kept    savedFiles // guarded by it; see machines_files.go

	hosting    sync.Mutex // held while what we publish is changed
	refreshing sync.Mutex // held while mirrors are asked

	mu      sync.Mutex // guards what follows
	host    *wire.Host
	net     wire.Network
	http    string // address that HTTP is served at; "" where it is not
	watched string // address that monitoring is served at; "" where it is not
	sync    *peersync.Syncer
	since   time.Time
}

// Open opens the data folder that cfg names. It opens no network; see Run.
func Open(cfg *config.Config, o Options) (*Node, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := datadir.Mend(cfg); err != nil {
		return nil, err
	}
	if err := cfg.CheckFolders(); err != nil {
		return nil, fail(NotFound, "stile init --data DIR --council DOMAIN makes a data folder", "%v", err)
	}
	if m, err := readMachine(cfg.Data); err != nil {
		return nil, err
	} else if m != nil && o.shared == nil {
		return nil, m.elsewhere(cfg.Council)
	}
	pass, err := cfg.Passphrase()
	if err != nil {
		return nil, err
	}
	ring, err := keys.Open(filepath.Join(cfg.Data, "keys"), cfg.Council, pass)
	if err != nil {
		return nil, err
	}
	enc, err := cfg.EncryptionKey()
	if err != nil {
		return nil, err
	}
	l, err := ledger.Open(ledger.Options{
		Dir: filepath.Join(cfg.Data, "ledger"), Council: cfg.Council, Keys: ring, EncryptionKey: enc,
		Now: o.Now, Log: o.Log, MinFree: cfg.Limits.MinFree(), Fatal: o.Fatal, Shared: o.shared,
	})
	if err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, o: o, log: o.Log, now: o.Now, keys: ring, ledger: l,
		ready: make(chan struct{}), asking: make(chan struct{}, 1),
	}
	n.Operations = Operations{node: n}
	n.replicas.n, n.replicas.serve = n, n.keepCouncil
	n.mapper = mapper.New(mapper.Options{
		Ledger: l, Gate: n.gate, Now: o.Now, Log: o.Log, Workers: cfg.Limits.Workers(), RecordBytes: cfg.Limits.RecordBytes,
	})
	// The ledger is open, so no other process has the folder: only one may use
	// a directory's at a time.
	if err := n.begin(pass); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) begin(pass []byte) error {
	c, err := datadir.Open(context.Background(), n.cfg, pass, n.now)
	if err != nil {
		return fail(Failed, "mend or remove the file it names, or restore the folder directory/ from a backup", "%v", err)
	}
	n.tuf.Store(c)
	if n.directory, err = directory.New(); err != nil {
		return err
	}
	n.judge = judge.New(judge.Options{Directory: n.directory, Ledger: n.ledger, Prove: n.prove, Stopped: n.stopped, Standards: n.ledger.Standard, Now: n.now, Last: n.ledger.Last, Members: n.keepers, Ask: n.ask})
	if err := n.showEdition(); err != nil {
		return err
	}
	n.book, err = book.Open(book.Options{
		Self: n.cfg.Council, Ledger: n.ledger, Footprints: &n.replicas, Log: n.log, Now: n.now, Changed: n.changed,
	})
	if err != nil {
		return err
	}
	n.asker, n.answerer = question.NewAsker(n.questions()), question.NewAnswerer(n.questions())
	n.confirmations, err = peersync.OpenConfirmations(n.ledger)
	return err
}

// Close closes the node. Run must have returned.
func (n *Node) Close() error {
	n.looked.close(n)
	err := n.ledger.Close()
	if c := n.client(); c != nil {
		err = errors.Join(err, c.Close())
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
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := n.book.Resume(ctx); err != nil {
		return err
	}
	net := wire.From(ctx) // tests give one
	own := net == nil
	if own {
		h, err := wire.Open(wire.Options{
			Key: n.keys.Node, Self: n.cfg.Council, Directory: members{n}, Listen: n.cfg.Listen, Logger: n.log,
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
	net.Handle(directoryProtocol, func(sctx context.Context, from name.Council, st wire.Stream) {
		sctx, stop := context.WithCancel(sctx)
		defer stop()
		defer context.AfterFunc(ctx, stop)()
		n.serveDirectory(sctx, from, st)
	})
	net.OnConnect(func(name.Council) { n.ask() })
	net.Handle(wirepb.LookupProtocol, func(sctx context.Context, from name.Council, st wire.Stream) {
		sctx, stop := context.WithCancel(sctx)
		defer stop()
		defer context.AfterFunc(ctx, stop)()
		n.answerer.Serve(sctx, from, st)
	})
	if err := n.replicas.begin(ctx, net); err != nil {
		return err
	}
	defer n.replicas.end()
	s := peersync.New(peersync.Options{
		Self: n.cfg.Council, Ledger: n.ledger, Keys: n.keys, Directory: n.directory,
		Judge: n.judge, Network: net, Agreements: related{n.book, &n.replicas}, Log: n.log, Now: n.now,
		Footprints: &n.replicas, Book: n.book, Confirmations: n.confirmations,
	})
	n.mu.Lock()
	n.net, n.sync, n.since = net, s, n.now().UTC()
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		n.net, n.sync, n.host = nil, nil, nil
		n.mu.Unlock()
	}()

	var wg sync.WaitGroup
	defer wg.Wait()
	stop := func(what string, err error) {
		if err != nil && ctx.Err() == nil {
			cancel(fmt.Errorf("%s: %w", what, err))
		}
	}
	wg.Go(func() { stop("exchange", s.Run(ctx)) })
	wg.Go(func() {
		wire.Keep(ctx, net, s.Partners, func(c name.Council, err error) {
			if err != nil {
				n.log.Info("partner not reached", "partner", c, "because", err.Error())
			}
		})
	})
	wg.Go(func() { n.book.Run(ctx) })
	wg.Go(func() { n.keepMeasuring(ctx) })
	wg.Go(func() { n.mapper.Run(ctx) })
	wg.Go(func() { n.keepDirectory(ctx) })
	if n.o.shared != nil {
		wg.Go(func() { n.keepKeepingFiles(ctx) })
	}
	if n.cfg.HTTPListen != "" {
		wg.Go(func() { stop("HTTP", n.serveHTTP(ctx)) })
	}
	if n.cfg.MetricsListen != "" {
		wg.Go(func() { stop("monitoring", n.serveMetrics(ctx)) })
		wg.Go(func() { n.keepCounting(ctx) })
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

// members shows the directory to wire: who is a member at this moment, and
// whoever we are fetching a directory from.
type members struct{ n *Node }

func (m members) Member(c name.Council) (wire.Member, bool) {
	if c == guestName {
		g := m.n.guest.Load()
		if g == nil {
			return wire.Member{}, false
		}
		return *g, true
	}
	e, ok := m.n.directory.Member(c)
	return wire.Member{Node: e.Node, Addresses: e.Addresses}, ok && e.Node != "" && e.ActiveAt(m.n.now())
}

func (m members) ByNode(id string) (name.Council, bool) {
	if e, ok := m.n.directory.ByNode(id); ok {
		return e.Council, e.ActiveAt(m.n.now())
	}
	g := m.n.guest.Load()
	return guestName, g != nil && g.Node == id
}

func (n *Node) listMembers(ctx context.Context, _ Empty) ([]MemberReply, error) {
	out := []MemberReply{}
	for _, m := range n.directory.Members() {
		out = append(out, n.memberReply(m))
	}
	return out, nil
}

func (n *Node) memberReply(m directory.Member) MemberReply {
	return MemberReply{
		Council: m.Council, Title: m.Title, GSS: m.GSS, Role: string(m.Role), Addresses: m.Addresses,
		Self: m.Council == n.cfg.Council, Document: string(m.YAML()),
	}
}

func (n *Node) showMember(ctx context.Context, in MemberNameRequest) (*MemberReply, error) {
	c := n.cfg.Council
	if in.Council != "" {
		var err error
		if c, err = name.ParseCouncil(strings.ToLower(in.Council)); err != nil {
			return nil, fail(Usage, "", "%v", err)
		}
	}
	m, ok := n.directory.Member(c)
	if !ok {
		return nil, fail(NotFound, "stile council list", "%s is not in the directory", c)
	}
	r := n.memberReply(m)
	return &r, nil
}

func (n *Node) addMember(ctx context.Context, in MemberRequest) (*MemberReply, error) {
	m, err := directory.ParseMember(in.Document)
	if err != nil {
		return nil, fail(Invalid, "", "%v", err)
	}
	if m.Council == n.cfg.Council {
		own := directory.FromRing(n.cfg.Council, n.keys)
		if m.Node != own.Node || !slices.EqualFunc(m.RecordKeys, own.RecordKeys, func(a, b *keys.RecordPublic) bool { return a.ID() == b.ID() }) {
			return nil, fail(Refused, "", "the file names other keys than this node has")
		}
	}
	if !n.hosts() {
		return nil, fail(Refused, "send the file to the registrar of the directory", "this node follows a directory that another hosts, and only its registrar admits members")
	}
	waiting, err := n.publish(ctx, func(r *tufdir.Repository, now time.Time) error {
		return r.Update(m, now)
	})
	if err != nil {
		if k := asError(err); k.Kind != Failed {
			return nil, k
		}
		return nil, fail(Conflict, "", "%v", err)
	}
	if slices.Contains(waiting, tufdir.RoleMembers) {
		return nil, fail(Behind, "stile directory sign shows how the registrar signs it", "%s is prepared, and waits for the registrar's signature", m.Council)
	}
	m, _ = n.directory.Member(m.Council)
	r := n.memberReply(m)
	return &r, n.keepFiles()
}

func (n *Node) retry(ctx context.Context, _ Empty) (*Empty, error) {
	if err := n.refresh(ctx); err != nil {
		return nil, fail(Failed, "see whether the members it names can be reached; the directory as it was before goes on being used", "%v", err)
	}
	n.mu.Lock()
	s := n.sync
	n.mu.Unlock()
	if s == nil {
		return nil, fail(Behind, "stile serve", "the node is not running")
	}
	s.Retry()
	return &Empty{}, nil
}
