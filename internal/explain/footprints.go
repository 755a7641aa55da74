package explain

import (
	"fmt"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// intoFootprint says how far what we bring to a footprint has come.
func (x *Explainer) intoFootprint(out *api.PartnerReply, s *peersync.Syncer, f *ledger.Feed, p ledger.Partner) {
	var link peersync.Link
	running := false
	if s != nil {
		link, running = s.Into(out.Council, f.Agreement)
	}
	if x.o.Footprints.Replica(out.Council) == nil && x.gone(out.Council) != "" {
		out.Behind = x.gone(out.Council)
		return
	}
	out.Connected = link.Connected
	switch {
	case !f.Ready:
		out.Behind, out.Moving = matching(f), running
	case link.Problem != "":
		out.Behind = link.Problem
	case p.Cursor >= f.End:
		out.InStep = true
	case !running:
		out.Behind = "this node is not running, or the footprint is not open in it"
	default:
		out.Behind, out.Moving = "records are on their way", true
	}
}

// unconfirmed says of withdrawals from a footprint who has not confirmed them.
func (x *Explainer) unconfirmed(out *api.PartnerReply) {
	_, open := x.o.Confirmations.Of(out.Council, out.Agreement)
	if open.Withdrawals == 0 || !x.o.Footprints.Has(out.Council) {
		return // after discarding it nobody asks any more
	}
	out.Outstanding += open.Withdrawals
	out.OldestHours = max(out.OldestHours, x.o.Now().Sub(open.Oldest).Hours())
	out.Unconfirmed = open.Missing
	if !out.InStep && out.Behind == "" {
		out.Behind = "the agreement is over, and not every member has confirmed what was withdrawn"
	}
}

// outOfFootprint says how far a partner of a footprint outside has come, as far as
// this member knows.
func (x *Explainer) outOfFootprint(f *footprint.Footprint, s *peersync.Syncer, st agreement.Status, c name.Council, connected bool) (api.PartnerReply, error) {
	a := st.Agreement
	var last peersync.Asked
	var counted *api.CountReply
	if s != nil {
		last = s.Asked(f, a.Name, c)
		said, at, err := s.Committed(f, a.Name, c)
		if err != nil {
			return api.PartnerReply{}, err
		}
		if !at.IsZero() {
			counted = &api.CountReply{Size: said.Size, Count: said.Count, Root: said.Root.String(), At: at.UTC()}
		}
	}
	out := api.PartnerReply{
		Council: c, Agreement: a.Name, Direction: "to", Footprint: a.From, Connected: connected,
		Offered: last.Held, Held: last.Held, LastAt: last.At, Counted: counted,
	}
	if !a.Way().Copied {
		out.Mode, out.Behind = string(a.Mode), x.gone(c)
		out.InStep, out.Asked = out.Behind == "", x.askedToday(st.Digest, c)
		if st.Phase == agreement.Suspended {
			out.InStep, out.Suspended, out.Behind = false, true, st.Why
		}
		return out, nil
	}
	cp, _ := f.Checkpoint()
	switch gone := x.gone(c); {
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
	return out, nil
}

// Flows says how far what goes into a footprint has come.
func (x *Explainer) Flows(fp name.Council) (out []api.PartnerReply) {
	all, err := x.Partners(false)
	if err != nil {
		x.o.Log.Error("how far partners are", "error", err.Error())
	}
	for _, p := range all {
		if p.Council == fp {
			out = append(out, p)
		}
	}
	return out
}

// askedToday returns how many questions a partner has asked here today.
func (x *Explainer) askedToday(text agreement.Digest, c name.Council) (asked int) {
	err := x.o.Ledger.View(func(v *ledger.View) (err error) {
		asked, err = v.QuestionsToday(text, c)
		return err
	})
	if err != nil {
		x.o.Log.Error("count questions", "error", err.Error())
	}
	return asked
}
