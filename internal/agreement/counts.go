package agreement

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

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
// other counts are rounded to the nearest five, as NHS Digital rounds (NHS Digital,
// "Disclosure control methodology for Hospital Episode Statistics", 2018; its
// threshold is eight, ours the stricter ten).
//
// Three things are added for who compares. Where one group of a row or column is too
// small, another is left out with it, so that it cannot be had by taking the rest from
// a total. Before it is rounded a count is moved by up to four, by an amount that hangs
// on which records are in the group and on nothing else that changes: the same group has the
// same count whenever it is counted, so that nothing is gained by counting again, and one
// record more or less moves it anew, so that nothing is gained by subtracting. And what was counted
// first in a week is given again for the rest of it.
//
// Where the standard says which fields name a person, all records of one person count as one
// towards those bounds: ten notices about one household are no group of ten.
//
// A total is made of the figures that are shown, and never counted by itself. A group
// that is not shown is not named either, so that nobody sees that it is there.
const (
	CountThreshold = 10                   // the least count that is shown
	SpecialLeast   = 20                   // the same where a group is named by special category data
	CountRounding  = 5                    // what is shown is a multiple of it
	CountNoise     = 4                    // by so much at most a count is moved before that
	PeriodDays     = 7                    // for so many days what was counted is given again, from a Monday
	MaxGroups      = 1000                 // groups, shown or not, that are counted
	MaxGroupFields = event.MaxGroupFields // fields counted by at once
	MaxGroupText   = 200                  // bytes of one group's value in one field
)

// ErrGroups: the fields have too many values to count by, or too long ones, or hold a list or
// an object: counted as none, it would be told that nobody has any.
var ErrGroups = fmt.Errorf("records fall into more than %d groups, or into groups with long names, or hold a list there: they are not fields to count by", MaxGroups)

// ErrCounts is wrapped by every error of ParseCounts.
var ErrCounts = errors.New("counts are malformed")

// A Group is one count that may leave.
type Group struct {
	Of    []*string `json:"of"` // the values at the fields counted by, in their order; nil where a record has none
	Count int       `json:"count"`
	// Sums are those at the fields that are summed, in their order, to three digits; nil
	// where few records make up most of one.
	Sums []*int64 `json:"sums,omitempty"`
}

// Counts are what leaves. They are about one text of an agreement, one list of
// fields and one week. Body of the event:
//
//	{"agreement":"northmoor.gov.uk/planning","budget":{"of":150,"spent":7},"by":["/district"],"day":"2026-11-16",
//	 "groups":[{"count":15,"of":["A"],"sums":[120000]}],"rounded":5,"sums":["/amount"],"threshold":10,"total":15,"version":1}
//
// Counts that were made before there were sums and a budget have neither member.
type Counts struct {
	Agreement name.Agreement
	Version   int
	Day       Date         // by UTC: the first of the week
	By        []name.Field // sorted, without repeats; none counts all records together
	Sums      []name.Field // that are summed, sorted, without repeats
	Threshold int          // groups of fewer are not there
	Rounded   int          // all counts are multiples of it
	Groups    []Group      // by the texts of Of; never nil
	Total     int          // of the counts there are
	Budget    Budget
}

// A Budget is how many times records were counted under an agreement in a year, and how
// many times they may be; zero in counts of before there was one.
type Budget struct {
	Spent int `json:"spent"`
	Of    int `json:"of"`
}

// A Mix makes random-looking bytes of others, always the same of the same, which nobody
// can make without a secret.
type Mix func([]byte) [32]byte

// A Tally counts records by fields. The zero Tally is not ready; see NewTally.
type Tally struct {
	by, sums []name.Field
	mix      Mix
	least    int
	about    func(record map[string]any) string // see About; nil knows nobody
	n        map[string]*cell                   // by the JSON of Group.Of
}

// A cell is one group as it is counted.
type cell struct {
	n      int
	key    uint64 // of the records in it, whatever their order
	people map[uint64]bool
	nobody int // records that name nobody
	sums   []summed
	hidden bool
}

// size is how many records there are in a cell, those of one person as one: as many as can
// stand for it.
func (c *cell) size() int { return len(c.people) + c.nobody }

