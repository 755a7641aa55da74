package web_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node"
)

// How long pages take over many records: STILE_ROWS says how many, 20,000 where it is not
// set. Each request writes to the log who reads, before anything is shown.
func BenchmarkRecords(b *testing.B) {
	rows := 20000
	if n, err := strconv.Atoi(os.Getenv("STILE_ROWS")); err == nil {
		rows = n
	}
	h := open(b, false, nil)
	for from := 0; from < rows; from += 1000 {
		put := node.PutRequest{Standard: "brownfield-site"}
		for i := from; i < from+1000; i++ {
			put.Records = append(put.Records, node.Offered{Row: i + 1, Record: site(i)})
		}
		r, err := h.node.Records().Put(b.Context(), put)
		if err != nil {
			b.Fatal(err)
		}
		if ps := r.Results[0].Problems; len(ps) > 0 {
			b.Fatalf("%+v", ps)
		}
	}
	v := h.enter("Jo Smith", access.Roles()...)
	v.because()
	const std = "/records?standard=standards.stile.example/brownfield-site"
	_, page := v.get(std)
	next := cut(b, page, `href="/records?cursor=`, "&")
	one := "/records/northmoor.gov.uk/" + cut(b, page, `href="/records/northmoor.gov.uk/`, `"`)
	for _, at := range []struct{ name, path string }{{"first", std}, {"next", std + "&cursor=" + next}, {"one", one}, {"reference", std + fmt.Sprintf("&reference=BF-%07d", rows-1)}, {"home", "/home"}} {
		b.Run(at.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				if status, _ := v.get(at.path); status != http.StatusOK {
					b.Fatal(status)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
			b.ReportMetric(float64(rows), "rows")
		})
	}
}

// site is a record of a brownfield site.
func site(i int) []byte {
	return fmt.Appendf(nil, `{"organisation":"http://opendatacommunities.org/id/district-council/northmoor","reference":"BF-%07d","siteNameAddress":"Site %d, Station Road, Northmoor","sitePlanURL":"https://northmoor.gov.uk/brownfield/%d","longitude":-1.747586,"latitude":52.782055,"hectares":0.9,"ownershipStatus":"owned by a public authority","deliverable":"yes","planningStatus":"pending decision","planningHistory":["https://northmoor.gov.uk/planning/25-0141"],"netDwellingsRangeFrom":20,"netDwellingsRangeTo":24,"notes":"Access from Station Road only.","firstAddedDate":"2017-12-31","lastUpdatedDate":"2026-01-15","endDate":"2026-03-31"}`, i, i, i)
}
