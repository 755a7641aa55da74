package ledger_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// parishTwo is an agreement over the second major.
func parishTwo(t testing.TB) *agreement.Agreement {
	t.Helper()
	a, err := agreement.Parse([]byte(`
agreement: northmoor.gov.uk/items-two
version: 1
from: northmoor.gov.uk
to: [saltby.gov.uk]
mode: replicate
standard: standards.example/parish-item@2
rows: 'record.ward == "X"'
fields: [/reference, /ward, /name, /phone]
starts: 2026-01-01
`))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// write writes one offer and returns what became of it.
func write(t testing.TB, l *ledger.Ledger, o *ledger.Offer) (ledger.Result, error) {
	t.Helper()
	if err := l.Write(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return o.Result()
}

func offerOf(t testing.TB, l *ledger.Ledger, std *standard.Standard, body map[string]any) *ledger.Offer {
	t.Helper()
	o, err := l.Offer(std, body)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestTwoMajors: a council may hold one case in two majors. Each is a record of
// its own, and an agreement over one lets nothing of the other out: not of what
// is there when it is opened, not live, not when the other changes or goes.
func TestTwoMajors(t *testing.T) {
	one, two := parish(t, "1.0.0"), parish(t, "2.0.0")
	l := open(t, "", ring(t))
	adopt(t, l, one, two)
	first, second := put(t, l, one, item("A", "X", "one")), put(t, l, two, item("A", "X", "two"))
	if first.Record == second.Record || second.Version != 1 || first.Version != 1 {
		t.Fatalf("two majors share a record: %+v and %+v", first, second)
	}
	f1, f2 := openFeed(t, l, sharing(t, "items", 1, `record.ward == "X"`, "/ward", "/name")), openFeed(t, l, parishTwo(t))
	put(t, l, two, item("B", "X", "two only"))
	put(t, l, one, item("C", "X", "one only"))
	put(t, l, two, item("A", "X", "two again"))
	check := func(when string, want1, want2 map[string]string) {
		t.Helper()
		for f, want := range map[*ledger.Feed]map[string]string{f1: want1, f2: want2} {
			to := receiver(t, "")
			if err := copyFeed(t.Context(), l, to, f); err != nil {
				t.Fatal(err)
			}
			if got := holdings(t, to, "northmoor.gov.uk", f.Agreement); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s, under %s: got %v, want %v", when, f.Agreement, got, want)
			}
		}
	}
	check("both", map[string]string{
		"A": `1 {"name":"one","reference":"A","ward":"X"}`, "C": `1 {"name":"one only","reference":"C","ward":"X"}`,
	}, map[string]string{
		"A": `2 {"name":"two again","reference":"A","ward":"X"}`, "B": `1 {"name":"two only","reference":"B","ward":"X"}`,
	})
	remove(t, l, second.Record)
	check("when the newer is gone", map[string]string{
		"A": `1 {"name":"one","reference":"A","ward":"X"}`, "C": `1 {"name":"one only","reference":"C","ward":"X"}`,
	}, map[string]string{"B": `1 {"name":"two only","reference":"B","ward":"X"}`})
}

// TestMadeRecords: a record that a mapping makes is tied to the one it is made
// from, and to no other; what somebody wrote by hand is not overwritten.
func TestMadeRecords(t *testing.T) {
	dir := t.TempDir()
	r := ring(t)
	one, two := parish(t, "1.0.0"), parish(t, "2.0.0")
	line1, line2 := one.Name().Line(), two.Name().Line()
	l := open(t, dir, r)
	adopt(t, l, one, two)
	a, b := put(t, l, one, item("A", "X", "a")), put(t, l, one, item("B", "X", "b"))
	hand := put(t, l, two, item("H", "X", "by hand"))

	if _, err := write(t, l, offerOf(t, l, two, item("A", "X", "a")).MadeFrom(a.Record)); !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("made before anything is mapped: %v", err)
	}
	if err := l.Map(t.Context(), two.Name(), 1); err != nil {
		t.Fatal(err)
	}
	size := l.Size()
	if err := l.Map(t.Context(), two.Name(), 1); err != nil || l.Size() != size {
		t.Errorf("said twice: %v, %d entries more", err, l.Size()-size)
	}
	if err := l.Map(t.Context(), two.Name(), 0); !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("mapped from another major beside: %v", err)
	}

	made, err := write(t, l, offerOf(t, l, two, item("A", "X", "a")).MadeFrom(a.Record))
	if err != nil || made.Outcome != ledger.Created {
		t.Fatalf("made: %+v, %v", made, err)
	}
	if got, err := write(t, l, offerOf(t, l, two, item("A", "X", "a")).MadeFrom(a.Record)); err != nil || got.Outcome != ledger.Unchanged {
		t.Errorf("made again: %+v, %v", got, err)
	}
	if _, err := write(t, l, offerOf(t, l, two, item("H", "X", "made")).MadeFrom(b.Record)); !errors.Is(err, ledger.ErrByHand) {
		t.Errorf("made over what was written by hand: %v", err)
	}
	if _, err := write(t, l, offerOf(t, l, two, item("A", "X", "made")).MadeFrom(b.Record)); !errors.Is(err, ledger.ErrByHand) {
		t.Errorf("made from two: %v", err)
	}
	if _, err := write(t, l, l.OfferDelete(made.Record)); !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("deleted by hand: %v", err)
	}

	// It is on disk.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, r)
	if m := l.Mapped(); len(m) != 1 || m[0].Standard != two.Name() || m[0].From != 1 || m[0].Source() != line1 {
		t.Fatalf("after opening again: %+v", m)
	}
	view := func(f func(v *ledger.View) error) {
		t.Helper()
		if err := l.View(f); err != nil {
			t.Fatal(err)
		}
	}
	view(func(v *ledger.View) error {
		if from, ok := v.MadeFrom(two, made.Record); !ok || from != a.Record {
			t.Errorf("MadeFrom = %v, %v", from, ok)
		}
		if _, ok := v.MadeFrom(two, hand.Record); ok {
			t.Error("what was written by hand counts as made")
		}
		n := 0
		return v.Made(line2, func(m, src name.Record) bool {
			if n++; m != made.Record || src != a.Record || n > 1 {
				t.Errorf("Made: %v from %v", m, src)
			}
			return true
		})
	})

	// By hand over what was made: it is taken over, even when it says the same.
	if got, err := write(t, l, offerOf(t, l, two, item("A", "X", "a"))); err != nil || got.Outcome != ledger.Unchanged {
		t.Errorf("taken over: %+v, %v", got, err)
	}
	if _, err := write(t, l, offerOf(t, l, two, item("A", "X", "changed")).MadeFrom(a.Record)); !errors.Is(err, ledger.ErrByHand) {
		t.Errorf("made over what was taken over: %v", err)
	}
	if _, err := write(t, l, l.OfferDelete(made.Record)); err != nil {
		t.Errorf("delete what was taken over: %v", err)
	}
	if _, err := write(t, l, offerOf(t, l, two, item("A", "X", "anew")).MadeFrom(a.Record)); err != nil {
		t.Errorf("make what was deleted: %v", err)
	}

	// It ends when all that was made is gone, and not before.
	if err := l.Unmap(t.Context(), line1); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("ended what never began: %v", err)
	}
	if err := l.Unmap(t.Context(), line2); err != nil {
		t.Fatal(err)
	}
	if err := l.Unmapped(t.Context(), line2); !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("forgotten with records left: %v", err)
	}
	if _, err := write(t, l, l.OfferDelete(made.Record).MadeFrom(a.Record)); err != nil {
		t.Errorf("delete: %v", err)
	}
	if err := l.Unmapped(t.Context(), line2); err != nil || len(l.Mapped()) != 0 {
		t.Errorf("forget: %v, %v left", err, l.Mapped())
	}

	// Who began and ended it stands in the log.
	view(func(v *ledger.View) error {
		var said []string
		v.Events(event.KindStandardMapped, 0, func(i uint64) bool {
			ev, _, err := v.Event(i)
			if err != nil {
				t.Fatal(err)
			}
			m, err := event.ParseStandardMapped(ev.Body)
			said = append(said, fmt.Sprintln(ev.Council, m.Standard, m.From, m.On, err == nil))
			return true
		})
		want := []string{"northmoor.gov.uk standards.example/parish-item@2.0.0 1 true true\n", "northmoor.gov.uk standards.example/parish-item@2.0.0 1 false true\n"}
		if fmt.Sprint(said) != fmt.Sprint(want) {
			t.Errorf("said %q, want %q", said, want)
		}
		return nil
	})
}

