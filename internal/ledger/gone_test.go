package ledger_test

import (
	"cmp"
	"slices"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestGone: what a commitment counts comes out of what is held and what has gone, also of
// what went while the copy was counted and before the sender's word came; a later commitment
// forgets what went before it, and so does the end.
func TestGone(t *testing.T) {
	std := parish(t, "1.0.0")
	from, to := open(t, "", ring(t)), receiver(t, t.TempDir())
	adopt(t, from, std)
	adopt(t, to, std)
	f := openFeed(t, from, sharing(t, "items", 1, `record.ward == "X"`, "/ward"))
	ids := map[string]name.Record{}
	with := func(ref, ward string) { ids[ref] = put(t, from, std, item(ref, ward, "0")).Record }
	source := func() *ledger.Source {
		t.Helper()
		s, err := to.OpenSource(t.Context(), council, f.Agreement)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	refuse := map[name.Record]bool{}
	bring := func() {
		t.Helper()
		p, err := from.Page(f, source().Cursor)
		if err != nil {
			t.Fatal(err)
		}
		d, err := delivery(p)
		if err == nil {
			err = meet(t.Context(), from, to, p)
		}
		if err != nil {
			t.Fatal(err)
		}
		var taken []ledger.Put
		for _, p := range d.Puts {
			p.Hash = hashOf(t, p)
			if refuse[p.Record] {
				d.Given = append(d.Given, ledger.Given{Index: p.Index, Record: p.Record, Hash: p.Hash})
				continue
			}
			taken = append(taken, p)
		}
		d.Puts = taken
		if _, err := to.Receive(t.Context(), source(), d); err != nil {
			t.Fatal(err)
		}
	}
	committed := func() event.AgreementCheckpoint {
		t.Helper()
		if err := from.PageSummed(t.Context(), f, saltby, from.Size(), func(*ledger.Page) bool { return true }); err != nil {
			t.Fatal(err)
		}
		at, said, err := commitmentsOf(from, f.Agreement)
		if err != nil || len(at) == 0 {
			t.Fatal(at, err)
		}
		return said[len(said)-1]
	}
	told := func(c event.AgreementCheckpoint) {
		t.Helper()
		if err := to.Told(t.Context(), source(), c, ledger.Words{Entry: c.Size}, []byte("words")); err != nil {
			t.Fatal(err)
		}
		if s := source(); s.Compared == nil || s.Compared.Sender.Size != c.Size || !s.Compared.Equal() {
			t.Fatalf("compared with %+v: %+v", c, s.Compared)
		}
	}
	// check adds up what is held of then, and what has gone, and compares.
	check := func(c event.AgreementCheckpoint, want map[string]string) {
		t.Helper()
		type member struct {
			index uint64
			hash  tlog.Hash
		}
		var all []member
		got := map[string]string{}
		err := to.View(func(v *ledger.View) error {
			whole, err := v.Gone(source(), func(g ledger.Gone) error {
				if g.Index >= c.Size {
					return nil
				}
				all = append(all, member{g.Index, g.Hash})
				why := "newer"
				switch {
				case g.By == 0:
					why = "not held"
				case g.Event != nil:
					why = "taken back"
				}
				for ref, id := range ids {
					if id == g.Record {
						got[ref] = why
					}
				}
				if w := g.Was; w != nil && (agreement.Permitted{Index: g.Index, Record: g.Record, Version: w.Version, Entry: w.Entry, Fields: w.Fields}).Hash() != g.Hash {
					t.Errorf("%+v does not hash to %s", w, g.Hash)
				}
				if (why == "newer") != (g.Was != nil) {
					t.Errorf("what is kept of %s: %+v", why, g.Was)
				}
				return nil
			})
			if !whole {
				t.Error("more has gone than is remembered")
			}
			if err != nil {
				return err
			}
			return v.Holdings(source(), 0, func(h *ledger.Holding, err error) bool {
				if err != nil {
					t.Error(err)
				} else if h.Index < c.Size {
					all = append(all, member{h.Index, agreement.Permitted{Index: h.Index, Record: h.View.Record, Version: h.Version, Entry: h.Token.Entry(), Fields: agreement.FieldsOf(h.View.Disclosed)}.Hash()})
				}
				return true
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(all, func(a, b member) int { return cmp.Compare(a.index, b.index) })
		var tally tlog.Tally
		for _, m := range all {
			tally.Add(m.hash)
		}
		if tally.Size() != c.Count || tally.Root() != c.Root {
			t.Errorf("held and gone are %d, root %s; committed to %d, root %s", tally.Size(), tally.Root(), c.Count, c.Root)
		}
		if len(got) != len(want) {
			t.Errorf("gone: %v, want %v", got, want)
		}
		for ref, why := range want {
			if got[ref] != why {
				t.Errorf("%s: %q, want %q", ref, got[ref], why)
			}
		}
	}
	if err := to.Restart(t.Context(), source(), f.Digest.String()); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"a", "b", "c", "d"} {
		with(ref, "X")
	}
	refuse[ids["d"]] = true
	bring()
	first := committed()
	// What goes while it is counted is remembered, and what goes before the word is here.
	size := source().Cursor
	if size != first.Size {
		t.Fatalf("the copy is at %d, and the sender counted at %d", size, first.Size)
	}
	err := to.CountCopy(t.Context(), source(), size, func() {
		with("a", "Y") // moves away
		bring()
	})
	if err != nil {
		t.Fatal(err)
	}
	put(t, from, std, item("b", "X", "1")) // changes
	with("e", "X")
	bring()
	told(first)
	want := map[string]string{"a": "taken back", "b": "newer", "d": "not held"}
	check(first, want)
	with("b", "Y")
	with("e", "Y")
	bring()
	check(first, want)

	// The next commitment counts from anew, and what went before it is forgotten.
	with("f", "X")
	bring()
	second := committed()
	if err := to.CountCopy(t.Context(), source(), second.Size, func() {}); err != nil {
		t.Fatal(err)
	}
	check(first, want)
	told(second)
	check(second, map[string]string{"d": "not held"})
	if n := to.CountKeys(ledger.GonePrefix(source())); n != 0 || source().Gone != 0 {
		t.Errorf("%d keys, and %d said, of what went before the commitment that is kept", n, source().Gone)
	}

	// A sender cannot fill the disk: what is beyond the bound is said to be missing.
	if err := to.FillGone(t.Context(), source()); err != nil {
		t.Fatal(err)
	}
	with("c", "Y")
	bring()
	err = to.View(func(v *ledger.View) error {
		whole, err := v.Gone(source(), func(ledger.Gone) error { return nil })
		if whole {
			t.Error("what is not remembered is not missed")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := to.CountKeys(ledger.GonePrefix(source())); n != 0 {
		t.Errorf("%d are remembered beyond the bound", n)
	}
	if err := to.End(t.Context(), source(), "over"); err != nil {
		t.Fatal(err)
	}
	if source().Gone != 0 {
		t.Errorf("%d have gone since nothing", source().Gone)
	}
}

func commitmentsOf(l *ledger.Ledger, a name.Agreement) (at []uint64, out []event.AgreementCheckpoint, err error) {
	err = l.View(func(v *ledger.View) error {
		at, out, err = v.AgreementCheckpoints(a)
		return err
	})
	return at, out, err
}

func hashOf(t *testing.T, p ledger.Put) tlog.Hash {
	t.Helper()
	tok, err := record.ParseAlone(p.Token)
	if err != nil {
		if tok, err = record.Parse(p.Token); err != nil {
			t.Fatal(err)
		}
	}
	view, err := tok.View()
	if err != nil {
		t.Fatal(err)
	}
	return agreement.Permitted{Index: p.Index, Record: p.Record, Version: p.Version, Entry: p.Entry, Fields: agreement.FieldsOf(view.Disclosed)}.Hash()
}
