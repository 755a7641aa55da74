package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
)

// Bounds of one group commit. Badger takes 15% of its memory table in one
// transaction, here at least 3.6 MiB and 39 321 keys: one more of either is an error,
// and would end the ledger. The bounds leave room for what is not counted
// until the batch is signed, and for one more offer or job.
const (
	maxBatchEntries = 1000
	smallBatch      = 64 // entries below which a batch takes in more while it waits
	maxBatchBytes   = 2 << 20
	maxBatchKeys    = 30_000
	maxJobBytes     = 13 << 18 // of a single job: 3.25 MiB
)

// errTooBig: one job is more than a transaction can hold.
var errTooBig = errors.New("too large for one transaction")

// A job is what the writer is asked to do: offers, or a function that reads
// and writes through a Tx. Jobs are done in the order they were sent.
type job struct {
	offers []*Offer
	at     int // offers before it are done
	// run may be called again, when what it wrote did not fit the batch.
	run func(*tx) error
	// alone: run walks the store, so nothing may be in flight beside it.
	alone bool
	done  chan error // buffered
}

// writer is the state that only the writing goroutine touches.
type writer struct {
	next     uint64          // index of the next entry
	inflight *batch          // being committed; nil when none is
	marks    int             // of refused offers: see gate.go
	held     map[uint32]bool // by standard: see tx.holdsSome
	newest   int64           // when the newest entry was made since the ledger was opened; 0 for none
}

// A batch is one group commit in the making.
type batch struct {
	sets     map[string][]byte // nil value: delete
	entries  []*pending
	built    int               // of entries
	touched  map[[16]byte]bool // records whose head this batch moves
	feeds    map[uint32]feedDelta
	postings postings
	items    map[uint32][]uint64   // entries written into feeds that may be followed, ascending
	puts     map[uint32]uint64     // one past the last of those that is a record
	gate     map[uint32]*gateCount // by standard; nil until something is counted
	bytes    int                   // about what the transaction will count
	alone    bool                  // of one job that is alone
	fresh    bool                  // nothing is read through read
	read     *badger.Txn           // what was committed when it was begun; nil until something is looked up
	jobs     []*job                // told when the batch is durable
	after    []func()              // run when the batch is durable, before the jobs are told
	tree     *tlog.Tree
	note     []byte
	iat      int64
	finished chan error
}

type feedDelta struct {
	records int
	end     uint64 // one past the highest index in the feed, 0 for unchanged
}

// pending is an entry that has its place in the log and waits for its
// signature.
type pending struct {
	index uint64
	// a record:
	stored *storedRecord
	claims record.Claims
	body   map[string]any
	layout *standard.Layout
	head   head
	// or an event:
	event *record.Event

	entry tlog.Hash     // what stands in the log
	token *record.Token // of an event
	err   error
}

