package web

import (
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/registers"
)

// Top are the places of the columns that stand beside each other.
func (o *openTable) Top() (all []int) {
	for i, c := range o.Columns {
		if !slices.Contains(o.Under, c.Title) {
			all = append(all, i)
		}
	}
	return all
}

// Across is how many cells stand beside each other.
func (o *openTable) Across() int {
	n := len(o.Top())
	if o.Standard != "" {
		n++
	}
	return n
}

// An openLine is a value of a group as a page shows it.
type openLine struct {
	registers.Line
	Said template.HTML // the value
	Of   bool          // who says so is told beside it
	Find bool          // its lines can be looked for
}

func (t *tongue) openLine(o *openTable, c registers.Count, l registers.Line) openLine {
	return openLine{l, t.ours(o.Table, l.Title()), o.saysWho(c), !o.Static && c.And == "" && l.Value != registers.Unsaid}
}

// saysWho reports whether councils say what is counted, and the values are not they.
func (o *openTable) saysWho(c registers.Count) bool { return o.Standard != "" && c.Column != "" }

// counted begins the table of a group.
func (t *tongue) counted(o *openTable, c registers.Count) template.HTML {
	of := t.say("council")
	if c.Column != "" {
		of = t.english("open.column", c.Column)
	}
	if c.And != "" {
		of += ": " + t.english("open.column", c.And)
	}
	headings := []string{of, "#" + t.say("open.lines")}
	if o.saysWho(c) {
		headings = append(headings, t.say("open.who"))
	}
	return t.table(t.english("open.group", c.Title), headings...)
}

// cell shows what stands in a column of a line: a day and a time as people write them, the
// names of councils that stand there by their codes, words of our own in the language of the
// page, and what a council says as it is. Nothing is "".
func (t *tongue) cell(o *openTable, column int, line registers.Row) template.HTML {
	vs, title := line.Cells[column], o.Columns[column].Title
	if len(vs) == 0 {
		return ""
	}
	if len(vs) == 1 {
		if _, err := time.Parse(time.DateOnly, vs[0]); err == nil {
			return `<span class="stile-nowrap">` + html(t.day(vs[0])) + `</span>`
		}
		if at, err := time.Parse(time.RFC3339, vs[0]); err == nil {
			return html(t.moment(at))
		}
		if title == o.Links && strings.HasPrefix(vs[0], "https://") {
			return template.HTML(`<a class="govuk-link" href="`+attr(vs[0])+`">`) + breaks(vs[0]) + `</a>`
		}
	}
	if title == o.Map && o.Standard != "" {
		var named []string
		for _, gss := range vs {
			named = append(named, o.Named(gss))
		}
		vs = named
	}
	if o.Columns[column].Pointer == "/mode" { // of agreements, in each standard that has it
		return html(t.say("mode." + modeWord(vs[0])))
	}
	said := t.ours(o.Table, strings.Join(vs, "; "))
	if title == o.State {
		return tag(stateColours[vs[0]], said)
	}
	return said
}

// An auditsShown is what a page says of audits, with the address of the file of the newest
// draw; "" where whoever asks is not shown it.
type auditsShown struct {
	*registers.Audits
	File string
}

// auditsOf are the audits of a register on its page; file is "" where nothing was drawn.
func auditsOf(a *registers.Audits, file string, static bool) auditsShown {
	if file != "" && !static {
		file = "/open/" + file
	}
	return auditsShown{a, file}
}

// A part is what stands in one column of a line, with its title.
type part struct {
	Title string
	Said  template.HTML
}

// under is what stands below the other columns of a line, without columns that are empty.
func (t *tongue) under(o *openTable, line registers.Row) (parts []part) {
	for _, title := range o.Under {
		column := slices.IndexFunc(o.Columns, func(c registers.Column) bool { return c.Title == title })
		if said := t.cell(o, column, line); said != "" {
			parts = append(parts, part{t.english("open.column", title), said})
		}
	}
	return parts
}

// stateColours are the colours of the words in a column of states; of others none.
var stateColours = map[string]string{"yes": "green", "not yet": "red", "not asked for yet": "grey", "not of our kind of council": "grey"}

// ours says in the language of the page what stands in a register, where it is a word of our
// own: in a register that we made, and for yes and no in each. What a council wrote stays.
func (t *tongue) ours(r *registers.Table, s string) template.HTML {
	if slices.Contains(registers.Words(), s) && (r.Standard == "" || s == "yes" || s == "no" || s == registers.Unsaid) {
		return html(t.english("open.word", s))
	}
	if t.lang == English {
		return breaks(s)
	}
	return `<span lang="en">` + breaks(s) + `</span>`
}

// breaks escapes a text, and lets a long name or address in it go on in the next line after
// a / . @ or _, so that it makes no table wider than the screen.
func breaks(s string) template.HTML {
	var b strings.Builder
	for i, word := range strings.Split(s, " ") {
		if i > 0 {
			b.WriteByte(' ')
		}
		if len(word) <= longWord {
			b.WriteString(attr(word))
			continue
		}
		for at := 0; at < len(word); {
			n := strings.IndexAny(word[at:], "/.@_")
			if n < 0 || at+n+1 == len(word) {
				b.WriteString(attr(word[at:]))
				break
			}
			b.WriteString(attr(word[at:at+n+1]) + "<wbr>")
			at += n + 1
		}
	}
	return template.HTML(b.String())
}

// longWord is how many bytes of a word always stay in one line.
const longWord = 20
