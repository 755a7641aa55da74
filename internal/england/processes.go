package england

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/node"
)

// Processes runs a country whose nodes are processes of their own, stile serve, that speak
// libp2p over loopback and are asked through their admin sockets. Time is the real one.
type processes struct {
	bin string // the program

	mu   sync.Mutex // guards what follows
	used map[*Council]*Usage
}

// Usage is what the processes of one council took.
type Usage struct {
	Processor time.Duration // user and system time of those that have ended
	Peak      int64         // bytes in memory at most, of any of them
	Resident  int64         // bytes in memory before the last one ended
}

// Program builds stile as it stands here into a folder.
func Program(t testing.TB) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "stile")
	build := exec.Command("go", "build", "-o", bin, "github.com/stile-exchange/stile/cmd/stile")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// FoundProcesses makes a country of councils and bodies each of which is a process.
func FoundProcesses(t testing.TB, seed uint64, bin string, size Size) *Country {
	t.Helper()
	return found(t, seed, size, &processes{bin: bin, used: map[*Council]*Usage{}})
}

// freeAddress finds a loopback port that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port), l.Close()
}

// start runs a council's node and waits until it says that it is ready.
func (p *processes) start(x *Council) error {
	cmd := exec.Command(p.bin, "serve", "--data", x.dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(x.dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return err
	}
	r := bufio.NewReader(out)
	for line := ""; !strings.HasPrefix(line, "ready"); {
		if line, err = r.ReadString('\n'); err != nil {
			cmd.Wait()
			said, _ := os.ReadFile(x.dir + ".log")
			return fmt.Errorf("stile serve ended: %w\n%s", err, said)
		}
	}
	client, err := node.Dial(x.country.t.Context(), config.Default(x.Name, x.dir).AdminSocket)
	if err != nil {
		cmd.Process.Kill()
		return errors.Join(err, cmd.Wait())
	}
	x.node, x.pid = client, cmd.Process.Pid
	x.end = func() error {
		in := residentOf(cmd.Process.Pid)
		err := client.Close()
		// A node that was killed is not there to be told.
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		late := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
		io.Copy(io.Discard, r)
		wait := cmd.Wait()
		late.Stop()
		if x.killed {
			x.killed, wait = false, nil
		}
		p.note(x, cmd.ProcessState, in)
		return errors.Join(err, wait)
	}
	return nil
}

func (p *processes) note(x *Council, s *os.ProcessState, resident int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.used[x]
	if u == nil {
		u = &Usage{}
		p.used[x] = u
	}
	u.Processor += s.UserTime() + s.SystemTime()
	if r, ok := s.SysUsage().(*syscall.Rusage); ok {
		u.Peak = max(u.Peak, int64(r.Maxrss)<<10)
	}
	if resident > 0 {
		u.Resident = resident
	}
}

// kill ends a council's process as a power cut would: without a word. It starts again.
func (x *Council) kill() {
	c := x.country
	c.t.Helper()
	if err := syscall.Kill(x.pid, syscall.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
	x.killed = true
	x.halt()
	x.start()
}

// Day runs one day of the country's life as far as the real clock lets it: records are
// written, changed, deleted and moved, the new standard is adopted, one council lies, one
// process is killed and starts again, and the directory changes. It returns when all is at rest and was
// walked.
func (c *Country) Day() {
	c.t.Helper()
	c.day = 1
	for i, x := range c.councils {
		x.work()
		if i == len(c.councils)/2 {
			victim := c.councils[len(c.councils)-1] // no keeper
			victim.kill()
			c.tell("the process of %s was killed and started again", victim.Name)
		}
	}
	c.councils[0].lie()
	c.tell("%s says in its statement that it has two records more than it has", c.liar.Name)
	changed := c.councils[1].member()
	changed.Contact = "the exchange's desk"
	c.publish(func(r *tufdir.Repository) error { return r.Amend(changed, c.Now()) })
	c.lookAll()
	c.rest()
	c.Walk()
	c.believed()
	c.counts()
	c.Found = c.recount(c.liar, planning)
}

// End ends every process and returns what each took, in the order of the councils; the
// standards bodies come last.
func (c *Country) End() (names []string, used []Usage) {
	for _, x := range c.all() {
		x.halt()
		names, used = append(names, string(x.Name)), append(used, *c.real.used[x])
	}
	return names, used
}

// UsageTable prints what each process took.
func UsageTable(names []string, used []Usage) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-42s%12s%14s%14s\n", "process", "processor", "memory, MiB", "at most, MiB")
	var sum Usage
	for i, u := range used {
		fmt.Fprintf(&b, "%-42s%12s%14d%14d\n", names[i], u.Processor.Round(time.Millisecond), u.Resident>>20, u.Peak>>20)
		sum.Processor += u.Processor
		sum.Resident += u.Resident
		sum.Peak = max(sum.Peak, u.Peak)
	}
	n := int64(max(1, len(used)))
	fmt.Fprintf(&b, "%-42s%12s%14d%14d\n", "a process, and the most of any", (sum.Processor / time.Duration(n)).Round(time.Millisecond), sum.Resident/n>>20, sum.Peak>>20)
	return b.String()
}

// Loopback returns how many packets and bytes went over this machine's loopback device since
// it started, of whatever program; zeros where the system does not say.
func Loopback() (packets, bytes int64) {
	text, _ := os.ReadFile("/proc/net/dev")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "lo:"); ok {
			fmt.Sscan(rest, &bytes, &packets)
		}
	}
	return packets, bytes
}

// residentOf returns the bytes of a process in memory, 0 where the system does not say.
func residentOf(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	var size, pages int64
	fmt.Sscan(string(text), &size, &pages)
	return pages * int64(os.Getpagesize())
}

// logTail is what the processes logged last, for a failed test.
func (c *Country) logTail() string {
	var b strings.Builder
	for _, x := range c.all() {
		if said, err := os.ReadFile(x.dir + ".log"); err == nil && len(said) > 0 {
			lines := slices.Collect(strings.Lines(string(said)))
			fmt.Fprintf(&b, "%s:\n%s", x.Name, strings.Join(lines[max(0, len(lines)-3):], ""))
		}
	}
	return b.String()
}
