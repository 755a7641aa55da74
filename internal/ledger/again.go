package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// An erasure has to outlast a folder that is set back to an older copy. So whoever is
// ordered to erase a record keeps the order, which is signed and names no more than the
// record's id, and gives it back when the council that gave it has lost a part of its log:
//
//	3 council 0 index8   order of a council (JWS), at its place in that council's log
//
// What was given back is noted. From then on the record is not shown here and goes
// nowhere, and once the log may grow it is erased again:
//
//	4 record16           index8 of the order in the log that was lost
const (
	orderLetter = '3'
	againLetter = '4'
)

func orderKey(c name.Council, index uint64) []byte {
	return binary.BigEndian.AppendUint64(append(append([]byte{orderLetter}, c...), 0), index)
}

func againKey(r [16]byte) []byte { return append([]byte{againLetter}, r[:]...) }

// OrdersFrom calls f with the orders to erase that a council gave us, from an index of its
// log on and in its order, until f returns false. They are kept also when the agreement
// is over.
func (v *View) OrdersFrom(c name.Council, from uint64, f func(index uint64, jws []byte) bool) error {
	o := badger.DefaultIteratorOptions
	o.Prefix = orderKey(c, 0)[:len(c)+2]
	it := v.txn.NewIterator(o)
	defer it.Close()
	for it.Seek(orderKey(c, from)); it.Valid(); it.Next() {
		jws, err := it.Item().ValueCopy(nil)
		if err != nil {
			return fmt.Errorf("%w: read orders to erase: %w", ErrStorage, err)
		}
		if !f(indexAtEnd(it), jws) {
			return nil
		}
	}
	return nil
}

// EraseAgain notes a record that a council gave back the order to erase for, which we gave
// at an index of our log that was lost to us. The order must be signed by our own record
// key, so that nobody can have our records erased. ErrNotFound when nothing was lost; the
// record may be one that is not here.
func (l *Ledger) EraseAgain(ctx context.Context, by name.Council, index uint64, jws []byte) error {
	h := l.Halted()
	lost := false
	for _, n := range haltedNewer(h) {
		lost = lost || n.By == by && index < n.Size && (index >= h.Size || n.Fork)
	}
	if !lost {
		return fmt.Errorf("order at %d: was not lost to %s: %w", index, by, ErrNotFound)
	}
	t, ev, err := record.ParseEvent(jws)
	if err != nil {
		return fmt.Errorf("order to erase: %w", err)
	}
	key, err := l.o.Keys.RecordKey(t.KeyID())
	if err != nil || t.Verify(key.Public()) != nil || ev.Council != l.o.Council || ev.Kind != event.KindErasureOrder {
		return errors.New("order to erase: we have not signed it")
	}
	w, err := event.ParseErasureOrder(ev.Body)
	if err != nil {
		return fmt.Errorf("order to erase: %w", err)
	}
	return l.do(ctx, false, func(t *tx) error {
		r := w.Record.Bytes()
		if _, err := t.lookup(headKey(r)); errors.Is(err, ErrNotFound) {
			return nil // it came after the copy was made
		} else if err != nil {
			return err
		}
		t.set(againKey(r), binary.BigEndian.AppendUint64(nil, index))
		t.after = append(t.after, func() { l.hide(r, true) })
		return nil
	})
}

func haltedNewer(h *Halt) []Newer {
	if h == nil {
		return nil
	}
	return h.Newer
}

// ToEraseAgain returns the records that are to be erased again, with the place in our log,
// as it was, of the order for each, or ListedOrder.
func (v *View) ToEraseAgain() (records []name.Record, orders []uint64, err error) {
	err = walk(v.txn, []byte{againLetter}, func(key, value []byte) error {
		if len(key) != 17 || len(value) != 8 {
			return fmt.Errorf("%w: what is to be erased again", ErrDamaged)
		}
		records, orders = append(records, name.RecordFrom([16]byte(key[1:]))), append(orders, binary.BigEndian.Uint64(value))
		return nil
	})
	return records, orders, err
}

// ErasedAgain ends what EraseAgain began, once a record is erased.
func (l *Ledger) ErasedAgain(ctx context.Context, r name.Record) error {
	return l.do(ctx, false, func(t *tx) error {
		t.remove(againKey(r.Bytes()))
		t.after = append(t.after, func() { l.hide(r.Bytes(), false) })
		return nil
	})
}

// hide has a record not be shown, or be shown again. The set is replaced, never changed.
func (l *Ledger) hide(r [16]byte, hidden bool) {
	next := map[[16]byte]bool{}
	if old := l.hidden.Load(); old != nil {
		for k := range *old {
			next[k] = true
		}
	}
	delete(next, r)
	if hidden {
		next[r] = true
	}
	l.hidden.Store(&next)
}

func (l *Ledger) isHidden(r [16]byte) bool {
	set := l.hidden.Load()
	return set != nil && (*set)[r]
}

func (l *Ledger) loadHidden(txn *badger.Txn) error {
	return walk(txn, []byte{againLetter}, func(key, _ []byte) error {
		if len(key) == 17 {
			l.hide([16]byte(key[1:]), true)
		}
		return nil
	})
}
