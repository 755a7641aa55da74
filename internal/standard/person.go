package standard

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A PersonKey is a place of a record where a number stands that names one person and no
// other, wherever it is met: a national insurance number, an NHS number. A name or a date
// of birth is none, and the number of a property is none.
type PersonKey struct {
	Field  name.Field // "*" for every element of a list
	Scheme string     // whose number it is, such as nino: the same in all standards
}

// Caps on what a manifest may say of persons.
const (
	maxPersonKeys = 50
	maxScheme     = 40 // bytes
	maxPersons    = 1000
)

// MaxPersonValue is the most bytes of a number that names a person, as one types it. A
// longer value in a record names nobody.
const MaxPersonValue = 200

// ParseScheme reads the name of a scheme of numbers: lower-case letters, digits and
// hyphens, from a letter on.
func ParseScheme(s string) (string, error) {
	ok := s != "" && len(s) <= maxScheme && s[0] >= 'a' && s[0] <= 'z'
	for _, r := range s {
		ok = ok && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-')
	}
	if !ok {
		return "", fmt.Errorf("scheme %q: want lower-case letters, digits and hyphens, such as nino or nhs-number", clip(s))
	}
	return s, nil
}

// parsePersons reads the heading persons of a manifest, once its classes are read.
func (m *Manifest) parsePersons(persons map[string]string, fault func(at string, err error)) {
	if len(persons) > maxPersonKeys {
		fault("/persons", fmt.Errorf("persons names over %d places", maxPersonKeys))
		return
	}
	for _, p := range slices.Sorted(maps.Keys(persons)) {
		at := "/persons/" + name.Escape(p)
		f, err := name.ParseField(p)
		switch {
		case err != nil:
		case f == "" || f.Tokens()[0] == "*":
			err = fmt.Errorf("persons %q: want a place in the record", clip(p))
		case !classOf(m.Classes, f).AboutPerson():
			err = fmt.Errorf("persons %q: its class is %s, and a number that names a person is personal", clip(p), classOf(m.Classes, f))
		}
		fault(at, err)
		scheme, err := ParseScheme(persons[p])
		fault(at, err)
		m.Persons = append(m.Persons, PersonKey{f, scheme})
	}
}

// A Person is a number that names a person, and whose number it is.
type Person struct {
	Scheme string
	Value  string // as it is written in the record, or was typed
}

// Folded returns the one spelling under which a number is looked for: without spaces and
// hyphens and in capitals, since people write QQ 12 34 56 C. An address of electronic mail
// keeps its hyphens.
func (p Person) Folded() string {
	drop := " -\u00a0\u2010\u2011\t"
	if strings.Contains(p.Value, "@") {
		drop = " \u00a0\t"
	}
	return strings.ToUpper(strings.Map(func(r rune) rune {
		if strings.ContainsRune(drop, r) {
			return -1
		}
		return r
	}, p.Value))
}

// Persons returns where the standard's records name persons, by place; nil for nowhere.
// It is shared: do not change it.
func (s *Standard) Persons() []PersonKey { return s.manifest.Persons }

// PersonsIn returns the persons that a record, or the part of one that may be seen, names:
// each once, in the order of [Standard.Persons], at most 1,000.
func (s *Standard) PersonsIn(record map[string]any) (out []Person) {
	for _, k := range s.manifest.Persons {
		valuesAt(record, k.Field.Tokens(), func(v any) {
			p := Person{k.Scheme, ""}
			switch v := v.(type) {
			case string:
				p.Value = v
			case json.Number:
				p.Value = string(strictjson.Canonical(v))
			}
			if len(p.Value) > MaxPersonValue || p.Folded() == "" || len(out) == maxPersons || slices.Contains(out, p) {
				return
			}
			out = append(out, p)
		})
	}
	return out
}

// Names reports whether a record, or the part of one that may be seen, names a person.
func (s *Standard) Names(record map[string]any, p Person) bool {
	want := p.Folded()
	return slices.ContainsFunc(s.PersonsIn(record), func(q Person) bool { return q.Scheme == p.Scheme && q.Folded() == want })
}

// valuesAt calls f with what stands at a place of a record, at each that a "*" stands for.
func valuesAt(v any, tokens []string, f func(any)) {
	if len(tokens) == 0 {
		f(v)
		return
	}
	switch v := v.(type) {
	case map[string]any:
		if e, ok := v[tokens[0]]; ok {
			valuesAt(e, tokens[1:], f)
		}
	case []any:
		if tokens[0] == "*" {
			for _, e := range v {
				valuesAt(e, tokens[1:], f)
			}
		}
	}
}
