package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/workday"
	"github.com/stile-exchange/stile/node/name"
)

// Under an agreement of a mode in which records go by hand, people let out each record, in
// a case. A bundle of the agreement holds what both councils said of its cases. Here it is
// judged whether each record went out after the word of those who may give it: in a handover
// of a person of the receiver, in an urgent disclosure of two persons of the sender.

// A caseWord is what an event says of a case.
type caseWord struct {
	id      event.CaseID
	partner name.Council // of whoever says it
	items   []event.Item // offered, given, approved or passed
	left    []event.Item // that a handover leaves behind
	taken   []uint64     // places in the items of the offer
	yes     bool         // accepted, or approved
	by      string       // who says it
	givenBy string       // in an approval, the first person
	until   uint64       // seconds since 1970
	answers tlog.Hash    // the entry that it answers

	notice, due string // of an offer: the day that its time is counted from, and the last; "" for none
}

// inCase reads what was said of a case in which people let out records.
func (s *claimed) inCase(ev *record.Event) error {
	var w caseWord
	var err error
	switch ev.Kind {
	case event.KindHandoverOffer:
		var h event.HandoverOffer
		h, err = event.ParseHandoverOffer(ev.Body)
		w = caseWord{id: h.Case, partner: h.To, items: h.Items, by: h.By, notice: strings.Clone(h.Notice), due: strings.Clone(h.Due)}
	case event.KindHandoverAnswer:
		var h event.HandoverAnswer
		h, err = event.ParseHandoverAnswer(ev.Body)
		w = caseWord{id: h.Case, partner: h.From, taken: h.Taken, yes: h.Accepted, by: h.By, answers: h.Offer}
	case event.KindHandoverWithdrawn:
		var h event.HandoverWithdrawn
		h, err = event.ParseHandoverWithdrawn(ev.Body)
		w = caseWord{id: h.Case, partner: h.To, by: h.By}
	case event.KindHandoverClosed:
		var h event.HandoverClosed
		h, err = event.ParseHandoverClosed(ev.Body)
		w = caseWord{id: h.Case, partner: h.To, items: h.Passed, left: h.Left, answers: h.Answer}
	case event.KindUrgentAsked:
		var u event.UrgentAsked
		u, err = event.ParseUrgentAsked(ev.Body)
		w = caseWord{id: u.Case, partner: u.To, by: u.By}
	case event.KindUrgentGiven:
		var u event.UrgentGiven
		u, err = event.ParseUrgentGiven(ev.Body)
		w = caseWord{id: u.Case, partner: u.To, items: u.Items, by: u.By}
	case event.KindUrgentDecided:
		var u event.UrgentDecided
		u, err = event.ParseUrgentDecided(ev.Body)
		w = caseWord{id: u.Case, partner: u.To, items: u.Items, yes: u.Approved, by: u.By, givenBy: u.GivenBy, until: u.Until}
	case event.KindUrgentEnded:
		var u event.UrgentEnded
		u, err = event.ParseUrgentEnded(ev.Body)
		w = caseWord{id: u.Case, partner: u.To, items: u.Items, by: u.By}
	case event.KindUrgentReviewed:
		var u event.UrgentReviewed
		u, err = event.ParseUrgentReviewed(ev.Body)
		w = caseWord{id: u.Case, partner: u.Partner, by: u.By}
	}
	if err != nil {
		return err
	}
	w.partner, w.by, w.givenBy = name.Council(strings.Clone(string(w.partner))), strings.Clone(w.by), strings.Clone(w.givenBy)
	for _, list := range [][]event.Item{w.items, w.left} {
		for i, it := range list {
			list[i].Agreement, list[i].Record = name.Agreement(strings.Clone(string(it.Agreement))), name.Record(strings.Clone(string(it.Record)))
		}
	}
	s.word = &w
	return nil
}

// weight is how much of what is bounded by maxListed a word takes: an item is some 12
// numbers large.
func (w *caseWord) weight() int {
	if w == nil {
		return 0
	}
	return 16 + 12*(len(w.items)+len(w.left)) + len(w.taken)
}

