package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Replica is one member's copy of the ledger that a footprint keeps: the same
// leaves, tiles and tree as a council's own ledger, in the same store, but the
// entries are other councils', none is signed here, and the checkpoint is not
// signed by anybody yet. What may become an entry is for package footprint to
// say; a Replica promises that whatever one Apply writes is on disk whole,
// with the position in the replicated log that it comes from, or not at all.
//
// The keys of its store:
//
//	V            layout version, one byte
//	c            head: size8 root32 applied8
//	t level1 …   tiles, as in a council's ledger
//	e index8     entry, as the footprint gave it; absent once it was erased
//	z index8     an erased entry whose bytes may still be on this disk; in no stream
//	! text       what the footprint keeps beside its entries
//
// One goroutine at a time may call Apply; everything else may be called
// concurrently.
type Replica struct {
	o      ReplicaOptions
	db     *badger.DB
	beside *signedFile // holds the folder
	before []byte      // of every key

	mu      sync.RWMutex // guards what follows
	tree    *tlog.Tree   // the committed right edge; replaced, never changed
	applied uint64
	changed chan struct{} // closed at the next Apply

	failed  atomic.Pointer[error]
	closed  atomic.Bool
	viewing sync.RWMutex // as in Ledger
	writing sync.Mutex   // held while a transaction is written, or keys are dropped
}

// ReplicaOptions say how to open a replica.
type ReplicaOptions struct {
	Dir           string       // folder of the Badger store; made when missing
	Name          name.Council // the footprint's
	EncryptionKey []byte       // encryption at rest: 16, 24 or 32 bytes; nil for none
	Log           *slog.Logger // default discards
	InMemory      bool         // keep nothing on disk; for tests

	// Council has the store hold a council's own ledger beside the replica's
	// keys, which then all begin with one more byte; see Shared.
	Council bool
}

// key returns where a key of the replica stands in the store.
func (r *Replica) key(k []byte) []byte {
	if len(r.before) == 0 {
		return k
	}
	return slices.Concat(r.before, k)
}

// MaxReplicaWrite is how many bytes of keys and values one Apply may write,
// tiles and head not counted: with them it still fits Badger's transaction, which is
// 15% of a table in memory, 3.6 MiB by default.
const MaxReplicaWrite = 7 << 19

const (
	replicaLayout = 1
	keyErase      = 'z'
)

// OpenReplica opens the replica in o.Dir, or an empty one. It checks the tree's
// right edge against the stored root. It returns ErrInUse when another process
// has it open.
func OpenReplica(o ReplicaOptions) (*Replica, error) {
	if o.Log == nil {
		o.Log = discard()
	}
	db, beside, err := openStore(Options{Dir: o.Dir, EncryptionKey: o.EncryptionKey, Log: o.Log, InMemory: o.InMemory})
	if err != nil {
		return nil, err
	}
	r := newReplica(o, db, beside)
	if err := db.View(r.load); err != nil {
		return nil, errors.Join(fmt.Errorf("open replica of %s: %w", o.Name, err), closeStore(db, beside))
	}
	if !o.InMemory && !o.Council {
		// What was put aside while the list of tables was made anew: the tree holds. Machines' ledger looks itself.
		if err := os.RemoveAll(filepath.Join(o.Dir, asideName)); err != nil {
			return nil, errors.Join(fmt.Errorf("open replica of %s: %w", o.Name, err), closeStore(db, beside))
		}
	}
	return r, nil
}

func newReplica(o ReplicaOptions, db *badger.DB, beside *signedFile) *Replica {
	r := &Replica{o: o, db: db, beside: beside, changed: make(chan struct{})}
	if o.Council {
		r.before = councilPrefix
	}
	return r
}

