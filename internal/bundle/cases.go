package bundle

import (
	"errors"
	"slices"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// cases returns the cases in which people let out, or were to let out, records of ours
// under an agreement. A case may be about records under others too; what was said of it is
// signed as a whole, and goes in as a whole.
func (b *bundler) cases(a name.Agreement) (out []ledger.Case, err error) {
	all, err := b.v.Cases()
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		var items []event.Item
		if c.Sends && !c.Urgent {
			var h event.HandoverOffer
			h, _, err = ledger.Said(b.v, c, event.KindHandoverOffer, event.ParseHandoverOffer)
			items = h.Items
		} else if c.Sends {
			var u event.UrgentGiven
			u, _, err = ledger.Said(b.v, c, event.KindUrgentGiven, event.ParseUrgentGiven)
			items = u.Items
		}
		if err != nil && !errors.Is(err, ledger.ErrNotFound) { // asked for, and not given
			return nil, err
		}
		if slices.ContainsFunc(items, func(it event.Item) bool { return it.Agreement == a }) {
			out = append(out, c)
		}
	}
	return out, nil
}

// saidOfCases puts into set what we said in cases under an agreement. However a bundle is
// narrowed it holds all of it: what went out later rests on it.
func (b *bundler) saidOfCases(a name.Agreement, set map[uint64]bool) error {
	cases, err := b.cases(a)
	for _, c := range cases {
		for _, at := range c.Ours {
			set[at] = true
		}
	}
	return err
}

// heardOfCases writes what the partner said in cases under an agreement.
func (b *bundler) heardOfCases(a name.Agreement) error {
	cases, err := b.cases(a)
	if err != nil {
		return err
	}
	for _, c := range cases {
		for _, kind := range event.CaseKinds() {
			jws := c.Theirs[kind]
			if jws == nil {
				continue
			}
			b.who[c.Partner] = true
			if err := b.w.AddEvent(c.Partner, jws); err != nil {
				return err
			}
		}
	}
	return nil
}
