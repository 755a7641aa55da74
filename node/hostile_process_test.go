//go:build unix

package node_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// The processes of TestHostileProcesses are this test's program, run anew for one of two roles:
// northmoor, which is attacked, and the hostile member, which has the lowest priority.
const (
	roleVar     = "STILE_HOSTILE_ROLE" // northmoor, or the numbers of harms
	folderVar   = "STILE_HOSTILE_FOLDER"
	northmoorAt = "STILE_HOSTILE_AT" // northmoor's node, its TCP and its HTTP address
)

// TestHostileRole is what those processes do; it is no test.
func TestHostileRole(t *testing.T) {
	switch role := os.Getenv(roleVar); role {
	case "":
		t.Skip("a role in TestHostileProcesses")
	case "northmoor":
		beNorthmoor(t, os.Getenv(folderVar))
	default:
		beHostile(t, role, os.Getenv(folderVar), os.Getenv(northmoorAt))
	}
}

// beNorthmoor runs the node of a folder until its input ends, and answers what it is asked by line:
// what processor time and memory it has used.
func beNorthmoor(t *testing.T, dir string) {
	cfg, err := config.Load(filepath.Join(dir, config.FileName))
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(cfg, node.Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	r := runIn(t, context.Background(), n)
	fmt.Println("> ready")
	var profile *os.File
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		what, arg, _ := strings.Cut(lines.Text(), " ")
		switch what {
		case "cpu":
			var u syscall.Rusage
			syscall.Getrusage(syscall.RUSAGE_SELF, &u)
			fmt.Println(">", u.Utime.Nano()+u.Stime.Nano())
		case "heap":
			fmt.Println(">", heap())
		case "goroutines":
			fmt.Println(">", runtime.NumGoroutine())
		case "profile":
			if profile, err = os.Create(arg); err == nil {
				err = pprof.StartCPUProfile(profile)
			}
			fmt.Println(">", err)
		case "profiled":
			pprof.StopCPUProfile()
			profile.Close()
			fmt.Println("> 0")
		}
	}
	r.stop()
}

// beHostile does harms, by their numbers, until its input ends.
func beHostile(t *testing.T, which, dir, at string) {
	self := name.Council("fenwick.gov.uk")
	ring, err := keys.Open(filepath.Join(dir, "keys"), self, nil)
	if err != nil {
		t.Fatal(err)
	}
	where := strings.Fields(at)
	x := &assault{self: self, ring: ring, tcp: where[1], http: where[2], log: invent(self, ring)}
	host, again := hostAs(t, ring, self, where[0], where[1])
	x.net, x.again = host, again
	x.as = func(r *keys.Ring, c name.Council) (wire.Network, func(context.Context)) {
		return hostAs(t, r, c, where[0], where[1])
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, f := range strings.Split(which, ",") {
		i, _ := strconv.Atoi(f)
		if harms[i].by == whole && x.node == nil {
			cfg, err := config.Load(filepath.Join(dir, config.FileName))
			if err != nil {
				t.Fatal(err)
			}
			if x.node, err = node.Open(cfg, node.Options{}); err != nil {
				t.Fatal(err)
			}
			runIn(t, wire.With(context.Background(), host), x.node)
			host.Dial(ctx, northmoor)
		}
		wg.Go(func() { harms[i].do(ctx, x) })
	}
	fmt.Println("> ready")
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			fmt.Println(">", x.did.Load())
		}
		cancel()
	}()
	<-ctx.Done()
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(5 * time.Second): // it is hostile, and owes nobody a good end
	}
	host.Close()
	os.Exit(0)
}

// hostAs opens a network that knows northmoor, and returns how it connects anew.
func hostAs(t *testing.T, ring *keys.Ring, self name.Council, northmoorNode, tcp string) (*wire.Host, func(context.Context)) {
	_, port, _ := net.SplitHostPort(tcp)
	d := &door{self: string(self), node: northmoorNode, at: "/ip4/127.0.0.1/tcp/" + port}
	h, err := wire.Open(wire.Options{Key: ring.Node, Self: self, Directory: d})
	if err != nil {
		t.Fatal(err)
	}
	return h, func(ctx context.Context) {
		d.shut.Store(true)
		h.Refresh()
		d.shut.Store(false)
		h.Dial(ctx, northmoor)
	}
}

