// Package wiretest holds the tests that every [wire.Network] passes.
package wiretest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// A World makes councils that can reach each other over one kind of network.
type World interface {
	// Join starts the node of a council that everybody has in the directory.
	// The test closes it.
	Join(t *testing.T, c name.Council) wire.Network
	// JoinHidden is Join for a council that nobody can dial.
	JoinHidden(t *testing.T, c name.Council) wire.Network
	// Remove takes a council out of every directory, its own included. It
	// returns when every node has been told.
	Remove(c name.Council)
}

// Councils of the tests.
const (
	north name.Council = "northmoor.gov.uk"
	salt  name.Council = "saltby.gov.uk"
	east  name.Council = "eastfen.gov.uk"
)

const proto = "/stile/test/1"

// patience bounds what has to happen soon.
const patience = 20 * time.Second

// Run runs the suite, each test in a world of its own.
func Run(t *testing.T, make func(t *testing.T) World) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, World)
	}{
		{"echo", testEcho},
		{"either side opens", testEitherSide},
		{"a hidden council dials out", testHidden},
		{"half close", testHalfClose},
		{"close lets what was written arrive", testCloseDelivers},
		{"reset", testReset},
		{"read deadline", testReadDeadline},
		{"write deadline", testWriteDeadline},
		{"large transfer", testLarge},
		{"frames", testFrames},
		{"unknown protocol", testUnknownProtocol},
		{"handler replaced", testReplace},
		{"not a member", testNotMember},
		{"oneself", testSelf},
		{"unreachable", testUnreachable},
		{"cancelled open", testCancelled},
		{"removal closes", testRemoval},
		{"connect is told", testOnConnect},
		{"limit for each council", testLimit},
		{"close", testClose},
		{"handler context", testHandlerContext},
		{"reconnect", testReconnect},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, make(t))
		})
	}
}

// echo answers everything with itself.
func echo(_ context.Context, _ name.Council, s wire.Stream) {
	if _, err := io.Copy(s, s); err != nil {
		s.Reset()
	}
}

func open(t *testing.T, n wire.Network, to name.Council) wire.Stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := n.Open(ctx, to, proto)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Reset() })
	if err := s.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return s
}

