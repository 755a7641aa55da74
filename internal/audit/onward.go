package audit

import (
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// What a council passes on stands in its log as its word that a record of another council
// goes on, by its hash, and points back to an event with the agreements before, as their
// parties signed them. Offline that is enough to say whether it might go on, to whom and with
// which fields; what the record says only who holds it can show.

// judgeOnward looks at what was passed on under agreements in the file.
func (v *verifier) judgeOnward() {
	t := v.on(CheckAgreements)
	chains, passed := map[uint64]agreement.Chain{}, 0
	for i := range v.events {
		e := &v.events[i]
		p := v.papers[agreementID{e.agreement, int(e.version)}]
		switch e.kind {
		case event.KindOnward:
			if p == nil {
				t.skip(1)
				continue
			}
			chain, rule, done := v.chain(p.doc, e)
			switch {
			case !done:
				t.skip(1)
				v.say(CheckAgreements, "Entry %d shows the agreements under which %s passes on; whether all of it was signed cannot be said, since %s.", e.index, v.council, rule)
			case rule != "":
				t.failEntry(e.index, rule, "")
				continue
			default:
				t.pass(1)
			}
			chains[e.index] = chain
			v.say(CheckAgreements, "Entry %d: what %s passes on under %s is of %s, by %s.", e.index, v.council, e.agreement, chain[0].From, chainWords(chain))
		case event.KindPassedOn:
			passed++
			if _, ok := chains[e.chain]; !ok || e.chain >= e.index {
				t.failEntry(e.index, "passes a record on, and no entry before it shows that it may", "")
				continue
			}
			t.pass(1)
		}
	}
	if passed > 0 {
		v.say(CheckAgreements, "%s of other councils passed on. What each says is shown by who holds it.", was(passed, "record version"))
	}
	v.judgeGone()
}

// judgeGone looks at the words of a council that what others passed on has to be gone, and at
// those of who deleted it for such a word: that it is signed, to whom, and about what.
func (v *verifier) judgeGone() {
	for i := range v.events {
		switch e := &v.events[i]; e.kind {
		case event.KindOnwardGone:
			v.on(CheckAgreements).pass(1)
			what := count(int(e.entry), "version")
			if e.all {
				what = "everything"
			}
			v.say(CheckAgreements, "Entry %d: by the word of %s %s that was passed on to %s under %s has to be gone there.", e.index, v.council, what, e.to, e.agreement)
		case event.KindOnwardDeleted:
			v.deletedByWord(e, func(rule string) { v.on(CheckAgreements).failEntry(e.index, rule, "") })
		}
	}
	for i := range v.foreign {
		if e := &v.foreign[i]; e.kind == event.KindOnwardDeleted {
			v.deletedByWord(e, func(rule string) { v.on(CheckAgreements).fail(place(eventsPath(e.by), e.line), rule, "") })
		}
	}
}

// deletedByWord judges what a council says that it deleted by the word of another.
func (v *verifier) deletedByWord(e *claimed, fail func(rule string)) {
	of := e.agreement.Council()
	t, ev, err := record.ParseEvent([]byte(e.texts[0]))
	if err != nil || ev.Council != of || ev.Kind != event.KindOnwardGone {
		fail("deleted something by what is no word of " + string(of))
		return
	}
	key, rule := v.ring.record(of, t.KeyID(), directory.AnyPlace)
	switch {
	case rule == ruleNoKey:
		v.on(CheckAgreements).skip(1)
		v.say(CheckAgreements, "%s says that it deleted something by the word of %s, whose key is not here.", e.by, of)
		return
	case rule != "" || t.Verify(key) != nil:
		fail("deleted something by a word that " + string(of) + " did not sign")
		return
	}
	v.used[Key{of, UseRecord, t.KeyID()}] = true
	said, err := event.ParseOnwardGone(ev.Body)
	if err != nil || said.To != e.by || said.Agreement != e.agreement || said.Over == "" && len(said.Versions) < len(e.deleted) {
		fail("deleted something by a word of " + string(of) + " that is about something else")
		return
	}
	v.on(CheckAgreements).pass(1)
	v.say(CheckAgreements, "%s deleted %s that %s had passed on, by the signed word of %s.", e.by, count(len(e.deleted), "version"), e.from, of)
}

func chainWords(c agreement.Chain) string {
	var all []string
	for _, a := range c {
		all = append(all, string(a.Name))
	}
	return strings.Join(all, ", then ")
}

// chain returns the agreements that an event shows, and by which rule nothing may go on by
// them; done is false where a key is not here, and rule says of whom.
func (v *verifier) chain(doc *agreement.Agreement, e *claimed) (chain agreement.Chain, rule string, done bool) {
	at, state := time.Unix(e.issuedAt, 0), agreement.NewState()
	done = true
	missing := ""
	for _, text := range e.texts {
		t, ev, err := record.ParseEvent([]byte(text))
		if err != nil || !slices.Contains(agreement.Kinds(), ev.Kind) {
			return nil, "shows something that is no word about an agreement", true
		}
		key, rule := v.ring.record(ev.Council, t.KeyID(), directory.AnyPlace)
		switch {
		case rule == ruleNoKey:
			done, missing = false, "a key of "+string(ev.Council)+" is not here"
		case rule != "" || t.Verify(key) != nil:
			return nil, "shows a word of " + string(ev.Council) + " that it did not sign", true
		default:
			v.used[Key{ev.Council, UseRecord, t.KeyID()}] = true
		}
		if state.Apply(ev.Council, ev.Kind, ev.Body, time.Unix(ev.IssuedAt, 0)) != nil {
			return nil, "shows words about agreements that do not hold together", true
		}
	}
	chain = agreement.Chain{doc}
	for a := doc; a.Origin != "" && len(chain) <= agreement.MaxSteps+1; {
		st, ok := state.Status(a.Origin, at)
		if !ok || !st.InForce() {
			return nil, agreement.RuleOnwardInForce, true
		}
		a = st.Agreement
		chain = append(agreement.Chain{a}, chain...)
	}
	rule = chain.Judge(doc.To, func(c name.Council) string { return v.roles[c] })
	if rule == "" {
		rule = missing
	} else {
		done = true
	}
	return chain, rule, done
}
