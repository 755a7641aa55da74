package standard

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// forms compares what judges a value only perhaps: alternatives, conditions and
// what is ruled out.
func (p *pairing) forms(a, b judges) {
	p.match(field(a, ruledOut), field(b, ruledOut), "what it rules out (not)", p.same, nil)

	conds := func(js judges) (out []*jsonschema.Schema) {
		for _, s := range js {
			if s.If != nil && (s.Then != nil || s.Else != nil) {
				out = append(out, s)
			}
		}
		return out
	}
	p.match(conds(a), conds(b), "a condition (if, then)", func(x, y *jsonschema.Schema) bool {
		return p.same(x.If, y.If) && p.sameOrNil(x.Then, y.Then) && p.sameOrNil(x.Else, y.Else)
	}, func(x, y *jsonschema.Schema) bool {
		if !p.same(x.If, y.If) {
			return false
		}
		if when := condition(x.If); when != "" {
			p.add(p.at, p.when+when+": ", judges{x.Then}, judges{y.Then})
			p.add(p.at, p.when+"unless "+strings.TrimPrefix(when, "when ")+": ", judges{x.Else}, judges{y.Else})
		} else {
			p.add(p.at, p.when+"when a condition holds: ", judges{x.Then}, judges{y.Then})
			p.add(p.at, p.when+"when a condition does not hold: ", judges{x.Else}, judges{y.Else})
		}
		return true
	})

	p.choices(groups(a, anyOf), groups(b, anyOf), false)
	p.choices(groups(a, oneOf), groups(b, oneOf), true)

	dynamic := func(s *jsonschema.Schema) *jsonschema.Schema {
		if s.DynamicRef != nil {
			return s.DynamicRef.Ref
		}
		return s.RecursiveRef
	}
	p.match(field(a, dynamic), field(b, dynamic), "what a dynamic reference leads to", p.same, func(x, y *jsonschema.Schema) bool {
		p.add(p.at, p.when, judges{x}, judges{y})
		return true
	})
}

func ruledOut(s *jsonschema.Schema) *jsonschema.Schema { return s.Not }
func anyOf(s *jsonschema.Schema) []*jsonschema.Schema  { return s.AnyOf }
func oneOf(s *jsonschema.Schema) []*jsonschema.Schema  { return s.OneOf }

func groups(js judges, of func(*jsonschema.Schema) []*jsonschema.Schema) (out [][]*jsonschema.Schema) {
	for _, s := range js {
		if g := of(s); len(g) > 0 {
			out = append(out, g)
		}
	}
	return out
}

// match pairs off what is the same, then what together can go into; what is
// left came or went, or cannot be told.
func (p *pairing) match(a, b []*jsonschema.Schema, what string, same func(x, y *jsonschema.Schema) bool, into func(x, y *jsonschema.Schema) bool) {
	for _, fits := range []func(x, y *jsonschema.Schema) bool{same, into} {
		if fits == nil {
			continue
		}
		b = slices.Clone(b)
		a = slices.DeleteFunc(slices.Clone(a), func(x *jsonschema.Schema) bool {
			i := slices.IndexFunc(b, func(y *jsonschema.Schema) bool { return fits(x, y) })
			if i >= 0 {
				b = slices.Delete(b, i, i+1)
			}
			return i >= 0
		})
	}
	switch {
	case len(a) > 0 && len(b) > 0:
		p.say(Major, p.at, "cannot tell whether it takes all that it did: "+what+" changed", unsure)
	case len(b) > 0:
		p.tighter("is now judged by more: "+what+" is new", unsure)
	case len(a) > 0:
		p.looser("is now judged by less: "+what+" is gone", "")
	}
}

