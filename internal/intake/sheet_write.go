package intake

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/stile-exchange/stile/internal/workbook"
)

// A RowWriter writes rows of a sheet to a workbook of its own (XLSX), under the
// same headings in the same row, so that they can be mended there and read with
// the same mapping. Dates stay dates and numbers numbers; a cell that showed an
// error is a formula without a value, which is refused until it is mended.
type RowWriter struct {
	f       *excelize.File
	w       *excelize.StreamWriter
	next    int
	decimal string
	styles  map[string]int
}

// NewRowWriter begins a workbook for rows that r gives. What does not fit into
// memory stands in folder until Close.
func NewRowWriter(r *Reader, folder string) (*RowWriter, error) {
	w := &RowWriter{f: excelize.NewFile(excelize.Options{TmpDir: folder}), next: 1, decimal: r.o.Mapping.decimal(), styles: map[string]int{}}
	if err := w.f.SetSheetName("Sheet1", r.Sheet()); err != nil {
		return nil, fmt.Errorf("write workbook: %w", err)
	}
	var err error
	if w.w, err = w.f.NewStreamWriter(r.Sheet()); err != nil {
		return nil, fmt.Errorf("write workbook: %w", err)
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
	if err := w.w.SetRow(fmt.Sprintf("A%d", w.next), cells); err != nil {
		return fmt.Errorf("write workbook: row %d: %w", w.next, err)
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
				cells[i] = w.styled(v, strings.Repeat("0", len(t.code)))
			}
		case workbook.Date:
			at, err := time.Parse(time.DateOnly, text)
			if err != nil {
				return fmt.Errorf("write workbook: row %d: no date", row.Number)
			}
			cells[i] = w.styled(at, "yyyy-mm-dd")
		case workbook.Moment:
			at, err := time.Parse("2006-01-02T15:04:05", text)
			if err != nil {
				return fmt.Errorf("write workbook: row %d: no date", row.Number)
			}
			cells[i] = w.styled(at, "yyyy-mm-dd hh:mm:ss")
		case workbook.Bool:
			cells[i] = text == "TRUE"
		case workbook.Failure, workbook.Unknown:
			cells[i] = excelize.Cell{Formula: "NA()"}
		default:
			cells[i] = text
		}
	}
	return w.row(cells)
}

// styled is a cell with a number format.
func (w *RowWriter) styled(v any, format string) any {
	id, ok := w.styles[format]
	if !ok {
		var err error
		if id, err = w.f.NewStyle(&excelize.Style{CustomNumFmt: &format}); err != nil {
			panic("internal error: " + err.Error())
		}
		w.styles[format] = id
	}
	return excelize.Cell{StyleID: id, Value: v}
}

// Close writes the workbook to out.
func (w *RowWriter) Close(out io.Writer) error {
	err := w.w.Flush()
	if err == nil {
		_, err = w.f.WriteTo(out)
	}
	if cerr := w.f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write workbook: %w", err)
	}
	return nil
}
