package node_test

import (
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stile-exchange/stile/examples/generate"
	"github.com/stile-exchange/stile/node"
)

// The planning-application lane: some 830 bytes and 18 fields a record, of
// which an agreement lets out about 30% of the rows and 12 fields. The size is
// STILE_BENCH_RECORDS, 200,000 unless set. Both nodes run in this process and
// speak libp2p over loopback, so that its two cores do the work of two
// machines.

func laneSize(b *testing.B) int {
	if s := os.Getenv("STILE_BENCH_RECORDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	return 200_000
}

// lane makes requests of 4,000 records.
func lane(n int) []node.PutRequest {
	var out []node.PutRequest
	for from := 0; from < n; from += 4000 {
		r := node.PutRequest{Standard: "planning-application"}
		for i := from; i < min(n, from+4000); i++ {
			r.Records = append(r.Records, node.Offered{Row: i + 1, Record: generate.PlanningApplication(1, i)})
		}
		out = append(out, r)
	}
	return out
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// resident returns the largest resident set since reset, in MiB.
func resident() float64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for _, l := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(l, "VmHWM:"); ok {
			kb, _ := strconv.Atoi(strings.Fields(rest)[0])
			return float64(kb) / 1024
		}
	}
	return 0
}

func resetResident() {
	runtime.GC()
	os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o600)
}

func ingest(b *testing.B, n face, requests []node.PutRequest) {
	b.Helper()
	for _, r := range requests {
		for _, x := range call(b, n.Records().Put, r).Results {
			if len(x.Problems) > 0 {
				b.Fatalf("row %d refused: %+v", x.Row, x.Problems)
			}
		}
	}
}

// BenchmarkIngestDurable is figure A: JSON in, validated, signed, logged and
// synced.
func BenchmarkIngestDurable(b *testing.B) {
	size := laneSize(b)
	requests := lane(size)
	for b.Loop() {
		n := start(b, northmoor, "E07000998")
		resetResident()
		cpu, at := cpuSeconds(), time.Now()
		ingest(b, n, requests)
		took := time.Since(at).Seconds()
		b.ReportMetric(float64(size)/took, "records/s")
		b.ReportMetric((cpuSeconds()-cpu)*1e6/float64(size), "cpu-us/record")
		b.ReportMetric(resident(), "peak-MiB")
		s := get(b, n.Status)
		if s.Records["standards.stile.example/planning-application@1.0.0"] != size {
			b.Fatalf("holds %v", s.Records)
		}
		b.ReportMetric(float64(s.DiskBytes)/float64(size), "disk-B/record")
		n.stop()
	}
}

