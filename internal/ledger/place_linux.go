package ledger

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// statPlace reads what tells a file from its copy.
func statPlace(f *os.File) (fileTimes, error) {
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		return fileTimes{}, err
	}
	var x unix.Statx_t
	born := int64(0) // not every file system knows
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &x); err == nil && x.Mask&unix.STATX_BTIME != 0 {
		born = x.Btime.Sec*1e9 + int64(x.Btime.Nsec)
	}
	return fileTimes{
		id:    fmt.Sprintf("%020d %020d %020d", uint64(st.Dev), st.Ino, born),
		mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(),
	}, nil
}
