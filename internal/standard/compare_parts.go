package standard

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// limit is the strictest of several bounds on one side of a number.
type limit struct {
	at     *big.Rat // nil: none
	beyond bool     // the bound itself is out
}

func (l limit) words() string {
	if l.at == nil {
		return "unlimited"
	}
	s := newBound(l.at).String()
	if l.beyond {
		return s + " itself excluded"
	}
	return s
}

// limits returns the lower and the upper end.
func (js judges) limits() (lo, hi limit) {
	put := func(l *limit, r *big.Rat, beyond bool, sign int) {
		if r == nil {
			return
		}
		if l.at == nil || r.Cmp(l.at)*sign > 0 || (r.Cmp(l.at) == 0 && beyond) {
			*l = limit{r, beyond}
		}
	}
	for _, s := range js {
		put(&lo, s.Minimum, false, 1)
		put(&lo, s.ExclusiveMinimum, true, 1)
		put(&hi, s.Maximum, false, -1)
		put(&hi, s.ExclusiveMaximum, true, -1)
	}
	return lo, hi
}

func (p *pairing) numbers(a, b judges) {
	loA, hiA := a.limits()
	loB, hiB := b.limits()
	side := func(x, y limit, sign int, which string) {
		n := 0 // above 0: y is stricter
		switch {
		case x.at == nil && y.at == nil:
		case x.at == nil:
			n = 1
		case y.at == nil:
			n = -1
		default:
			if n = y.at.Cmp(x.at) * sign; n == 0 && x.beyond != y.beyond {
				n = -1
				if y.beyond {
					n = 1
				}
			}
		}
		text := fmt.Sprintf("its %s value was %s and is %s", which, x.words(), y.words())
		if n > 0 {
			p.tighter(text, "")
		} else if n < 0 {
			p.looser(text, "")
		}
	}
	side(loA, loB, 1, "least")
	side(hiA, hiB, -1, "greatest")

	steps := func(js judges) (out []*big.Rat) {
		for _, s := range js {
			if s.MultipleOf != nil {
				out = append(out, s.MultipleOf)
			}
		}
		return out
	}
	divides := func(x, y *big.Rat) bool { return new(big.Rat).Quo(y, x).IsInt() }
	implied := func(by, of []*big.Rat) bool { // every multiple of by is one of of
		return !slices.ContainsFunc(of, func(o *big.Rat) bool {
			return !slices.ContainsFunc(by, func(x *big.Rat) bool { return divides(o, x) })
		})
	}
	sa, sb := steps(a), steps(b)
	switch {
	case !implied(sa, sb):
		p.tighter("must now be a multiple of "+newBound(sb[0]).String(), "")
	case !implied(sb, sa):
		p.looser("need no longer be a multiple of "+newBound(sa[0]).String(), "")
	}
}

var falseSchema = func() *jsonschema.Schema { no := false; return &jsonschema.Schema{Bool: &no} }

func boolOr(v any) []*jsonschema.Schema {
	switch v := v.(type) {
	case bool:
		if !v {
			return judges{falseSchema()}
		}
	case *jsonschema.Schema:
		if v != nil {
			return judges{v}
		}
	}
	return nil
}

// element returns what judges the element at i; i beyond every list of
// positions is any further one.
func (js judges) element(i int) (out judges) {
	for _, s := range js {
		prefix := s.PrefixItems
		rest := boolOr(s.Items2020)
		switch items := s.Items.(type) {
		case []*jsonschema.Schema:
			prefix, rest = items, boolOr(s.AdditionalItems)
		case *jsonschema.Schema:
			rest = judges{items}
		}
		if i < len(prefix) {
			out = append(out, prefix[i])
		} else {
			out = append(out, rest...)
		}
	}
	return out
}

func (js judges) positions() (n int) {
	for _, s := range js {
		n = max(n, len(s.PrefixItems))
		if items, ok := s.Items.([]*jsonschema.Schema); ok {
			n = max(n, len(items))
		}
	}
	return n
}

