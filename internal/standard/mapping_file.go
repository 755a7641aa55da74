package standard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stile-exchange/stile/node/name"
)

// Caps on a mapping.
const (
	maxMapping   = 256 << 10 // bytes
	maxMapSteps  = 500
	maxTranslate = 5000 // texts of one table
	maxConstant  = 200  // values of one constant
)

type mappingFile struct {
	Steps []stepFile `yaml:"steps"`
}

type stepFile struct {
	Move      *string              `yaml:"move"`
	Copy      *string              `yaml:"copy"`
	Remove    *string              `yaml:"remove"`
	Add       *string              `yaml:"add"`
	Translate *string              `yaml:"translate"`
	Text      *string              `yaml:"text"`
	To        *string              `yaml:"to"`
	Value     yaml.Node            `yaml:"value"`
	Values    map[string]yaml.Node `yaml:"values"`
	Otherwise *string              `yaml:"otherwise"`
}

// loadMappings reads the mappings among a standard's files.
func loadMappings(files map[string][]byte, own name.Standard) (map[int]*Mapping, error) {
	out := map[int]*Mapping{}
	for p, b := range files {
		major, ok, err := mappingOf(p)
		if !ok {
			continue
		}
		if err == nil && major >= own.Version.Major {
			err = fmt.Errorf("read %s: a mapping starts from an older major, and this is major %d", p, own.Version.Major)
		}
		if err != nil {
			return nil, err
		}
		m, err := parseMapping(p, b)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", p, err)
		}
		m.from = major
		out[major] = m
	}
	return out, nil
}

