package peersync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// acknowledgeAll reads the receiver's answers until the stream ends or one does
// not hold: first the receipts that it repeats, of batches before those that its hello
// asks for, then its answers to the pages sent, in their order.
func (s *Syncer) acknowledgeAll(ctx context.Context, to name.Council, f feed, h *wirepb.Hello, st wire.Stream, in *wirepb.Reader, under *underWay) error {
	for late := 0; ; {
		frame, err := in.Read()
		if err != nil {
			return err
		}
		if frame.GetRefuse().GetCode() == codeFull {
			s.heardFull(to, true)
			return errors.New("its disk is nearly full")
		}
		if a := frame.GetAck(); late < maxLate && repeated(h, a.GetReceipt()) {
			late++
			if err := s.acknowledgeLate(ctx, to, f, a); err != nil {
				return err
			}
			continue
		}
		late = maxLate
		page := under.acknowledged()
		if page == nil {
			return fmt.Errorf("acknowledgement: %w: of nothing that was sent", judge.ErrLied)
		}
		if err := s.acknowledge(ctx, to, f, page, frame.GetAck()); err != nil {
			return err
		}
		if len(under.pages) == 0 {
			st.SetDeadline(time.Time{})
		}
	}
}

// repeated reports whether a receipt is for a batch before those that a hello asks for: of
// the copy, of what went ahead of it, or of withdrawals alone.
func repeated(h *wirepb.Hello, jws []byte) bool {
	if len(jws) == 0 || len(jws) > event.MaxSigned {
		return false
	}
	_, ev, err := record.ParseEvent(jws)
	if err != nil {
		return false
	}
	r, err := event.ParseReceipt(ev.Body)
	return err == nil && before(h, r)
}

func before(h *wirepb.Hello, r *event.Receipt) bool {
	switch from := h.GetAheadFrom(); {
	case r.Suspended:
		return r.Cursor <= max(h.GetCursor(), h.GetWithdrawn())
	case from > 0 && r.Since >= from:
		return r.Cursor <= h.GetAheadTo()
	}
	return r.Cursor <= h.GetCursor()
}

// acknowledge checks and keeps what a receiver answered to a page.
func (s *Syncer) acknowledge(ctx context.Context, to name.Council, f feed, page *page, a *wirepb.Ack) error {
	if a == nil {
		return errors.New("answer is not an acknowledgement")
	}
	m, ok := s.o.Directory.Member(to)
	if !ok {
		return fmt.Errorf("%s has left the directory", to)
	}
	of := f.of()
	ack := ledger.Ack{Since: page.Since, Cursor: a.GetCursor(), Held: int(min(a.GetHeld(), 1<<40)), Suspended: page.Suspended, Ahead: page.ahead, AheadFrom: page.aheadFrom}
	if ack.Cursor != page.Cursor {
		return fmt.Errorf("acknowledgement: %w: cursor %d, sent %d", judge.ErrLied, ack.Cursor, page.Cursor)
	}
	if len(a.GetReceipt()) > 0 {
		r, err := s.receipt(m, of, a)
		if err != nil {
			return err
		}
		if err := answers(r, page, of.agreement != ""); err != nil {
			return err
		}
		ack.Receipt, ack.Refused = a.GetReceipt(), len(r.Refused)
		if len(r.Refused) > 0 {
			s.o.Log.Warn("a partner refused some of what we sent", "partner", to, "agreement", of.agreement, "items", len(r.Refused))
		}
	} else if of.agreement != "" && slices.ContainsFunc(page.Items, func(it ledger.PageItem) bool { return it.IsRecord() || takesBack(it) }) {
		return fmt.Errorf("acknowledgement: %w: without a receipt", judge.ErrLied)
	}
	// With the receipt, in one transaction; one that does not verify is no reason to
	// forget the receipt.
	var lie error
	if len(a.GetCosignature()) > 0 && of.log == s.o.Self {
		signed, err := cosigned(page, a.GetCosignature(), m)
		if err != nil {
			lie = fmt.Errorf("cosignature: %w: %w", judge.ErrLied, err)
		} else {
			ack.Cosigned = &ledger.Cosigned{Witness: to, Checkpoint: page.Checkpoint, Note: signed}
			s.cosignedNow(to, a.GetCosignature())
		}
	}
	if err := f.acknowledged(ctx, to, ack); err != nil {
		return err
	}
	s.heardFull(to, false)
	s.mu.Lock()
	k := toldKey{to, of.log}
	s.told[k] = max(s.told[k], page.Checkpoint.Size)
	s.mu.Unlock()
	return lie
}

