package examine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/y"
)

// A Watch holds the tables of an open store against their checksums, part by part. It may be used
// concurrently.
type Watch struct {
	o       Options
	mu      sync.Mutex // guards what follows
	listed  time.Time
	levels  [][]*watched // by level, sorted by their first key; those of level 0 may overlap
	had     map[uint64]*watched
	keys    *badger.KeyRegistry
	keyIDs  map[uint64]badger.TableManifest
	dec     *zstd.Decoder
	checked int // parts, ever
}

// believed is for how long a part that was found whole is not looked at again, and a list of tables is used.
const believed = 10 * time.Second

type watched struct {
	id          uint64
	left, right []byte // the first and the last key, without number
	blocks      []block
	seen        []time.Time
	t           *tableFile
}

// NewWatch returns a watch over the store in o.Dir.
func NewWatch(o Options) *Watch { return &Watch{o: o} }

// Forget makes the next Check look at everything anew.
func (w *Watch) Forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listed, w.levels, w.had = time.Time{}, nil, nil
}

// Checked returns how many parts were held against their checksum, ever.
func (w *Watch) Checked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.checked
}

// Check looks at each part of a table that may hold a key from first to last; nil is no bound. A part that was
// whole within the last ten seconds is not read again. It returns the first that cannot be read, nil
// when there is none.
func (w *Watch) Check(db *badger.DB, first, last []byte, now time.Time) (*Flaw, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		if err := w.list(db, now); err != nil {
			return nil, err
		}
		flaw, gone, err := w.walk(db, first, last, now)
		if flaw != nil || err != nil || !gone {
			return flaw, err
		}
	}
}

// walk checks the tables of the list, and returns the first flaw. Gone says that one was compacted meanwhile, so that
// what it held stands in another, which the next list has: Badger takes a table from its levels, then cuts its file to
// nothing, then removes it, so that it may have been read empty.
func (w *Watch) walk(db *badger.DB, first, last []byte, now time.Time) (flaw *Flaw, gone bool, err error) {
	for level, tables := range w.levels {
		from := 0
		if level > 0 && first != nil {
			from = sort.Search(len(tables), func(i int) bool { return bytes.Compare(tables[i].right, first) >= 0 })
		}
		for _, t := range tables[from:] {
			if last != nil && bytes.Compare(t.left, last) > 0 {
				break
			}
			if first != nil && bytes.Compare(t.right, first) < 0 {
				continue
			}
			flaw, err := w.check(t, first, last, now)
			missing := errors.Is(err, fs.ErrNotExist)
			if flaw == nil && err == nil {
				continue
			}
			switch has := has(db, t.id); {
			case missing || flaw != nil && !has:
				w.listed, gone = time.Time{}, gone || !has
			default:
				return flaw, gone, err
			}
		}
	}
	return nil, gone, nil
}

// has reports whether a store has a table.
func has(db *badger.DB, id uint64) bool {
	return slices.ContainsFunc(db.Tables(), func(i badger.TableInfo) bool { return i.ID == id })
}

// list reads which tables there are.
func (w *Watch) list(db *badger.DB, now time.Time) error {
	if d := now.Sub(w.listed); w.levels != nil && d >= 0 && d < believed {
		return nil
	}
	levels, have := [][]*watched{}, map[uint64]*watched{}
	for _, i := range db.Tables() {
		t := w.had[i.ID]
		if t == nil {
			t = &watched{id: i.ID, left: bytes.Clone(y.ParseKey(i.Left)), right: bytes.Clone(y.ParseKey(i.Right))}
		}
		for len(levels) <= i.Level {
			levels = append(levels, nil)
		}
		levels[i.Level], have[i.ID] = append(levels[i.Level], t), t
	}
	for _, tables := range levels {
		slices.SortFunc(tables, func(a, b *watched) int { return bytes.Compare(a.left, b.left) })
	}
	w.levels, w.had, w.listed = levels, have, now
	return nil
}

