package node

import (
	"context"

	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/node/name"
)

// Quota keeps what other councils have used of their shares.
func (n *Node) Quota() *quota.Keeper { return n.quota }

// Say logs an event of any kind, addressed to a council.
func (n *Node) Say(ctx context.Context, kind string, body map[string]any, to name.Council) error {
	_, _, err := n.ledger.AppendNotice(ctx, kind, body, to)
	return err
}

// Held is how many records of others are here.
func (n *Node) Held() (records int) {
	for _, src := range n.ledger.Sources() {
		records += src.Records
	}
	return records
}
