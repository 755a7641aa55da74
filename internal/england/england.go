// Package england runs the councils of England, each a real node with its ledger on
// disk, in one process, on a network in memory and in virtual time, through a month of
// their life.
//
// A [Country] has councils of the reference list, two standards bodies, one directory that
// all of them follow, regional footprints of three keepers each, and somebody who audits. Every day begins with a step
// of all clocks to the next morning; then the councils work, and the day lasts until what
// they did has had [Workday] to travel. What is between two workdays does not run: a month
// of nights of 300 idle nodes would show nothing but heartbeats.
//
// What holds is walked once a week and at the end, against a model that knows only what
// was written and what was agreed: each partner holds what the agreement lets it, all of
// it, once, and no withheld value; each footprint holds what was brought into it; what is
// withdrawn is gone and receipted; everybody has the newest edition of the directory; of the
// council that ended nothing is left but its sealed log and what its heir took over; the
// standards body counts as adopting exactly those who are, against the councils that England
// has on that day; and bundles drawn by the seed verify for an auditor who trusts nobody.
package england

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
	"github.com/stile-exchange/stile/schemas/councils"
)

// The standards that are exchanged, and the names of the two bodies that publish none
// themselves but count who complies.
const (
	planning  = name.StandardName("standards.stile.example/planning-application")
	tipping   = name.StandardName("standards.stile.example/fly-tipping")
	statement = name.StandardName("standards.stile.example/compliance-statement")

	planningBody = name.Council("planning.standards.example")
	wasteBody    = name.Council("waste.standards.example")
)

// Workday is how long what was done on a day has to travel before the clocks step on.
const Workday = 3 * time.Minute

// memory is how much of it each node is told to stay within, in MiB: less than a
// configuration may name. What a node of the default size has ready to write into would
// be 31 MiB, of which a council here uses a few.
const memory = 32

// keepers is how many members keep each footprint.
const keepers = 3

// least is how many councils there are at least, in one process: who keeps a replica does not
// come back from a backup, and with one council beside the keepers that is the one that ends.
const least = keepers + 2

// A Size says how much of England is run, and for how long.
type Size struct {
	Councils   int // of the reference list; 0 for all
	Footprints int // regional footprints; at most one for every three councils
	Days       int
	Daily      int           // records that a council writes on a day, on average
	Workday    time.Duration // default [Workday]
}

// A Country is the councils, the network between them and what the model knows of them.
// It belongs to one goroutine, that of the test, and lives in a synctest bubble unless its
// nodes are processes.
type Country struct {
	t    testing.TB
	size Size
	rng  *rand.Rand
	net  *wire.Memory
	dir  string

	councils   []*Council
	bodies     []*Council
	footprints []*footprint

	ahead    atomic.Int64 // by how much every clock is ahead of the bubble's
	day      int
	messages atomic.Int64
	bytes    atomic.Int64
	logged   atomic.Int64 // lines of level warn and error
	offers   int          // records written, changed or deleted
	told     []string     // what happened, by day
	liar     *Council
	Found    []name.Council // who an auditor found to say what its records do not bear out, on the day of the lie
	Adoption []Reading      // by day, from the first
	saved    saved
	first    time.Time // the morning before the first day
	ends     succession
	real     *processes // nil where all nodes are in this one
	invite   string     // to the directory
}

// A Council is one council, or a standards body: its node, and what the model knows.
type Council struct {
	Name name.Council
	Ref  councils.Council // the zero value for a standards body

	country *Country
	dir     string
	next    *Council // the neighbour to which it sends planning applications
	region  *footprint
	adopts  int // the day on which it begins to bring fly-tipping into its footprint
	plans   map[string]string
	tips    map[string]string
	serial  int
	signed  map[string]bool // what it has signed for others
	listed  bool            // has published a statement on fly-tipping
	begins  int             // its first day; 0 for those that were there before
	novated name.Agreement  // under which it sends to the council that followed its neighbour
	backed  int             // day on which it let its next neighbour send back; 0 for none

	node   operations   // nil while it is down
	end    func() error // stops the node in good order
	pid    int          // of its process, where it has one of its own
	killed bool
}

// operations is what can be asked of a node, whether it runs here or as a process of its own.
type operations interface {
	Status(context.Context) (node.StatusReply, error)
	Bundle(context.Context, node.BundleRequest) (node.BundleReply, error)
	Backup(context.Context, node.BackupRequest, io.Writer) (node.BackupReply, error)
	Agreements() node.Agreements
	Backups() node.Backups
	Councils() node.Councils
	Directory() node.Directory
	Footprints() node.Footprints
	Log() node.Log
	Records() node.Records
	Standards() node.Standards
	Successions() node.Successions
}

type footprint struct {
	name    name.Council
	members []*Council // the keepers
	region  []*Council // who brings records into it
}

