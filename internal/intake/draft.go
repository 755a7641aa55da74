package intake

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/name"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
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

// Draft returns a mapping file to begin with, for a CSV file with the given
// headings: each place of the standard beside the heading most like it, with
// the type the schema gives it. Every line is a suggestion for a person to
// check; where no heading is like a place the line is a comment. The draft is
// accepted by ParseMapping as soon as one column is.
func Draft(headings []string, std *standard.Standard) []byte {
	var targets []target
	if root, err := strictjson.Decode(std.Schema(), strictjson.Limits{Bytes: 16 << 20, WideNumbers: true, StringLen: 1 << 20}); err == nil {
		targets = collect(nil, root, root, "", true, 0)
	}
	// The likeliest pairs first, so that a heading goes where it fits best.
	type pair struct {
		t, h  int
		score float64
	}
	var pairs []pair
	for t, tg := range targets {
		toks := tg.to.Tokens()
		for h, heading := range headings {
			s := max(alike(toks[len(toks)-1], heading), alike(strings.Join(toks, " "), heading), alike(tg.title, heading))
			if s >= 0.6 && fold(heading) != "" {
				pairs = append(pairs, pair{t, h, s})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	sure := make([]bool, len(targets))
	chosen := make([]int, len(targets))
	for t := range chosen {
		chosen[t] = -1
	}
	taken := make([]bool, len(headings))
	for _, p := range pairs {
		if chosen[p.t] < 0 && !taken[p.h] {
			chosen[p.t], taken[p.h], sure[p.t] = p.h, true, p.score >= 0.85
		}
	}
	seen := map[string]int{}
	for _, h := range headings {
		seen[fold(h)]++
	}

	var b bytes.Buffer
	m := std.Manifest()
	fmt.Fprintf(&b, "# A draft: check every line before you rely on it.\n# %s\n\nmapping: %d\nstandard: %s\n", visible(m.Title), MappingVersion, m.Name.Line())
	b.WriteString("# encoding: windows-1252   # for files saved by a spreadsheet on Windows; utf-8 when absent\n")
	b.WriteString("# delimiter: \";\"          # a comma when absent\n")
	b.WriteString("# header_row: 1           # where the headings stand\n\ncolumns:\n")
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
		switch h := chosen[t]; {
		case h < 0:
			line("  from: no heading is like it")
		case seen[fold(headings[h])] > 1:
			line("  position: %d                # the heading %s stands there more than once", h+1, quoted(visible(headings[h])))
		case sure[t]:
			line("  from: %s", quoted(headings[h]))
		default:
			line("  from: %s   # only somewhat alike: is it this one?", quoted(headings[h]))
		}
		if tg.typ != typeString {
			line("  type: %s", tg.typ)
		}
		if tg.dated {
			line("  formats: [%s]   # add how the file writes it, such as dd/mm/yyyy", map[string]string{typeDate: "yyyy-mm-dd", typeDateTime: `"yyyy-mm-ddTHH:MM:SSZ"`}[tg.typ])
		}
		if tg.list {
			line("  split: \"|\"")
		}
		if tg.required {
			line("  required: true")
		}
		if len(tg.values) > 0 {
			line("  # the standard allows: %s", strings.Join(tg.values, ", "))
		}
	}
	first := true
	for h, heading := range headings {
		if taken[h] || fold(heading) == "" {
			continue
		}
		if first {
			b.WriteString("\n# Headings of the file that are like no place of the standard. Those that stay here are left out.\nignore:\n")
			first = false
		}
		fmt.Fprintf(&b, "  - %s\n", quoted(heading))
	}
	return b.Bytes()
}

// quoted is a YAML string on one line, whatever is in it.
func quoted(s string) string {
	return string(strictjson.AppendString(nil, strings.ToValidUTF8(s, "\uFFFD")))
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

// ReadHeadings returns the row of a CSV file that most looks like its
// headings: of the first rows, the first with the most cells filled. It is for
// drafting a mapping, where a person looks at the result; reading a file never
// guesses.
func ReadHeadings(r io.Reader, encodingName, delimiter string) (headings []string, row int, err error) {
	one := 1
	m := &Mapping{Version: MappingVersion, Encoding: encodingName, Delimiter: delimiter, HeaderRow: &one,
		Standard: name.StandardLine{Name: "standards.example/draft", Major: 1}, Columns: []Column{{To: "/draft", Position: 1}}}
	if _, err := compile(m); err != nil {
		return nil, 0, err
	}
	enc, delim := encUTF8, byte(',')
	if encodingName != "" {
		enc = encoding(encodingName)
	}
	if delimiter != "" {
		delim = delimiter[0]
	}
	src, err := newSource(r, enc, strictjson.DefaultLimits().Bytes)
	if err != nil {
		return nil, 0, err
	}
	t := &table{src: src, delim: delim}
	most := 0
	for range 20 {
		raw, err := t.take()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, 0, err
		}
		filled := 0
		for _, c := range raw.cells {
			if strings.TrimSpace(c) != "" {
				filled++
			}
		}
		if raw.bad == nil && filled > most {
			most, headings, row = filled, raw.cells, raw.Number
		}
	}
	if most == 0 {
		return nil, 0, &FileError{Rule: RuleHeadings, Detail: "the file has no row that could be headings"}
	}
	return headings, row, nil
}