// TestChangesOf: each record once, as it is now, a page at a time.
func TestChangesOf(t *testing.T) {
	one, two := parish(t, "1.0.0"), parish(t, "2.0.0")
	line1, line2 := one.Name().Line(), two.Name().Line()
	l := open(t, "", ring(t))
	adopt(t, l, one, parish(t, "1.1.0"), two)
	var offers []*ledger.Offer
	for i := range 1200 {
		offers = append(offers, offerOf(t, l, one, item(fmt.Sprint("r", i), "X", "first")))
	}
	if err := l.Write(t.Context(), offers...); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		put(t, l, two, item(fmt.Sprint("r", i), "X", "of the other major"))
	}
	gone := put(t, l, one, item("r7", "X", "second"))
	remove(t, l, gone.Record)
	changed := put(t, l, parish(t, "1.1.0"), item("r8", "X", "second"))
	if err := l.Map(t.Context(), two.Name(), 1); err != nil {
		t.Fatal(err)
	}

	pages, seen, from := 0, map[name.Record]int{}, uint64(0)
	for from < l.Size() {
		err := l.View(func(v *ledger.View) error {
			cs, next, err := v.ChangesOf(line1, line2, from)
			if err != nil {
				return err
			}
			if next <= from || len(cs) > 500 {
				t.Fatalf("page of %d from %d goes on at %d", len(cs), from, next)
			}
			for _, c := range cs {
				seen[c.Record]++
				switch {
				case c.Err != nil || c.Made != "":
					t.Errorf("%+v", c)
				case (c.Version == nil) != (c.Record == gone.Record):
					t.Errorf("%s: deleted %v", c.Record, c.Version == nil)
				case c.Record == changed.Record && (c.Version.Body["name"] != "second" || c.Version.Standard.Name().String() != "standards.example/parish-item@1.1.0"):
					t.Errorf("%s is not the newest version", c.Record)
				}
			}
			from = next
			pages++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 1200 || pages < 3 {
		t.Errorf("%d records on %d pages", len(seen), pages)
	}
	for r, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", r, n)
		}
	}
	m := l.Mapped()[0]
	if err := l.Followed(t.Context(), m, from); err != nil || l.Mapped()[0].Cursor != from {
		t.Errorf("Followed: %v, %+v", err, l.Mapped())
	}
	// Somebody who read the state before does not move it back.
	if err := l.Followed(t.Context(), m, 1); err != nil || l.Mapped()[0].Cursor != from {
		t.Errorf("moved back: %v, %+v", err, l.Mapped())
	}
}
