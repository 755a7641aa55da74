package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Refusal is what a partner sent and this node did not take. It names the
// rule and the place, never a value.
type Refusal struct {
	From      name.Council   `json:"from"`
	Agreement name.Agreement `json:"agreement,omitempty"`
	Index     uint64         `json:"entry"` // log index at the sender
	Pointer   string         `json:"pointer,omitempty"`
	Rule      string         `json:"rule"`
	At        time.Time      `json:"at"`
}

// A Delivery is a page of another council's feed that has been checked
// against its log and the agreement, ready to be kept.
type Delivery struct {
	Checkpoint tlog.Checkpoint
	Cursor     uint64 // after this page
	Offered    int    // records the sender says the feed holds
	Puts       []Put
	Withdrawn  []Withdrawal
	Events     []PageItem // of a notices feed
	Refused    []Refusal
	Given      []Given        // of what is refused, what can be seen to be a record
	Live       bool           // with it the feed is read to its end
	Most       agreement.Most // of the agreement: what is beyond is refused when it is kept
	// Suspended: the page holds withdrawals alone. Its cursor is that of those, see
	// Source.WithdrawnTo, and the copy stays where it is.
	Suspended bool
	// Ahead: the page goes ahead of the copy, and its cursor is that of what does. AheadFrom
	// is where that begins, of the pages between, too; 0 while nothing goes ahead.
	Ahead     bool
	AheadFrom uint64
	// TookOver are councils that have ended, of which its council has taken over all that it
	// is going to; with AnyOver set, all of them, as far as can be known.
	TookOver []name.Council
	AnyOver  bool
	// Met is the checkpoint, when it is not taken in yet: see [Ledger.Extends].
	Met *Met
}

// A Put is one record version in a delivery.
type Put struct {
	Index   uint64
	Record  name.Record
	Version uint64
	Entry   tlog.Hash // SHA-256 of the token's signing input
	Hash    tlog.Hash // [agreement.Permitted.Hash]; zero when it is not counted
	Token   []byte    // as [record.PackAlone] packs it; or as text, which is three times as long on disk
	// Term is how long it may be kept, and Counted what that is counted from where that
	// is a date in the record.
	Term    agreement.Term
	Counted time.Time

	// Passed is the event of who passed the record on, a JWS; nil where its own council sent it.
	Passed []byte

	// Former is the id that the record had at a council that has ended, as its sender says;
	// "" for any other.
	Former name.Record

	persons []byte // keys of those that it names, see personKeys
	place   []kept // what is kept, and goes when this comes
}

// A Withdrawal in a delivery: the event's index and what it takes back.
type Withdrawal struct {
	Index  uint64
	Record name.Record
	Order  []byte // the event, when it orders an erasure: it is kept, see [View.OrdersFrom]
	Event  []byte // the event; nil where nothing that counts is taken back
	// Final: of what was passed on, its own council took this version back. It is not kept
	// when it comes again.
	Final bool
	// Former is as in a Put: what is kept of the record goes too.
	Former name.Record
}

// ErrStale: the delivery does not start where this node is, or what it was
// sent under is over.
var ErrStale = errors.New("delivery is out of order")

