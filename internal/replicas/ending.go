package replicas

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// A council that ends leaves its footprints first: nobody may sign a withdrawal for it
// afterwards, nor that its replica was deleted.

// Ending says of every footprint that we are in, or that holds what we bring from outside,
// what leaving it means, and what stands in the way of that now, in words. It changes nothing.
func (s *Set) Ending() (out []api.EndingFootprint, faults []string, err error) {
	names, err := s.folders()
	if err != nil {
		return nil, nil, err
	}
	for _, c := range names {
		e := api.EndingFootprint{Footprint: c}
		r, running := s.get(c)
		switch {
		case !running:
			faults = append(faults, fmt.Sprintf("the council is in the footprint %s, which it leaves first: its node has to run for that, with stile serve", c))
		case r == nil || r.f == nil:
			faults = append(faults, fmt.Sprintf("the council is in the footprint %s, whose replica is not open here: stile footprint status %s says why", c, c))
		default:
			e.Members = slices.DeleteFunc(r.f.Councils(), func(m name.Council) bool { return m == s.self })
			counts, err := r.f.Counts()
			if err != nil {
				return nil, nil, err
			}
			for _, n := range counts[s.self] {
				e.Records += int(n)
			}
			if r.f.Out() {
				break // it goes as soon as it may
			}
			if err := r.f.MayLeave(); err != nil {
				faults = append(faults, fmt.Sprintf("the council cannot leave the footprint %s now: %v", c, err))
			}
		}
		out = append(out, e)
	}
	outside, err := s.outside(names)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range slices.Sorted(maps.Keys(outside)) {
		if _, running := s.get(c); !running {
			faults = append(faults, fmt.Sprintf("the council brings records into the footprint %s, from which they are withdrawn first: its node has to run for that, with stile serve", c))
		}
		out = append(out, api.EndingFootprint{Footprint: c, Members: s.Members(c), Records: outside[c], Outside: true})
	}
	away, err := s.joinedElsewhere(names)
	for _, c := range away {
		faults = append(faults, fmt.Sprintf("by its log the council joined the footprint %s, whose replica is not in this folder: seal on the machine that has it, or have the others remove the council, and then say stile footprint discard %s here", c, c))
	}
	return out, faults, err
}

// outside returns what stands in each footprint that holds what we bring, or that has not yet
// said that all of it is gone, and of which the data folder has no replica, by name: how many
// of our records, as far as is known here. here are those it has.
func (s *Set) outside(here []name.Council) (map[name.Council]int, error) {
	type flow struct {
		agreement name.Agreement
		to        name.Council
	}
	newest := map[flow]*ledger.Feed{} // what a text before it let out, it sees to
	for _, f := range s.o.Ledger.Feeds() {
		if f.Agreement == "" || !f.Copied() {
			continue
		}
		for _, c := range f.To {
			k := flow{f.Agreement, c}
			if was := newest[k]; !slices.Contains(here, c) && s.Is(c) && (was == nil || was.Version < f.Version) {
				newest[k] = f
			}
		}
	}
	out := map[name.Council]int{}
	err := s.o.Ledger.View(func(v *ledger.View) error {
		for k, f := range newest {
			p, err := v.Partner(f, k.to)
			if err != nil {
				return err
			}
			if p.Disclosed > 0 && !p.Done && p.Awaited() {
				out[k.to] += p.Held
			}
		}
		return nil
	})
	return out, err
}

