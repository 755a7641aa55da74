package wiretest

import (
	"bytes"
	"context"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// Hellos returns a network on which change is asked about every hello of /stile/sync/1 that
// its council sends, before it leaves. So a council can be made to ask for small pages, or
// as an older release does.
func Hellos(net wire.Network, change func(*wirepb.Hello)) wire.Network {
	return hellos{net, change}
}

// V010 makes a hello what a node of v0.1.0 says, and what it reads of a later one's: what it
// does not know is not there.
func V010(h *wirepb.Hello) {
	h.Ahead, h.AheadFrom, h.AheadTo, h.Keeps = false, 0, 0, ""
}

type hellos struct {
	wire.Network
	change func(*wirepb.Hello)
}

func (n hellos) Open(ctx context.Context, to name.Council, protocol string) (wire.Stream, error) {
	st, err := n.Network.Open(ctx, to, protocol)
	if err != nil || protocol != wirepb.Protocol {
		return st, err
	}
	return &hello{Stream: st, change: n.change}, nil
}

// A hello is a stream whose first frame, which is one write, is changed if it is one.
type hello struct {
	wire.Stream
	change func(*wirepb.Hello) // nil once it was asked
}

func (s *hello) Write(b []byte) (int, error) {
	change := s.change
	if s.change = nil; change == nil {
		return s.Stream.Write(b)
	}
	f, err := wirepb.NewReader(bytes.NewReader(b)).Read()
	if err != nil || f.GetHello() == nil {
		return s.Stream.Write(b)
	}
	change(f.GetHello())
	return len(b), wirepb.NewWriter(s.Stream).Write(f)
}
