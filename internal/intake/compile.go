package intake

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
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
	key     bool  // part of the standard's key
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
