package intake

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A target is a place of a standard that a column may go to.
type target struct {
	to       name.Field
	typ      string
	title    string
	required bool
	list     bool
	dated    bool
	values   []string // of an enumeration
}

// A Sample is the beginning of a CSV file as Look found it, for a person who is
// about to write its mapping. All but the bytes is a guess.
type Sample struct {
	Encoding  string     // as in a Mapping
	Delimiter string     // as in a Mapping
	HeaderRow int        // from 1
	Headings  []string   // as they stand in the file
	Rows      [][]string // some of the rows below
}

// maxSample is how much of a file Look reads, in bytes.
const maxSample = 256 << 10

// Look reads the beginning of a CSV file and guesses how it is written: the
// encoding by its bytes, the delimiter that gives the most cells, and for
// headings the first of the fullest rows. Reading a file never guesses; this
// is for drafting a mapping, which a person checks.
func Look(r io.Reader) (*Sample, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSample))
	if err != nil {
		return nil, fmt.Errorf("read sample: %w", err)
	}
	if len(b) == maxSample { // the last line may be torn
		b = b[:bytes.LastIndexByte(b, '\n')+1]
	}
	s := &Sample{Encoding: string(encUTF8)}
	switch {
	case bytes.HasPrefix(b, []byte{0xFF, 0xFE}) || bytes.HasPrefix(b, []byte{0xFE, 0xFF}):
		s.Encoding = string(encUTF16)
	case bytes.IndexByte(b, 0) == 1:
		s.Encoding = string(encUTF16LE)
	case bytes.IndexByte(b, 0) == 0:
		s.Encoding = string(encUTF16BE)
	case !utf8.Valid(b):
		s.Encoding = string(enc1252)
	}
	best := 0
	for _, delim := range []string{",", ";", "\t", "|"} {
		rows, err := sampleRows(b, encoding(s.Encoding), delim[0])
		if err != nil {
			return nil, err
		}
		for i, row := range rows[:min(len(rows), 20)] {
			filled := 0
			for _, c := range row {
				if strings.TrimSpace(c) != "" {
					filled++
				}
			}
			if filled > best {
				best = filled
				s.Delimiter, s.HeaderRow, s.Headings, s.Rows = delim, i+1, row, rows[i+1:min(len(rows), i+201)]
			}
		}
	}
	if best == 0 {
		return nil, &FileError{Rule: RuleHeadings, Detail: "the file has no row that could be headings"}
	}
	return s, nil
}

// sampleRows takes a sample apart; a row that cannot be is nil.
func sampleRows(b []byte, enc encoding, delim byte) ([][]string, error) {
	src, err := newSource(bytes.NewReader(b), enc, maxSample)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for t := (&table{src: src, delim: delim}); ; {
		raw, err := t.take()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		if raw.bad != nil {
			raw.cells = nil
		}
		rows = append(rows, raw.cells)
	}
}

// Draft returns a mapping file to begin with: each place of the standard beside
// the heading most like it, with the type the schema gives it and the date
// format the sample is in. Every line is a suggestion for a person to check; a
// place that no heading is like stands there as a comment. ParseMapping
// accepts the draft when at least one heading was like a place.
//
// Where the standard has a list of allowed words, the words the sample has
// instead stand beside it: the draft is for the importer's own eyes.
func (s *Sample) Draft(std *standard.Standard) []byte {
	var targets []target
	if root, err := strictjson.Decode(std.Schema(), strictjson.Limits{Bytes: 16 << 20, Values: 1 << 20, StringLen: 1 << 20, WideNumbers: true}); err == nil {
		targets = collect(nil, root, root, "", true, 0)
	}
	chosen, sure := match(targets, s.Headings)
	taken, times := make([]bool, len(s.Headings)), map[string]int{}
	for _, h := range chosen {
		if h >= 0 {
			taken[h] = true
		}
	}
	for _, h := range s.Headings {
		times[fold(h)]++
	}

	var b bytes.Buffer
	m := std.Manifest()
	fmt.Fprintf(&b, "# A draft: check every line before you rely on it.\n# %s\n\nmapping: %d\nstandard: %s\n", visible(m.Title), MappingVersion, m.Name.Line())
	fmt.Fprintf(&b, "encoding: %s\ndelimiter: %s\nheader_row: %d\n\ncolumns:\n", s.Encoding, quoted(s.Delimiter), s.HeaderRow)
	for t, tg := range targets {
		lead := "  "
		if chosen[t] < 0 {
			lead = "#  "
		}
		line := func(format string, args ...any) {
			b.WriteString(lead)
			fmt.Fprintf(&b, format, args...)
			b.WriteByte('\n')
		}
		line("- to: %s", quoted(string(tg.to)))
		h := chosen[t]
		switch {
		case h < 0:
			line("  from: no heading is like it")
		case times[fold(s.Headings[h])] > 1:
			line("  position: %d   # the heading %s stands there more than once", h+1, quoted(visible(s.Headings[h])))
		case sure[t]:
			line("  from: %s", quoted(s.Headings[h]))
		default:
			line("  from: %s   # only somewhat alike: is it this one?", quoted(s.Headings[h]))
		}
		if tg.typ != typeString {
			line("  type: %s", tg.typ)
		}
		if tg.dated && h >= 0 {
			if f := s.dates(h); f != "" {
				line("  formats: [%s]", quoted(f))
			} else {
				line("  # formats: [dd/mm/yyyy]   # how does the file write it?")
			}
			if tg.typ == typeDateTime {
				line("  zone: Europe/London   # of times that do not say theirs")
			}
		}
		if tg.list {
			line("  split: \"|\"")
		}
		if tg.required {
			line("  required: true")
		}
		if len(tg.values) > 0 {
			line("  # the standard allows: %s", strings.Join(tg.values, ", "))
			if other := s.others(h, tg.values); h >= 0 && len(other) > 0 {
				line("  # the file has: %s; say under values: what each stands for", strings.Join(other, ", "))
			}
		}
	}
	first := true
	for h, heading := range s.Headings {
		if taken[h] || times[fold(heading)] == 0 {
			continue
		}
		if first {
			b.WriteString("\n# Headings of the file that are like no place of the standard. Those that stay here are left out.\nignore:\n")
			first = false
		}
		fmt.Fprintf(&b, "  - %s\n", quoted(heading))
		times[fold(heading)] = 0
	}
	return b.Bytes()
}

