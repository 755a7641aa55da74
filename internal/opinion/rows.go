package opinion

import (
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The row language as it is read here is the part of CEL (cel-spec) that package agreement
// admits. Precedence, the lowest first:
//
//	or = and { "||" and }            conditional = or [ "?" or ":" conditional ]
//	and = relation { "&&" relation }
//	relation = sum { ("==" "!=" "<" "<=" ">" ">=" "in") sum }
//	sum = product { ("+" "-") product }    product = unary { ("*" "/" "%") unary }
//	unary = { "!" | "-" } member           member = primary { "." name [ args ] | "[" e "]" }
//
// An expression is compiled to functions, each of which is a node.

// A node comes out as a value, or as an error when it has none.
type node func(*run) (any, error)

// A run is one evaluation.
type run struct {
	record map[string]any
	names  []any // what macros have bound, by depth
	steps  int
}

// maxSteps bounds an evaluation. It is far above what the first decision lets an expression
// cost, so that what that one ends this one does.
const maxSteps = 20_000_000

var (
	errSyntax = errors.New("not a row expression")
	errNone   = errors.New("no value")
)

// Bounds of a text; the first decision has narrower ones.
const (
	maxText  = 64 << 10
	maxDepth = 250
)

func parseRows(text string) (node, error) {
	if len(text) > maxText || !utf8.ValidString(text) {
		return nil, errSyntax
	}
	p := parser{in: text, scope: []string{}}
	p.next()
	n := p.conditional()
	if p.bad || p.tok.kind != end {
		return nil, errSyntax
	}
	return n.node, nil
}

type kind int

const (
	end   kind = iota
	word       // an identifier
	sign       // an operator or a bracket
	value      // a literal
)

type token struct {
	kind kind
	text string
	val  any // of a literal
}

type parser struct {
	in    string
	at    int
	tok   token
	bad   bool
	depth int
	scope []string // names that macros bind, the innermost last
}

// A term is a parsed expression: what it does, and what has asks of it.
type term struct {
	node node
	// of and key, of a selection: has asks whether it is there.
	of  node
	key string
}

func (p *parser) fail() term {
	p.bad = true
	return term{node: func(*run) (any, error) { return nil, errNone }}
}

var signs = []string{"||", "&&", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",", "(", ")", "[", "]", "{", "}"}

func letter(c byte) bool { return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

// next reads a token.
func (p *parser) next() {
	for p.at < len(p.in) {
		c := p.in[p.at]
		if strings.HasPrefix(p.in[p.at:], "//") {
			n := strings.IndexByte(p.in[p.at:], '\n')
			if n < 0 {
				n = len(p.in) - p.at
			}
			p.at += n
			continue
		}
		if !strings.ContainsRune(" \t\n\r\f", rune(c)) {
			break
		}
		p.at++
	}
	if p.at >= len(p.in) {
		p.tok = token{}
		return
	}
	c := p.in[p.at]
	rest := p.in[p.at:]
	if raw := (c == 'r' || c == 'R') && len(rest) > 1 && (rest[1] == '"' || rest[1] == '\''); raw || c == '"' || c == '\'' {
		if raw {
			p.at++
		}
		s, ok := p.text(raw)
		p.bad = p.bad || !ok
		p.tok = token{kind: value, val: s}
		return
	}
	switch {
	case letter(c):
		n := 1
		for n < len(rest) && (letter(rest[n]) || digit(rest[n])) {
			n++
		}
		p.at += n
		p.tok = token{kind: word, text: rest[:n]}
		switch rest[:n] {
		case "true", "false":
			p.tok = token{kind: value, val: rest[:n] == "true"}
		case "null":
			p.tok = token{kind: value}
		case "in":
			p.tok = token{kind: sign, text: "in"}
		}
		return
	case digit(c) || c == '.' && len(rest) > 1 && digit(rest[1]):
		p.number("")
		return
	}
	for _, s := range signs {
		if strings.HasPrefix(rest, s) {
			p.at += len(s)
			p.tok = token{kind: sign, text: s}
			return
		}
	}
	p.bad = true
	p.tok = token{}
	p.at = len(p.in)
}

var numeral = regexp.MustCompile(`^(?:0x[0-9a-fA-F]+|[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|[0-9]+)`)

// number reads a number, of which minus was read before.
func (p *parser) number(minus string) {
	s := numeral.FindString(p.in[p.at:])
	p.at += len(s)
	if p.at < len(p.in) && (letter(p.in[p.at])) { // 1u, 1x
		p.bad = true
	}
	p.tok = token{kind: value}
	var err error
	switch {
	case strings.HasPrefix(s, "0x"):
		p.tok.val, err = strconv.ParseInt(minus+s[2:], 16, 64)
	case strings.ContainsAny(s, ".eE"):
		p.tok.val, err = strconv.ParseFloat(minus+s, 64)
	default:
		p.tok.val, err = strconv.ParseInt(minus+s, 10, 64)
	}
	p.bad = p.bad || err != nil
}

// text reads a string that begins at its quotation mark.
func (p *parser) text(raw bool) (string, bool) {
	q := p.in[p.at : p.at+1]
	if strings.HasPrefix(p.in[p.at:], q+q+q) {
		q = q + q + q
	}
	p.at += len(q)
	var out strings.Builder
	for {
		rest := p.in[p.at:]
		switch {
		case rest == "" || len(q) == 1 && (rest[0] == '\n' || rest[0] == '\r'):
			return "", false
		case strings.HasPrefix(rest, q):
			p.at += len(q)
			return out.String(), true
		case rest[0] == '\\' && raw && len(rest) > 1 && len(q) == 3:
			// In a long raw text a backslash is itself, whatever follows.
			out.WriteByte('\\')
			p.at++
		case rest[0] == '\\' && !raw:
			n, ok := escape(rest, &out)
			if !ok {
				return "", false
			}
			p.at += n
		default:
			out.WriteByte(rest[0])
			p.at++
		}
	}
}

// escape reads what stands behind a backslash, and returns how long it is.
func escape(s string, out *strings.Builder) (int, bool) {
	if len(s) < 2 {
		return 0, false
	}
	code := func(from, n, base int) (int, bool) {
		if len(s) < from+n {
			return 0, false
		}
		v, err := strconv.ParseUint(s[from:from+n], base, 32)
		if err != nil || v > utf8.MaxRune || v >= 0xd800 && v < 0xe000 {
			return 0, false
		}
		out.WriteRune(rune(v))
		return from + n, true
	}
	if i := strings.IndexByte("abfnrtv", s[1]); i >= 0 {
		out.WriteByte("\a\b\f\n\r\t\v"[i])
		return 2, true
	}
	switch c := s[1]; {
	case strings.IndexByte("\\?\"'`", c) >= 0:
		out.WriteByte(c)
		return 2, true
	case c == 'x' || c == 'X':
		return code(2, 2, 16)
	case c == 'u':
		return code(2, 4, 16)
	case c == 'U':
		return code(2, 8, 16)
	case c >= '0' && c <= '3':
		return code(1, 3, 8)
	}
	return 0, false
}

// is takes a sign if it is the next token.
func (p *parser) is(s string) bool {
	if p.bad || p.tok.kind != sign || p.tok.text != s {
		return false
	}
	p.next()
	return true
}

func (p *parser) want(s string) {
	if !p.is(s) {
		p.bad = true
	}
}

func (p *parser) conditional() term {
	if p.depth++; p.depth > maxDepth || p.bad {
		return p.fail()
	}
	defer func() { p.depth-- }()
	t := p.or()
	if !p.is("?") {
		return t
	}
	yes := p.or()
	p.want(":")
	no := p.conditional()
	return term{node: choose(t.node, yes.node, no.node)}
}

func (p *parser) or() term {
	t := p.and()
	for p.is("||") {
		u := p.and()
		t = term{node: logic(t.node, u.node, true)}
	}
	return t
}

func (p *parser) and() term {
	t := p.relation()
	for p.is("&&") {
		u := p.relation()
		t = term{node: logic(t.node, u.node, false)}
	}
	return t
}

func (p *parser) relation() term { return p.binary(p.sum, "==", "!=", "<=", ">=", "<", ">", "in") }
func (p *parser) sum() term      { return p.binary(p.product, "+", "-") }
func (p *parser) product() term  { return p.binary(p.unary, "*", "/", "%") }

func (p *parser) binary(of func() term, ops ...string) term {
	t := of()
	for !p.bad && p.tok.kind == sign && slices.Contains(ops, p.tok.text) {
		op := operators[p.tok.text]
		p.next()
		u := of()
		t = term{node: apply(op, t.node, u.node)}
	}
	return t
}

func (p *parser) unary() term {
	if p.depth++; p.depth > maxDepth || p.bad {
		return p.fail()
	}
	defer func() { p.depth-- }()
	// As CEL has it, two signs in a row are none, whatever they stand before.
	odd := false
	for p.is("!") {
		if odd = !odd; p.bad || p.tok.kind != sign || p.tok.text != "!" {
			t := p.member()
			if odd {
				return term{node: apply1(not, t.node)}
			}
			return t
		}
	}
	for !p.bad && p.tok.kind == sign && p.tok.text == "-" {
		odd = !odd
		// The smallest integer has no positive counterpart: the sign is part of the number.
		if c := strings.TrimLeft(p.in[p.at:], " \t\n\r\f"); odd && c != "" && (digit(c[0]) || c[0] == '.') {
			p.at = len(p.in) - len(c)
			p.number("-")
			return p.member()
		}
		if p.next(); p.tok.kind != sign || p.tok.text != "-" {
			t := p.member()
			if odd {
				return term{node: apply1(negate, t.node)}
			}
			return t
		}
	}
	return p.member()
}

func (p *parser) member() term {
	t := p.primary()
	for !p.bad {
		switch {
		case p.is("."):
			if p.tok.kind != word {
				return p.fail()
			}
			key := p.tok.text
			p.next()
			if p.is("(") {
				t = p.method(t, key)
				continue
			}
			t = term{node: selects(t.node, key), of: t.node, key: key}
		case p.is("["):
			i := p.conditional()
			p.want("]")
			t = term{node: apply(index, t.node, i.node)}
		default:
			return t
		}
	}
	return p.fail()
}

func (p *parser) primary() term {
	switch {
	case p.bad || p.tok.kind == end:
		return p.fail()
	case p.is("("):
		t := p.conditional()
		p.want(")")
		return term{node: t.node}
	case p.is("["):
		items := p.list("]")
		return term{node: makeList(items)}
	case p.is("{"):
		return p.mapping()
	case p.is("."): // a name from the outermost scope
		if p.tok.kind != word {
			return p.fail()
		}
	}
	tok := p.tok
	p.next()
	switch tok.kind {
	case value:
		v := tok.val
		return term{node: func(*run) (any, error) { return v, nil }}
	case word:
		if p.is("(") {
			return p.call(tok.text)
		}
		return p.ident(tok.text)
	}
	return p.fail()
}

func (p *parser) ident(s string) term {
	for i := len(p.scope) - 1; i >= 0; i-- {
		if p.scope[i] == s {
			return term{node: func(r *run) (any, error) { return r.names[i], nil }}
		}
	}
	if s != "record" {
		return p.fail()
	}
	return term{node: func(r *run) (any, error) { return r.record, r.step() }}
}

// list reads terms up to a closing sign.
func (p *parser) list(closing string) (out []node) {
	for !p.bad {
		if p.is(closing) {
			return out
		}
		if len(out) > 0 {
			p.want(",")
			if p.is(closing) { // a comma may stand last
				return out
			}
		}
		out = append(out, p.conditional().node)
	}
	return out
}

func (p *parser) mapping() term {
	var keys, values []node
	for !p.bad && !p.is("}") {
		if len(keys) > 0 {
			p.want(",")
			if p.is("}") {
				break
			}
		}
		keys = append(keys, p.conditional().node)
		p.want(":")
		values = append(values, p.conditional().node)
	}
	return term{node: makeMap(keys, values)}
}

// call reads the arguments of a function.
func (p *parser) call(f string) term {
	if f == "has" {
		t := p.conditional()
		p.want(")")
		if t.of == nil {
			return p.fail()
		}
		return term{node: has(t.of, t.key)}
	}
	return p.function(f, p.list(")"))
}

// method reads the arguments of a method, or of a macro.
func (p *parser) method(t term, f string) term {
	if slices.Contains([]string{"all", "exists", "exists_one", "map", "filter"}, f) {
		return p.macro(t.node, f)
	}
	return p.function(f, append([]node{t.node}, p.list(")")...))
}

func (p *parser) macro(over node, f string) term {
	v := p.tok
	if v.kind != word || p.bad {
		return p.fail()
	}
	p.next()
	slot := len(p.scope)
	p.scope = append(p.scope, v.text)
	defer func() { p.scope = p.scope[:slot] }()
	p.want(",")
	args := p.list(")")
	if p.bad || len(args) == 0 || len(args) > 2 || len(args) == 2 && f != "map" {
		return p.fail()
	}
	switch f {
	case "all", "exists":
		return term{node: quantifier(over, slot, args[0], f == "exists")}
	case "exists_one":
		return term{node: one(over, slot, args[0])}
	case "filter":
		return term{node: gather(over, slot, args[0], nil)}
	}
	if len(args) == 2 {
		return term{node: gather(over, slot, args[0], args[1])}
	}
	return term{node: gather(over, slot, nil, args[0])}
}

func (p *parser) function(f string, args []node) term {
	if p.bad {
		return p.fail()
	}
	switch fn, n := functions[f], len(args); {
	case f == "matches" && n == 2:
		return p.pattern(args)
	case f == "substring" && n == 3:
		return term{node: func(r *run) (any, error) {
			s, err := args[0](r)
			if err != nil {
				return nil, err
			}
			from, err := args[1](r)
			if err != nil {
				return nil, err
			}
			to, err := args[2](r)
			if err != nil {
				return nil, err
			}
			return substring(s, from, to)
		}}
	case fn.one != nil && n == 1:
		return term{node: apply1(fn.one, args[0])}
	case fn.two != nil && n == 2:
		return term{node: apply(fn.two, args[0], args[1])}
	}
	return p.fail()
}

// pattern makes matches, whose pattern is written out.
func (p *parser) pattern(args []node) term {
	v, err := args[1](&run{})
	s, ok := v.(string)
	if err != nil || !ok {
		return p.fail()
	}
	re, err := regexp.Compile(s)
	if err != nil {
		return p.fail()
	}
	return term{node: apply1(func(v any) (any, error) {
		if s, ok := v.(string); ok {
			return re.MatchString(s), nil
		}
		return nil, errNone
	}, args[0])}
}

func (r *run) step() error {
	if r.steps++; r.steps > maxSteps {
		return errNone
	}
	return nil
}

// whole is a number that a float64 holds as an integer.
func whole(f float64) bool { return f == math.Trunc(f) && math.Abs(f) < 1<<53 }
