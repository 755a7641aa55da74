package byhand

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// A council may end while a handover of its is offered or accepted, and long after it took one
// over. Each of these goes on with a successor: the log of the council that ends says so in its
// last entries, and the successor carries the case on under the same id, with the same day to
// take it over by. Nothing travels in such a case any more, since its agreements are over: who
// sends offers its records anew (see [Keeper.OfferHandover]), which makes a new case of it.

// An Ending is a handover that somebody has to carry on when we end. Items are the records that
// it is about: of ours where we offered them, or where we carried it on ourselves, and else of
// the partner.
type Ending struct {
	event.CarriedCase
	Items []event.Item
	Ours  bool // Items name records of ours
	Began time.Time
}

// Ending returns the handovers that are to be carried on when we end, by when they began, and
// when the last handover began by which somebody took each record of ours over.
func (k *Keeper) Ending() (out []Ending, gone map[name.Record]time.Time, err error) {
	gone = map[name.Record]time.Time{}
	err = k.o.Ledger.View(func(v *ledger.View) error {
		all, err := v.Cases()
		if err != nil {
			return err
		}
		for _, c := range all {
			if !c.Urgent && c.Sends && c.State == ledger.CaseClosed {
				closed, _, err := ledger.Said(v, c, event.KindHandoverClosed, event.ParseHandoverClosed)
				if err != nil {
					return err
				}
				for _, it := range closed.Passed {
					gone[it.Record] = c.Began
				}
				continue
			}
			e, ok, err := ending(v, c)
			if err != nil {
				return err
			}
			if ok {
				out = append(out, e)
			}
		}
		return nil
	})
	return out, gone, err
}

func ending(v *ledger.View, c ledger.Case) (e Ending, ok bool, err error) {
	if c.Urgent {
		return e, false, nil
	}
	e.Began = c.Began
	if c.State == ledger.CaseCarried {
		h, _, err := ledger.Said(v, c, event.KindHandoverCarried, event.ParseHandoverCarried)
		e.CarriedCase, e.Ours = h.CarriedCase, true
		for _, r := range h.Records {
			e.Items = append(e.Items, event.Item{Record: r})
		}
		return e, err == nil, err
	}
	state := map[string]string{ledger.CaseOffered: event.CarriedOffered, ledger.CaseAccepted: event.CarriedAccepted, ledger.CaseClosed: event.CarriedClosed}[c.State]
	if state == "" {
		return e, false, nil
	}
	offer, _, err := ledger.Said(v, c, event.KindHandoverOffer, event.ParseHandoverOffer)
	if err != nil {
		return e, false, err
	}
	e.CarriedCase = event.CarriedCase{Case: c.ID, Partner: c.Partner, Sends: c.Sends, State: state, Ref: offer.Ref, Notice: offer.Notice, Due: offer.Due}
	e.Items, e.Ours = offer.Items, c.Sends
	switch c.State {
	case ledger.CaseAccepted:
		answer, _, err := ledger.Said(v, c, event.KindHandoverAnswer, event.ParseHandoverAnswer)
		if err != nil {
			return e, false, err
		}
		e.Items = nil
		for _, i := range answer.Taken {
			if i < uint64(len(offer.Items)) {
				e.Items = append(e.Items, offer.Items[i])
			}
		}
	case ledger.CaseClosed:
		closed, _, err := ledger.Said(v, c, event.KindHandoverClosed, event.ParseHandoverClosed)
		if err != nil || len(closed.Passed) == 0 {
			return e, false, err // nothing of it was taken over
		}
		e.Items = closed.Passed
	}
	return e, true, nil
}

// WithdrawAll takes back all offers of ours that were not answered, since we end.
func (k *Keeper) WithdrawAll(ctx context.Context, because, by string) error {
	if len(because) > event.MaxBecause {
		because = string(k.o.Self) + " ends"
	}
	var open []ledger.Case
	err := k.o.Ledger.View(func(v *ledger.View) error {
		all, err := v.Cases()
		for _, c := range all {
			if !c.Urgent && c.Sends && c.State == ledger.CaseOffered {
				open = append(open, c)
			}
		}
		return err
	})
	for _, c := range open {
		if err == nil {
			_, err = k.WithdrawHandover(ctx, api.CaseRequest{Case: c.ID.String(), Because: because, By: by})
		}
		if e, ok := errors.AsType[*api.Error](err); ok && e.Kind == api.Conflict {
			err = nil // it was answered meanwhile
		}
	}
	return err
}

