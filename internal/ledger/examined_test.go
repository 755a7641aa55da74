package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// A written is a ledger's folder and what it must say: the bodies by log index.
type written struct {
	dir  string
	ring *keys.Ring
	want map[uint64]string
	key  []byte
}

// writeFolder writes records in several batches. Killed leaves the folder as a killed
// process does; else the ledger is closed.
func writeFolder(t *testing.T, killed bool, key []byte) written {
	t.Helper()
	base, r, std := t.TempDir(), ring(t), parish(t, "1.0.0")
	w := written{dir: filepath.Join(t.TempDir(), "copy"), ring: r, want: map[uint64]string{}, key: key}
	l, err := ledger.Open(ledger.Options{Dir: base, Council: council, Keys: r, MinFree: 1, Memory: small, EncryptionKey: key})
	if err != nil {
		t.Fatal(err)
	}
	adopt(t, l, std)
	for batch := range 5 {
		var offers []*ledger.Offer
		for i := range 12 {
			body := item(fmt.Sprint("ref-", batch, "-", i), "X", fmt.Sprint("name ", i))
			w.want[uint64(1+12*batch+i)] = fmt.Sprint(body)
			o, err := l.Offer(std, body)
			if err != nil {
				t.Fatal(err)
			}
			offers = append(offers, o)
		}
		if err := l.Write(t.Context(), offers...); err != nil {
			t.Fatal(err)
		}
	}
	if !killed {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	copyInto(t, base, w.dir)
	if killed {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// read opens a folder and reads every entry. It returns how many were refused as damaged; an
// entry that is not as it was written, or is not there, fails the test.
func (w written) read(t *testing.T, dir, what string) (refused int, err error) {
	t.Helper()
	l, err := ledger.Open(ledger.Options{Dir: dir, Council: council, Keys: w.ring, MinFree: 1, Memory: small, EncryptionKey: w.key})
	if err != nil {
		return 0, err
	}
	defer l.Close()
	err = l.View(func(v *ledger.View) error {
		if got, _ := v.Checkpoint(); got.Size < uint64(1+len(w.want)) {
			t.Errorf("%s: the log has %d entries, want %d", what, got.Size, 1+len(w.want))
		}
		for i, body := range w.want {
			switch ver, err := v.Version(i); {
			case errors.Is(err, ledger.ErrDamaged):
				refused++
			case err != nil:
				t.Errorf("%s: entry %d: %v", what, i, err)
			case fmt.Sprint(ver.Body) != body:
				t.Errorf("%s: entry %d read as %v, want %s", what, i, ver.Body, body)
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	return refused, nil
}

func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "ledger")
	copyInto(t, dir, to)
	return to
}

// copyInto copies a store's files and leaves out the zeros at their ends, which are
// most of them.
func copyInto(t *testing.T, from, to string) {
	t.Helper()
	es, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		if b := readTrimmed(t, filepath.Join(from, e.Name())); e.Type().IsRegular() {
			i, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(to, e.Name())
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, i.Size()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// readTrimmed reads a file up to the first 64 KiB of zeros, and without the zeros at its end: a store's logs are zeros for the
// most part.
func readTrimmed(t *testing.T, path string) (b []byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	part, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(f, part)
		if n == 0 || bytes.Equal(part[:n], zeros[:n]) {
			return bytes.TrimRight(b, "\x00")
		}
		if b = append(b, part[:n]...); err != nil {
			return bytes.TrimRight(b, "\x00")
		}
	}
}

// usedBytes returns a file's length without the zeros at its end.
func usedBytes(t *testing.T, path string) int {
	t.Helper()
	return len(readTrimmed(t, path))
}

func change(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// The zeros at the end are left out, and are there again when they were not cut off.
	b := readTrimmed(t, path)
	zeros := st.Size() - int64(len(b))
	if ext := filepath.Ext(path); ext != ".mem" && ext != ".vlog" {
		b, zeros = append(b, make([]byte, zeros)...), 0
	}
	b = f(b)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(b))+zeros); err != nil {
		t.Fatal(err)
	}
}

// TestOneFlippedBitInAnyFile flips one bit in each kind of file, of a folder that was closed and of one
// whose process was killed, clear and encrypted: everything is read as it was written.
func TestOneFlippedBitInAnyFile(t *testing.T) {
	t.Parallel()
	flips := 3
	if n, err := strconv.Atoi(os.Getenv("STILE_FLIPS")); err == nil {
		flips = n
	}
	for _, key := range [][]byte{nil, bytes.Repeat([]byte{7}, 32)} {
		for _, killed := range []bool{false, true} {
			w := writeFolder(t, killed, key)
			rng := rand.New(rand.NewPCG(11, 12))
			es, err := os.ReadDir(w.dir)
			if err != nil {
				t.Fatal(err)
			}
			kinds := map[string]bool{}
			for _, e := range es {
				path := filepath.Join(w.dir, e.Name())
				used := usedBytes(t, path)
				if e.Name() == "LOCK" || used == 0 {
					continue
				}
				kinds[filepath.Ext(e.Name())] = true
				n := max(1, flips/3)
				if strings.HasSuffix(e.Name(), ".mem") || e.Name() == "MANIFEST" {
					n = flips
				}
				for range n {
					dir := copyOf(t, w.dir)
					bit := rng.IntN(8 * used)
					change(t, filepath.Join(dir, e.Name()), func(b []byte) []byte { b[bit/8] ^= 1 << (bit % 8); return b })
					what := fmt.Sprintf("killed %v, encrypted %v, bit %d of %s", killed, key != nil, bit, e.Name())
					if refused, err := w.read(t, dir, what); err != nil || refused > 0 {
						t.Errorf("%s: %d entries refused, %v", what, refused, err)
					}
				}
			}
			if !kinds[""] || killed && !kinds[".mem"] || !killed && !kinds[".sst"] {
				t.Errorf("flipped bits in files of the kinds %v alone", kinds)
			}
		}
	}
}

// TestLargeDamageIsServedAround damages files by more than a bit, of clear folders and of encrypted ones. The ledger opens, every
// entry is as it was written or is named with its record, no list is shorter, and new records are taken. Of a folder
// in which nothing is left the files stay as they are.
func TestLargeDamageIsServedAround(t *testing.T) {
	t.Parallel()
	one := func(dir, pattern string) string {
		all, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(all) == 0 {
			t.Fatalf("no %s, %v", pattern, err)
		}
		return all[0]
	}
	blank := func(from, to int) func([]byte) []byte {
		return func(b []byte) []byte { clear(b[from:min(to, len(b))]); return b }
	}
	key := bytes.Repeat([]byte{7}, 32)
	closed, killed := writeFolder(t, false, nil), writeFolder(t, true, nil)
	closedKey, killedKey := writeFolder(t, false, key), writeFolder(t, true, key)
	for what, c := range map[string]struct {
		w      []written
		damage func(dir string)
		lost   int // entries, at least
	}{
		"a table is missing": {[]written{closed, closedKey}, func(dir string) { os.Remove(one(dir, "*.sst")) }, 60},
		"a table is halved": {[]written{closed}, func(dir string) {
			change(t, one(dir, "*.sst"), func(b []byte) []byte { return b[:len(b)/2] })
		}, 0},
		"a part of a table is blank": {[]written{closedKey}, func(dir string) { change(t, one(dir, "*.sst"), blank(500, 600)) }, 0},
		"a part of a log is blank":   {[]written{killed, killedKey}, func(dir string) { change(t, one(dir, "*.mem"), blank(9000, 9100)) }, 1},
		"a log is halved": {[]written{killed}, func(dir string) {
			path := one(dir, "*.mem")
			n := usedBytes(t, path)
			change(t, path, func(b []byte) []byte { return b[:n/2] })
		}, 1},
		"the end of a log is blank": {[]written{killed}, func(dir string) {
			path := one(dir, "*.mem")
			change(t, path, blank(usedBytes(t, path)-300, usedBytes(t, path)))
		}, 1},
		"a log is missing": {[]written{killed}, func(dir string) { os.Remove(one(dir, "*.mem")) }, 60},
	} {
		for _, w := range c.w {
			dir, what := copyOf(t, w.dir), fmt.Sprintf("%s, encrypted %v", what, w.key != nil)
			c.damage(dir)
			lost := w.readNamed(t, dir, what)
			if lost < c.lost {
				t.Errorf("%s: %d entries are lost, want %d at least", what, lost, c.lost)
			}
			if w.key != nil {
				continue
			}
			if again := w.readNamed(t, dir, what+", again"); again != lost {
				t.Errorf("%s: %d entries were lost, and then %d", what, lost, again)
			}
		}
	}
	dir := copyOf(t, closed.dir)
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		if !slices.Contains([]string{"SIGNED", "VITAL", "PLACES"}, e.Name()) {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
	before := sizes(t, dir)
	_, err = closed.read(t, dir, "all is gone but second places")
	if e, ok := errors.AsType[*ledger.DamageError](err); !ok || !strings.Contains(e.Error(), "entries were signed") {
		t.Errorf("all is gone but second places: got %v", err)
	}
	if after := sizes(t, dir); after != before {
		t.Errorf("the files were\n%s\nand are\n%s", before, after)
	}
}

// readNamed is read of a folder that is damaged: what is refused is named with its record, and a list has all. It writes a record, and returns how
// many are refused.
func (w written) readNamed(t *testing.T, dir, what string) (lost int) {
	t.Helper()
	l, err := ledger.Open(ledger.Options{Dir: dir, Council: council, Keys: w.ring, MinFree: 1, Memory: small, EncryptionKey: w.key})
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return 0
	}
	defer l.Close()
	named := map[uint64]bool{}
	if d := l.Damaged(); d != nil {
		if d.Tree != "" {
			t.Errorf("%s: %s", what, d.Tree)
		}
		for _, e := range d.Entries {
			named[e.Index] = e.Index == 0 || e.Record != ""
		}
	}
	listed := 0
	err = l.View(func(v *ledger.View) error {
		for i, body := range w.want {
			switch ver, err := v.Version(i); {
			case errors.Is(err, ledger.ErrDamaged):
				if lost++; !named[i] {
					t.Errorf("%s: entry %d is lost, and its record is not named", what, i)
				}
			case err != nil:
				t.Errorf("%s: entry %d: %v", what, i, err)
			case fmt.Sprint(ver.Body) != body:
				t.Errorf("%s: entry %d read as %v, want %s", what, i, ver.Body, body)
			}
		}
		return v.Scan("standards.example/parish-item", 0, func(*ledger.Version, error) bool { listed++; return true })
	})
	if err != nil || listed < len(w.want) {
		t.Errorf("%s: %d records listed of %d, %v", what, listed, len(w.want), err)
	}
	put(t, l, parish(t, "1.0.0"), item(what, "X", "after"))
	return lost
}

// TestLostIndexOfATable blanks the index of a table, of a clear and of an encrypted folder, and in one of each a part before it as
// well. The parts are found without it: whatever stands in them is read as it was written.
func TestLostIndexOfATable(t *testing.T) {
	t.Parallel()
	for what, key := range map[string][]byte{"clear": nil, "encrypted": bytes.Repeat([]byte{7}, 32)} {
		w := writeFolder(t, false, key)
		for _, too := range []bool{false, true} {
			dir := copyOf(t, w.dir)
			all, err := filepath.Glob(filepath.Join(dir, "*.sst"))
			if err != nil || len(all) == 0 {
				t.Fatal(err)
			}
			slices.SortFunc(all, func(a, b string) int { return usedBytes(t, b) - usedBytes(t, a) })
			change(t, all[0], func(b []byte) []byte {
				clear(b[len(b)-60:])
				if too {
					clear(b[len(b)/2 : len(b)/2+20])
				}
				return b
			})
			refused, err := w.read(t, dir, what)
			if _, ok := errors.AsType[*ledger.DamageError](err); ok && too {
				continue // what cannot be done without stood there
			}
			if err != nil || refused > 0 && !too {
				t.Errorf("%s, a part too %v: %d entries refused, %v", what, too, refused, err)
			}
		}
	}
}

// sizes lists the store's files by name and length.
func sizes(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		i, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() != "SIGNED" {
			fmt.Fprintf(&b, "%s %d\n", e.Name(), i.Size())
		}
	}
	return b.String()
}

// TestOldFolderIsHeldFromNowOn opens a folder that has no second place, as those of earlier
// versions have none: from then on it is held against.
func TestOldFolderIsHeldFromNowOn(t *testing.T) {
	t.Parallel()
	w := writeFolder(t, true, nil)
	if err := os.Remove(filepath.Join(w.dir, "SIGNED")); err != nil {
		t.Fatal(err)
	}
	if refused, err := w.read(t, w.dir, "without SIGNED"); err != nil || refused > 0 {
		t.Fatalf("%d refused, %v", refused, err)
	}
	tables, err := filepath.Glob(filepath.Join(w.dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("%v, %v", tables, err)
	}
	for _, path := range append(tables, filepath.Join(w.dir, "MANIFEST")) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if lost := w.readNamed(t, w.dir, "without its tables"); lost != len(w.want) {
		t.Errorf("%d entries are named as lost, want %d", lost, len(w.want))
	}
}

// TestListOfTablesIsMadeAnew damages MANIFEST by more than a bit, of folders with several tables in which
// records have newer versions, clear and encrypted, closed and killed. Everything is read as it was written, and
// goes on being so after new records and another start.
func TestListOfTablesIsMadeAnew(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(21, 22))
	for _, key := range [][]byte{nil, bytes.Repeat([]byte{7}, 32)} {
		for _, killed := range []bool{false, true} {
			base, r, std := t.TempDir(), ring(t), parish(t, "1.0.0")
			o := ledger.Options{Dir: base, Council: council, Keys: r, MinFree: 1, Memory: small, EncryptionKey: key}
			bodies := map[name.Record]string{}
			var older []byte
			var l *ledger.Ledger
			for round := range 3 {
				var err error
				if l, err = ledger.Open(o); err != nil {
					t.Fatal(err)
				}
				if round == 0 {
					adopt(t, l, std)
				}
				for i := range 20 {
					if i%3 < 2-round {
						continue
					}
					res := put(t, l, std, item(fmt.Sprint("ref-", i), "X", fmt.Sprint("round ", round)))
					bodies[res.Record] = readBody(t, l, res.Record)
				}
				if round == 2 && killed {
					break
				}
				if older, err = os.ReadFile(filepath.Join(base, "MANIFEST")); err != nil {
					t.Fatal(err)
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
			whole := filepath.Join(t.TempDir(), "whole")
			copyInto(t, base, whole)
			if killed {
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
			for what, harm := range map[string]func([]byte) []byte{
				"missing":  nil,
				"halved":   func(b []byte) []byte { return b[:len(b)/2] },
				"an older": func([]byte) []byte { return older },
				"two bits": func(b []byte) []byte { b[16+rng.IntN(9)] ^= 1; b[26+rng.IntN(9)] ^= 4; return b },
			} {
				if what == "an older" && killed || what != "missing" && key != nil {
					continue // the older one is that of the last start, and Badger reads the log again
				}
				what := fmt.Sprintf("MANIFEST %s, killed %v, encrypted %v", what, killed, key != nil)
				dir := filepath.Join(t.TempDir(), "copy")
				copyInto(t, whole, dir)
				if harm == nil {
					os.Remove(filepath.Join(dir, "MANIFEST"))
				} else {
					change(t, filepath.Join(dir, "MANIFEST"), harm)
				}
				o := o
				o.Dir = dir
				for again := range 2 {
					l, err := ledger.Open(o)
					if err != nil {
						t.Errorf("%s: %v", what, err)
						break
					}
					for id, want := range bodies {
						if got := readBody(t, l, id); got != want {
							t.Errorf("%s: record %s reads as %s, want %s", what, id, got, want)
						}
					}
					if d := l.Damaged(); d != nil {
						t.Errorf("%s: %+v", what, d)
					}
					put(t, l, std, item(fmt.Sprint("after", again), "X", "after"))
					if err := l.Close(); err != nil {
						t.Errorf("%s: %v", what, err)
					}
				}
				if _, err := os.Stat(filepath.Join(dir, "damaged")); err == nil {
					t.Errorf("%s: the files from before are still there", what)
				}
			}
		}
	}
}
