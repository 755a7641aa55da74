package intake_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/intake"
)

// A draft is accepted as it stands, puts each heading where an officer would or
// leaves it to them, and says what it is not sure of.
func TestDraft(t *testing.T) {
	std := brownfield(t)
	in := "A register;;;;;;;;;;;\n" +
		"LA SITE REF;Site Name Address;SiteplanURL;GeoX;Easting;Hectares;Ownership Status;PermissionDate;Planning History;\"Town: \"\"ship\"\"\nx\";Notes;Notes\n" +
		"1;Caf\xe9;;1;2;3;Council's;03/04/2020;;;;\n" +
		"2;Tower;;1;2;3;mixed ownership;13/04/2020;;;;\n"
	s, err := intake.Look(strings.NewReader(in), "")
	if err != nil {
		t.Fatal(err)
	}
	if s.Encoding != "windows-1252" || s.Delimiter != ";" || s.HeaderRow != 2 || len(s.Headings) != 12 || len(s.Rows) != 2 {
		t.Errorf("looked like %+v", s)
	}
	draft := string(s.Draft(std))
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
		"encoding: windows-1252", "header_row: 2", "delimiter: \";\"", "formats: [\"dd/mm/yyyy\"]",
		"#  - to: \"/longitude\"", "no heading is like it", "position: 11", "- \"GeoX\"", "- \"Easting\"",
		"# what the standard allows", "# the standard does not take: \"Council's\";", "split: \"|\"", "required: true", "- \"Town: \\\"ship\\\"\\u000Ax\"",
	} {
		if !strings.Contains(draft, want) {
			t.Errorf("no %q in\n%s", want, draft)
		}
	}
	// What was drafted opens the file it was drafted from.
	if _, err := intake.Open(strings.NewReader(in), intake.Options{Format: intake.CSV, Mapping: m}); err != nil {
		t.Error(err)
	}
}

func TestLook(t *testing.T) {
	in, err := os.Open(data(t, "brownfield-land/rochdale.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	s, err := intake.Look(in, "")
	if err != nil || s.HeaderRow != 1 || len(s.Headings) != 21 || s.Headings[0] != "LA SITE REF" || s.Encoding != "utf-8" || s.Delimiter != "," {
		t.Errorf("%+v, %v", s, err)
	}
	s, err = intake.Look(strings.NewReader(utf16le("\ufeffRef\tName\r\n1\t2\r\n")), "")
	if err != nil || s.Encoding != "utf-16" || s.Delimiter != "\t" || len(s.Headings) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := intake.Look(strings.NewReader("\n\n"), ""); err == nil {
		t.Error("an empty file has headings")
	}
}

func FuzzLook(f *testing.F) {
	std := brownfield(f)
	f.Add([]byte("Reference,Hectares\n1,2\n"))
	f.Add([]byte("a register;;\n\"Site\nName\";Date added\n;03/04/2020"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := intake.Look(strings.NewReader(string(b)), "")
		if err != nil {
			return
		}
		draft := s.Draft(std)
		if m, err := intake.ParseMapping(draft); err == nil {
			roundTrip(t, "draft", m.YAML())
		} else if !strings.Contains(err.Error(), "columns: must be given") && !strings.Contains(err.Error(), "blank heading") {
			t.Fatalf("%v\n%s", err, draft)
		}
	})
}
