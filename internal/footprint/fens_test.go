package footprint

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

const fensName = name.Council("fens.example")

var places = []name.Council{
	"northmoor.gov.uk", "saltby.gov.uk", "hexwell.gov.uk", "eastmere.gov.uk", "wickham.gov.uk", "dunholt.gov.uk",
}

// fens is a world of councils that keep a footprint, in one process.
type fens struct {
	t     testing.TB
	world *wire.Memory
	dir   string
	book  members
	rings map[name.Council]*keys.Ring
	std   *standard.Standard
	tune  func(*Options)
	open  func(name.Council) wire.Network // default: a node of the world

	mu     sync.Mutex
	nodes  map[name.Council]wire.Network
	prints map[name.Council]*Footprint
	gen    map[name.Council]int // of its folder: grows when the disk is lost
}

// members is a directory that a test may change.
type members map[name.Council]directory.Member

func (m members) Member(c name.Council) (directory.Member, bool) { e, ok := m[c]; return e, ok }
func (m members) Members() []directory.Member                    { return slices.Collect(maps.Values(m)) }

// warm opens what starts goroutines once for a process, outside any bubble.
var warm = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "stile-warm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var r *ledger.Replica
	for i := range uint64(2) { // written, compressed, read
		if r, err = ledger.OpenReplica(ledger.ReplicaOptions{Dir: filepath.Join(dir, "replica"), Name: fensName}); err != nil {
			return err
		}
		err := r.Apply(i+1, func(t *ledger.ReplicaTx) error {
			for n := range 2000 {
				t.Append(tlog.Hash{byte(n)}, make([]byte, 1000))
			}
			return nil
		})
		if err == nil && i == 0 {
			err = r.Close()
		}
		if err != nil {
			return err
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "log"), 0o700); err != nil {
		return err
	}
	w, err := openLog(filepath.Join(dir, "log"), 0, nil)
	if err != nil {
		return err
	}
	if err := w.StoreLog(&raft.Log{Index: 1, Term: 1}); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return r.Close()
})

var rings = sync.OnceValue(func() map[name.Council]*keys.Ring {
	out := map[name.Council]*keys.Ring{}
	for _, c := range places {
		r, err := keys.Generate(c)
		if err != nil {
			panic(err)
		}
		out[c] = r
	}
	return out
})

// inFens runs f in a bubble of virtual time.
func inFens(t *testing.T, f func(t *testing.T, w *fens)) {
	t.Helper()
	if err := warm(); err != nil {
		t.Fatal(err)
	}
	rings()
	synctest.Test(t, func(t *testing.T) {
		w := newFens(t)
		defer w.close()
		f(t, w)
	})
}

func newFens(t testing.TB) *fens {
	w := &fens{
		t: t, world: wire.NewMemory(), dir: memoryDir(t), book: members{}, rings: rings(), std: parish(t, "1.0.0"), tune: func(*Options) {},
		nodes: map[name.Council]wire.Network{}, prints: map[name.Council]*Footprint{}, gen: map[name.Council]int{},
	}
	for i, c := range places {
		m := directory.FromRing(c, w.rings[c])
		m.Title, m.GSS, m.Role = fmt.Sprintf("Council %d", i), fmt.Sprintf("E0700099%d", i), directory.RoleCouncil
		m.ValidFrom = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		if err := m.Check(); err != nil {
			t.Fatal(err)
		}
		w.book[c] = m
	}
	return w
}

func newHash() hash.Hash { return sha256.New() }

// memoryDir returns a folder on a file system in memory where there is one:
// what is tried here does not hang on how long a sync takes.
func memoryDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "stile-fens-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func parish(t testing.TB, version string) *standard.Standard {
	t.Helper()
	s, err := newParish(version)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newParish(version string) (*standard.Standard, error) {
	return standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte("name: standards.example/parish-item\nversion: " + version + "\ntitle: Parish item\nstatus: live\nkey: [/reference]\nclasses:\n  /reference: open\n")},
		"schema.json": {Data: []byte(`{"type":"object","required":["reference"],"properties":{
			"reference":{"type":"string"},"ward":{"type":"string","maxLength":8},"name":{"type":"string"}}}`)},
	})
}

