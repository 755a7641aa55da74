package intake

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

var draftLimits = strictjson.DefaultLimits()

// failing returns those of some cells that a column, as it is drafted, does not
// make a value of that the standard takes in the place.
func (d *draft) failing(p Place, col Column, cells []string) []string {
	col.From, col.Position, col.Also, col.Join, col.Required = Headings{"x"}, 0, nil, "", false
	m := &Mapping{Version: MappingVersion, Standard: d.m.Standard, Decimal: d.m.Decimal, Thousands: d.m.Thousands, Currency: d.m.Currency, Guarded: d.m.Guarded, Columns: []Column{col}}
	c, err := compile(m)
	if err != nil {
		return cells
	}
	rd := &Reader{o: Options{Limits: draftLimits, Reference: d.manifest.Key}, table: &table{}}
	pl, err := c.onto([]string{"x"}, rd)
	if err != nil {
		return cells
	}
	var bad []string
	for _, cell := range cells {
		row := Row{Cells: []string{cell}}
		pl.read(&row)
		if len(row.Problems) > 0 {
			bad = append(bad, cell)
			continue
		}
		for _, prob := range d.std.Validate(row.Record) {
			if name.Field(prob.Pointer).Under(p.To) {
				bad = append(bad, cell)
				break
			}
		}
	}
	return bad
}

// A fitting is the search for the settings that make the cells of a column fit
// a place.
type fitting struct {
	d   *draft
	p   Place
	c   *choice
	bad []string // cells that do not fit yet
}

// fit drafts the column of a heading for a place.
func (d *draft) fit(p Place, h *heading) *choice {
	f := &fitting{d: d, p: p, c: &choice{head: h, col: Column{To: p.To, Type: p.Type, Required: p.Required && !p.Nullable}}}
	col := &f.c.col
	if d.exported {
		f.asExported()
		return f.c
	}
	if p.Type == typeJSON {
		col.Type = typeString
	}
	if p.Required && p.Nullable {
		col.Empty = "null"
	}
	if p.Type == typeString {
		col.Words = slices.Clone(p.Words)
	}
	if p.List {
		f.split()
	}
	if p.Type == typeDate || p.Type == typeDateTime {
		f.dates()
	}
	f.bad = d.failing(p, *col, h.cells)
	f.key()
	switch {
	case len(f.bad) == 0:
	case col.Type == typeNumber || col.Type == typeInteger:
		f.numbers()
	case col.Type == typeString:
		f.texts()
	}
	f.words()
	f.c.fits = h.filled
	for _, cell := range f.bad {
		f.c.fits -= h.times[cell]
	}
	f.leave()
	return f.c
}

