package intake_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/intake"
)

// A draft is accepted as it stands and puts each heading of the real registers
// where an officer would, or leaves it to them.
func TestDraft(t *testing.T) {
	std := brownfield(t)
	headings := strings.Split("LA SITE REF,Site Name Address,SiteplanURL,GeoX,Easting,Hectares,Ownership Status,PermissionDate,Planning History,Town: \"ship\"\nx,Notes,Notes", ",")
	draft := string(intake.Draft(headings, std))
	m, err := intake.ParseMapping([]byte(draft))
	if err != nil {
		t.Fatalf("%v\n%s", err, draft)
	}
	got := map[string]string{}
	for _, c := range m.Columns {
		if len(c.From) > 0 {
			got[string(c.To)] = c.From[0] + " " + c.Type
		}
	}
	for to, want := range map[string]string{
		"/siteNameAddress": "Site Name Address ",
		"/sitePlanURL":     "SiteplanURL ",
		"/easting":         "Easting number",
		"/hectares":        "Hectares number",
		"/ownershipStatus": "Ownership Status ",
		"/permissionDate":  "PermissionDate date",
		"/planningHistory": "Planning History ",
	} {
		if got[to] != want {
			t.Errorf("%s: got %q, want %q", to, got[to], want)
		}
	}
	for _, want := range []string{
		"#  - to: \"/longitude\"", "no heading is like it", "position: 11", "GeoX",
		"# the standard allows: owned by a public authority", "split: \"|\"", "required: true", "- \"Town: \\\"ship\\\"\\nx\"",
	} {
		if !strings.Contains(draft, want) {
			t.Errorf("no %q in\n%s", want, draft)
		}
	}
}

func TestReadHeadings(t *testing.T) {
	in, err := os.Open(data(t, "brownfield-land/rochdale.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	h, row, err := intake.ReadHeadings(in, "", "")
	if err != nil || row != 1 || len(h) != 21 || h[0] != "LA SITE REF" {
		t.Errorf("%q, row %d, %v", h, row, err)
	}
	h, row, err = intake.ReadHeadings(strings.NewReader("A register;;\n;;\nRef;Name;Date\n1;2;3\n"), "utf-8", ";")
	if err != nil || row != 3 || len(h) != 3 {
		t.Errorf("%q, row %d, %v", h, row, err)
	}
	if _, _, err := intake.ReadHeadings(strings.NewReader("\n\n"), "", ""); err == nil {
		t.Error("an empty file has headings")
	}
	if _, _, err := intake.ReadHeadings(strings.NewReader("a"), "latin", ""); err == nil {
		t.Error("an unknown encoding was taken")
	}
}
