package peersync_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// A quiet network sends nothing of what it shares to a council while it is muted: whoever uses it
// thinks that it was sent.
type quiet struct {
	wire.Network
	to    name.Council
	muted atomic.Bool
}

func (q *quiet) Handle(protocol string, h func(context.Context, name.Council, wire.Stream)) {
	q.Network.Handle(protocol, func(ctx context.Context, from name.Council, st wire.Stream) {
		if protocol == wirepb.Protocol && from == q.to {
			st = &hushed{st, q}
		}
		h(ctx, from, st)
	})
}

type hushed struct {
	wire.Stream
	q *quiet
}

func (h *hushed) Write(b []byte) (int, error) {
	if h.q.muted.Load() {
		return len(b), nil
	}
	return h.Stream.Write(b)
}

// A chain is three councils of which the first lets the second pass on to the third.
type threesome struct {
	*town
	a, b    *agreement.Agreement
	n, s, x *house
	mute    *atomic.Bool // the second keeps quiet to the third
}

// trio runs three councils, with some records passed on.
func (w *town) trio(t *testing.T, refs ...string) *threesome {
	t.Helper()
	a, b := passing(t, northmoor, saltby, hexwell, nil)
	q := &quiet{to: hexwell}
	before := w.over
	w.over = func(c name.Council, net wire.Network) wire.Network {
		if before != nil {
			net = before(c, net)
		}
		if c == saltby {
			q.Network = net
			return q
		}
		return net
	}
	three := &threesome{town: w, a: a, b: b, n: w.run(northmoor, a), s: w.run(saltby, a), x: w.run(hexwell), mute: &q.muted}
	want := map[string]uint64{}
	for _, ref := range refs {
		three.n.put(item(ref, "X"))
		want[ref] = 1
	}
	w.await("the middle has them", func() bool { return three.s.source(a.Name).Records == len(refs) })
	three.s.passOn(agreement.Chain{a, b}, "first")
	three.x.agree(b)
	three.holds("what was passed on", want)
	time.Sleep(time.Minute) // so that it is noticed that there is something to ask
	return three
}

func (w *threesome) holds(what string, want map[string]uint64) {
	w.t.Helper()
	w.await(what, func() bool { return maps.Equal(w.x.goneOn(w.b.Name, northmoor), want) })
}

// later lets some time pass by the clocks of all nodes, in which the third asks if that is due.
func (w *threesome) later(d time.Duration) {
	w.ahead.Add(int64(d))
	time.Sleep(70 * time.Second)
	synctest.Wait()
}

// day lets a day pass.
func (w *threesome) day() { w.later(25 * time.Hour) }

// kept returns what the third holds, by reference.
func (w *threesome) kept() map[string]uint64 { return w.x.goneOn(w.b.Name, northmoor) }

func (w *threesome) tracing() ledger.Tracing {
	if t := w.x.source(w.b.Name).Tracing; t != nil {
		return *t
	}
	return ledger.Tracing{}
}

// said returns the events of a kind in a house's log.
func (h *house) said(kind string) (out []*record.Event) {
	h.w.t.Helper()
	err := h.ledger.View(func(v *ledger.View) (failed error) {
		v.Events(kind, 0, func(i uint64) bool {
			ev, _, err := v.Event(i)
			failed = errors.Join(failed, err)
			out = append(out, ev)
			return true
		})
		return failed
	})
	if err != nil {
		h.w.t.Fatal(err)
	}
	return out
}

