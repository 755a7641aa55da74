package ledger_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// A holding is used once for each version somebody looked at, and the mark goes
// with the holding while the count stays.
func TestUsed(t *testing.T) {
	std := parish(t, "1.0.0")
	from := open(t, "", ring(t))
	adopt(t, from, std)
	r := put(t, from, std, item("1", "A", "x"))
	put(t, from, std, item("2", "A", "x"))
	f := openFeed(t, from, sharing(t, "items", 1, `record.ward == "A"`, "/ward"))
	to := receiver(t, t.TempDir())
	adopt(t, to, std)
	if err := copyFeed(t.Context(), from, to, f); err != nil {
		t.Fatal(err)
	}
	src := func() *ledger.Source {
		s, err := to.Source(council, f.Agreement)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	all := func() (out []*ledger.Holding) {
		err := to.View(func(v *ledger.View) error {
			return v.Holdings(src(), 0, func(h *ledger.Holding, err error) bool {
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, h)
				return true
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	check := func(what string, id name.Record, used bool, ever int) {
		t.Helper()
		err := to.View(func(v *ledger.View) error {
			n := 0
			for _, h := range all() {
				u, err := v.Used(src(), h.View.Record, h.Index)
				if err != nil {
					return err
				}
				if h.View.Record == id && u != used {
					t.Errorf("%s: used is %v", what, u)
				}
				if u {
					n++
				}
			}
			got, err := v.EverUsed(std.Name())
			if got != ever {
				t.Errorf("%s: %d ever used, want %d", what, got, ever)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	mark := func(hs ...*ledger.Holding) uint64 {
		t.Helper()
		before := to.Transactions()
		var uses []ledger.Use
		for _, h := range hs {
			uses = append(uses, ledger.Use{Record: h.View.Record, Index: h.Index, Standard: h.View.Standard})
		}
		if err := to.MarkUsed(t.Context(), src(), nil, uses...); err != nil {
			t.Fatal(err)
		}
		return to.Transactions() - before
	}
	first := all()
	check("held", r.Record, false, 0)
	if n := mark(first...); n != 1 {
		t.Errorf("%d transactions for a page, want 1", n)
	}
	check("looked at", r.Record, true, 2)
	if n := mark(first...); n != 0 {
		t.Errorf("%d transactions for a page that was looked at before, want none", n)
	}
	put(t, from, std, item("1", "A", "y"))
	if err := copyFeed(t.Context(), from, to, f); err != nil {
		t.Fatal(err)
	}
	check("a new version came", r.Record, false, 2)
	mark(first...) // somebody was still looking at the old ones
	check("the old version was looked at again", r.Record, false, 2)
	mark(all()...)
	check("the new version was looked at", r.Record, true, 3)
	put(t, from, std, item("1", "B", "y"))
	if err := copyFeed(t.Context(), from, to, f); err != nil {
		t.Fatal(err)
	}
	put(t, from, std, item("1", "A", "y"))
	if err := copyFeed(t.Context(), from, to, f); err != nil {
		t.Fatal(err)
	}
	check("withdrawn, and given again", r.Record, false, 3)
	if err := to.End(t.Context(), src(), "over"); err != nil {
		t.Fatal(err)
	}
	check("ended", "", false, 3)
	mark(first...)
	check("what is gone is not marked", "", false, 3)
}

// Of what came it is known how many records were looked at, and on which day each field
// was; a second look on a day writes nothing.
func TestReadingIsByDay(t *testing.T) {
	std := parish(t, "1.0.0")
	from := open(t, "", ring(t))
	adopt(t, from, std)
	for _, r := range []string{"1", "2", "3"} {
		put(t, from, std, item(r, "A", "x"))
	}
	f := openFeed(t, from, sharing(t, "items", 1, `record.ward == "A"`, "/ward", "/note"))
	now := time.Date(2026, 11, 1, 23, 0, 0, 0, time.UTC)
	theirs, err := keys.Generate(saltby)
	if err != nil {
		t.Fatal(err)
	}
	to := open(t, t.TempDir(), theirs, func(o *ledger.Options) { o.Council, o.Now = saltby, func() time.Time { return now } })
	adopt(t, to, std)
	if err := copyFeed(t.Context(), from, to, f); err != nil {
		t.Fatal(err)
	}
	src, err := to.Source(council, f.Agreement)
	if err != nil {
		t.Fatal(err)
	}
	var held []ledger.Use
	read := func() (r ledger.Reading) {
		t.Helper()
		err := to.View(func(v *ledger.View) (err error) {
			held = nil
			if r, err = v.Reading(src); err != nil {
				return err
			}
			return v.Holdings(src, 0, func(h *ledger.Holding, err error) bool {
				held = append(held, ledger.Use{Record: h.View.Record, Index: h.Index, Standard: h.View.Standard})
				return err == nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	mark := func(fields []name.Field, uses ...ledger.Use) uint64 {
		t.Helper()
		before := to.Transactions()
		if err := to.MarkUsed(t.Context(), src, fields, uses...); err != nil {
			t.Fatal(err)
		}
		return to.Transactions() - before
	}
	if r := read(); r.Records != 0 || len(r.Fields) != 0 || !r.Since.IsZero() {
		t.Errorf("before anybody looked: %+v", r)
	}
	mark([]name.Field{"/ward"}, held[0])
	if n := mark([]name.Field{"/ward"}, held[0]); n != 0 {
		t.Errorf("a second look on the same day: %d transactions", n)
	}
	now = now.Add(2 * time.Hour)
	mark([]name.Field{"/note"}, held[0], held[1])
	day := func(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, time.UTC) }
	want := ledger.Reading{Records: 2, Since: day(1), Fields: map[name.Field]time.Time{"/ward": day(1), "/note": day(2)}}
	if r := read(); !reflect.DeepEqual(r, want) {
		t.Errorf("%+v, want %+v", r, want)
	}
	now = now.AddDate(0, 0, 1)
	mark(nil, held...)
	want.Records, want.Fields[""] = 3, day(3)
	if r := read(); !reflect.DeepEqual(r, want) {
		t.Errorf("%+v, want %+v", r, want)
	}
}
