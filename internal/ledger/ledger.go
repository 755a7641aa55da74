// Package ledger keeps everything one council has said, in order, under one
// transparency log, in Badger.
//
// The invariant: what a caller was told yes about is on disk, in one
// transaction with its leaf, its indexes and the signed checkpoint that covers
// it; and nothing is read back as true that does not hash to its leaf. See
// DESIGN.md in this folder.
//
// A ledger has one writer, which groups what waits for it into one
// transaction. All methods may be called concurrently.
package ledger

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger/examine"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// Errors of this package, to be checked with errors.Is.
var (
	// ErrNotFound: the ledger holds no such thing.
	ErrNotFound = errors.New("not found")
	// ErrDamaged: what is on disk does not hash to what the log says. The
	// error text names the log index, never a value.
	ErrDamaged = errors.New("damaged on disk")
	// ErrConflict: the record is not at the version the caller named.
	ErrConflict = errors.New("changed meanwhile")
	// ErrClosed: the ledger was closed.
	ErrClosed = errors.New("ledger is closed")
	// ErrStorage: the disk failed. The ledger takes no more writes; the
	// process should end, and be started again once the disk is well.
	ErrStorage = errors.New("storage failed")
	// ErrFull: the disk has less free space than Options.MinFree. Nothing was
	// written; reading goes on.
	ErrFull = errors.New("disk is nearly full")
	// ErrClock: the clock is plainly wrong; see Options.Clock. Nothing was signed.
	ErrClock = errors.New("the clock of this machine is wrong")
	// ErrForked: another council holds what our key signed and is not in our log.
	// Nothing is signed until that is settled; see [Ledger.Halted].
	ErrForked = errors.New("the log of this node was set back")
	// ErrInUse: another process holds the data folder.
	ErrInUse = errors.New("data folder is in use by another process")
	// ErrNewer: the data folder was written by a newer version of Stile.
	ErrNewer = errors.New("data folder was written by a newer version")
	// ErrOlder: the data folder was written by a version before the first release,
	// whose entries this one does not read.
	ErrOlder = errors.New("data folder was written by an earlier version and is not read by this one: with the version that wrote it export the records (stile export records), then make a new folder with stile init and import them")
)

// Options say how to open a ledger.
type Options struct {
	Dir           string       // folder of the Badger store; made when missing
	Council       name.Council // whose ledger it is
	Keys          *keys.Ring
	EncryptionKey []byte           // encryption at rest: 16, 24 or 32 bytes; nil for none
	Now           func() time.Time // default time.Now
	Rand          io.Reader        // seeds of records; default crypto/rand
	Log           *slog.Logger     // default discards
	MinFree       uint64           // bytes of free disk below which writes are refused; default 128 MiB
	InMemory      bool             // keep nothing on disk; for tests and simulations
	// Copies: a folder that is a copy of another is told from it, and so is one whose store is gone. Otherwise
	// the folder is believed to be the newest. See [Ledger.Halted].
	Copies bool
	// Founded: the keys were made just now, so that nobody can know of a log of theirs.
	Founded bool
	// Erasures is the file with the list of what was erased; "" for none. ErasuresToo are other lists of
	// the same council, some of which may not be there: what is in one of them is erased here, too.
	Erasures    string
	ErasuresToo []string

	Memory int64 // bytes that the process should stay within; default 256 MiB, of which the store takes its part

	// Shared is where the ledger is instead of in a store of its own; Dir,
	// EncryptionKey and InMemory are then the replica's. Close leaves it open.
	Shared *Shared

	// Reading opens the ledger without writing anything in its folder, so that it can be read on a disk that is
	// read-only or full. Whatever would write returns ErrReading, and so does Open where something has to be written first.
	Reading bool

	// Clock says why nothing may be signed by the clock, "" when something may; nil is
	// never. It is told the time of the newest entry that was made since the ledger was
	// opened, zero for none, and is called before every transaction that adds an entry.
	Clock func(now, newest time.Time) string

	// Fatal is called once, on its own goroutine, when storage fails.
	Fatal func(error)

	// unwritten is told that the store could not write what it has in memory.
	unwritten func(error)

	// For tests, see export_test.go: records matched in one go, and what is called
	// before that.
	matchChunk int
	matching   func()
}

