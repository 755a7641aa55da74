package standard

import (
	"regexp/syntax"
	"strings"
)

// tryLimit is the steps after which a short text counts as one that a pattern
// runs away on.
const tryLimit = 100_000

// runsAway reports whether a pattern with back references, each way of which is
// tried, runs away on a short text. It is tried: for every repeat in the
// pattern, a text that comes to it by the shortest way, repeats forty times what
// it repeats and then breaks off.
func (p *pattern) runsAway() bool {
	if p.prog.groups == nil {
		return false
	}
	tree, err := syntax.Parse(plainGroups(p.source), syntax.Perl|syntax.UnicodeGroups)
	if err != nil {
		return false
	}
	var repeats []*syntax.Regexp
	var find func(re *syntax.Regexp)
	find = func(re *syntax.Regexp) {
		if many(re) && len(repeats) < 16 {
			repeats = append(repeats, re)
		}
		for _, s := range re.Sub {
			find(s)
		}
	}
	find(tree)
	for _, r := range repeats {
		var b strings.Builder
		shortest(&b, tree, r)
		for _, end := range []string{"\x01", "!", ""} {
			if _, done := p.try(b.String()+end, tryLimit); !done {
				return true
			}
		}
	}
	return false
}

func many(re *syntax.Regexp) bool {
	return re.Op == syntax.OpStar || re.Op == syntax.OpPlus || re.Op == syntax.OpRepeat && (re.Max < 0 || re.Max > 9)
}

// plainGroups writes look-around and back references as groups that RE2 has:
// enough to see what is repeated.
func plainGroups(src string) string {
	s := strings.NewReplacer("(?=", "(?:", "(?!", "(?:", "(?<=", "(?:", "(?<!", "(?:", `\k<`, `(?P=`).Replace(src)
	for _, d := range "123456789" {
		s = strings.ReplaceAll(s, `\`+string(d), "(?:)")
	}
	return s
}

// shortest writes the shortest text for re, but forty rounds of pump.
func shortest(b *strings.Builder, re, pump *syntax.Regexp) {
	times := 1
	switch re.Op {
	case syntax.OpStar, syntax.OpQuest:
		times = 0
	case syntax.OpRepeat:
		times = min(re.Min, 50)
	}
	if re == pump {
		times = 40
	} else if times == 0 && holds(re, pump) {
		times = 1
	}
	if b.Len() > 1000 {
		return
	}
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		if len(re.Rune) > 0 {
			b.WriteRune(ordinary(re.Rune))
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('a')
	case syntax.OpAlternate:
		for _, s := range re.Sub {
			if holds(s, pump) {
				shortest(b, s, pump)
				return
			}
		}
		shortest(b, re.Sub[0], pump)
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		for range times {
			shortest(b, re.Sub[0], nil)
		}
		if re != pump && holds(re.Sub[0], pump) {
			shortest(b, re.Sub[0], pump)
		}
	default:
		for _, s := range re.Sub {
			shortest(b, s, pump)
		}
	}
}

func holds(re, what *syntax.Regexp) bool {
	if re == what {
		return what != nil
	}
	for _, s := range re.Sub {
		if holds(s, what) {
			return true
		}
	}
	return false
}

// ordinary chooses a letter of a class that other classes are likely to share.
func ordinary(ranges []rune) rune {
	for _, want := range []rune{'a', 'A', '0', ' '} {
		for i := 0; i+1 < len(ranges); i += 2 {
			if ranges[i] <= want && want <= ranges[i+1] {
				return want
			}
		}
	}
	return ranges[0]
}
