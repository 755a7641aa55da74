package footprint

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// propose has the leader propose groups as they are, as one that checks nothing
// would.
func (w *fens) propose(groups ...group) reply {
	w.t.Helper()
	c := command{version: 1, kind: commandBatch, at: 1, groups: groups}
	future := w.leader().raft.Apply(c.encode(), time.Second)
	if err := future.Error(); err != nil {
		w.t.Fatal(err)
	}
	return future.Response().(reply)
}

// TestLeaderThatChecksNothing: what a leader lets through every member refuses,
// alike.
func TestLeaderThatChecksNothing(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		a, b := places[0], places[1]
		good := w.token(a, "good", 1, tlog.Hash{})
		stranger := places[5]
		other := parish(t, "2.0.0")
		for _, c := range []struct {
			what string
			g    group
			rule string
		}{
			{"another's entry", w.sealed(group{contributor: b, entries: []Entry{good}}), RuleIssuer},
			{"a council that is no member", w.sealed(group{contributor: stranger, entries: []Entry{w.token(stranger, "x", 1, tlog.Hash{})}}), RuleMember},
			{"a standard not adopted", w.sealed(group{contributor: a, entries: []Entry{token(t, w.rings[a], other, a, "x", 1, tlog.Hash{})}}), RuleStandard},
			{"no token", group{contributor: a, entries: []Entry{{Token: []byte("nonsense")}}}, "form"},
			{"a page out of order", w.sealed(group{contributor: a, agreement: "northmoor.gov.uk/items", since: 7, cursor: 9, entries: []Entry{good}}), RuleOrder},
			{"an event of no kind", group{contributor: a, entries: []Entry{w.event(a, "gossip", map[string]any{"footprint": string(fensName)})}}, "kind of event"},
			{"another footprint's event", group{contributor: a, entries: []Entry{w.event(a, event.KindFootprintChange, event.FootprintChange{Footprint: "wolds.example", Number: 1, Change: event.ChangeRemove, Council: b}.Body())}}, RuleOther},
			{"an event with a member that nobody knows", group{contributor: a, entries: []Entry{w.event(a, event.KindFootprintAgreed, map[string]any{
				"footprint": string(fensName), "entry": (tlog.Hash{}).String(), "more": "x"})}}, "event body is malformed: footprint-agreed: / has a member that is not known"},
			{"a second founding", group{contributor: b, entries: []Entry{w.event(b, event.KindFootprintFounded, event.FootprintFounded{Footprint: fensName, Member: string(w.book[b].YAML()), Incarnation: strings.Repeat("a", 26)}.Body())}}, RuleFounded},
			{"joining uninvited", group{contributor: stranger, entries: []Entry{w.event(stranger, event.KindFootprintJoined, event.FootprintJoined{Footprint: fensName, Incarnation: strings.Repeat("a", 26), Speaks: 1}.Body())}}, RuleNotInvited},
		} {
			if got := w.propose(c.g).outcomes[0][0]; got.Code != Refused || got.Rule != c.rule && c.rule != "form" {
				t.Errorf("%s: %+v, want refused by %q", c.what, got, c.rule)
			}
		}
		w.same()
		if got := w.propose(w.sealed(group{contributor: a, entries: []Entry{good}})).outcomes[0][0]; got.Code != Accepted {
			t.Errorf("an honest entry: %+v", got)
		}
		// What the contributor itself signs twice is evidence against it.
		twin := w.token(a, "good", 1, tlog.Hash{}, "ward", "Y")
		if got := w.propose(w.sealed(group{contributor: a, entries: []Entry{twin}})).outcomes[0][0]; got.Rule != RuleTwice {
			t.Errorf("a second version 1: %+v", got)
		}
		w.same()
		for _, c := range places[:3] {
			ev, err := w.at(c).Evidence()
			if err != nil || len(ev) != 1 || ev[0].Council != a || len(ev[0].Signed) != 2 || strings.Contains(strings.Join(ev[0].Signed, ""), "~") {
				t.Errorf("%s holds the evidence %+v, %v", c, ev, err)
				continue
			}
			w.signed(ev[0])
		}
	})
}

