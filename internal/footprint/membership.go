package footprint

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// changeLapses is how long a proposal waits for a majority, in seconds of the
// clocks that commands carry, before another may take its place.
const changeLapses = 30 * 24 * 3600

// The rules of membership.
const (
	RuleOther      = "speaks of another footprint"
	RuleFounded    = "the footprint has been founded already"
	RuleOneChange  = "another change of membership is under way"
	RuleNumber     = "the change has another number"
	RuleFull       = "a footprint has at most twelve members"
	RuleFew        = "a footprint keeps at least three members: invite another council first"
	RuleLast       = "the last member has nobody to leave the footprint to: it discards its replica"
	RuleNotInvited = "the council has not been invited, or a majority has not agreed yet"
	RuleNoChange   = "no such change is under way"
)

// A memberEvent is what an event about members says: what its kind is of is set.
type memberEvent struct {
	footprint name.Council
	founded   event.FootprintFounded
	change    event.FootprintChange
	entry     tlog.Hash // of the proposal that is agreed to or cancelled
	joined    event.FootprintJoined
	recovered event.FootprintRecovered
	erased    event.FootprintErased
}

// parseMembership reads an event about members. The rule names what is wrong with it.
func parseMembership(kind string, body map[string]any) (e memberEvent, rule string) {
	var err error
	switch kind {
	case event.KindFootprintFounded:
		e.founded, err = event.ParseFootprintFounded(body)
		e.footprint = e.founded.Footprint
	case event.KindFootprintChange:
		e.change, err = event.ParseFootprintChange(body)
		e.footprint = e.change.Footprint
	case event.KindFootprintAgreed:
		var a event.FootprintAgreed
		a, err = event.ParseFootprintAgreed(body)
		e.footprint, e.entry = a.Footprint, a.Entry
	case event.KindFootprintCancelled:
		var c event.FootprintCancelled
		c, err = event.ParseFootprintCancelled(body)
		e.footprint, e.entry = c.Footprint, c.Entry
	case event.KindFootprintJoined:
		e.joined, err = event.ParseFootprintJoined(body)
		e.footprint = e.joined.Footprint
	case event.KindFootprintRecovered:
		e.recovered, err = event.ParseFootprintRecovered(body)
		e.footprint = e.recovered.Footprint
	case event.KindFootprintErased:
		e.erased, err = event.ParseFootprintErased(body)
		e.footprint = e.erased.Footprint
	case event.KindFootprintDiscarded:
		var d event.FootprintDiscarded
		d, err = event.ParseFootprintDiscarded(body)
		e.footprint = d.Footprint
	default:
		return e, "kind of event"
	}
	if err != nil {
		return e, err.Error()
	}
	return e, ""
}

// membership applies one event about members. Its signature is verified with
// the key of the member, of the invited council, or at the very beginning with
// the key that the founding event carries.
func (a *applier) membership(c *checked) (Outcome, error) {
	e, rule := parseMembership(c.event.Kind, c.event.Body)
	if rule != "" {
		return refused(rule), nil
	}
	if e.footprint != a.name {
		return refused(RuleOther), nil
	}
	duplicate := func() (Outcome, bool, error) {
		n, ok, err := a.seen(c.token.Entry())
		return Outcome{Code: Duplicate, Entry: n}, ok || err != nil, err
	}
	if c.event.Kind == event.KindFootprintFounded && (len(a.s.members) > 0 || a.t.Next() > 0) {
		if o, known, err := duplicate(); known {
			return o, err
		}
		return refused(RuleFounded), nil
	}
	signer, rule := a.memberSigner(c.event, e)
	if rule == "" {
		rule = c.verify(signer)
	}
	if rule != "" {
		return refused(rule), nil
	}
	if o, known, err := duplicate(); known {
		return o, err
	}
	if rule := a.applyMembership(c, e, signer); rule != "" {
		return refused(rule), nil
	}
	a.members = true
	return a.append(c, storedEvent, 0), nil
}

