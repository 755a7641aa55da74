package statement

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/measure"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// state counts one version of a standard, all at one state of the ledger.
func (k *Keeper) state(ctx context.Context, v *ledger.View, std *standard.Standard, now time.Time) (*measure.Statement, error) {
	cp, _ := v.Checkpoint()
	s := &measure.Statement{
		Council: k.o.Self, Standard: std.Name(), ComputedOn: now.Format(time.DateOnly), ComputedAt: now, CountedSince: now,
		Checkpoint: api.StatementCheckpoint{Origin: cp.Origin, Size: cp.Size, Root: cp.Root.String()},
	}
	if m, ok := k.o.Directory.Member(k.o.Self); ok {
		s.GSS = m.GSS
	}
	g, err := v.Gate(std.Name())
	if err != nil {
		return nil, err
	}
	s.Offers = api.StatementOffers{Seen: g.Seen, Valid: g.Valid, NotJudged: g.Unjudged}
	s.Errors = measure.Top(g.Errors, g.Other)
	if g.Held > 0 {
		err := v.Held(func(h ledger.Held) bool {
			if h.Standard == std.Name() && !k.o.Stands(v, std, h.Offered) {
				s.Held++
			}
			return ctx.Err() == nil
		})
		if err = errors.Join(err, ctx.Err()); err != nil {
			return nil, err
		}
	}
	if !g.Since.IsZero() && g.Since.Before(now) {
		s.CountedSince = g.Since
	}
	within := std.Manifest().Measures.FreshWithin
	if !within.IsZero() {
		s.Freshness = &api.StatementFreshness{Within: within.String()}
	}
	filling := measure.NewFilling(measure.PlacesOf(std))
	var live []uint64
	err = v.Survey(ctx, std.Name(), func(index uint64, ver *ledger.Version) {
		live = append(live, index)
		if ver == nil {
			s.Damaged++
			return
		}
		filling.Add(ver.Body)
		if s.Freshness != nil && measure.Fresh(within, time.Unix(ver.Claims.IssuedAt, 0), now) {
			s.Freshness.Fresh++
		}
	})
	if err != nil {
		return nil, err
	}
	s.Records, s.Fields = len(live), filling.Fields()
	if s.Partners, err = k.reach(v, std.Name(), live, now); err != nil {
		return nil, err
	}
	s.Received, err = k.received(ctx, v, std.Name(), now)
	return s, err
}

// reach counts how far live records, by their log indexes, ascending, went out
// under the agreements in force. Two agreements may let one partner have the
// same record: it counts once.
func (k *Keeper) reach(v *ledger.View, std name.Standard, live []uint64, now time.Time) (api.StatementPartners, error) {
	const offered, delivered, acknowledged = 1, 2, 4
	got := map[name.Council][]byte{}
	for _, st := range k.o.Agreements.Standing(now) {
		a := st.Agreement
		if !st.InForce() || a.From != k.o.Self || a.Standard != std.Line() || !a.Way().Copied {
			continue
		}
		f, err := k.o.Ledger.Feed(a.Name, st.Digest)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err != nil {
			return api.StatementPartners{}, err
		}
		partners := make([]ledger.Partner, len(a.To))
		for i, c := range a.To {
			if partners[i], err = v.Partner(f, c); err != nil {
				return api.StatementPartners{}, err
			}
			if got[c] == nil {
				got[c] = make([]byte, len(live))
			}
		}
		err = v.Items(f, func(index uint64) bool {
			at, ok := slices.BinarySearch(live, index)
			if !ok {
				return true // of another version of the standard
			}
			for i, c := range a.To {
				bits := byte(offered)
				if partners[i].Sent(index) {
					bits |= delivered
					if partners[i].Has(index) {
						bits |= acknowledged
					}
				}
				got[c][at] |= bits
			}
			return true
		})
		if err != nil {
			return api.StatementPartners{}, err
		}
	}
	p := api.StatementPartners{Served: len(got)}
	for _, marks := range got {
		for _, m := range marks {
			p.Offered += int(m & offered)
			p.Delivered += int(m & delivered / delivered)
			p.Acknowledged += int(m & acknowledged / acknowledged)
		}
	}
	return p, nil
}

// received counts what other councils' records in a version of a standard are
// held here, and whether somebody looked at them.
func (k *Keeper) received(ctx context.Context, v *ledger.View, std name.Standard, now time.Time) (r api.StatementReceived, err error) {
	if r.EverUsed, err = v.EverUsed(std); err != nil {
		return r, err
	}
	line := map[name.Agreement]name.StandardLine{}
	for _, st := range k.o.Agreements.Standing(now) {
		line[st.Agreement.Name] = st.Agreement.Standard
	}
	for _, src := range k.o.Ledger.Sources() {
		if src.Agreement == "" || src.Records == 0 || line[src.Agreement] != std.Line() {
			continue
		}
		var holdings []ledger.StoredHolding
		var failed error
		err := v.StoredHoldings(src, 0, func(h ledger.StoredHolding, err error) bool {
			if err == nil { // what is damaged is in nobody's hands
				holdings = append(holdings, h)
			}
			if len(holdings) == 2000 {
				failed = k.countHoldings(v, src, std, holdings, &r)
				holdings = holdings[:0]
			}
			return failed == nil && ctx.Err() == nil
		})
		if failed == nil {
			failed = k.countHoldings(v, src, std, holdings, &r)
		}
		if err = errors.Join(err, failed, ctx.Err()); err != nil {
			return r, err
		}
	}
	r.EverUsed = max(r.EverUsed, r.Used)
	return r, nil
}

// countHoldings reads holdings on all cores and adds those of a version of a
// standard to r.
func (k *Keeper) countHoldings(v *ledger.View, src *ledger.Source, std name.Standard, holdings []ledger.StoredHolding, r *api.StatementReceived) error {
	is := make([]bool, len(holdings))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(k.o.Workers, len(holdings)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(holdings) {
					return
				}
				if t, err := holdings[i].Token(); err == nil {
					view, err := t.View()
					is[i] = err == nil && view.Standard == std
				}
			}
		})
	}
	wg.Wait()
	for i, h := range holdings {
		if !is[i] {
			continue
		}
		r.Records++
		used, err := v.Used(src, h.Record, h.Index)
		if err != nil {
			return err
		}
		if used {
			r.Used++
		}
	}
	return nil
}
