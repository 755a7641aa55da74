package agreement

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// Under an agreement of mode aggregate nothing leaves but counts of records, and
// not every count: who knows how many are in one small group may know who.
//
// The rules are those that English statistics of single people go by. A group of
// fewer than ten is not shown: the threshold of ten observations that the Office
// for National Statistics holds research outputs to (ONS, "Policy on statistical
// disclosure control"; its research service's output guidance names ten). All
// other counts are rounded to the nearest five, as NHS Digital rounds, so that
// what is not shown cannot be had by taking the rest from a total: its secondary
// care statistics gave up suppressing a second cell by hand for it (NHS Digital,
// "Disclosure control methodology for Hospital Episode Statistics", 2018; its
// threshold is eight, ours the stricter ten).
//
// Three things are added. A total is made of the rounded figures that are shown,
// and never counted by itself. A group that is too small is not named either, so
// that nobody sees that it is there. And what was counted for a day is given again
// for the rest of it, so that asking before and after one change shows nothing.
const (
	CountThreshold = 10                   // the least count that is shown
	CountRounding  = 5                    // what is shown is a multiple of it
	MaxGroups      = 1000                 // groups, shown or not, that are counted
	MaxGroupFields = event.MaxGroupFields // fields counted by at once
	MaxGroupText   = 200                  // bytes of one group's value in one field
)

// ErrGroups: the fields have too many values to count by, or too long ones.
var ErrGroups = fmt.Errorf("records fall into more than %d groups, or into groups with long names: they are not fields to count by", MaxGroups)

// ErrCounts is wrapped by every error of ParseCounts.
var ErrCounts = errors.New("counts are malformed")

// A Group is one count that may leave.
type Group struct {
	Of    []*string `json:"of"` // the values at the fields counted by, in their order; nil where a record has none
	Count int       `json:"count"`
}

// Counts are what leaves. They are about one text of an agreement, one list of
// fields and one day. Body of the event:
//
//	{"agreement":"northmoor.gov.uk/planning","by":["/district"],"day":"2026-11-22","groups":[{"count":15,"of":["A"]}],"rounded":5,"threshold":10,"total":15,"version":1}
type Counts struct {
	Agreement name.Agreement
	Version   int
	Day       Date         // by UTC
	By        []name.Field // sorted, without repeats; none counts all records together
	Threshold int          // groups of fewer are not there
	Rounded   int          // all counts are multiples of it
	Groups    []Group      // by the texts of Of; never nil
	Total     int          // of the counts there are
}

// A Tally counts records by fields. The zero Tally is not ready; see NewTally.
type Tally struct {
	by []name.Field
	n  map[string]int // by the JSON of Group.Of
}

// NewTally returns a tally by fields, at most MaxGroupFields, sorted and without
// repeats.
func NewTally(by []name.Field) *Tally { return &Tally{by, map[string]int{}} }

// Add counts a record. It returns ErrGroups when the fields are not fit to count
// by; the tally is then of no use any more.
func (t *Tally) Add(record map[string]any) error {
	of := textsAt(record, t.by)
	list := make([]any, len(of))
	for i, s := range of {
		if s == nil {
			continue
		}
		if len(*s) > MaxGroupText {
			return ErrGroups
		}
		list[i] = *s
	}
	k := string(strictjson.Canonical(list))
	if t.n[k]++; len(t.n) > MaxGroups {
		return ErrGroups
	}
	return nil
}

// Counts returns what of the tally may leave under an agreement on a day.
func (t *Tally) Counts(a *Agreement, day Date) (Counts, error) {
	c := Counts{
		Agreement: a.Name, Version: a.Version, Day: day, By: t.by, Threshold: CountThreshold, Rounded: CountRounding, Groups: []Group{},
	}
	for k, n := range t.n {
		if n < CountThreshold {
			continue
		}
		g := Group{Count: (n + CountRounding/2) / CountRounding * CountRounding}
		if err := json.Unmarshal([]byte(k), &g.Of); err != nil {
			return Counts{}, fmt.Errorf("internal error: %w", err)
		}
		c.Groups = append(c.Groups, g)
		c.Total += g.Count
	}
	slices.SortFunc(c.Groups, func(x, y Group) int { return slices.CompareFunc(x.Of, y.Of, compareTexts) })
	return c, nil
}

func compareTexts(a, b *string) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return strings.Compare(*a, *b)
}

