package workbook

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
)

// made is a workbook that excelize writes, which has nothing to do with the
// reader that is tried here.
func made(t testing.TB, fill func(f *excelize.File)) []byte {
	t.Helper()
	f := excelize.NewFile()
	defer f.Close()
	fill(f)
	b, err := f.WriteToBuffer()
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func set(t testing.TB, f *excelize.File, cell string, v any, format string) {
	t.Helper()
	if err := f.SetCellValue("Sheet1", cell, v); err != nil {
		t.Fatal(err)
	}
	if format == "" {
		return
	}
	style, err := f.NewStyle(&excelize.Style{CustomNumFmt: &format})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.SetCellStyle("Sheet1", cell, cell, style); err != nil {
		t.Fatal(err)
	}
}

// all is every cell of a sheet, a row to a line: "row: column=kind text".
func all(b []byte, sheet int, lim Limits) (string, error) {
	book, err := Open(bytes.NewReader(b), int64(len(b)), lim)
	if err != nil {
		return "", err
	}
	if sheet >= len(book.Sheets()) {
		return "", fmt.Errorf("no sheet %d", sheet)
	}
	rows, err := book.Rows(sheet)
	if err != nil {
		return "", err
	}
	var s strings.Builder
	for {
		row, err := rows.Next()
		if err == io.EOF {
			return s.String(), nil
		}
		if err != nil {
			return s.String(), err
		}
		fmt.Fprintf(&s, "%d:", row.Number)
		for _, c := range row.Cells {
			fmt.Fprintf(&s, " %d%c%s", c.Column, " TNDMCBF?"[c.Kind], c.Text)
			if c.Code != "" {
				s.WriteString("(" + c.Code + ")")
			}
			for _, m := range []struct {
				on   bool
				mark string
			}{{c.Formula, "="}, {c.Percent, "%"}, {c.Long, "!"}, {c.Hidden, "~"}} {
				if m.on {
					s.WriteString(m.mark)
				}
			}
		}
		s.WriteByte('\n')
	}
}

func TestCellsOfXLSX(t *testing.T) {
	b := made(t, func(f *excelize.File) {
		noon := time.Date(2017, 12, 31, 12, 30, 0, 0, time.UTC)
		set(t, f, "A1", "Ref", "")
		set(t, f, "B1", " spaced ", "")
		set(t, f, "A2", 100023000000, "")
		set(t, f, "B2", 0.1, "")
		set(t, f, "C2", 1.1000000000000001, "")
		set(t, f, "D2", 7, "00000")
		set(t, f, "E2", 0.25, "0%")
		set(t, f, "F2", 1234.5, "£#,##0.00")
		set(t, f, "G2", true, "")
		set(t, f, "A3", 43100, "dd/mm/yyyy")
		set(t, f, "B3", noon, "yyyy-mm-dd hh:mm")
		set(t, f, "C3", noon, "dd/mm/yyyy")
		set(t, f, "D3", 0.75, "hh:mm")
		set(t, f, "E3", 1.5, "[h]:mm")
		set(t, f, "F3", 43100, "[$-F800]dddd, mmmm dd, yyyy")
		set(t, f, "G3", 43100, `0.00 "d"`)
		set(t, f, "H3", 12, `mmm`)
		set(t, f, "A5", "line\nbreak", "")
		if err := f.SetCellRichText("Sheet1", "B5", []excelize.RichTextRun{{Text: "rich "}, {Text: "text", Font: &excelize.Font{Bold: true}}}); err != nil {
			t.Fatal(err)
		}
		f.SetCellFormula("Sheet1", "C5", "A2*2")
		if err := f.SetRowVisible("Sheet1", 5, false); err != nil {
			t.Fatal(err)
		}
	})
	want := "1: 0TRef 1T spaced \n" +
		"2: 0N100023000000 1N0.1 2N1.1 3N7(00007) 4N0.25% 5N1234.5 6BTRUE\n" +
		"3: 0D2017-12-31 1M2017-12-31T12:30:00 2D2017-12-31~ 3C18:00:00 4C36:00:00 5D2017-12-31 6N43100 7D1900-01-12\n" +
		"5: 0Tline\nbreak 1Trich text 2?=\n"
	if got, err := all(b, 0, Limits{}); got != want || err != nil {
		t.Errorf("%v\ngot\n%swant\n%s", err, got, want)
	}
}

func TestDateSystems(t *testing.T) {
	for _, c := range []struct {
		y1904        bool
		serial, want string
	}{
		{false, "1", "D1900-01-01"}, {false, "59", "D1900-02-28"}, {false, "60", "Fa day that no calendar has"}, {false, "61", "D1900-03-01"},
		{false, "0", "Fa day that no calendar has"}, {false, "-1", "Fa day that no calendar has"}, {false, "2958465", "D9999-12-31"}, {false, "2958466", "Fa day that no calendar has"},
		{false, "43100.999999", "D2018-01-01"},
		{true, "0", "D1904-01-01"}, {true, "1", "D1904-01-02"}, {true, "41638", "D2017-12-31"}, {true, "2958465", "Fa day that no calendar has"},
	} {
		b := xlsx(`<row r="1"><c r="A1" s="1"><v>`+c.serial+`</v></c></row>`, "", c.y1904)
		got, err := all(b, 0, Limits{})
		if want := "1: 0" + c.want; err != nil || strings.TrimSuffix(strings.TrimSpace(got), "~") != want {
			t.Errorf("%s in 1904 %v: %s%v, want %s", c.serial, c.y1904, got, err, want)
		}
	}
}

// xlsx is a workbook of one sheet with the given rows and shared texts. Style 1
// is a date.
func xlsx(rows, texts string, y1904 bool) []byte {
	sheet := `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>` + rows + `</sheetData></worksheet>`
	return zipped(map[string]string{
		"[Content_Types].xml":        `<Types/>`,
		"xl/workbook.xml":            fmt.Sprintf(`<workbook xmlns:r="x"><workbookPr date1904="%v"/><sheets><sheet name="Data" sheetId="1" r:id="rId1"/></sheets></workbook>`, y1904),
		"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="rId1" Type="http://x/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="rId2" Type="http://x/styles" Target="/xl/styles.xml"/><Relationship Id="rId3" Type="http://x/sharedStrings" Target="sharedStrings.xml"/></Relationships>`,
		"xl/styles.xml":              `<styleSheet><cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>`,
		"xl/sharedStrings.xml":       `<sst>` + texts + `</sst>`,
		"xl/worksheets/sheet1.xml":   sheet,
	})
}

func ods(body string) []byte {
	return zipped(map[string]string{
		"mimetype":              "application/vnd.oasis.opendocument.spreadsheet",
		"META-INF/manifest.xml": `<manifest:manifest xmlns:manifest="m"/>`,
		"content.xml": `<?xml version="1.0" encoding="UTF-8"?><office:document-content xmlns:office="o" xmlns:table="t" xmlns:text="x" xmlns:calcext="c" xmlns:style="s"><office:automatic-styles>` +
			`<style:style style:name="ta2" style:family="table"><style:table-properties table:display="false"/></style:style></office:automatic-styles><office:body><office:spreadsheet>` + body + `</office:spreadsheet></office:body></office:document-content>`,
	})
}

func zipped(parts map[string]string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range parts {
		w, _ := z.Create(name)
		io.WriteString(w, text)
	}
	z.Close()
	return b.Bytes()
}

func TestCellsOfHandMadeXLSX(t *testing.T) {
	for _, c := range []struct{ name, rows, texts, want string }{
		{"texts of all kinds", `<row><c t="s"><v>0</v></c><c t="s"><v>1</v></c><c t="inlineStr"><is><t>in</t><r><t>line</t></r></is></c><c t="str"><f>A</f><v>made</v></c></row>`,
			`<si><t>plain</t></si><si><r><t>ri</t></r><r><t>ch</t></r><rPh sb="0"><t>no</t></rPh></si>`, "1: 0Tplain 1Trich 2Tinline 3Tmade=\n"},
		{"escapes", `<row r="3"><c r="B3" t="s"><v>0</v></c></row>`, `<si><t>a_x000D_` + "\n" + `b &amp; _x0041_ &lt;_xZZZZ_</t></si>`, "3: 1Ta\nb & A <_xZZZZ_\n"},
		{"places", `<row r="2"><c r="C2"><v>1</v></c><c><v>2</v></c><c r="AA2"><v>3</v></c></row><row r="10"><c><v>4</v></c></row>`, "", "2: 2N1 3N2 26N3\n10: 0N4\n"},
		{"cells out of order", `<row><c r="B1"><v>2</v></c><c r="A1"><v>1</v></c></row>`, "", "1: 0N1 1N2\n"},
		{"formulas", `<row><c><f>1+1</f><v>2</v></c><c><f>1+1</f></c><c t="e"><f>1/0</f><v>#DIV/0!</v></c><c t="str"><f>""</f><v></v></c></row>`, "", "1: 0N2= 1?= 2F#DIV/0!=\n"},
		{"numbers", `<row><c><v>1.00023E+11</v></c><c><v>1E-3</v></c><c><v>0.30000000000000004</v></c><c><v>-12.50</v></c><c><v>1234567890123456</v></c><c><v>331213.00000000006</v></c></row>`, "",
			"1: 0N100023000000 1N0.001 2N0.3 3N-12.5 4N1234567890123456! 5N331213\n"},
		{"an ISO date, as strict workbooks have", `<row><c t="d"><v>2017-12-31T00:00:00</v></c><c t="d"><v>2017-12-31T09:05:00</v></c></row>`, "", "1: 0D2017-12-31 1M2017-12-31T09:05:00\n"},
		{"blank", `<row r="1"/><row r="2"><c s="1"/><c><v/></c></row><row r="9"><c t="b"><v>0</v></c></row>`, "", "9: 0BFALSE\n"},
		{"prefixed and extended", `<row><c><v>1</v><extLst><ext><v>9</v></ext></extLst></c></row>`, "", "1: 0N1\n"},
	} {
		if got, err := all(xlsx(c.rows, c.texts, false), 0, Limits{}); got != c.want || err != nil {
			t.Errorf("%s: %v\ngot  %swant %s", c.name, err, got, c.want)
		}
	}
}

func TestCellsOfODS(t *testing.T) {
	row := func(cells string) string {
		return `<table:table table:name="One"><table:table-column/><table:table-row>` + cells + `</table:table-row><table:table-row table:number-rows-repeated="1048570"><table:table-cell table:number-columns-repeated="16384"/></table:table-row></table:table>`
	}
	for _, c := range []struct{ name, body, want string }{
		{"texts", row(`<table:table-cell office:value-type="string"><office:annotation><text:p>note</text:p></office:annotation><text:p>a<text:s text:c="2"/>b</text:p><text:p><text:span>c</text:span></text:p></table:table-cell><table:table-cell/><table:table-cell office:value-type="string" office:string-value="given"><text:p>shown</text:p></table:table-cell>`), "1: 0Ta  b\nc 2Tgiven\n"},
		{"numbers", row(`<table:table-cell office:value-type="float" office:value="1.1000000000000001"><text:p>1.1</text:p></table:table-cell><table:table-cell office:value-type="float" office:value="7"><text:p>00007</text:p></table:table-cell><table:table-cell office:value-type="currency" office:currency="GBP" office:value="1234.5"><text:p>£1,234.50</text:p></table:table-cell><table:table-cell office:value-type="percentage" office:value="0.25"><text:p>25%</text:p></table:table-cell>`), "1: 0N1.1 1N7(00007) 2N1234.5 3N0.25%\n"},
		{"dates", row(`<table:table-cell office:value-type="date" office:date-value="2017-12-31"><text:p>31/12/17</text:p></table:table-cell><table:table-cell office:value-type="date" office:date-value="2017-12-31T12:30:00"/><table:table-cell office:value-type="time" office:time-value="PT26H30M00S"/><table:table-cell office:value-type="boolean" office:boolean-value="true"/>`), "1: 0D2017-12-31 1M2017-12-31T12:30:00 2C26:30:00 3BTRUE\n"},
		{"formulas", row(`<table:table-cell table:formula="of:=1+1" office:value-type="float" office:value="2"/><table:table-cell table:formula="of:=NA()" office:value-type="string" office:string-value="" calcext:value-type="error"><text:p>#N/A</text:p></table:table-cell><table:table-cell table:formula="of:=X()"/>`), "1: 0N2= 1F#N/A= 2?=\n"},
		{"repeats and merges", row(`<table:table-cell table:number-columns-repeated="2" office:value-type="float" office:value="5"/><table:table-cell table:number-columns-spanned="2" office:value-type="string"><text:p>m</text:p></table:table-cell><table:covered-table-cell office:value-type="string"><text:p>hid</text:p></table:covered-table-cell><table:table-cell office:value-type="float" office:value="6"/>`), "1: 0N5 1N5 2Tm 4N6\n"},
		{"rows that stand for several", `<table:table table:name="One"><table:table-header-rows><table:table-row><table:table-cell office:value-type="string"><text:p>H</text:p></table:table-cell></table:table-row></table:table-header-rows><table:table-row table:number-rows-repeated="2"><table:table-cell office:value-type="float" office:value="1"/></table:table-row><table:table-row table:number-rows-repeated="3"/><table:table-row><table:table-cell office:value-type="float" office:value="2"/></table:table-row></table:table>`, "1: 0TH\n2: 0N1\n3: 0N1\n7: 0N2\n"},
	} {
		if got, err := all(ods(c.body), 0, Limits{}); got != c.want || err != nil {
			t.Errorf("%s: %v\ngot  %swant %s", c.name, err, got, c.want)
		}
	}
}

func TestSheets(t *testing.T) {
	x := made(t, func(f *excelize.File) {
		f.SetCellValue("Sheet1", "A1", "x")
		f.NewSheet("Leer & mehr")
		f.NewSheet("Hidden")
		f.SetCellValue("Hidden", "B2", "y")
		f.SetSheetVisible("Hidden", false)
		f.MergeCell("Sheet1", "A1", "B2")
	})
	cell := `<table:table-row><table:table-cell office:value-type="float" office:value="1"/></table:table-row>`
	o := ods(`<table:table table:name="Sheet1">` + cell + `</table:table><table:table table:name="Leer &amp; mehr"><table:table-row><table:table-cell/></table:table-row></table:table><table:table table:name="Hidden" table:style-name="ta2">` + cell + `</table:table>`)
	for format, b := range map[string][]byte{"XLSX": x, "ODS": o} {
		book, err := Open(bytes.NewReader(b), int64(len(b)), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i, s := range book.Sheets() {
			empty, err := book.Empty(i)
			got = append(got, fmt.Sprint(s.Name, " ", s.Hidden, " ", empty, " ", err))
		}
		if want := "Sheet1 false false <nil>, Leer & mehr false true <nil>, Hidden true false <nil>"; strings.Join(got, ", ") != want || book.Format() != format {
			t.Errorf("%s: %v, want %s", book.Format(), got, want)
		}
		if got, err := all(b, 2, Limits{}); err != nil || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: %q %v", format, got, err)
		}
	}
	book, _ := Open(bytes.NewReader(x), int64(len(x)), Limits{})
	rows, _ := book.Rows(0)
	for _, err := rows.Next(); err == nil; _, err = rows.Next() {
	}
	if rows.Merged() != 1 {
		t.Errorf("%d merged cells, want 1", rows.Merged())
	}
}

// What excelize reads of its own workbooks is what is read here.
func TestAgainstAnotherReader(t *testing.T) {
	b := made(t, func(f *excelize.File) {
		w, err := f.NewStreamWriter("Sheet1")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 300 {
			w.SetRow(fmt.Sprintf("A%d", i+1), []any{fmt.Sprintf("NM/%03d", i), i * 37, nil, float64(i) / 8, fmt.Sprint(strings.Repeat("x ", i%7), "<&>")})
		}
		w.Flush()
	})
	f, err := excelize.OpenReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want, err := f.GetRows("Sheet1", excelize.Options{RawCellValue: true})
	if err != nil {
		t.Fatal(err)
	}
	book, err := Open(bytes.NewReader(b), int64(len(b)), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := book.Rows(0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		row, err := rows.Next()
		if err != nil {
			t.Fatal(err)
		}
		got := make([]string, len(want[i]))
		for _, c := range row.Cells {
			got[c.Column] = c.Text
		}
		if strings.Join(got, "|") != strings.Join(want[i], "|") || row.Number != i+1 {
			t.Fatalf("row %d: %q, want %q", row.Number, got, want[i])
		}
	}
	if _, err := rows.Next(); err != io.EOF {
		t.Error(err)
	}
}

func TestHostileWorkbooks(t *testing.T) {
	long := strings.Repeat("A", 3<<20)
	for _, c := range []struct {
		name string
		b    []byte
		lim  Limits
		want string
	}{
		{"no archive", []byte("PK\x03\x04 and nothing"), Limits{}, "breaks off or is damaged"},
		{"an archive of something else", zipped(map[string]string{"data.csv": "a,b"}), Limits{}, "zip archive and no workbook"},
		{"a text document", zipped(map[string]string{"word/document.xml": "<w/>"}), Limits{}, "text document"},
		{"XLSB", zipped(map[string]string{"xl/workbook.bin": ""}), Limits{}, "XLSB"},
		{"Numbers", zipped(map[string]string{"Index/Document.iwa": ""}), Limits{}, "Numbers"},
		{"locked ODS", zipped(map[string]string{"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": "\x01", "META-INF/manifest.xml": "<manifest><encryption-data/></manifest>"}), Limits{}, "password"},
		{"a bomb", xlsx(`<row><c t="str"><v>`+long+`</v></c></row>`, "", false), Limits{Unzipped: 1 << 20}, "unpacks to more than 1 MiB"},
		{"a bomb in a cell", xlsx(`<row><c t="str"><v>`+long+`</v></c></row>`, "", false), Limits{}, "longer than"},
		{"a bomb in a tag", xlsx(`<row x="`+long+`"/>`, "", false), Limits{}, "longer than"},
		{"a bomb of runs", xlsx(``, `<si>`+strings.Repeat(`<r><t>`+long[:1<<10]+`</t></r>`, 1<<11)+`</si>`, false), Limits{}, "longer than"},
		{"too many texts", xlsx(``, strings.Repeat(`<si><t>x</t></si>`, 1000), false), Limits{Texts: 1000}, "texts of the workbook"},
		{"too many rows", xlsx(`<row r="1048577"><c><v>1</v></c></row>`, "", false), Limits{}, "rows"},
		{"too many columns", xlsx(`<row><c r="XFE1"><v>1</v></c></row>`, "", false), Limits{}, "columns"},
		{"too many cells", xlsx(`<row><c><v>1</v></c><c><v>1</v></c></row>`, "", false), Limits{Cells: 1}, "cells"},
		{"entities", xlsx(`<row><c t="str"><v>&lol;</v></c></row>`, "", false), Limits{}, "no whole XML"},
		{"a document type", zipped(map[string]string{"xl/workbook.xml": `<!DOCTYPE x [<!ENTITY a "b">]><workbook/>`, "xl/_rels/workbook.xml.rels": "<R/>"}), Limits{}, "document type"},
		{"a sheet that breaks off", xlsx(`<row><c><v>1</v></c></row></sheetData>`, "", false), Limits{}, "no whole XML"},
		{"nesting", xlsx(strings.Repeat("<a>", 1000)+strings.Repeat("</a>", 1000), "", false), Limits{}, "nested too deep"},
		{"rows out of order", xlsx(`<row r="2"><c><v>1</v></c></row><row r="1"><c><v>1</v></c></row>`, "", false), Limits{}, "out of order"},
		{"a cell twice", xlsx(`<row><c r="A1"><v>1</v></c><c r="A1"><v>2</v></c></row>`, "", false), Limits{}, "twice"},
		{"a text that is not there", xlsx(`<row><c t="s"><v>0</v></c></row>`, "", false), Limits{}, "does not hold what it says"},
		{"no number", xlsx(`<row><c><v>1,5</v></c></row>`, "", false), Limits{}, "does not hold what it says"},
		{"a style that is not there", xlsx(`<row><c s="7"><v>1</v></c></row>`, "", false), Limits{}, "style"},
		{"UTF-16 inside", zipped(map[string]string{"xl/workbook.xml": `<?xml version="1.0" encoding="UTF-16"?><workbook/>`, "xl/_rels/workbook.xml.rels": "<R/>"}), Limits{}, ""},
		{"repeats without end", ods(`<table:table table:name="x"><table:table-row table:number-rows-repeated="1048576"><table:table-cell table:number-columns-repeated="16384" office:value-type="float" office:value="1"/></table:table-row></table:table>`), Limits{Cells: 1 << 20}, "more than 1048576 cells"},
		{"spaces without end", ods(`<table:table table:name="x"><table:table-row><table:table-cell office:value-type="string"><text:p><text:s text:c="16000000"/></text:p></table:table-cell></table:table-row></table:table>`), Limits{}, "does not hold"},
	} {
		_, err := all(c.b, 0, c.lim)
		var own *Error
		if !errors.As(err, &own) || !strings.Contains(own.Detail, c.want) || own.Fix == "" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	whole := xlsx(`<row><c><v>1</v></c></row>`, "", false)
	for _, n := range []int{0, 4, 40, len(whole) / 2, len(whole) - 1} {
		if _, err := all(whole[:n], 0, Limits{}); err == nil {
			t.Errorf("a workbook of which %d bytes came was read", n)
		}
	}
}

// The error of whoever gives the bytes comes through as it is: a caller stops
// reading by it.
func TestReaderErrorComesThrough(t *testing.T) {
	b := xlsx(strings.Repeat(`<row><c t="str"><v>`+strings.Repeat("z y x ", 500)+`</v></c></row>`, 100), "", false)
	stop := errors.New("stop")
	for n := 1; ; n++ {
		in := &failing{ReaderAt: bytes.NewReader(b), left: n, err: stop}
		book, err := Open(in, int64(len(b)), Limits{})
		if err == nil {
			var rows *Rows
			if rows, err = book.Rows(0); err == nil {
				for err == nil {
					_, err = rows.Next()
				}
			}
		}
		if in.left > 0 && err == io.EOF && n > 10 {
			return // all was read before it could fail
		}
		if !errors.Is(err, stop) {
			t.Fatalf("at read %d: %v", n, err)
		}
	}
}

// failing fails from its last read on.
type failing struct {
	io.ReaderAt
	left int
	err  error
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if f.left--; f.left <= 0 {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(p, off)
}

func check(t *testing.T, b []byte) {
	book, err := Open(bytes.NewReader(b), int64(len(b)), Limits{Unzipped: 8 << 20, Cells: 50_000, CellLen: 1 << 16})
	if err != nil {
		return
	}
	for i := range book.Sheets() {
		rows, err := book.Rows(i)
		if err != nil {
			continue
		}
		last, count := 0, 0
		for {
			row, err := rows.Next()
			if err != nil {
				var own *Error
				if err != io.EOF && !errors.As(err, &own) {
					t.Fatalf("an error in nobody's words: %v", err)
				}
				break
			}
			if row.Number <= last || len(row.Cells) == 0 {
				t.Fatalf("row %d after row %d with %d cells", row.Number, last, len(row.Cells))
			}
			last = row.Number
			column := -1
			for _, c := range row.Cells {
				if c.Column <= column || c.Kind == 0 || c.Kind > Unknown || len(c.Text) > 1<<17 {
					t.Fatalf("row %d: cell %+v after column %d", row.Number, c, column)
				}
				column = c.Column
				if c.Kind == Number {
					if again, _, ok := plain(c.Text); !ok || again != c.Text {
						t.Fatalf("number %q reads as %q", c.Text, again)
					}
				}
			}
			if count += len(row.Cells); count > 50_000 {
				t.Fatal("more cells than the limit")
			}
		}
	}
}

func FuzzXLSX(f *testing.F) {
	f.Add(`<row r="1"><c r="A1" t="s"><v>0</v></c><c s="1"><f>A1</f><v>43100.5</v></c></row>`, `<si><t>a</t></si>`, `<numFmt numFmtId="164" formatCode="[h]:mm;@"/>`)
	f.Add(`<row><c t="inlineStr"><is><t>_x000D_</t></is></c><c t="e"><v>#REF!</v></c><c t="d"><v>2017-12-31</v></c></row><mergeCell/>`, `<si><r><t>a</t></r></si>`, ``)
	f.Add(`<row r="3"><c r="ZZ3"><v>-1.5E-7</v></c></row>`, ``, `<x>`)
	f.Fuzz(func(t *testing.T, rows, texts, formats string) {
		check(t, xlsx(rows, texts, len(rows)%2 == 0))
		lookOf(formats)
	})
}

func FuzzODS(f *testing.F) {
	f.Add(`<table:table table:name="x"><table:table-row table:number-rows-repeated="3"><table:table-cell office:value-type="float" office:value="1.5" table:number-columns-repeated="2"><text:p>1.5</text:p></table:table-cell></table:table-row></table:table>`)
	f.Add(`<table:table><table:table-row><table:table-cell office:value-type="date" office:date-value="2017-12-31T10:00:00.5"/><table:covered-table-cell/></table:table-row></table:table>`)
	f.Fuzz(func(t *testing.T, body string) { check(t, ods(body)) })
}

func FuzzArchive(f *testing.F) {
	f.Add(xlsx(`<row><c><v>1</v></c></row>`, "", false))
	f.Add(ods(`<table:table/>`))
	f.Add(zipped(map[string]string{"data.csv": "a,b"}))
	f.Fuzz(func(t *testing.T, b []byte) { check(t, b) })
}
