package intake

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// Signs and codes of currencies that a mapping may declare. The pound is read
// when a mapping declares none.
var currencies = []string{"£", "€", "$", "GBP", "EUR", "USD"}

func (m *Mapping) currency() []string {
	if m.Currency == nil {
		return []string{"£"}
	}
	return m.Currency
}

const powersFix = "a spreadsheet has written it in powers of ten, and digits are lost: format the column as text, or as a number without decimals, at the source and export it again"

// A numeral is a number taken apart as it was written.
type numeral struct {
	neg         bool
	whole, frac string // digits; whole is never empty
}

// minus takes off the signs of a number: one before it, one behind it, or
// brackets round it, and among them one sign of a declared currency. ok is
// false where two say the same.
func (p *plan) minus(s string) (rest string, neg, ok bool) {
	signs, money := 0, 0
	for again := true; again; {
		again = false
		s = strings.TrimSpace(s)
		switch {
		case strings.HasPrefix(s, "(") && strings.HasSuffix(s, ")"):
			s, neg, again = s[1:len(s)-1], true, true
			signs++
		case strings.HasPrefix(s, "-"):
			s, neg, again = s[1:], true, true
			signs++
		case strings.HasSuffix(s, "-"):
			s, neg, again = s[:len(s)-1], true, true
			signs++
		case strings.HasPrefix(s, "\u2212"): // the minus of typesetters
			s, neg, again = strings.TrimPrefix(s, "\u2212"), true, true
			signs++
		case strings.HasPrefix(s, "+"):
			s, again = s[1:], true
			signs++
		}
		for _, c := range p.m.currency() {
			if t, found := strings.CutPrefix(s, c); found {
				s, again = t, true
				money++
			} else if t, found := strings.CutSuffix(s, c); found {
				s, again = t, true
				money++
			}
		}
	}
	return s, neg, signs <= 1 && money <= 1
}

// numeral takes a number apart by the declared marks. The text is "" when that
// went well, and else says what is wrong with it.
func (p *plan) numeral(s string) (n numeral, wrong string) {
	rest, neg, ok := p.minus(s)
	if !ok {
		return n, "more than one sign"
	}
	n.neg = neg
	dec, thou := p.m.decimal(), p.m.Thousands
	whole, frac, hasFrac := strings.Cut(rest, dec)
	if thou != "" {
		if thou == " " {
			whole = strings.ReplaceAll(whole, "\u00a0", " ")
		}
		groups := strings.Split(whole, thou)
		for i, g := range groups {
			if len(groups) > 1 && (i == 0 && (len(g) == 0 || len(g) > 3) || i > 0 && len(g) != 3) {
				return n, "thousands are not parted in threes"
			}
		}
		whole = strings.Join(groups, "")
	}
	if whole == "" && frac != "" {
		whole = "0" // .5
	}
	switch {
	case !allDigits(whole) || (hasFrac && !allDigits(frac)):
		return n, "not a number"
	case len(whole) > 1 && whole[0] == '0':
		return n, "a number that begins with 0 is usually a code"
	}
	n.whole, n.frac = whole, frac
	return n, ""
}

// token writes a number as JSON has it.
func (n numeral) token() string {
	tok := n.whole
	if n.frac != "" {
		tok += "." + n.frac
	}
	if n.neg && strings.Trim(tok, "0.") != "" {
		tok = "-" + tok
	}
	return tok
}

// number reads a number and keeps the digits it was written with.
func (p *plan) number(col *column, s string) (v any, f *fault) {
	rule := RuleNumber
	if col.Type == typeInteger {
		rule = RuleInteger
	}
	n, wrong := p.numeral(s)
	if wrong != "" {
		return nil, &fault{rule, p.notNumber(wrong, rule), p.numberFix(s, wrong)}
	}
	if col.Type == typeInteger {
		if strings.Trim(n.frac, "0") != "" {
			return nil, &fault{rule, "not a whole number", "map the column as number, or mend it at the source"}
		}
		n.frac = ""
	}
	if col.Decimals != nil {
		n.whole, n.frac = round(n.whole, n.frac, *col.Decimals)
	}
	// The strict reader's bounds hold here too: a record read from CSV must
	// be one that could have come as JSON.
	tok := n.token()
	if _, err := strictjson.Decode([]byte(tok), p.limits); err != nil {
		return nil, &fault{rule, "a number that cannot be held exactly", "map the column as string"}
	}
	return json.Number(tok), nil
}

func (p *plan) notNumber(wrong, rule string) string {
	if wrong == "not a number" && rule == RuleInteger {
		return "not a whole number"
	}
	return wrong
}

// numberFix says how numbers are written, and where the mapping could declare
// what stands there instead.
func (p *plan) numberFix(s, wrong string) string {
	switch {
	case wrong == "a number that begins with 0 is usually a code":
		return "map the column as string"
	case name.PowersOfTen(s):
		return powersFix
	}
	for _, c := range currencies {
		if strings.Contains(s, c) && !slices.Contains(p.m.currency(), c) {
			return fmt.Sprintf("add currency: [%q] to the mapping if all amounts of the file are in it", c)
		}
	}
	dec, thou := p.m.decimal(), p.m.Thousands
	fix := fmt.Sprintf("write digits, with %q before decimals", dec)
	switch {
	case thou != "":
		fix += fmt.Sprintf(" and %q between thousands if at all", thou)
	case strings.ContainsAny(s, ",."):
		fix += "; decimal and thousands in the mapping declare other marks"
	}
	return fix
}

// round cuts a number's decimals to n, half away from zero.
func round(whole, frac string, n int) (string, string) {
	if len(frac) <= n {
		return whole, frac
	}
	up := frac[n] >= '5'
	digits := []byte(whole + frac[:n])
	for i := len(digits) - 1; up && i >= 0; i-- {
		if up = digits[i] == '9'; up {
			digits[i] = '0'
		} else {
			digits[i]++
		}
	}
	if up {
		digits = append([]byte{'1'}, digits...)
	}
	return string(digits[:len(digits)-n]), strings.TrimRight(string(digits[len(digits)-n:]), "0")
}

func allDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
