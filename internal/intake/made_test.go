package intake_test

import (
	"testing"
	"testing/fstest"

	"github.com/stile-exchange/stile/internal/standard"
)

// made returns a standard of one schema, whose key is one member.
func made(t testing.TB, schema, key string) *standard.Standard {
	t.Helper()
	std, err := standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte("name: standards.example/site\nversion: 1.0.0\ntitle: Site\nstatus: draft\nkey: [/" + key + "]\nclasses: {/" + key + ": open}\n")},
		"schema.json":   {Data: []byte(schema)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return std
}
