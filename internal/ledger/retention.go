package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A receiver deletes what it may keep no longer by itself; see [agreement.Term] for when
// that is. Beside each holding stands when this very version came first and, where the
// term is counted from a date in the record, that date:
//
//	P source4 index8   record16 generation4 [permitted32] received8 counted8
//
// and of what was deleted there remains
//
//	9 source4 record16   index8 version8 received8 counted8 deleted8 event8
//
// with event 0 until our own log says so, so that what a crash interrupts is gone from
// the files first and receipted then. By it the same version, sent again, is known and
// not kept: it counts as given, see copied.go. The sender keeps of what receivers say
//
//	8 council 0 agreement 0 record16   index8 received8 deleted8

func termKey(source uint32, r [16]byte) []byte { return append(numKey4('9', source), r[:]...) }

func retainedPrefix(c name.Council, a name.Agreement) []byte {
	return append(append(append(append([]byte{'8'}, c...), 0), a...), 0)
}

// noDate stands for a date that there is none of.
const noDate = math.MinInt64

func putSeconds(b []byte, t time.Time) []byte {
	s := int64(noDate)
	if !t.IsZero() {
		s = t.Unix()
	}
	return binary.BigEndian.AppendUint64(b, uint64(s))
}

func seconds(b []byte) time.Time {
	if s := int64(binary.BigEndian.Uint64(b)); s != noDate {
		return time.Unix(s, 0).UTC()
	}
	return time.Time{}
}

// A Kept is a holding as its term sees it.
type Kept struct {
	Index    uint64 // in the sender's log
	Record   name.Record
	Received time.Time // when this version came first; zero for what an older program kept
	Counted  time.Time // what the term is counted from instead; zero for nothing
}

// Kept calls f with the dates of every holding of a source, in the order of the sender's
// log.
func (v *View) Kept(s *Source, f func(Kept) bool) error {
	o := badger.DefaultIteratorOptions
	o.Prefix = numKey4('P', s.number)
	it := v.txn.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		k := Kept{Index: indexAtEnd(it)}
		err := it.Item().Value(func(b []byte) error {
			if !isPosition(b) {
				return fmt.Errorf("%w: position %d has %d bytes", ErrDamaged, k.Index, len(b))
			}
			k.Record = name.RecordFrom([16]byte(b[:16]))
			k.Received, k.Counted = datesAt(b)
			return nil
		})
		if errors.Is(err, ErrDamaged) {
			continue // it is named where it is read
		}
		if err != nil {
			return fmt.Errorf("%w: position %d: %w", ErrStorage, k.Index, err)
		}
		if !f(k) {
			return nil
		}
	}
	return nil
}

// ReceivedAt is when the version that a source holds at an entry came first; zero where it is
// not held, and for what an older program kept.
func (v *View) ReceivedAt(s *Source, entry uint64) (time.Time, error) {
	b, err := valueOf(v.txn, positionKey('P', s.number, entry))
	if errors.Is(err, ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("position %d: %w", entry, err)
	}
	received, _ := datesAt(b)
	return received, nil
}

// position is what stands beside a holding; without hash where that is zero.
func position(id [16]byte, generation uint32, hash tlog.Hash, received, counted time.Time) []byte {
	b := binary.BigEndian.AppendUint32(id[:], generation)
	if hash != (tlog.Hash{}) {
		b = append(b, hash[:]...)
	}
	return putSeconds(putSeconds(b, received), counted)
}

// datesLen is the length of the two dates of a place.
const datesLen = 16

// isPosition reports whether a place is as long as one may be: with or without the hash,
// and with or without the dates.
func isPosition(b []byte) bool {
	return len(b) == 20 || len(b) == 20+datesLen || len(b) == positionLen || len(b) == positionLen+datesLen
}

// hashAt returns the hash of a place; false where it has none.
func hashAt(b []byte) (tlog.Hash, bool) {
	if len(b) != positionLen && len(b) != positionLen+datesLen {
		return tlog.Hash{}, false
	}
	return tlog.Hash(b[20:positionLen]), true
}

