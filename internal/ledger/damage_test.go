package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// TestAlteredValues flips one bit of each kind of stored value in turn, as
// somebody with access to the disk could with Badger's checksums in order, and
// reads everything. What is read is right or refused, never wrong.
func TestAlteredValues(t *testing.T) {
	t.Parallel()
	// The letters are those of keyspace.go: entries, tiles, checkpoint, heads,
	// standards, archives, counts, feeds, items, members, holdings, positions.
	base, r, std := t.TempDir(), ring(t), parish(t, "1.0.0")
	l := open(t, base, r)
	adopt(t, l, std)
	doc := sharing(t, "items", 1, `record.ward == "X"`, "/ward")
	f := openFeed(t, l, doc)
	bodies := map[name.Record][]map[string]any{}
	for i := range 12 {
		body := item(fmt.Sprint("ref-", i%6), string(rune('X'+i%2)), fmt.Sprint("name ", i))
		res := put(t, l, std, body)
		bodies[res.Record] = append(bodies[res.Record], body)
	}
	// The same ledger holds what another sends it, here itself under that name.
	if err := copyFeed(t.Context(), l, l, f); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, letter := range "etchsnNKogFfmHPS" {
		t.Run(string(letter), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(7, uint64(letter)))
			for range 2 {
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
					t.Fatal(err)
				}
				readAltered(t, dir, r, bodies, alterOne(t, dir, byte(letter), rng))
			}
		})
	}
}

// alterOne flips a bit of one value under a letter and says which.
func alterOne(t *testing.T, dir string, letter byte, rng *rand.Rand) (what string) {
	t.Helper()
	seen := 0
	count, err := ledger.Alter(dir, func(k, v []byte) []byte {
		if k[0] == letter && len(v) > 0 {
			seen++
		}
		return nil
	})
	if err != nil || count != 0 || seen == 0 {
		t.Fatalf("%d values under %q, %v", seen, letter, err)
	}
	victim := rng.IntN(seen)
	seen = 0
	if _, err := ledger.Alter(dir, func(k, v []byte) []byte {
		if k[0] != letter || len(v) == 0 {
			return nil
		}
		if seen++; seen-1 != victim {
			return nil
		}
		w, bit := bytes.Clone(v), rng.IntN(8*len(v))
		w[bit/8] ^= 1 << (bit % 8)
		what = fmt.Sprintf("bit %d of %q", bit, k)
		return w
	}); err != nil {
		t.Fatal(err)
	}
	return what
}

// readAltered reads all there is in dir and compares it with what was written.
func readAltered(t *testing.T, dir string, r *keys.Ring, bodies map[name.Record][]map[string]any, what string) {
	t.Helper()
	l, err := ledger.Open(ledger.Options{Dir: dir, Council: council, Keys: r, MinFree: 1, Memory: small})
	if err != nil {
		return // refused as a whole
	}
	defer l.Close()
	err = l.View(func(v *ledger.View) error {
		for id, list := range bodies {
			ver, err := v.Current(id)
			for i := len(list) - 1; i >= 0 && err == nil; i-- {
				if got, want := fmt.Sprint(ver.Body), fmt.Sprint(list[ver.Claims.Version-1]); got != want || ver.Claims.Record != id {
					t.Errorf("%s: version %d of %s read as %s, want %s", what, ver.Claims.Version, id, got, want)
				}
				ver, err = v.Before(ver)
			}
		}
		for _, s := range l.Sources() {
			err := v.Holdings(s, 0, func(h *ledger.Holding, err error) bool {
				if err == nil {
					written := bodies[h.View.Record]
					if got, want := h.View.Body["ward"], written[h.View.Version-1]["ward"]; got != want || got != "X" {
						t.Errorf("%s: held with ward %v, want %v", what, got, want)
					}
				}
				return true
			})
			if err != nil && !errors.Is(err, ledger.ErrDamaged) && !errors.Is(err, ledger.ErrStorage) {
				t.Errorf("%s: holdings: %v", what, err)
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, ledger.ErrDamaged) && !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("%s: %v", what, err)
	}
	// Whatever was altered, nothing beyond the agreement leaves.
	for _, f := range l.Feeds() {
		p, err := l.Page(f, 0)
		if err != nil {
			continue
		}
		d, err := delivery(p)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		for _, put := range d.Puts {
			tok, err := record.Parse(put.Token)
			if err != nil {
				t.Fatal(err)
			}
			if v, err := tok.View(); err != nil || v.Body["name"] != nil || v.Body["ward"] != "X" {
				t.Errorf("%s: entry %d leaves with %v, %v", what, put.Index, v.Disclosed, err)
			}
		}
	}
}
