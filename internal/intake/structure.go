package intake

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/node/name"
)

// This file finds what is wrong with the structure of a file that can be taken
// apart all the same: rows inside a cell, another delimiter than the mapping's,
// headings in the middle, totals at the end.

// A swallowed is a cell whose lines look like rows of the file.
type swallowed struct{ cell, breaks, rows int }

// swallows looks into the cells of the row that split has just found for one
// that holds rows: a quotation mark that opens a cell by mistake runs to the
// next one, over all rows between. A cell is taken for such when its lines
// have as many cells as there are headings: the first together with the cells
// before it and the last with those after it, or the lines between.
func (t *table) swallows(row []byte) *swallowed {
	n := len(t.headings)
	if n < 2 {
		return nil
	}
	for k, c := range t.spans {
		if !c.quoted || !bytes.ContainsAny(row[c.from:c.to], "\r\n") {
			continue
		}
		lines := strings.FieldsFunc(string(row[c.from:c.to]), func(r rune) bool { return r == '\n' || r == '\r' })
		if len(lines) < 2 {
			continue
		}
		last := len(lines) - 1
		first := t.cellsOf(lines[0])+k == n
		ends := t.cellsOf(lines[last])+len(t.spans)-1-k == n
		between := 0
		for _, l := range lines[1:last] {
			if t.cellsOf(l) == n {
				between++
			}
		}
		// Where the row as a whole has too few or too many cells it is refused
		// in any case; what matters is that the rows inside are not lost.
		if between >= 2 || between == 1 && (first || ends) || first && ends && (t.parted(lines[0]) || t.parted(lines[last])) {
			return &swallowed{cell: k, breaks: len(lines) - 1, rows: max(between, 1)}
		}
	}
	return nil
}

// cellsOf returns how many cells a line would have, and 0 for one that is
// prose: every delimiter in it is followed by a space.
func (t *table) cellsOf(line string) int {
	if n := strings.Count(line, string(rune(t.delim))); n > 0 && n == strings.Count(line, string(rune(t.delim))+" ") && !t.spacedHeadings() {
		return 0
	}
	return strings.Count(line, string(rune(t.delim))) + 1
}

// parted reports whether a line has a delimiter in it at all.
func (t *table) parted(line string) bool { return strings.IndexByte(line, t.delim) >= 0 }

// spacedHeadings: the file puts a space after each delimiter, its headings show.
func (t *table) spacedHeadings() bool {
	return len(t.headings) > 1 && !slices.ContainsFunc(t.headings[1:], func(h string) bool { return !strings.HasPrefix(h, " ") })
}

func (s *swallowed) problem() *Problem {
	return &Problem{Rule: RuleQuotes,
		Detail: fmt.Sprintf("a cell holds %s, and what follows them looks like rows of this file: a quotation mark probably opens here by mistake; reading went on with the line below", count(s.breaks, "line break", "line breaks")),
		Fix:    "take the quotation mark out at the source, or write it twice inside a quoted cell"}
}

