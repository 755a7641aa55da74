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
	call := func(op string, in, out any) {
		t.Helper()
		if err := n.Call(t.Context(), op, in, out); err != nil {
			t.Fatalf("%s: %v", op, err)
		}
	}
	site, err := schemas.FS("brownfield-site/1.0.0").Open("examples/valid/permissioned.json")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(site); err != nil {
		t.Fatal(err)
	}
	call(node.OpOffer, node.OfferRequest{Standard: "brownfield-site", Records: []node.Offered{{Record: b.Bytes()}}}, nil)
	var m node.MeasureReply
	call(node.OpStandardMeasure, node.MeasureRequest{Publish: true}, &m)
	file := func(name string) string {
		t.Helper()
		var r node.BundleReply
		call(node.OpBundle, node.BundleRequest{Statement: "newest", Full: true}, &r)
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
	call(node.OpOffer, node.OfferRequest{Standard: "compliance-statement", Records: []node.Offered{{Record: lie}}}, nil)
	run(failed, "live records: stated 4, counted 1", file("lie.stile"))
}
