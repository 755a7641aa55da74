package replicas

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/follow"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/machines"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// patience bounds a change of membership: two rounds to the members, of whom
// one may have to be elected first.
const patience = 20 * time.Second

// Found begins a footprint with our council as its first member.
func (s *Set) Found(ctx context.Context, in api.FootprintRequest) (*api.FootprintReply, error) {
	c, err := name.ParseCouncil(strings.ToLower(in.Name))
	if err != nil {
		return nil, api.Fail(api.Usage, "", "a footprint is named by a domain, such as fens.gov.uk: %v", err)
	}
	if m, ok := s.o.Directory.Member(c); ok && m.Role != directory.RoleFootprint && in.Runs == "" {
		return nil, api.Fail(api.Conflict, "choose another name", "%s is a %s of the directory", c, m.Role)
	}
	self, ok := s.o.Directory.Member(s.self)
	if !ok {
		return nil, api.Fail(api.NotFound, "stile council list", "this council is not in its own directory")
	}
	o, err := s.options(c)
	if err != nil {
		return nil, err
	}
	if in.Runs != "" {
		o.Machines = true
		if o.Ledger, err = s.o.Machine.Claim(c, in.Runs, o.Dir, nil); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	f, err := footprint.Found(ctx, o, self)
	if err != nil {
		return nil, explained(c, err)
	}
	return s.reply(s.add(c, f, nil)), nil
}

// Join takes up an invitation. It may be said again when it did not get through.
func (s *Set) Join(ctx context.Context, in api.FootprintRequest) (*api.FootprintReply, error) {
	c, err := name.ParseCouncil(strings.ToLower(in.Name))
	if err != nil {
		return nil, api.Fail(api.Usage, "", "%v", err)
	}
	var via []name.Council
	for _, v := range in.Via {
		m, err := council(v)
		if err != nil {
			return nil, err
		}
		if _, ok := s.o.Directory.Member(m); !ok {
			return nil, api.Fail(api.NotFound, "stile council list", "%s is not in the directory", m)
		}
		via = append(via, m)
	}
	o, err := s.options(c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, _ := s.get(c)
	switch {
	case r != nil && (in.Anew || errors.Is(r.err, footprint.ErrLost)):
		// It may hold what nobody else has, so that it is not deleted.
		s.drop(r)
		if err := footprint.SetAside(o.Dir); err != nil {
			return nil, err
		}
	case r != nil && r.f != nil:
		if err := r.f.Rejoin(ctx); err != nil {
			return nil, explained(c, notInvited(err))
		}
		return s.joined(ctx, r), nil
	case r != nil:
		return nil, explained(c, r.err)
	}
	if in.Runs != "" {
		o.Machines = true
		_, err := s.o.Machine.Claim(c, in.Runs, o.Dir, api.Fail(api.Conflict, "copy the council's folder without ledger/, or move that away", "%q has a ledger of its own, and the machines have one already", in.Runs))
		if err != nil {
			return nil, err
		}
	} else if machines.IsMachine(s.self, c) {
		return nil, api.Fail(api.Usage, fmt.Sprintf("stile footprint join %s --via COUNCIL --runs DIR", c), "name with --runs the data folder of %s on this machine", c)
	}
	f, err := footprint.Join(ctx, o, via...)
	if err != nil {
		// The replica is there and was closed. It is opened again, so that the
		// same one joins when this is said again.
		_ = s.reopen(c)
		return nil, explained(c, notInvited(err))
	}
	return s.joined(ctx, s.add(c, f, nil)), nil
}

// joined answers once the replica itself knows that it has joined, or a moment
// later: the members know it already.
func (s *Set) joined(ctx context.Context, r *Replica) *api.FootprintReply {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = r.f.AwaitJoined(ctx)
	return s.reply(r)
}

// notInvited turns the answer to a council that is not known into the one it
// means when that wants to join.
func notInvited(err error) error {
	if r, ok := errors.AsType[*footprint.Refusal](err); ok && r.Rule == footprint.RuleMember {
		return &footprint.Refusal{Rule: footprint.RuleNotInvited}
	}
	return err
}

func council(typed string) (name.Council, error) {
	c, err := name.ParseCouncil(strings.ToLower(typed))
	if err != nil {
		return "", api.Fail(api.Usage, "stile council list", "%v", err)
	}
	return c, nil
}

// Invite proposes a council as a member.
func (s *Set) Invite(ctx context.Context, in api.FootprintRequest) (*api.FootprintReply, error) {
	return s.propose(ctx, in, func(ctx context.Context, f *footprint.Footprint, c name.Council) (footprint.Receipt, error) {
		if _, ok := s.o.Directory.Member(c); !ok {
			return footprint.Receipt{}, api.Fail(api.NotFound, "stile council list", "%s is not in the directory, so that its keys are not known", c)
		}
		return f.Invite(ctx, c)
	})
}

// Agree agrees to the change of members that is proposed.
func (s *Set) Agree(ctx context.Context, in api.FootprintRequest) (*api.FootprintReply, error) {
	return s.propose(ctx, in, func(ctx context.Context, f *footprint.Footprint, c name.Council) (footprint.Receipt, error) {
		return f.Agree(ctx, c)
	})
}

// Remove proposes that a member leaves; our own council leaves by it.
func (s *Set) Remove(ctx context.Context, in api.FootprintRequest) (*api.FootprintReply, error) {
	return s.propose(ctx, in, func(ctx context.Context, f *footprint.Footprint, c name.Council) (footprint.Receipt, error) {
		if c == s.self {
			return s.proposeLeaving(ctx, f)
		}
		return f.Remove(ctx, c)
	})
}

// propose carries out a change of membership, and adds to the reply what came of it.
func (s *Set) propose(ctx context.Context, in api.FootprintRequest, do func(context.Context, *footprint.Footprint, name.Council) (footprint.Receipt, error)) (*api.FootprintReply, error) {
	r, err := s.change(ctx, in, do)
	if err != nil || r.Status == nil {
		return r, err
	}
	p := &api.ProposalReply{Council: name.Council(strings.ToLower(in.Council)), Decided: true, Position: r.Status.Position}
	if c := r.Status.Change; c != nil && c.Council == p.Council {
		p.Decided, p.Needs, p.Agreed, p.Waiting = false, c.Needs, c.Agreed, c.Waiting
	}
	r.Proposal = p
	return r, nil
}

// Cancel takes back a change of members that is proposed.
func (s *Set) Cancel(ctx context.Context, in api.FootprintRequest) (*api.FootprintReply, error) {
	in.Council = string(s.self)
	return s.change(ctx, in, func(ctx context.Context, f *footprint.Footprint, _ name.Council) (footprint.Receipt, error) {
		return f.Cancel(ctx)
	})
}

// Transfer has another member lead; any where none is named.
func (s *Set) Transfer(ctx context.Context, in api.FootprintRequest) (*api.FootprintReply, error) {
	to := in.Council
	in.Council = string(s.self)
	return s.change(ctx, in, func(ctx context.Context, f *footprint.Footprint, _ name.Council) (none footprint.Receipt, err error) {
		var c name.Council
		if to != "" {
			if c, err = council(to); err != nil {
				return none, err
			}
		}
		if err = explained(f.Name(), f.Transfer(c)); err == nil {
			return none, nil
		}
		if _, known := errors.AsType[*api.Error](err); !known {
			err = api.Fail(api.Behind, "stile footprint status "+string(f.Name()), "%v", err)
		}
		return none, err
	})
}

// change carries out something about a council, and waits until this node's own
// replica has what was decided, so that the status told with the answer speaks of
// it.
func (s *Set) change(ctx context.Context, in api.FootprintRequest, do func(context.Context, *footprint.Footprint, name.Council) (footprint.Receipt, error)) (*api.FootprintReply, error) {
	r, err := s.named(in.Name)
	if err != nil {
		return nil, err
	}
	c, err := council(in.Council)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	got, err := do(ctx, r.f, c)
	if err == nil {
		err = r.f.Await(ctx, got.Position)
	}
	if err != nil {
		return nil, explained(r.name, err)
	}
	return s.reply(r), nil
}

// Discard deletes the replica of a footprint that we have left, or never came to be
// a member of. The last of a council's machines gives the council's ledger back by
// it.
func (s *Set) Discard(ctx context.Context, in api.FootprintRequest) (*api.Empty, error) {
	r, err := s.named(in.Name)
	if e, ok := errors.AsType[*api.Error](err); ok && e.Kind == api.NotFound {
		return s.discardLost(ctx, in.Name, err)
	}
	if err != nil {
		return nil, err
	}
	members := r.f.Councils()
	switch {
	case r.council != nil && slices.Equal(members, []name.Council{s.self}):
		o, err := s.options(r.name)
		if err != nil {
			return nil, err
		}
		s.drop(r)
		if err := r.council.GiveBack(o); err != nil {
			_ = s.reopen(r.name)
			return nil, err
		}
	case slices.Equal(members, []name.Council{s.self}):
		return &api.Empty{}, s.discard(ctx, r) // the footprint ends with it
	case slices.Contains(members, s.self) && !r.f.Out():
		return nil, api.Fail(api.Refused, "stile footprint leave "+string(r.name), "as far as is known here we are a member of %s", r.name)
	default:
		return &api.Empty{}, s.discard(ctx, r)
	}
	_, _, err = s.o.Ledger.AppendNotice(ctx, event.KindFootprintDiscarded, event.FootprintDiscarded{Footprint: r.name}.Body())
	return &api.Empty{}, err
}

// discardLost logs that nothing is left here of a footprint that we joined and whose replica
// is lost.
func (s *Set) discardLost(ctx context.Context, typed string, none error) (*api.Empty, error) {
	here, err := s.folders()
	if err != nil {
		return nil, err
	}
	c, err := council(typed)
	if err != nil {
		return nil, err
	}
	away, err := s.joinedElsewhere(here)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(away, c) {
		return nil, none
	}
	_, _, err = s.o.Ledger.AppendNotice(ctx, event.KindFootprintDiscarded, event.FootprintDiscarded{Footprint: c}.Body())
	return &api.Empty{}, err
}

// Status says how one footprint stands, or each when none is named.
func (s *Set) Status(ctx context.Context, in api.FootprintRequest) ([]api.FootprintReply, error) {
	if in.Name != "" {
		r, err := s.named(in.Name)
		if err != nil {
			return nil, err
		}
		return []api.FootprintReply{*s.reply(r)}, nil
	}
	if _, running := s.get(""); !running {
		return nil, notServing()
	}
	return s.Describe(ctx, api.Empty{})
}

// Describe lists the footprints of the data folder; how they stand only while the
// node runs.
func (s *Set) Describe(ctx context.Context, _ api.Empty) ([]api.FootprintReply, error) {
	names, err := s.folders()
	if err != nil {
		return nil, err
	}
	out := []api.FootprintReply{}
	for _, c := range names {
		if r, _ := s.get(c); r != nil {
			out = append(out, *s.reply(r))
		} else {
			out = append(out, api.FootprintReply{Name: c, Problem: "the node is not running"})
		}
	}
	return out, nil
}

func (s *Set) reply(r *Replica) *api.FootprintReply {
	out := &api.FootprintReply{Name: r.name, Open: r.f != nil}
	if r.f == nil {
		out.Problem = r.err.Error()
		return out
	}
	st := r.f.Status()
	out.Status, out.Standards = status(&st), r.f.Standards()
	if r.council != nil {
		out.Machines = r.council.Status(st.Leader)
	} else {
		out.Flows = s.o.Flows(r.name)
	}
	return out
}

func status(st *footprint.Status) *api.FootprintStatus {
	out := &api.FootprintStatus{
		Footprint: st.Footprint, Self: st.Self, Words: st.Words, Needs: st.Needs, Up: st.Up, Formed: st.Formed, Decides: st.Decides, Leader: st.Leader,
		Contributors: st.Contributors, Change: (*api.FootprintChange)(st.Change), Size: st.Size, Position: st.Position, Checkpoint: st.Checkpoint,
		Evidence: st.Evidence, DiskBytes: st.DiskBytes, LogBytes: st.LogBytes, Format: st.Format, Stopped: st.Stopped,
	}
	for _, f := range st.Former {
		out.Former = append(out.Former, api.FormerMember(f))
	}
	for _, m := range st.Members {
		out.Members = append(out.Members, api.FootprintMember(m))
	}
	return out
}

// Entry returns a footprint as a member of the directory, for its registrar.
func (s *Set) Entry(ctx context.Context, in api.FootprintRequest) (*api.MemberReply, error) {
	r, err := s.named(in.Name)
	if err != nil {
		return nil, err
	}
	m := directory.Member{Council: r.name, Title: string(r.name), Role: directory.RoleFootprint, Members: r.f.Councils()}
	if old, ok := s.o.Directory.Member(r.name); ok {
		m.Title, m.Contact, m.ValidFrom = old.Title, old.Contact, old.ValidFrom
	} else {
		m.ValidFrom = s.o.Now().UTC().Truncate(24 * time.Hour)
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	return follow.Describe(m, s.self), nil
}