// memberSigner returns whose key an event about members must be signed with, or the
// rule that nobody's is.
func (a *applier) memberSigner(ev *record.Event, e memberEvent) (signer *member, rule string) {
	signer = a.s.members[ev.Council]
	switch ev.Kind {
	case event.KindFootprintFounded:
		m, err := newMember(storedMember{Document: e.founded.Member, Incarnation: e.founded.Incarnation})
		if err != nil || m.entry.Council != ev.Council {
			return nil, "member"
		}
		return m, ""
	case event.KindFootprintJoined:
		if m := a.s.invited[ev.Council]; m != nil {
			signer = m
		}
		if signer == nil {
			return nil, RuleNotInvited
		}
	case event.KindFootprintErased, event.KindFootprintDiscarded:
		fm := a.s.formers[ev.Council]
		if fm == nil {
			return nil, RuleMember
		}
		signer = fm.m
	default:
		if signer == nil {
			return nil, RuleMember
		}
	}
	return signer, ""
}

// applyMembership changes who the members are as an event says. It returns the rule
// that the event breaks, or "".
func (a *applier) applyMembership(c *checked, e memberEvent, signer *member) string {
	switch c.event.Kind {
	case event.KindFootprintFounded:
		return a.join(signer, signer.Incarnation)
	case event.KindFootprintChange:
		return a.propose(c, e.change)
	case event.KindFootprintAgreed:
		return a.agree(c.event.Council, e.entry)
	case event.KindFootprintCancelled:
		if o := a.s.Open; o == nil || o.Entry != e.entry || o.By != c.event.Council {
			return RuleNoChange
		}
		a.s.Open = nil
	case event.KindFootprintJoined:
		switch {
		case a.s.invited[c.event.Council] == nil:
			return RuleNotInvited
		case e.joined.Speaks < a.s.format():
			return RuleOlder
		}
		return a.join(signer, e.joined.Incarnation)
	case event.KindFootprintRecovered:
		return a.recover(signer, e.recovered)
	case event.KindFootprintErased, event.KindFootprintDiscarded:
		return a.receipted(c.event.Council, e, c.event.Kind)
	}
	return ""
}

// join makes m a member from the next entry on.
func (a *applier) join(m *member, incarnation string) string {
	c := m.entry.Council
	var past []string
	if old := a.s.members[c]; old != nil {
		past = append(slices.Clone(old.Past), old.Incarnation)
	}
	if slices.Contains(past, incarnation) {
		return "incarnation" // a lost disk does not come back
	}
	n := &member{storedMember{m.Document, incarnation, a.t.Next(), past}, m.entry, m.witness}
	a.setMember(c, n)
	a.setInvited(c, nil)
	a.setOutside(c, nil) // it contributes as a member from here on
	a.setFormer(c, nil)
	if len(a.s.members) >= MinMembers {
		a.s.Formed = true
	}
	return ""
}

func (a *applier) propose(c *checked, p event.FootprintChange) string {
	if o := a.s.Open; o != nil && a.at < o.At+changeLapses {
		return RuleOneChange
	}
	num := a.s.Changes + 1
	if p.Number != num {
		return RuleNumber
	}
	council := p.Council
	o := &openChange{
		Entry: c.token.Entry(), Number: num, Change: p.Change, Council: council,
		By: c.event.Council, At: a.at, Agreed: []name.Council{c.event.Council},
	}
	switch o.Change {
	case event.ChangeContributor:
		if a.machines {
			return "change"
		}
		if a.s.format() < 2 {
			return RuleWaits
		}
		fallthrough
	case event.ChangeAdmit, event.ChangeKeys:
		o.Document = p.Member
		m, err := newMember(storedMember{Document: o.Document})
		if err != nil || m.entry.Council != council || m.entry.Role == directory.RoleFootprint {
			return "member"
		}
		switch member := a.s.members[council] != nil; {
		case o.Change == event.ChangeKeys && !member && a.s.outside[council] == nil && a.s.formers[council] == nil:
			return RuleMember
		case o.Change == event.ChangeContributor && member:
			return RuleMemberAlready
		case o.Change == event.ChangeContributor && a.s.outside[council] == nil && len(a.s.outside) >= maxContributors:
			return RuleManyOutside
		case o.Change == event.ChangeAdmit && !member && len(a.s.members) >= MaxMembers:
			return RuleFull
		}
	case event.ChangeRemove:
		if a.s.members[council] == nil && a.s.invited[council] == nil && a.s.outside[council] == nil {
			return RuleMember
		}
		few := a.s.Formed && len(a.s.members) <= MinMembers
		if council == c.event.Council && a.s.format() >= 3 {
			few = false // nobody is held in
		}
		if council == c.event.Council && a.s.format() >= 3 && len(a.s.members) == 1 {
			return RuleLast
		}
		if a.machines {
			few = len(a.s.members) == 1 // the council's ledger is there
		}
		if a.s.members[council] != nil && few {
			return RuleFew
		}
	default:
		return "change"
	}
	a.s.Changes = num
	a.s.Open = o
	a.settle()
	return ""
}

