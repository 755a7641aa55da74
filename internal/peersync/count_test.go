package peersync_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// commitments returns what a house committed to under an agreement.
func (h *house) commitments(t *testing.T) (out []event.AgreementCheckpoint) {
	t.Helper()
	err := h.ledger.View(func(v *ledger.View) (err error) {
		_, out, err = v.AgreementCheckpoints(planning)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCounted: a minute after a receiver has come to the end, and from then on at most
// once an hour and only when something changed, the sender commits to what it permits,
// and the receiver comes to the same.
func TestCounted(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		n, s := w.run(northmoor, a), w.run(saltby, a)
		n.put(item("first", "X"), item("second", "X"), item("other", "Y"), item("third", "X"))
		w.await("it is in step", func() bool { return s.holds(planning, 3) })
		if src := s.source(planning); src.Unproved.IsZero() || len(n.commitments(t)) > 0 {
			t.Errorf("committed at once, or nothing waits for it: %v", n.commitments(t))
		}
		w.await("it was compared", func() bool { return s.source(planning).Compared != nil })
		src := s.source(planning)
		if c := src.Compared; !c.Equal() || c.Ours.Count != 3 || src.Differs != nil || !src.Unproved.IsZero() || len(src.Sums)+len(src.Told) > 0 {
			t.Fatalf("compared: %+v of %+v", c, src)
		}

		// A change of each kind, one of them of what was there before.
		n.put(item("first", "Y"), item("fourth", "X"), map[string]any{"reference": "second", "ward": "X", "phone": "1"})
		w.await("it is in step again", func() bool {
			held := s.held(planning)
			return keysOf(held) == "fourth second third" && held["second"] == 2
		})
		time.Sleep(50 * time.Minute)
		if got := len(n.commitments(t)); got != 1 {
			t.Errorf("committed to %d times within the hour", got)
		}
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		after := s.source(planning)
		if c := after.Compared; c.Sender.Size == src.Compared.Sender.Size || !c.Equal() || c.Ours.Count != 3 || !after.Unproved.IsZero() {
			t.Errorf("compared: %+v", c)
		}
		size := n.ledger.Size()
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		if got := n.commitments(t); len(got) != 2 || n.ledger.Size() != size {
			t.Errorf("nothing changed, and there are %d commitments and %d entries more", len(got), n.ledger.Size()-size)
		}

		// At once when a person asks, also when nothing changed.
		if err := n.Count(t.Context(), saltby, planning); err != nil {
			t.Fatal(err)
		}
		w.await("it was compared once more", func() bool { return s.source(planning).Compared.Sender.Size > after.Compared.Sender.Size })
		if !s.source(planning).Compared.Equal() {
			t.Errorf("compared: %+v", s.source(planning).Compared)
		}
	})
}

// TestCountedUnderLoad: what is counted is of one moment of the log, though records come
// while both sides count; and a copy begun again under another text is counted anew.
func TestCountedUnderLoad(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		n, s := w.run(northmoor, a), w.run(saltby, a)
		var names []string
		for i := range 40 {
			names = append(names, "item-"+string(rune('a'+i%26))+string(rune('a'+i/26)))
		}
		for i, ref := range names {
			n.put(item(ref, "X"), item(names[i/2], []string{"X", "Y"}[i%2]))
			if i%8 == 0 {
				if err := n.Count(t.Context(), saltby, planning); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.await("it was compared at the end", func() bool {
			n.Count(t.Context(), saltby, planning)
			c := s.source(planning).Compared
			return c != nil && c.Ours.Count == uint64(len(s.held(planning)))
		})
		if c := s.source(planning); !c.Compared.Equal() || c.Differs != nil {
			t.Errorf("compared: %+v, %+v", c.Compared, c.Differs)
		}
		two := terms(t, northmoor, "items", 2, func(a *agreement.Agreement) { a.Fields = a.Fields[:1] }, saltby)
		old, err := n.ledger.Feed(planning, a.Digest())
		if err != nil {
			t.Fatal(err)
		}
		n.agree(two)
		now, err := n.ledger.Feed(planning, two.Digest())
		if err != nil {
			t.Fatal(err)
		}
		if err := n.ledger.Supersede(t.Context(), old, now); err != nil {
			t.Fatal(err)
		}
		s.agree(two)
		n.Refresh()
		w.await("the new text's copy was compared", func() bool {
			src := s.source(planning)
			return src.Digest == two.Digest().String() && src.Compared != nil && src.Compared.Equal()
		})
	})
}

// TestCountFindsLies: a sender that leaves a record out, gives one that it commits to
// nothing of, commits to another root, or to two, is found out; and one that tells the
// truth is not, also about a record that the receiver refuses.
func TestCountFindsLies(t *testing.T) {
	type told struct {
		given     []uint64 // entries in the batch, of records 0 to 2
		committed [][]uint64
		root      *tlog.Hash // in the place of the first commitment's
		bad       bool       // record 2 is one that the receiver refuses
	}
	for _, l := range []struct {
		name         string
		told         told
		equal, twice bool
	}{
		{"the truth", told{given: []uint64{0, 1, 2}, committed: [][]uint64{{0, 1, 2}}}, true, false},
		{"the truth about one that is refused", told{given: []uint64{0, 1, 2}, committed: [][]uint64{{0, 1, 2}}, bad: true}, true, false},
		{"one left out", told{given: []uint64{0, 2}, committed: [][]uint64{{0, 1, 2}}}, false, false},
		{"one too many", told{given: []uint64{0, 1, 2}, committed: [][]uint64{{0, 2}}}, false, false},
		{"another in its place", told{given: []uint64{0, 1}, committed: [][]uint64{{0, 2}}}, false, false},
		{"another root", told{given: []uint64{0, 1, 2}, committed: [][]uint64{{0, 1, 2}}, root: &tlog.Hash{1}}, false, false},
		{"two roots, the true one first", told{given: []uint64{0, 1, 2}, committed: [][]uint64{{0, 1, 2}, {0, 1}}}, false, true},
		{"two roots, the true one last", told{given: []uint64{0, 1, 2}, committed: [][]uint64{{0, 1}, {0, 1, 2}}}, false, true},
	} {
		t.Run(l.name, func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) {
				a := terms(t, northmoor, "items", 1, nil, saltby)
				s := w.run(saltby, a)
				f := newForger(t, w.rings[northmoor])
				for i := range 3 {
					f.record("good-"+string(rune('0'+i)), func(x *forgery) {
						if i == 2 && l.told.bad {
							x.body["reference"] = []any{"bad"}
						}
					})
				}
				members := f.members(t)
				for i, list := range l.told.committed {
					var tally tlog.Tally
					for _, at := range list {
						tally.Add(members[at].Hash())
					}
					c := event.AgreementCheckpoint{Agreement: planning, Version: 1, To: saltby, Size: 3, Count: tally.Size(), Root: tally.Root()}
					if i == 0 && l.told.root != nil {
						c.Root = *l.told.root
					}
					f.event(event.KindAgreementCheckpoint, c.Body(), northmoor, f.ring)
				}
				short := f.fork(3)
				var gave, said atomic.Bool
				stage := w.answer(northmoor, func(x *exchange) {
					switch {
					case x.hello.GetFeed() == "notices" && gave.Load() && !said.Swap(true):
						if err := x.send(f.batch(x.hello.GetTreeSize(), f.from(3)...)); err != nil {
							t.Error(err)
						}
					case x.hello.GetFeed() != "notices" && !gave.Load():
						b := short.batch(x.hello.GetTreeSize(), l.told.given...)
						b.Count = true
						if err := x.send(b); err != nil {
							t.Error(err)
						}
						if _, err := x.in.Read(); err != nil {
							t.Error(err)
						}
						gave.Store(true)
					}
				}, func(string) bool { return true })
				stage.proveBy(f.prove)
				w.await("it is given", func() bool { return gave.Load() })
				w.world.ResetStreams()
				s.Retry()
				w.await("it is compared", func() bool { return s.source(planning).Compared != nil && said.Load() })
				synctest.Wait()
				src := s.source(planning)
				if (src.Differs == nil) != l.equal || src.Differs != nil && src.Differs.Twice != l.twice {
					t.Errorf("compared %+v, differs %+v", src.Compared, src.Differs)
				}
			})
		})
	}
}

