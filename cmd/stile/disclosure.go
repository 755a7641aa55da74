package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) disclosureCommand() *cobra.Command {
	return noun("disclosure", "List who was let have what, and what was refused", `A disclosure is one version of a record that was let out to one council. It is logged
before it leaves, and what is listed here comes from the log: an auditor finds the same in
a bundle of the agreement.`,
		a.disclosureListCommand(), a.disclosureRefusedCommand(), a.disclosureRebuildCommand())
}

// A personFlags is how a person is named on the command line.
type personFlags struct{ person, scheme string }

// read returns the number that names the person. "-" reads it from standard input.
func (p *personFlags) read(ctx context.Context, a *app) (string, error) {
	switch p.person {
	case "-":
		return a.readValue(ctx, "number")
	case "":
		return "", nil
	}
	a.say("a number on the command line can be seen by others on this machine; - reads it from standard input")
	return p.person, nil
}

func (a *app) disclosureListCommand() *cobra.Command {
	var req node.DisclosureRequest
	var who personFlags
	var to, agreement, since, until string
	var all bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List what was let out, to whom, when and under which agreement",
		Long: `List shows each version of a record that was let out, the oldest first: when that was
logged, the council it went to, the agreement and its version, the fields, what the
receiver signed about it, and how it was taken back. Where records of other councils were
passed on a column says whose each is.

--record picks one record. --person picks the records about one person, by a number
that a standard says names a person, such as a national insurance number; "-" reads the
number from standard input, where nobody else sees it. The number is found with other
spaces, hyphens and letter case, in records as they are now and as they were.

It takes as long as what it lists, however long the log is.`,
		Example: `  stile disclosure list --record 26/0000001/PA --standard planning-application
  stile disclosure list --to saltby.gov.uk --since 2026-11-01 --until 2026-11-30
  printf %s "$NINO" | stile disclosure list --person - --json`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if req.Limit < 1 {
				return misused("--limit: want at least 1")
			}
			if req.Since, err = dayOrTime(since, false); err != nil {
				return misused("--since: %v", err)
			}
			if req.Until, err = dayOrTime(until, true); err != nil {
				return misused("--until: %v", err)
			}
			if to != "" {
				if req.To, err = name.ParseCouncil(strings.ToLower(to)); err != nil {
					return misused("--to: %v", err)
				}
			}
			if agreement != "" {
				if req.Agreement, err = name.ParseAgreement(agreement); err != nil {
					return misused("--agreement: %v", err)
				}
			}
			req.Scheme = who.scheme
			if req.Person, err = who.read(cmd.Context(), a); err != nil {
				return err
			}
			return a.listDisclosures(cmd.Context(), req, all)
		},
	}
	f := c.Flags()
	f.StringVar(&req.Record, "record", "", "only of this `record`: its id, or its key")
	f.StringVar(&req.Standard, "standard", "", "`standard` of the record, when it is named by its key")
	f.StringVar(&who.person, "person", "", "only of records about the person with this `number`; - reads it from standard input")
	f.StringVar(&who.scheme, "scheme", "", "whose `number` it is, such as nino, where that is not clear")
	f.StringVar(&to, "to", "", "only what went to this `council`")
	f.StringVar(&agreement, "agreement", "", "only what went under this `agreement`")
	f.StringVar(&since, "since", "", "only from this `day` or time on, such as 2026-11-01")
	f.StringVar(&until, "until", "", "only up to this `day`, all of it, or time")
	f.IntVar(&req.Limit, "limit", 100, "list at most this `number`")
	f.BoolVar(&all, "all", false, "list every disclosure")
	return c
}

// dayOrTime reads a day of UTC, or an instant as RFC 3339 writes it. Of a day it is the
// beginning, or with end the end.
func dayOrTime(s string, end bool) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return t, fmt.Errorf("want a day such as 2026-11-01, or a time such as 2026-11-01T09:30:00Z")
	}
	if end {
		t = t.AddDate(0, 0, 1)
	}
	return t, nil
}

func (a *app) listDisclosures(ctx context.Context, req node.DisclosureRequest, all bool) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	left, n, more := req.Limit, 0, false
	for {
		req.Limit = 1000
		if !all {
			req.Limit = min(left, 1000)
		}
		page, err := c.Disclosures().List(ctx, req)
		if err != nil {
			return err
		}
		n, left = n+len(page.Disclosures), left-len(page.Disclosures)
		if a.json {
			err = emitLines(a, page.Disclosures)
		} else {
			a.printDisclosures(page.Disclosures)
		}
		if err != nil {
			return err
		}
		if req.Cursor = page.Cursor; page.Cursor == "" {
			break
		}
		if more = !all && left <= 0; more {
			break
		}
	}
	if more {
		a.say("there are more than %s; --all lists them", plural(n, "disclosure", "disclosures"))
	}
	if n == 0 {
		a.say("nothing was let out")
	}
	return nil
}

