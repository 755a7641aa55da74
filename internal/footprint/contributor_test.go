package footprint

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	events "github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// letIn has a majority take a council outside in.
func (w *fens) letIn(c name.Council) {
	w.t.Helper()
	w.await(string(c)+" may contribute", func() bool {
		all := true
		for _, m := range w.up() {
			already, err := w.at(m).LetIn(w.t.Context(), c, false)
			if err != nil {
				w.t.Fatalf("%s: %v", m, err)
			}
			all = all && already
		}
		return all
	})
}

// TestContributor: a council outside brings pages of its agreement through any
// member, each once, and takes records back; it can do nothing else.
func TestContributor(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.tune = func(o *Options) { o.SnapshotAfter, o.KeepLog, o.segment = 8, 4, 8<<10 }
		w.form(3)
		a, b, out := places[0], places[1], places[4]
		const agreed = "wickham.gov.uk/items"
		item := w.token(out, "item", 1, tlog.Hash{})
		if _, err := w.passOn(a, out, agreed, 0, 5, item); !isRefusal(err, RuleMember) {
			t.Errorf("before anybody agreed: %v", err)
		}
		w.await("the format is 2", func() bool { return w.leader().speaks() >= 2 })
		w.letIn(out)
		// Sent five times through different members, it is in once.
		var first uint64
		for i := range 5 {
			r, err := w.passOn(places[i%3], out, agreed, 0, 5, item)
			if err != nil || i > 0 && r.Outcomes[0].Code == Accepted {
				t.Fatalf("page, time %d: %+v, %v", i, r, err)
			}
			if i == 0 {
				first = r.Outcomes[0].Entry
			}
		}
		w.same()
		rec := w.rings[out].RecordID(w.std.Name().Line(), "item")
		for _, c := range places[:3] {
			if h, err := w.at(c).Record(out, rec); err != nil || h.Index != first {
				t.Errorf("%s holds %+v, %v", c, h, err)
			}
			if n, err := w.at(c).ContributedBy(out, agreed); err != nil || n != 5 {
				t.Errorf("%s: the cursor is %d, %v", c, n, err)
			}
		}
		if st := w.at(b).Status(); len(st.Contributors) != 1 || st.Contributors[0] != out || len(st.Members) != 3 || st.Needs != 2 {
			t.Errorf("status: %+v", st)
		}

		// A leader that checks nothing has it say what it may not.
		event := func(kind string, body map[string]any) Entry { return w.event(out, kind, body) }
		doc := map[string]any{"agreement": agreed, "version": json.Number("1"), "digest": strings.Repeat("a", 64)}
		page := func(e Entry) group {
			return w.sealed(group{contributor: out, agreement: agreed, since: 5, cursor: 5, entries: []Entry{e}})
		}
		forged := w.token(out, "forged", 1, tlog.Hash{})
		forger := w.sealedBy(a, group{contributor: out, agreement: agreed, since: 5, cursor: 5, entries: []Entry{forged}})
		forger.seal.Key = w.rings[out].Record.ID()
		alone := w.sealed(group{contributor: out, entries: []Entry{item}})
		others := w.sealed(group{contributor: out, agreement: "saltby.gov.uk/items", since: 5, cursor: 5, entries: []Entry{item}})
		for _, c := range []struct {
			what string
			g    group
			rule string
		}{
			{"a record under no agreement", alone, RuleMember},
			{"a page of another's agreement", others, RuleMember},
			{"another's record", page(w.token(a, "item", 1, tlog.Hash{})), RuleIssuer},
			{"a page that somebody else sealed", forger, RuleSeal},
			{"a standard", page(event(events.KindStandardAdopted, map[string]any{"standard": "standards.example/other@1.0.0"})), RuleOutside},
			{"a signature", page(event(events.KindAgreementSignature, doc)), RuleOutside},
			{"an end", page(event(events.KindAgreementEnd, doc)), RuleOutside},
			{"a proposal of its own", page(event(events.KindFootprintChange, events.FootprintChange{Footprint: fensName, Number: 9, Change: events.ChangeRemove, Council: a}.Body())), RuleMember},
			{"an agreement to a change", page(event(events.KindFootprintAgreed, events.FootprintAgreed{Footprint: fensName}.Body())), RuleMember},
			{"joining", page(event(events.KindFootprintJoined, events.FootprintJoined{Footprint: fensName, Incarnation: strings.Repeat("a", 26), Speaks: 1}.Body())), RuleNotInvited},
			{"another agreement's withdrawal", page(event(events.KindWithdrawal, events.Withdrawal{Agreement: "wickham.gov.uk/other", Version: 1, Record: rec, Reason: "over"}.Body())), "withdrawal"},
		} {
			if got := w.propose(c.g).outcomes[0][0]; got.Code != Refused || got.Rule != c.rule {
				t.Errorf("%s: %+v, want refused by %q", c.what, got, c.rule)
			}
		}
		// Nor is a member believed that brings what the contributor did not sign;
		// one that brings it honestly and too late is not blamed.
		if r, err := w.at(other(w.leader().o.Self)).ContributeFor(t.Context(), out, agreed, 5, 6, forger.seal, forged); err != nil || r.Outcomes[0].Rule != RuleSeal {
			t.Errorf("a forged page: %+v, %v", r, err)
		}
		if r, err := w.passOn(other(w.leader().o.Self), out, agreed, 5, 6, forged); err != nil || r.Outcomes[0].Code != Accepted {
			t.Errorf("the same, sealed: %+v, %v", r, err)
		}
		late := group{contributor: places[5], agreement: "dunholt.gov.uk/items", cursor: 1}
		if _, err := w.at(other(w.leader().o.Self)).forward(t.Context(), w.leader().o.Self, late); !isRefusal(err, RuleMember) {
			t.Errorf("a page of nobody: %v", err)
		}
		for _, c := range places[:3] {
			if ev, err := w.at(c).Evidence(); err != nil || len(ev) != 0 {
				t.Errorf("%s holds evidence against somebody: %+v, %v", c, ev, err)
			}
		}
		w.same()

		// Who was away, and who starts again, knows it.
		away := other(w.leader().o.Self)
		w.stop(away)
		for i := range 30 {
			w.put(w.leader().o.Self, w.token(w.leader().o.Self, fmt.Sprint("more-", i), 1, tlog.Hash{}))
		}
		for _, c := range w.up() {
			if err := w.at(c).raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
		w.start(away)
		w.same()
		wd := event(events.KindWithdrawal, events.Withdrawal{Agreement: agreed, Version: 1, Record: rec, Reason: "over"}.Body())
		from, err := w.at(away).ContributedBy(out, agreed)
		if err != nil || from != 6 {
			t.Fatalf("the cursor after a snapshot is %d, %v", from, err)
		}
		if r, err := w.passOn(away, out, agreed, 6, 7, wd); err != nil || r.Outcomes[0].Code != Accepted {
			t.Errorf("the withdrawal: %+v, %v", r, err)
		}
		w.same()
		for _, c := range places[:3] {
			if _, err := w.at(c).Record(out, rec); !errors.Is(err, ledger.ErrNotFound) {
				t.Errorf("%s still has it: %v", c, err)
			}
		}

		// It takes a majority to send it away, and the number of members is no bar.
		if _, err := w.at(a).Remove(t.Context(), out); err != nil {
			t.Fatal(err)
		}
		if _, err := w.at(b).Agree(t.Context(), out); err != nil {
			t.Fatal(err)
		}
		w.same()
		if _, err := w.passOn(b, out, agreed, 7, 8, item); !isRefusal(err, RuleMember) {
			t.Errorf("after it was removed: %v", err)
		}
		if got := w.propose(w.sealed(group{contributor: out, agreement: agreed, since: 7, cursor: 8, entries: []Entry{item}})).outcomes[0][0]; got.Rule != RuleMember {
			t.Errorf("after it was removed: %+v", got)
		}
		time.Sleep(time.Second)
		w.same()
	})
}

