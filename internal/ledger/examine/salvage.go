package examine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
)

// A Hole is a run of keys of which nothing can be read in one table. What stands in other
// tables under those keys may be older than what was lost.
type Hole struct {
	File string
	// From and To are keys without their number: what is lost lies from From on and before To;
	// To is nil when it is not known where it ends.
	From, To []byte
}

// Has reports whether a key may have been lost.
func (h Hole) Has(key []byte) bool {
	return bytes.Compare(key, h.From) >= 0 && (h.To == nil || bytes.Compare(key, h.To) < 0)
}

// Meets reports whether a key with a prefix may have been lost.
func (h Hole) Meets(prefix []byte) bool {
	if h.To != nil && bytes.Compare(h.To, prefix) <= 0 {
		return false
	}
	return bytes.Compare(h.From, prefix) <= 0 || bytes.HasPrefix(h.From, prefix)
}

// Holes returns what is lost in the store's tables. ok is false when more is damaged than parts of
// tables, so that the store cannot be opened without them.
func (r *Report) Holes() (holes []Hole, ok bool) {
	inTables := 0
	for _, t := range r.bad {
		for _, f := range t.flaws {
			if f.Patch == nil {
				inTables++
			}
		}
		if t.lost || len(t.blocks) == 0 {
			return nil, false
		}
		for i, b := range t.blocks {
			if !b.bad {
				continue
			}
			h := Hole{File: tableName(t.id), From: y.ParseKey(b.first)}
			if b.gap {
				h.From = append(bytes.Clone(h.From), 0) // behind the last key before it
			}
			if i+1 < len(t.blocks) {
				h.To = r.until(t, t.blocks[i+1].first)
			} else {
				h.To = r.after(t)
			}
			holes = append(holes, h)
		}
	}
	return holes, inTables == len(r.Fatal())
}

// until returns the first key that is not lost with what stands before a block. The key of the
// block's first entry may have newer versions before it, where tables keep more than one.
func (r *Report) until(t *tableFile, first []byte) []byte {
	key := bytes.Clone(y.ParseKey(first))
	if r.tables[t.id].Level == 0 {
		return append(key, 0)
	}
	return key
}

// after returns the first key of the table that follows one in its level; nil when there is none, or
// when tables of the level may overlap, as those of level 0 do.
func (r *Report) after(t *tableFile) []byte {
	level := r.tables[t.id].Level
	if level == 0 {
		return nil
	}
	var next []byte
	for id, m := range r.tables {
		first := r.firsts[id]
		if m.Level != level || id == t.id {
			continue
		}
		if first == nil {
			return nil
		}
		if y.CompareKeys(first, t.first) > 0 && (next == nil || y.CompareKeys(first, next) < 0) {
			next = first
		}
	}
	if next == nil {
		return nil
	}
	return bytes.Clone(y.ParseKey(next))
}

// Salvage writes each damaged table once more with what of it can be read, after it has put a copy of
// the table as it is into the folder aside. MANIFEST goes on to name it. The error of
// a store of which [Report.Holes] says that it cannot be opened is the flaws'.
func (r *Report) Salvage(dir, aside string) error {
	if _, ok := r.Holes(); !ok {
		return fmt.Errorf("salvage: %v", r.Fatal())
	}
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return fmt.Errorf("salvage: %w", err)
	}
	for _, t := range r.bad {
		if err := t.salvage(dir, aside); err != nil {
			return fmt.Errorf("salvage %s: %w", tableName(t.id), err)
		}
	}
	return nil
}

func (t *tableFile) salvage(dir, aside string) error {
	path := filepath.Join(dir, tableName(t.id))
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(aside, tableName(t.id)), b); err != nil {
		return err
	}
	whole, err := t.rewrite()
	if err != nil {
		return err
	}
	next := path + ".new"
	if err := writeSynced(next, whole); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncFolder(dir)
}

