package ledger

import "syscall"

// unmapPages takes the pages of a mapped file out of this process's memory. What
// was written through the mapping is kept by the system.
func unmapPages(b []byte) {
	syscall.Madvise(b, syscall.MADV_DONTNEED) // it is advice
}
