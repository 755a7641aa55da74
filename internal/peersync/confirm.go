package peersync

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
)

// A footprint has no key to sign a receipt with. What stands for one is that its
// members cosigned checkpoints that cover what went in and what was withdrawn: a
// member cosigns only what it has applied, and applying a withdrawal erases the
// record from its replica. So the contributor waits until every council that is a
// member then has cosigned one, and keeps these checkpoints, with the proof that
// its entries are below them, in its own ledger.
//
// What waits is known from our ledger alone: the events event.KindFootprintContributed that no
// event.KindFootprintConfirmed covers.

// maxConfirmed is how many entries one receipt covers, unless one page has more.
const maxConfirmed = 1000

// confirmEvery is how often members are asked whose cosignature is missing, and
// confirmLook how often what is known of them is looked at while something waits.
const (
	confirmEvery = 30 * time.Second
	confirmLook  = 500 * time.Millisecond
)

// maxRecent is more pages than are ever under way at one time.
const maxRecent = 32

// A confirmer waits for the members of a footprint to confirm what we brought
// there.
type confirmer struct {
	s     *Syncer
	r     *replica
	asked time.Time // when members were last asked for their cosignatures
}

func (c *confirmer) turn(ctx context.Context, j *job) (progress bool, err error) {
	ask := c.s.o.Now().Sub(c.asked) >= confirmEvery
	waits, err := c.confirm(ctx, ask)
	if err != nil {
		return false, err
	}
	if ask || !waits {
		c.asked = c.s.o.Now() // what comes next is confirmed without being asked for, as a rule
	}
	if waits {
		pause(ctx, confirmLook)
	} else {
		pause(ctx, followMost, c.r.settled, j.kick)
	}
	return true, nil
}

// confirm writes the receipts that can be written, and reports whether anything
// waits still.
func (c *confirmer) confirm(ctx context.Context, ask bool) (waits bool, err error) {
	all := c.s.o.Confirmations
	all.mu.Lock()
	var keys []confirmKey
	for k, p := range all.all {
		if k.footprint == c.r.name && len(p.waiting) > 0 {
			keys = append(keys, k)
		}
	}
	all.mu.Unlock()
	for _, k := range keys {
		for more := true; more && err == nil; {
			more, err = c.confirmOne(ctx, k, ask)
			ask = ask && more
		}
		waits = waits || all.waits(k)
	}
	return waits, err
}

// confirmOne writes the next receipt of an agreement, if every member has cosigned
// what it takes. It reports whether there may be another.
func (c *confirmer) confirmOne(ctx context.Context, k confirmKey, ask bool) (more bool, err error) {
	all, r := c.s.o.Confirmations, c.r
	all.mu.Lock()
	p := all.all[k]
	var next []contribution
	total, size := 0, uint64(0)
	for _, w := range p.waiting {
		if total += w.entries; total > maxConfirmed && len(next) > 0 {
			break
		}
		next, size = append(next, w), max(size, w.size)
	}
	all.mu.Unlock()
	if len(next) == 0 {
		return false, nil
	}
	covers, missing, err := r.f.Covers(ctx, size, ask)
	if err == nil && len(missing) > 0 && len(next) > 1 {
		// Under a steady stream of records a member is always a little behind:
		// then what came first.
		next, size = next[:1], next[0].size
		covers, missing, err = r.f.Covers(ctx, size, false)
	}
	all.mu.Lock()
	p.missing = missing
	all.mu.Unlock()
	if err != nil || len(missing) > 0 {
		return false, err
	}
	var held, withdrawn []pair
	err = c.s.o.Ledger.View(func(v *ledger.View) error {
		for _, w := range next {
			ev, _, err := v.Event(w.index)
			if err != nil {
				return err
			}
			content, err := event.ParseFootprintContributed(ev.Body)
			if err != nil {
				return err
			}
			held = append(held, pairsOf(content.Held, content.HeldAt)...)
			withdrawn = append(withdrawn, pairsOf(content.Withdrawn, content.WithdrawnAt)...)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	if held, withdrawn, err = c.where(held, withdrawn); err != nil {
		return false, err
	}
	content := event.FootprintConfirmed{Agreement: k.agreement, Footprint: k.footprint, Members: r.f.Councils(), Last: next[len(next)-1].index}
	content.Held, content.HeldAt = apart(held)
	content.Withdrawn, content.WithdrawnAt = apart(withdrawn)
	for _, cover := range covers {
		one := event.Cosigned{Note: string(cover.Note)}
		if len(held) > 0 {
			if one.HeldProof, err = r.f.ProveEntries(content.HeldAt, cover.Size); err != nil {
				return false, err
			}
		}
		if len(withdrawn) > 0 {
			if one.WithdrawnProof, err = r.f.ProveEntries(content.WithdrawnAt, cover.Size); err != nil {
				return false, err
			}
		}
		content.Checkpoints = append(content.Checkpoints, one)
	}
	body := content.Body()
	index, _, err := c.s.o.Ledger.AppendNotice(ctx, event.KindFootprintConfirmed, body)
	if err != nil {
		return false, err
	}
	all.add(index, &record.Event{Council: c.s.o.Self, Kind: event.KindFootprintConfirmed, IssuedAt: c.s.o.Now().Unix(), Body: body})
	return true, nil
}

// where looks whether entries stand where they stood in a footprint's ledger, and
// leaves out what does not stand there any more: when a majority was lost for good,
// its end may have gone with it. As nothing else ever moves an entry, the last one
// tells of all.
func (c *confirmer) where(held, withdrawn []pair) (_, _ []pair, err error) {
	held, withdrawn = inOrder(held), inOrder(withdrawn)
	there := func(v *ledger.View, p pair) (bool, error) {
		entry, _, err := v.Entry(p.own)
		if errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrDamaged) {
			return false, nil // it cannot be shown any more
		}
		if err != nil {
			return false, err
		}
		return c.r.f.Stands(entry, p.at)
	}
	err = c.s.o.Ledger.View(func(v *ledger.View) error {
		last := func(ps []pair) (bool, error) {
			if len(ps) == 0 {
				return true, nil
			}
			return there(v, ps[len(ps)-1])
		}
		a, err := last(held)
		b, berr := last(withdrawn)
		if err = errors.Join(err, berr); err != nil || a && b {
			return err
		}
		for _, ps := range []*[]pair{&held, &withdrawn} {
			var left []pair
			for _, p := range *ps {
				ok, err := there(v, p)
				if err != nil {
					return err
				}
				if ok {
					left = append(left, p)
				}
			}
			if lost := len(*ps) - len(left); lost > 0 {
				c.s.o.Log.Warn("no receipt for entries that a footprint has lost, or that cannot be read here", "footprint", c.r.name, "entries", lost)
			}
			*ps = left
		}
		return nil
	})
	return held, withdrawn, err
}

// A pair is an entry's place in our log and in the footprint's.
type pair struct{ own, at uint64 }

func pairsOf(own, at []uint64) (out []pair) {
	for i := range own {
		out = append(out, pair{own[i], at[i]})
	}
	return out
}

// inOrder sorts by place in the footprint's log, each place once.
func inOrder(ps []pair) []pair {
	slices.SortFunc(ps, func(x, y pair) int { return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.own, y.own)) })
	return slices.CompactFunc(ps, func(x, y pair) bool { return x.at == y.at })
}

func apart(ps []pair) (own, at []uint64) {
	for _, p := range ps {
		own, at = append(own, p.own), append(at, p.at)
	}
	return own, at
}
