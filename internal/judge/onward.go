package judge

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// Under an agreement whose origin is another, what comes is of a third council, and who
// sends it is believed in nothing: the record carries its own council's signature, and every
// earlier agreement is shown as its parties signed it, in an event that stands in the log
// before the records (event.Onward). Each record comes with the event of who passes it on
// (event.PassedOn), which stands in the log where a record of the sender's own would.

// The rules about what was passed on, beside those of [agreement.Chain.Judge].
const (
	RuleOnwardOwn   = "onward sharing: a record comes without the word of who passes it on"
	RuleOnwardChain = "onward sharing: the earlier agreements are not shown"
	RuleOnwardText  = "onward sharing: an earlier agreement is not as its parties signed it"
	RuleOnwardWord  = "onward sharing: the word of who passes it on is about something else"
	RuleOnwardGone  = "onward sharing: its council took this version back"
	RuleOnwardPlain = "onward sharing: the record has no signature of its own council"
)

// A passage is what one event.Onward proves.
type passage struct {
	rule  string // why nothing goes by it; "" when it does
	chain agreement.Chain
	terms sync.Map // name.Standard to *agreement.Passage
}

// Onward is the chain of agreements that events prove, as their parties signed them, for an
// agreement whose origin is not its sender's own: the first first, the agreement itself last.
// If nothing may go to a council by it, rule says why. The error wraps [ErrWait].
func (j *Judge) Onward(doc *agreement.Agreement, to name.Council, texts []string) (chain agreement.Chain, rule string, err error) {
	state := agreement.NewState()
	for _, jws := range texts {
		_, ev, err := record.ParseEvent([]byte(jws))
		if err != nil || !slices.Contains(agreement.Kinds(), ev.Kind) {
			return nil, RuleOnwardText, nil
		}
		_, ev, rule, err := j.Event(ev.Council, []byte(jws), directory.AnyPlace)
		if err != nil || rule != "" {
			if errors.Is(err, ErrLied) {
				err = nil
			}
			return nil, RuleOnwardText, err
		}
		if state.Apply(ev.Council, ev.Kind, ev.Body, timeOf(ev.IssuedAt)) != nil {
			return nil, RuleOnwardText, nil
		}
	}
	chain = agreement.Chain{doc}
	for a := doc; a.Origin != ""; {
		if len(chain) > agreement.MaxSteps {
			return nil, agreement.RuleOnwardSteps, nil
		}
		st, ok := state.Status(a.Origin, j.o.Now())
		switch {
		case !ok:
			return nil, RuleOnwardChain, nil
		case !st.InForce():
			return nil, agreement.RuleOnwardInForce, nil
		}
		a = st.Agreement
		chain = append(agreement.Chain{a}, chain...)
	}
	return chain, chain.Judge([]name.Council{to}, j.role), nil
}

func (j *Judge) role(c name.Council) string {
	m, ok := j.o.Directory.Member(c)
	if !ok || !m.ActiveAt(j.o.Now()) {
		return ""
	}
	return string(m.Role)
}

// onward reports whether what comes was passed on.
func (c *Case) onward() bool { return c.doc != nil && c.doc.Origin != "" }

