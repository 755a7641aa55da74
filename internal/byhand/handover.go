package byhand

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/workday"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// OfferHandover offers records to a partner, to be taken over.
// Where the request names a case it goes on from that, which a council that has ended left to us.
func (k *Keeper) OfferHandover(ctx context.Context, in api.CaseRequest) (*api.CaseReply, error) {
	var from ledger.Case
	var was event.HandoverCarried
	if in.Case != "" {
		var err error
		if in, from, was, err = k.continues(in); err != nil {
			return nil, err
		}
	}
	if err := words("why it is handed over", in.Because, true); err != nil {
		return nil, err
	}
	ids, err := k.meant(in)
	if err != nil {
		return nil, err
	}
	items, left, docs, err := k.gather(ids, in.Partner, true)
	if err != nil {
		return nil, err
	}
	notice := k.today()
	if in.Notice != "" {
		if notice, err = time.Parse(time.DateOnly, in.Notice); err != nil || notice.After(k.today()) {
			return nil, api.Fail(api.Usage, "--notice 2026-12-01", "the day of notice is a date, today or before")
		}
	}
	due, err := dueOf(docs, notice, in.Due)
	if err != nil {
		return nil, err
	}
	if in.Due == "" {
		due = earlier(due, was.Due)
	}
	id, err := newCase()
	if err != nil {
		return nil, err
	}
	offer := event.HandoverOffer{
		Case: id, To: in.Partner, Ref: in.Ref, Because: in.Because, By: by(ctx, in.By),
		Notice: notice.Format(time.DateOnly), Due: due, Items: items,
	}
	if err := k.sayable(offer.Ref, offer.By); err != nil {
		return nil, err
	}
	c := ledger.Case{ID: id, Partner: in.Partner, Sends: true}
	k.offering.Lock() // what is looked at and what is logged are one step
	defer k.offering.Unlock()
	if err := k.nobodyElse(in.Partner, items); err != nil {
		return nil, err
	}
	if err := k.notAgain(in.Ref, items); err != nil {
		return nil, err
	}
	err = k.o.Ledger.ChangeCases(ctx, []name.Council{in.Partner}, func(x *ledger.CaseTx) error {
		for _, it := range items {
			other, taken, err := x.LetBy(it.Agreement, it.Record)
			if err != nil {
				return err
			}
			if other != (event.CaseID{}) && !taken {
				return api.Fail(api.Conflict, "stile handover show "+other.String()[:8], "record %s is in the handover %s, which the partner has accepted", it.Record, other.String()[:8])
			}
		}
		if in.Case != "" {
			now, err := x.Get(from.ID)
			if err == nil && now.State != ledger.CaseCarried {
				err = moved(now)
			}
			if err != nil {
				return err
			}
			now.State, now.Next = ledger.CaseContinued, id.String()
			if err := x.Keep(now); err != nil {
				return err
			}
		}
		_, err := x.Log(c, ledger.CaseOffered, event.KindHandoverOffer, offer.Body(), true)
		return err
	})
	if err != nil {
		return nil, err
	}
	r, err := k.shown(id)
	if err == nil {
		r.Left = left
	}
	return r, err
}

// nobodyElse returns an error where an offer of ours to another council that is not settled has
// one of the records: were both to accept, two councils would be responsible for one case.
func (k *Keeper) nobodyElse(to name.Council, items []event.Item) error {
	return k.o.Ledger.View(func(v *ledger.View) error {
		all, err := v.Cases()
		if err != nil {
			return err
		}
		for _, c := range all {
			if c.Urgent || !c.Sends || c.Partner == to || c.State != ledger.CaseOffered && c.State != ledger.CaseAccepted {
				continue
			}
			offer, _, err := ledger.Said(v, c, event.KindHandoverOffer, event.ParseHandoverOffer)
			if err != nil {
				return err
			}
			for _, it := range items {
				if !slices.ContainsFunc(offer.Items, func(o event.Item) bool { return o.Record == it.Record }) {
					continue
				}
				id := c.ID.String()[:8]
				if c.State == ledger.CaseAccepted {
					return api.Fail(api.Conflict, "stile handover show "+id, "record %s is in the handover %s, which %s has accepted", it.Record, id, c.Partner)
				}
				return api.Fail(api.Conflict, "stile handover withdraw "+id, "record %s is offered to %s in the handover %s: were both to accept, two councils would be responsible", it.Record, c.Partner, id)
			}
		}
		return nil
	})
}

