package wire_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

const (
	north name.Council = "northmoor.gov.uk"
	salt  name.Council = "saltby.gov.uk"
	east  name.Council = "eastfen.gov.uk"

	proto = "/stile/test/1"
)

// ways are the kinds of connection that there are.
var ways = []struct {
	name   string
	open   func(wire.Options) (*wire.Host, error)
	listen string
}{
	{"tcp and tls", func(o wire.Options) (*wire.Host, error) { return wire.OpenSecured(o, libp2ptls.ID) }, onTCP},
	{"tcp and noise", func(o wire.Options) (*wire.Host, error) { return wire.OpenSecured(o, noise.ID) }, onTCP},
	{"quic", wire.Open, onQUIC},
}

func echo(_ context.Context, _ name.Council, s wire.Stream) {
	if _, err := io.Copy(s, s); err != nil {
		s.Reset()
	}
}

// say sends text on an echo stream and returns what comes back.
func say(s wire.Stream, text string) (string, error) {
	s.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(s, text); err != nil {
		return "", err
	}
	got := make([]byte, len(text))
	n, err := io.ReadFull(s, got)
	return string(got[:n]), err
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(90 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		}
	}
}

// reach opens a stream and uses it.
func reach(ctx context.Context, n wire.Network, to name.Council) error {
	s, err := n.Open(ctx, to, proto)
	if err != nil {
		return err
	}
	defer s.Reset()
	_, err = say(s, "hello")
	return err
}

// A stranger is refused though its own side would talk to us, and our handlers
// never hear of it.
func TestStrangerDialsIn(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			ours, theirs := newTown(), newTown()
			a := ours.open(t, north, way.open, way.listen)
			var called atomic.Int32
			a.Handle(proto, func(context.Context, name.Council, wire.Stream) { called.Add(1) })
			a.OnConnect(func(name.Council) { called.Add(1) })
			b := theirs.open(t, salt, way.open)
			theirs.enrol(north, node(north), a.Addresses()...)
			for range 3 {
				if err := reach(t.Context(), b, north); err == nil {
					t.Fatal("a stranger was served")
				} else if !errors.Is(err, wire.ErrNotMember) && !errors.Is(err, wire.ErrUnreachable) && !errors.Is(err, wire.ErrReset) {
					t.Error(err)
				}
			}
			if len(a.Connected()) > 0 || called.Load() > 0 {
				t.Error("we took notice of a stranger")
			}
		})
	}
}

// We do not dial or stay with a node that the directory does not name, even one
// that takes us for a member.
func TestWeDialNoStranger(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			ours, theirs := newTown(), newTown()
			b := theirs.open(t, salt, way.open, way.listen)
			a := ours.open(t, north, way.open)
			theirs.enrol(north, node(north))
			b.Handle(proto, echo)
			if err := reach(t.Context(), a, salt); !errors.Is(err, wire.ErrNotMember) {
				t.Errorf("%v, want ErrNotMember", err)
			}
			ours.enrol(salt, node(salt), b.Addresses()...)
			if err := reach(t.Context(), a, salt); err != nil {
				t.Errorf("once it is in the directory: %v", err)
			}
		})
	}
}

// Whoever answers at a council's address must have the council's key.
func TestWrongNodeAtAddress(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			w := newTown()
			a := w.open(t, north, way.open)
			impostor := w.open(t, east, way.open, way.listen)
			impostor.Handle(proto, echo)
			w.enrol(salt, node(salt), impostor.Addresses()...)
			err := reach(t.Context(), a, salt)
			if !errors.Is(err, wire.ErrWrongNode) || !errors.Is(err, wire.ErrUnreachable) {
				t.Errorf("%v, want ErrUnreachable and ErrWrongNode", err)
			}
			if got := a.Connected(); len(got) > 0 {
				t.Errorf("connected to %v", got)
			}
		})
	}
}

