package agreement

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// The outcomes of a Reason. The first three are those of a condition on rows,
// the others those of a field.
const (
	Met      = "met"
	NotMet   = "not met"
	Failed   = "error" // counts as not met
	IsOpen   = "open"  // travels, since the standard leaves it open
	IsAgreed = "agreed"
	Withheld = "withheld"
)

// A Reason is one line of why a record, or a part of it, does or does not
// travel. It names conditions, fields and classes; it never holds a value of
// the record.
type Reason struct {
	Rule    string   `json:"rule"`             // "deleted", "rows" or "field"
	Text    string   `json:"text"`             // the condition in CEL, or the field
	Outcome string   `json:"outcome"`          // one of the constants above
	Detail  string   `json:"detail,omitempty"` // kind of error, or the field's class
	Any     []Reason `json:"any,omitempty"`    // the alternatives of a condition joined by ||
}

// A part is one of the conditions that && joins in a row filter.
type part struct {
	rows *rows
	any  []part // the alternatives, when it is joined by ||
}

// split takes a filter apart at its outermost && and each part at its
// outermost ||. Parts are printed from the tree and compiled on their own, so
// that each is evaluated as it would be alone.
func split(r *rows) ([]part, error) {
	return splitAt(r.expr, r.info, operators.LogicalAnd, func(e ast.Expr, p *part) (err error) {
		if isCall(e, operators.LogicalOr) {
			p.any, err = splitAt(e, r.info, operators.LogicalOr, nil)
		}
		return err
	})
}

func splitAt(e ast.Expr, info *ast.SourceInfo, op string, more func(ast.Expr, *part) error) ([]part, error) {
	if isCall(e, op) {
		var out []part
		for _, a := range e.AsCall().Args() {
			ps, err := splitAt(a, info, op, more)
			if err != nil {
				return nil, err
			}
			out = append(out, ps...)
		}
		return out, nil
	}
	text, err := cel.ExprToString(e, info)
	if err != nil {
		return nil, err
	}
	// A part of type dyn, such as record.urgent in record.urgent && …, has to
	// be true or false like any other; say so to the type checker.
	p := part{}
	if p.rows, err = compileRows(text); err != nil {
		if p.rows, err = compileRows("(" + text + ") == true"); err != nil {
			return nil, err
		}
		p.rows.text = text
	}
	if more != nil {
		err = more(e, &p)
	}
	return []part{p}, err
}

func isCall(e ast.Expr, fn string) bool {
	return e.Kind() == ast.CallKind && e.AsCall().FunctionName() == fn
}

// Explain says rule by rule whether the agreement picks the record, and field
// by field what of it would travel and why; conditions first, then fields in
// the order of their pointers with "*" for elements. record is a record as
// strictjson decodes it, or nil for one that was deleted. Match decides, not
// Explain: a filter joined by && matches when every condition is met.
func (t *Terms) Explain(record any) []Reason {
	m, ok := record.(map[string]any)
	if !ok || m == nil {
		return []Reason{{Rule: "deleted", Text: "the record was deleted", Outcome: NotMet}}
	}
	var out []Reason
	for _, p := range t.parts {
		r := p.reason(m)
		for _, alt := range p.any {
			r.Any = append(r.Any, alt.reason(m))
		}
		out = append(out, r)
	}
	for _, f := range t.fates(m) {
		out = append(out, Reason{Rule: "field", Text: string(f.field), Outcome: f.outcome, Detail: string(t.std.Class(f.field))})
	}
	return out
}

func (p part) reason(record map[string]any) Reason {
	r := Reason{Rule: "rows", Text: p.rows.text, Outcome: NotMet}
	yes, err := p.rows.eval(record)
	switch {
	case err != nil:
		r.Outcome, r.Detail = Failed, p.rows.kindOfError(record, err)
	case yes:
		r.Outcome = Met
	}
	return r
}

// kindOfError says in words what went wrong, and of the record only which
// fields it lacks. CEL's own message may quote a value, so it is only matched.
func (r *rows) kindOfError(record map[string]any, err error) string {
	msg := err.Error()
	switch {
	case strings.Contains(msg, "cost limit"):
		return "needs too much work on this record"
	case strings.Contains(msg, "no such key"), strings.Contains(msg, "index out of bounds"):
		var missing []string
		for _, f := range r.fields() {
			if !present(record, f.Tokens()) {
				missing = append(missing, string(f))
			}
		}
		if len(missing) > 0 {
			return "the record has no " + strings.Join(missing, ", no ")
		}
		return "the record lacks a field that is asked for"
	case strings.Contains(msg, "no such overload"):
		return "a field is not of the kind that the condition needs"
	case strings.Contains(msg, "too long for matches"):
		return "a text is too long for matches"
	}
	return "cannot be worked out on this record"
}

// present reports whether v has the place that toks name, in every element
// where "*" stands.
func present(v any, toks []string) bool {
	if len(toks) == 0 {
		return true
	}
	switch c := v.(type) {
	case map[string]any:
		m, ok := c[toks[0]]
		return ok && present(m, toks[1:])
	case []any:
		if toks[0] != "*" {
			return false
		}
		for _, e := range c {
			if !present(e, toks[1:]) {
				return false
			}
		}
		return true
	}
	return false
}

// A fate is what becomes of one field of a record.
type fate struct {
	field   name.Field // "*" for elements
	outcome string     // IsOpen, IsAgreed or Withheld
}

// fates goes through a record and says of each place that travels or stays as
// one what becomes of it, sorted by field. Elements of one array share a field:
// they share a fate.
func (t *Terms) fates(record map[string]any) []fate {
	var out []fate
	var walk func(v any, f name.Field, l *standard.Layout, p *fieldTree)
	walk = func(v any, f name.Field, l *standard.Layout, p *fieldTree) {
		all, leads := p != nil && p.all, p != nil && p.leads
		switch c := v.(type) {
		case map[string]any:
			if f == "" || (!all && l.Members != nil && len(c) > 0) {
				for k, m := range c {
					walk(m, f.Child(k), l.Member(k), p.below(k))
				}
				return
			}
			all = all || (leads && len(c) == 0)
		case []any:
			if !all && l.Elements != nil && len(c) > 0 {
				for i, e := range c {
					walk(e, f.Child("*"), l.Element(), p.below(strconv.Itoa(i)))
				}
				return
			}
			all = all || (leads && len(c) == 0)
		}
		o := Withheld
		switch {
		case !t.agreement.Way().Shows():
		case l.Open:
			o = IsOpen
		case all:
			o = IsAgreed
		}
		out = append(out, fate{f, o})
	}
	walk(record, "", t.layout, t.tree)
	slices.SortFunc(out, func(a, b fate) int {
		return cmp.Or(cmp.Compare(a.field, b.field), cmp.Compare(a.outcome, b.outcome))
	})
	return slices.Compact(out)
}
