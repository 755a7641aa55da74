package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// ErrSealed: the council has ended, and its ledger with it. Everything in it is read and
// proved as before; nothing is signed any more.
var ErrSealed = errors.New("the ledger is sealed, since the council has ended")

// Seal writes the last entry of the ledger, addressed to councils. After it every write
// that would add an entry fails with ErrSealed, for good; cosignatures and receipts of
// others are still kept. same is called when nothing can come between any more: with an
// error of it nothing is sealed.
func (l *Ledger) Seal(ctx context.Context, s event.Sealed, same func(entries uint64) error, to ...name.Council) (index uint64, err error) {
	for _, c := range to {
		if _, err := l.OpenNotices(ctx, c); err != nil {
			return 0, err
		}
	}
	err = l.do(ctx, true, func(t *tx) error {
		if err := same(t.l.w.next); err != nil {
			return err
		}
		index = t.event(event.KindSealed, s.Body()).index
		t.seals = true
		return t.address(index, to)
	})
	if err != nil {
		return 0, fmt.Errorf("seal the ledger: %w", err)
	}
	return index, nil
}

// Sealed returns the last entry of a ledger that is sealed, false of one that is not.
func (v *View) Sealed() (s event.Sealed, index uint64, ok bool, err error) {
	v.EventsBack(event.KindSealed, func(i uint64) bool {
		index, ok = i, true
		return false
	})
	if !ok {
		return s, 0, false, nil
	}
	s, _, err = ReadEvent(v, index, event.KindSealed, event.ParseSealed)
	return s, index, true, err
}

// IsSealed reports whether the ledger takes no entry any more.
func (l *Ledger) IsSealed() bool { return l.sealed.Load() }

// loadSealed finds whether the ledger is sealed.
func (l *Ledger) loadSealed(txn *badger.Txn) {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: eventKindPrefix(event.KindSealed)})
	defer it.Close()
	if it.Rewind(); it.Valid() {
		l.sealed.Store(true)
	}
}

// A Former says where a record of ours was, in the log of a council that has ended.
type Former struct {
	Council name.Council `json:"council"`
	Record  name.Record  `json:"record"` // its id there
	Version uint64       `json:"version"`
	Entry   uint64       `json:"entry"` // of that version, in the log of the council
	Event   uint64       `json:"event"` // of ours, that says so
}

func formerKey(letter byte, r [16]byte, c name.Council) []byte {
	return append(append([]byte{'0', letter}, r[:]...), c...)
}

// TakeOver logs that records of a council that has ended go on here. Each is a record of
// ours that is there. What stands so already is left out; with nothing left nothing is
// logged, and logged is false.
func (l *Ledger) TakeOver(ctx context.Context, t event.TakenOver) (index uint64, logged bool, err error) {
	err = l.do(ctx, false, func(x *tx) error {
		index, logged = 0, false
		left := event.TakenOver{From: t.From, Size: t.Size, Root: t.Root}
		for i, r := range t.Of {
			if _, err := x.lookup(formerKey('o', r.Bytes(), t.From)); err == nil {
				continue
			} else if !errors.Is(err, ErrNotFound) {
				return err
			}
			if _, err := x.lookup(headKey(t.Records[i].Bytes())); err != nil {
				return fmt.Errorf("record %s: %w", t.Records[i], err)
			}
			left.Of, left.Records = append(left.Of, r), append(left.Records, t.Records[i])
			left.Versions, left.Entries, left.At = append(left.Versions, t.Versions[i]), append(left.Entries, t.Entries[i]), append(left.At, t.At[i])
		}
		if len(left.Of) == 0 {
			return nil
		}
		index, logged = x.event(event.KindTakenOver, left.Body()).index, true
		at := binary.BigEndian.AppendUint64(nil, index)
		for i, r := range left.Of {
			x.set(formerKey('o', r.Bytes(), t.From), at)
			x.set(formerKey('r', left.Records[i].Bytes(), ""), at)
		}
		return nil
	})
	if err != nil {
		return 0, false, fmt.Errorf("log what was taken over: %w", err)
	}
	return index, logged, nil
}

