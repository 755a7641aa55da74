package node_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/disclosure"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// An ending is a council that ends ten minutes after it begins, and is shared out; with a
// partner of its and its successors.
type ending struct {
	t                        testing.TB
	m                        *wire.Memory
	old, partner, east, west *running
	oldCfg, cfg              *config.Config // of the first two
	ids                      []name.Record  // of the records of old
}

func theEnd(t *testing.T) *ending {
	time.Sleep(23*time.Hour + 50*time.Minute) // the day is the second of the bubble
	e := &ending{t: t, m: wire.NewMemory()}
	e.old, e.oldCfg = inBubble(t, e.m, northmoor)
	e.partner, e.cfg = inBubble(t, e.m, saltby)
	e.east, _ = inBubble(t, e.m, "east.gov.uk")
	e.west, _ = inBubble(t, e.m, "west.gov.uk")
	introduce(t, e.old, e.partner, e.east, e.west)
	for _, n := range []*running{e.old, e.partner, e.east, e.west} {
		publish(t, n, func(r *tufdir.Repository) error {
			day := time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC)
			if err := r.Succeed(northmoor, "east.gov.uk", day, time.Now()); err != nil {
				return err
			}
			return r.Succeed(northmoor, "west.gov.uk", day, time.Now())
		})
	}
	for _, r := range offer(t, e.old, "planning-application", planning(1, "X"), planning(2, "Y"), planning(3, "X")).Results {
		e.ids = append(e.ids, r.Record)
	}
	return e
}

// text returns an agreement of old with the partner about all its records.
func (e *ending) text(slug string) string {
	return strings.NewReplacer("starts: 2026-01-01", "starts: 2000-01-01", "planning-for-saltby", slug, `record.district == "X"`, `record.district != "Z"`).Replace(planningAgreement)
}

// novated has the partner and a successor sign what an agreement of old goes on as, from the
// day on.
func (e *ending) novated(text string, s *running, c name.Council) (name string) {
	return e.novatedFrom("2000-01-02", text, s, c)
}

func (e *ending) novatedFrom(day, text string, s *running, c name.Council) (name string) {
	text = strings.NewReplacer(string(northmoor), string(c), "starts: 2000-01-01", "starts: "+day).Replace(text)
	name = strings.TrimPrefix(strings.SplitN(strings.TrimSpace(text), "\n", 2)[0], "agreement: ")
	call(e.t, s.Agreements().Sign, node.AgreementRequest{Document: []byte(text)})
	await(e.t, "the proposal arrives", func() bool {
		return try(e.t.Context(), e.partner.Agreements().Show, node.AgreementRequest{Name: name}, new(node.AgreementReply)) == nil
	})
	call(e.t, e.partner.Agreements().Sign, node.AgreementRequest{Document: []byte(text)})
	await(e.t, "both have signed", func() bool {
		return len(call(e.t, s.Agreements().Show, node.AgreementRequest{Name: name}).Waiting) == 0
	})
	return name
}

func (e *ending) seal() node.SuccessionReply {
	return call(e.t, e.old.Successions().Seal, node.SuccessionRequest{Plan: []byte(sharedOut)})
}

// readable fails unless the partner reads each record, as what it was or as what it is.
func (e *ending) readable(when string) {
	e.t.Helper()
	for i, id := range e.ids {
		var r node.RecordReply
		err := try(e.t.Context(), e.partner.Records().Show, node.RecordRequest{Record: string(id), From: northmoor}, &r)
		if err != nil || !strings.Contains(string(r.Body), fmt.Sprintf("26/%07d/PA", i+1)) {
			e.t.Errorf("%s record %d reads %s %v", when, i+1, r.Body, err)
		}
	}
}

// keeps returns how many records the partner keeps for successors.
func (e *ending) keeps() (n int) {
	for _, p := range get(e.t, e.partner.Status).Partners {
		if p.Kept != nil {
			n += p.Held
		}
	}
	return n
}

// audited fails unless the file of what the partner holds of a council verifies, and says
// some words of the succession.
func (e *ending) audited(from name.Council, records int, says ...string) {
	e.t.Helper()
	file := call(e.t, e.partner.Bundle, node.BundleRequest{Held: true, From: string(from)}).Bundle
	if r := e.verified("what is held of "+string(from), file, says...); r.Counts.Records != records {
		e.t.Errorf("%d records are held of %s, want %d", r.Counts.Records, from, records)
	}
}

