package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// What was taken over in a handover its receiver keeps when the agreement is over, and nobody
// asks under that any more. An order to erase it reaches the receiver all the same, by what
// carries the end of an agreement: it is addressed to the receiver among the notices, which
// wait for it. It stands in the closed feed as well, so that it is outstanding there until the
// receiver has receipted it, among its own notices.
//
// So it is with what a receiver keeps until it comes from the successors of a sender that has
// ended: until that seals its ledger, it may still order it to be erased.
//
// The receiver obeys an order only about what its sender handed over to it, or let it copy. What went is out
// of the files before the order and its receipt are kept, in one transaction. A crash in
// between leaves the order to come again.

// takenBy returns who took a record over under an agreement of ours, or has accepted it; ""
// when nobody did.
func (t *tx) takenBy(f *Feed, r name.Record) (name.Council, error) {
	if !f.byHand() || !f.doc.Way().Moves {
		return "", nil
	}
	b, err := t.lookup(letKey(f.Agreement, r))
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	how, err := decodeLet(b)
	if err != nil || !how.travels(true) {
		return "", err
	}
	c, err := (&CaseTx{t}).Get(event.CaseID(b[1:]))
	if errors.Is(err, ErrNotFound) || err == nil && !c.Sends {
		return "", nil
	}
	return c.Partner, err
}

