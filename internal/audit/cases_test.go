package audit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
)

// byHand is a town whose agreement is of a mode in which records go by hand, with one record.
func byHand(t *testing.T, m agreement.Mode) (w *town, at uint64, token []byte, items []event.Item) {
	w = newTown(t)
	w.doc.Mode, w.doc.Retention = m, "P2D"
	var err error
	if w.terms, err = w.doc.Compile(w.std); err != nil {
		t.Fatal(err)
	}
	w.agree()
	at, token = w.record("R1", "E07000999")
	return w, at, token, []event.Item{{Agreement: moving, Version: 1, Record: w.last["R1"].Record, Entry: at}}
}

// entryOf returns the entry that a signed event is.
func (w *town) entryOf(jws []byte) tlog.Hash {
	tok, _, err := record.ParseEvent(jws)
	w.must(err)
	return tok.Entry()
}

// What an auditor says of a record that was disclosed urgently, as the story is changed.
func TestUrgentJudged(t *testing.T) {
	type story struct {
		approver, named string
		days            int
		early, loose    bool // sent before the approval; given by nobody
		unended, late   bool
	}
	for _, c := range []struct {
		name  string
		rule  string
		story story
	}{
		{"honest", "", story{approver: "Ann Lee"}},
		{"one person twice", "is the approval of the person who gave it", story{approver: "JO  Smith", named: "Pat"}},
		{"another is named as the first", "names another person", story{approver: "Ann Lee", named: "Pat"}},
		{"nobody gave it", "nobody is shown to have given", story{approver: "Ann Lee", loose: true}},
		{"for too long", "for longer than the agreement says", story{approver: "Ann Lee", days: 3}},
		{"sent before", "no case in the file had let it out by then", story{approver: "Ann Lee", early: true}},
		{"not ended", "has not been ended", story{approver: "Ann Lee", unended: true}},
		{"ended late", "ends an urgent disclosure after its time was over", story{approver: "Ann Lee", late: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, at, token, items := byHand(t, agreement.BreakGlass)
			id := event.CaseID{1}
			s := c.story
			if s.named == "" {
				s.named = "Jo Smith"
			}
			if s.days == 0 {
				s.days = 2
			}
			if s.early {
				w.send(map[uint64][]byte{at: token})
			}
			if !s.loose {
				w.event(event.KindUrgentGiven, event.UrgentGiven{Case: id, To: saltby, Because: "night", By: "Jo Smith", Items: items}.Body())
			}
			until := w.now + int64(s.days)*86400
			w.event(event.KindUrgentDecided, event.UrgentDecided{Case: id, To: saltby, Because: "night", By: s.approver, GivenBy: s.named, Approved: true, Until: uint64(until), Items: items}.Body())
			if !s.early {
				w.send(map[uint64][]byte{at: token})
			}
			w.receipt([]uint64{at}, nil)
			if s.unended {
				w.header.Created = time.Unix(until, 0).UTC().Add(2 * time.Hour)
			} else {
				if s.late {
					w.now = until + 7200
				}
				w.event(event.KindUrgentEnded, event.UrgentEnded{Case: id, To: saltby, Because: "over", Items: items}.Body())
			}
			judged(t, w, c.rule)
		})
	}
}

// What an auditor says of a record that was handed over, as the story is changed.
func TestHandoverJudged(t *testing.T) {
	for _, c := range []struct {
		name, rule                              string
		unanswered, declined, other, back, late bool
	}{
		{name: "honest"},
		{name: "never answered", rule: "is not shown to have accepted", unanswered: true},
		{name: "declined", rule: "is not shown to have accepted", declined: true},
		{name: "answer to another offer", rule: "is not shown to have accepted", other: true},
		{name: "withdrawn before it went", rule: "no case in the file had let it out by then", back: true},
		{name: "accepted long after", rule: "before the receiver accepted it", late: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, at, token, items := byHand(t, agreement.Handover)
			id := event.CaseID{2}
			offer := w.event(event.KindHandoverOffer, event.HandoverOffer{Case: id, To: saltby, Because: "moved", By: "Jo", Items: items}.Body())
			answer := event.HandoverAnswer{Case: id, From: northmoor, Offer: w.entryOf(w.include[offer]), Accepted: true, Taken: []uint64{0}, By: "Sam"}
			if c.declined {
				answer.Accepted, answer.Taken = false, nil
			}
			if c.other {
				answer.Offer[0]++
			}
			now := w.now
			if c.late {
				w.now += 3600
			}
			var said tlog.Hash
			if !c.unanswered {
				w.heard(event.KindHandoverAnswer, answer.Body())
				said = w.entryOf(w.events[len(w.events)-1])
			}
			if c.late {
				w.now = now
			}
			if c.back {
				w.event(event.KindHandoverWithdrawn, event.HandoverWithdrawn{Case: id, To: saltby, Because: "stays"}.Body())
			}
			w.send(map[uint64][]byte{at: token})
			w.receipt([]uint64{at}, nil)
			w.event(event.KindHandoverClosed, event.HandoverClosed{Case: id, To: saltby, Answer: said, Passed: items}.Body())
			judged(t, w, c.rule)
		})
	}
}

