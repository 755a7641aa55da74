package footprint

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

const (
	changeAdmit       = "admit"
	changeContributor = "contributor"
	changeRemove      = "remove"
	changeKeys        = "keys"
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
	RuleNotInvited = "the council has not been invited, or a majority has not agreed yet"
	RuleNoChange   = "no such change is under way"
)

// membership applies one event about members. Its signature is verified with
// the key of the member, of the invited council, or at the very beginning with
// the key that the founding event carries.
func (a *applier) membership(c *checked) (Outcome, error) {
	ev := c.event
	if text(ev.Body, "footprint") != string(a.name) {
		return refused(RuleOther), nil
	}
	signer := a.s.members[ev.Council]
	switch ev.Kind {
	case event.KindFootprintFounded:
		if len(a.s.members) > 0 || a.t.Next() > 0 {
			if n, ok, err := a.seen(c.token.Entry()); err != nil || ok {
				return Outcome{Code: Duplicate, Entry: n}, err
			}
			return refused(RuleFounded), nil
		}
		m, err := newMember(storedMember{Document: text(ev.Body, "member"), Incarnation: text(ev.Body, "incarnation")})
		if err != nil || m.entry.Council != ev.Council {
			return refused("member"), nil
		}
		signer = m
	case event.KindFootprintJoined:
		if m := a.s.invited[ev.Council]; m != nil {
			signer = m
		}
		if signer == nil {
			return refused(RuleNotInvited), nil
		}
	case event.KindFootprintChange, event.KindFootprintAgreed, event.KindFootprintCancelled, event.KindFootprintRecovered:
		if signer == nil {
			return refused(RuleMember), nil
		}
	default:
		return refused("kind of event"), nil
	}
	if rule := c.verify(signer); rule != "" {
		return refused(rule), nil
	}
	if n, ok, err := a.seen(c.token.Entry()); err != nil || ok {
		return Outcome{Code: Duplicate, Entry: n}, err
	}
	rule := ""
	switch ev.Kind {
	case event.KindFootprintFounded:
		rule = a.join(signer, signer.Incarnation)
	case event.KindFootprintChange:
		rule = a.propose(c)
	case event.KindFootprintAgreed:
		rule = a.agree(ev.Council, text(ev.Body, "entry"))
	case event.KindFootprintCancelled:
		if o := a.s.Open; o == nil || o.Entry.String() != text(ev.Body, "entry") || o.By != ev.Council {
			rule = RuleNoChange
		} else {
			a.s.Open = nil
		}
	case event.KindFootprintJoined:
		if a.s.invited[ev.Council] == nil {
			rule = RuleNotInvited
		} else if n, err := strconv.Atoi(cmp.Or(text(ev.Body, "speaks"), "1")); err != nil || n < a.s.format() {
			rule = RuleOlder
		} else {
			rule = a.join(signer, text(ev.Body, "incarnation"))
		}
	case event.KindFootprintRecovered:
		rule = a.recover(signer, ev.Body)
	}
	if rule != "" {
		return refused(rule), nil
	}
	a.members = true
	return a.append(c, keptEvent, 0), nil
}

// join makes m a member from the next entry on.
func (a *applier) join(m *member, incarnation string) string {
	if _, _, ok := parseServer(serverID(m.entry.Council, incarnation)); !ok {
		return "incarnation"
	}
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
	if len(a.s.members) >= MinMembers {
		a.s.Formed = true
	}
	return ""
}

func (a *applier) propose(c *checked) string {
	body := c.event.Body
	if o := a.s.Open; o != nil && a.at < o.At+changeLapses {
		return RuleOneChange
	}
	num := a.s.Changes + 1
	if text(body, "number") != strconv.Itoa(num) {
		return RuleNumber
	}
	council, err := name.ParseCouncil(text(body, "council"))
	if err != nil {
		return "council"
	}
	o := &openChange{
		Entry: c.token.Entry(), Number: num, Change: text(body, "change"), Council: council,
		By: c.event.Council, At: a.at, Agreed: []name.Council{c.event.Council},
	}
	switch o.Change {
	case changeContributor:
		if a.machines {
			return "change"
		}
		if a.s.format() < 2 {
			return RuleWaits
		}
		fallthrough
	case changeAdmit, changeKeys:
		o.Document = text(body, "member")
		m, err := newMember(storedMember{Document: o.Document})
		if err != nil || m.entry.Council != council || m.entry.Role == directory.RoleFootprint {
			return "member"
		}
		switch member := a.s.members[council] != nil; {
		case o.Change == changeKeys && !member && a.s.outside[council] == nil:
			return RuleMember
		case o.Change == changeContributor && member:
			return RuleMemberAlready
		case o.Change == changeContributor && a.s.outside[council] == nil && len(a.s.outside) >= maxContributors:
			return RuleManyOutside
		case o.Change == changeAdmit && !member && len(a.s.members) >= MaxMembers:
			return RuleFull
		}
	case changeRemove:
		if a.s.members[council] == nil && a.s.invited[council] == nil && a.s.outside[council] == nil {
			return RuleMember
		}
		few := a.s.Formed && len(a.s.members) <= MinMembers
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

func (a *applier) agree(by name.Council, entry string) string {
	h, err := tlog.ParseHash(entry)
	if err != nil || a.s.Open == nil || a.s.Open.Entry != h {
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
	if o.Change == changeRemove {
		a.setMember(o.Council, nil)
		a.setInvited(o.Council, nil)
		a.setOutside(o.Council, nil)
		return
	}
	m, err := newMember(storedMember{Document: o.Document})
	if err != nil {
		return // it was read when it was proposed
	}
	old := a.s.members[o.Council]
	switch {
	case o.Change == changeAdmit:
		a.setInvited(o.Council, m)
	case old != nil && o.Change == changeKeys:
		m.Incarnation, m.Since, m.Past = old.Incarnation, old.Since, old.Past
		a.setMember(o.Council, m)
	case old == nil && (o.Change == changeContributor || a.s.outside[o.Council] != nil):
		a.setOutside(o.Council, m)
	}
}

func (a *applier) recover(m *member, body map[string]any) string {
	if text(body, "because") == "" {
		return "because"
	}
	lost := strings.Fields(text(body, "lost"))
	for c := range maps.Clone(a.s.members) {
		if c == m.entry.Council {
			continue
		}
		if !slices.Contains(lost, string(c)) {
			return "lost"
		}
	}
	if len(lost) != len(a.s.members)-1 || !slices.IsSorted(lost) {
		return "lost"
	}
	for _, c := range a.s.councils() {
		a.setMember(c, nil)
	}
	for _, c := range slices.Sorted(maps.Keys(a.s.invited)) {
		a.setInvited(c, nil)
	}
	a.s.Open = nil
	// Fewer than three again: records wait until three have joined, as at the
	// beginning.
	a.s.Formed = false
	return a.join(m, text(body, "incarnation"))
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
