package peersync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// What a footprint's agreement permits a receiver each member that answers commits to in
// its own log, as a council does of its own records: see count.go. A replica shows a record
// as it stands now and not as it stood at a checkpoint, so a member counts only while
// nothing stands in its log beyond the checkpoint that a majority cosigned; what comes
// meanwhile makes it begin again at a later page.

// errMoved: more came to the footprint's log while it was counted.
var errMoved = errors.New("more has come to the footprint's log meanwhile")

// errExpired: what members erased at the end of its term was let out, as far as anybody can
// tell, and no withdrawal tells a receiver so. Nobody can count it any more.
var errExpired = errors.New("records were erased from the footprint at the end of their term, which no receiver is told")

// A committed is what a member committed to last, for one receiver.
type committed struct {
	said event.FootprintCheckpoint
	at   time.Time
	took time.Duration // zero when an earlier process did it
}

// lastCommitted returns what we committed to last for a partner; it reads our log the first
// time that it is asked.
func (r *replica) lastCommitted(k asker) (c committed, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.committed[k]; ok {
		return c, nil
	}
	err = r.s.o.Ledger.View(func(v *ledger.View) (err error) {
		v.EventsBack(event.KindFootprintCheckpoint, func(i uint64) bool {
			said, _, rerr := ledger.ReadEvent(v, i, event.KindFootprintCheckpoint, event.ParseFootprintCheckpoint)
			if errors.Is(rerr, ledger.ErrDamaged) {
				return true // it is named where it is read
			}
			if err = rerr; err != nil || said.Footprint != r.name || said.Agreement != k.agreement || said.To != k.partner {
				return err == nil
			}
			ev, _, rerr := v.Event(i)
			if err = rerr; err == nil {
				c = committed{said: said, at: time.Unix(ev.IssuedAt, 0)}
			}
			return false
		})
		return err
	})
	if err == nil {
		r.committed[k] = c
	}
	return c, err
}

// Committed returns what this member committed to last of what a footprint's agreement
// permits a partner, and when; the zero time when it never did.
func (s *Syncer) Committed(f *footprint.Footprint, a name.Agreement, partner name.Council) (event.FootprintCheckpoint, time.Time, error) {
	c, err := s.replica(f).lastCommitted(asker{a, partner})
	return c.said, c.at, err
}

func (f *footprintFeed) countWanted(to name.Council) <-chan struct{} {
	if f.suspended {
		return nil
	}
	return f.s.countWanted(serveKey{to, f.doc.Name})
}

// countDue reports whether a page that ends what is permitted is to be counted, unless a
// person asks for it.
func (f *footprintFeed) countDue(to name.Council, p *page) (bool, error) {
	c, now := &f.count, f.s.o.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live.IsZero() {
		c.live = now
	}
	if c.busy || now.Before(c.look) {
		return false, nil
	}
	c.look = now.Add(countLook)
	last, err := f.r.lastCommitted(asker{f.doc.Name, to})
	if err != nil || last.said.Size == p.Checkpoint.Size && last.said.Signers == uint64(p.signers) {
		return false, err
	}
	at := ledger.NextCheckpoint(last.at, last.took, c.live)
	if again := c.failed.Add(countAgain); !c.failed.IsZero() && again.After(at) {
		at = again
	}
	return !at.After(now), nil
}

// counted reads a page, and counts behind what the agreement permits where the page ends it
// and that is due. A receiver that knows of fewer signatures has not all that is permitted
// yet: it is to read the log once more.
func (f *footprintFeed) counted(ctx context.Context, to name.Council, cursor uint64) (*page, error) {
	p, err := f.page(cursor)
	if err != nil || !p.ends() || p.signers != f.known {
		return p, err
	}
	due, err := f.countDue(to, p)
	if err != nil || !due && !f.s.countAsked(serveKey{to, f.doc.Name}) || f.r.f.Size() != p.Checkpoint.Size {
		return p, err
	}
	c := &f.count
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy {
		return p, nil
	}
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithCancel(ctx)
	}
	c.busy = true
	sent := make(chan bool, 1)
	p.sent = sent
	c.running.Go(func() { f.commit(c.ctx, to, p.Checkpoint.Size, sent) })
	return p, nil
}

