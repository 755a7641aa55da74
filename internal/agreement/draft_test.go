package agreement

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

// rounds is how often to try at random: fewer when short or watched for races,
// which what is tried at random has none of.
func rounds(n int) int {
	if raceEnabled || testing.Short() {
		n /= 10
	}
	return n
}

// A draft can be read at once, and Check then asks for each heading that it
// left empty and for nothing else.
func TestDraft(t *testing.T) {
	for _, n := range schemas.Names() {
		std := loadStandard(t, n)
		doc := Draft("northmoor.gov.uk/x", []name.Council{"saltby.gov.uk", "whinfell.gov.uk"}, std)
		a, err := Parse(doc)
		if err != nil {
			t.Fatalf("%s: %v\n%s", n, err, doc)
		}
		if a.Version != 1 || a.From != "northmoor.gov.uk" || len(a.To) != 2 || a.Mode != Replicate || a.Standard != std.Name().Line() {
			t.Errorf("%s: %+v", n, a)
		}
		if !slices.Equal(a.Fields, openFields("", std.Layout())) {
			t.Errorf("%s: fields %q", n, a.Fields)
		}
		for _, h := range headings {
			if !strings.Contains(string(doc), "# "+h.ask+"\n") {
				t.Errorf("%s: no guidance for %s", n, h.key)
			}
		}
		var asked []string
		for _, p := range a.Check(std) {
			if p.Rule != RuleEmpty {
				t.Errorf("%s: %+v", n, p)
			}
			asked = append(asked, p.Pointer)
		}
		for _, h := range headings {
			if (h.identity || h.optional || h.kind == isTable || h.key == "fields") == slices.Contains(asked, "/"+h.key) && !(h.key == "fields" && len(a.Fields) == 0) {
				t.Errorf("%s: %s asked for: %v", n, h.key, slices.Contains(asked, "/"+h.key))
			}
		}
		for _, want := range []string{"/roles/whinfell.gov.uk", "/contacts/northmoor.gov.uk"} {
			if !slices.Contains(asked, want) {
				t.Errorf("%s: %s is not asked for", n, want)
			}
		}
	}
}

// What the draft offers as comments can be uncommented.
func TestDraftOffersFields(t *testing.T) {
	std := loadStandard(t, "housing-need/1.0.0")
	doc := string(Draft("northmoor.gov.uk/x", []name.Council{"saltby.gov.uk"}, std))
	if !strings.Contains(doc, "  # - /nino   (personal)\n") || !strings.Contains(doc, "  # - /household/*/pregnant   (special)\n") || !strings.Contains(doc, "  # - /homeless_on   (personal)\n") {
		t.Errorf("not offered in\n%s", doc)
	}
	a, err := Parse([]byte(strings.ReplaceAll(doc, "  # - /", "  - /")))
	if err == nil || !strings.Contains(err.Error(), "JSON Pointer") && len(a.Fields) == 0 {
		// The class in brackets has to go with the mark; without it every
		// offer must be a field that can be shared.
		var lines []string
		for line := range strings.SplitSeq(doc, "\n") {
			if rest, ok := strings.CutPrefix(line, "  # - /"); ok {
				f, _, _ := strings.Cut(rest, "   (")
				line = "  - /" + f
			}
			lines = append(lines, line)
		}
		a, err = Parse([]byte(strings.Join(lines, "\n")))
		if err != nil {
			t.Fatal(err)
		}
	}
	a.Rows = "true"
	for _, p := range a.Check(std) {
		if p.Pointer == "/fields" {
			t.Errorf("%+v", p)
		}
	}
}

