package peersync

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// A job is one thing that the Syncer does over and over: it copies one feed here,
// brings one feed to a footprint, or attends to a replica of ours. Every job runs
// in the one loop of keep.
type job struct {
	key    jobKey
	cancel context.CancelFunc
	kick   chan struct{} // buffered: try again now
	// turn does what there is to do, then waits until there may be more. Without
	// an error it is called again at once; with one, after a pause.
	turn func(context.Context, *job) (progress bool, err error)

	// guarded by Syncer.mu
	connected bool
	live      bool   // everything there was is across
	turns     int    // members of a footprint that had their turn
	problem   string // why it is behind, in words; "" when nothing is wrong
	since     time.Time

	// Of a copy: see countCopy. countNext is for whoever runs the job's turn.
	counts    sync.WaitGroup
	counting  atomic.Bool
	countTook atomic.Int64 // nanoseconds
	countNext time.Time
}

// A jobKey says what a job is. A job whose key is no longer wanted is stopped.
type jobKey struct {
	work      work
	council   name.Council         // the other side: a council or a footprint
	agreement name.Agreement       // "" for notices, and for work on a replica
	text      string               // of a copy under an agreement: see Syncer.textOf
	keeps     string               // of a copy: what is said of it in Hello.keeps
	kept      int                  // of a copy: how many others are kept until it has come; it is read anew when one is
	own       *footprint.Footprint // our replica, where the job works on it
}

type work int

const (
	copying      work = iota // a feed to here
	contributing             // a feed of ours to a footprint
	following                // what members of a footprint said of agreements
	confirming               // what all members of a footprint have of ours
	tracing                  // whether what was passed on to us may be kept
)

// reviewEvery is how often the set of jobs is looked at even if nothing happened:
// agreements start and end by the clock.
const reviewEvery = 30 * time.Second

// Bounds of the pause after a turn that failed. A partner that connects cuts it
// short.
const (
	pauseLeast = 100 * time.Millisecond
	pauseMost  = 30 * time.Second
)

// keep runs the turns of a job until ctx ends.
func (s *Syncer) keep(ctx context.Context, j *job) {
	wait := pauseLeast
	for ctx.Err() == nil {
		progress, err := j.turn(ctx, j)
		if ctx.Err() != nil {
			return
		}
		if progress {
			wait = pauseLeast
		}
		if err == nil {
			continue
		}
		s.mu.Lock()
		j.connected, j.live = false, false
		problem := explain(err)
		if problem != j.problem {
			j.problem, j.since = problem, s.o.Now().UTC()
		}
		s.mu.Unlock()
		s.o.Log.Info("exchange stopped", "with", j.key.council, "agreement", j.key.agreement, "because", err.Error())
		// Up to half of the pause is random, so that a region of nodes does not
		// come back at one instant.
		pause(ctx, wait/2+rand.N(wait/2+1), j.kick)
		wait = min(2*wait, pauseMost)
	}
}

// went notes that a job gets on.
func (s *Syncer) went(j *job, connected, live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.connected, j.live, j.problem, j.since = connected, live, "", time.Time{}
}

// pause waits for a time, or until one of two channels says something; a nil
// channel never does.
func pause(ctx context.Context, d time.Duration, until ...<-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	var a, b <-chan struct{}
	if len(until) > 0 {
		a = until[0]
	}
	if len(until) > 1 {
		b = until[1]
	}
	select {
	case <-ctx.Done():
	case <-a:
	case <-b:
	case <-t.C:
	}
}

func (j *job) again() {
	select {
	case j.kick <- struct{}{}:
	default:
	}
}

