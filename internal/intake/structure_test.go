package intake_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/intake"
)

const two = "mapping: 1\nstandard: standards.example/x@1\ncolumns:\n  - {to: /a, from: A}\n  - {to: /b, from: B, optional: true}\n"

// outcome is every row as "row:record" or "row!rule".
func outcome(rows []intake.Row) string {
	var out []string
	for _, r := range rows {
		if len(r.Problems) > 0 {
			out = append(out, fmt.Sprintf("%d!%s", r.Number, r.Problems[0].Rule))
		} else {
			out = append(out, fmt.Sprintf("%d:%v", r.Number, r.Record["a"]))
		}
	}
	return strings.Join(out, " ")
}

func TestRowsInsideACellAreFound(t *testing.T) {
	var many strings.Builder
	for i := range 71 {
		fmt.Fprintf(&many, "r%d,text,%d\n", i, i)
	}
	for _, c := range []struct{ name, mapping, in, want string }{
		{"a stray mark that closes a row further down", three, "A,B,C\n1,\"One,5\n2,Two\",6\n3,x,y\n", "2!quotes 3:2 4:3"},
		{"one that closes 71 rows further down", three, "A,B,C\n1,\"One,5\n" + many.String() + "z,end\",6\n", ""},
		{"in the first column", three, "A,B,C\n\"1,One,5\n2,Two,6\n3,Three,7\n4\",Four,8\n", "2!quotes 3:2 4:3 5:4\""},
		{"in the last column", three, "A,B,C\n1,One,\"5\n2,Two,6\n3,Three,7\"\n", "2!quotes 3:2 4:3"},
		{"of two columns", two, "A,B\n1,\"One\n2,Two\n3,Three\n4,Four\"\n", "2!quotes 3:2 4:3 5:4"},
		{"with CRLF", three, "A,B,C\r\n1,\"One,5\r\n2,Two\",6\r\n", "2!quotes 3:2"},
		{"semicolons", three + "delimiter: \";\"\n", "A;B;C\n1;\"One;5\n2;Two\";6\n", "2!quotes 3:2"},
		{"an address is none", three, "A,B,C\n1,\"Flat 1, Mill House\nHigh Street, Northmoor\nNM1 1AA\",x\n2,y,z\n", "2:1 5:2"},
		{"nor is one in a file of two columns", two, "A,B\n1,\"1 High Street\nNorthmoor, NM1 1AA\"\n2,\"Depot, Yard\nSaltby\"\n", "2:1 4:2"},
		{"nor is prose", three, "A,B,C\n1,\"Seen on Monday, in rain.\nLater, with Jo, too.\n\nNo more.\",x\n", "2:1"},
		{"nor is a list of words", three, "A,B,C\n1,\"one\ntwo\nthree\",x\n", "2:1"},
	} {
		rows, rd, err := readAll(t, c.in, intake.Options{Format: intake.CSV, Mapping: mapping(t, c.mapping)})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := outcome(rows)
		// Rows are numbered as they were read; lines tell where they stand.
		if c.want == "" {
			if len(rows) != 73 || rows[0].Problems[0].Rule != intake.RuleQuotes || !strings.Contains(rows[0].Problems[0].Detail, "72 line breaks") || rows[1].Record["a"] != "r0" {
				t.Errorf("%s: %d rows, %v", c.name, len(rows), rows[0].Problems)
			}
		} else if strings.Count(got, "!") != strings.Count(c.want, "!") || len(strings.Fields(got)) != len(strings.Fields(c.want)) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		breaks := slices.ContainsFunc(rd.Notes(), func(n string) bool { return strings.Contains(n, "lines of the file") })
		if breaks == strings.Contains(got, "!") {
			t.Errorf("%s: notes %q", c.name, rd.Notes())
		}
	}
}

// The lines of a file and the rows read of it are compared.
func TestLinesAndRows(t *testing.T) {
	_, rd, err := readAll(t, "A,B,C\n1,\"x\ny\",3\n2,\"x\ny\nz\n\",3\n3,4,\"5\n6\"", intake.Options{Format: intake.CSV, Mapping: mapping(t, three)})
	if err != nil {
		t.Fatal(err)
	}
	want := "3 rows go over 8 lines of the file, with line breaks in a cell; the longest is row 3, over 4 lines"
	if got := rd.Notes(); !slices.Equal(got, []string{want}) {
		t.Errorf("notes %q, want %q", got, want)
	}
}

