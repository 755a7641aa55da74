package ledger_test

import (
	"testing"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// BenchmarkCount: what does it cost a sender to count what an agreement permits, and a
// receiver to count what came, for each record?
func BenchmarkCount(b *testing.B) {
	size := benchRecords(b, 10_000)
	l := open(b, b.TempDir(), ring(b))
	adopt(b, l, planningStandard(b))
	a := picking(b, "all", "true")
	f := openFeed(b, l, a)
	load(b, l, 0, size)
	b.Run("sender", func(b *testing.B) {
		worked := cpuSeconds()
		for b.Loop() {
			if err := l.PageSummed(b.Context(), f, "saltby.gov.uk", l.Size(), func(*ledger.Page) bool { return true }); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric((cpuSeconds()-worked)*1e6/float64(size)/float64(b.N), "cpu-us/record")
	})
	src, err := l.OpenSource(b.Context(), "hexwell.gov.uk", "hexwell.gov.uk/items")
	if err != nil {
		b.Fatal(err)
	}
	var puts []ledger.Put
	for i := range size {
		puts = append(puts, ledger.Put{Index: uint64(i), Record: name.RecordFrom([16]byte{byte(i), byte(i >> 8), byte(i >> 16)}), Version: 1, Hash: tlog.Hash{1, byte(i)}, Token: []byte("token")})
	}
	for at := 0; at < size; at += 1000 {
		d := &ledger.Delivery{Cursor: uint64(min(size, at+1000)), Puts: puts[at:min(size, at+1000)]}
		if src, err = l.Source(src.From, src.Agreement); err == nil {
			_, err = l.Receive(b.Context(), src, d)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if src, err = l.Source(src.From, src.Agreement); err != nil {
		b.Fatal(err)
	}
	b.Run("receiver", func(b *testing.B) {
		worked := cpuSeconds()
		for b.Loop() {
			if err := l.CountCopy(b.Context(), src, src.Cursor, func() {}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric((cpuSeconds()-worked)*1e6/float64(size)/float64(b.N), "cpu-us/record")
	})
}
