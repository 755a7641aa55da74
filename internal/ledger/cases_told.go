package ledger

import (
	"errors"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A word is what a partner's event says of a case, as far as it changes anything here.
type word struct {
	id     event.CaseID
	to     name.Council // to whom it is said
	urgent bool
	begins bool // it may be the first that is heard of the case
	// either: both sides may say it. Else sends says whether it is said to who sends.
	either, sends bool
	// state is where the case stands then, if it stands at one of follows; "" changes
	// nothing.
	state   string
	follows []string
	// of, of an answer to something of ours, is the kind of that, and entry the entry.
	of    string
	entry tlog.Hash
	// What the event lets out, or how what was let out goes on.
	out, taken, over []event.Item
	overAll          bool // whatever this case let out is over
}

// wordOf reads an event; nil when it is none that is said to a partner, or malformed.
func wordOf(ev *record.Event) *word {
	var w word
	var err error
	switch ev.Kind {
	case event.KindHandoverOffer:
		var h event.HandoverOffer
		h, err = event.ParseHandoverOffer(ev.Body)
		w = word{id: h.Case, to: h.To, begins: true, state: CaseOffered}
	case event.KindHandoverAnswer:
		var h event.HandoverAnswer
		h, err = event.ParseHandoverAnswer(ev.Body)
		w = word{id: h.Case, to: h.From, sends: true, state: CaseDeclined, follows: []string{CaseOffered}, of: event.KindHandoverOffer, entry: h.Offer}
		if h.Accepted {
			w.state = CaseAccepted
		}
	case event.KindHandoverWithdrawn:
		var h event.HandoverWithdrawn
		h, err = event.ParseHandoverWithdrawn(ev.Body)
		w = word{id: h.Case, to: h.To, state: CaseWithdrawn, follows: []string{CaseOffered, CaseAccepted}, overAll: true}
	case event.KindHandoverClosed:
		var h event.HandoverClosed
		h, err = event.ParseHandoverClosed(ev.Body)
		w = word{id: h.Case, to: h.To, state: CaseClosed, follows: []string{CaseAccepted}, of: event.KindHandoverAnswer, entry: h.Answer, taken: h.Passed, over: h.Left}
	case event.KindUrgentAsked:
		var u event.UrgentAsked
		u, err = event.ParseUrgentAsked(ev.Body)
		w = word{id: u.Case, to: u.To, urgent: true, begins: true, sends: true, state: CaseAsked}
	case event.KindUrgentDecided:
		var u event.UrgentDecided
		u, err = event.ParseUrgentDecided(ev.Body)
		w = word{id: u.Case, to: u.To, urgent: true, begins: u.Approved, state: CaseRefused, follows: []string{CaseAsked}, out: u.Items}
		if u.Approved {
			w.state = CaseOut
		}
	case event.KindUrgentEnded:
		var u event.UrgentEnded
		u, err = event.ParseUrgentEnded(ev.Body)
		w = word{id: u.Case, to: u.To, urgent: true, state: CaseEnded, follows: []string{CaseOut}, overAll: true}
	case event.KindUrgentReviewed:
		var u event.UrgentReviewed
		u, err = event.ParseUrgentReviewed(ev.Body)
		w = word{id: u.Case, to: u.Partner, urgent: true, either: true}
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	return &w
}

// told takes in what a partner said of a case. What it has no business to say, and what was
// said before, is passed over; the event is kept among its others in any case.
func (t *tx) told(from name.Council, jws []byte) error {
	_, ev, err := record.ParseEvent(jws)
	if err != nil || ev.Council != from {
		return nil
	}
	w := wordOf(ev)
	if w == nil || w.to != t.l.o.Council {
		return nil
	}
	x := CaseTx{t}
	c, err := x.Get(w.id)
	switch {
	case errors.Is(err, ErrNotFound) && w.begins:
		c = Case{ID: w.id, Urgent: w.urgent, Partner: from, Sends: w.sends, Began: time.Unix(ev.IssuedAt, 0).UTC()}
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case c.Partner != from || c.Urgent != w.urgent || !w.either && c.Sends != w.sends || c.Theirs[ev.Kind] != nil,
		w.state != "" && !slices.Contains(w.follows, c.State):
		return nil
	}
	if w.of != "" {
		same := false
		err := t.l.View(func(v *View) error {
			at, ok := c.Ours[w.of]
			if !ok {
				return nil
			}
			h, _, err := v.Entry(at)
			same = h == w.entry
			return err
		})
		if err != nil || !same {
			return err
		}
	}
	c = c.with()
	c.Theirs[ev.Kind] = slices.Clone(jws)
	if w.state != "" {
		c.State = w.state
	}
	for _, it := range w.out {
		// A word about the agreements of others is none, nor one about what was taken over.
		how, err := letBy(t.lookup, it.Agreement, it.Record)
		if err != nil {
			return err
		}
		if it.Agreement.Council() == from && (how == 0 || how == letOver || how == letOut) {
			t.let(letOut, it.Agreement, it.Record, c.ID)
		}
	}
	over := w.over
	if w.overAll {
		if over, err = t.itemsOf(c); err != nil {
			return err
		}
	}
	for _, it := range over {
		if err := t.letOn(letOver, it.Agreement, it.Record, c.ID); err != nil {
			return err
		}
	}
	for _, it := range w.taken {
		if err := t.letOn(letTaken, it.Agreement, it.Record, c.ID); err != nil {
			return err
		}
	}
	return t.keepCase(c)
}

// itemsOf returns the records that a case is about at the receiver.
func (t *tx) itemsOf(c Case) (items []event.Item, err error) {
	for kind, jws := range c.Theirs {
		_, ev, err := record.ParseEvent(jws)
		if err != nil {
			continue
		}
		switch kind {
		case event.KindHandoverOffer:
			h, err := event.ParseHandoverOffer(ev.Body)
			if err == nil {
				items = append(items, h.Items...)
			}
		case event.KindUrgentDecided:
			u, err := event.ParseUrgentDecided(ev.Body)
			if err == nil {
				items = append(items, u.Items...)
			}
		}
	}
	return items, nil
}
