package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A version of a record that partners gave back, each with the fields that it was let have, is stored
// with its token, since the seed that its salts came of is lost:
//
//	5 length4 entry… token…
//
// where entry is the record as under e with a seed of zeros, length bytes long, and token is packed alone
// (package record) and whole.
const kindRestored byte = 5

// layoutRestored is the layout of a store in which there is such a version.
const layoutRestored = 4

// ErrLacks: of a version that was given back some fields are missing, since no partner was let have them.
var ErrLacks = errors.New("no partner has all of its fields")

// Restore puts back an entry of our log that is damaged, as it is stored in a copy of the folder. The error wraps
// ErrDamaged when it does not hash to its leaf, ErrNotFound when the entry is not damaged.
func (l *Ledger) Restore(ctx context.Context, index uint64, stored []byte) error {
	return l.restore(ctx, index, func(v *View) ([]byte, error) { return stored, nil })
}

// RestoreTokens puts back a version of a record from what partners hold of it: tokens of the same entry, each with
// the fields that its holder was let have. The error wraps ErrLacks when together they have not all of them; how many
// are missing is noted with the damage then.
func (l *Ledger) RestoreTokens(ctx context.Context, index uint64, tokens ...*record.Token) error {
	lacks := 0
	err := l.restore(ctx, index, func(v *View) ([]byte, error) {
		leaf, err := v.leaf(index)
		if err != nil {
			return nil, err
		}
		tokens = slices.DeleteFunc(slices.Clone(tokens), func(t *record.Token) bool { return tlog.Leaf(t.Entry()) != leaf })
		if len(tokens) == 0 {
			return nil, fmt.Errorf("%w: what was given back does not hash to its leaf in the log", ErrDamaged)
		}
		whole, err := record.Merge(tokens...)
		if err != nil {
			return nil, err
		}
		view, err := whole.View()
		if err != nil {
			return nil, err
		}
		if lacks = view.Withheld; lacks > 0 {
			return nil, ErrLacks
		}
		return l.encodeRestored(v, index, whole, view)
	})
	if errors.Is(err, ErrLacks) {
		l.noteEntries([]uint64{index}, func(e *DamagedEntry) { e.Lacks = lacks })
	}
	return err
}

func (l *Ledger) encodeRestored(v *View, index uint64, t *record.Token, view *record.View) ([]byte, error) {
	std, err := l.known(view.Standard)
	if err != nil {
		return nil, err
	}
	l.mu.RLock()
	key := slices.Index(l.standards.keys, t.KeyID())
	l.mu.RUnlock()
	if key < 0 {
		return nil, fmt.Errorf("%w: it is of a record key that is not known here", ErrDamaged)
	}
	s := &storedRecord{op: view.Op, standard: std.number, key: uint32(key), issuedAt: view.IssuedAt, version: view.Version, record: view.Record.Bytes(), prev: view.Prev}
	if view.Op == record.Put {
		s.body = strictjson.Canonical(view.Body)
	}
	if s.version > 1 {
		if s.prevIndex, err = v.indexOf(tlog.Leaf(view.Prev), index); err != nil {
			return nil, err
		}
	}
	packed, err := record.PackAlone(t)
	if err != nil {
		return nil, err
	}
	inner := s.encode()
	b := binary.BigEndian.AppendUint32([]byte{kindRestored}, uint32(len(inner)))
	return append(append(b, inner...), packed...), nil
}

// indexOf returns the newest place of a leaf in the log before an index.
func (v *View) indexOf(leaf tlog.Hash, before uint64) (uint64, error) {
	for i := before; i > 0; i-- {
		if h, err := v.leaf(i - 1); err != nil {
			return 0, err
		} else if h == leaf {
			return i - 1, nil
		}
	}
	return 0, fmt.Errorf("%w: the version before it is not in the log", ErrDamaged)
}

