// Package replicas keeps the replicas that a node has of footprints: it opens them
// while the node runs, founds, joins and leaves footprints, recovers them, and puts
// records into them and reads them.
//
// Each replica is a folder of its own under footprints/ in the data folder. They are
// open while the node runs and at no other time: a replica takes part in votes. What
// a footprint decides, [footprint] decides; this room knows which there are, and what
// a person may ask of them.
package replicas

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/machines"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Options say what a Set works with. All are needed.
type Options struct {
	Config    *config.Config
	Keys      *keys.Ring
	Ledger    *ledger.Ledger // the council's own
	Directory *directory.Directory
	Machine   *machines.Machine // runs councils' nodes, where footprints are of machines
	Log       *slog.Logger
	Now       func() time.Time
	Fatal     func(error) // a replica's storage has failed
	// Changed is called when other replicas are open than before, or one of them
	// has adopted a standard.
	Changed func()

	// Record and Standard find what a person who typed this means: a record of our
	// own, by its id or its natural key, and an adopted standard. Their errors are
	// shown as they are.
	Record   func(typed, standard string) (name.Record, error)
	Standard func(typed string) (*standard.Standard, error)

	// SignedBy returns those of some members of a footprint that have told us that
	// they signed a text, Under the agreement under which our records of a standard
	// go into a footprint, and Flows how far what goes into it has come.
	SignedBy func(ref agreement.Ref, members []name.Council) []name.Council
	Under    func(fp name.Council, line name.StandardLine) (name.Agreement, bool)
	Flows    func(fp name.Council) []api.PartnerReply

	// Relay brings what we have said of agreements into a footprint's ledger.
	Relay func(context.Context, *footprint.Footprint) error
}

// A Set is the replicas of one node. Its methods may be called concurrently.
type Set struct {
	o    Options
	self name.Council

	discarding sync.Mutex // held while a replica is deleted and our log is told

	mu   sync.Mutex // guards what follows
	ctx  context.Context
	stop context.CancelFunc // ends ctx
	hub  *footprint.Hub     // nil while the node does not run
	all  map[name.Council]*Replica
	wg   sync.WaitGroup // what works for replicas
}

// New returns the replicas of a data folder, none of them open.
func New(o Options) *Set { return &Set{o: o, self: o.Config.Council} }

// A Replica is this member's part of one footprint.
type Replica struct {
	name name.Council
	f    *footprint.Footprint // nil when it could not be opened
	err  error                // why not
	stop context.CancelFunc
	// council is whose node this machine runs when it leads; nil in a footprint
	// of councils.
	council *machines.Council
}

// Name returns the footprint's name.
func (r *Replica) Name() name.Council { return r.name }

// Footprint returns the open replica; nil when it could not be opened.
func (r *Replica) Footprint() *footprint.Footprint { return r.f }

// Err returns why the replica is not open; nil when it is.
func (r *Replica) Err() error { return r.err }

// Council returns the council whose node this machine runs when it leads; nil in a
// footprint of councils.
func (r *Replica) Council() *machines.Council { return r.council }

func (s *Set) dir(c name.Council) string {
	return filepath.Join(s.o.Config.Data, "footprints", string(c))
}

// folders lists the footprints that the data folder has, whether or not the node
// runs.
func (s *Set) folders() ([]name.Council, error) {
	es, err := os.ReadDir(s.dir(""))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var out []name.Council
	for _, e := range es {
		if c, err := name.ParseCouncil(e.Name()); err == nil && e.IsDir() {
			out = append(out, c)
		}
	}
	return out, err
}

