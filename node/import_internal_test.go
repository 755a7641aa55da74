package node

import (
	"bytes"
	"testing"
)

// FuzzRows: what a frame of rows says it says in one way.
func FuzzRows(f *testing.F) {
	b, err := appendRows(nil, []ImportRow{{Row: 1, Record: []byte(`{"a":1}`)}, {Row: 900, Reference: "b", Record: []byte("null"), Problems: []Problem{{Rule: "columns"}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, err := parseRows(b)
		if err != nil {
			return
		}
		again, err := appendRows(nil, rows)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseRows(again)
		if err != nil || len(back) != len(rows) {
			t.Fatalf("%d rows are %d, %v", len(rows), len(back), err)
		}
		for i := range rows {
			if back[i].Row != rows[i].Row || back[i].Reference != rows[i].Reference || !bytes.Equal(back[i].Record, rows[i].Record) || len(back[i].Problems) != len(rows[i].Problems) {
				t.Errorf("row %d changed", i)
			}
		}
	})
}

// FuzzImportReply: no bytes make a reader of replies panic, and what it reads has one
// key for each row.
func FuzzImportReply(f *testing.F) {
	b, err := appendReply(nil, &ImportReply{Rows: 2, Counts: map[Outcome]int{Created: 1}, NotTaken: []NotTaken{{At: 1}}, Keys: make([]KeyDigest, 2)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseReply(b); err == nil && len(r.Keys) != r.Rows {
			t.Errorf("%d keys of %d rows", len(r.Keys), r.Rows)
		}
	})
}
