package intake

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits on the shape of a CSV file.
const (
	maxColumns    = 2000 // headings
	maxTitleRows  = 100  // rows looked at to find the headings
	maxHeadingLen = 1000 // bytes
)

// A table is a CSV file, or a sheet, below its headings.
type table struct {
	take     func() (Raw, error) // the next row, blank or not; io.EOF after the last
	src      *source
	delim    byte
	row      int // number of the last row taken, as a spreadsheet counts
	headings []string
	titled   bool // the headings stand in the file
	headRow  int  // number of their row
	blank    int  // rows passed over
	folded   folded
	loose    []int // columns without a heading that nobody asked for, as long as they were blank
	filled   []int // those that were not

	spans []span // cells of the row being taken apart
}

// A span is one cell in the window.
type span struct {
	from, to int
	quoted   bool // from and to are inside the marks
	doubled  bool // it holds a doubled mark
}

func (r *Reader) openCSV(in io.Reader) error {
	m := r.o.Mapping
	c, err := compile(m)
	if err != nil {
		return err
	}
	src, err := newSource(in, encoding(m.Encoding), r.o.Limits.Bytes)
	if err != nil {
		return err
	}
	if m.Encoding == "" && src.enc != encUTF8 {
		r.note("the file begins with the byte order mark of %s and was read as that", src.enc)
	}
	delim := byte(',')
	if m.Delimiter != "" {
		delim = m.Delimiter[0]
	}
	r.in = src
	r.table = newTable(src, delim)
	if err := r.table.passSep(r); err != nil {
		return err
	}
	if err := r.table.findHeadings(m); err != nil {
		return err
	}
	if r.plan, err = c.onto(r.table.headings, r); err != nil {
		return err
	}
	r.scan = func() (Raw, error) { return r.table.next(m) }
	return nil
}

// widthFix says where to look when a row is not as wide as the headings.
func (t *table) widthFix() string {
	if t.src == nil { // a sheet: what is inside a cell cannot part it
		return "give each column a heading of its own: a heading put together from several cells counts for the first of them"
	}
	return "look for a delimiter or a line end inside a cell, which must then stand in quotation marks"
}

func newTable(src *source, delim byte) *table {
	t := &table{src: src, delim: delim}
	t.take = t.takeCSV
	return t
}

// findHeadings takes the rows down to the headings.
func (t *table) findHeadings(m *Mapping) error {
	row := 1
	if m.HeaderRow != nil {
		row = *m.HeaderRow
	}
	if row == 0 && len(m.HeaderFind) == 0 {
		return nil
	}
	var other error // another delimiter would make headings of a row
	for {
		raw, err := t.take()
		if errors.Is(err, io.EOF) {
			if len(m.HeaderFind) > 0 {
				return cmp.Or(other, noHeadings(m, "the file ends before a row with them"))
			}
			return &FileError{Rule: RuleHeadings, Detail: fmt.Sprintf("the file has no row %d, where the headings should be", row)}
		}
		if err != nil {
			return err
		}
		switch {
		case len(m.HeaderFind) > 0:
			if raw.bad == nil && hasAll(raw.cells, m.HeaderFind) {
				return t.head(m, raw)
			}
			if other == nil && raw.bad == nil {
				other = t.otherDelimiter(m, raw.cells)
			}
			if t.row >= maxTitleRows {
				return cmp.Or(other, noHeadings(m, fmt.Sprintf("none of the first %d rows has them", maxTitleRows)))
			}
		case t.row == row:
			if raw.bad != nil {
				if err := t.otherDelimiter(m, []string{string(raw.text)}); err != nil && raw.text != nil {
					return err
				}
				return &FileError{Rule: raw.bad.Rule, Line: raw.Line, Detail: "the heading row: " + raw.bad.Detail, Fix: raw.bad.Fix}
			}
			return t.head(m, raw)
		case t.row > row: // a sheet leaves rows out that are blank
			return &FileError{Rule: RuleHeadings, Detail: fmt.Sprintf("row %d, where the headings should be, is blank", row),
				Fix: fmt.Sprintf("set header_row in the mapping; the first row with cells below it is %d", t.row)}
		}
	}
}

func noHeadings(m *Mapping, why string) error {
	return &FileError{Rule: RuleHeadings,
		Detail: fmt.Sprintf("no row has the headings %q: %s", m.HeaderFind, why),
		Fix:    "name headings that stand in the file under header_find, and check encoding and delimiter"}
}