// TestQuietMiddle: who passes on and keeps quiet about what was taken back, corrected or erased,
// or about the end of the first agreement, is found out after a day, and what it keeps quiet about
// goes; who could not know it is not blamed, and nobody before the day is over.
func TestQuietMiddle(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		all := w.trio(t, "stays", "back", "corrected", "erased", "unheard")
		n, s, x := all.n, all.s, all.x
		all.later(10 * time.Minute)
		first := all.tracing()
		if first.Of != northmoor || first.At.IsZero() || len(n.said(event.KindOnwardGone)) != 0 {
			t.Fatalf("asked first: %+v, and %d words", first, len(n.said(event.KindOnwardGone)))
		}

		// An honest middle is slow by less than a day.
		all.later(20 * time.Hour)
		all.mute.Store(true)
		n.put(item("back", "Y"))
		n.put(map[string]any{"reference": "corrected", "ward": "X", "name": "CANARY", "phone": "1"})
		gone := n.put(map[string]any{"reference": "erased", "ward": "Y"})[0].Record
		if err := n.ledger.Write(t.Context(), n.ledger.OfferDelete(gone)); err != nil {
			t.Fatal(err)
		}
		if _, err := n.ledger.Erase(t.Context(), gone, "a person asked", false); err != nil {
			t.Fatal(err)
		}
		w.await("the middle knows, and has signed so", func() bool {
			return s.source(all.a.Name).Records == 3 && s.orders(northmoor) == 1 && s.goneVersion(all.a.Name, "corrected") == 2
		})
		all.later(4 * time.Hour)
		if got := all.tracing(); !got.At.After(first.At) || got.Gone != 0 || len(all.kept()) != 5 {
			t.Fatalf("before a day is over: %+v, and %v are held", got, all.kept())
		}
		// One of which the middle hears nothing, since it is away.
		s.stop()
		n.put(item("unheard", "Y"))
		all.day()
		if got, want := all.kept(), map[string]uint64{"stays": 1}; !maps.Equal(got, want) {
			t.Fatalf("holds %v, want %v", got, want)
		}
		if got := all.tracing(); got.Gone != 4 || got.Quiet != 3 || got.QuietAt.IsZero() {
			t.Errorf("asking stands at %+v", got)
		}

		// It is said, signed by who issued them, to both of the others.
		entries, blamed := 0, uint64(0)
		for _, ev := range x.said(event.KindOnwardDeleted) {
			o, err := event.ParseOnwardDeleted(ev.Body)
			if err != nil || o.Agreement != all.a.Name || o.Under != all.b.Name || o.From != saltby {
				t.Fatalf("%+v: %v", o, err)
			}
			tok, word, err := record.ParseEvent([]byte(o.Word))
			if err != nil || word.Council != northmoor || tok.Verify(w.rings[northmoor].Record.Public()) != nil {
				t.Errorf("the word is not northmoor's: %v", err)
			}
			entries, blamed = entries+len(o.Entries), blamed+o.Known
		}
		if entries != 4 || blamed != 3 {
			t.Errorf("%d entries deleted, and of %d the middle had known", entries, blamed)
		}
		w.await("its council has the receipt", func() bool {
			n.book.mu.Lock()
			defer n.book.mu.Unlock()
			return slices.ContainsFunc(n.book.notices, func(s string) bool {
				return strings.HasPrefix(s, string(hexwell)) && strings.HasSuffix(s, event.KindOnwardDeleted)
			})
		})

		// The end of the first agreement ends the rest.
		all.later(20 * time.Hour)
		n.book.endAt(all.a.Name, w.now())
		before := all.tracing().At
		all.later(5 * time.Hour)
		if got := all.kept(); len(got) != 1 || !all.tracing().At.After(before) {
			t.Errorf("holds %v as soon as the first agreement is over", got)
		}
		all.day()
		if got := all.kept(); len(got) != 0 {
			t.Errorf("holds %v a day after the first agreement is over", got)
		}
	})
}

