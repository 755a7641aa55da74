package node_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// TestCasesAtTheEnd: who seals is told before of handovers that are under way, of cases that were
// taken over and are nobody's afterwards, and where the directory says something else than the
// plan. A partner that took a case over is not waited for to delete it.
func TestCasesAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := theEnd(t)
		theirs := offer(t, e.partner, "planning-application", planning(7, "X")).Results[0].Record
		moves := strings.Replace(e.text("moves"), "mode: replicate", "mode: handover", 1)
		back := strings.NewReplacer(string(northmoor), string(saltby), string(saltby), string(northmoor)).Replace(moves)
		agreed(t, moves, e.old, e.partner)
		agreed(t, back, e.partner, e.old)
		offered := func(from, to *running, c name.Council, id name.Record) string {
			t.Helper()
			r := call(t, from.Handovers().Offer, node.CaseRequest{Partner: c, Records: []string{string(id)}, Because: "moved", By: "Jo"})
			await(t, "the offer has come", func() bool {
				return try(t.Context(), to.Handovers().Show, node.CaseRequest{Case: r.Case}, new(node.CaseReply)) == nil
			})
			return r.Case
		}
		passed := func(from, to *running, c name.Council, id name.Record) {
			t.Helper()
			in := node.CaseRequest{Case: offered(from, to, c, id), By: "Sam"}
			call(t, to.Handovers().Accept, in)
			await(t, "it is closed", func() bool { return call(t, from.Handovers().Show, in).State == "closed" })
		}
		passed(e.old, e.partner, saltby, e.ids[0])
		passed(e.partner, e.old, northmoor, theirs)
		open := offered(e.old, e.partner, saltby, e.ids[2])

		warned := func(plan string, want ...string) {
			t.Helper()
			got := call(t, e.old.Successions().Preview, node.SuccessionRequest{Plan: []byte(plan)}).Warnings
			if len(got) != len(want) {
				t.Errorf("%d warnings, want %d: %q", len(got), len(want), got)
				return
			}
			for i, w := range want {
				if !strings.Contains(got[i], w) {
					t.Errorf("warning %d is %q, want %q", i, got[i], w)
				}
			}
		}
		unanswered := "the handover " + open[:8] + " is offered to saltby.gov.uk and not answered"
		const alone = "1 of the records that we took over from saltby.gov.uk under saltby.gov.uk/moves are not among our own records"
		warned(sharedOut, unanswered, alone)
		warned(strings.Replace(sharedOut, "2000-01-02", "2000-01-03", 1), unanswered, alone, "ends on 2000-01-02, and the plan says 2000-01-03")
		warned(strings.ReplaceAll(sharedOut, "west.gov.uk", "saltby.gov.uk"), unanswered, alone, "the directory does not name saltby.gov.uk as a successor of northmoor.gov.uk")
		call(t, e.old.Handovers().Withdraw, node.CaseRequest{Case: open, Because: "the council ends"})
		offer(t, e.old, "planning-application", planning(7, "X"))
		warned(sharedOut)

		e.seal()
		await(t, "nobody is waited for", func() bool { return len(get(t, e.old.Successions().Show).Unreceived) == 0 })
		if n := get(t, e.partner.Status).Holdings; n != 1 {
			t.Errorf("the partner holds %d of what it took over, want 1", n)
		}
	})
}
