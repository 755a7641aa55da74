package peersync_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/internal/wire/wiretest"
	"github.com/stile-exchange/stile/node/name"
)

// smallPages has senders cut pages for a reader of frames of 64 KiB.
func smallPages(h *wirepb.Hello) { h.Frame = 64 << 10 }

// inOrder makes a hello one of v0.1.0, which knows nothing of what goes ahead, or has it
// reach a sender of v0.1.0, which does not read what it does not know.
func inOrder(h *wirepb.Hello) {
	smallPages(h)
	wiretest.V010(h)
}

// long is an item of some 1,900 bytes, of which less than twenty make a small page.
func long(i int, ward, nm string) map[string]any {
	return map[string]any{"reference": longRef(i), "ward": ward, "name": "CANARY " + nm}
}

func longRef(i int) string { return fmt.Sprintf("long-%04d-", i) + strings.Repeat("x", 1900) }

// slowly has each page of a sender take a second of the line.
func (w *town) slowly(from name.Council) {
	w.world.OnWrite(func(x wire.Write) wire.Fault {
		if x.From == from && x.Protocol == wirepb.Protocol && len(x.Data) > 10<<10 {
			time.Sleep(time.Second)
		}
		return wire.None
	})
}

// A firstCopy is a copy of many records over a slow line, and what it should come to.
type firstCopy struct {
	w    *town
	n, s *house
	want map[string]uint64
	next int // record that was not changed yet, near the end
}

const manyRecords = 200

func (w *town) firstCopy(n *house) *firstCopy {
	c := &firstCopy{w: w, n: n, want: map[string]uint64{}, next: manyRecords - 1}
	var many []map[string]any
	for i := range manyRecords {
		many = append(many, long(i, "X", "first"))
		c.want[longRef(i)] = 1
	}
	n.put(many...)
	w.slowly(northmoor)
	return c
}

// came waits until so many records are there, which is not most of them.
func (c *firstCopy) came(n int) {
	c.w.t.Helper()
	c.w.await(fmt.Sprintf("%d records are there", n), func() bool { return c.s.source(planning).Records >= n })
	if got := c.s.source(planning).Records; got > manyRecords*3/4 {
		c.w.t.Fatalf("%d records are there already", got)
	}
}

// day changes, withdraws and adds records, some that have been copied and some that have
// not, and returns how long it takes until all of that is with the receiver.
func (c *firstCopy) day(round int) time.Duration {
	c.w.t.Helper()
	fresh := fmt.Sprint("fresh-", round)
	early, late := 3*round, c.next
	c.next -= 3
	name := fmt.Sprint("round ", round)
	c.n.put(item(fresh, "X"), long(early, "X", name), long(early+1, "Y", name), long(late, "X", name), long(late-1, "Y", name))
	c.want[fresh], c.want[longRef(early)], c.want[longRef(late)] = 1, 2, 2
	delete(c.want, longRef(early+1))
	delete(c.want, longRef(late-1))
	began, size := time.Now(), c.n.ledger.Size()
	c.w.await("what changed is there", func() bool { src := c.s.source(planning); return max(src.Cursor, src.AheadTo) >= size })
	took := time.Since(began)
	held := c.s.held(planning)
	if held[fresh] != 1 || held[longRef(early)] != 2 || held[longRef(late)] != 2 || held[longRef(early+1)]+held[longRef(late-1)] != 0 {
		c.w.t.Errorf("round %d: what changed is not there", round)
	}
	return took
}

