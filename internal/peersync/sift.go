package peersync

import (
	"context"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// Anybody in the directory may address events to us: a first proposal comes from a
// council with whom nothing is agreed. So what is fetched of a council's notices, and
// what is kept of them, is bounded by its shares (package quota), and of agreements
// nothing is kept that is not ours.

// ruleOrder refuses an order to erase what its sender did not hand over, among the notices:
// what is copied it takes back in the feed of the agreement.
const ruleOrder = "order to erase what was not handed over"

// ruleProposals refuses a proposal beyond those that wait for our signature.
const ruleProposals = "proposals-waiting"

// roomFor says why no more is copied of a source now, from whom; nil while there is room.
func (s *Syncer) roomFor(k jobKey, by name.Council) error {
	if err := s.o.Quota.Room(by, quota.Pages); err != nil {
		return err
	}
	if k.agreement != "" {
		return nil
	}
	for _, of := range []quota.Kind{quota.Notices, quota.Cases} {
		if err := s.o.Quota.Room(k.council, of); err != nil {
			return err
		}
	}
	return s.o.Quota.Room(k.council, quota.Kept)
}

// receiveInTurn is receive, once the sender's turn has come.
func (s *Syncer) receiveInTurn(ctx context.Context, c *judge.Case, p *job, by name.Council, b *wirepb.Batch) (*wirepb.Ack, *ledger.Delivery, error) {
	done, err := s.o.Quota.Turn(ctx, by)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	s.o.Quota.Use(by, quota.Pages, 1)
	return s.receive(ctx, c, p, by, b)
}

// sift takes out of a delivery of notices what is about others, which is counted and
// nothing else, the proposals beyond what a council may have waiting here, and the orders to
// erase what it never handed over.
func (s *Syncer) sift(k jobKey, d *ledger.Delivery) {
	if k.agreement != "" {
		return
	}
	waiting := -1 // not asked yet
	over := map[name.Agreement]bool{}
	kept := d.Events[:0]
	for _, it := range d.Events {
		_, ev, err := record.ParseEvent(it.Token)
		if err != nil || !s.o.Agreements.Concerns(ev) {
			s.o.Quota.Refuse(k.council, quota.Others, 1)
			continue
		}
		if ev.Kind == event.KindAgreementEnd {
			if ref, ok := agreement.RefOf(ev.Kind, ev.Body); ok {
				over[ref.Agreement] = true // as we are about to hear
			}
		}
		if ev.Kind == event.KindErasureOrder {
			under, may, live, err := s.o.Ledger.MayOrder(k.council, it.Token)
			if err == nil && (!may || live && !over[under] && s.stands(under)) {
				d.Refused = append(d.Refused, ledger.Refusal{From: k.council, Agreement: under, Index: it.Index, Rule: ruleOrder, At: s.o.Now().UTC()})
				continue
			}
		}
		if ev.Kind == event.KindAgreementProposal && s.o.Quota != nil {
			if waiting < 0 {
				waiting = s.o.Agreements.Waiting(k.council, s.o.Now())
			}
			if waiting >= s.o.Quota.Most(k.council, quota.Proposals) {
				s.o.Quota.Refuse(k.council, quota.Proposals, 1)
				d.Refused = append(d.Refused, ledger.Refusal{From: k.council, Index: it.Index, Rule: ruleProposals, At: s.o.Now().UTC()})
				continue
			}
			waiting++
		}
		if event.BeginsCase(ev.Kind) {
			s.o.Quota.Use(k.council, quota.Cases, 1)
		}
		kept = append(kept, it)
	}
	clear(d.Events[len(kept):])
	d.Events = kept
}

// stands reports whether an agreement is not over: records come under it, or would.
func (s *Syncer) stands(a name.Agreement) bool {
	now := s.o.Now()
	doc, _ := s.o.Agreements.InForce(a, now)
	return doc != nil || s.o.Agreements.Suspended(a, now) != nil
}
