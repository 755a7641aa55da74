package intake

import (
	"strings"

	"github.com/stile-exchange/stile/node/name"
)

// keyFault says what is wrong with the cells of a key, in words that follow
// "it", or "". White space around a key is not taken off in silence, as it is
// around other cells: the record would be one that its source does not know. A
// mapping may say under strip that it is to be taken off.
func (p *plan) keyFault(col *column, cells []string) string {
	for _, i := range append([]int{col.index}, col.also...) {
		if i >= len(cells) {
			continue
		}
		cell := strings.Trim(cells[i], col.Strip)
		if strings.TrimSpace(cell) == "" {
			continue
		}
		if fault := name.KeyFault(cell); fault != "" {
			return fault
		}
		if name.PowersOfTen(cell) {
			return ruinedKey
		}
	}
	return ""
}

// ruined says of a JSON record that its key went through a spreadsheet on its
// way here. What else a key must not be the standard says itself.
func ruined(rec map[string]any, key []name.Field) *Problem {
	for _, f := range key {
		if v, ok := lookup(rec, string(f)); ok {
			if s, ok := v.(string); ok && name.PowersOfTen(s) {
				return &Problem{Pointer: string(f), Rule: RuleKey, Detail: "is part of the record's key and " + ruinedKey, Fix: keyFix(ruinedKey), Value: cut(s)}
			}
		}
	}
	return nil
}

const ruinedKey = "was written in powers of ten by a spreadsheet, and digits are lost"

func keyFix(fault string) string {
	if fault == ruinedKey {
		return "format the column as text or as a whole number in the spreadsheet and save the file again; numbers that were lost must come from the source"
	}
	if strings.HasSuffix(fault, name.CharName(' ')) {
		return "take it out at the source, or say strip: \" \" for this column in the mapping: a key with it and one without look the same and are two records"
	}
	return "take the character out at the source: a key with it and one without look the same and are two records"
}
