package node

import (
	"context"
	"errors"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// halted says why nothing is signed; nil while the log may grow.
func (n *Node) halted() *HaltReply {
	h := n.ledger.Halted()
	if h == nil || !h.Behind() && h.Tree != "" {
		return nil // or it is damaged, which is told apart
	}
	out := &HaltReply{Reason: h.Reason(), Behind: h.Behind(), Size: h.Size, Newest: h.Newest().Size, Waiting: h.Waiting}
	for _, x := range h.Newer {
		out.Holders = append(out.Holders, x.By)
	}
	for _, x := range h.Elsewhere {
		out.Elsewhere = append(out.Elsewhere, x.By)
	}
	for _, x := range h.Agreed {
		out.Agreed = append(out.Agreed, x.By)
	}
	n.ledger.View(func(v *ledger.View) error { out.Lost = v.CountLost(); return nil })
	return out
}

// maxLostPage is how many lost records one reply has.
const maxLostPage = 500

// listLost lists the records of ours that were lost and given back by who held them.
func (n *Node) listLost(ctx context.Context, in LostRequest) ([]LostReply, error) {
	out := []LostReply{}
	err := n.ledger.View(func(v *ledger.View) error {
		return v.Lost(in.From, func(l ledger.Lost) bool {
			if len(out) >= maxLostPage && out[len(out)-1].Entry != l.Index {
				return false
			}
			r := LostReply{
				Entry: l.Index, Held: l.By, Record: l.View.Record, Version: l.View.Version, Standard: l.View.Standard.String(),
				Deleted: l.View.Body == nil, Withheld: l.View.Withheld,
			}
			if l.View.Body != nil {
				r.Body = strictjson.Canonical(l.View.Body)
			}
			out = append(out, r)
			return true
		})
	})
	return out, err
}

// forgetLost erases what was given back.
func (n *Node) forgetLost(ctx context.Context, _ Empty) (*Empty, error) {
	return &Empty{}, n.ledger.ForgetLost(ctx)
}

// continueLog lets our log go on from what stands here, which it notes.
func (n *Node) continueLog(ctx context.Context, in ContinueRequest) (*ContinueReply, error) {
	if in.Because == "" || len(in.Because) > maxBecause {
		return nil, fail(Usage, "--because \"what was lost, and who decided\"", "say in at most %d bytes why our log goes on: it keeps that", maxBecause)
	}
	entry, err := n.ledger.Continue(ctx, in.Because, in.AcceptRisk, func(c name.Council) bool {
		m, ok := n.directory.Member(c)
		return !ok || !m.ActiveAt(n.now())
	})
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return nil, fail(Conflict, "stile status", "nothing holds our log back: it goes on by itself")
	case errors.Is(err, ledger.ErrHolders):
		return nil, fail(Refused, "bring the newest copy of the folder back; or ask them to let our log begin anew: stile council quarantine end "+string(n.cfg.Council)+" --follow told", "%v", err)
	case errors.Is(err, ledger.ErrElsewhere):
		return nil, fail(Refused, "stop the other node for good, and this one goes on by itself; or take the risk that a second history is signed: --accept-risk", "%v", err)
	case errors.Is(err, ledger.ErrUnsure):
		return nil, fail(Refused, "run stile serve until they answer; or take the risk that a second history is signed: --accept-risk", "%v", err)
	case err != nil:
		return nil, err
	}
	n.log.Warn("our log goes on from what stands here, as a person decided", "entry", entry, "risk", in.AcceptRisk)
	n.changed()
	return &ContinueReply{Entry: entry}, nil
}
