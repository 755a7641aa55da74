package peersync

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/name"
)

// verifyChunk is how many holdings are verified between two marks.
const verifyChunk = 2000

// verifyBehind checks the own signature of every holding that came in a large
// batch, in the sender's log order, and marks how far it is. Until then a
// holding stands on the sender's signed log alone.
func (s *Syncer) verifyBehind(ctx context.Context) {
	for ctx.Err() == nil {
		changed := s.o.Ledger.Changed()
		busy := false
		for _, src := range s.o.Ledger.Sources() {
			if src.Agreement == "" || src.Verified >= src.Cursor {
				continue
			}
			if err := s.verifySome(ctx, src); err != nil {
				s.o.Log.Error("verify holdings", "from", src.From, "error", err.Error())
				continue
			}
			busy = true
		}
		if busy {
			continue
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

func (s *Syncer) verifySome(ctx context.Context, src *ledger.Source) error {
	m, ok := s.o.Directory.Member(src.From)
	if !ok {
		return errors.New("it is not in the directory")
	}
	var chunk []*ledger.Holding
	upTo := src.Cursor
	err := s.o.Ledger.View(func(v *ledger.View) error {
		return v.Holdings(src, src.Verified, func(h *ledger.Holding, err error) bool {
			if err != nil {
				// Damaged on our own disk: not the sender's doing, and shown
				// when it is read.
				s.o.Log.Error("holding is damaged", "from", src.From, "error", err.Error())
				return true
			}
			if len(chunk) == verifyChunk {
				upTo = h.Index
				return false
			}
			chunk = append(chunk, h)
			return true
		})
	})
	if err != nil {
		return err
	}
	bad := make([]bool, len(chunk))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range parallel() {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(chunk) {
					return
				}
				key, ok := m.RecordKey(chunk[i].Token.KeyID())
				bad[i] = !ok || chunk[i].Token.Verify(key) != nil
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var refusals []ledger.Refusal
	var gone []name.Record
	for i, b := range bad {
		if b {
			h := chunk[i]
			refusals = append(refusals, ledger.Refusal{From: src.From, Agreement: src.Agreement, Index: h.Index, Rule: "signature", At: s.o.Now().UTC()})
			gone = append(gone, h.View.Record)
		}
	}
	return s.o.Ledger.MarkVerified(ctx, src, upTo, refusals, gone)
}
