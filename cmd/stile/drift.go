package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
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

Of each agreement under which we hold what another council sent, it says whether anybody
looked at it here: at any record, and at each field ("record list --show" looks at the fields
that it shows, "record show" and an export at all of them).

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
	if len(r.Agreements)+len(r.Received) == 0 {
		a.say("no agreement is in force")
		return
	}
	found := 0
	findings := func(agreement name.Agreement, list []string) {
		for i, f := range list {
			if i == 0 {
				a.printf("\n%s\n", agreement)
			}
			a.printf("  %s\n", clean(f))
		}
		found += len(list)
	}
	a.printSent(r.Agreements)
	a.printReceived(r.Received, len(r.Agreements) > 0)
	for _, d := range r.Agreements {
		findings(d.Agreement, d.Findings)
	}
	for _, d := range r.Received {
		findings(d.Agreement, d.Findings)
	}
	if found == 0 {
		a.say("nothing to look at since %s", at(r.Since))
	}
}

func (a *app) printSent(ds []node.Drift) {
	if len(ds) == 0 {
		return
	}
	t := newTable("AGREEMENT", "MODE", "#LET OUT", "#BEFORE", "LAST")
	for _, d := range ds {
		last := "never"
		if !d.Last.IsZero() {
			last = at(d.Last)
		}
		t.add(fmt.Sprintf("%s v%d", d.Agreement, d.Version), d.Mode, number(d.LetOut), number(d.Before), last)
	}
	t.write(a.out, "")
}

func (a *app) printReceived(ds []node.DriftReceived, after bool) {
	if len(ds) == 0 {
		return
	}
	if after {
		a.printf("\n")
	}
	t := newTable("AGREEMENT", "FROM", "#HELD", "#LOOKED AT", "LAST LOOKED AT")
	for _, d := range ds {
		last := "never"
		switch {
		case !d.Last.IsZero():
			last = d.Last.Format(time.DateOnly)
		case d.LookedAt > 0:
			last = "not known"
		}
		t.add(fmt.Sprintf("%s v%d", d.Agreement, d.Version), string(d.From), number(d.Held), number(d.LookedAt), last)
	}
	t.write(a.out, "")
}
