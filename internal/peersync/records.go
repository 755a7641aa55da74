package peersync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// A footprint sends under an agreement as a council does, except that any of its
// members may answer, and that nobody signs for the whole: each record is signed
// by its contributor, and stands in a log whose checkpoint a majority of the
// members cosigned. A member's records leave only when that member itself has
// signed the agreement; a majority binds the footprint and gives away nothing of
// those who did not sign.

// Bounds of a page of a footprint.
const (
	recordsItems = 400
	recordsScan  = 2000        // entries looked at in one go
	recordsBeat  = time.Second // a checkpoint comes behind what it covers, and changes nothing else
)

// An asker is a partner outside under an agreement.
type asker struct {
	agreement name.Agreement
	partner   name.Council
}

// Asked is what a partner outside said when it last had a footprint's records from
// this member. It may ask the others.
type Asked struct {
	At     time.Time // zero when it has not asked since the node started
	Cursor uint64    // index of the footprint's log that it has come to
	Held   int       // records that it says it holds
}

// Asked returns when a partner last had what our footprint sends under an agreement
// from us.
func (s *Syncer) Asked(f *footprint.Footprint, a name.Agreement, partner name.Council) Asked {
	r := s.replica(f)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[asker{a, partner}]
}

// footprintFeed finds what a footprint sends under an agreement that is in force or
// suspended, or says why a partner may not have it from us.
func (s *Syncer) footprintFeed(to name.Council, doc *agreement.Agreement, h *wirepb.Hello, suspended bool) (feed, *wirepb.Refuse) {
	refuse := func(reason string) (feed, *wirepb.Refuse) {
		return nil, &wirepb.Refuse{Code: codeNotReady, Reason: reason}
	}
	r := s.open(doc.From)
	if r == nil || !r.member() {
		return refuse("no replica of that footprint is open here")
	}
	signers, err := r.f.Signers(doc.Ref())
	if err != nil {
		s.o.Log.Error("read who signed for a footprint", "footprint", r.name, "error", err.Error())
		return refuse("it cannot be read here now")
	}
	switch cp, signed := r.f.Checkpoint(); {
	case signed == nil:
		return refuse("no majority has cosigned a checkpoint yet")
	case cp.Size > r.f.Size() || max(h.GetTreeSize(), h.GetCursor(), h.GetWithdrawn()) > cp.Size || int(h.GetSigners()) > len(signers):
		return refuse("this member is behind what you have seen")
	}
	r.mu.Lock()
	k := asker{doc.Name, to}
	r.asked[k] = Asked{s.o.Now().UTC(), h.GetCursor(), r.asked[k].Held}
	r.mu.Unlock()
	f := s.newFootprintFeed(r, doc)
	f.suspended, f.known = suspended, int(h.GetSigners())
	return f, nil
}

func (s *Syncer) newFootprintFeed(r *replica, doc *agreement.Agreement) *footprintFeed {
	return &footprintFeed{s: s, r: r, doc: doc, terms: map[name.Standard]*agreement.Terms{}, schemas: map[name.Standard]*standard.Standard{}}
}

// A footprintFeed is what a footprint sends under an agreement, read at this member.
// It serves one stream.
type footprintFeed struct {
	s     *Syncer
	r     *replica
	doc   *agreement.Agreement
	terms map[name.Standard]*agreement.Terms // nil where the agreement lets nothing of a version out

	schemas map[name.Standard]*standard.Standard

	suspended bool
	known     int      // signers that the receiver knows of
	count     counting // of this stream
}

func (f *footprintFeed) of() feedOf {
	return feedOf{log: f.r.name, agreement: f.doc.Name, digest: f.doc.Digest(), suspended: f.suspended, beat: recordsBeat}
}

// sign does nothing: each was brought with its council's signature.
func (f *footprintFeed) withdrawals(uint64) (*page, error) {
	panic("internal error: what a footprint sends is not bounded")
}

// idle reports false: its log tells as much as a page does.
func (f *footprintFeed) idle(uint64) bool { return false }

// split reports false: its log is given in order.
func (f *footprintFeed) split(uint64) bool { return false }

func (f *footprintFeed) ahead(uint64) (*page, error) {
	panic("internal error: what a footprint sends goes in order")
}

func (f *footprintFeed) sign(context.Context, *page) error { return nil }

