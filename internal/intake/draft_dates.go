package intake

import (
	"strings"
)

// commonFormats are ways to write a date, the likeliest first; day before
// month, as the country writes it, comes before its opposite.
var commonFormats = func() []string {
	days := []string{"yyyy-mm-dd", "dd/mm/yyyy", "d/m/yyyy", "dd-mm-yyyy", "d-m-yyyy", "dd.mm.yyyy", "d.m.yyyy", "d mon yyyy", "d month yyyy", "d-mon-yyyy", "d-mon-yy", "d mon yy", "dd/mm/yy", "d/m/yy",
		"dd.mm.yy", "dd-mm-yy", "yyyy/mm/dd", "yyyy-m-d", "yyyymmdd", "mon d, yyyy", "month d, yyyy", "mm/dd/yyyy", "m/d/yyyy", "m/d/yy"}
	out := append([]string(nil), days...)
	for _, t := range []string{" HH:MM:SS", " HH:MM", " H:MM", " H:MM:SS", "THH:MM:SSZ", "THH:MM:SS", "THH:MMZ"} {
		for _, day := range days[:8] {
			out = append(out, day+t)
		}
	}
	return append(out, "serial")
}()

// draftYears is the first of the hundred years that two digits stand for in a
// draft; a person checks it.
const draftYears = 1970

// dates chooses the formats that read most cells, until all are read or no
// format reads more.
func (f *fitting) dates() {
	col, left := &f.c.col, f.c.head.cells
	if f.p.Type == typeDateTime {
		col.Zone = "Europe/London"
	}
	ambiguous := false
	var chosen []*dateFormat
	for len(left) > 0 && len(chosen) < 16 {
		var best *dateFormat
		var rest []string
		for _, text := range commonFormats {
			g, err := parseDateFormat(text, draftYears, defaultEpoch)
			if err != nil {
				panic("internal error: " + err.Error())
			}
			if clashes(g, chosen) {
				continue
			}
			var unread []string
			for _, cell := range left {
				m, ok := g.read(cell)
				// A count of days is a year that the record may be about.
				if ok && text == "serial" && (m.year < 1930 || m.year > 2100) {
					ok = false
				}
				if !ok || f.p.Type == typeDate && (m.hour != 0 || m.minute != 0 || m.second != 0) {
					unread = append(unread, cell)
				}
			}
			if len(unread) < len(left) && (best == nil || len(unread) < len(rest)) {
				best, rest = g, unread
			}
		}
		if best == nil {
			break
		}
		if strings.HasPrefix(best.text, "d") && strings.ContainsAny(best.text, "/-.") && !strings.Contains(best.text, "mon") && !dayFirst(best, left) {
			ambiguous = true
		}
		chosen, left = append(chosen, best), rest
	}
	for _, g := range chosen {
		col.Formats = append(col.Formats, g.text)
		if strings.Contains(g.text, "yy") && !strings.Contains(g.text, "yyyy") {
			col.Years = draftYears
		}
	}
	if col.Years != 0 {
		f.note("two digits of a year are taken for %d to %d", draftYears, draftYears+99)
	}
	if ambiguous {
		f.note("no cell says whether day or month comes first: day is taken")
	}
	if len(col.Formats) == 0 {
		col.Formats = nil
	}
}

func clashes(g *dateFormat, chosen []*dateFormat) bool {
	for _, other := range chosen {
		if clash(g, other)+clash(other, g) != "" {
			return true
		}
	}
	return false
}

// dayFirst reports whether a cell proves that the day comes first: it is over
// 12.
func dayFirst(g *dateFormat, cells []string) bool {
	for _, cell := range cells {
		if m, ok := g.read(cell); ok && m.day > 12 {
			return true
		}
	}
	return false
}