// BenchmarkMemory is what a node holds after the lane has gone in, however long
// the lane: the heap after a collection, and the largest it was (reserved, so
// that garbage counts). The records are made as they go in.
func BenchmarkMemory(b *testing.B) {
	size := laneSize(b)
	for b.Loop() {
		n := start(b, northmoor, "E07000998")
		for from := 0; from < size; from += 1000 {
			r := node.PutRequest{Standard: "planning-application"}
			for i := from; i < min(size, from+1000); i++ {
				r.Records = append(r.Records, node.Offered{Row: i + 1, Record: generate.PlanningApplication(1, i)})
			}
			ingest(b, n, []node.PutRequest{r})
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MiB")
		b.ReportMetric(float64(m.HeapSys)/(1<<20), "most-heap-MiB")
		b.ReportMetric(resident(), "peak-MiB")
		n.stop()
	}
}

// agree signs the lane's agreement on both sides.
func agree(b testing.TB, from, to *running) {
	b.Helper()
	call(b, from.Agreements().Sign, node.AgreementRequest{Document: []byte(planningAgreement)})
	await(b, "the proposal arrives", func() bool {
		return len(get(b, to.Agreements().List)) == 1
	})
	call(b, to.Agreements().Sign, node.AgreementRequest{Name: "northmoor.gov.uk/planning-for-saltby"})
}

func partnerOf(t testing.TB, n face) node.PartnerReply {
	t.Helper()
	for _, p := range get(t, n.Status).Partners {
		return p
	}
	return node.PartnerReply{}
}

// BenchmarkFirstCopy is figure B for a partner that has nothing yet: held is
// proved by the sender's log, verified has every record's own signature checked.
func BenchmarkFirstCopy(b *testing.B) {
	size := laneSize(b)
	requests := lane(size)
	for b.Loop() {
		from, to := start(b, northmoor, "E07000998"), start(b, saltby, "E07000999")
		introduce(b, from, to)
		ingest(b, from, requests)
		call(b, from.Agreements().Sign, node.AgreementRequest{Document: []byte(planningAgreement)})
		await(b, "the proposal arrives", func() bool {
			return len(get(b, to.Agreements().List)) == 1
		})
		want := call(b, from.Agreements().Preview, node.AgreementRequest{Document: []byte(planningAgreement)}).Matched
		resetResident()
		cpu, at := cpuSeconds(), time.Now()
		call(b, to.Agreements().Sign, node.AgreementRequest{Name: "northmoor.gov.uk/planning-for-saltby"})
		await(b, "everything is held", func() bool { return partnerOf(b, to).Held == want })
		b.ReportMetric(float64(want)/time.Since(at).Seconds(), "held/s")
		awaitEvery(b, 200*time.Millisecond, "everything is verified", func() bool { return partnerOf(b, to).Verified == want })
		b.ReportMetric(float64(want)/time.Since(at).Seconds(), "verified/s")
		b.ReportMetric((cpuSeconds()-cpu)*1e6/float64(want), "cpu-us/record")
		b.ReportMetric(resident(), "peak-MiB")
		from.stop()
		to.stop()
	}
}

// BenchmarkLiveCopy is figure B for a partner that copies while records come
// in: the whole lane goes in, and the agreed part is held by the partner.
func BenchmarkLiveCopy(b *testing.B) {
	size := laneSize(b)
	requests := lane(size)
	for b.Loop() {
		from, to := start(b, northmoor, "E07000998"), start(b, saltby, "E07000999")
		introduce(b, from, to)
		agree(b, from, to)
		at := time.Now()
		ingest(b, from, requests)
		b.ReportMetric(float64(size)/time.Since(at).Seconds(), "ingested/s")
		want := call(b, from.Agreements().Preview, node.AgreementRequest{Document: []byte(planningAgreement)}).Matched
		await(b, "everything is held", func() bool { return partnerOf(b, to).Held == want })
		b.ReportMetric(float64(want)/time.Since(at).Seconds(), "held/s")
		awaitEvery(b, 200*time.Millisecond, "everything is verified", func() bool { return partnerOf(b, to).Verified == want })
		b.ReportMetric(float64(want)/time.Since(at).Seconds(), "verified/s")
		from.stop()
		to.stop()
	}
}

// BenchmarkWriteToVisible is figure C: one record at a time, from the call
// that writes it to the moment the partner's node shows it.
func BenchmarkWriteToVisible(b *testing.B) {
	from, to := start(b, northmoor, "E07000998"), start(b, saltby, "E07000999")
	introduce(b, from, to)
	agree(b, from, to)
	await(b, "in step", func() bool { return partnerOf(b, to).InStep })
	var took []time.Duration
	i := 0
	for b.Loop() {
		rec, err := json.Marshal(planning(i, "X"))
		if err != nil {
			b.Fatal(err)
		}
		i++
		at := time.Now()
		r := call(b, from.Records().Put, node.PutRequest{
			Standard: "planning-application", Records: []node.Offered{{Record: rec}},
		}).Results[0]
		for {
			var shown node.RecordReply
			err := try(b.Context(), to.Records().Show, node.RecordRequest{From: northmoor, Record: string(r.Record)}, &shown)
			if err == nil && shown.Version == r.Version {
				break
			}
			runtime.Gosched()
		}
		took = append(took, time.Since(at))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
