package ledger

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/tlog"
)

// A ReplicaView reads a replica as it stood after one Apply. It is good until
// the function it was handed to returns, and for one goroutine.
type ReplicaView struct {
	r       *Replica
	txn     *badger.Txn
	cp      tlog.Checkpoint
	applied uint64
}

// View calls f with the replica as it stands now.
func (r *Replica) View(f func(*ReplicaView) error) error {
	if err := r.hold(); err != nil {
		return err
	}
	defer r.viewing.RUnlock()
	return r.db.View(func(txn *badger.Txn) error {
		v := &ReplicaView{r: r, txn: txn}
		var err error
		if v.cp, v.applied, err = r.head(txn); err != nil {
			return err
		}
		return f(v)
	})
}

// Checkpoint returns size and root of the log in this view.
func (v *ReplicaView) Checkpoint() tlog.Checkpoint { return v.cp }

// Applied returns the position in the replicated log that the view is of.
func (v *ReplicaView) Applied() uint64 { return v.applied }

// Tile implements tlog.TileReader at the view's checkpoint.
func (v *ReplicaView) Tile(level int, index uint64, width int) ([]byte, error) {
	return txnTiles{v.txn, v.r.before}.Tile(level, index, width)
}

// Entry returns what is kept of an entry and its leaf hash. It returns
// ErrNotFound when there is no such entry, and nil bytes when it was erased.
func (v *ReplicaView) Entry(index uint64) (leaf tlog.Hash, kept []byte, err error) {
	if index >= v.cp.Size {
		return leaf, nil, fmt.Errorf("entry %d: %w", index, ErrNotFound)
	}
	tile, at := index/tlog.TileWidth, int(index%tlog.TileWidth)
	width := tlog.TileWidth
	if (tile+1)*tlog.TileWidth > v.cp.Size {
		width = int(v.cp.Size % tlog.TileWidth)
	}
	b, err := v.Tile(0, tile, width)
	if err != nil {
		return leaf, nil, err
	}
	copy(leaf[:], b[at*tlog.HashSize:])
	kept, err = valueOf(v.txn, v.r.key(entryKey(index)))
	if errors.Is(err, ErrNotFound) || err == nil && len(kept) == 0 {
		return leaf, nil, nil
	}
	return leaf, kept, err
}

// Leaves returns the leaf hashes of n entries from an index on.
func (v *ReplicaView) Leaves(from uint64, n int) ([]tlog.Hash, error) {
	if n < 0 || from+uint64(n) > v.cp.Size {
		return nil, fmt.Errorf("leaves from %d: %w", from, ErrNotFound)
	}
	return leaves(v, v.cp.Size, from, n)
}

// Lookup returns the value under a key, or ErrNotFound.
func (v *ReplicaView) Lookup(key string) ([]byte, error) {
	return valueOf(v.txn, v.r.key(stateKey(key)))
}

// Walk calls f with each key and value under a prefix, in the order of the
// keys, until f returns false.
func (v *ReplicaView) Walk(prefix string, f func(key string, value []byte) bool) error {
	err := walk(v.txn, v.r.key(stateKey(prefix)), func(key, value []byte) error {
		if !f(string(key[len(v.r.before)+1:]), value) {
			return errStopWalk
		}
		return nil
	})
	if errors.Is(err, errStopWalk) {
		return nil
	}
	return err
}

// A replica's stream is what a snapshot and a backup of it hold:
//
//	"stile-replica 1\n", footprint, "\n"
//	for each key of the store, ascending: its length and its value's length,
//	unsigned varints in their shortest form, key, value
//	a zero byte
//	SHA-256 of all before
//
// A reader believes nothing of it before the digest at the end.
//
// A store with a council's ledger in it says "stile-machines 1\n" instead.
func streamStart(o ReplicaOptions) string {
	what := "stile-replica 1\n"
	if o.Council {
		what = "stile-machines 1\n"
	}
	return what + string(o.Name) + "\n"
}

// MaxReplicaValue is the longest value a replica's stream may hold, in bytes.
const MaxReplicaValue = 8 << 20

