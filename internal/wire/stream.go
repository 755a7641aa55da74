package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multistream"
)

// hostStream is a libp2p stream with the errors that [Stream] promises: yamux
// and QUIC name the same events differently.
type hostStream struct {
	stream network.Stream
	done   atomic.Bool // closed or reset by us
}

// negotiate waits until the other side has accepted the stream's protocol.
//
// Where libp2p remembers that a peer speaks a protocol it returns the stream at
// once and learns otherwise in the first Read, whose error then stays for good,
// a deadline's included. Streams here live long; one round trip buys an Open
// whose answer is true.
func negotiate(ctx context.Context, s network.Stream) error {
	if _, agreed := s.(*swarm.Stream); agreed {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { s.SetDeadline(time.Unix(1, 0)) })
	_, err := s.Read(nil) // an empty read does the handshake and no more
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		s.Reset()
	}
	return err
}

func (s *hostStream) Read(b []byte) (int, error) {
	n, err := s.stream.Read(b)
	return n, s.explain(err)
}

func (s *hostStream) Write(b []byte) (int, error) {
	n, err := s.stream.Write(b)
	return n, s.explain(err)
}

func (s *hostStream) Close() error {
	if s.done.Swap(true) {
		return nil
	}
	return s.explain(s.stream.Close())
}

func (s *hostStream) CloseWrite() error { return s.explain(s.stream.CloseWrite()) }

func (s *hostStream) SetDeadline(t time.Time) error { return s.explain(s.stream.SetDeadline(t)) }

func (s *hostStream) Reset() error {
	// After Close a reset would, over QUIC, take back bytes that are on their way.
	if s.done.Swap(true) {
		return nil
	}
	return s.explain(s.stream.Reset())
}

// explain maps an error of the stream to the ones of [Stream].
func (s *hostStream) explain(err error) error {
	var timeout net.Error
	switch {
	case err == nil, err == io.EOF:
		return err
	case errors.As(err, &timeout) && timeout.Timeout():
		return os.ErrDeadlineExceeded
	case resetCode(err) != nil:
		return resetCode(err)
	}
	return fmt.Errorf("%w: %w", ErrReset, err)
}

// resetCode returns what the other side said when it reset the stream or closed
// the connection: nil if err is neither.
func resetCode(err error) error {
	var stream *network.StreamError
	if errors.As(err, &stream) {
		switch stream.ErrorCode {
		case network.StreamGated:
			return ErrNotMember
		case network.StreamResourceLimitExceeded, network.StreamRateLimited:
			return ErrBusy
		}
		return ErrReset
	}
	var conn *network.ConnError
	if errors.As(err, &conn) {
		switch conn.ErrorCode {
		case network.ConnGated:
			return ErrNotMember
		case network.ConnResourceLimitExceeded, network.ConnRateLimited:
			return ErrBusy
		}
		return ErrReset
	}
	if errors.Is(err, network.ErrReset) {
		return ErrReset
	}
	return nil
}

// explain gives an error of libp2p the sentinel of this package that says what
// it means, on one line.
func explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var wrong sec.ErrPeerIDMismatch
	var unspoken multistream.ErrNotSupported[protocol.ID]
	var dialled *swarm.DialError
	switch {
	case errors.As(err, &wrong):
		return fmt.Errorf("%w: %w", ErrUnreachable, ErrWrongNode)
	case errors.As(err, &unspoken):
		return ErrProtocol
	case errors.Is(err, swarm.ErrGaterDisallowedConnection):
		return ErrNotMember
	case errors.Is(err, network.ErrResourceLimitExceeded):
		return fmt.Errorf("%w: here", ErrBusy)
	case resetCode(err) != nil:
		return fmt.Errorf("%w: there", resetCode(err))
	case errors.Is(err, swarm.ErrNoAddresses):
		return fmt.Errorf("%w: no address in the directory, so it has to dial us", ErrUnreachable)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrUnreachable, context.Cause(ctx))
	case errors.As(err, &dialled) && len(dialled.DialErrors) > 0:
		var why []error
		for _, d := range dialled.DialErrors {
			why = append(why, fmt.Errorf("%s: %w", d.Address, d.Cause))
		}
		return fmt.Errorf("%w: %w", ErrUnreachable, oneLine(why))
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// oneLine is errors.Join for a log that has one line for each event.
type oneLine []error

func (l oneLine) Unwrap() []error { return l }
func (l oneLine) Error() string {
	text := ""
	for i, err := range l {
		if i > 0 {
			text += "; "
		}
		text += err.Error()
	}
	return text
}
