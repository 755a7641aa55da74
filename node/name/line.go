package name

import (
	"bytes"
	"fmt"
	"io"
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
		case r == utf8.RuneError, obeyed(r):
			return '\uFFFD'
		}
		return r
	}, s)
}

// obeyed reports whether a terminal would do something at r instead of showing it.
func obeyed(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// JSON returns a writer for JSON that escapes every character which [Line] would
// replace: it is the same JSON, and no terminal obeys it. Each Write must hold whole
// characters, as those of an encoder do.
func JSON(w io.Writer) io.Writer { return inertJSON{w} }

type inertJSON struct{ w io.Writer }

func (i inertJSON) Write(b []byte) (int, error) {
	// A line end and a tab stand between the parts of JSON, never inside a string.
	escaped := func(r rune) bool { return r != '\n' && r != '\t' && obeyed(r) }
	if !bytes.ContainsFunc(b, escaped) {
		return i.w.Write(b)
	}
	var out []byte
	for _, r := range string(b) {
		if escaped(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	_, err := i.w.Write(out)
	return len(b), err
}
