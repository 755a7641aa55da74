package footprint

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/raft"
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

// trim has raft cut its log at keepLogBytes or thereabouts, and all of it some
// time after a record was withdrawn: its bytes leave the replica at once, but
// they are in the log as well, which is dropped by whole files. A note of how
// far the replica is costs next to nothing, so it is taken as often as that
// needs.
func (f *Footprint) trim() {
	tick := time.NewTicker(min(30*time.Second, f.o.ForgetWithin/4))
	defer tick.Stop()
	was := uint64(0)
	var tried time.Time
	var err error
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-tick.C:
		}
		if tried, err = f.forget(tried); err != nil {
			f.o.Log.Warn("withdrawn records are still in the log", "footprint", f.o.Name, "error", err.Error())
		}
		keep := keepLog(f.fsm.commands.Load(), f.fsm.bytes.Load())
		if f.o.KeepLog > 0 || keep > was/2 && keep < 2*was {
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

// A forgetting is what forget.json says: since when the log may hold something
// withdrawn, and up to which position.
type forgetting struct {
	Since    time.Time `json:"since,omitzero"`
	Position uint64    `json:"position,omitempty"`
}

// forgetLater notes that the log holds something withdrawn.
func (f *Footprint) forgetLater() error {
	last, err := f.logs.LastIndex()
	if err != nil {
		return err
	}
	f.folder.mu.Lock()
	defer f.folder.mu.Unlock()
	g := forgetting{Since: f.o.Now().UTC()}
	if err := f.folder.readJSON("forget.json", &g); err != nil {
		return err
	}
	g.Position = max(g.Position, last)
	return f.folder.writeJSON("forget.json", g)
}

// forget cuts the whole log off when it has held something withdrawn for long
// enough. Members that are behind are then sent the ledger instead. The log goes
// by whole files, so in one that is being written to the cut may leave some;
// then it is tried again.
func (f *Footprint) forget(tried time.Time) (time.Time, error) {
	f.folder.mu.Lock()
	defer f.folder.mu.Unlock()
	var g forgetting
	if err := f.folder.readJSON("forget.json", &g); err != nil || g.Since.IsZero() {
		return tried, err
	}
	if oldest, err := f.oldestFile(); err != nil {
		return tried, err
	} else if oldest > g.Position {
		return tried, f.folder.writeJSON("forget.json", forgetting{})
	}
	// Half of the time: the other half is for trying again. A clock that went
	// backwards does not put it off for ever.
	now := f.o.Now()
	if age := now.Sub(g.Since); age >= 0 && age < f.o.ForgetWithin/2 || now.Sub(tried) < f.o.ForgetWithin/8 {
		return tried, nil
	}
	c := f.raft.ReloadableConfig()
	cut := c
	cut.TrailingLogs = 0
	if err := f.raft.ReloadConfig(cut); err != nil {
		return now, err
	}
	err := f.raft.Snapshot().Error()
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		err = nil
	}
	if err == nil && f.letGo.Load() {
		err = f.dropLog()
	}
	return now, errors.Join(err, f.raft.ReloadConfig(c))
}

// dropLog deletes what is left of the log of a replica that the members have let go: raft
// keeps what comes after the last command, and with it the file in which all else stands,
// and nothing is added that would begin another. The members decided without it that it
// left, so what it acknowledged before is on a majority of them.
func (f *Footprint) dropLog() error {
	first, err := f.logs.FirstIndex()
	if err != nil || first == 0 {
		return err
	}
	last, err := f.logs.LastIndex()
	if err != nil {
		return err
	}
	return f.logs.DeleteRange(first, last)
}

// oldestFile returns the position at which the oldest file of the log begins;
// raft-wal names each by it.
func (f *Footprint) oldestFile() (uint64, error) {
	files, err := filepath.Glob(filepath.Join(f.o.Dir, "log", "*.wal"))
	if err != nil || len(files) == 0 {
		return 0, err
	}
	base, _, _ := strings.Cut(filepath.Base(slices.Min(files)), "-")
	n, err := strconv.ParseUint(base, 10, 64)
	if err != nil {
		return 0, errors.New("a file of the log is not named by its position")
	}
	return n, nil
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
