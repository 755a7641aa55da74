package standard

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dlclark/regexp2"
)

// Patterns with look-around, back references and large repeats match as an
// engine that is not ours says, by text and by text.
func TestPatternsAgainstAnotherEngine(t *testing.T) {
	for _, src := range []string{
		`^(?!BG|GB)[A-Z]{2}\d?$`,
		`^(?=.*\d)(?=.*[a-c])(?!.*cc).{2,6}$`,
		`^(?=(a|b)c?)[abc]+$`,
		`^(?![()\]])\(?a`,
		`^(?!a\))b|a$`,
		`^(?=a|b)(a|b)$`,
		`^(?!)`,
		`^(?=)`,
		`^(?=a(?=b))ab`,
		`^(?=a(?!b|c))a`,
		`^a(?=b)`,
		`(?=a)a`,
		`^(?=(a))\1`,
		`(?=(a|b)).\1`,
		`(?<=a)b`,
		`(?<!a|c)b`,
		`(?<=a[bc]?)c$`,
		`^(?!GB|BG)(?![DFIQUV])[A-Z][A-Z]$`,
		`(a|b)\1`,
		`^(a*)b\1$`,
		`(?<x>[ab])c\k<x>`,
		`^((a)|(b))+\2c$`,
		`\ba\b`,
		`\Bb`,
		`^(a|ab)(c|bc)?$`,
		`^[^a-c]{2,}$`,
		`^a{0,3}b{2}$`,
		`(a+)+$`,
		`^$`,
		`a||b`,
		`(?:)`,
	} {
		p, err := compilePattern(src)
		whole, err2 := regexp2.Compile(src, regexp2.ECMAScript|regexp2.Unicode)
		if err != nil || err2 != nil {
			t.Errorf("%s: %v; the other engine: %v", src, err, err2)
			continue
		}
		r := rand.New(rand.NewPCG(1, uint64(len(src))))
		for range 3000 {
			b := make([]byte, r.IntN(7))
			for i := range b {
				b[i] = "abcABGDZ1)(x "[r.IntN(13)]
			}
			want, err := whole.MatchString(string(b))
			if err != nil {
				t.Fatal(err)
			}
			if got, done := p.try(string(b), maxTry); !done || got != want {
				t.Fatalf("%s on %q: %v (done %v), the other engine %v", src, b, got, done, want)
			}
		}
	}
}

// What RE2 can say, we say as it does, also of bytes that are no text.
func TestPatternsAgainstRE2(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	atoms := []string{"a", "b", "[ab]", "[^a]", "(a|b)", "(?:ab)", "^", "$", `\b`, `\d`, "é", "(?:a|)", "(b*)"}
	marks := []string{"", "", "", "*", "+", "?", "{2}", "{0,2}", "{1,}"}
	for range 3000 {
		var b strings.Builder
		for range 1 + r.IntN(5) {
			a := atoms[r.IntN(len(atoms))]
			b.WriteString(a)
			if !strings.Contains("^$\\b", a) {
				b.WriteString(marks[r.IntN(len(marks))])
			}
			if r.IntN(6) == 0 {
				b.WriteByte('|')
			}
		}
		re, err := regexp.Compile(b.String())
		p, err2 := compilePattern(b.String())
		if (err == nil) != (err2 == nil) {
			t.Fatalf("%s: %v, RE2 %v", b.String(), err2, err)
		}
		if err != nil {
			continue
		}
		for range 20 {
			s := make([]byte, r.IntN(8))
			for i := range s {
				s[i] = "aabb1 \xc3\xa9\n"[r.IntN(9)]
			}
			if got, _ := p.try(string(s), maxTry); got != re.MatchString(string(s)) {
				t.Fatalf("%s on %q: %v, RE2 %v", b.String(), s, got, !got)
			}
		}
	}
}

// A capture does not outlast its round of a repeat (ECMA-262 section
// 22.2.2.3.1, step 4): the engine compared with above keeps it.
func TestCapturesOfOneRound(t *testing.T) {
	p, err := compilePattern(`^(?:(a)|b)*\1$`)
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]bool{"ab": true, "aa": true, "a": false, "b": true, "ba": false, "baa": true} {
		if got, _ := p.try(s, maxTry); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

// A repeat over what a parser of RE2 takes is taken, and holds to the number.
func TestLargeRepeats(t *testing.T) {
	for _, c := range []struct {
		src  string
		from int
		to   int
	}{
		{`^.{0,4000}$`, 0, 4000}, {`^(?:ab|a){1500}$`, 1500, 3000}, {`^[ab]{1200,2300}$`, 1200, 2300}, {`^\w{1001,}$`, 1001, 9999}, {`^(a{2}){1001}$`, 2002, 2002},
	} {
		p, err := compilePattern(c.src)
		if err != nil {
			t.Errorf("%s: %v", c.src, err)
			continue
		}
		for _, n := range []int{c.from - 1, c.from, c.to, c.to + 1} {
			if n < 0 || c.from == 1500 && n > c.from {
				continue
			}
			want := c.from <= n && n <= c.to || c.to == 9999 && n > c.from
			if got, _ := p.try(strings.Repeat("a", n), maxTry); got != want {
				t.Errorf("%s on %d: %v", c.src, n, got)
			}
		}
	}
}

// A bounded repeat has many states and is in few of them: what a match is
// charged is what it does.
func TestChargeOfBoundedRepeats(t *testing.T) {
	for _, c := range []struct {
		src  string
		text string
		most int
	}{
		{`^[\s\S]{0,1000}$`, strings.Repeat("word ", 170), 7 * 850},
		{`^/.{0,511}$`, "/service/waste/12", 200},
		{`^[A-Za-z0-9 ,.]{1,500}$`, strings.Repeat("Fine. ", 80), 8 * 480},
		{`^(?=(a+)+$)(?!(b+)+$)[ab]{1,900}$`, strings.Repeat("a", 600) + "!", 30 * 600},
		{`^[A-Z]{2}[0-9]{6}$`, "QQ123456", 60},
	} {
		p, err := compilePattern(c.src)
		if err != nil {
			t.Fatal(err)
		}
		m := matching{limit: maxSteps}
		if _, done := m.run(p.prog, c.text); !done || m.steps > c.most {
			t.Errorf("%s on %d bytes: %d steps, want %d at most", c.src, len(c.text), m.steps, c.most)
		}
	}
}

// A pattern that would run away in an engine that tries each way is linear, and
// one that must try each way is ended by its steps, the same each time.
func TestPatternsWithinBudget(t *testing.T) {
	s := mustLoad(t, pack(`{"items":{"pattern":"x(?=(a|aa)+$)"}}`))
	many := make([]any, 4000)
	for i := range many {
		many[i] = fmt.Sprintf("x%s!", strings.Repeat("a", 18))
	}
	if ps := s.Validate(many); len(ps) != maxProblems || ps[0].Rule != "pattern" {
		t.Errorf("look-ahead: got %d problems, %+v", len(ps), ps[:1])
	}
	s = mustLoad(t, pack(`{"pattern":"^(a*)*\\1b$"}`))
	start := time.Now()
	got := s.engine.judge(strings.Repeat("a", 5000), false)
	if !got.spent || time.Since(start) > soon {
		t.Errorf("back reference: spent %v after %d steps, %v", got.spent, got.steps, time.Since(start))
	}
	for range 5 {
		if again := s.engine.judge(strings.Repeat("a", 5000), false); again != got {
			t.Errorf("another verdict: %+v, %+v", again, got)
		}
	}
}
