package intake_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/node/name"
)

// workbookOf is an XLSX workbook with the given rows on its first sheet.
func workbookOf(t testing.TB, more func(f *excelize.File), rows ...[]any) []byte {
	t.Helper()
	f := excelize.NewFile()
	defer f.Close()
	for i, row := range rows {
		if err := f.SetSheetRow("Sheet1", fmt.Sprintf("A%d", i+1), &row); err != nil {
			t.Fatal(err)
		}
	}
	if more != nil {
		more(f)
	}
	b, err := f.WriteToBuffer()
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func format(t testing.TB, f *excelize.File, cell, code string) {
	t.Helper()
	style, err := f.NewStyle(&excelize.Style{CustomNumFmt: &code})
	if err == nil {
		err = f.SetCellStyle("Sheet1", cell, cell, style)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// inPlace is a file that can be read from any place, as one on disk can.
type inPlace struct{ *bytes.Reader }

func openIn(t testing.TB, b []byte, o intake.Options) ([]intake.Row, *intake.Reader, error) {
	t.Helper()
	rd, err := intake.Open(inPlace{bytes.NewReader(b)}, o)
	if err != nil {
		return nil, nil, err
	}
	var rows []intake.Row
	for {
		row, err := rd.Next()
		if err == io.EOF {
			return rows, rd, nil
		}
		if err != nil {
			return rows, rd, err
		}
		rows = append(rows, row)
	}
}

const sheetMapping = `mapping: 1
standard: standards.example/x@1
decimal: ","
columns:
  - {to: /ref, from: Ref, required: true}
  - {to: /n, from: N, type: number, optional: true}
  - {to: /d, from: D, type: date, formats: [dd/mm/yyyy], optional: true}
  - {to: /at, from: At, type: date-time, formats: [dd/mm/yyyy HH:MM], zone: Europe/London, optional: true}
  - {to: /b, from: B, type: boolean, optional: true}
  - {to: /t, from: T, optional: true}
`

// What a sheet holds as a date or a number is one, whatever the mapping says of
// how the file writes them; texts are read as the mapping says.
func TestSheet(t *testing.T) {
	noon := time.Date(2018, 6, 30, 12, 30, 0, 0, time.UTC)
	b := workbookOf(t, func(f *excelize.File) {
		format(t, f, "C2", "dd/mm/yyyy")
		format(t, f, "D2", "dd/mm/yyyy hh:mm")
		format(t, f, "F2", "00000")
		format(t, f, "A3", "0")
		f.SetCellFormula("Sheet1", "F4", "1+1")
		f.SetCellValue("Sheet1", "A6", "last")
		f.SetRowVisible("Sheet1", 3, false)
	},
		[]any{"Ref", "N", "D", "At", "B", "T", "Odd"},
		[]any{"NM/1", 1234.5, 43100, noon, true, 712},
		[]any{100023000000, "1234,5", "31/12/2017", "30/06/2018 12:30", "no", 2.5},
		[]any{"NM/4", nil, nil, nil, nil, nil})
	rows, rd, err := openIn(t, b, intake.Options{Format: intake.XLSX, Mapping: mapping(t, sheetMapping), Reference: []name.Field{"/ref"}})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSpace(strings.ReplaceAll(`
		2/2 NM/1 {"at":"2018-06-30T12:30:00+01:00","b":true,"d":"2017-12-31","n":1234.5,"ref":"NM/1","t":"00712"}
		3/3 100023000000 {"at":"2018-06-30T12:30:00+01:00","b":false,"d":"2017-12-31","n":1234.5,"ref":"100023000000","t":"2,5"}
		4/4 NM/4 !cell@/t
		6/6 last {"ref":"last"}`, "\t", ""))
	if got := strings.TrimSpace(strings.ReplaceAll(show(rows), "\t", "")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if rd.Format() != intake.XLSX || rd.Sheet() != "Sheet1" {
		t.Errorf("%s, sheet %q", rd.Format(), rd.Sheet())
	}
	for _, n := range []string{`the heading "Odd"`, "1 cell is a formula", "1 number is shown with zeros", "1 row is hidden", "1 row was blank"} {
		if !slices.ContainsFunc(rd.Notes(), func(s string) bool { return strings.Contains(s, n) }) {
			t.Errorf("no note of %q in %q", n, rd.Notes())
		}
	}
}

func TestSheetCellsThatAreNoValues(t *testing.T) {
	sheet := func(cells string) []byte {
		return parts(map[string]string{
			"xl/workbook.xml":            `<workbook xmlns:r="x"><sheets><sheet name="Data" sheetId="1" r:id="a"/></sheets></workbook>`,
			"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="a" Type="x/worksheet" Target="s.xml"/><Relationship Id="b" Type="x/styles" Target="st.xml"/></Relationships>`,
			"xl/st.xml":                  `<styleSheet><cellXfs><xf numFmtId="0"/><xf numFmtId="22"/></cellXfs></styleSheet>`,
			"xl/s.xml":                   `<worksheet><sheetData><row r="1"><c r="A1" t="str"><v>A</v></c><c r="B1" t="str"><v>B</v></c></row><row r="2"><c r="A2" t="str"><v>1</v></c>` + cells + `</row></sheetData></worksheet>`,
		})
	}
	for _, c := range []struct{ column, cells, want string }{
		{"", `<c r="B2" t="e"><v>#REF!</v></c>`, "!cell@/b"},
		{"blank: ['#N/A']", `<c r="B2" t="e"><v>#N/A</v></c>`, `{"a":"1"}`},
		{"", `<c r="B2"><f>A2</f></c>`, "!cell@/b"},
		{"", `<c r="B2"><v>1234567890123456</v></c>`, "!cell@/b"},
		{"type: number", `<c r="B2"><v>0.30000000000000004</v></c>`, `{"a":"1","b":0.3}`},
		{"type: number", `<c r="B2"><v>1E+2</v></c>`, `{"a":"1","b":100}`},
		{"type: integer", `<c r="B2"><v>2.5</v></c>`, `!integer@/b`},
		{"type: date", `<c r="B2" s="1"><v>43100</v></c>`, `{"a":"1","b":"2017-12-31"}`},
		{"type: date", `<c r="B2" s="1"><v>43100.5</v></c>`, `!date@/b`},
		{"type: date", `<c r="B2"><v>43100</v></c>`, `!date@/b`},
		{"type: date, formats: [serial]", `<c r="B2"><v>43100</v></c>`, `{"a":"1","b":"2017-12-31"}`},
		{"type: date-time", `<c r="B2" s="1"><v>43100.5</v></c>`, `!date-time@/b`}, // no zone is declared
		{"type: date-time, zone: UTC, formats: [dd/mm/yyyy]", `<c r="B2" s="1"><v>43100.5</v></c>`, `{"a":"1","b":"2017-12-31T12:00:00Z"}`},
		{"type: date-time, zone: Europe/London, formats: [dd/mm/yyyy]", `<c r="B2" s="1"><v>43037.0625</v></c>`, `!date-time@/b`}, // 01:30 came twice
		{"", `<c r="B2" s="1"><v>43100.5</v></c>`, `{"a":"1","b":"2017-12-31T12:00:00"}`},
		{"type: boolean", `<c r="B2" t="b"><v>0</v></c>`, `{"a":"1","b":false}`},
		{"values: {'7': seven}", `<c r="B2"><v>7</v></c>`, `{"a":"1","b":"seven"}`},
	} {
		if c.column != "" {
			c.column = ", " + c.column
		}
		m := mapping(t, "mapping: 1\nstandard: standards.example/x@1\ncolumns:\n  - {to: /a, from: A}\n  - {to: /b, from: B"+c.column+"}\n")
		rows, _, err := openIn(t, sheet(c.cells), intake.Options{Format: intake.XLSX, Mapping: m})
		if err != nil {
			t.Fatal(c.cells, err)
		}
		if got := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(show(rows)), "2/2")); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.cells, c.column, got, c.want)
		}
	}
}

