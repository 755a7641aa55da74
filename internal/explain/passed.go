package explain

import (
	"errors"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// A passed is a record of another council that may have gone on, and from which source.
type passed struct {
	id  name.Record
	src *ledger.Source
}

// passing returns the agreements of ours under which a partner is given what we hold.
func (x *Explainer) passing(partner name.Council) (out []agreement.Status) {
	for _, st := range x.o.Agreements.Standing(x.o.Now()) {
		if a := st.Agreement; a.From == x.o.Self && a.Origin != "" && slices.Contains(a.To, partner) {
			out = append(out, st)
		}
	}
	return out
}

// passedRecord finds a record that we hold, or held, under the origin of an agreement with a
// partner. own is what a record of ours would be: where there is one, that is meant.
func (x *Explainer) passedRecord(partner name.Council, in api.WhyRequest, own name.Record) (p passed, found bool, err error) {
	all := x.passing(partner)
	if len(all) == 0 {
		return p, false, nil
	}
	ours := false
	err = x.o.Ledger.View(func(v *ledger.View) error { ours = own != "" && has(v, own); return nil })
	if err != nil || ours {
		return p, false, err
	}
	for _, st := range all {
		origin := st.Agreement.Origin
		src, err := x.o.Ledger.Source(origin.Council(), origin)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err != nil {
			return p, false, err
		}
		id, err := x.o.Held(origin.Council(), in.Record)
		if err != nil {
			continue // it is not of that council, and is looked for among others
		}
		if last, err := x.o.Ledger.Last(src, id); err == nil && last.Council != "" {
			return passed{id, src}, true, nil
		}
	}
	return p, false, nil
}

// whyPassed says why a partner has or lacks a record that we received and may pass on.
func (x *Explainer) whyPassed(partner name.Council, p passed) (*api.WhyReply, error) {
	let, err := x.o.PassedOn(p.src.Agreement, p.id)
	if err != nil {
		return nil, err
	}
	let = slices.DeleteFunc(let, func(d api.Disclosure) bool { return d.To != partner })
	texts := map[name.Agreement]agreement.Status{}
	out := &api.WhyReply{Record: p.id, Partner: partner, Steps: []api.WhyStep{}}
	step := func(a name.Agreement, holds bool, rule, detail string) bool {
		st := texts[a]
		past := st.Phase == agreement.Ended || st.Phase == agreement.Superseded
		out.Steps = append(out.Steps, api.WhyStep{Agreement: a, Rule: rule, Past: past, Holds: holds, Detail: detail})
		return holds
	}
	last, err := x.o.Ledger.Last(p.src, p.id)
	if err != nil {
		return nil, err
	}
	err = x.o.Ledger.View(func(v *ledger.View) error {
		of := fmt.Sprintf("version %d of %s, which we received under %s as entry %d of the log of %s", last.Version, last.Council, p.src.Agreement, last.Index, p.src.From)
		var h *ledger.Holding
		switch {
		case last.Held:
			if h, err = v.Holding(p.src, p.id); err != nil {
				return err
			}
			step("", true, "we hold the record", of)
		case last.Withdrawn > 0:
			step("", false, "it was not taken back", fmt.Sprintf("%s; %s took it back by entry %d", of, p.src.From, last.Withdrawn))
		default:
			step("", false, "we hold the record", of+"; it is kept here no longer")
		}
		x.whyPartner(partner, step)
		for _, st := range x.passing(partner) {
			if st.Agreement.Origin != p.src.Agreement {
				continue
			}
			texts[st.Agreement.Name] = st
			has, err := x.whyOnward(v, st, partner, p.id, h, out, step)
			if err != nil {
				return err
			}
			out.Has = out.Has || has
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	x.answer(let, texts, out)
	return out, nil
}

// whyOnward says why a record that we hold goes on under an agreement; h is nil for one that
// is held no longer.
func (x *Explainer) whyOnward(v *ledger.View, st agreement.Status, partner name.Council, id name.Record, h *ledger.Holding, out *api.WhyReply, step func(name.Agreement, bool, string, string) bool) (bool, error) {
	a := st.Agreement
	if st.Phase == agreement.Ended || st.Phase == agreement.Superseded {
		step(a.Name, false, "the agreement is in force still", "it is over: "+st.Why)
	} else {
		step(a.Name, st.InForce(), "the agreement is in force", st.Why)
		why, err := x.o.Agreements.PassesNothing(a, x.o.Now())
		if err != nil {
			return false, err
		}
		step(a.Name, why == "", fmt.Sprintf("%s lets it go on", a.Origin), why)
	}
	if h != nil {
		step(a.Name, h.PassesAlone(), "it has a signature of its own council by itself", "")
		std, err := x.o.Ledger.Standard(h.View.Standard)
		if err != nil {
			step(a.Name, false, "its standard is adopted here", err.Error())
			return false, nil
		}
		terms, err := a.Compile(std)
		if err != nil {
			return false, err
		}
		whyRows(terms, h.View.Body, "row filter: ", out, step)
	}
	f, err := x.o.Ledger.Feed(a.Name, st.Digest)
	if err == nil {
		at, withdrawn, err := v.InFeed(f, id)
		if err == nil && withdrawn {
			if ev, _, err := v.Event(at); err == nil {
				if w, err := event.ParseTakenBack(ev.Kind, ev.Body); err == nil {
					step(a.Name, false, "it was not taken back from the partner", w.Reason)
				}
			}
		}
	}
	return x.whyStands(v, st, partner, id, step)
}