// Now returns what every clock of the country says.
func (c *Country) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Found makes the country: nodes, directories, standards, footprints and the agreements
// under which all that follows travels. It must be called in a bubble.
func Found(t testing.TB, seed uint64, size Size) *Country {
	t.Helper()
	return found(t, seed, size, nil)
}

func found(t testing.TB, seed uint64, size Size, real *processes) *Country {
	t.Helper()
	if size.Workday == 0 {
		size.Workday = Workday
	}
	c := &Country{
		t: t, size: size, rng: rand.New(rand.NewPCG(seed, 0)), net: wire.NewMemory(), dir: t.TempDir(), real: real,
	}
	c.ends.day = max(4, 2*size.Days/3)
	c.first = reorganised.AddDate(0, 0, -c.ends.day).Add(8 * time.Hour)
	if real == nil {
		c.ahead.Store(int64(time.Until(c.first)))
	}
	c.net.OnWrite(func(w wire.Write) wire.Fault {
		c.messages.Add(1)
		c.bytes.Add(int64(len(w.Data)))
		return wire.None
	})
	t.Cleanup(c.close)

	list := councils.At(c.Now())
	if n := size.Councils; n > 0 && n < len(list) {
		c.rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		if rest := list[n:]; !slices.ContainsFunc(list[:n], ending) {
			list[n-1] = rest[slices.IndexFunc(rest, ending)]
		}
		list = list[:n]
	}
	if n := len(list); real == nil && size.Footprints > 0 && n < least {
		t.Fatalf("england: %d councils are too few, want %d: besides the %d that keep a footprint one ends, and another comes back from a backup", n, least, keepers)
	}
	slices.SortFunc(list, func(a, b councils.Council) int {
		return strings.Compare(a.Region+a.GSS, b.Region+b.GSS)
	})
	used := map[name.Council]bool{}
	for _, ref := range list {
		nm := domain(ref.Name)
		if used[nm] {
			nm = domain(ref.Name + "-" + string(ref.Type))
		}
		used[nm] = true
		c.councils = append(c.councils, c.newCouncil(nm, ref))
	}
	for _, nm := range []name.Council{planningBody, wasteBody} {
		c.bodies = append(c.bodies, c.newCouncil(nm, councils.Council{}))
	}
	for i, x := range c.councils {
		x.next = c.councils[(i+1)%len(c.councils)]
		x.adopts = 1 + c.rng.IntN(max(1, size.Days-2))
	}
	if real == nil {
		c.choose()
	}
	for _, x := range c.all() {
		x.found()
	}
	c.divide()
	c.federate()
	c.adopt(c.all()...)
	c.form()
	c.agree()
	return c
}

func (c *Country) newCouncil(nm name.Council, ref councils.Council) *Council {
	return &Council{
		Name: nm, Ref: ref, country: c, dir: filepath.Join(c.dir, string(nm)),
		plans: map[string]string{}, tips: map[string]string{}, signed: map[string]bool{},
	}
}

// found makes the folder of a council or body, with keys of its own, and starts its node.
func (x *Council) found() {
	c := x.country
	c.t.Helper()
	role := node.RoleCouncil
	if x.Ref.GSS == "" {
		role = node.RoleStandardsBody
	}
	listen, at := []string{}, address(x.Name)
	if c.real != nil {
		var err error
		if at, err = freeAddress(); err != nil {
			c.t.Fatal(err)
		}
		listen = []string{at}
	}
	if _, err := node.Init(c.t.Context(), node.InitOptions{
		Dir: x.dir, Council: x.Name, Title: x.Ref.Name, GSS: x.Ref.GSS, Role: role, Listen: listen, Addresses: []string{at}, NoStandards: true, Now: c.Now,
	}); err != nil {
		c.t.Fatal(err)
	}
	x.start()
}

// domain returns what a made-up domain of a council is called: its name as one label.
func domain(title string) name.Council {
	var b strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case r >= 'a' && r <= 'z':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-") && r != '\'' && r != '.':
			b.WriteByte('-')
		}
	}
	return name.Council(strings.TrimSuffix(b.String(), "-") + ".gov.uk")
}

func (c *Country) all() []*Council { return slices.Concat(c.councils, c.bodies) }

// divide divides the country into regions, each with a footprint.
func (c *Country) divide() {
	n := min(c.size.Footprints, len(c.councils)/keepers)
	for i := range n {
		from, to := i*len(c.councils)/n, (i+1)*len(c.councils)/n
		fp := &footprint{name: name.Council(fmt.Sprintf("region-%d.example", i+1)), region: slices.Clone(c.councils[from:to])}
		for _, x := range fp.region {
			if len(fp.members) < keepers && x != c.ends.old { // who keeps one has to leave it before it ends
				fp.members = append(fp.members, x)
			}
		}
		for _, x := range fp.region {
			x.region = fp
		}
		c.footprints = append(c.footprints, fp)
	}
}

