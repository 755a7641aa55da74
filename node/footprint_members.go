package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/node/name"
)

// patience bounds a change of membership: two rounds to the members, of whom
// one may have to be elected first.
const patience = 20 * time.Second

// FootprintRequest names a footprint, and where the operation is about one, a
// council.
type FootprintRequest struct {
	Name    string   `json:"name"`
	Council string   `json:"council,omitempty"`
	Via     []string `json:"via,omitempty"` // join: members to ask
	// Anew has join put the replica that is there aside, which never votes again,
	// and join as a new one.
	Anew bool `json:"anew,omitempty"`
	// Runs is the data folder of the council whose node the members, machines of
	// its own, run in turn: found and join. "" for a footprint of councils.
	Runs string `json:"runs,omitempty"`
}

// FootprintReply is one footprint as this node's replica sees it.
type FootprintReply struct {
	Name      name.Council     `json:"name"`
	Open      bool             `json:"open"`
	Problem   string           `json:"problem,omitempty"` // why it is not open
	Status    *FootprintStatus `json:"status,omitempty"`
	Standards []name.Standard  `json:"standards,omitempty"`
	// Proposal says what came of the change that was asked for, of invite, agree,
	// remove and leave.
	Proposal *ProposalReply `json:"proposal,omitempty"`
	// Flows are the agreements under which our own records go into it.
	Flows []PartnerReply `json:"flows,omitempty"`
	// Machines says who runs the council's node, where the members are its machines.
	Machines *MachinesReply `json:"machines,omitempty"`
}

func (n *Node) foundFootprint(ctx context.Context, in FootprintRequest) (*FootprintReply, error) {
	c, err := name.ParseCouncil(strings.ToLower(in.Name))
	if err != nil {
		return nil, fail(Usage, "", "a footprint is named by a domain, such as fens.gov.uk: %v", err)
	}
	if m, ok := n.directory.Member(c); ok && m.Role != directory.RoleFootprint && in.Runs == "" {
		return nil, fail(Conflict, "choose another name", "%s is a %s of the directory", c, m.Role)
	}
	self, ok := n.directory.Member(n.cfg.Council)
	if !ok {
		return nil, fail(NotFound, "stile council list", "this council is not in its own directory")
	}
	o, err := n.replicas.options(c)
	if err != nil {
		return nil, err
	}
	if in.Runs != "" {
		cfg, store, err := n.machineFor(c, in.Runs)
		if err == nil {
			err = n.noteMachine(c, cfg)
		}
		if err != nil {
			return nil, err
		}
		o.Machines, o.Ledger = true, store
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	f, err := footprint.Found(ctx, o, self)
	if err != nil {
		return nil, footprintError(c, err)
	}
	return n.footprintReply(n.replicas.keep(c, f, nil)), nil
}

// joinFootprint takes up an invitation. It may be said again when it did not get
// through.
func (n *Node) joinFootprint(ctx context.Context, in FootprintRequest) (*FootprintReply, error) {
	c, err := name.ParseCouncil(strings.ToLower(in.Name))
	if err != nil {
		return nil, fail(Usage, "", "%v", err)
	}
	var via []name.Council
	for _, v := range in.Via {
		m, err := name.ParseCouncil(strings.ToLower(v))
		if err != nil {
			return nil, fail(Usage, "stile council list", "%v", err)
		}
		if _, ok := n.directory.Member(m); !ok {
			return nil, fail(NotFound, "stile council list", "%s is not in the directory", m)
		}
		via = append(via, m)
	}
	o, err := n.replicas.options(c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	n.replicas.mu.Lock()
	r := n.replicas.all[c]
	n.replicas.mu.Unlock()
	switch {
	case r != nil && (in.Anew || errors.Is(r.err, footprint.ErrLost)):
		// It may hold what nobody else has, so that it is not deleted.
		n.replicas.drop(r)
		if err := footprint.SetAside(o.Dir); err != nil {
			return nil, err
		}
	case r != nil && r.f != nil:
		if err := r.f.Rejoin(ctx); err != nil {
			return nil, footprintError(c, notInvited(err))
		}
		n.awaitJoined(ctx, r.f)
		return n.footprintReply(r), nil
	case r != nil:
		return nil, footprintError(c, r.err)
	}
	if in.Runs != "" {
		cfg, store, err := n.machineFor(c, in.Runs)
		if err == nil && store != "" {
			err = fail(Conflict, "copy the council's folder without ledger/, or move that away", "%q has a ledger of its own, and the machines have one already", in.Runs)
		}
		if err == nil {
			err = n.noteMachine(c, cfg)
		}
		if err != nil {
			return nil, err
		}
		o.Machines = true
	} else if strings.HasSuffix(string(n.cfg.Council), "."+string(c)) {
		return nil, fail(Usage, fmt.Sprintf("stile footprint join %s --via COUNCIL --runs DIR", c), "name with --runs the data folder of %s on this machine", c)
	}
	f, err := footprint.Join(ctx, o, via...)
	if err != nil {
		// The replica is there and was closed. It is opened again, so that the
		// same one joins when this is said again.
		if g, oerr := n.replicas.open(c); oerr == nil {
			n.replicas.keep(c, g, nil)
		}
		return nil, footprintError(c, notInvited(err))
	}
	r = n.replicas.keep(c, f, nil)
	n.awaitJoined(ctx, f)
	return n.footprintReply(r), nil
}

// awaitJoined returns once the replica itself knows that it has joined, or a
// moment later: the members know it already.
func (n *Node) awaitJoined(ctx context.Context, f *footprint.Footprint) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		changed := f.Changed()
		if slices.Contains(f.Councils(), n.cfg.Council) {
			return
		}
		pause(ctx, 200*time.Millisecond, changed)
	}
}

