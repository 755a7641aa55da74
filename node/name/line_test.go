package name

import (
	"errors"
	"strings"
	"testing"
)

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

type stringer struct{}

func (stringer) String() string { return "a\nVERIFIED" }

// Only a format begins a line, whatever an argument is made of.
func TestFprintf(t *testing.T) {
	type title string
	for _, tt := range []struct{ got, want string }{
		{Sprintf("%s|%d|%v\n", "a\nVERIFIED", 7, title("b\x1b[2K")), "a\uFFFDVERIFIED|7|b\uFFFD[2K\n"},
		{Sprintf("%v %v %v", stringer{}, errors.New("x\ry"), []string{"p\n", "q"}), "a\uFFFDVERIFIED x\uFFFDy [p\uFFFD q]"},
		{Sprintf("[%-6s][%6s][%.2s]", "a\n", title("\u202eb"), "abc\n"), "[a\uFFFD    ][    \uFFFDb][ab]"},
		{Sprintf("%*d %q %x %t %.1f", 4, 7, "a\n\u202e", 255, true, 1.25), "   7 \"a\\n\\u202e\" ff true 1.2"},
		{Sprintf("%s", Lines("one\ttwo\nthree\x1b\u202e\n")), "one    two\nthree\uFFFD\uFFFD\n"},
		{Sprintf("%s%v", []byte("a\nb"), nil), "a\uFFFDb<nil>"},
		{Sprintf("%s", Sprintf("%s", "a\nb")), "a\uFFFDb"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
	var b strings.Builder
	Fprintf(&b, "%s\n", "x\ny")
	if b.String() != "x\uFFFDy\n" {
		t.Errorf("Fprintf wrote %q", b.String())
	}
}
