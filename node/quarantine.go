package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// What we know of another council's log is one state, and when it tells two
// histories all exchange with it stops until a person ends that: see
// ledger.KnownLog and docs/quarantine.md.

// maxBecause bounds a reason that our log is to hold, in bytes.
const maxBecause = 500

func quarantineReply(c name.Council, q *ledger.Quarantine) QuarantineReply {
	out := QuarantineReply{
		Council: c, Active: q.EndedAt.IsZero(), Since: q.Since, Fault: q.Fault, Reason: q.Reason, MetWith: q.MetWith,
		Proven: q.Fault == event.FaultFork, Entry: q.Entry, EndedAt: q.EndedAt, Because: q.Because, Follow: q.Follow, EndEntry: q.EndEntry,
	}
	if cp, err := tlog.ParseUnsigned(q.Held, c.Origin()); err == nil {
		out.HeldSize, out.HeldRoot = cp.Size, cp.Root.String()
	}
	if cp, err := tlog.ParseUnsigned(q.Told, c.Origin()); err == nil {
		out.ToldSize, out.ToldRoot = cp.Size, cp.Root.String()
	}
	return out
}

// stops returns the quarantines that last, and who accuses us.
func (n *Node) stops() (qs []QuarantineReply, as []AccusationReply) {
	for _, k := range n.ledger.KnownLogs() {
		if k.Quarantine != nil {
			qs = append(qs, quarantineReply(k.Council, k.Quarantine))
		}
		if a := k.Accusation; a != nil {
			as = append(as, AccusationReply{Council: k.Council, Since: a.Since, Reason: a.Reason, Proven: a.Proven})
		}
	}
	return qs, as
}

// stopped has the exchange look at whom it may go on with.
func (n *Node) stopped(name.Council) {
	n.mu.Lock()
	s := n.sync
	n.mu.Unlock()
	if s != nil {
		s.Refresh()
	}
}

func (n *Node) listQuarantines(ctx context.Context, _ Empty) ([]QuarantineReply, error) {
	out, _ := n.stops()
	for _, k := range n.ledger.KnownLogs() {
		for _, q := range slices.Backward(k.Ended) {
			out = append(out, quarantineReply(k.Council, &q))
		}
	}
	return append([]QuarantineReply{}, out...), nil
}

// quarantineOf returns the quarantine of a council that lasts, or the last one.
func (n *Node) quarantineOf(typed string) (name.Council, *ledger.Quarantine, error) {
	c, err := name.ParseCouncil(typed)
	if err != nil {
		return "", nil, fail(Usage, "stile council quarantine list", "%v", err)
	}
	k := n.ledger.Known(c)
	switch {
	case k.Quarantine != nil:
		return c, k.Quarantine, nil
	case len(k.Ended) > 0:
		return c, &k.Ended[len(k.Ended)-1], nil
	}
	return c, nil, fail(NotFound, "stile council quarantine list", "exchange with %s was never stopped", c)
}

func (n *Node) exportEvidence(ctx context.Context, in MemberNameRequest) (*EvidenceReply, error) {
	c, q, err := n.quarantineOf(in.Council)
	if err != nil {
		return nil, err
	}
	e := &audit.Evidence{
		Format: audit.EvidenceFormat, Log: c, Fault: q.Fault, Reason: q.Reason, MetWith: q.MetWith,
		FoundBy: n.cfg.Council, Since: q.Since, Held: string(q.Held), Told: string(q.Told), Proof: q.Proof, Keys: []string{},
	}
	witnesses := []name.Council{}
	if n.replicas.Is(c) {
		e.Members = slices.Clone(n.replicas.Members(c))
		witnesses = e.Members
	} else if m, ok := n.directory.Member(c); ok {
		for _, k := range m.LogKeys() {
			e.Keys = append(e.Keys, audit.Key{Council: c, Use: audit.UseLog, ID: k.Key}.String())
		}
	}
	for _, w := range witnesses {
		if m, ok := n.directory.Member(w); ok {
			e.Keys = append(e.Keys, audit.Key{Council: w, Use: audit.UseWitness, ID: m.WitnessKey}.String())
		}
	}
	return &EvidenceReply{Council: c, Evidence: e.Bytes()}, nil
}

func (n *Node) endQuarantine(ctx context.Context, in EndQuarantineRequest) (*QuarantineReply, error) {
	c, q, err := n.quarantineOf(in.Council)
	switch {
	case err != nil:
		return nil, err
	case !q.EndedAt.IsZero():
		return nil, fail(Conflict, "stile council quarantine show "+string(c), "exchange with %s is not stopped: that was ended on %s", c, q.EndedAt.Format(time.DateOnly))
	case in.Follow != event.FollowHeld && in.Follow != event.FollowTold:
		return nil, fail(Usage, "--follow held, when it has put its log right; --follow told, when its log begins anew", "say which of the two histories is followed from here on")
	case in.Because == "" || len(in.Because) > maxBecause:
		return nil, fail(Usage, "--because \"who was asked, and what they said\"", "say in at most %d bytes why exchange may go on: our log keeps it", maxBecause)
	}
	if err := n.ledger.EndQuarantine(ctx, c, in.Follow, in.Because); err != nil {
		if errors.Is(err, ledger.ErrNotFound) {
			err = fail(Conflict, "stile council quarantine list", "somebody has just ended it")
		}
		return nil, err
	}
	n.log.Warn("exchange with a council goes on", "council", c, "follow", in.Follow)
	n.stopped(c)
	ended := n.ledger.Known(c).Ended
	if len(ended) == 0 {
		return nil, fmt.Errorf("internal error: the quarantine of %s left no trace", c)
	}
	out := quarantineReply(c, &ended[len(ended)-1])
	return &out, nil
}

// prove returns what asks a member for a proof about a log.
func (n *Node) prove(log, member name.Council) ledger.Prover {
	return func(ctx context.Context, first, second uint64) ([]tlog.Hash, error) {
		n.mu.Lock()
		net := n.net
		n.mu.Unlock()
		if net == nil {
			return nil, errors.New("the node is not running")
		}
		return peersync.Prove(net, n.now, log, member)(ctx, first, second)
	}
}
