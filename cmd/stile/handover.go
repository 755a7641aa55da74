package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// handoverNoun is the noun of the commands; that a mode is called the same decides nothing.
const handoverNoun = "handover"

func (a *app) handoverCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   handoverNoun,
		Short: "Hand the records of one person or one case over to another council",
		Long: `Under an agreement of mode handover nothing travels by itself. A person of the sending
council offers records, of one person or one case; a person of the other accepts or
declines. Until it is accepted the sender is responsible, and from then on the receiver.
The records travel then, and the sender closes the handover when the receipts have
come. What was not taken stays behind. Both councils log every step.

If the agreement says within what time an offer is to be taken over (due), both nodes show
the day, and how many working days of England are left.`,
	}
	c.AddCommand(a.handoverOfferCommand(), a.caseListCommand("handovers", a.handovers), a.caseShowCommand("handover", func(ctx context.Context, r node.CaseRequest) (node.CaseReply, error) {
		return a.node().Handovers().Show(ctx, r)
	}))
	c.AddCommand(a.handoverAcceptCommand())
	c.AddCommand(a.caseSayCommand("decline CASE --because TEXT", "Say no to what another council offers", `The offer stays with the council that made it, which reads the reason.`,
		"decline this handover", func(ctx context.Context, r node.CaseRequest) (node.CaseReply, error) {
			return a.node().Handovers().Decline(ctx, r)
		}))
	c.AddCommand(a.caseSayCommand("withdraw CASE --because TEXT", "Take back an offer that was not answered", `An offer that was accepted can be withdrawn no more.`,
		"withdraw this offer", func(ctx context.Context, r node.CaseRequest) (node.CaseReply, error) {
			return a.node().Handovers().Withdraw(ctx, r)
		}))
	return c
}

func (a *app) handovers(ctx context.Context) ([]node.CaseReply, error) {
	return a.node().Handovers().List(ctx)
}

// chosen adds the flags by which records are chosen.
func (a *app) chosen(c *cobra.Command, req *node.CaseRequest) {
	f := c.Flags()
	f.StringVar(&req.Person, "person", "", "all records of ours that name the person with this `number`, such as an NHS number")
	f.StringVar(&req.Scheme, "scheme", "", "`scheme` of that number, where it is not clear")
	f.StringVar(&req.Standard, "standard", "", "`standard` of the records, when they are named by their own references")
}

// told adds the flags of what people say.
func told(c *cobra.Command, req *node.CaseRequest, because string) {
	c.Flags().StringVar(&req.Because, "because", "", because+"; both councils log it, so name nobody in it")
	c.Flags().StringVar(&req.By, "by", "", "`name` or pseudonym of the person who says so; both councils log it")
}

func (a *app) handoverOfferCommand() *cobra.Command {
	var req node.CaseRequest
	c := &cobra.Command{
		Use:   "offer COUNCIL [RECORD...] --because TEXT",
		Short: "Offer records to another council, to be taken over",
		Long: `Offer gathers what the agreements of mode handover with a council let go of some
records, named by id, or by reference with --standard; or of all that name one person, with
--person. The list is signed and goes to the council; the records do not, before it
accepts. What no agreement lets go is named and stays.

With --continues it offers the records of a handover that a council which has ended left
to us, with the reference and the days that it had.`,
		Example: `  stile handover offer saltby.gov.uk --person 9434765919 --case CP-2026-7 --because "the family has moved"
  stile handover offer saltby.gov.uk CPP-7 --standard child-protection-plan --because "the family has moved" --notice 2026-11-27`,
		Args: takes(1, -1, "a council and records"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Partner, req.Records = name.Council(args[0]), args[1:]
			r, err := a.node().Handovers().Offer(cmd.Context(), req)
			if err != nil {
				return err
			}
			return a.caseShown(r)
		},
	}
	a.chosen(c, &req)
	told(c, &req, "the `reason`")
	c.Flags().StringVar(&req.Case, "continues", "", "the `handover` of a council that has ended which we carry on: its records are offered, with its reference and its days")
	c.Flags().StringVar(&req.Ref, "case", "", "the case's `reference`, which both councils log")
	c.Flags().StringVar(&req.Notice, "notice", "", "the `date` that the time is counted from; default: today")
	c.Flags().StringVar(&req.Due, "due", "", "the last `date` to take over by, when the agreement says none, or it cannot be told, or is to be earlier")
	return c
}

