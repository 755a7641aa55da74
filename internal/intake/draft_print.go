package intake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// printColumns writes the columns, coordinates and what is left out.
func (d *draft) printColumns(b *bytes.Buffer) {
	some := false
	for _, p := range d.places {
		some = some || d.chosen[p.To] != nil
	}
	if some || len(d.m.Coordinates) == 0 {
		b.WriteString("\ncolumns:\n")
	}
	for _, p := range d.places {
		if c := d.chosen[p.To]; c != nil {
			d.printColumn(b, p, c)
		} else if !d.inCoordinates(p.To) {
			d.printMissing(b, p)
		}
	}
	if len(d.m.Coordinates) > 0 {
		b.WriteString("\ncoordinates:\n")
		for i, xy := range d.m.Coordinates {
			lead := "  - "
			line := func(key, value string) {
				fmt.Fprintf(b, "%s%s: %s\n", lead, key, value)
				lead = "    "
			}
			if xy.Pattern != "" {
				line("at", quoted(xy.At[0]))
				line("pattern", xy.Pattern)
			} else {
				line("x", quoted(xy.X[0]))
				line("y", quoted(xy.Y[0]))
			}
			line("are", xy.Are+"   # "+d.xyNote[i])
			for axis, to := range xy.places() {
				if to != "" {
					line(axisNames[axis], quoted(string(to)))
				}
			}
			if xy.Decimals != nil {
				line("decimals", strconv.Itoa(*xy.Decimals)+"   # the most that the standard takes")
			}
			if xy.Required {
				line("required", "true")
			}
		}
	}
	d.printConstants(b)
	if len(d.m.Ignore) > 0 {
		b.WriteString("\n# Headings of the file that are like no place of the standard, or whose cells do not\n# fit it. Those that stay here are left out.\nignore:\n")
		for _, h := range d.m.Ignore {
			what := ""
			for _, head := range d.heads {
				if fold(head.text) == fold(h) && head.filled == 0 {
					what = "   # blank in every row"
				}
			}
			fmt.Fprintf(b, "  - %s%s\n", quoted(h), what)
		}
	}
}

func (d *draft) printColumn(b *bytes.Buffer, p Place, c *choice) {
	line := func(format string, args ...any) {
		b.WriteString("  ")
		fmt.Fprintf(b, format, args...)
		b.WriteByte('\n')
	}
	col, h := c.col, c.head
	line("- to: %s", quoted(string(p.To)))
	switch {
	case h.twice:
		line("  position: %d   # the heading %s stands there more than once", h.index+1, quoted(visible(h.text)))
	case c.sure:
		line("  from: %s", quoted(h.text))
	default:
		line("  from: %s   # only somewhat alike: is it this one?", quoted(h.text))
	}
	if len(col.Also) > 0 {
		line("  also: %s", flow(col.Also))
		line("  join: %s", quoted(col.Join))
	}
	if col.Type != typeString {
		line("  type: %s", col.Type)
	}
	for _, n := range c.notes {
		line("  # %s", visible(n))
	}
	if len(col.Formats) > 0 {
		line("  formats: %s", flow(col.Formats))
	} else if col.dated() {
		line("  # formats: [dd/mm/yyyy]   # how does the file write it?")
	}
	if col.Zone != "" {
		line("  zone: %s   # of times that do not say theirs", col.Zone)
	}
	if col.Years != 0 {
		line("  years: %d", col.Years)
	}
	if col.Decimals != nil {
		line("  decimals: %d", *col.Decimals)
	}
	if col.Split != "" {
		line("  split: %s", quoted(col.Split))
	}
	if col.Escape != "" {
		line("  escape: %s", quoted(col.Escape))
	}
	if len(col.Values) > 0 {
		line("  values:")
		for _, cell := range sortedKeys(col.Values) {
			line("    %s: %s", quoted(cell), scalarYAML(col.Values[cell]))
		}
	}
	if len(col.Words) > 0 {
		line("  words: %s   # what the standard allows", flow(col.Words))
	}
	if len(col.Replace) > 0 {
		line("  replace:")
		for _, old := range sortedKeys(col.Replace) {
			line("    %s: %s", quoted(old), quoted(col.Replace[old]))
		}
	}
	if col.Letters != "" {
		line("  letters: %s", col.Letters)
	}
	if col.Strip != "" {
		line("  strip: %s", quoted(col.Strip))
	}
	if len(col.Blank) > 0 {
		line("  blank:")
		for _, cell := range col.Blank {
			line("    - %s", quoted(cell))
		}
	}
	if col.Empty != "" {
		line("  empty: %s", quoted(col.Empty))
	}
	if col.Required {
		line("  required: true")
	}
	// What still does not fit is listed, so that a person can say what it is.
	if left := d.failing(p, col, h.cells); len(left) > 0 && h.filled > 0 {
		shown := make([]string, 0, 10)
		for _, cell := range left[:min(len(left), 10)] {
			shown = append(shown, quoted(cut(visible(cell))))
		}
		more := ""
		if len(left) > len(shown) {
			more = fmt.Sprintf(" and %d more", len(left)-len(shown))
		}
		line("  # the standard does not take: %s%s; say under values what they stand for, or mend them at the source", strings.Join(shown, ", "), more)
	}
}

