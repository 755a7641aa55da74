package intake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/node/name"
)

// The names by which the two numbers of a place go, by bare: of the standard's
// places and of a file's headings. x and y alone say nothing of the system: the
// cells do.
var axisCalled = [4][]string{
	longitude: {"longitude", "long", "lon", "lng"},
	latitude:  {"latitude", "lat"},
	easting:   {"easting", "eastings"},
	northing:  {"northing", "northings"},
}

var (
	xCalled     = []string{"x", "geox", "xcoord", "xcoordinate", "coordx", "gridx", "osx", "locationx", "e", "east"}
	yCalled     = []string{"y", "geoy", "ycoord", "ycoordinate", "coordy", "gridy", "osy", "locationy", "n", "north"}
	placeCalled = []string{"point", "geo", "coord", "location", "latlong", "latlon", "lat", "grid", "geom", "position", "where", "wkt"}
)

// inCoordinates reports whether a place is filled by coordinates already.
func (d *draft) inCoordinates(to name.Field) bool {
	return slices.ContainsFunc(d.m.Coordinates, func(xy Coordinates) bool { p := xy.places(); return slices.Contains(p[:], to) })
}

// coordinates finds where the places of the standard that are two numbers come
// from, by the headings and by what the numbers can be.
func (d *draft) coordinates() {
	for _, to := range Axes(d.places) {
		d.place(to)
	}
}

// Axes returns the places of a standard for longitude, latitude, easting and
// northing, in this order, those of one object together; "" where it has none.
func Axes(places []Place) [][4]name.Field {
	var parents []name.Field
	found := map[name.Field]*[4]name.Field{}
	for _, p := range places {
		if p.Type != typeNumber && p.Type != typeInteger || p.List {
			continue
		}
		toks := p.To.Tokens()
		last := bare(toks[len(toks)-1])
		for axis := range axisCalled {
			if !slices.Contains(axisCalled[axis], last) {
				continue
			}
			up := p.To[:strings.LastIndexByte(string(p.To), '/')]
			if found[up] == nil {
				found[up] = &[4]name.Field{}
				parents = append(parents, up)
			}
			found[up][axis] = p.To
		}
	}
	var out [][4]name.Field
	for _, up := range parents {
		a := *found[up]
		if a[longitude] == "" || a[latitude] == "" {
			a[longitude], a[latitude] = "", ""
		}
		if a[easting] == "" || a[northing] == "" {
			a[easting], a[northing] = "", ""
		}
		if a[longitude] != "" || a[easting] != "" {
			out = append(out, a)
		}
	}
	return out
}

// An xyPair is two columns that may be the numbers of a place, or one with both.
type xyPair struct {
	x, y    *heading
	pattern *pattern
	// how many rows are each
	degrees, swapped, metres, other int
}

func (t *xyPair) good() int { return t.degrees + t.swapped + t.metres }

// place drafts the coordinates of one object of the standard.
func (d *draft) place(to [4]name.Field) {
	twins := d.twins()
	slices.SortStableFunc(twins, func(a, b *xyPair) int { return b.good() - a.good() })
	// Where the file has a place twice, in both systems, each fills its own.
	var deg, met *xyPair
	for _, t := range twins {
		if t.good() == 0 {
			continue
		}
		if deg == nil && t.metres == 0 {
			deg = t
		}
		if met == nil && t.degrees+t.swapped == 0 {
			met = t
		}
	}
	none := [4]name.Field{}
	switch {
	case len(twins) == 0 || twins[0].good() == 0:
		return
	case to[longitude] != "" && to[easting] != "" && deg != nil && met != nil && deg.good() >= twins[0].good() && met.good() >= twins[0].good():
		a, b := none, none
		a[longitude], a[latitude] = to[longitude], to[latitude]
		b[easting], b[northing] = to[easting], to[northing]
		d.use(deg, a)
		d.use(met, b)
		return
	case to[easting] == "" && deg != nil && deg.good() >= twins[0].good():
		d.use(deg, to) // without a conversion
		return
	case to[longitude] == "" && met != nil && met.good() >= twins[0].good():
		d.use(met, to)
		return
	}
	d.use(twins[0], to)
}

