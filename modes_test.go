package stile_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
)

// modeTable is the one file that knows modes by their names.
const modeTable = "internal/agreement/mode.go"

// The table of modes is the only place that says what a mode means: nowhere else
// is a mode compared with a name, or looked up by one. Tests may, since they write
// agreements of each.
func TestOneTableOfModes(t *testing.T) {
	fset := token.NewFileSet()
	compared := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); path != "." && (strings.HasPrefix(n, ".") || n == "testdata" || n == "node_modules" || n == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return err
		}
		for _, at := range namesModes(f) {
			if filepath.ToSlash(path) == modeTable {
				compared++
				continue
			}
			t.Errorf("%s goes by the name of a mode. Ask its row in %s what it needs to know,\n"+
				"or give the rows a field for it: see docs/modes.md.", fset.Position(at), modeTable)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if compared != len(agreement.Modes()) {
		t.Errorf("%s names modes %d times, want one row for each of %d: the test has looked in vain", modeTable, compared, len(agreement.Modes()))
	}
}

// modeNames are the constants of the modes.
var modeNames = []string{"Replicate", "Lookup", "PrivateLookup", "Aggregate", "Handover", "BreakGlass"}

// namesModes returns where a file decides by the name of a mode: a comparison, a
// case, a key of a map or an element of a list that is one of the constants, or a
// text that is spelled like one.
func namesModes(f *ast.File) []token.Pos {
	mode := func(e ast.Expr) bool {
		for {
			switch x := e.(type) {
			case *ast.ParenExpr:
				e = x.X
				continue
			case *ast.CallExpr: // string(agreement.Lookup)
				if len(x.Args) != 1 {
					return false
				}
				e = x.Args[0]
				continue
			case *ast.SelectorExpr:
				id, ok := x.X.(*ast.Ident)
				return ok && id.Name == "agreement" && slices.Contains(modeNames, x.Sel.Name)
			case *ast.Ident:
				return f.Name.Name == "agreement" && slices.Contains(modeNames, x.Name)
			case *ast.BasicLit:
				return x.Kind == token.STRING && slices.ContainsFunc(agreement.Modes(), func(m agreement.Mode) bool { return x.Value == `"`+string(m)+`"` })
			}
			return false
		}
	}
	var out []token.Pos
	look := func(es ...ast.Expr) {
		for _, e := range es {
			if mode(e) {
				out = append(out, e.Pos())
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.BinaryExpr:
			look(x.X, x.Y)
		case *ast.CaseClause:
			look(x.List...)
		case *ast.KeyValueExpr:
			look(x.Key, x.Value)
		case *ast.CompositeLit:
			look(x.Elts...)
		case *ast.AssignStmt:
			look(x.Rhs...)
		case *ast.ReturnStmt:
			look(x.Results...)
		}
		return true
	})
	return out
}

// The walk finds a mode by its name in each way of asking for one.
func TestNamesModes(t *testing.T) {
	for _, c := range []struct {
		code string
		want int
	}{
		{`if a.Mode == agreement.Lookup {}`, 1},
		{`if agreement.Replicate != a.Mode {}`, 1},
		{`switch a.Mode { case agreement.Lookup, agreement.Aggregate: }`, 2},
		{`_ = map[agreement.Mode]int{agreement.Aggregate: 0}`, 1},
		{`_ = []agreement.Mode{agreement.Replicate}`, 1},
		{`if r.Mode == "lookup" {}`, 1},
		{`if r.Mode == string(agreement.Lookup) {}`, 1},
		{`if a.Way().Copied {}`, 0},
		{`f(agreement.Lookup)`, 0},
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nfunc _() { "+c.code+" }", 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := namesModes(f); len(got) != c.want {
			t.Errorf("%s: found %d, want %d", c.code, len(got), c.want)
		}
	}
}
