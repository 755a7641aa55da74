package agreement

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// Terms is what an agreement means for the records of one version of its
// standard. It does not change and may be used concurrently.
type Terms struct {
	agreement *Agreement
	std       *standard.Standard
	layout    *standard.Layout
	rows      *rows
	parts     []part
	every     bool // rows is "true"
	shows     bool // the mode lets single records travel
	tree      *fieldTree
	checkable bool
}

// Compile returns the terms for std. It fails, with every reason joined, when
// the row filter, the fields or the standard do not hold together: the part of
// [Agreement.Check] that decides what travels. It does not ask for complete
// headings, so that a draft can be previewed; whoever signs asks Check, and
// whoever shares asks [State].
//
// An agreement speaks of a major line of a standard. A later version of the
// line that calls a new field open has no terms under an agreement that does
// not list it: until it is amended, nothing in that version is shared.
func (a *Agreement) Compile(std *standard.Standard) (*Terms, error) {
	t, problems := a.terms(std)
	if len(problems) == 0 {
		return t, nil
	}
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = fmt.Errorf("%s %s", p.Pointer, p.Detail)
	}
	return nil, fmt.Errorf("compile agreement %s version %d: %w", a.Name, a.Version, errors.Join(errs...))
}

// Agreement returns the agreement the terms come from.
func (t *Terms) Agreement() *Agreement { return t.agreement }

// Match reports whether the row filter picks the record, given as strictjson
// decodes it. Any error in the filter means no: a field that is not there, a
// comparison of unlike types, too much work. A deleted record, nil, matches
// nothing. It takes about half a microsecond for one comparison.
func (t *Terms) Match(record any) bool {
	m, ok := record.(map[string]any)
	if !ok || m == nil {
		return false
	}
	if t.every {
		return true
	}
	yes, err := t.rows.eval(m)
	return err == nil && yes
}

// Beyond says what of a record that was sent is beyond the agreement, or does not
// fit its standard: the rule, and where one is, the field's pointer; "" for nothing.
// It may be called on nil terms, which let nothing through.
func (t *Terms) Beyond(std *standard.Standard, body map[string]any) (rule, pointer string) {
	if t == nil {
		return "standard's version", ""
	}
	if extra := t.Excess(body); len(extra) > 0 {
		return "field beyond the agreement", extra[0]
	}
	if t.RowsCheckable() && !t.Match(body) {
		return "row beyond the agreement", ""
	}
	if ps := std.ValidateVisible(body); len(ps) > 0 {
		return "standard: " + ps[0].Rule, ps[0].Pointer
	}
	return "", ""
}

// Keep decides on one disclosure of a record token: whether the place that the
// concrete pointer names travels. shell says that the disclosure is an object
// or array whose parts are disclosed by themselves; it travels, emptied, when
// something below it does. In a mode that shows no records nothing travels.
func (t *Terms) Keep(pointer string, shell bool) bool {
	return t.shows && t.tree.keeps(pointer, shell)
}

// Excess returns the concrete pointers of all values in the visible part of a
// record that the agreement does not allow, sorted; nil when there is none. A
// container none of which is allowed is named, not what it holds. An empty
// container above an agreed field is no excess.
//
// It is the receiver's check, and does not trust that the sender applied Keep.
func (t *Terms) Excess(visible any) []string {
	var e excess
	if m, ok := visible.(map[string]any); ok {
		root := t.tree
		if !t.shows {
			root = new(fieldTree)
		}
		e.members(m, root, root.open, nil)
	} else if visible != nil {
		e.found = append(e.found, "")
	}
	slices.Sort(e.found)
	return e.found
}

type excess struct{ found []string }

// A step is a pointer as it grows, spelled out only when it is reported.
type step struct {
	up    *step
	token string
}

func (s *step) pointer() string {
	if s == nil {
		return ""
	}
	return s.up.pointer() + "/" + name.Escape(s.token)
}

// walk judges the value v at p, below a place that is open or not.
func (e *excess) walk(v any, p *fieldTree, open bool, at *step) {
	if p == nil {
		// Nothing is agreed here by name; an open place above speaks for it.
		if !open {
			e.found = append(e.found, at.pointer())
		}
		return
	}
	if p.all {
		return
	}
	open = (open && !p.closed) || p.open
	if !open && !p.holds {
		e.found = append(e.found, at.pointer())
		return
	}
	switch v := v.(type) {
	case map[string]any:
		e.members(v, p, open, at)
	case []any:
		for i, el := range v {
			tok := strconv.Itoa(i)
			q := p.element
			if !open {
				q = p.next(tok)
			}
			e.walk(el, q, open, &step{at, tok})
		}
	default:
		if !open {
			e.found = append(e.found, at.pointer())
		}
	}
}

func (e *excess) members(m map[string]any, p *fieldTree, open bool, at *step) {
	if p.all {
		return
	}
	for k, v := range m {
		// Where Keep had to be asked, ask as Keep does. In an open place what is
		// withheld of arrays is no matter to objects, nor the other way round.
		q := p.members[k]
		if q == nil && !open {
			q = p.next(k)
		}
		e.walk(v, q, open, &step{at, k})
	}
}

// RowsCheckable reports whether the row filter reads only what travels, so
// that a receiver can run Match on the visible part of a record and refuse one
// that the filter does not pick. It is found from the filter's text and says
// no when in doubt.
func (t *Terms) RowsCheckable() bool { return t.checkable }

func (t *Terms) rowsCheckable() bool {
	if !t.shows {
		return false
	}
	for _, f := range t.rows.values {
		if !t.tree.covers(f) {
			return false
		}
	}
	for _, f := range t.rows.walked {
		if !t.tree.walks(f) {
			return false
		}
	}
	return true
}

// Present returns what the receiver would see of a record: what the standard
// leaves open and what Keep lets travel. The record is not changed; the result
// shares its values. It is what presenting the record's token shows, without
// the token.
func (t *Terms) Present(record map[string]any) map[string]any {
	out := make(map[string]any, len(record))
	if !t.shows {
		return out
	}
	for k, v := range record {
		if v, ok := t.present(v, t.layout.Member(k), t.tree.next(k)); ok {
			out[k] = v
		}
	}
	return out
}

// present returns the visible part of v, if there is one, at the layout l and
// the place p, which is nil where nothing is agreed.
func (t *Terms) present(v any, l *standard.Layout, p *fieldTree) (any, bool) {
	if p != nil && p.all {
		return v, true
	}
	leads := p != nil && p.leads
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 && leads { // an empty container says no more than an emptied one
			return v, true
		}
		if l.Members == nil {
			break
		}
		if !l.Shell() && !leads {
			return nil, false
		}
		out := make(map[string]any, len(v))
		for k, m := range v {
			if m, ok := t.present(m, l.Member(k), p.below(k)); ok {
				out[k] = m
			}
		}
		return out, true
	case []any:
		if len(v) == 0 && leads {
			return v, true
		}
		if l.Elements == nil {
			break
		}
		if !l.Shell() && !leads {
			return nil, false
		}
		out := make([]any, 0, len(v))
		for i, el := range v {
			if el, ok := t.present(el, l.Element(), p.below(strconv.Itoa(i))); ok {
				out = append(out, el)
			}
		}
		return out, true
	}
	return v, l.Open
}

func (p *fieldTree) below(token string) *fieldTree {
	if p == nil {
		return nil
	}
	return p.next(token)
}