// Former returns where a record of ours was before, in the log of a council that has
// ended; ErrNotFound for one that began here.
func (v *View) Former(r name.Record) (o Former, err error) {
	b, err := v.value(formerKey('r', r.Bytes(), ""))
	if err != nil {
		return o, fmt.Errorf("where record %s was: %w", r, err)
	}
	t, at, err := v.takenOver(b)
	if err != nil {
		return o, err
	}
	i := slices.Index(t.Records, r)
	if i < 0 {
		return o, fmt.Errorf("%w: entry %d does not speak of record %s", ErrDamaged, at, r)
	}
	return Former{Council: t.From, Record: t.Of[i], Version: t.Versions[i], Entry: t.Entries[i], Event: at}, nil
}

// maxEarlier bounds how many steps a record is followed back through councils that have ended
// one after the other, beside the one that it was taken over from.
const maxEarlier = 16

// TakeEarlier logs where records of ours were before they came to the council that they were
// taken over from. Each was taken over. Left out is what stands so already, what would make a
// record pass through one council twice, or through us, and what goes further back than
// maxEarlier steps; with nothing left nothing is logged, and logged is false.
func (l *Ledger) TakeEarlier(ctx context.Context, t event.TakenEarlier) (index uint64, logged bool, err error) {
	err = l.do(ctx, false, func(x *tx) error {
		index, logged = 0, false
		left := event.TakenEarlier{From: t.From, Size: t.Size, Root: t.Root, By: t.By, Said: t.Said}
		if t.From == l.Council() {
			return nil
		}
		for i, r := range t.Records {
			if _, err := x.lookup(formerKey('r', r.Bytes(), "")); err != nil {
				return fmt.Errorf("where record %s was: %w", r, err)
			}
			if _, err := x.lookup(formerKey('f', t.Of[i].Bytes(), t.From)); err == nil {
				continue
			} else if !errors.Is(err, ErrNotFound) {
				return err
			}
			steps, err := x.lookup(formerKey('e', r.Bytes(), ""))
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			if len(steps) >= 8*maxEarlier {
				continue
			}
			left.Of, left.Versions, left.Entries = append(left.Of, t.Of[i]), append(left.Versions, t.Versions[i]), append(left.Entries, t.Entries[i])
			left.Through, left.Records = append(left.Through, t.Through[i]), append(left.Records, r)
		}
		if len(left.Of) == 0 {
			return nil
		}
		index, logged = x.event(event.KindTakenEarlier, left.Body()).index, true
		at := binary.BigEndian.AppendUint64(nil, index)
		for i, r := range left.Records {
			x.set(formerKey('f', left.Of[i].Bytes(), t.From), at)
			key := formerKey('e', r.Bytes(), "")
			steps, err := x.lookup(key)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			x.set(key, append(slices.Clone(steps), at...))
		}
		return nil
	})
	if err != nil {
		return 0, false, fmt.Errorf("log where what was taken over was earlier: %w", err)
	}
	return index, logged, nil
}

// Earlier returns where a record of ours was before that: one step for each council that had
// ended before the one of [View.Former], the last of them first.
func (v *View) Earlier(r name.Record) (out []Former, err error) {
	first, err := v.Former(r)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	steps, err := v.value(formerKey('e', r.Bytes(), ""))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	by := map[name.Council]Former{} // by the council that the step leads to
	for at := range slices.Chunk(steps, 8) {
		t, said, err := v.takenEarlier(at)
		if err != nil {
			return nil, err
		}
		i := slices.Index(t.Records, r)
		if i < 0 {
			return nil, fmt.Errorf("%w: entry %d does not speak of record %s", ErrDamaged, said, r)
		}
		by[t.By] = Former{Council: t.From, Record: t.Of[i], Version: t.Versions[i], Entry: t.Entries[i], Event: said}
	}
	for c := first.Council; ; {
		f, ok := by[c]
		if !ok {
			break
		}
		delete(by, c) // so that it ends, whatever was said
		out, c = append(out, f), f.Council
	}
	return out, nil
}

