package examine

import (
	"bytes"
	"cmp"
	"crypto/aes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

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

// Anything returns the hole of a file of which it is not known what it held.
func Anything(file string) Hole { return Hole{File: file, From: []byte{0}} }

// Whole reports whether any key may have been lost in the hole.
func (h Hole) Whole() bool { return bytes.Equal(h.From, []byte{0}) && h.To == nil }

// Holes returns what is lost in the store's tables and logs of writes. ok is false when something else is
// damaged, so that the store cannot be opened without it.
func (r *Report) Holes() (holes []Hole, ok bool) {
	known := 0
	for _, id := range r.gone {
		holes = append(holes, r.missing(id)...)
		known++
	}
	for _, l := range r.logs {
		n := 0
		for _, f := range r.Fatal() {
			if f.File == l.name && l.txns {
				n++
			}
		}
		if n > 0 {
			holes = append(holes, Anything(l.name))
			known += n
		}
	}
	for _, t := range r.bad {
		for _, f := range t.flaws {
			if f.Patch == nil {
				known++
			}
		}
		if t.unread() {
			holes = append(holes, r.missing(t.id)...)
			continue
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
	return holes, known == len(r.Fatal())
}

// unread reports whether nothing of the table can be read.
func (t *tableFile) unread() bool { return t.lost || len(t.blocks) == 0 }

// missing returns where the keys of a table were that is not there: where no other table of its level is. Tables of
// level 0 may overlap, and so its keys may have been any.
func (r *Report) missing(id uint64) (holes []Hole) {
	level, file := r.tables[id].Level, tableName(id)
	type span struct{ first, last []byte }
	var taken []span
	for other, m := range r.tables {
		if m.Level != level || slices.Contains(r.gone, other) || other == id {
			continue
		}
		if r.firsts[other] == nil || r.lasts[other] == nil {
			return []Hole{Anything(file)}
		}
		taken = append(taken, span{y.ParseKey(r.firsts[other]), y.ParseKey(r.lasts[other])})
	}
	if level == 0 || r.relist || len(taken) == 0 {
		return []Hole{Anything(file)}
	}
	slices.SortFunc(taken, func(a, b span) int { return bytes.Compare(a.first, b.first) })
	from := []byte{0}
	for _, s := range taken {
		if bytes.Compare(from, s.first) < 0 {
			holes = append(holes, Hole{File: file, From: from, To: bytes.Clone(s.first)})
		}
		from = append(bytes.Clone(s.last), 0)
	}
	return append(holes, Hole{File: file, From: from})
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

// Salvage writes each damaged table and log of writes once more with what of it can be read, after it has put a copy of
// the file as it is into the folder aside. In the place of a table that is missing it writes one that says nothing, since
// MANIFEST goes on to name it. The error of a store of which [Report.Holes] says that it cannot be opened is the flaws'.
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
	for _, id := range r.gone {
		key, err := r.keys.DataKey(r.tables[id].KeyID)
		if err != nil {
			return fmt.Errorf("salvage %s: %w", tableName(id), err)
		}
		t := &tableFile{id: id, key: key, compression: r.tables[id].Compression}
		out, err := t.rewrite()
		if err == nil {
			err = replaceSynced(dir, tableName(id), out)
		}
		if err != nil {
			return fmt.Errorf("salvage %s: %w", tableName(id), err)
		}
	}
	return r.salvageLogs(dir, aside)
}

func (r *Report) salvageLogs(dir, aside string) error {
	for _, l := range r.logs {
		if !l.txns || !slices.ContainsFunc(r.Fatal(), func(f Flaw) bool { return f.File == l.name }) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, l.name))
		if err == nil {
			err = writeSynced(filepath.Join(aside, l.name), b[:Used(b)])
		}
		var out []byte
		if err == nil {
			out, err = l.rewrite()
		}
		if err == nil {
			err = replaceSynced(dir, l.name, append(out, make([]byte, max(0, max(len(b), logHead)-len(out)))...))
		}
		if err != nil {
			return fmt.Errorf("salvage %s: %w", l.name, err)
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
	return replaceSynced(dir, tableName(t.id), whole)
}

// replaceSynced makes b what a file says; the file is there whole at every moment.
func replaceSynced(dir, file string, b []byte) error {
	path := filepath.Join(dir, file)
	if err := writeSynced(path+".new", b); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
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
	if t.unread() {
		// Before every key of a ledger, and not the same for any two tables.
		if err := add(y.KeyWithTs(binary.BigEndian.AppendUint64([]byte{0}, t.id), 1), y.ValueStruct{Meta: deleted}); err != nil {
			return nil, err
		}
		return builder.Finish(), nil
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
// other, and each is one frame (RFC 8878), so that its length can be told; one that is encrypted
// by where it decrypts to a frame: see sealedParts.
func (t *tableFile) withoutIndex() bool {
	if t.compression != options.ZSTD {
		return false
	}
	next := t.clearPart
	if t.key != nil {
		sealed, err := t.sealedParts()
		if err != nil {
			return false
		}
		next = sealed
	}
	found := 0
	for at0 := 0; at0 < len(t.data); {
		b := next(at0)
		if b == nil || b.from > at0 {
			// Until the next part, of which the first key says where this one ends.
			t.blocks = append(t.blocks, block{bad: true, gap: true, from: at0})
		}
		if b == nil {
			break
		}
		for e := range entriesOf(t.plain(b)) {
			b.first = bytes.Clone(e.key)
			break
		}
		t.blocks = append(t.blocks, *b)
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

// clearPart returns the first part that begins at an offset or behind it; nil for none.
func (t *tableFile) clearPart(from int) *block {
	for from < len(t.data) {
		b := &block{from: from, to: frameEnd(t.data, from)}
		if b.to > 0 && t.plain(b) != nil {
			return b
		}
		next := bytes.Index(t.data[min(from+1, len(t.data)):], frameMagic)
		if next < 0 {
			break
		}
		from += 1 + next
	}
	return nil
}

// maxPart is more bytes than an encrypted part has: sixteen entries of a block, or one value below
// Badger's threshold.
const maxPart = 4 << 20

// sealedParts is clearPart of an encrypted table. Behind each part stands the vector that it was encrypted
// with, in counter mode, so any 16 bytes say how a part that ends there would begin: the first
// bytes of a frame, encrypted. They are looked up among the bytes of the table, and what fits is
// decrypted whole.
func (t *tableFile) sealedParts() (func(from int) *block, error) {
	c, err := aes.NewCipher(t.key.Data)
	if err != nil {
		return nil, err
	}
	type ending struct {
		begins uint32 // the first four bytes of a part that ends so
		to     int
	}
	var ends []ending
	magic := binary.BigEndian.Uint32(frameMagic)
	var stream [aes.BlockSize]byte
	for to := aes.BlockSize; to <= len(t.data); to++ {
		c.Encrypt(stream[:], t.data[to-aes.BlockSize:to])
		ends = append(ends, ending{magic ^ binary.BigEndian.Uint32(stream[:]), to})
	}
	slices.SortFunc(ends, func(a, b ending) int { return cmp.Or(cmp.Compare(a.begins, b.begins), cmp.Compare(a.to, b.to)) })
	return func(from int) *block {
		for ; from+4 <= len(t.data); from++ {
			word := binary.BigEndian.Uint32(t.data[from:])
			i, _ := slices.BinarySearchFunc(ends, word, func(e ending, w uint32) int { return cmp.Compare(e.begins, w) })
			for ; i < len(ends) && ends[i].begins == word; i++ {
				b := &block{from: from, to: ends[i].to}
				if b.to > from+4 && b.to <= from+maxPart && t.plain(b) != nil {
					return b
				}
			}
		}
		return nil
	}, nil
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
