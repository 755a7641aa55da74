//go:build unix

package notify

import (
	"os/exec"
	"syscall"
)

// alone has a command run in a process group of its own, which ends with it when its time
// is up.
func alone(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
