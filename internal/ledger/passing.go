package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// What a council received it may pass on, under an agreement that names as its origin the
// one under which it holds the records. The feed of such an agreement holds nothing of our
// own. Its items are events of ours, one for each version that goes on (event.PassedOn):
// which record of whose log, by its hash, and no word of what it says. The token is read from
// the holding when it leaves, so that there is one copy, and nothing to send once that is
// erased.
//
// An item is written in the transaction of the holding, and so is its withdrawal: what
// another council takes back is taken back from those it was passed on to in the same sync.
//
// Before the first item stands the proof that they may go (event.Onward): what the councils
// have signed of the earlier agreements. Whoever knows of agreements says when that is so
// (PassOn) and when it is not any more (StopPassing); here it is only kept.

// Why what was passed on is taken back, in words.
const (
	WithdrawnAtOrigin  = "taken back by the council that it came from"
	WithdrawnNoPassing = "onward sharing is not permitted any more"
	WithdrawnAtTerm    = "kept no longer by the council that passed it on"
)

// TakenBackForGood reports whether a reason for which a record that was passed on was
// withdrawn is that its own council took back that version: it does not come again.
func TakenBackForGood(reason string) bool { return reason == WithdrawnAtOrigin }

// passing is under what a feed passes on; nil while it does not.
type passing struct {
	Chain   uint64                  `json:"chain"`   // log index of the Onward event
	Texts   [][]byte                `json:"texts"`   // the earlier agreements in canonical form, the first first
	Roles   map[name.Council]string `json:"roles"`   // of the receivers, in the directory
	Sum     string                  `json:"sum"`     // names the events in it
	Through bool                    `json:"through"` // what was held before is entered

	chain agreement.Chain
}

func (p *passing) read(doc *agreement.Agreement) error {
	for _, b := range p.Texts {
		a, err := agreement.ParseCanonical(b)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		p.chain = append(p.chain, a)
	}
	p.chain = append(p.chain, doc)
	return nil
}

// onward reports whether the feed is of records that we hold from others.
func (f *Feed) onward() bool { return f.doc != nil && f.doc.Origin != "" }

// Onward reports whether the feed passes on what we hold from others, and under which
// agreements it does now: the first first, its own last; nil while it does not.
func (f *Feed) Onward() (chain agreement.Chain, is bool) {
	if f.passing != nil {
		chain = f.passing.chain
	}
	return chain, f.onward()
}

// PassesBy reports whether the feed passes on by a proof, and has entered all that it may.
func (f *Feed) PassesBy(proof string) bool {
	return f.passing != nil && f.passing.Sum == proof && f.passing.Through
}

// passage returns what the chain means for one version of its standard; nil when it lets
// nothing of it out.
func (f *Feed) passage(std *standard.Standard) *agreement.Passage {
	if f.passing == nil {
		return nil
	}
	k := passageOf{f.passing.Sum, std.Name()}
	if p, ok := f.byStd.Load(k); ok {
		return p.(*agreement.Passage)
	}
	p, err := f.passing.chain.Compile(std)
	if err != nil {
		p = nil
	}
	f.byStd.Store(k, p)
	return p
}

type passageOf struct {
	sum string
	std name.Standard
}

// PassOn begins to pass on under an agreement what is held under its origin, and what comes
// under it from then on. chain are the agreements in force, the first first and the feed's
// own last; texts what their councils signed of the earlier ones; sum names those, so that
// doing it again does nothing; roles are those that the receivers have in the directory. What
// is held is entered before it returns.
func (l *Ledger) PassOn(ctx context.Context, f *Feed, chain agreement.Chain, texts []string, sum string, roles map[name.Council]string) error {
	if f.PassesBy(sum) {
		return nil
	}
	err := l.do(ctx, true, func(t *tx) error {
		now := l.Feeds()[f.number]
		if now.closed || now.passing != nil && now.passing.Sum == sum {
			return nil
		}
		e := t.event(event.KindOnward, event.Onward{Agreement: f.Agreement, Version: uint64(f.Version), Origin: f.doc.Origin, Texts: texts}.Body())
		p := &passing{Chain: e.index, Sum: sum, Roles: roles, chain: chain}
		for _, a := range chain[:len(chain)-1] {
			p.Texts = append(p.Texts, a.Canonical())
		}
		t.set(feedItemKey(f.number, e.index), encodeItem(itemEvent, [16]byte{}))
		t.feed(f.number, feedDelta{end: e.index + 1})
		return t.changeFeed(f.number, func(g *Feed) { g.passing = p })
	})
	if err != nil {
		return fmt.Errorf("pass on under %s: %w", f.Agreement, err)
	}
	if err := l.passHeld(ctx, f.number); err != nil {
		return fmt.Errorf("pass on under %s: %w", f.Agreement, err)
	}
	err = l.do(ctx, true, func(t *tx) error {
		now := l.Feeds()[f.number]
		if now.closed || now.passing == nil || now.passing.Sum != sum {
			return nil
		}
		p := *now.passing
		p.Through = true
		return t.changeFeed(f.number, func(g *Feed) { g.passing, g.Ready = &p, true })
	})
	if err != nil {
		return fmt.Errorf("pass on under %s: %w", f.Agreement, err)
	}
	return nil
}

