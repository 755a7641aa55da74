package footprint

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

// A member that led, was cut off and wrote on has entries that the others never
// took. When it is back after they cut their log off, it is sent the ledger as of a
// position S that its own log reaches beyond. raft 1.8.0 does two things wrong then
// (hashicorp/raft issue 697), and a member to which it happens is sent the ledger
// again and again, without an end:
//
//   - Of a log that has another entry at S it should discard the rest (Ongaro and
//     Ousterhout 2014, figure 13, InstallSnapshot, rules 6 and 7). It deletes all, but goes
//     on in the belief that its log ends where it did, so that whatever the leader sends
//     next does not fit.
//   - Of a log that has the same entry at S it should keep what follows. It deletes
//     that too, which others may count on.
//
// What raft believes of its log's end is changed by one thing only, entries that take
// the place of others. So before such a snapshot raft is shown the entry before S
// as one that comes in the place of the same (lower), and while a snapshot is being
// installed nothing beyond it is deleted.

// install hands a snapshot to raft and waits until it has been installed or refused.
func (g *guard) install(rpc raft.RPC, c *raft.InstallSnapshotRequest) {
	if err := g.endBefore(c); err != nil {
		g.refuse(rpc, err)
		return
	}
	g.f.logs.keepBeyond(c.LastLogIndex)
	r, err := g.ask(c, rpc.Reader)
	if err != nil { // closing: raft may still be at it
		rpc.Respond(nil, err)
		return
	}
	g.f.logs.keepBeyond(0)
	rpc.RespChan <- r
}

// endBefore ends the log before the position of a snapshot where it has another entry at
// that position.
func (g *guard) endBefore(c *raft.InstallSnapshotRequest) error {
	at := c.LastLogIndex
	var own raft.Log
	err := g.f.logs.GetLog(at, &own)
	if errors.Is(err, raft.ErrLogNotFound) || err == nil && own.Term == c.LastLogTerm {
		return nil
	}
	if err != nil {
		return err
	}
	if at <= g.f.fsm.current().Applied() {
		return anotherAt(at)
	}
	// What is before it stands: raft goes back to nothing.
	var before raft.Log
	if err := g.f.logs.GetLog(at-1, &before); err != nil {
		return err
	}
	g.f.logs.lower(at - 1)
	defer g.f.logs.lower(0)
	r, err := g.ask(&raft.AppendEntriesRequest{RPCHeader: c.RPCHeader, Term: c.Term, Entries: []*raft.Log{&before}}, nil)
	if err != nil {
		return err
	}
	if a, ok := r.Response.(*raft.AppendEntriesResponse); r.Error != nil || !ok || !a.Success {
		return errors.Join(errors.New("the log was not ended before the snapshot"), r.Error)
	}
	return nil
}

// ask hands raft a message and waits for its answer.
func (g *guard) ask(command any, body io.Reader) (raft.RPCResponse, error) {
	answer := make(chan raft.RPCResponse, 1)
	select {
	case g.out <- raft.RPC{Command: command, Reader: body, RespChan: answer}:
	case <-g.f.ctx.Done():
		return raft.RPCResponse{}, raft.ErrTransportShutdown
	}
	select {
	case r := <-answer:
		return r, nil
	case <-g.f.ctx.Done():
		return raft.RPCResponse{}, raft.ErrTransportShutdown
	}
}

func anotherAt(position uint64) error {
	return fmt.Errorf("another entry at position %d, which is applied here", position)
}

// lower has the log end at a position as soon as raft puts the entry there in the place
// of itself; 0 ends it.
func (l *raftLog) lower(position uint64) { l.lowering.Store(position) }

// keepBeyond keeps what comes after a position from being deleted with what comes before; 0 ends it.
func (l *raftLog) keepBeyond(position uint64) { l.installing.Store(position) }

// GetLog implements raft.LogStore. Of the last entry before the log, which a snapshot
// has in it, it tells position and term: raft looks there for the entry that another's follow.
func (l *raftLog) GetLog(index uint64, log *raft.Log) error {
	err := l.get(index, log)
	if errors.Is(err, raft.ErrLogNotFound) && index > 1 && l.noted != nil {
		at, term, nerr := l.noted()
		if nerr != nil {
			return nerr
		}
		if at == index {
			*log, err = raft.Log{Index: index, Term: term, Type: raft.LogNoop}, nil
		}
	}
	if err == nil && index == l.lowering.Load() {
		log.Term = 0 // no entry has it
	}
	return err
}

// StoreLogs implements raft.LogStore.
func (l *raftLog) StoreLogs(logs []*raft.Log) error {
	if at := l.lowering.Load(); at != 0 && len(logs) == 1 && logs[0].Index == at {
		return nil // it is there
	}
	return l.store(logs)
}

// DeleteRange implements raft.LogStore.
func (l *raftLog) DeleteRange(first, last uint64) error {
	if at := l.lowering.Load(); at != 0 && first == at {
		first++
	}
	if at := l.installing.Load(); at != 0 {
		last = min(last, at)
	}
	return l.WAL.DeleteRange(first, last)
}
