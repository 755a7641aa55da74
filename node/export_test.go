package node

import (
	"context"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// Rewind sets the durable cursor of a mapping back to the start, as if the node
// had stopped each time after the records were written and before the cursor was.
func (n *Node) Rewind(ctx context.Context, line name.StandardLine) error {
	return n.mapper.Rewind(ctx, line)
}

// Keep holds an offer back as if the gate had refused it.
func (n *Node) Keep(ctx context.Context, std name.Standard, reference string, offered []byte) error {
	return n.ledger.Hold(ctx, std, []ledger.Held{{Standard: std, Reference: reference, Offered: offered, Problems: []standard.Problem{{Rule: "type", Detail: "was refused once"}}}}, nil)
}

// RunRule erases what is due by a rule, as the running node does once a day.
func (n *Node) RunRule(ctx context.Context, r config.EraseRule) { n.runRule(ctx, r) }

// Unsynced has the node believe that nothing keeps its clock in time.
func (n *Node) Unsynced() { n.clocks.unsynced.Store(true) }

// Purge takes what was replaced out of the files, as the running node does every hour.
func (n *Node) Purge(ctx context.Context) error { return n.ledger.Purge(ctx) }

// LookAtTerms deletes what may be kept no longer, as the running node does every hour.
func (n *Node) LookAtTerms(ctx context.Context) error { return n.terms.Look(ctx) }

// FootprintCovers returns checkpoints of a footprint's log of a size that members have cosigned, and who has not.
func (n *Node) FootprintCovers(ctx context.Context, fp name.Council, size uint64) ([]footprint.Cover, []name.Council, error) {
	return n.replicas.Replica(fp).Covers(ctx, size, true)
}

// Runs returns the node of a council that this one, a machine of it, runs; nil while it
// does not.
func (n *Node) Runs(c name.Council) *Node {
	if r := n.replicas.At(c); r != nil && r.Council() != nil {
		if cn, ok := r.Council().Node().(councilNode); ok {
			return cn.Node
		}
	}
	return nil
}
