package node_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// Every type and constant of package api has the same name here, so that a program
// imports node alone, and there is no other name for any.
func TestNamesOfAPI(t *testing.T) {
	files, err := filepath.Glob("api/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, path := range files {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name.Name != "api" {
			continue // tests
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, s := range g.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					want = append(want, s.Name.Name)
				case *ast.ValueSpec:
					for _, n := range s.Names {
						want = append(want, n.Name)
					}
				}
			}
		}
	}
	src, err := os.ReadFile("types.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\t(\w+) += api\.(\w+)$`).FindAllSubmatch(src, -1) {
		if string(m[1]) != string(m[2]) {
			t.Errorf("api.%s is called %s", m[2], m[1])
		}
		got = append(got, string(m[1]))
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) < 50 || !slices.Equal(got, want) {
		t.Errorf("node has %d names of package api:\n%q\nwant %d:\n%q", len(got), got, len(want), want)
	}
}
