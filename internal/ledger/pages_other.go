//go:build !linux

package ledger

// unmapPages would take the pages of a mapped file out of this process's memory:
// there is no portable way, and elsewhere such advice means another thing.
func unmapPages([]byte) {}
