package byhand_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stile-exchange/stile/internal/simtest"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// TestOneTaker: what is offered to one council is not offered to another before the first has
// said no or the offer is withdrawn. Were both to accept, two would be responsible for one case.
// What was taken over in a handover that is closed is offered to nobody by saying the same again;
// as a new case, with a reference of its own, it is, and loses nothing if nothing comes of that.
func TestOneTaker(t *testing.T) {
	if err := simtest.Warm(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		const fens = name.Council("fensby.gov.uk")
		_, all := worldOf(t, north, salt, fens)
		a, b, c := all[0], all[1], all[2]
		for to, nm := range map[*town]string{b: "moves", c: "moves-east"} {
			doc := strings.ReplaceAll(text("handover", nm, "P5Y"), "saltby.gov.uk", string(to.name))
			call(a, a.Agreements().Sign, node.AgreementRequest{Document: []byte(doc)})
			in := node.AgreementRequest{Name: "northmoor.gov.uk/" + nm}
			await(t, "the text has come", func() bool {
				_, err := to.Agreements().Show(t.Context(), in)
				return err == nil
			})
			call(to, to.Agreements().Sign, in)
			await(t, "it is in force", func() bool { return call(a, a.Agreements().Show, in).InForce })
		}
		one, two := write(a, "26/1", "X"), write(a, "26/2", "X")
		offer := func(to name.Council, records ...string) (node.CaseReply, error) {
			return a.Handovers().Offer(t.Context(), node.CaseRequest{Partner: to, Records: records, Because: "moved", By: "Jo"})
		}
		refused := func(when, want string, to name.Council, records ...string) {
			t.Helper()
			_, err := offer(to, records...)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", when, err, want)
			}
		}
		first, err := offer(salt, one)
		if err != nil {
			t.Fatal(err)
		}
		refused("while saltby has not answered", "two councils would be responsible", fens, two, one)
		call(a, a.Handovers().Withdraw, node.CaseRequest{Case: first.Case, Because: "the wrong council"})
		second, err := offer(fens, two, one)
		if err != nil {
			t.Fatalf("after the offer was withdrawn: %v", err)
		}
		await(t, "the offer has come", func() bool { return state(c, second.Case, false).State != "" })
		// Accepted, and kept from travelling by a suspension.
		call(a, a.Agreements().Suspend, node.AgreementRequest{Name: "northmoor.gov.uk/moves-east", Reason: "we look into it"})
		call(c, c.Handovers().Accept, node.CaseRequest{Case: second.Case, By: "Sam", Only: []string{one}})
		await(t, "it is accepted", func() bool { return state(a, second.Case, false).State == "accepted" })
		refused("while what was accepted is on its way", "which fensby.gov.uk has accepted", salt, one)

		call(a, a.Agreements().Resume, node.AgreementRequest{Name: "northmoor.gov.uk/moves-east", Reason: "it is well"})
		await(t, "it is closed", func() bool {
			return state(a, second.Case, false).State == "closed" && state(c, second.Case, false).State == "closed"
		})
		refused("the same again", "is closed, and is responsible for it", fens, one)
		refused("the same to another", "fensby.gov.uk has taken record", salt, one)
		anew := func(to name.Council, ref string) (node.CaseReply, error) {
			return a.Handovers().Offer(t.Context(), node.CaseRequest{Partner: to, Records: []string{one}, Because: "moved again", By: "Jo", Ref: ref})
		}
		third, err := anew(salt, "CP-8")
		if err != nil {
			t.Fatalf("a new case: %v", err)
		}
		call(a, a.Handovers().Withdraw, node.CaseRequest{Case: third.Case, Because: "they stay"})
		for _, says := range []string{"declined", "closed"} {
			fourth, err := anew(fens, "CP-9")
			if err != nil {
				t.Fatalf("a new case to who has it: %v", err)
			}
			await(t, "the offer has come", func() bool { return state(c, fourth.Case, false).State != "" })
			if in := (node.CaseRequest{Case: fourth.Case, By: "Sam", Because: "it is ours"}); says == "closed" {
				call(c, c.Handovers().Accept, in)
			} else {
				call(c, c.Handovers().Decline, in)
			}
			await(t, "it is "+says, func() bool {
				return state(a, fourth.Case, false).State == says && state(c, fourth.Case, false).State == says
			})
			if got := held(c); len(got) != 1 {
				t.Errorf("after it was %s fensby holds %v", says, got)
			}
		}
		if _, err := anew(salt, "cp-9"); err == nil || !strings.Contains(err.Error(), `with the reference "CP-9", which is closed`) {
			t.Errorf("the last case again, to another: %v", err)
		}
	})
}