// parseMapping reads a mapping and reports every step that is not understood.
func parseMapping(file string, b []byte) (*Mapping, error) {
	if len(b) > maxMapping {
		return nil, fmt.Errorf("mapping is over %d bytes", maxMapping)
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	var f mappingFile
	if err := dec.Decode(&f); err != nil {
		if err == io.EOF {
			return nil, errors.New("mapping is empty; without a step to do write: steps: []")
		}
		return nil, err
	}
	if err := dec.Decode(new(any)); err != io.EOF {
		return nil, errors.New("mapping has more than one YAML document")
	}
	if f.Steps == nil {
		return nil, errors.New("mapping has no steps; without any to do write: steps: []")
	}
	if len(f.Steps) > maxMapSteps {
		return nil, fmt.Errorf("mapping has over %d steps", maxMapSteps)
	}
	m := &Mapping{file: file, steps: make([]step, len(f.Steps))}
	var errs []error
	for i := range f.Steps {
		if err := m.steps[i].read(&f.Steps[i]); err != nil {
			errs = append(errs, fmt.Errorf("step %d: %w", i+1, err))
		}
	}
	return m, errors.Join(errs...)
}

func (s *step) read(f *stepFile) error {
	for _, v := range []struct {
		verb verb
		at   *string
	}{
		{verbMove, f.Move},
		{verbCopy, f.Copy},
		{verbRemove, f.Remove},
		{verbAdd, f.Add},
		{verbTranslate, f.Translate},
		{verbText, f.Text},
	} {
		if v.at == nil {
			continue
		}
		if s.verb != "" {
			return fmt.Errorf("says %s and %s: want one", s.verb, v.verb)
		}
		s.verb = v.verb
		var err error
		if s.at, err = mappingPlace(*v.at); err != nil {
			return fmt.Errorf("%s: %w", s.verb, err)
		}
	}
	if s.verb == "" {
		return errors.New("does nothing: want move, copy, remove, add, translate or text")
	}
	s.toks = s.at.Tokens()
	if in := s.verb == verbTranslate || s.verb == verbText; !in && s.toks[len(s.toks)-1] == "*" {
		return fmt.Errorf("%s %q: name a member, not every element of a list", s.verb, s.at)
	}
	moves := s.verb == verbMove || s.verb == verbCopy
	for _, x := range []struct {
		key  string
		has  bool
		want bool
	}{
		{"to", f.To != nil, moves},
		{"value", !f.Value.IsZero(), s.verb == verbAdd},
		{"values", f.Values != nil, s.verb == verbTranslate},
	} {
		if x.has != x.want {
			return fmt.Errorf("%s %q: %s %q", s.verb, s.at, map[bool]string{true: "wants", false: "has no use for"}[x.want], x.key)
		}
	}
	if f.Otherwise != nil {
		if s.verb != verbTranslate || (*f.Otherwise != "keep" && *f.Otherwise != "refuse") {
			return fmt.Errorf("%s %q: otherwise: want keep or refuse, with translate", s.verb, s.at)
		}
		s.keep = *f.Otherwise == "keep"
	}
	switch {
	case moves:
		return s.readTo(*f.To)
	case s.verb == verbAdd:
		left := maxConstant
		var err error
		if s.value, err = constant(&f.Value, &left); err != nil {
			return fmt.Errorf("add %q: value: %w", s.at, err)
		}
	case s.verb == verbTranslate:
		if len(f.Values) == 0 || len(f.Values) > maxTranslate {
			return fmt.Errorf("translate %q: want 1 to %d values", s.at, maxTranslate)
		}
		s.values = make(map[string]any, len(f.Values))
		for k, n := range f.Values {
			left := 1
			v, err := constant(&n, &left)
			if err != nil {
				return fmt.Errorf("translate %q: values: %w", s.at, err)
			}
			s.values[k] = v
		}
	}
	return nil
}

func (s *step) readTo(to string) (err error) {
	if s.to, err = mappingPlace(to); err != nil {
		return fmt.Errorf("%s: to: %w", s.verb, err)
	}
	s.toToks = s.to.Tokens()
	for i, t := range s.toks {
		if t == "*" {
			s.shared = i + 1
		}
	}
	for i, t := range s.toToks {
		if t == "*" {
			s.shared = max(s.shared, i+1)
		}
	}
	if len(s.toToks) <= s.shared || len(s.toks) <= s.shared || !slices.Equal(s.toks[:s.shared], s.toToks[:s.shared]) {
		return fmt.Errorf("%s %q to %q: a value cannot leave its element; the two must be the same up to the last \"*\" and end in a member", s.verb, s.at, s.to)
	}
	if s.at == s.to {
		return fmt.Errorf("%s %q: to the place where it stands", s.verb, s.at)
	}
	return nil
}

func mappingPlace(s string) (name.Field, error) {
	f, err := name.ParseField(s)
	if err == nil && f == "" {
		err = errors.New("want a place in the record, not the whole of it")
	}
	return f, err
}

// jsonNumber is the grammar of RFC 8259 section 6, without an exponent, which
// nobody writes into a mapping.
var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?$`)

// constant reads a JSON value from YAML. What YAML would read as a date is the
// text that was written; left counts the values that may still come.
func constant(n *yaml.Node, left *int) (any, error) {
	if *left--; *left < 0 {
		return nil, errors.New("has more values than a constant may")
	}
	switch n.Kind {
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!str", "!!timestamp":
			if strings.ContainsRune(n.Value, 0) {
				return nil, errors.New("a text holds a zero character")
			}
			return n.Value, nil
		case "!!bool":
			var b bool
			err := n.Decode(&b)
			return b, err
		case "!!null":
			return nil, nil
		case "!!int", "!!float":
			if !jsonNumber.MatchString(n.Value) {
				return nil, fmt.Errorf("number %q: write it as JSON does", clip(n.Value))
			}
			return json.Number(n.Value), nil
		}
	case yaml.SequenceNode:
		out := make([]any, 0, len(n.Content))
		for _, e := range n.Content {
			v, err := constant(e, left)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	case yaml.MappingNode:
		out := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			if _, twice := out[k.Value]; k.Kind != yaml.ScalarNode || twice {
				return nil, errors.New("want each member once, named by a text")
			}
			v, err := constant(n.Content[i+1], left)
			if err != nil {
				return nil, err
			}
			out[k.Value] = v
		}
		return out, nil
	}
	return nil, errors.New("want a JSON value, without anchors or tags")
}
