package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/byhand"
	"github.com/stile-exchange/stile/internal/condition"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// Handovers are records of one person or one matter that one council offers to another,
// which accepts or declines: see docs/handover.md.
type Handovers struct{ to Operations }

// Handovers returns the operations on handovers.
func (o Operations) Handovers() Handovers { return Handovers{o} }

// Offer offers records to a partner, to be taken over.
func (h Handovers) Offer(ctx context.Context, in CaseRequest) (CaseReply, error) {
	return do(ctx, h.to, (*byhand.Keeper).OfferHandover, in)
}

// Accept takes over what a partner offered. We are responsible for it from then on.
func (h Handovers) Accept(ctx context.Context, in CaseRequest) (CaseReply, error) {
	return do(ctx, h.to, (*byhand.Keeper).AcceptHandover, in)
}

// Decline says no to what a partner offered.
func (h Handovers) Decline(ctx context.Context, in CaseRequest) (CaseReply, error) {
	return do(ctx, h.to, (*byhand.Keeper).DeclineHandover, in)
}

// Withdraw takes back an offer of ours that was not answered.
func (h Handovers) Withdraw(ctx context.Context, in CaseRequest) (CaseReply, error) {
	return do(ctx, h.to, (*byhand.Keeper).WithdrawHandover, in)
}

// List lists all handovers, by when they began.
func (h Handovers) List(ctx context.Context) ([]CaseReply, error) {
	return list(ctx, h.to, (*byhand.Keeper).ListHandovers, Empty{})
}

// Show shows one handover.
func (h Handovers) Show(ctx context.Context, in CaseRequest) (CaseReply, error) {
	return do(ctx, h.to, (*byhand.Keeper).ShowHandover, in)
}

// Urgents are urgent disclosures of single records, by two people and for a short time:
// see docs/urgent.md.
type Urgents struct{ to Operations }

// Urgent returns the operations on urgent disclosures.
func (o Operations) Urgent() Urgents { return Urgents{o} }

// Ask asks a partner for an urgent disclosure.
func (u Urgents) Ask(ctx context.Context, in CaseRequest) (CaseReply, error) {
	return do(ctx, u.to, (*byhand.Keeper).AskUrgent, in)
}

// Give says for one person that records are to be disclosed. Nothing travels yet.
func (u Urgents) Give(ctx context.Context, in CaseRequest) (CaseReply, error) {
	return do(ctx, u.to, (*byhand.Keeper).GiveUrgent, in)
}

// Approve says yes for another person, and the records travel.
func (u Urgents) Approve(ctx context.Context, in CaseRequest) (CaseReply, error) {
	return do(ctx, u.to, (*byhand.Keeper).ApproveUrgent, in)
}

// Refuse says no.
func (u Urgents) Refuse(ctx context.Context, in CaseRequest) (CaseReply, error) {
	return do(ctx, u.to, (*byhand.Keeper).RefuseUrgent, in)
}

// End withdraws what was disclosed before its time is over.
func (u Urgents) End(ctx context.Context, in CaseRequest) (CaseReply, error) {
	return do(ctx, u.to, (*byhand.Keeper).EndUrgent, in)
}

// Review closes, with words, the task to review an urgent disclosure that is over.
func (u Urgents) Review(ctx context.Context, in CaseRequest) (CaseReply, error) {
	return do(ctx, u.to, (*byhand.Keeper).ReviewUrgent, in)
}

// List lists all urgent disclosures and questions for one, by when they began.
func (u Urgents) List(ctx context.Context) ([]CaseReply, error) {
	return list(ctx, u.to, (*byhand.Keeper).ListUrgent, Empty{})
}

// Show shows one urgent disclosure.
func (u Urgents) Show(ctx context.Context, in CaseRequest) (CaseReply, error) {
	return do(ctx, u.to, (*byhand.Keeper).ShowUrgent, in)
}

func (n *Node) openByHand() *byhand.Keeper {
	return byhand.New(byhand.Options{
		Self: n.cfg.Council, Ledger: n.ledger, Agreements: n.book, RecordID: n.recordID, Log: n.log, Now: n.now, Enter: n.entered,
		About: func(v *ledger.View, person, scheme string) (all, shared []name.Record, err error) {
			return n.register.About(v, person, scheme)
		},
	})
}

// followedIn says in words who follows a council that has ended.
func followedIn(cs []name.Council) string {
	if len(cs) == 1 {
		return string(cs[0]) + " follows it"
	}
	var names []string
	for _, c := range cs {
		names = append(names, string(c))
	}
	return strings.Join(names, ", ") + " follow it"
}

