package mapper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Serve begins to make records of a version from those of an older major, by the
// mapping that it ships, and does a page of the work; or only the latter, where it
// has begun. from is the older major; nil is the only one there is a mapping from.
// Failures are of type *[api.Error].
func (k *Mapper) Serve(ctx context.Context, to *standard.Standard, from *int) (*api.ServeReply, error) {
	line := to.Name().Line()
	major, err := mappingFrom(to, from)
	if err != nil {
		return nil, err
	}
	source := name.StandardLine{Name: to.Name().Name, Major: major}
	served := slices.ContainsFunc(k.o.Ledger.Mapped(), func(m ledger.Mapped) bool {
		return m.Standard == to.Name() && m.From == major && !m.Ending
	})
	if served { // and was checked then; each further page asks here again
		return k.step(ctx, line, to.Name(), source)
	}
	var advice, wrong []standard.Problem
	seen := false
	for _, s := range k.o.Ledger.Standards() {
		if s.Name().Line() != source {
			continue
		}
		seen = true
		for _, p := range to.CheckMapping(s) {
			if p.Rule == standard.RuleMappingClass {
				wrong = append(wrong, p)
			} else {
				advice = append(advice, p)
			}
		}
	}
	switch {
	case !seen:
		return nil, api.Fail(api.NotFound, "stile standard adopt "+source.String(), "no version of %s is adopted here", source)
	case len(wrong) > 0:
		return nil, &api.Error{
			Kind: api.Refused, Problems: wrong, Try: "ask " + string(to.Name().Name.Publisher()) + " to mend the mapping",
			Message: fmt.Sprintf("the mapping of %s would show more than %s allows; nothing is made by it", to.Name(), source),
		}
	}
	if err := k.o.Ledger.Map(ctx, to.Name(), major); err != nil {
		return nil, api.Fail(api.Conflict, "stile standard serve "+line.String()+" --stop", "%v", err)
	}
	r, err := k.step(ctx, line, to.Name(), source)
	if err == nil {
		r.Advice = advice
	}
	return r, err
}

// Stop ends what Serve began for a line, and does a page of deleting what was made.
// Failures are of type *[api.Error].
func (k *Mapper) Stop(ctx context.Context, line name.StandardLine) (*api.ServeReply, error) {
	all := k.o.Ledger.Mapped()
	i := slices.IndexFunc(all, func(m ledger.Mapped) bool { return m.Line() == line })
	if i < 0 {
		return nil, api.Fail(api.NotFound, "stile standard list", "no records of %s are made by a mapping", line)
	}
	if err := k.o.Ledger.Unmap(ctx, line); err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return nil, err
	}
	// A running Mapper may have ended it meanwhile; then there is nothing to step.
	return k.step(ctx, line, all[i].Standard, all[i].Source())
}

// step does a page of the work for a line, and says of what even where it is over.
func (k *Mapper) step(ctx context.Context, line name.StandardLine, to name.Standard, from name.StandardLine) (*api.ServeReply, error) {
	r, err := k.Step(ctx, line)
	if err == nil {
		r.Standard, r.From = to, from
	}
	return r, err
}

// mappingFrom returns the major that records are to be made from.
func mappingFrom(to *standard.Standard, from *int) (int, error) {
	majors := to.Mappings()
	var words []string
	for _, m := range majors {
		words = append(words, fmt.Sprint(m))
	}
	switch {
	case len(majors) == 0:
		return 0, api.Fail(api.NotFound, "ask "+string(to.Name().Name.Publisher())+", who publishes it, for one", "%s ships no mapping from an older major", to.Name())
	case from == nil && len(majors) > 1:
		return 0, api.Fail(api.Usage, "name one with --from", "%s ships mappings from majors %s", to.Name(), strings.Join(words, ", "))
	case from == nil:
		return majors[0], nil
	case !slices.Contains(majors, *from):
		return 0, api.Fail(api.NotFound, "stile standard show "+to.Name().String(), "%s ships no mapping from major %d; it does from %s", to.Name(), *from, strings.Join(words, ", "))
	}
	return *from, nil
}

// Describe returns how records of a version are made; nil when they are not. With
// count it counts them, which reads a line for each.
func (k *Mapper) Describe(std name.Standard, count bool) (*api.MappedReply, error) {
	for _, m := range k.o.Ledger.Mapped() {
		if m.Standard != std {
			continue
		}
		r := &api.MappedReply{From: m.Source(), Since: time.Unix(m.Since, 0).UTC(), Ending: m.Ending}
		if !count {
			return r, nil
		}
		return r, k.o.Ledger.View(func(v *ledger.View) error {
			err := v.Made(m.Line(), func(_, _ name.Record) bool { r.Made++; return true })
			if err != nil {
				return err
			}
			cs, _, err := v.ChangesOf(m.Source(), m.Line(), m.Cursor)
			if err != nil {
				return err
			}
			r.Behind = len(cs) > 0 || m.Ending
			return v.Held(func(h ledger.Held) bool {
				if h.Standard == std && strings.HasPrefix(h.Reference, Reference) {
					r.Refused++
				}
				return true
			})
		})
	}
	return nil, nil
}
