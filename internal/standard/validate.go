package standard

import (
	"slices"
	"strings"
)

// maxProblems is how many problems of one record are told.
const maxProblems = 50

// Rules of problems that are no fault of the record: it was not judged.
const (
	// RuleBudget: a verdict would take more steps than a record of its size may
	// spend. It may well be valid.
	RuleBudget = "budget"
	// RuleEngine: judging failed, which is a mistake of Stile's.
	RuleEngine = "engine"
)

// Unjudged reports whether what Validate returned is that it came to no verdict.
// Such a record is neither valid nor invalid: it is not taken, and it is not
// counted among those that are wrong.
func Unjudged(ps []Problem) bool {
	return len(ps) == 1 && (ps[0].Rule == RuleBudget || ps[0].Rule == RuleEngine)
}

// Validate judges a record, decoded by strictjson, and returns what is wrong
// with it, sorted by pointer, at most 50 problems; nil when it is valid.
//
// What it returns is a function of the record and the standard, the same on
// every machine. A validation that would take more steps than the record may
// spend (see [Standard.Cost]), some 0.1 s of work, ends there and then: the one
// problem is of the rule [RuleBudget] and says that the record was not judged
// (see [Unjudged]). Validate may be called concurrently.
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
// For every valid record, ValidateVisible of any part of it is nil. So it is nil,
// too, where judging would take more steps than the part may spend.
func (s *Standard) ValidateVisible(record any) []Problem { return s.judge(record, true) }

func (s *Standard) judge(record any, visible bool) []Problem {
	got := s.engine.judge(record, visible)
	switch {
	case got.valid, visible && (got.spent || got.broken):
		return nil
	case got.spent:
		return []Problem{{
			Rule: RuleBudget, Detail: "was not judged: to check it against this standard takes more work than a record of its size may cause",
			Fix: "nothing is known to be wrong with it. Tell the standard's publisher; stile standard lint says what is dear",
		}}
	case got.broken:
		return []Problem{{Rule: RuleEngine, Detail: "was not judged: Stile failed to check it against this standard", Fix: "nothing is known to be wrong with it. Report it to those who make Stile"}}
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

// Cost returns how many steps a verdict on a record takes and how many it may
// take. Both are a function of the record and the standard. With steps above
// limit the record is not judged.
func (s *Standard) Cost(record any) (steps, limit int) {
	got := s.engine.judge(record, false)
	return got.steps, got.limit
}
