package standard

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
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
	maxFanOut    = 20_000 // schemas that judge one value, in all; the largest published one has 606
	maxErrorText = 2000
)

// home is where a standard's own files stand as addresses. Nothing is ever
// fetched from there; it lets one schema refer to another by its file name.
const home = "stile://standard/"

// A library is the schema documents that a standard holds, decoded.
type library struct {
	docs    map[string]any             // by address, without fragment
	files   map[string]string          // by address, which file the document is
	anchors map[string][]string        // by file, pointers of every $dynamicAnchor
	ids     map[string]map[string]bool // by file, pointers of every schema with a $id
	root    string                     // address of schema.json

	mu       sync.Mutex // one compile at a time
	patterns patterns   // compiled so far
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

// newLibrary reads the schema documents among files. With a flaw among those it
// reports, sorted and in part where there are very many, the library is not to
// be compiled.
func newLibrary(files map[string][]byte, resources map[string]string) (*library, []flaw) {
	l := &library{docs: map[string]any{}, files: map[string]string{}, root: home + "schema.json", patterns: patterns{}}
	sv := &survey{patterns: l.patterns, places: map[string]bool{}, refs: map[string]bool{}, anchors: map[string][]string{}, ids: map[string]map[string]bool{}}
	decoded := map[string]any{}
	add := func(file string) {
		if _, ok := decoded[file]; ok {
			return
		}
		sv.file = file
		doc, err := strictjson.Decode(files[file], schemaLimits())
		decoded[file] = doc
		if err != nil {
			sv.flaw("", err)
			return
		}
		switch doc.(type) {
		case map[string]any, bool:
		default:
			sv.flaw("", errNotSchema)
			return
		}
		mend(doc, true)
		l.put(home+file, file, doc)
		if dir, base := path.Split(file); dir == "schemas/" && base != "schema.json" {
			l.put(home+base, file, doc) // publishers keep their schemas side by side
		}
		if id := ownID(doc); id != "" {
			// The first document with an address keeps it; two with one is a fault.
			if _, ok := l.docs[id]; ok {
				sv.flaw("/$id", errors.New("its $id is already that of another document"))
			} else {
				l.put(id, file, doc)
			}
		}
		sv.walk(home+file, "", doc, true)
	}
	add("schema.json")
	for _, f := range slices.Sorted(maps.Keys(files)) {
		if path.Dir(f) == "schemas" {
			add(f)
		}
	}
	for _, addr := range slices.Sorted(maps.Keys(resources)) {
		f := resources[addr]
		add(f)
		addr, _, _ = strings.Cut(addr, "#")
		l.put(addr, f, decoded[f])
	}
	l.anchors, l.ids = sv.anchors, sv.ids
	sv.totals()
	slices.SortStableFunc(sv.flaws, func(a, b flaw) int {
		return cmp.Or(strings.Compare(a.file, b.file), strings.Compare(a.ptr, b.ptr))
	})
	return l, sv.flaws
}

var errNotSchema = errors.New("is not a JSON Schema, which is an object")

func schemaLimits() strictjson.Limits {
	return strictjson.Limits{Bytes: maxFile, Depth: maxDepth, Values: maxValues, WideNumbers: true}
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
	file            string // being walked
	flaws           []flaw
	stop            bool // too much to go on
	objects, withID int
	anchors         map[string][]string        // pointers of $dynamicAnchor, by file
	ids             map[string]map[string]bool // pointers of $id, by file
	patterns        patterns
	places          map[string]bool // schemas by position, as address#pointer
	refs            map[string]bool // local references, likewise
}

// maxFlaws is how many flaws a survey notes before it stops.
const maxFlaws = 100

func (sv *survey) flaw(ptr string, err error) {
	sv.flaws = append(sv.flaws, flaw{sv.file, ptr, err})
	sv.stop = sv.stop || len(sv.flaws) == maxFlaws
}

func (sv *survey) flood(err error) {
	sv.flaw("", err)
	sv.stop = true
}

// schemaAt says which keywords hold schemas: themselves (1), one for each
// element (2) or member (3). A keyword may hold more than one kind in turn.
var schemaAt = map[string]uint8{
	"additionalItems": 1, "additionalProperties": 1, "contains": 1, "contentSchema": 1, "else": 1, "if": 1, "not": 1,
	"propertyNames": 1, "then": 1, "unevaluatedItems": 1, "unevaluatedProperties": 1, "items": 1,
	"allOf": 2, "anyOf": 2, "oneOf": 2, "prefixItems": 2,
	"$defs": 3, "definitions": 3, "dependencies": 3, "dependentSchemas": 3, "patternProperties": 3, "properties": 3,
}

func (sv *survey) walk(addr, ptr string, v any, schema bool) {
	if sv.stop {
		return
	}
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			sv.walk(addr, ptr+"/"+strconv.Itoa(i), e, schema)
		}
	case map[string]any:
		if sv.objects++; sv.objects > maxObjects {
			sv.flood(fmt.Errorf("schema has over %d objects", maxObjects))
			return
		}
		if schema {
			sv.schema(addr, ptr, v)
		}
		if _, ok := v["$id"].(string); ok {
			sv.withID++
			if sv.ids[sv.file] == nil {
				sv.ids[sv.file] = map[string]bool{}
			}
			sv.ids[sv.file][ptr] = true
		}
		if _, ok := v["$dynamicAnchor"].(string); ok {
			sv.anchors[sv.file] = append(sv.anchors[sv.file], ptr)
		}
		if r, ok := v["$ref"].(string); ok && strings.HasPrefix(r, "#/") {
			sv.refs[addr+r] = true
		}
		if e, ok := v["enum"].([]any); ok && len(e) > maxEnum {
			sv.flaw(ptr, fmt.Errorf("enum has over %d values", maxEnum))
		}
		each(v, ptr, schema, func(p string, e any, schema bool) { sv.walk(addr, p, e, schema) })
	}
}

