package agreement

import (
	"fmt"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/standard"
)

// A Duration is an ISO 8601 duration in whole years, months, weeks and days,
// such as "P6Y", "P18M" or "P90D", as it was written; "" when not stated. Hours
// mean nothing to a retention schedule and are refused.
type Duration string

// ParseDuration reads a duration.
func ParseDuration(s string) (Duration, error) {
	d, err := standard.ParseDuration(s)
	if err != nil || d.Hours+d.Minutes+d.Seconds != 0 {
		return "", fmt.Errorf("want an ISO 8601 duration in years, months, weeks or days such as P6Y, not %.20q", s)
	}
	return Duration(s), nil
}

// After returns the instant that lies the duration after t by the calendar;
// t itself when the duration is not stated.
func (d Duration) After(t time.Time) time.Time { return d.parsed().After(t) }

// Zero reports whether the duration is stated and is no time at all, as P0D.
func (d Duration) Zero() bool { return d != "" && d.parsed().IsZero() }

// Words returns the duration in words, such as "2 years" or "1 year and 6 months".
func (d Duration) Words() string {
	p := d.parsed()
	var parts []string
	for _, u := range []struct {
		n    int
		unit string
	}{{p.Years, "year"}, {p.Months, "month"}, {p.Weeks, "week"}, {p.Days, "day"}} {
		switch {
		case u.n == 1:
			parts = append(parts, "1 "+u.unit)
		case u.n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", u.n, u.unit))
		}
	}
	switch last := len(parts) - 1; {
	case last < 0:
		return string(d)
	case last > 0:
		return strings.Join(parts[:last], ", ") + " and " + parts[last]
	}
	return parts[0]
}

func (d Duration) parsed() standard.Duration {
	p, err := standard.ParseDuration(string(d))
	if err != nil {
		return standard.Duration{} // "" is no duration
	}
	return p
}
