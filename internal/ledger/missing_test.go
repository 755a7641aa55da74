package ledger_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// TestEachTableMissing removes each table in turn, of a ledger whose records have older versions in older tables, some of them
// deleted, and that holds what it sends itself. Nothing older is shown as current: a record is as it was or named, what is held is
// hidden or as it was; and once it is put back and copied again all is as it was.
func TestEachTableMissing(t *testing.T) {
	t.Parallel()
	base, r, std := t.TempDir(), ring(t), parish(t, "1.0.0")
	o := ledger.Options{Dir: base, Council: council, Keys: r, MinFree: 1, Memory: small}
	doc := sharing(t, "items", 1, `record.ward == "X"`, "/ward", "/name")
	ids := map[name.Record]bool{}
	for round := range 3 {
		l, err := ledger.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			adopt(t, l, std)
			openFeed(t, l, doc)
		}
		for i := range 18 {
			if i%3 < round {
				continue
			}
			ward := "X"
			if i%4 == round {
				ward = "Y"
			}
			ids[put(t, l, std, item(fmt.Sprint("ref-", i), ward, fmt.Sprint("round ", round))).Record] = true
		}
		if round == 2 {
			for id := range ids {
				remove(t, l, id)
				break
			}
		}
		if err := copyFeed(t.Context(), l, l, l.Feeds()[0]); err != nil {
			t.Fatal(err)
		}
		// These stand in the table that is written last, over what older ones have.
		for i := 12; i < 18; i++ {
			put(t, l, std, item(fmt.Sprint("ref-", i), "X", fmt.Sprint("later in round ", round)))
		}
		if err := copyFeed(t.Context(), l, l, l.Feeds()[0]); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	state := func(l *ledger.Ledger) (bodies map[name.Record]string, held map[name.Record]string) {
		bodies, held = map[name.Record]string{}, map[name.Record]string{}
		for id := range ids {
			bodies[id] = readBody(t, l, id)
		}
		err := l.View(func(v *ledger.View) error {
			for _, s := range l.Sources() {
				if err := v.Holdings(s, 0, func(h *ledger.Holding, err error) bool {
					if err == nil {
						held[h.View.Record] += fmt.Sprint(h.View.Version, h.View.Body)
					}
					return true
				}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		return bodies, held
	}
	o.Dir = copyOf(t, base)
	whole, err := ledger.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	bodies, held := state(whole)
	if err := whole.Close(); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(base, "*.sst"))
	if err != nil || len(tables) < 2 || len(held) == 0 {
		t.Fatalf("%d tables, %d held, %v", len(tables), len(held), err)
	}
	for _, table := range tables {
		what := filepath.Base(table) + " missing"
		o.Dir = copyOf(t, base)
		if err := os.Remove(filepath.Join(o.Dir, filepath.Base(table))); err != nil {
			t.Fatal(err)
		}
		l, err := ledger.Open(o)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		d := l.Damaged()
		if d == nil || len(d.Entries) == 0 || d.Tree != "" {
			t.Fatalf("%s: damaged is %+v", what, d)
		}
		named := map[name.Record]bool{}
		for _, e := range d.Entries {
			named[e.Record] = true
		}
		lost := 0
		got, hold := state(l)
		for id, want := range bodies {
			if got[id] != want && named[id] {
				lost++
			} else if got[id] != want {
				t.Errorf("%s: record %s reads as %q, want %q", what, id, got[id], want)
			}
		}
		for id, h := range hold {
			if h != held[id] {
				t.Errorf("%s: %s is held as %q, want %q", what, id, h, held[id])
			}
		}
		t.Logf("%s: %d entries and %d records lost, %d held of %d shown", what, len(d.Entries), lost, len(hold), len(held))
		if err := ledger.ReadCopy(ledger.Options{Dir: copyOf(t, base), Council: council, Keys: r}, func(v *ledger.View) error {
			for _, e := range d.Entries {
				raw, err := v.Stored(e.Index)
				if err == nil {
					err = l.Restore(t.Context(), e.Index, raw)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := copyFeed(t.Context(), l, l, l.Feeds()[0]); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		for range 2 {
			got, hold = state(l)
			if fmt.Sprint(got) != fmt.Sprint(bodies) || fmt.Sprint(hold) != fmt.Sprint(held) {
				t.Errorf("%s: after repair\n%v\n%v\nwant\n%v\n%v", what, got, hold, bodies, held)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if l, err = ledger.Open(o); err != nil {
				t.Fatal(err)
			}
		}
		if d := l.Damaged(); d != nil && len(d.Entries)+len(d.Missing)+len(d.Holdings) > 0 {
			t.Errorf("%s: left after repair: %+v", what, d)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSecondPlaceIsDamagedToo damages the second places beside the store together with it: then a ledger that cannot be told is refused, and not
// opened with less.
func TestSecondPlaceIsDamagedToo(t *testing.T) {
	t.Parallel()
	w := writeFolder(t, false, nil)
	for what, harm := range map[string]func(dir string){
		"VITAL is missing": func(dir string) { os.Remove(filepath.Join(dir, "VITAL")) },
		"VITAL is cut off": func(dir string) {
			change(t, filepath.Join(dir, "VITAL"), func(b []byte) []byte { return b[:len(b)-1] })
		},
		"a bit of VITAL": func(dir string) {
			change(t, filepath.Join(dir, "VITAL"), func(b []byte) []byte { b[len(b)/3] ^= 1; return b })
		},
		"PLACES is missing": func(dir string) { os.Remove(filepath.Join(dir, "PLACES")) },
	} {
		dir := copyOf(t, w.dir)
		harm(dir)
		whole := copyOf(t, dir)
		tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
		if err != nil || len(tables) == 0 {
			t.Fatal(err)
		}
		os.Remove(tables[0])
		if _, err := w.read(t, dir, what); !errors.Is(err, ledger.ErrDamaged) {
			t.Errorf("%s, and a table: got %v, want ErrDamaged", what, err)
		}
		// Alone it is made anew, and then it is believed.
		if refused, err := w.read(t, whole, what); err != nil || refused > 0 {
			t.Errorf("%s: %d refused, %v", what, refused, err)
		}
		tables, err = filepath.Glob(filepath.Join(whole, "*.sst"))
		if err != nil || len(tables) == 0 {
			t.Fatal(err)
		}
		for _, table := range tables {
			os.Remove(table)
		}
		if lost := w.readNamed(t, whole, what+", made anew"); lost != len(w.want) {
			t.Errorf("%s, made anew: %d entries are lost, want %d", what, lost, len(w.want))
		}
	}
}
