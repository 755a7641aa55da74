package wire

import (
	"sync"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// A Memory is a world of councils joined by a network in memory, with weather.
// It keeps time with package time only, so in a testing/synctest bubble hours of
// it pass at once. All methods may be called concurrently.
//
// How it behaves: a link, one for each direction between two councils, delivers
// in order after its delay and at its bandwidth. A cut link holds what is sent
// on it, as TCP does, and delivers after [Memory.Heal]; a connection one of
// whose links stays cut for the patience of the world is given up by both sides
// at the end of it, each without word from the other. Dialling across a cut
// waits for the context. A connection has at most 256 KiB unread in each
// direction of each stream; then writers wait.
type Memory struct {
	mu       sync.Mutex
	nodes    map[name.Council]*MemoryNode
	members  map[name.Council]bool
	hidden   map[name.Council]bool
	roads    map[road]*roadState
	conns    map[*memoryConn]bool
	changed  chan struct{} // closed, and made anew, when something above changes
	hook     func(Write) Fault
	patience time.Duration
	serial   uint64 // of the last stream
}

// road is one direction between two councils.
type road struct{ from, to name.Council }

type roadState struct {
	Link
	cut   bool
	since time.Time // when it was cut
	free  time.Time // when the last byte sent so far has left
}

// A Link says how one direction between two councils carries bytes.
type Link struct {
	Delay     time.Duration // from one end to the other
	Bandwidth int           // bytes a second, shared by all streams; 0: no limit
}

// A Fault is what happens to one Write on a stream: [None], [Lost], [Unsure] or
// what [Truncated] returns. A stream never loses a part and goes on, nor
// delivers a part twice, so there is no fault for that: every fault but None
// also breaks the stream, and its reader gets ErrReset after what did arrive.
type Fault int

// Faults of a Write.
const (
	None   Fault = 0  // arrives
	Lost   Fault = -1 // never arrives; the writer gets an error
	Unsure Fault = -2 // arrives whole; the writer gets an error all the same
)

// Truncated returns the fault of a Write of which the first n bytes arrive, at
// most all but one. The writer gets an error.
func Truncated(n int) Fault { return Fault(max(n, 0) + 1) }

// A Write is what the fault hook is asked about.
type Write struct {
	From, To name.Council
	Protocol string
	Stream   uint64 // numbers the streams of the world in the order of opening, from 1
	Opener   bool   // From opened the stream
	Serial   int    // numbers the writes of this end of the stream, from 0
	Data     []byte // read only, and only until the hook returns
}

// NewMemory returns an empty world. Its patience is 30 seconds.
func NewMemory() *Memory {
	return &Memory{
		nodes:    make(map[name.Council]*MemoryNode),
		members:  make(map[name.Council]bool),
		hidden:   make(map[name.Council]bool),
		roads:    make(map[road]*roadState),
		conns:    make(map[*memoryConn]bool),
		changed:  make(chan struct{}),
		patience: 30 * time.Second,
	}
}

// Node makes a council a member, if it is none, and returns its running node: a
// new one if there was none or it was closed, without handlers.
func (m *Memory) Node(c name.Council) *MemoryNode {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members[c] = true
	n := m.nodes[c]
	if n == nil {
		n = newMemoryNode(m, c)
		m.nodes[c] = n
		m.touch()
	}
	return n
}

// Twin returns another running node of a council, as when its keys were copied to a second
// machine. Others reach the one of [Memory.Node], and both by the connections that they made.
func (m *Memory) Twin(c name.Council) *MemoryNode {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members[c] = true
	return newMemoryNode(m, c)
}

// Remove takes a council out of every directory. On return its connections are
// closed.
func (m *Memory) Remove(c name.Council) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.members, c)
	for conn := range m.conns {
		if conn.joins(c) {
			conn.fail(ErrNotMember)
		}
	}
}

// Hide puts a council behind a firewall: it dials out, nobody dials it.
func (m *Memory) Hide(c name.Council) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hidden[c] = true
}

// Patience sets for how long a connection outlives a cut.
func (m *Memory) Patience(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.patience = d
}

// Cut cuts the links between a and b in both directions.
func (m *Memory) Cut(a, b name.Council) {
	m.CutOneWay(a, b)
	m.CutOneWay(b, a)
}

// CutOneWay cuts the link from one council to another; the other direction
// still carries.
func (m *Memory) CutOneWay(from, to name.Council) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := road{from, to}
	state := m.road(r)
	if state.cut {
		return
	}
	state.cut, state.since = true, time.Now()
	m.touch()
	for conn := range m.conns {
		if conn.joins(from) && conn.joins(to) {
			for s := range conn.streams {
				for _, p := range s.pipes {
					if p.road == r {
						p.hold(time.Now())
					}
				}
			}
			conn.watch()
		}
	}
}

// Heal ends all cuts between a and b. What was held arrives after the delay.
func (m *Memory) Heal(a, b name.Council) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range []road{{a, b}, {b, a}} {
		state := m.road(r)
		if !state.cut {
			continue
		}
		state.cut = false
		for conn := range m.conns {
			if conn.joins(a) && conn.joins(b) {
				for s := range conn.streams {
					for _, p := range s.pipes {
						if p.road == r {
							p.release(time.Now().Add(state.Delay))
						}
					}
					s.touch()
				}
			}
		}
	}
	m.touch()
}

// SetLink sets how the link from one council to another carries what is sent
// from now on.
func (m *Memory) SetLink(from, to name.Council, l Link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.road(road{from, to}).Link = l
}

// Disconnect breaks the connection between a and b, if there is one: both sides
// notice at once, and what was on its way is lost. They may dial again.
func (m *Memory) Disconnect(a, b name.Council) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for conn := range m.conns {
		if conn.joins(a) && conn.joins(b) {
			conn.fail(ErrReset)
		}
	}
}

// ResetStreams breaks every stream of the world as Disconnect does, and leaves
// the connections.
func (m *Memory) ResetStreams() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for conn := range m.conns {
		conn.resetStreams(ErrReset)
	}
}

// OnWrite has f decide about every Write from now on; nil ends that. f is called
// one Write at a time for each end of a stream, concurrently otherwise, and may
// call the other methods of Memory.
func (m *Memory) OnWrite(f func(Write) Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook = f
}

// touch wakes whoever waits for the world to change. m.mu is held, here and in
// every unexported method below.
func (m *Memory) touch() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *Memory) road(r road) *roadState {
	state := m.roads[r]
	if state == nil {
		state = &roadState{}
		m.roads[r] = state
	}
	return state
}

// arrival returns when n bytes sent now arrive, and counts them as sent.
func (m *Memory) arrival(r road, n int) (at time.Time, held bool) {
	state := m.road(r)
	leaves := time.Now()
	if state.Bandwidth > 0 {
		if state.free.After(leaves) {
			leaves = state.free
		}
		leaves = leaves.Add(time.Duration(float64(n) / float64(state.Bandwidth) * float64(time.Second)))
		state.free = leaves
	}
	return leaves.Add(state.Delay), state.cut
}

// between returns a connection of a node with a council, nil if there is none.
func (m *Memory) between(a *MemoryNode, b name.Council) *memoryConn {
	for conn := range a.conns {
		if conn.peer(a).council == b {
			return conn
		}
	}
	return nil
}