func (w *fens) options(c name.Council) Options {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.nodes[c] == nil {
		if w.open != nil {
			w.nodes[c] = w.open(c)
		} else {
			w.nodes[c] = w.world.Node(c)
		}
	}
	o := Options{
		Dir: filepath.Join(w.dir, fmt.Sprint(c, "-", w.gen[c])), Name: fensName, Self: c, Keys: w.rings[c], Directory: w.book,
		Hub: NewHub(w.nodes[c]), MinFree: 1, Log: slog.New(slog.DiscardHandler),
	}
	if os.Getenv("FENS_LOG") != "" {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", c)
	}
	w.tune(&o)
	return o
}

func (w *fens) set(c name.Council, f *Footprint) *Footprint {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.prints[c] = f
	return f
}

func (w *fens) at(c name.Council) *Footprint {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.prints[c]
}

// up returns the members that run.
func (w *fens) up() (out []name.Council) {
	for _, c := range places {
		if w.at(c) != nil {
			out = append(out, c)
		}
	}
	return out
}

// form founds the footprint with the first n councils and adopts the standard.
func (w *fens) form(n int) {
	w.t.Helper()
	ctx := w.t.Context()
	f, err := Found(ctx, w.options(places[0]), w.book[places[0]])
	if err != nil {
		w.t.Fatal(err)
	}
	w.set(places[0], f)
	for _, c := range places[1:n] {
		w.admit(c)
	}
	if _, err := f.Adopt(ctx, w.std.Archive(), w.std.Name(), w.std.Integrity()); err != nil {
		w.t.Fatal(err)
	}
	w.await("every member votes", func() bool { return w.voters() == n })
}

