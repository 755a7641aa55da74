package peersync

import (
	"context"

	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// AnswerRecords is what this node, as a member, sends first to a partner that has
// nothing yet.
func (s *Syncer) AnswerRecords(to name.Council, a name.Agreement) (*wirepb.Batch, *wirepb.Refuse) {
	h := &wirepb.Hello{Version: wirepb.Version, Feed: string(a)}
	if doc, _ := s.o.Agreements.InForce(a, s.o.Now()); doc != nil {
		d := doc.Digest()
		h.AgreementDigest = d[:]
	}
	f, refusal := s.permit(context.Background(), to, h)
	if refusal != nil {
		return nil, refusal
	}
	p, err := f.page(0)
	if err != nil {
		return nil, &wirepb.Refuse{Reason: err.Error()}
	}
	b, err := batchOf(f, p, 0)
	if err != nil {
		return nil, &wirepb.Refuse{Reason: err.Error()}
	}
	return b, nil
}

// JudgeRecords is what this node, as the partner, makes of a batch of a footprint's
// member from the beginning of the log; with seen set, when that is read once more.
func (s *Syncer) JudgeRecords(ctx context.Context, a name.Agreement, by name.Council, b *wirepb.Batch, seen bool) (*ledger.Delivery, error) {
	doc, _ := s.o.Agreements.InForce(a, s.o.Now())
	src := &ledger.Source{From: doc.From, Agreement: a}
	if seen {
		var err error
		if src, err = s.o.Ledger.Source(doc.From, a); err != nil {
			return nil, err
		}
		again := *src
		again.Cursor, src = 0, &again
	}
	c, err := s.o.Judge.Under(doc)
	if err != nil {
		return nil, err
	}
	d, err := c.Delivery(ctx, src, pageOf(b, jobKey{council: doc.From, agreement: a}, by))
	if err == nil {
		err = s.gone(ctx, src, by, b, d)
	}
	return d, err
}

// AnswerContribution is what this node, as a member, answers a council outside.
func (s *Syncer) AnswerContribution(ctx context.Context, from name.Council, q *wirepb.Contribution) (*wirepb.ContributionAnswer, error) {
	return s.contribution(ctx, from, q)
}

// JudgeContribution is what this node, outside, makes of a proof that entries stand
// in a footprint's log.
func (s *Syncer) JudgeContribution(fp name.Council, p *wirepb.ContributionAnswer_Proof, entries []tlog.Hash, indexes []uint64) error {
	return s.settledBy(context.Background(), fp, fp, p, entries, indexes)
}

// WithdrawUnnoted withdraws a record from a footprint as a node does that stops
// before it can note what the footprint took, and recalls it as the next start does.
func (s *Syncer) WithdrawUnnoted(ctx context.Context, f *footprint.Footprint, a name.Agreement, rec name.Record) error {
	doc, _ := s.o.Agreements.InForce(a, s.o.Now())
	feed, err := s.o.Ledger.Feed(a, doc.Digest())
	if err != nil {
		return err
	}
	c := s.contributor(jobKey{work: contributing, council: f.Name(), agreement: a, own: f})
	_, jws, err := c.withdrawal(ctx, feed, rec, WithdrawnOver, 0)
	if err != nil {
		return err
	}
	if _, err := c.contribute(ctx, feed, feed.End, []offer{{entry: footprint.Entry{Token: jws}}}); err != nil {
		return err
	}
	if err := c.recall(ctx); err != nil {
		return err
	}
	return c.recall(ctx) // again: nothing is new
}
