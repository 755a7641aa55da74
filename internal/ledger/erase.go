package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A record is erased by taking body and seed of each of its versions out of the store,
// and out of every file of it. What is left of a version is a stub:
//
//	W index8   4 entry32 record16 version8 prev32 prevIndex8 standard4 iat8
//
// so that the log still counts and proves it, its history can be listed, and nothing of
// what it said can be found: of digests whose salts are gone nobody can tell what was
// digested.
//
// Badger keeps what a key held before until some compaction, and drops all of it only
// together with the key. So the entries that share a block with one that is erased are
// written once more, each under a key of its own:
//
//	M index8   an entry, as under e
//
// and the block is dropped. What is to be dropped is emptied and noted in the same
// transaction:
//
//	O key      a key whose older bytes may still be on this disk
//
// and dropped behind it; what a crash interrupts is done when the ledger is opened.
const kindErased byte = 4

// layoutErased is the layout of a store in which something was erased: a program that
// does not know of it would take what is missing for damage.
const layoutErased = 3

// ErrErased: the entry is of a version of a record that was erased. Its hash stands in
// the log, and nothing else is kept of it.
var ErrErased = errors.New("erased by the council that held it")

// ErrLive: the record is there still. It has to be deleted before it can be erased.
var ErrLive = errors.New("is not deleted")

// A stub is what is left of an erased version.
type stub struct {
	entry     tlog.Hash
	record    [16]byte
	version   uint64
	prev      tlog.Hash // zero at version 1
	prevIndex uint64
	standard  uint32
	issuedAt  int64
}

const stubLen = 1 + 32 + 16 + 8 + 32 + 8 + 4 + 8

func (s stub) encode() []byte {
	b := append(make([]byte, 0, stubLen), kindErased)
	b = append(append(b, s.entry[:]...), s.record[:]...)
	b = append(binary.BigEndian.AppendUint64(b, s.version), s.prev[:]...)
	b = binary.BigEndian.AppendUint64(b, s.prevIndex)
	b = binary.BigEndian.AppendUint32(b, s.standard)
	return binary.BigEndian.AppendUint64(b, uint64(s.issuedAt))
}

func decodeStub(b []byte) (s stub, err error) {
	if len(b) != stubLen || b[0] != kindErased {
		return s, fmt.Errorf("%w: what is left of an erased entry has %d bytes", ErrDamaged, len(b))
	}
	s.entry, s.record = tlog.Hash(b[1:33]), [16]byte(b[33:49])
	s.version = binary.BigEndian.Uint64(b[49:])
	s.prev = tlog.Hash(b[57:89])
	s.prevIndex = binary.BigEndian.Uint64(b[89:])
	s.standard = binary.BigEndian.Uint32(b[97:])
	s.issuedAt = int64(binary.BigEndian.Uint64(b[101:]))
	return s, nil
}

// A place is where a version stands among those of its record.
type place struct {
	stub
	deletion, erased bool
}

// placeOf reads a stored version of a record, erased or not; its entry only if it was.
func placeOf(raw []byte) (place, error) {
	if len(raw) > 0 && raw[0] == kindErased {
		s, err := decodeStub(raw)
		return place{stub: s, erased: true}, err
	}
	r, err := decodeStoredRecord(raw)
	if err != nil {
		return place{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return place{
		stub:     stub{record: r.record, version: r.version, prev: r.prev, prevIndex: r.prevIndex, standard: r.standard, issuedAt: r.issuedAt},
		deletion: r.op == record.Delete,
	}, nil
}

func movedKey(index uint64) []byte { return numKey('M', index) }
func stubKey(index uint64) []byte  { return numKey('W', index) }
func purgeKey(key []byte) []byte   { return append([]byte{'O'}, key...) }

// An Erasure is what erasing a record did, or would do.
type Erasure struct {
	Record   name.Record
	Versions []Logged // whose bodies are erased by it, the newest first
	Events   []uint64 // log indexes of what says so; none when there was nothing to erase
	Orders   []Order
}

// An Order is to delete what is held of an erased record. Whoever may read the feed
// gets it as it gets a withdrawal, and receipts it.
type Order struct {
	Agreement name.Agreement
	To        []name.Council
	Index     uint64 // of the order in the log; 0 when it is not given yet

	feed uint32 // its number: while a new text takes the place of another both have one
}

// A storedVersion is one version of a record as it lies on disk.
type storedVersion struct {
	Logged
	stub stub // what is left of it, or would be
}

// chain returns the versions of a record, the newest first, without building their
// tokens, so that damaged ones are found too. It is for a job that is alone.
func (t *tx) chain(h head) (out []storedVersion, err error) {
	index, entry := h.index, h.entry
	for version := h.version; version >= 1; version-- {
		raw, err := t.stored(index)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", index, err)
		}
		p, err := placeOf(raw)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", index, err)
		}
		if !p.erased {
			p.entry = entry
		}
		if p.version != version || version > 1 && p.prevIndex >= index {
			return nil, fmt.Errorf("entry %d: %w: versions do not follow each other", index, ErrDamaged)
		}
		s, err := t.l.logged(index, p)
		if err != nil {
			return nil, err
		}
		out = append(out, storedVersion{s, p.stub})
		index, entry = p.prevIndex, p.prev
	}
	return out, nil
}

