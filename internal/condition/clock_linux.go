package condition

import "syscall"

// clockUnsynchronised reports whether the kernel says that nothing keeps the
// clock in time (STA_UNSYNC of adjtimex).
func clockUnsynchronised() bool {
	var t syscall.Timex
	state, err := syscall.Adjtimex(&t)
	const unsync, failed = 0x40, 5
	return err == nil && (t.Status&unsync != 0 || state == failed)
}
