package opinion

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// What is passed on leaves under a text whose "origin" names the one it came under. Then the
// texts before are asked too, the first first: each names the next receiver in its "onward",
// by name or by a role of the directory, and the next agreement if it names any; there are
// no more steps than it says; the day is one of its; and every value that the token shows
// stands at or below a place in its "onward" fields.

// an onward is the heading of that name.
type onward struct {
	to, under []string
	fields    []name.Field
	steps     int
}

// pass reads the headings about passing on.
func (t *Text) pass(doc map[string]any) error {
	t.name, _ = doc["agreement"].(string)
	t.origin, _ = doc["origin"].(string)
	h, there := doc["onward"].(map[string]any)
	if !there {
		return nil
	}
	list := func(key string) (out []string) {
		all, _ := h[key].([]any)
		for _, e := range all {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	t.further = onward{to: list("to"), under: list("under"), steps: 1}
	for _, s := range list("fields") {
		t.further.fields = append(t.further.fields, name.Field(s))
	}
	if n, ok := h["steps"]; ok {
		s, ok := n.(interface{ String() string })
		if !ok {
			return errors.New("/onward/steps")
		}
		var err error
		if t.further.steps, err = strconv.Atoi(s.String()); err != nil {
			return errors.New("/onward/steps")
		}
	}
	return nil
}

// Passes reports, as a [*Disagreement], what keeps records that came under earlier texts, the
// first first, from going to a council under this one at an instant; nil when nothing does.
// role is what the council is in the directory.
func (t *Text) Passes(earlier []*Text, to name.Council, role string, now time.Time) error {
	if t.origin == "" {
		if len(earlier) > 0 {
			return &Disagreement{Rule: RuleOnward}
		}
		return nil
	}
	all := append(slices.Clone(earlier), t)
	if len(earlier) == 0 || all[0].origin != "" {
		return &Disagreement{Rule: RuleOnward}
	}
	day := now.UTC().Format(time.DateOnly)
	for i, e := range earlier {
		next := all[i+1]
		sender, _, _ := strings.Cut(next.name, "/")
		named := slices.Contains(e.further.to, string(to)) || role != "" && slices.Contains(e.further.to, "any "+strings.ReplaceAll(role, "-", " "))
		switch {
		case next.origin != e.name, e.line != next.line, !slices.Contains(e.to, sender), !named,
			len(e.further.under) > 0 && !slices.Contains(e.further.under, next.name),
			len(all)-1-i > e.further.steps:
			return &Disagreement{Rule: RuleOnward}
		case e.starts == "" || day < e.starts || e.ends != "" && day >= e.ends:
			return &Disagreement{Rule: RuleDay}
		}
	}
	return nil
}

// Further returns what of a record the text lets go on, whatever its rows: they picked it
// when it came.
func (t *Text) Further() *Text {
	return &Text{line: t.line, fields: t.further.fields, rows: func(*run) (any, error) { return true, nil }}
}
