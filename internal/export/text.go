package export

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
)

// A csvSink writes RFC 4180, in UTF-8, with a row of headings.
type csvSink struct {
	c     *columns
	w     *csv.Writer
	cells []string
}

func newCSV(w io.Writer, c *columns) (*csvSink, error) {
	s := &csvSink{c: c, w: csv.NewWriter(w), cells: make([]string, len(c.places))}
	return s, s.w.Write(intake.ExportHeadings(c.places))
}

func (s *csvSink) write(r Record) error {
	for i, v := range s.c.row(r.Body) {
		s.cells[i], _ = s.c.cell(s.c.places[i], v)
	}
	return s.w.Write(s.cells)
}

func (s *csvSink) close() error {
	s.w.Flush()
	return s.w.Error()
}

// ndjson writes each record on a line of its own, as it is.
type ndjson struct{ w io.Writer }

func (s *ndjson) write(r Record) error {
	var b bytes.Buffer
	if err := json.Compact(&b, r.Text); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := s.w.Write(b.Bytes())
	return err
}

func (s *ndjson) close() error { return nil }

// Metadata describes a CSV file of records as CSV on the Web does (W3C
// Recommendation of 17 December 2015, Metadata Vocabulary for Tabular Data). It
// belongs beside the file, under its name with "-metadata.json" behind it.
func Metadata(std *standard.Standard, file, from string, made time.Time) []byte {
	m := std.Manifest()
	var cols []any
	places := intake.Places(std)
	for i, head := range intake.ExportHeadings(places) {
		p := places[i]
		col := map[string]any{
			"name": columnName(head), "titles": head, "null": []any{"", "null"},
			"datatype":    datatypes[p.Type],
			"propertyUrl": "urn:stile:standard:" + m.Name.String() + "#" + (&url.URL{Path: string(p.To)}).EscapedPath(),
		}
		if p.Title != "" {
			col["dc:title"] = p.Title
		}
		if p.Required && !p.Nullable {
			col["required"] = true
		}
		if p.List {
			col["separator"] = "|"
		}
		cols = append(cols, col)
	}
	schema := map[string]any{"columns": cols}
	var key []any
	for _, k := range m.Key {
		key = append(key, columnName(string(k)[1:]))
	}
	schema["primaryKey"] = key
	doc := map[string]any{
		"@context":    "http://www.w3.org/ns/csvw",
		"url":         (&url.URL{Path: file}).EscapedPath(),
		"dc:title":    m.Title,
		"dc:source":   m.Name.String(),
		"dc:creator":  from,
		"dc:created":  made.UTC().Format(time.RFC3339),
		"dialect":     map[string]any{"encoding": "utf-8", "header": true, "delimiter": ",", "doubleQuote": true, "trim": false},
		"tableSchema": schema,
		"rdfs:comment": "A ' before a text that begins with = + - @ tab, line end or ', is blank, has white space at an end or is the word null keeps it from being taken for something else; take one ' off. " +
			"In a list \\ stands before a | or \\ that belongs to a part, and a cell that begins with [ is a JSON array.",
	}
	if m.Licence != "" {
		doc["dc:license"] = m.Licence
	}
	var b bytes.Buffer
	if err := json.Indent(&b, strictjson.Canonical(doc), "", "  "); err != nil {
		panic("internal error: print metadata: " + err.Error())
	}
	b.WriteByte('\n')
	return b.Bytes()
}

var datatypes = map[string]any{"string": "string", "number": "decimal", "integer": "integer", "boolean": "boolean", "date": "date", "date-time": "dateTime", "json": "json"}

// columnName is a heading as CSVW takes names: letters, digits, _ and dots.
func columnName(head string) string {
	var b strings.Builder
	for i := 0; i < len(head); i++ {
		c := head[i]
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9':
			b.WriteByte(c)
		case c == '/':
			b.WriteByte('.')
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// geoJSON writes a FeatureCollection (RFC 7946).
type geoJSON struct {
	w      *bufio.Writer
	places []where
	lost   *lost
	n      int
}

func newGeoJSON(w io.Writer, std *standard.Standard, l *lost) (*geoJSON, error) {
	g := &geoJSON{w: bufio.NewWriter(w), places: wheres(intake.Places(std)), lost: l}
	if len(g.places) == 0 {
		return nil, fmt.Errorf("write GeoJSON: records of %s have no place: its schema has no longitude and latitude, no easting and northing, no point and no geometry", std.Name())
	}
	_, err := g.w.WriteString("{\"type\":\"FeatureCollection\",\"features\":[")
	return g, err
}

func (g *geoJSON) write(r Record) error {
	sep := "\n"
	if g.n > 0 {
		sep = ",\n"
	}
	g.n++
	shape := []byte("null")
	for _, p := range g.places {
		if s := p.of(r.Body); s != nil {
			shape = s
			break
		}
	}
	if string(shape) == "null" {
		g.lost.placed++
	}
	var props bytes.Buffer
	if err := json.Compact(&props, r.Text); err != nil {
		return err
	}
	_, err := fmt.Fprintf(g.w, "%s{\"type\":\"Feature\",\"id\":%q,\"geometry\":%s,\"properties\":%s}", sep, r.ID, shape, props.Bytes())
	return err
}

func (g *geoJSON) close() error {
	g.w.WriteString("\n]}\n")
	return g.w.Flush()
}