// choices compares groups of alternatives.
func (p *pairing) choices(a, b [][]*jsonschema.Schema, one bool) {
	rule := "anyOf"
	if one {
		rule = "oneOf"
	}
	b = slices.Clone(b)
	a = slices.DeleteFunc(slices.Clone(a), func(x []*jsonschema.Schema) bool {
		i := slices.IndexFunc(b, func(y []*jsonschema.Schema) bool { return p.sameAll(x, y) })
		if i >= 0 {
			b = slices.Delete(b, i, i+1)
		}
		return i >= 0
	})
	switch {
	case len(a) == len(b):
		for i := range a {
			p.branches(a[i], b[i], rule)
		}
	case len(a) == 0:
		p.tighter("must now fit one of several forms ("+rule+")", unsure)
	case len(b) == 0:
		p.looser("need no longer fit one of several forms ("+rule+")", "")
	default:
		p.say(Major, p.at, "cannot tell whether it takes all that it did: its forms ("+rule+") changed", unsure)
	}
}

// branches compares the forms of one group.
func (p *pairing) branches(a, b []*jsonschema.Schema, rule string) {
	all := b
	changed := false
	take := func(fits func(x, y *jsonschema.Schema) bool, put func(x, y *jsonschema.Schema)) {
		b = slices.Clone(b)
		a = slices.DeleteFunc(slices.Clone(a), func(x *jsonschema.Schema) bool {
			i := slices.IndexFunc(b, func(y *jsonschema.Schema) bool { return fits(x, y) })
			if i < 0 {
				return false
			}
			put(x, b[i])
			b = slices.Delete(b, i, i+1)
			return true
		})
	}
	form := func(x *jsonschema.Schema) string {
		if m := mark(x); m != "" {
			return fmt.Sprintf("in the form where %s: ", m)
		}
		if n := refName(x); n != "" {
			return fmt.Sprintf("in the form %q: ", n)
		}
		return "in one of its forms: "
	}
	pairUp := func(x, y *jsonschema.Schema) {
		changed = true
		p.add(p.at, p.when+form(x), judges{x}, judges{y})
	}
	take(p.same, func(x, y *jsonschema.Schema) {})
	take(func(x, y *jsonschema.Schema) bool { return mark(x) != "" && mark(x) == mark(y) }, pairUp)
	take(func(x, y *jsonschema.Schema) bool { return refName(x) != "" && refName(x) == refName(y) }, pairUp)
	take(func(x, y *jsonschema.Schema) bool {
		return x.Title != "" && x.Title == y.Title || judges{x}.onlyKind() != 0 && judges{x}.onlyKind() == judges{y}.onlyKind()
	}, pairUp)
	if len(a) == len(b) {
		take(func(x, y *jsonschema.Schema) bool { return true }, pairUp)
	}
	describe := func(x *jsonschema.Schema) string {
		if m := mark(x); m != "" {
			return "the one where " + m
		}
		if n := refName(x); n != "" {
			return strconv.Quote(n)
		}
		if k := together(judges{x}).kinds(); k != anyKind {
			return k.words()
		}
		return "one of " + strconv.Itoa(len(all))
	}
	for _, x := range a {
		p.tighter(fmt.Sprintf("one of its forms (%s) is gone: %s", rule, describe(x)), unsure)
	}
	for _, y := range b {
		changed = true
		p.looser(fmt.Sprintf("may take one more form (%s): %s", rule, describe(y)), "")
	}
	if rule == "oneOf" && changed && !apart(all) {
		p.say(Major, p.at, "cannot tell whether a record could now fit two of its forms, of which it may fit just one (oneOf)", unsure)
	}
}

// onlyKind returns the one type that js take, 0 when they take several.
func (js judges) onlyKind() kinds {
	k := together(js).kinds()
	if k == isNumber|isInteger {
		return isNumber
	}
	if k&(k-1) != 0 {
		return 0
	}
	return k
}

// marks returns the members that a form fixes to one value, by name.
func marks(s *jsonschema.Schema) map[string]string {
	out := map[string]string{}
	for _, s := range together(judges{s}) {
		for n, m := range s.Properties {
			if l, ok := together(judges{m}).list(anyKind); ok && len(l) == 1 {
				for _, v := range l {
					out[n] = string(strictjson.Canonical(v))
				}
			}
		}
	}
	return out
}

func mark(s *jsonschema.Schema) string {
	var out []string
	m := marks(s)
	for _, n := range slices.Sorted(maps.Keys(m)) {
		if len(out) == 3 {
			break
		}
		out = append(out, clip(n)+" is "+clipText(m[n], 80))
	}
	return strings.Join(out, " and ")
}

