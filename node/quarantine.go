package node

import (
	"context"
	"errors"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// What we know of another council's log is one state, and when it tells two
// histories all exchange with it stops until a person ends that: see
// ledger.KnownLog and docs/quarantine.md.

// prove returns what asks a member for a proof about a log.
func (n *Node) prove(log, member name.Council) ledger.Prover {
	return func(ctx context.Context, first, second uint64) ([]tlog.Hash, error) {
		n.mu.Lock()
		net := n.net
		n.mu.Unlock()
		if net == nil {
			return nil, errors.New("the node is not running")
		}
		return peersync.Prove(net, n.now, log, member)(ctx, first, second)
	}
}
