package node

import (
	"fmt"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/internal/replicas"
	"github.com/stile-exchange/stile/node/name"
)

// intoFootprint says how far what we bring to a footprint has come.
func (n *Node) intoFootprint(out *PartnerReply, s *peersync.Syncer, f *ledger.Feed, p ledger.Partner) {
	var link peersync.Link
	running := false
	if s != nil {
		link, running = s.Into(out.Council, f.Agreement)
	}
	if n.replicas.Replica(out.Council) == nil && n.gone(out.Council) != "" {
		out.Behind = n.gone(out.Council)
		return
	}
	out.Connected = link.Connected
	switch {
	case !f.Ready:
		out.Behind = matching(f)
	case link.Problem != "":
		out.Behind = link.Problem
	case p.Cursor >= f.End:
		out.InStep = true
	case !running:
		out.Behind = "this node is not running, or the footprint is not open in it"
	default:
		out.Behind = "records are on their way"
	}
}

// unconfirmed says of withdrawals from a footprint who has not confirmed them.
func (n *Node) unconfirmed(out *PartnerReply) {
	_, open := n.confirmations.Of(out.Council, out.Agreement)
	if open.Withdrawals == 0 || !n.replicas.Has(out.Council) {
		return // after discarding it nobody asks any more
	}
	out.Outstanding += open.Withdrawals
	out.OldestHours = max(out.OldestHours, n.now().Sub(open.Oldest).Hours())
	out.Unconfirmed = open.Missing
	if !out.InStep && out.Behind == "" {
		out.Behind = "the agreement is over, and not every member has confirmed what was withdrawn"
	}
}

// outOfFootprint says how far a partner of a footprint outside has come, as far as
// this member knows.
func (n *Node) outOfFootprint(r *replicas.Replica, s *peersync.Syncer, st agreement.Status, c name.Council, connected bool) PartnerReply {
	a := st.Agreement
	var last peersync.Asked
	if s != nil {
		last = s.Asked(r.Footprint(), a.Name, c)
	}
	out := PartnerReply{
		Council: c, Agreement: a.Name, Direction: "to", Through: r.Name(), Connected: connected,
		Offered: last.Held, Held: last.Held, LastAt: last.At,
	}
	if !a.Way().Copied {
		out.Mode, out.Behind = string(a.Mode), n.gone(c)
		out.InStep, out.Asked = out.Behind == "", n.askedToday(st.Digest, c)
		if st.Phase == agreement.Suspended {
			out.InStep, out.Suspended, out.Behind = false, true, st.Why
		}
		return out
	}
	cp, _ := r.Footprint().Checkpoint()
	switch gone := n.gone(c); {
	case st.Phase == agreement.Suspended:
		out.Suspended, out.Behind = true, st.Why
	case gone != "":
		out.Behind = gone
	case last.At.IsZero():
		out.Behind = "it has not asked this member since the node started; it may ask the others"
	case last.Cursor >= cp.Size:
		out.InStep = true
	default:
		out.Behind = fmt.Sprintf("it last asked this member %s; it may ask the others", last.At.Format(time.DateTime+" MST"))
	}
	if !out.InStep {
		out.BehindEntries = cp.Size - min(cp.Size, last.Cursor)
	}
	return out
}

// flows says how far what goes into a footprint has come.
func (n *Node) flows(fp name.Council) (out []PartnerReply) {
	all, err := n.partners(false)
	if err != nil {
		n.log.Error("how far partners are", "error", err.Error())
	}
	for _, p := range all {
		if p.Council == fp {
			out = append(out, p)
		}
	}
	return out
}