// summed is what a cell has at a field that is summed. What one person has in several records
// is one value in all but the total.
type summed struct {
	n             int
	key           uint64             // of the records and their values, whatever their order
	total, all    float64            // all is without signs
	first, second float64            // the two largest, without signs
	people        map[uint64]float64 // of each person, without signs, until it is settled
}

// NewTally returns a tally by fields, at most MaxGroupFields, sorted and without
// repeats, of groups of at least so many records, that sums others.
func NewTally(mix Mix, least int, by []name.Field, sums ...name.Field) *Tally {
	return &Tally{by: by, sums: sums, mix: mix, least: max(least, CountThreshold), n: map[string]*cell{}}
}

// About sets what says whom a record is about: a text that is the same for one person and no
// other, "" for nobody who is known. Ten records of one person are no group of ten.
func (t *Tally) About(person func(record map[string]any) string) { t.about = person }

// Add counts a record, whose id says which it is. It returns ErrGroups when the fields
// are not fit to count by; the tally is then of no use any more.
func (t *Tally) Add(id string, record map[string]any) error {
	of, ok := textsAt(record, t.by)
	if !ok {
		return ErrGroups
	}
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
	c := t.n[k]
	if c == nil {
		c = &cell{people: map[uint64]bool{}, sums: make([]summed, len(t.sums))}
		if t.n[k] = c; len(t.n) > MaxGroups {
			return ErrGroups
		}
	}
	h := t.mix([]byte("record\x00" + id))
	c.n++
	c.key += binary.BigEndian.Uint64(h[:])
	person, known := uint64(0), false
	if t.about != nil {
		if who := t.about(record); who != "" {
			h := t.mix([]byte("person\x00" + who))
			person, known = binary.BigEndian.Uint64(h[:]), true
		}
	}
	if known {
		c.people[person] = true
	} else {
		c.nobody++
	}
	for i, f := range t.sums {
		valuesAt(record, f.Tokens(), func(v any) {
			if n, ok := v.(json.Number); ok {
				if x, err := n.Float64(); err == nil {
					c.sums[i].add(x, person, known)
					h := t.mix(fmt.Appendf(nil, "value\x00%s\x00%s\x00%x", id, f, x))
					c.sums[i].key += binary.BigEndian.Uint64(h[:])
				}
			}
		})
	}
	return nil
}

func (s *summed) add(x float64, person uint64, known bool) {
	s.total += x
	if x = math.Abs(x); !known {
		s.weigh(x)
		return
	}
	if s.people == nil {
		s.people = map[uint64]float64{}
	}
	s.people[person] += x
}

// settle weighs what each person has in all.
func (s *summed) settle() {
	for _, k := range slices.Sorted(maps.Keys(s.people)) {
		s.weigh(s.people[k])
	}
	s.people = nil
}

// weigh takes in what one of those has who make up the sum.
func (s *summed) weigh(x float64) {
	s.n++
	s.all += x
	switch {
	case x > s.first:
		s.first, s.second = x, s.first
	case x > s.second:
		s.second = x
	}
}

// Counts returns what of the tally may leave under an agreement in the week that begins
// on a day.
func (t *Tally) Counts(a *Agreement, day Date, b Budget) (Counts, error) {
	c := Counts{
		Agreement: a.Name, Version: a.Version, Day: day, By: t.by, Sums: t.sums, Threshold: t.least, Rounded: CountRounding, Groups: []Group{}, Budget: b,
	}
	ofs := map[string][]*string{}
	for k, x := range t.n {
		var of []*string
		if err := json.Unmarshal([]byte(k), &of); err != nil {
			return Counts{}, fmt.Errorf("internal error: %w", err)
		}
		ofs[k], x.hidden = of, x.size() < t.least
		for i := range x.sums {
			x.sums[i].settle()
		}
	}
	t.complement(ofs)
	for k, x := range t.n {
		if x.hidden {
			continue
		}
		h := t.noise(a, k, x)
		n := x.n + int(binary.BigEndian.Uint64(h[:])%(2*CountNoise+1)) - CountNoise
		g := Group{Of: ofs[k], Count: (n + CountRounding/2) / CountRounding * CountRounding}
		if n < t.least || g.Count < t.least {
			continue
		}
		for i := range x.sums {
			// It hangs on the values, too: were it the same when one record of the cell changes its
			// value, what it changed by could be had by subtracting.
			hs := t.mix(fmt.Appendf(nil, "sum\x00%x\x00%d\x00%s", h, x.sums[i].key, t.sums[i]))
			g.Sums = append(g.Sums, x.sums[i].shown(t.least, hs[:]))
		}
		c.Groups = append(c.Groups, g)
		c.Total += g.Count
	}
	slices.SortFunc(c.Groups, func(x, y Group) int { return slices.CompareFunc(x.Of, y.Of, compareTexts) })
	return c, nil
}

