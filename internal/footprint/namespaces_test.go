package footprint

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// minFreeProcess is what a member process leaves free on its disk.
const minFreeProcess = 16 << 20

// A processClient writes and reads from within a member's process for as long as
// that lives, and writes down what it asked before it asks and what it was told
// after: what has no answer in the file may have taken effect at any later time.
type processClient struct {
	dir  string
	self name.Council
	ring *keys.Ring
	stop context.CancelFunc
	done chan struct{}
}

// A noted line of a history file: a call, or the answer to the call before.
type noted struct {
	Key     string `json:"key,omitempty"`
	Write   bool   `json:"write,omitempty"`
	Version uint64 `json:"version"`
	Call    int64  `json:"call,omitempty"`
	Return  int64  `json:"return,omitempty"`
	Entry   string `json:"entry,omitempty"` // of a write that was acknowledged
	Index   uint64 `json:"index,omitempty"`
}

func (c *processClient) start(f *Footprint) error {
	if f == nil {
		return errNotOpen
	}
	// A file, and records, for each life of the process.
	lives, err := filepath.Glob(filepath.Join(c.dir, fmt.Sprint("history-", c.self, "-*")))
	if err != nil {
		return err
	}
	life := fmt.Sprint(c.self, "-", len(lives))
	file, err := os.Create(filepath.Join(c.dir, "history-"+life))
	if err != nil {
		return err
	}
	std, err := newParish("1.0.0")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop, c.done = stop, make(chan struct{})
	w := &worker{c: c, f: f, std: std, life: life, note: json.NewEncoder(file), mine: map[string]version{}}
	go func() {
		defer close(c.done)
		defer file.Close()
		for ctx.Err() == nil {
			pause := time.NewTimer(time.Duration(rand.IntN(150)) * time.Millisecond)
			select {
			case <-pause.C:
			case <-ctx.Done():
				return
			}
			do := w.read
			if rand.IntN(3) > 0 {
				do = w.write
			}
			octx, cancel := context.WithTimeout(ctx, time.Duration(1+rand.IntN(3))*time.Second)
			err := do(octx)
			cancel()
			if err != nil {
				fmt.Fprintln(os.Stderr, c.self, err)
				return
			}
		}
	}()
	return nil
}

// A worker does one thing after another. Its errors are of the test itself.
type worker struct {
	c    *processClient
	f    *Footprint
	std  *standard.Standard
	life string
	note *json.Encoder
	mine map[string]version
}

type version struct {
	number uint64
	prev   tlog.Hash
}

func (w *worker) write(ctx context.Context) error {
	key := fmt.Sprint(w.life, "/", rand.IntN(3))
	was := w.mine[key]
	e, err := newToken(w.c.ring, w.std, w.c.self, key, was.number+1, was.prev)
	if err != nil {
		return err
	}
	entry := check(e).token.Entry()
	w.mine[key] = version{was.number + 1, entry}
	if err := w.note.Encode(noted{Key: key, Write: true, Version: was.number + 1, Call: time.Now().UnixNano()}); err != nil {
		return err
	}
	got, err := w.f.Put(ctx, e)
	if err != nil || got.Outcomes[0].Code == Refused {
		return nil // nobody knows what became of it
	}
	return w.note.Encode(noted{Version: was.number + 1, Return: time.Now().UnixNano(), Entry: hex.EncodeToString(entry[:]), Index: got.Outcomes[0].Entry})
}

// read reads a record of any client there was.
func (w *worker) read(ctx context.Context) error {
	others, err := filepath.Glob(filepath.Join(w.c.dir, "history-*"))
	if err != nil {
		return err
	}
	of := strings.TrimPrefix(filepath.Base(others[rand.IntN(len(others))]), "history-")
	key := fmt.Sprint(of, "/", rand.IntN(3))
	council := name.Council(of[:strings.LastIndexByte(of, '-')])
	id, err := w.c.recordOf(w.std.Name().Line(), council, key)
	if err != nil {
		return err
	}
	n := noted{Key: key, Call: time.Now().UnixNano()}
	p, err := w.f.Latest(ctx)
	if err == nil {
		err = w.f.Await(ctx, p)
	}
	var e *Held
	if err == nil {
		e, err = w.f.Record(council, id)
	}
	switch {
	case err == nil:
		n.Version = e.View.Version
	case !errors.Is(err, ledger.ErrNotFound):
		return nil
	}
	if err := w.note.Encode(n); err != nil {
		return err
	}
	return w.note.Encode(noted{Version: n.Version, Return: time.Now().UnixNano()})
}

// recordOf returns the id of another council's record, whose keys a test has.
func (c *processClient) recordOf(line name.StandardLine, council name.Council, key string) (name.Record, error) {
	ring := c.ring
	if council != c.self {
		var err error
		if ring, err = keys.Open(filepath.Join(c.dir, "keys", string(council)), council, nil); err != nil {
			return "", err
		}
	}
	return ring.RecordID(line, key), nil
}

