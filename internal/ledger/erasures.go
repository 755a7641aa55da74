package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// What was erased is also listed in a file outside the store, so that it is erased again in a
// folder that is set back to a time before, also where nobody else was told of it:
//
//	stile erasures 1 COUNCIL
//	INDEX ENTRY RECORD SUM
//
// with one line for each version that was erased: its place in our log, its entry's hash in base64, the
// record's id, and the first 8 bytes of SHA-256 of what stands before the last space, in
// hexadecimal. Lines are added at the end, in any order; one whose sum is wrong does not count. It says
// no more than the log, in which the erasure stands, and the ids: nothing of what was erased.
//
// A line is about a folder when the log has that entry at that place. So a list may be older or newer
// than a folder, be merged with another, and be read at each start; and a record that was written
// anew after it was erased stays.
const (
	ErasuresName = "erasures" // in a data folder

	erasuresHead = "stile erasures 1 "
	erasuresSum  = 8
	maxErasures  = 1 << 30 // bytes of a list
)

// ErrNoErasures: a file is no list of the council's erasures.
var ErrNoErasures = errors.New("it is no list of this council's erasures")

// An erasedVersion is one line of a list.
type erasedVersion struct {
	index  uint64
	entry  tlog.Hash
	record [16]byte
}

func (e erasedVersion) line() []byte {
	b := fmt.Appendf(nil, "%d %s %s", e.index, base64.StdEncoding.EncodeToString(e.entry[:]), name.RecordFrom(e.record))
	sum := sha256.Sum256(b)
	return append(append(append(b, ' '), hex.EncodeToString(sum[:erasuresSum])...), '\n')
}

func parseErased(line []byte) (e erasedVersion, ok bool) {
	f := strings.Split(string(line), " ")
	if len(f) != 4 {
		return e, false
	}
	index, err1 := strconv.ParseUint(f[0], 10, 64)
	entry, err2 := tlog.ParseHash(f[1])
	r, err3 := name.ParseRecord(f[2])
	if errors.Join(err1, err2, err3) != nil {
		return e, false
	}
	e = erasedVersion{index, entry, r.Bytes()}
	return e, string(e.line()) == string(line)+"\n"
}

// Erasures is a list of what a council has erased.
type Erasures struct {
	of  name.Council
	set map[erasedVersion]bool
	Bad int // lines that could not be read and do not count
}

// ErasuresFile is how the list of a council is called where it stands beside its backups.
func ErasuresFile(of name.Council) string { return string(of) + ".stile-erasures" }

// Len returns how many versions of records are listed.
func (l *Erasures) Len() int { return len(l.set) }

// ReadErasures reads a council's list from a file; or from a folder, a data folder or one of backups, what
// lists are there. One that is not there is empty. The error wraps ErrNoErasures when the file is something else.
func ReadErasures(path string, of name.Council) (*Erasures, error) {
	l := &Erasures{of: of, set: map[erasedVersion]bool{}}
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	files := []string{path}
	if st.IsDir() {
		files = []string{filepath.Join(path, ErasuresName), filepath.Join(path, ErasuresFile(of))}
	}
	for _, file := range files {
		switch st, err = os.Stat(file); {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return l, err
		case !st.Mode().IsRegular() || st.Size() > maxErasures:
			return l, fmt.Errorf("%s: %w", file, ErrNoErasures)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return l, err
		}
		if err := l.parse(b); err != nil {
			return l, fmt.Errorf("%s: %w", file, err)
		}
	}
	return l, nil
}

// parse adds what is in a file to the list.
func (l *Erasures) parse(b []byte) error {
	if len(b) == 0 {
		return nil // made, and cut off before its first line was written
	}
	head, rest, _ := bytes.Cut(b, []byte("\n"))
	if string(head) != erasuresHead+string(l.of) {
		if _, ok := parseErased(bytes.TrimSuffix(bytes.SplitAfterN(append(rest, '\n'), []byte("\n"), 2)[0], []byte("\n"))); !ok || bytes.HasPrefix(head, []byte(erasuresHead)) {
			return ErrNoErasures
		}
		l.Bad++ // of the first line some letters are others; what follows has its own sums
	}
	for line := range bytes.SplitSeq(rest, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		if e, ok := parseErased(line); ok {
			l.set[e] = true
		} else {
			l.Bad++
		}
	}
	return nil
}

func (l *Erasures) bytes() []byte {
	b := []byte(erasuresHead + string(l.of) + "\n")
	for _, e := range slices.SortedFunc(maps.Keys(l.set), func(a, b erasedVersion) int { return bytes.Compare(a.line(), b.line()) }) {
		b = append(b, e.line()...)
	}
	return b
}

// Add adds what stands in another list, and reports whether that was anything new.
func (l *Erasures) Add(other *Erasures) bool {
	was := len(l.set)
	maps.Copy(l.set, other.set)
	return len(l.set) > was
}

// Write writes the list to a file, in the place of what stands there.
func (l *Erasures) Write(path string) error {
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(l.bytes())
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		_ = d.Sync() // not every system syncs folders
		return d.Close()
	}
	return nil
}