// maxEraseBytes ends what one transaction erases: each version may have fifteen others
// beside it that are written again.
const maxEraseBytes = 1 << 20

// Erase takes the bodies and seeds of all versions of a deleted record out of the store
// and its files, logs that, and orders whoever may hold something of it under an open
// feed to delete it. The reason goes into the log: it must not name a person. With try
// set it changes nothing, and says what it would do. Erasing again what was erased, and
// everywhere ordered, does nothing.
//
// It returns ErrNotFound when there never was such a record, ErrLive when it is not
// deleted. When it returns nil nothing of the bodies and seeds is in a file of the store.
func (l *Ledger) Erase(ctx context.Context, r name.Record, reason string, try bool) (Erasure, error) {
	out, err := l.EraseUpToFiles(ctx, r, reason, try)
	if err == nil && !try {
		err = l.Purge(ctx)
	}
	return out, err
}

// EraseUpToFiles is [Ledger.Erase] for who erases many: what has to leave the files it
// notes, and whoever calls it calls [Ledger.Purge] behind the last. Should that fail, it
// is done when the ledger is opened, and every hour.
func (l *Ledger) EraseUpToFiles(ctx context.Context, r name.Record, reason string, try bool) (Erasure, error) {
	out, err := l.eraseRecord(ctx, r, reason, try)
	if err != nil {
		err = fmt.Errorf("erase record %s: %w", r, err)
	}
	return out, err
}

func (l *Ledger) eraseRecord(ctx context.Context, r name.Record, reason string, try bool) (Erasure, error) {
	out := Erasure{Record: r}
	for more := true; more; {
		more = false
		var listed []storedVersion
		err := l.do(ctx, true, func(t *tx) error {
			raw, err := t.lookup(headKey(r.Bytes()))
			if err != nil {
				return err
			}
			h, err := decodeHead(raw)
			if err != nil {
				return err
			}
			if h.live && !try {
				return ErrLive
			}
			todo, err := t.chain(h)
			if err != nil {
				return err
			}
			newest := h.index
			if i := slices.IndexFunc(todo, func(s storedVersion) bool { return !s.Deleted }); i >= 0 {
				newest = todo[i].Index
			}
			todo = slices.DeleteFunc(todo, func(s storedVersion) bool { return s.Erased || s.Deleted })
			orders, err := t.orders(r, len(todo) > 0)
			if err != nil {
				return err
			}
			done := todo
			if !try && len(todo) > 0 {
				p, n, err := t.eraseVersions(r, todo, reason)
				if err != nil {
					return err
				}
				out.Events = append(out.Events, p.index)
				done, more = todo[:n], n < len(todo)
				listed = done
			}
			for _, s := range done {
				out.Versions = append(out.Versions, s.Logged)
			}
			if out.Orders = orders; try || more {
				return nil
			}
			return t.order(r, out.Orders, newest)
		})
		if err == nil {
			err = l.erasures.append(listed)
		}
		if err != nil {
			return out, err
		}
	}
	slices.SortFunc(out.Versions, func(a, b Logged) int { return int(b.Version) - int(a.Version) })
	return out, nil
}

// eraseVersions leaves stubs of versions, as many as one transaction holds, and logs it.
// It returns of how many.
func (t *tx) eraseVersions(r name.Record, todo []storedVersion, reason string) (*pending, int, error) {
	said := event.Erasure{Record: r, Reason: reason}
	n := 0
	for ; n < len(todo) && (n == 0 || t.size() < maxEraseBytes); n++ {
		if err := t.unname(todo[n].Index); err != nil {
			return nil, 0, err
		}
		if err := t.eraseEntry(todo[n].Index, todo[n].stub); err != nil {
			return nil, 0, err
		}
		said.Entries = append(said.Entries, todo[n].Index)
	}
	slices.Sort(said.Entries)
	t.set(keyLayout, []byte{layoutErased})
	t.after = append(t.after, t.l.blocks.forget)
	return t.event(event.KindErasure, said.Body()), n, nil
}