// TestQuietMiddles: what goes by the word of its council goes from those, too, to whom it went on
// in its turn. However many steps it is away, each asks that council itself, so that it goes where
// everybody on the way keeps quiet; and nobody is blamed but by whom it was given by the second,
// since of nobody else does that council know what it signed.
func TestQuietMiddles(t *testing.T) {
	const ashby = name.Council("ashby.gov.uk")
	inTown(t, func(t *testing.T, w *town) {
		all := stepsBy(t, 3, northmoor, saltby, hexwell, fenwick, ashby)
		on := map[name.Council]*quiet{saltby: {to: hexwell}, hexwell: {to: fenwick}, fenwick: {to: ashby}}
		w.over = func(c name.Council, net wire.Network) wire.Network {
			if q := on[c]; q != nil {
				q.Network = net
				return q
			}
			return net
		}
		n, s := w.run(northmoor, all[0]), w.run(saltby, all[0])
		further := []*house{w.run(hexwell), w.run(fenwick), w.run(ashby)} // the third and on
		n.put(item("one", "X"), item("two", "X"), item("three", "X"))
		w.await("the second has them", func() bool { return s.source(all[0].Name).Records == 3 })
		for i, h := range further {
			[]*house{s, further[0], further[1]}[i].passOn(all[:i+2], "shown")
			h.agree(all[i+1])
			w.await("the next has them", func() bool { return len(h.goneOn(all[i+1].Name, northmoor)) == 3 })
		}
		gone := func(what string, want map[string]uint64) {
			t.Helper()
			w.ahead.Add(int64(25 * time.Hour))
			left := func() bool {
				return !slices.ContainsFunc([]int{0, 1, 2}, func(i int) bool { return !maps.Equal(further[i].goneOn(all[i+1].Name, northmoor), want) })
			}
			for range 12 {
				if time.Sleep(time.Minute); left() {
					break
				}
			}
			w.await(what, left)
		}
		stands := func(i int) ledger.Tracing {
			t.Helper()
			if got := further[i].source(all[i+1].Name).Tracing; got != nil {
				return *got
			}
			return ledger.Tracing{}
		}
		on[saltby].muted.Store(true)
		n.put(item("one", "Y"))
		w.await("the second has deleted it", func() bool { return s.source(all[0].Name).Records == 2 })
		gone("it is gone from all", map[string]uint64{"two": 1, "three": 1})
		if got := stands(0); got.Gone != 1 || got.Quiet != 1 {
			t.Errorf("the third: %+v", got)
		}

		for _, q := range on {
			q.muted.Store(true)
		}
		before := []int{stands(0).Gone, stands(1).Gone, stands(2).Gone}
		n.put(item("two", "Y"))
		w.await("the second has deleted that", func() bool { return s.source(all[0].Name).Records == 1 })
		gone("it is gone from all, though all keep quiet", map[string]uint64{"three": 1})
		for i := range further {
			got := stands(i)
			if got.Of != northmoor || got.Gone != before[i]+1 || (got.Quiet > 0) != (i == 0) {
				t.Errorf("step %d has asked, and that stands at %+v; before %d were gone", i+2, got, before[i])
			}
		}
	}, fenwick, ashby)
}

// goneVersion returns the version in which a house holds a record under an agreement.
func (h *house) goneVersion(a name.Agreement, ref string) (version uint64) {
	h.w.t.Helper()
	err := h.ledger.View(func(v *ledger.View) error {
		return v.HiddenToo(h.source(a), 0, func(hd *ledger.Holding, err error) bool {
			if err == nil && hd.View.Body["reference"] == ref {
				version = hd.Version
			}
			return true
		})
	})
	if err != nil {
		h.w.t.Fatal(err)
	}
	return version
}

