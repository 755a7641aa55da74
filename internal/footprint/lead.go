package footprint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

func makeDir(dir string) error { return os.MkdirAll(dir, 0o700) }

// A term is one time during which this member leads.
type term struct{}

// lead does what only the leader does: it marks the tree for cosigning and
// makes raft's voters what the ledger says the members are.
func (f *Footprint) lead() {
	tick := time.NewTicker(f.o.MarkEvery)
	defer tick.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-f.notify:
		case <-f.kick:
		case <-tick.C:
		}
		if f.raft.State() != raft.Leader {
			f.ready.Store(nil)
			clear(f.leaving)
			continue
		}
		if f.ready.Load() == nil {
			// Everything an earlier leader committed is applied before this one
			// answers a read or decides about members.
			if err := f.raft.Barrier(10 * time.Second).Error(); err != nil {
				continue
			}
			f.ready.Store(&term{})
			f.wake(f.upgrades)
		}
		f.mark()
		f.reconcile()
	}
}

// mark has the members cosign what was added since the last mark.
func (f *Footprint) mark() {
	s := f.fsm.state.Load()
	if size := f.fsm.current().Checkpoint().Size; size == 0 || s.Marked == size || f.roomOnDisk() != nil {
		return
	}
	c := command{version: byte(s.format()), kind: commandMark, at: f.o.Now().Unix()}
	if err := f.raft.Apply(c.encode(), time.Second).Error(); err != nil {
		f.o.Log.Debug("mark", "footprint", f.o.Name, "error", err.Error())
	}
}

// caughtUp is how many positions a new member may be behind when it is given a
// vote.
const caughtUp = 64

// reconcile makes at most one change to raft's servers, so that they come to be
// what the ledger says. Whoever leads does it, so a leader lost in the middle
// leaves nothing half done.
func (f *Footprint) reconcile() {
	future := f.raft.GetConfiguration()
	if future.Error() != nil {
		return
	}
	servers := future.Configuration().Servers
	s := f.fsm.state.Load()
	want := map[raft.ServerID]*member{}
	for _, m := range s.members {
		want[raft.ServerID(m.server())] = m
	}
	if len(want) == 0 {
		return
	}
	index := future.Index()
	report := func(what string, id raft.ServerID, err error) {
		if err != nil {
			f.o.Log.Info(what+" not done yet", "footprint", f.o.Name, "server", id, "error", err.Error())
			return
		}
		f.o.Log.Info(what, "footprint", f.o.Name, "server", id)
	}
	f.mu.Lock()
	full := f.full
	f.mu.Unlock()
	self := raft.ServerID(f.server())
	if want[self] == nil && len(servers) == 1 {
		return // recovering: the entry that says so comes first
	}
	if want[self] == nil || full {
		// Not ours to lead any more. The next leader takes us out.
		err := f.raft.LeadershipTransfer().Error()
		report("handing the lead on", self, err)
		if err == nil || want[self] != nil {
			return
		}
	}
	for _, srv := range servers {
		if want[srv.ID] == nil && srv.ID != self {
			if f.mayRemove(srv.ID) {
				report("removing a server", srv.ID, f.raft.RemoveServer(srv.ID, index, time.Second).Error())
			}
			return
		}
	}
	for _, c := range s.councils() {
		id := raft.ServerID(s.members[c].server())
		i := slices.IndexFunc(servers, func(srv raft.Server) bool { return srv.ID == id })
		switch {
		case i < 0:
			report("adding a server without a vote", id, f.raft.AddNonvoter(id, raft.ServerAddress(id), index, time.Second).Error())
			return
		case servers[i].Suffrage != raft.Voter:
			// It may be away; the others' changes wait for it no longer than
			// this question.
			p, err := f.peer(c, time.Second)
			if err != nil || p.Server != string(id) || p.Applied+caughtUp < f.fsm.current().Applied() {
				continue
			}
			report("giving a server a vote", id, f.raft.AddVoter(id, raft.ServerAddress(id), index, time.Second).Error())
			return
		}
	}
}

// leaveWithin is how long a server that the ledger has no member for stays in
// raft's configuration until it has applied the entry by which it left.
const leaveWithin = 10 * time.Second

// mayRemove reports whether a server that is no member's any more can be taken
// out of raft's configuration. From then on raft sends it nothing, but for one
// last message that may be lost, so a member that is up is first let apply the
// entry by which it left: it would never learn of it otherwise. One that does
// not answer is waited for until leaveWithin has passed, since a dead member
// must be removable. A replica that another took the place of is waited for no
// longer: it is not there to learn anything.
func (f *Footprint) mayRemove(id raft.ServerID) bool {
	since, ok := f.leaving[id]
	if !ok {
		since = time.Now()
		f.leaving[id] = since
	}
	c, _, ok := parseServer(string(id))
	if !ok {
		return true
	}
	p, err := f.peer(c, time.Second)
	if err == nil && (p.Left || p.Server != string(id)) || time.Since(since) >= leaveWithin {
		delete(f.leaving, id)
		return true
	}
	return false
}

