package footprint

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stile-exchange/stile/node/name"
)

// TestUpgradeProcesses: three processes of the program before this one are killed
// and started as this one, one after another, the leader among them, while
// records go in at every member. What was acknowledged is there once on all, and
// the format has moved on, but not before the last was upgraded.
func TestUpgradeProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("builds another program and starts processes")
	}
	cs := places[:3]
	r := &region{t: t, dir: memoryDir(t), program: map[name.Council]string{}, procs: map[name.Council]*process{}, acked: map[string]uint64{}}
	old := programBefore(t, r.dir)
	for i, c := range cs {
		r.program[c] = old
		r.enter(i, c, "/ip4/127.0.0.1/tcp/"+freePort(t))
	}
	r.startAll(cs)
	r.form(cs)

	var wg sync.WaitGroup
	stop := make(chan struct{})
	back := map[name.Council]chan struct{}{}
	for _, c := range cs {
		back[c] = make(chan struct{}, 1)
		wg.Go(func() {
			for {
				a, err := answer{}, errNotOpen
				if p := r.process(c); p != nil {
					a, err = p.ask(r.next())
				}
				switch {
				case err != nil || a.Error == errNotOpen.Error(): // killed: nobody knows about that one
					select {
					case <-back[c]:
					case <-stop:
						return
					}
				case a.Error != "":
					t.Errorf("%s: %s", c, a.Error)
				default:
					r.yes(a)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	leader := r.leader(cs...)
	order1 := append(without(cs, leader), leader)
	for _, c := range order1 {
		if s := r.must(cs[0], order{Do: "await"}).Status; s.Format != 2 {
			t.Errorf("format %d before %s is upgraded", s.Format, c)
		}
		if slices.Index(order1, c) > 0 {
			if s := r.must(order1[0], order{Do: "await"}).Status; !strings.Contains(s.Words, "older version of Stile") {
				t.Errorf("before %s is upgraded: %s", c, s.Words)
			}
		}
		r.kill(c)
		r.program[c] = ""
		r.start(c)
		r.must(c, order{Do: "open"})
		select {
		case back[c] <- struct{}{}:
		default: // it did not notice
		}
		now := r.must(without(cs, c)[0], order{Do: "await"}).Status.Position
		r.must(c, order{Do: "await", Position: now, Votes: 3, Seconds: 60})
	}
	for _, c := range cs {
		r.must(c, order{Do: "await", Format: 3, Seconds: 60})
	}
	close(stop)
	wg.Wait()
	for _, c := range cs {
		r.put(c, 2)
	}
	r.level(cs)

	// There is no way back.
	r.kill(cs[0])
	r.program[cs[0]] = old
	r.start(cs[0])
	if a := r.ask(cs[0], order{Do: "open"}); !strings.Contains(a.Error, "must be upgraded") {
		t.Errorf("the older program opened the replica: %q", a.Error)
	}
}

// programBefore builds this test program as it is with the format before.
func programBefore(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "before")
	args := []string{"test", "-c", "-tags", "stile_footprint_2", "-o", path}
	if b, ok := debug.ReadBuildInfo(); ok && slices.Contains(b.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race") // so that what it is made of has been built already
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command to build the older program with")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, out)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// freePort returns a port that nobody listens at.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}
