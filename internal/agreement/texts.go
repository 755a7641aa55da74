package agreement

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Heading is one heading of the document, as other papers about an agreement need it.
type Heading struct {
	Key      string // such as "purpose" or "lawful_basis/article_6"
	Ask      string // what belongs there, in one line
	Required bool   // no agreement is signed without it
	List     bool   // it holds a list of short texts: one on each line of Text
	Table    bool   // it holds a text for each party: "council: text" on each line
}

// Headings returns the headings in the order of the document.
func Headings() []Heading {
	out := make([]Heading, len(headings))
	for i, h := range headings {
		out[i] = Heading{Key: h.key, Ask: h.ask, Required: !h.optional, List: h.kind == isList, Table: h.kind == isTable}
	}
	return out
}

// Text returns what stands under a heading, as [Agreement.Set] reads it; "" when
// nothing does, and for a key that is no heading.
func (a *Agreement) Text(key string) string {
	h, ok := headingFor(key)
	if !ok {
		return ""
	}
	v := h.get(a)
	if key == "version" && a.Version == 0 || key == "standard" && a.Standard.Name == "" {
		return ""
	}
	switch h.kind {
	case isList:
		return strings.Join(v.list, "\n")
	case isTable:
		var lines []string
		for _, k := range slices.Sorted(maps.Keys(v.table)) {
			lines = append(lines, k+": "+v.table[k])
		}
		return strings.Join(lines, "\n")
	}
	return v.text
}

// Set puts a text under a heading, as far as that can hold it: any text under most, and
// only what [Parse] takes under the others. The agreement is unchanged on an error, which
// wraps [ErrDocument]. It is for a draft: an agreement that is signed is not changed.
func (a *Agreement) Set(key, text string) error {
	h, ok := headingFor(key)
	if !ok {
		return fmt.Errorf("%w: unknown heading", ErrDocument)
	}
	v := value{text: text}
	switch h.kind {
	case isList:
		v = value{list: []string{}}
		for l := range strings.SplitSeq(text, "\n") {
			if l = tidy(l); l != "" {
				v.list = append(v.list, l)
			}
		}
	case isTable:
		v = value{table: map[string]string{}}
		for l := range strings.SplitSeq(text, "\n") {
			k, t, ok := strings.Cut(l, ":")
			if tidy(l) == "" {
				continue
			}
			if !ok {
				return fmt.Errorf("%w: %s: want council: text", ErrDocument, key)
			}
			v.table[tidy(k)] = tidy(t)
		}
	}
	if v.empty() {
		return fmt.Errorf("%w: %s: is empty", ErrDocument, key)
	}
	if err := v.wellFormed(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDocument, key, err)
	}
	copied := *a
	if err := h.set(&copied, v); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDocument, key, err)
	}
	*a = copied
	return nil
}

// Tidy brings a text from a word processor to the form that an agreement may hold:
// without tabs, invisible characters and space at the ends of lines. What is neither a
// letter nor a break of the line becomes a space.
func Tidy(s string) string {
	s = strings.Map(func(r rune) rune {
		if r != '\n' && unwelcome(r) {
			return ' '
		}
		return r
	}, tidier.Replace(strings.ToValidUTF8(s, " ")))
	return tidy(s)
}

// Lines returns on which line of a YAML document each heading stands, by its key; none
// of a document that cannot be read.
func Lines(doc []byte) map[string]int {
	lines := map[string]int{}
	if root, err := parseYAML(doc); err == nil {
		_ = gather(root, "", map[string]value{}, lines) // as far as it goes
	}
	return lines
}
