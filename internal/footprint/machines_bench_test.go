package footprint

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
)

// BenchmarkMachines: what does it cost a council to have its ledger on three
// machines? The same writes into a ledger of its own and into a shared one, in
// batches of 500 and one at a time.
func BenchmarkMachines(b *testing.B) {
	const batch = 500
	write := func(b *testing.B, c *council, l *ledger.Ledger) {
		fresh := func(n int) (offers []*ledger.Offer) {
			serial := time.Now().UnixNano()
			for i := range n {
				o, err := l.Offer(c.std, map[string]any{"reference": fmt.Sprint(serial, "-", i), "ward": "X", "name": fmt.Sprintf("%0600d", i)})
				if err != nil {
					b.Fatal(err)
				}
				offers = append(offers, o)
			}
			return offers
		}
		b.Run("batch", func(b *testing.B) {
			before := cpu(b)
			for range b.N {
				if err := l.Write(b.Context(), fresh(batch)...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N*batch), "cpu-µs/record")
		})
		b.Run("one", func(b *testing.B) {
			var took []time.Duration
			for range b.N {
				offers := fresh(1)
				start := time.Now()
				if err := l.Write(b.Context(), offers...); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
	b.Run("alone", func(b *testing.B) {
		w := newFens(b)
		w.dir = b.TempDir()
		c := &council{fens: w, ring: w.rings[places[0]]}
		l, err := ledger.Open(ledger.Options{Dir: filepath.Join(w.dir, "ledger"), Council: places[0], Keys: c.ring, MinFree: 1})
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		if err := l.Adopt(b.Context(), w.std); err != nil {
			b.Fatal(err)
		}
		write(b, c, l)
	})
	b.Run("three", func(b *testing.B) {
		c := machinesOf(loopback(b), 3)
		t, err := c.leader().Lead(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		defer t.Close()
		l, err := c.open(t.Store())
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		write(b, c, l)
	})
}