// ask sends text on an echo stream and wants it back.
func ask(t *testing.T, s wire.Stream, text string) {
	t.Helper()
	if _, err := io.WriteString(s, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(s, got); err != nil || string(got) != text {
		t.Fatalf("echo of %q: got %q, %v", text, got, err)
	}
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
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

// wait returns what arrives on a channel.
func wait[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("never happened: %s", what)
		panic("not reached")
	}
}

func testEcho(t *testing.T, w World) {
	a, b := w.Join(t, north), w.Join(t, salt)
	from := make(chan name.Council, 1)
	b.Handle(proto, func(ctx context.Context, c name.Council, s wire.Stream) {
		from <- c
		echo(ctx, c, s)
	})
	s := open(t, a, salt)
	ask(t, s, "hello")
	if got := wait(t, "handler called", from); got != north {
		t.Errorf("stream from %s, want %s", got, north)
	}
	for _, c := range []struct {
		n    wire.Network
		want name.Council
	}{{a, salt}, {b, north}} {
		if got := c.n.Connected(); !slices.Equal(got, []name.Council{c.want}) {
			t.Errorf("connected to %v, want %s", got, c.want)
		}
	}
}

func testEitherSide(t *testing.T, w World) {
	a, b := w.Join(t, north), w.Join(t, salt)
	a.Handle(proto, echo)
	b.Handle(proto, echo)
	if err := a.Dial(t.Context(), salt); err != nil {
		t.Fatal(err)
	}
	ask(t, open(t, b, north), "from the one dialled")
	ask(t, open(t, a, salt), "from the one that dialled")
}

func testHidden(t *testing.T, w World) {
	a, b := w.Join(t, north), w.JoinHidden(t, salt)
	b.Handle(proto, echo)
	if err := a.Dial(t.Context(), salt); !errors.Is(err, wire.ErrUnreachable) {
		t.Fatalf("dial a hidden council: %v, want ErrUnreachable", err)
	}
	if err := b.Dial(t.Context(), north); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both connected", func() bool { return len(a.Connected()) == 1 })
	ask(t, open(t, a, salt), "through the connection it made")
}

func testHalfClose(t *testing.T, w World) {
	a, b := w.Join(t, north), w.Join(t, salt)
	b.Handle(proto, func(_ context.Context, _ name.Council, s wire.Stream) {
		// Answer only once everything has been read: the asker can still hear.
		all, err := io.ReadAll(s)
		if err != nil {
			s.Reset()
			return
		}
		fmt.Fprintf(s, "%d bytes", len(all))
	})
	s := open(t, a, salt)
	if _, err := io.WriteString(s, "a question"); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(s, "more"); err == nil {
		t.Error("write after CloseWrite succeeded")
	}
	if got, err := io.ReadAll(s); err != nil || string(got) != "10 bytes" {
		t.Errorf("answer %q, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func testCloseDelivers(t *testing.T, w World) {
	a, b := w.Join(t, north), w.Join(t, salt)
	type result struct {
		text string
		err  error
	}
	read := make(chan result, 1)
	b.Handle(proto, func(_ context.Context, _ name.Council, s wire.Stream) {
		all, err := io.ReadAll(s)
		read <- result{string(all), err}
	})
	s := open(t, a, salt)
	io.WriteString(s, "last words")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.Reset() // after Close: takes nothing back
	if got := wait(t, "handler read to the end", read); got.text != "last words" || got.err != nil {
		t.Errorf("read %q, %v", got.text, got.err)
	}
}

func testReset(t *testing.T, w World) {
	a, b := w.Join(t, north), w.Join(t, salt)
	failed := make(chan error, 1)
	b.Handle(proto, func(_ context.Context, _ name.Council, s wire.Stream) {
		_, err := io.Copy(io.Discard, s)
		failed <- err
	})
	s := open(t, a, salt)
	io.WriteString(s, "and then")
	if err := s.Reset(); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, "other side fails", failed); !errors.Is(err, wire.ErrReset) {
		t.Errorf("other side got %v, want ErrReset", err)
	}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, wire.ErrReset) {
		t.Errorf("read after reset: %v, want ErrReset", err)
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, wire.ErrReset) {
		t.Errorf("write after reset: %v, want ErrReset", err)
	}
}

func testReadDeadline(t *testing.T, w World) {
	a, b := w.Join(t, north), w.Join(t, salt)
	b.Handle(proto, echo)
	s := open(t, a, salt)
	s.SetDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read: %v, want ErrDeadlineExceeded", err)
	}
	// A read that found nothing in time has lost nothing.
	s.SetDeadline(time.Now().Add(patience))
	ask(t, s, "still here")
	// A deadline set meanwhile ends a read that waits.
	s.SetDeadline(time.Time{})
	failed := make(chan error, 1)
	go func() {
		_, err := s.Read(make([]byte, 1))
		failed <- err
	}()
	s.SetDeadline(time.Now().Add(-time.Second))
	if err := wait(t, "read ends", failed); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v, want ErrDeadlineExceeded", err)
	}
}

func testWriteDeadline(t *testing.T, w World) {
	a, b := w.Join(t, north), w.Join(t, salt)
	b.Handle(proto, func(ctx context.Context, _ name.Council, s wire.Stream) {
		<-ctx.Done() // reads nothing
	})
	s := open(t, a, salt)
	s.SetDeadline(time.Now().Add(100 * time.Millisecond))
	block := make([]byte, 1<<20)
	for written := 0; ; written += len(block) {
		if _, err := s.Write(block); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("write: %v, want ErrDeadlineExceeded", err)
			}
			break
		}
		if written > 256<<20 {
			t.Fatal("256 MB were written to a council that reads none")
		}
	}
	a.Close()
}

