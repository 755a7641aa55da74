package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Holding is a record another council sent.
type Holding struct {
	Index   uint64 // in the sender's log
	Version uint64
	Token   *record.Token
	View    *record.View // what of it may be seen here
	Passed  []byte       // of what was passed on, the event of who did (event.PassedOn), a JWS
}

func decodeHolding(b []byte) (*Holding, error) {
	if len(b) < 48 {
		return nil, fmt.Errorf("holding: %w: short", ErrDamaged)
	}
	h := &Holding{Index: binary.BigEndian.Uint64(b), Version: binary.BigEndian.Uint64(b[8:])}
	damaged := func(what string) error {
		return fmt.Errorf("holding of entry %d: %w: %s", h.Index, ErrDamaged, what)
	}
	// What was kept as text begins with the base64 of {" as no packed token does.
	read := record.ParseAlone
	passed, token, ok := cutPassed(b[48:])
	if !ok {
		return nil, damaged("what stands before the token is cut short")
	}
	h.Passed = passed
	if bytes.HasPrefix(token, []byte("eyJ")) {
		read = record.Parse
	}
	var err error
	if h.Token, err = read(token); err != nil {
		return nil, damaged("token does not parse")
	}
	if h.Token.Entry() != tlog.Hash(b[16:48]) {
		return nil, damaged("token does not hash to the entry that was proved")
	}
	return h, nil
}

// see reads what the holding discloses.
func (h *Holding) see() (err error) {
	if h.View, err = h.Token.View(); err != nil {
		return fmt.Errorf("holding of entry %d: %w: disclosures do not match the signed digests", h.Index, ErrDamaged)
	}
	return nil
}

// A holding has two places. A version that takes the place of another goes to that which
// is empty, and the other is emptied and leaves the disk with the next Purge: under one
// key it would stay in the files until some compaction. Should a crash bring the older
// back, the later index in the sender's log tells which is held.

// slots returns the keys of both places.
func slots(source uint32, r [16]byte) [2][]byte {
	return [2][]byte{holdingKey(source, r), holdingKey(source|secondSlot, r)}
}

// secondSlot marks a source's second places.
const secondSlot = 1 << 31

// twin returns the key of the other place; nil for any other key.
func twin(key []byte) []byte {
	if len(key) != 21 || key[0] != 'H' {
		return nil
	}
	other := bytes.Clone(key)
	other[1] ^= 0x80
	return other
}

// heldAt returns the key under which a holding stands, and what read gives for it.
// ErrNotFound when both places are empty.
func heldAt(source uint32, r [16]byte, read func(key []byte) ([]byte, error)) (key, b []byte, err error) {
	for _, k := range slots(source, r) {
		v, err := read(k)
		if errors.Is(err, ErrNotFound) || err == nil && len(v) == 0 {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if b == nil || bytes.Compare(v[:min(8, len(v))], b[:min(8, len(b))]) > 0 {
			key, b = k, v
		}
	}
	if b == nil {
		return nil, nil, ErrNotFound
	}
	return key, b, nil
}

// holdingOf returns a holding as it is stored.
func holdingOf(txn *badger.Txn, s *Source, r [16]byte) ([]byte, error) {
	_, b, err := heldAt(s.number, r, func(k []byte) ([]byte, error) { return partsOf(txn, k) })
	return b, err
}

// Holding returns a record held from a source, checked against the entry that
// was proved when it came. ErrDamaged when it is not that any more, ErrUnread while it is
// hidden.
func (v *View) Holding(s *Source, r name.Record) (*Holding, error) {
	if err := v.hides(s); err != nil {
		return nil, err
	}
	return v.holding(s, r)
}

func (v *View) holding(s *Source, r name.Record) (*Holding, error) {
	b, err := holdingOf(v.txn, s, r.Bytes())
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", r, err)
	}
	h, err := decodeHolding(b)
	if err != nil {
		return nil, err
	}
	if err := h.see(); err != nil {
		return nil, err
	}
	return h, nil
}

// Holdings calls f with the records held from a source in the sender's log
// order, from an index on, until f returns false. A damaged one is handed on
// as an error. While they are hidden the one thing handed on is ErrUnread, with their number.
func (v *View) Holdings(s *Source, from uint64, f func(*Holding, error) bool) error {
	if err := v.hides(s); err != nil {
		if s.Records > 0 {
			f(nil, fmt.Errorf("%d records: %w", s.Records, err))
		}
		return nil
	}
	return v.HiddenToo(s, from, f)
}

