package ledger

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// What came under an agreement is counted as its sender counts what the agreement
// permits: each record that was given and was not taken back since, whether it is held
// or not. The hash of such a member stands with its place in the sender's log:
//
//	P source4 index8    record16 generation4 permitted32, and dates: see retention.go
//
// An item that came and is not held, since it was refused or was deleted here without
// being taken back, has it under a key of its own, until the sender takes the record
// back or gives it again:
//
//	7 source4 record16  index8 permitted32
//
// A place that an earlier version wrote lacks the hash; it is then made from the holding.
// The hash is zero where the sender has given a newer version, which was refused: that is
// counted, and the one that is held still is not.
//
// Counting is done when the sender says that it does, of the same size of its log. What
// both come to is compared once the sender's word has come, which is an event proved by
// its log.

func apartKey(source uint32, r [16]byte) []byte { return append(numKey4('7', source), r[:]...) }

// Given is an item of a delivery that is not kept, though it can be seen what it is.
type Given struct {
	Index  uint64
	Record name.Record
	Hash   tlog.Hash // [agreement.Permitted.Hash]
}

// setApart notes an item that is not held. One that is held in an older version counts
// no more.
func (t *tx) setApart(c *Source, g Given) error {
	id := g.Record.Bytes()
	if err := t.goes(c, id, g.Index, nil); err != nil {
		return err
	}
	was, _, had, err := t.held(c, id)
	if err != nil {
		return err
	}
	if had && was < g.Index {
		place := append(binary.BigEndian.AppendUint32(id[:], c.Generation), make([]byte, 32)...)
		before, err := t.lookup(positionKey('P', c.number, was))
		if err != nil {
			return err
		}
		received, counted := datesAt(before)
		t.set(positionKey('P', c.number, was), putSeconds(putSeconds(place, received), counted))
	}
	return t.noteApart(c, g)
}

func (t *tx) noteApart(c *Source, g Given) error {
	key := apartKey(c.number, g.Record.Bytes())
	_, err := t.lookup(key)
	switch {
	case errors.Is(err, ErrNotFound):
		c.Apart++
	case err != nil:
		return err
	}
	t.set(key, append(binary.BigEndian.AppendUint64(nil, g.Index), g.Hash[:]...))
	return nil
}

// takeApart forgets what is noted of a record that is not held.
func (t *tx) takeApart(c *Source, r [16]byte) error {
	if c.Apart == 0 {
		return nil
	}
	key := apartKey(c.number, r)
	_, err := t.lookup(key)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	t.remove(key)
	c.Apart--
	return nil
}

// keepGiven notes a record whose holding is about to be deleted here without having
// been taken back.
func (t *tx) keepGiven(c *Source, r [16]byte) error {
	index, _, had, err := t.held(c, r)
	if err != nil || !had {
		return err
	}
	at, err := t.lookup(positionKey('P', c.number, index))
	if err != nil {
		return err
	}
	g := Given{Index: index, Record: name.RecordFrom(r)}
	if hash, ok := hashAt(at); ok {
		g.Hash = hash
	} else {
		_, b, err := heldAt(c.number, r, t.lookupParts)
		if err != nil {
			return err
		}
		if g.Hash, err = permittedHash(b); err != nil {
			return err
		}
	}
	if g.Hash == (tlog.Hash{}) {
		return nil // a newer one is noted
	}
	return t.noteApart(c, g)
}

// positionLen is the length of a place with the hash of what is held there.
const positionLen = 16 + 4 + 32

// permittedHash returns the hash of a holding as a member of what is permitted.
func permittedHash(stored []byte) (tlog.Hash, error) {
	p, err := permittedOf(stored)
	if err != nil {
		return tlog.Hash{}, err
	}
	return p.Hash(), nil
}

// A Compared is what came of comparing what a sender committed to with what came.
type Compared struct {
	Sender Sum       `json:"sender"`
	Words            // where the sender, or a member of it, says so
	Ours   Sum       `json:"ours"`
	At     time.Time `json:"at"`
	// Twice: two different things were said of one size, by the sender or by two members of
	// it. Against is the other.
	Twice   bool     `json:"twice,omitempty"`
	Against *ToldSum `json:"against,omitempty"`
}

