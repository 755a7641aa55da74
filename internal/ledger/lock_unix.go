//go:build unix

package ledger

import (
	"os"
	"syscall"
)

// lockFile holds an open file for this process.
func lockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
