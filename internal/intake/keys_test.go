package intake_test

import (
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/node/name"
)

// White space around a key is refused and named, where around other cells it
// is taken off; a mapping may ask for it to be taken off.
func TestKeysAreNotMendedInSilence(t *testing.T) {
	key := []name.Field{"/a"}
	for _, c := range []struct{ column, in, want string }{
		{"", "NM/1", `{"a":"NM/1"}`},
		{"", "NM/1 ", "ends with U+0020 SPACE"},
		{"", " NM/1", "begins with U+0020 SPACE"},
		{"", "NM/1\u00a0", "ends with U+00A0 NO-BREAK SPACE"},
		{"", "NM\u200b/1", "holds U+200B ZERO WIDTH SPACE"},
		{"", "NM\t1", "holds U+0009 TAB"},
		{"", "\"NM\n1\"", "holds U+000A LINE FEED"},
		{", strip: ' '", " NM/1  ", `{"a":"NM/1"}`},
		{", strip: ' '", "NM/1\u00a0", "ends with U+00A0 NO-BREAK SPACE"},
		{", keep_spaces: true", "NM/1 ", "ends with U+0020 SPACE"},
		{"", "1.00023E+11", "powers of ten"},
		{"", "1,00023E+11", "powers of ten"},
		{"", "1E5", `{"a":"1E5"}`}, // a code, as far as anybody knows
		{"", "100023000000", `{"a":"100023000000"}`},
	} {
		m := mapping(t, head+"delimiter: '|'\ncolumns:\n  - {to: /a, from: A"+c.column+"}\n  - {to: /z, from: Z, optional: true}\n")
		rows, _, err := readAll(t, "A|Z\n"+c.in+"| z ", intake.Options{Format: intake.CSV, Mapping: m, Reference: key})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Replace(show(rows), `,"z":"z"`, "", 1)
		if len(rows[0].Problems) > 0 {
			got = rows[0].Problems[0].Detail
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("key %q (%s): %s, want %s", c.in, c.column, got, c.want)
		}
	}
	rows, _, err := readAll(t, `{"a":"1.00023E+11"}`, intake.Options{Format: intake.NDJSON, Reference: key})
	if err != nil || len(rows[0].Problems) != 1 || !strings.Contains(rows[0].Problems[0].Detail, "powers of ten") {
		t.Errorf("a ruined key in JSON: %v, %v", rows, err)
	}
}

// A report may call a row what its sender calls it, unless a part of that is at a place whose
// values may be about a person.
func TestNameable(t *testing.T) {
	private := func(f name.Field) bool { return f == "/who" }
	both := head + "columns:\n  - {to: /a, from: A}\n  - {to: /who, from: Who}\nignore: [Entry]\n"
	csv := "A,Who,Entry\n1,Ann,7\n"
	for _, c := range []struct {
		about, mapping string
		key            []name.Field
		private        func(name.Field) bool
		want           bool
	}{
		{"JSON by a plain key", "", []name.Field{"/a"}, private, true},
		{"JSON by a person", "", []name.Field{"/who"}, private, false},
		{"JSON by a thing and a person", "", []name.Field{"/a", "/who"}, private, false},
		{"JSON where nothing is private", "", []name.Field{"/who"}, nil, true},
		{"a table by a plain key", both, []name.Field{"/a"}, private, true},
		{"a table by a person", both, []name.Field{"/who"}, private, false},
		{"a table where nothing is private", both, []name.Field{"/who"}, nil, true},
		{"a column that goes nowhere", "reference: Entry\n" + both, []name.Field{"/who"}, private, true},
		{"a column with persons", "reference: Who\n" + both, []name.Field{"/a"}, private, false},
		{"a column that goes to a person with another", "reference: Entry\n" + strings.Replace(strings.Replace(both, "from: Who", "from: Who, also: [Entry], join: ' '", 1), "ignore: [Entry]\n", "", 1), []name.Field{"/a"}, private, false},
	} {
		o := intake.Options{Format: intake.NDJSON, Reference: c.key, Private: c.private}
		in := `{"a":"1","who":"Ann"}`
		if c.mapping != "" {
			o.Format, o.Mapping, in = intake.CSV, mapping(t, c.mapping), csv
		}
		r, err := intake.Open(strings.NewReader(in), o)
		if err != nil {
			t.Fatalf("%s: %v", c.about, err)
		}
		row, err := r.Next()
		if got := r.Nameable(); err != nil || got != c.want || row.Reference == "" {
			t.Errorf("%s: %v, want %v; the row is %q, %v", c.about, got, c.want, row.Reference, err)
		}
	}
}
