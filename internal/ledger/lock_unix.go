//go:build unix

package ledger

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// lockFile holds an open file for this process. A process that has just begun another one
// shares its files with it until that one runs its program, some milliseconds, so a lock
// that was let go may be held for as long: it is tried a few times.
func lockFile(f *os.File) error {
	for try := 0; ; try++ {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if try == 5 || !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}
