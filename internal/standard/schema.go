package standard

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stile-exchange/stile/internal/name"
	"github.com/stile-exchange/stile/internal/strictjson"
)

// Caps on the schema documents of a standard, all of them together. The
// largest published one we know of has 22 343 values in 6 987 objects, 15 deep.
// The engine's compiler is quadratic in objects: at the cap it takes seconds,
// once, at Load.
const (
	maxDepth     = 128
	maxValues    = 400_000
	maxObjects   = 60_000
	maxSchemas   = 12_000 // objects that are schemas by position
	maxIDs       = 500    // $id, each of which is searched at every object
	maxOddRefs   = 200    // references to places that are no schema by position
	maxEnum      = 10_000 // values of one enum
	maxChain     = 200    // schemas that judge one value, each through the last
	maxErrorText = 2000
)

// home is where a standard's own files stand as addresses. Nothing is ever
// fetched from there; it lets one schema refer to another by its file name.
const home = "stile://standard/"

// A library is the schema documents that a standard holds, decoded.
type library struct {
	docs    map[string]any // by address, without fragment
	anchors []string       // addresses of every $dynamicAnchor
	root    string         // address of schema.json

	patterns patterns // compiled so far
}

// Load implements jsonschema.URLLoader over what the library holds. The
// meta-schemas come with the engine and are not asked for here.
func (l *library) Load(url string) (any, error) {
	if doc, ok := l.docs[url]; ok {
		return doc, nil
	}
	return nil, errClosed
}

var errClosed = errors.New("is not among the standard's files, and nothing is fetched from elsewhere; add it to schemas/ or name it in the manifest's resources")

func newLibrary(files map[string][]byte, resources map[string]string) (*library, error) {
	l := &library{docs: map[string]any{}, root: home + "schema.json", patterns: patterns{}}
	sv := survey{patterns: l.patterns, places: map[string]bool{}, refs: map[string]bool{}}
	decoded := map[string]any{}
	add := func(file string) error {
		if decoded[file] != nil {
			return nil
		}
		doc, err := strictjson.Decode(files[file], strictjson.Limits{Bytes: maxFile, Depth: maxDepth, Values: maxValues, WideNumbers: true})
		if err != nil {
			return fmt.Errorf("read %s: %w", clip(file), err)
		}
		switch doc.(type) {
		case map[string]any, bool:
		default:
			return fmt.Errorf("read %s: is not a JSON Schema, which is an object", clip(file))
		}
		decoded[file] = doc
		l.docs[home+file] = doc
		if dir, base := path.Split(file); dir == "schemas/" && base != "schema.json" {
			l.docs[home+base] = doc // publishers keep their schemas side by side
		}
		if id := ownID(doc); id != "" {
			// The first document with an address keeps it; two with one is a fault.
			if _, ok := l.docs[id]; ok {
				return fmt.Errorf("read %s: its $id is already that of another document", clip(file))
			}
			l.docs[id] = doc
		}
		if err := sv.walk(home+file, "", doc, true); err != nil {
			return fmt.Errorf("read %s: %w", clip(file), err)
		}
		return nil
	}
	if err := add("schema.json"); err != nil {
		return nil, err
	}
	for f := range files {
		if path.Dir(f) == "schemas" {
			if err := add(f); err != nil {
				return nil, err
			}
		}
	}
	for addr, f := range resources {
		if err := add(f); err != nil {
			return nil, err
		}
		addr, _, _ = strings.Cut(addr, "#")
		l.docs[addr] = decoded[f]
	}
	l.anchors = sv.anchors
	return l, sv.totals()
}

// ownID returns a document's $id, or id of draft 4, without its fragment.
func ownID(doc any) string {
	obj, _ := doc.(map[string]any)
	for _, k := range []string{"$id", "id"} {
		if s, ok := obj[k].(string); ok && strings.Contains(s, ":") {
			s, _, _ = strings.Cut(s, "#")
			return s
		}
	}
	return ""
}

// A survey counts what would be slow to compile.
type survey struct {
	objects, ids int
	anchors      []string
	patterns     patterns
	places       map[string]bool // schemas by position, as address#pointer
	refs         map[string]bool // local references, likewise
}

