package registers

import (
	"context"
	"slices"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// Columns of the charter that no record has.
const (
	counted  = "Counted by its node"
	heldHere = "Held here"
	entry    = "Entry"
)

// charter says of each line of the charter whether the council's node counted it or the
// council only states it, in which entry it says so, and whether this node holds a record of
// that standard from the council: our own, what it sent us under an agreement in force, or
// what it put into a footprint that we keep. Where nothing is agreed that column is empty.
//
// What it costs does not grow with what is held: counts that the node keeps are read, and of
// a footprint one record for each council and standard.
func charter(ctx context.Context, o node.Operations, t *Table) error {
	here, err := holdings(ctx, o)
	if err != nil {
		return err
	}
	standards, at := t.at("Standard"), map[string]int{}
	for _, title := range []string{counted, heldHere, entry, "Held valid"} {
		at[title] = t.at(title)
	}
	for i := range t.Rows {
		r := &t.Rows[i]
		r.Cells[at[entry]] = []string{r.Entry}
		stated := one(r.Cells[standards])
		if stated == "" {
			continue // of a product without any standard
		}
		r.Cells[at[counted]] = []string{yes(len(r.Cells[at["Held valid"]]) > 0)}
		line, ok := lineOf(stated)
		if !ok {
			continue // it names no standard
		}
		held, agreed, err := here.from(ctx, o, r.Council, line)
		if err != nil {
			return err
		}
		if agreed {
			r.Cells[at[heldHere]] = []string{yes(held)}
		}
	}
	return nil
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// lineOf reads what a council wrote for a standard: a line or a version of one.
func lineOf(stated string) (name.StandardLine, bool) {
	if line, err := name.ParseStandardLine(stated); err == nil {
		return line, true
	}
	std, err := name.ParseStandard(stated)
	return std.Line(), err == nil
}

// A holding is of which council and standard something may be held.
type holding struct {
	of   name.Council
	line name.StandardLine
}

// held is what this node holds, by council and standard: an entry that is false means that
// something is agreed and nothing is held.
type held struct {
	us         name.Council
	known      map[holding]bool
	footprints []node.FootprintReply
	asked      map[holding]bool // of footprints
}

// holdings reads from the node what it holds.
func holdings(ctx context.Context, o node.Operations) (*held, error) {
	status, err := o.Status(ctx)
	if err != nil {
		return nil, err
	}
	h := &held{us: status.Council, known: map[holding]bool{}, asked: map[holding]bool{}}
	for std, n := range status.Records {
		if line, ok := lineOf(std); ok && n > 0 {
			h.known[holding{h.us, line}] = true
		}
	}
	agreements, err := o.Agreements().List(ctx)
	if err != nil {
		return nil, err
	}
	of := map[name.Agreement]name.StandardLine{}
	for _, a := range agreements {
		of[a.Name] = a.Standard
	}
	for _, p := range status.Partners {
		if line, ok := of[p.Agreement]; ok && p.Direction == "from" && p.Mode == "" && !p.Over {
			k := holding{p.Council, line}
			h.known[k] = h.known[k] || p.Held > 0
		}
	}
	h.footprints, err = o.Footprints().List(ctx)
	return h, err
}

// from reports whether a record of a standard is held from a council, and whether anything
// of it may be.
func (h *held) from(ctx context.Context, o node.Operations, c name.Council, line name.StandardLine) (held, agreed bool, err error) {
	k := holding{c, line}
	if held, agreed = h.known[k]; held || c == h.us {
		return held, true, nil
	}
	for _, f := range h.footprints {
		if f.Machines != nil || !slices.ContainsFunc(f.Standards, func(s name.Standard) bool { return s.Line() == line }) {
			continue
		}
		if !h.asked[k] {
			page, err := o.Footprints().Records(ctx, node.FootprintListRequest{Name: string(f.Name), Of: string(c), Standard: line.String(), Limit: 1})
			if err != nil {
				return false, false, err
			}
			h.known[k] = h.known[k] || len(page.Records) > 0
		}
		agreed = true
	}
	h.asked[k] = true
	return h.known[k], agreed, nil
}
