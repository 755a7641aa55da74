package footprint

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// Several machines of one council keep its own ledger alike. To raft they are
// members as councils are, each with a name and keys of its own; they are
// invited, join, and are removed in the same way. What differs is what is
// replicated beside the entries by which they do: the transactions of the
// council's ledger, as the machine that leads makes them (command kind 4), into a
// store in which the replica's own keys and the ledger's stand side by side. So a
// snapshot, a backup and a recovery are of both.
//
// Whoever leads may open the ledger. Its transactions carry the term in which it
// leads, and raft has one leader a term: what a machine that has lost the lead
// still writes is applied nowhere, even if it leads again by then.

// ErrDeposed: this machine leads no more, so what it wrote last may or may not
// come to be there.
var ErrDeposed = errors.New("this machine leads no more")

// errMachines refuses writes of a council's ledger in a footprint of councils.
var errMachines = fmt.Errorf("%w: writes of a council's own ledger", errCommand)

// Bounds of a command of kind 4. The ledger bounds a transaction by far less.
const (
	maxWriteKey  = 1 << 10
	maxWrites    = 60_000
	maxWriteSize = ledger.MaxReplicaValue
)

func (c command) appendWrites(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, c.term)
	b = binary.AppendUvarint(b, uint64(len(c.writes.Set)))
	for _, k := range slices.Sorted(maps.Keys(c.writes.Set)) {
		v := c.writes.Set[k]
		b = appendBytes(b, []byte(k))
		if v == nil {
			b = append(b, 0)
			continue
		}
		b = appendBytes(append(b, 1), v)
	}
	b = binary.AppendUvarint(b, uint64(len(c.writes.Drop)))
	for _, p := range c.writes.Drop {
		b = appendBytes(b, p)
	}
	return b
}

func (r *reader) writes(c *command) {
	c.term = r.uint64()
	n := r.count(maxWrites)
	if n > 0 {
		c.writes.Set = make(map[string][]byte, min(n, len(r.b)))
	}
	last := ""
	for range n {
		key := r.upTo(maxWriteKey)
		kind := r.byte()
		var v []byte
		switch {
		case kind > 1:
			r.bad = true
		case kind == 1:
			if v = r.upTo(maxWriteSize); v == nil {
				v = []byte{}
			}
		}
		if r.bad || string(key) <= last || !ledger.IsKey(key) {
			r.bad = true
			return
		}
		last = string(key)
		c.writes.Set[last] = v
	}
	for range r.count(maxWrites) {
		p := r.upTo(maxWriteKey)
		if r.bad || !ledger.IsKey(p) {
			r.bad = true
			return
		}
		c.writes.Drop = append(c.writes.Drop, p)
	}
	// One thing or the other.
	r.bad = r.bad || len(c.writes.Set) > 0 == (len(c.writes.Drop) > 0)
}

// Machines reports whether the members are machines of one council that keep its
// ledger alike.
func (f *Footprint) Machines() bool { return f.folder.id.Machines }

// CheckLedger reports whether the council's ledger that the machines keep is one
// that these keys wrote, as far as this machine has it.
func (f *Footprint) CheckLedger(c name.Council, ring *keys.Ring) error {
	f.fsm.swap.RLock()
	defer f.fsm.swap.RUnlock()
	return f.fsm.replica.CheckLedger(c, ring)
}

// A Tenure is a time during which this machine leads, and nobody else does.
type Tenure struct {
	f     *Footprint
	term  uint64
	over  chan struct{}
	close func()
}

// Lead waits until this machine leads and its store has everything that was
// committed before. The Tenure must be closed, once the ledger that was opened in
// its Store is. It returns an error only when ctx ends or the footprint closes.
func (f *Footprint) Lead(ctx context.Context) (*Tenure, error) {
	if !f.Machines() {
		return nil, errors.New("internal error: a footprint of councils has no store of one")
	}
	states := make(chan raft.Observation, 64)
	ob := raft.NewObserver(states, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.RaftState)
		return ok
	})
	f.raft.RegisterObserver(ob)
	retry := time.NewTicker(time.Second)
	defer retry.Stop()
	for {
		if term := f.raft.CurrentTerm(); f.raft.State() == raft.Leader {
			err := f.raft.Barrier(10 * time.Second).Error()
			if err == nil && f.raft.State() == raft.Leader && f.raft.CurrentTerm() == term {
				return f.tenure(term, states, ob), nil
			}
		}
		select {
		case <-states:
		case <-retry.C:
		case <-ctx.Done():
			f.raft.DeregisterObserver(ob)
			return nil, ctx.Err()
		case <-f.ctx.Done():
			f.raft.DeregisterObserver(ob)
			return nil, ErrClosed
		}
	}
}