// A council that the directory has dropped gets no answer even before Refresh.
func TestStreamAfterRemoval(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			ours, theirs := newTown(), newTown()
			a := ours.open(t, north, way.open, way.listen)
			b := theirs.open(t, salt, way.open)
			var called atomic.Int32
			a.Handle(proto, func(ctx context.Context, c name.Council, s wire.Stream) {
				called.Add(1)
				echo(ctx, c, s)
			})
			theirs.enrol(north, node(north), a.Addresses()...)
			ours.enrol(salt, node(salt))
			if err := reach(t.Context(), b, north); err != nil {
				t.Fatal(err)
			}
			ours.forget(salt) // and nobody tells the host
			if err := reach(t.Context(), b, north); !errors.Is(err, wire.ErrNotMember) {
				t.Errorf("%v, want ErrNotMember", err)
			}
			// libp2p's own protocols are closed to it too.
			if _, err := b.Open(t.Context(), north, "/ipfs/id/1.0.0"); !errors.Is(err, wire.ErrNotMember) {
				t.Errorf("identify: %v, want ErrNotMember", err)
			}
			// The same key under another council's name is not the council that
			// connected.
			ours.enrol(east, node(salt))
			if err := reach(t.Context(), b, north); !errors.Is(err, wire.ErrNotMember) {
				t.Errorf("under another name: %v, want ErrNotMember", err)
			}
			if called.Load() != 1 {
				t.Errorf("handler called %d times, want once", called.Load())
			}
			a.Refresh()
			if got := a.Connected(); len(got) > 0 {
				t.Errorf("after Refresh connected to %v", got)
			}
		})
	}
}

// Each place where libp2p asks the gate says no by itself; the places behind it
// would hide that one did not.
func TestGate(t *testing.T) {
	w := newTown()
	a := w.open(t, north, wire.Open)
	w.enrol(salt, node(salt))
	for c, want := range map[name.Council]bool{salt: true, east: false, north: false} {
		for i, got := range a.Admits(node(c)) {
			if got != want {
				t.Errorf("place %d admits %s: %v, want %v", i, c, got, want)
			}
		}
	}
}

// changing is a directory that drops everybody after so many questions.
type changing struct {
	*town
	left atomic.Int32
}

func (m *changing) ByNode(node string) (name.Council, bool) {
	if m.left.Add(-1) < 0 {
		return "", false
	}
	return m.town.ByNode(node)
}

// A council that leaves the directory while its connection is being made, after
// any number of places have let it in, is not served, nor left connected if it
// went before the connection was complete.
func TestRemovedDuringHandshake(t *testing.T) {
	const complete = 3 // the gate twice, then the list of connections
	for questions := range int32(complete + 3) {
		ours, theirs := newTown(), newTown()
		m := &changing{town: ours}
		m.left.Store(questions)
		a, err := wire.Open(wire.Options{Key: key(north), Self: north, Directory: m, Listen: []string{onTCP}})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		b := theirs.open(t, salt, wire.Open)
		ours.enrol(salt, node(salt))
		theirs.enrol(north, node(north), a.Addresses()...)
		var called atomic.Bool
		a.Handle(proto, func(context.Context, name.Council, wire.Stream) { called.Store(true) })
		if err := reach(t.Context(), b, north); err == nil || called.Load() {
			t.Errorf("dropped after %d questions and served", questions)
		}
		if questions < complete {
			eventually(t, "hung up", func() bool { return len(b.Connected()) == 0 })
		}
	}
}

// A failed dial does not stand in the way of the next.
func TestRedialAtOnce(t *testing.T) {
	w := newTown()
	a, b := w.open(t, north, wire.Open), w.open(t, salt, wire.Open, onTCP)
	at := b.Addresses()
	b.Close()
	if err := a.Dial(t.Context(), salt); !errors.Is(err, wire.ErrUnreachable) {
		t.Fatalf("%v, want ErrUnreachable", err)
	}
	w.open(t, salt, wire.Open, at...)
	if err := a.Dial(t.Context(), salt); err != nil {
		t.Error(err)
	}
}

// A council that dials again has lost its connection: the old one does not stay
// to swallow streams.
func TestSuperseded(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			w := newTown()
			a := w.open(t, north, wire.OpenSettled, way.listen)
			before := w.open(t, salt, way.open)
			if err := before.Dial(t.Context(), north); err != nil {
				t.Fatal(err)
			}
			eventually(t, "connected", func() bool { return len(a.Connected()) == 1 })
			// The same council, as it would be after a crash that nobody noticed.
			after := w.open(t, salt, way.open)
			after.Handle(proto, echo)
			if err := after.Dial(t.Context(), north); err != nil {
				t.Fatal(err)
			}
			eventually(t, "old connection ended", func() bool { return len(before.Connected()) == 0 })
			if err := reach(t.Context(), a, salt); err != nil {
				t.Error(err)
			}
			if len(after.Connected()) != 1 {
				t.Error("new connection ended")
			}
		})
	}
}

