package book

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// How a footprint is party to an agreement. It has no key, so its members sign
// for it, each with its own node and each in its own ledger; their signatures
// meet in the footprint's ledger, which says at which of them a majority was
// reached (footprint.Sayings). That one stands for the footprint's signature, and
// the state of the agreement is folded as of any other party. Ending is the same.
//
// A party that is no member sees the members' signatures as notices, and counts
// them by the list of members in the directory.

// votes are what members of footprints said of agreements that name a footprint
// this node does not keep.
//
// They are kept by document, since a council may speak of many.
type votes map[agreement.Ref]map[vote]map[name.Council]*record.Event

type vote struct {
	kind string
	ref  agreement.Ref
	at   int64          // of suspending and resuming, which may be said again: from when
	to   agreement.Date // of a renewal
}

// maxVotes bounds the votes kept from one council.
const maxVotes = 1024

// vote keeps what a council said that may count for a footprint, and reports
// what document something new was said of. b.mu is held.
func (b *Book) vote(ev *record.Event) (agreement.Ref, bool) {
	ref, ok := agreement.RefOf(ev.Kind, ev.Body)
	if !ok {
		return ref, false
	}
	if ev.Kind == event.KindAgreementCounter {
		return ref, false // no footprint says it
	}
	if ev.Kind == event.KindAgreementProposal {
		return ref, true // others may have said something of it already
	}
	k := vote{kind: ev.Kind, ref: ref}
	if halts(ev.Kind) {
		notice, err := agreement.ParseNotice(ev.Body)
		if err != nil {
			return ref, false
		}
		k.at = notice.At.Unix()
	}
	if ev.Kind == event.KindAgreementRenewal {
		r, err := agreement.ParseRenewal(ev.Body)
		if err != nil {
			return ref, false
		}
		k.to = r.Review
	}
	of := b.votes[ref]
	if of[k][ev.Council] != nil || b.voted[ev.Council] >= maxVotes {
		return ref, false
	}
	if of == nil {
		of = map[vote]map[name.Council]*record.Event{}
		b.votes[ref] = of
	}
	if of[k] == nil {
		of[k] = map[name.Council]*record.Event{}
	}
	of[k][ev.Council] = ev
	b.voted[ev.Council]++
	return ref, true
}

// SignedBy returns those of some members of a footprint that have told us, by events
// of their own, that they signed a document.
func (b *Book) SignedBy(ref agreement.Ref, members []name.Council) (out []name.Council) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range members {
		if b.votes[ref][vote{kind: event.KindAgreementSignature, ref: ref}][m] != nil {
			out = append(out, m)
		}
	}
	return out
}

// proposed takes in a document that a member of a footprint has put before its
// parties, for the footprint to send under. It reports whether it is one. b.mu is
// held.
func (b *Book) proposed(ev *record.Event) bool {
	if ev.Kind != event.KindAgreementProposal {
		return false
	}
	p, err := agreement.ParseProposal(ev.Body)
	if err != nil {
		return false
	}
	from := p.Agreement.From
	if own := ev.Council == b.o.Self && b.o.Footprints.Has(from); !own && (!b.o.Footprints.Is(from) || !slices.Contains(b.o.Footprints.Members(from), ev.Council)) {
		return false
	}
	if err := b.state.Apply(from, ev.Kind, ev.Body, time.Unix(ev.IssuedAt, 0)); err != nil {
		b.o.Log.Warn("a proposal for a footprint is passed over", "footprint", from, "council", ev.Council, "because", err.Error())
	}
	return true
}

// count lets what a majority of a footprint's members said count for it, where
// this node is none of them. It looks at one document, since an event is about one: to
// look at all of them for each event is the square of what a council has said. b.mu is
// held.
func (b *Book) count(ref agreement.Ref) {
	doc, ok := b.state.FindText(ref)
	if !ok {
		return
	}
	for k, by := range b.votes[ref] {
		b.looked++
		if halts(k.kind) {
			continue
		}
		for _, p := range doc.Parties() {
			// What its own ledger decides its members learn from there. A renewal is
			// said in the ledgers of the members alone: a majority that names one day.
			if !b.o.Footprints.Is(p) || b.o.Footprints.Has(p) && k.kind != event.KindAgreementRenewal {
				continue
			}
			members := b.o.Footprints.Members(p)
			var said []*record.Event
			for _, c := range members {
				if ev := by[c]; ev != nil {
					said = append(said, ev)
				}
			}
			if len(said) <= len(members)/2 {
				continue
			}
			// The one that completed the majority, by the members' own clocks.
			slices.SortStableFunc(said, func(x, y *record.Event) int { return int(x.IssuedAt - y.IssuedAt) })
			ev := said[len(members)/2]
			if err := b.state.Apply(p, ev.Kind, ev.Body, time.Unix(ev.IssuedAt, 0)); err != nil {
				b.o.Log.Debug("what a footprint said is passed over", "footprint", p, "because", err.Error())
			}
		}
	}
}

// decided takes in again what a footprint is remembered to have said.
func (b *Book) decided(ev *record.Event) {
	d, err := event.ParseFootprintDecided(ev.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.known[fmt.Sprint(d.Footprint, " ", d.Entry)] = true
		err = b.state.Apply(d.Footprint, d.Kind, d.Statement, time.Unix(ev.IssuedAt, 0))
	}
	if err != nil {
		b.o.Log.Warn("what a footprint said is passed over", "footprint", d.Footprint, "kind", d.Kind, "because", err.Error())
	}
}

