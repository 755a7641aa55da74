package footprint

import (
	"fmt"
	"testing"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestCheckedOnce: every member checks every entry, and none twice: the leader
// before it proposes it, the others when it comes. It verifies one signature for each
// page of another, and none for its own.
func TestCheckedOnce(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		w.same()
		before, seals := map[name.Council]uint64{}, map[name.Council]uint64{}
		for _, c := range places[:3] {
			before[c], seals[c] = w.at(c).fsm.rechecked.Load(), w.at(c).fsm.seals.checked.Load()
		}
		leader := w.leader().o.Self
		n := 0
		for _, c := range places[:3] {
			var es []Entry
			for range 30 {
				es = append(es, w.token(c, fmt.Sprint("item-", n), 1, tlog.Hash{}))
				n++
			}
			w.put(c, es...)
		}
		w.same()
		for _, c := range places[:3] {
			want := uint64(n)
			if c == leader {
				want = 0
			}
			if got := w.at(c).fsm.rechecked.Load() - before[c]; got != want {
				t.Errorf("%s checked %d entries for applying them, want %d", c, got, want)
			}
			if got := w.at(c).fsm.seals.checked.Load() - seals[c]; got != 2 {
				t.Errorf("%s verified %d signatures of the pages of three, want those of two", c, got)
			}
			if a := w.at(c).fsm.ahead; len(a.received)+len(a.proposed) > 2 {
				t.Errorf("%s remembers %d commands and %d of its own", c, len(a.received), len(a.proposed))
			}
		}
	})
}