// Begin opens the footprints that are there. One that cannot be opened does not
// keep the node from running: its status says why.
func (s *Set) Begin(ctx context.Context, net wire.Network) error {
	names, err := s.folders()
	if err != nil {
		return fmt.Errorf("open footprints: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	s.mu.Lock()
	s.stop, s.ctx, s.hub, s.all = stop, ctx, footprint.NewHub(net), map[name.Council]*Replica{}
	s.mu.Unlock()
	s.whileOpen(func() { s.bringReceipts(ctx) })
	for _, c := range names {
		f, err := s.open(c)
		if err != nil {
			s.o.Log.Error("footprint not opened", "footprint", c, "error", err.Error())
		}
		s.add(c, f, err)
	}
	return nil
}

// End closes the footprints. A member that leads hands the lead on first, so
// that the others need not wait until they miss it.
func (s *Set) End() {
	s.mu.Lock()
	all := s.all
	s.hub, s.all = nil, nil
	if s.stop != nil {
		s.stop()
	}
	s.mu.Unlock()
	for _, r := range all {
		r.stop()
	}
	s.wg.Wait()
	for _, r := range all {
		if r.f == nil {
			continue
		}
		if st := r.f.Councils(); len(st) > 1 {
			_ = r.f.Transfer("") // only the leader can, and only when somebody can take over
		}
		if err := r.f.Close(); err != nil {
			s.o.Log.Error("close footprint", "footprint", r.name, "error", err.Error())
		}
	}
}

func (s *Set) options(c name.Council) (footprint.Options, error) {
	enc, err := s.o.Config.EncryptionKey()
	if err != nil {
		return footprint.Options{}, err
	}
	s.mu.Lock()
	hub := s.hub
	s.mu.Unlock()
	if hub == nil {
		return footprint.Options{}, notServing()
	}
	return footprint.Options{
		Dir: s.dir(c), Name: c, Self: s.self, Keys: s.o.Keys, Hub: hub, Directory: s.o.Directory,
		EncryptionKey: enc, Now: s.o.Now, Log: s.o.Log, MinFree: s.o.Config.Limits.MinFree(),
		// What the council says in a footprint it has said: it stands in its own
		// ledger too, before anybody else sees it.
		Sign: func(ctx context.Context, kind string, body map[string]any) ([]byte, error) {
			_, jws, err := s.o.Ledger.AppendNotice(ctx, kind, body)
			return jws, err
		},
		Left:  func() { s.whileOpen(func() { s.discardLeft(c) }) },
		Fatal: func(err error) { s.o.Fatal(fmt.Errorf("footprint %s: %w", c, err)) },
	}, nil
}

func notServing() *api.Error {
	return api.Fail(api.Behind, "stile serve", "the node is not running: a footprint is kept by running nodes")
}

func (s *Set) open(c name.Council) (*footprint.Footprint, error) {
	o, err := s.options(c)
	if err != nil {
		return nil, err
	}
	return footprint.Open(o)
}

// reopen opens what was closed for something that was then not done.
func (s *Set) reopen(c name.Council) error {
	f, err := s.open(c)
	if err == nil {
		s.add(c, f, nil)
	}
	return err
}

// add takes an open footprint, or why it is not open, among those of the node.
func (s *Set) add(c name.Council, f *footprint.Footprint, err error) *Replica {
	defer s.o.Changed()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &Replica{name: c, f: f, err: err}
	if s.all == nil { // the node stopped meanwhile
		r.stop = func() {}
		if f != nil {
			r.f, r.err = nil, errors.Join(notServing(), f.Close())
		}
		return r
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(s.ctx)
	s.all[c] = r
	if f != nil && f.Machines() {
		if r.council, err = s.o.Machine.Of(s.dir(c)); r.council == nil {
			r.council = s.o.Machine.Missing(s.dir(c), err)
		}
		s.wg.Go(func() { r.council.Check(ctx, f) })
		s.wg.Go(func() { r.council.Run(ctx, f) })
	}
	return r
}

// drop closes a replica and takes it from among those of the node. It reports whether
// it was among them.
func (s *Set) drop(r *Replica) (ours bool) {
	s.mu.Lock()
	if ours = s.all[r.name] == r; ours {
		delete(s.all, r.name)
	}
	s.mu.Unlock()
	r.stop()
	s.o.Changed()
	if r.f == nil {
		return ours
	}
	if err := r.f.Close(); err != nil {
		s.o.Log.Error("close footprint", "footprint", r.name, "error", err.Error())
	}
	return ours
}

// whileOpen runs f beside the replicas, unless they are closed already.
func (s *Set) whileOpen(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all != nil {
		s.wg.Go(f)
	}
}

// get returns a replica, open or not; nil when there is none. It reports whether
// the node runs.
func (s *Set) get(c name.Council) (r *Replica, running bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[c], s.hub != nil
}

// Open returns the replicas of footprints of councils that are open here.
func (s *Set) Open() (out []*footprint.Footprint) {
	for _, r := range s.List() {
		if r.council == nil {
			out = append(out, r.f)
		}
	}
	return out
}

// Is reports whether a party of an agreement is a footprint.
func (s *Set) Is(c name.Council) bool {
	if _, err := os.Stat(s.dir(c)); err == nil {
		return true
	}
	m, ok := s.o.Directory.Member(c)
	return ok && m.Role == directory.RoleFootprint
}

// Has reports whether the data folder has a replica of a footprint, open or not.
func (s *Set) Has(c name.Council) bool {
	all, err := s.folders()
	return err == nil && slices.Contains(all, c)
}

// Members returns the councils that keep a footprint: as its own ledger says where
// we have it, and otherwise as the directory does.
func (s *Set) Members(c name.Council) []name.Council {
	if f := s.Replica(c); f != nil {
		return f.Councils()
	}
	m, _ := s.o.Directory.Member(c)
	return m.Members
}

// Fellows returns the members of every footprint that is open here, and who was one and
// has not said that it deleted its replica.
func (s *Set) Fellows() (out []name.Council) {
	for _, r := range s.List() {
		out = append(append(out, r.f.Councils()...), r.f.Awaited()...)
	}
	return out
}

// Replica returns our open replica of a footprint; nil when there is none.
func (s *Set) Replica(c name.Council) *footprint.Footprint {
	if r := s.At(c); r != nil {
		return r.f
	}
	return nil
}

// At returns the replica of a footprint that is open here; nil when there is none.
func (s *Set) At(c name.Council) *Replica {
	if r, _ := s.get(c); r != nil && r.f != nil {
		return r
	}
	return nil
}

// Signers returns the members of a footprint that have signed a text: as its ledger
// says where we have it, and otherwise as they told us.
func (s *Set) Signers(c name.Council, ref agreement.Ref) ([]name.Council, error) {
	if f := s.Replica(c); f != nil {
		return f.Signers(ref)
	}
	return s.o.SignedBy(ref, s.Members(c)), nil
}

// List returns the replicas that are open, by name.
func (s *Set) List() []*Replica {
	return slices.DeleteFunc(s.All(), func(r *Replica) bool { return r.f == nil })
}

// All returns the replicas of the running node, open or not, by name.
func (s *Set) All() []*Replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.all), func(a, b *Replica) int { return strings.Compare(string(a.name), string(b.name)) })
}

