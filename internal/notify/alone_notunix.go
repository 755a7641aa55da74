//go:build !unix

package notify

import "os/exec"

// alone does nothing on this system: the command alone ends when its time is up.
func alone(*exec.Cmd) {}