// Out reports whether this council is a member no longer: what this replica has
// applied says so; or no leader is heard of here, and a majority of the members last
// answered so. The latter is how a member learns of it that could not be reached
// while the others let it go: it has a vote, hears of no leader, and so asks them all.
func (f *Footprint) Out() bool {
	s := f.fsm.state.Load()
	if s.members[f.o.Self] == nil {
		return f.left()
	}
	if _, leader := f.raft.LeaderWithID(); leader != "" {
		return false
	}
	n := 0
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range s.members {
		if saysNoMember(f.contact[c].err) {
			n++
		}
	}
	return n >= s.majority()
}

func saysNoMember(err error) bool {
	r, ok := errors.AsType[*Refusal](err)
	return ok && r.Rule == RuleMember
}

// peer asks a member how it is.
func (f *Footprint) peer(c name.Council, within time.Duration) (Peer, error) {
	ctx, cancel := context.WithTimeout(f.ctx, within)
	defer cancel()
	start := time.Now()
	b, err := f.ask(ctx, c, askSelf, nil)
	var p Peer
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		return p, err
	}
	p.took = time.Since(start)
	f.mu.Lock()
	f.peers[c] = p
	f.mu.Unlock()
	return p, nil
}

// Invite proposes that a council may join with the keys of its directory entry,
// or, when it is a member, that it may join again after it lost its disk. The
// proposal counts as this member's agreement.
func (f *Footprint) Invite(ctx context.Context, c name.Council) (Receipt, error) {
	m, ok := f.o.Directory.Member(c)
	if !ok {
		return Receipt{}, fmt.Errorf("invite %s: not in the directory", c)
	}
	return f.change(ctx, event.FootprintChange{Change: event.ChangeAdmit, Council: c, Member: string(m.Bare().YAML())})
}

// Remove proposes that a council is a member no longer, nor invited. A council
// leaves by proposing that itself.
func (f *Footprint) Remove(ctx context.Context, c name.Council) (Receipt, error) {
	return f.change(ctx, event.FootprintChange{Change: event.ChangeRemove, Council: c})
}

// ErrAlone: without the council that would leave too few of the others are up to decide
// anything.
var ErrAlone = errors.New("the others could decide nothing without us")

// Leave proposes that this council is a member no longer, unless it has proposed that
// already. The others agree by themselves ([Footprint.LetGo]). The error is ErrAlone, with
// who does not answer, where the others would be left without a majority that is up; a
// council leaves no footprint that then stands still.
func (f *Footprint) Leave(ctx context.Context) (Receipt, error) {
	if err := f.catchUp(ctx); err != nil {
		return Receipt{}, err
	}
	if o := f.fsm.state.Load().Open; o.leave() && o.By == f.o.Self {
		return Receipt{Position: f.fsm.current().Applied()}, nil
	}
	if err := f.goesOnWithout(f.o.Self); err != nil {
		return Receipt{}, err
	}
	return f.Remove(ctx, f.o.Self)
}

// MayLeave returns why Leave would be refused now, as far as is known here: nil also of the
// last member, which has nobody to leave the footprint to. It asks the others how they are.
func (f *Footprint) MayLeave() error {
	s := f.fsm.state.Load()
	switch o := s.Open; {
	case o.leave() && o.By == f.o.Self || len(s.members) == 1:
		return nil
	case o != nil && f.o.Now().Unix() < o.At+changeLapses:
		return &Refusal{RuleOneChange}
	case s.format() < 3 && s.Formed && len(s.members) <= MinMembers:
		return &Refusal{RuleFew}
	}
	return f.goesOnWithout(f.o.Self)
}

// letGoEvery is how long a member waits before it agrees again to that the same one leaves:
// each time is an entry in its own ledger, and who leaves may change its mind for ever.
const letGoEvery = 10 * time.Second

// LetGo agrees, once, that a member leaves which has proposed that itself: nobody is held
// in. It does not while the members that are left would have no majority that is up, since
// a change that is agreed to is carried out whoever is away.
func (f *Footprint) LetGo(ctx context.Context) error {
	s := f.fsm.state.Load()
	o := s.Open
	if !o.leave() || o.By == f.o.Self || s.members[f.o.Self] == nil || slices.Contains(o.Agreed, f.o.Self) {
		return nil
	}
	f.mu.Lock()
	soon := time.Since(f.letGoAt[o.Council]) < letGoEvery
	f.mu.Unlock()
	if soon {
		return nil
	}
	if err := f.goesOnWithout(o.Council); err != nil {
		return fmt.Errorf("%s leaves: %w", o.Council, err)
	}
	f.mu.Lock()
	f.letGoAt[o.Council] = time.Now()
	f.mu.Unlock()
	_, err := f.Agree(ctx, o.Council)
	if r, ok := errors.AsType[*Refusal](err); ok && r.Rule == RuleNoChange {
		return nil // the others were a majority
	}
	return err
}

