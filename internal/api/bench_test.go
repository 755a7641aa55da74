package api_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-exchange/stile/node"
)

// took reports the middle and the slow end of what calls took.
func took(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkPut is one record put and on disk, by one caller.
func BenchmarkPut(b *testing.B) {
	w := open(b, 1<<20)
	var times []time.Duration
	for i := 0; b.Loop(); i++ {
		ref := fmt.Sprint("HN", i)
		began := time.Now()
		w.want(w.do("PUT", at(ref), referral(ref, "E07000998")), 201)
		times = append(times, time.Since(began))
	}
	took(b, times)
}

// BenchmarkGet is one record read by its key, by one caller.
func BenchmarkGet(b *testing.B) {
	w := open(b, 1<<20)
	for i := range 1000 {
		ref := fmt.Sprint("HN", i)
		w.want(w.do("PUT", at(ref), referral(ref, "E07000998")), 201)
	}
	var times []time.Duration
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		w.want(w.do("GET", at(fmt.Sprint("HN", i%1000)), ""), 200)
		times = append(times, time.Since(began))
	}
	took(b, times)
}

const bulk = 20_000

// BenchmarkImport is an import over HTTP, beside the same rows handed to the node.
func BenchmarkImport(b *testing.B) {
	row := func(i int) string { return referral(fmt.Sprint("HN", i), "E07000998") }
	b.Run("api", func(b *testing.B) {
		var rows strings.Builder
		for i := range bulk {
			rows.WriteString(row(i) + "\n")
		}
		for b.Loop() {
			b.StopTimer()
			w := open(b, 1<<20)
			b.StartTimer()
			w.want(w.do("POST", "/v1/imports?standard="+need, rows.String(), "Content-Type", "application/x-ndjson"), 200)
		}
		b.ReportMetric(float64(b.N)*bulk/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("node", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			w := open(b, 1<<20)
			b.StartTimer()
			i, err := w.n.Import(b.Context(), node.ImportRequest{Standard: need + "@1.0.0", Hold: true})
			if err != nil {
				b.Fatal(err)
			}
			const batch = 1000
			go func() {
				for n := 0; n < bulk; n += batch {
					rows := make([]node.ImportRow, batch)
					for k := range rows {
						rows[k] = node.ImportRow{Row: n + k + 1, Record: []byte(row(n + k))}
					}
					i.Send(rows)
				}
			}()
			for range bulk / batch {
				if _, err := i.Receive(); err != nil {
					b.Fatal(err)
				}
			}
			i.Close()
		}
		b.ReportMetric(float64(b.N)*bulk/b.Elapsed().Seconds(), "records/s")
	})
}

// BenchmarkStreams is one record put until 1,000 that follow the feed have been told.
func BenchmarkStreams(b *testing.B) {
	const streams = 1000
	w := open(b, 1<<20)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	told := make(chan struct{}, streams)
	var on sync.WaitGroup
	for range streams {
		on.Add(1)
		go func() {
			r, _ := http.NewRequestWithContext(ctx, "GET", w.srv.URL+"/v1/changes?after=now&types=record.put", nil)
			r.Header.Set("Authorization", "Bearer "+w.key)
			r.Header.Set("Accept", "text/event-stream")
			resp, err := w.srv.Client().Do(r)
			on.Done()
			if err != nil {
				return
			}
			defer resp.Body.Close()
			for s := bufio.NewScanner(resp.Body); s.Scan(); {
				if strings.HasPrefix(s.Text(), "data: ") {
					told <- struct{}{}
				}
			}
		}()
	}
	on.Wait()
	var times []time.Duration
	for i := 0; b.Loop(); i++ {
		ref := fmt.Sprint("HN", i)
		began := time.Now()
		w.want(w.do("PUT", at(ref), referral(ref, "E07000998")), 201)
		for range streams {
			<-told
		}
		times = append(times, time.Since(began))
	}
	took(b, times)
}