// joinedElsewhere returns the footprints that our log says we joined, and not that nothing
// of them is left here, and of which the data folder has no replica. here are those it has.
func (s *Set) joinedElsewhere(here []name.Council) (out []name.Council, err error) {
	last, gone := map[name.Council]uint64{}, map[name.Council]uint64{}
	err = s.o.Ledger.View(func(v *ledger.View) error {
		var bad error
		each := func(kind string, into map[name.Council]uint64, of func(map[string]any) (name.Council, error)) {
			v.Events(kind, 0, func(i uint64) bool {
				ev, _, err := v.Event(i)
				if err == nil {
					var c name.Council
					if c, err = of(ev.Body); err == nil {
						into[c] = max(into[c], i+1)
					}
				}
				bad = errors.Join(bad, err)
				return bad == nil
			})
		}
		each(event.KindFootprintFounded, last, func(b map[string]any) (name.Council, error) {
			e, err := event.ParseFootprintFounded(b)
			return e.Footprint, err
		})
		each(event.KindFootprintJoined, last, func(b map[string]any) (name.Council, error) {
			e, err := event.ParseFootprintJoined(b)
			return e.Footprint, err
		})
		each(event.KindFootprintDiscarded, gone, func(b map[string]any) (name.Council, error) {
			e, err := event.ParseFootprintDiscarded(b)
			return e.Footprint, err
		})
		return bad
	})
	for c, i := range last {
		if i > gone[c] && !slices.Contains(here, c) {
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return out, err
}

// Bounds of leaving one footprint.
const (
	leavePatience = 3 * time.Minute  // until what we brought is withdrawn, and again until we are let go
	outPatience   = 20 * time.Second // until a replica that we left goes by itself
	leaveLook     = 200 * time.Millisecond
)

// LeaveAll leaves every footprint, once the agreements with them have ended: what is ours
// there is withdrawn, and confirmed by every member that is up; the others let us go; the
// replica is deleted, and our log says so. Of a footprint that others keep it waits until
// what we brought is withdrawn, which a majority has cosigned. What is done stays done, and it goes on from
// there when it is called again.
func (s *Set) LeaveAll(ctx context.Context) error {
	names, err := s.folders()
	if err != nil {
		return err
	}
	for _, c := range names {
		if err := s.leave(ctx, c); err != nil {
			return err
		}
	}
	left := map[name.Council]int{}
	why, err := s.until(ctx, leavePatience, func() (why string, err error) {
		if left, err = s.outside(names); len(left) == 0 {
			return "", err
		}
		return "records of ours stand there", err
	})
	if err == nil && why != "" {
		c := slices.Min(slices.Collect(maps.Keys(left)))
		err = api.Fail(api.Behind, "give the command again: it goes on from here; stile status says why it waits",
			"the footprint %s has not let go of what the council brought into it; as far as is known %d records of ours stand there", c, left[c])
	}
	return err
}

func (s *Set) leave(ctx context.Context, c name.Council) error {
	r, err := s.named(string(c))
	if err != nil {
		return err
	}
	again := func(why string) error {
		return api.Fail(api.Behind, "give the command again: it goes on from here; stile footprint status "+string(c), "the council has not left %s yet: %s", c, why)
	}
	if members := r.f.Councils(); len(members) == 0 || slices.Equal(members, []name.Council{s.self}) {
		return s.discard(ctx, r) // we never came to be a member, or it ends with us
	}
	longest := leavePatience
	if r.f.Out() {
		longest = outPatience
	} else {
		why, err := s.until(ctx, leavePatience, func() (string, error) { return s.withdrawn(ctx, r) })
		if err != nil {
			return err
		}
		if why != "" {
			return again(why)
		}
		within, cancel := context.WithTimeout(ctx, patience)
		_, err = s.proposeLeaving(within, r.f)
		cancel()
		if err != nil && !r.f.Out() {
			return explained(c, err)
		}
	}
	why, err := s.until(ctx, longest, func() (string, error) {
		if got, running := s.get(c); !running {
			return "", notServing()
		} else if got == r {
			if ch := r.f.Status().Change; ch != nil && ch.Council == s.self {
				return fmt.Sprintf("%v have not agreed", ch.Waiting), nil
			}
			return "its replica is not deleted", nil
		}
		return "", nil
	})
	switch {
	case err != nil:
		return err
	case why != "" && r.f.Out():
		if err := s.discard(ctx, r); err != nil { // the others let us go, so that it did not go by itself
			return err
		}
	case why != "":
		return again(why)
	}
	s.discarding.Lock() // until our log says that it is deleted
	defer s.discarding.Unlock()
	if s.Has(c) {
		return again("its replica could not be deleted; the node's log says why")
	}
	return nil
}

// proposeLeaving proposes that we leave a footprint, once what we have said of agreements
// stands there: that an agreement with it has ended its members read in its ledger alone, and
// who has left brings nothing there. What the footprint refuses is not waited for.
func (s *Set) proposeLeaving(ctx context.Context, f *footprint.Footprint) (footprint.Receipt, error) {
	err := s.o.Relay(ctx, f)
	if _, refused := errors.AsType[*footprint.Refusal](err); err != nil && !refused {
		return footprint.Receipt{}, err
	}
	return f.Leave(ctx)
}

// until calls f until it has nothing to say any more or a time has passed, and returns what
// it said last.
func (s *Set) until(ctx context.Context, longest time.Duration, f func() (string, error)) (string, error) {
	tick := time.NewTicker(leaveLook)
	defer tick.Stop()
	for began := time.Now(); ; {
		why, err := f()
		if err != nil || why == "" || time.Since(began) > longest {
			return why, err
		}
		select {
		case <-ctx.Done():
			return why, ctx.Err()
		case <-tick.C:
		}
	}
}

// withdrawn takes back what we put into a footprint by hand, and says what else of ours
// stands there, or who is up and has not confirmed that it is gone; "" when there is
// nothing to wait for.
func (s *Set) withdrawn(ctx context.Context, r *Replica) (string, error) {
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l, err := r.f.Records(0, maxPut, func(h *footprint.Held) bool { return h.View.Council == s.self })
	if err != nil {
		return "", explained(r.name, err)
	}
	var byHand []name.Record
	for _, h := range l.Records {
		if s.byHand(r, h.View.Standard.Line()) == nil {
			byHand = append(byHand, h.View.Record)
		}
	}
	if len(byHand) > 0 {
		if _, err := s.withdraw(within, r, byHand); err != nil {
			return "", err
		}
	}
	if len(l.Records) > 0 {
		return "records of ours stand there", nil
	}
	up := map[name.Council]bool{}
	for _, m := range r.f.Status().Members {
		up[m.Council] = m.Up
	}
	for _, p := range s.o.Flows(r.name) {
		if p.Outstanding == 0 {
			continue
		}
		if len(p.Unconfirmed) == 0 {
			return "withdrawals are on their way", nil
		}
		for _, c := range p.Unconfirmed {
			if up[c] {
				return fmt.Sprintf("%s has not confirmed what was withdrawn", c), nil
			}
		}
	}
	return "", nil
}