func (r *Replica) load(txn *badger.Txn) error {
	layout, err := valueOf(txn, r.key(keyLayout))
	switch {
	case errors.Is(err, ErrNotFound): // an empty store
	case err != nil:
		return err
	case len(layout) != 1 || layout[0] > replicaLayout:
		return ErrNewer
	}
	cp, applied, err := r.head(txn)
	if err != nil {
		return err
	}
	tree, err := tlog.OpenTree(cp.Size, txnTiles{txn, r.before})
	if err != nil {
		return fmt.Errorf("%w: log: %w", ErrDamaged, err)
	}
	if tree.Root() != cp.Root {
		return fmt.Errorf("%w: tiles and root disagree at size %d", ErrDamaged, cp.Size)
	}
	r.tree, r.applied = tree, applied
	return nil
}

func (r *Replica) head(txn *badger.Txn) (tlog.Checkpoint, uint64, error) {
	cp := tlog.Checkpoint{Origin: r.o.Name.Origin(), Root: tlog.EmptyRoot()}
	b, err := valueOf(txn, r.key(keyCheckpoint))
	if errors.Is(err, ErrNotFound) {
		return cp, 0, nil
	}
	if err != nil {
		return cp, 0, err
	}
	if len(b) != 48 {
		return cp, 0, fmt.Errorf("%w: head of %d bytes", ErrDamaged, len(b))
	}
	cp.Size, cp.Root = binary.BigEndian.Uint64(b), tlog.Hash(b[8:40])
	return cp, binary.BigEndian.Uint64(b[40:]), nil
}

// Applied returns the position in the replicated log up to which everything is
// in the replica.
func (r *Replica) Applied() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.applied
}

// Checkpoint returns size and root of the log as it stands now.
func (r *Replica) Checkpoint() tlog.Checkpoint {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return tlog.Checkpoint{Origin: r.o.Name.Origin(), Size: r.tree.Size(), Root: r.tree.Root()}
}

// Changed returns a channel that is closed at the next Apply. Take it before
// looking at the state that is waited for.
func (r *Replica) Changed() <-chan struct{} {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.changed
}

// Apply runs f and commits what it wrote, with the position, in one synced
// transaction. A position at or before the one applied changes nothing, and f
// is not run: the same position may come again after a restart. When f returns
// an error nothing is written and the error is returned.
//
// On an error wrapping ErrStorage it is unknown whether the transaction is on
// disk; the replica then takes no more.
func (r *Replica) Apply(position uint64, f func(*ReplicaTx) error) error {
	if p := r.failed.Load(); p != nil {
		return *p
	}
	if err := r.hold(); err != nil {
		return err
	}
	defer r.viewing.RUnlock()
	r.mu.RLock()
	tree, applied := r.tree, r.applied
	r.mu.RUnlock()
	if position <= applied {
		return nil
	}
	t := &ReplicaTx{r: r, sets: map[string][]byte{}, next: tree.Size()}
	t.read = r.db.NewTransaction(false)
	defer t.read.Discard()
	if err := f(t); err != nil {
		return err
	}
	if t.bytes > MaxReplicaWrite {
		return fmt.Errorf("apply position %d: write %d bytes: %w", position, t.bytes, errTooBig)
	}
	next := tree
	if len(t.leaves) > 0 {
		next = tree.Clone()
		for _, tile := range next.Append(t.leaves) {
			t.sets[string(r.key(tileKey(tile.Level, tile.Index)))] = tile.Data
		}
	}
	root := next.Root()
	head := binary.BigEndian.AppendUint64(make([]byte, 0, 48), next.Size())
	head = binary.BigEndian.AppendUint64(append(head, root[:]...), position)
	t.sets[string(r.key(keyCheckpoint))] = head
	if applied == 0 {
		t.sets[string(r.key(keyLayout))] = []byte{replicaLayout}
	}
	if err := r.store(t.sets); err != nil {
		err = fmt.Errorf("%w: %w", ErrStorage, err)
		r.failed.CompareAndSwap(nil, &err)
		return err
	}
	r.mu.Lock()
	r.tree, r.applied = next, position
	for _, then := range t.then {
		then()
	}
	close(r.changed)
	r.changed = make(chan struct{})
	r.mu.Unlock()
	return nil
}

