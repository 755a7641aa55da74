package node_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/node"
)

// TestTermInFootprint: a footprint that receives deletes at the end of the term, by what a majority of its members' nodes say,
// also when the council that sent the records is gone; what has no such date stays.
func TestTermInFootprint(t *testing.T) {
	t.Parallel()
	a, b, c := formFens(t)
	const agreed = "northmoor.gov.uk/plans"
	text := intoFens("plans", 1, fens, "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate")
	text = strings.Replace(text, "retention: P2Y", "retention: P30D\nretention_from: /decisionDate", 1)
	over := strings.Replace(fmt.Sprintf(planDraft, "N/1", "one", "A"), `"received"`, `"decided","decision":"granted","decisionDate":"2026-03-01"`, 1)
	offerPlans(t, a, over, fmt.Sprintf(planDraft, "N/2", "two", "A"))
	call(t, a.Agreements().Sign, node.AgreementRequest{Document: []byte(text)})
	for _, n := range []*running{b, c} {
		await(t, "it can be signed", func() bool {
			return try(t.Context(), n.Agreements().Sign, node.AgreementRequest{Name: agreed}, nil) == nil
		})
	}
	holds := func(n *running, want int) func() bool {
		return func() bool { return len(fensRecords(t, n, 0, false)) == want }
	}
	await(t, "hexwell has both", holds(c, 2))
	await(t, "saltby has both", holds(b, 2))
	look := func(n *running) func() bool {
		return func() bool {
			if err := n.LookAtTerms(t.Context()); err != nil {
				t.Fatal(err)
			}
			return holds(c, 1)()
		}
	}
	a.stop() // its sender is gone
	for range 3 {
		if look(b)() {
			t.Fatal("one member alone had it deleted")
		}
	}
	await(t, "the second member says so, too", look(c))
	await(t, "it is gone at both", holds(b, 1))
	if got := fensRecords(t, b, 0, true); got["N/2"] == nil {
		t.Errorf("left is %v", got)
	}
}
