package byhand

import (
	"context"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// AskUrgent asks a partner for an urgent disclosure. About whom people tell each other by
// other means.
func (k *Keeper) AskUrgent(ctx context.Context, in api.CaseRequest) (*api.CaseReply, error) {
	if err := words("why it is urgent", in.Because, true); err != nil {
		return nil, err
	}
	if len(k.under(in.Partner, k.o.Self, false)) == 0 {
		return nil, api.Fail(api.Refused, "stile agreement list", "no agreement of mode %s with %s is in force, under which it sends", mode(false), in.Partner)
	}
	id, err := newCase()
	if err != nil {
		return nil, err
	}
	said := event.UrgentAsked{Case: id, To: in.Partner, Ref: in.Ref, Because: in.Because, By: by(ctx, in.By)}
	if err := k.sayable(said.Ref, said.By); err != nil {
		return nil, err
	}
	c := ledger.Case{ID: id, Urgent: true, Partner: in.Partner}
	err = k.o.Ledger.ChangeCases(ctx, []name.Council{in.Partner}, func(x *ledger.CaseTx) error {
		_, err := x.Log(c, ledger.CaseAsked, event.KindUrgentAsked, said.Body(), true)
		return err
	})
	if err != nil {
		return nil, err
	}
	return k.shown(id)
}

// GiveUrgent says for one person that records are to be disclosed urgently: to a partner or,
// with a case, to the partner that asked. Nothing travels before another person approves.
func (k *Keeper) GiveUrgent(ctx context.Context, in api.CaseRequest) (*api.CaseReply, error) {
	if err := words("why it is urgent", in.Because, true); err != nil {
		return nil, err
	}
	ctx, err := k.o.Enter(ctx, in)
	if err != nil {
		return nil, err
	}
	who := by(ctx, in.By)
	if who == "" {
		return nil, api.Fail(api.Usage, "--by NAME", "say who gives it: another person has to approve")
	}
	c := ledger.Case{Urgent: true, Partner: in.Partner, Sends: true}
	ref := in.Ref
	var states []string
	if in.Case != "" {
		if c, err = k.find(in.Case, true); err != nil {
			return nil, err
		}
		if !c.Sends {
			return nil, api.Fail(api.Refused, "", "%s would give it", c.Partner)
		}
		if in.Partner != "" && in.Partner != c.Partner {
			return nil, api.Fail(api.Usage, "leave out the council", "%s asked for it", c.Partner)
		}
		if ref == "" {
			err = k.o.Ledger.View(func(v *ledger.View) error {
				asked, _, err := ledger.Said(v, c, event.KindUrgentAsked, event.ParseUrgentAsked)
				ref = asked.Ref
				return err
			})
			if err != nil {
				return nil, err
			}
		}
		states = []string{ledger.CaseAsked}
	}
	if err := k.sayable(ref, who); err != nil {
		return nil, err
	}
	ids, err := k.meant(in)
	if err != nil {
		return nil, err
	}
	items, left, _, err := k.gather(ids, c.Partner, false)
	if err != nil {
		return nil, err
	}
	if in.Case == "" {
		if c.ID, err = newCase(); err != nil {
			return nil, err
		}
	}
	said := event.UrgentGiven{Case: c.ID, To: c.Partner, Ref: ref, Because: in.Because, By: who, Items: items}
	err = k.change(ctx, c, states, func(x *ledger.CaseTx, now ledger.Case) error {
		_, err := x.Log(now, ledger.CaseGiven, event.KindUrgentGiven, said.Body(), false)
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

// ApproveUrgent says yes for a second person. The records travel at once.
func (k *Keeper) ApproveUrgent(ctx context.Context, in api.CaseRequest) (*api.CaseReply, error) {
	c, given, err := k.given(in)
	if err == nil {
		ctx, err = k.o.Enter(ctx, in)
	}
	if err != nil {
		return nil, err
	}
	who := by(ctx, in.By)
	switch {
	case c.State != ledger.CaseGiven:
		return nil, moved(c)
	case who == "":
		return nil, api.Fail(api.Usage, "--by NAME", "say who approves it")
	case same(who, given.By):
		return nil, api.Fail(api.Refused, "have another person approve it", "%s gave it, and another person has to approve", given.By)
	}
	now := k.o.Now().UTC()
	out := event.UrgentDecided{Case: c.ID, To: c.Partner, Ref: given.Ref, Because: given.Because, By: who, GivenBy: given.By, Approved: true}
	if err := k.sayable("", who); err != nil {
		return nil, err
	}
	until := time.Time{}
	why := ""
	for _, it := range given.Items {
		doc, problem := k.standing(c, it)
		if problem != "" {
			why = problem
			continue
		}
		if end := doc.Retention.After(now); until.IsZero() || end.Before(until) {
			until = end
		}
		out.Items = append(out.Items, it)
	}
	if len(out.Items) == 0 {
		return nil, api.Fail(api.Refused, "stile urgent show "+c.ID.String()[:8], "nothing of it may be let out: %s", why)
	}
	out.Until = uint64(until.Unix())
	err = k.change(ctx, c, []string{ledger.CaseGiven}, func(x *ledger.CaseTx, now ledger.Case) error {
		for _, it := range out.Items {
			other, _, err := x.LetBy(it.Agreement, it.Record)
			if err != nil {
				return err
			}
			if other != (event.CaseID{}) {
				return api.Fail(api.Conflict, "stile urgent end "+other.String()[:8], "record %s is out already, in case %s", it.Record, other.String()[:8])
			}
			x.LetOut(now, it.Agreement, it.Record)
		}
		now.Out = true
		_, err := x.Log(now, ledger.CaseOut, event.KindUrgentDecided, out.Body(), true)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := k.Settle(ctx); err != nil {
		k.o.Log.Warn("an urgent disclosure was approved and is on its way later", "error", err.Error())
	}
	return k.shown(c.ID)
}

// RefuseUrgent says no, to a question or to what one person wanted to give.
func (k *Keeper) RefuseUrgent(ctx context.Context, in api.CaseRequest) (*api.CaseReply, error) {
	if err := words("why it is refused", in.Because, true); err != nil {
		return nil, err
	}
	c, given, err := k.given(in)
	if err != nil {
		return nil, err
	}
	out := event.UrgentDecided{Case: c.ID, To: c.Partner, Ref: given.Ref, Because: in.Because, By: by(ctx, in.By), GivenBy: given.By}
	if out.By == "" {
		return nil, api.Fail(api.Usage, "--by NAME", "say who refuses it")
	}
	if err := k.sayable("", out.By); err != nil {
		return nil, err
	}
	err = k.change(ctx, c, []string{ledger.CaseAsked, ledger.CaseGiven}, func(x *ledger.CaseTx, now ledger.Case) error {
		// Who has not asked does not hear of it.
		_, err := x.Log(now, ledger.CaseRefused, event.KindUrgentDecided, out.Body(), now.Theirs[event.KindUrgentAsked] != nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	return k.shown(c.ID)
}

// given finds a case of which we send the records, and what one person said of it.
func (k *Keeper) given(in api.CaseRequest) (c ledger.Case, given event.UrgentGiven, err error) {
	if c, err = k.find(in.Case, true); err != nil {
		return c, given, err
	}
	if !c.Sends {
		return c, given, api.Fail(api.Refused, "", "%s decides it", c.Partner)
	}
	if _, ok := c.Ours[event.KindUrgentGiven]; !ok {
		return c, given, nil
	}
	err = k.o.Ledger.View(func(v *ledger.View) (err error) {
		given, _, err = ledger.Said(v, c, event.KindUrgentGiven, event.ParseUrgentGiven)
		return err
	})
	return c, given, err
}

// EndUrgent withdraws what was disclosed urgently before its time is over.
func (k *Keeper) EndUrgent(ctx context.Context, in api.CaseRequest) (*api.CaseReply, error) {
	if err := words("why it is ended", in.Because, true); err != nil {
		return nil, err
	}
	c, err := k.find(in.Case, true)
	if err != nil {
		return nil, err
	}
	if !c.Sends {
		return nil, api.Fail(api.Refused, "", "%s disclosed it, and may end it", c.Partner)
	}
	who := by(ctx, in.By)
	if err := k.sayable("", who); err != nil {
		return nil, err
	}
	if err := k.end(ctx, c, in.Because, who); err != nil {
		return nil, err
	}
	return k.shown(c.ID)
}

// end withdraws what a case has let out, and says so.
func (k *Keeper) end(ctx context.Context, c ledger.Case, because, who string) error {
	var decided event.UrgentDecided
	err := k.o.Ledger.View(func(v *ledger.View) (err error) {
		if c.State == ledger.CaseOut {
			decided, _, err = ledger.Said(v, c, event.KindUrgentDecided, event.ParseUrgentDecided)
		}
		return err
	})
	if err != nil {
		return err
	}
	return k.change(ctx, c, []string{ledger.CaseOut}, func(x *ledger.CaseTx, now ledger.Case) error {
		out := event.UrgentEnded{Case: c.ID, To: c.Partner, Because: because, By: who}
		for _, it := range decided.Items {
			entry, was, err := x.TakeBack(now, it.Agreement, it.Record)
			if err != nil {
				return err
			}
			if was {
				it.Entry = entry
				out.Items = append(out.Items, it)
			}
		}
		_, err := x.Log(now, ledger.CaseEnded, event.KindUrgentEnded, out.Body(), true)
		return err
	})
}

// ReviewUrgent closes the task to review an urgent disclosure that is over, with words.
func (k *Keeper) ReviewUrgent(ctx context.Context, in api.CaseRequest) (*api.CaseReply, error) {
	if err := words("what the review found", in.Because, true); err != nil {
		return nil, err
	}
	c, err := k.find(in.Case, true)
	if err != nil {
		return nil, err
	}
	out := event.UrgentReviewed{Case: c.ID, Partner: c.Partner, Because: in.Because, By: by(ctx, in.By)}
	if out.By == "" {
		return nil, api.Fail(api.Usage, "--by NAME", "say who reviewed it")
	}
	if err := k.sayable("", out.By); err != nil {
		return nil, err
	}
	r, err := k.shown(c.ID)
	if err != nil {
		return nil, err
	}
	if !r.ToReview {
		if _, done := c.Ours[event.KindUrgentReviewed]; done {
			return nil, api.Fail(api.Conflict, "stile urgent show "+c.ID.String()[:8], "it was reviewed already")
		}
		return nil, api.Fail(api.Conflict, "stile urgent show "+c.ID.String()[:8], "it is reviewed when it is over, and this case is %s", c.State)
	}
	err = k.change(ctx, c, []string{ledger.CaseOut, ledger.CaseEnded}, func(x *ledger.CaseTx, now ledger.Case) error {
		if _, done := now.Ours[event.KindUrgentReviewed]; done {
			return moved(now)
		}
		_, err := x.Log(now, now.State, event.KindUrgentReviewed, out.Body(), true)
		return err
	})
	if err != nil {
		return nil, err
	}
	return k.shown(c.ID)
}
