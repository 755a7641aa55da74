package node_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// alone opens a node that is not run.
func alone(t testing.TB, c name.Council) *node.Node {
	t.Helper()
	cfg, err := node.Init(t.Context(), node.InitOptions{
		Dir: filepath.Join(t.TempDir(), "data"), Council: c, Listen: []string{"/ip4/127.0.0.1/tcp/0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Limits.MinFreeMiB = 16
	n, err := node.Open(cfg, node.Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// hut makes a version of a small standard; status and properties are its own.
func hut(t testing.TB, version, status, required, properties string) []byte {
	t.Helper()
	s, err := standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte("name: standards.example/hut\nversion: " + version + "\ntitle: Hut\nstatus: " + status + "\nkey: [/id]\nclasses: {/id: open}\n")},
		"schema.json":   {Data: fmt.Appendf(nil, `{"type":"object","additionalProperties":false,"required":[%s],"properties":{%s}}`, required, properties)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.Archive()
}

const hutOne = `"id":{"type":"string"},"doors":{"type":"integer"},"rooms":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"}}}}`

// TestJudgeRecords: what a new version would refuse is counted by rule and
// field, page by page, with ids and without a value; nothing is written.
func TestJudgeRecords(t *testing.T) {
	n := alone(t, northmoor)
	call(t, n.Standards().Adopt, node.AdoptRequest{Archive: hut(t, "1.0.0", "live", `"id"`, hutOne)})
	var huts []map[string]any
	for i := range 2500 {
		h := map[string]any{"id": fmt.Sprint("h", i), "doors": i % 5}
		if i%2 == 0 {
			h["rooms"] = []any{map[string]any{"name": "CANARY"}, map[string]any{}, map[string]any{}}
		}
		huts = append(huts, h)
	}
	offer(t, n, "standards.example/hut", huts...)
	size := get(t, n.Status).LogSize
	next := hut(t, "1.1.0", "live", `"id"`, `"id":{"type":"string"},"doors":{"type":"integer","minimum":1},"rooms":{"type":"array","items":{"type":"object","required":["name"],"properties":{"name":{"const":"x"}}}}`)
	pages, looked := 0, 0
	sum := map[string]int{}
	req := node.AgainstRequest{From: "standards.example/hut@1", To: node.AdoptRequest{Archive: next}}
	for {
		r := call(t, n.Standards().Against, req)
		if r.Total != 2500 || r.Valid+r.Failed != r.Examined || r.Damaged != 0 || r.Mapped {
			t.Fatalf("page: %+v", r)
		}
		pages++
		looked += r.Examined
		for _, f := range r.Faults {
			sum[f.Field+" "+f.Rule] += f.Records
			if len(f.IDs) == 0 || len(f.IDs) > 5 || strings.Contains(f.Detail, "CANARY") {
				t.Errorf("fault: %+v", f)
			}
		}
		if req.Cursor = r.Cursor; r.Cursor == "" {
			break
		}
	}
	// Every second hut has three rooms, of which two have no name: once each.
	want := map[string]int{"/doors minimum": 500, "/rooms/*/name const": 1250, "/rooms/*/name required": 1250}
	if looked != 2500 || pages != 3 || fmt.Sprint(sum) != fmt.Sprint(want) {
		t.Errorf("%d records on %d pages: %v, want %v", looked, pages, sum, want)
	}
	if now := get(t, n.Status).LogSize; now != size {
		t.Errorf("looking wrote %d entries", now-size)
	}
	// One version of a line alone.
	offer(t, n, "standards.example/hut", map[string]any{"id": "new", "doors": 3})
	if r := call(t, n.Standards().Against, node.AgainstRequest{From: "standards.example/hut@1.0.0", To: node.AdoptRequest{Name: "standards.example/hut@1.0.0"}}); r.Total != 2501 || r.Failed != 0 {
		t.Errorf("by their own version: %+v", r)
	}
}

// TestAdoptRefused: what must not be adopted, and what may.
func TestAdoptRefused(t *testing.T) {
	n := alone(t, northmoor)
	one := hut(t, "1.0.0", "live", `"id"`, hutOne)
	if r := call(t, n.Standards().Adopt, node.AdoptRequest{Archive: one}); r.Already {
		t.Error("adopted already")
	}
	if r := call(t, n.Standards().Adopt, node.AdoptRequest{Archive: one}); !r.Already {
		t.Error("adopted twice")
	}
	kind := func(in node.AdoptRequest) node.Kind {
		t.Helper()
		err := try(t.Context(), n.Standards().Adopt, in, nil)
		if err == nil {
			return ""
		}
		return err.(*node.Error).Kind
	}
	// Other bytes: another schema, and a manifest alone, which decides who sees what.
	for _, other := range [][]byte{
		hut(t, "1.0.0", "live", `"id"`, `"id":{"type":"string"}`),
		bytes.Replace(one, []byte("open"), []byte("internal")[:4], 1),
		hut(t, "1.0.0", "draft", `"id"`, hutOne),
	} {
		if k := kind(node.AdoptRequest{Archive: other}); k != node.Conflict && k != node.Invalid {
			t.Errorf("other bytes under one version: %q", k)
		}
	}
	gone := hut(t, "2.0.0", "retired", `"id"`, hutOne)
	if k := kind(node.AdoptRequest{Archive: gone}); k != node.Refused {
		t.Errorf("retired: %q", k)
	}
	if k := kind(node.AdoptRequest{Archive: gone, EvenRetired: true}); k != "" {
		t.Errorf("retired and meant: %q", k)
	}
	for _, nm := range []string{"standards.example/hut@9.0.0", "nothing", "../../etc", ""} {
		if k := kind(node.AdoptRequest{Name: nm}); k != node.NotFound {
			t.Errorf("%q: %q", nm, k)
		}
	}
	if k := kind(node.AdoptRequest{Archive: []byte("PK nonsense")}); k != node.Invalid {
		t.Errorf("nonsense: %q", k)
	}

	// A bare name is the newest live version, whatever came later.
	for name, want := range map[string]string{
		"standards.example/hut": "1.0.0", "hut": "1.0.0", "hut@1": "1.0.0", "standards.example/hut@2": "2.0.0", "hut@2.0.0": "2.0.0",
	} {
		if s := call(t, n.Standards().Show, node.StandardRequest{Name: name}); s.Name.Version.String() != want {
			t.Errorf("%s means %s, want %s", name, s.Name, want)
		}
	}
}

// TestPreviewBreaksNumber: a publisher whose number does not tell what changed is
// told on, and the version can still be adopted.
func TestPreviewBreaksNumber(t *testing.T) {
	n := alone(t, northmoor)
	call(t, n.Standards().Adopt, node.AdoptRequest{Archive: hut(t, "1.0.0", "live", `"id"`, hutOne)})
	in := node.AdoptRequest{Archive: hut(t, "1.0.1", "live", `"id","doors"`, hutOne)}
	p := call(t, n.Standards().Preview, in)
	if p.Older == nil || p.Older.Version.String() != "1.0.0" || p.Version == nil || p.Difference.Needs != "major" || p.Adopted || p.Origin != "file" {
		t.Fatalf("preview: %+v", p)
	}
	if !slices.ContainsFunc(p.Difference.Changes, func(c node.Change) bool { return c.Pointer == "/doors" && c.Level == "major" }) {
		t.Errorf("changes: %+v", p.Difference.Changes)
	}
	call(t, n.Standards().Adopt, in)
	if p = call(t, n.Standards().Preview, in); !p.Adopted {
		t.Error("not told as adopted")
	}
	// Another major is compared with its own line first.
	call(t, n.Standards().Adopt, node.AdoptRequest{Archive: hut(t, "2.0.0", "live", `"id"`, hutOne)})
	if p = call(t, n.Standards().Preview, node.AdoptRequest{Archive: hut(t, "1.1.0", "live", `"id"`, hutOne)}); p.Older.Version.String() != "1.0.1" {
		t.Errorf("1.1.0 is compared with %s", p.Older)
	}
	if p = call(t, n.Standards().Preview, node.AdoptRequest{Archive: hut(t, "3.0.0", "live", `"id"`, hutOne)}); p.Older.Version.String() != "2.0.0" {
		t.Errorf("3.0.0 is compared with %s", p.Older)
	}
}

// BenchmarkJudge is how fast a node judges its own records by another version,
// and what it holds in memory meanwhile.
func BenchmarkJudge(b *testing.B) {
	n := alone(b, northmoor)
	call(b, n.Standards().Adopt, node.AdoptRequest{Archive: siteTwo(b)})
	const records = 20_000
	for i := 0; i < records; i += 1000 {
		var page []map[string]any
		for j := range 1000 {
			page = append(page, entry(fmt.Sprint("S", i+j), "not permissioned"))
		}
		offer(b, n, site+"@1", page...)
	}
	for name, to := range map[string]string{"SameVersion": site + "@1.0.0", "Mapped": site + "@2.0.0"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				looked := 0
				req := node.AgainstRequest{From: site + "@1", To: node.AdoptRequest{Name: to}}
				for {
					r := call(b, n.Standards().Against, req)
					looked += r.Valid
					if req.Cursor = r.Cursor; r.Cursor == "" {
						break
					}
				}
				if looked != records {
					b.Fatalf("%d valid", looked)
				}
			}
			b.ReportMetric(records*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// A schema that loads, and of which lint has an error to tell, is refused with
// what its publisher can do: here a list of allowed values that is empty.
func TestAdoptBroken(t *testing.T) {
	n := alone(t, northmoor)
	msg := refusedAs(t, node.Invalid, n.Standards().Adopt, node.AdoptRequest{Archive: hut(t, "1.0.0", "live", `"id"`, hutOne+`,"state":{"enum":[]}`)})
	if !strings.Contains(msg, "empty-enum") {
		t.Errorf("it says %q", msg)
	}
	if got := get(t, n.Standards().List); slices.ContainsFunc(got, func(r node.StandardReply) bool { return r.Name.Name == "standards.example/hut" }) {
		t.Error("it was adopted all the same")
	}
}
