package peersync_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// A forger is a council whose log and node say whatever the test wants: it has
// its own good keys, and puts anything under them.
type forger struct {
	t       testing.TB
	ring    *keys.Ring
	tree    *tlog.Tree
	tiles   map[[2]uint64][]byte
	entries []tlog.Hash
	tokens  [][]byte
	packer  *packer // of all its batches, and those of its forks
}

func newForger(t testing.TB, r *keys.Ring) *forger {
	return &forger{t: t, ring: r, tree: new(tlog.Tree), tiles: map[[2]uint64][]byte{}, packer: new(packer)}
}

// Tile implements tlog.TileReader.
func (f *forger) Tile(level int, index uint64, width int) ([]byte, error) {
	b := f.tiles[[2]uint64{uint64(level), index}]
	if len(b) < 32*width {
		return nil, fmt.Errorf("tile %d/%d has %d bytes", level, index, len(b))
	}
	return b[:32*width], nil
}

// add puts a token, of which entry stands in the log, at the end of it.
func (f *forger) add(token []byte, entry tlog.Hash) uint64 {
	for _, tile := range f.tree.Append([]tlog.Hash{entry}) {
		f.tiles[[2]uint64{uint64(tile.Level), tile.Index}] = tile.Data
	}
	f.entries, f.tokens = append(f.entries, entry), append(f.tokens, token)
	return f.tree.Size() - 1
}

// fork returns a forger of the same council with another history from here.
func (f *forger) fork(from int) *forger {
	g := newForger(f.t, f.ring)
	g.packer = f.packer
	for i := range from {
		g.add(f.tokens[i], f.entries[i])
	}
	return g
}

// A forgery is a record version as its forger wants it.
type forgery struct {
	claims record.Claims
	body   map[string]any
	std    *standard.Standard
	signer *keys.Ring
	keep   func(pointer string, shell bool) bool
	spoil  func(token []byte) []byte
}

// record makes a version of a record in ward X that an honest sender would
// share, as edit changes it, and puts it into the log.
func (f *forger) record(ref string, edit func(*forgery)) uint64 {
	f.t.Helper()
	std := parish(f.t, "parish-item", "1.0.0")
	x := &forgery{
		claims: record.Claims{
			Council: northmoor, IssuedAt: 1, Standard: std.Name(), Integrity: std.Integrity(), Version: 1, Op: record.Put,
		},
		body: item(ref, "X"), std: std, signer: f.ring,
		keep: func(pointer string, _ bool) bool { return pointer == "/ward" },
	}
	key, err := json.Marshal([]string{ref})
	if err != nil {
		f.t.Fatal(err)
	}
	x.claims.Record = f.ring.RecordID(std.Name().Line(), string(key))
	if edit != nil {
		edit(x)
	}
	d, err := record.Build(x.claims, x.signer.Record.ID(), x.std.Layout(), x.body, record.Seed{1})
	if err != nil {
		f.t.Fatal(err)
	}
	sig, err := x.signer.Record.Sign(d.SigningInput())
	if err != nil {
		f.t.Fatal(err)
	}
	tok, err := d.Seal(sig).Present(x.keep)
	if err != nil {
		f.t.Fatal(err)
	}
	b := tok.Bytes()
	if x.spoil != nil {
		b = x.spoil(slices.Clone(b))
	}
	return f.add(b, tok.Entry())
}

// event puts an event into the log.
func (f *forger) event(kind string, body map[string]any, c name.Council, signer *keys.Ring) uint64 {
	f.t.Helper()
	b, entry := signedEvent(f.t, kind, body, c, signer, signer)
	return f.add(b, entry)
}

// signedEvent returns an event that names one key and is signed with another.
func signedEvent(t testing.TB, kind string, body map[string]any, c name.Council, named, signer *keys.Ring) ([]byte, tlog.Hash) {
	t.Helper()
	d, err := record.BuildEvent(record.Event{Council: c, IssuedAt: 1, Kind: kind, Body: body}, named.Record.ID())
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signer.Record.Sign(d.SigningInput())
	if err != nil {
		t.Fatal(err)
	}
	return d.Seal(sig).Bytes(), d.Entry()
}

// withdrawal returns the body of a withdrawal of a record named by reference.
func (f *forger) withdrawal(a name.Agreement, ref string) map[string]any {
	key, err := json.Marshal([]string{ref})
	if err != nil {
		f.t.Fatal(err)
	}
	std := parish(f.t, "parish-item", "1.0.0").Name().Line()
	return map[string]any{
		"agreement": string(a), "version": json.Number("1"), "record": string(f.ring.RecordID(std, string(key))),
		"reason": ledger.WithdrawnNoMatch, "entry": json.Number("0"),
	}
}

func (f *forger) note(s note.Signer) []byte {
	f.t.Helper()
	b, err := tlog.SignCheckpoint(tlog.Checkpoint{Origin: northmoor.Origin(), Size: f.tree.Size(), Root: f.tree.Root()}, s, f.ring.Record.CheckpointSigner(northmoor))
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// A packer packs for several streams at one time.
type packer struct {
	mu sync.Mutex // guards what follows
	p  record.Packer
}

func (p *packer) pack(t *record.Token) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.p.Pack(nil, t)
}