// hold keeps the store's files from going from under whoever uses them, until
// viewing is released.
func (r *Replica) hold() error {
	if !r.viewing.TryRLock() {
		return ErrClosed
	}
	if r.closed.Load() {
		r.viewing.RUnlock()
		return ErrClosed
	}
	return nil
}

// store writes one transaction. Nothing of it is on disk before Commit returns,
// and then all of it is.
func (r *Replica) store(sets map[string][]byte) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	return r.write(sets)
}

// write is store with writing held.
func (r *Replica) write(sets map[string][]byte) error {
	n, err := writeAll(r.db, sets)
	if n >= bulk {
		freeBuilders(r.db)
	}
	return err
}

// MarkErased empties what is kept of entries, for Erase to take off the disk, outside of
// any Apply: for a replica that applies no more. Their leaves stay.
func (r *Replica) MarkErased(indexes []uint64) error {
	if err := r.hold(); err != nil {
		return err
	}
	defer r.viewing.RUnlock()
	sets := map[string][]byte{}
	for _, i := range indexes {
		sets[string(r.key(entryKey(i)))] = []byte{}
		sets[string(r.key(numKey(keyErase, i)))] = []byte{1}
	}
	if err := r.store(sets); err != nil {
		return fmt.Errorf("erase entries: %w: %w", ErrStorage, err)
	}
	return nil
}

// Erasing reports whether there is something for Erase to do.
func (r *Replica) Erasing() (any bool) {
	err := r.View(func(v *ReplicaView) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues, o.Prefix = false, r.key([]byte{keyErase})
		it := v.txn.NewIterator(o)
		defer it.Close()
		it.Rewind()
		any = it.Valid()
		return nil
	})
	return any && err == nil
}

// Erase removes the bytes of every entry that an Apply erased from the files on
// disk, where a deleted key alone would leave them until some later compaction.
// What a crash interrupts is done by the next call. It returns how many entries
// there were.
func (r *Replica) Erase() (int, error) {
	if err := r.hold(); err != nil {
		return 0, err
	}
	defer r.viewing.RUnlock()
	var entries [][]byte
	done := map[string][]byte{}
	err := r.db.View(func(txn *badger.Txn) error {
		return walk(txn, r.key([]byte{keyErase}), func(key, _ []byte) error {
			if len(entries) == 1000 {
				return errStopWalk
			}
			entries = append(entries, r.key(append([]byte{'e'}, key[len(r.before)+1:]...)))
			done[string(key)] = nil
			return nil
		})
	})
	if err != nil && !errors.Is(err, errStopWalk) || len(entries) == 0 {
		return 0, err
	}
	// While it drops keys Badger refuses every write, which would be taken for
	// a disk that fails.
	r.writing.Lock()
	defer r.writing.Unlock()
	if err := r.db.DropPrefix(entries...); err != nil {
		return 0, fmt.Errorf("erase entries: %w: %w", ErrStorage, err)
	}
	if err := r.write(done); err != nil {
		return 0, fmt.Errorf("erase entries: %w: %w", ErrStorage, err)
	}
	return len(entries), nil
}

// Close waits for views and an Apply under way and closes the store.
func (r *Replica) Close() error {
	r.viewing.Lock()
	defer r.viewing.Unlock()
	if !r.closed.CompareAndSwap(false, true) {
		return nil
	}
	if err := closeStore(r.db, r.beside); err != nil {
		return fmt.Errorf("close replica: %w: %w", ErrStorage, err)
	}
	return nil
}

// DiskBytes returns the bytes of the store's files.
func (r *Replica) DiskBytes() (uint64, error) {
	return (&Ledger{o: Options{Dir: r.o.Dir, InMemory: r.o.InMemory}}).DiskBytes()
}

// FreeDisk returns the bytes that may still be written in the folder dir.
func FreeDisk(dir string) (uint64, error) { return freeDisk(filepath.Clean(dir)) }

