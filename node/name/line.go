package name

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line makes a text that somebody else wrote, such as a title, a reason or a path, fit
// to stand in a line of what a program prints: control characters, line ends of any
// kind, marks that turn the direction of writing and bytes that are no UTF-8 become
// U+FFFD. So such a text neither begins a line of its own nor moves the cursor.
func Line(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\u2028', r == '\u2029':
			return '\uFFFD'
		}
		return r
	}, s)
}