// signed checks evidence as somebody does who knows the council's key and nothing else:
// it said each of these, and no two of them are the same.
func (w *fens) signed(e Evidence) {
	w.t.Helper()
	seen := map[tlog.Hash]bool{}
	for _, s := range e.Signed {
		tok, err := record.Parse([]byte(s + "~"))
		if err != nil || tok.Verify(w.rings[e.Council].Record.Public()) != nil || seen[tok.Entry()] {
			w.t.Errorf("not shown to be signed by %s: %.60s…, %v", e.Council, s, err)
			continue
		}
		if v, err := tok.View(); err != nil || v.Council != e.Council || tok.Page() == nil || tok.Page().Footprint != fensName {
			w.t.Errorf("is of another council or footprint: %+v, %v", v, err)
		}
		seen[tok.Entry()] = true
	}
}

// TestBrokenStandard: a record that breaks its standard, let in by a leader that
// does not ask, is in every member's ledger and every member's evidence.
func TestBrokenStandard(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		a := places[0]
		bad := w.token(a, "bad", 1, tlog.Hash{}, "ward", "far too long a ward")
		r, err := w.at(a).Put(t.Context(), bad)
		if err != nil || !strings.HasPrefix(r.Outcomes[0].Rule, "standard: maxLength at /ward") {
			t.Errorf("an honest leader: %+v, %v", r, err)
		}
		if got := w.propose(w.sealed(group{contributor: a, entries: []Entry{bad}})).outcomes[0][0]; got.Code != Accepted {
			t.Errorf("%+v", got)
		}
		w.same()
		for _, c := range places[:3] {
			w.await("evidence", func() bool {
				ev, err := w.at(c).Evidence()
				return err == nil && len(ev) == 1 && ev[0].Council == a && strings.Contains(ev[0].What, "maxLength")
			})
			if ev, err := w.at(c).Evidence(); err != nil || len(ev[0].Signed) != 1 {
				t.Errorf("evidence %+v, %v", ev, err)
			} else {
				w.signed(ev[0])
			}
		}
	})
}

// TestEquivocation: a member that cosigns another tree is found out by everybody
// it tells, and its cosignature counts for nothing.
func TestEquivocation(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		liar := other(w.leader().o.Self)
		to := w.at(places[2])
		w.put(liar, w.token(liar, "one", 1, tlog.Hash{}))
		w.same()
		cp := to.fsm.current().Checkpoint()
		cp.Root[3] ^= 1
		line, _, err := tlog.Cosign(cp, w.rings[liar].Log.Cosigner())
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(cosignature{cp.Size, cp.Root, string(line)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.at(liar).ask(t.Context(), places[2], askCosign, b); err == nil {
			t.Error("another tree's cosignature was taken")
		}
		ev, err := to.Evidence()
		if err != nil || len(ev) != 1 || ev[0].Council != liar || len(ev[0].Signed) != 2 {
			t.Fatalf("evidence: %+v, %v", ev, err)
		}
		// Anybody can check it: both are notes, and the first is the liar's.
		got, _, err := tlog.OpenCosigned([]byte(ev[0].Signed[0]), fensName.Origin(), 1, to.fsm.state.Load().members[liar].witness)
		if err != nil || !tlog.Fork(got, to.fsm.current().Checkpoint()) {
			t.Errorf("the evidence shows %+v, %v", got, err)
		}
		// A signature that does not verify, and one in another's name.
		if _, err := w.at(liar).ask(t.Context(), places[2], askCosign, bytes.Replace(b, []byte(`"line":"— `+string(liar)), []byte(`"line":"— `+string(places[2])), 1)); err == nil {
			t.Error("another's cosignature was taken")
		}
		w.await("a checkpoint counts all the same", func() bool {
			c, _ := to.Checkpoint()
			return c.Size == to.fsm.current().Checkpoint().Size && c.Root == to.fsm.current().Checkpoint().Root
		})
		if !strings.Contains(to.Status().Words, "evidence") {
			t.Errorf("status says nothing of it: %s", to.Status().Words)
		}
	})
}