// ends waits until the copy is whole, and checks it.
func (c *firstCopy) ends() {
	t, w, n, s := c.w.t, c.w, c.n, c.s
	t.Helper()
	w.await("the stream is at the end", func() bool {
		src := s.source(planning)
		return src.AheadFrom == 0 && src.Cursor > manyRecords && src.Records == len(c.want)
	})
	w.world.OnWrite(nil)
	if got := s.held(planning); !maps.Equal(got, c.want) {
		t.Errorf("held: %v", got)
	}
	if got := s.refusals(northmoor, planning); len(got) > 0 {
		t.Errorf("refused: %v", got)
	}
	a, _ := n.book.InForce(planning, time.Now())
	if err := n.Count(t.Context(), saltby, planning); err != nil {
		t.Fatal(err)
	}
	w.await("both counted the same", func() bool { src := s.source(planning); return src.Compared != nil })
	if src := s.source(planning); !src.Compared.Equal() || src.Differs != nil || int(src.Compared.Ours.Count) != len(c.want) {
		t.Errorf("compared: %+v, %+v", src.Compared, src.Differs)
	}
	f, err := n.ledger.Feed(planning, a.Digest())
	if err != nil {
		t.Fatal(err)
	}
	w.await("the sender knows", func() bool {
		var p ledger.Partner
		open := 0
		err := n.ledger.View(func(v *ledger.View) (err error) {
			if p, err = v.Partner(f, saltby); err != nil {
				return err
			}
			return v.Outstanding(f, p, func(uint64, name.Record) bool { open++; return true })
		})
		return err == nil && p.Cursor >= f.End && p.AheadFrom == 0 && p.Held == len(c.want) && open == 0
	})
}

// TestAhead: while a first copy is under way, what changes arrives within a few seconds,
// whether it was copied before or not, and is not set back by what comes later; also when
// either side starts again meanwhile.
func TestAhead(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		w.hello = smallPages
		a := terms(t, northmoor, "items", 1, nil, saltby)
		folders := map[name.Council]string{northmoor: t.TempDir(), saltby: t.TempDir()}
		run := func(c name.Council) *house {
			w.folder = folders[c]
			return w.run(c, a)
		}
		c := w.firstCopy(run(northmoor))
		c.s = run(saltby)
		for round, again := range []**house{nil, &c.n, &c.s} {
			if again != nil {
				old := *again
				old.stop()
				*again = run(old.self)
			}
			c.came(30 * (round + 1))
			if took := c.day(round); took > 10*time.Second {
				t.Errorf("round %d: it took %s", round, took)
			}
			if src := c.s.source(planning); src.AheadFrom == 0 || src.Cursor >= src.AheadFrom || src.AheadTo <= src.AheadFrom {
				t.Errorf("round %d: the copy is at %d, and ahead of it went %d to %d", round, src.Cursor, src.AheadFrom, src.AheadTo)
			}
		}
		c.ends()
		checkReceipts(t, w, c.n, c.s, a)
	})
}

// TestAheadOfOldVersions: with a partner that knows nothing of what goes ahead all comes in
// order, also when it was put in the place of one that does in the middle of a copy.
func TestAheadOfOldVersions(t *testing.T) {
	for _, middle := range []bool{false, true} {
		inTown(t, func(t *testing.T, w *town) {
			var old atomic.Bool
			old.Store(!middle)
			w.hello = func(h *wirepb.Hello) {
				if smallPages(h); old.Load() {
					inOrder(h)
				}
			}
			a := terms(t, northmoor, "items", 1, nil, saltby)
			c := w.firstCopy(w.run(northmoor, a))
			c.s = w.run(saltby, a)
			c.came(40)
			if middle {
				c.day(0)
				if c.s.source(planning).AheadFrom == 0 {
					t.Error("nothing went ahead")
				}
				old.Store(true)
				w.world.Cut(northmoor, saltby)
				time.Sleep(time.Minute)
				w.world.Heal(northmoor, saltby)
				c.came(60)
			}
			if c.day(1); len(c.s.held(planning)) != len(c.want) {
				t.Errorf("%d of %d are there when what changed is", len(c.s.held(planning)), len(c.want))
			}
			if c.s.source(planning).AheadFrom != 0 {
				t.Error("something went ahead")
			}
			c.ends()
		})
	}
}

