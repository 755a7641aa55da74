package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
)

func (a *app) agreementRenewCommand() *cobra.Command {
	var yes bool
	var review string
	var version int
	var who speaker
	c := &cobra.Command{
		Use:   "renew NAME --review DATE",
		Short: "Say that an agreement was reviewed and goes on until a later date of review",
		Long: `On the date of review of an agreement what travels under it stops, as if it were
suspended: the receiver keeps what it holds, and what has to come back comes back.
It goes on when every party has renewed it, each with this command on its own
node. A renewal changes no word of the agreement but that date; for any other
change sign a new version. The date that counts is the latest to which all
parties have renewed. A footprint has renewed it once a majority of its members
names the same day.

With --as a person says by their passphrase who they are. Where web.two_persons is set
somebody must, and nothing is renewed before another signer has named the same day, here
or at the pages.

Status warns 30 days and 7 days before.`,
		Example: "  stile agreement renew northmoor.gov.uk/people-moving-to-saltby --review 2028-12-01",
		Args:    takes(1, 1, "the name of an agreement"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if review == "" {
				return misused("say with --review until when it goes on, such as --review 2028-12-01")
			}
			if err := a.sure(yes, "renew %s until %s", args[0], review); err != nil {
				return err
			}
			req := node.AgreementRequest{Name: args[0], Version: version, Review: review}
			if err := a.speaks(who, &req); err != nil {
				return err
			}
			r, err := a.node().Agreements().Renew(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			if r.Approval != nil {
				a.another(*r.Approval, "renew "+args[0]+" --review "+review)
				return nil
			}
			a.printf("%s version %d: %s\n", r.Name, r.Version, force(r))
			t := newTable("", "")
			shownDates(t, r)
			t.write(a.out, "")
			if r.Review < review {
				a.say("it counts once every party has said so; next, there: stile agreement renew %s --review %s", r.Name, review)
			}
			return nil
		},
	}
	c.Flags().StringVar(&review, "review", "", "the new `date` of review, such as 2028-12-01")
	who.flags(c)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().IntVar(&version, "version", 0, "`version` to renew; default: the one in force or suspended")
	return c
}

// shownDates adds the dates of an agreement to a table about it.
func shownDates(t *table, r node.AgreementReply) {
	if r.Review != "" {
		t.add("review", r.Review)
	}
	for _, x := range r.Renewals {
		t.add("", fmt.Sprintf("renewed to %s by %s on %s", x.Review, x.By, at(x.At)))
	}
	if r.Ends != "" {
		t.add("ends", r.Ends)
	}
	if r.Kept != "" {
		t.add("kept by the receiver", r.Kept)
	}
}
