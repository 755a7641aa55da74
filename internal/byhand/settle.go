package byhand

import (
	"context"
	"errors"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
)

// Settle does once what follows from what was said: it sends what was accepted or approved,
// closes handovers whose receipts have come, and ends urgent disclosures whose time is over.
func (k *Keeper) Settle(ctx context.Context) error {
	_, err := k.settle(ctx)
	return err
}

// settle also reports whether it waits for receipts.
func (k *Keeper) settle(ctx context.Context) (waits bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.o.Ledger.Halted() != nil {
		return false, nil
	}
	var all []ledger.Case
	if err := k.o.Ledger.View(func(v *ledger.View) (err error) { all, err = v.Cases(); return err }); err != nil {
		return false, err
	}
	var errs []error
	for _, c := range all {
		switch {
		case !c.Sends:
		case c.State == ledger.CaseAccepted:
			waits = true
			errs = append(errs, k.pass(ctx, c))
		case c.State == ledger.CaseOut:
			errs = append(errs, k.keepOut(ctx, c))
		}
	}
	return waits, errors.Join(errs...)
}

// pass brings a handover on that was accepted.
func (k *Keeper) pass(ctx context.Context, c ledger.Case) error {
	var offer event.HandoverOffer
	var answer event.HandoverAnswer
	var jws []byte
	err := k.o.Ledger.View(func(v *ledger.View) (err error) {
		if offer, _, err = ledger.Said(v, c, event.KindHandoverOffer, event.ParseHandoverOffer); err == nil {
			answer, jws, err = ledger.Said(v, c, event.KindHandoverAnswer, event.ParseHandoverAnswer)
		}
		return err
	})
	if err != nil {
		return err
	}
	t, _, err := record.ParseEvent(jws)
	if err != nil {
		return err
	}
	taken := make([]bool, len(offer.Items))
	for _, i := range answer.Taken {
		if i < uint64(len(taken)) { // places that the offer does not have mean nothing
			taken[i] = true
		}
	}
	if !c.Out {
		// What the answer takes may travel from here on; what it leaves never.
		err := k.change(ctx, c, []string{ledger.CaseAccepted}, func(x *ledger.CaseTx, now ledger.Case) error {
			for i, it := range offer.Items {
				other, _, err := x.LetBy(it.Agreement, it.Record)
				if err != nil {
					return err
				}
				if _, problem := k.standing(now, it); taken[i] && problem == "" && other == (event.CaseID{}) {
					x.LetOut(now, it.Agreement, it.Record)
				}
			}
			now.Out = true
			return x.Keep(now)
		})
		if err != nil {
			return err
		}
	}
	closed := event.HandoverClosed{Case: c.ID, To: c.Partner, Answer: t.Entry()}
	for i, it := range offer.Items {
		if !taken[i] {
			closed.Left = append(closed.Left, it)
			continue
		}
		where, at, err := k.send(ctx, c, it)
		if err != nil {
			return err
		}
		switch where {
		case held:
			it.Entry = at
			closed.Passed = append(closed.Passed, it)
		case never:
			closed.Left = append(closed.Left, it)
		default:
			return nil // its receipt is still to come
		}
	}
	return k.change(ctx, c, []string{ledger.CaseAccepted}, func(x *ledger.CaseTx, now ledger.Case) error {
		for _, it := range closed.Passed {
			if err := x.TakenOver(now, it.Agreement, it.Record); err != nil {
				return err
			}
		}
		for _, it := range closed.Left {
			if _, _, err := x.TakeBack(now, it.Agreement, it.Record); err != nil {
				return err
			}
		}
		_, err := x.Log(now, ledger.CaseClosed, event.KindHandoverClosed, closed.Body(), true)
		return err
	})
}

