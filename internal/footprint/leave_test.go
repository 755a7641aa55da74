package footprint

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// lets has the members that are up agree to whoever leaves, as their nodes do by themselves.
func (w *fens) lets(but name.Council) {
	w.t.Helper()
	w.await("the others let "+string(but)+" go", func() bool {
		for _, c := range w.up() {
			if c == but {
				continue
			}
			if err := w.at(c).LetGo(w.t.Context()); err != nil && !errors.Is(err, ErrUnavailable) {
				w.t.Fatal(err)
			}
		}
		for _, c := range w.up() {
			if s := w.at(c).fsm.state.Load(); c != but && s.members[but] != nil {
				return false
			}
		}
		return true
	})
}

// TestLeave: a member leaves by itself, and nobody is held in, down to the last; but not
// while the others would be left without a majority that is up. Below three nothing but
// withdrawals is taken.
func TestLeave(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(5)
		ctx := t.Context()
		first := w.leader().o.Self
		rest := without(places[:5], first)
		w.stop(rest[0])
		w.stop(rest[1])
		if _, err := w.at(first).Leave(ctx); !errors.Is(err, ErrAlone) || !strings.Contains(err.Error(), string(rest[0])) {
			t.Errorf("left four of whom two are up: %v", err)
		}
		// One that does not look is not let go by the others either.
		if _, err := w.at(first).Remove(ctx, first); err != nil {
			t.Fatal(err)
		}
		if err := w.at(rest[2]).catchUp(ctx); err != nil {
			t.Fatal(err)
		}
		if err := w.at(rest[2]).LetGo(ctx); !errors.Is(err, ErrAlone) {
			t.Errorf("let it go: %v", err)
		}
		w.start(rest[0])
		w.start(rest[1])
		w.await("all are up", func() bool { return w.at(first).Status().Up == 5 })
		// It changes its mind, and says it again: the others take their time.
		agrees := func() bool {
			t.Helper()
			if err := errors.Join(w.at(rest[2]).catchUp(ctx), w.at(rest[2]).LetGo(ctx)); err != nil {
				t.Fatal(err)
			}
			return slices.Contains(w.at(rest[2]).fsm.state.Load().Open.Agreed, rest[2])
		}
		if !agrees() {
			t.Error("it does not let who leaves go")
		}
		if _, err := w.at(first).Cancel(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := w.at(first).Leave(ctx); err != nil {
			t.Fatal(err)
		}
		if agrees() {
			t.Error("it agrees as often as it is asked")
		}
		time.Sleep(letGoEvery)
		mine := w.token(rest[3], "mine", 1, tlog.Hash{})
		w.put(rest[3], mine)
		for i, c := range []name.Council{first, rest[0], rest[1], rest[2]} {
			if _, err := w.at(c).Leave(ctx); err != nil { // the first has proposed it already
				t.Fatalf("%s: %v", c, err)
			}
			w.lets(c)
			left := 4 - i
			w.await("raft is of who is left", func() bool { return w.voters() == left })
			w.stop(c)
			if got := w.at(rest[3]).Formed(); got != (left >= MinMembers) {
				t.Errorf("of %d members: formed is %v", left, got)
			}
		}
		last := w.at(rest[3])
		if r, err := last.Put(ctx, w.token(rest[3], "another", 1, tlog.Hash{})); err != nil || r.Outcomes[0].Rule != RuleForming {
			t.Errorf("one that is left takes records: %+v %v", r, err)
		}
		rec := w.rings[rest[3]].RecordID(w.std.Name().Line(), "mine")
		w.put(rest[3], w.event(rest[3], event.KindWithdrawal, event.Withdrawal{Agreement: "saltby.gov.uk/items", Version: 1, Record: rec, Reason: "over"}.Body()))
		var r *Refusal
		if _, err := last.Leave(ctx); !errors.As(err, &r) || r.Rule != RuleLast {
			t.Errorf("the last left: %v", err)
		}
		// Who was a member is waited for, and may come back.
		if a := last.Awaited(); len(a) != 4 || slices.Contains(a, rest[3]) {
			t.Errorf("waits for %v", a)
		}
	})
}

// TestLeaveAsBefore: while a member runs the release before, a footprint keeps three.
func TestLeaveAsBefore(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.tune = func(o *Options) {
			if o.Self == places[0] {
				o.speaks = 2
			}
		}
		w.form(3)
		time.Sleep(3 * upgradeEvery)
		var r *Refusal
		if _, err := w.at(places[1]).Leave(t.Context()); !errors.As(err, &r) || r.Rule != RuleFew {
			t.Errorf("left three of whom one would stop: %v", err)
		}
	})
}
