package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node/name"
)

// countWithin is how long a person waits for receivers that are to have everything first.
const countWithin = time.Minute

// checkpointAgreement counts what an agreement of ours permits and commits to it in our
// log. That is done where a receiver comes to the end, so that it can count the same.
func (n *Node) checkpointAgreement(ctx context.Context, in CountRequest) ([]PartnerReply, error) {
	a, err := name.ParseAgreement(in.Agreement)
	if err != nil {
		return nil, fail(Usage, "stile agreement list", "%v", err)
	}
	st, known := n.book.Status(a, n.now())
	switch {
	case !known:
		return nil, fail(NotFound, "stile agreement list", "no agreement named %s was proposed here", a)
	case st.Agreement.From != n.cfg.Council && n.replicas.Replica(st.Agreement.From) == nil:
		return nil, fail(Refused, "ask them to run: stile agreement checkpoint "+string(a), "what %s permits is counted by %s, in its own log", a, st.Agreement.From)
	case !st.Agreement.Way().Copied:
		return nil, fail(Refused, "stile agreement show "+string(a), "nothing is copied under %s, so there is nothing to count", a)
	case !st.InForce():
		return nil, fail(Conflict, "stile agreement show "+string(a), "%s is not in force: %s", a, st.Why)
	}
	to := n.countable(st.Agreement, in.To)
	if len(to) == 0 {
		return nil, fail(NotFound, "stile agreement show "+string(a), "no council receives under %s that could count the same", a)
	}
	s := n.exchange()
	if s == nil {
		return nil, fail(Behind, "stile serve", "the node is not running, and counts together with the receiver")
	}
	wait, cancel := context.WithTimeout(ctx, countWithin)
	defer cancel()
	failed := make([]error, len(to))
	var wg sync.WaitGroup
	for i, c := range to {
		wg.Go(func() { failed[i] = s.Count(wait, c, a) })
	}
	wg.Wait()
	if i := slices.IndexFunc(failed, func(err error) bool { return err != nil }); i >= 0 {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if st.Agreement.From != n.cfg.Council {
			return nil, n.notCounted(st.Agreement, to[i], failed[i])
		}
		return nil, fail(Unreachable, "stile status says why; it is counted as soon as "+string(to[i])+" has everything", "%s has not come to the end of what %s permits", to[i], a)
	}
	of := name.Council("") // whose records they are, if not ours
	if st.Agreement.From != n.cfg.Council {
		of = st.Agreement.From
	}
	partners, err := n.explain.Partners(false)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(partners, func(p PartnerReply) bool {
		return p.Agreement != a || p.Direction != "to" || p.Footprint != of || !slices.Contains(to, p.Council)
	}), nil
}

// countable returns the receivers of an agreement that can count what they are given: one
// of them, or all that are no footprint.
func (n *Node) countable(a *agreement.Agreement, only name.Council) (out []name.Council) {
	for _, c := range a.To {
		if (only == "" || c == only) && !n.replicas.Is(c) {
			out = append(out, c)
		}
	}
	return out
}

// notCounted says why what a footprint's agreement permits a receiver was not counted here.
func (n *Node) notCounted(a *agreement.Agreement, to name.Council, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fail(Unreachable, "the same at another member; here it is counted as soon as "+string(to)+" asks this one and has everything, while nothing new comes",
			"%s has not asked this member of %s to the end of what %s permits", to, a.From, a.Name)
	}
	return fail(Refused, "stile agreement show "+string(a.Name), "what %s permits %s cannot be counted: %v", a.Name, to, err)
}
