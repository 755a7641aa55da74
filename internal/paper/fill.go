package paper

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/document"
	"github.com/stile-exchange/stile/node/name"
)

// A Filled is what could be read of a paper.
type Filled struct {
	// Texts are what stands under headings that are known, by the key of the agreement's
	// heading. Places say where each was found.
	Texts  map[string]string
	Places map[string][]string
	// Left is what has no place in an agreement, or none that is known, in the order of the
	// paper, each with where it stands.
	Left []Left
}

// A Left is a piece of a paper that could not be placed.
type Left struct {
	Place   string // such as "paragraph 12", "table 2, row 3" or "line 40"
	Heading string // the heading that it stands under, "" when there is none
	Text    string
}

// Fill reads a paper as far as it can: what stands under a heading that is known, or
// beside one in a table of two columns, goes under that heading of an agreement; all else
// is Left. It never fails: a paper of which nothing is known is all Left.
func Fill(d *document.Document) Filled {
	f := Filled{Texts: map[string]string{}, Places: map[string][]string{}}
	var at place       // what the last heading means
	var heading string // its text
	known := false
	add := func(key, text, where string) {
		text = agreement.Tidy(text)
		switch {
		case text == "" || text == unfilled || text == nothing:
			return
		case f.Texts[key] == "":
			f.Texts[key] = text
		default:
			f.Texts[key] += "\n" + text
		}
		if !slices.Contains(f.Places[key], where) {
			f.Places[key] = append(f.Places[key], where)
		}
	}
	leave := func(text, where string) {
		if text = agreement.Tidy(text); text != "" {
			f.Left = append(f.Left, Left{Place: where, Heading: heading, Text: text})
		}
	}
	ours := false // below a section that Write adds, which repeats what was said before
	for _, b := range d.Blocks {
		if b.Kind == document.Heading || b.Kind == document.Paragraph && len(b.Text) < 120 && isHeading(b.Text) {
			p, ok := places[match(b.Text)]
			if b.Kind == document.Heading || ok {
				at, known, heading = p, ok, b.Text
				if m := match(b.Text); b.Kind == document.Heading {
					ours = m == "what nodes enforce" || m == "what the nodes enforce" || m == "signatures" || m == "proof"
				}
				continue
			}
		}
		switch {
		case ours:
		case b.Kind == document.Table:
			f.table(b, at, known, add, leave)
		case known && at.key != "":
			text := b.Text
			if b.Kind == document.Item && !isList(at.key) {
				text = "- " + text
			}
			add(at.key, text, b.Place)
		default:
			leave(b.Text, b.Place)
		}
	}
	return f
}

// isHeading reports whether a paragraph by itself may be a heading that nobody styled as
// one. It has to be known, word for word, to be taken for one.
func isHeading(text string) bool {
	_, ok := places[match(text)]
	return ok && !strings.Contains(text, "\n")
}

func isList(key string) bool {
	return slices.ContainsFunc(agreement.Headings(), func(h agreement.Heading) bool { return h.Key == key && (h.List || h.Table) })
}

// table reads a table: one whose rows begin with headings, one of fields or of parties
// under a heading of ours, or any other below a known heading, whose rows are texts.
func (f *Filled) table(b document.Block, at place, known bool, add func(key, text, where string), leave func(text, where string)) {
	b.Rows = slices.DeleteFunc(slices.Clone(b.Rows), func(r []string) bool { return len(r) == 0 })
	if len(b.Rows) == 0 {
		return
	}
	where := func(i int) string { return fmt.Sprintf("%s, row %d", b.Place, i+1) }
	forms := 0 // rows that begin with a heading that is known
	for _, r := range b.Rows {
		if p, ok := places[match(r[0])]; len(r) > 1 && ok && p.key != "" {
			forms++
		}
	}
	asForm := forms > 0 && (forms*2 >= len(b.Rows) || !known)
	if !asForm && len(b.Rows[0]) > 1 { // a table of parties says in its own first row of what
		for _, h := range b.Rows[0][1:] {
			if p, ok := places[match(h)]; ok && (p.key == "contacts" || p.key == "roles") {
				at, known = p, true
				break
			}
		}
	}
	for i, r := range b.Rows {
		text := strings.TrimSpace(strings.Join(nonEmpty(r), " | "))
		if text == "" {
			continue
		}
		if p, ok := places[match(r[0])]; asForm && len(r) > 1 && ok && p.key != "" {
			add(p.key, strings.Join(nonEmpty(r[1:]), "\n"), where(i))
			continue
		}
		switch {
		case asForm || !known || at.key == "":
			leave(text, where(i))
		case at.key == "fields" || at.key == "match" || at.key == "onward/fields":
			switch first := strings.TrimSpace(r[0]); {
			case strings.HasPrefix(first, "/"):
				add(at.key, first, where(i))
			case first == "(the whole record)", i == 0:
			default:
				leave(text, where(i))
			}
		case at.key == "roles" || at.key == "contacts":
			if _, err := name.ParseCouncil(strings.ToLower(strings.TrimSpace(r[0]))); err == nil && len(r) > 1 {
				if said := strings.Join(strings.Fields(strings.Join(r[1:], " ")), " "); said != "" {
					add(at.key, strings.ToLower(strings.TrimSpace(r[0]))+": "+said, where(i))
				}
			} else if i > 0 {
				leave(text, where(i))
			}
		default:
			add(at.key, text, where(i))
		}
	}
}

