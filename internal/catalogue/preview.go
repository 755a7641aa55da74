package catalogue

import (
	"context"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory/follow"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Preview says what it would mean to adopt a version of a standard. Nothing is
// changed.
func (c *Catalogue) Preview(ctx context.Context, in api.AdoptRequest) (*api.AdoptPreview, error) {
	f, err := c.find(in)
	if err != nil {
		return nil, err
	}
	if err := c.same(f); err != nil {
		return nil, err
	}
	std := f.std
	m := std.Manifest()
	out := &api.AdoptPreview{
		Name: m.Name, Title: m.Title, Publisher: m.Name.Name.Publisher(), Licence: m.Licence, Origin: f.origin,
		Status: string(c.standing(f)), Integrity: std.Integrity(),
	}
	if f.pub != nil {
		out.History = follow.History(*f.pub)
	}
	for _, s := range c.o.Ledger.Standards() {
		nm := s.Name() // ascending versions
		out.Adopted = out.Adopted || nm == m.Name
		if out.Later == nil && nm.Name == m.Name.Name && nm.Version.Compare(m.Name.Version) > 0 {
			out.Later = &nm
		}
	}
	if !out.Adopted {
		if out.Advice, err = sound(std, in.Waive); err != nil {
			return nil, err
		}
		out.Costs = std.Costs()
	}
	if older := c.before(m.Name); older != nil {
		nm := older.Name()
		out.Older = &nm
		d := standard.Compare(older, std)
		out.Difference, out.Version = d, standard.VersionProblem(d)
		counts, err := c.counts()
		if err != nil {
			return nil, err
		}
		for s, n := range counts {
			if s.Line() == nm.Line() {
				out.Records += n
			}
		}
	}
	if !out.Adopted {
		for _, nm := range []string{m.Name.Line().String(), string(m.Name.Name)} {
			now, err := c.Named(nm)
			if err != nil {
				continue // it means nothing yet
			}
			was, is := c.standing(c.listed(&found{std: now})) == standard.Live, out.Status == string(standard.Live)
			if is && !was || is == was && m.Name.Version.Compare(now.Name().Version) > 0 {
				out.Means = append(out.Means, nm)
			}
		}
	}
	for _, major := range std.Mappings() {
		mapping, _ := std.Mapping(major)
		p := api.MappingPreview{From: major, Steps: mapping.Words()}
		if old, err := c.o.Ledger.StandardOf(name.StandardLine{Name: m.Name.Name, Major: major}); err == nil {
			p.Problems = std.CheckMapping(old)
		}
		out.Mappings = append(out.Mappings, p)
	}
	for _, s := range c.o.Ledger.Standards() {
		if s.Name().Line() == m.Name.Line() && out.Mapped == nil {
			if out.Mapped, err = c.o.Mapper.Describe(s.Name(), true); err != nil {
				return nil, err
			}
		}
	}
	out.Agreements, err = c.agreementEffects(std)
	return out, err
}

// before returns the adopted version that another is compared with.
func (c *Catalogue) before(nm name.Standard) *standard.Standard {
	var inLine, ofName *standard.Standard
	for _, s := range c.o.Ledger.Standards() { // ascending versions
		o := s.Name()
		if o.Name != nm.Name || o.Version.Compare(nm.Version) >= 0 {
			continue
		}
		ofName = s
		if o.Line() == nm.Line() {
			inLine = s
		}
	}
	if inLine != nil {
		return inLine
	}
	return ofName
}

// agreementEffects says what a version would mean for the agreements there are.
func (c *Catalogue) agreementEffects(std *standard.Standard) (out []api.AgreementEffect, err error) {
	for _, st := range c.o.Agreements.Standing(c.o.Now()) {
		a := st.Agreement
		if a.Standard.Name != std.Name().Name || st.Phase == agreement.Ended || st.Phase == agreement.Superseded {
			continue
		}
		e := api.AgreementEffect{Agreement: a.Name, Standard: a.Standard, Sends: a.From == c.o.Self}
		if e.Other = a.Standard != std.Name().Line(); !e.Other {
			if err := c.agreementEffect(a, std, &e); err != nil {
				return nil, err
			}
		}
		out = append(out, e)
	}
	return out, nil
}

func (c *Catalogue) agreementEffect(a *agreement.Agreement, std *standard.Standard, e *api.AgreementEffect) error {
	old, err := c.o.Ledger.StandardOf(a.Standard)
	if err != nil {
		old = nil // signed by the other side, over what is not adopted here yet
	}
	has, err := std.MayHold(a.Fields)
	if err != nil {
		return err
	}
	for i, f := range a.Fields {
		if !has[i] {
			e.Because = append(e.Because, fmt.Sprintf("%s, which it lists, is no field of %s", f, std.Name()))
			continue
		}
		if old == nil {
			continue
		}
		was, is := old.Class(f), std.Class(f)
		switch {
		case was == is:
		case is == standard.Open:
			e.Because = append(e.Because, fmt.Sprintf("%s was %s and would be open: it would travel in clear in every record, under every agreement", f, was))
		default:
			e.Because = append(e.Because, fmt.Sprintf("%s was %s and would be %s", f, was, is))
		}
	}
	var before []standard.Problem
	if old != nil {
		before = a.Check(old)
	}
	for _, p := range a.Check(std) {
		known := slices.ContainsFunc(before, func(q standard.Problem) bool { return q.Rule == p.Rule && q.Detail == p.Detail })
		if !known && p.Rule != agreement.RuleUnknown {
			e.Because = append(e.Because, p.Detail)
		}
	}
	if _, err := a.Compile(std); err != nil {
		e.Stops = true
	}
	return nil
}
