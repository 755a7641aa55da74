package translation

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// Saying returns the translation with texts for places of our record that a file in their
// form may not say; what it does say goes before. Each set is a place and its text, such as
// "/council=E07000998".
func (t *Translation) Saying(sets []string) (*Translation, error) {
	with := *t
	with.said = map[string]string{}
	for _, set := range sets {
		place, text, ok := strings.Cut(set, "=")
		if !ok || text == "" {
			return nil, errors.New("want a place and a text, such as /council=E07000998")
		}
		if f, err := name.ParseField(place); err != nil || f == "" || strings.Contains(place, "*") {
			return nil, errors.New("want a place in the record, such as /council")
		}
		with.said[place] = text
	}
	return &with, nil
}

// In makes a record of our standard of one in their form, as it was decoded, and says what
// could not be taken, at most 50 problems. The record is without those fields then.
func (t *Translation) In(theirs any) (map[string]any, []Problem) {
	var problems []Problem
	rec, _ := read(t.Fields, theirs, "", &problems).(map[string]any)
	if rec == nil {
		rec = map[string]any{}
	}
	for place, text := range t.said {
		if to := name.Field(place).Tokens(); ours(rec, to) == nil {
			set(rec, to, text)
		}
	}
	return rec, problems
}

// read returns what fields make of something of theirs: an object, or for a field "." what
// it is itself; nil where nothing is there.
func read(fields []Field, theirs any, at string, problems *[]Problem) any {
	rec := map[string]any{}
	for _, f := range fields {
		if f.Ours == "" || f.Only == out {
			continue
		}
		to := name.Field(strings.TrimPrefix(f.Ours, ".")).Tokens()
		if len(to) > 0 && ours(rec, to) != nil {
			continue // a field above has it
		}
		bad := func(rule, detail, fix string) {
			if len(*problems) < maxProblems {
				*problems = append(*problems, Problem{at + strings.TrimPrefix(f.Ours, "."), f.Theirs, rule, detail, fix})
			}
		}
		v, several := find(theirs, f.theirs)
		if several > 0 { // told once of each list
			list := strings.Join(strings.Split(f.Theirs, "/")[:several+1], "/")
			p := Problem{at + strings.TrimPrefix(f.Ours, "."), list, RuleSeveral, "there are several, and a record has place for one", "give each an entry of its own"}
			if len(*problems) < maxProblems && !slices.ContainsFunc(*problems, func(q Problem) bool { return q.Rule == p.Rule && q.Theirs == list }) {
				*problems = append(*problems, p)
			}
			continue
		}
		if v == nil || v == "" {
			continue
		}
		if len(f.Each) > 0 {
			list, ok := v.([]any)
			if !ok {
				bad(RuleShape, "want a list", "")
				continue
			}
			var all []any
			for _, item := range list {
				if one := read(f.Each, item, fmt.Sprintf("%s%s/%d", at, f.Ours, len(all)), problems); one != nil {
					all = append(all, one)
				}
			}
			if len(all) == 0 {
				continue
			}
			v = all
		} else {
			var some bool
			if v, some = f.back(v, bad); !some {
				continue
			}
		}
		if len(to) == 0 {
			return v
		}
		set(rec, to, v)
	}
	if len(rec) == 0 {
		return nil
	}
	return rec
}

// back makes a value of ours of one of theirs, and reports whether there is one.
func (f *Field) back(v any, bad func(rule, detail, fix string)) (any, bool) {
	switch v.(type) {
	case string, bool, json.Number:
	default:
		bad(RuleShape, "want one value, and this is a list or an object", "")
		return nil, false
	}
	if len(f.Values) > 0 {
		for _, pair := range f.Values {
			if pair[1] == v {
				return pair[0], true
			}
		}
		if f.Unknown == "" {
			bad(RuleValue, "a value that the translation does not name", "add it to the values of this field in a translation of your own")
		}
		return nil, false
	}
	if f.As == dateTime {
		text, _ := v.(string)
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			bad(RuleDateTime, "not a time such as 2027-03-31T00:00:00Z", "")
			return nil, false
		}
		return when.Format(time.DateOnly), true
	}
	return v, true
}

// ours is what stands at a place in a record of ours; nil where nothing does.
func ours(v any, place []string) any {
	for _, token := range place {
		m, _ := v.(map[string]any)
		v = m[token]
	}
	return v
}

func set(rec map[string]any, place []string, v any) {
	for _, token := range place[:len(place)-1] {
		next, ok := rec[token].(map[string]any)
		if !ok {
			next = map[string]any{}
			rec[token] = next
		}
		rec = next
	}
	rec[place[len(place)-1]] = v
}
