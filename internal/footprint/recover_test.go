package footprint

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestRecover: two of three are lost for good. The third goes on alone from what
// it held, says so in the ledger, and the others join anew.
func TestRecover(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		c := places[2]
		last := w.put(c, w.token(c, "kept", 1, tlog.Hash{}))
		if err := w.at(c).Await(t.Context(), last.Position); err != nil {
			t.Fatal(err)
		}
		was := w.at(c).fsm.current().Checkpoint()
		for _, o := range places[:3] {
			w.stop(o)
		}
		if _, err := Recover(t.Context(), w.options(c), " "); err == nil {
			t.Error("recovered without a reason")
		}
		f, err := Recover(t.Context(), w.options(c), "a fire at two sites")
		if err != nil {
			t.Fatal(err)
		}
		w.set(c, f)
		if err := f.fsm.view(func(v *ledger.ReplicaView) error {
			root, err := rootAt(v, was.Size)
			if root != was.Root {
				t.Error("the recovered ledger does not begin with the old")
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		found := false
		err = f.Entries(was.Size, func(e *Held) bool {
			if e.Event != nil && e.Event.Kind == event.KindFootprintRecovered {
				found = e.Event.Body["lost"] == string(places[0]+" "+places[1]) && e.Event.Body["because"] == "a fire at two sites"
			}
			return true
		})
		if err != nil || !found {
			t.Errorf("the ledger does not say it: %v", err)
		}
		r, err := f.Put(t.Context(), w.token(c, "alone", 1, tlog.Hash{}))
		if err != nil || r.Outcomes[0].Rule != RuleForming {
			t.Errorf("one alone takes records: %+v, %v", r, err)
		}
		// The others come back. One kept its folder, which opens no more as a
		// member; set aside, it joins as another replica.
		for _, o := range places[:2] {
			if err := SetAside(w.options(o).Dir); err != nil {
				t.Fatal(err)
			}
			w.admit(o)
		}
		w.await("all vote", func() bool { return w.voters() == 3 })
		w.put(places[0], w.token(places[0], "again", 1, tlog.Hash{}))
		w.same()
		w.await("a checkpoint counts", func() bool {
			cp, _ := w.at(places[0]).Checkpoint()
			return cp.Size == w.at(places[0]).fsm.current().Checkpoint().Size
		})
	})
}

// TestBackup: what any member backs up, a new beginning can be made from; an
// altered backup is refused.
func TestBackup(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		c := places[1]
		r := w.put(c, w.token(c, "kept", 1, tlog.Hash{}))
		if err := w.at(c).Await(t.Context(), r.Position); err != nil {
			t.Fatal(err)
		}
		var backup bytes.Buffer
		if _, err := w.at(c).Backup(&backup); err != nil {
			t.Fatal(err)
		}
		for _, o := range places[:3] {
			w.stop(o)
			w.gen[o]++
		}
		bad := bytes.Clone(backup.Bytes())
		bad[len(bad)/2] ^= 1
		if _, err := RestoreBackup(t.Context(), w.options(c), bytes.NewReader(bad), "flood"); !errors.Is(err, ledger.ErrStream) {
			t.Errorf("an altered backup: %v", err)
		}
		f, err := RestoreBackup(t.Context(), w.options(c), &backup, "flood")
		if err != nil {
			t.Fatal(err)
		}
		w.set(c, f)
		if _, err := f.Record(c, w.rings[c].RecordID(w.std.Name().Line(), "kept")); err != nil {
			t.Error(err)
		}
		w.admit(places[0])
		w.admit(places[2])
		w.await("all vote", func() bool { return w.voters() == 3 })
		w.put(places[2], w.token(places[2], "after", 1, tlog.Hash{}))
		w.same()
	})
}

// TestLogLost: a folder whose log is gone does not open, for nobody knows how
// it voted.
func TestLogLost(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		c := other(w.leader().o.Self)
		w.stop(c)
		o := w.options(c)
		if err := os.RemoveAll(filepath.Join(o.Dir, "log")); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(o); !errors.Is(err, ErrLost) {
			t.Errorf("opened without its log: %v", err)
		}
	})
}

// TestSnapshotCrash: a crash at any step of installing a snapshot leaves the old
// replica or the new, and the member comes level.
func TestSnapshotCrash(t *testing.T) {
	for _, step := range []string{"half received", "received", "received and altered", "half loaded", "loaded", "adopted"} {
		t.Run(step, func(t *testing.T) {
			inFens(t, func(t *testing.T, w *fens) {
				w.tune = func(o *Options) { o.SnapshotAfter, o.KeepLog, o.segment = 8, 4, 8<<10 }
				w.form(3)
				away, writer := other(w.leader().o.Self), w.leader().o.Self
				w.stop(away)
				for i := range 40 {
					w.put(writer, w.token(writer, fmt.Sprint("item-", i), 1, tlog.Hash{}))
				}
				if err := w.at(writer).raft.Snapshot().Error(); err != nil {
					t.Fatal(err)
				}
				w.crashInstall(away, w.at(writer), step)
				w.start(away)
				w.await("it is level", func() bool {
					return w.at(away).fsm.current().Applied() >= w.at(writer).fsm.current().Applied()
				})
				w.put(away, w.token(away, "after", 1, tlog.Hash{}))
				w.same()
				left, err := filepath.Glob(filepath.Join(w.options(away).Dir, "replica-*"))
				if err != nil || len(left) != 1 {
					t.Errorf("replicas left over: %v, %v", left, err)
				}
				if es, err := filepath.Glob(filepath.Join(w.options(away).Dir, "snapshots", "*.stream")); err != nil || len(es) > 0 {
					t.Errorf("streams left over: %v, %v", es, err)
				}
			})
		})
	}
}

// crashInstall does to a stopped member's folder what installing the leader's
// snapshot does, up to a step.
func (w *fens) crashInstall(c name.Council, leader *Footprint, step string) {
	t := w.t
	t.Helper()
	o := w.options(c)
	fold, err := openFolder(o.Dir, ledger.ReplicaOptions{Name: o.Name}, o.Self)
	if err != nil {
		t.Fatal(err)
	}
	s := &snapshotStore{fold, nil}
	ms, err := leader.fsm.snaps.List()
	if err != nil || len(ms) == 0 {
		t.Fatal("the leader has no snapshot", err)
	}
	meta, stream, err := leader.fsm.snaps.Open(ms[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var all bytes.Buffer
	if _, err := all.ReadFrom(stream); err != nil {
		t.Fatal(err)
	}
	b := all.Bytes()
	if step == "received and altered" {
		b[len(b)/3] ^= 1
	}
	k, err := s.Create(1, meta.Index, meta.Term, meta.Configuration, meta.ConfigurationIndex, nil)
	if err != nil {
		t.Fatal(err)
	}
	if step == "half received" {
		b = b[:len(b)/2]
	}
	if _, err := k.Write(b); err != nil {
		t.Fatal(err)
	}
	if step == "half received" {
		return
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(step, "received") {
		return
	}
	if step == "half loaded" {
		if err := os.Mkdir(filepath.Join(o.Dir, "replica-2"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(o.Dir, "replica-2", "MANIFEST"), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	r, dir, err := fold.load(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if step == "adopted" {
		if err := fold.adopt(dir); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Millisecond)
}
