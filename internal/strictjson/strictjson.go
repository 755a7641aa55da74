// Package strictjson is the one reader of JSON at every door, and the one
// printer of what is signed.
//
// [Decode] accepts RFC 8259 texts that are also I-JSON (RFC 7493), so that no
// two programs can read the same bytes differently. It refuses a byte order
// mark, invalid UTF-8, a lone surrogate, two members of one name, anything
// after the value, and numbers that a float64 cannot hold in order: integers
// beyond ±(2^53−1), exponents beyond ±308, anything so near to zero that it
// would read as zero, tokens of more than 40 bytes. Every size is bounded by
// [Limits].
//
// [Canonical] prints a decoded value in one way only: members sorted and
// strings escaped as RFC 8785 says, no space between tokens, and every number
// token kept as it was given, for re-spelling a number could change it.
// [AppendJCS] is RFC 8785 to the letter, numbers included.
//
// A decoded value is built of map[string]any, []any, string, [json.Number],
// bool and nil. No error of this package holds a value: only an offset, the
// JSON Pointer of the place, and the rule.
package strictjson

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits bounds what [Decode] accepts. A field that is zero or less stands for
// its default.
type Limits struct {
	Bytes     int // of the whole text; default 1 MiB
	Depth     int // arrays and objects inside one another; default 64
	Values    int // values of every kind, containers included; default 100 000
	StringLen int // bytes of one string or member name, unescaped; default 256 KiB
	NumberLen int // bytes of one number token; default 40

	// WideNumbers lifts the bound of ±(2^53−1), for schemas only, where a
	// publisher may write the largest 64-bit integer as a maximum. A value must
	// still fit a float64 and its exponent ±308.
	WideNumbers bool
}

// DefaultLimits returns the limits for one record.
func DefaultLimits() Limits { return Limits{}.orDefault() }

func (l Limits) orDefault() Limits {
	set := func(n *int, v int) {
		if *n <= 0 {
			*n = v
		}
	}
	set(&l.Bytes, 1<<20)
	set(&l.Depth, 64)
	set(&l.Values, 100_000)
	set(&l.StringLen, 256<<10)
	set(&l.NumberLen, 40)
	return l
}

// The rules that an [Error] can name.
const (
	RuleSize         = "size"          // more bytes than Limits.Bytes
	RuleDepth        = "depth"         // nested deeper than Limits.Depth
	RuleValues       = "values"        // more values than Limits.Values
	RuleString       = "string-length" // a string longer than Limits.StringLen
	RuleNumber       = "number"        // not a number JSON has, or one that cannot be held exactly enough
	RuleUTF8         = "utf-8"         // bytes that are not UTF-8
	RuleBOM          = "bom"           // a byte order mark at the start
	RuleSurrogate    = "surrogate"     // half of a UTF-16 pair, escaped
	RuleDuplicateKey = "duplicate-key" // a member name twice in one object
	RuleTrailingData = "trailing-data" // something after the value
	RuleSyntax       = "syntax"        // not JSON
)

// An Error says why a text was refused. It never holds a value.
type Error struct {
	Offset  int    // bytes from the start of the text
	Pointer string // RFC 6901 pointer to the place, at most 512 bytes; "" is the whole text
	Rule    string // one of the Rule constants
	Fix     string // what to do about it, in plain words
}

func (e *Error) Error() string {
	return fmt.Sprintf("read json: %s at byte %d, place %q: %s", e.Rule, e.Offset, e.Pointer, e.Fix)
}

// maxPointer is the longest pointer an Error carries. A longer one is cut to
// the nearest ancestor that fits.
const maxPointer = 512

// Decode reads one JSON text. Errors are of type *[Error]. The result does not
// alias b. Decode may be called concurrently.
func Decode(b []byte, lim Limits) (any, error) {
	lim = lim.orDefault()
	d := decoder{lim: lim, depth: lim.Depth, values: lim.Values}
	var room [24]member // enough for most records: no garbage for them
	d.stack = room[:0]
	v, err := d.text(b)
	if err != nil {
		err.Pointer = d.pointer()
		return nil, err
	}
	return v, nil
}

