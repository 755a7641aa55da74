package peersync

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// verifyChunk is how many holdings are verified between two marks.
const verifyChunk = 2000

// verifyLag is how many of the sender's entries a bulk copy may run ahead of
// the checking of signatures. Checking one costs as much as all the rest of
// copying it, so a copy that is behind catches up first.
const verifyLag = 200_000

// verifyBehind checks the own signature of every holding that came in a large
// batch, in the sender's log order, and marks how far it is. Until then a
// holding stands on the sender's signed log alone.
func (s *Syncer) verifyBehind(ctx context.Context) {
	for ctx.Err() == nil {
		changed := s.o.Ledger.Changed()
		busy := false
		var later <-chan time.Time
		for _, src := range s.o.Ledger.Sources() {
			if src.Agreement == "" || src.Verified >= src.Cursor {
				continue
			}
			if src.Cursor-src.Verified < verifyLag && s.catchingUp(src) {
				later = time.After(catchUpPause)
				continue
			}
			if err := s.verifySome(ctx, src); errors.Is(err, judge.ErrWait) {
				later = time.After(catchUpPause)
				continue
			} else if err != nil {
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
		case <-s.caughtUp:
		case <-later:
		}
	}
}

// catchUpPause is after how long without a batch a copy no longer counts as
// catching up: that it has not come to the end is the sender's word alone.
const catchUpPause = 10 * time.Second

// catchingUp reports whether a copy is on its way that has not come to the end
// of what there is.
func (s *Syncer) catchingUp(src *ledger.Source) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, j := range s.jobs {
		if k.work == copying && k.council == src.From && k.agreement == src.Agreement {
			return j.connected && !j.live && s.o.Now().Sub(src.LastAt) < catchUpPause
		}
	}
	return false
}

func (s *Syncer) verifySome(ctx context.Context, src *ledger.Source) error {
	var chunk []ledger.Kept
	upTo := src.Cursor
	err := s.o.Ledger.View(func(v *ledger.View) error {
		return v.Kept(src, src.Verified, func(k ledger.Kept, err error) bool {
			if len(chunk) == verifyChunk {
				upTo = k.Index
				return false
			}
			if err == nil { // else withdrawn, and about to leave the index
				chunk = append(chunk, k)
			}
			return true
		})
	})
	if err != nil {
		return err
	}
	rules, errs := make([]string, len(chunk)), make([]error, len(chunk))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range parallel() {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(chunk) {
					return
				}
				t, err := chunk[i].Token()
				if err != nil {
					// Damaged on our own disk: not the sender's doing, and shown
					// when it is read.
					s.o.Log.Error("holding is damaged", "from", src.From, "error", err.Error())
					continue
				}
				rules[i], errs[i] = s.o.Judge.Signed(src.From, t, chunk[i].Index)
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	var refusals []ledger.Refusal
	var gone []name.Record
	for i, rule := range rules {
		if rule != "" {
			h := chunk[i]
			refusals = append(refusals, ledger.Refusal{From: src.From, Agreement: src.Agreement, Index: h.Index, Rule: rule, At: s.o.Now().UTC()})
			gone = append(gone, h.Record)
		}
	}
	return s.o.Ledger.MarkVerified(ctx, src, upTo, refusals, gone)
}
