package stile_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumented checks that every package says what it is for, and every
// exported name what it is. Generated files and tests are left out.
func TestDocumented(t *testing.T) {
	fset := token.NewFileSet()
	packages := map[string]bool{} // folder and package name: has it a comment
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
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		if ast.IsGenerated(f) {
			return nil
		}
		key := filepath.Dir(path) + " (package " + f.Name.Name + ")"
		packages[key] = packages[key] || f.Doc.Text() != ""
		for _, name := range undocumented(f) {
			t.Errorf("%s: %s is exported and has no comment", fset.Position(name.Pos()), name.Name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) == 0 {
		t.Fatal("found no package at all")
	}
	for key, ok := range packages {
		if !ok {
			t.Errorf("%s has no package comment", key)
		}
	}
}

// undocumented returns the exported names of f without a comment: functions,
// methods of exported types, types, variables and constants, where one comment
// above a group, or one at the end of the line, will do.
func undocumented(f *ast.File) []*ast.Ident {
	var bad []*ast.Ident
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc.Text() == "" && exportedReceiver(d.Recv) && !selfEvident(d) {
				bad = append(bad, d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() && s.Doc.Text() == "" && s.Comment.Text() == "" && d.Doc.Text() == "" {
						bad = append(bad, s.Name)
					}
				case *ast.ValueSpec:
					for _, n := range s.Names {
						if n.IsExported() && s.Doc.Text() == "" && s.Comment.Text() == "" && d.Doc.Text() == "" {
							bad = append(bad, n)
						}
					}
				}
			}
		}
	}
	return bad
}

func exportedReceiver(recv *ast.FieldList) bool {
	if recv == nil {
		return true
	}
	typ := recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if index, ok := typ.(*ast.IndexExpr); ok {
		typ = index.X
	}
	id, ok := typ.(*ast.Ident)
	return !ok || id.IsExported()
}

// selfEvident reports whether a method does what its name says in every Go
// program, so that a comment would add nothing.
func selfEvident(d *ast.FuncDecl) bool {
	switch d.Name.Name {
	case "String", "Error", "Unwrap", "Is", "Len", "Less", "Swap":
		return d.Recv != nil
	}
	return false
}

// TestArchitecture checks that every file and folder that docs/architecture.md
// names is there.
func TestArchitecture(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	places := regexp.MustCompile("`((?:internal|node|cmd)/[a-z_./-]+)`").FindAllSubmatch(page, -1)
	for _, m := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllSubmatch(page, -1) {
		places = append(places, [][]byte{m[0], []byte(filepath.Join("docs", string(m[1])))})
	}
	if len(places) < 20 {
		t.Fatalf("the page names %d places", len(places))
	}
	for _, m := range places {
		if _, err := os.Stat(string(m[1])); err != nil {
			t.Errorf("docs/architecture.md names %s, which is not there", m[1])
		}
	}
}