// TestCheckpointAhead: a checkpoint of entries that this member has not applied yet does
// not count here, whoever cosigned it: what is read here up to it would lack them.
func TestCheckpointAhead(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		to := w.at(places[2])
		ahead := to.fsm.current().Checkpoint()
		ahead.Size++
		for _, by := range places[:2] {
			line, _, err := tlog.Cosign(ahead, w.rings[by].Log.Cosigner())
			if err != nil {
				t.Fatal(err)
			}
			if err := to.addCosignature(by, cosignature{ahead.Size, ahead.Root, string(line)}); err != nil {
				t.Fatal(err)
			}
		}
		if cp, _ := to.Checkpoint(); cp.Size > to.Size() {
			t.Errorf("a checkpoint of %d entries counts at a member that has %d", cp.Size, to.Size())
		}
	})
}

// TestStrangers: who is no member is answered nothing but the checkpoint, and a
// member nothing in another's name.
func TestStrangers(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		stranger := &Footprint{o: w.options(places[4]), sending: make(chan struct{}, 1)}
		stranger.o.defaults()
		stranger.contact = map[name.Council]contact{}
		defer func() { w.nodes[places[4]].Close() }()
		for _, ask := range []byte{askPut, askRead, askCosign, askSelf} {
			if _, err := stranger.ask(t.Context(), places[0], ask, nil); err == nil {
				t.Errorf("ask %d of a stranger was answered", ask)
			}
		}
		if _, err := stranger.ask(t.Context(), places[0], askCheckpoint, nil); err != nil {
			t.Errorf("the checkpoint is for everybody: %v", err)
		}
		// Raft answers nobody but members, and only for the replica that is meant.
		for _, g := range []greeting{
			{fensName, serverID(places[4], strings.Repeat("a", 26)), w.at(places[0]).server()},
			{fensName, w.at(places[1]).server(), w.at(places[0]).server()},
			{"wolds.example", serverID(places[4], strings.Repeat("a", 26)), w.at(places[0]).server()},
		} {
			if why := greet(t, w, places[4], places[0], g); why == "" {
				t.Errorf("greeting %+v was taken", g)
			}
		}
		if why := greet(t, w, places[1], places[0], greeting{fensName, w.at(places[1]).server(), serverID(places[0], strings.Repeat("b", 26))}); why == "" {
			t.Error("a replica that is not there any more was asked for its vote, and answered")
		}
		g := group{contributor: places[1], entries: []Entry{w.token(places[1], "x", 1, tlog.Hash{})}}
		if _, err := w.at(places[2]).ask(t.Context(), places[0], askPut, g.append(nil)); err == nil {
			t.Error("entries in another's name were taken")
		}
		ev, err := w.at(places[0]).Evidence()
		if err != nil || !slices.ContainsFunc(ev, func(e Evidence) bool { return e.Council == places[2] }) {
			t.Errorf("no evidence of it: %+v, %v", ev, err)
		}
	})
}

