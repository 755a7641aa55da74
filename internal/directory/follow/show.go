package follow

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Show says how the directory stands.
func (f *Follower) Show(ctx context.Context, _ api.Empty) (*api.DirectoryReply, error) {
	c := f.Client()
	sum, version, err := c.RootHash()
	if err != nil {
		return nil, err
	}
	v, now := c.View(), f.o.Now()
	h := v.Health(now)
	r := &api.DirectoryReply{
		Root: hex.EncodeToString(sum[:]), RootVersion: version, Version: v.Version(), State: string(h.State), Expires: h.Expires, Health: h.String(),
		Host: f.Hosts(), Sole: datadir.Sole(f.cfg), Standards: len(v.Standards()), Mirrors: f.written(),
	}
	for _, e := range v.Members() {
		if e.Full().ActiveAt(now) {
			r.Members++
		} else {
			r.Ended++
		}
	}
	for _, refused := range v.Refused() {
		r.Refused = append(r.Refused, refused.Error())
	}
	if r.Host {
		repo, err := tufdir.Load(datadir.Authority(f.cfg))
		if err != nil {
			return nil, err
		}
		for _, w := range repo.Waiting() {
			r.Waiting = append(r.Waiting, w.Role)
		}
	}
	return r, nil
}

// stored shows the directory once what was changed of it is wherever else it
// belongs.
func (f *Follower) stored(ctx context.Context) (*api.DirectoryReply, error) {
	if err := f.o.Stored(); err != nil {
		return nil, err
	}
	return f.Show(ctx, api.Empty{})
}

// RefreshNow is Refresh for a person, who is shown what came of it.
func (f *Follower) RefreshNow(ctx context.Context, _ api.Empty) (*api.DirectoryReply, error) {
	if err := f.Refresh(ctx); err != nil {
		return nil, api.Fail(api.Unreachable, "name another mirror in directory/"+datadir.MirrorsName+", or try again later", "%v", err)
	}
	return f.stored(ctx)
}

// Published lists the standards that the directory has.
func (f *Follower) Published(ctx context.Context, _ api.Empty) ([]api.PublishedReply, error) {
	out := []api.PublishedReply{}
	now := f.o.Now()
	for _, p := range f.View().Standards() {
		r := api.PublishedReply{
			Name: p.Name, Body: p.Name.Name.Publisher(), Status: string(p.Extra.StatusOn(now)), Bytes: p.Length, Held: p.Held, Adopted: f.o.Adopted(p.Name),
			History: History(p),
		}
		out = append(out, r)
	}
	return out, nil
}

// History says which status a published version came into, and when.
func History(p tufdir.Published) (out []api.StatusStep) {
	for _, s := range p.Extra.History {
		out = append(out, api.StatusStep{Status: string(s.Status), On: s.On.Format(time.DateOnly)})
	}
	return out
}

// PublishedArchive is Archive for who asks by name.
func (f *Follower) PublishedArchive(ctx context.Context, in api.StandardRequest) (*api.StandardArchiveReply, error) {
	want, err := name.ParseStandard(in.Name)
	if err != nil {
		return nil, api.Fail(api.Usage, "stile standard list --published", "%v", err)
	}
	b, err := f.Archive(want)
	return &api.StandardArchiveReply{Archive: b}, err
}

// List lists the members, sorted by name.
func (f *Follower) List(ctx context.Context, _ api.Empty) ([]api.MemberReply, error) {
	out := []api.MemberReply{}
	for _, m := range f.members.Members() {
		out = append(out, *Describe(m, f.cfg.Council))
	}
	return out, nil
}

// Describe describes a member, or one that may become one, to the council self.
func Describe(m directory.Member, self name.Council) *api.MemberReply {
	return &api.MemberReply{
		Council: m.Council, Title: m.Title, GSS: m.GSS, Role: string(m.Role), Addresses: m.Addresses,
		Self: m.Council == self, Document: string(m.YAML()),
	}
}

// Member describes a member; this council itself where none is named.
func (f *Follower) Member(ctx context.Context, in api.MemberNameRequest) (*api.MemberReply, error) {
	c := f.cfg.Council
	if in.Council != "" {
		var err error
		if c, err = name.ParseCouncil(strings.ToLower(in.Council)); err != nil {
			return nil, api.Fail(api.Usage, "", "%v", err)
		}
	}
	m, ok := f.members.Member(c)
	if !ok {
		return nil, api.Fail(api.NotFound, "stile council list", "%s is not in the directory", c)
	}
	return Describe(m, f.cfg.Council), nil
}

// Add adds or replaces a member, where this node hosts the directory.
func (f *Follower) Add(ctx context.Context, in api.MemberRequest) (*api.MemberReply, error) {
	m, err := directory.ParseMember(in.Document)
	if err != nil {
		return nil, api.Fail(api.Invalid, "", "%v", err)
	}
	if m.Council == f.cfg.Council {
		own := directory.FromRing(f.cfg.Council, f.o.Keys)
		if m.Node != own.Node || !slices.EqualFunc(m.RecordKeys, own.RecordKeys, func(a, b *keys.RecordPublic) bool { return a.ID() == b.ID() }) {
			return nil, api.Fail(api.Refused, "", "the file names other keys than this node has")
		}
	}
	if !f.Hosts() {
		return nil, api.Fail(api.Refused, "send the file to the registrar of the directory", "this node follows a directory that another hosts, and only its registrar admits members")
	}
	waiting, err := f.Publish(ctx, func(r *tufdir.Repository, now time.Time) error { return r.Update(m, now) })
	switch e, known := errors.AsType[*api.Error](err); {
	case err == nil:
	case known && e.Kind != api.Failed:
		return nil, e
	case errors.Is(err, tufdir.ErrRole):
		return nil, api.Fail(api.Refused, "stile directory remove, and admit it again", "%v", err)
	default:
		return nil, api.Fail(api.Conflict, "", "%v", err)
	}
	if slices.Contains(waiting, tufdir.RoleMembers) {
		return nil, api.Fail(api.Behind, "stile directory sign shows how the registrar signs it", "%s is prepared, and waits for the registrar's signature", m.Council)
	}
	m, _ = f.members.Member(m.Council)
	return Describe(m, f.cfg.Council), f.o.Stored()
}
