package name

import "testing"

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"Northmoor Borough Council":      "Northmoor Borough Council",
		"a\nVERIFIED every signature":    "a\uFFFDVERIFIED every signature",
		"a\r\x1b[2Kb":                    "a\uFFFD\uFFFD[2Kb",
		"a\u2028b\u2029c\u0085d\x7fe":    "a\uFFFDb\uFFFDc\uFFFDd\uFFFDe",
		"\u202eevil\u2066 \u200f":        "\uFFFDevil\uFFFD \uFFFD",
		"\xff\xfeGwynedd\x00":            "\uFFFD\uFFFDGwynedd\uFFFD",
		"Cyngor Sir Ynys Môn – tŷ, £ 10": "Cyngor Sir Ynys Môn – tŷ, £ 10",
	} {
		if got := Line(in); got != want {
			t.Errorf("Line(%q) = %q, want %q", in, got, want)
		}
	}
}