func testLarge(t *testing.T, w World) {
	a, b := w.Join(t, north), w.Join(t, salt)
	sum := make(chan [32]byte, 1)
	b.Handle(proto, func(_ context.Context, _ name.Council, s wire.Stream) {
		h := sha256.New()
		io.Copy(h, s)
		sum <- [32]byte(h.Sum(nil))
	})
	data := make([]byte, 20<<20+1)
	for i := range data {
		data[i] = byte(i * i >> 8)
	}
	s := open(t, a, salt)
	if n, err := s.Write(data); n != len(data) || err != nil {
		t.Fatalf("wrote %d bytes, %v", n, err)
	}
	s.CloseWrite()
	if wait(t, "all read", sum) != sha256.Sum256(data) {
		t.Error("other bytes arrived than were sent")
	}
}

func testFrames(t *testing.T, w World) {
	a, b := w.Join(t, north), w.Join(t, salt)
	const limit = 1 << 20
	refused := make(chan error, 1)
	b.Handle(proto, func(_ context.Context, _ name.Council, s wire.Stream) {
		r, w := bufio.NewReader(s), bufio.NewWriter(s)
		for {
			body, err := wire.ReadFrame(r, limit)
			if err != nil {
				s.Reset()
				refused <- err
				return
			}
			wire.WriteFrame(w, body)
			w.Flush()
		}
	})
	s := open(t, a, salt)
	r := bufio.NewReader(s)
	for _, body := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("y"), limit)} {
		if _, err := s.Write(wire.AppendFrame(nil, body)); err != nil {
			t.Fatal(err)
		}
		if got, err := wire.ReadFrame(r, limit); err != nil || !bytes.Equal(got, body) {
			t.Fatalf("frame of %d bytes came back as %d bytes, %v", len(body), len(got), err)
		}
	}
	// A frame one byte too long: refused on its length, and the stream is gone.
	s.Write(wire.AppendFrame(nil, make([]byte, limit+1)))
	if err := wait(t, "frame refused", refused); !errors.Is(err, wire.ErrFrame) {
		t.Errorf("huge frame: %v, want ErrFrame", err)
	}
	if _, err := wire.ReadFrame(r, limit); !errors.Is(err, wire.ErrReset) {
		t.Errorf("after it: %v, want ErrReset", err)
	}
}

func testUnknownProtocol(t *testing.T, w World) {
	a, b := w.Join(t, north), w.Join(t, salt)
	for range 2 { // the second time knowing what the other side speaks
		if _, err := a.Open(t.Context(), salt, proto); !errors.Is(err, wire.ErrProtocol) {
			t.Fatalf("open: %v, want ErrProtocol", err)
		}
	}
	b.Handle(proto, echo)
	ask(t, open(t, a, salt), "now it speaks it")
}

func testReplace(t *testing.T, w World) {
	a, b := w.Join(t, north), w.Join(t, salt)
	b.Handle(proto, func(_ context.Context, _ name.Council, s wire.Stream) { s.Reset() })
	b.Handle(proto, echo)
	ask(t, open(t, a, salt), "the later handler")
}

func testNotMember(t *testing.T, w World) {
	a := w.Join(t, north)
	if err := a.Dial(t.Context(), "nowhere.gov.uk"); !errors.Is(err, wire.ErrNotMember) {
		t.Errorf("dial: %v, want ErrNotMember", err)
	}
	if _, err := a.Open(t.Context(), "nowhere.gov.uk", proto); !errors.Is(err, wire.ErrNotMember) {
		t.Errorf("open: %v, want ErrNotMember", err)
	}
}

func testSelf(t *testing.T, w World) {
	a := w.Join(t, north)
	if err := a.Dial(t.Context(), north); !errors.Is(err, wire.ErrUnreachable) {
		t.Errorf("dial oneself: %v, want ErrUnreachable", err)
	}
}

func testUnreachable(t *testing.T, w World) {
	a, b := w.Join(t, north), w.Join(t, salt)
	b.Close()
	// QUIC has no refusal to hear: it would try for some seconds.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := a.Dial(ctx, salt); !errors.Is(err, wire.ErrUnreachable) {
		t.Errorf("dial: %v, want ErrUnreachable", err)
	}
	if _, err := a.Open(ctx, salt, proto); !errors.Is(err, wire.ErrUnreachable) {
		t.Errorf("open: %v, want ErrUnreachable", err)
	}
	if got := a.Connected(); len(got) != 0 {
		t.Errorf("connected to %v", got)
	}
}

