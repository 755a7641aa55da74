package standard

import (
	"slices"
	"strings"
)

// maxProblems is how many problems of one record are told.
const maxProblems = 50

// Validate judges a record, decoded by strictjson, and returns what is wrong
// with it, sorted by pointer, at most 50 problems; nil when it is valid.
//
// A validation that goes beyond its budget of steps, some 0.1 s, or one second
// of clock, ends there and then, and the record is refused with the rule
// "budget": no record can hold up others, nor count against those after it.
// Validate may be called concurrently; as many validations of one standard run
// at once as there are processors, up to eight.
func (s *Standard) Validate(record any) []Problem { return s.judge(record, false) }

// ValidateVisible judges what is visible of a record some of whose members or
// elements are withheld: absent, as if they had never been. It reports only
// what is wrong whatever was withheld, which is little and certain: type,
// format, pattern, lengths and bounds, enum and const of single values, the
// names of members, too many members or elements. It says nothing about
// required or dependent members, minimum counts, uniqueItems, elements by
// position, nor anything inside anyOf, oneOf, not, if, contains or
// unevaluated: a withheld part could explain it.
//
// For every valid record, ValidateVisible of any part of it is nil.
func (s *Standard) ValidateVisible(record any) []Problem { return s.judge(record, true) }

func (s *Standard) judge(record any, visible bool) []Problem {
	got := s.engine.judge(record, visible)
	switch {
	case got.spent:
		return []Problem{{Rule: "budget", Detail: "takes too long to check against this standard", Fix: "send a smaller record; if it is of an ordinary size, tell the standard's publisher"}}
	case got.broken:
		return []Problem{{Rule: "engine", Detail: "cannot be checked against this standard", Fix: "tell the standard's publisher"}}
	case got.valid:
		return nil
	case got.err == nil:
		return []Problem{{Rule: "schema", Detail: "does not fit the standard, in more ways than can be told", Fix: "compare it with the standard's examples"}}
	}
	out := explain(got.err)
	slices.SortFunc(out, func(a, b Problem) int {
		if c := strings.Compare(a.Pointer, b.Pointer); c != 0 {
			return c
		}
		if c := strings.Compare(a.Rule, b.Rule); c != 0 {
			return c
		}
		return strings.Compare(a.Detail, b.Detail)
	})
	out = slices.Compact(out)
	return out[:min(len(out), maxProblems)]
}