// verified fails unless a file verifies with the keys that a successor's directory has, and
// says some words of the succession.
func (e *ending) verified(what string, file []byte, says ...string) *audit.Report {
	e.t.Helper()
	var trust audit.Trust
	for _, c := range []name.Council{northmoor, saltby, "east.gov.uk", "west.gov.uk"} {
		m, err := directory.ParseMember([]byte(call(e.t, e.east.Councils().Show, node.MemberNameRequest{Council: string(c)}).Document))
		if err != nil {
			e.t.Fatal(err)
		}
		trust.Members = append(trust.Members, m)
	}
	r, err := audit.Verify(bytes.NewReader(file), int64(len(file)), audit.Options{Trust: trust})
	if err != nil {
		e.t.Fatalf("%s: %v", what, err)
	}
	c, _ := r.Check(audit.CheckSuccession)
	if !r.OK() {
		e.t.Errorf("%s does not verify: %+v", what, r.Checks)
	}
	for _, s := range says {
		if !strings.Contains(c.Detail, s) {
			e.t.Errorf("%s does not say %q: %s", what, s, c.Detail)
		}
	}
	return r
}

// TestNoGapForAPartner: a partner that has agreed with both successors of a council goes on
// reading every record, from before the end until each has come from its successor; and by
// the id that it had. It says so to the council that ends, which waits for nothing more.
func TestNoGapForAPartner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := theEnd(t)
		text := e.text("planning")
		agreed(t, text, e.old, e.partner)
		await(t, "the partner holds three", func() bool { return get(t, e.partner.Status).Holdings == 3 })
		e.novated(text, e.east, "east.gov.uk")
		e.novated(text, e.west, "west.gov.uk")
		e.readable("before")
		bundled := func() []byte {
			return call(t, e.old.Bundle, node.BundleRequest{Agreement: "northmoor.gov.uk/planning"}).Bundle
		}
		if c, told := e.verified("the bundle from before", bundled()).Check(audit.CheckSuccession); told && c.Detail != "" {
			t.Errorf("before the end the bundle says %+v", c)
		}

		s := e.seal()
		await(t, "the partner has said that it keeps three", func() bool {
			s = get(t, e.old.Successions().Show)
			e.readable("while it ends")
			return len(s.Unreceived) == 0 && len(s.Kept) == 1 && e.keeps() == 3
		})
		if k := s.Kept[0]; k.Council != saltby || k.Records != 3 || len(k.For) != 2 || k.Until != "2000-02-01" {
			t.Errorf("it is told %+v", k)
		}
		list := call(t, e.partner.Records().List, node.ListRequest{From: northmoor})
		if len(list.Records) != 3 || list.Records[0].Kept != "kept until it comes from east.gov.uk and west.gov.uk, at the latest until 2000-02-01" {
			t.Errorf("the list: %+v", list.Records)
		}
		// The council that ended shows by its own file how it ended, and what became of what went.
		const (
			ends  = "northmoor.gov.uk/planning, version 1, ends with northmoor.gov.uk on 2000-01-02, and that east.gov.uk and west.gov.uk take over some of what went under it."
			last  = "is the last of northmoor.gov.uk: on 2000-01-02 it is succeeded by east.gov.uk"
			keeps = "saltby.gov.uk says that it keeps 3 records of northmoor.gov.uk under northmoor.gov.uk/planning, version 1"
		)
		cosigned := func(r *audit.Report) bool {
			return slices.ContainsFunc(r.Witnesses, func(w audit.Witnessed) bool { return w.Witness == saltby && w.Size == r.LogSize })
		}
		await(t, "the partner has cosigned the last entry", func() bool { return len(get(t, e.old.Successions().Show).Witnesses) > 0 })
		if r := e.verified("the bundle from after", bundled(), ends, last, keeps); r.Counts.Records != 3 || !cosigned(r) {
			t.Errorf("after the end the bundle has %+v, witnessed by %+v", r.Counts, r.Witnesses)
		}
		e.audited(northmoor, 3, ends, last, keeps)
		why := call(t, e.partner.Why, node.WhyRequest{Partner: string(northmoor), Record: string(e.ids[0]), From: true})
		if !strings.Contains(why.Answer, "which is over: it is kept until it comes from east.gov.uk and west.gov.uk") {
			t.Errorf("why: %s", why.Answer)
		}

		// One takes over before the day, the other after it.
		if r := call(t, e.east.Successions().TakeOver, node.TakeOverRequest{From: northmoor, Unwitnessed: true}); r.Taken != 2 {
			t.Fatalf("east took over %+v", r)
		}
		file := filepath.Join(t.TempDir(), "west.stile")
		call(t, e.old.Successions().HandOver, node.HandOverRequest{To: "west.gov.uk", File: file})
		if n := e.keeps(); n != 3 {
			t.Errorf("before the day it keeps %d", n)
		}
		time.Sleep(10 * time.Minute)
		e.readable("on the day")
		await(t, "two have come", func() bool { e.readable("meanwhile"); return e.keeps() == 1 })
		if n := get(t, e.partner.Status).Holdings; n != 3 {
			t.Errorf("it holds %d", n)
		}
		e.audited(northmoor, 1, ends, last, keeps)
		e.audited("east.gov.uk", 2)
		handed, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if r := e.verified("what is handed over", handed, last); !cosigned(r) {
			t.Errorf("what is handed over is witnessed by %+v", r.Witnesses)
		}
		if r := call(t, e.west.Successions().TakeOver, node.TakeOverRequest{File: file, Unwitnessed: true}); r.Taken != 1 {
			t.Fatalf("west took over %+v", r)
		}
		await(t, "all have come", func() bool { e.readable("meanwhile"); return e.keeps() == 0 })
		e.readable("at the end")
		now := call(t, e.partner.Records().Show, node.RecordRequest{Record: string(e.ids[1])})
		if now.Council != "west.gov.uk" || now.Former == nil || now.Former.Council != northmoor || now.Former.Record != e.ids[1] || now.Record == e.ids[1] {
			t.Errorf("the second record is %+v", now)
		}
		why = call(t, e.partner.Why, node.WhyRequest{Partner: string(northmoor), Record: string(e.ids[1]), From: true})
		if !why.Had || !strings.Contains(why.Answer, "it came from west.gov.uk as record "+string(now.Record)) {
			t.Errorf("why: %s", why.Answer)
		}
		await(t, "nothing is held of the council that ended", func() bool {
			return len(call(t, e.partner.Records().List, node.ListRequest{From: northmoor}).Records) == 0 && get(t, e.partner.Status).Holdings == 3
		})
		e.old.stop()
		e.old = reopened(t, e.m, e.oldCfg) // by who has its folder now
		if r := e.verified("the bundle that its heir makes", bundled(), ends, last, keeps); r.Counts.Records != 3 || !cosigned(r) {
			t.Errorf("the bundle of the heir has %+v, witnessed by %+v", r.Counts, r.Witnesses)
		}
	})
}

