package ledger_test

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stile-exchange/stile/examples/generate"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/strictjson"
)

// picking returns an agreement over planning applications.
func picking(t testing.TB, nm, rows string) *agreement.Agreement {
	t.Helper()
	a, err := agreement.Parse(fmt.Appendf(nil, `
agreement: northmoor.gov.uk/%s
version: 1
from: northmoor.gov.uk
to: [saltby.gov.uk]
mode: replicate
standard: standards.stile.example/planning-application@1
rows: '%s'
fields: [/reference, /organisation, /district, /address, /postcode, /longitude, /latitude, /applicationType, /status, /description, /decision, /decisionDate]
starts: 2026-01-01
`, nm, rows))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// load writes the planning lane, of which each of a hundred case officers has one in a
// hundred, and returns how long that took and how many seconds the cores worked.
func load(t testing.TB, l *ledger.Ledger, from, to int) (took time.Duration, cpu float64) {
	t.Helper()
	std := planningStandard(t)
	bodies := make([]map[string]any, 0, to-from)
	for i := from; i < to; i++ {
		v, err := strictjson.Decode(generate.PlanningApplication(1, i), strictjson.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		m := v.(map[string]any)
		m["caseOfficer"] = fmt.Sprintf("officer-%d", i%100)
		bodies = append(bodies, m)
	}
	at, worked := time.Now(), cpuSeconds()
	var waits []*ledger.Pending
	for len(bodies) > 0 {
		n := min(1000, len(bodies))
		offers := make([]*ledger.Offer, n)
		for i, body := range bodies[:n] {
			o, err := l.Offer(std, body)
			if err != nil {
				t.Fatal(err)
			}
			offers[i] = o
		}
		bodies = bodies[n:]
		p, err := l.Submit(t.Context(), offers)
		if err != nil {
			t.Fatal(err)
		}
		waits = append(waits, p)
	}
	for _, p := range waits {
		if err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(at), cpuSeconds() - worked
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

func benchRecords(b *testing.B, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv("STILE_BENCH_RECORDS")); err == nil {
		return n
	}
	return otherwise
}

// BenchmarkIngestUnderAgreements: what do agreements cost whoever writes? They pick a
// district each, which no record has, or a case officer each, so that a hundred take every
// record once between them.
func BenchmarkIngestUnderAgreements(b *testing.B) {
	size := benchRecords(b, 20_000)
	for _, taking := range []string{"district", "caseOfficer"} {
		for _, n := range []int{0, 1, 10, 100} {
			b.Run(fmt.Sprintf("%s/%d", taking, n), func(b *testing.B) {
				for b.Loop() {
					l := open(b, b.TempDir(), ring(b))
					adopt(b, l, planningStandard(b))
					for i := range n {
						openFeed(b, l, picking(b, fmt.Sprint("a-", i), fmt.Sprintf(`record.%s == "officer-%d"`, taking, i)))
					}
					took, cpu := load(b, l, 0, size)
					b.ReportMetric(float64(size)/took.Seconds(), "records/s")
					b.ReportMetric(cpu*1e6/float64(size), "cpu-us/record")
					disk, err := l.DiskBytes()
					if err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(disk)/float64(size), "disk-B/record")
					l.Close()
				}
			})
		}
	}
}

// BenchmarkMatch: how long does it take until the records of a loaded ledger are matched
// against an agreement that takes one in a hundred, and how long did its signer wait? The
// first on a field builds the index, the next reads it, the third cannot use one.
func BenchmarkMatch(b *testing.B) {
	size := benchRecords(b, 100_000)
	l := open(b, b.TempDir(), ring(b))
	adopt(b, l, planningStandard(b))
	for at := 0; at < size; at += 10_000 {
		load(b, l, at, min(size, at+10_000))
	}
	disk := func() float64 {
		n, err := l.DiskBytes()
		if err != nil {
			b.Fatal(err)
		}
		return float64(n) / float64(size)
	}
	without := disk()
	n := 0
	for b.Loop() {
		for _, c := range []struct{ what, rows string }{
			{"first", `record.caseOfficer == "officer-7"`},
			{"next", `record.caseOfficer == "officer-8"`},
			{"walk", `record.caseOfficer.endsWith("r-9")`},
			{"all", `true`},
		} {
			a := picking(b, fmt.Sprint("a-", n), c.rows)
			n++
			at := time.Now()
			if err := l.OpenFeed(b.Context(), a); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(time.Since(at).Microseconds())/1000, c.what+"-signed-ms")
			if err := l.AwaitFeed(b.Context(), a); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(time.Since(at).Microseconds())/1000, c.what+"-ms")
		}
		b.ReportMetric(without, "disk-B/record-without")
	}
}