// passChunk is how many holdings one transaction enters.
const passChunk = 400

// passHeld enters what is held already.
func (l *Ledger) passHeld(ctx context.Context, number uint32) error {
	f := l.Feeds()[number]
	src, err := l.Source(f.doc.Origin.Council(), f.doc.Origin)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	for from, more := uint64(0), true; err == nil && more; {
		var records []name.Record
		err = l.View(func(v *View) error {
			more = false
			return v.positions(src, from, func(index uint64, r name.Record, _ uint32) bool {
				if more = len(records) == passChunk; more {
					return false
				}
				records, from = append(records, r), index+1
				return true
			})
		})
		if err == nil {
			err = l.do(ctx, false, func(t *tx) error {
				f := l.Feeds()[number]
				for _, r := range records {
					_, b, err := heldAt(src.number, r.Bytes(), t.lookupParts)
					if errors.Is(err, ErrNotFound) {
						continue
					}
					if err == nil {
						err = t.passInto(f, r, b)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	return err
}

// StopPassing takes back what was passed on under an agreement, since it may not go any
// more, and passes on nothing from then on. A feed that never passed anything on is ready
// then, with nothing in it. What a crash interrupts is done when it is called again.
func (l *Ledger) StopPassing(ctx context.Context, f *Feed) error {
	err := l.do(ctx, true, func(t *tx) error {
		if now := l.Feeds()[f.number]; now.passing == nil && now.Ready {
			return nil
		}
		return t.changeFeed(f.number, func(g *Feed) { g.passing, g.Ready = nil, true })
	})
	if err == nil {
		err = l.takeBackAll(ctx, f, WithdrawnNoPassing)
	}
	if err != nil {
		return fmt.Errorf("stop passing on under %s: %w", f.Agreement, err)
	}
	return nil
}

// takeBackAll withdraws every record of a feed of what we hold.
func (l *Ledger) takeBackAll(ctx context.Context, f *Feed, reason string) error {
	all, err := l.feedPositions(f)
	for chunk := range slices.Chunk(slices.DeleteFunc(all, func(p feedPosition) bool { return p.kind != itemPut }), passChunk) {
		if err == nil {
			err = l.do(ctx, false, func(t *tx) error {
				for _, p := range chunk {
					if err := t.takeBackPassed(f, name.RecordFrom(p.record), event.KindWithdrawal, reason); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	return err
}

// originOf calls fn with the feeds that pass on what comes from a source.
func (l *Ledger) originOf(s *Source, fn func(*Feed) error) error {
	if s.Agreement == "" {
		return nil
	}
	for _, f := range l.Feeds() {
		if f.onward() && f.doc.Origin == s.Agreement && !f.closed {
			if err := fn(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// passOn enters a holding, as it is stored, into the feeds that pass it on; and takes it back
// from those that do not any more.
func (t *tx) passOn(s *Source, r name.Record, stored []byte) error {
	return t.l.originOf(s, func(f *Feed) error { return t.passInto(f, r, stored) })
}

func (t *tx) passInto(f *Feed, r name.Record, stored []byte) error {
	if f.closed || f.passing == nil {
		return nil
	}
	h, err := decodeHolding(stored)
	if err == nil {
		err = h.see()
	}
	if err != nil {
		return nil // it is damaged here, and named where it is read
	}
	m, err := t.standsIn(f, r)
	if err != nil {
		return err
	}
	if why := t.l.mayPass(f, h); why != "" {
		return t.takeBackPassed(f, r, event.KindWithdrawal, WithdrawnNoMatch)
	}
	d := feedDelta{records: 1}
	if m != nil {
		if m.kind == itemPut {
			if p, err := t.passedAt(m.index); err == nil && p.Hash == h.Token.Entry() {
				return nil // it goes already
			}
			d.records = 0
		}
		t.remove(feedItemKey(f.number, m.index))
	}
	e := t.event(event.KindPassedOn, event.PassedOn{
		Agreement: f.Agreement, Version: uint64(f.Version), Chain: f.passing.Chain, Origin: f.doc.Origin, Entry: h.Index,
		Record: r, RecordVersion: h.Version, Hash: h.Token.Entry(), Before: h.before(),
	}.Body())
	id := r.Bytes()
	t.set(feedItemKey(f.number, e.index), encodeItem(itemPut, id))
	t.set(memberKey(f.number, id), membership{itemPut, e.index}.encode())
	d.end = e.index + 1
	t.feed(f.number, d)
	return nil
}

// before returns the events by which the record came here; none where its own council sent it.
func (h *Holding) before() (out []string) {
	if len(h.Passed) == 0 {
		return nil
	}
	if _, ev, err := record.ParseEvent(h.Passed); err == nil {
		if p, err := event.ParsePassedOn(ev.Body); err == nil {
			out = p.Before
		}
	}
	return append(out, string(h.Passed))
}

// PassedUnder returns the agreements by which a record that was passed on came, the first
// that of its own council; nil for any other.
func (h *Holding) PassedUnder() (out []name.Agreement) {
	if len(h.Passed) == 0 {
		return nil
	}
	for _, jws := range h.before() {
		_, ev, err := record.ParseEvent([]byte(jws))
		if err != nil {
			break
		}
		p, err := event.ParsePassedOn(ev.Body)
		if err != nil {
			break
		}
		if out == nil {
			out = append(out, p.Origin)
		}
		out = append(out, p.Agreement)
	}
	return out
}

// mayPass says in words why a holding does not go on under a feed; "" when it does.
func (l *Ledger) mayPass(f *Feed, h *Holding) string {
	std, err := l.Standard(h.View.Standard)
	if err != nil {
		return "its standard is not adopted here"
	}
	p := f.passage(std)
	switch {
	case !h.PassesAlone():
		return "it has no signature of its own council"
	case p == nil || !p.Match(h.View.Body):
		return "the agreement does not pick it"
	}
	return ""
}

// PassesAlone reports whether a holding has a signature of its own council by itself, as what
// is passed on must have.
func (h *Holding) PassesAlone() bool { return h.Token.Signed() && h.Token.Page() == nil }

// HeldBodies hands what we hold under an agreement of others to f, as [Ledger.Bodies] does
// with records of our own: for each its index in the log of its sender, and of what it says
// that which was sent. It leaves out, and counts, those that have no signature of their own
// council by itself and so are not passed on. It returns an error wrapping ErrUnread while
// what is held is hidden.
func (l *Ledger) HeldBodies(ctx context.Context, under name.Agreement, f func(index uint64, body []byte, lim strictjson.Limits) error) (unsigned int, err error) {
	src, err := l.Source(under.Council(), under)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	err = l.View(func(v *View) (failed error) {
		if err := v.hides(src); err != nil {
			return fmt.Errorf("held under %s: %w", under, err)
		}
		err := v.HiddenToo(src, 0, func(h *Holding, err error) bool {
			if failed = ctx.Err(); failed != nil {
				return false
			}
			switch {
			case err != nil && errors.Is(err, ErrStorage):
				failed = err
				return false
			case err == nil && !h.PassesAlone():
				unsigned++
			case err == nil:
				err = f(h.Index, strictjson.Canonical(h.View.Body), bodyLimits)
			}
			if err != nil {
				l.o.Log.Error("record left out of a count", "error", err.Error())
			}
			return true
		})
		return errors.Join(failed, err)
	})
	return unsigned, err
}

// passedAt reads the event of ours by which a record goes on.
func (t *tx) passedAt(index uint64) (event.PassedOn, error) {
	ev, err := t.ownEvent(index)
	if err != nil {
		return event.PassedOn{}, err
	}
	return event.ParsePassedOn(ev.Body)
}

// ownEvent reads an event of our log, which this transaction may have written.
func (t *tx) ownEvent(index uint64) (*record.Event, error) {
	raw, err := t.l.entry(t.b, index)
	if err != nil || len(raw) == 0 || raw[0] != kindEvent {
		return nil, errors.Join(err, ErrNotFound)
	}
	_, ev, err := record.ParseEvent(raw[1:])
	return ev, err
}

func (t *tx) standsIn(f *Feed, r name.Record) (*membership, error) {
	b, err := t.lookup(memberKey(f.number, r.Bytes()))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := decodeMembership(b)
	return &m, err
}

// goesBack takes a record back that is about to be deleted here from those it was passed on
// to. w is what its council said, nil where it has said nothing.
func (t *tx) goesBack(s *Source, r name.Record, w *Withdrawal) error {
	return t.l.originOf(s, func(f *Feed) error {
		switch {
		case w == nil:
			return t.takeBackPassed(f, r, event.KindWithdrawal, WithdrawnAtTerm)
		case len(w.Order) > 0:
			return t.takeBackPassed(f, r, event.KindErasureOrder, WithdrawnAtOrigin)
		}
		return t.takeBackPassed(f, r, event.KindWithdrawal, WithdrawnAtOrigin)
	})
}

// takeBackPassed withdraws a record from a feed that passes it on, if it stands there. An order
// to erase it takes the place of a withdrawal, too: who was given it has to erase it from its
// backups as well.
func (t *tx) takeBackPassed(f *Feed, r name.Record, kind, reason string) error {
	m, err := t.standsIn(f, r)
	if err != nil || m == nil || m.kind != itemPut && kind != event.KindErasureOrder {
		return err
	}
	was, d := m.index, feedDelta{records: -1}
	if m.kind != itemPut {
		ev, err := t.ownEvent(m.index)
		if err != nil || ev.Kind == event.KindErasureOrder {
			return err
		}
		w, err := event.ParseTakenBack(ev.Kind, ev.Body)
		if err != nil {
			return err
		}
		was, d.records = w.Entry, 0
	}
	id := r.Bytes()
	t.remove(feedItemKey(f.number, m.index))
	e := t.event(kind, withdrawalBody(f, r, reason, was))
	t.set(feedItemKey(f.number, e.index), encodeItem(itemWithdraw, id))
	t.set(memberKey(f.number, id), membership{itemWithdraw, e.index}.encode())
	d.end = e.index + 1
	t.feed(f.number, d)
	return nil
}

// errNotPassed: a record stands in a feed that does not pass it on any more, and its
// withdrawal is on its way.
var errNotPassed = errors.New("does not go on")

// passedItem returns an item of a feed that passes on, from the event of ours and the holding
// as it is stored.
func (l *Ledger) passedItem(f *Feed, it PageItem, stored []byte) (PageItem, error) {
	_, ev, err := record.ParseEvent(it.Token)
	if err != nil {
		return PageItem{}, err
	}
	p, err := event.ParsePassedOn(ev.Body)
	if err != nil {
		return PageItem{}, err
	}
	h, err := decodeHolding(stored)
	if err == nil {
		err = h.see()
	}
	switch {
	case err != nil:
		return PageItem{}, err
	case h.Token.Entry() != p.Hash || h.View.Record != p.Record:
		return PageItem{}, fmt.Errorf("%w: another version is held than goes on", ErrDamaged)
	}
	// Asked of the decision again, as for records of our own.
	if why := l.mayPass(f, h); why != "" {
		return PageItem{}, fmt.Errorf("%w: %s", errNotPassed, why)
	}
	std, err := l.Standard(h.View.Standard)
	if err != nil {
		return PageItem{}, err
	}
	if it.Passed, err = h.Token.Narrow(f.passage(std).Keep); err != nil {
		return PageItem{}, err
	}
	it.Whole, it.Standard, it.by = h.View.Body, std, f.passing.Sum
	return it, nil
}

// A holding that was passed on is stored with the event of who passed it on before its
// token: a byte that no token begins with, the event's length as a uvarint, the event.
const passedForm = 0xff

// appendPassed appends what stands before the token of such a holding.
func appendPassed(b, jws []byte) []byte {
	return append(binary.AppendUvarint(append(b, passedForm), uint64(len(jws))), jws...)
}

// cutPassed takes what appendPassed wrote off a stored token.
func cutPassed(b []byte) (jws, token []byte, ok bool) {
	if len(b) == 0 || b[0] != passedForm {
		return nil, b, true
	}
	n, w := binary.Uvarint(b[1:])
	if w <= 0 || n > uint64(len(b)-1-w) {
		return nil, nil, false
	}
	b = b[1+w:]
	return bytes.Clone(b[:n]), b[n:], true
}

// heldToPass returns the holding of a record that a feed passes on, as it is stored.
func (v *View) heldToPass(f *Feed, r name.Record) ([]byte, error) {
	src, err := v.l.Source(f.doc.Origin.Council(), f.doc.Origin)
	if err != nil {
		return nil, err
	}
	if err := v.hides(src); err != nil {
		return nil, err
	}
	return holdingOf(v.txn, src, r.Bytes())
}

func (it *PageItem) passedLen() int {
	if it.Passed == nil {
		return 0
	}
	return len(it.Passed.Bytes())
}

// PassedOn reports whether what is held from a source was passed on by who sent it.
func (v *View) PassedOn(s *Source) (passed bool) {
	err := v.HiddenToo(s, 0, func(h *Holding, err error) bool {
		passed = err == nil && len(h.Passed) > 0
		return err != nil
	})
	return err == nil && passed
}
