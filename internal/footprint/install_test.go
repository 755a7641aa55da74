package footprint

import (
	"fmt"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/internal/tlog"
)

// TestDeposedAndCutOff: a leader that was cut off while it wrote on, and comes back when the
// others' log begins after what it wrote last with them, is sent the ledger once and goes on.
func TestDeposedAndCutOff(t *testing.T) {
	for name, beyond := range map[string]uint64{"its log ends with the snapshot": 0, "its log goes on": 30} {
		t.Run(name, func(t *testing.T) {
			inFens(t, func(t *testing.T, w *fens) {
				w.tune = func(o *Options) { o.SnapshotAfter, o.KeepLog, o.segment = 1<<20, 4, 8<<10 }
				w.form(3)
				old := w.leader()
				var others []*Footprint
				for _, c := range places[:3] {
					if c != old.o.Self {
						w.world.Cut(old.o.Self, c)
						others = append(others, w.at(c))
					}
				}
				const more = 20
				for range more + beyond { // it is not known yet that nobody hears
					old.raft.Barrier(0)
				}
				w.await("another leads", func() bool { l := w.leader(); return l != nil && l != old })
				writer := others[0].o.Self
				for i := 0; w.leader().raft.LastIndex() < old.raft.LastIndex()-beyond; i++ {
					w.put(writer, w.token(writer, fmt.Sprint("item-", i), 1, tlog.Hash{}))
				}
				for _, f := range others {
					if err := f.raft.Snapshot().Error(); err != nil {
						t.Fatal(err)
					}
				}
				// Who leads now has nothing under way to it.
				was := w.leader()
				if err := was.Transfer(""); err != nil {
					t.Fatal(err)
				}
				w.await("the third leads", func() bool { l := w.leader(); return l != nil && l != was })
				for _, f := range others {
					w.world.Heal(old.o.Self, f.o.Self)
				}
				w.put(writer, w.token(writer, "after", 1, tlog.Hash{}))
				w.same()
				if g := old.Figures().Snapshots; g.Installed != 1 {
					t.Errorf("%d snapshots were installed", g.Installed)
				}
				w.stop(old.o.Self)
				w.start(old.o.Self)
				w.put(writer, w.token(writer, "after a restart", 1, tlog.Hash{}))
				w.same()
			})
		})
	}
}

// TestOlderSnapshot: a snapshot of less than a member holds leaves what its log has beyond it.
func TestOlderSnapshot(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.tune = func(o *Options) { o.SnapshotAfter, o.KeepLog, o.segment = 1<<20, 4, 8<<10 }
		w.form(3)
		l, c := w.leader(), other(w.leader().o.Self)
		if err := l.raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		ms, err := l.fsm.snaps.List()
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			w.put(l.o.Self, w.token(l.o.Self, fmt.Sprint("item-", i), 1, tlog.Hash{}))
		}
		w.same()
		f := w.at(c)
		last, meta := f.raft.LastIndex(), ms[0]
		meta, stream, err := l.fsm.snaps.Open(meta.ID)
		if err != nil {
			t.Fatal(err)
		}
		req := &raft.InstallSnapshotRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte(l.server()), Addr: []byte(l.server())}, SnapshotVersion: 1,
			Term: l.raft.CurrentTerm(), Leader: []byte(l.server()), LastLogIndex: meta.Index, LastLogTerm: meta.Term, Size: meta.Size,
			Configuration: raft.EncodeConfiguration(meta.Configuration), ConfigurationIndex: meta.ConfigurationIndex,
		}
		var resp raft.InstallSnapshotResponse
		if err := l.trans.InstallSnapshot(raft.ServerID(f.server()), raft.ServerAddress(f.server()), req, &resp, stream); err != nil || !resp.Success {
			t.Fatal(resp.Success, err)
		}
		for i := meta.Index; i <= last; i++ {
			var own, its raft.Log
			if err := f.logs.GetLog(i, &own); err != nil {
				t.Fatalf("position %d: %v", i, err)
			}
			if err := l.logs.GetLog(i, &its); err != nil || own.Term != its.Term {
				t.Errorf("position %d: term %d, %d at the leader, %v", i, own.Term, its.Term, err)
			}
		}
		w.put(c, w.token(c, "after", 1, tlog.Hash{}))
		w.same()
	})
}