// printMissing lists a place that no column fills.
func (d *draft) printMissing(b *bytes.Buffer, p Place) {
	why := "no heading is like it"
	for _, h := range d.heads {
		if d.alike(p, h.text) >= 0.85 && !d.taken[h.index] {
			why = fmt.Sprintf("the cells of %s do not fit it", quoted(visible(h.text)))
		}
	}
	fmt.Fprintf(b, "#  - to: %s\n#    from: %s\n", quoted(string(p.To)), why)
	if p.Type != typeString {
		fmt.Fprintf(b, "#    type: %s\n", p.Type)
	}
	if p.Required {
		b.WriteString("#    required: true\n")
	}
}

// printConstants offers what every record must have and the file does not say.
func (d *draft) printConstants(b *bytes.Buffer) {
	var sure, open []string
	for _, p := range d.places {
		if !p.Required || p.Nullable || d.chosen[p.To] != nil || d.inCoordinates(p.To) {
			continue
		}
		if len(p.Words) == 1 && p.Type == typeString {
			sure = append(sure, fmt.Sprintf("  %s: %s   # the only word the standard takes", quoted(string(p.To)), quoted(p.Words[0])))
		} else {
			about := ""
			if p.About != "" {
				about = ": " + cut(visible(p.About))
			}
			open = append(open, fmt.Sprintf("#  %s:    # every record must have it, and the file does not say it%s", quoted(string(p.To)), about))
		}
	}
	if len(sure)+len(open) == 0 {
		return
	}
	lead := "\n# What stands in every record.\n"
	if len(sure) > 0 {
		b.WriteString(lead + "constants:\n" + strings.Join(sure, "\n") + "\n")
		if len(open) > 0 {
			b.WriteString(strings.Join(open, "\n") + "\n")
		}
		return
	}
	b.WriteString(lead + "#constants:\n" + strings.Join(open, "\n") + "\n")
}

// flow is a YAML list on one line.
func flow[S ~[]string](list S) string {
	q := make([]string, len(list))
	for i, s := range list {
		q[i] = quoted(s)
	}
	return "[" + strings.Join(q, ", ") + "]"
}

// scalarYAML is a JSON scalar on one line of YAML.
func scalarYAML(v any) string {
	switch t := v.(type) {
	case string:
		return quoted(t)
	case json.Number:
		return t.String()
	case bool:
		return strconv.FormatBool(t)
	}
	return "null"
}

// quoted is a YAML string on one line, whatever is in it.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xFFFF:
			fmt.Fprintf(&b, `\U%08X`, r)
		default:
			fmt.Fprintf(&b, `\u%04X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// ExportHeadings returns the headings that an export of records writes for the
// places of a standard: the place without its first slash.
func ExportHeadings(places []Place) []string {
	out := make([]string, len(places))
	for i, p := range places {
		out[i] = string(p.To)[1:]
	}
	return slices.Clip(out)
}
