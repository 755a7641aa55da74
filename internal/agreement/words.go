package agreement

import (
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// RowWords says in plain words which records the agreement picks: one line for each of
// the conditions that have to hold together. What has no plain word, such as arithmetic,
// stands there in the language of the filter. It is for people: the filter itself, which
// is printed beside it, is what the nodes go by.
func (a *Agreement) RowWords() []string {
	switch a.Rows {
	case "":
		return nil
	case "true":
		return []string{"every record of the standard"}
	}
	r, err := compileRows(a.Rows)
	if err != nil {
		return []string{a.Rows}
	}
	var out []string
	var each func(e ast.Expr)
	each = func(e ast.Expr) {
		if isCall(e, operators.LogicalAnd) {
			for _, arg := range e.AsCall().Args() {
				each(arg)
			}
			return
		}
		out = append(out, sentence(e, r.info, false))
	}
	each(r.expr)
	return out
}

// relations are the operators between a field and a value, and what they are when the
// condition must not hold.
var relations = map[string][2]string{
	operators.Equals:        {"is", "is not"},
	operators.NotEquals:     {"is not", "is"},
	operators.Less:          {"is below", "is not below"},
	operators.LessEquals:    {"is at most", "is above"},
	operators.Greater:       {"is above", "is at most"},
	operators.GreaterEquals: {"is at least", "is below"},
	operators.In:            {"is one of", "is none of"},
	"startsWith":            {"begins with", "does not begin with"},
	"endsWith":              {"ends with", "does not end with"},
	"contains":              {"contains", "does not contain"},
	"matches":               {"matches", "does not match"},
}

func sentence(e ast.Expr, info *ast.SourceInfo, not bool) string {
	raw := func(e ast.Expr) string {
		s, err := cel.ExprToString(e, info)
		if err != nil {
			return "a condition without words"
		}
		return s
	}
	field := func(e ast.Expr) (string, bool) {
		f, ok := pinned(e)
		return string(f), ok
	}
	if e.Kind() == ast.SelectKind {
		s := e.AsSelect()
		f, ok := field(s.Operand())
		if id := s.Operand(); id.Kind() == ast.IdentKind && id.AsIdent() == "record" {
			f, ok = "", true
		}
		if s.IsTestOnly() && ok {
			return string(name.Field(f).Child(s.FieldName())) + map[bool]string{false: " is there", true: " is not there"}[not]
		}
		if f, ok := field(e); ok {
			return f + map[bool]string{false: " is true", true: " is not true"}[not]
		}
	}
	if e.Kind() == ast.CallKind {
		c := e.AsCall()
		args := c.Args()
		if c.IsMemberFunction() {
			args = append([]ast.Expr{c.Target()}, args...)
		}
		switch fn := c.FunctionName(); {
		case fn == operators.LogicalNot && len(args) == 1:
			return sentence(args[0], info, !not)
		case fn == operators.LogicalOr || fn == operators.LogicalAnd:
			word := " or "
			if (fn == operators.LogicalAnd) != not {
				word = " and "
			}
			var parts []string
			for _, a := range args {
				s := sentence(a, info, not)
				if isCall(a, operators.LogicalAnd) || isCall(a, operators.LogicalOr) {
					s = "(" + s + ")"
				}
				parts = append(parts, s)
			}
			return strings.Join(parts, word)
		case len(args) == 2 && relations[fn] != [2]string{}:
			word := relations[fn][0]
			if not {
				word = relations[fn][1]
			}
			if f, ok := field(args[0]); ok {
				if g, isField := field(args[1]); isField {
					return f + " " + word + " " + g
				}
				if args[1].Kind() == ast.ListKind || args[1].Kind() == ast.LiteralKind {
					return f + " " + word + " " + raw(args[1])
				}
			}
		}
	}
	if not {
		return "not: " + raw(e)
	}
	return raw(e)
}

// FieldWords says in the words of the standard's schema what a field is: its title, its
// description, or both; "" when it says nothing of it.
func FieldWords(std *standard.Standard, f name.Field) string {
	k := newKnown(std, nil)
	if k.root == nil {
		return ""
	}
	s := schema{root: k.root}
	if f == "" {
		return oneLine(std.Manifest().Title)
	}
	at := []any{k.root}
	for _, tok := range f.Tokens() {
		var next []any
		for _, b := range s.expand(at) {
			if tok == "*" {
				if items := b.node["items"]; items != nil {
					next = append(next, items)
				}
			} else if props, ok := b.node["properties"].(map[string]any); ok && props[tok] != nil {
				next = append(next, props[tok])
			}
		}
		at = next
	}
	// What stands at the place itself goes before what it refers to.
	for _, list := range [][]branch{direct(at), s.expand(at)} {
		for _, b := range list {
			title, _ := b.node["title"].(string)
			text, _ := b.node["description"].(string)
			if words := strings.TrimSpace(oneLine(strings.TrimSpace(title) + ". " + strings.TrimSpace(text))); strings.Trim(words, ". ") != "" {
				return strings.TrimSuffix(strings.TrimPrefix(words, ". "), ". ")
			}
		}
	}
	return ""
}

func direct(nodes []any) (out []branch) {
	for _, n := range nodes {
		if m, ok := n.(map[string]any); ok {
			out = append(out, branch{node: m})
		}
	}
	return out
}
