package byhand_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stile-exchange/stile/internal/simtest"
	"github.com/stile-exchange/stile/node"
)

// What was taken over stays when its council deletes its own, and goes when it erases it,
// whether the receiver is there or away, and whether the agreement is in force or over. When it
// ends nobody waits for a deletion.
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
		outstanding := func() (waits, erasures int) {
			t.Helper()
			s, err := a.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range s.Partners {
				waits, erasures = waits+p.Outstanding, erasures+p.Erasures
			}
			return waits, erasures
		}
		erase("26/2")
		holds(3)
		await(t, "saltby has receipted it", func() bool { waits, _ := outstanding(); return waits == 0 })
		b.halt()
		erase("26/1") // which was deleted before
		erase("26/3")
		// Given while the agreement is in force, and not read when it ends; and after the end.
		call(a, a.Agreements().End, node.AgreementRequest{Name: in.Name, Reason: "enough"})
		if waits, _ := outstanding(); waits != 2 {
			t.Errorf("%d orders are outstanding at the end, want 2", waits)
		}
		erase("26/4")
		if r := call(a, a.Records().Erase, node.EraseRequest{Record: "26/4", Standard: std, Reason: "again"}).Records[0]; len(r.Orders) > 0 {
			t.Errorf("erased again, it ordered %+v", r.Orders)
		}
		if waits, erasures := outstanding(); waits != 3 || erasures != 3 {
			t.Errorf("%d orders are outstanding, %d of them to erase, want 3", waits, erasures)
		}
		a.halt()
		a.start()
		b.start()
		holds(0)
		await(t, "saltby has receipted them", func() bool { waits, _ := outstanding(); return waits == 0 })
		for _, d := range call(a, a.Disclosures().List, node.DisclosureRequest{}).Disclosures {
			if d.Withdrawal == nil || d.Withdrawal.Deleted == nil {
				t.Errorf("of %s the list says %+v", d.Record, d.Withdrawal)
			}
		}
	})
}

// A new text that the receiver never signed is no reason to wait for it: what went was taken
// over by the one before, and so was the order to erase it, when both have ended.
func TestErasedWithATextThatNobodyTook(t *testing.T) {
	if err := simtest.Warm(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		_, a, b := world(t)
		first := text("handover", "moves", "P5Y")
		call(a, a.Agreements().Sign, node.AgreementRequest{Document: []byte(first)})
		in := node.AgreementRequest{Name: "northmoor.gov.uk/moves", Version: 1}
		await(t, "the text has come", func() bool {
			_, err := b.Agreements().Show(t.Context(), in)
			return err == nil
		})
		call(b, b.Agreements().Sign, in)
		await(t, "it is in force", func() bool { return call(a, a.Agreements().Show, in).InForce })
		c := call(a, a.Handovers().Offer, node.CaseRequest{Partner: salt, Records: []string{write(a, "26/1", "X")}, Because: "moved", By: "Jo"})
		await(t, "the offer has come", func() bool { return state(b, c.Case, false).State != "" })
		call(b, b.Handovers().Accept, node.CaseRequest{Case: c.Case, By: "Sam"})
		await(t, "saltby holds it", func() bool { return len(held(b)) == 1 && state(a, c.Case, false).State == "closed" })

		call(a, a.Agreements().Sign, node.AgreementRequest{Document: []byte(strings.Replace(first, "version: 1", "version: 2", 1))})
		call(a, a.Records().Erase, node.EraseRequest{Record: "26/1", Standard: std, Reason: "request 7"})
		waits := func() bool {
			s, err := a.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return slices.ContainsFunc(s.Partners, func(p node.PartnerReply) bool { return p.Outstanding > 0 })
		}
		await(t, "saltby has erased it and said so", func() bool { return len(held(b)) == 0 && !waits() })
		for version := range 2 {
			in.Version, in.Reason = version+1, "enough"
			call(a, a.Agreements().End, in)
		}
		if waits() {
			t.Error("an order is outstanding by a text that never was in force")
		}
	})
}