func TestDiff(t *testing.T) {
	old := parsed(t)
	for _, c := range []struct {
		why  string
		edit func(*Agreement)
		want []string
	}{
		{"nothing", func(*Agreement) {}, nil},
		{"version only", func(a *Agreement) { a.Version = 2 }, nil},
		{"a field more", func(a *Agreement) { a.Fields = append(a.Fields, "/nino") }, []string{"wider: field /nino is added"}},
		{"a field less", func(a *Agreement) {
			a.Fields = slices.DeleteFunc(a.Fields, func(f name.Field) bool { return f == "/consent" })
		}, []string{"narrower: field /consent is removed"}},
		{"a field whole", func(a *Agreement) { a.Fields = append(a.Fields, "/applicant") }, []string{"wider: field /applicant is added"}},
		{"a field in parts", func(a *Agreement) {
			a.Fields = slices.DeleteFunc(a.Fields, func(f name.Field) bool { return f == "/applicant/contact" })
			a.Fields = append(a.Fields, "/applicant/contact/email")
		}, []string{"narrower: field /applicant/contact is cut down to /applicant/contact/email"}},
		{"fields in another order", func(a *Agreement) { slices.Reverse(a.Fields) }, nil},
		{"every row", func(a *Agreement) { a.Rows = "true" }, []string{`wider: rows no longer ask for record.moved_to == "E07000999" && record.status != "closed"`}},
		{"a condition less", func(a *Agreement) { a.Rows = `record.moved_to == "E07000999"` }, []string{`wider: rows no longer ask for record.status != "closed"`}},
		{"a condition more", func(a *Agreement) { a.Rows += ` && record.referral == "agreed"` }, []string{`narrower: rows also ask for record.referral == "agreed"`}},
		{"another condition", func(a *Agreement) { a.Rows = `record.moved_to == "E07000999" && record.status != "main-duty"` },
			[]string{`changed: rows now ask for record.status != "main-duty", no longer for record.status != "closed"`}},
		{"rows spelled another way", func(a *Agreement) { a.Rows = `(record.status!='closed')&&record.moved_to=="E07000999"` }, nil},
		{"rows that are broken", func(a *Agreement) { a.Rows = `record.` }, []string{`changed: rows are now record., were record.moved_to == "E07000999" && record.status != "closed"`}},
		{"a receiver more", func(a *Agreement) {
			a.To = append(a.To, "whinfell.gov.uk")
			a.Roles["whinfell.gov.uk"] = Processor
		}, []string{"wider: receiver whinfell.gov.uk is added", `changed: roles of whinfell.gov.uk is now "processor"`}},
		{"kept longer", func(a *Agreement) { a.Retention = "P30M" }, []string{"wider: retention is now P30M, was P2Y"}},
		{"kept shorter", func(a *Agreement) { a.Retention = "P100D" }, []string{"narrower: retention is now P100D, was P2Y"}},
		{"kept as long", func(a *Agreement) { a.Retention = "P24M" }, []string{`changed: retention is now "P24M", was "P2Y"`}},
		{"an end", func(a *Agreement) { a.Ends = "2028-01-01" }, []string{"narrower: ends is now 2028-01-01, was not stated"}},
		{"earlier", func(a *Agreement) { a.Starts = "2026-11-01" }, []string{"wider: starts is now 2026-11-01, was 2026-12-01"}},
		{"lookup", func(a *Agreement) { a.Mode, a.Match = Lookup, []name.Field{"/nino"} }, []string{"wider: match field /nino is added", "narrower: mode is now lookup, was replicate"}},
		{"purpose", func(a *Agreement) { a.Purpose, a.LawfulBasis.SpecialCondition = "Marketing", "" },
			[]string{`changed: lawful_basis/special_condition is now empty, was "9(2)(g) substantial public interest, with paragraph 6 of Schedule 1 to the Data Protection Act 2018 (statutory purposes)"`,
				`changed: purpose is now "Marketing", was "Saltby takes up the housing case of a household that moves there, at the stage Northmoor had reached, so that nobody has to start again."`}},
	} {
		a := parsed(t)
		c.edit(a)
		got := Diff(old, a)
		slices.Sort(got)
		want := slices.Clone(c.want)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", c.why, got, want)
		}
	}
	// The end of an end is wider, and wider comes first.
	a, b := parsed(t, "starts: 2026-12-01", "starts: 2026-12-01\nends: 2028-01-01"), parsed(t)
	b.Exit = "At once."
	if got := Diff(a, b); len(got) != 2 || got[0] != "wider: ends is now not stated, was 2028-01-01" {
		t.Errorf("%q", got)
	}
}
