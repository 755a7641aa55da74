package footprint

import (
	"fmt"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/tlog"
)

// TestKeepLog: the log is kept by size.
func TestKeepLog(t *testing.T) {
	for _, c := range []struct{ commands, bytes, want uint64 }{
		{0, 0, 1024},
		{10, 10 << 20, 128},             // full batches
		{1, 3 << 20, minKeepLog},        // the largest there are
		{1000, 2_000_000, 67108},        // single records
		{1_000_000, 12_000_000, 200000}, // marks
	} {
		if got := keepLog(c.commands, c.bytes); got != c.want {
			t.Errorf("of %d commands with %d bytes %d are kept, want %d", c.commands, c.bytes, got, c.want)
		}
	}
}

// TestTrim: raft takes the bound on while it runs.
func TestTrim(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		w.form(3)
		for i := range 20 {
			w.put(places[0], w.token(places[0], fmt.Sprint("item-", i), 1, tlog.Hash{}))
		}
		time.Sleep(31 * time.Second)
		c := w.leader().raft.ReloadableConfig()
		if c.TrailingLogs < 10_000 || c.SnapshotThreshold != c.TrailingLogs/2 {
			t.Errorf("keeps %d, cuts after %d", c.TrailingLogs, c.SnapshotThreshold)
		}
		if n := w.leader().Status().LogBytes; n == 0 {
			t.Error("the log takes no room")
		}
	})
}
