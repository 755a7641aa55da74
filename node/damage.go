package node

import "github.com/stile-exchange/stile/internal/ledger"

// damaged says what of the store is damaged and not served; nil for nothing.
func (n *Node) damaged() *DamageReply {
	d := n.ledger.Damaged()
	if d == nil {
		return nil
	}
	out := &DamageReply{Since: d.Since, Text: d.Sentence(), Files: d.Files, Tree: d.Tree, Notes: d.Notes}
	out.Entries = each(d.Entries, func(e ledger.DamagedEntry) DamagedEntry {
		return DamagedEntry{Entry: e.Index, Record: e.Record, Lacks: e.Lacks}
	})
	out.Holdings = each(d.Holdings, func(h ledger.DamagedHolding) DamagedHolding {
		return DamagedHolding{From: h.From, Agreement: h.Agreement, Entry: h.Index, Record: h.Record}
	})
	out.Missing = each(d.Missing, func(m ledger.MissingHoldings) MissingHoldings { return MissingHoldings(m) })
	return out
}
