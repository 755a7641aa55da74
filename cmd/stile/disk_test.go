package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// On a disk without room, and on one that is read-only, a node that was killed there refuses to start, in words and with
// an exit code, not by a signal; what is there can be listed, and nothing can be changed. With room it goes on.
func TestFullAndReadOnlyDisk(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("only root may mount a disk of its own")
	}
	n := newProcess(t, "northmoor.gov.uk", "E07000998")
	disk := t.TempDir()
	mount := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("mount", append(args, disk)...).CombinedOutput(); err != nil {
			t.Skipf("a disk cannot be mounted here: %v: %s", err, out)
		}
	}
	mount("-t", "tmpfs", "-o", "size=48m", "tmpfs")
	t.Cleanup(func() {
		if out, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	t.Cleanup(n.kill)
	old := n.dir
	n.dir = filepath.Join(disk, "n")
	if out, err := exec.Command("cp", "-a", "--sparse=always", old, n.dir).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	rows := filepath.Join(t.TempDir(), "rows.ndjson")
	row := `{"reference":"26/0000%d/HH","organisation":"local-authority:NBR","applicationType":"tree-works","status":"received","description":"Fell one ash.","receivedDate":"2026-02-16","district":"A"}` + "\n"
	if err := os.WriteFile(rows, []byte(fmt.Sprintf(row, 1)+fmt.Sprintf(row, 2)), 0o600); err != nil {
		t.Fatal(err)
	}
	n.serve()
	n.must("import", rows, "--standard", "planning-application")
	n.kill()
	os.Remove(filepath.Join(n.dir, "admin.sock"))

	refused := func(what, word string) {
		t.Helper()
		out, errs, code := n.run("serve")
		if code != 1 || out != "" || !strings.Contains(errs, word) || !strings.Contains(errs, "Try: ") {
			t.Errorf("%s: serve: exit %d\n%s%s", what, code, out, errs)
		}
		if out, errs, code := n.run("status"); code != 0 || !strings.Contains(out, "nothing can be written in the data folder") {
			t.Errorf("%s: status: exit %d\n%s%s", what, code, out, errs)
		}
		list, errs, code := n.run("record", "list")
		if code != 0 || !strings.Contains(list, "26/00001/HH") || !strings.Contains(list, "26/00002/HH") || !strings.Contains(errs, word) {
			t.Errorf("%s: record list: exit %d\n%s%s", what, code, list, errs)
		}
		if out, errs, code := n.run("import", rows, "--standard", "planning-application"); code == 0 || !strings.Contains(errs, "for reading alone") {
			t.Errorf("%s: import: exit %d\n%s%s", what, code, out, errs)
		}
	}
	filler := filepath.Join(disk, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for chunk := make([]byte, 64<<10); ; {
		if _, err := f.Write(chunk); err != nil {
			break
		}
	}
	f.Close()
	refused("full", "disk is nearly full")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	mount("-o", "remount,ro")
	refused("read-only", "the disk of the data folder is read-only")
	mount("-o", "remount,rw")
	if out := n.must("import", rows, "--standard", "planning-application"); !strings.Contains(out, "unchanged  2") {
		t.Errorf("with room again: %s", out)
	}
}
