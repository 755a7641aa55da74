package ledger

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// A Partner is how far one council has come in one feed.
type Partner struct {
	Council   name.Council `json:"council"`
	Cursor    uint64       `json:"cursor"`               // acknowledged: everything before it is held or refused there
	TakenBack uint64       `json:"taken_back,omitempty"` // acknowledged: every withdrawal before it was carried out there, while the agreement was suspended
	// What went ahead of the rest, entries from the one index to before the other:
	// acknowledged, and sent. 0 while nothing goes ahead.
	AheadFrom uint64    `json:"ahead_from,omitempty"`
	AheadTo   uint64    `json:"ahead_to,omitempty"`
	AheadSent [2]uint64 `json:"ahead_sent,omitzero"`

	Held      int       `json:"held"`              // records it says it holds
	Disclosed uint64    `json:"disclosed"`         // one past the last entry ever sent to it in order
	Refused   int       `json:"refused,omitempty"` // items it refused
	LastAck   time.Time `json:"last_ack,omitzero"`
	Behind    string    `json:"behind,omitempty"` // what went wrong last, in words
	Done      bool      `json:"done,omitempty"`   // it has deleted everything, since the agreement is over
	// GivenUp is when a person stopped waiting for its receipts: see [Ledger.GiveUp].
	GivenUp time.Time `json:"given_up,omitzero"`

	// Under an agreement that bounds it: how many records have gone to it, and how many
	// versions on a day, see most.go.
	Gone  int   `json:"gone,omitempty"`
	OnDay int   `json:"on_day,omitempty"`
	Day   int64 `json:"day,omitempty"` // since 1970

	// Summed is what the newest agreement-checkpoint for it says, SummedAt when it was
	// logged, and SummedIn what making it took.
	Summed   Sum           `json:"summed,omitzero"`
	SummedAt time.Time     `json:"summed_at,omitzero"`
	SummedIn time.Duration `json:"summed_in,omitempty"`
	// Kept is what it says that it keeps, since we end, until it comes from our successors;
	// nil where it has not said so.
	Kept     *event.Kept `json:"kept,omitempty"`
	AtTerm   int         `json:"at_term,omitempty"`   // records it deleted since their term was over
	AtTermAt time.Time   `json:"at_term_at,omitzero"` // when it last said so
}

// Awaited reports whether receipts of the council are waited for: nobody has given them
// up, or it has answered since.
func (p Partner) Awaited() bool { return p.GivenUp.IsZero() || p.LastAck.After(p.GivenUp) }

// Has reports whether an entry of the feed is acknowledged: it is held or refused there.
func (p Partner) Has(index uint64) bool {
	return index < p.Cursor || p.AheadFrom <= index && index < p.AheadTo
}

// Sent reports whether an entry of the feed was ever sent.
func (p Partner) Sent(index uint64) bool {
	return index < p.Disclosed || p.AheadSent[0] <= index && index < p.AheadSent[1]
}

// joined takes together what came in order and what went ahead, once the one has come to
// where the other begins.
func (p *Partner) joined() {
	if p.AheadFrom == 0 || p.Cursor < p.AheadFrom {
		return
	}
	p.Cursor = max(p.Cursor, p.AheadTo)
	p.Disclosed = max(p.Disclosed, p.AheadSent[1])
	p.AheadFrom, p.AheadTo, p.AheadSent = 0, 0, [2]uint64{}
}

func partnerKey(feed uint32, c name.Council) []byte { return append(numKey4('p', feed), c...) }

// Partner returns how far a council has come in a feed.
func (v *View) Partner(f *Feed, c name.Council) (Partner, error) {
	p := Partner{Council: c}
	b, err := v.value(partnerKey(f.number, c))
	if errors.Is(err, ErrNotFound) {
		return p, nil
	}
	if err == nil {
		err = unmarshal(b, &p)
	}
	return p, err
}

func (t *tx) partner(f *Feed, c name.Council, change func(*Partner)) error {
	p := Partner{Council: c}
	b, err := t.lookup(partnerKey(f.number, c))
	if err == nil {
		err = unmarshal(b, &p)
	} else if errors.Is(err, ErrNotFound) {
		err = nil
	}
	if err != nil {
		return err
	}
	change(&p)
	if b, err = marshal(p); err != nil {
		return err
	}
	t.set(partnerKey(f.number, c), b)
	return nil
}

// Disclose logs that items are about to go to a partner. It returns when that
// is durable, so that nothing leaves unlogged; what was logged ahead for a follower,
// which may be nil, is not logged again. It returns ErrNotFound when the
// feed was closed meanwhile, ErrQuarantined when all exchange with the partner is
// stopped: then they must not go.
func (l *Ledger) Disclose(ctx context.Context, f *Feed, to name.Council, items []PageItem, ahead *Follower) error {
	return l.disclose(ctx, f, to, items, ahead, 0)
}

