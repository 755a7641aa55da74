// Package export writes records to files that other programs read: CSV with
// its CSVW description, NDJSON, GeoJSON, XLSX and Parquet. A record goes out as
// it comes in, so that a file of a million records takes no more memory than
// one of a hundred.
//
// # Tables
//
// CSV, XLSX and Parquet have a column for each place of the standard, as
// [intake.Places] reads its schema, under the place without its first slash:
// "reference", "applicant/name". A list of texts or numbers is one cell of CSV
// and XLSX, its parts with "|" between; what does not fit a cell otherwise is
// JSON. A member that the schema does not name has no column: how many records
// had some is told at the end, see [Writer.Notes].
//
// # Cells of CSV and XLSX
//
// A spreadsheet takes a text that begins with = + - @ for a formula, and some a
// tab or a line end before it. So a "'" is put before a text that begins with
// one of these or with "'", is blank, has white space at an end, or is the word
// null; null itself is the cell null, and what is missing is a blank cell. In a
// list "\" stands before a "|", a "\" and a "[" at the start that belong to a
// part; a list with a part that is blank or null, and an empty one, is a JSON
// array. Numbers, true and false are as in the record: a negative number begins
// with - and is no formula. A mapping with guarded: true, which
// stile check --draft-mapping writes for such a file, reads all of it back.
package export

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// A Format is what a file holds.
type Format string

// The formats.
const (
	CSV     Format = "csv"
	NDJSON  Format = "ndjson"
	GeoJSON Format = "geojson"
	XLSX    Format = "xlsx"
	Parquet Format = "parquet"
)

// Formats lists every format.
func Formats() []Format { return []Format{CSV, NDJSON, GeoJSON, XLSX, Parquet} }

// ParseFormat reads a format as users type it.
func ParseFormat(s string) (Format, error) {
	for _, f := range Formats() {
		if string(f) == s {
			return f, nil
		}
	}
	return "", fmt.Errorf("read format %q: want csv, ndjson, geojson, xlsx or parquet", s)
}

// FormatOf returns the format that a file's name stands for, by its ending.
func FormatOf(file string) (Format, bool) {
	switch ext := strings.ToLower(filepath.Ext(file)); ext {
	case ".jsonl":
		return NDJSON, true
	default:
		f, err := ParseFormat(strings.TrimPrefix(ext, "."))
		return f, err == nil
	}
}

// A Record is one record to be written.
type Record struct {
	ID   name.Record
	Text []byte         // the record as JSON
	Body map[string]any // the same, as strictjson.Decode gives it
}

// A recordWriter writes records in one format.
type recordWriter interface {
	write(Record) error
	close() error
}

// A Writer writes records of one standard to one file. It is for one
// goroutine.
type Writer struct {
	recordWriter recordWriter
	lost         lost
	n            int
}

// lost counts what a format could not hold, or not so that it reads back.
type lost struct {
	unnamed  int // records with members that have no column
	lineEnds int // texts with CR, which CSV reads back as LF
	controls int // texts with control characters, which an import refuses
	digits   int // numbers with more digits than a double
	nulls    int // nulls, which Parquet does not tell from what is missing
	kinds    int // values of another kind than their column
	placed   int // records without a place
}

// New begins a file. GeoJSON is refused when the standard has no places: no
// longitude and latitude, easting and northing, point or geometry.
func New(w io.Writer, f Format, std *standard.Standard) (*Writer, error) {
	x := &Writer{}
	var err error
	switch f {
	case CSV:
		x.recordWriter, err = newCSV(w, newColumns(std, &x.lost))
	case NDJSON:
		x.recordWriter = &ndjson{w: w}
	case GeoJSON:
		x.recordWriter, err = newGeoJSON(w, std, &x.lost)
	case XLSX:
		x.recordWriter, err = newXLSX(w, newColumns(std, &x.lost))
	case Parquet:
		x.recordWriter, err = newParquet(w, newColumns(std, &x.lost))
	default:
		_, err = ParseFormat(string(f))
	}
	if err != nil {
		return nil, err
	}
	return x, nil
}

// Write writes one record.
func (x *Writer) Write(r Record) error {
	if err := x.recordWriter.write(r); err != nil {
		return fmt.Errorf("write record %s: %w", r.ID, err)
	}
	x.n++
	return nil
}

// Close ends the file. The io.Writer stays open.
func (x *Writer) Close() error { return x.recordWriter.close() }

// Notes says what the format could not hold, or not so that it reads back the
// same; without values.
func (x *Writer) Notes() []string {
	var out []string
	say := func(n int, format string) {
		if n > 0 {
			out = append(out, fmt.Sprintf(format, n))
		}
	}
	say(x.lost.unnamed, "%d records have members that the standard's schema does not name, or objects where it has none: those are not in the file; NDJSON has all")
	say(x.lost.kinds, "%d values are of another kind than their column, and are written as JSON text")
	say(x.lost.lineEnds, "%d texts have line ends with a carriage return, which read back without it")
	say(x.lost.controls, "%d texts hold control characters, which an import refuses")
	say(x.lost.digits, "%d numbers have more digits than a number of this format holds")
	say(x.lost.nulls, "%d values are null, which this format does not tell from what is missing")
	say(x.lost.placed, "%d records have no place: their geometry is null")
	return out
}

// columns are the places of a standard, and how to find them in a record.
type columns struct {
	places []intake.Place
	root   *step
	lost   *lost
}

// A step is one member on the way to a place.
type step struct {
	leaf  int // of places; -1 when it goes on
	below map[string]*step
}

func newColumns(std *standard.Standard, l *lost) *columns {
	c := &columns{places: intake.Places(std), root: &step{leaf: -1}, lost: l}
	for i, p := range c.places {
		at := c.root
		for _, tok := range p.To.Tokens() {
			if at.below == nil {
				at.below = map[string]*step{}
			}
			if at.below[tok] == nil {
				at.below[tok] = &step{leaf: -1}
			}
			at = at.below[tok]
		}
		at.leaf = i
	}
	return c
}

// missing is a place that a record does not have.
type missing struct{}

// row returns the values of a record, place by place; missing{} where there is
// none.
func (c *columns) row(body map[string]any) []any {
	row := make([]any, len(c.places))
	for i := range row {
		row[i] = missing{}
	}
	whole := true
	var walk func(m map[string]any, at *step)
	walk = func(m map[string]any, at *step) {
		for k, v := range m {
			next := at.below[k]
			switch sub, object := v.(map[string]any); {
			case next == nil:
				whole = false
			case next.leaf >= 0:
				row[next.leaf] = v
			case object && len(sub) > 0:
				walk(sub, next)
			default:
				whole = false
			}
		}
	}
	walk(body, c.root)
	if !whole {
		c.lost.unnamed++
	}
	return row
}
