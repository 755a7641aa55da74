package footprint

import (
	"bytes"
	"sync"

	"github.com/hashicorp/raft"
)

// Each member checks each page once: the leader before it proposes it, the
// others as soon as it comes, while the commands before it are being written,
// agreed to and applied. What was checked is remembered by the very bytes of the
// command until it is applied; a command that is not remembered, after a restart
// or when there is no room, is checked when it is applied.

// A prepared command has been taken apart, and its groups have been checked or
// will be before they are applied.
type prepared struct {
	data   []byte
	c      command
	groups []*checkedGroup
}

func (m *fsm) prepare(data []byte) (*prepared, error) {
	c, err := parseCommand(data, m.newest)
	if err != nil {
		return nil, err
	}
	p := &prepared{data: data, c: c, groups: make([]*checkedGroup, len(c.groups))}
	for i, g := range c.groups {
		p.groups[i] = newCheckedGroup(g, &m.seals)
	}
	return p, nil
}

// maxAhead is how many commands are remembered, of each kind.
const maxAhead = 32

// ahead are the commands that this member knows before they are applied.
type ahead struct {
	queue chan *prepared // to be checked

	mu       sync.Mutex           // guards what follows
	received map[uint64]*prepared // by position; what stands there may still be replaced
	proposed map[*byte]*prepared  // by where the bytes are, which raft hands on
}

func newAhead() *ahead {
	return &ahead{queue: make(chan *prepared, maxAhead), received: map[uint64]*prepared{}, proposed: map[*byte]*prepared{}}
}

// propose remembers what this member is about to propose, all of it checked.
func (a *ahead) propose(p *prepared) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.proposed) < maxAhead {
		a.proposed[&p.data[0]] = p
	}
}

// decided forgets what was proposed.
func (a *ahead) decided(p *prepared) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.proposed, &p.data[0])
}

// receive has the commands checked that a leader sent.
func (m *fsm) receive(logs []*raft.Log) {
	applied := m.current().Applied()
	for _, l := range logs {
		if l.Type != raft.LogCommand || l.Index <= applied {
			continue
		}
		p, err := m.prepare(l.Data)
		if err != nil || len(p.groups) == 0 {
			continue
		}
		if m.ahead.put(l.Index, applied, p) {
			select {
			case m.ahead.queue <- p:
			default:
			}
		}
	}
}

func (a *ahead) put(position, applied uint64, p *prepared) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.received) >= maxAhead {
		for i := range a.received {
			if i <= applied {
				delete(a.received, i)
			}
		}
	}
	if len(a.received) >= maxAhead {
		return false
	}
	if had := a.received[position]; had != nil && bytes.Equal(had.data, p.data) {
		return false // sent again
	}
	a.received[position] = p
	return true
}

// prepared returns a command as it was remembered, or takes it apart now.
func (m *fsm) prepared(l *raft.Log) (*prepared, error) {
	m.ahead.mu.Lock()
	p := m.ahead.received[l.Index]
	delete(m.ahead.received, l.Index)
	if p == nil && len(l.Data) > 0 {
		p = m.ahead.proposed[&l.Data[0]]
	}
	m.ahead.mu.Unlock()
	if p != nil && bytes.Equal(p.data, l.Data) {
		return p, nil
	}
	return m.prepare(l.Data)
}

// checkAhead checks what comes, until the footprint closes.
func (f *Footprint) checkAhead() {
	for {
		select {
		case <-f.ctx.Done():
			return
		case p := <-f.fsm.ahead.queue:
			f.fsm.checkAll(p.groups)
		}
	}
}
