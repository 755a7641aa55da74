package footprint

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Cover is a checkpoint of the footprint's ledger that members have cosigned.
// Each of them had then applied every entry below its size, and with a withdrawal
// erased what it takes back from its replica.
type Cover struct {
	Size uint64
	Root tlog.Hash
	Note []byte         // verifies with tlog.OpenCosigned
	By   []name.Council // members whose cosignature on it verifies, sorted
}

// Covers returns checkpoints that cover the first size entries, as few as are
// known, and the members of which none is known to have cosigned one. Those
// that are missing are asked for theirs when ask is set, for at most five seconds.
// Members are those of now, and their keys too.
func (f *Footprint) Covers(ctx context.Context, size uint64, ask bool) (covers []Cover, missing []name.Council, err error) {
	s := f.fsm.state.Load()
	missing = s.councils()
	add := func(signed []byte) {
		c, ok := f.cover(s, size, signed)
		if !ok || !slices.ContainsFunc(missing, func(m name.Council) bool { return slices.Contains(c.By, m) }) {
			return
		}
		missing = slices.DeleteFunc(missing, func(m name.Council) bool { return slices.Contains(c.By, m) })
		covers = append(covers, c)
	}
	if _, signed := f.cosigned.best(); signed != nil {
		add(signed)
	}
	for _, signed := range f.cosigned.each(f.o.Name, size) {
		add(signed)
	}
	if !ask || len(missing) == 0 {
		return covers, missing, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var mu sync.Mutex
	var got [][]byte
	var wg sync.WaitGroup
	for _, c := range missing {
		if c == f.o.Self {
			continue
		}
		wg.Go(func() {
			if signed, err := f.ask(ctx, c, askCheckpoint, nil); err == nil && len(signed) > 0 {
				mu.Lock()
				got = append(got, signed)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, signed := range got {
		add(signed)
	}
	return covers, missing, ctx.Err()
}

// cover reads a note, whoever sent it, as a cover of size entries: of the tree
// that is held here.
func (f *Footprint) cover(s *state, size uint64, signed []byte) (Cover, bool) {
	cp, err := tlog.ParseUnsigned(signed, f.o.Name.Origin())
	if err != nil || cp.Size < size {
		return Cover{}, false
	}
	err = f.fsm.view(func(v *ledger.ReplicaView) error {
		root, err := rootAt(v, cp.Size)
		if err == nil && root != cp.Root {
			err = errors.New("another tree")
		}
		return err
	})
	if err != nil {
		return Cover{}, false
	}
	c := Cover{Size: cp.Size, Root: cp.Root, Note: signed}
	for _, m := range s.councils() {
		if _, _, err := tlog.OpenCosigned(signed, cp.Origin, 1, s.members[m].witness); err == nil {
			c.By = append(c.By, m)
		}
	}
	return c, len(c.By) > 0
}

// each returns a note for each tree of at least a size that a member has cosigned
// last, the one that most did first.
func (c *cosigned) each(footprint name.Council, size uint64) (out [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := map[tlog.Checkpoint][]byte{}
	for _, m := range c.latest {
		if m.Size >= size {
			cp := tlog.Checkpoint{Origin: footprint.Origin(), Size: m.Size, Root: m.Root}
			lines[cp] = append(lines[cp], m.Line...)
		}
	}
	for cp, l := range lines {
		if signed, err := tlog.Assemble(cp, l); err == nil {
			out = append(out, signed)
		}
	}
	slices.SortFunc(out, func(a, b []byte) int { return len(b) - len(a) })
	return out
}

// Index returns where an event stands in the ledger; false when it does not.
func (f *Footprint) Index(entry tlog.Hash) (index uint64, ok bool, err error) {
	err = f.fsm.view(func(v *ledger.ReplicaView) error {
		b, err := v.Lookup("d" + string(entry[:]))
		if errors.Is(err, ledger.ErrNotFound) {
			return nil
		}
		r := reader{b: b}
		index, ok = r.uint64(), !r.bad
		return err
	})
	return index, ok, err
}

// Stands reports whether an entry, of a record or an event, stands at an index of the
// ledger.
func (f *Footprint) Stands(entry tlog.Hash, index uint64) (ok bool, err error) {
	err = f.fsm.view(func(v *ledger.ReplicaView) error {
		if index >= v.Checkpoint().Size {
			return nil
		}
		leaves, err := v.Leaves(index, 1)
		ok = err == nil && leaves[0] == tlog.Leaf(entry)
		return err
	})
	return ok, err
}