func testCancelled(t *testing.T, w World) {
	a, b := w.Join(t, north), w.Join(t, salt)
	b.Handle(proto, echo)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Open(ctx, salt, proto); !errors.Is(err, context.Canceled) || !errors.Is(err, wire.ErrUnreachable) {
		t.Errorf("open: %v, want ErrUnreachable and Canceled", err)
	}
	// The context of an Open that went well does not bound the stream.
	ctx, cancel = context.WithCancel(t.Context())
	s, err := a.Open(ctx, salt, proto)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	ask(t, s, "still open")
	s.Close()
}

func testRemoval(t *testing.T, w World) {
	a, b, c := w.Join(t, north), w.Join(t, salt), w.Join(t, east)
	for _, n := range []wire.Network{a, b, c} {
		n.Handle(proto, echo)
	}
	began, ended := make(chan struct{}), make(chan struct{})
	a.Handle("/stile/wait/1", func(ctx context.Context, _ name.Council, _ wire.Stream) {
		close(began)
		<-ctx.Done()
		close(ended)
	})
	in, out, other := open(t, b, north), open(t, a, salt), open(t, a, east)
	ask(t, in, "before")
	ask(t, out, "before")
	ask(t, other, "before")
	if _, err := b.Open(t.Context(), north, "/stile/wait/1"); err != nil {
		t.Fatal(err)
	}
	wait(t, "handler called", began)

	w.Remove(salt)
	if got := a.Connected(); !slices.Equal(got, []name.Council{east}) {
		t.Errorf("after removal connected to %v, want %s", got, east)
	}
	wait(t, "handler's context ends", ended)
	for _, s := range []wire.Stream{in, out} {
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, wire.ErrReset) && !errors.Is(err, wire.ErrNotMember) {
			t.Errorf("read from a removed council: %v, want ErrReset or ErrNotMember", err)
		}
	}
	if _, err := a.Open(t.Context(), salt, proto); !errors.Is(err, wire.ErrNotMember) {
		t.Errorf("open to a removed council: %v, want ErrNotMember", err)
	}
	ask(t, other, "unharmed")
}

func testOnConnect(t *testing.T, w World) {
	a, b := w.Join(t, north), w.Join(t, salt)
	a.Handle(proto, echo)
	b.Handle(proto, echo)
	told, toldBack, late := make(chan name.Council, 9), make(chan name.Council, 9), make(chan name.Council, 9)
	a.OnConnect(func(c name.Council) { told <- c })
	b.OnConnect(func(c name.Council) {
		// What it is for: opening a stream.
		s, err := b.Open(t.Context(), c, proto)
		if err != nil {
			t.Error(err)
			return
		}
		s.Close()
		toldBack <- c
	})
	if err := a.Dial(t.Context(), salt); err != nil {
		t.Fatal(err)
	}
	if got := wait(t, "dialler is told", told); got != salt {
		t.Errorf("told of %s", got)
	}
	if got := wait(t, "dialled is told", toldBack); got != north {
		t.Errorf("told of %s", got)
	}
	a.OnConnect(func(c name.Council) { late <- c })
	if got := wait(t, "the late are told", late); got != salt {
		t.Errorf("told of %s", got)
	}
	if err := a.Dial(t.Context(), salt); err != nil { // no news
		t.Fatal(err)
	}
	if len(told) != 0 {
		t.Error("told twice of one connection")
	}
}

