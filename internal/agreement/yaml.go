package agreement

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// Parse reads the YAML document. Headings may be empty or absent, so that a
// draft can be read, except those that say which agreement it is. Every error
// wraps [ErrDocument] and names the line; all problems with values are
// reported at once.
//
// YAML is a large language and a legal document needs little of it: unknown
// and repeated headings, a second document, anchors, aliases and tags are
// refused. yaml.v3 bounds the growth of aliases only from 400,000 nodes up, so
// they are refused before anything follows them. Spaces around a text and at
// the ends of its lines mean nothing and are dropped.
func Parse(doc []byte) (*Agreement, error) {
	if len(doc) > MaxDocument {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrDocument, MaxDocument)
	}
	if !utf8.Valid(doc) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrDocument)
	}
	root, err := parseYAML(doc)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	values := make(map[string]value)
	lines := make(map[string]int)
	if err := gather(root, "", values, lines); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	a := new(Agreement)
	err = a.read(values, func(key string) string {
		if n := lines[key]; n > 0 {
			return fmt.Sprintf("line %d: ", n)
		}
		return ""
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// parseYAML returns the mapping at the root of the one document, free of
// anchors, aliases and tags. Decoding into a Node follows no alias.
func parseYAML(doc []byte) (root *yaml.Node, err error) {
	dec := yaml.NewDecoder(bytes.NewReader(doc))
	var n yaml.Node
	if err := dec.Decode(&n); errors.Is(err, io.EOF) {
		return nil, errors.New("the document is empty")
	} else if err != nil {
		return nil, err
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		return nil, fmt.Errorf("line %d: a second document; an agreement is one", second.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(n.Content) != 1 || n.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("want headings, each followed by a colon")
	}
	if err := plain(n.Content[0], 0); err != nil {
		return nil, err
	}
	return n.Content[0], nil
}

func plain(n *yaml.Node, depth int) error {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return fmt.Errorf("line %d: anchors and aliases may not stand in an agreement", n.Line)
	case n.Style&yaml.TaggedStyle != 0:
		return fmt.Errorf("line %d: tags may not stand in an agreement", n.Line)
	case depth > 3: // onward: fields: - one
		return fmt.Errorf("line %d: nested too deep", n.Line)
	}
	for _, c := range n.Content {
		if err := plain(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// gather flattens a mapping of headings into values, with the line of each.
func gather(m *yaml.Node, prefix string, values map[string]value, lines map[string]int) error {
	for i := 0; i+1 < len(m.Content); i += 2 {
		k, v := m.Content[i], m.Content[i+1]
		key := prefix + k.Value
		if k.Kind != yaml.ScalarNode {
			return fmt.Errorf("line %d: want a heading", k.Line)
		}
		if at, twice := lines[key]; twice {
			return fmt.Errorf("line %d: heading %.80q is already on line %d", k.Line, key, at)
		}
		lines[key] = k.Line
		if prefix == "" && groups[k.Value] {
			if v.Kind == yaml.ScalarNode && scalar(v) == "" {
				continue
			}
			if v.Kind != yaml.MappingNode {
				return fmt.Errorf("line %d: %s: want headings below it", v.Line, key)
			}
			if err := gather(v, key+"/", values, lines); err != nil {
				return err
			}
			continue
		}
		h, ok := headingFor(key)
		if !ok {
			return fmt.Errorf("line %d: unknown heading %.80q", k.Line, key)
		}
		val, err := fromYAML(h.kind, v)
		if err != nil {
			return fmt.Errorf("line %d: %s: %w", v.Line, key, err)
		}
		values[key] = val
	}
	return nil
}

func fromYAML(k kind, n *yaml.Node) (out value, err error) {
	if n.Kind == yaml.ScalarNode && (k == isText || k == isNumber || scalar(n) == "") {
		out.text = scalar(n)
		return out, nil
	}
	switch {
	case k == isList && n.Kind == yaml.SequenceNode:
		for _, e := range n.Content {
			if e.Kind != yaml.ScalarNode {
				return out, errors.New("want a list of texts")
			}
			// An empty entry is a line not yet filled in, not a field; the
			// whole record, whose pointer is "", is written with its quotes.
			if s := scalar(e); s != "" || e.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
				out.list = append(out.list, s)
			}
		}
		return out, nil
	case k == isTable && n.Kind == yaml.MappingNode:
		out.table = make(map[string]string)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, v := n.Content[i], n.Content[i+1]
			if key.Kind != yaml.ScalarNode || v.Kind != yaml.ScalarNode {
				return out, fmt.Errorf("line %d: want council: text", key.Line)
			}
			if _, twice := out.table[key.Value]; twice {
				return out, fmt.Errorf("line %d: %.80q comes twice", key.Line, key.Value)
			}
			out.table[key.Value] = scalar(v)
		}
		return out, nil
	}
	return out, fmt.Errorf("want %s", k)
}

// scalar returns a scalar as it was typed: rows: true, version: 1 and
// starts: 2026-12-01 are texts to us, whatever YAML would make of them.
func scalar(n *yaml.Node) string {
	if n.Tag == "!!null" {
		return ""
	}
	return tidy(n.Value)
}

// YAML returns the document for people to read. [Parse] makes of it an
// agreement with the same digest.
func (a *Agreement) YAML() []byte {
	var b bytes.Buffer
	group := ""
	for _, h := range headings {
		key, pad := h.key, 0
		v := h.get(a)
		if h.optional && v.empty() {
			continue
		}
		if g, sub, ok := strings.Cut(h.key, "/"); ok {
			key, pad = sub, 2
			if g != group {
				fmt.Fprintf(&b, "%s:\n", g)
			}
			group = g
		}
		printEntry(&b, pad, key, v)
	}
	return b.Bytes()
}

func printEntry(b *bytes.Buffer, pad int, key string, v value) {
	fmt.Fprintf(b, "%*s%s:", pad, "", key)
	switch {
	case v.list != nil:
		if len(v.list) == 0 {
			b.WriteString(" []")
		}
		b.WriteByte('\n')
		for _, s := range v.list {
			printItem(b, pad+2, s)
		}
	case v.table != nil:
		if len(v.table) == 0 {
			b.WriteString(" {}")
		}
		b.WriteByte('\n')
		for _, k := range slices.Sorted(maps.Keys(v.table)) {
			printEntry(b, pad+2, k, value{text: v.table[k]})
		}
	case v.text == "":
		b.WriteByte('\n')
	default:
		b.WriteByte(' ')
		printText(b, pad+2, v.text)
	}
}

func printItem(b *bytes.Buffer, pad int, s string) {
	fmt.Fprintf(b, "%*s- ", pad, "")
	if s == "" { // the pointer to the whole record, which not everybody knows
		b.WriteString("\"\" # the record itself: whatever the standard leaves open\n")
		return
	}
	printText(b, pad+2, s)
}

const lineWidth = 78

// printText prints a text that textForm accepts, with the line feed after it,
// in whichever style of YAML reads best and still gives it back exactly.
func printText(b *bytes.Buffer, pad int, s string) {
	switch {
	case s != "" && strings.Contains(s, "\n"):
		b.WriteString("|-\n")
		for line := range strings.SplitSeq(s, "\n") {
			if line != "" {
				fmt.Fprintf(b, "%*s%s", pad, "", line)
			}
			b.WriteByte('\n')
		}
	case len(s) > lineWidth-pad && !strings.Contains(s, "  "):
		// Folding gives back one space for each break between words.
		b.WriteString(">-\n")
		width := 0
		for word := range strings.SplitSeq(s, " ") {
			switch {
			case width == 0:
				fmt.Fprintf(b, "%*s", pad, "")
				width = pad
			case width+1+utf8.RuneCountInString(word) > lineWidth:
				fmt.Fprintf(b, "\n%*s", pad, "")
				width = pad
			default:
				b.WriteByte(' ')
				width++
			}
			b.WriteString(word)
			width += utf8.RuneCountInString(word)
		}
		b.WriteByte('\n')
	case bare(s):
		b.WriteString(s + "\n")
	default:
		// A JSON string is a double-quoted YAML scalar.
		b.Write(strictjson.AppendString(nil, s))
		b.WriteByte('\n')
	}
}

// bare reports whether s may stand in YAML without quotes and be read as it is.
func bare(s string) bool {
	if s == "" || strings.Contains(s, ": ") || strings.Contains(s, " #") || strings.HasSuffix(s, ":") {
		return false
	}
	if c := s[0]; c != '/' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !digits(s) {
		return false
	}
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return false
	}
	return true
}

// digits reports whether s is a number or a date, which we read as typed.
func digits(s string) bool {
	return strings.Trim(s, "0123456789-") == "" && s[0] != '-'
}