// datesAt returns the dates of a place; zero where it has none.
func datesAt(b []byte) (received, counted time.Time) {
	if len(b) != 20+datesLen && len(b) != positionLen+datesLen {
		return received, counted
	}
	b = b[len(b)-datesLen:]
	return seconds(b), seconds(b[8:])
}

// receivedAt returns since when a version that is about to be kept is here: since now, or
// since it came first. kept is false when it came before and its term is over.
func (t *tx) receivedAt(s *Source, p *Put, was uint64, had bool) (received time.Time, kept bool, err error) {
	now := time.Unix(t.b.iat, 0).UTC()
	if had && was == p.Index {
		b, err := t.lookup(positionKey('P', s.number, was))
		if err == nil {
			if at, _ := datesAt(b); !at.IsZero() {
				return at, true, nil
			}
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return now, false, err
		}
		return now, true, nil
	}
	key := termKey(s.number, p.Record.Bytes())
	b, err := t.lookup(key)
	if errors.Is(err, ErrNotFound) {
		return now, true, nil
	}
	if err != nil {
		return now, false, err
	}
	e, err := decodeAtTerm(b)
	if err != nil {
		return now, false, err
	}
	if p.Version > e.Version {
		t.remove(key)
		return now, true, nil
	}
	if over := p.Term.Over(p.Counted, e.Received); !over.IsZero() && !now.Before(over) {
		return now, false, nil
	}
	t.remove(key)
	return e.Received, true, nil
}

// An AtTerm is what remains of a record that was deleted since its term was over.
type AtTerm struct {
	Index    uint64 // in the sender's log, of the version that was held
	Version  uint64
	Received time.Time
	Counted  time.Time
	Deleted  time.Time
	Event    uint64 // in our log; 0 until it says so
}

func (e AtTerm) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, e.Index)
	b = binary.BigEndian.AppendUint64(b, e.Version)
	b = putSeconds(putSeconds(putSeconds(b, e.Received), e.Counted), e.Deleted)
	return binary.BigEndian.AppendUint64(b, e.Event)
}

func decodeAtTerm(b []byte) (AtTerm, error) {
	if len(b) != 48 {
		return AtTerm{}, fmt.Errorf("%w: what is left of a record whose term is over has %d bytes", ErrDamaged, len(b))
	}
	return AtTerm{
		Index: binary.BigEndian.Uint64(b), Version: binary.BigEndian.Uint64(b[8:]),
		Received: seconds(b[16:]), Counted: seconds(b[24:]), Deleted: seconds(b[32:]), Event: binary.BigEndian.Uint64(b[40:]),
	}, nil
}

// AtTerm returns what remains of a record that was deleted since its term was over;
// ErrNotFound when none was, or another version has come since.
func (v *View) AtTerm(s *Source, r name.Record) (AtTerm, error) {
	b, err := valueOf(v.txn, termKey(s.number, r.Bytes()))
	if err != nil {
		return AtTerm{}, err
	}
	return decodeAtTerm(b)
}

// AtTerms calls f with all of them, by record.
func (v *View) AtTerms(s *Source, f func(name.Record, AtTerm) bool) error {
	err := walk(v.txn, numKey4('9', s.number), func(key, value []byte) error {
		e, err := decodeAtTerm(value)
		if err == nil && !f(name.RecordFrom([16]byte(key[5:21])), e) {
			err = errStopWalk
		}
		return err
	})
	if err == errStopWalk {
		return nil
	}
	return err
}

