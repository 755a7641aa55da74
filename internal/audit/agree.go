package audit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// A paper is one version of an agreement that the bundle holds.
type paper struct {
	doc     *agreement.Agreement
	state   *agreement.State // what was said of this version, and of no other
	place   string
	ours    uint64    // log index of the issuing council's signature
	first   uint64    // log index of the first disclosure under it
	used    bool      // there is one
	claimed []claimed // notices of the issuing council, in order
	votes   map[claimedFor][]claimed
	turns   []int64                 // seconds in which somebody suspended, resumed or ended it
	persons map[name.Council]string // who had each party sign, as it names them

	// What state made of it when it was last asked, and for how long nothing
	// changes in that: there may be as many disclosures as records.
	status      agreement.Status
	from, until time.Time

	takesOver time.Time // from when it stands in the place of earlier versions; zero: never
}

// at returns where the version stands at an instant, whatever later ones did.
func (p *paper) at(t time.Time) agreement.Status {
	if p.status.Agreement == nil || t.Before(p.from) || !p.until.IsZero() && !t.Before(p.until) {
		p.status, _ = p.state.Status(p.doc.Name, t)
		p.from = t
		p.until, _ = p.state.NextChange(t)
	}
	return p.status
}

// tookOver returns the time from which the version stands in the place of
// earlier ones: all have signed it and its first day has come, by their own
// clocks. It is zero when that never comes.
func (p *paper) tookOver() time.Time {
	from := p.doc.Starts.Time()
	st := p.at(from)
	for _, when := range st.Signed {
		if when.After(from) {
			from = when
		}
	}
	withdrawn := slices.ContainsFunc(p.claimed, func(s claimed) bool {
		return s.kind == event.KindAgreementEnd && !s.notice.At.After(p.doc.Starts.Time())
	})
	if len(st.Awaiting) > 0 || withdrawn {
		return time.Time{}
	}
	return from
}

// readAgreements reads the documents, and compiles those of the agreement
// covered for each standard that is here.
func (v *verifier) readAgreements() {
	v.papers = map[agreementID]*paper{}
	t := v.on(CheckAgreements)
	for _, f := range v.contents.agreements { // by name and version
		b, err := readFile(f.file)
		if err != nil {
			v.on(CheckContents).fail(f.file.Name, "is damaged", "")
			continue
		}
		doc, err := agreement.ParseCanonical(b)
		if err != nil || doc.Name != f.id.name || doc.Version != f.id.version {
			t.fail(f.file.Name, "is not the canonical text of that agreement", "")
			continue
		}
		p := &paper{doc: doc, place: f.file.Name, state: agreement.NewState()}
		// The document stands here for its proposal: which text the parties
		// meant is settled by the digest that each of them signed.
		err = p.state.Apply(doc.From, event.KindAgreementProposal, agreement.Proposal{Agreement: doc}.Body(), time.Unix(0, 0))
		if err != nil {
			t.fail(f.file.Name, "is not a document that could be proposed", "")
			continue
		}
		v.papers[f.id] = p
		if doc.Name == v.covers.Agreement {
			v.covered = append(v.covered, p)
		}
		v.checkPaper(p)
	}
	for _, k := range v.standards {
		k.terms = make([]*agreement.Terms, len(v.covered))
		for i, p := range v.covered {
			if p.doc.Standard == k.std.Name().Line() {
				// Terms that do not compile let nothing through; checkPaper has
				// said so if no version of the standard fits.
				k.terms[i], _ = p.doc.Compile(k.std)
			}
		}
	}
	switch {
	case len(v.papers) > 0:
		v.say(CheckAgreements, "%s in the canonical text that is signed, with every heading filled in as the standard asks.", count(t.ok, "agreement document"))
	case v.covers.Agreement != "":
		t.skip(1)
		v.say(CheckAgreements, "The text of %s is not in the file.", v.covers.Agreement)
	default:
		v.say(CheckAgreements, "The file is not about an agreement.")
	}
}

// checkPaper asks of a document what was asked before it could be signed.
func (v *verifier) checkPaper(p *paper) {
	t := v.on(CheckAgreements)
	var problem *agreement.Problem
	fits, tried := false, false
	for _, n := range v.standardNames() {
		k := v.standards[n]
		if n.Line() != p.doc.Standard {
			continue
		}
		// One version of the line that it fits is enough: a later version may
		// have a field that the agreement could not know.
		tried = true
		ps := p.doc.Check(k.std)
		if len(ps) == 0 {
			fits = true
			break
		}
		problem = &ps[0]
	}
	switch missing := p.doc.Incomplete(); {
	case len(missing) > 0:
		t.fail(p.place, "lacks what must be filled in before it may be signed", "/"+missing[0])
	case !tried:
		t.skip(1)
		v.say(CheckAgreements, "The standard that %s version %d is about is not here, so whether it fits it was not checked.", p.doc.Name, p.doc.Version)
	case !fits:
		t.fail(p.place, "could not have been signed: "+problem.Rule, problem.Pointer)
	default:
		t.pass(1)
	}
}