func nonEmpty(in []string) (out []string) {
	for _, s := range in {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// What of a paper is printed as comments, in bytes: an agreement is read by people, and
// has a largest size.
const (
	maxRemark  = 600
	maxRemarks = 40 << 10
)

// Into puts what was read into an agreement and returns remarks for a draft: under
// the headings where each was found and what could not be put there, and at the end what
// was left. Headings that say which agreement it is are put only where the agreement has
// none: whoever drafts has named them.
func (f Filled) Into(a *agreement.Agreement) (remarks map[string][]string, rest []string) {
	remarks = map[string][]string{}
	budget := maxRemarks
	say := func(format string, args ...any) (lines []string) {
		text := fmt.Sprintf(format, args...)
		for i, l := range strings.Split(text, "\n") {
			if len(l) > maxRemark {
				l = strings.ToValidUTF8(l[:maxRemark], "") + " […]"
			}
			if budget -= len(l) + 8; budget < 0 {
				return lines
			}
			if i > 0 {
				l = "  " + l
			}
			lines = append(lines, l)
		}
		return lines
	}
	for _, h := range agreement.Headings() {
		text, where := f.Texts[h.Key], strings.Join(shortened(f.Places[h.Key]), ", ")
		if text == "" {
			continue
		}
		if a.Text(h.Key) != "" {
			if a.Text(h.Key) != text && h.Key != "version" {
				remarks[h.Key] = say("Not taken, since it was given: %s says: %s", where, text)
			}
			continue
		}
		kept, over := text, ""
		if len(kept) > agreement.MaxText && !h.List && !h.Table {
			kept = strings.ToValidUTF8(kept[:agreement.MaxText-8], "")
			kept = agreement.Tidy(kept[:max(strings.LastIndexAny(kept, " \n"), 1)])
			over = text[len(kept):]
		}
		err := a.Set(h.Key, kept)
		if said, ok := loosely(h.Key, text); err != nil && ok && a.Set(h.Key, said) == nil {
			remarks[h.Key] = say("READ AS %s from %s of the paper, which says: %s", said, where, text)
			continue
		}
		if err != nil {
			remarks[h.Key] = append(say("CANNOT BE TAKEN AS IT STANDS: %s says: %s", where, text), say("What may stand here: %s", h.Ask)...)
			continue
		}
		remarks[h.Key] = say("From %s of the paper.", where)
		if over != "" {
			remarks[h.Key] = append(remarks[h.Key], say("LONGER THAN A HEADING MAY BE; the rest is: %s", over)...)
		}
	}
	last := "-"
	for i, l := range f.Left {
		var lines []string
		if l.Heading != last {
			last = l.Heading
			under := "before the first heading"
			if l.Heading != "" {
				under = "under " + fmt.Sprintf("%q", agreement.Tidy(l.Heading))
			}
			lines = say("NOT PLACED, %s:", under)
		}
		before := budget
		lines = append(lines, say("%s: %s", l.Place, l.Text)...)
		if budget < 0 || before < 0 {
			rest = append(rest, fmt.Sprintf("%d more pieces are not shown, from %s on: see the paper.", len(f.Left)-i, l.Place))
			break
		}
		rest = append(rest, lines...)
	}
	return remarks, rest
}

func shortened(places []string) []string {
	if len(places) <= 4 {
		return places
	}
	return []string{places[0], places[1], fmt.Sprintf("%d more places", len(places)-2)}
}
