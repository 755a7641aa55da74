package web

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/schemas/councils"
)

// What a council of England has to do with the standards that a map is of.
const (
	hexKeeps  = "keeps"  // it has records
	hexMember = "member" // it is a member, and has none
	hexNone   = "none"   // it is no member
)

// A hexMap shows the councils of England of one day, each as one hexagon, region by region,
// and the same as rows.
type hexMap struct {
	Drawing template.HTML
	Rows    []hexRow // by region, then name
	Keeps   int
	Members int
	Off     int // councils that would be marked and are not in the list of England's
}

type hexRow struct{ GSS, Name, Region, State string }

// The nine regions as blocks, in the order of the map: where a block begins, in hexagons,
// and how many stand in a row of it. A block is as high as its councils need. No council
// stands where it lies but by its region: the list of councils has no coordinates.
var hexBlocks = []struct {
	region       string
	column, band int
	width        int
}{
	{region: "North East", column: 9, band: 0, width: 6},
	{region: "North West", column: 1, band: 1, width: 7},
	{region: "Yorkshire and The Humber", column: 9, band: 1, width: 6},
	{region: "West Midlands", column: 1, band: 2, width: 7},
	{region: "East Midlands", column: 9, band: 2, width: 7},
	{region: "East of England", column: 17, band: 2, width: 8},
	{region: "South West", column: 0, band: 3, width: 7},
	{region: "South East", column: 8, band: 3, width: 10},
	{region: "London", column: 19, band: 3, width: 6},
}

// hexes draws the map of the day at. Keeps and members say of a council, by its code of
// today, whether it has records and whether it is a member; the messages for both begin
// with words. Others are councils that are not in the list: they stand in a block of their
// own below, if there are any.
func (t *tongue) hexes(at time.Time, keeps, members map[string]bool, others []councils.Council, words string) hexMap {
	const (
		r    = 17.0 // of a hexagon, from its middle to a corner
		wide = r * 1.7320508
		high = r * 1.5
		head = 24.0 // above each block, for its name
	)
	byRegion := map[string][]councils.Council{}
	for _, c := range councils.At(at) {
		byRegion[c.Region] = append(byRegion[c.Region], c)
	}
	bands, blocks := 4, hexBlocks
	if len(others) > 0 {
		b := hexBlocks[0]
		b.region, b.column, b.band, b.width = t.say("hex.others"), 0, bands, 24
		byRegion[b.region] = others
		bands, blocks = bands+1, append(slices.Clip(hexBlocks), b)
	}
	tops, y := map[int]float64{}, 0.0
	for band := range bands {
		tops[band] = y
		rows := 0
		for _, b := range blocks {
			if b.band == band {
				rows = max(rows, (len(byRegion[b.region])+b.width-1)/b.width)
			}
		}
		y += float64(rows)*high + head + r
	}
	var m hexMap
	var cells strings.Builder
	width := 0.0
	for _, b := range blocks {
		list := byRegion[b.region]
		left, top := float64(b.column)*wide+wide, tops[b.band]+head+r
		fmt.Fprintf(&cells, `<text x="%.0f" y="%.0f" font-size="15" font-weight="bold" fill="#0b0c0c">%s</text>`, left-wide/2, top-r-7, attr(b.region))
		for i, c := range list {
			row, column := i/b.width, i%b.width
			x, y := left+float64(column)*wide, top+float64(row)*high
			if row%2 == 1 {
				x += wide / 2
			}
			width = math.Max(width, x+wide)
			state := hexNone
			switch {
			case c.GSS == "": // begins by a reorganisation, and has no code yet
			case keeps[c.GSS]:
				state = hexKeeps
				m.Keeps++
			case members[c.GSS]:
				state = hexMember
			}
			if c.GSS != "" && (keeps[c.GSS] || members[c.GSS]) {
				m.Members++
			}
			m.Rows = append(m.Rows, hexRow{c.GSS, c.Name, b.region, state})
			fill, ink, stroke := "#f3f2f1", "#484949", "#b1b4b6"
			switch state {
			case hexKeeps:
				fill, ink, stroke = "#00625a", "#ffffff", "#00625a"
			case hexMember:
				fill, ink, stroke = "#ffffff", "#0b0c0c", "#00625a"
			}
			var points []string
			for k := range 6 {
				a := math.Pi/6 + float64(k)*math.Pi/3
				points = append(points, fmt.Sprintf("%.1f,%.1f", x+(r-1.2)*math.Cos(a), y+(r-1.2)*math.Sin(a)))
			}
			short := []rune(c.Name)
			fmt.Fprintf(&cells, `<g><title>%s: %s</title><polygon points="%s" fill="%s" stroke="%s" stroke-width="2"/><text x="%.1f" y="%.1f" font-size="11" text-anchor="middle" fill="%s">%s</text></g>`,
				attr(c.Name), attr(t.say(words+"."+state)), strings.Join(points, " "), fill, stroke, x, y+4, ink, attr(string(short[:min(3, len(short))])))
		}
	}
	m.Drawing = template.HTML(fmt.Sprintf(`<svg class="stile-hexes" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label="%s">%s</svg>`,
		width, y, width, y, attr(t.say(words+".label", m.Keeps, len(m.Rows))), cells.String()))
	english := m.Rows[:len(m.Rows)-len(others)] // the others stand last
	slices.SortStableFunc(english, func(a, b hexRow) int { return strings.Compare(a.Region, b.Region) })
	return m
}

// hexMap draws what a report on adoption says of the councils of England. Somebody who
// was succeeded since counts for none.
func (q *request) hexMap(a node.Adoption) (hexMap, error) {
	at, err := time.Parse(time.DateOnly, a.At)
	if err != nil {
		return hexMap{}, err
	}
	keeps, members := map[string]bool{}, map[string]bool{}
	code := func(gss string) string { // the code that the list has it under
		c, _ := councils.ByGSS(gss)
		return c.GSS
	}
	for _, r := range a.Rows {
		if r.Statement.Records > 0 && r.GSS != "" {
			keeps[code(r.GSS)] = true
		}
	}
	all, err := q.Node.Councils().List(q.public())
	if err != nil {
		return hexMap{}, err
	}
	for _, m := range all {
		if m.GSS != "" && string(m.Role) == "council" {
			members[code(m.GSS)] = true
		}
	}
	return q.hexes(at, keeps, members, nil, "hex"), nil
}
