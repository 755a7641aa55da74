package examine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
)

// A tableFile is a table that was read.
type tableFile struct {
	id      uint64
	size    int64
	flaws   []Flaw
	commits uint64
	blocks  []block // in the order of their keys; nil when the index cannot be read
	first   []byte  // key, with its number, of its first entry; nil when that is not known
	last    []byte  // of its last; nil when that is not known
	lost    bool    // its index cannot be read, and no part of it was found without one

	data        []byte
	key         *pb.DataKey
	compression options.CompressionType
	dec         *zstd.Decoder
	room        []byte // that a block is decompressed into
}

// A block is a part of a table with its own checksum.
type block struct {
	first    []byte // key, with its number, of its first entry
	from, to int
	bad      bool
	gap      bool // between two parts that were found without an index: bytes that are none
}

func (t *tableFile) broken() bool {
	for _, f := range t.flaws {
		if f.Patch == nil {
			return true
		}
	}
	return false
}

func (t *tableFile) flaw(p *Patch, format string, a ...any) {
	t.flaws = append(t.flaws, Flaw{File: tableName(t.id), What: fmt.Sprintf(format, a...), Patch: p, Fatal: true})
}

// examineTable reads a table and checks every checksum in it. Of one that MANIFEST does not
// name it is not known how it was written: it is read as this version writes them.
func examineTable(o Options, keys *badger.KeyRegistry, id uint64, m badger.TableManifest, named bool) (t *tableFile, err error) {
	t = &tableFile{id: id, compression: m.Compression}
	if t.data, err = os.ReadFile(filepath.Join(o.Dir, tableName(id))); err != nil {
		return nil, err
	}
	t.size = int64(len(t.data))
	if !named {
		t.compression = options.ZSTD
		if len(o.EncryptionKey) > 0 {
			if m.KeyID, err = latestKey(keys); err != nil {
				return t, nil
			}
		}
	}
	if t.key, err = keys.DataKey(m.KeyID); err != nil {
		t.flaw(nil, "the key it was encrypted with is not there")
		return t, nil
	}
	if t.dec, err = newDecoder(); err != nil {
		return nil, err
	}
	defer t.dec.Close()
	defer func() {
		if p := recover(); p != nil {
			// The index is read by generated code, which trusts its bytes.
			t.flaw(nil, "its index cannot be read")
		}
		if !t.broken() {
			t.data = nil
		}
	}()
	t.examine(o.Counter)
	return t, nil
}

func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20), zstd.WithDecoderLowmem(true))
}

func latestKey(keys *badger.KeyRegistry) (uint64, error) {
	dk, err := keys.LatestDataKey()
	if err != nil || dk == nil {
		return 0, errors.Join(err, errors.New("no key"))
	}
	return dk.KeyId, nil
}

func (t *tableFile) examine(counter []byte) {
	index, ok := t.index()
	if !ok {
		if p, found := t.mendIndex(); found {
			t.flaw(p, "one bit at byte %d is not as it was written", p.Offset)
			p.apply(t.data)
			index, ok = t.index()
		}
		if !ok && !t.withoutIndex() {
			t.lost = true
			t.flaw(nil, "its index cannot be read, and so nothing in it")
			return
		}
	}
	if ok {
		ti := fb.GetRootAsTableIndex(index, 0)
		var bo fb.BlockOffset
		for i := range ti.OffsetsLength() {
			ti.Offsets(&bo, i)
			t.blocks = append(t.blocks, block{first: bytes.Clone(bo.KeyBytes()), from: int(bo.Offset()), to: int(bo.Offset()) + int(bo.Len())})
		}
	} else {
		t.flaw(nil, "its index cannot be read")
	}
	if len(t.blocks) > 0 {
		t.first = t.blocks[0].first
	}
	for i := range t.blocks {
		b := &t.blocks[i]
		if b.gap {
			continue
		}
		plain := t.plain(b)
		if plain == nil {
			if p, found := anyBit(t.data, b.from, b.to, func() bool { return t.plain(b) != nil }); found {
				t.flaw(p, "one bit at byte %d is not as it was written", p.Offset)
				p.apply(t.data)
				plain = t.plain(b)
			} else {
				b.bad = true
				t.flaw(nil, "part %d of %d cannot be read", i+1, len(t.blocks))
				continue
			}
		}
		if i+1 == len(t.blocks) && ok {
			for e := range entriesOf(plain) {
				t.last = bytes.Clone(e.key)
			}
		}
		if counter != nil && bytes.Compare(y.ParseKey(b.first), counter) <= 0 && (i+1 == len(t.blocks) || bytes.Compare(y.ParseKey(t.blocks[i+1].first), counter) >= 0) {
			for e := range entriesOf(plain) {
				if bytes.Equal(y.ParseKey(e.key), counter) {
					var v y.ValueStruct
					v.Decode(e.value)
					t.commits = max(t.commits, count(v.Value))
				}
			}
		}
	}
}

