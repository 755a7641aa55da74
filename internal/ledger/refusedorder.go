package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// A receiver may refuse an order to erase, and says by which rule. Then it has answered, and
// nothing waits for it any more; whether the record is there only its people can say. So the
// refusal is remembered, until the order is given again or a person settles it:
//
//	0 n feed4 index8 council   JSON: a RefusedOrder without its index and record
//
// index is that of the order in our log.

// A RefusedOrder is an order of ours to erase a record that its receiver refused.
type RefusedOrder struct {
	Index   uint64      `json:"-"` // of the order, in our log
	Record  name.Record `json:"-"`
	Rule    string      `json:"rule"`              // in the receiver's words
	Pointer string      `json:"pointer,omitempty"` // the place, where it named one
	At      time.Time   `json:"at"`                // when it said so here
}

func refusedOrderKey(feed uint32, index uint64, c name.Council) []byte {
	b := binary.BigEndian.AppendUint32([]byte("0n"), feed)
	return append(binary.BigEndian.AppendUint64(b, index), c...)
}

// ordersRefused remembers which of the entries that a receipt refuses are orders that stand in
// a feed.
func (t *tx) ordersRefused(f *Feed, from name.Council, r *event.Receipt) error {
	for _, e := range r.Refused {
		raw, err := t.lookup(feedItemKey(f.number, e.Entry))
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if kind, _, err := decodeItem(raw); err != nil {
			return err
		} else if kind != itemWithdraw {
			continue
		}
		if kind, _, err := t.takenBack(e.Entry); err != nil {
			return err
		} else if kind != event.KindErasureOrder {
			continue
		}
		b, err := marshal(RefusedOrder{Rule: e.Rule, Pointer: e.Pointer, At: t.l.o.Now().UTC()})
		if err != nil {
			return err
		}
		t.set(refusedOrderKey(f.number, e.Entry, from), b)
	}
	return nil
}

// isRefused reports whether a receiver of a feed has refused an order that stands there.
func (t *tx) isRefused(f *Feed, index uint64) (bool, error) {
	for _, c := range f.To {
		if _, err := t.lookup(refusedOrderKey(f.number, index, c)); err == nil {
			return true, nil
		} else if !errors.Is(err, ErrNotFound) {
			return false, err
		}
	}
	return false, nil
}

// notRefused forgets that an order was refused, since it is given again.
func (t *tx) notRefused(f *Feed, index uint64) error {
	for _, c := range f.To {
		if _, err := t.lookup(refusedOrderKey(f.number, index, c)); err == nil {
			t.remove(refusedOrderKey(f.number, index, c))
		} else if !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// RefusedOrders calls fn with the orders to erase of a feed that a council has refused, in the
// order of our log, until fn returns false.
func (v *View) RefusedOrders(f *Feed, c name.Council, fn func(RefusedOrder) bool) error {
	prefix := refusedOrderKey(f.number, 0, "")[:6]
	err := v.walk(prefix, func(key, value []byte) error {
		if name.Council(key[len(prefix)+8:]) != c {
			return nil
		}
		o := RefusedOrder{Index: binary.BigEndian.Uint64(key[len(prefix):])}
		if err := unmarshal(value, &o); err != nil {
			return err
		}
		raw, err := v.value(feedItemKey(f.number, o.Index))
		if errors.Is(err, ErrNotFound) {
			return nil // the record stands there anew
		}
		if err == nil {
			_, o.Record, err = decodeItem(raw)
		}
		if err == nil && !fn(o) {
			err = errStopWalk
		}
		return err
	})
	if err == errStopWalk {
		return nil
	}
	return err
}

// SettleRefused logs that a person has settled with a council which orders to erase under an
// agreement it refused, in all its versions, and forgets them.
func (l *Ledger) SettleRefused(ctx context.Context, g event.GivenUp) (entry uint64, err error) {
	err = l.do(ctx, true, func(t *tx) error {
		for _, f := range l.FeedsOf(g.Agreement) {
			if !slices.Contains(f.To, g.Council) {
				continue
			}
			var refused []uint64
			err := l.View(func(v *View) error {
				return v.RefusedOrders(f, g.Council, func(o RefusedOrder) bool { refused = append(refused, o.Index); return true })
			})
			if err != nil {
				return err
			}
			for _, i := range refused {
				t.remove(refusedOrderKey(f.number, i, g.Council))
			}
		}
		entry = t.event(event.KindGivenUp, g.Body()).index
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("settle what %s refused to erase: %w", g.Council, err)
	}
	return entry, nil
}
