package name

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/unicode/runenames"
)

// KeyFault says what keeps s from being a text by which a record is known, in
// words that follow "it" and name the character, such as "ends with U+00A0
// NO-BREAK SPACE"; it is "" when nothing does. Two keys that differ in such a
// character look the same to everybody and are two records, so that a key has
//
//   - no white space at its beginning or end, and none inside but U+0020 SPACE;
//   - no control or format character (general categories Cc, Cf, Zl, Zp), which
//     the zero-width, bidirectional and soft-hyphen characters are;
//   - no other character that shows nothing: the default ignorable code points
//     of Unicode and U+2800;
//   - no U+FFFD, which stands for a character that was lost;
//   - only valid UTF-8.
//
// Nothing of s but that one character is in what KeyFault returns.
func KeyFault(s string) string {
	plain := true
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] < 0x7F
	}
	if !plain {
		for i, r := range s {
			switch _, size := utf8.DecodeRuneInString(s[i:]); {
			case r == utf8.RuneError && size == 1:
				return "is not UTF-8"
			case r == ' ' || !Unseen(r):
			case i == 0:
				return "begins with " + CharName(r)
			case i+size == len(s):
				return "ends with " + CharName(r)
			default:
				return "holds " + CharName(r)
			}
		}
	}
	switch {
	case strings.HasPrefix(s, " "):
		return "begins with " + CharName(' ')
	case strings.HasSuffix(s, " "):
		return "ends with " + CharName(' ')
	}
	return ""
}

// Unseen reports whether a reader cannot tell that r is there, or what it was;
// true of U+0020 SPACE as well.
func Unseen(r rune) bool {
	return unicode.IsSpace(r) || r == utf8.RuneError || r == '\u2800' ||
		unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zs, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// CharName names a character as Unicode does: "U+00A0 NO-BREAK SPACE". The
// control characters, which have no name there, get the one by which people
// know them.
func CharName(r rune) string {
	name := runenames.Name(r)
	if unicode.IsControl(r) {
		if name = controls[r]; name == "" {
			name = "CONTROL CHARACTER"
		}
	}
	return strings.TrimSuffix(fmt.Sprintf("U+%04X %s", r, name), " ")
}

var controls = map[rune]string{0x00: "NULL", 0x08: "BACKSPACE", 0x09: "TAB", 0x0A: "LINE FEED", 0x0B: "VERTICAL TAB", 0x0C: "FORM FEED",
	0x0D: "CARRIAGE RETURN", 0x1A: "SUBSTITUTE", 0x1B: "ESCAPE", 0x7F: "DELETE", 0x85: "NEXT LINE"}

// KeyTwin returns what the keys have in common that differ from s in the way
// their letters are composed (Unicode normalisation form C) or in letter case
// alone. Keys with one twin are different keys that people may take for the
// same.
func KeyTwin(s string) string {
	plain := true
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] < 0x80
	}
	if plain {
		return strings.ToLower(s)
	}
	// Upper case first: a letter such as the Greek final sigma has two in lower
	// case.
	return norm.NFC.String(strings.ToLower(strings.ToUpper(norm.NFC.String(s))))
}

// PowersOfTen reports whether a text is a number as spreadsheets write long
// ones, in powers of ten, such as 1.00023E+11: the digits of a reference that
// was written so cannot be had back from it.
func PowersOfTen(s string) bool {
	if len(s) > 40 {
		return false
	}
	s = strings.TrimSpace(s)
	digits := func() (n int) {
		for n < len(s) && '0' <= s[n] && s[n] <= '9' {
			n++
		}
		s = s[n:]
		return n
	}
	one := func(set string) bool {
		ok := s != "" && strings.IndexByte(set, s[0]) >= 0
		if ok {
			s = s[1:]
		}
		return ok
	}
	one("+-")
	if digits() != 1 {
		return false
	}
	point := one(".,")
	if point && digits() == 0 || !one("eE") {
		return false
	}
	signed := one("+-")
	n := digits()
	// Without a decimal point it may be a reference, such as 1E2 or 1e05.
	return s == "" && n <= 3 && (point && n >= 1 || signed && n >= 2)
}
