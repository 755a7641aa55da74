package standard

import (
	"errors"
	"fmt"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A graph is every schema that a standard's root can lead to.
type graph struct {
	root    *jsonschema.Schema
	all     []*jsonschema.Schema
	seen    map[*jsonschema.Schema]bool
	dynamic map[string][]*jsonschema.Schema // by $dynamicAnchor
}

func newGraph() *graph {
	return &graph{seen: map[*jsonschema.Schema]bool{}, dynamic: map[string][]*jsonschema.Schema{}}
}

func (g *graph) visit(s *jsonschema.Schema) {
	todo := []*jsonschema.Schema{s}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if s == nil || g.seen[s] {
			continue
		}
		g.seen[s] = true
		g.all = append(g.all, s)
		todo = append(todo, always(s)...)
		todo = append(todo, perhaps(s)...)
		todo = append(todo, below(s)...)
	}
}

// always returns the schemas that judge whatever s judges.
func always(s *jsonschema.Schema) []*jsonschema.Schema {
	if s.Ref == nil {
		return s.AllOf
	}
	return append(slices.Clip(s.AllOf), s.Ref)
}

// perhaps returns the schemas that may judge what s judges.
func perhaps(s *jsonschema.Schema) []*jsonschema.Schema {
	out := []*jsonschema.Schema{s.RecursiveRef, s.Not, s.If, s.Then, s.Else}
	if s.DynamicRef != nil {
		out = append(out, s.DynamicRef.Ref)
	}
	out = append(out, s.AnyOf...)
	out = append(out, s.OneOf...)
	for _, d := range s.DependentSchemas {
		out = append(out, d)
	}
	for _, d := range s.Dependencies {
		if d, ok := d.(*jsonschema.Schema); ok {
			out = append(out, d)
		}
	}
	return out
}

// below returns the schemas that judge members and elements of what s judges.
func below(s *jsonschema.Schema) []*jsonschema.Schema {
	out := []*jsonschema.Schema{s.PropertyNames, s.UnevaluatedProperties, s.Contains, s.Items2020, s.UnevaluatedItems, s.ContentSchema}
	for _, p := range s.Properties {
		out = append(out, p)
	}
	for _, p := range s.PatternProperties {
		out = append(out, p)
	}
	for _, v := range []any{s.AdditionalProperties, s.AdditionalItems, s.Items} {
		switch v := v.(type) {
		case *jsonschema.Schema:
			out = append(out, v)
		case []*jsonschema.Schema:
			out = append(out, v...)
		}
	}
	return append(out, s.PrefixItems...)
}

var errEndless = errors.New("compile schema: a schema refers to itself without end")

// check refuses a schema that is defined by nothing but itself; chains so long
// that the engine, which calls itself at every link and at every level of a
// record, could run out of stack: that ends a Go program; and references that
// multiply, which would spend every record's budget.
func (g *graph) check() error {
	if g.longest(always) < 0 {
		return errEndless
	}
	chain := g.longest(func(s *jsonschema.Schema) []*jsonschema.Schema {
		next := append(slices.Clip(always(s)), perhaps(s)...)
		if s.DynamicRef != nil {
			next = append(next, g.dynamic[s.DynamicRef.Anchor]...)
		}
		return next
	})
	if chain < 0 {
		chain = -chain
	}
	if chain > maxChain {
		return fmt.Errorf("compile schema: over %d schemas judge one value, each through the last", maxChain)
	}
	if g.dearest(maxFanOut+1) > maxFanOut {
		return fmt.Errorf("compile schema: over %d schemas judge one value, counting each as often as it is referred to", maxFanOut)
	}
	return nil
}

// dearest returns how many schemas judge one value in the worst case, counting
// one as often as it is come to: where each of forty schemas refers twice to
// the next, that is 2^40. It never exceeds most. A cycle, which the engine
// itself ends, counts once round.
func (g *graph) dearest(most int) int {
	const underWay = -1
	cost := map[*jsonschema.Schema]int{}
	var visit func(s *jsonschema.Schema) int
	visit = func(s *jsonschema.Schema) int {
		switch c := cost[s]; c {
		case 0:
		case underWay:
			return 1
		default:
			return c
		}
		cost[s] = underWay
		sum := 1
		next := append(slices.Clip(always(s)), perhaps(s)...)
		if s.DynamicRef != nil {
			next = append(next, g.dynamic[s.DynamicRef.Anchor]...)
		}
		for _, t := range next {
			if t != nil {
				sum = min(sum+visit(t), most)
			}
		}
		cost[s] = sum
		return sum
	}
	worst := 0
	for _, s := range g.all {
		worst = max(worst, visit(s))
	}
	return worst
}

// longest returns a bound on the number of schemas on a path through next that
// meets none twice, negated if next has a cycle. It is exact without cycles;
// on a cycle it counts every schema of it (Tarjan's components, whose order is
// that of the paths reversed).
func (g *graph) longest(next func(*jsonschema.Schema) []*jsonschema.Schema) int {
	index := map[*jsonschema.Schema]int{}
	low := map[*jsonschema.Schema]int{}
	reach := map[*jsonschema.Schema]int{} // of closed components
	var stack []*jsonschema.Schema
	best, cycle := 0, false
	var visit func(s *jsonschema.Schema)
	visit = func(s *jsonschema.Schema) {
		index[s] = len(index) + 1
		low[s] = index[s]
		stack = append(stack, s)
		for _, t := range next(s) {
			if t == nil {
				continue
			}
			if t == s {
				cycle = true
			}
			if index[t] == 0 {
				visit(t)
				low[s] = min(low[s], low[t])
			} else if _, closed := reach[t]; !closed {
				low[s] = min(low[s], index[t])
			}
		}
		if low[s] != index[s] {
			return
		}
		from := slices.Index(stack, s)
		comp := stack[from:]
		if len(comp) > 1 {
			cycle = true
		}
		after := 0
		for _, m := range comp {
			for _, t := range next(m) {
				after = max(after, reach[t]) // 0 inside the component
			}
		}
		for _, m := range comp {
			reach[m] = after + len(comp)
		}
		best = max(best, after+len(comp))
		stack = stack[:from]
	}
	for _, s := range g.all {
		if index[s] == 0 {
			visit(s)
		}
	}
	if cycle {
		return -best
	}
	return best
}
