// Package succession closes the ledger of a council that ends and takes its records over
// into that of the council that follows it: whole, or shared out by a rule.
//
// # The plan
//
// All who take part act by one file, which a person writes and everybody reads before the
// day. It is YAML, at most 1 MiB:
//
//	succession: northshire-2027
//	on: 2027-04-01                            # first day of the councils that begin
//	begins: [east.gov.uk, west.gov.uk]
//	ends:
//	  - council: saltby.gov.uk                # a council that goes to one
//	    to: east.gov.uk
//	  - council: northshire.gov.uk            # a council that is shared out
//	    split:
//	      - standard: standards.example/housing-need
//	        field: /district                  # a JSON Pointer, and whose each value is
//	        values:
//	          east.gov.uk: [E07000001, E07000002]
//	          west.gov.uk: [E07000003]
//	      - standard: standards.example/road-works
//	        rows:                             # or CEL over the record, as in an agreement
//	          east.gov.uk: record.easting >= 500000
//	          west.gov.uk: record.easting < 500000
//	    rest: east.gov.uk                     # may be left out: who has what no rule takes
//
// A record that no rule takes, or that two take, is shared out to nobody: preview lists how
// many there are, and while there is one the ledger is not sealed. The plan stands in the
// last entry of the ledger as one line of canonical JSON, of the same members.
//
// # What stays
//
// Older versions, what was deleted, and events stay in the sealed ledger alone, and so do
// compliance statements, which are about the council that ended, and records that a mapping
// made, which the successor's own mapping makes again.
package succession

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// ErrPlan is wrapped by every error that is about a plan. Its text names the place and the
// rule.
var ErrPlan = errors.New("the plan")

// Bounds of a plan.
const (
	maxEnds   = 400
	maxSplits = 200
)

// A Plan says who ends, who begins, when, and who has what.
type Plan struct {
	Name   string         `yaml:"succession" json:"succession"`
	On     string         `yaml:"on" json:"on"` // YYYY-MM-DD
	Begins []name.Council `yaml:"begins" json:"begins"`
	Ends   []Ending       `yaml:"ends" json:"ends"`
}

// An Ending is one council that ends: To has all of it, or Split and Rest say who has what.
type Ending struct {
	Council name.Council `yaml:"council" json:"council"`
	To      name.Council `yaml:"to,omitempty" json:"to,omitempty"`
	Split   []Split      `yaml:"split,omitempty" json:"split,omitempty"`
	Rest    name.Council `yaml:"rest,omitempty" json:"rest,omitempty"`
}

// A Split shares the records of one standard out, in any of its versions: by the values of
// a field, or by rows.
type Split struct {
	Standard name.StandardName         `yaml:"standard" json:"standard"`
	Field    string                    `yaml:"field,omitempty" json:"field,omitempty"`
	Values   map[name.Council][]string `yaml:"values,omitempty" json:"values,omitempty"`
	Rows     map[name.Council]string   `yaml:"rows,omitempty" json:"rows,omitempty"`
}

// Parse reads a plan, as a person writes it or as the last entry of a ledger has it. The
// error wraps [ErrPlan].
func Parse(b []byte) (*Plan, error) {
	if len(b) > event.MaxPlan {
		return nil, fmt.Errorf("%w is longer than %d bytes", ErrPlan, event.MaxPlan)
	}
	p := new(Plan)
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(p); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w is empty", ErrPlan)
		}
		return nil, fmt.Errorf("%w: %w", ErrPlan, err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: want one YAML document, and the file holds more", ErrPlan)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPlan, err)
	}
	if len(p.JSON()) > event.MaxPlan {
		return nil, fmt.Errorf("%w is longer than %d bytes", ErrPlan, event.MaxPlan)
	}
	return p, nil
}

// JSON returns the plan as one line of canonical JSON, which Parse reads.
func (p *Plan) JSON() []byte {
	b, err := json.Marshal(p)
	if err != nil {
		panic("internal error: a plan has no JSON: " + err.Error())
	}
	v, err := strictjson.Decode(b, strictjson.Limits{Bytes: 8 * event.MaxPlan, Depth: 16})
	if err != nil {
		panic("internal error: a plan has no JSON: " + err.Error())
	}
	return strictjson.Canonical(v)
}

