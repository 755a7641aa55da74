package standard

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// Two compiled schemas are compared place by place: at each, everything that
// judges a value there whatever else it is (a schema, what it refers to and its
// allOf) is taken together, on either side, so that it does not matter how a
// publisher divides a schema into parts. Forms and conditions are matched with
// each other where they can be; where not, that is said.

// Caps on a comparison; beyond them it cannot tell.
const (
	maxPairs = 100_000   // pairs of places
	maxSames = 2_000_000 // pairs of schemas looked at for being the same
	maxNames = 1_000_000 // pairs of a member's name and a pattern, at one place
)

// A judges is the schemas that judge a value, every one of them.
type judges []*jsonschema.Schema

// A pair is a place in a record and what judges it in either version.
type pair struct {
	at   name.Field
	when string // under which condition, as a text to put before; "" always
	a, b judges
}

// A pairing is a comparison of schemas under way.
type pairing struct {
	c     *comparison
	todo  []pair
	seen  map[string]bool
	ids   map[*jsonschema.Schema]int
	shape map[*jsonschema.Schema]*shape
	alike map[[2]*jsonschema.Schema]bool
	steps int

	nothing string // what a schema asks that asks nothing by itself

	at   name.Field // of the pair in hand
	when string
}

// schemas compares the two schemas.
func (c *comparison) schemas() {
	if c.from.integrity == c.to.integrity {
		return
	}
	ga, errA := c.from.engine.graph()
	gb, errB := c.to.engine.graph()
	if errA != nil || errB != nil { // both compiled at Load
		c.say(Major, "", "cannot tell what changed in the schema", "")
		return
	}
	if x, y := ga.root.DraftVersion, gb.root.DraftVersion; x != y {
		c.say(Patch, "", fmt.Sprintf("the schema was written in JSON Schema %s and is in %s", draftName(x), draftName(y)), "")
	}
	if (ga.dynamicRefs() || gb.dynamicRefs()) && c.from.engine.lib.plain() != c.to.engine.lib.plain() {
		c.say(Major, "", "cannot tell whether it takes all that it did: a dynamic reference ($dynamicRef, $recursiveRef) means what the schemas around it say", unsure)
	}
	p := &pairing{
		c: c, seen: map[string]bool{}, ids: map[*jsonschema.Schema]int{}, shape: map[*jsonschema.Schema]*shape{},
		alike: map[[2]*jsonschema.Schema]bool{}, nothing: shapeOf(&jsonschema.Schema{}).own,
	}
	p.add("", "", judges{ga.root}, judges{gb.root})
	// Breadth first, so that what is shared is told at the shortest place.
	for n := 0; len(p.todo) > 0; n++ {
		if n == maxPairs || p.steps > maxSames {
			c.say(Major, "", "cannot tell whether more changed: the schemas are too large to compare throughout", "")
			break
		}
		next := p.todo[0]
		p.todo = p.todo[1:]
		p.compare(next)
	}
}

func draftName(v int) string {
	if v >= 2019 {
		return map[int]string{2019: "2019-09", 2020: "2020-12"}[v]
	}
	return "draft " + strconv.Itoa(v)
}

// graph compiles the schema once more, to be read.
func (e *engine) graph() (*graph, error) { return e.lib.compile() }

func (g *graph) dynamicRefs() bool {
	return slices.ContainsFunc(g.all, func(s *jsonschema.Schema) bool { return s.DynamicRef != nil || s.RecursiveRef != nil })
}

// plain is the text of every document without the words that are for people.
func (l *library) plain() string {
	words := []string{"title", "description", "$comment", "examples", "default", "deprecated"}
	var strip func(v any, schema bool) any
	strip = func(v any, schema bool) any {
		switch v := v.(type) {
		case []any:
			out := make([]any, len(v))
			for i, e := range v {
				out[i] = strip(e, schema)
			}
			return out
		case map[string]any:
			out := map[string]any{}
			for k, e := range v {
				switch members, isMap := e.(map[string]any); {
				case schema && slices.Contains(words, k):
				case schemaAt[k] == 3 && isMap:
					ms := map[string]any{}
					for n, m := range members {
						ms[n] = strip(m, schema)
					}
					out[k] = ms
				default:
					out[k] = strip(e, schemaAt[k] != 0 && schema)
				}
			}
			return out
		}
		return v
	}
	all := map[string]any{}
	for addr, doc := range l.docs {
		all[addr] = strip(doc, true)
	}
	return string(strictjson.Canonical(all))
}

