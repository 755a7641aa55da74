package standard

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/node/name"
)

// A Mapping says how a record of an older major of a standard becomes a record
// of the version that ships it. It stands beside the schema as mappings/1.yaml,
// the number being the major it starts from:
//
//	steps:
//	  - move: /siteNameAddress        # takes the value from one place to another
//	    to: /site/address
//	  - copy: /reference              # the same, and leaves it where it was too
//	    to: /site/reference
//	  - remove: /workingNotes         # drops a place with all that is below it
//	  - add: /country                 # a constant, where the record has nothing
//	    value: England
//	  - translate: /planningStatus    # one text becomes another by a closed table
//	    values: {permissioned: granted, not permissioned: none}
//	    otherwise: keep               # or refuse, which is what it means without
//	  - text: /uprn                   # a number or true/false becomes its JSON text
//
// Steps are done in order, each on what the one before left. A place is a JSON
// Pointer through objects; "*" stands for every element of an array, and where
// a step has two places they are the same up to the last "*" of either, so that
// a value never leaves its element. Objects on the way to a new place are made.
// What no step names stays where it is.
//
// A step finds nothing to do where the record has nothing. It fails where a
// move or copy would overwrite a value, where something other than an object
// stands on the way, where translate meets a text that is not in the table, or
// text a list or a group. A mapping decides nothing by conditions, computes
// nothing and reads nothing but the record, so that its cost is bounded by the
// size of the record and a person can read what it does.
//
// A Mapping does not change and may be used concurrently.
type Mapping struct {
	from  int
	file  string
	steps []step
}

// A verb is what a step does.
type verb string

const (
	verbMove      verb = "move"
	verbCopy      verb = "copy"
	verbRemove    verb = "remove"
	verbAdd       verb = "add"
	verbTranslate verb = "translate"
	verbText      verb = "text"
)

type step struct {
	verb   verb
	at     name.Field
	to     name.Field     // of move and copy
	value  any            // of add, as strictjson decodes it
	values map[string]any // of translate
	keep   bool           // of translate: a text that is not in the table stays

	toks, toToks []string // of at and to
	shared       int      // of move and copy: tokens up to the last "*"
}

// words says what a step does, in a line.
func (s *step) words() string {
	switch s.verb {
	case verbMove, verbCopy:
		return fmt.Sprintf("%s %s to %s", s.verb, s.at, s.to)
	case verbAdd:
		return fmt.Sprintf("add %s where the record has nothing there", s.at)
	case verbTranslate:
		other := "any other text is refused"
		if s.keep {
			other = "any other text stays"
		}
		return fmt.Sprintf("translate %s by a table of %s; %s", s.at, count(len(s.values), "text"), other)
	case verbText:
		return fmt.Sprintf("write %s as text", s.at)
	}
	return fmt.Sprintf("%s %s", s.verb, s.at)
}

// Mapping returns how records of an older major become records of s, if its
// publisher ships that.
func (s *Standard) Mapping(fromMajor int) (*Mapping, bool) {
	m, ok := s.mappings[fromMajor]
	return m, ok
}

// Mappings returns the majors that s ships a mapping from, ascending.
func (s *Standard) Mappings() []int { return slices.Sorted(maps.Keys(s.mappings)) }

// From returns the major that the mapping starts from.
func (m *Mapping) From() int { return m.from }

// Words says what the mapping does, a line for each step, in order.
func (m *Mapping) Words() []string {
	out := make([]string, len(m.steps))
	for i := range m.steps {
		out[i] = m.steps[i].words()
	}
	return out
}

// Caps on what one Apply may build, far above any record that passes a gate: a
// mapping that copies what it copied would else grow with every step.
const (
	maxMappedValues = 200_000
	maxMappedText   = 8 << 20 // bytes
	maxMappedVisits = 1_000_000
)

