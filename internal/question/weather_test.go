package question_test

import (
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/question"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/api"
)

// A question is logged once on either side, whatever is lost on the way.
func TestLookupInBadWeather(t *testing.T) {
	a, b, w := newWorld(t)
	a.put(person("C-1", "AB123456C", true))
	doc := text(t, "cases", agreement.Lookup, nil)
	w.agreed(t, doc)

	var mu sync.Mutex
	var plan []func(w wire.Write) wire.Fault // for each stream, in order
	streams := map[uint64]int{}
	w.net.OnWrite(func(w wire.Write) wire.Fault {
		mu.Lock()
		defer mu.Unlock()
		k, ok := streams[w.Stream]
		if !ok {
			k = len(streams)
			streams[w.Stream] = k
		}
		if k < len(plan) {
			return plan[k](w)
		}
		return wire.None
	})
	weather := func(p ...func(w wire.Write) wire.Fault) {
		mu.Lock()
		defer mu.Unlock()
		clear(streams)
		plan = p
	}
	when := func(opener bool, serial int, f wire.Fault) func(wire.Write) wire.Fault {
		return func(w wire.Write) wire.Fault {
			if w.Opener == opener && w.Serial >= serial {
				return f
			}
			return wire.None
		}
	}
	asks := func(f wire.Fault) func(wire.Write) wire.Fault { return when(true, 0, f) }
	answer := func(f wire.Fault) func(wire.Write) wire.Fault { return when(false, 0, f) }
	receipt := func(f wire.Fault) func(wire.Write) wire.Fault { return when(true, 1, f) }
	req := question.Request{Agreement: doc.Name, Field: "/number", Value: "AB123456C", Because: "case 1"}
	for i, p := range [][]func(wire.Write) wire.Fault{
		{asks(wire.Lost), answer(wire.Lost)},
		{asks(wire.Unsure), asks(wire.Truncated(9))},
		{answer(wire.Truncated(100)), answer(wire.Lost)},
	} {
		weather(p...)
		if got, err := b.Lookup(t.Context(), b.net, req); err != nil || len(got.Records) != 1 {
			t.Errorf("%d: %+v, %v", i, got, err)
		}
		if counted, answered := a.asked(doc); counted != i+1 || answered != i+1 {
			t.Errorf("%d: %d counted and %d answered, want %d", i, counted, answered, i+1)
		}
	}
	// It arrives, and the receipt for it does not.
	weather(receipt(wire.Lost))
	if got, err := b.Lookup(t.Context(), b.net, req); err != nil || len(got.Records) != 1 || got.Receipt {
		t.Errorf("without a receipt: %+v, %v", got, err)
	}
	// Nothing gets through; later the same question does.
	weather(answer(wire.Lost), answer(wire.Lost), answer(wire.Lost))
	_, err := b.Lookup(t.Context(), b.net, req)
	if kind(err) != api.Unreachable {
		t.Fatalf("no answer: %v", err)
	}
	weather()
	req.Question = regexp.MustCompile(`--question ([0-9a-f]{32})`).FindStringSubmatch(err.(*api.Error).Try)[1]
	if got, err := b.Lookup(t.Context(), b.net, req); err != nil || len(got.Records) != 1 || got.Question.String() != req.Question {
		t.Errorf("asked again: %+v, %v", got, err)
	}
	if counted, answered := a.asked(doc); counted != 5 || answered != 5 {
		t.Errorf("%d counted and %d answered, want 5", counted, answered)
	}
	req.Because = "another reason"
	if _, err := b.Lookup(t.Context(), b.net, req); kind(err) != api.Conflict || !strings.Contains(err.Error(), "for another reason") {
		t.Error(err)
	}
}
