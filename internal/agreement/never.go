package agreement

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// A compared is a field that a filter compares with a constant by ==, != or in.
type compared struct {
	field name.Field
	value Scalar
	text  string // the constant as the filter has it
}

// compares returns what the filter compares so, wherever it stands in it.
func (r *rows) compares() (out []compared) {
	ast.PostOrderVisit(r.expr, ast.NewExprVisitor(func(e ast.Expr) {
		if !isCall(e, operators.Equals) && !isCall(e, operators.NotEquals) && !isCall(e, operators.In) {
			return
		}
		args := e.AsCall().Args()
		for i, a := range args {
			f, ok := pinned(a)
			if !ok || i == 1 && isCall(e, operators.In) {
				continue
			}
			constants := []ast.Expr{args[1-i]}
			if isCall(e, operators.In) {
				if args[1].Kind() != ast.ListKind {
					continue
				}
				constants = args[1].AsList().Elements()
			}
			for _, c := range constants {
				if c.Kind() != ast.LiteralKind {
					continue
				}
				if v, ok := scalarOf(c.AsLiteral()); ok {
					text, err := cel.ExprToString(c, r.info)
					if err != nil {
						text = "a constant"
					}
					out = append(out, compared{f, v, text})
				}
			}
		}
	}))
	return out
}

// never returns what a filter compares a field with that no record of the standard can hold
// there, as far as that is certain: a slip of the pen lets nothing through, or lets through what
// was to stay.
func (r *rows) never(std *standard.Standard) (out []compared) {
	k := newKnown(std, nil)
	if k.root == nil {
		return nil
	}
	for _, c := range r.compares() {
		s := schema{root: k.root}
		if s.rejects(c.field, c.value) {
			out = append(out, c)
		}
	}
	return out
}

// days returns the fields that a filter reads as a time by timestamp, and that hold a date alone
// in every valid record: that has no answer, so that no such record is picked.
func (r *rows) days(std *standard.Standard) (out []name.Field) {
	k := newKnown(std, nil)
	if k.root == nil {
		return nil
	}
	ast.PostOrderVisit(r.expr, ast.NewExprVisitor(func(e ast.Expr) {
		if !isCall(e, "timestamp") || len(e.AsCall().Args()) != 1 {
			return
		}
		f, ok := pinned(e.AsCall().Args()[0])
		s := schema{root: k.root}
		if ok && slices.ContainsFunc(s.certain(f), func(node map[string]any) bool { return node["format"] == "date" }) && !slices.Contains(out, f) {
			out = append(out, f)
		}
	}))
	return out
}

// rejects reports whether no valid record can hold a value at a field. What applies in some
// case only is passed over.
func (s *schema) rejects(f name.Field, v Scalar) bool {
	return slices.ContainsFunc(s.certain(f), func(node map[string]any) bool { return !takes(node, v) })
}

// certain returns the schema objects that hold of whatever stands at a field.
func (s *schema) certain(f name.Field) (out []map[string]any) {
	for _, b := range s.at(f, true) {
		out = append(out, b.node)
	}
	return out
}

// at returns the branches of the schema at a field; with always those alone that hold in every case.
func (s *schema) at(f name.Field, always bool) []branch {
	applies := func(nodes []any) (out []branch) {
		for _, n := range nodes { // each holds by itself
			for _, b := range s.expand([]any{n}) {
				if b.always || !always {
					out = append(out, b)
				}
			}
		}
		return out
	}
	at := applies([]any{s.root})
	for _, tok := range f.Tokens() {
		var next []any
		for _, b := range at {
			if props, ok := b.node["properties"].(map[string]any); ok && props[tok] != nil {
				next = append(next, props[tok])
			}
		}
		at = applies(next)
	}
	return at
}

// takes reports whether one schema object, by what it says itself of types and values, lets a
// scalar be.
func takes(node map[string]any, v Scalar) bool {
	if v.kind == '0' && node["nullable"] == true { // OpenAPI 3.0
		return true
	}
	is := func(w any) bool {
		x, ok := ScalarOf(w)
		return ok && x == v
	}
	if c, ok := node["const"]; ok && !is(c) {
		return false
	}
	if list, ok := node["enum"].([]any); ok && !slices.ContainsFunc(list, is) {
		return false
	}
	var types []any
	switch t := node["type"].(type) {
	case string:
		types = []any{t}
	case []any:
		types = t
	default:
		return true
	}
	kinds := map[byte][]any{'s': {"string"}, 't': {"boolean"}, 'f': {"boolean"}, '0': {"null"}, 'n': {"number"}}[v.kind]
	if v.kind == 'n' && v.number == float64(int64(v.number)) {
		kinds = append(kinds, "integer")
	}
	return slices.ContainsFunc(types, func(t any) bool { return slices.Contains(kinds, t) })
}

// allowed says in words what a field may hold where the standard lists it; "" where it does not.
func (k *known) allowed(f name.Field) string {
	s := schema{root: k.root}
	for _, b := range s.at(f, false) {
		list, ok := b.node["enum"].([]any)
		if !ok {
			continue
		}
		var words []string
		for _, v := range list {
			switch v := v.(type) {
			case string:
				words = append(words, strconv.Quote(v))
			case json.Number:
				words = append(words, string(v))
			}
		}
		if len(words) > 12 {
			words = append(words[:12], "…")
		}
		return strings.Join(words, ", ")
	}
	return ""
}