// leave reports whether a change is one by which a council leaves of its own will.
func (o *openChange) leave() bool {
	return o != nil && o.Change == event.ChangeRemove && o.By == o.Council
}

// goesOnWithout returns an error when fewer than a majority of the other members answer.
func (f *Footprint) goesOnWithout(c name.Council) error {
	n, up := 0, 0
	var away []string
	for _, m := range f.Status().Members {
		switch {
		case !m.Joined || m.Council == c:
		case m.Up:
			n, up = n+1, up+1
		default:
			n, away = n+1, append(away, string(m.Council))
		}
	}
	if n > 0 && up <= n/2 {
		return fmt.Errorf("%w: %d of %d answer, and not %s", ErrAlone, up, n, strings.Join(away, ", "))
	}
	return nil
}

func (f *Footprint) change(ctx context.Context, c event.FootprintChange) (Receipt, error) {
	if err := f.catchUp(ctx); err != nil {
		return Receipt{}, err
	}
	s := f.fsm.state.Load()
	if s.Open != nil && f.o.Now().Unix() < s.Open.At+changeLapses {
		return Receipt{}, &Refusal{RuleOneChange}
	}
	c.Footprint, c.Number = f.o.Name, s.Changes+1
	r, err := f.say(ctx, event.KindFootprintChange, c.Body())
	if err == nil {
		err = f.Await(ctx, r.Position)
	}
	return r, err
}

// catchUp brings this member to where the footprint is, so that what it says
// next is about that.
func (f *Footprint) catchUp(ctx context.Context) error {
	p, err := f.Latest(ctx)
	if err == nil {
		err = f.Await(ctx, p)
	}
	return err
}

// Agree agrees to the change of membership under way, which must be about the
// council named: nobody agrees to what he did not read. An admission is agreed
// to only when the keys it names are those of this member's own directory.
func (f *Footprint) Agree(ctx context.Context, about name.Council) (Receipt, error) {
	if err := f.catchUp(ctx); err != nil {
		return Receipt{}, err
	}
	o := f.fsm.state.Load().Open
	if o == nil || o.Council != about {
		return Receipt{}, &Refusal{RuleNoChange}
	}
	if o.Change != event.ChangeRemove {
		m, ok := f.o.Directory.Member(about)
		if !ok || !sameKeys(m, o.Document) {
			return Receipt{}, errors.New("the proposal names other keys for " + string(about) + " than this member's directory")
		}
	}
	r, err := f.say(ctx, event.KindFootprintAgreed, event.FootprintAgreed{Footprint: f.o.Name, Entry: o.Entry}.Body())
	if err == nil {
		err = f.Await(ctx, r.Position)
	}
	return r, err
}

// Cancel takes this member's own proposal back.
func (f *Footprint) Cancel(ctx context.Context) (Receipt, error) {
	if err := f.catchUp(ctx); err != nil {
		return Receipt{}, err
	}
	o := f.fsm.state.Load().Open
	if o == nil || o.By != f.o.Self {
		return Receipt{}, &Refusal{RuleNoChange}
	}
	return f.say(ctx, event.KindFootprintCancelled, event.FootprintCancelled{Footprint: f.o.Name, Entry: o.Entry}.Body())
}

// Transfer hands the lead to another member, or with "" to any. Only the
// leader can; on another member it is errNotLeader in words.
func (f *Footprint) Transfer(to name.Council) error {
	if f.raft.State() != raft.Leader {
		_, id := f.raft.LeaderWithID()
		c, _, _ := parseServer(string(id))
		if c == "" {
			return fmt.Errorf("transfer: %w", errNoLeader)
		}
		return fmt.Errorf("transfer: %s leads: only its own node can hand the lead on", c)
	}
	if to == "" {
		return f.raft.LeadershipTransfer().Error()
	}
	m := f.fsm.state.Load().members[to]
	if m == nil {
		return &Refusal{RuleMember}
	}
	return f.raft.LeadershipTransferToServer(raft.ServerID(m.server()), raft.ServerAddress(m.server())).Error()
}

// Adopt takes a standard into use for the footprint.
func (f *Footprint) Adopt(ctx context.Context, archive []byte, n name.Standard, integrity string) (Receipt, error) {
	if s := f.fsm.state.Load().standards[n]; s == integrity && s != "" {
		return Receipt{Position: f.fsm.current().Applied(), Outcomes: []Outcome{{Code: Duplicate}}}, nil
	}
	jws, err := f.o.Sign(ctx, event.KindStandardAdopted, event.StandardAdopted{Standard: n, Integrity: integrity}.Body())
	if err != nil {
		return Receipt{}, err
	}
	r, err := f.contribute(ctx, group{contributor: f.o.Self, entries: []Entry{{Token: jws, Attachment: archive}}})
	if err == nil && r.Outcomes[0].Code == Refused {
		err = &Refusal{r.Outcomes[0].Rule}
	}
	return r, err
}