// delimiterNames are the delimiters a mapping may name, with their names.
var delimiterNames = map[string]string{",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}

// delimiterYAML is a delimiter as a mapping writes it.
func delimiterYAML(d string) string {
	if d == "\t" {
		return `"\t"`
	}
	return `"` + d + `"`
}

// otherDelimiter returns the error for a row that would have the mapping's
// headings, or more cells at all, if it were parted by another delimiter, and
// nil when it would not.
func (t *table) otherDelimiter(m *Mapping, cells []string) error {
	var wanted []string
	for _, c := range m.Columns {
		wanted = append(wanted, c.From...)
	}
	found := func(cells []string) int {
		have, n := foldSet(cells), 0
		for _, w := range wanted {
			if have[fold(w)] {
				n++
			}
		}
		return n
	}
	now := string(rune(t.delim))
	line := strings.Join(cells, now)
	have := found(cells)
	best, most := "", have
	for _, d := range []string{";", "\t", "|", ","} {
		pieces := strings.Split(line, d)
		for i := range pieces {
			pieces[i] = strings.Trim(strings.TrimSpace(pieces[i]), `"`)
		}
		score := found(pieces)
		if len(wanted) == 0 && len(cells) == 1 && len(m.Columns) > 1 {
			score = len(pieces) - 1
		}
		if score > most {
			best, most = d, score
		}
	}
	switch {
	case best == "":
		return nil
	case best == now: // the whole row stood in one pair of quotation marks
		return &FileError{Rule: RuleQuotes, Detail: "each row of the file stands in one pair of quotation marks, as one cell",
			Fix: "have the file written again without quotation marks around whole rows"}
	}
	if t.src == nil {
		return &FileError{Rule: RuleDelimiter, Detail: "each row of the sheet stands in one cell, parted by " + delimiterNames[best],
			Fix: "part the cells in the spreadsheet (Data, Text to Columns), or read the CSV file that the sheet was made from"}
	}
	return &FileError{Rule: RuleDelimiter, Detail: fmt.Sprintf("the cells of the file are parted by %s, and the mapping says %s", delimiterNames[best], delimiterNames[now]),
		Fix: "set delimiter: " + delimiterYAML(best) + " in the mapping"}
}

// sepLine is the first line of files that tell a spreadsheet their delimiter.
var sepLine = onDemand(`^(?i:sep=)(.)\r?\n`)

// passSep passes over the line sep=; at the start of a file, which is no row.
func (t *table) passSep(r *Reader) error {
	for len(t.src.window()) < 8 && t.src.more() {
	}
	w := t.src.window()
	found := sepLine().FindSubmatch(w[:min(len(w), 8)])
	if found == nil {
		return nil
	}
	if d := string(found[1]); d != string(rune(t.delim)) && delimiterNames[d] != "" {
		return &FileError{Rule: RuleDelimiter, Line: 1, Detail: fmt.Sprintf("the file says that its cells are parted by %s, and the mapping says %s", delimiterNames[d], delimiterNames[string(rune(t.delim))]),
			Fix: "set delimiter: " + delimiterYAML(d) + " in the mapping"}
	}
	t.src.take(len(found[0]))
	r.note("the first line tells a spreadsheet the delimiter: it was passed over and is not counted as a row")
	return nil
}

// plainHeadings tells of headings that hold what nobody can see, and returns
// them as they are compared.
func (r *Reader) plainHeadings(headings []string) []string {
	folded := make([]string, len(headings))
	for i, h := range headings {
		seen := strings.Map(func(c rune) rune {
			if name.Unseen(c) && !strings.ContainsRune(" \t\r\n\u00a0", c) {
				return -1
			}
			return c
		}, h)
		if seen != h && strings.TrimSpace(seen) != "" {
			for _, c := range h {
				if name.Unseen(c) && !strings.ContainsRune(" \t\r\n\u00a0", c) {
					r.note("the heading %q holds %s, which was passed over", visible(seen), name.CharName(c))
					break
				}
			}
		}
		folded[i] = fold(seen)
	}
	return folded
}

// odd returns what is wrong with a row that has as many cells as there are
// headings and is still none: the headings once more, or totals.
func (t *table) odd(cells []string) *Problem {
	if t.titled && len(cells) > 1 && t.sameHeadings(cells) {
		return &Problem{Rule: RuleHeadings, Detail: "the headings stand here once more", Fix: "take the row out; pages or files were probably put together"}
	}
	if totals(cells) {
		return &Problem{Rule: RuleTotals, Detail: "the row looks like one of totals: a word for a sum, and otherwise only numbers", Fix: "take the row out of the file: a sum is no record"}
	}
	return nil
}

func (t *table) sameHeadings(cells []string) bool {
	for i, c := range cells {
		if i >= len(t.headings) || c != t.headings[i] && !strings.EqualFold(strings.TrimSpace(c), strings.TrimSpace(t.headings[i])) {
			return false
		}
	}
	return true
}

var (
	totalsWord = onDemand(`^(?i)(?:grand|overall|sub|running|report|page)?[- ]?(?:totals?|sum)(?: *\([^)]*\))?[ :]*$`)
	totalsCell = onDemand(`^[-+(£$€]*[0-9][-0-9.,' £$€%()\x{a0}\x{2212}]*$`)
)

// totals reports whether the first cell that is not blank is a word for a sum
// and all others are numbers.
func totals(cells []string) bool {
	word := false
	for _, c := range cells {
		c = strings.TrimSpace(c)
		switch {
		case c == "":
		case !word:
			if len(c) < 3 || len(c) > 60 || !strings.ContainsAny(c[:1], "tTsSgGoOrRpP") || !totalsWord().MatchString(c) {
				return false
			}
			word = true
		case len(c) > 60 || !totalsCell().MatchString(c):
			return false
		}
	}
	return word
}

// folded counts rows that go over several lines of the file.
type folded struct{ rows, lines, longest, row int }

func (f *folded) add(row, lines int) {
	f.rows++
	f.lines += lines
	if lines > f.longest {
		f.longest, f.row = lines, row
	}
}

func (f *folded) note(r *Reader) {
	switch {
	case f.rows == 1:
		r.note("row %d goes over %d lines of the file, with line breaks in a cell", f.row, f.longest)
	case f.rows > 1:
		r.note("%d rows go over %d lines of the file, with line breaks in a cell; the longest is row %d, over %d lines", f.rows, f.lines, f.row, f.longest)
	}
}
