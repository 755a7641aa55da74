package statement

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// Uses notes which records of others were shown, and writes it down a moment later:
// somebody who reads a record does not wait for the disk. What a crash loses is a
// second of it, and the record counts as used when it is next shown. Its methods may
// be called concurrently.
type Uses struct {
	ledger *ledger.Ledger
	log    *slog.Logger

	mu      sync.Mutex // guards what follows
	waiting []usesOf
	count   int
	timer   *time.Timer // nil while nothing waits
	closed  bool
}

// usesOf are holdings of one source that were shown.
type usesOf struct {
	src    *ledger.Source
	fields []name.Field // nil: all
	uses   []ledger.Use
}

// Limits of what waits to be written.
const (
	usesPause = time.Second
	usesLimit = 5000
)

// NewUses returns the uses of a ledger's holdings.
func NewUses(l *ledger.Ledger, log *slog.Logger) *Uses { return &Uses{ledger: l, log: log} }

// Note notes that holdings of a source are being shown, with these of their fields; nil is all.
func (q *Uses) Note(src *ledger.Source, fields []name.Field, hs ...*ledger.Holding) {
	u := usesOf{src: src, fields: fields, uses: make([]ledger.Use, len(hs))}
	for i, h := range hs {
		u.uses[i] = ledger.Use{Record: h.View.Record, Index: h.Index, Standard: h.View.Standard}
	}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return
	}
	q.waiting = append(q.waiting, u)
	q.count += len(hs)
	full := q.count >= usesLimit
	if q.timer == nil {
		q.timer = time.AfterFunc(usesPause, q.Write)
	}
	q.mu.Unlock()
	if full {
		q.Write()
	}
}

// Write writes what waits. Not being able to, on a full disk, must not keep
// anybody from reading: it is logged.
func (q *Uses) Write() {
	q.mu.Lock()
	waiting := q.waiting
	q.waiting, q.count = nil, 0
	if q.timer != nil {
		q.timer.Stop()
		q.timer = nil
	}
	q.mu.Unlock()
	for _, u := range waiting {
		if err := q.ledger.MarkUsed(context.Background(), u.src, u.fields, u.uses...); err != nil && !errors.Is(err, ledger.ErrClosed) {
			q.log.Warn("records shown are not marked as used", "from", u.src.From, "error", err.Error())
		}
	}
}

// Close writes what waits and notes no more.
func (q *Uses) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.Write()
}
