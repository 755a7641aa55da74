package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// Who holds what was passed on asks the council that issued it whether it may keep it, since
// who passed it on may keep quiet about that. Here is what the one side reads to answer, and
// what the other does with the answer. See onward.proto.

// Late is the age from which what had to come back and did not, or a receipt for it, is late.
const Late = 24 * time.Hour

// A PassedVersion names a version of a record of ours that another holds.
type PassedVersion struct {
	Record name.Record
	Hash   tlog.Hash // SHA-256 of the token's signing input
}

// mostSteps is how many versions of records are read for one answer, before what is left is
// to be asked about again.
const mostSteps = 10_000

// GoneOf returns which of some versions of our records, given to a receiver under the open feed
// of an agreement, nobody may hold any more: those that were taken back or erased before an
// instant, and those in whose place the receiver took a later one, as it signed before that
// instant. The receiver is who passed them on. looked is how many were looked at, from the first
// on: at least one, and fewer than there are once [event.MaxGone] are gone or much was read. Of
// what we did not give the receiver under the agreement nothing is said.
func (v *View) GoneOf(ctx context.Context, f *Feed, receiver name.Council, asked []PassedVersion, before time.Time) (gone []event.GoneVersion, looked int, err error) {
	p, err := v.Partner(f, receiver)
	if err != nil {
		return nil, 0, err
	}
	for steps := mostSteps; looked < len(asked) && steps > 0 && len(gone) < event.MaxGone; looked++ {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		g, err := v.goneOf(f, p, asked[looked], before, &steps)
		if errors.Is(err, ErrDamaged) {
			continue // which status says
		}
		if err != nil {
			return nil, 0, err
		}
		if g != nil {
			gone = append(gone, *g)
		}
	}
	return gone, looked, nil
}

// goneOf says of one version that it is to be gone; nil when that is not to be said.
func (v *View) goneOf(f *Feed, p Partner, a PassedVersion, before time.Time, steps *int) (*event.GoneVersion, error) {
	*steps--
	at, withdrawn, err := v.InFeed(f, a.Record)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !withdrawn {
		if stands, err := v.leaf(at); err != nil || stands == tlog.Leaf(a.Hash) || !p.Has(at) {
			return nil, err
		}
	}
	given, err := v.given(f.Agreement, p.Council, a, at, steps)
	if err != nil || !given {
		return nil, err
	}
	signed, took, err := v.tookItem(f, p.Council, at)
	if err != nil {
		return nil, err
	}
	g := &event.GoneVersion{Record: a.Record, Hash: a.Hash, Since: signed.Unix(), Known: took && signed.Before(before)}
	if withdrawn {
		ev, _, err := v.Event(at)
		if err != nil {
			return nil, err
		}
		g.Since = ev.IssuedAt
	} else if !took {
		return nil, nil // it holds the earlier one still, and may
	}
	if !time.Unix(g.Since, 0).Before(before) {
		return nil, nil
	}
	return g, nil
}

// GaveAny reports whether one of some versions is of our records, and was given to a council
// under an agreement. Of records that have very many versions it may say no.
func (v *View) GaveAny(ctx context.Context, a name.Agreement, to name.Council, asked []PassedVersion) (given bool, err error) {
	steps := mostSteps
	for i := 0; i < len(asked) && steps > 0 && !given && err == nil; i++ {
		steps--
		if given, err = v.given(a, to, asked[i], math.MaxUint64, &steps); errors.Is(err, ErrDamaged) {
			err = nil // which status says
		}
		err = errors.Join(err, ctx.Err())
	}
	return given, err
}

// given reports whether a version stands in our log before an entry, and was given to a council
// under an agreement.
func (v *View) given(under name.Agreement, to name.Council, a PassedVersion, before uint64, steps *int) (is bool, err error) {
	found, leaf := false, tlog.Leaf(a.Hash)
	var at uint64
	var bad error
	err = v.Versions(a.Record, func(g Logged) bool {
		*steps--
		var h tlog.Hash
		if h, bad = v.leaf(g.Index); bad == nil && h == leaf {
			found, at = true, g.Index
		}
		return bad == nil && !found && *steps > 0
	})
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err = errors.Join(err, bad); err != nil || !found || at >= before {
		return false, err
	}
	out, err := v.LetOut(at)
	for _, i := range out {
		if err != nil {
			break
		}
		var ev *record.Event
		if ev, _, err = v.Event(i); err != nil || ev.Kind != event.KindDisclosure {
			continue
		}
		d, err := event.ParseDisclosure(ev.Body)
		if err != nil {
			return false, err
		}
		if d.Agreement == under && d.To == to {
			return true, nil
		}
	}
	return false, err
}

