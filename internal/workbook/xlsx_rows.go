package workbook

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
)

// xlsxRows reads the rows of a sheet of an XLSX workbook.
func (b *Book) xlsxRows(r *Rows, sheet int) (next func() (Row, error), closes func(), err error) {
	p, err := b.zip.xml(b.sheets[sheet].part, b.lim.CellLen)
	if err != nil {
		return nil, nil, err
	}
	last := 0
	next = func() (Row, error) {
		for {
			t, err := p.token()
			if err != nil {
				if errors.Is(err, io.EOF) {
					p.close()
				}
				return Row{}, err
			}
			e, ok := t.(xml.StartElement)
			if !ok {
				continue
			}
			switch {
			case e.Name.Local == "mergeCell":
				r.merged++
			case e.Name.Local == "row" && len(p.open) == 3 && p.open[1] == "sheetData":
				row, err := b.xlsxRow(r, p, e, &last)
				if err != nil {
					return Row{}, err
				}
				if len(row.Cells) > 0 {
					return row, nil
				}
			}
		}
	}
	return next, p.close, nil
}

func (b *Book) xlsxRow(r *Rows, p *xmlPart, e xml.StartElement, last *int) (Row, error) {
	row := Row{Number: *last + 1, Hidden: isTrue(attr(e, "hidden"))}
	if s := attr(e, "r"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n <= *last {
			return Row{}, damaged("the workbook is damaged: the rows of a sheet are out of order")
		}
		row.Number = n
	}
	if row.Number > b.lim.Rows {
		return Row{}, tooLarge("a sheet has more than %d rows", b.lim.Rows)
	}
	*last = row.Number
	r.cells = r.cells[:0]
	column := 0
	for depth := len(p.open); len(p.open) >= depth; {
		t, err := p.token()
		if err != nil {
			return Row{}, whole(err)
		}
		e, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		if e.Name.Local != "c" {
			if err := p.skip(); err != nil {
				return Row{}, err
			}
			continue
		}
		if at := attr(e, "r"); at != "" {
			if column, ok = columnOf(at); !ok {
				return Row{}, damaged("the workbook is damaged: a cell has no place")
			}
		}
		if column >= b.lim.Columns {
			return Row{}, tooLarge("a sheet has more than %d columns", b.lim.Columns)
		}
		c, err := b.xlsxCell(p, e)
		if err != nil {
			return Row{}, err
		}
		if c.Kind != 0 {
			c.Column = column
			r.cells = append(r.cells, c)
		}
		column++
	}
	byColumn := func(x, y Cell) int { return x.Column - y.Column }
	if !slices.IsSortedFunc(r.cells, byColumn) {
		slices.SortStableFunc(r.cells, byColumn)
	}
	for i := 1; i < len(r.cells); i++ {
		if r.cells[i].Column == r.cells[i-1].Column {
			return Row{}, damaged("the workbook is damaged: a cell stands there twice")
		}
	}
	row.Cells = r.cells
	return row, nil
}

// columnOf returns the column, from 0, of a reference such as AB12.
func columnOf(ref string) (int, bool) {
	n, i := 0, 0
	for ; i < len(ref) && i < 4; i++ {
		c := ref[i] &^ 0x20
		if c < 'A' || c > 'Z' {
			break
		}
		n = n*26 + int(c-'A') + 1
	}
	if n == 0 || strings.Trim(ref[i:], "0123456789") != "" {
		return 0, false
	}
	return n - 1, true
}

// xlsxCell reads the cell that was just opened. Its Kind is 0 when it is empty.
func (b *Book) xlsxCell(p *xmlPart, e xml.StartElement) (Cell, error) {
	var c Cell
	value, valued := "", false
	typ := attr(e, "t")
	for depth := len(p.open); len(p.open) >= depth; {
		t, err := p.token()
		if err != nil {
			return Cell{}, whole(err)
		}
		e, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		switch e.Name.Local {
		case "v":
			valued = true
			value, err = p.text(b.lim.CellLen)
		case "is":
			valued = true
			value, err = richText(p, b.lim.CellLen)
		case "f":
			c.Formula = true
			err = p.skip()
		default:
			err = p.skip()
		}
		if err != nil {
			return Cell{}, err
		}
	}
	if !valued || value == "" && typ != "str" && typ != "inlineStr" {
		if c.Formula {
			c.Kind = Unknown
		}
		return c, nil
	}
	bad := damaged("the workbook is damaged: a cell does not hold what it says")
	switch typ {
	case "s":
		i, err := strconv.Atoi(strings.TrimSpace(value))
		text, ok := b.texts.text(i)
		if err != nil || !ok {
			return Cell{}, bad
		}
		c.Kind, c.Text = Text, text
	case "str":
		c.Kind, c.Text = Text, unescape(value)
	case "inlineStr":
		c.Kind, c.Text = Text, value
	case "b":
		switch strings.TrimSpace(value) {
		case "1", "true":
			c.Kind, c.Text = Bool, "TRUE"
		case "0", "false":
			c.Kind, c.Text = Bool, "FALSE"
		default:
			return Cell{}, bad
		}
	case "e":
		c.Kind, c.Text = Failure, errorText(value)
	case "d":
		if !isoDate(&c, strings.TrimSpace(value)) {
			return Cell{}, bad
		}
	case "", "n":
		l := look{}
		if s := attr(e, "s"); s != "" {
			i, err := strconv.Atoi(s)
			if err != nil || i < 0 || i >= len(b.looks) {
				return Cell{}, damaged("the workbook is damaged: a cell names a style that is not there")
			}
			l = b.looks[i]
		}
		if !l.number(&c, value, b.y1904) {
			return Cell{}, bad
		}
	default:
		return Cell{}, bad
	}
	if c.Kind == Text && c.Text == "" {
		c.Kind = 0
	}
	return c, nil
}

// errorText is an error that a cell shows, when it is one that spreadsheets
// have; whatever else a file calls an error may be anything.
func errorText(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 20 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789#/!?_:") != "" && !strings.HasPrefix(s, "Err:") {
		return "an error"
	}
	return s
}
