package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Last is what is remembered of the newest version of a record that a source
// gave. It outlives the record: what was withdrawn must not come back in an
// earlier version. Of what the record said it holds nothing.
type Last struct {
	Council name.Council // who issued it; other than the source in a footprint's; "" when only Withdrawn is known
	Version uint64
	Entry   tlog.Hash
	Held    bool   // it is held now; if not it was withdrawn
	Index   uint64 // in the sender's log, of what is held, or was
	// Withdrawn is the place in the sender's log of the withdrawal that it was deleted
	// for; 0 while it is held.
	Withdrawn uint64
	// Final: of what was passed on, its own council took back that version.
	Final bool
}

// Last returns what is remembered of a record from a source; ErrNotFound when
// nothing is.
func (l *Ledger) Last(s *Source, r name.Record) (last Last, err error) {
	err = l.db.View(func(txn *badger.Txn) error {
		b, err := holdingOf(txn, s, r.Bytes())
		if err == nil {
			last, err = lastOf(s, b)
			return err
		}
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		b, err = valueOf(txn, goneKey(s.number, r.Bytes()))
		if err != nil {
			return err
		}
		if len(b) < 56 {
			return fmt.Errorf("%w: what is remembered of a withdrawn record is short", ErrDamaged)
		}
		last = Last{
			Council: name.Council(b[56:]), Version: binary.BigEndian.Uint64(b), Entry: tlog.Hash(b[8:40]),
			Index: binary.BigEndian.Uint64(b[40:]), Withdrawn: binary.BigEndian.Uint64(b[48:]),
		}
		last.Final = last.Entry == tlog.Hash{}
		return nil
	})
	if err != nil {
		return Last{}, fmt.Errorf("record %s: %w", r, err)
	}
	return last, nil
}

// lastOf reads a holding as far as that is needed.
func lastOf(s *Source, b []byte) (Last, error) {
	h, err := decodeHolding(b)
	if err != nil {
		return Last{}, err
	}
	if err := h.see(); err != nil {
		return Last{}, err
	}
	return Last{Council: h.View.Council, Version: h.Version, Entry: h.Token.Entry(), Held: true, Index: h.Index}, nil
}

func goneKey(source uint32, r [16]byte) []byte { return append(numKey4('G', source), r[:]...) }

// remember keeps what is needed of a holding that is about to be erased for a withdrawal.
// One that is damaged is erased all the same. Of a record that is not held nothing is kept,
// unless its withdrawal goes ahead of the copy: then an earlier version could still come.
func (t *tx) remember(s *Source, r [16]byte, withdrawn uint64, final, ahead bool) error {
	_, b, err := heldAt(s.number, r, t.lookupParts)
	if errors.Is(err, ErrNotFound) && ahead {
		v, err := t.lookup(goneKey(s.number, r))
		if errors.Is(err, ErrNotFound) {
			v, err = make([]byte, 56), nil
		}
		if err == nil && len(v) >= 56 {
			v = bytes.Clone(v)
			binary.BigEndian.PutUint64(v[48:], withdrawn)
			t.set(goneKey(s.number, r), v)
		}
		return err
	}
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	last, err := lastOf(s, b)
	if err != nil {
		return nil
	}
	if final {
		last.Entry = tlog.Hash{} // no version has it
	}
	v := binary.BigEndian.AppendUint64(nil, last.Version)
	v = append(v, last.Entry[:]...)
	v = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(v, last.Index), withdrawn)
	t.set(goneKey(s.number, r), append(v, last.Council...))
	t.set(positionKey('5', s.number, withdrawn), r[:])
	return nil
}

// Taken returns the record of a source that stands at an index of the sender's log, and
// false where none does any more.
func (v *View) Taken(s *Source, index uint64) (name.Record, bool) {
	return v.recordAt(positionKey('P', s.number, index))
}

// WithdrawnBy returns the record that was deleted here for the entry of the sender's log
// that withdrew it; false where that is not remembered.
func (v *View) WithdrawnBy(s *Source, index uint64) (name.Record, bool) {
	return v.recordAt(positionKey('5', s.number, index))
}

func (v *View) recordAt(key []byte) (name.Record, bool) {
	b, err := valueOf(v.txn, key)
	if err != nil || len(b) < 16 {
		return "", false
	}
	return name.RecordFrom([16]byte(b[:16])), true
}

// lookupParts is partsOf for what the batches under way leave.
func (t *tx) lookupParts(key []byte) ([]byte, error) {
	b, err := t.lookup(key)
	for n := 1; err == nil && len(b) == n*holdingPart; n++ {
		more, merr := t.lookup(partKey(key, n))
		if errors.Is(merr, ErrNotFound) {
			break
		}
		b, err = append(b[:len(b):len(b)], more...), merr
	}
	return b, err
}
