package wire

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"

	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
)

// dateless is a template for a node's certificate, which is valid at any time. The
// certificate binds the node key to one run of the process, and whom to believe the
// directory says. libp2p dates it by the clock at the start: a node that was started
// with a clock an hour ahead or more was refused by everybody, also when its clock had
// been put right, until somebody started it again, and could not learn from its
// partners that its clock is wrong.
func dateless() (*x509.Certificate, error) {
	var serial [2]*big.Int
	for i := range serial {
		n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
		if err != nil {
			return nil, fmt.Errorf("make certificate: %w", err)
		}
		serial[i] = n
	}
	return &x509.Certificate{
		SerialNumber: serial[0],
		Subject:      pkix.Name{SerialNumber: serial[1].String()}, // of the issuer too, who must be named (RFC 5280 section 4.1.2.4)
		NotBefore:    time.Unix(0, 0).UTC(),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 section 4.1.2.5
	}, nil
}

// overTLS is libp2p's TLS security (specs/tls), with a certificate that has no date. It
// speaks the same protocol as libp2ptls.Transport, which takes no template.
type overTLS struct {
	id       protocol.ID
	local    peer.ID
	identity *libp2ptls.Identity
	muxers   []string
}

var _ sec.SecureTransport = (*overTLS)(nil)

func newTLS(id protocol.ID, key crypto.PrivKey, muxers []upgrader.StreamMuxer) (*overTLS, error) {
	local, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, err
	}
	cert, err := dateless()
	if err != nil {
		return nil, err
	}
	t := &overTLS{id: id, local: local}
	for _, m := range muxers {
		t.muxers = append(t.muxers, string(m.ID))
	}
	t.identity, err = libp2ptls.NewIdentity(key, libp2ptls.WithCertTemplate(cert))
	return t, err
}

// ID implements sec.SecureTransport.
func (t *overTLS) ID() protocol.ID { return t.id }

// SecureInbound implements sec.SecureTransport. Of the muxers the dialler's first that
// we know is taken.
func (t *overTLS) SecureInbound(ctx context.Context, conn net.Conn, p peer.ID) (sec.SecureConn, error) {
	cfg, key := t.identity.ConfigForPeer(p)
	cfg.NextProtos = append(slices.Clone(t.muxers), cfg.NextProtos...)
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if i := slices.IndexFunc(hello.SupportedProtos, func(s string) bool { return slices.Contains(t.muxers, s) }); i >= 0 {
			its := cfg.Clone()
			its.GetConfigForClient, its.NextProtos = nil, []string{hello.SupportedProtos[i]}
			return its, nil
		}
		return nil, nil
	}
	return t.shake(ctx, tls.Server(conn, cfg), key)
}

// SecureOutbound implements sec.SecureTransport. That the other side refuses us is
// told by the first read, as TLS 1.3 has it.
func (t *overTLS) SecureOutbound(ctx context.Context, conn net.Conn, p peer.ID) (sec.SecureConn, error) {
	cfg, key := t.identity.ConfigForPeer(p)
	cfg.NextProtos = append(slices.Clone(t.muxers), cfg.NextProtos...)
	return t.shake(ctx, tls.Client(conn, cfg), key)
}

// shake ends the connection when the handshake fails.
func (t *overTLS) shake(ctx context.Context, conn *tls.Conn, key <-chan crypto.PubKey) (sec.SecureConn, error) {
	c, err := t.shaken(ctx, conn, key)
	if err != nil {
		conn.NetConn().Close()
		return nil, err
	}
	return c, nil
}

func (t *overTLS) shaken(ctx context.Context, conn *tls.Conn, key <-chan crypto.PubKey) (*tlsConn, error) {
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	c := &tlsConn{Conn: conn, local: t.local}
	select {
	case c.key = <-key: // the handshake has put it there
	default:
	}
	if c.key == nil {
		return nil, errors.New("internal error: TLS let a council in without a key")
	}
	var err error
	if c.remote, err = peer.IDFromPublicKey(c.key); err != nil {
		return nil, err
	}
	// "libp2p" says that the muxer is agreed on later.
	if p := conn.ConnectionState().NegotiatedProtocol; slices.Contains(t.muxers, p) {
		c.state = network.ConnectionState{StreamMultiplexer: protocol.ID(p), UsedEarlyMuxerNegotiation: true}
	}
	return c, nil
}

// A tlsConn is a connection over which both sides have shown their node keys.
type tlsConn struct {
	*tls.Conn
	local, remote peer.ID
	key           crypto.PubKey
	state         network.ConnectionState
}

// LocalPeer implements sec.SecureConn.
func (c *tlsConn) LocalPeer() peer.ID { return c.local }

// RemotePeer implements sec.SecureConn.
func (c *tlsConn) RemotePeer() peer.ID { return c.remote }

// RemotePublicKey implements sec.SecureConn.
func (c *tlsConn) RemotePublicKey() crypto.PubKey { return c.key }

// ConnState implements sec.SecureConn.
func (c *tlsConn) ConnState() network.ConnectionState { return c.state }
