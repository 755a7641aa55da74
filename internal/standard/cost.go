package standard

import (
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/api"
)

// An ExampleCost is what judging a valid example costs, in steps (see
// [Standard.Cost]), and what a record like it would.
type ExampleCost = api.ExampleCost

// Costs returns what each valid example costs, by file. They are worked out
// anew: a moment for each example.
func (s *Standard) Costs() []ExampleCost {
	out := []ExampleCost{}
	for _, e := range s.valid {
		if e.Err != nil {
			continue
		}
		c := ExampleCost{File: e.File, Bytes: len(e.Text)}
		c.Steps, c.Limit = s.Cost(e.Record)
		c.UnjudgedAt = s.unjudgedAt(e)
		out = append(out, c)
	}
	return out
}

// unjudgedAt grows the lists of an example until it is judged no longer.
func (s *Standard) unjudgedAt(e Example) int {
	size := func(v any) int { return len(strictjson.Canonical(v)) }
	most := 1 << 20
	last := size(e.Record)
	for times := 2; last < most; times *= 2 {
		v := grown(e.Record, times)
		n := size(v)
		if n <= last { // it has no list
			return 0
		}
		if got := s.engine.judge(v, false); got.spent {
			return n
		}
		last = n
	}
	return 0
}

// grown returns v with every outermost list times as long, by its elements in
// turn.
func grown(v any, times int) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, 0, times*len(v))
		for range times {
			out = append(out, v...)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = grown(e, times)
		}
		return out
	}
	return v
}
