package peersync

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// A record that a footprint's agreement no longer lets through is to be deleted at
// the receiver. What took its place cannot be shown, since it is not let through, so
// that no member can prove it; a member's word for it would let one of them empty the
// copy. It is believed when more than half of the members say the same.

// A goneRecord is whose record is gone, and the entry that took its place.
type goneRecord struct {
	index   uint64
	council name.Council
	record  name.Record
}

func goneOf(b *wirepb.Batch) (out []goneRecord) {
	for _, g := range b.GetGone() {
		out = append(out, goneRecord{g.GetIndex(), name.Council(g.GetCouncil()), name.Record(g.GetRecord())})
	}
	return out
}

// gone adds to a delivery of a member what it says is gone of what is held here, if
// more than half of the members say so. The error wraps judge.ErrWait when not enough
// of them do.
func (s *Syncer) gone(ctx context.Context, src *ledger.Source, by name.Council, b *wirepb.Batch, d *ledger.Delivery) error {
	var claims []goneRecord
	from := src.Cursor
	if b.GetWithdrawals() {
		from = src.WithdrawnTo()
	}
	for _, g := range goneOf(b) {
		if g.index < from || g.index >= d.Checkpoint.Size {
			return fmt.Errorf("batch: %w: entry %d is out of order", judge.ErrLied, g.index)
		}
		last, err := s.o.Ledger.Last(src, g.record)
		if err == nil && last.Held && last.Council == g.council && last.Index < g.index &&
			!slices.ContainsFunc(d.Puts, func(p ledger.Put) bool { return p.Record == g.record }) {
			claims = append(claims, g)
		}
	}
	if len(claims) == 0 {
		return nil
	}
	members := s.o.Footprints.Members(src.From)
	votes := map[goneRecord]int{}
	vote := func(told []goneRecord) (open int) {
		for _, c := range claims {
			if slices.Contains(told, c) {
				votes[c]++
			}
			if votes[c] <= len(members)/2 {
				open++
			}
		}
		return open
	}
	open := vote(claims)
	var errs []error
	for _, m := range members {
		if open == 0 {
			break
		}
		if m == by {
			continue
		}
		told, err := s.goneBy(ctx, src, m)
		errs = append(errs, err)
		open = vote(told)
	}
	if open > 0 {
		return errors.Join(append(errs, fmt.Errorf("%w: more than half of the members have to say that %d records are gone", judge.ErrWait, open))...)
	}
	for _, c := range claims {
		d.Withdrawn = append(d.Withdrawn, ledger.Withdrawal{Index: c.index, Record: c.record})
	}
	return nil
}

// goneBy asks another member for the page that follows a copy's cursor, and returns
// what it says is gone. Nothing else of the page is looked at.
func (s *Syncer) goneBy(ctx context.Context, src *ledger.Source, member name.Council) ([]goneRecord, error) {
	_, hello, err := s.caseOf(ctx, src)
	if err != nil {
		return nil, err
	}
	if hello.GetCursor() != src.Cursor {
		return nil, errOtherText
	}
	st, err := s.o.Network.Open(ctx, member, wirepb.Protocol)
	if err != nil {
		return nil, err
	}
	defer st.Reset()
	st.SetDeadline(s.o.Now().Add(helloWithin))
	if err := wirepb.NewWriter(st).Write(&wirepb.Frame{Kind: &wirepb.Frame_Hello{Hello: hello}}); err != nil {
		return nil, err
	}
	f, err := wirepb.NewReader(st).Read()
	if r := f.GetRefuse(); r != nil {
		return nil, fmt.Errorf("%s: %w", member, &refused{limit(r.GetCode(), 64), limit(r.GetReason(), 300)})
	}
	return goneOf(f.GetBatch()), err
}
