package intake

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A fault is what is wrong with one cell.
type fault struct{ rule, detail, fix string }

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

// value reads a cell that means something, step by step as docs/mapping.md
// says.
func (p *plan) value(col *column, s string, row *Row, sp *spend) (any, *fault) {
	if len(col.Values) > 0 {
		if v, ok := col.Values[fold(s)]; ok {
			return v, nil
		}
	}
	if col.replacer != nil {
		s = col.replacer.Replace(s)
		if !sp.look(len(s)) { // a letter may become a hundred
			return nil, nil
		}
	}
	if col.pattern != nil {
		part, ok := col.pattern.part(s, col.Part)
		if !ok {
			return nil, &fault{RulePattern, fmt.Sprintf("not written as the pattern %s, such as %s", col.pattern.name, col.pattern.shows), "mend it at the source, or map the cell without a pattern"}
		}
		s = part
	}
	switch col.Letters {
	case "upper":
		s = strings.ToUpper(s)
	case "lower":
		s = strings.ToLower(s)
	}
	if len(col.words) > 0 {
		if w, ok := col.words[bare(s)]; ok {
			return w, nil
		}
	}
	return p.convert(col, s, row)
}

// convert reads a cell that is not blank by the column's type.
func (p *plan) convert(col *column, s string, row *Row) (any, *fault) {
	switch col.Type {
	case typeNumber, typeInteger:
		return p.number(col, s)
	case typeBoolean:
		switch strings.ToLower(s) {
		case "true", "yes", "y":
			return true, nil
		case "false", "no", "n":
			return false, nil
		}
		return nil, &fault{RuleBoolean, "neither yes nor no", "say under values what the source's words stand for"}
	case typeDate, typeDateTime:
		if v, f, done := p.sheetDate(col, s, row); done {
			return v, f
		}
		return date(col, s)
	case typeJSON:
		v, err := strictjson.Decode([]byte(s), p.limits)
		if err != nil {
			prob := jsonProblem(err)
			return nil, &fault{prob.Rule, prob.Detail, prob.Fix}
		}
		return v, nil
	}
	return p.plain(col, s, row)
}

// plain is a text as it stands.
func (p *plan) plain(col *column, s string, row *Row) (any, *fault) {
	if len(s) > p.limits.StringLen {
		return nil, &fault{RuleText, fmt.Sprintf("the text is longer than %d bytes", p.limits.StringLen), "send large texts by address"}
	}
	if name.PowersOfTen(s) {
		if col.ident {
			return nil, &fault{RulePowers, "the number is written in powers of ten, and its digits are lost", powersFix}
		}
		col.powers.at(row.Number)
	}
	return s, nil
}

// date reads a date or a time by the declared formats, in order.
func date(col *column, s string) (any, *fault) {
	want := make([]string, len(col.formats))
	for i, f := range col.formats {
		want[i] = f.text
		m, ok := f.read(s)
		if !ok {
			continue
		}
		if col.Type == typeDate {
			if m.hour != 0 || m.minute != 0 || m.second != 0 {
				return nil, &fault{RuleDate, "a date with a time of day, which the record has no room for", "map the column as date-time"}
			}
			return m.date(), nil
		}
		if f.zoned {
			zone := time.UTC
			if m.offset != 0 {
				zone = time.FixedZone("", m.offset)
			}
			t, _ := m.in(zone)
			return t.Format(time.RFC3339), nil
		}
		t, one := m.in(col.zone)
		if !one {
			return nil, &fault{RuleDateTime, "the clocks change in this hour: the time came twice, or not at all", "write the time with its offset, such as +01:00"}
		}
		return t.Format(time.RFC3339), nil
	}
	rule, what := RuleDate, "date"
	if col.Type == typeDateTime {
		rule, what = RuleDateTime, "time"
	}
	return nil, &fault{rule, fmt.Sprintf("not a %s written as %s", what, strings.Join(want, " or ")),
		"mend it at the source, or add the format it is in to the mapping"}
}

// parts takes a cell of a list apart and calls f for each part. A part behind
// an escape stands for itself.
func (col *column) parts(text string, f func(string) bool) {
	var part strings.Builder
	for rest := text; ; {
		i := strings.Index(rest, col.Split)
		if e := -1; col.Escape != "" {
			if e = strings.Index(rest, col.Escape); e >= 0 && (i < 0 || e < i) && e+1 < len(rest) {
				part.WriteString(rest[:e])
				part.WriteByte(rest[e+1])
				rest = rest[e+2:]
				continue
			}
		}
		if i < 0 {
			part.WriteString(rest)
			f(part.String())
			return
		}
		part.WriteString(rest[:i])
		if !f(part.String()) {
			return
		}
		part.Reset()
		rest = rest[i+len(col.Split):]
	}
}