func greet(t *testing.T, w *fens, from, to name.Council, g greeting) string {
	t.Helper()
	s, err := w.nodes[from].Open(t.Context(), to, raftProtocol)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	b, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	bw := bufio.NewWriter(s)
	if err := errors.Join(wire.WriteFrame(bw, b), bw.Flush()); err != nil {
		t.Fatal(err)
	}
	answer, err := wire.ReadFrame(bufio.NewReader(s), maxGreeting)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// TestForgedSnapshot: a snapshot that does not extend what the member holds is
// not installed, however well it is made.
func TestForgedSnapshot(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		c := places[1]
		w.put(c, w.token(c, "real", 1, tlog.Hash{}))
		w.same()
		forged, err := ledger.OpenReplica(ledger.ReplicaOptions{Dir: t.TempDir(), Name: fensName})
		if err != nil {
			t.Fatal(err)
		}
		defer forged.Close()
		err = forged.Apply(1_000_000, func(tx *ledger.ReplicaTx) error {
			for range 50 {
				tx.Append(tlog.Hash{1}, encodeStored(storedEvent, 0, 0, []byte("x")))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := forged.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		before, _ := w.digest(c)
		if err := w.at(c).fsm.Restore(noClose{&b}); err == nil {
			t.Error("it was installed")
		}
		if after, _ := w.digest(c); !bytes.Equal(before, after) {
			t.Error("the replica changed")
		}
		w.put(c, w.token(c, "still", 1, tlog.Hash{}))
		w.same()
	})
}

type noClose struct{ *bytes.Buffer }

func (noClose) Close() error { return nil }

// TestNewerCommand: a member does not take a command it does not know into its
// log; were one committed it would stop rather than skip it, say so, and not
// let its log be cut.
func TestNewerCommand(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		newer := []byte{newestFormat + 1, 1, 0, 0, 0, 0, 0, 0, 0, 0}
		l := w.leader()
		if err := w.append(l, other(l.o.Self), raft.LogCommand, newer); err == nil || !strings.Contains(err.Error(), "upgraded") {
			t.Errorf("a newer command was taken into the log: %v", err)
		}
		before := l.fsm.current().Applied()
		if r, ok := l.fsm.Apply(&raft.Log{Index: before + 1, Term: 1, Type: raft.LogCommand, Data: newer}).(error); !ok {
			t.Errorf("it was applied: %v", r)
		}
		if _, err := l.Put(t.Context(), w.token(l.o.Self, "x", 1, tlog.Hash{})); !errors.Is(err, ErrStopped) {
			t.Errorf("it takes writes: %v", err)
		}
		if l.fsm.current().Applied() != before || !strings.Contains(l.Status().Words, "upgraded") {
			t.Errorf("at %d: %s", l.fsm.current().Applied(), l.Status().Words)
		}
		if _, err := l.fsm.Snapshot(); err == nil {
			t.Error("it takes a snapshot")
		}
	})
}

// append sends a member an entry of raft's log as from a leader of a later term.
func (w *fens) append(from *Footprint, to name.Council, kind raft.LogType, data []byte) error {
	w.t.Helper()
	f := w.at(to)
	last, err := f.logs.LastIndex()
	if err != nil {
		w.t.Fatal(err)
	}
	var prev raft.Log
	if err := f.logs.GetLog(last, &prev); err != nil {
		w.t.Fatal(err)
	}
	var resp raft.AppendEntriesResponse
	return from.trans.AppendEntries(raft.ServerID(f.server()), raft.ServerAddress(f.server()), &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte(from.server()), Addr: []byte(from.server())},
		Term:      prev.Term + 5, PrevLogEntry: last, PrevLogTerm: prev.Term,
		Entries: []*raft.Log{{Index: last + 1, Term: prev.Term + 5, Type: kind, Data: data}}, LeaderCommitIndex: last + 1,
	}, &resp)
}

// TestRaftMessages: a member that sends raft what raft makes a panic of harms
// nobody but itself.
func TestRaftMessages(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		liar := w.at(places[1])
		for i := range 3 {
			w.put(places[0], w.token(places[0], fmt.Sprint("item-", i), 1, tlog.Hash{}))
		}
		w.same()
		for what, c := range map[string]struct {
			kind raft.LogType
			data []byte
		}{
			"a configuration that is none": {raft.LogConfiguration, []byte{0xff, 0x13, 0x37}},
			"no servers":                   {raft.LogConfiguration, raft.EncodeConfiguration(raft.Configuration{})},
			"a stranger as server":         {raft.LogConfiguration, raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: "x", Address: "y"}}})},
			"an unknown kind":              {200, nil},
			"an old kind":                  {raft.LogAddPeerDeprecated, []byte{0xff}},
			"nonsense":                     {raft.LogCommand, []byte("nonsense")},
		} {
			if err := w.append(liar, places[2], c.kind, c.data); err == nil {
				t.Errorf("%s was taken", what)
			}
		}
		// What is applied cannot be overwritten, however late the term.
		victim := w.at(places[2])
		applied := victim.fsm.current().Applied()
		var resp raft.AppendEntriesResponse
		err := liar.trans.AppendEntries(raft.ServerID(victim.server()), raft.ServerAddress(victim.server()), &raft.AppendEntriesRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: 3}, Term: 90, PrevLogEntry: applied - 1, PrevLogTerm: 2,
			Entries: []*raft.Log{{Index: applied, Term: 90, Type: raft.LogCommand, Data: command{version: 1, kind: commandMark}.encode()}},
		}, &resp)
		if err == nil {
			t.Error("an applied entry was replaced")
		}
		err = liar.trans.InstallSnapshot(raft.ServerID(victim.server()), raft.ServerAddress(victim.server()), &raft.InstallSnapshotRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: 3}, SnapshotVersion: 1, Term: 90, LastLogIndex: 1_000_000, LastLogTerm: 90,
			Configuration: []byte{0xff, 1, 2, 3}, Size: 5,
		}, &raft.InstallSnapshotResponse{}, strings.NewReader("hello"))
		if err == nil {
			t.Error("a snapshot with a configuration that is none was taken")
		}
		w.put(places[0], w.token(places[0], "after", 1, tlog.Hash{}))
		w.same()
	})
}