// notAgain returns an error where one of the records was taken over in a handover that is
// closed, and the offer is of the same case by its reference: who took it over is responsible,
// and a closed handover does not begin anew because its offer is repeated. A case with another
// reference is a new one.
func (k *Keeper) notAgain(ref string, items []event.Item) error {
	var moves []name.Agreement // of ours, whether they last or not
	for _, st := range k.o.Agreements.Current(k.o.Now()) {
		if a := st.Agreement; a.From == k.o.Self && a.Way().ByHand && a.Way().Moves {
			moves = append(moves, a.Name)
		}
	}
	return k.o.Ledger.View(func(v *ledger.View) error {
		for _, it := range items {
			for _, a := range moves {
				id, taken, err := v.LetBy(a, it.Record)
				if err != nil {
					return err
				}
				if !taken {
					continue
				}
				c, err := v.Case(id)
				if err != nil {
					return err
				}
				offer, _, err := ledger.Said(v, c, event.KindHandoverOffer, event.ParseHandoverOffer)
				if err != nil {
					return err
				}
				if ref != "" && !same(ref, offer.Ref) {
					continue
				}
				of := "with no reference of its own"
				if offer.Ref != "" {
					of = fmt.Sprintf("with the reference %q", offer.Ref)
				}
				return api.Fail(api.Conflict, "stile handover show "+id.String()[:8]+`; for a new case, offer it with --case and a reference of its own`,
					"%s has taken record %s over in the handover %s, %s, which is closed, and is responsible for it: it is not opened again", c.Partner, it.Record, id.String()[:8], of)
			}
		}
		return nil
	})
}

// sayable holds the short texts of a case to their bounds.
func (k *Keeper) sayable(ref, by string) error {
	if !oneLine(ref, 100) || !oneLine(by, 256) {
		return api.Fail(api.Usage, "", "a reference is one line of at most 100 bytes, and a name one of at most 256")
	}
	return nil
}

// dueOf returns the last day to take over by: the first that any of the agreements says,
// or one that a person says instead, which is no later.
func dueOf(docs []*agreement.Agreement, notice time.Time, said string) (string, error) {
	due := ""
	var unknown error
	for _, a := range docs {
		if a.Due == "" {
			continue
		}
		l, err := workday.Parse(a.Due)
		if err != nil {
			return "", fmt.Errorf("agreement %s: due: %w", a.Name, err)
		}
		last, err := l.From(notice)
		if err != nil {
			unknown = err
			continue
		}
		if d := last.Format(time.DateOnly); due == "" || d < due {
			due = d
		}
	}
	if said == "" {
		if unknown != nil {
			return "", api.Fail(api.Refused, "--due DATE says the last day; a newer version of this program may know the bank holidays", "the last day cannot be told: %v", unknown)
		}
		return due, nil
	}
	day, err := time.Parse(time.DateOnly, said)
	switch {
	case err != nil || day.Before(notice):
		return "", api.Fail(api.Usage, "--due 2026-12-22", "the last day is a date, and not before the day of notice")
	case due != "" && said > due:
		return "", api.Fail(api.Refused, "leave out --due", "the agreement has it taken over by %s", due)
	}
	return said, nil
}

// AcceptHandover takes over what a partner offered: all that agreements in force let us
// have or, of that, only some.
func (k *Keeper) AcceptHandover(ctx context.Context, in api.CaseRequest) (*api.CaseReply, error) {
	return k.answer(ctx, in, true)
}

// DeclineHandover says no to what a partner offered.
func (k *Keeper) DeclineHandover(ctx context.Context, in api.CaseRequest) (*api.CaseReply, error) {
	return k.answer(ctx, in, false)
}

