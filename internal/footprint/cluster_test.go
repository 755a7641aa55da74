package footprint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// digest is the hash of all that a member's replica keeps, and the position it
// is of.
func (w *fens) digest(c name.Council) ([]byte, uint64) {
	w.t.Helper()
	for {
		h := sha256.New()
		r := w.at(c).fsm.current()
		at := r.Applied()
		if _, err := r.WriteTo(h); err != nil {
			w.t.Fatal(err)
		}
		if r.Applied() == at {
			return h.Sum(nil), at
		}
	}
}

// TestFootprint: three councils form one, each writes, each reads, and the
// checkpoint counts.
func TestFootprint(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		var last Receipt
		for _, c := range places[:3] {
			var es []Entry
			for i := range 40 {
				es = append(es, w.token(c, fmt.Sprint("item-", i), 1, tlog.Hash{}))
			}
			last = w.put(c, es...)
			again := w.put(c, es[7])
			if again.Outcomes[0].Code != Duplicate || again.Outcomes[0].Entry != last.Outcomes[7].Entry {
				t.Errorf("the same entry again: %+v, want a duplicate of %d", again.Outcomes[0], last.Outcomes[7].Entry)
			}
		}
		for _, c := range places[:3] {
			if err := w.at(c).Await(t.Context(), last.Position); err != nil {
				t.Fatal(err)
			}
			rec := w.rings[places[2]].RecordID(w.std.Name().Line(), "item-39")
			e, err := w.at(c).Record(places[2], rec)
			if err != nil || e.Index != last.Outcomes[39].Entry || e.View.Body["name"] != "somebody" {
				t.Errorf("%s reads %+v, %v", c, e, err)
			}
		}
		w.same()
		w.await("a checkpoint counts", func() bool {
			cp, _ := w.at(places[1]).Checkpoint()
			return cp.Size == w.at(places[1]).fsm.current().Checkpoint().Size
		})
		_, signed := w.at(places[1]).Checkpoint()
		cp, by, err := tlog.VerifyMajority(signed, fensName.Origin(), w.at(places[1]).Witnesses()...)
		if err != nil || len(by) < 2 || cp.Root != w.at(places[0]).fsm.current().Checkpoint().Root {
			t.Errorf("checkpoint: %+v by %v, %v", cp, by, err)
		}
		t.Log(w.at(places[0]).Status().Words)
		var covers []Cover
		w.await("all three cosigned all of it", func() bool {
			var missing []name.Council
			covers, missing, err = w.at(places[1]).Covers(t.Context(), cp.Size, true)
			return err == nil && len(missing) == 0
		})
		for _, c := range covers {
			proof, err := w.at(places[1]).ProveEntries([]uint64{last.Outcomes[3].Entry, last.Outcomes[39].Entry}, c.Size)
			if err != nil || c.Root != cp.Root && c.Size == cp.Size || len(proof) == 0 {
				t.Errorf("cover: %+v, %v", c, err)
			}
		}
		if _, missing, err := w.at(places[1]).Covers(t.Context(), cp.Size+1, false); err != nil || len(missing) != 3 {
			t.Errorf("covers what there is not: %v, %v", missing, err)
		}
		w.at(places[1]).Look(t.Context())
		g, l := w.at(places[1]).Figures(), w.leader().Figures()
		if !g.Decides || g.Leader != w.leader().o.Self || g.Needs != 2 || len(g.Members) != 3 || g.Term == 0 ||
			g.Position < last.Position || g.Committed < g.Position || g.Checkpoint != g.Size || g.LogLast < g.Position || g.LogBytes == 0 {
			t.Errorf("figures: %+v", g)
		}
		for _, m := range g.Members {
			if !m.Up || !m.Votes || m.Behind != 0 || m.Heard.IsZero() {
				t.Errorf("figures of a member: %+v", m)
			}
		}
		if !l.Leads || l.Offered.Accepted < 120 || l.Offered.Duplicate != 3 || l.Offered.Refused+l.Offered.Failed != 0 ||
			l.Commit.Count < 3 || l.Commit.Counts[len(l.Commit.Counts)-1] != l.Commit.Count || l.Apply.Count < l.Commit.Count {
			t.Errorf("figures of the leader: %+v", l)
		}
	})
}

