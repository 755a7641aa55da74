package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) urgentCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "urgent",
		Short: "Disclose single records urgently, by two people and for a short time",
		Long: `Under an agreement of mode break-glass nothing travels by itself. When it is urgent, one
person of the council that has the records gives them, and another approves. They travel
at once, and are withdrawn by themselves when the time is over that the agreement says as
retention, seven days at most; the receiver's node deletes them then also by itself, whether
or not it can reach ours. Afterwards a person of each council has to review the case:
status says so until it is done.`,
	}
	c.AddCommand(a.urgentAskCommand(), a.urgentGiveCommand(), a.urgentApproveCommand())
	c.AddCommand(a.caseSayCommand("refuse CASE --because TEXT", "Say no, to a question or to what one person wants to give", "A council that asked reads the reason.",
		"refuse this urgent disclosure", func(ctx context.Context, r node.CaseRequest) (node.CaseReply, error) {
			return a.node().Urgent().Refuse(ctx, r)
		}))
	c.AddCommand(a.caseSayCommand("end CASE --because TEXT", "Withdraw what was disclosed before its time is over", "The receiver deletes it and gives a receipt.",
		"end this urgent disclosure", func(ctx context.Context, r node.CaseRequest) (node.CaseReply, error) {
			return a.node().Urgent().End(ctx, r)
		}))
	c.AddCommand(a.caseSayCommand("review CASE --because TEXT", "Close the review of an urgent disclosure that is over", "The reason says what the review found. Each council reviews for itself, and both log it.",
		"close the review of this urgent disclosure", func(ctx context.Context, r node.CaseRequest) (node.CaseReply, error) {
			return a.node().Urgent().Review(ctx, r)
		}))
	c.AddCommand(a.caseListCommand("urgent disclosures", func(ctx context.Context) ([]node.CaseReply, error) { return a.node().Urgent().List(ctx) }))
	c.AddCommand(a.caseShowCommand("urgent", func(ctx context.Context, r node.CaseRequest) (node.CaseReply, error) {
		return a.node().Urgent().Show(ctx, r)
	}))
	return c
}

func (a *app) urgentAskCommand() *cobra.Command {
	var req node.CaseRequest
	c := &cobra.Command{
		Use:   "ask COUNCIL --because TEXT",
		Short: "Ask another council for an urgent disclosure",
		Long: `Ask tells the other council that we need records urgently, and why. Whom it is about people
tell each other by telephone: it stands in no log. Status there says that we ask.`,
		Example: `  stile urgent ask northmoor.gov.uk --case 2026/77 --because "child in hospital" --by "Sam Hill"`,
		Args:    takes(1, 1, "a council"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Partner = name.Council(args[0])
			r, err := a.node().Urgent().Ask(cmd.Context(), req)
			if err != nil {
				return err
			}
			return a.caseShown(r)
		},
	}
	told(c, &req, "the `reason`")
	c.Flags().StringVar(&req.Ref, "case", "", "the case's `reference`, which both councils log")
	return c
}

func (a *app) urgentGiveCommand() *cobra.Command {
	var req node.CaseRequest
	var answers string
	var who speaker
	c := &cobra.Command{
		Use:   "give COUNCIL [RECORD...] --because TEXT --by NAME",
		Short: "Say that records are to be disclosed urgently; another person has to approve",
		Long: `Give is the first of two people's word. Records are named as for "stile handover offer".
With --answers it answers what the council asked. Nothing travels before "stile urgent
approve".

With --as a person says by their passphrase who they are, in the place of --by, and both
councils log their id. Where web.two_persons is set somebody must.`,
		Example: `  stile urgent give saltby.gov.uk --person 9434765919 --because "child in hospital" --by "Jo Smith"
  stile urgent give saltby.gov.uk --answers 7f3a1c22 --person 9434765919 --because "child in hospital" --by "Jo Smith"`,
		Args: takes(1, -1, "a council and records"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Partner, req.Records, req.Case = name.Council(args[0]), args[1:], answers
			var err error
			if req.As, req.Passphrase, err = a.shows(who); err != nil {
				return err
			}
			r, err := a.node().Urgent().Give(cmd.Context(), req)
			if err != nil {
				return err
			}
			return a.caseShown(r)
		},
	}
	a.chosen(c, &req)
	told(c, &req, "the `reason`")
	who.flags(c)
	c.Flags().StringVar(&answers, "answers", "", "the `case` in which the council asked")
	c.Flags().StringVar(&req.Ref, "case", "", "the case's `reference`, which both councils log")
	return c
}

func (a *app) urgentApproveCommand() *cobra.Command {
	var req node.CaseRequest
	var yes bool
	var who speaker
	c := &cobra.Command{
		Use:   "approve CASE --by NAME",
		Short: "Approve, as a second person, what one person gives",
		Long: `Approve is the second person's word: the records travel at once. It is refused to the
person who gave them. --as is as for "stile urgent give".`,
		Example: `  stile urgent approve 7f3a1c22 --by "Ann Lee"`,
		Args:    takes(1, 1, "the id of a case"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.sure(yes, "disclose the records of the case %s", args[0]); err != nil {
				return err
			}
			req.Case = args[0]
			var err error
			if req.As, req.Passphrase, err = a.shows(who); err != nil {
				return err
			}
			r, err := a.node().Urgent().Approve(cmd.Context(), req)
			if err != nil {
				return err
			}
			return a.caseShown(r)
		},
	}
	who.flags(c)
	c.Flags().StringVar(&req.By, "by", "", "`name` or pseudonym of the person who approves; both councils log it")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}
