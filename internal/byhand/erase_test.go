package byhand_test

import (
	"testing"
	"testing/synctest"

	"github.com/stile-exchange/stile/internal/simtest"
	"github.com/stile-exchange/stile/node"
)

// What was taken over stays when its council deletes its own, and goes when it erases it,
// whether the receiver is there or away. When the agreement ends nobody waits for a deletion.
func TestErasureReachesWhoTookOver(t *testing.T) {
	if err := simtest.Warm(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		_, a, b := world(t)
		call(a, a.Agreements().Sign, node.AgreementRequest{Document: []byte(text("handover", "moves", "P5Y"))})
		in := node.AgreementRequest{Name: "northmoor.gov.uk/moves"}
		await(t, "the text has come", func() bool {
			_, err := b.Agreements().Show(t.Context(), in)
			return err == nil
		})
		call(b, b.Agreements().Sign, in)
		await(t, "it is in force", func() bool { return call(a, a.Agreements().Show, in).InForce })
		var ids []string
		for _, ref := range []string{"26/1", "26/2", "26/3", "26/4"} {
			ids = append(ids, write(a, ref, "X"))
		}
		c := call(a, a.Handovers().Offer, node.CaseRequest{Partner: salt, Records: ids, Because: "moved", By: "Jo"})
		await(t, "the offer has come", func() bool { return state(b, c.Case, false).State != "" })
		call(b, b.Handovers().Accept, node.CaseRequest{Case: c.Case, By: "Sam"})
		holds := func(want int) {
			t.Helper()
			await(t, "saltby holds what it should", func() bool { return len(held(b)) == want && state(a, c.Case, false).State == "closed" })
		}
		holds(4)
		call(a, a.Records().Delete, node.RecordRequest{Record: "26/1", Standard: std})
		erase := func(ref string) {
			t.Helper()
			r := call(a, a.Records().Erase, node.EraseRequest{Record: ref, Standard: std, Reason: "request 7"}).Records[0]
			if len(r.Orders) != 1 || r.Orders[0].To != salt || r.Orders[0].Entry == 0 {
				t.Errorf("%s: it ordered %+v", ref, r.Orders)
			}
		}
		erase("26/2")
		holds(3)
		b.halt()
		erase("26/1") // which was deleted before
		erase("26/3")
		b.start()
		holds(1)
		call(a, a.Agreements().End, node.AgreementRequest{Name: in.Name, Reason: "enough"})
		await(t, "saltby knows of the end", func() bool { return !call(b, b.Agreements().Show, in).InForce })
		s, err := a.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range s.Partners {
			if p.Outstanding > 0 {
				t.Errorf("after the end: %+v", p)
			}
		}
		holds(1)
	})
}