func TestDelimiterIsTold(t *testing.T) {
	for _, c := range []struct{ mapping, in, rule, fix string }{
		{three, "A;B;C\n1;2;3\n", intake.RuleDelimiter, `set delimiter: ";" in the mapping`},
		{three, "A\tB\tC\n1\t2\t3\n", intake.RuleDelimiter, `set delimiter: "\t" in the mapping`},
		{three, "\"A\"|\"B\"|\"C\"\n1|2|3\n", intake.RuleDelimiter, `set delimiter: "|" in the mapping`},
		{three + "delimiter: \";\"\n", "A,B,C\n1,2,3\n", intake.RuleDelimiter, `set delimiter: "," in the mapping`},
		{three, "A;\"B, or so\";C\n", intake.RuleDelimiter, `";"`},
		{three + "header_find: [A, C]\n", "Register\n\nA;B;C\n1;2;3\n", intake.RuleDelimiter, `";"`},
		{two, "A;B\n1;2,50\n", intake.RuleDelimiter, `";"`},
		{"mapping: 1\nstandard: standards.example/x@1\nheader_row: 0\ncolumns:\n  - {to: /a, position: 1}\n  - {to: /b, position: 2}\n", "1;2\n3;4\n", intake.RuleDelimiter, `";"`},
		{three, "\"A,B,C\"\n\"1,2,3\"\n", intake.RuleQuotes, "without quotation marks"},
		{three, "sep=;\nA;B;C\n1;2;3\n", intake.RuleDelimiter, `";"`},
	} {
		_, _, err := readAll(t, c.in, intake.Options{Format: intake.CSV, Mapping: mapping(t, c.mapping)})
		var fe *intake.FileError
		if !errors.As(err, &fe) || fe.Rule != c.rule || !strings.Contains(fe.Fix, c.fix) {
			t.Errorf("%q: %v %+v, want %s and %s", c.in, err, fe, c.rule, c.fix)
		}
	}
	rows, rd, err := readAll(t, "sep=;\r\nA;B;C\r\n1;2;3\r\n", intake.Options{Format: intake.CSV, Mapping: mapping(t, three+"delimiter: \";\"\n")})
	if err != nil || outcome(rows) != "2:1" || len(rd.Notes()) != 1 {
		t.Errorf("sep=: %v %s %q", err, outcome(rows), rd.Notes())
	}
}

func TestOddRows(t *testing.T) {
	rows, _, err := readAll(t, "A,B,C\n1,x,2\nA,B,C\n2,x,3\n,Total,5.00\nTOTAL:,,\"£1,234.50\"\nGrand total,,(5)\nSub-total (2 rows),,5\nTotal,Energies,5\n", intake.Options{Format: intake.CSV, Mapping: mapping(t, three)})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := outcome(rows), "2:1 3!headings 4:2 5!totals 6!totals 7!totals 8!totals 9:Total"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// Where there are no headings nothing is like them.
	rows, _, err = readAll(t, "1\n1\n1\n", intake.Options{Format: intake.CSV, Mapping: mapping(t, "mapping: 1\nstandard: standards.example/x@1\nheader_row: 0\ncolumns:\n  - {to: /a, position: 1}\n")})
	if err != nil || outcome(rows) != "1:1 2:1 3:1" {
		t.Errorf("%v %s", err, outcome(rows))
	}
}

// A heading that looks like the mapping's is the mapping's, and what cannot be
// seen in it is named.
func TestHeadingsWithUnseenCharacters(t *testing.T) {
	rows, rd, err := readAll(t, "\ufeffA\u200b,\u00a0B\u00a0,\ufeffC\n1,2,3\n", intake.Options{Format: intake.CSV, Mapping: mapping(t, three)})
	if err != nil || outcome(rows) != "2:1" {
		t.Fatal(err, outcome(rows))
	}
	want := []string{`the heading "A" holds U+200B ZERO WIDTH SPACE, which was passed over`, `the heading "C" holds U+FEFF ZERO WIDTH NO-BREAK SPACE, which was passed over`}
	if got := rd.Notes(); !slices.Equal(got, want) {
		t.Errorf("notes %q", got)
	}
}

// Whatever stands between quotation marks, no line that reads as a row by
// itself is lost without a word: the rows, the lines inside cells that are told,
// and the blank rows make up the file.
func FuzzStructure(f *testing.F) {
	f.Add("1,\"One,5\n2,Two\",6\n3,x,y\n")
	f.Add("1,\"One\n\",5\n\nTotal,,6\nA,B,C\n")
	f.Add("1;2;3\n\"a,b,c\"\n")
	f.Fuzz(func(t *testing.T, body string) {
		rows, rd, err := readAll(t, "A,B,C\n"+body, intake.Options{Format: intake.CSV, Mapping: mapping(t, three+"encoding: utf-8\n")})
		if err != nil {
			return
		}
		line := 2
		for _, r := range rows {
			if r.Line < line {
				t.Fatalf("row %d begins at line %d, and %d was reached", r.Number, r.Line, line)
			}
			line = r.Line + 1
			if len(r.Problems) == 0 && r.Record == nil {
				t.Fatalf("row %d is neither read nor refused", r.Number)
			}
		}
		for _, n := range rd.Notes() {
			if strings.ContainsFunc(n, func(r rune) bool { return r < ' ' }) {
				t.Fatalf("a note with a control character: %q", n)
			}
		}
	})
}