func (f *footprintFeed) changed() <-chan struct{} { return f.r.f.Changed() }

func (f *footprintFeed) size() uint64 {
	cp, _ := f.r.f.Checkpoint()
	return cp.Size
}

func (f *footprintFeed) consistency(from, to uint64) ([]tlog.Hash, error) {
	return f.r.f.Consistency(from, to)
}

func (f *footprintFeed) page(cursor uint64) (*page, error) {
	cp, signed := f.r.f.Checkpoint()
	p := &page{Page: ledger.Page{Since: cursor, Cursor: cursor, Checkpoint: cp, Note: signed, Live: true, Suspended: f.suspended}}
	signers, err := f.r.f.Signers(f.doc.Ref())
	if err != nil {
		return nil, err
	}
	p.signers = len(signers)
	for p.Cursor < cp.Size && p.empty() {
		if err := f.fill(p, signers); err != nil {
			return nil, err
		}
	}
	if len(p.Items) == 0 {
		return p, nil
	}
	indexes := make([]uint64, len(p.Items))
	for i, it := range p.Items {
		indexes[i] = it.Index
	}
	p.Inclusion, err = f.r.f.ProveEntries(indexes, cp.Size)
	return p, err
}

// fill adds to a page what of the next entries the agreement lets through.
func (f *footprintFeed) fill(p *page, signers []name.Council) error {
	all, next, err := f.entries(p.Cursor, p.Checkpoint.Size)
	if err != nil {
		return err
	}
	p.Cursor, p.Live = next, next == p.Checkpoint.Size
	bytes := 0
	for _, h := range all {
		it, gone, err := f.item(h, signers)
		if err != nil {
			return err
		}
		if bytes += len(it.Token); len(p.Items)+len(p.gone) == recordsItems || len(p.Items) > 0 && bytes > ledger.MaxPageBytes {
			p.Cursor, p.Live = h.Index, false
			return nil
		}
		switch {
		case gone:
			p.gone = append(p.gone, &wirepb.Gone{Index: h.Index, Council: string(h.View.Council), Record: string(h.View.Record)})
		case it.Token != nil:
			it.Index = h.Index
			p.Items = append(p.Items, it)
		}
	}
	return nil
}

// entries returns entries from an index on and below a size, at most recordsScan, and the
// index of the one that follows.
func (f *footprintFeed) entries(from, size uint64) (all []*footprint.Held, next uint64, err error) {
	next = size
	err = f.r.f.Entries(from, func(h *footprint.Held) bool {
		if h.Index >= size {
			return false
		}
		if len(all) == recordsScan {
			next = h.Index
			return false
		}
		all = append(all, h)
		return true
	})
	return all, next, err
}

// item returns what is sent of an entry, if it is the newest state of its record:
// it, without its index, or that the record is gone, or nothing.
func (f *footprintFeed) item(h *footprint.Held, signers []name.Council) (it ledger.PageItem, gone bool, err error) {
	sent, t, err := f.lets(h, signers)
	switch {
	case err != nil || sent == sentNothing:
		return it, false, err
	case sent == sentGone:
		return it, true, nil
	case sent == sentWithdrawal:
		it.Token = h.Token.Bytes()
		return it, false, nil
	case f.suspended:
		return it, false, nil // it travels once the agreement is resumed
	}
	token, err := h.Token.Narrow(t.Keep)
	if err == nil {
		token, err = f.r.f.Sealed(h, token)
	}
	if err != nil {
		return it, false, err
	}
	return ledger.PageItem{Token: token.Bytes(), Whole: h.View.Body, Standard: f.schemas[h.View.Standard]}, false, nil
}

// What is sent of an entry.
const (
	sentNothing = iota
	sentRecord
	sentWithdrawal
	sentGone // that its record is not let through any more
)

