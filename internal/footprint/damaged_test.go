package footprint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
)

// TestDamagedReplica: a member whose list of tables is gone goes on; one whose table cannot be read
// makes its replica anew from raft's log while that has everything; else it says so, and
// fetches all from the others once it is invited again.
func TestDamagedReplica(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.tune = func(o *Options) { o.SnapshotAfter, o.KeepLog, o.segment = 1<<20, 4, 8<<10 }
		w.form(3)
		// Its founder has no snapshot of another's.
		hit, writer := places[0], places[1]
		for i := range 12 {
			w.put(writer, w.token(writer, fmt.Sprint("item-", i), 1, tlog.Hash{}))
		}
		w.same()
		store := func() string {
			t.Helper()
			current, err := w.at(hit).folder.current()
			if err != nil {
				t.Fatal(err)
			}
			return filepath.Join(w.at(hit).o.Dir, current)
		}
		back := func(what string) {
			t.Helper()
			f, err := Open(w.options(hit))
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			w.set(hit, f)
			w.put(writer, w.token(writer, what, 1, tlog.Hash{}))
			w.same()
			rec := w.rings[writer].RecordID(w.std.Name().Line(), "item-3")
			if _, err := w.at(hit).Record(writer, rec); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		tables := func(dir string) {
			t.Helper()
			all, err := filepath.Glob(filepath.Join(dir, "*.sst"))
			if err != nil || len(all) == 0 {
				t.Fatalf("no table, %v", err)
			}
			for _, p := range all {
				b, err := os.ReadFile(p)
				if err != nil {
					t.Fatal(err)
				}
				clear(b[len(b)/4 : len(b)/2])
				if err := os.WriteFile(p, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}

		dir := store()
		w.stop(hit)
		if err := os.Remove(filepath.Join(dir, "MANIFEST")); err != nil {
			t.Fatal(err)
		}
		back("without MANIFEST")

		dir = store()
		w.stop(hit)
		tables(dir)
		back("from the log")
		if store() == dir {
			t.Error("the damaged replica is still in use")
		}

		if err := w.at(hit).raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		dir = store()
		w.stop(hit)
		tables(dir)
		if _, err := Open(w.options(hit)); !errors.Is(err, ledger.ErrDamaged) {
			t.Fatalf("its log was cut: got %v, want ErrDamaged", err)
		}
		if err := SetAside(w.options(hit).Dir); err != nil {
			t.Fatal(err)
		}
		w.admit(hit)
		w.await("it votes again", func() bool { return w.voters() == 3 })
		w.put(writer, w.token(writer, "joined again", 1, tlog.Hash{}))
		w.same()
	})
}