// notInvited turns the answer to a council that is not known into the one it
// means when that wants to join.
func notInvited(err error) error {
	if r, ok := errors.AsType[*footprint.Refusal](err); ok && r.Rule == footprint.RuleMember {
		return &footprint.Refusal{Rule: footprint.RuleNotInvited}
	}
	return err
}

// heard waits until this node's own replica has what was decided, so that the
// status told with the answer speaks of it.
func heard(ctx context.Context, f *footprint.Footprint) func(footprint.Receipt, error) error {
	return func(r footprint.Receipt, err error) error {
		if err != nil {
			return err
		}
		return f.Await(ctx, r.Position)
	}
}

func (n *Node) inviteToFootprint(ctx context.Context, in FootprintRequest) (*FootprintReply, error) {
	return proposed(in)(n.changeFootprint(ctx, in, func(ctx context.Context, f *footprint.Footprint, c name.Council) error {
		if _, ok := n.directory.Member(c); !ok {
			return fail(NotFound, "stile council list", "%s is not in the directory, so that its keys are not known", c)
		}
		return heard(ctx, f)(f.Invite(ctx, c))
	}))
}

func (n *Node) agreeInFootprint(ctx context.Context, in FootprintRequest) (*FootprintReply, error) {
	return proposed(in)(n.changeFootprint(ctx, in, func(ctx context.Context, f *footprint.Footprint, c name.Council) error {
		return heard(ctx, f)(f.Agree(ctx, c))
	}))
}

func (n *Node) removeFromFootprint(ctx context.Context, in FootprintRequest) (*FootprintReply, error) {
	return proposed(in)(n.changeFootprint(ctx, in, func(ctx context.Context, f *footprint.Footprint, c name.Council) error {
		return heard(ctx, f)(f.Remove(ctx, c))
	}))
}

// A ProposalReply says what came of a change of membership that was just proposed
// or agreed to.
type ProposalReply struct {
	Council name.Council `json:"council"` // whom it is about
	// Decided says that a majority has agreed: the council may join, or is out. It
	// may be that it was decided before.
	Decided  bool           `json:"decided"`
	Needs    int            `json:"needs,omitempty"` // how many members must agree
	Agreed   []name.Council `json:"agreed,omitempty"`
	Waiting  []name.Council `json:"waiting,omitempty"` // members who have not agreed
	Position uint64         `json:"position"`          // in the replicated log: wait for it on another member
}

// proposed adds to a reply what came of the change of membership.
func proposed(in FootprintRequest) func(*FootprintReply, error) (*FootprintReply, error) {
	return func(r *FootprintReply, err error) (*FootprintReply, error) {
		if err != nil || r.Status == nil {
			return r, err
		}
		p := &ProposalReply{Council: name.Council(strings.ToLower(in.Council)), Decided: true, Position: r.Status.Position}
		if c := r.Status.Change; c != nil && c.Council == p.Council {
			p.Decided, p.Needs, p.Agreed, p.Waiting = false, c.Needs, c.Agreed, c.Waiting
		}
		r.Proposal = p
		return r, nil
	}
}

// discardFootprint deletes the replica of a footprint that we have left, or never
// came to be a member of.
func (n *Node) discardFootprint(ctx context.Context, in FootprintRequest) (*Empty, error) {
	r, err := n.footprintNamed(in.Name)
	if err != nil {
		return nil, err
	}
	if r.council != nil && slices.Equal(r.f.Councils(), []name.Council{n.cfg.Council}) {
		return n.giveBack(ctx, r)
	}
	if slices.Contains(r.f.Councils(), n.cfg.Council) {
		return nil, fail(Refused, "stile footprint leave "+string(r.name), "as far as is known here we are a member of %s", r.name)
	}
	size := r.f.Size()
	n.replicas.drop(r)
	if err := os.RemoveAll(n.footprintDir(r.name)); err != nil {
		return nil, fail(Failed, "delete the folder by hand", "delete replica: %v", err)
	}
	_, _, err = n.ledger.AppendNotice(ctx, event.KindFootprintDiscarded, map[string]any{"footprint": string(r.name), "entries": json.Number(fmt.Sprint(size))})
	return &Empty{}, err
}

