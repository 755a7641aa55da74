package standard

import (
	"errors"
	"hash/maphash"
	"math/big"
	"strings"
	"time"
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
	weight int // what a visit spends, beside the size of the value
	title  string
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
	n := &node{m: m, title: s.Title, about: s.Description}
	n.weight = 1 + (len(s.AllOf)+len(s.AnyOf)+len(s.OneOf)+len(s.Required)+len(s.Dependencies)+len(s.DependentRequired)+len(s.DependentSchemas))/8
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
		ok, done := n.re.match(s)
		if !done {
			panic(errBudget)
		}
		if !ok {
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

// A values is the content of an enum or a const.
type values struct {
	list    []any // in the schema's order
	strings map[string]bool
	numbers map[string]bool // decimal keys
	other   []any           // null, booleans and containers
	weight  int             // of comparing with other
	any     bool            // containers match unseen
}

func newValues(list []any, visible bool) *values {
	vs := &values{list: list, strings: map[string]bool{}, any: visible}
	for _, v := range list {
		switch kindOf(v) {
		case isString:
			vs.strings[v.(string)] = true
		case isNumber:
			if vs.numbers == nil {
				vs.numbers = map[string]bool{}
			}
			if d, ok := decimalOf(v); ok {
				vs.numbers[d.key()] = true
			}
		default:
			vs.other = append(vs.other, v)
			vs.weight += size(v)
		}
	}
	return vs
}

func (vs *values) has(v any, m *machine) bool {
	switch k := kindOf(v); k {
	case isString:
		return vs.strings[v.(string)]
	case isNumber:
		if vs.numbers == nil {
			return false
		}
		d, ok := decimalOf(v)
		return ok && vs.numbers[d.key()]
	case isArray, isObject:
		if vs.any {
			return true
		}
		m.spend(vs.weight / 4)
	}
	for _, o := range vs.other {
		if equal(v, o) {
			return true
		}
	}
	return false
}

func size(v any) int {
	n := 1
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			n += size(e)
		}
	case map[string]any:
		for _, e := range v {
			n += 1 + size(e)
		}
	}
	return n
}

// equal is JSON Schema's equality: numbers by value, objects without order.
func equal(a, b any) bool {
	switch a := a.(type) {
	case nil:
		return b == nil
	case bool:
		c, ok := b.(bool)
		return ok && a == c
	case string:
		c, ok := b.(string)
		return ok && a == c
	case []any:
		c, ok := b.([]any)
		if !ok || len(a) != len(c) {
			return false
		}
		for i := range a {
			if !equal(a[i], c[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		c, ok := b.(map[string]any)
		if !ok || len(a) != len(c) {
			return false
		}
		for k, v := range a {
			w, ok := c[k]
			if !ok || !equal(v, w) {
				return false
			}
		}
		return true
	}
	d, ok := decimalOf(a)
	e, ok2 := decimalOf(b)
	return ok && ok2 && d == e
}

// unique stands for uniqueItems. The engine hashes items without saying where
// one ends, so that thousands of nested empty arrays share a hash and each is
// compared with all; here every container states its length.
type unique struct{ m *machine }

// maxUnique is the longest array that uniqueItems is asked of.
const maxUnique = 20_000

// Validate implements jsonschema.SchemaExt.
func (u unique) Validate(ctx *jsonschema.ValidatorContext, v any) {
	list, ok := v.([]any)
	if !ok || len(list) < 2 {
		return
	}
	if len(list) > maxUnique {
		ctx.AddError(keyword("uniqueItems"))
		return
	}
	u.m.spend(size(list) / 2)
	seen := make(map[uint64][]int, len(list))
	var h maphash.Hash
	h.SetSeed(u.m.seed)
	for i, e := range list {
		h.Reset()
		hash(&h, e)
		sum := h.Sum64()
		for _, j := range seen[sum] {
			if equal(e, list[j]) {
				ctx.AddError(keyword("uniqueItems"))
				return
			}
		}
		seen[sum] = append(seen[sum], i)
	}
}

func hash(h *maphash.Hash, v any) {
	switch v := v.(type) {
	case nil:
		h.WriteByte('0')
	case bool:
		if v {
			h.WriteByte('t')
		} else {
			h.WriteByte('f')
		}
	case string:
		hashLen(h, 's', len(v))
		h.WriteString(v)
	case []any:
		hashLen(h, 'a', len(v))
		for _, e := range v {
			hash(h, e)
		}
	case map[string]any:
		hashLen(h, 'o', len(v))
		// Without order: the sum of the members' own hashes.
		var sum uint64
		for k, e := range v {
			var g maphash.Hash
			g.SetSeed(h.Seed())
			hashLen(&g, 'k', len(k))
			g.WriteString(k)
			hash(&g, e)
			sum += g.Sum64()
		}
		hashLen(h, 'S', int(sum))
	default:
		d, _ := decimalOf(v)
		k := d.key()
		hashLen(h, 'n', len(k))
		h.WriteString(k)
	}
}

func hashLen(h *maphash.Hash, tag byte, n int) {
	var b [9]byte
	b[0] = tag
	for i := range 8 {
		b[1+i] = byte(uint64(n) >> (8 * i))
	}
	h.Write(b[:])
}

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
// machine counts.
type watched struct {
	*pattern
	m *machine
}

// MatchString implements jsonschema.Regexp.
func (w *watched) MatchString(s string) bool {
	w.m.spend(w.cost(s))
	ok, done := w.match(s)
	if !done {
		panic(errBudget)
	}
	return ok
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

// The budget of one validation. A step is one schema met by one value, from
// 0.1 to 1 µs with the length of the chain of schemas it stands in. The largest
// published examples take fewer than 20 000; a package of 379 grants, 1 MB and
// 15 000 values, takes 59 000. So a record may spend a base and more with its
// own size, and a small record cannot be dear. The clock is for what steps do
// not see; it is wide, so that a busy machine does not change a verdict.
const (
	baseSteps     = 50_000
	stepsPerValue = 20
	maxSteps      = 250_000
	maxTime       = time.Second
)

var errBudget = errors.New("budget spent")

// spend counts steps, and ends the validation when they or the time are up.
func (m *machine) spend(n int) {
	m.steps += n
	if m.steps < m.check {
		return
	}
	if m.steps > baseSteps && m.limit == 0 {
		m.limit = min(baseSteps+stepsPerValue*size(m.record)+textSize(m.record)/4, maxSteps)
	}
	if m.steps > max(m.limit, baseSteps) || time.Now().After(m.deadline) {
		panic(errBudget)
	}
	m.check = m.steps + 4096
}

// textSize counts the bytes of v's strings.
func textSize(v any) int {
	n := 0
	switch v := v.(type) {
	case string:
		n = len(v)
	case []any:
		for _, e := range v {
			n += textSize(e)
		}
	case map[string]any:
		for k, e := range v {
			n += len(k) + textSize(e)
		}
	}
	return n
}
