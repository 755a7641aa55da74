package name

import (
	"strings"
	"testing"
	"unicode"
)

func TestKeysThatLookAlikeAreNamedByTheirCharacter(t *testing.T) {
	for s, want := range map[string]string{
		"NM/1":                      "",
		"26/0001 HH":                "",
		"CAF\u00c9-1":               "",
		"القضية-7":                  "",
		"":                          "",
		" NM/1":                     "begins with U+0020 SPACE",
		"NM/1 ":                     "ends with U+0020 SPACE",
		"NM/1\u00a0":                "ends with U+00A0 NO-BREAK SPACE",
		"NM\u00a01":                 "holds U+00A0 NO-BREAK SPACE",
		"NM\u20031":                 "holds U+2003 EM SPACE",
		"NM/1\u200b":                "ends with U+200B ZERO WIDTH SPACE",
		"NM/\u200d1":                "holds U+200D ZERO WIDTH JOINER",
		"NM\u00ad/1":                "holds U+00AD SOFT HYPHEN",
		"\ufeffNM/1":                "begins with U+FEFF ZERO WIDTH NO-BREAK SPACE",
		"NM\u202e/1":                "holds U+202E RIGHT-TO-LEFT OVERRIDE",
		"NM\u2066/1":                "holds U+2066 LEFT-TO-RIGHT ISOLATE",
		"NM\t1":                     "holds U+0009 TAB",
		"NM/1\n":                    "ends with U+000A LINE FEED",
		"NM\x001":                   "holds U+0000 NULL",
		"NM\x9b1":                   "is not UTF-8",
		"NM\u009b1":                 "holds U+009B CONTROL CHARACTER",
		"NM\u20281":                 "holds U+2028 LINE SEPARATOR",
		"NM\u034f1":                 "holds U+034F COMBINING GRAPHEME JOINER",
		"NM\ufe0f1":                 "holds U+FE0F VARIATION SELECTOR-16",
		"NM\u31641":                 "holds U+3164 HANGUL FILLER",
		"NM\u28001":                 "holds U+2800 BRAILLE PATTERN BLANK",
		"NM\ufffd1":                 "holds U+FFFD REPLACEMENT CHARACTER",
		"NM" + string('\U000e0041'): "ends with U+E0041 TAG LATIN CAPITAL LETTER A",
	} {
		if got := KeyFault(s); got != want {
			t.Errorf("KeyFault(%+q) = %q, want %q", s, got, want)
		}
	}
}

func TestKeysThatDifferInCompositionOrCaseAreTwins(t *testing.T) {
	for _, pair := range [][2]string{{"CAF\u00c9-1", "CAFE\u0301-1"}, {"nm/1", "NM/1"}, {"\u03c3", "\u03c2"}, {"\u212b1", "\u00e51"}} {
		if a, b := KeyTwin(pair[0]), KeyTwin(pair[1]); a != b {
			t.Errorf("%+q and %+q are no twins: %+q, %+q", pair[0], pair[1], a, b)
		}
	}
	for _, pair := range [][2]string{{"NM/1", "NM/2"}, {"CAFE-1", "CAF\u00c9-1"}, {"NM 1", "NM/1"}} {
		if KeyTwin(pair[0]) == KeyTwin(pair[1]) {
			t.Errorf("%+q and %+q are twins", pair[0], pair[1])
		}
	}
}

// Whatever is a key by the rule prints with every character to be seen.
func FuzzKeyFault(f *testing.F) {
	for _, s := range []string{"NM/1", "NM/1\u00a0", "\xff", "CAFE\u0301"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if KeyFault(s) != "" {
			if got := KeyFault(s); len(got) > 120 || strings.ContainsFunc(got, func(r rune) bool { return r > 0x7E || r < ' ' }) {
				t.Fatalf("a fault that is no plain line: %q", got)
			}
			return
		}
		for _, r := range s {
			if r != ' ' && (unicode.IsSpace(r) || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Z)) {
				t.Fatalf("%+q may be a key", s)
			}
		}
		if KeyTwin(KeyTwin(s)) != KeyTwin(s) {
			t.Fatalf("the twin of %+q has another twin", s)
		}
	})
}