// judged verifies the town's bundle and expects the check of cases to fail by a rule, or to
// pass when rule is "".
func judged(t *testing.T, w *town, rule string) {
	t.Helper()
	w.checkpoint(true)
	r := verify(t, w.bundle(7), Options{Trust: w.trust()})
	if rule == "" {
		expect(t, r, CheckCases, OK)
		if c, _ := r.Check(CheckCases); c.Count != 2 {
			t.Errorf("%d things were in order, want the case and the record: %+v", c.Count, c)
		}
		return
	}
	c, _ := r.Check(CheckCases)
	for _, f := range c.Failures {
		if strings.Contains(f.Rule, rule) {
			return
		}
	}
	t.Errorf("no failure says %q: %s", rule, fmt.Sprint(c))
}

// The last day of an offer is counted again by England's bank holidays: one that is later, or
// none, is a fault of the sender; that the receiver let it go by, or that nobody reviewed what was
// urgent, is said of whom it is, and is no fault of the file.
func TestDueJudged(t *testing.T) {
	for _, c := range []struct {
		due  string
		rule string
	}{
		{"2026-05-22", ""}, // 15 working days from Thursday 30 April, with the bank holiday of 4 May
		{"2026-05-20", ""},
		{"2026-05-23", "gives the receiver longer than the agreement, which says 15 working days from 2026-04-30: until 2026-05-22"},
		{"", "gives the receiver longer"},
	} {
		w := newTown(t)
		w.doc.Mode, w.doc.Retention, w.doc.Due = agreement.Handover, "P2D", "15 working days"
		w.agree()
		at, token := w.record("R1", "E07000999")
		items := []event.Item{{Agreement: moving, Version: 1, Record: w.last["R1"].Record, Entry: at}}
		w.include[at] = token
		offer := w.event(event.KindHandoverOffer, event.HandoverOffer{Case: event.CaseID{2}, To: saltby, Because: "moved", By: "Jo", Notice: "2026-04-30", Due: c.due, Items: items}.Body())
		w.checkpoint(true)
		r := verify(t, w.bundle(7), Options{Trust: w.trust()})
		got, _ := r.Check(CheckCases)
		if c.rule == "" {
			expect(t, r, CheckCases, OK, fmt.Sprintf("The receiver had not said by the last day whether it takes over: 1 handover, offered in entry %d.", offer))
			continue
		}
		if len(got.Failures) != 1 || !strings.Contains(got.Failures[0].Rule, c.rule) {
			t.Errorf("last day %q: %+v", c.due, got)
		}
	}
}

func TestUnreviewed(t *testing.T) {
	for _, reviewed := range []bool{false, true} {
		w, at, token, items := byHand(t, agreement.BreakGlass)
		id, until := event.CaseID{1}, uint64(w.now+86400)
		w.event(event.KindUrgentGiven, event.UrgentGiven{Case: id, To: saltby, Because: "night", By: "Jo Smith", Items: items}.Body())
		w.event(event.KindUrgentDecided, event.UrgentDecided{Case: id, To: saltby, Because: "night", By: "Ann Lee", GivenBy: "Jo Smith", Approved: true, Until: until, Items: items}.Body())
		w.send(map[uint64][]byte{at: token})
		w.receipt([]uint64{at}, nil)
		ended := w.event(event.KindUrgentEnded, event.UrgentEnded{Case: id, To: saltby, Because: "over", Items: items}.Body())
		if reviewed {
			w.event(event.KindUrgentReviewed, event.UrgentReviewed{Case: id, Partner: saltby, Because: "as it should be", By: "Jo Smith"}.Body())
		}
		w.checkpoint(true)
		r := verify(t, w.bundle(7), Options{Trust: w.trust()})
		expect(t, r, CheckCases, OK)
		words := fmt.Sprintf("No review by this council is in the file of 1 urgent disclosure that is over, ended in entry %d.", ended)
		if c, _ := r.Check(CheckCases); strings.Contains(c.Detail, words) == reviewed {
			t.Errorf("reviewed: %v: %s", reviewed, c.Detail)
		}
	}
}

// A version that was sent again, since its receipt had not come, went out once.
func TestSentAgain(t *testing.T) {
	w, at, token, items := byHand(t, agreement.BreakGlass)
	id, until := event.CaseID{1}, uint64(w.now+86400)
	w.event(event.KindUrgentGiven, event.UrgentGiven{Case: id, To: saltby, Because: "night", By: "Jo Smith", Items: items}.Body())
	w.event(event.KindUrgentDecided, event.UrgentDecided{Case: id, To: saltby, Because: "night", By: "Ann Lee", GivenBy: "Jo Smith", Approved: true, Until: until, Items: items}.Body())
	w.send(map[uint64][]byte{at: token})
	w.send(map[uint64][]byte{at: token})
	w.receipt([]uint64{at}, nil)
	w.event(event.KindUrgentEnded, event.UrgentEnded{Case: id, To: saltby, Because: "over", Items: items}.Body())
	w.checkpoint(true)
	r := verify(t, w.bundle(7), Options{Trust: w.trust()})
	expect(t, r, CheckCases, OK)
	if c, _ := r.Check(CheckCases); !strings.Contains(c.Detail, " 1 version of a record went out") {
		t.Errorf("it says: %s", c.Detail)
	}
}
