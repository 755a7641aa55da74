package peersync

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// A replica is what the Syncer knows of one replica of ours, as long as it is open.
type replica struct {
	s    *Syncer
	name name.Council
	f    *footprint.Footprint

	relaying chan struct{} // holds one while what we said is brought to the footprint
	settled  chan struct{} // buffered: something waits for the members to confirm it

	mu    sync.Mutex      // guards what follows
	heard uint64          // index in the footprint's log up to which agreements were read
	asked map[asker]Asked // what partners outside last asked us
	// unanswered are pages sent to partners outside, at most maxLate to each, whose
	// receipts have not come.
	unanswered map[asker][]*page
	committed  map[asker]committed        // what we committed to last for partners outside
	since      map[name.Council]time.Time // from when on a council outside could be let in
}

// replica returns what is known of an open replica.
func (s *Syncer) replica(f *footprint.Footprint) *replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.replicas[f]
	if r == nil {
		r = &replica{
			s: s, name: f.Name(), f: f, relaying: make(chan struct{}, 1), settled: make(chan struct{}, 1),
			asked: map[asker]Asked{}, since: map[name.Council]time.Time{}, unanswered: map[asker][]*page{}, committed: map[asker]committed{},
		}
		s.replicas[f] = r
	}
	return r
}

// open returns our replica of a footprint, nil when none is open.
func (s *Syncer) open(fp name.Council) *replica {
	for _, f := range s.o.Footprints.Open() {
		if f.Name() == fp {
			return s.replica(f)
		}
	}
	return nil
}

// keepOpen forgets the replicas that are open no more.
func (s *Syncer) keepOpen(open []*footprint.Footprint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.replicas, func(f *footprint.Footprint, _ *replica) bool { return !slices.Contains(open, f) })
}

func (r *replica) member() bool { return slices.Contains(r.f.Councils(), r.s.o.Self) }

// Bounds of the pause between two looks at a footprint's ledger.
const (
	followLeast = 100 * time.Millisecond // under a heavy load of records, too
	followMost  = 5 * time.Second        // a snapshot may have come without a word
)

// follow reads what is said about agreements in a footprint's ledger, and brings
// there what we said; then it waits until the ledger changes.
func (r *replica) follow(ctx context.Context, j *job) (bool, error) {
	changed := r.f.Changed()
	err := r.hear(ctx)
	if err == nil {
		_, err = r.relay(ctx)
	}
	if err == nil {
		err = r.letIn(ctx)
	}
	if err == nil {
		err = r.f.LetGo(ctx)
	}
	if err != nil && ctx.Err() == nil {
		// Not a failed turn: what changes next in the ledger may mend it.
		r.s.o.Log.Info("agreements and a footprint", "footprint", r.name, "because", err.Error())
	}
	pause(ctx, followLeast)
	pause(ctx, followMost, changed, j.kick)
	return true, nil
}

// hear reads what is new in a footprint's ledger about agreements.
func (r *replica) hear(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []footprint.Saying
	if err := r.f.Sayings(r.heard, func(s footprint.Saying) bool { list = append(list, s); return true }); err != nil || len(list) == 0 {
		return err
	}
	n, err := r.s.o.Book.Heard(ctx, r.name, list)
	if n > 0 {
		r.heard = list[n-1].Index + 1
	}
	return err
}

// CatchUp reads what is new about agreements in the footprints that we keep, as
// far as a majority of each answers within two seconds.
func (s *Syncer) CatchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for _, f := range s.o.Footprints.Open() {
		err := ownReplica{f, s.o.Self}.catchUp(ctx)
		if err == nil {
			err = s.replica(f).hear(ctx)
		}
		if err != nil {
			s.o.Log.Debug("agreements and a footprint", "footprint", f.Name(), "because", err.Error())
		}
	}
}

// Relay brings what we have said of agreements to one of our footprints, and
// returns when our replica has it. What it cannot bring goes on being tried.
func (s *Syncer) Relay(ctx context.Context, f *footprint.Footprint) error {
	r := s.replica(f)
	p, err := r.relay(ctx)
	if err == nil && p > 0 {
		err = f.Await(ctx, p)
	}
	if err == nil {
		// Also where the loop that follows the footprint was quicker, and brought it.
		err = r.hear(ctx)
	}
	return err
}