// admit has the members agree to a council, and the council join.
func (w *fens) admit(c name.Council) {
	w.t.Helper()
	ctx := w.t.Context()
	ups := w.up()
	if _, err := w.at(ups[0]).Invite(ctx, c); err != nil {
		w.t.Fatalf("invite %s: %v", c, err)
	}
	for _, by := range ups[1:] {
		if err := w.at(by).catchUp(ctx); err != nil {
			w.t.Fatal(err)
		}
		if w.at(by).fsm.state.Load().Open == nil {
			break // a majority has agreed
		}
		if _, err := w.at(by).Agree(ctx, c); err != nil {
			w.t.Fatalf("%s agrees to %s: %v", by, c, err)
		}
	}
	for _, by := range ups { // any of them may be asked
		if err := w.at(by).catchUp(ctx); err != nil {
			w.t.Fatal(err)
		}
	}
	f, err := Join(ctx, w.options(c), ups...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.set(c, f)
}

func (w *fens) voters() (n int) {
	l := w.leader()
	if l == nil {
		return 0
	}
	c := l.raft.GetConfiguration()
	if c.Error() != nil {
		return 0
	}
	for _, s := range c.Configuration().Servers {
		if s.Suffrage == raft.Voter {
			n++
		}
	}
	return n
}

func (w *fens) leader() *Footprint {
	for _, c := range w.up() {
		if f := w.at(c); f.raft.State() == raft.Leader && f.ready.Load() != nil {
			return f
		}
	}
	return nil
}

// stop closes a member's replica and its node.
func (w *fens) stop(c name.Council) {
	w.t.Helper()
	f := w.at(c)
	w.set(c, nil)
	w.mu.Lock()
	n := w.nodes[c]
	delete(w.nodes, c)
	w.mu.Unlock()
	n.Close()
	if err := f.Close(); err != nil {
		w.t.Errorf("close %s: %v", c, err)
	}
}

func (w *fens) start(c name.Council) *Footprint {
	w.t.Helper()
	f, err := Open(w.options(c))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.set(c, f)
}

func (w *fens) close() {
	for _, c := range w.up() {
		w.stop(c)
	}
}

func (w *fens) await(what string, f func() bool) {
	w.t.Helper()
	for range 1200 {
		if f() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, c := range w.up() {
		w.t.Logf("%s: %s", c, w.at(c).Status().Words)
	}
	w.t.Fatalf("waited in vain: %s", what)
}

// token makes a record of a council, at a version; prev is the entry before.
func (w *fens) token(c name.Council, ref string, version uint64, prev tlog.Hash, more ...string) Entry {
	return token(w.t, w.rings[c], w.std, c, ref, version, prev, more...)
}

func token(t testing.TB, ring *keys.Ring, std *standard.Standard, c name.Council, ref string, version uint64, prev tlog.Hash, more ...string) Entry {
	t.Helper()
	e, err := newToken(ring, std, c, ref, version, prev, more...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func newToken(ring *keys.Ring, std *standard.Standard, c name.Council, ref string, version uint64, prev tlog.Hash, more ...string) (Entry, error) {
	body := map[string]any{"reference": ref, "ward": "X", "name": "somebody"}
	for i := 0; i+1 < len(more); i += 2 {
		body[more[i]] = more[i+1]
	}
	var seed record.Seed
	binary.BigEndian.PutUint64(seed[:], version)
	d, err := record.Build(record.Claims{
		Council: c, IssuedAt: 946_684_800, Standard: std.Name(), Integrity: std.Integrity(),
		Record: ring.RecordID(std.Name().Line(), ref), Version: version, Prev: prev, Op: record.Put,
	}, ring.Record.ID(), std.Layout(), body, seed)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Token: d.Bytes()}, nil
}

// check takes an entry apart.
func check(e Entry) *checked {
	c := &checked{offered: e}
	c.parse()
	return c
}

// sealed returns a group as its contributor seals it.
func (w *fens) sealed(g group) group { return w.sealedBy(g.contributor, g) }

// sealedBy returns a group with a seal that another makes in the contributor's name.
func (w *fens) sealedBy(by name.Council, g group) group {
	w.t.Helper()
	var err error
	if g.seal, err = SealPage(w.rings[by].Record, fensName, g.contributor, g.agreement, g.since, g.cursor, g.entries); err != nil {
		w.t.Fatal(err)
	}
	return g
}

// passOn has a member pass on a page that a council outside has sealed.
func (w *fens) passOn(by, c name.Council, a name.Agreement, since, next uint64, entries ...Entry) (Receipt, error) {
	g := w.sealed(group{contributor: c, agreement: a, since: since, cursor: next, entries: entries})
	return w.at(by).ContributeFor(w.t.Context(), c, a, since, next, g.seal, entries...)
}

func (w *fens) event(c name.Council, kind string, body map[string]any) Entry {
	w.t.Helper()
	ring := w.rings[c]
	d, err := record.BuildEvent(record.Event{Council: c, IssuedAt: 946_684_800, Kind: kind, Body: body}, ring.Record.ID())
	if err != nil {
		w.t.Fatal(err)
	}
	sig, err := ring.Record.Sign(d.SigningInput())
	if err != nil {
		w.t.Fatal(err)
	}
	return Entry{Token: d.Seal(sig).Bytes()}
}

func (w *fens) put(c name.Council, entries ...Entry) Receipt {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	r, err := w.at(c).Put(ctx, entries...)
	if err != nil {
		w.t.Fatalf("put at %s: %v", c, err)
	}
	for i, o := range r.Outcomes {
		if o.Code == Refused {
			w.t.Fatalf("put at %s: entry %d: %s", c, i, o.Rule)
		}
	}
	return r
}

// same waits until every member that runs has applied the same, and compares
// their trees, their states and what they keep, byte by byte.
func (w *fens) same() {
	w.t.Helper()
	ups := w.up()
	w.await("members are level", func() bool {
		l := w.leader()
		if l == nil {
			return false
		}
		for _, c := range ups {
			if w.at(c).fsm.current().Applied() != l.fsm.current().Applied() {
				return false
			}
		}
		return true
	})
	for range 50 {
		moved := false
		first, at := w.digest(ups[0])
		for _, c := range ups[1:] {
			sum, now := w.digest(c)
			if moved = now != at; moved {
				break // a mark was made meanwhile
			}
			if string(first) != string(sum) {
				w.t.Errorf("%s holds another ledger than %s at %d", c, ups[0], at)
			}
		}
		if !moved {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.t.Error("the members did not come to rest")
}
