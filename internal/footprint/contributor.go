package footprint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// A contributor is a council outside that may bring records under its own
// agreements. It has no vote, cosigns nothing and keeps no replica: members pass
// its pages on. A majority of the members takes it in, with its keys, so that
// every member can check what it signed.
//
// What it brings is a page of an agreement that bears its name, of records and
// withdrawals alone. Whether that agreement is in force the members ask before
// they pass a page on; applying cannot, since it reads no documents.

// maxContributors is how many councils outside may contribute.
const maxContributors = 64

// The rules about contributors.
const (
	RuleOutside       = "a council that is no member brings records and withdrawals under its agreements, and nothing else"
	RuleMemberAlready = "the council is a member already"
	RuleManyOutside   = "at most 64 councils outside may contribute"
)

// ofItsOwn reports whether a group is a page of an agreement that bears its
// contributor's name.
func (g group) ofItsOwn() bool {
	return g.agreement != "" && g.agreement.Council() == g.contributor
}

// signer returns who must have signed a group: a member, or a contributor with a
// page of its own; nil when it is neither.
func (s *state) signer(g group) *member {
	if m := s.members[g.contributor]; m != nil || !g.ofItsOwn() {
		return m
	}
	return s.outside[g.contributor]
}

// fromOutside reports whether an entry is one that a contributor may bring.
func (c *checked) fromOutside() bool {
	return c.view != nil || c.event.Kind == event.KindWithdrawal
}

func (a *applier) setOutside(c name.Council, m *member) {
	if m == nil && a.s.outside[c] == nil {
		return
	}
	a.s.outside = put(a.s.outside, c, m)
	a.setStored("c"+string(c), m)
}

// Contributors returns the councils outside that may contribute, sorted.
func (f *Footprint) Contributors() []name.Council {
	return slices.Sorted(maps.Keys(f.fsm.state.Load().outside))
}

// LetIn has a council outside become a contributor with the keys of its directory
// entry. When nobody has proposed that and this member leads, or is told to propose,
// it proposes it; when somebody has, it agrees, once. It reports whether the council may contribute
// already. The caller answers for an agreement that this member has signed.
func (f *Footprint) LetIn(ctx context.Context, c name.Council, propose bool) (already bool, err error) {
	s := f.fsm.state.Load()
	switch o := s.Open; {
	case s.outside[c] != nil || s.members[c] != nil:
		return true, nil
	case s.members[f.o.Self] == nil:
		return false, nil
	case o != nil && o.Change == event.ChangeContributor && o.Council == c:
		if slices.Contains(o.Agreed, f.o.Self) {
			return false, nil
		}
		_, err = f.Agree(ctx, c)
	case o != nil && f.o.Now().Unix() < o.At+changeLapses || f.ready.Load() == nil && !propose || s.format() < 2:
		return false, nil // its turn comes
	default:
		m, ok := f.o.Directory.Member(c)
		if !ok {
			return false, fmt.Errorf("let %s in: not in the directory", c)
		}
		_, err = f.change(ctx, event.FootprintChange{Change: event.ChangeContributor, Council: c, Member: string(m.Bare().YAML())})
	}
	if r, ok := errors.AsType[*Refusal](err); ok && (r.Rule == RuleNoChange || r.Rule == RuleOneChange || r.Rule == RuleNumber) {
		err = nil // another was first
	}
	return false, err
}

// Proposed returns the council that this member has proposed to let in and that a
// majority has not agreed to yet; "" for none. Cancel takes it back.
func (f *Footprint) Proposed() name.Council {
	if o := f.fsm.state.Load().Open; o != nil && o.By == f.o.Self && o.Change == event.ChangeContributor {
		return o.Council
	}
	return ""
}

// ContributeFor passes on a page of an agreement's feed that a contributor has
// sealed; see [SealPage] and Contribute. What is to be sent again the contributor seals
// again; see [Offer]. Whether the agreement is in force is for the caller to ask.
func (f *Footprint) ContributeFor(ctx context.Context, c name.Council, a name.Agreement, since, cursor uint64, seal record.PageSeal, entries ...Entry) (Receipt, error) {
	g := group{contributor: c, agreement: a, since: since, cursor: cursor, seal: seal, entries: entries}
	if !g.ofItsOwn() || f.fsm.state.Load().outside[c] == nil {
		return Receipt{}, &Refusal{RuleMember}
	}
	// As members that are sent it will read it: one that leads must not propose
	// what no other takes.
	b := g.append(nil)
	if _, err := parseGroup(b); err != nil || len(b) > MaxEntry {
		return Receipt{}, &Refusal{RuleOutside}
	}
	return f.contribute(ctx, g)
}

// ContributedBy returns how far a council's feed of an agreement has come.
func (f *Footprint) ContributedBy(c name.Council, a name.Agreement) (cursor uint64, err error) {
	err = f.fsm.view(func(v *ledger.ReplicaView) error {
		cursor, err = viewNumber(v, "f"+string(c)+"\x00"+string(a))
		return err
	})
	return cursor, err
}
