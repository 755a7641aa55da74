package export

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A where is how the place of a record is found: its geometry, or nil.
type where struct{ of func(map[string]any) []byte }

// wheres returns where the records of a standard have their place, the best
// first: a geometry as it is, then degrees, then metres, which are converted to
// some [intake.GridAccuracy] metres, then a point in a text.
func wheres(places []intake.Place) []where {
	var shapes, degrees, metres, points []where
	for _, p := range places {
		toks := p.To.Tokens()
		switch last := strings.ToLower(toks[len(toks)-1]); {
		case p.List:
		case slices.Contains([]string{"geometry", "geom", "geojson", "point"}, last) && p.Type == "json":
			shapes = append(shapes, where{func(rec map[string]any) []byte { return geometry(valueAt(rec, p.To)) }})
		case slices.Contains([]string{"point", "geometry", "wkt", "geopoint", "geom"}, last) && p.Type == "string":
			points = append(points, where{func(rec map[string]any) []byte {
				s, _ := valueAt(rec, p.To).(string)
				if lon, lat, ok := intake.Point(s); ok {
					return point(lon, lat)
				}
				return nil
			}})
		}
	}
	for _, a := range intake.Axes(places) {
		if a[0] != "" {
			degrees = append(degrees, where{func(rec map[string]any) []byte {
				lon, ok1 := valueAt(rec, a[0]).(json.Number)
				lat, ok2 := valueAt(rec, a[1]).(json.Number)
				if !ok1 || !ok2 {
					return nil
				}
				return point(lon.String(), lat.String())
			}})
		}
		if a[2] != "" {
			metres = append(metres, where{func(rec map[string]any) []byte {
				e, ok1 := float(valueAt(rec, a[2]))
				n, ok2 := float(valueAt(rec, a[3]))
				if !ok1 || !ok2 || !intake.OnGrid(e, n) {
					return nil
				}
				lon, lat := intake.ToWGS84(e, n)
				return point(strconv.FormatFloat(lon, 'f', 6, 64), strconv.FormatFloat(lat, 'f', 6, 64))
			}})
		}
	}
	return slices.Concat(shapes, degrees, metres, points)
}

func float(v any) (float64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := n.Float64()
	return f, err == nil
}

func point(lon, lat string) []byte {
	return fmt.Appendf(nil, `{"type":"Point","coordinates":[%s,%s]}`, lon, lat)
}

// geometry returns a value that is a GeoJSON geometry, and nil for any other.
func geometry(v any) []byte {
	m, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	kind, _ := m["type"].(string)
	_, coords := m["coordinates"].([]any)
	_, many := m["geometries"].([]any)
	if coords && slices.Contains([]string{"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"}, kind) || many && kind == "GeometryCollection" {
		return strictjson.Canonical(m)
	}
	return nil
}

// valueAt returns the value at a place that goes through objects alone.
func valueAt(rec map[string]any, f name.Field) any {
	var v any = rec
	for _, tok := range f.Tokens() {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[tok]
	}
	return v
}