// restore puts back an entry that make gives, once it is held against its leaf. The head of a record is moved
// to it when nothing newer is known.
func (l *Ledger) restore(ctx context.Context, index uint64, stored func(*View) ([]byte, error)) error {
	if _, damaged := l.damagedEntry(index); !damaged {
		return fmt.Errorf("entry %d is not damaged: %w", index, ErrNotFound)
	}
	var raw []byte
	err := l.View(func(v *View) (err error) {
		if raw, err = stored(v); err != nil {
			return err
		}
		leaf, err := v.leaf(index)
		if err != nil {
			return err
		}
		entry, err := l.entryOf(raw)
		if err != nil || tlog.Leaf(entry) != leaf {
			return fmt.Errorf("%w: what was given back does not hash to its leaf in the log", ErrDamaged)
		}
		return nil
	})
	if err == nil {
		err = l.do(ctx, true, func(t *tx) error { return t.restore(index, raw) })
	}
	if err != nil {
		return fmt.Errorf("restore entry %d: %w", index, err)
	}
	d := *l.Damaged()
	d.Entries = slices.DeleteFunc(slices.Clone(d.Entries), func(e DamagedEntry) bool { return e.Index == index })
	return l.damageSoon(&d)
}

func (t *tx) restore(index uint64, raw []byte) error {
	if err := t.setParts(entryKey(index), raw); err != nil {
		return err
	}
	if raw[0] == kindRestored {
		t.set(keyLayout, []byte{layoutRestored})
	}
	if raw[0] == kindEvent {
		_, ev, err := record.ParseEvent(raw[1:])
		if err == nil {
			t.set(eventKindKey(ev.Kind, index), []byte{})
			indexEvent(t.set, index, ev.IssuedAt, ev.Kind, ev.Body)
		}
		return nil
	}
	h, err := t.l.headOf(index, raw)
	if err != nil {
		return err
	}
	p, err := placeOf(raw)
	if err != nil {
		return err
	}
	b, err := t.lookup(headKey(p.record))
	var was head
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return err
	default:
		if was, err = decodeHead(b); err != nil {
			return err
		}
	}
	if b != nil && was.index > index {
		return nil
	}
	// The head was lost with the entry, and made anew from an older version, or not at all.
	t.set(headKey(p.record), h.encode())
	counts := map[uint32]int64{}
	if b != nil && was.live {
		t.remove(standardIndexKey(was.standard, was.index))
		counts[was.standard]--
	}
	if h.live {
		t.set(standardIndexKey(h.standard, index), p.record[:])
		counts[h.standard]++
	}
	for std, d := range counts {
		n, err := t.lookup(numKey4('o', std))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		c := uint64(0)
		if len(n) == 8 {
			c = binary.BigEndian.Uint64(n)
		}
		t.set(numKey4('o', std), binary.BigEndian.AppendUint64(nil, c+uint64(d)))
	}
	return nil
}

func (l *Ledger) damagedEntry(index uint64) (DamagedEntry, bool) {
	if d := l.Damaged(); d != nil {
		for _, e := range d.Entries {
			if e.Index == index {
				return e, true
			}
		}
	}
	return DamagedEntry{}, false
}

// noteEntries changes what is said of damaged entries; it is on disk then.
func (l *Ledger) noteEntries(indexes []uint64, change func(*DamagedEntry)) {
	d := l.Damaged()
	if d == nil || len(indexes) == 0 {
		return
	}
	c := *d
	c.Entries = slices.Clone(c.Entries)
	for i := range c.Entries {
		if slices.Contains(indexes, c.Entries[i].Index) {
			change(&c.Entries[i])
		}
	}
	if slices.Equal(c.Entries, d.Entries) {
		return
	}
	if err := l.keepDamage(&c); err != nil {
		l.fail(err)
	}
}

// Stored returns an entry as it is stored, checked against its leaf: what [Ledger.Restore] of another
// copy of the ledger takes.
func (v *View) Stored(index uint64) ([]byte, error) {
	if _, _, err := v.Entry(index); err != nil {
		return nil, err
	}
	return v.raw(index)
}

