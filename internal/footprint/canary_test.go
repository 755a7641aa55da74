package footprint

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger/ledgertest"
	"github.com/stile-exchange/stile/internal/tlog"
)

// TestNoCanaryAtSnapshotJoiner: a member that joins after a record was taken back to be erased, and is given a snapshot since the
// log was cut, has nothing of what it said in any file.
func TestNoCanaryAtSnapshotJoiner(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.tune = func(o *Options) { o.SnapshotAfter, o.KeepLog, o.segment = 8, 4, 8<<10 }
		w.form(3)
		c, joins := places[1], places[3]
		const gone, kept = "CANARY-OF-WHAT-WAS-ERASED", "CANARY-OF-WHAT-IS-KEPT"
		w.put(c, w.token(c, "gone", 1, tlog.Hash{}, "name", gone), w.token(c, "kept", 1, tlog.Hash{}, "name", kept))
		for i := range 20 {
			w.put(c, w.token(c, fmt.Sprint("item-", i), 1, tlog.Hash{}))
		}
		rec := w.rings[c].RecordID(w.std.Name().Line(), "gone")
		w.put(c, w.event(c, event.KindWithdrawal, event.Withdrawal{Agreement: "saltby.gov.uk/items", Version: 1, Record: rec, Reason: "erased"}.Body()))
		w.same()
		for _, o := range w.up() {
			if err := w.at(o).raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
		w.admit(joins)
		w.await("it is level", func() bool { return w.at(joins).fsm.current().Applied() >= w.leader().fsm.current().Applied() })
		if g := w.at(joins).Figures().Snapshots; g.Installed == 0 {
			t.Fatal("it was given no snapshot, so the test proves nothing")
		}
		dir := w.at(joins).o.Dir
		w.stop(joins)
		found := map[string]string{}
		err := ledgertest.Raw(dir, func(b []byte, where string) {
			for _, v := range []string{gone, kept} {
				for pad := range 3 {
					e := base64.RawURLEncoding.EncodeToString([]byte("___"[:pad] + v))
					if bytes.Contains(b, []byte(e[4:len(e)-4])) || bytes.Contains(b, []byte(v)) {
						found[v] = where
					}
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if found[kept] == "" {
			t.Error("what is kept is not found, so the test proves nothing")
		}
		if found[gone] != "" {
			t.Errorf("what was erased stands in %s", found[gone])
		}
	})
}
