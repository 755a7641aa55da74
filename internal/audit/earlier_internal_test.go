package audit

import (
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestForgedEarlier: where a record was before the council that it was taken over from is
// believed only as far as the log of that council says the same, and the sealed log of the first
// shows it. One wrong word in it, whichever, fails.
func TestForgedEarlier(t *testing.T) {
	id := func(b byte) name.Record { return name.RecordFrom([16]byte{b}) }
	first, between, here, other := id(1), id(2), id(3), id(9)
	std, err := name.ParseStandard("standards.example/item@1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	type world struct {
		earlier    event.TakenEarlier
		said       event.TakenOver // between's
		seal       event.Sealed    // first's
		then, with map[uint64]*record.View
		ours       event.TakenOver
	}
	for what, forge := range map[string]func(*world){
		"":                                   func(*world) {},
		"another record of the first":        func(w *world) { w.earlier.Of[0] = other },
		"another version":                    func(w *world) { w.earlier.Versions[0]++ },
		"another entry":                      func(w *world) { w.earlier.Entries[0]++ },
		"another state of the first log":     func(w *world) { w.earlier.Root[0]++ },
		"another entry of the one between":   func(w *world) { w.earlier.Said++ },
		"another record on the way":          func(w *world) { w.earlier.Through[0] = other },
		"not what an entry before it says":   func(w *world) { w.ours.Of[0] = other },
		"the first names others":             func(w *world) { w.seal.Successors[0].Council = "elsewhere.gov.uk" },
		"the one between changed it at once": func(w *world) { w.with[4].Body = map[string]any{"a": "y"} },
		"the first had another there":        func(w *world) { w.then[7].Record = other },
	} {
		root := tlog.Hash{5}
		body := map[string]any{"a": "x"}
		w := &world{
			earlier: event.TakenEarlier{From: "a.gov.uk", Size: 9, Root: root, By: "b.gov.uk", Said: 5, Of: []name.Record{first}, Versions: []uint64{1}, Entries: []uint64{7}, Through: []name.Record{between}, Records: []name.Record{here}},
			said:    event.TakenOver{From: "a.gov.uk", Size: 9, Root: root, Of: []name.Record{first}, Versions: []uint64{1}, Entries: []uint64{7}, Records: []name.Record{between}, At: []uint64{4}},
			seal:    event.Sealed{Successors: []event.Successor{{Council: "b.gov.uk"}}},
			then:    map[uint64]*record.View{7: {Claims: record.Claims{Record: first, Version: 1, Standard: std}, Body: body}},
			with:    map[uint64]*record.View{4: {Claims: record.Claims{Record: between, Version: 1, Standard: std}, Body: body}},
			ours:    event.TakenOver{From: "b.gov.uk", Of: []name.Record{between}, Records: []name.Record{here}},
		}
		forge(w)
		v := &verifier{contents: &contents{}, council: "c.gov.uk", sheet: newSheet()}
		v.events = []claimed{{index: 1, taken: &w.ours}, {index: 2, earlier: &w.earlier}}
		before := &verifier{contents: &contents{}, council: "a.gov.uk"}
		before.main.Size, before.main.Root = 9, root
		by := &verifier{contents: &contents{}, council: "b.gov.uk", events: []claimed{{index: 5, by: "b.gov.uk", taken: &w.said}}}
		v.judgeEarlier(&v.events[1])
		v.followThrough(before, &w.seal, by, &v.events[1], map[name.Record]bool{here: true}, w.then, w.with)
		if c := v.on(CheckSuccession); (c.failed > 0) != (what != "") || what == "" && c.ok != 2 {
			t.Errorf("%q: %d failed, %d passed", what, c.failed, c.ok)
		}
	}
}
