package condition

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
)

// KeysOf looks at the files of the private keys of a data folder, without opening them.
func KeysOf(cfg *config.Config) (k Keys) {
	dir := filepath.Join(cfg.Data, "keys")
	k.Clear = keys.InClear(dir)
	if runtime.GOOS == "windows" {
		return k
	}
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // who opens them says so
		}
		if st, err := e.Info(); err == nil && st.Mode().Perm()&0o077 != 0 {
			k.Exposed = append(k.Exposed, path)
		}
		return nil
	})
	return k
}

// DiskOf looks at the room that is left for a data folder.
func DiskOf(cfg *config.Config) Disk {
	free, err := ledger.FreeDisk(cfg.Data)
	return Disk{Known: err == nil, Free: free, Need: cfg.Limits.MinFree()}
}

// ClockOf looks at what the folder and the system say of the clock.
func ClockOf(cfg *config.Config) (c Clock) {
	c.Unsynced = clockUnsynchronised()
	_ = filepath.WalkDir(cfg.Data, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if st, err := e.Info(); err == nil && st.ModTime().After(c.Newest) {
			c.Newest = st.ModTime()
		}
		return nil
	})
	return c
}

// SelfOf returns what members of the directory say of us, who have those keys.
func SelfOf(members []directory.Member, own directory.Member, now time.Time) Self {
	s := Self{Known: true}
	for _, m := range members {
		if m.Council != own.Council {
			continue
		}
		s.Listed, s.Member, s.Addresses, s.Ends = true, m.ActiveAt(now), m.Addresses, m.Ended
		if len(own.RecordKeys) == 0 {
			continue
		}
		s.RecordKey = own.RecordKeys[0].ID()
		_, has := m.RecordKey(s.RecordKey)
		s.OtherKeys = !has || m.Node != own.Node || !m.HasLogKey(own.LogKey)
		for _, r := range m.Revocations {
			if r.KID == s.RecordKey {
				s.Revoked, s.RevokedAt = true, r.FromIndex
			}
		}
	}
	return s
}

// Writable reports whether a file can be made in the data folder.
func Writable(cfg *config.Config) bool {
	probe, err := os.MkdirTemp(cfg.Data, ".probe")
	if err != nil {
		return false
	}
	return os.Remove(probe) == nil
}
