package intake

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/internal/workbook"
)

// A trait says of a cell of a sheet what its text does not.
type trait struct {
	kind workbook.Kind // 0: an empty cell
	long bool          // a whole number of more digits than a sheet holds
	code string        // the number with the zeros that are shown before it
}

// A sheet takes the rows of one sheet of a workbook as a table does those of a
// CSV file.
type sheet struct {
	name    string
	rows    *workbook.Rows
	t       *table
	decimal string
	used    func(column int) bool // whether a column is asked for

	formulas, percents, times, codes, hidden, merged int // cells and rows to tell of
}

// openSheet reads a workbook down to the headings of the sheet that is meant.
func (r *Reader) openSheet(rest, in io.Reader) error {
	m := r.o.Mapping
	c, err := compile(m)
	if err != nil {
		return err
	}
	b, err := book(rest, in, workbook.Limits{CellLen: r.o.Limits.Bytes})
	if err != nil {
		return inBook(err)
	}
	if r.o.Format = XLSX; b.Format() == "ODS" {
		r.o.Format = ODS
	}
	wanted := r.o.Sheet
	if wanted == "" {
		wanted = m.Sheet
	}
	i, err := r.choose(b, wanted)
	if err != nil {
		return err
	}
	rows, err := b.Rows(i)
	if err != nil {
		return inBook(err)
	}
	r.sheet = &sheet{name: b.Sheets()[i].Name, rows: rows, decimal: m.decimal()}
	r.table = &table{take: r.sheet.take}
	r.sheet.t = r.table
	if err := r.table.findHeadings(m); err != nil {
		return err
	}
	if r.plan, err = c.onto(r.table.headings, r); err != nil {
		return err
	}
	used := map[int]bool{}
	for _, col := range r.plan.columns {
		used[col.index] = true
		for _, i := range col.also {
			used[i] = true
		}
	}
	for _, xy := range r.plan.xys {
		used[xy.x.index], used[xy.y.index] = true, true
	}
	r.sheet.used = func(i int) bool { return used[i] }
	r.scan = func() (Raw, error) { return r.table.next(m) }
	return nil
}

// choose finds the sheet that is meant: by name, by its place from 1, or, when
// none is named, the only one that is shown and holds anything.
func (r *Reader) choose(b *workbook.Book, wanted string) (int, error) {
	sheets := b.Sheets()
	var names []string
	for _, s := range sheets {
		names = append(names, shortText(s.Name))
	}
	if wanted != "" {
		for i, s := range sheets {
			if s.Name == wanted {
				return i, nil
			}
		}
		for i, s := range sheets {
			if fold(s.Name) == fold(wanted) {
				return i, nil
			}
		}
		if n, err := strconv.Atoi(wanted); err == nil && n >= 1 && n <= len(sheets) {
			return n - 1, nil
		}
		return 0, &FileError{Rule: RuleSheet, Found: names, Detail: fmt.Sprintf("the workbook has no sheet %q", wanted), Fix: "name one of its sheets, by name or by its place from 1"}
	}
	filled, hidden := []int{}, []int{}
	for i, s := range sheets {
		empty, err := b.Empty(i)
		switch {
		case err != nil:
			return 0, inBook(err)
		case empty:
		case s.Hidden:
			hidden = append(hidden, i)
		default:
			filled = append(filled, i)
		}
	}
	switch {
	case len(filled) == 1:
		if len(hidden) > 0 {
			r.note("the workbook has %s with cells, which %s not read", count(len(hidden), "hidden sheet", "hidden sheets"), map[bool]string{true: "was", false: "were"}[len(hidden) == 1])
		}
		return filled[0], nil
	case len(filled) > 1:
		var those []string
		for _, i := range filled {
			those = append(those, names[i])
		}
		return 0, &FileError{Rule: RuleSheet, Found: those, Detail: fmt.Sprintf("the workbook has %d sheets with cells", len(filled)),
			Fix: "say which is meant with --sheet NAME, or sheet: in the mapping"}
	case len(hidden) > 0:
		return 0, &FileError{Rule: RuleSheet, Found: names, Detail: "all sheets with cells are hidden", Fix: "say which is meant with --sheet NAME"}
	}
	return 0, &FileError{Rule: RuleSheet, Detail: "the workbook is empty", Fix: "look whether it is the right file"}
}

