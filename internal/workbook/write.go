package workbook

import (
	"archive/zip"
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Writer writes an XLSX workbook of one sheet (ECMA-376 part 1), row by row. The
// sheet stands in a file until Close: memory does not grow with it.
type Writer struct {
	title  string
	f      *os.File
	w      *bufio.Writer
	row    int
	styles []string // codes of number formats; the first is style 1
}

// A Formatted value is shown under a number format's code, such as yyyy-mm-dd. Value
// is a float64 or a [time.Time], whose zone does not count.
type Formatted struct {
	Value any
	Code  string
}

// Formula is a formula without a value, such as NA().
type Formula string

// NewWriter begins a workbook whose sheet has a title. The sheet stands in folder until
// Close.
func NewWriter(title, folder string) (*Writer, error) {
	f, err := os.CreateTemp(folder, ".sheet-*")
	if err != nil {
		return nil, fmt.Errorf("write workbook: %w", err)
	}
	// Where the system allows it, nothing is left behind whatever happens.
	os.Remove(f.Name())
	w := &Writer{title: title, f: f, w: bufio.NewWriter(f)}
	w.w.WriteString(xml.Header + `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>`)
	return w, nil
}

// Row writes the cells of a row, which must be below the last: string, float64, bool,
// Formatted, Formula, or nil for none.
func (w *Writer) Row(number int, cells []any) error {
	if number <= w.row {
		panic("internal error: rows of a workbook out of order")
	}
	w.row = number
	fmt.Fprintf(w.w, `<row r="%d">`, number)
	for i, c := range cells {
		if c == nil {
			continue
		}
		fmt.Fprintf(w.w, `<c r="%s%d"`, columnName(i), number)
		style := 0
		if f, ok := c.(Formatted); ok {
			c, style = f.Value, w.style(f.Code)
		}
		if at, ok := c.(time.Time); ok {
			if c = serial(at); c == nil {
				c, style = at.Format(time.DateOnly), 0 // before spreadsheets' first day
			}
		}
		if style > 0 {
			fmt.Fprintf(w.w, ` s="%d"`, style)
		}
		switch v := c.(type) {
		case string:
			w.w.WriteString(` t="inlineStr"><is><t xml:space="preserve">`)
			if err := xml.EscapeText(w.w, []byte(escaped(v))); err != nil {
				return fmt.Errorf("write workbook: row %d: %w", number, err)
			}
			w.w.WriteString(`</t></is>`)
		case float64:
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("write workbook: row %d: no number", number)
			}
			w.w.WriteString(`><v>` + strconv.FormatFloat(v, 'g', -1, 64) + `</v>`)
		case bool:
			n := "0"
			if v {
				n = "1"
			}
			w.w.WriteString(` t="b"><v>` + n + `</v>`)
		case Formula:
			w.w.WriteString(`><f>`)
			xml.EscapeText(w.w, []byte(v))
			w.w.WriteString(`</f>`)
		default:
			panic(fmt.Sprintf("internal error: a cell cannot hold a %T", c))
		}
		w.w.WriteString(`</c>`)
	}
	if _, err := w.w.WriteString(`</row>`); err != nil {
		return fmt.Errorf("write workbook: row %d: %w", number, err)
	}
	return nil
}

func (w *Writer) style(code string) int {
	for i, c := range w.styles {
		if c == code {
			return i + 1
		}
	}
	w.styles = append(w.styles, code)
	return len(w.styles)
}

