package intake

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

// A draft is a mapping as it grows, and what a person should look at.
type draft struct {
	std      *standard.Standard
	manifest standard.Manifest
	sample   *Sample
	places   []Place
	heads    []*heading
	m        *Mapping
	exported bool // the file has the headings that an export of records writes

	chosen   map[name.Field]*choice // by place
	taken    []bool                 // headings
	xyNote   []string               // of each entry of m.Coordinates
	likeness map[[2]string]float64  // of a place and a heading
	like     *likening
}

// A heading is one column of the sample.
type heading struct {
	index  int
	text   string
	twice  bool
	cells  []string // those that are not blank, each once, in the order of the file
	times  map[string]int
	filled int
}

// A choice is the column that a place is filled from.
type choice struct {
	head  *heading
	col   Column
	notes []string // what was guessed, each a line for a person to check
	fits  int      // of the heading's filled cells
	sure  bool     // the heading is one of the place's own names
}

// maxCells bounds how many different cells of a column are looked at.
const maxCells = 500

// maxTried bounds how many headings, the most alike, are tried for one place.
const maxTried = 8

// Draft returns a mapping file to begin with, made from the headings of the
// sample and from its cells: each place of the standard beside the column that
// is most like it and whose cells fit it, with the formats of dates, the words
// of the standard beside those of the file, and where a place's coordinates go.
// Every guess has a comment that says what was guessed; what is not mapped is
// listed. The draft says how many rows of the sample would be accepted as it
// stands. ParseMapping accepts the draft when at least one heading was like a
// place.
//
// The draft quotes cells of the file: it is for the importer's own eyes.
func (s *Sample) Draft(std *standard.Standard) []byte {
	d := &draft{std: std, like: newLikening(), manifest: std.Manifest(), sample: s, places: Places(std), chosen: map[name.Field]*choice{},
		taken: make([]bool, len(s.Headings)), likeness: map[[2]string]float64{}}
	d.m = &Mapping{Version: MappingVersion, Standard: d.manifest.Name.Line()}
	learn(&d.manifest)
	d.heads = s.columns()
	d.exported = slices.Equal(s.Headings, ExportHeadings(d.places))
	d.m.Guarded = d.exported
	if d.exported {
		for i, p := range d.places {
			d.taken[i], d.chosen[p.To] = true, d.fit(p, d.heads[i])
			d.chosen[p.To].sure = true
		}
		return d.print()
	}
	d.marks()
	d.coordinates()
	d.match()
	d.join()
	d.ignore()
	return d.print()
}

// learn adds to the aliases and synonyms of a manifest those that stand beside the standards
// that come with Stile, after its own.
func learn(m *standard.Manifest) {
	aliases, synonyms := map[name.Field][]string{}, map[name.Field]map[string]string{}
	for to, own := range m.Aliases {
		aliases[to] = slices.Clip(own)
	}
	for to, own := range m.Synonyms {
		synonyms[to] = maps.Clone(own)
	}
	for _, h := range schemas.Headings(string(m.Name.Name)) {
		to := name.Field(h.Place)
		aliases[to] = append(aliases[to], h.Heading)
	}
	for _, w := range schemas.Words(string(m.Name.Name)) {
		to := name.Field(w.Place)
		if synonyms[to] == nil {
			synonyms[to] = map[string]string{}
		}
		synonyms[to][w.Word] = w.Means
	}
	m.Aliases, m.Synonyms = aliases, synonyms
}

// columns gathers the cells of each column.
func (s *Sample) columns() []*heading {
	heads := make([]*heading, len(s.Headings))
	times := map[string]int{}
	for i, h := range s.Headings {
		heads[i] = &heading{index: i, text: h, times: map[string]int{}}
		times[fold(h)]++
	}
	for _, h := range heads {
		h.twice = times[fold(h.text)] > 1
	}
	for _, row := range s.Rows {
		for i, cell := range row[:min(len(row), len(heads))] {
			cell = strings.TrimSpace(cell)
			h := heads[i]
			if cell == "" {
				continue
			}
			if h.filled++; h.times[cell] == 0 && len(h.cells) < maxCells {
				h.cells = append(h.cells, cell)
			}
			if h.times[cell] > 0 || len(h.times) < maxCells {
				h.times[cell]++
			}
		}
	}
	return heads
}

// pair is a place, a heading and how well they go together.
type pair struct {
	place Place
	head  *heading
	alike float64
	score float64
	c     *choice
}

