package wire

import (
	"context"
	"crypto/ed25519"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// A node whose clock was years ahead when it was started is let in by those whose clock
// is right, and lets them in, whoever dials; and it speaks with nodes that date their
// certificates, as they speak with it. Time in a bubble begins in the year 2000.
func TestClockAheadAtTheStart(t *testing.T) {
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}}
	key := func(b byte) crypto.PrivKey {
		k, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(append(make([]byte, 31), b)))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	made := func(tr sec.SecureTransport, err error) sec.SecureTransport {
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	mine, theirs := key(1), key(2)
	ours := made(newTLS(libp2ptls.ID, mine, muxers))         // started in the year that the machine says
	dated := made(libp2ptls.New(libp2ptls.ID, mine, muxers)) // the same, as libp2p would have it
	synctest.Test(t, func(t *testing.T) {
		right, other := made(newTLS(libp2ptls.ID, theirs, muxers)), made(libp2ptls.New(libp2ptls.ID, theirs, muxers))
		for _, tt := range []struct {
			name          string
			dials, takes  sec.SecureTransport
			dialler, host crypto.PrivKey
			want          bool
		}{
			{"it dials", ours, right, mine, theirs, true},
			{"it is dialled", right, ours, theirs, mine, true},
			{"it dials one that dates", ours, other, mine, theirs, true},
			{"one that dates dials it", other, ours, theirs, mine, true},
			{"with a date nobody lets it in", dated, right, mine, theirs, false},
		} {
			a, b := net.Pipe()
			host, _ := peer.IDFromPrivateKey(tt.host)
			dialler, _ := peer.IDFromPrivateKey(tt.dialler)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			type end struct {
				c   sec.SecureConn
				err error
			}
			taken := make(chan end, 1)
			go func() {
				c, err := tt.takes.SecureInbound(ctx, b, "")
				taken <- end{c, err}
			}()
			out, err := tt.dials.SecureOutbound(ctx, a, host)
			if err == nil {
				go out.Read(make([]byte, 1)) // takes the alert that refuses us
			}
			in := <-taken
			if got := err == nil && in.err == nil; got != tt.want {
				t.Errorf("%s: let in %v, want %v: %v, %v", tt.name, got, tt.want, err, in.err)
			} else if got && (out.RemotePeer() != host || in.c.RemotePeer() != dialler || in.c.ConnState().StreamMultiplexer != yamux.ID || out.ConnState().StreamMultiplexer != yamux.ID) {
				t.Errorf("%s: %v and %v over %+v", tt.name, out.RemotePeer(), in.c.RemotePeer(), in.c.ConnState())
			}
			cancel()
			a.Close()
			b.Close()
		}
	})
}

// A key that is not the one dialled is not spoken with.
func TestTLSWrongKey(t *testing.T) {
	mk := func(b byte) (*overTLS, peer.ID) {
		k, _ := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(append(make([]byte, 31), b)))
		tr, err := newTLS(libp2ptls.ID, k, nil)
		if err != nil {
			t.Fatal(err)
		}
		return tr, tr.local
	}
	one, _ := mk(1)
	two, _ := mk(2)
	_, three := mk(3)
	a, b := net.Pipe()
	go two.SecureInbound(t.Context(), b, "")
	if _, err := one.SecureOutbound(t.Context(), a, three); err == nil {
		t.Error("it spoke with another council than the one that it dialled")
	}
}
