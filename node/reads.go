package node

import (
	"cmp"
	"context"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
)

// logRead logs that a person is about to be shown personal data.
func (n *Node) logRead(ctx context.Context, in ReadRequest) (*Empty, error) {
	cut := func(s string, most int) string {
		for i := range s {
			if i > most-4 {
				return s[:i]
			}
		}
		return s
	}
	p := event.PersonRead{Person: in.Person, What: in.What, Of: cut(in.Of, 512), Purpose: cut(in.Purpose, 300)}
	if p.Person == "" || len(p.Person) > 256 || p.What == "" || len(p.What) > 64 || p.Purpose == "" {
		return nil, fail(Usage, "say who reads, what, and what for", "who reads personal data, what, and what for must be said")
	}
	_, _, err := n.ledger.AppendNotice(ctx, event.KindPersonRead, p.Body())
	return &Empty{}, err
}

// listReads lists who was shown personal data, the newest first.
func (n *Node) listReads(ctx context.Context, in ReadsRequest) ([]ReadReply, error) {
	most, looked, out := min(cmp.Or(in.Limit, 100), 1000), 0, []ReadReply{}
	var failed error
	err := n.ledger.View(func(v *ledger.View) error {
		v.EventsBack(event.KindPersonRead, func(at uint64) bool {
			ev, _, err := v.Event(at)
			if err != nil {
				failed = err
				return false
			}
			p, err := event.ParsePersonRead(ev.Body)
			if err != nil {
				failed = err
				return false
			}
			if in.Of == "" || in.Of == p.Of {
				out = append(out, ReadReply{At: time.Unix(ev.IssuedAt, 0).UTC(), Entry: at, Person: p.Person, What: p.What, Of: p.Of, Purpose: p.Purpose})
			}
			looked++
			return len(out) < most && looked < 100_000 && ctx.Err() == nil
		})
		return cmp.Or(failed, ctx.Err())
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
