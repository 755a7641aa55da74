package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
)

// A usedQueue keeps which records of others were shown until that is written:
// somebody who reads a record does not wait for the disk. What a crash takes
// with it is a second of it, and the record counts as used when it is next
// shown.
type usedQueue struct {
	mu      sync.Mutex // guards what follows
	waiting []usedOf
	count   int
	timer   *time.Timer // nil while nothing waits
	closed  bool
}

type usedOf struct {
	src  *ledger.Source
	uses []ledger.Use
}

// Limits of what waits to be marked as used.
const (
	usedPause = time.Second
	usedLimit = 5000
)

// used notes that holdings are being shown.
func (n *Node) used(src *ledger.Source, hs ...*ledger.Holding) {
	u := usedOf{src: src, uses: make([]ledger.Use, len(hs))}
	for i, h := range hs {
		u.uses[i] = ledger.Use{Record: h.View.Record, Index: h.Index, Standard: h.View.Standard}
	}
	q := &n.looked
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return
	}
	q.waiting = append(q.waiting, u)
	q.count += len(hs)
	full := q.count >= usedLimit
	if q.timer == nil {
		q.timer = time.AfterFunc(usedPause, n.markUsed)
	}
	q.mu.Unlock()
	if full {
		n.markUsed()
	}
}

// markUsed writes what waits. Not being able to, on a full disk, must not keep
// anybody from reading.
func (n *Node) markUsed() {
	q := &n.looked
	q.mu.Lock()
	waiting := q.waiting
	q.waiting, q.count = nil, 0
	if q.timer != nil {
		q.timer.Stop()
		q.timer = nil
	}
	q.mu.Unlock()
	for _, u := range waiting {
		if err := n.ledger.MarkUsed(context.Background(), u.src, u.uses...); err != nil && !errors.Is(err, ledger.ErrClosed) {
			n.log.Warn("records shown are not marked as used", "from", u.src.From, "error", err.Error())
		}
	}
}

// close writes what waits and takes no more.
func (q *usedQueue) close(n *Node) {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	n.markUsed()
}