// eraseEntry puts a stub in the place of an entry.
func (t *tx) eraseEntry(index uint64, s stub) error {
	first := index &^ (blockSize - 1)
	block, err := t.lookup(entryKey(first))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if len(block) > 0 && block[0] == kindBlock {
		entries, err := t.l.codec.decode(block)
		if err != nil {
			return fmt.Errorf("entry %d: %w: %w", index, ErrDamaged, err)
		}
		for i, e := range entries {
			t.set(movedKey(first+uint64(i)), e)
		}
		t.remove(movedKey(index)) // before it was ever written
		if err := t.purge(entryKey(first)); err != nil {
			return err
		}
	}
	for _, key := range [][]byte{entryKey(index), movedKey(index), signatureKey(index)} {
		if b, err := t.lookup(key); errors.Is(err, ErrNotFound) || err == nil && len(b) == 0 {
			continue
		} else if err != nil {
			return err
		}
		if b, staged := t.sets[string(key)]; staged && len(b) > 0 {
			// Written in this transaction for the sake of another entry of the block.
			if _, err := t.l.lookup(t.b, key); errors.Is(err, ErrNotFound) {
				delete(t.sets, string(key))
				continue
			}
		}
		if err := t.purge(key); err != nil {
			return err
		}
	}
	t.set(stubKey(index), s.encode())
	return nil
}

// purge empties a key, and notes that what it held is to leave the disk.
func (t *tx) purge(key []byte) error {
	t.set(purgeKey(key), []byte{})
	return t.setParts(key, []byte{})
}

// stored is View.stored as the batches under way leave it, for a job that is alone.
func (t *tx) stored(index uint64) ([]byte, error) {
	first := index &^ (blockSize - 1)
	block, err := t.lookup(entryKey(first))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if len(block) > 0 && block[0] == kindBlock {
		entries, err := t.l.codec.decode(block)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return entries[index-first], nil
	}
	return looseEntry(index, t.lookupParts)
}

// looseEntry reads an entry that is in no block.
func looseEntry(index uint64, read func(key []byte) ([]byte, error)) ([]byte, error) {
	for _, key := range [][]byte{entryKey(index), movedKey(index), stubKey(index)} {
		b, err := read(key)
		if err == nil && len(b) > 0 || err != nil && !errors.Is(err, ErrNotFound) {
			return b, err
		}
	}
	return nil, ErrNotFound
}

