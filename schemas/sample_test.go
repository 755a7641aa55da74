package schemas_test

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/schemas"
)

// lane returns the rows of the performance lane: 2,000 made-up planning
// applications. It skips where they are absent.
func lane(t testing.TB) [][]byte {
	root := os.Getenv("STILE_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "data")
	}
	b, err := os.ReadFile(filepath.Join(root, "planning-lane", "sample-2000.ndjson"))
	if err != nil {
		t.Skipf("no planning lane under %s; set STILE_DATA to the folder that holds it", root)
	}
	var rows [][]byte
	sc := bufio.NewScanner(bytes.NewReader(b))
	for sc.Scan() {
		rows = append(rows, bytes.Clone(sc.Bytes()))
	}
	return rows
}

func TestPlanningLane(t *testing.T) {
	rows := lane(t)
	if len(rows) != 2000 {
		t.Fatalf("%d rows", len(rows))
	}
	s, err := standard.Load(schemas.FS("planning-application/1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for i, row := range rows {
		v, err := strictjson.Decode(row, strictjson.Limits{})
		if err != nil {
			t.Fatalf("row %d: %v", i+1, err)
		}
		for _, p := range s.Validate(v) {
			t.Errorf("row %d: %v", i+1, &p)
		}
		k, err := s.Key(v)
		if err != nil || keys[k] {
			t.Errorf("row %d: key is missing or not its own: %v", i+1, err)
		}
		keys[k] = true
	}
}

func BenchmarkValidateShipped(b *testing.B) {
	for _, dir := range schemas.Names() {
		s, err := standard.Load(schemas.FS(dir))
		if err != nil {
			b.Fatal(err)
		}
		valid, _ := s.Examples()
		b.Run(dir, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if ps := s.Validate(valid[i%len(valid)].Record); ps != nil {
					b.Fatal(ps)
				}
				i++
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkValidateLane judges rows of the performance lane, decoded before.
func BenchmarkValidateLane(b *testing.B) {
	rows := lane(b)
	s, err := standard.Load(schemas.FS("planning-application/1.0.0"))
	if err != nil {
		b.Fatal(err)
	}
	records := make([]any, len(rows))
	for i, row := range rows {
		if records[i], err = strictjson.Decode(row, strictjson.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if ps := s.Validate(records[i%len(records)]); ps != nil {
				b.Fatal(ps)
			}
			i++
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("all-processors", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			i := 0
			for pb.Next() {
				if ps := s.Validate(records[i%len(records)]); ps != nil {
					b.Fatal(ps)
				}
				i++
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
}
