package node_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/audit"
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
		const alone = "1 of the records that we took over from saltby.gov.uk under saltby.gov.uk/moves cannot be put among our own records"
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

// TestCasesGoOn: when a council ends, a handover that it offered, one that it was offered, and one
// that it had taken over go on with the successor that has their records, or with each where
// nothing decides; responsible is who was, or who follows it, and the day to take it over by is
// the same. What it took over is among the records that are shared out. The successor offers the
// open one anew, with its reference and days, and its partner takes it over.
func TestCasesGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := theEnd(t)
		whole := planning(7, "Y")
		theirs := offer(t, e.partner, "planning-application", whole, planning(8, "X")).Results
		moves := strings.Replace(e.text("moves"), "mode: replicate", "mode: handover\ndue: 15 days", 1)
		back := strings.NewReplacer(string(northmoor), string(saltby), string(saltby), string(northmoor)).Replace(moves)
		back = strings.Replace(back, "fields: [", "fields: [/receivedDate, /validDate, ", 1)
		agreed(t, moves, e.old, e.partner)
		agreed(t, back, e.partner, e.old)
		offered := func(from, to *running, c name.Council, id name.Record, ref string) string {
			t.Helper()
			r := call(t, from.Handovers().Offer, node.CaseRequest{Partner: c, Records: []string{string(id)}, Because: "moved", By: "Jo", Ref: ref, Notice: "1999-12-19"})
			await(t, "the offer has come", func() bool {
				return try(t.Context(), to.Handovers().Show, node.CaseRequest{Case: r.Case}, new(node.CaseReply)) == nil
			})
			return r.Case
		}
		taken := offered(e.partner, e.old, northmoor, theirs[0].Record, "T-7")
		call(t, e.old.Handovers().Accept, node.CaseRequest{Case: taken, By: "Sam"})
		await(t, "it is closed", func() bool { return call(t, e.old.Handovers().Show, node.CaseRequest{Case: taken}).State == "closed" })
		asked := offered(e.partner, e.old, northmoor, theirs[1].Record, "T-8")
		open := offered(e.old, e.partner, saltby, e.ids[2], "CP-3")
		due := call(t, e.old.Handovers().Show, node.CaseRequest{Case: open}).Due

		p := call(t, e.old.Successions().Preview, node.SuccessionRequest{Plan: []byte(sharedOut)})
		want := map[string]node.EndingHandover{
			taken: {Direction: "from", Partner: saltby, State: "closed", Responsible: northmoor, To: []name.Council{"west.gov.uk"}, Records: 1},
			asked: {Direction: "from", Partner: saltby, State: "offered", Responsible: saltby, To: []name.Council{"east.gov.uk", "west.gov.uk"}},
			open:  {Direction: "to", Partner: saltby, State: "offered", Responsible: northmoor, To: []name.Council{"east.gov.uk"}, Records: 1},
		}
		for _, h := range p.Handovers {
			w := want[h.Case]
			w.Case, w.Due = h.Case, due
			if !reflect.DeepEqual(h, w) {
				t.Errorf("preview says %+v, want %+v", h, w)
			}
		}
		if len(p.Handovers) != 3 || p.Own != 1 {
			t.Errorf("%d handovers and %d records to put: %+v", len(p.Handovers), p.Own, p.Warnings)
		}
		e.seal()
		await(t, "the offer is withdrawn at the partner", func() bool {
			return call(t, e.partner.Handovers().Show, node.CaseRequest{Case: open}).State == "withdrawn"
		})
		for c, n := range map[name.Council]*running{"east.gov.uk": e.east, "west.gov.uk": e.west} {
			for _, already := range []bool{false, true} {
				r := call(t, n.Successions().TakeOver, node.TakeOverRequest{From: northmoor, Unwitnessed: true})
				if r.Handovers != 2 || (r.Already > 0) != already {
					t.Errorf("%s carries %d handovers on: %+v", c, r.Handovers, r)
				}
			}
			if all := get(t, n.Handovers().List); len(all) != 2 {
				t.Errorf("%s lists %+v", c, all)
			}
		}
		stands := func(n *running, id, was string, responsible name.Council, records int, too ...name.Council) {
			t.Helper()
			r := call(t, n.Handovers().Show, node.CaseRequest{Case: id[:8]})
			if r.State != "carried" || r.Was != was || r.CarriedFrom != northmoor || r.Responsible != responsible || len(r.Items) != records || r.Due != due || !slices.Equal(r.CarriedToo, too) {
				t.Errorf("%s is %+v", id, r)
			}
			if was == "offered" && r.DaysLeft == nil {
				t.Errorf("the time of %s does not go on: %+v", id, r)
			}
		}
		stands(e.west, taken, "closed", "west.gov.uk", 1)
		stands(e.west, asked, "offered", saltby, 0, "east.gov.uk")
		stands(e.east, asked, "offered", saltby, 0, "west.gov.uk")
		stands(e.east, open, "offered", "east.gov.uk", 1)
		owned := call(t, e.west.Records().Show, node.RecordRequest{Record: "26/0000007/PA", Standard: "planning-application"})
		if owned.Former == nil || owned.Former.Council != northmoor {
			t.Errorf("what was taken over is at the successor: %+v", owned)
		}
		if _, err := e.west.Handovers().Accept(t.Context(), node.CaseRequest{Case: asked}); !is(err, node.Conflict) || !strings.Contains(err.Error(), "saltby.gov.uk sends its records under an agreement with us") {
			t.Errorf("accepted in the place of another: %v", err)
		}
		time.Sleep(time.Until(time.Date(2000, 1, 2, 0, 1, 0, 0, time.UTC)))
		told := func(n *running, id, words string) {
			t.Helper()
			await(t, "the condition is there", func() bool {
				return slices.ContainsFunc(get(t, n.Status).Conditions, func(c node.Condition) bool {
					return c.Name == "handover-near" && strings.Contains(c.Text, id[:8]) && strings.Contains(c.Cause+"; "+c.Try, words)
				})
			})
		}
		told(e.east, open, "northmoor.gov.uk has ended, and we carry it on; stile handover offer saltby.gov.uk --continues "+open[:8])
		told(e.west, asked, "saltby.gov.uk has to offer it to us")
		told(e.partner, asked, "nobody there can answer; east.gov.uk, west.gov.uk follow it; stile handover withdraw "+asked[:8])
		again := node.CaseRequest{Case: open, Partner: saltby, By: "Kim"}
		if _, err := e.east.Handovers().Offer(t.Context(), again); !is(err, node.Refused) {
			t.Errorf("offered under no agreement: %v", err)
		}
		e.novated(moves, e.east, "east.gov.uk")
		await(t, "it is in force", func() bool {
			return call(t, e.east.Agreements().Show, node.AgreementRequest{Name: "east.gov.uk/moves"}).InForce
		})
		anew := call(t, e.east.Handovers().Offer, again)
		if anew.Ref != "CP-3" || anew.Notice != "1999-12-19" || anew.Due != due {
			t.Errorf("offered anew as %+v", anew)
		}
		if r := call(t, e.east.Handovers().Show, node.CaseRequest{Case: open}); r.State != "continued" || r.Next != anew.Case {
			t.Errorf("and it is %+v", r)
		}
		if _, err := e.east.Handovers().Offer(t.Context(), again); !is(err, node.Conflict) {
			t.Errorf("offered anew twice: %v", err)
		}
		await(t, "the offer has come", func() bool {
			return try(t.Context(), e.partner.Handovers().Show, node.CaseRequest{Case: anew.Case}, new(node.CaseReply)) == nil
		})
		call(t, e.partner.Handovers().Accept, node.CaseRequest{Case: anew.Case, By: "Sam"})
		await(t, "it is closed", func() bool {
			return call(t, e.east.Handovers().Show, node.CaseRequest{Case: anew.Case}).State == "closed"
		})

		trust := audit.Trust{Members: membersOf(t, e.old, e.partner, e.east, e.west)}
		file := filepath.Join(t.TempDir(), "east.stile")
		call(t, e.old.Successions().HandOver, node.HandOverRequest{To: "east.gov.uk", File: file})
		f, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		report, err := audit.Verify(bytes.NewReader(f), int64(len(f)), audit.Options{Trust: trust})
		if err != nil {
			t.Fatal(err)
		}
		if c, _ := report.Check(audit.CheckSuccession); !report.OK() || !strings.Contains(c.Detail, "the handover "+open[:8]+" with saltby.gov.uk, which was offered, goes on with east.gov.uk") {
			t.Errorf("the file says %+v", c)
		}
	})
}
