// Package book keeps the agreements: what our own ledger and those of the others say
// about them, folded into one state, and what follows from it. It answers what the
// exchange and the questions ask.
//
// Nothing is stored here. The book is read from the events in the ledger when the
// node opens, and grows by those that are logged or arrive.
package book

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// Footprints is what a Book asks about the footprints that agreements name.
type Footprints interface {
	// Is reports whether a party of an agreement is a footprint.
	Is(c name.Council) bool
	// Has reports whether this node has a replica of a footprint, open or not.
	Has(c name.Council) bool
	// Members returns the councils that keep a footprint, as far as is known here.
	Members(c name.Council) []name.Council
	// Fellows returns the members of every footprint that this node is open for.
	Fellows() []name.Council
}

// Options say what a Book works with. All but Role are needed.
type Options struct {
	Self       name.Council
	Ledger     *ledger.Ledger
	Footprints Footprints
	Log        *slog.Logger
	Now        func() time.Time
	// Role returns the role that a council has in the directory; "" for one that is no member.
	// Without it no agreement of ours passes on to a role.
	Role func(name.Council) string
	// Ended returns what the directory says of the end of a council; nil where nothing is to
	// follow from that.
	Ended func(name.Council) Ended
	// Follows reports whether a text is the name or the code of a council that has ended by a
	// day, and another the same of one that took over from it; nil where nobody's is.
	Follows func(old, successor string, by time.Time) bool
	// Changed is called when something was said, with no lock held.
	Changed func()
}

// A Book keeps the agreements. It may be used concurrently.
type Book struct {
	o    Options
	wake chan struct{} // buffered: something was said

	partners atomic.Pointer[map[name.Council]bool] // to whom we are bound

	mu       sync.Mutex    // guards what follows
	news     chan struct{} // closed and replaced when something was said
	state    *agreement.State
	heard    int                        // events taken in
	proofs   map[agreement.Ref]provedAt // see signed
	votes    votes
	voted    map[name.Council]int      // votes kept of each
	looked   int                       // votes looked at, which a test counts
	lastSaid map[voteKey]*record.Event // what a footprint we are no member of said last of suspending
	known    map[string]bool           // what footprints are remembered to have said: name and entry
	succeeds map[succeededKey]event.Succeeded
	early    map[earlyKey]early // receipts for all that came before we knew that the text is over
}

// earlyKey is a text, and a receiver that says it deleted all it held under it.
type earlyKey struct {
	digest agreement.Digest
	from   name.Council
}

// early is such a receipt, and how far the receiver was when it came.
type early struct {
	jws []byte
	p   ledger.Partner
}

