// Package peersync copies the permitted part of one council's ledger to
// another, and back comes the proof that it arrived.
//
// The receiver pulls: it opens a stream for one feed, says how far it has
// come, and the sender answers with batches, first what is missing and then
// what is new. There is one path for first copy, live, retry and resync. The
// protocol is wirepb's; the invariants are in DESIGN.md in this folder.
//
// Neither side trusts the other. The sender asks the agreement before every
// batch, and logs what it is about to send before it sends it. The receiver
// checks every batch against the sender's log, the agreement and the standard
// before it keeps any of it.
package peersync

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// noticesFeed is the feed of events addressed to whoever asks for it.
const noticesFeed = "notices"

// Agreements is what peersync asks of whoever keeps the agreements.
type Agreements interface {
	// InForce returns the agreement of that name if it is in force at now; or,
	// if not, why not in words.
	InForce(a name.Agreement, now time.Time) (*agreement.Agreement, string)
	// Suspended returns the text of an agreement that is suspended at now, and would
	// be in force if it were not; nil when there is none. Under it nothing is shared,
	// and what has to come back still does.
	Suspended(a name.Agreement, now time.Time) *agreement.Agreement
	// Inbound returns the agreements in force or suspended at now under which self
	// receives.
	Inbound(now time.Time) []*agreement.Agreement
	// Texts returns where every text of an agreement stands, the newest first.
	Texts(a name.Agreement, now time.Time) []agreement.Status
	// Related returns the councils that any agreement, in force or proposed,
	// is with.
	Related() []name.Council
	// Notice tells of an event that a council addressed to us. It is called in
	// the order of that council's log, after the event is on disk.
	Notice(from name.Council, index uint64, jws []byte)
	// Concerns reports whether an event that a council addressed to us is about
	// something of ours.
	Concerns(ev *record.Event) bool
	// Waiting returns how many documents that a council proposed wait for our signature.
	Waiting(from name.Council, now time.Time) int
}

// Footprints is what peersync asks of whoever keeps the replicas of footprints.
type Footprints interface {
	// Is reports whether a party of an agreement is a footprint.
	Is(c name.Council) bool
	// Has reports whether this node has a replica of a footprint, open or not.
	Has(c name.Council) bool
	// Members returns the councils that keep a footprint, as far as is known here.
	Members(c name.Council) []name.Council
	// Signers returns the members of a footprint whose own signatures of a text are
	// known here.
	Signers(fp name.Council, ref agreement.Ref) ([]name.Council, error)
	// Open returns the replicas of footprints of councils that are open here.
	Open() []*footprint.Footprint
}

// Book is what peersync asks of whoever keeps the agreements about those that
// footprints are party to.
type Book interface {
	// Standing returns where every agreement stands, by name: the text in force
	// or, if none is, the newest.
	Standing(now time.Time) []agreement.Status
	// Heard takes in what members said of agreements in a footprint's ledger, in
	// its order. It returns how many of the events need not be told again.
	Heard(ctx context.Context, fp name.Council, list []footprint.Saying) (int, error)
}

// Options say what a Syncer works with. All but Log and Now are needed; a
// node that has nothing to do with footprints leaves out Footprints, Book and
// Confirmations.
type Options struct {
	Self          name.Council
	Ledger        *ledger.Ledger
	Keys          *keys.Ring
	Directory     *directory.Directory
	Judge         *judge.Judge // of what partners send
	Network       wire.Network
	Agreements    Agreements
	Footprints    Footprints
	Book          Book
	Confirmations *Confirmations
	Quota         *quota.Keeper // what each council has of us; nil is without bounds
	// Refused, which may be nil, is told of what a council asked for and did not get:
	// a copy (record false) or a record of one; the code of the refusal, and the agreement
	// where there is one with it.
	Refused func(to name.Council, record bool, code string, a name.Agreement)
	Signed  bool // partners are asked for records with signatures of their own
	// Everybody: the folder was restored from a backup, so that who may know our log is not known
	// here, and every member of the directory is asked before anything is signed.
	Everybody bool
	// Strangers are others who may know our log, such as witnesses over HTTP, and AskStranger
	// asks one and tells the ledger what it said.
	Strangers   []name.Council
	AskStranger func(context.Context, name.Council) error

	// Instance is which process this is, drawn at its start; zero where a council runs on
	// several machines. Previous is the one that ran on this folder before; zero if unknown.
	Instance, Previous Instance

	Agreed bool             // most machines of the council wrote the log: nobody is waited for at a start
	Log    *slog.Logger     // default discards
	Now    func() time.Time // default time.Now
}

// A Syncer serves this council's feeds and those of its footprints, copies those
// of its partners, and brings its own to footprints.
type Syncer struct {
	o Options

	mu       sync.Mutex         // guards what follows
	told     map[toldKey]uint64 // newest size of a log that a partner said it knows
	jobs     map[jobKey]*job
	replicas map[*footprint.Footprint]*replica
	serving  map[serveKey]int // open streams
	clocks   map[name.Council]clock
	full     map[name.Council]time.Time // who said last that it keeps nothing, and when
	kicked   chan struct{}
	counts   map[serveKey]*countAsk // what a person wants counted
	words    map[wordKey]uint64     // where in our log stands what we said to who holds what was passed on

	settled chan struct{} // closed once those who may know our log have been asked, or do not answer
	asking  chan name.Council
	doubled chan name.Council // who says that another process speaks with our key

	instances *instances // of others

	partners atomic.Pointer[partners] // as last found while Run runs
}

