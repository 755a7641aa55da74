package strictjson

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxSafe is the largest integer that a float64, and so every JSON library,
// holds without a neighbour that reads the same (RFC 7493 section 2.2).
const maxSafe = 1<<53 - 1

const maxSafeDigits = "9007199254740991"

func (d *decoder) number() (json.Number, *Error) {
	s, start := d.s, d.i
	i := start
	if s[i] == '-' {
		i++
	}
	digits := i
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	whole := i - digits
	switch {
	case whole == 0 && i == len(s):
		d.i = i
		return "", d.syntax()
	case whole == 0:
		return "", d.fail(RuleNumber, "put a digit after the minus sign; JSON has no -Infinity")
	case whole > 1 && s[digits] == '0':
		return "", d.fail(RuleNumber, "write the number without leading zeros, or as a string if the zeros matter")
	}
	plain, exp := true, 0
	if i < len(s) && s[i] == '.' {
		plain = false
		i++
		n := i
		for i < len(s) && '0' <= s[i] && s[i] <= '9' {
			i++
		}
		if i == n {
			d.i = i
			return "", d.syntax()
		}
	}
	hasExp := i < len(s) && (s[i] == 'e' || s[i] == 'E')
	if hasExp {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		n := i
		for i < len(s) && '0' <= s[i] && s[i] <= '9' {
			// Saturate: the value of 1e10000000 is never computed.
			exp = min(exp*10+int(s[i]-'0'), 1000)
			i++
		}
		if i == n {
			d.i = i
			return "", d.syntax()
		}
	}
	tok := s[start:i]
	if len(tok) > d.lim.NumberLen {
		return "", d.fail(RuleNumber, fmt.Sprintf("write a number in at most %d bytes, or as a string", d.lim.NumberLen))
	}
	if exp > 308 {
		return "", d.fail(RuleNumber, "write a number with an exponent of at most 308")
	}
	// Up to 15 digits before the point the magnitude is safe without looking.
	if hasExp || whole > 15 {
		if plain && !hasExp && whole == len(maxSafeDigits) && s[digits:i] <= maxSafeDigits {
			d.i = i
			return json.Number(tok), nil
		}
		f, err := strconv.ParseFloat(tok, 64)
		if err != nil {
			return "", d.fail(RuleNumber, "write a number that fits a 64-bit float")
		}
		// What is so small that it reads as nothing, or as few digits, is refused too.
		if a := math.Abs(f); a < 1e-308 && strings.Trim(mantissa(tok), "-.0") != "" {
			return "", d.fail(RuleNumber, "write a number not nearer to zero than 1e-308")
		}
		// A float64 beyond 2^53 is a whole number whatever digits followed the
		// point, so one bound serves 1e20, 9007199254740993 and 1e16.5 alike.
		if !d.lim.WideNumbers && (f > maxSafe || f < -maxSafe || plain && !hasExp) {
			return "", d.fail(RuleNumber, "carry numbers beyond 9007199254740991 as strings")
		}
	}
	d.i = i
	return json.Number(tok), nil
}

func mantissa(tok string) string {
	if i := strings.IndexAny(tok, "eE"); i >= 0 {
		return tok[:i]
	}
	return tok
}

func (d *decoder) str() (string, *Error) {
	s := d.s
	start := d.i + 1
	i := start
	for i < len(s) {
		c := s[i]
		if c == '"' {
			if d.bad < i {
				return "", d.notUTF8()
			}
			d.i = i + 1
			if i-start > d.lim.StringLen {
				return "", d.tooLong()
			}
			return s[start:i], nil
		}
		if c == '\\' {
			return d.escaped(start, i)
		}
		if c < 0x20 {
			d.i = i
			return "", d.fail(RuleSyntax, "escape control characters in strings, such as \\n for a new line")
		}
		i++
	}
	d.i = i
	return "", d.syntax()
}

func (d *decoder) tooLong() *Error {
	return d.fail(RuleString, fmt.Sprintf("keep strings to %d bytes", d.lim.StringLen))
}

// escaped reads the rest of a string that began at start and has its first
// backslash at i.
func (d *decoder) escaped(start, i int) (string, *Error) {
	s := d.s
	buf := make([]byte, 0, i-start+32)
	buf = append(buf, s[start:i]...)
	for i < len(s) {
		c := s[i]
		switch {
		case c == '"':
			if d.bad < i {
				return "", d.notUTF8()
			}
			d.i = i + 1
			if len(buf) > d.lim.StringLen {
				return "", d.tooLong()
			}
			out := string(buf)
			if !d.other { // start is behind the opening quotation mark
				d.other = string(AppendString(nil, out)) != s[start-1:d.i]
			}
			return out, nil
		case c < 0x20:
			d.i = i
			return "", d.fail(RuleSyntax, "escape control characters in strings, such as \\n for a new line")
		case c != '\\':
			buf = append(buf, c)
			i++
			continue
		}
		d.i = i // of the backslash, for errors
		if i+1 >= len(s) {
			d.i = len(s)
			return "", d.syntax()
		}
		c = s[i+1]
		i += 2
		switch c {
		case '"', '\\', '/':
			buf = append(buf, c)
		case 'b':
			buf = append(buf, '\b')
		case 'f':
			buf = append(buf, '\f')
		case 'n':
			buf = append(buf, '\n')
		case 'r':
			buf = append(buf, '\r')
		case 't':
			buf = append(buf, '\t')
		case 'u':
			r, ok := hex4(s, i)
			if !ok {
				return "", d.syntax()
			}
			i += 4
			if r >= 0xD800 && r < 0xE000 {
				var low rune
				if r < 0xDC00 && strings.HasPrefix(s[i:], `\u`) {
					low, _ = hex4(s, i+2)
				}
				if low < 0xDC00 || low > 0xDFFF {
					return "", d.fail(RuleSurrogate, "write a character beyond U+FFFF as itself, or escape both halves")
				}
				i += 6
				r = (r-0xD800)<<10 + (low - 0xDC00) + 0x10000
			}
			buf = utf8.AppendRune(buf, r)
		default:
			return "", d.syntax()
		}
	}
	d.i = i
	return "", d.syntax()
}

func hex4(s string, i int) (rune, bool) {
	if i+4 > len(s) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[i : i+4]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