// Close writes the workbook to out.
func (w *Writer) Close(out io.Writer) (err error) {
	defer func() {
		err = errors.Join(err, w.f.Close())
		os.Remove(w.f.Name()) // where it could not be done at the beginning
		if err != nil {
			err = fmt.Errorf("write workbook: %w", err)
		}
	}()
	w.w.WriteString(`</sheetData></worksheet>`)
	if err := w.w.Flush(); err != nil {
		return err
	}
	if _, err := w.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	const (
		main  = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
		links = "http://schemas.openxmlformats.org/package/2006/relationships"
		kind  = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
		app   = "application/vnd.openxmlformats-officedocument.spreadsheetml."
	)
	var title, formats, xfs strings.Builder
	xml.EscapeText(&title, []byte(w.title))
	for i, code := range w.styles {
		var c strings.Builder
		xml.EscapeText(&c, []byte(code))
		fmt.Fprintf(&formats, `<numFmt numFmtId="%d" formatCode="%s"/>`, 164+i, &c)
		fmt.Fprintf(&xfs, `<xf numFmtId="%d" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>`, 164+i)
	}
	z := zip.NewWriter(out)
	for _, part := range []struct{ name, text string }{
		{"[Content_Types].xml", `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
			`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>` +
			`<Override PartName="/xl/workbook.xml" ContentType="` + app + `sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="` + app + `worksheet+xml"/>` +
			`<Override PartName="/xl/styles.xml" ContentType="` + app + `styles+xml"/></Types>`},
		{"_rels/.rels", `<Relationships xmlns="` + links + `"><Relationship Id="rId1" Type="` + kind + `/officeDocument" Target="xl/workbook.xml"/></Relationships>`},
		{"xl/workbook.xml", `<workbook xmlns="` + main + `" xmlns:r="` + kind + `"><sheets><sheet name="` + title.String() + `" sheetId="1" r:id="rId1"/></sheets></workbook>`},
		{"xl/_rels/workbook.xml.rels", `<Relationships xmlns="` + links + `"><Relationship Id="rId1" Type="` + kind + `/worksheet" Target="worksheets/sheet1.xml"/>` +
			`<Relationship Id="rId2" Type="` + kind + `/styles" Target="styles.xml"/></Relationships>`},
		{"xl/styles.xml", `<styleSheet xmlns="` + main + `">` + fmt.Sprintf(`<numFmts count="%d">%s</numFmts>`, len(w.styles), &formats) +
			`<fonts count="1"><font><sz val="11"/><name val="Calibri"/></font></fonts><fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills>` +
			`<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders><cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>` +
			fmt.Sprintf(`<cellXfs count="%d"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>%s</cellXfs>`, 1+len(w.styles), &xfs) + `</styleSheet>`},
	} {
		text := xml.Header + part.text
		if len(w.styles) == 0 {
			text = strings.Replace(text, `<numFmts count="0"></numFmts>`, "", 1) // an empty list is not allowed
		}
		p, err := z.Create(part.name)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(p, text); err != nil {
			return err
		}
	}
	p, err := z.Create("xl/worksheets/sheet1.xml")
	if err != nil {
		return err
	}
	if _, err := io.Copy(p, w.f); err != nil {
		return err
	}
	return z.Close()
}

// columnName returns the letters of a column, from 0.
func columnName(i int) string {
	name := ""
	for i++; i > 0; i = (i - 1) / 26 {
		name = string(rune('A'+(i-1)%26)) + name
	}
	return name
}

// serial returns a time as the days that spreadsheets count, from 1 on 1 January
// 1900 and over a 29 February that 1900 did not have; nil before.
func serial(t time.Time) any {
	t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	days := float64(t.Unix()-time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC).Unix())/86400 + float64(t.Nanosecond())/86400e9
	if days < 61 {
		days--
	}
	if days < 1 {
		return nil
	}
	return days
}

var looksEscaped = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`_x[0-9a-fA-F]{4}_`) })

// escaped writes what XML cannot hold, and what would be read as such, as _xHHHH_
// (ECMA-376 part 1, 22.9.2.19).
func escaped(s string) string {
	if strings.Contains(s, "_x") {
		s = looksEscaped().ReplaceAllStringFunc(s, func(m string) string { return "_x005F" + m })
	}
	if strings.IndexFunc(s, unwritable) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unwritable(r) {
			fmt.Fprintf(&b, "_x%04X_", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unwritable(r rune) bool {
	return r < 0x20 && r != '\t' && r != '\n' || r == 0xFFFE || r == 0xFFFF
}
