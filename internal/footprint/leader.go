package footprint

import (
	"context"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/node/name"
)

// A leaderWatch tells whoever waits for a leader's answer that another leads, or
// none: a member that a broken link cut off answers nothing, not even that it is
// gone.
type leaderWatch struct {
	mu sync.Mutex
	ch chan struct{} // closed at the next change; nil until somebody waits
}

func (w *leaderWatch) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ch == nil {
		w.ch = make(chan struct{})
	}
	return w.ch
}

func (w *leaderWatch) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ch != nil {
		close(w.ch)
		w.ch = nil
	}
}

// watchLeader follows who leads until the footprint closes.
func (f *Footprint) watchLeader() {
	seen := make(chan raft.Observation, 64)
	ob := raft.NewObserver(seen, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	f.raft.RegisterObserver(ob)
	defer f.raft.DeregisterObserver(ob)
	for {
		select {
		case <-seen:
			f.leaders.tell()
		case <-f.ctx.Done():
			return
		}
	}
}

// whileLeads returns a context that ends when this member believes that c leads
// no more.
func (f *Footprint) whileLeads(ctx context.Context, c name.Council) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for {
			changed := f.leaders.next()
			_, id := f.raft.LeaderWithID()
			if l, _, _ := parseServer(string(id)); l != c {
				cancel()
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, cancel
}
