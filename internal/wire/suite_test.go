package wire_test

import (
	"testing"

	"github.com/libp2p/go-libp2p/p2p/security/noise"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wiretest"
	"github.com/stile-exchange/stile/node/name"
)

const (
	onTCP  = "/ip4/127.0.0.1/tcp/0"
	onQUIC = "/ip4/127.0.0.1/udp/0/quic-v1"
)

// libp2pWorld is a world of hosts on the loopback network.
type libp2pWorld struct {
	*town
	how    func(wire.Options) (*wire.Host, error)
	listen []string
}

func (w libp2pWorld) Join(t *testing.T, c name.Council) wire.Network {
	return w.open(t, c, w.how, w.listen...)
}

func (w libp2pWorld) JoinHidden(t *testing.T, c name.Council) wire.Network {
	return w.open(t, c, w.how)
}

func (w libp2pWorld) Remove(c name.Council) { w.remove(c) }

func TestTCP(t *testing.T) {
	wiretest.Run(t, func(*testing.T) wiretest.World { return libp2pWorld{newTown(), wire.Open, []string{onTCP}} })
}

func TestTCPNoise(t *testing.T) {
	noiseOnly := func(o wire.Options) (*wire.Host, error) { return wire.OpenSecured(o, noise.ID) }
	wiretest.Run(t, func(*testing.T) wiretest.World { return libp2pWorld{newTown(), noiseOnly, []string{onTCP}} })
}

func TestQUIC(t *testing.T) {
	wiretest.Run(t, func(*testing.T) wiretest.World { return libp2pWorld{newTown(), wire.Open, []string{onQUIC}} })
}

func TestTCPAndQUIC(t *testing.T) {
	wiretest.Run(t, func(*testing.T) wiretest.World {
		return libp2pWorld{newTown(), wire.Open, []string{onQUIC, onTCP}}
	})
}

type memoryWorld struct{ *wire.Memory }

func (w memoryWorld) Join(t *testing.T, c name.Council) wire.Network {
	n := w.Node(c)
	t.Cleanup(func() { n.Close() })
	return n
}

func (w memoryWorld) JoinHidden(t *testing.T, c name.Council) wire.Network {
	w.Hide(c)
	return w.Join(t, c)
}

func TestMemory(t *testing.T) {
	wiretest.Run(t, func(*testing.T) wiretest.World { return memoryWorld{wire.NewMemory()} })
}
