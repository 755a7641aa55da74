package footprint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// council is one council's ledger, kept on several machines.
type council struct {
	*fens
	ring *keys.Ring

	mu    sync.Mutex
	acked map[name.Record]uint64 // version last acknowledged
	tree  tlog.Checkpoint        // the largest that anybody was told of
	terms int                    // in which somebody served
}

// machinesOf forms machines that go on from a council's ledger with ten records.
func machinesOf(w *fens, n int) *council {
	w.t.Helper()
	ring, err := keys.Generate(fensName)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &council{fens: w, ring: ring, acked: map[name.Record]uint64{}}
	before := filepath.Join(w.dir, "ledger")
	l, err := ledger.Open(ledger.Options{Dir: before, Council: fensName, Keys: ring, MinFree: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := l.Adopt(w.t.Context(), w.std); err != nil {
		w.t.Fatal(err)
	}
	for i := range 10 {
		c.write(w.t.Context(), l, fmt.Sprint("before/", i), 1)
	}
	if err := l.Close(); err != nil {
		w.t.Fatal(err)
	}
	tune := w.tune
	w.tune = func(o *Options) {
		tune(o)
		o.Machines, o.Ledger = true, before
	}
	f, err := Found(w.t.Context(), w.options(places[0]), w.book[places[0]])
	if err != nil {
		w.t.Fatal(err)
	}
	w.set(places[0], f)
	for _, m := range places[1:n] {
		w.admit(m)
	}
	w.await("every machine votes", func() bool { return w.voters() == n })
	return c
}

func (c *council) open(s *ledger.Shared) (*ledger.Ledger, error) {
	return ledger.Open(ledger.Options{Council: fensName, Keys: c.ring, Shared: s, MinFree: 1})
}

// write writes a version of a record and notes that somebody was told yes.
func (c *council) write(ctx context.Context, l *ledger.Ledger, ref string, version uint64) bool {
	o, err := l.Offer(c.std, map[string]any{"reference": ref, "ward": "X", "name": fmt.Sprint("version ", version)})
	if err == nil {
		err = l.Write(ctx, o)
	}
	var r ledger.Result
	if err == nil {
		r, err = o.Result()
	}
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, ledger.ErrStorage) && !errors.Is(err, ledger.ErrClosed) {
			c.t.Errorf("write: %v", err)
		}
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked[o.Record()] = max(c.acked[o.Record()], r.Version)
	if err := l.View(func(v *ledger.View) error {
		if cp, _ := v.Checkpoint(); cp.Size > c.tree.Size {
			c.tree = cp
		}
		return nil
	}); err != nil {
		c.t.Errorf("view: %v", err)
	}
	return true
}

// serve opens the ledger whenever its machine leads, and writes.
func (c *council) serve(ctx context.Context, m name.Council, r *rand.Rand) {
	for ctx.Err() == nil {
		f := c.at(m)
		if f == nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		t, err := f.Lead(ctx)
		if err != nil {
			continue // it was stopped
		}
		l, err := c.open(t.Store())
		if err != nil {
			select {
			case <-t.Over():
			default:
				if !errors.Is(err, ErrDeposed) {
					c.t.Errorf("%s opens the ledger: %v", m, err)
				}
			}
			t.Close()
			continue
		}
		c.mu.Lock()
		c.terms++
		c.mu.Unlock()
		for over := false; !over && ctx.Err() == nil; {
			ref := fmt.Sprint("r/", r.IntN(5))
			octx, cancel := context.WithTimeout(ctx, 3*time.Second)
			c.write(octx, l, ref, r.Uint64())
			cancel()
			select {
			case <-t.Over():
				over = true
			case <-time.After(time.Duration(r.IntN(150)) * time.Millisecond):
			}
		}
		if err := l.Close(); err != nil {
			c.t.Errorf("close: %v", err)
		}
		t.Close()
	}
}

// check opens the ledger where the lead is and looks for all that anybody was
// told yes about, in a log that extends every log there was.
func (c *council) check() {
	c.t.Helper()
	f := c.leader()
	t, err := f.Lead(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	defer t.Close()
	l, err := c.open(t.Store())
	if err != nil {
		c.t.Fatal(err)
	}
	defer l.Close()
	err = l.View(func(v *ledger.View) error {
		for id, version := range c.acked {
			got, err := v.Current(id)
			if err != nil || got.Claims.Version < version {
				c.t.Errorf("%s: version %d was acknowledged: %v", id, version, err)
			}
		}
		tree, err := tlog.OpenTree(c.tree.Size, v)
		if err != nil {
			return err
		}
		if tree.Root() != c.tree.Root {
			c.t.Errorf("the log does not extend the one that was told at %d entries", c.tree.Size)
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// TestMachines: a council's ledger goes on where the lead goes, with all that was
// in it before there were several machines; a machine that is late gets it.
func TestMachines(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.tune = func(o *Options) { o.segment = 32 << 10 }
		c := machinesOf(w, 3)
		if _, err := os.Stat(filepath.Join(w.dir, "ledger")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the ledger is still where it was: %v", err)
		}
		first := w.leader()
		tenure, err := first.Lead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l, err := c.open(tenure.Store())
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			c.write(t.Context(), l, fmt.Sprint("a/", i), 1)
		}
		// Cut off: nothing is acknowledged there, and what it says counts nowhere,
		// not even when it leads again.
		for _, m := range places[1:3] {
			w.world.Cut(first.o.Self, m)
		}
		ctx, cancel := within(t, 20*time.Second)
		defer cancel()
		if c.write(ctx, l, "lost", 1) {
			t.Error("a machine alone acknowledged a write")
		}
		<-tenure.Over()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		tenure.Close()
		w.await("another leads", func() bool { n := w.leader(); return n != nil && n != first })
		c.check()
		for _, m := range places[1:3] {
			w.world.Heal(first.o.Self, m)
		}
		w.same()

		// A transaction of an earlier term is applied nowhere.
		now := w.leader()
		fresh, err := now.Lead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		stale := *fresh
		stale.term--
		if err := stale.commit(ledger.Writes{Set: map[string][]byte{"c": []byte("other")}}); !errors.Is(err, ErrDeposed) {
			t.Errorf("a write of an earlier term: %v", err)
		}
		// What is dropped leaves every machine, and is remembered to leave raft's log.
		gone := "H\x00\x00\x00\x07gone"
		if err := fresh.commit(ledger.Writes{Set: map[string][]byte{gone: []byte("CANARY-gone"), "H\x00\x00\x00\x08kept": []byte("kept")}}); err != nil {
			t.Fatal(err)
		}
		if err := fresh.commit(ledger.Writes{Drop: [][]byte{[]byte(gone[:5])}}); err != nil {
			t.Fatal(err)
		}
		fresh.Close()
		w.same()
		for _, m := range places[:3] {
			var b bytes.Buffer
			if _, err := w.at(m).Backup(&b); err != nil || bytes.Contains(b.Bytes(), []byte("CANARY-gone")) || !bytes.Contains(b.Bytes(), []byte("kept")) {
				t.Errorf("%s: what was dropped is there, or more was: %v", m, err)
			}
			if _, err := os.Stat(filepath.Join(w.at(m).o.Dir, "forget.json")); err != nil {
				t.Errorf("%s does not know that its log holds something to forget: %v", m, err)
			}
		}
		c.check()

		// A fourth gets everything, what was there before included.
		w.admit(places[3])
		w.await("the fourth votes", func() bool { return w.voters() == 4 })
		w.same()
		for _, m := range places[:3] {
			if w.at(m) == w.leader() {
				w.stop(m)
				break
			}
		}
		w.await("another leads", func() bool { return w.leader() != nil })
		c.check()
	})
}

// TestMachinesLost: when most machines are lost for good the one that is left goes
// on, or one that was made from a backup, with the council's ledger.
func TestMachinesLost(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		c := machinesOf(w, 3)
		tenure, err := w.leader().Lead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l, err := c.open(tenure.Store())
		if err != nil {
			t.Fatal(err)
		}
		c.write(t.Context(), l, "a", 1)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		tenure.Close()
		w.same()
		var backup bytes.Buffer
		if _, err := w.at(places[1]).Backup(&backup); err != nil {
			t.Fatal(err)
		}
		for _, m := range places[:3] {
			w.stop(m)
		}
		f, err := Recover(t.Context(), w.options(places[1]), "both server rooms burnt")
		if err != nil {
			t.Fatal(err)
		}
		w.set(places[1], f)
		w.await("it leads", func() bool { return w.leader() != nil })
		c.check()
		w.stop(places[1])

		w.gen[places[2]]++
		if f, err = RestoreBackup(t.Context(), w.options(places[2]), &backup, "nothing else is left"); err != nil {
			t.Fatal(err)
		}
		w.set(places[2], f)
		w.await("it leads", func() bool { return w.leader() != nil })
		c.check()
	})
}

// TestMachinesInWeather: writing goes on in all kinds of weather, and nothing
// that was acknowledged is lost.
func TestMachinesInWeather(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed-", seed), func(t *testing.T) {
			inFens(t, func(t *testing.T, w *fens) {
				w.tune = func(o *Options) { o.SnapshotAfter, o.KeepLog, o.segment = 32, 16, 32<<10 }
				w.world.Patience(3 * time.Second)
				c := machinesOf(w, 3)
				ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
				defer cancel()
				var wg sync.WaitGroup
				for i, m := range places[:3] {
					wg.Go(func() { c.serve(ctx, m, rand.New(rand.NewPCG(seed, uint64(i)))) })
				}
				w.storm(ctx, rand.New(rand.NewPCG(seed, 99)), places[:3])
				wg.Wait()
				w.world.OnWrite(nil)
				for i, a := range places[:3] {
					for _, b := range places[:i] {
						w.world.Heal(a, b)
						w.world.SetLink(a, b, wire.Link{})
						w.world.SetLink(b, a, wire.Link{})
					}
					if w.at(a) == nil {
						w.start(a)
					}
				}
				w.await("one leads", func() bool { return w.leader() != nil })
				w.same()
				c.check()
				t.Logf("seed %d: %d times served, %d records, %d entries", seed, c.terms, len(c.acked), c.tree.Size)
				if c.terms < 2 || len(c.acked) < 12 {
					t.Errorf("nothing happened: %d times served, %d records", c.terms, len(c.acked))
				}
			})
		})
	}
}