// TestKeptNoLonger: where one successor of two has agreed to nothing all is deleted at once.
// What is kept is deleted when an agreement with a successor ends before anything has come,
// and thirty days after the day. Rows that name a council which ended, or its code, are the
// same where the novated ones name its successor.
func TestKeptNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := theEnd(t)
		rows := func(text, rows string) string { return strings.Replace(text, `record.district != "Z"`, rows, 1) }
		both, one, over := rows(e.text("both"), `record.district != "Z" && !(record.district in ["E07000999", "northmoor.gov.uk"])`), e.text("one"), rows(e.text("over"), `record.district != "northmoor.gov.uk"`)
		goesOn := func(text string, s *running, c name.Council) {
			e.novated(strings.ReplaceAll(text, codeOf[northmoor], codeOf[c]), s, c)
		}
		agreed(t, both, e.old, e.partner)
		agreed(t, one, e.old, e.partner)
		agreed(t, over, e.old, e.partner)
		await(t, "the partner holds three, three times", func() bool { return get(t, e.partner.Status).Holdings == 9 })
		for _, text := range []string{both, over, one} {
			goesOn(text, e.east, "east.gov.uk")
		}
		for _, text := range []string{both, over} {
			goesOn(text, e.west, "west.gov.uk")
		}
		e.seal()
		await(t, "it keeps six", func() bool {
			s := get(t, e.old.Successions().Show)
			return len(s.Unreceived) == 0 && len(s.Kept) == 2 && e.keeps() == 6 && get(t, e.partner.Status).Holdings == 6
		})
		call(t, e.partner.Agreements().End, node.AgreementRequest{Name: "west.gov.uk/over", Reason: "we do not go on"})
		await(t, "it keeps three", func() bool { return e.keeps() == 3 && get(t, e.partner.Status).Holdings == 3 })
		e.partner.stop()
		e.partner = reopened(t, e.m, e.cfg)
		if n := e.keeps(); n != 3 {
			t.Errorf("after a new start it keeps %d", n)
		}
		for _, n := range []*running{e.old, e.partner, e.east, e.west} {
			n.stop()
		}
		time.Sleep(30*24*time.Hour + 20*time.Minute)
		e.partner = reopened(t, e.m, e.cfg)
		await(t, "the time is over", func() bool { return e.keeps() == 0 && get(t, e.partner.Status).Holdings == 0 })
	})
}

