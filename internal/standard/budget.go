package standard

import (
	"errors"
	"time"
)

// The budget of one validation. A step is one schema met by one value, from
// 0.1 to 1 µs with the length of the chain of schemas it stands in. The largest
// published examples take fewer than 20 000; a package of 379 grants, 1 MB and
// 15 000 values, takes 59 000. So a record may spend a base and more with its
// own size, and a small record cannot be dear. The clock is for what steps do
// not see; it is wide, so that a busy machine does not change a verdict.
const (
	baseSteps     = 50_000
	stepsPerValue = 20
	maxSteps      = 150_000
	maxTime       = time.Second

	// maxSlow bounds the time of all of a record's matches that backtrack: each
	// by itself may be within patternTime, and a record may hold thousands.
	maxSlow = 3 * patternTime
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

// match matches s, which has been paid for unless the pattern backtracks.
func (m *machine) match(p *pattern, s string) bool {
	if p.slow == nil {
		ok, _ := p.match(s)
		return ok
	}
	start := time.Now()
	ok, done := p.match(s)
	if m.slow += time.Since(start); !done || m.slow > maxSlow {
		panic(errBudget)
	}
	return ok
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
