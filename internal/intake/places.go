package intake

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A Place is a place of a standard that one column of a table can hold.
type Place struct {
	To       name.Field
	Title    string
	About    string // the schema's description
	Type     string // as in a Column: string, number, integer, boolean, date, date-time, json
	List     bool   // a list of values of the type
	Required bool   // of every record
	Nullable bool   // null may stand there
	Words    []string
	Decimals int  // most decimals of a number; -1 when nothing is said
	MaxLen   int  // characters of a text; 0 when nothing is said
	Formed   bool // the schema asks more of a text than a length: a pattern, a format
}

// Places returns the places of a standard, in the order of the schema's own
// words sorted, at most 2000. An object is taken apart into its members; what
// does not fit into a cell otherwise (a list of objects, a value of several
// types, an object whose members are not named) is one place of type json. It
// is a reading of the schema for tables, and judges nothing.
func Places(std *standard.Standard) []Place {
	root, err := decodeSchema(std.Schema())
	if err != nil {
		return nil
	}
	c := &placeCollector{std: std, root: root, others: map[string]any{}, at: map[name.Field]int{}}
	c.walk(root, "", true, nil)
	return c.out
}

func decodeSchema(b []byte) (any, error) {
	return strictjson.Decode(b, strictjson.Limits{Bytes: 16 << 20, Values: 1 << 20, StringLen: 1 << 20, WideNumbers: true})
}

type placeCollector struct {
	std    *standard.Standard
	root   any
	others map[string]any // further documents by their address; nil for one that is not there
	out    []Place
	at     map[name.Field]int
}

const maxPlaceDepth = 12

// resolve follows a reference inside the schema, or into a further document of the
// standard.
func (c *placeCollector) resolve(ref string) (map[string]any, bool) {
	address, inside, _ := strings.Cut(ref, "#")
	doc := c.root
	if address != "" {
		doc = c.other(address)
	}
	v, ok := lookup(doc, inside)
	s, isObject := v.(map[string]any)
	return s, ok && isObject
}

// other returns a further document. Its references to itself are made whole, since they
// are read beside those of the schema.
func (c *placeCollector) other(address string) any {
	doc, known := c.others[address]
	if known {
		return doc
	}
	if b, ok := c.std.Document(address); ok {
		if v, err := decodeSchema(b); err == nil {
			doc = v
			wholeRefs(doc, address)
		}
	}
	c.others[address] = doc
	return doc
}

func wholeRefs(v any, address string) {
	switch v := v.(type) {
	case map[string]any:
		for k, sub := range v {
			if ref, ok := sub.(string); ok && k == "$ref" && strings.HasPrefix(ref, "#") {
				v[k] = address + ref
			}
			wholeRefs(sub, address)
		}
	case []any:
		for _, sub := range v {
			wholeRefs(sub, address)
		}
	}
}

// parts returns the schemas that judge what s judges: itself, what it refers
// to and its allOf, and with them, apart, those of which only some may.
func (c *placeCollector) parts(schema any, refs []string) (sure, maybe []map[string]any, within []string) {
	todo := []any{schema}
	within = refs
	for len(todo) > 0 && len(sure) < 50 {
		s, ok := todo[0].(map[string]any)
		if todo = todo[1:]; !ok {
			continue
		}
		sure = append(sure, s)
		if ref, ok := s["$ref"].(string); ok && !slices.Contains(within, ref) {
			if to, ok := c.resolve(ref); ok {
				within = append(slices.Clip(within), ref)
				todo = append(todo, to)
			}
		}
		all, _ := s["allOf"].([]any)
		todo = append(todo, all...)
		for _, k := range []string{"anyOf", "oneOf"} {
			some, _ := s[k].([]any)
			for _, v := range some {
				if m, ok := v.(map[string]any); ok {
					maybe = append(maybe, m)
				}
			}
		}
		for _, k := range []string{"then", "else"} {
			if m, ok := s[k].(map[string]any); ok {
				maybe = append(maybe, m)
			}
		}
	}
	return sure, maybe, within
}