func (n *Node) cancelInFootprint(ctx context.Context, in FootprintRequest) (*FootprintReply, error) {
	in.Council = string(n.cfg.Council)
	return n.changeFootprint(ctx, in, func(ctx context.Context, f *footprint.Footprint, _ name.Council) error {
		return heard(ctx, f)(f.Cancel(ctx))
	})
}

func (n *Node) leadFootprint(ctx context.Context, in FootprintRequest) (*FootprintReply, error) {
	to := in.Council
	in.Council = string(n.cfg.Council)
	return n.changeFootprint(ctx, in, func(ctx context.Context, f *footprint.Footprint, _ name.Council) error {
		var c name.Council
		if to != "" {
			var err error
			if c, err = name.ParseCouncil(strings.ToLower(to)); err != nil {
				return fail(Usage, "stile council list", "%v", err)
			}
		}
		if err := f.Transfer(c); err != nil {
			if e := footprintError(f.Name(), err); asError(e).Kind != Failed {
				return e
			}
			return fail(Behind, "stile footprint status "+string(f.Name()), "%v", err)
		}
		return nil
	})
}

func (n *Node) changeFootprint(ctx context.Context, in FootprintRequest, do func(context.Context, *footprint.Footprint, name.Council) error) (*FootprintReply, error) {
	r, err := n.footprintNamed(in.Name)
	if err != nil {
		return nil, err
	}
	c, err := name.ParseCouncil(strings.ToLower(in.Council))
	if err != nil {
		return nil, fail(Usage, "stile council list", "%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := do(ctx, r.f, c); err != nil {
		return nil, footprintError(r.name, err)
	}
	return n.footprintReply(r), nil
}

func (n *Node) footprintReply(r *replica) *FootprintReply {
	out := &FootprintReply{Name: r.name, Open: r.f != nil}
	if r.f == nil {
		out.Problem = r.err.Error()
		return out
	}
	st := r.f.Status()
	out.Status, out.Standards, out.Machines = footprintStatus(&st), r.f.Standards(), r.machines(&st)
	if r.council != nil {
		return out
	}
	if ps, err := n.partners(false); err == nil {
		for _, p := range ps {
			if p.Council == r.name {
				out.Flows = append(out.Flows, p)
			}
		}
	}
	return out
}

// footprintStatus says how one footprint stands, or each when none is named.
func (n *Node) footprintStatus(ctx context.Context, in FootprintRequest) ([]FootprintReply, error) {
	if in.Name != "" {
		r, err := n.footprintNamed(in.Name)
		if err != nil {
			return nil, err
		}
		return []FootprintReply{*n.footprintReply(r)}, nil
	}
	n.replicas.mu.Lock()
	running := n.replicas.hub != nil
	n.replicas.mu.Unlock()
	if !running {
		return nil, errNotServing()
	}
	return n.listFootprints(ctx, Empty{})
}

// listFootprints lists the footprints of the data folder; how they stand only
// while the node runs.
func (n *Node) listFootprints(ctx context.Context, _ Empty) ([]FootprintReply, error) {
	names, err := n.footprintFolders()
	if err != nil {
		return nil, err
	}
	out := []FootprintReply{}
	for _, c := range names {
		n.replicas.mu.Lock()
		r := n.replicas.all[c]
		n.replicas.mu.Unlock()
		if r == nil {
			out = append(out, FootprintReply{Name: c, Problem: "the node is not running"})
			continue
		}
		out = append(out, *n.footprintReply(r))
	}
	return out, nil
}

// footprintEntry makes the directory's entry of a footprint, for its registrar.
func (n *Node) footprintEntry(ctx context.Context, in FootprintRequest) (*MemberReply, error) {
	r, err := n.footprintNamed(in.Name)
	if err != nil {
		return nil, err
	}
	m := directory.Member{Council: r.name, Title: string(r.name), Role: directory.RoleFootprint, Members: r.f.Councils()}
	if old, ok := n.directory.Member(r.name); ok {
		m.Title, m.Contact, m.ValidFrom = old.Title, old.Contact, old.ValidFrom
	} else {
		m.ValidFrom = n.now().UTC().Truncate(24 * time.Hour)
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	out := n.memberReply(m)
	return &out, nil
}
