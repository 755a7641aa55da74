// Package simtest runs councils in a world in memory, with weather, and checks
// what holds whatever happens.
//
// A [World] has a few councils, each a real node (package node) with its ledger
// on disk, on a network in memory that loses, cuts and delays. [World.Step]
// does one random thing: somebody writes, deletes, signs, amends, suspends or ends
// an agreement, or asks under one, a link breaks, a node is restarted or killed. [World.Check] lets
// the world come to rest and then walks all of it, against a model that knows
// only what was written and what was signed.
//
// The invariants are those of the design:
//
//	I2  no record is held twice or lost between two councils
//	I3  no field or row beyond an agreement ever leaves, on any path
//	I4  every held record verifies to its issuer and to a cosigned checkpoint
//	I5  checkpoints only grow
//	I6  a withdrawn record is gone from the partner and receipted
//	I7  logs and errors hold no field's value
//
// I3 and I7 are watched at every moment: every value is a canary that names
// its field, every frame that leaves a council is taken apart, and so is every
// line a node logs.
// Under an agreement on counts no record leaves, and no group that is small; what is
// told is what there was to tell when somebody first asked on that day.
//
// Lines are slow at times and pages small, so that much is done while a copy is under way,
// and what is new goes ahead of it; some nodes are of v0.1.0, with which all comes in order.
//
// Every council makes records of a second major of the standard by its mapping, and
// some agreements are over those.
//
// At rest every council makes the bundles that an auditor would be handed, and they
// are looked through. The files of every council are read too, all that its store has ever
// written and not yet dropped, and looked through for canaries that it may not have.
//
// A Whole, in whole_test.go, is a world in which the agreements have every mode at once and the councils live as
// councils do, pass on what they received and keep a footprint; an oracle written apart says which value may be
// where. See docs/faults.md.
//
// A World lives in a bubble of package testing/synctest, where hours of it
// pass at once. Its seed fixes what is tried and when, but not how goroutines
// are scheduled, so a seed that failed may have to be run more than once.
package simtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/internal/wire/wiretest"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A World is some councils and the network between them. It belongs to one
// goroutine, that of the test.
type World struct {
	t        testing.TB
	rng      *rand.Rand
	ways     *rand.Rand // what releases run, and which lines are slow; nil for none but this one
	net      *wire.Memory
	dir      string
	councils []*Council
	story    []string // what was done, for a failure to print
	last     map[name.Council]tlog.Checkpoint
	counter  int // of canaries
	answered int // questions
	scanned  int // values found in files
	counted  int // groups that were shown

	mu       sync.Mutex // guards what follows, and each Council's facts
	state    *agreement.State
	texts    map[name.Agreement][]*text
	fens     bool                                                // there is a footprint
	votes    map[agreement.Digest]map[name.Council]bool          // members that signed a text with the footprint
	written  map[string]written                                  // by the number of its canaries
	entered  map[canary]bool                                     // what was seen going into the footprint, and may
	tails    map[string][]byte                                   // the end of what went before, by stream and direction
	overFrom map[name.Agreement]bool                             // ended by the sender itself: nothing may leave
	halted   map[agreement.Digest]bool                           // suspended by the sender itself: nothing but withdrawals may leave
	tallies  map[tallied][]map[string]int                        // what was there to be counted whenever somebody asked
	made     int                                                 // records made by the mapping that left
	first    int                                                 // pages that went ahead of a copy
	asks     map[name.Council]asking                             // how each node asks for records
	jump     atomic.Int64                                        // by how much every clock is ahead
	feeds    map[uint64]string                                   // feed that a stream asked for
	sent     map[name.Council]map[name.Agreement]map[canary]bool // in batches, by receiver
	fault    func(wire.Write) wire.Fault
	broken   []string // what the tap and the logs saw
}

// A Council is one council of a World: what it knows, and its node.
type Council struct {
	Name name.Council

	w     *World
	dir   string
	lives int
	cfg   *config.Config
	edit  func(*config.Config) // of every start; nil for none
	ring  *keys.Ring
	facts map[string]*fact // by reference; guarded by World.mu
	skew  atomic.Int64     // by how much its clock is ahead of all others

	bundled map[name.Agreement]map[canary]bool // what stands in a bundle of each of its agreements
	newest  map[string]uint64                  // of what it held, by agreement and record, the version

	node  *node.Node // nil while it is down
	net   *wire.MemoryNode
	stop  context.CancelFunc
	ended chan error
}

// An asking is how a node asks for records.
type asking struct {
	old   bool                // it is of v0.1.0, whose pages come and go in order
	whole bool                // it does not ask for small pages
	wrong func(*wirepb.Hello) // a fault that is planted; nil for none
}

// A fact is a record as its council wrote it: the body of every version, nil
// where it was deleted.
type fact struct{ versions []map[string]any }

func (f *fact) now() map[string]any {
	if f == nil || len(f.versions) == 0 {
		return nil
	}
	return f.versions[len(f.versions)-1]
}

var towns = []name.Council{"northmoor.gov.uk", "saltby.gov.uk", "hexwell.gov.uk", "marlow.gov.uk"}