// rewrite returns a table of what can be read. In the place of what cannot stands a deletion of
// its first key, so that the table says that something was there and is never empty.
func (t *tableFile) rewrite() (out []byte, err error) {
	if t.dec, err = newDecoder(); err != nil {
		return nil, err
	}
	defer t.dec.Close()
	builder := table.NewTableBuilder(table.Options{
		TableSize: uint64(2*len(t.data) + 1<<20), BlockSize: 16 << 10, BloomFalsePositive: 0.01,
		Compression: t.compression, ZSTDCompressionLevel: 1, DataKey: t.key, ChkMode: options.OnBlockRead,
	})
	defer builder.Close()
	const deleted = 1 // Badger's mark of a deletion
	var last []byte
	add := func(key []byte, v y.ValueStruct) error {
		if last != nil && y.CompareKeys(key, last) <= 0 {
			return errors.New("its keys are not in order")
		}
		last = bytes.Clone(key)
		builder.Add(key, v, 0)
		return nil
	}
	for i := range t.blocks {
		b := &t.blocks[i]
		if b.bad {
			if last == nil || y.CompareKeys(b.first, last) > 0 {
				err = add(b.first, y.ValueStruct{Meta: deleted})
			}
		} else if plain := t.plain(b); plain == nil {
			err = errors.New("it has changed meanwhile")
		} else {
			for e := range entriesOf(bytes.Clone(plain)) {
				var v y.ValueStruct
				v.Decode(e.value)
				if err = add(e.key, v); err != nil {
					break
				}
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return builder.Finish(), nil
}

// withoutIndex finds the parts of a table whose index cannot be read. They lie one behind the
// other, and each is one frame (RFC 8878), so that its length can be told. What is
// encrypted cannot be found so.
func (t *tableFile) withoutIndex() bool {
	if t.key != nil || t.compression != options.ZSTD {
		return false
	}
	found := 0
	for at0 := 0; at0 < len(t.data); {
		b := block{from: at0, to: frameEnd(t.data, at0)}
		var plain []byte
		if b.to > 0 {
			plain = t.plain(&b)
		}
		if plain == nil {
			// Until the next frame, of which the first key says where this part ends.
			next := bytes.Index(t.data[min(at0+1, len(t.data)):], frameMagic)
			if len(t.blocks) == 0 || !t.blocks[len(t.blocks)-1].bad {
				t.blocks = append(t.blocks, block{bad: true, gap: true, from: at0})
			}
			if next < 0 {
				break
			}
			at0 += 1 + next
			continue
		}
		for e := range entriesOf(plain) {
			b.first = bytes.Clone(e.key)
			break
		}
		t.blocks = append(t.blocks, b)
		found++
		at0 = b.to
	}
	if found == 0 {
		t.blocks = nil
		return false
	}
	// What is bad begins behind the last key of the part before it.
	for i := range t.blocks {
		b := &t.blocks[i]
		if !b.bad {
			continue
		}
		if i == 0 {
			b.first = y.KeyWithTs([]byte{0}, 0)
			continue
		}
		for e := range entriesOf(t.plain(&t.blocks[i-1])) {
			b.first = bytes.Clone(e.key)
		}
	}
	return true
}

var frameMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// frameEnd returns where the zstd frame at an offset ends, 0 when there is none (RFC 8878,
// section 3.1.1).
func frameEnd(b []byte, from int) int {
	if !bytes.HasPrefix(b[from:], frameMagic) || len(b)-from < 6 {
		return 0
	}
	desc := b[from+4]
	at0 := from + 5
	single := desc&0x20 != 0
	if !single {
		at0++
	}
	at0 += []int{0, 1, 2, 4}[desc&3]
	size := []int{0, 2, 4, 8}[desc>>6]
	if size == 0 && single {
		size = 1
	}
	at0 += size
	for {
		if at0+3 > len(b) {
			return 0
		}
		h := binary.LittleEndian.Uint32(append(bytes.Clone(b[at0:at0+3]), 0))
		at0 += 3
		if h>>1&3 == 1 { // one byte, repeated
			at0++
		} else {
			at0 += int(h >> 3)
		}
		if h&1 == 1 {
			break
		}
	}
	if desc&4 != 0 {
		at0 += 4
	}
	if at0 > len(b) {
		return 0
	}
	return at0
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
