package node_test

import (
	"strings"
	"testing"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// TestFlowOfManyParts: more records than one part holds go into a footprint,
// several parts under way at one time, while the lead goes from hand to hand. Each
// is there once, and none is refused.
func TestFlowOfManyParts(t *testing.T) {
	t.Parallel()
	a, b, c := formFens(t)
	for _, r := range lane(1300) {
		for _, x := range call(t, a.Records().Put, r).Results {
			if len(x.Problems) > 0 {
				t.Fatalf("row %d: %+v", x.Row, x.Problems)
			}
		}
	}
	text := strings.Replace(intoFens("plans", 1, fens, "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate"),
		`record.district == "A"`, `record.district != "A"`, 1)
	want := call(t, a.Agreements().Preview, node.AgreementRequest{Document: []byte(text)}).Matched
	if want < 1000 {
		t.Fatalf("%d records are to go: too few for several parts", want)
	}
	call(t, a.Agreements().Sign, node.AgreementRequest{Document: []byte(text)})
	await(t, "the text has arrived", func() bool {
		return try(t.Context(), b.Agreements().Show, node.AgreementRequest{Name: "northmoor.gov.uk/plans"}, nil) == nil
	})
	call(t, b.Agreements().Sign, node.AgreementRequest{Name: "northmoor.gov.uk/plans"})
	var p node.PartnerReply
	moved, last := 0, -1
	await(t, "all are there", func() bool {
		for _, p = range get(t, a.Status).Partners {
			if p.Council != name.Council(fens) {
				continue
			}
			if p.Held > last && moved < 2 { // something more came in
				last = p.Held
				for _, n := range []*running{a, b, c} { // whichever leads
					if try(t.Context(), n.Footprints().Transfer, node.FootprintRequest{Name: fens}, nil) == nil {
						moved++
						break
					}
				}
			}
			return p.InStep && p.Held == want
		}
		return false
	})
	if p.Refused != 0 || moved == 0 {
		t.Errorf("%d refused; the lead moved %d times", p.Refused, moved)
	}
	if st := fensStatus(t, b); st.Status.Evidence != 0 {
		t.Errorf("%d pieces of evidence", st.Status.Evidence)
	}
}