// noise returns what moves the figures of a cell. It hangs on the records in the cell,
// on what the cell is called and on which records the agreement picks by which rule, so that
// it is the same to all who ask for that; and not on the agreement's name, nor on the day.
func (t *Tally) noise(a *Agreement, k string, x *cell) [32]byte {
	b := binary.BigEndian.AppendUint64([]byte("cell\x00"), x.key)
	for _, f := range t.by {
		b = append(append(b, f...), 0)
	}
	return t.mix(fmt.Appendf(b, "%s\x00%s\x00%s", k, a.Standard, a.Rows))
}

// complement hides a second group where one alone is hidden of those that differ in one
// field only, or where those that are hidden are fewer records together than may be
// shown: the smallest that is left, until there is no such place.
func (t *Tally) complement(ofs map[string][]*string) {
	lines := make([]map[string][]string, len(t.by)) // by field, then by all other values: the cells
	for i := range lines {
		lines[i] = map[string][]string{}
		for _, k := range slices.Sorted(maps.Keys(ofs)) {
			rest := slices.Clone(ofs[k])
			rest[i] = nil
			b, _ := json.Marshal(rest) // of texts alone: it cannot fail
			line := string(b)
			lines[i][line] = append(lines[i][line], k)
		}
	}
	for again := true; again; {
		again = false
		for i := range lines {
			for _, line := range slices.Sorted(maps.Keys(lines[i])) {
				hidden, records, least := 0, 0, ""
				for _, k := range lines[i][line] {
					switch x := t.n[k]; {
					case x.hidden:
						hidden, records = hidden+1, records+x.size()
					case least == "" || x.size() < t.n[least].size():
						least = k
					}
				}
				if hidden > 0 && least != "" && (hidden == 1 || records < t.least) {
					t.n[least].hidden, again = true, true
				}
			}
		}
	}
}

// Of what makes up a sum: the largest is at most half of it, and what is left without
// the two largest at least dominantRest of the largest, so that the second cannot
// reckon the first.
const dominantRest = 0.15

// shown returns a sum as it may leave: moved by half to all of the largest value in it,
// up or down, and then to three digits; nil when too few make it up.
func (s *summed) shown(least int, h []byte) *int64 {
	if s.n < least || s.first > s.all/2 || s.all-s.first-s.second < dominantRest*s.first {
		return nil
	}
	by := 0.5 + float64(binary.BigEndian.Uint16(h))/float64(1<<17)
	if h[2]&1 == 1 {
		by = -by
	}
	x := s.total + by*s.first
	unit := 1.0
	for math.Abs(x)/unit >= 1000 {
		unit *= 10
	}
	if x = math.Round(x/unit) * unit; !(math.Abs(x) <= maxSum) { // nor is it infinite, or no number
		return nil
	}
	n := int64(x)
	return &n
}

// maxSum is the most that a sum can be: 2^53, below which every whole number can be
// written.
const maxSum = 1 << 53