// A Ledger is one council's open ledger.
type Ledger struct {
	o  Options
	db *badger.DB
	// beside says what was signed last, in a second place; nil in memory and where the
	// store is shared.
	beside *signedFile
	key    string // id of the record key
	sign   keySigner

	tiles  tileCache
	blocks blockCache
	codec  blockCodec
	tidy   tidier
	empty  []byte // signed checkpoint of the empty log; nil once there is another

	unsigned bool // a key in use has not signed the stored checkpoint: see signAnew

	reader  note.Verifier // of the log key, where there is no private one: see CheckStore
	dropped atomic.Uint64 // how often something was dropped from the store: see Copy
	copying sync.RWMutex  // held for reading by a copy that nothing may be dropped under

	erasures *erasuresFile

	halt atomic.Pointer[Halt] // why nothing is signed
	// sealed: the last entry that there will be is written; see seal.go.
	sealed atomic.Bool
	// hidden are the records that are to be erased again: see again.go.
	hidden atomic.Pointer[map[[16]byte]bool]

	watch  *examine.Watch // over the store's tables; nil in memory
	damage atomic.Pointer[Damage]
	// damageAt is when the file DAMAGED was written, in nanoseconds since 1970; damageLate that it has since been put right
	// here and not there.
	damageAt   atomic.Int64
	damageLate atomic.Bool

	second second // opinions

	// What the writer keeps, touched by it alone.
	w writer

	mu        sync.RWMutex // guards what follows
	tree      *tlog.Tree   // the committed right edge; replaced, never changed
	note      []byte       // the signed checkpoint of tree
	standards standardTable
	feeds     []*Feed                     // by number; a feed is replaced, never changed
	feedsOf   map[name.Agreement][]uint32 // numbers of the feeds of an agreement, ascending
	takers    takers                      // of feeds
	indexes   []*valueIndex               // by number; replaced, never changed
	followers []*Follower                 // replaced, never changed
	readied   chan struct{}               // closed when a feed has become ready
	said      chan struct{}               // closed when a case has changed: see cases.go
	sources   []*Source
	copies    map[uint32]uint64          // sizes at which copies are being counted, by source: see gone.go
	logs      map[name.Council]*KnownLog // an entry is replaced, never changed
	mapped    []Mapped                   // replaced, never changed
	changed   chan struct{}              // closed at the next commit
	// Of our own log, see own.go.
	own              own
	doubt            bool // the folder may be an old copy
	holed            bool // when it was opened a whole file was missing, or what it held cannot be told
	asking, answered map[name.Council]bool
	released         chan struct{} // closed when the log may grow again

	jobs   chan *job
	closed chan struct{}
	done   chan struct{} // the writer has ended
	// unmatched, buffered, says that there is a feed to match; matched that the
	// goroutine which does has ended.
	unmatched, matched chan struct{}
	filling            sync.WaitGroup // of fillPlaces
	once               sync.Once
	failed             atomic.Pointer[error]
	// viewing is held for reading by every View, for writing by Close alone:
	// Badger's files must not go from under a reader.
	viewing sync.RWMutex
	// counting is held while records are counted for an answer.
	counting sync.Mutex
}

type keySigner interface {
	Sign(signingInput []byte) ([]byte, error)
}