// TestLeaderKilled: nothing acknowledged is lost, and writing goes on.
func TestLeaderKilled(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		leader := w.leader().o.Self
		from := other(leader)
		for i := range 20 {
			w.put(from, w.token(from, fmt.Sprint("before-", i), 1, tlog.Hash{}))
		}
		w.stop(leader)
		start := time.Now()
		r := w.put(from, w.token(from, "after", 1, tlog.Hash{}))
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("the next write took %v", d)
		}
		w.start(leader)
		if err := w.at(leader).Await(t.Context(), r.Position); err != nil {
			t.Fatal(err)
		}
		w.same()
		for i := range 20 {
			rec := w.rings[from].RecordID(w.std.Name().Line(), fmt.Sprint("before-", i))
			if _, err := w.at(leader).Record(from, rec); err != nil {
				t.Errorf("record %d: %v", i, err)
			}
		}
	})
}

func other(c name.Council) name.Council {
	if c == places[0] {
		return places[1]
	}
	return places[0]
}

// TestMinority: a member alone refuses writes with a reason and goes on
// serving what it has.
func TestMinority(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		c := w.leader().o.Self
		r := w.put(c, w.token(c, "known", 1, tlog.Hash{}))
		var rest []name.Council
		for _, o := range places[:3] {
			if o != c {
				rest = append(rest, o)
				w.world.Cut(c, o)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := w.at(c).Put(ctx, w.token(c, "alone", 1, tlog.Hash{}))
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("a minority wrote: %v", err)
		}
		t.Log(err)
		if _, err := w.at(c).Latest(ctx); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a minority answered a linearizable read: %v", err)
		}
		if _, err := w.at(c).Record(c, w.rings[c].RecordID(w.std.Name().Line(), "known")); err != nil {
			t.Errorf("local read: %v", err)
		}
		t.Log(w.at(c).Status().Words)
		w.put(rest[0], w.token(rest[0], "majority", 1, tlog.Hash{}))
		for _, o := range rest {
			w.world.Heal(c, o)
		}
		w.put(c, w.token(c, "alone", 1, tlog.Hash{}))
		_ = r
		w.same()
	})
}

// TestPowerLoss: all members stop at once and come back.
func TestPowerLoss(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		c := places[1]
		for i := range 10 {
			w.put(c, w.token(c, fmt.Sprint("item-", i), 1, tlog.Hash{}))
		}
		size := w.leader().fsm.current().Checkpoint().Size
		for _, o := range places[:3] {
			w.stop(o)
		}
		for _, o := range places[:3] {
			w.start(o)
		}
		w.put(c, w.token(c, "after", 1, tlog.Hash{}))
		w.same()
		if got := w.at(c).fsm.current().Checkpoint().Size; got != size+1 {
			t.Errorf("%d entries, want %d", got, size+1)
		}
	})
}