// Stamp notes for holdings that an older program kept that they came now.
func (l *Ledger) Stamp(ctx context.Context, s *Source, list []Kept) error {
	for part := range slices.Chunk(list, 1000) {
		err := l.do(ctx, false, func(t *tx) error {
			for _, k := range part {
				key := positionKey('P', s.number, k.Index)
				b, err := t.lookup(key)
				if errors.Is(err, ErrNotFound) || err == nil && len(b) != 20 && len(b) != positionLen {
					continue
				}
				if err != nil {
					return err
				}
				t.set(key, putSeconds(putSeconds(bytes.Clone(b), time.Unix(t.b.iat, 0)), k.Counted))
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("note since when records are held: %w", err)
		}
	}
	return nil
}

// Expire deletes holdings whose term is over, from the files on disk too, and says so in
// our log by events addressed to some councils: who sent them. version is that of the
// agreement whose term it is. What was replaced or taken back meanwhile is left as it is.
// It needs nobody else, and does it also where all exchange with the sender is stopped.
// While nothing may be signed by the clock nothing is deleted, and the error wraps
// [ErrClock].
func (l *Ledger) Expire(ctx context.Context, s *Source, version int, list []Kept, to ...name.Council) error {
	for part := range slices.Chunk(list, 1000) {
		err := l.do(ctx, false, func(t *tx) error {
			if err := l.clock(t.b.iat); err != nil {
				return err // what cannot be said by this clock is not done by it
			}
			c, err := t.current(s)
			if err != nil || c.Ended || c.Ending {
				return err
			}
			for _, k := range part {
				if err := t.expire(c, k); err != nil {
					return err
				}
			}
			return t.source(c)
		})
		if err == nil {
			err = l.ReceiptTerms(ctx, s, version, to...)
		}
		if err != nil {
			return fmt.Errorf("delete records of %s whose term is over: %w", s.From, err)
		}
	}
	return nil
}

// expire takes a holding out of the store. Its bytes are still in the files.
func (t *tx) expire(c *Source, k Kept) error {
	id := k.Record.Bytes()
	index, version, had, err := t.held(c, id)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	if !had || index != k.Index {
		return nil
	}
	if err := t.remember(c, id, 0, false, false); err != nil {
		return err
	}
	// It came, and its sender counts it, until that takes it back. Of one that is damaged
	// nothing can be counted.
	if err := t.keepGiven(c, id); err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	if err := t.goesBack(c, k.Record, nil); err != nil {
		return err
	}
	if _, err := t.blank(c, k.Record); err != nil {
		return err
	}
	now := time.Unix(t.b.iat, 0).UTC()
	t.set(termKey(c.number, id), AtTerm{Index: index, Version: version, Received: k.Received, Counted: k.Counted, Deleted: now}.encode())
	c.AtTerm, c.AtTermAt = c.AtTerm+1, now
	return nil
}

// ReceiptTerms takes what was deleted at the end of its term, and is not receipted yet, out
// of the files, and receipts it. It also finishes what a crash interrupted.
func (l *Ledger) ReceiptTerms(ctx context.Context, s *Source, version int, to ...name.Council) error {
	for _, c := range to {
		if _, err := l.OpenNotices(ctx, c); err != nil {
			return err
		}
	}
	for {
		type one struct {
			record name.Record
			AtTerm
		}
		var list []one
		err := l.View(func(v *View) error {
			return v.AtTerms(s, func(r name.Record, e AtTerm) bool {
				if e.Event == 0 {
					list = append(list, one{r, e})
				}
				return len(list) < 1000
			})
		})
		if err != nil || len(list) == 0 {
			return err
		}
		var drop [][]byte
		for _, e := range list {
			for _, k := range slots(s.number, e.record.Bytes()) {
				drop = append(drop, k)
			}
		}
		// Gone before our log says so.
		if err := l.dropHoldings(ctx, s, drop); err != nil {
			return err
		}
		slices.SortFunc(list, func(a, b one) int {
			if a.Index < b.Index {
				return -1
			}
			return 1
		})
		err = l.do(ctx, false, func(t *tx) error {
			said := event.Retention{Agreement: s.Agreement, Version: uint64(version), From: s.From}
			var keys [][]byte
			for _, e := range list {
				key := termKey(s.number, e.record.Bytes())
				b, err := t.lookup(key)
				if errors.Is(err, ErrNotFound) {
					continue // another version has come this moment
				}
				if err != nil {
					return err
				}
				if now, err := decodeAtTerm(b); err != nil || now.Event != 0 || now.Index != e.Index {
					continue
				}
				keys = append(keys, key)
				said.Entries = append(said.Entries, e.Index)
				at := e.Received
				if at.IsZero() {
					at = e.Deleted
				}
				said.Received = append(said.Received, uint64(max(0, at.Unix())))
			}
			if len(keys) == 0 {
				return nil
			}
			p := t.event(event.KindRetention, said.Body())
			for _, key := range keys {
				b, err := t.lookup(key)
				if err != nil {
					return err
				}
				b = bytes.Clone(b)
				binary.BigEndian.PutUint64(b[40:], p.index)
				t.set(key, b)
			}
			return t.address(p.index, to)
		})
		if err != nil {
			return err
		}
	}
}

// dropHoldings drops places of holdings that are empty. One that a version has come to
// meanwhile stays; its older bytes leave with the next Purge.
func (l *Ledger) dropHoldings(ctx context.Context, s *Source, keys [][]byte) error {
	return l.do(ctx, true, func(t *tx) error {
		var empty [][]byte
		for _, k := range keys {
			b, err := t.lookup(k)
			switch {
			case errors.Is(err, ErrNotFound), err == nil && len(b) == 0:
				empty = append(empty, k)
			case err != nil:
				return err
			default:
				t.set(purgeKey(k), []byte{})
			}
		}
		if len(empty) == 0 {
			return nil
		}
		return l.dropPrefixes(empty...)
	})
}

// A Retained is what a receiver said that it deleted at the end of its term.
type Retained struct {
	Index    uint64 // in our log, of the version that it held
	Received time.Time
	Deleted  time.Time // when it said so
}

func (r Retained) encode() []byte {
	return putSeconds(putSeconds(binary.BigEndian.AppendUint64(nil, r.Index), r.Received), r.Deleted)
}

// Retained returns what a receiver said of a record of ours under an agreement; ErrNotFound
// when it has not said that its term was over.
func (v *View) Retained(to name.Council, a name.Agreement, r name.Record) (Retained, error) {
	id := r.Bytes()
	b, err := valueOf(v.txn, append(retainedPrefix(to, a), id[:]...))
	if err != nil {
		return Retained{}, err
	}
	return decodeRetained(b)
}

func decodeRetained(b []byte) (Retained, error) {
	if len(b) != 24 {
		return Retained{}, fmt.Errorf("%w: what a receiver said of a term has %d bytes", ErrDamaged, len(b))
	}
	return Retained{Index: binary.BigEndian.Uint64(b), Received: seconds(b[8:]), Deleted: seconds(b[16:])}, nil
}

// retained takes in an event by which a receiver says that it deleted what it may keep no
// longer. What it has no business to say of is passed over.
func (t *tx) retained(from name.Council, jws []byte) error {
	_, ev, err := record.ParseEvent(jws)
	if err != nil || ev.Kind != event.KindRetention || ev.Council != from {
		return nil
	}
	r, err := event.ParseRetention(ev.Body)
	if err != nil || r.From != t.l.o.Council {
		return nil
	}
	i := slices.IndexFunc(t.l.Feeds(), func(f *Feed) bool {
		return f.Agreement == r.Agreement && f.copied() && slices.Contains(f.To, from)
	})
	if i < 0 {
		return nil
	}
	n, at := 0, time.Unix(ev.IssuedAt, 0).UTC()
	err = t.l.View(func(v *View) error {
		for i, index := range r.Entries {
			g, err := v.Logged(index)
			if errors.Is(err, ErrStorage) {
				return err
			}
			if err != nil {
				continue
			}
			id := g.Record.Bytes()
			key := append(retainedPrefix(from, r.Agreement), id[:]...)
			if b, err := t.lookup(key); err == nil {
				if was, err := decodeRetained(b); err == nil && was.Index >= index {
					continue
				}
			} else if !errors.Is(err, ErrNotFound) {
				return err
			}
			t.set(key, Retained{Index: index, Received: r.ReceivedAt(i), Deleted: at}.encode())
			n++
		}
		return nil
	})
	if err != nil || n == 0 {
		return err
	}
	for _, f := range t.l.Feeds() {
		if f.Agreement != r.Agreement || uint64(f.Version) != r.Version || !slices.Contains(f.To, from) {
			continue
		}
		err := t.partner(f, from, func(p *Partner) {
			p.Held, p.AtTerm, p.AtTermAt = max(0, p.Held-n), p.AtTerm+n, at
		})
		if err != nil {
			return err
		}
	}
	return nil
}