// Body returns the event's body as strictjson decodes it.
func (c Counts) Body() map[string]any {
	by, groups := make([]any, len(c.By)), make([]any, len(c.Groups))
	for i, f := range c.By {
		by[i] = string(f)
	}
	num := func(n int) json.Number { return json.Number(strconv.Itoa(n)) }
	for i, g := range c.Groups {
		of := make([]any, len(g.Of))
		for j, s := range g.Of {
			if s != nil {
				of[j] = *s
			}
		}
		groups[i] = map[string]any{"of": of, "count": num(g.Count)}
	}
	return map[string]any{
		"agreement": string(c.Agreement), "version": num(c.Version), "day": string(c.Day), "by": by,
		"threshold": num(c.Threshold), "rounded": num(c.Rounded), "groups": groups, "total": num(c.Total),
	}
}

// ParseCounts reads a body, by whomever it was written. What it returns is within
// the rules: no group below the threshold, which is at least ours; only multiples
// of five; a total of what is there; no group twice.
func ParseCounts(body any) (c Counts, err error) {
	m, ok := body.(map[string]any)
	if !ok {
		return Counts{}, badCounts("want an object")
	}
	if len(m) != 8 {
		return Counts{}, badCounts("want an object of 8 members")
	}
	if err := c.parseHead(m); err != nil {
		return Counts{}, err
	}
	groups, ok := m["groups"].([]any)
	if !ok || len(groups) > MaxGroups {
		return Counts{}, badCounts("groups")
	}
	c.Groups = make([]Group, 0, len(groups))
	total := 0
	for i, v := range groups {
		g, err := c.parseGroup(v)
		if err != nil {
			return Counts{}, err
		}
		if i > 0 && slices.CompareFunc(c.Groups[i-1].Of, g.Of, compareTexts) >= 0 {
			return Counts{}, badCounts("groups")
		}
		total += g.Count
		c.Groups = append(c.Groups, g)
	}
	if c.Total, ok = countOf(m["total"]); !ok || c.Total != total {
		return Counts{}, badCounts("total")
	}
	return c, nil
}

func badCounts(member string) error { return fmt.Errorf("%w: %s", ErrCounts, member) }

// countOf reads a number that is not negative and is spelt in the one way.
func countOf(v any) (int, bool) {
	s, _ := v.(json.Number)
	n, err := strconv.Atoi(string(s))
	return n, err == nil && n >= 0 && n < 1<<40 && strconv.Itoa(n) == string(s)
}

// parseHead reads everything but the groups and their total.
func (c *Counts) parseHead(m map[string]any) (err error) {
	text := func(k string) string { s, _ := m[k].(string); return s }
	if c.Agreement, err = name.ParseAgreement(text("agreement")); err != nil {
		return badCounts("agreement")
	}
	var ok bool
	if c.Version, ok = countOf(m["version"]); !ok || c.Version > MaxVersion {
		return badCounts("version")
	}
	if c.Day, err = ParseDate(text("day")); err != nil {
		return badCounts("day")
	}
	by, ok := m["by"].([]any)
	if !ok || len(by) > MaxGroupFields {
		return badCounts("by")
	}
	for i, v := range by {
		s, ok := v.(string)
		f, err := name.ParseField(s)
		if !ok || err != nil || i > 0 && f <= c.By[i-1] {
			return badCounts("by")
		}
		c.By = append(c.By, f)
	}
	if c.Threshold, ok = countOf(m["threshold"]); !ok || c.Threshold < CountThreshold {
		return badCounts("threshold")
	}
	if c.Rounded, ok = countOf(m["rounded"]); !ok || c.Rounded < CountRounding || c.Rounded%CountRounding != 0 {
		return badCounts("rounded")
	}
	return nil
}

// parseGroup reads one group, whose values are those of c.By in their order.
func (c *Counts) parseGroup(v any) (g Group, err error) {
	o, _ := v.(map[string]any)
	of, ok := o["of"].([]any)
	if !ok || len(o) != 2 || len(of) != len(c.By) {
		return g, badCounts("groups")
	}
	g.Of = make([]*string, len(of))
	for j, v := range of {
		s, ok := v.(string)
		if !ok && v != nil || len(s) > MaxGroupText {
			return g, badCounts("groups")
		}
		if ok {
			g.Of[j] = &s
		}
	}
	// A count is rounded, so that it may stand below a threshold that is no
	// multiple.
	if g.Count, ok = countOf(o["count"]); !ok || g.Count%c.Rounded != 0 || g.Count < CountThreshold {
		return g, badCounts("count")
	}
	return g, nil
}

// textsAt returns the texts of a record's values at fields, in their order; nil
// where there is none, or one that is a list or an object. The fields name no
// elements of arrays.
func textsAt(record map[string]any, by []name.Field) []*string {
	out := make([]*string, len(by))
	for i, f := range by {
		valuesAt(record, f.Tokens(), func(v any) {
			if s, ok := Text(v); ok {
				out[i] = &s
			}
		})
	}
	return out
}