// named finds the replica that a request means.
func (s *Set) named(typed string) (*Replica, error) {
	c, err := name.ParseCouncil(strings.ToLower(typed))
	if err != nil {
		return nil, api.Fail(api.Usage, "stile footprint list", "%v", err)
	}
	r, running := s.get(c)
	switch {
	case !running:
		return nil, notServing()
	case r == nil:
		return nil, api.Fail(api.NotFound, "stile footprint list", "this node keeps no footprint named %s", c)
	case r.f == nil:
		return nil, explained(c, r.err)
	}
	return r, nil
}

// ofCouncils is named for what machines of one council have no
// use for: they keep its ledger, and its own node answers for that.
func (s *Set) ofCouncils(typed string) (*Replica, error) {
	r, err := s.named(typed)
	if err == nil && r.council != nil {
		return nil, api.Fail(api.Refused, "the same without footprint, and --data "+r.council.Data(), "machines of one council keep %s: its own node takes records and answers for them", r.name)
	}
	return r, err
}

// explained says what a footprint's error means to a person.
func explained(c name.Council, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e
	}
	status := "stile footprint status " + string(c)
	if r, ok := errors.AsType[*footprint.Refusal](err); ok {
		switch r.Rule {
		case footprint.RuleForming:
			return api.Fail(api.Behind, status, "%s does not take it yet: %s", c, r.Rule)
		case footprint.RuleOneChange:
			return api.Fail(api.Conflict, status, "%s refused: %s", c, r.Rule)
		case footprint.RuleNotInvited:
			return api.Fail(api.Refused, fmt.Sprintf("ask a member for stile footprint invite %s, and the others to agree", c), "%s refused: %s", c, r.Rule)
		}
		return api.Fail(api.Refused, status, "%s refused: %s", c, r.Rule)
	}
	switch {
	case errors.Is(err, footprint.ErrAlone):
		return api.Fail(api.Refused, "have their nodes started, or have them removed: stile footprint remove "+string(c)+" COUNCIL", "%s is not left now: %v", c, err)
	case errors.Is(err, footprint.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return api.Fail(api.Behind, status, "%v", err)
	case errors.Is(err, footprint.ErrLost):
		return api.Fail(api.Conflict, fmt.Sprintf("ask a member for stile footprint invite %s with our council, and then: stile footprint join %s --via COUNCIL", c, c), "%v", err)
	case errors.Is(err, ledger.ErrDamaged):
		return api.Fail(api.Unverified, fmt.Sprintf("ask a member for stile footprint invite %s with our council, and then: stile footprint join %s --anew --via COUNCIL", c, c), "%v", err)
	case errors.Is(err, footprint.ErrExists):
		return api.Fail(api.Conflict, status, "%v", err)
	case errors.Is(err, footprint.ErrFull):
		return api.Fail(api.Failed, "free some disk space", "%v", err)
	case errors.Is(err, footprint.ErrStopped), errors.Is(err, footprint.ErrClosed):
		return api.Fail(api.Failed, "look at the node's log, check the disk, and start the node again", "%v", err)
	}
	return err
}