// tookItem reports whether a council signed that it took an item of a feed, a record or what
// took one back, and when.
func (v *View) tookItem(f *Feed, c name.Council, at uint64) (signed time.Time, took bool, err error) {
	jws, err := v.ReceiptFor(f, c, at)
	if err != nil || jws == nil {
		return signed, false, err
	}
	_, ev, err := record.ParseEvent(jws)
	if err != nil {
		return signed, false, fmt.Errorf("%w: receipt: %w", ErrDamaged, err)
	}
	r, err := event.ParseReceipt(ev.Body)
	if err != nil {
		return signed, false, fmt.Errorf("%w: receipt: %w", ErrDamaged, err)
	}
	return time.Unix(ev.IssuedAt, 0), !slices.Contains(r.RefusedIndexes(), at), nil
}

// A HeldPassed is a version that is held here and was passed on.
type HeldPassed struct {
	Index uint64 // in the log of who passed it on to here
	PassedVersion
	// Under are the agreements by which it came: the first that of its own council, the last
	// that under which it is held.
	Under []name.Agreement
}

// HeldPassed calls f with what is held from a source and was passed on, in the order of the
// sender's log, from an index on, until f returns false. It reads no token.
func (v *View) HeldPassed(s *Source, from uint64, f func(HeldPassed) bool) error {
	return v.StoredHoldings(s, from, func(k StoredHolding, err error) bool {
		if err != nil || len(k.stored) < 48 {
			return true // damaged, which status says
		}
		h := Holding{}
		if h.Passed, _, _ = cutPassed(k.stored[48:]); h.Passed == nil {
			return true
		}
		under := h.PassedUnder()
		if len(under) < 2 || binary.BigEndian.Uint64(k.stored) != k.Index {
			return true
		}
		return f(HeldPassed{Index: k.Index, PassedVersion: PassedVersion{k.Record, tlog.Hash(k.stored[16:48])}, Under: under})
	})
}

// A Tracing is how asking the council that issued what is held from a source stands.
type Tracing struct {
	Of    name.Council `json:"of"`             // that council
	Since time.Time    `json:"since"`          // when it was first to be asked
	At    time.Time    `json:"at,omitzero"`    // when it last answered of all that is held; zero for never
	Gone  int          `json:"gone,omitempty"` // versions deleted by its word
	// Quiet is of how many of them who passed them on had known for a day, by its own
	// signature, that they had to go; QuietAt is when the last was deleted.
	Quiet   int       `json:"quiet,omitempty"`
	QuietAt time.Time `json:"quiet_at,omitzero"`

	// Going is what is being deleted by its word: it is out of reach already, and not said yet.
	// nil while nothing is.
	Going *event.OnwardDeleted `json:"going,omitempty"`
}

// Traced keeps that the council that issued what is held from a source was to be asked and, where
// it has, that it answered of all of it.
func (l *Ledger) Traced(ctx context.Context, s *Source, of name.Council, answered bool) error {
	err := l.do(ctx, false, func(t *tx) error {
		c, err := t.current(s)
		if err != nil {
			return err
		}
		now := l.o.Now().UTC()
		if c.Tracing == nil || c.Tracing.Of != of {
			fresh := &Tracing{Of: of, Since: now}
			if c.Tracing != nil {
				fresh.Gone, fresh.Quiet, fresh.QuietAt, fresh.Going = c.Tracing.Gone, c.Tracing.Quiet, c.Tracing.QuietAt, c.Tracing.Going
			}
			c.Tracing = fresh
		} else if !answered {
			return nil
		}
		if answered {
			c.Tracing.At = now
		}
		return t.source(c)
	})
	if err != nil {
		return fmt.Errorf("keep what %s answered: %w", of, err)
	}
	return nil
}

// DeleteByWord deletes what is held from a source by the word of the council that issued it, a
// signed event "onward-gone" that was checked: of which versions is what the word is about and
// is held, at most [event.MaxGone]. They leave the disk, then an event of ours says so, addressed
// to that council and to who passed them on; what a crash interrupts [Ledger.FinishDeleting]
// ends. What has changed here since which was read stays.
func (l *Ledger) DeleteByWord(ctx context.Context, s *Source, word []byte, said event.OnwardGone, which []HeldPassed) error {
	err := l.FinishDeleting(ctx, s)
	if err == nil {
		err = l.outOfReach(ctx, s, word, said, which)
	}
	if err == nil {
		err = l.FinishDeleting(ctx, s)
	}
	if err != nil {
		return fmt.Errorf("delete by the word of %s: %w", said.Agreement.Council(), err)
	}
	return nil
}

