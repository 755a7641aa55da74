package wire

import (
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"
)

// OpenTelling opens a host that tells its partners where it listens.
func OpenTelling(o Options) (*Host, error) { return open(o, tuning{tell: true}) }

// OpenSettled opens a host for which a connection is old at once.
func OpenSettled(o Options) (*Host, error) { return open(o, tuning{settle: 1}) }

// OpenSecured opens a host that has only these security transports, in order.
func OpenSecured(o Options, ids ...protocol.ID) (*Host, error) {
	return open(o, tuning{secure: ids})
}

// Admits asks the gate about a peer as libp2p does, in every place.
func (h *Host) Admits(node string) [4]bool {
	p, err := peer.Decode(node)
	if err != nil {
		panic(err)
	}
	at := multiaddr.StringCast("/ip4/127.0.0.1/tcp/1")
	return [4]bool{
		h.gate.InterceptPeerDial(p),
		h.gate.InterceptAddrDial(p, at),
		h.gate.InterceptSecured(network.DirInbound, p, addresses{at}),
		h.gate.InterceptSecured(network.DirOutbound, p, addresses{at}),
	}
}

type addresses struct{ a multiaddr.Multiaddr }

func (a addresses) LocalMultiaddr() multiaddr.Multiaddr  { return a.a }
func (a addresses) RemoteMultiaddr() multiaddr.Multiaddr { return a.a }
