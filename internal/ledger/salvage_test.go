package ledger_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// TestDamagedTableIsServedAround blanks a part of a table, at many places, of a ledger whose tables have many
// parts. It opens, or is refused as a whole when what cannot be done without is gone; then every record is as it was
// written or is named as lost, every list is whole, and new records are taken.
func TestDamagedTableIsServedAround(t *testing.T) {
	t.Parallel()
	base, r, std := t.TempDir(), ring(t), parish(t, "1.0.0")
	l := open(t, base, r)
	adopt(t, l, std)
	feed := openFeed(t, l, sharing(t, "items", 1, `record.ward == "X"`, "/ward"))
	rng := rand.New(rand.NewPCG(3, 4))
	bodies := writeMany(t, l, std, rng)
	if err := copyFeed(t.Context(), l, l, feed); err != nil {
		t.Fatal(err)
	}
	items := feedItems(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(base, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("%v, %v", tables, err)
	}
	trials := 3
	if n, err := strconv.Atoi(os.Getenv("STILE_FLIPS")); err == nil {
		trials = n
	}
	opened, lost, held := 0, 0, 0
	for range trials {
		dir := copyOf(t, base)
		path := filepath.Join(dir, filepath.Base(tables[rng.IntN(len(tables))]))
		at := 0
		change(t, path, func(b []byte) []byte {
			at = rng.IntN(len(b) - 600)
			clear(b[at : at+512])
			return b
		})
		what := fmt.Sprintf("512 bytes at %d of %s", at, filepath.Base(path))
		l, err := ledger.Open(ledger.Options{Dir: dir, Council: council, Keys: r, MinFree: 1, Memory: small})
		if errors.Is(err, ledger.ErrDamaged) {
			t.Log(what, err)
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		opened++
		d := l.Damaged()
		named := map[name.Record]bool{}
		if d != nil {
			for _, e := range d.Entries {
				named[e.Record] = true
				lost++
			}
			held += len(d.Holdings)
		}
		for id, want := range bodies {
			if named[id] {
				continue
			}
			if got := readBody(t, l, id); got != want {
				t.Errorf("%s: record %s reads as %s, want %s", what, id, got, want)
			}
		}
		listed := 0
		err = l.View(func(v *ledger.View) error {
			return v.Scan(std.Name().Name, 0, func(*ledger.Version, error) bool { listed++; return true })
		})
		if err != nil || listed != len(bodies) {
			t.Errorf("%s: %d records listed of %d, %v", what, listed, len(bodies), err)
		}
		if got := feedItems(t, l); got != items {
			t.Errorf("%s: the feed has %d items, want %d", what, got, items)
		}
		if d != nil && len(d.Entries) > 0 {
			restoreAll(t, l, base, r, d.Entries)
			if left := l.Damaged(); left != nil && len(left.Entries) > 0 {
				t.Errorf("%s: left after repair: %+v", what, left.Entries)
			}
			for id, want := range bodies {
				if got := readBody(t, l, id); got != want {
					t.Errorf("%s: after repair record %s reads as %s, want %s", what, id, got, want)
				}
			}
			d = l.Damaged()
		}
		if d == nil || d.Tree == "" {
			put(t, l, std, item("after", "X", "written after the damage"))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		// What was found stays known.
		l, err = ledger.Open(ledger.Options{Dir: dir, Council: council, Keys: r, MinFree: 1, Memory: small})
		if err != nil {
			t.Fatalf("%s: the second time: %v", what, err)
		}
		if again := l.Damaged(); (again == nil) != (d == nil) || d != nil && len(again.Entries) != len(d.Entries) {
			t.Errorf("%s: found %+v, and then %+v", what, d, again)
		}
		if _, err := os.Stat(filepath.Join(dir, "DAMAGED")); (err == nil) != (d != nil) {
			t.Errorf("%s: DAMAGED: %v", what, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d opened, %d entries and %d holdings lost", opened, lost, held)
	if opened < trials/2 || lost == 0 {
		t.Errorf("%d of %d opened, %d entries lost", opened, trials, lost)
	}
}

// TestDamageWhileItRunsStopsTheLedger blanks parts of tables of a ledger that is open: the next list that would lack
// something is an error that names the table, and the ledger takes nothing more.
func TestDamageWhileItRunsStopsTheLedger(t *testing.T) {
	t.Parallel()
	dir, r, std := t.TempDir(), ring(t), parish(t, "1.0.0")
	l := open(t, dir, r)
	adopt(t, l, std)
	rng := rand.New(rand.NewPCG(5, 6))
	bodies := writeMany(t, l, std, rng)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	var later atomic.Int64 // what was looked at on opening is believed for a few seconds
	l, err := ledger.Open(ledger.Options{
		Dir: dir, Council: council, Keys: r, MinFree: 1, Memory: small, Fatal: func(err error) { failed <- err },
		Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("%v, %v", tables, err)
	}
	for _, path := range tables {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		st, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		// Everything but the index, which the store has read.
		if _, err := f.WriteAt(make([]byte, st.Size()*3/4), 0); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	later.Store(int64(time.Minute))
	listed := 0
	err = l.View(func(v *ledger.View) error {
		return v.Scan(std.Name().Name, 0, func(*ledger.Version, error) bool { listed++; return true })
	})
	if listed < len(bodies) && !errors.Is(err, ledger.ErrDamaged) {
		t.Errorf("%d of %d records listed, and %v", listed, len(bodies), err)
	}
	if err == nil || !strings.Contains(err.Error(), ".sst") {
		t.Fatalf("got %v, want an error that names the table", err)
	}
	if err := <-failed; !errors.Is(err, ledger.ErrDamaged) {
		t.Errorf("stopped with %v, want ErrDamaged", err)
	}
	o, err := l.Offer(std, item("more", "X", "more"))
	if err == nil {
		err = l.Write(t.Context(), o)
	}
	if !errors.Is(err, ledger.ErrDamaged) {
		t.Errorf("writing on gave %v, want ErrDamaged", err)
	}
}

// restoreAll puts back what is damaged: events, and every other record, as they stand in a copy of the folder; the
// rest from tokens as partners hold them, each of which has a part of the fields.
func restoreAll(t *testing.T, l *ledger.Ledger, base string, r *keys.Ring, lost []ledger.DamagedEntry) {
	t.Helper()
	err := ledger.ReadCopy(ledger.Options{Dir: copyOf(t, base), Council: council, Keys: r}, func(v *ledger.View) error {
		for i, e := range lost {
			ver, err := v.Version(e.Index)
			if errors.Is(err, ledger.ErrNotFound) || err == nil && i%2 == 0 {
				raw, err := v.Stored(e.Index)
				if err == nil {
					err = l.Restore(t.Context(), e.Index, raw)
				}
				if err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return err
			}
			part := func(keep bool) *record.Token {
				tok, err := ver.Token.Present(func(pointer string, _ bool) bool { return (pointer == "/name") == keep })
				if err != nil {
					t.Fatal(err)
				}
				return tok
			}
			if err := l.RestoreTokens(t.Context(), e.Index, part(true)); !errors.Is(err, ledger.ErrLacks) {
				t.Errorf("entry %d was put back from one field alone: %v", e.Index, err)
			}
			other, err := v.Version(1)
			if err == nil && e.Index != 1 {
				if err := l.RestoreTokens(t.Context(), e.Index, other.Token); !errors.Is(err, ledger.ErrDamaged) {
					t.Errorf("entry %d was put back from another record: %v", e.Index, err)
				}
			}
			if err := l.RestoreTokens(t.Context(), e.Index, part(true), part(false)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// writeMany writes some 1,700 versions of 1,200 records, and returns what the newest says.
func writeMany(t *testing.T, l *ledger.Ledger, std *standard.Standard, rng *rand.Rand) map[name.Record]string {
	t.Helper()
	bodies := map[name.Record]string{}
	for batch := range 30 {
		var offers []*ledger.Offer
		for i := range 60 {
			if batch > 20 && i%2 == 0 {
				continue
			}
			text := make([]byte, 60)
			for j := range text {
				text[j] = 'a' + byte(rng.IntN(26))
			}
			body := item(fmt.Sprint("ref-", batch%20, "-", i), string(rune('X'+i%2)), string(text))
			o, err := l.Offer(std, body)
			if err != nil {
				t.Fatal(err)
			}
			offers = append(offers, o)
		}
		if err := l.Write(t.Context(), offers...); err != nil {
			t.Fatal(err)
		}
		for _, o := range offers {
			res, err := o.Result()
			if err != nil {
				t.Fatal(err)
			}
			bodies[res.Record] = readBody(t, l, res.Record)
		}
	}
	return bodies
}

func readBody(t *testing.T, l *ledger.Ledger, id name.Record) (body string) {
	t.Helper()
	err := l.View(func(v *ledger.View) error {
		ver, err := v.Current(id)
		if err == nil {
			body = fmt.Sprint(ver.Claims.Version, ver.Body)
		}
		return err
	})
	if err != nil {
		body = err.Error()
	}
	return body
}

// feedItems returns how many items the first feed has, damaged ones counted.
func feedItems(t *testing.T, l *ledger.Ledger) (n int) {
	t.Helper()
	for cursor := uint64(0); ; {
		p, err := l.Page(l.Feeds()[0], cursor)
		if err != nil {
			t.Fatal(err)
		}
		n += len(p.Items) + len(p.Damaged)
		if p.Live {
			return n
		}
		cursor = p.Cursor
	}
}
