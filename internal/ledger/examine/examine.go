// Package examine reads the files of a Badger store before Badger does, and
// writes nothing.
//
// Badger takes what it cannot read for the end of a file: it cuts a log of writes at
// the first entry whose checksum is wrong, leaves out a table whose index is
// damaged, and removes tables that its list of tables (MANIFEST) does not name. Each of
// these loses what was acknowledged, and none is an error. So every checksum is looked
// at first, and what does not hold is named.
//
// One flipped bit can be told from its checksum, and only one: [Flaw.Patch] says
// which. Of anything larger it is said what cannot be read.
//
// The files, of Badger v4:
//
//	MANIFEST      magic8, then sets of changes: length4 crc4 protobuf
//	KEYREGISTRY   keys that encrypt the other files, themselves encrypted
//	NNNNN.mem     log of writes since the last table: head20, then entries, each with a checksum
//	NNNNNN.vlog   the same layout, of values of 1 MiB and more
//	NNNNNN.sst    table: blocks, index, length4, checksum, length4
package examine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// Options say what store to examine.
type Options struct {
	Dir           string
	EncryptionKey []byte // nil for none
	// Counter is the key under which every transaction writes its number, big-endian in 8
	// bytes, one more than the one before; nil for none.
	Counter []byte
	// Relist: MANIFEST is not believed, and every table that is there belongs to the store. See
	// [Report.Relist].
	Relist bool
}

// A Flaw is one thing in a file that is not as it was written.
type Flaw struct {
	File string // name in the folder
	What string // in words: where, and what it means
	// Patch is set when the flaw is one flipped bit, which the checksum tells.
	Patch *Patch
	// Fatal: Badger must not open the store as it is. A flaw that is not fatal is in a part
	// that nothing depends on, or what it hides was written again elsewhere.
	Fatal bool
}

// A Patch is one byte that is put right.
type Patch struct {
	Offset int64
	Byte   byte
}

func (f Flaw) String() string { return f.File + ": " + f.What }

// A Report is what was found.
type Report struct {
	New     bool   // there is no store
	Flaws   []Flaw // sorted by file
	Commits uint64 // the highest number under Options.Counter in what Badger will read; 0 for none
	// Loose are tables that MANIFEST does not name: left over when Badger was killed
	// while it wrote or removed one, or what a damaged MANIFEST has forgotten.
	Loose []string
	// LooseCommits is the highest number under Options.Counter in those.
	LooseCommits uint64
	Bytes        int64 // that were read

	tables map[uint64]badger.TableManifest // by number, as MANIFEST says
	logs   []*logFile
	firsts map[uint64][]byte // the first key of each table
	lasts  map[uint64][]byte // the last, of those that can be read
	gone   []uint64          // tables that are missing
	bad    []*tableFile      // tables of which a part cannot be read
	keys   *badger.KeyRegistry
	cut    bool         // MANIFEST ends in the middle of a change
	relist bool         // as in Options
	all    []*tableFile // with relist
}

// Fatal returns the flaws that cannot be put right from a checksum and that keep
// Badger from opening the store.
func (r *Report) Fatal() (out []Flaw) {
	for _, f := range r.Flaws {
		if f.Fatal && f.Patch == nil {
			out = append(out, f)
		}
	}
	return out
}

// Folder examines the store in o.Dir. The error is of reading the files; what
// is wrong in them is in the report. Nobody may write the store meanwhile.
func Folder(o Options) (*Report, error) {
	names, err := storeFiles(o.Dir)
	if err != nil {
		return nil, err
	}
	r := &Report{firsts: map[uint64][]byte{}, lasts: map[uint64][]byte{}}
	if len(names) == 0 {
		r.New = true
		return r, nil
	}
	if err := r.examineKeys(o); err != nil {
		return nil, err
	}
	var tables []uint64
	for _, n := range names {
		if id, ok := tableID(n); ok {
			tables = append(tables, id)
		}
	}
	if o.Relist {
		r.relist, r.tables = true, map[uint64]badger.TableManifest{}
		m := badger.TableManifest{Compression: options.ZSTD}
		if len(o.EncryptionKey) > 0 && len(tables) > 0 {
			if m.KeyID, err = latestKey(r.keys); err != nil {
				return nil, err
			}
		}
		for _, id := range tables {
			r.tables[id] = m
		}
	} else if err := r.examineManifest(o.Dir, len(names) > 1); err != nil {
		return nil, err
	}
	for id := range r.tables {
		if !slices.Contains(tables, id) {
			r.Flaws = append(r.Flaws, Flaw{File: tableName(id), What: "MANIFEST names this table, and it is missing", Fatal: true})
			r.gone = append(r.gone, id)
		}
	}
	if err := r.examineTables(o, tables); err != nil {
		return nil, err
	}
	if r.cut && len(r.Loose) > 0 {
		// What was cut off may have named them, and Badger would remove them.
		r.Flaws = append(r.Flaws, Flaw{File: badger.ManifestFilename, What: "it is cut off, and does not name " + strings.Join(r.Loose, ", "), Fatal: true})
	}
	for _, n := range names {
		if strings.HasSuffix(n, ".mem") || strings.HasSuffix(n, ".vlog") {
			if err := r.examineLog(o, n); err != nil {
				return nil, err
			}
		}
	}
	slices.SortStableFunc(r.Flaws, func(a, b Flaw) int { return strings.Compare(a.File, b.File) })
	return r, nil
}

