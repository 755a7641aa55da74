package intake_test

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

const people = `mapping: 1
standard: standards.example/people@1
columns:
  - {to: /ref, from: Ref, required: true}
  - {to: /born, from: Date of birth, type: date, formats: [dd/mm/yyyy]}
  - {to: /name, from: Name}
  - {to: /tags, from: Tags, split: ";", type: integer}
`

// One goroutine takes the file apart while others read its rows.
func TestReadAtOnce(t *testing.T) {
	const n = 2000
	in := "Ref,Date of birth,Name,Tags\n" + strings.Repeat("a,03/04/1980,Ann,1;2\nb,never,Bo,x\n", n)
	r, err := intake.Open(strings.NewReader(in), intake.Options{Format: intake.CSV, Mapping: mapping(t, people), Reference: []name.Field{"/ref"}})
	if err != nil {
		t.Fatal(err)
	}
	raws := make(chan intake.Raw, 16)
	var mu sync.Mutex
	var wg sync.WaitGroup
	good, bad := 0, 0
	for range 4 {
		wg.Go(func() {
			for raw := range raws {
				row := r.Read(raw)
				mu.Lock()
				if row.Record != nil && row.Reference == "a" {
					good++
				}
				if len(row.Problems) == 2 && row.Reference == "b" {
					bad++
				}
				mu.Unlock()
			}
		})
	}
	for {
		raw, err := r.Scan()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Error(err)
			break
		}
		raws <- raw
	}
	close(raws)
	wg.Wait()
	if good != n || bad != n {
		t.Errorf("%d good and %d bad rows, want %d of each", good, bad, n)
	}
}

// A row that the mapping finds fault with is judged by the standard as well,
// so that a person is told everything at once, and nothing twice.
func TestEverythingAtOnce(t *testing.T) {
	std := brownfield(t)
	m := mapping(t, `mapping: 1
standard: standards.stile.example/brownfield-site@1
columns:
  - {to: /reference, from: Ref}
  - {to: /siteNameAddress, from: Address, optional: true}
  - {to: /easting, from: X, type: number}
  - {to: /northing, from: Y, type: number}
  - {to: /hectares, from: Area, type: number}
  - {to: /ownershipStatus, from: Owner}
  - {to: /planningStatus, from: Status}
  - {to: /firstAddedDate, from: Added, type: date}
constants: {/organisation: http://opendatacommunities.org/id/district-council/fylde}
`)
	r, err := intake.Open(strings.NewReader("Ref,X,Y,Area,Owner,Status,Added\nA1,330941,431694,two,nobody,not permissioned,2017\n"), intake.Options{Format: intake.CSV, Mapping: m})
	if err != nil {
		t.Fatal(err)
	}
	row, err := r.Next()
	if err != nil || row.Record != nil || row.Partial == nil {
		t.Fatalf("%+v, %v", row, err)
	}
	var got []string
	for _, p := range append(row.Problems, r.Explain(row, std.Validate(row.Partial))...) {
		got = append(got, p.Pointer+" "+p.Rule+" "+p.Column+" "+p.Value)
	}
	want := "/firstAddedDate date Added 2017\n/hectares number Area two\n/ownershipStatus enum Owner nobody\n/siteNameAddress required  "
	if g := strings.Join(got, "\n"); g != want {
		t.Errorf("got\n%s\nwant\n%s", g, want)
	}
}

// A column without a heading is told of when it holds something.
func TestColumnWithoutHeading(t *testing.T) {
	for in, want := range map[string]string{
		"A,B,C,,\n1,2,3,,\n":            "",
		"A,B,C,,\n1,2,3,x,\n4,5,6,y,\n": "column 4 has cells and no heading, and is not in the mapping: it was left out",
	} {
		_, rd, err := readAll(t, in, intake.Options{Format: intake.CSV, Mapping: mapping(t, three)})
		if err != nil || strings.Join(rd.Notes(), "\n") != want {
			t.Errorf("%q: notes %q, %v", in, rd.Notes(), err)
		}
	}
	_, rd, _ := readAll(t, "A,B,C,\n1,2,3,x\n", intake.Options{Format: intake.CSV, Mapping: mapping(t, three+"ignore: ['']\n")})
	if len(rd.Notes()) > 0 {
		t.Errorf("notes %q", rd.Notes())
	}
}

// A record from CSV is one that could have come as JSON, also when it has
// grown on the way.
func TestGrownRecord(t *testing.T) {
	m := mapping(t, head+"columns:\n  - {to: /a, from: A, split: ';'}\n  - {to: /b, from: B}\n  - {to: /c, from: C}\n  - {to: /d, from: D}\n  - {to: /e, from: E}\n")
	tabs := strings.Repeat("x\t", 100<<10) // a tab is one byte of CSV and two of JSON
	for _, c := range []struct{ name, in, rule string }{
		{"more values than a record may have", strings.Repeat("x;", 200_000) + ",,,,", strictjson.RuleValues},
		{"longer than a record may be", tabs + strings.Repeat(","+tabs, 4), strictjson.RuleSize},
		{"large, and not too large", tabs + ",,,,", ""},
	} {
		r, err := intake.Open(strings.NewReader("A,B,C,D,E\n"+c.in+"\n"), intake.Options{Format: intake.CSV, Mapping: m})
		if err != nil {
			t.Fatal(err)
		}
		row, err := r.Next()
		got := ""
		if err == nil && len(row.Problems) > 0 {
			got = row.Problems[0].Rule
		}
		if err != nil || got != c.rule || (row.Record != nil) != (c.rule == "") {
			t.Errorf("%s: got %q, %v", c.name, got, err)
		}
	}
}

func TestFormats(t *testing.T) {
	for file, want := range map[string]intake.Format{"a.csv": "csv", "A.TSV": "csv", "b.json": "json", "c.jsonl": "ndjson", "d.ndjson": "ndjson", "e": "", "f.pdf": "", "f.xlsx": "xlsx", "g.XLS": "xlsx", "h.ods": "ods"} {
		if got, ok := intake.FormatOf(file); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", file, got, ok)
		}
	}
	if _, err := intake.ParseFormat("xml"); err == nil {
		t.Error("xml was taken")
	}
}
