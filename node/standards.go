package node

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/name"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/schemas"
)

func (n *Node) counts() (c map[name.Standard]int, err error) {
	err = n.ledger.View(func(v *ledger.View) error {
		c, err = v.Count()
		return err
	})
	return c, err
}

func standardReply(s *standard.Standard, records int) StandardReply {
	m := s.Manifest()
	r := StandardReply{
		Name: m.Name, Title: m.Title, Description: m.Description, Status: string(m.Status),
		Integrity: s.Integrity(), Classes: map[string]string{}, Records: records, Source: m.Source,
	}
	for _, k := range m.Key {
		r.Key = append(r.Key, string(k))
	}
	for f, c := range m.Classes {
		r.Classes[string(f)] = string(c)
	}
	return r
}

func (n *Node) addStandard(ctx context.Context, in AddStandardRequest) (*StandardReply, error) {
	var std *standard.Standard
	var err error
	if in.Shipped != "" {
		if std, err = shipped(in.Shipped); err != nil {
			return nil, err
		}
	} else if std, err = standard.LoadArchive(in.Archive); err != nil {
		return nil, fail(Invalid, "stile standard check DIR says more", "%v", err)
	}
	// An example that misbehaves says that the schema is not what its publisher
	// thinks. That there are none, or that the key is not required, a council
	// that adopts somebody else's schema cannot mend: it is told.
	problems := std.CheckExamples()
	wrong := slices.DeleteFunc(slices.Clone(problems), func(p standard.Problem) bool {
		return !strings.HasPrefix(p.Pointer, "examples/valid/") && !strings.HasPrefix(p.Pointer, "examples/invalid/")
	})
	if len(wrong) > 0 {
		return nil, &Error{
			Kind: Invalid, Message: fmt.Sprintf("%s: %s not do what the folder says", std.Name(), map[bool]string{true: "an example does", false: fmt.Sprintf("%d examples do", len(wrong))}[len(wrong) == 1]),
			Try: "stile standard check DIR says which", Problems: wrong,
		}
	}
	if err := n.ledger.Adopt(ctx, std); err != nil {
		return nil, err
	}
	n.changed()
	r := standardReply(std, 0)
	r.Advice = problems
	return &r, nil
}

func shipped(want string) (*standard.Standard, error) {
	var names string
	for _, f := range schemas.All() {
		s, err := standard.Load(f)
		if err != nil {
			return nil, err
		}
		nm := s.Name()
		if want == nm.String() || want == string(nm.Name) || want == nm.Name.Slug() || want == nm.Line().String() {
			return s, nil
		}
		names += "\n  " + nm.String()
	}
	return nil, fail(NotFound, "", "no standard named %q comes with Stile; these do:%s", want, names)
}

func (n *Node) listStandards(ctx context.Context, _ Empty) ([]StandardReply, error) {
	counts, err := n.counts()
	if err != nil {
		return nil, err
	}
	out := []StandardReply{}
	for _, s := range n.ledger.Standards() {
		out = append(out, standardReply(s, counts[s.Name()]))
	}
	return out, nil
}

func (n *Node) showStandard(ctx context.Context, in StandardRequest) (*StandardReply, error) {
	s, err := n.standardNamed(in.Name)
	if err != nil {
		return nil, err
	}
	counts, err := n.counts()
	if err != nil {
		return nil, err
	}
	r := standardReply(s, counts[s.Name()])
	return &r, nil
}

func (n *Node) standardArchive(ctx context.Context, in StandardRequest) (*StandardArchiveReply, error) {
	s, err := n.standardNamed(in.Name)
	if err != nil {
		return nil, err
	}
	return &StandardArchiveReply{Archive: s.Archive()}, nil
}
