//go:build !unix

package ledger

import "os"

// lockFile does nothing: Badger's own lock says that a folder is in use.
func lockFile(*os.File) error { return nil }
