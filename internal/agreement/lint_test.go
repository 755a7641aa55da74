package agreement_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/schemas"
)

// Each rule of lint speaks of the fault that it is for, at its heading, and of nothing
// else in an agreement that is in order.
func TestLint(t *testing.T) {
	today := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	b, err := os.ReadFile("../../examples/people/agreement.yaml")
	if err != nil {
		t.Fatal(err)
	}
	good := strings.Replace(string(b), "ends: 2031-01-01", "ends: 2028-01-01", 1)
	std, err := standard.Load(schemas.FS("housing-need/1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	lint := func(doc string) []standard.Finding {
		t.Helper()
		a, err := agreement.Parse([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		return a.Lint(std, today)
	}
	if found := lint(good); len(found) != 0 {
		t.Fatalf("an agreement in order: %+v", found)
	}
	for _, c := range []struct{ rule, at, old, new string }{
		{agreement.LintDPIA, "/dpia", "DPIA 2026/14 of both councils, signed off 2026-09-30.", "Both councils have done one."},
		{agreement.LintRetention, "/retention", "from the day they ask.", "to verify a claim once."},
		{agreement.LintRetention, "/retention", "retention: P2Y", "retention: P20Y"},
		{agreement.LintAllRows, "/rows", `record.moved_to == "E07000999" && !(record.status in ["closed", "withdrawn"])`, `"true"`},
		{agreement.LintNever, "/rows", `["closed", "withdrawn"]`, `["closed", "Withdrawn"]`},
		{agreement.LintNever, "/rows", `record.moved_to == "E07000999"`, `record.moved_to == 7000999`},
		{agreement.LintNever, "/rows", `record.moved_to == "E07000999"`, `null != record.status`},
		{agreement.LintNever, "/rows", `record.moved_to == "E07000999"`, `timestamp(record.referred_on) > timestamp("2026-04-01T00:00:00Z")`},
		{agreement.LintAllFields, "/fields", "  - /applicant/name\n  - /applicant/contact\n  - /household/*/relationship\n", "  - /applicant\n  - /household\n  - /reason\n  - /nino\n  - /support_needs\n  - /notes\n  - /criminal\n"},
		{agreement.RuleEmpty, "/lawful_basis/special_condition", "  - /consent", "  - /support_needs"},
		{agreement.LintCondition, "/lawful_basis/special_condition", "dpia:", "  special_condition: 9(2)(g) substantial public interest\ndpia:"},
		{agreement.LintCondition, "/lawful_basis/criminal_condition", "dpia:", "  criminal_condition: we may\ndpia:"},
		{agreement.LintBasis, "/lawful_basis/article_6", "6(1)(e) public task", "6(1)(a) consent"},
		{agreement.LintBasis, "/lawful_basis/article_6", "6(1)(e) public task", "6(1)(ea) recognised legitimate interest, Annex 1"},
		{agreement.LintRecognised, "/lawful_basis/article_6", "6(1)(e) public task", "6(1)(ea) recognised legitimate interest"},
		{agreement.LintPower, "/lawful_basis/legal_power", "Housing Act 1996, section 213B (duty to refer) and section 198 (referral to another authority)", "We have always done it"},
		{agreement.LintProcessor, "/roles/saltby.gov.uk", "saltby.gov.uk: controller", "saltby.gov.uk: processor"},
		{agreement.LintSays, "/accuracy", "Northmoor corrects a referral when it learns of an error; the correction reaches Saltby as a new version at once.", "It is accurate."},
		{agreement.LintVague, "/purpose", "from the day they ask.", "and for other purposes."},
		{agreement.LintBreach, "/security", "; a breach is told to the other council within 24 hours", ""},
		{agreement.LintContact, "/contacts/saltby.gov.uk", "dpo@saltby.gov.uk", "the officer"},
		{agreement.LintExit, "/exit", "; Saltby's copies are then deleted and receipted", ""},
		{agreement.LintReview, "/review", "review: 2027-11-30", "review: 2026-05-30"},
		{agreement.RuleEmpty, "/review", "review: 2027-11-30", "review:"},
		{agreement.LintSubjects, "/subject_questions", "retention: P2Y", "subject_questions: answered\nretention: P2Y"},
		{agreement.RuleMode, "/subject_questions", "mode: replicate", "subject_questions: answered\nmode: aggregate"},
		{agreement.LintOpenEnded, "/ends", "ends: 2028-01-01", "ends:"},
		{agreement.LintPersonal, "/fields", "  - /consent", "  - /nino"},
		{agreement.LintTwice, "/necessity", "Without the referral a household tells its story again and waits; the fields left out are not needed to open a case.", "To let Saltby meet its homelessness duties to households that leave Northmoor for Saltby, from the day they ask."},
		{agreement.LintBound, "/most", "purpose:", "most: 500 in all\npurpose:"},
		{agreement.LintOnward, "/onward/to", "purpose:", "onward: {to: [any council], under: [saltby.gov.uk/on], fields: [/reference, /status, /referral, /referred_on, /homeless_on, /district, /moved_to, /consent]}\npurpose:"},
		{agreement.LintOnward, "/onward/under", "purpose:", "onward: {to: [castlebridge.gov.uk], fields: [/reference, /status, /referral, /referred_on, /homeless_on, /district, /moved_to, /consent]}\npurpose:"},
		{agreement.LintOnward, "/onward/steps", "purpose:", "onward: {to: [castlebridge.gov.uk], fields: [/reference], steps: 2}\npurpose:"},
		{agreement.RuleForm, "/onward/fields", "purpose:", "onward: {to: [castlebridge.gov.uk], fields: [/nino]}\npurpose:"},
		{agreement.RuleEmpty, "/onward/fields", "purpose:", "onward: {to: [castlebridge.gov.uk]}\npurpose:"},
		{agreement.RuleEmpty, "/onward/to", "purpose:", "onward: {fields: [/reference]}\npurpose:"},
		{agreement.RuleForm, "/onward/to", "purpose:", "onward: {to: [northmoor.gov.uk], fields: [/reference]}\npurpose:"},
		{agreement.RuleForm, "/onward/under", "purpose:", "onward: {to: [castlebridge.gov.uk], under: [northmoor.gov.uk/x], fields: [/reference]}\npurpose:"},
		{agreement.RuleMode, "/onward", "mode: replicate", "onward: {to: [castlebridge.gov.uk], fields: [/reference]}\nmode: handover"},
		{agreement.RuleForm, "/origin", "mode: replicate", "origin: northmoor.gov.uk/other\nmode: replicate"},
		{agreement.RuleForm, "/to", "mode: replicate", "origin: saltby.gov.uk/other\nmode: replicate"},
		{agreement.RuleMode, "/origin", "mode: replicate", "origin: castlebridge.gov.uk/other\nmode: handover"},
		{agreement.LintSpecial, "/fields", "mode: replicate", "mode: lookup\nmatch: [/reference]"},
	} {
		if strings.Count(good, c.old) != 1 {
			t.Fatalf("%s: %q is not there once", c.rule, c.old)
		}
		doc := strings.Replace(good, c.old, c.new, 1)
		if c.rule == agreement.LintSpecial {
			doc = strings.Replace(doc, "  - /consent", "  - /support_needs", 1)
		}
		var said []string
		for _, f := range lint(doc) {
			if f.Detail == "" || f.Fix == "" {
				t.Errorf("%s at %s lacks words", f.Rule, f.Pointer)
			}
			said = append(said, f.Rule+" "+f.Pointer)
		}
		if want := c.rule + " " + c.at; !strings.Contains(strings.Join(said, "\n")+"\n", want+"\n") {
			t.Errorf("%q in the place of %q: %q, want %q", c.new, c.old, said, want)
		}
	}
	// Nothing is counted by a list, and special category data not without its condition.
	counts := good[:strings.Index(good, "rows:")] + "rows: \"true\"\nfields: [/support_needs]\n" + good[strings.Index(good, "purpose:"):]
	counts = strings.Replace(counts, "mode: replicate", "mode: aggregate", 1)
	if found := lint(counts); len(found) == 0 || !strings.Contains(found[0].Fix, "name the article 9 condition") {
		t.Errorf("without a condition: %+v", found)
	}
	counts = strings.Replace(counts, "dpia:", "  special_condition: 9(2)(j) statistics, Data Protection Act 2018 Schedule 1 paragraph 4\ndpia:", 1)
	if found := lint(counts); len(found) != 1 || found[0].Rule != agreement.LintList || found[0].Pointer != "/fields" {
		t.Errorf("a field that holds a list: %+v", found)
	}
	// A basis for personal data under a standard that has none is for a person to look at.
	bare := &agreement.Agreement{Standard: std.Name().Line()}
	if found := bare.Lint(std, today); len(found) < 10 || found[0].Severity != standard.SeverityError {
		t.Errorf("an empty agreement: %+v", found)
	}
}
