package peersync

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// An offer is an entry on its way, with what it is for us.
type offer struct {
	entry footprint.Entry
	index uint64 // in our log; of the item
	event uint64 // of a withdrawal, in our log
	put   bool   // a record of the page
	item  bool   // of the page; else a withdrawal that makes room
}

// offers makes the entries for part of a page, for a footprint that has adopted
// some standards. Where it holds a record with other fields than are agreed now, its
// withdrawal comes first; with anew set, whichever version it holds. So it does where the
// version there is not in our log, since that was set back: the two beside each other would
// be evidence against us.
func (c *contributor) offers(ctx context.Context, f *ledger.Feed, part *ledger.Page, adopted []name.Standard, anew bool) ([]offer, error) {
	type parsed struct {
		record bool
		claims record.Claims
		entry  tlog.Hash
	}
	all := make([]parsed, len(part.Items))
	var ids []name.Record
	for i, it := range part.Items {
		if bytes.IndexByte(it.Token, '~') < 0 {
			continue
		}
		claims, entry, err := record.ClaimsOf(it.Token)
		if err != nil {
			return nil, fmt.Errorf("internal error: entry %d: %w", it.Index, err)
		}
		all[i], ids = parsed{true, claims, entry}, append(ids, claims.Record)
	}
	var there map[name.Record]holding
	if len(ids) > 0 {
		back := false
		err := c.s.o.Ledger.View(func(v *ledger.View) error { back = v.SetBack(); return nil })
		if err != nil {
			return nil, err
		}
		if there, err = c.to.holdings(ctx, f, ids, back); err != nil {
			return nil, err
		}
	}
	var out []offer
	for i, it := range part.Items {
		o := offer{entry: footprint.Entry{Token: it.Token}, index: it.Index, event: it.Index, item: true}
		v := all[i].claims
		if !all[i].record {
			if err := c.asWithdrawal(ctx, f, &o); err != nil {
				return nil, err
			}
			out = append(out, o)
			continue
		}
		if !slices.Contains(adopted, v.Standard) {
			who := ""
			if c.own == nil {
				who = "ask a member for "
			}
			return nil, fmt.Errorf("%s has not adopted %s: %sstile footprint adopt %s %s", c.footprint, v.Standard, who, c.footprint, v.Standard)
		}
		h, holds := there[v.Record]
		why := WithdrawnFields
		if holds && h.entry != all[i].entry && !anew {
			lost, err := c.lost(v, h.entry)
			if err != nil {
				return nil, err
			}
			why, holds = WithdrawnLost, lost // else an older version, with what was agreed then and is now
		}
		if holds && h.token != sha256.Sum256(it.Token) {
			at, w, err := c.withdrawal(ctx, f, v.Record, why, it.Index)
			if err != nil {
				return nil, err
			}
			out = append(out, offer{entry: footprint.Entry{Token: w}, index: it.Index, event: at})
		}
		o.put = true
		out = append(out, o)
	}
	return out, nil
}

// lost reports whether a version that a footprint holds of a record is not in our log, of
// which another is to be brought: it was signed in a part that we lost, also where nobody
// could tell us so. Where our log is damaged that is not known, and not said.
func (c *contributor) lost(next record.Claims, entry tlog.Hash) (bool, error) {
	if next.Council != c.s.o.Self || next.Version > 1 && next.Prev == entry {
		return false, nil
	}
	is := false
	err := c.s.o.Ledger.View(func(v *ledger.View) (err error) {
		is, err = v.IsVersion(next.Record, entry)
		return err
	})
	if errors.Is(err, ledger.ErrDamaged) {
		return false, nil
	}
	return !is && err == nil, err
}

// asWithdrawal puts a withdrawal of its own in the place of an order to erase: a
// footprint erases what is withdrawn, at every member, and knows of no order.
func (c *contributor) asWithdrawal(ctx context.Context, f *ledger.Feed, o *offer) error {
	_, ev, err := record.ParseEvent(o.entry.Token)
	if err != nil || ev.Kind != event.KindErasureOrder {
		return err
	}
	w, err := event.ParseErasureOrder(ev.Body)
	if err == nil {
		o.event, o.entry.Token, err = c.withdrawal(ctx, f, w.Record, w.Reason, w.Entry)
	}
	return err
}

// withdrawal logs the withdrawal of a record from a footprint, or returns the one that this
// contributor logged within the same second.
func (c *contributor) withdrawal(ctx context.Context, f *ledger.Feed, rec name.Record, reason string, index uint64) (uint64, []byte, error) {
	w := event.Withdrawal{Agreement: f.Agreement, Version: uint64(f.Version), Record: rec, Reason: reason, Entry: index}
	c.mu.Lock()
	made, ok := c.made[w]
	ok = ok && c.madeAt == c.s.o.Now().Unix()
	c.mu.Unlock()
	if ok {
		return made.index, made.jws, nil
	}
	at, jws, err := c.s.o.Ledger.AppendNotice(ctx, event.KindWithdrawal, w.Body())
	if err != nil {
		return 0, nil, err
	}
	_, ev, err := record.ParseEvent(jws)
	if err != nil {
		return 0, nil, fmt.Errorf("internal error: entry %d: %w", at, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made == nil || c.madeAt != ev.IssuedAt {
		c.made, c.madeAt = map[event.Withdrawal]logged{}, ev.IssuedAt
	}
	c.made[w] = logged{at, jws}
	return at, jws, nil
}

// entriesOf returns the entries of offers.
func entriesOf(offers []offer) []footprint.Entry {
	entries := make([]footprint.Entry, len(offers))
	for i, o := range offers {
		entries[i] = o.entry
	}
	return entries
}