func hasAll(cells, want []string) bool {
	folded := make(map[string]bool, len(cells))
	for _, c := range cells {
		folded[fold(c)] = true
	}
	for _, w := range want {
		if !folded[fold(w)] {
			return false
		}
	}
	return true
}

func (t *table) head(m *Mapping, raw Raw) error {
	if len(raw.cells) > maxColumns {
		return &FileError{Rule: RuleHeadings, Line: raw.Line, Detail: fmt.Sprintf("more than %d headings", maxColumns)}
	}
	for _, c := range raw.cells {
		// A heading with a NUL is what UTF-16 looks like when it is read as
		// something else.
		if strings.ContainsRune(c, 0) {
			return &FileError{Rule: RuleEncoding, Line: raw.Line, Detail: "the headings hold NUL characters",
				Fix: "set encoding: utf-16le if the file was saved as \"Unicode\""}
		}
		if len(c) > maxHeadingLen {
			return &FileError{Rule: RuleHeadings, Line: raw.Line, Detail: fmt.Sprintf("a heading is longer than %d bytes", maxHeadingLen),
				Fix: "check header_row, delimiter and quotation marks"}
		}
	}
	if err := t.otherDelimiter(m, raw.cells); err != nil {
		return err
	}
	t.headings, t.titled, t.headRow = raw.cells, true, raw.Number
	return nil
}

// next returns the next row that is not blank.
func (t *table) next(m *Mapping) (Raw, error) {
	for {
		raw, err := t.take()
		if err != nil {
			return Raw{}, err
		}
		if raw.bad != nil {
			return raw, nil
		}
		if allBlank(raw.cells) {
			t.blank++
			continue
		}
		// Without headings the first row says how wide the file is.
		if t.headings == nil {
			if err := t.otherDelimiter(m, raw.cells); err != nil {
				return Raw{}, err
			}
			t.headings = make([]string, len(raw.cells))
		}
		n := len(t.headings)
		switch {
		case len(raw.cells) > n && allBlank(raw.cells[n:]):
			raw.cells = raw.cells[:n]
		case len(raw.cells) > n || (len(raw.cells) < n && !m.ShortRows):
			raw.bad = &Problem{Rule: RuleColumns,
				Detail: fmt.Sprintf("the row has %s and the headings are %d", count(len(raw.cells), "cell", "cells"), n),
				Fix:    t.widthFix()}
		case len(raw.cells) < n:
			raw.cells = append(raw.cells, make([]string, n-len(raw.cells))...)
		}
		if raw.bad == nil {
			raw.bad = t.odd(raw.cells)
		}
		t.loose = slices.DeleteFunc(t.loose, func(i int) bool {
			lost := i < len(raw.cells) && strings.TrimSpace(raw.cells[i]) != ""
			if lost {
				t.filled = append(t.filled, i)
			}
			return lost
		})
		return raw, nil
	}
}

func allBlank(cells []string) bool {
	for _, c := range cells {
		if strings.TrimSpace(c) != "" {
			return false
		}
	}
	return true
}

// takeCSV takes the next row apart, blank or not, and returns io.EOF after the
// last.
func (t *table) takeCSV() (Raw, error) {
	s := t.src
	end, fault := t.split()
	if err := s.failed(); err != nil && end < 0 {
		return Raw{}, fmt.Errorf("read csv: line %d: %w", s.line, err)
	}
	w := s.window()
	if end < 0 {
		end = len(w) // the last row may do without a line end
	}
	if end == 0 {
		return Raw{}, io.EOF
	}
	t.row++
	raw := Raw{Number: t.row, Line: s.line}
	if fault == "" && end > s.limit+2 {
		fault = faultLong // it stood in the window only because the window is never small
	}
	var rows *swallowed
	if fault == "" {
		if rows = t.swallows(w[:end]); rows != nil {
			fault = faultRows
		}
	}
	switch fault {
	case "":
		raw.cells = t.cells(w[:end])
		if !utf8.Valid(w[:end]) {
			raw.bad = &Problem{Rule: RuleEncoding, Detail: "the row holds bytes that are not " + string(s.enc), Fix: encodingFix(s.enc)}
		}
		torn := w[end-1] != '\n' && w[end-1] != '\r' // the last row may do without a line end
		s.take(end)
		n := s.line - raw.Line
		if torn {
			n++
		}
		if n > 1 && t.headings != nil {
			t.folded.add(raw.Number, n)
		}
	case faultLong:
		s.skipLine()
		raw.bad = tooLong(s.limit, "row")
	default:
		// Which of the lines below belong to the cell nobody can tell. Were
		// they skipped, one stray mark could cost all rows down to the next;
		// read as rows, those that are rows are kept and what was inside the
		// cell shows as rows with the wrong number of cells.
		raw.bad = &Problem{Rule: RuleQuotes, Detail: fault + "; reading went on with the line below",
			Fix: "close every quotation mark, and write one that belongs to the text of a quoted cell twice"}
		if n := len(t.spans); n < len(t.headings) {
			raw.bad.Column = t.headings[n]
		}
		if rows != nil {
			raw.bad = rows.problem()
			if rows.cell < len(t.headings) {
				raw.bad.Column = t.headings[rows.cell]
			}
		}
		i := bytes.IndexAny(w, "\r\n")
		for (i < 0 || (w[i] == '\r' && i+1 == len(w))) && s.more() {
			w = s.window()
			i = bytes.IndexAny(w, "\r\n")
		}
		switch {
		case i < 0:
			raw.text = bytes.Clone(w)
			s.skipLine()
		case w[i] == '\r' && i+1 < len(w) && w[i+1] == '\n':
			raw.text = bytes.Clone(w[:i])
			s.take(i + 2)
		default:
			raw.text = bytes.Clone(w[:i])
			s.take(i + 1)
		}
	}
	return raw, nil
}