// A ReplicaTx is what one Apply may read and write. Its reads see its own
// writes. It is for one goroutine, until the function it was handed to returns.
type ReplicaTx struct {
	r      *Replica
	read   *badger.Txn
	sets   map[string][]byte // nil value: delete
	leaves []tlog.Hash
	next   uint64
	bytes  int
	then   []func()
}

// Then has f called once the transaction is on disk and before anybody is told that
// it is applied. It must not use the Replica.
func (t *ReplicaTx) Then(f func()) { t.then = append(t.then, f) }

// Next returns the log index of the next entry.
func (t *ReplicaTx) Next() uint64 { return t.next }

// Bytes returns about how much was written so far; see MaxReplicaWrite.
func (t *ReplicaTx) Bytes() int { return t.bytes }

// Append puts an entry into the log: the 32 bytes that stand for it and what is
// kept of it. It returns the log index.
func (t *ReplicaTx) Append(entry tlog.Hash, kept []byte) uint64 {
	n := t.next
	t.next++
	t.leaves = append(t.leaves, entry)
	t.set(entryKey(n), kept)
	return n
}

// EraseEntry deletes what is kept of an entry; its leaf stays. The bytes leave
// the disk with the next Replica.Erase. An empty value stays until then, since
// Badger drops nothing where it finds no live key.
func (t *ReplicaTx) EraseEntry(index uint64) {
	t.set(entryKey(index), []byte{})
	t.set(numKey(keyErase, index), []byte{1})
}

// Entry returns what is kept of an entry, ErrNotFound when it was erased.
func (t *ReplicaTx) Entry(index uint64) ([]byte, error) { return t.get(entryKey(index)) }

// Leaves returns the leaf hashes of n entries from an index on, among them those that
// were appended in the transaction.
func (t *ReplicaTx) Leaves(from uint64, n int) ([]tlog.Hash, error) {
	size := t.next - uint64(len(t.leaves)) // of the log on disk
	if n < 0 || from+uint64(n) > t.next {
		return nil, fmt.Errorf("leaves from %d: %w", from, ErrNotFound)
	}
	out, err := leaves(txnTiles{t.read, t.r.before}, size, from, min(n, int(max(size, from)-from)))
	for i := from + uint64(len(out)); err == nil && i < from+uint64(n); i++ {
		out = append(out, tlog.Leaf(t.leaves[i-size]))
	}
	return out, err
}

// leaves reads leaf hashes from tiles of a log of a size that has them.
func leaves(r tlog.TileReader, size, from uint64, n int) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, 0, n)
	for len(out) < n {
		at := from + uint64(len(out))
		tile := at / tlog.TileWidth
		width := int(min(size-tile*tlog.TileWidth, tlog.TileWidth))
		b, err := r.Tile(0, tile, width)
		if err != nil {
			return nil, err
		}
		hs, err := tlog.SplitHashes(b[int(at%tlog.TileWidth)*tlog.HashSize:])
		if err != nil {
			return nil, err
		}
		out = append(out, hs[:min(len(hs), n-len(out))]...)
	}
	return out, nil
}

// Lookup returns the value under a key, or ErrNotFound.
func (t *ReplicaTx) Lookup(key string) ([]byte, error) { return t.get(stateKey(key)) }

// Set keeps a value under a key. The caller does not change it afterwards.
func (t *ReplicaTx) Set(key string, value []byte) { t.set(stateKey(key), value) }

// Remove deletes a key.
func (t *ReplicaTx) Remove(key string) { t.set(stateKey(key), nil) }

func (t *ReplicaTx) set(key, value []byte) {
	key = t.r.key(key)
	t.sets[string(key)] = value
	t.bytes += writeSize(key, value)
}

func (t *ReplicaTx) get(key []byte) ([]byte, error) {
	at := t.r.key(key)
	v, ok := t.sets[string(at)]
	if !ok {
		var err error
		if v, err = valueOf(t.read, at); err != nil {
			return nil, err
		}
	}
	if v == nil || key[0] == 'e' && len(v) == 0 {
		return nil, ErrNotFound
	}
	return v, nil
}

func stateKey(key string) []byte { return append([]byte{'!'}, key...) }