// Open reads what was said so far, in the order of each ledger.
func Open(o Options) (*Book, error) {
	if o.Role == nil {
		o.Role = func(name.Council) string { return "" }
	}
	b := &Book{
		o: o, wake: make(chan struct{}, 1), news: make(chan struct{}), state: agreement.NewState(), proofs: map[agreement.Ref]provedAt{}, votes: votes{}, voted: map[name.Council]int{},
		lastSaid: map[voteKey]*record.Event{}, known: map[string]bool{}, early: map[earlyKey]early{},
		succeeds: map[succeededKey]event.Succeeded{},
	}
	b.partners.Store(&map[name.Council]bool{})
	err := o.Ledger.View(func(v *ledger.View) error {
		var own []uint64
		for _, k := range append(agreement.Kinds(), event.KindFootprintDecided) {
			v.Events(k, 0, func(i uint64) bool { own = append(own, i); return true })
		}
		slices.Sort(own)
		for _, i := range own {
			ev, _, err := v.Event(i)
			if err != nil {
				return err
			}
			if ev.Kind == event.KindFootprintDecided {
				b.decided(ev)
				continue
			}
			b.apply(ev)
		}
		for _, src := range o.Ledger.Sources() {
			if src.Agreement != "" {
				continue
			}
			err := v.ReceivedEvents(src, func(_ uint64, jws []byte) error {
				_, ev, err := record.ParseEvent(jws)
				if err != nil {
					return fmt.Errorf("notice of %s: %w: %w", src.From, ledger.ErrDamaged, err)
				}
				b.apply(ev)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read agreements: %w", err)
	}
	b.mu.Lock()
	b.bind(o.Now())
	b.mu.Unlock()
	return b, nil
}

// Concerns reports whether an event that another council addressed to us is about
// something of ours. Of what is said of agreements that is a document of which we, or a
// footprint that we keep, are a party, or what may become one: a word about a document
// that is not known yet. Of what begins a case in which people let out records it is what is said
// by a council with which we have signed that records go so, in that direction. Everything else of
// other kinds concerns us.
func (b *Book) Concerns(ev *record.Event) bool {
	if event.BeginsCase(ev.Kind) {
		return b.byHand(ev)
	}
	if !slices.Contains(agreement.Kinds(), ev.Kind) {
		return true
	}
	if ev.Kind == event.KindAgreementProposal {
		p, err := agreement.ParseProposal(ev.Body)
		return err == nil && b.ours(p.Agreement)
	}
	ref, ok := agreement.RefOf(ev.Kind, ev.Body)
	if !ok {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	doc, known := b.state.Find(ref.Agreement, ref.Version)
	return !known || b.ours(doc)
}

// byHand reports whether we have signed an agreement, which may be over, by which who says an
// event that begins a case may say it to us.
func (b *Book) byHand(ev *record.Event) bool {
	from, to := ev.Council, b.o.Self
	if ev.Kind == event.KindUrgentAsked {
		from, to = to, from
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.state.Names() {
		if a.Council() != from {
			continue
		}
		for _, st := range b.state.Versions(a, b.o.Now()) {
			way := st.Agreement.Way()
			_, signed := st.Signed[b.o.Self]
			if signed && way.ByHand && way.Moves == (ev.Kind == event.KindHandoverOffer) && slices.Contains(st.Agreement.To, to) {
				return true
			}
		}
	}
	return false
}

// ours reports whether we, or a footprint that we keep, are a party of a document.
func (b *Book) ours(doc *agreement.Agreement) bool {
	return slices.ContainsFunc(doc.Parties(), func(c name.Council) bool {
		return c == b.o.Self || b.o.Footprints.Is(c) && b.o.Footprints.Has(c)
	})
}

// Waiting returns how many documents that a council proposed wait for our signature, or
// for that of a footprint which we keep.
func (b *Book) Waiting(from name.Council, now time.Time) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for a := range b.state.Proposed(from) {
		for _, st := range b.state.Versions(a, now) {
			if _, signed := st.Signed[b.o.Self]; st.Phase == agreement.Proposed && !signed {
				n++
			}
		}
	}
	return n
}

// Signed reports whether an agreement binds us to a council: one that we, or a footprint
// that we keep, have signed, and of which that council or a footprint of its is a party.
// It may be over: what was shared has to be taken back then.
func (b *Book) Signed(c name.Council) bool { return (*b.partners.Load())[c] }

// bind finds out anew to whom we are bound. b.mu is held.
func (b *Book) bind(now time.Time) {
	out := map[name.Council]bool{}
	for _, a := range b.state.Names() {
		for _, st := range b.state.Versions(a, now) {
			if !b.ours(st.Agreement) {
				continue
			}
			bound := slices.ContainsFunc(st.Agreement.Parties(), func(p name.Council) bool {
				_, signed := st.Signed[p]
				return signed && (p == b.o.Self || b.o.Footprints.Has(p))
			})
			if !bound {
				continue
			}
			for _, p := range st.Agreement.Parties() {
				out[p] = true
				if b.o.Footprints.Is(p) {
					for _, m := range b.o.Footprints.Members(p) {
						out[m] = true
					}
				}
			}
		}
	}
	for _, c := range b.o.Footprints.Fellows() {
		out[c] = true
	}
	b.partners.Store(&out)
}

// apply takes in one event. One that contradicts what is known is passed over,
// as it is by every node that sees it.
func (b *Book) apply(ev *record.Event) {
	if ev.Kind == event.KindAgreementSucceeded {
		b.mu.Lock()
		b.succeeded(ev)
		b.mu.Unlock()
		return
	}
	if !slices.Contains(agreement.Kinds(), ev.Kind) || ev.Council != b.o.Self && !b.Concerns(ev) {
		return // a folder of before may hold what is not ours
	}
	b.mu.Lock()
	b.heard++
	err := b.state.Apply(ev.Council, ev.Kind, ev.Body, time.Unix(ev.IssuedAt, 0))
	if errors.Is(err, agreement.ErrNotParty) && b.proposed(ev) {
		err = nil
	}
	if ref, ok := b.vote(ev); ok {
		b.halted(ref)
		b.count(ref)
	}
	b.mu.Unlock()
	if errors.Is(err, agreement.ErrNotParty) && ev.Kind != event.KindAgreementProposal {
		// A member of a footprint that is a party says so for the footprint.
		return
	}
	if err != nil {
		b.o.Log.Warn("an event about an agreement is passed over", "council", ev.Council, "kind", ev.Kind, "because", err.Error())
	}
}

// Status implements question.Agreements.
func (b *Book) Status(a name.Agreement, now time.Time) (agreement.Status, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.Status(a, now)
}

// Texts implements peersync.Book.
func (b *Book) Texts(a name.Agreement, now time.Time) []agreement.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.Versions(a, now)
}

// Standing implements peersync.Book.
func (b *Book) Standing(now time.Time) (out []agreement.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.state.Names() {
		if st, ok := b.state.Status(a, now); ok {
			out = append(out, st)
		}
	}
	return out
}

// Current returns what there is to know of every agreement: see
// [agreement.State.Current].
func (b *Book) Current(now time.Time) (out []agreement.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.state.Names() {
		out = append(out, b.state.Current(a, now)...)
	}
	return out
}

// InForce implements peersync.Agreements.
func (b *Book) InForce(a name.Agreement, now time.Time) (*agreement.Agreement, string) {
	st, ok := b.Status(a, now)
	if !ok {
		return nil, "no such agreement was proposed"
	}
	if !st.InForce() {
		return nil, st.Why
	}
	return st.Agreement, ""
}

// Find returns the document that was proposed under a version of an agreement.
func (b *Book) Find(a name.Agreement, version int) (*agreement.Agreement, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.Find(a, version)
}

// Counters returns the counter-proposals about an agreement that stand: see
// [agreement.State.Counters].
func (b *Book) Counters(a name.Agreement) []agreement.Countered {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.Counters(a)
}

// AllCounters returns those about every agreement.
func (b *Book) AllCounters() (out []agreement.Countered) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.state.Names() {
		out = append(out, b.state.Counters(a)...)
	}
	return out
}

// Say takes in what a party says of an agreement, as strictjson decodes it, before
// that is logged. The error is that of [agreement.State.Apply], and what it refuses
// is not to be logged.
func (b *Book) Say(c name.Council, kind string, body any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.Apply(c, kind, body, b.o.Now())
}

// Inbound implements peersync.Agreements.
func (b *Book) Inbound(now time.Time) (out []*agreement.Agreement) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.state.InForce(now)
	for _, a := range b.state.Names() {
		if doc := b.state.Suspended(a, now); doc != nil {
			all = append(all, doc)
		}
	}
	for _, a := range all {
		if slices.Contains(a.To, b.o.Self) {
			out = append(out, a)
		}
	}
	return out
}

// Suspended implements peersync.Agreements.
func (b *Book) Suspended(a name.Agreement, now time.Time) *agreement.Agreement {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.Suspended(a, now)
}

// Related implements peersync.Agreements.
func (b *Book) Related() (out []name.Council) {
	for _, st := range b.Standing(b.o.Now()) {
		if st.Phase != agreement.Ended && st.Agreement.Party(b.o.Self) {
			out = append(out, st.Agreement.Parties()...)
		}
	}
	// A footprint is talked to by talking to its members.
	for _, c := range out {
		if b.o.Footprints.Is(c) && !b.o.Footprints.Has(c) {
			out = append(out, b.o.Footprints.Members(c)...)
		}
	}
	out = slices.DeleteFunc(append(out, b.o.Footprints.Fellows()...), b.o.Footprints.Is)
	slices.Sort(out)
	return slices.Compact(out)
}

// Notice implements peersync.Agreements.
func (b *Book) Notice(from name.Council, index uint64, jws []byte) {
	_, ev, err := record.ParseEvent(jws)
	if err != nil || ev.Council != from {
		return // it was checked before it was kept
	}
	b.apply(ev)
	if err := b.answered(from, ev, jws); err != nil {
		b.o.Log.Error("keep receipt", "from", from, "error", err.Error())
	}
	b.Stir()
}

// answered takes in what a receiver of ours says that it did when an agreement was over.
func (b *Book) answered(from name.Council, ev *record.Event, jws []byte) error {
	switch ev.Kind {
	case event.KindReceipt:
		return b.receipt(from, ev, jws)
	case event.KindHoldingsKept:
		return b.kept(from, ev)
	}
	return nil
}

// receipt takes in a receipt for everything held under an agreement that is
// over, or for orders to erase that came after its end. One that comes before we know that it
// is over, since its receiver heard of that before us, is kept until we do.
func (b *Book) receipt(from name.Council, ev *record.Event, jws []byte) error {
	r, err := event.ParseReceipt(ev.Body)
	if err != nil || r.From != b.o.Self {
		return err
	}
	now := b.o.Now()
	for _, f := range b.o.Ledger.Feeds() {
		if f.Agreement != r.Agreement || !slices.Contains(f.To, from) {
			continue
		}
		if !r.All {
			if err := b.o.Ledger.OrdersReceipted(context.Background(), f, from, r, jws); err != nil {
				return err
			}
			continue
		}
		// A later text may be in force by now, or wait to be: it is not about
		// that one.
		over := slices.ContainsFunc(b.Texts(f.Agreement, now), func(st agreement.Status) bool {
			return st.Digest == f.Digest && (st.Phase == agreement.Ended || st.Phase == agreement.Superseded)
		})
		p, err := b.partner(f, from)
		switch {
		case err != nil:
		case !over && !f.Closed():
			b.mu.Lock()
			b.early[earlyKey{f.Digest, from}] = early{jws, p}
			b.mu.Unlock()
		case over && (p.Held > 0 || p.Cursor < f.End):
			err = b.o.Ledger.Acknowledge(context.Background(), f, from, ledger.Ack{Cursor: f.End, Receipt: jws, Done: true})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *Book) partner(f *ledger.Feed, c name.Council) (p ledger.Partner, err error) {
	err = b.o.Ledger.View(func(v *ledger.View) (err error) {
		p, err = v.Partner(f, c)
		return err
	})
	return p, err
}

// takeEarly takes in the receipts that came before a text of ours was over, now that it is.
// One since which anything went to its receiver, or came from it, says nothing any more.
func (b *Book) takeEarly(f *ledger.Feed) error {
	for _, c := range f.To {
		k := earlyKey{f.Digest, c}
		b.mu.Lock()
		e, ok := b.early[k]
		delete(b.early, k)
		b.mu.Unlock()
		if !ok {
			continue
		}
		p, err := b.partner(f, c)
		if err == nil && !p.Done && p.Disclosed == e.p.Disclosed && p.Cursor == e.p.Cursor && p.LastAck.Equal(e.p.LastAck) && (p.Held > 0 || p.Cursor < f.End) {
			err = b.o.Ledger.Acknowledge(context.Background(), f, c, ledger.Ack{Cursor: f.End, Receipt: e.jws, Done: true})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// receipts takes in again the receipts that were on disk when the node stopped:
// it may have stopped before it took them in.
func (b *Book) receipts() error {
	type given struct {
		from name.Council
		ev   *record.Event
		jws  []byte
	}
	var list []given
	err := b.o.Ledger.View(func(v *ledger.View) error {
		for _, src := range b.o.Ledger.Sources() {
			if src.Agreement != "" {
				continue
			}
			err := v.ReceivedEvents(src, func(_ uint64, jws []byte) error {
				_, ev, err := record.ParseEvent(jws)
				if err == nil && (ev.Kind == event.KindReceipt || ev.Kind == event.KindHoldingsKept) && ev.Council == src.From {
					list = append(list, given{src.From, ev, slices.Clone(jws)})
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, g := range list {
		err = errors.Join(err, b.answered(g.from, g.ev, g.jws))
	}
	return err
}

// Stir makes those who wait look again: something was said, or the members of a
// footprint are others than before.
func (b *Book) Stir() {
	b.mu.Lock()
	close(b.news)
	b.news = make(chan struct{})
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	b.o.Changed()
}

// Changed implements question.Agreements.
func (b *Book) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.news
}

// noticeWithin is how long is waited for a notice that is on its way.
const noticeWithin = 5 * time.Second

// AwaitProposer waits, for a moment, until the signature of who proposed a text is
// here: it follows the proposal directly, and nothing else is missing. Without it
// we would say of a text that all have signed that it is not in force.
func (b *Book) AwaitProposer(ctx context.Context, a *agreement.Agreement) {
	ctx, cancel := context.WithTimeout(ctx, noticeWithin)
	defer cancel()
	for {
		news := b.Changed()
		i := slices.IndexFunc(b.Texts(a.Name, b.o.Now()), func(st agreement.Status) bool {
			return st.Digest == a.Digest() && slices.Equal(st.Awaiting, []name.Council{a.From})
		})
		if i < 0 || a.From == b.o.Self || b.o.Footprints.Is(a.From) {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			return
		}
	}
}