// keepOut sends what an urgent disclosure lets out, until its time is over.
func (k *Keeper) keepOut(ctx context.Context, c ledger.Case) error {
	var decided event.UrgentDecided
	err := k.o.Ledger.View(func(v *ledger.View) (err error) {
		decided, _, err = ledger.Said(v, c, event.KindUrgentDecided, event.ParseUrgentDecided)
		return err
	})
	if err != nil {
		return err
	}
	if !k.o.Now().Before(time.Unix(int64(decided.Until), 0)) {
		return k.end(ctx, c, "its time is over", "")
	}
	for _, it := range decided.Items {
		if _, _, err := k.send(ctx, c, it); err != nil {
			return err
		}
	}
	return nil
}

// Where an item of a case is.
type place int

const (
	onTheWay place = iota
	held           // the partner's receipt says that it holds it
	never          // it cannot go, or the partner refused it
)

// send has an item that is let out enter its feed, and says how far it has come: at is the
// entry of the version that the partner holds.
func (k *Keeper) send(ctx context.Context, c ledger.Case, it event.Item) (where place, at uint64, err error) {
	doc, problem := k.standing(c, it)
	if problem != "" {
		return k.receipted(c, it, nil)
	}
	f, err := k.o.Ledger.Feed(doc.Name, doc.Digest())
	if errors.Is(err, ledger.ErrNotFound) || err == nil && !f.Ready {
		return onTheWay, 0, nil
	}
	if err != nil {
		return onTheWay, 0, err
	}
	var ver *ledger.Version
	in := false
	err = k.o.Ledger.View(func(v *ledger.View) error {
		lets, err := v.LetOutBy(it.Agreement, it.Record, c.ID)
		if err != nil || !lets {
			return err
		}
		if ver, err = v.Current(it.Record); errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrErased) {
			ver, err = nil, nil
		}
		if err != nil || ver == nil {
			return err
		}
		at, out, err := v.InFeed(f, it.Record)
		in = err == nil && !out && at == ver.Index
		if errors.Is(err, ledger.ErrNotFound) {
			err = nil
		}
		return err
	})
	if err != nil {
		return onTheWay, 0, err
	}
	if ver == nil || ver.Body == nil || ver.Claims.Op != record.Put {
		return never, 0, nil
	}
	if t := f.TermsFor(ver.Standard); t == nil || !t.Match(ver.Body) {
		return never, 0, nil
	}
	if in {
		return k.receipted(c, it, &ver.Index)
	}
	// It goes as a new version that says the same: receivers read a feed forward.
	o, err := k.o.Ledger.Offer(ver.Standard, ver.Body)
	if err == nil {
		err = k.o.Ledger.Write(ctx, o.Anew().At(ver.Claims.Version))
	}
	if err == nil {
		_, err = o.Result()
	}
	if errors.Is(err, ledger.ErrConflict) {
		err = nil // a newer version has come, and has entered by itself
	}
	return onTheWay, 0, err
}

// receipted says what the partner's receipts say of a record. current is the entry that it
// is to hold; nil when nothing more of the record goes, and whatever it has said is all.
func (k *Keeper) receipted(c ledger.Case, it event.Item, current *uint64) (where place, at uint64, err error) {
	where = onTheWay
	if current == nil {
		where = never
	}
	err = k.o.Ledger.View(func(v *ledger.View) error {
		for _, f := range k.o.Ledger.Feeds() {
			if f.Agreement != it.Agreement {
				continue
			}
			err := v.Receipts(f, c.Partner, func(jws []byte) bool {
				_, ev, err := record.ParseEvent(jws)
				if err != nil {
					return true
				}
				r, err := event.ParseReceipt(ev.Body)
				if err != nil {
					return true
				}
				said := func(list []uint64, is place) {
					for _, i := range list {
						if i < it.Entry || current != nil && i != *current {
							continue
						}
						if g, err := v.Logged(i); err == nil && g.Record == it.Record && i >= at {
							where, at = is, i
						}
					}
				}
				said(r.Held, held)
				said(r.RefusedIndexes(), never)
				return true
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return where, at, err
}
