package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// What a commitment of a sender counts goes on changing behind it. A receiver that keeps a
// commitment remembers what it counts and what has gone since, so that an auditor comes to
// its number and root from what is held and what has gone:
//
//	0 source4 0xff by8 index8   a Gone: JSON
//
// index is the entry of the sender's log that counted, by the one after which it counted
// no more. So a commitment to a size counts those with an index below the size and a by of
// at least the size, and one list serves all commitments that are kept or may come. What
// went before the smallest of them is removed with the change of commitments, in
// transactions of its own.
//
// What is left of a record that was taken back is its id, its place and a hash, which its
// sender's log has too, or its commitment. The hash is over the entry of the log and the
// names of the fields that went, and the entry is over salted digests: nobody can test a
// value by it where one field was hidden. Where none was, the log has the same test. Of a
// record that has a newer version the names of the fields are kept as well.

// A Gone is a member of what a sender committed to that is not held any more, or never was.
type Gone struct {
	Index  uint64      `json:"entry"`        // of the sender's log: what counted
	By     uint64      `json:"by,omitempty"` // of the sender's log: after which it counted no more; 0: it counts, and is not held
	Record name.Record `json:"record"`
	Hash   tlog.Hash   `json:"hash"`            // [agreement.Permitted.Hash]
	Was    *Was        `json:"was,omitempty"`   // what the hash is of; nil where that is not kept
	Event  []byte      `json:"event,omitempty"` // by which the sender took it back (JWS); nil: a newer version came
	Erased bool        `json:"erased,omitempty"`
}

// A Was is what a Gone's hash is of besides its record and its entry.
type Was struct {
	Version uint64    `json:"version"`
	Entry   tlog.Hash `json:"digest"`
	Fields  []string  `json:"fields"`
}

// maxGone is how many are remembered of one source: a sender that changes much and commits
// to nothing must not fill our disk.
const maxGone = 50_000

// goneMark stands where a commitment has the first byte of its entry.
const goneMark = 0xff

func gonePrefix(source uint32) []byte { return append(numKey4('0', source), goneMark) }

func goneSinceKey(source uint32, by, index uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(gonePrefix(source), by), index)
}

func goneBy(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(gonePrefix(0)):]) }

// watched returns the smallest and the largest size of the sender's log whose commitment is
// kept, or may still come; false when there is none. counting is a size that is being
// counted, or 0.
func (s *Source) watched(counting uint64) (least, most uint64, any bool) {
	least = math.MaxUint64
	see := func(size uint64) { least, most, any = min(least, size), max(most, size), true }
	if s.Compared != nil {
		see(s.Compared.Sender.Size)
	}
	for _, sum := range s.Sums {
		see(sum.Size)
	}
	if counting > 0 {
		see(counting)
	}
	return least, most, any
}

// countingOf returns the size of a source that is being counted, or 0.
func (l *Ledger) countingOf(source uint32) uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.copies[source]
}

// countingAt notes that the copy of a source is counted at a size, until done is called.
// What goes meanwhile is remembered.
func (l *Ledger) countingAt(source uint32, size uint64) (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.copies == nil {
		l.copies = map[uint32]uint64{}
	}
	l.copies[source] = size
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.copies, source)
	}
}

// goes remembers what counts of a record and counts no more after an entry of the sender's
// log, which took it back by w, or with a newer version when w is nil. It is called before
// the store is changed.
func (t *tx) goes(c *Source, r [16]byte, by uint64, w *Withdrawal) error {
	_, most, any := c.watched(t.l.countingOf(c.number))
	if !any {
		return nil
	}
	after := most // a newer version speaks for itself, and what took a record back for its older versions, too
	if w != nil {
		after = math.MaxUint64
	}
	// Where no event took it back, as of a footprint where a newer version is not let
	// through, the hash is shown to be of this record.
	g, err := t.counts(c, r, min(by, after), w == nil || w.Event == nil)
	if err != nil || g == nil {
		return err
	}
	if w != nil {
		g.Event, g.Erased = w.Event, len(w.Order) > 0
	}
	g.By = by
	key := goneSinceKey(c.number, by, g.Index)
	switch _, err := t.lookup(key); {
	case err == nil:
	case !errors.Is(err, ErrNotFound):
		return err
	case c.Gone >= maxGone:
		c.GoneLost = max(c.GoneLost, by)
		return nil
	default:
		c.Gone++
	}
	b, err := marshal(g)
	if err == nil {
		t.set(key, b)
	}
	return err
}