// DiscloseAhead is Disclose for what goes ahead of the rest, which begins at an index of
// the log.
func (l *Ledger) DiscloseAhead(ctx context.Context, f *Feed, to name.Council, items []PageItem, from uint64) error {
	return l.disclose(ctx, f, to, items, nil, from)
}

func (l *Ledger) disclose(ctx context.Context, f *Feed, to name.Council, items []PageItem, ahead *Follower, from uint64) error {
	if f.terms == nil || len(items) == 0 {
		return nil
	}
	over := func() error {
		if l.Feeds()[f.number].closed {
			return fmt.Errorf("disclose under %s: the agreement's feed is closed: %w", f.Agreement, ErrNotFound)
		}
		return nil
	}
	entries, puts := disclosed(ahead.unlogged(items))
	if len(entries) == 0 {
		return errors.Join(l.Allowed(to), over())
	}
	return l.do(ctx, false, func(t *tx) error {
		if err := over(); err != nil {
			return err
		}
		if err := t.leaves(f, to, items); err != nil {
			return err
		}
		return t.disclose(f, to, entries, puts, from)
	})
}

// An Ack is what a partner answered to a page.
type Ack struct {
	Since   uint64 // the cursor the page was read from
	Cursor  uint64 // and the one after it
	Held    int
	Refused int    // items of the page it refused
	Receipt []byte // signed event of the partner; nil when the page had no items
	Late    bool   // a receipt that was given before and did not get through
	Done    bool   // the agreement is over, and the receipt says that everything was deleted
	// Cosigned is the page's checkpoint with the partner's cosignature; nil for none.
	Cosigned *Cosigned
	// Suspended: the page held withdrawals alone, and Since and Cursor are of those.
	Suspended bool
	// Ahead: the page went ahead of the rest, and Since and Cursor are of that. AheadFrom is
	// where that begins on the stream; 0 while nothing goes ahead.
	Ahead     bool
	AheadFrom uint64
	// Call is what is logged of an answer that came by a call, without a receipt; nil for
	// none. What the partner said before in the same words is not logged again.
	Call *event.ReceiptByCall
}

// Acknowledge keeps a partner's receipt and moves its cursor. The cursor does
// not pass a withdrawal without a receipt that covers it: a partner that goes
// on from beyond one, and gives no late receipt for it, stays where it was.
func (l *Ledger) Acknowledge(ctx context.Context, f *Feed, from name.Council, a Ack) error {
	return l.do(ctx, false, func(t *tx) error {
		if a.Receipt != nil {
			key := append(receiptKey(f.number, a.Cursor), from...)
			old, err := t.lookup(key)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			// Two pages may end at one cursor, the later one empty. Its receipt must
			// not take the place of one that covers more.
			switch more := err != nil || a.Done || since(a.Receipt) < since(old); {
			case more || !a.Late && since(a.Receipt) == since(old):
				t.set(key, a.Receipt)
			case a.Late:
				return nil
			}
		}
		if a.Refused > 0 && a.Receipt != nil {
			if r := receiptIn(a.Receipt); r != nil {
				if err := t.ordersRefused(f, from, r); err != nil {
					return err
				}
			}
		}
		if a.Cosigned != nil {
			if err := t.cosign(a.Cosigned); err != nil {
				return err
			}
		}
		now := l.o.Now().UTC()
		var skips error
		err := t.partner(f, from, func(p *Partner) {
			if p.Done && !a.Done {
				return // an answer that was under way when it said its last word
			}
			if a.Call != nil && (p.LastAck.IsZero() || p.Held != a.Held || p.Done != a.Done || a.Cursor > max(p.Cursor, p.TakenBack)) {
				t.event(event.KindReceiptByCall, a.Call.Body())
			}
			skipped := false
			from := p.Cursor
			if a.Ahead {
				if from = a.AheadFrom; p.AheadFrom == from {
					from = p.AheadTo
				}
			}
			if from = max(from, p.TakenBack); a.Since > from {
				skips = l.View(func(v *View) error {
					return v.Withdrawals(f, from, a.Since, func(index uint64, _ name.Record) bool {
						skipped = !p.Has(index)
						return !skipped
					})
				})
			}
			if !a.Suspended && a.AheadFrom != p.AheadFrom && (a.AheadFrom > 0 || !a.Late) {
				p.AheadFrom, p.AheadTo = a.AheadFrom, a.AheadFrom
			}
			switch {
			case a.Ahead:
				if !skipped {
					p.AheadTo = max(p.AheadTo, a.Cursor)
				}
				if a.Late {
					return
				}
			case a.Suspended:
				if !skipped {
					p.TakenBack = max(p.TakenBack, a.Cursor)
				}
				if a.Late {
					return
				}
			case a.Late:
				if !skipped {
					p.Cursor = max(p.Cursor, a.Cursor)
					p.joined()
				}
				return
			case !skipped:
				p.Cursor = a.Cursor
				p.joined()
			}
			p.Held, p.LastAck, p.Behind = a.Held, now, ""
			p.Refused += a.Refused
			if p.Done = a.Done; p.Done {
				p.Kept = nil
			}
		})
		return errors.Join(err, skips)
	})
}

