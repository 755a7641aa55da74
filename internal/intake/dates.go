package intake

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // so that a mapping's time zone means the same on every machine
)

// A dateFormat is one declared way to write dates, taken apart into tokens; see
// the setting "formats".
type dateFormat struct {
	text   string
	tokens []dateToken
	zoned  bool
	years  int       // first of the hundred years of yy
	epoch  time.Time // day 0 of serial
}

// A dateToken is one part of a format: how it is read off the front of a text
// and how it is written.
type dateToken struct {
	text  string
	part  byte // which part of a moment it is: y m d H M S Z s, or 0 for a mark
	says  string
	read  func(f *dateFormat, m *moment, s string) (rest string, ok bool)
	write func(f *dateFormat, m moment) string
}

// dateTokens stand longest first, so that yyyy is not read as yy twice.
var dateTokens = []dateToken{
	{"serial", 's', "days since the day that `epoch` names, with a fraction for the time; stands alone", readSerial, writeSerial},
	{"month", 'm', "January", readMonth(0), func(_ *dateFormat, m moment) string { return time.Month(m.month).String() }},
	{"yyyy", 'y', "year", digitsOf(4, 4, func(m *moment) *int { return &m.year }), func(_ *dateFormat, m moment) string { return fmt.Sprintf("%04d", m.year) }},
	{"mon", 'm', "Jan", readMonth(3), func(_ *dateFormat, m moment) string { return time.Month(m.month).String()[:3] }},
	{"yy", 'y', "two digits of the year; `years` says of which hundred", readYY, func(_ *dateFormat, m moment) string { return fmt.Sprintf("%02d", m.year%100) }},
	{"mm", 'm', "month, two digits", digitsOf(2, 2, func(m *moment) *int { return &m.month }), func(_ *dateFormat, m moment) string { return fmt.Sprintf("%02d", m.month) }},
	{"dd", 'd', "day, two digits", digitsOf(2, 2, func(m *moment) *int { return &m.day }), func(_ *dateFormat, m moment) string { return fmt.Sprintf("%02d", m.day) }},
	{"HH", 'H', "hour, two digits", digitsOf(2, 2, func(m *moment) *int { return &m.hour }), func(_ *dateFormat, m moment) string { return fmt.Sprintf("%02d", m.hour) }},
	{"MM", 'M', "minute, two digits", digitsOf(2, 2, func(m *moment) *int { return &m.minute }), func(_ *dateFormat, m moment) string { return fmt.Sprintf("%02d", m.minute) }},
	{"SS", 'S', "second, two digits", digitsOf(2, 2, func(m *moment) *int { return &m.second }), func(_ *dateFormat, m moment) string { return fmt.Sprintf("%02d", m.second) }},
	{"m", 'm', "month, one or two digits", digitsOf(1, 2, func(m *moment) *int { return &m.month }), func(_ *dateFormat, m moment) string { return strconv.Itoa(m.month) }},
	{"d", 'd', "day, one or two digits", digitsOf(1, 2, func(m *moment) *int { return &m.day }), func(_ *dateFormat, m moment) string { return strconv.Itoa(m.day) }},
	{"H", 'H', "hour, one or two digits", digitsOf(1, 2, func(m *moment) *int { return &m.hour }), func(_ *dateFormat, m moment) string { return strconv.Itoa(m.hour) }},
	{"Z", 'Z', "Z, or an offset such as +01:00", readZone, func(*dateFormat, moment) string { return "Z" }},
}

// mark is a character that stands for itself.
func mark(c string) dateToken {
	return dateToken{text: c,
		read:  func(_ *dateFormat, _ *moment, s string) (string, bool) { return strings.CutPrefix(s, c) },
		write: func(*dateFormat, moment) string { return c }}
}

// defaultEpoch is the day 0 of spreadsheets on Windows.
var defaultEpoch = time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)

