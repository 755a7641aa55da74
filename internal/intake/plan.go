package intake

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/name"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
)

// compiled is a Mapping that has been checked, before it meets a file.
type compiled struct {
	m       *Mapping
	columns []*column
	root    *place
	blank   map[string]bool
}

// A column is a Column made ready.
type column struct {
	Column
	number  int // in the mapping, from 1
	index   int // in the file, -1 when the file is without it
	heading string
	also    []int // in the file
	formats []*dateFormat
	zone    *time.Location
	blank   map[string]bool
}

// A place is a node of the record that is built from every row.
type place struct {
	token    string
	column   *column // leaf
	constant any     // leaf
	isConst  bool
	array    bool
	children []*place
}

const (
	typeString   = "string"
	typeNumber   = "number"
	typeInteger  = "integer"
	typeBoolean  = "boolean"
	typeDate     = "date"
	typeDateTime = "date-time"
)

// compile checks a mapping and makes it ready. The error joins every problem.
func compile(m *Mapping) (*compiled, error) {
	c := &compiled{m: m, root: &place{}, blank: foldSet(m.Blank)}
	var errs []error
	fail := func(key, format string, args ...any) {
		errs = append(errs, &MappingError{Key: key, Text: fmt.Sprintf(format, args...)})
	}
	switch {
	case m.Version == 0:
		fail("mapping", "must be given: this Stile writes version %d", MappingVersion)
	case m.Version != MappingVersion:
		fail("mapping", "the file is of version %d and this Stile reads %d", m.Version, MappingVersion)
	}
	if m.Standard == (name.StandardLine{}) {
		fail("standard", "must be given: the standard the rows are mapped to, such as standards.example/housing-need@1")
	}
	switch encoding(m.Encoding) {
	case "", encUTF8, enc1252, encUTF16, encUTF16LE, encUTF16BE:
	default:
		fail("encoding", "want utf-8, windows-1252, utf-16, utf-16le or utf-16be")
	}
	if !slices.Contains([]string{"", ",", ";", "\t", "|"}, m.Delimiter) {
		fail("delimiter", `want one of "," ";" "|" or "\t"`)
	}
	if m.HeaderRow != nil && (*m.HeaderRow < 0 || *m.HeaderRow > maxTitleRows) {
		fail("header_row", "want 0 to %d", maxTitleRows)
	}
	if m.HeaderRow != nil && len(m.HeaderFind) > 0 {
		fail("header_find", "header_row is given as well: want one of the two")
	}
	if !slices.Contains([]string{"", ".", ","}, m.Decimal) {
		fail("decimal", `want "." or ","`)
	}
	if !slices.Contains([]string{"", ".", ",", " ", "'"}, m.Thousands) || (m.Thousands != "" && m.Thousands == m.decimal()) {
		fail("thousands", `want "." or "," or " " or "'", and not the decimal mark`)
	}
	if len(m.Columns) == 0 {
		fail("columns", "must be given: where each column goes")
	}
	if len(m.Columns) > maxColumns {
		fail("columns", "more than %d", maxColumns)
		return nil, errors.Join(errs...)
	}
	headless := m.HeaderRow != nil && *m.HeaderRow == 0
	for i := range m.Columns {
		key := fmt.Sprintf("columns.%d", i+1)
		col := &column{Column: m.Columns[i], number: i + 1, index: -1, zone: time.UTC}
		bad := func(sub, format string, args ...any) { fail(key+"."+sub, format, args...) }
		if (len(col.From) == 0) == (col.Position == 0) {
			fail(key, "want from, the column's heading, or position, its place from 1")
		}
		if len(col.From) > 0 && headless {
			bad("from", "the file has no headings (header_row: 0): want position")
		}
		for _, h := range col.From {
			if fold(h) == "" {
				bad("from", "a blank heading names no column: want position")
			}
		}
		if col.Position < 0 || col.Position > maxColumns {
			bad("position", "want 1 to %d", maxColumns)
		}
		if col.Type == "" {
			col.Type = typeString
		}
		if !slices.Contains([]string{typeString, typeNumber, typeInteger, typeBoolean, typeDate, typeDateTime}, col.Type) {
			bad("type", "want string, number, integer, boolean, date or date-time")
		}
		dated := col.Type == typeDate || col.Type == typeDateTime
		if !dated && (len(col.Formats) > 0 || col.Zone != "" || col.Years != 0) {
			bad("type", "formats, zone and years are for date and date-time")
		}
		if len(col.Also) > 0 && (col.Type != typeString || col.Split != "" || col.Join == "" || col.Optional || headless) || len(col.Also) == 0 && col.Join != "" {
			bad("also", "want join, the text to put between; the columns must have headings, be of type string, not split and not optional")
		}
		if col.Decimals != nil && (col.Type != typeNumber || *col.Decimals < 0 || *col.Decimals > 20) {
			bad("decimals", "want 0 to 20, for type number")
		}
		if col.Years != 0 && (col.Years < 1000 || col.Years > 2900) {
			bad("years", "want the first of a hundred years, such as 1950")
		}
		if len(col.Formats) > 16 {
			bad("formats", "more than 16")
			col.Formats = nil
		}
		if len(col.Formats) == 0 && col.Type == typeDate {
			col.Formats = []string{"yyyy-mm-dd"}
		}
		if len(col.Formats) == 0 && col.Type == typeDateTime {
			col.Formats = []string{"yyyy-mm-ddTHH:MM:SSZ"}
		}
		if dated {
			for _, text := range col.Formats {
				f, err := parseDateFormat(text, col.Years)
				if err != nil {
					bad("formats", "%v", err)
					continue
				}
				for _, other := range col.formats {
					if s := clash(f, other) + clash(other, f); s != "" {
						bad("formats", "%q and %q read the same text as different dates: keep the one the file is in", other.text, f.text)
					}
				}
				col.formats = append(col.formats, f)
			}
		}
		if col.Zone != "" {
			zone, err := time.LoadLocation(col.Zone)
			if err != nil || col.Zone == "Local" {
				bad("zone", "not known: want such as Europe/London or UTC")
			} else {
				col.zone = zone
			}
		} else if col.Type == typeDateTime && slices.ContainsFunc(col.formats, func(f *dateFormat) bool { return !f.zoned }) {
			bad("zone", "must be given for times that do not say theirs, such as Europe/London")
		}
		if !slices.Contains([]string{"", "omit", "null", "text"}, col.Empty) {
			bad("empty", "want omit, null or text")
		}
		if col.Empty == "text" && col.Type != typeString {
			bad("empty", "text is for columns of type string")
		}
		if col.Required && col.Optional {
			bad("optional", "the column is required as well: want one of the two")
		}
		col.blank = foldSet(col.Blank)
		for k := range col.blank {
			if _, both := col.Values[k]; both {
				bad("blank", "a cell stands under values as well: want one of the two")
			}
		}
		// Constants, values and blanks of a mapping made by a program are
		// checked like those read from a file.
		folded := make(Values, len(col.Values))
		for k, v := range col.Values {
			if !isScalar(v) {
				bad("values", "want text, a number, true, false or null")
			}
			if _, twice := folded[fold(k)]; twice {
				bad("values", "the same cell stands there twice")
			}
			folded[fold(k)] = v
		}
		col.Values = folded
		if text := c.root.add(col.To, &place{column: col}); text != "" {
			bad("to", "%s", text)
		}
		c.columns = append(c.columns, col)
	}
	for _, to := range sortedKeys(m.Constants) {
		key := "constants." + string(to)
		if !isScalar(m.Constants[to]) {
			fail(key, "want text, a number, true, false or null")
		}
		if text := c.root.add(to, &place{constant: m.Constants[to], isConst: true}); text != "" {
			fail(key, "%s", text)
		}
	}
	if text := c.root.settle(); text != "" {
		fail("columns", "%s", text)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return c, nil
}

// isScalar reports whether v is a JSON scalar as the strict reader gives it.
func isScalar(v any) bool {
	switch t := v.(type) {
	case nil, bool:
		return true
	case string:
		return utf8.ValidString(t) && len(t) <= strictjson.DefaultLimits().StringLen
	case json.Number:
		n, err := strictjson.Decode([]byte(t), strictjson.Limits{})
		return err == nil && n == v
	}
	return false
}

func (m *Mapping) decimal() string {
	if m.Decimal == "" {
		return "."
	}
	return m.Decimal
}

func foldSet(list []string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, s := range list {
		set[fold(s)] = true
	}
	return set
}

// add puts a leaf at its place and returns what stands in its way, or "".
func (p *place) add(to name.Field, leaf *place) string {
	f, err := name.ParseField(string(to))
	if err != nil || f == "" {
		return "want a place in the record, such as /reference"
	}
	toks := f.Tokens()
	for i, tok := range toks {
		if tok == "*" {
			return "want the place of one value: an array's elements are counted from 0, or a cell is split"
		}
		j := slices.IndexFunc(p.children, func(c *place) bool { return c.token == tok })
		last := i == len(toks)-1
		switch {
		case j >= 0 && (last || len(p.children[j].children) == 0):
			return "something else goes to this place, or to one above or below it"
		case j >= 0:
			p = p.children[j]
		case last:
			leaf.token = tok
			p.children = append(p.children, leaf)
		default:
			next := &place{token: tok}
			p.children = append(p.children, next)
			p = next
		}
	}
	return ""
}

// settle makes arrays of the places whose children are numbers.
func (p *place) settle() string {
	numbers := 0
	for _, c := range p.children {
		if _, err := strconv.ParseUint(c.token, 10, 16); err == nil {
			numbers++
		}
		if text := c.settle(); text != "" {
			return text
		}
	}
	if numbers == 0 {
		return ""
	}
	sorted := make([]*place, len(p.children))
	for _, c := range p.children {
		i, err := strconv.ParseUint(c.token, 10, 16)
		if err != nil || int(i) >= len(sorted) || sorted[i] != nil || strconv.Itoa(int(i)) != c.token {
			return fmt.Sprintf("%q is a member of an object or an element of an array, not both: want elements from 0 without a gap", c.token)
		}
		sorted[i] = c
	}
	p.array, p.children = true, sorted
	return ""
}

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
	folded := make([]string, len(headings))
	at := map[string][]int{}
	for i, h := range headings {
		folded[i] = fold(h)
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
	bad := func(rule, detail, fix string) (any, bool) {
		row.Problems = append(row.Problems, Problem{Pointer: string(col.To), Column: col.heading, Rule: rule, Detail: detail, Fix: fix, Value: cut(cell)})
		return nil, false
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

// trim takes off both ends of a cell what does not belong to it.
func (col *column) trim(s string) string {
	if col.Strip != "" {
		s = strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(col.Strip, r) })
	}
	if !col.KeepSpaces {
		s = strings.TrimFunc(s, unicode.IsSpace)
	}
	return s
}

// meansNothing reports whether a cell means nothing: blank, or said to be.
func (p *plan) meansNothing(col *column, s string) bool {
	if strings.TrimSpace(s) == "" {
		return true
	}
	if len(p.blank) == 0 && len(col.blank) == 0 {
		return false
	}
	key := fold(s)
	return p.blank[key] || col.blank[key]
}

// value reads a cell that means something: by the column's values, then by its
// type. rule is "" when that went well.
func (p *plan) value(col *column, s string) (v any, rule, detail, fix string) {
	if len(col.Values) > 0 {
		if v, ok := col.Values[fold(s)]; ok {
			return v, "", "", ""
		}
	}
	return p.convert(col, s)
}

// convert reads a cell that is not blank by the column's type. rule is "" when
// that went well.
func (p *plan) convert(col *column, s string) (v any, rule, detail, fix string) {
	switch col.Type {
	case typeNumber, typeInteger:
		return p.number(col, s)
	case typeBoolean:
		switch strings.ToLower(s) {
		case "true", "yes", "y":
			return true, "", "", ""
		case "false", "no", "n":
			return false, "", "", ""
		}
		return nil, RuleBoolean, "neither yes nor no", "say under values what the source's words stand for"
	case typeDate, typeDateTime:
		return date(col, s)
	}
	if len(s) > p.limits.StringLen {
		return nil, RuleText, fmt.Sprintf("the text is longer than %d bytes", p.limits.StringLen), "send large texts by address"
	}
	return s, "", "", ""
}

// number reads a number and keeps the digits it was written with.
func (p *plan) number(col *column, s string) (v any, rule, detail, fix string) {
	rule, detail = RuleNumber, "not a number"
	if col.Type == typeInteger {
		rule, detail = RuleInteger, "not a whole number"
	}
	dec, thou := p.m.decimal(), p.m.Thousands
	fix = fmt.Sprintf("write digits, with %q before decimals", dec)
	if thou != "" {
		fix += fmt.Sprintf(" and %q between thousands if at all", thou)
	}
	rest := s
	neg := false
	switch {
	case strings.HasPrefix(rest, "-"):
		neg, rest = true, rest[1:]
	case strings.HasPrefix(rest, "\u2212"): // the minus of typesetters
		neg, rest = true, rest[len("\u2212"):]
	case strings.HasPrefix(rest, "+"):
		rest = rest[1:]
	}
	whole, frac, hasFrac := strings.Cut(rest, dec)
	if thou != "" {
		if thou == " " {
			whole = strings.ReplaceAll(whole, "\u00a0", " ")
		}
		groups := strings.Split(whole, thou)
		for i, g := range groups {
			if len(groups) > 1 && (i == 0 && (len(g) == 0 || len(g) > 3) || i > 0 && len(g) != 3) {
				return nil, rule, "thousands are not parted in threes", fix
			}
		}
		whole = strings.Join(groups, "")
	}
	if whole == "" && frac != "" {
		whole = "0" // .5
	}
	if !allDigits(whole) || (hasFrac && !allDigits(frac)) {
		if _, err := strconv.ParseFloat(s, 64); err == nil && strings.ContainsAny(s, "eE") {
			fix = "a spreadsheet has written it in powers of ten, and digits may be lost: format the column as text or number at the source"
		}
		return nil, rule, detail, fix
	}
	if len(whole) > 1 && whole[0] == '0' {
		return nil, rule, "a number that begins with 0 is usually a code", "map the column as string"
	}
	if col.Type == typeInteger {
		if strings.Trim(frac, "0") != "" {
			return nil, rule, detail, "map the column as number, or mend it at the source"
		}
		frac = ""
	}
	if col.Decimals != nil {
		whole, frac = round(whole, frac, *col.Decimals)
	}
	tok := whole
	if frac != "" {
		tok += "." + frac
	}
	if neg {
		tok = "-" + tok
	}
	// The strict reader's bounds hold here too: a record read from CSV must
	// be one that could have come as JSON.
	if _, err := strictjson.Decode([]byte(tok), p.limits); err != nil {
		return nil, rule, "a number that cannot be held exactly", "map the column as string"
	}
	return json.Number(tok), "", "", ""
}

// round cuts a number's decimals to n, half away from zero.
func round(whole, frac string, n int) (string, string) {
	if len(frac) <= n {
		return whole, frac
	}
	up := frac[n] >= '5'
	digits := []byte(whole + frac[:n])
	for i := len(digits) - 1; up && i >= 0; i-- {
		if up = digits[i] == '9'; up {
			digits[i] = '0'
		} else {
			digits[i]++
		}
	}
	if up {
		digits = append([]byte{'1'}, digits...)
	}
	return string(digits[:len(digits)-n]), strings.TrimRight(string(digits[len(digits)-n:]), "0")
}

func allDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// date reads a date or a time by the declared formats, in order.
func date(col *column, s string) (v any, rule, detail, fix string) {
	want := make([]string, len(col.formats))
	for i, f := range col.formats {
		want[i] = f.text
		m, ok := f.read(s)
		if !ok {
			continue
		}
		if col.Type == typeDate {
			if m.hour != 0 || m.minute != 0 || m.second != 0 {
				return nil, RuleDate, "a date with a time of day, which the record has no room for", "map the column as date-time"
			}
			return m.date(), "", "", ""
		}
		if f.zoned {
			zone := time.UTC
			if m.offset != 0 {
				zone = time.FixedZone("", m.offset)
			}
			t, _ := m.in(zone)
			return t.Format(time.RFC3339), "", "", ""
		}
		t, one := m.in(col.zone)
		if !one {
			return nil, RuleDateTime, "the clocks change in this hour: the time came twice, or not at all", "write the time with its offset, such as +01:00"
		}
		return t.Format(time.RFC3339), "", "", ""
	}
	rule, what := RuleDate, "date"
	if col.Type == typeDateTime {
		rule, what = RuleDateTime, "time"
	}
	return nil, rule, fmt.Sprintf("not a %s written as %s", what, strings.Join(want, " or ")),
		"mend it at the source, or add the format it is in to the mapping"
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