// together adds what always judges the same value as js do.
func together(js judges) judges {
	var out judges
	for _, s := range js {
		if s != nil && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for i := 0; i < len(out); i++ {
		for _, s := range always(out[i]) {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}

// add puts a pair on the list, once.
func (p *pairing) add(at name.Field, when string, a, b judges) {
	a, b = together(a), together(b)
	if len(a)+len(b) == 0 {
		return
	}
	var key strings.Builder
	for _, side := range []judges{a, b} {
		ids := make([]int, 0, len(side))
		for _, s := range side {
			if p.ids[s] == 0 {
				p.ids[s] = len(p.ids) + 1
			}
			ids = append(ids, p.ids[s])
		}
		slices.Sort(ids)
		fmt.Fprint(&key, ids)
	}
	if len(at.Tokens()) > name.MaxFieldDepth || p.seen[key.String()] {
		return
	}
	p.seen[key.String()] = true
	p.todo = append(p.todo, pair{at, when, a, b})
}

func (p *pairing) say(level Level, at name.Field, what, why string) {
	p.c.say(level, string(at), p.when+what, why)
}

// A step tells a conjunct that came or went: what is asked on top can only
// refuse more, what is no longer asked can only take more.
func (p *pairing) tighter(what, why string) { p.say(Major, p.at, what, why) }
func (p *pairing) looser(what, why string)  { p.say(Minor, p.at, what, why) }

const unsure = "a record that was valid may no longer be"

func (p *pairing) compare(x pair) {
	p.at, p.when = x.at, x.when
	a, b := x.a, x.b
	switch fa, fb := a.forbid(), b.forbid(); {
	case fa && fb:
		return
	case fa:
		p.looser("may now be given", "")
		return
	case fb:
		p.tighter("may no longer be given", "")
		return
	}
	p.words(a, b)
	ka, kb := a.kinds(), b.kinds()
	if !p.values(a, b, ka, kb) {
		p.types(ka, kb)
	}
	both := ka & kb
	if both&isNumber != 0 || both&isInteger != 0 {
		p.numbers(a, b)
	}
	if both&isString != 0 {
		p.strings(a, b)
	}
	if both&isArray != 0 {
		p.arrays(a, b)
	}
	if both&isObject != 0 {
		p.objects(a, b)
	}
	p.forms(a, b)
}

func (js judges) forbid() bool {
	return slices.ContainsFunc(js, func(s *jsonschema.Schema) bool { return s.Bool != nil && !*s.Bool })
}

const anyKind = isNull | isBool | isNumber | isInteger | isString | isArray | isObject

// kinds returns the types that every schema takes; a number is an integer too.
func (js judges) kinds() kinds {
	k := anyKind
	for _, s := range js {
		if own := kindsOf(s.Types); own != 0 {
			if own&isNumber != 0 {
				own |= isInteger
			}
			k &= own
		}
	}
	return k
}

func (p *pairing) types(a, b kinds) {
	lost, won := a&^b, b&^a
	switch {
	case a == b:
	case a == anyKind:
		p.tighter("must now be "+b.words(), "it could be anything")
	case lost != 0:
		p.tighter(fmt.Sprintf("was %s and must now be %s", a.words(), b.words()), "")
	case b == anyKind:
		p.looser("may now be anything; it was "+a.words(), "")
	default:
		p.looser(fmt.Sprintf("may now also be %s", won.words()), "")
	}
}

// words notes what only people read.
func (p *pairing) words(a, b judges) {
	text := func(js judges) string {
		var out []string
		for _, s := range js {
			if s.Title+s.Description != "" {
				out = append(out, s.Title+"\n"+s.Description)
			}
		}
		slices.Sort(out)
		return strings.Join(out, "\n\n")
	}
	if text(a) != text(b) {
		p.say(Patch, p.at, "its title or description is reworded", "")
	}
	deprecated := func(s *jsonschema.Schema) bool { return s.Deprecated }
	if !slices.ContainsFunc(a, deprecated) && slices.ContainsFunc(b, deprecated) {
		p.looser("is now marked as one to stop using (deprecated)", "")
	}
}

// list returns the values that every enum and const allow, by canonical text,
// and whether there is any.
func (js judges) list(k kinds) (map[string]any, bool) {
	var out map[string]any
	limited := false
	narrow := func(list []any) {
		here := map[string]any{}
		for _, v := range list {
			t := kindOf(v)
			if k&t == 0 && (t != isNumber || k&isInteger == 0 || !integral(v)) {
				continue
			}
			key := "n"
			if d, ok := decimalOf(v); ok && t == isNumber {
				key += d.key()
			} else {
				key = string(strictjson.Canonical(v))
			}
			if _, ok := out[key]; ok || !limited {
				here[key] = v
			}
		}
		out, limited = here, true
	}
	for _, s := range js {
		if s.Enum != nil {
			narrow(s.Enum.Values)
		}
		if s.Const != nil {
			narrow([]any{*s.Const})
		}
	}
	return out, limited
}

// values compares lists of values. It reports true when both sides have one, so
// that their types need no further look.
func (p *pairing) values(a, b judges, ka, kb kinds) bool {
	la, isA := a.list(ka)
	lb, isB := b.list(kb)
	only := func(x, y map[string]any) string {
		vs := &values{}
		for _, k := range slices.Sorted(maps.Keys(x)) {
			if _, ok := y[k]; !ok {
				vs.list = append(vs.list, x[k])
			}
		}
		return vs.words()
	}
	switch {
	case isA && isB:
		if lost := only(la, lb); lost != "" {
			p.tighter("no longer takes: "+lost, "records that hold one of these become invalid")
		}
		if won := only(lb, la); won != "" {
			p.looser("now also takes: "+won, "")
		}
	case isB:
		p.tighter("must now be one of: "+only(lb, nil), "")
	case isA:
		p.looser("is no longer bound to a list of values", "")
	}
	return isA && isB
}

// sources compares sets of texts, such as patterns, each of which is asked.
func (p *pairing) sources(a, b []string, added, removed, changed string) {
	lost := slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
	won := slices.DeleteFunc(slices.Clone(b), func(s string) bool { return slices.Contains(a, s) })
	switch {
	case len(lost) > 0 && len(won) > 0:
		p.tighter(fmt.Sprintf(changed, clipText(strings.Join(won, " and "), 200), clipText(strings.Join(lost, " and "), 200)), "")
	case len(won) > 0:
		p.tighter(fmt.Sprintf(added, clipText(strings.Join(won, " and "), 200)), "")
	case len(lost) > 0:
		p.looser(fmt.Sprintf(removed, clipText(strings.Join(lost, " and "), 200)), "")
	}
}

func (p *pairing) strings(a, b judges) {
	patterns := func(js judges) (out []string) {
		for _, s := range js {
			if s.Pattern != nil {
				out = append(out, s.Pattern.String())
			}
		}
		return out
	}
	p.sources(patterns(a), patterns(b), "must now fit the pattern %s", "need no longer fit the pattern %s",
		"cannot tell whether the pattern %s takes all that %s did")
	// Where a manifest turned formats on or off, that is said of the manifest.
	if p.c.from.manifest.Formats == Assertion && p.c.to.manifest.Formats == Assertion {
		formats := func(js judges) (out []string) {
			for _, s := range js {
				if s.Format != nil {
					out = append(out, s.Format.Name)
				}
			}
			return out
		}
		p.sources(formats(a), formats(b), "must now be in the format %s", "need no longer be in the format %s",
			"must now be in the format %s; it was %s")
	}
	p.counts(a, b, "character", "hold", func(s *jsonschema.Schema) (lo, hi *int) { return s.MinLength, s.MaxLength })
}

// counts compares a least and a most number of something.
func (p *pairing) counts(a, b judges, thing, verb string, of func(*jsonschema.Schema) (lo, hi *int)) {
	ends := func(js judges) (lo, hi int) {
		hi = -1
		for _, s := range js {
			l, h := of(s)
			if l != nil {
				lo = max(lo, *l)
			}
			if h != nil && (hi < 0 || *h < hi) {
				hi = *h
			}
		}
		return lo, hi
	}
	la, ha := ends(a)
	lb, hb := ends(b)
	switch {
	case lb > la:
		p.tighter(fmt.Sprintf("must now %s at least %s; it was %d", verb, count(lb, thing), la), "")
	case lb < la:
		p.looser(fmt.Sprintf("may now %s as few as %s; it was %d", verb, count(lb, thing), la), "")
	}
	switch {
	case ha == hb:
	case hb >= 0 && ha < 0:
		p.tighter(fmt.Sprintf("may now %s at most %s; it was unlimited", verb, count(hb, thing)), "")
	case hb < 0:
		p.looser(fmt.Sprintf("may now %s any number; it was at most %s", verb, count(ha, thing)), "")
	case hb < ha:
		p.tighter(fmt.Sprintf("may now %s at most %s; it was %d", verb, count(hb, thing), ha), "")
	default:
		p.looser(fmt.Sprintf("may now %s up to %s; it was %d", verb, count(hb, thing), ha), "")
	}
}
