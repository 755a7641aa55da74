package statement

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

// Adoption gathers the statements that members sent, and our own. Who signed
// each, and that it is what was signed, was checked when it came; what it says
// is the council's word.
func (k *Keeper) Adoption(ctx context.Context, in api.AdoptionRequest) (*api.Adoption, error) {
	if in.At.IsZero() {
		in.At = k.o.Now()
	}
	var given []measure.Given
	var refused []api.RefusedStatement
	from := map[name.Council]int{}
	add := func(g measure.Given, version name.Version, body map[string]any) {
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
	err := k.o.Ledger.View(func(v *ledger.View) error {
		err := v.Scan(measure.Standard, 0, func(ver *ledger.Version, err error) bool {
			if err == nil {
				c := ver.Claims
				add(measure.Given{Issuer: c.Council, Record: c.Record, Index: ver.Index, IssuedAt: time.Unix(c.IssuedAt, 0).UTC()}, c.Standard.Version, ver.Body)
			}
			return ctx.Err() == nil
		})
		if err != nil {
			return err
		}
		for _, src := range k.o.Ledger.Sources() {
			if src.Agreement == "" || src.Records == 0 {
				continue
			}
			if st, ok := k.o.Agreements.Status(src.Agreement, k.o.Now()); ok && st.Agreement.Standard.Name != measure.Standard {
				continue
			}
			err := v.HiddenToo(src, 0, func(h *ledger.Holding, err error) bool {
				if err == nil && h.View.Standard.Name == measure.Standard {
					c := h.View
					add(measure.Given{Issuer: c.Council, Record: c.Record, Index: h.Index, IssuedAt: time.Unix(c.IssuedAt, 0).UTC()}, c.Standard.Version, c.Body)
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
			return nil, api.Fail(api.NotFound, "stile standard adoption", "no statement about a standard named %q is held here", in.Standard)
		}
	}
	var members []measure.Member
	for _, m := range k.o.Directory.Members() {
		there := !m.ValidFrom.After(in.At) && (m.Ended.IsZero() || m.Ended.After(in.At))
		members = append(members, measure.Member{Council: m.Council, Title: m.Title, GSS: m.GSS, Counts: there && m.Role == directory.RoleCouncil})
	}
	out := measure.Adopt(given, members, in.At, want)
	out.Refused = append(out.Refused, refused...)
	return out, nil
}
