package export

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/intake"
)

// What one sheet holds.
const (
	maxSheetRows = 1 << 20 // the headings are one of them
	maxSheetCols = 1 << 14
	maxCellText  = 32767 // UTF-16 units
)

// xlsx writes a workbook of one sheet (ECMA-376) as it goes: a row is in the
// zip before the next is asked for. Texts stand in their cells and not in a
// table of shared ones, which would have to be held.
type xlsx struct {
	c    *columns
	zip  *zip.Writer
	w    *bufio.Writer
	refs []string // the letters of each column
	rows int
	b    bytes.Buffer
}

const xmlHead = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"

// The parts of a workbook beside its sheet.
var workbookParts = []struct{ name, text string }{
	{"[Content_Types].xml", `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>` +
		`<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>`},
	{"_rels/.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>`},
	{"xl/workbook.xml", `<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="records" sheetId="1" r:id="rId1"/></sheets></workbook>`},
	{"xl/_rels/workbook.xml.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>`},
}

func newXLSX(w io.Writer, c *columns) (*xlsx, error) {
	if len(c.places) > maxSheetCols {
		return nil, fmt.Errorf("write XLSX: a sheet has %d columns and the standard %d places", maxSheetCols, len(c.places))
	}
	x := &xlsx{c: c, zip: zip.NewWriter(w)}
	for _, p := range workbookParts {
		f, err := x.zip.Create(p.name)
		if err == nil {
			_, err = io.WriteString(f, xmlHead+p.text)
		}
		if err != nil {
			return nil, err
		}
	}
	f, err := x.zip.Create("xl/worksheets/sheet1.xml")
	if err != nil {
		return nil, err
	}
	x.w = bufio.NewWriterSize(f, 64<<10)
	x.w.WriteString(xmlHead + `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews><sheetData>`)
	heads := intake.ExportHeadings(c.places)
	for i := range heads {
		x.refs = append(x.refs, letters(i))
	}
	return x, x.row(func(i int) (string, bool) { return heads[i], false })
}

func (x *xlsx) write(r Record) error {
	row := x.c.row(r.Body)
	return x.row(func(i int) (string, bool) { return x.c.cell(x.c.places[i], row[i]) })
}

var errSheetFull = errors.New("a sheet holds 1,048,575 records: export as csv or parquet, or fewer with --where")

// row writes a row of cells.
func (x *xlsx) row(cell func(int) (text string, number bool)) error {
	if x.rows++; x.rows > maxSheetRows {
		return errSheetFull
	}
	n := strconv.Itoa(x.rows)
	x.b.Reset()
	x.b.WriteString(`<row r="` + n + `">`)
	for i, ref := range x.refs {
		text, number := cell(i)
		if text == "" {
			continue
		}
		if number && plainNumber(text) {
			x.b.WriteString(`<c r="` + ref + n + `"><v>` + text + `</v></c>`)
			continue
		}
		if len(text) > maxCellText && utf16Len(text) > maxCellText {
			return fmt.Errorf("the text under %q is longer than the %d characters that a cell holds: export as csv or parquet", x.c.places[i].To, maxCellText)
		}
		x.b.WriteString(`<c r="` + ref + n + `" t="inlineStr"><is><t xml:space="preserve">`)
		if err := xml.EscapeText(&x.b, []byte(escapeControls(text))); err != nil {
			return err
		}
		x.b.WriteString(`</t></is></c>`)
	}
	x.b.WriteString("</row>")
	_, err := x.w.Write(x.b.Bytes())
	return err
}

func (x *xlsx) close() error {
	x.w.WriteString("</sheetData></worksheet>")
	return errors.Join(x.w.Flush(), x.zip.Close())
}

// plainNumber reports whether a spreadsheet, which has doubles, holds a number
// to its last digit.
func plainNumber(s string) bool {
	digits := strings.TrimLeft(strings.ReplaceAll(strings.TrimPrefix(s, "-"), ".", ""), "0")
	return len(digits) <= 15 && !strings.ContainsAny(s, "eE")
}

func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xFFFF {
			n++
		}
	}
	return n
}

// escapeControls writes a character that XML does not have as ECMA-376 part 1,
// section 22.4.2.4 does: _x0001_. An underscore that looks like the start of
// one is escaped likewise.
func escapeControls(s string) string {
	plain := !strings.Contains(s, "_x")
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' || s[i] == '\t' || s[i] == '\n'
	}
	if plain && !strings.ContainsAny(s, "\uFFFE\uFFFF") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '_' && strings.HasPrefix(s[i:], "_x") && len(s)-i >= 7 && s[i+6] == '_':
			b.WriteString("_x005F_")
		case r < ' ' && r != '\t' && r != '\n', r == 0xFFFE, r == 0xFFFF:
			fmt.Fprintf(&b, "_x%04X_", r)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// letters names a column as sheets do: A, B, …, Z, AA.
func letters(i int) string {
	s := ""
	for i++; i > 0; i = (i - 1) / 26 {
		s = string(rune('A'+(i-1)%26)) + s
	}
	return s
}
