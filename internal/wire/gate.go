package wire

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// gate is where the directory decides who is talked to. It is asked before a
// dial, after each handshake and when a connection is complete, in both
// directions; gatedSwarm asks it again for each stream.
type gate struct {
	host *Host

	mu      sync.Mutex
	refused int       // since said
	said    time.Time // when the log last had a line of it
}

var _ connmgr.ConnectionGater = (*gate)(nil)

// admits reports whether we talk to a peer at all: members, and the relays that
// were configured, which get nothing but relaying from us.
func (g *gate) admits(p peer.ID) bool {
	if _, member := g.host.council(p); member {
		return true
	}
	_, relay := g.host.relays[p]
	return relay
}

// InterceptPeerDial is asked before a peer is dialled.
func (g *gate) InterceptPeerDial(p peer.ID) bool { return g.admits(p) }

// InterceptAddrDial is asked for each address; addressBook has chosen them.
func (g *gate) InterceptAddrDial(p peer.ID, _ multiaddr.Multiaddr) bool { return g.admits(p) }

// InterceptAccept is asked before the handshake, when nobody is known yet; the
// limits on strangers are the resource manager's.
func (g *gate) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured is asked when the other side has proved its key.
func (g *gate) InterceptSecured(dir network.Direction, p peer.ID, at network.ConnMultiaddrs) bool {
	if !g.admits(p) {
		if dir == network.DirInbound {
			g.note(p, at.RemoteMultiaddr())
		}
		return false
	}
	c, member := g.host.council(p)
	return dir != network.DirInbound || !member || g.host.connects(c)
}

// InterceptUpgraded is asked when the connection is ready for streams: the
// directory may have changed during the handshake.
func (g *gate) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	return g.admits(c.RemotePeer()), 0
}

// note logs that a stranger was refused, at most every ten seconds, so that one
// who keeps knocking cannot fill the disk.
func (g *gate) note(p peer.ID, from multiaddr.Multiaddr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused++
	if now := time.Now(); now.Sub(g.said) >= 10*time.Second {
		g.host.log.Warn("refused connection from a node that is not in the directory", "node", p, "from", from, "refused", g.refused)
		g.said, g.refused = now, 0
	}
}

// gatedSwarm asks the gate for each incoming stream before libp2p reads from
// it, whatever the protocol, libp2p's own included.
type gatedSwarm struct {
	*swarm.Swarm
	gate *gate
}

// SetStreamHandler implements network.Network.
func (s gatedSwarm) SetStreamHandler(h network.StreamHandler) {
	s.Swarm.SetStreamHandler(func(st network.Stream) {
		if !s.gate.admits(st.Conn().RemotePeer()) {
			st.ResetWithError(network.StreamGated)
			return
		}
		if !s.gate.host.opens(st.Conn()) {
			st.ResetWithError(network.StreamRateLimited)
			return
		}
		h(st)
	})
}

// addressBook answers with the directory's addresses. Partners tell libp2p
// addresses of their own (identify, hole punching); dialling those would let a
// partner have us connect to any machine we can reach, inside our own network
// too. Only with relays configured, when hole punching needs them, are public
// ones used.
type addressBook struct {
	peerstore.Peerstore
	host  *Host
	learn bool
}

// Addrs implements peerstore.AddrBook.
func (b *addressBook) Addrs(p peer.ID) []multiaddr.Multiaddr {
	if p == b.host.id {
		return b.Peerstore.Addrs(p)
	}
	list := slices.Clone(b.host.relays[p].Addrs)
	if c, ok := b.host.council(p); ok {
		m, _ := b.host.members.Member(c)
		for _, text := range m.Addresses {
			a, err := parseAddress(text)
			if err != nil {
				b.host.log.Warn("address in the directory left out", "council", c, "error", err)
				continue
			}
			list = append(list, a)
		}
		if b.learn {
			list = append(list, multiaddr.FilterAddrs(b.Peerstore.Addrs(p), manet.IsPublicAddr)...)
		}
	}
	return multiaddr.Unique(list)
}

// parseAddress reads a multiaddr that ends in TCP, QUIC or a relay.
func parseAddress(text string) (multiaddr.Multiaddr, error) {
	a, err := multiaddr.NewMultiaddr(text)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", text, err)
	}
	return a, nil
}

func parseRelays(list []string) (map[peer.ID]peer.AddrInfo, error) {
	relays := make(map[peer.ID]peer.AddrInfo)
	for _, text := range list {
		info, err := peer.AddrInfoFromString(text)
		if err != nil {
			return nil, fmt.Errorf("relay %q: %w", text, err)
		}
		if len(info.Addrs) == 0 {
			return nil, fmt.Errorf("relay %q: %w", text, errors.New("no address before /p2p/"))
		}
		relay := relays[info.ID]
		relay.ID = info.ID
		relay.Addrs = append(relay.Addrs, info.Addrs...)
		relays[info.ID] = relay
	}
	return relays, nil
}

func relayed(a multiaddr.Multiaddr) bool {
	_, err := a.ValueForProtocol(multiaddr.P_CIRCUIT)
	return err == nil
}