// adopt has councils adopt the standards, as their publisher made them.
func (c *Country) adopt(who ...*Council) {
	for _, std := range []name.StandardName{planning, tipping, statement} {
		s, err := standard.Load(schemas.FS(strings.TrimPrefix(string(std), "standards.stile.example/") + "/1.0.0"))
		if err != nil {
			c.t.Fatal(err)
		}
		for _, x := range who {
			call(x, x.node.Standards().Adopt, node.AdoptRequest{Archive: s.Archive()})
		}
	}
}

// form has the keepers of each region form its footprint.
func (c *Country) form() {
	for _, fp := range c.footprints {
		a, b, d := fp.members[0], fp.members[1], fp.members[2]
		in := node.FootprintRequest{Name: string(fp.name)}
		via, of := in, in
		via.Via = []string{string(a.Name)}
		call(a, a.node.Footprints().Found, in)
		of.Council = string(b.Name)
		call(a, a.node.Footprints().Invite, of)
		call(b, b.node.Footprints().Join, via)
		of.Council = string(d.Name)
		call(a, a.node.Footprints().Invite, of)
		call(b, b.node.Footprints().Agree, of)
		call(d, d.node.Footprints().Join, via)
		call(a, a.node.Footprints().Adopt, node.FootprintAdoptRequest{Name: string(fp.name), Standard: string(tipping) + "@1"})
		c.await("the keepers of "+string(fp.name)+" vote", func() bool {
			st := call(a, a.node.Footprints().Status, in)[0].Status
			return len(st.Members) == keepers && !slices.ContainsFunc(st.Members, func(m node.FootprintMember) bool { return !m.Votes })
		})
		entry := call(b, b.node.Footprints().Entry, in)
		call(c.host(), c.host().node.Councils().Add, node.MemberRequest{Document: []byte(entry.Document)})
	}
	c.lookAll()
}

// start opens the council's folder and runs its node.
func (x *Council) start() {
	c := x.country
	c.t.Helper()
	if c.real != nil {
		if err := c.real.start(x); err != nil {
			c.t.Fatalf("start %s: %v", x.Name, err)
		}
		return
	}
	cfg := config.Default(x.Name, x.dir)
	cfg.Limits.MinFreeMiB = 16
	cfg.Limits.MemoryMiB = memory
	w := c.net.Node(x.Name)
	n, err := node.Open(cfg, node.Options{
		Log:   slog.New(watch{c}),
		Now:   c.Now,
		Fatal: func(err error) { c.t.Errorf("%s ended: %v", x.Name, err) },
	})
	if err != nil {
		c.t.Fatalf("start %s: %v", x.Name, err)
	}
	ctx, cancel := context.WithCancel(wire.With(context.Background(), w))
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	<-n.Ready()
	x.node, x.end = n, func() error {
		cancel()
		err := <-ended
		w.Close()
		return errors.Join(err, n.Close())
	}
}

// halt stops the node in good order.
func (x *Council) halt() {
	if x.node == nil {
		return
	}
	if err := x.end(); err != nil {
		x.country.t.Errorf("%s: %v", x.Name, err)
	}
	x.node = nil
}

func (c *Country) close() {
	for _, x := range c.all() {
		x.halt()
	}
	if c.ends.old != nil {
		c.ends.old.halt()
	}
	if c.ends.heir != nil {
		c.ends.heir.halt()
	}
}

// patience is how long something may take that must come about: the longest pauses
// between two tries are two minutes.
const patience = 15 * time.Minute

// settle returns when nothing moves any more until time passes; with processes, at once.
func (c *Country) settle() {
	if c.real == nil {
		synctest.Wait()
	}
}

// pause lets time pass until a condition is looked at again: d, and of real time a blink.
func (c *Country) pause(d time.Duration) {
	if c.real != nil {
		d = 50 * time.Millisecond
	}
	time.Sleep(d)
}

// await lets time pass until something is so.
func (c *Country) await(what string, so func() bool) {
	c.t.Helper()
	for start := time.Now(); ; c.pause(time.Second) {
		c.settle()
		if so() {
			return
		}
		if time.Since(start) > patience {
			c.t.Fatalf("day %d: it is never so that %s", c.day, what)
		}
	}
}

// call carries out an operation that must not fail.
func call[In, Out any](x *Council, f func(context.Context, In) (Out, error), in In) Out {
	x.country.t.Helper()
	out, err := f(x.country.t.Context(), in)
	if err != nil {
		x.country.t.Fatalf("day %d: %s: %T: %v", x.country.day, x.Name, in, err)
	}
	return out
}

// notFound reports whether an operation failed because there is no such thing.
func notFound(err error) bool {
	var e *node.Error
	return errors.As(err, &e) && e.Kind == node.NotFound
}

// A watch counts the lines that an operator would look at.
type watch struct{ c *Country }

func (w watch) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (w watch) WithAttrs([]slog.Attr) slog.Handler           { return w }
func (w watch) WithGroup(string) slog.Handler                { return w }
func (w watch) Handle(context.Context, slog.Record) error {
	w.c.logged.Add(1)
	return nil
}