func (p *pairing) arrays(a, b judges) {
	n := max(a.positions(), b.positions())
	for i := range n {
		p.add(p.at.Child(strconv.Itoa(i)), p.when, a.element(i), b.element(i))
	}
	p.add(p.at.Child("*"), p.when, a.element(n), b.element(n))
	p.counts(a, b, "entry", "list", func(s *jsonschema.Schema) (lo, hi *int) { return s.MinItems, s.MaxItems })
	unique := func(s *jsonschema.Schema) bool { return s.UniqueItems }
	switch ua, ub := slices.ContainsFunc(a, unique), slices.ContainsFunc(b, unique); {
	case ub && !ua:
		p.tighter("may no longer list anything twice", "")
	case ua && !ub:
		p.looser("may now list a thing twice", "")
	}
	contains := func(js judges) (out []*jsonschema.Schema) {
		for _, s := range js {
			if s.Contains != nil {
				out = append(out, s)
			}
		}
		return out
	}
	p.match(contains(a), contains(b), "what it must list some of", func(x, y *jsonschema.Schema) bool {
		return p.same(x.Contains, y.Contains) && equalInt(x.MinContains, y.MinContains) && equalInt(x.MaxContains, y.MaxContains)
	}, nil)
	// What unevaluatedItems speaks of depends on all the rest.
	rest := func(s *jsonschema.Schema) *jsonschema.Schema { return s.UnevaluatedItems }
	switch ua, ub := field(a, rest), field(b, rest); {
	case len(ub) > 0 && !p.sameAll(a, b):
		p.say(Major, p.at, "cannot tell whether it takes all that it did: which entries are left for unevaluatedItems depends on what else changed", unsure)
	case len(ua) > 0 && len(ub) == 0:
		p.looser("may now list further entries", "")
	}
}

// sameAll reports whether a and b are the same schemas, in any order.
func (p *pairing) sameAll(a, b []*jsonschema.Schema) bool {
	b = slices.Clone(b)
	for _, s := range a {
		i := slices.IndexFunc(b, func(t *jsonschema.Schema) bool { return p.same(s, t) })
		if i < 0 {
			return false
		}
		b = slices.Delete(b, i, i+1)
	}
	return len(b) == 0
}

// unevaluated looks at unevaluatedProperties, which speaks of what nothing else
// has looked at. That can be followed where it stands beside plain properties,
// and where forms and conditions stayed as they were.
func (p *pairing) unevaluated(a, b judges) {
	rest := func(s *jsonschema.Schema) *jsonschema.Schema { return s.UnevaluatedProperties }
	if len(field(a, rest)) > 0 && len(field(b, rest)) == 0 {
		p.looser("may now hold fields that nothing else speaks of (unevaluatedProperties is gone)", "")
	}
	if len(field(b, rest)) == 0 || p.sameAll(a, b) {
		return
	}
	parts := func(js judges) (out []*jsonschema.Schema) {
		for _, s := range js {
			for _, t := range perhaps(s) {
				if t != nil {
					out = append(out, t)
				}
			}
		}
		return out
	}
	plain := func(js judges) bool {
		for i, s := range js {
			if s.AdditionalProperties != nil || len(s.PatternProperties) > 0 || i > 0 && s.UnevaluatedProperties != nil {
				return false
			}
		}
		return true
	}
	if !plain(a) || !plain(b) || !p.sameAll(parts(a), parts(b)) || !p.sameAll(field(a, rest), field(b, rest)) {
		p.say(Major, p.at, "cannot tell whether it takes all that it did: which fields are left for unevaluatedProperties depends on what else changed", unsure)
	}
}

func equalInt(a, b *int) bool {
	return a == b || a != nil && b != nil && *a == *b
}

func field(js judges, of func(*jsonschema.Schema) *jsonschema.Schema) (out []*jsonschema.Schema) {
	for _, s := range js {
		if t := of(s); t != nil {
			out = append(out, t)
		}
	}
	return out
}

// member returns what judges the member n, and whether a schema names it.
func (js judges) member(n string) (out judges, named bool) {
	for _, s := range js {
		here := false
		if m := s.Properties[n]; m != nil {
			out, named, here = append(out, m), true, true
		}
		for re, m := range s.PatternProperties {
			if re.MatchString(n) {
				out, here = append(out, m), true
			}
		}
		if !here {
			out = append(out, boolOr(s.AdditionalProperties)...)
		}
	}
	return out, named
}