// testLimit has one council open far more streams than it may.
func testLimit(t *testing.T, w World) {
	a, b, c := w.Join(t, north), w.Join(t, salt), w.Join(t, east)
	var mu sync.Mutex
	now, most := 0, 0
	b.Handle(proto, func(ctx context.Context, from name.Council, s wire.Stream) {
		if from == north {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			defer func() {
				mu.Lock()
				now--
				mu.Unlock()
			}()
		}
		echo(ctx, from, s)
	})
	ask(t, open(t, c, salt), "before")

	const streams = 1000
	type result struct {
		s   wire.Stream
		err error
	}
	results := make(chan result, streams)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range streams {
		go func() {
			s, err := a.Open(ctx, salt, proto)
			if err == nil {
				s.SetDeadline(time.Now().Add(patience))
				var b [1]byte
				if _, err = s.Write(b[:]); err == nil {
					_, err = io.ReadFull(s, b[:])
				} else {
					// The write may have met the reset before the reason for it.
					_, err = s.Read(b[:])
				}
			}
			results <- result{s, err}
		}()
	}
	// Meanwhile another council is served.
	ask(t, open(t, c, salt), "during")

	var good []wire.Stream
	busy := 0
	for range streams {
		switch r := <-results; {
		case r.err == nil:
			good = append(good, r.s)
		case errors.Is(r.err, wire.ErrBusy), errors.Is(r.err, wire.ErrReset):
			if errors.Is(r.err, wire.ErrBusy) {
				busy++
			}
			if r.s != nil {
				r.s.Reset()
			}
		default:
			t.Errorf("stream over the limit: %v, want ErrBusy", r.err)
		}
	}
	mu.Lock()
	got := most
	mu.Unlock()
	if got > wire.DefaultStreams || len(good) == 0 || len(good) > wire.DefaultStreams {
		t.Errorf("%d streams at once, %d served; want at most %d and some", got, len(good), wire.DefaultStreams)
	}
	if busy == 0 {
		t.Error("none of the others got ErrBusy")
	}
	if len(a.Connected()) != 1 {
		t.Error("the connection was lost over it")
	}
	for _, s := range good {
		s.Close()
	}
	// Once they are closed, there is room again.
	eventually(t, "room again", func() bool {
		s, err := a.Open(t.Context(), salt, proto)
		if err != nil {
			return false
		}
		defer s.Reset()
		s.SetDeadline(time.Now().Add(patience))
		s.Write([]byte("x"))
		_, err = io.ReadFull(s, make([]byte, 1))
		return err == nil
	})
	ask(t, open(t, c, salt), "after")
}

func testClose(t *testing.T, w World) {
	a, b := w.Join(t, north), w.Join(t, salt)
	handling, returned := make(chan struct{}), false
	b.Handle(proto, func(ctx context.Context, _ name.Council, s wire.Stream) {
		close(handling)
		io.Copy(io.Discard, s) // until the network closes under it
		<-ctx.Done()
		returned = true
	})
	s := open(t, a, salt)
	io.WriteString(s, "x")
	wait(t, "handler runs", handling)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if !returned {
		t.Error("Close did not wait for the handler")
	}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, wire.ErrReset) {
		t.Errorf("read from a closed network: %v, want ErrReset", err)
	}
	eventually(t, "connection gone", func() bool { return len(a.Connected()) == 0 })
	if err := b.Dial(t.Context(), north); err == nil {
		t.Error("a closed network dialled")
	}
	if err := b.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func testHandlerContext(t *testing.T, w World) {
	a, b := w.Join(t, north), w.Join(t, salt)
	began, ended := make(chan struct{}), make(chan struct{})
	b.Handle(proto, func(ctx context.Context, _ name.Council, _ wire.Stream) {
		close(began)
		<-ctx.Done()
		close(ended)
	})
	open(t, a, salt)
	wait(t, "handler called", began)
	a.Close()
	wait(t, "handler's context ends with the connection", ended)
}

func testReconnect(t *testing.T, w World) {
	a, b := w.Join(t, north), w.Join(t, salt)
	b.Handle(proto, echo)
	ask(t, open(t, a, salt), "before")
	b.Close()
	eventually(t, "connection gone", func() bool { return len(a.Connected()) == 0 })
	b = w.Join(t, salt)
	b.Handle(proto, echo)
	ask(t, open(t, a, salt), "after a restart")
}
