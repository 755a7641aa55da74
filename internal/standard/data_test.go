package standard

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stile-exchange/stile/schemas"
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

// shipped returns the standards that come with Stile, in the order of [schemas.Names]. They
// are loaded once for all tests: a standard does not change.
func shipped(t testing.TB) []*Standard {
	t.Helper()
	all, err := loadShipped()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var loadShipped = sync.OnceValues(func() (all []*Standard, err error) {
	for _, n := range schemas.Names() {
		s, err := Load(schemas.FS(n))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		all = append(all, s)
	}
	return all, nil
})

func mustLoad(t testing.TB, fsys fstest.MapFS) *Standard {
	t.Helper()
	s, err := Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
