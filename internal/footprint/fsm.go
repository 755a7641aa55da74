package footprint

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// An fsm applies committed commands to the replica. It implements
// raft.BatchingFSM.
type fsm struct {
	name   name.Council
	newest int // format of commands that is understood
	log    *slog.Logger
	folder *folder
	snaps  *snapshotStore

	// swap is held for reading by whoever uses the replica, for writing when a
	// snapshot takes its place.
	swap    sync.RWMutex
	replica *ledger.Replica
	state   atomic.Pointer[state]
	// replayed is the folder of an empty replica that raft's log is to fill, in the place of a
	// damaged one; "" for none.
	replayed string

	ahead *ahead
	seals seals // those of this member
	// rechecked counts the entries that were checked for being applied, and not
	// before they were proposed.
	rechecked atomic.Uint64

	commands, bytes atomic.Uint64 // applied since the start

	// lent is held for reading while a council's ledger is open in the
	// replica's store, for writing when the store goes from under it.
	lent sync.RWMutex

	failed   atomic.Pointer[error]
	onFail   func(error)
	applied  func(effects)
	dropping func() error // before something leaves the disk that raft's log holds too
}

// effects are what a batch of commands did, beside the entries.
type effects struct {
	marked  bool
	members bool
	erased  bool
	batches bool
	records []inspection // let in, and not looked at by this member before
}

// A reply is what applying a command gives: an outcome for each entry of each
// group.
type reply struct {
	position uint64
	outcomes [][]Outcome
}

func openFSM(f *folder, o *Options) (*fsm, error) {
	m := &fsm{name: f.id.Footprint, newest: o.newest(), log: o.Log, folder: f, ahead: newAhead(), onFail: func(error) {}, applied: func(effects) {}, dropping: func() error { return nil }}
	m.snaps = &snapshotStore{f, m.current}
	replica, err := f.openReplica()
	if errors.Is(err, ledger.ErrDamaged) {
		was := err
		var ok bool
		if replica, m.replayed, ok, err = f.replay(m.snaps); err == nil && !ok {
			err = was
		}
	}
	if err != nil {
		return nil, err
	}
	var s *state
	if m.replica, err = m.snaps.resume(replica); err == nil {
		s, err = m.stateOf(m.replica)
	}
	if err != nil {
		return nil, errors.Join(err, m.replica.Close())
	}
	m.state.Store(s)
	return m, nil
}

func (m *fsm) current() *ledger.Replica {
	m.swap.RLock()
	defer m.swap.RUnlock()
	return m.replica
}

// view reads the replica and the state that goes with it.
func (m *fsm) view(f func(*ledger.ReplicaView) error) error {
	m.swap.RLock()
	defer m.swap.RUnlock()
	return m.replica.View(f)
}

func (m *fsm) close() error {
	m.lent.Lock()
	defer m.lent.Unlock()
	m.swap.Lock()
	defer m.swap.Unlock()
	return m.replica.Close()
}

// fail stops applying for good: what the store holds is not known, or a
// command is not understood.
func (m *fsm) fail(err error) {
	if m.failed.CompareAndSwap(nil, &err) {
		m.log.Error("the footprint's replica has stopped", "footprint", m.name, "because", err.Error())
		go m.onFail(err)
	}
}