// asExported reads a column as stile export records writes it: what is not a
// text is JSON, so that a number keeps its digits.
func (f *fitting) asExported() {
	col := &f.c.col
	col.Required = false
	if col.Type == typeDate || col.Type == typeDateTime {
		col.Type = typeString
	}
	if col.Type != typeString {
		col.Type = typeJSON
	}
	if f.p.List {
		col.Split, col.Escape = "|", `\`
	}
	f.c.fits = f.c.head.filled
}

func (f *fitting) note(format string, args ...any) {
	f.c.notes = append(f.c.notes, fmt.Sprintf(format, args...))
}

// try keeps a change when it makes more cells fit and none less, and reports
// whether it did.
func (f *fitting) try(note string, change func(*Column)) bool {
	if len(f.bad) == 0 {
		return false
	}
	next := f.c.col
	next.Values, next.Replace = maps.Clone(next.Values), maps.Clone(next.Replace)
	next.Blank = slices.Clone(next.Blank)
	change(&next)
	var good []string // some of those that fit, which must go on fitting
	for _, cell := range f.c.head.cells {
		if len(good) < 50 && !slices.Contains(f.bad, cell) {
			good = append(good, cell)
		}
	}
	if len(f.d.failing(f.p, next, good)) > 0 {
		return false
	}
	left := f.d.failing(f.p, next, f.bad)
	if len(left) >= len(f.bad) {
		return false
	}
	f.c.col, f.bad = next, left
	if note != "" {
		f.note("%s", note)
	}
	return true
}

// split chooses what parts the cells of a list.
func (f *fitting) split() {
	col, h := &f.c.col, f.c.head
	col.Split = "|"
	best := len(f.d.failing(f.p, *col, h.cells))
	for _, sep := range []string{"\n", ";", ", ", ",", " "} {
		if best == 0 {
			break
		}
		if !slices.ContainsFunc(h.cells, func(c string) bool { return strings.Contains(c, sep) }) {
			continue
		}
		next := *col
		next.Split = sep
		if n := len(f.d.failing(f.p, next, h.cells)); n < best {
			best, *col = n, next
		}
	}
	if col.Split != "|" {
		f.note("cells are parted by %s", quoted(col.Split))
	}
}

// key takes the spaces off a key, where the file has some, unless two keys
// would become one.
func (f *fitting) key() {
	if !slices.Contains(f.d.manifest.Key, f.p.To) {
		return
	}
	// Cells lost the spaces around them when they were gathered: those of the
	// rows still have them.
	spaced, seen, clash := false, map[string]string{}, false
	for _, row := range f.d.sample.Rows {
		if f.c.head.index >= len(row) {
			continue
		}
		cell := row[f.c.head.index]
		trimmed := strings.Trim(cell, " \u00a0\t\n")
		if trimmed == "" {
			continue
		}
		spaced = spaced || trimmed != cell
		if old, ok := seen[trimmed]; ok && old != cell {
			clash = true
		}
		seen[trimmed] = cell
	}
	switch {
	case spaced && clash:
		f.note("some keys differ in the spaces around them alone: mend them at the source")
	case spaced:
		f.c.col.Strip += " "
		f.note("some keys have spaces around them, which strip takes off: are they the same without?")
		for _, row := range f.d.sample.Rows {
			if f.c.head.index < len(row) && strings.Contains(row[f.c.head.index], "\u00a0") && !strings.Contains(f.c.col.Strip, "\u00a0") {
				f.c.col.Strip += "\u00a0"
			}
		}
	}
}

var withUnit = onDemand(`^[0-9.,]+\s*([\p{L}²%]{1,12})\.?$`)

// numbers makes the cells of a number fit.
func (f *fitting) numbers() {
	if f.p.Decimals >= 0 && f.c.col.Type == typeNumber {
		n := f.p.Decimals
		f.try(fmt.Sprintf("the standard wants %d decimals at most: more are rounded", n), func(c *Column) { c.Decimals = &n })
	}
	units := map[string]bool{}
	for _, cell := range f.bad {
		if m := withUnit().FindStringSubmatch(cell); m != nil {
			units[m[1]] = true
		}
	}
	for _, u := range slices.Sorted(maps.Keys(units)) {
		off := fmt.Sprintf("%s behind a number is taken off", quoted(u))
		if n := f.p.Decimals; !f.try(off, func(c *Column) { c.Strip += u }) && n >= 0 && f.c.col.Type == typeNumber {
			f.try(fmt.Sprintf("%s, and the number rounded to %d decimals", off, n), func(c *Column) { c.Strip, c.Decimals = c.Strip+u, &n })
		}
	}
}

// texts makes the cells of a text fit.
func (f *fitting) texts() {
	replace := func(old, new string) func(*Column) {
		return func(c *Column) {
			if c.Replace == nil {
				c.Replace = map[string]string{}
			}
			c.Replace[old] = new
		}
	}
	f.try("letters are written in capitals", func(c *Column) { c.Letters = "upper" })
	if f.c.col.Letters == "" {
		f.try("letters are written small", func(c *Column) { c.Letters = "lower" })
	}
	f.try("line breaks become commas", replace("\n", ", "))
	for _, mark := range []string{`"`, "'", "*", "."} {
		f.try(fmt.Sprintf("%s around the text is taken off", mark), func(c *Column) { c.Strip += mark })
	}
	f.try("/doc/ is the page about what /id/ names", replace("/doc/", "/id/"))
	for _, r := range [][2]string{{"http:/www", "http://www"}, {"https:/www", "https://www"}, {"http//", "http://"}, {"https//", "https://"}, {"www.", "https://www."}, {" ", "%20"}, {"\n", ""}} {
		if f.p.Formed {
			f.try(fmt.Sprintf("%s becomes %s", quoted(r[0]), quoted(r[1])), replace(r[0], r[1]))
		}
	}
}

// blankish are texts that stand for nothing, by bare; "" is for marks alone.
var blankish = []string{"", "na", "none", "null", "nil", "notapplicable", "notavailable", "notknown", "unknown", "nk", "tbc", "tbd", "tba", "tobeconfirmed", "tobedetermined", "blank", "nodata"}

