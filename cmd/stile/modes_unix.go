//go:build unix

package main

import (
	"os"
	"syscall"
)

// closeToOthers takes bits away from the mode of every file that this process makes
// from now on: those of others who would write to it, and when it is about to open a
// data folder also those of others who would read. The storage engine asks for files
// that everybody may write to and leaves the rest to the umask, which some services
// are started without.
func closeToOthers(readers bool) {
	most := 0o022
	if readers {
		most = 0o077
	}
	syscall.Umask(syscall.Umask(most) | most)
}

// chmod gives a new file exactly the mode it is to have, whatever the umask says.
func chmod(f *os.File, mode os.FileMode) error { return f.Chmod(mode) }
