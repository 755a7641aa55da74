package standard

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/node/name"
)

// The rules of what [Standard.CheckMapping] finds.
const (
	// RuleMappingClass: a value would come to a place of a more open class than
	// it was held under. Records are not mapped where this is so.
	RuleMappingClass = "mapping-class"
	// RuleMappingSource: a step can never find anything.
	RuleMappingSource = "mapping-source"
	// RuleMappingTarget: a value ends where the new version has no place for it.
	RuleMappingTarget = "mapping-target"
	// RuleMappingValue: a value that the old version allows is not in the table,
	// or what the table gives is not in the new version's list.
	RuleMappingValue = "mapping-value"
	// RuleMappingExample: an example of the old version does not become a valid
	// record.
	RuleMappingExample = "mapping-example"
)

// Bounds on a check, whose files come from strangers: the places followed
// through a mapping, and how often it is asked whether there can be such a place.
const (
	maxFlows = 20_000
	maxAsked = 200_000
)

// CheckMapping tells what is wrong with the mapping that s ships from the major
// of an older version of the same standard; nil when nothing is, or there is no
// mapping. Problems point into the mapping's file, or name an example.
//
// A class that gets more open is found for certain. The other findings rest on
// what the two schemas close and list, so that a mapping without any may still
// make a record that is refused: every mapped record is validated.
func (s *Standard) CheckMapping(from *Standard) []Problem {
	m, ok := s.Mapping(from.Name().Version.Major)
	if !ok || from.Name().Name != s.Name().Name {
		return nil
	}
	c, err := newMapCheck(m, from, s)
	if err != nil { // both compiled at Load
		return []Problem{{Pointer: m.file, Rule: RuleMappingClass, Detail: "cannot be checked: " + err.Error(), Fix: "ask the standard's publisher"}}
	}
	c.steps()
	c.ends()
	c.examples()
	return c.problems
}

// A flow is a place of the old version and where the steps so far bring what
// stands there. A value at any place of a record is at, or below, the source of
// some flow, and goes where that goes.
type flow struct {
	src, at name.Field
	known   bool // the old schema names src
	added   int  // the step that adds a constant here, from 1; src is none then
	// gone is what was taken out from below, as it stands below at.
	gone []name.Field
}

func (f *flow) same(o flow) bool { return f.src == o.src && f.at == o.at && f.added == o.added }

// lacks reports whether what stood at a place below f was taken out.
func (f *flow) lacks(at name.Field) bool {
	return slices.ContainsFunc(f.gone, at[len(f.at):].Under)
}

type mapCheck struct {
	m        *Mapping
	from, to *Standard
	old, new atlas
	flows    []flow
	asked    int
	problems []Problem
}

// tooLarge reports that the check has given up; what it gives up on is refused.
func (c *mapCheck) tooLarge() bool { return len(c.flows) > maxFlows || c.asked > maxAsked }

func newMapCheck(m *Mapping, from, to *Standard) (*mapCheck, error) {
	c := &mapCheck{m: m, from: from, to: to}
	for _, x := range []struct {
		of   *Standard
		into *atlas
	}{{from, &c.old}, {to, &c.new}} {
		g, err := x.of.engine.graph()
		if err != nil {
			return nil, err
		}
		*x.into = atlas{together(judges{g.root})}
	}
	known := c.old.named()
	seen := map[name.Field]bool{}
	for _, f := range append([]name.Field{""}, known...) {
		c.flows, seen[f] = append(c.flows, flow{src: f, at: f, known: f != ""}), true
	}
	for _, f := range slices.Sorted(maps.Keys(from.manifest.Classes)) {
		if !seen[f] && c.old.mayHold(f) {
			c.flows = append(c.flows, flow{src: f, at: f})
		}
	}
	return c, nil
}

func (c *mapCheck) say(step int, rule, detail, fix string) {
	at := c.m.file
	if step > 0 {
		at = fmt.Sprintf("%s#/steps/%d", at, step-1)
	}
	c.problems = append(c.problems, Problem{Pointer: at, Rule: rule, Detail: detail, Fix: fix})
}

// split follows what may stand at f by itself from now on.
func (c *mapCheck) split(f name.Field) {
	for _, fl := range slices.Clone(c.flows) {
		if fl.at == f || !f.Under(fl.at) || fl.added > 0 || fl.lacks(f) {
			continue
		}
		if c.asked++; c.tooLarge() {
			return
		}
		n := flow{src: fl.src + f[len(fl.at):], at: f}
		for _, g := range fl.gone {
			if below := fl.at + g; below.Under(f) {
				n.gone = append(n.gone, below[len(f):])
			}
		}
		if !slices.ContainsFunc(c.flows, n.same) && c.old.mayHold(n.src) {
			c.flows = append(c.flows, n)
		}
	}
}

