package intake_test

import (
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/schemas"
)

// data returns the path of a file of the real data, and skips the test when
// it is not there.
func data(t testing.TB, file string) string {
	t.Helper()
	dir := os.Getenv("STILE_DATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	path := filepath.Join(dir, file)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the real data is not here (set STILE_DATA): %v", err)
	}
	return path
}

func brownfield(t testing.TB) *standard.Standard {
	t.Helper()
	std, err := standard.Load(schemas.FS("brownfield-site/1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	return std
}

// A register is what an independent look at a file, by encoding/csv and plain
// comparisons, says should become of its rows.
type register struct {
	file         string
	latin        bool   // windows-1252
	ref          int    // columns, from 0
	status       int    // of planning
	typ, date    int    // of the permission
	hectares     int    //
	undated      bool   // the file has no date of first adding, so every row is refused
	rows, passed int    // counted once by hand
	blankType    string // a word for no permission type
	unknownType  string // a type the standard does not have
}

var registers = [...]register{
	{file: "fylde", ref: 0, status: 10, typ: 11, date: 12, hectares: 5, rows: 47, passed: 44},
	{file: "leicester", ref: 2, status: 12, typ: 13, date: 14, hectares: 9, rows: 66, passed: 66},
	{file: "new-forest", latin: true, ref: 1, status: 9, typ: 10, date: 11, hectares: 7, rows: 56, passed: 54},
	{file: "rochdale", ref: 0, status: 12, typ: 14, date: 13, hectares: 7, rows: 128, passed: 128, blankType: "N/A"},
	{file: "south-hams-a", ref: 2, status: 12, typ: 13, date: 14, hectares: 9, rows: 12, passed: 12},
	{file: "south-hams-b", ref: 2, status: 12, typ: 13, date: 14, hectares: 9, rows: 13, passed: 13},
	{file: "west-devon-a", ref: 2, status: 12, typ: 13, date: 14, hectares: 9, rows: 4, passed: 3, unknownType: "Lapsed"},
	{file: "west-devon-b", ref: 2, status: 12, typ: 13, date: 14, hectares: 9, rows: 4, passed: 4},
	{file: "worcester", ref: 2, status: 12, typ: 13, date: 14, hectares: 9, undated: true, rows: 37, passed: 0},
}

// expected returns the references of the rows that should pass, and of those
// that should not.
func (g register) expected(t *testing.T) (pass, refuse []string) {
	in, err := os.Open(data(t, "brownfield-land/"+g.file+".csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r := csv.NewReader(in)
	if g.latin {
		r = csv.NewReader(charmap.Windows1252.NewDecoder().Reader(in))
	}
	r.LazyQuotes = true // two registers have a quotation mark inside an unquoted cell
	all, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range all[1:] {
		ref := strings.TrimSpace(row[g.ref])
		status, typ, date := strings.ToLower(strings.TrimSpace(row[g.status])), strings.TrimSpace(row[g.typ]), strings.TrimSpace(row[g.date])
		if typ == g.blankType {
			typ = ""
		}
		_, area := strconv.ParseFloat(strings.TrimSpace(row[g.hectares]), 64)
		switch {
		case g.undated, status == "", area != nil, status == "permissioned" && (typ == "" || date == ""), typ != "" && typ == g.unknownType:
			refuse = append(refuse, ref)
		default:
			pass = append(pass, ref)
		}
	}
	return pass, refuse
}

// TestRealRegisters imports the registers that nine councils published, each
// through a mapping as its officer would write it. What is refused is refused
// for what the file does not say.
func TestRealRegisters(t *testing.T) {
	std := brownfield(t)
	mappings := exampleMappings(t)
	if len(mappings) != len(registers) {
		t.Errorf("%d example mappings for %d registers", len(mappings), len(registers))
	}
	records := map[string]string{} // by file and reference
	for _, g := range registers {
		t.Run(g.file, func(t *testing.T) {
			wantPass, wantRefuse := g.expected(t)
			rows, notes, pass, refuse := importFile(t, data(t, "brownfield-land/"+g.file+".csv"), mapping(t, string(mappings[g.file])), std, func(row intake.Row) {
				records[g.file+" "+row.Reference] = string(strictjson.Canonical(row.Record))
			})
			if !slices.Equal(pass, wantPass) || !slices.Equal(refuse, wantRefuse) {
				t.Errorf("got  %d pass, refused %q\nwant %d pass, refused %q", len(pass), refuse, len(wantPass), wantRefuse)
			}
			if rows != g.rows || len(pass) != g.passed {
				t.Errorf("%d of %d rows pass, want %d of %d", len(pass), rows, g.passed, g.rows)
			}
			// A cell of several lines is a note of the file, and no matter of the mapping.
			notes = slices.DeleteFunc(notes, func(n string) bool { return strings.Contains(n, "line breaks in a cell") })
			if len(notes) > 0 {
				t.Errorf("the mapping leaves something unsaid: %q", notes)
			}
		})
	}
	// Whole records, read by eye from the files.
	for ref, want := range map[string]string{
		"fylde BP05a": `{"easting":335688,"firstAddedDate":"2017-12-21","hectares":1.58,"netDwellingsRangeFrom":14,"netDwellingsRangeTo":14,` +
			`"northing":432946,"notes":"(bb) (11/084174) (RM p 15/081941)","organisation":"http://opendatacommunities.org/id/district-council/fylde",` +
			`"ownershipStatus":"not owned by a public authority","permissionDate":"2013-01-14","permissionType":"outline planning permission",` +
			`"planningStatus":"permissioned","reference":"BP05a","siteNameAddress":"Former Clock Garage, Preston New Road, Westby"}`,
		"rochdale SH 0483": `{"easting":389547,"firstAddedDate":"2017-11-29","hectares":0.04,"netDwellingsRangeFrom":6,"netDwellingsRangeTo":6,"northing":412564,` +
			`"notes":"Site could deliver approximately 6 properties","organisation":"http://opendatacommunities.org/id/metropolitan-district-council/rochdale",` +
			`"ownershipStatus":"owned by a public authority","planningStatus":"not permissioned","reference":"SH 0483","siteNameAddress":"Site Of 53-61 Tweedale Street, Rochdale"}`,
		"west-devon-b WD_13_12_13": `{"deliverable":"yes","easting":265721,"firstAddedDate":"2017-12-22","hectares":1.55,"lastUpdatedDate":"2018-12-19","minNetDwellings":62,` +
			`"northing":101629,"notes":"Residential development of 39 new residential units, and conversion of buildings to create further 23 residential units\n` +
			`B1 office space, plus associated works including flood alleviation and access\n01990/2011","organisation":"http://opendatacommunities.org/id/district-council/west-devon",` +
			`"ownershipStatus":"not owned by a public authority","permissionDate":"2015-04-15","permissionType":"full planning permission","planningStatus":"permissioned",` +
			`"reference":"WD_13_12_13","siteNameAddress":"H10 Woollen Mill, North Tawton","sitePlanURL":"https://www.westdevon.gov.uk/article/4292/Brownfield-Land-Register"}`,
	} {
		if got := records[ref]; got != want && len(records) > 0 {
			t.Errorf("%s:\ngot  %s\nwant %s", ref, got, want)
		}
	}
}

// importFile reads a CSV file as stile import does.
func importFile(t *testing.T, path string, m *intake.Mapping, std *standard.Standard, each func(intake.Row)) (rows int, notes, pass, refuse []string) {
	t.Helper()
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r, err := intake.Open(in, intake.Options{Format: intake.CSV, Mapping: m, Reference: std.Manifest().Key})
	if err != nil {
		t.Fatal(err)
	}
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var found []intake.Problem
		switch {
		case row.Record != nil:
			found = r.Explain(row, std.Validate(row.Record))
		case row.Partial != nil:
			found = r.Explain(row, std.Validate(row.Partial))
		}
		rows++
		if len(row.Problems)+len(found) > 0 {
			refuse = append(refuse, row.Reference)
			continue
		}
		pass = append(pass, row.Reference)
		each(row)
	}
	return rows, r.Notes(), pass, refuse
}

// The bytes as the councils first published them, made from printed pages:
// headings over three lines, a cell to a line, columns run together. No mapping
// reads these rightly, so the mapping for the mended file must refuse them,
// and say why without repeating what stands in them.
func TestAsPublished(t *testing.T) {
	mappings := exampleMappings(t)
	for _, file := range []string{"fylde", "worcester", "south-hams-a", "south-hams-b"} {
		in, err := os.Open(data(t, "brownfield-land/"+file+".as-published.txt"))
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		_, err = intake.Open(in, intake.Options{Format: intake.CSV, Mapping: mapping(t, string(mappings[file]))})
		var fe *intake.FileError
		if !errors.As(err, &fe) || fe.Rule != intake.RuleHeadings || len(fe.Found) == 0 {
			t.Errorf("%s: got %v", file, err)
			continue
		}
		t.Logf("%s: %v. Try: %s", file, fe, fe.Fix)
	}
}
