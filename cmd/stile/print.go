package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// emit prints a result as one JSON document.
func (a *app) emit(v any) error {
	enc := json.NewEncoder(name.JSON(a.out))
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// emitLines prints a list as NDJSON.
func emitLines[T any](a *app, list []T) error {
	enc := json.NewEncoder(name.JSON(a.out))
	enc.SetEscapeHTML(false)
	for _, v := range list {
		if err := enc.Encode(v); err != nil {
			return err
		}
	}
	return nil
}

// printf prints a result for people. Whatever is said to people goes through
// name.Fprintf, here, in hint and in say, so that no text from outside begins a line;
// TestPrints holds every file of the command to it.
func (a *app) printf(format string, args ...any) {
	name.Fprintf(a.out, format, args...)
}

// hint prints on standard error what stands beside a result.
func (a *app) hint(format string, args ...any) {
	name.Fprintf(a.err, format, args...)
}

// A said is a writer for what a room of ours has to tell people on standard error,
// in lines.
type said struct{ a *app }

func (s said) Write(b []byte) (int, error) {
	if _, err := name.Fprintf(s.a.err, "%s", name.Lines(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// exact prints a text that is signed, or that a program reads: byte for byte, except on
// a terminal, which would obey what is in it.
func (a *app) exact(text string) {
	if isTerminal(a.out) {
		text = name.Lines(text).Clean()
	}
	io.WriteString(a.out, text)
}

// A table is rows under headings, each column as wide as it must be. A
// heading that begins with "#" is of a column of numbers, set to the right.
// A table without headings prints rows alone.
type table struct {
	heads []string
	right []bool
	rows  [][]string
}

func newTable(heads ...string) *table {
	t := &table{}
	for _, h := range heads {
		h, right := strings.CutPrefix(h, "#")
		t.heads = append(t.heads, h)
		t.right = append(t.right, right)
	}
	return t
}

func (t *table) add(cells ...string) {
	row := make([]string, len(t.heads))
	for i := range row {
		if i < len(cells) {
			row[i] = clean(cells[i])
		}
	}
	t.rows = append(t.rows, row)
}

func (t *table) write(w io.Writer, indent string) {
	width := make([]int, len(t.heads))
	rows := t.rows
	if strings.Join(t.heads, "") != "" {
		rows = append([][]string{t.heads}, rows...)
	}
	for _, r := range rows {
		for i, c := range r {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for _, r := range rows {
		line := indent
		for i, c := range r {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if t.right[i] {
				line += pad + c + "  "
			} else {
				line += c + pad + "  "
			}
		}
		name.Fprintf(w, "%s\n", strings.TrimRight(line, " "))
	}
}

// A sheet writes CSV that people open with a spreadsheet: its cells are cleaned, and
// none is taken for a formula.
type sheet struct{ w *csv.Writer }

func newSheet(w io.Writer) *sheet { return &sheet{csv.NewWriter(w)} }

func (s *sheet) row(cells ...string) {
	out := make([]string, len(cells))
	for i, c := range cells {
		out[i] = inert(clean(c))
	}
	s.w.Write(out) // its error stays until close
}

func (s *sheet) close() error {
	s.w.Flush()
	return s.w.Error()
}

// inert keeps a spreadsheet from taking somebody else's text for a formula.
func inert(cell string) string {
	if cell == "" || !strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return cell
	}
	if _, err := strconv.ParseFloat(cell, 64); err == nil {
		return cell
	}
	return "'" + cell
}

// clean replaces what could move the cursor, change colours or turn the
// direction of writing: names and references come from other people's files.
func clean(s string) string { return name.Line(s) }

// number prints a count with commas between thousands.
func number[N ~int | ~int64 | ~uint64](n N) string {
	s := fmt.Sprint(n)
	digits, sign := s, ""
	if s[0] == '-' {
		digits, sign = s[1:], "-"
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

func plural[N ~int | ~int64 | ~uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// size prints bytes as people say them.
func size(n uint64) string {
	switch {
	case n < 1000:
		return plural(n, "byte", "bytes")
	case n < 1000*1000:
		return strconv.FormatFloat(float64(n)/1e3, 'f', 1, 64) + " kB"
	case n < 1000*1000*1000:
		return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) + " MB"
	}
	return strconv.FormatFloat(float64(n)/1e9, 'f', 1, 64) + " GB"
}

// at prints an instant in UTC; "-" when there is none.
func at(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// age prints how many hours something has waited.
func age(hours float64) string {
	switch {
	case hours < 1:
		return plural(int(hours*60), "minute", "minutes")
	case hours < 48:
		return plural(int(hours), "hour", "hours")
	}
	return plural(int(math.Floor(hours/24)), "day", "days")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// list prints names with commas; "-" when there is none.
func list[S ~string](names []S) string {
	if len(names) == 0 {
		return "-"
	}
	s := make([]string, len(names))
	for i, n := range names {
		s[i] = string(n)
	}
	return strings.Join(s, ", ")
}

// pretty prints JSON with indents, for people.
func pretty(raw []byte, indent string) name.Lines {
	var b bytes.Buffer
	if json.Indent(&b, raw, indent, "  ") != nil {
		return name.Lines(clean(string(raw)))
	}
	return name.Lines(indent + b.String())
}

// isTerminal reports whether a stream of the environment is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// writeNew writes a file that is not there yet, for its owner alone unless
// mode says otherwise. "-" is standard output.
func (a *app) writeNew(path string, b []byte, mode os.FileMode) error {
	if path == "-" || path == "" {
		_, err := a.out.Write(b)
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	if err = chmod(f, mode); err == nil {
		_, err = f.Write(b)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(path)
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}

// readFile reads a file that the person named, "-" being standard input, and
// refuses more than limit bytes.
func (a *app) readFile(path string, limit int64) ([]byte, error) {
	var r io.Reader = a.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read file: %w", err)
		}
		defer f.Close()
		if st, err := f.Stat(); err == nil && st.IsDir() {
			return nil, misused("%q is a folder: want a file", path)
		}
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, misused("%q is larger than %s", path, size(uint64(limit)))
	}
	return b, nil
}

// sure asks before what others rely on, or what cannot be taken back: that we sign,
// end, delete or publish something, and whom we believe, with which keys. On a terminal a
// person answers; without one it is refused unless --yes was given. TestAsks lists the
// commands that ask.
func (a *app) sure(yes bool, format string, args ...any) error {
	if yes {
		return nil
	}
	what := clean(fmt.Sprintf(format, args...))
	if !isTerminal(a.in) || !isTerminal(a.err) {
		return failure(node.Usage, "give --yes, once somebody has decided it", "nothing was done: there is nobody to ask whether to %s", what)
	}
	a.hint("%s? Type yes: ", strings.ToUpper(what[:1])+what[1:])
	var answer string
	fmt.Fscanln(a.in, &answer)
	if answer != "yes" {
		return failure(node.Failed, "type yes, or give --yes", "nothing was done")
	}
	return nil
}

// emitLine prints one document of a list or a stream.
func (a *app) emitLine(v any) error { return emitLines(a, []any{v}) }
