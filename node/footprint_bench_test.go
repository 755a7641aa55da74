package node_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// BenchmarkFootprintFlow: how fast do the records of an agreement come from a
// council's ledger into a footprint of three, until what became of each is in the
// council's own log? The contributor is the leader, then another member.
func BenchmarkFootprintFlow(b *testing.B) {
	size := min(laneSize(b), 20_000)
	requests := lane(size)
	for _, who := range []string{"leader", "member"} {
		b.Run(who, func(b *testing.B) {
			for b.Loop() {
				x, y, z := formFens(b)
				from, other := x, y
				if lead := fensStatus(b, x).Status.Leader == northmoor; lead != (who == "leader") {
					if lead {
						call(b, x.Footprints().Transfer, node.FootprintRequest{Name: fens, Council: string(saltby)})
					} else {
						for _, n := range []*running{y, z} {
							err := try(b.Context(), n.Footprints().Transfer, node.FootprintRequest{Name: fens, Council: string(northmoor)}, nil)
							if err != nil {
								b.Log(err)
							}
						}
					}
					await(b, "the lead is where it is wanted", func() bool {
						l := fensStatus(b, x).Status.Leader
						return l != "" && (l == northmoor) == (who == "leader")
					})
				}
				ingest(b, from, requests)
				text := strings.Replace(intoFens("plans", 1, fens, "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate"),
					`record.district == "A"`, `record.district != "A"`, 1)
				call(b, from.Agreements().Sign, node.AgreementRequest{Document: []byte(text)})
				await(b, "the text has arrived", func() bool {
					return try(b.Context(), other.Agreements().Show, node.AgreementRequest{Name: "northmoor.gov.uk/plans"}, nil) == nil
				})
				want := call(b, from.Agreements().Preview, node.AgreementRequest{Document: []byte(text)}).Matched
				cpu, at := cpuSeconds(), time.Now()
				call(b, other.Agreements().Sign, node.AgreementRequest{Name: "northmoor.gov.uk/plans"})
				held := 0
				awaitEvery(b, 50*time.Millisecond, "everything is there", func() bool {
					for _, p := range get(b, from.Status).Partners {
						if p.Council == name.Council(fens) {
							held = p.Held
							return p.InStep && p.Held == want
						}
					}
					return false
				})
				b.ReportMetric(float64(held)/time.Since(at).Seconds(), "records/s")
				b.ReportMetric((cpuSeconds()-cpu)*1e6/float64(held), "cpu-us/record")
				x.stop()
				y.stop()
				z.stop()
			}
		})
	}
}