// steps follows the flows through the mapping.
func (c *mapCheck) steps() {
	for i := range c.m.steps {
		st := &c.m.steps[i]
		if st.verb == verbAdd {
			c.flows = append(c.flows, flow{at: st.at, added: i + 1})
			continue
		}
		c.split(st.at)
		if c.tooLarge() {
			return
		}
		there := map[[2]name.Field]bool{} // what is copied twice is one place
		if st.verb == verbCopy {
			for _, fl := range c.flows {
				there[[2]name.Field{fl.src, fl.at}] = true
			}
		}
		found := false
		for j := 0; j < len(c.flows); j++ {
			fl := c.flows[j]
			if !fl.at.Under(st.at) {
				if st.at.Under(fl.at) && (st.verb == verbMove || st.verb == verbRemove) {
					c.flows[j].gone = append(slices.Clip(fl.gone), st.at[len(fl.at):])
				}
				continue
			}
			found = true
			moved := fl
			moved.at = st.to + fl.at[len(st.at):]
			switch st.verb {
			case verbMove:
				c.flows[j] = moved
			case verbCopy:
				// What is copied stands outside the place, or the loop would
				// meet it again: to lies under at only where at holds no object.
				if there[[2]name.Field{moved.src, moved.at}] && moved.added == 0 {
					continue
				}
				if !moved.at.Under(st.at) {
					c.flows = append(c.flows, moved)
				} else {
					c.flows = slices.Insert(c.flows, 0, moved)
					j++
				}
			case verbRemove:
				c.flows = slices.Delete(c.flows, j, j+1)
				j--
			}
		}
		if !found {
			c.say(i+1, RuleMappingSource, fmt.Sprintf("%s: a record of %s has nothing there when the step is reached", st.words(), c.from.Name()), "mend the place, or leave the step out")
		}
		if st.verb == verbTranslate {
			c.table(i+1, st)
		}
	}
}

// table checks a translation against the values that the old version lists.
func (c *mapCheck) table(n int, st *step) {
	if st.keep {
		return
	}
	for _, fl := range c.flows {
		if fl.at != st.at || fl.added > 0 {
			continue
		}
		values, ok := c.old.at(fl.src).list(anyKind)
		if !ok {
			continue
		}
		var missing []string
		for _, v := range values {
			if text, isText := v.(string); isText {
				if _, ok := st.values[text]; !ok {
					missing = append(missing, clipText(text, 60))
				}
			}
		}
		if len(missing) > 0 {
			slices.Sort(missing)
			c.say(n, RuleMappingValue, fmt.Sprintf("%s: the table lacks what %s allows at %s: %s", st.words(), c.from.Name(), fl.src, few(missing)), "add them to the table, or say otherwise: keep")
		}
	}
}

// few joins the first of many texts.
func few(list []string) string {
	const most = 10
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}

// ends looks at where everything came to stand.
func (c *mapCheck) ends() {
	for _, f := range slices.Sorted(maps.Keys(c.to.manifest.Classes)) {
		c.split(f)
	}
	if c.tooLarge() {
		c.say(0, RuleMappingClass, "is too large to be checked", "use fewer steps, or name fewer places in the classes")
		return
	}
	slices.SortStableFunc(c.flows, func(a, b flow) int {
		if n := strings.Compare(string(a.at), string(b.at)); n != 0 {
			return n
		}
		return strings.Compare(string(a.src), string(b.src))
	})
	c.flows = slices.CompactFunc(c.flows, func(a, b flow) bool { return a.same(b) })
	lost := map[name.Field]bool{}
	for _, fl := range c.flows {
		if fl.at != "" && !c.new.mayHold(fl.at) {
			above := fl.at
			for above != "" && !lost[above] {
				above = parent(above)
			}
			if above != "" {
				continue
			}
			switch {
			case fl.added > 0:
				lost[fl.at] = true
				c.say(fl.added, RuleMappingTarget, fmt.Sprintf("%s has no place for what is added at %s", c.to.Name(), fl.at), "mend the place")
			case fl.known:
				lost[fl.at] = true
				where := string(fl.at)
				if fl.src != fl.at {
					where = fmt.Sprintf("%s, which comes from %s", fl.at, fl.src)
				}
				c.say(0, RuleMappingTarget, fmt.Sprintf("%s has no place for %s: a record that has it would be refused", c.to.Name(), where), "move or remove it")
			}
			continue
		}
		if fl.added > 0 || c.old.closed(fl.src) {
			continue
		}
		was, is := c.from.Class(fl.src), c.to.Class(fl.at)
		if slices.Index(classOrder, is) < slices.Index(classOrder, was) {
			what := fmt.Sprintf("what is %s at %s of %s would be %s", was, placeWords(fl.src), c.from.Name(), is)
			if fl.at != fl.src {
				what += " at " + placeWords(fl.at)
			}
			c.say(0, RuleMappingClass, what, "name a class there that is no more open, or remove the field in the mapping")
		}
	}
}

