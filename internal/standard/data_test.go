package standard

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

// data returns the folder of published standards and records that tests read,
// and skips the test where it is absent: it is other people's and not in the
// repository.
func data(t testing.TB, dir string) string {
	t.Helper()
	root := os.Getenv("STILE_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	p := filepath.Join(root, dir)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("no test data at %s; set STILE_DATA to the folder that holds %s", p, dir)
	}
	return p
}

const manifest = "name: standards.example/test\nversion: 1.0.0\ntitle: Test\nstatus: draft\nkey: [/id]\n"

// pack makes a directory of a standard out of a schema.
func pack(schema string) fstest.MapFS {
	return fstest.MapFS{
		"standard.yaml": {Data: []byte(manifest)},
		"schema.json":   {Data: []byte(schema)},
	}
}

func mustLoad(t testing.TB, fsys fstest.MapFS) *Standard {
	t.Helper()
	s, err := Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
