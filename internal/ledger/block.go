package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/klauspost/compress/zstd"
)

// Sixteen entries that stand beside each other in the log, the first at a
// multiple of sixteen, are one value, a block, when one batch writes all of
// them. It lies under the key of its first entry. All others are values of their
// own. So an entry is in the block of its sixteen, or under its own key, and no
// entry is ever in both.
//
// What records of one standard have in common is said once in a block. And the
// store's log, its tables in memory and each rewriting of its files are as much
// smaller, which costs less than compressing does.
//
//	3 heads16×uvarint texts16×uvarint n-uvarint heads… texts…
//
// are the length in bytes of each entry's head and text, and then all heads,
// compressed to n bytes, and all texts, compressed (zstd, RFC 8878, without
// a checksum: an entry is hashed against its leaf before it is believed). The
// text of a record is its body and that of an event is its token; the head is what
// comes before it, much of which is random and would spoil the compression of
// texts.
//
// A block of which one entry is erased is dropped, and its other entries are written
// under keys of their own: see erase.go.
const (
	kindBlock  byte = 3
	blockSize       = 16
	blockBytes      = 256 << 10 // of entries in one block: larger ones are stored alone
	// maxParts is the length up to which an entry is stored in parts, as a holding is. The
	// gate takes nothing so long; what is longer would not fit one transaction but beside
	// Badger's tree.
	maxParts = 2 << 20
)

// A blockCodec makes and reads the blocks of one ledger. It may be used concurrently,
// keeps nothing from one call to the next, and is made at its first: a ledger's
// and not the program's, since its channels belong to the bubble of synctest in which
// they are made, and a command that opens no ledger should not pay for it.
type blockCodec struct {
	once sync.Once
	enc  *zstd.Encoder
	dec  *zstd.Decoder
}

func (c *blockCodec) ready() {
	c.once.Do(func() {
		var err error
		if c.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
			zstd.WithWindowSize(128<<10), zstd.WithLowerEncoderMem(true)); err != nil {
			panic("internal error: zstd: " + err.Error())
		}
		if c.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(blockBytes), zstd.WithDecoderLowmem(true)); err != nil {
			panic("internal error: zstd: " + err.Error())
		}
	})
}

// A packed is an entry as it is stored, and where its text begins.
type packed struct {
	entry []byte
	text  int
}

// encode returns the block of sixteen entries, nil when they are too large
// for one.
func (c *blockCodec) encode(entries []packed) []byte {
	var total, heads int
	for _, e := range entries {
		total, heads = total+len(e.entry), heads+e.text
	}
	if len(entries) != blockSize || total > blockBytes {
		return nil
	}
	plain := make([]byte, 0, total)
	for _, e := range entries {
		plain = append(plain, e.entry[:e.text]...)
	}
	for _, e := range entries {
		plain = append(plain, e.entry[e.text:]...)
	}
	c.ready()
	b := make([]byte, 1, 1+2*2*blockSize+total/2)
	b[0] = kindBlock
	for _, e := range entries {
		b = binary.AppendUvarint(b, uint64(e.text))
	}
	for _, e := range entries {
		b = binary.AppendUvarint(b, uint64(len(e.entry)-e.text))
	}
	z := c.enc.EncodeAll(plain[:heads], make([]byte, 0, heads+32))
	b = append(binary.AppendUvarint(b, uint64(len(z))), z...)
	return c.enc.EncodeAll(plain[heads:], b)
}

var errBlock = errors.New("a block of entries is not as it was written")

// decode returns the entries of a block. They share memory.
func (c *blockCodec) decode(b []byte) (*[blockSize][]byte, error) {
	if len(b) == 0 || b[0] != kindBlock {
		return nil, errBlock
	}
	b = b[1:]
	next := func() int {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > blockBytes {
			b = nil
			return -1
		}
		b = b[size:]
		return int(n)
	}
	var lengths [2 * blockSize]int
	var sums [2]int
	for i := range lengths {
		if lengths[i] = next(); lengths[i] < 0 {
			return nil, errBlock
		}
		sums[i/blockSize] += lengths[i]
	}
	n := next()
	if n < 0 || n > len(b) || sums[0]+sums[1] > blockBytes {
		return nil, errBlock
	}
	c.ready()
	plain, err := c.dec.DecodeAll(b[:n], make([]byte, 0, sums[0]+sums[1]))
	if err != nil || len(plain) != sums[0] {
		return nil, errBlock
	}
	if plain, err = c.dec.DecodeAll(b[n:], plain); err != nil || len(plain) != sums[0]+sums[1] {
		return nil, errBlock
	}
	out := new([blockSize][]byte)
	all := make([]byte, 0, len(plain))
	head, text := 0, sums[0]
	for i := range out {
		from := len(all)
		all = append(all, plain[head:head+lengths[i]]...)
		all = append(all, plain[text:text+lengths[blockSize+i]]...)
		head, text = head+lengths[i], text+lengths[blockSize+i]
		out[i] = all[from:len(all):len(all)]
	}
	return out, nil
}

