package wire_test

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// bubble runs a test with two councils in a memory world, in virtual time. What
// salt's handler reads from each stream, to the end, comes out of the channel.
func bubble(t *testing.T, test func(t *testing.T, m *wire.Memory, a, b *wire.MemoryNode, heard <-chan hearing)) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory()
		a, b := m.Node(north), m.Node(salt)
		heard := make(chan hearing, 9)
		b.Handle(proto, func(_ context.Context, _ name.Council, s wire.Stream) {
			all, err := io.ReadAll(s)
			heard <- hearing{string(all), err, time.Now()}
		})
		test(t, m, a, b, heard)
		a.Close()
		b.Close()
	})
}

type hearing struct {
	text string
	err  error
	at   time.Time
}

func mustOpen(t *testing.T, n wire.Network, to name.Council) wire.Stream {
	t.Helper()
	s, err := n.Open(t.Context(), to, proto)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Each fault does to its Write what its name says, and the reader gets the rest.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault wire.Fault
		heard string
	}{
		{"lost", wire.Lost, "one,"},
		{"unsure", wire.Unsure, "one,two,"},
		{"truncated to nothing", wire.Truncated(0), "one,"},
		{"truncated", wire.Truncated(2), "one,tw"},
		{"truncated to all but one", wire.Truncated(99), "one,two"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, m *wire.Memory, a, b *wire.MemoryNode, heard <-chan hearing) {
				var asked []wire.Write
				m.OnWrite(func(w wire.Write) wire.Fault {
					w.Data = slices.Clone(w.Data)
					asked = append(asked, w)
					if w.Serial == 1 {
						return c.fault
					}
					return wire.None
				})
				s := mustOpen(t, a, salt)
				if _, err := io.WriteString(s, "one,"); err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(s, "two,"); !errors.Is(err, wire.ErrReset) {
					t.Errorf("write: %v, want ErrReset", err)
				}
				if _, err := io.WriteString(s, "three,"); !errors.Is(err, wire.ErrReset) {
					t.Errorf("write after it: %v, want ErrReset", err)
				}
				if _, err := s.Read(make([]byte, 1)); !errors.Is(err, wire.ErrReset) {
					t.Errorf("read after it: %v, want ErrReset", err)
				}
				if got := <-heard; got.text != c.heard || !errors.Is(got.err, wire.ErrReset) {
					t.Errorf("heard %q, %v, want %q and ErrReset", got.text, got.err, c.heard)
				}
				w := asked[1]
				if w.From != north || w.To != salt || w.Protocol != proto || w.Stream != 1 || !w.Opener || string(w.Data) != "two," {
					t.Errorf("hook was asked about %+v", w)
				}
				m.OnWrite(nil)
				s = mustOpen(t, a, salt)
				io.WriteString(s, "again")
				s.Close()
				if got := <-heard; got.text != "again" || got.err != nil {
					t.Errorf("heard %q, %v", got.text, got.err)
				}
			})
		})
	}
}

// A link takes its time, to the nanosecond.
func TestLinkTime(t *testing.T) {
	bubble(t, func(t *testing.T, m *wire.Memory, a, b *wire.MemoryNode, heard <-chan hearing) {
		m.SetLink(north, salt, wire.Link{Delay: 30 * time.Millisecond, Bandwidth: 1000})
		m.SetLink(salt, north, wire.Link{Delay: 10 * time.Millisecond})
		start := time.Now()
		s := mustOpen(t, a, salt)
		if got, want := time.Since(start), 3*40*time.Millisecond; got != want {
			t.Errorf("open took %v, want %v: two round trips to connect, one for the protocol", got, want)
		}
		start = time.Now()
		io.WriteString(s, strings.Repeat("x", 500)) // half a second's worth
		io.WriteString(s, strings.Repeat("x", 500)) // queues behind it
		if time.Since(start) != 0 {
			t.Error("a write within the window waited")
		}
		s.Close()
		if got, want := (<-heard).at.Sub(start), time.Second+30*time.Millisecond; got != want {
			t.Errorf("arrived after %v, want %v", got, want)
		}
	})
}