// An error that a spreadsheet shows is one in CSV as well, and no text.
func TestSpreadsheetErrorsInCSV(t *testing.T) {
	for _, c := range []struct{ column, in, want string }{
		{"", "#REF!", "!cell@/a"}, {"", "#N/A", "!cell@/a"}, {"", "########", "!cell@/a"}, {"", "Err:502", "!cell@/a"}, {"type: number", " #DIV/0! ", "!cell@/a"},
		{"blank: ['#N/A']", "#N/A", "{}"}, {"values: {'#N/A': unknown}", "#n/a", `{"a":"unknown"}`}, {"values: {'#N/A': unknown}", "#N/A", `{"a":"unknown"}`},
		{"", "#7", `{"a":"#7"}`}, {"", "#hashtag", `{"a":"#hashtag"}`}, {"", "Err: none", `{"a":"Err: none"}`},
	} {
		if got := cell(t, c.column, "", c.in); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.column, c.in, got, c.want)
		}
	}
}

func parts(files map[string]string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		w, _ := z.Create(name)
		io.WriteString(w, text)
	}
	z.Close()
	return b.Bytes()
}

func TestWhichSheet(t *testing.T) {
	b := workbookOf(t, func(f *excelize.File) {
		for i, s := range []string{"Notes & more", "Empty", "Old"} {
			f.NewSheet(s)
			if i != 1 {
				f.SetSheetRow(s, "A1", &[]any{"A", "B", "C"})
				f.SetSheetRow(s, "A2", &[]any{s, "x", "y"})
			}
		}
		f.SetSheetVisible("Old", false)
	}, []any{"A", "B", "C"}, []any{"first", "x", "y"})
	for _, c := range []struct{ flag, mapped, want string }{
		{"Notes & more", "", "2:Notes & more"}, {"notes & more", "", "2:Notes & more"}, {"2", "", "2:Notes & more"}, {"", "4", "2:Old"}, {"Sheet1", "4", "2:first"},
		{"", "", "2 sheets with cells"}, {"Nowhere", "", `no sheet "Nowhere"`}, {"9", "", `no sheet "9"`}, {"Empty", "", "no row 1"},
	} {
		m := mapping(t, three)
		m.Sheet = c.mapped
		rows, _, err := openIn(t, b, intake.Options{Format: intake.XLSX, Mapping: m, Sheet: c.flag})
		got := outcome(rows)
		var fe *intake.FileError
		if errors.As(err, &fe) {
			got = fe.Detail
			if fe.Rule == intake.RuleSheet && !slices.Contains(fe.Found, "Notes & more") {
				t.Errorf("%+v: the sheets are not named: %q", c, fe.Found)
			}
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// A file is what its bytes say, whatever its name says.
func TestRecognised(t *testing.T) {
	x := workbookOf(t, nil, []any{"A", "B", "C"}, []any{"1", "2", "3"})
	o := parts(map[string]string{"mimetype": "application/vnd.oasis.opendocument.spreadsheet",
		"content.xml": `<d><b><spreadsheet><table name="x"><table-row><table-cell value-type="string"><p>A</p></table-cell><table-cell value-type="string"><p>B</p></table-cell><table-cell value-type="string"><p>C</p></table-cell></table-row><table-row><table-cell value-type="float" value="1"/></table-row></table></spreadsheet></b></d>`})
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, "A,B,C\n")
	z.Close()
	biff := append([]byte("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"), make([]byte, 2000)...)
	biff[30], biff[48] = 9, 1
	copy(biff[1024:], "W\x00o\x00r\x00k\x00b\x00o\x00o\x00k\x00")
	locked := bytes.Replace(biff, []byte("W\x00o\x00r\x00k\x00b\x00o\x00o\x00k\x00"), []byte(utf16le("EncryptedPackage")), 1)
	for _, c := range []struct {
		name     string
		declared intake.Format
		b        []byte
		mapped   bool
		want     string
	}{
		{"XLSX called CSV", intake.CSV, x, true, "xlsx 2:1"},
		{"XLSX called JSON", intake.JSON, x, true, "xlsx 2:1"},
		{"XLSX without a mapping", intake.JSON, x, false, "a mapping must say"},
		{"ODS called XLSX", intake.XLSX, o, true, "ods 2:1"},
		{"ODS called CSV", intake.CSV, o, true, "ods 2:1"},
		{"CSV called XLSX", intake.XLSX, []byte("A,B,C\n1,2,3\n"), true, "csv 2:1"},
		{"CSV called JSON", intake.JSON, []byte("A,B,C\n1,2,3\n"), true, "csv 2:1"},
		{"UTF-16 called XLSX", intake.XLSX, []byte(utf16le("\ufeffA,B,C\n1,2,3\n")), true, "csv 2:1"},
		{"JSON called CSV", intake.CSV, []byte(`[{"a":"1"}]`), false, "json 1:1"},
		{"JSON called XLSX", intake.XLSX, []byte("\ufeff {\"a\":\"1\"}"), false, "json 1:1"},
		{"JSON with a mapping", intake.CSV, []byte(`[{"a":"1"}]`), true, "takes no mapping"},
		{"a heading in brackets", intake.CSV, []byte("[A],B,C\n1,2,3\n"), true, `without "A"`},
		{"gzip", intake.CSV, packed.Bytes(), true, "packed by gzip"},
		{"old Excel", intake.XLSX, biff, true, "old Excel"},
		{"old Excel called CSV", intake.CSV, biff, false, "old Excel"},
		{"a locked workbook", intake.XLSX, locked, true, "password"},
		{"old Excel without a container", intake.XLSX, []byte("\x09\x08\x10\x00\x00\x06\x05\x00"), true, "old Excel"},
		{"HTML called XLS", intake.XLSX, []byte("\r\n<HTML><body><table><tr><td>A</td></tr></table>"), true, "web page"},
		{"HTML in UTF-16", intake.XLSX, []byte(utf16le("\ufeff<html xmlns:x=\"urn:schemas-microsoft-com:office:excel\">")), true, "web page"},
		{"a bare HTML table", intake.CSV, []byte("<table><tr><td>A"), true, "web page"},
		{"Excel 2003 XML", intake.XLSX, []byte("<?xml version=\"1.0\"?>\n<?mso-application progid=\"Excel.Sheet\"?>\n<Workbook xmlns=\"urn:schemas-microsoft-com:office:spreadsheet\">"), true, "Excel 2003"},
		{"PDF", intake.CSV, []byte("%PDF-1.7\n"), true, "PDF"},
		{"a zip of CSV files", intake.CSV, parts(map[string]string{"a.csv": "A,B,C\n"}), true, "zip archive and no workbook"},
		{"a workbook cut off", intake.XLSX, x[:len(x)/2], true, "breaks off"},
		{"XML", intake.CSV, []byte("<?xml version=\"1.0\"?><records/>"), true, "XML"},
	} {
		opts := intake.Options{Format: c.declared}
		if c.mapped {
			opts.Mapping = mapping(t, three+"short_rows: true\n")
		}
		for _, way := range []string{"in place", "through a pipe"} {
			var rows []intake.Row
			var rd *intake.Reader
			var err error
			if way == "in place" {
				rows, rd, err = openIn(t, c.b, opts)
			} else {
				rows, rd, err = readAll(t, string(c.b), opts)
			}
			got := ""
			var fe *intake.FileError
			switch {
			case errors.As(err, &fe):
				got = fe.Detail
				if fe.Fix == "" {
					t.Errorf("%s: no way on", c.name)
				}
			case err != nil:
				got = err.Error()
			default:
				got = string(rd.Format()) + " " + outcome(rows)
				if told := slices.ContainsFunc(rd.Notes(), func(n string) bool { return strings.Contains(n, "though its name or --format says") }); told != (rd.Format() != c.declared && c.name != "ODS called XLSX") {
					t.Errorf("%s: notes %q", c.name, rd.Notes())
				}
			}
			// The directory of a container cannot be looked at in a pipe.
			if want := c.want; !strings.Contains(got, want) && !(way == "through a pipe" && want == "password" && strings.Contains(got, want)) {
				t.Errorf("%s, %s: %s, want %s", c.name, way, got, want)
			}
		}
	}
}

// A merged cell has one value, and the mapping may fill the others; a date
// filled so is still a date.
func TestMergedCells(t *testing.T) {
	b := workbookOf(t, func(f *excelize.File) {
		f.MergeCell("Sheet1", "B2", "B4")
		format(t, f, "B2", "dd/mm/yyyy")
	}, []any{"A", "B"}, []any{"1", 43100}, []any{"2"}, []any{"3"})
	m := mapping(t, "mapping: 1\nstandard: standards.example/x@1\ncolumns:\n  - {to: /a, from: A}\n  - {to: /b, from: B, type: date, formats: [dd/mm/yyyy], fill_down: true}\n")
	rows, rd, err := openIn(t, b, intake.Options{Format: intake.XLSX, Mapping: m})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Record["b"] != "2017-12-31" {
			t.Errorf("row %d: %v %v", r.Number, r.Record, r.Problems)
		}
	}
	if !slices.ContainsFunc(rd.Notes(), func(n string) bool { return strings.Contains(n, "several put together") }) {
		t.Errorf("notes %q", rd.Notes())
	}
}

// A row of a sheet that is wider than its headings is told of the headings, not
// of delimiters, which a sheet does not have.
func TestMergedHeading(t *testing.T) {
	b := workbookOf(t, func(f *excelize.File) { f.MergeCell("Sheet1", "B1", "C1") }, []any{"A", "B"}, []any{"1", "2", "3"})
	m := mapping(t, "mapping: 1\nstandard: standards.example/x@1\ncolumns:\n  - {to: /a, from: A}\n  - {to: /b, from: B}\n")
	rows, _, err := openIn(t, b, intake.Options{Format: intake.XLSX, Mapping: m})
	if err != nil || len(rows) != 1 || len(rows[0].Problems) != 1 {
		t.Fatalf("%v %v", rows, err)
	}
	if p := rows[0].Problems[0]; p.Rule != intake.RuleColumns || !strings.Contains(p.Fix, "heading") || strings.Contains(p.Fix, "delimiter") {
		t.Errorf("%+v", p)
	}
}

func TestSheetStructure(t *testing.T) {
	for _, c := range []struct {
		name, mapping string
		rows          [][]any
		want          string
	}{
		{"title rows", three + "header_find: [A, C]\n", [][]any{{"Register"}, nil, {"A", "B", "C"}, {"1", "2", "3"}}, "4:1"},
		{"a blank first row", three, [][]any{nil, {"A", "B", "C"}}, "row 1, where the headings should be, is blank"},
		{"totals and headings again", three, [][]any{{"A", "B", "C"}, {"1", "x", 2}, {"A", "B", "C"}, {"Total", nil, 2}}, "2:1 3!headings 4!totals"},
		{"cells beyond the headings", three, [][]any{{"A", "B", "C"}, {"1", "x", 2, nil, nil, 3}}, "2!columns"},
		{"all in one column", three, [][]any{{"A;B;C"}, {"1;2;3"}}, "each row of the sheet stands in one cell, parted by semicolons"},
	} {
		rows, _, err := openIn(t, workbookOf(t, nil, c.rows...), intake.Options{Format: intake.XLSX, Mapping: mapping(t, c.mapping)})
		got := outcome(rows)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Whatever a file is, it is read or refused in words.
func FuzzOpen(f *testing.F) {
	f.Add([]byte("A,B,C\n1,2,3\n"), byte(0))
	f.Add([]byte("<html><table>"), byte(3))
	f.Add([]byte("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"), byte(3))
	f.Add(workbookOf(f, nil, []any{"A", "B", "C"}, []any{"1", 2, true}), byte(1))
	f.Fuzz(func(t *testing.T, b []byte, declared byte) {
		formats := []intake.Format{intake.CSV, intake.JSON, intake.NDJSON, intake.XLSX, intake.ODS}
		o := intake.Options{Format: formats[int(declared)%len(formats)], Mapping: mapping(t, three)}
		if declared >= 128 {
			o.Mapping = nil
		}
		rows, _, err := openIn(t, b, o)
		for _, r := range rows {
			if (r.Record == nil) == (len(r.Problems) == 0) {
				t.Fatalf("row %d has neither a record nor a problem, or both", r.Number)
			}
		}
		var fe *intake.FileError
		if err != nil && !errors.As(err, &fe) && !strings.Contains(err.Error(), "a mapping is for") {
			t.Fatalf("an error in nobody's words: %v", err)
		}
	})
}
