package exchange

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const small = `
title: A small one
problem: It is a test.
stays: Nothing.
standards: [waste-report]
councils:
  - {council: a.gov.uk, title: A, gss: E07000001, part: sends}
  - {council: b.gov.uk, title: B, gss: E07000002, part: receives}
  - {council: c.gov.uk, title: C, gss: E07000003, part: looks on}
made_up:
  - file: in.csv
    form: Made up.
    seed: 1
    rows: 3
    columns:
      - {heading: Ref, cell: "R-{n 3}"}
      - {heading: Copy, cell: "of {cell Ref}"}
      - {heading: Half, cell: yes, chance: 0.5}
      - {heading: Of another, cell: "{n 2 3 2}"}
    mistakes:
      - {row: 2, set: {Ref: ""}}
  - file: in.ndjson
    form: The standard's own.
    seed: 2
    rows: 2
    record:
      ref: "{nhs}"
      count: "={int 1 1}"
      open: "=true"
      gone: {$chance: 0, never: here}
      list: ["{upn}", {x: "{uuid}"}]
steps:
  - {say: It is read., at: a.gov.uk, run: 'import in.csv --because "case {n}"'}
`

func open(t *testing.T, doc string) (*Exchange, error) {
	t.Helper()
	return Open("07-small", fstest.MapFS{FileName: {Data: []byte(doc)}, "other.txt": {Data: []byte("x")}})
}

// The same seed makes the same file, and a mistake is where it was told to be.
func TestFiles(t *testing.T) {
	e, err := open(t, small)
	if err != nil {
		t.Fatal(err)
	}
	one, err := e.Files()
	if err != nil {
		t.Fatal(err)
	}
	two, err := e.Files()
	if err != nil {
		t.Fatal(err)
	}
	for name := range one {
		if !bytes.Equal(one[name], two[name]) {
			t.Errorf("%s is another one the second time", name)
		}
	}
	lines := strings.Split(string(one["in.csv"]), "\n")
	if lines[0] != "Ref,Copy,Half,Of another" || !strings.HasPrefix(lines[1], "R-001,of R-001,") || !strings.HasPrefix(lines[2], ",of R-002,") || !strings.HasSuffix(lines[1], ",02") || !strings.HasSuffix(lines[2], ",05") {
		t.Errorf("in.csv is %q", lines)
	}
	if string(one["other.txt"]) != "x" {
		t.Error("a file of the folder is missing")
	}
	record := string(one["in.ndjson"])
	for _, want := range []string{`"count":1`, `"open":true`} {
		if !strings.Contains(record, want) {
			t.Errorf("%s is not in %s", want, record)
		}
	}
	if strings.Contains(record, "never") {
		t.Errorf("what has no chance is in %s", record)
	}
	got, err := e.Fill("x {cell in.csv 3 Copy} y")
	if err != nil || got != "x of R-003 y" {
		t.Errorf("Fill: %q, %v", got, err)
	}
	for _, wrong := range []string{"{cell in.csv 4 Copy}", "{cell in.csv 1 None}", "{cell no.csv 1 Copy}", "{cell in.ndjson 1 /none}"} {
		if _, err := e.Fill(wrong); err == nil {
			t.Errorf("%s was filled", wrong)
		}
	}
}

func TestWords(t *testing.T) {
	for command, want := range map[string][]string{
		`import a.csv`:               {"import", "a.csv"},
		`show "a b" 'c "d"'`:         {"show", "a b", `c "d"`},
		`show {cell a 1 B} --x=""`:   {"show", "{cell a 1 B}", "--x="},
		"a\n  b":                     {"a", "b"},
		`lookup --because "case ''"`: {"lookup", "--because", "case ''"},
	} {
		got, err := Words(command)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Words(%q) = %q, %v; want %q", command, got, err, want)
		}
	}
	for _, wrong := range []string{"", " ", `a "b`, "a {b"} {
		if got, err := Words(wrong); err == nil {
			t.Errorf("Words(%q) = %q", wrong, got)
		}
	}
}