// refName is the last token of the address that a schema only refers to.
func refName(s *jsonschema.Schema) string {
	if s.Ref == nil {
		return ""
	}
	return clip(s.Ref.Location[strings.LastIndexAny(s.Ref.Location, "/#")+1:])
}

// apart reports whether no value can fit two of forms: each two differ in type,
// or in the value of a member that both require.
func apart(forms []*jsonschema.Schema) bool {
	type form struct {
		kinds kinds
		marks map[string]string
		list  map[string]any
	}
	var fs []form
	for _, s := range forms {
		js := together(judges{s})
		f := form{kinds: js.kinds(), marks: marks(s)}
		f.list, _ = js.list(anyKind)
		maps.DeleteFunc(f.marks, func(n, _ string) bool {
			return !slices.ContainsFunc(js, func(s *jsonschema.Schema) bool { return slices.Contains(s.Required, n) })
		})
		fs = append(fs, f)
	}
	if len(fs) > 500 {
		return false
	}
	differ := func(f, g form) bool {
		if f.kinds&g.kinds == 0 {
			return true
		}
		if f.list != nil && g.list != nil {
			shared := false
			for k := range f.list {
				_, ok := g.list[k]
				shared = shared || ok
			}
			return !shared
		}
		for n, v := range f.marks {
			if w, ok := g.marks[n]; ok && w != v && f.kinds|g.kinds == isObject {
				return true
			}
		}
		return false
	}
	for i := range fs {
		for j := range i {
			if !differ(fs[i], fs[j]) {
				return false
			}
		}
	}
	return true
}

// condition words an if that looks at fixed or given members; "" otherwise.
func condition(s *jsonschema.Schema) string {
	js := together(judges{s})
	if m := mark(s); m != "" {
		return "when " + m
	}
	for _, s := range js {
		if len(s.Required) > 0 && len(s.Properties) == 0 {
			return "when " + clipText(strings.Join(s.Required, ", "), 100) + " is given"
		}
	}
	return ""
}

// A shape is what a schema asks by itself, as a text, and the schemas in it.
type shape struct {
	own  string
	kids []kid
}

type kid struct {
	label  string
	schema *jsonschema.Schema
}

func (p *pairing) sameOrNil(a, b *jsonschema.Schema) bool {
	if a == nil || b == nil {
		return a == b
	}
	return p.same(a, b)
}

// same reports whether a and b ask the same of every value, as far as they are
// built alike; two that differ in build may still be.
func (p *pairing) same(a, b *jsonschema.Schema) bool {
	if r, ok := p.alike[[2]*jsonschema.Schema{a, b}]; ok {
		return r
	}
	// Whatever is met again on the way is taken to be the same: only a
	// difference that can be reached is one.
	assumed := map[[2]*jsonschema.Schema]bool{}
	todo := [][2]*jsonschema.Schema{{a, b}}
	for len(todo) > 0 {
		q := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		q[0], q[1] = p.bare(q[0]), p.bare(q[1])
		if r, ok := p.alike[q]; ok && r || assumed[q] {
			continue
		} else if ok {
			return p.differ(a, b)
		}
		if p.steps++; p.steps > maxSames {
			return false
		}
		assumed[q] = true
		x, y := p.shapeOf(q[0]), p.shapeOf(q[1])
		if x.own != y.own || len(x.kids) != len(y.kids) {
			return p.differ(a, b)
		}
		for i := range x.kids {
			if x.kids[i].label != y.kids[i].label {
				return p.differ(a, b)
			}
			todo = append(todo, [2]*jsonschema.Schema{x.kids[i].schema, y.kids[i].schema})
		}
	}
	maps.Copy(p.alike, assumed)
	p.alike[[2]*jsonschema.Schema{a, b}] = true
	return true
}

func (p *pairing) differ(a, b *jsonschema.Schema) bool {
	p.alike[[2]*jsonschema.Schema{a, b}] = false
	return false
}

// bare follows a schema that only refers.
func (p *pairing) bare(s *jsonschema.Schema) *jsonschema.Schema {
	for i := 0; i < maxChain && s.Ref != nil; i++ {
		if x := p.shapeOf(s); x.own != p.nothing || len(x.kids) != 1 {
			return s
		}
		s = s.Ref
	}
	return s
}