// DecodeCanonical is [Decode] and [Canonical] of what it returns. A text that is canonical
// as it stands is told in passing and is not printed again: then canonical is b.
func DecodeCanonical(b []byte, lim Limits) (v any, canonical []byte, err error) {
	lim = lim.orDefault()
	d := decoder{lim: lim, depth: lim.Depth, values: lim.Values}
	var room [24]member
	d.stack = room[:0]
	v, e := d.text(b)
	if e != nil {
		e.Pointer = d.pointer()
		return nil, nil, e
	}
	if !d.other {
		return v, b, nil
	}
	// No longer than b: every escape has a form that is as short as any.
	return v, AppendCanonical(make([]byte, 0, len(b)), v), nil
}

type member struct {
	key string
	val any
	off int // of the key, for the report of a duplicate
}

type decoder struct {
	s      string
	i      int // next byte of s
	bad    int // offset of the first byte that is not UTF-8; len(s) when all is well
	depth  int // levels left
	values int // values left
	lim    Limits
	stack  []member // members and elements of the containers that are still open
	path   []string // reference tokens of an error's place, innermost first
	other  bool     // the text is not canonical
}

func (d *decoder) text(b []byte) (any, *Error) {
	if len(b) > d.lim.Bytes {
		return nil, &Error{Offset: d.lim.Bytes, Rule: RuleSize, Fix: fmt.Sprintf("send at most %d bytes in one document", d.lim.Bytes)}
	}
	if len(b) >= 3 && b[0] == 0xEF && b[1] == 0xBB && b[2] == 0xBF {
		return nil, &Error{Rule: RuleBOM, Fix: "save the text as UTF-8 without a byte order mark"}
	}
	d.s = string(b)
	d.bad = len(d.s)
	if !utf8.ValidString(d.s) {
		d.bad = firstInvalid(d.s)
	}
	d.space()
	v, err := d.value()
	if err != nil {
		return nil, err
	}
	d.space()
	if d.i < len(d.s) {
		return nil, d.fail(RuleTrailingData, "end the text after the one value; records one per line are NDJSON, which is read line by line")
	}
	return v, nil
}

func firstInvalid(s string) int {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return len(s)
}

func (d *decoder) fail(rule, fix string) *Error {
	// Outside a string a byte that is not UTF-8 can only be a syntax error; say
	// what it truly is, since the cure is another.
	if d.bad <= d.i && d.bad < len(d.s) {
		return d.notUTF8()
	}
	return &Error{Offset: d.i, Rule: rule, Fix: fix}
}

func (d *decoder) notUTF8() *Error {
	return &Error{Offset: d.bad, Rule: RuleUTF8, Fix: "save the text as UTF-8 (not Windows-1252 or UTF-16)"}
}

func (d *decoder) syntax() *Error {
	if d.i >= len(d.s) {
		return d.fail(RuleSyntax, "the text ends in the middle; send all of it")
	}
	return d.fail(RuleSyntax, "write valid JSON (RFC 8259): check quotes, commas and brackets near here")
}

func (d *decoder) space() {
	for d.i < len(d.s) {
		switch d.s[d.i] {
		case ' ', '\n', '\r', '\t':
			d.i++
			d.other = true
		default:
			return
		}
	}
}