// TestMembers: joining, leaving, one change at a time, never fewer than three,
// never more than twelve; and a partition in the middle of a change.
func TestMembers(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		ctx := t.Context()
		a, b, c, d := places[0], places[1], places[2], places[3]
		var r *Refusal
		if _, err := w.at(b).Remove(ctx, c); !errors.As(err, &r) || r.Rule != RuleFew {
			t.Errorf("two would be left: %v", err)
		}
		if _, err := w.at(b).Invite(ctx, d); err != nil {
			t.Fatal(err)
		}
		if _, err := w.at(a).Invite(ctx, places[4]); !errors.As(err, &r) || r.Rule != RuleOneChange {
			t.Errorf("two changes at a time: %v", err)
		}
		if _, err := Join(ctx, w.options(d), a, b); err == nil {
			t.Error("joined before a majority agreed")
		}
		w.gen[d]++
		if _, err := w.at(a).Agree(ctx, places[4]); err == nil {
			t.Error("agreed to what is not proposed")
		}
		// The majority agrees while one member is cut off, who learns of it later.
		w.world.Cut(a, c)
		w.world.Cut(b, c)
		if _, err := w.at(a).Agree(ctx, d); err != nil {
			t.Fatal(err)
		}
		f, err := Join(ctx, w.options(d), a, b)
		if err != nil {
			t.Fatal(err)
		}
		w.set(d, f)
		w.await("it votes", func() bool { return w.voters() == 4 })
		w.world.Heal(a, c)
		w.world.Heal(b, c)
		w.put(d, w.token(d, "mine", 1, tlog.Hash{}))
		w.same()
		t.Log(w.at(c).Status().Words)
		// One leaves: it asks, the others agree, raft lets it go.
		if _, err := w.at(b).Remove(ctx, b); err != nil {
			t.Fatal(err)
		}
		for _, o := range []name.Council{a, c} {
			if _, err := w.at(o).Agree(ctx, b); err != nil {
				t.Fatal(err)
			}
		}
		w.await("it is gone", func() bool {
			l := w.leader()
			return l != nil && l.o.Self != b && !slices.ContainsFunc(l.raft.GetConfiguration().Configuration().Servers, func(s raft.Server) bool {
				return strings.HasPrefix(string(s.ID), string(b))
			})
		})
		if _, err := w.at(a).Put(ctx, w.token(a, "after", 1, tlog.Hash{})); err != nil {
			t.Error(err)
		}
		w.stop(b)
		w.same()
	})
}