// twins finds the columns, and counts what their numbers can be.
func (d *draft) twins() []*xyPair {
	called := func(h *heading, lists ...[]string) bool {
		b := bare(h.text)
		return slices.ContainsFunc(lists, func(l []string) bool { return slices.Contains(l, b) })
	}
	var out []*xyPair
	add := func(t *xyPair) {
		if d.count(t); t.good() > 0 {
			out = append(out, t)
		}
	}
	for _, x := range d.heads {
		if d.taken[x.index] || x.filled == 0 || x.twice {
			continue
		}
		for _, y := range d.heads {
			if d.taken[y.index] || y.filled == 0 || y.twice || x == y {
				continue
			}
			switch {
			case called(x, xCalled) && slices.Index(xCalled, bare(x.text)) == slices.Index(yCalled, bare(y.text)),
				called(x, axisCalled[longitude]) && called(y, axisCalled[latitude]),
				called(x, axisCalled[easting]) && called(y, axisCalled[northing]):
				add(&xyPair{x: x, y: y})
			}
		}
		b := bare(x.text)
		for i := range patterns {
			p := &patterns[i]
			plain := p.other == nil && p.name != "point" && p.name != "geojson" // two numbers and no word
			if plain && !slices.ContainsFunc(placeCalled, func(w string) bool { return strings.Contains(b, w) }) {
				continue
			}
			add(&xyPair{x: x, y: x, pattern: p})
		}
	}
	return out
}

// count counts what the numbers of two columns can be, row by row.
func (d *draft) count(t *xyPair) {
	number := func(s string) (float64, bool) {
		v, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(s), ",", ""), 64)
		return v, err == nil
	}
	for _, row := range d.sample.Rows {
		if t.x.index >= len(row) || t.y.index >= len(row) {
			continue
		}
		a, b := strings.TrimSpace(row[t.x.index]), strings.TrimSpace(row[t.y.index])
		if a == "" && b == "" {
			continue
		}
		if t.pattern != nil {
			parts, ok := t.pattern.split(a)
			if !ok {
				t.other++
				continue
			}
			if a, b = parts[0], parts[1]; t.pattern.parts[0] == "latitude" {
				a, b = b, a
			}
		}
		x, ok1 := number(a)
		y, ok2 := number(b)
		switch {
		case !ok1 || !ok2:
			t.other++
		case NearBritain(x, y):
			t.degrees++
		case NearBritain(y, x):
			t.swapped++
		case x >= 1000 && y >= 1000 && OnGrid(x, y):
			t.metres++
		default:
			t.other++
		}
	}
}

// use drafts coordinates from two columns.
func (d *draft) use(t *xyPair, to [4]name.Field) {
	xy := Coordinates{Longitude: to[longitude], Latitude: to[latitude], Easting: to[easting], Northing: to[northing]}
	x, y := t.x, t.y
	var note string
	switch {
	case t.degrees > 0 && t.metres+t.swapped == 0:
		xy.Are, note = areWGS84, fmt.Sprintf("%s in degrees", count(t.degrees, "row is", "rows are"))
	case t.metres > 0 && t.degrees+t.swapped == 0:
		xy.Are, note = areOSGB36, fmt.Sprintf("%s in metres of the national grid", count(t.metres, "row is", "rows are"))
	case t.swapped > 0 && t.degrees+t.metres == 0 && t.pattern == nil:
		x, y = y, x
		xy.Are, note = areWGS84, fmt.Sprintf("%s in degrees, and latitude stands under %s", count(t.swapped, "row is", "rows are"), quoted(visible(t.x.text)))
	default:
		xy.Are = areByValue
		note = fmt.Sprintf("of the rows %d are in degrees, %d in degrees with latitude first, %d in metres: each is told by its numbers", t.degrees, t.swapped, t.metres)
	}
	if t.other > 0 {
		note += fmt.Sprintf("; %s", count(t.other, "row is neither", "rows are neither"))
	}
	if to[easting] == "" && t.metres > 0 || to[longitude] == "" && t.degrees+t.swapped > 0 {
		note += fmt.Sprintf("; what is converted is within %d metres", GridAccuracy)
	}
	if t.pattern != nil {
		xy.At, xy.Pattern = Headings{x.text}, t.pattern.name
		// A pattern of degrees says what they are; with one of metres the rows
		// that are degrees do not fit.
	} else {
		xy.X, xy.Y = Headings{x.text}, Headings{y.text}
	}
	required := false
	for _, p := range d.places {
		if p.To == to[longitude] || p.To == to[easting] {
			required = required || p.Required
			if p.Decimals >= 0 {
				n := p.Decimals
				xy.Decimals = &n
			}
		}
	}
	xy.Required = required
	if t.pattern != nil && (t.pattern.parts[0] == "easting") != (xy.Are == areOSGB36) && t.pattern.parts[0] != "x" {
		return // the name of the pattern and its numbers are at odds
	}
	d.m.Coordinates = append(d.m.Coordinates, xy)
	d.xyNote = append(d.xyNote, note)
	d.taken[t.x.index], d.taken[t.y.index] = true, true
}
