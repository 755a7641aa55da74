package paper_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/examples/agreements"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/document"
	"github.com/stile-exchange/stile/internal/paper"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

func housing(t testing.TB) (*agreement.Agreement, *standard.Standard) {
	t.Helper()
	b, err := os.ReadFile("../../examples/people/agreement.yaml")
	if err != nil {
		t.Fatal(err)
	}
	a, err := agreement.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	std, err := standard.Load(schemas.FS("housing-need/1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	return a, std
}

func read(t testing.TB, d *document.Document, f document.Format) paper.Filled {
	t.Helper()
	var b bytes.Buffer
	if err := d.Write(&b, f); err != nil {
		t.Fatal(err)
	}
	got, err := document.Read(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return paper.Fill(got)
}

// A paper that was printed from an agreement becomes the same agreement again: nothing
// of it has no place, and the two have one digest.
func TestThereAndBack(t *testing.T) {
	texts := map[string][]byte{}
	for _, tpl := range agreements.Templates() {
		texts[tpl.Name] = tpl.Document
	}
	housed, std := housing(t)
	texts["people"] = housed.YAML()
	// Headings that no example has together.
	all := strings.Replace(string(texts["child-protection-plan-transfer"]), "\ndue:", "\nretention_from: receipt\nsubject_questions: answered\nmost: 500 in all, 50 a day\nends: 2031-01-01\ndue:", 1)
	texts["all"] = []byte(all)
	for named, text := range texts {
		a, err := agreement.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", named, err)
		}
		printed := paper.Write(a, nil, paper.Evidence{})
		if named == "people" {
			printed = paper.Write(a, std, paper.Evidence{})
		}
		for _, f := range []document.Format{document.DOCX, document.ODT, document.MD} {
			got := read(t, printed, f)
			back := new(agreement.Agreement)
			remarks, rest := got.Into(back)
			if back.Digest() != a.Digest() {
				t.Errorf("%s, %s: another agreement came back:\n%s", named, f, back.YAML())
			}
			for key, lines := range remarks {
				for _, l := range lines {
					if !strings.HasPrefix(l, "From ") {
						t.Errorf("%s, %s: %s: %s", named, f, key, l)
					}
				}
			}
			// The lines that Write puts before the first section are of no heading.
			if len(rest) > 4 {
				t.Errorf("%s, %s: left: %q", named, f, rest)
			}
		}
	}
}

// Each heading that an agreement may have has a place in the paper: what is signed is printed.
func TestEveryHeadingHasAPlace(t *testing.T) {
	for _, h := range agreement.Headings() {
		d := &document.Document{}
		d.Heading(2, h.Key)
		d.Add("some text")
		if filled := paper.Fill(d); filled.Texts[h.Key] == "" {
			t.Errorf("%s is in no section", h.Key)
		}
	}
}

// What the nodes see to is said in words, of each mode what it has.
func TestEnforcedInWords(t *testing.T) {
	for name, want := range map[string][]string{
		"child-protection-plan-transfer": {"Taken over: within 15 working days of the day of notice", "Kept: 25 years from receipt, also after the agreement has ended."},
		"licence-refusals":               {"asked for by one of these, and by nothing else:", "- /driving_licence", "people keep what they note for 1 year."},
		"fly-tipping":                    {"(nothing is agreed of this)"},
	} {
		tpl, ok := agreements.Find(name)
		a, err := agreement.Parse(tpl.Document)
		if !ok || err != nil {
			t.Fatal(name, err)
		}
		a.Most.Day = 50
		a.Rows = strings.ReplaceAll(a.Rows, agreements.ReceiverGSS, "E06000066")
		if strings.Contains(a.Rows, "E06000066") {
			want = append(want, `"E06000066" (Somerset)`)
		}
		var b bytes.Buffer
		if err := paper.Write(a, nil, paper.Evidence{}).Write(&b, document.MD); err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(b.String(), `\`, "")
		what := "records, to each receiver"
		if !a.Way().Copied {
			what = "questions, answered to each receiver"
		}
		for _, w := range append(want, "At most: 50 a day of "+what) {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in\n%s", name, w, text)
			}
		}
	}
}

// The paper has every heading that is filled in, the rows and fields in plain words, both
// signatures and where they stand.
func TestPaper(t *testing.T) {
	a, std := housing(t)
	ev := paper.Evidence{State: "in force", Log: "northmoor.gov.uk", Size: 9, Root: "ROOT",
		Signatures: []paper.Signature{
			{Council: "northmoor.gov.uk", By: "Jo Smith", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Entry: 3, Digest: "aa"},
			{Council: "saltby.gov.uk", At: time.Date(2026, 1, 3, 3, 4, 5, 0, time.UTC), Entry: 7, Digest: "bb"}}}
	var b bytes.Buffer
	if err := paper.Write(a, std, ev).Write(&b, document.MD); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(b.String(), `\`, "")
	for _, h := range agreement.Headings() {
		if v := a.Text(h.Key); v != "" && !h.List && !h.Table && !strings.Contains(text, strings.Split(v, "\n")[0]) {
			t.Errorf("the paper lacks %s", h.Key)
		}
	}
	for _, want := range []string{
		`- /moved_to is "E07000999"`, `- /status is none of ["closed", "withdrawn"]`,
		"| /applicant/name |", "| personal |", "Jo Smith", "2026-01-03 03:04:05", "entry 7 of its log", "SHA-256 of the signed event: bb",
		a.Digest().String(), "9 entries, root ROOT", "is in force", "the condition does not hold, whichever way it is put",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the paper lacks %q", want)
		}
	}
	if strings.Contains(text, "nobody has signed") {
		t.Error("a signed paper says that it is a draft")
	}
	b.Reset()
	if err := paper.Write(a, nil, paper.Evidence{}).Write(&b, document.MD); err != nil || !strings.Contains(b.String(), "Draft: nobody has signed this text") {
		t.Errorf("a draft does not say so: %v", err)
	}
}

// A paper as a council wrote it: headings by the code's questions, by number, unstyled, in
// a form; days and lengths of time in words; and much that has no place.
const theirs = `# Information sharing agreement

Between two councils, version 3.

## 1. Introduction
Both councils value privacy.

## 2. What is the purpose of the data sharing initiative?
To house people who move.
- promptly

## 3. Legal basis
Article 6(1)(e) public task

## Special category data
None is shared, since health is left out.

| Organisation | Data Protection Officer |
|---|---|
| Northmoor | dpo@northmoor.gov.uk |

| DPIA reference | DPIA 7 of 2026 |
|---|---|
| Retention period | Records are kept for six (6) years and then destroyed. |
| Review date | 1st December 2027 |
| Commencement | on 01/04/2026 or 02/04/2026 |
| Mascot | an owl |

## Indemnity
Each party indemnifies the other.
`

func TestTheirPaper(t *testing.T) {
	d, err := document.Read([]byte(theirs))
	if err != nil {
		t.Fatal(err)
	}
	_, std := housing(t)
	a := &agreement.Agreement{Name: "northmoor.gov.uk/x", Version: 1, From: "northmoor.gov.uk", To: []name.Council{"saltby.gov.uk"}, Mode: "replicate", Standard: std.Name().Line()}
	remarks, rest := paper.Fill(d).Into(a)
	for key, want := range map[string]string{
		"purpose": "To house people who move.\n- promptly", "lawful_basis/article_6": "Article 6(1)(e) public task",
		"lawful_basis/special_condition": "None is shared, since health is left out.",
		"dpia":                           "DPIA 7 of 2026", "retention": "P6Y", "review": "2027-12-01", "starts": "",
	} {
		if got := a.Text(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	doc := a.Draft(std, remarks, rest)
	if _, err := agreement.Parse(doc); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"READ AS P6Y from line 22, row 2 of the paper, which says: Records are kept", "CANNOT BE TAKEN AS IT STANDS: line 22, row 4 says: on 01/04/2026",
		`# NOT PLACED, under "Indemnity":`, "# line 30: Each party indemnifies the other.", "Mascot | an owl", "Both councils value privacy.", "Northmoor | dpo@",
	} {
		if !strings.Contains(string(doc), want) {
			t.Errorf("the draft lacks %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", doc)
	}
}

// A paper of nothing but strange text is a draft with comments, within the size that an
// agreement may have; a heading longer than one may be is cut where a word ends, and says so.
func TestLargePaper(t *testing.T) {
	_, std := housing(t)
	d := &document.Document{Title: "x"}
	d.Heading(1, "Purpose")
	d.Add(strings.Repeat("many words ", 2000))
	d.Heading(1, "Strange")
	for range 200 {
		d.Add(strings.Repeat("unknown \u202e\x00 text ", 40))
	}
	a := &agreement.Agreement{Name: "northmoor.gov.uk/x", Version: 1, From: "northmoor.gov.uk", To: []name.Council{"saltby.gov.uk"}, Mode: "replicate"}
	remarks, rest := paper.Fill(d).Into(a)
	doc := a.Draft(std, remarks, rest)
	if _, err := agreement.Parse(doc); err != nil {
		t.Fatal(err)
	}
	if last := rest[len(rest)-1]; !strings.Contains(last, "more pieces are not shown") {
		t.Errorf("what is not shown is not said: %q", last)
	}
	if !slices.ContainsFunc(remarks["purpose"], func(s string) bool { return strings.Contains(s, "LONGER THAN A HEADING") }) || len(a.Purpose) > agreement.MaxText {
		t.Errorf("purpose of %d bytes: %q", len(a.Purpose), remarks["purpose"])
	}
}

// FuzzFill: whatever a document holds, the draft of it can be read.
func FuzzFill(f *testing.F) {
	a, std := housing(f)
	var b bytes.Buffer
	if err := paper.Write(a, std, paper.Evidence{}).Write(&b, document.MD); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(theirs))
	f.Add([]byte("# a\n## Contacts\n| x.gov.uk | y |\n## roles\nx: y\n## to\n* b.gov.uk\n## retention\nP6Y\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		d, err := document.Read(in)
		if err != nil {
			return
		}
		a := &agreement.Agreement{Name: "northmoor.gov.uk/x", Version: 1, From: "northmoor.gov.uk", To: []name.Council{"saltby.gov.uk"}, Mode: "replicate"}
		remarks, rest := paper.Fill(d).Into(a)
		if _, err := agreement.Parse(a.Draft(std, remarks, rest)); err != nil {
			t.Fatalf("the draft cannot be read: %v", err)
		}
	})
}
