package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// Under an agreement of a mode in which records go by hand, a record enters the feed only
// when people let it out, and a receiver takes only what it has been told of. Both keep
// the cases in which that was decided, and by case which records are let out:
//
//	6 c case16                   case: JSON
//	6 a agreement 0 record16     let1 case16, of the case that let the record out last
//
// The second stands at the sender and at the receiver alike. It is written in the
// transaction that logs the decision, or that takes in the other council's.

// How a record is let out.
type let byte

const (
	letOut    let = 1 // urgently, until it is taken back
	letAgreed let = 2 // in a handover that was accepted
	letTaken  let = 3 // and the receiver has taken it over: it is not taken back
	letOver   let = 4 // it has been withdrawn, or stayed behind
)

// travels reports whether a record may travel under agreements in which records move, or
// in which they do not: a word of one sort of case lets nothing out under the other.
func (h let) travels(moves bool) bool {
	if moves {
		return h == letAgreed || h == letTaken
	}
	return h == letOut
}

func caseKey(id event.CaseID) []byte { return append([]byte("6c"), id[:]...) }

func letKey(a name.Agreement, r name.Record) []byte {
	id := r.Bytes()
	return append(append(append([]byte("6a"), a...), 0), id[:]...)
}

// Where a case stands. Not every sort of case goes through all.
const (
	CaseAsked     = "asked"     // urgent: the receiver asks for it
	CaseGiven     = "given"     // urgent: one person has said yes, and a second one has not
	CaseRefused   = "refused"   // urgent: a person of the sender said no
	CaseOffered   = "offered"   // handover: the receiver has not answered
	CaseDeclined  = "declined"  // handover
	CaseAccepted  = "accepted"  // handover: the receiver is responsible; its receipts have not all come
	CaseOut       = "out"       // urgent: approved, and not over
	CaseWithdrawn = "withdrawn" // handover: by the sender, before it was answered
	CaseClosed    = "closed"    // handover: the receipts have come
	CaseEnded     = "ended"     // urgent: everything was withdrawn
	CaseCarried   = "carried"   // handover: of a council that has ended, in whose place we are
	CaseContinued = "continued" // handover: the same, and its records have been offered anew
)

// A Case is one decision of people to let out records, as far as it has come. What was
// said stands in the logs; this says where. It is immutable.
type Case struct {
	ID      event.CaseID `json:"id"`
	Urgent  bool         `json:"urgent,omitempty"` // else it is a handover
	Partner name.Council `json:"partner"`
	Sends   bool         `json:"sends"` // the records are ours
	State   string       `json:"state"`
	Began   time.Time    `json:"began"` // when the first word of it was said
	// Ours are the entries of our own log about it, by kind; Theirs what the partner
	// said, signed (JWS), by kind. Of each kind the first counts.
	Ours   map[string]uint64 `json:"ours,omitempty"`
	Theirs map[string][]byte `json:"theirs,omitempty"`
	// Out says that what the answer or the decision lets out is let out in this ledger.
	Out bool `json:"out,omitempty"`
	// Next is the id of the case in which one that is continued goes on.
	Next string `json:"next,omitempty"`
}

// with returns a copy that may be changed.
func (c Case) with() Case {
	ours, theirs := map[string]uint64{}, map[string][]byte{}
	for k, v := range c.Ours {
		ours[k] = v
	}
	for k, v := range c.Theirs {
		theirs[k] = v
	}
	c.Ours, c.Theirs = ours, theirs
	return c
}

// Said returns what was said of a case in an event of a kind, by whichever side, read by
// the kind's Parse function; ErrNotFound when nothing was.
func Said[C any](v *View, c Case, kind string, parse func(map[string]any) (C, error)) (content C, jws []byte, err error) {
	if at, ok := c.Ours[kind]; ok {
		return ReadEvent(v, at, kind, parse)
	}
	jws, ok := c.Theirs[kind]
	if !ok {
		return content, nil, fmt.Errorf("case %s: %s: %w", c.ID, kind, ErrNotFound)
	}
	_, ev, err := record.ParseEvent(jws)
	if err == nil {
		content, err = parse(ev.Body)
	}
	if err != nil {
		return content, nil, fmt.Errorf("case %s: %w: %s: %w", c.ID, ErrDamaged, kind, err)
	}
	return content, jws, nil
}

