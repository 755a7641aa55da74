package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// totals asks councils for counts of the records of a standard, adds up what they answer, and
// writes to a file what they signed.
func (a *app) totals(ctx context.Context, req node.AggregateRequest, standard string, of []string, least int, out string) error {
	line, err := name.ParseStandardLine(standard)
	if err != nil {
		return failure(node.Usage, "stile aggregate standards.example/housing-need@1 --of COUNCIL,COUNCIL,COUNCIL", "with --of the counts are of a standard: %v", err)
	}
	all, err := a.node().Agreements().List(ctx)
	if err != nil {
		return err
	}
	councils, err := a.each(ctx, of)
	if err != nil {
		return err
	}
	t := &audit.Totals{Standard: line, Least: least}
	var last node.AggregateReply
	for _, c := range councils {
		i := slices.IndexFunc(all, func(r node.AgreementReply) bool {
			return r.From == c && r.Standard == line && r.InForce && agreement.Mode(r.Mode).Way().Grouped
		})
		if i < 0 {
			t.Missing = append(t.Missing, audit.Missing{Council: c, Why: "no agreement in force lets its records of the standard be counted by this council"})
			continue
		}
		req.Agreement = string(all[i].Name)
		r, err := a.node().Questions().Count(ctx, req)
		if err != nil {
			t.Missing = append(t.Missing, audit.Missing{Council: c, Why: err.Error()})
			continue
		}
		last = r
		t.Answers = append(t.Answers, audit.Answered{Council: r.By, Agreement: r.Agreement, Entry: r.Entry, Counts: r.Counts,
			Logged: &audit.Logged{Checkpoint: r.Checkpoint, Answer: r.Answer, Entry: r.AnswerEntry, Inclusion: r.Inclusion}})
	}
	for _, m := range t.Missing {
		a.say("missing: %s: %s", m.Council, m.Why)
	}
	if err := t.Add(); err != nil {
		return failure(node.Refused, "ask each with stile aggregate AGREEMENT", "%v", err)
	}
	if out != "" {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetIndent("", "  ")
		if err := enc.Encode(t); err != nil {
			return err
		}
		if err := os.WriteFile(out, b.Bytes(), 0o666); err != nil {
			return err
		}
	}
	if a.json {
		return a.emit(t)
	}
	a.printTotals(t, last)
	return nil
}

// each returns the councils of a list, each once: the name of a footprint stands for the
// members that the directory gives it.
func (a *app) each(ctx context.Context, of []string) (out []name.Council, err error) {
	for _, s := range of {
		c, err := name.ParseCouncil(strings.TrimSpace(s))
		if err != nil {
			return nil, misused("--of: %v", err)
		}
		list := []name.Council{c}
		r, err := a.node().Councils().Show(ctx, node.MemberNameRequest{Council: string(c)})
		switch {
		case isKind(err, node.NotFound): // it is told as missing
		case err != nil:
			return nil, err
		default:
			m, err := directory.ParseMember([]byte(r.Document))
			if err != nil {
				return nil, err
			}
			if m.Role == directory.RoleFootprint {
				if len(m.Members) == 0 {
					return nil, failure(node.NotFound, "name its members themselves", "the directory does not say who keeps %s", c)
				}
				list = m.Members
			}
		}
		for _, c := range list {
			if !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out, nil
}

func (a *app) printTotals(t *audit.Totals, of node.AggregateReply) {
	// By the fields in the order that they are signed.
	of.Fields, of.Sums, of.Total, of.Groups = t.By, t.Sums, t.Total, nil
	for _, g := range t.Groups {
		of.Groups = append(of.Groups, node.Group{Of: g.Of, Count: g.Count, Sums: g.Sums})
	}
	if len(of.Groups) == 0 {
		a.say("no group is of %d councils or more", t.Least)
	} else {
		a.printCounts(of)
	}
	a.say("%s answered, %s missing; groups that fewer than %d of them show are left out", plural(len(t.Answers), "council", "councils"), plural(len(t.Missing), "is", "are"), t.Least)
}

// checkTotals checks a file of totals with the councils' keys.
func (a *app) checkTotals(path string, trust []string) error {
	b, err := a.readFile(path, audit.MaxTotals)
	if err != nil {
		return err
	}
	o, err := (&verifying{app: a, trust: trust}).options()
	if err != nil {
		return err
	}
	logged := 0
	t, err := audit.ParseTotals(b)
	if err == nil {
		logged, err = t.Check(o.Trust.Members)
	}
	if err != nil {
		return failure(node.Unverified, "give the member file of each council with --trust", "%v", err)
	}
	if a.json {
		return a.emit(t)
	}
	a.printTotals(t, node.AggregateReply{})
	a.say("each council signed its counts, and they add up to this; those of %d of %d are shown to stand in their logs", logged, len(t.Answers))
	return nil
}
