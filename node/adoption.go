package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/measure"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// maxStatements bounds what one council's statements may cost those who read
// them: twenty standards, weekly, for fifty years.
const maxStatements = 52_000

// adoption gathers the statements that members sent, and our own. Who signed
// each, and that it is what was signed, was checked when it came; what it says
// is the council's word.
func (n *Node) adoption(ctx context.Context, in AdoptionRequest) (*Adoption, error) {
	if in.At.IsZero() {
		in.At = n.now()
	}
	var given []measure.Given
	var refused []api.RefusedStatement
	from := map[name.Council]int{}
	take := func(g measure.Given, version name.Version, body map[string]any) {
		if from[g.Issuer]++; from[g.Issuer] > maxStatements {
			if from[g.Issuer] == maxStatements+1 {
				refused = append(refused, g.Refused(fmt.Sprintf("it and those after it are more than the %d that one council may have", maxStatements)))
			}
			return
		}
		if version.Major != 1 {
			refused = append(refused, g.Refused("it is in a later form of statement than this program reads"))
			return
		}
		g, err := measure.Read(g, body)
		if err != nil {
			refused = append(refused, g.Refused(err.Error()))
			return
		}
		given = append(given, g)
	}
	err := n.ledger.View(func(v *ledger.View) error {
		err := v.Scan(measure.Standard, 0, func(ver *ledger.Version, err error) bool {
			if err == nil {
				c := ver.Claims
				take(measure.Given{Issuer: c.Council, Record: c.Record, Index: ver.Index, IssuedAt: time.Unix(c.IssuedAt, 0).UTC()}, c.Standard.Version, ver.Body)
			}
			return ctx.Err() == nil
		})
		if err != nil {
			return err
		}
		for _, src := range n.ledger.Sources() {
			if src.Agreement == "" || src.Records == 0 {
				continue
			}
			if st, ok := n.book.Status(src.Agreement, n.now()); ok && st.Agreement.Standard.Name != measure.Standard {
				continue
			}
			err := v.Holdings(src, 0, func(h *ledger.Holding, err error) bool {
				if err == nil && h.View.Standard.Name == measure.Standard {
					c := h.View
					take(measure.Given{Issuer: c.Council, Record: c.Record, Index: h.Index, IssuedAt: time.Unix(c.IssuedAt, 0).UTC()}, c.Standard.Version, c.Body)
				}
				return ctx.Err() == nil
			})
			if err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	var want func(name.Standard) bool
	if in.Standard != "" {
		want = func(s name.Standard) bool {
			return slices.Contains([]string{s.String(), s.Line().String(), string(s.Name), s.Name.Slug()}, in.Standard)
		}
		if !slices.ContainsFunc(given, func(g measure.Given) bool { return want(g.Statement.Standard) }) {
			return nil, fail(NotFound, "stile standard adoption", "no statement about a standard named %q is held here", in.Standard)
		}
	}
	var members []measure.Member
	for _, m := range n.directory.Members() {
		there := !m.ValidFrom.After(in.At) && (m.Ended.IsZero() || m.Ended.After(in.At))
		members = append(members, measure.Member{Council: m.Council, Title: m.Title, GSS: m.GSS, Counts: there && m.Role == directory.RoleCouncil})
	}
	out := measure.Adopt(given, members, in.At, want)
	out.Refused = append(out.Refused, refused...)
	return out, nil
}

// keepMeasuring makes statements as often as the configuration says, from the
// newest that there is, until ctx ends.
func (n *Node) keepMeasuring(ctx context.Context) {
	every := time.Duration(n.cfg.MeasureEvery) * time.Hour
	if every <= 0 {
		return
	}
	last, err := n.lastStatement()
	if err != nil {
		n.log.Error("look for the newest statement", "error", err.Error())
		last = n.now()
	}
	for ctx.Err() == nil {
		now := n.now()
		if wait := last.Add(every).Sub(now); wait > 0 {
			// An hour at most, so that a clock that was set is noticed.
			t := time.NewTimer(min(wait, time.Hour))
			select {
			case <-ctx.Done():
			case <-t.C:
			}
			t.Stop()
			continue
		}
		last = now
		r, err := n.measure(ctx, MeasureRequest{Publish: true})
		switch {
		case ctx.Err() != nil:
		case err != nil:
			n.log.Warn("no compliance statement was made", "because", err.Error())
		case len(r.Statements) > 0:
			n.log.Info("compliance statements made", "standards", len(r.Statements))
		}
	}
}

// lastStatement returns when our newest statement was issued, or when the log
// began if there is none: a node makes its first one when it is old enough to
// have something to say.
func (n *Node) lastStatement() (last time.Time, err error) {
	err = n.ledger.View(func(v *ledger.View) error {
		err := v.Scan(measure.Standard, 0, func(ver *ledger.Version, err error) bool {
			if err == nil {
				last = time.Unix(ver.Claims.IssuedAt, 0)
			}
			return true
		})
		if err != nil || !last.IsZero() {
			return err
		}
		last = n.now()
		if ev, _, err := v.Event(0); err == nil {
			last = time.Unix(ev.IssuedAt, 0)
		}
		return nil
	})
	return last, err
}