// Open opens the ledger in o.Dir, or founds an empty one there. It returns
// ErrInUse when another process has it open.
func Open(o Options) (*Ledger, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Log == nil {
		o.Log = discard()
	}
	if o.Fatal == nil {
		o.Fatal = func(error) {}
	}
	if o.matchChunk == 0 {
		o.matchChunk = matchChunk
	}
	if o.matching == nil {
		o.matching = func() {}
	}
	if o.MinFree == 0 {
		o.MinFree = 128 << 20
	}
	var db *badger.DB
	var beside *signedFile
	var err error
	var opened atomic.Pointer[Ledger]
	o.unwritten = func(err error) {
		if l := opened.Load(); l != nil {
			l.fail(err)
		}
	}
	if s := o.Shared; s != nil {
		if !s.Replica.o.Council {
			return nil, errors.New("open ledger: the replica is not one that holds a council's ledger")
		}
		db, o.Dir, o.InMemory = s.Replica.db, s.Replica.o.Dir, s.Replica.o.InMemory
	} else if db, beside, err = openStore(o); err != nil {
		return nil, err
	}
	l := &Ledger{
		o: o, db: db, beside: beside,
		key:     o.Keys.Record.ID(),
		sign:    o.Keys.Record,
		changed: make(chan struct{}),
		jobs:    make(chan *job, 256),
		closed:  make(chan struct{}),
		done:    make(chan struct{}),
		readied: make(chan struct{}), said: make(chan struct{}), answered: map[name.Council]bool{}, unmatched: make(chan struct{}, 1), matched: make(chan struct{}),
	}
	if !o.InMemory {
		l.watch = examine.NewWatch(examine.Options{Dir: o.Dir, EncryptionKey: o.EncryptionKey})
	}
	old, err := l.load()
	if err == nil && !o.Reading {
		err = l.signAnew()
	}
	if err != nil {
		err = fmt.Errorf("open ledger: %w", err)
		if o.Shared == nil {
			err = errors.Join(err, closeStore(db, beside))
		}
		return nil, err
	}
	known := !o.Copies || o.InMemory || o.Shared != nil || o.Founded || beside.own && !l.holed
	l.doubt = !known || l.tree.Size() > 0 && len(l.own.Elsewhere) > 0
	if known {
		if err := beside.adopt(); err != nil {
			return nil, errors.Join(fmt.Errorf("open ledger: %w", err), closeStore(db, beside))
		}
	}
	l.reckon()
	opened.Store(l)
	go l.write()
	if o.Reading {
		close(l.matched)
	} else {
		go l.match()
		if beside != nil {
			l.filling.Go(l.placesBehind())
		}
	}
	err = l.takeOver(context.Background(), old)
	if err == nil {
		err = l.openDisclosures(context.Background())
	}
	if err == nil {
		err = l.openErasures(context.Background())
	}
	if err == nil && !o.Reading {
		err = l.Purge(context.Background())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger: %w", err), l.Close())
	}
	return l, nil
}

// valueThreshold is the length from which Badger keeps a value beside its tree.
const valueThreshold = 1 << 20

// openStore opens the store in o.Dir, or makes one there, once its files have been
// examined. Nothing is written to a store in which something is missing or damaged that is
// more than a flipped bit. What it returns is closed with closeStore.
func openStore(o Options) (*badger.DB, *signedFile, error) {
	if o.InMemory {
		db, err := openBadger(o)
		return db, nil, err
	}
	if !o.Reading {
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return nil, nil, fmt.Errorf("open ledger: %w", unwritable(err))
		}
	}
	beside, err := openSigned(o.Dir, o.Reading)
	if err != nil {
		return nil, nil, fmt.Errorf("open ledger: %w", err)
	}
	if o.Council != "" && !o.Reading {
		if beside.vital, err = openVital(o); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("open ledger: %w", err), beside.close(false))
		}
	}
	if o.Reading {
		db, err := openReading(o, beside)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("open ledger: %w", err), beside.close(false))
		}
		return db, beside, nil
	}
	if err = examineStore(o, beside); err == nil && o.Council != "" {
		beside.places, err = openPlaces(o.Dir)
	}
	if err == nil {
		err = beside.opening() // from now on the files are synced now and then
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open ledger: %w", err), beside.close(false))
	}
	if err := roomToOpen(o); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open ledger: %w", err), beside.close(false))
	}
	db, err := openBadger(o)
	if err != nil {
		return nil, nil, errors.Join(err, beside.close(false))
	}
	return db, beside, nil
}

// openBytes is what opening a store may write: what the logs of a killed process held, as a
// table, and new logs.
const openBytes = 64 << 20

// roomToOpen refuses to open a store on a full disk. Badger maps its files, and a page for which
// there is no room ends the process by a signal.
func roomToOpen(o Options) error {
	need := uint64(openBytes)
	if o.MinFree > 0 {
		need = min(need, o.MinFree)
	}
	free, err := freeDisk(o.Dir)
	if err != nil {
		return fmt.Errorf("%w: read free space: %w", ErrStorage, err)
	}
	if free < need {
		return fmt.Errorf("%w: %d MiB free, and opening the ledger may take %d MiB; nothing is lost", ErrFull, free>>20, need>>20)
	}
	return nil
}

func closeStore(db *badger.DB, beside *signedFile) error {
	err := db.Close()
	return errors.Join(err, beside.close(err == nil))
}

