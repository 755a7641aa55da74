package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

const (
	ironmoor  = name.Council("ironmoor.gov.uk")
	fens      = "fens.example"
	planStd   = "standards.stile.example/planning-application@1"
	planDraft = `{"reference":%q,"organisation":"local-authority:NBR","applicationType":"tree-works","status":"received","description":%q,"receivedDate":"2026-02-16","district":%q,"uprn":100000000001}`
)

// formFens has three nodes form a footprint that has adopted the planning standard.
func formFens(t testing.TB) (a, b, c *running) {
	t.Helper()
	a, b, c = start(t, northmoor, "E07000998"), start(t, saltby, "E07000999"), start(t, hexwell, "E07000997")
	introduce(t, a, b, c)
	joinFens(t, a, b, c)
	return a, b, c
}

// joinFens has three nodes that know each other form the footprint.
func joinFens(t testing.TB, a, b, c *running) {
	t.Helper()
	call(t, a.Footprints().Found, node.FootprintRequest{Name: fens})
	call(t, a.Footprints().Invite, node.FootprintRequest{Name: fens, Council: string(saltby)})
	call(t, b.Footprints().Join, node.FootprintRequest{Name: fens, Via: []string{string(northmoor)}})
	call(t, a.Footprints().Invite, node.FootprintRequest{Name: fens, Council: string(hexwell)})
	call(t, b.Footprints().Agree, node.FootprintRequest{Name: fens, Council: string(hexwell)})
	call(t, c.Footprints().Join, node.FootprintRequest{Name: fens, Via: []string{string(northmoor), string(saltby)}})
	call(t, a.Footprints().Adopt, node.FootprintAdoptRequest{Name: fens, Standard: "planning-application"})
	await(t, "all three vote", func() bool {
		st := fensStatus(t, a)
		n := 0
		for _, m := range st.Status.Members {
			if m.Votes {
				n++
			}
		}
		return n == 3
	})
}

func fensStatus(t testing.TB, n *running) node.FootprintReply {
	t.Helper()
	return call(t, n.Footprints().Status, node.FootprintRequest{Name: fens})[0]
}

func offerPlans(t testing.TB, n *running, records ...string) []node.PutResult {
	t.Helper()
	in := node.PutRequest{Standard: planStd}
	for i, r := range records {
		in.Records = append(in.Records, node.Offered{Row: i + 1, Record: json.RawMessage(r)})
	}
	out := call(t, n.Records().Put, in)
	for _, r := range out.Results {
		if r.Outcome == "" {
			t.Fatalf("refused: %+v", r.Problems)
		}
	}
	return out.Results
}

// fensRecords returns what a node reads in the footprint, by the reference of each.
func fensRecords(t testing.TB, n *running, at uint64, linearizable bool) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	in := node.FootprintListRequest{Name: fens, At: at, Linearizable: linearizable, Bodies: true, Limit: 1000}
	l := call(t, n.Footprints().Records, in)
	for _, r := range l.Records {
		var body map[string]any
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatal(err)
		}
		ref, _ := body["reference"].(string)
		if out[ref] != nil {
			t.Errorf("%s stands there twice", ref)
		}
		out[ref] = body
	}
	return out
}

func intoFens(slug string, version int, to, fields string) string {
	roles := ""
	for _, c := range append([]string{"northmoor.gov.uk"}, strings.Split(to, ", ")...) {
		if roles != "" {
			roles += ", "
		}
		roles += c + ": controller"
	}
	return fmt.Sprintf(`agreement: northmoor.gov.uk/%s
version: %d
from: northmoor.gov.uk
to: [%s]
mode: replicate
standard: %s
rows: record.district == "A"
fields: [%s]
purpose: The Fens plan for homes together.
necessity: They cannot without knowing what is being built.
data_items: What the fields say.
lawful_basis:
  article_6: 6(1)(e) public task
  legal_power: Town and Country Planning Act 1990, section 69
dpia: DPIA-2026-114, 1 October 2026
roles: {%s}
contacts: {%s}
rights_contact: dpo@northmoor.gov.uk answers for all.
accuracy: Corrections travel as new versions within the day.
retention: P2Y
disposal: Deleted by the nodes.
security: Planning policy teams only.
review: 2999-01-01
starts: 2020-01-01
exit: At once.
`, slug, version, to, planStd, fields, roles, strings.ReplaceAll(roles, ": controller", ": dpo@council.gov.uk"))
}