func (c *processClient) rest() {
	if c.stop != nil {
		c.stop()
		<-c.done
	}
}

// TestNamespaces runs three and five members as processes in network namespaces,
// with clients in each, through what can happen to them. It skips where namespaces
// are refused; what it tries stands in the tests of virtual time as well.
func TestNamespaces(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Run("3", threeInNamespaces)
	t.Run("5", fiveInNamespaces)
}

func threeInNamespaces(t *testing.T) {
	r := newRegion(t, 4, "STILE_FENS_SHORT_LOG=1")
	cs := places[:3]
	r.form(cs)
	r.clients(cs...)

	// The leader is killed.
	leader := r.leader(cs...)
	rest := without(cs, leader)
	r.kill(leader)
	start := time.Now()
	r.put(rest[0], 1)
	t.Logf("3 members: %.1f s from killing the leader to the next yes", time.Since(start).Seconds())
	r.back(leader)

	// The leader is alone: it refuses, says why, and serves what it has.
	leader = r.leader(cs...)
	rest = without(cs, leader)
	r.link(leader, "down")
	if a := r.ask(leader, order{Do: "put", Ref: "alone", Seconds: 5}); a.Error == "" {
		t.Error("a leader alone acknowledged a write")
	} else {
		t.Logf("alone: %s", a.Error)
	}
	if a := r.must(leader, order{Do: "digest", Seconds: 5}); len(a.Entries) == 0 {
		t.Error("a member alone serves nothing")
	}
	r.put(rest[0], 5)

	// Membership changes while it is cut off: the others are a majority.
	r.must(rest[0], order{Do: "invite", Council: places[3], Seconds: 30})
	r.ask(rest[1], order{Do: "agree", Council: places[3], Seconds: 30})
	r.must(places[3], order{Do: "join", Contacts: rest[:1], Seconds: 30})
	r.put(rest[1], 2)
	r.link(leader, "up")
	r.put(leader, 1)
	cs = places[:4]
	r.must(rest[0], order{Do: "await", Votes: 4, Seconds: 90})
	r.clients(places[3])

	// It can send nothing to one other, who can send to it.
	leader = r.leader(cs...)
	rest = without(cs, leader)
	r.ip("-n", r.short(leader), "route", "add", "blackhole", r.address(rest[0])+"/32")
	r.put(rest[1], 3)
	if a := r.ask(rest[0], order{Do: "put", Ref: "deaf", Seconds: 3}); a.Error != "" {
		t.Logf("deaf to the leader: %s", a.Error) // over TCP, nothing gets through either way
	}
	r.ip("-n", r.short(leader), "route", "del", "blackhole", r.address(rest[0])+"/32")
	r.put(rest[0], 1)

	// One was away for longer than the log reaches back. Over a slow link it is
	// sent the ledger, while others write, and killed in the middle; and again.
	leader = r.leader(cs...)
	away := without(cs, leader)[0]
	rest = without(cs, away)
	r.kill(away)
	for range 6 {
		for _, c := range rest {
			r.put(c, 12)
		}
	}
	for _, c := range rest {
		r.must(c, order{Do: "snapshot", Seconds: 30})
	}
	slow := exec.Command("tc", "-n", r.tag+"hub", "qdisc", "add", "dev", "v"+r.short(away), "root", "tbf", "rate", "1500kbit", "burst", "8kb", "latency", "800ms").Run() == nil
	if !slow {
		t.Log("no slow link: tc is refused")
	}
	crashed := 0
	for range 2 {
		r.start(away)
		r.must(away, order{Do: "open"})
		if r.installing(away) {
			crashed++
		}
		r.kill(away)
	}
	t.Logf("killed %d times while it was being sent the ledger", crashed)
	r.back(away)
	if slow {
		r.put(away, 1)
		t.Log(r.must(rest[0], order{Do: "status", Seconds: 5}).Status.Words)
		if out, err := exec.Command("tc", "-n", r.tag+"hub", "qdisc", "del", "dev", "v"+r.short(away), "root").CombinedOutput(); err != nil {
			t.Fatalf("tc: %v %s", err, out)
		}
	}
	if slow && crashed == 0 {
		t.Error("no crash fell into a snapshot")
	}

	// A disk is full, that of one who leads too; it goes on once there is room.
	if full := r.small; full == "" {
		t.Log("no small disk: mount is refused")
	} else {
		filler := filepath.Join(r.dir, string(full), "filler")
		r.fill(filler)
		r.put(without(cs, full)[0], 20)
		t.Log(r.must(without(cs, full)[0], order{Do: "status", Seconds: 5}).Status.Words)
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		r.put(full, 1)
	}

	// Clocks jump, a day on and ten years back.
	r.must(cs[0], order{Do: "clock", Seconds: 24 * 3600})
	r.must(cs[1], order{Do: "clock", Seconds: -10 * 365 * 24 * 3600})
	for _, c := range cs {
		r.put(c, 2)
	}
	r.powerLoss(cs)
	r.history(cs)
}

