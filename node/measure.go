package node

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

// measure counts, and issues what it counted where that is asked for.
func (n *Node) measure(ctx context.Context, in MeasureRequest) (*MeasureReply, error) {
	stds, err := n.measured(in.Standard)
	if err != nil {
		return nil, err
	}
	n.markUsed()
	out := &MeasureReply{Statements: []Statement{}}
	var counted []*measure.Statement
	now := n.now().UTC().Truncate(time.Second)
	err = n.ledger.View(func(v *ledger.View) error {
		for i, std := range stds {
			s, err := n.state(ctx, v, std, now)
			if err != nil {
				return err
			}
			quiet := s.Records == 0 && s.Offers.Seen+s.Offers.NotJudged == 0 && s.Held == 0 && s.Partners.Served == 0 && s.Received.Records == 0
			// Somebody who names a standard is answered, be it by its newest version.
			if quiet && (in.Standard == "" || i < len(stds)-1 || len(counted) > 0) {
				continue
			}
			counted = append(counted, s)
			out.Statements = append(out.Statements, *s)
		}
		return nil
	})
	if err != nil || !in.Publish || len(counted) == 0 {
		return out, err
	}
	out.Published, err = n.issue(ctx, counted)
	return out, err
}

// measured returns the standards that a request means, by name and version: a
// name without a version means every one.
func (n *Node) measured(asked string) (out []*standard.Standard, err error) {
	var one *standard.Standard
	if asked != "" {
		if one, err = n.catalogue.Named(asked); err != nil {
			return nil, err
		}
	}
	_, notFull := name.ParseStandard(asked)
	_, notLine := name.ParseStandardLine(asked)
	for _, s := range n.ledger.Standards() {
		switch {
		case s.Name().Name == measure.Standard:
		case one == nil, s.Name() == one.Name(),
			notFull != nil && notLine == nil && s.Name().Line() == one.Name().Line(),
			notFull != nil && notLine != nil && s.Name().Name == one.Name().Name:
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, fail(Usage, "stile standard list", "there is no standard to measure: statements themselves are not measured")
	}
	return out, nil
}

// issue puts statements out as records of our own, by the way that every
// record goes.
func (n *Node) issue(ctx context.Context, counted []*measure.Statement) ([]PutResult, error) {
	req := PutRequest{Standard: string(measure.Standard)}
	for _, s := range counted {
		b, err := measure.Record(s)
		if err != nil {
			return nil, err
		}
		req.Records = append(req.Records, Offered{Record: b})
	}
	r, err := n.gate.Put(ctx, req)
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == NotFound {
		return nil, fail(NotFound, "stile standard adopt compliance-statement", "the standard of statements is not adopted here")
	}
	if err != nil {
		return nil, err
	}
	for _, x := range r.Results {
		if len(x.Problems) > 0 {
			return nil, &Error{Kind: Failed, Message: "a statement does not fit its own standard", Try: "use the version of Stile that the adopted standard came with", Problems: x.Problems}
		}
	}
	return r.Results, nil
}

// state counts one version of a standard, all at one state of the ledger.
func (n *Node) state(ctx context.Context, v *ledger.View, std *standard.Standard, now time.Time) (*measure.Statement, error) {
	cp, _ := v.Checkpoint()
	s := &measure.Statement{
		Council: n.cfg.Council, Standard: std.Name(), ComputedOn: now.Format(time.DateOnly), ComputedAt: now, CountedSince: now,
		Checkpoint: api.StatementCheckpoint{Origin: cp.Origin, Size: cp.Size, Root: cp.Root.String()},
	}
	if m, ok := n.directory.Member(n.cfg.Council); ok {
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
			if h.Standard == std.Name() && !n.gate.Stands(v, std, h.Offered) {
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
	if s.Partners, err = n.reach(v, std.Name(), live, now); err != nil {
		return nil, err
	}
	s.Received, err = n.received(ctx, v, std.Name(), now)
	return s, err
}

// reach counts how far live records, by their log indexes, ascending, went out
// under the agreements in force. Two agreements may let one partner have the
// same record: it counts once.
func (n *Node) reach(v *ledger.View, std name.Standard, live []uint64, now time.Time) (api.StatementPartners, error) {
	const offered, delivered, acknowledged = 1, 2, 4
	got := map[name.Council][]byte{}
	for _, st := range n.book.Standing(now) {
		a := st.Agreement
		if !st.InForce() || a.From != n.cfg.Council || a.Standard != std.Line() || !a.Way().Copied {
			continue
		}
		f, err := n.ledger.Feed(a.Name, st.Digest)
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
				if index < partners[i].Disclosed {
					bits |= delivered
					if index < partners[i].Cursor {
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
func (n *Node) received(ctx context.Context, v *ledger.View, std name.Standard, now time.Time) (r api.StatementReceived, err error) {
	if r.EverUsed, err = v.EverUsed(std); err != nil {
		return r, err
	}
	line := map[name.Agreement]name.StandardLine{}
	for _, st := range n.book.Standing(now) {
		line[st.Agreement.Name] = st.Agreement.Standard
	}
	for _, src := range n.ledger.Sources() {
		if src.Agreement == "" || src.Records == 0 || line[src.Agreement] != std.Line() {
			continue
		}
		var kept []ledger.Kept
		var failed error
		err := v.Kept(src, 0, func(k ledger.Kept, err error) bool {
			if err == nil { // what is damaged is in nobody's hands
				kept = append(kept, k)
			}
			if len(kept) == 2000 {
				failed = n.countKept(v, src, std, kept, &r)
				kept = kept[:0]
			}
			return failed == nil && ctx.Err() == nil
		})
		if failed == nil {
			failed = n.countKept(v, src, std, kept, &r)
		}
		if err = errors.Join(err, failed, ctx.Err()); err != nil {
			return r, err
		}
	}
	r.EverUsed = max(r.EverUsed, r.Used)
	return r, nil
}

// countKept reads holdings on all cores and adds those of a version of a
// standard to r.
func (n *Node) countKept(v *ledger.View, src *ledger.Source, std name.Standard, kept []ledger.Kept, r *api.StatementReceived) error {
	is := make([]bool, len(kept))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n.cfg.Limits.Workers(), len(kept)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(kept) {
					return
				}
				if t, err := kept[i].Token(); err == nil {
					view, err := t.View()
					is[i] = err == nil && view.Standard == std
				}
			}
		})
	}
	wg.Wait()
	for i, k := range kept {
		if !is[i] {
			continue
		}
		r.Records++
		used, err := v.Used(src, k.Record, k.Index)
		if err != nil {
			return err
		}
		if used {
			r.Used++
		}
	}
	return nil
}
