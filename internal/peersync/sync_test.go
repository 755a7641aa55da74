package peersync_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

const planning = name.Agreement("northmoor.gov.uk/items")

// TestCopy: first copy, live, withdrawal and return, by honest councils.
func TestCopy(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		n, s := w.run(northmoor, a), w.run(saltby, a)
		var many []map[string]any
		for i := range 2500 {
			many = append(many, item(fmt.Sprintf("first-%04d", i), "X"))
		}
		n.put(many...)
		n.put(item("other", "Y"))
		w.await("the first copy is there", func() bool { return s.holds(planning, 2500) })

		start := time.Now()
		n.put(item("live", "X"))
		w.await("a live record is there", func() bool { return s.held(planning)["live"] == 1 })
		if d := time.Since(start); d > time.Second {
			t.Errorf("a live record took %v", d)
		}
		n.put(item("live", "Y"), item("first-0000", "Y"))
		w.await("they are withdrawn", func() bool { return s.holds(planning, 2499) })
		n.put(item("live", "X"))
		w.await("it is back", func() bool { return s.held(planning)["live"] == 3 })

		f, err := n.ledger.Feed(planning, a.Digest())
		if err != nil {
			t.Fatal(err)
		}
		w.await("nothing is outstanding, and everything is receipted", func() bool {
			open := 0
			var p ledger.Partner
			err := n.ledger.View(func(v *ledger.View) (err error) {
				if p, err = v.Partner(f, saltby); err != nil {
					return err
				}
				return v.Outstanding(f, p, func(uint64, name.Record) bool { open++; return true })
			})
			return err == nil && open == 0 && p.Held == 2500
		})
		err = n.ledger.View(func(v *ledger.View) error {
			if list, err := v.Cosigned(); err != nil || len(list) != 1 || list[0].Witness != saltby {
				t.Errorf("cosigned by %+v, %v", list, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if got := s.refusals(northmoor, planning); len(got) > 0 {
			t.Errorf("refused: %v", got)
		}
	})
}

// TestIdleStreamLives: a stream without news is not broken off and begun anew.
func TestIdleStreamLives(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		n, s := w.run(northmoor, a), w.run(saltby, a)
		n.put(item("one", "X"))
		w.await("it is there", func() bool { return s.holds(planning, 1) })
		time.Sleep(2 * time.Minute) // all streams are open, and what is permitted is committed to
		var opened atomic.Int64
		w.world.OnWrite(func(wr wire.Write) wire.Fault {
			if wr.Serial == 0 {
				opened.Add(1)
			}
			return wire.None
		})
		time.Sleep(20 * time.Minute)
		if n := opened.Load(); n > 0 {
			t.Errorf("%d first writes on a stream in twenty quiet minutes", n)
		}
	})
}

// TestCuts: whatever happens to the link, the copy is complete afterwards and
// nothing is held twice or at another version.
func TestCuts(t *testing.T) {
	for _, fault := range []wire.Fault{wire.Lost, wire.Unsure, wire.Truncated(1), wire.Truncated(700)} {
		t.Run(fmt.Sprint(fault), func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) {
				a := terms(t, northmoor, "items", 1, nil, saltby)
				n, s := w.run(northmoor, a), w.run(saltby, a)
				var writes atomic.Int64
				w.world.OnWrite(func(wire.Write) wire.Fault {
					if writes.Add(1)%3 == 0 {
						return fault
					}
					return wire.None
				})
				want := map[string]uint64{}
				for i := range 12 {
					ref := fmt.Sprint("ref-", i%5)
					b := item(ref, "X")
					if i%4 == 3 {
						b["ward"] = "Y"
					}
					b["name"] = fmt.Sprint(i)
					r := n.put(b)[0]
					if delete(want, ref); i%4 != 3 {
						want[ref] = r.Version
					}
					time.Sleep(time.Duration(i*100) * time.Millisecond)
				}
				w.world.Cut(northmoor, saltby)
				time.Sleep(time.Minute)
				w.world.Heal(northmoor, saltby)
				w.world.OnWrite(nil)
				w.await("it is in step", func() bool { return fmt.Sprint(s.held(planning)) == fmt.Sprint(want) })
				checkReceipts(t, w, n, s, a)
			})
		})
	}
}

