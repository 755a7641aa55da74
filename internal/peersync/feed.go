package peersync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// A feed is what a stream is served from: a feed that our ledger keeps, or what a
// footprint that we are a member of sends under an agreement.
type feed interface {
	of() feedOf
	// changed returns a channel that is closed when there may be more.
	changed() <-chan struct{}
	// idle reports whether it is known, without reading, that nothing stands from a cursor on.
	idle(cursor uint64) bool
	// page reads from a cursor on; an empty page is live.
	page(cursor uint64) (*page, error)
	// withdrawals reads from a cursor on what is taken back, and nothing else. It is asked
	// where page ends at the bound of an agreement.
	withdrawals(cursor uint64) (*page, error)
	// split has page end at an index of the log, from which on ahead reads; 0 ends that. It
	// reports whether the feed can.
	split(at uint64) bool
	// ahead reads, from a cursor on, what goes ahead of what page still has to give.
	ahead(cursor uint64) (*page, error)
	// counted reads from a cursor on as page does, and counts what the agreement permits
	// once send says that the page was sent. It is page while that is not due.
	counted(ctx context.Context, to name.Council, cursor uint64) (*page, error)
	// countWanted gives what is closed by a person who wants it counted now.
	countWanted(to name.Council) <-chan struct{}
	// sign gives the records of a page signatures of their own.
	sign(ctx context.Context, p *page) error
	// size is that of the newest checkpoint of the log.
	size() uint64
	consistency(from, to uint64) ([]tlog.Hash, error)
	// disclose logs, durably, that a page is about to be sent.
	disclose(ctx context.Context, to name.Council, p *page) error
	// follow says that everything is sent, and that what comes next is about to be. The
	// feed is then for one stream to one council; stop ends that.
	follow(to name.Council)
	stop()
	// acknowledged keeps what a receiver did with a page, checked against it.
	acknowledged(ctx context.Context, to name.Council, a ledger.Ack) error
	// late keeps a receipt for a page of an earlier stream, which it checks.
	late(ctx context.Context, to name.Council, r *event.Receipt, jws []byte) error
}

// A page is part of a feed, with what proves it.
type page struct {
	ledger.Page
	gone    []*wirepb.Gone // records that are not let through any more, of a footprint
	signers int            // members whose records are let through, of a footprint

	ahead     bool   // it goes ahead of the rest
	aheadFrom uint64 // where that begins, of the pages between, too; 0 while nothing goes ahead

	formers []name.Record  // what each item was at a council of ownFeed.keeps; nil where nothing is asked
	took    []name.Council // of those councils, which are taken over

	sent chan<- bool // of a page that may be counted, whether it was sent to be; nil for any other
}

// ends reports whether a page brings its reader to the end of what is permitted at its
// checkpoint.
func (p *page) ends() bool {
	return p.Live && p.Cursor == p.Checkpoint.Size && !p.Suspended && len(p.Damaged) == 0
}

// counts says whether a page was sent to be counted. It is called once for each page.
func (p *page) counts(yes bool) {
	if p.sent != nil {
		p.sent <- yes
	}
}

func (p *page) empty() bool { return len(p.Items) == 0 && len(p.gone) == 0 }

// feedOf says what a feed is of.
type feedOf struct {
	log       name.Council   // that its indexes and checkpoints are of
	agreement name.Agreement // "" for notices
	digest    agreement.Digest
	suspended bool          // the agreement is: it gives withdrawals and nothing else
	beat      time.Duration // how often an idle sender looks at the log and asks the agreement again

	text *agreement.Agreement // found to have the digest; nil while none was looked at
}

// An ownFeed is a feed that our ledger keeps.
type ownFeed struct {
	s         *Syncer
	f         *ledger.Feed
	suspended bool
	most      int              // bytes of a page; 0 is as many as one may have
	follower  *ledger.Follower // nil until the stream has caught up
	to        name.Council     // whose stream it is
	count     counting

	below uint64         // where page ends; 0 while nothing goes ahead
	keeps []name.Council // that have ended, and of which the receiver keeps what it has until it comes from us

	begun uint64 // where what went ahead on an earlier stream begins, as the receiver says; 0 for nothing
}

func (o *ownFeed) of() feedOf {
	return feedOf{log: o.s.o.Self, agreement: o.f.Agreement, digest: o.f.Digest, suspended: o.suspended, beat: beatEvery}
}

func (o *ownFeed) changed() <-chan struct{} { return o.s.o.Ledger.Changed() }

func (o *ownFeed) idle(cursor uint64) bool {
	return len(o.keeps) == 0 && o.s.o.Ledger.Idle(o.f, cursor)
}

func (o *ownFeed) page(cursor uint64) (*page, error) {
	if o.suspended {
		return o.withdrawals(cursor)
	}
	took, err := o.took()
	if err != nil {
		return nil, err
	}
	var p *ledger.Page
	if o.below > 0 {
		p, err = o.s.o.Ledger.PageBelow(o.f, o.to, cursor, o.below, o.bytes())
	} else {
		p, err = o.s.o.Ledger.PageOf(o.f, o.to, cursor, o.bytes())
	}
	if err != nil {
		return nil, err
	}
	return o.formerly(&page{Page: *p, aheadFrom: o.below, took: took})
}

