package ledger

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// What others sent is found by the number of a person too. The key of the person is that
// of person.go, and is written in the transaction that keeps the holding:
//
//	T o source4 key16 record16   empty: the holding names a person
//	T q source4 record16         the key16 of all persons that it names
//
// The second says what is to be removed with a holding without reading it, so that nothing
// stays of one that is damaged. Both go when the holding is replaced, withdrawn, erased
// or at the end of its term, and with all of a source.

func heldPersonKey(source uint32, key, record []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte("To"), source)
	return append(append(b, key...), record...)
}

func heldPersonsKey(source uint32, record []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte("Tq"), source), record...)
}

// sourcePrefixes returns the prefixes of all that is kept of what a source holds.
func sourcePrefixes(source uint32) [][]byte {
	out := [][]byte{numKey4('H', source|secondSlot), heldPersonKey(source, nil, nil), heldPersonsKey(source, nil)}
	for _, letter := range []byte("HPuG790") {
		out = append(out, numKey4(letter, source))
	}
	return out
}

// personsOf returns the keys of the persons that a holding names, as it is stored. One
// that cannot be read names none, nor does one of a standard that is not in use here.
func (l *Ledger) personsOf(stored []byte) []byte {
	if !slices.ContainsFunc(l.standardList(), func(k *knownStandard) bool { return len(k.std.Persons()) > 0 }) {
		return nil
	}
	h, err := decodeHolding(stored)
	if err != nil || h.see() != nil || h.View.Body == nil {
		return nil
	}
	std, err := l.Standard(h.View.Standard)
	if err != nil {
		return nil
	}
	return l.personKeys(std, h.View.Body)
}

// nameHeld enters the persons that a holding names, in place of those it named before.
func (t *tx) nameHeld(source uint32, r [16]byte, keys []byte) error {
	if err := t.unnameHeld(source, r); err != nil || len(keys) == 0 {
		return err
	}
	for k := range slices.Chunk(keys, personKeyLen) {
		t.set(heldPersonKey(source, k, r[:]), []byte{})
	}
	t.set(heldPersonsKey(source, r[:]), keys)
	return nil
}

// unnameHeld takes the persons that a holding names out of the index.
func (t *tx) unnameHeld(source uint32, r [16]byte) error {
	keys, err := t.lookup(heldPersonsKey(source, r[:]))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for k := range slices.Chunk(keys, personKeyLen) {
		t.remove(heldPersonKey(source, k, r[:]))
	}
	t.remove(heldPersonsKey(source, r[:]))
	return nil
}

// heldChunk is how many holdings are entered in one transaction.
const heldChunk = 500

// rebuildHeld enters the persons that all holdings name, in an index that has none of them.
func (l *Ledger) rebuildHeld(ctx context.Context) error {
	type named struct {
		index uint64
		id    [16]byte
		keys  []byte
	}
	for _, s := range l.Sources() {
		for from, more := uint64(0), true; more; {
			var page []named
			n := 0
			more = false
			err := l.View(func(v *View) error {
				return v.StoredHoldings(s, from, func(h StoredHolding, err error) bool {
					if n == heldChunk || ctx.Err() != nil {
						more = true
						return false
					}
					n, from = n+1, h.Index+1
					if err != nil {
						return true // it is named where it is read
					}
					if keys := l.personsOf(h.stored); len(keys) > 0 {
						page = append(page, named{h.Index, h.Record.Bytes(), keys})
					}
					return true
				})
			})
			if err = cmp.Or(err, ctx.Err()); err != nil {
				return err
			}
			if len(page) == 0 {
				continue
			}
			err = l.do(ctx, false, func(t *tx) error {
				for _, h := range page {
					// What came, or went, meanwhile was entered by whoever did that.
					index, _, had, err := t.held(s, h.id)
					if errors.Is(err, ErrDamaged) || err == nil && (!had || index != h.index) {
						continue
					}
					if err != nil {
						return err
					}
					if err := t.nameHeld(s.number, h.id, h.keys); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// HoldingsAbout calls f with the records held from a source that name a person, by their
// ids, until f returns false. A damaged one is handed on as an error. While they are
// hidden the one thing handed on is ErrUnread. What it costs does not grow with what is held.
func (v *View) HoldingsAbout(s *Source, p standard.Person, f func(*Holding, error) bool) error {
	if err := v.hides(s); err != nil {
		if s.Records > 0 {
			f(nil, fmt.Errorf("%d records: %w", s.Records, err))
		}
		return nil
	}
	key := v.l.personKey(p)
	prefix := heldPersonKey(s.number, key[:], nil)
	err := v.walk(prefix, func(k, _ []byte) error {
		id, is := bytes.CutPrefix(k, prefix)
		if !is || len(id) != 16 {
			return fmt.Errorf("%w: disclosure index", ErrDamaged)
		}
		h, err := v.holding(s, name.RecordFrom([16]byte(id)))
		if errors.Is(err, ErrNotFound) {
			return nil // gone since the view began, or a crash brought the key back
		}
		// The index finds, and the record says; of one that cannot be read it is believed.
		if err == nil {
			std, serr := v.l.Standard(h.View.Standard)
			if serr != nil || h.View.Body == nil || !std.Names(h.View.Body, p) {
				return nil
			}
		}
		if !f(h, err) {
			return errStopWalk
		}
		return nil
	})
	if err == errStopWalk {
		return nil
	}
	return err
}