// TestErasedWhileKept: what a successor erases before its first copy, or while the agreement is
// suspended, a partner that keeps it until it comes deletes too: it receipts the order to the
// successor, and keeps the rest. Who asks for the erasure may name the record as it was.
func TestErasedWhileKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := theEnd(t)
		text := e.text("planning")
		agreed(t, text, e.old, e.partner)
		await(t, "the partner holds three", func() bool { return get(t, e.partner.Status).Holdings == 3 })
		e.novated(text, e.east, "east.gov.uk")
		west := e.novated(text, e.west, "west.gov.uk")
		e.seal()
		await(t, "it keeps three", func() bool { return e.keeps() == 3 })
		for _, s := range []*running{e.east, e.west} {
			call(t, s.Successions().TakeOver, node.TakeOverRequest{From: northmoor, Unwitnessed: true})
		}
		erase := func(n *running, id name.Record) {
			t.Helper()
			r := call(t, n.Records().Erase, node.EraseRequest{Record: string(id), Reason: "request 2000-7"})
			if len(r.Records) != 1 || r.Records[0].Versions != 1 || len(r.Records[0].Orders) != 1 || r.Records[0].Orders[0].To != saltby {
				t.Errorf("erased: %+v", r)
			}
		}
		receipted := func(n *running) bool {
			p := get(t, n.Status).Partners
			return len(p) == 1 && p[0].Council == saltby && p[0].Outstanding == 0 && p[0].InStep
		}
		gone := func(id name.Record) bool {
			return is(try(t.Context(), e.partner.Records().Show, node.RecordRequest{Record: string(id), From: northmoor}, new(node.RecordReply)), node.NotFound)
		}
		erase(e.east, e.ids[0])
		if n := e.keeps(); n != 3 {
			t.Errorf("before the day it keeps %d", n)
		}
		call(t, e.west.Agreements().Suspend, node.AgreementRequest{Name: west, Reason: "we look into it"})
		erase(e.west, e.ids[1])
		time.Sleep(10 * time.Minute)
		await(t, "one has come, one is gone by each order", func() bool {
			return gone(e.ids[0]) && gone(e.ids[1]) && receipted(e.east) && get(t, e.partner.Status).Holdings == 1
		})
		if n := e.keeps(); n != 0 {
			t.Errorf("it keeps %d", n)
		}
		p := call(t, e.west.Agreements().Show, node.AgreementRequest{Name: west}).Partners
		if len(p) != 1 || p[0].Outstanding != 0 {
			t.Errorf("the order under the agreement that is suspended: %+v", p)
		}
	})
}