// TestSnapshot: a member that was away longer than the log reaches back is
// brought up by a snapshot, and a lost disk by a new incarnation.
func TestSnapshot(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.tune = func(o *Options) { o.SnapshotAfter, o.KeepLog, o.segment = 8, 4, 8<<10 }
		w.form(3)
		away := other(w.leader().o.Self)
		writer := w.leader().o.Self
		w.stop(away)
		for i := range 40 {
			w.put(writer, w.token(writer, fmt.Sprint("item-", i), 1, tlog.Hash{}))
		}
		for _, c := range w.up() {
			if err := w.at(c).raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
		if first, err := w.leader().logs.FirstIndex(); err != nil || first < 50 {
			t.Fatalf("the log begins at %d, %v", first, err)
		}
		w.start(away)
		w.await("it is level", func() bool {
			return w.at(away).fsm.current().Applied() >= w.leader().fsm.current().Applied()
		})
		w.same()
		if dir, err := w.at(away).folder.current(); err != nil || dir == "replica-1" {
			t.Errorf("no snapshot was installed: %s, %v", dir, err)
		}
		if g, l := w.at(away).Figures().Snapshots, w.leader().Figures().Snapshots; g.Installed != 1 || g.InstalledBytes == 0 ||
			g.Sent != 0 || l.Sent == 0 || l.SentBytes < g.InstalledBytes || l.Noted == 0 || l.Installed != 0 {
			t.Errorf("snapshots counted: %+v there, %+v at the leader", g, l)
		}
		// Its disk is lost: under the same name it is another replica, which
		// nobody lets vote until a majority has agreed.
		w.stop(away)
		w.gen[away]++
		if _, err := Join(t.Context(), w.options(away), writer); err == nil {
			t.Fatal("joined again without an invitation")
		}
		w.gen[away]++
		w.admit(away)
		w.await("it votes again", func() bool {
			return w.voters() == 3 && len(w.leader().raft.GetConfiguration().Configuration().Servers) == 3
		})
		w.put(away, w.token(away, "back", 1, tlog.Hash{}))
		w.same()
	})
}

// TestWithdrawal: what is withdrawn is gone from every member, and comes back
// only as something newer.
func TestWithdrawal(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		c := places[1]
		first := w.token(c, "item", 1, tlog.Hash{}, "name", "Ada Secretsurname")
		chk := check(first)
		second := w.token(c, "item", 2, chk.token.Entry(), "name", "Ada Secretsurname")
		w.put(c, first, second)
		rec := w.rings[c].RecordID(w.std.Name().Line(), "item")
		wd := w.event(c, event.KindWithdrawal, event.Withdrawal{Agreement: "saltby.gov.uk/items", Version: 1, Record: rec, Reason: "over"}.Body())
		w.put(c, wd)
		w.same()
		for _, o := range places[:3] {
			if _, err := w.at(o).Record(c, rec); !errors.Is(err, ledger.ErrNotFound) {
				t.Errorf("%s still has it: %v", o, err)
			}
			var all bytes.Buffer
			if _, err := w.at(o).fsm.current().WriteTo(&all); err != nil || bytes.Contains(all.Bytes(), second.Token) {
				t.Errorf("%s streams it: %v", o, err)
			}
		}
		r, err := w.at(c).Put(t.Context(), second)
		if err != nil || r.Outcomes[0].Rule != RuleGone {
			t.Errorf("an old version after the withdrawal: %+v, %v", r, err)
		}
	})
}

// TestCheckpointAfterAbsence: a member that was away while the others cosigned has the
// checkpoint soon after it is back, though the log does not go on; so does one that lost
// the file that it is in.
func TestCheckpointAfterAbsence(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		away, writer := other(w.leader().o.Self), w.leader().o.Self
		w.stop(away)
		w.put(writer, w.token(writer, "item", 1, tlog.Hash{}))
		w.await("the others have cosigned it", func() bool {
			cp, _ := w.at(writer).Checkpoint()
			return cp.Size == w.at(writer).Size()
		})
		size := w.at(writer).Size()
		for _, lost := range []bool{false, true} {
			if lost {
				w.stop(away)
				if err := os.Remove(filepath.Join(w.options(away).Dir, "checkpoint")); err != nil {
					t.Fatal(err)
				}
			}
			w.start(away)
			w.await("it has the checkpoint", func() bool {
				cp, signed := w.at(away).Checkpoint()
				_, by, err := tlog.VerifyMajority(signed, fensName.Origin(), w.at(away).Witnesses()...)
				return cp.Size == size && err == nil && len(by) >= 2
			})
			if got := w.leader().Size(); got != size {
				t.Errorf("the log went on to %d", got)
			}
		}
	})
}

