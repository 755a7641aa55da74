package web

import (
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/registers"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/api"
)

// A tongue is one language of the pages: what the templates call to say something, and
// the few pieces of GOV.UK markup that every page is made of. What it puts in is escaped,
// unless it is markup of its own making.
type tongue struct {
	lang Lang
	all  messages
	zone *time.Location
}

func (t *tongue) say(key string, in ...any) string { return t.all.say(t.lang, key, in...) }

func (t *tongue) funcs() template.FuncMap {
	return template.FuncMap{
		"t": t.say, "lang": func() string { return string(t.lang) },
		"date": t.day, "period": t.period, "moment": t.moment, "num": number, "count": t.count, "bytes": size, "percent": percent,
		"node": t.node, "sentence": t.sentence, "short": short, "anchor": anchor, "tag": tag, "row": row, "table": t.table, "endtable": endtable, "td": td, "tr": tr, "link": link, "code": code,
		"input": t.input, "textarea": t.textarea, "choose": t.choose, "dateinput": t.dateInput, "radios": t.radios, "button": button, "warn": t.warn,
		"join": func(sep string, v any) string { return strings.Join(texts(v), sep) },
		"path": path, "str": func(v any) string { return fmt.Sprint(v) }, "opt": opt, "opts": func(o ...option) []option { return o },
		"query": func(pairs ...string) string {
			q := url.Values{}
			for i := 0; i+1 < len(pairs); i += 2 {
				if pairs[i+1] != "" {
					q.Set(pairs[i], pairs[i+1])
				}
			}
			return "?" + q.Encode()
		},
		"lines":   func(s string) []string { return strings.Split(strings.TrimRight(s, "\n"), "\n") },
		"english": t.english, "cell": t.cell, "under": t.under, "line": t.openLine, "counted": t.counted, "audits": auditsOf, "breaks": func(v any) template.HTML { return breaks(fmt.Sprint(v)) },
		"first":     func(n int, all []registers.Line) []registers.Line { return all[:min(n, len(all))] },
		"add":       func(a, b int) int { return a + b },
		"mode":      func(m any) string { return t.say("mode." + modeWord(m)) },
		"casestate": func(s string) string { return t.say("case." + word(s, caseStates...)) },
		"fact":      func(s string) string { return t.say("fact." + word(s, api.FactNames()...)) },
		"facttopic": func(s string) string { return t.say("facts.topic." + word(s, api.FactTopics()...)) },
		"factsOf": func(topic string, all []node.CouncilFact) (out []node.CouncilFact) {
			for _, f := range all {
				if f.Topic == topic {
					out = append(out, f)
				}
			}
			return out
		},
		"lasts": t.lasts,
		"has":   func(list any, s any) bool { return contains(texts(list), fmt.Sprint(s)) },
	}
}