// review starts the jobs that should run and stops those that should not.
func (s *Syncer) review(ctx context.Context, wg *sync.WaitGroup) {
	now := s.o.Now()
	want := s.wanted(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, j := range s.jobs {
		if want[k] == nil {
			j.cancel()
			delete(s.jobs, k)
		}
	}
	for k, turn := range want {
		if s.jobs[k] != nil {
			continue
		}
		jctx, cancel := context.WithCancel(ctx)
		j := &job{key: k, cancel: cancel, kick: make(chan struct{}, 1), turn: turn, since: now}
		s.jobs[k] = j
		wg.Go(func() {
			defer cancel()
			s.keep(jctx, j)
		})
	}
}

type turn = func(context.Context, *job) (progress bool, err error)

// wanted returns the jobs that should run now.
func (s *Syncer) wanted(now time.Time) map[jobKey]turn {
	want := map[jobKey]turn{}
	if s.o.Ledger.Halted() != nil {
		return want // whatever came would have to be signed for
	}
	for _, a := range s.o.Agreements.Inbound(now) {
		if k, t := s.tracer(a); t != nil {
			want[k] = t.turn
		}
		if !a.Way().Copied || s.o.Ledger.Allowed(a.From) != nil { // status says why
			continue
		}
		text, err := s.textOf(a)
		if err != nil {
			s.o.Log.Error("read who signed for a footprint", "footprint", a.From, "error", err.Error())
			continue
		}
		want[jobKey{work: copying, council: a.From, agreement: a.Name, text: text, keeps: inKeeps(s.preceding(a)), kept: len(s.o.Ledger.KeptUnder(a.From, a.Name))}] = s.pull
	}
	size := s.o.Ledger.Size()
	found := s.findPartners()
	s.partners.Store(&partners{size, found})
	for _, c := range slices.Concat(found, s.o.Network.Connected()) {
		if _, ok := s.o.Directory.Member(c); ok && c != s.o.Self && s.o.Ledger.Allowed(c) == nil {
			want[jobKey{work: copying, council: c}] = s.pull
		}
	}
	replicas := s.o.Footprints.Open()
	s.keepOpen(replicas)
	for _, f := range replicas {
		r := s.replica(f)
		want[jobKey{work: following, council: r.name, own: f}] = r.follow
		want[jobKey{work: confirming, council: r.name, own: f}] = (&confirmer{s: s, r: r}).turn
	}
	for _, f := range s.o.Ledger.Feeds() {
		if f.Agreement == "" || !f.Copied() {
			continue
		}
		for _, c := range f.To {
			if !s.o.Footprints.Is(c) {
				continue
			}
			k := jobKey{work: contributing, council: c, agreement: f.Agreement}
			i := slices.IndexFunc(replicas, func(r *footprint.Footprint) bool { return r.Name() == c })
			switch {
			case i >= 0:
				k.own = replicas[i]
			case s.o.Footprints.Has(c):
				continue // its replica will be open soon, or says why not
			}
			want[k] = s.contributor(k).turn
		}
	}
	return want
}

// explain says in words why a feed is behind.
func explain(err error) string {
	if m, ok := errors.AsType[*noMember](err); ok {
		return m.explain()
	}
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ledger.ErrQuarantined):
		return err.Error()
	case errors.Is(err, ledger.ErrFull):
		return "our disk is nearly full, and nothing is kept"
	case errors.Is(err, ledger.ErrClock):
		return "our clock is wrong, and no receipt is signed by it"
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

// noMember says why none of a footprint's members would do.
type noMember struct {
	footprint name.Council
	members   []name.Council
	errs      []error // of each
}

func (m *noMember) say(words func(error) string) string {
	if len(m.members) == 0 {
		return fmt.Sprintf("the directory lists no members of %s", m.footprint)
	}
	var out []string
	for i, c := range m.members {
		out = append(out, fmt.Sprintf("%s: %s", c, words(m.errs[i])))
	}
	return strings.Join(out, "; ")
}

func (m *noMember) Error() string { return m.say(error.Error) }

func (m *noMember) explain() string { return m.say(explain) }

// eachMember calls ask with the members of a footprint until one does: those
// there is a connection to first, who are likely to answer, and among them another
// first at each turn. The error is a *noMember, or that of ctx.
func (s *Syncer) eachMember(ctx context.Context, fp name.Council, turn int, ask func(name.Council) error) error {
	failed := &noMember{footprint: fp}
	members := s.o.Footprints.Members(fp)
	turn %= max(len(members), 1)
	members = slices.Concat(members[turn:], members[:turn])
	connected := s.o.Network.Connected()
	slices.SortStableFunc(members, func(a, b name.Council) int {
		x, y := slices.Contains(connected, a), slices.Contains(connected, b)
		switch {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	})
	for _, m := range members {
		err := s.o.Ledger.Allowed(m)
		if err == nil {
			err = ask(m)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failed.members, failed.errs = append(failed.members, m), append(failed.errs, err)
	}
	return failed
}

// A Link is one feed on its way, as it is now: one that is copied here, or one
// that is brought to a footprint.
type Link struct {
	Council   name.Council   `json:"council"`
	Agreement name.Agreement `json:"agreement,omitempty"` // "" for notices
	Connected bool           `json:"connected"`
	Live      bool           `json:"live"` // everything there was is across
	Problem   string         `json:"problem,omitempty"`
	Since     time.Time      `json:"since,omitzero"` // of the problem
}

// Pulling returns the state of every copy being made here, by council and
// agreement.
func (s *Syncer) Pulling() []Link { return s.links(copying) }

func (s *Syncer) links(w work) []Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Link, 0, len(s.jobs))
	for k, j := range s.jobs {
		if k.work == w {
			out = append(out, j.link())
		}
	}
	slices.SortFunc(out, func(a, b Link) int {
		return strings.Compare(string(a.Council)+" "+string(a.Agreement), string(b.Council)+" "+string(b.Agreement))
	})
	return out
}

// From returns how the copy of what a council, or a footprint, sends us under an
// agreement stands; false when there is none.
func (s *Syncer) From(c name.Council, a name.Agreement) (Link, bool) {
	return s.link(copying, c, a)
}

// Into returns how what we bring to a footprint under an agreement stands; false
// when nothing is brought.
func (s *Syncer) Into(fp name.Council, a name.Agreement) (Link, bool) {
	return s.link(contributing, fp, a)
}

func (s *Syncer) link(w work, c name.Council, a name.Agreement) (Link, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, j := range s.jobs {
		if k.work == w && k.council == c && k.agreement == a {
			return j.link(), true
		}
	}
	return Link{}, false
}

// link says how a job stands. The caller holds Syncer.mu.
func (j *job) link() Link {
	return Link{j.key.council, j.key.agreement, j.connected, j.live, j.problem, j.since}
}

// partnerOf returns what is known of the receiver of a feed.
func (s *Syncer) partnerOf(f *ledger.Feed, c name.Council) (p ledger.Partner, err error) {
	err = s.o.Ledger.View(func(v *ledger.View) error {
		p, err = v.Partner(f, c)
		return err
	})
	return p, err
}
