package measure

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Limits on the places of one standard. What a schema describes beyond them is
// counted under the place above it.
const (
	MaxPlaces = 300
	maxDepth  = 8
)

// Places are the places in a record that a standard names, in its schema or its
// manifest, elements of arrays folded to "*". A place that only a record names
// is never among them: a member's name can be personal data. Places do not
// change and may be used concurrently.
//
// Rule for change: which places a standard has is part of what a statement
// means, since an auditor works them out again. Another choice of them, or of
// what fills one, takes a new version of the standard of statements.
type Places struct {
	root *place
	list []name.Field
}

type place struct {
	at      int               // in list; -1 for the root
	members map[string]*place // by name, unescaped
	rest    *place            // "*": elements, and members that the schema gives a pattern for
}

func (p *place) child(token string) *place {
	if m := p.members[token]; m != nil {
		return m
	}
	return p.rest
}

// PlacesOf returns the places of a standard, at most MaxPlaces, those nearest
// to the root first; what a schema describes by reference to another document
// stays unnamed.
func PlacesOf(std *standard.Standard) *Places {
	b := &surveyor{root: &node{}}
	var doc any
	// Only names are wanted: package standard has judged the document. One that is
	// no JSON to this reader, such as one in UTF-16, gives none, and then there are
	// those of the manifest.
	_ = json.Unmarshal(std.Schema(), &doc)
	b.doc = doc
	b.walk(b.root, doc, 0)
	m := std.Manifest()
	for f := range m.Classes {
		b.name(f)
	}
	for _, f := range m.Key {
		b.name(f)
	}
	return b.places()
}

// A surveyor gathers names from a schema.
type surveyor struct {
	doc   any
	root  *node
	steps int
}

type node struct {
	members map[string]*node
	rest    *node
}

func (n *node) member(token string) *node {
	if n.members == nil {
		n.members = map[string]*node{}
	}
	if n.members[token] == nil {
		n.members[token] = &node{}
	}
	return n.members[token]
}

func (n *node) any() *node {
	if n.rest == nil {
		n.rest = &node{}
	}
	return n.rest
}

// name adds a place that the manifest names.
func (b *surveyor) name(f name.Field) {
	n := b.root
	for _, tok := range f.Tokens() {
		if tok == "*" {
			n = n.any()
		} else {
			n = n.member(tok)
		}
	}
}

// maxSteps bounds the subschemas looked at: a schema comes from outside, and
// its references may fan out.
const maxSteps = 20_000

// walk adds what a schema says of the members and elements at n.
func (b *surveyor) walk(n *node, schema any, depth int) {
	s, ok := schema.(map[string]any)
	if !ok || depth > 4*maxDepth || b.steps >= maxSteps {
		return
	}
	b.steps++
	if ref, ok := s["$ref"].(string); ok {
		b.walk(n, b.local(ref), depth+1)
	}
	each := func(v any, f func(string, any)) {
		m, _ := v.(map[string]any)
		for _, k := range sortedKeys(m) {
			f(k, m[k])
		}
	}
	each(s["properties"], func(k string, sub any) { b.walk(n.member(k), sub, depth+1) })
	each(s["patternProperties"], func(_ string, sub any) { b.walk(n.any(), sub, depth+1) })
	each(s["dependentSchemas"], func(_ string, sub any) { b.walk(n, sub, depth+1) })
	for _, k := range []string{"additionalProperties", "items", "additionalItems", "unevaluatedItems", "unevaluatedProperties"} {
		if sub, ok := s[k].(map[string]any); ok {
			b.walk(n.any(), sub, depth+1)
		}
	}
	for _, k := range []string{"items", "prefixItems"} {
		if list, ok := s[k].([]any); ok {
			for _, sub := range list {
				b.walk(n.any(), sub, depth+1)
			}
		}
	}
	for _, k := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := s[k].([]any)
		for _, sub := range list {
			b.walk(n, sub, depth+1)
		}
	}
	for _, k := range []string{"if", "then", "else"} {
		b.walk(n, s[k], depth+1)
	}
}

