package peersync_test

import (
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
)

// TestOrderOfAHostileSender: an order to erase among the notices is obeyed by nobody to whom
// the record was not handed over, whoever's it is; of a thousand such orders nothing is kept
// but that they were refused. What was refused holds nothing up that comes behind it.
func TestOrderOfAHostileSender(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "people", 1, nil, saltby)
		n, s := w.run(northmoor, a), w.run(saltby, a)
		put := n.put(item("one", "X"))
		w.await("it is held", func() bool { return s.source(a.Name).Records == 1 })
		order := event.ErasureOrder{Withdrawal: event.Withdrawal{Agreement: a.Name, Version: 1, Record: put[0].Record, Reason: ledger.WithdrawnErased, Entry: put[0].Index}}
		others := order
		others.Agreement = "hexwell.gov.uk/people"
		const flood = 1000
		said := 0
		for range flood / 2 {
			for _, o := range []event.ErasureOrder{order, others} {
				if _, _, err := n.ledger.AppendNotice(t.Context(), event.KindErasureOrder, o.Body(), saltby); err != nil {
					t.Fatal(err)
				}
				said++
			}
		}
		size := s.ledger.Size()
		w.await("all were refused", func() bool {
			src, err := s.ledger.Source(northmoor, "")
			return err == nil && src.Refused == said
		})
		if rules := s.refusals(northmoor, ""); len(rules) > 500 || rules[0] != "order to erase what was not handed over" {
			t.Errorf("%d refusals are kept, the first by %q", len(rules), rules[0])
		}
		if got := s.orders(northmoor); got != 0 || s.source(a.Name).Records != 1 {
			t.Errorf("%d orders are kept, %d records held", got, s.source(a.Name).Records)
		}
		if grew := s.ledger.Size() - size; grew > 100 {
			t.Errorf("its log grew by %d entries", grew)
		}
		again, _ := n.ledger.Notices(saltby)
		w.await("the sender is not held up", func() bool {
			done := false
			if err := n.ledger.View(func(v *ledger.View) error {
				p, err := v.Partner(again, saltby)
				done = p.Cursor >= again.End
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return done
		})
	})
}