// words says what the cells stand for that are none of the place's words.
func (f *fitting) words() {
	syn := map[string]string{}
	for w, v := range f.d.manifest.Synonyms[f.p.To] {
		syn[bare(w)] = v
	}
	values, blanks := map[string]any{}, []string(nil)
	cells := f.bad
	if f.p.List {
		cells = f.parts()
	}
	seen := map[string]bool{} // cells that are the same to a mapping
	for _, cell := range cells {
		if len(values)+len(blanks) > 100 {
			break
		}
		v, blank, ok := f.guess(cell, syn)
		if seen[fold(cell)] {
			continue
		}
		seen[fold(cell)] = true
		switch {
		case !ok:
		case blank && !f.p.Required:
			blanks = append(blanks, cell)
		case !blank:
			values[cell] = v
		}
	}
	if len(values) > 0 {
		f.try("what these words stand for is a guess", func(c *Column) {
			if c.Values == nil {
				c.Values = Values{}
			}
			maps.Copy(c.Values, values)
		})
	}
	if len(blanks) > 0 {
		f.try("these cells are taken to mean nothing", func(c *Column) { c.Blank = append(c.Blank, blanks...) })
	}
}

// parts returns the parts of list cells that do not fit.
func (f *fitting) parts() []string {
	col := &column{Column: f.c.col}
	one := f.c.col
	var all []string
	for _, cell := range f.bad {
		col.parts(cell, func(part string) bool {
			if part = strings.TrimSpace(part); part != "" && !slices.Contains(all, part) {
				all = append(all, part)
			}
			return len(all) < maxCells
		})
	}
	return f.d.failing(f.p, one, all)
}

// guess says what a word stands for.
func (f *fitting) guess(cell string, syn map[string]string) (v any, blank, ok bool) {
	b := bare(cell)
	if s, ok := syn[b]; ok {
		return s, s == "", true
	}
	yes := slices.Contains([]string{"yes", "y", "true", "t", "1"}, b)
	no := slices.Contains([]string{"no", "n", "false", "f", "0"}, b)
	switch {
	case f.p.Type == typeBoolean && (yes || no):
		return yes, false, true
	case len(f.p.Words) == 1 && bare(f.p.Words[0]) == "yes" && (yes || no):
		return "yes", no, true
	case len(cell) <= 20 && slices.Contains(blankish, b) && (b != "" || !strings.ContainsFunc(cell, unicode.IsDigit)):
		return nil, true, true
	case len(f.p.Words) == 0:
		return nil, false, false
	}
	// What stands in brackets behind the word.
	if i := strings.IndexByte(cell, '('); i > 0 && strings.HasSuffix(strings.TrimSpace(cell), ")") {
		head := bare(cell[:i])
		if s, ok := syn[head]; ok && s != "" {
			return s, false, true
		}
		for _, w := range f.p.Words {
			if bare(w) == head {
				return w, false, true
			}
		}
	}
	// A word that was cut off, or written with a slip.
	var begun []string
	best, bestAlike, second := "", 0.0, 0.0
	for _, w := range f.p.Words {
		bw := bare(w)
		if len(b) >= 8 && strings.HasPrefix(bw, b) {
			begun = append(begun, w)
		}
		x, y := []rune(b), []rune(bw)
		if len(x) > 60 || len(x) == 0 || len(y) == 0 {
			continue
		}
		if s := 1 - float64(distance(x, y))/float64(max(len(x), len(y))); s > bestAlike {
			best, bestAlike, second = w, s, bestAlike
		} else {
			second = max(second, s)
		}
	}
	switch {
	case len(begun) == 1:
		return begun[0], false, true
	case bestAlike >= 0.85 && second < bestAlike-0.05:
		return best, false, true
	}
	return nil, false, false
}

// leave leaves out what stands in a place that may be blank and is plainly
// something else, such as words where an address of the web should be. Most
// cells must fit: otherwise the column is not what the place is for.
func (f *fitting) leave() {
	p, h := f.p, f.c.head
	if p.Required || !p.Formed || p.Type != typeString || len(p.Words) > 0 || len(f.bad) == 0 || f.c.fits*2 < h.filled {
		return
	}
	cells := f.bad
	if p.List {
		cells = f.parts()
	}
	if len(cells) > 100 || slices.ContainsFunc(cells, func(c string) bool { return len(c) > 500 }) {
		return
	}
	f.try("these cells are not what the standard wants here, and are left out", func(c *Column) { c.Blank = append(c.Blank, cells...) })
}
