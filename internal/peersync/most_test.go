package peersync_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

func most(m agreement.Most) func(*agreement.Agreement) {
	return func(a *agreement.Agreement) { a.Most = m }
}

// TestMostLeaves: what is beyond the bound of a day waits for the next, what is beyond that
// of all stays, and withdrawals wait for neither.
func TestMostLeaves(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, most(agreement.Most{All: 25, Day: 10}), saltby)
		std := parish(t, "parish-item", "1.0.0")
		n, s := w.runWith(northmoor, std, w.now, a), w.runWith(saltby, std, w.now, a)
		var many []map[string]any
		for i := range 30 {
			many = append(many, item(fmt.Sprintf("many-%02d", i), "X"))
		}
		f, err := n.ledger.Feed(planning, a.Digest())
		if err != nil {
			t.Fatal(err)
		}
		partner := func() (p ledger.Partner, open int) {
			t.Helper()
			err := n.ledger.View(func(v *ledger.View) (err error) {
				if p, err = v.Partner(f, saltby); err == nil {
					err = v.Outstanding(f, p, func(uint64, name.Record) bool { open++; return true })
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return p, open
		}
		// At the start of a day, so that none turns on the way.
		holds := func(want int, why string) {
			t.Helper()
			w.await(fmt.Sprintf("%d are held", want), func() bool { return s.holds(planning, want) })
			time.Sleep(time.Minute)
			p, _ := partner()
			if got := len(s.held(planning)); got != want || p.Waits(a.Most, w.now()) != why {
				t.Fatalf("%d are held, want %d; it waits since %q", got, want, p.Waits(a.Most, w.now()))
			}
			if !s.source(planning).Bounded {
				t.Error("the receiver does not see that the bound is reached")
			}
		}
		day := "the agreement lets 10 go in a day, and they have gone today: the rest waits for tomorrow (UTC)"
		all := "the agreement lets 25 records go in all, and they have gone"
		w.ahead.Store(int64(time.Until(time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour))))
		n.put(many...)
		holds(10, day)
		w.ahead.Add(int64(24 * time.Hour))
		holds(20, day)
		// A withdrawal does not wait.
		n.put(item("many-03", "Y"), item("many-29", "Y"))
		w.await("it is withdrawn and receipted", func() bool { _, open := partner(); return open == 0 && s.held(planning)["many-03"] == 0 })
		w.ahead.Add(int64(24 * time.Hour))
		// Five more: which came and went counts as gone.
		holds(24, all)
		n.put(item("late", "X"), item("many-04", "Y"))
		w.await("it is withdrawn", func() bool { _, open := partner(); return open == 0 && s.held(planning)["many-04"] == 0 })
		w.ahead.Add(int64(48 * time.Hour))
		time.Sleep(time.Minute)
		if got := s.held(planning); len(got) != 23 || got["late"] != 0 {
			t.Errorf("%d are held", len(got))
		}
		// A new text with another bound lets the rest go, and what is held counts anew.
		b := terms(t, northmoor, "items", 2, most(agreement.Most{All: 28}), saltby)
		if err := n.ledger.OpenFeed(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if err := n.ledger.AwaitFeed(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		g, err := n.ledger.Feed(planning, b.Digest())
		if err != nil {
			t.Fatal(err)
		}
		if err := n.ledger.Supersede(t.Context(), f, g); err != nil {
			t.Fatal(err)
		}
		n.agree(b)
		s.agree(b)
		w.await("all are held", func() bool { return s.holds(planning, 28) && s.held(planning)["late"] == 1 })
		if got := s.refusals(northmoor, planning); len(got) > 0 {
			t.Errorf("refused: %v", got)
		}
		if src := s.source(planning); src.Older != 0 {
			t.Errorf("%d count as of the text before", src.Older)
		}
	})
}

// TestMostComes: a receiver refuses what is beyond the bound, whatever its sender believes
// it may send.
func TestMostComes(t *testing.T) {
	for _, c := range []struct {
		m    agreement.Most
		held int
	}{{agreement.Most{All: 7}, 7}, {agreement.Most{Day: 5}, 10}} { // its day may touch two of the sender's
		inTown(t, func(t *testing.T, w *town) {
			a := terms(t, northmoor, "items", 1, most(c.m), saltby)
			s := w.run(saltby, a)
			f := newForger(t, w.rings[northmoor])
			for i := range 12 {
				f.record(fmt.Sprintf("many-%02d", i), nil)
			}
			w.perform(northmoor, func(x *exchange) {
				if x.hello.GetCursor() == 0 {
					if err := x.send(f.batch(0, f.from(0)...)); err != nil {
						t.Error(err)
					}
				}
			})
			w.await("the rest is refused", func() bool { return len(s.refusals(northmoor, planning)) == 12-c.held })
			if got := len(s.held(planning)); got != c.held {
				t.Errorf("%d are held, want %d", got, c.held)
			}
			for _, rule := range s.refusals(northmoor, planning) {
				if rule != ledger.RuleMost {
					t.Errorf("refused by %s", rule)
				}
			}
		})
	}
}