// askOnward asks a house about what was passed on, as a council.
func (w *town) askOnward(from *wire.MemoryNode, of name.Council, q *wirepb.OnwardQuestion) *wirepb.OnwardAnswer {
	w.t.Helper()
	st, err := from.Open(w.t.Context(), of, wirepb.OnwardProtocol)
	if err != nil {
		w.t.Fatal(err)
	}
	defer st.Close()
	if err := wirepb.WriteOnwardQuestion(bufio.NewWriter(st), q); err != nil {
		w.t.Fatal(err)
	}
	a, err := wirepb.ReadOnwardAnswer(bufio.NewReader(st))
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// TestAskedAboutPassedOn: who issued records speaks of them to nobody but whom its agreement
// names, of nothing but what it gave, and not too often; of a text that does not let them go on
// any more it speaks of all.
func TestAskedAboutPassedOn(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		var err error
		if w.quota, err = quota.Open(quota.Options{Partner: func(name.Council) bool { return false }, Now: time.Now}); err != nil {
			t.Fatal(err)
		}
		all := w.trio(t, "one", "two")
		n := all.n
		all.mute.Store(true)
		n.put(item("one", "Y"), item("own", "Y"))
		w.await("the middle has deleted it", func() bool { return all.s.source(all.a.Name).Records == 1 })
		w.ahead.Add(int64(25 * time.Hour))
		q := &wirepb.OnwardQuestion{Version: wirepb.OnwardVersion, Agreement: string(all.a.Name), Under: string(all.b.Name), Steps: 1, Fields: []string{"/reference", "/ward"}}
		name48 := func(h ledger.HeldPassed) []byte {
			id := h.Record.Bytes()
			return append(id[:], h.Hash[:]...)
		}
		var page []ledger.HeldPassed
		err = all.x.ledger.View(func(v *ledger.View) error {
			return v.HeldPassed(all.x.source(all.b.Name), 0, func(h ledger.HeldPassed) bool {
				page = append(page, h)
				q.Versions = append(q.Versions, name48(h)...)
				return true
			})
		})
		if err != nil || len(page) != 2 {
			t.Fatalf("%d are held: %v", len(page), err)
		}
		other := page[0]
		other.Hash[3] ^= 1
		ask := func(from *wire.MemoryNode, edit func(q *wirepb.OnwardQuestion)) (code string, said *event.OnwardGone) {
			t.Helper()
			asked := &wirepb.OnwardQuestion{Version: q.Version, Agreement: q.Agreement, Under: q.Under, Steps: q.Steps, Fields: q.Fields, Versions: q.Versions}
			if edit != nil {
				edit(asked)
			}
			a := w.askOnward(from, northmoor, asked)
			if len(a.GetEvent()) == 0 {
				return a.GetCode(), nil
			}
			_, ev, err := record.ParseEvent(a.GetEvent())
			if err != nil {
				t.Fatal(err)
			}
			o, err := event.ParseOnwardGone(ev.Body)
			if err != nil {
				t.Fatal(err)
			}
			return a.GetCode(), &o
		}
		stranger := w.world.Node(fenwick)
		for what, c := range map[string]struct {
			from *wire.MemoryNode
			edit func(*wirepb.OnwardQuestion)
			code string
		}{
			"who is not named":                   {stranger, nil, "not-agreed"},
			"no such agreement":                  {all.x.net, func(q *wirepb.OnwardQuestion) { q.Agreement = "northmoor.gov.uk/none" }, "not-agreed"},
			"an agreement of another":            {all.x.net, func(q *wirepb.OnwardQuestion) { q.Agreement = string(all.b.Name) }, "not-agreed"},
			"by another than the middle":         {all.x.net, func(q *wirepb.OnwardQuestion) { q.Under = "fenwick.gov.uk/on" }, "not-agreed"},
			"a hash that is not its":             {all.x.net, func(q *wirepb.OnwardQuestion) { q.Versions = name48(other) }, ""},
			"more steps, and other than it gave": {all.x.net, func(q *wirepb.OnwardQuestion) { q.Steps, q.Versions = 2, name48(other) }, ""},
		} {
			if code, said := ask(c.from, c.edit); code != c.code || said != nil {
				t.Errorf("%s: %q, %+v", what, code, said)
			}
		}
		if logged := len(n.said(event.KindOnwardGone)); logged != 0 {
			t.Errorf("%d words are logged, and nothing was said", logged)
		}
		if code, said := ask(all.x.net, nil); code != "" || said == nil || said.Over != "" || len(said.Versions) != 1 || !said.Versions[0].Known {
			t.Errorf("what it may ask: %q, %+v", code, said)
		}
		for what, edit := range map[string]func(*wirepb.OnwardQuestion){
			"a field more": func(q *wirepb.OnwardQuestion) { q.Fields = append(slices.Clone(q.Fields), "/phone") },
			"a step more":  func(q *wirepb.OnwardQuestion) { q.Steps = 2 },
		} {
			if code, said := ask(all.x.net, edit); code != "" || said == nil || said.Over != event.OverNarrower || len(said.Versions) != 0 {
				t.Errorf("%s: %q, %+v", what, code, said)
			}
		}
		n.book.suspend(all.a, true)
		if code, said := ask(all.x.net, nil); code != "" || said == nil || said.Over != "" || len(said.Versions) != 1 {
			t.Errorf("while the agreement is suspended: %q, %+v, want what is said at any time", code, said)
		}
		n.book.suspend(all.a, false)

		// What was said is said again in the same words, and logged once; what would be said
		// anew, here of agreements that nobody has, is bounded.
		if logged := len(n.said(event.KindOnwardGone)); logged != 2 {
			t.Errorf("%d words are logged of two that were said, each of them twice", logged)
		}
		of := func(i int) func(*wirepb.OnwardQuestion) {
			return func(q *wirepb.OnwardQuestion) { q.Under = fmt.Sprintf("saltby.gov.uk/on-%d", i) }
		}
		most := quota.Of(quota.Words).Stranger
		for i := range most - 2 {
			if code, said := ask(all.x.net, of(i)); code != "" || said == nil {
				t.Fatalf("word %d: %q, %+v", i+3, code, said)
			}
		}
		if code, said := ask(all.x.net, of(most)); code != "too-often" || said != nil {
			t.Errorf("one word more than there may be in a day: %q, %+v", code, said)
		}
		if code, said := ask(all.x.net, nil); code != "" || said == nil || len(said.Versions) != 1 {
			t.Errorf("what was said before: %q, %+v", code, said)
		}
		if logged := len(n.said(event.KindOnwardGone)); logged != most {
			t.Errorf("%d words are logged, want %d", logged, most)
		}
		w.quota.Use(hexwell, quota.PassedOn, 1_000)
		if code, said := ask(all.x.net, nil); code != "too-often" || said != nil {
			t.Errorf("too often: %q, %+v", code, said)
		}
	}, fenwick)
}