// Day returns the first day of the councils that begin, midnight UTC.
func (p *Plan) Day() time.Time {
	t, _ := time.Parse(time.DateOnly, p.On)
	return t
}

// Ending returns what the plan says of a council that ends; false for any other.
func (p *Plan) Ending(c name.Council) (Ending, bool) {
	i := slices.IndexFunc(p.Ends, func(e Ending) bool { return e.Council == c })
	if i < 0 {
		return Ending{}, false
	}
	return p.Ends[i], true
}

// check returns every fault of the plan, joined.
func (p *Plan) check() error {
	var faults []error
	say := func(format string, args ...any) {
		if len(faults) < 20 {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	if name.KeyFault(p.Name) != "" || p.Name == "" || len(p.Name) > 100 {
		say("succession: want a name of 1 to 100 bytes")
	}
	if t, err := time.Parse(time.DateOnly, p.On); err != nil || t.Format(time.DateOnly) != p.On {
		say("on: want a date such as 2027-04-01")
	}
	if len(p.Begins) == 0 || len(p.Begins) > event.MaxSuccessors {
		say("begins: want 1 to %d councils", event.MaxSuccessors)
	}
	if len(p.Ends) == 0 || len(p.Ends) > maxEnds {
		say("ends: want 1 to %d councils", maxEnds)
	}
	seen := map[name.Council]string{}
	council := func(place string, c name.Council) {
		if x, err := name.ParseCouncil(string(c)); err != nil || x != c {
			say("%s: want the domain of a council, in lower case", place)
		}
	}
	for i, c := range p.Begins {
		place := fmt.Sprintf("begins/%d", i)
		council(place, c)
		if at := seen[c]; at != "" {
			say("%s: the council stands at %s, too", place, at)
		}
		seen[c] = place
	}
	begins := func(place string, c name.Council) {
		if !slices.Contains(p.Begins, c) {
			say("%s: the council is not among those that begin", place)
		}
	}
	for i, e := range p.Ends {
		place := fmt.Sprintf("ends/%d", i)
		council(place+"/council", e.Council)
		if at := seen[e.Council]; at != "" {
			say("%s/council: the council stands at %s, too", place, at)
		}
		seen[e.Council] = place
		switch {
		case e.To != "" && (len(e.Split) > 0 || e.Rest != ""):
			say("%s: a council goes to one, or is shared out by split and rest: not both", place)
		case e.To != "":
			begins(place+"/to", e.To)
		case len(e.Split) == 0:
			say("%s: say to whom it goes, or how it is shared out", place)
		case len(e.Split) > maxSplits:
			say("%s/split: want at most %d", place, maxSplits)
		}
		if e.Rest != "" {
			begins(place+"/rest", e.Rest)
		}
		of := map[name.StandardName]bool{}
		for j, s := range e.Split {
			at := fmt.Sprintf("%s/split/%d", place, j)
			if x, err := name.ParseStandardName(string(s.Standard)); err != nil || x != s.Standard {
				say("%s/standard: want publisher/name", at)
			}
			if of[s.Standard] {
				say("%s/standard: comes twice", at)
			}
			of[s.Standard] = true
			p.checkSplit(at, s, begins, say)
		}
	}
	return errors.Join(faults...)
}

func (p *Plan) checkSplit(at string, s Split, begins func(string, name.Council), say func(string, ...any)) {
	byField, byRows := s.Field != "" || len(s.Values) > 0, len(s.Rows) > 0
	switch {
	case byField == byRows:
		say("%s: want field and values, or rows", at)
		return
	case byField && (s.Field == "" || len(s.Values) == 0):
		say("%s: field and values belong together", at)
		return
	}
	if byField {
		if f, err := name.ParseField(s.Field); err != nil || len(f.Tokens()) == 0 {
			say("%s/field: want a JSON Pointer such as /district", at)
		}
		whose := map[string]name.Council{}
		for _, c := range slices.Sorted(maps.Keys(s.Values)) {
			begins(at+"/values", c)
			for _, v := range s.Values[c] {
				if o, ok := whose[v]; ok {
					say("%s/values: a value of %s is named again, for %s", at, o, c)
				}
				whose[v] = c
			}
		}
		return
	}
	for _, c := range slices.Sorted(maps.Keys(s.Rows)) {
		begins(at+"/rows", c)
		if _, err := agreement.ParseFilter(s.Rows[c]); err != nil {
			say("%s/rows of %s: %w", at, c, err)
		}
	}
}

// A Sharer says who has a record of a council that ends. It may be used concurrently.
type Sharer struct {
	to, rest name.Council
	by       map[name.StandardName]*rule
}

type rule struct {
	field  []string
	values map[string]name.Council
	rows   []rows // by council
}

type rows struct {
	to     name.Council
	filter *agreement.Filter
}

// value returns the text at the rule's field of a record; false where there is none.
func (r *rule) value(body map[string]any) (string, bool) {
	var v any = body
	for _, t := range r.field {
		m, _ := v.(map[string]any)
		v = m[t]
	}
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number: // such as a UPRN
		return string(v), true
	}
	return "", false
}

// An unused holds the values that a plan gives to councils and that no record has: a slip of the
// pen there sends records to who has the rest, in silence.
type unused map[name.StandardName]map[string]name.Council

// unused returns all values that the plan names for records of the council that ends.
func (s *Sharer) unused() unused {
	u := unused{}
	for std, r := range s.by {
		u[std] = maps.Clone(r.values)
	}
	return u
}

// has notes that there is a record.
func (u unused) has(s *Sharer, std name.StandardName, body map[string]any) {
	if r := s.by[std]; r != nil && r.field != nil {
		if v, ok := r.value(body); ok {
			delete(u[std], v)
		}
	}
}

// words says so of each that is left, of the first twenty.
func (u unused) words() (out []string) {
	for _, std := range slices.Sorted(maps.Keys(u)) {
		for _, v := range slices.Sorted(maps.Keys(u[std])) {
			if len(out) == 20 {
				return append(out, "more values that the plan names are in no record")
			}
			out = append(out, fmt.Sprintf("no record of %s has %q, which the plan gives to %s: look whether records have it spelt otherwise, since they go to who has the rest", std, v, u[std][v]))
		}
	}
	return out
}

// Sharer returns who says what becomes of the records of a council that ends. The error
// wraps [ErrPlan] for any other council.
func (p *Plan) Sharer(c name.Council) (*Sharer, error) {
	e, ok := p.Ending(c)
	if !ok {
		return nil, fmt.Errorf("%w does not say that %s ends", ErrPlan, c)
	}
	s := &Sharer{to: e.To, rest: e.Rest, by: map[name.StandardName]*rule{}}
	for _, x := range e.Split {
		r := &rule{values: map[string]name.Council{}}
		if x.Field != "" {
			f, err := name.ParseField(x.Field)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrPlan, err)
			}
			r.field = f.Tokens()
			for c, list := range x.Values {
				for _, v := range list {
					r.values[v] = c
				}
			}
		}
		for _, c := range slices.Sorted(maps.Keys(x.Rows)) {
			f, err := agreement.ParseFilter(x.Rows[c])
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrPlan, err)
			}
			r.rows = append(r.rows, rows{c, f})
		}
		s.by[x.Standard] = r
	}
	return s, nil
}

// Why a record is shared out to nobody.
const (
	NoRule   = "no rule takes it"
	TwoRules = "two rules take it"
	Unsure   = "a rule has no answer for it"
)

// To returns who has a record of a standard; "" and why for nobody.
func (s *Sharer) To(std name.StandardName, body map[string]any) (to name.Council, why string) {
	if s.to != "" {
		return s.to, ""
	}
	rest := func() (name.Council, string) {
		if s.rest == "" {
			return "", NoRule
		}
		return s.rest, ""
	}
	r := s.by[std]
	if r == nil {
		return rest()
	}
	if r.field != nil {
		if v, ok := r.value(body); ok {
			if c, ok := r.values[v]; ok {
				return c, ""
			}
		}
		return rest()
	}
	for _, x := range r.rows {
		match, sure := x.filter.Match(body)
		switch {
		case !sure:
			return "", Unsure
		case match && to != "":
			return "", TwoRules
		case match:
			to = x.to
		}
	}
	if to == "" {
		return rest()
	}
	return to, ""
}
