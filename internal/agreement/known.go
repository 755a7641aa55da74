package agreement

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A known reports fields that a standard certainly does not have. JSON Schema
// lets a record hold more than it names, so doubt is no problem: a field is
// refused when the schema closes the object it would stand in, or when it reads
// like a slip of the pen for one that the schema names.
type known struct {
	root    any // nil: nothing can be said
	classes map[name.Field]standard.Class
	say     func(key, rule, detail, fix string)
}

func newKnown(std *standard.Standard, say func(key, rule, detail, fix string)) *known {
	root, err := strictjson.Decode(std.Schema(), strictjson.Limits{Bytes: 64 << 20, Values: 1 << 22, StringLen: 16 << 20, Depth: 512})
	if err != nil {
		root = nil // a schema that only the standard's own reader takes
	}
	return &known{root, std.Manifest().Classes, say}
}

func (k *known) check(key string, fields []name.Field) {
	for _, f := range fields {
		if _, named := k.classes[f]; named || k.root == nil {
			continue
		}
		s := schema{root: k.root}
		if certain, like := s.lacks(f.Tokens()); certain {
			fix := "take the name from the standard"
			if like != "" {
				fix = fmt.Sprintf("write %q, if that is meant", like)
			}
			k.say(key, RuleUnknown, fmt.Sprintf("%s is not a field of the standard", f), fix)
		}
	}
}

// A schema is read far enough to say which members an object may have.
type schema struct {
	root  any
	steps int // work done; a schema may refer in circles
}

const maxSchemaSteps = 10_000

// lacks reports whether no record can hold the place, as far as certain, and
// the name that was probably meant.
func (s *schema) lacks(toks []string) (certain bool, like string) {
	at := s.expand([]any{s.root})
	for _, tok := range toks {
		var next []any
		if tok == "*" {
			for _, m := range at {
				for _, k := range []string{"items", "additionalItems", "contains", "prefixItems"} {
					if l, ok := m.node[k].([]any); ok {
						next = append(next, l...)
					} else if m.node[k] != nil {
						next = append(next, m.node[k])
					}
				}
			}
			if len(next) == 0 {
				return false, ""
			}
		} else {
			var names []string
			closed, open := false, false
			for _, m := range at {
				props, _ := m.node["properties"].(map[string]any)
				for k, p := range props {
					names = append(names, k)
					if k == tok {
						next = append(next, p)
					}
				}
				_, patterns := m.node["patternProperties"]
				_, schemaForRest := m.node["additionalProperties"].(map[string]any)
				open = open || patterns || schemaForRest || m.unknown
				_, here := props[tok]
				closed = closed || (m.always && !patterns && !here && m.node["additionalProperties"] == false) ||
					(m.always && m.node["unevaluatedProperties"] == false)
			}
			if len(next) == 0 {
				if open || s.steps > maxSchemaSteps || len(names) == 0 {
					return false, ""
				}
				like = nearest(tok, names)
				return closed || like != "", like
			}
		}
		at = s.expand(next)
	}
	return false, ""
}

// A branch is one schema object that applies at a place: always, or in some
// case only. unknown says that something it refers to could not be followed.
type branch struct {
	node    map[string]any
	always  bool
	unknown bool
}

func (s *schema) expand(nodes []any) []branch {
	var out []branch
	seen := make(map[string]bool) // references followed here
	var add func(v any, always bool)
	add = func(v any, always bool) {
		m, ok := v.(map[string]any)
		if s.steps++; !ok || s.steps > maxSchemaSteps {
			return
		}
		// Up to draft 7 what stands beside a reference means nothing.
		_, refers := m["$ref"]
		b := branch{node: m, always: always && !refers}
		for _, k := range []string{"$ref", "$dynamicRef", "$recursiveRef"} {
			ref, ok := m[k].(string)
			if !ok {
				continue
			}
			if target, found := s.follow(ref); !found || k != "$ref" {
				b.unknown = true
			} else if !seen[ref] {
				seen[ref] = true
				add(target, always)
			}
		}
		out = append(out, b)
		for _, k := range []string{"allOf", "anyOf", "oneOf"} {
			list, _ := m[k].([]any)
			for _, e := range list {
				add(e, always && (k == "allOf" || len(list) == 1))
			}
		}
		for _, k := range []string{"if", "then", "else"} {
			add(m[k], false)
		}
		for _, k := range []string{"dependentSchemas", "dependencies"} {
			deps, _ := m[k].(map[string]any)
			for _, e := range deps {
				add(e, false)
			}
		}
	}
	for _, n := range nodes {
		add(n, len(nodes) == 1)
	}
	return out
}

// follow finds what a reference within the document points to. References by
// name, or to another document, are not followed.
func (s *schema) follow(ref string) (any, bool) {
	pointer, ok := strings.CutPrefix(ref, "#")
	if !ok || (pointer != "" && pointer[0] != '/') || strings.Contains(pointer, "%") {
		return nil, false
	}
	v := s.root
	for pointer != "" {
		var tok string
		tok, pointer = cut(pointer)
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[tok]; !ok {
			return nil, false
		}
	}
	return v, true
}

// nearest returns the one of names that tok was probably meant to be: one or
// two letters off, in a name long enough for that to be a slip.
func nearest(tok string, names []string) string {
	slices.Sort(names)
	best, bestAt := "", 3
	for _, n := range names {
		if len(tok) < 4 || len(n) < 4 || len(n) > 64 || len(tok) > 64 {
			continue
		}
		if d := distance(strings.ToLower(tok), strings.ToLower(n)); d < bestAt && (d < 2 || len(tok) > 7) {
			best, bestAt = n, d
		}
	}
	return best
}

// distance is the number of letters to add, remove, replace or swap with the
// next (Damerau and Levenshtein, no letter edited twice).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// topLevel returns the members that the standard's schema names for a record,
// sorted, as far as they can be found.
func topLevel(std *standard.Standard) []name.Field {
	k := newKnown(std, nil)
	s := schema{root: k.root}
	var out []name.Field
	for _, b := range s.expand([]any{k.root}) {
		props, _ := b.node["properties"].(map[string]any)
		for p := range props {
			if f, err := name.ParseField(string(name.Field("").Child(p))); err == nil && p != "*" {
				out = append(out, f)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
