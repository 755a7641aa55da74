package ledger_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// What the test binary does when it runs itself as the process to be killed.
const childEnv = "STILE_LEDGER_CHILD"

func TestMain(m *testing.M) {
	if work, dir, ok := strings.Cut(os.Getenv(childEnv), ":"); ok {
		err := map[string]func(string) error{"write": childWrites, "share": childShares}[work](dir)
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(3)
	}
	os.Exit(m.Run())
}

// child starts the test binary as a child that works in dir, hands its lines
// to each, and kills it when each says so. The last line may be cut short by
// the kill; it is not handed on.
func child(t *testing.T, work, dir string, each func(line string) (kill bool)) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+work+":"+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	killed := false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			if err != io.EOF && !errors.Is(err, os.ErrClosed) {
				t.Fatal(err)
			}
			break
		}
		if each(strings.TrimSpace(line)) && !killed {
			killed = true
			cmd.Process.Kill()
			// What it said before it died still counts: read on.
		}
	}
	if err := cmd.Wait(); !killed {
		t.Fatalf("the child ended by itself: %v\n%s", err, &stderr)
	}
}

// ringIn opens the keys in dir, made when missing, so that a child and the
// process that comes after it have the same.
func ringIn(dir string, c name.Council) (*keys.Ring, error) {
	if r, err := keys.Open(dir, c, nil); err == nil {
		return r, nil
	}
	return keys.Create(dir, c, nil)
}

func openIn(dir string, c name.Council) (*ledger.Ledger, error) {
	r, err := ringIn(filepath.Join(dir, "keys"), c)
	if err != nil {
		return nil, err
	}
	return ledger.Open(ledger.Options{
		Dir: filepath.Join(dir, "ledger"), Council: c, Keys: r, MinFree: 1, Memory: small,
		Fatal: func(err error) { fmt.Fprintln(os.Stderr, err); os.Exit(4) },
	})
}

// childWrites writes from several goroutines until it is killed. Whenever it
// was told yes it prints the record, its version and its log index.
func childWrites(dir string) error {
	l, err := openIn(dir, council)
	if err != nil {
		return err
	}
	r, err := ringIn(filepath.Join(dir, "keys"), council)
	if err != nil {
		return err
	}
	std, err := newParish("1.0.0")
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := l.Adopt(ctx, std); err != nil {
		return err
	}
	for _, w := range []string{"A", "B"} {
		a, err := newSharing("ward-"+strings.ToLower(w), 1, fmt.Sprintf("record.ward == %q", w), "/ward")
		if err != nil {
			return err
		}
		if err := errors.Join(l.OpenFeed(ctx, a), l.AwaitFeed(ctx, a)); err != nil {
			return err
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	errs := make(chan error, 3)
	for worker := range 3 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(rand.Uint64(), uint64(worker)))
			for {
				var offers []*ledger.Offer
				for range 1 + rng.IntN(20)*rng.IntN(2) {
					// Some records have one writer, some all of them.
					ref := fmt.Sprint("ref-", rng.IntN(50), "-", worker*rng.IntN(2))
					body := item(ref, string(rune('A'+rng.IntN(3))), fmt.Sprint(rng.Uint64()))
					if rng.IntN(6) == 0 {
						key, err := std.Key(body)
						if err != nil {
							errs <- err
							return
						}
						offers = append(offers, l.OfferDelete(r.RecordID(std.Name().Line(), key)))
						continue
					}
					o, err := l.Offer(std, body)
					if err != nil {
						errs <- err
						return
					}
					offers = append(offers, o)
				}
				if err := l.Write(ctx, offers...); err != nil {
					errs <- err
					return
				}
				var b strings.Builder
				for _, o := range offers {
					if r, err := o.Result(); err == nil {
						fmt.Fprintf(&b, "%s %d %d\n", r.Record, r.Version, r.Index)
					} else if !errors.Is(err, ledger.ErrNotFound) {
						errs <- err
						return
					}
				}
				mu.Lock()
				os.Stdout.WriteString(b.String())
				mu.Unlock()
			}
		})
	}
	return <-errs
}

