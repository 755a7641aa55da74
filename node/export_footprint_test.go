package node

import (
	"context"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// RecordsTo is what this node, as a member, sends first to a partner that has
// nothing yet.
func (n *Node) RecordsTo(to name.Council, a name.Agreement) (*wirepb.Batch, *wirepb.Refuse) {
	return n.exchange().AnswerRecords(to, a)
}

// Judge is what this node, as the partner, makes of a batch of a member from the
// beginning of the log; with seen set, when that is read once more.
func (n *Node) Judge(ctx context.Context, a name.Agreement, by name.Council, b *wirepb.Batch, seen bool) (*ledger.Delivery, error) {
	return n.exchange().JudgeRecords(ctx, a, by, b, seen)
}

// Watched is where the node serves its figures, once they have been counted anew.
func (n *Node) Watched(ctx context.Context) (string, error) {
	return "http://" + n.metrics.Address(), n.metrics.Count(ctx)
}

// WithdrawUnnoted withdraws a record from a footprint as a node does that stops
// before it can note what the footprint took, and recalls it as the next start does.
func (n *Node) WithdrawUnnoted(ctx context.Context, fp name.Council, a name.Agreement, rec name.Record) error {
	return n.exchange().WithdrawUnnoted(ctx, n.replicas.Replica(fp), a, rec)
}

// Contribution is what this node, as a member, answers a council outside.
func (n *Node) Contribution(ctx context.Context, from name.Council, q *wirepb.Contribution) (*wirepb.ContributionAnswer, error) {
	return n.exchange().AnswerContribution(ctx, from, q)
}

// JudgeProof is what this node, outside, makes of a proof that entries stand in a
// footprint's log.
func (n *Node) JudgeProof(fp name.Council, p *wirepb.ContributionAnswer_Proof, entries []tlog.Hash, indexes []uint64) error {
	return n.exchange().JudgeContribution(fp, p, entries, indexes)
}

// OtherKeys gives a council, in this node's view of the directory, other record
// keys than it signs with, as when the edition with a new key is not here yet, until
// undo is called.
func (n *Node) OtherKeys(c name.Council) (undo func() error, err error) {
	ring, err := keys.Generate(c)
	if err != nil {
		return nil, err
	}
	was, ms := n.directory.Members(), n.directory.Members()
	for i := range ms {
		if ms[i].Council == c {
			ms[i].RecordKeys = directory.FromRing(c, ring).RecordKeys
		}
	}
	return func() error { return n.directory.Replace(was, nil) }, n.directory.Replace(ms, nil)
}
