package agreement

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

// loadStandard loads one of the standards this repository publishes.
func loadStandard(t testing.TB, n string) *standard.Standard {
	t.Helper()
	s, err := standard.Load(schemas.FS(n))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func example(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/people-moving-to-saltby.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// parsed returns the example with edits made to its text: pairs of old and new.
func parsed(t testing.TB, edits ...string) *Agreement {
	t.Helper()
	doc := edited(t, edits...)
	a, err := Parse(doc)
	if err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	return a
}

func edited(t testing.TB, edits ...string) []byte {
	t.Helper()
	doc := string(example(t))
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(doc, edits[i]) {
			t.Fatalf("the example has no %q", edits[i])
		}
		doc = strings.ReplaceAll(doc, edits[i], edits[i+1])
	}
	return []byte(doc)
}

func TestExampleCanBeSigned(t *testing.T) {
	a := parsed(t)
	if ps := a.Check(loadStandard(t, "housing-need/1.0.0")); len(ps) != 0 {
		t.Errorf("problems: %+v", ps)
	}
	if got, want := a.Parties(), []name.Council{"northmoor.gov.uk", "saltby.gov.uk"}; got[0] != want[0] || got[1] != want[1] {
		t.Errorf("parties %v, want %v", got, want)
	}
	// Pinned: these bytes are what councils will have signed.
	const want = "5699318344373fab1153fb50dcf1e786cc920406ba014eb9c77f9017c3616d34"
	if got := a.Digest().String(); got != want {
		t.Errorf("digest %s, want %s; canonical bytes:\n%s", got, want, a.Canonical())
	}
	if !bytes.HasPrefix(a.Canonical(), []byte(`{"accuracy":"Northmoor corrects a record within one working day of learning of an error.\nThe correction`)) {
		t.Errorf("canonical bytes begin %.120s", a.Canonical())
	}
}

func TestNotationsAgree(t *testing.T) {
	for _, doc := range [][]byte{
		example(t),
		edited(t, "ends", "ends"), // as it is
		edited(t, "mode: replicate", "mode: lookup\nmatch: [/nino, /reference]"),
		edited(t, "purpose: >\n", "purpose: |\n"),
		edited(t, "starts: 2026-12-01", "starts: 2026-12-01\nends: '2028-01-01'"),
		edited(t, "retention: P2Y", "retention:"),
		edited(t, "dpia: NM-DPIA-2026-014, approved on 12 October 2026", `dpia: "- a: b # c"`),
		edited(t, "dpia: NM-DPIA-2026-014, approved on 12 October 2026", `dpia: "a    b `+strings.Repeat("long ", 30)+`"`),
		edited(t, "dpia: NM-DPIA-2026-014, approved on 12 October 2026", `dpia: "two\n\n   lines: #\\ é 🚲"`),
		edited(t, "dpia: NM-DPIA-2026-014, approved on 12 October 2026", `dpia: "null"`),
		edited(t, "dpia: NM-DPIA-2026-014, approved on 12 October 2026", `dpia: "0x1F"`),
		edited(t, "roles:\n", "roles:\n  harrow-on-sea.gov.uk:\n"),
	} {
		a, err := Parse(doc)
		if err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		printed := a.YAML()
		b, err := Parse(printed)
		if err != nil {
			t.Errorf("%v in what YAML printed:\n%s", err, printed)
			continue
		}
		if a.Digest() != b.Digest() {
			t.Errorf("YAML changes the digest: \n%s\nfrom\n%s", b.Canonical(), a.Canonical())
		}
		c, err := ParseCanonical(a.Canonical())
		if err != nil || c.Digest() != a.Digest() || !bytes.Equal(c.YAML(), printed) {
			t.Errorf("canonical bytes do not come back: %v\n%s", err, a.Canonical())
		}
	}
}

// Every heading, emptied one at a time and left out one at a time.
func TestEveryHeadingIsAsked(t *testing.T) {
	std := loadStandard(t, "housing-need/1.0.0")
	for _, h := range headings {
		full := parsed(t, "starts: 2026-12-01", "starts: 2026-12-01\nends: 2028-01-01")
		doc := full.document()
		flat := make(map[string]value)
		for _, g := range headings {
			if g.key != h.key {
				flat[g.key] = g.get(full)
			}
		}
		a := new(Agreement)
		err := a.read(flat, func(string) string { return "" })
		if h.identity {
			if !errors.Is(err, ErrDocument) || !strings.Contains(err.Error(), h.key+": is missing or empty") {
				t.Errorf("%s: %v; a document without identity must not be read", h.key, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", h.key, err)
			continue
		}
		ps := a.Check(std)
		switch h.key {
		case "origin", "match", "due", "most", "onward/to", "onward/under", "onward/fields", "onward/steps", "ends", "retention_from", "subject_questions", "lawful_basis/criminal_condition": // not called for in the example
			if len(ps) != 0 {
				t.Errorf("%s is optional here, and Check says %+v", h.key, ps)
			}
		default:
			if len(ps) != 1 || ps[0].Pointer != "/"+h.key || ps[0].Rule != RuleEmpty || ps[0].Detail == "" || ps[0].Fix == "" {
				t.Errorf("without %s, Check says %+v", h.key, ps)
			}
		}
		if _, ok := doc[strings.Split(h.key, "/")[0]]; !ok && !h.optional {
			t.Errorf("%s is not in the canonical document", h.key)
		}
	}
}

func TestPlaceholdersAreEmpty(t *testing.T) {
	std := loadStandard(t, "housing-need/1.0.0")
	for _, s := range []string{"TBC", "tbd.", "to be confirmed", "N/A", "n/a", "-", "…", "???", "[to be agreed]", "None", "XXX", "not applicable"} {
		a := parsed(t)
		a.Exit = s
		if ps := a.Check(std); len(ps) != 1 || ps[0].Pointer != "/exit" || ps[0].Rule != RuleEmpty {
			t.Errorf("exit %q: %+v", s, ps)
		}
	}
	for _, s := range []string{"Not applicable: nothing is kept.", "None of the records is kept.", "Nil return by letter", "By letter."} {
		a := parsed(t)
		a.Exit = s
		if ps := a.Check(std); len(ps) != 0 {
			t.Errorf("exit %q: %+v", s, ps)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n" +
		"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\npurpose: *f\n"
	for _, c := range []struct{ why, doc, want string }{
		{"empty", "", "empty"},
		{"only a comment", "# nothing\n", "empty"},
		{"a list", "- a\n", "headings"},
		{"not UTF-8", "agreement: \xff", "UTF-8"},
		{"UTF-16", "a\x00g\x00", "control characters"},
		{"unknown heading", string(edited(t, "purpose:", "purpouse:")), `line 26: unknown heading "purpouse"`},
		{"unknown heading below", string(edited(t, "article_6:", "article_5:")), `unknown heading "lawful_basis/article_5"`},
		{"twice", string(edited(t, "retention: P2Y", "retention: P2Y\nretention: P9Y")), `heading "retention" is already on line`},
		{"twice below", string(edited(t, "  legal_power:", "  article_6: x\n  legal_power:")), `heading "lawful_basis/article_6" is already on line`},
		{"party twice", string(edited(t, "  saltby.gov.uk: controller", "  saltby.gov.uk: controller\n  saltby.gov.uk: processor")), `"saltby.gov.uk" comes twice`},
		{"second document", string(example(t)) + "---\na: b\n", "second document"},
		{"second, broken document", string(example(t)) + "---\na: [\n", "yaml"},
		{"alias bomb", bomb, "anchors and aliases"},
		{"alias to itself", "a: &a [*a]\n", "anchor"},
		{"alias as heading", "x: &x purpose\n*x : y\n", "anchor"},
		{"merge", "x: &x {a: b}\n<<: *x\n", "anchor"},
		{"tag", string(edited(t, "retention: P2Y", "retention: !!str P2Y")), "tags"},
		{"binary", string(edited(t, "retention: P2Y", "retention: !!binary UDJZ")), "tags"},
		{"deep", "purpose: [[[[[[x]]]]]]\n", "nested too deep"},
		{"very deep", "purpose: " + strings.Repeat("[", 50000), "yaml"},
		{"too large", "# " + strings.Repeat("x", MaxDocument), "larger"},
		{"text is a list", string(edited(t, "retention: P2Y", "retention: [P2Y]")), "retention: want a text"},
		{"list is a text", string(edited(t, "to: [saltby.gov.uk]", "to: saltby.gov.uk")), "to: want a list"},
		{"table is a list", string(edited(t, "  northmoor.gov.uk: controller\n  saltby.gov.uk: controller", "  - a")), "roles: want a table"},
		{"basis is a text", "lawful_basis: 6(1)(e)\n", "want headings below"},
		{"long text", "purpose: " + strings.Repeat("x", MaxText+1), "longer than"},
		{"long rows", "rows: " + strings.Repeat("x", MaxRows+1), "longer than"},
		{"right-to-left override", string(edited(t, "retention: P2Y", "retention: \"P\u202e2Y\"")), "U+202E"},
		{"version 0", string(edited(t, "version: 1", "version: 0")), "whole number"},
		{"version 01", string(edited(t, "version: 1", "version: 01")), "whole number"},
		{"version 1.0", string(edited(t, "version: 1", "version: 1.0")), "whole number"},
		{"mode", string(edited(t, "mode: replicate", "mode: copy")), "replicate, lookup, private-lookup, aggregate"},
		{"role", string(edited(t, "northmoor.gov.uk: controller", "northmoor.gov.uk: boss")), "controller, joint controller, processor"},
		{"date", string(edited(t, "starts: 2026-12-01", "starts: 01/12/2026")), "want a date such as"},
		{"day that is not", string(edited(t, "starts: 2026-12-01", "starts: 2026-02-30")), "want a date such as"},
		{"time", string(edited(t, "starts: 2026-12-01", "starts: 2026-12-01T00:00:00Z")), "want a date such as"},
		{"duration", string(edited(t, "retention: P2Y", "retention: two years")), "ISO 8601"},
		{"hours", string(edited(t, "retention: P2Y", "retention: PT5H")), "ISO 8601"},
		{"sender receives", string(edited(t, "to: [saltby.gov.uk]", "to: [saltby.gov.uk, northmoor.gov.uk]")), "northmoor.gov.uk is the sender"},
		{"named after another", string(edited(t, "agreement: northmoor", "agreement: southmoor")), "must begin with the sender"},
		{"receiver twice", string(edited(t, "to: [saltby.gov.uk]", "to: [saltby.gov.uk, saltby.gov.uk]")), "twice"},
		{"field twice", string(edited(t, "  - /status\n", "  - /status\n  - /status\n")), "twice"},
		{"field without a slash", string(edited(t, "  - /status\n", "  - status\n")), "JSON Pointer"},
		{"council in capitals", string(edited(t, "from: northmoor", "from: Northmoor")), "lower case"},
	} {
		start := time.Now()
		_, err := Parse([]byte(c.doc))
		if !errors.Is(err, ErrDocument) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.why, err, c.want)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%s: took %v", c.why, d)
		}
	}
}

// All that is wrong with the values is said at once, each with its line.
func TestParseSaysEverything(t *testing.T) {
	_, err := Parse(edited(t, "starts: 2026-12-01", "starts: soon", "retention: P2Y", "retention: long", "mode: replicate", "mode: copy"))
	for _, want := range []string{"line 7: mode", "line 60: retention", "line 66: starts"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in:\n%v", want, err)
		}
	}
}

func TestParseCanonicalRefuses(t *testing.T) {
	good := string(parsed(t).Canonical())
	for _, c := range []struct{ why, doc, want string }{
		{"space", strings.Replace(good, ":", ": ", 1), "canonical form"},
		{"order", strings.Replace(good, `"agreement":`, `"zz":"","agreement":`, 1), "unknown heading"},
		{"left out", strings.Replace(good, `"exit":`, `"exit2":`, 1), "unknown heading"},
		{"empty optional", strings.Replace(good, `"exit":`, `"ends":"","exit":`, 1), "canonical form"},
		{"number as text", strings.Replace(good, `"version":1`, `"version":"1"`, 1), "want a number"},
		{"1.0", strings.Replace(good, `"version":1`, `"version":1.0`, 1), "whole number"},
		{"null", strings.Replace(good, `"version":1`, `"version":null`, 1), "want a number"},
		{"escaped", strings.Replace(good, `"controller"`, `"\u0063ontroller"`, 1), "canonical form"},
		{"trailing", good + "\n", "canonical"},
		{"untidy text", strings.Replace(good, `"accuracy":"`, `"accuracy":" `, 1), "spaces"},
		{"control", strings.Replace(good, `"accuracy":"`, `"accuracy":"\u0007`, 1), "U+0007"},
		{"not an object", `[]`, "not an object"},
		{"basis", strings.Replace(good, `"lawful_basis":{`, `"lawful_basis":{"x":1,`, 1), "unknown heading"},
		{"duplicate", strings.Replace(good, `"version":1`, `"version":1,"version":1`, 1), "duplicate"},
		{"list of numbers", strings.Replace(good, `"to":["saltby.gov.uk"]`, `"to":[1]`, 1), "want a list"},
	} {
		if _, err := ParseCanonical([]byte(c.doc)); !errors.Is(err, ErrDocument) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.why, err, c.want)
		}
	}
}