// A council's new node key ends the connections of the old one.
func TestRefreshKey(t *testing.T) {
	w := newTown()
	a, b := w.open(t, north, wire.Open, onTCP), w.open(t, salt, wire.Open, onTCP)
	if err := a.Dial(t.Context(), salt); err != nil {
		t.Fatal(err)
	}
	w.enrol(salt, node(east), b.Addresses()...)
	a.Refresh()
	if got := a.Connected(); len(got) > 0 {
		t.Errorf("connected to %v by the old key", got)
	}
	if err := a.Dial(t.Context(), salt); !errors.Is(err, wire.ErrWrongNode) {
		t.Errorf("dial: %v, want ErrWrongNode", err)
	}
}

// What a partner says of its addresses is not used: only the directory's are,
// and with relays configured public ones.
func TestOnlyDirectoryAddresses(t *testing.T) {
	for _, relays := range [][]string{nil, {"/ip4/127.0.0.1/tcp/1/p2p/" + node(east)}} {
		w := newTown()
		a := w.open(t, north, func(o wire.Options) (*wire.Host, error) {
			o.Relays = relays
			return wire.Open(o)
		}, onTCP)
		b := w.open(t, salt, wire.OpenTelling, onTCP)
		a.Handle(proto, echo)
		if err := reach(t.Context(), b, north); err != nil { // identify has told a where b listens
			t.Fatal(err)
		}
		w.enrol(salt, node(salt))
		at := b.Addresses()
		b.Close()
		w.openUnlisted(t, salt, wire.Open, at...)
		eventually(t, "a knows that b is gone", func() bool { return len(a.Connected()) == 0 })
		if err := a.Dial(t.Context(), salt); !errors.Is(err, wire.ErrUnreachable) || !strings.Contains(err.Error(), "no address") {
			t.Errorf("%v, want ErrUnreachable for want of an address", err)
		}
	}
}

// The directory may name a machine instead of its address.
func TestDNSAddress(t *testing.T) {
	w := newTown()
	a, b := w.open(t, north, wire.Open), w.open(t, salt, wire.Open, onTCP)
	b.Handle(proto, echo)
	w.enrol(salt, node(salt), strings.Replace(b.Addresses()[0], "/ip4/127.0.0.1/", "/dns4/localhost/", 1))
	if err := reach(t.Context(), a, salt); err != nil {
		t.Error(err)
	}
}

// Opening says no rather than listening at some of what was asked for, or
// beside another process.
func TestListenFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr, _ := manet.FromNetAddr(taken.Addr())
	w := newTown()
	first := w.open(t, north, wire.Open, onTCP, onQUIC)
	for _, listen := range [][]string{
		{onTCP, addr.String()},
		first.Addresses()[:1],
		first.Addresses()[1:],
		{"/ip4/127.0.0.1/udp/0"},
		{"not an address"},
	} {
		h, err := wire.Open(wire.Options{Key: key(salt), Self: salt, Directory: w, Listen: listen})
		if err == nil {
			t.Errorf("listened at %v", h.Addresses())
			h.Close()
		}
	}
}

func TestOpenOptions(t *testing.T) {
	good := wire.Options{Key: key(north), Self: north, Directory: newTown()}
	for _, spoil := range []func(*wire.Options){
		func(o *wire.Options) { o.Key = nil },
		func(o *wire.Options) { o.Self = "" },
		func(o *wire.Options) { o.Directory = nil },
		func(o *wire.Options) { o.Streams = 257 },
		func(o *wire.Options) { o.Streams = -1 },
		func(o *wire.Options) { o.Relays = []string{"/ip4/127.0.0.1/tcp/4001"} },
		func(o *wire.Options) { o.Relays = []string{"/p2p/" + node(salt)} },
	} {
		o := good
		spoil(&o)
		if h, err := wire.Open(o); err == nil {
			t.Errorf("opened with %+v", o)
			h.Close()
		}
	}
}