func isRefusal(err error, rule string) bool {
	r, ok := errors.AsType[*Refusal](err)
	return ok && r.Rule == rule
}

// TestContributorJoins: one that becomes a member goes on where it was.
func TestContributorJoins(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		w.await("the format is 2", func() bool { return w.leader().speaks() >= 2 })
		out := places[3]
		// Proposed and taken back: the next change need not wait.
		l := w.leader()
		if _, err := l.LetIn(t.Context(), places[4], false); err != nil || l.Proposed() != places[4] {
			t.Fatalf("proposed %s, %v", l.Proposed(), err)
		}
		if r, err := l.Cancel(t.Context()); err != nil || l.Await(t.Context(), r.Position) != nil || l.Proposed() != "" {
			t.Fatalf("proposed %s, %v", l.Proposed(), err)
		}
		w.letIn(out)
		const agreed = "eastmere.gov.uk/items"
		if _, err := w.passOn(places[1], out, agreed, 0, 5, w.token(out, "one", 1, tlog.Hash{})); err != nil {
			t.Fatal(err)
		}
		w.admit(out)
		w.await("it votes", func() bool { return w.voters() == 4 })
		w.same()
		if r, err := w.at(out).Contribute(t.Context(), agreed, 5, 6, w.token(out, "two", 1, tlog.Hash{})); err != nil || r.Outcomes[0].Code != Accepted {
			t.Errorf("as a member: %+v, %v", r, err)
		}
		if cs := w.at(out).Contributors(); len(cs) != 0 {
			t.Errorf("still contributors: %v", cs)
		}
	})
}

