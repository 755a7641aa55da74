package wire

import (
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/core/transport"
	bhost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/observedaddrs"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
	quicgo "github.com/quic-go/quic-go"
)

// assemble builds the libp2p host from its parts. The libp2p package would do
// it in one call, but it links every transport it knows, switched on or not:
// WebRTC, WebTransport, WebSocket and a dependency-injection framework, 81
// modules where these parts link 51. What is not linked cannot be switched on
// by a later default.
func (h *Host) assemble(node ed25519.PrivateKey, t tuning) (transport.Upgrader, error) {
	key, err := crypto.UnmarshalEd25519PrivateKey(node)
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	if h.id, err = peer.IDFromPrivateKey(key); err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	known, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(known.AddPrivKey(h.id, key), known.AddPubKey(h.id, key.GetPublic())); err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	resources, err := newResources()
	if err != nil {
		return nil, err
	}
	h.gate = &gate{host: h}
	relayed := len(h.relays) > 0
	bus := eventbus.NewBus()
	h.swarm, err = swarm.NewSwarm(h.id, &addressBook{Peerstore: known, host: h, learn: relayed}, bus,
		swarm.WithConnectionGater(h.gate),
		swarm.WithResourceManager(resources),
		swarm.WithDialRanker(rank),
		swarm.WithDialTimeout(OpenTimeout),
		// The detectors of blocked UDP and IPv6 judge by the share of failed
		// dials. With few partners, one whose node is down for a week would turn
		// QUIC off towards all.
		swarm.WithUDPBlackHoleSuccessCounter(nil),
		swarm.WithIPv6BlackHoleSuccessCounter(nil))
	if err != nil {
		return nil, err
	}

	// yamux as libp2p sets it up, but for three figures: a stream's window grows to
	// 4 MiB, enough for 1 Gbit/s at 30 ms, not 16, which 64 streams of one
	// council would turn into 1 GiB; a lost connection is noticed sooner; and a
	// stream too many is refused before the memory of the council is used up.
	mux := *yamux.DefaultTransport.Config()
	mux.MaxStreamWindowSize = 4 << 20
	mux.KeepAliveInterval = 15 * time.Second
	mux.MaxIncomingStreams = streamsOnTCP
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: (*yamux.Transport)(&mux)}}
	secure, err := security(key, muxers, t.secure)
	if err != nil {
		return nil, err
	}
	up, err := upgrader.New(secure, muxers, nil, resources, h.gate, upgrader.WithAcceptTimeout(handshakeTimeout))
	if err != nil {
		return nil, err
	}
	// Sharing the port between listener and dialler is for hole punching only:
	// with it, a second node on the same port starts without an error and the
	// kernel deals connections to either.
	var tcpOptions []tcp.Option
	if !relayed {
		tcpOptions = append(tcpOptions, tcp.DisableReuseport())
	}
	overTCP, err := tcp.NewTCPTransport(up, resources, nil, tcpOptions...)
	if err != nil {
		return nil, err
	}
	if h.quic, err = newQUIC(node, resources); err != nil {
		return nil, err
	}
	cert, err := dateless()
	if err != nil {
		return nil, err
	}
	overQUIC, err := libp2pquic.NewTransport(key, h.quic, nil, h.gate, resources, libp2pquic.WithTLSIdentityOption(libp2ptls.WithCertTemplate(cert)))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(h.swarm.AddTransport(overTCP), h.swarm.AddTransport(overQUIC)); err != nil {
		return nil, err
	}

	options := &bhost.HostOpts{
		EventBus:  bus,
		UserAgent: "stile",
		// Peer records are for gossiping addresses; ours come from the directory.
		DisableSignedPeerRecord: true,
		EnableHolePunching:      relayed,
		NegotiationTimeout:      10 * time.Second,
	}
	if !t.tell {
		// Nor do partners need to hear what our machines are called inside.
		options.AddrsFactory = func([]multiaddr.Multiaddr) []multiaddr.Multiaddr { return nil }
	}
	if relayed {
		seen, err := observedaddrs.NewManager(bus, h.swarm)
		if err != nil {
			return nil, err
		}
		seen.Start(h.swarm)
		context.AfterFunc(h.ctx, func() { seen.Close() })
		options.ObservedAddrsManager = seen
	}
	h.libp2p, err = bhost.NewHost(gatedSwarm{h.swarm, h.gate}, options)
	return up, err
}

