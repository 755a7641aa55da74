package footprint

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// The protocols of a footprint's members among themselves.
//
//	/stile/raft/1       hashicorp/raft's own messages, after a greeting
//	/stile/footprint/1  requests: forwarded entries, reads, cosignatures; see talk.go
//
// A raft stream begins with a frame of at most maxGreeting bytes, JSON:
//
//	{"footprint":"fens.example","from":"COUNCIL/INCARNATION","to":"COUNCIL/INCARNATION"}
//
// which is answered by a frame: empty to go on, or else why not, in words. The
// greeting names both incarnations, since raft itself would let whatever answers
// at a council's address vote: a replica made anew after a disk was lost must
// not give a vote that the lost one gave already.
// RaftProtocol is what raft's own streams are spoken in: a greeting of at most 1,024
// bytes, and once its sender is known for a member what raft has to say.
const RaftProtocol = "/stile/raft/1"

const (
	raftProtocol = RaftProtocol
	talkProtocol = "/stile/footprint/1"
	maxGreeting  = 1024
)

type greeting struct {
	Footprint name.Council `json:"footprint"`
	From      string       `json:"from"`
	To        string       `json:"to"`
}

// parseGreeting reads a greeting and nothing else.
func parseGreeting(b []byte) (g greeting, err error) {
	if err = decodeStrict(b, &g); err != nil {
		return g, err
	}
	if _, err := name.ParseCouncil(string(g.Footprint)); err != nil {
		return g, fmt.Errorf("greeting: %w", err)
	}
	for _, id := range []string{g.From, g.To} {
		if _, _, ok := parseServer(id); !ok {
			return g, errors.New("greeting: not a server's id")
		}
	}
	return g, nil
}

// decodeStrict reads one JSON document without unknown members.
func decodeStrict(b []byte, v any) error {
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return errors.New("not the message expected")
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the message")
	}
	return nil
}

// A Hub is one node's end of all its footprints: it holds the two protocols
// and hands each stream to the footprint it names.
type Hub struct {
	net wire.Network

	mu         sync.Mutex
	footprints map[name.Council]*Footprint
}

// NewHub takes the footprint protocols of a network. There is one Hub for a
// Network.
func NewHub(n wire.Network) *Hub {
	h := &Hub{net: n, footprints: map[name.Council]*Footprint{}}
	n.Handle(raftProtocol, h.raft)
	n.Handle(talkProtocol, h.talk)
	return h
}

func (h *Hub) add(f *Footprint) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.footprints[f.o.Name] != nil {
		return fmt.Errorf("footprint %s is open already", f.o.Name)
	}
	h.footprints[f.o.Name] = f
	return nil
}

func (h *Hub) remove(f *Footprint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.footprints[f.o.Name] == f {
		delete(h.footprints, f.o.Name)
	}
}

func (h *Hub) footprint(n name.Council) *Footprint {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.footprints[n]
}

func (h *Hub) raft(ctx context.Context, from name.Council, s wire.Stream) {
	br := bufio.NewReader(s)
	if s.SetDeadline(time.Now().Add(10*time.Second)) != nil {
		s.Reset()
		return
	}
	b, err := wire.ReadFrame(br, maxGreeting)
	if err != nil {
		s.Reset()
		return
	}
	why := ""
	g, err := parseGreeting(b)
	f := h.footprint(g.Footprint)
	switch {
	case err != nil:
		why = "greeting is not one"
	case f == nil:
		why = "no replica of that footprint is open here"
	default:
		why = f.admit(from, g)
	}
	bw := bufio.NewWriter(s)
	if wire.WriteFrame(bw, []byte(why)) != nil || bw.Flush() != nil || s.SetDeadline(time.Time{}) != nil {
		s.Reset()
		return
	}
	if why != "" {
		s.Close()
		return
	}
	c := newConn(s, br, from)
	select {
	case f.layer.in <- c:
	case <-f.layer.closed:
		s.Reset()
		return
	case <-ctx.Done():
		s.Reset()
		return
	}
	select {
	case <-c.done:
	case <-f.layer.closed:
		s.Reset()
	case <-ctx.Done():
		s.Reset()
	}
}

// admit says why a member's raft may not talk to ours, "" when it may.
func (f *Footprint) admit(from name.Council, g greeting) string {
	council, _, _ := parseServer(g.From)
	switch {
	case council != from:
		return "the greeting names another council"
	case g.To != f.server():
		return "another replica of this council is meant"
	case !f.knows(from):
		return RuleMember
	}
	_, incarnation, _ := parseServer(g.From)
	if m := f.fsm.state.Load().members[from]; m != nil && slices.Contains(m.Past, incarnation) {
		return "that replica was replaced by another"
	}
	return ""
}

// A streamLayer carries raft's connections over the streams of a network. It
// implements raft.StreamLayer.
type streamLayer struct {
	f      *Footprint
	in     chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newStreamLayer(f *Footprint) *streamLayer {
	return &streamLayer{f: f, in: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *streamLayer) Accept() (net.Conn, error) {
	select {
	case c := <-l.in:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *streamLayer) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *streamLayer) Addr() net.Addr { return address(l.f.server()) }

// Dial implements raft.StreamLayer. An address is a server id.
func (l *streamLayer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	council, _, ok := parseServer(string(to))
	if !ok {
		return nil, errors.New("not a server's id")
	}
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(l.f.ctx, timeout)
	defer cancel()
	s, err := l.f.o.Hub.net.Open(ctx, council, raftProtocol)
	if err != nil {
		l.f.heard(council, err)
		return nil, err
	}
	b, err := json.Marshal(greeting{l.f.o.Name, l.f.server(), string(to)})
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	br, bw := bufio.NewReader(s), bufio.NewWriter(s)
	err = errors.Join(s.SetDeadline(deadline), wire.WriteFrame(bw, b), bw.Flush())
	var answer []byte
	if err == nil {
		answer, err = wire.ReadFrame(br, maxGreeting)
	}
	switch {
	case err != nil || len(answer) == 0:
	case string(answer) == RuleMember:
		err = fmt.Errorf("%s does not take part: %w", council, &Refusal{RuleMember})
	default:
		err = fmt.Errorf("%s does not take part: %q", council, answer)
	}
	if err == nil {
		err = s.SetDeadline(time.Time{})
	}
	l.f.heard(council, err)
	if err != nil {
		s.Reset()
		return nil, err
	}
	return newConn(s, br, council), nil
}

// A conn is a stream as raft wants it. One deadline serves both directions;
// raft sets one before each use.
type conn struct {
	wire.Stream
	br   *bufio.Reader
	peer name.Council
	once sync.Once
	done chan struct{}
}

func newConn(s wire.Stream, br *bufio.Reader, peer name.Council) *conn {
	return &conn{Stream: s, br: br, peer: peer, done: make(chan struct{})}
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.br.Read(b)
	if err != nil {
		c.end()
	}
	return n, err
}

func (c *conn) end() { c.once.Do(func() { close(c.done) }) }

func (c *conn) Close() error {
	// Reset, since raft closes a connection when it has no more use for it and
	// does not read on.
	err := c.Reset()
	c.end()
	return err
}

func (c *conn) LocalAddr() net.Addr                { return address("") }
func (c *conn) RemoteAddr() net.Addr               { return address(c.peer) }
func (c *conn) SetReadDeadline(t time.Time) error  { return c.SetDeadline(t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.SetDeadline(t) }

type address string

func (address) Network() string  { return "stile" }
func (a address) String() string { return string(a) }
