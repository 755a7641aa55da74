package disclosure

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Seen says what a partner had of a record of ours at an instant: of what was let out
// before it, the last under each agreement, and whether it was known to be deleted by then.
func (r *Register) Seen(ctx context.Context, in api.SeenRequest) (*api.SeenReply, error) {
	partner, err := name.ParseCouncil(strings.ToLower(in.Partner))
	if err != nil {
		return nil, api.Fail(api.Usage, "stile council list", "%v", err)
	}
	id, err := r.o.Record(in.Record, in.Standard)
	if err != nil {
		return nil, err
	}
	out := &api.SeenReply{Record: id, Partner: partner, At: in.At.UTC(), Under: []api.Seen{}}
	existed := false
	err = r.o.Ledger.View(func(v *ledger.View) error {
		var versions []ledger.Logged
		err := v.Versions(id, func(g ledger.Logged) bool {
			if g.At.Before(in.At) {
				existed = existed || !g.Deleted
				versions = append(versions, g)
			}
			return true
		})
		if errors.Is(err, ledger.ErrNotFound) {
			return api.Fail(api.NotFound, "stile record list", "there is no record %s of ours", id)
		}
		if err != nil {
			return err
		}
		ds, err := r.of(ctx, v, versions)
		for _, d := range ds {
			if d.To != partner || !d.At.Before(in.At) {
				continue
			}
			at := -1
			for i := range out.Under {
				if out.Under[i].Agreement == d.Agreement {
					at = i
				}
			}
			if at < 0 {
				at = len(out.Under)
				out.Under = append(out.Under, api.Seen{})
			}
			out.Under[at].Times++
			if d.Receipt != nil && d.Receipt.Says == "refused" && out.Under[at].Times > 1 {
				continue // what came before stays there
			}
			out.Under[at].Disclosure = d
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range out.Under {
		out.Has = seen(&out.Under[i], in.At) || out.Has
	}
	when := "at that time"
	switch {
	case out.Has:
		out.Answer = fmt.Sprintf("%s %s had this record, or part of it", when, partner)
	case len(out.Under) > 0:
		out.Answer = fmt.Sprintf("%s %s did not have this record any more, or never kept it", when, partner)
	case !existed:
		out.Answer = fmt.Sprintf("%s there was no such record", when)
	default:
		out.Answer = fmt.Sprintf("%s %s did not have this record: nothing of it had been let out to it", when, partner)
	}
	return out, nil
}

// seen says in words how what was let out stood at an instant, and forgets what was said
// of it later. It reports whether the receiver could see it.
func seen(s *api.Seen, at time.Time) bool {
	if s.Receipt != nil && !s.Receipt.At.Before(at) {
		s.Receipt = nil
	}
	if w := s.Withdrawal; w != nil {
		if w.Deleted != nil && !w.Deleted.Before(at) {
			later := *w
			later.Deleted = nil
			s.Withdrawal = &later
		}
		if w = s.Withdrawal; !w.At.IsZero() && !w.At.Before(at) || w.At.IsZero() && w.Deleted == nil {
			s.Withdrawal = nil
		}
	}
	switch {
	case s.Way == api.LetAnswer:
		s.State = "it had asked and was told; it keeps nothing"
	case s.Withdrawal != nil && s.Withdrawal.Deleted != nil:
		s.State = "it had signed that it deleted it: " + s.Withdrawal.Reason
	case s.Receipt != nil && s.Receipt.Says == "refused":
		s.State = "it had refused it"
	case s.Withdrawal != nil:
		s.Had, s.State = true, "it had been told to delete it ("+s.Withdrawal.Reason+"), and had not said that it did"
	case s.Receipt == nil:
		s.Had, s.State = true, "it had been sent, and the receiver had not signed for it yet"
	default:
		s.Had, s.State = true, "the receiver had signed for it"
	}
	return s.Had
}
