package peersync_test

import (
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// TestSuspension: while an agreement is suspended, by whichever side, nothing new
// is shared and what has to come back does, with its receipt. Once it is resumed
// the copy goes on as if nothing had been.
func TestSuspension(t *testing.T) {
	for _, fault := range []wire.Fault{wire.None, wire.Lost, wire.Unsure} {
		t.Run(fmt.Sprint(fault), func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) {
				a := terms(t, northmoor, "items", 1, nil, saltby)
				n, s := w.run(northmoor, a), w.run(saltby, a)
				var many []map[string]any
				for i := range 120 {
					many = append(many, item(fmt.Sprintf("first-%04d", i), "X"))
				}
				n.put(many...)
				w.await("the first copy is there", func() bool { return s.holds(planning, 120) })
				var faults atomic.Int64 // that are still to come, one write in two
				w.world.OnWrite(func(wr wire.Write) wire.Fault {
					if n := faults.Add(-1); n > 0 && n%2 == 0 {
						return fault
					}
					return wire.None
				})
				f, err := n.ledger.Feed(planning, a.Digest())
				if err != nil {
					t.Fatal(err)
				}
				outstanding := func() (open int, p ledger.Partner) {
					t.Helper()
					err := n.ledger.View(func(v *ledger.View) (err error) {
						if p, err = v.Partner(f, saltby); err != nil {
							return err
						}
						return v.Outstanding(f, p, func(uint64, name.Record) bool { open++; return true })
					})
					if err != nil {
						t.Fatal(err)
					}
					return open, p
				}
				was := s.held(planning)
				for round, first := range []*house{n, s} {
					// One side knows of it a while before the other.
					first.book.suspend(a, true)
					first.Refresh()
					if first == n {
						// So that nothing of what follows is sent before it knows.
						time.Sleep(20 * time.Second)
					}
					other := map[*house]*house{n: s, s: n}[first]
					if first == s {
						other.book.suspend(a, true)
						other.Refresh()
						time.Sleep(20 * time.Second)
					}
					fresh := fmt.Sprint("fresh-", round)
					changed := fmt.Sprintf("first-%04d", 20+round)
					gone := []string{fmt.Sprintf("first-%04d", round), fmt.Sprintf("first-%04d", 100+round*10)}
					n.put(item(fresh, "X"), item(gone[0], "Y"))
					n.put(map[string]any{"reference": changed, "ward": "X", "name": "CANARY new", "phone": "1"}, item(gone[1], "Y"))
					faults.Store(12)
					other.book.suspend(a, true)
					other.Refresh()
					w.await("what has to come back has", func() bool { return s.holds(planning, len(was)-2) })
					w.await("it is receipted", func() bool { open, _ := outstanding(); return open == 0 })
					held := s.held(planning)
					if held[fresh] != 0 || held[changed] != 1 || held[gone[0]]+held[gone[1]] != 0 {
						t.Errorf("while it is suspended: %s at %d, %s at %d, %d and %d", fresh, held[fresh], changed, held[changed], held[gone[0]], held[gone[1]])
					}
					if src := s.source(planning); src.Cursor >= src.WithdrawnTo() {
						t.Errorf("the copy went on to %d while it was suspended", src.Cursor)
					}
					// One more, at another time, on a stream of its own.
					time.Sleep(20 * time.Second)
					third := fmt.Sprintf("first-%04d", 50+round)
					n.put(item(third, "Y"))
					w.await("that, too", func() bool { open, _ := outstanding(); return open == 0 && s.held(planning)[third] == 0 })
					// Resumed, it goes on.
					faults.Store(12)
					for _, h := range []*house{first, other} {
						h.book.suspend(a, false)
						h.Refresh()
					}
					w.await("all is as it should be", func() bool {
						open, p := outstanding()
						if open > 0 || p.Held != len(was)-2 {
							return false // to read all that is held costs much
						}
						held := s.held(planning)
						return len(held) == len(was)-2 && held[fresh] == 1 && held[changed] == 2
					})
					was = maps.Clone(s.held(planning))
				}
				if got := s.refusals(northmoor, planning); len(got) > 0 {
					t.Errorf("refused: %v", got)
				}
			})
		})
	}
}