// TestLogOverruled: a log whose end was cut off, as a new leader does with what
// was never committed, opens again. raft-wal 0.4.0 did not.
func TestLogOverruled(t *testing.T) {
	dir := t.TempDir()
	l, err := openLog(dir, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(10) {
		if err := l.StoreLog(&raft.Log{Index: i + 1, Term: 1, Data: []byte{byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.DeleteRange(8, 10); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = openLog(dir, 0, nil); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range uint64(7) {
		var got raft.Log
		if err := l.GetLog(i+1, &got); err != nil || got.Data[0] != byte(i) {
			t.Errorf("entry %d: %v, %v", i+1, got.Data, err)
		}
	}
}

// TestSealedLog: with a key the log reads back what was stored, under that key
// only.
func TestSealedLog(t *testing.T) {
	dir, key := t.TempDir(), bytes.Repeat([]byte{1}, 16)
	l, err := openLog(dir, 0, key)
	if err != nil {
		t.Fatal(err)
	}
	in := &raft.Log{Index: 1, Term: 2, Type: raft.LogCommand, Data: []byte("Ada Secretsurname")}
	if err := l.StoreLog(in); err != nil || string(in.Data) != "Ada Secretsurname" {
		t.Fatalf("stored %q, %v", in.Data, err)
	}
	var got raft.Log
	if err := l.GetLog(1, &got); err != nil || string(got.Data) != "Ada Secretsurname" || got.Term != 2 {
		t.Errorf("read %q, %v", got.Data, err)
	}
	if err := l.WAL.GetLog(1, &got); err != nil || bytes.Contains(got.Data, []byte("Secret")) {
		t.Errorf("on disk stands %q, %v", got.Data, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{bytes.Repeat([]byte{2}, 16), bytes.Repeat([]byte{1}, 32)} {
		if _, err := openLog(dir, 0, bad); err == nil || !strings.Contains(err.Error(), "encryption key") {
			t.Errorf("opened with another key: %v", err)
		}
	}
}

// TestWithdrawnFromTheLog: what was withdrawn leaves raft's log as well, and
// with a key nothing of it was ever there in clear.
func TestWithdrawnFromTheLog(t *testing.T) {
	for _, key := range [][]byte{nil, bytes.Repeat([]byte{7}, 32)} {
		t.Run(fmt.Sprint(len(key)), func(t *testing.T) {
			inFens(t, func(t *testing.T, w *fens) {
				w.tune = func(o *Options) { o.ForgetWithin, o.EncryptionKey = 40*time.Second, key }
				w.form(3)
				c := places[1]
				item := w.token(c, "item", 1, tlog.Hash{}, "name", "Ada Secretsurname")
				secret := item.Token[len(item.Token)-60:]
				inLogs := func() (n int) {
					for _, o := range places[:3] {
						files, err := filepath.Glob(filepath.Join(w.at(o).o.Dir, "log", "*"))
						if err != nil || len(files) == 0 {
							t.Fatal("no log", err)
						}
						for _, f := range files {
							if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, secret) {
								n++
							}
						}
					}
					return n
				}
				w.put(c, item)
				w.same()
				if n := inLogs(); (n > 0) != (key == nil) {
					t.Errorf("in clear in %d logs", n)
				}
				rec := w.rings[c].RecordID(w.std.Name().Line(), "item")
				w.put(c, w.event(c, event.KindWithdrawal, event.Withdrawal{Agreement: "saltby.gov.uk/items", Version: 1, Record: rec, Reason: "over"}.Body()))
				time.Sleep(40 * time.Second)
				if n := inLogs(); n > 0 {
					t.Errorf("still in %d logs", n)
				}
				w.put(c, w.token(c, "after", 1, tlog.Hash{}))
				for _, o := range places[:3] {
					w.stop(o)
				}
				for _, o := range places[:3] {
					w.start(o)
				}
				w.put(c, w.token(c, "again", 1, tlog.Hash{}))
				w.same()
			})
		})
	}
}

// TestNewKey: when the directory gives a member a new key, the footprint comes
// to know it by itself, and only that key's entries follow.
func TestNewKey(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		var book atomic.Pointer[members]
		book.Store(&w.book)
		ring := map[name.Council]*keys.Ring{}
		w.tune = func(o *Options) {
			o.Directory = current{&book}
			if r := ring[o.Self]; r != nil {
				o.Keys = r
			}
		}
		w.form(3)
		c := places[1]
		w.put(c, w.token(c, "old key", 1, tlog.Hash{}))
		next, err := keys.Generate(c)
		if err != nil {
			t.Fatal(err)
		}
		rotated := *w.rings[c]
		rotated.Record = next.Record
		ring[c] = &rotated
		w.stop(c)
		w.start(c)
		with := func(r *keys.Ring) Entry { return token(t, r, w.std, c, "new key", 1, tlog.Hash{}) }
		if r, err := w.at(c).Put(t.Context(), with(&rotated)); err != nil || r.Outcomes[0].Code != Refused || !ForNow(r.Outcomes[0].Rule) {
			t.Errorf("a key that nobody knows: %+v, %v", r, err)
		}
		m := w.book[c]
		m.RecordKeys = append(slices.Clone(m.RecordKeys), next.Record.Public())
		changed := maps.Clone(w.book)
		changed[c] = m
		book.Store(&changed)
		time.Sleep(3 * followEvery)
		if r, err := w.at(c).Put(t.Context(), with(&rotated)); err != nil || r.Outcomes[0].Code != Accepted {
			t.Errorf("the new key: %+v, %v", r, err)
		}
		if s := w.leader().fsm.state.Load(); s.Open != nil || s.members[c].server() != w.at(c).server() || w.voters() != 3 {
			t.Errorf("the member changed: %+v", s.Open)
		}
		w.same()
	})
}

// current is a directory that is replaced whole.
type current struct{ m *atomic.Pointer[members] }

func (c current) Member(n name.Council) (directory.Member, bool) { return c.m.Load().Member(n) }
func (c current) Members() []directory.Member                    { return c.m.Load().Members() }

// TestLeaderUnreachable: a leader behind a broken link says nothing, not even
// that it is gone. Nobody waits for it for longer than it takes to choose another.
func TestLeaderUnreachable(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		w.world.Patience(time.Minute)
		leader := w.leader().o.Self
		from := other(leader)
		w.put(from, w.token(from, "before", 1, tlog.Hash{}))
		for _, c := range places[:3] {
			if c != leader {
				w.world.Cut(leader, c)
			}
		}
		start := time.Now()
		w.put(from, w.token(from, "after", 1, tlog.Hash{}))
		ctx, cancel := within(t, 10*time.Second)
		defer cancel()
		if _, err := w.at(from).Latest(ctx); err != nil {
			t.Errorf("read: %v", err)
		}
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestAskedWhileOpening: the other members know no better than to ask a replica
// that is just being opened. It answers when it is, or that it was closed.
func TestAskedWhileOpening(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		f := w.at(places[0])
		opening := &Footprint{o: f.o, fsm: f.fsm, opened: make(chan struct{})}
		opening.ctx, opening.cancel = context.WithCancel(t.Context())
		defer opening.cancel()
		put := group{contributor: places[1], entries: []Entry{w.token(places[1], "x", 1, tlog.Hash{})}}
		for _, ask := range []byte{askPut, askRead, askSelf} {
			ctx, cancel := within(t, time.Second)
			if _, err := opening.serve(ctx, places[1], request{ask, fensName, put.append(nil)}); !errors.Is(err, errNotLeader) {
				t.Errorf("asked %d: %v", ask, err)
			}
			cancel()
		}
	})
}