// Apply returns the record that the mapping makes of record, which it does not
// change; the two share nothing that can be changed. Values are as strictjson
// decodes them.
//
// The error is a *[Problem] with the rule "mapping" that names the step and the
// place. Nobody has validated the result.
func (m *Mapping) Apply(record any) (any, error) {
	b := &build{values: maxMappedValues, text: maxMappedText, visits: maxMappedVisits}
	out, ok := b.clone(record)
	root, isObject := out.(map[string]any)
	if !isObject {
		return nil, &Problem{Rule: ruleMapping, Detail: "a record must be a JSON object", Fix: "the mapping starts from an object"}
	}
	for i := 0; ok && i < len(m.steps); i++ {
		s := &m.steps[i]
		if at, why := b.do(s, root); why != "" {
			return nil, &Problem{
				Pointer: string(at), Rule: ruleMapping,
				Detail: fmt.Sprintf("cannot be mapped: step %d of %s (%s): %s", i+1, m.file, s.words(), why),
				Fix:    "mend the record that it is made from, or ask the standard's publisher to mend the mapping",
			}
		}
		ok = b.values >= 0 && b.text >= 0 && b.visits >= 0
	}
	if !ok {
		return nil, &Problem{Rule: ruleMapping, Detail: "grows beyond any record when it is mapped, or takes more work", Fix: "ask the standard's publisher to mend the mapping"}
	}
	return root, nil
}

// ruleMapping is the rule of what an Apply finds wrong.
const ruleMapping = "mapping"

// A build counts what one Apply makes. Each place that is reached looks at what is
// left before the next is: a step of a few bytes, such as one that moves a member of
// every element to the end of a long path, would else make a hundred times what a
// record may hold before anybody counts.
type build struct{ values, text, visits int }

// clone copies v, as far as the caps allow.
func (b *build) clone(v any) (any, bool) {
	if b.values--; b.values < 0 || b.text < 0 {
		return nil, false
	}
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			b.text -= len(k)
			c, ok := b.clone(e)
			if !ok {
				return nil, false
			}
			out[k] = c
		}
		return out, true
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			c, ok := b.clone(e)
			if !ok {
				return nil, false
			}
			out[i] = c
		}
		return out, true
	case string:
		b.text -= len(v)
	}
	return v, true
}

// do carries out a step. It returns the place that stops it and why; the words
// are the standard's and ours, never the record's.
func (b *build) do(s *step, root map[string]any) (at name.Field, why string) {
	switch s.verb {
	case verbRemove:
		b.visit(root, s.toks, func(p slot) bool { delete(p.object, p.key); return true })
	case verbTranslate, verbText:
		at = s.at
		b.visit(root, s.toks, func(p slot) bool {
			var v any
			if v, why = s.change(p.value()); why == "" {
				p.set(v)
			}
			return why == ""
		})
	case verbAdd:
		at = s.at
		last := len(s.toks) - 1
		for last >= 0 && s.toks[last] != "*" {
			last--
		}
		b.containers(root, s.toks[:last+1], func(m map[string]any) bool {
			if _, found := lookup(m, s.toks[last+1:]); found {
				return true
			}
			var v any
			if v, _ = b.clone(s.value); b.values < 0 {
				return false
			}
			why = b.put(m, s.toks[last+1:], v)
			return why == "" && b.values >= 0
		})
	case verbMove, verbCopy:
		at = s.to
		from, to := s.toks[s.shared:], s.toToks[s.shared:]
		b.containers(root, s.toks[:s.shared], func(m map[string]any) bool {
			v, found := lookup(m, from)
			if !found {
				return true
			}
			if s.verb == verbMove {
				drop(m, from)
			} else if v, _ = b.clone(v); b.values < 0 {
				return false
			}
			why = b.put(m, to, v)
			return why == "" && b.values >= 0
		})
	}
	return at, why
}

