package node_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// peopleText is a replicate agreement of northmoor's, with or without the term that
// questions about a person are answered.
func peopleText(short, term string, to ...name.Council) string {
	doc := strings.NewReplacer("mode: lookup", "mode: replicate", "match: [/nino, /reference]\n", "", "northmoor.gov.uk/cases", "northmoor.gov.uk/"+short,
		"rights_contact:", term+"rights_contact:").Replace(lookupAgreement(northmoor, to[0], 1, caseFields+", /nino"))
	for _, c := range to[1:] {
		doc = strings.NewReplacer("to: [", "to: ["+string(c)+", ", "roles: {", "roles: {"+string(c)+": controller, ", "contacts: {", "contacts: {"+string(c)+": dpo@"+string(c)+", ").Replace(doc)
	}
	return doc
}

// TestPartnersAreAsked: who was given a person's records is told by the partners that have
// agreed to it, of the records that went between the two, by ids alone. One that has not
// agreed is not asked, and one that is away is named.
func TestPartnersAreAsked(t *testing.T) {
	t.Parallel()
	const hexwell = name.Council("hexwell.gov.uk")
	m := wire.NewMemory()
	a, b, c := startIn(t, m, northmoor), startIn(t, m, saltby), startIn(t, m, hexwell)
	introduce(t, a, b, c)
	offerHousing(t, a, housing("HN-1", "AB123456C", "E07000999"), housing("HN-2", "AB123457C", "E07000999"))
	agreed(t, peopleText("cases", "subject_questions: answered\n", saltby, hexwell), a, b, c)
	agreed(t, peopleText("more", "", hexwell), a, c)
	given := func() (n int) {
		for _, d := range call(t, a.Disclosures().List, node.DisclosureRequest{Person: "AB123456C"}).Disclosures {
			if d.Receipt != nil && d.Receipt.Says == "held" {
				n++
			}
		}
		return n
	}
	await(t, "northmoor has all receipts", func() bool { return given() == 3 })

	ask := node.SubjectRequest{Person: "AB 12 34 56 C", AskPartners: true}
	if err := try(t.Context(), b.Disclosures().Subject, ask, nil); err == nil || !strings.Contains(err.Error(), "say why") {
		t.Errorf("asked without a reason: %v", err)
	}
	ask.Because = "access request 2026-77"

	// Saltby holds the record and asks who sent it.
	r := call(t, b.Disclosures().Subject, ask)
	if len(r.Partners) != 1 || r.Partners[0].Says != "answered" || r.Partners[0].Records != 1 || r.Partners[0].Unsaid != 1 || len(r.Partners[0].Answers) != 1 {
		t.Fatalf("what northmoor told saltby: %+v", r.Partners)
	}
	var to []name.Council
	for _, x := range r.Partners[0].Told {
		if x.Says != "gave" || x.Agreement != "northmoor.gov.uk/cases" || x.Way != "copy" || x.At.IsZero() || len(x.Fields) != 4 || x.Record != r.Received[0].Record {
			t.Errorf("told: %+v", x)
		}
		to = append(to, x.To)
	}
	slices.Sort(to)
	if !slices.Equal(to, []name.Council{hexwell, saltby}) {
		t.Errorf("given to %s, want both receivers that agreed to say so", to)
	}

	// Northmoor asks those it gave the record to. Under the agreement without the term
	// nobody is asked.
	c.stop()
	r = call(t, a.Disclosures().Subject, ask)
	says := map[string]node.SubjectPartner{}
	for _, p := range r.Partners {
		says[string(p.Council)+" "+string(p.Agreement)] = p
	}
	if p := says["saltby.gov.uk northmoor.gov.uk/cases"]; len(r.Partners) != 3 || p.Says != "answered" || len(p.Told) != 1 || p.Told[0].Says != "holds" || p.Told[0].At.IsZero() {
		t.Errorf("saltby: %+v of %+v", p, r.Partners)
	}
	if p := says["hexwell.gov.uk northmoor.gov.uk/cases"]; p.Says != "silent" || p.Why == "" {
		t.Errorf("hexwell, which is away: %+v", p)
	}
	if p := says["hexwell.gov.uk northmoor.gov.uk/more"]; p.Says != "refused" || !strings.Contains(p.Why, "does not say that questions about a person are answered") {
		t.Errorf("hexwell, under what has no such term: %+v", p)
	}

	// Both logs hold question and answer, and neither the number.
	for _, n := range []*running{a, b} {
		list := call(t, n.Questions().List, node.LookupListRequest{Agreement: "northmoor.gov.uk/cases"})
		told := 0
		for _, q := range list {
			if q.Outcome == "told" && q.Because == ask.Because {
				told++
			}
		}
		if raw, _ := json.Marshal(list); told != 2 || strings.Contains(string(raw), "AB1234") {
			t.Errorf("%d answered questions in the log, want 2: %s", told, raw)
		}
	}
}