func (l *Ledger) send(ctx context.Context, j *job) error {
	if l.o.Reading {
		return ErrReading
	}
	j.done = make(chan error, 1)
	select {
	case <-l.closed:
		return l.closedErr()
	default:
	}
	select {
	case l.jobs <- j:
		return nil
	case <-l.closed:
		return l.closedErr()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wait waits until the job is durable. A caller that gives up leaves the job
// running: what it wrote may be there.
func (l *Ledger) wait(ctx context.Context, j *job) error {
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-l.done:
	}
	// The writer has ended. It answered all that it took; this job may have
	// come into the queue behind its back.
	select {
	case err := <-j.done:
		return err
	default:
		return l.closedErr()
	}
}

func (l *Ledger) do(ctx context.Context, alone bool, run func(*tx) error) error {
	j := &job{run: run, alone: alone}
	if err := l.send(ctx, j); err != nil {
		return err
	}
	return l.wait(ctx, j)
}

func (l *Ledger) closedErr() error {
	if p := l.failed.Load(); p != nil {
		return *p
	}
	return ErrClosed
}

// write is the writer: it fills a batch from the waiting jobs, builds it on all
// cores while the batch before is being signed and synced to disk, and hands it on.
func (l *Ledger) write() {
	defer close(l.done)
	var waiting []*job
	closed := false
	for {
		if len(waiting) == 0 && !closed {
			select {
			case j := <-l.jobs:
				waiting = append(waiting, j)
			case <-l.closed:
				closed = true
			}
		}
	drain:
		for len(waiting) < cap(l.jobs) {
			select {
			case j := <-l.jobs:
				waiting = append(waiting, j)
			default:
				break drain
			}
		}
		if len(waiting) == 0 {
			if closed {
				l.settle()
				return
			}
			continue
		}
		if p := l.failed.Load(); p != nil {
			for _, j := range waiting {
				j.done <- *p
			}
			waiting = nil
			continue
		}
		if waiting[0].alone {
			l.settle()
		}
		b := l.newBatch()
		b.fresh = waiting[0].alone // it walks the store and may change it beside the batch
		waiting = l.fill(b, waiting)
		l.buildAll(b)
		for l.w.inflight != nil && len(waiting) == 0 && len(b.entries) < smallBatch && !b.alone {
			// It has to wait anyhow: who comes meanwhile goes with it.
			select {
			case j := <-l.jobs:
				waiting = l.fill(b, []*job{j})
				l.buildAll(b)
			case err := <-l.w.inflight.finished:
				l.settled(err)
				b.readAnew() // what was in flight is in the store, and not in what was committed before
			}
		}
		l.foresee(b)
		l.buildAll(b)
		l.assemble(b)
		l.settle()
		l.commit(b)
		if b.alone {
			// What it changed, a feed opened, is seen by the next batch only
			// once it is committed: an offer prepared before would miss it.
			l.settle()
		}
	}
}

// settle waits for the batch in flight.
func (l *Ledger) settle() {
	if l.w.inflight == nil {
		return
	}
	l.settled(<-l.w.inflight.finished)
}

// settled takes in how the batch in flight ended.
func (l *Ledger) settled(err error) {
	l.w.inflight = nil
	if err != nil {
		l.fail(err)
	}
}

// fail stops the ledger: whether the failed update is on disk is not known,
// so nothing may be written or promised after it.
func (l *Ledger) fail(err error) {
	err = fmt.Errorf("%w: %w", ErrStorage, err)
	if l.failed.CompareAndSwap(nil, &err) {
		l.o.Log.Error("storage failed; no more writes are taken", "error", err.Error())
		go l.o.Fatal(err)
	}
}

func (l *Ledger) newBatch() *batch {
	return &batch{
		sets:     map[string][]byte{},
		touched:  map[[16]byte]bool{},
		feeds:    map[uint32]feedDelta{},
		postings: postings{},
		items:    map[uint32][]uint64{},
		puts:     map[uint32]uint64{},
		iat:      l.o.Now().Unix(),
		finished: make(chan error, 1),
	}
}

// fill takes as much of the waiting jobs as fits one batch and returns the rest.
func (l *Ledger) fill(b *batch, waiting []*job) []*job {
	for len(waiting) > 0 && !b.full() {
		j := waiting[0]
		if j.alone && (len(b.jobs) > 0 || l.w.inflight != nil) {
			break
		}
		if err := l.roomOnDisk(); err != nil {
			j.done <- err
			waiting = waiting[1:]
			continue
		}
		if j.run != nil {
			t := &tx{l: l, b: b, sets: map[string][]byte{}}
			err := j.run(t)
			if h := l.Halted(); err == nil && h != nil && len(t.entries) > 0 && !t.free {
				err = h.err()
			}
			if err == nil && len(t.entries) > 0 && l.sealed.Load() {
				err = ErrSealed
			}
			if err == nil && len(t.entries) > 0 {
				err = l.clock(b.iat)
			}
			size := t.size()
			if err == nil && size > maxJobBytes {
				err = fmt.Errorf("write %d bytes: %w", size, errTooBig)
			}
			if err != nil {
				l.w.next -= uint64(len(t.entries))
				if errors.Is(err, ErrStorage) {
					l.fail(err)
				}
				j.done <- err
				waiting = waiting[1:]
				continue
			}
			if len(b.jobs) > 0 && b.bytes+size > maxJobBytes {
				// It does not fit beside the others: it runs again, in the next
				// batch.
				l.w.next -= uint64(len(t.entries))
				break
			}
			t.merge(size)
			if t.seals {
				l.sealed.Store(true) // from here on, whoever waits behind it; a commit that fails stops the ledger anyhow
			}
			b.jobs = append(b.jobs, j)
			waiting = waiting[1:]
			if j.alone {
				b.alone = true
				break
			}
			continue
		}
		if l.sealed.Load() {
			j.done <- ErrSealed
			waiting = waiting[1:]
			continue
		}
		if h := l.Halted(); h != nil && j.at == 0 {
			j.done <- h.err()
			waiting = waiting[1:]
			continue
		}
		if j.at == 0 {
			if err := l.clock(b.iat); err != nil {
				j.done <- err
				waiting = waiting[1:]
				continue
			}
		}
		for ; j.at < len(j.offers); j.at++ {
			if b.full() {
				return waiting
			}
			o := j.offers[j.at]
			if b.touched[o.record] {
				return waiting // its version before is in this batch and not signed yet
			}
			if err := l.prepare(b, o); err != nil {
				if errors.Is(err, ErrStorage) {
					l.fail(err)
					j.done <- *l.failed.Load()
					return waiting[1:]
				}
				o.err = err
			}
		}
		b.jobs = append(b.jobs, j)
		waiting = waiting[1:]
	}
	return waiting
}

// readAnew has what is looked up from now on read as it is committed by then.
func (b *batch) readAnew() {
	if b.read != nil {
		b.read.Discard()
		b.read = nil
	}
}

func (b *batch) full() bool {
	return len(b.entries) >= maxBatchEntries || b.bytes >= maxBatchBytes || len(b.sets)+len(b.postings) >= maxBatchKeys
}

// set adds a write to the batch; a nil value deletes.
func (b *batch) set(key, value []byte) {
	b.sets[string(key)] = value
	b.bytes += writeSize(key, value)
}

// writeSize is what Badger counts one write as, or a little more.
func writeSize(key, value []byte) int {
	if len(value) >= valueThreshold {
		return len(key) + 32 // it goes beside the tree
	}
	return len(key) + len(value) + 16
}

// clock refuses an entry at a time, in Unix seconds, that is plainly wrong, and keeps
// the newest that is not.
func (l *Ledger) clock(at int64) error {
	if l.o.Clock != nil {
		var newest time.Time
		if l.w.newest > 0 {
			newest = time.Unix(l.w.newest, 0)
		}
		if why := l.o.Clock(time.Unix(at, 0), newest); why != "" {
			return fmt.Errorf("%w, and nothing is signed by it: %s", ErrClock, why)
		}
	}
	l.w.newest = max(l.w.newest, at)
	return nil
}

// Room returns an error wrapping [ErrFull] when the disk has less free space than
// Options.MinFree, so that nothing would be written.
func (l *Ledger) Room() error { return l.roomOnDisk() }

func (l *Ledger) roomOnDisk() error {
	if l.o.InMemory {
		return nil
	}
	free, err := freeDisk(l.o.Dir)
	if err != nil {
		return fmt.Errorf("%w: read free space: %w", ErrStorage, err)
	}
	if free < l.o.MinFree {
		// Badger maps its files: running out under it would end the process
		// by a signal rather than an error.
		return fmt.Errorf("%w: %d MiB free, want %d MiB", ErrFull, free>>20, l.o.MinFree>>20)
	}
	return nil
}

// buildAll finds what stands in the log for the batch's entries, those added since it was
// called last, on all cores. Events, which travel alone, are signed; of records the
// checkpoint is.
func (l *Ledger) buildAll(b *batch) {
	added := b.entries[b.built:]
	onAllCores(len(added), 8, func(i int) { l.build(added[i]) })
	b.built = len(b.entries)
}

func (l *Ledger) build(p *pending) {
	if p.event == nil {
		p.entry, p.err = record.EntryOf(p.claims, l.key, p.layout, p.body, p.stored.seed)
		p.head.entry = p.entry
		return
	}
	t, err := record.BuildEvent(*p.event, l.key)
	if err != nil {
		p.err = err
		return
	}
	sig, err := l.sign.Sign(t.SigningInput())
	if err != nil {
		p.err = fmt.Errorf("sign entry: %w", err)
		return
	}
	p.token, p.entry = t.Seal(sig), t.Entry()
}

// assemble turns the entries into what is stored.
func (l *Ledger) assemble(b *batch) {
	if err := b.storeGate(); err != nil {
		l.fail(err)
		return
	}
	b.postings.write(l, func(k, v []byte) { b.sets[string(k)] = v })
	for _, p := range b.entries {
		if p.err != nil {
			// A body the gate took but no token can be made of, or a key that
			// does not sign. The indexes of the batch are given out already,
			// so the ledger cannot go on without this entry.
			l.fail(fmt.Errorf("entry %d: %w", p.index, p.err))
			return
		}
		if p.event != nil {
			b.sets[string(eventKindKey(p.event.Kind, p.index))] = []byte{}
		} else {
			b.sets[string(headKey(p.stored.record))] = p.head.encode()
		}
	}
	l.storeEntries(b)
}

// commit hands the batch to Badger and returns; b.finished tells the end.
//
// Nothing of the batch is durable before txn.Commit returns, and then all of
// it is: a crash before leaves the log at the last checkpoint, after it at the
// new one. There is no state between for recovery to mend.
func (l *Ledger) commit(b *batch) {
	b.readAnew()
	if l.failed.Load() != nil {
		l.finish(b, *l.failed.Load())
		return
	}
	l.w.inflight = b
	l.mu.RLock()
	tree, old := l.tree, l.note
	l.mu.RUnlock()
	go func() {
		b.tree, b.note = tree, old
		log := map[string][]byte{}
		if len(b.entries) > 0 {
			hashes := make([]tlog.Hash, len(b.entries))
			for i, p := range b.entries {
				hashes[i] = p.entry
			}
			if l.beside != nil {
				are := make([]placed, len(b.entries))
				for i, p := range b.entries {
					are[i] = p.placed()
				}
				if err := l.beside.places.write(tree.Size(), are); err != nil {
					l.finish(b, err)
					return
				}
			}
			b.tree = tree.Clone()
			// Not into b.sets: the writer reads those for the next batch.
			for _, t := range b.tree.Append(hashes) {
				log[string(tileKey(t.Level, t.Index))] = t.Data
			}
			var err error
			if b.note, err = l.signCheckpoint(b.tree); err != nil {
				l.finish(b, err)
				return
			}
			log[string(keyCheckpoint)] = encodeCheckpoint(tlog.Checkpoint{Size: b.tree.Size(), Root: b.tree.Root()}, b.note)
			if b.tree.Size() == uint64(len(b.entries)) {
				log[string(keyLayout)] = []byte{layoutVersion}
			}
		}
		l.finish(b, l.store(b.tree, b.sets, log))
	}()
}

// finish makes a durable batch visible, then tells those who wait for it.
func (l *Ledger) finish(b *batch, err error) {
	if err == nil {
		l.mu.Lock()
		l.tree, l.note = b.tree, b.note
		if len(b.entries) > 0 && !l.doubt {
		}
		if len(b.feeds) > 0 {
			l.feeds = slices.Clone(l.feeds) // somebody may be walking the old one
			for n, d := range b.feeds {
				l.feeds[n] = l.feeds[n].with(d)
			}
		}
		for _, f := range b.after {
			f()
		}
		close(l.changed)
		l.changed = make(chan struct{})
		l.mu.Unlock()
	} else {
		l.fail(err)
		err = *l.failed.Load()
	}
	for _, j := range b.jobs {
		j.done <- err
	}
	b.finished <- err
}

// lookup reads a key as it will stand when the batches under way are durable.
func (l *Ledger) lookup(b *batch, key []byte) ([]byte, error) {
	for _, q := range []*batch{b, l.w.inflight} {
		if q == nil {
			continue
		}
		if v, ok := q.sets[string(key)]; ok {
			if v == nil {
				return nil, ErrNotFound
			}
			return v, nil
		}
	}
	if b.fresh {
		var v []byte
		err := l.db.View(func(txn *badger.Txn) (err error) {
			v, err = valueOf(txn, key)
			return err
		})
		if err != nil {
			err = l.unread(key, err)
		}
		if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrStorage) {
			err = fmt.Errorf("%w: %w", ErrStorage, err) // of the transaction itself
		}
		return v, err
	}
	// A transaction for each of a thousand keys costs as much as the reading. What was
	// committed since this one began is in the batch in flight, see readAnew.
	if b.read == nil {
		if l.db.IsClosed() {
			return nil, fmt.Errorf("%w: the store is closed", ErrStorage)
		}
		b.read = l.db.NewTransaction(false)
	}
	v, err := valueOf(b.read, key)
	if err != nil {
		err = l.unread(key, err)
	}
	return v, err
}

func (l *Ledger) newSeed() (s record.Seed, err error) {
	if _, err := io.ReadFull(l.o.Rand, s[:]); err != nil {
		return s, fmt.Errorf("read randomness: %w", err)
	}
	return s, nil
}
