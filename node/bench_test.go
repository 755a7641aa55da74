package node_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// lane makes requests of 4,000 records. One record in a hundred is of another
// organisation, so that an agreement can ask for one percent of them.
func lane(n int) []node.PutRequest {
	var out []node.PutRequest
	for from := 0; from < n; from += 4000 {
		out = append(out, lanePart(from, min(n, from+4000)))
	}
	return out
}

func lanePart(from, to int) node.PutRequest {
	r := node.PutRequest{Standard: "planning-application"}
	for i := from; i < to; i++ {
		rec := generate.PlanningApplication(1, i)
		if i%100 == 0 {
			rec = bytes.Replace(rec, []byte("local-authority:NBR"), []byte("local-authority:NBX"), 1)
		}
		r.Records = append(r.Records, node.Offered{Row: i + 1, Record: rec})
	}
	return r
}

// laneShare counts the records of requests that hold what an agreement's rows
// ask for.
func laneShare(requests []node.PutRequest, field string) (n int) {
	for _, r := range requests {
		for _, x := range r.Records {
			if bytes.Contains(x.Record, []byte(field)) {
				n++
			}
		}
	}
	return n
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
// that garbage counts); and whether records cost more as the ledger grows, the
// first tenth of them against the last. The records are made as they go in.
func BenchmarkMemory(b *testing.B) {
	size := laneSize(b)
	for b.Loop() {
		n := start(b, northmoor, "E07000998")
		resetResident()
		at := time.Now()
		var making, spent time.Duration
		var used [11]float64
		for tenth := range 10 {
			used[tenth] = cpuSeconds() - making.Seconds()
			for from := size * tenth / 10; from < size*(tenth+1)/10; from += 1000 {
				began := time.Now()
				r := lanePart(from, min(size*(tenth+1)/10, from+1000))
				making += time.Since(began) // on this goroutine alone, so about its processor time
				began = time.Now()
				ingest(b, n, []node.PutRequest{r})
				spent += time.Since(began)
			}
		}
		used[10] = cpuSeconds() - making.Seconds()
		b.ReportMetric(float64(size)/spent.Seconds(), "records/s")
		b.ReportMetric((used[1]-used[0])*1e7/float64(size), "cpu-us/first")
		b.ReportMetric((used[10]-used[9])*1e7/float64(size), "cpu-us/last")
		b.ReportMetric(time.Since(at).Seconds(), "s")
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MiB")
		b.ReportMetric(float64(m.HeapSys)/(1<<20), "most-heap-MiB")
		b.ReportMetric(resident(), "peak-MiB")
		b.ReportMetric(float64(get(b, n.Status).DiskBytes)/float64(size), "disk-B/record")
		n.stop()
	}
}

// BenchmarkPutOne: how long does a caller wait for the yes to one record, alone
// and as one of sixteen?
func BenchmarkPutOne(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("clients-%d", clients), func(b *testing.B) {
			n := start(b, northmoor, "E07000998")
			offers := make(chan node.PutRequest)
			took := make([][]time.Duration, clients)
			var wg sync.WaitGroup
			for c := range clients {
				wg.Go(func() {
					for r := range offers {
						at := time.Now()
						if reply, err := n.Records().Put(b.Context(), r); err != nil || len(reply.Results[0].Problems) > 0 {
							b.Errorf("put: %v %+v", err, reply)
						}
						took[c] = append(took[c], time.Since(at))
					}
				})
			}
			i, at, cpu := 0, time.Now(), cpuSeconds()
			for b.Loop() {
				offers <- lanePart(i, i+1)
				i++
			}
			close(offers)
			wg.Wait()
			b.ReportMetric(float64(i)/time.Since(at).Seconds(), "records/s")
			b.ReportMetric((cpuSeconds()-cpu)*1e6/float64(i), "cpu-us/record")
			waits(b, slices.Concat(took...))
			n.stop()
		})
	}
}

// waits reports the median and the 99th percentile.
func waits(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
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

// copied waits until a node holds, and has proved, so many records under an
// agreement.
func copied(b testing.TB, to face, doc string, want int) {
	b.Helper()
	awaitWithin(b, 10*time.Minute, pollEvery, "everything is held and proved", func() bool {
		for _, p := range get(b, to.Status).Partners {
			if strings.Contains(doc, "agreement: "+string(p.Agreement)+"\n") {
				return p.Held == want && p.Proved == want
			}
		}
		return false
	})
}

// BenchmarkFirstCopy is figure B for a partner that has nothing yet: from the
// first signature under an agreement until the partner holds, and has proved,
// what it lets out of the records there are. First that is 30% of them, then one
// percent.
func BenchmarkFirstCopy(b *testing.B) {
	size := laneSize(b)
	requests := lane(size)
	for b.Loop() {
		from, to := start(b, northmoor, "E07000998"), start(b, saltby, "E07000999")
		introduce(b, from, to)
		ingest(b, from, requests)
		few := strings.NewReplacer("planning-for-saltby", "few-for-saltby",
			`record.district == "X"`, `record.organisation == "local-authority:NBX"`).Replace(planningAgreement)
		for i, x := range []struct{ doc, field, share string }{
			{planningAgreement, `"district":"X"`, "30%"}, {few, "local-authority:NBX", "1%"},
		} {
			want := laneShare(requests, x.field)
			resetResident()
			cpu, at := cpuSeconds(), time.Now()
			signed := call(b, from.Agreements().Sign, node.AgreementRequest{Document: []byte(x.doc)})
			awaitEvery(b, 2*time.Millisecond, "the proposal arrives", func() bool {
				return len(get(b, to.Agreements().List)) == i+1
			})
			call(b, to.Agreements().Sign, node.AgreementRequest{Name: string(signed.Name)})
			copied(b, to, x.doc, want)
			b.ReportMetric(time.Since(at).Seconds(), x.share+"-s")
			b.ReportMetric(float64(want)/time.Since(at).Seconds(), x.share+"-records/s")
			b.ReportMetric((cpuSeconds()-cpu)*1e6/float64(want), x.share+"-cpu-us/record")
			b.ReportMetric(resident(), x.share+"-peak-MiB")
		}
		from.stop()
		to.stop()
	}
}

// BenchmarkLiveCopy is figure B for a partner that copies while records come
// in: the whole lane goes in, and the agreed part is held, and proved, by the
// partner. The processor time is of both nodes, for a record that arrives.
func BenchmarkLiveCopy(b *testing.B) {
	size := laneSize(b)
	requests := lane(size)
	want := laneShare(requests, `"district":"X"`)
	for b.Loop() {
		from, to := start(b, northmoor, "E07000998"), start(b, saltby, "E07000999")
		introduce(b, from, to)
		agree(b, from, to)
		resetResident()
		cpu, at := cpuSeconds(), time.Now()
		ingest(b, from, requests)
		b.ReportMetric(float64(size)/time.Since(at).Seconds(), "ingested/s")
		copied(b, to, planningAgreement, want)
		b.ReportMetric(float64(want)/time.Since(at).Seconds(), "proved/s")
		b.ReportMetric((cpuSeconds()-cpu)*1e6/float64(want), "cpu-us/record")
		b.ReportMetric(resident(), "peak-MiB")
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
	i, cpu := 0, cpuSeconds()
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
			// Asking again at once, in the same process, takes the processor from what is
			// waited for; a client of a server pauses for its answer.
			time.Sleep(50 * time.Microsecond)
		}
		took = append(took, time.Since(at))
	}
	b.ReportMetric((cpuSeconds()-cpu)*1e6/float64(i), "cpu-us/record")
	waits(b, took)
}