func TestInForce(t *testing.T) {
	a := parsed(t, "starts: 2026-12-01", "starts: 2026-12-01\nends: 2027-12-01", "to: [saltby.gov.uk]", "to: [saltby.gov.uk, whinfell.gov.uk]")
	all := map[name.Council]bool{"northmoor.gov.uk": true, "saltby.gov.uk": true, "whinfell.gov.uk": true}
	day := func(s string) time.Time {
		d, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, c := range []struct {
		now    string
		signed map[name.Council]bool
		want   string
	}{
		{"2026-12-01T00:00:00Z", all, ""},
		{"2026-12-01T00:59:00+01:00", all, "starts 2026-12-01"}, // still November in UTC
		{"2026-11-30T23:59:59Z", all, "starts 2026-12-01"},
		{"2027-11-30T23:59:59Z", all, ""},
		{"2027-12-01T00:00:00Z", all, "ended 2027-12-01"},
		{"2027-12-01T00:00:00Z", nil, "ended 2027-12-01"},
		{"2026-12-02T00:00:00Z", nil, "awaiting the signatures of northmoor.gov.uk, saltby.gov.uk and whinfell.gov.uk"},
		{"2026-12-02T00:00:00Z", map[name.Council]bool{"northmoor.gov.uk": true, "whinfell.gov.uk": true, "other.gov.uk": true}, "awaiting saltby.gov.uk's signature"},
		{"2026-11-02T00:00:00Z", map[name.Council]bool{"saltby.gov.uk": true, "whinfell.gov.uk": true}, "awaiting northmoor.gov.uk's signature"},
	} {
		if ok, why := a.InForce(day(c.now), c.signed); why != c.want || ok != (c.want == "") {
			t.Errorf("at %s: %v, %q; want %q", c.now, ok, why, c.want)
		}
	}
	draft := parsed(t, "starts: 2026-12-01", "starts:")
	if ok, why := draft.InForce(day("2026-12-02T00:00:00Z"), all); ok || why == "" {
		t.Error("an agreement without a start is in force")
	}
}

func TestCheckDates(t *testing.T) {
	std := loadStandard(t, "housing-need/1.0.0")
	for _, c := range []struct{ edit, pointer string }{
		{"starts: 2026-12-01\nends: 2026-12-01", "/ends"},
		{"starts: 2026-12-01\nends: 2026-11-01", "/ends"},
		{"starts: 2027-06-01", "/review"},
		{"starts: 2026-12-01\nends: 2027-05-31", "/review"},
		{"starts: 2026-12-01\nends: 2027-06-01", ""},
	} {
		got := ""
		ps := parsed(t, "starts: 2026-12-01", c.edit).Check(std)
		for _, p := range ps {
			if p.Rule != RuleDates {
				t.Errorf("%s: %+v", c.edit, p)
			}
			got = p.Pointer
		}
		if (c.pointer == "") != (got == "") || (c.pointer != "" && ps[0].Pointer != c.pointer && got != c.pointer) {
			t.Errorf("%s: %+v, want a problem at %q", c.edit, ps, c.pointer)
		}
	}
}

// Texts made of what YAML finds hard, in every place a text can stand.
func TestAnyTextComesThroughYAML(t *testing.T) {
	pieces := []string{" ", " ", "  ", "\n", "\n\n", "\n  ", ":", ": ", " #", "#", "- ", "-", "---", "...", "'", "\"", "\\", "|", ">", "&", "*", "!", "%", "@", "`", "{", "}", "[", "]", ",", "?",
		"true", "null", "~", "1", "0x1", "1e3", "2026-12-01", "a", "word", "é", "\u00a0", "\u3000", "🚲", "\t", "\r\n", "\u200b", strings.Repeat("long ", 20), "<<", "=", "=="}
	r := newRand(5)
	for range rounds(5000) {
		var b strings.Builder
		for range 1 + r.IntN(8) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		s := tidy(b.String())
		if err := textForm(s); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		a := simple(s, "/id")
		a.Purpose, a.LawfulBasis.LegalPower, a.Contacts["b.example"] = s, s, s
		back, err := Parse(a.YAML())
		if err != nil {
			t.Fatalf("%q: %v in\n%s", s, err, a.YAML())
		}
		if back.Purpose != s || back.LawfulBasis.LegalPower != s || back.Contacts["b.example"] != s || back.Rows != s || back.Digest() != a.Digest() {
			t.Fatalf("%q comes back as %q from\n%s", s, back.Purpose, a.YAML())
		}
	}
}

func TestDuration(t *testing.T) {
	from := time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{"P1Y": "2025-03-01", "P6Y": "2030-03-01", "P90D": "2024-05-29", "P2W": "2024-03-14", "P1Y6M": "2025-08-29"} {
		d, err := ParseDuration(in)
		if err != nil || d.After(from).Format(time.DateOnly) != want || d.Zero() {
			t.Errorf("%s: %v %v, want %s", in, d.After(from), err, want)
		}
	}
	if d, err := ParseDuration("P0D"); err != nil || !d.Zero() || Duration("").Zero() {
		t.Errorf("P0D: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(example(f))
	f.Add(parsed(f).YAML())
	f.Add(Draft("northmoor.gov.uk/x", []name.Council{"saltby.gov.uk"}, loadStandard(f, "brownfield-site/1.0.0")))
	f.Add(edited(f, "purpose: >\n", "purpose: |\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		a, err := Parse(doc)
		if err != nil {
			return
		}
		printed := a.YAML()
		b, err := Parse(printed)
		if err != nil {
			t.Fatalf("%v in what YAML printed:\n%q", err, printed)
		}
		if !bytes.Equal(a.Canonical(), b.Canonical()) {
			t.Fatalf("YAML changes\n%s\nto\n%s", a.Canonical(), b.Canonical())
		}
		c, err := ParseCanonical(a.Canonical())
		if err != nil || !bytes.Equal(c.Canonical(), a.Canonical()) {
			t.Fatalf("canonical bytes do not come back: %v\n%s", err, a.Canonical())
		}
		if ps := Diff(a, c); len(ps) != 0 {
			t.Fatalf("differs from itself: %q", ps)
		}
	})
}

func FuzzParseCanonical(f *testing.F) {
	f.Add(parsed(f).Canonical())
	f.Add([]byte(`{"agreement":"a.b/c","from":"a.b","mode":"lookup","standard":"a.b/c@1","to":["c.d"],"version":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseCanonical(b)
		if err != nil {
			return
		}
		if !bytes.Equal(a.Canonical(), b) {
			t.Fatalf("%s\nprints as\n%s", b, a.Canonical())
		}
		back, err := Parse(a.YAML())
		if err != nil || !bytes.Equal(back.Canonical(), b) {
			t.Fatalf("does not come back through YAML: %v\n%s", err, a.YAML())
		}
	})
}