func (c *placeCollector) walk(schema any, at name.Field, required bool, refs []string) {
	if len(c.out) >= maxColumns || len(at.Tokens()) > maxPlaceDepth {
		return
	}
	sure, maybe, within := c.parts(schema, refs)
	props := map[string][]any{}
	need := map[string]bool{}
	gather := func(s map[string]any, sure bool) {
		m, _ := s["properties"].(map[string]any)
		for k, v := range m {
			props[k] = append(props[k], v)
		}
		list, _ := s["required"].([]any)
		for _, v := range list {
			if k, ok := v.(string); ok && sure {
				need[k] = true
			}
		}
	}
	for _, s := range sure {
		gather(s, true)
	}
	for _, s := range maybe {
		some, more, _ := c.parts(s, within)
		for _, s := range append(some, more...) {
			gather(s, false)
		}
	}
	if len(props) == 0 {
		if at != "" {
			c.add(c.leaf(sure, maybe, within, at, required))
		}
		return
	}
	for _, k := range sortedKeys(props) {
		// Where several schemas speak of a member the first that says its type
		// is asked.
		best := props[k][0]
		for _, s := range props[k] {
			if sure, _, _ := c.parts(s, within); slices.ContainsFunc(sure, func(s map[string]any) bool { return s["type"] != nil || s["enum"] != nil || s["properties"] != nil }) {
				best = s
				break
			}
		}
		c.walk(best, at.Child(k), required && need[k], within)
	}
}

func (c *placeCollector) add(p Place) {
	if _, twice := c.at[p.To]; !twice && len(c.out) < maxColumns {
		c.at[p.To] = len(c.out)
		c.out = append(c.out, p)
	}
}

// leaf reads what the schemas say of a value that is not taken apart.
func (c *placeCollector) leaf(sure, maybe []map[string]any, refs []string, at name.Field, required bool) Place {
	p := Place{To: at, Required: required, Decimals: -1}
	if len(sure) > 0 {
		p.Title, _ = sure[0]["title"].(string)
		p.About, _ = sure[0]["description"].(string)
	}
	types := map[string]bool{}
	read := func(s map[string]any) {
		switch t := s["type"].(type) {
		case string:
			types[t] = true
		case []any:
			for _, v := range t {
				if n, ok := v.(string); ok {
					types[n] = true
				}
			}
		}
		list, _ := s["enum"].([]any)
		if v, ok := s["const"]; ok {
			list = []any{v}
		}
		for _, v := range list {
			switch t := v.(type) {
			case nil:
				types["null"] = true
			case string:
				types["string"] = true
				p.Words = append(p.Words, t)
			case bool:
				types["boolean"] = true
			case json.Number:
				types["number"] = true
			default:
				types["object"] = true
			}
		}
		format, _ := s["format"].(string)
		if pattern, ok := s["pattern"].(string); ok || format != "" {
			p.Formed = true
			if len(types) == 0 && pattern != "" {
				types["string"] = true
			}
		}
		if p.Type == "" && (format == typeDate || format == typeDateTime) {
			p.Type = format
		}
		if n, ok := s["maxLength"].(json.Number); ok {
			if v, err := n.Int64(); err == nil {
				p.MaxLen = int(v)
			}
		}
		if n, ok := s["multipleOf"].(json.Number); ok {
			p.Decimals = decimalsOf(n.String())
		}
	}
	for _, s := range sure {
		read(s)
	}
	for _, s := range maybe {
		some, _, _ := c.parts(s, refs)
		for _, s := range some {
			read(s)
		}
	}
	p.Nullable = types["null"]
	delete(types, "null")
	if types["integer"] && types["number"] {
		delete(types, "integer")
	}
	dated := p.Type
	switch p.Type = typeJSON; {
	case len(types) == 0 && (dated != "" || p.Formed):
		p.Type = cmp.Or(dated, typeString)
	case len(types) != 1:
	case types["string"]:
		p.Type = cmp.Or(dated, typeString)
	case types["number"]:
		p.Type = typeNumber
	case types["integer"]:
		p.Type = typeInteger
	case types["boolean"]:
		p.Type = typeBoolean
	case types["array"]:
		for _, s := range sure {
			items, ok := s["items"].(map[string]any)
			if !ok {
				continue
			}
			sub, some, within := c.parts(items, refs)
			if el := c.leaf(sub, some, within, at, required); el.Type != typeJSON && !el.List && !el.Nullable && s["prefixItems"] == nil {
				if _, named := c.properties(sub); !named {
					el.List, el.Title, el.About, el.Nullable = true, p.Title, p.About, p.Nullable
					return el
				}
			}
			break
		}
	}
	return p
}

// properties reports whether one of the schemas names members.
func (c *placeCollector) properties(of []map[string]any) (map[string]any, bool) {
	for _, s := range of {
		if m, ok := s["properties"].(map[string]any); ok {
			return m, true
		}
	}
	return nil, false
}

// decimalsOf reads 0.01 as 2 and 1 as 0; anything else says nothing.
func decimalsOf(multiple string) int {
	whole, frac, _ := strings.Cut(multiple, ".")
	switch {
	case whole == "1" && strings.Trim(frac, "0") == "":
		return 0
	case strings.Trim(whole, "0") == "" && strings.Trim(frac, "0") == "1":
		return strings.IndexByte(frac, '1') + 1
	case whole == "1e-6":
		return 6
	}
	return -1
}