// schemaAt says which keywords hold schemas: themselves (1), one for each
// element (2) or member (3). A keyword may hold more than one kind in turn.
var schemaAt = map[string]uint8{
	"additionalItems": 1, "additionalProperties": 1, "contains": 1, "contentSchema": 1, "else": 1, "if": 1, "not": 1,
	"propertyNames": 1, "then": 1, "unevaluatedItems": 1, "unevaluatedProperties": 1, "items": 1,
	"allOf": 2, "anyOf": 2, "oneOf": 2, "prefixItems": 2,
	"$defs": 3, "definitions": 3, "dependencies": 3, "dependentSchemas": 3, "patternProperties": 3, "properties": 3,
}

func (sv *survey) walk(addr, ptr string, v any, schema bool) error {
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			if err := sv.walk(addr, ptr+"/"+strconv.Itoa(i), e, schema); err != nil {
				return err
			}
		}
	case map[string]any:
		if sv.objects++; sv.objects > maxObjects {
			return fmt.Errorf("schema has over %d objects", maxObjects)
		}
		if schema {
			if err := sv.schema(addr+"#"+ptr, v); err != nil {
				return fmt.Errorf("at %q: %w", clip(ptr), err)
			}
		}
		if _, ok := v["$id"].(string); ok {
			sv.ids++
		}
		if _, ok := v["$dynamicAnchor"].(string); ok {
			sv.anchors = append(sv.anchors, addr+"#"+ptr)
		}
		if r, ok := v["$ref"].(string); ok && strings.HasPrefix(r, "#/") {
			sv.refs[addr+r] = true
		}
		if e, ok := v["enum"].([]any); ok && len(e) > maxEnum {
			return fmt.Errorf("at %q: enum has over %d values", clip(ptr), maxEnum)
		}
		for k, e := range v {
			p := ptr + "/" + name.Escape(k)
			switch at := schemaAt[k]; {
			case at == 1 || at == 2 && schema:
				if err := sv.walk(addr, p, e, schema); err != nil {
					return err
				}
			case at == 3:
				members, ok := e.(map[string]any)
				if !ok {
					continue
				}
				for name2, s := range members {
					if err := sv.walk(addr, p+"/"+name.Escape(name2), s, schema); err != nil {
						return err
					}
				}
			default:
				if err := sv.walk(addr, p, e, false); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (sv *survey) schema(place string, v map[string]any) error {
	sv.places[place] = true
	if len(sv.places) > maxSchemas {
		return fmt.Errorf("there are over %d schemas", maxSchemas)
	}
	// The engine would say the same of a pattern at far greater length.
	if p, ok := v["pattern"].(string); ok {
		if _, err := sv.patterns.compile(p); err != nil {
			return err
		}
	}
	if ps, ok := v["patternProperties"].(map[string]any); ok {
		for p := range ps {
			if _, err := sv.patterns.compile(p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (sv *survey) totals() error {
	if sv.ids > maxIDs {
		return fmt.Errorf("schema has over %d $id", maxIDs)
	}
	odd := 0
	for r := range sv.refs {
		if !sv.places[r] {
			odd++
		}
	}
	if odd > maxOddRefs {
		return fmt.Errorf("schema refers to over %d places that hold no schema by position; put them under $defs", maxOddRefs)
	}
	return nil
}

// compile makes a graph of schemas, with every keyword still the engine's own.
func (l *library) compile(m *machine) (g *graph, err error) {
	defer func() {
		// The compiler is not ours and reads what strangers wrote.
		if r := recover(); r != nil {
			g, err = nil, errors.New("compile schema: the schema engine cannot read it")
		}
	}()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	for _, f := range ownFormats {
		c.RegisterFormat(f)
	}
	c.UseLoader(l)
	c.UseRegexpEngine(func(src string) (jsonschema.Regexp, error) {
		p, err := l.patterns.compile(src)
		if err != nil {
			return nil, err
		}
		return &watched{p, m}, nil
	})
	root, err := c.Compile(l.root)
	if err != nil {
		text := strings.ReplaceAll(err.Error(), home, "")
		if len(text) > maxErrorText {
			text = text[:maxErrorText] + "…"
		}
		return nil, fmt.Errorf("compile schema: %s", text)
	}
	g = newGraph()
	g.root = root
	g.visit(root)
	// What only a $dynamicRef reaches is hidden from a walk; ask for each by
	// its address. A place that is not a schema after all is none of ours.
	for _, a := range l.anchors {
		if s, err := c.Compile(a); err == nil {
			g.visit(s)
			g.dynamic[s.DynamicAnchor] = append(g.dynamic[s.DynamicAnchor], s)
		}
	}
	return g, nil
}
