package standard

import (
	"math/bits"
	"regexp/syntax"
	"unicode"
	"unicode/utf8"
)

// Patterns are matched here, not by package regexp, so that the work is counted
// where it is done: ^[\s\S]{0,1000}$ has two thousand states, of which a text is
// in two at a time. The states are followed side by side (Thompson's way), each
// at most once for each character, so no pattern runs away; each visit of a
// state is a step.
//
// A look-around is matched at the place where it stands. With back references
// the states of a pattern are not all there is to know, so there each way is
// tried in turn, a step for each move, to the end of the budget.

// match reports whether s holds a match of p. It spends what that takes.
func (p *pattern) match(j *judging, s string) bool {
	m := &j.matching
	m.limit = j.limit - j.steps
	ok, done := m.run(p.prog, s)
	j.steps += m.steps
	if !done {
		panic(errBudget)
	}
	return ok
}

// try is match for at most limit steps; done is false when they were spent.
func (p *pattern) try(s string, limit int) (matched, done bool) {
	m := matching{limit: limit}
	return m.run(p.prog, s)
}

// A matching is the memory of one match after another.
type matching struct {
	steps, limit int
	pool         []*states // not in use
}

// A states is a set of instructions of a program.
type states struct {
	at   []uint32 // by instruction, where it stands in list, if it does
	list []uint32
}

func (q *states) has(pc uint32) bool {
	i := q.at[pc]
	return int(i) < len(q.list) && q.list[i] == pc
}

func (q *states) add(pc uint32) {
	q.at[pc] = uint32(len(q.list))
	q.list = append(q.list, pc)
}

func (m *matching) take(n int) *states {
	for i, q := range m.pool {
		if len(q.at) >= n {
			m.pool[i] = m.pool[len(m.pool)-1]
			m.pool = m.pool[:len(m.pool)-1]
			q.list = q.list[:0]
			return q
		}
	}
	return &states{at: make([]uint32, n), list: make([]uint32, 0, min(n, 64))}
}

func (m *matching) run(p *prog, s string) (matched, done bool) {
	m.steps = 1
	if p.groups != nil {
		t := tries{m: m, s: s, groups: p.groups, caps: make([][2]int, p.count+1)}
		for at := 0; at <= len(s) && !t.over; at++ {
			if at > 0 && at < len(s) && !utf8.RuneStart(s[at]) {
				continue
			}
			for i := range t.caps {
				t.caps[i] = [2]int{-1, -1}
			}
			if t.match(p.tree, at, func(int) bool { return true }) {
				return true, true
			}
		}
		return false, !t.over
	}
	matched = m.follow(p, s, 0, p.anchored, -1)
	return matched, m.steps <= m.limit
}

// follow matches p in s from the byte from on: there only when here is set,
// else there or anywhere after. With an end from 0 on, the match ends there.
// When the steps are spent it returns false.
func (m *matching) follow(p *prog, s string, from int, here bool, end int) bool {
	now, next := m.take(len(p.prog.Inst)), m.take(len(p.prog.Inst))
	defer func() { m.pool = append(m.pool, now, next) }()
	f := follower{m: m, p: p, s: s, end: end}
	for at, first := from, true; m.steps <= m.limit; first = false {
		f.at, f.known = at, false
		if (first || !here) && f.enter(now, uint32(p.prog.Start)) {
			return true
		}
		if len(now.list) == 0 && here || at >= len(s) || at == end {
			return false
		}
		r, width := rune(s[at]), 1
		if r >= utf8.RuneSelf {
			r, width = utf8.DecodeRuneInString(s[at:])
		}
		f.at, f.known = at+width, false
		m.steps += 1 + len(now.list)
		for _, pc := range now.list {
			in := &p.prog.Inst[pc]
			ok := false
			switch in.Op {
			case syntax.InstAlt, syntax.InstAltMatch:
			case syntax.InstRune1:
				ok = r == in.Rune[0]
			case syntax.InstRuneAny:
				ok = true
			case syntax.InstRuneAnyNotNL:
				ok = r != '\n'
			default:
				ok = in.MatchRunePos(r) >= 0
				m.steps += bits.Len(uint(len(in.Rune))) / 4
			}
			if ok && f.enter(next, in.Out) {
				return true
			}
		}
		now, next = next, now
		next.list = next.list[:0]
		at += width
	}
	return false
}

