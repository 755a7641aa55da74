package stile_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Packages that make tests without the race detector start nothing that runs beside
// something else: not in their own code, nor in what they use of Stile, nor in their tests.
// Tests that do have a name that ends in AtOnce, and make tests those under the detector too.
func TestAlone(t *testing.T) {
	all := map[string]tested{}
	for _, p := range golist[tested](t, "ImportPath,Dir,GoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports", "./...") {
		all[p.ImportPath] = p
	}
	named := func(variable string) []string {
		var out []string
		for _, p := range golist[tested](t, "ImportPath", variables(t, variable)...) {
			out = append(out, p.ImportPath)
		}
		return out
	}
	alone, atOnce := named("ALONE"), named("ATONCE")
	if len(alone) < 20 || len(atOnce) == 0 {
		t.Fatalf("the Makefile tests %d packages alone, and %d at once: the test has looked in vain", len(alone), len(atOnce))
	}
	for _, path := range alone {
		p := all[path]
		uses := map[string]bool{path: true}
		for _, imp := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			reach(all, imp, uses)
		}
		for _, use := range slices.Sorted(maps.Keys(uses)) {
			for _, f := range all[use].GoFiles {
				for _, s := range starts(t, filepath.Join(all[use].Dir, f)) {
					t.Errorf("%s uses %s, which starts something at %s: take it from ALONE in the Makefile", local(path), local(use), s.at)
				}
			}
		}
		found := false
		for _, f := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
			for _, s := range starts(t, filepath.Join(p.Dir, f)) {
				if !strings.HasSuffix(s.in, "AtOnce") {
					t.Errorf("%s starts something at %s: end the name of %s in AtOnce, or take the package from ALONE in the Makefile", local(path), s.at, s.in)
				}
				found = true
			}
		}
		if found != slices.Contains(atOnce, path) {
			t.Errorf("%s: a test starts something, %v; ATONCE in the Makefile names it, %v", local(path), found, !found)
		}
	}
	for _, path := range atOnce {
		if !slices.Contains(alone, path) {
			t.Errorf("%s is in ATONCE and not in ALONE of the Makefile: its other tests are nowhere", local(path))
		}
	}
}

// A start that goes unseen would take a package from under the detector.
func TestAloneSeesStarts(t *testing.T) {
	for body, want := range map[string]bool{
		"go f()": true, "go func() {}()": true, "w.Go(f)": true, "t.Parallel()": true, "time.AfterFunc(d, f)": true,
		"httptest.NewServer(h)": true, "http.ListenAndServe(a, h)": true, "f := func() { go g() }; f()": true,
		"f()": false, "w.Done()": false, "// go f()": false, "s := \"go f()\"; f(s)": false,
	} {
		path := filepath.Join(t.TempDir(), "f.go")
		if err := os.WriteFile(path, []byte("package p\nfunc inside() {\n"+body+"\n}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := starts(t, path); (len(got) > 0) != want || want && got[0].in != "inside" {
			t.Errorf("%s: starts %v", body, got)
		}
	}
}

// A tested is what go list says of a package and its tests.
type tested struct {
	ImportPath, Dir                    string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports, TestImports, XTestImports []string
}

// A start is a place where something is started, and the function it stands in.
type start struct{ at, in string }

// starters are calls that have something run beside the caller, by package or, where that is "", method.
var starters = map[string][]string{
	"":         {"Go", "Parallel"},
	"time":     {"AfterFunc"},
	"context":  {"AfterFunc"},
	"httptest": {"NewServer", "NewTLSServer", "NewUnstartedServer"},
	"http":     {"ListenAndServe", "ListenAndServeTLS", "Serve", "ServeTLS"},
}

// starts returns where a file starts something that runs beside the rest.
func starts(t *testing.T, path string) (out []start) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		in := "what is outside of any function"
		if fn, ok := d.(*ast.FuncDecl); ok {
			in = fn.Name.Name
		}
		ast.Inspect(d, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				out = append(out, start{fset.Position(n.Pos()).String(), in})
			case *ast.CallExpr:
				s, ok := n.Fun.(*ast.SelectorExpr)
				if !ok {
					break
				}
				x, _ := s.X.(*ast.Ident)
				if slices.Contains(starters[""], s.Sel.Name) || x != nil && slices.Contains(starters[x.Name], s.Sel.Name) {
					out = append(out, start{fset.Position(n.Pos()).String(), in})
				}
			}
			return true
		})
	}
	return out
}

// reach adds a package of Stile and all that it uses of Stile.
func reach(all map[string]tested, path string, seen map[string]bool) {
	p, ok := all[path]
	if !ok || seen[path] {
		return
	}
	seen[path] = true
	for _, imp := range p.Imports {
		reach(all, imp, seen)
	}
}

// variables returns the words of a variable of the Makefile.
func variables(t *testing.T, name string) []string {
	t.Helper()
	b, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(b), "\\\n", " ")
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == name && f[1] == "=" {
			return f[2:]
		}
	}
	t.Fatalf("the Makefile has no variable %s", name)
	return nil
}
