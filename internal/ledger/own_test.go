package ledger_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// ownLog opens a ledger whose folder is told from a copy of it.
func ownLog(t *testing.T, dir string, r *keys.Ring) *ledger.Ledger {
	t.Helper()
	at := filepath.Join(dir, "ledger")
	_, err := os.Stat(at)
	return open(t, at, r, func(o *ledger.Options) {
		o.Council = saltby
		o.Copies = true
		o.Founded = errors.Is(err, fs.ErrNotExist)
	})
}

func say(t *testing.T, l *ledger.Ledger) error {
	t.Helper()
	_, _, err := l.AppendNotice(t.Context(), event.KindDirectoryJoined, event.DirectoryJoined{}.Body())
	return err
}

func ringOf(t *testing.T, c name.Council) *keys.Ring {
	t.Helper()
	r, err := keys.Generate(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func headOf(t *testing.T, l *ledger.Ledger) (tlog.Checkpoint, []byte) {
	t.Helper()
	var cp tlog.Checkpoint
	var signed []byte
	if err := l.View(func(v *ledger.View) error { cp, signed = v.Checkpoint(); return nil }); err != nil {
		t.Fatal(err)
	}
	return cp, signed
}

// TestCopyIsKnown: a folder that was copied, set back in place or moved to another disk is
// told from the one that was written last, whatever tool did it; the same folder is not,
// also after a crash.
func TestCopyIsKnown(t *testing.T) {
	r := ringOf(t, saltby)
	sh := func(line, dir string) {
		t.Helper()
		c := exec.Command("sh", "-ec", line)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Skipf("%s: %v\n%s", line, err, out)
		}
	}
	for _, c := range []struct {
		what, before, after string
		halted              bool
	}{
		{"the same folder", "true", "true", false},
		{"renamed and back", "true", "mv n x; mv x n", false},
		{"cp -a and renamed", "cp -a n old", "rm -r n; mv old n", true},
		{"cp -a over it", "cp -a n old", "cp -a old/. n", true},
		{"cp -r over it", "cp -r n old; sleep 2.1", "cp -r old/. n", true},
		{"tar", "tar cf old.tar n", "rm -r n; tar xf old.tar", true},
		{"the ledger alone", "cp -a n/ledger old", "rm -r n/ledger; mv old n/ledger", true},
		{"without the file", "true", "rm n/ledger/SIGNED", true},
		{"without its end", "true", "truncate -s 1024 n/ledger/SIGNED", true},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			n := filepath.Join(dir, "n")
			if err := os.MkdirAll(n, 0o700); err != nil {
				t.Fatal(err)
			}
			l := ownLog(t, n, r)
			for range 3 {
				if err := say(t, l); err != nil {
					t.Fatal(err)
				}
			}
			l.Close()
			sh(c.before, dir)
			l = ownLog(t, n, r)
			if err := say(t, l); err != nil {
				t.Fatalf("the same folder: %v", err)
			}
			l.Close()
			sh(c.after, dir)
			l = ownLog(t, n, r)
			size := l.Size()
			err := say(t, l)
			if got := errors.Is(err, ledger.ErrUnsure); got != c.halted || !got && err != nil {
				t.Errorf("%v, want halted %v", err, c.halted)
			}
			if c.halted && l.Size() != size {
				t.Error("an entry was signed")
			}
		})
	}
}

