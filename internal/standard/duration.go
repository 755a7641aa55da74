package standard

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Duration is a calendar duration as ISO 8601 section 5.5.2 writes it, such
// as P7D, P1Y6M or PT12H. It is kept in its parts, since a month has no fixed
// length. The zero Duration is no duration.
type Duration struct{ Years, Months, Weeks, Days, Hours, Minutes, Seconds int }

// ParseDuration reads a duration. Parts are whole numbers of at most five
// digits, the largest first; weeks stand alone.
func ParseDuration(s string) (Duration, error) {
	bad := fmt.Errorf("duration %q: want ISO 8601, such as P7D or P1Y", clip(s))
	rest, ok := strings.CutPrefix(s, "P")
	if !ok || len(s) > 40 {
		return Duration{}, bad
	}
	date, clock, hasClock := strings.Cut(rest, "T")
	var d Duration
	n, err := d.parts(date, "YMWD", []*int{&d.Years, &d.Months, &d.Weeks, &d.Days})
	if err != nil {
		return Duration{}, bad
	}
	m := 0
	if hasClock {
		if m, err = d.parts(clock, "HMS", []*int{&d.Hours, &d.Minutes, &d.Seconds}); err != nil || m == 0 {
			return Duration{}, bad
		}
	}
	if n+m == 0 || (d.Weeks > 0 && n+m > 1) {
		return Duration{}, bad
	}
	return d, nil
}

func (d *Duration) parts(s, units string, into []*int) (n int, err error) {
	for from := 0; s != ""; n++ {
		i := strings.IndexAny(s, units[from:])
		if i < 1 || i > 5 || strings.Trim(s[:i], "0123456789") != "" {
			return 0, strconv.ErrSyntax
		}
		u := strings.IndexByte(units, s[i])
		if *into[u], err = strconv.Atoi(s[:i]); err != nil {
			return 0, err
		}
		from, s = u+1, s[i+1:]
	}
	return n, nil
}

// IsZero reports whether no duration was given.
func (d Duration) IsZero() bool { return d == Duration{} }

// After returns the instant d after t. A day that the month does not have runs
// into the next month, as [time.Time.AddDate] has it.
func (d Duration) After(t time.Time) time.Time {
	return t.AddDate(d.Years, d.Months, 7*d.Weeks+d.Days).
		Add(time.Duration(d.Hours)*time.Hour + time.Duration(d.Minutes)*time.Minute + time.Duration(d.Seconds)*time.Second)
}

// String prints the duration; "" when there is none.
func (d Duration) String() string {
	if d.IsZero() {
		return ""
	}
	var b strings.Builder
	put := func(n int, unit byte) {
		if n > 0 {
			b.WriteString(strconv.Itoa(n))
			b.WriteByte(unit)
		}
	}
	b.WriteByte('P')
	put(d.Years, 'Y')
	put(d.Months, 'M')
	put(d.Weeks, 'W')
	put(d.Days, 'D')
	if d.Hours+d.Minutes+d.Seconds > 0 {
		b.WriteByte('T')
		put(d.Hours, 'H')
		put(d.Minutes, 'M')
		put(d.Seconds, 'S')
	}
	return b.String()
}

// clip shortens a name from outside for an error.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
