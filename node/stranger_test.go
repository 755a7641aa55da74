package node_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// TestStrangersProposals: what an honest council proposes that has signed nothing with us yet arrives,
// also when all of it together is beyond a frame that we read of a stranger, and when one document is
// as long as a document may be.
func TestStrangersProposals(t *testing.T) {
	t.Parallel()
	m := wire.NewMemory()
	a, b := startIn(t, m, northmoor), startIn(t, m, flooder)
	propose := func(i, long int) {
		t.Helper()
		doc := draft(flooder, i)
		for _, f := range []string{"purpose: ", "necessity: ", "data_items: ", "dpia: ", "accuracy: ", "disposal: ", "security: ", "exit: "} {
			doc = []byte(strings.Replace(string(doc), "\n"+f, "\n"+f+strings.Repeat("as was said ", long/12/8), 1))
		}
		call(t, b.Agreements().Sign, node.AgreementRequest{Document: doc})
	}
	const many = 14 // of more than 10 kB each
	document := func(n *running) node.MemberRequest {
		return node.MemberRequest{Document: []byte(call(t, n.Councils().Show, node.MemberNameRequest{}).Document)}
	}
	call(t, b.Councils().Add, document(a))
	for i := range many {
		propose(i, 8*1600)
	}
	propose(many, 8*(agreement.MaxText-400))
	call(t, a.Councils().Add, document(b))
	await(t, "all proposals arrive", func() bool { return len(get(t, a.Agreements().List)) == many+1 })
	if used := a.Quota().Used(flooder, quota.Pages); used < 2 {
		t.Errorf("they came on %d pages, which proves nothing", used)
	}
	for _, s := range get(t, a.Status).Shares {
		t.Errorf("refused to an honest council: %s", fmt.Sprint(s))
	}
}

// draft is the text of an agreement of the hostile member with northmoor.
func draft(by name.Council, i int) []byte {
	return []byte(strings.NewReplacer(
		"agreement: northmoor.gov.uk/planning-for-saltby", fmt.Sprintf("agreement: %s/flood-%d", by, i),
		"from: northmoor.gov.uk", "from: "+string(by), "[saltby.gov.uk]", "[northmoor.gov.uk]",
		"  northmoor.gov.uk: controller\n  saltby.gov.uk", "  northmoor.gov.uk: controller\n  "+string(by),
		"  northmoor.gov.uk: dpo@northmoor.gov.uk\n  saltby.gov.uk", "  northmoor.gov.uk: dpo@northmoor.gov.uk\n  "+string(by)).Replace(planningAgreement))
}
