package node_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node"
)

// signedBy has nodes sign a text that the first of them proposes.
func signedBy(t testing.TB, doc string, who ...*running) string {
	t.Helper()
	nm := strings.TrimPrefix(strings.SplitN(doc, "\n", 2)[0], "agreement: ")
	for i, n := range who {
		in := node.AgreementRequest{Document: []byte(doc)}
		if i > 0 {
			in = node.AgreementRequest{Name: nm}
			await(t, "the text has arrived", func() bool { return try(t.Context(), n.Agreements().Show, in, nil) == nil })
		}
		call(t, n.Agreements().Sign, in)
	}
	return nm
}

func inForce(t testing.TB, nm string, who ...*running) {
	t.Helper()
	for _, n := range who {
		await(t, "it is in force", func() bool {
			var r node.AgreementReply
			return try(t.Context(), n.Agreements().Show, node.AgreementRequest{Name: nm}, &r) == nil && r.InForce
		})
	}
}

const openPlanFields = "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate"

// asking makes of a text of mode replicate one by which records are asked for.
func asking(text string) string {
	return strings.Replace(text, "mode: replicate\n", "mode: lookup\nmatch: [/reference, /district]\n", 1)
}

// TestFootprintLookup: a footprint asks, through any member that signed, and is
// asked, and tells only of members that signed.
func TestFootprintLookup(t *testing.T) {
	t.Parallel()
	a, b, c := formFens(t)
	d := start(t, ironmoor, "E07000996")
	introduce(t, a, b, c, d)
	entry := call(t, b.Footprints().Entry, node.FootprintRequest{Name: fens})
	call(t, d.Councils().Add, node.MemberRequest{Document: []byte(entry.Document)})

	// The footprint asks Ironmoor, which is no member.
	offerPlans(t, d, fmt.Sprintf(planDraft, "I/1", "one", "A"))
	in := strings.ReplaceAll(asking(intoFens("asked", 1, fens, openPlanFields)), "northmoor.gov.uk", "ironmoor.gov.uk")
	asked := signedBy(t, in, d, a, b)
	inForce(t, asked, a, b, c, d)
	ask := func(nm, ref string) node.LookupRequest {
		return node.LookupRequest{Agreement: nm, Field: "/reference", Value: ref, Because: "case 1"}
	}
	for _, n := range []*running{a, b} {
		if got := call(t, n.Questions().Ask, ask(asked, "I/1")); len(got.Records) != 1 || !got.Receipt {
			t.Errorf("answer: %+v", got)
		}
	}
	refusedAs(t, node.Refused, c.Questions().Ask, ask(asked, "I/1")) // has not signed
	p, err := a.Pose(t.Context(), ask(asked, "I/1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, code := d.AnswerQuestion(t.Context(), hexwell, p); code != "question" {
		t.Errorf("another member with northmoor's question: %q", code)
	}
	var partners []string
	for _, q := range call(t, d.Questions().List, node.LookupListRequest{}) {
		partners = append(partners, fmt.Sprint(q.Partner, " for ", q.For, q.Receipt))
	}
	if want := []string{"northmoor.gov.uk for fens.exampletrue", "saltby.gov.uk for fens.exampletrue"}; !slices.Equal(partners, want) {
		t.Errorf("logged: %q", partners)
	}
	st := get(t, d.Status)
	if len(st.Partners) != 1 || st.Partners[0].Asked != 2 || !st.Partners[0].InStep {
		t.Errorf("status: %+v", st.Partners)
	}
	why := call(t, d.Why, node.WhyRequest{Partner: fens, Record: "I/1"})
	if why.Has || !strings.Contains(why.Answer, "was told of this record 2 times") {
		t.Errorf("why: %s", why.Answer)
	}
	for n, want := range map[*running]int{a: 1, c: 0} { // hexwell has not signed
		if st := get(t, n.Status); len(st.Partners) != want {
			t.Errorf("status of a member: %+v", st.Partners)
		}
	}
	// Nothing of it goes into the footprint.
	if got := fensRecords(t, a, 0, true); len(got) != 0 {
		t.Errorf("in the footprint: %v", got)
	}

	// Ironmoor asks the footprint.
	put := func(n *running, records ...string) (ids []string) {
		t.Helper()
		for _, r := range offerPlans(t, n, records...) {
			ids = append(ids, string(r.Record))
		}
		call(t, n.Footprints().Put, node.FootprintPutRequest{Name: fens, Records: ids})
		return ids
	}
	north := put(a, fmt.Sprintf(planDraft, "N/1", "one", "A"), fmt.Sprintf(planDraft, "N/2", "two", "B"))
	put(b, fmt.Sprintf(planDraft, "S/1", "one", "A"))
	out := strings.ReplaceAll(asking(intoFens("out", 1, "ironmoor.gov.uk", openPlanFields)), "northmoor.gov.uk", fens)
	from := signedBy(t, out, a, d, c)
	inForce(t, from, a, b, c, d)
	found := func(ref string) {
		t.Helper()
		got := call(t, d.Questions().Ask, ask(from, ref))
		if len(got.Records) != 1 || got.Records[0].Proof != "signature" || !strings.Contains(string(got.Records[0].Body), ref) || !got.Receipt {
			t.Errorf("%s: %+v", ref, got)
		}
	}
	found("N/1")
	nothing := func(ref string) {
		t.Helper()
		refusedAs(t, node.NotFound, d.Questions().Ask, ask(from, ref))
	}
	nothing("N/2") // another district
	nothing("S/1") // saltby has not signed
	signedBy(t, out, a, b)
	await(t, "saltby's signature is known", func() bool {
		var r node.LookupReply
		return try(t.Context(), d.Questions().Ask, ask(from, "S/1"), &r) == nil
	})
	asks := 0
	for _, n := range []*running{a, b, c} {
		for _, p := range get(t, n.Status).Partners {
			if p.Council == ironmoor && p.Direction == "to" && p.Mode == "lookup" && p.InStep {
				asks += p.Asked
			}
		}
	}
	if asks < 4 {
		t.Errorf("the members count %d questions", asks)
	}
	// What changes is found as it is, and what is withdrawn is not.
	put(a, fmt.Sprintf(planDraft, "N/3", "three", "A"))
	await(t, "what came last is found", func() bool {
		var r node.LookupReply
		return try(t.Context(), d.Questions().Ask, ask(from, "N/3"), &r) == nil
	})
	call(t, a.Footprints().Withdraw, node.FootprintPutRequest{Name: fens, Records: north[:1]})
	await(t, "what was withdrawn is not found", func() bool {
		err := try(t.Context(), d.Questions().Ask, ask(from, "N/1"), nil)
		return err != nil && strings.Contains(err.Error(), "knows of no record")
	})
	footprintCounts(t, a, b, c, d)
	// A member that lies is not believed.
	p, err = d.Pose(t.Context(), ask(from, "N/3"))
	if err != nil {
		t.Fatal(err)
	}
	honest, code := a.AnswerQuestion(t.Context(), ironmoor, p)
	if code != "" || d.JudgeAnswerBy(northmoor, p, honest) != nil {
		t.Fatal("an honest answer is refused", code, d.JudgeAnswerBy(northmoor, p, honest))
	}
	other, err := d.Pose(t.Context(), ask(from, "S/1"))
	if err != nil {
		t.Fatal(err)
	}
	theirs, _ := a.AnswerQuestion(t.Context(), ironmoor, other)
	for what, x := range map[string]*wirepb.Answer{
		"as a council's own":     edit(honest, func(x *wirepb.Answer) { x.Footprint = false }),
		"to another question":    theirs,
		"another record":         edit(honest, func(x *wirepb.Answer) { x.Entries = theirs.Entries }),
		"a forged record":        edit(honest, func(x *wirepb.Answer) { x.Entries[0].Token = resigned(x.Entries[0].Token) }),
		"a forged answer":        edit(honest, func(x *wirepb.Answer) { x.Event = resigned(x.Event) }),
		"no proof":               edit(honest, func(x *wirepb.Answer) { x.Inclusion = nil }),
		"a checkpoint of nobody": edit(honest, func(x *wirepb.Answer) { x.Checkpoint = x.Checkpoint[:bytes.Index(x.Checkpoint, []byte("\n\n"))+2] }),
	} {
		if d.JudgeAnswerBy(northmoor, p, x) == nil {
			t.Errorf("%s is believed", what)
		}
	}
	if d.JudgeAnswerBy(saltby, p, honest) == nil || d.JudgeAnswerBy(fens, p, honest) == nil {
		t.Error("northmoor's answer is believed of another")
	}
	copiesIntoQuestions(t, a, b, c)
	// A member that is down does not matter.
	a.stop()
	found("S/1")
	if st := get(t, d.Status); st.Holdings != 0 {
		t.Errorf("%d records are kept", st.Holdings)
	}
}

// footprintCounts: one member counts in a week, and what is counted are records of
// members that signed.
func footprintCounts(t testing.TB, a, b, c, d *running) {
	var plans []string
	for i := range 23 {
		plans = append(plans, fmt.Sprintf(planDraft, fmt.Sprint("C/", i), "one", "C"))
	}
	var unsigned []string // of a member that has not
	for i := range 15 {
		unsigned = append(unsigned, fmt.Sprintf(planDraft, fmt.Sprint("D/", i), "one", "C"))
	}
	for n, list := range map[*running][]string{a: plans, b: unsigned} {
		var ids []string
		for _, r := range offerPlans(t, n, list...) {
			ids = append(ids, string(r.Record))
		}
		call(t, n.Footprints().Put, node.FootprintPutRequest{Name: fens, Records: ids})
	}
	text := strings.Replace(intoFens("counts", 1, "ironmoor.gov.uk", "/district"), "mode: replicate", "mode: aggregate", 1)
	text = strings.Replace(text, `"A"`, `"C"`, 1)
	nm := signedBy(t, strings.ReplaceAll(text, "northmoor.gov.uk", fens), a, d, c)
	inForce(t, nm, a, b, c, d)
	req := node.AggregateRequest{Agreement: nm, By: []string{"/district"}, Because: "local plan"}
	got := call(t, d.Questions().Count, req)
	if len(got.Groups) != 1 || got.Groups[0].Count < 20 || got.Groups[0].Count > 25 || !got.Receipt || got.By == saltby {
		t.Errorf("counted: %+v", got)
	}
	again := call(t, d.Questions().Count, req)
	if again.By != got.By || again.Counts != got.Counts {
		t.Errorf("counted again by %s", again.By)
	}
}

// copiesIntoQuestions: what a footprint held leaves it when the next version of the
// agreement is one to ask under.
func copiesIntoQuestions(t testing.TB, a, b, c *running) {
	offerPlans(t, a, fmt.Sprintf(planDraft, "F/1", "one", "F"))
	text := strings.Replace(intoFens("plans", 1, fens, openPlanFields), `"A"`, `"F"`, 1)
	nm := signedBy(t, text, a, b)
	inForce(t, nm, a, b, c)
	await(t, "it is in the footprint", func() bool { return fensRecords(t, c, 0, true)["F/1"] != nil })
	next := asking(strings.Replace(text, "version: 1\n", "version: 2\n", 1))
	call(t, a.Agreements().Sign, node.AgreementRequest{Document: []byte(next)})
	await(t, "the next text has arrived", func() bool {
		var r node.AgreementReply
		return try(t.Context(), b.Agreements().Show, node.AgreementRequest{Name: nm, Version: 2}, &r) == nil && r.Version == 2
	})
	call(t, b.Agreements().Sign, node.AgreementRequest{Name: nm, Version: 2})
	await(t, "it has left the footprint", func() bool { return fensRecords(t, c, 0, true)["F/1"] == nil })
	got := call(t, b.Questions().Ask, node.LookupRequest{Agreement: nm, Field: "/reference", Value: "F/1", Because: "case 1"})
	if len(got.Records) != 1 {
		t.Errorf("asked: %+v", got)
	}
}

func edit(a *wirepb.Answer, f func(*wirepb.Answer)) *wirepb.Answer {
	c := proto.Clone(a).(*wirepb.Answer)
	f(c)
	return c
}

// resigned returns a token with one bit of its signature turned.
func resigned(token []byte) []byte {
	out := slices.Clone(token)
	dots := 0
	for i, c := range out {
		if c == '.' {
			dots++
		}
		if dots == 2 && c != '.' {
			out[i] = map[bool]byte{true: 'A', false: 'B'}[c == 'B']
			return out
		}
	}
	return out
}
