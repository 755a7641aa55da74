package wire

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// memoryWindow is how many bytes may be on their way or unread before a writer
// waits: what a new yamux stream has.
const memoryWindow = 256 << 10

// errShut is what a Write gets after our CloseWrite or Close.
var errShut = errors.New("writing side closed")

// Everything in this file is guarded by the world's one mutex, which is held in
// every unexported method. Nothing waits while it is held, so a bubble of
// testing/synctest never finds a goroutine blocked on it.

// memoryConn is a connection between two nodes.
type memoryConn struct {
	world   *Memory
	ends    [2]*MemoryNode // first the one that dialled
	streams map[*memoryStream]bool
	ctx     context.Context // ends with the connection
	cancel  context.CancelFunc
}

func (c *memoryConn) joins(n name.Council) bool {
	return c.ends[0].council == n || c.ends[1].council == n
}

// peer returns the node at the other end from n, which may be one of two nodes of its council.
func (c *memoryConn) peer(n *MemoryNode) *MemoryNode {
	if c.ends[0] == n {
		return c.ends[1]
	}
	return c.ends[0]
}

// watch breaks the connection if the cut that begins now outlasts the world's
// patience.
func (c *memoryConn) watch() {
	m := c.world
	patience := m.patience
	time.AfterFunc(patience, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		a, b := c.ends[0].council, c.ends[1].council
		for _, r := range []road{{a, b}, {b, a}} {
			// It may have healed meanwhile and been cut again.
			if state := m.road(r); state.cut && time.Since(state.since) >= patience {
				c.fail(ErrReset)
			}
		}
	})
}

// fail ends the connection for both sides at once.
func (c *memoryConn) fail(why error) {
	if !c.world.conns[c] {
		return
	}
	delete(c.world.conns, c)
	for _, n := range c.ends {
		delete(n.conns, c)
	}
	c.world.touch()
	c.cancel()
	c.resetStreams(why)
}

func (c *memoryConn) resetStreams(why error) {
	for s := range c.streams {
		for _, p := range s.pipes {
			p.dead, p.shut, p.parcels, p.size = why, why, nil, 0
		}
		s.touch()
		delete(c.streams, s)
	}
}

// memoryStream is a stream: a pipe for each direction.
type memoryStream struct {
	conn     *memoryConn
	protocol string
	serial   uint64
	pipes    [2]*pipe      // from the opener, to the opener
	ends     [2]*memoryEnd // the opener's, the handler's
	changed  chan struct{} // closed, and made anew, when a pipe changes
}

func newMemoryStream(c *memoryConn, protocol string, serial uint64, from, to name.Council) *memoryStream {
	s := &memoryStream{conn: c, protocol: protocol, serial: serial, changed: make(chan struct{})}
	there, back := &pipe{road: road{from, to}}, &pipe{road: road{to, from}}
	s.pipes = [2]*pipe{there, back}
	s.ends = [2]*memoryEnd{
		{stream: s, world: c.world, out: there, in: back, writing: make(chan struct{}, 1)},
		{stream: s, world: c.world, out: back, in: there, writing: make(chan struct{}, 1)},
	}
	return s
}

func (s *memoryStream) touch() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// pipe carries bytes in one direction.
type pipe struct {
	road    road
	parcels []parcel // in order of arrival
	size    int      // bytes in parcels
	shut    error    // what the writer gets, once it cannot write
	dead    error    // what the reader gets, once it cannot read
}

// parcel is some bytes, or the end of the stream, on their way.
type parcel struct {
	data []byte
	end  error     // io.EOF, or why the stream was reset; nil: data
	at   time.Time // when it arrives
	held bool      // by a cut: it does not, for now
}

func (p *parcel) arrived(now time.Time) bool { return !p.held && !p.at.After(now) }

// push sends a parcel along the pipe's link.
func (p *pipe) push(m *Memory, x parcel) {
	if p.dead != nil {
		return // nobody reads
	}
	x.at, x.held = m.arrival(p.road, len(x.data))
	if n := len(p.parcels); n > 0 && p.parcels[n-1].at.After(x.at) {
		x.at = p.parcels[n-1].at // the link got faster: a stream stays in order
	}
	p.parcels = append(p.parcels, x)
	p.size += len(x.data)
}

// hold stops what has not arrived yet.
func (p *pipe) hold(now time.Time) {
	for i := range p.parcels {
		x := &p.parcels[i]
		x.held = !x.arrived(now)
	}
}

// release sends on what was held.
func (p *pipe) release(at time.Time) {
	for i := range p.parcels {
		if x := &p.parcels[i]; x.held {
			x.held, x.at = false, at
		}
	}
}

// broken returns the reset that has arrived, whether read up to or not; if none
// has, when one will.
func (p *pipe) broken(now time.Time) (next time.Time, why error) {
	if p.dead != nil {
		return next, p.dead
	}
	if n := len(p.parcels); n > 0 {
		if x := &p.parcels[n-1]; x.end != nil && x.end != io.EOF {
			if x.arrived(now) {
				return next, x.end
			}
			if !x.held {
				next = x.at
			}
		}
	}
	return next, nil
}

// memoryEnd is one council's end of a stream.
type memoryEnd struct {
	stream   *memoryStream
	world    *Memory
	in, out  *pipe
	done     bool // closed or reset by us
	deadline time.Time
	writes   int
	writing  chan struct{} // holds a token during a Write
}

