package intake_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/strictjson"
)

// three maps headings A, B and C to places of the same names, as text.
const three = `mapping: 1
standard: standards.example/x@1
reference: A
columns:
  - {to: /a, from: A}
  - {to: /b, from: B}
  - {to: /c, from: C}
`

func mapping(t testing.TB, text string) *intake.Mapping {
	t.Helper()
	m, err := intake.ParseMapping([]byte(text))
	if err != nil {
		t.Fatalf("mapping: %v\n%s", err, text)
	}
	return m
}

// readAll reads a CSV file whole, and again a byte at a time: how the bytes
// arrive must not matter.
func readAll(t testing.TB, in string, o intake.Options) ([]intake.Row, *intake.Reader, error) {
	t.Helper()
	read := func(r io.Reader) ([]intake.Row, *intake.Reader, error) {
		rd, err := intake.Open(r, o)
		if err != nil {
			return nil, nil, err
		}
		var rows []intake.Row
		for {
			row, err := rd.Next()
			if errors.Is(err, io.EOF) {
				return rows, rd, nil
			}
			if err != nil {
				return rows, rd, err
			}
			rows = append(rows, row)
		}
	}
	rows, rd, err := read(strings.NewReader(in))
	slow, _, slowErr := read(iotest.DataErrReader(iotest.OneByteReader(strings.NewReader(in))))
	if !reflect.DeepEqual(rows, slow) || fmt.Sprint(err) != fmt.Sprint(slowErr) {
		t.Errorf("a byte at a time gives another result for %.200q:\n%v %v\n%v %v", in, rows, err, slow, slowErr)
	}
	return rows, rd, err
}