// take takes the next row that has a cell.
func (s *sheet) take() (Raw, error) {
	row, err := s.rows.Next()
	if err != nil {
		s.merged = s.rows.Merged()
		return Raw{}, inBook(err)
	}
	t := s.t
	if t.headings != nil {
		t.blank += row.Number - t.row - 1
	}
	t.row = row.Number
	n := row.Cells[len(row.Cells)-1].Column + 1
	if t.headings != nil {
		// A row may leave off cells at its end; of a cell far out no more is
		// needed than that it is there.
		n = max(len(t.headings), min(n, len(t.headings)+64))
	}
	raw := Raw{Number: row.Number, Line: row.Number, cells: make([]string, n), traits: make([]trait, n)}
	for i := range row.Cells {
		c := &row.Cells[i]
		at := min(c.Column, n-1)
		raw.cells[at] = c.Text
		if c.Kind == workbook.Number && s.decimal != "." {
			raw.cells[at] = strings.Replace(c.Text, ".", s.decimal, 1)
		}
		raw.traits[at] = trait{kind: c.Kind, long: c.Long, code: c.Code}
		if s.used != nil && s.used(c.Column) {
			s.tally(c)
		}
	}
	if row.Hidden && t.headings != nil {
		s.hidden++
	}
	return raw, nil
}

func (s *sheet) tally(c *workbook.Cell) {
	for _, n := range []struct {
		is bool
		n  *int
	}{{c.Formula, &s.formulas}, {c.Percent, &s.percents}, {c.Hidden, &s.times}, {c.Code != "", &s.codes}} {
		if n.is {
			*n.n++
		}
	}
}

// notes tells of a sheet what its rows do not show.
func (s *sheet) notes(r *Reader) {
	tell := func(n int, one, many string) {
		if n > 0 {
			r.note("%s", count(n, one, many))
		}
	}
	tell(s.formulas, "cell is a formula: the value that the spreadsheet kept beside it was taken, and nothing was worked out", "cells are formulas: the values that the spreadsheet kept beside them were taken, and nothing was worked out")
	tell(s.percents, "cell is shown as a percentage and was taken as it is stored, so that 25% is 0.25", "cells are shown as percentages and were taken as they are stored, so that 25% is 0.25")
	tell(s.times, "date has a time of day that the sheet does not show: it was left off", "dates have a time of day that the sheet does not show: it was left off")
	tell(s.codes, "number is shown with zeros before it, such as 00712: text columns took it as it is shown", "numbers are shown with zeros before them, such as 00712: text columns took them as they are shown")
	tell(s.hidden, "row is hidden in the sheet, by a filter or by hand, and was read like the others", "rows are hidden in the sheet, by a filter or by hand, and were read like the others")
	tell(s.merged, "cell of the sheet is several put together: only the first of them has a value; fill_down in the mapping fills the others", "cells of the sheet are several put together: only the first of each has a value; fill_down in the mapping fills the others")
}

// trait returns what is known of a cell beside its text.
func (r *Row) trait(i int) trait {
	if i < 0 || i >= len(r.traits) {
		return trait{}
	}
	return r.traits[i]
}

// shown returns a cell as a person sees it, which matters for texts alone.
func (r *Row) shown(i int, col *column) string {
	if m := r.trait(i); m.code != "" && (col.Type == typeString || col.Type == "") {
		return m.code
	}
	return r.Cells[i]
}

// sheetFault says what is wrong with a cell that went through a spreadsheet,
// whatever type its column has.
func (p *plan) sheetFault(col *column, row *Row) *fault {
	if f := p.sheetFaultAt(col, row, col.index); f != nil {
		return f
	}
	for _, i := range col.also {
		if f := p.sheetFaultAt(col, row, i); f != nil {
			return f
		}
	}
	return nil
}

func (p *plan) sheetFaultAt(col *column, row *Row, i int) *fault {
	if i < 0 || i >= len(row.Cells) {
		return nil
	}
	cell, t := row.Cells[i], row.trait(i)
	switch {
	case t.kind == workbook.Unknown:
		return &fault{RuleCell, "holds a formula, and no value is kept beside it", "open the file in a spreadsheet, which works it out, and save it again"}
	case t.long:
		return &fault{RuleCell, "a whole number of more than 15 digits, of which a spreadsheet keeps 15", "format the column as text in the spreadsheet, and enter the digits again"}
	case t.kind != workbook.Failure && !showsError(cell), p.meant(col, cell) == "":
		return nil
	}
	if _, stands := col.Values[fold(cell)]; stands {
		return nil
	}
	return &fault{RuleCell, "the spreadsheet shows an error here: " + visible(strings.TrimSpace(cell)), "mend it in the spreadsheet; or name the error under blank in the mapping, if it means nothing"}
}

