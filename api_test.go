package stile_test

import (
	"bytes"
	"encoding/json"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// public lists the packages that a program outside this module may use.
var public = []string{"config", "node", "node/api", "node/client", "node/name"}

// Nothing that a public package exports has, in its signature or in a field
// that can be reached, a type of an internal package: somebody outside could not
// name it.
func TestPublicNamesNoInternalType(t *testing.T) {
	pkgs := load(t, public...)
	for _, path := range public {
		pkg := pkgs[module+"/"+path]
		seen := 0
		for _, name := range pkg.Scope().Names() {
			obj := pkg.Scope().Lookup(name)
			if !obj.Exported() {
				continue
			}
			seen++
			w := walker{qualify: types.RelativeTo(pkg), done: map[types.Type]bool{}}
			w.object(obj)
			for _, bad := range w.found {
				t.Errorf("%s: %s names %s", path, bad.where, bad.what)
			}
		}
		if seen == 0 {
			t.Errorf("%s exports nothing: the test has looked in vain", path)
		}
	}
}

// The walk finds an internal type wherever it hides.
func TestWalkFinds(t *testing.T) {
	internal := types.NewPackage(module+"/internal/x", "x")
	hidden := types.NewNamed(types.NewTypeName(token.NoPos, internal, "T", nil), types.NewStruct(nil, nil), nil)
	pkg := types.NewPackage(module+"/p", "p")
	field := func(name string, typ types.Type, embedded bool) types.Type {
		return types.NewStruct([]*types.Var{types.NewField(token.NoPos, pkg, name, typ, embedded)}, nil)
	}
	fn := types.NewSignatureType(nil, nil, nil, types.NewTuple(types.NewVar(token.NoPos, pkg, "", hidden)), nil, false)
	for _, c := range []struct {
		what string
		typ  types.Type
		want int
	}{
		{"itself", hidden, 1},
		{"a slice of pointers", types.NewSlice(types.NewPointer(hidden)), 1},
		{"a map", types.NewMap(types.Typ[types.String], hidden), 1},
		{"a channel", types.NewChan(types.SendRecv, hidden), 1},
		{"a function's parameter", fn, 1},
		{"an exported field", field("F", hidden, false), 1},
		{"an embedded field", field("T", hidden, true), 1},
		{"a method of an interface", types.NewInterfaceType([]*types.Func{types.NewFunc(token.NoPos, pkg, "M", fn)}, nil), 1},
		{"a field nobody outside sees", field("f", hidden, false), 0},
	} {
		w := walker{qualify: types.RelativeTo(pkg), done: map[types.Type]bool{}}
		w.typ("x", c.typ)
		if len(w.found) != c.want {
			t.Errorf("%s: found %v, want %d", c.what, w.found, c.want)
		}
	}
}

// A walker follows what somebody outside could reach from an exported name.
type walker struct {
	qualify types.Qualifier
	done    map[types.Type]bool
	found   []finding
}

type finding struct{ where, what string }

func (w *walker) object(obj types.Object) {
	if tn, ok := obj.(*types.TypeName); ok && !tn.IsAlias() {
		w.typ(obj.Name(), obj.Type())
		w.methods(obj.Name(), obj.Type())
		return
	}
	w.typ(obj.Name(), obj.Type())
}

// methods follows the exported methods of a type of the package, promoted ones
// too.
func (w *walker) methods(where string, typ types.Type) {
	set := types.NewMethodSet(types.NewPointer(typ))
	for i := range set.Len() {
		if m := set.At(i).Obj(); m.Exported() {
			w.typ(where+"."+m.Name(), m.Type())
		}
	}
}

func (w *walker) typ(where string, typ types.Type) {
	if w.done[typ] {
		return
	}
	w.done[typ] = true
	switch x := typ.(type) {
	case *types.Alias:
		w.typ(where, types.Unalias(x))
	case *types.Named:
		pkg := x.Obj().Pkg()
		if pkg != nil && strings.Contains("/"+pkg.Path()+"/", "/internal/") && strings.HasPrefix(pkg.Path(), module) {
			w.found = append(w.found, finding{where, types.TypeString(x, w.qualify)})
			return
		}
		for i := range x.TypeArgs().Len() {
			w.typ(where, x.TypeArgs().At(i))
		}
		if pkg != nil && strings.HasPrefix(pkg.Path(), module) {
			w.typ(x.Obj().Name(), x.Underlying())
			w.methods(x.Obj().Name(), x)
		}
	case *types.Pointer:
		w.typ(where, x.Elem())
	case *types.Slice:
		w.typ(where, x.Elem())
	case *types.Array:
		w.typ(where, x.Elem())
	case *types.Chan:
		w.typ(where, x.Elem())
	case *types.Map:
		w.typ(where, x.Key())
		w.typ(where, x.Elem())
	case *types.Tuple:
		for v := range x.Variables() {
			w.typ(where, v.Type())
		}
	case *types.Signature:
		w.typ(where, x.Params())
		w.typ(where, x.Results())
		for p := range x.TypeParams().TypeParams() {
			w.typ(where, p.Constraint())
		}
	case *types.Struct:
		for f := range x.Fields() {
			if f.Exported() || f.Embedded() {
				w.typ(where+"."+f.Name(), f.Type())
			}
		}
	case *types.Interface:
		for m := range x.Methods() {
			w.typ(where+"."+m.Name(), m.Type())
		}
		for e := range x.EmbeddedTypes() {
			w.typ(where, e)
		}
	case *types.Union:
		for term := range x.Terms() {
			w.typ(where, term.Type())
		}
	}
}

// load returns packages of the module as the compiler sees them.
func load(t *testing.T, paths ...string) map[string]*types.Package {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Export"}
	for _, p := range paths {
		args = append(args, "./"+p)
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as go vet has compiled them
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	exports := map[string]string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
	}
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	pkgs := map[string]*types.Package{}
	for _, p := range paths {
		pkg, err := imp.Import(module + "/" + p)
		if err != nil {
			t.Fatal(err)
		}
		pkgs[module+"/"+p] = pkg
	}
	return pkgs
}
