package intake

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/workbook"
)

// A RowWriter writes rows of a sheet to a workbook of its own (XLSX), under the
// same headings in the same row, so that they can be mended there and read with
// the same mapping. Dates stay dates and numbers numbers; a cell that showed an
// error is a formula without a value, which is refused until it is mended.
type RowWriter struct {
	w       *workbook.Writer
	next    int
	decimal string
}

// NewRowWriter begins a workbook for rows that r gives. What does not fit into
// memory stands in folder until Close.
func NewRowWriter(r *Reader, folder string) (*RowWriter, error) {
	w := &RowWriter{next: 1, decimal: r.o.Mapping.decimal()}
	var err error
	if w.w, err = workbook.NewWriter(r.Sheet(), folder); err != nil {
		return nil, err
	}
	if r.table.titled {
		w.next = max(1, r.table.headRow)
		heads := make([]any, len(r.table.headings))
		for i, h := range r.table.headings {
			heads[i] = h
		}
		if err := w.row(heads); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *RowWriter) row(cells []any) error {
	if err := w.w.Row(w.next, cells); err != nil {
		return err
	}
	w.next++
	return nil
}

// Row writes one row.
func (w *RowWriter) Row(row Row) error {
	cells := make([]any, len(row.Cells))
	for i, text := range row.Cells {
		t := row.trait(i)
		switch t.kind {
		case 0:
		case workbook.Number:
			v, err := strconv.ParseFloat(strings.Replace(text, w.decimal, ".", 1), 64)
			if err != nil {
				return fmt.Errorf("write workbook: row %d: no number", row.Number)
			}
			cells[i] = v
			if t.code != "" {
				cells[i] = workbook.Formatted{Value: v, Code: strings.Repeat("0", len(t.code))}
			}
		case workbook.Date:
			at, err := time.Parse(time.DateOnly, text)
			if err != nil {
				return fmt.Errorf("write workbook: row %d: no date", row.Number)
			}
			cells[i] = workbook.Formatted{Value: at, Code: "yyyy-mm-dd"}
		case workbook.Moment:
			at, err := time.Parse("2006-01-02T15:04:05", text)
			if err != nil {
				return fmt.Errorf("write workbook: row %d: no date", row.Number)
			}
			cells[i] = workbook.Formatted{Value: at, Code: "yyyy-mm-dd hh:mm:ss"}
		case workbook.Bool:
			cells[i] = text == "TRUE"
		case workbook.Failure, workbook.Unknown:
			cells[i] = workbook.Formula("NA()")
		default:
			cells[i] = text
		}
	}
	return w.row(cells)
}

// Close writes the workbook to out.
func (w *RowWriter) Close(out io.Writer) error { return w.w.Close(out) }