func (a *app) printDisclosures(ds []node.Disclosure) {
	if len(ds) == 0 {
		return
	}
	columns := []string{"WHEN", "TO", "AGREEMENT", "HOW", "RECORD", "#VERSION", "FIELDS", "RECEIPT", "TAKEN BACK", "#ENTRY"}
	of := slices.ContainsFunc(ds, func(d node.Disclosure) bool { return d.Of != "" })
	if of {
		columns = slices.Insert(columns, 5, "OF")
	}
	t := newTable(columns...)
	for _, d := range ds {
		under := "-"
		if d.Agreement != "" {
			under = fmt.Sprintf("%s v%d", d.Agreement, d.Version) + urgently(d.Urgent)
		}
		to := string(d.To)
		if d.For != "" {
			to += " for " + string(d.For)
		}
		record := string(d.Record)
		if record == "" {
			record = "-"
		}
		fields := list(d.Fields)
		if d.Unread != "" {
			fields = "at most " + fields + " (" + d.Unread + ")"
		}
		row := []string{at(d.At), to, under, d.Way, record, number(d.RecordVersion), fields, receiptWords(d.Receipt), withdrawalWords(d.Withdrawal), number(d.Entry)}
		if of {
			row = slices.Insert(row, 5, cmp.Or(string(d.Of), "-"))
		}
		t.add(row...)
	}
	t.write(a.out, "")
}

func receiptWords(r *node.DisclosureReceipt) string {
	switch {
	case r == nil:
		return "none"
	case r.Rule != "":
		return r.Says + " (" + r.Rule + ") " + at(r.At)
	}
	if r.ByCall {
		return r.Says + " (by call, not signed) " + at(r.At)
	}
	return r.Says + " " + at(r.At)
}

func withdrawalWords(w *node.DisclosureWithdrawal) string {
	if w == nil {
		return "-"
	}
	s := w.Reason
	if !w.At.IsZero() {
		s = at(w.At) + ": " + s
	}
	if w.Deleted == nil {
		return s + "; not said to be deleted"
	}
	return s + "; deleted " + at(*w.Deleted)
}

func (a *app) disclosureRefusedCommand() *cobra.Command {
	var req node.RefusedRequest
	var since string
	c := &cobra.Command{
		Use:   "refused [COUNCIL]",
		Short: "List what was asked for and refused, and near misses",
		Long: `Refused lists, the newest last:

  question   a question that was not answered: not agreed, too often, not by that field
  copy       a copy that was not begun: no agreement with that council, or not in force
  record     a record that was held back when it should have left: it does not match, or is damaged
  near miss  a question that was answered with nothing, or with too many to say
  delivery   something that a partner sent, and that we did not take

The first three are counted, and logged once the hour is over: one entry for each
council, reason and agreement, however often it asked. Until then they have no entry.`,
		Example: `  stile disclosure refused
  stile disclosure refused saltby.gov.uk --since 2026-11-01`,
		Args: takes(0, 1, "a council, or nothing"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if req.Limit < 1 {
				return misused("--limit: want at least 1")
			}
			if req.Since, err = dayOrTime(since, false); err != nil {
				return misused("--since: %v", err)
			}
			if len(args) > 0 {
				if req.Council, err = name.ParseCouncil(strings.ToLower(args[0])); err != nil {
					return misused("%v", err)
				}
			}
			rs, err := a.node().Disclosures().Refused(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.json {
				return emitLines(a, rs)
			}
			if len(rs) == 0 {
				a.say("nothing was refused")
				return nil
			}
			t := newTable("WHEN", "COUNCIL", "", "WHAT", "BECAUSE", "AGREEMENT", "#TIMES", "ENTRY")
			for _, r := range rs {
				entry, under := "-", "-"
				if r.Entry > 0 {
					entry = number(r.Entry)
				}
				if r.Agreement != "" {
					under = string(r.Agreement)
				}
				t.add(at(r.At), string(r.Council), r.Direction, r.What, r.Rule, under, number(r.Times), entry)
			}
			t.write(a.out, "")
			return nil
		},
	}
	c.Flags().StringVar(&since, "since", "", "only from this `day` or time on, such as 2026-11-01")
	c.Flags().IntVar(&req.Limit, "limit", 100, "list at most this `number`, the newest")
	return c
}

func (a *app) disclosureRebuildCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rebuild",
		Short: "Make the index of disclosures anew from the log",
		Long: `Rebuild makes the index that these lists are read from anew, from the log. A node does so
by itself when a newer version of Stile has another index. Until it is done, lists may show
too little.`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.node().Disclosures().Rebuild(cmd.Context()); err != nil {
				return err
			}
			a.say("the index is that of the log again")
			return nil
		},
	}
}