// Equal reports whether both came to the same.
func (c *Compared) Equal() bool { return c.Sender == c.Ours && !c.Twice }

// A ToldSum is what a sender committed to, and where.
type ToldSum struct {
	Sum
	Words
}

// maxSums is how many sums wait to be compared: of ours, and of each who commits.
const maxSums = 4

// CountCopy counts what came under an agreement, once began was called: from then on more
// may be received, which does not change the result. It is kept and compared with what
// the sender says of that size. ErrStale, with nothing kept, when the copy is not at
// size.
func (l *Ledger) CountCopy(ctx context.Context, s *Source, size uint64, began func()) error {
	var sum Sum
	done := l.countingAt(s.number, size)
	defer done()
	err := l.View(func(v *View) error {
		began()
		c, err := v.sourceNow(s)
		if err != nil {
			return err
		}
		if c.Cursor != size || c.Ended || c.Ending || c.Kept != nil || c.Sweep || c.Digest != s.Digest {
			return ErrStale
		}
		sum, err = v.countCopy(ctx, c)
		return err
	})
	if err == nil {
		err = l.comparing(ctx, s, nil, func(_ *tx, c *Source) { c.Sums = keepSum(c.Sums, sum) })
	}
	if err != nil {
		return fmt.Errorf("count what %s gave under %s: %w", s.From, s.Agreement, err)
	}
	return nil
}

func (v *View) countCopy(ctx context.Context, c *Source) (Sum, error) {
	type apart struct {
		index uint64
		hash  tlog.Hash
	}
	var out []apart
	if c.Apart > 0 {
		err := walk(v.txn, numKey4('7', c.number), func(_, value []byte) error {
			if len(value) != 40 {
				return fmt.Errorf("%w: an item that is not held has %d bytes", ErrDamaged, len(value))
			}
			out = append(out, apart{binary.BigEndian.Uint64(value), tlog.Hash(value[8:])})
			return nil
		})
		if err != nil {
			return Sum{}, err
		}
		slices.SortFunc(out, func(a, b apart) int { return cmp.Compare(a.index, b.index) })
	}
	var tally tlog.Tally
	o := badger.DefaultIteratorOptions
	o.Prefix = numKey4('P', c.number)
	it := v.txn.NewIterator(o)
	defer it.Close()
	n := 0
	for it.Rewind(); it.Valid(); it.Next() {
		index := indexAtEnd(it)
		b, err := it.Item().ValueCopy(nil)
		if err != nil {
			return Sum{}, fmt.Errorf("%w: position %d: %w", ErrStorage, index, err)
		}
		if !isPosition(b) {
			return Sum{}, fmt.Errorf("%w: position %d has %d bytes", ErrDamaged, index, len(b))
		}
		if binary.BigEndian.Uint32(b[16:]) != c.Generation {
			return Sum{}, ErrStale // of an earlier text, and not swept yet
		}
		for len(out) > 0 && out[0].index < index {
			tally.Add(out[0].hash)
			out = out[1:]
		}
		var hash tlog.Hash
		var ok bool
		if hash, ok = hashAt(b); ok && hash == (tlog.Hash{}) {
			continue
		} else if !ok {
			stored, err := holdingOf(v.txn, c, [16]byte(b))
			if err == nil {
				hash, err = permittedHash(stored)
			}
			if err != nil {
				return Sum{}, err
			}
		}
		tally.Add(hash)
		if n++; n%readChunk == 0 && ctx.Err() != nil {
			return Sum{}, ctx.Err()
		}
	}
	for _, a := range out {
		tally.Add(a.hash)
	}
	return Sum{c.Cursor, tally.Size(), tally.Root()}, nil
}

