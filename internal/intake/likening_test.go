package intake

import (
	"fmt"
	"strings"
	"testing"
)

// Two thousand headings that are missing, of a file with two thousand others, are not
// all held against each other: the guesses stop at a count, and the error says so.
func TestLikeningEndsInWords(t *testing.T) {
	var wanted, have []string
	m := &Mapping{Version: MappingVersion}
	for i := range 1500 {
		wanted = append(wanted, fmt.Sprintf("wanted heading %d %s", i, strings.Repeat("x", 60)))
		have = append(have, fmt.Sprintf("other heading %d %s", i, strings.Repeat("y", 60)))
	}
	l := newLikening()
	for _, w := range wanted {
		l.nearest([]string{w}, have)
	}
	if done := maxLikening - l.left; done > maxLikening+10_000 {
		t.Errorf("%d letters were held against letters, of %d", done, maxLikening)
	}
	if l.left >= 0 {
		t.Fatal("the work was not more than is allowed: the test has looked in vain")
	}
	if l.alike("the same", "the same") != 0 {
		t.Error("a spent likening still compares")
	}

	yaml := "mapping: 1\nstandard: standards.example/site@1\ncolumns:\n"
	for i, w := range wanted {
		yaml += fmt.Sprintf("  - {to: /f%d, from: %q}\n", i, w)
	}
	m, err := ParseMapping([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(strings.NewReader(strings.Join(have, ",")+"\n"), Options{Format: CSV, Mapping: m})
	if err == nil || !strings.Contains(err.Error(), "and 1450 more") || len(err.Error()) > 20_000 {
		t.Fatalf("%.300v", err)
	}
	fix := err.(*FileError).Fix
	if !strings.Contains(fix, "too many headings") {
		t.Errorf("the guesses ended without a word: %.300s", fix)
	}
}

// What a replacement makes counts as work of the row, so that a column which makes
// a hundred letters of one is not read over and over.
func TestReplacementsCount(t *testing.T) {
	yaml := "mapping: 1\nstandard: standards.example/site@1\ncolumns:\n"
	for i := range 100 {
		yaml += fmt.Sprintf("  - {to: /f%d, from: A, replace: {a: %q}}\n", i, strings.Repeat("x", 100))
	}
	m, err := ParseMapping([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	rd, err := Open(strings.NewReader("A\n"+strings.Repeat("a", 200<<10)+"\n"), Options{Format: CSV, Mapping: m})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := rd.Scan()
	if err != nil {
		t.Fatal(err)
	}
	row := rd.Read(raw)
	if len(row.Problems) != 1 || row.Problems[0].Rule != RuleSize || !strings.Contains(row.Problems[0].Detail, "over and over") {
		t.Fatalf("%+v", row.Problems)
	}
	c, err := compile(m)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.columns) != 100 {
		t.Fatal(len(c.columns))
	}
	sp := &spend{limits: rd.o.Limits}
	made := 0
	for _, col := range rd.plan.columns {
		if sp.over {
			break
		}
		made++
		rd.plan.value(col, strings.Repeat("a", 200<<10), &Row{}, sp)
	}
	if made > 2 {
		t.Errorf("%d columns made 20 MB each before anybody counted", made)
	}
}
