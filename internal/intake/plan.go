package intake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A plan is a mapping laid onto the headings of one file. It does not change
// and may be used concurrently.
type plan struct {
	*compiled
	limits strictjson.Limits
	ref    []*column // what the sender calls a row
	extra  int       // bytes that constants add to a record, at most
}

// onto finds the columns of a file. What the file has and the mapping does
// not name goes to the reader's notes.
func (c *compiled) onto(headings []string, r *Reader) (*plan, error) {
	p := &plan{compiled: c, limits: r.o.Limits}
	for to, v := range c.m.Constants {
		text, _ := v.(string)
		p.extra += len(to) + len(text)
	}
	folded := r.plainHeadings(headings)
	at := map[string][]int{}
	for i := range headings {
		at[folded[i]] = append(at[folded[i]], i)
	}
	used := make([]bool, len(headings))
	var missing []string
	// find returns where a heading stands, or -1.
	find := func(h string) (int, error) {
		switch is := at[fold(h)]; len(is) {
		case 0:
			return -1, nil
		case 1:
			return is[0], nil
		default:
			return 0, &FileError{Rule: RuleHeadings, Found: headings,
				Detail: fmt.Sprintf("the heading %q stands there %d times", h, len(is)),
				Fix:    "name the column by its position in the mapping"}
		}
	}
	var err error
	for _, col := range c.columns {
		if col.Position > 0 {
			if col.Position > len(headings) && (c.m.HeaderRow == nil || *c.m.HeaderRow > 0) {
				if !col.Optional {
					missing = append(missing, fmt.Sprintf("a column %d (for %s)", col.Position, col.To))
				}
				continue
			}
			col.index = col.Position - 1
		}
		for _, h := range col.From {
			if col.index < 0 {
				if col.index, err = find(h); err != nil {
					return nil, err
				}
			}
		}
		for _, h := range col.Also {
			i, err := find(h)
			if err != nil {
				return nil, err
			}
			if i < 0 {
				missing = append(missing, fmt.Sprintf("%q (for %s)", h, col.To))
				continue
			}
			used[i] = true
			col.also = append(col.also, i)
		}
		if col.index < 0 {
			if !col.Optional {
				missing = append(missing, fmt.Sprintf("%s (for %s)", quoteOr(col.From), col.To))
			}
			continue
		}
		if col.index < len(headings) {
			used[col.index] = true
			col.heading = headings[col.index]
			if col.heading == "" {
				col.heading = fmt.Sprintf("column %d", col.index+1)
			}
		} else {
			col.heading = fmt.Sprintf("column %d", col.index+1)
		}
	}
	var unused []string // headings nobody has asked for
	ignored := foldSet(c.m.Ignore)
	for i, h := range headings {
		switch {
		case used[i] || ignored[folded[i]] || slices.Contains(unused, h):
		case folded[i] == "":
			r.table.loose = append(r.table.loose, i)
		default:
			unused = append(unused, h)
		}
	}
	if len(missing) > 0 {
		fix := "add the heading as the file has it to the column's from, or mark the column optional"
		for _, col := range c.columns {
			if near := nearest(col.From, unused); col.index < 0 && near != "" {
				fix += fmt.Sprintf("; is %q perhaps %q?", col.From[0], near)
			}
		}
		return nil, &FileError{Rule: RuleHeadings, Found: headings,
			Detail: "the headings are without " + strings.Join(missing, ", "), Fix: fix}
	}
	for _, h := range unused {
		r.note("the heading %q is not in the mapping: its column was left out", h)
	}
	for _, col := range c.columns {
		col.key = slices.Contains(r.o.Reference, col.To)
	}
	if ref := c.m.Reference; ref != "" {
		is := at[fold(ref)]
		if len(is) != 1 {
			return nil, &FileError{Rule: RuleHeadings, Found: headings,
				Detail: fmt.Sprintf("the heading %q, which is to tell rows apart, stands there %d times", ref, len(is))}
		}
		p.ref = []*column{{index: is[0]}}
	} else {
		for _, f := range r.o.Reference {
			for _, col := range c.columns {
				if col.To == f && col.index >= 0 {
					p.ref = append(p.ref, col)
				}
			}
		}
	}
	return p, nil
}

func quoteOr(list []string) string {
	q := make([]string, len(list))
	for i, s := range list {
		q[i] = strconv.Quote(s)
	}
	return strings.Join(q, " or ")
}

// reference returns what the sender calls a row, from the cells of its key,
// and "" when they cannot be read.
func (p *plan) reference(cells []string) string {
	var parts []string
	for _, col := range p.ref {
		if col.index >= len(cells) {
			return ""
		}
		t := strings.TrimSpace(cells[col.index])
		if !utf8.ValidString(t) {
			return ""
		}
		if t != "" {
			parts = append(parts, cut(t))
		}
	}
	return strings.Join(parts, " ")
}

