package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/mapper"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// serveStandard begins or ends to make records by a mapping and does a page of
// the work.
func (n *Node) serveStandard(ctx context.Context, in ServeRequest) (*ServeReply, error) {
	to, err := n.standardNamed(in.Standard)
	if err != nil {
		return nil, err
	}
	line := to.Name().Line()
	if in.Stop {
		all := n.ledger.Mapped()
		i := slices.IndexFunc(all, func(m ledger.Mapped) bool { return m.Line() == line })
		if i < 0 {
			return nil, fail(NotFound, "stile standard list", "no records of %s are made by a mapping", line)
		}
		if err := n.ledger.Unmap(ctx, line); err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return nil, err
		}
		r, err := n.mapped(ctx, line)
		if err == nil {
			r.Standard, r.From = all[i].Standard, all[i].Source()
		}
		return r, err
	}
	from, err := mappingFrom(to, in.From)
	if err != nil {
		return nil, err
	}
	source := name.StandardLine{Name: to.Name().Name, Major: from}
	served := slices.ContainsFunc(n.ledger.Mapped(), func(m ledger.Mapped) bool {
		return m.Standard == to.Name() && m.From == from && !m.Ending
	})
	if served { // and was checked then; each further page asks here again
		r, err := n.mapped(ctx, line)
		if err == nil {
			r.Standard, r.From = to.Name(), source
		}
		return r, err
	}
	var advice, wrong []standard.Problem
	seen := false
	for _, s := range n.ledger.Standards() {
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
		return nil, fail(NotFound, "stile standard adopt "+source.String(), "no version of %s is adopted here", source)
	case len(wrong) > 0:
		return nil, &Error{
			Kind: Refused, Problems: wrong, Try: "ask " + string(to.Name().Name.Publisher()) + " to mend the mapping",
			Message: fmt.Sprintf("the mapping of %s would show more than %s allows; nothing is made by it", to.Name(), source),
		}
	}
	if err := n.ledger.Map(ctx, to.Name(), from); err != nil {
		return nil, fail(Conflict, "stile standard serve "+line.String()+" --stop", "%v", err)
	}
	r, err := n.mapped(ctx, line)
	if err == nil {
		r.Standard, r.From, r.Advice = to.Name(), source, advice
	}
	return r, err
}

// mapped does a page of the work for a line.
func (n *Node) mapped(ctx context.Context, line name.StandardLine) (*ServeReply, error) {
	s, err := n.mapper.Step(ctx, line)
	if err != nil {
		return nil, err
	}
	return &ServeReply{
		Standard: s.Standard, From: s.From, Made: s.Made, Deleted: s.Deleted, Refused: s.Refused,
		Cursor: s.Cursor, Size: s.Size, Done: s.Done, Ended: s.Ended,
	}, nil
}

func mappingFrom(to *standard.Standard, from *int) (int, error) {
	majors := to.Mappings()
	var words []string
	for _, m := range majors {
		words = append(words, fmt.Sprint(m))
	}
	switch {
	case len(majors) == 0:
		return 0, fail(NotFound, "ask "+string(to.Name().Name.Publisher())+", who publishes it, for one", "%s ships no mapping from an older major", to.Name())
	case from == nil && len(majors) > 1:
		return 0, fail(Usage, "name one with --from", "%s ships mappings from majors %s", to.Name(), strings.Join(words, ", "))
	case from == nil:
		return majors[0], nil
	case !slices.Contains(majors, *from):
		return 0, fail(NotFound, "stile standard show "+to.Name().String(), "%s ships no mapping from major %d; it does from %s", to.Name(), *from, strings.Join(words, ", "))
	}
	return *from, nil
}

// mappedReply returns how records of a version are made; nil when they are not.
// To count them reads a line for each.
func (n *Node) mappedReply(std name.Standard, count bool) (*MappedReply, error) {
	for _, m := range n.ledger.Mapped() {
		if m.Standard != std {
			continue
		}
		r := &MappedReply{From: m.Source(), Since: time.Unix(m.Since, 0).UTC(), Ending: m.Ending}
		if !count {
			return r, nil
		}
		return r, n.ledger.View(func(v *ledger.View) error {
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
				if h.Standard == std && strings.HasPrefix(h.Reference, mapper.Reference) {
					r.Refused++
				}
				return true
			})
		})
	}
	return nil, nil
}
