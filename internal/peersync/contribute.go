package peersync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// Our records go into a footprint under an agreement as they do to a partner: what
// the agreement lets out, from the feed that the ledger keeps of it, logged before
// it leaves. There is nobody who pulls, so the node brings it: to its own replica,
// which passes it to whoever leads, or to whichever member answers.
//
// How far this has come is known in two places. The ledger holds the cursor, as it
// does for a partner. The footprint holds a sequence number for the agreement, which
// every page moves by compare-and-set: the page names the number that it expects,
// and is refused as a whole when another page was first. A page whose answer was
// lost is brought again under a new number: what is in already is a duplicate there,
// and what was withdrawn meanwhile is not in the feed.

// Bounds of a part of a page, so that it fits one command even when every record
// in it has to be withdrawn first.
const (
	partItems = 400
	partBytes = 900 << 10
)

// A contributor brings what one agreement lets out to one footprint.
type contributor struct {
	s         *Syncer
	footprint name.Council
	agreement name.Agreement
	to        destination
	own       *replica // nil where others keep the footprint
	recalled  bool     // what the footprint took before we stopped is noted

	mu sync.Mutex // guards what follows
	// doubts has, by their index in our log, the records that one member of a
	// footprint that others keep said were refused, and that member.
	doubts map[uint64]name.Council
	// made has the withdrawals that were logged in the second madeAt. What is brought once
	// more within it takes them again: signed anew they would be the same to the byte, and
	// nothing stands in a log twice.
	made   map[event.Withdrawal]logged
	madeAt int64
}

// A logged event has its index in our log.
type logged struct {
	index uint64
	jws   []byte
}

func (s *Syncer) contributor(k jobKey) *contributor {
	c := &contributor{s: s, footprint: k.council, agreement: k.agreement, doubts: map[uint64]name.Council{}}
	if k.own != nil {
		c.own, c.to = s.replica(k.own), ownReplica{k.own, s.o.Self}
	} else {
		c.to = &anyMember{s: s, footprint: k.council}
	}
	return c
}

// turn brings what the agreement lets out now, withdraws what its texts that are
// over let out, and waits until there may be more.
func (c *contributor) turn(ctx context.Context, j *job) (progress bool, err error) {
	changed := c.s.o.Ledger.Changed()
	if c.own != nil && !c.recalled {
		if err := c.recall(ctx); err != nil {
			if ctx.Err() == nil {
				c.s.o.Log.Warn("what a footprint took before is not known", "footprint", c.footprint, "error", err.Error())
			}
		} else {
			c.recalled = true
		}
	}
	var errs []error
	for _, f := range c.s.o.Ledger.Feeds() {
		if f.Agreement == c.agreement && f.Copied() && slices.Contains(f.To, c.footprint) {
			errs = append(errs, c.text(ctx, f))
		}
	}
	if err := errors.Join(errs...); err != nil {
		if m, ok := c.to.(*anyMember); ok {
			m.turn.Add(1) // another member may do better
		}
		return false, err
	}
	c.s.went(j, true, true)
	pause(ctx, reviewEvery, changed, j.kick)
	return true, nil
}

// text does what is to be done for one text of the agreement.
func (c *contributor) text(ctx context.Context, f *ledger.Feed) error {
	all := c.s.o.Agreements.Texts(f.Agreement, c.s.o.Now())
	for _, st := range all {
		if st.Digest != f.Digest {
			continue
		}
		switch {
		case st.InForce() && !f.Closed():
			return c.bring(ctx, f)
		case st.Phase == agreement.Suspended && !f.Closed():
			return c.sendWithdrawals(ctx, f)
		case st.Phase == agreement.Ended && f.Closed():
			return c.retract(ctx, f)
		case st.Phase == agreement.Superseded && f.Closed():
			// The newer text's feed sees to it, unless that is over before it brought anything, or for others.
			if now := standing(all); now.Phase == agreement.Ended || !slices.Contains(now.Agreement.To, c.footprint) || !now.Agreement.Way().Copied {
				return c.retract(ctx, f)
			}
		}
	}
	return nil
}

// standing returns, of the texts of an agreement, the one in force or, when none
// is, the newest.
func standing(all []agreement.Status) agreement.Status {
	if i := slices.IndexFunc(all, agreement.Status.InForce); i >= 0 {
		return all[i]
	}
	return all[0]
}

