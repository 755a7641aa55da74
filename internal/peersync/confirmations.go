package peersync

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// Confirmations holds what footprints have not confirmed yet, and their last
// receipts. It may be used concurrently.
type Confirmations struct {
	mu  sync.Mutex // guards what follows
	all map[confirmKey]*unconfirmed
}

type confirmKey struct {
	footprint name.Council
	agreement name.Agreement
}

type unconfirmed struct {
	waiting   []contribution // in the order of our log
	covered   uint64         // our log index of the last event.KindFootprintContributed with a receipt
	recent    []uint64       // the last event.KindFootprintContributed, at most maxRecent
	missing   []name.Council
	confirmed Confirmed // of all receipts; Members, At and Entry of the last
}

// A contribution is what one event.KindFootprintContributed says, as far as it matters here.
type contribution struct {
	index     uint64 // of the event
	size      uint64 // of the footprint's ledger that covers it
	entries   int
	withdrawn int
	at        time.Time
}

// Confirmed says what all members of a footprint have confirmed.
type Confirmed struct {
	Withdrawn int            // withdrawals, over all receipts
	Held      int            // records taken, over all receipts; each version counts
	Members   []name.Council // in the last receipt
	At        time.Time      // of the last receipt
	Entry     uint64         // of it in our log; 0 when there is none
}

// Unconfirmed says what is not confirmed: withdrawals.
type Unconfirmed struct {
	Withdrawals int
	Oldest      time.Time
	Missing     []name.Council // who has not confirmed them
}

// OpenConfirmations reads from our ledger what waits and what was confirmed.
func OpenConfirmations(l *ledger.Ledger) (*Confirmations, error) {
	c := &Confirmations{all: map[confirmKey]*unconfirmed{}}
	err := l.View(func(v *ledger.View) error {
		for _, kind := range []string{event.KindFootprintConfirmed, event.KindFootprintContributed} {
			var failed error
			v.Events(kind, 0, func(i uint64) bool {
				var ev *record.Event
				if ev, _, failed = v.Event(i); failed == nil {
					c.add(i, ev)
				}
				return failed == nil
			})
			if failed != nil {
				return fmt.Errorf("read receipts of footprints: %w", failed)
			}
		}
		return nil
	})
	return c, err
}

// add takes in one event. One that cannot be read is passed over: this node wrote it.
func (c *Confirmations) add(index uint64, ev *record.Event) {
	at := time.Unix(ev.IssuedAt, 0).UTC()
	c.mu.Lock()
	defer c.mu.Unlock()
	of := func(fp name.Council, a name.Agreement) *unconfirmed {
		k := confirmKey{fp, a}
		if c.all[k] == nil {
			c.all[k] = &unconfirmed{}
		}
		return c.all[k]
	}
	switch ev.Kind {
	case event.KindFootprintConfirmed:
		content, err := event.ParseFootprintConfirmed(ev.Body)
		if err != nil {
			return
		}
		p := of(content.Footprint, content.Agreement)
		p.covered = max(p.covered, content.Last)
		r := &p.confirmed
		r.Withdrawn, r.Held, r.At, r.Entry, r.Members = r.Withdrawn+len(content.Withdrawn), r.Held+len(content.Held), at, index, content.Members
		p.waiting = slices.DeleteFunc(p.waiting, func(w contribution) bool { return w.index <= p.covered })
	case event.KindFootprintContributed:
		content, err := event.ParseFootprintContributed(ev.Body)
		if err != nil || content.Outside {
			return // we hold no cosignatures of what others keep
		}
		p := of(content.Footprint, content.Agreement)
		if p.recent = append(p.recent, index); len(p.recent) > maxRecent {
			p.recent = slices.Delete(p.recent, 0, 1)
		}
		positions := slices.Concat(content.HeldAt, content.WithdrawnAt)
		if index > p.covered && len(positions) > 0 {
			p.waiting = append(p.waiting, contribution{index, slices.Max(positions) + 1, len(positions), len(content.Withdrawn), at})
			slices.SortFunc(p.waiting, func(x, y contribution) int { return cmp.Compare(x.index, y.index) })
		}
	}
}

// Of returns what is known of one agreement with a footprint.
func (c *Confirmations) Of(fp name.Council, a name.Agreement) (Confirmed, Unconfirmed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.all[confirmKey{fp, a}]
	if p == nil {
		return Confirmed{}, Unconfirmed{}
	}
	var open Unconfirmed
	for _, w := range p.waiting {
		if open.Withdrawals += w.withdrawn; w.withdrawn > 0 && open.Oldest.IsZero() {
			open.Oldest = w.at
		}
	}
	if open.Withdrawals > 0 {
		open.Missing = slices.Clone(p.missing)
	}
	return p.confirmed, open
}

func (c *Confirmations) waits(k confirmKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all[k].waiting) > 0
}
