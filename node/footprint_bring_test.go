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
	a, b, c := formFens(t)
	for _, r := range lane(1300) {
		for _, x := range call[node.OfferReply](t, a, node.OpOffer, r).Results {
			if len(x.Problems) > 0 {
				t.Fatalf("row %d: %+v", x.Row, x.Problems)
			}
		}
	}
	text := strings.Replace(intoFens("plans", 1, fens, "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate"),
		`record.district == "A"`, `record.district != "A"`, 1)
	want := call[node.PreviewReply](t, a, node.OpAgreementPreview, node.AgreementRequest{Document: []byte(text)}).Matched
	if want < 1000 {
		t.Fatalf("%d records are to go: too few for several parts", want)
	}
	call[node.AgreementReply](t, a, node.OpAgreementSign, node.AgreementRequest{Document: []byte(text)})
	await(t, "the text has arrived", func() bool {
		return b.Call(t.Context(), node.OpAgreementShow, node.AgreementRequest{Name: "northmoor.gov.uk/plans"}, nil) == nil
	})
	call[node.AgreementReply](t, b, node.OpAgreementSign, node.AgreementRequest{Name: "northmoor.gov.uk/plans"})
	var p node.PartnerReply
	moved, last := 0, -1
	await(t, "all are there", func() bool {
		for _, p = range call[node.StatusReply](t, a, node.OpStatus, node.Empty{}).Partners {
			if p.Council != name.Council(fens) {
				continue
			}
			if p.Held > last && moved < 2 { // something more came in
				last = p.Held
				for _, n := range []*running{a, b, c} { // whichever leads
					if n.Call(t.Context(), node.OpFootprintTransfer, node.FootprintRequest{Name: fens}, nil) == nil {
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