// A heardCase is what the bundle has of a case; nil what it has not.
type heardCase struct {
	offer, withdrawn, closed *claimed // by the council
	answer                   *claimed // by the receiver, to that very offer
	given, decided, ended    *claimed // by the council
	reviewed                 *claimed // by the council
}

// late is how long after its time an urgent disclosure may be ended: a node looks once a
// minute, and may have been away for a moment.
const late = time.Hour

// judgeCases judges what people said, and whether each record went out after it.
func (v *verifier) judgeCases() {
	if !slices.ContainsFunc(v.covered, func(p *paper) bool { return p.doc.Way().ByHand }) {
		return
	}
	t := v.on(CheckCases)
	if v.holder != "" {
		t.skip(1)
		v.say(CheckCases, "Which person let a record out, and which accepted it, a bundle of the sender shows.")
		return
	}
	cases := v.cases()
	approved, accepted := 0, 0
	var overdue, unreviewed []uint64
	for _, id := range sortedCases(cases) {
		c := cases[id]
		if c.offer != nil && v.ofCovered(c.offer.word.items) {
			v.judgeDue(c)
			if c.late(v.doc.Created) {
				overdue = append(overdue, c.offer.index)
			}
		}
		if c.ended != nil && c.reviewed == nil && v.ofCovered(c.ended.word.items) {
			unreviewed = append(unreviewed, c.ended.index)
		}
		if c.decided != nil && c.decided.word.yes && v.ofCovered(c.decided.word.items) {
			approved++
			v.judgeUrgent(c)
		}
		if c.closed != nil && c.offer != nil && v.ofCovered(c.offer.word.items) {
			accepted++
			v.judgeClosed(c)
		}
	}
	out := v.judgeLetOut(cases)
	v.say(CheckCases, "People let out single records. %s went out, each version after a person of the receiver had accepted it, or after a second person of the sender had approved it. "+
		"%s closed, each after the acceptance; %s approved, each by another person than the one who gave it, to end in the time agreed. Who is behind a name the file cannot show.",
		versionsOf(out), was(accepted, "handover"), was(approved, "urgent disclosure"))
	v.sayEntries("The receiver had not said by the last day whether it takes over: %s, offered in %s.", "handover", overdue)
	v.sayEntries("No review by this council is in the file of %s that is over, ended in %s.", "urgent disclosure", unreviewed)
	if t.undone > 0 {
		v.say(CheckCases, "%s left out of the file, so that its case was not looked at.", was(t.undone, "record"))
	}
}

// sayEntries says something of cases, by the entries that began or ended them.
func (v *verifier) sayEntries(words, thing string, entries []uint64) {
	if len(entries) == 0 {
		return
	}
	var named []string
	for _, e := range entries[:min(len(entries), maxNamed)] {
		named = append(named, number(int(e)))
	}
	if len(entries) > maxNamed {
		named = append(named, "…")
	}
	where := "entry "
	if len(entries) > 1 {
		where = "entries "
	}
	v.say(CheckCases, words, count(len(entries), thing), where+strings.Join(named, ", "))
}

// judgeDue judges that the last day of an offer is no later than each agreement lets it be,
// counted again from the day that the offer names. Days whose bank holidays this program does
// not know are left out, which is said.
func (v *verifier) judgeDue(c *heardCase) {
	t, o := v.on(CheckCases), c.offer
	notice, err := time.Parse(time.DateOnly, o.word.notice)
	if err != nil {
		return // it was read with a day, or none
	}
	for _, it := range o.word.items {
		p := v.papers[agreementID{it.Agreement, int(it.Version)}]
		if p == nil || p.doc.Due == "" {
			continue
		}
		l, err := workday.Parse(p.doc.Due)
		if err != nil {
			continue // its text was judged
		}
		last, err := l.From(notice)
		switch {
		case err != nil:
			v.say(CheckCases, "Whether the last day of the handover offered in entry %d is right is not known: %v.", o.index, err)
		case o.word.due == "" || o.word.due > last.Format(time.DateOnly):
			t.failEntry(o.index, fmt.Sprintf("gives the receiver longer than the agreement, which says %s from %s: until %s", l, o.word.notice, last.Format(time.DateOnly)), "")
		default:
			t.pass(1)
		}
		return // one offer, one fault
	}
}