// change is what translate and text make of one value.
func (s *step) change(v any) (any, string) {
	text, isText := v.(string)
	switch {
	case s.verb == verbText:
		return asText(v)
	case isText:
		if w, ok := s.values[text]; ok {
			return w, ""
		}
	}
	if s.keep {
		return v, ""
	}
	return nil, "the table has no word for what stands there"
}

func asText(v any) (any, string) {
	switch v := v.(type) {
	case nil, string:
		return v, "" // nothing to write, or written already
	case bool:
		return strconv.FormatBool(v), ""
	case map[string]any, []any:
		return nil, "a list or a group of fields has no text"
	}
	return fmt.Sprint(v), "" // a json.Number, with the digits it came with
}

// A slot is where a value stands: a member of an object or an element of an
// array.
type slot struct {
	object map[string]any
	key    string
	array  []any
	index  int
}

func (p slot) value() any {
	if p.object != nil {
		return p.object[p.key]
	}
	return p.array[p.index]
}

func (p slot) set(v any) {
	if p.object != nil {
		p.object[p.key] = v
	} else {
		p.array[p.index] = v
	}
}

// visit calls f with every slot below v that toks names, until f returns false
// or there have been too many.
func (b *build) visit(v any, toks []string, f func(slot) bool) bool {
	if toks[0] == "*" {
		list, _ := v.([]any)
		for i, e := range list {
			if b.visits--; b.visits < 0 {
				return false
			}
			if len(toks) == 1 {
				if !f(slot{array: list, index: i}) {
					return false
				}
			} else if !b.visit(e, toks[1:], f) {
				return false
			}
		}
		return true
	}
	m, _ := v.(map[string]any)
	e, ok := m[toks[0]]
	if !ok {
		return true
	}
	if len(toks) == 1 {
		return f(slot{object: m, key: toks[0]})
	}
	return b.visit(e, toks[1:], f)
}

// containers calls f with every object below v that toks, empty or ending in
// "*", names.
func (b *build) containers(v map[string]any, toks []string, f func(map[string]any) bool) {
	if len(toks) == 0 {
		f(v)
		return
	}
	b.visit(v, toks, func(p slot) bool {
		if m, ok := p.value().(map[string]any); ok {
			return f(m)
		}
		return true
	})
}

func lookup(m map[string]any, toks []string) (any, bool) {
	for _, t := range toks[:len(toks)-1] {
		m, _ = m[t].(map[string]any)
	}
	v, ok := m[toks[len(toks)-1]]
	return v, ok
}

func drop(m map[string]any, toks []string) {
	for _, t := range toks[:len(toks)-1] {
		m, _ = m[t].(map[string]any)
	}
	delete(m, toks[len(toks)-1])
}

// put sets a member that is not there, making the objects on the way.
func (b *build) put(m map[string]any, toks []string, v any) (why string) {
	for _, t := range toks[:len(toks)-1] {
		switch next := m[t].(type) {
		case map[string]any:
			m = next
		case nil:
			if _, there := m[t]; there {
				return "something other than a group of fields stands on the way"
			}
			b.values--
			n := map[string]any{}
			m[t], m = n, n
		default:
			return "something other than a group of fields stands on the way"
		}
	}
	last := toks[len(toks)-1]
	if _, there := m[last]; there {
		return "there is a value already"
	}
	m[last] = v
	return ""
}

// mappingOf returns the major that a file of a standard maps from; ok is false
// when the path is no mapping's.
func mappingOf(p string) (major int, ok bool, err error) {
	dir, base := path.Split(p)
	if dir != "mappings/" || path.Ext(base) != ".yaml" {
		return 0, false, nil
	}
	digits := strings.TrimSuffix(base, ".yaml")
	major, err = strconv.Atoi(digits)
	if err != nil || strconv.Itoa(major) != digits || major < 0 || major > 999999 {
		return 0, true, fmt.Errorf("read %q: name a mapping after the major it starts from, such as mappings/1.yaml", clip(p))
	}
	return major, true, nil
}