// TestSubjectWhileKept: a person who asks what is held about them is told by a partner what it keeps
// of a council that has ended, for how long and for whom; by the successor, that the record was
// another's; and by the ledger that was sealed, who had been given it. What the person has erased
// is erased by the successor, and goes from what is kept though nothing new may go meanwhile.
func TestSubjectWhileKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := theEnd(t)
		put := offerHousing(t, e.old, housing("HN-1", "AB123456C", "E07000999"), housing("HN-2", "AB123457C", "E07000999"))
		text := strings.Replace(peopleText("cases", "", saltby), "starts: 2020-01-01", "starts: 2000-01-01", 1)
		agreed(t, text, e.old, e.partner)
		await(t, "the partner holds two", func() bool { return get(t, e.partner.Status).Holdings == 2 })
		cases := e.novated(text, e.east, "east.gov.uk")
		plan := sharedOut + "      - {standard: standards.stile.example/housing-need, field: /district, values: {east.gov.uk: [E07000998]}}\n"
		call(t, e.old.Successions().Seal, node.SuccessionRequest{Plan: []byte(plan)})
		await(t, "it keeps two", func() bool { return e.keeps() == 2 })
		call(t, e.east.Successions().TakeOver, node.TakeOverRequest{From: northmoor, Unwitnessed: true})
		call(t, e.east.Agreements().Suspend, node.AgreementRequest{Name: cases, Reason: "we look into it"})

		about := func(n *running, person string) node.SubjectReply {
			t.Helper()
			return call(t, n.Disclosures().Subject, node.SubjectRequest{Person: person})
		}
		const kept = "kept until it comes from east.gov.uk, at the latest until 2000-02-01"
		keeps := func(person string, was node.PutResult) {
			t.Helper()
			r := about(e.partner, person)
			if len(r.Records) != 0 || len(r.Received) != 1 {
				t.Fatalf("%s: the partner says %+v", person, r)
			}
			h := r.Received[0]
			if h.From != northmoor || h.Council != northmoor || h.Kept != kept || h.Received.IsZero() || h.Record != was.Record || h.Entry != was.Index {
				t.Errorf("%s: the partner says %+v", person, h)
			}
			if len(r.Agreements) != 1 || r.Agreements[0].Stands == "in force" {
				t.Errorf("%s: the agreement is %+v", person, r.Agreements)
			}
			var page bytes.Buffer
			if err := disclosure.WriteHTML(&page, &r, ""); err != nil || !strings.Contains(page.String(), "This copy is "+kept) || !strings.Contains(page.String(), person) {
				t.Errorf("%s: the page: %v", person, err)
			}
		}
		keeps("AB123456C", put[0])
		asked := call(t, e.partner.Disclosures().Subject, node.SubjectRequest{Person: "AB123456C", AskPartners: true, Because: "request 2000-5"})
		if len(asked.Partners) != 1 || asked.Partners[0].Says != node.PartnerEnded || !strings.Contains(asked.Partners[0].Why, "its successors") || !strings.HasSuffix(asked.Partners[0].Why, kept) {
			t.Errorf("of whom can be asked the partner says %+v", asked.Partners)
		}
		if r := about(e.old, "AB123456C"); len(r.Records) != 1 || len(r.Records[0].Disclosed) != 1 || r.Records[0].Disclosed[0].To != saltby || r.Records[0].Disclosed[0].Receipt == nil {
			t.Errorf("the council that has ended says %+v", r.Records)
		}
		r := about(e.east, "AB123456C")
		if len(r.Records) != 1 || len(r.Records[0].Disclosed) != 0 || r.Records[0].Former == nil || r.Records[0].Former.Council != northmoor || r.Records[0].Former.Record != put[0].Record || len(r.Records[0].Versions[0].Body) == 0 {
			t.Errorf("the successor says %+v", r.Records)
		}

		gone := call(t, e.east.Records().Erase, node.EraseRequest{Person: "AB123456C", Reason: "request 2000-7"})
		if len(gone.Records) != 1 || len(gone.Records[0].Orders) != 1 || gone.Records[0].Orders[0].To != saltby {
			t.Errorf("erased: %+v", gone)
		}
		if f := gone.Records[0].Former; f == nil || f.Council != northmoor || f.Record != put[0].Record {
			t.Errorf("of where it stays it says %+v", f)
		}
		time.Sleep(10 * time.Minute)
		await(t, "the successor's order has been carried out, and said so", func() bool {
			p := call(t, e.east.Agreements().Show, node.AgreementRequest{Name: cases}).Partners
			return e.keeps() == 1 && len(p) == 1 && p[0].Outstanding == 0
		})
		for n, c := range map[*running]name.Council{e.partner: saltby, e.east: "east.gov.uk"} {
			var r node.SubjectReply
			if err := try(t.Context(), n.Disclosures().Subject, node.SubjectRequest{Person: "AB123456C"}, &r); !is(err, node.NotFound) {
				t.Errorf("%s still says %+v: %v", c, r, err)
			}
		}
		keeps("AB123457C", put[1])
	})
}

// TestFirstCopyBeforeTheEnd: the agreement with a successor starts before the day, and its first
// copy is there before the partner hears that the council has ended. What it keeps then is only
// what has not come yet; each record is read all the time, and none is there twice in the end.
func TestFirstCopyBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := theEnd(t)
		text := e.text("planning")
		agreed(t, text, e.old, e.partner)
		await(t, "the partner holds three", func() bool { return get(t, e.partner.Status).Holdings == 3 })
		e.novatedFrom("2000-01-01", text, e.east, "east.gov.uk")
		e.novated(text, e.west, "west.gov.uk")
		e.m.Cut(northmoor, saltby)
		e.seal()
		call(t, e.east.Successions().TakeOver, node.TakeOverRequest{From: northmoor, Unwitnessed: true})
		await(t, "two have come, beside those of the council that ended", func() bool { return get(t, e.partner.Status).Holdings == 5 })
		e.readable("meanwhile")
		call(t, e.east.Records().Erase, node.EraseRequest{Record: string(e.ids[0]), Reason: "request 2000-9"})
		await(t, "one is erased", func() bool { return get(t, e.partner.Status).Holdings == 4 })
		e.m.Heal(northmoor, saltby)
		time.Sleep(5 * time.Minute)
		await(t, "it keeps what has not come", func() bool { return e.keeps() == 1 && get(t, e.partner.Status).Holdings == 2 })
		now := call(t, e.partner.Records().Show, node.RecordRequest{Record: string(e.ids[2])})
		if now.Council != "east.gov.uk" || now.Former == nil || now.Former.Record != e.ids[2] {
			t.Errorf("the third record is %+v", now)
		}
	})
}

