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
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// When a council ends, its agreements end. What a partner holds under one is kept, as it is,
// where it has agreed with each successor that takes over some of it that it goes on: until
// it comes from them. Where one of them has not, nobody here can know which record is whose,
// and all is deleted as at any end. The same is so where the council has told us nothing and
// the directory says that it has ended.

const (
	// keptFor is how long after the first day of the successors it is kept at most.
	keptFor = 30 * 24 * time.Hour
	// keptSuspended is how long the agreement with a successor may be suspended meanwhile.
	keptSuspended = 7 * 24 * time.Hour
)

// An Ended says that the membership of a council ends on a day, by the directory, and who
// takes over; On is zero where it does not end. Sure: the directory is to be relied on now.
type Ended struct {
	On         time.Time
	Successors []name.Council
	Sure       bool
}

// over reports whether a council has ended and others have taken over.
func (e Ended) over(now time.Time) bool {
	return e.Sure && !e.On.IsZero() && !now.Before(e.On) && len(e.Successors) > 0
}

// succeededKey is a text of an agreement of a sender.
type succeededKey struct {
	agreement name.Agreement
	version   uint64
}

// succeeded takes in that a sender says by whom it is succeeded under a text of its own.
// b.mu is held.
func (b *Book) succeeded(ev *record.Event) {
	s, err := event.ParseSucceeded(ev.Body)
	if err != nil {
		return
	}
	doc, ok := b.state.Find(s.Agreement, int(s.Version))
	if !ok || doc.From != ev.Council || !b.ours(doc) {
		return
	}
	b.succeeds[succeededKey{s.Agreement, s.Version}] = s
}

// endedBy is what we say where we end an agreement since the directory says that a council
// has ended.
func endedBy(c name.Council, on time.Time) string {
	return fmt.Sprintf("the membership of %s ended on %s, by the directory", c, on.Format(time.DateOnly))
}

// endWithMembers ends the agreements of ours that are over since the membership of a party
// has ended and others take over, by the directory: of what we receive its sender and, of
// what we send, all receivers. It does nothing while the directory is not to be relied on.
func (b *Book) endWithMembers(ctx context.Context, now time.Time) error {
	if b.o.Ended == nil || b.o.Ledger.IsSealed() {
		return nil
	}
	var errs []error
	for _, st := range b.Current(now) {
		a := st.Agreement
		if _, signed := st.Signed[b.o.Self]; !signed || st.Phase == agreement.Ended || st.Phase == agreement.Superseded {
			continue
		}
		of := []name.Council{a.From}
		if a.From == b.o.Self {
			of = a.To
		}
		who, on := name.Council(""), time.Time{}
		for _, c := range of {
			if e := b.o.Ended(c); !b.o.Footprints.Is(c) && e.over(now) {
				who, on = c, e.On
				continue
			}
			who = ""
			break
		}
		if who == "" {
			continue
		}
		end := agreement.Notice{Ref: a.Ref(), Reason: endedBy(who, on), At: now.UTC().Truncate(time.Second)}
		v, err := strictjson.Decode(strictjson.Canonical(end.Body()), strictjson.DefaultLimits())
		if err != nil {
			return fmt.Errorf("internal error: %w", err)
		}
		var to []name.Council
		for _, c := range a.Parties() {
			if c != b.o.Self && !slices.Contains(of, c) && !b.o.Footprints.Is(c) {
				to = append(to, c)
			}
		}
		if _, _, err := b.o.Ledger.AppendNotice(ctx, event.KindAgreementEnd, end.Body(), to...); err != nil {
			errs = append(errs, fmt.Errorf("end %s: %w", a.Name, err))
			continue
		}
		b.o.Log.Info("agreement has ended", "agreement", a.Name, "because", end.Reason)
		errs = append(errs, b.Say(b.o.Self, event.KindAgreementEnd, v))
	}
	return errors.Join(errs...)
}