// word returns s where it is one of some words, and "other" else, so that a key of a
// message is never made of what came from outside.
func word(s string, of ...string) string {
	if contains(of, s) {
		return s
	}
	return "other"
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// html escapes what is not markup of our own making.
func html(v any) template.HTML {
	if h, ok := v.(template.HTML); ok {
		return h
	}
	return template.HTML(template.HTMLEscapeString(fmt.Sprint(v)))
}

func attr(s string) string { return template.HTMLEscapeString(s) }

// node marks what the node says, which is English on every page.
func (t *tongue) node(v any) template.HTML {
	if t.lang == English {
		return html(v)
	}
	return `<span lang="en">` + html(v) + `</span>`
}

// sentence is node with a capital at its beginning, unless that is a name or a command.
func (t *tongue) sentence(v any) template.HTML {
	s := fmt.Sprint(v)
	first, _, _ := strings.Cut(s, " ")
	if r, n := utf8.DecodeRuneInString(s); r != utf8.RuneError && !strings.ContainsAny(first, "./_-0123456789") {
		v = string(unicode.ToUpper(r)) + s[n:]
	}
	return t.node(v)
}

// short is the name of a standard without its publisher.
func short(v any) string {
	s := fmt.Sprint(v)
	return s[strings.LastIndex(s, "/")+1:]
}

func tag(colour string, v any) template.HTML {
	return template.HTML(`<strong class="govuk-tag govuk-tag--`+attr(colour)+`">`) + html(v) + `</strong>`
}

func code(v any) template.HTML { return `<span class="stile-mono">` + html(v) + `</span>` }

// row is one row of a summary list; a value that is empty is a dash.
func row(k, v any) template.HTML {
	if fmt.Sprint(v) == "" {
		v = "–"
	}
	return `<div class="govuk-summary-list__row"><dt class="govuk-summary-list__key">` + html(k) +
		`</dt><dd class="govuk-summary-list__value stile-break">` + html(v) + `</dd></div>`
}

// table begins a table with a caption and headings, which scrolls by itself.
func (t *tongue) table(caption string, headings ...string) template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<div class="stile-scroll" role="region" tabindex="0" aria-label="%s"><table class="govuk-table"><caption class="govuk-table__caption govuk-table__caption--m">%s</caption><thead class="govuk-table__head"><tr class="govuk-table__row">`, attr(caption), attr(caption))
	for _, h := range headings {
		class := ""
		if s, ok := strings.CutPrefix(h, "#"); ok { // figures stand on the right
			h, class = s, " govuk-table__header--numeric"
		}
		fmt.Fprintf(&b, `<th scope="col" class="govuk-table__header%s">%s</th>`, class, attr(h))
	}
	b.WriteString(`</tr></thead><tbody class="govuk-table__body">`)
	return template.HTML(b.String())
}

func endtable() template.HTML { return `</tbody></table></div>` }

// tr is a row of a table whose first cell is its heading.
func tr(first any, cells ...any) template.HTML {
	return `<tr class="govuk-table__row"><th scope="row" class="govuk-table__header">` + html(first) + `</th>` + td(cells...) + `</tr>`
}

// A figure is a cell that stands on the right.
type figure string

func td(cells ...any) template.HTML {
	var b strings.Builder
	for _, c := range cells {
		class := ""
		switch c.(type) {
		case int, int64, uint64, figure:
			class, c = " govuk-table__cell--numeric", number(c)
		}
		b.WriteString(`<td class="govuk-table__cell` + class + `">` + string(html(c)) + `</td>`)
	}
	return template.HTML(b.String())
}

// link leads to a page of ours. A way out of the pages is no link.
func link(to string, v any) template.HTML {
	if !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "?") || strings.HasPrefix(to, "//") {
		return html(v)
	}
	return template.HTML(`<a class="govuk-link" href="`+attr(to)+`">`) + html(v) + `</a>`
}

// path joins parts of a path, each escaped by itself. A part that is a name with
// slashes keeps them.
func path(parts ...any) string {
	var b strings.Builder
	for _, p := range parts {
		for _, s := range strings.Split(fmt.Sprint(p), "/") {
			if s != "" {
				b.WriteString("/" + url.PathEscape(s))
			}
		}
	}
	return b.String()
}

func button(text string) template.HTML {
	return template.HTML(`<button type="submit" class="govuk-button" data-module="govuk-button" data-prevent-double-click="true">` + attr(text) + `</button>`)
}

func (t *tongue) warn(v any) template.HTML {
	return `<div class="govuk-warning-text"><span class="govuk-warning-text__icon" aria-hidden="true">!</span><strong class="govuk-warning-text__text"><span class="govuk-visually-hidden">` +
		html(t.say("warning")) + `</span> ` + html(v) + `</strong></div>`
}

// A fault is what is wrong with one field of a form; Key is the field's name.
type fault struct {
	Key  string
	Text any // a message, or what the node says
}

type faults []fault

// Has reports whether something is wrong with a field.
func (f faults) Has(key string) bool { return f.of(key) != nil }

// status is that of a page that shows a form: 0, which is the usual one, where nothing is
// wrong with it.
func (f faults) status() int {
	if len(f) > 0 {
		return http.StatusUnprocessableEntity
	}
	return 0
}

// Of returns what is wrong with a field; nil for nothing.
func (f faults) Of(key string) any { return f.of(key) }

func (f faults) of(key string) any {
	for _, e := range f {
		if e.Key == key {
			return e.Text
		}
	}
	return nil
}

// group wraps one field of a form with its label, hint and error.
func (t *tongue) group(name, label, hint string, f faults, control func(describedBy, errorClass string) string) template.HTML {
	var b strings.Builder
	wrong := f.of(name)
	class, by := "", []string{}
	if hint != "" {
		by = append(by, name+"-hint")
	}
	if wrong != nil {
		class, by = " govuk-form-group--error", append(by, name+"-error")
	}
	fmt.Fprintf(&b, `<div class="govuk-form-group%s"><label class="govuk-label govuk-label--s" for="%s">%s</label>`, class, attr(name), attr(label))
	if hint != "" {
		fmt.Fprintf(&b, `<div id="%s-hint" class="govuk-hint">%s</div>`, attr(name), html(hint))
	}
	if wrong != nil {
		fmt.Fprintf(&b, `<p id="%s-error" class="govuk-error-message"><span class="govuk-visually-hidden">%s</span> %s</p>`, attr(name), attr(t.say("error.prefix")), html(wrong))
	}
	described := ""
	if len(by) > 0 {
		described = ` aria-describedby="` + attr(strings.Join(by, " ")) + `"`
	}
	b.WriteString(control(described, class))
	b.WriteString(`</div>`)
	return template.HTML(b.String())
}

// input is a line of text. kind is an input type, with classes after a space, such as
// "text govuk-input--width-10".
func (t *tongue) input(kind, name, label, hint string, value any, f faults) template.HTML {
	kind, classes, _ := strings.Cut(kind, " ")
	return t.group(name, label, hint, f, func(by, wrong string) string {
		if wrong != "" {
			classes += " govuk-input--error"
		}
		if kind == "file" {
			return fmt.Sprintf(`<input class="govuk-file-upload" id="%s" name="%s" type="file"%s>`, attr(name), attr(name), by)
		}
		return strings.TrimSpace(fmt.Sprintf(`<input class="govuk-input %s" id="%s" name="%s" type="%s" value="%s"%s spellcheck="false" autocomplete="off">`,
			attr(classes), attr(name), attr(name), attr(kind), attr(filled(value)), by))
	})
}

// filled is what stands in a field of a form: nothing for nil.
func filled(value any) string {
	if value == nil {
		return ""
	}
	return fmt.Sprint(value)
}

func (t *tongue) textarea(rows int, name, label, hint string, value any, f faults) template.HTML {
	return t.group(name, label, hint, f, func(by, wrong string) string {
		class := ""
		if wrong != "" {
			class = " govuk-textarea--error"
		}
		return fmt.Sprintf("<textarea class=\"govuk-textarea%s\" id=\"%s\" name=\"%s\" rows=\"%d\"%s>\n%s</textarea>", class, attr(name), attr(name), rows, by, attr(filled(value)))
	})
}

// A dateIn is a day as it was typed.
type dateIn struct{ Day, Month, Year string }

// dateInput asks for a day in three fields, NAME-day, NAME-month and NAME-year.
func (t *tongue) dateInput(name, legend, hint string, value dateIn, f faults) template.HTML {
	var b strings.Builder
	wrong := f.of(name + "-day")
	class, input, by := "", "", name+"-hint"
	if wrong != nil {
		class, input, by = " govuk-form-group--error", " govuk-input--error", by+" "+name+"-error"
	}
	fmt.Fprintf(&b, `<div class="govuk-form-group%s"><fieldset class="govuk-fieldset" aria-describedby="%s"><legend class="govuk-fieldset__legend govuk-fieldset__legend--s">%s</legend><div id="%s-hint" class="govuk-hint">%s</div>`, class, attr(by), attr(legend), attr(name), attr(hint))
	if wrong != nil {
		fmt.Fprintf(&b, `<p id="%s-error" class="govuk-error-message"><span class="govuk-visually-hidden">%s</span> %s</p>`, attr(name), attr(t.say("error.prefix")), html(wrong))
	}
	b.WriteString(`<div class="govuk-date-input">`)
	for _, part := range []struct{ key, value, width string }{{"day", value.Day, "2"}, {"month", value.Month, "2"}, {"year", value.Year, "4"}} {
		fmt.Fprintf(&b, `<div class="govuk-date-input__item"><div class="govuk-form-group"><label class="govuk-label govuk-date-input__label" for="%[1]s-%[2]s">%[3]s</label><input class="govuk-input govuk-date-input__input govuk-input--width-%[4]s%[5]s" id="%[1]s-%[2]s" name="%[1]s-%[2]s" type="text" inputmode="numeric" value="%[6]s" autocomplete="off"></div></div>`,
			attr(name), part.key, attr(t.say("date."+part.key)), part.width, input, attr(part.value))
	}
	b.WriteString(`</div></fieldset></div>`)
	return template.HTML(b.String())
}

// An option is one of several answers.
type option struct{ Value, Text, Hint string }

func opt(value, text any) option { return option{Value: fmt.Sprint(value), Text: fmt.Sprint(text)} }

func (t *tongue) choose(name, label, hint string, value any, options []option, f faults) template.HTML {
	return t.group(name, label, hint, f, func(by, wrong string) string {
		var b strings.Builder
		class := ""
		if wrong != "" {
			class = " govuk-select--error"
		}
		fmt.Fprintf(&b, `<select class="govuk-select%s" id="%s" name="%s"%s>`, class, attr(name), attr(name), by)
		for _, o := range options {
			sel := ""
			if o.Value == fmt.Sprint(value) {
				sel = " selected"
			}
			fmt.Fprintf(&b, `<option value="%s"%s>%s</option>`, attr(o.Value), sel, attr(o.Text))
		}
		b.WriteString(`</select>`)
		return b.String()
	})
}

func (t *tongue) radios(name, legend, hint string, value any, options []option, f faults) template.HTML {
	var b strings.Builder
	wrong := f.of(name)
	class, by := "", []string{}
	if hint != "" {
		by = append(by, name+"-hint")
	}
	if wrong != nil {
		class, by = " govuk-form-group--error", append(by, name+"-error")
	}
	described := ""
	if len(by) > 0 {
		described = ` aria-describedby="` + attr(strings.Join(by, " ")) + `"`
	}
	fmt.Fprintf(&b, `<div class="govuk-form-group%s"><fieldset class="govuk-fieldset"%s><legend class="govuk-fieldset__legend govuk-fieldset__legend--s">%s</legend>`, class, described, attr(legend))
	if hint != "" {
		fmt.Fprintf(&b, `<div id="%s-hint" class="govuk-hint">%s</div>`, attr(name), attr(hint))
	}
	if wrong != nil {
		fmt.Fprintf(&b, `<p id="%s-error" class="govuk-error-message"><span class="govuk-visually-hidden">%s</span> %s</p>`, attr(name), attr(t.say("error.prefix")), html(wrong))
	}
	b.WriteString(`<div class="govuk-radios" data-module="govuk-radios">`)
	for i, o := range options {
		id, sel := name, ""
		if i > 0 {
			id = fmt.Sprintf("%s-%d", name, i+1)
		}
		if o.Value == fmt.Sprint(value) {
			sel = " checked"
		}
		hintBy := ""
		if o.Hint != "" {
			hintBy = fmt.Sprintf(` aria-describedby="%s-item-hint"`, attr(id))
		}
		fmt.Fprintf(&b, `<div class="govuk-radios__item"><input class="govuk-radios__input" id="%s" name="%s" type="radio" value="%s"%s%s><label class="govuk-label govuk-radios__label" for="%s">%s</label>`,
			attr(id), attr(name), attr(o.Value), sel, hintBy, attr(id), attr(o.Text))
		if o.Hint != "" {
			fmt.Fprintf(&b, `<div id="%s-item-hint" class="govuk-hint govuk-radios__hint">%s</div>`, attr(id), attr(o.Hint))
		}
		b.WriteString(`</div>`)
	}
	b.WriteString(`</div></fieldset></div>`)
	return template.HTML(b.String())
}

// texts returns the texts of a list, whatever it is a list of.
func texts(list any) (out []string) {
	switch l := list.(type) {
	case []string:
		return l
	case nil:
		return nil
	}
	v := reflectList(list)
	for _, e := range v {
		out = append(out, fmt.Sprint(e))
	}
	return out
}

func reflectList(list any) (out []any) {
	v := reflect.ValueOf(list)
	if v.Kind() != reflect.Slice {
		return []any{list}
	}
	for i := range v.Len() {
		out = append(out, v.Index(i).Interface())
	}
	return out
}