// WriteTo writes the replica as it stands now to w, as a stream that
// LoadReplica reads. Applying goes on meanwhile. It returns the bytes written.
func (r *Replica) WriteTo(w io.Writer) (int64, error) {
	var n int64
	err := r.View(func(v *ReplicaView) error {
		sum := sha256.New()
		bw := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<16)
		count := func(m int, err error) error { n += int64(m); return err }
		if err := count(bw.WriteString(streamStart(r.o))); err != nil {
			return err
		}
		it := v.txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		var head []byte
		erase, entries := r.key([]byte{keyErase}), r.key([]byte{'e'})
		for it.Rewind(); it.Valid(); it.Next() {
			if bytes.HasPrefix(it.Item().Key(), erase) {
				continue
			}
			err := it.Item().Value(func(value []byte) error {
				key := it.Item().Key()
				if len(value) == 0 && bytes.HasPrefix(key, entries) {
					return nil
				}
				head = binary.AppendUvarint(head[:0], uint64(len(key)))
				head = append(binary.AppendUvarint(head, uint64(len(value))), key...)
				if err := count(bw.Write(head)); err != nil {
					return err
				}
				return count(bw.Write(value))
			})
			if err != nil {
				return err
			}
		}
		if err := count(bw.Write([]byte{0})); err != nil {
			return err
		}
		if err := bw.Flush(); err != nil {
			return err
		}
		return count(w.Write(sum.Sum(nil)))
	})
	if err != nil {
		return n, fmt.Errorf("write replica of %s: %w", r.o.Name, err)
	}
	return n, nil
}

// ErrStream is wrapped when a stream is not a replica's, is cut short or was
// altered.
var ErrStream = errors.New("not a whole stream of this footprint's replica")

// LoadReplica makes a replica from a stream in the folder o.Dir, which must not
// hold one, and opens it. It checks the digest, the order of the keys, every
// tile against the tiles above it and the root. On an error the folder holds
// something unfinished that the caller removes.
func LoadReplica(o ReplicaOptions, rd io.Reader) (_ *Replica, err error) {
	if o.Log == nil {
		o.Log = discard()
	}
	db, beside, err := openStore(Options{Dir: o.Dir, EncryptionKey: o.EncryptionKey, Log: o.Log, InMemory: o.InMemory})
	if err != nil {
		return nil, err
	}
	wb := db.NewWriteBatch()
	err = readStream(o, rd, func(key, value []byte) error { return wb.Set(key, value) })
	if err == nil {
		if err = wb.Flush(); err == nil {
			err = db.Sync()
		}
	} else {
		wb.Cancel()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("load replica of %s: %w", o.Name, err), closeStore(db, beside))
	}
	if o.InMemory {
		r := newReplica(o, db, beside)
		if err := errors.Join(db.View(r.load), r.check()); err != nil {
			return nil, errors.Join(err, closeStore(db, beside))
		}
		return r, nil
	}
	if err := closeStore(db, beside); err != nil {
		return nil, fmt.Errorf("load replica of %s: %w: %w", o.Name, ErrStorage, err)
	}
	r, err := OpenReplica(o)
	if err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// check reads every tile.
func (r *Replica) check() error {
	return r.View(func(v *ReplicaView) error {
		root, err := tlog.CheckTiles(v.cp.Size, v)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if root != v.cp.Root {
			return fmt.Errorf("%w: tiles and root disagree at size %d", ErrDamaged, v.cp.Size)
		}
		return nil
	})
}

func readStream(o ReplicaOptions, rd io.Reader, set func(key, value []byte) error) error {
	sum := sha256.New()
	br := bufio.NewReaderSize(rd, 1<<16)
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrStream, what) }
	start := []byte(streamStart(o))
	got := make([]byte, len(start))
	if _, err := io.ReadFull(br, got); err != nil || !bytes.Equal(got, start) {
		return bad("another beginning")
	}
	sum.Write(got)
	var last []byte
	for {
		n, err := readShort(br, sum)
		if err != nil {
			return bad("cut short or a length not in its shortest form")
		}
		if n == 0 {
			break
		}
		m, err := readShort(br, sum)
		if err != nil || n > 1<<10 || m > MaxReplicaValue {
			return bad("a length is out of bounds")
		}
		kv := make([]byte, n+m)
		if _, err := io.ReadFull(br, kv); err != nil {
			return bad("cut short")
		}
		sum.Write(kv)
		key := kv[:n:n]
		if bytes.Compare(key, last) <= 0 {
			return bad("keys out of order")
		}
		last = key
		if err := set(key, kv[n:]); err != nil {
			return fmt.Errorf("%w: %w", ErrStorage, err)
		}
	}
	digest := make([]byte, sha256.Size)
	if _, err := io.ReadFull(br, digest); err != nil || !bytes.Equal(digest, sum.Sum(nil)) {
		return bad("the digest at the end is of something else")
	}
	if _, err := br.ReadByte(); err != io.EOF {
		return bad("something follows the digest")
	}
	return nil
}

// readShort reads an unsigned varint in its shortest form.
func readShort(br *bufio.Reader, sum hash.Hash) (uint64, error) {
	var buf [binary.MaxVarintLen64]byte
	for i := range buf {
		b, err := br.ReadByte()
		if err != nil {
			return 0, err
		}
		buf[i] = b
		if b < 0x80 {
			n, _ := binary.Uvarint(buf[:i+1])
			if i > 0 && b == 0 || n > math.MaxInt32 {
				return 0, ErrStream
			}
			sum.Write(buf[:i+1])
			return n, nil
		}
	}
	return 0, ErrStream
}
