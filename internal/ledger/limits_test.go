package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestTransactions pins how many transactions there are to a number of
// records, whatever the machine: group commit is what makes them few.
func TestTransactions(t *testing.T) {
	l := open(t, "", ring(t))
	std := parish(t, "1.0.0")
	adopt(t, l, std)
	openFeed(t, l, sharing(t, "items", 1, `record.ward == "X"`, "/ward"))
	count := func(what string, want uint64, f func()) {
		t.Helper()
		before := l.Transactions()
		f()
		if got := l.Transactions() - before; got != want {
			t.Errorf("%s: %d transactions, want %d", what, got, want)
		}
	}
	offers := func(n, generation int) (out []*ledger.Offer) {
		for i := range n {
			o, err := l.Offer(std, item(fmt.Sprint("ref-", i), "X", fmt.Sprint(generation)))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, o)
		}
		return out
	}
	write := func(offers ...*ledger.Offer) {
		t.Helper()
		if err := l.Write(t.Context(), offers...); err != nil {
			t.Fatal(err)
		}
	}
	count("one record", 1, func() { write(offers(1, 1)...) })
	count("the same again", 0, func() { write(offers(1, 1)...) })
	count("a thousand records", 1, func() { write(offers(1000, 2)...) })
	count("three thousand records", 3, func() { write(offers(3000, 3)...) })
	count("one record twice", 2, func() { write(append(offers(1, 4), offers(1, 5)...)...) })
	count("an event", 1, func() {
		if err := l.Disclose(t.Context(), l.Feeds()[0], saltby, []ledger.PageItem{{Index: 1}}, nil); err != nil {
			t.Fatal(err)
		}
	})
	if got := l.Size(); got != 1+1+1000+3000+2+1 {
		t.Errorf("%d entries", got)
	}
}

// TestManyAgreements: a batch fits Badger's transaction however many feeds
// each record stands in. Seventeen agreements were once enough to end the
// ledger.
func TestManyAgreements(t *testing.T) {
	l := open(t, "", ring(t), asANode)
	std := parish(t, "1.0.0")
	adopt(t, l, std)
	for i := range 40 {
		openFeed(t, l, sharing(t, fmt.Sprint("items-", i), 1, `record.ward == "X"`, "/ward"))
	}
	const enter, leave = 1010, 350 // each more than one batch: of entries, and of keys
	for _, c := range []struct {
		ward    string
		records int
	}{{"X", enter}, {"Y", leave}} {
		var offers []*ledger.Offer
		for i := range c.records {
			o, err := l.Offer(std, item(fmt.Sprint("ref-", i), c.ward, newCanary()))
			if err != nil {
				t.Fatal(err)
			}
			offers = append(offers, o)
		}
		before := l.Transactions()
		if err := l.Write(t.Context(), offers...); err != nil {
			t.Fatal(err)
		}
		if n := l.Transactions() - before; n < 2 {
			t.Errorf("%d records of ward %s are written in %d transactions", c.records, c.ward, n)
		}
	}
	for _, f := range l.Feeds() {
		if f.Records != enter-leave {
			t.Errorf("feed of %s counts %d records", f.Agreement, f.Records)
		}
	}
	checkWhole(t, l)
}

