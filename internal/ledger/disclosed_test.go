package ledger_test

import (
	"bytes"
	"fmt"
	"github.com/stile-exchange/stile/internal/agreement"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// peopled is the parish standard where it says that /phone names a person, and each of
// /also too.
func peopled(t testing.TB) *standard.Standard {
	t.Helper()
	s, err := standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte(`name: standards.example/parish-item
version: 1.0.1
title: Parish item
status: live
key: [/reference]
classes: {/reference: open, /ward: internal, /scores/*: internal}
persons: {/phone: phone, /also/*/phone: phone}
`)},
		"schema.json": {Data: []byte(`{"type":"object","required":["reference"],"properties":{"reference":{"type":"string"},"phone":{"type":"string"},"also":{"type":"array"}}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A history is a random walk over all that the disclosure index follows from.
type history struct {
	t    *testing.T
	r    *rand.Rand
	l    *ledger.Ledger
	std  *standard.Standard
	feed *ledger.Feed
	// copied to saltby up to cursor; w follows, or is nil
	cursor uint64
	w      *ledger.Follower
	asked  *ledger.Feed
	n      byte // questions asked
	text   int  // version of the agreement
	named  map[string]map[name.Record]bool
}

func (h *history) step() {
	t, l := h.t, h.l
	switch n := h.r.IntN(20); {
	case n < 9:
		var offers []*ledger.Offer
		for range 1 + h.r.IntN(4) {
			phone := fmt.Sprint("01 2-", h.r.IntN(5))
			body := item(fmt.Sprint("r", h.r.IntN(25)), string(rune('X'+h.r.IntN(2))), fmt.Sprint(h.r.IntN(3)))
			body["phone"] = phone
			who := []string{phone}
			if h.r.IntN(3) == 0 {
				body["also"] = []any{map[string]any{"phone": "9"}, "8", map[string]any{}}
				who = append(who, "9")
			}
			o, err := l.Offer(h.std, body)
			if err != nil {
				t.Fatal(err)
			}
			offers = append(offers, o)
			if err := l.Write(t.Context(), offers...); err != nil {
				t.Fatal(err)
			}
			res, err := o.Result()
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range who {
				if h.named[p] == nil {
					h.named[p] = map[name.Record]bool{}
				}
				h.named[p][res.Record] = true
			}
			offers = nil
		}
	case n < 11:
		var some []name.Record
		for _, m := range h.named {
			some = append(some, slices.Collect(maps.Keys(m))...)
		}
		if len(some) > 0 {
			id := some[h.r.IntN(len(some))]
			_ = l.Write(t.Context(), l.OfferDelete(id)) // it may be gone
			if h.r.IntN(3) == 0 {
				if _, err := l.Erase(t.Context(), id, "asked for", false); err != nil {
					t.Fatal(err)
				}
				for _, m := range h.named {
					delete(m, id)
				}
			}
		}
	case n < 15:
		p, err := l.Page(h.feed, h.cursor)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Disclose(t.Context(), h.feed, saltby, p.Items, h.w); err != nil {
			t.Fatal(err)
		}
		h.cursor = p.Cursor
	case n < 16:
		if h.w == nil {
			h.w = l.Follow(h.feed, saltby)
		} else {
			h.w.Stop()
			h.w = nil
		}
	case n < 18:
		h.n++
		q := question(lookupOfTwo(t), h.n, "/reference", fmt.Sprint("r", h.r.IntN(25)))
		q.By = []name.Council{saltby, hexwell}[h.r.IntN(2)]
		q.PerDay = 1000 // more than a walk has steps
		if _, err := ask(t, l, h.asked, q); err != nil {
			t.Fatal(err)
		}
	case n < 19:
		var kind string
		var body map[string]any
		list := []uint64{h.r.Uint64N(l.Size()), l.Size() - 1}
		switch h.r.IntN(4) {
		case 3:
			kind, body = event.KindReceipt, event.Receipt{Agreement: "saltby.gov.uk/items", From: saltby, Size: 1000, Cursor: 900, Held: list}.Body()
		case 0:
			kind, body = event.KindFootprintPut, event.FootprintPut{Footprint: "fens.example", Entries: list}.Body()
		case 1:
			kind, body = event.KindFootprintDisclosure, event.FootprintDisclosure{Footprint: "fens.example", Disclosure: event.Disclosure{
				Agreement: "fens.example/items", Version: 1, To: hexwell, Entries: list}}.Body()
		default:
			kind, body = event.KindFootprintContributed, event.FootprintContributed{
				Agreement: "northmoor.gov.uk/items", Version: 1, Footprint: "fens.example", Held: list[:1], HeldAt: []uint64{1}, Withdrawn: list[1:], WithdrawnAt: []uint64{2}}.Body()
		}
		if _, _, err := l.AppendNotice(t.Context(), kind, body); err != nil {
			t.Fatal(err)
		}
	default:
		h.w.Stop()
		h.text, h.w, h.cursor = h.text+1, nil, 0
		next := openFeed(t, l, sharing(t, "items", h.text, `record.ward == "`+string(rune('X'+h.r.IntN(2)))+`"`, "/ward"))
		if err := l.Supersede(t.Context(), h.feed, next); err != nil {
			t.Fatal(err)
		}
		h.feed = next
	}
}

// What was entered with each entry is what is found in the whole log, and both are what a
// plain reading of the log gives.
func TestDisclosureIndex(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dir, keyring := t.TempDir(), ring(t)
	l := open(t, dir, keyring)
	h := &history{t: t, r: rand.New(rand.NewPCG(seed, 2)), l: l, std: peopled(t), text: 1, named: map[string]map[name.Record]bool{}}
	adopt(t, l, h.std)
	h.feed = openFeed(t, l, sharing(t, "items", 1, `record.ward == "X"`, "/ward"))
	h.asked = openFeed(t, l, lookupOfTwo(t))
	for range 700 { // that each kind of entry is made, almost surely
		h.step()
	}
	h.check(l)
	was := l.DisclosureIndex()
	if err := l.RebuildDisclosures(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, was, l.DisclosureIndex())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// Of another version, and damaged: it is made anew.
	n, err := ledger.Alter(dir, func(key, value []byte) []byte {
		switch {
		case bytes.Equal(key, []byte("Tv")):
			return []byte{0}
		case bytes.HasPrefix(key, []byte("Td")):
			return make([]byte, 8)
		}
		return nil
	})
	if err != nil || n < 10 {
		t.Fatalf("altered %d keys: %v", n, err)
	}
	l = open(t, dir, keyring)
	same(t, was, l.DisclosureIndex())
	h.check(l)
}

func same(t *testing.T, was, now map[string]string) {
	t.Helper()
	if len(was) < 100 {
		t.Fatalf("the index has %d keys: the walk made too little", len(was))
	}
	for k, v := range was {
		if w, ok := now[k]; !ok || w != v {
			t.Errorf("key %x was %x and is %x (there: %v)", k, v, w, ok)
		}
	}
	for k := range now {
		if _, ok := was[k]; !ok {
			t.Errorf("key %x was not there", k)
		}
	}
}

// check holds what the index says against the log.
func (h *history) check(l *ledger.Ledger) {
	t := h.t
	letOut, contributed, held, back := map[uint64][]uint64{}, map[uint64][]uint64{}, map[uint64][]uint64{}, map[name.Record][]uint64{}
	var flows []ledger.Flow
	kinds := map[string]int{}
	err := l.View(func(v *ledger.View) error {
		for at := range l.Size() {
			ev, _, err := v.Event(at)
			if err != nil {
				continue
			}
			kinds[ev.Kind]++
			flow := func(to name.Council, a name.Agreement, entries []uint64) {
				flows = append(flows, ledger.Flow{At: time.Unix(ev.IssuedAt, 0).UTC(), Index: at, To: to, Agreement: a})
				for _, e := range entries {
					letOut[e] = append(letOut[e], at)
				}
			}
			switch ev.Kind {
			case event.KindDisclosure:
				d, _ := event.ParseDisclosure(ev.Body)
				flow(d.To, d.Agreement, d.Entries)
			case event.KindAnswer:
				if a, _ := event.ParseAnswer(ev.Body); a.Outcome == event.OutcomeFound {
					flow(a.To, a.Agreement, a.Entries)
				}
			case event.KindFootprintPut:
				p, _ := event.ParseFootprintPut(ev.Body)
				flow(p.Footprint, "", slices.Compact(p.Entries))
			case event.KindFootprintDisclosure:
				d, _ := event.ParseFootprintDisclosure(ev.Body)
				flow(d.To, d.Agreement, nil)
			case event.KindFootprintContributed:
				c, _ := event.ParseFootprintContributed(ev.Body)
				for _, e := range slices.Compact(append(c.Held, c.Withdrawn...)) {
					contributed[e] = append(contributed[e], at)
				}
			case event.KindReceipt:
				c, _ := event.ParseReceipt(ev.Body)
				for _, e := range slices.Compact(c.Held) {
					held[e] = append(held[e], at)
				}
			case event.KindWithdrawal, event.KindErasureOrder:
				w, _ := event.ParseTakenBack(ev.Kind, ev.Body)
				back[w.Record] = append(back[w.Record], at)
			}
		}
		for at := range l.Size() {
			if got, err := v.LetOut(at); err != nil || !slices.Equal(got, letOut[at]) {
				t.Errorf("entry %d was let out by %v (%v), want %v", at, got, err, letOut[at])
			}
			if got, err := v.Contributed(at); err != nil || !slices.Equal(got, contributed[at]) {
				t.Errorf("entry %d was contributed by %v (%v), want %v", at, got, err, contributed[at])
			}
		}
		for at := range l.Size() {
			if got, err := v.ReceiptedBy(saltby, "saltby.gov.uk/items", at); err != nil || !slices.Equal(got, held[at]) {
				t.Errorf("entry %d was receipted by %v (%v), want %v", at, got, err, held[at])
			}
		}
		for r, want := range back {
			if got, err := v.TakenBack(r); err != nil || !slices.Equal(got, want) {
				t.Errorf("record %s was taken back by %v (%v), want %v", r, got, err, want)
			}
		}
		for who, want := range h.named {
			got, err := v.RecordsAbout(standard.Person{Scheme: "phone", Value: who})
			if slices.Sort(got); err != nil || !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
				t.Errorf("%d records are about a person (%v), want %d", len(got), err, len(want))
			}
			if other, err := v.RecordsAbout(standard.Person{Scheme: "other", Value: who}); err != nil || len(other) > 0 {
				t.Errorf("of another scheme: %v, %v", other, err)
			}
		}
		for _, to := range []name.Council{"", saltby, hexwell, "fens.example", "nobody.gov.uk"} {
			for _, under := range []name.Agreement{"", "northmoor.gov.uk/items", "northmoor.gov.uk/asked"} {
				var want []ledger.Flow
				for _, f := range flows {
					if (to == "" || f.To == to) && (under == "" || f.Agreement == under) {
						want = append(want, f)
					}
				}
				// In pages, each from where the one before ended.
				var got []ledger.Flow
				var after ledger.Flow
				for more := true; more; {
					more = false
					n := 0
					err := v.Flows(to, under, after, func(f ledger.Flow) bool {
						if n++; n > 7 {
							more = true
							return false
						}
						got, after = append(got, f), f
						return true
					})
					if err != nil {
						return err
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("to %q under %q: %d flows, want %d", to, under, len(got), len(want))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{event.KindDisclosure, event.KindAnswer, event.KindWithdrawal, event.KindErasure, event.KindFootprintPut, event.KindFootprintDisclosure, event.KindFootprintContributed, event.KindReceipt} {
		if kinds[k] == 0 {
			t.Errorf("the walk made no %s", k)
		}
	}
}

// lookupOfTwo is an agreement under which two councils ask.
func lookupOfTwo(t testing.TB) *agreement.Agreement {
	a := *lookup(t, 1, "X", "/ward")
	a.To = []name.Council{saltby, hexwell}
	return &a
}
