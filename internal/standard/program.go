package standard

import (
	"net/url"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A program is a standard's schema made ready to judge records. It does not
// change, and any number of validations read it at once.
//
// The schema engine reads and compiles schemas; judging is ours. The engine
// tries every branch of a union, judges a value anew each time a schema comes
// to it, walks members in no order, and cannot be told to stop: a union of a
// hundred forms costs a hundred times one form, and the cost is another each
// time. See judging for what is done instead.
type program struct {
	root  *rule
	rules int
}

// A rule is one schema of a program.
type rule struct {
	id     int32
	home   int32 // the schema resource it stands in, for $dynamicRef; -1 where nothing asks
	always int8  // 1 the schema true, -1 false
	extra  bool  // it is what unevaluatedProperties says
	refs   bool  // a reference and nothing else, as drafts up to 7 have it
	marks  bool  // contains counts as looking at an element (2020-12)
	memo   bool  // come to from several places, so that a verdict is worth remembering
	loops  bool  // may come to itself at the same value
	scoped bool  // what it says hangs on where it was come from
	deep   bool  // asks other schemas; else it is a leaf

	leaf *node // what looks at the value alone

	ref   *rule
	dyn   *dynamicRef // $dynamicRef or $recursiveRef
	allOf []*rule
	anyOf *union
	oneOf *union
	not   *rule
	when  *rule // if
	then  *rule
	other *rule // else

	obj *objectRule
	arr *arrayRule
}

// A dynamicRef is a reference whose end hangs on the way to it.
type dynamicRef struct {
	to     *rule           // where it leads when nothing on the way says otherwise
	ends   map[int32]*rule // by the resource on the way, the outermost first
	always bool            // it leads to one place only
}

// An objectRule is the keywords about members.
type objectRule struct {
	min, max *int
	required []string
	needs    []need // sorted by member
	members  map[string]*rule
	patterns []namePattern // sorted by pattern
	others   *rule         // additionalProperties; nil: anything
	closed   bool          // additionalProperties is false
	names    *rule
	leftover *rule // unevaluatedProperties
}

// A need is what a member asks of the object it stands in.
type need struct {
	member  string
	rule    *rule
	members []string
	old     bool // by dependencies, not by dependentRequired
}

type namePattern struct {
	re   *pattern
	rule *rule
}

// An arrayRule is the keywords about elements.
type arrayRule struct {
	min, max *int
	unique   bool
	first    []*rule // of the elements in their positions
	rest     *rule   // of those after; nil: anything
	closed   bool    // there may be none after
	ordered  bool    // first was given, be it empty
	contains *rule
	few      *int // minContains
	many     *int // maxContains
	leftover *rule
}

// newProgram makes a program of the compiled schemas of g. scopes says in which
// schema resource each stands; it is asked only where a reference is dynamic.
func newProgram(g *graph, lib *library, formats Formats) *program {
	b := &builder{rules: make(map[*jsonschema.Schema]*rule, len(g.all)), formats: formats}
	for _, s := range g.all {
		b.rules[s] = &rule{id: int32(len(b.rules)), home: -1}
	}
	for _, s := range g.all {
		b.fill(b.rules[s], s)
	}
	b.dynamic(g, lib)
	p := &program{root: b.rules[g.root], rules: len(b.rules)}
	p.study(g, b)
	return p
}

// A builder is a newProgram under way.
type builder struct {
	rules   map[*jsonschema.Schema]*rule
	formats Formats
	dyns    []*jsonschema.Schema // with a dynamic reference
}

func (b *builder) list(ss []*jsonschema.Schema) []*rule {
	if len(ss) == 0 {
		return nil
	}
	out := make([]*rule, len(ss))
	for i, s := range ss {
		out[i] = b.rules[s]
	}
	return out
}

func (b *builder) fill(r *rule, s *jsonschema.Schema) {
	r.extra = strings.HasSuffix(s.Location, "/unevaluatedProperties")
	if s.Bool != nil {
		r.always = -1
		if *s.Bool {
			r.always = 1
		}
		return
	}
	r.ref = b.rules[s.Ref]
	if s.Ref != nil && s.DraftVersion < 2019 {
		r.refs, r.deep = true, true
		return
	}
	r.leaf = newNode(s, b.formats)
	r.marks = s.DraftVersion >= 2020
	r.allOf = b.list(s.AllOf)
	r.not, r.when, r.then, r.other = b.rules[s.Not], b.rules[s.If], b.rules[s.Then], b.rules[s.Else]
	if s.DynamicRef != nil || s.RecursiveRef != nil {
		b.dyns = append(b.dyns, s)
	}
	r.obj, r.arr = b.object(s), b.array(s)
	r.deep = r.ref != nil || r.allOf != nil || len(s.AnyOf)+len(s.OneOf) > 0 || r.not != nil || r.when != nil ||
		s.DynamicRef != nil || s.RecursiveRef != nil || r.obj != nil || r.arr != nil
}

func (b *builder) object(s *jsonschema.Schema) *objectRule {
	o := &objectRule{
		min: s.MinProperties, max: s.MaxProperties, required: s.Required,
		names: b.rules[s.PropertyNames], leftover: b.rules[s.UnevaluatedProperties],
	}
	for m, d := range s.Dependencies {
		switch d := d.(type) {
		case []string:
			o.needs = append(o.needs, need{member: m, members: d, old: true})
		case *jsonschema.Schema:
			o.needs = append(o.needs, need{member: m, rule: b.rules[d]})
		}
	}
	for m, d := range s.DependentSchemas {
		o.needs = append(o.needs, need{member: m, rule: b.rules[d]})
	}
	for m, d := range s.DependentRequired {
		o.needs = append(o.needs, need{member: m, members: d})
	}
	slices.SortFunc(o.needs, func(x, y need) int { return strings.Compare(x.member, y.member) })
	if len(s.Properties) > 0 {
		o.members = make(map[string]*rule, len(s.Properties))
		for m, p := range s.Properties {
			o.members[m] = b.rules[p]
		}
	}
	for re, p := range s.PatternProperties {
		o.patterns = append(o.patterns, namePattern{re.(*watched).pattern, b.rules[p]})
	}
	slices.SortFunc(o.patterns, func(x, y namePattern) int { return strings.Compare(x.re.source, y.re.source) })
	switch a := s.AdditionalProperties.(type) {
	case bool:
		o.closed = !a
		if a {
			o.others = alwaysTrue
		}
	case *jsonschema.Schema:
		o.others = b.rules[a]
	}
	if o.min == nil && o.max == nil && len(o.required) == 0 && o.needs == nil && o.members == nil && o.patterns == nil &&
		o.others == nil && !o.closed && o.names == nil && o.leftover == nil {
		return nil
	}
	return o
}

var alwaysTrue = &rule{always: 1, home: -1}

func (b *builder) array(s *jsonschema.Schema) *arrayRule {
	a := &arrayRule{min: s.MinItems, max: s.MaxItems, unique: s.UniqueItems, contains: b.rules[s.Contains], few: s.MinContains, many: s.MaxContains, leftover: b.rules[s.UnevaluatedItems]}
	if s.DraftVersion >= 2020 {
		a.first, a.rest = b.list(s.PrefixItems), b.rules[s.Items2020]
		a.ordered = a.first != nil
	} else {
		switch items := s.Items.(type) {
		case *jsonschema.Schema:
			a.rest = b.rules[items]
		case []*jsonschema.Schema:
			a.first, a.ordered = b.list(items), true
			switch more := s.AdditionalItems.(type) {
			case bool:
				a.closed = !more
				if more {
					a.rest = alwaysTrue
				}
			case *jsonschema.Schema:
				a.rest = b.rules[more]
			}
		}
	}
	if a.min == nil && a.max == nil && !a.unique && a.contains == nil && a.leftover == nil && !a.ordered && a.rest == nil && !a.closed {
		return nil
	}
	return a
}

// dynamic resolves what can be resolved of the dynamic references, and says of
// the rest, and of every schema on a way to them, in which resource it stands.
func (b *builder) dynamic(g *graph, lib *library) {
	if len(b.dyns) == 0 {
		return
	}
	homes := map[string]int32{}
	home := func(s *jsonschema.Schema) int32 {
		at := lib.resource(s.Location)
		if _, ok := homes[at]; !ok {
			homes[at] = int32(len(homes))
		}
		return homes[at]
	}
	anchors := map[string]map[int32]*rule{}
	roots := map[int32]*rule{} // of resources with $recursiveAnchor
	for _, s := range g.all {
		r := b.rules[s]
		r.home = home(s)
		if s.DynamicAnchor != "" {
			if anchors[s.DynamicAnchor] == nil {
				anchors[s.DynamicAnchor] = map[int32]*rule{}
			}
			anchors[s.DynamicAnchor][r.home] = r
		}
		if s.RecursiveAnchor && lib.resource(s.Location) == plainLocation(s.Location) {
			roots[r.home] = r
		}
	}
	for _, s := range b.dyns {
		d := &dynamicRef{always: true}
		if s.RecursiveRef != nil {
			d.to = b.rules[s.RecursiveRef]
			if s.RecursiveRef.RecursiveAnchor {
				d.ends = roots
			}
		} else {
			d.to = b.rules[s.DynamicRef.Ref]
			if a := s.DynamicRef.Anchor; a != "" && s.DynamicRef.Ref.DynamicAnchor == a {
				d.ends = anchors[a]
			}
		}
		for _, end := range d.ends {
			d.always = d.always && end == d.to
		}
		b.rules[s].dyn = d
	}
}

// plainLocation spells a schema's address without percent-encoding.
func plainLocation(loc string) string {
	addr, ptr, _ := strings.Cut(loc, "#")
	if p, err := url.PathUnescape(ptr); err == nil {
		ptr = p
	}
	return addr + "#" + ptr
}

// resource returns the address of the schema resource that the schema at loc
// stands in: the document, or the nearest schema around it with an $id.
func (l *library) resource(loc string) string {
	loc = plainLocation(loc)
	addr, ptr, _ := strings.Cut(loc, "#")
	for ids := l.ids[l.files[addr]]; ptr != "" && !ids[ptr]; {
		ptr = ptr[:max(strings.LastIndexByte(ptr, '/'), 0)]
	}
	return addr + "#" + ptr
}

// study finds what to know of each rule beforehand: whether it is come to from
// several places, whether it may come to itself at one value, whether it hangs
// on a dynamic reference, and which branch of a union can be the one.
func (p *program) study(g *graph, b *builder) {
	same := func(r *rule) []*rule { // judge the value that r judges
		next := append([]*rule{r.ref, r.not, r.when, r.then, r.other}, r.allOf...)
		if r.dyn != nil {
			next = append(next, r.dyn.to)
			for _, e := range r.dyn.ends {
				next = append(next, e)
			}
		}
		if r.obj != nil {
			for _, n := range r.obj.needs {
				next = append(next, n.rule)
			}
		}
		return next
	}
	byRule := make([]*jsonschema.Schema, len(b.rules))
	all := make([]*rule, len(b.rules))
	for s, r := range b.rules {
		byRule[r.id], all[r.id] = s, r
	}
	edges := make([][]*rule, len(all)) // at the same value
	every := make([][]*rule, len(all))
	for i, r := range all {
		s := byRule[i]
		for _, t := range append(append(same(r), b.list(s.AnyOf)...), b.list(s.OneOf)...) {
			if t != nil && t != alwaysTrue {
				edges[i] = append(edges[i], t)
			}
		}
		every[i] = slices.Clone(edges[i])
		for _, t := range below(s) {
			if t != nil {
				every[i] = append(every[i], b.rules[t])
			}
		}
	}
	// Come to from several places.
	times := make([]int, len(all))
	times[p.root.id]++
	for i := range all {
		for _, t := range every[i] {
			times[t.id]++
		}
	}
	// Hangs on a dynamic reference: whatever leads to one, by any way.
	back := make([][]int32, len(all))
	var todo []int32
	for i, r := range all {
		for _, t := range every[i] {
			back[t.id] = append(back[t.id], int32(i))
		}
		if r.dyn != nil && !r.dyn.always {
			r.scoped = true
			todo = append(todo, r.id)
		}
	}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, j := range back[i] {
			if !all[j].scoped {
				all[j].scoped = true
				todo = append(todo, j)
			}
		}
	}
	cycles(all, edges)
	for i, r := range all {
		r.memo = r.deep && times[i] > 1 && !r.scoped && !r.loops
	}
	for i, r := range all {
		s := byRule[i]
		if r.refs {
			continue
		}
		r.anyOf, r.oneOf = newUnion(b.list(s.AnyOf)), newUnion(b.list(s.OneOf))
	}
}

// cycles sets loops for every rule on a cycle of edges (Tarjan's components).
func cycles(all []*rule, edges [][]*rule) {
	index := make([]int, len(all))
	low := make([]int, len(all))
	open := make([]bool, len(all))
	var stack []*rule
	n := 0
	var visit func(r *rule)
	visit = func(r *rule) {
		n++
		index[r.id], low[r.id], open[r.id] = n, n, true
		stack = append(stack, r)
		for _, t := range edges[r.id] {
			r.loops = r.loops || t == r
			if index[t.id] == 0 {
				visit(t)
				low[r.id] = min(low[r.id], low[t.id])
			} else if open[t.id] {
				low[r.id] = min(low[r.id], index[t.id])
			}
		}
		if low[r.id] != index[r.id] {
			return
		}
		from := slices.Index(stack, r)
		for _, m := range stack[from:] {
			open[m.id] = false
			m.loops = m.loops || len(stack)-from > 1
		}
		stack = stack[:from]
	}
	for _, r := range all {
		if index[r.id] == 0 {
			visit(r)
		}
	}
}
