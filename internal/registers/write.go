package registers

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Files are the register as data, by file name: ID.csv, ID.csv-metadata.json (W3C CSV on
// the Web), ID.json, for one that has a form ID.FORM.json, and where statements were drawn for
// an audit ID.drawn.json.
func (t *Table) Files(p Publication) map[string][]byte {
	files := map[string][]byte{t.ID + ".csv": t.CSV(), t.ID + ".csv-metadata.json": t.Metadata(p.Licence), t.ID + ".json": t.JSON(p.Licence)}
	if t.form != nil {
		files[t.FormFile()] = t.Formed(p)
	}
	if file := t.DrawnFile(); file != "" {
		files[file] = indented(t.Audits.Newest().Draw)
	}
	return files
}

// DrawnFile is the name of the file that stile audit adoption --drawn takes, of the newest
// draw; "" where nothing was drawn.
func (t *Table) DrawnFile() string {
	if t.Audits == nil || t.Audits.Newest() == nil {
		return ""
	}
	return t.ID + ".drawn.json"
}

// FormFile is the name of the file in the form of somebody else's standard; "" where there
// is none.
func (t *Table) FormFile() string {
	if t.form == nil {
		return ""
	}
	return t.ID + "." + t.Form + ".json"
}

// FormTitle is what that form is called; "" where there is none.
func (t *Table) FormTitle() string {
	if t.form == nil {
		return ""
	}
	return t.form.Title
}

// Formed returns the records in that form. Only what its translation names of open fields is
// in it.
func (t *Table) Formed(p Publication) []byte {
	known := map[string]any{"made": t.Made.Format(time.RFC3339), "publisher": string(t.Us), "home": "https://" + string(t.Us), "licence": p.Licence.Address}
	if strings.Contains(p.Base, "://") {
		known["address"] = p.Base + "/" + t.FormFile()
	}
	return t.form.File(t.formed, known)
}

// CSV returns the rows as a table, with a heading. A text that a spreadsheet would take for
// a formula has a ' before it.
func (t *Table) CSV() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write(t.heads())
	for _, r := range t.Rows {
		var cells []string
		if t.Standard != "" {
			cells = append(cells, string(r.Council), string(r.Record))
		}
		for _, vs := range r.Cells {
			text := strings.Join(vs, between)
			if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) && slices.ContainsFunc(vs, func(v string) bool { return !whole(v) }) {
				text = "'" + text
			}
			cells = append(cells, text)
		}
		w.Write(cells)
	}
	w.Flush()
	return b.Bytes()
}

// JSON returns the register with its counts.
func (t *Table) JSON(l Licence) []byte {
	rows := []any{}
	for _, r := range t.Rows {
		row := map[string]any{}
		if t.Standard != "" {
			row["council"], row["record"] = r.Council, r.Record
		}
		for i, c := range t.Columns {
			switch vs := r.Cells[i]; len(vs) {
			case 0:
			case 1:
				row[c.Title] = vs[0]
			default:
				row[c.Title] = vs
			}
		}
		rows = append(rows, row)
	}
	counts := []any{}
	for _, c := range t.Counts {
		lines := []any{}
		for _, l := range c.Lines {
			line := map[string]any{"value": l.Value, "records": l.Records, "councils": append([]string{}, l.names()...)}
			if l.Name != "" {
				line["name"] = l.Name
			}
			lines = append(lines, line)
		}
		counts = append(counts, map[string]any{"title": c.Title, "lines": lines})
	}
	out := map[string]any{"register": t.ID, "title": t.Title, "council": t.Us, "made": t.Made, "rows": rows, "counts": counts, "left_out": t.Left}
	if t.Standard != "" {
		out["standard"] = t.Std
	}
	if l.Address != "" {
		out["licence"] = l.Address
	}
	if t.Audits != nil {
		out["audits"] = t.Audits
	}
	if t.Goal.Of > 0 {
		out["goal"] = struct {
			Reached int `json:"reached"`
			Goal
		}{t.Reached(), t.Goal}
	}
	return indented(out)
}

func (l Line) names() (s []string) {
	for _, c := range l.Councils {
		s = append(s, string(c))
	}
	return s
}

func indented(v any) []byte {
	b, _ := json.MarshalIndent(v, "", "  ")
	return append(b, '\n')
}

// A Bar is a quarter of a year in a chart.
type Bar struct {
	Quarter       string // such as 2027 Q3
	Records       int
	X, Y, H, Text int // where it is drawn; Text is the line of its number
}

// chartHigh is how high the longest bar is.
const chartHigh = 160

// Bars are the quarters of the chart, from the first with a record to the last; nil where
// there is no chart.
func (t *Table) Bars() []Bar {
	in := map[string]int{}
	var first, last time.Time
	for _, r := range t.Rows {
		if t.Chart == "" {
			return nil
		}
		for _, v := range r.Cells[t.at(t.Chart)] {
			day, err := time.Parse(time.DateOnly, v)
			if err != nil {
				continue
			}
			if first.IsZero() || day.Before(first) {
				first = day
			}
			if day.After(last) {
				last = day
			}
			in[quarter(day)]++
		}
	}
	var bars []Bar
	most := 1
	for day := time.Date(first.Year(), (first.Month()-1)/3*3+1, 1, 0, 0, 0, 0, time.UTC); !last.IsZero() && !day.After(last) && len(bars) < 60; day = day.AddDate(0, 3, 0) {
		bars = append(bars, Bar{Quarter: quarter(day), Records: in[quarter(day)]})
		most = max(most, in[quarter(day)])
	}
	for i := range bars {
		b := &bars[i]
		b.X, b.H = 10+i*46, chartHigh*b.Records/most
		b.Y = 20 + chartHigh - b.H
		b.Text = b.Y - 5
	}
	return bars
}

// Wide is how wide the chart is.
func (t *Table) Wide() int { return 20 + 46*len(t.Bars()) }

func quarter(day time.Time) string {
	return fmt.Sprintf("%d Q%d", day.Year(), (int(day.Month())+2)/3)
}