// partners are the councils to keep a connection to, by a log of a size.
type partners struct {
	size     uint64
	councils []name.Council
}

type serveKey struct {
	to        name.Council
	agreement name.Agreement
}

type toldKey struct {
	to, log name.Council
}

// none is Footprints of a node that has nothing to do with them.
type none struct{}

func (none) Is(name.Council) bool                                        { return false }
func (none) Has(name.Council) bool                                       { return false }
func (none) Members(name.Council) []name.Council                         { return nil }
func (none) Signers(name.Council, agreement.Ref) ([]name.Council, error) { return nil, nil }
func (none) Open() []*footprint.Footprint                                { return nil }

// New returns a Syncer that does nothing until Run.
func New(o Options) *Syncer {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Footprints == nil {
		o.Footprints = none{}
	}
	return &Syncer{
		o:        o,
		told:     map[toldKey]uint64{},
		jobs:     map[jobKey]*job{},
		replicas: map[*footprint.Footprint]*replica{},
		serving:  map[serveKey]int{},
		clocks:   map[name.Council]clock{},
		full:     map[name.Council]time.Time{},
		words:    map[wordKey]uint64{},
		kicked:   make(chan struct{}, 1),
		settled:  make(chan struct{}),
		asking:   make(chan name.Council, 64),
		doubled:  make(chan name.Council, 16),

		instances: newInstances(o.Now),
	}
}

// Run serves and exchanges until ctx ends. It returns the error that stopped it;
// the network must still be open.
func (s *Syncer) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	handle := func(protocol string, serve func(context.Context, name.Council, wire.Stream)) {
		s.o.Network.Handle(protocol, func(sctx context.Context, from name.Council, st wire.Stream) {
			sctx, stop := context.WithCancel(sctx)
			defer stop()
			defer context.AfterFunc(ctx, stop)()
			serve(sctx, from, st)
		})
	}
	handle(wirepb.Protocol, s.serve)
	handle(wirepb.LogProtocol, s.serveProof)
	handle(HeldProtocol, s.serveHeld)
	handle(wirepb.ContributeProtocol, s.serveContribution)
	handle(wirepb.OnwardProtocol, s.serveOnward)
	s.o.Network.OnConnect(func(c name.Council) {
		select {
		case s.asking <- c:
		default: // they are asked by turns as well
		}
		s.again(func(k jobKey) bool {
			return k.council == c || s.o.Footprints.Is(k.council) && slices.Contains(s.o.Footprints.Members(k.council), c)
		})
		s.look()
	})

	defer s.leave()
	defer s.partners.Store(nil)
	s.settle(ctx)
	close(s.settled)
	wg.Go(func() { s.askOn(ctx) })

	t := time.NewTicker(reviewEvery)
	defer t.Stop()
	for {
		s.review(ctx, &wg)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.C:
		case <-s.kicked:
		}
	}
}

// Settled returns a channel that is closed once those who may know our log have been
// asked for the first time. Then [ledger.Ledger.Halted] says whether anything is signed.
func (s *Syncer) Settled() <-chan struct{} { return s.settled }

// Refresh makes the Syncer look again at what there is to exchange and to whom to
// connect. Call it when agreements, standards, footprints or the directory have
// changed.
func (s *Syncer) Refresh() {
	s.again(func(k jobKey) bool { return k.work == contributing || s.o.Footprints.Is(k.council) })
	s.look()
}

// Retry makes the exchanges that wait after a failure try again now.
func (s *Syncer) Retry() {
	select {
	case s.asking <- "":
	default:
	}
	s.again(func(jobKey) bool { return true })
	s.look()
}

func (s *Syncer) look() {
	select {
	case s.kicked <- struct{}{}:
	default:
	}
}

// again has jobs try again now.
func (s *Syncer) again(which func(jobKey) bool) {
	s.mu.Lock()
	jobs := slices.Collect(maps.Values(s.jobs))
	s.mu.Unlock()
	for _, j := range jobs {
		if which(j.key) {
			j.again()
		}
	}
}

// Partners returns the councils a connection should be kept to: those an
// agreement is with, and those for whom something waits. While Run runs they are
// found anew at each review, and when the log has grown; else each time. The caller
// changes nothing in what is returned.
func (s *Syncer) Partners() []name.Council {
	p := s.partners.Load()
	if p == nil {
		return s.findPartners()
	}
	size := s.o.Ledger.Size()
	if p.size != size {
		p = &partners{size, s.findPartners()}
		s.partners.Store(p)
	}
	return p.councils
}

func (s *Syncer) findPartners() []name.Council {
	set := map[name.Council]bool{}
	for _, c := range s.o.Agreements.Related() {
		set[c] = true
	}
	err := s.o.Ledger.View(func(v *ledger.View) error {
		for _, f := range s.o.Ledger.Feeds() {
			if f.Agreement != "" || len(f.To) != 1 || set[f.To[0]] {
				continue
			}
			p, err := v.Partner(f, f.To[0])
			if err != nil {
				return err
			}
			if p.Cursor < f.End {
				set[f.To[0]] = true
			}
		}
		return nil
	})
	if err != nil {
		s.o.Log.Error("read partners", "error", err.Error())
	}
	delete(set, s.o.Self)
	out := make([]name.Council, 0, len(set))
	for c := range set {
		// Who runs no node, such as a footprint, is reached by its members.
		if m, ok := s.o.Directory.Member(c); ok && m.Node != "" {
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return out
}

// Serving reports whether a council is copying a feed from here at this moment.
func (s *Syncer) Serving(to name.Council, a name.Agreement) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serving[serveKey{to, a}] > 0
}