// Case returns a case; ErrNotFound when there is none.
func (v *View) Case(id event.CaseID) (c Case, err error) {
	b, err := v.value(caseKey(id))
	if err == nil {
		err = unmarshal(b, &c)
	}
	return c, err
}

// Cases returns all cases, by when they began.
func (v *View) Cases() (out []Case, err error) {
	err = v.walk([]byte("6c"), func(_, value []byte) error {
		var c Case
		err := unmarshal(value, &c)
		out = append(out, c)
		return err
	})
	slices.SortStableFunc(out, func(a, b Case) int {
		return cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.first(), b.first()))
	})
	return out, err
}

// first is the first entry of our own log about the case; that of a case which only the
// partner has spoken of is behind all.
func (c Case) first() uint64 {
	at := uint64(math.MaxUint64)
	for _, i := range c.Ours {
		at = min(at, i)
	}
	return at
}

// Let reports how a record is let out under an agreement in which records go by hand, and
// move or do not: whether any case has let it out, whether it may travel, and whether the
// receiver has taken it over. It is the same at the sender and at the receiver.
func (l *Ledger) Let(a name.Agreement, r name.Record, moves bool) (known, travels, taken bool, err error) {
	err = l.View(func(v *View) error {
		how, err := letBy(v.value, a, r)
		known, travels, taken = how != 0, how.travels(moves), how == letTaken
		return err
	})
	return known, travels, taken, err
}

func decodeLet(b []byte) (let, error) {
	if len(b) != 17 || b[0] < byte(letOut) || b[0] > byte(letOver) {
		return 0, fmt.Errorf("%w: what lets a record out has %d bytes", ErrDamaged, len(b))
	}
	return let(b[0]), nil
}

// letBy reads how a record is let out; 0 when it is not.
func letBy(lookup func([]byte) ([]byte, error), a name.Agreement, r name.Record) (let, error) {
	b, err := lookup(letKey(a, r))
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return decodeLet(b)
}

// byHand reports whether records enter the feed only when people let them out.
func (f *Feed) byHand() bool { return f.doc != nil && f.doc.Way().ByHand }

// lets reports whether a record that matches may stand in the feed.
func (f *Feed) lets(lookup func([]byte) ([]byte, error), r name.Record) (bool, error) {
	if !f.byHand() {
		return true, nil
	}
	how, err := letBy(lookup, f.Agreement, r)
	return how.travels(f.doc.Way().Moves), err
}

// taken reports whether a record is never taken back: the receiver has taken it over.
func (f *Feed) taken(lookup func([]byte) ([]byte, error), r name.Record) (bool, error) {
	if !f.byHand() {
		return false, nil
	}
	how, err := letBy(lookup, f.Agreement, r)
	return how == letTaken, err
}

// A CaseTx changes cases, in one transaction with what is logged of them.
type CaseTx struct{ t *tx }

// ChangeCases runs f, which may be run again, and makes durable what it did if it returns
// nil. Whoever an event is to be addressed to must be among to.
func (l *Ledger) ChangeCases(ctx context.Context, to []name.Council, f func(*CaseTx) error) error {
	for _, c := range to {
		if _, err := l.OpenNotices(ctx, c); err != nil {
			return err
		}
	}
	return l.do(ctx, false, func(t *tx) error { return f(&CaseTx{t}) })
}

// Get returns a case; ErrNotFound when there is none.
func (x *CaseTx) Get(id event.CaseID) (c Case, err error) {
	b, err := x.t.lookup(caseKey(id))
	if err == nil {
		err = unmarshal(b, &c)
	}
	return c, err
}

// Log logs an event of a case, addressed to its partner if told, and keeps the case in
// its new state.
func (x *CaseTx) Log(c Case, state, kind string, body map[string]any, told bool) (Case, error) {
	p := x.t.event(kind, body)
	if told {
		if err := x.t.address(p.index, []name.Council{c.Partner}); err != nil {
			return c, err
		}
	}
	c = c.with()
	c.Ours[kind], c.State = p.index, state
	if c.Began.IsZero() {
		c.Began = time.Unix(x.t.b.iat, 0).UTC()
	}
	return c, x.t.keepCase(c)
}

// Keep keeps a case.
func (x *CaseTx) Keep(c Case) error { return x.t.keepCase(c) }

func (t *tx) keepCase(c Case) error {
	b, err := marshal(c)
	if err == nil {
		t.set(caseKey(c.ID), b)
		t.after = append(t.after, func() {
			close(t.l.said)
			t.l.said = make(chan struct{})
		})
	}
	return err
}

