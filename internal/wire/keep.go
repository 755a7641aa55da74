package wire

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// How Keep dials.
const (
	keepLook    = time.Second     // how often it looks who is connected
	keepFastest = time.Second     // wait after the first failure
	keepSlowest = 2 * time.Minute // longest wait between two tries
	keepSteady  = time.Minute     // a connection this old has proved itself
	keepAtOnce  = 8               // dials under way
)

// Keep keeps n connected to the councils that the function names, until ctx
// ends; it returns then, with no dial under way. The function is called every
// second and may change its mind; it must not block.
//
// A council that cannot be reached is tried again after a second, then at
// intervals that double up to two minutes, each up to a half shorter or longer
// by chance, so that many nodes do not all come at a partner that has just
// restarted. The interval starts anew when a connection has lasted a minute.
// Which side dialled makes no difference to streams, so it is enough that one of
// two partners can reach the other.
//
// Unless it is nil, tried is told of each dial how it went, nil or the error of
// [Network.Dial], one at a time; it must not block.
func Keep(ctx context.Context, n Network, councils func() []name.Council, tried func(name.Council, error)) {
	type outcome struct {
		council name.Council
		err     error
	}
	type state struct {
		next  time.Time     // when to try
		wait  time.Duration // after a failure now
		since time.Time     // connected since, as far as we looked; zero: not
		busy  bool
	}
	states := make(map[name.Council]*state)
	done := make(chan outcome)
	dialling := 0
	look := time.NewTimer(0)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			for ; dialling > 0; dialling-- {
				<-done
			}
			return
		case o := <-done:
			dialling--
			if tried != nil {
				tried(o.council, o.err)
			}
			if s := states[o.council]; s != nil {
				// Set as after a failure. If the dial went well, the interval counts
				// from the loss of a connection that did not last.
				s.busy = false
				s.next = time.Now().Add(s.wait/2 + rand.N(s.wait))
				s.wait = min(2*s.wait, keepSlowest)
			}
			continue
		case <-look.C:
		}
		wanted, connected, now, soon := councils(), n.Connected(), time.Now(), keepLook
		for c, s := range states {
			if !s.busy && !slices.Contains(wanted, c) {
				delete(states, c)
			}
		}
		// In an order of chance, so that the first in the list does not always
		// come first when only so many dials go at once.
		for _, i := range rand.Perm(len(wanted)) {
			c := wanted[i]
			s := states[c]
			if s == nil {
				// Two nodes started together would both dial: let one be first.
				s = &state{wait: keepFastest, next: now.Add(rand.N(keepLook / 2))}
				states[c] = s
			}
			if _, ok := slices.BinarySearch(connected, c); ok {
				if s.since.IsZero() {
					s.since = now
				}
				if now.Sub(s.since) >= keepSteady {
					s.wait, s.next = keepFastest, now
				}
				continue
			}
			s.since = time.Time{}
			if s.busy || s.next.After(now) || dialling == keepAtOnce {
				continue
			}
			s.busy = true
			dialling++
			go func() { done <- outcome{c, n.Dial(ctx, c)} }()
		}
		for _, s := range states {
			if !s.busy && s.since.IsZero() && s.next.After(now) {
				soon = min(soon, s.next.Sub(now))
			}
		}
		look.Reset(soon)
	}
}