// Told keeps what a sender committed to, by an event that a log proves, at at, of which jws
// is the token, and compares it with what came. The log is the sender's or, of what a
// footprint sends, that of one of its members; who these are the caller knows.
func (l *Ledger) Told(ctx context.Context, s *Source, told event.AgreementCheckpoint, at Words, jws []byte) error {
	sum := ToldSum{Sum{told.Size, told.Count, told.Root}, at}
	return l.comparing(ctx, s, []Words{at}, func(t *tx, c *Source) {
		t.set(commitmentKey(c, at), jws)
		other := c.toldOtherwise(sum)
		if other != nil {
			c.compared(Compared{Sender: sum.Sum, Words: at, At: l.o.Now().UTC(), Twice: true, Against: other}, l.o.Now())
			if at.By == "" {
				return
			}
			// Which of two members is right is seen by what came.
		}
		c.Told = append(slices.DeleteFunc(slices.Clone(c.Told), func(t ToldSum) bool { return t.Words == at }), sum)
		n := 0
		for i := len(c.Told) - 1; i >= 0; i-- { // nobody's commitments push out another's
			if c.Told[i].By != at.By {
				continue
			}
			if n++; n > maxSums {
				c.Told = slices.Delete(c.Told, i, i+1)
			}
		}
	})
}

// toldOtherwise returns a commitment to the same size that says something else; nil when
// there is none.
func (s *Source) toldOtherwise(sum ToldSum) *ToldSum {
	differs := func(t ToldSum) bool { return t.Words != sum.Words && t.Size == sum.Size && t.Sum != sum.Sum }
	if c := s.Compared; c != nil && differs(ToldSum{c.Sender, c.Words}) {
		return &ToldSum{c.Sender, c.Words}
	}
	if i := slices.IndexFunc(s.Told, differs); i >= 0 {
		t := s.Told[i]
		return &t
	}
	return nil
}

func keepSum(list []Sum, sum Sum) []Sum {
	list = append(slices.DeleteFunc(slices.Clone(list), func(s Sum) bool { return s.Size == sum.Size }), sum)
	return list[max(0, len(list)-maxSums):]
}

// comparing changes what waits to be compared, and compares what can be. new are entries
// whose words change keeps.
func (l *Ledger) comparing(ctx context.Context, s *Source, new []Words, change func(*tx, *Source)) error {
	err := l.do(ctx, false, func(t *tx) error {
		c, err := t.current(s)
		if err != nil {
			return err
		}
		if c.Ended || c.Ending || c.Kept != nil || c.Digest != s.Digest || c.Generation != s.Generation {
			return ErrStale
		}
		had := append(c.commitments(), new...)
		change(t, c)
		now := l.o.Now()
		done, any := uint64(0), false
		for _, told := range c.Told {
			i := slices.IndexFunc(c.Sums, func(s Sum) bool { return s.Size == told.Size })
			if i < 0 {
				continue
			}
			c.compared(Compared{Sender: told.Sum, Words: told.Words, Ours: c.Sums[i], At: now.UTC()}, now)
			done, any = max(done, told.Size), true
		}
		if any {
			c.Told = slices.DeleteFunc(slices.Clone(c.Told), func(t ToldSum) bool { return t.Size <= done })
			c.Sums = slices.DeleteFunc(slices.Clone(c.Sums), func(s Sum) bool { return s.Size <= done })
		}
		t.keepCommitments(c, had)
		return t.source(c)
	})
	if err != nil {
		return err
	}
	return l.forgetGone(ctx, s)
}

// compared takes in what came of a comparison. What one member of a footprint committed to
// speaks for no other: of two that said two things of one size, that which is what came is
// the newest comparison.
func (s *Source) compared(c Compared, now time.Time) {
	if was := s.Compared; c.By == "" || !c.Twice {
		if was != nil && was.Sender.Size > c.Sender.Size {
			return // an older one, that came late
		}
		if was == nil || c.By == "" || c.Equal() || !was.Equal() || was.Sender.Size < c.Sender.Size {
			s.Compared = &c
		}
	}
	if !c.Equal() {
		if s.Differs == nil || c.Twice && !s.Differs.Twice {
			s.Differs = &c
		}
		return
	}
	s.Unproved = time.Time{}
	if s.Cursor > c.Sender.Size {
		s.Unproved = now.UTC() // more may have come since
	}
	if s.Differs != nil && !s.Differs.Twice && s.Differs.By == c.By {
		s.Differs = nil // what was said twice stays said
	}
}

// forgetSums: what is counted from now on is another copy.
func (s *Source) forgetSums() {
	s.Sums, s.Told, s.Compared, s.Differs, s.Unproved = nil, nil, nil, nil, time.Time{}
}
