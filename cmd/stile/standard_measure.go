package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/measure"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
)

func (a *app) standardMeasureCommand() *cobra.Command {
	var req node.MeasureRequest
	c := &cobra.Command{
		Use:   "measure [STANDARD]",
		Short: "Count how well we comply with a standard, and say so if asked",
		Long: `Measure counts, from this node's own ledger, what a compliance statement says of
each version of a standard: live records, how many records were valid when they
first came, what is held back and which rules were broken where, which fields are
filled, how fresh the records are, and how far they went to partners. Without
STANDARD it counts every adopted standard that has something to count.

With --publish each statement is issued as a record of ours, in the standard
compliance-statement: signed, logged, and shared with whom an agreement on that
standard says. A second one on the same day is a new version of the first. A
running node publishes by itself every measure_every hours.

A statement holds counts and names of fields, nothing that a record says. What
each figure means stands in docs/measuring.md.`,
		Example: `  stile standard measure brownfield-site
  stile standard measure --publish`,
		Args: takes(0, 1, "at most one standard"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Standard = strings.Join(args, "")
			r, err := a.node().Standards().Measure(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			if len(r.Statements) == 0 {
				a.say("there is nothing to count: no adopted standard has records, offers or agreements")
			}
			for i, s := range r.Statements {
				if i > 0 {
					a.printf("\n")
				}
				a.printStatement(s)
				if i < len(r.Published) {
					p := r.Published[i]
					a.printf("issued as record %s, version %d, entry %s\n", p.Record, p.Version, number(p.Index))
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&req.Publish, "publish", false, "issue what was counted as records")
	return c
}

// printStatement says a statement in words.
func (a *app) printStatement(s node.Statement) {
	a.printf("%s and %s, counted %s\n", s.Council, s.Standard, at(s.ComputedAt))
	t := newTable("", "")
	t.add("records", plural(s.Records, "live record", "live records"))
	if s.Damaged > 0 {
		t.add("damaged", fmt.Sprintf("%s cannot be read on disk, and %s in no figure below: stile doctor", plural(s.Damaged, "record", "records"), map[bool]string{true: "is", false: "are"}[s.Damaged == 1]))
	}
	valid := "none came yet"
	if s.Offers.Seen > 0 {
		valid = fmt.Sprintf("%s, counted since %s", part(s.Offers.Valid, s.Offers.Seen), at(s.CountedSince))
	}
	t.add("valid when first offered", valid)
	if s.Offers.NotJudged > 0 {
		t.add("not judged", fmt.Sprintf("%s more work to check than a record may cause, and %s not among these", plural(s.Offers.NotJudged, "record takes", "records take"), map[bool]string{true: "is", false: "are"}[s.Offers.NotJudged == 1]))
	}
	t.add("held back now", number(s.Held))
	fresh := "the standard does not say how fresh records should be"
	if s.Freshness != nil {
		fresh = fmt.Sprintf("%s changed within %s", part(s.Freshness.Fresh, s.Records-s.Damaged), span(s.Freshness.Within))
	}
	t.add("fresh", fresh)
	p := s.Partners
	partners := "no agreement in force lets anybody have them"
	if p.Served > 0 {
		partners = fmt.Sprintf("%s may have them; %s sent, %s signed for (a record counts once for each partner)",
			plural(p.Served, "partner", "partners"), part(p.Delivered, p.Offered), number(p.Acknowledged))
	}
	t.add("partners", partners)
	r := s.Received
	t.add("from other councils", fmt.Sprintf("%s held, %s looked at; %s ever", plural(r.Records, "record", "records"), number(r.Used), plural(r.EverUsed, "version", "versions")))
	t.add("of our log at", plural(s.Checkpoint.Size, "entry", "entries")+", root "+s.Checkpoint.Root)
	t.write(a.out, "  ")
	if len(s.Errors.Listed) > 0 {
		a.printf("what refused records broke\n")
		t = newTable("FIELD", "RULE", "#TIMES")
		for _, e := range s.Errors.Listed {
			t.add(whole(string(e.Field)), e.Rule, number(e.Count))
		}
		if s.Errors.Other > 0 {
			t.add("(others)", "", number(s.Errors.Other))
		}
		t.write(a.out, "  ")
	}
	if s.Records > 0 {
		a.printf("fields filled\n")
		t = newTable("FIELD", "#RECORDS", "#SHARE")
		for _, f := range s.Fields {
			t.add(whole(string(f.Field)), number(f.Filled), percent(f.Filled, s.Records-s.Damaged))
		}
		t.write(a.out, "  ")
	}
}

func whole(field string) string {
	if field == "" {
		return "(whole record)"
	}
	return field
}

// part says how many of how many, and in percent.
func part(n, of int) string {
	return fmt.Sprintf("%s of %s (%s)", number(n), number(of), percent(n, of))
}

// percent is rounded down, so that 100% means all; "-" of nothing.
func percent(n, of int) string {
	p, ok := measure.Share(n, of)
	if !ok {
		return "-"
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", p), ".0") + "%"
}

// span says an ISO 8601 duration in words.
func span(iso string) string {
	d, err := standard.ParseDuration(iso)
	if err != nil {
		return clean(iso)
	}
	var words []string
	for _, x := range []struct {
		n    int
		unit string
	}{{d.Years, "year"}, {d.Months, "month"}, {d.Weeks, "week"}, {d.Days, "day"}, {d.Hours, "hour"}, {d.Minutes, "minute"}, {d.Seconds, "second"}} {
		if x.n > 0 {
			words = append(words, plural(x.n, x.unit, x.unit+"s"))
		}
	}
	return strings.Join(words, ", ")
}
