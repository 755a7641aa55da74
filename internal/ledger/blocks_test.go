package ledger_test

import (
	"errors"
	"testing"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// TestBlocks: records that went in in batches of any length, so that some lie in
// blocks and some alone, are read back, backwards and after the ledger was
// opened again, with what came between them.
func TestBlocks(t *testing.T) {
	ring, dir, std := ring(t), t.TempDir(), planningStandard(t)
	l := open(t, dir, ring)
	if err := l.Adopt(t.Context(), std); err != nil {
		t.Fatal(err)
	}
	var records []name.Record
	for i, n := range []int{1, 3, 40, 16, 5, 100, 17} {
		var offers []*ledger.Offer
		for range n {
			o, err := l.Offer(std, planning(len(records)+len(offers)))
			if err != nil {
				t.Fatal(err)
			}
			offers = append(offers, o)
		}
		if i%2 == 1 {
			offers = append(offers, l.OfferDelete(records[i/2]))
		}
		if err := l.Write(t.Context(), offers...); err != nil {
			t.Fatal(err)
		}
		for _, o := range offers[:n] {
			r, err := o.Result()
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, r.Record)
		}
	}
	gone := map[int]bool{0: true, 1: true, 2: true}
	check := func() {
		t.Helper()
		err := l.View(func(v *ledger.View) error {
			for i := len(records) - 1; i >= 0; i-- {
				ver, err := v.Current(records[i])
				if err != nil {
					t.Errorf("record %d: %v", i, err)
				} else if (ver.Body == nil) != gone[i] || ver.Body != nil && ver.Body["reference"] != planning(i)["reference"] {
					t.Errorf("record %d is %v", i, ver.Body["reference"])
				}
			}
			cp, _ := v.Checkpoint()
			if _, err := v.Version(cp.Size); !errors.Is(err, ledger.ErrNotFound) {
				t.Errorf("past the end: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	check()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, ring)
	check()
}

// BenchmarkReadOne is one record by its id, in no order, as somebody who asks for
// one does.
func BenchmarkReadOne(b *testing.B) {
	dir, ring := b.TempDir(), ring(b)
	l := open(b, dir, ring)
	std := planningStandard(b)
	if err := l.Adopt(b.Context(), std); err != nil {
		b.Fatal(err)
	}
	const n = 20_000
	var records []name.Record
	for from := 0; from < n; from += 1000 {
		var offers []*ledger.Offer
		for i := range 1000 {
			o, err := l.Offer(std, planning(from+i))
			if err != nil {
				b.Fatal(err)
			}
			offers = append(offers, o)
		}
		if err := l.Write(b.Context(), offers...); err != nil {
			b.Fatal(err)
		}
		for _, o := range offers {
			r, _ := o.Result()
			records = append(records, r.Record)
		}
	}
	if err := l.Close(); err != nil { // all of it is in tables
		b.Fatal(err)
	}
	l = open(b, dir, ring)
	i := 0
	for b.Loop() {
		i = (i + 7919) % n
		if _, err := current(b, l, records[i]); err != nil {
			b.Fatal(err)
		}
	}
}