func (f *Footprint) tenure(term uint64, states chan raft.Observation, ob *raft.Observer) *Tenure {
	t := &Tenure{f: f, term: term, over: make(chan struct{})}
	f.fsm.lent.RLock()
	stop := make(chan struct{})
	var once sync.Once
	t.close = func() {
		once.Do(func() {
			close(stop)
			f.raft.DeregisterObserver(ob)
			f.fsm.lent.RUnlock()
		})
	}
	f.wg.Go(func() {
		defer close(t.over)
		check := time.NewTicker(time.Second)
		defer check.Stop()
		for f.raft.State() == raft.Leader && f.raft.CurrentTerm() == term {
			select {
			case <-states:
			case <-check.C:
			case <-stop:
				return
			case <-f.ctx.Done():
				return
			}
		}
	})
	return t
}

// Over returns a channel that is closed when this machine leads no more.
func (t *Tenure) Over() <-chan struct{} { return t.over }

// Store returns where the council's ledger is to be opened.
func (t *Tenure) Store() *ledger.Shared {
	return &ledger.Shared{Replica: t.f.fsm.current(), Commit: t.commit}
}

// Close says that nothing uses the store any more.
func (t *Tenure) Close() { t.close() }

func (t *Tenure) commit(w ledger.Writes) error {
	c := command{version: 1, kind: commandWrites, at: t.f.o.Now().Unix(), term: t.term, writes: w}
	future := t.f.raft.Apply(c.encode(), 0)
	if err := future.Error(); err != nil {
		return fmt.Errorf("%w: %w", ErrDeposed, err)
	}
	if err, ok := future.Response().(error); ok {
		return err
	}
	if _, ok := future.Response().(reply); !ok {
		return fmt.Errorf("%w: nothing was applied", ErrDeposed)
	}
	return nil
}

// write applies a transaction of the council's ledger, unless it was made in
// another term than the one it is committed in.
func (a *applier) write(c command, term uint64, drop func(ledger.Writes) error) (stale bool, err error) {
	switch {
	case c.term != term:
		return true, nil
	case len(c.writes.Drop) > 0:
		return false, drop(c.writes)
	}
	return false, a.t.Write(c.writes)
}

// drop takes prefixes off this machine's disk. That raft's log holds their bytes
// too is noted first, so that a crash forgets nothing.
func (m *fsm) drop(w ledger.Writes) error {
	if err := m.dropping(); err != nil {
		return err
	}
	return m.current().Drop(w)
}

// GiveBack ends what machines began: it moves the council's ledger out of the
// folder of the one that is left, whose replica is closed, to where it is to
// stand, and deletes the folder. It may be called again when it did not get
// through.
func GiveBack(o Options, to string) error {
	fold, err := openFolder(o.Dir, ledger.ReplicaOptions{Name: o.Name, EncryptionKey: o.EncryptionKey, Log: o.Log}, o.Self)
	if err != nil {
		return err
	}
	current, err := fold.current()
	if err != nil {
		return err
	}
	if !fold.id.Machines {
		return errors.New("give the ledger back: the members are no machines of one council")
	}
	if _, err := os.Stat(to); errors.Is(err, fs.ErrNotExist) {
		if err := moveStore(filepath.Join(o.Dir, current), to); err != nil {
			return fmt.Errorf("give the ledger back: %w", err)
		}
	}
	if err := ledger.Alone(ledger.ReplicaOptions{Dir: to, Name: o.Name, EncryptionKey: o.EncryptionKey, Log: o.Log}); err != nil {
		return fmt.Errorf("give the ledger back: %w", err)
	}
	return os.RemoveAll(o.Dir)
}
