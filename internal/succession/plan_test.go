package succession

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/node/name"
)

const north = `
succession: northshire-2027
on: 2027-04-01
begins: [east.gov.uk, west.gov.uk]
ends:
  - council: saltby.gov.uk
    to: east.gov.uk
  - council: northshire.gov.uk
    split:
      - standard: standards.example/housing-need
        field: /place/district
        values:
          east.gov.uk: [E07000001, E07000002]
          west.gov.uk: [E07000003, 100023336956]
      - standard: standards.example/road-works
        rows:
          east.gov.uk: record.easting >= 500
          west.gov.uk: record.easting < 510
    rest: east.gov.uk
`

// A plan shares out by the value of a field and by rows, and says why nobody has a record.
func TestSharer(t *testing.T) {
	p, err := Parse([]byte(north))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(p.JSON())
	if err != nil || !bytes.Equal(again.JSON(), p.JSON()) {
		t.Fatalf("%v: reads its own form as\n%s\nfrom\n%s", err, again.JSON(), p.JSON())
	}
	const need, works, other = name.StandardName("standards.example/housing-need"), name.StandardName("standards.example/road-works"), name.StandardName("standards.example/tree")
	at := func(v any) map[string]any { return map[string]any{"place": map[string]any{"district": v}} }
	for _, c := range []struct {
		of   name.Council
		std  name.StandardName
		body map[string]any
		to   name.Council
		why  string
	}{
		{"saltby.gov.uk", other, nil, "east.gov.uk", ""},
		{"northshire.gov.uk", need, at("E07000002"), "east.gov.uk", ""},
		{"northshire.gov.uk", need, at("E07000003"), "west.gov.uk", ""},
		{"northshire.gov.uk", need, at("E07000009"), "east.gov.uk", ""},
		{"northshire.gov.uk", need, map[string]any{"place": "x"}, "east.gov.uk", ""},
		{"northshire.gov.uk", works, map[string]any{"easting": 400}, "west.gov.uk", ""},
		{"northshire.gov.uk", works, map[string]any{"easting": 505}, "", TwoRules},
		{"northshire.gov.uk", works, map[string]any{}, "", Unsure},
		{"northshire.gov.uk", other, nil, "east.gov.uk", ""},
	} {
		s, err := again.Sharer(c.of)
		if err != nil {
			t.Fatal(err)
		}
		if to, why := s.To(c.std, c.body); to != c.to || why != c.why {
			t.Errorf("%s of %s: %q %q, want %q %q", c.std, c.of, to, why, c.to, c.why)
		}
	}
	s, err := p.Sharer("northshire.gov.uk")
	if err != nil {
		t.Fatal(err)
	}
	// A value that no record has is told, and one that a record has is not.
	u := s.unused()
	for _, v := range []any{"E07000002", "E07000009", json.Number("100023336956"), nil, []any{"E07000003"}} {
		u.has(s, need, at(v))
		u.has(s, works, at(v))
		u.has(s, other, at(v))
	}
	if got := u.words(); len(got) != 2 || !strings.Contains(got[0], `no record of standards.example/housing-need has "E07000001", which the plan gives to east.gov.uk`) || !strings.Contains(got[1], `"E07000003"`) {
		t.Errorf("of values that no record has it says %q", got)
	}
	if _, err := p.Sharer("elsewhere.gov.uk"); !errors.Is(err, ErrPlan) {
		t.Errorf("a council that does not end: %v", err)
	}
	strict, err := Parse([]byte(strings.Replace(north, "    rest: east.gov.uk\n", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	s, _ = strict.Sharer("northshire.gov.uk")
	if to, why := s.To(need, at("E07000009")); to != "" || why != NoRule {
		t.Errorf("without rest: %q %q", to, why)
	}
}

// A plan with a fault is refused, with the place and without the value.
func TestPlanFaults(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"on: 2027-04-01", "on: 2027-4-1", "on: want a date"},
		{"begins: [east.gov.uk, west.gov.uk]", "begins: [east.gov.uk]", "values: the council is not among those that begin"},
		{"    to: east.gov.uk", "    to: north.gov.uk", "ends/0/to: the council is not among"},
		{"    to: east.gov.uk", "    rest: east.gov.uk", "ends/0: say to whom"},
		{"council: saltby.gov.uk", "council: east.gov.uk", "ends/0/council: the council stands at begins/0"},
		{"E07000003, ", "E07000001, ", "a value of east.gov.uk is named again"},
		{"record.easting >= 500", "record.easting >", "rows of east.gov.uk: row filter"},
		{"field: /place/district", "field: place", "field: want a JSON Pointer"},
		{"succession: northshire-2027", "sucession: x", "sucession"},
		{"    rest: east.gov.uk", "    to: west.gov.uk", "not both"},
		{"standards.example/road-works", "standards.example/housing-need", "comes twice"},
	} {
		_, err := Parse([]byte(strings.Replace(north, c.old, c.new, 1)))
		if !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.new, err)
		}
	}
	for _, s := range []string{"", "[]", north + "---\n{}"} {
		if _, err := Parse([]byte(s)); !errors.Is(err, ErrPlan) {
			t.Errorf("%.20q: %v", s, err)
		}
	}
}

// FuzzPlan: nothing panics, and what is accepted has one form that is read as the same.
func FuzzPlan(f *testing.F) {
	f.Add([]byte(north))
	f.Add([]byte(`{"succession":"a","on":"2027-04-01","begins":["a.b"],"ends":[{"council":"c.d","to":"a.b"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(p.JSON())
		if err != nil || !bytes.Equal(again.JSON(), p.JSON()) {
			t.Errorf("%s is not read back: %v", p.JSON(), err)
		}
	})
}
