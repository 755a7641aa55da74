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
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
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
	// Inbound returns the agreements in force at now under which self receives.
	Inbound(now time.Time) []*agreement.Agreement
	// Related returns the councils that any agreement, in force or proposed,
	// is with.
	Related() []name.Council
	// Notice tells of an event that a council addressed to us. It is called in
	// the order of that council's log, after the event is on disk.
	Notice(from name.Council, index uint64, jws []byte)
}

// Options say what a Syncer works with. All but Log and Now are needed.
type Options struct {
	Self       name.Council
	Ledger     *ledger.Ledger
	Keys       *keys.Ring
	Directory  *directory.Directory
	Judge      *judge.Judge // of what partners send
	Network    wire.Network
	Agreements Agreements
	Log        *slog.Logger     // default discards
	Now        func() time.Time // default time.Now
}

// A Syncer serves this council's feeds and pulls those of its partners.
type Syncer struct {
	o Options

	mu      sync.Mutex // guards what follows
	pulls   map[pullKey]*pull
	serving map[serveKey]int // open streams
	kicked  chan struct{}

	caughtUp chan struct{} // buffered: a copy came to its end, or broke off
}

type pullKey struct {
	from      name.Council
	agreement name.Agreement // "" for notices
}

type serveKey struct {
	to        name.Council
	agreement name.Agreement
}

// A pull is one feed being copied here.
type pull struct {
	key    pullKey
	cancel context.CancelFunc
	kick   chan struct{} // buffered: try again now

	// guarded by Syncer.mu
	connected bool
	live      bool   // everything there was has been kept
	problem   string // why it is behind, in words; "" when nothing is wrong
	since     time.Time
}

// New returns a Syncer that does nothing until Run.
func New(o Options) *Syncer {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Syncer{
		o:       o,
		pulls:   map[pullKey]*pull{},
		serving: map[serveKey]int{},
		kicked:  make(chan struct{}, 1),

		caughtUp: make(chan struct{}, 1),
	}
}

// reviewEvery is how often the set of feeds to pull is looked at even if
// nothing happened: agreements start and end by the clock.
const reviewEvery = 30 * time.Second

// Run serves and pulls until ctx ends. It returns the error that stopped it;
// the network must still be open.
func (s *Syncer) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	s.o.Network.Handle(wirepb.Protocol, func(sctx context.Context, from name.Council, st wire.Stream) {
		sctx, stop := context.WithCancel(sctx)
		defer stop()
		defer context.AfterFunc(ctx, stop)()
		s.serve(sctx, from, st)
	})
	s.o.Network.OnConnect(func(c name.Council) {
		s.mu.Lock()
		for k, p := range s.pulls {
			if k.from == c {
				p.again()
			}
		}
		s.mu.Unlock()
		s.Refresh()
	})
	wg.Go(func() { s.verifyBehind(ctx) })

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

// Refresh makes the Syncer look again at what there is to pull and to whom to
// connect. Call it when agreements, standards or the directory have changed.
func (s *Syncer) Refresh() {
	select {
	case s.kicked <- struct{}{}:
	default:
	}
}

// Retry makes the pulls that wait after a failure try again now.
func (s *Syncer) Retry() {
	s.mu.Lock()
	for _, p := range s.pulls {
		p.again()
	}
	s.mu.Unlock()
	s.Refresh()
}

func (s *Syncer) wakeVerifier() {
	select {
	case s.caughtUp <- struct{}{}:
	default:
	}
}

