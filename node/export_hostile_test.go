package node

import "github.com/stile-exchange/stile/internal/quota"

// Quota keeps what other councils have used of their shares.
func (n *Node) Quota() *quota.Keeper { return n.quota }

// Held is how many records of others are here.
func (n *Node) Held() (records int) {
	for _, src := range n.ledger.Sources() {
		records += src.Records
	}
	return records
}