// Period returns the first day of the week that an instant is in, from Monday, by UTC.
// The first week begins on 1 January 2000: a [Date] knows no earlier day.
func Period(at time.Time) time.Time {
	day := at.UTC().Truncate(24 * time.Hour)
	day = day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
	if first := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC); day.Before(first) {
		return first
	}
	return day
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
		m := map[string]any{"of": of, "count": num(g.Count)}
		if len(c.Sums) > 0 {
			sums := make([]any, len(g.Sums))
			for j, n := range g.Sums {
				if n != nil {
					sums[j] = json.Number(strconv.FormatInt(*n, 10))
				}
			}
			m["sums"] = sums
		}
		groups[i] = m
	}
	body := map[string]any{
		"agreement": string(c.Agreement), "version": num(c.Version), "day": string(c.Day), "by": by,
		"threshold": num(c.Threshold), "rounded": num(c.Rounded), "groups": groups, "total": num(c.Total),
	}
	if c.Budget.Of > 0 {
		sums := make([]any, len(c.Sums))
		for i, f := range c.Sums {
			sums[i] = string(f)
		}
		body["sums"], body["budget"] = sums, map[string]any{"of": num(c.Budget.Of), "spent": num(c.Budget.Spent)}
	}
	return body
}

// ParseCounts reads a body, by whomever it was written. What it returns is within
// the rules: no group below the threshold, which is at least ours; only multiples
// of five; a total of what is there; no group twice.
func ParseCounts(body any) (c Counts, err error) {
	m, ok := body.(map[string]any)
	if !ok {
		return Counts{}, badCounts("want an object")
	}
	if len(m) != 8 && len(m) != 10 {
		return Counts{}, badCounts("want an object of 10 members")
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
	if c.By, ok = fieldsOf(m["by"]); !ok {
		return badCounts("by")
	}
	if len(m) == 10 {
		if c.Sums, ok = fieldsOf(m["sums"]); !ok {
			return badCounts("sums")
		}
		b, _ := m["budget"].(map[string]any)
		spent, ok := countOf(b["spent"])
		of, ok2 := countOf(b["of"])
		if !ok || !ok2 || of == 0 || len(b) != 2 {
			return badCounts("budget")
		}
		c.Budget = Budget{Spent: spent, Of: of}
	}
	if c.Threshold, ok = countOf(m["threshold"]); !ok || c.Threshold < CountThreshold {
		return badCounts("threshold")
	}
	if c.Rounded, ok = countOf(m["rounded"]); !ok || c.Rounded < CountRounding || c.Rounded%CountRounding != 0 {
		return badCounts("rounded")
	}
	return nil
}

// fieldsOf reads a list of fields, sorted and without repeats.
func fieldsOf(v any) (out []name.Field, ok bool) {
	list, ok := v.([]any)
	if !ok || len(list) > MaxGroupFields {
		return nil, false
	}
	for i, v := range list {
		s, ok := v.(string)
		f, err := name.ParseField(s)
		if !ok || err != nil || i > 0 && f <= out[i-1] {
			return nil, false
		}
		out = append(out, f)
	}
	return out, true
}

// sumsOf reads the sums of a group.
func sumsOf(v any, n int) (out []*int64, ok bool) {
	list, ok := v.([]any)
	if !ok || len(list) != n {
		return nil, false
	}
	for _, v := range list {
		if v == nil {
			out = append(out, nil)
			continue
		}
		s, _ := v.(json.Number)
		x, err := strconv.ParseInt(string(s), 10, 64)
		if err != nil || strconv.FormatInt(x, 10) != string(s) || x > maxSum || x < -maxSum {
			return nil, false
		}
		out = append(out, &x)
	}
	return out, true
}

// parseGroup reads one group, whose values are those of c.By in their order.
func (c *Counts) parseGroup(v any) (g Group, err error) {
	o, _ := v.(map[string]any)
	of, ok := o["of"].([]any)
	members := 2
	if len(c.Sums) > 0 {
		members = 3
	}
	if !ok || len(o) != members || len(of) != len(c.By) {
		return g, badCounts("groups")
	}
	if len(c.Sums) > 0 {
		if g.Sums, ok = sumsOf(o["sums"], len(c.Sums)); !ok {
			return g, badCounts("sums")
		}
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
// where there is none; false where one is a list or an object. The fields name no
// elements of arrays.
func textsAt(record map[string]any, by []name.Field) (out []*string, ok bool) {
	out, ok = make([]*string, len(by)), true
	for i, f := range by {
		valuesAt(record, f.Tokens(), func(v any) {
			if s, single := Text(v); single {
				out[i] = &s
			} else if v != nil {
				ok = false
			}
		})
	}
	return out, ok
}
