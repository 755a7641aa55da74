package byhand

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/workday"
	"github.com/stile-exchange/stile/node/api"
)

// ListHandovers returns all handovers, by when they began.
func (k *Keeper) ListHandovers(context.Context, api.Empty) ([]api.CaseReply, error) {
	return k.list(false)
}

// ListUrgent returns all urgent disclosures, and questions for one, by when they began.
func (k *Keeper) ListUrgent(context.Context, api.Empty) ([]api.CaseReply, error) {
	return k.list(true)
}

func (k *Keeper) list(urgent bool) ([]api.CaseReply, error) {
	out := []api.CaseReply{}
	err := k.o.Ledger.View(func(v *ledger.View) error {
		all, err := v.Cases()
		for _, c := range all {
			if c.Urgent != urgent || err != nil {
				continue
			}
			var r *api.CaseReply
			if r, err = k.show(v, c); err == nil {
				out = append(out, *r)
			}
		}
		return err
	})
	return out, err
}

// ShowHandover returns one handover.
func (k *Keeper) ShowHandover(_ context.Context, in api.CaseRequest) (*api.CaseReply, error) {
	c, err := k.find(in.Case, false)
	if err != nil {
		return nil, err
	}
	return k.shown(c.ID)
}

// ShowUrgent returns one urgent disclosure.
func (k *Keeper) ShowUrgent(_ context.Context, in api.CaseRequest) (*api.CaseReply, error) {
	c, err := k.find(in.Case, true)
	if err != nil {
		return nil, err
	}
	return k.shown(c.ID)
}

func (k *Keeper) shown(id event.CaseID) (r *api.CaseReply, err error) {
	err = k.o.Ledger.View(func(v *ledger.View) error {
		c, err := v.Case(id)
		if err == nil {
			r, err = k.show(v, c)
		}
		return err
	})
	return r, err
}

// show gathers what was said of a case.
func (k *Keeper) show(v *ledger.View, c ledger.Case) (*api.CaseReply, error) {
	r := &api.CaseReply{Case: c.ID.String(), Kind: noun(c), Direction: "from", Partner: c.Partner, State: c.State, Began: c.Began, Items: []api.CaseItem{}, Events: []api.CaseEvent{}}
	if c.Sends {
		r.Direction = "to"
	}
	if err := k.events(v, c, r); err != nil {
		return nil, err
	}
	if c.Urgent {
		return r, k.showUrgent(v, c, r)
	}
	if _, ok := c.Ours[event.KindHandoverCarried]; ok {
		return r, k.showCarried(v, c, r)
	}
	return r, k.showHandover(v, c, r)
}

// events lists what was said, in the order of its times.
func (k *Keeper) events(v *ledger.View, c ledger.Case, r *api.CaseReply) error {
	for kind, at := range c.Ours {
		ev, _, err := v.Event(at)
		if err != nil {
			return err
		}
		r.Events = append(r.Events, api.CaseEvent{Kind: kind, Council: k.o.Self, At: time.Unix(ev.IssuedAt, 0).UTC(), Entry: &at})
	}
	for kind, jws := range c.Theirs {
		_, ev, err := record.ParseEvent(jws)
		if err != nil {
			return err
		}
		r.Events = append(r.Events, api.CaseEvent{Kind: kind, Council: c.Partner, At: time.Unix(ev.IssuedAt, 0).UTC()})
	}
	order := event.CaseKinds()
	slices.SortFunc(r.Events, func(a, b api.CaseEvent) int {
		if d := a.At.Compare(b.At); d != 0 {
			return d
		}
		return slices.Index(order, a.Kind) - slices.Index(order, b.Kind)
	})
	return nil
}

// said is ledger.Said where it may be that nothing was.
func said[C any](v *ledger.View, c ledger.Case, kind string, parse func(map[string]any) (C, error)) (content C, at time.Time, ok bool, err error) {
	content, jws, err := ledger.Said(v, c, kind, parse)
	if errors.Is(err, ledger.ErrNotFound) {
		return content, at, false, nil
	}
	if err != nil {
		return content, at, false, err
	}
	if _, ev, err := record.ParseEvent(jws); err == nil {
		at = time.Unix(ev.IssuedAt, 0).UTC()
	}
	return content, at, true, nil
}

func (k *Keeper) item(c ledger.Case, it event.Item, state string) api.CaseItem {
	out := api.CaseItem{Agreement: it.Agreement, Record: it.Record, Entry: it.Entry, State: state}
	if st, ok := k.o.Agreements.Status(it.Agreement, k.o.Now()); ok {
		out.Standard = st.Agreement.Standard.String()
	}
	return out
}

