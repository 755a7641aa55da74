package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/standard"
)

var months = map[Lang][12]string{
	English: {"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
	Welsh:   {"Ionawr", "Chwefror", "Mawrth", "Ebrill", "Mai", "Mehefin", "Gorffennaf", "Awst", "Medi", "Hydref", "Tachwedd", "Rhagfyr"},
}

// london is the clock on the wall of a council; UTC where the machine has no time zones.
func london() *time.Location {
	if l, err := time.LoadLocation("Europe/London"); err == nil {
		return l
	}
	return time.UTC
}

// day writes a day as GOV.UK does: 3 August 2026.
func (t *tongue) day(at any) string {
	switch at := at.(type) {
	case time.Time:
		if at.IsZero() {
			return "–"
		}
		at = at.In(t.zone)
		return fmt.Sprintf("%d %s %d", at.Day(), months[t.lang][at.Month()-1], at.Year())
	default: // a day of ISO 8601, such as an agreement has
		s := fmt.Sprint(at)
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			return s
		}
		return fmt.Sprintf("%d %s %d", d.Day(), months[t.lang][d.Month()-1], d.Year())
	}
}

// dayOf reads a day that was given as three numbers, as ISO 8601 has it. It reports false
// for what is no day.
func (q *request) dayOf(key string) (string, bool) {
	d, m, y := q.form(key+"-day"), q.form(key+"-month"), q.form(key+"-year")
	for _, s := range []string{d, m, y} {
		if s == "" || len(s) > 4 || strings.Trim(s, "0123456789") != "" {
			return "", false
		}
	}
	day := fmt.Sprintf("%04s-%02s-%02s", y, m, d)
	_, err := time.Parse(time.DateOnly, day)
	return day, err == nil
}

// moment writes a day and a time as GOV.UK does: 3 August 2026 at 4:05pm.
func (t *tongue) moment(at time.Time) string {
	if at.IsZero() {
		return "–"
	}
	at = at.In(t.zone)
	half := "am"
	if at.Hour() >= 12 {
		half = "pm"
	}
	hour := at.Hour() % 12
	if hour == 0 {
		hour = 12
	}
	return t.say("date.at", t.day(at), fmt.Sprintf("%d:%02d%s", hour, at.Minute(), half))
}

// number writes a whole number with commas.
func number(v any) string {
	s := fmt.Sprint(v)
	if _, err := strconv.ParseInt(s, 10, 64); err != nil {
		if _, err := strconv.ParseUint(s, 10, 64); err != nil {
			return s
		}
	}
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// count writes a number of things: 1 record, 2 records. The messages are KEY.one and
// KEY.many.
func (t *tongue) count(n any, key string) string {
	s := number(n)
	if s == "1" {
		return t.say(key+".one", s)
	}
	return t.say(key+".many", s)
}

// lasts writes within what something was over that took so many seconds: whole minutes,
// at least one, hours or days.
func (t *tongue) lasts(seconds float64) string {
	switch hours := max(seconds, 60) / 3600; {
	case hours < 1:
		return t.count(int(seconds/60), "n.minutes")
	case hours < 48:
		return t.count(int(hours), "n.hours")
	default:
		return t.count(int(hours/24), "n.days")
	}
}

// period writes a duration of ISO 8601, such as a retention, in words: 2 years. What is none
// is shown as it is.
func (t *tongue) period(v any) string {
	s := fmt.Sprint(v)
	d, err := standard.ParseDuration(s)
	if err != nil {
		return s
	}
	var parts []string
	for _, p := range []struct {
		n   int
		key string
	}{{d.Years, "n.years"}, {d.Months, "n.months"}, {d.Weeks, "n.weeks"}, {d.Days, "n.days"}} {
		if p.n > 0 {
			parts = append(parts, t.count(p.n, p.key))
		}
	}
	if len(parts) == 0 {
		return s
	}
	return strings.Join(parts, ", ")
}

// size writes a number of bytes: 1.5 MB.
func size(v any) string {
	n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	if err != nil {
		return fmt.Sprint(v)
	}
	for _, unit := range []string{"bytes", "kB", "MB", "GB"} {
		if n < 1000 || unit == "GB" {
			if unit == "bytes" {
				return fmt.Sprintf("%.0f bytes", n)
			}
			return fmt.Sprintf("%.1f %s", n, unit)
		}
		n /= 1000
	}
	return ""
}

// percent writes a share in whole per cent; a dash where there is no whole.
func percent(part, whole int) string {
	if whole == 0 {
		return "–"
	}
	return strconv.Itoa(int(float64(part)*100/float64(whole)+0.5)) + "%"
}