// A role is a process of ours.
type role struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// begin starts this program for a role, and waits until it is ready.
func begin(t testing.TB, what, dir, at string, wrap ...string) *role {
	t.Helper()
	args := append(wrap, os.Args[0], "-test.run=^TestHostileRole$", "-test.timeout=0")
	r := &role{t: t, cmd: exec.CommandContext(t.Context(), args[0], args[1:]...)}
	r.cmd.Env = append(os.Environ(), roleVar+"="+what, folderVar+"="+dir, northmoorAt+"="+at)
	r.cmd.Stderr = os.Stderr
	var err error
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.out = bufio.NewScanner(out)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.end)
	r.answer()
	return r
}

func (r *role) answer() string {
	r.t.Helper()
	for r.out.Scan() {
		if a, ok := strings.CutPrefix(r.out.Text(), "> "); ok {
			return a
		}
	}
	r.t.Fatal("a process ended before its time")
	return ""
}

func (r *role) ask(what string) int64 {
	r.t.Helper()
	fmt.Fprintln(r.in, what)
	n, _ := strconv.ParseInt(r.answer(), 10, 64)
	return n
}

func (r *role) end() {
	r.in.Close()
	for r.out.Scan() {
	}
	r.cmd.Wait()
}

// freePort is a port of the loopback address that nobody listens at.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// A cost is what honest writes took, and northmoor spent.
type cost struct {
	took []time.Duration
	cpu  time.Duration // northmoor's processor time, for each second
	did  int64
}

func (c cost) ms(of float64) float64 {
	return float64(c.took[min(len(c.took)-1, int(of*float64(len(c.took))))].Microseconds()) / 1e3
}

