// Package packaging_test tries what is handed to an operator: the packages, the unit of
// the service, the alert rules.
package packaging_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/release"
)

// tool returns a program that the tests need, from the path or from what .ci/need has
// fetched, and skips the test when there is none.
func tool(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	path, err := filepath.Abs("../../bin/tools/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not here; .ci/need says how to get it", name)
	}
	return path
}

// run runs a program and returns what it printed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestAlerts: Prometheus reads the rules, and of given series come the alerts that an
// operator expects.
func TestAlerts(t *testing.T) {
	promtool := tool(t, "promtool")
	run(t, promtool, "check", "rules", "--lint-fatal", "alerts.yaml")
	run(t, promtool, "test", "rules", "alerts_test.yaml")
}

// TestUnit: systemd understands every line of the unit.
func TestUnit(t *testing.T) {
	analyze := tool(t, "systemd-analyze")
	// It wants the program to be there, and says nothing of lines that are right.
	b, err := os.ReadFile("stile.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "stile.service")
	b = []byte(strings.ReplaceAll(string(b), "/usr/bin/stile", "/bin/true"))
	if err := os.WriteFile(unit, b, 0o644); err != nil {
		t.Fatal(err)
	}
	out := run(t, analyze, "verify", "--man=no", unit)
	for line := range strings.Lines(out) {
		if strings.Contains(line, "stile.service") {
			t.Error(line)
		}
	}
}

// TestPackages: the deb that make packages builds can be installed; a node is founded and
// run as the user that the unit names, by the line that the unit has; and what a council
// has taken in is still there when the package has gone.
func TestPackages(t *testing.T) {
	const data = "/var/lib/stile"
	if os.Getuid() != 0 {
		t.Skip("only root installs packages")
	}
	dpkg, runuser := tool(t, "dpkg"), tool(t, "runuser")
	for _, path := range []string{data, "/usr/bin/stile", "/run/systemd/system"} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Skipf("%s is there: this machine is not for trying packages on", path)
		}
	}
	if _, err := user.Lookup("stile"); err == nil {
		t.Skip("there is a user stile: this machine is not for trying packages on")
	}
	dir := t.TempDir()
	run(t, "make", "-C", "../..", "packages", "PACKED="+dir)
	// What comes before a release sorts before it, which both forms write with a tilde.
	version := strings.Replace(strings.TrimPrefix(release.Version, "v"), "-", "~", 1)
	for _, form := range []string{"deb", "rpm"} {
		if found, err := filepath.Glob(filepath.Join(dir, "*"+version+"*."+form)); err != nil || len(found) != 1 {
			t.Fatalf("%s: %v, %v", form, found, err)
		}
	}
	defer func() {
		os.RemoveAll(data)
		exec.Command("userdel", "stile").Run()
		exec.Command("groupdel", "stile").Run()
	}()
	defer exec.Command(dpkg, "--purge", "stile").Run()
	said := run(t, dpkg, "-i", filepath.Join(dir, "stile_"+version+"_"+architecture(t)+".deb"))
	if !strings.Contains(said, "sudo -u stile stile init --data "+data) {
		t.Errorf("the package does not say what to do next:\n%s", said)
	}
	if st, err := os.Stat(data); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v, %v", data, st, err)
	}
	for _, path := range []string{"/usr/share/man/man1/stile.1.gz", "/usr/share/bash-completion/completions/stile", "/usr/share/doc/stile/sbom.json"} {
		// A system made small may leave documentation out.
		if _, err := os.Stat(path); err != nil && !strings.Contains(run(t, dpkg, "-L", "stile"), path) {
			t.Error(err)
		}
	}
	if said := run(t, "/usr/bin/stile", "version"); !strings.HasPrefix(said, "stile "+release.Version) {
		t.Errorf("the package of %s has a program that says it is %s", release.Version, said)
	}
	run(t, runuser, "-u", "stile", "--", "/usr/bin/stile", "init", "--data", data, "--council", "northmoor.gov.uk", "--gss", "E07000998", "--listen", "/ip4/127.0.0.1/tcp/0")
	serveByUnit(t, runuser)
	run(t, dpkg, "-r", "stile")
	if _, err := os.Stat("/usr/bin/stile"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the program is still there: %v", err)
	}
	if said := run(t, dpkg, "--purge", "stile"); !strings.Contains(said, "left in "+data) {
		t.Errorf("it does not say that the data stayed:\n%s", said)
	}
	if _, err := os.Stat(filepath.Join(data, "keys", "record.pem")); err != nil {
		t.Errorf("the council's data has gone: %v", err)
	}
}

func architecture(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(run(t, "dpkg", "--print-architecture"))
}

// serveByUnit starts the node by the line of the installed unit, and stops it.
func serveByUnit(t *testing.T, runuser string) {
	t.Helper()
	unit, err := os.ReadFile("/usr/lib/systemd/system/stile.service")
	if err != nil {
		t.Fatal(err)
	}
	_, line, found := strings.Cut(string(unit), "ExecStart=")
	line, _, _ = strings.Cut(line, "\n")
	if !found {
		t.Fatal("the unit starts nothing")
	}
	c := exec.Command(runuser, append([]string{"-u", "stile", "--"}, strings.Fields(line)...)...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(2*time.Minute, func() { syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }).Stop()
	ready := false
	for s := bufio.NewScanner(out); !ready && s.Scan(); {
		ready = s.Text() == "ready"
	}
	if !ready {
		t.Error("the node was not ready")
	}
	if ready {
		run(t, runuser, "-u", "stile", "--", "/usr/bin/stile", "status", "--data", "/var/lib/stile")
	}
	if err := syscall.Kill(-c.Process.Pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil && ready {
		t.Logf("it ended with %v", err) // runuser tells of the signal that it got, too
	}
}