// others returns what judges a member that nothing names.
func (js judges) others() (out judges) {
	// What additionalProperties has looked at is left for nothing else.
	evaluated := slices.ContainsFunc(js, func(s *jsonschema.Schema) bool { return s.AdditionalProperties != nil })
	for _, s := range js {
		out = append(out, boolOr(s.AdditionalProperties)...)
		if u := s.UnevaluatedProperties; u != nil && !evaluated {
			out = append(out, u)
		}
	}
	return out
}

// sometimes reports whether a form or a condition of js names the member n.
func (js judges) sometimes(n string) bool {
	var todo, seen judges
	for _, s := range js {
		todo = append(todo, perhaps(s)...)
	}
	for len(todo) > 0 && len(seen) < 1000 {
		s := todo[0]
		todo = todo[1:]
		if s == nil || slices.Contains(seen, s) {
			continue
		}
		seen = append(seen, s)
		if s.Properties[n] != nil {
			return true
		}
		todo = append(append(todo, always(s)...), perhaps(s)...)
	}
	return false
}

func (p *pairing) objects(a, b judges) {
	closedA, closedB := together(a.others()).forbid(), together(b.others()).forbid()
	names := map[string]bool{}
	needA, needB := map[string]bool{}, map[string]bool{}
	patterns := 0
	for i, js := range []judges{a, b} {
		for _, s := range js {
			patterns += len(s.PatternProperties)
			for n := range s.Properties {
				names[n] = true
			}
			for _, n := range s.Required {
				names[n] = true
				[]map[string]bool{needA, needB}[i][n] = true
			}
		}
	}
	if len(names)*patterns > maxNames {
		p.say(Major, p.at, "cannot tell what changed: it has too many fields and patterns for names", unsure)
		return
	}
	type place struct {
		name  string
		judge judges
	}
	var gone, news []place
	for _, n := range slices.Sorted(maps.Keys(names)) {
		ja, inA := a.member(n)
		jb, inB := b.member(n)
		switch {
		case inA && !inB:
			gone = append(gone, place{n, ja})
		case inB && !inA:
			news = append(news, place{n, jb})
		default:
			p.add(p.at.Child(n), p.when, ja, jb)
		}
		at := p.at.Child(n)
		switch {
		case needB[n] && !needA[n] && !(inB && !inA):
			p.say(Major, at, "must now be given", "a record without it was valid")
		case needA[n] && !needB[n] && !(inA && !inB):
			p.say(Minor, at, "need no longer be given", "whoever reads it must be ready for a record without it")
		}
	}
	for _, g := range gone {
		at := p.at.Child(g.name)
		if b.sometimes(g.name) {
			p.say(Major, at, "cannot tell whether it means the same: it is now described only under a condition or in one of several forms", "")
			continue
		}
		p.c.gone[at] = p.when == ""
		what, why := "is no longer a field", "a record that gives it is refused"
		if !closedB {
			what, why = "is no longer described", "a record may still give it, unchecked; whoever reads it can no longer rely on it"
		}
		for _, nw := range news {
			if likelyRename(p, g.name, nw.name, g.judge, nw.judge) {
				what += fmt.Sprintf("; perhaps it is now called %q", clip(nw.name))
				break
			}
		}
		p.say(Major, at, what, why)
	}
	for _, nw := range news {
		at := p.at.Child(nw.name)
		if a.sometimes(nw.name) {
			p.say(Major, at, "cannot tell whether it means the same: it was described only under a condition or in one of several forms", "")
			continue
		}
		p.c.news[at] = p.when == ""
		switch class := p.c.to.Class(at); {
		case needB[nw.name]:
			p.say(Major, at, "is new and must be given", "no record has it yet")
		case !closedA:
			p.say(Minor, at, "is new ("+string(class)+")", "a record that already used this name for something of its own may no longer be valid")
		default:
			p.say(Minor, at, "is new ("+string(class)+")", "")
		}
	}
	switch {
	case closedB && !closedA:
		p.tighter("may no longer hold fields that the standard does not name", "a record that does was valid")
	case closedA && !closedB:
		p.looser("may now hold fields that the standard does not name", "nothing is known of them: they are "+string(p.c.to.Class(p.at))+" unless the manifest says otherwise")
	case !closedA:
		p.add(p.at, p.when+"in a field it does not name: ", a.others(), b.others())
	}
	p.namePatterns(a, b, closedA, closedB)
	p.add(p.at, p.when+"in the names of its fields: ", field(a, propertyNames), field(b, propertyNames))
	p.counts(a, b, "field", "hold", func(s *jsonschema.Schema) (lo, hi *int) { return s.MinProperties, s.MaxProperties })
	p.dependents(a, b)
	p.unevaluated(a, b)
}