// Again has what is missing of a copy sent once more: the copy goes back to the first record of it that is
// damaged. What is held stays.
func (l *Ledger) Again(ctx context.Context, s *Source) error {
	d := l.Damaged()
	if d == nil {
		return nil
	}
	return l.do(ctx, true, func(t *tx) error {
		c, err := t.current(s)
		if err != nil || c.Ended || c.Ending {
			return err
		}
		from, some := c.Cursor, false
		for _, m := range d.Missing {
			if m.From == s.From && m.Agreement == s.Agreement {
				from, some = 0, true
				c.Records = max(0, c.Records-m.Records)
			}
		}
		for _, h := range d.Holdings {
			if h.From != s.From || h.Agreement != s.Agreement {
				continue
			}
			from, some = min(from, h.Index), true
			place := positionKey('P', c.number, h.Index)
			if _, err := t.lookup(place); err == nil {
				t.remove(place)
				c.Records = max(0, c.Records-1)
			} else if !errors.Is(err, ErrNotFound) {
				return err
			}
		}
		if !some {
			return nil
		}
		c.Cursor = min(c.Cursor, from)
		c.AheadFrom, c.AheadTo = 0, 0 // some of it may have gone
		return t.source(c)
	})
}

// healed notes that records of a source were sent once more, or that its feed was read to the end, so
// that the sender has no more of what was lost.
func (l *Ledger) healed(s *Source, put []Put, gone []Withdrawal, all bool) error {
	d := l.Damaged()
	if d == nil || len(d.Holdings)+len(d.Missing) == 0 {
		return nil
	}
	came := map[name.Record]bool{}
	for _, p := range put {
		came[p.Record] = true
	}
	for _, w := range gone {
		came[w.Record] = true
	}
	c := *d
	c.Holdings = slices.DeleteFunc(slices.Clone(d.Holdings), func(h DamagedHolding) bool {
		return h.From == s.From && h.Agreement == s.Agreement && (came[h.Record] || all && h.Index >= s.Cursor)
	})
	c.Missing = slices.DeleteFunc(slices.Clone(d.Missing), func(m MissingHoldings) bool {
		return m.From == s.From && m.Agreement == s.Agreement && all
	})
	if len(c.Holdings) == len(d.Holdings) && len(c.Missing) == len(d.Missing) {
		return nil
	}
	return l.keepDamage(&c)
}

// Settled lets go of what cannot be named of the damage, once a person has seen it: the notes. What is named stays
// until it is restored.
func (l *Ledger) Settled() error {
	d := l.Damaged()
	if d == nil {
		return nil
	}
	c := *d
	c.Notes = nil
	return l.keepDamage(&c)
}

// ReadCopy opens another copy of a council's ledger, such as one restored from a backup, calls f with it as it stands
// there, and closes it. Nobody else may have it open. Nothing is signed in it.
func ReadCopy(o Options, f func(*View) error) error {
	if o.Log == nil {
		o.Log = discard()
	}
	o.MinFree = 1
	db, beside, err := openStore(Options{Dir: o.Dir, EncryptionKey: o.EncryptionKey, Log: o.Log, MinFree: 1})
	if err != nil {
		return err
	}
	l := &Ledger{o: o, db: db}
	err = db.View(func(txn *badger.Txn) error {
		if err := l.loadStandards(txn); err != nil {
			return err
		}
		if err := l.loadKeyIDs(txn); err != nil {
			return err
		}
		var err error
		if l.tree, l.note, err = l.loadLog(txn); err != nil {
			return err
		}
		v := &View{l: l, txn: txn, cp: tlog.Checkpoint{Origin: o.Council.Origin(), Size: l.tree.Size(), Root: l.tree.Root()}}
		return v.called(f)
	})
	return errors.Join(err, closeStore(db, beside))
}
