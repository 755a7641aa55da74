package agreement

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/node/name"
)

// open is what housing-need leaves open: it is listed wherever records travel.
const openOfNeed = "/reference, /status, /referral, /referred_on, /homeless_on, /district, /moved_to, /consent"

// lettingOn returns the example with an onward heading.
func lettingOn(t testing.TB, onward string) *Agreement {
	t.Helper()
	return parsed(t, "mode: replicate\n", "mode: replicate\nonward: {"+onward+"}\n")
}

// Both notations carry the headings, and a text without them keeps its bytes.
func TestOnwardNotations(t *testing.T) {
	a := lettingOn(t, "to: [castlebridge.gov.uk, any regulator], under: [saltby.gov.uk/on], fields: ["+openOfNeed+", /applicant/name], steps: 2")
	a.Origin = "northmoor.gov.uk/other"
	b, err := Parse(a.YAML())
	if err != nil || b.Digest() != a.Digest() {
		t.Fatalf("%v in\n%s", err, a.YAML())
	}
	c, err := ParseCanonical(a.Canonical())
	if err != nil || !bytes.Equal(c.YAML(), a.YAML()) {
		t.Fatalf("canonical bytes do not come back: %v\n%s", err, a.Canonical())
	}
	if want := `"onward":{"fields":[`; !bytes.Contains(a.Canonical(), []byte(want)) || !bytes.Contains(a.Canonical(), []byte(`"steps":2,"to":["castlebridge.gov.uk","any regulator"],"under":["saltby.gov.uk/on"]}`)) {
		t.Errorf("canonical bytes %s", a.Canonical())
	}
	if bare := parsed(t).Canonical(); bytes.Contains(bare, []byte("onward")) || bytes.Contains(bare, []byte(`"origin"`)) {
		t.Errorf("a text without the headings has them: %s", bare)
	}
	for _, bad := range []string{"to: [any footprint]", "to: [any body]", "steps: 6", "steps: 0", "steps: 01", "under: [x]", "fields: [x]", "who: [x]"} {
		if _, err := Parse(edited(t, "mode: replicate\n", "mode: replicate\nonward: {"+bad+"}\n")); err == nil {
			t.Errorf("onward: {%s} is read", bad)
		}
	}
	if _, err := ParseCanonical(bytes.Replace(a.Canonical(), []byte(`"onward":{`), []byte(`"onward":{"to":[],`), 1)); err == nil {
		t.Error("a heading that comes twice is read")
	}
}

// What an agreement lets pass on, and how that is said.
func TestOnwardReaches(t *testing.T) {
	a := lettingOn(t, "to: [castlebridge.gov.uk, any regulator], fields: ["+openOfNeed+"]")
	for _, c := range []struct {
		to   name.Council
		role string
		yes  bool
	}{
		{"castlebridge.gov.uk", "council", true}, {"other.gov.uk", "council", false}, {"ico.org.uk", "regulator", true}, {"other.gov.uk", "", false},
	} {
		if got := a.Onward.Reaches(c.to, c.role); got != c.yes {
			t.Errorf("%s, a %s: %v", c.to, c.role, got)
		}
	}
	if a.Onward.Deep() != 1 || parsed(t).Onward.Deep() != 0 {
		t.Error("steps: one where none is said, none where nothing is permitted")
	}
	if w := parsed(t).OnwardWords(); !strings.Contains(w, "forbidden") {
		t.Errorf("without the heading: %q", w)
	}
	if w := a.OnwardWords(); !strings.Contains(w, "castlebridge.gov.uk or any regulator") || !strings.Contains(w, "one further step") {
		t.Errorf("with it: %q", w)
	}
}

// An officer is told what a new version lets pass on that the old did not.
func TestOnwardDiff(t *testing.T) {
	none, one := parsed(t), lettingOn(t, "to: [castlebridge.gov.uk], under: [saltby.gov.uk/on], fields: ["+openOfNeed+"]")
	more := lettingOn(t, "to: [castlebridge.gov.uk, any regulator], fields: ["+openOfNeed+", /nino], steps: 2")
	has := func(old, new *Agreement, want ...string) {
		t.Helper()
		got := Diff(old, new)
		for _, w := range want {
			if !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, w) }) {
				t.Errorf("no %q in %q", w, got)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%q, want %d lines", got, len(want))
		}
	}
	has(none, one, "wider: onward sharing is permitted to castlebridge.gov.uk")
	has(one, none, "narrower: onward sharing is no longer permitted")
	has(one, more, "wider: onward receiver any regulator is added", "wider: onward field /nino is added", "wider: onward sharing may be under any", "wider: onward steps are now 2, were 1")
	has(more, one, "narrower: onward receiver any regulator is removed", "narrower: onward field /nino is removed", "narrower: onward sharing may be only under", "narrower: onward steps are now 1, were 2")
	moved := parsed(t)
	moved.Origin = "castlebridge.gov.uk/x"
	has(none, moved, "changed: the records are now those held under castlebridge.gov.uk/x")
}

// What an earlier agreement keeps back is said, also of part of a field.
func TestHeldBack(t *testing.T) {
	first := lettingOn(t, "to: [castlebridge.gov.uk], fields: [/reference, /applicant/contact/phone]")
	first.Fields = []name.Field{"/reference", "/status", "/applicant/contact"}
	last := parsed(t)
	last.Origin = first.Name
	got := Chain{first, last}.HeldBack()
	if len(got) != 1 || !strings.HasSuffix(got[0], "does not let them go on: /status, /applicant/contact but for /applicant/contact/phone") {
		t.Errorf("%q", got)
	}
	first.Onward.Fields = first.Fields
	if got := (Chain{first, last}).HeldBack(); len(got) > 0 {
		t.Errorf("all goes on: %q", got)
	}
}
