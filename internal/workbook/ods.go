package workbook

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const odsContent = "content.xml"

// openODS finds the sheets of an OpenDocument spreadsheet, which takes a reading
// of the whole of it: they stand one after the other.
func (b *Book) openODS() error {
	locked := false
	if b.zip.has("META-INF/manifest.xml") {
		err := b.elements("META-INF/manifest.xml", func(e xml.StartElement, _ *xmlPart) error {
			locked = locked || e.Name.Local == "encryption-data"
			return nil
		})
		if err != nil {
			return err
		}
	}
	if locked {
		return notWorkbook("locked")
	}
	left := b.zip.left
	o, err := b.odsReader()
	if err != nil {
		return err
	}
	defer o.p.close()
	for {
		t, err := o.p.token()
		if errors.Is(err, io.EOF) {
			b.zip.left = left // the rows will be read again
			return nil
		}
		if err != nil {
			return err
		}
		e, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		switch e.Name.Local {
		case "table":
			if !o.table() {
				continue
			}
			if len(b.sheets) == b.lim.Sheets {
				return tooLarge("the workbook has more than %d sheets", b.lim.Sheets)
			}
			b.sheets = append(b.sheets, Sheet{Name: attr(e, "name"), Hidden: o.hidden[attr(e, "style-name")]})
			b.empty = append(b.empty, true)
		case "style":
			o.style = attr(e, "name")
		case "table-properties":
			if attr(e, "display") == "false" {
				o.hidden[o.style] = true
			}
		case "table-cell":
			if n := len(b.empty); n > 0 && (attr(e, "value-type") != "" || attr(e, "formula") != "") {
				b.empty[n-1] = false
			}
		}
	}
}

// odsReader is a walk through the content of an OpenDocument spreadsheet.
type odsReader struct {
	p      *xmlPart
	style  string
	hidden map[string]bool // styles of tables that are not shown
}

func (b *Book) odsReader() (*odsReader, error) {
	p, err := b.zip.xml(odsContent, b.lim.CellLen)
	if err != nil {
		return nil, err
	}
	return &odsReader{p: p, hidden: map[string]bool{}}, nil
}

// table reports whether the table that was just opened is a sheet, and not one
// inside a text or a chart.
func (o *odsReader) table() bool {
	n := len(o.p.open)
	return n == 4 && o.p.open[2] == "spreadsheet"
}

// odsRows reads the rows of a sheet. A row that stands for several alike is
// given that many times.
func (b *Book) odsRows(r *Rows, sheet int) (next func() (Row, error), closes func(), err error) {
	o, err := b.odsReader()
	if err != nil {
		return nil, nil, err
	}
	at, number := -1, 0 // the sheet and the row reached
	var again Row
	repeat := 0
	next = func() (Row, error) {
		if repeat > 0 {
			repeat--
			again.Number++
			return again, nil
		}
		for {
			t, err := o.p.token()
			if err != nil {
				if errors.Is(err, io.EOF) {
					o.p.close()
				}
				return Row{}, err
			}
			switch t := t.(type) {
			case xml.StartElement:
				switch t.Name.Local {
				case "table":
					if o.table() {
						at++
					} else if at == sheet {
						if err := o.p.skip(); err != nil { // inside a cell or a drawing
							return Row{}, err
						}
					}
				case "shapes", "forms", "named-expressions":
					if err := o.p.skip(); err != nil {
						return Row{}, err
					}
				case "table-row":
					if at != sheet {
						continue
					}
					n, err := repeated(t, "number-rows-repeated")
					if err != nil {
						return Row{}, err
					}
					row, err := b.odsRow(r, o, t)
					if err != nil {
						return Row{}, err
					}
					row.Number = number + 1
					if number += n; len(row.Cells) == 0 {
						continue
					}
					if number > b.lim.Rows {
						return Row{}, tooLarge("a sheet has more than %d rows", b.lim.Rows)
					}
					again, repeat = row, n-1
					return row, nil
				}
			case xml.EndElement:
				if t.Name.Local == "table" && at == sheet && len(o.p.open) == 3 {
					// What follows is other sheets: it is read to its end all the
					// same, so that a file that breaks off there is found out.
					at++
				}
			}
		}
	}
	return next, o.p.close, nil
}

