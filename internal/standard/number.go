package standard

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// A decimal is the exact value of a number token: 0.digits × 10^exp. Schemas
// and records are compared in it, since a float64 would call 0.1+0.2 equal to
// 0.3 and a big.Rat costs more than the rest of a record. The exponent of a
// token is bounded by strictjson, so nothing here grows with it.
type decimal struct {
	neg    bool
	digits string // no zero at either end; "" is the value 0
	exp    int
}

// parseDecimal reads a JSON number token. It reports false for anything else.
func parseDecimal(tok string) (decimal, bool) {
	var d decimal
	s, neg := strings.CutPrefix(tok, "-")
	mant := s
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, err := strconv.Atoi(s[i+1:])
		if err != nil || e > 1000 || e < -1000 {
			return d, false
		}
		mant, d.exp = s[:i], e
	}
	whole, frac, _ := strings.Cut(mant, ".")
	if strings.Trim(whole, "0123456789") != "" || strings.Trim(frac, "0123456789") != "" || whole == "" {
		return d, false
	}
	d.digits = whole
	if frac != "" {
		d.digits = whole + frac
	}
	d.exp += len(whole)
	for d.digits != "" && d.digits[0] == '0' {
		d.digits = d.digits[1:]
		d.exp--
	}
	d.digits = strings.TrimRight(d.digits, "0")
	if d.digits == "" {
		return decimal{}, true // minus zero is zero
	}
	d.neg = neg
	return d, true
}

// decimalOf returns the value of anything that the engine counts as a number.
func decimalOf(v any) (decimal, bool) {
	switch v := v.(type) {
	case json.Number:
		return parseDecimal(string(v))
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64:
		return parseDecimal(fmt.Sprint(v))
	}
	return decimal{}, false
}

// decimalOfRat returns r, which must have a finite decimal expansion; every
// number in a JSON document has.
func decimalOfRat(r *big.Rat) decimal {
	prec, _ := r.FloatPrec()
	d, ok := parseDecimal(r.FloatString(prec))
	if !ok {
		panic("internal error: a schema's number is not a decimal")
	}
	return d
}

func (d decimal) cmp(e decimal) int {
	switch {
	case d.sign() != e.sign():
		return d.sign() - e.sign()
	case d.neg:
		return e.cmpAbs(d)
	}
	return d.cmpAbs(e)
}

func (d decimal) sign() int {
	switch {
	case d.digits == "":
		return 0
	case d.neg:
		return -1
	}
	return 1
}

func (d decimal) cmpAbs(e decimal) int {
	if d.digits == "" || e.digits == "" || d.exp == e.exp {
		// Same magnitude: the digits compare as they stand, since neither has
		// zeros to spare at the end.
		return strings.Compare(d.digits, e.digits)
	}
	return d.exp - e.exp
}

func (d decimal) isInt() bool { return len(d.digits) <= d.exp || d.digits == "" }

// key returns a text that two decimals share if and only if they are equal.
func (d decimal) key() string {
	if d.digits == "" {
		return "0"
	}
	s := d.digits + "e" + strconv.Itoa(d.exp)
	if d.neg {
		return "-" + s
	}
	return s
}

// multipleOf reports whether d is a whole number of times e. e is not zero.
func (d decimal) multipleOf(e decimal) bool {
	if d.digits == "" {
		return true
	}
	// Scale both to integers: d = D × 10^s, e = E × 10^s.
	s := min(d.exp-len(d.digits), e.exp-len(e.digits))
	up := func(x decimal) int { return x.exp - len(x.digits) - s } // zeros to add
	if len(d.digits)+up(d) <= 18 && len(e.digits)+up(e) <= 18 {
		return scaled(d.digits, up(d))%scaled(e.digits, up(e)) == 0
	}
	var x, y big.Int
	x.SetString(d.digits+strings.Repeat("0", up(d)), 10)
	y.SetString(e.digits+strings.Repeat("0", up(e)), 10)
	return x.Rem(&x, &y).Sign() == 0
}

func scaled(digits string, zeros int) int64 {
	var n int64
	for i := range len(digits) {
		n = n*10 + int64(digits[i]-'0')
	}
	for range zeros {
		n *= 10
	}
	return n
}

// String prints d plainly, for a problem's text.
func (d decimal) String() string {
	if d.digits == "" {
		return "0"
	}
	var s string
	switch n := len(d.digits); {
	case d.exp > 21 || d.exp < -6:
		s = d.digits[:1]
		if n > 1 {
			s += "." + d.digits[1:]
		}
		s += "e" + strconv.Itoa(d.exp-1)
	case d.exp <= 0:
		s = "0." + strings.Repeat("0", -d.exp) + d.digits
	case d.exp >= n:
		s = d.digits + strings.Repeat("0", d.exp-n)
	default:
		s = d.digits[:d.exp] + "." + d.digits[d.exp:]
	}
	if d.neg {
		return "-" + s
	}
	return s
}

// places returns k if d is 10^-k for some k from 0 on, else -1.
func (d decimal) places() int {
	if d.digits == "1" && !d.neg && d.exp <= 1 {
		return 1 - d.exp
	}
	return -1
}
