package agreement

import (
	"fmt"
	"strconv"
	"strings"
)

// A Most bounds how many records go to each receiver under one text of an agreement: All
// in all, and Day a day. 0 is no bound.
//
// Counted is by receiver. A record counts towards All once, however often it changes or
// is sent again, and also after it was withdrawn. Towards Day, a day in UTC by the
// sender's clock, counts each version of a record that the sender logs as about to leave.
// Withdrawals count towards neither and never wait. Where records are asked for, Day is
// how many questions are answered, and there is no All.
//
// What is beyond All stays with the sender for as long as the text is in force, and with
// it all that was written later but withdrawals; what is beyond Day waits for the next
// day. The receiver refuses the record that would make it hold more than All at a time,
// and more than twice Day in one day by its own clock, since its day touches two of the
// sender's.
type Most struct{ All, Day int }

// maxMost is the highest bound: more than any council has.
const maxMost = 1_000_000_000

// ParseMost reads a bound: "500 in all", "50 a day", or "500 in all, 50 a day".
func ParseMost(s string) (m Most, err error) {
	for i, part := range strings.Split(s, ", ") {
		n, words, _ := strings.Cut(part, " ")
		at, err := strconv.Atoi(n)
		switch {
		case err != nil || at < 1 || at > maxMost || strconv.Itoa(at) != n:
		case words == "in all" && i == 0:
			m.All = at
			continue
		case words == "a day" && m.Day == 0:
			m.Day = at
			continue
		}
		return Most{}, fmt.Errorf(`want such as "500 in all", "50 a day" or "500 in all, 50 a day"`)
	}
	return m, nil
}

// String prints a bound as [ParseMost] reads it; "" where there is none.
func (m Most) String() string {
	var parts []string
	if m.All > 0 {
		parts = append(parts, strconv.Itoa(m.All)+" in all")
	}
	if m.Day > 0 {
		parts = append(parts, strconv.Itoa(m.Day)+" a day")
	}
	return strings.Join(parts, ", ")
}

// Bounds reports whether there is a bound.
func (m Most) Bounds() bool { return m != Most{} }

func setMost(a *Agreement, v value) (err error) {
	a.Most, err = ParseMost(v.text)
	return err
}

// checkMost says what is wrong with the bound.
func (a *Agreement) checkMost(say func(key, rule, detail, fix string)) {
	switch m := a.Most; {
	case m.All > 0 && !a.Way().Copied:
		say("most", RuleMode, fmt.Sprintf("bounds how many records are copied in all, and in mode %s none are", a.Mode), `write how many questions are answered, such as "50 a day"`)
	case m.All > 0 && m.Day > m.All:
		say("most", RuleForm, "lets more go in a day than in all", "lower the bound of a day, or leave it out")
	}
}

// most compares two bounds: a higher one, or none, is wider.
func (d *differ) most() {
	for _, b := range []struct {
		old, new int
		words    string
	}{{d.old.Most.All, d.new.Most.All, "in all"}, {d.old.Most.Day, d.new.Most.Day, "a day"}} {
		switch {
		case b.old == b.new:
		case b.new == 0:
			d.say(wider, "most is no longer %d %s", b.old, b.words)
		case b.old == 0:
			d.say(narrower, "most is now %d %s", b.new, b.words)
		case b.new > b.old:
			d.say(wider, "most is now %d %s, was %d", b.new, b.words, b.old)
		default:
			d.say(narrower, "most is now %d %s, was %d", b.new, b.words, b.old)
		}
	}
}

// Bounded says in words what the bound means for so many records that match now; "" where
// there is none.
func (a *Agreement) Bounded(matched int) string {
	m := a.Most
	if !m.Bounds() {
		return ""
	}
	if !a.Way().Copied {
		return fmt.Sprintf("at most %d questions a day are answered to each receiver", m.Day)
	}
	var parts []string
	if m.All > 0 {
		s := fmt.Sprintf("at most %d records go to each receiver in all", m.All)
		if matched > m.All {
			s += fmt.Sprintf(": %d of these stay here", matched-m.All)
		}
		parts = append(parts, s)
	}
	if m.Day > 0 {
		s := fmt.Sprintf("at most %d go in a day", m.Day)
		first := matched
		if m.All > 0 {
			first = min(first, m.All)
		}
		if days := (first + m.Day - 1) / m.Day; days > 1 {
			s += fmt.Sprintf(": the first copy takes %d days", days)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}