// members returns the forger's records as members of what is permitted.
func (f *forger) members(t *testing.T) (out []agreement.Permitted) {
	t.Helper()
	for i, b := range f.tokens {
		tok, err := record.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		v, err := tok.View()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, agreement.Permitted{Index: uint64(i), Record: v.Record, Version: v.Version, Entry: tok.Entry(), Fields: agreement.FieldsOf(slices.Clone(v.Disclosed))})
	}
	return out
}

// TestAuditRun: from the records alone an auditor finds what a sender left out or sent
// beyond the agreement, although its commitments are of that, and a wrong or second root.
func TestAuditRun(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		n, s := w.run(northmoor, a), w.run(saltby, a)
		n.put(item("first", "X"), item("second", "X"), item("other", "Y"), item("third", "X"))
		n.put(item("first", "Y"), map[string]any{"reference": "second", "ward": "X", "phone": "1"})
		w.await("it is in step", func() bool { return keysOf(s.held(planning)) == "second third" })
		if err := n.Count(t.Context(), saltby, planning); err != nil {
			t.Fatal(err)
		}
		var log []audit.Walked
		var members []agreement.Permitted
		other := uint64(0)
		std := parish(t, "parish-item", "1.0.0")
		rules, err := a.Compile(std)
		if err != nil {
			t.Fatal(err)
		}
		err = n.ledger.View(func(v *ledger.View) error {
			return v.Whole(t.Context(), func(index uint64, token []byte, _ name.Record) error {
				log = append(log, audit.Walked{Index: index, Token: slices.Clone(token)})
				ver, err := v.Version(index)
				if err != nil {
					return nil // an event
				}
				p := agreement.Permitted{Index: index, Record: ver.Claims.Record, Version: ver.Claims.Version, Entry: ver.Token.Entry(), Fields: []string{"/ward"}}
				switch ref := ver.Body["reference"]; {
				case ref == "other":
					other = index
					members = append(members, p)
				case rules.Match(ver.Body) && (ref == "third" || ref == "second" && ver.Claims.Version == 2):
					members = append(members, p)
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		run := func(log []audit.Walked) *api.AuditReply {
			t.Helper()
			r, err := audit.Run(t.Context(), audit.RunOf{
				Agreement: planning, Texts: []*agreement.Agreement{a}, Standards: []*standard.Standard{std},
				Walk: func(_ context.Context, f func(audit.Walked) error) error {
					for _, e := range log {
						if err := f(e); err != nil {
							return err
						}
					}
					return nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		if r := run(log); r.Failed || len(r.Checkpoints) != 1 || r.Checkpoints[0].Result != "ok" || r.Checkpoints[0].Counted.Count != 2 {
			t.Fatalf("an honest log: %+v", r)
		}
		// altered is the log as a council would have kept it that sent other entries, and
		// commits to the members that pass.
		altered := func(sent func([]uint64) []uint64, commit func(agreement.Permitted) bool, change func(*event.AgreementCheckpoint)) []audit.Walked {
			out := slices.Clone(log)
			for i, e := range out {
				_, ev, err := record.ParseEvent(e.Token)
				if err != nil {
					continue
				}
				body := ev.Body
				switch ev.Kind {
				case event.KindDisclosure:
					d, err := event.ParseDisclosure(body)
					if err != nil {
						t.Fatal(err)
					}
					d.Entries = sent(d.Entries)
					body = d.Body()
				case event.KindAgreementCheckpoint:
					c, err := event.ParseAgreementCheckpoint(body)
					if err != nil {
						t.Fatal(err)
					}
					var tally tlog.Tally
					for _, m := range members {
						if commit(m) {
							tally.Add(m.Hash())
						}
					}
					c.Count, c.Root = tally.Size(), tally.Root()
					change(&c)
					body = c.Body()
				default:
					continue
				}
				out[i].Token, _ = signedEvent(t, ev.Kind, body, northmoor, w.rings[northmoor], w.rings[northmoor])
			}
			return out
		}
		all := func(list []uint64) []uint64 { return list }
		none := func(*event.AgreementCheckpoint) {}
		right := func(m agreement.Permitted) bool { return m.Index != other }
		left := members[len(members)-1]
		for _, l := range []struct {
			name          string
			log           []audit.Walked
			lacks, excess int
			because       string
		}{
			{"the same, signed again", altered(all, right, none), 0, 0, ""},
			{"left out, and committed to so", altered(func(list []uint64) []uint64 {
				return slices.DeleteFunc(slices.Clone(list), func(n uint64) bool { return n == left.Index })
			}, func(m agreement.Permitted) bool { return right(m) && m.Index != left.Index }, none), 1, 0, "what was sent"},
			{"left out, and committed to as if it were not", altered(func(list []uint64) []uint64 {
				return slices.DeleteFunc(slices.Clone(list), func(n uint64) bool { return n == left.Index })
			}, right, none), 1, 0, "nowhere"},
			{"sent beyond, and committed to so", altered(func(list []uint64) []uint64 { return append(slices.Clone(list), other) },
				func(agreement.Permitted) bool { return true }, none), 0, 1, "not permit"},
			{"a wrong root", altered(all, right, func(c *event.AgreementCheckpoint) { c.Root[0] ^= 1 }), 0, 0, "is not what the agreement permits"},
			{"a wrong count", altered(all, right, func(c *event.AgreementCheckpoint) { c.Count-- }), 0, 0, "is not what the agreement permits"},
		} {
			r := run(l.log)
			c := r.Checkpoints[0]
			if r.Failed != (l.because != "") || c.Lacks != l.lacks || c.Excess != l.excess || !strings.Contains(strings.Join(c.Because, "; "), l.because) {
				t.Errorf("%s: %+v", l.name, c)
			}
		}
		second, _ := signedEvent(t, event.KindAgreementCheckpoint, event.AgreementCheckpoint{Agreement: planning, Version: 1, To: saltby, Size: n.commitments(t)[0].Size, Count: 1, Root: tlog.Hash{1}}.Body(), northmoor, w.rings[northmoor], w.rings[northmoor])
		if r := run(append(slices.Clone(log), audit.Walked{Index: log[len(log)-1].Index + 1, Token: second})); !r.Failed || len(r.Checkpoints) != 2 {
			t.Errorf("two roots: %+v", r)
		}

		// What changes afterwards is named, and the count comes out as before.
		n.put(map[string]any{"reference": "second", "ward": "Y", "phone": "1"}, map[string]any{"reference": "third", "ward": "X", "phone": "2"})
		w.await("one is taken back", func() bool { return keysOf(s.held(planning)) == "third" })
		log = nil
		err = n.ledger.View(func(v *ledger.View) error {
			return v.Whole(t.Context(), func(index uint64, token []byte, _ name.Record) error {
				log = append(log, audit.Walked{Index: index, Token: slices.Clone(token)})
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		c := run(log).Checkpoints[0]
		why := map[string]bool{}
		for _, g := range c.GoneSince {
			why[g.Why] = true
			if g.By < c.Size || g.Entry >= c.Size {
				t.Errorf("gone since %d: %+v", c.Size, g)
			}
		}
		if c.Result != "ok" || c.Counted != c.Committed || c.Gone != 2 || !why[api.GoneNewer] || !why[api.GoneTakenBack] {
			t.Errorf("counted again behind changes: %+v", c)
		}
	})
}