// Carry carries a handover on in the place of a council that has ended, and logs that. Where the
// case is here already nothing is done, and logged is false.
func (k *Keeper) Carry(ctx context.Context, h event.HandoverCarried) (entry uint64, logged bool, err error) {
	c := ledger.Case{ID: h.Case, Partner: h.Partner, Sends: h.Sends}
	err = k.o.Ledger.ChangeCases(ctx, nil, func(x *ledger.CaseTx) error {
		logged = false
		if _, err := x.Get(h.Case); !errors.Is(err, ledger.ErrNotFound) {
			return err
		}
		now, err := x.Log(c, ledger.CaseCarried, event.KindHandoverCarried, h.Body(), false)
		entry, logged = now.Ours[event.KindHandoverCarried], err == nil
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("carry the handover %s on: %w", h.Case, err)
	}
	return entry, logged, nil
}

// carried returns what is said of a case that we carry on.
func (k *Keeper) carried(c ledger.Case) (h event.HandoverCarried, err error) {
	err = k.o.Ledger.View(func(v *ledger.View) error {
		h, _, err = ledger.Said(v, c, event.KindHandoverCarried, event.ParseHandoverCarried)
		return err
	})
	return h, err
}

// showCarried says of a case that we carry on, or have carried on, how it stands.
func (k *Keeper) showCarried(v *ledger.View, c ledger.Case, r *api.CaseReply) error {
	h, _, err := ledger.Said(v, c, event.KindHandoverCarried, event.ParseHandoverCarried)
	if err != nil {
		return err
	}
	r.Ref, r.Notice, r.Due, r.Was, r.CarriedFrom, r.CarriedToo, r.Next = h.Ref, h.Notice, h.Due, h.State, h.From, h.Others, c.Next
	r.Responsible = c.Partner
	if c.Sends == (h.State == event.CarriedOffered) {
		r.Responsible = k.o.Self
	}
	for _, id := range h.Records {
		it := api.CaseItem{Record: id, State: h.State}
		if ver, err := v.Current(id); err == nil {
			it.Standard = ver.Claims.Standard.Line().String()
		} else if errors.Is(err, ledger.ErrStorage) {
			return err
		}
		r.Items = append(r.Items, it)
	}
	if c.State == ledger.CaseCarried && h.State != event.CarriedClosed {
		k.clock(c, event.HandoverOffer{Due: h.Due}, r)
	}
	return nil
}

// continues fills in a request to offer records anew what a case says that we carry on: its
// records, its reference, and its days, so that its time goes on and does not begin anew.
func (k *Keeper) continues(in api.CaseRequest) (api.CaseRequest, ledger.Case, event.HandoverCarried, error) {
	c, err := k.find(in.Case, false)
	if err != nil {
		return in, c, event.HandoverCarried{}, err
	}
	short := c.ID.String()[:8]
	if c.State != ledger.CaseCarried || !c.Sends {
		return in, c, event.HandoverCarried{}, api.Fail(api.Conflict, "stile handover show "+short, "the handover %s is none that a council which has ended left to us to offer: it is %s", short, c.State)
	}
	h, err := k.carried(c)
	if err != nil {
		return in, c, h, err
	}
	if in.Partner != c.Partner {
		return in, c, h, api.Fail(api.Refused, "stile handover offer "+string(c.Partner)+" --continues "+short, "the handover %s is with %s", short, c.Partner)
	}
	if len(in.Records) > 0 || in.Person != "" || in.Notice != "" || in.Ref != "" && !same(in.Ref, h.Ref) {
		return in, c, h, api.Fail(api.Usage, "leave them out", "the records, the day of notice and the reference are those of the handover %s", short)
	}
	for _, r := range h.Records {
		in.Records = append(in.Records, string(r))
	}
	if len(in.Records) == 0 {
		return in, c, h, api.Fail(api.NotFound, "stile handover offer "+string(c.Partner)+" RECORD… --case REFERENCE", "no record of ours is known to be of the handover %s", short)
	}
	in.Standard, in.Ref, in.Notice = "", h.Ref, h.Notice
	if strings.TrimSpace(in.Because) == "" {
		in.Because = fmt.Sprintf("goes on from the handover %s of %s, which has ended", short, h.From)
	}
	return in, c, h, nil
}

// earlier returns the first of two days that are not "".
func earlier(a, b string) string {
	days := slices.DeleteFunc([]string{a, b}, func(s string) bool { return s == "" })
	if len(days) == 0 {
		return ""
	}
	return slices.Min(days)
}
