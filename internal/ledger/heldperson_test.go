package ledger_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// TestHeldByPerson: what others sent is found by the number of a person, a rebuilt index is
// the same, and no key stays of what was replaced, withdrawn or ended.
func TestHeldByPerson(t *testing.T) {
	std := peopled(t)
	from, to := open(t, "", ring(t)), receiver(t, t.TempDir())
	adopt(t, from, std)
	adopt(t, to, std)
	agreed := *sharing(t, "items", 1, `record.ward == "X"`, "/ward")
	agreed.Fields = append(agreed.Fields, "/phone")
	f := openFeed(t, from, &agreed)
	with := func(ref, phone string) name.Record {
		body := item(ref, "X", "0")
		body["phone"] = phone
		return put(t, from, std, body).Record
	}
	bring := func() {
		t.Helper()
		if err := copyFeed(t.Context(), from, to, f); err != nil {
			t.Fatal(err)
		}
	}
	source := func() *ledger.Source {
		s, err := to.Source(council, agreed.Name)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	about := func(phone string) (n int) {
		t.Helper()
		err := to.View(func(v *ledger.View) error {
			return v.HoldingsAbout(source(), standard.Person{Scheme: "phone", Value: phone}, func(h *ledger.Holding, err error) bool {
				if err != nil {
					t.Error(err)
				}
				n++
				return true
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	index := func() map[string]string {
		out := to.DisclosureIndex()
		for k := range out {
			if !strings.HasPrefix(k, "To") && !strings.HasPrefix(k, "Tq") {
				delete(out, k)
			}
		}
		return out
	}
	want := func(what string, keys int, found map[string]int) {
		t.Helper()
		was := index()
		if len(was) != keys {
			t.Errorf("%s: %d keys, want %d", what, len(was), keys)
		}
		for phone, n := range found {
			if got := about(phone); got != n {
				t.Errorf("%s: %d records about %s, want %d", what, got, phone, n)
			}
		}
		if err := to.RebuildDisclosures(t.Context()); err != nil {
			t.Fatal(err)
		}
		if now := index(); fmt.Sprint(now) != fmt.Sprint(was) {
			t.Errorf("%s: the index made anew differs: %d keys, had %d", what, len(now), len(was))
		}
	}
	a := with("a", "canary 1")
	with("b", "canary 1")
	with("c", "canary 2")
	bring()
	want("held", 6, map[string]int{"CANARY1": 2, "canary 2": 1, "canary 3": 0})
	with("b", "canary 3")
	bring()
	want("replaced", 6, map[string]int{"canary 1": 1, "canary 3": 1})
	remove(t, from, a)
	bring()
	want("withdrawn", 4, map[string]int{"canary 1": 0, "canary 2": 1})
	if err := to.End(t.Context(), source(), "over"); err != nil {
		t.Fatal(err)
	}
	want("ended", 0, map[string]int{"canary 2": 0, "canary 3": 0})
}