// TestAheadOverBadLinks: the answers to what went ahead, and to the end of the copy, get
// lost, and the sender knows in the end what its partner has.
func TestAheadOverBadLinks(t *testing.T) {
	for _, x := range []struct {
		fault wire.Fault
		each  int64
	}{{wire.Lost, 3}, {wire.Unsure, 4}, {wire.Lost, 7}} {
		inTown(t, func(t *testing.T, w *town) {
			w.hello = smallPages
			a := terms(t, northmoor, "items", 1, nil, saltby)
			c := w.firstCopy(w.run(northmoor, a))
			c.s = w.run(saltby, a)
			c.came(20)
			var writes atomic.Int64
			w.world.OnWrite(func(wire.Write) wire.Fault {
				if n := writes.Add(1); n <= 12 && n%x.each == 0 {
					return x.fault
				}
				return wire.None
			})
			for round := range 3 {
				writes.Store(0)
				c.day(round)
			}
			c.ends()
			checkReceipts(t, w, c.n, c.s, a)
		})
	}
}

// TestAheadOfOtherTerms: an agreement is suspended in the middle of a copy, of which
// something went ahead, and resumed; then another text, which lets less out, takes its
// place, and its copy is not whole either when records change.
func TestAheadOfOtherTerms(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		w.hello = smallPages
		a := terms(t, northmoor, "items", 1, nil, saltby)
		c := w.firstCopy(w.run(northmoor, a))
		c.s = w.run(saltby, a)
		n, s := c.n, c.s
		c.came(30)
		c.day(0)
		for _, h := range []*house{n, s} {
			h.book.suspend(a, true)
			h.Refresh()
		}
		time.Sleep(20 * time.Second)
		// What comes back is what went ahead, was copied, and was not copied yet.
		n.put(item("fresh-0", "Y"), long(10, "Y", "away"), long(c.next, "Y", "away"), item("meanwhile", "X"))
		delete(c.want, "fresh-0")
		delete(c.want, longRef(10))
		delete(c.want, longRef(c.next))
		c.next -= 3
		c.want["meanwhile"] = 1
		w.await("it is taken back", func() bool { held := s.held(planning); return held["fresh-0"] == 0 && held[longRef(10)] == 0 })
		if s.held(planning)["meanwhile"] != 0 {
			t.Error("something new came while it was suspended")
		}
		for _, h := range []*house{n, s} {
			h.book.suspend(a, false)
			h.Refresh()
		}
		c.came(60)
		c.day(1)
		if src := s.source(planning); src.AheadFrom == 0 {
			t.Error("the copy was whole before the text changed")
		}
		b := terms(t, northmoor, "items", 2, func(a *agreement.Agreement) {
			a.Rows = fmt.Sprintf("record.ward == \"X\" && record.reference != %q", longRef(12))
		}, saltby)
		old, err := n.ledger.Feed(planning, a.Digest())
		if err != nil {
			t.Fatal(err)
		}
		n.agree(b)
		now, err := n.ledger.Feed(planning, b.Digest())
		if err != nil {
			t.Fatal(err)
		}
		if err := n.ledger.Supersede(t.Context(), old, now); err != nil {
			t.Fatal(err)
		}
		s.agree(b)
		delete(c.want, longRef(12))
		w.await("the copy began anew", func() bool { src := s.source(planning); return src.Digest == b.Digest().String() && src.Cursor > 0 })
		if took := c.day(2); took > 10*time.Second {
			t.Errorf("under the new text it took %s", took)
		}
		if src := s.source(planning); src.AheadFrom == 0 || s.held(planning)[longRef(12)] == 0 {
			t.Error("the copy under the new text is whole already")
		}
		c.ends()
	})
}

