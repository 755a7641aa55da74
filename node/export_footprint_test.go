package node

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// An Answer is what a member sends to a council outside.
type (
	Answer     = outwardAnswer
	AnswerItem = outwardItem
	AnswerGone = outwardGone
)

// AnswerTo is what this node, as a member, answers a partner that has nothing yet.
func (n *Node) AnswerTo(ctx context.Context, to name.Council, a name.Agreement) (*Answer, error) {
	doc, _ := n.book.InForce(a, n.now())
	return n.outward(ctx, to, outwardAsk{Footprint: doc.From, Agreement: a, Digest: doc.Digest().String()})
}

// Judge is what this node, as the partner, makes of an answer from the beginning
// of the log; with seen set, after the checkpoint it has seen.
func (n *Node) Judge(a name.Agreement, answer []byte, seen bool) (*ledger.Delivery, error) {
	doc, why := n.book.InForce(a, n.now())
	if doc == nil {
		return nil, fail(Refused, "", "%s", why)
	}
	got := &outwardAnswer{}
	if err := json.Unmarshal(answer, got); err != nil {
		return nil, err
	}
	src := &ledger.Source{From: doc.From, Agreement: a, Digest: doc.Digest().String() + "/" + strconv.Itoa(got.Signers)}
	if seen {
		var err error
		if src, err = n.ledger.Source(doc.From, a); err != nil {
			return nil, err
		}
	}
	return n.checkAnswer(src, doc, outwardAsk{Digest: doc.Digest().String()}, got)
}

// Watched is where the node serves its figures, once they have been counted anew.
func (n *Node) Watched(ctx context.Context) (string, error) {
	c, err := n.count()
	if err != nil {
		return "", err
	}
	n.counted.Store(c)
	for _, r := range n.prints.list() {
		r.f.Look(ctx)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return "http://" + n.watched, nil
}

// WithdrawUnnoted withdraws a record from a footprint as a node does that stops
// before it can note what the footprint took, and recalls it as the next start does.
func (n *Node) WithdrawUnnoted(ctx context.Context, fp name.Council, a name.Agreement, rec name.Record) error {
	doc, _ := n.book.InForce(a, n.now())
	f, err := n.ledger.Feed(a, doc.Digest())
	if err != nil {
		return err
	}
	r := n.prints.at(fp)
	_, jws, err := n.withdrawal(ctx, f, rec, WithdrawnOver, 0)
	if err != nil {
		return err
	}
	if _, err := n.contribute(ctx, &r.sink, f, f.End, []offering{{entry: footprint.Entry{Token: jws}}}); err != nil {
		return err
	}
	if err := n.recall(ctx, r); err != nil {
		return err
	}
	return n.recall(ctx, r) // again: nothing is new
}

// What a council outside asks a member to bring records, and is answered.
type (
	InwardAsk    = inwardAsk
	InwardAnswer = inwardAnswer
)

// Inward is what this node, as a member, answers a council outside.
func (n *Node) Inward(ctx context.Context, from name.Council, q InwardAsk) (*InwardAnswer, error) {
	return n.inward(ctx, from, q)
}

// JudgeInward is what this node, outside, makes of a proof that entries stand in a
// footprint's log.
func (n *Node) JudgeInward(fp name.Council, a *InwardAnswer, entries []tlog.Hash, indexes []uint64) error {
	return n.checkInward(fp, *a, entries, indexes)
}
