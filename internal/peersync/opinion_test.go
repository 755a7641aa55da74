package peersync_test

import (
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/opinion"
	"github.com/stile-exchange/stile/internal/peersync"
)

// plant puts a fault into the first evaluator of an agreement, in memory: rows lets every
// record through, and else every field of those that match.
func plant(t *testing.T, f *ledger.Feed, rows bool) {
	t.Helper()
	planted := 0
	byStd := *(**sync.Map)(unsafe.Pointer(reflect.ValueOf(f).Elem().FieldByName("byStd").UnsafeAddr()))
	byStd.Range(func(_, terms any) bool {
		at := reflect.ValueOf(terms.(*agreement.Terms)).Elem()
		flag := at.FieldByName("every")
		if !rows {
			flag = at.FieldByName("tree").Elem().FieldByName("all")
		}
		*(*bool)(unsafe.Pointer(flag.UnsafeAddr())) = true
		planted++
		return true
	})
	if planted == 0 {
		t.Fatal("nothing was planted")
	}
}

// TestSecondOpinionStopsAStream: a fault in the evaluator that decides first lets nothing
// out. What it would let out is stopped before a byte of it is on the wire, and so is all
// that follows; the log says so once.
func TestSecondOpinionStopsAStream(t *testing.T) {
	for what, rule := range map[string]string{"rows": opinion.RuleRows, "fields": opinion.RuleField} {
		t.Run(what, func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) {
				unguarded := func(a *agreement.Agreement) { a.Rows = `record.ward.startsWith("X")` }
				a := terms(t, northmoor, "items", 1, unguarded, saltby)
				n, s := w.run(northmoor, a), w.run(saltby, a)
				n.put(item("first", "X"))
				w.await("the first copy is there", func() bool { return s.holds(planning, 1) })

				f, err := n.ledger.Feed(planning, a.Digest())
				if err != nil {
					t.Fatal(err)
				}
				plant(t, f, what == "rows")
				n.put(item("second", "Y"), item("third", "X"))
				w.await("it is noticed", func() bool { return n.ledger.Disagreement(a.Digest()) != nil })
				d := n.ledger.Disagreement(a.Digest())
				if d.Rule != rule || d.To != saltby || d.Agreement != planning {
					t.Errorf("the disagreement is %+v", d)
				}
				n.put(item("fourth", "X"))
				time.Sleep(10 * time.Minute) // of virtual time, in which it asks again and again
				if got := s.held(planning); len(got) != 1 {
					t.Errorf("%d records arrived", len(got))
				}
				var said []event.OpinionsDiffer
				err = n.ledger.View(func(v *ledger.View) error {
					v.Events(event.KindOpinionsDiffer, 0, func(i uint64) bool {
						o, _, err := ledger.ReadEvent(v, i, event.KindOpinionsDiffer, event.ParseOpinionsDiffer)
						if err != nil {
							t.Error(err)
						}
						said = append(said, o)
						return true
					})
					return nil
				})
				if err != nil || len(said) != 1 || said[0] != d.OpinionsDiffer {
					t.Errorf("the log says %+v: %v", said, err)
				}
				if !slices.ContainsFunc(s.Pulling(), func(l peersync.Link) bool { return strings.Contains(l.Problem, "second opinion") }) {
					t.Errorf("the partner is not told: %+v", s.Pulling())
				}

				// Another text is another decision, with terms of its own.
				b := terms(t, northmoor, "items", 2, unguarded, saltby)
				n.agree(b)
				s.agree(b)
				now, err := n.ledger.Feed(planning, b.Digest())
				if err == nil {
					err = n.ledger.Supersede(t.Context(), f, now)
				}
				if err != nil {
					t.Fatal(err)
				}
				w.await("under the next text it goes on", func() bool { return s.holds(planning, 3) })
			})
		})
	}
}
