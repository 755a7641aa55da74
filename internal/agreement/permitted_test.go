package agreement_test

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestPermittedVector: lines, their hashes and the roots of the first 0 to 3 of them are
// what a program in another language made of the same records (Python 3.11, json and
// hashlib, 28 November 2026).
func TestPermittedVector(t *testing.T) {
	entry := func(from byte) (h tlog.Hash) {
		for i := range h {
			h[i] = from + byte(i)
		}
		return h
	}
	id := func(c string) name.Record { return name.Record(strings.Repeat(c, 26)) }
	lines := []struct {
		of         agreement.Permitted
		line, hash string
	}{
		{
			agreement.Permitted{Index: 7, Record: id("a"), Version: 2, Entry: entry(0), Fields: agreement.FieldsOf([]string{"/items/10/code", "/applicant/name", "/items/2/code"})},
			`[7,"aaaaaaaaaaaaaaaaaaaaaaaaaa",2,"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",["/applicant/name","/items/*/code"]]`,
			"91da52057476ecf6c73ba8e41f5538b2fc2b19d5ff2c845b7a54295af0f1e070",
		},
		{
			agreement.Permitted{Index: 9, Record: id("b"), Version: 1, Entry: entry(32)},
			`[9,"bbbbbbbbbbbbbbbbbbbbbbbbbb",1,"ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=",[]]`,
			"283958f55a5d393dd6817bab25ef94ccecc2c2676af0ebd84abd56244331b6ef",
		},
		{
			agreement.Permitted{Index: 300, Record: id("c"), Version: 12, Entry: entry(64), Fields: []string{"/ward"}},
			`[300,"cccccccccccccccccccccccccc",12,"QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=",["/ward"]]`,
			"4b6f84ad0701abc17cdda3e9e43dedf241cc584ed47e1aa381deaa1c86a014da",
		},
	}
	roots := []string{
		"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "xgpwY001ioEYdh4CzzFOtlQ58aXgqHjODDGz5Qob2hQ=",
		"KOnfl7096m9pMpljDMa6HbJfUao667Gab7ESIvXgA64=", "vwiUXOwcm7EIScdbptKt/bXHseYPUx9tyzEdm0LEmeo=",
	}
	var tally tlog.Tally
	for i, l := range lines {
		if got := tally.Root().String(); got != roots[i] {
			t.Errorf("root of %d: got %s, want %s", i, got, roots[i])
		}
		if got := string(l.of.Line()); got != l.line {
			t.Errorf("line %d:\n got %s\nwant %s", i, got, l.line)
		}
		h := l.of.Hash()
		if got := hex.EncodeToString(h[:]); got != l.hash {
			t.Errorf("hash of line %d: got %s, want %s", i, got, l.hash)
		}
		tally.Add(h)
	}
	if got := tally.Root().String(); got != roots[3] || tally.Size() != 3 {
		t.Errorf("root of %d: got %s, want %s", tally.Size(), got, roots[3])
	}
}

// TestFieldsOf: places come sorted, each once, without the numbers of elements.
func TestFieldsOf(t *testing.T) {
	got := agreement.FieldsOf([]string{"/b/1", "/a/0/x", "/a/0", "/a/12/x", "/2021x", "", "/0"})
	want := []string{"", "/*", "/2021x", "/a/*", "/a/*/x", "/b/*"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
