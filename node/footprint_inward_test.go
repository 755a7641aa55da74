package node_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// TestFlowFromOutside: what an agreement permits goes into a footprint from a
// council that is no member, through whichever member answers, once, and out again.
func TestFlowFromOutside(t *testing.T) {
	t.Parallel()
	a, b, c := formFens(t)
	d := start(t, ironmoor, "E07000996")
	introduce(t, a, b, c, d)
	entry := call(t, b.Footprints().Entry, node.FootprintRequest{Name: fens})
	call(t, d.Councils().Add, node.MemberRequest{Document: []byte(entry.Document)})
	offerPlans(t, d, fmt.Sprintf(planDraft, "I/1", "one", "A"), fmt.Sprintf(planDraft, "I/2", "two", "A"), fmt.Sprintf(planDraft, "I/3", "three", "B"))
	const agreed = "ironmoor.gov.uk/plans"
	text := strings.ReplaceAll(intoFens("plans", 1, fens, "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate, /uprn"), "northmoor.gov.uk", string(ironmoor))
	call(t, d.Agreements().Sign, node.AgreementRequest{Document: []byte(text)})
	for _, n := range []*running{a, c} {
		await(t, "the text has arrived", func() bool {
			return try(t.Context(), n.Agreements().Show, node.AgreementRequest{Name: agreed}, nil) == nil
		})
		call(t, n.Agreements().Sign, node.AgreementRequest{Name: agreed})
	}
	step := func(held int) {
		t.Helper()
		var last node.AgreementReply
		defer func() {
			if t.Failed() {
				t.Logf("%+v", last)
			}
		}()
		await(t, fmt.Sprintf("ironmoor is in step with %d", held), func() bool {
			last = call(t, d.Agreements().Show, node.AgreementRequest{Name: agreed})
			return len(last.Partners) == 1 && last.Partners[0].InStep && last.Partners[0].Connected && last.Partners[0].Held == held && last.Partners[0].Outstanding == 0
		})
	}
	step(2)
	for _, n := range []*running{a, b, c} {
		if got := fensRecords(t, n, 0, true); len(got) != 2 || got["I/1"]["uprn"] == nil || got["I/1"]["description"] != nil {
			t.Errorf("a member reads %v", got)
		}
	}
	if st := fensStatus(t, b).Status; fmt.Sprint(st.Contributors) != "[ironmoor.gov.uk]" || len(st.Members) != 3 {
		t.Errorf("status: %+v", st)
	}
	show := call(t, b.Footprints().Show, node.FootprintRecordRequest{Name: fens, Council: string(ironmoor), Record: "I/1"})
	if show.Signature != "checked" {
		t.Errorf("show: %+v", show)
	}
	if w := call(t, d.Why, node.WhyRequest{Partner: fens, Record: "I/1"}); !w.Has {
		t.Errorf("why: %+v", w)
	}

	// A member answers the sender alone, passes on what the agreement lets through
	// alone, and is not believed alone.
	digest, err := hex.DecodeString(call(t, d.Agreements().Show, node.AgreementRequest{Name: agreed}).Digest)
	if err != nil {
		t.Fatal(err)
	}
	page := func(tokens ...string) func(*wirepb.Contribution) {
		p := &wirepb.Contribution_Page{Next: 9}
		for _, x := range tokens {
			p.Tokens = append(p.Tokens, []byte(x))
		}
		return func(q *wirepb.Contribution) { q.Ask = &wirepb.Contribution_Page_{Page: p} }
	}
	state := func(q *wirepb.Contribution) {
		q.Ask = &wirepb.Contribution_State_{State: &wirepb.Contribution_State{}}
	}
	list := func(q *wirepb.Contribution) {
		q.Ask = &wirepb.Contribution_Records_{Records: &wirepb.Contribution_Records{}}
	}
	ask := func(from name.Council, digest []byte, what func(*wirepb.Contribution)) *wirepb.ContributionAnswer {
		t.Helper()
		q := &wirepb.Contribution{Version: 1, Footprint: fens, Agreement: agreed, AgreementDigest: digest}
		what(q)
		a, err := b.Contribution(t.Context(), from, q)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if got := ask(ironmoor, digest, state); got.Code != "" || got.GetState().GetHeld() != 2 || got.GetState().GetSequence() == 0 {
		t.Errorf("the sender asks: %+v", got)
	}
	for what, got := range map[string]*wirepb.ContributionAnswer{
		"another council":  ask(hexwell, digest, state),
		"a stranger":       ask("nowhere.gov.uk", digest, list),
		"another text":     ask(ironmoor, bytes.Repeat([]byte{0xaa}, 32), list),
		"no record":        ask(ironmoor, digest, page("a.b.c~")),
		"no withdrawal":    ask(ironmoor, digest, page("a.b.c")),
		"another's record": ask(hexwell, digest, page("a.b.c~")),
	} {
		if got.Code == "" || got.Reason == "" || got.Answer != nil {
			t.Errorf("%s: %+v", what, got)
		}
	}
	proof := ask(ironmoor, digest, func(q *wirepb.Contribution) {
		q.Ask = &wirepb.Contribution_Proof_{Proof: &wirepb.Contribution_Proof{Indexes: []uint64{0}}}
	})
	if proof.GetProof() == nil || d.JudgeProof(fens, proof.GetProof(), []tlog.Hash{{1}}, []uint64{0}) == nil {
		t.Errorf("what does not stand there was believed: %+v", proof)
	}

	// A change, one that leaves the filter, one that is deleted, a new one; with a
	// member away, another answers.
	c.stop()
	offerPlans(t, d, strings.Replace(fmt.Sprintf(planDraft, "I/1", "one", "A"), `"received"`, `"withdrawn"`, 1), fmt.Sprintf(planDraft, "I/2", "two", "B"), fmt.Sprintf(planDraft, "I/4", "four", "A"))
	step(2)
	if got := fensRecords(t, b, 0, true); len(got) != 2 || got["I/1"]["status"] != "withdrawn" || got["I/4"] == nil {
		t.Errorf("saltby reads %v", got)
	}
	call(t, d.Records().Delete, node.RecordRequest{Record: "I/4", Standard: planStd})
	step(1)

	// It stops and starts: nothing is lost and nothing comes twice.
	fensRecords(t, b, 0, true)
	size := fensStatus(t, b).Status.Size
	again := func(r *running) *running {
		t.Helper()
		r.stop()
		n, err := node.Open(r.Config(), node.Options{Fatal: func(err error) { t.Error(err) }})
		if err != nil {
			t.Fatal(err)
		}
		return runAgain(t, n)
	}
	d, c = again(d), again(c)
	introduce(t, a, b, c, d)
	step(1)
	if now := fensStatus(t, b).Status.Size; now != size {
		t.Errorf("%d entries after a restart, had %d", now, size)
	}

	// Over: everything goes, everywhere.
	call(t, d.Agreements().End, node.AgreementRequest{Name: agreed, Reason: "boundary moved"})
	for _, n := range []*running{a, b, c} {
		await(t, "nothing is left", func() bool { return len(fensRecords(t, n, 0, true)) == 0 })
	}
	await(t, "nothing is outstanding", func() bool {
		return len(get(t, d.Status).Partners) == 0
	})
	if got := ask(ironmoor, digest, page("a.b.c~")); !strings.Contains(got.Reason, "ended") {
		t.Errorf("a record after the end: %+v", got)
	}
	// Under no agreement it puts nothing there.
	err = try(t.Context(), d.Footprints().Put, node.FootprintPutRequest{Name: fens, Records: []string{"I/1"}}, nil)
	if e, ok := errors.AsType[*node.Error](err); !ok || e.Kind != node.NotFound {
		t.Errorf("put by hand: %v", err)
	}
}