// match gives each place the heading that is most like it and whose cells fit,
// the best pairs first, so that a heading goes where it goes best.
func (d *draft) match() {
	var pairs []pair
	owned := map[*heading]bool{} // those that are the name of some place
	for _, p := range d.places {
		for _, h := range d.heads {
			owned[h] = owned[h] || d.alike(p, h.text) >= 0.95
		}
	}
	for _, p := range d.places {
		if d.chosen[p.To] != nil || d.inCoordinates(p.To) {
			continue
		}
		like := map[*heading]float64{}
		var tried []*heading
		for _, h := range d.heads {
			if d.taken[h.index] || fold(h.text) == "" {
				continue
			}
			// What may be left out is not filled from a heading that is only a
			// little like it.
			like[h] = d.alike(p, h.text)
			if owned[h] && like[h] < 0.95 {
				continue // it says what it is, and it is something else
			}
			if like[h] >= 0.7 || like[h] >= 0.6 && p.Required {
				tried = append(tried, h)
			}
		}
		slices.SortStableFunc(tried, func(a, b *heading) int { return cmp.Compare(like[b], like[a]) })
		if len(tried) > 0 && like[tried[0]] >= 0.95 {
			// The file has a column of the very name, be it blank: another is
			// not taken for it.
			tried = slices.DeleteFunc(tried, func(h *heading) bool { return like[h] < 0.85 })
		}
		for _, h := range tried[:min(len(tried), maxTried)] {
			alike := like[h]
			c := d.fit(p, h)
			fits := 1.0
			if h.filled > 0 {
				fits = float64(c.fits) / float64(h.filled)
			}
			// A column whose cells do not fit is not what its heading says,
			// unless the place must be filled and the heading is its own: then
			// a person is to see what is wrong with the cells.
			own := alike >= 0.95
			if fits < 0.5 && !(own && p.Required) || fits < 0.2 && !own {
				continue
			}
			score := 0.7*alike + 0.3*fits
			if h.filled == 0 {
				score -= 0.35 // a blank column is the last choice
			}
			pairs = append(pairs, pair{p, h, alike, score, c})
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(b.score, a.score) })
	for _, pr := range pairs {
		if d.chosen[pr.place.To] != nil || d.taken[pr.head.index] {
			continue
		}
		pr.c.sure = pr.alike >= 0.85
		d.chosen[pr.place.To] = pr.c
		d.taken[pr.head.index] = true
	}
	// One number of a place says nothing without the other.
	for _, a := range Axes(d.places) {
		for _, both := range [][2]name.Field{{a[longitude], a[latitude]}, {a[easting], a[northing]}} {
			for i, to := range both {
				if c := d.chosen[to]; c != nil && d.chosen[both[1-i]] == nil {
					delete(d.chosen, to)
					d.taken[c.head.index] = false
				}
			}
		}
	}
}

// alike says how alike a heading is to a place: 1 when it is one of the names
// that the standard gives it.
func (d *draft) alike(p Place, text string) float64 {
	k := [2]string{string(p.To), text}
	v, ok := d.likeness[k]
	if !ok {
		v = d.compare(p, text)
		if d.like.left >= 0 {
			d.likeness[k] = v
		}
	}
	return v
}

func (d *draft) compare(p Place, text string) float64 {
	toks := p.To.Tokens()
	last := toks[len(toks)-1]
	b := bare(text)
	if b == "" {
		return 0
	}
	if b == bare(strings.Join(toks, "")) || b == bare(last) {
		return 1
	}
	best := 0.0
	if len(d.manifest.Key) == 1 && d.manifest.Key[0] == p.To && slices.ContainsFunc(identifierWords, func(w string) bool { return words(text)[w] }) {
		best = 0.75 // what tells one row from another
	}
	if len(b) >= 3 && strings.HasPrefix(bare(last), b) || len(bare(last)) >= 3 && strings.HasPrefix(b, bare(last)) {
		best = max(best, 0.7)
	}
	if p.Title != "" {
		if bare(p.Title) == b {
			return 0.98
		}
		best = max(best, d.like.alike(p.Title, text))
	}
	best = max(best, d.like.alike(last, text), d.like.alike(strings.Join(toks, " "), text))
	for i, a := range d.manifest.Aliases[p.To] {
		if bare(a) == b {
			return 1 - min(0.001*float64(i), 0.04) // the first is the likeliest
		}
		best = max(best, d.like.alike(a, text))
	}
	return min(best, 0.94)
}