func openBadger(o Options) (*badger.DB, error) {
	dir := o.Dir
	if o.InMemory {
		dir = ""
	}
	bo := badger.DefaultOptions(dir).
		WithInMemory(o.InMemory).
		WithSyncWrites(!o.InMemory). // off by default in Badger
		WithDetectConflicts(false).  // there is one writer
		WithNumVersionsToKeep(1).
		WithValueThreshold(valueThreshold). // keep values in the tree, where they are compressed and can be dropped
		WithNumLevelZeroTables(4).
		WithNumLevelZeroTablesStall(12).
		WithNumCompactors(2).
		WithBaseTableSize(1 << 20). // building one takes some eight times its size
		WithCompression(options.ZSTD).
		WithZSTDCompressionLevel(1).
		WithBlockSize(16 << 10).
		WithValueLogFileSize(64 << 20).
		WithChecksumVerificationMode(options.OnBlockRead).
		WithVerifyValueChecksum(true).
		WithMetricsEnabled(false).
		WithLogger(badgerLog{o.Log, o.unwritten})
	bo.TableSizeMultiplier = 1
	bo = sized(bo, o.Memory).WithReadOnly(o.Reading)
	if o.InMemory {
		// Each compactor wakes twenty times a second, which is most of what a test costs
		// in which hours pass at once. What a test writes never fills twelve tables.
		bo = bo.WithNumCompactors(0)
	}
	if len(o.EncryptionKey) > 0 {
		bo = bo.WithEncryptionKey(o.EncryptionKey)
	}
	db, err := badger.Open(bo)
	// Killed while it made or removed a log file, Badger leaves one of no
	// length and does not open; but each try gives one such file its length,
	// and then it counts as an empty log.
	for try := 0; try < 8 && err != nil && strings.Contains(err.Error(), "Create a new file"); try++ {
		db, err = badger.Open(bo)
	}
	// Another program that this process is starting holds a copy of the lock of a
	// store that was just closed, until it has become that program.
	for try := 0; try < 5 && err != nil && strings.Contains(err.Error(), "Cannot acquire directory lock"); try++ {
		time.Sleep(20 * time.Millisecond)
		db, err = badger.Open(bo)
	}
	switch {
	case err == nil:
		return db, nil
	case strings.Contains(err.Error(), "Cannot acquire directory lock"):
		return nil, fmt.Errorf("open ledger: %w: %s", ErrInUse, filepath.Clean(o.Dir))
	case errors.Is(err, badger.ErrEncryptionKeyMismatch):
		return nil, fmt.Errorf("open ledger: %w", errWrongKey)
	}
	return nil, fmt.Errorf("open ledger: %w: %w", ErrStorage, err)
}

