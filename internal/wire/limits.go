package wire

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"

	"github.com/stile-exchange/stile/node/name"
)

// handshakeTimeout is how long an incoming TCP connection may take to prove who
// it is and agree on a multiplexer.
const handshakeTimeout = 8 * time.Second

// streamsOnTCP is how many streams a council may have open towards us on one TCP
// connection, those that wait to be accepted included. A new stream has 256 KiB of
// memory at once, and yamux ends the whole connection when the council's share
// ([newResources]) has no room for it; windows grow only into the first half of that
// share. So 192 streams take 48 of the other 64 MiB, and what is left is for the
// streams that we open. QUIC has the like from libp2p: the other side waits.
const streamsOnTCP = 192

// turnstile counts the streams that councils have open towards us, for each
// council and protocol, and lets no more than max in at once. Both networks use
// it, so that tests over Memory meet the limits that Host has.
type turnstile struct {
	mu   sync.Mutex
	max  int
	open map[entrance]int
}

type entrance struct {
	from     name.Council
	protocol string
}

func newTurnstile(max int) *turnstile {
	if max <= 0 {
		max = DefaultStreams
	}
	return &turnstile{max: max, open: make(map[entrance]int)}
}

// enter counts one stream in, or reports false if the limit is reached.
func (t *turnstile) enter(from name.Council, protocol string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := entrance{from, protocol}
	if t.open[e] >= t.max {
		return false
	}
	t.open[e]++
	return true
}

func (t *turnstile) leave(from name.Council, protocol string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := entrance{from, protocol}
	if t.open[e]--; t.open[e] == 0 {
		delete(t.open, e)
	}
}

// newResources returns libp2p's resource manager with every limit in figures,
// not scaled to the machine, so that a node behaves the same wherever it runs.
// They stand behind turnstile: they hold before a stream has a protocol and
// before a connection has a council.
//
// The country has some 400 councils. A node talks to all of them with room to
// spare, and one that misbehaves gets an eighth of the memory at most.
func newResources() (network.ResourceManager, error) {
	const mib = 1 << 20
	system := rcmgr.ResourceLimits{
		Conns: 1024, ConnsInbound: 768, ConnsOutbound: 768, FD: 1024,
		Streams: 8192, StreamsInbound: 6144, StreamsOutbound: 6144,
		Memory: 1024 * mib,
	}
	// Transient is what has not proved who it is. Strangers may hold 256
	// half-open connections in all, each for handshakeTimeout.
	transient := rcmgr.ResourceLimits{
		Conns: 384, ConnsInbound: 256, ConnsOutbound: 128, FD: 384,
		Streams: 1024, StreamsInbound: 768, StreamsOutbound: 768,
		Memory: 128 * mib,
	}
	// A council has one connection; both dialling at once, TCP and QUIC, makes
	// up to four, and after a crash the old ones linger until they time out.
	peer := rcmgr.ResourceLimits{
		Conns: 12, ConnsInbound: 8, ConnsOutbound: 8, FD: 12,
		Streams: 768, StreamsInbound: 512, StreamsOutbound: 512,
		Memory: 128 * mib,
	}
	anyProtocol := rcmgr.ResourceLimits{
		Streams: 6144, StreamsInbound: 4096, StreamsOutbound: 4096,
		Conns: rcmgr.Unlimited, ConnsInbound: rcmgr.Unlimited, ConnsOutbound: rcmgr.Unlimited, FD: rcmgr.Unlimited,
		Memory: 1024 * mib,
	}
	// Above DefaultStreams, so that it is turnstile that says ErrBusy and
	// libp2p's own small protocols (identify, hole punching) fit beside ours.
	protocolPeer := rcmgr.ResourceLimits{
		Streams: 640, StreamsInbound: 384, StreamsOutbound: 384,
		Conns: rcmgr.Unlimited, ConnsInbound: rcmgr.Unlimited, ConnsOutbound: rcmgr.Unlimited, FD: rcmgr.Unlimited,
		Memory: 128 * mib,
	}
	single := rcmgr.ResourceLimits{
		Conns: 1, ConnsInbound: 1, ConnsOutbound: 1, FD: 1,
		Streams: 1, StreamsInbound: 1, StreamsOutbound: 1,
		Memory: 32 * mib,
	}
	limits := rcmgr.PartialLimitConfig{
		System: system, Transient: transient,
		AllowlistedSystem: system, AllowlistedTransient: transient,
		ServiceDefault: anyProtocol, ServicePeerDefault: protocolPeer,
		ProtocolDefault: anyProtocol, ProtocolPeerDefault: protocolPeer,
		PeerDefault: peer, Conn: single, Stream: single,
	}.Build(rcmgr.ConcreteLimitConfig{})

	// Several councils may share an address, behind one provider's gateway. The
	// loopback network has more: a node of a test or a demonstration is
	// there with all its partners. A handshake costs a millisecond or two before
	// anybody is known by it, so that no address may have them made without end.
	v4 := []rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: 64}}
	v6 := []rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: 64}, {PrefixLength: 48, ConnCount: 256}}
	rates := &rate.Limiter{
		NetworkPrefixLimits: []rate.PrefixLimit{
			{Prefix: netip.MustParsePrefix("127.0.0.0/8"), Limit: rate.Limit{RPS: 20, Burst: 512}},
			{Prefix: netip.MustParsePrefix("::1/128"), Limit: rate.Limit{RPS: 20, Burst: 512}},
		},
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: rate.Limit{RPS: 2, Burst: 64}}},
			IPv6SubnetLimits: []rate.SubnetLimit{
				{PrefixLength: 56, Limit: rate.Limit{RPS: 2, Burst: 64}},
				{PrefixLength: 48, Limit: rate.Limit{RPS: 8, Burst: 256}},
			},
		},
	}
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(v4, v6),
		rcmgr.WithConnRateLimiters(rates))
}

// within returns ctx bounded by [OpenTimeout] if it has no deadline.
func within(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, OpenTimeout, errOpenTimeout)
}

var errOpenTimeout = fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
