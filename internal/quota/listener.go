package quota

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// A Listener accepts connections of strangers and keeps no more than a fixed number of
// them open, so that they cannot take the open files that partners and commands need.
// When one more comes, the connection that has been still for longest goes, of the
// address that has most of them: whoever opens a thousand closes their own.
type Listener struct {
	net.Listener
	most int

	turn  atomic.Uint64 // a clock that goes forward with each read and write
	mu    sync.Mutex
	open  map[*conn]struct{}
	ended uint64
}

// Limit returns a Listener over l that keeps at most most connections open. Most is at
// least 1.
func Limit(l net.Listener, most int) *Listener {
	return &Listener{Listener: l, most: max(most, 1), open: map[*conn]struct{}{}}
}

// Accept returns the next connection. It never waits for one to be closed.
func (l *Listener) Accept() (net.Conn, error) {
	in, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: in, l: l, from: host(in.RemoteAddr())}
	c.still.Store(l.turn.Add(1))
	l.mu.Lock()
	l.open[c] = struct{}{}
	var goes *conn
	if len(l.open) > l.most {
		goes = l.worst(c)
		delete(l.open, goes)
		l.ended++
	}
	l.mu.Unlock()
	if goes != nil {
		goes.Conn.Close()
	}
	return c, nil
}

// worst chooses whom to close; but the newest, which has not spoken yet.
func (l *Listener) worst(but *conn) (out *conn) {
	of := map[string]int{}
	for c := range l.open {
		of[c.from]++
	}
	for c := range l.open {
		if c == but || c.busy.Load() {
			continue
		}
		if out == nil || of[c.from] > of[out.from] || of[c.from] == of[out.from] && c.still.Load() < out.still.Load() {
			out = c
		}
	}
	if out == nil {
		return but
	}
	return out
}

// Open returns how many connections are open, and how many were closed for others.
func (l *Listener) Open() (open int, ended uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open), l.ended
}

// Mark is for [http.Server.ConnState]: a connection whose request is being answered is not closed
// for a new one, which goes itself where there is no other. Without it whoever is still for longest
// goes, which is right where strangers come; with it a local command that waits long for its answer is kept.
func (l *Listener) Mark(c net.Conn, s http.ConnState) {
	if c, ok := c.(*conn); ok {
		c.busy.Store(s == http.StateActive)
	}
}

// host is the address without the port.
func host(a net.Addr) string {
	if h, _, err := net.SplitHostPort(a.String()); err == nil {
		return h
	}
	return a.String()
}

type conn struct {
	net.Conn
	l     *Listener
	from  string
	still atomic.Uint64 // the turn of the last read or write
	busy  atomic.Bool   // see Listener.Mark
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.moved(n)
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.moved(n)
	return n, err
}

func (c *conn) moved(n int) {
	if n > 0 {
		c.still.Store(c.l.turn.Add(1))
	}
}

func (c *conn) Close() error {
	c.l.mu.Lock()
	_, open := c.l.open[c]
	delete(c.l.open, c)
	c.l.mu.Unlock()
	err := c.Conn.Close()
	if !open && errors.Is(err, net.ErrClosed) {
		return nil // it went for another, and whoever served it need not know
	}
	return err
}