// load reads the small state that lives in memory: the right edge of the log,
// the standards, the feeds, the sources and what is known of other logs. It
// returns what an older version kept of those beside the sources.
func (l *Ledger) load() (old []oldSource, err error) {
	damage := &damageFile{}
	if l.beside != nil {
		if damage, err = readDamage(l.o.Dir); err != nil {
			return nil, err
		}
	}
	l.holed = slices.ContainsFunc(damage.holes(), examine.Hole.Whole)
	if len(damage.Holes) > 0 && !l.o.Reading {
		if err := l.restoreVital(damage.holes()); err != nil {
			return nil, err
		}
	}
	err = l.db.View(func(txn *badger.Txn) error {
		layout, err := valueOf(txn, keyLayout)
		switch {
		case errors.Is(err, ErrNotFound): // an empty store
		case err != nil:
			return err
		case len(layout) != 1 || layout[0] > layoutRestored:
			return ErrNewer
		case layout[0] < layoutVersion:
			return ErrOlder
		}
		if err := l.loadStandards(txn); err != nil {
			return err
		}
		if len(damage.Holes) > 0 {
			// In a transaction of its own: what it makes anew is read by the next.
			if err := l.loadKeyIDs(txn); err != nil {
				return err
			}
			if damage.Tree, err = l.mendTiles(txn, damage.holes()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = l.db.View(func(txn *badger.Txn) error {
		tree, note, err := l.loadLog(txn)
		if err != nil {
			return err
		}
		l.tree, l.note, l.w.next = tree, note, tree.Size()
		if err := l.holdAgainst(txn); err != nil { // before anything is written
			return err
		}
		if err := l.loadKeys(txn); err != nil {
			return err
		}
		if err := l.loadFeeds(txn); err != nil {
			return err
		}
		l.takers = newTakers(l.feeds)
		if err := l.loadIndexes(txn); err != nil {
			return err
		}
		if err := l.loadMarks(txn); err != nil {
			return err
		}
		if err := l.loadMapped(txn); err != nil {
			return err
		}
		if err := l.loadKnown(txn); err != nil {
			return err
		}
		if err := l.loadHidden(txn); err != nil {
			return err
		}
		if err := l.loadOwn(txn); err != nil {
			return err
		}
		l.loadSealed(txn)
		old, err = l.loadSources(txn)
		return err
	})
	if err == nil {
		err = l.findDamage(damage)
	}
	if err == nil && l.beside != nil && !l.o.Reading {
		if len(damage.Holes) > 0 {
			err = l.beside.vital.renew(l.db, l.beside.now.commit) // as the store numbers its versions from now on
		} else {
			err = l.beside.vital.ready(l.db, l.beside.now.commit)
		}
	}
	return old, err
}

// loadLog opens the log at its stored checkpoint, whose signature and root it
// checks against the key and the tiles.
func (l *Ledger) loadLog(txn *badger.Txn) (*tlog.Tree, []byte, error) {
	stored, err := valueOf(txn, keyCheckpoint)
	if errors.Is(err, ErrNotFound) && l.reader != nil {
		return nil, nil, fmt.Errorf("%w: it has no signed checkpoint", ErrDamaged)
	}
	if errors.Is(err, ErrNotFound) {
		tree, err := tlog.OpenTree(0, txnTiles{txn: txn})
		if err != nil {
			return nil, nil, err
		}
		l.empty, err = l.signCheckpoint(tree)
		return tree, l.empty, err
	}
	if err != nil {
		return nil, nil, err
	}
	_, signed, err := decodeCheckpoint(l.o.Council.Origin(), stored)
	if err != nil {
		return nil, nil, err
	}
	verifiers := []note.Verifier{l.reader}
	if l.reader == nil {
		if verifiers[0], err = l.ownKeys(); err != nil {
			return nil, nil, err
		}
		verifiers = append(verifiers, l.o.Keys.Record.Public().CheckpointVerifier(l.o.Council))
	}
	cp, n, err := tlog.OpenCheckpoint(signed, l.o.Council.Origin(), verifiers...)
	if err != nil {
		return nil, nil, fmt.Errorf("checkpoint: %w", err)
	}
	for _, s := range l.signers() {
		signed := func(by note.Signature) bool { return by.Name == s.Name() && by.Hash == s.KeyHash() }
		l.unsigned = l.unsigned || !slices.ContainsFunc(n.Sigs, signed)
	}
	tree, err := tlog.OpenTree(cp.Size, txnTiles{txn: txn})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: log: %w", ErrDamaged, err)
	}
	if tree.Root() != cp.Root {
		return nil, nil, fmt.Errorf("%w: tiles and checkpoint disagree at size %d", ErrDamaged, cp.Size)
	}
	return tree, signed, nil
}

// A stored checkpoint is size8 root32 and the signed note that says them, so
// that a reader need not parse the note.
func encodeCheckpoint(cp tlog.Checkpoint, signed []byte) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 40+len(signed)), cp.Size)
	return append(append(b, cp.Root[:]...), signed...)
}

func decodeCheckpoint(origin string, b []byte) (tlog.Checkpoint, []byte, error) {
	if len(b) < 40 {
		return tlog.Checkpoint{}, nil, fmt.Errorf("%w: stored checkpoint is short", ErrDamaged)
	}
	return tlog.Checkpoint{Origin: origin, Size: binary.BigEndian.Uint64(b), Root: tlog.Hash(b[8:40])}, b[40:], nil
}

// signCheckpoint signs the head of the log with the log key and the record key: one
// signature by each, however many entries are new. While the log key is being replaced, the
// one before signs, too.
func (l *Ledger) signCheckpoint(t *tlog.Tree) ([]byte, error) {
	s := l.signers()
	return tlog.SignCheckpoint(tlog.Checkpoint{Origin: l.o.Council.Origin(), Size: t.Size(), Root: t.Root()}, s[0], s[1:]...)
}

