package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node"
)

func (a *app) aggregateCommand() *cobra.Command {
	var req node.AggregateRequest
	var asCSV bool
	var of, trust []string
	var out, check string
	least := agreement.LeastCouncils
	c := &cobra.Command{
		Use:   "aggregate AGREEMENT|STANDARD [--by /FIELD,…] --because REASON",
		Short: "Ask another council for counts of records, under an agreement of mode aggregate",
		Long: `Aggregate asks the council at the other end of an agreement how many records there
are, all together or by up to four of the agreement's fields. No record leaves it.

Groups of fewer than ten are not shown, nor whether there are any, and another group with
one that would be the only one missing. All other counts are moved by up to four, always
the same while the group is the same, and rounded to five; the total is of what is shown.
The other council counts once a week, from Monday: who asks again is given the same. Ten ways
of counting are answered in a week, and 150 in a year under one agreement.

--sum adds up the numbers in a field, to three digits, where no few records make up most.

Both councils log the question with its reason, and the answer.

With --of it asks each council of a list, under the agreement of this mode that is in force
with it about the standard, and adds up counts and sums. The name of a footprint stands for
its members. A group that fewer than three councils
show is left out, as is a sum that one of them does not show; who does not answer is named.
--out writes a file with what each council signed and the proof that it stands in its log;
--check adds such a file up again, with the councils' keys and no node.`,
		Example: `  stile aggregate northmoor.gov.uk/plans --by /district,/status --because "local plan, table 4"
  stile aggregate northmoor.gov.uk/plans --by /district --because "local plan, table 4" --csv > plans.csv
  stile aggregate standards.example/plan@1 --of a.gov.uk,b.gov.uk,c.gov.uk --because "table 4" --out totals.json
  stile aggregate --check totals.json --trust northmoor.yaml --trust saltby.yaml`,
		Args: takes(0, 1, "an agreement"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case check != "" && len(args) == 0:
				return a.checkTotals(check, trust)
			case len(args) == 0:
				return misused("give an agreement, or with --of a standard")
			}
			req.Agreement = args[0]
			switch {
			case len(of) > 0 && (asCSV || req.Question != ""):
				return misused("--of goes with neither --csv nor --question")
			case asCSV && a.json:
				return misused("choose one of --csv and --json")
			case req.Because == "":
				return failure(node.Usage, "--because \"what it is for\"", "say why it is asked: both councils log the reason")
			}
			if len(of) > 0 {
				return a.totals(cmd.Context(), req, args[0], of, least, out)
			}
			r, err := a.node().Questions().Count(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			if asCSV {
				err = a.countsCSV(r)
			} else {
				a.printCounts(r)
			}
			a.say("of the week from %s; groups of fewer than %d are not shown, nor whether there are any; counts are moved a little and rounded to %d; %d of %d countings of this year are used", r.Day, r.Threshold, r.Rounded, r.Spent, r.Budget)
			return err
		},
	}
	f := c.Flags()
	f.StringSliceVar(&req.By, "by", nil, "count by these `fields`, with commas between; default: all together")
	f.StringSliceVar(&req.Sum, "sum", nil, "sum the numbers in these `fields` for each group")
	f.StringVar(&req.Because, "because", "", "the `reason`; both councils log it")
	f.StringSliceVar(&of, "of", nil, "ask each of these `councils`, or the members of these footprints, with commas between, and add up")
	f.IntVar(&least, "least", least, "with --of: leave out groups that fewer `councils` show")
	f.StringVar(&out, "out", "", "with --of: write what each council signed to this `file`")
	f.StringVar(&check, "check", "", "add up this `file` again and check who signed")
	f.StringArrayVar(&trust, "trust", nil, "with --check: a member `file`, or a folder of them; may be given again")
	f.BoolVar(&asCSV, "csv", false, "print CSV")
	f.StringVar(&req.Question, "question", "", "ask again, as the same, a question whose answer did not arrive: its `id`")
	return c
}

func (a *app) printCounts(r node.AggregateReply) {
	var heads, sums []string
	for _, f := range r.Fields {
		heads = append(heads, string(f))
	}
	for _, f := range r.Sums {
		sums = append(sums, "#"+string(f))
	}
	t := newTable(append(append(heads, "#RECORDS"), sums...)...)
	for _, g := range r.Groups {
		var cells []string
		for _, s := range g.Of {
			if s == nil {
				cells = append(cells, "(none)")
			} else {
				cells = append(cells, *s)
			}
		}
		cells = append(cells, number(g.Count))
		for _, s := range g.Sums {
			if s == nil {
				cells = append(cells, "not shown")
			} else {
				cells = append(cells, number(int(*s)))
			}
		}
		t.add(cells...)
	}
	switch {
	case len(r.Groups) == 0:
		a.say("no group has %d records or more", r.Threshold)
		return
	case len(r.Fields) > 0:
		t.add(append([]string{"total shown"}, append(append(make([]string, len(r.Fields)-1), number(r.Total)), make([]string, len(r.Sums))...)...)...)
	}
	t.write(a.out, "")
}

func (a *app) countsCSV(r node.AggregateReply) error {
	w := newSheet(a.out)
	var row []string
	for _, f := range r.Fields {
		row = append(row, string(f))
	}
	row = append(row, "records")
	for _, f := range r.Sums {
		row = append(row, string(f))
	}
	w.row(row...)
	for _, g := range r.Groups {
		row = row[:0]
		for _, s := range g.Of {
			if s == nil {
				row = append(row, "")
			} else {
				row = append(row, *s)
			}
		}
		row = append(row, strconv.Itoa(g.Count))
		for _, s := range g.Sums {
			if s == nil {
				row = append(row, "")
			} else {
				row = append(row, strconv.FormatInt(*s, 10))
			}
		}
		w.row(row...)
	}
	return w.close()
}