// TestLeaverLearns: a member that cannot be reached while the others agree that
// it leaves learns of it once it can be reached. One that stays away is removed
// all the same, and told by the members when it comes back.
func TestLeaverLearns(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(5)
		others := places[:3]
		leave := func(c name.Council) {
			t.Helper()
			if _, err := w.at(c).Remove(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if l := w.leader(); l != nil && l.o.Self == c {
				if err := l.Transfer(others[0]); err != nil {
					t.Fatal(err)
				}
			}
			w.await("another leads", func() bool {
				l := w.leader()
				return l != nil && l.o.Self != c
			})
			for _, o := range places {
				w.world.Cut(o, c)
			}
			for _, o := range others {
				if err := w.at(o).catchUp(t.Context()); err != nil {
					t.Fatal(err)
				}
				if w.at(o).fsm.state.Load().Open == nil {
					break // a majority has agreed
				}
				if _, err := w.at(o).Agree(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			if w.at(c).left() {
				t.Fatalf("%s knows that it left, and nothing reaches it", c)
			}
		}
		leave(places[4])
		time.Sleep(time.Second)
		for _, o := range places {
			w.world.Heal(o, places[4])
		}
		w.await("who left has applied it", w.at(places[4]).left)
		w.await("the others let it go", func() bool { return w.voters() == 4 })
		w.stop(places[4])

		leave(places[3])
		start := time.Now()
		w.await("the others let go who cannot be reached", func() bool { return w.voters() == 3 })
		if d := time.Since(start); d > leaveWithin+5*time.Second {
			t.Errorf("it took %s", d)
		}
		time.Sleep(time.Minute) // whatever was on its way to it is lost
		if w.at(places[3]).Out() {
			t.Error("it knows that it is out, and nobody told it")
		}
		for _, o := range places {
			w.world.Heal(o, places[3])
		}
		w.await("it is told that it is out", w.at(places[3]).Out)
		if w.at(places[3]).left() {
			t.Error("it was sent what its members share after it was let go")
		}
		for _, o := range others {
			if w.at(o).Out() {
				t.Errorf("%s believes that it is out", o)
			}
		}
	})
}

// TestClocks: members whose clocks jump, and disagree by years, go on.
func TestClocks(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		var jump atomic.Int64
		shift := map[name.Council]time.Duration{places[0]: 9 * 365 * 24 * time.Hour, places[2]: 30 * 365 * 24 * time.Hour}
		w.tune = func(o *Options) {
			d := shift[o.Self]
			o.Now = func() time.Time { return time.Now().Add(d + time.Duration(jump.Load())) }
		}
		w.form(3)
		for i := range 5 {
			for _, c := range places[:3] {
				w.put(c, w.token(c, fmt.Sprint("item-", i), 1, tlog.Hash{}))
			}
		}
		if err := w.leader().Transfer(""); err != nil {
			t.Fatal(err)
		}
		jump.Store(int64(50 * 365 * 24 * time.Hour)) // while they run
		w.put(places[1], w.token(places[1], "after", 1, tlog.Hash{}))
		w.same()
	})
}

// TestDiskFull: a leader whose disk is nearly full hands the lead on and says so;
// the others go on writing.
func TestDiskFull(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		var tight atomic.Value
		tight.Store(name.Council(""))
		w.tune = func(o *Options) {
			self := o.Self
			o.free = func(string) (uint64, error) {
				if tight.Load() == self {
					return 0, nil
				}
				return 1 << 40, nil
			}
		}
		w.form(3)
		full := w.leader()
		tight.Store(full.o.Self)
		from := other(full.o.Self)
		w.await("the lead is handed on", func() bool {
			ctx, cancel := within(t, 5*time.Second)
			defer cancel()
			_, err := w.at(from).Put(ctx, w.token(from, "x", 1, tlog.Hash{}))
			if err != nil && !errors.Is(err, ErrFull) && !errors.Is(err, ErrUnavailable) {
				t.Fatalf("refused with %v", err)
			}
			return err == nil
		})
		if l := w.leader(); l == nil || l == full {
			t.Error("a full member leads")
		}
		if s := w.at(from).Status(); !strings.Contains(s.Words, "disk is nearly full") {
			t.Errorf("status: %s", s.Words)
		}
		if got, want := full.fsm.current().Applied(), w.leader().fsm.current().Applied(); got >= want {
			t.Errorf("a full member went on to %d of %d", got, want)
		}
		w.put(from, w.token(from, "y", 1, tlog.Hash{}))
		tight.Store(name.Council("")) // somebody made room
		w.same()
	})
}
