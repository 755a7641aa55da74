package entrance_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/entrance"
	"github.com/stile-exchange/stile/node/name"
)

const (
	us       = name.Council("northmoor.gov.uk")
	partner  = name.Council("saltby.gov.uk")
	stranger = name.Council("hexwell.gov.uk")
	protocol = "/stile/sync/1"
	free     = "/stile/free/1"
)

// A gate is our entrance in a world of memory.
type gate struct {
	t     *testing.T
	k     *quota.Keeper
	world *wire.Memory
	net   wire.Network
}

func inWorld(t *testing.T, f func(*gate)) {
	synctest.Test(t, func(t *testing.T) {
		k, err := quota.Open(quota.Options{Partner: func(c name.Council) bool { return c == partner }, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		w := wire.NewMemory()
		g := &gate{t: t, k: k, world: w, net: entrance.Guard(w.Node(us), k, free, protocol)}
		f(g)
		for _, c := range []name.Council{us, partner, stranger} {
			w.Node(c).Close()
		}
	})
}

// open opens a stream to us as a council does.
func (g *gate) open(from name.Council, protocol string) wire.Stream {
	g.t.Helper()
	st, err := g.world.Node(from).Open(g.t.Context(), us, protocol)
	if err != nil {
		g.t.Fatal(err)
	}
	return st
}

// read is a handler that reads all of a stream, and tells how much came and how it ended.
func (g *gate) read(protocol string) <-chan end {
	ends := make(chan end, 1000)
	g.net.Handle(protocol, func(_ context.Context, _ name.Council, st wire.Stream) {
		n, err := io.Copy(io.Discard, st)
		ends <- end{int(n), err}
	})
	return ends
}

type end struct {
	n   int
	err error
}

// Of a stranger's frame no more is read than its share, and of a partner's what an
// honest one needs; what is beyond is refused and counted, and given back.
func TestLargeFrames(t *testing.T) {
	for _, tt := range []struct {
		from name.Council
		n    int
		cut  bool
	}{
		{stranger, 60 << 10, false},
		{stranger, 8 << 20, true},
		{partner, 8 << 20, false},
		{partner, 10 << 20, true},
	} {
		inWorld(t, func(g *gate) {
			ends := g.read(protocol)
			st := g.open(tt.from, protocol)
			chunk := make([]byte, 32<<10)
			for sent := 0; sent < tt.n; sent += len(chunk) {
				if _, err := st.Write(chunk[:min(len(chunk), tt.n-sent)]); err != nil {
					break
				}
			}
			st.CloseWrite()
			got := <-ends
			share := quota.Of(quota.Frames)
			most := share.Stranger
			if tt.from == partner {
				most = share.Partner
			}
			if cut := errors.Is(got.err, wire.ErrBusy); cut != tt.cut || got.n > most || !cut && got.n != tt.n {
				t.Errorf("%s, %d bytes: read %d, %v; want cut %v", tt.from, tt.n, got.n, got.err, tt.cut)
			}
			if n := g.refused(tt.from, quota.Frames); n != 0 != tt.cut {
				t.Errorf("%s: %d refusals are counted", tt.from, n)
			}
			synctest.Wait()
			if held := g.k.Used(tt.from, quota.Held); held != 0 {
				t.Errorf("%s: %d bytes are held for nothing", tt.from, held)
			}
		})
	}
}

func (g *gate) refused(c name.Council, k quota.Kind) (n uint64) {
	for _, r := range g.k.Refused() {
		if r.Council == c && r.Kind == k {
			n += r.Count
		}
	}
	return n
}

// Many frames that come slowly, on as many streams as a stranger may open, hold no more
// than its share in sum; and all of it is given back when it leaves.
func TestSlowFrames(t *testing.T) {
	inWorld(t, func(g *gate) {
		ends := g.read(protocol)
		var open []wire.Stream
		for range 40 {
			st := g.open(stranger, protocol)
			st.Write(make([]byte, 60<<10)) // and no more: the frame never ends
			open = append(open, st)
		}
		synctest.Wait()
		if held, most := g.k.Used(stranger, quota.Held), quota.Of(quota.Held).Stranger; held > most || held == 0 {
			t.Errorf("%d bytes are held, and its share is %d", held, most)
		}
		if g.refused(stranger, quota.Held) == 0 {
			t.Error("nothing beyond was refused")
		}
		for _, st := range open {
			st.Reset()
		}
		for range open {
			<-ends
		}
		synctest.Wait()
		if held := g.k.Used(stranger, quota.Held); held != 0 {
			t.Errorf("it has left, and %d bytes are held", held)
		}
	})
}

// An answer gives back what the frame before it held, so that a long conversation of
// small frames is never cut.
func TestAnswersGiveBack(t *testing.T) {
	inWorld(t, func(g *gate) {
		ends := make(chan error, 1)
		g.net.Handle(protocol, func(_ context.Context, _ name.Council, st wire.Stream) {
			b := make([]byte, 50<<10)
			for range 20 {
				if _, err := io.ReadFull(st, b); err != nil {
					ends <- err
					return
				}
				if _, err := st.Write([]byte{1}); err != nil {
					ends <- err
					return
				}
			}
			ends <- nil
		})
		st := g.open(stranger, protocol)
		go io.Copy(io.Discard, st)
		for range 20 {
			if _, err := st.Write(make([]byte, 50<<10)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if err := <-ends; err != nil {
			t.Errorf("a conversation of a megabyte in frames of 50 kB: %v", err)
		}
	})
}

// Streams beyond a stranger's share are reset before a byte of them is read; the minute
// after they are let in again, and a partner is let in meanwhile.
func TestStreamsInAMinute(t *testing.T) {
	inWorld(t, func(g *gate) {
		handled := 0
		g.net.Handle(protocol, func(_ context.Context, _ name.Council, st wire.Stream) { handled++; st.Close() })
		try := func(c name.Council, n int) int {
			handled = 0
			for range n {
				st := g.open(c, protocol)
				synctest.Wait()
				st.Reset()
			}
			return handled
		}
		most := quota.Of(quota.Requests).Stranger
		if n := try(stranger, most+50); n != most {
			t.Errorf("%d of its streams were handled, want %d", n, most)
		}
		if n := try(partner, 10); n != 10 {
			t.Errorf("%d of a partner's 10 streams were handled", n)
		}
		time.Sleep(time.Minute)
		if n := try(stranger, 5); n != 5 {
			t.Errorf("a minute later %d of 5 streams were handled", n)
		}
	})
}

// The protocol that has its own bound is not counted here, and of the streams that we
// open those of the protocol for frames are.
func TestWhichStreams(t *testing.T) {
	inWorld(t, func(g *gate) {
		ends := g.read(free)
		st := g.open(stranger, free)
		st.Write(make([]byte, 200<<10))
		st.CloseWrite()
		if got := <-ends; got.err != nil || got.n != 200<<10 {
			t.Errorf("the free protocol: %+v", got)
		}
		for _, p := range []string{protocol, free} {
			g.world.Node(stranger).Handle(p, func(_ context.Context, _ name.Council, st wire.Stream) {
				st.Write(make([]byte, 300<<10)) // more than a stranger's frame for which we asked
				st.CloseWrite()
			})
			st, err := g.net.Open(g.t.Context(), stranger, p)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, st)
			if cut := errors.Is(err, wire.ErrBusy); cut != (p == protocol) {
				t.Errorf("%s, that we opened: read %d, %v", p, n, err)
			}
			st.Close()
		}
	})
}