func (p *packer) table() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.p.Table())
}

// batch returns an honest batch of some entries, for a receiver that has seen
// the log at a size.
func (f *forger) batch(seen uint64, indices ...uint64) *wirepb.Batch {
	f.t.Helper()
	b := &wirepb.Batch{Checkpoint: f.note(f.ring.Log.Signer()), Cursor: f.tree.Size(), Records: uint64(len(indices)), Live: true}
	for _, i := range indices {
		b.Items = append(b.Items, f.item(i, f.tokens[i]))
	}
	b.Table = f.packer.table()
	if len(indices) > 0 {
		proof, err := tlog.ProveBatch(f, indices, f.tree.Size())
		if err != nil {
			f.t.Fatal(err)
		}
		b.Inclusion = tlog.JoinHashes(proof)
	}
	if seen > 0 && seen < f.tree.Size() {
		proof, err := tlog.Consistency(f, seen, f.tree.Size())
		if err != nil {
			f.t.Fatal(err)
		}
		b.Consistency, b.ConsistencyFrom = tlog.JoinHashes(proof), seen
	}
	return b
}

// item returns a token as a batch carries it; what can be packed as no record in the
// place of an event.
func (f *forger) item(index uint64, token []byte) *wirepb.Item {
	if t, err := record.Parse(token); err == nil {
		if b, err := f.packer.pack(t); err == nil {
			return &wirepb.Item{Index: index, Record: b}
		}
	}
	return &wirepb.Item{Index: index, Event: token}
}

// prove answers a request for a proof as an honest council does.
func (f *forger) prove(q *wirepb.ProofRequest) *wirepb.Proof {
	proof, err := tlog.Consistency(f, q.GetFirst(), q.GetSecond())
	if err != nil {
		return &wirepb.Proof{Code: "shorter"}
	}
	return &wirepb.Proof{Consistency: tlog.JoinHashes(proof)}
}

// from returns the indexes from i to the end of the log.
func (f *forger) from(i uint64) (out []uint64) {
	for ; i < f.tree.Size(); i++ {
		out = append(out, i)
	}
	return out
}

// A stage is where a forger's node plays: what it does with each stream that
// asks for the agreement's feed. Streams for notices stay open and silent.
type stage struct {
	mu    sync.Mutex
	play  func(*exchange)
	prove func(*wirepb.ProofRequest) *wirepb.Proof // nil: it does not answer
}

// An exchange is one stream, after its hello.
type exchange struct {
	wire.Stream
	hello *wirepb.Hello
	in    *wirepb.Reader
	out   *wirepb.Writer
}

func (x *exchange) send(b *wirepb.Batch) error {
	return x.out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Batch{Batch: b}})
}

// drain reads until the stream ends.
func (x *exchange) drain() {
	for {
		if _, err := x.in.Read(); err != nil {
			return
		}
	}
}

func (s *stage) proveBy(prove func(*wirepb.ProofRequest) *wirepb.Proof) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prove = prove
}

func (s *stage) set(play func(*exchange)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.play = play
}

// perform makes a council's network answer streams for its agreement's feed by
// what is on the stage; noticesFrom does so for streams for notices.
func (w *town) perform(c name.Council, play func(*exchange)) *stage {
	return w.answer(c, play, func(feed string) bool { return feed != "notices" })
}

func (w *town) noticesFrom(c name.Council, play func(*exchange)) *stage {
	return w.answer(c, play, func(feed string) bool { return feed == "notices" })
}

func (w *town) answer(c name.Council, play func(*exchange), which func(feed string) bool) *stage {
	s := &stage{play: play}
	n := w.world.Node(c)
	w.t.Cleanup(func() { n.Close() })
	n.Handle(wirepb.LogProtocol, func(ctx context.Context, from name.Council, st wire.Stream) {
		q, err := wirepb.ReadProofRequest(bufio.NewReader(st))
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil || s.prove == nil || wirepb.WriteProof(bufio.NewWriter(st), s.prove(q)) != nil {
			st.Reset()
			return
		}
		st.Close()
	})
	n.Handle(wirepb.Protocol, func(ctx context.Context, from name.Council, st wire.Stream) {
		defer context.AfterFunc(ctx, func() { st.Reset() })()
		x := &exchange{Stream: st, in: wirepb.NewReader(st), out: wirepb.NewWriter(st)}
		f, err := x.in.Read()
		if x.hello = f.GetHello(); err != nil || x.hello == nil {
			st.Reset()
			return
		}
		s.mu.Lock()
		play := s.play
		s.mu.Unlock()
		if which(x.hello.GetFeed()) {
			play(x)
		}
		x.drain()
	})
	return s
}

func cloned(m map[string]any, k string, v any) map[string]any {
	m = maps.Clone(m)
	m[k] = v
	return m
}