func (k *Keeper) answer(ctx context.Context, in api.CaseRequest, accept bool) (*api.CaseReply, error) {
	if err := words("why it is declined", in.Because, !accept); err != nil {
		return nil, err
	}
	c, err := k.find(in.Case, false)
	if err != nil {
		return nil, err
	}
	if c.State == ledger.CaseCarried {
		return nil, moved(c)
	}
	if c.Sends {
		return nil, api.Fail(api.Refused, "stile handover withdraw "+c.ID.String()[:8], "this is our own offer, which %s answers", c.Partner)
	}
	var offer event.HandoverOffer
	var jws []byte
	err = k.o.Ledger.View(func(v *ledger.View) (err error) {
		offer, jws, err = ledger.Said(v, c, event.KindHandoverOffer, event.ParseHandoverOffer)
		return err
	})
	if err != nil {
		return nil, err
	}
	t, _, err := record.ParseEvent(jws)
	if err != nil {
		return nil, err
	}
	out := event.HandoverAnswer{Case: c.ID, From: c.Partner, Offer: t.Entry(), Accepted: accept, Because: in.Because, By: by(ctx, in.By)}
	if err := k.sayable("", out.By); err != nil {
		return nil, err
	}
	var left []api.CaseItem
	if accept {
		var only []name.Record
		for _, r := range in.Only {
			id, err := name.ParseRecord(r)
			if err != nil || !slices.ContainsFunc(offer.Items, func(it event.Item) bool { return it.Record == id }) {
				return nil, api.Fail(api.NotFound, "stile handover show "+c.ID.String()[:8], "the offer has no such record")
			}
			only = append(only, id)
		}
		for i, it := range offer.Items {
			_, problem := k.standing(c, it)
			switch {
			case len(only) > 0 && !slices.Contains(only, it.Record):
				continue
			case problem != "":
				left = append(left, api.CaseItem{Agreement: it.Agreement, Record: it.Record, Problem: problem})
				continue
			}
			out.Taken = append(out.Taken, uint64(i))
		}
		if len(out.Taken) == 0 {
			return nil, api.Fail(api.Refused, "stile handover show "+c.ID.String()[:8], "nothing of it may be taken: %s", left[0].Problem)
		}
	}
	err = k.change(ctx, c, []string{ledger.CaseOffered}, func(x *ledger.CaseTx, now ledger.Case) error {
		state := ledger.CaseDeclined
		for _, i := range out.Taken {
			it := offer.Items[i]
			other, taken, err := x.LetBy(it.Agreement, it.Record)
			if err != nil {
				return err
			}
			if taken { // in a case that is closed: it is here, and stays whatever comes of this one
				continue
			}
			if other != (event.CaseID{}) {
				return api.Fail(api.Conflict, "stile handover show "+other.String()[:8], "record %s was accepted already, in the handover %s", it.Record, other.String()[:8])
			}
			x.LetOut(now, offer.Items[i].Agreement, offer.Items[i].Record)
		}
		if accept {
			state = ledger.CaseAccepted
		}
		_, err := x.Log(now, state, event.KindHandoverAnswer, out.Body(), true)
		return err
	})
	if err != nil {
		return nil, err
	}
	r, err := k.shown(c.ID)
	if err == nil {
		r.Left = left
	}
	return r, err
}

// WithdrawHandover takes back an offer that was not answered.
func (k *Keeper) WithdrawHandover(ctx context.Context, in api.CaseRequest) (*api.CaseReply, error) {
	if err := words("why it is withdrawn", in.Because, true); err != nil {
		return nil, err
	}
	c, err := k.find(in.Case, false)
	if err != nil {
		return nil, err
	}
	if !c.Sends {
		return nil, api.Fail(api.Refused, "stile handover decline "+c.ID.String()[:8], "%s offered it, and may withdraw it", c.Partner)
	}
	out := event.HandoverWithdrawn{Case: c.ID, To: c.Partner, Because: in.Because, By: by(ctx, in.By)}
	if err := k.sayable("", out.By); err != nil {
		return nil, err
	}
	err = k.change(ctx, c, []string{ledger.CaseOffered}, func(x *ledger.CaseTx, now ledger.Case) error {
		_, err := x.Log(now, ledger.CaseWithdrawn, event.KindHandoverWithdrawn, out.Body(), true)
		return err
	})
	if err != nil {
		return nil, err
	}
	return k.shown(c.ID)
}
