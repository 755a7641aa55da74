package standard

import (
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// shippedDirs are the shipped standards as folders that can be changed.
func shippedDirs(t testing.TB) (out []fstest.MapFS) {
	for _, s := range shipped(t) {
		fsys := fstest.MapFS{}
		for p, b := range s.files {
			fsys[p] = &fstest.MapFile{Data: b}
		}
		out = append(out, fsys)
	}
	return out
}

// BenchmarkThreeHundredStandards asks what a node holds that has adopted 300
// versions of standards: made of the shipped ones, and of every published one
// that can be adopted with shipped ones for the rest. Each has judged a record.
func BenchmarkThreeHundredStandards(b *testing.B) {
	const n = 300
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	run := func(b *testing.B, dirs []fstest.MapFS) {
		for b.Loop() {
			before := heap()
			held := make([]*Standard, 0, len(dirs))
			for _, d := range dirs {
				s, err := Load(d)
				if err != nil {
					b.Fatal(err)
				}
				s.Validate(map[string]any{"id": "1"})
				held = append(held, s)
			}
			b.ReportMetric(heap()-before, "MB")
			runtime.KeepAlive(held)
		}
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/load-all")
	}
	shipped := shippedDirs(b)
	version := func(fsys fstest.MapFS, i int) fstest.MapFS {
		out := maps.Clone(fsys)
		text := string(fsys["standard.yaml"].Data)
		out["standard.yaml"] = &fstest.MapFile{Data: []byte(strings.Replace(text, "version: 1.0.0", fmt.Sprintf("version: 1.%d.0", i), 1))}
		return out
	}
	var dirs []fstest.MapFS
	for i := range n {
		dirs = append(dirs, version(shipped[i%len(shipped)], i))
	}
	b.Run("shipped", func(b *testing.B) { run(b, dirs) })
	b.Run("published", func(b *testing.B) {
		root := filepath.Dir(data(b, "digital-planning"))
		var real []fstest.MapFS
		for _, o := range offers(b) {
			fsys := o.dir(b, root)
			if s, fs := Lint(fsys); s != nil && !slices.ContainsFunc(fs, func(f Finding) bool { return f.Severity == SeverityError }) {
				real = append(real, fsys)
			}
		}
		run(b, append(real, dirs[len(real):]...))
	})
}
