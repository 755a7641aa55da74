package intake

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// trim takes off both ends of a cell what does not belong to it.
func (col *column) trim(s string) string {
	if col.Strip != "" {
		s = strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(col.Strip, r) })
	}
	if !col.KeepSpaces {
		s = strings.TrimFunc(s, unicode.IsSpace)
	}
	return s
}

// meansNothing reports whether a cell means nothing: blank, or said to be.
func (p *plan) meansNothing(col *column, s string) bool {
	if strings.TrimSpace(s) == "" {
		return true
	}
	if len(p.blank) == 0 && len(col.blank) == 0 {
		return false
	}
	key := fold(s)
	return p.blank[key] || col.blank[key]
}

// value reads a cell that means something: by the column's values, then by its
// type. rule is "" when that went well.
func (p *plan) value(col *column, s string) (v any, rule, detail, fix string) {
	if len(col.Values) > 0 {
		if v, ok := col.Values[fold(s)]; ok {
			return v, "", "", ""
		}
	}
	return p.convert(col, s)
}

// convert reads a cell that is not blank by the column's type. rule is "" when
// that went well.
func (p *plan) convert(col *column, s string) (v any, rule, detail, fix string) {
	switch col.Type {
	case typeNumber, typeInteger:
		return p.number(col, s)
	case typeBoolean:
		switch strings.ToLower(s) {
		case "true", "yes", "y":
			return true, "", "", ""
		case "false", "no", "n":
			return false, "", "", ""
		}
		return nil, RuleBoolean, "neither yes nor no", "say under values what the source's words stand for"
	case typeDate, typeDateTime:
		return date(col, s)
	}
	if len(s) > p.limits.StringLen {
		return nil, RuleText, fmt.Sprintf("the text is longer than %d bytes", p.limits.StringLen), "send large texts by address"
	}
	return s, "", "", ""
}

// number reads a number and keeps the digits it was written with.
func (p *plan) number(col *column, s string) (v any, rule, detail, fix string) {
	rule, detail = RuleNumber, "not a number"
	if col.Type == typeInteger {
		rule, detail = RuleInteger, "not a whole number"
	}
	dec, thou := p.m.decimal(), p.m.Thousands
	fix = fmt.Sprintf("write digits, with %q before decimals", dec)
	if thou != "" {
		fix += fmt.Sprintf(" and %q between thousands if at all", thou)
	}
	rest := s
	neg := false
	switch {
	case strings.HasPrefix(rest, "-"):
		neg, rest = true, rest[1:]
	case strings.HasPrefix(rest, "\u2212"): // the minus of typesetters
		neg, rest = true, rest[len("\u2212"):]
	case strings.HasPrefix(rest, "+"):
		rest = rest[1:]
	}
	whole, frac, hasFrac := strings.Cut(rest, dec)
	if thou != "" {
		if thou == " " {
			whole = strings.ReplaceAll(whole, "\u00a0", " ")
		}
		groups := strings.Split(whole, thou)
		for i, g := range groups {
			if len(groups) > 1 && (i == 0 && (len(g) == 0 || len(g) > 3) || i > 0 && len(g) != 3) {
				return nil, rule, "thousands are not parted in threes", fix
			}
		}
		whole = strings.Join(groups, "")
	}
	if whole == "" && frac != "" {
		whole = "0" // .5
	}
	if !allDigits(whole) || (hasFrac && !allDigits(frac)) {
		if _, err := strconv.ParseFloat(s, 64); err == nil && strings.ContainsAny(s, "eE") {
			fix = "a spreadsheet has written it in powers of ten, and digits may be lost: format the column as text or number at the source"
		}
		return nil, rule, detail, fix
	}
	if len(whole) > 1 && whole[0] == '0' {
		return nil, rule, "a number that begins with 0 is usually a code", "map the column as string"
	}
	if col.Type == typeInteger {
		if strings.Trim(frac, "0") != "" {
			return nil, rule, detail, "map the column as number, or mend it at the source"
		}
		frac = ""
	}
	if col.Decimals != nil {
		whole, frac = round(whole, frac, *col.Decimals)
	}
	tok := whole
	if frac != "" {
		tok += "." + frac
	}
	if neg {
		tok = "-" + tok
	}
	// The strict reader's bounds hold here too: a record read from CSV must
	// be one that could have come as JSON.
	if _, err := strictjson.Decode([]byte(tok), p.limits); err != nil {
		return nil, rule, "a number that cannot be held exactly", "map the column as string"
	}
	return json.Number(tok), "", "", ""
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

// date reads a date or a time by the declared formats, in order.
func date(col *column, s string) (v any, rule, detail, fix string) {
	want := make([]string, len(col.formats))
	for i, f := range col.formats {
		want[i] = f.text
		m, ok := f.read(s)
		if !ok {
			continue
		}
		if col.Type == typeDate {
			if m.hour != 0 || m.minute != 0 || m.second != 0 {
				return nil, RuleDate, "a date with a time of day, which the record has no room for", "map the column as date-time"
			}
			return m.date(), "", "", ""
		}
		if f.zoned {
			zone := time.UTC
			if m.offset != 0 {
				zone = time.FixedZone("", m.offset)
			}
			t, _ := m.in(zone)
			return t.Format(time.RFC3339), "", "", ""
		}
		t, one := m.in(col.zone)
		if !one {
			return nil, RuleDateTime, "the clocks change in this hour: the time came twice, or not at all", "write the time with its offset, such as +01:00"
		}
		return t.Format(time.RFC3339), "", "", ""
	}
	rule, what := RuleDate, "date"
	if col.Type == typeDateTime {
		rule, what = RuleDateTime, "time"
	}
	return nil, rule, fmt.Sprintf("not a %s written as %s", what, strings.Join(want, " or ")),
		"mend it at the source, or add the format it is in to the mapping"
}
