package quota

import (
	"context"

	"github.com/stile-exchange/stile/node/name"
)

// atOnce is how many strangers are worked for at a time, each with one thing.
const atOnce = 2

// A waiter is a stranger that waits for its turn.
type waiter struct {
	council name.Council
	ready   chan struct{} // closed when its turn has come
}

// Turn waits until a council may be worked for and returns what ends the turn. Partners
// never wait. Strangers have one turn at a time each, a few of them at once, and whose
// last turn is longest ago is next: so what strangers cause takes at most a fixed part
// of a machine however many of them there are, and one that asks without end does not
// keep another from its first turn. The error is that of ctx.
func (k *Keeper) Turn(ctx context.Context, c name.Council) (done func(), err error) {
	if k.Partner(c) {
		return func() {}, nil
	}
	w := &waiter{council: c, ready: make(chan struct{})}
	k.mu.Lock()
	k.line = append(k.line, w)
	k.next()
	k.mu.Unlock()
	select {
	case <-w.ready:
		return func() { k.end(c) }, nil
	case <-ctx.Done():
	}
	k.mu.Lock()
	for i, other := range k.line {
		if other == w {
			k.line = append(k.line[:i:i], k.line[i+1:]...)
			k.mu.Unlock()
			return nil, ctx.Err()
		}
	}
	k.mu.Unlock()
	k.end(c) // it had come in that moment
	return nil, ctx.Err()
}

func (k *Keeper) end(c name.Council) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.working, c)
	k.next()
}

// next gives turns while there are any. k.mu is held.
func (k *Keeper) next() {
	for len(k.working) < atOnce {
		best := -1
		for i, w := range k.line {
			if k.working[w.council] == 0 && (best < 0 || k.served[w.council] < k.served[k.line[best].council]) {
				best = i
			}
		}
		if best < 0 {
			return
		}
		w := k.line[best]
		k.line = append(k.line[:best:best], k.line[best+1:]...)
		k.turn++
		k.working[w.council], k.served[w.council] = 1, k.turn
		close(w.ready)
	}
}