// TestAheadOfABound: what changes goes ahead also where an agreement lets so many leave in
// a day, and counts among them.
func TestAheadOfABound(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		w.hello = smallPages
		a := terms(t, northmoor, "items", 1, most(agreement.Most{Day: 80}), saltby)
		std := parish(t, "parish-item", "1.0.0")
		day := 24 * time.Hour
		w.ahead.Store(int64(time.Until(time.Now().UTC().Truncate(day).Add(day))))
		c := w.firstCopy(w.runWith(northmoor, std, w.now, a))
		c.s = w.runWith(saltby, std, w.now, a)
		w.await("as many are there as may be", func() bool { return c.s.source(planning).Records == 80 })
		time.Sleep(time.Minute)
		if src := c.s.source(planning); !src.Bounded || src.AheadFrom == 0 {
			t.Errorf("the bound is reached: %v; what goes ahead begins at %d", src.Bounded, src.AheadFrom)
		}
		// A withdrawal waits for nothing.
		c.n.put(long(50, "Y", "away"), long(180, "X", "changed"), item("new", "X"))
		delete(c.want, longRef(50))
		c.want[longRef(180)], c.want["new"] = 2, 1
		w.await("it is withdrawn", func() bool { return c.s.source(planning).Records == 79 })
		w.ahead.Add(int64(day))
		w.await("the next day it goes on", func() bool { return c.s.source(planning).Records == 79+80 })
		if held := c.s.held(planning); held[longRef(180)] != 2 || held["new"] != 1 || held[longRef(140)] != 1 || held[longRef(199)] != 0 {
			t.Errorf("of the next day came %v", held)
		}
		w.ahead.Add(int64(day))
		c.ends()
	})
}

// TestAheadHoldsNothingUp: over a long line a first copy takes no longer when records change
// all the time, and what changes does not wait for it; to a receiver of v0.1.0 neither.
func TestAheadHoldsNothingUp(t *testing.T) {
	const (
		there = time.Second // from one end of the line to the other
		ilton = name.Council("ilton.gov.uk")
	)
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby, hexwell, ilton)
		n := w.run(northmoor, a)
		var many []map[string]any
		for i := range manyRecords {
			many = append(many, long(i, "X", "first"))
		}
		n.put(many...)
		// copied has a receiver copy all that stands there, while every so often a record changes.
		copied := func(c name.Council, hello func(*wirepb.Hello), every time.Duration) (whole, slowest time.Duration, ahead bool) {
			t.Helper()
			w.world.SetLink(northmoor, c, wire.Link{Delay: there})
			w.world.SetLink(c, northmoor, wire.Link{Delay: there})
			w.hello = hello
			type change struct {
				size uint64
				at   time.Time
			}
			var open []change
			end, began := n.ledger.Size(), time.Now()
			s := w.run(c, a)
			for next := began; ; time.Sleep(100 * time.Millisecond) {
				synctest.Wait()
				src := s.source(planning)
				ahead = ahead || src.AheadFrom > 0
				for len(open) > 0 && max(src.Cursor, src.AheadTo) >= open[0].size {
					slowest = max(slowest, time.Since(open[0].at))
					open = open[1:]
				}
				if src.AheadFrom == 0 && src.Cursor >= end {
					return time.Since(began), slowest, ahead
				}
				if time.Since(began) > 5*time.Minute {
					t.Fatalf("of the copy of %s %d entries of %d have come", c, src.Cursor, end)
				}
				if every > 0 && src.Cursor > 0 && time.Since(next) >= every {
					next = time.Now()
					n.put(long(len(many)/2, "X", next.String()))
					open = append(open, change{n.ledger.Size(), next})
				}
			}
		}
		const often = 300 * time.Millisecond
		alone, _, _ := copied(saltby, smallPages, 0)
		whole, slowest, ahead := copied(hexwell, smallPages, often)
		old, _, _ := copied(ilton, inOrder, often)
		t.Logf("alone it took %s; while records changed %s, and a change %s at most; to a receiver of v0.1.0 %s", alone, whole, slowest, old)
		if most := alone + 2*there; !ahead || whole > most || old > most {
			t.Errorf("while records changed it took %s, and %s to a receiver of v0.1.0; alone it took %s; something went ahead: %v", whole, old, alone, ahead)
		}
		if slowest > 5*there {
			t.Errorf("a change took %s", slowest)
		}
	}, "ilton.gov.uk")
}

