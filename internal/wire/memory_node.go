package wire

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// A MemoryNode is one council's [Network] in a [Memory].
type MemoryNode struct {
	world   *Memory
	council name.Council
	ctx     context.Context
	cancel  context.CancelFunc
	work    sync.WaitGroup
	turn    *turnstile

	// Guarded by world.mu.
	closed    bool
	conns     map[*memoryConn]bool // those of the world's that end here
	handlers  map[string]func(context.Context, name.Council, Stream)
	onConnect []func(name.Council)
}

func newMemoryNode(m *Memory, c name.Council) *MemoryNode {
	n := &MemoryNode{
		world: m, council: c, turn: newTurnstile(DefaultStreams),
		handlers: make(map[string]func(context.Context, name.Council, Stream)), conns: make(map[*memoryConn]bool),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// Handle implements [Network].
func (n *MemoryNode) Handle(protocol string, h func(context.Context, name.Council, Stream)) {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	n.handlers[protocol] = h
}

// OnConnect implements [Network].
func (n *MemoryNode) OnConnect(f func(name.Council)) {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	n.onConnect = append(n.onConnect, f)
	for _, c := range n.connected() {
		n.tell(f, c)
	}
}

func (n *MemoryNode) tell(f func(name.Council), c name.Council) {
	if !n.closed {
		n.work.Go(func() { f(c) })
	}
}

// Connected implements [Network].
func (n *MemoryNode) Connected() []name.Council {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	return n.connected()
}

func (n *MemoryNode) connected() []name.Council {
	var list []name.Council
	for conn := range n.conns {
		list = append(list, conn.peer(n).council)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Dial implements [Network].
func (n *MemoryNode) Dial(ctx context.Context, to name.Council) error {
	ctx, cancel := within(ctx)
	defer cancel()
	if _, err := n.dial(ctx, to); err != nil {
		return fmt.Errorf("dial %s: %w", to, err)
	}
	return nil
}

// dial returns the connection with a council, made if need be in two round
// trips: one for TCP, one for TLS.
func (n *MemoryNode) dial(ctx context.Context, to name.Council) (*memoryConn, error) {
	m := n.world
	if to == n.council {
		return nil, fmt.Errorf("%w: that is this node", ErrUnreachable)
	}
	for trip := 0; ; trip++ {
		m.mu.Lock()
		peer := m.nodes[to]
		switch conn := m.between(n, to); {
		case n.closed:
			m.mu.Unlock()
			return nil, fmt.Errorf("%w: network closed", ErrUnreachable)
		case !m.members[to] || !m.members[n.council]:
			m.mu.Unlock()
			return nil, ErrNotMember
		case conn != nil:
			m.mu.Unlock()
			return conn, nil
		case m.hidden[to]:
			m.mu.Unlock()
			return nil, fmt.Errorf("%w: no address in the directory, so it has to dial us", ErrUnreachable)
		case peer == nil && !m.severed(n.council, to):
			m.mu.Unlock()
			return nil, fmt.Errorf("%w: connection refused", ErrUnreachable)
		case trip == 2:
			conn := m.join(n, peer)
			m.mu.Unlock()
			return conn, nil
		}
		m.mu.Unlock()
		if err := n.roundTrip(ctx, to); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
	}
}

// roundTrip waits as long as a packet there and its answer take, and for as long
// as either link is cut.
func (n *MemoryNode) roundTrip(ctx context.Context, to name.Council) error {
	m := n.world
	var back time.Time // when the answer is here; zero while the link is cut
	for {
		m.mu.Lock()
		severed, changed := m.severed(n.council, to), m.changed
		wait := m.road(road{n.council, to}).Delay + m.road(road{to, n.council}).Delay
		m.mu.Unlock()
		var timer <-chan time.Time
		switch {
		case severed:
			back = time.Time{}
		case wait == 0:
			return ctx.Err()
		default:
			if back.IsZero() {
				back = time.Now().Add(wait)
			}
			timer = time.After(time.Until(back))
		}
		select {
		case <-timer:
			return nil
		case <-changed:
		case <-n.ctx.Done():
			return n.ctx.Err()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (m *Memory) severed(a, b name.Council) bool {
	return m.road(road{a, b}).cut || m.road(road{b, a}).cut
}

// join makes the connection between two running nodes.
func (m *Memory) join(a, b *MemoryNode) *memoryConn {
	c := &memoryConn{world: m, ends: [2]*MemoryNode{a, b}, streams: make(map[*memoryStream]bool)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	m.conns[c], a.conns[c], b.conns[c] = true, true, true
	m.touch()
	for i, n := range c.ends {
		for _, f := range n.onConnect {
			n.tell(f, c.ends[1-i].council)
		}
	}
	return c
}

// Open implements [Network].
func (n *MemoryNode) Open(ctx context.Context, to name.Council, protocol string) (Stream, error) {
	ctx, cancel := within(ctx)
	defer cancel()
	s, err := n.open(ctx, to, protocol)
	if err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", protocol, to, err)
	}
	return s, nil
}

func (n *MemoryNode) open(ctx context.Context, to name.Council, protocol string) (*memoryEnd, error) {
	conn, err := n.dial(ctx, to)
	if err != nil {
		return nil, err
	}
	if err := n.roundTrip(ctx, to); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	m := n.world
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.conns[conn] {
		return nil, fmt.Errorf("%w: connection lost", ErrUnreachable)
	}
	peer := conn.peer(n)
	handler := peer.handlers[protocol]
	if handler == nil {
		return nil, ErrProtocol
	}
	m.serial++
	s := newMemoryStream(conn, protocol, m.serial, n.council, to)
	conn.streams[s] = true
	if !peer.turn.enter(n.council, protocol) {
		s.ends[1].abort(ErrBusy)
		return s.ends[0], nil
	}
	handling, done := context.WithCancel(conn.ctx)
	peer.work.Go(func() {
		defer peer.turn.leave(n.council, protocol)
		defer done()
		defer s.ends[1].Close()
		handler(handling, n.council, s.ends[1])
	})
	return s.ends[0], nil
}

// Close implements [Network].
func (n *MemoryNode) Close() error {
	m := n.world
	m.mu.Lock()
	if !n.closed {
		n.closed = true
		if m.nodes[n.council] == n {
			delete(m.nodes, n.council)
		}
		m.touch()
		for conn := range n.conns {
			conn.fail(ErrReset)
		}
	}
	m.mu.Unlock()
	n.cancel()
	n.work.Wait()
	return nil
}

var _ Network = (*MemoryNode)(nil)