func (m *fsm) failure() error {
	if p := m.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// Apply implements raft.FSM.
func (m *fsm) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM. Commands go into as few transactions
// as hold them, each with its position.
func (m *fsm) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	commands := make([]command, len(logs))
	replica := m.current()
	done := replica.Applied()
	var work []*checkedGroup
	groups := make([][]*checkedGroup, len(logs))
	for i, l := range logs {
		if l.Type != raft.LogCommand || l.Index <= done {
			continue
		}
		p, err := m.prepared(l)
		if err == nil && p.c.kind == commandWrites && !m.folder.id.Machines {
			err = errMachines
		}
		if err != nil {
			// Nothing that was proposed by this version. To go on would be to
			// differ from those who know what it means.
			m.fail(fmt.Errorf("position %d: %w", l.Index, err))
			break
		}
		commands[i], groups[i] = p.c, p.groups
		m.commands.Add(1)
		m.bytes.Add(uint64(len(l.Data)))
		work = append(work, p.groups...)
	}
	m.checkAll(work)
	var all effects
	for i, end := 0, 0; i < len(logs); i = end {
		if err := m.failure(); err != nil {
			for ; i < len(logs); i++ {
				out[i] = err
			}
			break
		}
		for size := 0; end < len(logs); end++ {
			size += applyCost(logs[end], commands[end])
			if end > i && size > ledger.MaxReplicaWrite*3/4 {
				break
			}
		}
		next := *m.state.Load()
		var eff effects
		err := replica.Apply(lastPosition(logs[i:end], done), func(t *ledger.ReplicaTx) error {
			for n := i; n < end; n++ {
				if logs[n].Type != raft.LogCommand || logs[n].Index <= done {
					continue
				}
				a := applier{name: m.name, machines: m.folder.id.Machines, s: &next, t: t, at: commands[n].at, counts: map[string]int64{}}
				if c := commands[n]; c.kind == commandWrites {
					switch stale, err := a.write(c, logs[n].Term, m.drop); {
					case err != nil:
						return err
					case stale:
						out[n] = ErrDeposed
					default:
						out[n] = reply{position: logs[n].Index}
					}
					continue
				}
				r, err := a.command(commands[n], groups[n])
				if err != nil {
					return err
				}
				r.position = logs[n].Index
				out[n] = r
				eff.marked = eff.marked || a.marked
				eff.members = eff.members || a.members
				eff.erased = eff.erased || a.erased
				eff.batches = true
				for g, out := range r.outcomes {
					for i, o := range out {
						if c := groups[n][g].entries[i]; o.Code == Accepted && c.view != nil && !c.asked {
							eff.records = append(eff.records, inspection{o.Entry, c.view})
						}
					}
				}
			}
			if eff.batches {
				// Who has waited for the position decides by the state that goes
				// with it.
				t.Then(func() { m.state.Store(&next) })
			}
			return nil
		})
		if err != nil {
			// Whether it is on disk is not known, or it cannot be applied at
			// all; the next start finds out from the stored position.
			m.fail(err)
			for n := i; n < end; n++ {
				out[n] = m.failure()
			}
			continue
		}
		if eff.batches {
			all.marked = all.marked || eff.marked
			all.members = all.members || eff.members
			all.erased = all.erased || eff.erased
			all.records = append(all.records, eff.records...)
			all.batches = true
		}
	}
	if all.batches {
		m.applied(all)
	}
	return out
}

// applyCost is about what a command writes to the replica.
func applyCost(l *raft.Log, c command) int {
	if c.kind == commandWrites {
		return ledger.MaxReplicaWrite // by itself: many small keys fill a transaction too
	}
	n := len(l.Data)
	for _, g := range c.groups {
		n += 400 * len(g.entries)
	}
	return n
}

// lastPosition returns the position of the last command to be applied; 0 when
// there is none, which applies nothing.
func lastPosition(logs []*raft.Log, done uint64) uint64 {
	for i := len(logs) - 1; i >= 0; i-- {
		if logs[i].Type == raft.LogCommand && logs[i].Index > done {
			return logs[i].Index
		}
	}
	return 0
}

func (a *applier) command(c command, groups []*checkedGroup) (reply, error) {
	var r reply
	switch {
	case c.kind == commandFormat:
		a.moveFormat(c)
	case int(c.version) > a.s.format():
		// No honest leader proposes it: an older member would stop at it. It
		// changes nothing, here as everywhere.
		for _, g := range c.groups {
			out := make([]Outcome, len(g.entries))
			for i := range out {
				out[i] = refused(RuleWaits)
			}
			r.outcomes = append(r.outcomes, out)
		}
		return r, nil
	case c.kind == commandMark:
		a.s.Marked = a.t.Next()
		a.marked = true
	}
	for _, k := range groups {
		out, err := a.group(k)
		if err != nil {
			return r, err
		}
		r.outcomes = append(r.outcomes, out)
	}
	return r, a.finish()
}

