package wire_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// keeping runs Keep for a node until stop is called; tries tells when each dial
// ended and how.
func keeping(n wire.Network, councils ...name.Council) (stop func(), tries func() []try) {
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var list []try
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		wire.Keep(ctx, n, func() []name.Council { return councils }, func(c name.Council, err error) {
			mu.Lock()
			defer mu.Unlock()
			list = append(list, try{c, err, time.Now()})
		})
	}()
	tries = func() []try {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(list)
	}
	return func() { cancel(); <-ended }, tries
}

// pass lets virtual time pass, and everything due in it be done.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

type try struct {
	council name.Council
	err     error
	at      time.Time
}

// A partner that is down for a day is tried about every two minutes, and there
// again soon after it is back.
func TestKeepBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory()
		a, b := m.Node(north), m.Node(salt)
		defer a.Close()
		b.Close()
		start := time.Now()
		stop, tries := keeping(a, salt)
		defer func() { stop() }()
		pass(time.Minute)
		if n := len(tries()); n < 4 || n > 8 {
			t.Errorf("%d tries in the first minute, want 4 to 8", n)
		}
		if first := tries()[0]; first.at.Sub(start) > time.Second || !errors.Is(first.err, wire.ErrUnreachable) {
			t.Errorf("first try after %v: %v", first.at.Sub(start), first.err)
		}
		pass(24 * time.Hour)
		if n := len(tries()); n < 24*20 || n > 24*40 {
			t.Errorf("%d tries in a day, want 480 to 960", n)
		}
		b = m.Node(salt)
		defer b.Close()
		pass(3*time.Minute + time.Second)
		if len(a.Connected()) != 1 {
			t.Error("not connected three minutes after it came back")
		}
		if last := tries()[len(tries())-1]; last.err != nil {
			t.Errorf("last try: %v", last.err)
		}
	})
}

// A connection that is lost is made again; one that keeps breaking, ever less
// often.
func TestKeepReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory()
		a, b := m.Node(north), m.Node(salt)
		defer a.Close()
		defer b.Close()
		var connects atomic.Int32
		a.OnConnect(func(name.Council) { connects.Add(1) })
		stop, tries := keeping(a, salt)
		defer func() { stop() }()
		pass(time.Hour)
		m.Disconnect(north, salt)
		pass(4 * time.Second)
		if n := connects.Load(); n != 2 {
			t.Errorf("%d connects, want 2: one lost after an hour is back in seconds", n)
		}
		before := len(tries())
		for range 3600 {
			m.Disconnect(north, salt)
			pass(time.Second)
		}
		if n := len(tries()) - before; n > 70 {
			t.Errorf("%d dials in an hour of breaking at once, want at most 70", n)
		}
	})
}

// It is enough that one side can dial, and both may keep.
func TestKeepHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory()
		a, b := m.Node(north), m.Node(salt)
		defer a.Close()
		defer b.Close()
		m.Hide(salt)
		a.Handle(proto, echo)
		b.Handle(proto, echo)
		stopA, _ := keeping(a, salt)
		stopB, _ := keeping(b, north)
		pass(2 * time.Second)
		for _, c := range []struct {
			from wire.Network
			to   name.Council
		}{{a, salt}, {b, north}} {
			if err := reach(t.Context(), c.from, c.to); err != nil {
				t.Error(err)
			}
		}
		stopA()
		stopB()
	})
}

// Keep stops when told to, in the middle of a dial, and leaves councils alone
// that are no longer wanted.
func TestKeepStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory()
		a, b := m.Node(north), m.Node(salt)
		defer a.Close()
		defer b.Close()
		m.Cut(north, salt) // dials hang
		stop, tries := keeping(a, salt)
		pass(3 * time.Second)
		start := time.Now()
		stop()
		if time.Since(start) > 0 || len(tries()) > 0 {
			t.Errorf("stopping took %v after %d dials", time.Since(start), len(tries()))
		}
		m.Heal(north, salt)

		var enough atomic.Bool
		wanted := func() []name.Council {
			if enough.Load() {
				return nil
			}
			return []name.Council{salt}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			wire.Keep(ctx, a, wanted, nil)
			close(ended)
		}()
		pass(2 * time.Second)
		enough.Store(true)
		pass(2 * time.Second)
		m.Disconnect(north, salt)
		pass(time.Hour)
		if len(a.Connected()) > 0 {
			t.Error("dialled a council that is not wanted")
		}
		cancel()
		<-ended
	})
}
