package ledger_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/ledger"
)

// TestErasuresOutlastAnOlderFolder: what was erased, and ordered of nobody, is shown no more by a copy of the folder
// from before from the moment that it is opened with the list of erasures, and is noted as to be erased again. A
// record that was written anew after it was erased stays, and the list is made anew from the store where it is lost
// or damaged.
func TestErasuresOutlastAnOlderFolder(t *testing.T) {
	at := t.TempDir()
	dir, old, list := filepath.Join(at, "new"), filepath.Join(at, "old"), filepath.Join(at, "list")
	keys, std := ring(t), parish(t, "1.0.0")
	with := func(o *ledger.Options) { o.Erasures = list }
	l := open(t, dir, keys, with)
	adopt(t, l, std)
	kept, gone := put(t, l, std, item("ref-0", "X", "a")), put(t, l, std, item("ref-1", "X", newCanary()))
	again := put(t, l, std, item("ref-2", "X", "b"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", dir, old).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l = open(t, dir, keys, with)
	for _, r := range []ledger.Result{gone, again} {
		remove(t, l, r.Record)
		if _, err := l.Erase(t.Context(), r.Record, "a test", false); err != nil {
			t.Fatal(err)
		}
	}
	anew := put(t, l, std, item("ref-2", "X", "c"))
	if anew.Record != again.Record {
		t.Fatalf("the record written anew is %s, not %s", anew.Record, again.Record)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(list)
	if err != nil || strings.Count(string(whole), "\n") != 3 {
		t.Fatalf("the list is %q, %v: want its head and two lines", whole, err)
	}
	for _, secret := range []string{"ref-1", "ref-2"} {
		if strings.Contains(string(whole), secret) {
			t.Errorf("the list says %q", secret)
		}
	}

	// The folder in which all was erased is not touched by its own list, nor by one that is lost or damaged.
	shows := func(when string, l *ledger.Ledger, want map[ledger.Result]error) {
		t.Helper()
		err := l.View(func(v *ledger.View) error {
			for r, want := range want {
				if _, err := v.Current(r.Record); !errors.Is(err, want) {
					t.Errorf("%s: the record of entry %d: %v, want %v", when, r.Index, err, want)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range map[string][]byte{
		"as it is": whole, "lost": nil, "a line cut off": whole[:len(whole)-20], "a letter changed": flip(whole, len(whole)-100), "its head changed": flip(whole, 3), "something else": []byte("council: x\n"),
	} {
		if err := os.WriteFile(list, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if b == nil {
			os.Remove(list)
		}
		l := open(t, dir, keys, with)
		shows(name, l, map[ledger.Result]error{kept: nil, anew: nil})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(list)
		if err != nil || len(got) != len(whole) {
			t.Errorf("%s: the list is %q, %v: want what it was", name, got, err)
		}
	}

	// The older folder.
	l = open(t, old, keys, with)
	shows("set back", l, map[ledger.Result]error{kept: nil, gone: ledger.ErrErased, again: ledger.ErrErased})
	todo := func(l *ledger.Ledger) (n int) {
		t.Helper()
		err := l.View(func(v *ledger.View) error {
			rs, why, err := v.ToEraseAgain()
			for _, w := range why {
				if w != ledger.ListedOrder {
					t.Errorf("the order is of entry %d, and there was none", w)
				}
			}
			n = len(rs)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := todo(l); n != 2 {
		t.Errorf("%d records are to be erased again, want 2", n)
	}
	for _, r := range []ledger.Result{gone, again} {
		remove(t, l, r.Record)
		if _, err := l.Erase(t.Context(), r.Record, "again", false); err != nil {
			t.Fatal(err)
		}
		if err := l.ErasedAgain(t.Context(), r.Record); err != nil {
			t.Fatal(err)
		}
	}
	anew = put(t, l, std, item("ref-2", "X", "d"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, old, keys, with)
	shows("erased again, and written anew", l, map[ledger.Result]error{anew: nil})
	if n := todo(l); n != 0 {
		t.Errorf("%d records are to be erased a third time", n)
	}
}

// TestErasuresOfAnother: a list of another council, or of anything else, counts for nothing and is not written over.
func TestErasuresOfAnother(t *testing.T) {
	at := t.TempDir()
	here, there := filepath.Join(at, "here"), filepath.Join(at, "there")
	for _, b := range []string{"stile erasures 1 saltby.gov.uk\n", "a: b\n", "stile erasures 2 northmoor.gov.uk\n"} {
		if err := os.WriteFile(there, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.ReadErasures(there, "northmoor.gov.uk"); !errors.Is(err, ledger.ErrNoErasures) {
			t.Errorf("%q: %v", b, err)
		}
		if err := ledger.KeepErasures(there, here, "northmoor.gov.uk"); !errors.Is(err, ledger.ErrNoErasures) {
			t.Errorf("%q: written over: %v", b, err)
		}
	}
}

// FuzzErasures: a list that is read is written as it was, but for the order of its lines and those that do not count.
func FuzzErasures(f *testing.F) {
	f.Add([]byte("stile erasures 1 northmoor.gov.uk\n12 MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA= aaaaaaaaaaaaaaaaaaaaaaaaaa 0000000000000000\n"))
	f.Add([]byte("stile erasures 1 northmoor.gov.uk"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ledger.ParseErasures(b)
		if err != nil {
			return
		}
		again, err := ledger.ParseErasures(l.Bytes())
		if err != nil || again.Bad > 0 || !slices.Equal(again.Bytes(), l.Bytes()) || again.Len() != l.Len() {
			t.Errorf("%q is written as %q and read as %q, %v", b, l.Bytes(), again.Bytes(), err)
		}
	})
}
