//go:build unix

package ledger

import (
	"os"
	"syscall"
)

// freeDisk returns the bytes an ordinary user may still write under dir.
func freeDisk(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil
}

// diskUse returns the bytes a file occupies: Badger makes sparse files, whose
// length says nothing.
func diskUse(d os.DirEntry) (uint64, error) {
	fi, err := d.Info()
	if err != nil {
		if os.IsNotExist(err) { // compacted away meanwhile
			return 0, nil
		}
		return 0, err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Blocks) * 512, nil
	}
	return uint64(fi.Size()), nil
}
