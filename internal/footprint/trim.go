package footprint

import (
	"io/fs"
	"path/filepath"
	"time"
)

// Bounds of raft's log. A member that is away for less than the log reaches back
// is sent what it missed; one that is away longer is sent the whole ledger. So
// the log is kept by size, not by number: many small writes reach far back, full
// batches do not fill the disk.
const (
	keepLogBytes = 128 << 20
	minKeepLog   = 64
	maxKeepLog   = 200_000
)

// keepLog returns how many commands of an average size to keep.
func keepLog(commands, bytes uint64) uint64 {
	if commands == 0 {
		return 1024
	}
	return min(max(keepLogBytes/max(bytes/commands, 1), minKeepLog), maxKeepLog)
}

// trim has raft cut its log at keepLogBytes or thereabouts. A note of how far
// the replica is costs next to nothing, so it is taken as often as that needs.
func (f *Footprint) trim() {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	was := uint64(0)
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-tick.C:
		}
		keep := keepLog(f.fsm.commands.Load(), f.fsm.bytes.Load())
		if keep > was/2 && keep < 2*was {
			continue
		}
		c := f.raft.ReloadableConfig()
		c.TrailingLogs, c.SnapshotThreshold = keep, max(keep/2, minKeepLog)
		if err := f.raft.ReloadConfig(c); err != nil {
			f.o.Log.Warn("bounding the log", "footprint", f.o.Name, "error", err.Error())
			continue
		}
		was = keep
	}
}

// logBytes returns what raft's log takes of the disk.
func (f *Footprint) logBytes() (n uint64) {
	err := filepath.WalkDir(filepath.Join(f.o.Dir, "log"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // a file that raft has just removed
		}
		if i, err := d.Info(); err == nil {
			n += uint64(i.Size())
		}
		return nil
	})
	if err != nil {
		return 0
	}
	return n
}