// orderAfter returns the order that is to be given under a feed that is closed; nil for none.
func (t *tx) orderAfter(f *Feed, r name.Record, anew bool) (*Order, error) {
	to, err := t.takenBy(f, r)
	if err != nil {
		return nil, err
	}
	if to == "" {
		return t.orderKept(f, r)
	}
	if !t.l.isLastTo(f, to) {
		return nil, nil
	}
	m, err := t.member(f, r)
	if err == nil && !anew {
		if given, err := t.ordered(f, m); err != nil || given {
			return nil, err
		}
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	return &Order{Agreement: f.Agreement, To: []name.Council{to}, feed: f.number}, nil
}

// orderKept returns the order that is to be given under a feed that is closed to those who keep
// what they hold of it, since we end, or may do so and have not said; nil for none.
func (t *tx) orderKept(f *Feed, r name.Record) (*Order, error) {
	m, err := t.member(f, r)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err == nil && m.kind != itemPut {
		var refused bool
		if refused, err = t.isRefused(f, m.index); !refused {
			return nil, err // taken back before, or ordered
		}
	}
	if err != nil {
		return nil, err
	}
	o := &Order{Agreement: f.Agreement, feed: f.number}
	for _, c := range f.To {
		p := Partner{Council: c}
		b, err := t.lookup(partnerKey(f.number, c))
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err == nil {
			err = unmarshal(b, &p)
		}
		if err != nil {
			return nil, err
		}
		may := p.Kept != nil
		if !may && p.Held > 0 && !p.Done {
			if may, err = t.l.succeeded(f); err != nil {
				return nil, err
			}
		}
		if may && p.Awaited() && t.l.isLastTo(f, c) {
			o.To = append(o.To, c)
		}
	}
	if len(o.To) == 0 {
		return nil, nil
	}
	return o, nil
}

// succeeded reports whether we have said of the text of a feed that it ends since we do.
func (l *Ledger) succeeded(f *Feed) (yes bool, err error) {
	err = l.View(func(v *View) error {
		var failed error
		v.Events(event.KindAgreementSucceeded, 0, func(i uint64) bool {
			var s event.Succeeded
			s, _, failed = ReadEvent(v, i, event.KindAgreementSucceeded, event.ParseSucceeded)
			yes = failed == nil && s.Agreement == f.Agreement && s.Version == uint64(f.Version)
			return failed == nil && !yes
		})
		return failed
	})
	return yes, err
}

// isLastTo reports whether a feed is that by which orders about records of its agreement reach
// a council: the open one, or the last that was closed.
func (l *Ledger) isLastTo(f *Feed, to name.Council) bool {
	var last *Feed
	for _, g := range l.FeedsOf(f.Agreement) {
		if slices.Contains(g.To, to) && (last == nil || last.closed) {
			last = g
		}
	}
	return last != nil && last.number == f.number
}

// AddressOrders addresses the orders to erase that stand in a feed which is closed, and that
// who took the records over had not carried out when it was, to them among the notices. Doing
// it again does nothing.
func (l *Ledger) AddressOrders(ctx context.Context, f *Feed) error {
	if !f.closed || !f.byHand() || !f.doc.Way().Moves {
		return nil
	}
	for _, c := range f.To {
		if !l.isLastTo(f, c) {
			continue
		}
		waiting, err := l.outstandingOrders(f, c)
		if err != nil {
			return err
		}
		to, err := l.Notices(c)
		if len(waiting) == 0 || errors.Is(err, ErrNotFound) {
			continue // to whom nothing was ever offered nothing was handed over
		}
		for part := range slices.Chunk(waiting, orderChunk) {
			err := l.do(ctx, false, func(t *tx) error {
				for _, o := range part {
					if by, err := t.takenBy(f, o.record); err != nil {
						return err
					} else if by != c {
						continue
					}
					if _, err := t.lookup(feedItemKey(to.number, o.index)); err == nil {
						continue
					} else if !errors.Is(err, ErrNotFound) {
						return err
					}
					if err := t.address(o.index, []name.Council{c}); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("address orders to erase under %s to %s: %w", f.Agreement, c, err)
			}
		}
	}
	return nil
}

// orderChunk is how many orders one transaction addresses or keeps.
const orderChunk = 1000

// An order is one to erase a record, as its council gave it.
type order struct {
	index     uint64 // in the log of its council
	agreement name.Agreement
	record    name.Record
	jws       []byte
}

// outstandingOrders returns the orders to erase of a feed that a council has not receipted.
func (l *Ledger) outstandingOrders(f *Feed, c name.Council) (out []order, err error) {
	err = l.View(func(v *View) error {
		p, err := v.Partner(f, c)
		if err != nil || !p.Awaited() {
			return err
		}
		var failed error
		err = v.Outstanding(f, p, func(index uint64, r name.Record) bool {
			var ev *record.Event
			if ev, _, failed = v.Event(index); failed == nil && ev.Kind == event.KindErasureOrder {
				out = append(out, order{index: index, agreement: f.Agreement, record: r})
			}
			return failed == nil
		})
		return errors.Join(err, failed)
	})
	return out, err
}

// OrdersReceipted takes in what a council receipted, among its notices, of the orders to erase
// under a feed that is closed: which it carried out, and which it refused. It counts as far as
// the first that it says nothing of.
func (l *Ledger) OrdersReceipted(ctx context.Context, f *Feed, from name.Council, r *event.Receipt, jws []byte) error {
	waiting, err := l.outstandingOrders(f, from)
	if err != nil {
		return err
	}
	var p Partner
	if err := l.View(func(v *View) (err error) { p, err = v.Partner(f, from); return err }); err != nil {
		return err
	}
	was := max(p.Cursor, p.TakenBack)
	a := Ack{Since: was, Cursor: was, Held: p.Held, Receipt: jws, Suspended: true}
	no := r.RefusedIndexes()
	for _, o := range waiting {
		if slices.Contains(no, o.index) {
			a.Cursor, a.Refused = o.index+1, a.Refused+1
			continue
		}
		if !slices.Contains(r.Deleted, o.index) {
			break
		}
		a.Cursor, a.Held = o.index+1, max(0, a.Held-1)
	}
	if a.Cursor == was {
		return nil
	}
	return l.Acknowledge(ctx, f, from, a)
}

// orderOf reads an event that a council addressed to us as an order to erase; false for any
// other, and for one about what it did not hand over and under which nothing of its ever came.
func (l *Ledger) orderOf(from name.Council, index uint64, jws []byte) (o order, ok bool, err error) {
	_, ev, err := record.ParseEvent(jws)
	if err != nil || ev.Council != from || ev.Kind != event.KindErasureOrder {
		return o, false, nil
	}
	w, err := event.ParseErasureOrder(ev.Body)
	if err != nil || w.Agreement.Council() != from {
		return o, false, nil
	}
	known, _, _, err := l.Let(w.Agreement, w.Record, true)
	if err == nil && !known {
		_, none := l.Source(from, w.Agreement)
		known = none == nil
	}
	return order{index, w.Agreement, w.Record, jws}, known, err
}

// MayOrder says under which agreement of its own a council gives an order to erase that it
// addressed to us, "" for none, and whether it may: of what it handed over to us, and of what
// came under an agreement that is over. live says that it is about a copy that is not, whose
// feed gives such orders.
func (l *Ledger) MayOrder(from name.Council, jws []byte) (under name.Agreement, may, live bool, err error) {
	o, may, err := l.orderOf(from, 0, jws)
	if err != nil || !may {
		return o.agreement, false, false, err
	}
	known, _, _, err := l.Let(o.agreement, o.record, true)
	if src, none := l.Source(from, o.agreement); err == nil && !known && none == nil {
		live = src.Kept == nil && !src.Ended && !src.Ending
	}
	return o.agreement, true, live, err
}

// maxRefusedSaid is how many receipts a day tell one council which of its orders among the
// notices were refused, each for a page of them: what nobody honest sends must not fill our log.
const maxRefusedSaid = 20

// refusedOrders returns what is to be said of the orders among notices that are refused.
func (s *Source) refusedOrders(rs []Refusal, now time.Time) []Refusal {
	out := slices.DeleteFunc(slices.Clone(rs), func(r Refusal) bool { return r.Agreement == "" || r.Agreement.Council() != s.From })
	if s.Agreement != "" || len(out) == 0 {
		return nil
	}
	if today := dayOf(now); s.CameDay != today {
		s.Came, s.CameDay = 0, today
	}
	if s.Came == maxRefusedSaid {
		return nil
	}
	s.Came++
	return out
}

// obey erases what the orders among the notices of a council say, from the files on disk too,
// and returns those. met is the checkpoint that they came with, which is met first.
func (l *Ledger) obey(ctx context.Context, from name.Council, events []PageItem, met *Met) (out []order, err error) {
	for _, e := range events {
		o, ok, err := l.orderOf(from, e.Index, e.Token)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, o)
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	if met != nil {
		if err := l.Meet(ctx, *met, nil); err != nil {
			return nil, fmt.Errorf("obey orders of %s: %w", from, err)
		}
	}
	under, orders := map[name.Agreement][]Withdrawal{}, map[uint64][]byte{}
	for _, o := range out {
		orders[o.index] = o.jws
		under[o.agreement] = append(under[o.agreement], Withdrawal{Index: o.index, Record: o.record})
	}
	for a, all := range under {
		for again := true; again; {
			src, err := l.Source(from, a)
			if errors.Is(err, ErrNotFound) || err == nil && src.Ended {
				break // nothing of it is held
			}
			if err != nil {
				return nil, err
			}
			// What was erased before is not, but for this very order before a crash.
			held := slices.DeleteFunc(slices.Clone(all), func(w Withdrawal) bool {
				last, err := l.Last(src, w.Record)
				return err == nil && !last.Held && last.Withdrawn != w.Index
			})
			if len(held) == 0 {
				break
			}
			// The copy may have moved on in that moment; not while everything is deleted.
			if src.Kept != nil {
				for i := range held {
					held[i].Order = orders[held[i].Index]
				}
				if err = l.eraseKept(ctx, src, held, "erased by order of "+string(from)); err != nil {
					return nil, err
				}
				break
			}
			err = l.erase(ctx, src, held, false)
			again = errors.Is(err, ErrStale) && !src.Ending && ctx.Err() == nil
			if err != nil && !again {
				return nil, err
			}
		}
	}
	return out, nil
}

// obeyed keeps orders that were obeyed and receipts them, by one event for each agreement,
// addressed to who gave them; with those that were refused, which name their agreement. at is
// the checkpoint that they came with.
func (t *tx) obeyed(from name.Council, orders []order, refused []Refusal, at tlog.Checkpoint) error {
	receipts := map[name.Agreement]*event.Receipt{}
	var names []name.Agreement
	about := func(a name.Agreement, index uint64) *event.Receipt {
		r := receipts[a]
		if r == nil {
			r = &event.Receipt{Agreement: a, From: from, Size: at.Size, Root: at.Root, Since: index}
			receipts[a], names = r, append(names, a)
		}
		r.Since, r.Cursor = min(r.Since, index), max(r.Cursor, index+1)
		return r
	}
	for _, o := range orders {
		t.set(orderKey(from, o.index), o.jws)
		r := about(o.agreement, o.index)
		r.Deleted = append(r.Deleted, o.index)
	}
	for _, f := range refused {
		if f.Agreement.Council() == from {
			r := about(f.Agreement, f.Index)
			r.Refused = append(r.Refused, event.RefusedEntry{Entry: f.Index, Rule: f.Rule, Pointer: f.Pointer})
		}
	}
	for _, a := range names {
		if err := t.address(t.event(event.KindReceipt, receipts[a].Body()).index, []name.Council{from}); err != nil {
			return err
		}
	}
	return nil
}

// ObeyAgain obeys the orders to erase among what a council addressed to us that came when this
// node ran a program that did not know of them.
func (l *Ledger) ObeyAgain(ctx context.Context, s *Source) error {
	var missed []PageItem
	err := l.View(func(v *View) error {
		return v.ReceivedEvents(s, func(index uint64, jws []byte) error {
			_, ok, err := l.orderOf(s.From, index, jws)
			if err != nil || !ok {
				return err
			}
			if _, err := v.value(orderKey(s.From, index)); errors.Is(err, ErrNotFound) {
				missed = append(missed, PageItem{Index: index, Token: slices.Clone(jws)})
			} else if err != nil {
				return err
			}
			return nil
		})
	})
	if err != nil || len(missed) == 0 {
		return err
	}
	for part := range slices.Chunk(missed, orderChunk) {
		orders, err := l.obey(ctx, s.From, part, nil)
		if err == nil {
			err = l.do(ctx, false, func(t *tx) error {
				k, err := t.known(s.From)
				if err != nil {
					return err
				}
				return t.obeyed(s.From, orders, nil, k.Checkpoint())
			})
		}
		if err != nil {
			return fmt.Errorf("obey orders of %s: %w", s.From, err)
		}
	}
	return nil
}