// Receive keeps a delivery that was checked against s and whose checkpoint was
// met, see [Ledger.Meet], or is met now: checkpoint, records, receipt and
// cursor in one transaction. Withdrawn records are erased from the files on
// disk before the receipt says so. It returns the receipt, a signed event of
// this council, or nil when there was nothing to receipt, as of notices.
//
// It returns ErrStale, having kept nothing, when the copy has moved on from s
// meanwhile: another delivery was kept, the copy was restarted, or everything
// was deleted because the agreement is over.
func (l *Ledger) Receive(ctx context.Context, s *Source, d *Delivery) ([]byte, error) {
	// A checkpoint that was met stays so, and nothing is erased for one that was not.
	if d.Met != nil && len(d.Withdrawn) > 0 {
		if err := l.Meet(ctx, *d.Met, nil); err != nil {
			return nil, fmt.Errorf("keep delivery from %s: %w", s.From, err)
		}
	}
	if k := l.Known(s.From); d.Met == nil && d.Checkpoint.Size > k.Size {
		return nil, fmt.Errorf("keep delivery from %s: %w", s.From, ErrUnplaced)
	}
	if len(d.Withdrawn) > 0 {
		if err := l.erase(ctx, s, d.Withdrawn, d.Ahead); err != nil {
			return nil, err
		}
	}
	var orders []order
	if s.Agreement == "" {
		var err error
		if orders, err = l.obey(ctx, s.From, d.Events, d.Met); err != nil {
			return nil, err
		}
	}
	for i := range d.Puts {
		d.Puts[i].persons = l.personsOf(encodeHolding(&d.Puts[i]))
	}
	var waiting []*Source // kept until what is delivered here has come
	if s.Agreement != "" {
		waiting = l.KeptUnder(s.From, s.Agreement)
	}
	if len(waiting) > 0 {
		if err := l.takesPlace(d.Puts, waiting); err != nil {
			return nil, fmt.Errorf("keep delivery from %s: %w", s.From, err)
		}
		if err := l.takenBackThere(ctx, s, d.Withdrawn, waiting); err != nil {
			return nil, fmt.Errorf("keep delivery from %s: %w", s.From, err)
		}
	}
	var receipt *pending
	err := l.do(ctx, false, func(t *tx) error {
		c, err := t.current(s)
		if err != nil {
			return err
		}
		before := c.Wants(d)
		if !c.at(s) || d.Cursor < before {
			return ErrStale
		}
		k, err := t.known(c.From)
		if err != nil {
			return err
		}
		if err := k.stopped(); err != nil {
			return err
		}
		if d.Met != nil {
			if err := t.extend(k, d.Met); err != nil {
				return err
			}
		} else if d.Checkpoint.Size > k.Size {
			return fmt.Errorf("%w: entry %d is met first", ErrUnplaced, d.Checkpoint.Size)
		}
		d, err := t.within(c, d)
		if err != nil {
			return err
		}
		taken := make([]uint64, 0, len(d.Puts))
		var places []*Put
		for i := range d.Puts {
			took, err := t.keep(c, &d.Puts[i])
			if err != nil {
				return err
			}
			if took {
				taken = append(taken, d.Puts[i].Index)
			}
			if took && len(d.Puts[i].place) > 0 {
				places = append(places, &d.Puts[i])
			}
		}
		if err := t.takePlaces(c, places); err != nil {
			return err
		}
		if d.Live && !d.Suspended {
			err := t.allCame(c, waiting, func(o name.Council) bool {
				return slices.Contains(d.TookOver, o) || d.AnyOver && c.Records > 0
			})
			if err != nil {
				return err
			}
		}
		for _, g := range d.Given {
			if err := t.setApart(c, g); err != nil {
				return err
			}
		}
		for _, w := range d.Withdrawn {
			if err := t.takeApart(c, w.Record.Bytes()); err != nil {
				return err
			}
		}
		for _, e := range d.Events {
			t.set(positionKey('E', c.number, e.Index), e.Token)
			if err := t.retained(c.From, e.Token); err != nil {
				return err
			}
			if err := t.told(c.From, e.Token); err != nil {
				return err
			}
		}
		if err := t.obeyed(c.From, orders, c.refusedOrders(d.Refused, l.o.Now()), d.Checkpoint); err != nil {
			return err
		}
		if err := t.refusals(c, d.Refused); err != nil {
			return err
		}
		c.LastAt, c.Bounded, c.Stopped = l.o.Now().UTC(), d.Suspended && d.Most.Bounds(), d.Suspended && !d.Most.Bounds()
		if d.Live {
			c.Unread = false
		}
		c.advance(d)
		if c.Unproved.IsZero() && c.Agreement != "" && len(d.Puts)+len(d.Withdrawn)+len(d.Given) > 0 {
			c.Unproved = c.LastAt
		}
		// Of notices there is none: a receipt names the agreement that it is under.
		if c.Agreement != "" && len(d.Puts)+len(d.Withdrawn)+len(d.Refused) > 0 {
			receipt = t.event(event.KindReceipt, receiptOf(c, d, before, taken).Body())
			c.Receipts = append(c.Receipts[max(0, len(c.Receipts)-lateReceipts+1):], receipt.index)
		}
		return t.source(c)
	})
	if err != nil {
		if d.Met != nil && (errors.Is(err, ErrStale) || errors.Is(err, ErrUnplaced)) {
			// Nothing of it is kept, but the head, which may speak against another.
			if err := l.Meet(ctx, *d.Met, nil); errors.Is(err, ErrQuarantined) {
				return nil, err
			}
		}
		return nil, fmt.Errorf("keep delivery from %s: %w", s.From, err)
	}
	if err := l.healed(s, d.Puts, d.Withdrawn, d.Live && !d.Suspended); err != nil {
		return nil, err
	}
	if d.Live && s.Sweep && !d.Suspended {
		if err := l.sweep(ctx, s); err != nil {
			return nil, fmt.Errorf("sweep the copy of %s: %w", s.Agreement, err)
		}
	}
	if receipt == nil {
		return nil, nil
	}
	return receipt.token.Bytes(), nil
}

