package audit

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

func statementBundle(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/statement/statement.stile")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A statement bundle of the first format is still read, and its figures agree.
func TestAdoptionOfAKeptBundle(t *testing.T) {
	b := statementBundle(t)
	rs, err := Adoption(bytes.NewReader(b), int64(len(b)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(rs) != 1 || !rs[0].OK() || rs[0].Statement.Records != 2 {
		t.Fatalf("%d statements: %s", len(rs), rs[0].JSON())
	}
	agree := map[string]string{}
	for _, f := range rs[0].Figures {
		if f.Verdict == Agrees {
			agree[f.Name] = f.Stated
		}
	}
	for name, want := range map[string]string{"live records": "2", "fresh records": "2", "records that are valid now": "all that are live", "fields filled": "25 places"} {
		if agree[name] != want {
			t.Errorf("%s: %q, want %q", name, agree[name], want)
		}
	}
}

// What is missing from the bundle is said to be missing; nothing is guessed.
func TestAdoptionOfPartOfABundle(t *testing.T) {
	files := unpack(t, statementBundle(t))
	has := func(r *AdoptionReport, name string) Figure {
		for _, f := range r.Figures {
			if f.Name == name {
				return f
			}
		}
		return Figure{}
	}
	run := func(keep func(path string) bool) *AdoptionReport {
		t.Helper()
		some := maps.Clone(files)
		maps.DeleteFunc(some, func(p string, _ []byte) bool { return !keep(p) })
		z := repack(t, some)
		rs, err := Adoption(bytes.NewReader(z), int64(len(z)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return rs[0]
	}
	r := run(func(p string) bool { return !strings.HasPrefix(p, "standards/standards.stile.example/brownfield") })
	if f := has(r, "fields filled"); f.Verdict != Unknown || !strings.Contains(f.Because, "not in the bundle") {
		t.Errorf("without the standard: %+v", f)
	}
	if f := has(r, "live records"); f.Verdict != Agrees {
		t.Errorf("without the standard: %+v", f)
	}
	r = run(func(p string) bool { return !strings.HasPrefix(p, "checkpoints/6.") })
	if f := has(r, "state of the log"); f.Verdict != Unknown || r.OK() {
		t.Errorf("without the checkpoint, which the bundle says it has: %+v, %s", f, r.Result)
	}
	w := newTown(t)
	w.live(3)
	b := w.bundle(3)
	if _, err := Adoption(bytes.NewReader(b), int64(len(b)), Options{}); !errors.Is(err, ErrBundle) {
		t.Errorf("a bundle without a statement: %v", err)
	}
}

// FuzzAdoption: whatever is altered in a bundle, counting again ends, and what
// an altered entry says is never borne out.
func FuzzAdoption(f *testing.F) {
	files := unpack(f, statementBundle(f))
	paths := slices.Sorted(maps.Keys(files))
	for i := range paths {
		f.Add(uint8(i), uint32(0), byte(1))
		f.Add(uint8(i), uint32(300), byte(0x20))
	}
	f.Fuzz(func(t *testing.T, path uint8, at uint32, with byte) {
		p := paths[int(path)%len(paths)]
		b := bytes.Clone(files[p])
		if len(b) == 0 || with == 0 {
			t.Skip()
		}
		b[int(at)%len(b)] ^= with
		altered := maps.Clone(files)
		altered[p] = b
		z := repack(t, altered)
		rs, err := Adoption(bytes.NewReader(z), int64(len(z)), Options{})
		if err != nil {
			return
		}
		for _, r := range rs {
			r.JSON()
			if err := r.WriteText(io.Discard); err != nil {
				t.Fatal(err)
			}
			if r.OK() && strings.HasPrefix(p, "entries/") {
				t.Errorf("%s altered at byte %d, and nothing differs", p, int(at)%len(b))
			}
		}
	})
}