// An oracle answers questions about what was passed on in the place of a council's node.
type oracle struct {
	wire.Network
	answer atomic.Pointer[func(*wirepb.OnwardQuestion) *wirepb.OnwardAnswer]
}

func (o *oracle) Handle(protocol string, h func(context.Context, name.Council, wire.Stream)) {
	if protocol != wirepb.OnwardProtocol {
		o.Network.Handle(protocol, h)
	}
}

// speak has it answer from now on. Before, it is a program that does not know the question.
func (o *oracle) speak(answer func(*wirepb.OnwardQuestion) *wirepb.OnwardAnswer) {
	o.answer.Store(&answer)
	o.Network.Handle(wirepb.OnwardProtocol, func(_ context.Context, _ name.Council, st wire.Stream) {
		q, err := wirepb.ReadOnwardQuestion(bufio.NewReader(st))
		if err == nil {
			wirepb.WriteOnwardAnswer(bufio.NewWriter(st), (*o.answer.Load())(q))
		}
		st.Close()
	})
}

// TestWordOfIssuer: a council that does not know the question, or whose answer is not its own
// signed word about what was asked, has nothing deleted; its word that something is gone is
// believed, since the record is its own.
func TestWordOfIssuer(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		o := new(oracle)
		w.over = func(c name.Council, net wire.Network) wire.Network {
			if c != northmoor {
				return net
			}
			o.Network = net
			return o
		}
		all := w.trio(t, "one", "two")
		all.later(10 * time.Minute)
		if got := all.tracing(); got.Since.IsZero() || !got.At.IsZero() {
			t.Errorf("of a program of before: %+v", got)
		}
		asked := 0
		signed := func(by name.Council, edit func(*event.OnwardGone)) func(q *wirepb.OnwardQuestion) *wirepb.OnwardAnswer {
			return func(q *wirepb.OnwardQuestion) *wirepb.OnwardAnswer {
				asked++
				v := q.GetVersions()
				said := event.OnwardGone{
					Agreement: name.Agreement(q.GetAgreement()), Version: 1, To: hexwell, Under: name.Agreement(q.GetUnder()),
					Versions: []event.GoneVersion{{Record: name.RecordFrom([16]byte(v)), Hash: [32]byte(v[16:48]), Since: 1, Known: true}},
				}
				if edit != nil {
					edit(&said)
				}
				jws, _ := signedEvent(t, event.KindOnwardGone, said.Body(), by, w.rings[by], w.rings[by])
				return &wirepb.OnwardAnswer{Event: jws, Looked: uint32(len(v) / wirepb.OnwardVersionSize)}
			}
		}
		truth := signed(northmoor, nil)
		for _, c := range []struct {
			what   string
			answer func(q *wirepb.OnwardQuestion) *wirepb.OnwardAnswer
		}{
			{"who passed it on signed it", signed(saltby, nil)},
			{"it is to another", signed(northmoor, func(g *event.OnwardGone) { g.To = saltby })},
			{"it is of another agreement", signed(northmoor, func(g *event.OnwardGone) { g.Agreement = "northmoor.gov.uk/other" })},
			{"it came by another", signed(northmoor, func(g *event.OnwardGone) { g.Under = "saltby.gov.uk/other" })},
			{"it is about another version", signed(northmoor, func(g *event.OnwardGone) { g.Versions[0].Hash[0] ^= 1 })},
			{"it is about more than was asked", func(q *wirepb.OnwardQuestion) *wirepb.OnwardAnswer {
				a := truth(q)
				a.Looked++
				return a
			}},
			{"it is no word of its kind", func(q *wirepb.OnwardQuestion) *wirepb.OnwardAnswer {
				a := truth(q)
				a.Event, _ = signedEvent(t, event.KindErasureOrder, map[string]any{}, northmoor, w.rings[northmoor], w.rings[northmoor])
				return a
			}},
			{"it refuses", func(q *wirepb.OnwardQuestion) *wirepb.OnwardAnswer {
				asked++
				return &wirepb.OnwardAnswer{Code: "not-agreed", Reason: "no"}
			}},
		} {
			o.speak(c.answer)
			before := asked
			all.day()
			if got := all.tracing(); asked == before || !got.At.IsZero() || len(all.kept()) != 2 {
				t.Errorf("%s: asked %d times, %+v, and %v are held", c.what, asked-before, got, all.kept())
			}
			if asked > before+1 {
				t.Errorf("%s: asked %d times", c.what, asked-before)
			}
		}

		// One that says so much in a day is asked about the rest on the next.
		var about [][]byte
		o.speak(func(q *wirepb.OnwardQuestion) *wirepb.OnwardAnswer {
			if about = append(about, q.GetVersions()); len(about) == 2 {
				return &wirepb.OnwardAnswer{Code: "too-often", Reason: "more tomorrow"}
			}
			return &wirepb.OnwardAnswer{Looked: 1}
		})
		all.day()
		if len(about) != 2 || !all.tracing().At.IsZero() {
			t.Fatalf("asked %d times, and it stands at %+v", len(about), all.tracing())
		}
		all.day()
		if len(about) != 3 || !bytes.Equal(about[1], about[2]) || all.tracing().At.IsZero() {
			t.Errorf("asked %d times, the last about other versions or in vain: %+v", len(about), all.tracing())
		}
		o.speak(truth)
		all.day()
		if got := all.tracing(); got.At.IsZero() || got.Gone != 1 || got.Quiet != 1 || len(all.kept()) != 1 {
			t.Errorf("by its word: %+v, and %v are held", got, all.kept())
		}
		ended := signed(northmoor, func(g *event.OnwardGone) { g.Over, g.Since, g.Versions = event.OverEnded, 1, nil })
		o.speak(ended)
		all.day()
		if got := all.tracing(); got.Gone != 2 || got.Quiet != 1 || len(all.kept()) != 0 {
			t.Errorf("by its word that all is over: %+v, and %v are held", got, all.kept())
		}
	})
}
