package node

import (
	"context"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/node/name"
)

// quotasName is the file in the data folder with what councils have used of their
// shares.
const quotasName = "quotas.json"

// quotasEvery is how often it is written.
const quotasEvery = 30 * time.Second

// partner reports whether something is agreed with a council: see package quota.
func (n *Node) partner(c name.Council) bool {
	if n.book == nil || n.replicas == nil {
		return true // the node is being opened
	}
	return c == n.cfg.Council || n.book.Signed(c) || slices.Contains(n.replicas.Fellows(), c)
}

// countKept counts what is kept of every council's notices, once at the start.
func (n *Node) countKept() error {
	return n.ledger.View(func(v *ledger.View) error {
		for _, src := range n.ledger.Sources() {
			if src.Agreement != "" {
				continue
			}
			kept := 0
			if err := v.ReceivedEvents(src, func(uint64, []byte) error { kept++; return nil }); err != nil {
				return err
			}
			n.quota.Use(src.From, quota.Kept, kept)
		}
		return nil
	})
}

// saveQuotas writes what councils have used of their shares, until ctx ends.
func (n *Node) saveQuotas(ctx context.Context) {
	t := time.NewTicker(quotasEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := n.quota.Save(); err != nil {
			n.log.Error("write quotas", "error", err.Error())
		}
	}
}