func (d *decoder) value() (any, *Error) {
	if d.values--; d.values < 0 {
		return nil, d.fail(RuleValues, fmt.Sprintf("send at most %d values in one document", d.lim.Values))
	}
	if d.i >= len(d.s) {
		return nil, d.syntax()
	}
	switch c := d.s[d.i]; c {
	case '"':
		s, err := d.str()
		if err != nil {
			return nil, err
		}
		return s, nil
	case '{':
		return d.object()
	case '[':
		return d.array()
	case 't':
		if strings.HasPrefix(d.s[d.i:], "true") {
			d.i += 4
			return true, nil
		}
	case 'f':
		if strings.HasPrefix(d.s[d.i:], "false") {
			d.i += 5
			return false, nil
		}
	case 'n':
		if strings.HasPrefix(d.s[d.i:], "null") {
			d.i += 4
			return nil, nil
		}
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		n, err := d.number()
		if err != nil {
			return nil, err
		}
		return n, nil
	case 'N', 'I', '+', '.':
		return nil, d.fail(RuleNumber, "JSON has no NaN, Infinity, leading + or bare decimal point; write null for a number that is not known")
	}
	return nil, d.syntax()
}

func (d *decoder) enter() *Error {
	if d.depth--; d.depth < 0 {
		return d.fail(RuleDepth, fmt.Sprintf("nest at most %d levels deep", d.lim.Depth))
	}
	d.i++ // the bracket
	d.space()
	return nil
}

func (d *decoder) object() (any, *Error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	base := len(d.stack)
	for first := true; ; first = false {
		if d.i < len(d.s) && d.s[d.i] == '}' && first {
			break
		}
		off := d.i
		if off >= len(d.s) || d.s[off] != '"' {
			return nil, d.syntax()
		}
		key, err := d.str()
		if err != nil {
			return nil, err
		}
		if !first && !d.other {
			d.other = compareUTF16(d.stack[len(d.stack)-1].key, key) >= 0
		}
		d.space()
		if d.i >= len(d.s) || d.s[d.i] != ':' {
			return nil, d.syntax()
		}
		d.i++
		d.space()
		v, err := d.value()
		if err != nil {
			d.path = append(d.path, key)
			return nil, err
		}
		d.stack = append(d.stack, member{key, v, off})
		d.space()
		if d.i >= len(d.s) {
			return nil, d.syntax()
		}
		if d.s[d.i] == '}' {
			break
		}
		if d.s[d.i] != ',' {
			return nil, d.syntax()
		}
		d.i++
		d.space()
	}
	d.i++
	d.depth++
	members := d.stack[base:]
	m := make(map[string]any, len(members))
	for n, e := range members {
		m[e.key] = e.val
		if len(m) != n+1 {
			d.path = append(d.path, e.key)
			return nil, &Error{Offset: e.off, Rule: RuleDuplicateKey, Fix: "name each member of an object once"}
		}
	}
	clear(members) // the stack must not keep values alive, nor grow with them
	d.stack = d.stack[:base]
	return m, nil
}

func (d *decoder) array() (any, *Error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	base := len(d.stack)
	for n := 0; ; n++ {
		if d.i < len(d.s) && d.s[d.i] == ']' && n == 0 {
			break
		}
		v, err := d.value()
		if err != nil {
			d.path = append(d.path, strconv.Itoa(n))
			return nil, err
		}
		d.stack = append(d.stack, member{val: v})
		d.space()
		if d.i >= len(d.s) {
			return nil, d.syntax()
		}
		if d.s[d.i] == ']' {
			break
		}
		if d.s[d.i] != ',' {
			return nil, d.syntax()
		}
		d.i++
		d.space()
	}
	d.i++
	d.depth++
	elements := d.stack[base:]
	a := make([]any, len(elements))
	for n := range elements {
		a[n] = elements[n].val
	}
	clear(elements)
	d.stack = d.stack[:base]
	return a, nil
}

// pointer spells the path collected while an error travelled outwards.
func (d *decoder) pointer() string {
	var b strings.Builder
	for i := len(d.path) - 1; i >= 0; i-- {
		tok := strings.ReplaceAll(strings.ReplaceAll(d.path[i], "~", "~0"), "/", "~1")
		if b.Len()+1+len(tok) > maxPointer {
			break
		}
		b.WriteByte('/')
		b.WriteString(tok)
	}
	return b.String()
}
