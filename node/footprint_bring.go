package node

import (
	"context"
	"errors"

	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
)

// underWay is how many parts of a feed are on their way into a footprint at one
// time: while one is being agreed to by the members, the next is being made, and
// what became of the one before is being logged.
const underWay = 3

// A bringing is one feed on its way into a footprint. Each part names the number
// that the part before it moves to, so the footprint takes them in that order or
// not at all; what became of them is logged in the same order. When one fails,
// those after it are given up with it, and the next try begins where our log says
// that the last one ended.
type bringing struct {
	n    *Node
	r    *sink
	f    *ledger.Feed
	anew bool // earlier texts of the agreement let something out

	flight []*part // oldest first
}

// A part is some items of a page on their way.
type part struct {
	page          ledger.Page
	offers        []offering
	since, number uint64 // what the footprint's number for the agreement moves from and to
	before        *part  // nil for the first

	taken   chan struct{} // closed once it is known whether the footprint took it
	refused error         // set before
	done    chan struct{} // closed once what became of it is logged
	err     error         // set before
}

// all brings what there is from a cursor on.
func (b *bringing) all(ctx context.Context, cursor uint64) error {
	for {
		page, err := b.n.ledger.Page(b.f, cursor)
		if err != nil || len(page.Items) == 0 {
			return err
		}
		cursor = page.Cursor
		for len(page.Items) > 0 {
			p := *page
			size := 0
			for i, it := range page.Items {
				if size += len(it.Token); i == flowItems || i > 0 && size > flowBytes {
					p.Items, p.Cursor = page.Items[:i], it.Index
					break
				}
			}
			if err := b.bring(ctx, p); err != nil {
				return err
			}
			page.Items, page.Since = page.Items[len(p.Items):], p.Cursor
		}
	}
}

// settle waits until at most so many parts are under way.
func (b *bringing) settle(left int) error {
	for len(b.flight) > left {
		<-b.flight[0].done
		if err := b.flight[0].err; err != nil {
			return err
		}
		b.flight = b.flight[1:]
	}
	return nil
}

// finish waits for what is under way and returns the first error.
func (b *bringing) finish() error {
	err := b.settle(0)
	for _, p := range b.flight {
		<-p.done
	}
	return err
}

// bring sends a part on its way.
func (b *bringing) bring(ctx context.Context, page ledger.Page) error {
	n, r := b.n, b.r
	left := underWay - 1
	if b.anew {
		left = 0 // what is withdrawn first hangs on what the part before did
	}
	if err := b.settle(left); err != nil {
		return err
	}
	p := &part{page: page, taken: make(chan struct{}), done: make(chan struct{})}
	if k := len(b.flight); k > 0 {
		p.before = b.flight[k-1]
		p.since = p.before.number
	} else {
		// What the footprint holds of ours decides what is to be withdrawn
		// first, so that what is asked must know all that was ever brought. A
		// part under way changes nothing about that: it is of the same text.
		var err error
		if p.since, err = r.in.number(ctx, b.f); err != nil {
			return err
		}
	}
	if err := n.mayFlow(b.f); err != nil {
		return err
	}
	var err error
	if p.offers, err = n.offerings(ctx, r, b.f, &p.page, b.anew); err != nil {
		return err
	}
	// Durable before a byte leaves. It fails when the feed was closed meanwhile.
	if err := n.ledger.Disclose(ctx, b.f, r.name, page.Items); err != nil {
		return err
	}
	p.number = max(p.since+1, page.Cursor)
	b.flight = append(b.flight, p)
	go b.carry(ctx, p)
	return nil
}

// carry brings a part and keeps what became of it, after the part before.
func (b *bringing) carry(ctx context.Context, p *part) {
	got, err := b.n.contributeFrom(ctx, b.r, b.f, p.since, p.number, p.offers)
	if u, ok := errors.AsType[*untaken](err); ok && u.rule == footprint.RuleOrder && p.before != nil {
		// It overtook the one before, and changed nothing.
		if <-p.before.taken; p.before.refused == nil {
			got, err = b.n.contributeFrom(ctx, b.r, b.f, p.since, p.number, p.offers)
		}
	}
	p.refused = err
	close(p.taken)
	if err == nil {
		err = b.r.in.settled(ctx, b.f, brought(p.offers), got)
	}
	if p.before != nil {
		if <-p.before.done; p.before.err != nil {
			err = p.before.err
		}
		p.before = nil
	}
	if err == nil {
		err = b.n.contributed(ctx, b.r, b.f, &p.page, p.offers, got)
	}
	p.err = err
	close(p.done)
}