// A follower enters states at one place of a text.
type follower struct {
	m     *matching
	p     *prog
	s     string
	at    int
	end   int
	known bool           // what stands around at
	flags syntax.EmptyOp // if known
}

// enter adds to q the state pc and those it leads to without a character. It
// reports whether one of them is a match.
func (f *follower) enter(q *states, pc uint32) bool {
	for {
		f.m.steps++
		if q.has(pc) || f.m.steps > f.m.limit {
			return false
		}
		in := &f.p.prog.Inst[pc]
		switch in.Op {
		case syntax.InstFail:
			return false
		case syntax.InstMatch:
			return f.end < 0 || f.at == f.end
		case syntax.InstAlt, syntax.InstAltMatch:
			q.add(pc) // so that it is not entered twice
			if f.enter(q, in.Out) {
				return true
			}
			pc = in.Arg
		case syntax.InstNop:
			pc = in.Out
		case syntax.InstCapture:
			if l := f.p.looks[in.Arg/2]; l != nil && in.Arg%2 == 0 && !f.look(l) {
				return false
			}
			pc = in.Out
		case syntax.InstEmptyWidth:
			if !f.known {
				f.known, f.flags = true, around(f.s, f.at)
			}
			if syntax.EmptyOp(in.Arg)&^f.flags != 0 {
				return false
			}
			pc = in.Out
		default:
			q.add(pc)
			return false
		}
	}
}

func (f *follower) look(l *look) bool {
	found := false
	if l.behind {
		found = f.m.follow(l.of, f.s, 0, false, f.at)
	} else {
		found = f.m.follow(l.of, f.s, f.at, true, -1)
	}
	return found != l.not
}

// around says what holds between the characters on both sides of a place.
func around(s string, at int) syntax.EmptyOp {
	before, after := rune(-1), rune(-1)
	if at > 0 {
		before, _ = utf8.DecodeLastRuneInString(s[:at])
	}
	if at < len(s) {
		after, _ = utf8.DecodeRuneInString(s[at:])
	}
	return syntax.EmptyOpContext(before, after)
}

// maxDeep bounds how deep tries call themselves: a stack that runs out ends a
// Go program.
const maxDeep = 100_000

// A tries is a match of a pattern with back references.
type tries struct {
	m      *matching
	s      string
	groups map[string]group
	caps   [][2]int // from and to of each group; -1 where there is none
	deep   int
	over   bool // the steps, or the depth, are spent
}

// match matches re at the place at and goes on with then at each place where it
// can end, until then says yes.
func (t *tries) match(re *syntax.Regexp, at int, then func(int) bool) bool {
	t.m.steps++
	if t.deep++; t.deep > maxDeep || t.m.steps > t.m.limit {
		t.over = true
	}
	defer func() { t.deep-- }()
	if t.over {
		return false
	}
	one := func(is func(r rune) bool) bool {
		if at >= len(t.s) {
			return false
		}
		r, width := utf8.DecodeRuneInString(t.s[at:])
		return is(r) && then(at+width)
	}
	switch re.Op {
	case syntax.OpEmptyMatch:
		return then(at)
	case syntax.OpLiteral:
		for _, want := range re.Rune {
			r, width := utf8.DecodeRuneInString(t.s[at:])
			if width == 0 || r != want && (re.Flags&syntax.FoldCase == 0 || unicode.ToLower(r) != unicode.ToLower(want)) {
				return false
			}
			at += width
		}
		return then(at)
	case syntax.OpCharClass:
		return one(func(r rune) bool {
			for i := 0; i+1 < len(re.Rune); i += 2 {
				if re.Rune[i] <= r && r <= re.Rune[i+1] {
					return true
				}
			}
			return false
		})
	case syntax.OpAnyChar:
		return one(func(rune) bool { return true })
	case syntax.OpAnyCharNotNL:
		return one(func(r rune) bool { return r != '\n' })
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		want := map[syntax.Op]syntax.EmptyOp{
			syntax.OpBeginLine: syntax.EmptyBeginLine, syntax.OpEndLine: syntax.EmptyEndLine, syntax.OpBeginText: syntax.EmptyBeginText,
			syntax.OpEndText: syntax.EmptyEndText, syntax.OpWordBoundary: syntax.EmptyWordBoundary, syntax.OpNoWordBoundary: syntax.EmptyNoWordBoundary,
		}[re.Op]
		return around(t.s, at)&want != 0 && then(at)
	case syntax.OpCapture:
		return t.group(re, at, then)
	case syntax.OpConcat:
		return t.sequence(re.Sub, at, then)
	case syntax.OpAlternate:
		for _, s := range re.Sub {
			if t.match(s, at, then) {
				return true
			}
		}
		return false
	case syntax.OpStar:
		return t.repeat(re.Sub[0], 0, -1, at, then)
	case syntax.OpPlus:
		return t.repeat(re.Sub[0], 1, -1, at, then)
	case syntax.OpQuest:
		return t.repeat(re.Sub[0], 0, 1, at, then)
	case syntax.OpRepeat:
		return t.repeat(re.Sub[0], re.Min, re.Max, at, then)
	}
	return false // OpNoMatch
}