// maxLate is the most receipts that a receiver may repeat.
const maxLate = 8

// acknowledgeLate keeps a receipt for a batch of an earlier stream.
func (s *Syncer) acknowledgeLate(ctx context.Context, to name.Council, f feed, a *wirepb.Ack) error {
	m, ok := s.o.Directory.Member(to)
	if !ok {
		return fmt.Errorf("%s has left the directory", to)
	}
	r, err := s.receipt(m, f.of(), a)
	if err != nil {
		return err
	}
	if r.Cursor != a.GetCursor() || r.Since > r.Cursor || r.Cursor > r.Size {
		return fmt.Errorf("receipt: %w: it is for something else", judge.ErrLied)
	}
	return f.late(ctx, to, r, a.GetReceipt())
}

// receipt reads the receipt in an answer: it must be the receiver's own, signed
// by it, and about this feed.
func (s *Syncer) receipt(m directory.Member, of feedOf, a *wirepb.Ack) (*event.Receipt, error) {
	if len(a.GetReceipt()) > event.MaxSigned {
		return nil, fmt.Errorf("receipt: %w: longer than %d bytes", judge.ErrLied, event.MaxSigned)
	}
	_, ev, rule, err := s.o.Judge.Event(m.Council, a.GetReceipt(), directory.AnyPlace)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	if rule != "" || ev.Kind != event.KindReceipt {
		return nil, fmt.Errorf("receipt: %w: %s", judge.ErrLied, rule)
	}
	r, err := event.ParseReceipt(ev.Body)
	if err != nil || r.Agreement != of.agreement || r.From != of.log {
		return nil, fmt.Errorf("receipt: %w: it is for something else", judge.ErrLied)
	}
	return r, nil
}

// answers reports what is wrong with a receipt as the answer to a page: it
// must be about the page's checkpoint and cursor, name only items of the page,
// and, under an agreement, say of every withdrawal in it that it was carried out or refused.
// An order to erase among the notices is receipted among those of the receiver.
func answers(r *event.Receipt, page *page, agreed bool) error {
	if r.Suspended != page.Suspended || r.Since != page.Since || r.Cursor != page.Cursor || r.Size != page.Checkpoint.Size || r.Root != page.Checkpoint.Root {
		return fmt.Errorf("receipt: %w: it is for something else", judge.ErrLied)
	}
	sent := make(map[uint64]bool, len(page.Items)) // to whether it is a withdrawal not yet answered
	for _, it := range page.Items {
		sent[it.Index] = agreed && takesBack(it)
	}
	for _, g := range page.gone {
		sent[g.GetIndex()] = false // of what was never held there is nothing to say
	}
	for _, list := range [][]uint64{r.Held, r.Deleted, r.RefusedIndexes()} {
		for _, i := range list {
			if _, ok := sent[i]; !ok {
				return fmt.Errorf("receipt: %w: names entry %d, which was not sent", judge.ErrLied, i)
			}
		}
	}
	for _, list := range [][]uint64{r.Deleted, r.RefusedIndexes()} {
		for _, i := range list {
			sent[i] = false
		}
	}
	for i, open := range sent {
		if open {
			return fmt.Errorf("receipt: %w: says nothing of withdrawal %d", judge.ErrLied, i)
		}
	}
	return nil
}

// takesBack reports whether an item is a withdrawal: a record is not, nor what goes before
// records that are passed on.
func takesBack(it ledger.PageItem) bool {
	if it.IsRecord() {
		return false
	}
	_, ev, err := record.ParseEvent(it.Token)
	return err != nil || event.TakesBack(ev.Kind)
}

// cosigned returns the page's checkpoint note with the receiver's cosignature,
// which it verifies.
func cosigned(page *page, line []byte, m directory.Member) ([]byte, error) {
	w, err := m.WitnessVerifier()
	if err != nil {
		return nil, err
	}
	return tlog.AddCosignature(page.Note, line, w)
}
