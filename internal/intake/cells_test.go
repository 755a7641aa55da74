package intake_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// Two properties that a spreadsheet has given one number are not made one
// record: the key is refused, as text of CSV and of JSON, and said why.
func TestPowersOfTen(t *testing.T) {
	m := mapping(t, head+"columns:\n  - {to: /a, from: Ref}\n  - {to: /n, from: Name}\n")
	rows, rd, err := readAll(t, "Ref,Name\n1.00023E+11,House one\n1.00023E+11,House two\nA1,2.5E+10\nA2,3.5E+10\n", intake.Options{Format: intake.CSV, Mapping: m, Reference: []name.Field{"/a"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[:2] {
		if len(row.Problems) != 1 || row.Problems[0].Rule != intake.RuleKey || !strings.Contains(row.Problems[0].Detail, "powers of ten by a spreadsheet") {
			t.Errorf("row %d: %+v", row.Number, row.Problems)
		}
	}
	want := []string{`column "Name": 2 cells are in powers of ten, first in row 4: a spreadsheet may have written a longer number so; if it did, digits are lost`}
	if got := rd.Notes(); !slices.Equal(got, want) {
		t.Errorf("notes %q", got)
	}
	rows, _, err = readAll(t, `[{"a":"1.00023E+11"},{"a":"A1"}]`, intake.Options{Format: intake.JSON, Reference: []name.Field{"/a"}})
	if err != nil || len(rows) != 2 || len(rows[0].Problems) != 1 || rows[0].Problems[0].Rule != intake.RuleKey || rows[1].Record == nil {
		t.Errorf("%+v, %v", rows, err)
	}
}

// A value is filled down from the rows above, and never past a row that could
// not be read.
func TestFillDown(t *testing.T) {
	m := mapping(t, head+"columns:\n  - {to: /w, from: Ward, fill_down: true}\n  - {to: /n, from: Name}\n")
	rows, _, err := readAll(t, "Ward,Name\n,first\nHeath,a\n ,b\n\n,c\ntorn,d,e\n,f\nMoor,g\n,h\n", intake.Options{Format: intake.CSV, Mapping: m})
	if err != nil {
		t.Fatal(err)
	}
	want := `2/2  {"n":"first"}
3/3  {"n":"a","w":"Heath"}
4/4  {"n":"b","w":"Heath"}
6/6  {"n":"c","w":"Heath"}
7/7  !columns
8/8  !required@/w
9/9  {"n":"g","w":"Moor"}
10/10  {"n":"h","w":"Moor"}
`
	if got := show(rows); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCoordinates(t *testing.T) {
	const both = "longitude: /lon, latitude: /lat, easting: /e, northing: /n"
	const degrees = "longitude: /lon, latitude: /lat"
	for _, c := range []struct{ xy, x, y, want string }{
		{"are: wgs84, " + both, "-1.500", "53.8", `{"lat":53.8,"lon":-1.500}`},
		{"are: osgb36, " + both, "429939.0", "433828", `{"e":429939.0,"n":433828}`},
		{"are: by-value, " + both, "53.8", "-1.5", `{"lat":53.8,"lon":-1.5}`},
		{"are: by-value, " + both, "429939", "433828", `{"e":429939,"n":433828}`},
		{"are: by-value, " + both, "429939", "-1.5", `!place@/lon`},
		{"are: by-value, " + both, "12", "-100", `!place@/lon`},
		{"are: by-value, " + both, "1.5.2", "-100", `!number@/lon`},
		{"are: by-value, " + both, "-1.5", "N/K", `!number@/lat`},
		{"are: by-value, " + both, " ", "53.8", `!place@/lon`},
		{"are: by-value, required: true, " + both, " ", " ", `!required@/lon`},
		{"are: by-value, " + both, " ", " ", `{}`},
		{"are: osgb36, decimals: 3, " + degrees, "429939", "433828", `{"lat":53.800,"lon":-1.547}`},
		{"are: osgb36, " + degrees, "-5", "433828", `!place@/lon`},
		{"are: osgb36, easting: /e, northing: /n, decimals: 0", "429939.5", "433828.4", `{"e":429940,"n":433828}`},
		{"are: wgs84, easting: /e, northing: /n", "2.3", "48.8", `!place@/e`},
	} {
		m := mapping(t, head+"delimiter: '|'\ncolumns: [{to: /end, from: End}]\ncoordinates:\n  - {x: X, y: Y, "+c.xy+"}\n")
		rows, _, err := readAll(t, "X|Y|End\n"+c.x+"|"+c.y+"|.\n", intake.Options{Format: intake.CSV, Mapping: m})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.TrimSpace(show(rows))
		got = strings.Replace(strings.TrimSpace(got[strings.LastIndex(got, " "):]), `"end":".",`, "", 1)
		if got = strings.Replace(got, `"end":"."`, "", 1); got != c.want {
			t.Errorf("%s: %s %s: got %s, want %s", c.xy, c.x, c.y, got, c.want)
		}
	}
	for _, c := range []struct{ pattern, in, want string }{
		{"latitude-longitude, are: wgs84", "53.8, -1.5", `{"lat":53.8,"lon":-1.5}`},
		{"longitude-latitude, are: wgs84", "(-1.5 53.8)", `{"lat":53.8,"lon":-1.5}`},
		{"named-degrees, are: wgs84", "Latitude: 53.8 Longitude: -1.5", `{"lat":53.8,"lon":-1.5}`},
		{"point, are: wgs84", "POINT (-1.5 53.8)", `{"lat":53.8,"lon":-1.5}`},
		{"point, are: by-value", "POINT (429939 433828)", `{"lat":53.799899,"lon":-1.546932}`},
		{"point, are: wgs84", "see plan", `!pattern@/lon`},
	} {
		m := mapping(t, head+"delimiter: '|'\ncoordinates:\n  - {at: P, pattern: "+c.pattern+", "+degrees+"}\n")
		rows, _, err := readAll(t, "P\n"+c.in+"\n", intake.Options{Format: intake.CSV, Mapping: m})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.TrimSpace(show(rows))
		if got = strings.TrimSpace(got[strings.LastIndex(got, " "):]); got != c.want {
			t.Errorf("%s: %s: got %s, want %s", c.pattern, c.in, got, c.want)
		}
	}
}

// What is in a guarded file is what was put there.
func TestGuarded(t *testing.T) {
	m := mapping(t, head+"guarded: true\ndelimiter: \";\"\ncolumns:\n  - {to: /t, from: T}\n  - {to: /l, from: L, split: \"|\", escape: \"\\\\\"}\n  - {to: /n, from: N, type: number}\n")
	for _, c := range []struct{ t, l, n, want string }{
		{"a", "", "1", `{"n":1,"t":"a"}`},
		{"'", "x|y", "1", `{"l":["x","y"],"n":1,"t":""}`},
		{"' a ", `x\|y|\\`, "1", `{"l":["x|y","\\"],"n":1,"t":" a "}`},
		{"''=1", "[]", "null", `{"l":[],"n":null,"t":"'=1"}`},
		{"'null", `"[""a"",null,""""]"`, "-1", `{"l":["a",null,""],"n":-1,"t":"null"}`},
		{"null", `\[a]`, "1", `{"l":["[a]"],"n":1,"t":null}`},
		{"'N/A", `'=1|2`, "1", `{"l":["=1","2"],"n":1,"t":"N/A"}`},
	} {
		rows, _, err := readAll(t, "T;L;N\n"+c.t+";"+c.l+";"+c.n+"\n", intake.Options{Format: intake.CSV, Mapping: m})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(strictjson.Canonical(rows[0].Record)); got != c.want {
			t.Errorf("%+v: got %s, %v", c, got, rows[0].Problems)
		}
	}
}

// A short mapping on a short file cannot make a record of gigabytes: it ends in
// a refused row that says so, soon, and in little memory.
func TestMappingBudget(t *testing.T) {
	cell := strings.Repeat("x", 200<<10)
	for name, body := range map[string]string{
		"the same column over and over": func() string {
			var b strings.Builder
			b.WriteString("columns:\n")
			for i := range 2000 {
				fmt.Fprintf(&b, "- {to: /c%d, from: A}\n", i)
			}
			return b.String()
		}(),
		"joined to itself": "columns:\n- {to: /a, from: A, join: x, also: [" + strings.Repeat("A, ", 199) + "A]}\n",
		"split to letters": func() string {
			var b strings.Builder
			b.WriteString("columns:\n")
			for i := range 1000 {
				fmt.Fprintf(&b, "- {to: /c%d, from: A, split: x, empty: 'null', values: {y: 1}}\n", i)
			}
			return b.String()
		}(),
	} {
		m := mapping(t, head+body)
		in := cell
		if name == "split to letters" {
			in = strings.Repeat("yx", 100<<10)
		}
		rd, err := intake.Open(strings.NewReader("A\n"+in+"\nlast\n"), intake.Options{Format: intake.CSV, Mapping: m})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		row, err := rd.Next()
		if err != nil || len(row.Problems) != 1 || !(row.Problems[0].Rule == intake.RuleSize || row.Problems[0].Rule == intake.RuleText || row.Problems[0].Rule == "values") {
			t.Errorf("%s: %+v, %v", name, row.Problems, err)
		} else {
			t.Logf("%s: %v: %s", name, time.Since(start), row.Problems[0].Detail)
		}
		if row, err := rd.Next(); err != nil || row.Record == nil {
			t.Errorf("%s: the row after: %+v, %v", name, row.Problems, err)
		}
		if _, err := rd.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Cells of any kind are read or refused, and never stop the program: what is
// read is strict JSON.
func FuzzCells(f *testing.F) {
	m := mapping(f, head+`thousands: ","
guarded: true
columns:
  - {to: /s, from: A, words: [yes, no], replace: {a: b}, letters: lower}
  - {to: /n, from: A, type: number, decimals: 2}
  - {to: /d, from: A, type: date, formats: [dd/mm/yyyy, d mon yyyy, serial]}
  - {to: /t, from: A, type: date-time, zone: Europe/London, formats: ["yyyy-mm-dd HH:MM:SS", serial]}
  - {to: /l, from: A, split: "|", escape: "\\"}
  - {to: /p, from: A, pattern: named-degrees, part: longitude, type: number}
  - {to: /j, from: A, type: json}
coordinates:
  - {at: A, pattern: point, are: by-value, longitude: /x, latitude: /y}
  - {x: A, y: B, are: osgb36, longitude: /x1, latitude: /y1}
`)
	for _, s := range []string{"(£1,234.50)", "45385.5", "3 Apr 2024", "POINT(-1.5 53.8)", "Latitude: 53.8 Longitude: -1.5", `'["a",null]`, `{"a":[1]}`, "1.00023E+11", "a\\|b|c", "\x00"} {
		f.Add(s, "433828")
	}
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	f.Fuzz(func(t *testing.T, a, b string) {
		rd, err := intake.Open(strings.NewReader("A,B\n"+quote(a)+","+quote(b)+"\n"), intake.Options{Format: intake.CSV, Mapping: m})
		if err != nil {
			t.Fatal(err)
		}
		for {
			row, err := rd.Next()
			if err != nil {
				return
			}
			if v := any(row.Partial); row.Partial != nil {
				strict(t, v)
			}
			if row.Record != nil {
				strict(t, row.Record)
			}
		}
	})
}

func strict(t *testing.T, v any) {
	c := strictjson.Canonical(v)
	if _, err := strictjson.Decode(c, strictjson.Limits{}); err != nil {
		t.Fatalf("made %s, which is not strict JSON: %v", c, err)
	}
}
