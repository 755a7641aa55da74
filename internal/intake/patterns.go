package intake

import (
	"regexp"
	"strings"
	"sync"
)

// onDemand compiles an expression when it is first used: a command that reads no file
// would spend a good part of its start on them.
func onDemand(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// A pattern is a known way to write two numbers in one cell, by the name that a
// mapping uses. What a pattern does not fit is a problem of its row: nothing is
// searched for inside other text.
type pattern struct {
	name  string
	parts [2]string // in the order of the pattern
	shows string    // an example
	re    func() *regexp.Regexp
	other func() *regexp.Regexp // the same with the second part first; may be nil
}

const (
	numberIn = `([+-]?[0-9]+(?:\.[0-9]+)?)`
	partedBy = `(?:\s*[,;]\s*|\s+)`
)

var patterns = []pattern{
	{"point", [2]string{"x", "y"}, "POINT(-1.5491 53.8008)",
		onDemand(`^(?i:SRID=[0-9]+;)?(?i:POINT)\s*\(\s*` + numberIn + `\s+` + numberIn + `\s*\)$`), nil},
	{"geojson", [2]string{"x", "y"}, `{"type":"Point","coordinates":[-1.5491,53.8008]}`,
		onDemand(`^\{\s*"type"\s*:\s*"Point"\s*,\s*"coordinates"\s*:\s*\[\s*` + numberIn + `\s*,\s*` + numberIn + `\s*\]\s*\}$`), nil},
	{"latitude-longitude", [2]string{"latitude", "longitude"}, "53.8008, -1.5491",
		onDemand(`^\(?\s*` + numberIn + partedBy + numberIn + `\s*\)?$`), nil},
	{"longitude-latitude", [2]string{"longitude", "latitude"}, "-1.5491, 53.8008",
		onDemand(`^\(?\s*` + numberIn + partedBy + numberIn + `\s*\)?$`), nil},
	{"named-degrees", [2]string{"latitude", "longitude"}, "Latitude: 53.8008 Longitude: -1.5491",
		onDemand(`^(?i:lat(?:itude)?)\.?\s*[:=]?\s*` + numberIn + `°?` + partedBy + `(?i:lon(?:g(?:itude)?)?)\.?\s*[:=]?\s*` + numberIn + `°?$`),
		onDemand(`^(?i:lon(?:g(?:itude)?)?)\.?\s*[:=]?\s*` + numberIn + `°?` + partedBy + `(?i:lat(?:itude)?)\.?\s*[:=]?\s*` + numberIn + `°?$`)},
	{"easting-northing", [2]string{"easting", "northing"}, "429939, 433828",
		onDemand(`^\(?\s*` + numberIn + partedBy + numberIn + `\s*\)?$`), nil},
	{"named-metres", [2]string{"easting", "northing"}, "Easting: 429939 Northing: 433828",
		onDemand(`^(?i:e(?:asting)?)\.?\s*[:=]?\s*` + numberIn + partedBy + `(?i:n(?:orthing)?)\.?\s*[:=]?\s*` + numberIn + `$`),
		onDemand(`^(?i:n(?:orthing)?)\.?\s*[:=]?\s*` + numberIn + partedBy + `(?i:e(?:asting)?)\.?\s*[:=]?\s*` + numberIn + `$`)},
}

func patternNamed(name string) *pattern {
	for i := range patterns {
		if patterns[i].name == name {
			return &patterns[i]
		}
	}
	return nil
}

func patternNames() string {
	names := make([]string, len(patterns))
	for i, p := range patterns {
		names[i] = p.name
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// split takes a cell apart. The parts come in the order of p.parts.
func (p *pattern) split(s string) (parts [2]string, ok bool) {
	if len(s) > 200 {
		return parts, false
	}
	if m := p.re().FindStringSubmatch(s); m != nil {
		return [2]string{m[1], m[2]}, true
	}
	if p.other != nil {
		if m := p.other().FindStringSubmatch(s); m != nil {
			return [2]string{m[2], m[1]}, true
		}
	}
	return parts, false
}

// part returns one named part of a cell.
func (p *pattern) part(s, name string) (string, bool) {
	parts, ok := p.split(s)
	switch {
	case !ok:
		return "", false
	case name == p.parts[0]:
		return parts[0], true
	}
	return parts[1], true
}

// Point returns the longitude and latitude, as they are written, of a text such
// as POINT(-1.5491 53.8008).
func Point(s string) (longitude, latitude string, ok bool) {
	parts, ok := patternNamed("point").split(strings.TrimSpace(s))
	if !ok {
		return "", "", false
	}
	for i, p := range parts {
		parts[i] = strings.TrimPrefix(p, "+")
	}
	return parts[0], parts[1], true
}