// storeFiles returns the names of a store's files, sorted.
func storeFiles(dir string) (names []string, err error) {
	es, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range es {
		switch n := e.Name(); {
		case e.IsDir():
		case n == badger.ManifestFilename, strings.HasSuffix(n, ".sst"), strings.HasSuffix(n, ".mem"), strings.HasSuffix(n, ".vlog"):
			names = append(names, n)
		}
	}
	return names, nil
}

// examineKeys opens the keys of encryption.
func (r *Report) examineKeys(o Options) (err error) {
	open := func(dir string) (*badger.KeyRegistry, error) {
		return badger.OpenKeyRegistry(badger.KeyRegistryOptions{
			Dir: dir, ReadOnly: true, EncryptionKey: o.EncryptionKey, EncryptionKeyRotationDuration: 100 * 365 * 24 * time.Hour,
		})
	}
	if r.keys, err = open(o.Dir); err == nil {
		return nil
	}
	// It may be the wrong key. It is a flipped bit if one bit makes it right.
	b, rerr := os.ReadFile(filepath.Join(o.Dir, badger.KeyRegistryFileName))
	if rerr != nil || len(b) > 4<<10 {
		return err
	}
	tmp, terr := os.MkdirTemp("", "stile-examine")
	if terr != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	try := filepath.Join(tmp, badger.KeyRegistryFileName)
	for bit := range 8 * len(b) {
		b[bit/8] ^= 1 << (bit % 8)
		if overlong(b) {
			b[bit/8] ^= 1 << (bit % 8)
			continue
		}
		if werr := os.WriteFile(try, b, 0o600); werr != nil {
			return err
		}
		if keys, oerr := open(tmp); oerr == nil {
			r.keys = keys
			r.Flaws = append(r.Flaws, Flaw{File: badger.KeyRegistryFileName, What: "one bit is not as it was written", Patch: &Patch{int64(bit / 8), b[bit/8]}, Fatal: true})
			return nil
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	return err
}

// overlong reports whether a key in a file of keys ends beyond it: Badger does not read such
// a file, and sets aside up to 4 GiB to find out. Its layout is iv16 greeting12, then keys,
// each length4 crc4 protobuf; a length with nothing behind it is the end.
func overlong(b []byte) bool {
	for at := 16 + 12; at+8 < len(b); {
		n := int64(binary.BigEndian.Uint32(b[at:]))
		if at += 8; n > int64(len(b)-at) {
			return true
		}
		at += int(n)
	}
	return false
}

// examineTables reads all tables, as many at a time as there are cores.
func (r *Report) examineTables(o Options, ids []uint64) error {
	var mu sync.Mutex
	var first error
	queue := make(chan uint64)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 4) {
		wg.Go(func() {
			for id := range queue {
				mu.Lock()
				m, named := r.tables[id]
				mu.Unlock()
				t, err := examineTable(o, r.keys, id, m, named)
				mu.Lock()
				if err != nil {
					first = errors.Join(first, err)
				} else {
					r.Bytes += t.size
					if named {
						r.Commits = max(r.Commits, t.commits)
						r.Flaws = append(r.Flaws, t.flaws...)
						r.firsts[id], r.lasts[id] = t.first, t.last
						if r.relist {
							r.all = append(r.all, t)
						}
						if t.broken() {
							r.bad = append(r.bad, t)
						}
					} else {
						r.Loose = append(r.Loose, tableName(id))
						r.LooseCommits = max(r.LooseCommits, t.commits)
					}
				}
				mu.Unlock()
			}
		})
	}
	for _, id := range ids {
		queue <- id
	}
	close(queue)
	wg.Wait()
	slices.Sort(r.Loose)
	return first
}

// Mend puts right every flaw that is one flipped bit, in the store in dir. Each change is on
// disk when Mend returns. Nothing is kept of what a file was: it can be
// told from the patch, and a copy would keep what is erased later.
func (r *Report) Mend(dir string) error {
	for _, f := range r.Flaws {
		if f.Patch == nil {
			continue
		}
		w, err := os.OpenFile(filepath.Join(dir, f.File), os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("mend %s: %w", f.File, err)
		}
		_, err = w.WriteAt([]byte{f.Patch.Byte}, f.Patch.Offset)
		if err := errors.Join(err, w.Sync(), w.Close()); err != nil {
			return fmt.Errorf("mend %s: %w", f.File, err)
		}
	}
	return nil
}

// count returns the number under the counter's key, when value is one.
func count(value []byte) uint64 {
	if len(value) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(value)
}
