package ledger

import (
	"bytes"
	"testing"

	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
)

// FuzzStored: whatever stands in the store, its readers do not panic, and what
// they accept they write back byte for byte.
func FuzzStored(f *testing.F) {
	put := &storedRecord{op: record.Put, standard: 1, key: 2, issuedAt: 3, version: 1, body: []byte(`{"a":1}`)}
	f.Add(put.encode())
	put.version, put.prevIndex = 9, 8
	f.Add(put.encode())
	f.Add((&storedRecord{op: record.Delete, version: 2}).encode())
	f.Add(head{index: 5, version: 6, live: true}.encode())
	f.Add(membership{itemPut, 77}.encode())
	f.Add(encodeItem(itemWithdraw, [16]byte{1}))
	f.Add(encodeCheckpoint(tlog.Checkpoint{Size: 3}, []byte("note")))
	f.Add(encodeHolding(&Put{Index: 1, Version: 2, Token: []byte("a.b.c~")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeStoredRecord(b); err == nil && !bytes.Equal(s.encode(), b) {
			t.Errorf("stored record %x is written as %x", b, s.encode())
		}
		if h, err := decodeHead(b); err == nil && !bytes.Equal(h.encode(), b) {
			t.Errorf("head %x is written as %x", b, h.encode())
		}
		if m, err := decodeMembership(b); err == nil && !bytes.Equal(m.encode(), b) {
			t.Errorf("membership %x is written as %x", b, m.encode())
		}
		if k, r, err := decodeItem(b); err == nil && !bytes.Equal(encodeItem(k, r.Bytes()), b) {
			t.Errorf("item %x is written as %x", b, encodeItem(k, r.Bytes()))
		}
		if cp, note, err := decodeCheckpoint("o", b); err == nil && !bytes.Equal(encodeCheckpoint(cp, note), b) {
			t.Errorf("checkpoint %x is written as %x", b, encodeCheckpoint(cp, note))
		}
		if h, err := decodeHolding(b); err == nil {
			p := &Put{Index: h.Index, Version: h.Version, Entry: h.Token.Entry(), Token: h.Token.Bytes()}
			if !bytes.Equal(encodeHolding(p), b) {
				t.Errorf("holding %x is written as %x", b, encodeHolding(p))
			}
		}
	})
}