// checkAll takes groups apart and verifies what signatures they have on all cores,
// unless that was done or is being done, by the keys of the members there are; one
// whose member changes meanwhile is verified again when its turn comes.
func (m *fsm) checkAll(groups []*checkedGroup) {
	s := m.state.Load()
	for _, k := range groups {
		k.once.Do(func() {
			m.rechecked.Add(uint64(len(k.entries)))
			each(len(k.entries), func(i int) {
				c := k.entries[i]
				if c.parse(); c.rule == "" && c.event != nil {
					if mem := cmp.Or(s.members[c.signer()], s.outside[c.signer()]); mem != nil {
						c.verify(mem)
					}
				}
			})
			if k.finish(); k.leaves != nil {
				if mem := s.signer(k.g); mem != nil {
					k.verify(m.name, mem)
				}
			}
		})
	}
}

// each calls f with every number below n, on all cores.
func each(n int, f func(int)) {
	workers := min(runtime.GOMAXPROCS(0), (n+7)/8)
	if workers <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}

// Snapshot implements raft.FSM.
func (m *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if err := m.failure(); err != nil {
		return nil, err
	}
	return asFarAs{m.current().Applied()}, nil
}

// An asFarAs is a snapshot of which the replica itself is the content.
type asFarAs struct{ applied uint64 }

// Persist implements raft.FSMSnapshot.
func (n asFarAs) Persist(s raft.SnapshotSink) error {
	k, ok := s.(*snapshotWriter)
	if !ok {
		return errors.Join(s.Cancel(), fmt.Errorf("internal error: snapshot into %T", s))
	}
	k.meta.Applied = n.applied
	return k.Close()
}

// Release implements raft.FSMSnapshot.
func (asFarAs) Release() {}

// Restore implements raft.FSM: it puts a snapshot in the place of the replica.
// The replica stays until the new one is whole and checked and is shown to
// extend it.
func (m *fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	if err := m.failure(); err != nil {
		return err
	}
	next, dir, err := m.folder.load(r)
	if err != nil {
		return err
	}
	state, err := m.stateOf(next)
	if err = errors.Join(err, extends(m.current(), next)); err != nil {
		return errors.Join(err, next.Close())
	}
	// Whoever has it open led, and has been told that it leads no more.
	m.lent.Lock()
	defer m.lent.Unlock()
	if err := m.folder.adopt(dir); err != nil {
		return errors.Join(err, next.Close())
	}
	m.swap.Lock()
	old := m.replica
	m.replica = next
	m.state.Store(state)
	m.swap.Unlock()
	if err := errors.Join(old.Close(), m.snaps.installed(next.Applied()), m.folder.tidy(dir)); err != nil {
		m.fail(err)
		return err
	}
	m.applied(effects{marked: true, members: true, erased: true, batches: true})
	return nil
}

// extends shows that a log begins with all of another.
func extends(old, next *ledger.Replica) error {
	was := old.Checkpoint()
	return next.View(func(v *ledger.ReplicaView) error {
		root, err := rootAt(v, was.Size)
		if err != nil {
			return err
		}
		if root != was.Root || v.Applied() < old.Applied() {
			return fmt.Errorf("the snapshot does not extend the %d entries held here", was.Size)
		}
		return nil
	})
}

// rootAt returns the root that the log had at an earlier size.
func rootAt(v *ledger.ReplicaView, size uint64) (tlog.Hash, error) {
	if size > v.Checkpoint().Size {
		return tlog.Hash{}, fmt.Errorf("the log has %d entries, not %d", v.Checkpoint().Size, size)
	}
	tree, err := tlog.OpenTree(size, v)
	if err != nil {
		return tlog.Hash{}, err
	}
	return tree.Root(), nil
}