// CameBy returns the events of ours that say where a record of ours was before it was taken
// over, in ascending order; none for one that began here.
func (v *View) CameBy(r name.Record) (out []uint64, err error) {
	for _, letter := range []byte("re") {
		events, err := v.value(formerKey(letter, r.Bytes(), ""))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("where record %s was: %w", r, err)
		}
		for at := range slices.Chunk(events, 8) {
			if len(at) != 8 {
				return nil, fmt.Errorf("%w: where record %s was", ErrDamaged, r)
			}
			out = append(out, binary.BigEndian.Uint64(at))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Now returns the record of ours that a record of a council that has ended has become; of any
// such council that had one of that id, or of one where it is named. It may have passed through
// other councils that have ended. The error is ErrNotFound when there is none.
func (v *View) Now(old name.Record, at name.Council) (name.Record, error) {
	for _, letter := range []byte("of") {
		var found []byte
		key := formerKey(letter, old.Bytes(), "")
		err := v.walk(key, func(k, value []byte) error {
			if at == "" || string(k[len(key):]) == string(at) {
				found = slices.Clone(value)
			}
			return nil
		})
		if err != nil {
			return "", err
		}
		if found == nil {
			continue
		}
		var of, records []name.Record
		var said uint64
		if letter == 'o' {
			t, index, err := v.takenOver(found)
			if err != nil {
				return "", err
			}
			of, records, said = t.Of, t.Records, index
		} else {
			t, index, err := v.takenEarlier(found)
			if err != nil {
				return "", err
			}
			of, records, said = t.Of, t.Records, index
		}
		i := slices.Index(of, old)
		if i < 0 {
			return "", fmt.Errorf("%w: entry %d does not speak of record %s", ErrDamaged, said, old)
		}
		return records[i], nil
	}
	return "", fmt.Errorf("what record %s has become: %w", old, ErrNotFound)
}

func (v *View) takenEarlier(at []byte) (t event.TakenEarlier, index uint64, err error) {
	if len(at) != 8 {
		return t, 0, fmt.Errorf("%w: where a record was: %d bytes", ErrDamaged, len(at))
	}
	index = binary.BigEndian.Uint64(at)
	t, _, err = ReadEvent(v, index, event.KindTakenEarlier, event.ParseTakenEarlier)
	return t, index, err
}

func (v *View) takenOver(at []byte) (t event.TakenOver, index uint64, err error) {
	if len(at) != 8 {
		return t, 0, fmt.Errorf("%w: where a record was: %d bytes", ErrDamaged, len(at))
	}
	index = binary.BigEndian.Uint64(at)
	t, _, err = ReadEvent(v, index, event.KindTakenOver, event.ParseTakenOver)
	return t, index, err
}

// Expect notes what records of ours are that are about to be taken over from a council, each
// of[i] of its is records[i] here, so that nothing of them leaves before it is known.
func (l *Ledger) Expect(ctx context.Context, from name.Council, of, records []name.Record) error {
	err := l.do(ctx, false, func(t *tx) error {
		for i, r := range records {
			was := of[i].Bytes()
			t.set(formerKey('w', r.Bytes(), ""), append(slices.Clone(was[:]), from...))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note what is taken over: %w", err)
	}
	return nil
}

// TookOver notes that all is taken over of a council that has ended that is going to be.
func (l *Ledger) TookOver(ctx context.Context, from name.Council) error {
	err := l.do(ctx, false, func(t *tx) error {
		t.set(tookOverKey(from), []byte{})
		return nil
	})
	if err != nil {
		return fmt.Errorf("note that all is taken over: %w", err)
	}
	return nil
}

func tookOverKey(c name.Council) []byte { return append([]byte("0d"), c...) }

// HasTakenOver reports whether TookOver was noted of a council.
func (v *View) HasTakenOver(c name.Council) (bool, error) {
	_, err := v.value(tookOverKey(c))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Formers returns for each item that is a record of ours, or takes one back, which id the
// record had at one of some councils; "" for any other.
func (v *View) Formers(items []PageItem, at []name.Council) ([]name.Record, error) {
	out := make([]name.Record, len(items))
	for i := range items {
		r, err := v.about(&items[i])
		if err != nil {
			return nil, err
		}
		if r == "" {
			continue
		}
		b, err := v.value(formerKey('w', r.Bytes(), ""))
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err == nil && len(b) < 17 {
			err = fmt.Errorf("%w: what record %s was: %d bytes", ErrDamaged, r, len(b))
		}
		if err != nil {
			return nil, err
		}
		if slices.Contains(at, name.Council(b[16:])) {
			out[i] = name.RecordFrom([16]byte(b[:16]))
		}
	}
	return out, nil
}

// about returns the record of ours that an item is, or takes back; "" for any other item.
func (v *View) about(it *PageItem) (name.Record, error) {
	switch {
	case it.Passed != nil:
		return "", nil
	case it.IsRecord():
		g, err := v.Logged(it.Index)
		return g.Record, err
	}
	_, ev, err := record.ParseEvent(it.Token)
	if err != nil || !event.TakesBack(ev.Kind) {
		return "", err
	}
	w, err := event.ParseTakenBack(ev.Kind, ev.Body)
	return w.Record, err
}
