package export

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/stile-exchange/stile/internal/intake"
)

// rowGroup is how many records stand in one group of rows, which is held in
// memory until it is written.
const rowGroup = 10_000

// parquetSink writes Apache Parquet. Texts are STRING, whole numbers INT64, other
// numbers DOUBLE, lists LIST, what does not fit a column JSON. Dates stay the
// texts that they are in the record. A value that is missing and one that is
// null are both null.
type parquetSink struct {
	c    *columns
	w    *parquet.GenericWriter[any]
	at   []int // of each place, its column
	row  parquet.Row
	rows []parquet.Row
}

func newParquet(w io.Writer, c *columns) (*parquetSink, error) {
	group := parquet.Group{}
	heads := intake.ExportHeadings(c.places)
	for i, p := range c.places {
		node := leafNode(p)
		if p.List {
			node = parquet.List(node)
		}
		group[heads[i]] = parquet.Optional(node)
	}
	if len(group) == 0 {
		return nil, fmt.Errorf("write Parquet: the standard's schema names no member, so that there is no column")
	}
	schema := parquet.NewSchema("record", group)
	s := &parquetSink{c: c, at: make([]int, len(heads))}
	byHead := map[string]int{}
	for i, path := range schema.Columns() {
		byHead[path[0]] = i
	}
	for i, h := range heads {
		s.at[i] = byHead[h]
	}
	s.w = parquet.NewGenericWriter[any](w, schema, parquet.MaxRowsPerRowGroup(rowGroup), parquet.Compression(&parquet.Snappy), parquet.CreatedBy("stile", "", ""))
	return s, nil
}

func leafNode(p intake.Place) parquet.Node {
	switch p.Type {
	case "number":
		return parquet.Leaf(parquet.DoubleType)
	case "integer":
		return parquet.Leaf(parquet.Int64Type)
	case "boolean":
		return parquet.Leaf(parquet.BooleanType)
	case "json":
		return parquet.JSON()
	}
	return parquet.String()
}

func (s *parquetSink) write(r Record) error {
	values := s.c.row(r.Body)
	cols := make([]parquet.Row, len(values))
	for i, v := range values {
		cols[s.at[i]] = s.column(s.c.places[i], v, s.at[i])
	}
	s.row = s.row[:0]
	for _, c := range cols {
		s.row = append(s.row, c...)
	}
	s.rows = append(s.rows[:0], s.row)
	_, err := s.w.WriteRows(s.rows)
	return err
}

// column returns the values of one place: how deep each is defined says what
// is null, and whether it goes on with a list.
func (s *parquetSink) column(p intake.Place, v any, col int) parquet.Row {
	if _, none := v.(missing); none || v == nil {
		if !none {
			s.c.lost.nulls++
		}
		return parquet.Row{parquet.Value{}.Level(0, 0, col)}
	}
	list, isList := v.([]any)
	switch {
	case p.List && isList && len(list) == 0:
		return parquet.Row{parquet.Value{}.Level(0, 1, col)}
	case p.List && isList:
		row := make(parquet.Row, 0, len(list))
		for i, e := range list {
			x, ok := s.value(p, e)
			if !ok {
				// A list whose parts are not of one kind, which the schema did
				// not tell: nothing of it fits.
				s.c.lost.kinds++
				return parquet.Row{parquet.Value{}.Level(0, 0, col)}
			}
			row = append(row, x.Level(min(i, 1), 2, col))
		}
		return row
	case p.List:
		s.c.lost.kinds++
		return parquet.Row{parquet.Value{}.Level(0, 0, col)}
	}
	x, ok := s.value(p, v)
	if !ok {
		s.c.lost.kinds++
		return parquet.Row{parquet.Value{}.Level(0, 0, col)}
	}
	return parquet.Row{x.Level(0, 1, col)}
}

func (s *parquetSink) value(p intake.Place, v any) (parquet.Value, bool) {
	if p.Type == "json" {
		return parquet.ValueOf(s.c.json(v)), true
	}
	switch t := v.(type) {
	case string:
		return parquet.ValueOf(t), p.Type != "number" && p.Type != "integer" && p.Type != "boolean"
	case bool:
		return parquet.ValueOf(t), p.Type == "boolean"
	case json.Number:
		switch p.Type {
		case "integer":
			n, err := wholeNumber(t.String())
			return parquet.ValueOf(n), err == nil
		case "number":
			f, err := t.Float64()
			if !plainNumber(t.String()) && strconv.FormatFloat(f, 'f', -1, 64) != t.String() {
				s.c.lost.digits++
			}
			return parquet.ValueOf(f), err == nil
		}
	}
	return parquet.Value{}, false
}

// wholeNumber reads an integer as JSON may write it: 12, 12.0, 1.2e1.
func wholeNumber(s string) (int64, error) {
	if !strings.ContainsAny(s, ".eE") {
		return strconv.ParseInt(s, 10, 64)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err == nil && f != float64(int64(f)) {
		err = strconv.ErrSyntax
	}
	return int64(f), err
}

func (s *parquetSink) close() error { return s.w.Close() }
