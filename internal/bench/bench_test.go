package main

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/schemas"
)

func TestParseBench(t *testing.T) {
	const out = `goos: linux
BenchmarkPutOne/clients-1-2         	     500	    901234 ns/op	         0.8810 p50-ms	      3904 records/s
BenchmarkPutOne/clients-16-2        	     500	     1 ns/op
Benchmark of something that is no line
--- FAIL: BenchmarkOther
PASS
`
	got := parseBench(out, 2)
	if len(got) != 2 || got[0].name != "PutOne/clients-1" || got[1].name != "PutOne/clients-16" {
		t.Fatalf("%+v", got)
	}
	if f := got[0].figures; f["p50-ms"] != 0.881 || f["records/s"] != 3904 || f["ns/op"] != 901234 {
		t.Errorf("%v", f)
	}
	// On one core the testing package writes no number behind the name.
	if got := parseBench("BenchmarkX/clients-16 \t 1 \t 5 ns/op\n", 1); len(got) != 1 || got[0].name != "X/clients-16" {
		t.Errorf("on one core: %+v", got)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		in                  []float64
		least, median, most float64
	}{{[]float64{3}, 3, 3, 3}, {[]float64{9, 1, 4}, 1, 4, 9}, {[]float64{4, 1, 2, 9}, 1, 3, 9}} {
		if l, m, h := spread(c.in); l != c.least || m != c.median || h != c.most {
			t.Errorf("%v: %v %v %v", c.in, l, m, h)
		}
	}
}

// A ratio over 1 says that Stile is ahead, of rates and of times; it is of one
// round, not of two medians; and what was not measured has no row.
func TestTable(t *testing.T) {
	x := &table{size: 30000, rounds: 2, commit: "abc", bad: map[string]int{}, got: map[string][]figures{}, growth: []int{10000}}
	x.add(0, "Stile", figures{"A": 200, "first30": 4})
	x.add(1, "Stile", figures{"A": 600, "first30": 2})
	x.add(0, "PostgreSQL", figures{"A": 400, "first30": 2, "three": 5})
	x.add(1, "PostgreSQL", figures{"A": 200, "first30": 4})
	x.add(1, "NATS", figures{"A": 1200})
	x.failed("B", "NATS")
	got := x.markdown()
	for _, want := range []string{
		"| A | ingest, validated and durable: one writer | records/s | 400 (200–600) | 300 (200–400) | 1.75 (0.50–3.00) | 1,200 | 0.50 |",
		"| B | first copy of the 30% on a loaded node | s | 3.00 (2.00–4.00) | 3.00 (2.00–4.00) | 1.25 (0.50–2.00) | – | – |",
		"- Lane B of NATS failed in 1 of 2 rounds",
		"LANES=A SIZE=30000 ROUNDS=2",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "three members, batches") || strings.Contains(got, "growth") {
		t.Errorf("a row that Stile did not measure:\n%s", got)
	}
}

func TestBetween(t *testing.T) {
	doc := "a\n" + markBegin + "\nold\n" + markEnd + "\nb\n"
	got, err := between(doc, "new\n")
	if err != nil || got != "a\n"+markBegin+"\nnew\n"+markEnd+"\nb\n" {
		t.Errorf("%q, %v", got, err)
	}
	if again, err := between(got, "new\n"); err != nil || again != got {
		t.Errorf("written again: %q, %v", again, err)
	}
	for _, bad := range []string{"", markBegin + "\n", markEnd + "\n" + markBegin + "\n"} {
		if _, err := between(bad, "new\n"); err == nil {
			t.Errorf("%q has no place, and was taken", bad)
		}
	}
}

func TestComparison(t *testing.T) {
	got := comparison("abc", []map[string]float64{{"X s": 2}, {"X s": 4}}, []map[string]float64{{"X s": 1, "Y s": 1}, {"X s": 4}})
	for _, want := range []string{"| X s | 3.00 (2.00–4.00) | 2.50 (1.00–4.00) | 0.75 (0.50–1.00) |", "Only one of the two has: Y s"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestFileSystem(t *testing.T) {
	mounts := "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmpx xfs rw 0 0\n"
	for dir, want := range map[string]string{"/tmp/x": "tmpfs", "/tmp": "tmpfs", "/tmpx/y": "xfs", "/home": "ext4"} {
		if got := fileSystem(mounts, dir); got != want {
			t.Errorf("%s: %s, not %s", dir, got, want)
		}
	}
}

// The records are those of the node's benchmarks, and valid; the check that
// PostgreSQL makes covers the standard, else it would be refused here.
func TestLaneRecords(t *testing.T) {
	w := world{schemaFS: schemas.FS("planning-application/1.0.0")}
	s, err := standard.Load(w.schemaFS)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := fs.ReadFile(w.schemaFS, "schema.json")
	if err != nil {
		t.Fatal(err)
	}
	r, err := parseRule(schema)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range partnerFields {
		if r.Properties[f] == nil {
			t.Errorf("the standard has no field %s", f)
		}
	}
	records := laneRecords(300)
	for i, rec := range records {
		v, err := strictjson.Decode(rec, strictjson.DefaultLimits())
		if err != nil || len(s.Validate(v)) > 0 {
			t.Fatalf("record %d: %v", i, err)
		}
		if org := strings.Contains(string(rec), "local-authority:NBX"); org != (i%100 == 0) {
			t.Errorf("record %d: one in a hundred is another's", i)
		}
	}
	if _, err := parseRule([]byte(`{"oneOf": []}`)); err == nil {
		t.Error("a keyword that is not checked was taken")
	}
}