// passages finds what each event.Onward proves that items name: those among the items, and
// those that were kept before.
func (c *Case) passages(src *ledger.Source, items []Item) (map[uint64]*passage, error) {
	shown := map[uint64][]byte{}
	err := c.j.o.Ledger.View(func(v *ledger.View) error {
		return v.ReceivedEvents(src, func(index uint64, jws []byte) error {
			shown[index] = jws
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		if len(it.Record) == 0 {
			shown[it.Index] = it.Event
		}
	}
	out := map[uint64]*passage{}
	for index, jws := range shown {
		_, ev, err := record.ParseEvent(jws)
		if err != nil || ev.Kind != event.KindOnward {
			continue
		}
		p := new(passage)
		out[index] = p
		o, err := event.ParseOnward(ev.Body)
		if err != nil || o.Agreement != c.doc.Name || o.Origin != c.doc.Origin {
			p.rule = RuleOnwardText
			continue
		}
		if p.chain, p.rule, err = c.j.Onward(c.doc, c.self(), o.Texts); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// self is the council that receives.
func (c *Case) self() name.Council { return c.j.o.Ledger.Council() }

// termsFor returns what the chain means for one version of its standard; nil when it lets
// nothing of it through.
func (p *passage) termsFor(std *standard.Standard) *agreement.Passage {
	if t, ok := p.terms.Load(std.Name()); ok {
		return t.(*agreement.Passage)
	}
	t, err := p.chain.Compile(std)
	if err != nil {
		t = nil
	}
	p.terms.Store(std.Name(), t)
	return t
}

// passed decides about a record that was passed on, and about the event that says so. The
// verdict's Entry is the record's; the event's stands in the log.
func (c *Case) passed(all map[uint64]*passage, it Item, t *record.Token) (v Verdict, leaf Verdict, err error) {
	v.Token, v.Entry = t, t.Entry()
	var rule string
	if leaf.Token, leaf.Event, rule, err = c.j.Event(c.from, it.Event, it.Index); err != nil {
		return v, leaf, err
	}
	leaf.Entry = leaf.Token.Entry()
	refuse := func(rule, pointer string) (Verdict, Verdict, error) {
		v.refuse(rule, pointer)
		return v, leaf, nil
	}
	if rule != "" {
		return refuse(rule, "")
	}
	if leaf.Event.Kind != event.KindPassedOn {
		return refuse(RuleKind, "")
	}
	p, err := event.ParsePassedOn(leaf.Event.Body)
	if err != nil {
		return refuse(RuleOnwardWord, "")
	}
	if len(t.Bytes()) > ledger.MaxHolding {
		return refuse(RuleSize, "")
	}
	if v.View, err = t.View(); err != nil {
		return refuse(RuleDisclosures, "")
	}
	shown := all[p.Chain]
	switch {
	case p.Agreement != c.doc.Name || p.Origin != c.doc.Origin || p.Record != v.View.Record || p.RecordVersion != v.View.Version || p.Hash != v.Entry:
		return refuse(RuleOnwardWord, "")
	case shown == nil || p.Chain >= it.Index:
		return refuse(RuleOnwardChain, "")
	case shown.rule != "":
		return refuse(shown.rule, "")
	case v.View.Council != shown.chain[0].From:
		return refuse(RuleIssuer, "")
	case v.View.Standard.Line() != c.doc.Standard:
		return refuse(RuleStandard, "")
	case v.View.Op != record.Put:
		return refuse(RuleOperation, "")
	case !t.Signed() || t.Page() != nil:
		return refuse(RuleOnwardPlain, "")
	}
	std, err := c.stds(v.View.Standard)
	if err != nil {
		return v, leaf, fmt.Errorf("%w: %s", ErrStandardMissing, v.View.Standard)
	}
	if std.Integrity() != v.View.Integrity {
		return refuse(RuleSchema, "")
	}
	if rule, pointer := shown.termsFor(std).Beyond(std, v.View.Body); rule != "" {
		return refuse(rule, pointer)
	}
	if rule, err = c.j.Signed(v.View.Council, t, directory.AnyPlace); rule == "" && err == nil {
		rule, err = c.j.Issued(v.View.IssuedAt)
	}
	if rule == "" && err == nil {
		rule, err = c.before(shown.chain, p)
	}
	v.refuse(rule, "")
	return v, leaf, err
}

// before decides about the words of those who passed a record on before the sender did.
func (c *Case) before(chain agreement.Chain, p event.PassedOn) (rule string, err error) {
	if len(p.Before) != len(chain)-2 {
		return RuleOnwardChain, nil
	}
	for i, jws := range p.Before {
		a := chain[i+1]
		_, ev, rule, err := c.j.Event(a.From, []byte(jws), directory.AnyPlace)
		if rule != "" || err != nil {
			return RuleOnwardWord, err
		}
		q, err := event.ParsePassedOn(ev.Body)
		if err != nil || ev.Kind != event.KindPassedOn || q.Agreement != a.Name || q.Origin != a.Origin || q.Record != p.Record || q.RecordVersion != p.RecordVersion || q.Hash != p.Hash {
			return RuleOnwardWord, nil
		}
	}
	return "", nil
}

func timeOf(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