// TestLargeRecords: records up to the largest that a token can hold go through
// the writer, a page and a receiver, among small ones; larger ones, and those
// no token can be made of, are refused at the door, and the ledger goes on.
func TestLargeRecords(t *testing.T) {
	from, to := open(t, t.TempDir(), ring(t), asANode), receiver(t, t.TempDir(), asANode)
	std := parish(t, "1.0.0")
	adopt(t, from, std)
	f := openFeed(t, from, sharing(t, "items", 1, `record.ward == "X"`, "/ward", "/name", "/scores/*"))
	scores := func(n int) []any {
		out := make([]any, n)
		for i := range out {
			out[i] = json.Number("7")
		}
		return out
	}
	refused := 0
	var offers []*ledger.Offer
	for i, c := range []struct {
		name   int // bytes
		scores int // elements, each disclosed by itself, which grows it fiftyfold
	}{{800 << 10, 0}, {10, 0}, {1 << 20, 0}, {1100 << 10, 0}, {2000 << 10, 0}, {2900 << 10, 0}, {4 << 20, 0}, {10, 1000}, {10, 12_000}, {10, 30_000}, {10, 50_000}, {10, 100_000}, {10, 0}} {
		body := item(fmt.Sprint("ref-", i), "X", strings.Repeat("n", c.name))
		body["scores"] = scores(c.scores)
		o, err := from.Offer(std, body)
		if r := new(record.Refusal); errors.As(err, &r) {
			refused++
			t.Logf("refused: name of %d bytes, %d scores: %v", c.name, c.scores, err)
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		offers = append(offers, o)
	}
	for i := range 600 { // a page of these is estimated far too low
		body := item(fmt.Sprint("small-", i), "X", "n")
		body["scores"] = scores(100)
		o, err := from.Offer(std, body)
		if err != nil {
			t.Fatal(err)
		}
		offers = append(offers, o)
	}
	if refused < 2 {
		t.Errorf("%d were refused, want those too large for a token", refused)
	}
	if err := from.Write(t.Context(), offers...); err != nil {
		t.Fatal(err)
	}
	for i, o := range offers {
		if _, err := o.Result(); err != nil {
			t.Errorf("offer %d: %v", i, err)
		}
	}
	items := 0
	for _, p := range readFeed(t, from, f, 0) {
		size := 0
		for _, it := range p.Items {
			size += len(it.Token)
		}
		if items += len(p.Items); len(p.Items) > 1 && size > ledger.MaxPageBytes || size > record.MaxToken {
			t.Errorf("a page of %d items has %d bytes", len(p.Items), size)
		}
		if len(p.Damaged) > 0 {
			t.Errorf("left out: %v", p.Damaged)
		}
		d, err := delivery(p)
		if err != nil {
			t.Fatal(err)
		}
		d.Puts = kept(d.Puts)
		s, err := to.OpenSource(t.Context(), council, f.Agreement)
		if err != nil {
			t.Fatal(err)
		}
		if err := meet(t.Context(), from, to, p); err != nil {
			t.Fatal(err)
		}
		if _, err := to.Receive(t.Context(), s, d); err != nil {
			t.Fatal(err)
		}
	}
	if items != len(offers) {
		t.Errorf("%d items leave, want %d", items, len(offers))
	}
	holdings(t, to, council, f.Agreement) // counts and reads them all
}

// kept leaves out what peersync refuses for its size.
func kept(puts []ledger.Put) (out []ledger.Put) {
	for _, p := range puts {
		if len(p.Token) <= ledger.MaxHolding {
			out = append(out, p)
		}
	}
	return out
}

// TestImpossibleBodies: a body that passes its schema and that no token can be
// made of is refused when it is offered, and the ledger lives.
func TestImpossibleBodies(t *testing.T) {
	l := open(t, "", ring(t))
	std := parish(t, "1.0.0")
	adopt(t, l, std)
	deep := any("x")
	for range record.MaxDepth + 5 {
		deep = []any{deep}
	}
	for what, v := range map[string]any{
		"_sd": "x", "...": "x", "_sd_alg": "x", "inner": map[string]any{"a": []any{map[string]any{"...": json.Number("1")}}},
		"list": []any{map[string]any{"_sd": nil}}, "deep": deep, "ok": map[string]any{".": "x", "_": "y", "..": "z", "_sdx": "w"},
	} {
		body := item("ref-"+what, "X", "n")
		body[what] = v
		o, err := l.Offer(std, body)
		if r := new(record.Refusal); (what == "ok") == errors.As(err, &r) {
			t.Errorf("%s: offer says %v", what, err)
		}
		if err == nil {
			if err := l.Write(t.Context(), o); err != nil {
				t.Fatalf("%s: the ledger ended: %v", what, err)
			}
		}
	}
	put(t, l, std, item("after", "X", "n"))
}

// TestStorageFails: once a commit fails the ledger takes no more writes, says
// so to everybody who waits, and tells its owner once.
func TestStorageFails(t *testing.T) {
	fatal := make(chan error, 8)
	l, err := ledger.Open(ledger.Options{
		Dir: t.TempDir(), Council: council, Keys: ring(t), MinFree: 1, Memory: small, Fatal: func(err error) { fatal <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	std := parish(t, "1.0.0")
	adopt(t, l, std)
	size := l.Size()
	var wg sync.WaitGroup
	if err := l.BreakStorage(); err != nil {
		t.Fatal(err)
	}
	ctx := within(t, time.Minute)
	for i := range 20 {
		wg.Go(func() {
			o, err := l.Offer(std, item(fmt.Sprint("ref-", i), "X", "n"))
			if err != nil {
				t.Error(err)
				return
			}
			if err := l.Write(ctx, o); !errors.Is(err, ledger.ErrStorage) {
				t.Errorf("write %d: %v, want ErrStorage", i, err)
			}
		})
	}
	wg.Wait()
	if err := l.Adopt(ctx, parish(t, "1.1.0")); !errors.Is(err, ledger.ErrStorage) {
		t.Errorf("adopt: %v, want ErrStorage", err)
	}
	if err := <-fatal; !errors.Is(err, ledger.ErrStorage) {
		t.Errorf("told %v", err)
	}
	if l.Size() != size {
		t.Errorf("the log grew from %d to %d", size, l.Size())
	}
	l.Close()
	select {
	case err := <-fatal:
		t.Errorf("told twice: %v", err)
	default:
	}
	if o, err := l.Offer(std, item("late", "X", "n")); err == nil {
		if err := l.Write(ctx, o); !errors.Is(err, ledger.ErrStorage) {
			t.Errorf("after closing: %v", err)
		}
	}
}

// TestDiskNearlyFull: nothing is written, reading goes on, and so does writing
// once there is room.
func TestDiskNearlyFull(t *testing.T) {
	dir, r, std := t.TempDir(), ring(t), parish(t, "1.0.0")
	l := open(t, dir, r)
	adopt(t, l, std)
	was := put(t, l, std, item("ref-1", "X", "n"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, r, func(o *ledger.Options) { o.MinFree = 1 << 62 })
	o, err := l.Offer(std, item("ref-2", "X", "n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Write(t.Context(), o); !errors.Is(err, ledger.ErrFull) {
		t.Errorf("write: %v, want ErrFull", err)
	}
	if err := l.OpenFeed(t.Context(), sharing(t, "items", 1, "true", "/ward")); !errors.Is(err, ledger.ErrFull) {
		t.Errorf("open feed: %v, want ErrFull", err)
	}
	if ver, err := current(t, l, was.Record); err != nil || ver.Index != was.Index || l.Size() != was.Index+1 {
		t.Errorf("reading: %+v, %v", ver, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, r)
	if res := put(t, l, std, item("ref-2", "X", "n")); res.Index != was.Index+1 {
		t.Errorf("%+v", res)
	}
	checkWhole(t, l)
}

// TestClosing: whatever runs while the ledger closes is answered, done or
// refused, and what was told done is there.
func TestClosing(t *testing.T) {
	std := parish(t, "1.0.0")
	for range 8 {
		dir, r := t.TempDir(), ring(t)
		l := open(t, dir, r)
		adopt(t, l, std)
		ctx := within(t, time.Minute)
		var wg sync.WaitGroup
		var mu sync.Mutex
		done := map[name.Record]ledger.Result{}
		started := make(chan struct{}, 64)
		for w := range 6 {
			wg.Go(func() {
				for i := 0; ; i++ {
					o, err := l.Offer(std, item(fmt.Sprint(w, "-", i), "X", "n"))
					if err != nil {
						t.Error(err)
						return
					}
					err = l.Write(ctx, o)
					if errors.Is(err, ledger.ErrClosed) {
						return
					}
					res, rerr := o.Result()
					if err := errors.Join(err, rerr); err != nil {
						t.Errorf("write: %v", err)
						return
					}
					mu.Lock()
					done[res.Record] = res
					mu.Unlock()
					select {
					case started <- struct{}{}:
					default:
					}
				}
			})
			wg.Go(func() {
				for {
					err := l.View(func(v *ledger.View) error {
						return v.Scan(std.Name().Name, 0, func(_ *ledger.Version, err error) bool { return err == nil })
					})
					if errors.Is(err, ledger.ErrClosed) {
						return
					} else if err != nil {
						t.Errorf("view: %v", err)
						return
					}
				}
			})
		}
		for range 5 {
			<-started
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		l = open(t, dir, r)
		for id, res := range done {
			if ver, err := current(t, l, id); err != nil || ver.Index != res.Index {
				t.Errorf("%+v is gone: %v", res, err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOneKeyManyWriters: each of many writers of one record sees its own
// version, versions are given once, and only one of those that name a version
// wins.
func TestOneKeyManyWriters(t *testing.T) {
	l := open(t, "", ring(t))
	std := parish(t, "1.0.0")
	adopt(t, l, std)
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[uint64]string{}
	for w := range 8 {
		wg.Go(func() {
			for i := range 25 {
				nm := fmt.Sprint(w, " ", i)
				o, err := l.Offer(std, item("ref-1", "X", nm))
				if err != nil {
					t.Error(err)
					return
				}
				if err := l.Write(t.Context(), o); err != nil {
					t.Error(err)
					return
				}
				res, err := o.Result()
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				if other, ok := seen[res.Version]; ok {
					t.Errorf("version %d was given to %q and %q", res.Version, other, nm)
				}
				seen[res.Version] = nm
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	id := put(t, l, std, item("ref-1", "X", "last")).Record
	err := l.View(func(v *ledger.View) error {
		ver, err := v.Current(id)
		n := uint64(len(seen) + 1)
		for ; err == nil; n-- {
			if ver.Claims.Version != n {
				t.Errorf("version %d where %d should be", ver.Claims.Version, n)
			}
			if nm := ver.Body["name"]; nm != "last" && nm != seen[n] {
				t.Errorf("version %d says %q, its writer was told %q", n, nm, seen[n])
			}
			ver, err = v.Before(ver)
		}
		if n != 0 || !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("the chain ends before version %d: %v", n+1, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Of those who name a version one wins.
	now := uint64(len(seen) + 1)
	won := 0
	for w := range 8 {
		wg.Go(func() {
			o, err := l.Offer(std, item("ref-1", "X", fmt.Sprint("named ", w)))
			if err != nil {
				t.Error(err)
				return
			}
			if err := l.Write(t.Context(), o.At(now)); err != nil {
				t.Error(err)
			}
			_, err = o.Result()
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.Is(err, ledger.ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d of 8 who named version %d won", won, now)
	}
	checkWhole(t, l)
}

// TestOpenFeedWhileWriting: a feed opened in the midst of writing holds what a
// scan finds, neither more nor less.
func TestOpenFeedWhileWriting(t *testing.T) {
	for range 6 {
		l := open(t, "", ring(t))
		std := parish(t, "1.0.0")
		adopt(t, l, std)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					var offers []*ledger.Offer
					for j := range 1 + i%7 {
						o, err := l.Offer(std, item(fmt.Sprint("ref-", (i*7+j)%40, "-", w), string(rune('X'+(i+j)%2)), fmt.Sprint(i)))
						if err != nil {
							t.Error(err)
							return
						}
						offers = append(offers, o)
					}
					if err := l.Write(context.Background(), offers...); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for i := range 8 {
			openFeed(t, l, sharing(t, fmt.Sprint("items-", i), 1, `record.ward == "X"`, "/ward"))
			if i == 3 {
				old := openFeed(t, l, sharing(t, "renewed", 1, `record.ward == "X"`, "/ward"))
				now := openFeed(t, l, sharing(t, "renewed", 2, `record.ward == "Y"`, "/ward"))
				if err := l.Supersede(t.Context(), old, now); err != nil {
					t.Error(err)
				}
			}
		}
		stop()
		wg.Wait()
		checkWhole(t, l)
	}
}

// TestPageProves: pages from any cursor, of feeds of any size, prove their
// items to a checkpoint.
func TestPageProves(t *testing.T) {
	l := open(t, "", ring(t))
	std := parish(t, "1.0.0")
	adopt(t, l, std)
	f := openFeed(t, l, sharing(t, "items", 1, `record.ward == "X"`, "/ward"))
	if p := readFeed(t, l, f, 0)[0]; len(p.Items) != 0 || !p.Live || len(p.Inclusion) != 0 {
		t.Errorf("an empty feed: %+v", p)
	}
	var offers []*ledger.Offer
	for i := range 2300 {
		o, err := l.Offer(std, item(fmt.Sprint("ref-", i), string(rune('X'+i%2)), "n"))
		if err != nil {
			t.Fatal(err)
		}
		offers = append(offers, o)
	}
	if err := l.Write(t.Context(), offers...); err != nil {
		t.Fatal(err)
	}
	for _, cursor := range []uint64{0, 1, 2, 255, 256, 257, 1999, 2300, 2301, 1 << 40} {
		seen := map[uint64]bool{}
		for i, p := range readFeed(t, l, f, cursor) {
			var hashes []tlog.Hash
			var indices []uint64
			for _, it := range p.Items {
				tok, err := record.Parse(it.Token)
				if err != nil {
					t.Fatal(err)
				}
				if seen[it.Index] || it.Index < cursor {
					t.Errorf("from %d: entry %d again, or before the cursor", cursor, it.Index)
				}
				seen[it.Index] = true
				hashes, indices = append(hashes, tok.Entry()), append(indices, it.Index)
			}
			if len(hashes) > 0 {
				if err := tlog.VerifyBatch(hashes, indices, p.Checkpoint.Size, p.Checkpoint.Root, p.Inclusion); err != nil {
					t.Errorf("from %d, page %d: %v", cursor, i, err)
				}
			}
		}
		want := 0
		for i := range uint64(2300) {
			if i%2 == 0 && 1+i >= cursor {
				want++
			}
		}
		if len(seen) != want {
			t.Errorf("from %d: %d items, want %d", cursor, len(seen), want)
		}
	}
}

// TestHold: offers held back at the gate are kept once a reference, and go
// when the reference is taken.
func TestHold(t *testing.T) {
	dir, r, std := t.TempDir(), ring(t), parish(t, "1.0.0")
	l := open(t, dir, r)
	adopt(t, l, std)
	held := func(ref string) ledger.Held {
		return ledger.Held{Standard: std.Name(), Reference: ref, At: 1, Offered: []byte(`{"reference":7}`)}
	}
	long := strings.Repeat("ref", 400)
	if err := l.Hold(t.Context(), std.Name(), []ledger.Held{held("a"), held("b"), held("a"), held(long)}, nil); err != nil {
		t.Fatal(err)
	}
	if err := l.Hold(t.Context(), std.Name(), []ledger.Held{held("c")}, []string{"b", "never"}); err != nil {
		t.Fatal(err)
	}
	size := l.Size()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, r)
	got := map[string]bool{}
	err := l.View(func(v *ledger.View) error {
		if n := v.HeldCount(); n != 3 {
			t.Errorf("%d are held, want 3", n)
		}
		return v.Held(func(h ledger.Held) bool { got[h.Reference] = true; return true })
	})
	if err != nil || !maps.Equal(got, map[string]bool{"a": true, "c": true, long: true}) {
		t.Errorf("held %v, %v", got, err)
	}
	if l.Size() != size {
		t.Error("holding back says something in the log")
	}
}

// TestLastWord: what a partner said when it had deleted everything stands,
// whatever answers of before come in after it.
func TestLastWord(t *testing.T) {
	l := open(t, "", ring(t))
	std := parish(t, "1.0.0")
	adopt(t, l, std)
	f := openFeed(t, l, sharing(t, "items", 1, "true", "/ward"))
	put(t, l, std, item("ref-1", "X", "n"))
	for _, a := range []ledger.Ack{
		{Cursor: 2, Held: 1, Receipt: []byte("one")}, {Cursor: 2, Receipt: []byte("last"), Done: true}, {Cursor: 2, Held: 1, Receipt: []byte("late")},
	} {
		if err := l.Acknowledge(t.Context(), f, saltby, a); err != nil {
			t.Fatal(err)
		}
	}
	err := l.View(func(v *ledger.View) error {
		if p, err := v.Partner(f, saltby); err != nil || p.Held != 0 || !p.Done {
			t.Errorf("partner %+v, %v", p, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