// goesOn says under which agreements what a source holds goes on, and until when it may be
// kept for that, where its council has ended; or why it is not kept.
func (b *Book) goesOn(src *ledger.Source, now time.Time) (k ledger.Keeping, version int, why string) {
	no := func(format string, args ...any) (ledger.Keeping, int, string) {
		return ledger.Keeping{}, 0, fmt.Sprintf(format, args...)
	}
	if b.o.Ended == nil || src.Records == 0 {
		return no("nothing is held")
	}
	texts := b.Texts(src.Agreement, now)
	i := slices.IndexFunc(texts, func(st agreement.Status) bool { return src.Digest == st.Digest.String() })
	if i < 0 {
		return no("its text is not known")
	}
	doc, ended := texts[i].Agreement, b.o.Ended(src.From)
	way := doc.Way()
	switch {
	case ended.On.IsZero() || len(ended.Successors) == 0:
		return no("no successor of %s is in the directory", src.From)
	case !way.Copied || way.Moves || way.ByHand || doc.Origin != "":
		return no("what comes in this way does not go on")
	case len(texts[i].Endings) == 0:
		return no("its time was over")
	}
	for _, e := range texts[i].Endings {
		if e.By != src.From && !(e.By == b.o.Self && e.Reason == endedBy(src.From, ended.On)) {
			return no("%s ended it", e.By)
		}
	}
	b.mu.Lock()
	said, told := b.succeeds[succeededKey{doc.Name, uint64(doc.Version)}]
	b.mu.Unlock()
	to := ended.Successors
	switch on := ended.On.Format(time.DateOnly); {
	case told && said.On != on:
		return no("%s says that it ends on %s, and the directory on %s", src.From, said.On, on)
	case told && (src.Cursor < said.End || src.AheadFrom > 0):
		return no("not all had come")
	case told:
		to = said.To
	case now.Before(ended.On):
		return no("%s has not said who goes on with it", src.From)
	}
	k.Until = ended.On.Add(keptFor)
	if !now.Before(k.Until) {
		return no("the time is over for which it was kept")
	}
	for _, s := range to {
		if !slices.Contains(ended.Successors, s) {
			return no("%s is no successor in the directory", s)
		}
		next, why := b.novated(doc, s, ended.On, now)
		if next == nil {
			return no("%s", why)
		}
		k.Under = append(k.Under, ledger.KeptForPart{Council: s, Agreement: next.Name, Version: next.Version})
	}
	if len(k.Under) == 0 {
		return no("nobody goes on with it")
	}
	slices.SortFunc(k.Under, func(a, b ledger.KeptForPart) int { return strings.Compare(string(a.Council), string(b.Council)) })
	return k, doc.Version, ""
}

// novated returns the agreement under which we go on receiving with a successor what we
// received under another: it is signed by all, is in force or waits for its first day, and
// lets us hold the same. Otherwise it says why there is none.
func (b *Book) novated(old *agreement.Agreement, successor name.Council, on, now time.Time) (*agreement.Agreement, string) {
	want, _, err := old.Novate(old.From, successor, agreement.Date(on.Format(time.DateOnly)))
	if err != nil {
		return nil, err.Error()
	}
	why := fmt.Sprintf("no agreement %s with %s stands", want.Name, successor)
	for _, st := range b.Texts(want.Name, now) {
		a := st.Agreement
		switch {
		case st.Phase != agreement.InForce && st.Phase != agreement.Waiting && st.Phase != agreement.Suspended:
		case slices.ContainsFunc(st.Suspensions, func(s agreement.Suspension) bool { return now.Sub(s.Since) > keptSuspended }):
			why = fmt.Sprintf("%s is suspended", a.Name)
		case a.From != successor || !slices.Contains(a.To, b.o.Self) || !a.Holds(want, b.follows(on)):
			why = fmt.Sprintf("%s is not what %s was", a.Name, old.Name)
		default:
			return a, ""
		}
	}
	return nil, why
}

// follows says whose codes stand for whose, of councils that have ended by a day.
func (b *Book) follows(on time.Time) agreement.Follows {
	if b.o.Follows == nil {
		return nil
	}
	return func(old, successor string) bool { return b.o.Follows(old, successor, on) }
}

// keepOrEnd does with what a source holds under an agreement that is over what is to be
// done: it is kept for successors, or deleted.
func (b *Book) keepOrEnd(ctx context.Context, src *ledger.Source, why string, now time.Time) error {
	k, version, not := b.goesOn(src, now)
	switch {
	case src.Kept == nil && not == "":
		b.o.Log.Info("agreement is over; what is held under it is kept until it comes from the successors", "agreement", src.Agreement, "because", why)
		err := b.o.Ledger.Keep(ctx, src, version, k)
		b.o.Changed()
		return err
	case src.Kept != nil && src.Kept.Done():
		why += "; all has come that goes on"
	case src.Kept != nil && not == "":
		return nil
	case src.Kept != nil:
		why += "; " + not
	}
	b.o.Log.Info("agreement is over; deleting what was held under it", "agreement", src.Agreement, "because", why)
	err := b.o.Ledger.End(ctx, src, why)
	b.o.Changed()
	return err
}

// kept takes in that a receiver keeps what it holds under an agreement of ours that is over,
// until it comes from our successors.
func (b *Book) kept(from name.Council, ev *record.Event) error {
	k, err := event.ParseKept(ev.Body)
	if err != nil || k.From != b.o.Self {
		return err
	}
	for _, f := range b.o.Ledger.Feeds() {
		if f.Agreement != k.Agreement || uint64(f.Version) != k.Version || !slices.Contains(f.To, from) {
			continue
		}
		over := slices.ContainsFunc(b.Texts(f.Agreement, b.o.Now()), func(st agreement.Status) bool {
			return st.Digest == f.Digest && st.Phase == agreement.Ended
		})
		if over {
			if err := b.o.Ledger.KeptThere(context.Background(), f, from, k); err != nil {
				return err
			}
		}
	}
	return nil
}
