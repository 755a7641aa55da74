// Package entrance stands where streams of other councils come in, whatever protocol
// they speak, and holds each council to its share (package quota): how many streams it
// opens, and how many bytes it makes us hold that no answer has come to yet.
//
// A handler reads a frame into memory before it can say whether it is permitted. Here
// the first bytes are counted as they come: a council with whom nothing is agreed is
// cut off after those of a small frame, so that a large one is read of nobody before
// permission was asked. What is held is given back when we answer, when the stream ends
// and when its handler returns.
package entrance

import (
	"context"
	"fmt"
	"sync"

	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// Guard returns net with every incoming stream held to the shares that k keeps, but
// those of the protocol free, whose frames have a bound of their own until it is known
// who speaks; and of the streams that we open those of the protocol opened: on the
// others we read what we asked for, in frames that the room that asks has bounds for.
func Guard(net wire.Network, k *quota.Keeper, free, opened string) wire.Network {
	g := &guarded{Network: net, k: k, free: free, opened: opened}
	if h, ok := net.(interface{ Hold(wire.Shares) }); ok {
		g.held = true
		h.Hold(wire.Shares{
			Connects: func(c name.Council) bool { return k.Take(c, quota.Connections, 1) == nil },
			Opens:    func(c name.Council) bool { return k.Take(c, quota.Requests, 1) == nil },
		})
	}
	return g
}

type guarded struct {
	wire.Network
	k            *quota.Keeper
	free, opened string
	held         bool // the network itself asks for each stream
}

func (g *guarded) Handle(protocol string, h func(context.Context, name.Council, wire.Stream)) {
	g.Network.Handle(protocol, func(ctx context.Context, from name.Council, s wire.Stream) {
		if !g.held && g.k.Take(from, quota.Requests, 1) != nil {
			s.Reset()
			return
		}
		if protocol == g.free {
			h(ctx, from, s)
			return
		}
		c := &counted{Stream: s, k: g.k, of: from, kind: quota.Frames}
		defer c.give()
		h(ctx, from, c)
	})
}

func (g *guarded) Open(ctx context.Context, to name.Council, protocol string) (wire.Stream, error) {
	s, err := g.Network.Open(ctx, to, protocol)
	if err != nil || protocol != g.opened {
		return s, err
	}
	return &counted{Stream: s, k: g.k, of: to, kind: quota.Fetched}, nil
}

// A counted is a stream whose bytes are counted until we answer.
type counted struct {
	wire.Stream
	k    *quota.Keeper
	of   name.Council
	kind quota.Kind // whose share a frame is held to

	mu    sync.Mutex
	frame int  // bytes since we last wrote
	held  int  // of them, those taken from the share
	cut   bool // the stream went beyond a share
}

// roomy is what every stream may hold without being counted in sum: 64 streams of a
// council's handful of protocols stay small.
const roomy = 4 << 10

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Stream.Read(b)
	if n > 0 {
		if over := c.take(n); over != nil {
			c.Stream.Reset()
			c.give()
			return 0, fmt.Errorf("%w: %w", wire.ErrBusy, over)
		}
	}
	return n, err
}

func (c *counted) take(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := c.k.Most(c.of, c.kind)
	if c.frame += n; c.frame > most || c.cut {
		if !c.cut {
			c.cut = true
			c.k.Refuse(c.of, c.kind, 1)
		}
		return &quota.Beyond{Kind: c.kind, Most: most}
	}
	if more := c.frame - roomy - c.held; more > 0 {
		if err := c.k.Take(c.of, quota.Held, more); err != nil {
			c.cut = true
			return err
		}
		c.held += more
	}
	return nil
}

// give gives back what is held: it was answered, or is over.
func (c *counted) give() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.k.Give(c.of, quota.Held, c.held)
	c.frame, c.held = 0, 0
}

func (c *counted) Write(b []byte) (int, error) {
	c.give()
	return c.Stream.Write(b)
}

func (c *counted) Close() error {
	c.give()
	return c.Stream.Close()
}

func (c *counted) Reset() error {
	c.give()
	return c.Stream.Reset()
}
