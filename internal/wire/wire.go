// Package wire carries streams of bytes between councils, and knows who is at
// the other end of each.
//
// A [Network] is one council's end of it. [Host] is the real one, over libp2p
// on TCP and QUIC; [Memory] makes the others, for tests, with faults. Nothing
// outside this package sees libp2p.
//
// What every Network promises:
//
//   - Both ends of a connection have proved the private key that the directory
//     names for them. A connection with anybody else is closed before a stream
//     is opened on it, whoever dialled, and a stream from a council that has
//     left the directory is reset before a byte is answered.
//   - Addresses to dial come from the directory alone. What a partner says of
//     its own addresses is not dialled.
//   - One connection serves both directions: whichever side dialled, both open
//     streams. A council behind a firewall therefore only dials out ([Keep]).
//   - One council cannot take another's share: streams are limited for each
//     council and protocol ([DefaultStreams]), connections and memory too.
//
// # Protocols and framing
//
// A stream speaks one protocol, named "/stile/NAME/N". N is the version of the
// protocol: it changes when an old reader would misunderstand, and then both
// names are handled side by side for at least one release.
//
// Messages on a stream are frames: the length of the body in bytes as an
// unsigned varint in its shortest form (Protocol Buffers encoding, "Base 128
// varints"), then the body. The body "stile" is
//
//	05 73 74 69 6c 65
//
// [ReadFrame] refuses a length over the limit it is given before it reserves
// memory for it, a length not in its shortest form, and a frame cut short.
package wire

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// Errors of a Network and its streams. They come wrapped with the council they
// concern and what was seen.
var (
	// ErrUnreachable says that no connection to the council could be made.
	ErrUnreachable = errors.New("council unreachable")

	// ErrWrongNode says that something answered at the council's address, but
	// not with the key that the directory names. It comes with ErrUnreachable.
	ErrWrongNode = errors.New("another node answers at that address")

	// ErrNotMember says that the council is not in our directory, or that we
	// are not in its.
	ErrNotMember = errors.New("not a member")

	// ErrProtocol says that the council is there but does not speak the protocol.
	ErrProtocol = errors.New("protocol not spoken")

	// ErrBusy says that a limit on streams, connections or memory is reached,
	// ours or theirs. Try later, or close a stream.
	ErrBusy = errors.New("limit reached")

	// ErrReset says that the stream or its connection broke: either side reset
	// it, the connection was lost, or the council was removed. What was written
	// and not yet answered may or may not have arrived.
	ErrReset = errors.New("stream reset")
)

// Limits that hold unless [Options] says otherwise.
const (
	// DefaultStreams is how many streams of one protocol one council may have
	// open towards us at a time. One more is reset, and its opener sees ErrBusy.
	DefaultStreams = 64

	// OpenTimeout bounds a Dial or an Open whose context has no deadline.
	OpenTimeout = 15 * time.Second
)

// A Network is one council's end of the streams between councils. All methods
// may be called concurrently.
type Network interface {
	// Open opens a stream to a council, dialling it if there is no connection.
	// On return the other side has accepted the protocol, which costs one round
	// trip. Errors wrap ErrUnreachable, ErrWrongNode, ErrNotMember, ErrProtocol
	// or ErrBusy. The context bounds Open alone, not the stream.
	Open(ctx context.Context, to name.Council, protocol string) (Stream, error)

	// Handle has h called, on its own goroutine, for each stream that a council
	// opens in the protocol; from is who proved its key. The context ends when
	// the connection does, the council is removed or the network closes. A
	// stream that h leaves open is closed when h returns. Handle replaces an
	// earlier handler of the protocol. Call it before councils may want the
	// protocol: until then they get ErrProtocol.
	Handle(protocol string, h func(ctx context.Context, from name.Council, s Stream))

	// OnConnect has f called, on its own goroutine, each time a council goes
	// from not connected to connected, whoever dialled; and at once for those
	// connected already.
	OnConnect(f func(name.Council))

	// Connected returns the councils with a connection now, sorted.
	Connected() []name.Council

	// Dial makes sure that there is a connection. It returns nil at once if
	// there is one. Errors as for Open.
	Dial(ctx context.Context, to name.Council) error

	// Close ends every stream and connection and waits for handlers to return;
	// it must not be called from one. Afterwards every method fails or does
	// nothing.
	Close() error
}

// given is the key of a context's network.
type given struct{}

// With returns a context in which a node runs on net, and not on one that it
// opens itself. Tests run nodes on a [Memory] by it: a Network is of this module
// alone, so that no exported name of package node can hold one.
func With(ctx context.Context, net Network) context.Context {
	return context.WithValue(ctx, given{}, func(name.Council) Network { return net })
}

// Among returns a context in which every node runs on m, each as its own council: also
// one that another opens, as a machine does its council's.
func Among(ctx context.Context, m *Memory) context.Context {
	return context.WithValue(ctx, given{}, func(c name.Council) Network { return m.Node(c) })
}

// From returns the network that a context was given for the node of a council; nil where
// it was given none.
func From(ctx context.Context, self name.Council) Network {
	of, ok := ctx.Value(given{}).(func(name.Council) Network)
	if !ok {
		return nil
	}
	return of(self)
}

// A Stream is a pipe of bytes in both directions between two councils. One
// goroutine may read while another writes; Close, Reset and SetDeadline may be
// called from any.
type Stream interface {
	// Read fails with io.EOF once the other side has closed its writing side
	// and everything has been read, ErrReset, ErrBusy or ErrNotMember when the
	// stream was reset, os.ErrDeadlineExceeded at the deadline.
	//
	// Write returns when the bytes are on their way: its success says nothing
	// about their arrival. After an error it is unknown how many arrived.
	//
	// Close closes both sides. Bytes written before are still sent; bytes that
	// arrive later are dropped, and the other side may find its writes blocked
	// until its deadline, so a reader who will not read on should Reset.
	io.ReadWriteCloser

	// CloseWrite ends what we send: the other side reads the rest and io.EOF.
	// We can read on.
	CloseWrite() error

	// SetDeadline bounds present and future reads and writes; the zero time
	// means none. A write that hit its deadline may have sent a part: the stream
	// is then fit for Reset only.
	SetDeadline(time.Time) error

	// Reset breaks off in both directions. Bytes on their way may be lost.
	Reset() error
}

// Members is what wire asks of the directory. Its methods are called for each
// connection and each stream, concurrently, and must answer from memory; what
// they answer holds from then on, but see [Host.Refresh].
type Members interface {
	// Member returns where a council is to be found; false if it is no member.
	Member(name.Council) (Member, bool)
	// ByNode returns the council that a node belongs to; false if to none.
	ByNode(node string) (name.Council, bool)
}

// A Member is what wire needs to know of one council.
type Member struct {
	Node      string   // libp2p peer id of its node, as PeerID returns it
	Addresses []string // multiaddrs to dial; none: it dials us
}
