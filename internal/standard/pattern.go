package standard

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/dlclark/regexp2"
)

// Caps on a pattern.
const (
	maxPattern = 4 << 10 // bytes as written
	maxProgram = 10_000  // RE2 instructions: repeats multiply, as in ((a{9}){9}){9}

	// patternTime ends a match that backtracks without end.
	patternTime = 25 * time.Millisecond
)

// A pattern is one regular expression of a schema. JSON Schema means ECMA-262
// with the u flag. What RE2 can say, it says, in time linear in the text. That
// includes look-ahead right after a leading ^, which is how publishers say "but
// not these": there each look-ahead is a pattern of its own. Only other
// look-around, back references and repeats over 1000 go to an engine that can
// run away, on a clock. It does not change and is shared.
type pattern struct {
	source string
	parts  []part // all of which decide
	insts  int
	slow   *regexp2.Regexp // when there are no parts
}

// A part is a pattern of RE2 that must match, or must not.
type part struct {
	re  *regexp.Regexp
	not bool
}

// The engine's clock ticks ten times a second unless told otherwise, which
// would stretch patternTime to fivefold. It can be told only before first use.
var quickClock = sync.OnceFunc(func() { regexp2.SetTimeoutCheckPeriod(patternTime / 5) })

// A patterns is the patterns of one standard, by source. Not for concurrent use.
type patterns map[string]*pattern

func (ps patterns) compile(src string) (*pattern, error) {
	if p := ps[src]; p != nil {
		return p, nil
	}
	p, err := compilePattern(src)
	if err != nil {
		return nil, err
	}
	ps[src] = p
	return p, nil
}

func compilePattern(src string) (p *pattern, err error) {
	if len(src) > maxPattern {
		return nil, fmt.Errorf("pattern is over %d bytes", maxPattern)
	}
	p = &pattern{source: src}
	sayable := true
	for _, a := range lookAheads(src) {
		re2, ok, err := toRE2(a.src)
		if err != nil {
			return nil, err
		}
		tree, err := syntax.Parse(re2, syntax.Perl)
		if !ok || err != nil {
			sayable = false
			break
		}
		prog, err := syntax.Compile(tree.Simplify())
		if err != nil {
			return nil, err
		}
		if p.insts += len(prog.Inst); p.insts > maxProgram {
			return nil, errors.New("pattern repeats too much")
		}
		re, err := regexp.Compile(re2)
		if err != nil {
			return nil, err
		}
		p.parts = append(p.parts, part{re, a.not})
	}
	if sayable {
		return p, nil
	}
	p.parts, p.insts = nil, 0
	defer func() {
		if recover() != nil {
			p, err = nil, errors.New("pattern is not a regular expression")
		}
	}()
	quickClock()
	p.slow, err = regexp2.Compile(src, regexp2.ECMAScript|regexp2.Unicode)
	if err != nil {
		return nil, errors.New("pattern is not an ECMA-262 regular expression")
	}
	p.slow.MatchTimeout = patternTime
	return p, nil
}

// An ahead is one of the patterns that a pattern with look-ahead comes to.
type ahead struct {
	src string
	not bool
}

// lookAheads divides a pattern that begins with ^ and look-aheads into them and
// the rest, each anchored by itself; any other pattern is its own rest.
func lookAheads(src string) []ahead {
	whole := []ahead{{src, false}}
	if !strings.HasPrefix(src, "^") {
		return whole
	}
	var out []ahead
	at := 1
	for strings.HasPrefix(src[at:], "(?=") || strings.HasPrefix(src[at:], "(?!") {
		end := groupEnd(src, at)
		if end < 0 {
			return whole
		}
		out = append(out, ahead{"^(?:" + src[at+3:end-1] + ")", src[at+2] == '!'})
		if at = end; at < len(src) && strings.IndexByte("*+?{", src[at]) >= 0 {
			return whole // a repeated look-ahead
		}
	}
	if out == nil {
		return whole
	}
	// ^ binds tighter than |, and groups are counted across the look-aheads.
	rest := src[at:]
	if groupEnd("(?:"+rest+")", 0) != len(rest)+4 || topLevelOr(rest) {
		return whole
	}
	return append(out, ahead{"^(?:" + rest + ")", false})
}

