package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node/name"
)

// renewAgreement says for us that an agreement was reviewed and goes on in the same words
// until a later date of review. It counts once every party has said so; a footprint has
// once a majority of its members names the same day.
func (n *Node) renewAgreement(ctx context.Context, in AgreementRequest) (*AgreementReply, error) {
	to, err := agreement.ParseDate(in.Review)
	if err != nil {
		return nil, fail(Usage, "--review 2028-12-01", "the new date of review: %v", err)
	}
	stands := func(st agreement.Status) bool { return st.InForce() || st.Phase == agreement.Suspended }
	st, err := n.version(in, stands)
	if err != nil {
		return nil, err
	}
	a := st.Agreement
	if !stands(st) {
		return nil, fail(Conflict, "stile agreement show "+string(a.Name), "version %d of %s cannot be renewed: %s", a.Version, a.Name, st.Why)
	}
	footprints, err := n.replicas.Parties(a)
	if err != nil {
		return nil, err
	}
	self := n.cfg.Council
	switch {
	case !a.Party(self) && len(footprints) == 0:
		return nil, fail(Refused, "", "%s is not a party to %s", self, a.Name)
	case !to.Time().After(n.now()):
		return nil, fail(Usage, "name a later day", "the new date of review, %s, has passed", to)
	case to <= st.Review:
		return nil, fail(Conflict, "name a later day", "the date of review is %s already", st.Review)
	case a.Ends != "" && to > a.Ends:
		return nil, fail(Refused, "a new version has a later end: stile agreement draft", "%s ends on %s", a.Name, a.Ends)
	case slices.ContainsFunc(st.Renewals, func(r agreement.Renewed) bool { return r.By == self && r.Review >= to }):
		return nil, fail(Conflict, "stile agreement show "+string(a.Name), "%s has renewed it to that day, or a later one, already", self)
	}
	others := n.replicas.Addressees(a)
	for _, r := range footprints { // what its members say is counted by each of them
		for _, m := range n.replicas.Members(r.Name()) {
			if m != self && !slices.Contains(others, m) {
				others = append(others, m)
			}
		}
	}
	if first, err := n.agreed(ctx, &in, a, renewalOf(to)); err != nil || first != nil {
		return first, err
	}
	if err := n.book.Renew(ctx, agreement.Renewal{Ref: a.Ref(), Review: to, By: in.By}, a.Party(self), others); err != nil {
		if errors.Is(err, agreement.ErrConflict) || errors.Is(err, agreement.ErrTooMany) {
			return nil, fail(Refused, "", "%v", err)
		}
		return nil, err
	}
	if err := n.people.approvals.Drop(a.Name, renewalOf(to)); err != nil {
		return nil, err
	}
	n.book.Stir()
	return n.agreementReply(a.Name, a.Version, false)
}

// renewals returns what each party said last of the date of review.
func renewals(st agreement.Status) (out []RenewalReply) {
	for _, r := range st.Renewals {
		out = append(out, RenewalReply{By: r.By, Review: string(r.Review), At: r.At})
	}
	return out
}

// senders returns who is told of what we delete of the log of a council or a footprint.
func (n *Node) senders(from name.Council) []name.Council {
	if !n.replicas.Is(from) {
		return []name.Council{from}
	}
	return slices.DeleteFunc(slices.Clone(n.replicas.Members(from)), func(c name.Council) bool { return c == n.cfg.Council })
}

// partnerClocks returns how far the clocks of partners are ahead of ours; none while the node
// does not run.
func (n *Node) partnerClocks() map[name.Council]time.Duration {
	if s := n.exchange(); s != nil {
		return s.Clocks()
	}
	return nil
}