func propertyNames(s *jsonschema.Schema) *jsonschema.Schema { return s.PropertyNames }

func (p *pairing) namePatterns(a, b judges, closedA, closedB bool) {
	of := func(js judges) map[string]judges {
		out := map[string]judges{}
		for _, s := range js {
			for re, m := range s.PatternProperties {
				out[re.String()] = append(out[re.String()], m)
			}
		}
		return out
	}
	pa, pb := of(a), of(b)
	for _, re := range slices.Sorted(maps.Keys(pa)) {
		short := clipText(re, 80)
		switch _, ok := pb[re]; {
		case ok:
			p.add(p.at, fmt.Sprintf("%sin a field whose name fits %s: ", p.when, short), pa[re], pb[re])
		case closedB || len(b.others()) > 0:
			p.tighter("fields whose name fits "+short+" are no longer described", "a record that gives one may be refused")
		default:
			p.looser("fields whose name fits "+short+" are no longer described", "")
		}
	}
	for _, re := range slices.Sorted(maps.Keys(pb)) {
		if _, ok := pa[re]; ok {
			continue
		}
		if closedA {
			p.looser("fields whose name fits "+clipText(re, 80)+" are new", "")
		} else {
			p.tighter("fields whose name fits "+clipText(re, 80)+" are now checked", unsure)
		}
	}
}

// dependents compares what a member, where it is given, asks on top.
func (p *pairing) dependents(a, b judges) {
	need := func(js judges) (map[string][]string, map[string]judges) {
		members, schemas := map[string][]string{}, map[string]judges{}
		for _, s := range js {
			for n, r := range s.DependentRequired {
				members[n] = append(members[n], r...)
			}
			for n, d := range s.DependentSchemas {
				schemas[n] = append(schemas[n], d)
			}
			for n, d := range s.Dependencies {
				switch d := d.(type) {
				case []string:
					members[n] = append(members[n], d...)
				case *jsonschema.Schema:
					schemas[n] = append(schemas[n], d)
				}
			}
		}
		return members, schemas
	}
	ma, sa := need(a)
	mb, sb := need(b)
	all := map[string]bool{}
	for _, m := range []map[string][]string{ma, mb} {
		for n := range m {
			all[n] = true
		}
	}
	for _, n := range slices.Sorted(maps.Keys(all)) {
		for _, r := range mb[n] {
			if !slices.Contains(ma[n], r) {
				p.say(Major, p.at.Child(r), fmt.Sprintf("must now be given when %q is", clip(n)), "")
			}
		}
		for _, r := range ma[n] {
			if !slices.Contains(mb[n], r) {
				p.say(Minor, p.at.Child(r), fmt.Sprintf("need no longer be given when %q is", clip(n)), "")
			}
		}
	}
	all = map[string]bool{}
	for _, m := range []map[string]judges{sa, sb} {
		for n := range m {
			all[n] = true
		}
	}
	for _, n := range slices.Sorted(maps.Keys(all)) {
		p.add(p.at, fmt.Sprintf("%swhen %q is given: ", p.when, clip(n)), sa[n], sb[n])
	}
}

// likelyRename guesses by what a person would look at: the same shape, and
// names or descriptions that are nearly the same.
func likelyRename(p *pairing, old, new string, a, b judges) bool {
	if len(a) != 1 || len(b) != 1 || !p.same(a[0], b[0]) {
		return false
	}
	if d := a[0].Description; d != "" && d == b[0].Description {
		return true
	}
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s))
	}
	x, y := plain(old), plain(new)
	return len(x) > 2 && len(y) > 2 && (strings.Contains(x, y) || strings.Contains(y, x) || distance(x, y) <= max(len(x), len(y))/4)
}

// distance is the number of letters to change (Levenshtein), of short texts.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return cmp.Compare(len(a), len(b)) + 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