// sweep erases what is held under an earlier text of the agreement and was not
// given again under the one in force. An honest sender withdraws that if the
// one text took over from the other; it does not if the other had ended before.
func (l *Ledger) sweep(ctx context.Context, s *Source) error {
	for {
		now, err := l.Source(s.From, s.Agreement)
		if err != nil || now.Digest != s.Digest || now.Ended {
			return err
		}
		var left []Withdrawal
		err = l.View(func(v *View) error {
			return v.positions(now, 0, func(index uint64, r name.Record, generation uint32) bool {
				if generation != now.Generation {
					left = append(left, Withdrawal{Index: index, Record: r})
				}
				return len(left) < 1000
			})
		})
		if err != nil {
			return err
		}
		if len(left) > 0 {
			if err := l.erase(ctx, now, left, false); err != nil {
				return err
			}
		}
		err = l.do(ctx, false, func(t *tx) error {
			c, err := t.current(now)
			if err != nil || len(left) == 0 && !c.at(now) {
				return err
			}
			if len(left) == 0 {
				c.Sweep = false
				return t.source(c)
			}
			k, err := t.known(c.From)
			if err != nil {
				return err
			}
			r := receiptOf(c, &Delivery{Checkpoint: k.Checkpoint(), Cursor: c.Cursor, Withdrawn: left}, c.Cursor, nil)
			r.Reason = "not under the agreement in force"
			t.event(event.KindReceipt, r.Body())
			return nil
		})
		if err != nil || len(left) == 0 {
			return err
		}
	}
}

// at reports whether the copy is where s was.
func (s *Source) at(was *Source) bool {
	return !s.Ended && !s.Ending && s.Kept == nil && s.Cursor == was.Cursor && s.TakenBack == was.TakenBack &&
		s.AheadFrom == was.AheadFrom && s.AheadTo == was.AheadTo && s.Digest == was.Digest && s.Generation == was.Generation
}

// maxRefusals is how many refusals of one source are kept: a partner must not
// fill our disk.
const maxRefusals = 500

// receiptOf is what a receipt says: which entries of whose log, under which
// agreement, were taken, refused (with the rule) or deleted, and at which
// checkpoint of that log.
func receiptOf(s *Source, d *Delivery, since uint64, taken []uint64) event.Receipt {
	r := event.Receipt{
		Agreement: s.Agreement, From: s.From, Size: d.Checkpoint.Size, Root: d.Checkpoint.Root, Since: since, Cursor: d.Cursor, Held: taken, Suspended: d.Suspended,
	}
	for _, w := range d.Withdrawn {
		r.Deleted = append(r.Deleted, w.Index)
	}
	for _, f := range d.Refused {
		r.Refused = append(r.Refused, event.RefusedEntry{Entry: f.Index, Rule: f.Rule, Pointer: f.Pointer})
	}
	return r
}

func encodeHolding(p *Put) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 48+len(p.Token)), p.Index)
	b = binary.BigEndian.AppendUint64(b, p.Version)
	b = append(b, p.Entry[:]...)
	if len(p.Passed) > 0 {
		b = appendPassed(b, p.Passed)
	}
	return append(b, p.Token...)
}