// footer returns where the index begins and ends, and its checksum.
func (t *tableFile) footer() (from, to int, sum *pb.Checksum, ok bool) {
	b := t.data
	at0 := len(b) - 4
	if at0 < 0 {
		return
	}
	n := int(binary.BigEndian.Uint32(b[at0:]))
	if n > 64 || n > at0-4 {
		return
	}
	at0 -= n
	sum = new(pb.Checksum)
	if proto.Unmarshal(b[at0:at0+n], sum) != nil || sum.Algo != pb.Checksum_CRC32C {
		return
	}
	at0 -= 4
	n = int(binary.BigEndian.Uint32(b[at0:]))
	if n == 0 || n > at0 {
		return
	}
	return at0 - n, at0, sum, true
}

// index returns the table's index, decrypted, when its checksum holds.
func (t *tableFile) index() ([]byte, bool) {
	from, to, sum, ok := t.footer()
	if !ok || uint64(crc32.Checksum(t.data[from:to], castagnoli)) != sum.Sum {
		return nil, false
	}
	return t.decrypt(t.data[from:to])
}

// mendIndex finds the one bit that makes the index right.
func (t *tableFile) mendIndex() (*Patch, bool) {
	if from, to, sum, ok := t.footer(); ok && sum.Sum <= 1<<32-1 {
		if bit, inSum, found := flipped(t.data[from:to], uint32(sum.Sum)); found && !inSum {
			return at(t.data, from, bit), true
		}
	}
	return anyBit(t.data, max(0, len(t.data)-80), len(t.data), func() bool { _, ok := t.index(); return ok })
}

func (t *tableFile) decrypt(b []byte) ([]byte, bool) {
	if t.key == nil {
		return b, true
	}
	if len(b) < 16 {
		return nil, false
	}
	iv, b := b[len(b)-16:], b[:len(b)-16]
	dst := make([]byte, len(b))
	return dst, y.XORBlock(dst, b, t.key.Data, iv) == nil
}

// plain returns a block's entries, their offsets and how many there are, nil when its checksum does
// not hold. They are overwritten by the next call.
func (t *tableFile) plain(b *block) []byte {
	if b.from < 0 || b.to > len(t.data) || b.from > b.to {
		return nil
	}
	data, ok := t.decrypt(t.data[b.from:b.to])
	if !ok {
		return nil
	}
	switch t.compression {
	case options.None:
	case options.ZSTD:
		var err error
		if data, err = t.dec.DecodeAll(data, t.room[:0]); err != nil {
			return nil
		}
		t.room = data
	default:
		return nil
	}
	if len(data) < 8 {
		return nil
	}
	n := int(binary.BigEndian.Uint32(data[len(data)-4:]))
	end := len(data) - 4 - n
	if n > 64 || end < 4 {
		return nil
	}
	sum := new(pb.Checksum)
	if proto.Unmarshal(data[end:end+n], sum) != nil || sum.Algo != pb.Checksum_CRC32C {
		return nil
	}
	if uint64(crc32.Checksum(data[:end], castagnoli)) != sum.Sum {
		return nil
	}
	return data[:end]
}

type tableEntry struct{ key, value []byte }

// entriesOf returns the entries of a block whose checksum holds. Each begins with what its
// key shares with that of the first, and what it does not: overlap2 rest2.
func entriesOf(plain []byte) func(func(tableEntry) bool) {
	return func(yield func(tableEntry) bool) {
		n := int(binary.BigEndian.Uint32(plain[len(plain)-4:]))
		offsets := plain[len(plain)-4-4*n : len(plain)-4]
		var base []byte
		for i := range n {
			// The offsets are as they lay in memory; see y.U32SliceToBytes.
			from := int(binary.NativeEndian.Uint32(offsets[4*i:]))
			to := len(plain) - 4 - 4*n
			if i+1 < n {
				to = int(binary.NativeEndian.Uint32(offsets[4*(i+1):]))
			}
			e := plain[from:to]
			overlap, rest := int(binary.NativeEndian.Uint16(e)), int(binary.NativeEndian.Uint16(e[2:]))
			key := append(bytes.Clone(base[:overlap]), e[4:4+rest]...)
			if i == 0 {
				base = key
			}
			if !yield(tableEntry{key, e[4+rest:]}) {
				return
			}
		}
	}
}