// TestHostileProcesses: northmoor and a hostile member are processes of their own, on TCP, and the
// hostile one has the lowest priority, so that what slows an honest write is the work that it
// causes at northmoor, and not that it works itself. Whatever it does, an honest partner is served,
// and memory is given back.
//
// STILE_HOSTILE is the number of writes for each way; it prints a table (make hostile).
// STILE_HOSTILE_WAY names some by a part of their name, and STILE_HOSTILE_PROFILE a folder for
// profiles of northmoor. Without STILE_HOSTILE the ways are tried in memory alone: TestHostileMember.
func TestHostileProcesses(t *testing.T) {
	count, err := strconv.Atoi(os.Getenv("STILE_HOSTILE"))
	if err != nil {
		t.Skip("measures only with STILE_HOSTILE, the number of writes; make hostile")
	}
	top, err := os.MkdirTemp("", "sh") // Unix sockets have short names
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	tcp, served := fmt.Sprint("127.0.0.1:", freePort(t)), fmt.Sprint("127.0.0.1:", freePort(t))
	_, port, _ := net.SplitHostPort(tcp)
	dirA, dirF := filepath.Join(top, "a"), filepath.Join(top, "f")
	cfg, err := node.Init(t.Context(), node.InitOptions{Dir: dirA, Council: northmoor, GSS: "E07000998", Listen: []string{"/ip4/127.0.0.1/tcp/" + port}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := node.Init(t.Context(), node.InitOptions{Dir: dirF, Council: "fenwick.gov.uk", GSS: "E07000905", Listen: []string{}}); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dirA, config.FileName), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "http_listen: %s\nlimits: {min_free_mib: 16}\n", served)
	f.Close()

	b := start(t, saltby, "E07000999")
	open := func(dir string) *running {
		cfg, err := config.Load(filepath.Join(dir, config.FileName))
		if err != nil {
			t.Fatal(err)
		}
		n, err := node.Open(cfg, node.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return &running{Node: n}
	}
	a, c := open(dirA), open(dirF)
	introduceAt(t, map[*running][]string{a: {"/ip4/127.0.0.1/tcp/" + port}, b: b.Addresses(), c: nil})
	call(t, a.Agreements().Sign, node.AgreementRequest{Document: []byte(planningAgreement)})
	ring, err := keys.Open(filepath.Join(dirA, "keys"), northmoor, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := directory.NodeID(ring.Node.Public().(ed25519.PublicKey)) + " " + tcp + " " + served
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	victim := begin(t, "northmoor", dirA, at)
	client, err := node.Dial(t.Context(), cfg.AdminSocket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	await(t, "the proposal arrives", func() bool { return len(get(t, b.Agreements().List)) == 1 })
	call(t, b.Agreements().Sign, node.AgreementRequest{Name: "northmoor.gov.uk/planning-for-saltby"})

	done := 0
	measure := func(hostile *role) (c cost) {
		t.Helper()
		cpu, began := victim.ask("cpu"), time.Now()
		for len(c.took) < count || time.Since(began) < 5*time.Second {
			c.took = append(c.took, writes(t, client, b, &done, min(count, 20))...)
		}
		slices.Sort(c.took)
		c.cpu = time.Duration(float64(victim.ask("cpu")-cpu) / time.Since(began).Seconds())
		if hostile != nil {
			c.did = hostile.ask("did")
		}
		return c
	}
	measure(nil) // warm
	before := victim.ask("heap")
	type way struct {
		name string
		of   []int
	}
	var ways []way
	for i, h := range harms {
		ways = append(ways, way{h.name, []int{i}})
	}
	ways = append(ways, way{"three at once: streams, proposals, large frames", []int{0, 6, 9}})
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%d writes each, %d cores, load before it began %s\n", count, runtime.NumCPU(), strings.Join(strings.Fields(string(load))[:1], ""))
	fmt.Printf("| %-48s | %6s | %6s | %6s | %6s | %6s | %8s | %8s | %8s | %7s |\n|---|---|---|---|---|---|---|---|---|---|\n", "a hostile member does", "p50", "alone", "p99", "alone", "ratio", "cpu ms/s", "alone", "did", "heap MB")
	for _, way := range ways {
		if !strings.Contains(way.name, os.Getenv("STILE_HOSTILE_WAY")) {
			continue
		}
		alone := measure(nil)
		var list []string
		for _, i := range way.of {
			list = append(list, strconv.Itoa(i))
		}
		hostile := begin(t, strings.Join(list, ","), dirF, at, "nice", "-n", cmp.Or(os.Getenv("STILE_HOSTILE_NICE"), "19"))
		await(t, "it has begun: "+way.name, func() bool { return hostile.ask("did") > 2 })
		if dir := os.Getenv("STILE_HOSTILE_PROFILE"); dir != "" {
			victim.ask("profile " + filepath.Join(dir, strings.Join(list, "-")+".prof"))
		}
		under := measure(hostile)
		if os.Getenv("STILE_HOSTILE_PROFILE") != "" {
			victim.ask("profiled")
		}
		hostile.end()
		after, left := victim.ask("heap"), time.Now()
		for after > before+64<<20 && time.Since(left) < time.Minute { // what it opened ends by its own limit of time
			writes(t, client, b, &done, 1)
			after = victim.ask("heap")
		}
		if waited := time.Since(left); waited > time.Second {
			fmt.Printf("%s: its memory was given back after %v\n", way.name, waited.Round(time.Second))
		}
		fmt.Printf("| %-48s | %6.1f | %6.1f | %6.1f | %6.1f | %6.1f | %8d | %8d | %8d | %7d |\n", way.name, under.ms(.5), alone.ms(.5), under.ms(.99), alone.ms(.99),
			under.ms(.99)/alone.ms(.99), under.cpu.Milliseconds(), alone.cpu.Milliseconds(), under.did, after>>20)
		if after > before+64<<20 {
			t.Errorf("%s: %d MB are in use, and %d were before it came", way.name, after>>20, before>>20)
		}
	}
	if !slices.ContainsFunc(get(t, client.Status).Shares, func(s api.SharePassed) bool { return s.Council == "fenwick.gov.uk" && s.Count > 0 }) {
		t.Error("nothing was refused to the hostile member")
	}
}

// introduceAt is introduce, with the addresses of each.
func introduceAt(t testing.TB, at map[*running][]string) {
	t.Helper()
	for n, addresses := range at {
		me := call(t, n.Councils().Show, node.MemberNameRequest{})
		m, err := directory.ParseMember([]byte(me.Document))
		if err != nil {
			t.Fatal(err)
		}
		m.Addresses = addresses
		for other := range at {
			call(t, other.Councils().Add, node.MemberRequest{Document: m.YAML()})
		}
	}
}
