package ledger_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stile-exchange/stile/internal/ledger"
)

// Opened for reading alone, a folder gives every record, whether its node was closed, or killed and the folder encrypted;
// nothing is written in it, and whatever would write is refused. Damage is named, as ever.
func TestReading(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{false, true} {
		var key []byte
		if killed {
			key = []byte("0123456789abcdef")
		}
		what := fmt.Sprintf("killed and encrypted %v", killed)
		w := writeFolder(t, killed, key)
		before := digests(t, w.dir)
		open := func() (*ledger.Ledger, error) {
			return ledger.Open(ledger.Options{Dir: w.dir, Council: council, Keys: w.ring, EncryptionKey: key, Copies: true, Reading: true, Memory: small})
		}
		l, err := open()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := l.Size(); got != uint64(1+len(w.want)) {
			t.Errorf("%s: the log has %d entries, want %d", what, got, 1+len(w.want))
		}
		err = l.View(func(v *ledger.View) error {
			for i, body := range w.want {
				if ver, err := v.Version(i); err != nil {
					t.Errorf("%s: entry %d: %v", what, i, err)
				} else if got := fmt.Sprint(ver.Body); got != body {
					t.Errorf("%s: entry %d is %s, want %s", what, i, got, body)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		o, err := l.Offer(parish(t, "1.0.0"), item("ref-new", "X", "new"))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Write(t.Context(), o); !errors.Is(err, ledger.ErrReading) {
			t.Errorf("%s: a record was written: %v", what, err)
		}
		if _, _, err := l.AppendNotice(t.Context(), "", nil); !errors.Is(err, ledger.ErrReading) {
			t.Errorf("%s: a notice was written: %v", what, err)
		}
		if _, err := open(); !errors.Is(err, ledger.ErrInUse) {
			t.Errorf("%s: opened twice: %v", what, err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if after := digests(t, w.dir); after != before {
			t.Errorf("%s: the folder was changed:\n%s\nwas\n%s", what, after, before)
		}
		if _, err := w.read(t, w.dir, what+", opened for writing after"); err != nil {
			t.Error(err)
		}
	}
	w := writeFolder(t, false, nil)
	tables, err := filepath.Glob(filepath.Join(w.dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(err)
	}
	change(t, tables[0], func(b []byte) []byte { b[40] ^= 1; return b })
	before := digests(t, w.dir)
	_, err = ledger.Open(ledger.Options{Dir: w.dir, Council: council, Keys: w.ring, Reading: true, Memory: small})
	if _, ok := errors.AsType[*ledger.DamageError](err); !ok || digests(t, w.dir) != before {
		t.Errorf("one flipped bit in a table: %v", err)
	}
}

// digests is the names of a folder's files and what is in them.
func digests(t *testing.T, dir string) (out string) {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out += fmt.Sprintf("%s %x\n", e.Name(), sha256.Sum256(b))
	}
	return out
}
