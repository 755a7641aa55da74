package intake

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // so that a mapping's time zone means the same on every machine
)

// A dateFormat is one declared way to write dates, taken apart into tokens;
// see Column.Formats.
type dateFormat struct {
	text   string
	tokens []string // a token, or text that stands for itself
	zoned  bool
	years  int // first of the hundred years of yy
}

// dateTokens stand longest first, so that yyyy is not read as yy twice.
var dateTokens = [...]string{"serial", "month", "yyyy", "mon", "yy", "mm", "dd", "HH", "MM", "SS", "m", "d", "Z"}

func parseDateFormat(s string, years int) (*dateFormat, error) {
	f := &dateFormat{text: s, years: years}
	seen := map[byte]bool{} // y, m, d, H, M, S, Z
next:
	for rest := s; rest != ""; {
		for _, tok := range dateTokens {
			if !strings.HasPrefix(rest, tok) {
				continue
			}
			// The first letter says which part a token is: m, mm, mon and
			// month are all the month.
			if seen[tok[0]] {
				return nil, fmt.Errorf("format %q has one part twice", s)
			}
			seen[tok[0]] = true
			f.tokens = append(f.tokens, tok)
			rest = rest[len(tok):]
			continue next
		}
		c := rest[0]
		if c >= 0x80 || (c != 'T' && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9')) || c < ' ' {
			return nil, fmt.Errorf("format %q: %q is no part of a date: want such as dd/mm/yyyy", s, string(rune(c)))
		}
		f.tokens = append(f.tokens, rest[:1])
		rest = rest[1:]
	}
	f.zoned = seen['Z']
	switch {
	case seen['s']:
		if len(f.tokens) != 1 {
			return nil, fmt.Errorf("format %q: serial stands alone", s)
		}
	case !seen['y'] || !seen['m'] || !seen['d']:
		return nil, fmt.Errorf("format %q wants a year, a month and a day", s)
	case seen['M'] && !seen['H'], seen['S'] && !seen['M'], seen['Z'] && !seen['H']:
		return nil, fmt.Errorf("format %q has a part of a time without the part above it", s)
	case strings.Contains(s, "yy") && !strings.Contains(s, "yyyy") && years == 0:
		return nil, fmt.Errorf("format %q has two-digit years: set years to the first of the hundred years they stand for", s)
	}
	return f, nil
}

// A moment is a date and time as it was written, before any zone is put to it.
type moment struct {
	year, month, day     int
	hour, minute, second int
	offset               int // seconds east of UTC, when the format says so
}

// read returns the moment that s writes. It is false when s is not of the
// format or there is no such day.
func (f *dateFormat) read(s string) (moment, bool) {
	var m moment
	digits := func(least, most int) (int, bool) {
		n := 0
		for n < most && n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		if n < least {
			return 0, false
		}
		v, _ := strconv.Atoi(s[:n])
		s = s[n:]
		return v, true
	}
	for _, tok := range f.tokens {
		ok := false
		switch tok {
		case "serial":
			var days int
			days, ok = digits(1, 7)
			// Before 1 March 1900 spreadsheets count a day that never was.
			if ok = ok && days >= 61 && days <= 2958465; ok {
				t := time.Date(1899, 12, 30+days, 0, 0, 0, 0, time.UTC)
				m.year, m.month, m.day = t.Year(), int(t.Month()), t.Day()
			}
		case "yyyy":
			m.year, ok = digits(4, 4)
		case "yy":
			m.year, ok = digits(2, 2)
			m.year += f.years - f.years%100
			if m.year < f.years {
				m.year += 100
			}
		case "mm":
			m.month, ok = digits(2, 2)
		case "m":
			m.month, ok = digits(1, 2)
		case "mon", "month":
			for i := 1; i <= 12 && !ok; i++ {
				name := time.Month(i).String()
				if tok == "mon" {
					name = name[:3]
				}
				if len(s) >= len(name) && strings.EqualFold(s[:len(name)], name) {
					m.month, ok, s = i, true, s[len(name):]
				}
			}
		case "dd":
			m.day, ok = digits(2, 2)
		case "d":
			m.day, ok = digits(1, 2)
		case "HH":
			m.hour, ok = digits(2, 2)
		case "MM":
			m.minute, ok = digits(2, 2)
		case "SS":
			m.second, ok = digits(2, 2)
		case "Z":
			if strings.HasPrefix(s, "Z") {
				s, ok = s[1:], true
				break
			}
			if len(s) < 6 || (s[0] != '+' && s[0] != '-') || s[3] != ':' {
				break
			}
			sign := 1
			if s[0] == '-' {
				sign = -1
			}
			h, err1 := strconv.ParseUint(s[1:3], 10, 8)
			min, err2 := strconv.ParseUint(s[4:6], 10, 8)
			ok = err1 == nil && err2 == nil && h < 24 && min < 60
			m.offset = sign * int(h*3600+min*60)
			s = s[6:]
		default:
			if ok = strings.HasPrefix(s, tok); ok {
				s = s[len(tok):]
			}
		}
		if !ok {
			return moment{}, false
		}
	}
	return m, s == "" && m.real()
}

