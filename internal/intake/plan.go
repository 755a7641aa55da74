package intake

import (
	"encoding/json"
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
	limits  strictjson.Limits
	ref     []*column // what the sender calls a row
	private bool      // a part of ref may be about a person
	extra   int       // bytes that constants add to a record, at most
	filled  []*column // those with fill_down
	stored  []*dateFormat
}

// onto finds the columns of a file. What the file has and the mapping does
// not name goes to the reader's notes.
func (c *compiled) onto(headings []string, r *Reader) (*plan, error) {
	p := &plan{compiled: c, limits: r.o.Limits, stored: storedFormats()}
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
	// place finds a column by its headings. The first error is kept.
	var err error
	place := func(col *column, to name.Field) {
		for _, h := range col.From {
			if i, ferr := find(h); ferr != nil && err == nil {
				err = ferr
			} else if col.index < 0 {
				col.index = i
			}
		}
		switch {
		case col.index < 0 && !col.Optional:
			missing = append(missing, fmt.Sprintf("%s (for %s)", quoteOr(col.From), to))
		case col.index >= 0:
			if col.index < len(headings) {
				used[col.index] = true
				col.heading = headings[col.index]
			}
			if col.heading == "" {
				col.heading = fmt.Sprintf("column %d", col.index+1)
			}
		}
	}
	for _, col := range c.columns {
		if col.Position > 0 {
			if col.Position > len(headings) && !c.headless() {
				if !col.Optional {
					missing = append(missing, fmt.Sprintf("a column %d (for %s)", col.Position, col.To))
				}
				continue
			}
			col.index = col.Position - 1
		}
		place(col, col.To)
		for _, h := range col.Also {
			i, ferr := find(h)
			if ferr != nil {
				return nil, ferr
			}
			if i < 0 {
				missing = append(missing, fmt.Sprintf("%q (for %s)", h, col.To))
				continue
			}
			used[i] = true
			col.also = append(col.also, i)
		}
		if col.FillDown && col.index >= 0 {
			p.filled = append(p.filled, col)
		}
		col.powers = &tallied{}
		col.ident = col.identifies(r.o.Reference, c.m.Reference)
	}
	for _, xy := range c.xys {
		number := func(h Headings, axis int) *column {
			col := &column{Column: Column{From: h, Type: typeNumber, Optional: xy.Optional}, index: -1}
			place(col, xy.places()[axis])
			return col
		}
		if xy.pattern != nil {
			xy.x = number(xy.At, xy.first())
			xy.y = xy.x
		} else {
			xy.x, xy.y = number(xy.X, xy.first()), number(xy.Y, xy.first()+1)
		}
	}
	if err != nil {
		return nil, err
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
		wanted, like := slices.Clone(c.columns), newLikening()
		for _, xy := range c.xys {
			wanted = append(wanted, xy.x, xy.y)
		}
		for _, col := range wanted {
			if col.index >= 0 {
				continue
			}
			if near := like.nearest(col.From, unused); near != "" && !strings.Contains(fix, strconv.Quote(near)) {
				fix += fmt.Sprintf("; is %q perhaps %q?", col.From[0], near)
			}
		}
		if like.left < 0 {
			fix += "; the file has too many headings for each to be compared with those that are missing"
		}
		if n := len(missing) - maxMissing; n > 0 {
			missing = append(missing[:maxMissing:maxMissing], fmt.Sprintf("and %d more", n))
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
	private := r.o.Private
	if ref := c.m.Reference; ref != "" {
		is := at[fold(ref)]
		if len(is) != 1 {
			return nil, &FileError{Rule: RuleHeadings, Found: headings,
				Detail: fmt.Sprintf("the heading %q, which is to tell rows apart, stands there %d times", ref, len(is))}
		}
		p.ref = []*column{{index: is[0]}}
		for _, col := range c.columns {
			if private != nil && (col.index == is[0] || slices.Contains(col.also, is[0])) {
				p.private = p.private || private(col.To)
			}
		}
	} else {
		p.private = private != nil && slices.ContainsFunc(r.o.Reference, private)
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

// maxMissing is how many headings that a file is without are told one by one.
const maxMissing = 50

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
	sp := &spend{limits: p.limits}
	v, _ := p.build(p.root, row, sp)
	rec := v.(map[string]any)
	if sp.over {
		row.Problems = []Problem{sp.problem()}
		return
	}
	if len(row.Problems) > 0 {
		slices.SortStableFunc(row.Problems, func(a, b Problem) int { return strings.Compare(a.Pointer, b.Pointer) })
		row.Partial = rec
		return
	}
	// A record from CSV must be one that could have come as JSON. Small rows
	// always are; a large one may have grown by escapes, or been split into
	// more values than a record may have.
	if sp.bytes+p.extra > 64<<10 {
		if _, err := strictjson.Decode(strictjson.Canonical(rec), p.limits); err != nil {
			row.Problems = []Problem{jsonProblem(err)}
			return
		}
	}
	row.Record = rec
}

// build returns the value of a place, and whether there is one.
func (p *plan) build(at *place, row *Row, sp *spend) (any, bool) {
	if sp.over {
		return nil, false
	}
	switch {
	case at.column != nil:
		return p.cell(at.column, row, sp)
	case at.xy != nil:
		if !sp.look(len(p.raw(at.xy.x, row)) + len(p.raw(at.xy.y, row))) {
			return nil, false
		}
		for _, col := range []*column{at.xy.x, at.xy.y} {
			if f := p.sheetFault(col, row); f != nil {
				row.problem(string(at.xy.places()[at.axis]), col, p.raw(col, row), f)
				return nil, false
			}
		}
		return p.axis(at.xy, at.axis, row)
	case at.isConst:
		return at.constant, true
	case at.array:
		var list []any
		for _, c := range at.children {
			if v, ok := p.build(c, row, sp); ok {
				list = append(list, v)
			}
		}
		return list, list != nil
	}
	obj := make(map[string]any, len(at.children))
	for _, c := range at.children {
		if v, ok := p.build(c, row, sp); ok {
			obj[c.token] = v
		}
	}
	return obj, len(obj) > 0
}

// raw returns the cell of a column as it stands in the file. Without headings
// a row may be shorter than the mapping thinks.
func (p *plan) raw(col *column, row *Row) string {
	if col.index < 0 || col.index >= len(row.Cells) {
		return ""
	}
	return row.shown(col.index, col)
}

// text returns a cell without what does not belong to it, and "" when it means
// nothing.
func (p *plan) text(col *column, row *Row) string { return p.meant(col, p.raw(col, row)) }

func (p *plan) meant(col *column, raw string) string {
	if s := col.trim(raw); !p.meansNothing(col, s) {
		return s
	}
	return ""
}

// cell returns the value of one cell, and whether there is one. What is wrong
// with it goes to the row's problems.
func (p *plan) cell(col *column, row *Row, sp *spend) (any, bool) {
	if col.index < 0 {
		return nil, false // optional, and the file is without it
	}
	raw := p.raw(col, row)
	bad := func(f *fault) (any, bool) {
		row.problem(string(col.To), col, raw, f)
		return nil, false
	}
	if col.key && p.meant(col, raw) != "" {
		if wrong := p.keyFault(col, row.Cells); wrong != "" {
			return bad(&fault{RuleKey, "is part of the record's key and " + wrong, keyFix(wrong)})
		}
	}
	if f := p.sheetFault(col, row); f != nil {
		return bad(f)
	}
	joined, f := p.joined(col, row, sp)
	if f != nil {
		return bad(f)
	}
	if sp.over {
		return nil, false
	}
	v, some, f := p.guarded(col, joined, row, sp)
	if f == nil && !some {
		if text := p.meant(col, joined); text != "" {
			v, some, f = p.list(col, text, row, sp)
		}
	}
	switch {
	case f != nil:
		return bad(f)
	case some:
		return v, true
	case slices.Contains(row.torn, col.index):
		return bad(&fault{RuleRequired, "the cell is blank, and a row above it, which may hold its value, could not be read", "mend the row above"})
	case col.Required:
		return bad(&fault{RuleRequired, "the cell is blank", "fill it in at the source"})
	case col.Empty == "null":
		return nil, true
	case col.Empty == "text":
		return "", true
	}
	return nil, false
}

// joined returns the cell of a column, with those of its also behind it.
func (p *plan) joined(col *column, row *Row, sp *spend) (string, *fault) {
	raw := p.raw(col, row)
	if !sp.look(len(raw)) {
		return "", nil
	}
	if f := controls(raw); f != nil || len(col.also) == 0 {
		return raw, f
	}
	var b strings.Builder
	b.WriteString(p.meant(col, raw))
	for _, i := range col.also {
		if i >= len(row.Cells) {
			continue
		}
		if !sp.look(len(row.Cells[i])) {
			return "", nil
		}
		if f := controls(row.Cells[i]); f != nil {
			return "", f
		}
		more := p.meant(col, row.shown(i, col))
		if more == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(col.Join)
		}
		b.WriteString(more)
	}
	return b.String(), nil
}

func controls(cell string) *fault {
	for i := 0; i < len(cell); i++ {
		if b := cell[i]; b < ' ' && b != '\t' && b != '\n' || b == 0x7F {
			return &fault{RuleControl, fmt.Sprintf("holds the control character U+%04X", b), "take it out at the source"}
		}
	}
	return nil
}

// guarded reads a cell as an export of records writes those that would be taken
// for something else; see the setting "guarded".
func (p *plan) guarded(col *column, cell string, row *Row, sp *spend) (v any, some bool, f *fault) {
	if !p.m.Guarded {
		return nil, false, nil
	}
	text, guard := strings.CutPrefix(cell, "'")
	switch {
	case cell == "null":
		return nil, sp.take(0, 1), nil
	case col.Split != "" && strings.HasPrefix(text, "["):
		v, err := strictjson.Decode([]byte(text), p.limits)
		if _, list := v.([]any); err != nil || !list {
			return nil, false, &fault{RuleShape, "begins with [ and is not a JSON array", "write [ as \\[ where it belongs to a text"}
		}
		return v, sp.take(len(text), 1), nil
	case !guard:
		return nil, false, nil
	case col.Split != "" || col.Type != typeString:
		return p.list(col, text, row, sp)
	}
	v, f = p.plain(col, text, row)
	return v, sp.take(len(text), 1), f
}

// list reads a cell that means something: one value or, with split, the list of
// its parts.
func (p *plan) list(col *column, text string, row *Row, sp *spend) (v any, some bool, f *fault) {
	if col.Split == "" {
		v, f = p.value(col, text, row, sp)
		return v, f == nil && sp.take(size(v), 1), f
	}
	var list []any
	col.parts(text, func(part string) bool {
		if part = p.meant(col, part); part == "" {
			return true
		}
		var v any
		if v, f = p.value(col, part, row, sp); f == nil {
			list = append(list, v)
		}
		return f == nil && sp.take(size(v), 1)
	})
	return list, f == nil && list != nil && !sp.over, f
}

// size is what a value counts towards its record: the bytes of its text.
func size(v any) int {
	switch t := v.(type) {
	case string:
		return len(t)
	case json.Number:
		return len(t)
	case map[string]any, []any:
		return len(strictjson.Canonical(t))
	}
	return 5
}

// problem adds a problem of one cell to the row.
func (r *Row) problem(pointer string, col *column, cell string, f *fault) {
	r.Problems = append(r.Problems, Problem{Pointer: pointer, Column: col.heading, Rule: f.rule, Detail: f.detail, Fix: f.fix, Value: cut(cell)})
}

// locate gives a problem that the standard found the heading it came from and
// the cell that stands there.
func (p *plan) locate(prob *Problem, row Row) {
	at := name.Field(prob.Pointer)
	found := func(col *column) bool {
		if col.index >= 0 {
			prob.Column, prob.Value = col.heading, cut(p.raw(col, &row))
		}
		return col.index >= 0
	}
	for _, col := range p.columns {
		// A problem at /list/0 is the cell that was split, and one at /site
		// could be any of several: the place itself or below it.
		if at.Under(col.To) && found(col) {
			return
		}
	}
	for _, xy := range p.xys {
		for axis, to := range xy.places() {
			if to == "" || !at.Under(to) {
				continue
			}
			col := xy.x
			if axis == latitude || axis == northing {
				col = xy.y
			}
			if found(col) {
				return
			}
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