// TestNothingIsSignedOnAnOldCopy: what others hold of our own log, and what follows.
func TestNothingIsSignedOnAnOldCopy(t *testing.T) {
	const hexwell, fens = name.Council("hexwell.gov.uk"), name.Council("fens.gov.uk")
	r, dir := ringOf(t, saltby), t.TempDir()
	l := ownLog(t, dir, r)
	for range 5 {
		if err := say(t, l); err != nil {
			t.Fatal(err)
		}
	}
	_, older := headOf(t, l)
	l.Close()
	if out, err := exec.Command("cp", "-a", dir, dir+"-old").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l = ownLog(t, dir, r)
	for range 300 {
		if err := say(t, l); err != nil {
			t.Fatal(err)
		}
	}
	newest, newer := headOf(t, l)
	l.Close()

	l = ownLog(t, dir+"-old", r)
	size := l.Size()
	heard := func(by name.Council, answered bool, heads ...[]byte) *ledger.Halt {
		t.Helper()
		h, err := l.Heard(t.Context(), by, heads, answered)
		if err != nil {
			t.Fatal(err)
		}
		if err := say(t, l); (h == nil) != (err == nil) {
			t.Errorf("halt %+v, and an entry is signed with %v", h, err)
		}
		if h != nil && l.Size() != size {
			t.Fatal("an entry was signed")
		}
		return h
	}
	l.AskFirst([]name.Council{hexwell, fens})
	if h := heard(hexwell, true, older); h == nil || h.Behind() || !slices.Equal(h.Waiting, []name.Council{fens}) {
		t.Errorf("one has answered: %+v", h)
	}
	never := func(name.Council) bool { return false }
	if _, err := l.Continue(t.Context(), "no answer", false, never); !errors.Is(err, ledger.ErrUnsure) {
		t.Errorf("gone on before all answered: %v", err)
	}
	forged, err := tlog.SignCheckpoint(tlog.Checkpoint{Origin: saltby.Origin(), Size: 20, Root: tlog.Hash{1}}, ringOf(t, saltby).Log.Signer())
	if err != nil {
		t.Fatal(err)
	}
	if h := heard(fens, false, forged, []byte("no note")); h == nil || h.Behind() {
		t.Errorf("what we did not sign counts: %+v", h)
	}
	if h := heard(fens, true, newer, older); !h.Behind() || h.Newest().Size != newest.Size || h.Newest().Fork || !strings.Contains(h.Reason(), "fens.gov.uk holds a checkpoint of our log of 305 entries") {
		t.Errorf("an old copy: %+v", h)
	}
	l.Close()
	l = ownLog(t, dir+"-old", r)
	if h := l.Halted(); h == nil || !h.Behind() {
		t.Errorf("forgotten at a start: %+v", h)
	}
	if err := l.Write(t.Context(), l.OfferDelete(name.RecordFrom([16]byte{}))); !errors.Is(err, ledger.ErrForked) {
		t.Errorf("a record: %v", err)
	}
	l.AskFirst([]name.Council{hexwell, fens})
	for _, risk := range []bool{false, true} {
		if _, err := l.Continue(t.Context(), "lost", risk, never); !errors.Is(err, ledger.ErrHolders) {
			t.Errorf("gone on while fens holds more, risk %v: %v", risk, err)
		}
	}
	// Fens lets it begin anew; hexwell still has to answer.
	if h := heard(fens, true); h == nil || len(h.Agreed) != 1 || len(h.Newer) != 0 {
		t.Errorf("agreed: %+v", h)
	}
	if h := heard(hexwell, true, older); h == nil || len(h.Waiting) != 0 {
		t.Errorf("all have answered: %+v", h)
	}
	entry, err := l.Continue(t.Context(), "the disk is lost", false, never)
	if err != nil || entry != size {
		t.Fatalf("entry %d, %v", entry, err)
	}
	err = l.View(func(v *ledger.View) error {
		ev, _, err := v.Event(entry)
		if err != nil {
			return err
		}
		c, err := event.ParseContinued(ev.Body)
		if err != nil || c.Lost == nil || c.Lost.Size != newest.Size || c.Lost.Root != newest.Root || !slices.Equal(c.Agreed, []name.Council{fens}) || len(c.Unasked) != 0 {
			t.Errorf("%+v, %v", c, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := say(t, l); err != nil {
		t.Error(err)
	}
	if _, err := l.Continue(t.Context(), "again", true, never); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("gone on twice: %v", err)
	}
	// Two nodes with one key: another history at a size that is here.
	for l.Size() <= newest.Size {
		if err := say(t, l); err != nil {
			t.Fatal(err)
		}
	}
	size = l.Size()
	if h := heard(hexwell, false, newer); h == nil || !h.Newest().Fork {
		t.Errorf("a fork: %+v", h)
	}
	// It was a mistake of theirs, which they put right.
	_, ours := headOf(t, l)
	if h := heard(hexwell, true, ours); h != nil {
		t.Errorf("put right: %+v", h)
	}
	// Who has left with what was lost can be left out, at a person's risk.
	size = l.Size()
	heard(hexwell, false, newer)
	if _, err := l.Continue(t.Context(), "they are gone", true, func(c name.Council) bool { return c == hexwell }); err != nil {
		t.Error(err)
	}
}

// TestFirstStart: a copy of a node that nobody knows starts at once.
func TestFirstStart(t *testing.T) {
	r, dir := ringOf(t, saltby), t.TempDir()
	l := ownLog(t, dir, r)
	if err := say(t, l); err != nil {
		t.Fatal(err)
	}
	l.Close()
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	dir = copied
	l = ownLog(t, dir, r)
	if l.Halted() == nil {
		t.Fatal("it is not asked who knows it")
	}
	l.AskFirst(nil)
	if err := say(t, l); err != nil {
		t.Error(err)
	}
	l.Close()
	l = ownLog(t, dir, r)
	if l.Halted() != nil {
		t.Error("the folder is not its own after it was settled")
	}
}