// keep stores one record version unless a newer one is there.
func (t *tx) keep(s *Source, p *Put) (bool, error) {
	id := p.Record.Bytes()
	was, version, had, err := t.held(s, id)
	if err != nil {
		return false, err
	}
	received, kept, err := t.receivedAt(s, p, was, had)
	switch {
	case err != nil:
		return false, err
	case !kept: // its term was over before; it came all the same
		if p.Hash == (tlog.Hash{}) {
			return false, nil
		}
		return false, t.setApart(s, Given{Index: p.Index, Record: p.Record, Hash: p.Hash})
	case had && (was > p.Index || version > p.Version):
		return false, nil
	case had && was == p.Index && t.standsAs(s, id, was):
		return true, nil // it is sent again because of others that are damaged
	}
	if err := t.goes(s, id, p.Index, nil); err != nil {
		return false, err
	}
	if had {
		if older, err := t.older(s, was); err != nil {
			return false, err
		} else if older {
			s.Older--
		}
		t.remove(positionKey('P', s.number, was))
	} else {
		s.Records++
	}
	into := holdingKey(s.number, id)
	if key, _, err := heldAt(s.number, id, t.lookup); err == nil {
		into = twin(key)
		if err := t.purge(key); err != nil {
			return false, err
		}
	} else if !errors.Is(err, ErrNotFound) {
		return false, err
	}
	stored := encodeHolding(p)
	if err := t.setParts(into, stored); err != nil {
		return false, err
	}
	if err := t.passOn(s, p.Record, stored); err != nil {
		return false, err
	}
	if err := t.nameHeld(s.number, id, p.persons); err != nil {
		return false, err
	}
	t.set(positionKey('P', s.number, p.Index), position(id, s.Generation, p.Hash, received, p.Counted))
	return true, t.takeApart(s, id)
}

// standsAs reports whether a holding stands at its place in the generation of the source.
func (t *tx) standsAs(s *Source, id [16]byte, index uint64) bool {
	b, err := t.lookup(positionKey('P', s.number, index))
	return err == nil && bytes.HasPrefix(b, binary.BigEndian.AppendUint32(id[:], s.Generation))
}

// held returns at which log index and version a record is held, and whether it
// is: a holding without its place in the order is one that was blanked, and
// that a crash in the midst of dropping brought back.
func (t *tx) held(s *Source, id [16]byte) (index, version uint64, had bool, err error) {
	_, b, err := heldAt(s.number, id, t.lookup)
	if errors.Is(err, ErrNotFound) {
		return 0, 0, false, nil
	}
	if err != nil {
		return 0, 0, false, err
	}
	if len(b) < 48 {
		return 0, 0, false, fmt.Errorf("%w: holding is short", ErrDamaged)
	}
	index, version = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	at, err := t.lookup(positionKey('P', s.number, index))
	if errors.Is(err, ErrNotFound) {
		return 0, 0, false, nil
	}
	return index, version, err == nil && bytes.HasPrefix(at, id[:]), err
}

// MaxHolding is the longest token that Receive can keep, in bytes: it has to
// fit one transaction.
const MaxHolding = 3 << 20

// holdingPart is the length of the parts a long holding is stored in: the first
// under its key, the others under the key and one more byte, from 1. Badger
// would keep a value of 1 MiB beside its tree, and what stands there stays in
// the file long after it was deleted.
const holdingPart = 512 << 10

func partKey(key []byte, n int) []byte { return append(bytes.Clone(key), byte(n)) }

