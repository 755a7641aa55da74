package footprint

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// TestMain lets this test program be a member's process, too: see memberProcess.
func TestMain(m *testing.M) {
	if dir := os.Getenv("STILE_FENS_MEMBER"); dir != "" {
		if err := memberProcess(dir, name.Council(os.Getenv("STILE_FENS_COUNCIL"))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// An order is a line on a member process's standard input; every one is
// answered by a line.
type order struct {
	Do       string         `json:"do"` // found, join, open, invite, agree, adopt, put, status, digest, snapshot, client, rest, clock, or await, which answers as status does
	Council  name.Council   `json:"council,omitempty"`
	Contacts []name.Council `json:"contacts,omitempty"`
	Ref      string         `json:"ref,omitempty"`
	Seconds  int            `json:"seconds,omitempty"`
	// What await waits for, as far as given: a leader, that many votes, that
	// position applied, that format in use.
	Votes    int    `json:"votes,omitempty"`
	Position uint64 `json:"position,omitempty"`
	Format   int    `json:"format,omitempty"`
}

func (q order) met(s Status) bool {
	votes := 0
	for _, m := range s.Members {
		if m.Votes {
			votes++
		}
	}
	return s.Leader != "" && votes >= q.Votes && s.Position >= q.Position && s.Format >= q.Format
}

type answer struct {
	Error   string            `json:"error,omitempty"`
	Entry   string            `json:"entry,omitempty"` // of put, hex
	Index   uint64            `json:"index,omitempty"`
	Status  Status            `json:"status,omitzero"`
	Digest  string            `json:"digest,omitempty"`
	Applied uint64            `json:"applied,omitempty"`
	Entries map[string]uint64 `json:"entries,omitempty"` // digest: index of each record entry by its hex
}

// memberProcess is one council's process: libp2p, its replica, and orders.
func memberProcess(dir string, self name.Council) error {
	ring, err := keys.Open(filepath.Join(dir, "keys", string(self)), self, nil)
	if err != nil {
		return err
	}
	ms, err := directory.Read(filepath.Join(dir, "directory"))
	if err != nil {
		return err
	}
	book := members{}
	for _, m := range ms {
		book[m.Council] = m
	}
	host, err := wire.Open(wire.Options{Key: ring.Node, Self: self, Directory: bookWire{book}, Listen: book[self].Addresses})
	if err != nil {
		return err
	}
	var ahead atomic.Int64 // of the true time, nanoseconds
	o := Options{
		Dir: filepath.Join(dir, string(self)), Name: fensName, Self: self, Keys: ring, Directory: book, Hub: NewHub(host), MinFree: minFreeProcess,
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	}
	if os.Getenv("STILE_FENS_SHORT_LOG") != "" {
		o.SnapshotAfter, o.KeepLog, o.segment = 64, 32, 64<<10
	}
	clients := &processClient{dir: dir, self: self, ring: ring}
	var f *Footprint
	out := json.NewEncoder(os.Stdout)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var q order
		if err := json.Unmarshal(in.Bytes(), &q); err != nil {
			return err
		}
		var a answer
		switch q.Do {
		case "clock":
			ahead.Store(int64(q.Seconds) * int64(time.Second))
		case "client":
			err = clients.start(f)
		case "rest":
			clients.rest()
		default:
			err = obey(q, o, &f, &a)
		}
		if err != nil {
			a.Error, err = err.Error(), nil
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
	return in.Err()
}

var errNotOpen = errors.New("the replica is not open")

func obey(q order, o Options, f **Footprint, a *answer) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(max(q.Seconds, 1))*time.Second)
	defer cancel()
	std, err := newParish("1.0.0")
	if err != nil {
		return err
	}
	if *f == nil && !slices.Contains([]string{"found", "join", "open"}, q.Do) {
		return errNotOpen
	}
	switch q.Do {
	case "found":
		m, _ := o.Directory.Member(o.Self)
		*f, err = Found(ctx, o, m)
	case "join":
		*f, err = Join(ctx, o, q.Contacts...)
	case "open":
		*f, err = Open(o)
	case "invite":
		_, err = (*f).Invite(ctx, q.Council)
	case "agree":
		_, err = (*f).Agree(ctx, q.Council)
	case "adopt":
		_, err = (*f).Adopt(ctx, std.Archive(), std.Name(), std.Integrity())
	case "put":
		e, err := newToken(o.Keys, std, o.Self, q.Ref, 1, tlog.Hash{})
		if err != nil {
			return err
		}
		r, err := (*f).Put(ctx, e)
		if err != nil {
			return err
		}
		if r.Outcomes[0].Code == Refused {
			return &Refusal{r.Outcomes[0].Rule}
		}
		h := check(e).token.Entry()
		a.Entry, a.Index = hex.EncodeToString(h[:]), r.Outcomes[0].Entry
	case "snapshot":
		if err := (*f).raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
			return err
		}
	case "status":
		a.Status = (*f).Status()
	case "await":
		for a.Status = (*f).Status(); !q.met(a.Status); a.Status = (*f).Status() {
			select {
			case <-(*f).fsm.current().Changed():
			case <-time.After(100 * time.Millisecond): // votes and leaders change outside the replica
			case <-ctx.Done():
				g := (*f).Figures()
				return fmt.Errorf("waited in vain for position %d and %d votes: %s; applied %d of %d committed, last in the log %d, leader %q, stopped %q", q.Position, q.Votes, a.Status.Words, a.Status.Position, g.Committed, (*f).raft.LastIndex(), a.Status.Leader, a.Status.Stopped)
			}
		}
	case "digest":
		// The replica goes on being written to: what is compared must be of the
		// position that is told with it.
		for done := false; !done; {
			h := newHash()
			a.Applied = (*f).Position()
			if _, err := (*f).Backup(h); err != nil {
				return err
			}
			a.Digest, done = hex.EncodeToString(h.Sum(nil)), (*f).Position() == a.Applied
		}
		a.Entries = map[string]uint64{}
		twice := false
		err := (*f).Entries(0, func(e *Held) bool {
			if e.View != nil {
				h := e.Token.Entry()
				_, had := a.Entries[hex.EncodeToString(h[:])]
				twice = twice || had
				a.Entries[hex.EncodeToString(h[:])] = e.Index
			}
			return true
		})
		if twice {
			err = errors.New("an entry stands there twice")
		}
		return err
	default:
		err = errors.New("no such order")
	}
	return err
}

// bookWire shows a directory to wire.
type bookWire struct{ m members }

func (b bookWire) Member(c name.Council) (wire.Member, bool) {
	m, ok := b.m[c]
	return wire.Member{Node: m.Node, Addresses: m.Addresses}, ok
}

func (b bookWire) ByNode(id string) (name.Council, bool) {
	for c, m := range b.m {
		if m.Node == id {
			return c, true
		}
	}
	return "", false
}

// region is a footprint of processes, each in a network namespace of its own or,
// without a tag, at a port of its own.
type region struct {
	t       *testing.T
	dir     string
	tag     string
	small   name.Council            // whose disk is a small one; "" where none could be mounted
	env     []string                // of each process, beside the usual
	program map[name.Council]string // other than this one

	mu     sync.Mutex // guards what follows
	procs  map[name.Council]*process
	acked  map[string]uint64
	serial int
}

type process struct {
	cmd *exec.Cmd

	mu  sync.Mutex // held from an order to its answer
	in  io.WriteCloser
	out *bufio.Reader
}

// form has the councils found a footprint and adopt the standard.
func (r *region) form(cs []name.Council) {
	r.t.Helper()
	r.must(cs[0], order{Do: "found", Seconds: 20})
	for i, c := range cs[1:] {
		r.must(cs[0], order{Do: "invite", Council: c, Seconds: 20})
		for _, by := range cs[1 : i+1] {
			// A majority may have agreed before it is asked.
			r.ask(by, order{Do: "agree", Council: c, Seconds: 10})
		}
		r.must(c, order{Do: "join", Contacts: cs[:1], Seconds: 20})
	}
	r.must(cs[0], order{Do: "adopt", Seconds: 20})
	r.must(cs[0], order{Do: "await", Votes: len(cs), Seconds: 90})
}

// newRegion makes the namespaces and starts a process in each.
func newRegion(t *testing.T, n int, env ...string) *region {
	t.Helper()
	r := &region{t: t, dir: memoryDir(t), tag: fmt.Sprintf("stile%d", os.Getpid()), env: env, procs: map[name.Council]*process{}, acked: map[string]uint64{}}
	if out, err := exec.Command("ip", "netns", "add", r.tag+"hub").CombinedOutput(); err != nil {
		t.Skipf("network namespaces are refused here: ip netns add: %v %s", err, out)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", r.tag+"hub").Run() })
	if out, err := exec.Command("ip", "-n", r.tag+"hub", "link", "add", "br0", "type", "bridge").CombinedOutput(); err != nil {
		t.Skipf("no bridge can be made here: ip link add: %v %s", err, out)
	}
	r.ip("-n", "hub", "link", "set", "br0", "up")
	for i, c := range places[:n] {
		r.enter(i, c, "/ip4/"+r.address(c)+"/tcp/7400")
		s := r.short(c)
		r.ip("netns", "add", s)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", r.ns(c)).Run() })
		if out, err := exec.Command("ip", "-n", r.tag+"hub", "link", "add", "v"+s, "type", "veth", "peer", "name", "eth0", "netns", r.ns(c)).CombinedOutput(); err != nil {
			t.Skipf("no link can be made here: %v %s", err, out)
		}
		r.ip("-n", "hub", "link", "set", "v"+s, "master", "br0", "up")
		r.ip("-n", s, "addr", "add", r.address(c)+"/24", "dev", "eth0")
		r.ip("-n", s, "link", "set", "eth0", "up")
		r.ip("-n", s, "link", "set", "lo", "up")
	}
	disk := filepath.Join(r.dir, string(places[1]))
	if os.Mkdir(disk, 0o700) == nil && exec.Command("mount", "-t", "tmpfs", "-o", "size=320m", "tmpfs", disk).Run() == nil {
		r.small = places[1]
		t.Cleanup(func() { exec.Command("umount", "-l", disk).Run() })
	}
	r.startAll(places[:n])
	return r
}

// enter makes a council's keys and its entry in the directory.
func (r *region) enter(i int, c name.Council, address string) {
	r.t.Helper()
	ring, err := keys.Create(filepath.Join(r.dir, "keys", string(c)), c, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	m := directory.FromRing(c, ring)
	m.Title, m.GSS, m.Role = fmt.Sprintf("Council %d", i), fmt.Sprintf("E0700099%d", i), directory.RoleCouncil
	m.ValidFrom = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	m.Addresses = []string{address}
	if err := errors.Join(os.MkdirAll(filepath.Join(r.dir, "directory"), 0o700),
		os.WriteFile(filepath.Join(r.dir, "directory", string(c)+".yaml"), m.YAML(), 0o600)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *region) startAll(cs []name.Council) {
	r.t.Helper()
	r.t.Cleanup(func() {
		for _, c := range cs {
			if r.procs[c] != nil {
				r.kill(c)
			}
		}
	})
	for _, c := range cs {
		r.start(c)
	}
}

func (r *region) short(c name.Council) string { return string(c[:3]) }
func (r *region) ns(c name.Council) string    { return r.tag + r.short(c) }

func (r *region) address(c name.Council) string {
	for i, p := range places {
		if p == c {
			return fmt.Sprintf("10.77.0.%d", i+1)
		}
	}
	return ""
}

// ip runs ip; the word after -n, or after "netns add", is a namespace of ours.
func (r *region) ip(args ...string) {
	r.t.Helper()
	if args[0] == "-n" {
		args[1] = r.tag + args[1]
	} else {
		args[2] = r.tag + args[2]
	}
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		r.t.Fatalf("ip %s: %v %s", strings.Join(args, " "), err, out)
	}
}

func (r *region) start(c name.Council) {
	r.t.Helper()
	program := r.program[c]
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			r.t.Fatal(err)
		}
	}
	cmd := exec.Command(program)
	if r.tag != "" {
		cmd = exec.Command("ip", "netns", "exec", r.ns(c), program)
	}
	cmd.Env = append(os.Environ(), "STILE_FENS_MEMBER="+r.dir, "STILE_FENS_COUNCIL="+string(c))
	cmd.Env = append(cmd.Env, r.env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.procs[c] = &process{cmd: cmd, in: in, out: bufio.NewReaderSize(out, 1<<20)}
}

func (r *region) process(c name.Council) *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.procs[c]
}

// kill ends a process as a power cut would: ip executes the program in its own
// place, so it is the member that dies.
func (r *region) kill(c name.Council) {
	p := r.process(c)
	r.mu.Lock()
	delete(r.procs, c)
	r.mu.Unlock()
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

func (r *region) ask(c name.Council, q order) (a answer) {
	r.t.Helper()
	a, err := r.process(c).ask(q)
	if err != nil {
		r.t.Fatalf("%s: %s: %v", c, q.Do, err)
	}
	return a
}

func (p *process) ask(q order) (a answer, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := json.NewEncoder(p.in).Encode(q); err != nil {
		return a, err
	}
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	return a, err
}

func (r *region) must(c name.Council, q order) answer {
	r.t.Helper()
	a := r.ask(c, q)
	if a.Error != "" {
		r.t.Fatalf("%s: %s: %s", c, q.Do, a.Error)
	}
	return a
}

func (r *region) put(c name.Council, n int) {
	r.t.Helper()
	for range n {
		r.yes(r.must(c, r.next()))
	}
}

// next is the order to put the next record.
func (r *region) next() order {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serial++
	return order{Do: "put", Ref: fmt.Sprint("record-", r.serial), Seconds: 60}
}

// yes keeps what was acknowledged.
func (r *region) yes(a answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acked[a.Entry] = a.Index
}

// leader asks who leads, and whoever is named, until one says that it does.
func (r *region) leader(cs ...name.Council) name.Council {
	r.t.Helper()
	l := cs[0]
	for range 20 {
		said := r.must(l, order{Do: "await", Seconds: 90}).Status.Leader
		if said == l {
			return l
		}
		l = said
	}
	r.t.Fatal("the members do not agree who leads")
	return ""
}

// level waits until all members have applied the same, and compares.
func (r *region) level(cs []name.Council) {
	r.t.Helper()
	first := r.must(cs[0], order{Do: "digest"})
	for i := 1; i < len(cs); {
		r.must(cs[i], order{Do: "await", Position: first.Applied, Seconds: 90})
		a := r.must(cs[i], order{Do: "digest"})
		switch {
		case a.Applied > first.Applied: // a mark was made meanwhile
			r.must(cs[0], order{Do: "await", Position: a.Applied, Seconds: 90})
			first = r.must(cs[0], order{Do: "digest"})
			i = 1
		case a.Digest != first.Digest:
			r.t.Fatalf("%s holds another ledger than %s", cs[i], cs[0])
		default:
			i++
		}
	}
	for e, i := range r.acked {
		if at, ok := first.Entries[e]; !ok || at != i {
			r.t.Fatalf("an entry acknowledged at %d stands at %d (%v)", i, at, ok)
		}
	}
	r.t.Logf("%d acknowledged, each there once on %d members", len(r.acked), len(cs))
}

func without(cs []name.Council, c name.Council) (out []name.Council) {
	for _, o := range cs {
		if o != c {
			out = append(out, o)
		}
	}
	return out
}
