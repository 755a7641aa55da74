package node

import (
	"context"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/disclosure"
	"github.com/stile-exchange/stile/node/name"
)

// Disclosures are what the log says of who was let have what.
type Disclosures struct{ to Operations }

// Disclosures returns the operations on disclosures.
func (o Operations) Disclosures() Disclosures { return Disclosures{o} }

// List lists what was let out, the oldest first, a page at a time: of one record, of the
// records about a person, to a council, under an agreement, or in a time.
func (d Disclosures) List(ctx context.Context, in DisclosureRequest) (DisclosureReply, error) {
	return do(ctx, d.to, (*disclosure.Register).List, in)
}

// openRegister makes the room that answers.
func (n *Node) openRegister() *disclosure.Register {
	return disclosure.New(disclosure.Options{
		Self: n.cfg.Council, Ledger: n.ledger, Member: n.directory.Member, Footprint: n.replicas.Is, Record: n.recordID,
		Reference: n.reference, Bundles: n.bundles, Now: n.now,
		Texts:    func(a name.Agreement) []agreement.Status { return n.book.Texts(a, n.now()) },
		Standing: func() []agreement.Status { return n.book.Standing(n.now()) },
	})
}