// HiddenToo is Holdings for what shows nobody what a record says, or shows it to the council
// that it came from.
func (v *View) HiddenToo(s *Source, from uint64, f func(*Holding, error) bool) error {
	return v.positions(s, from, func(index uint64, r name.Record, _ uint32) bool {
		h, err := v.holding(s, r)
		if errors.Is(err, ErrNotFound) && v.erased(s, index) {
			return true
		}
		return f(h, err)
	})
}

// A StoredHolding is a holding as it lies on disk.
type StoredHolding struct {
	Index  uint64
	Record name.Record
	stored []byte
}

// Token reads the holding's token, checked against the entry that was proved;
// its disclosures are not looked at. It may be called from any goroutine, and
// after the view has ended.
func (k StoredHolding) Token() (*record.Token, error) {
	h, err := decodeHolding(k.stored)
	if err != nil {
		return nil, err
	}
	return h.Token, nil
}

// StoredHoldings is Holdings for who wants many tokens and can read them at once.
func (v *View) StoredHoldings(s *Source, from uint64, f func(StoredHolding, error) bool) error {
	return v.positions(s, from, func(index uint64, r name.Record, _ uint32) bool {
		b, err := holdingOf(v.txn, s, r.Bytes())
		if errors.Is(err, ErrNotFound) && v.erased(s, index) {
			return true
		}
		return f(StoredHolding{index, r, b}, err)
	})
}

// erased reports whether a holding that is missing was erased since the view
// began: what Badger drops is gone for every reader, whenever it began.
func (v *View) erased(s *Source, index uint64) bool {
	if now := v.l.Sources()[s.number]; now.Ending || now.Ended {
		return true
	}
	err := v.l.db.View(func(txn *badger.Txn) error {
		_, err := valueOf(txn, positionKey('P', s.number, index))
		return err
	})
	return errors.Is(err, ErrNotFound)
}

// positions calls f with the place, id and generation of every holding of a
// source, in the sender's log order, from an index on.
func (v *View) positions(s *Source, from uint64, f func(uint64, name.Record, uint32) bool) error {
	it := v.list(numKey4('P', s.number))
	defer it.Close()
	for it.Seek(positionKey('P', s.number, from)); it.Valid(); it.Next() {
		id, err := it.Item().ValueCopy(nil)
		if err != nil {
			return fmt.Errorf("%w: position %d: %w", ErrStorage, indexAtEnd(it), err)
		}
		if !isPosition(id) {
			return fmt.Errorf("%w: position %d has %d bytes", ErrDamaged, indexAtEnd(it), len(id))
		}
		if !f(indexAtEnd(it), name.RecordFrom([16]byte(id[:16])), binary.BigEndian.Uint32(id[16:20])) {
			return nil
		}
	}
	return nil
}

// refusals keeps refusals with a source, of which the newest maxRefusals stay.
func (t *tx) refusals(c *Source, rs []Refusal) error {
	for i, r := range rs {
		b, err := marshal(r)
		if err != nil {
			return err
		}
		t.set(positionKey('Q', c.number, uint64(c.Refused+i)%maxRefusals), b)
	}
	c.Refused += len(rs)
	return nil
}

// Refuse keeps a refusal that belongs to no delivery, such as a checkpoint
// that does not verify.
func (l *Ledger) Refuse(ctx context.Context, s *Source, r Refusal) error {
	return l.do(ctx, false, func(t *tx) error {
		c, err := t.current(s)
		if err != nil {
			return err
		}
		if err := t.refusals(c, []Refusal{r}); err != nil {
			return err
		}
		return t.source(c)
	})
}

// Refusals calls f with the newest refusals of a source, in no order.
func (v *View) Refusals(s *Source, f func(Refusal) bool) error {
	err := v.walk(numKey4('Q', s.number), func(_, value []byte) error {
		var r Refusal
		if err := unmarshal(value, &r); err != nil {
			return err
		}
		if !f(r) {
			return errStopWalk
		}
		return nil
	})
	if err == errStopWalk {
		return nil
	}
	return err
}

// ReceivedEvents calls f with the events a council addressed to this one, in
// the order of its log.
func (v *View) ReceivedEvents(s *Source, f func(index uint64, jws []byte) error) error {
	return v.walk(numKey4('E', s.number), func(key, value []byte) error {
		return f(binary.BigEndian.Uint64(key[len(key)-8:]), value)
	})
}
