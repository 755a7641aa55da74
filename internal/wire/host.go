package wire

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/gologshim"
	bhost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/multiformats/go-multiaddr"

	"github.com/stile-exchange/stile/node/name"
)

// PeerID returns the libp2p peer id of a node with this public key, in the form
// a member's entry in the directory has: base58, such as "12D3KooW…".
func PeerID(pub ed25519.PublicKey) string {
	key, err := crypto.UnmarshalEd25519PublicKey(pub)
	if err != nil {
		panic("internal error: wire: node key: " + err.Error())
	}
	id, err := peer.IDFromPublicKey(key)
	if err != nil {
		panic("internal error: wire: node key: " + err.Error())
	}
	return id.String()
}

// Options say what a [Host] needs. Key, Self and Directory are required.
type Options struct {
	Key       ed25519.PrivateKey // the node key, whose PeerID is Self's in the directory
	Self      name.Council       // the council that this node is
	Directory Members            // who may connect, and where they are

	// Listen are the multiaddrs to listen at, such as "/ip4/0.0.0.0/tcp/4001"
	// and "/ip4/0.0.0.0/udp/4001/quic-v1". Port 0 takes a free one. None: the
	// node only dials out.
	Listen []string

	// Relays are the multiaddrs, each ending in "/p2p/PEERID", of relays that
	// this node may use (libp2p circuit relay v2): it keeps a place there, so
	// that a partner who has the same relay can reach it at
	// RELAY/p2p-circuit, an address to put into the directory; hole punching
	// then tries to make the connection direct. A relay sees who talks to whom
	// and how much, never what. None: no relay code is started.
	Relays []string

	// ServeRelay makes this node such a relay, for members only.
	ServeRelay bool

	// Streams is how many streams of one protocol one council may have open
	// towards us. 0 means DefaultStreams; at most 256.
	Streams int

	// Logger is told who connects and who is refused. libp2p's own messages come
	// to it at level debug; libp2p has one log for a process, so with several
	// hosts in one they may all come to the Logger of one. Nil: no log.
	Logger *slog.Logger
}

// A Host is a council's node on the network: libp2p over TCP (TLS 1.3 or Noise,
// yamux) and QUIC. It implements [Network].
type Host struct {
	self    name.Council
	id      peer.ID
	members Members
	relays  map[peer.ID]peer.AddrInfo
	log     *slog.Logger

	libp2p *bhost.BasicHost
	swarm  *swarm.Swarm
	quic   *quicreuse.ConnManager
	gate   *gate
	turn   *turnstile
	settle time.Duration // in which both sides may have dialled each other

	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	work   sync.WaitGroup // handlers, callbacks and loops

	mu        sync.Mutex
	closed    bool
	conns     map[network.Conn]*link // connections that are up
	onConnect []func(name.Council)
	shares    Shares
}

// Shares say what a council may have of a network. Both are called often, concurrently,
// and must answer from memory.
type Shares struct {
	// Connects is asked for each connection that a council makes to us, when it has
	// proved its key.
	Connects func(name.Council) bool
	// Opens is asked for each stream that a council opens to us, of any protocol, before a
	// byte of it is read.
	Opens func(name.Council) bool
}

// maxOver is how many streams beyond its share a council may open on one connection before that
// is closed: each costs us something, though nothing of it is read.
const maxOver = 100

// Hold has the host hold every council to its shares: a connection beyond them is refused, a
// stream is reset, and a connection on which that goes on is closed. Until then there
// are no shares.
func (h *Host) Hold(s Shares) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shares = s
}

// connects reports whether a council may make another connection to us.
func (h *Host) connects(c name.Council) bool {
	h.mu.Lock()
	f := h.shares.Connects
	h.mu.Unlock()
	return f == nil || f(c)
}

// opens reports whether a council may open another stream on a connection. It closes the
// connection when that was asked too often.
func (h *Host) opens(c network.Conn) bool {
	h.mu.Lock()
	f, l := h.shares.Opens, h.conns[c]
	h.mu.Unlock()
	if f == nil || l == nil || l.council == "" || f(l.council) {
		return true
	}
	if l.over.Add(1) == maxOver {
		h.log.Warn("connection closed: it goes on opening streams beyond its share", "council", l.council)
		go c.CloseWithError(network.ConnRateLimited)
	}
	return false
}

// link is one connection that is up.
type link struct {
	council name.Council // "" for a relay that is no member
	since   time.Time
	ctx     context.Context
	cancel  context.CancelFunc // ends the contexts of its handlers
	over    atomic.Int32       // streams beyond the council's share
}

// tuning is what tests and benchmarks vary.
type tuning struct {
	secure []protocol.ID // order of preference; nil: as security says
	tell   bool          // tells partners the addresses that it listens at
	settle time.Duration // see Host
}

