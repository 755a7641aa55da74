package standard

import (
	"math/big"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/message"
)

// A node is the keywords of one schema that look at a value by itself.
type node struct {
	about string // the schema's description

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

// newNode returns the node of s, nil when it has none of these keywords.
func newNode(s *jsonschema.Schema, formats Formats) *node {
	n := node{types: kindsOf(s.Types)}
	if s.Enum != nil {
		n.values = newValues(s.Enum.Values)
	}
	if s.Const != nil {
		n.one = newValues([]any{*s.Const})
	}
	if n.format = s.Format; formats == Annotation {
		n.format = nil
	} else if f := s.Format; f != nil && f.Name == "regex" {
		n.format = &jsonschema.Format{Name: "regex", Validate: regexFormat}
	}
	n.min, n.max = newBound(s.Minimum), newBound(s.Maximum)
	n.over, n.under = newBound(s.ExclusiveMinimum), newBound(s.ExclusiveMaximum)
	n.step = newBound(s.MultipleOf)
	n.minLen, n.maxLen = s.MinLength, s.MaxLength
	if p, ok := s.Pattern.(*watched); ok {
		n.re = p.pattern
	}
	if n == (node{}) {
		return nil
	}
	n.about = s.Description
	return &n
}

// check judges p by the node's keywords.
func (n *node) check(j *judging, p *place) error {
	k := p.kind
	if n.types != 0 && n.types&k == 0 && (k != isNumber || n.types&isInteger == 0 || !integral(p.raw)) {
		return &fault{"type", n, k}
	}
	if n.one != nil && !n.one.has(j, p) {
		return &fault{"const", n, k}
	}
	if n.values != nil && !n.values.has(j, p) {
		return &fault{"enum", n, k}
	}
	var fs faults
	if n.format != nil {
		if s, ok := p.raw.(string); ok {
			j.spend(1 + len(s)/2)
		}
		if n.format.Validate(p.raw) != nil {
			fs.add("format", n, k)
		}
	}
	switch k {
	case isString:
		n.checkString(j, p.raw.(string), &fs)
	case isNumber:
		n.checkNumber(p.raw, &fs)
	}
	return fs.err()
}

func (n *node) checkString(j *judging, s string, fs *faults) {
	if n.minLen != nil || n.maxLen != nil {
		j.spend(len(s) / 16)
		length := utf8.RuneCountInString(s)
		if n.minLen != nil && length < *n.minLen {
			fs.add("minLength", n, isString)
		}
		if n.maxLen != nil && length > *n.maxLen {
			fs.add("maxLength", n, isString)
		}
	}
	if n.re != nil && !n.re.match(j, s) {
		fs.add("pattern", n, isString)
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

// A keyword is the name of a keyword as an error of the engine.
type keyword string

// KeywordPath implements jsonschema.ErrorKind.
func (k keyword) KeywordPath() []string { return []string{string(k)} }

// LocalizedString implements jsonschema.ErrorKind.
func (k keyword) LocalizedString(*message.Printer) string { return string(k) }

// A watched is a pattern of a schema as the engine keeps it.
type watched struct{ *pattern }

// MatchString implements jsonschema.Regexp, for those who only read a schema. A
// pattern that gives up is taken to match.
func (w watched) MatchString(s string) bool {
	matched, done := w.try(s, maxTry)
	return matched || !done
}

// maxTry is how many steps a match may take that no validation pays for.
const maxTry = 1_000_000

// String implements jsonschema.Regexp.
func (w watched) String() string { return w.source }

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
