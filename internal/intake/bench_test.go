package intake_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// lane returns n lines of the planning lane: the sample over and over, or a
// stand-in of the same size when the sample is not here.
func lane(b *testing.B, n int) []byte {
	dir := os.Getenv("STILE_DATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	sample, err := os.ReadFile(dir + "/planning-lane/sample-2000.ndjson")
	if err != nil {
		one := `{"reference":"26/0000001/PA","uprn":100000000000,"longitude":-2.203408,"decision":null,"description":"` + strings.Repeat("a wall, ", 85) + "\"}\n"
		sample = []byte(one)
	}
	lines := bytes.SplitAfter(bytes.TrimSpace(sample), []byte("\n"))
	var out []byte
	for i := range n {
		out = append(bytes.TrimRight(append(out, lines[i%len(lines)]...), "\n"), '\n')
	}
	return out
}

func drain(b *testing.B, in []byte, o intake.Options) int {
	r, err := intake.Open(bytes.NewReader(in), o)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			b.Fatal(err)
		}
		if row.Record == nil {
			b.Fatalf("row %d: %v", row.Number, row.Problems)
		}
		n++
	}
}

func benchmark(b *testing.B, in []byte, o intake.Options) {
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	rows := 0
	for b.Loop() {
		rows += drain(b, in, o)
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

// How fast are planning applications of some 830 bytes taken in as NDJSON?
func BenchmarkNDJSON(b *testing.B) {
	benchmark(b, lane(b, 2000), intake.Options{Format: intake.NDJSON, Reference: []name.Field{"/reference"}})
}

// As one JSON array?
func BenchmarkJSON(b *testing.B) {
	in := bytes.ReplaceAll(bytes.TrimSpace(lane(b, 2000)), []byte("\n"), []byte(",\n"))
	in = append(append([]byte("["), in...), ']')
	benchmark(b, in, intake.Options{Format: intake.JSON, Reference: []name.Field{"/reference"}})
}

// The same applications as CSV through a mapping of 18 columns?
func BenchmarkCSV(b *testing.B) {
	in, m := laneCSV(b, 2000)
	benchmark(b, in, intake.Options{Format: intake.CSV, Mapping: m, Reference: []name.Field{"/reference"}})
}

// Taking a file into rows alone, the part that one goroutine must do?
func BenchmarkScan(b *testing.B) {
	csvIn, m := laneCSV(b, 2000)
	for _, c := range []struct {
		name string
		in   []byte
		o    intake.Options
	}{{"ndjson", lane(b, 2000), intake.Options{Format: intake.NDJSON}}, {"csv", csvIn, intake.Options{Format: intake.CSV, Mapping: m}}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.in)))
			rows := 0
			for b.Loop() {
				r, err := intake.Open(bytes.NewReader(c.in), c.o)
				if err != nil {
					b.Fatal(err)
				}
				for {
					if _, err := r.Scan(); err != nil {
						break
					}
					rows++
				}
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// laneCSV returns the lane as CSV, every member a column, with its mapping.
func laneCSV(b *testing.B, n int) ([]byte, *intake.Mapping) {
	var heads []string
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	for i, line := range bytes.Split(bytes.TrimSpace(lane(b, n)), []byte("\n")) {
		v, err := strictjson.Decode(line, strictjson.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		rec := v.(map[string]any)
		if i == 0 {
			for k := range rec {
				heads = append(heads, k)
			}
			slices.Sort(heads)
			w.Write(heads)
		}
		cells := make([]string, len(heads))
		for j, k := range heads {
			switch t := rec[k].(type) {
			case string:
				cells[j] = t
			case interface{ String() string }:
				cells[j] = t.String()
			}
		}
		w.Write(cells)
	}
	w.Flush()
	m := head + "columns:\n"
	for _, h := range heads {
		typ := "string"
		switch {
		case strings.HasSuffix(h, "Date"):
			typ = "date"
		case h == "longitude" || h == "latitude":
			typ = "number"
		case h == "uprn":
			typ = "integer"
		}
		m += "  - {to: /" + h + ", from: " + strconv.Quote(h) + ", type: " + typ + ", empty: 'null'}\n"
	}
	return out.Bytes(), mapping(b, m)
}