// nearHandover is how many days of its kind before the last one a handover is near it.
const nearHandover = 3

// caseConditions says which handovers and urgent disclosures wait for somebody.
func (n *Node) caseConditions(now time.Time) (out []Condition) {
	ctx := context.Background()
	handovers, err := n.byhand.ListHandovers(ctx, Empty{})
	if err != nil {
		return nil // what is wrong with the store is a condition of its own
	}
	urgent, err := n.byhand.ListUrgent(ctx, Empty{})
	if err != nil {
		return nil
	}
	say := func(r CaseReply, kind, cause, try, format string, args ...any) {
		c := condition.New(kind, fmt.Sprintf(format, args...), cause, try)
		c.Council, c.Since = r.Partner, r.Began
		out = append(out, c)
	}
	for _, r := range handovers {
		id := r.Case[:8]
		who, try := "we have not answered it", "stile handover show "+id+"; then stile handover accept "+id+", or decline"
		if r.Direction == "to" {
			who, try = string(r.Partner)+" has not answered it", "speak to "+string(r.Partner)+"; stile handover show "+id
			if e := n.ended(r.Partner); !e.On.IsZero() && !now.Before(e.On) && len(e.Successors) > 0 {
				who = fmt.Sprintf("%s has ended, and nobody there can answer; %s", r.Partner, followedIn(e.Successors))
				try = fmt.Sprintf("stile handover withdraw %s --because TEXT; then stile handover offer %s, with its --case and --notice", id, e.Successors[0])
			}
		}
		if r.State == ledger.CaseAccepted {
			who, try = "it is accepted, and the receipts have not all come", "stile handover show "+id
		}
		if r.State == ledger.CaseCarried {
			who, try = fmt.Sprintf("%s has ended, and we carry it on; %s has to offer it to us", r.CarriedFrom, r.Partner), "speak to "+string(r.Partner)+"; stile handover show "+id
			if r.Direction == "to" {
				who, try = fmt.Sprintf("%s has ended, and we carry it on", r.CarriedFrom), fmt.Sprintf("stile handover offer %s --continues %s", r.Partner, id)
			}
		}
		switch {
		case r.State != ledger.CaseOffered && r.State != ledger.CaseAccepted && r.State != ledger.CaseCarried:
		case r.Overdue:
			say(r, "handover-late", who, try, "the handover %s %s %s was to be taken over by %s", id, r.Direction, r.Partner, r.Due)
		case r.DueUnknown != "":
			say(r, "handover-near", r.DueUnknown, try, "the handover %s %s %s is to be taken over by %s, and how many working days that leaves cannot be told", id, r.Direction, r.Partner, r.Due)
		case r.DaysLeft != nil && *r.DaysLeft <= nearHandover:
			days := map[bool]string{true: "working days", false: "days"}[r.WorkingDays]
			say(r, "handover-near", who, try, "the handover %s %s %s is to be taken over by %s; %d %s are left", id, r.Direction, r.Partner, r.Due, *r.DaysLeft, days)
		case r.State == ledger.CaseOffered && r.Direction == "from":
			say(r, "handover-waits", who, try, "%s offers us the handover %s, of %d records", r.Partner, id, len(r.Items))
		}
	}
	for _, r := range urgent {
		id := r.Case[:8]
		switch {
		case r.State == ledger.CaseAsked && r.Direction == "to":
			say(r, "urgent-asked", "nobody here has answered", "stile urgent show "+id+"; then stile urgent give "+string(r.Partner)+" --answers "+id+", or refuse", "%s asks for an urgent disclosure, case %s", r.Partner, id)
		case r.State == ledger.CaseGiven:
			say(r, "urgent-given", "another person has to approve it", "stile urgent show "+id+"; then stile urgent approve "+id+", or refuse", "the urgent disclosure %s to %s waits for a second person", id, r.Partner)
		case r.ToReview:
			over := r.Until
			for _, e := range r.Events {
				if e.Kind == event.KindUrgentEnded && e.At.Before(over) {
					over = e.At
				}
			}
			r.Began = over // of the condition: since when somebody has to review it
			say(r, "urgent-review", "it is over since "+over.UTC().Format("2006-01-02 15:04 MST"), "stile urgent review "+id+" --because TEXT", "the urgent disclosure %s %s %s has not been reviewed here", id, r.Direction, r.Partner)
		}
	}
	return out
}
