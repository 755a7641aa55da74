package standard

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/dlclark/regexp2"
)

// Look-ahead after a leading ^ is judged in parts, in linear time, and as the
// engine that backtracks judges it whole.
func TestLookAheadInParts(t *testing.T) {
	for _, c := range []struct {
		pattern string
		parts   int // 0: left to the engine that backtracks
	}{
		{`^(?!BG|GB)[A-Z]{2}\d?$`, 2},
		{`^(?=.*\d)(?=.*[a-c])(?!.*cc).{2,6}$`, 4},
		{`^(?=(a|b)c?)[abc]+$`, 2},
		{`^(?![()\]])\(?a`, 2},
		{`^(?!a\))b|a$`, 0},
		{`^(?=a|b)(a|b)$`, 2},
		{`^(?!)`, 2},
		{`^(?=)`, 2},
		{`^(?=a)*b`, 0},
		{`^(?=a){0}b`, 0},
		{`^(?=a(?=b))ab`, 0},
		{`^a(?=b)`, 0},
		{`(?=a)a`, 0},
		{`^(?=(a))\1`, 0},
		{`^(?=a)(?<=x)?a`, 0},
		{`^(?!GB|BG)(?![DFIQUV])[A-Z][A-Z]$`, 3},
	} {
		p, err := compilePattern(c.pattern)
		whole, err2 := regexp2.Compile(c.pattern, regexp2.ECMAScript|regexp2.Unicode)
		if err != nil || err2 != nil {
			if (err == nil) != (err2 == nil) {
				t.Errorf("%s: %v, whole: %v", c.pattern, err, err2)
			}
			continue
		}
		if len(p.parts) != c.parts {
			t.Errorf("%s: %d parts, want %d", c.pattern, len(p.parts), c.parts)
		}
		r := rand.New(rand.NewPCG(1, uint64(len(c.pattern))))
		for range 3000 {
			b := make([]byte, r.IntN(7))
			for i := range b {
				b[i] = "abcABGDZ1)(x"[r.IntN(12)]
			}
			want, err := whole.MatchString(string(b))
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := p.match(string(b)); got != want {
				t.Fatalf("%s on %q: %v, whole %v", c.pattern, b, got, want)
			}
		}
	}
}

// A pattern that runs away is counted in steps where RE2 judges it, and ended
// by the clock where it cannot; many that just do not run away are ended too.
func TestPatternsWithinBudget(t *testing.T) {
	s := mustLoad(t, pack(`{"items":{"pattern":"^(?=(a+)+$)(?!(b+)+$)[ab]{1,900}$"}}`))
	long := strings.Repeat("a", 600) + "!"
	if ps := s.Validate([]any{long}); len(ps) != 1 || ps[0].Rule != "pattern" {
		t.Errorf("linear: got %+v", ps)
	}
	if n := s.engine.whole.machines[0].steps; n > baseSteps {
		t.Errorf("%d steps for one text", n)
	}
	// Not by the clock: so much text is so many steps.
	many := make([]any, 5000)
	for i := range many {
		many[i] = long
	}
	if ps := s.Validate(many); len(ps) != 1 || ps[0].Rule != "budget" {
		t.Errorf("many: got %d problems", len(ps))
	}
	p, _ := compilePattern(`^(?=(a+)+$)(?!(b+)+$)[ab]{1,900}$`)
	if n := s.engine.whole.machines[0].steps; n > maxSteps+p.cost(long)+4096 {
		t.Errorf("%d steps of %d", n, maxSteps)
	}

	// Some 1 ms each with the engine that backtracks, and 4000 of them.
	s = mustLoad(t, pack(`{"items":{"pattern":"x(?=(a|aa)+$)"}}`))
	for i := range many {
		many[i] = json.Number("1")
		if i < 4000 {
			many[i] = fmt.Sprintf("x%s!", strings.Repeat("a", 18))
		}
	}
	if ps := s.Validate(many); len(ps) != 1 || ps[0].Rule != "budget" {
		t.Errorf("many that backtrack: got %d problems", len(ps))
	}
}