// late reports whether the receiver let the last day of an offer go by: it answered after it,
// or not at all until the file was made, and the offer was not withdrawn before.
func (c *heardCase) late(made time.Time) bool {
	due, err := time.Parse(time.DateOnly, c.offer.word.due)
	if err != nil {
		return false
	}
	over := due.AddDate(0, 0, 1).Add(skew)
	switch {
	case c.answer != nil:
		return !time.Unix(c.answer.issuedAt, 0).Before(over)
	case c.withdrawn != nil:
		return !time.Unix(c.withdrawn.issuedAt, 0).Before(over)
	}
	return !made.Before(over)
}

func versionsOf(n int) string {
	if n == 1 {
		return "1 version of a record"
	}
	return number(n) + " versions of records"
}

func (v *verifier) ofCovered(items []event.Item) bool {
	return slices.ContainsFunc(items, func(it event.Item) bool { return it.Agreement == v.covers.Agreement })
}

// cases gathers what was said of each case. Of each kind the first counts, as it does for
// the two councils.
func (v *verifier) cases() map[event.CaseID]*heardCase {
	out := map[event.CaseID]*heardCase{}
	of := func(id event.CaseID) *heardCase {
		if out[id] == nil {
			out[id] = &heardCase{}
		}
		return out[id]
	}
	for i := range v.events {
		s := &v.events[i]
		if s.word == nil {
			continue
		}
		c := of(s.word.id)
		place := map[string]**claimed{
			event.KindHandoverOffer: &c.offer, event.KindHandoverWithdrawn: &c.withdrawn, event.KindHandoverClosed: &c.closed,
			event.KindUrgentGiven: &c.given, event.KindUrgentDecided: &c.decided, event.KindUrgentEnded: &c.ended,
			event.KindUrgentReviewed: &c.reviewed,
		}[s.kind]
		if place != nil && *place == nil {
			*place = s
		}
	}
	for i := range v.foreign {
		s := &v.foreign[i]
		if s.word == nil || s.kind != event.KindHandoverAnswer {
			continue
		}
		c := of(s.word.id)
		if c.answer == nil && c.offer != nil && s.by == c.offer.word.partner && s.word.partner == v.council && s.word.answers == c.offer.hash {
			c.answer = s
		}
	}
	return out
}

func sortedCases(cases map[event.CaseID]*heardCase) []event.CaseID {
	ids := make([]event.CaseID, 0, len(cases))
	for id := range cases {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b event.CaseID) int { return strings.Compare(string(a[:]), string(b[:])) })
	return ids
}

// judgeUrgent judges an approval: by another person than who gave it, and for a time that
// the agreement allows and that was kept.
func (v *verifier) judgeUrgent(c *heardCase) {
	t, d := v.on(CheckCases), c.decided
	issued, until := time.Unix(d.issuedAt, 0), time.Unix(int64(d.word.until), 0)
	rule := ""
	switch {
	case c.given == nil || c.given.index > d.index:
		rule = "approves what nobody is shown to have given before"
	case samePerson(d.word.by, c.given.word.by):
		rule = "is the approval of the person who gave it"
	case !samePerson(d.word.givenBy, c.given.word.by):
		rule = "names another person than the one who gave it"
	case !within(d.word.items, c.given.word.items):
		rule = "approves a record that was not given"
	}
	for _, it := range d.word.items {
		p := v.papers[agreementID{it.Agreement, int(it.Version)}]
		if p == nil || rule != "" {
			continue // of another agreement, whose own bundle shows it
		}
		if end := p.doc.Retention.After(issued); until.After(end.Add(skew)) {
			rule = "lets records out for longer than the agreement says"
		}
	}
	switch {
	case rule != "":
	case c.ended == nil && v.doc.Created.After(until.Add(late)):
		rule = "has not been ended, and its time was over when the file was made"
	case c.ended != nil && time.Unix(c.ended.issuedAt, 0).After(until.Add(late)):
		t.failEntry(c.ended.index, "ends an urgent disclosure after its time was over", "")
		return
	}
	if rule != "" {
		t.failEntry(d.index, rule, "")
		return
	}
	t.pass(1)
}