func (a *app) handoverAcceptCommand() *cobra.Command {
	var req node.CaseRequest
	var yes bool
	c := &cobra.Command{
		Use:   "accept CASE",
		Short: "Take over what another council offers",
		Long: `Accept says to the council that offers that we take over, and are responsible from now
on. The records then come. With --only some of them are taken, and the others stay with the
council that offered them. What no agreement in force lets us have is never taken.`,
		Example: "  stile handover accept 7f3a1c22 --by \"Sam Hill\"\n  stile handover accept 7f3a1c22 --only RECORD,RECORD",
		Args:    takes(1, 1, "the id of a case"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.sure(yes, "take over the handover %s, and be responsible for it", args[0]); err != nil {
				return err
			}
			req.Case = args[0]
			r, err := a.node().Handovers().Accept(cmd.Context(), req)
			if err != nil {
				return err
			}
			return a.caseShown(r)
		},
	}
	told(c, &req, "`words` to the council that offers")
	c.Flags().StringSliceVar(&req.Only, "only", nil, "ids of the `records` that are taken, with commas between; default: all that may be")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// caseSayCommand is a command that says one thing of a case, with a reason.
func (a *app) caseSayCommand(use, short, long, what string, do func(context.Context, node.CaseRequest) (node.CaseReply, error)) *cobra.Command {
	var req node.CaseRequest
	var yes bool
	c := &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: takes(1, 1, "the id of a case"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.sure(yes, "%s, %s", what, args[0]); err != nil {
				return err
			}
			req.Case = args[0]
			r, err := do(cmd.Context(), req)
			if err != nil {
				return err
			}
			return a.caseShown(r)
		},
	}
	told(c, &req, "the `reason`")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (a *app) caseListCommand(what string, all func(context.Context) ([]node.CaseReply, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List " + what + ", the newest last",
		Long:  "List shows all " + what + " of this council, in either direction, with how each stands.",
		Args:  takes(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rs, err := all(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				return emitLines(a, rs)
			}
			if len(rs) == 0 {
				a.say("there are no %s", what)
				return nil
			}
			t := newTable("CASE", "BEGAN", "", "COUNCIL", "STATE", "#RECORDS", "TIME", "REFERENCE", "BECAUSE")
			for _, r := range rs {
				t.add(r.Case[:8], at(r.Began), r.Direction, string(r.Partner), r.State, number(len(r.Items)), caseTime(r), r.Ref, r.Because)
			}
			t.write(a.out, "")
			return nil
		},
	}
}

// caseTime says what time a case has left.
func caseTime(r node.CaseReply) string {
	switch {
	case r.ToReview:
		return "to be reviewed"
	case r.Kind == "urgent" && r.State == "out":
		return "until " + at(r.Until)
	case r.Overdue:
		return "LATE: was due " + r.Due
	case r.DueUnknown != "":
		return "due " + r.Due
	case r.DaysLeft != nil:
		days := plural(*r.DaysLeft, "day", "days")
		if r.WorkingDays {
			days = plural(*r.DaysLeft, "working day", "working days")
		}
		return "due " + r.Due + ", " + days + " left"
	}
	return ""
}

func (a *app) caseShowCommand(noun string, show func(context.Context, node.CaseRequest) (node.CaseReply, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "show CASE",
		Short: "Show one case, with its records and what was said of it",
		Long:  "Show takes the id of a case, or its first digits as list prints them.",
		Args:  takes(1, 1, "the id of a case"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := show(cmd.Context(), node.CaseRequest{Case: args[0]})
			if err != nil {
				return err
			}
			return a.caseShown(r)
		},
		Example: "  stile " + noun + " show 7f3a1c22",
	}
}

// caseShown prints a case.
func (a *app) caseShown(r node.CaseReply) error {
	if a.json {
		return a.emit(r)
	}
	way := map[string]string{"to": "to", "from": "from"}[r.Direction]
	kind := r.Kind
	if r.Kind == "urgent" {
		kind = "URGENT disclosure"
	}
	a.printf("%s %s %s %s: %s\n", kind, r.Case[:8], way, r.Partner, r.State)
	t := newTable("", "")
	t.add("case", r.Case)
	row := func(head, text string) {
		if text != "" {
			t.add(head, text)
		}
	}
	row("reference", r.Ref)
	row("because", r.Because)
	row("by", r.By)
	row("responsible", string(r.Responsible))
	if r.CarriedFrom != "" {
		row("carried on from", fmt.Sprintf("%s, which has ended; it was %s then", r.CarriedFrom, r.Was))
		if len(r.CarriedToo) > 0 {
			row("to be decided", "by the plan it is with "+list(r.CarriedToo)+", too: agree with them who has it")
		}
		if r.Next != "" {
			row("goes on as", "handover "+r.Next)
		} else if r.State == "carried" && r.Direction == "to" {
			row("next", fmt.Sprintf("stile handover offer %s --continues %s", r.Partner, r.Case[:8]))
		} else if r.State == "carried" && r.Was != "closed" {
			row("next", string(r.Partner)+" has to offer it to us, under an agreement with us")
		}
	}
	row("notice", r.Notice)
	if r.Due != "" {
		due := r.Due
		if s := strings.TrimPrefix(caseTime(r), "due "); s != "" {
			due = s
		}
		row("due", due)
		row("", r.DueUnknown)
	}
	row("answer", r.Answer)
	row("answered by", r.AnswerBy)
	row("approved by", approver(r))
	row("refused because", r.Decision)
	if !r.Until.IsZero() {
		row("until", at(r.Until))
	}
	if r.ToReview {
		row("review", fmt.Sprintf("waits for us: stile urgent review %s --because TEXT", r.Case[:8]))
	}
	for _, v := range r.Reviews {
		row("reviewed", fmt.Sprintf("by %s of %s on %s: %s", v.By, v.Council, v.At.Format(time.DateOnly), v.Because))
	}
	t.write(a.out, "")
	if len(r.Items) > 0 {
		a.printf("\n")
		items := newTable("RECORD", "STANDARD", "AGREEMENT", "STATE", "")
		for _, it := range r.Items {
			items.add(string(it.Record), it.Standard, string(it.Agreement), it.State, it.Problem)
		}
		items.write(a.out, "")
	}
	if len(r.Events) > 0 {
		a.printf("\n")
		events := newTable("WHEN", "WHO", "WHAT", "#ENTRY")
		for _, e := range r.Events {
			entry := ""
			if e.Entry != nil {
				entry = number(*e.Entry)
			}
			events.add(at(e.At), string(e.Council), e.Kind, entry)
		}
		events.write(a.out, "")
	}
	for _, l := range r.Left {
		a.say("record %s stays: %s", l.Record, l.Problem)
	}
	return nil
}

func approver(r node.CaseReply) string {
	if r.State == "refused" || r.DecidedBy == "" {
		return ""
	}
	return r.DecidedBy + ", " + at(r.Decided)
}