// took returns the councils that are taken over, of those that are asked of. It is asked
// before a page is read, which then has what came of them.
func (o *ownFeed) took() (out []name.Council, err error) {
	if len(o.keeps) == 0 {
		return nil, nil
	}
	err = o.s.o.Ledger.View(func(v *ledger.View) error {
		for _, c := range o.keeps {
			all, err := v.HasTakenOver(c)
			if err != nil {
				return err
			}
			if all {
				out = append(out, c)
			}
		}
		return nil
	})
	return out, err
}

// formerly adds to a page what its records were at councils that have ended.
func (o *ownFeed) formerly(p *page) (*page, error) {
	if len(o.keeps) == 0 || len(p.Items) == 0 {
		return p, nil
	}
	err := o.s.o.Ledger.View(func(v *ledger.View) (err error) {
		p.formers, err = v.Formers(p.Items, o.keeps)
		return err
	})
	return p, err
}

// bytes is how many a page may have.
func (o *ownFeed) bytes() int {
	if o.most > 0 {
		return o.most
	}
	return ledger.MaxPageBytes
}

func (o *ownFeed) split(at uint64) bool {
	if o.f.Agreement == "" || o.suspended {
		return false
	}
	o.below = at
	return true
}

func (o *ownFeed) ahead(cursor uint64) (*page, error) {
	p, err := o.s.o.Ledger.PageAhead(o.f, o.to, cursor, o.bytes())
	if err != nil {
		return nil, err
	}
	return o.formerly(&page{Page: *p, ahead: true, aheadFrom: o.below})
}

func (o *ownFeed) withdrawals(cursor uint64) (*page, error) {
	p, err := o.s.o.Ledger.Withdrawals(o.f, cursor)
	if err != nil {
		return nil, err
	}
	return o.formerly(&page{Page: *p})
}

func (o *ownFeed) sign(ctx context.Context, p *page) error {
	err := o.s.o.Ledger.SignTokens(ctx, p.Items)
	if errors.Is(err, keys.ErrNoFormer) {
		return nil // its place in the log proves it
	}
	return err
}

func (o *ownFeed) size() uint64 { return o.s.o.Ledger.Size() }

func (o *ownFeed) consistency(from, to uint64) ([]tlog.Hash, error) {
	return o.s.o.Ledger.Consistency(from, to)
}

func (o *ownFeed) disclose(ctx context.Context, to name.Council, p *page) error {
	if p.ahead {
		return o.s.o.Ledger.DiscloseAhead(ctx, o.f, to, p.Items, p.aheadFrom)
	}
	return o.s.o.Ledger.Disclose(ctx, o.f, to, p.Items, o.follower)
}

func (o *ownFeed) follow(to name.Council) {
	if o.follower == nil && o.f.Agreement != "" && !o.suspended {
		o.follower = o.s.o.Ledger.Follow(o.f, to)
	}
}

func (o *ownFeed) stop() {
	o.follower.Stop()
	o.count.stop()
}

func (o *ownFeed) acknowledged(ctx context.Context, to name.Council, a ledger.Ack) error {
	return o.s.o.Ledger.Acknowledge(ctx, o.f, to, a)
}

// late checks that a receipt is about a checkpoint that our log had: the page itself
// is forgotten by now.
func (o *ownFeed) late(ctx context.Context, to name.Council, r *event.Receipt, jws []byte) error {
	err := o.s.o.Ledger.View(func(v *ledger.View) error {
		if cp, _ := v.Checkpoint(); r.Size > cp.Size {
			return fmt.Errorf("receipt: %w: our log never had %d entries", judge.ErrLied, r.Size)
		}
		tree, err := tlog.OpenTree(r.Size, v)
		if err == nil && tree.Root() != r.Root {
			err = fmt.Errorf("receipt: %w: our log never had that root", judge.ErrLied)
		}
		return err
	})
	if err != nil {
		return err
	}
	// Of the page only what is withdrawn still matters: a withdrawal that it
	// says nothing of stays outstanding.
	var silent bool
	err = o.s.o.Ledger.View(func(v *ledger.View) error {
		return v.Withdrawals(o.f, r.Since, r.Cursor, func(i uint64, _ name.Record) bool {
			silent = !slices.Contains(r.Deleted, i) && !slices.Contains(r.RefusedIndexes(), i)
			return !silent
		})
	})
	if err != nil || silent {
		return err
	}
	ack := ledger.Ack{Since: r.Since, Cursor: r.Cursor, Receipt: jws, Refused: len(r.Refused), Late: true, Suspended: r.Suspended, AheadFrom: o.begun}
	ack.Ahead = !r.Suspended && o.begun > 0 && r.Since >= o.begun
	return o.s.o.Ledger.Acknowledge(ctx, o.f, to, ack)
}