// A cut holds what was sent and healing delivers it; one that lasts ends the
// connection on both sides.
func TestCut(t *testing.T) {
	for _, oneWay := range []bool{false, true} {
		bubble(t, func(t *testing.T, m *wire.Memory, a, b *wire.MemoryNode, heard <-chan hearing) {
			cut := func() {
				if oneWay {
					m.CutOneWay(north, salt)
				} else {
					m.Cut(north, salt)
				}
			}
			s := mustOpen(t, a, salt)
			io.WriteString(s, "before,")
			synctest.Wait()
			cut()
			io.WriteString(s, "during")
			s.CloseWrite()
			start := time.Now()
			time.AfterFunc(10*time.Second, func() { m.Heal(north, salt) })
			if got := <-heard; got.text != "before,during" || got.err != nil || got.at.Sub(start) != 10*time.Second {
				t.Errorf("heard %q, %v after %v", got.text, got.err, got.at.Sub(start))
			}
			s.Close()

			s = mustOpen(t, a, salt)
			io.WriteString(s, "before,")
			synctest.Wait()
			cut()
			io.WriteString(s, "during")
			start = time.Now()
			if got := <-heard; got.text != "before," || !errors.Is(got.err, wire.ErrReset) || got.at.Sub(start) != 30*time.Second {
				t.Errorf("heard %q, %v after %v", got.text, got.err, got.at.Sub(start))
			}
			if _, err := s.Read(make([]byte, 1)); !errors.Is(err, wire.ErrReset) || time.Since(start) != 30*time.Second {
				t.Errorf("other side: %v after %v", err, time.Since(start))
			}
			if len(a.Connected())+len(b.Connected()) != 0 {
				t.Error("still connected")
			}
			// Nobody gets through in either direction.
			for _, dial := range []func() error{
				func() error { return a.Dial(t.Context(), salt) },
				func() error { return b.Dial(t.Context(), north) },
			} {
				start = time.Now()
				if err := dial(); !errors.Is(err, wire.ErrUnreachable) || time.Since(start) != wire.OpenTimeout {
					t.Errorf("dial: %v after %v", err, time.Since(start))
				}
			}
			time.AfterFunc(time.Second, func() { m.Heal(north, salt) })
			start = time.Now()
			if err := a.Dial(t.Context(), salt); err != nil || time.Since(start) != time.Second {
				t.Errorf("dial while healing: %v after %v", err, time.Since(start))
			}
		})
	}
}

// In a one-way cut the other direction still carries.
func TestOneWayCutCarries(t *testing.T) {
	bubble(t, func(t *testing.T, m *wire.Memory, a, b *wire.MemoryNode, heard <-chan hearing) {
		a.Handle(proto, func(ctx context.Context, _ name.Council, s wire.Stream) {
			io.WriteString(s, "hello")
			<-ctx.Done()
		})
		s := mustOpen(t, b, north)
		synctest.Wait()
		m.CutOneWay(salt, north)
		got := make([]byte, 5)
		if _, err := io.ReadFull(s, got); err != nil || string(got) != "hello" {
			t.Errorf("read %q, %v", got, err)
		}
	})
}

// What was on its way when the link was cut waits too.
func TestCutInFlight(t *testing.T) {
	bubble(t, func(t *testing.T, m *wire.Memory, a, b *wire.MemoryNode, heard <-chan hearing) {
		s := mustOpen(t, a, salt)
		m.SetLink(north, salt, wire.Link{Delay: time.Second})
		start := time.Now()
		io.WriteString(s, "in flight")
		s.Close()
		time.AfterFunc(500*time.Millisecond, func() { m.Cut(north, salt) })
		time.AfterFunc(5*time.Second, func() { m.Heal(north, salt) })
		if got := <-heard; got.text != "in flight" || got.at.Sub(start) != 6*time.Second {
			t.Errorf("heard %q after %v, want 6s", got.text, got.at.Sub(start))
		}
	})
}

func TestDisconnect(t *testing.T) {
	bubble(t, func(t *testing.T, m *wire.Memory, a, b *wire.MemoryNode, heard <-chan hearing) {
		s := mustOpen(t, a, salt)
		m.ResetStreams()
		if got := <-heard; !errors.Is(got.err, wire.ErrReset) {
			t.Errorf("after ResetStreams heard %v", got.err)
		}
		if _, err := s.Write([]byte("x")); !errors.Is(err, wire.ErrReset) {
			t.Errorf("write: %v, want ErrReset", err)
		}
		if len(a.Connected()) != 1 {
			t.Error("ResetStreams ended the connection")
		}
		mustOpen(t, a, salt)
		m.Disconnect(salt, north)
		if got := <-heard; !errors.Is(got.err, wire.ErrReset) {
			t.Errorf("after Disconnect heard %v", got.err)
		}
		if len(a.Connected())+len(b.Connected()) != 0 {
			t.Error("Disconnect left the connection")
		}
	})
}

// A removed council that is made a member again may come back.
func TestMemoryReadmitted(t *testing.T) {
	bubble(t, func(t *testing.T, m *wire.Memory, a, b *wire.MemoryNode, heard <-chan hearing) {
		mustOpen(t, a, salt)
		m.Remove(salt)
		if got := <-heard; !errors.Is(got.err, wire.ErrNotMember) {
			t.Errorf("heard %v, want ErrNotMember", got.err)
		}
		if err := b.Dial(t.Context(), north); !errors.Is(err, wire.ErrNotMember) {
			t.Errorf("dial: %v, want ErrNotMember", err)
		}
		if m.Node(salt) != b {
			t.Error("another node")
		}
		if err := b.Dial(t.Context(), north); err != nil {
			t.Error(err)
		}
	})
}

// A deadline in virtual time, over a link that is slow.
func TestMemoryDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, m *wire.Memory, a, b *wire.MemoryNode, heard <-chan hearing) {
		b.Handle(proto, func(ctx context.Context, _ name.Council, s wire.Stream) { <-ctx.Done() })
		s := mustOpen(t, a, salt)
		start := time.Now()
		s.SetDeadline(start.Add(time.Hour))
		n, err := s.Write(make([]byte, 1<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n != 256<<10 || time.Since(start) != time.Hour {
			t.Errorf("wrote %d bytes, %v after %v", n, err, time.Since(start))
		}
		m.Disconnect(north, salt)
	})
}
