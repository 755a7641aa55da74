package registers

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/catalogue"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// adopting are the newest statements of some councils on one standard.
func adopting(t *testing.T, councils ...name.Council) *node.Adoption {
	t.Helper()
	std, err := name.ParseStandard("standards.example/pet@1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	a := &node.Adoption{At: "2027-01-14"}
	for i, c := range councils {
		a.Rows = append(a.Rows, node.AdoptionRow{Council: c, Record: name.Record(strings.Repeat(string(rune('a'+i)), 26)), Statement: node.Statement{Standard: std, ComputedOn: "2027-01-11", Records: i}})
	}
	return a
}

// TestDrawFrom: whoever has the same statements and the same words draws the same; other
// words draw others, and other statements are seen by the digest.
func TestDrawFrom(t *testing.T) {
	all := adopting(t, "a.gov.uk", "b.gov.uk", "c.gov.uk", "d.gov.uk", "e.gov.uk", "f.gov.uk")
	drawn := func(a *node.Adoption, seed string) string {
		b, err := json.Marshal(DrawFrom(a, audit.Sample{Size: 3, Seed: seed}))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	one := drawn(all, "minute 7")
	if again := drawn(adopting(t, "a.gov.uk", "b.gov.uk", "c.gov.uk", "d.gov.uk", "e.gov.uk", "f.gov.uk"), "minute 7"); again != one {
		t.Errorf("drawn again:\n%s\n%s", one, again)
	}
	if d := DrawFrom(all, audit.Sample{Size: 3, Seed: "minute 7"}); len(d.Drawn) != 3 || d.Of != 6 || d.At != "2027-01-14" {
		t.Errorf("%+v", d)
	}
	others := 0
	for _, seed := range []string{"minute 8", "minute 9", "minute 10"} {
		if strings.SplitN(drawn(all, seed), `"drawn"`, 2)[1] != strings.SplitN(one, `"drawn"`, 2)[1] {
			others++
		}
	}
	if others == 0 {
		t.Error("four seeds draw the same three of six")
	}
	if few := DrawFrom(adopting(t, "a.gov.uk", "b.gov.uk"), audit.Sample{Size: 3, Seed: "minute 7"}); few.Lot == DrawFrom(all, audit.Sample{Size: 3, Seed: "minute 7"}).Lot || len(few.Drawn) != 2 {
		t.Errorf("of two: %+v", few)
	}
}

// TestDrawOf: a record of a draw comes back as the draw; one that lacks fields, or cannot be
// true, is none.
func TestDrawOf(t *testing.T) {
	draw := DrawFrom(adopting(t, "a.gov.uk", "b.gov.uk", "c.gov.uk"), audit.Sample{Size: 2, Seed: "minute 7"})
	b, err := json.Marshal(draw)
	if err != nil {
		t.Fatal(err)
	}
	stds, err := catalogue.Shipped(DrawStandard)
	if err != nil || len(stds) != 1 {
		t.Fatalf("%d standards, %v", len(stds), err)
	}
	var record any
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	if err := d.Decode(&record); err != nil {
		t.Fatal(err)
	}
	if problems := stds[0].Validate(record); len(problems) > 0 {
		t.Errorf("a draw is no record of its standard: %+v", problems)
	}
	cells := func() (all [][]string) {
		for _, p := range drawPlaces {
			all = append(all, values(record, strings.Split(p, "/")[1:]))
		}
		return all
	}
	got, ok := drawOf(cells())
	if again, err := json.Marshal(got); err != nil || !ok || string(again) != string(b) {
		t.Errorf("it comes back as\n%s, and was\n%s", again, b)
	}
	for place, say := range map[string][]string{
		"/at": {"soon"}, "/seed": nil, "/size": {"1"}, "/of": {"1"}, "/lot": nil, "/drawn/*/council": {"a.gov.uk"}, "/drawn/*/standard": {"pet", "pet"}, "/drawn/*/record": nil, "/drawn/*/records": {"-1", "2"},
	} {
		c := cells()
		c[slices.Index(drawPlaces, place)] = say
		if _, ok := drawOf(c); ok {
			t.Errorf("with %q at %s it is a draw", say, place)
		}
	}
}