// KeepErasures adds the list at from to that at to, which is made if it is not there.
func KeepErasures(to, from string, of name.Council) error {
	have, err := ReadErasures(to, of)
	if err != nil {
		return err
	}
	more, err := ReadErasures(from, of)
	if err != nil {
		return err
	}
	if !have.Add(more) && have.Bad == 0 {
		return nil
	}
	return have.Write(to)
}

// An erasuresFile is the list of a ledger, open once something was added; nil for one that keeps none.
type erasuresFile struct {
	path string

	mu    sync.Mutex // guards what follows
	f     *os.File
	dirty bool
}

// append adds versions that were erased. They are on disk after sync.
func (e *erasuresFile) append(list []storedVersion) error {
	if e == nil || len(list) == 0 {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.f == nil {
		f, err := os.OpenFile(e.path, os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return fmt.Errorf("write %s: %w", ErasuresName, err)
		}
		e.f = f
	}
	var b []byte
	for _, s := range list {
		b = append(b, erasedVersion{s.Index, s.stub.entry, s.stub.record}.line()...)
	}
	e.dirty = true
	if _, err := e.f.Write(b); err != nil {
		return fmt.Errorf("write %s: %w", ErasuresName, err)
	}
	return nil
}

func (e *erasuresFile) sync() error {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.dirty {
		return nil
	}
	if err := e.f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", ErasuresName, err)
	}
	e.dirty = false
	return nil
}

func (e *erasuresFile) close() error {
	if e == nil {
		return nil
	}
	err := e.sync()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.f == nil {
		return err
	}
	return errors.Join(err, e.f.Close())
}

// openErasures holds the list, and the others that o.ErasuresToo names, against the store: what the store
// has erased and the list lacks is added; what the list has and the store still holds is shown no more from
// here on, and is erased again once the log may grow: see again.go.
func (l *Ledger) openErasures(ctx context.Context) error {
	if l.o.Erasures == "" || l.o.InMemory || l.reader != nil {
		return nil
	}
	list, err := ReadErasures(l.o.Erasures, l.o.Council)
	if errors.Is(err, ErrNoErasures) {
		l.o.Log.Error("the list of what was erased is not one; it is made anew from the store", "file", l.o.Erasures)
		list, err = &Erasures{of: l.o.Council, set: map[erasedVersion]bool{}, Bad: 1}, nil
	}
	if err != nil {
		return err
	}
	if list.Bad > 0 {
		l.o.Log.Error("lines of the list of what was erased are damaged; it is made anew from the store and from the lines that are whole", "file", l.o.Erasures, "lines", list.Bad)
	}
	write := list.Bad > 0
	for _, path := range l.o.ErasuresToo {
		more, err := ReadErasures(path, l.o.Council)
		if err != nil {
			l.o.Log.Error("a list of what was erased cannot be read", "error", err.Error())
			continue
		}
		write = list.Add(more) || write
	}
	var again []erasedVersion
	err = l.View(func(v *View) error {
		here := map[erasedVersion]bool{}
		err := walk(v.txn, []byte{'W'}, func(key, value []byte) error {
			if len(key) != 9 || len(value) == 0 || value[0] != kindErased {
				return nil // of others that the letter stands for
			}
			s, err := decodeStub(value)
			if err != nil {
				return err
			}
			e := erasedVersion{binary.BigEndian.Uint64(key[1:]), s.entry, s.record}
			here[e] = true
			if !list.set[e] {
				list.set[e], write = true, true
			}
			return nil
		})
		if err != nil {
			return err
		}
		for e := range list.set {
			if here[e] || e.index >= v.cp.Size {
				continue
			}
			if leaf, err := v.leaf(e.index); err != nil || leaf != tlog.Leaf(e.entry) {
				continue // of another log, or of a part that cannot be read
			}
			again = append(again, e)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("hold what was erased against the store: %w", err)
	}
	if err := l.eraseListed(ctx, again); err != nil {
		return err
	}
	l.erasures = &erasuresFile{path: l.o.Erasures}
	if write || !exists(l.o.Erasures) {
		// Where the disk is full or only read, what the store says is added at a later start.
		if err := list.Write(l.o.Erasures); err != nil {
			l.o.Log.Error("the list of what was erased cannot be written", "error", err.Error())
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// ListedOrder stands in the place of an order's index where a list and no order says that a record was erased.
const ListedOrder = ^uint64(0)

// eraseListed notes records that are to be erased again.
func (l *Ledger) eraseListed(ctx context.Context, list []erasedVersion) error {
	records := map[[16]byte]bool{}
	for _, e := range list {
		if !l.isHidden(e.record) {
			records[e.record] = true
		}
	}
	if len(records) == 0 {
		return nil
	}
	l.o.Log.Warn("the folder still has records that were erased: it was set back; they are shown no more, and are erased again once the log may grow", "records", len(records))
	all := slices.SortedFunc(maps.Keys(records), func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	for chunk := range slices.Chunk(all, 1000) {
		err := l.do(ctx, false, func(t *tx) error {
			for _, r := range chunk {
				t.set(againKey(r), binary.BigEndian.AppendUint64(nil, ListedOrder))
				t.after = append(t.after, func() { l.hide(r, true) })
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