// wait waits until the stream changes or the earliest of the times, of which the
// zero ones do not count. It gives up world.mu meanwhile.
func (e *memoryEnd) wait(times ...time.Time) {
	var first time.Time
	for _, t := range append(times, e.deadline) {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	changed := e.stream.changed
	e.world.mu.Unlock()
	defer e.world.mu.Lock()
	var timer <-chan time.Time
	if !first.IsZero() {
		t := time.NewTimer(time.Until(first))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-changed:
	case <-timer:
	}
}

func (e *memoryEnd) late(now time.Time) bool {
	return !e.deadline.IsZero() && !e.deadline.After(now)
}

// Read implements [Stream].
func (e *memoryEnd) Read(b []byte) (int, error) {
	e.world.mu.Lock()
	defer e.world.mu.Unlock()
	for {
		now := time.Now()
		if e.in.dead != nil {
			return 0, e.in.dead
		}
		if e.late(now) {
			return 0, os.ErrDeadlineExceeded
		}
		var next time.Time
		if len(e.in.parcels) > 0 {
			x := &e.in.parcels[0]
			if x.arrived(now) {
				if x.end != nil {
					return 0, x.end
				}
				n := copy(b, x.data)
				x.data = x.data[n:]
				if len(x.data) == 0 {
					e.in.parcels = e.in.parcels[1:]
				}
				e.in.size -= n
				e.stream.touch()
				return n, nil
			}
			if !x.held {
				next = x.at
			}
		}
		e.wait(next)
	}
}

// Write implements [Stream].
func (e *memoryEnd) Write(b []byte) (int, error) {
	e.writing <- struct{}{}
	defer func() { <-e.writing }()
	m := e.world
	m.mu.Lock()
	defer m.mu.Unlock()
	fault := None
	if hook := m.hook; hook != nil {
		w := Write{
			From: e.out.road.from, To: e.out.road.to,
			Protocol: e.stream.protocol, Stream: e.stream.serial, Opener: e == e.stream.ends[0],
			Serial: e.writes, Data: b,
		}
		m.mu.Unlock()
		fault = hook(w)
		m.mu.Lock()
	}
	e.writes++
	send := b
	switch {
	case fault == Lost:
		send = nil
	case fault > None:
		send = b[:min(int(fault)-1, max(len(b)-1, 0))]
	}
	sent, err := e.send(send)
	if err == nil && fault != None {
		e.abort(ErrReset)
		return 0, ErrReset
	}
	return sent, err
}

// send puts b on its way, in parts as the window allows.
func (e *memoryEnd) send(b []byte) (int, error) {
	sent := 0
	for {
		now := time.Now()
		if e.out.shut != nil {
			return sent, e.out.shut
		}
		next, why := e.in.broken(now)
		if why != nil && !e.done {
			return sent, why
		}
		if e.late(now) {
			return sent, os.ErrDeadlineExceeded
		}
		if sent == len(b) {
			return sent, nil
		}
		if room := memoryWindow - e.out.size; room > 0 {
			part := b[sent:min(len(b), sent+room)]
			e.out.push(e.world, parcel{data: append([]byte(nil), part...)})
			e.stream.touch()
			sent += len(part)
			continue
		}
		e.wait(next)
	}
}

// abort breaks the stream off: here at once, at the other end when word of it
// arrives, after what was sent before.
func (e *memoryEnd) abort(why error) {
	if e.out.shut == nil || e.out.shut == errShut {
		e.out.push(e.world, parcel{end: why})
		e.out.shut = ErrReset
	}
	if e.in.dead == nil {
		e.in.dead, e.in.parcels, e.in.size = ErrReset, nil, 0
	}
	e.finish()
}

// finish counts this end as done with, and forgets a stream with neither end.
func (e *memoryEnd) finish() {
	e.done = true
	e.stream.touch()
	if e.stream.ends[0].done && e.stream.ends[1].done {
		delete(e.stream.conn.streams, e.stream)
	}
}

// CloseWrite implements [Stream].
func (e *memoryEnd) CloseWrite() error {
	e.world.mu.Lock()
	defer e.world.mu.Unlock()
	return e.closeWrite()
}

func (e *memoryEnd) closeWrite() error {
	switch e.out.shut {
	case nil:
		e.out.push(e.world, parcel{end: io.EOF})
		e.out.shut = errShut
		e.stream.touch()
		return nil
	case errShut:
		return nil
	}
	return e.out.shut
}

// Close implements [Stream].
func (e *memoryEnd) Close() error {
	e.world.mu.Lock()
	defer e.world.mu.Unlock()
	if e.done {
		return nil
	}
	err := e.closeWrite()
	if e.in.dead == nil {
		e.in.dead, e.in.parcels, e.in.size = os.ErrClosed, nil, 0
	}
	e.finish()
	return err
}

// Reset implements [Stream].
func (e *memoryEnd) Reset() error {
	e.world.mu.Lock()
	defer e.world.mu.Unlock()
	if !e.done {
		e.abort(ErrReset)
	}
	return nil
}

// SetDeadline implements [Stream].
func (e *memoryEnd) SetDeadline(t time.Time) error {
	e.world.mu.Lock()
	defer e.world.mu.Unlock()
	e.deadline = t
	e.stream.touch()
	return nil
}

var _ Stream = (*memoryEnd)(nil)
