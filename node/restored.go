package node

import (
	"context"
	"fmt"

	"github.com/stile-exchange/stile/internal/backup"
	"github.com/stile-exchange/stile/node/name"
)

// unmark removes the mark of a restored folder, whose log may grow.
func (n *Node) unmark() {
	if n.restored == nil {
		return
	}
	if err := backup.Settled(n.cfg.Data); err != nil {
		n.log.Warn("the mark of a restored folder cannot be removed; at the next start everybody may be asked again", "error", err.Error())
	}
}

// forgot reports whether the folder cannot say who may know our log: it came from a backup, or its store is gone.
// Then every member of the directory is asked.
func (n *Node) forgot() bool { return n.restored != nil || n.ledger.Size() == 0 }

// witnessURLs returns the witnesses of the policy that are asked over HTTP, as those who may
// know our log. Their names need not be those of councils.
func (n *Node) witnessURLs() (out []name.Council) {
	if p := n.publisher; p != nil {
		for _, w := range p.Witnesses() {
			out = append(out, name.Council(w.Name))
		}
	}
	return out
}

// askWitness asks a witness how much of our log it has cosigned, and takes in what it says.
func (n *Node) askWitness(ctx context.Context, c name.Council) error {
	for _, w := range n.publisher.Witnesses() {
		if name.Council(w.Name) != c {
			continue
		}
		size, fork, err := n.publisher.Knows(ctx, w)
		if err != nil {
			return err
		}
		return n.ledger.HeardSize(ctx, c, size, fork)
	}
	return fmt.Errorf("the policy names no witness %q with a URL", c)
}

// heardByWitness takes in that a witness has seen what our key signed and is not in our log: another node uses
// our key. What a member holds it is asked for in the exchange, where it shows what we signed.
func (n *Node) heardByWitness(ctx context.Context, witness string, size uint64, fork bool) {
	c := name.Council(witness)
	if _, member := n.directory.Member(c); member || n.ledger.PassedOver(c) {
		return
	}
	if err := n.ledger.HeardSize(ctx, c, size, fork); err != nil {
		n.log.Error("keep what a witness has seen of our log", "witness", witness, "error", err.Error())
	}
}