func (t *tries) sequence(list []*syntax.Regexp, at int, then func(int) bool) bool {
	if len(list) == 0 {
		return then(at)
	}
	return t.match(list[0], at, func(end int) bool { return t.sequence(list[1:], end, then) })
}

// repeat matches re from low to high times; high below 0 is without end. A round
// beyond low that matches nothing is none (ECMA-262 section 22.2.2.3.1), and
// each round begins without the captures of the last.
func (t *tries) repeat(re *syntax.Regexp, low, high, at int, then func(int) bool) bool {
	if high == 0 {
		return then(at)
	}
	was := t.forget(re)
	if t.match(re, at, func(end int) bool {
		if end == at && low <= 0 {
			return false
		}
		return t.repeat(re, max(low-1, 0), max(high-1, -1), end, then)
	}) {
		return true
	}
	copy(t.caps, was)
	return low <= 0 && then(at)
}

// forget clears the captures inside re and returns all as they were.
func (t *tries) forget(re *syntax.Regexp) [][2]int {
	was := append([][2]int(nil), t.caps...)
	var clear func(re *syntax.Regexp)
	clear = func(re *syntax.Regexp) {
		if n := t.groups[re.Name].number; re.Op == syntax.OpCapture && n > 0 {
			t.caps[n] = [2]int{-1, -1}
		}
		for _, s := range re.Sub {
			clear(s)
		}
	}
	clear(re)
	return was
}

func (t *tries) group(re *syntax.Regexp, at int, then func(int) bool) bool {
	g := t.groups[re.Name]
	switch {
	case g.look != nil:
		was := append([][2]int(nil), t.caps...)
		found := false
		if g.look.behind {
			for from := at; from >= 0 && !found && !t.over; from-- {
				found = t.match(g.look.of.tree, from, func(end int) bool { return end == at })
			}
		} else {
			found = t.match(g.look.of.tree, at, func(int) bool { return true })
		}
		if found == g.look.not || t.over {
			copy(t.caps, was)
			return false
		}
		if g.look.not {
			copy(t.caps, was)
		}
		if then(at) {
			return true
		}
		copy(t.caps, was)
		return false
	case g.refers > 0:
		c := t.caps[g.refers]
		if c[0] < 0 {
			return then(at) // what took no part matches nothing
		}
		text := t.s[c[0]:c[1]]
		t.m.steps += len(text) / 16
		return len(t.s)-at >= len(text) && t.s[at:at+len(text)] == text && then(at+len(text))
	}
	return t.match(re.Sub[0], at, func(end int) bool {
		was := t.caps[g.number]
		t.caps[g.number] = [2]int{at, end}
		if then(end) {
			return true
		}
		t.caps[g.number] = was
		return false
	})
}