func (p *pairing) shapeOf(s *jsonschema.Schema) *shape {
	if p.shape[s] == nil {
		p.shape[s] = shapeOf(s)
	}
	return p.shape[s]
}

func shapeOf(s *jsonschema.Schema) *shape {
	sh := &shape{}
	var b strings.Builder
	put := func(label string, v any) { fmt.Fprintf(&b, "%s=%v;", label, v) }
	num := func(label string, n *int) {
		if n != nil {
			put(label, *n)
		}
	}
	if s.Bool != nil {
		put("bool", *s.Bool)
	}
	put("types", kindsOf(s.Types))
	js := judges{s}
	if l, ok := (judges{{Enum: s.Enum, Const: s.Const}}).list(anyKind); ok {
		put("list", strings.Join(slices.Sorted(maps.Keys(l)), "\n"))
	}
	lo, hi := js.limits()
	put("limits", lo.words()+" "+hi.words())
	if s.MultipleOf != nil {
		put("multipleOf", newBound(s.MultipleOf))
	}
	if s.Format != nil {
		put("format", s.Format.Name)
	}
	if s.Pattern != nil {
		put("pattern", s.Pattern)
	}
	put("required", strings.Join(slices.Sorted(slices.Values(s.Required)), "\n"))
	num("minLength", s.MinLength)
	num("maxLength", s.MaxLength)
	num("minItems", s.MinItems)
	num("maxItems", s.MaxItems)
	num("minContains", s.MinContains)
	num("maxContains", s.MaxContains)
	num("minProperties", s.MinProperties)
	num("maxProperties", s.MaxProperties)
	put("unique", s.UniqueItems)
	for _, n := range slices.Sorted(maps.Keys(s.DependentRequired)) {
		put("needs "+n, strings.Join(slices.Sorted(slices.Values(s.DependentRequired[n])), "\n"))
	}

	add := func(label string, v any) {
		switch v := v.(type) {
		case nil:
		case bool:
			put(label, v)
		case []string:
			put(label, strings.Join(slices.Sorted(slices.Values(v)), "\n"))
		case *jsonschema.Schema:
			if v != nil {
				sh.kids = append(sh.kids, kid{label, v})
			}
		case []*jsonschema.Schema:
			for i, e := range v {
				sh.kids = append(sh.kids, kid{label + strconv.Itoa(i), e})
			}
		}
	}
	add("$ref", s.Ref)
	add("$recursiveRef", s.RecursiveRef)
	if s.DynamicRef != nil {
		put("$dynamicRef", s.DynamicRef.Anchor)
		add("$dynamicRef", s.DynamicRef.Ref)
	}
	add("not", s.Not)
	add("allOf", s.AllOf)
	add("anyOf", s.AnyOf)
	add("oneOf", s.OneOf)
	add("if", s.If)
	add("then", s.Then)
	add("else", s.Else)
	add("propertyNames", s.PropertyNames)
	for _, n := range slices.Sorted(maps.Keys(s.Properties)) {
		add("properties/"+n, s.Properties[n])
	}
	byPattern := map[string]*jsonschema.Schema{}
	for re, m := range s.PatternProperties {
		byPattern[re.String()] = m
	}
	for _, n := range slices.Sorted(maps.Keys(byPattern)) {
		add("patternProperties/"+n, byPattern[n])
	}
	add("additionalProperties", s.AdditionalProperties)
	for _, n := range slices.Sorted(maps.Keys(s.Dependencies)) {
		add("dependencies/"+n, s.Dependencies[n])
	}
	for _, n := range slices.Sorted(maps.Keys(s.DependentSchemas)) {
		add("dependentSchemas/"+n, s.DependentSchemas[n])
	}
	add("unevaluatedProperties", s.UnevaluatedProperties)
	add("contains", s.Contains)
	add("items", s.Items)
	add("additionalItems", s.AdditionalItems)
	add("prefixItems", s.PrefixItems)
	add("items", s.Items2020)
	add("unevaluatedItems", s.UnevaluatedItems)
	sh.own = b.String()
	return sh
}
