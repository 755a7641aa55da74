package footprint

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// A history is what clients asked and were told, each at its time.
type history struct {
	mu  sync.Mutex
	ops []porcupine.Operation
	// acked are the entries that somebody was told yes about, with their place.
	acked map[tlog.Hash]uint64
}

// in is what a client asks of one record: its version, or to be at one.
type in struct {
	key     string
	write   bool
	version uint64
}

// registers models every record as a register that holds its version.
var registers = porcupine.Model{
	Partition: func(ops []porcupine.Operation) (out [][]porcupine.Operation) {
		byKey := map[string][]porcupine.Operation{}
		for _, o := range ops {
			k := o.Input.(in).key
			byKey[k] = append(byKey[k], o)
		}
		for _, ops := range byKey {
			out = append(out, ops)
		}
		return out
	},
	Init: func() any { return uint64(0) },
	Step: func(s, i, o any) (bool, any) {
		if op := i.(in); op.write {
			return true, op.version
		}
		return o.(uint64) == s.(uint64), s
	},
	Equal: func(a, b any) bool { return a == b },
}

func (h *history) add(client int, call time.Time, i in, o uint64, unsure bool) {
	op := porcupine.Operation{ClientId: client, Input: i, Call: call.UnixNano(), Output: o, Return: time.Now().UnixNano()}
	if unsure {
		// It may take effect at any later time.
		op.Return = call.Add(time.Hour).UnixNano()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// TestWeather runs clients against a footprint in all kinds of weather, seed by
// seed, and asks afterwards: was every answer one that a single ledger could
// have given, does every member hold the same, and is every acknowledged entry
// there once?
func TestWeather(t *testing.T) {
	seeds := 4
	if testing.Short() {
		seeds = 2
	}
	if n, err := strconv.Atoi(os.Getenv("STILE_SEEDS")); err == nil {
		seeds = n
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed-", seed), func(t *testing.T) {
			inFens(t, func(t *testing.T, w *fens) { weather(t, w, uint64(seed)) })
		})
	}
}