// orders returns the orders that are to be given: one for each open feed whose records
// are copied and in which the record stood, or whose receiver has taken it over: that stands
// in no feed any more once it is deleted here. Who took it over under an agreement that is
// over is ordered too, see obey.go. With anew set it is given once more where it was given
// before.
func (t *tx) orders(r name.Record, anew bool) (out []Order, err error) {
	for _, f := range t.l.Feeds() {
		if f.Agreement == "" || !f.copied() {
			continue
		}
		if f.closed {
			o, err := t.orderAfter(f, r, anew)
			if err != nil {
				return nil, err
			}
			if o != nil {
				out = append(out, *o)
			}
			continue
		}
		m, err := t.member(f, r)
		if errors.Is(err, ErrNotFound) {
			taken, err := f.taken(t.lookup, r)
			if err != nil {
				return nil, err
			}
			if taken {
				out = append(out, Order{Agreement: f.Agreement, To: f.To, feed: f.number})
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if given, err := t.ordered(f, m); err != nil {
			return nil, err
		} else if given && !anew {
			continue // and no version has come since
		}
		out = append(out, Order{Agreement: f.Agreement, To: f.To, feed: f.number})
	}
	return out, nil
}

// ordered reports whether what stands of a record in a feed is an order to erase it, which no
// receiver has refused.
func (t *tx) ordered(f *Feed, m membership) (bool, error) {
	if m.kind != itemWithdraw {
		return false, nil
	}
	kind, _, err := t.takenBack(m.index)
	if err != nil || kind != event.KindErasureOrder {
		return false, err
	}
	refused, err := t.isRefused(f, m.index)
	return !refused, err
}

func (t *tx) member(f *Feed, r name.Record) (membership, error) {
	raw, err := t.lookup(memberKey(f.number, r.Bytes()))
	if err != nil {
		return membership{}, err
	}
	return decodeMembership(raw)
}

// takenBack reads the event that took a record back.
func (t *tx) takenBack(index uint64) (kind string, w event.Withdrawal, err error) {
	err = t.l.View(func(v *View) error {
		ev, _, err := v.Event(index)
		if err == nil {
			kind = ev.Kind
			w, err = event.ParseTakenBack(ev.Kind, ev.Body)
		}
		return err
	})
	return kind, w, err
}

// order logs orders, each of which takes the place of the withdrawal in its feed, where there
// is one. newest is the entry of the record's newest version that said something.
func (t *tx) order(r name.Record, orders []Order, newest uint64) error {
	for i := range orders {
		o := &orders[i]
		for _, f := range t.l.Feeds() {
			if f.number != o.feed {
				continue
			}
			w, d := event.Withdrawal{Agreement: f.Agreement, Record: r, Entry: newest}, feedDelta{}
			if m, err := t.member(f, r); err == nil {
				if m.kind == itemPut { // of a feed that is closed: it was let out until the end
					w.Entry, d.records = m.index, -1
				} else if _, w, err = t.takenBack(m.index); err != nil {
					return err
				}
				t.remove(feedItemKey(f.number, m.index))
				if err := t.notRefused(f, m.index); err != nil {
					return err
				}
			} else if !errors.Is(err, ErrNotFound) {
				return err
			}
			w.Version, w.Reason = uint64(f.Version), WithdrawnErased
			o.Index = t.event(event.KindErasureOrder, event.ErasureOrder{Withdrawal: w}.Body()).index
			t.set(feedItemKey(f.number, o.Index), encodeItem(itemWithdraw, r.Bytes()))
			t.set(memberKey(f.number, r.Bytes()), membership{itemWithdraw, o.Index}.encode())
			d.end = o.Index + 1
			t.feed(f.number, d)
			if f.closed {
				if err := t.address(o.Index, o.To); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Purge removes from the files on disk what was replaced, or taken out, and must not stay
// there until some compaction: what an erasure takes out is removed at once; the earlier
// text of a record that a partner sent anew, and an offer that is held back no more, when
// Purge is called next or the ledger is opened.
func (l *Ledger) Purge(ctx context.Context) error {
	if err := l.erasures.sync(); err != nil {
		return err
	}
	// A place that was filled again before what it held has left the disk is emptied into
	// its twin, which has left it by then, and follows.
	moved, err := l.purge(ctx)
	if err == nil && moved > 0 {
		_, err = l.purge(ctx)
	}
	return err
}

// purge drops what is noted, and returns how many holdings it moved to the twin of their
// place.
func (l *Ledger) purge(ctx context.Context) (moved int, err error) {
	for from := []byte{'O'}; ; {
		var notes [][]byte
		err := l.View(func(v *View) error {
			it := v.list([]byte{'O'}, keysOnly)
			defer it.Close()
			for it.Seek(from); it.Valid() && len(notes) < 1000; it.Next() {
				notes = append(notes, it.Item().KeyCopy(nil))
			}
			return nil
		})
		if err != nil || len(notes) == 0 {
			return moved, err
		}
		from = append(notes[len(notes)-1], 0)
		var again [][]byte
		err = l.do(ctx, true, func(t *tx) error {
			var drop [][]byte
			again = nil
			for _, n := range notes {
				stays, move, err := l.live(n[1:])
				if err != nil {
					return err
				}
				if move {
					again = append(again, n[1:])
				}
				if stays {
					continue
				}
				drop = append(drop, n[1:])
				t.remove(n)
			}
			if len(drop) == 0 {
				return nil
			}
			return l.dropPrefixes(drop...)
		})
		if err == nil {
			err = l.moveHoldings(ctx, again)
		}
		if err != nil {
			return moved, err
		}
		moved += len(again)
	}
}

// moveHoldings moves holdings to their other place, and notes that the one is emptied.
func (l *Ledger) moveHoldings(ctx context.Context, keys [][]byte) error {
	for _, key := range keys {
		err := l.do(ctx, false, func(t *tx) error {
			b, err := t.lookupParts(key)
			if errors.Is(err, ErrNotFound) || err == nil && len(b) == 0 {
				return nil
			}
			if err != nil {
				return err
			}
			if other, err := t.lookup(twin(key)); err == nil && len(other) > 0 {
				return nil // moved on meanwhile
			} else if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			if err := t.setParts(twin(key), b); err != nil {
				return err
			}
			return t.purge(key)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// live says what is to be done with a key that is noted as to be dropped: whether it
// stays, since it was written again, and whether that is a holding which can be moved. An
// entry is never written again: what stands there a crash has brought back.
func (l *Ledger) live(key []byte) (stays, move bool, err error) {
	if key[0] != 'H' && key[0] != 'x' {
		return false, false, nil
	}
	err = l.db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues, o.Prefix = false, key
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid() && !stays; it.Next() {
			stays = it.Item().ValueSize() > 0
		}
		other := twin(key)
		if !stays || other == nil {
			return nil
		}
		source, r := binary.BigEndian.Uint32(key[1:])&^secondSlot, [16]byte(key[5:])
		at, _, err := heldAt(source, r, func(k []byte) ([]byte, error) { return valueOf(txn, k) })
		if err != nil {
			return err
		}
		if !bytes.Equal(at, key) {
			stays = false // an older version, which a crash has brought back
			return nil
		}
		move = true
		return nil
	})
	return stays, move, err
}
