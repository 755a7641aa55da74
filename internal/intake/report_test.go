package intake_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/name"
	"github.com/stile-exchange/stile/internal/standard"
)

const people = `mapping: 1
standard: standards.example/people@1
columns:
  - {to: /ref, from: Ref, required: true}
  - {to: /born, from: Date of birth, type: date, formats: [dd/mm/yyyy]}
  - {to: /name, from: Name}
  - {to: /tags, from: Tags, split: ";", type: integer}
`

const peopleCSV = "Ref,Date of birth,Name,Tags,Shoe size\n" +
	"a1,03/04/1980,Ann Example,1;2,5\n" +
	"a2,the 4th,\"Bob\nSecond line\",1,6\n" +
	"a3,31/02/1980,=cmd|' /C calc'!A0,x;y,7\n" +
	"a4,03/04/1980,Dan \x1b[2JExample,1,8\n" +
	"a5,03/04/1980,Eve,1\n" +
	"a6,04/04/1980,Fay,1,9\n"

// report imports peopleCSV against a made-up standard that dislikes Fay.
func report(t *testing.T, keep int) (*intake.Report, []byte) {
	t.Helper()
	r, err := intake.Open(strings.NewReader(peopleCSV), intake.Options{Format: intake.CSV, Mapping: mapping(t, people), Reference: []name.Field{"/ref"}})
	if err != nil {
		t.Fatal(err)
	}
	rep := intake.NewReport(keep)
	rep.File, rep.Format, rep.Standard, rep.DryRun = "people.csv", intake.CSV, "standards.example/people@1.0.0", true
	var rejects bytes.Buffer
	rj := intake.NewRejects(&rejects, r)
	outcomes := []intake.Outcome{intake.New, intake.Refused, intake.Refused, intake.Refused, intake.Refused, intake.Changed}
	for i := 0; ; i++ {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var found []intake.Problem
		if row.Reference == "a6" {
			found = r.Explain(row, []standard.Problem{{Pointer: "/name", Rule: "enum", Detail: "not on the list", Fix: "ask"}, {Pointer: "/tags/0", Rule: "maximum", Detail: "too much"}, {Pointer: "", Rule: "anyOf", Detail: "no"}})
		}
		rep.Add(row, outcomes[i], found...)
		if len(row.Problems)+len(found) > 0 {
			if err := rj.Add(row, found...); err != nil {
				t.Fatal(err)
			}
		}
	}
	rep.Notes = r.Notes()
	if err := rj.Close(); err != nil {
		t.Fatal(err)
	}
	return rep, rejects.Bytes()
}