// show prints rows as a test compares them: number, line, reference, and the
// record or the rules that failed.
func show(rows []intake.Row) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%d/%d %s ", r.Number, r.Line, r.Reference)
		if r.Record != nil {
			b.Write(strictjson.Canonical(r.Record))
		}
		for _, p := range r.Problems {
			fmt.Fprintf(&b, "!%s", p.Rule)
			if p.Pointer != "" {
				b.WriteString("@" + p.Pointer)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestCSV(t *testing.T) {
	for _, c := range []struct{ name, mapping, in, want string }{
		{"plain", three, "A,B,C\n1,2,3\n4,5,6", `
			2/2 1 {"a":"1","b":"2","c":"3"}
			3/3 4 {"a":"4","b":"5","c":"6"}`},
		{"UTF-8 byte order mark", three, "\ufeffA,B,C\n1,é,\n", `2/2 1 {"a":"1","b":"é"}`},
		{"CRLF", three, "A,B,C\r\n1,2,3\r\n4,5,6\r\n", `
			2/2 1 {"a":"1","b":"2","c":"3"}
			3/3 4 {"a":"4","b":"5","c":"6"}`},
		{"CR, as old Macintosh files have it", three, "A,B,C\r1,2,3\r4,5,6\r", `
			2/2 1 {"a":"1","b":"2","c":"3"}
			3/3 4 {"a":"4","b":"5","c":"6"}`},
		{"headings in any order, spaced and cased otherwise", three, " c ,a,B\u00a0\n3,1,2\n", `2/2 1 {"a":"1","b":"2","c":"3"}`},
		{"quotes", three, "A,B,C\n\"1\",\"say \"\"yes\"\", now\",\"\"\n", `2/2 1 {"a":"1","b":"say \"yes\", now"}`},
		{"quotation marks inside an unquoted cell", three, "A,B,C\n1,5\" pipe,a\"b\"c\n", `2/2 1 {"a":"1","b":"5\" pipe","c":"a\"b\"c"}`},
		{"line ends inside a cell are LF however they came", three, "A,B,C\r\n1,\"x\r\ny\rz\",3\r\n4,5,6\r\n", `
			2/2 1 {"a":"1","b":"x\ny\nz","c":"3"}
			3/5 4 {"a":"4","b":"5","c":"6"}`},
		{"blank rows are passed over and counted", three, "A,B,C\n\n1,2,3\n,,\n \n4,5,6\n\n", `
			3/3 1 {"a":"1","b":"2","c":"3"}
			6/6 4 {"a":"4","b":"5","c":"6"}`},
		{"too few and too many cells", three, "A,B,C\n1,2\n1,2,3,4\n1,2,3,,\n5,6,7\n", `
			2/2 1 !columns
			3/3 1 !columns
			4/4 1 {"a":"1","b":"2","c":"3"}
			5/5 5 {"a":"5","b":"6","c":"7"}`},
		{"short rows when they are allowed", three + "short_rows: true\n", "A,B,C\n1\n1,2,3,4\n", `
			2/2 1 {"a":"1"}
			3/3 1 !columns`},
		{"text after a closing mark", three, "A,B,C\n1,\"2\"x,3\n4,5,6\n", `
			2/2  !quotes
			3/3 4 {"a":"4","b":"5","c":"6"}`},
		{"a mark that is never closed costs one row", three, "A,B,C\n1,2,3\n4,\"5,6\n7,8,9\n10,11,12\n", `
			2/2 1 {"a":"1","b":"2","c":"3"}
			3/3  !quotes
			4/4 7 {"a":"7","b":"8","c":"9"}
			5/5 10 {"a":"10","b":"11","c":"12"}`},
		{"a mark that closes at the next quoted cell costs two", three, "A,B,C\n4,\"5,6\n7,8,9\n10,\"11, or so\",12\n", `
			2/2  !quotes
			3/3 7 {"a":"7","b":"8","c":"9"}
			4/4 10 {"a":"10","b":"11, or so","c":"12"}`},
		{"NUL and other controls", three, "A,B,C\n1,\x00,3\n2,\x1b[31m,3\n3,tab\tin,x\n", `
			2/2 1 !control-character@/b
			3/3 2 !control-character@/b
			4/4 3 {"a":"3","b":"tab\tin","c":"x"}`},
		{"invalid UTF-8 costs its row", three, "A,B,C\n1,caf\xe9,3\n2,café,3\n", `
			2/2 1 !encoding
			3/3 2 {"a":"2","b":"café","c":"3"}`},
		{"windows-1252", three + "encoding: windows-1252\n", "A,B,C\n1,caf\xe9 \x96 \x93x\x94 \x80,3\n2,\x81,3\n", `
			2/2 1 {"a":"1","b":"café – “x” €","c":"3"}
			3/3 2 !encoding`},
		{"utf-16, little end first", three + "encoding: utf-16\n", utf16le("\ufeffA,B,C\r\n1,😀 é,3\r\n"), `2/2 1 {"a":"1","b":"😀 é","c":"3"}`},
		{"utf-16be without a mark", three + "encoding: utf-16be\n", "\x00A\x00,\x00B\x00,\x00C\x00\n\x001\x00,\x00,\x003\x00\n\xd8\x00\x00,\x00,\x00\n\x00", `
			2/2 1 {"a":"1","c":"3"}
			3/3  !encoding
			4/4  !encoding`},
		{"utf-16 that only its byte order mark announces", three, utf16le("\ufeffA,B,C\r\n1,é,3\r\n"), `2/2 1 {"a":"1","b":"é","c":"3"}`},
		{"semicolons", three + "delimiter: \";\"\n", "A;B;C\n1;2,5;3\n", `2/2 1 {"a":"1","b":"2,5","c":"3"}`},
		{"tabs", three + "delimiter: \"\\t\"\n", "A\tB\tC\n1\t2,5\t3\n", `2/2 1 {"a":"1","b":"2,5","c":"3"}`},
		{"title rows, counted", three + "header_row: 3\n", "Register of things,,\n\"Printed\non Monday\",,\nA,B,C\n1,2,3\n", `4/5 1 {"a":"1","b":"2","c":"3"}`},
		{"title rows, headings found", three + "header_find: [a, C]\n", "Register of things\n\nA,then,some\nA,B,C\n1,2,3\n", `5/5 1 {"a":"1","b":"2","c":"3"}`},
		{"no headings", "mapping: 1\nstandard: standards.example/x@1\nheader_row: 0\ncolumns:\n  - {to: /a, position: 1}\n  - {to: /b, position: 3, required: true}\n", "1,2,3\n4,5,6\n7,8\n", `
			1/1  {"a":"1","b":"3"}
			2/2  {"a":"4","b":"6"}
			3/3  !columns`},
		{"only headings", three, "A,B,C\n", ``},
		{"a last empty cell at the end of the file", three, "A,B,C\n1,2,", `2/2 1 {"a":"1","b":"2"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, _, err := readAll(t, c.in, intake.Options{Format: intake.CSV, Mapping: mapping(t, c.mapping)})
			if err != nil {
				t.Fatal(err)
			}
			want := strings.ReplaceAll(strings.TrimSpace(c.want), "\t", "")
			if got := strings.ReplaceAll(strings.TrimSpace(show(rows)), "\t", ""); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func utf16le(s string) string {
	var b []byte
	for _, r := range s {
		if r > 0xFFFF {
			r -= 0x10000
			hi, lo := 0xD800+r>>10, 0xDC00+r&0x3FF
			b = append(b, byte(hi), byte(hi>>8), byte(lo), byte(lo>>8))
			continue
		}
		b = append(b, byte(r), byte(r>>8))
	}
	return string(b)
}

func TestCSVRefused(t *testing.T) {
	for _, c := range []struct{ name, mapping, in, rule, text, fix string }{
		{"empty", three, "", intake.RuleHeadings, "no row 1", ""},
		{"a heading is missing", three, "A,B,D\n1,2,3\n", intake.RuleHeadings, `without "C" (for /c)`, "optional"},
		{"a heading was renamed", "mapping: 1\nstandard: standards.example/x@1\ncolumns:\n- {to: /a, from: Site Reference}\n", "SiteRef,Other\n", intake.RuleHeadings, `"Site Reference"`, `is "Site Reference" perhaps "SiteRef"?`},
		{"a heading is there twice", three, "A,B,C,B\n1,2,3,4\n", intake.RuleHeadings, `"B" stands there 2 times`, "position"},
		{"UTF-16 announced as UTF-8", three + "encoding: utf-8\n", utf16le("\ufeffA,B,C\n"), intake.RuleEncoding, "byte order mark of utf-16le", "set encoding: utf-16le"},
		{"UTF-16 without a mark, unannounced", three, utf16le("A,B,C\n"), intake.RuleEncoding, "NUL", "utf-16"},
		{"UTF-8 mark on windows-1252", three + "encoding: windows-1252\n", "\ufeffA,B,C\n", intake.RuleEncoding, "byte order mark of utf-8", "set encoding: utf-8"},
		{"utf-16 without a mark", three + "encoding: utf-16\n", "A,B,C\n", intake.RuleEncoding, "no byte order mark", "utf-16le"},
		{"headings in another encoding", three, "A,B,\xe9C\n", intake.RuleEncoding, "heading row", "windows-1252"},
		{"headings not found", three + "header_find: [A, Z]\n", "A,B,C\n1,2,3\n", intake.RuleHeadings, "no row has the headings", "header_find"},
		{"headings below the end", three + "header_row: 9\n", "A,B,C\n1,2,3\n", intake.RuleHeadings, "no row 9", ""},
		{"wrong delimiter", three, "A;B;C\n1;2;3\n", intake.RuleDelimiter, "parted by semicolons, and the mapping says commas", `set delimiter: ";"`},
		{"a position past the last heading", "mapping: 1\nstandard: standards.example/x@1\ncolumns:\n- {to: /a, position: 4}\n", "A,B,C\n", intake.RuleHeadings, "a column 4", ""},
	} {
		_, _, err := readAll(t, c.in, intake.Options{Format: intake.CSV, Mapping: mapping(t, c.mapping)})
		var fe *intake.FileError
		if !errors.As(err, &fe) {
			t.Errorf("%s: got %v, want a FileError", c.name, err)
			continue
		}
		if fe.Rule != c.rule || !strings.Contains(fe.Detail, c.text) || !strings.Contains(fe.Fix, c.fix) {
			t.Errorf("%s: got %s: %s. Fix: %s", c.name, fe.Rule, fe.Detail, fe.Fix)
		}
	}
}

// What a mapping does not name is told once, and what stands in the file under
// a heading is never in an error.
func TestNotes(t *testing.T) {
	rows, rd, err := readAll(t, "A,B,C,Extra,Known\n1,2,3,4,5\n\n", intake.Options{Format: intake.CSV, Mapping: mapping(t, three+"ignore: [known]\n")})
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	want := []string{`the heading "Extra" is not in the mapping: its column was left out`, "1 row was blank and passed over"}
	if got := rd.Notes(); !slices.Equal(got, want) {
		t.Errorf("notes %q, want %q", got, want)
	}
	_, rd, _ = readAll(t, "A,B,C\n1,caf\u00e9,3\n", intake.Options{Format: intake.CSV, Mapping: mapping(t, three+"encoding: windows-1252\n")})
	if got := rd.Notes(); len(got) != 1 || !strings.Contains(got[0], "also valid UTF-8") {
		t.Errorf("notes %q", got)
	}
	_, _, err = readAll(t, "Jo Bloggs,1 High Street\nx,y\n", intake.Options{Format: intake.CSV, Mapping: mapping(t, three)})
	var fe *intake.FileError
	if !errors.As(err, &fe) || strings.Contains(err.Error(), "Bloggs") || !slices.Contains(fe.Found, "Jo Bloggs") {
		t.Errorf("%v, found %q", err, fe.Found)
	}
}

// Memory is bounded by the longest row: one that is over the limit is a
// problem, and the rows around it are read.
func TestLongRows(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	lim := intake.Options{Format: intake.CSV, Mapping: mapping(t, three)}
	for _, c := range []struct{ name, in, want string }{
		{"one long line", "A,B,C\n1,2,3\n4," + long + ",6\n7,8,9\n", "2/2 1 {\"a\":\"1\",\"b\":\"2\",\"c\":\"3\"}\n3/3  !size\n4/4 7 {\"a\":\"7\",\"b\":\"8\",\"c\":\"9\"}\n"},
		{"a mark not closed in the limit", "A,B,C\n4,\"" + long + "\n7,8,9\n", "2/2  !quotes\n3/3 7 {\"a\":\"7\",\"b\":\"8\",\"c\":\"9\"}\n"},
		{"a cell under the row's limit and over the text's", "A,B,C\n4," + long[:300<<10] + ",6\n", "2/2 4 !string-length@/b\n"},
	} {
		rd, err := intake.Open(strings.NewReader(c.in), lim)
		if err != nil {
			t.Fatal(err)
		}
		var rows []intake.Row
		for {
			row, err := rd.Next()
			if err != nil {
				break
			}
			rows = append(rows, row)
		}
		if got := show(rows); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	// A file of one endless line is read without holding it.
	o := lim
	o.Limits.Bytes = 1 << 10
	rd, err := intake.Open(io.MultiReader(strings.NewReader("A,B,C\n"), io.LimitReader(endless('x'), 64<<20), strings.NewReader("\n1,2,3\n")), o)
	if err != nil {
		t.Fatal(err)
	}
	if row, err := rd.Next(); err != nil || len(row.Problems) != 1 || row.Problems[0].Rule != intake.RuleSize {
		t.Fatalf("%v, %v", row, err)
	}
	if row, err := rd.Next(); err != nil || row.Reference != "1" {
		t.Fatalf("%v, %v", row, err)
	}
}

type endless byte

func (e endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(e)
	}
	return len(b), nil
}

// A reader that fails is not the end of the file.
func TestReadError(t *testing.T) {
	broken := errors.New("cable pulled")
	rd, err := intake.Open(io.MultiReader(strings.NewReader("A,B,C\n1,2,3\n4,5"), iotest.ErrReader(broken)), intake.Options{Format: intake.CSV, Mapping: mapping(t, three)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rd.Next(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := rd.Next(); !errors.Is(err, broken) {
			t.Fatalf("got %v, want %v", err, broken)
		}
	}
	rd, err = intake.Open(io.MultiReader(strings.NewReader("{\"a\":1}\n{\"a\""), iotest.ErrReader(broken)), intake.Options{Format: intake.NDJSON})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rd.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := rd.Next(); !errors.Is(err, broken) {
		t.Fatalf("got %v, want %v", err, broken)
	}
	rd, err = intake.Open(io.MultiReader(strings.NewReader("[{\"a\":1},{\"a\""), iotest.ErrReader(broken)), intake.Options{Format: intake.JSON})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rd.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := rd.Next(); !errors.Is(err, broken) {
		t.Fatalf("got %v, want %v", err, broken)
	}
}

// The same rows as encoding/csv, wherever that accepts a file. It reads a lone
// CR as text and passes over empty lines without counting; files with
// either are left out.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{
		"A,B,C\n1,2,3\n", "A,B,C\n\"x\"\"y\",\"a\nb\",\n", "A,B,C\r\n1,2,3\r\n4,\"5,6\n7,8,9", "A,B,C\n1,\"2\"x,3\n\"\n", "A,B,C\n,,\n\"\",\"\",\"\"",
		"\ufeffA,B,C\n1,\xff,3\n", "A,B,C\n1,2\n\"\"\"\",b\"c,\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o := intake.Options{Format: intake.CSV, Mapping: mapping(t, three+"short_rows: true\n")}
		rows, _, err := readAll(t, string(b), o)
		if err != nil {
			return
		}
		for _, r := range rows {
			if (r.Record == nil) == (len(r.Problems) == 0) {
				t.Fatalf("row %d has neither a record nor a problem, or both", r.Number)
			}
			if r.Record != nil {
				c := strictjson.Canonical(r.Record)
				if _, err := strictjson.Decode(c, strictjson.Limits{}); err != nil {
					t.Fatalf("row %d made a record that is not strict JSON: %v", r.Number, err)
				}
			}
		}
		// What encoding/csv knows nothing of: the structure's faults.
		if slices.ContainsFunc(rows, func(r intake.Row) bool {
			return slices.ContainsFunc(r.Problems, func(p intake.Problem) bool { return p.Rule == intake.RuleQuotes })
		}) || bytes.HasPrefix(bytes.ToLower(b), []byte("sep=")) || bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.HasPrefix(b, []byte("\xfe\xff")) {
			return
		}
		text := bytes.TrimPrefix(b, []byte("\ufeff"))
		if bytes.Contains(bytes.ReplaceAll(text, []byte("\r\n"), nil), []byte("\r")) || bytes.Contains(text, []byte("\n\n")) || bytes.Contains(text, []byte("\n\r\n")) || bytes.HasPrefix(text, []byte("\n")) {
			return
		}
		cr := csv.NewReader(bytes.NewReader(text))
		cr.FieldsPerRecord = -1
		all, err := cr.ReadAll()
		if err != nil || len(all) == 0 {
			return
		}
		var want, got [][]string
		for _, rec := range all[1:] {
			if strings.TrimSpace(strings.Join(rec, "")) != "" {
				want = append(want, trimCells(rec))
			}
		}
		for _, r := range rows {
			got = append(got, trimCells(r.Cells))
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q\ngot  %q\nwant %q", b, got, want)
		}
	})
}

// trimCells leaves off blank cells at the end, which short rows are filled
// with and long ones may have.
func trimCells(cells []string) []string {
	for len(cells) > 0 && strings.TrimSpace(cells[len(cells)-1]) == "" {
		cells = cells[:len(cells)-1]
	}
	return slices.Clone(cells)
}