// TestLogOfAContributorSetBack: a council whose log was set back withdraws what it lost before
// it brings the record anew, as whichever version it is now. No member takes that for two
// versions that cannot both be; where it forgets to, each of them does. An old page that
// comes late brings nothing back, and what was put by hand stays withdrawn.
func TestLogOfAContributorSetBack(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		a, out := places[0], places[4]
		const agreed = "wickham.gov.uk/items"
		w.await("the format is 3", func() bool { return w.leader().speaks() >= 3 })
		w.letIn(out)
		rec := w.rings[out].RecordID(w.std.Name().Line(), "item")
		first := w.token(out, "item", 1, tlog.Hash{})
		second := w.token(out, "item", 2, entryOf(first.Token))
		wd := w.event(out, events.KindWithdrawal, events.Withdrawal{Agreement: agreed, Version: 1, Record: rec, Reason: "it was lost"}.Body())
		anew := w.token(out, "item", 1, tlog.Hash{}, "ward", "Y")
		bring := func(what string, since, next uint64, want string, es ...Entry) {
			t.Helper()
			r, err := w.passOn(a, out, agreed, since, next, es...)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if got := r.Outcomes[len(es)-1]; got.Rule != want {
				t.Errorf("%s: %+v, want %q", what, got, want)
			}
		}
		evidence := func(want int) {
			t.Helper()
			w.same()
			for _, c := range places[:3] {
				if ev, err := w.at(c).Evidence(); err != nil || len(ev) != want {
					t.Errorf("%s has evidence %+v, %v, want %d", c, ev, err, want)
				}
			}
		}
		bring("at first", 0, 5, "", first)
		bring("a change", 5, 6, "", second)
		bring("after the loss", 6, 7, "", wd, anew)
		evidence(0)
		for _, c := range places[:3] {
			if h, err := w.at(c).Record(out, rec); err != nil || h.Token.Entry() != entryOf(anew.Token) {
				t.Errorf("%s holds %+v, %v", c, h, err)
			}
		}
		bring("a page of before that comes late", 5, 6, RuleOrder, second)
		bring("a second first version, without a word", 7, 8, RuleTwice, w.token(out, "item", 1, tlog.Hash{}, "ward", "Z"))
		evidence(1)
	})
}
