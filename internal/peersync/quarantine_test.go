package peersync_test

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

const housing = name.Agreement("northmoor.gov.uk/homes")

// TestTwoHistories: a council that tells two agreements of one receiver two
// histories is stopped with what it signed as evidence, whichever came first, and
// nothing of the second is kept or cosigned.
func TestTwoHistories(t *testing.T) {
	for _, more := range []int{0, 2} { // entries that the second has more than the first
		t.Run(fmt.Sprintf("%d more", more), func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) {
				a, b := terms(t, northmoor, "items", 1, nil, saltby), terms(t, northmoor, "homes", 1, nil, saltby)
				s := w.run(saltby, a, b)
				one, two := newForger(t, w.rings[northmoor]), newForger(t, w.rings[northmoor])
				for i := range 3 {
					one.record(fmt.Sprint("one-", i), nil)
				}
				for i := range 3 + more {
					two.record(fmt.Sprint("two-", i), nil)
				}
				var cosigned atomic.Pointer[wirepb.Ack] // for the history told second
				stage := w.perform(northmoor, func(x *exchange) {
					f := one
					if x.hello.GetFeed() == string(housing) {
						f = two
					}
					seen := x.hello.GetTreeSize()
					if err := x.send(f.batch(min(seen, f.tree.Size()), f.from(x.hello.GetCursor())...)); err != nil {
						return
					}
					if answer, err := x.in.Read(); err == nil && seen > 0 {
						cosigned.Store(answer.GetAck())
					}
				})
				stage.proveBy(two.prove)
				w.await("all exchange stops", func() bool { return s.ledger.Allowed(northmoor) != nil })
				time.Sleep(5 * time.Minute)
				first, second := len(s.held(planning)), len(s.held(housing))
				// Of the first, too, nothing is kept when the second came before it was.
				if min(first, second) != 0 {
					t.Errorf("held %d of one history and %d of the other", first, second)
				}
				if a := cosigned.Load(); a != nil {
					t.Errorf("the second was answered: %v", a)
				}
				k := s.ledger.Known(northmoor)
				if k.CosignedSize != k.Size || k.CosignedRoot != k.Root {
					t.Errorf("cosigned %d, known %d", k.CosignedSize, k.Size)
				}
				if want := map[bool]string{true: event.FaultFork, false: event.FaultUnproved}[more == 0]; k.Quarantine.Fault != want {
					t.Errorf("fault %q, want %q", k.Quarantine.Fault, want)
				}
				checkEvidence(t, w, s)
				if got := s.Pulling(); len(got) > 0 {
					for _, l := range got {
						if l.Council == northmoor {
							t.Errorf("still copying: %+v", l)
						}
					}
				}
			})
		})
	}
}

// TestFreshAgreement: an agreement that is signed after a council rewrote its log
// brings nothing of the new history in, and stops the old one.
func TestFreshAgreement(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a, b := terms(t, northmoor, "items", 1, nil, saltby), terms(t, northmoor, "homes", 1, nil, saltby)
		s := w.run(saltby, a)
		f := newForger(t, w.rings[northmoor])
		for i := range 4 {
			f.record(fmt.Sprint("old-", i), nil)
		}
		stage := w.perform(northmoor, func(x *exchange) {
			x.send(f.batch(x.hello.GetTreeSize(), f.from(x.hello.GetCursor())...))
		})
		w.await("the first copy is there", func() bool { return s.holds(planning, 4) })
		rewritten := f.fork(2)
		for i := range 374 {
			rewritten.record(fmt.Sprint("new-", i), nil)
		}
		stage.proveBy(rewritten.prove)
		stage.set(func(x *exchange) {
			// Nothing leads from what the receiver knows to this.
			if cursor := x.hello.GetCursor(); cursor < 374 {
				x.send(rewritten.batch(0, rewritten.from(cursor)...))
			}
		})
		s.agree(b)
		s.Refresh()
		w.await("all exchange stops", func() bool { return s.ledger.Allowed(northmoor) != nil })
		time.Sleep(5 * time.Minute)
		if got := s.held(housing); len(got) > 0 {
			t.Errorf("%d records of the rewritten history are held", len(got))
		}
		if got := len(s.held(planning)); got != 4 {
			t.Errorf("%d records of before are held, want 4", got)
		}
		if q := s.ledger.Known(northmoor).Quarantine; q.Fault != event.FaultUnproved || !strings.Contains(q.Reason, "4 and 376") {
			t.Errorf("%+v", q)
		}
		checkEvidence(t, w, s)

		// A person lets it begin anew: then the new history is copied, what it does
		// not have goes, and it is cosigned no more.
		if err := s.ledger.EndQuarantine(t.Context(), northmoor, event.FollowTold, "restored from a backup"); err != nil {
			t.Fatal(err)
		}
		s.Refresh()
		w.await("the new history is copied", func() bool { return s.holds(housing, 376) && s.holds(planning, 376) })
		w.await("what it does not have is gone", func() bool { _, old := s.held(planning)["old-3"]; return !old })
		if k := s.ledger.Known(northmoor); !k.Forsworn || k.CosignedSize != 4 || k.Size != 376 || len(k.Ended) != 1 || k.Ended[0].Because == "" {
			t.Errorf("%+v", k)
		}
	})
}

