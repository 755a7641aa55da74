package footprint

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

// A guard stands between what other members' raft sends and our own. Raft
// believes its peers: of a configuration it cannot read, a kind of entry it does
// not know, or entries that are not in order it makes a panic, which would end
// the council's whole node. A member that sends such a thing is answered an
// error instead, and raft never sees it.
type guard struct {
	*raft.NetworkTransport
	f   *Footprint
	out chan raft.RPC
}

func newGuard(f *Footprint, inner *raft.NetworkTransport) *guard {
	return &guard{inner, f, make(chan raft.RPC)}
}

// run passes on what is in order, until the footprint closes.
func (g *guard) run() {
	for {
		select {
		case <-g.f.ctx.Done():
			return
		case rpc := <-g.NetworkTransport.Consumer():
			if err := g.check(rpc.Command); err != nil {
				g.refuse(rpc, err)
				continue
			}
			if c, ok := rpc.Command.(*raft.InstallSnapshotRequest); ok {
				g.install(rpc, c)
				continue
			}
			select {
			case g.out <- rpc:
			case <-g.f.ctx.Done():
				rpc.Respond(nil, raft.ErrTransportShutdown)
				return
			}
		}
	}
}

func (g *guard) refuse(rpc raft.RPC, because error) {
	g.f.o.Log.Warn("a member's raft message is refused", "footprint", g.f.o.Name, "because", because.Error())
	if rpc.Reader != nil {
		// What follows stands between this message and the next.
		if _, err := io.Copy(io.Discard, rpc.Reader); err != nil {
			g.f.o.Log.Debug("the rest of it", "footprint", g.f.o.Name, "error", err.Error())
		}
	}
	rpc.Respond(nil, because)
}

// Consumer implements raft.Transport.
func (g *guard) Consumer() <-chan raft.RPC { return g.out }

// maxServers is how many servers a configuration may have: one for each member,
// and one more for each that is being replaced.
const maxServers = 2 * MaxMembers

func (g *guard) check(command any) error {
	switch c := command.(type) {
	case *raft.AppendEntriesRequest:
		if len(c.Entries) == 0 {
			return nil
		}
		err := checkEntries(c, g.f.o.newest(), g.f.Machines())
		g.f.outdated.Store(errors.Is(err, errNewer))
		if err != nil {
			return err
		}
		// Badger maps its files into memory: running out of disk under it ends
		// the process by a signal. So nothing more is taken well before.
		if err := g.room(0); err != nil {
			return err
		}
		if err := g.checkApplied(c); err != nil {
			return err
		}
		g.f.fsm.receive(c.Entries)
		return nil
	case *raft.InstallSnapshotRequest:
		if c.SnapshotVersion != 1 {
			return fmt.Errorf("snapshot of version %d", c.SnapshotVersion)
		}
		if c.Size < 0 || c.LastLogIndex == 0 {
			return errors.New("snapshot of nothing")
		}
		if err := checkServers(c.Configuration); err != nil {
			return err
		}
		// The stream and the replica made of it are there side by side.
		return g.room(2 * uint64(c.Size))
	}
	return nil
}

// room refuses when the disk would have less left than half of what proposals
// leave.
func (g *guard) room(want uint64) error {
	free, err := g.f.o.free(g.f.o.Dir)
	if err == nil && free < want+g.f.o.MinFree/2 {
		err = fmt.Errorf("%w: %d MiB free", ErrFull, free>>20)
	}
	return err
}

func checkEntries(c *raft.AppendEntriesRequest, newest int, machines bool) error {
	next := c.PrevLogEntry + 1
	for i, l := range c.Entries {
		if l == nil || l.Index != next+uint64(i) {
			return errors.New("entries out of order")
		}
		if l.Term > c.Term || l.Term == 0 {
			return errors.New("an entry of a later term than its sender's")
		}
		switch l.Type {
		case raft.LogNoop, raft.LogBarrier:
		case raft.LogCommand:
			// What this member does not understand it does not take into its
			// log, so it cannot be committed before a majority understands it.
			switch cmd, err := parseCommand(l.Data, newest); {
			case err != nil:
				return err
			case cmd.kind == commandWrites && !machines:
				return errMachines
			}
		case raft.LogConfiguration:
			if err := checkServers(l.Data); err != nil {
				return err
			}
		default:
			return fmt.Errorf("an entry of kind %d", l.Type)
		}
	}
	return nil
}

// checkApplied refuses entries that would take the place of others that are
// applied here. No leader that was elected has such.
func (g *guard) checkApplied(c *raft.AppendEntriesRequest) error {
	applied := g.f.fsm.current().Applied()
	for _, l := range c.Entries {
		if l.Index > applied {
			break
		}
		var own raft.Log
		if err := g.f.logs.GetLog(l.Index, &own); err != nil {
			continue // cut off long ago
		}
		if own.Term != l.Term {
			return anotherAt(l.Index)
		}
	}
	return nil
}

// checkServers reads a configuration as raft does, and refuses what raft would
// make a panic of or no footprint has.
func checkServers(b []byte) (err error) {
	if len(b) > 64<<10 {
		return errors.New("a configuration too long")
	}
	defer func() {
		// DecodeConfiguration has no other way to say that it cannot.
		if recover() != nil {
			err = errors.New("a configuration that cannot be read")
		}
	}()
	c := raft.DecodeConfiguration(b)
	if len(c.Servers) == 0 || len(c.Servers) > maxServers {
		return fmt.Errorf("a configuration of %d servers", len(c.Servers))
	}
	seen := map[raft.ServerID]bool{}
	for _, s := range c.Servers {
		if _, _, ok := parseServer(string(s.ID)); !ok || string(s.Address) != string(s.ID) || seen[s.ID] {
			return errors.New("a configuration with a server that is none")
		}
		seen[s.ID] = true
	}
	return nil
}