// lets decides what is sent of an entry, if it is the newest state of its record, and for a
// record by which terms. Nothing but the log, the agreement's text and the signers decides
// it, so that all members come to the same.
func (f *footprintFeed) lets(h *footprint.Held, signers []name.Council) (sent int, t *agreement.Terms, err error) {
	if h.Erased {
		return sentNothing, nil, nil
	}
	if h.Event != nil {
		w, err := event.ParseWithdrawal(h.Event.Body)
		if h.Event.Kind != event.KindWithdrawal || err != nil || !slices.Contains(signers, h.Event.Council) {
			return sentNothing, nil, nil
		}
		_, err = f.r.f.Record(h.Event.Council, w.Record)
		if errors.Is(err, ledger.ErrNotFound) {
			return sentWithdrawal, nil, nil
		}
		return sentNothing, nil, err // it came back further on
	}
	if h.View.Standard.Line() != f.doc.Standard || !slices.Contains(signers, h.View.Council) {
		return sentNothing, nil, nil
	}
	newest, err := f.r.f.Record(h.View.Council, h.View.Record)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && newest.Index != h.Index {
		return sentNothing, nil, nil // what took its place, or its withdrawal, stands further on
	}
	if err != nil {
		return sentNothing, nil, err
	}
	std := h.View.Standard
	if _, ok := f.terms[std]; !ok {
		schema, err := f.r.f.Standard(std)
		if err != nil {
			return sentNothing, nil, err
		}
		f.schemas[std] = schema
		f.terms[std], _ = f.doc.Compile(schema) // nil lets nothing through
	}
	switch t := f.terms[std]; {
	case t != nil && h.View.Op == record.Put && t.Match(h.View.Body):
		return sentRecord, t, nil
	case h.View.Version > 1: // of version 1 nothing was ever let through
		return sentGone, nil, nil
	}
	return sentNothing, nil, nil
}

// follow does nothing: what a footprint lets out comes from its other members, too.
func (f *footprintFeed) follow(name.Council) {}

func (f *footprintFeed) stop() { f.count.stop() }

func (f *footprintFeed) disclose(ctx context.Context, to name.Council, p *page) error {
	list := make([]uint64, len(p.Items))
	for i, it := range p.Items {
		list[i] = it.Index
	}
	if len(list) > 0 {
		_, _, err := f.s.o.Ledger.AppendNotice(ctx, event.KindFootprintDisclosure, event.FootprintDisclosure{
			Footprint: f.r.name, Disclosure: event.Disclosure{Agreement: f.doc.Name, Version: uint64(f.doc.Version), To: to, Entries: list},
		}.Body())
		if err != nil {
			return err
		}
	}
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	k := asker{f.doc.Name, to}
	open := append(f.r.unanswered[k], p)
	f.r.unanswered[k] = open[max(0, len(open)-maxLate):]
	return nil
}

// answered takes a page from among those without an answer; nil when it is not there.
func (f *footprintFeed) answered(to name.Council, cursor uint64) *page {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	k := asker{f.doc.Name, to}
	open := f.r.unanswered[k]
	i := slices.IndexFunc(open, func(p *page) bool { return p.Cursor == cursor })
	if i < 0 {
		return nil
	}
	p := open[i]
	f.r.unanswered[k] = slices.Delete(slices.Clone(open), i, i+1)
	return p
}

func (f *footprintFeed) acknowledged(ctx context.Context, to name.Council, a ledger.Ack) error {
	f.answered(to, a.Cursor)
	if a.Receipt != nil {
		_, _, err := f.s.o.Ledger.AppendNotice(ctx, event.KindFootprintReceipt, event.FootprintReceipt{
			Footprint: f.r.name, Agreement: f.doc.Name, From: to, Receipt: a.Receipt,
		}.Body())
		if err != nil {
			return err
		}
	}
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	k := asker{f.doc.Name, to}
	if a.Suspended {
		a.Cursor = f.r.asked[k].Cursor // it goes on from there
	}
	f.r.asked[k] = Asked{f.s.o.Now().UTC(), a.Cursor, a.Held}
	return nil
}

// late keeps a receipt for a page that we sent; most are for pages of other members,
// who have them.
func (f *footprintFeed) late(ctx context.Context, to name.Council, r *event.Receipt, jws []byte) error {
	p := f.answered(to, r.Cursor)
	if p == nil {
		return nil
	}
	if err := answers(r, p, true); err != nil {
		return fmt.Errorf("of an earlier page: %w", err)
	}
	f.r.mu.Lock()
	held := f.r.asked[asker{f.doc.Name, to}].Held
	f.r.mu.Unlock()
	return f.acknowledged(ctx, to, ledger.Ack{Since: r.Since, Cursor: r.Cursor, Receipt: jws, Held: held, Suspended: r.Suspended})
}