// each visits what stands in an object of a schema document, at ptr: a schema
// or something in which schemas stand, or another value. schema says whether
// the object itself is a schema by its position.
func each(v map[string]any, ptr string, schema bool, visit func(ptr string, v any, schema bool)) {
	for k, e := range v {
		p := ptr + "/" + name.Escape(k)
		switch at := schemaAt[k]; {
		case at == 1 || at == 2 && schema:
			visit(p, e, schema)
		case at == 3:
			members, _ := e.(map[string]any)
			for n, s := range members {
				visit(p+"/"+name.Escape(n), s, schema)
			}
		default:
			visit(p, e, false)
		}
	}
}

func (sv *survey) schema(addr, ptr string, v map[string]any) {
	sv.places[addr+"#"+ptr] = true
	if len(sv.places) > maxSchemas {
		sv.flood(fmt.Errorf("there are over %d schemas", maxSchemas))
		return
	}
	// The engine would say the same of a pattern at far greater length.
	if p, ok := v["pattern"].(string); ok {
		if _, err := sv.patterns.compile(p); err != nil {
			sv.flaw(ptr, err)
		}
	}
	if ps, ok := v["patternProperties"].(map[string]any); ok {
		for p := range ps {
			if _, err := sv.patterns.compile(p); err != nil {
				sv.flaw(ptr, err)
			}
		}
	}
}

func (sv *survey) totals() {
	sv.file = "schema.json"
	if sv.withID > maxIDs {
		sv.flood(fmt.Errorf("schema has over %d $id", maxIDs))
	}
	odd := 0
	for r := range sv.refs {
		if !sv.places[r] {
			odd++
		}
	}
	if odd > maxOddRefs && !sv.stop {
		sv.flood(fmt.Errorf("schema refers to over %d places that hold no schema by position; put them under $defs", maxOddRefs))
	}
}

// A compileError is the engine's refusal of a schema. Its text has been cut;
// the engine's own error holds all.
type compileError struct {
	text  string
	cause error
}

func (e *compileError) Error() string { return "compile schema: " + e.text }
func (e *compileError) Unwrap() error { return e.cause }

// compile makes a graph of schemas, with every keyword still the engine's own.
func (l *library) compile() (g *graph, err error) {
	defer func() {
		// The compiler is not ours and reads what strangers wrote.
		if r := recover(); r != nil {
			g, err = nil, errors.New("compile schema: the schema engine cannot read it")
		}
	}()
	l.mu.Lock()
	defer l.mu.Unlock()
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
		return &watched{p}, nil
	})
	root, err := c.Compile(l.root)
	if err != nil {
		text := strings.ReplaceAll(err.Error(), home, "")
		if len(text) > maxErrorText {
			text = text[:maxErrorText] + "…"
		}
		return nil, &compileError{text, err}
	}
	g = newGraph()
	g.root = root
	g.visit(root)
	// What only a $dynamicRef reaches is hidden from a walk; ask for each by its
	// address, in every document come to. A place that is not a schema after all
	// is none of ours.
	done := map[string]bool{}
	for i := 0; i < len(g.all); i++ {
		addr, _, _ := strings.Cut(g.all[i].Location, "#")
		if done[addr] {
			continue
		}
		done[addr] = true
		file := l.files[addr]
		for _, ptr := range slices.Sorted(slices.Values(l.anchors[file])) {
			if s, err := c.Compile(addr + "#" + strings.ReplaceAll(ptr, "%", "%25")); err == nil {
				g.visit(s)
				g.dynamic[s.DynamicAnchor] = append(g.dynamic[s.DynamicAnchor], s)
			}
		}
		for _, ptr := range append(slices.Sorted(maps.Keys(l.ids[file])), "") {
			if s, err := c.Compile(addr + "#" + strings.ReplaceAll(ptr, "%", "%25")); err == nil && s.RecursiveAnchor {
				g.visit(s)
			}
		}
	}
	return g, nil
}

// mend takes repeats out of the lists of names that JSON Schema wants each name
// once in. They mean nothing, and a compiler refuses the whole schema for them.
// Lint tells of them as errors, which a council may waive (see [Waivable]).
func mend(v any, schema bool) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			mend(e, schema)
		}
	case map[string]any:
		if schema {
			once(v, "required")
			for _, k := range []string{"dependentRequired", "dependencies"} {
				members, _ := v[k].(map[string]any)
				for m := range members {
					once(members, m)
				}
			}
		}
		each(v, "", schema, func(_ string, e any, schema bool) { mend(e, schema) })
	}
}

// once takes repeats out of v[k], when that is a list of texts.
func once(v map[string]any, k string) {
	list, ok := v[k].([]any)
	if !ok {
		return
	}
	seen := make(map[string]bool, len(list))
	out := make([]any, 0, len(list))
	for _, e := range list {
		s, isText := e.(string)
		if !isText {
			return
		}
		if !seen[s] {
			out = append(out, e)
		}
		seen[s] = true
	}
	v[k] = out
}

func (l *library) put(addr, file string, doc any) { l.docs[addr], l.files[addr] = doc, file }
