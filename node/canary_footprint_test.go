package node_test

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// TestErasedFromFootprint: a record that stands in a footprint, by an agreement or put by
// hand, is erased. What it said is in no file of its council and of no member's replica,
// of one that was away neither once it is back; the member is named until it has
// confirmed, and the footprint's log proves what it proved. (That raft's log loses it
// within a day is tried in package footprint.)
func TestErasedFromFootprint(t *testing.T) {
	t.Parallel()
	a, b, c := formFens(t)
	values := canaries(3)
	record := func(i int) string {
		return fmt.Sprintf(`{"reference":"N/%d","organisation":"local-authority:NBR","applicationType":"tree-works","status":"received","description":%q,"receivedDate":"2026-02-16","district":"A"}`, i, values[i])
	}
	for i := range 2 {
		offerPlans(t, a, record(i))
	}
	const agreed = "northmoor.gov.uk/plans"
	text := intoFens("plans", 1, fens, "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate, /description")
	call(t, a.Agreements().Sign, node.AgreementRequest{Document: []byte(text)})
	await(t, "saltby can sign", func() bool {
		return try(t.Context(), b.Agreements().Sign, node.AgreementRequest{Name: agreed}, nil) == nil
	})
	flow := func() (p node.PartnerReply) {
		for _, p := range call(t, a.Agreements().Show, node.AgreementRequest{Name: agreed}).Partners {
			if p.Council == fens {
				return p
			}
		}
		return p
	}
	await(t, "both are in the footprint", func() bool { p := flow(); return p.InStep && p.Held == 2 && p.Outstanding == 0 })
	for _, n := range []*running{a, b, c} {
		await(t, "every member has them", func() bool { return len(fensRecords(t, n, 0, false)) == 2 })
	}
	replica := func(n *running) []string {
		dirs, err := filepath.Glob(filepath.Join(n.Config().Data, "footprints", "*", "replica-*"))
		if err != nil || len(dirs) == 0 {
			t.Fatalf("no replica: %v", err)
		}
		var found []string
		for _, d := range dirs {
			found = append(found, inFolder(t, d, asTokens(values[0]))...)
		}
		return found
	}
	for _, n := range []*running{a, b, c} {
		if len(replica(n)) == 0 {
			t.Fatalf("it is not found in the replica of %s, so the test proves nothing", n.Config().Council)
		}
	}
	checkpoint := func(n *running) (out node.FootprintCheckpointReply) {
		await(t, "a majority has cosigned", func() (ok bool) {
			var err error
			out, err = n.Footprints().Checkpoint(t.Context(), node.FootprintRequest{Name: fens})
			return err == nil
		})
		return out
	}
	proved := checkpoint(b)

	c.stop()
	call(t, a.Records().Erase, node.EraseRequest{Record: "N/0", Standard: planStd, Reason: "request 2026/17"})
	await(t, "hexwell, which is away, is named", func() bool {
		p := flow()
		return p.Outstanding > 0 && slices.Equal(p.Unconfirmed, []name.Council{hexwell})
	})
	for _, n := range []*running{a, b} {
		await(t, "it is out of the replicas that are there", func() bool { return len(replica(n)) == 0 })
	}
	if got := inFolder(t, filepath.Join(a.Config().Data, "ledger"), values[:1]); len(got) > 0 {
		t.Errorf("in the ledger of its council: %v", got)
	}
	n, err := node.Open(c.Config(), node.Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	c = runAgain(t, n)
	introduce(t, a, b, c)
	await(t, "hexwell has erased it", func() bool { return len(replica(c)) == 0 })
	await(t, "and all have confirmed", func() bool { p := flow(); return p.Outstanding == 0 && len(p.Unconfirmed) == 0 })
	if now := fensStatus(t, c).Status; now.Size < proved.Size {
		t.Errorf("the log went from %d to %d entries", proved.Size, now.Size)
	}
	if got := fensRecords(t, c, 0, true); len(got) != 1 || got["N/1"] == nil {
		t.Errorf("hexwell reads %v", got)
	}
}

// asTokens returns what a value looks like inside of a token, whose parts are base64, at
// each of the three places where it can begin.
func asTokens(value string) (out []string) {
	for pad := range 3 {
		e := base64.RawURLEncoding.EncodeToString([]byte("___"[:pad] + value))
		out = append(out, e[4:len(e)-4])
	}
	return append(out, value)
}

// TestErasedPutByHand: a record that was put into a footprint without an agreement is taken
// back out of it when it is erased.
func TestErasedPutByHand(t *testing.T) {
	t.Parallel()
	a, b, _ := formFens(t)
	var ids []string
	for _, r := range offerPlans(t, a, fmt.Sprintf(planDraft, "N/1", "one", "A"), fmt.Sprintf(planDraft, "N/2", "two", "A")) {
		ids = append(ids, string(r.Record))
	}
	call(t, a.Footprints().Put, node.FootprintPutRequest{Name: fens, Records: ids})
	in := node.EraseRequest{Record: "N/1", Standard: planStd, Reason: "request 2026/17", Try: true}
	would := call(t, a.Records().Erase, in)
	if o := would.Records[0].Orders; len(o) != 1 || o[0].To != fens || !o[0].Footprint || o[0].Entry != 0 {
		t.Errorf("it would order %+v", o)
	}
	in.Try = false
	if o := call(t, a.Records().Erase, in).Records[0].Orders; len(o) != 1 || o[0].Entry == 0 {
		t.Errorf("it ordered %+v", o)
	}
	if got := fensRecords(t, b, 0, true); len(got) != 1 || got["N/2"] == nil {
		t.Errorf("saltby reads %v", got)
	}
	if again := call(t, a.Records().Erase, in).Records[0]; len(again.Orders) != 0 || again.Versions != 0 {
		t.Errorf("once more: %+v", again)
	}
}

// TestErasedAtReceiverOfFootprint: a council outside a footprint, which copies from it, has nothing of an erased record
// in any file once it has had the order.
func TestErasedAtReceiverOfFootprint(t *testing.T) {
	t.Parallel()
	a, b, c := formFens(t)
	d := start(t, ironmoor, "E07000996")
	introduce(t, a, b, c, d)
	entry := call(t, b.Footprints().Entry, node.FootprintRequest{Name: fens})
	call(t, d.Councils().Add, node.MemberRequest{Document: []byte(entry.Document)})
	values := canaries(2)
	var ids []string
	for _, v := range values {
		for _, r := range offerPlans(t, a, fmt.Sprintf(planDraft, v, "one", "A")) {
			ids = append(ids, string(r.Record))
		}
	}
	call(t, a.Footprints().Put, node.FootprintPutRequest{Name: fens, Records: ids})
	text := strings.ReplaceAll(intoFens("out", 1, "ironmoor.gov.uk", "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate"), "northmoor.gov.uk", fens)
	text = strings.Replace(text, `rows: record.district == "A"`, `rows: "record.status == \"received\""`, 1)
	call(t, a.Agreements().Sign, node.AgreementRequest{Document: []byte(text)})
	for _, n := range []*running{d, c, b} {
		await(t, "the text has arrived", func() bool {
			return try(t.Context(), n.Agreements().Sign, node.AgreementRequest{Name: fens + "/out"}, nil) == nil
		})
	}
	await(t, "ironmoor holds both", func() bool { return get(t, d.Status).Holdings == 2 })
	looked := append(asTokens(values[0]), asTokens(values[1])...)
	if got := inFolder(t, filepath.Join(d.Config().Data, "ledger"), looked[:4]); len(got) == 0 {
		t.Fatal("it is not found at ironmoor, so the test proves nothing")
	}
	call(t, a.Records().Erase, node.EraseRequest{Record: values[0], Standard: planStd, Reason: "request 2026/17"})
	await(t, "ironmoor holds one", func() bool { return get(t, d.Status).Holdings == 1 })
	await(t, "it is in no file of ironmoor's", func() bool {
		if err := d.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		return len(inFolder(t, filepath.Join(d.Config().Data, "ledger"), looked[:4])) == 0
	})
	if got := inFolder(t, filepath.Join(d.Config().Data, "ledger"), looked[4:]); len(got) == 0 {
		t.Error("what was not erased is not found either")
	}
}