func repeated(e xml.StartElement, name string) (int, error) {
	s := attr(e, name)
	if s == "" {
		return 1, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 1<<24 {
		return 0, damaged("the workbook is damaged: a row or cell stands for none, or for too many")
	}
	return n, nil
}

func (b *Book) odsRow(r *Rows, o *odsReader, e xml.StartElement) (Row, error) {
	visible := attr(e, "visibility")
	row := Row{Hidden: visible == "collapse" || visible == "filter"}
	r.cells = r.cells[:0]
	column := 0
	for depth := len(o.p.open); len(o.p.open) >= depth; {
		t, err := o.p.token()
		if err != nil {
			return Row{}, whole(err)
		}
		e, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		if e.Name.Local != "table-cell" && e.Name.Local != "covered-table-cell" {
			if err := o.p.skip(); err != nil {
				return Row{}, err
			}
			continue
		}
		n, err := repeated(e, "number-columns-repeated")
		if err != nil {
			return Row{}, err
		}
		if e.Name.Local == "table-cell" && (spans(e, "number-columns-spanned") || spans(e, "number-rows-spanned")) {
			r.merged++
		}
		c, err := b.odsCell(o, e)
		if err != nil {
			return Row{}, err
		}
		if e.Name.Local == "covered-table-cell" {
			c.Kind = 0 // under a merged cell: not shown
		}
		if c.Kind != 0 {
			if column+n > b.lim.Columns {
				return Row{}, tooLarge("a sheet has more than %d columns", b.lim.Columns)
			}
			for i := range n {
				c.Column = column + i
				r.cells = append(r.cells, c)
			}
		}
		column += n
	}
	row.Cells = r.cells
	return row, nil
}

func spans(e xml.StartElement, name string) bool {
	s := attr(e, name)
	return s != "" && s != "1"
}

// odsCell reads the cell that was just opened.
func (b *Book) odsCell(o *odsReader, e xml.StartElement) (Cell, error) {
	var c Cell
	shown, err := b.odsText(o)
	if err != nil {
		return Cell{}, err
	}
	typ, failed := "", false
	for _, a := range e.Attr {
		switch {
		case a.Name.Local != "value-type":
		case a.Name.Space == "calcext": // LibreOffice's own word for what it shows
			failed = a.Value == "error"
		default:
			typ = a.Value
		}
	}
	c.Formula = attr(e, "formula") != ""
	bad := damaged("the workbook is damaged: a cell does not hold what it says")
	switch {
	case failed:
		c.Kind, c.Text = Failure, errorText(shown)
	case typ == "float" || typ == "currency" || typ == "percentage":
		var l look
		l.percent = typ == "percentage"
		if strings.HasPrefix(shown, "0") && len(shown) < 40 && strings.Trim(shown, "0123456789") == "" {
			l.zeros = len(shown) // the format shows zeros before the number
		}
		if !l.number(&c, attr(e, "value"), false) {
			return Cell{}, bad
		}
	case typ == "date":
		if !isoDate(&c, attr(e, "date-value")) {
			return Cell{}, bad
		}
	case typ == "time":
		if !isoTime(&c, attr(e, "time-value")) {
			return Cell{}, bad
		}
	case typ == "boolean":
		switch attr(e, "boolean-value") {
		case "true":
			c.Kind, c.Text = Bool, "TRUE"
		case "false":
			c.Kind, c.Text = Bool, "FALSE"
		default:
			return Cell{}, bad
		}
	case typ == "string":
		c.Kind, c.Text = Text, shown
		if s := attr(e, "string-value"); s != "" {
			c.Text = s
		}
		if c.Text == "" {
			c.Kind = 0
		}
	case typ == "" || typ == "void":
		if c.Formula {
			c.Kind = Unknown
		}
	default:
		return Cell{}, bad
	}
	return c, nil
}

// odsText returns the text of the cell that was just opened: its paragraphs,
// each on a line, without notes and drawings.
func (b *Book) odsText(o *odsReader) (string, error) {
	var s strings.Builder
	paragraphs, inside := 0, 0
	for depth := len(o.p.open); len(o.p.open) >= depth; {
		t, err := o.p.token()
		if err != nil {
			return "", whole(err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			switch t.Name.Local {
			case "annotation", "frame", "custom-shape", "g", "detective", "ruby-text", "note", "table":
				if err := o.p.skip(); err != nil {
					return "", err
				}
			case "p", "h":
				if inside++; inside == 1 {
					if paragraphs++; paragraphs > 1 {
						s.WriteByte('\n')
					}
				}
			case "s":
				n, err := repeated(t, "c")
				if err != nil || n > b.lim.CellLen {
					return "", damaged("the workbook is damaged: a cell does not hold what it says")
				}
				s.WriteString(strings.Repeat(" ", n))
			case "tab":
				s.WriteByte('\t')
			case "line-break":
				s.WriteByte('\n')
			}
		case xml.EndElement:
			if t.Name.Local == "p" || t.Name.Local == "h" {
				inside--
			}
		case xml.CharData:
			if inside > 0 {
				s.Write(t)
			}
		}
		if s.Len() > b.lim.CellLen {
			return "", tooLarge("a cell of the workbook is longer than %d bytes", b.lim.CellLen)
		}
	}
	return s.String(), nil
}

// isoDate reads a date or a date and time, of no zone or of UTC.
func isoDate(c *Cell, s string) bool {
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04"} {
		t, err := time.Parse(layout, strings.TrimSuffix(s, "Z"))
		if err != nil {
			continue
		}
		if t = t.Round(time.Second); t.Hour() == 0 && t.Minute() == 0 && t.Second() == 0 {
			c.Kind, c.Text = Date, t.Format(time.DateOnly)
		} else {
			c.Kind, c.Text = Moment, t.Format("2006-01-02T15:04:05")
		}
		return true
	}
	if t, err := time.Parse("15:04:05.999999999", strings.TrimPrefix(s, "T")); err == nil {
		c.Kind, c.Text = Time, t.Round(time.Second).Format(time.TimeOnly)
		return true
	}
	return false
}

// isoTime reads a duration such as PT26H30M00S.
func isoTime(c *Cell, s string) bool {
	d, err := time.ParseDuration(strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(s, "-"), "PT")))
	if err != nil || strings.HasPrefix(s, "-") {
		return false
	}
	n := int(d.Round(time.Second) / time.Second)
	c.Kind, c.Text = Time, fmt.Sprintf("%02d:%02d:%02d", n/3600, n/60%60, n%60)
	return true
}