// A blockCache keeps the blocks that were read last, so that entries read one
// after the other cost one decompression. A block never changes once it is
// committed, but it goes when one of its entries is erased.
type blockCache struct {
	slots [32]atomic.Pointer[cachedBlock]
	// forgotten counts the erasures. A block is believed that was read by a view which
	// began after the last.
	forgotten atomic.Uint64
}

type cachedBlock struct {
	first     uint64
	forgotten uint64 // when the view that read it began
	entries   *[blockSize][]byte
}

func (c *blockCache) slot(first uint64) *atomic.Pointer[cachedBlock] {
	return &c.slots[first/blockSize%uint64(len(c.slots))]
}

// forget empties the cache. It is called when an erasure is durable.
func (c *blockCache) forget() {
	c.forgotten.Add(1)
	for i := range c.slots {
		c.slots[i].Store(nil)
	}
}

// stored returns an entry as it was written, ErrNotFound when it is not there. The
// caller must not change it.
func (v *View) stored(index uint64) ([]byte, error) {
	first := index &^ (blockSize - 1)
	slot := v.l.blocks.slot(first)
	if c := slot.Load(); c != nil && c.first == first && c.forgotten == v.l.blocks.forgotten.Load() {
		return c.entries[index-first], nil
	}
	raw, err := v.value(entryKey(first))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if err != nil || len(raw) == 0 || raw[0] != kindBlock {
		return looseEntry(index, func(key []byte) ([]byte, error) { return partsOf(v.txn, key) })
	}
	entries, err := v.l.codec.decode(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	slot.Store(&cachedBlock{first, v.forgotten, entries})
	return entries[index-first], nil
}

// entry returns an entry as the batches under way leave it.
func (l *Ledger) entry(b *batch, index uint64) (raw []byte, err error) {
	first := index &^ (blockSize - 1)
	for _, q := range []*batch{b, l.w.inflight} {
		if q == nil {
			continue
		}
		if v := q.sets[string(entryKey(first))]; len(v) > 0 && v[0] == kindBlock {
			entries, err := l.codec.decode(v)
			if err != nil {
				return nil, err
			}
			return entries[index-first], nil
		}
		if v := q.sets[string(entryKey(index))]; len(v) > 0 && len(v) < holdingPart {
			return v, nil
		}
	}
	err = l.db.View(func(txn *badger.Txn) error {
		raw, err = (&View{l: l, txn: txn, forgotten: l.blocks.forgotten.Load()}).stored(index)
		return err
	})
	return raw, err
}

// storeEntries puts the entries of a batch, which are sealed, among its writes.
func (l *Ledger) storeEntries(b *batch) {
	type run struct{ from, to int }
	var runs []run
	for from := 0; from < len(b.entries); {
		to := from + 1
		if b.entries[from].index%blockSize == 0 && from+blockSize <= len(b.entries) {
			to = from + blockSize
		}
		runs = append(runs, run{from, to})
		from = to
	}
	values := make([][]byte, len(b.entries)) // nil: in a block
	onAllCores(len(runs), 1, func(i int) {
		r := runs[i]
		var all [blockSize]packed
		for j := r.from; j < r.to; j++ {
			all[j-r.from] = b.entries[j].pack()
			values[j] = all[j-r.from].entry
		}
		if block := l.codec.encode(all[:r.to-r.from]); block != nil {
			clear(values[r.from:r.to])
			values[r.from] = block
		}
	})
	for i, v := range values {
		if v == nil {
			continue
		}
		key := entryKey(b.entries[i].index)
		if len(v) > maxParts {
			b.sets[string(key)] = v // beside the tree
			continue
		}
		b.sets[string(key)] = v[:min(len(v), holdingPart)]
		for n := 1; n*holdingPart < len(v); n++ {
			b.sets[string(partKey(key, n))] = v[n*holdingPart : min(len(v), (n+1)*holdingPart)]
		}
	}
}

// pack returns a sealed entry as it is stored.
func (p *pending) pack() packed {
	if p.event != nil {
		return packed{append([]byte{kindEvent}, p.token.Bytes()...), 1}
	}
	b := p.stored.encode()
	return packed{b, len(b) - len(p.stored.body)}
}
