package book

import (
	"context"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// Vouch logs what we say about an agreement as a member of a footprint that is its
// party, when we are none ourselves, and addresses it to the councils to.
func (b *Book) Vouch(ctx context.Context, kind string, body map[string]any, to []name.Council) error {
	if _, err := strictjson.Decode(strictjson.Canonical(body), strictjson.DefaultLimits()); err != nil {
		return fmt.Errorf("internal error: %w", err)
	}
	_, _, err := b.o.Ledger.AppendNotice(ctx, kind, body, to...)
	return err
}

// Renew logs that we renew a document, for ourselves when we are a party, and as a member
// of the footprints that are, and addresses it to the councils to. The error is that of
// [agreement.State.Apply], and then nothing is logged.
func (b *Book) Renew(ctx context.Context, r agreement.Renewal, party bool, to []name.Council) error {
	body, now := r.Body(), b.o.Now()
	v, err := strictjson.Decode(strictjson.Canonical(body), strictjson.DefaultLimits())
	if err != nil {
		return fmt.Errorf("internal error: %w", err)
	}
	if party {
		if err := b.Say(b.o.Self, event.KindAgreementRenewal, v); err != nil {
			return err
		}
	}
	if _, _, err := b.o.Ledger.AppendNotice(ctx, event.KindAgreementRenewal, body, to...); err != nil {
		return err
	}
	ev := &record.Event{Council: b.o.Self, Kind: event.KindAgreementRenewal, IssuedAt: now.Unix(), Body: v.(map[string]any)}
	b.mu.Lock()
	defer b.mu.Unlock()
	if ref, ok := b.vote(ev); ok {
		b.count(ref)
	}
	return nil
}

// Vouched reports whether our own log has an event of a kind about a document.
func (b *Book) Vouched(kind string, ref agreement.Ref) (bool, error) {
	return b.logged(kind, func(ev *record.Event) bool {
		r, ok := agreement.RefOf(ev.Kind, ev.Body)
		return ok && r == ref
	})
}

// Noticed reports whether our own log has the very same notice.
func (b *Book) Noticed(kind string, n agreement.Notice) (bool, error) {
	return b.logged(kind, func(ev *record.Event) bool {
		said, err := agreement.ParseNotice(ev.Body)
		return err == nil && said == n
	})
}

// logged reports whether an event of a kind in our own log is as asked for.
func (b *Book) logged(kind string, is func(*record.Event) bool) (found bool, err error) {
	err = b.o.Ledger.View(func(v *ledger.View) (err error) {
		v.Events(kind, 0, func(i uint64) bool {
			var ev *record.Event
			if ev, _, err = v.Event(i); err == nil {
				found = is(ev)
			}
			return err == nil && !found
		})
		return err
	})
	return found, err
}

// Under returns the agreement under which our records of a standard go into a
// footprint, or have gone there and are not withdrawn yet. When that cannot be read
// it reports true, and no agreement.
func (b *Book) Under(fp name.Council, line name.StandardLine) (found name.Agreement, ok bool) {
	err := b.o.Ledger.View(func(v *ledger.View) error {
		for _, f := range b.o.Ledger.Feeds() {
			if f.Agreement == "" || !slices.Contains(f.To, fp) || !f.Copied() || f.Terms().Agreement().Standard != line {
				continue
			}
			p, err := v.Partner(f, fp)
			if err != nil {
				return err
			}
			if !f.Closed() || p.Held > 0 && !p.Done {
				found, ok = f.Agreement, true
				return nil
			}
		}
		return nil
	})
	return found, ok || err != nil
}