// TestFootprintOfNodes: formed, written at one and read at another, by position.
func TestFootprintOfNodes(t *testing.T) {
	t.Parallel()
	a, b, c := formFens(t)
	var ids []string
	for _, r := range offerPlans(t, b, fmt.Sprintf(planDraft, "S/1", "CANARY", "A"), fmt.Sprintf(planDraft, "S/2", "CANARY", "B")) {
		ids = append(ids, string(r.Record))
	}
	put := call(t, b.Footprints().Put, node.FootprintPutRequest{Name: fens, Records: ids})
	if put.Results[0].Outcome != "taken" || put.Results[1].Outcome != "taken" {
		t.Fatalf("put: %+v", put)
	}
	for _, n := range []*running{a, c} {
		got := fensRecords(t, n, put.Position, false)
		if len(got) != 2 || got["S/1"] == nil || got["S/1"]["uprn"] != nil || got["S/1"]["description"] != nil {
			t.Errorf("read by position: %v", got)
		}
	}
	if again := call(t, b.Footprints().Put, node.FootprintPutRequest{Name: fens, Records: ids}); again.Results[0].Outcome != "there already" {
		t.Errorf("again: %+v", again)
	}
	show := call(t, c.Footprints().Show, node.FootprintRecordRequest{Name: fens, Council: string(saltby), Record: "S/2"})
	if show.Signature != "checked" || show.Council != saltby || show.Withheld == 0 {
		t.Errorf("show: %+v", show)
	}
	proof := call(t, c.Footprints().Prove, node.FootprintRecordRequest{Name: fens, Council: string(saltby), Record: ids[0]})
	if len(proof.CosignedBy) < 2 || proof.Members != 3 || !strings.Contains(proof.Proof, "fens.example") {
		t.Errorf("proof: %+v", proof)
	}
	cp := call(t, a.Footprints().Checkpoint, node.FootprintRequest{Name: fens})
	if cp.Size == 0 || len(cp.Keys) != 3 {
		t.Errorf("checkpoint: %+v", cp)
	}
	if ev := call(t, a.Footprints().Evidence, node.FootprintRequest{Name: fens}); len(ev.Evidence) != 0 {
		t.Errorf("evidence: %+v", ev)
	}
	if w := fensStatus(t, a).Status.Words; !strings.HasPrefix(w, "2 of 3 must agree; all 3 are up") {
		t.Errorf("status: %s", w)
	}
	refusedAs(t, node.Refused, a.Footprints().Agree, node.FootprintRequest{Name: fens, Council: string(ironmoor)})
	refusedAs(t, node.NotFound, a.Footprints().Invite, node.FootprintRequest{Name: fens, Council: string(ironmoor)})
	refusedAs(t, node.Refused, a.Footprints().Remove, node.FootprintRequest{Name: fens, Council: string(hexwell)})
	refusedAs(t, node.Conflict, a.Footprints().Found, node.FootprintRequest{Name: fens})
	refusedAs(t, node.Conflict, a.Footprints().Found, node.FootprintRequest{Name: string(saltby)})
	refusedAs(t, node.NotFound, a.Footprints().Status, node.FootprintRequest{Name: "other.example"})
}