// commit counts what is permitted at a size and commits to it in our log, unless the page
// was not sent to be counted.
func (f *footprintFeed) commit(ctx context.Context, to name.Council, size uint64, sent <-chan bool) {
	began := f.s.o.Now()
	counts := false
	said, err := f.s.newFootprintFeed(f.r, f.doc).permitted(ctx, size) // apart from what sends
	select {
	case counts = <-sent:
	case <-ctx.Done():
	}
	if counts && err == nil {
		said.To = to
		_, _, err = f.s.o.Ledger.AppendNotice(ctx, event.KindFootprintCheckpoint, said.Body(), to)
	}
	now := f.s.o.Now()
	f.count.mu.Lock()
	f.count.busy = false
	if counts && err != nil && !errors.Is(err, errMoved) {
		f.count.failed = now
	}
	f.count.mu.Unlock()
	switch {
	case !counts || ctx.Err() != nil || errors.Is(err, errMoved):
	case err != nil:
		f.s.o.Log.Warn("what a footprint's agreement permits could not be counted", "agreement", f.doc.Name, "receiver", to, "error", err.Error())
		f.s.countDone(serveKey{to, f.doc.Name}, err)
	default:
		f.r.mu.Lock()
		f.r.committed[asker{f.doc.Name, to}] = committed{said, now, now.Sub(began)}
		f.r.mu.Unlock()
		f.s.countDone(serveKey{to, f.doc.Name}, nil)
	}
}

// permitted counts what is sent of the log's first size entries, which must be all that it
// has: errMoved when it has more, then or at the end.
func (f *footprintFeed) permitted(ctx context.Context, size uint64) (said event.FootprintCheckpoint, err error) {
	signers, err := f.r.f.Signers(f.doc.Ref())
	if err != nil {
		return said, err
	}
	var tally tlog.Tally
	for from := uint64(0); from < size; {
		var all []*footprint.Held
		if all, from, err = f.entries(from, size); err != nil {
			return said, err
		}
		for _, h := range all {
			sent, t, err := f.lets(h, signers)
			if err == nil && sent == sentRecord {
				var hash tlog.Hash
				if hash, err = permittedHash(h, t); err == nil {
					tally.Add(hash)
				}
			}
			if err == nil && h.Event != nil && h.Event.Kind == event.KindFootprintExpired {
				err = f.expired(h.Event)
			}
			if err != nil {
				return said, err
			}
		}
		if f.r.f.Size() != size {
			return said, errMoved
		}
		if ctx.Err() != nil {
			return said, ctx.Err()
		}
	}
	return event.FootprintCheckpoint{
		Footprint: f.r.name, Signers: uint64(len(signers)),
		AgreementCheckpoint: event.AgreementCheckpoint{Agreement: f.doc.Name, Version: uint64(f.doc.Version), Size: size, Count: tally.Size(), Root: tally.Root()},
	}, nil
}

// permittedHash returns the hash of an entry as a member of what is permitted.
func permittedHash(h *footprint.Held, t *agreement.Terms) (tlog.Hash, error) {
	var places []string
	_, err := h.Token.Narrow(func(pointer string, shell bool) bool {
		keep := t.Keep(pointer, shell)
		if keep {
			places = append(places, pointer)
		}
		return keep
	})
	return agreement.Permitted{
		Index: h.Index, Record: h.View.Record, Version: h.View.Version, Entry: h.Token.Entry(), Fields: agreement.FieldsOf(places),
	}.Hash(), err
}

// expired returns errExpired if entries that a member said may be kept no longer are erased.
func (f *footprintFeed) expired(ev *record.Event) error {
	said, err := event.ParseFootprintExpired(ev.Body)
	if err != nil {
		return fmt.Errorf("what has expired in %s: %w", f.r.name, err)
	}
	for _, i := range said.Entries {
		erased := false
		err := f.r.f.Entries(i, func(h *footprint.Held) bool { erased = h.Erased; return false })
		if err != nil {
			return err
		}
		if erased {
			return errExpired
		}
	}
	return nil
}