func placeWords(f name.Field) string {
	if f == "" {
		return "a place that nothing names"
	}
	return string(f)
}

// examples maps every example of the old version that is valid.
func (c *mapCheck) examples() {
	for _, e := range c.from.valid {
		if e.Err != nil || len(c.from.Validate(e.Record)) > 0 {
			continue
		}
		at := "examples/valid/" + strings.TrimPrefix(e.File, "examples/valid/")
		out, err := c.m.Apply(e.Record)
		if err != nil {
			var p *Problem
			if errors.As(err, &p) {
				c.problems = append(c.problems, Problem{Pointer: at + "#" + p.Pointer, Rule: RuleMappingExample, Detail: fmt.Sprintf("of %s %s", c.from.Name(), p.Detail), Fix: "mend the mapping"})
			}
			continue
		}
		ps := c.to.Validate(out)
		if len(ps) == 0 {
			if _, err := c.to.Key(out); err != nil {
				var p *Problem
				if errors.As(err, &p) {
					ps = append(ps, *p)
				}
			}
		}
		for _, p := range ps {
			c.problems = append(c.problems, Problem{
				Pointer: at + "#" + p.Pointer, Rule: RuleMappingExample,
				Detail: fmt.Sprintf("of %s, mapped, is refused: %s", c.from.Name(), p.Detail), Fix: "mend the mapping",
			})
		}
	}
}

// An atlas is a schema, asked which places a record that it takes can have.
type atlas struct{ root judges }

// at returns what judges the values at f, as far as it always does.
func (p atlas) at(f name.Field) judges {
	js, _ := p.walk(f)
	return js
}

// mayHold reports whether a record can have anything at f, or that it cannot be
// told.
func (p atlas) mayHold(f name.Field) bool {
	_, may := p.walk(f)
	return may
}

func (p atlas) walk(f name.Field) (judges, bool) {
	js := p.root
	for _, tok := range f.Tokens() {
		k := js.kinds()
		if tok == "*" {
			if k&isArray == 0 {
				return nil, false
			}
			var next judges
			all := true
			for i := range js.positions() + 1 {
				e := together(js.element(i))
				all = all && e.forbid()
				next = append(next, e...)
			}
			if all {
				return nil, false
			}
			if js.positions() > 0 {
				next = nil // what judges one position does not judge all
			}
			js = next
			continue
		}
		if k&isObject == 0 {
			return nil, false
		}
		next, named := js.member(tok)
		next = together(next)
		if next.forbid() || (!named && !js.sometimes(tok) && together(js.others()).forbid()) {
			return nil, false
		}
		js = next
	}
	return js, true
}

// closed reports whether everything that can stand below f is a place of its
// own: f is an object whose members are all named, or an array.
func (p atlas) closed(f name.Field) bool {
	js, may := p.walk(f)
	if !may || len(js) == 0 {
		return false
	}
	switch js.kinds() {
	case isArray:
		return true
	case isObject:
		return together(js.others()).forbid()
	}
	return f == "" && together(js.others()).forbid() // a record is an object
}

// named returns the places that the schema names, the shallow ones first.
func (p atlas) named() (out []name.Field) {
	const most = 5000
	type item struct {
		at name.Field
		js judges
	}
	seen := map[name.Field]bool{}
	for todo := []item{{"", p.root}}; len(todo) > 0 && len(out) < most; todo = todo[1:] {
		at, js := todo[0].at, todo[0].js
		// Forms and conditions name members too.
		all := slices.Clone(js)
		for i := 0; i < len(all) && i < 200; i++ {
			for _, s := range append(perhaps(all[i]), always(all[i])...) {
				if s != nil && !slices.Contains(all, s) {
					all = append(all, s)
				}
			}
		}
		below := map[string]bool{}
		for _, s := range all {
			for k := range s.Properties {
				below[k] = true
			}
			if s.Items != nil || s.Items2020 != nil || len(s.PrefixItems) > 0 {
				below["*"] = true
			}
		}
		for _, k := range slices.Sorted(maps.Keys(below)) {
			f, err := name.ParseField(string(at.Child(k)))
			if err != nil || seen[f] {
				continue
			}
			seen[f] = true
			if next, may := p.walk(f); may {
				out = append(out, f)
				todo = append(todo, item{f, next})
			}
		}
	}
	return out
}

// MayHold tells of several places at once whether a record of s can have
// anything there. What the schema does not close is true, and so is what cannot
// be told.
func (s *Standard) MayHold(fields []name.Field) ([]bool, error) {
	g, err := s.engine.graph()
	if err != nil {
		return nil, err
	}
	p := atlas{together(judges{g.root})}
	out := make([]bool, len(fields))
	for i, f := range fields {
		out[i] = p.mayHold(f)
	}
	return out, nil
}
