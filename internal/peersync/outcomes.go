package peersync

import (
	"context"
	"slices"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
)

// recall notes the withdrawals that reached a footprint just before this node
// stopped, and that it had no time to note: those logged among or after the last
// event.KindFootprintContributed, several pages being under way at one time.
func (c *contributor) recall(ctx context.Context) error {
	l, all := c.s.o.Ledger, c.s.o.Confirmations
	var recent []uint64
	all.mu.Lock()
	if p := all.all[confirmKey{c.footprint, c.agreement}]; p != nil {
		recent = slices.Clone(p.recent)
	}
	all.mu.Unlock()
	since := uint64(0)
	if len(recent) > 0 {
		since = recent[0]
	}
	var version uint64
	var found []pair
	err := l.View(func(v *ledger.View) error {
		noted := map[uint64]bool{}
		for _, i := range recent {
			ev, _, err := v.Event(i)
			if err != nil {
				return err
			}
			content, err := event.ParseFootprintContributed(ev.Body)
			if err != nil {
				return err
			}
			for _, own := range content.Withdrawn {
				noted[own] = true
			}
		}
		var failed error
		v.Events(event.KindWithdrawal, since, func(i uint64) bool {
			ev, jws, err := v.Event(i)
			if err != nil {
				failed = err
				return false
			}
			w, err := event.ParseWithdrawal(ev.Body)
			if err != nil || w.Agreement != c.agreement || noted[i] || w.Reason != WithdrawnFields && w.Reason != WithdrawnLost && w.Reason != WithdrawnOver {
				return true // those of the feed are brought, and noted, again
			}
			t, _, err := record.ParseEvent(jws)
			if err == nil {
				var at uint64
				var there bool
				if at, there, err = c.own.f.Index(t.Entry()); err == nil && there {
					version, found = w.Version, append(found, pair{i, at})
				}
			}
			failed = err
			return failed == nil
		})
		return failed
	})
	if err != nil || len(found) == 0 {
		return err
	}
	return c.noteContributed(ctx, event.FootprintContributed{Version: version}, nil, found)
}

// noteContributed logs what a footprint took, and waits for its confirmation.
func (c *contributor) noteContributed(ctx context.Context, content event.FootprintContributed, held, withdrawn []pair) error {
	content.Agreement, content.Footprint, content.Outside = c.agreement, c.footprint, c.own == nil
	content.Held, content.HeldAt = apart(held)
	content.Withdrawn, content.WithdrawnAt = apart(withdrawn)
	body := content.Body()
	index, _, err := c.s.o.Ledger.AppendNotice(ctx, event.KindFootprintContributed, body)
	if err != nil || c.own == nil {
		return err
	}
	c.s.o.Confirmations.add(index, &record.Event{Council: c.s.o.Self, Kind: event.KindFootprintContributed, IssuedAt: c.s.o.Now().Unix(), Body: body})
	select {
	case c.own.settled <- struct{}{}:
	default:
	}
	return nil
}

// outcomes sorts what a footprint made of what it was offered: the records it holds
// and the withdrawals it took, and what it refused.
func (c *contributor) outcomes(offers []offer, got footprint.Receipt) (held, withdrawn []pair, refused []event.RefusedEntry) {
	for i, o := range got.Outcomes {
		of := offers[i]
		switch {
		case o.Code == footprint.Refused && of.item:
			refused = append(refused, event.RefusedEntry{Entry: of.index, Rule: o.Rule})
			c.s.o.Log.Warn("a footprint refused a record", "footprint", c.footprint, "agreement", c.agreement, "entry", of.index, "rule", o.Rule)
		case o.Code == footprint.Refused:
		case of.put:
			held = append(held, pair{of.index, o.Entry})
		default:
			withdrawn = append(withdrawn, pair{of.event, o.Entry})
		}
	}
	return held, withdrawn, refused
}
