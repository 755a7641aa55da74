package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/node"
)

// judgeRecords asks the node how its own records of a version, or of a line,
// would fare under another, page by page, and adds the pages up.
func (a *app) judgeRecords(ctx context.Context, c node.Operations, from string, to node.AdoptRequest) (*node.AgainstReply, error) {
	sum := &node.AgainstReply{Faults: []node.FaultCount{}}
	type fault struct{ field, rule, detail string }
	at := map[fault]int{}
	began, shown := time.Now(), false
	defer func() {
		if shown {
			a.hint("\r%s\r", strings.Repeat(" ", 78))
		}
	}()
	req := node.AgainstRequest{From: from, To: to}
	for {
		page, err := c.Standards().Against(ctx, req)
		if err != nil {
			return nil, err
		}
		sum.From, sum.To, sum.Mapped, sum.Total = page.From, page.To, page.Mapped, page.Total
		sum.Examined += page.Examined
		sum.Valid += page.Valid
		sum.Failed += page.Failed
		sum.NotJudged += page.NotJudged
		sum.Damaged += page.Damaged
		for _, f := range page.Faults {
			k := fault{f.Field, f.Rule, f.Detail}
			i, ok := at[k]
			if !ok {
				at[k] = len(sum.Faults)
				sum.Faults = append(sum.Faults, f)
				continue
			}
			s := &sum.Faults[i]
			s.Records += f.Records
			if s.IDs = append(s.IDs, f.IDs...); len(s.IDs) > 5 {
				s.IDs = s.IDs[:5]
			}
		}
		if req.Cursor = page.Cursor; page.Cursor == "" {
			break
		}
		if isTerminal(a.err) && time.Since(began) > time.Second {
			shown = true
			a.hint("\rlooking at records  %s of %s ", number(sum.Examined), number(sum.Total))
		}
	}
	slices.SortStableFunc(sum.Faults, func(x, y node.FaultCount) int {
		return cmp.Or(cmp.Compare(y.Records, x.Records), cmp.Compare(x.Field, y.Field), cmp.Compare(x.Rule, y.Rule))
	})
	return sum, nil
}

// judgeTyped is judgeRecords for a version as a person typed it.
func (a *app) judgeTyped(ctx context.Context, from, to string) (*node.AgainstReply, error) {
	req, err := a.standardSource(to)
	if err != nil {
		return nil, err
	}
	c, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return a.judgeRecords(ctx, c.Operations, from, req)
}

// isLine tells publisher/name@1 from publisher/name@1.0.0.
func isLine(typed string) bool {
	_, version, ok := strings.Cut(typed, "@")
	return ok && version != "" && strings.Trim(version, "0123456789") == ""
}

// printAgainst tells how records would fare.
func (a *app) printAgainst(r *node.AgainstReply) {
	whose := "Our own records of " + r.From
	if r.Mapped {
		whose += ", as the mapping makes them"
	}
	switch {
	case r.Examined == 0 && r.Damaged == 0:
		a.printf("There are no records of %s here.\n", r.From)
	case r.Failed == 0 && r.NotJudged > 0:
		a.printf("%s: %s of %s would be valid in %s.\n", whose, number(r.Valid), number(r.Examined), r.To)
	case r.Failed == 0:
		a.printf("%s: all %s would be valid in %s.\n", whose, number(r.Valid), r.To)
	default:
		a.printf("%s: %s of %s would be valid in %s, and %s would not.\n", whose, number(r.Valid), number(r.Examined), r.To, number(r.Failed))
		t := newTable("#RECORDS", "FIELD", "WHAT IS WRONG", "SOME OF THEM")
		for i, f := range r.Faults {
			if i == 20 {
				break
			}
			field := f.Field
			if field == "" {
				field = "(whole record)"
			}
			ids := make([]string, 0, 2)
			for _, id := range f.IDs[:min(len(f.IDs), 2)] {
				ids = append(ids, string(id))
			}
			t.add(number(f.Records), field, f.Detail, strings.Join(ids, " "))
		}
		t.write(a.out, "  ")
		if n := len(r.Faults) - 20; n > 0 {
			a.printf("  and %s; --json lists them\n", plural(n, "more fault", "more faults"))
		}
	}
	if r.NotJudged > 0 {
		a.printf("%s more work to judge than a record may cause: stile standard lint says what is dear.\n", plural(r.NotJudged, "record would take", "records would take"))
	}
	if r.Damaged > 0 {
		a.printf("%s damaged on disk and was not looked at.\n", plural(r.Damaged, "record is", "records are"))
	}
}