// TestPassedOnWhileKept: what a partner passed on of a council that ends it takes back as it
// begins to keep it, though the agreement it passes it on by is suspended; what a successor
// erases meanwhile it orders there to be erased.
func TestPassedOnWhileKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := theEnd(t)
		third, _ := inBubble(t, e.m, castlebridge)
		introduce(t, e.partner, third)
		introduce(t, third, e.old)
		const open = "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate"
		text := strings.Replace(e.text("planning"), "\npurpose:", "\nonward:\n  to: [castlebridge.gov.uk]\n  fields: ["+open+"]\npurpose:", 1)
		agreed(t, text, e.old, e.partner)
		agreed(t, strings.NewReplacer("northmoor.gov.uk/moving", "northmoor.gov.uk/planning", "starts: 2026-01-01", "starts: 2000-01-01").Replace(passing(1, open)), e.partner, third)
		await(t, "the third has them", func() bool { return get(t, third.Status).Holdings == 3 })
		e.novated(text, e.east, "east.gov.uk")
		e.novated(text, e.west, "west.gov.uk")
		call(t, third.Agreements().Suspend, node.AgreementRequest{Name: "saltby.gov.uk/on", Reason: "we look into it"})
		await(t, "the partner knows", func() bool {
			return !call(t, e.partner.Agreements().Show, node.AgreementRequest{Name: "saltby.gov.uk/on"}).InForce
		})
		e.seal()
		await(t, "it keeps three, and the third has none", func() bool { return e.keeps() == 3 && get(t, third.Status).Holdings == 0 })
		call(t, e.east.Successions().TakeOver, node.TakeOverRequest{From: northmoor, Unwitnessed: true})
		call(t, e.east.Records().Erase, node.EraseRequest{Record: string(e.ids[0]), Reason: "request 2000-8"})
		orders := func() (n int) {
			for _, p := range call(t, e.partner.Agreements().Show, node.AgreementRequest{Name: "saltby.gov.uk/on"}).Partners {
				n += p.Erasures
			}
			return n
		}
		third.stop()
		time.Sleep(10 * time.Minute)
		await(t, "one is gone, and ordered to be erased by the third", func() bool { return e.keeps() == 1 && orders() == 1 })
	})
}

// TestKeptByTheDirectoryAlone: a partner was away when the council ended, and comes back when
// the directory lets nothing through any more. The agreement is over there without anybody
// typing, and what it holds is kept until it comes from the successors.
func TestKeptByTheDirectoryAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := theEnd(t)
		text := e.text("planning")
		agreed(t, text, e.old, e.partner)
		await(t, "the partner holds three", func() bool { return get(t, e.partner.Status).Holdings == 3 })
		e.novated(text, e.east, "east.gov.uk")
		e.novated(text, e.west, "west.gov.uk")
		e.partner.stop()
		if s := e.seal(); len(s.Unreceived) != 1 {
			t.Errorf("sealed with the partner away: %+v", s)
		}
		for _, s := range []*running{e.east, e.west} {
			call(t, s.Successions().TakeOver, node.TakeOverRequest{From: northmoor, Unwitnessed: true})
			s.stop()
		}
		e.m.Cut(northmoor, saltby)
		time.Sleep(10 * time.Minute)
		e.partner = reopened(t, e.m, e.cfg)
		await(t, "the agreement is over, and three are kept", func() bool { return e.keeps() == 3 })
		e.readable("with the successors away")
		if st := call(t, e.partner.Agreements().Show, node.AgreementRequest{Name: "northmoor.gov.uk/planning"}); st.InForce || !strings.Contains(st.Why, "by the directory") {
			t.Errorf("the agreement: %+v", st)
		}
	})
}