// relay brings what we said about agreements with a footprint into its ledger,
// where it is not there yet. It reads our own ledger, which is the only place that
// has to remember it. It returns the position in the replicated log.
func (r *replica) relay(ctx context.Context) (position uint64, err error) {
	if !r.member() {
		return 0, nil
	}
	// One at a time, or the same is brought twice. Not a mutex: a footprint without a
	// majority may take it for minutes, and whoever waits here must be free to give up.
	select {
	case r.relaying <- struct{}{}:
		defer func() { <-r.relaying }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	own, err := r.s.statements(r.name)
	if err != nil || len(own) == 0 {
		return 0, err
	}
	there := map[string]bool{}
	err = r.f.Sayings(0, func(s footprint.Saying) bool {
		if s.Event.Council == r.s.o.Self {
			there[string(s.Token)] = true
		}
		return true
	})
	if err != nil {
		return 0, err
	}
	var entries []footprint.Entry
	for _, jws := range own {
		if !there[string(jws)] {
			entries = append(entries, footprint.Entry{Token: jws})
		}
	}
	if len(entries) == 0 {
		return 0, nil
	}
	got, err := r.f.Put(ctx, entries...)
	for _, o := range got.Outcomes {
		if o.Code == footprint.Refused {
			err = errors.Join(err, &footprint.Refusal{Rule: o.Rule})
		}
	}
	return got.Position, err
}

// statements returns, in the order of our ledger, the events by which we proposed,
// signed, suspended, resumed or ended agreements that name a footprint.
func (s *Syncer) statements(fp name.Council) (out [][]byte, err error) {
	now := s.o.Now()
	err = s.o.Ledger.View(func(v *ledger.View) error {
		var all []uint64
		for _, k := range agreement.Kinds() {
			if k == event.KindAgreementRenewal || k == event.KindAgreementCounter {
				continue // the members tell each other; see book.renewed
			}
			v.Events(k, 0, func(i uint64) bool { all = append(all, i); return true })
		}
		slices.Sort(all)
		for _, i := range all {
			ev, jws, err := v.Event(i)
			if err != nil {
				return err
			}
			ref, ok := agreement.RefOf(ev.Kind, ev.Body)
			if !ok {
				continue
			}
			if slices.ContainsFunc(s.o.Agreements.Texts(ref.Agreement, now), func(st agreement.Status) bool {
				return st.Digest == ref.Digest && st.Agreement.Party(fp)
			}) {
				out = append(out, slices.Clone(jws))
			}
		}
		return nil
	})
	return out, err
}

// letIn has the footprint take in councils outside by whose agreements, in force
// and signed by us, their records are to come in. Whoever leads proposes it; when
// it has not signed, another that has, in the order of their signatures, if it does
// not come about by itself.
func (r *replica) letIn(ctx context.Context) error {
	s := r.s
	members := r.f.Councils()
	if !r.f.Formed() || !slices.Contains(members, s.o.Self) {
		return nil
	}
	var errs []error
	proposed := r.f.Proposed()
	for _, st := range s.o.Book.Standing(s.o.Now()) {
		a := st.Agreement
		if a.From == proposed && st.InForce() && slices.Contains(a.To, r.name) {
			proposed = ""
		}
		if !st.InForce() || !a.Way().Copied || !slices.Contains(a.To, r.name) || slices.Contains(members, a.From) || slices.Contains(r.f.Contributors(), a.From) {
			continue
		}
		signers, err := r.f.Signers(a.Ref())
		if err != nil {
			return err
		}
		turn := slices.Index(signers, s.o.Self)
		if turn < 0 {
			continue
		}
		r.mu.Lock()
		if r.since[a.From].IsZero() {
			r.since[a.From] = s.o.Now()
		}
		waited := s.o.Now().Sub(r.since[a.From]) > time.Duration(turn+2)*followMost
		r.mu.Unlock()
		ctx, cancel := context.WithTimeout(ctx, followMost)
		_, err = r.f.LetIn(ctx, a.From, waited)
		cancel()
		errs = append(errs, err)
	}
	if proposed != "" {
		// The agreement ended before a majority could agree: other changes wait.
		ctx, cancel := context.WithTimeout(ctx, followMost)
		_, err := r.f.Cancel(ctx)
		cancel()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