// Open starts a council's node: on return it listens at every address in
// o.Listen, or at none and there is an error.
func Open(o Options) (*Host, error) {
	h, err := open(o, tuning{})
	if err != nil {
		return nil, fmt.Errorf("open network: %w", err)
	}
	return h, nil
}

func open(o Options, t tuning) (h *Host, err error) {
	if len(o.Key) != ed25519.PrivateKeySize || o.Self == "" || o.Directory == nil {
		return nil, errors.New("key, council or directory missing")
	}
	if o.Streams < 0 || o.Streams > 256 {
		return nil, fmt.Errorf("streams is %d, want 0 to 256", o.Streams)
	}
	h = &Host{
		self: o.Self, members: o.Directory, log: o.Logger,
		turn: newTurnstile(o.Streams), conns: make(map[network.Conn]*link),
		settle: cmp.Or(t.settle, OpenTimeout),
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	gologshim.SetDefaultHandler(demoted{h.log.Handler()})
	if h.relays, err = parseRelays(o.Relays); err != nil {
		return nil, err
	}
	listen := make([]multiaddr.Multiaddr, len(o.Listen))
	for i, a := range o.Listen {
		if listen[i], err = parseAddress(a); err != nil {
			return nil, err
		}
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	up, err := h.assemble(o.Key, t)
	if err != nil {
		h.cancel()
		return nil, err
	}
	// From here on Close frees everything.
	if err := h.start(o, up, listen); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// Addresses returns the multiaddrs that the node listens at, with the ports it
// was given where port 0 was asked for.
func (h *Host) Addresses() []string {
	var list []string
	for _, a := range h.swarm.ListenAddresses() {
		if _, err := a.ValueForProtocol(multiaddr.P_CIRCUIT); err != nil {
			list = append(list, a.String())
		}
	}
	slices.Sort(list)
	return list
}

// council returns the council that a peer is now, by the directory.
func (h *Host) council(p peer.ID) (name.Council, bool) {
	node := p.String()
	c, ok := h.members.ByNode(node)
	if !ok || c == h.self {
		return "", false
	}
	if m, ok := h.members.Member(c); !ok || m.Node != node {
		return "", false
	}
	return c, true
}

// find returns the node of a council, or why there is none to talk to.
func (h *Host) find(to name.Council) (peer.ID, error) {
	if to == h.self {
		return "", fmt.Errorf("%w: that is this node", ErrUnreachable)
	}
	m, ok := h.members.Member(to)
	if !ok {
		return "", ErrNotMember
	}
	p, err := peer.Decode(m.Node)
	if err != nil {
		return "", fmt.Errorf("%w: node id in the directory: %w", ErrNotMember, err)
	}
	return p, nil
}

// Dial implements [Network].
func (h *Host) Dial(ctx context.Context, to name.Council) error {
	ctx, cancel := within(ctx)
	defer cancel()
	p, err := h.find(to)
	if err == nil {
		err = h.dial(ctx, p)
	}
	if err != nil {
		return fmt.Errorf("dial %s: %w", to, err)
	}
	return nil
}

func (h *Host) dial(ctx context.Context, p peer.ID) error {
	// libp2p remembers failed dials for a while. How often to try is the
	// caller's decision: Keep backs off, and a person who says "now" means it.
	h.swarm.Backoff().Clear(p)
	return explain(ctx, h.libp2p.Connect(h.allow(ctx), peer.AddrInfo{ID: p}))
}

// Open implements [Network].
func (h *Host) Open(ctx context.Context, to name.Council, proto string) (Stream, error) {
	ctx, cancel := within(ctx)
	defer cancel()
	p, err := h.find(to)
	if err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", proto, to, err)
	}
	if err := h.dial(ctx, p); err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", proto, to, err)
	}
	s, err := h.libp2p.NewStream(network.WithNoDial(h.allow(ctx), "dialled"), p, protocol.ID(proto))
	if err == nil {
		err = negotiate(ctx, s)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", proto, to, explain(ctx, err))
	}
	return &hostStream{stream: s}, nil
}

// allow lets a connection through a relay carry streams, where relays are
// configured; libp2p otherwise keeps it for hole punching.
func (h *Host) allow(ctx context.Context) context.Context {
	if len(h.relays) > 0 {
		return network.WithAllowLimitedConn(ctx, "stile")
	}
	return ctx
}

// Handle implements [Network].
func (h *Host) Handle(proto string, f func(context.Context, name.Council, Stream)) {
	h.libp2p.SetStreamHandler(protocol.ID(proto), func(s network.Stream) {
		l, ok := h.admit(s.Conn())
		if !ok {
			s.ResetWithError(network.StreamGated)
			return
		}
		defer h.work.Done()
		if !h.turn.enter(l.council, proto) {
			s.ResetWithError(network.StreamResourceLimitExceeded)
			return
		}
		defer h.turn.leave(l.council, proto)
		hs := &hostStream{stream: s}
		defer hs.Close()
		f(l.ctx, l.council, hs)
	})
}

// admit finds the link of a stream's connection and counts its handler in.
func (h *Host) admit(c network.Conn) (*link, bool) {
	council, member := h.council(c.RemotePeer())
	h.mu.Lock()
	defer h.mu.Unlock()
	l, up := h.conns[c]
	if !member || !up || h.closed || l.council != council {
		return nil, false
	}
	h.work.Add(1)
	return l, true
}

// OnConnect implements [Network].
func (h *Host) OnConnect(f func(name.Council)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.onConnect = append(h.onConnect, f)
	for _, c := range h.councils() {
		h.tell(f, c)
	}
}

// tell calls f on its own goroutine: it may open streams, which libp2p, waiting
// for us to return, could not serve. h.mu is held.
func (h *Host) tell(f func(name.Council), c name.Council) {
	if !h.closed {
		h.work.Go(func() { f(c) })
	}
}

// Connected implements [Network].
func (h *Host) Connected() []name.Council {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.councils()
}

func (h *Host) councils() []name.Council {
	var list []name.Council
	for _, l := range h.conns {
		if l.council != "" {
			list = append(list, l.council)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// connected is told of each connection before any stream comes in on it.
func (h *Host) connected(_ network.Network, c network.Conn) {
	council, member := h.council(c.RemotePeer())
	_, relay := h.relays[c.RemotePeer()]
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || c.IsClosed() {
		return
	}
	if !member && !relay {
		// The gate let it in; the directory changed since. Refresh may have run
		// before this connection was listed, so it is ours to end.
		go c.CloseWithError(network.ConnGated)
		return
	}
	first := member && !slices.Contains(h.councils(), council)
	l := &link{council: council, since: time.Now()}
	l.ctx, l.cancel = context.WithCancel(h.ctx)
	if member && c.Stat().Direction == network.DirInbound {
		h.supersede(council, l.since)
	}
	h.conns[c] = l
	if first {
		h.log.Info("council connected", "council", council, "transport", c.ConnState().Transport, "security", c.ConnState().Security, "inbound", c.Stat().Direction == network.DirInbound)
		for _, f := range h.onConnect {
			h.tell(f, council)
		}
	}
}

// supersede ends a council's older connections when it dials us again. It would
// not if it had them: it has crashed, or its network has, and has yet to be
// missed here. libp2p would go on opening streams on the old one, which has the
// most, until half a minute of silence ends it. A connection as young as a dial
// takes may be one that we made while the council was dialling. h.mu is held.
func (h *Host) supersede(council name.Council, now time.Time) {
	for c, l := range h.conns {
		if l.council == council && now.Sub(l.since) > h.settle && !relayed(c.RemoteMultiaddr()) {
			go c.CloseWithError(network.ConnSupplanted)
		}
	}
}

func (h *Host) disconnected(_ network.Network, c network.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, ok := h.conns[c]
	if !ok {
		return
	}
	delete(h.conns, c)
	l.cancel()
	if l.council != "" && !slices.Contains(h.councils(), l.council) {
		h.log.Info("council disconnected", "council", l.council)
	}
}

// Refresh closes every connection with a node that is not, or no longer the
// same, member's. Call it when what [Members] answers has changed. On return
// their streams are reset and they are gone from Connected.
func (h *Host) Refresh() {
	for _, c := range h.swarm.Conns() {
		council, member := h.council(c.RemotePeer())
		_, relay := h.relays[c.RemotePeer()]
		h.mu.Lock()
		l, up := h.conns[c]
		h.mu.Unlock()
		if !member && !relay || up && l.council != council {
			c.CloseWithError(network.ConnGated)
			// libp2p tells us later, on another goroutine.
			h.disconnected(nil, c)
		}
	}
}

// Close implements [Network].
func (h *Host) Close() error {
	h.mu.Lock()
	again := h.closed
	h.closed = true
	h.mu.Unlock()
	h.cancel()
	if again {
		h.work.Wait()
		return nil
	}
	var err error
	switch {
	case h.libp2p != nil:
		err = h.libp2p.Close()
	case h.swarm != nil:
		err = h.swarm.Close()
	}
	if h.quic != nil {
		err = errors.Join(err, h.quic.Close())
	}
	h.mu.Lock()
	clear(h.conns)
	h.mu.Unlock()
	h.work.Wait()
	return err
}