// read makes the record of a row.
func (p *plan) read(row *Row) {
	row.Reference = p.reference(row.Cells)
	v, _ := p.build(p.root, row)
	rec := v.(map[string]any)
	if len(row.Problems) > 0 {
		slices.SortStableFunc(row.Problems, func(a, b Problem) int { return strings.Compare(a.Pointer, b.Pointer) })
		row.Partial = rec
		return
	}
	// A record from CSV must be one that could have come as JSON. Small rows
	// always are; a large one may have grown by escapes, or been split into
	// more values than a record may have.
	size := p.extra
	for _, c := range row.Cells {
		size += len(c)
	}
	if size > 64<<10 {
		if _, err := strictjson.Decode(strictjson.Canonical(rec), p.limits); err != nil {
			row.Problems = []Problem{jsonProblem(err)}
			return
		}
	}
	row.Record = rec
}

// build returns the value of a place, and whether there is one.
func (p *plan) build(at *place, row *Row) (any, bool) {
	switch {
	case at.column != nil:
		return p.cell(at.column, row)
	case at.isConst:
		return at.constant, true
	case at.array:
		var list []any
		for _, c := range at.children {
			if v, ok := p.build(c, row); ok {
				list = append(list, v)
			}
		}
		return list, list != nil
	}
	obj := make(map[string]any, len(at.children))
	for _, c := range at.children {
		if v, ok := p.build(c, row); ok {
			obj[c.token] = v
		}
	}
	return obj, len(obj) > 0
}

// cell returns the value of one cell, and whether there is one. What is wrong
// with it goes to the row's problems.
func (p *plan) cell(col *column, row *Row) (any, bool) {
	if col.index < 0 {
		return nil, false // optional, and the file is without it
	}
	// Without headings a row may be shorter than the mapping thinks.
	cell := ""
	if col.index < len(row.Cells) {
		cell = row.Cells[col.index]
	}
	text := col.trim(cell)
	if p.meansNothing(col, text) {
		text = ""
	}
	for _, i := range col.also {
		if i >= len(row.Cells) {
			continue
		}
		switch more := col.trim(row.Cells[i]); {
		case p.meansNothing(col, more):
		case text == "":
			cell, text = row.Cells[i], more
		default:
			cell += col.Join + row.Cells[i]
			text += col.Join + more
		}
	}
	fault := ""
	if col.key && text != "" {
		fault = p.keyFault(col, row.Cells)
	}
	bad := func(rule, detail, fix string) (any, bool) {
		row.Problems = append(row.Problems, Problem{Pointer: string(col.To), Column: col.heading, Rule: rule, Detail: detail, Fix: fix, Value: cut(cell)})
		return nil, false
	}
	if fault != "" {
		return bad(RuleKey, "is part of the record's key and "+fault, keyFix(fault))
	}
	for i := 0; i < len(cell); i++ {
		if b := cell[i]; b < ' ' && b != '\t' && b != '\n' || b == 0x7F {
			return bad(RuleControl, fmt.Sprintf("holds the control character U+%04X", b), "take it out at the source")
		}
	}
	var list []any
	for part := text; col.Split != "" && part != ""; {
		var rest string
		part, rest, _ = strings.Cut(part, col.Split)
		if part = col.trim(part); !p.meansNothing(col, part) {
			v, rule, detail, fix := p.value(col, part)
			if rule != "" {
				return bad(rule, detail, fix)
			}
			list = append(list, v)
		}
		part = rest
	}
	switch {
	case list != nil:
		return list, true
	case col.Split == "" && text != "":
		v, rule, detail, fix := p.value(col, text)
		if rule != "" {
			return bad(rule, detail, fix)
		}
		return v, true
	case col.Required:
		return bad(RuleRequired, "the cell is blank", "fill it in at the source")
	case col.Empty == "null":
		return nil, true
	case col.Empty == "text":
		return "", true
	}
	return nil, false
}

// locate gives a problem that the standard found the heading it came from and
// the cell that stands there.
func (p *plan) locate(prob *Problem, row Row) {
	for _, col := range p.columns {
		// A problem at /list/0 is the cell that was split, and one at /site
		// could be any of several: the place itself or below it.
		if col.index >= 0 && name.Field(prob.Pointer).Under(col.To) {
			prob.Column = col.heading
			if col.index < len(row.Cells) {
				prob.Value = cut(row.Cells[col.index])
			}
			return
		}
	}
}

// told reports whether a problem of the standard follows from one that the
// mapping has already found: what could not be read is missing from what the
// standard was shown.
func told(row Row, p standard.Problem) bool {
	if len(row.Problems) == 0 {
		return false
	}
	return p.Pointer == "" || slices.ContainsFunc(row.Problems, func(q Problem) bool {
		return q.Pointer != "" && (name.Field(p.Pointer).Under(name.Field(q.Pointer)) || name.Field(q.Pointer).Under(name.Field(p.Pointer)))
	})
}

// cut shortens a text for a report.
func cut(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	n := most
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