// TestKilledWhileWriting kills a process that writes, again and again in the
// same folder, and looks at what it left (invariant I1).
func TestKilledWhileWriting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
	type yes struct {
		record         string
		version, index uint64
	}
	acked := map[yes]bool{}
	var last tlog.Checkpoint
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		left := 1 + rng.IntN(400)
		child(t, "write", dir, func(line string) bool {
			var a yes
			if _, err := fmt.Sscan(line, &a.record, &a.version, &a.index); err != nil {
				t.Fatalf("child said %q", line)
			}
			acked[a] = true
			left--
			return left <= 0
		})
		l, err := openIn(dir, council)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		err = l.View(func(v *ledger.View) error {
			cp, _ := v.Checkpoint()
			root, err := tlog.CheckTiles(cp.Size, v)
			if err != nil || root != cp.Root {
				t.Errorf("round %d: tiles make %v, checkpoint %v, %v", round, root, cp.Root, err)
			}
			proof, err := tlog.Consistency(v, last.Size, cp.Size)
			if err == nil && last.Size > 0 {
				err = tlog.VerifyConsistency(last.Size, last.Root, cp.Size, cp.Root, proof)
			}
			if err != nil {
				t.Errorf("round %d: %v", round, err)
			}
			last = cp
			for a := range acked {
				ver, err := v.Version(a.index)
				if err != nil || string(ver.Claims.Record) != a.record || ver.Claims.Version != a.version {
					t.Errorf("round %d: said yes to %+v, and it is not there: %v", round, a, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		checkWhole(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d acknowledged versions, %d entries", len(acked), last.Size)
}

// childShares keeps two ledgers, and copies a feed from one to the other while
// records come into it and leave it. It prints a line after each copy.
func childShares(dir string) error {
	from, err := openIn(filepath.Join(dir, "from"), council)
	if err != nil {
		return err
	}
	to, err := openIn(filepath.Join(dir, "to"), saltby)
	if err != nil {
		return err
	}
	std, err := newParish("1.0.0")
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := from.Adopt(ctx, std); err != nil {
		return err
	}
	a, err := newSharing("items", 1, `record.ward == "X"`, "/ward", "/name")
	if err != nil {
		return err
	}
	if err := errors.Join(from.OpenFeed(ctx, a), from.AwaitFeed(ctx, a)); err != nil {
		return err
	}
	f, err := from.Feed(a.Name, a.Digest())
	if err != nil {
		return err
	}
	for {
		var offers []*ledger.Offer
		for range 1 + rand.IntN(5) {
			ward := []string{"X", "X", "Y"}[rand.IntN(3)]
			o, err := from.Offer(std, item(fmt.Sprint("ref-", rand.IntN(12)), ward, newCanary()))
			if err != nil {
				return err
			}
			offers = append(offers, o)
		}
		if err := from.Write(ctx, offers...); err != nil {
			return err
		}
		if err := copyFeed(ctx, from, to, f); err != nil {
			return err
		}
		fmt.Println("copied")
	}
}

// TestKilledWhileSharing kills a process that holds both ends, at any moment
// and often in the midst of erasing. What follows brings the copy in step, and
// nothing that was withdrawn is left in the receiver's files (I2, I6).
func TestKilledWhileSharing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		left := 1 + rand.IntN(15)
		child(t, "share", dir, func(string) bool { left--; return left <= 0 })
		from, err := openIn(filepath.Join(dir, "from"), council)
		if err != nil {
			t.Fatal(err)
		}
		to, err := openIn(filepath.Join(dir, "to"), saltby)
		if err != nil {
			t.Fatal(err)
		}
		checkWhole(t, from)
		checkWhole(t, to)
		for _, f := range from.Feeds() {
			if f.Agreement == "" {
				continue
			}
			if err := copyFeed(t.Context(), from, to, f); err != nil {
				t.Fatal(err)
			}
			held := holdings(t, to, council, f.Agreement)
			want := map[string]string{}
			var gone []string
			err := from.View(func(v *ledger.View) error {
				cp, _ := v.Checkpoint()
				for i := range cp.Size {
					ver, err := v.Version(i)
					if err != nil {
						continue // an event
					}
					ref := ver.Body["reference"].(string)
					now, err := v.Current(ver.Claims.Record)
					if err != nil {
						return err
					}
					if now.Body["ward"] != "X" {
						gone = append(gone, ver.Body["name"].(string))
						continue
					}
					b, err := json.Marshal(now.Body)
					if err != nil {
						return err
					}
					want[ref] = fmt.Sprintf("%d %s", now.Claims.Version, b)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(held, want) {
				t.Errorf("round %d: held\n%v\nwant\n%v", round, held, want)
			}
			if found := onDisk(t, filepath.Join(dir, "to"), gone...); len(found) > 0 {
				t.Errorf("round %d: withdrawn and still on disk: %v", round, found)
			}
		}
		if err := errors.Join(from.Close(), to.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEmptyLogFiles: what Badger leaves when it is killed while it makes or
// removes a log file does not keep the ledger from opening.
func TestEmptyLogFiles(t *testing.T) {
	dir, r := t.TempDir(), ring(t)
	l := open(t, dir, r)
	adopt(t, l, parish(t, "1.0.0"))
	was := put(t, l, parish(t, "1.0.0"), item("ref-1", "X", "n"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, nm := range []string{"00090.mem", "00091.mem", "000090.vlog"} {
		if err := os.WriteFile(filepath.Join(dir, nm), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l = open(t, dir, r)
	if ver, err := current(t, l, was.Record); err != nil || ver.Index != was.Index {
		t.Errorf("after opening: %+v, %v", ver, err)
	}
	put(t, l, parish(t, "1.0.0"), item("ref-1", "Y", "n"))
	checkWhole(t, l)
}

// checkWhole walks a whole ledger and works everything in it out again: every
// entry hashes to its leaf, versions chain and are numbered without a gap, and
// the feeds and counts are what a scan of the records makes of them.
func checkWhole(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	type state struct {
		version, index uint64
		entry          tlog.Hash
		body           map[string]any
	}
	heads := map[name.Record]state{}
	withdrawn := map[name.Agreement]map[name.Record]uint64{}
	err := l.View(func(v *ledger.View) error {
		cp, _ := v.Checkpoint()
		for i := range cp.Size {
			if ev, _, err := v.Event(i); err == nil {
				if w, err := event.ParseWithdrawal(ev.Body); err == nil {
					a, r := w.Agreement, w.Record
					if withdrawn[a] == nil {
						withdrawn[a] = map[name.Record]uint64{}
					}
					withdrawn[a][r] = i
				}
				continue
			}
			ver, err := v.Version(i)
			if err != nil {
				return err
			}
			c, was := ver.Claims, heads[ver.Claims.Record]
			if c.Version != was.version+1 || c.Prev != was.entry {
				t.Errorf("entry %d is version %d of a record that is at %d, or follows another entry", i, c.Version, was.version)
			}
			heads[c.Record] = state{c.Version, i, ver.Token.Entry(), ver.Body}
		}
		live := 0
		for id, h := range heads {
			ver, err := v.Current(id)
			if err != nil || ver.Index != h.index {
				t.Errorf("record %s: current is %v, want entry %d, %v", id, ver, h.index, err)
			}
			if h.body != nil {
				live++
			}
		}
		counts, err := v.Count()
		for _, n := range counts {
			live -= n
		}
		if live != 0 || err != nil {
			t.Errorf("live records are miscounted by %d, %v", live, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range l.Feeds() {
		if f.Agreement == "" || f.Closed() {
			continue
		}
		items := map[uint64]bool{}
		for _, p := range readFeed(t, l, f, 0) {
			if len(p.Damaged) > 0 {
				t.Errorf("feed of %s: damaged %v", f.Agreement, p.Damaged)
			}
			for _, it := range p.Items {
				items[it.Index] = true
			}
		}
		live := 0
		for id, h := range heads {
			if h.body != nil && f.Terms().Match(h.body) {
				live++
				if !items[h.index] {
					t.Errorf("feed of %s lacks entry %d of %s", f.Agreement, h.index, id)
				}
				delete(items, h.index)
			} else if w, ok := withdrawn[f.Agreement][id]; ok {
				if !items[w] {
					t.Errorf("feed of %s lacks the withdrawal of %s, entry %d", f.Agreement, id, w)
				}
				delete(items, w)
			}
		}
		if len(items) > 0 || f.Records != live {
			t.Errorf("feed of %s: %d items too many, counts %d records, want %d", f.Agreement, len(items), f.Records, live)
		}
	}
}