// New founds a world of n councils, at most four, each in the directory of the
// others. It must be called in a bubble, after [Warm].
func New(t testing.TB, seed uint64, n int) *World {
	t.Helper()
	return found(t, seed, n, nil)
}

// found is New with the configuration of the first council edited at each of its starts.
func found(t testing.TB, seed uint64, n int, edit func(*config.Config)) *World {
	t.Helper()
	w := &World{
		t: t, rng: rand.New(rand.NewPCG(seed, 0)), ways: rand.New(rand.NewPCG(seed, 1)), net: wire.NewMemory(), dir: t.TempDir(),
		asks: map[name.Council]asking{}, last: map[name.Council]tlog.Checkpoint{}, state: agreement.NewState(), texts: map[name.Agreement][]*text{},
		overFrom: map[name.Agreement]bool{}, halted: map[agreement.Digest]bool{}, feeds: map[uint64]string{}, tallies: map[tallied][]map[string]int{},
		sent:  map[name.Council]map[name.Agreement]map[canary]bool{},
		votes: map[agreement.Digest]map[name.Council]bool{}, written: map[string]written{}, entered: map[canary]bool{}, tails: map[string][]byte{},
	}
	w.net.OnWrite(w.tap)
	one, two := caseStandards(t)
	for i, nm := range towns[:n] {
		c := &Council{w: w, Name: nm, dir: filepath.Join(w.dir, fmt.Sprint(nm, "-0")), facts: map[string]*fact{}, newest: map[string]uint64{}}
		var err error
		c.cfg, err = node.Init(t.Context(), node.InitOptions{
			Dir: c.dir, Council: nm, GSS: fmt.Sprintf("E0700099%d", i), Listen: []string{}, NoStandards: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 && edit != nil {
			// The empty ledger is made anew, as the configuration has it.
			if err := os.RemoveAll(filepath.Join(c.dir, "ledger")); err != nil {
				t.Fatal(err)
			}
		}
		if c.ring, err = keys.Open(filepath.Join(c.dir, "keys"), nm, nil); err != nil {
			t.Fatal(err)
		}
		w.councils = append(w.councils, c)
	}
	w.councils[0].edit = edit
	for _, c := range w.councils {
		c.start()
	}
	for _, c := range w.councils {
		for _, other := range w.councils {
			m := call(other, other.node.Councils().Show, node.MemberNameRequest{})
			call(c, c.node.Councils().Add, node.MemberRequest{Document: []byte(m.Document)})
		}
		call(c, c.node.Standards().Adopt, node.AdoptRequest{Archive: one.Archive()})
		call(c, c.node.Standards().Adopt, node.AdoptRequest{Archive: two.Archive()})
		call(c, c.node.Standards().Serve, node.ServeRequest{Standard: string(caseName) + "@2"})
	}
	t.Cleanup(w.Close)
	return w
}

// Close stops every node.
func (w *World) Close() {
	for _, c := range w.councils {
		c.halt()
	}
}

// start opens the council's folder and runs its node.
func (c *Council) start() {
	w := c.w
	w.t.Helper()
	cfg := config.Default(c.Name, c.dir)
	cfg.Limits.MinFreeMiB = 16
	if c.edit != nil {
		c.edit(cfg)
	}
	c.net = w.net.Node(c.Name)
	n, err := node.Open(cfg, node.Options{
		Log:   slog.New(&watch{w: w, of: c.Name}),
		Now:   func() time.Time { return time.Now().Add(time.Duration(w.jump.Load() + c.skew.Load())) },
		Fatal: func(err error) { w.breach("%s ended: %v", c.Name, err) },
	})
	if err != nil {
		w.t.Fatalf("start %s: %v", c.Name, err)
	}
	if w.ways != nil {
		w.mu.Lock()
		w.asks[c.Name] = asking{old: w.ways.IntN(6) == 0, whole: w.ways.IntN(4) == 0}
		w.mu.Unlock()
	}
	ctx, cancel := context.WithCancel(wire.With(context.Background(), wiretest.Hellos(c.net, c.hello)))
	c.node, c.stop, c.ended = n, cancel, make(chan error, 1)
	go func() { c.ended <- n.Run(ctx) }()
	<-n.Ready()
}

// hello changes how the node asks for records. Mostly it asks for small pages, so that a copy
// is of several and what is new goes ahead of it; where it or the sender is of v0.1.0 all
// comes in order.
func (c *Council) hello(h *wirepb.Hello) {
	c.w.mu.Lock()
	how, old := c.w.asks[c.Name], false
	if strings.Contains(h.Feed, "/") { // records, not notices
		old = c.w.asks[sender(name.Agreement(h.Feed))].old
	}
	c.w.mu.Unlock()
	if !how.whole && (h.Frame == 0 || h.Frame > smallPage) {
		h.Frame = smallPage
	}
	if how.old || old {
		wiretest.V010(h)
	}
	if how.wrong != nil {
		how.wrong(h)
	}
}

// smallPage is the smallest page that a node makes for whoever asks, in bytes.
const smallPage = 64 << 10

// halt stops the node in good order.
func (c *Council) halt() {
	if c.node == nil {
		return
	}
	c.stop()
	if err := <-c.ended; err != nil {
		c.w.breach("%s: run: %v", c.Name, err)
	}
	c.net.Close()
	if err := c.node.Close(); err != nil {
		c.w.breach("%s: close: %v", c.Name, err)
	}
	c.node = nil
}

// kill stops the node as a power cut would, at this very instant: it comes up
// again with what its folder holds now, whatever it does on its way down. All
// else in the bubble stands still meanwhile.
func (c *Council) kill() {
	synctest.Wait()
	c.lives++
	copied := filepath.Join(c.w.dir, fmt.Sprint(c.Name, "-", c.lives))
	if err := copyTree(copied, c.dir); err != nil {
		c.w.t.Fatal(err)
	}
	c.net.Close() // nothing that it does from here on gets out
	c.halt()
	if err := sameHead(copied, c.dir); err != nil {
		c.w.t.Fatal(err)
	}
	if err := os.RemoveAll(c.dir); err != nil {
		c.w.t.Fatal(err)
	}
	c.dir = copied
}

// try carries out an operation on the council's node; what it fails with is the
// node's *Error.
func try[In, Out any](c *Council, f func(context.Context, In) (Out, error), in In) (Out, error) {
	out, err := f(c.w.t.Context(), in)
	if err != nil && strings.Contains(err.Error(), canaryWord) {
		c.w.breach("%s: an error holds a value", c.Name)
	}
	return out, err
}

// call carries out an operation that must not fail.
func call[In, Out any](c *Council, f func(context.Context, In) (Out, error), in In) Out {
	c.w.t.Helper()
	out, err := try(c, f, in)
	if err != nil {
		c.w.fail("%s: %T: %v", c.Name, in, err)
	}
	return out
}

// breach notes that an invariant does not hold; it may be called from any
// goroutine. The next step or check fails on it.
func (w *World) breach(format string, a ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.broken) < 40 { // more than a small page holds
		w.broken = append(w.broken, fmt.Sprintf(format, a...))
	}
}

// sound fails the test if anything was noted.
func (w *World) sound() {
	w.t.Helper()
	w.mu.Lock()
	broken := w.broken
	w.mu.Unlock()
	if len(broken) > 0 {
		w.fail("%s", strings.Join(broken, "\n"))
	}
}

// count says in words how often a world did what a seed may leave out.
func (w *World) count() string {
	n := map[string]int{}
	for _, s := range w.story {
		for _, verb := range []string{"suspends", "resumes", "asks under", "killed", "signs", "ends"} {
			if strings.Contains(s, verb) {
				n[verb]++
			}
		}
	}
	return fmt.Sprintf("%v, %d questions answered, %d groups counted, %d records made by the mapping sent, %d values found in files, %d seen on their way into the footprint, %d pages went ahead of a copy", n, w.answered, w.counted, w.made, w.scanned, len(w.entered), w.first)
}

func (w *World) fail(format string, a ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\n\nwhat was done:\n  %s", fmt.Sprintf(format, a...), strings.Join(w.story, "\n  "))
}

func (w *World) tell(format string, a ...any) {
	at := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Round(time.Millisecond)
	w.story = append(w.story, fmt.Sprintf("%-10s ", at)+fmt.Sprintf(format, a...))
}

// watch is a log handler that looks for values in what nodes log (I7).
type watch struct {
	w     *World
	of    name.Council
	attrs string
}

func (h *watch) Enabled(context.Context, slog.Level) bool { return true }

func (h *watch) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message + h.attrs)
	r.Attrs(func(a slog.Attr) bool { fmt.Fprintf(&b, " %s=%v", a.Key, a.Value); return true })
	if strings.Contains(b.String(), canaryWord) {
		h.w.breach("%s logs a value (%q)", h.of, r.Message)
	}
	if os.Getenv("STILE_TEST_LOG") != "" {
		fmt.Fprintf(os.Stderr, "%s %s %s %s\n", r.Time.Format("15:04:05.000"), h.of, r.Level, &b)
	}
	return nil
}

func (h *watch) WithAttrs(as []slog.Attr) slog.Handler {
	g := *h
	for _, a := range as {
		g.attrs += fmt.Sprintf(" %s=%v", a.Key, a.Value)
	}
	return &g
}

func (h *watch) WithGroup(string) slog.Handler { return h }

// Warm makes what Badger makes once in a process and shares, an encoder and a
// decoder with channels in them. Made in a bubble they would be of no use in
// the next. Call it before the first bubble.
var Warm = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "warm")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r, err := keys.Generate(towns[0])
	if err != nil {
		return err
	}
	for range 2 { // to write a table, and to read it
		l, err := ledger.Open(ledger.Options{Dir: dir, Council: towns[0], Keys: r, MinFree: 1})
		if err != nil {
			return err
		}
		_, err = l.OpenNotices(context.Background(), towns[1])
		if err := errors.Join(err, l.Close()); err != nil {
			return err
		}
	}
	return nil
})

func (w *World) council(n name.Council) *Council {
	i := slices.IndexFunc(w.councils, func(c *Council) bool { return c.Name == n })
	return w.councils[i]
}