// TestPeerID checks the id against one made by the rule of the libp2p peer id
// specification: base58 of an identity multihash of the key's protobuf.
func TestPeerID(t *testing.T) {
	raw := append([]byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}, key(north).Public().(ed25519.PublicKey)...)
	if got, want := wire.PeerID(key(north).Public().(ed25519.PublicKey)), base58(raw); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func base58(b []byte) string {
	const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	digits := []int{0}
	for _, c := range b {
		carry := int(c)
		for i := range digits {
			carry += digits[i] << 8
			digits[i] = carry % 58
			carry /= 58
		}
		for ; carry > 0; carry /= 58 {
			digits = append(digits, carry%58)
		}
	}
	text := strings.Repeat("1", len(b)-len(strings.TrimLeft(string(b), "\x00")))
	for _, d := range slices.Backward(digits) {
		text += string(alphabet[d])
	}
	return text
}

// Half-open connections of strangers do not keep members out.
func TestKnockers(t *testing.T) {
	w := newTown()
	a := w.open(t, north, wire.Open, onTCP)
	b := w.open(t, salt, wire.Open)
	a.Handle(proto, echo)
	m, err := multiaddr.NewMultiaddr(a.Addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		c, err := manet.Dial(m)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	}
	if err := reach(t.Context(), b, north); err != nil {
		t.Error(err)
	}
}

// Streams without end on TCP are refused one by one: the connection, and what is under
// way on it, stays. Both councils open them, for the memory of both directions is one.
func TestManyStreamsKeepTheConnection(t *testing.T) {
	w := newTown()
	a, b := w.open(t, north, wire.Open, onTCP), w.open(t, salt, wire.Open, onTCP)
	const kinds, each = 6, wire.DefaultStreams // with no refusal, 96 MiB of new windows in each direction
	hold := func(i int) string { return fmt.Sprint("/stile/hold/", i) }
	for _, h := range []*wire.Host{a, b} {
		for i := range kinds {
			h.Handle(hold(i), func(_ context.Context, _ name.Council, s wire.Stream) {
				s.Write([]byte{1})
				io.Copy(io.Discard, s)
			})
		}
	}
	b.Handle(proto, echo)
	first, err := a.Open(t.Context(), salt, proto)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []struct {
		from *wire.Host
		to   name.Council
	}{{a, salt}, {b, north}} {
		held, refused := 0, 0
		for i := range kinds * each {
			s, err := d.from.Open(t.Context(), d.to, hold(i/each))
			if err == nil {
				s.SetDeadline(time.Now().Add(10 * time.Second))
				_, err = s.Read(make([]byte, 1))
			}
			if err != nil {
				refused++
			} else {
				held++
			}
		}
		if held < 2*each || refused == 0 {
			t.Errorf("towards %s: %d streams held, %d refused", d.to, held, refused)
		}
	}
	if got, err := say(first, "still here"); err != nil || got != "still here" {
		t.Errorf("the stream from before answered %q, %v", got, err)
	}
}

// A council that connects, or opens streams, beyond its share is refused, and others are not;
// the connection on which it goes on opening them is closed.
func TestShares(t *testing.T) {
	w := newTown()
	a, b, c := w.open(t, north, wire.Open, onTCP), w.open(t, salt, wire.Open), w.open(t, east, wire.Open)
	var connects, opens atomic.Int64
	opens.Store(2)
	left := func(n *atomic.Int64) func(name.Council) bool {
		return func(from name.Council) bool { return from != salt || n.Add(-1) >= 0 }
	}
	connects.Store(1)
	a.Hold(wire.Shares{Connects: left(&connects), Opens: left(&opens)})
	a.Handle(proto, echo)
	if err := reach(t.Context(), b, north); err != nil {
		t.Fatalf("within its share: %v", err)
	}
	eventually(t, "the connection is closed on which streams are opened without end", func() bool {
		s, err := b.Open(t.Context(), north, proto)
		if err == nil {
			if got, err := say(s, "x"); err == nil && opens.Load() < 0 {
				t.Fatalf("a stream beyond the share answers %q", got)
			}
		}
		return opens.Load() <= -100 && !slices.Contains(a.Connected(), salt)
	})
	opens.Store(1000)
	if err := reach(t.Context(), b, north); err == nil {
		t.Error("a connection beyond the share is let in")
	}
	if err := reach(t.Context(), c, north); err != nil {
		t.Errorf("another council: %v", err)
	}
}

