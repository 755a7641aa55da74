package ledger_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// TestHeldByPerson: what others sent is found by the number of a person, a rebuilt index is
// the same, also in a folder of before there was one, and no key stays of what was replaced,
// withdrawn, ended, or given up with a log that began anew.
func TestHeldByPerson(t *testing.T) {
	std := peopled(t)
	theirs, err := keys.Generate(saltby)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	reopen := func() *ledger.Ledger { return open(t, dir, theirs, func(o *ledger.Options) { o.Council = saltby }) }
	from, to := open(t, "", ring(t)), reopen()
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
	// A folder in which the index is of an earlier version, and so has none of this.
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := ledger.Alter(dir, func(key, _ []byte) []byte {
		if string(key) == "Tv" {
			return []byte{0}
		}
		return nil
	}); err != nil || n != 1 {
		t.Fatalf("altered %d keys: %v", n, err)
	}
	to = reopen()
	want("of an older folder", 4, map[string]int{"canary 1": 0, "canary 2": 1})
	if err := to.Quarantine(t.Context(), council, ledger.Quarantine{Fault: event.FaultFork, Reason: "two histories"}); err != nil {
		t.Fatal(err)
	}
	if err := to.EndQuarantine(t.Context(), council, event.FollowTold, "they begin anew"); err != nil {
		t.Fatal(err)
	}
	want("begun anew", 0, map[string]int{"canary 2": 0, "canary 3": 0})
	bring()
	want("given again", 4, map[string]int{"canary 2": 1, "canary 3": 1})
	if err := to.End(t.Context(), source(), "over"); err != nil {
		t.Fatal(err)
	}
	want("ended", 0, map[string]int{"canary 2": 0, "canary 3": 0})
}

// BenchmarkHoldingsAbout: what does it cost to find what others sent about one person, of a
// thousand records and of ten thousand?
func BenchmarkHoldingsAbout(b *testing.B) {
	for _, size := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			std := peopled(b)
			from, to := open(b, "", ring(b)), receiver(b, b.TempDir())
			adopt(b, from, std)
			adopt(b, to, std)
			agreed := *sharing(b, "items", 1, `record.ward == "X"`, "/ward")
			agreed.Fields = append(agreed.Fields, "/phone")
			f := openFeed(b, from, &agreed)
			var offers []*ledger.Offer
			for i := range size {
				body := item(fmt.Sprint(i), "X", "0")
				body["phone"] = fmt.Sprint("canary ", i)
				o, err := from.Offer(std, body)
				if err != nil {
					b.Fatal(err)
				}
				offers = append(offers, o)
			}
			if err := from.Write(b.Context(), offers...); err != nil {
				b.Fatal(err)
			}
			if err := copyFeed(b.Context(), from, to, f); err != nil {
				b.Fatal(err)
			}
			s, err := to.Source(council, agreed.Name)
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			for b.Loop() {
				who := standard.Person{Scheme: "phone", Value: fmt.Sprint("canary ", n*7919%size)}
				n++
				found := 0
				err := to.View(func(v *ledger.View) error {
					return v.HoldingsAbout(s, who, func(_ *ledger.Holding, err error) bool { found++; return err == nil })
				})
				if err != nil || found != 1 {
					b.Fatalf("%d records, %v", found, err)
				}
			}
		})
	}
}
