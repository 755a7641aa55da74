package footprint

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// The members' keys are in the ledger, since applying asks no directory. When
// the directory gives a member other keys, because it took a new one into use,
// the ledger follows: whoever leads proposes them, and each member agrees once
// its own directory says exactly the same. No person is asked: what a person
// would look at is the directory.

// followEvery is how often a member compares the ledger with its directory.
const followEvery = time.Minute

func (f *Footprint) follow() {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(f.ctx, followEvery/2)
		f.followOnce(ctx)
		cancel()
	}
}

func (f *Footprint) followOnce(ctx context.Context) {
	s := f.fsm.state.Load()
	if s.members[f.o.Self] == nil {
		return
	}
	var err error
	about := name.Council("")
	if o := s.Open; o != nil {
		if o.Change != event.ChangeKeys || slices.Contains(o.Agreed, f.o.Self) {
			return
		}
		about = o.Council
		_, err = f.Agree(ctx, about)
	} else if f.ready.Load() != nil {
		for _, c := range slices.Concat(s.councils(), slices.Sorted(maps.Keys(s.outside)), s.awaited()) {
			m, ok := f.o.Directory.Member(c)
			if !ok || sameKeys(m, cmp.Or(s.members[c], s.outside[c], s.former(c)).Document) {
				continue
			}
			about = c
			_, err = f.change(ctx, event.FootprintChange{Change: event.ChangeKeys, Council: c, Member: string(m.Bare().YAML())})
			break
		}
	}
	if err != nil {
		f.o.Log.Info("following the directory", "footprint", f.o.Name, "about", about, "error", err.Error())
	}
}