// signers returns what signs the newest checkpoint, first the log key that is in use; none
// for a ledger that is only read.
func (l *Ledger) signers() []note.Signer {
	if l.reader != nil {
		return nil
	}
	return append(append([]note.Signer{l.o.Keys.Log.Signer()}, l.o.Keys.Log.Also()...), l.o.Keys.Record.CheckpointSigner(l.o.Council))
}

// ownKeys returns what verifies our own checkpoints, by every log key that we have had.
func (l *Ledger) ownKeys() (note.Verifier, error) {
	var former []tlog.OtherKey
	for _, k := range l.o.Keys.Log.Former() {
		former = append(former, tlog.OtherKey{Key: k})
	}
	return tlog.ParseLogKeys(l.o.Keys.Log.Verifier(), former...)
}

// signAnew signs the stored checkpoint once more when a key that is used now has not: it
// was replaced, or an older version wrote the checkpoint.
func (l *Ledger) signAnew() error {
	if !l.unsigned {
		return nil
	}
	note, err := l.signCheckpoint(l.tree)
	if err != nil {
		return err
	}
	cp := tlog.Checkpoint{Size: l.tree.Size(), Root: l.tree.Root()}
	if err := l.store(l.tree, map[string][]byte{string(keyCheckpoint): encodeCheckpoint(cp, note)}); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	l.note, l.unsigned = note, false
	return nil
}

// Close waits for the writes and views under way and closes the store.
func (l *Ledger) Close() error {
	first := false
	l.once.Do(func() { first = true; close(l.closed) })
	<-l.done
	<-l.matched
	l.filling.Wait()
	if !first {
		return nil
	}
	l.viewing.Lock()
	defer l.viewing.Unlock()
	err := errors.Join(l.erasures.close(), l.writeDamage())
	if l.o.Shared == nil {
		l.tidy.stop()
		err = errors.Join(err, closeStore(l.db, l.beside))
	}
	if err != nil {
		return fmt.Errorf("close ledger: %w: %w", ErrStorage, err)
	}
	return nil
}

// Council returns whose ledger it is.
func (l *Ledger) Council() name.Council { return l.o.Council }

// Changed returns a channel that is closed at the next commit. Take it before
// looking at the state that is waited for.
func (l *Ledger) Changed() <-chan struct{} {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.changed
}

// Size returns how many entries the log has. A [View] may show more for a moment, of a
// commit that is durable and not finished; see [Ledger.Shown].
func (l *Ledger) Size() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.tree.Size()
}

// Shown returns how many entries a view shows: whoever read one may know so many already.
// Whether somebody has seen more of our log than there is is judged by this and never by
// [Ledger.Size].
func (l *Ledger) Shown() (n uint64, err error) {
	err = l.View(func(v *View) error {
		n = v.cp.Size
		return nil
	})
	return n, err
}

// Transactions returns how many transactions were committed, ever. On disk each is one
// sync of the store's log.
func (l *Ledger) Transactions() uint64 { return l.db.MaxVersion() }

// DiskBytes returns the bytes of the store's files.
func (l *Ledger) DiskBytes() (uint64, error) {
	if l.o.InMemory {
		return 0, nil
	}
	var n uint64
	err := filepath.WalkDir(l.o.Dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := diskUse(d)
		n += b
		return err
	})
	return n, err
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// onAllCores calls f with every number below n, on as many cores as there are
// times per numbers, and returns when all calls have.
func onAllCores(n, per int, f func(i int)) {
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			f(i)
		}
	}
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (n+per-1)/per) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

// badgerLog hands Badger's own messages on. They name files and sizes, never
// values.
type badgerLog struct {
	*slog.Logger
	unwritten func(error) // see Options; may be nil
}

func (b badgerLog) Errorf(f string, a ...any) {
	if strings.HasPrefix(f, "error flushing memtable") && b.unwritten != nil {
		// Badger tries again for ever, and takes writes until there is no room
		// in memory for them: then they wait for ever, too.
		b.unwritten(errors.New(strings.TrimSpace(fmt.Sprintf(f, a...))))
	}
	b.Error("badger", "message", strings.TrimSpace(fmt.Sprintf(f, a...)))
}
func (b badgerLog) Warningf(f string, a ...any) {
	b.Warn("badger", "message", strings.TrimSpace(fmt.Sprintf(f, a...)))
}
func (b badgerLog) Infof(f string, a ...any)  {}
func (b badgerLog) Debugf(f string, a ...any) {}
