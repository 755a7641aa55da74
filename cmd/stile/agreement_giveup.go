package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
)

func (a *app) agreementGiveUpCommand() *cobra.Command {
	var in node.GiveUpRequest
	var yes bool
	c := &cobra.Command{
		Use:   "give-up NAME COUNCIL",
		Short: "Stop waiting for a council that is gone to say what it deleted",
		Long: `Give-up ends the waiting for a council that has left the directory and holds, by its own
last word, records of ours. No withdrawal can reach it: its keys are believed no more, so
that nobody could say who receives it, and who signs that all was deleted.

It proves no deletion. Ask the people of the council first, or of whoever took over, and
say with --because what came of it: that is logged for good, with how many records they
were. A council that is still a member can answer, and is waited for.

Where a council has refused orders to erase it has answered, and nothing waits: give-up then
says that people have settled it with the council, and the refusals are shown no more.`,
		Example: `  stile agreement give-up northmoor.gov.uk/moves saltby.gov.uk --because "disks destroyed, certificate 2026/88"`,
		Args:    takes(2, 2, "the name of an agreement and a council"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Agreement, in.Council = args[0], args[1]
			if strings.TrimSpace(in.Because) == "" {
				return misused("give --because")
			}
			if err := a.sure(yes, "wait no more for %s to say that it deleted what it holds under %s", in.Council, in.Agreement); err != nil {
				return err
			}
			r, err := a.node().Agreements().GiveUp(cmd.Context(), in)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.printf("%s under %s: %s waited for no more, entry %s of the log says so\n", r.Council, r.Agreement, plural(r.Outstanding, "record is", "records are"), number(r.Entry))
			return nil
		},
	}
	c.Flags().StringVar(&in.Because, "because", "", "`why` no receipt will come; it is logged and must name nobody")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// printOwed says of each partner what it was told to delete and has not said that it did.
func (a *app) printOwed(ps []node.PartnerReply) {
	for _, p := range ps {
		for _, o := range p.RefusedOrders {
			a.printf("%s has refused to erase record %s: %s\n", p.Council, o.Record, o.Rule)
		}
		if p.Outstanding == 0 || len(p.Unconfirmed) > 0 {
			continue
		}
		what := plural(p.Outstanding, "withdrawal", "withdrawals")
		if p.Over {
			what = plural(p.Outstanding, "record", "records") + " of a version that is over"
		}
		if p.Erasures > 0 {
			what += fmt.Sprintf(", of them %s", plural(p.Erasures, "erasure order", "erasure orders"))
		}
		old := ""
		if p.OldestHours > 0 {
			old = ", the oldest " + age(p.OldestHours) + " old"
		}
		a.printf("%s has not receipted %s%s\n", p.Council, what, old)
	}
}
