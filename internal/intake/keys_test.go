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