func TestRelay(t *testing.T) {
	w := newTown()
	relay, err := wire.Open(wire.Options{Key: key(east), Self: east, Directory: w, Listen: []string{onTCP}, ServeRelay: true})
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	w.enrol(east, node(east), relay.Addresses()...)
	via := relay.Addresses()[0] + "/p2p/" + node(east)
	behind := func(c name.Council) *wire.Host {
		h := w.open(t, c, func(o wire.Options) (*wire.Host, error) {
			o.Relays = []string{via}
			return wire.Open(o)
		})
		w.enrol(c, node(c), via+"/p2p-circuit")
		h.Handle(proto, echo)
		return h
	}
	a, b := behind(north), behind(salt)
	// It takes until b has its place.
	eventually(t, "a reaches b", func() bool { return reach(t.Context(), a, salt) == nil })
	if err := reach(t.Context(), b, north); err != nil {
		t.Errorf("the other way: %v", err)
	}
	// Much more than a public relay would carry.
	s, err := a.Open(t.Context(), salt, proto)
	if err != nil {
		t.Fatal(err)
	}
	for range 16 {
		if _, err := say(s, strings.Repeat("x", 64<<10)); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	if got := a.Connected(); !slices.Equal(got, []name.Council{east, salt}) {
		t.Errorf("connected to %v", got)
	}
	// The relay carries members only: out of the directory, out of the relay.
	w.remove(salt)
	relay.Refresh()
	if err := reach(t.Context(), a, salt); !errors.Is(err, wire.ErrNotMember) {
		t.Errorf("%v, want ErrNotMember", err)
	}
	// Without relays configured an address at one is of no use.
	w.enrol(salt, node(salt), via+"/p2p-circuit")
	plain := w.openUnlisted(t, "plain.gov.uk", wire.Open)
	w.enrol("plain.gov.uk", node("plain.gov.uk"))
	if err := plain.Dial(t.Context(), salt); !errors.Is(err, wire.ErrUnreachable) {
		t.Errorf("%v, want ErrUnreachable", err)
	}
}

// A relay that is no member may carry, and gets nothing else from us.
func TestRelayIsNoMember(t *testing.T) {
	ours, theirs := newTown(), newTown()
	relay, err := wire.Open(wire.Options{Key: key(east), Self: east, Directory: theirs, Listen: []string{onTCP}, ServeRelay: true})
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	a := ours.open(t, north, func(o wire.Options) (*wire.Host, error) {
		o.Relays = []string{relay.Addresses()[0] + "/p2p/" + node(east)}
		return wire.Open(o)
	})
	theirs.enrol(north, node(north))
	var called atomic.Int32
	a.Handle(proto, func(context.Context, name.Council, wire.Stream) { called.Add(1) })
	told := make(chan name.Council, 1)
	relay.OnConnect(func(c name.Council) { told <- c })
	select {
	case <-told:
	case <-time.After(90 * time.Second):
		t.Fatal("never came to the relay")
	}
	if err := reach(t.Context(), relay, north); !errors.Is(err, wire.ErrNotMember) {
		t.Errorf("a relay opened a stream: %v, want ErrNotMember", err)
	}
	a.Refresh()
	if len(relay.Connected()) != 1 {
		t.Error("Refresh dropped the relay")
	}
	if len(a.Connected()) > 0 || called.Load() > 0 {
		t.Error("the relay counts as a council")
	}
}

// What is linked can be switched on by mistake; what is not cannot.
func TestLinked(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Skipf("go list: %v", err)
	}
	for _, pkg := range strings.Fields(string(out)) {
		for _, unwanted := range []string{"pion/", "webtransport", "websocket", "kad-dht", "mdns", "go.uber.org/fx", "p2p/transport/webrtc", "autorelay"} {
			if strings.Contains(pkg, unwanted) {
				t.Errorf("%s is linked", pkg)
			}
		}
	}
}
