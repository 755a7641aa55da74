package intake

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// The axes of a place, which is how its leaves are numbered.
const (
	longitude = iota
	latitude
	easting
	northing
)

var axisNames = [4]string{"longitude", "latitude", "easting", "northing"}

// places returns where each axis goes; "" is nowhere.
func (xy *Coordinates) places() [4]name.Field {
	return [4]name.Field{xy.Longitude, xy.Latitude, xy.Easting, xy.Northing}
}

// first returns the axis that problems of the place as a whole are told at.
func (xy *Coordinates) first() int {
	if xy.Longitude != "" {
		return longitude
	}
	return easting
}

// axis returns the value of one axis of a place, and whether there is one. The
// problems of a place are told once, at the axis they are of.
func (p *plan) axis(xy *coordinates, axis int, row *Row) (any, bool) {
	if xy.x.index < 0 || xy.y.index < 0 {
		return nil, false // optional, and the file is without it
	}
	texts := [2]string{p.text(xy.x, row), p.text(xy.y, row)}
	told := func(at int, col *column, f *fault) (any, bool) {
		if at == axis {
			row.problem(string(xy.places()[at]), col, p.raw(col, row), f)
		}
		return nil, false
	}
	first := xy.first()
	if xy.pattern != nil && texts[0] != "" {
		parts, ok := xy.pattern.split(texts[0])
		if !ok {
			return told(first, xy.x, &fault{RulePattern, "not written as the pattern " + xy.pattern.name + ", such as " + xy.pattern.shows, "mend it at the source"})
		}
		if texts = parts; xy.pattern.parts[0] == "latitude" {
			texts[0], texts[1] = texts[1], texts[0]
		}
	}
	switch {
	case texts[0] == "" && texts[1] == "":
		if xy.Required {
			return told(first, xy.x, &fault{RuleRequired, "the cells of a place are blank", "fill them in at the source"})
		}
		return nil, false
	case texts[0] == "":
		return told(first, xy.x, &fault{RulePlace, "one of the two numbers of a place is blank", "fill it in at the source"})
	case texts[1] == "":
		return told(first+1, xy.y, &fault{RulePlace, "one of the two numbers of a place is blank", "fill it in at the source"})
	}
	var digits [2]json.Number
	var value [2]float64
	for i, col := range []*column{xy.x, xy.y} {
		v, f := p.number(col, texts[i])
		if f != nil {
			return told(first+i, col, f)
		}
		digits[i] = v.(json.Number)
		value[i], _ = strconv.ParseFloat(digits[i].String(), 64)
	}
	metres := xy.Are == areOSGB36
	switch x, y := value[0], value[1]; {
	case xy.Are == areByValue && NearBritain(x, y):
	case xy.Are == areByValue && NearBritain(y, x):
		digits[0], digits[1], value[0], value[1] = digits[1], digits[0], y, x
	case xy.Are == areByValue && x >= 1000 && y >= 1000 && OnGrid(x, y):
		metres = true
	case xy.Are == areByValue:
		return told(first, xy.x, &fault{RulePlace, "neither degrees nor metres of a place in Britain", "mend it at the source, or leave it blank"})
	}
	from := longitude
	if metres {
		from = easting
	}
	to := axis &^ 1 // the pair that is asked for
	switch {
	case from == to:
		return xy.rounded(digits[axis-to]), true
	case xy.places()[from] != "":
		return nil, false // the row fills the other pair
	}
	// What cannot be converted is told, and not converted to something.
	if metres && !OnGrid(value[0], value[1]) || !metres && !NearBritain(value[0], value[1]) {
		return told(first, xy.x, &fault{RulePlace, "not a place in Britain, so it cannot be converted", "mend it at the source, or check what the mapping says the numbers are"})
	}
	var out [2]float64
	n := 6
	if metres {
		out[0], out[1] = ToWGS84(value[0], value[1])
	} else {
		n = 1
		out[0], out[1] = ToGrid(value[0], value[1])
	}
	if xy.Decimals != nil {
		n = *xy.Decimals
	}
	return decimalNumber(out[axis-to], n), true
}

// decimalNumber writes a converted coordinate, which is never exact, with n
// decimals.
func decimalNumber(v float64, n int) json.Number {
	if math.Abs(v) < 0.5*math.Pow10(-n) {
		v = 0 // and not -0.000000
	}
	tok := json.Number(strconv.FormatFloat(v, 'f', n, 64))
	if _, err := strictjson.Decode([]byte(tok), strictjson.Limits{}); err != nil {
		panic("internal error: coordinate " + tok.String())
	}
	return tok
}

// rounded rounds a number of the file, when that is asked for.
func (xy *Coordinates) rounded(n json.Number) json.Number {
	if xy.Decimals == nil {
		return n
	}
	text, neg := strings.CutPrefix(n.String(), "-")
	whole, frac, _ := strings.Cut(text, ".")
	whole, frac = round(whole, frac, *xy.Decimals)
	return json.Number(numeral{neg, whole, frac}.token())
}