func encodingFix(e encoding) string {
	if e == encUTF8 {
		return "set encoding: windows-1252 in the mapping if the file came from a spreadsheet on Windows"
	}
	return "check the encoding in the mapping"
}

// What split can find wrong with a row. All but faultLong are about
// quotation marks and say so to the reader of a report.
const (
	faultInside = "a quotation mark closes before the end of its cell"
	faultOpen   = "a quotation mark opens a cell and is never closed"
	faultFar    = "a quotation mark opens a cell and is not closed within the limit of one row"
	faultRows   = "a quotation mark opens a cell that holds rows"
	faultLong   = "long"
)

// split finds the cells of the row that begins at the window's start, widening
// the window as it needs, and returns where the row ends, its line end
// included, or -1 when the file ends first. What has been looked at is not
// looked at again when the window widens. Offsets are from the window's start.
func (t *table) split() (end int, fault string) {
	s, w, pos := t.src, t.src.window(), 0
	t.spans = t.spans[:0]
	// need makes sure that w[i] can be looked at.
	need := func(i int) bool {
		for i >= len(w) {
			if !s.more() {
				return false
			}
			w = s.window()
		}
		return true
	}
	ended := func() (int, string) {
		if s.full() {
			return -1, faultLong
		}
		return -1, ""
	}
	for {
		if !need(pos) {
			if pos > 0 { // the file ends with a delimiter, after which stands a cell
				t.spans = append(t.spans, span{from: pos, to: pos})
			}
			return ended()
		}
		cell := span{from: pos}
		if w[pos] == '"' {
			pos++
			cell = span{from: pos, quoted: true}
			for {
				i := bytes.IndexByte(w[min(pos, len(w)):], '"')
				if i < 0 {
					if pos = len(w); !need(pos) {
						if s.full() {
							return -1, faultFar
						}
						return -1, faultOpen
					}
					continue
				}
				pos += i + 1
				if !need(pos) || w[pos] != '"' {
					break
				}
				cell.doubled = true
				pos++
			}
			cell.to = pos - 1
		} else {
			for need(pos) && w[pos] != t.delim && w[pos] != '\n' && w[pos] != '\r' {
				pos++
			}
			cell.to = pos
		}
		t.spans = append(t.spans, cell)
		if !need(pos) {
			return ended()
		}
		switch w[pos] {
		case t.delim:
			pos++
		case '\n':
			return pos + 1, ""
		case '\r':
			if need(pos+1) && w[pos+1] == '\n' {
				pos++
			}
			return pos + 1, ""
		default:
			t.spans = t.spans[:len(t.spans)-1]
			return -1, faultInside
		}
	}
}

// cells copies the cells that split found out of the window.
func (t *table) cells(row []byte) []string {
	all := string(row)
	cells := make([]string, len(t.spans))
	for i, c := range t.spans {
		text := all[c.from:c.to]
		if c.doubled {
			text = strings.ReplaceAll(text, `""`, `"`)
		}
		if c.quoted && strings.IndexByte(text, '\r') >= 0 {
			// The same text in a file with other line ends is the same text.
			text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
		}
		cells[i] = text
	}
	return cells
}
