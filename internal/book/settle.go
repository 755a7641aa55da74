package book

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// Resume finishes what a crash may have left half done: an agreement that we
// signed and whose feed was not opened.
func (b *Book) Resume(ctx context.Context) error {
	now := b.o.Now()
	b.mu.Lock()
	names := b.state.Names()
	b.mu.Unlock()
	for _, a := range names {
		for _, st := range b.Texts(a, now) {
			if _, signed := st.Signed[b.o.Self]; !signed || st.Agreement.From != b.o.Self || st.Phase == agreement.Ended || st.Phase == agreement.Superseded {
				continue
			}
			if err := b.o.Ledger.OpenFeed(ctx, st.Agreement); err != nil {
				return err
			}
		}
	}
	for _, src := range b.o.Ledger.Sources() {
		if src.Agreement == "" {
			if err := b.o.Ledger.ObeyAgain(ctx, src); err != nil {
				return err
			}
		}
	}
	return errors.Join(b.o.Ledger.DropIndexes(ctx), b.receipts(), b.Settle(ctx))
}

// Run acts on what the clock and the partners change: agreements that come
// into force, are superseded or end.
func (b *Book) Run(ctx context.Context) {
	for ctx.Err() == nil {
		// A text whose records are matched takes over from the one before.
		readied := b.o.Ledger.Readied()
		if err := b.Settle(ctx); err != nil && ctx.Err() == nil {
			b.o.Log.Error("settle agreements", "error", err.Error())
		}
		now := b.o.Now()
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
		case <-readied:
			b.o.Changed()
		case <-t.C:
			if ok && !b.o.Now().Before(next) {
				b.o.Changed()
			}
		}
		t.Stop()
	}
}

// Settle closes what is over: our own feeds, and what we hold of others.
func (b *Book) Settle(ctx context.Context) error {
	now := b.o.Now()
	b.Recount()
	errs := []error{b.endWithMembers(ctx, now)}
	// Before the texts that give way: the next text of one that passes on is ready by this.
	for _, f := range b.o.Ledger.Feeds() {
		errs = append(errs, b.pass(ctx, f, now))
	}
	for _, f := range b.o.Ledger.Feeds() {
		if f.Agreement == "" {
			continue
		}
		if f.Closed() {
			errs = append(errs, b.takeEarly(f), b.leaveOut(ctx, f, now), b.o.Ledger.AddressOrders(ctx, f))
			continue
		}
		for _, st := range b.Texts(f.Agreement, now) {
			if st.Digest != f.Digest {
				continue
			}
			switch st.Phase {
			case agreement.Ended:
				errs = append(errs, b.o.Ledger.CloseFeed(ctx, f.Agreement, f.Digest), b.takeEarly(f))
			case agreement.Superseded:
				cur, ok := b.Status(f.Agreement, now)
				if !ok || !cur.InForce() {
					continue
				}
				if g, err := b.o.Ledger.Feed(f.Agreement, cur.Digest); err == nil && g.Ready {
					errs = append(errs, b.o.Ledger.Supersede(ctx, f, g), b.takeEarly(f), b.leaveOut(ctx, f, now))
				}
			}
		}
	}
	for _, src := range b.o.Ledger.Sources() {
		if src.Agreement == "" || src.Ended {
			continue
		}
		if why, over := b.over(src, now); over {
			errs = append(errs, b.keepOrEnd(ctx, src, why, now))
		}
	}
	return errors.Join(errs...)
}

// Recount counts all votes again, and finds out to whom we are bound. It is called when
// the members of a footprint may be others than when the last vote was heard.
func (b *Book) Recount() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ref := range b.votes {
		b.halted(ref)
		b.count(ref)
	}
	b.bind(b.o.Now())
}

// leaveOut tells the receivers of a text of ours that a later version, which is in
// force, leaves out that theirs has ended: they are no party to the later one and
// learn of it by nothing else. They delete what they hold and receipt it, as at any
// end. It says so once.
func (b *Book) leaveOut(ctx context.Context, f *ledger.Feed, now time.Time) error {
	cur, ok := b.Status(f.Agreement, now)
	if !ok || !cur.InForce() || cur.Digest == f.Digest {
		return nil
	}
	out := slices.DeleteFunc(slices.Clone(f.To), func(c name.Council) bool { return slices.Contains(cur.Agreement.To, c) })
	if len(out) == 0 {
		return nil
	}
	i := slices.IndexFunc(b.Texts(f.Agreement, now), func(st agreement.Status) bool {
		return st.Digest == f.Digest && st.Phase == agreement.Superseded
	})
	if i < 0 {
		return nil // it has ended, so they have been told
	}
	old := b.Texts(f.Agreement, now)[i].Agreement
	end := agreement.Notice{Ref: old.Ref(), Reason: fmt.Sprintf("version %d leaves %s out", cur.Agreement.Version, listed(out)), At: now.UTC().Truncate(time.Second)}
	v, err := strictjson.Decode(strictjson.Canonical(end.Body()), strictjson.DefaultLimits())
	if err != nil {
		return fmt.Errorf("internal error: %w", err)
	}
	if _, _, err := b.o.Ledger.AppendNotice(ctx, event.KindAgreementEnd, end.Body(), out...); err != nil {
		return fmt.Errorf("tell who is left out of %s: %w", f.Agreement, err)
	}
	return b.Say(b.o.Self, event.KindAgreementEnd, v)
}

// listed joins councils by "and".
func listed(cs []name.Council) string {
	var b strings.Builder
	for i, c := range cs {
		if i > 0 {
			b.WriteString(" and ")
		}
		b.WriteString(string(c))
	}
	return b.String()
}

// over reports whether what a source holds is held under nothing any more, and
// why in words: no text of the agreement is in force that gives it to us, and the
// one the copy is of has ended or given way to another. A later text that is only
// proposed keeps nothing. One that gives it to others is no reason by itself: whoever
// sends tells us that ours has ended, once it is ready to hear that all was deleted.
func (b *Book) over(src *ledger.Source, now time.Time) (why string, over bool) {
	texts, toOthers := b.Texts(src.Agreement, now), false
	if slices.ContainsFunc(texts, func(st agreement.Status) bool {
		return st.Agreement.Way().Moves && strings.HasPrefix(src.Digest, st.Digest.String())
	}) {
		return "", false // it was taken over, and is kept as its retention says
	}
	for _, st := range texts {
		switch {
		case !st.InForce():
		case !slices.Contains(st.Agreement.To, b.o.Self):
			toOthers = true
		case !st.Agreement.Way().Copied:
			return fmt.Sprintf("version %d lets nothing be copied", st.Agreement.Version), true
		default:
			return "", false
		}
	}
	for i, st := range texts {
		if strings.HasPrefix(src.Digest, st.Digest.String()) || src.Digest == "" && i == 0 {
			why, over = st.Why, st.Phase == agreement.Ended || st.Phase == agreement.Superseded && !toOthers
		}
	}
	return why, over
}