func weather(t *testing.T, w *fens, seed uint64) {
	n := 3 + 2*int(seed%2)
	w.tune = func(o *Options) { o.SnapshotAfter, o.KeepLog, o.segment = 32, 16, 32<<10 }
	w.world.Patience(3 * time.Second)
	w.form(n)
	h := &history{acked: map[tlog.Hash]uint64{}}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i, c := range places[:n] {
		wg.Go(func() { w.client(ctx, h, i, c, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	w.storm(ctx, rand.New(rand.NewPCG(seed, 99)), places[:n])
	wg.Wait()

	// The sun comes out.
	w.world.OnWrite(nil)
	for i, a := range places[:n] {
		for _, b := range places[:i] {
			w.world.Heal(a, b)
			w.world.SetLink(a, b, wire.Link{})
			w.world.SetLink(b, a, wire.Link{})
		}
		if w.at(a) == nil {
			w.start(a)
		}
	}
	w.put(places[0], w.token(places[0], "the end", 1, tlog.Hash{}))
	w.same()
	found := map[tlog.Hash]int{}
	for _, c := range places[:n] {
		clear(found)
		err := w.at(c).Entries(0, func(e *Held) bool {
			found[e.Token.Entry()]++
			if i, ok := h.acked[e.Token.Entry()]; ok && i != e.Index {
				t.Errorf("an entry acknowledged at %d stands at %d", i, e.Index)
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		for e := range h.acked {
			if found[e] != 1 {
				t.Errorf("%s holds an acknowledged entry %d times", c, found[e])
			}
		}
	}
	if r, info := porcupine.CheckOperationsVerbose(registers, h.ops, 20*time.Second); r != porcupine.Ok {
		t.Errorf("seed %d: history of %d operations is %s (%d partitions)", seed, len(h.ops), r, len(info.PartialLinearizations()))
	}
	w.await("a checkpoint counts", func() bool {
		cp, _ := w.at(places[0]).Checkpoint()
		return cp.Size == w.at(places[0]).fsm.current().Checkpoint().Size
	})
	for _, c := range places[:n] {
		if ev, err := w.at(c).Evidence(); err != nil || len(ev) > 0 {
			t.Errorf("%s has evidence against honest members: %+v, %v", c, ev, err)
		}
	}
	t.Logf("seed %d: %d members, %d operations, %d acknowledged", seed, n, len(h.ops), len(h.acked))
}

// client writes versions of its council's records and reads everybody's.
func (w *fens) client(ctx context.Context, h *history, id int, c name.Council, r *rand.Rand) {
	type at struct {
		version uint64
		prev    tlog.Hash
	}
	mine := map[string]at{}
	for ctx.Err() == nil {
		time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
		f := w.at(c)
		if f == nil {
			continue
		}
		call := time.Now()
		octx, cancel := context.WithTimeout(ctx, time.Duration(1+r.IntN(4))*time.Second)
		if r.IntN(3) > 0 {
			key := fmt.Sprint(c, "/", r.IntN(3))
			was := mine[key]
			e := w.token(c, key, was.version+1, was.prev)
			entry := check(e).token.Entry()
			mine[key] = at{was.version + 1, entry}
			got, err := f.Put(octx, e)
			op := in{key, true, was.version + 1}
			if err != nil {
				h.add(id, call, op, 0, true)
			} else if o := got.Outcomes[0]; o.Code == Refused {
				// Only what an earlier try of unknown outcome explains.
				w.t.Errorf("a version was refused: %s", o.Rule)
			} else {
				h.add(id, call, op, 0, false)
				h.mu.Lock()
				h.acked[entry] = o.Entry
				h.mu.Unlock()
			}
		} else {
			of := places[r.IntN(3)]
			key := fmt.Sprint(of, "/", r.IntN(3))
			p, err := f.Latest(octx)
			if err == nil {
				err = f.Await(octx, p)
			}
			if err == nil {
				e, err := f.Record(of, w.rings[of].RecordID(w.std.Name().Line(), key))
				switch {
				case err == nil:
					h.add(id, call, in{key: key}, e.View.Version, false)
				case errors.Is(err, ledger.ErrNotFound):
					h.add(id, call, in{key: key}, 0, false)
				case !errors.Is(err, ledger.ErrClosed):
					w.t.Errorf("read: %v", err)
				}
			}
		}
		cancel()
	}
}

// storm makes weather until ctx ends.
func (w *fens) storm(ctx context.Context, r *rand.Rand, cs []name.Council) {
	var lossy sync.Mutex
	loss := rand.New(rand.NewPCG(r.Uint64(), 1))
	pair := func() (name.Council, name.Council) {
		i := r.IntN(len(cs))
		return cs[i], cs[(i+1+r.IntN(len(cs)-1))%len(cs)]
	}
	down := name.Council("")
	for ctx.Err() == nil {
		time.Sleep(time.Duration(200+r.IntN(2000)) * time.Millisecond)
		a, b := pair()
		switch r.IntN(12) {
		case 0, 1:
			w.world.Cut(a, b)
		case 2:
			w.world.CutOneWay(a, b)
		case 3, 4, 5:
			for i, x := range cs {
				for _, y := range cs[:i] {
					w.world.Heal(x, y)
				}
			}
			w.world.OnWrite(nil)
		case 6:
			w.world.Disconnect(a, b)
		case 7, 8: // one member at a time is down
			if down == "" {
				if l := w.leader(); l != nil && r.IntN(2) == 0 {
					a = l.o.Self
				}
				down = a
				w.stop(a)
			} else {
				w.start(down)
				down = ""
			}
		case 9:
			w.world.SetLink(a, b, wire.Link{Delay: time.Duration(r.IntN(400)) * time.Millisecond, Bandwidth: 20_000})
		case 10:
			if l := w.leader(); l != nil {
				_ = l.Transfer("")
			}
		case 11:
			w.world.OnWrite(func(wire.Write) wire.Fault {
				lossy.Lock()
				defer lossy.Unlock()
				switch loss.IntN(60) {
				case 0:
					return wire.Lost
				case 1:
					return wire.Unsure
				}
				return wire.None
			})
		}
		if f := w.at(b); f != nil && r.IntN(4) == 0 {
			_ = f.raft.Snapshot().Error()
		}
	}
}
