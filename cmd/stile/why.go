package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) whyCommand() *cobra.Command {
	req := node.WhyRequest{}
	var day string
	c := &cobra.Command{
		Use:   "why PARTNER RECORD",
		Short: "Say why a partner has or lacks a record, rule by rule and field by field",
		Long: `Why goes through everything that decides whether a partner has a record of ours:
the record, the directory, every agreement, its row filter, and what the partner
receipted. Then it says of each field whether it travels, and why. It shows the
rules and never the values.

What was sent, what the partner answered and what was taken back is told by the log,
with dates and entries, also when the agreement is over. With --from it is asked of a
record that the partner sent us: why do we hold it, or why has it gone. One that was
deleted is named by its id.

Of a record that another council sent us, and that an agreement of ours may pass on
(docs/onward.md), it says rule by rule whether it goes on: what its own council's
agreement lets go on, too, and whether that council took it back.`,
		Example: `  stile why saltby.gov.uk 26/0000001/PA --standard planning-application`,
		Args:    takes(2, 2, "a partner and a record"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Partner, req.Record = args[0], args[1]
			if day != "" {
				return a.whyAt(cmd.Context(), req, day)
			}
			r, err := a.node().Why(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.printWhy(r)
			return nil
		},
	}
	c.Flags().StringVar(&day, "at", "", whyAtHelp)
	c.Flags().BoolVar(&req.From, "from", false, "of a record that the partner sent us")
	c.Flags().StringVar(&req.Standard, "standard", "", "`standard` of the record, when it is named by its key")
	return c
}

func (a *app) printWhy(r node.WhyReply) {
	a.printf("%s\n", clean(r.Answer))
	var agreements []name.Agreement
	for _, s := range r.Steps {
		if !slices.Contains(agreements, s.Agreement) {
			agreements = append(agreements, s.Agreement)
		}
	}
	for _, g := range agreements {
		if g != "" {
			over := ""
			if slices.ContainsFunc(r.Steps, func(s node.WhyStep) bool { return s.Agreement == g && s.Past }) {
				over = ", which is over"
			}
			a.printf("\nunder %s%s\n", g, over)
		} else {
			a.printf("\nbefore any agreement\n")
		}
		t := newTable("", "RULE", "")
		for _, s := range r.Steps {
			if s.Agreement == g {
				t.add(yesNo(s.Holds), s.Rule, s.Detail)
			}
		}
		t.write(a.out, "  ")
		f := newTable("FIELD", "", "BECAUSE")
		for _, x := range r.Fields {
			if x.Agreement != g {
				continue
			}
			f.add(x.Field, x.State, x.Because)
		}
		if len(f.rows) > 0 {
			a.printf("\n  field by field\n")
			f.write(a.out, "  ")
		}
	}
	if len(r.Events) == 0 {
		return
	}
	a.printf("\nwhat happened\n")
	t := newTable("WHEN", "WHAT", "UNDER", "FIELDS", "ENTRY")
	for _, e := range r.Events {
		entry, under := "-", "-"
		if e.Log != "" {
			entry = fmt.Sprintf("%s of %s", number(e.Entry), e.Log)
		}
		if e.Agreement != "" {
			under = fmt.Sprintf("%s v%d", e.Agreement, e.Version)
		}
		t.add(at(e.At), e.What, under, list(e.Fields), entry)
	}
	t.write(a.out, "  ")
}
