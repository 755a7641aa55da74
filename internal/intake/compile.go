package intake

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// compiled is a Mapping that has been checked, before it meets a file.
type compiled struct {
	m       *Mapping
	columns []*column
	xys     []*coordinates
	root    *place
	blank   map[string]bool
	alsos   int // headings under also so far
}

// A column is a Column made ready.
type column struct {
	Column
	number   int // in the mapping, from 1
	index    int // in the file, -1 when the file is without it
	heading  string
	key      bool  // part of the standard's key
	also     []int // in the file
	formats  []*dateFormat
	zone     *time.Location
	epoch    time.Time
	blank    map[string]bool
	words    map[string]string // by bare
	replacer *strings.Replacer
	pattern  *pattern
	ident    bool     // see Column.Identifier
	powers   *tallied // cells in powers of ten, where that is no fault
}

// dated reports whether a column holds dates or times.
func (col *Column) dated() bool { return col.Type == typeDate || col.Type == typeDateTime }

// coordinates are Coordinates made ready.
type coordinates struct {
	Coordinates
	x, y    *column // the cells; the same one with a pattern
	pattern *pattern
}

// A place is a node of the record that is built from every row.
type place struct {
	token    string
	column   *column      // leaf
	xy       *coordinates // leaf
	axis     int          // with xy
	constant any          // leaf
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
	typeJSON     = "json"
)

// maxMappingFaults is how many faults of one mapping are told.
const maxMappingFaults = 50

// compile checks a mapping by its settings and makes it ready. The error joins
// every problem.
func compile(m *Mapping) (*compiled, error) {
	c := &compiled{m: m, root: &place{}, blank: foldSet(m.Blank)}
	var errs []error
	fault := func(key, format string, args ...any) {
		if len(errs) < maxMappingFaults {
			errs = append(errs, &MappingError{Key: key, Text: fmt.Sprintf(format, args...)})
		}
	}
	(&checking{c: c, fault: fault}).run(fileSettings)
	if len(m.Columns) > maxColumns || len(m.Coordinates) > maxCoordinates || len(m.Constants) > maxConstants {
		return nil, errors.Join(errs...)
	}
	for i := range m.Columns {
		col := &column{Column: m.Columns[i], number: i + 1, index: -1}
		(&checking{c: c, col: col, at: fmt.Sprintf("columns.%d", i+1), fault: fault}).run(columnSettings)
		c.columns = append(c.columns, col)
	}
	for i := range m.Coordinates {
		xy := &coordinates{Coordinates: m.Coordinates[i]}
		(&checking{c: c, xy: xy, at: fmt.Sprintf("coordinates.%d", i+1), fault: fault}).run(coordinateSettings)
		c.xys = append(c.xys, xy)
	}
	for _, to := range sortedKeys(m.Constants) {
		key := "constants." + string(to)
		if !isScalar(m.Constants[to]) {
			fault(key, "want text, a number, true, false or null")
		}
		if text := c.root.add(to, &place{constant: m.Constants[to], isConst: true}); text != "" {
			fault(key, "%s", text)
		}
	}
	if text := c.root.settle(); text != "" {
		fault("columns", "%s", text)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return c, nil
}

// headless reports whether the file is said to have no headings.
func (c *compiled) headless() bool { return c.m.HeaderRow != nil && *c.m.HeaderRow == 0 }

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
