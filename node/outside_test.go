package node_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// A program of another module can be built with what is public, and works.
func TestOutsideModule(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	read := func(path string) []byte {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// Its go.mod asks for what ours does, so that nothing has to be looked up.
	mod := read(filepath.Join(root, "go.mod"))
	mod = regexp.MustCompile(`(?m)^module .*$`).ReplaceAll(mod, []byte("module outside.example/program"))
	mod = regexp.MustCompile(`(?ms)^tool \(.*?^\)$`).ReplaceAll(mod, nil)
	mod = append(mod, "\nrequire github.com/stile-exchange/stile v0.0.0\n\nreplace github.com/stile-exchange/stile => "+root+"\n"...)
	for name, b := range map[string][]byte{"go.mod": mod, "go.sum": read(filepath.Join(root, "go.sum")), "main.go": read("testdata/outside/main.go")} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	run("go", "build", "-o", "program", ".")
	got := run(filepath.Join(dir, "program"), filepath.Join(dir, "data"))
	const want = `row 1 created false
row 2  true
1 record, version 1
not-found
row 1 unchanged false
row 2  true
1 record, version 1
not-found
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