func fiveInNamespaces(t *testing.T) {
	r := newRegion(t, 5)
	cs := places[:5]
	r.form(cs)
	r.clients(cs...)
	for _, c := range cs {
		r.put(c, 1)
	}
	leader := r.leader(cs...)
	rest := without(cs, leader)

	// The leader and one more are cut off together: three are a majority.
	r.link(leader, "down")
	r.link(rest[0], "down")
	r.put(rest[1], 5)
	// A third is lost: nobody decides anything, and everybody serves what it has.
	r.link(rest[1], "down")
	for _, c := range []name.Council{leader, rest[1], rest[2]} {
		if a := r.ask(c, order{Do: "put", Ref: "minority", Seconds: 2}); a.Error == "" {
			t.Errorf("%s, of a minority, acknowledged a write", c)
		}
		if a := r.must(c, order{Do: "digest", Seconds: 5}); len(a.Entries) == 0 {
			t.Errorf("%s serves nothing", c)
		}
	}
	for _, c := range []name.Council{leader, rest[0], rest[1]} {
		r.link(c, "up")
	}
	r.put(leader, 1)
	leader = r.leader(cs...)
	r.kill(leader)
	r.kill(without(cs, leader)[0])
	r.put(without(cs, leader)[1], 3)
	r.back(leader)
	r.back(without(cs, leader)[0])
	r.powerLoss(cs)
	r.history(cs)
}

func (r *region) link(c name.Council, state string) {
	r.t.Helper()
	r.ip("-n", "hub", "link", "set", "v"+r.short(c), state)
}

// clients starts a client in each process.
func (r *region) clients(cs ...name.Council) {
	r.t.Helper()
	for _, c := range cs {
		r.must(c, order{Do: "client"})
	}
}

// back starts a process again, with its client.
func (r *region) back(c name.Council) {
	r.t.Helper()
	r.start(c)
	r.must(c, order{Do: "open"})
	r.clients(c)
}

// powerLoss kills every process at once and starts them again.
func (r *region) powerLoss(cs []name.Council) {
	r.t.Helper()
	var wg sync.WaitGroup
	for _, c := range cs {
		wg.Go(func() { r.kill(c) })
	}
	wg.Wait()
	for _, c := range cs {
		r.back(c)
	}
	r.put(cs[1], 2)
}

// installing waits until a member is being sent the ledger.
func (r *region) installing(c name.Council) bool {
	r.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 20_000 {
		if part, err := filepath.Glob(filepath.Join(r.dir, string(c), "snapshots", ".received-*")); err == nil && len(part) > 0 {
			return true
		}
		<-tick.C
	}
	return false
}

// fill leaves a member less room on its disk than it wants.
func (r *region) fill(path string) {
	r.t.Helper()
	free, err := ledger.FreeDisk(filepath.Dir(path))
	if err != nil {
		r.t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	for left := int64(free) - minFreeProcess/4; left > 0; {
		n, err := f.Write(make([]byte, min(left, 1<<20)))
		if err != nil {
			r.t.Fatal(err)
		}
		left -= int64(n)
	}
}

// history has the clients rest and asks: was every answer, of all that every life
// of every process was told, one that a single ledger could have given? Does every
// member hold the same, and each acknowledged entry once?
func (r *region) history(cs []name.Council) {
	r.t.Helper()
	for _, c := range cs {
		r.must(c, order{Do: "rest", Seconds: 30})
	}
	files, err := filepath.Glob(filepath.Join(r.dir, "history-*"))
	if err != nil {
		r.t.Fatal(err)
	}
	var ops []porcupine.Operation
	for client, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			r.t.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(b))
		var open *porcupine.Operation
		end := func(at int64) {
			if open != nil {
				open.Return = at
				ops = append(ops, *open)
			}
			open = nil
		}
		for lines.Scan() {
			var n noted
			if json.Unmarshal(lines.Bytes(), &n) != nil {
				break // the kill fell into the line
			}
			if n.Call > 0 {
				end(n.Call + int64(time.Hour)) // nobody knows
				open = &porcupine.Operation{ClientId: client, Input: in{n.Key, n.Write, n.Version}, Call: n.Call, Output: n.Version}
				continue
			}
			end(n.Return)
			if n.Entry != "" {
				r.acked[n.Entry] = n.Index
			}
		}
		end(time.Now().Add(time.Hour).UnixNano())
	}
	if res, _ := porcupine.CheckOperationsVerbose(registers, ops, 60*time.Second); res != porcupine.Ok {
		r.t.Errorf("a history of %d operations is %s", len(ops), res)
	}
	r.t.Logf("%d operations by %d clients", len(ops), len(files))
	r.level(cs)
}
