package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
)

func (a *app) driftCommand() *cobra.Command {
	req := node.DriftRequest{}
	c := &cobra.Command{
		Use:   "drift",
		Short: "Say where the exchange is no longer what the agreements were made for",
		Long: `Drift looks at each agreement that stands and under which we send, over the last days
and over as many before them:

  - whether anything was let out under it, and to each of its receivers;
  - whether each of its fields was in some record that left: one that never is need not
    be agreed (at most 5,000 records of each agreement are looked at);
  - whether five times as much left as in the time before, or a fifth of it.

An agreement that has not stood for all of that time is not blamed for what is before it.
What drift says is for a person to think about; it changes nothing.`,
		Example: `  stile drift
  stile drift --days 365 --json`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if req.Days < 1 {
				return misused("--days: want at least 1")
			}
			r, err := a.node().Disclosures().Drift(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.printDrift(r)
			return nil
		},
	}
	c.Flags().IntVar(&req.Days, "days", 90, "`days` to look at, and as many before them")
	return c
}

func (a *app) printDrift(r node.DriftReply) {
	if len(r.Agreements) == 0 {
		a.say("no agreement under which we send is in force")
		return
	}
	t := newTable("AGREEMENT", "MODE", "#LET OUT", "#BEFORE", "LAST")
	found := 0
	for _, d := range r.Agreements {
		last := "never"
		if !d.Last.IsZero() {
			last = at(d.Last)
		}
		t.add(fmt.Sprintf("%s v%d", d.Agreement, d.Version), d.Mode, number(d.LetOut), number(d.Before), last)
		found += len(d.Findings)
	}
	t.write(a.out, "")
	for _, d := range r.Agreements {
		for i, f := range d.Findings {
			if i == 0 {
				a.printf("\n%s\n", d.Agreement)
			}
			a.printf("  %s\n", clean(f))
		}
	}
	if found == 0 {
		a.say("nothing to look at since %s", at(r.Since))
	}
}