// setParts stores a value in as many parts as it needs, and removes those of
// the value before that are left over.
func (t *tx) setParts(key, value []byte) error {
	t.set(key, value[:min(len(value), holdingPart)])
	n := 1
	for ; n*holdingPart < len(value); n++ {
		t.set(partKey(key, n), value[n*holdingPart:min(len(value), (n+1)*holdingPart)])
	}
	for ; ; n++ {
		if _, err := t.lookup(partKey(key, n)); errors.Is(err, ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		t.remove(partKey(key, n))
	}
}

// partsOf returns a value that setParts stored.
func partsOf(txn *badger.Txn, key []byte) ([]byte, error) {
	b, err := valueOf(txn, key)
	for n := 1; err == nil && len(b) == n*holdingPart; n++ {
		more, merr := valueOf(txn, partKey(key, n))
		if errors.Is(merr, ErrNotFound) {
			break
		}
		b, err = append(b, more...), merr
	}
	return b, err
}

// erase deletes holdings and makes Badger rewrite the tables that held them: a
// deleted key alone would leave the value in the files until some later
// compaction. A crash in between leaves the cursor where it was, so the
// withdrawals come again. ahead: they go ahead of the copy, and of what is not held yet it is
// remembered that it was taken back.
func (l *Ledger) erase(ctx context.Context, s *Source, ws []Withdrawal, ahead bool) error {
	var drop [][]byte
	err := l.do(ctx, false, func(t *tx) error {
		drop = nil
		c, err := t.current(s)
		if err != nil {
			return err
		}
		if !c.at(s) {
			return ErrStale
		}
		if err := t.allowed(c.From); err != nil {
			return err
		}
		for _, w := range ws {
			if err := t.goes(c, w.Record.Bytes(), w.Index, &w); err != nil {
				return err
			}
			if err := t.remember(c, w.Record.Bytes(), w.Index, w.Final, ahead); err != nil {
				return err
			}
			if err := t.goesBack(c, w.Record, &w); err != nil {
				return err
			}
			if len(w.Order) > 0 {
				t.set(orderKey(c.From, w.Index), w.Order)
			}
			had, err := t.blank(c, w.Record)
			if err != nil {
				return err
			}
			if had {
				c.Withdrawn++
			}
			// Never held, or blanked before a crash: then it is dropped again.
			for _, k := range slots(s.number, w.Record.Bytes()) {
				drop = append(drop, k)
			}
		}
		return t.source(c)
	})
	if err != nil {
		return fmt.Errorf("delete withdrawn records of %s: %w", s.From, err)
	}
	if err := l.drop(ctx, drop...); err != nil {
		return fmt.Errorf("erase withdrawn records of %s: %w", s.From, err)
	}
	return nil
}

// blank makes a holding empty, which counts as not there, and reports whether
// there was one. Badger drops nothing under a prefix where it finds no live
// key, so the key stays, with nothing in it, until drop.
func (t *tx) blank(c *Source, r name.Record) (bool, error) {
	index, _, had, err := t.held(c, r.Bytes())
	if err != nil && !errors.Is(err, ErrDamaged) {
		return false, err
	}
	for _, key := range slots(c.number, r.Bytes()) {
		if _, err := t.lookup(key); errors.Is(err, ErrNotFound) {
			continue
		}
		if err := t.setParts(key, []byte{}); err != nil {
			return false, err
		}
	}
	t.remove(usedKey(c.number, r.Bytes()))
	if err := t.unnameHeld(c.number, r.Bytes()); err != nil {
		return false, err
	}
	if had {
		older, err := t.older(c, index)
		if err != nil {
			return false, err
		}
		if older {
			c.Older--
		}
		t.remove(positionKey('P', c.number, index))
		c.Records--
	}
	return had, nil
}

// drop removes every version of every key under the prefixes from the files on
// disk, the write-ahead log included.
func (l *Ledger) drop(ctx context.Context, prefixes ...[]byte) error {
	return l.do(ctx, true, func(*tx) error {
		return l.dropPrefixes(prefixes...)
	})
}

// End deletes everything held under an agreement that is over, from the files
// on disk too, and sends its council a receipt among the notices. After it
// nothing is kept from s until Restart.
func (l *Ledger) End(ctx context.Context, s *Source, reason string) error {
	if _, err := l.OpenNotices(ctx, s.From); err != nil {
		return err
	}
	err := l.originOf(s, func(f *Feed) error { return l.takeBackAll(ctx, f, WithdrawnNoPassing) })
	if err != nil {
		return fmt.Errorf("take back what was passed on of %s: %w", s.Agreement, err)
	}
	err = l.do(ctx, false, func(t *tx) error {
		c, err := t.current(s)
		if err != nil || c.Ended || c.Digest != s.Digest {
			return err
		}
		c.Ending = true // readers who miss a holding from here on know why
		return t.source(c)
	})
	if err != nil {
		return fmt.Errorf("delete what %s shared: %w", s.From, err)
	}
	err = l.do(ctx, true, func(t *tx) error {
		c, err := t.current(s)
		if err != nil {
			return err
		}
		if !c.Ending || c.Digest != s.Digest {
			return nil // done meanwhile, or begun anew under another text
		}
		// Gone before the receipt says so. A crash in between leaves the source
		// as it was, so that whoever finds the agreement over begins again.
		if err := l.dropPrefixes(sourcePrefixes(s.number)...); err != nil {
			return err
		}
		k, err := t.known(c.From)
		if err != nil {
			return err
		}
		p := t.event(event.KindReceipt, event.Receipt{
			Agreement: c.Agreement, From: c.From, Size: k.Size, Cursor: c.Cursor, All: true, DeletedAll: uint64(c.Records), Reason: reason,
		}.Body())
		c.Withdrawn += c.Records
		c.Records, c.Older, c.Ended, c.Ending, c.Apart, c.Gone, c.Kept = 0, 0, true, false, 0, 0, nil
		c.forgetSums()
		if err := t.address(p.index, []name.Council{c.From}); err != nil {
			return err
		}
		return t.source(c)
	})
	if err != nil {
		return fmt.Errorf("delete what %s shared: %w", s.From, err)
	}
	return nil
}