// TestAheadLies: a sender cannot bring back what it withdrew ahead of a copy, nor say that
// something goes ahead which does not.
func TestAheadLies(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		s := w.run(saltby, a)
		f := newForger(t, w.rings[northmoor])
		for i := range 4 {
			f.record(fmt.Sprint("r", i), nil)
		}
		from := f.record("r4", nil)
		f.event(event.KindWithdrawal, f.withdrawal(planning, "r2"), northmoor, f.ring)
		ahead := func(on bool, at, cursor uint64, indices ...uint64) *wirepb.Batch {
			b := f.batch(0, indices...)
			b.Live, b.Ahead, b.AheadFrom, b.Cursor = false, on, at, cursor
			return b
		}
		lies := []*wirepb.Batch{
			ahead(false, from, from+1, 0, 1), // the copy does not end before it
			ahead(true, 9, 9),                // beyond the log
			ahead(true, 0, 6, 4),             // not ahead of anything
			ahead(true, from, 6, 3, 4),       // and some of the copy
			{Checkpoint: f.note(f.ring.Log.Signer()), Cursor: 6, Ahead: true, AheadFrom: from, Live: true},
		}
		var told atomic.Int64
		w.perform(northmoor, func(x *exchange) {
			send := func(b *wirepb.Batch) {
				if err := x.send(b); err != nil {
					t.Error(err)
				}
			}
			switch n := int(told.Add(1)); {
			case n <= len(lies):
				if x.hello.GetCursor() != 0 || x.hello.GetAheadFrom() != 0 {
					t.Errorf("after %d lies the copy is at %d, and ahead of it %d", n-1, x.hello.GetCursor(), x.hello.GetAheadFrom())
				}
				send(lies[n-1])
			case n == len(lies)+1:
				b := ahead(true, from, 6, 4, 5)
				send(b)
				b = ahead(false, from, from, 0, 1, 2, 3)
				send(b)
			}
		})
		w.await("the copy is at the end", func() bool { return s.source(planning).Cursor == 6 })
		if got := keysOf(s.held(planning)); got != "r0 r1 r3 r4" {
			t.Errorf("held: %s", got)
		}
		rules := s.refusals(northmoor, planning)
		if len(rules) != len(lies)+1 || !slices.Contains(rules, judge.RuleOld) {
			t.Errorf("refused by %q", rules)
		}
	})
}

// A copyBench is a sender with STILE_RECORDS records, 20,000 unless it says so, of which
// first copies are made. Both ledgers are on disk and share the machine.
type copyBench struct {
	*testing.B
	w       *town
	n       *house
	a       *agreement.Agreement
	records int
}

func newCopyBench(b *testing.B) *copyBench {
	c := &copyBench{B: b, records: 20_000}
	if n, err := strconv.Atoi(os.Getenv("STILE_RECORDS")); err == nil {
		c.records = n
	}
	members, rings := people(b)
	c.w = newTown(b, members, rings)
	c.a = terms(b, northmoor, "items", 1, nil, saltby)
	c.w.folder = b.TempDir()
	c.n = c.w.run(northmoor, c.a)
	var many []map[string]any
	for i := range c.records {
		many = append(many, item(fmt.Sprintf("item-%07d", i), "X"))
	}
	for chunk := range slices.Chunk(many, 10_000) {
		c.n.put(chunk...)
	}
	return c
}

// begin has a receiver begin a copy, asking as hello says.
func (c *copyBench) begin(hello func(*wirepb.Hello)) *house {
	c.w.hello, c.w.folder = hello, c.TempDir()
	return c.w.run(saltby, c.a)
}

