package peersync_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/internal/wire/wiretest"
	"github.com/stile-exchange/stile/node/name"
)

const (
	northmoor = name.Council("northmoor.gov.uk") // shares, or lies
	saltby    = name.Council("saltby.gov.uk")    // receives, or lies
	hexwell   = name.Council("hexwell.gov.uk")   // honest neighbour of both
)

// A town is a few councils on a network in memory, in one bubble of virtual
// time. Each has keys and stands in the directory; whoever runs a node has a
// ledger and a Syncer, the others are played by the test.
type town struct {
	t     testing.TB
	world *wire.Memory
	dir   *directory.Directory
	rings map[name.Council]*keys.Ring

	folder  string              // where councils that run from now on have their ledgers; "" in memory
	started int                 // nodes, for their instances
	signed  bool                // councils that run from now on ask for signed tokens
	hello   func(*wirepb.Hello) // changes the hellos of councils that run from now on; nil changes nothing
	quota   *quota.Keeper       // of every house; nil is without bounds
	ahead   atomic.Int64        // how far the clocks of nodes are ahead of that of the bubble, whose days cost seconds

	over func(name.Council, wire.Network) wire.Network // what stands between councils that run from now on and the network; nil for nothing
}

// warm makes what Badger makes once in a process and shares, an encoder and a
// decoder with channels in them, before any bubble: made in one they would not
// be fit for use in another.
var warm = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "warm")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r, err := keys.Generate(northmoor)
	if err != nil {
		return err
	}
	for range 2 { // to write a table, and to read it
		l, err := ledger.Open(ledger.Options{Dir: dir, Council: northmoor, Keys: r, MinFree: 1})
		if err != nil {
			return err
		}
		if _, err := l.OpenNotices(context.Background(), saltby); err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
})

// inTown runs f in a bubble, with the directory made.
func inTown(t *testing.T, f func(t *testing.T, w *town), more ...name.Council) {
	t.Helper()
	if err := warm(); err != nil {
		t.Fatal(err)
	}
	members, rings := people(t, more...)
	synctest.Test(t, func(t *testing.T) { f(t, newTown(t, members, rings)) })
}

// people returns the councils of a town, with their keys.
func people(t testing.TB, more ...name.Council) ([]directory.Member, map[name.Council]*keys.Ring) {
	t.Helper()
	var members []directory.Member
	rings := map[name.Council]*keys.Ring{}
	for i, c := range append([]name.Council{northmoor, saltby, hexwell}, more...) {
		r, err := keys.Generate(c)
		if err != nil {
			t.Fatal(err)
		}
		rings[c] = r
		m := directory.FromRing(c, r)
		m.Title, m.GSS, m.Role = string(c), fmt.Sprintf("E0700099%d", i), directory.RoleCouncil
		m.ValidFrom = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		if err := m.Check(); err != nil {
			t.Fatal(err)
		}
		members = append(members, m)
	}
	return members, rings
}

func newTown(t testing.TB, members []directory.Member, rings map[name.Council]*keys.Ring) *town {
	t.Helper()
	d, err := directory.New(members...)
	if err != nil {
		t.Fatal(err)
	}
	return &town{t: t, world: wire.NewMemory(), dir: d, rings: rings}
}