// TestStreamsOvertake: streams of three agreements of one honest council, and its
// notices, overtake each other all the time, and nothing is ever taken for a fork.
func TestStreamsOvertake(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		wards := []string{"X", "Y", "Z"}
		var as []name.Agreement
		n, s := w.run(northmoor), w.run(saltby)
		for i := range wards {
			// Alike but for the name: every record is on its way three times.
			a := terms(t, northmoor, fmt.Sprint("items-", i), 1, nil, saltby)
			as = append(as, a.Name)
			n.agree(a)
			s.agree(a)
		}
		n.Refresh()
		s.Refresh()
		// Roads of different length, by turns, so that what was sent later comes earlier.
		var asked, sent atomic.Int64
		w.world.OnWrite(func(x wire.Write) wire.Fault {
			switch x.Protocol {
			case wirepb.LogProtocol:
				asked.Add(1)
			case wirepb.Protocol:
				if sent.Add(1)%50 == 0 {
					return wire.Lost
				}
			}
			return wire.None
		})
		// Until some have, since who overtakes whom is the scheduler's to say.
		put := 0
		for i := 0; i < 120 || asked.Load() == 0 && i < 1200; i++ {
			put++
			w.world.SetLink(northmoor, saltby, wire.Link{Delay: time.Duration(i%7) * 3 * time.Millisecond})
			n.put(item(fmt.Sprint("item-", i), "X"))
			time.Sleep(time.Duration(i%5) * time.Millisecond)
			if i%40 == 39 {
				w.world.ResetStreams()
			}
		}
		for _, a := range as {
			w.await("all of "+string(a)+" is there", func() bool { return s.holds(a, put) })
			if got := s.refusals(northmoor, a); len(got) > 0 {
				t.Errorf("%s: refused %v", a, got)
			}
		}
		for _, k := range s.ledger.KnownLogs() {
			if k.Quarantine != nil {
				t.Errorf("%s is taken for a liar: %s", k.Council, k.Quarantine.Reason)
			}
		}
		k := s.ledger.Known(northmoor)
		if k.Size == 0 || k.CosignedSize == 0 {
			t.Errorf("known %d, cosigned %d", k.Size, k.CosignedSize)
		}
		if asked.Load() == 0 {
			t.Error("no stream overtook another: this proves nothing")
		}
		t.Logf("%d of %d writes asked for a proof", asked.Load(), sent.Load())
	})
}

// TestQuarantineStopsBoth: who is accused is served nothing, is shown why with the
// evidence, and says so itself; when it is ended, exchange goes on.
func TestQuarantineStopsBoth(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a, b := terms(t, northmoor, "items", 1, nil, saltby), terms(t, saltby, "items", 1, nil, northmoor)
		n, s := w.run(northmoor, a, b), w.run(saltby, a, b)
		n.put(item("theirs", "X"))
		s.put(item("ours", "X"))
		w.await("both have what the other lets them have", func() bool { return s.holds(planning, 1) && len(n.held(b.Name)) == 1 })

		// Another history of northmoor's, met by some way or other.
		f := newForger(t, w.rings[northmoor])
		for f.tree.Size() < s.ledger.Known(northmoor).Size {
			f.record(fmt.Sprint("other-", f.tree.Size()), nil)
		}
		cp := tlog.Checkpoint{Origin: northmoor.Origin(), Size: f.tree.Size(), Root: f.tree.Root()}
		// A slow road: northmoor signs one record more before it hears of it.
		w.world.SetLink(northmoor, saltby, wire.Link{Delay: time.Second})
		w.world.SetLink(saltby, northmoor, wire.Link{Delay: time.Second})
		err := s.ledger.Meet(t.Context(), ledger.Met{Log: northmoor, Checkpoint: cp, Note: f.note(f.ring.Log.Signer()), MetWith: "a test"}, nil)
		if err == nil || s.ledger.Allowed(northmoor) == nil {
			t.Fatalf("a fork is taken: %v", err)
		}
		n.put(item("not for us", "X"))
		s.Refresh()
		s.put(item("not for them", "X"))
		w.await("the accused says so", func() bool { x := n.ledger.Known(saltby).Accusation; return x != nil })
		if x := n.ledger.Known(saltby).Accusation; !x.Proven || !strings.Contains(x.Reason, "two histories") {
			t.Errorf("%+v", x)
		}
		// What it signed now would be of two histories, as far as it can know.
		if err := n.ledger.Write(t.Context(), n.ledger.OfferDelete(name.RecordFrom([16]byte{}))); !errors.Is(err, ledger.ErrForked) {
			t.Errorf("the accused goes on: %v", err)
		}
		time.Sleep(3 * time.Minute)
		if x, y := len(n.held(b.Name)), len(s.held(planning)); x != 1 || y != 1 {
			t.Errorf("exchange went on: %d and %d records", x, y)
		}
		if p := ask(t, s, northmoor, n); p.GetCode() != "quarantine" {
			t.Errorf("a proof is given to who is in quarantine: %v", p)
		}

		if err := s.ledger.EndQuarantine(t.Context(), northmoor, event.FollowHeld, "it was the test"); err != nil {
			t.Fatal(err)
		}
		s.Refresh()
		n.Retry()
		w.await("exchange goes on", func() bool { return s.holds(planning, 2) && len(n.held(b.Name)) == 2 })
		w.await("the accused says so no more", func() bool { return n.ledger.Known(saltby).Accusation == nil })
		n.put(item("signed again", "X"))
		w.await("it signs again", func() bool { return s.holds(planning, 3) })
	})
}

// ask has one house ask another for a proof about its log.
func ask(t *testing.T, of *house, by name.Council, asker *house) *wirepb.Proof {
	t.Helper()
	st, err := asker.net.Open(t.Context(), of.self, wirepb.LogProtocol)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	q := &wirepb.ProofRequest{Version: wirepb.LogVersion, Log: string(of.self), First: 1, Second: 2}
	if err := wirepb.WriteProofRequest(bufio.NewWriter(st), q); err != nil {
		t.Fatal(err)
	}
	p, err := wirepb.ReadProof(bufio.NewReader(st))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return p
}