// local returns what a reference within the document names; nil for any other.
func (b *surveyor) local(ref string) any {
	path, ok := strings.CutPrefix(ref, "#")
	if !ok || path != "" && path[0] != '/' {
		return nil
	}
	v := b.doc
	for _, tok := range strings.Split(path, "/")[1:] {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(tok)]
	}
	return v
}

// places cuts what was gathered to the limits, level by level.
func (b *surveyor) places() *Places {
	p := &Places{root: &place{at: -1}}
	type work struct {
		from  *node
		to    *place
		field name.Field
	}
	level := []work{{b.root, p.root, ""}}
	for range maxDepth {
		var next []work
		add := func(w work, token string, from *node) *place {
			f := w.field.Child(token)
			// A statement has to hold the place, and one more "*" below it.
			if len(p.list) == MaxPlaces || len(f)+2 > name.MaxFieldLen || strings.ContainsFunc(token, unicode.IsControl) {
				return nil
			}
			c := &place{at: len(p.list)}
			p.list = append(p.list, f)
			next = append(next, work{from, c, f})
			return c
		}
		for _, w := range level {
			for _, k := range sortedKeys(w.from.members) {
				if k == "*" { // no field can name it
					continue
				}
				if c := add(w, k, w.from.members[k]); c != nil {
					if w.to.members == nil {
						w.to.members = map[string]*place{}
					}
					w.to.members[k] = c
				}
			}
			if w.from.rest != nil {
				w.to.rest = add(w, "*", w.from.rest)
			}
		}
		level = next
	}
	return p
}

// List returns the places, those nearest to the root first. It is shared: do
// not change it.
func (p *Places) List() []name.Field { return p.list }

// Fold returns the place that a pointer into a record means, with elements
// folded to "*". From the first token on that the standard does not name the
// rest is cut and "*" put in its place, so that nothing of the record's own is
// in it. "" is the whole record.
func (p *Places) Fold(pointer string) name.Field {
	at, field := p.root, name.Field("")
	if pointer == "" || pointer[0] != '/' {
		return ""
	}
	for _, tok := range name.Field(pointer).Tokens() {
		m := at.members[tok]
		if m == nil {
			if field, at = field.Child("*"), at.rest; at == nil {
				return field
			}
			continue
		}
		field, at = field.Child(tok), m
	}
	return field
}

// A Filling counts in how many records each place is filled. Use it from one
// goroutine.
type Filling struct {
	places  *Places
	counts  []int
	seen    []uint32 // the last record that filled the place
	records uint32
}

// NewFilling begins a count.
func NewFilling(p *Places) *Filling {
	return &Filling{places: p, counts: make([]int, len(p.list)), seen: make([]uint32, len(p.list))}
}

// Add counts one record. A place is filled when it holds something: not null,
// not an empty text, list or object. In a list one element is enough.
func (f *Filling) Add(body map[string]any) {
	f.records++
	f.visit(f.places.root, body)
}

func (f *Filling) visit(at *place, v any) {
	switch v := v.(type) {
	case nil:
		return
	case string:
		if v == "" {
			return
		}
	case map[string]any:
		if len(v) == 0 {
			return
		}
		for k, e := range v {
			if c := at.child(k); c != nil {
				f.visit(c, e)
			}
		}
	case []any:
		if len(v) == 0 {
			return
		}
		if at.rest != nil {
			for _, e := range v {
				f.visit(at.rest, e)
			}
		}
	}
	if at.at >= 0 && f.seen[at.at] != f.records {
		f.seen[at.at] = f.records
		f.counts[at.at]++
	}
}

// Fields returns the count of every place, by name.
func (f *Filling) Fields() []api.StatementField {
	out := make([]api.StatementField, len(f.counts))
	for i, n := range f.counts {
		out[i] = api.StatementField{Field: f.places.list[i], Filled: n}
	}
	slices.SortFunc(out, func(a, b api.StatementField) int { return strings.Compare(string(a.Field), string(b.Field)) })
	return out
}

func sortedKeys[K ~string, V any](m map[K]V) []K {
	out := make([]K, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