// judgeClosed judges that responsibility moved after a person of the receiver had accepted,
// and for no other record.
func (v *verifier) judgeClosed(c *heardCase) {
	t, at := v.on(CheckCases), c.closed.index
	switch {
	case c.answer == nil || !c.answer.word.yes || c.answer.hash != c.closed.word.answers:
		t.failEntry(at, "closes a handover that the receiver is not shown to have accepted", "")
	case time.Unix(c.answer.issuedAt, 0).After(time.Unix(c.closed.issuedAt, 0).Add(skew)):
		t.failEntry(at, "closes a handover before the receiver accepted it", "")
	case !within(c.closed.word.items, c.takes()):
		t.failEntry(at, "has passed a record that the receiver did not take", "")
	default:
		t.pass(1)
	}
}

// takes returns the items of the offer that the receiver took.
func (c *heardCase) takes() (out []event.Item) {
	if c.offer == nil || c.answer == nil || !c.answer.word.yes {
		return nil
	}
	for _, i := range c.answer.word.taken {
		if i < uint64(len(c.offer.word.items)) {
			out = append(out, c.offer.word.items[i])
		}
	}
	return out
}

// within reports whether each item is also in list, whatever its entry.
func within(items, list []event.Item) bool {
	for _, it := range items {
		if !slices.ContainsFunc(list, func(o event.Item) bool { return o.Agreement == it.Agreement && o.Record == it.Record }) {
			return false
		}
	}
	return true
}

// samePerson reports whether two names are plainly of one person.
func samePerson(a, b string) bool {
	return strings.EqualFold(strings.Join(strings.Fields(a), " "), strings.Join(strings.Fields(b), " "))
}

// judgeLetOut judges of each record that went out under the covered agreement whether a
// case let it out by then. It returns how many versions did: one that was sent again, since
// its receipt had not come, is one.
func (v *verifier) judgeLetOut(cases map[event.CaseID]*heardCase) int {
	t := v.on(CheckCases)
	out := map[uint64]bool{}
	by := map[[16]byte][]*heardCase{}
	for _, c := range cases {
		items := c.takes()
		if c.decided != nil && c.decided.word.yes {
			items = append(items, c.decided.word.items...)
		}
		for _, it := range items {
			if it.Agreement == v.covers.Agreement {
				by[it.Record.Bytes()] = append(by[it.Record.Bytes()], c)
			}
		}
	}
	for i := range v.events {
		d := &v.events[i]
		if d.kind != event.KindDisclosure || d.agreement != v.covers.Agreement {
			continue
		}
		p := v.papers[agreementID{d.agreement, int(d.version)}]
		if p == nil || !p.doc.Way().ByHand {
			continue
		}
		for _, at := range d.entries {
			j, ok := v.recordAt(at)
			switch {
			case !ok && v.eventAt(at) == nil:
				t.skip(1) // drawn out by a sample
			case !ok || !v.records[j].put: // a withdrawal goes as it must
			case slices.ContainsFunc(by[v.records[j].record], func(c *heardCase) bool { return c.lets(p.doc.Way(), d, v.records[j].record) }):
				t.pass(1)
				out[at] = true
			default:
				t.failEntry(at, "went out, and no case in the file had let it out by then", "")
			}
		}
	}
	return len(out)
}

// lets reports whether the case lets a record out to the receiver of a disclosure then.
func (c *heardCase) lets(w agreement.Way, d *claimed, rec [16]byte) bool {
	at := time.Unix(d.issuedAt, 0)
	if w.Moves {
		if c.answer == nil || c.answer.by != d.to || c.offer.index > d.index || c.withdrawn != nil && c.withdrawn.index < d.index {
			return false
		}
		left := c.closed != nil && c.closed.index < d.index && !slices.ContainsFunc(c.closed.word.items, func(it event.Item) bool {
			return it.Agreement == d.agreement && it.Record.Bytes() == rec
		})
		return !left && !time.Unix(c.answer.issuedAt, 0).After(at.Add(skew))
	}
	return c.decided != nil && c.decided.word.partner == d.to && c.decided.index < d.index && (c.ended == nil || c.ended.index > d.index) &&
		at.Before(time.Unix(int64(c.decided.word.until), 0).Add(late))
}
