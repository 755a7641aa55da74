package node

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

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
