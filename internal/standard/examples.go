package standard

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// An Example is a record that a standard shows.
type Example struct {
	File   string // such as "examples/valid/minimal.json"
	Text   []byte // as published
	Record any    // as strictjson decodes it
	Err    error  // why it could not be decoded, else nil
}

func examples(files map[string][]byte, dir string) []Example {
	var out []Example
	for p, b := range files {
		if path.Dir(p)+"/" != dir || !strings.HasSuffix(p, ".json") {
			continue
		}
		e := Example{File: p, Text: b}
		e.Record, e.Err = strictjson.Decode(b, strictjson.Limits{})
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Example) int { return strings.Compare(a.File, b.File) })
	return out
}

// Examples returns the records that must pass and those that must not, each
// sorted by file name. They are shared: do not change them.
func (s *Standard) Examples() (valid, invalid []Example) { return s.valid, s.invalid }

// CheckExamples returns what is wrong with the standard itself: an example
// that does not do what its folder says, no example of a kind, a key that the
// schema does not require. Pointer is the file, then "#" and the place in it;
// these texts are for the publisher, whose examples are made up, and hold no
// value either. The result is nil when all is well.
func (s *Standard) CheckExamples() []Problem {
	var out []Problem
	add := func(file, rule, detail, fix string) {
		out = append(out, Problem{Pointer: file, Rule: rule, Detail: detail, Fix: fix})
	}
	if len(s.valid) == 0 {
		add("examples/valid", "examples", "holds no example", "show at least one record that is valid")
	}
	if len(s.invalid) == 0 {
		add("examples/invalid", "examples", "holds no example", "show at least one record that is not valid")
	}
	for _, e := range s.valid {
		if e.Err != nil {
			add(e.File, "json", fmt.Sprintf("cannot be read: %v", e.Err), "correct the example")
			continue
		}
		for _, p := range s.Validate(e.Record) {
			p.Pointer = e.File + "#" + p.Pointer
			out = append(out, p)
		}
		if _, err := s.Key(e.Record); err != nil {
			p := *err.(*Problem)
			p.Pointer = e.File + "#" + p.Pointer
			out = append(out, p)
		}
	}
	for _, e := range s.invalid {
		if e.Err == nil && len(s.Validate(e.Record)) == 0 {
			add(e.File, "examples", "is valid, but stands among the examples that are not", "correct the example or the schema")
		}
	}
	for _, f := range s.manifest.Key {
		if !s.engine.requires(f) {
			add("standard.yaml#"+string(f), "key", "is part of the key, but the schema does not require it", "add it to required, or every record without it will be refused")
		}
	}
	return out
}
