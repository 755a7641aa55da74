package node

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
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

// KindDecided is the event by which a node remembers in its own ledger that a
// footprint has signed or ended an agreement. Body: footprint, kind, said (the
// body of the member's event that completed the majority), entry (of it in the
// footprint's log).
const KindDecided = "footprint-decided"

// votes are what members of footprints said of agreements that name a footprint
// this node does not keep.
type votes map[vote]map[name.Council]*record.Event

type vote struct {
	kind string
	ref  agreement.Ref
	at   int64 // of suspending and resuming, which may be said again: from when
}

// maxVotes bounds the votes kept from one council.
const maxVotes = 1024

// vote keeps what a council said that may count for a footprint, and reports
// what document something new was said of. b.mu is held.
func (b *book) vote(ev *record.Event) (agreement.Ref, bool) {
	ref, ok := agreement.RefOf(ev.Kind, ev.Body)
	if !ok {
		return ref, false
	}
	if ev.Kind == agreement.KindProposal {
		return ref, true // others may have said something of it already
	}
	k, n := vote{kind: ev.Kind, ref: ref}, 0
	if halts(ev.Kind) {
		notice, err := agreement.ParseNotice(ev.Body)
		if err != nil {
			return ref, false
		}
		k.at = notice.At.Unix()
	}
	for _, by := range b.votes {
		if by[ev.Council] != nil {
			n++
		}
	}
	if b.votes[k][ev.Council] != nil || n >= maxVotes {
		return ref, false
	}
	if b.votes[k] == nil {
		b.votes[k] = map[name.Council]*record.Event{}
	}
	b.votes[k][ev.Council] = ev
	return ref, true
}

// proposed takes in a document that a member of a footprint has put before its
// parties, for the footprint to send under. It reports whether it is one. b.mu is
// held.
func (b *book) proposed(ev *record.Event) bool {
	if ev.Kind != agreement.KindProposal {
		return false
	}
	p, err := agreement.ParseProposal(ev.Body)
	if err != nil {
		return false
	}
	from := p.Agreement.From
	if own := ev.Council == b.n.cfg.Council && b.n.keepsFootprint(from); !own && (!b.n.isFootprint(from) || !slices.Contains(b.n.keepers(from), ev.Council)) {
		return false
	}
	if err := b.state.Apply(from, ev.Kind, ev.Body, time.Unix(ev.IssuedAt, 0)); err != nil {
		b.n.log.Warn("a proposal for a footprint is passed over", "footprint", from, "council", ev.Council, "because", err.Error())
	}
	return true
}

// count lets what a majority of a footprint's members said count for it, where
// this node is none of them. b.mu is held.
func (b *book) count() {
	for k, by := range b.votes {
		doc, ok := b.state.Find(k.ref.Agreement, k.ref.Version)
		if !ok || doc.Ref() != k.ref || halts(k.kind) {
			continue
		}
		for _, p := range doc.Parties() {
			if !b.n.isFootprint(p) || b.n.keepsFootprint(p) {
				continue
			}
			members := b.n.keepers(p)
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
				b.n.log.Debug("what a footprint said is passed over", "footprint", p, "because", err.Error())
			}
		}
	}
}

// decided takes in again what a footprint is remembered to have said.
func (b *book) decided(ev *record.Event) {
	fp, kind := name.Council(fmt.Sprint(ev.Body["footprint"])), fmt.Sprint(ev.Body["kind"])
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known[fmt.Sprint(fp, " ", ev.Body["entry"])] = true
	if err := b.state.Apply(fp, kind, ev.Body["said"], time.Unix(ev.IssuedAt, 0)); err != nil {
		b.n.log.Warn("what a footprint said is passed over", "footprint", fp, "kind", kind, "because", err.Error())
	}
}

// overhear takes in what stands in a footprint's ledger about an agreement. It
// reports whether the footprint said it too with this, which was not known.
func (b *book) overhear(fp name.Council, s footprint.Saying) (news bool) {
	ev := s.Event
	b.mu.Lock()
	defer b.mu.Unlock()
	apply := func(c name.Council) {
		body := ev.Body
		if c == fp {
			body = forFootprint(ev)
		}
		if err := b.state.Apply(c, ev.Kind, body, time.Unix(ev.IssuedAt, 0)); err != nil {
			b.n.log.Warn("an event about an agreement is passed over", "council", c, "kind", ev.Kind, "because", err.Error())
		}
	}
	ref, ok := agreement.RefOf(ev.Kind, ev.Body)
	if !ok {
		return false
	}
	if ev.Kind == agreement.KindProposal {
		if p, err := agreement.ParseProposal(ev.Body); err == nil && p.Agreement.From == fp {
			apply(fp) // any member proposes for it; only a majority signs
		} else {
			apply(ev.Council)
		}
	} else if doc, known := b.state.Find(ref.Agreement, ref.Version); known && doc.Party(ev.Council) {
		if !halts(ev.Kind) || b.suspendedBy(ref, ev.Council) == (ev.Kind == agreement.KindResume) {
			apply(ev.Council)
		}
		if ev.Kind == agreement.KindSuspend {
			return false // it is party: for itself, and not for the others
		}
	}
	if !s.Completes || ev.Kind == agreement.KindResume && !b.suspendedBy(ref, fp) {
		return false
	}
	apply(fp)
	return !b.known[fmt.Sprint(fp, " ", s.Index)]
}

// suspendedBy reports whether a party's word, as far as it is known, is that a
// document is suspended. b.mu is held.
func (b *book) suspendedBy(ref agreement.Ref, c name.Council) bool {
	for _, st := range b.state.Versions(ref.Agreement, b.n.now().Add(time.Hour)) {
		if st.Digest == ref.Digest {
			return slices.ContainsFunc(st.Suspensions, func(s agreement.Suspension) bool { return s.By == c })
		}
	}
	return false
}