// TestFlowIntoFootprint: what an agreement permits goes into the footprint by
// itself and once, and out again likewise.
func TestFlowIntoFootprint(t *testing.T) {
	t.Parallel()
	a, b, c := formFens(t)
	offerPlans(t, a, fmt.Sprintf(planDraft, "N/1", "one", "A"), fmt.Sprintf(planDraft, "N/2", "two", "A"), fmt.Sprintf(planDraft, "N/3", "three", "B"))
	sign := func(n *running, in node.AgreementRequest) node.AgreementReply {
		t.Helper()
		r := call(t, n.Agreements().Sign, in)
		if r.Unsent != "" {
			t.Errorf("unsent: %s", r.Unsent)
		}
		return r
	}
	const agreed = "northmoor.gov.uk/plans"
	text := func(version int, to, fields string) []byte {
		return []byte(intoFens("plans", version, to, fields))
	}
	few := "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate"
	if r := sign(a, node.AgreementRequest{Document: text(1, fens, few+", /uprn")}); r.InForce {
		t.Errorf("in force with one signature: %+v", r)
	}
	await(t, "hexwell has the text", func() bool {
		return try(t.Context(), c.Agreements().Show, node.AgreementRequest{Name: agreed}, nil) == nil
	})
	// A majority is northmoor, who sends, and one more.
	if r := sign(c, node.AgreementRequest{Name: agreed}); !r.InForce {
		t.Errorf("not in force with a majority: %+v", r)
	}
	sign(c, node.AgreementRequest{Name: agreed}) // again: nothing happens
	step := func(n int) {
		t.Helper()
		await(t, fmt.Sprintf("northmoor is in step with %d", n), func() bool {
			r := call(t, a.Agreements().Show, node.AgreementRequest{Name: agreed})
			for _, p := range r.Partners {
				if p.Council == fens {
					return p.InStep && p.Held == n && p.Outstanding == 0
				}
			}
			return false
		})
	}
	step(2)
	got := fensRecords(t, b, 0, true)
	if len(got) != 2 || got["N/1"]["uprn"] == nil || got["N/1"]["description"] != nil {
		t.Errorf("saltby reads %v", got)
	}
	why := call(t, a.Why, node.WhyRequest{Partner: fens, Record: "N/1"})
	if !why.Has {
		t.Errorf("why: %+v", why)
	}

	// Changes, a record that leaves the filter, one that is deleted, a new one.
	offerPlans(t, a, fmt.Sprintf(planDraft, "N/1", "one again", "A"), fmt.Sprintf(planDraft, "N/2", "two", "B"), fmt.Sprintf(planDraft, "N/4", "four", "A"))
	step(2)
	if got = fensRecords(t, c, 0, true); len(got) != 2 || got["N/1"] == nil || got["N/4"] == nil {
		t.Errorf("hexwell reads %v", got)
	}
	offerPlans(t, a, fmt.Sprintf(planDraft, "N/2", "two", "A"))
	call(t, a.Records().Delete, node.RecordRequest{Record: "N/4", Standard: planStd})
	step(2)
	if got = fensRecords(t, c, 0, true); len(got) != 2 || got["N/2"] == nil {
		t.Errorf("hexwell reads %v", got)
	}

	// It stops and starts: nothing is lost and nothing comes twice.
	fensRecords(t, b, 0, true) // so that saltby's own replica has all of it
	size := fensStatus(t, b).Status.Size
	a.stop()
	a.Config().MetricsListen = "127.0.0.1:0"
	n, err := node.Open(a.Config(), node.Options{Version: "1.2.3", Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	// While it does not run it still knows that the footprint has signed.
	if r := call(t, n.Agreements().Show, node.AgreementRequest{Name: agreed}); !r.InForce {
		t.Errorf("stopped: %+v", r)
	}
	a = runAgain(t, n)
	introduce(t, a, b, c)
	step(2)
	if now := fensStatus(t, b).Status.Size; now != size {
		t.Errorf("%d entries after a restart, had %d", now, size)
	}
	// Whoever watches it sees that it is well, and nothing of any record.
	got2 := watch(t, a.Node, "one again", "N/1", "plans", "uprn", "100000000001")
	const out, in = "{direction=out,partner=fens.example,standard=standards.stile.example/planning-application@1}", "{footprint=fens.example}"
	for figure, want := range map[string]float64{
		"stile_build_info{version=1.2.3}": 1, "stile_directory_up_to_date{}": 1,
		"stile_records{standard=standards.stile.example/planning-application@1.0.0}":                      3,
		"stile_offers_total{outcome=taken,standard=standards.stile.example/planning-application@1.0.0}":   4,
		"stile_offers_total{outcome=refused,standard=standards.stile.example/planning-application@1.0.0}": 0,
		"stile_partner_in_step" + out: 1, "stile_partner_records" + out: 2, "stile_partner_outstanding_withdrawals" + out: 0, "stile_partner_behind_entries" + out: 0,
		"stile_footprint_open" + in: 1, "stile_footprint_members" + in: 3, "stile_footprint_members_voting" + in: 3, "stile_footprint_members_up" + in: 3,
		"stile_footprint_members_needed" + in: 2, "stile_footprint_has_leader" + in: 1, "stile_footprint_decides" + in: 1,
		"stile_footprint_entries" + in: float64(size), "stile_footprint_evidence" + in: 0,
		"stile_footprint_member_behind_entries{council=saltby.gov.uk,footprint=fens.example}":                                                  0,
		"stile_footprint_records{council=northmoor.gov.uk,footprint=fens.example,standard=standards.stile.example/planning-application@1.0.0}": 2,
	} {
		if have, ok := got2[figure]; !ok || have != want {
			t.Errorf("%s is %v (%v), want %v", figure, have, ok, want)
		}
	}

	// A narrower text: what is not agreed any more is gone.
	sign(a, node.AgreementRequest{Document: text(2, fens, few)})
	await(t, "saltby has the new text", func() bool {
		r := node.AgreementReply{}
		return try(t.Context(), b.Agreements().Show, node.AgreementRequest{Name: agreed, Version: 2}, &r) == nil && r.Version == 2
	})
	sign(b, node.AgreementRequest{Name: agreed, Version: 2})
	await(t, "the property number is gone", func() bool {
		got := fensRecords(t, c, 0, true)
		return len(got) == 2 && got["N/1"] != nil && got["N/1"]["uprn"] == nil && got["N/2"]["uprn"] == nil
	})
	step(2)
	if w := call(t, a.Why, node.WhyRequest{Partner: fens, Record: "N/1"}); !w.Has {
		t.Errorf("why: %+v", w)
	}

	// A text for others: everything goes.
	sign(a, node.AgreementRequest{Document: text(3, "saltby.gov.uk", few)})
	await(t, "saltby has the third text", func() bool {
		r := node.AgreementReply{}
		return try(t.Context(), b.Agreements().Show, node.AgreementRequest{Name: agreed, Version: 3}, &r) == nil && r.Version == 3
	})
	sign(b, node.AgreementRequest{Name: agreed, Version: 3})
	await(t, "nothing is left", func() bool { return len(fensRecords(t, b, 0, true)) == 0 })

	// And back, and over.
	sign(a, node.AgreementRequest{Document: text(4, fens, few)})
	await(t, "hexwell has the fourth text", func() bool {
		r := node.AgreementReply{}
		return try(t.Context(), c.Agreements().Show, node.AgreementRequest{Name: agreed, Version: 4}, &r) == nil && r.Version == 4
	})
	sign(c, node.AgreementRequest{Name: agreed, Version: 4})
	step(2)
	// Who is away has not confirmed what is withdrawn, and is named.
	c.stop()
	call(t, a.Records().Delete, node.RecordRequest{Record: "N/2", Standard: planStd})
	await(t, "hexwell is waited for", func() bool {
		r := call(t, a.Agreements().Show, node.AgreementRequest{Name: agreed})
		return len(r.Partners) == 1 && r.Partners[0].Outstanding == 1 && fmt.Sprint(r.Partners[0].Unconfirmed) == "[hexwell.gov.uk]"
	})
	n, err = node.Open(c.Config(), node.Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	c = runAgain(t, n)
	introduce(t, a, b, c)
	step(1)
	r := call(t, a.Agreements().Show, node.AgreementRequest{Name: agreed})
	if len(r.Confirmed) != 1 || len(r.Confirmed[0].Members) != 3 || r.Confirmed[0].Withdrawn != 9 {
		t.Errorf("confirmed: %+v", r.Confirmed)
	}
	// One that the node had no time to note before it stopped is receipted as well.
	last := call(t, a.Records().Show, node.RecordRequest{Record: "N/1", Standard: planStd})
	if err := a.WithdrawUnnoted(t.Context(), fens, agreed, last.Record); err != nil {
		t.Fatal(err)
	}
	await(t, "it is confirmed", func() bool {
		r := call(t, a.Agreements().Show, node.AgreementRequest{Name: agreed})
		return r.Confirmed[0].Withdrawn == 10 && r.Partners[0].Outstanding == 0
	})
	call(t, a.Agreements().End, node.AgreementRequest{Name: agreed, Reason: "boundary moved"})
	await(t, "nothing is left", func() bool { return len(fensRecords(t, b, 0, true)) == 0 })
	await(t, "nothing is outstanding", func() bool {
		s := get(t, a.Status)
		return len(s.Partners) == 0
	})
}

// runAgain runs a node that was opened.
func runAgain(t testing.TB, n *node.Node) *running {
	t.Helper()
	return runIn(t, context.Background(), n)
}

func runIn(t testing.TB, ctx context.Context, n *node.Node) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	select {
	case <-n.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	r := &running{Node: n}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, n.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// TestPartnerOutsideAFootprint: a council that is no member is party to an
// agreement beside a footprint, and knows from the directory whose signatures
// count for it.
func TestPartnerOutsideAFootprint(t *testing.T) {
	t.Parallel()
	a, b, c := formFens(t)
	d := start(t, ironmoor, "E07000996")
	introduce(t, a, b, c, d)
	offerPlans(t, a, fmt.Sprintf(planDraft, "N/1", "one", "A"), fmt.Sprintf(planDraft, "N/2", "two", "B"))
	entry := call(t, b.Footprints().Entry, node.FootprintRequest{Name: fens})
	call(t, d.Councils().Add, node.MemberRequest{Document: []byte(entry.Document)})
	const agreed = "northmoor.gov.uk/plans"
	text := intoFens("plans", 1, "fens.example, ironmoor.gov.uk", "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate")
	call(t, a.Agreements().Sign, node.AgreementRequest{Document: []byte(text)})
	for _, n := range []*running{b, d} {
		await(t, "the text has arrived", func() bool {
			return try(t.Context(), n.Agreements().Show, node.AgreementRequest{Name: agreed}, nil) == nil
		})
	}
	r := call(t, d.Agreements().Sign, node.AgreementRequest{Name: agreed})
	if r.InForce || fmt.Sprint(r.Waiting) != "[fens.example]" {
		t.Errorf("before a majority of the footprint: %+v", r)
	}
	call(t, b.Agreements().Sign, node.AgreementRequest{Name: agreed})
	for _, n := range []*running{a, b, c, d} {
		await(t, "it is in force everywhere", func() bool {
			return call(t, n.Agreements().Show, node.AgreementRequest{Name: agreed}).InForce
		})
	}
	await(t, "both receivers are in step", func() bool {
		n := 0
		for _, p := range get(t, a.Status).Partners {
			if p.InStep && p.Held == 1 {
				n++
			}
		}
		return n == 2
	})
}

// TestFootprintSends: a council outside copies what an agreement with the
// footprint permits from its members, verified to each contributor and to a
// checkpoint of a majority; and no record of a member that has not signed.
func TestFootprintSends(t *testing.T) {
	t.Parallel()
	a, b, c := formFens(t)
	d := start(t, ironmoor, "E07000996")
	introduce(t, a, b, c, d)
	entry := call(t, b.Footprints().Entry, node.FootprintRequest{Name: fens})
	call(t, d.Councils().Add, node.MemberRequest{Document: []byte(entry.Document)})
	put := func(n *running, records ...string) {
		t.Helper()
		var ids []string
		for _, r := range offerPlans(t, n, records...) {
			ids = append(ids, string(r.Record))
		}
		call(t, n.Footprints().Put, node.FootprintPutRequest{Name: fens, Records: ids})
	}
	put(a, fmt.Sprintf(planDraft, "N/1", "one", "A"), fmt.Sprintf(planDraft, "N/2", "two", "A"))
	put(b, fmt.Sprintf(planDraft, "S/1", "one", "A"))
	text := strings.ReplaceAll(intoFens("out", 1, "ironmoor.gov.uk", "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate"), "northmoor.gov.uk", fens)
	text = strings.Replace(text, `rows: record.district == "A"`, `rows: "record.status == \"received\""`, 1)
	const agreed = fens + "/out"
	sign := func(n *running) node.AgreementReply {
		t.Helper()
		await(t, "the text has arrived", func() bool {
			return try(t.Context(), n.Agreements().Show, node.AgreementRequest{Name: agreed}, nil) == nil
		})
		return call(t, n.Agreements().Sign, node.AgreementRequest{Name: agreed})
	}
	if r := call(t, a.Agreements().Sign, node.AgreementRequest{Document: []byte(text)}); r.InForce || len(r.Signed) != 0 {
		t.Errorf("one member signed: %+v", r)
	}
	sign(d)
	sign(c)
	held := func() map[string]name.Council {
		out := map[string]name.Council{}
		var l node.ListReply
		if try(t.Context(), d.Records().List, node.ListRequest{From: fens, Bodies: true}, &l) != nil {
			return out
		}
		for _, r := range l.Records {
			var body map[string]any
			if err := json.Unmarshal(r.Body, &body); err != nil {
				t.Fatal(err)
			}
			out[fmt.Sprint(body["reference"])] = r.Council
		}
		return out
	}
	is := func(want string) func() bool { return func() bool { return fmt.Sprint(held()) == want } }
	await(t, "northmoor's records are at ironmoor", is("map[N/1:northmoor.gov.uk N/2:northmoor.gov.uk]"))
	sign(b) // and with it, saltby's
	await(t, "saltby's are too", is("map[N/1:northmoor.gov.uk N/2:northmoor.gov.uk S/1:saltby.gov.uk]"))
	await(t, "status says so", func() bool {
		p := get(t, d.Status).Partners
		return len(p) == 1 && p[0].InStep && p[0].Held == 3 && p[0].Proved == 3
	})
	// The member that is asked commits to it, and the receiver compares. One that says
	// something else of the same size is found, and is not believed.
	partner := func() node.PartnerReply { return get(t, d.Status).Partners[0] }
	ctx, cancel := context.WithCancel(t.Context())
	var counting sync.WaitGroup
	for _, n := range []*running{a, b, c} {
		counting.Go(func() { try(ctx, n.Agreements().Checkpoint, node.CountRequest{Agreement: agreed}, nil) })
	}
	await(t, "what came was compared", func() bool { return partner().Counted != nil })
	cancel()
	counting.Wait()
	was := *partner().Counted
	if was.Count != 3 || was.Came != 3 || was.Root != was.CameRoot || was.By == "" || partner().Differs != nil {
		t.Errorf("compared: %+v, differs %+v", was, partner().Differs)
	}
	liar := map[bool]*running{true: b, false: a}[was.By == northmoor]
	said := event.FootprintCheckpoint{Footprint: fens, Signers: 3, AgreementCheckpoint: event.AgreementCheckpoint{Agreement: agreed, Version: 1, To: ironmoor, Size: was.Size, Count: 2}}
	if err := liar.Say(t.Context(), event.KindFootprintCheckpoint, said.Body(), ironmoor); err != nil {
		t.Fatal(err)
	}
	await(t, "two members said two things", func() bool { return partner().Differs != nil })
	if p := partner(); !p.Differs.Twice || p.Differs.By == was.By || p.Differs.By == "" || p.Counted.By != was.By || p.Counted.Count != 3 {
		t.Errorf("two things: %+v, compared %+v", p.Differs, p.Counted)
	}
	// Whichever member answers.
	c.stop()
	put(a, strings.Replace(fmt.Sprintf(planDraft, "N/2", "two", "A"), `"received"`, `"withdrawn"`, 1), fmt.Sprintf(planDraft, "N/3", "three", "B"))
	await(t, "one left the filter and one came", is("map[N/1:northmoor.gov.uk N/3:northmoor.gov.uk S/1:saltby.gov.uk]"))
	call(t, d.Agreements().End, node.AgreementRequest{Name: agreed, Reason: "enough"})
	await(t, "all is deleted", is("map[]"))
}

// TestLeavingAFootprint: the node of who leaves deletes what the others shared, with a
// receipt in the footprint's log, and the others go on.
func TestLeavingAFootprint(t *testing.T) {
	t.Parallel()
	a, b, c := formFens(t)
	d := start(t, ironmoor, "E07000996")
	introduce(t, a, b, c, d)
	moved := node.FootprintRequest{Name: fens, Council: string(ironmoor)}
	call(t, b.Footprints().Invite, moved)
	call(t, c.Footprints().Agree, moved)
	call(t, d.Footprints().Join, node.FootprintRequest{Name: fens, Via: []string{string(hexwell)}})
	await(t, "ironmoor votes", func() bool {
		for _, m := range fensStatus(t, a).Status.Members {
			if m.Council == ironmoor {
				return m.Votes
			}
		}
		return false
	})
	call(t, d.Footprints().Remove, moved) // the others agree by themselves
	await(t, "ironmoor has deleted what it held", func() bool { return len(get(t, d.Footprints().List)) == 0 })
	await(t, "and the others have its receipt", func() bool {
		fs := fensStatus(t, a).Status.Former
		return len(fs) == 1 && fs[0].Council == ironmoor && fs[0].By == ironmoor && fs[0].Deleted != nil && len(fs[0].Orders) == 0
	})
	var ids []string
	for _, r := range offerPlans(t, c, fmt.Sprintf(planDraft, "H/1", "one", "A")) {
		ids = append(ids, string(r.Record))
	}
	call(t, c.Footprints().Put, node.FootprintPutRequest{Name: fens, Records: ids})
	if w := fensStatus(t, a).Status.Words; !strings.HasPrefix(w, "2 of 3 must agree; all 3 are up") {
		t.Errorf("status: %s", w)
	}
}