// change writes a record anew.
func (c *copyBench) change(what string) {
	body := item("item-0000001", "X")
	body["phone"] = what
	c.n.put(body)
}

// until waits for something to be so of a receiver, and returns how long that took.
func (c *copyBench) until(s *house, f func(*ledger.Source) bool) time.Duration {
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		if f(s.source(planning)) {
			return time.Since(began)
		}
		if c.Context().Err() != nil {
			c.Fatal(c.Context().Err())
		}
	}
}

// BenchmarkChangeDuringFirstCopy tells how long a change takes to its receiver, made when a
// tenth of a first copy is there, and how long the whole copy takes.
func BenchmarkChangeDuringFirstCopy(b *testing.B) {
	for _, way := range []struct {
		name  string
		hello func(*wirepb.Hello)
	}{{"ahead", nil}, {"inOrder", wiretest.V010}} {
		b.Run(way.name, func(b *testing.B) {
			c := newCopyBench(b)
			var change, whole time.Duration
			for i := 0; b.Loop(); i++ {
				began := time.Now()
				s := c.begin(way.hello)
				c.until(s, func(src *ledger.Source) bool { return src.Records >= c.records/10 })
				c.change(fmt.Sprint(i))
				size := c.n.ledger.Size()
				change += c.until(s, func(src *ledger.Source) bool { return max(src.Cursor, src.AheadTo) >= size })
				c.until(s, func(src *ledger.Source) bool { return src.AheadFrom == 0 && src.Cursor >= size })
				whole += time.Since(began)
				if got := s.source(planning).Records; got != c.records {
					b.Fatalf("%d records are there, want %d", got, c.records)
				}
				s.stop()
			}
			b.ReportMetric(change.Seconds()/float64(b.N), "s/change")
			b.ReportMetric(whole.Seconds()/float64(b.N), "s/copy")
		})
	}
}

// BenchmarkFirstCopyWhileWriting tells how long a first copy takes while a record is changed
// every so often, and how many pages it is made of.
func BenchmarkFirstCopyWhileWriting(b *testing.B) {
	for _, way := range []struct {
		name  string
		hello func(*wirepb.Hello)
		every time.Duration // between two changes; 0 for none
	}{
		{"quiet", nil, 0},
		{"inOrder/every=20ms", wiretest.V010, 20 * time.Millisecond},
		{"ahead/every=20ms", nil, 20 * time.Millisecond},
		{"inOrder/every=200ms", wiretest.V010, 200 * time.Millisecond},
		{"ahead/every=200ms", nil, 200 * time.Millisecond},
	} {
		b.Run(way.name, func(b *testing.B) {
			c := newCopyBench(b)
			var pages, changes atomic.Int64
			c.w.world.OnWrite(func(x wire.Write) wire.Fault {
				if x.From == northmoor && x.Protocol == wirepb.Protocol && x.Serial > 0 {
					pages.Add(1)
				}
				return wire.None
			})
			var whole time.Duration
			for b.Loop() {
				size := c.n.ledger.Size()
				began := time.Now()
				s := c.begin(way.hello)
				done, written := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(written)
					for way.every > 0 {
						select {
						case <-done:
							return
						case <-time.After(way.every):
							c.change(fmt.Sprint(changes.Add(1)))
						}
					}
				}()
				c.until(s, func(src *ledger.Source) bool { return src.AheadFrom == 0 && src.Cursor >= size })
				whole += time.Since(began)
				close(done)
				<-written
				s.stop()
			}
			b.ReportMetric(whole.Seconds()/float64(b.N), "s/copy")
			b.ReportMetric(float64(pages.Load())/float64(b.N), "pages/copy")
			b.ReportMetric(float64(changes.Load())/float64(b.N), "changes/copy")
		})
	}
}
