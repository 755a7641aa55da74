package intake_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

const head = "mapping: 1\nstandard: standards.example/x@1\n"

// cell maps one cell, under heading A, through a column and returns the
// record, or the rule that failed.
func cell(t *testing.T, column, more, text string) string {
	t.Helper()
	m := mapping(t, head+more+"columns:\n  - {to: /a, from: A, "+column+"}\n  - {to: /z, from: Z, optional: true}\n")
	rows, _, err := readAll(t, "A|Z\n"+text+"|\nend|end", intake.Options{Format: intake.CSV, Mapping: withPipe(m)})
	if err != nil {
		t.Fatalf("%s: %v", column, err)
	}
	out := strings.SplitN(strings.TrimSpace(show(rows[:1])), " ", 2)
	if text == "" {
		t.Fatal("a blank row is no row: put a space or a word")
	}
	return strings.TrimSpace(out[len(out)-1])
}

func withPipe(m *intake.Mapping) *intake.Mapping {
	m.Delimiter = "|"
	return m
}

func TestCells(t *testing.T) {
	for _, c := range []struct{ column, more, in, want string }{
		// text
		{"type: string", "", " a  b ", `{"a":"a  b"}`},
		{"type: string", "", "\u00a0a\u00a0", `{"a":"a"}`},
		{"keep_spaces: true", "", " a ", `{"a":" a "}`},
		{"strip: '*\"'", "", "* \"a\" *", `{"a":"a"}`},
		{"blank: [none]", "", "NONE", `!none`},
		{"blank: [none], required: true", "", "none", `!required@/a`},
		{"blank: [none], empty: 'null'", "", "none", `{"a":null}`},
		{"blank: [none], empty: text", "", "none", `{"a":""}`},
		{"values: {Full: full planning permission}", "", " FULL", `{"a":"full planning permission"}`},
		{"values: {yes: true, 'n/a': null, 'two': 2.50}", "", "two", `{"a":2.50}`},
		{"values: {yes: true, 'n/a': null, 'two': 2.50}", "", "N/A", `{"a":null}`},
		{"values: {yes: true, 'n/a': null, 'two': 2.50}", "", "other", `{"a":"other"}`},
		{"split: ';'", "", " b; a;;b ", `{"a":["b","a","b"]}`},
		{"split: ', ', type: integer", "", "1, 2, x", `!integer@/a`},
		{"split: ', ', type: integer, blank: [x]", "", "1, 2, x", `{"a":[1,2]}`},
		{"split: ', ', values: {one: 1}", "", "one, two", `{"a":[1,"two"]}`},
		{"split: ';', required: true", "", ";", `!required@/a`},
		// numbers
		{"type: number", "", "0.10", `{"a":0.10}`},
		{"type: number", "", "-.5", `{"a":-0.5}`},
		{"type: number", "", "+5", `{"a":5}`},
		{"type: number", "", "−5", `{"a":-5}`},
		{"type: number", "", "1,234", `!number@/a`},
		{"type: number", "thousands: ','\n", "1,234.5", `{"a":1234.5}`},
		{"type: number", "thousands: ','\n", "1,23,4", `!number@/a`},
		{"type: number", "thousands: ','\n", ",123", `!number@/a`},
		{"type: number", "decimal: ','\n", "1,5", `{"a":1.5}`},
		{"type: number", "decimal: ','\n", "1.5", `!number@/a`},
		{"type: number", "decimal: ','\nthousands: '.'\n", "1.234.567,80", `{"a":1234567.80}`},
		{"type: number", "thousands: ' '\n", "1\u00a0234 567", `{"a":1234567}`},
		{"type: number", "", "1.2E+05", `!number@/a`},
		// money, as finance systems write it
		{"type: number", "", "£5", `{"a":5}`},
		{"type: number", "thousands: ','\n", "£1,234.50", `{"a":1234.50}`},
		{"type: number", "thousands: ','\n", "-£1,234.50", `{"a":-1234.50}`},
		{"type: number", "thousands: ','\n", "£-1,234.50", `{"a":-1234.50}`},
		{"type: number", "", "(250.00)", `{"a":-250.00}`},
		{"type: number", "", "£(250.00)", `{"a":-250.00}`},
		{"type: number", "", "(£250.00)", `{"a":-250.00}`},
		{"type: number", "", "250.00-", `{"a":-250.00}`},
		{"type: number", "", "250.00 £", `{"a":250.00}`},
		{"type: number", "", "(-250.00)", `!number@/a`},
		{"type: number", "", "-250.00-", `!number@/a`},
		{"type: number", "", "((250.00))", `!number@/a`},
		{"type: number", "", "££5", `!number@/a`},
		{"type: number", "", "(250.00", `!number@/a`},
		{"type: number", "", "€5", `!number@/a`},
		{"type: number", "currency: €\n", "€5", `{"a":5}`},
		{"type: number", "currency: [£, €]\n", "€5", `{"a":5}`},
		{"type: number", "currency: €\n", "£5", `!number@/a`},
		{"type: number", "currency: []\n", "£5", `!number@/a`},
		{"type: number", "currency: [GBP]\n", "GBP 5", `{"a":5}`},
		{"type: number", "thousands: ','\n", "1.234,56", `!number@/a`},
		{"type: number", "", "1.234,56", `!number@/a`},
		{"type: number", "", "-", `!number@/a`},
		{"type: number", "", "()", `!number@/a`},
		{"type: number", "", "£", `!number@/a`},
		{"type: number, decimals: 0", "", "-0.4", `{"a":0}`},
		{"type: integer", "thousands: ','\n", "£1,234.00", `{"a":1234}`},
		// powers of ten
		{"identifier: true", "", "1.00023E+11", `!powers-of-ten@/a`},
		{"identifier: true", "", "1E+11", `!powers-of-ten@/a`},
		{"identifier: true", "", "-1.5e-7", `!powers-of-ten@/a`},
		{"identifier: true", "", "1,00023E+11", `!powers-of-ten@/a`},
		{"identifier: true", "", "1E10", `{"a":"1E10"}`}, // may well be a code
		{"identifier: true", "", "12E+05", `{"a":"12E+05"}`},
		{"identifier: true, values: {1E+11: '100000000000'}", "", "1E+11", `{"a":"100000000000"}`},
		{"identifier: true, split: ';'", "", "5;1.2E+11", `!powers-of-ten@/a`},
		{"type: string", "", "1.00023E+11", `{"a":"1.00023E+11"}`},
		// texts
		{"words: [Not Permissioned, permissioned]", "", "not-permissioned", `{"a":"Not Permissioned"}`},
		{"words: [yes], blank: ['no']", "", "YES", `{"a":"yes"}`},
		{"words: [a b], split: ';'", "", "A-B; c", `{"a":["a b","c"]}`},
		{"replace: {a: b, b: c}", "", "ab", `{"a":"bc"}`},
		{"letters: upper", "", "nb2 2pp", `{"a":"NB2 2PP"}`},
		{"split: ';', escape: '\\'", "", "a\\;b;c", `{"a":["a;b","c"]}`},
		{"type: json", "", "[1, {}]", `{"a":[1,{}]}`},
		{"type: json", "", "[1,", `!syntax@/a`},
		{"type: json", "", `{"x":1,"x":2}`, `!duplicate-key@/a`},
		{"pattern: named-degrees, part: longitude, type: number", "", "Lat: 53.1, Long: -1.5", `{"a":-1.5}`},
		{"pattern: named-degrees, part: longitude, type: number", "", "Longitude -1.5 Latitude 53.1", `{"a":-1.5}`},
		{"pattern: named-degrees, part: latitude, type: number", "", "53.1 -1.5", `!pattern@/a`},
		{"pattern: point, part: y, type: number", "", "SRID=4326;POINT( -1.5 53.1 )", `{"a":53.1}`},
		{"pattern: point, part: y, type: number", "", "POINT Z (1 2 3)", `!pattern@/a`},
		{"pattern: geojson, part: x, type: number", "", `{"type":"Point","coordinates":[-1.5,53.1]}`, `{"a":-1.5}`},
		{"type: number", "", "5.", `!number@/a`},
		{"type: number", "", "007", `!number@/a`},
		{"type: number", "", "1.2.3", `!number@/a`},
		{"type: number", "", "٣", `!number@/a`}, // digits, but not of JSON
		{"type: number", "", strings.Repeat("9", 300), `!number@/a`},
		{"type: number, decimals: 2", "", "0.426", `{"a":0.43}`},
		{"type: number, decimals: 2", "", "0.425", `{"a":0.43}`},
		{"type: number, decimals: 2", "", "-99.995", `{"a":-100}`},
		{"type: number, decimals: 2", "", "1.500", `{"a":1.5}`},
		{"type: number, decimals: 2", "", "1.5", `{"a":1.5}`},
		{"type: number, decimals: 0", "", "9.5", `{"a":10}`},
		{"type: integer", "", "12", `{"a":12}`},
		{"type: integer", "", "12.00", `{"a":12}`},
		{"type: integer", "", "12.5", `!integer@/a`},
		{"type: integer", "", "9007199254740993", `!integer@/a`},
		{"type: boolean", "", "Yes", `{"a":true}`},
		{"type: boolean", "", "f", `!boolean@/a`},
		{"type: boolean, values: {f: false}", "", "F", `{"a":false}`},
		// dates
		{"type: date", "", "2024-02-29", `{"a":"2024-02-29"}`},
		{"type: date", "", "2023-02-29", `!date@/a`},
		{"type: date", "", "29/02/2024", `!date@/a`},
		{"type: date, formats: [dd/mm/yyyy]", "", "03/04/2024", `{"a":"2024-04-03"}`},
		{"type: date, formats: [dd/mm/yyyy]", "", "3/4/2024", `!date@/a`},
		{"type: date, formats: [d/m/yyyy]", "", "3/04/2024", `{"a":"2024-04-03"}`},
		{"type: date, formats: [dd/mm/yyyy, yyyy-mm-dd]", "", "2024-04-03", `{"a":"2024-04-03"}`},
		{"type: date, formats: [d mon yyyy, d month yyyy]", "", "3 APR 2024", `{"a":"2024-04-03"}`},
		{"type: date, formats: [d mon yyyy, d month yyyy]", "", "3 September 2024", `{"a":"2024-09-03"}`},
		{"type: date, formats: [dd/mm/yy], years: 1950", "", "03/04/49", `{"a":"2049-04-03"}`},
		{"type: date, formats: [dd/mm/yy], years: 1950", "", "03/04/50", `{"a":"1950-04-03"}`},
		{"type: date, formats: [dd/mm/yyyy HH:MM]", "", "03/04/2024 00:00", `{"a":"2024-04-03"}`},
		{"type: date, formats: [dd/mm/yyyy HH:MM]", "", "03/04/2024 09:00", `!date@/a`},
		{"type: date, formats: [serial]", "", "45385", `{"a":"2024-04-03"}`},
		{"type: date, formats: [serial]", "", "60", `!date@/a`},
		{"type: date, formats: [serial]", "", "45385.0", `{"a":"2024-04-03"}`},
		{"type: date, formats: [serial]", "", "45385.5", `!date@/a`},
		{"type: date, formats: [serial], epoch: 1904", "", "43923", `{"a":"2024-04-03"}`},
		{"type: date, formats: [serial], epoch: 1970-01-01", "", "0", `{"a":"1970-01-01"}`},
		{"type: date, formats: [serial]", "", "9999999", `!date@/a`},
		{"type: date-time, formats: [serial], zone: Europe/London", "", "45385.378541667", `{"a":"2024-04-03T09:05:06+01:00"}`},
		{"type: date, formats: [yyyymmdd]", "", "20240403", `{"a":"2024-04-03"}`},
		{"type: date", "", "0024-04-03", `!date@/a`},
		{"type: date-time", "", "2024-04-03T09:05:06+01:00", `{"a":"2024-04-03T09:05:06+01:00"}`},
		{"type: date-time", "", "2024-04-03T09:05:06Z", `{"a":"2024-04-03T09:05:06Z"}`},
		{"type: date-time", "", "2024-04-03T24:05:06Z", `!date-time@/a`},
		{"type: date-time, formats: ['dd/mm/yyyy HH:MM'], zone: Europe/London", "", "03/04/2024 09:05", `{"a":"2024-04-03T09:05:00+01:00"}`},
		{"type: date-time, formats: ['dd/mm/yyyy HH:MM'], zone: Europe/London", "", "03/01/2024 09:05", `{"a":"2024-01-03T09:05:00Z"}`},
		{"type: date-time, formats: ['dd/mm/yyyy HH:MM'], zone: Europe/London", "", "27/10/2024 01:30", `!date-time@/a`}, // came twice
		{"type: date-time, formats: ['dd/mm/yyyy HH:MM'], zone: Europe/London", "", "31/03/2024 01:30", `!date-time@/a`}, // never came
		{"type: date-time, formats: ['dd/mm/yyyy'], zone: UTC", "", "03/01/2024", `{"a":"2024-01-03T00:00:00Z"}`},
	} {
		want := c.want
		if want == "!none" {
			want = "{}"
		}
		if got := cell(t, c.column, c.more, c.in); got != want {
			t.Errorf("%s %s%q: got %s, want %s", c.column, c.more, c.in, got, want)
		}
	}
}