// outOfReach makes empty what DeleteByWord deletes, and keeps what is to be said of it.
func (l *Ledger) outOfReach(ctx context.Context, s *Source, word []byte, said event.OnwardGone, which []HeldPassed) error {
	known := map[PassedVersion]bool{}
	for _, g := range said.Versions {
		known[PassedVersion{g.Record, g.Hash}] = g.Known
	}
	return l.do(ctx, false, func(t *tx) error {
		c, err := t.current(s)
		if err != nil || c.Ended || c.Ending {
			return err
		}
		g := &event.OnwardDeleted{Agreement: said.Agreement, Under: s.Agreement, From: s.From, Word: string(word)}
		reason := WithdrawnAtOrigin
		if said.Over != "" {
			reason = WithdrawnNoPassing
		}
		for _, h := range which {
			index, _, had, err := t.held(c, h.Record.Bytes())
			if err != nil {
				return err
			}
			if !had || index != h.Index {
				continue
			}
			if err := t.deleteByWord(c, h, said.Over == "", reason); err != nil {
				return err
			}
			g.Entries = append(g.Entries, h.Index)
			// Further on, who sent it may not have been told either.
			if direct := len(h.Under) == 2; direct && (said.Known || known[h.PassedVersion]) {
				g.Known++
			}
		}
		if len(g.Entries) == 0 {
			return nil
		}
		if c.Tracing == nil {
			c.Tracing = &Tracing{Of: said.Agreement.Council(), Since: l.o.Now().UTC()}
		}
		c.Tracing.Going = g
		return t.source(c)
	})
}

// deleteByWord makes a holding empty, has it leave the disk with the next Purge, and takes it
// back from those that it went to from here. final: it does not come again in this version.
func (t *tx) deleteByWord(c *Source, h HeldPassed, final bool, reason string) error {
	id, w := h.Record.Bytes(), Withdrawal{Index: h.Index, Record: h.Record, Final: final}
	if err := t.goes(c, id, h.Index, &w); err != nil {
		return err
	}
	if err := t.remember(c, id, h.Index, final, false); err != nil {
		return err
	}
	err := t.l.originOf(c, func(f *Feed) error { return t.takeBackPassed(f, h.Record, event.KindWithdrawal, reason) })
	if err != nil {
		return err
	}
	if _, err := t.blank(c, h.Record); err != nil {
		return err
	}
	for _, k := range slots(c.number, id) {
		if _, err := t.lookup(k); errors.Is(err, ErrNotFound) {
			continue
		} else if err != nil {
			return err
		}
		t.set(purgeKey(k), []byte{})
	}
	c.Withdrawn++
	return nil
}

// FinishDeleting ends what DeleteByWord began of a source, if there is anything: what was
// emptied leaves the disk, and then an event says so.
func (l *Ledger) FinishDeleting(ctx context.Context, s *Source) error {
	now, err := l.Source(s.From, s.Agreement)
	if err != nil || now.Tracing == nil || now.Tracing.Going == nil {
		return err
	}
	of := now.Tracing.Going.Agreement.Council()
	err = l.Purge(ctx)
	for _, c := range []name.Council{of, s.From} {
		if err == nil {
			_, err = l.OpenNotices(ctx, c)
		}
	}
	if err == nil {
		err = l.do(ctx, false, func(t *tx) error {
			c, err := t.current(now)
			if err != nil || c.Tracing == nil || c.Tracing.Going == nil {
				return err
			}
			tr := *c.Tracing
			g := tr.Going
			tr.Going = nil
			tr.Gone += len(g.Entries)
			if g.Known > 0 {
				tr.Quiet, tr.QuietAt = tr.Quiet+int(g.Known), l.o.Now().UTC()
			}
			c.Tracing = &tr
			if err := t.address(t.event(event.KindOnwardDeleted, g.Body()).index, []name.Council{of, s.From}); err != nil {
				return err
			}
			return t.source(c)
		})
	}
	if err != nil {
		return fmt.Errorf("delete by the word of %s: %w", of, err)
	}
	return nil
}