// showsError reports whether a text is an error of a spreadsheet, as CSV has it
// and as sheets have it where somebody pasted values.
func showsError(cell string) bool {
	cell = strings.TrimSpace(cell)
	if !strings.HasPrefix(cell, "#") && !strings.HasPrefix(cell, "Err:") || len(cell) > 300 {
		return false
	}
	switch cell {
	case "#REF!", "#N/A", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!", "#SPILL!", "#CALC!", "#FIELD!", "#BLOCKED!", "#CONNECT!", "#BUSY!", "#GETTING_DATA", "#UNKNOWN!":
		return true
	}
	code, libre := strings.CutPrefix(cell, "Err:")
	return libre && len(code) == 3 && allDigits(code) || len(cell) > 2 && strings.Trim(cell, "#") == ""
}

// sheetDate reads a cell that the sheet itself holds as a date. done is false
// when it does not.
func (p *plan) sheetDate(col *column, s string, row *Row) (v any, f *fault, done bool) {
	m := row.trait(col.index)
	if m.kind != workbook.Date && m.kind != workbook.Moment || col.index >= len(row.Cells) || s != row.Cells[col.index] {
		return nil, nil, false
	}
	if col.Type == typeDateTime && col.Zone == "" {
		return nil, &fault{RuleDateTime, "the time of a sheet does not say its time zone", "set zone for the column, such as Europe/London"}, true
	}
	stored := *col
	stored.formats = p.stored
	v, f = date(&stored, s)
	return v, f, true
}

// storedFormats are how a date of a sheet is written here.
func storedFormats() []*dateFormat {
	var out []*dateFormat
	for _, text := range []string{"yyyy-mm-dd", "yyyy-mm-ddTHH:MM:SS"} {
		f, err := parseDateFormat(text, 0, defaultEpoch)
		if err != nil {
			panic("internal error: " + err.Error())
		}
		out = append(out, f)
	}
	return out
}

// lookAtSheet is Look for a workbook.
func lookAtSheet(rest, in io.Reader, wanted string) (*Sample, error) {
	b, err := book(rest, in, workbook.Limits{})
	if err != nil {
		return nil, inBook(err)
	}
	i, err := (&Reader{}).choose(b, wanted)
	if err != nil {
		return nil, err
	}
	from, err := b.Rows(i)
	if err != nil {
		return nil, inBook(err)
	}
	defer from.Close()
	s := &Sample{}
	if shown := slices.DeleteFunc(slices.Clone(b.Sheets()), func(s workbook.Sheet) bool { return s.Hidden }); len(shown) > 1 {
		s.Sheet = b.Sheets()[i].Name
	}
	var rows [][]string
	for size := 0; len(rows) < maxSampleRows && size < maxSample; {
		row, err := from.Next()
		if errors.Is(err, io.EOF) {
			s.Whole = true
			break
		}
		if err != nil {
			return nil, inBook(err)
		}
		for len(rows) < min(row.Number-1, maxTitleRows) {
			rows = append(rows, nil) // rows are counted as the sheet counts them
		}
		cells := make([]string, min(row.Cells[len(row.Cells)-1].Column+1, maxColumns))
		for _, c := range row.Cells {
			// A date that the sheet holds as one is read whatever format the
			// mapping declares, and says nothing of how texts write dates.
			if c.Column >= len(cells) || c.Kind == workbook.Date || c.Kind == workbook.Moment {
				continue
			}
			if cells[c.Column] = c.Text; c.Code != "" {
				cells[c.Column] = c.Code
			}
			size += len(c.Text)
		}
		rows = append(rows, cells)
		size += 16 * len(cells)
	}
	at, filled := fullest(rows[:min(len(rows), 20)])
	if filled == 0 {
		return nil, &FileError{Rule: RuleHeadings, Detail: "the sheet has no row that could be headings", Fix: "name another with --sheet"}
	}
	s.HeaderRow, s.Headings, s.Rows = at+1, rows[at], rows[at+1:]
	return s, nil
}