func (v *verifier) standardNames() []name.Standard {
	var out []name.Standard
	for n := range v.standards {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b name.Standard) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// judgeAgreements takes in what the parties said, then asks of each disclosure
// whether the agreement was in force.
func (v *verifier) judgeAgreements() {
	t := v.on(CheckAgreementSignatures)
	for i := range v.events {
		s := &v.events[i]
		v.hear(s, func(check, rule string) { v.on(check).failEntry(s.index, rule, "") })
	}
	for i := range v.foreign {
		s := &v.foreign[i]
		v.hear(s, func(check, rule string) { v.on(check).fail(place(eventsPath(s.by), s.line), rule, "") })
	}
	for _, id := range v.paperIDs() {
		p := v.papers[id]
		v.carry(p)
		st := p.at(p.doc.Starts.Time())
		t.pass(len(st.Signed))
		t.skip(len(st.Awaiting))
		if len(st.Awaiting) > 0 {
			v.say(CheckAgreementSignatures, "Version %d of %s: no valid signature of %s is in the file.", p.doc.Version, p.doc.Name, councils(st.Awaiting))
		} else {
			v.say(CheckAgreementSignatures, "Version %d of %s was signed, in exactly this text, by %s (SHA-256 %s).", p.doc.Version, p.doc.Name, councils(p.doc.Parties()), p.doc.Digest())
			for _, c := range sortedCouncils(p.persons) {
				v.say(CheckAgreementSignatures, "Who had %s sign it was, by its word, %s.", c, name.Line(p.persons[c]))
			}
		}
	}
	if len(v.papers) == 0 {
		v.say(CheckAgreementSignatures, "There is no agreement in the file.")
	}
	v.judgeInForce()
}

func (v *verifier) paperIDs() []agreementID {
	var out []agreementID
	for _, f := range v.contents.agreements {
		if v.papers[f.id] != nil {
			out = append(out, f.id)
		}
	}
	return out
}

const maxNotices = 1000

// hear takes in an event about an agreement.
func (v *verifier) hear(s *claimed, fail func(check, rule string)) {
	switch s.kind {
	case event.KindAgreementProposal, event.KindAgreementSignature, event.KindAgreementSuspend, event.KindAgreementResume, event.KindAgreementEnd, event.KindAgreementRenewal:
	default:
		return
	}
	p := v.papers[agreementID{s.agreement, int(s.version)}]
	if p == nil {
		return // about a version that is not here
	}
	check := CheckInForce
	body := s.notice.Body
	switch s.kind {
	case event.KindAgreementProposal:
		if s.ref.Digest != p.doc.Digest() {
			fail(CheckAgreements, "proposes another text than "+p.place)
		}
		return
	case event.KindAgreementSignature:
		check, body = CheckAgreementSignatures, agreement.Signature{Ref: s.ref}.Body
	case event.KindAgreementRenewal:
		v.counts.Renewals++
		body = agreement.Renewal{Ref: s.ref, Review: s.review}.Body
		p.turns = append(p.turns, s.issuedAt)
	default:
		// Each is looked at again for every disclosure; people give a few.
		if v.notices++; v.notices > maxNotices {
			fail(check, "is one suspension or ending too many to look at")
			return
		}
	}
	if s.kind != event.KindAgreementSignature && s.kind != event.KindAgreementRenewal {
		p.turns = append(p.turns, s.notice.At.Unix())
	}
	voted := v.vote(p, s)
	switch err := p.state.Apply(s.by, s.kind, body(), time.Unix(s.issuedAt, 0)); {
	case voted && errors.Is(err, agreement.ErrNotParty):
	case errors.Is(err, agreement.ErrConflict) && s.ref.Digest != p.doc.Digest():
		fail(check, "is about another text than "+p.place)
	case errors.Is(err, agreement.ErrNotParty):
		fail(check, "is by a council that is not a party to "+p.place)
	case err != nil:
		fail(check, "cannot be said of "+p.place)
	case s.kind == event.KindAgreementSignature:
		if s.person != "" && p.doc.Party(s.by) {
			if p.persons == nil {
				p.persons = map[name.Council]string{}
			}
			p.persons[s.by] = s.person
		}
		if s.by == v.council {
			p.ours = s.index
		}
	case s.kind == event.KindAgreementRenewal: // it stops nothing
	case s.by == v.council:
		p.claimed = append(p.claimed, *s)
	}
}

// judgeInForce asks of each logged disclosure whether the agreement it names
// was in force when it was logged, by the council's own clock. One that let nothing
// out but withdrawals is right at any time: what has to come back comes back also while an
// agreement is suspended, and once it has ended.
func (v *verifier) judgeInForce() {
	t := v.on(CheckInForce)
	for _, p := range v.papers {
		p.takesOver = p.tookOver()
	}
	var unsure string
	for i := range v.events {
		d := &v.events[i]
		if d.kind != event.KindDisclosure {
			continue
		}
		v.counts.Disclosures++
		p := v.papers[agreementID{d.agreement, int(d.version)}]
		if p == nil {
			t.skip(1)
			continue
		}
		if v.takesBack(d) {
			continue
		}
		if !p.used {
			p.used, p.first = true, d.index
		}
		switch rule, sure := v.outOfForce(p, d); {
		case rule == "":
			t.pass(1)
		case sure:
			t.failEntry(d.index, rule, "")
		default:
			t.skip(1)
			if unsure == "" {
				unsure = fmt.Sprintf("Entry %d, for one, %s; whether %s had heard of it by then cannot be seen from this file.", d.index, rule, v.council)
			}
		}
	}
	switch {
	case v.counts.Disclosures == 0:
		v.say(CheckInForce, "No disclosure under an agreement is in the file.")
	default:
		v.say(CheckInForce, "%s of records went out while the agreement was in force, by the clock of %s.", count(t.ok, "logged batch"), v.council)
	}
	if t.undone > 0 {
		v.say(CheckInForce, "Of %s this cannot be said. %s", count(t.undone, "batch"), unsure)
	}
}

// takesBack reports whether each entry that a disclosure names is shown here to be a
// withdrawal.
func (v *verifier) takesBack(d *claimed) bool {
	return len(d.entries) > 0 && !slices.ContainsFunc(d.entries, func(index uint64) bool {
		e := v.eventAt(index)
		return e == nil || e.kind != event.KindWithdrawal
	})
}

// outOfForce says why p was not in force at disclosure d, "" when it was. sure
// is false when the reason lies with another council, and the issuing council
// may not have known of it: news travels when nodes are connected.
func (v *verifier) outOfForce(p *paper, d *claimed) (rule string, sure bool) {
	if p.doc.From != v.council || !slices.Contains(p.doc.To, d.to) {
		return "went to a council that the agreement does not let receive", true
	}
	at := time.Unix(d.issuedAt, 0)
	st := p.at(at)
	for _, c := range p.doc.Parties() {
		when, ok := st.Signed[c]
		switch {
		case !ok:
			return "went out under an agreement that " + string(c) + " is not shown to have signed", true
		case when.After(at.Add(skew)):
			return "went out before " + string(c) + " signed the agreement", true
		}
	}
	if p.ours > d.index {
		return "stands in the log before the council's own signature of the agreement", true
	}
	switch st.Phase {
	case agreement.InForce:
		return v.superseded(d, at)
	case agreement.Suspended, agreement.Ended:
		if slices.Contains(p.turns, d.issuedAt) && !p.stoppedBefore(d.index) {
			// In that very second it was still, or again, in force: times are in
			// whole seconds, and our own log has not said it before.
			return v.superseded(d, at)
		}
		byDate := p.doc.Ends != "" && !at.Before(p.doc.Ends.Time())
		if st.Phase == agreement.Suspended && len(st.Suspensions) == 0 {
			// Every party has renewed it by its own clock, or has not.
			return "went out after the date of review, and not every party had renewed the agreement", !at.Before(st.Review.Time().Add(skew))
		}
		return "went out after the agreement had " + ending[st.Phase], byDate || p.stopped(at)
	}
	return "went out before the agreement was in force", true
}

var ending = map[agreement.Phase]string{agreement.Suspended: "been suspended", agreement.Ended: "ended"}

// stopped reports whether the issuing council itself had ended or suspended the
// agreement by then.
func (p *paper) stopped(at time.Time) bool {
	stopped := false
	for _, s := range p.claimed {
		if at.Before(s.notice.At) {
			continue
		}
		switch s.kind {
		case event.KindAgreementEnd:
			return true
		default:
			stopped = s.kind == event.KindAgreementSuspend
		}
	}
	return stopped
}

// stoppedBefore reports whether the issuing council's own log had said, before an
// entry, that the agreement was suspended or ended, and nothing else since.
func (p *paper) stoppedBefore(index uint64) bool {
	stopped := false
	for _, s := range p.claimed {
		if s.index < index {
			stopped = s.kind != event.KindAgreementResume
		}
	}
	return stopped
}

// superseded asks whether a later version had taken the place of that of
// disclosure d. That the council itself had sent under it shows that it knew.
func (v *verifier) superseded(d *claimed, at time.Time) (rule string, sure bool) {
	const replaced = "went out under a version that a later one had replaced"
	for id, p := range v.papers {
		if id.name != d.agreement || uint64(id.version) <= d.version {
			continue
		}
		if p.used && p.first < d.index {
			return replaced, true
		}
		if !p.takesOver.IsZero() && p.takesOver.Add(skew).Before(at) {
			rule = replaced
		}
	}
	return rule, false
}
