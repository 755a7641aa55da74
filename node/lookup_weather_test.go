package node_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// startIn founds a node and runs it on a network in memory.
func startIn(t testing.TB, m *wire.Memory, c name.Council) *running {
	t.Helper()
	cfg, err := node.Init(t.Context(), node.InitOptions{Dir: t.TempDir() + "/data", Council: c})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Limits.MinFreeMiB = 16
	n, err := node.Open(cfg, node.Options{Fatal: func(err error) { t.Errorf("%s: %v", c, err) }})
	if err != nil {
		t.Fatal(err)
	}
	return runIn(t, wire.With(context.Background(), m.Node(c)), n)
}

// A question is logged once on either side, whatever is lost on the way.
func TestLookupInBadWeather(t *testing.T) {
	m := wire.NewMemory()
	a, b := startIn(t, m, northmoor), startIn(t, m, saltby)
	introduce(t, a, b)
	offerHousing(t, a, housing("HN-1", "AB123456C", "E07000999"))
	agreed(t, lookupAgreement(northmoor, saltby, 1, caseFields), a, b)

	var mu sync.Mutex
	var plan []func(w wire.Write) wire.Fault // for each stream, in order
	streams := map[uint64]int{}
	m.OnWrite(func(w wire.Write) wire.Fault {
		mu.Lock()
		defer mu.Unlock()
		if w.Protocol != wirepb.LookupProtocol {
			return wire.None
		}
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
	question := func(f wire.Fault) func(wire.Write) wire.Fault { return when(true, 0, f) }
	answer := func(f wire.Fault) func(wire.Write) wire.Fault { return when(false, 0, f) }
	receipt := func(f wire.Fault) func(wire.Write) wire.Fault { return when(true, 1, f) }
	req := node.LookupRequest{Agreement: "northmoor.gov.uk/cases", Field: "/nino", Value: "AB123456C", Because: "case 1"}
	logged := func(n *running) int {
		return len(call(t, n.Questions().List, node.LookupListRequest{}))
	}
	for i, p := range [][]func(wire.Write) wire.Fault{
		{question(wire.Lost), answer(wire.Lost)},
		{question(wire.Unsure), question(wire.Truncated(9))},
		{answer(wire.Truncated(100)), answer(wire.Lost)},
	} {
		weather(p...)
		if got := call(t, b.Questions().Ask, req); len(got.Records) != 1 {
			t.Errorf("%d: %+v", i, got)
		}
		if logged(a) != i+1 || logged(b) != i+1 {
			t.Errorf("%d: logged %d times here and %d times there", i, logged(a), logged(b))
		}
	}
	// It arrives, and the receipt for it does not.
	weather(receipt(wire.Lost))
	if got := call(t, b.Questions().Ask, req); len(got.Records) != 1 || got.Receipt {
		t.Errorf("without a receipt: %+v", got)
	}
	// Nothing gets through; later the same question does.
	weather(answer(wire.Lost), answer(wire.Lost), answer(wire.Lost))
	err := try(t.Context(), b.Questions().Ask, req, nil)
	e, ok := errors.AsType[*node.Error](err)
	if !ok || e.Kind != node.Unreachable {
		t.Fatalf("no answer: %v", err)
	}
	weather()
	req.Question = regexp.MustCompile(`--question ([0-9a-f]{32})`).FindStringSubmatch(e.Try)[1]
	if got := call(t, b.Questions().Ask, req); len(got.Records) != 1 || got.Question != req.Question {
		t.Errorf("asked again: %+v", got)
	}
	if logged(a) != 5 || logged(b) != 5 {
		t.Errorf("logged %d times here and %d times there, want 5", logged(a), logged(b))
	}
	req.Because = "another reason"
	if text := refusedAs(t, node.Conflict, b.Questions().Ask, req); !strings.Contains(text, "for another reason") {
		t.Error(text)
	}
}

// An agreement that stops copying has the receiver delete what it holds.
func TestCopiesBecomeQuestions(t *testing.T) {
	m := wire.NewMemory()
	a, b := startIn(t, m, northmoor), startIn(t, m, saltby)
	introduce(t, a, b)
	offerHousing(t, a, housing("HN-1", "AB123456C", "E07000999"))
	first := strings.Replace(lookupAgreement(northmoor, saltby, 1, caseFields), "mode: lookup", "mode: replicate", 1)
	first = strings.Replace(first, "match: [/nino, /reference]\n", "", 1)
	agreed(t, first, a, b)
	await(t, "saltby holds a copy", func() bool {
		return get(t, b.Status).Holdings == 1
	})
	agreed(t, lookupAgreement(northmoor, saltby, 2, caseFields), a, b)
	await(t, "saltby has deleted it", func() bool {
		return get(t, b.Status).Holdings == 0
	})
	await(t, "northmoor has its receipt", func() bool {
		for _, p := range get(t, a.Status).Partners {
			if p.Outstanding > 0 || p.Held > 0 {
				return false
			}
		}
		return true
	})
	got := call(t, b.Questions().Ask, node.LookupRequest{Agreement: "northmoor.gov.uk/cases", Field: "/nino", Value: "AB123456C", Because: "case 1"})
	if len(got.Records) != 1 {
		t.Errorf("asked: %+v", got)
	}
}