func parseDateFormat(s string, years int, epoch time.Time) (*dateFormat, error) {
	f := &dateFormat{text: s, years: years, epoch: epoch}
	seen := map[byte]bool{}
next:
	for rest := s; rest != ""; {
		for _, tok := range dateTokens {
			if !strings.HasPrefix(rest, tok.text) {
				continue
			}
			if seen[tok.part] { // m, mm, mon and month are all the month
				return nil, fmt.Errorf("format %q has one part twice", s)
			}
			seen[tok.part] = true
			f.tokens = append(f.tokens, tok)
			rest = rest[len(tok.text):]
			continue next
		}
		c := rest[0]
		if c >= 0x80 || (c != 'T' && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9')) || c < ' ' {
			return nil, fmt.Errorf("format %q: %q is no part of a date: want such as dd/mm/yyyy", s, string(rune(c)))
		}
		f.tokens = append(f.tokens, mark(rest[:1]))
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
	for _, tok := range f.tokens {
		var ok bool
		if s, ok = tok.read(f, &m, s); !ok {
			return moment{}, false
		}
	}
	return m, s == "" && m.real()
}

// write prints m.
func (f *dateFormat) write(m moment) string {
	var b strings.Builder
	for _, tok := range f.tokens {
		b.WriteString(tok.write(f, m))
	}
	return b.String()
}

// takeDigits takes a whole number of least to most digits off the front.
func takeDigits(s string, least, most int) (v int, rest string, ok bool) {
	n := 0
	for n < most && n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	if n < least {
		return 0, s, false
	}
	v, _ = strconv.Atoi(s[:n])
	return v, s[n:], true
}

func digitsOf(least, most int, at func(*moment) *int) func(*dateFormat, *moment, string) (string, bool) {
	return func(_ *dateFormat, m *moment, s string) (rest string, ok bool) {
		*at(m), rest, ok = takeDigits(s, least, most)
		return rest, ok
	}
}

func readYY(f *dateFormat, m *moment, s string) (rest string, ok bool) {
	m.year, rest, ok = takeDigits(s, 2, 2)
	m.year += f.years - f.years%100
	if m.year < f.years {
		m.year += 100
	}
	return rest, ok
}

// readMonth reads the name of a month, whole or its first letters.
func readMonth(letters int) func(*dateFormat, *moment, string) (string, bool) {
	return func(_ *dateFormat, m *moment, s string) (string, bool) {
		for i := time.January; i <= time.December; i++ {
			name := i.String()
			if letters > 0 {
				name = name[:letters]
			}
			if len(s) >= len(name) && strings.EqualFold(s[:len(name)], name) {
				m.month = int(i)
				return s[len(name):], true
			}
		}
		return s, false
	}
}

func readZone(_ *dateFormat, m *moment, s string) (string, bool) {
	if rest, ok := strings.CutPrefix(s, "Z"); ok {
		return rest, true
	}
	if len(s) < 6 || (s[0] != '+' && s[0] != '-') || s[3] != ':' {
		return s, false
	}
	h, err1 := strconv.ParseUint(s[1:3], 10, 8)
	min, err2 := strconv.ParseUint(s[4:6], 10, 8)
	m.offset = int(h*3600 + min*60)
	if s[0] == '-' {
		m.offset = -m.offset
	}
	return s[6:], err1 == nil && err2 == nil && h < 24 && min < 60
}

// readSerial reads a count of days. In the count that spreadsheets on Windows
// use, days before 61 are one off: there was no 29 February 1900.
func readSerial(f *dateFormat, m *moment, s string) (string, bool) {
	days, rest, ok := takeDigits(s, 1, 7)
	if !ok || (days < 61 && f.epoch.Equal(defaultEpoch)) {
		return s, false
	}
	seconds := int64(0)
	if frac, found := strings.CutPrefix(rest, "."); found {
		if !allDigits(frac) || len(frac) > 20 {
			return s, false
		}
		// Exact, then to the nearest second: a float would be out by some.
		r, _ := new(big.Rat).SetString("0." + frac)
		r.Mul(r, big.NewRat(86400*2, 1)).Add(r, big.NewRat(1, 1))
		seconds = new(big.Int).Quo(r.Num(), new(big.Int).Mul(r.Denom(), big.NewInt(2))).Int64()
		rest = ""
	}
	t := f.epoch.AddDate(0, 0, days).Add(time.Duration(seconds) * time.Second)
	if t.Year() > 9999 {
		return s, false
	}
	m.year, m.month, m.day = t.Year(), int(t.Month()), t.Day()
	m.hour, m.minute, m.second = t.Hour(), t.Minute(), t.Second()
	return rest, true
}

func writeSerial(f *dateFormat, m moment) string {
	days := time.Date(m.year, time.Month(m.month), m.day, 0, 0, 0, 0, time.UTC).Sub(f.epoch) / (24 * time.Hour)
	return strconv.Itoa(int(days))
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
