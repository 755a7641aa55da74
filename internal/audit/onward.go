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