// counts returns what counts of a record now, of an entry before one of the sender's log:
// the item that is not held, or the holding, with what its hash is of if that is wanted. It
// is nil where nothing does, or where that cannot be told any more.
func (t *tx) counts(c *Source, r [16]byte, before uint64, was bool) (*Gone, error) {
	g := &Gone{Record: name.RecordFrom(r)}
	if c.Apart > 0 {
		b, err := t.lookup(apartKey(c.number, r))
		if err == nil && len(b) == 40 {
			if g.Index, g.Hash = binary.BigEndian.Uint64(b), tlog.Hash(b[8:]); g.Index < before {
				return g, nil
			}
			return nil, nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	index, _, had, err := t.held(c, r)
	if errors.Is(err, ErrDamaged) || err == nil && (!had || index >= before) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	at, err := t.lookup(positionKey('P', c.number, index))
	if err != nil {
		return nil, err
	}
	hash, ok := hashAt(at)
	if g.Index, g.Hash = index, hash; ok && hash == (tlog.Hash{}) {
		return nil, nil // it is not counted
	} else if ok && !was {
		return g, nil
	}
	_, b, err := heldAt(c.number, r, t.lookupParts)
	if err != nil {
		return nil, err
	}
	p, err := permittedOf(b)
	if errors.Is(err, ErrDamaged) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if g.Hash = p.Hash(); was {
		g.Was = &Was{p.Version, p.Entry, p.Fields}
	}
	return g, nil
}

// permittedOf returns a holding as a member of what is permitted.
func permittedOf(stored []byte) (agreement.Permitted, error) {
	h, err := decodeHolding(stored)
	if err == nil {
		err = h.see()
	}
	if err != nil {
		return agreement.Permitted{}, err
	}
	return agreement.Permitted{
		Index: h.Index, Record: h.View.Record, Version: h.Version, Entry: h.Token.Entry(), Fields: agreement.FieldsOf(h.View.Disclosed),
	}, nil
}

// goneChunk is how many are removed in one transaction.
const goneChunk = 1000

// forgetGone removes what no commitment counts that is kept or may still come.
func (l *Ledger) forgetGone(ctx context.Context, s *Source) error {
	for left := true; left; {
		var first [][]byte
		err := l.View(func(v *View) (err error) {
			first, err = v.goneFirst(s)
			return err
		})
		if err == nil && len(first) > 0 {
			err = l.do(ctx, false, func(t *tx) error {
				c, err := t.current(s)
				if err != nil {
					return err
				}
				least, _, _ := c.watched(l.countingOf(c.number))
				removed := 0
				for _, k := range first {
					if goneBy(k) >= least {
						break
					}
					if _, err := t.lookup(k); errors.Is(err, ErrNotFound) {
						continue // all of the source was dropped
					} else if err != nil {
						return err
					}
					t.remove(k)
					removed++
				}
				c.Gone -= removed
				left = removed == goneChunk
				if removed == 0 {
					return nil
				}
				return t.source(c)
			})
		}
		if err != nil {
			return fmt.Errorf("forget what has gone under %s: %w", s.Agreement, err)
		}
		left = left && len(first) == goneChunk
	}
	return nil
}

// goneFirst returns the keys of the goneChunk that went first.
func (v *View) goneFirst(s *Source) (keys [][]byte, err error) {
	c, err := v.sourceNow(s)
	if err != nil || c.Gone == 0 {
		return nil, err
	}
	it := v.list(gonePrefix(c.number), keysOnly)
	defer it.Close()
	for it.Rewind(); it.Valid() && len(keys) < goneChunk; it.Next() {
		keys = append(keys, it.Item().KeyCopy(nil))
	}
	return keys, nil
}

// Gone calls f with what the commitment that [View.Commitment] returns counts and is not
// held: first what has gone since, by the entries that did it, then what is not held and
// counts still. Among them is what came after the commitment and was taken back, with an
// Index of at least its size, for the event alone. It returns false when more has gone
// than is remembered.
func (v *View) Gone(s *Source, f func(Gone) error) (whole bool, err error) {
	c, err := v.sourceNow(s)
	if err != nil || c.Compared == nil {
		return err == nil, err
	}
	size := c.Compared.Sender.Size
	if c.GoneLost >= size {
		return false, nil
	}
	err = v.walk(gonePrefix(c.number), func(key, value []byte) error {
		var g Gone
		if err := unmarshal(value, &g); err != nil {
			return err
		}
		if g.By < size || g.Index >= size && g.Event == nil {
			return nil
		}
		return f(g)
	})
	if err != nil || c.Apart == 0 {
		return err == nil, err
	}
	err = v.walk(numKey4('7', c.number), func(key, value []byte) error {
		if len(value) != 40 {
			return fmt.Errorf("%w: an item that is not held has %d bytes", ErrDamaged, len(value))
		}
		g := Gone{Index: binary.BigEndian.Uint64(value), Record: name.RecordFrom([16]byte(key[len(key)-16:])), Hash: tlog.Hash(value[8:])}
		if g.Index >= size {
			return nil
		}
		return f(g)
	})
	return err == nil, err
}

// sourceNow returns a source as the view has it.
func (v *View) sourceNow(s *Source) (*Source, error) {
	b, err := valueOf(v.txn, numKey4('S', s.number))
	if err != nil {
		return nil, err
	}
	c := &Source{number: s.number}
	return c, unmarshal(b, c)
}