// groupEnd returns the index after the parenthesis that closes the one at i, or
// -1.
func groupEnd(src string, i int) int {
	depth, class := 0, false
	for ; i < len(src); i++ {
		switch c := src[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

func topLevelOr(src string) bool {
	depth, class := 0, false
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			return true
		}
	}
	return false
}

// cost is what a match against s spends of the budget.
func (p *pattern) cost(s string) int { return 1 + p.insts*len(s)/32 }

// match reports whether s holds a match, and false for done when the match was
// given up.
func (p *pattern) match(s string) (matched, done bool) {
	if p.slow == nil {
		for _, part := range p.parts {
			if part.re.MatchString(s) == part.not {
				return false, true
			}
		}
		return true, true
	}
	ok, err := p.slow.MatchString(s)
	return ok, err == nil
}

// What ECMA-262 and RE2 mean differently by the same letters, as the inside of
// an RE2 class: white space (WhiteSpace and LineTerminator, sections 12.2 and
// 12.3), and the rest.
const (
	space    = `\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`
	notSpace = `\x00-\x08\x0e-\x1f!-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}`
	anyRune  = `\x00-\x{10ffff}`
)

// toRE2 writes an ECMA-262 pattern as RE2 reads it. It reports false for what
// RE2 cannot say, and an error for an escape that ECMA-262 does not have.
func toRE2(src string) (out string, ok bool, err error) {
	var b strings.Builder
	class := false // inside [ ]
	for i := 0; i < len(src); {
		switch c := src[i]; {
		case c == '\\':
			n, ok, err := escapeToRE2(&b, src[i:], class)
			if err != nil || !ok {
				return "", ok, err
			}
			i += n
			continue
		case class && c == ']':
			class = false
		case class && c == '[':
			b.WriteString(`\[`) // RE2 would look for [:alpha:]
			i++
			continue
		case class:
		case c == '.':
			b.WriteString(`[^\n\r\x{2028}\x{2029}]`)
			i++
			continue
		case strings.HasPrefix(src[i:], "[^]"):
			b.WriteString("[" + anyRune + "]")
			i += 3
			continue
		case strings.HasPrefix(src[i:], "[]"):
			b.WriteString("[^" + anyRune + "]")
			i += 2
			continue
		case c == '[':
			class = true
			if strings.HasPrefix(src[i:], "[^") {
				b.WriteString("[^")
				i += 2
				continue
			}
		case strings.HasPrefix(src[i:], "(?=") || strings.HasPrefix(src[i:], "(?!") ||
			strings.HasPrefix(src[i:], "(?<=") || strings.HasPrefix(src[i:], "(?<!"):
			return "", false, nil
		}
		b.WriteByte(src[i])
		i++
	}
	return b.String(), true, nil
}

var errEscape = errors.New("pattern has an escape that ECMA-262 does not have")

// escapeToRE2 writes the escape that s begins with and returns its length.
func escapeToRE2(b *strings.Builder, s string, class bool) (n int, ok bool, err error) {
	if len(s) < 2 {
		return 0, false, errEscape
	}
	set := func(inside string) {
		if class {
			b.WriteString(inside)
		} else {
			b.WriteString("[" + inside + "]")
		}
	}
	switch c := s[1]; c {
	case 's':
		set(space)
	case 'S':
		set(notSpace)
	case 'd', 'D', 'w', 'W', 't', 'n', 'v', 'f', 'r':
		b.WriteString(s[:2])
	case 'b', 'B':
		if class {
			if c == 'B' {
				return 0, false, errEscape
			}
			b.WriteString(`\x08`)
		} else {
			b.WriteString(s[:2])
		}
	case '0':
		if len(s) > 2 && '0' <= s[2] && s[2] <= '9' {
			return 0, false, errEscape
		}
		b.WriteString(`\x00`)
	case '1', '2', '3', '4', '5', '6', '7', '8', '9', 'k':
		return 0, false, nil // a back reference
	case 'c':
		if len(s) < 3 || !('a' <= s[2]|0x20 && s[2]|0x20 <= 'z') {
			return 0, false, errEscape
		}
		fmt.Fprintf(b, `\x%02x`, s[2]&31)
		return 3, true, nil
	case 'x', 'u':
		r, n := codePoint(s)
		if n == 0 {
			return 0, false, errEscape
		}
		if r >= 0xD800 && r < 0xE000 {
			return 0, false, nil // half a pair matches nothing in UTF-8 text
		}
		fmt.Fprintf(b, `\x{%x}`, r)
		return n, true, nil
	case 'p', 'P':
		end := strings.IndexByte(s, '}')
		if len(s) < 4 || s[2] != '{' || end < 0 {
			return 0, false, errEscape
		}
		name := unicodeName(s[3:end])
		if name == "" {
			return 0, false, errEscape
		}
		b.WriteString(s[:2] + "{" + name + "}")
		return end + 1, true, nil
	default:
		// A letter that escapes nothing is an error with the u flag, and in
		// other dialects an anchor or a class: better refused than misread.
		if c == '_' || (c < 0x80 && !unicode.IsLetter(rune(c)) && !unicode.IsDigit(rune(c))) {
			if c != '_' {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
			return 2, true, nil
		}
		return 0, false, errEscape
	}
	return 2, true, nil
}

// codePoint reads \xHH, \uHHHH, \u{H…} or a surrogate pair of the second kind.
func codePoint(s string) (rune, int) {
	hex := func(s string, from, to int) (rune, bool) {
		if to > len(s) || to == from || to-from > 6 {
			return 0, false
		}
		n, err := strconv.ParseUint(s[from:to], 16, 32)
		return rune(n), err == nil && n <= unicode.MaxRune
	}
	if s[1] == 'x' {
		if r, ok := hex(s, 2, 4); ok {
			return r, 4
		}
		return 0, 0
	}
	if strings.HasPrefix(s, `\u{`) {
		end := strings.IndexByte(s, '}')
		if r, ok := hex(s, 3, max(end, 3)); ok {
			return r, end + 1
		}
		return 0, 0
	}
	r, ok := hex(s, 2, 6)
	if !ok {
		return 0, 0
	}
	if r >= 0xD800 && r < 0xDC00 && strings.HasPrefix(s[6:], `\u`) {
		if low, ok := hex(s, 8, 12); ok && low >= 0xDC00 && low < 0xE000 {
			return (r-0xD800)<<10 + (low - 0xDC00) + 0x10000, 12
		}
	}
	return r, 6
}

// unicodeName returns Go's name of a Unicode property that ECMA-262 names, ""
// when it has none.
func unicodeName(s string) string {
	if k, v, ok := strings.Cut(s, "="); ok {
		switch k {
		case "gc", "General_Category", "sc", "Script", "scx", "Script_Extensions":
			s = v
		default:
			return ""
		}
	}
	switch s {
	case "Letter":
		return "L"
	case "Lowercase_Letter":
		return "Ll"
	case "Uppercase_Letter":
		return "Lu"
	case "Mark":
		return "M"
	case "Number":
		return "N"
	case "Decimal_Number", "digit":
		return "Nd"
	case "Punctuation", "punct":
		return "P"
	case "Symbol":
		return "S"
	case "Separator":
		return "Z"
	case "Space_Separator":
		return "Zs"
	case "Other":
		return "C"
	case "Control", "cntrl":
		return "Cc"
	}
	if unicode.Categories[s] != nil || unicode.Scripts[s] != nil {
		return s
	}
	return ""
}
