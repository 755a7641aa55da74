package workbook

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// mostDigits is how many digits of a number a spreadsheet holds and shows.
const mostDigits = 15

// plain writes a number as the file stores it, such as 1.1000000000000001E-2,
// as digits with a point: 0.011. long is set for a whole number of more than
// fifteen digits. ok is false when it is no number.
func plain(tok string) (text string, long, ok bool) {
	tok = strings.TrimSpace(tok)
	rest, neg := tok, false
	switch {
	case strings.HasPrefix(rest, "-"):
		neg, rest = true, rest[1:]
	case strings.HasPrefix(rest, "+"):
		rest = rest[1:]
	}
	exp := 0
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		var err error
		if exp, err = strconv.Atoi(rest[i+1:]); err != nil || exp > 400 || exp < -400 {
			return "", false, false
		}
		rest = rest[:i]
	}
	whole, frac, _ := strings.Cut(rest, ".")
	if len(rest) > 400 || whole+frac == "" || strings.Trim(whole+frac, "0123456789") != "" {
		return "", false, false
	}
	// digits × 10^exp, digits without zeros at either end.
	digits := strings.TrimLeft(whole+frac, "0")
	exp -= len(frac)
	trimmed := strings.TrimRight(digits, "0")
	exp += len(digits) - len(trimmed)
	digits = trimmed
	if digits == "" {
		return "0", false, true
	}
	if digits, exp, long = shorten(digits, exp); neg {
		text = "-"
	}
	switch point := len(digits) + exp; {
	case exp >= 0:
		text += digits + strings.Repeat("0", exp)
	case point > 0:
		text += digits[:point] + "." + digits[point:]
	default:
		text += "0." + strings.Repeat("0", -point) + digits
	}
	return text, long, true
}

// shorten rounds digits × 10^exp to fifteen digits, but for a whole number of
// more, which is kept and said to be long.
func shorten(digits string, exp int) (string, int, bool) {
	if whole := len(digits) + exp; whole > mostDigits {
		return digits, exp, true
	}
	if len(digits) <= mostDigits {
		return digits, exp, false
	}
	exp += len(digits) - mostDigits
	up := digits[mostDigits] >= '5'
	b := []byte(digits[:mostDigits])
	for i := len(b) - 1; up && i >= 0; i-- {
		if up = b[i] == '9'; up {
			b[i] = '0'
		} else {
			b[i]++
		}
	}
	if up {
		b = append([]byte{'1'}, b...)
	}
	trimmed := strings.TrimRight(string(b), "0")
	return trimmed, exp + len(b) - len(trimmed), false
}

// A look is what a number format makes of a number, as far as it says what the
// number is.
type look struct {
	date, clock, elapsed bool // it shows a day; a time of day; a duration
	percent              bool
	zeros                int // it shows at least this many digits, and no decimals: 00000
}

func (l look) dated() bool { return l.date || l.clock || l.elapsed }

// lookOf reads a number format code (ECMA-376 part 1, 18.8.31).
func lookOf(code string) look {
	var l look
	section, _, _ := strings.Cut(code, ";")
	var bare strings.Builder // without quoted text, escapes and brackets
	for i := 0; i < len(section); i++ {
		switch c := section[i]; c {
		case '"':
			end := strings.IndexByte(section[i+1:], '"')
			if end < 0 {
				i = len(section)
				break
			}
			i += end + 1
		case '\\', '_', '*':
			i++
		case '[':
			end := strings.IndexByte(section[i:], ']')
			if end < 0 {
				i = len(section)
				break
			}
			inside := strings.ToLower(section[i+1 : i+end])
			if inside != "" && strings.Trim(inside, inside[:1]) == "" && strings.Contains("hms", inside[:1]) {
				l.elapsed = true
			}
			i += end
		default:
			bare.WriteByte(c)
		}
	}
	s := strings.ToLower(bare.String())
	if s == "general" || s == "standard" {
		return l
	}
	s = strings.ReplaceAll(s, "general", "")
	if t := strings.ReplaceAll(strings.ReplaceAll(s, "am/pm", ""), "a/p", ""); t != s {
		l.clock, s = true, t
	}
	l.clock = l.clock || strings.ContainsAny(s, "hs")
	l.date = strings.ContainsAny(s, "yd") || strings.Contains(s, "m") && !l.clock && !l.elapsed
	l.clock = l.clock && !l.elapsed
	l.percent = strings.Contains(s, "%")
	if len(s) > 1 && strings.Trim(s, "0") == "" {
		l.zeros = len(s)
	}
	return l
}

// builtIn returns what the number formats stand for that a workbook need not
// spell out (18.8.30), those of East Asian and Thai versions included.
func builtIn(id int) look {
	switch {
	case id >= 14 && id <= 17, id >= 27 && id <= 31, id == 36, id >= 50 && id <= 54, id == 57, id == 58:
		return look{date: true}
	case id >= 18 && id <= 21, id >= 32 && id <= 35, id == 45, id == 47, id == 55, id == 56:
		return look{clock: true}
	case id == 46:
		return look{elapsed: true}
	case id == 22:
		return look{date: true, clock: true}
	case id == 9 || id == 10:
		return look{percent: true}
	}
	return look{}
}

// number fills in a cell that holds a number.
func (l look) number(c *Cell, tok string, y1904 bool) bool {
	text, long, ok := plain(tok)
	if !ok {
		return false
	}
	c.Kind, c.Text, c.Long, c.Percent = Number, text, long, l.percent
	if l.dated() {
		l.moment(c, y1904)
		return true
	}
	if l.zeros > len(text) && !strings.ContainsAny(text, "-.") {
		c.Code = strings.Repeat("0", l.zeros-len(text)) + text
	}
	return true
}

const day = 24 * 60 * 60

// moment makes of the days since the workbook's beginning of time what the
// format shows.
func (l look) moment(c *Cell, y1904 bool) {
	v, err := strconv.ParseFloat(c.Text, 64)
	if err != nil || v < 0 || v >= 2958466 {
		c.Kind, c.Text = Failure, "a day that no calendar has"
		return
	}
	days, part := math.Modf(v)
	secs := int(math.Round(part * day))
	if secs == day {
		days, secs = days+1, 0
	}
	clock := fmt.Sprintf("%02d:%02d:%02d", secs/3600, secs/60%60, secs%60)
	if l.elapsed {
		c.Kind, c.Text = Time, fmt.Sprintf("%02d:%02d:%02d", int(days)*24+secs/3600, secs/60%60, secs%60)
		return
	}
	if !l.date && days == 0 {
		c.Kind, c.Text = Time, clock
		return
	}
	n := int(days)
	begin := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	switch {
	case y1904:
		begin = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	case n == 0 || n == 60:
		// Spreadsheets count a 29 February 1900, and a day 0 before the first.
		c.Kind, c.Text = Failure, "a day that no calendar has"
		return
	case n < 60:
		n++
	}
	date := begin.AddDate(0, 0, n)
	if date.Year() > 9999 {
		c.Kind, c.Text = Failure, "a day that no calendar has"
		return
	}
	c.Kind, c.Text = Date, date.Format(time.DateOnly)
	switch {
	case secs != 0 && l.date && !l.clock:
		c.Hidden = true
	case secs != 0 || l.clock && l.date:
		c.Kind, c.Text = Moment, c.Text+"T"+clock
	}
}
