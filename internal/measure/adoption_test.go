package measure_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/measure"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

func given(t testing.TB, who name.Council, std, day string, records int) measure.Given {
	t.Helper()
	s := *statement(t)
	var err error
	if s.Standard, err = name.ParseStandard(std); err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.DateOnly, day)
	if err != nil {
		t.Fatal(err)
	}
	s.Council, s.ComputedOn, s.ComputedAt, s.Records = who, day, at, records
	return measure.Given{Issuer: who, Index: uint64(records), Statement: &s}
}

var town = []measure.Member{
	{Council: "a.gov.uk", GSS: "E06000066", Counts: true}, // Somerset
	{Council: "b.gov.uk", GSS: "E07000035", Counts: true}, // Derbyshire Dales
	{Council: "c.gov.uk", GSS: "E10000027", Counts: true}, // Somerset County Council, until 2023
	{Council: "d.gov.uk", GSS: "E07000998", Counts: true}, // a code nobody has
	{Council: "e.gov.uk", GSS: "E06000066", Counts: true}, // a second member with Somerset's code
	{Council: "body.example", Counts: false},
}

// The newest statement of each council counts, on the day that is asked for.
func TestAdopt(t *testing.T) {
	const pet, housing = "standards.example/pet@1.0.0", "standards.example/housing@2.1.0"
	list := []measure.Given{
		given(t, "a.gov.uk", pet, "2026-11-20", 5), given(t, "a.gov.uk", pet, "2026-11-10", 2), given(t, "a.gov.uk", "standards.example/pet@1.1.0", "2026-11-20", 3),
		given(t, "b.gov.uk", pet, "2026-11-12", 0), given(t, "b.gov.uk", housing, "2026-11-12", 7),
		given(t, "c.gov.uk", pet, "2026-11-12", 4), given(t, "d.gov.uk", pet, "2026-11-21", 4), given(t, "e.gov.uk", pet, "2026-11-21", 1),
		given(t, "gone.gov.uk", pet, "2026-11-01", 9), given(t, "body.example", pet, "2026-11-12", 1),
	}
	day := func(s string) time.Time { d, _ := time.Parse(time.DateOnly, s); return d.Add(15 * time.Hour) }
	a := measure.Adopt(list, town, day("2026-11-22"), nil)
	var rows []string
	for _, r := range a.Rows {
		rows = append(rows, fmt.Sprintf("%s %s %d %s %s %v", r.Council, r.Statement.Standard, r.Statement.Records, r.Region, r.Type, r.Member))
	}
	want := []string{
		"a.gov.uk standards.example/pet@1.0.0 5 South West unitary true", "a.gov.uk standards.example/pet@1.1.0 3 South West unitary true",
		"b.gov.uk standards.example/housing@2.1.0 7 East Midlands district true", "b.gov.uk standards.example/pet@1.0.0 0 East Midlands district true",
		"body.example standards.example/pet@1.0.0 1   false", "c.gov.uk standards.example/pet@1.0.0 4 South West county true",
		"d.gov.uk standards.example/pet@1.0.0 4   true", "e.gov.uk standards.example/pet@1.0.0 1 South West unitary true",
		"gone.gov.uk standards.example/pet@1.0.0 9   false",
	}
	if !reflect.DeepEqual(rows, want) {
		t.Errorf("got  %q\nwant %q", rows, want)
	}
	// b has adopted without records, c is no council any more, d has no real
	// code, a and e share one: among English councils there is one.
	wantShares := []api.AdoptionShare{
		{Standard: "standards.example/housing", Councils: 1, Adopting: 1, Members: 5, English: 1, England: 317},
		{Standard: "standards.example/pet", Councils: 6, Adopting: 4, Members: 5, English: 1, England: 317},
	}
	if !reflect.DeepEqual(a.Shares, wantShares) {
		t.Errorf("got  %+v\nwant %+v", a.Shares, wantShares)
	}
	for _, g := range a.Regions {
		if g.Standard == "standards.example/pet" && g.Group == "South West" && (g.Adopting != 1 || g.England != 29 || g.Members != 2) {
			t.Errorf("%+v", g)
		}
	}
	if len(a.Regions) != 2*9 || len(a.Types) != 2*7 {
		t.Errorf("%d regions and %d types", len(a.Regions), len(a.Types))
	}
	var trend []string
	for _, p := range a.Trend {
		trend = append(trend, fmt.Sprintf("%s %s %d %d", p.Standard.Slug(), p.Day, p.Councils, p.Records))
	}
	wantTrend := []string{"housing 2026-11-12 1 7", "housing 2026-11-20 1 7", "housing 2026-11-21 1 7",
		"pet 2026-11-01 1 9", "pet 2026-11-10 2 11", "pet 2026-11-12 4 16", "pet 2026-11-20 4 22", "pet 2026-11-21 6 27"}
	if !reflect.DeepEqual(trend, wantTrend) {
		t.Errorf("got  %q\nwant %q", trend, wantTrend)
	}

	// Before the later ones were made, and when c was a council still.
	if a = measure.Adopt(list, town, day("2026-11-11"), nil); len(a.Rows) != 2 || a.Rows[0].Statement.Records != 2 {
		t.Errorf("%d rows", len(a.Rows))
	}
	old := []measure.Given{given(t, "c.gov.uk", pet, "2022-01-01", 4)}
	if a = measure.Adopt(old, town, day("2022-01-02"), nil); a.Shares[0].English != 1 || a.Shares[0].England != 333 {
		t.Errorf("%+v", a.Shares)
	}
	only := func(s name.Standard) bool { return s.Name.Slug() == "housing" }
	if a = measure.Adopt(list, town, day("2026-11-22"), only); len(a.Rows) != 1 || len(a.Shares) != 1 {
		t.Errorf("%d rows", len(a.Rows))
	}
	if a = measure.Adopt(nil, nil, day("2026-11-22"), nil); a.Rows == nil || len(a.Shares) != 0 {
		t.Errorf("%+v", a)
	}
}

