package agreement

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// How a difference is announced: whether more leaves than before, or is kept
// longer; less; or whether only reading can tell.
const (
	wider    = "wider: "
	narrower = "narrower: "
	changed  = "changed: "
)

// Diff says in words what an amendment changes, one line each, for the officer
// who has to agree to it: first what is "wider: " than before, then what is
// "changed: ", then what is "narrower: ", each in the order of the headings.
// It is nil when the two say the same. Rows are compared condition by condition
// as text; where that cannot tell, the line says changed.
func Diff(old, new *Agreement) []string {
	d := &differ{old: old, new: new}
	for _, h := range headings {
		switch h.key {
		case "version":
		case "to":
			d.list("receiver", texts(old.To), texts(new.To))
		case "mode":
			d.mode()
		case "rows":
			d.rows()
		case "fields":
			d.fields("field", old.Fields, new.Fields)
		case "match":
			d.fields("match field", old.Match, new.Match)
		case "retention":
			d.retention()
		case "most":
			d.most()
		case "retention_from": // with retention
		case "subject_questions":
			if old.Subjects != new.Subjects && new.AnswersSubjects() {
				d.say(wider, "subject_questions: %s", new.SubjectWords())
			} else if old.Subjects != new.Subjects {
				d.say(narrower, "subject_questions: the parties no longer tell each other to whom they gave records")
			}
		case "origin":
			d.origin()
		case "onward/to":
			d.onward()
		case "onward/under", "onward/fields", "onward/steps": // with onward/to
		case "starts":
			d.dates("starts", old.Starts, new.Starts, old.Starts > new.Starts)
		case "ends":
			d.dates("ends", old.Ends, new.Ends, new.Ends == "" || (old.Ends != "" && new.Ends > old.Ends))
		case "roles":
			d.table(h.key, table(old.Roles), table(new.Roles))
		case "contacts":
			d.table(h.key, table(old.Contacts), table(new.Contacts))
		default:
			d.text(h.key, h.get(old).text, h.get(new).text)
		}
	}
	return slices.Concat(d.wider, d.changed, d.narrower)
}

type differ struct {
	old, new                 *Agreement
	wider, changed, narrower []string
}

func (d *differ) say(kind, format string, args ...any) {
	line := kind + fmt.Sprintf(format, args...)
	switch kind {
	case wider:
		d.wider = append(d.wider, line)
	case narrower:
		d.narrower = append(d.narrower, line)
	default:
		d.changed = append(d.changed, line)
	}
}

func (d *differ) text(key, old, new string) {
	switch {
	case old == new:
	case old == "":
		d.say(changed, "%s is now %q", key, new)
	case new == "":
		d.say(changed, "%s is now empty, was %q", key, old)
	default:
		d.say(changed, "%s is now %q, was %q", key, new, old)
	}
}

func (d *differ) list(what string, old, new []string) {
	for _, s := range new {
		if !slices.Contains(old, s) {
			d.say(wider, "%s %s is added", what, s)
		}
	}
	for _, s := range old {
		if !slices.Contains(new, s) {
			d.say(narrower, "%s %s is removed", what, s)
		}
	}
}

func (d *differ) table(key string, old, new map[string]string) {
	for _, c := range slices.Concat(d.new.Parties(), d.old.Parties()) {
		o, n := old[string(c)], new[string(c)]
		if o != n && (slices.Contains(d.new.Parties(), c) || n != "") {
			d.text(key+" of "+string(c), o, n)
			if old != nil {
				old[string(c)] = n // a party of both stands in the list twice
			}
		}
	}
}

func (d *differ) mode() {
	if d.old.Mode == d.new.Mode {
		return
	}
	kind := wider
	if d.new.Way().Reach < d.old.Way().Reach {
		kind = narrower
	}
	d.say(kind, "mode is now %s, was %s", d.new.Mode, d.old.Mode)
}

// fields compares by what is covered: /applicant in the place of
// /applicant/name is wider, the other way round narrower.
func (d *differ) fields(what string, old, new []name.Field) {
	under := func(f name.Field, list []name.Field) bool {
		return slices.ContainsFunc(list, func(g name.Field) bool { return f.Under(g) })
	}
	for _, f := range new {
		if slices.Contains(old, f) {
			continue
		}
		if !under(f, old) {
			d.say(wider, "%s %s is added", what, shown(f))
		}
	}
	for _, f := range old {
		if slices.Contains(new, f) {
			continue
		}
		if under(f, new) {
			continue // said already, as the wider field that was added
		}
		var kept []string
		for _, g := range new {
			if g.Under(f) {
				kept = append(kept, string(g))
			}
		}
		if len(kept) > 0 {
			d.say(narrower, "%s %s is cut down to %s", what, shown(f), strings.Join(kept, ", "))
		} else {
			d.say(narrower, "%s %s is removed", what, shown(f))
		}
	}
}

func shown(f name.Field) string {
	if f == "" {
		return "(the whole record)"
	}
	return string(f)
}

// rows compares the conditions that && joins: one fewer lets more records
// through, one more fewer.
func (d *differ) rows() {
	if d.old.Rows == d.new.Rows {
		return
	}
	old, oldOK := conditions(d.old.Rows)
	new, newOK := conditions(d.new.Rows)
	if !oldOK || !newOK {
		d.say(changed, "rows are now %s, were %s", d.new.Rows, d.old.Rows)
		return
	}
	lacking := func(in, of []string) (out []string) {
		for _, c := range of {
			if !slices.Contains(in, c) {
				out = append(out, c)
			}
		}
		return out
	}
	gone, come := lacking(new, old), lacking(old, new)
	switch {
	case len(gone) == 0 && len(come) == 0: // spelled another way
	case len(come) == 0:
		d.say(wider, "rows no longer ask for %s", strings.Join(gone, " && "))
	case len(gone) == 0:
		d.say(narrower, "rows also ask for %s", strings.Join(come, " && "))
	default:
		d.say(changed, "rows now ask for %s, no longer for %s", strings.Join(come, " && "), strings.Join(gone, " && "))
	}
}

// conditions returns the conditions of a filter; none for "true".
func conditions(text string) ([]string, bool) {
	r, err := compileRows(text)
	if err != nil {
		return nil, false
	}
	parts, err := split(r)
	if err != nil {
		return nil, false
	}
	var out []string
	for _, p := range parts {
		if p.rows.text != "true" {
			out = append(out, p.rows.text)
		}
	}
	return out, true
}

func (d *differ) retention() {
	o, n := d.old.Retention, d.new.Retention
	from := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	switch x, y := o.After(from), n.After(from); {
	case o == n:
	case o == "" || n == "" || x.Equal(y):
		d.text("retention", string(o), string(n))
	case y.After(x):
		d.say(wider, "retention is now %s, was %s", n, o)
	default:
		d.say(narrower, "retention is now %s, was %s", n, o)
	}
	if x, y := d.old.countedFrom(), d.new.countedFrom(); x != y {
		d.say(changed, "retention is now counted from %s, was from %s", y, x)
	}
}

func (d *differ) dates(key string, old, new Date, isWider bool) {
	if old == new {
		return
	}
	kind := narrower
	if isWider {
		kind = wider
	}
	word := func(t Date) string {
		if t == "" {
			return "not stated"
		}
		return string(t)
	}
	d.say(kind, "%s is now %s, was %s", key, word(new), word(old))
}