// checkReceipts: every receipt that the receiver has logged is with the sender,
// whatever became of the answer that carried it, and no withdrawal waits for one.
func checkReceipts(t *testing.T, w *town, n, s *house, a *agreement.Agreement) {
	t.Helper()
	given := map[string]bool{}
	err := s.ledger.View(func(v *ledger.View) error {
		v.Events(event.KindReceipt, 0, func(i uint64) bool {
			_, jws, err := v.Event(i)
			if err != nil {
				t.Fatal(err)
			}
			given[string(jws)] = true
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := n.ledger.Feed(a.Name, a.Digest())
	if err != nil {
		t.Fatal(err)
	}
	w.await("every receipt has arrived", func() bool {
		got, open := 0, 0
		err := n.ledger.View(func(v *ledger.View) error {
			p, err := v.Partner(f, s.self)
			if err != nil {
				return err
			}
			err = v.Outstanding(f, p, func(uint64, name.Record) bool { open++; return true })
			if err != nil {
				return err
			}
			return v.Receipts(f, s.self, func(jws []byte) bool {
				if !given[string(jws)] {
					t.Error("the sender has a receipt that the receiver has not logged")
				}
				got++
				return true
			})
		})
		return err == nil && got == len(given) && open == 0
	})
}

// TestNewText: a new version of the agreement takes the place of the old at
// both ends, whichever learns of it first; what it no longer lets out is
// withdrawn, and fields it no longer lists are no longer held.
func TestNewText(t *testing.T) {
	for _, first := range []name.Council{northmoor, saltby} {
		t.Run(string(first), func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) {
				wide := terms(t, northmoor, "items", 1, func(a *agreement.Agreement) { a.Rows = "true" }, saltby)
				narrow := terms(t, northmoor, "items", 2, func(a *agreement.Agreement) {
					a.Rows, a.Fields = `record.ward == "X"`, []name.Field{"/reference"}
				}, saltby)
				n, s := w.run(northmoor, wide), w.run(saltby, wide)
				n.put(item("a", "X"), item("b", "Y"), item("c", "X"), item("d", "Y"))
				w.await("the first copy is there", func() bool { return s.holds(planning, 4) })
				n.put(item("d", "X")) // its version under the old text may still be on its way

				if err := errors.Join(n.ledger.OpenFeed(t.Context(), narrow), n.ledger.AwaitFeed(t.Context(), narrow)); err != nil {
					t.Fatal(err)
				}
				learn := map[name.Council]func(){
					northmoor: func() {
						n.agree(narrow)
						old, err := n.ledger.Feed(planning, wide.Digest())
						if err != nil {
							t.Fatal(err)
						}
						time.Sleep(3 * time.Second) // the new text is in force and not yet superseded
						now, err := n.ledger.Feed(planning, narrow.Digest())
						if err != nil {
							t.Fatal(err)
						}
						if err := n.ledger.Supersede(t.Context(), old, now); err != nil {
							t.Fatal(err)
						}
					},
					saltby: func() { s.agree(narrow) },
				}
				learn[first]()
				n.put(item("e", "X"), item("f", "Y"), item("a", "Y"))
				time.Sleep(40 * time.Second)
				if got := keysOf(s.held(planning)); first == saltby && strings.ContainsAny(got, "ef") {
					t.Errorf("held, though the text it came under has given way: %s", got)
				}
				for c, f := range learn {
					if c != first {
						f()
					}
				}
				w.await("the copy is of the new text", func() bool { return keysOf(s.held(planning)) == "c d e" })
				time.Sleep(2 * time.Minute)
				if got := keysOf(s.held(planning)); got != "c d e" {
					t.Errorf("held later: %s", got)
				}
				src := s.source(planning)
				err := s.ledger.View(func(v *ledger.View) error {
					return v.Holdings(src, 0, func(h *ledger.Holding, err error) bool {
						if err != nil || h.View.Body["ward"] != nil || strings.Contains(fmt.Sprint(h.View.Disclosed), "ward") {
							t.Errorf("entry %d is held with %v, %v", h.Index, h.View.Body, err)
						}
						return true
					})
				})
				if err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestTwoVersionsOfAStandard: records in a version that calls open what the
// agreement does not list do not leave; those in the version before go on.
func TestTwoVersionsOfAStandard(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		n, s := w.run(northmoor, a), w.run(saltby, a)
		n.put(item("a", "X"), item("b", "X"))
		w.await("the first copy is there", func() bool { return s.holds(planning, 2) })
		next := parish(t, "parish-item", "1.1.0")
		if err := n.ledger.Adopt(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		for _, ref := range []string{"b", "c"} {
			b := item(ref, "X")
			b["phone"] = "CANARY phone"
			o, err := n.ledger.Offer(next, b)
			if err != nil {
				t.Fatal(err)
			}
			if err := n.ledger.Write(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		n.put(item("d", "X"))
		w.await("it is in step", func() bool { return keysOf(s.held(planning)) == "a d" })
		if err := s.ledger.Adopt(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		s.Retry()
		n.put(item("e", "X"))
		w.await("the version before goes on", func() bool { return keysOf(s.held(planning)) == "a d e" })
	})
}

// TestNoticesArrive: an event addressed to a council is told there once,
// however the link behaves.
func TestNoticesArrive(t *testing.T) {
	for _, fault := range []wire.Fault{wire.None, wire.Lost, wire.Unsure} {
		inTown(t, func(t *testing.T, w *town) {
			a := terms(t, northmoor, "items", 1, nil, saltby)
			n, s := w.run(northmoor, a), w.run(saltby, a)
			var writes atomic.Int64
			w.world.OnWrite(func(wire.Write) wire.Fault {
				if n := writes.Add(1); n%2 == 0 && n < 40 {
					return fault
				}
				return wire.None
			})
			for range 3 {
				if _, _, err := n.ledger.AppendNotice(t.Context(), "news", nil, saltby); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
			got := func() (out []string) {
				s.book.mu.Lock()
				defer s.book.mu.Unlock()
				return append(out, s.book.notices...)
			}
			w.await("all three are told", func() bool { return len(got()) >= 3 })
			time.Sleep(time.Minute)
			seen := map[string]bool{}
			for _, x := range got() {
				if seen[x] {
					t.Errorf("told twice: %s", x)
				}
				seen[x] = true
			}
		})
	}
}

// An edition of the directory that nobody vouches for any longer stops the
// exchange, streams that are open included, and a newer one lets it go on.
func TestExpiredDirectory(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		n, s := w.run(northmoor, a), w.run(saltby, a)
		n.put(item("before", "X"))
		w.await("the first is there", func() bool { return s.holds(planning, 1) })

		end := time.Now().Add(time.Hour)
		if err := w.dir.Replace(w.dir.Members(), func(now time.Time) error {
			if now.After(end) {
				return errors.New("the directory expired")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		n.put(item("meanwhile", "X"))
		w.await("the second is there", func() bool { return s.holds(planning, 2) })
		time.Sleep(time.Hour + time.Minute) // of the bubble
		n.put(item("after", "X"))
		w.await("both say why nothing comes", func() bool {
			said := 0
			for _, l := range s.Pulling() {
				if strings.Contains(l.Problem, "the directory expired") {
					said++
				}
			}
			return said >= 2 // the agreement's feed and the notices
		})
		time.Sleep(10 * time.Minute)
		if held := s.held(planning); len(held) != 2 {
			t.Errorf("%d are held on the word of a directory that has expired", len(held))
		}
		if err := w.dir.Replace(w.dir.Members(), nil); err != nil {
			t.Fatal(err)
		}
		w.await("it goes on", func() bool { return s.holds(planning, 3) })
	})
}

// A key that is revoked from an entry on: what it signed before is taken, also
// later, and what it signed after is refused one by one.
func TestRevokedKey(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		n := w.run(northmoor, a)
		n.put(item("before", "X"))
		from := n.ledger.Size()
		n.put(item("after", "X"), item("later", "X"))
		members := w.dir.Members()
		for i := range members {
			if members[i].Council == northmoor {
				members[i].Revocations = []directory.Revocation{{KID: members[i].RecordKeys[0].ID(), FromIndex: from}}
			}
		}
		if err := w.dir.Replace(members, nil); err != nil {
			t.Fatal(err)
		}
		s := w.run(saltby, a)
		w.await("what is left is refused", func() bool {
			src, err := s.ledger.Source(northmoor, planning)
			return err == nil && src.Refused == 2 && len(s.held(planning)) == 1
		})
		if s.held(planning)["before"] != 1 {
			t.Errorf("held %v", s.held(planning))
		}
	})
}

// A partner that signs with a key that our directory does not have is waited for,
// however long: nothing it sent meanwhile is refused for good.
func TestNewKey(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		n := w.run(northmoor, a)
		n.put(item("new", "X"))
		members := w.dir.Members()
		stale := slices.Clone(members)
		other, err := keys.Generate(northmoor)
		if err != nil {
			t.Fatal(err)
		}
		for i := range stale {
			if stale[i].Council == northmoor {
				stale[i].RecordKeys = []*keys.RecordPublic{other.Record.Public()}
			}
		}
		if err := w.dir.Replace(stale, nil); err != nil {
			t.Fatal(err)
		}
		s := w.run(saltby, a)
		w.await("it says what it waits for", func() bool {
			return slices.ContainsFunc(s.Pulling(), func(l peersync.Link) bool {
				return l.Agreement == planning && strings.Contains(l.Problem, "a key that our directory does not have")
			})
		})
		time.Sleep(time.Hour)
		if src := s.source(planning); src.Refused > 0 || len(s.held(planning)) > 0 {
			t.Errorf("%d refused and %v held on the word of an old edition", src.Refused, s.held(planning))
		}
		if err := w.dir.Replace(members, nil); err != nil {
			t.Fatal(err)
		}
		w.await("the record is there", func() bool { return s.held(planning)["new"] == 1 })
	})
}