func TestReportText(t *testing.T) {
	rep, _ := report(t, 4)
	var b strings.Builder
	if err := rep.WriteText(&b, "--rejects FILE"); err != nil {
		t.Fatal(err)
	}
	const want = `people.csv: 6 rows read, nothing written, for standards.example/people@1.0.0
        1 new
        0 changed
        0 unchanged
        5 refused

Why rows were refused
        2  Date of birth (/born): not a date written as dd/mm/yyyy (date)
           to mend it: mend it at the source, or add the format it is in to the mapping
        1  Tags (/tags): not a whole number (integer)
           to mend it: write digits, with "." before decimals
        1  Name (/name): holds the control character U+001B (control-character)
           to mend it: take it out at the source
        1  the row: the row has 4 cells and the headings are 5 (columns)
           to mend it: look for a delimiter or a line end inside a cell, which must then stand in quotation marks
        1  the row: no (anyOf)
        1  Name (/name): not on the list (enum)
           to mend it: ask
        1  Tags (/tags/*): too much (maximum)

Refused rows
  row 3, a2
    Date of birth (/born): not a date written as dd/mm/yyyy (date): "the 4th"
  row 4 (line 5), a3
    Date of birth (/born): not a date written as dd/mm/yyyy (date): "31/02/1980"
    Tags (/tags): not a whole number (integer): "x;y"
  row 5 (line 6), a4
    Name (/name): holds the control character U+001B (control-character): "Dan \x1b[2JExample"
  row 6 (line 7), a5
    the row: the row has 4 cells and the headings are 5 (columns)
  and 1 row more; to have them all: --rejects FILE

Notes
  the heading "Shoe size" is not in the mapping: its column was left out
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// No value of a record is in what is marshalled, unless the importer asks for
// a report for their own eyes.
func TestReportJSON(t *testing.T) {
	rep, _ := report(t, 100)
	values := []string{"the 4th", "31/02", "Dan", "x;y", "Fay"}
	for _, with := range []bool{false, true} {
		var b bytes.Buffer
		if err := rep.WriteJSON(&b, with); err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Rows, New, Changed, Unchanged, Refused int
			DryRun                                 bool `json:"dry_run"`
			Refusals                               []struct {
				Row       int
				Reference string
				Problems  []struct{ Pointer, Column, Rule, Value string }
			}
			Reasons []struct{ Rows int }
		}
		if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		if doc.Rows != 6 || doc.New != 1 || doc.Changed != 0 || doc.Refused != 5 || !doc.DryRun || len(doc.Refusals) != 5 || len(doc.Reasons) != 7 {
			t.Errorf("got %+v", doc)
		}
		for _, v := range values {
			if got := strings.Contains(b.String(), v); got != with {
				t.Errorf("values %v: %q is in the report: %v", with, v, got)
			}
		}
	}
	raw, err := json.Marshal(rep.Refusals)
	if err != nil || strings.Contains(string(raw), "the 4th") {
		t.Errorf("a refusal marshals its value: %s, %v", raw, err)
	}
}

// What goes back to the supplier is the rows as they came, with the reasons
// in front.
func TestRejects(t *testing.T) {
	_, rejects := report(t, 0)
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(rejects, []byte("\ufeff"))))
	r.FieldsPerRecord = -1
	all, err := r.ReadAll()
	if err != nil || len(all) != 6 || !bytes.HasPrefix(rejects, []byte("\ufeff")) {
		t.Fatalf("%v\n%s", err, rejects)
	}
	if got := strings.Join(all[0], "|"); got != "Row in your file|What is wrong|What to do|Ref|Date of birth|Name|Tags|Shoe size" {
		t.Errorf("headings: %s", got)
	}
	if got := strings.Join(all[1][3:], "|"); got != "a2|the 4th|Bob\nSecond line|1|6" {
		t.Errorf("row: %q", got)
	}
	if got := all[2][0] + " " + all[2][1]; got != "4 Date of birth (/born): not a date written as dd/mm/yyyy; Tags (/tags): not a whole number" {
		t.Errorf("reason: %q", got)
	}

	// JSON goes back as lines of NDJSON with the record's own text.
	rd, err := intake.Open(strings.NewReader("{\"a\":1}\n{\"a\":\"\xff\"}\n"), intake.Options{Format: intake.NDJSON})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	rj := intake.NewRejects(&b, rd)
	for {
		row, err := rd.Next()
		if err != nil {
			break
		}
		if len(row.Problems) > 0 {
			if err := rj.Add(row); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := rj.Close(); err != nil {
		t.Fatal(err)
	}
	const want = `{"row":2,"line":2,"problems":[{"pointer":"/a","rule":"utf-8","detail":"not UTF-8 (byte 6 of the record)"`
	if got := b.String(); !strings.HasPrefix(got, want) || !strings.Contains(got, `"text":"{\"a\":\"`) || !json.Valid(b.Bytes()) {
		t.Errorf("got %s", got)
	}
}

// A file full of rows that fail each in their own way does not fill memory.
func TestReportBounded(t *testing.T) {
	rep := intake.NewReport(3)
	for i := range 2000 {
		rep.Add(intake.Row{Number: i, Problems: []intake.Problem{{Pointer: "/" + strings.Repeat("x", i), Rule: "r"}}}, intake.Refused)
	}
	var b strings.Builder
	if err := rep.WriteText(&b, "x"); err != nil {
		t.Fatal(err)
	}
	if len(rep.Refusals) != 3 || rep.Refused != 2000 || !strings.Contains(b.String(), "and 1500 problems of other kinds") || !strings.Contains(b.String(), "and 1997 rows more") {
		t.Errorf("%d kept, %d refused", len(rep.Refusals), rep.Refused)
	}
}
