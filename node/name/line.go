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

// Lines is a text of several lines that the program itself has laid out, such as a
// report: [Fprintf] keeps its line ends and cleans what stands between them. A text
// that somebody else wrote is no Lines, since its line ends would be believed.
type Lines string

// Clean returns [Line] of each line, and four spaces for a tab.
func (l Lines) Clean() string {
	lines := strings.Split(string(l), "\n")
	for i, s := range lines {
		lines[i] = Line(strings.ReplaceAll(s, "\t", "    "))
	}
	return strings.Join(lines, "\n")
}

// Fprintf is fmt.Fprintf of which every argument that prints as text goes through
// [Line], or through [Lines.Clean] where it is a [Lines]: only the format itself begins
// a line. Both programs print by it, and by it alone, whatever people read. args is
// used up: its elements are replaced.
func Fprintf(w io.Writer, format string, args ...any) (int, error) {
	for i, a := range args {
		args[i] = inertArg(a)
	}
	return fmt.Fprintf(w, format, args...)
}

// Sprintf is [Fprintf] to a string.
func Sprintf(format string, args ...any) string {
	for i, a := range args {
		args[i] = inertArg(a)
	}
	return fmt.Sprintf(format, args...)
}

// inertArg leaves a number as it is, which may be a width, and makes everything else
// print through Line.
func inertArg(a any) any {
	switch a.(type) {
	case nil, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64, inert:
		return a
	}
	return inert{a}
}

type inert struct{ v any }

// Format implements fmt.Formatter.
func (i inert) Format(f fmt.State, verb rune) {
	s := fmt.Sprintf(fmt.FormatString(f, verb), i.v)
	if _, ok := i.v.(Lines); ok && verb != 'q' {
		s = Lines(s).Clean()
	} else {
		s = Line(s)
	}
	io.WriteString(f, s)
}