// Heard implements peersync.Book.
func (b *book) Heard(ctx context.Context, fp name.Council, list []footprint.Saying) (int, error) {
	for i, s := range list {
		if b.overhear(fp, s) {
			_, _, err := b.n.ledger.AppendNotice(ctx, KindDecided, map[string]any{
				"footprint": string(fp), "kind": s.Event.Kind, "said": forFootprint(s.Event), "entry": json.Number(fmt.Sprint(s.Index)),
			})
			if err != nil {
				return i, err
			}
			b.mu.Lock()
			b.known[fmt.Sprint(fp, " ", s.Index)] = true
			b.mu.Unlock()
		}
	}
	b.stir()
	return len(list), nil
}

// relayNow brings what we have just said to the footprints of an agreement, and
// says in words what could not be: it goes on being tried.
func (n *Node) relayNow(ctx context.Context, members []*replica) string {
	s := n.exchange()
	if s == nil {
		return ""
	}
	for _, r := range members {
		if err := s.Relay(ctx, r.f); err != nil {
			return fmt.Sprintf("%s has not got it yet, and gets it as soon as it can: %v", r.name, err)
		}
	}
	return ""
}

// keepsFootprint reports whether the data folder has a replica of a footprint.
func (n *Node) keepsFootprint(c name.Council) bool {
	all, err := n.footprintFolders()
	return err == nil && slices.Contains(all, c)
}

// keptIn returns the footprints that are parties of an agreement and that this
// node is a member of.
func (n *Node) keptIn(a *agreement.Agreement) (out []*replica, err error) {
	for _, p := range a.Parties() {
		if r := n.replicas.at(p); r != nil && slices.Contains(r.f.Councils(), n.cfg.Council) {
			out = append(out, r)
		} else if n.keepsFootprint(p) {
			return nil, fail(Behind, "stile footprint status "+string(p), "the replica of %s is not open here", p)
		}
	}
	return out, nil
}

// checkFootprints returns what keeps an agreement from being signed here because
// of the footprints it names.
func (n *Node) checkFootprints(a *agreement.Agreement, kept []*replica) error {
	if n.isFootprint(a.From) {
		members := n.keepers(a.From)
		for _, p := range a.To {
			if n.isFootprint(p) || slices.Contains(members, p) {
				return fail(Refused, "name a council outside", "%s is a footprint, and %s is a member of it or a footprint itself", a.From, p)
			}
		}
	}
	for _, p := range a.To {
		if !n.isFootprint(p) {
			continue
		}
		if !a.Way().Copied {
			continue // its members ask, and nothing goes into it
		}
		if len(n.keepers(p)) == 0 {
			return fail(Refused, "ask a member for stile footprint entry "+string(p), "the directory does not say who the members of %s are, and they are whom records are brought to", p)
		}
		if a.From != n.cfg.Council {
			continue
		}
		if other, ok := n.flowsUnder(p, a.Standard); ok && other != a.Name {
			return fail(Conflict, "amend that one: give it the next version", "records of %s go into %s under %s already", a.Standard, p, other)
		}
	}
	for _, r := range kept {
		if !r.f.Formed() {
			return fail(Behind, "stile footprint status "+string(r.name), "%s cannot sign yet: %s", r.name, footprint.RuleForming)
		}
	}
	return nil
}

// flowsUnder returns the agreement under which our records of a standard go into
// a footprint, or have gone there and are not withdrawn yet.
func (n *Node) flowsUnder(fp name.Council, line name.StandardLine) (found name.Agreement, ok bool) {
	err := n.ledger.View(func(v *ledger.View) error {
		for _, f := range n.ledger.Feeds() {
			if f.Agreement == "" || !slices.Contains(f.To, fp) || !f.Copied() || f.Terms().Agreement().Standard != line {
				continue
			}
			p, err := v.Partner(f, fp)
			if err != nil {
				return err
			}
			if !f.Closed() || p.Held > 0 && !p.Done {
				found, ok = f.Agreement, true
				return nil
			}
		}
		return nil
	})
	return found, ok || err != nil
}

// vouch logs what we say about an agreement as a member of a footprint that is
// its party, when we are none ourselves.
func (n *Node) vouch(ctx context.Context, kind string, body map[string]any, to []name.Council) error {
	if _, err := strictjson.Decode(strictjson.Canonical(body), strictjson.DefaultLimits()); err != nil {
		return fmt.Errorf("internal error: %w", err)
	}
	_, _, err := n.ledger.AppendNotice(ctx, kind, body, to...)
	return err
}

// vouched reports whether we have said something of a document before.
func (n *Node) vouched(kind string, ref agreement.Ref) (found bool, err error) {
	err = n.ledger.View(func(v *ledger.View) error {
		var err error
		v.Events(kind, 0, func(i uint64) bool {
			var ev *record.Event
			if ev, _, err = v.Event(i); err == nil {
				r, ok := agreement.RefOf(ev.Kind, ev.Body)
				found = ok && r == ref
			}
			return err == nil && !found
		})
		return err
	})
	return found, err
}

// hearers are the councils that what we say about an agreement is addressed to:
// the other parties, and for a footprint that we are not a member of, those who
// are.
func (n *Node) hearers(a *agreement.Agreement) []name.Council {
	to := map[name.Council]bool{}
	for _, c := range a.Parties() {
		switch {
		case !n.isFootprint(c):
			to[c] = true
		case !n.keepsFootprint(c):
			for _, m := range n.keepers(c) {
				to[m] = true
			}
		}
	}
	delete(to, n.cfg.Council)
	return slices.Sorted(maps.Keys(to))
}