// bring brings what there is to bring of a feed.
func (c *contributor) bring(ctx context.Context, f *ledger.Feed) error {
	if !f.Ready {
		return nil // the ledger changes when it is
	}
	var olds []*ledger.Feed // earlier texts under which it holds something
	for _, g := range c.s.o.Ledger.Feeds() {
		if g.Agreement != f.Agreement || g.Version >= f.Version {
			continue
		}
		if !g.Closed() {
			return nil // withdrawals from it are still being made
		}
		p, err := c.s.partnerOf(g, c.footprint)
		if err != nil {
			return err
		}
		if p.Held > 0 && !p.Done {
			olds = append(olds, g)
		}
	}
	p, err := c.s.partnerOf(f, c.footprint)
	if err != nil {
		return err
	}
	u := &upload{c: c, f: f, anew: len(olds) > 0}
	err = u.all(ctx, p.Cursor)
	if e := u.finish(); e != nil {
		err = e // what went wrong first
	}
	if err != nil {
		return err
	}
	for _, g := range olds {
		// Everything it let out has been withdrawn or has taken its new form.
		if err := c.s.o.Ledger.Acknowledge(ctx, g, c.footprint, ledger.Ack{Cursor: g.End, Done: true}); err != nil {
			return err
		}
	}
	return nil
}

// mayBring asks again what may have changed since the page was read.
func (c *contributor) mayBring(f *ledger.Feed) error {
	if err := c.s.o.Directory.Exchange(c.s.o.Now()); err != nil {
		return err
	}
	doc, why := c.s.o.Agreements.InForce(f.Agreement, c.s.o.Now())
	if doc == nil {
		return errors.New(why)
	}
	if doc.Digest() != f.Digest {
		return errors.New("another version of the agreement has come into force")
	}
	return nil
}

// contribute brings entries under the next sequence number of the agreement, and
// returns when what became of them is certain.
func (c *contributor) contribute(ctx context.Context, f *ledger.Feed, cursor uint64, offers []offer) (footprint.Receipt, error) {
	st, err := c.to.state(ctx, f)
	if err != nil {
		return footprint.Receipt{}, err
	}
	got, err := c.contributeFrom(ctx, f, st.sequence, max(st.sequence+1, cursor), offers)
	if err != nil {
		return got, err
	}
	return got, c.to.settled(ctx, f, entriesOf(offers), got)
}

// refusedForNow says that the footprint could not take entries as things are now.
// Nothing is lost: they are offered again.
type refusedForNow struct {
	by   name.Council
	rule string
}

func (r *refusedForNow) Error() string {
	return fmt.Sprintf("%s does not take them now: %s", r.by, r.rule)
}

// contributeFrom brings entries that move the sequence number from since to next.
func (c *contributor) contributeFrom(ctx context.Context, f *ledger.Feed, since, next uint64, offers []offer) (footprint.Receipt, error) {
	got, by, err := c.to.contribute(ctx, f, since, next, entriesOf(offers))
	if err != nil {
		return got, err
	}
	for i, o := range got.Outcomes {
		if c.own == nil && o.Code == footprint.Refused && c.doubt(offers[i], by) {
			return got, &refusedForNow{c.footprint, o.Rule}
		}
		if footprint.ForNow(o.Rule) {
			return got, &refusedForNow{c.footprint, o.Rule}
		}
	}
	return got, nil
}

// doubt reports whether a refusal that a member told of is not believed yet. That of
// a record is when another member says it too, that of a withdrawal never.
func (c *contributor) doubt(o offer, by name.Council) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !o.put {
		return true
	}
	first, told := c.doubts[o.index]
	if !told {
		c.doubts[o.index] = by
	}
	return !told || first == by
}

// contributed keeps what became of part of a page: in the log, and as the cursor.
func (c *contributor) contributed(ctx context.Context, f *ledger.Feed, part *ledger.Page, offers []offer, got footprint.Receipt) error {
	held, withdrawn, refused := c.outcomes(offers, got)
	err := c.noteContributed(ctx, event.FootprintContributed{
		Version: uint64(f.Version), Position: got.Position, Since: part.Since, Cursor: part.Cursor, Refused: refused,
	}, held, withdrawn)
	if err != nil {
		return err
	}
	there, err := c.to.count(ctx, f)
	if err != nil {
		return err
	}
	return c.s.o.Ledger.Acknowledge(ctx, f, c.footprint, ledger.Ack{Since: part.Since, Cursor: part.Cursor, Held: there, Refused: len(refused), Suspended: part.Suspended})
}
