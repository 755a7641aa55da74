package agreement

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strconv"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A Scalar is a value that a filter compares a field with: a string, a number, true,
// false or null. It is comparable, and two values that CEL calls equal are one Scalar:
// 1 and 1.0 are. The reverse does not hold of integers beyond 2^53.
type Scalar struct {
	kind   byte // 's', 'n', 't', 'f' or '0'
	text   string
	number float64
}

// Bytes returns the scalar as bytes, unlike those of any other.
func (s Scalar) Bytes() []byte {
	b := append([]byte{s.kind}, s.text...)
	if s.kind == 'n' {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(s.number))
	}
	return b
}

func number(f float64) Scalar { return Scalar{kind: 'n', number: f + 0} } // -0 is 0

func truth(b bool) Scalar {
	if b {
		return Scalar{kind: 't'}
	}
	return Scalar{kind: 'f'}
}

// ScalarOf returns a value, as strictjson decodes it, as a Scalar; false for an object,
// an array, and a number that a filter cannot read.
func ScalarOf(v any) (Scalar, bool) {
	switch v := v.(type) {
	case string:
		return Scalar{kind: 's', text: v}, true
	case json.Number:
		if i, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return number(float64(i)), true
		}
		f, err := strconv.ParseFloat(string(v), 64)
		return number(f), err == nil
	case bool:
		return truth(v), true
	case nil:
		return Scalar{kind: '0'}, true
	}
	return Scalar{}, false
}

// ScalarAt returns the value at a field of a record that has no element of an array
// in its path; false when there is none, or it is no scalar.
func ScalarAt(record map[string]any, f name.Field) (Scalar, bool) {
	var v any = record
	for _, tok := range f.Tokens() {
		m, ok := v.(map[string]any)
		if !ok {
			return Scalar{}, false
		}
		if v, ok = m[tok]; !ok {
			return Scalar{}, false
		}
	}
	return ScalarOf(v)
}

// A Pin says that a field has a value.
type Pin struct {
	Field name.Field
	Value Scalar
}

// A Guard is a condition that a filter cannot do without: a record of which none of
// the pins holds does not match. It says nothing of the others.
type Guard []Pin

// maxPins bounds a guard: a filter with more values to one field is asked of every
// record.
const maxPins = 500

// Fields returns the fields that a guard names, sorted.
func (g Guard) Fields() (out []name.Field) {
	for _, p := range g {
		out = append(out, p.Field)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Guards returns the conditions that the row filter cannot do without, in the order
// in which they stand in it; nil when none is found. They are found in the filter's tree:
// what && joins, where it compares a field with constants by == or in.
func (t *Terms) Guards() []Guard { return t.rows.guards }

// findGuards returns the guards of an expression. That && and || come out the same
// whichever side is in error is what makes each side's guard one of the whole.
func findGuards(e ast.Expr) []Guard {
	switch {
	case isCall(e, operators.LogicalAnd):
		var out []Guard
		for _, a := range e.AsCall().Args() {
			out = append(out, findGuards(a)...)
		}
		return out
	case isCall(e, operators.LogicalOr):
		var all Guard
		for _, a := range e.AsCall().Args() {
			// Any one of each side's would do: the first is taken.
			gs := findGuards(a)
			if len(gs) == 0 {
				return nil
			}
			all = append(all, gs[0]...)
		}
		return bounded(all)
	case isCall(e, operators.Equals):
		args := e.AsCall().Args()
		for i, a := range args {
			f, ok := pinned(a)
			if !ok || args[1-i].Kind() != ast.LiteralKind {
				continue
			}
			if v, ok := scalarOf(args[1-i].AsLiteral()); ok {
				return []Guard{{{f, v}}}
			}
		}
	case isCall(e, operators.In):
		args := e.AsCall().Args()
		f, ok := pinned(args[0])
		if !ok || args[1].Kind() != ast.ListKind {
			return nil
		}
		var g Guard
		for _, el := range args[1].AsList().Elements() {
			if el.Kind() != ast.LiteralKind {
				return nil
			}
			v, ok := scalarOf(el.AsLiteral())
			if !ok {
				return nil
			}
			g = append(g, Pin{f, v})
		}
		return bounded(g)
	case e.Kind() == ast.SelectKind: // record.urgent in record.urgent && …
		if f, ok := pinned(e); ok {
			return []Guard{{{f, truth(true)}}}
		}
	}
	return nil
}

func bounded(g Guard) []Guard {
	if len(g) == 0 || len(g) > maxPins {
		return nil
	}
	return []Guard{g}
}

// pinned returns the field that an expression names from the record on through
// members alone.
func pinned(e ast.Expr) (name.Field, bool) {
	var of ast.Expr
	var token string
	switch {
	case e.Kind() == ast.SelectKind && !e.AsSelect().IsTestOnly():
		of, token = e.AsSelect().Operand(), e.AsSelect().FieldName()
	case isCall(e, operators.Index):
		args := e.AsCall().Args()
		if len(args) != 2 || args[1].Kind() != ast.LiteralKind {
			return "", false
		}
		s, ok := args[1].AsLiteral().(types.String)
		if !ok {
			return "", false
		}
		of, token = args[0], string(s)
	default:
		return "", false
	}
	if token == "*" { // which a field cannot say of a member
		return "", false
	}
	if of.Kind() == ast.IdentKind && of.AsIdent() == "record" {
		return name.Field("").Child(token), true
	}
	f, ok := pinned(of)
	return f.Child(token), ok
}

func scalarOf(v ref.Val) (Scalar, bool) {
	switch v := v.(type) {
	case types.String:
		return Scalar{kind: 's', text: string(v)}, true
	case types.Int:
		return number(float64(v)), true
	case types.Double:
		return number(float64(v)), float64(v) == float64(v)
	case types.Bool:
		return truth(bool(v)), true
	case types.Null:
		return Scalar{kind: '0'}, true
	}
	return Scalar{}, false
}

// tops returns the members of the record that a filter looks at; whole is true when
// it may look at any.
func (r reads) tops() (members []string, whole bool) {
	for _, f := range r.fields() {
		toks := f.Tokens()
		if len(toks) == 0 || toks[0] == "*" {
			return nil, true
		}
		members = append(members, toks[0])
	}
	slices.Sort(members)
	return slices.Compact(members), false
}

// MatchBytes is Match for a record as [strictjson.Canonical] prints it, of which it
// reads only what the filter looks at. The error says that it is no such JSON.
func (t *Terms) MatchBytes(canon []byte, lim strictjson.Limits) (bool, error) {
	if t.every {
		return true, nil
	}
	m, err := t.rows.members(canon, lim)
	if err != nil {
		return false, err
	}
	yes, err := t.rows.eval(m)
	return err == nil && yes, nil
}

// members reads what of a record the filter looks at.
func (r *rows) members(canon []byte, lim strictjson.Limits) (map[string]any, error) {
	if !r.whole {
		return strictjson.Members(canon, r.top, lim)
	}
	v, err := strictjson.Decode(canon, lim)
	m, ok := v.(map[string]any)
	if err == nil && !ok {
		err = strictjson.ErrNoObject
	}
	return m, err
}
