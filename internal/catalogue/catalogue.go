// Package catalogue knows the standards of a node: those that it has adopted, those
// that the directory publishes and those that come with Stile. It finds the one that
// a person names, tells what it would mean to adopt a version, and adopts it.
//
// Records say that they fit a version, and other councils rely on that. So a version
// stays as it is: the catalogue refuses other bytes under the name of a version that
// is adopted or published. What a standard is, and what makes two versions differ, is
// package standard's to say; making records of one major from those of another is
// package mapper's.
package catalogue

import (
	"context"
	"log/slog"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/mapper"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// A Directory publishes standards.
type Directory interface {
	// View returns what it says now.
	View() *tufdir.View
	// Standard returns a published standard, whole. The error is an [api.Error] of
	// kind NotFound when there is none of that name, or its archive is not here.
	Standard(want name.Standard) (*standard.Standard, error)
}

// Agreements say which agreements there are.
type Agreements interface {
	Standing(now time.Time) []agreement.Status
}

// Options say what a Catalogue works with. All are needed.
type Options struct {
	Self       name.Council
	Ledger     *ledger.Ledger
	Directory  Directory
	Agreements Agreements
	Mapper     *mapper.Mapper
	Log        *slog.Logger
	Now        func() time.Time
	Workers    int    // goroutines that judge at once
	Changed    func() // is called when a standard was adopted
}

// A Catalogue knows the standards of a node. Its methods may be called concurrently.
// What they return as failures for a person is an *[api.Error].
type Catalogue struct {
	o     Options
	cache cache
}

// New returns a Catalogue.
func New(o Options) *Catalogue { return &Catalogue{o: o} }

// counts returns how many live records of ours each version has.
func (c *Catalogue) counts() (counts map[name.Standard]int, err error) {
	err = c.o.Ledger.View(func(v *ledger.View) error {
		counts, err = v.Count()
		return err
	})
	return counts, err
}

func describe(s *standard.Standard, records int) api.StandardReply {
	m := s.Manifest()
	r := api.StandardReply{
		Name: m.Name, Title: m.Title, Description: m.Description, Status: string(m.Status),
		Integrity: s.Integrity(), Classes: map[string]string{}, Records: records, Source: m.Source,
	}
	for _, k := range m.Key {
		r.Key = append(r.Key, string(k))
	}
	for f, c := range m.Classes {
		r.Classes[string(f)] = string(c)
	}
	if o := Obligation(m); o.Statute != "" {
		r.Obligation = &api.Obligation{Statute: o.Statute, From: o.From}
	}
	r.Mappings = s.Mappings()
	return r
}

// List lists the adopted standards, sorted by name and version.
func (c *Catalogue) List(ctx context.Context, _ api.Empty) ([]api.StandardReply, error) {
	counts, err := c.counts()
	if err != nil {
		return nil, err
	}
	out := []api.StandardReply{}
	for _, s := range c.o.Ledger.Standards() {
		r := describe(s, counts[s.Name()])
		if r.Mapped, err = c.o.Mapper.Describe(s.Name(), false); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// Show describes an adopted standard.
func (c *Catalogue) Show(ctx context.Context, in api.StandardRequest) (*api.StandardReply, error) {
	s, err := c.Named(in.Name)
	if err != nil {
		return nil, err
	}
	counts, err := c.counts()
	if err != nil {
		return nil, err
	}
	r := describe(s, counts[s.Name()])
	r.Waived = c.o.Ledger.Waived(s.Name())
	r.Mapped, err = c.o.Mapper.Describe(s.Name(), true)
	return &r, err
}

// Archive returns an adopted standard as its publisher made it.
func (c *Catalogue) Archive(ctx context.Context, in api.StandardRequest) (*api.StandardArchiveReply, error) {
	s, err := c.Named(in.Name)
	if err != nil {
		return nil, err
	}
	return &api.StandardArchiveReply{Archive: s.Archive()}, nil
}

// Serve begins or ends to make records by a mapping and does a page of the work.
func (c *Catalogue) Serve(ctx context.Context, in api.ServeRequest) (*api.ServeReply, error) {
	to, err := c.Named(in.Standard)
	if err != nil {
		return nil, err
	}
	if in.Stop {
		return c.o.Mapper.Stop(ctx, to.Name().Line())
	}
	return c.o.Mapper.Serve(ctx, to, in.From)
}
