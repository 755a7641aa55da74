package standard

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode"
)

// Caps on a pattern.
const (
	maxPattern = 4 << 10 // bytes as written
	maxProgram = 25_000  // instructions: repeats multiply, as in ((a{9}){9}){9}
	maxLooks   = 50      // look-ahead and look-behind
)

// A pattern is one regular expression of a schema. JSON Schema means ECMA-262
// with the u flag. It is matched by counted steps (see matching), in time linear
// in the text, but for what look-around multiplies and for back references,
// where each way is tried in turn. It does not change and is shared.
type pattern struct {
	source string
	prog   *prog
}

// A prog is a pattern, or what a look-around asks for, as instructions.
type prog struct {
	prog     *syntax.Prog
	looks    []*look // by group of the prog; nil for others
	anchored bool    // it begins with ^
	context  bool    // it asks what stands on both sides of a place
	tree     *syntax.Regexp
	groups   map[string]group // with back references, what each named group of tree is
	count    int              // with back references, how many groups there are
}

// A look is a look-ahead or a look-behind.
type look struct {
	of     *prog
	not    bool
	behind bool
}

// A group is what a group of a tree stands for.
type group struct {
	number int   // a capture, from 1
	refers int   // a back reference to that capture
	look   *look // a look-around
}

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

var (
	errPattern = errors.New("pattern is not an ECMA-262 regular expression")
	errRepeats = errors.New("pattern repeats too much")
)

func compilePattern(src string) (*pattern, error) {
	if len(src) > maxPattern {
		return nil, fmt.Errorf("pattern is over %d bytes", maxPattern)
	}
	t := &translation{src: src}
	t.survey()
	pr, err := t.compile(src)
	if err != nil {
		return nil, err
	}
	for _, n := range t.refers {
		if n > t.count {
			return nil, errors.New("pattern refers back to a group that it does not have")
		}
	}
	return &pattern{src, pr}, nil
}

// A translation writes one ECMA-262 pattern as the parser of RE2 reads it. What
// RE2 does not have becomes a named empty group, for which a prog has its own
// instruction.
type translation struct {
	src    string
	back   bool           // there are back references, so groups are numbered
	names  map[string]int // of groups, by name
	count  int            // groups in all
	opened int            // so far
	looks  int
	size   int // instructions so far
	refers []int
	groups map[string]group

	repeats map[string]repeat // over maxRepeat, by the group that stands for one
}

// A repeat is how often; high below 0 is without end.
type repeat struct{ low, high int }

// survey counts the groups and finds whether any is referred back to.
func (t *translation) survey() {
	t.names, t.groups, t.repeats = map[string]int{}, map[string]group{}, map[string]repeat{}
	class := false
	for i := 0; i < len(t.src); i++ {
		switch c := t.src[i]; {
		case c == '\\' && i+1 < len(t.src):
			i++
			if d := t.src[i]; !class && ('1' <= d && d <= '9' || d == 'k') {
				t.back = true
			}
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '(' && !strings.HasPrefix(t.src[i:], "(?"):
			t.count++
		case strings.HasPrefix(t.src[i:], "(?<") && i+3 < len(t.src) && t.src[i+3] != '=' && t.src[i+3] != '!':
			t.count++
			if name, _, ok := strings.Cut(t.src[i+3:], ">"); ok {
				t.names[name] = t.count
			}
		}
	}
}

// compile makes a prog of a part of the pattern.
func (t *translation) compile(src string) (*prog, error) {
	looks := map[string]*look{}
	text, err := t.toRE2(src, looks)
	if err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		if e, ok := err.(*syntax.Error); ok && (e.Code == syntax.ErrInvalidRepeatSize || e.Code == syntax.ErrLarge || e.Code == syntax.ErrNestingDepth) {
			return nil, errRepeats
		}
		return nil, errPattern
	}
	names, most := tree.CapNames(), tree.MaxCap()
	t.restore(tree)
	// A repeat multiplies: what is too large is not written out first.
	if t.size += instructions(tree); t.size > maxProgram {
		return nil, errRepeats
	}
	p := &prog{tree: tree, looks: make([]*look, most+1)}
	for i, n := range names {
		p.looks[i] = looks[n]
	}
	if t.back {
		p.groups, p.count = t.groups, t.count
		return p, nil
	}
	if p.prog, err = syntax.Compile(tree.Simplify()); err != nil {
		return nil, errPattern
	}
	p.anchored = p.prog.StartCond()&syntax.EmptyBeginText != 0
	for _, in := range p.prog.Inst {
		p.context = p.context || in.Op == syntax.InstEmptyWidth
	}
	return p, nil
}

