package agreement

import (
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/stile-exchange/stile/node/name"
)

// reads says which places of a record a filter looks at, found in its tree
// without running it. It errs on the side of too much: a value that is passed
// on, compared or put in a list is taken to be read whole.
type reads struct {
	// values are places whose value, with all below it, may decide.
	values []name.Field
	// walked are the elements of arrays that a macro goes through; of these
	// only their number decides, and what values names below them.
	walked []name.Field
}

// fields returns everything read, sorted, without repeats.
func (r reads) fields() []name.Field {
	all := slices.Concat(r.values, r.walked)
	slices.Sort(all)
	return slices.Compact(all)
}

func findReads(root ast.Expr) reads {
	f := &finder{scope: map[string]*name.Field{"record": new(name.Field)}}
	f.consume(root)
	sortUnique := func(in []name.Field) []name.Field {
		slices.Sort(in)
		return slices.Compact(in)
	}
	return reads{sortUnique(f.found.values), sortUnique(f.found.walked)}
}

// A finder walks a checked tree. scope gives the place each name in scope
// stands for, nil for one that holds something else.
type finder struct {
	scope map[string]*name.Field
	found reads
}

// consume notes that the value of e is used.
func (f *finder) consume(e ast.Expr) {
	if p := f.fieldOf(e); p != nil {
		f.found.values = append(f.found.values, *p)
	}
}

// fieldOf returns the field of the record that e stands for, or nil when e is
// something else; what e then uses is noted.
func (f *finder) fieldOf(e ast.Expr) *name.Field {
	switch e.Kind() {
	case ast.IdentKind:
		return f.scope[e.AsIdent()]
	case ast.SelectKind:
		s := e.AsSelect()
		p := f.fieldOf(s.Operand())
		if p == nil {
			return nil
		}
		c := f.member(*p, s.FieldName())
		if s.IsTestOnly() && c != nil { // has(record.x) depends on record.x
			f.found.values = append(f.found.values, *c)
			return nil
		}
		return c
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() == operators.Index && len(c.Args()) == 2 {
			return f.index(c.Args()[0], c.Args()[1])
		}
		if c.IsMemberFunction() {
			f.consume(c.Target())
		}
		for _, a := range c.Args() {
			f.consume(a)
		}
	case ast.ListKind:
		for _, el := range e.AsList().Elements() {
			f.consume(el)
		}
	case ast.MapKind:
		for _, en := range e.AsMap().Entries() {
			f.consume(en.AsMapEntry().Key())
			f.consume(en.AsMapEntry().Value())
		}
	case ast.ComprehensionKind:
		f.comprehension(e.AsComprehension())
	}
	return nil
}

func (f *finder) member(p name.Field, token string) *name.Field {
	if token == "*" { // which a field cannot say of a member
		f.found.values = append(f.found.values, p)
		return nil
	}
	c := p.Child(token)
	return &c
}

func (f *finder) index(of, by ast.Expr) *name.Field {
	p := f.fieldOf(of)
	if p == nil {
		f.consume(by)
		return nil
	}
	if by.Kind() == ast.LiteralKind {
		switch key := by.AsLiteral().(type) {
		case types.String:
			return f.member(*p, string(key))
		case types.Int:
			c := p.Child("*")
			return &c
		}
	}
	f.consume(by)
	f.found.values = append(f.found.values, *p)
	return nil
}

func (f *finder) comprehension(c ast.ComprehensionExpr) {
	over := f.fieldOf(c.IterRange())
	f.consume(c.AccuInit())
	outer := f.scope
	f.scope = make(map[string]*name.Field, len(outer)+2)
	for k, v := range outer {
		f.scope[k] = v
	}
	f.scope[c.IterVar()], f.scope[c.AccuVar()] = nil, nil
	if over != nil {
		el := over.Child("*")
		f.scope[c.IterVar()] = &el
		f.found.walked = append(f.found.walked, el)
	}
	for _, e := range []ast.Expr{c.LoopCondition(), c.LoopStep(), c.Result()} {
		f.consume(e)
	}
	f.scope = outer
}
