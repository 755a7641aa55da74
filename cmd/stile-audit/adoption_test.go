package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/schemas"
)

// An auditor counts a council's figures again, the honest and the other ones.
func TestAdoption(t *testing.T) {
	dir := t.TempDir()
	cfg, err := node.Init(t.Context(), node.InitOptions{Dir: filepath.Join(dir, "n"), Council: "northmoor.gov.uk"})
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(cfg, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	site, err := schemas.FS("brownfield-site/1.0.0").Open("examples/valid/permissioned.json")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(site); err != nil {
		t.Fatal(err)
	}
	put(t, n, "brownfield-site", b.Bytes())
	m, err := n.Standards().Measure(t.Context(), node.MeasureRequest{Publish: true})
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) string {
		t.Helper()
		r, err := n.Bundle(t.Context(), node.BundleRequest{Statement: "newest", Full: true})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, r.Bundle, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(want int, text string, args ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := Main(env{strings.NewReader(""), &out, &errs}, append([]string{"adoption"}, args...)); code != want || !strings.Contains(out.String(), text) {
			t.Errorf("code %d, want %d; want %q in\n%s%s", code, want, text, &out, &errs)
		}
	}
	honest := file("honest.stile")
	run(done, "No figure differs from the records.", honest)
	run(done, `"verdict": "agrees"`, honest, "--json")
	s := m.Statements[0]
	s.Records, s.Freshness.Fresh = 4, 4
	lie, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	put(t, n, "compliance-statement", lie)
	run(failed, "live records: stated 4, counted 1", file("lie.stile"))
}

// put puts a record through the gate, which must take it.
func put(t *testing.T, n *node.Node, std string, record []byte) {
	t.Helper()
	r, err := n.Records().Put(t.Context(), node.PutRequest{Standard: std, Records: []node.Offered{{Record: record}}})
	if err != nil || len(r.Results[0].Problems) > 0 {
		t.Fatalf("%v %v", err, r)
	}
}
