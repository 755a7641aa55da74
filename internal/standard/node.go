package standard

import (
	"math/big"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/message"
)

// The engine walks a record and a schema; a node stands at each of its steps.
//
// The engine asks a schema's format before it follows a reference or a
// combinator, so what stands in the place of the format sees every step before
// it is taken. There a node counts the step against the budget and may end the
// whole validation, which the engine itself cannot. It also takes over the
// keywords that look at one value only: the engine would compare numbers as
// fractions and enums one by one, at several times the cost of all the rest.
type node struct {
	m      *machine
	weight int    // what a visit spends, beside the size of the value
	about  string // the schema's description

	types  kinds
	values *values // enum
	one    *values // const
	format *jsonschema.Format
	min    *bound
	max    *bound
	over   *bound // exclusiveMinimum
	under  *bound // exclusiveMaximum
	step   *bound // multipleOf
	minLen *int
	maxLen *int
	re     *pattern
}

// A kinds is a set of JSON types.
type kinds uint8

const (
	isNull kinds = 1 << iota
	isBool
	isNumber
	isInteger
	isString
	isArray
	isObject
)

func kindsOf(t *jsonschema.Types) kinds {
	if t == nil {
		return 0
	}
	var k kinds
	for _, s := range t.ToStrings() {
		k |= map[string]kinds{"null": isNull, "boolean": isBool, "number": isNumber, "integer": isInteger, "string": isString, "array": isArray, "object": isObject}[s]
	}
	return k
}

func kindOf(v any) kinds {
	switch v.(type) {
	case nil:
		return isNull
	case bool:
		return isBool
	case string:
		return isString
	case []any:
		return isArray
	case map[string]any:
		return isObject
	}
	return isNumber
}

// A bound is a number of the schema.
type bound struct{ decimal }

func newBound(r *big.Rat) *bound {
	if r == nil {
		return nil
	}
	return &bound{decimalOfRat(r)}
}

// take moves s's keywords for single values into a node and puts the node in
// the place of s's format. With visible set, keywords that a withheld part of a
// container could answer are dropped.
func (m *machine) take(s *jsonschema.Schema, visible bool) {
	n := &node{m: m, about: s.Description}
	n.weight = 1 + (len(s.AllOf)+len(s.AnyOf)+len(s.OneOf)+len(s.Required)+len(s.Dependencies)+len(s.DependentRequired)+len(s.DependentSchemas))/8
	if s.DynamicRef != nil || s.RecursiveRef != nil {
		n.weight += 8 // the engine looks back over all that it came through
	}
	n.types = kindsOf(s.Types)
	s.Types = nil
	if s.Enum != nil {
		n.values = newValues(s.Enum.Values, visible)
		s.Enum = nil
	}
	if s.Const != nil {
		n.one = newValues([]any{*s.Const}, visible)
		s.Const = nil
	}
	n.format = s.Format
	if f := s.Format; f != nil && f.Name == "regex" {
		n.format = &jsonschema.Format{Name: "regex", Validate: regexFormat}
	}
	n.min, n.max = newBound(s.Minimum), newBound(s.Maximum)
	n.over, n.under = newBound(s.ExclusiveMinimum), newBound(s.ExclusiveMaximum)
	n.step = newBound(s.MultipleOf)
	s.Minimum, s.Maximum, s.ExclusiveMinimum, s.ExclusiveMaximum, s.MultipleOf = nil, nil, nil, nil, nil
	n.minLen, n.maxLen = s.MinLength, s.MaxLength
	s.MinLength, s.MaxLength = nil, nil
	if p, ok := s.Pattern.(*watched); ok {
		n.re = p.pattern
		s.Pattern = nil
	}
	if s.UniqueItems {
		s.UniqueItems = false
		if !visible {
			s.Extensions = append(s.Extensions, unique{m})
		}
	}
	if s.PropertyNames != nil {
		s.Extensions = append(s.Extensions, names{s.PropertyNames})
		s.PropertyNames = nil
	}
	if visible {
		loosen(s)
	}
	s.Format = &jsonschema.Format{Name: "step", Validate: n.check}
}

// check judges v by the node's keywords. It runs before the engine goes on.
func (n *node) check(v any) error {
	cost := n.weight
	switch v := v.(type) {
	case string:
		cost += len(v) / 64
		if n.re != nil {
			cost += n.re.cost(v)
		}
	case map[string]any:
		cost += len(v) / 4
	case []any:
		cost += len(v) / 4
	}
	n.m.spend(cost)

	k := kindOf(v)
	if n.types != 0 && n.types&k == 0 && (k != isNumber || n.types&isInteger == 0 || !integral(v)) {
		return &fault{"type", n, k}
	}
	if n.one != nil && !n.one.has(v, n.m) {
		return &fault{"const", n, k}
	}
	if n.values != nil && !n.values.has(v, n.m) {
		return &fault{"enum", n, k}
	}
	var fs faults
	if n.format != nil && n.format.Validate(v) != nil {
		fs.add("format", n, k)
	}
	switch k {
	case isString:
		n.checkString(v.(string), &fs)
	case isNumber:
		n.checkNumber(v, &fs)
	}
	return fs.err()
}

