package standard

import (
	"testing"

	"github.com/stile-exchange/stile/schemas"
)

// BenchmarkShipped judges the valid examples of each standard that comes with
// Stile, one after the other.
func BenchmarkShipped(b *testing.B) {
	for _, dir := range schemas.Names() {
		s, err := Load(schemas.FS(dir))
		if err != nil {
			b.Fatal(err)
		}
		valid, _ := s.Examples()
		b.Run(dir, func(b *testing.B) {
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