func TestPlaces(t *testing.T) {
	m := mapping(t, head+`columns:
  - {to: /site/name, from: Name}
  - {to: /site/at/x, from: X, type: number}
  - {to: /contacts/0/name, from: Contact 1}
  - {to: /contacts/1/name, from: Contact 2}
  - {to: /a~1b, from: Odd}
  - {to: /notes, from: Note, also: [Further, Last], join: "; ", blank: [none]}
constants: {/organisation: local-authority:NBR, /site/kind: 7, /live: true, /ends: null}
`)
	rows, _, err := readAll(t, "Name,X,Contact 1,Contact 2,Odd,Note,Further,Last\n"+
		"A,1,,Bo,o,first,none,last\n"+
		",,,,,none,,second\n"+
		"B,,Al,Bo,,,,\n", intake.Options{Format: intake.CSV, Mapping: m})
	if err != nil {
		t.Fatal(err)
	}
	const want = `2/2  {"a/b":"o","contacts":[{"name":"Bo"}],"ends":null,"live":true,"notes":"first; last","organisation":"local-authority:NBR","site":{"at":{"x":1},"kind":7,"name":"A"}}
3/3  {"ends":null,"live":true,"notes":"second","organisation":"local-authority:NBR","site":{"kind":7}}
4/4  {"contacts":[{"name":"Al"},{"name":"Bo"}],"ends":null,"live":true,"organisation":"local-authority:NBR","site":{"kind":7,"name":"B"}}
`
	if got := show(rows); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A problem says where the cell stands and keeps the cell to itself.
func TestProblem(t *testing.T) {
	m := mapping(t, head+"columns:\n  - {to: /added, from: Date Added, type: date, formats: [dd/mm/yyyy]}\n  - {to: /ref, from: Ref}\n")
	rows, _, err := readAll(t, "Ref,Date  added\nJB,1st of May\n", intake.Options{Format: intake.CSV, Mapping: m})
	if err != nil {
		t.Fatal(err)
	}
	want := intake.Problem{Pointer: "/added", Column: "Date  added", Rule: "date", Detail: "not a date written as dd/mm/yyyy",
		Fix: "mend it at the source, or add the format it is in to the mapping", Value: "1st of May"}
	if got := rows[0].Problems; !reflect.DeepEqual(got, []intake.Problem{want}) {
		t.Errorf("got %+v", got)
	}
}

func TestMappingEveryProblemAtOnce(t *testing.T) {
	in := `mapping: 1
standard: standards.example/x@1
encoding: latin
delimiter: "::"
header_row: 1
header_find: [A]
decimal: ","
thousands: ","
wat: 1
columns:
  - to: /a
    from: A
    type: money
  - to: a
    from: B
  - to: /c
  - to: /d
    from: D
    type: date
    formats: [dd/mm/yyyy, mm/dd/yyyy, dd/mm/yy, "at noon"]
  - to: /a/b
    from: E
  - to: /f
    from: F
    required: true
    optional: true
    values: {x: [1], y: 0x1F}
  - {to: /g, from: G, values: {a: 1, A: 2}}
  - {to: /h/0, from: H}
  - {to: /h/2, from: I}
  - {to: /i, from: J, type: date-time, formats: [dd/mm/yyyy]}
  - {to: /j, from: K, type: number, formats: [dd/mm/yyyy]}
  - {to: "/k/*", from: L}
constants: {/a: 1, bad: 2}
`
	_, err := intake.ParseMapping([]byte(in))
	if err == nil {
		t.Fatal("accepted")
	}
	var missing []string
	for _, want := range []string{
		`line 3: encoding: want utf-8`,
		`line 4: delimiter: want one of`,
		`line 6: header_find: header_row is given as well`,
		`line 8: thousands: want`,
		`line 9: unknown key "wat"`,
		`line 13: columns.1.type: want string`,
		`line 14: columns.2.to: want a place in the record`,
		`line 16: columns.3: want from`,
		`line 20: columns.4.formats: "dd/mm/yyyy" and "mm/dd/yyyy" read the same text as different dates`,
		`line 20: columns.4.formats: format "dd/mm/yy" has two-digit years`,
		`line 20: columns.4.formats: format "at noon"`,
		`line 21: columns.5.to: something else goes to this place`,
		`line 26: columns.6.optional: the column is required as well`,
		`line 27: want text, a number, true, false or null`,
		`line 28: "a" stands here for the second time`,
		`line 31: columns.10.zone: must be given`,
		`line 32: columns.11.type: formats, zone, years and epoch are for`,
		`line 33: columns.12.to: want the place of one value`,
		`line 34: constants./a: something else goes to this place`,
		`line 34: constants.bad: want a place`,
		`columns: "2" is a member of an object or an element of an array, not both`,
	} {
		if !strings.Contains(err.Error(), want) {
			missing = append(missing, want)
		}
	}
	if missing != nil {
		t.Errorf("no line %q in:\n%v", missing, err)
	}
	var me *intake.MappingError
	if !errors.As(err, &me) {
		t.Error("not a MappingError")
	}
}

func TestMappingRefused(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "want keys and values"},
		{"a list", "- 1", "want keys and values"},
		{"not YAML", "mapping: 1\n\tx", "not YAML"},
		{"no version", "standard: standards.example/x@1\ncolumns: [{to: /a, from: A}]", "mapping: must be given"},
		{"a later version", "mapping: 2\nstandard: standards.example/x@1\ncolumns: [{to: /a, from: A}]", "version 2"},
		{"no standard", "mapping: 1\ncolumns: [{to: /a, from: A}]", "standard: must be given"},
		{"not a standard", "mapping: 1\nstandard: x\ncolumns: [{to: /a, from: A}]", "want publisher/name@major"},
		{"no columns", head, "columns: must be given"},
		{"two documents", head + "columns: [{to: /a, from: A}]\n---\na: 1", "one YAML document"},
		{"alias", head + "columns: &c [{to: /a, from: A}]\nignore: *c", "anchors, aliases"},
		{"a key twice", head + "columns: [{to: /a, from: A}]\ncolumns: []", "for the second time"},
		{"from as a number list", head + "columns: [{to: /a, from: {x: 1}}]", "want a"},
		{"position and heading", head + "columns: [{to: /a, from: A, position: 1}]", "want from"},
		{"long", head + strings.Repeat("#", 1<<20), "longer than"},
		{"headings without a heading row", head + "header_row: 0\ncolumns: [{to: /a, from: A}]", "want position"},
		{"a part of no pattern", head + "columns: [{to: /a, from: A, pattern: point, part: latitude}]", "want x or y"},
		{"a part without a pattern", head + "columns: [{to: /a, from: A, part: x}]", "with a pattern"},
		{"an epoch that is no day", head + "columns: [{to: /a, from: A, type: date, formats: [serial], epoch: then}]", "want a day"},
		{"an epoch without serial", head + "columns: [{to: /a, from: A, type: date, epoch: 1904}]", "for the format serial"},
		{"words that are alike", head + "columns: [{to: /a, from: A, words: [a b, A-B]}]", "alone"},
		{"half a place", head + "coordinates: [{x: A, y: B, are: wgs84, longitude: /x}]", "want longitude and latitude"},
		{"a place of nothing", head + "coordinates: [{are: wgs84, longitude: /x, latitude: /y}]", "want x and y"},
		{"a pattern of degrees for metres", head + "coordinates: [{at: A, pattern: named-degrees, are: osgb36, longitude: /x, latitude: /y}]", "the pattern named-degrees is of"},
		{"a place where a column goes", head + "columns: [{to: /x, from: A}]\ncoordinates: [{x: A, y: B, are: wgs84, longitude: /x, latitude: /y}]", "something else goes to this place"},
		{"a currency of no country", head + "currency: XYZ\ncolumns: [{to: /a, from: A}]", "currency: want £"},
		{"also without end", head + "columns: [{to: /a, from: A, join: x, also: [" + strings.Repeat("A,", 300) + "A]}]", "more than 200 in the mapping"},
		{"also without join", head + "columns: [{to: /a, from: A, also: [B]}]", "want join"},
	} {
		_, err := intake.ParseMapping([]byte(c.in))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func exampleMappings(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../examples/04-brownfield-land/published/*.mapping.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no example mapping: %v", err)
	}
	out := map[string][]byte{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".mapping.yaml")] = b
	}
	return out
}

// What is accepted comes back the same from its own print.
func TestMappingPrint(t *testing.T) {
	for name, b := range exampleMappings(t) {
		roundTrip(t, name, b)
	}
}

func roundTrip(t *testing.T, name string, b []byte) {
	m, err := intake.ParseMapping(b)
	if err != nil {
		return
	}
	out := m.YAML()
	back, err := intake.ParseMapping(out)
	if err != nil {
		t.Fatalf("%s: %v in\n%s", name, err, out)
	}
	if again := back.YAML(); !bytes.Equal(out, again) {
		t.Fatalf("%s: printed\n%s\nand then\n%s", name, out, again)
	}
}

func FuzzMapping(f *testing.F) {
	f.Add([]byte(three))
	f.Add([]byte(head + "columns:\n- {to: /a/0, position: 1, values: {x: 1.50, y: null, 'yes': \"\"}, empty: 'null', decimals: 2, type: number}\nconstants: {/b: ~, /c: 1e5}\nheader_row: 0\n"))
	f.Add([]byte(head + "columns:\n- {to: /a, from: [A, B], type: date, formats: [dd/mm/yy, serial], years: 1900, split: ' '}\n"))
	f.Add([]byte(head + "guarded: true\ncurrency: []\ncoordinates:\n- {x: A, y: B, are: by-value, longitude: /x, latitude: /y, easting: /e, northing: /n}\ncolumns:\n- {to: /t, from: C, type: json}\n"))
	f.Add([]byte(head + "columns:\n- {to: /a, from: A, pattern: point, part: x, replace: {a: b}, letters: upper, words: [a, b], fill_down: true, identifier: false}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		roundTrip(t, "fuzz", b)
		if m, err := intake.ParseMapping(b); err == nil {
			if rd, err := intake.Open(strings.NewReader("A,B,C\n1,2,3\n"), intake.Options{Format: intake.CSV, Mapping: m}); err == nil {
				rd.Next()
			}
		}
	})
}

// A place that a further document of the standard describes is read there: nothing else
// knows of what type a council's code or a postcode is.
func TestPlacesOfFurtherDocuments(t *testing.T) {
	std, err := standard.Load(schemas.FS("fly-tipping/1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range intake.Places(std) {
		want := map[name.Field]string{"/council": "string", "/longitude": "number", "/vehicles": "json", "/cost": "number"}[p.To]
		if want != "" && p.Type != want {
			t.Errorf("%s is of type %s, want %s", p.To, p.Type, want)
		}
	}
}
