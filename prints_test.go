package stile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// printers are the functions that may touch the streams of a command, or write to
// something that may be one, by another way than name.Fprintf, name.JSON, a table or a
// sheet. Whatever they write is ours, or is for a program and not for people.
var printers = map[string]string{
	"cmd/stile newSheet":        "every cell of a sheet is cleaned",
	"cmd/stile writeNagios":     "name.Fprintf has written the text",
	"cmd/stile writePrometheus": "quotes what it names",
	"cmd/stile app.run":         "hands the streams to cobra, which prints our help",
	"cmd/stile exporter.run":    "data for a program, to standard output because the person said so",
	"cmd/stile app.exact":       "cleans on a terminal; else a program reads it, byte for byte",
	"cmd/stile app.writeNew":    "a file whose bytes count, to standard output because the person said so",
	"cmd/stile main":            "makes the streams",
	"cmd/stile stream.add":      "compactJSON has escaped it",
	"cmd/stile stream.end":      "compactJSON has escaped it",
	"cmd/stile newTally":        "hands standard output to a stream, which writes compactJSON",
	"cmd/stile-audit run":       "prints the help, which is constant",
	"cmd/stile-audit main":      "makes the streams",
}

// No text from outside begins a line of what either program prints, since all they
// print for people goes through name.Fprintf, and all JSON through name.JSON.
func TestPrints(t *testing.T) {
	used := map[string]bool{}
	for _, dir := range []string{"cmd/stile", "cmd/stile-audit"} {
		fset := token.NewFileSet()
		pkg, files, info := checked(t, fset, dir)
		streams := fields(pkg, "env", "out", "err")
		if len(streams) != 2 {
			t.Fatalf("%s: env has no fields out and err", dir)
		}
		for _, f := range files {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Body == nil {
					continue
				}
				where := dir + " " + fn.Name.Name
				if fn.Recv != nil && len(fn.Recv.List) == 1 {
					where = dir + " " + receiver(fn.Recv.List[0].Type) + "." + fn.Name.Name
				}
				for _, bad := range rawPrints(fn.Body, info, streams) {
					if printers[where] != "" {
						used[where] = true
						continue
					}
					t.Errorf("%s: %q writes by another way than name.Fprintf, name.JSON, a table or a sheet: %s",
						fset.Position(bad.Pos()), where, types.ExprString(bad))
				}
			}
		}
	}
	for where, why := range printers {
		if !used[where] {
			t.Errorf("%q writes nothing by itself any more: take it from the list (it was there because it: %s)", where, why)
		}
	}
}

// rawPrints finds the uses of a stream, and the calls that write text to what may be
// one, that are none of the few ways to print.
func rawPrints(body ast.Node, info *types.Info, streams map[types.Object]bool) (bad []ast.Expr) {
	good := map[ast.Expr]bool{} // streams as arguments of those ways
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			callee, pkg := called(n, info)
			switch {
			case pkg == "name" && (callee == "Fprintf" || callee == "JSON"),
				callee == "isTerminal", callee == "newSheet", callee == "writeClean",
				callee == "logger", callee == "open", // slog quotes, and name.JSON escapes
				callee == "write" && pkg == "", callee == "writeTo" && pkg == "", callee == "start" && pkg == "":
				for _, a := range n.Args {
					good[a] = true
				}
			case pkg == "fmt" && (callee == "Print" || callee == "Printf" || callee == "Println"):
				bad = append(bad, n.Fun)
			case pkg == "fmt" && strings.HasPrefix(callee, "Fprint"), pkg == "io" && (callee == "WriteString" || callee == "Copy"),
				pkg == "json" && callee == "NewEncoder", pkg == "csv" && callee == "NewWriter":
				if !inMemory(n.Args[0], info) && !inert(n.Args[0], info) {
					bad = append(bad, n.Fun)
				}
			}
		case *ast.SelectorExpr:
			if id, ok := n.X.(*ast.Ident); ok && id.Name == "os" && (n.Sel.Name == "Stdout" || n.Sel.Name == "Stderr") {
				bad = append(bad, n)
			}
			if streams[info.Uses[n.Sel]] && !good[n] {
				bad = append(bad, n)
			}
		}
		return true
	})
	return bad
}

// called names the function of a call and, of a function, its package; of a method "".
func called(c *ast.CallExpr, info *types.Info) (fn, pkg string) {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name, "this package"
	case *ast.SelectorExpr:
		if o, ok := info.Uses[f.Sel].(*types.Func); ok && o.Signature().Recv() == nil && o.Pkg() != nil {
			return f.Sel.Name, o.Pkg().Name()
		}
		return f.Sel.Name, ""
	}
	return "", ""
}

// inMemory reports whether a writer is a buffer, whose text is printed by one of the
// ways later.
func inMemory(w ast.Expr, info *types.Info) bool {
	s := info.TypeOf(w).String()
	return s == "*strings.Builder" || s == "*bytes.Buffer"
}

// inert reports whether a writer is what name.JSON returns.
func inert(w ast.Expr, info *types.Info) bool {
	c, ok := w.(*ast.CallExpr)
	if !ok {
		return false
	}
	fn, pkg := called(c, info)
	return pkg == "name" && fn == "JSON"
}

// checked returns a package of commands with its types, without its tests.
func checked(t *testing.T, fset *token.FileSet, dir string) (*types.Package, []*ast.File, *types.Info) {
	t.Helper()
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export,GoFiles,Dir,DepOnly", "./"+dir)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as go vet has compiled them
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -export: %v\n%s", err, &stderr)
	}
	exports := map[string]string{}
	var files []*ast.File
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath, Export, Dir string
			GoFiles                 []string
			DepOnly                 bool
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		exports[p.ImportPath] = p.Export
		if p.DepOnly {
			continue
		}
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
	}
	from := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{}}
	pkg, err := (&types.Config{Importer: from}).Check(module+"/"+dir, fset, files, info)
	if err != nil {
		t.Fatal(err)
	}
	return pkg, files, info
}

// fields returns the named fields of a struct of a package.
func fields(pkg *types.Package, of string, names ...string) map[types.Object]bool {
	out := map[types.Object]bool{}
	s, ok := pkg.Scope().Lookup(of).Type().Underlying().(*types.Struct)
	for i := 0; ok && i < s.NumFields(); i++ {
		for _, n := range names {
			if s.Field(i).Name() == n {
				out[s.Field(i)] = true
			}
		}
	}
	return out
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	case *ast.IndexExpr:
		return receiver(e.X)
	}
	return ""
}