// security returns the security transports in order of preference. TLS first:
// the two cost the same (BenchmarkThroughput), and TLS 1.3 out of Go's own
// library is what a council's security officer knows and FIPS 140-3 covers.
func security(key crypto.PrivKey, muxers []upgrader.StreamMuxer, order []protocol.ID) ([]sec.SecureTransport, error) {
	if order == nil {
		order = []protocol.ID{libp2ptls.ID, noise.ID}
	}
	var list []sec.SecureTransport
	for _, id := range order {
		var s sec.SecureTransport
		var err error
		if id == libp2ptls.ID {
			s, err = newTLS(id, key, muxers)
		} else {
			s, err = noise.New(id, key, muxers)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// newQUIC returns what owns the UDP sockets. The two keys let a restarted node
// end its predecessor's connections and honour its address tokens (RFC 9000
// sections 10.3 and 8.1.3), so they follow from the node key and not from chance.
func newQUIC(node ed25519.PrivateKey, resources network.ResourceManager) (*quicreuse.ConnManager, error) {
	var reset, token [32]byte
	for info, out := range map[string]*[32]byte{"stile quic stateless reset": &reset, "stile quic address token": &token} {
		derived, err := hkdf.Key(sha256.New, node.Seed(), nil, info, len(out))
		if err != nil {
			return nil, err
		}
		copy(out[:], derived)
	}
	return quicreuse.NewConnManager(reset, token,
		quicreuse.VerifySourceAddress(resources.VerifySourceAddress),
		quicreuse.ConnContext(admitQUIC(resources)))
}

// start begins to listen and, where configured, to relay.
func (h *Host) start(o Options, up transport.Upgrader, listen []multiaddr.Multiaddr) error {
	h.swarm.Notify(&network.NotifyBundle{ConnectedF: h.connected, DisconnectedF: h.disconnected})
	h.libp2p.Start()
	for _, a := range listen {
		// One by one: given a list, Listen is content when one address works.
		if err := h.swarm.Listen(a); err != nil {
			return fmt.Errorf("listen at %s: %w", a, err)
		}
	}
	if len(h.relays) > 0 {
		if err := h.useRelays(up); err != nil {
			return err
		}
	}
	if o.ServeRelay {
		return h.serveRelay()
	}
	return nil
}

// admitQUIC counts a QUIC connection with the resource manager before its
// handshake; for TCP the listener does.
func admitQUIC(resources network.ResourceManager) func(context.Context, *quicgo.ClientInfo) (context.Context, error) {
	return func(ctx context.Context, client *quicgo.ClientInfo) (context.Context, error) {
		from, err := quicreuse.ToQuicMultiaddr(client.RemoteAddr, quicgo.Version1)
		if err != nil {
			from = nil // the resource manager decides on the connection all the same
		}
		scope, err := resources.OpenConnection(network.DirInbound, false, from)
		if err != nil {
			return ctx, err
		}
		context.AfterFunc(ctx, scope.Done)
		return network.WithConnManagementScope(ctx, scope), nil
	}
}

// rank says in which order to dial a council's addresses, and how long each
// waits for the ones before it. TCP goes first, the other way round from libp2p:
// it moves twice what QUIC does, for a third of the processor time
// (BenchmarkThroughput), and councils' firewalls pass it more often. QUIC
// follows for those that pass only UDP.
func rank(addrs []multiaddr.Multiaddr) []network.AddrDelay {
	var first, rest []multiaddr.Multiaddr
	for _, a := range addrs {
		if _, err := a.ValueForProtocol(multiaddr.P_TCP); err == nil && !relayed(a) {
			first = append(first, a)
		} else {
			rest = append(rest, a)
		}
	}
	order := swarm.DefaultDialRanker(first)
	var wait time.Duration
	if len(first) > 0 {
		wait = order[len(order)-1].Delay + 250*time.Millisecond
	}
	for _, d := range swarm.DefaultDialRanker(rest) {
		d.Delay += wait
		order = append(order, d)
	}
	return order
}

// demoted logs everything at level debug. libp2p calls an error what happens
// when a node is closed or a stranger knocks.
type demoted struct{ slog.Handler }

// Enabled implements slog.Handler.
func (d demoted) Enabled(ctx context.Context, _ slog.Level) bool {
	return d.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle implements slog.Handler.
func (d demoted) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return d.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (d demoted) WithAttrs(a []slog.Attr) slog.Handler { return demoted{d.Handler.WithAttrs(a)} }

// WithGroup implements slog.Handler.
func (d demoted) WithGroup(name string) slog.Handler { return demoted{d.Handler.WithGroup(name)} }