// real reports whether there is such a day and time. Years before 1000 are
// taken for a slip.
func (m moment) real() bool {
	t := time.Date(m.year, time.Month(m.month), m.day, m.hour, m.minute, m.second, 0, time.UTC)
	return m.year >= 1000 && t.Year() == m.year && t.Month() == time.Month(m.month) && t.Day() == m.day &&
		m.hour < 24 && m.minute < 60 && m.second < 60
}

func (m moment) date() string {
	return fmt.Sprintf("%04d-%02d-%02d", m.year, m.month, m.day)
}

// in returns the instant that m is in zone. In the hour that a clock repeats
// there are two, and in the hour it leaves out none: both are refused rather
// than guessed.
func (m moment) in(zone *time.Location) (time.Time, bool) {
	t := time.Date(m.year, time.Month(m.month), m.day, m.hour, m.minute, m.second, 0, zone)
	same := func(u time.Time) bool {
		return u.Day() == m.day && u.Hour() == m.hour && u.Minute() == m.minute
	}
	return t, same(t) && !same(t.Add(time.Hour)) && !same(t.Add(-time.Hour))
}

// clash returns a text that a and b read as different dates, or "".
func clash(a, b *dateFormat) string {
	for _, m := range []moment{{year: 2003, month: 4, day: 5}, {year: 2003, month: 4, day: 5, hour: 6, minute: 7, second: 8}, {year: 2011, month: 10, day: 12}} {
		s := a.write(m)
		first, ok1 := a.read(s)
		if second, ok2 := b.read(s); ok1 && ok2 && first != second {
			return s
		}
	}
	return ""
}

// write prints m, for clash.
func (f *dateFormat) write(m moment) string {
	var b strings.Builder
	for _, tok := range f.tokens {
		switch tok {
		case "serial":
			days := time.Date(m.year, time.Month(m.month), m.day, 0, 0, 0, 0, time.UTC).Sub(time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)) / (24 * time.Hour)
			fmt.Fprint(&b, int(days))
		case "yyyy":
			fmt.Fprintf(&b, "%04d", m.year)
		case "yy":
			fmt.Fprintf(&b, "%02d", m.year%100)
		case "mm":
			fmt.Fprintf(&b, "%02d", m.month)
		case "m":
			fmt.Fprint(&b, m.month)
		case "mon":
			b.WriteString(time.Month(m.month).String()[:3])
		case "month":
			b.WriteString(time.Month(m.month).String())
		case "dd":
			fmt.Fprintf(&b, "%02d", m.day)
		case "d":
			fmt.Fprint(&b, m.day)
		case "HH":
			fmt.Fprintf(&b, "%02d", m.hour)
		case "MM":
			fmt.Fprintf(&b, "%02d", m.minute)
		case "SS":
			fmt.Fprintf(&b, "%02d", m.second)
		case "Z":
			b.WriteString("Z")
		default:
			b.WriteString(tok)
		}
	}
	return b.String()
}
