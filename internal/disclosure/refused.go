package disclosure

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Refusals counts what councils asked for and did not get, and logs it: once an hour is
// over, one entry for each council, kind, reason and agreement. So whoever is refused a
// million times has a few entries in an hour written, and no more. What was counted in an
// hour that did not end, because the power failed, is lost. Its methods may be called
// concurrently.
type Refusals struct {
	say func(ctx context.Context, kind string, body map[string]any) error // logs an event
	log *slog.Logger
	now func() time.Time
	due chan struct{} // buffered: there is something of an hour that is over

	mu     sync.Mutex // guards what follows
	counts map[refusal]uint64
	kinds  map[name.Council]int // of counts, in one hour; forgotten with it
}

// A refusal is what is counted together.
type refusal struct {
	hour uint64
	by   name.Council
	what string
	rule string
	of   name.Agreement
}

// Bounds of what is counted in one hour.
const (
	maxRefusalKinds = 16   // of one council; what is beyond is counted as manyRefusals
	maxRefusals     = 2000 // of all councils; what is beyond is not counted
	manyRefusals    = "many-kinds"
)

// NewRefusals returns a Refusals that has counted nothing yet, and has say log an event.
func NewRefusals(say func(ctx context.Context, kind string, body map[string]any) error, log *slog.Logger, now func() time.Time) *Refusals {
	return &Refusals{say: say, log: log, now: now, due: make(chan struct{}, 1), counts: map[refusal]uint64{}, kinds: map[name.Council]int{}}
}

// Note counts one. It does not wait.
func (r *Refusals) Note(by name.Council, what, rule string, of name.Agreement) {
	k := refusal{uint64(r.now().Unix() / 3600), by, what, rule, of}
	r.mu.Lock()
	defer r.mu.Unlock()
	for other := range r.counts {
		if other.hour != k.hour {
			select {
			case r.due <- struct{}{}:
			default:
			}
		}
		break
	}
	if r.counts[k] == 0 {
		if len(r.counts) >= maxRefusals {
			return
		}
		if r.kinds[by] >= maxRefusalKinds {
			k.rule, k.of = manyRefusals, ""
		}
		r.kinds[by]++
	}
	r.counts[k]++
}

// take returns what was counted before an hour, and forgets it.
func (r *Refusals) take(before uint64) (out []event.Refused) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, n := range r.counts {
		if k.hour < before {
			out = append(out, event.Refused{By: k.by, What: k.what, Rule: k.rule, Agreement: k.of, Hour: k.hour, Times: n})
			delete(r.counts, k)
		}
	}
	if len(out) > 0 {
		r.kinds = map[name.Council]int{}
		for k := range r.counts {
			r.kinds[k.by]++
		}
	}
	slices.SortFunc(out, compareRefused)
	return out
}

func compareRefused(a, b event.Refused) int {
	return cmp.Or(cmp.Compare(a.Hour, b.Hour), cmp.Compare(a.By, b.By), cmp.Compare(a.What, b.What), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Agreement, b.Agreement))
}

// Run logs what was counted, each time that an hour is over, until ctx ends, and then
// what is left.
func (r *Refusals) Run(ctx context.Context) {
	for {
		now := r.now()
		hour := now.Truncate(time.Hour).Add(time.Hour)
		timer := time.NewTimer(hour.Sub(now))
		select {
		case <-timer.C:
		case <-r.due:
		case <-ctx.Done():
		}
		timer.Stop()
		before := uint64(r.now().Unix() / 3600)
		if ctx.Err() != nil {
			before++ // this hour's too
		}
		for _, f := range r.take(before) {
			// A node that is told to stop still has its ledger.
			if err := r.say(context.WithoutCancel(ctx), event.KindRefused, f.Body()); err != nil {
				r.log.Error("what was refused is not logged", "to", f.By, "error", err.Error())
				break
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// counted returns what is counted and not logged yet.
func (r *Refusals) counted() (out []event.Refused) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, n := range r.counts {
		out = append(out, event.Refused{By: k.by, What: k.what, Rule: k.rule, Agreement: k.of, Hour: k.hour, Times: n})
	}
	slices.SortFunc(out, compareRefused)
	return out
}

// ListRefused lists what was asked for and refused, here and by us, and the near misses:
// questions that were answered with nothing. The oldest first, the newest so many. It
// reads what is logged of that since the time asked for.
func (r *Register) ListRefused(ctx context.Context, in api.RefusedRequest) ([]api.RefusedReply, error) {
	if in.Limit <= 0 {
		in.Limit = 100
	}
	in.Limit = min(in.Limit, 10_000)
	out := []api.RefusedReply{}
	add := func(x api.RefusedReply) {
		if (in.Council == "" || x.Council == in.Council) && !x.At.Before(in.Since) {
			out = append(out, x)
		}
	}
	said := func(f event.Refused, entry uint64) {
		add(api.RefusedReply{
			At: time.Unix(int64(f.Hour)*3600, 0).UTC(), Council: f.By, Direction: api.RefusedByUs, What: f.What, Rule: f.Rule, Agreement: f.Agreement, Times: f.Times, Entry: entry,
		})
	}
	err := r.o.Ledger.View(func(v *ledger.View) error {
		var failed error
		each := func(kind string, f func(at uint64) error) {
			// From the newest back, and no further than was asked for.
			v.EventsBack(kind, func(at uint64) bool {
				if failed = cmp.Or(failed, ctx.Err()); failed != nil {
					return false
				}
				err := f(at)
				if errors.Is(err, errEnough) {
					return false
				}
				failed = err
				return err == nil
			})
		}
		n := 0
		each(event.KindRefused, func(at uint64) error {
			f, _, err := ledger.ReadEvent(v, at, event.KindRefused, event.ParseRefused)
			if err != nil {
				return err
			}
			if n++; n > 4*in.Limit || time.Unix(int64(f.Hour)*3600, 0).Before(in.Since.Add(-time.Hour)) {
				return errEnough
			}
			said(f, at)
			return nil
		})
		n = 0
		each(event.KindAnswer, func(at uint64) error {
			ev, _, err := v.Event(at)
			if err != nil {
				return err
			}
			a, err := event.ParseAnswer(ev.Body)
			if err != nil {
				return err
			}
			when := time.Unix(ev.IssuedAt, 0).UTC()
			if n++; n > 4*in.Limit || when.Before(in.Since) {
				return errEnough
			}
			if a.Outcome == event.OutcomeNothing || a.Outcome == event.OutcomeTooMany {
				add(api.RefusedReply{At: when, Council: a.To, Direction: api.RefusedByUs, What: api.RefusedNearMiss, Rule: a.Outcome, Agreement: a.Agreement, Times: 1, Entry: at})
			}
			return nil
		})
		for _, src := range r.o.Ledger.Sources() {
			err := v.Refusals(src, func(x ledger.Refusal) bool {
				rule := x.Rule
				if x.Pointer != "" {
					rule += " " + x.Pointer
				}
				add(api.RefusedReply{At: x.At, Council: x.From, Direction: api.RefusedFromThem, What: api.RefusedDelivery, Rule: rule, Agreement: x.Agreement, Times: 1})
				return true
			})
			failed = cmp.Or(failed, err)
		}
		return failed
	})
	if err != nil {
		return nil, err
	}
	for _, f := range r.o.Refusals.counted() {
		said(f, 0)
	}
	slices.SortStableFunc(out, func(a, b api.RefusedReply) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Entry, b.Entry), cmp.Compare(a.Council, b.Council))
	})
	return out[max(0, len(out)-in.Limit):], nil
}

var errEnough = errors.New("enough")
