package intake_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/intake"
)

// The draft alone accepts every row of nine published registers that the
// mappings which people wrote for them accept (TestRealRegisters).
func TestDraftOfRegisters(t *testing.T) {
	std := brownfield(t)
	for _, g := range registers {
		t.Run(g.file, func(t *testing.T) {
			path := data(t, "brownfield-land/"+g.file+".csv")
			in, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			s, err := intake.Look(in, "")
			if err != nil {
				t.Fatal(err)
			}
			draft := s.Draft(std)
			m, err := intake.ParseMapping(draft)
			if err != nil {
				t.Fatalf("%v\n%s", err, draft)
			}
			rows, _, pass, _ := importFile(t, path, m, std, func(intake.Row) {})
			if rows != g.rows || len(pass) != g.passed {
				t.Errorf("%d of %d rows pass, a person got %d\n%s", len(pass), rows, g.passed, draft)
			}
		})
	}
}

// A draft is made from the cells as well as from the headings, and says what
// it has guessed.
func TestDraftGuesses(t *testing.T) {
	std := brownfield(t)
	head := "OrganisationURI,SiteReference,SiteNameAddress,GeoX,GeoY,Hectares,OwnershipStatus,Deliverable,PlanningStatus,PermissionType,PermissionDate,PlanningHistory,MinNetDwellings,FirstAddedDate\n"
	const org = "http://opendatacommunities.org/doc/district-council/northmoor"
	in := head +
		org + ",A1 ,\"Old mill\nNorthmoor\",-1.54912345,53.8008,1.2345 ha,Private,Y,Permissioned (part),full planning permis,03/04/2019,see file,\"1,200\",44000\n" +
		org + ",A2,Barn,429939,433828,0.5,Public ownership,N,NOT PERMISSIONED,N/A,,https://example.org/a b|https://example.org/c,TBC,2020-06-19\n" +
		org + ",A3,Shed,53.8008,-1.5491,0.25,unknown,yes,Pending decison,,13/12/2020,https://example.org/d,4,19-Jun-20\n"
	s, err := intake.Look(strings.NewReader(in), "")
	if err != nil {
		t.Fatal(err)
	}
	draft := string(s.Draft(std))
	for _, want := range []string{
		"As it stands 3 of the 3 rows looked at would be accepted",
		`thousands: ","`, `"/doc/": "/id/"`, `"\u000A": ", "`, `strip: "ha"`, "decimals: 2", "are: by-value",
		`"Private": "not owned by a public authority"`, `"Permissioned (part)": "permissioned"`, `"full planning permis": "full planning permission"`, `"Pending decison": "pending decision"`,
		`words: ["permissioned", "not permissioned", "pending decision"]`, `"serial"`, `"d-mon-yy"`, "years: 1970", `- "TBC"`, `- "see file"`, `" ": "%20"`, `strip: " "`,
	} {
		if !strings.Contains(draft, want) {
			t.Errorf("no %q", want)
		}
	}
	m, err := intake.ParseMapping([]byte(draft))
	if err != nil {
		t.Fatal(err)
	}
	rows, _, err := readAll(t, in, intake.Options{Format: intake.CSV, Mapping: m, Reference: std.Manifest().Key})
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		if row.Record == nil || len(std.Validate(row.Record)) > 0 {
			t.Errorf("row %d: %v %v", i+1, row.Problems, std.Validate(row.Record))
		}
	}
	if t.Failed() {
		t.Log(draft)
	}
}

// Where the standard has one pair of numbers alone, the other is converted to
// it; a heading that says one thing and holds another is not believed.
func TestDraftConverts(t *testing.T) {
	std := made(t, `{"type":"object","required":["id"],"properties":{"id":{"type":"string"},"latitude":{"type":"number"},"longitude":{"type":"number"},"count":{"type":"integer"},"open":{"type":"boolean"},"paid":{"type":"number"}}}`, "id")
	s, err := intake.Look(strings.NewReader("ID,Easting,Northing,Count,Open?,Paid\n1,429939,433828,none,1,€1.50\n2,429940,433829,7,0,(€2.00)\n"), "")
	if err != nil {
		t.Fatal(err)
	}
	draft := string(s.Draft(std))
	for _, want := range []string{"are: osgb36", "what is converted is within 5 metres", `longitude: "/longitude"`, "2 of the 2 rows", `"1": true`, `"0": false`, `currency: ["€"]`, `- "none"`} {
		if !strings.Contains(draft, want) {
			t.Errorf("no %q in\n%s", want, draft)
		}
	}
	s, _ = intake.Look(strings.NewReader("ID,Where,Count\n1,Latitude: 53.8 Longitude: -1.5,see below\n2,Latitude: 53.9 Longitude: -1.6,also\n"), "")
	draft = string(s.Draft(std))
	for _, want := range []string{"pattern: named-degrees", "are: wgs84", `the cells of "Count" do not fit it`, "2 of the 2 rows"} {
		if !strings.Contains(draft, want) {
			t.Errorf("no %q in\n%s", want, draft)
		}
	}
}