// What is wrong with an exchange is told with its place.
func TestOpenErrors(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"title: A small one", "title: ''", "title: is empty"},
		{"standards: [waste-report]", "standards: []", "standards: is empty"},
		{"  - {council: c.gov.uk, title: C, gss: E07000003, part: looks on}\n", "", "councils: want 3 to"},
		{"gss: E07000003", "gss: E07000002", "councils, 3: its name or its GSS code stands above"},
		{"form: Made up.", "form: ''", "made_up, 1: form: is empty"},
		{"rows: 3", "rows: 0", "made_up, 1: rows: want 1 to"},
		{"{n 3}", "{m 3}", `made_up, 1: column "Ref": {m 3}: nothing is called "m"`},
		{"{n 2 3 2}", "{n 2 3 2 1}", "want at most digits, step and first number"},
		{"{cell Ref}", "{cell Later}", `"Later" stands under no earlier heading`},
		{"row: 2", "row: 4", "mistakes: there is no row 4"},
		{`"={int 1 1}"`, `"=one"`, `"one" is no number`},
		{"at: a.gov.uk", "at: d.gov.uk", `steps, 1: at: "d.gov.uk" is none of the councils`},
		{"run: 'import in.csv", "agree: 'import in.csv", "steps, 1: at is for a command"},
		{"say: It is read., at: a.gov.uk, run: ", "say: It is read., agree: ", `steps, 1: agree: there is no file`},
		{`at: a.gov.uk, run: 'import in.csv --because "case {n}"'`, "accept: exchange-case, to: a.gov.uk", "steps, 1: accept: want each"},
		{`at: a.gov.uk, run: 'import in.csv --because "case {n}"'`, "each: everyone, accept: exchange-case, to: a.gov.uk", `steps, 1: to: "a.gov.uk" is none of the councils, or one of those who accept`},
		{`at: a.gov.uk, run: 'import in.csv --because "case {n}"'`, "each: everyone, run: record list, to: a.gov.uk", "steps, 1: to is for accept"},
		{"steps:\n", "stepz:\n", "field stepz not found"},
	} {
		if !strings.Contains(small, c.old) {
			t.Fatalf("the example has no %q", c.old)
		}
		_, err := open(t, strings.Replace(small, c.old, c.new, 1))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("with %q: %v, want %q", c.new, err, c.want)
		}
	}
	if _, err := Open("small", fstest.MapFS{FileName: {Data: []byte(small)}}); err == nil {
		t.Error("a folder without a number was taken")
	}
}

// TestFew: an exchange of many councils is played with fewer, and never without one that a
// step names or that keeps a footprint.
func TestFew(t *testing.T) {
	folder := func(at string) fstest.MapFS {
		return fstest.MapFS{FileName: {Data: []byte(`title: t
problem: p
stays: s
standards: [x]
councils:
  - {council: a.gov.uk, gss: E1, group: g}
  - {council: b.gov.uk, gss: E2, group: g}
  - {council: c.gov.uk, gss: E3, group: g}
  - {council: d.gov.uk, gss: E4, group: h}
  - {council: e.gov.uk, gss: E5, group: h}
footprints: [{footprint: f.example, members: [a.gov.uk, b.gov.uk, c.gov.uk]}]
steps: [{say: s, at: ` + at + `, run: status}, {say: s, each: everyone, run: status}]
`)}}
	}
	e, err := Open("06-x-y", folder("d.gov.uk"))
	if err != nil {
		t.Fatal(err)
	}
	few, err := e.Few(1)
	if err != nil || len(few.Councils) != 4 || len(e.Councils) != 5 || len(few.Turns(few.Steps[1])) != 4 {
		t.Errorf("few: %v, %v", few.Councils, err)
	}
	if e, err = Open("06-x-y", folder("e.gov.uk")); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Few(1); err == nil {
		t.Error("a step's council is left out without an error")
	}
}