func (a *applier) agree(by name.Council, entry tlog.Hash) string {
	if a.s.Open == nil || a.s.Open.Entry != entry {
		return RuleNoChange
	}
	o := *a.s.Open
	if !slices.Contains(o.Agreed, by) {
		o.Agreed = append(slices.Clone(o.Agreed), by)
	}
	a.s.Open = &o
	a.settle()
	return ""
}

// settle carries the change under way out once a majority has agreed.
func (a *applier) settle() {
	o := a.s.Open
	agreed := 0
	for _, c := range o.Agreed {
		if a.s.members[c] != nil {
			agreed++
		}
	}
	if agreed < a.s.majority() {
		return
	}
	a.s.Open = nil
	if o.Change == event.ChangeRemove {
		a.leaves(o.Council, o.By)
		a.setMember(o.Council, nil)
		a.setInvited(o.Council, nil)
		a.setOutside(o.Council, nil)
		if a.s.Formed && len(a.s.members) < MinMembers && !a.machines {
			a.s.Formed = false // records wait until three have joined again
		}
		return
	}
	m, err := newMember(storedMember{Document: o.Document})
	if err != nil {
		return // it was read when it was proposed
	}
	old := a.s.members[o.Council]
	switch {
	case o.Change == event.ChangeAdmit:
		a.setInvited(o.Council, m)
	case old != nil && o.Change == event.ChangeKeys:
		m.Incarnation, m.Since, m.Past = old.Incarnation, old.Since, old.Past
		a.setMember(o.Council, m)
	case o.Change == event.ChangeKeys && a.s.formers[o.Council] != nil && a.s.outside[o.Council] == nil:
		fm := *a.s.formers[o.Council]
		fm.Document, fm.m = o.Document, m
		a.setFormer(o.Council, &fm)
	case old == nil && (o.Change == event.ChangeContributor || a.s.outside[o.Council] != nil):
		a.setOutside(o.Council, m)
	}
}

func (a *applier) recover(m *member, r event.FootprintRecovered) string {
	lost := slices.DeleteFunc(a.s.councils(), func(c name.Council) bool { return c == m.entry.Council })
	if !slices.Equal(r.Lost, lost) {
		return "lost"
	}
	for _, c := range a.s.councils() {
		if c != m.entry.Council {
			a.leaves(c, m.entry.Council)
		}
		a.setMember(c, nil)
	}
	for _, c := range slices.Sorted(maps.Keys(a.s.invited)) {
		a.setInvited(c, nil)
	}
	a.s.Open = nil
	// Fewer than three again: records wait until three have joined, as at the
	// beginning.
	a.s.Formed = false
	return a.join(m, r.Incarnation)
}

func (a *applier) setMember(c name.Council, m *member) {
	a.s.members = put(a.s.members, c, m)
	a.setStored("m"+string(c), m)
}

func (a *applier) setInvited(c name.Council, m *member) {
	if m == nil && a.s.invited[c] == nil {
		return
	}
	a.s.invited = put(a.s.invited, c, m)
	a.setStored("i"+string(c), m)
}

func (a *applier) setStored(key string, m *member) {
	if m == nil {
		a.t.Remove(key)
		return
	}
	b, err := json.Marshal(m.storedMember)
	if err != nil {
		panic("internal error: a member does not print: " + err.Error())
	}
	a.t.Set(key, b)
}

func put(of map[name.Council]*member, c name.Council, m *member) map[name.Council]*member {
	of = maps.Clone(of)
	if m == nil {
		delete(of, c)
	} else {
		of[c] = m
	}
	return of
}
