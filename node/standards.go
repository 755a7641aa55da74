package node

import (
	"context"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
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
	r.Mappings = s.Mappings()
	return r
}

func (n *Node) listStandards(ctx context.Context, _ Empty) ([]StandardReply, error) {
	counts, err := n.counts()
	if err != nil {
		return nil, err
	}
	out := []StandardReply{}
	for _, s := range n.ledger.Standards() {
		r := standardReply(s, counts[s.Name()])
		if r.Mapped, err = n.mappedReply(s.Name(), false); err != nil {
			return nil, err
		}
		out = append(out, r)
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
	r.Waived = n.ledger.Waived(s.Name())
	r.Mapped, err = n.mappedReply(s.Name(), true)
	return &r, err
}

func (n *Node) standardArchive(ctx context.Context, in StandardRequest) (*StandardArchiveReply, error) {
	s, err := n.standardNamed(in.Name)
	if err != nil {
		return nil, err
	}
	return &StandardArchiveReply{Archive: s.Archive()}, nil
}