// GiveUp logs that a person has stopped waiting for a council's receipts under an
// agreement, in all its versions. When the council answers later, it counts again.
func (l *Ledger) GiveUp(ctx context.Context, g event.GivenUp) (entry uint64, err error) {
	err = l.do(ctx, true, func(t *tx) error {
		now := l.o.Now().UTC()
		for _, f := range l.Feeds() {
			if f.Agreement != g.Agreement || !slices.Contains(f.To, g.Council) {
				continue
			}
			if err := t.partner(f, g.Council, func(p *Partner) { p.GivenUp = now }); err != nil {
				return err
			}
		}
		entry = t.event(event.KindGivenUp, g.Body()).index
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("give up the receipts of %s: %w", g.Council, err)
	}
	return entry, nil
}

// since returns from which cursor on a receipt covers a feed: as far as possible from
// the beginning when it cannot be read.
func since(jws []byte) uint64 {
	if r := receiptIn(jws); r != nil {
		return r.Since
	}
	return math.MaxUint64
}

// receiptIn reads a receipt; nil for anything else.
func receiptIn(jws []byte) *event.Receipt {
	_, ev, err := record.ParseEvent(jws)
	if err != nil {
		return nil
	}
	r, err := event.ParseReceipt(ev.Body)
	if err != nil {
		return nil
	}
	return r
}

// KeptThere keeps that a council says that it keeps what it holds under a feed that is over.
func (l *Ledger) KeptThere(ctx context.Context, f *Feed, from name.Council, k event.Kept) error {
	return l.do(ctx, false, func(t *tx) error {
		return t.partner(f, from, func(p *Partner) {
			if !p.Done {
				p.Kept, p.Held, p.LastAck, p.Behind = &k, int(k.Records), l.o.Now().UTC(), ""
			}
		})
	})
}

// Receipts calls f with the receipts a council gave for a feed, oldest first.
func (v *View) Receipts(f *Feed, from name.Council, fn func(jws []byte) bool) error {
	err := v.walk(numKey4('r', f.number), func(key, value []byte) error {
		if string(key[13:]) == string(from) && !fn(value) {
			return errStopWalk
		}
		return nil
	})
	if err == errStopWalk {
		return nil
	}
	return err
}

// Outstanding calls fn with the withdrawals of a feed that a partner has not
// acknowledged: the log index of the withdrawal event and the record.
func (v *View) Outstanding(f *Feed, p Partner, fn func(index uint64, r name.Record) bool) error {
	return v.Withdrawals(f, max(p.Cursor, p.TakenBack), math.MaxUint64, func(index uint64, r name.Record) bool {
		return p.Has(index) || fn(index, r)
	})
}

// Withdrawals calls fn with the withdrawals that stand in a feed from one
// index up to, but not including, another, in order, until fn returns false.
func (v *View) Withdrawals(f *Feed, from, to uint64, fn func(index uint64, r name.Record) bool) error {
	it := v.list(numKey4('f', f.number))
	defer it.Close()
	for it.Seek(feedItemKey(f.number, from)); it.Valid() && indexAtEnd(it) < to; it.Next() {
		b, err := it.Item().ValueCopy(nil)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrStorage, err)
		}
		kind, r, err := decodeItem(b)
		if err != nil {
			return err
		}
		if kind == itemWithdraw && !fn(indexAtEnd(it), r) {
			return nil
		}
	}
	return nil
}

// InFeed reports where a record stands in a feed: the log index of its newest
// item and whether that is a withdrawal. ErrNotFound when it never was in it.
func (v *View) InFeed(f *Feed, r name.Record) (index uint64, withdrawn bool, err error) {
	b, err := v.value(memberKey(f.number, r.Bytes()))
	if err != nil {
		return 0, false, err
	}
	m, err := decodeMembership(b)
	return m.index, m.kind == itemWithdraw, err
}
