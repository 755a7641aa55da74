package peersync

import (
	"context"
	"errors"

	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// uploadWindow is how many parts of a feed are on their way into a footprint at one
// time: while one is being agreed to by the members, the next is being made, and
// what became of the one before is being logged.
const uploadWindow = 3

// An upload is one feed on its way into a footprint. Each part names the sequence
// number that the part before it moves to, so the footprint takes them in that order
// or not at all; what became of them is logged in the same order. When one fails,
// those after it are given up with it, and the next try begins where our log says
// that the last one ended.
type upload struct {
	c    *contributor
	f    *ledger.Feed
	anew bool // earlier texts of the agreement let something out

	adopted []name.Standard // by the footprint, when the oldest part in flight began
	flight  []*part         // oldest first
}

// A part is some items of a page on their way.
type part struct {
	page        ledger.Page
	offers      []offer
	since, next uint64 // what the agreement's sequence number moves from and to
	before      *part  // nil for the first

	answered chan struct{} // closed once the footprint has answered
	refusal  error         // set before
	done     chan struct{} // closed once what became of it is logged
	err      error         // set before
}

// all brings what there is from a cursor on.
func (u *upload) all(ctx context.Context, cursor uint64) error {
	for {
		page, err := u.c.s.o.Ledger.Page(u.f, cursor)
		if err != nil || len(page.Items) == 0 {
			return err
		}
		cursor = page.Cursor
		for len(page.Items) > 0 {
			p := *page
			size := 0
			for i, it := range page.Items {
				if size += len(it.Token); i == partItems || i > 0 && size > partBytes {
					p.Items, p.Cursor = page.Items[:i], it.Index
					break
				}
			}
			if err := u.send(ctx, p); err != nil {
				return err
			}
			page.Items, page.Since = page.Items[len(p.Items):], p.Cursor
		}
	}
}

// settle waits until at most so many parts are under way.
func (u *upload) settle(left int) error {
	for len(u.flight) > left {
		<-u.flight[0].done
		if err := u.flight[0].err; err != nil {
			return err
		}
		u.flight = u.flight[1:]
	}
	return nil
}

// finish waits for what is under way and returns the first error.
func (u *upload) finish() error {
	err := u.settle(0)
	for _, p := range u.flight {
		<-p.done
	}
	return err
}

// send sends a part on its way.
func (u *upload) send(ctx context.Context, page ledger.Page) error {
	left := uploadWindow - 1
	if u.anew {
		left = 0 // what is withdrawn first hangs on what the part before did
	}
	if err := u.settle(left); err != nil {
		return err
	}
	p := &part{page: page, answered: make(chan struct{}), done: make(chan struct{})}
	if k := len(u.flight); k > 0 {
		p.before = u.flight[k-1]
		p.since = p.before.next
	} else {
		// What the footprint holds of ours decides what is to be withdrawn
		// first, so that what is asked must know all that was ever brought. A
		// part under way changes nothing about that: it is of the same text.
		st, err := u.c.to.state(ctx, u.f)
		if err != nil {
			return err
		}
		p.since, u.adopted = st.sequence, st.standards
	}
	if err := u.c.mayBring(u.f); err != nil {
		return err
	}
	var err error
	if p.offers, err = u.c.offers(ctx, u.f, &p.page, u.adopted, u.anew); err != nil {
		return err
	}
	// Durable before a byte leaves. It fails when the feed was closed meanwhile.
	if err := u.c.s.o.Ledger.Second(ctx, u.f.Terms().Agreement(), u.f.Digest, u.c.footprint, page.Items); err != nil {
		return err
	}
	if err := u.c.s.o.Ledger.Disclose(ctx, u.f, u.c.footprint, page.Items, nil); err != nil {
		return err
	}
	p.next = max(p.since+1, page.Cursor)
	u.flight = append(u.flight, p)
	go u.carry(ctx, p)
	return nil
}

// carry brings a part and keeps what became of it, after the part before.
func (u *upload) carry(ctx context.Context, p *part) {
	got, err := u.c.contributeFrom(ctx, u.f, p.since, p.next, p.offers)
	if r, ok := errors.AsType[*refusedForNow](err); ok && r.rule == footprint.RuleOrder && p.before != nil {
		// It overtook the one before, and changed nothing.
		if <-p.before.answered; p.before.refusal == nil {
			got, err = u.c.contributeFrom(ctx, u.f, p.since, p.next, p.offers)
		}
	}
	p.refusal = err
	close(p.answered)
	if err == nil {
		err = u.c.to.settled(ctx, u.f, entriesOf(p.offers), got)
	}
	if p.before != nil {
		if <-p.before.done; p.before.err != nil {
			err = p.before.err
		}
		p.before = nil
	}
	if err == nil {
		err = u.c.contributed(ctx, u.f, &p.page, p.offers, got)
	}
	p.err = err
	close(p.done)
}