func (n *node) checkString(s string, fs *faults) {
	if n.minLen != nil || n.maxLen != nil {
		length := utf8.RuneCountInString(s)
		if n.minLen != nil && length < *n.minLen {
			fs.add("minLength", n, isString)
		}
		if n.maxLen != nil && length > *n.maxLen {
			fs.add("maxLength", n, isString)
		}
	}
	if n.re != nil {
		if !n.m.match(n.re, s) {
			fs.add("pattern", n, isString)
		}
	}
}

func (n *node) checkNumber(v any, fs *faults) {
	if n.min == nil && n.max == nil && n.over == nil && n.under == nil && n.step == nil {
		return
	}
	d, ok := decimalOf(v)
	if !ok {
		fs.add("type", n, isNumber) // not a JSON number at all
		return
	}
	if n.min != nil && d.cmp(n.min.decimal) < 0 {
		fs.add("minimum", n, isNumber)
	}
	if n.max != nil && d.cmp(n.max.decimal) > 0 {
		fs.add("maximum", n, isNumber)
	}
	if n.over != nil && d.cmp(n.over.decimal) <= 0 {
		fs.add("exclusiveMinimum", n, isNumber)
	}
	if n.under != nil && d.cmp(n.under.decimal) >= 0 {
		fs.add("exclusiveMaximum", n, isNumber)
	}
	if n.step != nil && !d.multipleOf(n.step.decimal) {
		fs.add("multipleOf", n, isNumber)
	}
}

func integral(v any) bool {
	d, ok := decimalOf(v)
	return ok && d.isInt()
}

// A fault is one keyword that a value does not meet. It knows the schema and
// the value's type, not the value.
type fault struct {
	rule string
	node *node
	got  kinds
}

func (f *fault) Error() string { return f.rule }

// A faults is several of one value.
type faults []*fault

func (fs *faults) add(rule string, n *node, got kinds) { *fs = append(*fs, &fault{rule, n, got}) }

func (fs faults) err() error {
	switch len(fs) {
	case 0:
		return nil
	case 1:
		return fs[0]
	}
	return fs
}

func (fs faults) Error() string { return fs[0].rule }

// names stands for propertyNames, so that a problem points at the member
// whose name is wrong; the engine's own pointer may be of another member.
type names struct{ schema *jsonschema.Schema }

// Validate implements jsonschema.SchemaExt.
func (n names) Validate(ctx *jsonschema.ValidatorContext, v any) {
	obj, ok := v.(map[string]any)
	if !ok {
		return
	}
	for k := range obj {
		if err := ctx.Validate(n.schema, k, []string{k}); err != nil {
			ctx.AddErrors([]*jsonschema.ValidationError{err.(*jsonschema.ValidationError)}, keyword("propertyNames"))
		}
	}
}

// A keyword is the name of a keyword as an error of the engine.
type keyword string

// KeywordPath implements jsonschema.ErrorKind.
func (k keyword) KeywordPath() []string { return []string{string(k)} }

// LocalizedString implements jsonschema.ErrorKind.
func (k keyword) LocalizedString(*message.Printer) string { return string(k) }

// A watched is a pattern in patternProperties: the engine matches it, and the
// machine counts. Of a graph that is only read the machine is nil; a pattern
// that could run away is then taken to match.
type watched struct {
	*pattern
	m *machine
}

// MatchString implements jsonschema.Regexp.
func (w *watched) MatchString(s string) bool {
	if w.m == nil {
		if w.slow != nil {
			return true
		}
		ok, _ := w.match(s)
		return ok
	}
	w.m.spend(w.cost(s))
	return w.m.match(w.pattern, s)
}

// String implements jsonschema.Regexp.
func (w *watched) String() string { return w.source }

// regexFormat is the format "regex". As a pattern of a schema, a group that
// only other dialects have, such as (?i), is taken; as a value it is not ECMA.
func regexFormat(v any) error {
	s, ok := v.(string)
	if !ok {
		return nil
	}
	for rest := s; ; {
		_, after, found := strings.Cut(rest, "(?")
		if !found {
			break
		}
		end := strings.IndexAny(after, ":=!<)P#")
		if end < 0 || strings.IndexByte(")P#", after[end]) >= 0 {
			return errFormat
		}
		rest = after
	}
	_, err := compilePattern(s)
	return err
}