func (k *Keeper) showHandover(v *ledger.View, c ledger.Case, r *api.CaseReply) error {
	offer, _, _, err := said(v, c, event.KindHandoverOffer, event.ParseHandoverOffer)
	if err != nil {
		return err
	}
	answer, answered, _, err := said(v, c, event.KindHandoverAnswer, event.ParseHandoverAnswer)
	if err != nil {
		return err
	}
	closed, _, isClosed, err := said(v, c, event.KindHandoverClosed, event.ParseHandoverClosed)
	if err != nil {
		return err
	}
	isClosed = isClosed && c.State == ledger.CaseClosed
	r.Ref, r.Because, r.By, r.Notice, r.Due = offer.Ref, offer.Because, offer.By, offer.Notice, offer.Due
	r.Answer, r.AnswerBy, r.Answered = answer.Because, answer.By, answered
	from, to := c.Partner, k.o.Self
	if c.Sends {
		from, to = to, from
	}
	r.Responsible = from
	if c.State == ledger.CaseAccepted || isClosed && len(closed.Passed) > 0 {
		r.Responsible = to
	}
	for i, it := range offer.Items {
		state := "offered"
		switch taken := slices.Contains(answer.Taken, uint64(i)); {
		case isClosed && slices.ContainsFunc(closed.Passed, func(p event.Item) bool { return p.Agreement == it.Agreement && p.Record == it.Record }):
			state = "passed"
		case c.State == ledger.CaseAccepted && taken:
			state = "taken"
		case c.State != ledger.CaseOffered:
			state = "left"
		}
		item := k.item(c, it, state)
		if c.State == ledger.CaseOffered {
			_, item.Problem = k.standing(c, it)
		}
		r.Items = append(r.Items, item)
	}
	k.clock(c, offer, r)
	return nil
}

// clock says how much time is left of an offer that is not answered, or whose receipts have
// not come.
func (k *Keeper) clock(c ledger.Case, offer event.HandoverOffer, r *api.CaseReply) {
	if offer.Due == "" || c.State != ledger.CaseOffered && c.State != ledger.CaseAccepted && c.State != ledger.CaseCarried {
		return
	}
	due, err := time.Parse(time.DateOnly, offer.Due)
	if err != nil {
		return
	}
	l := workday.Limit{Days: 1}
	if c.State == ledger.CaseCarried { // what its agreement said is not here: as a statute counts, where that can be told
		_, err := workday.Limit{Days: 1, Working: true}.Left(k.today(), due)
		l.Working = err == nil
	}
	for _, it := range offer.Items {
		if st, ok := k.o.Agreements.Status(it.Agreement, k.o.Now()); ok {
			if d, err := workday.Parse(st.Agreement.Due); err == nil {
				l = d
				break
			}
		}
	}
	r.Overdue, r.WorkingDays = k.today().After(due), l.Working
	left, err := l.Left(k.today(), due)
	if err != nil {
		r.DueUnknown = err.Error()
		return
	}
	r.DaysLeft = &left
}

func (k *Keeper) showUrgent(v *ledger.View, c ledger.Case, r *api.CaseReply) error {
	asked, _, isAsked, err := said(v, c, event.KindUrgentAsked, event.ParseUrgentAsked)
	if err != nil {
		return err
	}
	if isAsked {
		r.Ref, r.Because, r.By = asked.Ref, asked.Because, asked.By
	}
	given, _, isGiven, err := said(v, c, event.KindUrgentGiven, event.ParseUrgentGiven)
	if err != nil {
		return err
	}
	items := given.Items
	if isGiven {
		r.Ref, r.Because, r.By = given.Ref, given.Because, given.By
	}
	decided, at, isDecided, err := said(v, c, event.KindUrgentDecided, event.ParseUrgentDecided)
	if err != nil {
		return err
	}
	if isDecided {
		r.DecidedBy, r.Decided = decided.By, at
		if decided.Approved {
			r.Ref, r.Because, r.By, items = decided.Ref, decided.Because, decided.GivenBy, decided.Items
			r.Until = time.Unix(int64(decided.Until), 0).UTC()
		} else {
			r.Decision = decided.Because
		}
	}
	for _, it := range items {
		state := map[string]string{ledger.CaseGiven: "given", ledger.CaseOut: "out", ledger.CaseEnded: "withdrawn", ledger.CaseRefused: "left"}[c.State]
		r.Items = append(r.Items, k.item(c, it, state))
	}
	over := c.State == ledger.CaseEnded || c.State == ledger.CaseOut && !k.o.Now().Before(r.Until)
	_, done := c.Ours[event.KindUrgentReviewed]
	r.ToReview = over && !done
	for _, own := range []bool{true, false} {
		who, jws := c.Partner, c.Theirs[event.KindUrgentReviewed]
		if own {
			if !done {
				continue
			}
			who = k.o.Self
			if _, jws, err = v.Event(c.Ours[event.KindUrgentReviewed]); err != nil {
				return err
			}
		}
		if jws == nil {
			continue
		}
		_, ev, err := record.ParseEvent(jws)
		if err != nil {
			return err
		}
		u, err := event.ParseUrgentReviewed(ev.Body)
		if err != nil {
			return err
		}
		r.Reviews = append(r.Reviews, api.CaseReview{Council: who, By: u.By, Because: u.Because, At: time.Unix(ev.IssuedAt, 0).UTC()})
	}
	return nil
}