// check looks at the parts of one table.
func (w *Watch) check(t *watched, first, last []byte, now time.Time) (flaw *Flaw, err error) {
	defer func() {
		if p := recover(); p != nil {
			flaw = &Flaw{File: tableName(t.id), What: "its index cannot be read", Fatal: true}
		}
	}()
	if t.blocks == nil {
		if flaw, err = w.open(t); flaw != nil || err != nil {
			return flaw, err
		}
	}
	var file *os.File
	defer func() {
		if file != nil {
			file.Close()
		}
	}()
	from := 0
	if first != nil {
		// The last part that begins before it may hold it.
		from = max(0, sort.Search(len(t.blocks), func(i int) bool { return bytes.Compare(y.ParseKey(t.blocks[i].first), first) >= 0 })-1)
	}
	for i := from; i < len(t.blocks); i++ {
		b := &t.blocks[i]
		if last != nil && bytes.Compare(y.ParseKey(b.first), last) > 0 {
			break
		}
		if d := now.Sub(t.seen[i]); !t.seen[i].IsZero() && d >= 0 && d < believed {
			continue
		}
		if file == nil {
			if file, err = os.Open(filepath.Join(w.o.Dir, tableName(t.id))); err != nil {
				return nil, err
			}
		}
		if cap(t.t.data) < b.to-b.from {
			t.t.data = make([]byte, b.to-b.from)
		}
		t.t.data = t.t.data[:b.to-b.from]
		whole := block{to: len(t.t.data)}
		if _, err := file.ReadAt(t.t.data, int64(b.from)); err != nil || t.t.plain(&whole) == nil {
			return &Flaw{File: tableName(t.id), What: fmt.Sprintf("part %d of %d cannot be read", i+1, len(t.blocks)), Fatal: true}, nil
		}
		w.checked++
		t.seen[i] = now
	}
	return nil, nil
}

// open reads the index of a table.
func (w *Watch) open(t *watched) (*Flaw, error) {
	m, err := w.manifest(t.id)
	if err != nil {
		return nil, err
	}
	f := &tableFile{id: t.id, compression: m.Compression}
	if f.data, err = os.ReadFile(filepath.Join(w.o.Dir, tableName(t.id))); err != nil {
		return nil, err
	}
	if f.key, err = w.keys.DataKey(m.KeyID); err != nil {
		return nil, err
	}
	index, ok := f.index()
	if !ok {
		return &Flaw{File: tableName(t.id), What: "its index cannot be read", Fatal: true}, nil
	}
	ti := fb.GetRootAsTableIndex(index, 0)
	var bo fb.BlockOffset
	var blocks []block
	for i := range ti.OffsetsLength() {
		ti.Offsets(&bo, i)
		b := block{first: bytes.Clone(bo.KeyBytes()), from: int(bo.Offset()), to: int(bo.Offset()) + int(bo.Len())}
		if b.from < 0 || b.to > len(f.data) || b.from > b.to {
			return &Flaw{File: tableName(t.id), What: "its index names what is not there", Fatal: true}, nil
		}
		blocks = append(blocks, b)
	}
	if w.dec == nil {
		if w.dec, err = newDecoder(); err != nil {
			return nil, err
		}
	}
	f.dec = w.dec
	f.data = nil
	t.blocks, t.seen, t.t = blocks, make([]time.Time, len(blocks)), f
	return nil, nil
}

// manifest returns how a table was written.
func (w *Watch) manifest(id uint64) (m badger.TableManifest, err error) {
	if m, ok := w.keyIDs[id]; ok {
		return m, nil
	}
	r := &Report{}
	if err := r.examineKeys(w.o); err != nil {
		return m, err
	}
	if err := r.examineManifest(w.o.Dir, true); err != nil {
		return m, err
	}
	w.keys, w.keyIDs = r.keys, r.tables
	m, ok := w.keyIDs[id]
	if !ok {
		return m, fs.ErrNotExist // gone again
	}
	return m, nil
}
