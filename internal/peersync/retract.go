package peersync

import (
	"context"
	"errors"
	"sync"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
)

// WithdrawnFields is the reason of a withdrawal from a footprint that makes room
// for the same record with other fields.
const WithdrawnFields = "other fields are agreed now"

// WithdrawnLost is the reason of a withdrawal from a footprint of a version that our log
// has not any more, which makes room for the one that it has.
const WithdrawnLost = "it is of a part of our log that was lost"

// WithdrawnOver is the reason of a withdrawal from a footprint when the agreement
// is over.
const WithdrawnOver = "the agreement is over"

// sendWithdrawals withdraws what has to come back while an agreement is suspended, and
// brings nothing else.
func (c *contributor) sendWithdrawals(ctx context.Context, f *ledger.Feed) error {
	p, err := c.s.partnerOf(f, c.footprint)
	if err != nil || p.Disclosed == 0 {
		return err
	}
	for from := max(p.Cursor, p.TakenBack); ; {
		page, err := c.s.o.Ledger.Withdrawals(f, from)
		if err != nil || len(page.Items) == 0 {
			return err
		}
		if err := c.s.o.Directory.Exchange(c.s.o.Now()); err != nil {
			return err
		}
		page.Items = page.Items[:min(len(page.Items), partItems)]
		page.Cursor = page.Items[len(page.Items)-1].Index + 1
		offers := make([]offer, len(page.Items))
		for i, it := range page.Items {
			offers[i] = offer{entry: footprint.Entry{Token: it.Token}, index: it.Index, event: it.Index, item: true}
			if err := c.asWithdrawal(ctx, f, &offers[i]); err != nil {
				return err
			}
		}
		if err := c.s.o.Ledger.Disclose(ctx, f, c.footprint, page.Items, nil); err != nil {
			return err
		}
		got, err := c.contribute(ctx, f, page.Cursor, offers)
		if err != nil {
			return err
		}
		if err := c.contributed(ctx, f, page, offers, got); err != nil {
			return err
		}
		from = page.Cursor
	}
}

// retract withdraws everything that an agreement let into a footprint and that is
// over now. What there is is read from the footprint: it is what has to go.
func (c *contributor) retract(ctx context.Context, f *ledger.Feed) error {
	p, err := c.s.partnerOf(f, c.footprint)
	if err != nil || p.Done || p.Disclosed == 0 {
		return err
	}
	for {
		ours, err := c.to.records(ctx, f)
		if err != nil {
			return err
		}
		if len(ours) == 0 {
			break
		}
		offers := make([]offer, len(ours))
		errs := make([]error, len(ours))
		var wg sync.WaitGroup
		for i, rec := range ours {
			// Together, so that the ledger commits many at a time.
			wg.Go(func() {
				var jws []byte
				var was, at uint64
				err := c.s.o.Ledger.View(func(v *ledger.View) (err error) {
					was, _, err = v.InFeed(f, rec)
					return err
				})
				if err == nil || errors.Is(err, ledger.ErrNotFound) {
					at, jws, err = c.withdrawal(ctx, f, rec, WithdrawnOver, was)
				}
				offers[i], errs[i] = offer{entry: footprint.Entry{Token: jws}, event: at, item: true}, err
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		got, err := c.contribute(ctx, f, f.End, offers)
		if err != nil {
			return err
		}
		_, withdrawn, refused := c.outcomes(offers, got)
		err = c.noteContributed(ctx, event.FootprintContributed{
			Version: uint64(f.Version), Position: got.Position, Since: f.End, Cursor: f.End, Refused: refused,
		}, nil, withdrawn)
		if err != nil {
			return err
		}
	}
	return c.s.o.Ledger.Acknowledge(ctx, f, c.footprint, ledger.Ack{Since: f.End, Cursor: f.End, Done: true})
}
