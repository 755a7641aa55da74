package examine

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
)

const (
	lastLevel  = 6 // Badger has seven
	tableBytes = 8 << 20
)

// Relist makes a list of tables anew, of a report that was made with [Options.Relist]: for a store
// whose MANIFEST is missing or cannot be believed.
//
// In which level a table stood cannot be told from it, and a table in a wrong level is
// wrong: Badger would forget that a key was deleted while an older table still has it. So all
// entries of all tables, each with its number, are merged into new tables of the last level, where none
// overlaps another. Parts that cannot be read are left out: see [Report.Holes]. The old files go to the
// folder aside.
//
// A table that Badger was about to remove when its process was killed counts, too. What it holds
// was merged into others with its number, so it says nothing new, unless the one beside it
// that deletes is gone already.
//
// At every moment until the new MANIFEST stands there the old tables do, and after an error, or
// a crash, the store can be examined and relisted again. [Report.Mend] comes first.
func (r *Report) Relist(dir, aside string) error {
	if !r.relist {
		return errors.New("relist: the report is by MANIFEST")
	}
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return fmt.Errorf("relist: %w", err)
	}
	w := &tableWriter{dir: dir}
	for id := range r.tables {
		w.next = max(w.next, id+1)
	}
	for _, t := range r.all {
		w.key, w.keyID = t.key, r.tables[t.id].KeyID // one for all, see Folder
	}
	if err := r.merge(dir, w.add); err != nil {
		return fmt.Errorf("relist: %w", err)
	}
	if err := w.flush(); err != nil {
		return fmt.Errorf("relist: %w", err)
	}
	set := &pb.ManifestChangeSet{}
	for _, id := range w.made {
		set.Changes = append(set.Changes, &pb.ManifestChange{Id: id, Op: pb.ManifestChange_CREATE, Level: lastLevel, KeyId: w.keyID, Compression: uint32(options.ZSTD)})
	}
	data, err := proto.Marshal(set)
	if err != nil {
		return fmt.Errorf("relist: %w", err)
	}
	b := binary.BigEndian.AppendUint32(bytes.Clone(manifestMagic[:]), uint32(len(data)))
	b = append(binary.BigEndian.AppendUint32(b, crc32.Checksum(data, castagnoli)), data...)
	path := filepath.Join(dir, badger.ManifestFilename)
	if err := os.Link(path, filepath.Join(aside, badger.ManifestFilename)); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("relist: %w", err)
	}
	if err := writeSynced(path+".new", b); err != nil {
		return fmt.Errorf("relist: %w", err)
	}
	if err := errors.Join(syncFolder(dir), os.Rename(path+".new", path), syncFolder(dir)); err != nil {
		return fmt.Errorf("relist: %w", err)
	}
	// From here on the new list counts, and the old tables are left over.
	for _, t := range r.all {
		if err := os.Rename(filepath.Join(dir, tableName(t.id)), filepath.Join(aside, tableName(t.id))); err != nil {
			return fmt.Errorf("relist: %w", err)
		}
	}
	return syncFolder(dir)
}

// merge calls add with each entry of the tables, in the order of their keys, each once.
func (r *Report) merge(dir string, add func(tableEntry) error) (err error) {
	var h tableHeap
	defer func() {
		for _, x := range h {
			x.close()
		}
	}()
	for _, t := range r.all {
		x, err := openReader(dir, t)
		if err != nil {
			return err
		}
		if x == nil {
			continue
		}
		h = append(h, x)
	}
	heap.Init(&h)
	var last []byte
	for len(h) > 0 {
		x := h[0]
		if e := x.entries[x.at]; !bytes.Equal(e.key, last) {
			if err := add(e); err != nil {
				return err
			}
			last = e.key
		}
		more, err := x.step()
		if err != nil {
			return err
		}
		if more {
			heap.Fix(&h, 0)
		} else {
			heap.Pop(&h).(*tableReader).close()
		}
	}
	return nil
}

// A tableReader reads the entries of a table that was examined, a block at a time.
type tableReader struct {
	t       *tableFile
	f       *os.File
	block   int // that is read next
	entries []tableEntry
	at      int
}

// openReader returns nil for a table in which nothing can be read.
func openReader(dir string, t *tableFile) (*tableReader, error) {
	f, err := os.Open(filepath.Join(dir, tableName(t.id)))
	if err != nil {
		return nil, err
	}
	x := &tableReader{t: t, f: f, at: -1}
	if t.dec, err = newDecoder(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	more, err := x.step()
	if err != nil || !more {
		x.close()
		return nil, err
	}
	return x, nil
}

func (x *tableReader) close() {
	x.t.dec.Close()
	x.f.Close()
}

// step goes to the next entry, and reports whether there is one.
func (x *tableReader) step() (bool, error) {
	x.at++
	for x.at >= len(x.entries) {
		if x.block == len(x.t.blocks) {
			return false, nil
		}
		b := x.t.blocks[x.block]
		x.block++
		x.entries, x.at = nil, 0
		if b.bad {
			continue
		}
		x.t.data = make([]byte, b.to-b.from)
		if _, err := x.f.ReadAt(x.t.data, int64(b.from)); err != nil {
			return false, err
		}
		plain := x.t.plain(&block{to: len(x.t.data)})
		if plain == nil {
			return false, fmt.Errorf("%s has changed meanwhile", tableName(x.t.id))
		}
		x.entries = slices.Collect(entriesOf(bytes.Clone(plain)))
	}
	return true, nil
}

type tableHeap []*tableReader

func (h tableHeap) Len() int { return len(h) }
func (h tableHeap) Less(i, j int) bool {
	return y.CompareKeys(h[i].entries[h[i].at].key, h[j].entries[h[j].at].key) < 0
}
func (h tableHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *tableHeap) Push(x any)   { *h = append(*h, x.(*tableReader)) }
func (h *tableHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// A tableWriter writes entries, which come in the order of their keys, into tables.
type tableWriter struct {
	dir   string
	next  uint64 // number of the next table
	key   *pb.DataKey
	keyID uint64
	made  []uint64

	b    *table.Builder
	size int
	last []byte // key without its number
}

func (w *tableWriter) add(e tableEntry) error {
	key := y.ParseKey(e.key)
	// Two versions of one key never stand in two tables of a level.
	if w.b != nil && w.size > tableBytes && !bytes.Equal(key, w.last) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if w.b == nil {
		w.b = table.NewTableBuilder(table.Options{
			TableSize: 2 * tableBytes, BlockSize: 16 << 10, BloomFalsePositive: 0.01,
			Compression: options.ZSTD, ZSTDCompressionLevel: 1, DataKey: w.key, ChkMode: options.OnBlockRead,
		})
	}
	var v y.ValueStruct
	v.Decode(e.value)
	w.b.Add(e.key, v, 0)
	w.size += len(e.key) + len(e.value)
	w.last = bytes.Clone(key)
	return nil
}

func (w *tableWriter) flush() error {
	if w.b == nil {
		return nil
	}
	out := w.b.Finish()
	w.b.Close()
	w.b, w.size = nil, 0
	if err := writeSynced(filepath.Join(w.dir, tableName(w.next)), out); err != nil {
		return err
	}
	w.made = append(w.made, w.next)
	w.next++
	return nil
}