// CasesChanged returns a channel that is closed when a case has changed. Take it before
// looking at what is waited for.
func (l *Ledger) CasesChanged() <-chan struct{} {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.said
}

// LetOutBy reports whether a case lets a record travel, or an earlier one in which the receiver
// has taken it over.
func (v *View) LetOutBy(a name.Agreement, r name.Record, id event.CaseID) (bool, error) {
	b, err := v.value(letKey(a, r))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	how, err := decodeLet(b)
	if err != nil {
		return false, err
	}
	return how == letTaken || how != letOver && event.CaseID(b[1:]) == id, err
}

// LetBy returns the case that lets a record travel, and whether the receiver has taken it over
// in it; the zero CaseID when none does.
func (x *CaseTx) LetBy(a name.Agreement, r name.Record) (id event.CaseID, taken bool, err error) {
	return caseOf(x.t.lookup, a, r)
}

// LetBy is [CaseTx.LetBy].
func (v *View) LetBy(a name.Agreement, r name.Record) (id event.CaseID, taken bool, err error) {
	return caseOf(v.value, a, r)
}

func caseOf(lookup func([]byte) ([]byte, error), a name.Agreement, r name.Record) (id event.CaseID, taken bool, err error) {
	b, err := lookup(letKey(a, r))
	if errors.Is(err, ErrNotFound) {
		return id, false, nil
	}
	if err != nil {
		return id, false, err
	}
	how, err := decodeLet(b)
	if err != nil || how == letOver {
		return id, false, err
	}
	return event.CaseID(b[1:]), how == letTaken, nil
}

// LetOut lets a record of a case travel. At the sender it enters the feed with its next
// version.
func (x *CaseTx) LetOut(c Case, a name.Agreement, r name.Record) {
	if c.Urgent {
		x.t.let(letOut, a, r, c.ID)
	} else {
		x.t.let(letAgreed, a, r, c.ID)
	}
}

// TakenOver says of a record that a case lets out, or an earlier one in which it was taken over,
// that the receiver has taken it over in this one.
func (x *CaseTx) TakenOver(c Case, a name.Agreement, r name.Record) error {
	if id, taken, err := x.LetBy(a, r); err != nil {
		return err
	} else if taken && id != c.ID {
		x.t.let(letTaken, a, r, c.ID)
		return nil
	}
	return x.t.letOn(letTaken, a, r, c.ID)
}

// letOn changes how a record is let out, if the case is the one that let it out.
func (t *tx) letOn(how let, a name.Agreement, r name.Record, id event.CaseID) error {
	b, err := t.lookup(letKey(a, r))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := decodeLet(b); err != nil || event.CaseID(b[1:]) != id {
		return err
	}
	t.let(how, a, r, id)
	return nil
}

func (t *tx) let(how let, a name.Agreement, r name.Record, id event.CaseID) {
	t.set(letKey(a, r), append([]byte{byte(how)}, id[:]...))
}

// TakeBack lets a record travel no more, if this case let it out, and withdraws it from the
// feeds in which it stands. It returns the entry of the withdrawal; false when there was
// nothing to withdraw.
func (x *CaseTx) TakeBack(c Case, a name.Agreement, r name.Record) (entry uint64, was bool, err error) {
	t := x.t
	b, err := t.lookup(letKey(a, r))
	if errors.Is(err, ErrNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	how, err := decodeLet(b)
	if err != nil || how != letOut && how != letAgreed || event.CaseID(b[1:]) != c.ID {
		return 0, false, err
	}
	t.let(letOver, a, r, c.ID)
	for _, f := range t.l.Feeds() {
		if f.Agreement != a || f.closed || !f.byHand() {
			continue
		}
		rec := r.Bytes()
		b, err := t.lookup(memberKey(f.number, rec))
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return 0, false, err
		}
		m, err := decodeMembership(b)
		if err != nil || m.kind != itemPut {
			return 0, false, err
		}
		if !was {
			entry, was = t.event(event.KindWithdrawal, withdrawalBody(f, r, WithdrawnByHand, m.index)).index, true
		}
		t.remove(feedItemKey(f.number, m.index))
		t.set(feedItemKey(f.number, entry), encodeItem(itemWithdraw, rec))
		t.set(memberKey(f.number, rec), membership{itemWithdraw, entry}.encode())
		t.feed(f.number, feedDelta{records: -1, end: entry + 1})
	}
	return entry, was, nil
}