// overhear takes in what stands in a footprint's ledger about an agreement. It
// reports whether the footprint said it too with this, which was not known.
func (b *Book) overhear(fp name.Council, s footprint.Saying) (news bool) {
	ev := s.Event
	b.mu.Lock()
	defer b.mu.Unlock()
	apply := func(c name.Council) {
		body := ev.Body
		if c == fp {
			body = forFootprint(ev)
		}
		if err := b.state.Apply(c, ev.Kind, body, time.Unix(ev.IssuedAt, 0)); err != nil {
			b.o.Log.Warn("an event about an agreement is passed over", "council", c, "kind", ev.Kind, "because", err.Error())
		}
	}
	ref, ok := agreement.RefOf(ev.Kind, ev.Body)
	if !ok {
		return false
	}
	if ev.Kind == event.KindAgreementProposal {
		if p, err := agreement.ParseProposal(ev.Body); err == nil && p.Agreement.From == fp {
			apply(fp) // any member proposes for it; only a majority signs
		} else {
			apply(ev.Council)
		}
	} else if doc, known := b.state.Find(ref.Agreement, ref.Version); known && doc.Party(ev.Council) {
		if !halts(ev.Kind) || b.suspendedBy(ref, ev.Council) == (ev.Kind == event.KindAgreementResume) {
			apply(ev.Council)
		}
		if ev.Kind == event.KindAgreementSuspend {
			return false // it is party: for itself, and not for the others
		}
	}
	if !s.Completes || ev.Kind == event.KindAgreementResume && !b.suspendedBy(ref, fp) {
		return false
	}
	apply(fp)
	return !b.known[fmt.Sprint(fp, " ", s.Index)]
}

// suspendedBy reports whether a party's word, as far as it is known, is that a
// document is suspended. b.mu is held.
func (b *Book) suspendedBy(ref agreement.Ref, c name.Council) bool {
	for _, st := range b.state.Versions(ref.Agreement, b.o.Now().Add(time.Hour)) {
		if st.Digest == ref.Digest {
			return slices.ContainsFunc(st.Suspensions, func(s agreement.Suspension) bool { return s.By == c })
		}
	}
	return false
}

// Heard implements peersync.Book.
func (b *Book) Heard(ctx context.Context, fp name.Council, list []footprint.Saying) (int, error) {
	for i, s := range list {
		if b.overhear(fp, s) {
			_, _, err := b.o.Ledger.AppendNotice(ctx, event.KindFootprintDecided, event.FootprintDecided{Footprint: fp, Kind: s.Event.Kind, Statement: forFootprint(s.Event), Entry: s.Index}.Body())
			if err != nil {
				return i, err
			}
			b.mu.Lock()
			b.known[fmt.Sprint(fp, " ", s.Index)] = true
			b.mu.Unlock()
		}
	}
	b.Stir()
	return len(list), nil
}

func halts(kind string) bool {
	return kind == event.KindAgreementSuspend || kind == event.KindAgreementResume
}

// forFootprint is what a member's event says for its footprint: of a suspension,
// with the member's name, since one speaks for all.
func forFootprint(ev *record.Event) map[string]any {
	if !halts(ev.Kind) {
		return ev.Body
	}
	notice, err := agreement.ParseNotice(ev.Body)
	if err != nil {
		return ev.Body
	}
	notice.Reason = fmt.Sprintf("%s: %s", ev.Council, notice.Reason)
	return notice.Body()
}

// halted folds what members of a footprint that we are not one of said about
// suspending and resuming a document: one has it suspended, a majority that said
// so since the last suspension has it resumed. b.mu is held.
func (b *Book) halted(ref agreement.Ref) {
	doc, ok := b.state.FindText(ref)
	if !ok {
		return
	}
	for _, p := range doc.Parties() {
		if !b.o.Footprints.Is(p) || b.o.Footprints.Has(p) {
			continue
		}
		members := b.o.Footprints.Members(p)
		type word struct {
			at int64
			ev *record.Event
		}
		var said []word
		for k, by := range b.votes[ref] {
			b.looked++
			if !halts(k.kind) {
				continue
			}
			for _, c := range members {
				if by[c] != nil && !doc.Party(c) {
					said = append(said, word{k.at, by[c]})
				}
			}
		}
		slices.SortFunc(said, func(x, y word) int {
			// In one second the suspension comes last: that is the safe order.
			return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.ev.Kind, y.ev.Kind), cmp.Compare(x.ev.Council, y.ev.Council))
		})
		var last *record.Event // what the footprint said last
		var resumed []name.Council
		for _, w := range said {
			switch {
			case w.ev.Kind == event.KindAgreementSuspend:
				last, resumed = w.ev, nil
			case last == nil || last.Kind == event.KindAgreementResume || slices.Contains(resumed, w.ev.Council):
			default:
				if resumed = append(resumed, w.ev.Council); len(resumed) > len(members)/2 {
					last = w.ev
				}
			}
		}
		if last == nil || b.lastSaid[voteKey{p, ref}] == last {
			continue
		}
		b.lastSaid[voteKey{p, ref}] = last
		if err := b.state.Apply(p, last.Kind, forFootprint(last), time.Unix(last.IssuedAt, 0)); err != nil {
			b.o.Log.Debug("what a footprint said is passed over", "footprint", p, "because", err.Error())
		}
	}
}

// saidBy is a party and a document.
type voteKey struct {
	party name.Council
	ref   agreement.Ref
}