// join adds to a long text the further columns that the standard counts to it.
func (d *draft) join() {
	for _, p := range d.places {
		c := d.chosen[p.To]
		if c == nil || p.List || p.Formed || p.Type != typeString || len(p.Words) > 0 || p.MaxLen > 0 && p.MaxLen < 1000 || len(c.col.Values) > 0 || c.head.twice {
			continue
		}
		for _, a := range d.manifest.Aliases[p.To] {
			for _, h := range d.heads {
				if d.taken[h.index] || h.twice || h.filled == 0 || bare(h.text) != bare(a) {
					continue
				}
				d.taken[h.index] = true
				c.col.Also, c.col.Join = append(c.col.Also, h.text), "\n"
			}
		}
		if len(c.col.Also) > 0 {
			c.notes = append(c.notes, "the standard counts these columns to one text: they are joined")
		}
	}
}

// ignore lists what is left.
func (d *draft) ignore() {
	for _, h := range d.heads {
		if !d.taken[h.index] && !slices.ContainsFunc(d.m.Ignore, func(s string) bool { return fold(s) == fold(h.text) }) {
			d.m.Ignore = append(d.m.Ignore, h.text)
		}
	}
}

// tried counts the rows of the sample that the draft takes as it stands, and
// gathers what is wrong with the others.
func (d *draft) tried(text []byte) (taken, rows int, why map[string]int) {
	m, err := ParseMapping(text)
	if err != nil {
		return 0, 0, nil
	}
	c, err := compile(m)
	if err != nil {
		return 0, 0, nil
	}
	rd := &Reader{o: Options{Limits: draftLimits, Reference: d.manifest.Key}, table: &table{}}
	p, err := c.onto(d.sample.Headings, rd)
	if err != nil {
		return 0, 0, nil
	}
	rd.plan = p
	why = map[string]int{}
	for _, cells := range d.sample.Rows[:min(len(d.sample.Rows), 5000)] {
		if cells == nil || allBlank(cells) {
			continue
		}
		rows++
		cells = append(slices.Clip(cells), make([]string, max(0, len(d.sample.Headings)-len(cells)))...)
		raw := Raw{Number: rows, cells: cells}
		row := rd.Read(raw)
		problems := row.Problems
		if row.Record != nil {
			problems = rd.Explain(row, d.std.Validate(row.Record))
		}
		if len(problems) == 0 {
			taken++
			continue
		}
		seen := map[string]bool{}
		for _, q := range problems {
			if text := q.Pointer + ": " + q.Detail; !seen[text] {
				seen[text] = true
				why[text]++
			}
		}
	}
	return taken, rows, why
}

// print writes the draft.
func (d *draft) print() []byte {
	var cols bytes.Buffer
	d.printColumns(&cols)
	var b bytes.Buffer
	fmt.Fprintf(&b, "\nmapping: %d\nstandard: %s\n", MappingVersion, d.manifest.Name.Line())
	if d.sample.Encoding != "" {
		fmt.Fprintf(&b, "encoding: %s\n", d.sample.Encoding)
	}
	if d.sample.Sheet != "" {
		fmt.Fprintf(&b, "sheet: %s\n", quoted(d.sample.Sheet))
	}
	if d.sample.Delimiter != "" {
		fmt.Fprintf(&b, "delimiter: %s\n", quoted(d.sample.Delimiter))
	}
	fmt.Fprintf(&b, "header_row: %d\n", d.sample.HeaderRow)
	if d.m.Decimal != "" {
		fmt.Fprintf(&b, "decimal: %s   # numbers of the file have it\n", quoted(d.m.Decimal))
	}
	if d.m.Thousands != "" {
		fmt.Fprintf(&b, "thousands: %s   # numbers of the file have it\n", quoted(d.m.Thousands))
	}
	if d.m.Currency != nil {
		fmt.Fprintf(&b, "currency: %s   # amounts of the file have it\n", flow(d.m.Currency))
	}
	if d.m.Guarded {
		b.WriteString("guarded: true   # the headings are those of stile export records\n")
	}
	b.Write(cols.Bytes())

	var out bytes.Buffer
	fmt.Fprintf(&out, "# A draft: check every line before you rely on it. A comment says what was guessed.\n# %s\n", visible(d.manifest.Title))
	if taken, rows, why := d.tried(b.Bytes()); rows > 0 {
		fmt.Fprintf(&out, "#\n# As it stands %d of the %s looked at would be accepted.\n", taken, count(rows, "row", "rows"))
		reasons := sortedKeys(why)
		slices.SortStableFunc(reasons, func(x, y string) int { return why[y] - why[x] })
		for i, r := range reasons {
			if i == 8 {
				fmt.Fprintf(&out, "#   and for %s more\n", count(len(reasons)-i, "reason", "reasons"))
				break
			}
			fmt.Fprintf(&out, "#   %s not: %s\n", count(why[r], "row", "rows"), visible(r))
		}
	}
	out.Write(b.Bytes())
	return out.Bytes()
}