// BenchmarkAdopt gathers a year of weekly statements of 400 councils about ten
// standards.
func BenchmarkAdopt(b *testing.B) {
	var list []measure.Given
	var members []measure.Member
	for c := range 400 {
		who := name.Council(fmt.Sprintf("council%d.gov.uk", c))
		members = append(members, measure.Member{Council: who, Counts: true})
		for s := range 10 {
			for w := range 52 {
				day := time.Date(2026, 1, 1+7*w, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
				list = append(list, given(b, who, fmt.Sprintf("standards.example/s%d@1.0.0", s), day, 10))
			}
		}
	}
	for b.Loop() {
		if a := measure.Adopt(list, members, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), nil); len(a.Rows) != 4000 {
			b.Fatal(len(a.Rows))
		}
	}
	b.ReportMetric(float64(len(list)), "statements")
}

// On the day of a reorganisation the councils that are measured against are those of that
// day: a district of Surrey counts on the last day that it is there, and not on the next.
func TestAdoptOnTheDay(t *testing.T) {
	const pet = "standards.example/pet@1.0.0"
	member := []measure.Member{{Council: "elmbridge.gov.uk", GSS: "E07000207", Counts: true}}
	for on, want := range map[string][2]int{"2027-03-31": {1, 317}, "2027-04-01": {0, 307}} {
		at, err := time.Parse(time.DateOnly, on)
		if err != nil {
			t.Fatal(err)
		}
		a := measure.Adopt([]measure.Given{given(t, "elmbridge.gov.uk", pet, "2027-03-01", 3)}, member, at.Add(9*time.Hour), nil)
		if len(a.Shares) != 1 || a.Shares[0].English != want[0] || a.Shares[0].England != want[1] {
			t.Errorf("%s: %+v, want %d of %d", on, a.Shares, want[0], want[1])
		}
	}
}
