package audit

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// FuzzVerify: no bytes, however made, make Verify panic, and a report can
// always be printed.
func FuzzVerify(f *testing.F) {
	w := newTown(f)
	w.live(6)
	b := w.bundle(5)
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add([]byte("PK\x05\x06"))
	o := Options{Trust: w.trust()}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Verify(bytes.NewReader(b), int64(len(b)), o)
		if err == nil {
			r.JSON()
			r.WriteText(io.Discard)
		}
		if d, err := Describe(bytes.NewReader(b), int64(len(b))); err == nil {
			d.WriteText(io.Discard)
		}
	})
}

// FuzzAltered: there is no byte of an entry, an event, an agreement or a proof
// that can be another without a check that fails.
func FuzzAltered(f *testing.F) {
	w := newTown(f)
	w.live(6)
	files := unpack(f, w.bundle(5))
	var paths []string
	for _, p := range slices.Sorted(maps.Keys(files)) {
		if dir, _, _ := strings.Cut(p, "/"); slices.Contains([]string{"entries", "events", "agreements", "proofs"}, dir) || strings.HasSuffix(p, ".proof") {
			paths = append(paths, p)
		}
	}
	for i := range paths {
		f.Add(uint8(i), uint32(0), byte(1), uint8(0))
		f.Add(uint8(i), uint32(40), byte(0x20), uint8(1))
		f.Add(uint8(i), uint32(1<<31), byte(7), uint8(2))
	}
	o := Options{Trust: w.trust()}
	f.Fuzz(func(t *testing.T, path uint8, at uint32, with byte, how uint8) {
		p := paths[int(path)%len(paths)]
		old := files[p]
		if len(old) == 0 {
			t.Skip()
		}
		i := int(at) % len(old)
		var b []byte
		switch how % 3 {
		case 0:
			b = bytes.Clone(old)
			b[i] ^= with
		case 1:
			b = slices.Insert(bytes.Clone(old), i, with)
		case 2:
			b = slices.Delete(bytes.Clone(old), i, min(i+int(with), len(old)))
		}
		if bytes.Equal(b, old) {
			t.Skip()
		}
		altered := maps.Clone(files)
		altered[p] = b
		z := repack(t, altered)
		r, err := Verify(bytes.NewReader(z), int64(len(z)), o)
		if err == nil && r.OK() {
			t.Errorf("%s altered at byte %d (way %d, %#x), and no check fails", p, i, how%3, with)
		}
	})
}

// FuzzSpelling: what the parsers of this package accept they print again as it
// was.
func FuzzSpelling(f *testing.F) {
	f.Add([]byte(`{"entry":17,"token":"a.b.c~"}` + "\n"))
	f.Add([]byte(`{"token":"a.b.c"}` + "\n"))
	f.Add((&document{Header: Header{Council: northmoor, Covers: Covers{Agreement: moving}}}).encode())
	f.Add((&Gone{Entry: 9, By: 40, Record: name.RecordFrom([16]byte{1}), Why: api.GoneTakenBack, Hash: tlog.Hash{1}}).line())
	f.Add((&Gone{Entry: 9, By: 40, Record: name.RecordFrom([16]byte{1}), Why: api.GoneNewer, Version: 1, Fields: []string{"/ward"}}).line())
	f.Add([]byte("northmoor.gov.uk record 3q2-7wAB3q2-7wAB3q2-7wAB3q2-7wAB3q2-7wAB3q2"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, rest, err := cutEntry(b); err == nil {
			if got := fmt.Appendf(nil, "{\"entry\":%d,\"token\":\"%s\"}\n%s", e.Index, e.Token, rest); !bytes.Equal(got, b) {
				t.Errorf("entry: got %q, want %q", got, b)
			}
		}
		if tok, ok := cutEvent(b); ok {
			if got := eventStart + string(tok) + lineEnd; got != string(b) {
				t.Errorf("event: got %q, want %q", got, b)
			}
		}
		if d, err := decodeDocument(b); err == nil && !bytes.Equal(d.encode(), b) {
			t.Errorf("bundle.json: got %q, want %q", d.encode(), b)
		}
		if g, err := parseGone(b); err == nil && !bytes.Equal(g.line(), b) {
			t.Errorf("what has gone: got %q, want %q", g.line(), b)
		}
		if k, err := ParseKey(string(b)); err == nil && strings.Join(strings.Fields(string(b)), " ") != k.String() {
			t.Errorf("key: got %q, want %q", k, b)
		}
	})
}