// parish returns a made-up standard: reference open, ward internal, all else
// personal. From version 1.1.0 on it calls /phone open.
func parish(t testing.TB, nm, version string) *standard.Standard {
	t.Helper()
	classes := "  /reference: open\n  /ward: internal\n"
	if version != "1.0.0" {
		classes += "  /phone: open\n"
	}
	s, err := standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte("name: standards.example/" + nm + "\nversion: " + version + "\ntitle: Parish item\nstatus: live\nkey: [/reference]\nclasses:\n" + classes)},
		"schema.json": {Data: []byte(`{"type":"object","required":["reference"],"properties":{
			"reference":{"type":"string"},"ward":{"type":"string","maxLength":8},"name":{"type":"string"},"phone":{"type":"string"}}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// terms returns an agreement: its sender lets its receivers have reference and
// ward of the rows of ward X.
func terms(t testing.TB, from name.Council, nm string, version int, edit func(*agreement.Agreement), to ...name.Council) *agreement.Agreement {
	t.Helper()
	a := &agreement.Agreement{
		Name: name.Agreement(string(from) + "/" + nm), Version: version, From: from, To: to, Mode: agreement.Replicate,
		Standard: parish(t, "parish-item", "1.0.0").Name().Line(), Rows: `record.ward == "X"`,
		Fields: []name.Field{"/reference", "/ward"}, Starts: "2000-01-01",
	}
	if edit != nil {
		edit(a)
	}
	again, err := agreement.ParseCanonical(a.Canonical())
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// A book is the agreements as one council sees them.
type book struct {
	self name.Council

	mu      sync.Mutex
	force   map[name.Agreement]*agreement.Agreement
	halted  map[name.Agreement]*agreement.Agreement
	texts   map[name.Agreement][]*agreement.Agreement // all that were ever in force, the oldest first
	ended   map[name.Agreement]time.Time
	notices []string
}

func (b *book) set(as ...*agreement.Agreement) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range as {
		b.force[a.Name] = a
		if !slices.ContainsFunc(b.texts[a.Name], func(t *agreement.Agreement) bool { return t.Digest() == a.Digest() }) {
			b.texts[a.Name] = append(b.texts[a.Name], a)
		}
	}
}

// Texts says where the texts stand of an agreement that was set, each signed by all.
func (b *book) Texts(a name.Agreement, now time.Time) (out []agreement.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, doc := range slices.Backward(b.texts[a]) {
		st := agreement.Status{Agreement: doc, Digest: doc.Digest(), Phase: agreement.InForce}
		switch {
		case i < len(b.texts[a])-1:
			st.Phase = agreement.Superseded
		case b.halted[a] != nil:
			st.Phase = agreement.Suspended
		case b.force[a] == nil:
			st.Phase, st.Endings = agreement.Ended, []agreement.Ending{{By: doc.From, At: b.ended[a], Reason: "over"}}
		}
		out = append(out, st)
	}
	return out
}

func (b *book) end(a name.Agreement) { b.endAt(a, time.Now()) }

func (b *book) endAt(a name.Agreement, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.force[a], b.ended[a] = nil, at
}

// suspend suspends an agreement as this council sees it, or resumes it.
func (b *book) suspend(a *agreement.Agreement, halted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.halted, b.force[a.Name] = map[name.Agreement]*agreement.Agreement{a.Name: a}, nil
	if !halted {
		b.halted, b.force[a.Name] = nil, a
	}
}

func (b *book) Suspended(a name.Agreement, now time.Time) *agreement.Agreement {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.halted[a]
}

func (b *book) InForce(a name.Agreement, now time.Time) (*agreement.Agreement, string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	doc, known := b.force[a]
	switch {
	case !known:
		return nil, "no such agreement was proposed"
	case doc == nil:
		return nil, "ended 2026-01-01 by northmoor.gov.uk: over"
	}
	return doc, ""
}

func (b *book) Inbound(now time.Time) (out []*agreement.Agreement) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, list := range []map[name.Agreement]*agreement.Agreement{b.force, b.halted} {
		for _, a := range list {
			if a != nil && slices.Contains(a.To, b.self) {
				out = append(out, a)
			}
		}
	}
	return out
}

func (b *book) Related() (out []name.Council) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.force {
		if a != nil && a.Party(b.self) {
			out = append(out, a.Parties()...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (b *book) Notice(from name.Council, index uint64, jws []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ev, err := record.ParseEvent(jws)
	if err != nil {
		panic(err)
	}
	b.notices = append(b.notices, fmt.Sprintf("%s %d %s", from, index, ev.Kind))
}

// A house is a council that runs a node.
type house struct {
	*peersync.Syncer
	w      *town
	self   name.Council
	ledger *ledger.Ledger
	net    *wire.MemoryNode
	book   *book
	stop   func()
}

// run starts a council's node with some agreements in force, those it sends
// under with their feeds open.
func (w *town) run(c name.Council, as ...*agreement.Agreement) *house {
	w.t.Helper()
	return w.runWith(c, parish(w.t, "parish-item", "1.0.0"), time.Now, as...)
}

// twin starts a second node with a council's keys, of which the first knows nothing.
func (w *town) twin(c name.Council, as ...*agreement.Agreement) *house {
	w.t.Helper()
	return w.runOn(w.world.Twin(c), c, parish(w.t, "parish-item", "1.0.0"), time.Now, as...)
}

// runWith is run with a standard adopted and a clock by which deliveries are judged.
func (w *town) runWith(c name.Council, std *standard.Standard, now func() time.Time, as ...*agreement.Agreement) *house {
	w.t.Helper()
	return w.runOn(w.world.Node(c), c, std, now, as...)
}

func (w *town) runOn(net *wire.MemoryNode, c name.Council, std *standard.Standard, now func() time.Time, as ...*agreement.Agreement) *house {
	w.t.Helper()
	w.started++
	l, err := ledger.Open(ledger.Options{
		Council: c, Keys: w.rings[c], Dir: w.folder, InMemory: w.folder == "", MinFree: 1, Log: w.log(c),
		Fatal: func(err error) { w.t.Errorf("%s ended: %v", c, err) }, Now: w.now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	h := &house{w: w, self: c, ledger: l, net: net, book: &book{self: c, force: map[name.Agreement]*agreement.Agreement{}, texts: map[name.Agreement][]*agreement.Agreement{}, ended: map[name.Agreement]time.Time{}}}
	if err := l.Adopt(w.t.Context(), std); err != nil {
		w.t.Fatal(err)
	}
	h.agree(as...)
	var over wire.Network = h.net
	if w.hello != nil {
		over = wiretest.Hellos(over, w.hello)
	}
	if w.over != nil {
		over = w.over(c, over)
	}
	h.Syncer = peersync.New(peersync.Options{
		Self: c, Ledger: l, Keys: w.rings[c], Directory: w.dir, Judge: judge.New(judge.Options{
			Directory: w.dir, Ledger: l, Standards: l.Standard, Now: now, Last: l.Last,
			Stopped: func(name.Council) { h.Refresh() },
			Prove:   func(log, member name.Council) ledger.Prover { return peersync.Prove(h.net, time.Now, log, member) },
		}), Network: over, Agreements: h.book, Log: w.log(c), Signed: w.signed, Quota: w.quota, Now: w.now,
		Instance: peersync.Instance{byte(w.started)},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { h.Run(ctx) })
	wg.Go(func() { wire.Keep(ctx, h.net, h.Partners, nil) })
	h.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		h.net.Close()
		if err := l.Close(); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(h.stop)
	return h
}

func (w *town) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

func (w *town) log(c name.Council) *slog.Logger {
	if os.Getenv("STILE_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil)).With("node", c)
}

func (h *house) agree(as ...*agreement.Agreement) {
	h.w.t.Helper()
	h.book.set(as...)
	for _, a := range as {
		if a.From == h.self {
			if err := errors.Join(h.ledger.OpenFeed(h.w.t.Context(), a), h.ledger.AwaitFeed(h.w.t.Context(), a)); err != nil {
				h.w.t.Fatal(err)
			}
		}
	}
	if h.Syncer != nil {
		h.Refresh()
	}
}

func item(ref, ward string) map[string]any {
	return map[string]any{"reference": ref, "ward": ward, "name": "CANARY " + ref}
}

func (h *house) put(bodies ...map[string]any) []ledger.Result {
	h.w.t.Helper()
	std := parish(h.w.t, "parish-item", "1.0.0")
	var offers []*ledger.Offer
	for _, b := range bodies {
		o, err := h.ledger.Offer(std, b)
		if err != nil {
			h.w.t.Fatal(err)
		}
		offers = append(offers, o)
	}
	if err := h.ledger.Write(h.w.t.Context(), offers...); err != nil {
		h.w.t.Fatal(err)
	}
	var out []ledger.Result
	for _, o := range offers {
		r, err := o.Result()
		if err != nil {
			h.w.t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// held returns what a house holds from a council under an agreement: version
// by reference, that which is hidden while its folder is not known to be the newest too.
// Whatever is held must verify.
func (h *house) held(a name.Agreement) map[string]uint64 {
	h.w.t.Helper()
	from := name.Council(a[:strings.IndexByte(string(a), '/')])
	src, err := h.ledger.Source(from, a)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	out := map[string]uint64{}
	err = h.ledger.View(func(v *ledger.View) error {
		return v.HiddenToo(src, 0, func(hd *ledger.Holding, err error) bool {
			if err != nil {
				h.w.t.Errorf("holding: %v", err)
				return true
			}
			if hd.View.Council != from || hd.View.Body["name"] != nil {
				h.w.t.Errorf("%s holds entry %d of %s with %v", h.self, hd.Index, hd.View.Council, hd.View.Disclosed)
			}
			out[hd.View.Body["reference"].(string)] = hd.View.Version
			return true
		})
	})
	if err != nil {
		h.w.t.Fatal(err)
	}
	if src.Records != len(out) {
		h.w.t.Errorf("%s counts %d records of %s and holds %d", h.self, src.Records, a, len(out))
	}
	return out
}

// holds reports whether so many records are held. To read them costs much more than to ask
// how many there are, so that comes first.
func (h *house) holds(a name.Agreement, n int) bool {
	h.w.t.Helper()
	return h.source(a).Records == n && len(h.held(a)) == n
}

// refusals returns the rules that a house refused something of an agreement by.
func (h *house) refusals(from name.Council, a name.Agreement) (rules []string) {
	h.w.t.Helper()
	src, err := h.ledger.Source(from, a)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	err = h.ledger.View(func(v *ledger.View) error {
		return v.Refusals(src, func(r ledger.Refusal) bool {
			rules = append(rules, r.Rule)
			return true
		})
	})
	if err != nil {
		h.w.t.Fatal(err)
	}
	return rules
}

func (h *house) source(a name.Agreement) *ledger.Source {
	h.w.t.Helper()
	src, err := h.ledger.Source(name.Council(a[:strings.IndexByte(string(a), '/')]), a)
	if err != nil {
		return &ledger.Source{}
	}
	return src
}

// await lets virtual time pass until f says true.
func (w *town) await(what string, f func() bool) {
	w.t.Helper()
	for range 600 {
		synctest.Wait()
		if f() {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	w.t.Fatalf("waited two minutes in vain until %s", what)
}

func keysOf[V any](m map[string]V) string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (b *book) Concerns(*record.Event) bool         { return true }
func (b *book) Waiting(name.Council, time.Time) int { return 0 }
