package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// book keeps the agreements: what our own ledger and those of the others say
// about them, folded into one state. It answers peersync's questions.
type book struct {
	n    *Node
	wake chan struct{} // buffered: something was said

	mu    sync.Mutex    // guards what follows
	news  chan struct{} // closed and replaced when something was said
	state *agreement.State
	votes votes
	said  map[saidBy]*record.Event // what a footprint we are no member of said last of suspending
	known map[string]bool          // what footprints are remembered to have said: name and entry
}

// openBook reads what was said so far, in the order of each ledger.
func openBook(n *Node) (*book, error) {
	b := &book{n: n, wake: make(chan struct{}, 1), news: make(chan struct{}), state: agreement.NewState(), votes: votes{}, said: map[saidBy]*record.Event{}, known: map[string]bool{}}
	err := n.ledger.View(func(v *ledger.View) error {
		var own []uint64
		for _, k := range append(agreement.Kinds(), KindDecided) {
			v.Events(k, 0, func(i uint64) bool { own = append(own, i); return true })
		}
		slices.Sort(own)
		for _, i := range own {
			ev, _, err := v.Event(i)
			if err != nil {
				return err
			}
			if ev.Kind == KindDecided {
				b.decided(ev)
				continue
			}
			b.apply(ev)
		}
		for _, src := range n.ledger.Sources() {
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
	return b, nil
}

// apply takes in one event. One that contradicts what is known is passed over,
// as it is by every node that sees it.
func (b *book) apply(ev *record.Event) {
	if !slices.Contains(agreement.Kinds(), ev.Kind) {
		return
	}
	b.mu.Lock()
	err := b.state.Apply(ev.Council, ev.Kind, ev.Body, time.Unix(ev.IssuedAt, 0))
	if errors.Is(err, agreement.ErrNotParty) && b.proposed(ev) {
		err = nil
	}
	if ref, ok := b.vote(ev); ok {
		b.halted(ref)
	}
	b.count()
	b.mu.Unlock()
	if errors.Is(err, agreement.ErrNotParty) && ev.Kind != agreement.KindProposal {
		// A member of a footprint that is a party says so for the footprint.
		return
	}
	if err != nil {
		b.n.log.Warn("an event about an agreement is passed over", "council", ev.Council, "kind", ev.Kind, "because", err.Error())
	}
}

// Status implements question.Agreements.
func (b *book) Status(a name.Agreement, now time.Time) (agreement.Status, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.Status(a, now)
}

// Texts implements peersync.Book.
func (b *book) Texts(a name.Agreement, now time.Time) []agreement.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.Versions(a, now)
}

// Standing implements peersync.Book.
func (b *book) Standing(now time.Time) (out []agreement.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.state.Names() {
		if st, ok := b.state.Status(a, now); ok {
			out = append(out, st)
		}
	}
	return out
}

// InForce implements peersync.Agreements.
func (b *book) InForce(a name.Agreement, now time.Time) (*agreement.Agreement, string) {
	st, ok := b.Status(a, now)
	if !ok {
		return nil, "no such agreement was proposed"
	}
	if !st.InForce() {
		return nil, st.Why
	}
	return st.Agreement, ""
}

// Inbound implements peersync.Agreements.
func (b *book) Inbound(now time.Time) (out []*agreement.Agreement) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.state.InForce(now)
	for _, a := range b.state.Names() {
		if doc := b.state.Suspended(a, now); doc != nil {
			all = append(all, doc)
		}
	}
	for _, a := range all {
		if slices.Contains(a.To, b.n.cfg.Council) {
			out = append(out, a)
		}
	}
	return out
}

// Suspended implements peersync.Agreements.
func (b *book) Suspended(a name.Agreement, now time.Time) *agreement.Agreement {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.Suspended(a, now)
}

// Related implements peersync.Agreements.
func (b *book) Related() (out []name.Council) {
	for _, st := range b.Standing(b.n.now()) {
		if st.Phase != agreement.Ended && st.Agreement.Party(b.n.cfg.Council) {
			out = append(out, st.Agreement.Parties()...)
		}
	}
	// A footprint is talked to by talking to its members.
	for _, c := range out {
		if b.n.isFootprint(c) && !b.n.keepsFootprint(c) {
			out = append(out, b.n.keepers(c)...)
		}
	}
	out = slices.DeleteFunc(out, b.n.isFootprint)
	for _, r := range b.n.replicas.list() {
		out = append(out, r.f.Councils()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Notice implements peersync.Agreements.
func (b *book) Notice(from name.Council, index uint64, jws []byte) {
	_, ev, err := record.ParseEvent(jws)
	if err != nil || ev.Council != from {
		return // it was checked before it was kept
	}
	b.apply(ev)
	if ev.Kind == ledger.KindReceipt {
		if err := b.receipt(from, ev, jws); err != nil {
			b.n.log.Error("keep receipt", "from", from, "error", err.Error())
		}
	}
	b.stir()
}

// receipt takes in a receipt for everything held under an agreement that is
// over.
func (b *book) receipt(from name.Council, ev *record.Event, jws []byte) error {
	r, err := ledger.ReceiptOf(ev)
	if err != nil || r.From != b.n.cfg.Council {
		return err
	}
	now := b.n.now()
	for _, f := range b.n.ledger.Feeds() {
		if f.Agreement != r.Agreement || !slices.Contains(f.To, from) {
			continue
		}
		// A later text may be in force by now, or wait to be: it is not about
		// that one.
		over := slices.ContainsFunc(b.Texts(f.Agreement, now), func(st agreement.Status) bool {
			return st.Digest == f.Digest && (st.Phase == agreement.Ended || st.Phase == agreement.Superseded)
		})
		if !over {
			continue
		}
		var p ledger.Partner
		err := b.n.ledger.View(func(v *ledger.View) (err error) {
			p, err = v.Partner(f, from)
			return err
		})
		if err == nil && (p.Held > 0 || p.Cursor < f.End) {
			err = b.n.ledger.Acknowledge(context.Background(), f, from, ledger.Ack{Cursor: f.End, Receipt: jws, Done: true})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// receipts takes in again the receipts that were on disk when the node stopped:
// it may have stopped before it took them in.
func (b *book) receipts() error {
	type given struct {
		from name.Council
		ev   *record.Event
		jws  []byte
	}
	var list []given
	err := b.n.ledger.View(func(v *ledger.View) error {
		for _, src := range b.n.ledger.Sources() {
			if src.Agreement != "" {
				continue
			}
			err := v.ReceivedEvents(src, func(_ uint64, jws []byte) error {
				_, ev, err := record.ParseEvent(jws)
				if err == nil && ev.Kind == ledger.KindReceipt && ev.Council == src.From {
					list = append(list, given{src.From, ev, jws})
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
		err = errors.Join(err, b.receipt(g.from, g.ev, g.jws))
	}
	return err
}

func (b *book) stir() {
	b.mu.Lock()
	close(b.news)
	b.news = make(chan struct{})
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	b.n.changed()
}

// Changed implements question.Agreements.
func (b *book) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.news
}

// noticeWithin is how long is waited for a notice that is on its way.
const noticeWithin = 5 * time.Second

// awaitProposer waits, for a moment, until the signature of who proposed a text is
// here: it follows the proposal directly, and nothing else is missing. Without it
// we would say of a text that all have signed that it is not in force.
func (b *book) awaitProposer(ctx context.Context, a *agreement.Agreement) {
	ctx, cancel := context.WithTimeout(ctx, noticeWithin)
	defer cancel()
	for {
		news := b.Changed()
		i := slices.IndexFunc(b.Texts(a.Name, b.n.now()), func(st agreement.Status) bool {
			return st.Digest == a.Digest() && slices.Equal(st.Awaiting, []name.Council{a.From})
		})
		if i < 0 || a.From == b.n.cfg.Council || b.n.isFootprint(a.From) || b.n.network() == nil {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			return
		}
	}
}

// resume finishes what a crash may have left half done: an agreement that we
// signed and whose index is not ready.
func (b *book) resume(ctx context.Context) error {
	now := b.n.now()
	b.mu.Lock()
	names := b.state.Names()
	b.mu.Unlock()
	for _, a := range names {
		for _, st := range b.Texts(a, now) {
			if _, signed := st.Signed[b.n.cfg.Council]; !signed || st.Agreement.From != b.n.cfg.Council || st.Phase == agreement.Ended || st.Phase == agreement.Superseded {
				continue
			}
			if err := b.n.ledger.OpenFeed(ctx, st.Agreement); err != nil {
				return err
			}
		}
	}
	return errors.Join(b.n.ledger.DropIndexes(ctx), b.receipts(), b.settle(ctx))
}

// keep acts on what the clock and the partners change: agreements that come
// into force, are superseded or end.
func (b *book) keep(ctx context.Context) {
	for ctx.Err() == nil {
		if err := b.settle(ctx); err != nil && ctx.Err() == nil {
			b.n.log.Error("settle agreements", "error", err.Error())
		}
		now := b.n.now()
		b.mu.Lock()
		next, ok := b.state.NextChange(now)
		b.mu.Unlock()
		// A timer goes by time that passes, and an agreement by the clock on the
		// wall, which may be set: so no pause is longer than a minute.
		pause := time.Minute
		if ok {
			pause = min(pause, max(next.Sub(now), time.Millisecond))
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-b.wake:
		case <-t.C:
			if ok && !b.n.now().Before(next) {
				b.n.changed()
			}
		}
		t.Stop()
	}
}

// settle closes what is over: our own feeds, and what we hold of others.
func (b *book) settle(ctx context.Context) error {
	now := b.n.now()
	var errs []error
	for _, f := range b.n.ledger.Feeds() {
		if f.Agreement == "" || f.Closed() {
			continue
		}
		for _, st := range b.Texts(f.Agreement, now) {
			if st.Digest != f.Digest {
				continue
			}
			switch st.Phase {
			case agreement.Ended:
				errs = append(errs, b.n.ledger.CloseFeed(ctx, f.Agreement, f.Digest))
			case agreement.Superseded:
				cur, ok := b.Status(f.Agreement, now)
				if !ok || !cur.InForce() {
					continue
				}
				if g, err := b.n.ledger.Feed(f.Agreement, cur.Digest); err == nil && g.Ready {
					errs = append(errs, b.n.ledger.Supersede(ctx, f, g))
				}
			}
		}
	}
	for _, src := range b.n.ledger.Sources() {
		if src.Agreement == "" || src.Ended {
			continue
		}
		if why, over := b.over(src, now); over {
			b.n.log.Info("agreement is over; deleting what was held under it", "agreement", src.Agreement, "because", why)
			errs = append(errs, b.n.ledger.End(ctx, src, why))
			b.n.changed()
		}
	}
	return errors.Join(errs...)
}

// over reports whether what a source holds is held under nothing any more, and
// why in words: no text of the agreement is in force, and the one the copy is
// of has ended or given way to another. A later text that is only proposed
// keeps nothing.
func (b *book) over(src *ledger.Source, now time.Time) (why string, over bool) {
	for i, st := range b.Texts(src.Agreement, now) {
		if st.InForce() {
			if !st.Agreement.Way().Copied {
				return fmt.Sprintf("version %d lets nothing be copied", st.Agreement.Version), true
			}
			return "", false
		}
		if strings.HasPrefix(src.Digest, st.Digest.String()) || src.Digest == "" && i == 0 {
			why, over = st.Why, st.Phase == agreement.Ended || st.Phase == agreement.Superseded
		}
	}
	return why, over
}
