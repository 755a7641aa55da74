package agreement

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// Limits on asking by a value, for mode lookup.
const (
	MaxAsked  = 512 // bytes of a value that may be asked by; a record's longer ones are not found
	MaxValues = 64  // values of one record under all match fields together; those that follow are not found
)

// An Asked is a value of a record that a partner may ask by.
type Asked struct {
	Field name.Field // one of the agreement's match fields, as it is written there
	Value string     // see [Text]
}

// MayAskBy reports whether a partner may ask by a field.
func (a *Agreement) MayAskBy(f name.Field) bool {
	return a.Way().ByMatch && slices.Contains(a.Match, f)
}

// Asked returns what a record may be asked for by: its values at the match
// fields, in their order, without repeats, at most MaxValues. It does not ask
// whether the record matches.
func (t *Terms) Asked(record map[string]any) []Asked {
	if !t.agreement.Way().ByMatch {
		return nil
	}
	var out []Asked
	for _, f := range t.agreement.Match {
		valuesAt(record, f.Tokens(), func(v any) {
			s, ok := Text(v)
			if a := (Asked{f, s}); ok && s != "" && len(s) <= MaxAsked && len(out) < MaxValues && !slices.Contains(out, a) {
				out = append(out, a)
			}
		})
	}
	return out
}

// AskedCheckable reports whether what travels of a record shows its values at a
// match field, so that who asked by it can see that it was the one asked for.
func (t *Terms) AskedCheckable(f name.Field) bool {
	return t.agreement.MayAskBy(f) && t.tree.covers(f)
}

// GroupedBy returns what keeps records from being counted by some fields under
// the agreement; nil when they may be. It asks the classes of std, as Check does
// of all fields of an agreement of mode aggregate.
func (a *Agreement) GroupedBy(std *standard.Standard, by []name.Field) []Problem {
	ps, special := a.groupable(std, by)
	if special && len(by) > 2 {
		ps = append(ps, Problem{Pointer: "/fields", Rule: RuleGrouping, Detail: "special category data is counted with one other field at most", Fix: "count by fewer fields"})
	}
	return ps
}

// SummedBy is GroupedBy for fields whose numbers are to be summed in each group.
func (a *Agreement) SummedBy(std *standard.Standard, fields []name.Field) []Problem {
	ps, special := a.groupable(std, fields)
	if special {
		ps = append(ps, Problem{Pointer: "/fields", Rule: RuleGrouping, Detail: "special category data is counted and not summed", Fix: "count by it"})
	}
	return ps
}

// groupable returns what keeps each of some fields from being counted by, and whether
// one of them is special category data.
func (a *Agreement) groupable(std *standard.Standard, by []name.Field) (ps []Problem, special bool) {
	for _, f := range by {
		at := "/fields"
		say := func(rule, detail, fix string) {
			ps = append(ps, Problem{Pointer: at, Rule: rule, Detail: fmt.Sprintf("%s %s", shown(f), detail), Fix: fix})
		}
		if !slices.Contains(a.Fields, f) {
			say(RuleMode, "is not one that the agreement lets records be counted by", "count by fields that the agreement lists")
			continue
		}
		if f == "" || slices.Contains(f.Tokens(), "*") {
			say(RuleGrouping, "has no single value in a record", "list fields with one value in each record")
			continue
		}
		if c, ok := private(std, f); ok && a.headcount(c) {
			special = true
		} else if ok {
			fix := "list fields of class open or internal, or none"
			if c == standard.Special {
				fix += "; or name the article 9 condition, by which special category data is counted, in groups of " + strconv.Itoa(SpecialLeast) + " or more"
			}
			say(RuleGrouping, fmt.Sprintf("is %s data, and counts by it would speak of single people", c), fix)
		}
	}
	return ps, special
}

// headcount reports whether records may be counted by data of a class that is about
// people: special category data where the agreement names the condition for it. Nothing
// but larger groups of it are shown, see [Agreement.Least].
func (a *Agreement) headcount(c standard.Class) bool {
	return a.Way().Grouped && c == standard.Special && a.LawfulBasis.SpecialCondition != ""
}

// Least returns how many records a group has at the least that is shown of counts by
// some fields: more where one of them is special category data.
func (a *Agreement) Least(std *standard.Standard, by []name.Field) int {
	for _, f := range by {
		if _, ok := private(std, f); ok {
			return SpecialLeast
		}
	}
	return CountThreshold
}

// private returns the class of a field, or of something below it, that is about
// people.
func private(std *standard.Standard, f name.Field) (standard.Class, bool) {
	if c := std.Class(f); c.AboutPerson() {
		return c, true
	}
	named := std.Manifest().Classes
	for _, g := range slices.Sorted(maps.Keys(named)) {
		if g.Under(f) && named[g].AboutPerson() {
			return named[g], true
		}
	}
	return "", false
}

// Text returns how a single value is written where people ask by it: a string
// as it is, a number as RFC 8785 writes it, true or false. A null, a list and an
// object have no text.
func Text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		b, err := strictjson.AppendJCS(nil, v)
		return string(b), err == nil
	}
	return "", false
}

// valuesAt calls f with every value at a place; "*" is every element.
func valuesAt(v any, tokens []string, f func(any)) {
	if len(tokens) == 0 {
		f(v)
		return
	}
	switch c := v.(type) {
	case map[string]any:
		if m, ok := c[tokens[0]]; ok {
			valuesAt(m, tokens[1:], f)
		}
	case []any:
		if tokens[0] == "*" {
			for _, e := range c {
				valuesAt(e, tokens[1:], f)
			}
		}
	}
}