// instructions bounds the length of a tree's program.
func instructions(re *syntax.Regexp) int {
	n := 1
	for _, s := range re.Sub {
		n = min(n+instructions(s), 2*maxProgram)
	}
	switch re.Op {
	case syntax.OpLiteral:
		n = len(re.Rune)
	case syntax.OpCapture, syntax.OpAlternate:
		n++
	case syntax.OpRepeat:
		times := re.Max
		if re.Max < 0 {
			times = re.Min + 1
		}
		n = min(n*max(times, 1), 2*maxProgram)
	}
	return n
}

// What ECMA-262 and RE2 mean differently by the same letters, as the inside of
// an RE2 class: white space (WhiteSpace and LineTerminator, sections 12.2 and
// 12.3), and the rest.
const (
	space    = `\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`
	notSpace = `\x00-\x08\x0e-\x1f!-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}`
	anyRune  = `\x00-\x{10ffff}`
)

// maxRepeat is the largest repeat that the parser takes.
const maxRepeat = 1000

// toRE2 writes src, and looks gets what each group named "look" stands for. It
// returns an error for an escape that ECMA-262 does not have.
func (t *translation) toRE2(src string, looks map[string]*look) (string, error) {
	var b strings.Builder
	class := false // inside [ ]
	atom := 0      // where the last atom begins in b
	var open []int // where the groups that are open do
	for i := 0; i < len(src); {
		if !class && strings.IndexByte("*+?{)|", src[i]) < 0 {
			atom = b.Len()
		}
		switch c := src[i]; {
		case c == '\\':
			if !class {
				if n, err := t.backReference(&b, src[i:]); err != nil {
					return "", err
				} else if n > 0 {
					i += n
					continue
				}
			}
			n, err := escapeToRE2(&b, src[i:], class)
			if err != nil {
				return "", err
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
		case c == '(':
			n, isLook, err := t.group(&b, src[i:], looks)
			if err != nil {
				return "", err
			}
			if !isLook {
				open = append(open, atom)
			}
			i += n
			continue
		case c == ')' && len(open) > 0:
			atom = open[len(open)-1]
			open = open[:len(open)-1]
		case c == '{':
			if n := t.repeatOver(&b, atom, src[i:]); n > 0 {
				i += n
				continue
			}
		}
		b.WriteByte(src[i])
		i++
	}
	return b.String(), nil
}

// group writes the opening of a group, or the whole of a look-around, that s
// begins with, and returns how much of s that was.
func (t *translation) group(b *strings.Builder, s string, looks map[string]*look) (n int, isLook bool, err error) {
	for _, x := range []struct {
		begins      string
		not, behind bool
	}{{"(?=", false, false}, {"(?!", true, false}, {"(?<=", false, true}, {"(?<!", true, true}} {
		if !strings.HasPrefix(s, x.begins) {
			continue
		}
		end := groupEnd(s)
		if end < 0 {
			return 0, false, errPattern
		}
		if t.looks++; t.looks > maxLooks {
			return 0, false, fmt.Errorf("pattern looks around over %d times", maxLooks)
		}
		name := "look" + strconv.Itoa(t.looks)
		of, err := t.compile(s[len(x.begins) : end-1])
		if err != nil {
			return 0, false, err
		}
		looks[name] = &look{of, x.not, x.behind}
		t.groups[name] = group{look: looks[name]}
		b.WriteString("(?P<" + name + ">)")
		return end, true, nil
	}
	n = 1
	named := false
	if strings.HasPrefix(s, "(?<") {
		end := strings.IndexByte(s, '>')
		if end < 4 {
			return 0, false, errPattern
		}
		n, named = end+1, true
	}
	switch {
	case !named && strings.HasPrefix(s, "(?"):
		b.WriteByte('(')
	case t.back:
		t.opened++
		name := "g" + strconv.Itoa(t.opened)
		t.groups[name] = group{number: t.opened}
		b.WriteString("(?P<" + name + ">")
	default:
		b.WriteString("(?:")
	}
	return n, false, nil
}

// backReference writes the back reference that s begins with, if it is one.
func (t *translation) backReference(b *strings.Builder, s string) (n int, err error) {
	to := 0
	switch {
	case len(s) > 1 && '1' <= s[1] && s[1] <= '9':
		for n = 2; n < len(s) && n < 5 && '0' <= s[n] && s[n] <= '9'; n++ {
		}
		to, _ = strconv.Atoi(s[1:n])
	case strings.HasPrefix(s, `\k<`):
		end := strings.IndexByte(s, '>')
		if end < 0 {
			return 0, errPattern
		}
		if to = t.names[s[3:end]]; to == 0 {
			return 0, errors.New("pattern refers back to a group that it does not have")
		}
		n = end + 1
	default:
		return 0, nil
	}
	t.refers = append(t.refers, to)
	name := "ref" + strconv.Itoa(len(t.refers))
	t.groups[name] = group{refers: to}
	b.WriteString("(?P<" + name + ">)")
	return n, nil
}

// repeatOver writes a repeat over maxRepeat of the atom at the end of b as a
// group, which compile makes a repeat of again, and returns the length of the
// repeat in s; 0 when it is no such.
func (t *translation) repeatOver(b *strings.Builder, atom int, s string) int {
	end := strings.IndexByte(s, '}')
	if end < 0 {
		return 0
	}
	low, high, ranged := strings.Cut(s[1:end], ",")
	r := repeat{}
	var err error
	if r.low, err = strconv.Atoi(low); err != nil || !digitsOnly(low) {
		return 0
	}
	switch {
	case !ranged:
		r.high = r.low
	case high == "":
		r.high = -1
	default:
		if r.high, err = strconv.Atoi(high); err != nil || !digitsOnly(high) || r.high < r.low {
			return 0
		}
	}
	if max(r.low, r.high) <= maxRepeat || max(r.low, r.high) > maxProgram {
		return 0
	}
	name := "rep" + strconv.Itoa(len(t.repeats))
	t.repeats[name] = r
	all := b.String()
	b.Reset()
	fmt.Fprintf(b, "%s(?P<%s>%s)", all[:atom], name, all[atom:])
	if end++; end < len(s) && s[end] == '?' {
		end++ // the shortest first, which is the same where only a match is asked for
	}
	return end
}

// restore puts the repeats in the place of the groups that stand for them.
func (t *translation) restore(re *syntax.Regexp) {
	if r, ok := t.repeats[re.Name]; ok && re.Op == syntax.OpCapture {
		re.Op, re.Min, re.Max, re.Name, re.Cap = syntax.OpRepeat, r.low, r.high, "", 0
	}
	for _, s := range re.Sub {
		t.restore(s)
	}
}

// groupEnd returns the index after the parenthesis that closes the one that s
// begins with, or -1.
func groupEnd(s string) int {
	depth, class := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
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

var errEscape = errors.New("pattern has an escape that ECMA-262 does not have")

// escapeToRE2 writes the escape that s begins with and returns its length.
func escapeToRE2(b *strings.Builder, s string, class bool) (n int, err error) {
	if len(s) < 2 {
		return 0, errEscape
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
				return 0, errEscape
			}
			b.WriteString(`\x08`)
		} else {
			b.WriteString(s[:2])
		}
	case '0':
		if len(s) > 2 && '0' <= s[2] && s[2] <= '9' {
			return 0, errEscape
		}
		b.WriteString(`\x00`)
	case 'c':
		if len(s) < 3 || !('a' <= s[2]|0x20 && s[2]|0x20 <= 'z') {
			return 0, errEscape
		}
		fmt.Fprintf(b, `\x%02x`, s[2]&31)
		return 3, nil
	case 'x', 'u':
		r, n := codePoint(s)
		if n == 0 {
			return 0, errEscape
		}
		if r >= 0xD800 && r < 0xE000 {
			set(`^` + anyRune) // half a pair matches nothing in UTF-8 text
			return n, nil
		}
		fmt.Fprintf(b, `\x{%x}`, r)
		return n, nil
	case 'p', 'P':
		end := strings.IndexByte(s, '}')
		if len(s) < 4 || s[2] != '{' || end < 0 {
			return 0, errEscape
		}
		name := unicodeName(s[3:end])
		if name == "" {
			return 0, errEscape
		}
		b.WriteString(s[:2] + "{" + name + "}")
		return end + 1, nil
	default:
		// A letter that escapes nothing is an error with the u flag, and in
		// other dialects an anchor or a class: better refused than misread.
		if c == '_' || (c < 0x80 && !unicode.IsLetter(rune(c)) && !unicode.IsDigit(rune(c))) {
			if c != '_' {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
			return 2, nil
		}
		return 0, errEscape
	}
	return 2, nil
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