// match gives each target the heading most like it, or -1, the likeliest pairs
// first, so that a heading goes where it fits best. sure is set where the two
// are nearly the same.
func match(targets []target, headings []string) (chosen []int, sure []bool) {
	type pair struct {
		t, h  int
		score float64
	}
	var pairs []pair
	for t, tg := range targets {
		toks := tg.to.Tokens()
		for h, heading := range headings {
			score := max(alike(toks[len(toks)-1], heading), alike(strings.Join(toks, " "), heading), alike(tg.title, heading))
			if score >= 0.6 && fold(heading) != "" {
				pairs = append(pairs, pair{t, h, score})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(b.score, a.score) })
	chosen, sure = make([]int, len(targets)), make([]bool, len(targets))
	for t := range chosen {
		chosen[t] = -1
	}
	taken := make([]bool, len(headings))
	for _, p := range pairs {
		if chosen[p.t] < 0 && !taken[p.h] {
			chosen[p.t], taken[p.h], sure[p.t] = p.h, true, p.score >= 0.85
		}
	}
	return chosen, sure
}

// dates returns the first common format that reads every cell of a column, or
// "" when none does. Day before month, as the country writes it, is tried
// before its opposite.
func (s *Sample) dates(h int) string {
	for _, text := range []string{"yyyy-mm-dd", "dd/mm/yyyy", "d/m/yyyy", "dd-mm-yyyy", "dd.mm.yyyy", "d mon yyyy", "d month yyyy", "dd/mm/yyyy HH:MM", "dd/mm/yyyy HH:MM:SS",
		"yyyy-mm-dd HH:MM:SS", "yyyy-mm-ddTHH:MM:SSZ", "yyyymmdd", "mm/dd/yyyy"} {
		f, err := parseDateFormat(text, 0, defaultEpoch)
		if err != nil {
			panic("internal error: " + err.Error())
		}
		read, all := 0, true
		for _, row := range s.Rows {
			if h < len(row) && strings.TrimSpace(row[h]) != "" {
				_, ok := f.read(strings.TrimSpace(row[h]))
				all = all && ok
				read++
			}
		}
		if all && read > 0 {
			return text
		}
	}
	return ""
}

// others returns the cells of a column, at most ten, that are not on a list.
func (s *Sample) others(h int, list []string) []string {
	var out []string
	for _, row := range s.Rows {
		if h < 0 || h >= len(row) || len(out) == 10 {
			continue
		}
		if c := cut(visible(strings.TrimSpace(row[h]))); c != "" && !slices.Contains(list, c) && !slices.Contains(out, quoted(c)) {
			out = append(out, quoted(c))
		}
	}
	return out
}

// quoted is a YAML string on one line, whatever is in it.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xFFFF:
			fmt.Fprintf(&b, `\U%08X`, r)
		default:
			fmt.Fprintf(&b, `\u%04X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// collect walks the properties of a schema, through references inside it, and
// appends the places that hold a scalar or a list of them.
func collect(out []target, root, schema any, at name.Field, required bool, depth int) []target {
	s, ok := schema.(map[string]any)
	if !ok || depth > 12 || len(out) >= maxColumns {
		return out
	}
	if ref, ok := s["$ref"].(string); ok {
		inside, ok := strings.CutPrefix(ref, "#")
		if to, found := lookup(root, inside); ok && found {
			return collect(out, root, to, at, required, depth+1)
		}
		return out
	}
	typ := typeOf(s)
	switch {
	case typ == "object" || s["properties"] != nil:
		props, _ := s["properties"].(map[string]any)
		need, _ := s["required"].([]any)
		for _, k := range sortedKeys(props) {
			out = collect(out, root, props[k], at.Child(k), required && slices.Contains(need, any(k)), depth+1)
		}
		return out
	case typ == "array":
		items, _ := s["items"].(map[string]any)
		if t := typeOf(items); t != "object" && t != "array" && at != "" && items["$ref"] == nil {
			out = append(out, leaf(s, items, at, required, true))
		}
		return out
	case at == "":
		return out
	}
	return append(out, leaf(s, s, at, required, false))
}

// typeOf returns the type of a schema; of several, the first that is not null.
func typeOf(s map[string]any) string {
	switch t := s["type"].(type) {
	case string:
		return t
	case []any:
		for _, v := range t {
			if name, ok := v.(string); ok && name != "null" {
				return name
			}
		}
	}
	return ""
}

func leaf(outer, s map[string]any, at name.Field, required, list bool) target {
	t := target{to: at, typ: typeString, required: required, list: list}
	t.title, _ = outer["title"].(string)
	switch format, _ := s["format"].(string); typeOf(s) {
	case "number":
		t.typ = typeNumber
	case "integer":
		t.typ = typeInteger
	case "boolean":
		t.typ = typeBoolean
	default:
		if format == typeDate || format == typeDateTime {
			t.typ, t.dated = format, true
		}
	}
	enum, _ := s["enum"].([]any)
	for _, v := range enum {
		if text := scalarText(v); text != "" && len(t.values) < 20 {
			t.values = append(t.values, visible(text))
		}
	}
	return t
}