func (p *pull) again() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// Partners returns the councils a connection should be kept to: those an
// agreement is with, and those for whom something waits.
func (s *Syncer) Partners() []name.Council {
	set := map[name.Council]bool{}
	for _, c := range s.o.Agreements.Related() {
		set[c] = true
	}
	err := s.o.Ledger.View(func(v *ledger.View) error {
		for _, f := range s.o.Ledger.Feeds() {
			if f.Agreement != "" || len(f.To) != 1 {
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

// review starts the pulls that should run and stops those that should not.
func (s *Syncer) review(ctx context.Context, wg *sync.WaitGroup) {
	now := s.o.Now()
	want := map[pullKey]bool{}
	for _, a := range s.o.Agreements.Inbound(now) {
		if a.Mode == agreement.Replicate {
			want[pullKey{a.From, a.Name}] = true
		}
	}
	for _, c := range slices.Concat(s.Partners(), s.o.Network.Connected()) {
		if _, ok := s.o.Directory.Member(c); ok && c != s.o.Self {
			want[pullKey{from: c}] = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, p := range s.pulls {
		if !want[k] {
			p.cancel()
			delete(s.pulls, k)
		}
	}
	for k := range want {
		if s.pulls[k] != nil {
			continue
		}
		pctx, cancel := context.WithCancel(ctx)
		p := &pull{key: k, cancel: cancel, kick: make(chan struct{}, 1), since: now}
		s.pulls[k] = p
		wg.Go(func() {
			defer cancel()
			s.keepPulling(pctx, p)
		})
	}
}

// Bounds of the pause before a failed pull is tried again. A partner that
// connects cuts it short.
const (
	pauseLeast = 100 * time.Millisecond
	pauseMost  = time.Minute
)

func (s *Syncer) keepPulling(ctx context.Context, p *pull) {
	pause := pauseLeast
	for ctx.Err() == nil {
		progress, err := s.pullOnce(ctx, p)
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		p.connected, p.live = false, false
		s.wakeVerifier()
		if problem := explain(err); problem != p.problem {
			p.problem, p.since = problem, s.o.Now()
		}
		s.mu.Unlock()
		s.o.Log.Info("copying stopped", "from", p.key.from, "agreement", p.key.agreement, "because", err.Error())
		if progress {
			pause = pauseLeast
		}
		// Up to half of the pause is random, so that a region of nodes does
		// not come back at one instant.
		t := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-ctx.Done():
		case <-p.kick:
		case <-t.C:
		}
		t.Stop()
		pause = min(2*pause, pauseMost)
	}
}

// explain says in words why a copy is behind.
func explain(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, judge.ErrLied):
		return "what it sent does not verify: " + err.Error()
	case errors.Is(err, wire.ErrWrongNode):
		return "another node answers at its address"
	case errors.Is(err, wire.ErrUnreachable):
		return "it cannot be reached"
	case errors.Is(err, wire.ErrNotMember):
		return "it, or we, are not in the other's directory"
	case errors.Is(err, wire.ErrReset):
		return "the connection broke"
	}
	var r *refused
	if errors.As(err, &r) {
		return "it refused: " + r.reason
	}
	return strings.TrimSpace(err.Error())
}

// A Link is one feed being copied, in either direction, as it is now.
type Link struct {
	Council   name.Council   `json:"council"`
	Agreement name.Agreement `json:"agreement,omitempty"`
	Connected bool           `json:"connected"`
	Live      bool           `json:"live"` // inbound: everything there was has been kept
	Problem   string         `json:"problem,omitempty"`
	Since     time.Time      `json:"since,omitzero"` // of the problem
}

// Pulling returns the state of every copy being made here, by council and
// agreement.
func (s *Syncer) Pulling() []Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Link, 0, len(s.pulls))
	for k, p := range s.pulls {
		out = append(out, Link{k.from, k.agreement, p.connected, p.live, p.problem, p.since})
	}
	slices.SortFunc(out, func(a, b Link) int {
		return strings.Compare(string(a.Council)+" "+string(a.Agreement), string(b.Council)+" "+string(b.Agreement))
	})
	return out
}

// Serving reports whether a council is copying a feed from here at this moment.
func (s *Syncer) Serving(to name.Council, a name.Agreement) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serving[serveKey{to, a}] > 0
}

func parallel() int { return runtime.GOMAXPROCS(0) }
