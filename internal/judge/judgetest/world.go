// Package judgetest holds deliveries that no path may take, or must wait with, and
// runs them against a path in one line: see [Run].
package judgetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// The councils of a World. Stranger is not in its directory.
const (
	Sender   = name.Council("northmoor.gov.uk")
	Receiver = name.Council("saltby.gov.uk")
	Other    = name.Council("hexwell.gov.uk")
	Stranger = name.Council("nowhere.gov.uk")
	Fens     = name.Council("fens.example") // a footprint of Sender, Other and Third
	Third    = name.Council("eastmere.gov.uk")
)

// A World is a sender with keys and a log that say whatever a case wants, and what
// a receiver goes by. Records are signed by Sender; the log is Sender's or, of a
// shared World, that of Fens.
type World struct {
	T         testing.TB
	Shared    bool
	Rings     map[name.Council]*keys.Ring
	Later     *keys.Ring // a key of Sender that the directory does not have yet
	Second    *keys.Ring // another key of Sender, of which every case thinks well
	Directory *directory.Directory
	Standard  *standard.Standard
	Doc       *agreement.Agreement
	Log       *Log

	members []directory.Member
	now     time.Time
	fillers int
}

// New returns a World with an empty log. The agreement lets reference and ward go
// of the rows of ward X, in the given mode.
func New(t testing.TB, shared bool, mode agreement.Mode) *World {
	t.Helper()
	w := &World{T: t, Shared: shared, Rings: map[name.Council]*keys.Ring{}, now: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)}
	for i, c := range []name.Council{Sender, Receiver, Other, Third, Stranger} {
		r, err := keys.Generate(c)
		w.must(err)
		w.Rings[c] = r
		m := directory.FromRing(c, r)
		if c == Sender {
			w.Second, err = keys.Generate(c)
			w.must(err)
			m.RecordKeys = append(m.RecordKeys, w.Second.Record.Public())
		}
		m.Title, m.GSS, m.Role, m.ValidFrom = string(c), fmt.Sprintf("E0700099%d", i), directory.RoleCouncil, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		w.must(m.Check())
		if c != Stranger {
			w.members = append(w.members, m)
		}
	}
	fens := directory.Member{
		Council: Fens, Title: "Fens", Role: directory.RoleFootprint, ValidFrom: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		Members: []name.Council{Third, Other, Sender},
	}
	w.must(fens.Check())
	w.members = append(w.members, fens)
	var err error
	w.Later, err = keys.Generate(Sender)
	w.must(err)
	w.Directory, err = directory.New(w.members...)
	w.must(err)
	w.Standard, err = standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte("name: standards.example/parish-item\nversion: 1.0.0\ntitle: Parish item\nstatus: live\nkey: [/reference]\nclasses:\n  /reference: open\n  /ward: internal\n")},
		"schema.json": {Data: []byte(`{"type":"object","required":["reference"],"properties":{
			"reference":{"type":"string"},"ward":{"type":"string","maxLength":8},"name":{"type":"string"}}}`)},
	})
	w.must(err)
	w.Log = w.NewLog(Sender)
	if shared {
		w.Log.of = Fens
	}
	doc := &agreement.Agreement{
		Name: name.Agreement(string(w.Log.of) + "/items"), Version: 1, From: w.Log.of, To: []name.Council{Receiver}, Mode: mode,
		Standard: w.Standard.Name().Line(), Rows: `record.ward == "X"`, Fields: []name.Field{"/reference", "/ward"}, Starts: "2000-01-01",
		Purpose: "To plan a ward together", Necessity: "Each council keeps its own list", DataItems: "References and wards",
		LawfulBasis:   agreement.Basis{Article6: "6(1)(e) public task", LegalPower: "Localism Act 2011 section 1"},
		DPIA:          "DPIA 2025/14",
		Roles:         map[name.Council]agreement.Role{w.Log.of: agreement.Controller, Receiver: agreement.Controller},
		Contacts:      map[name.Council]string{w.Log.of: "dpo@northmoor.gov.uk", Receiver: "dpo@saltby.gov.uk"},
		RightsContact: "rights@northmoor.gov.uk", Accuracy: "Corrections follow as new versions", Retention: "P1Y",
		Disposal: "Deleted and receipted", Security: "Planners only", Review: "2030-01-01",
		Exit: "Either side may end it; everything is deleted",
	}
	if mode.Way().ByMatch {
		doc.Match = []name.Field{"/reference"}
	}
	w.Doc, err = agreement.ParseCanonical(doc.Canonical())
	w.must(err)
	return w
}

// Now is the receiver's clock.
func (w *World) Now() time.Time { return w.now }

func (w *World) must(err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatal(err)
	}
}

// change changes what the directory says of Sender.
func (w *World) change(edit func(*directory.Member)) {
	w.members = slices.Clone(w.members)
	for i := range w.members {
		if w.members[i].Council == Sender {
			m := w.members[i]
			edit(&m)
			w.must(m.Check())
			w.members[i] = m
		}
	}
	w.must(w.Directory.Replace(w.members, nil))
}

// A Log is a log with the tokens that stand in it.
type Log struct {
	w      *World
	of     name.Council
	tree   *tlog.Tree
	tiles  map[[2]uint64][]byte
	tokens [][]byte
	hashes []tlog.Hash
	sign   func(*Log) []byte // makes its checkpoint; nil for as an honest council does
}

// NewLog returns an empty log of a council.
func (w *World) NewLog(of name.Council) *Log {
	return &Log{w: w, of: of, tree: new(tlog.Tree), tiles: map[[2]uint64][]byte{}}
}

// Tile implements tlog.TileReader.
func (l *Log) Tile(level int, index uint64, width int) ([]byte, error) {
	b := l.tiles[[2]uint64{uint64(level), index}]
	if len(b) < 32*width {
		return nil, fmt.Errorf("tile %d/%d has %d bytes", level, index, len(b))
	}
	return b[:32*width], nil
}

// Add puts a token, of which entry stands in the log, at the end of it, and returns
// what is sent of it.
func (l *Log) Add(token []byte, entry tlog.Hash) *Sent {
	for _, tile := range l.tree.Append([]tlog.Hash{entry}) {
		l.tiles[[2]uint64{uint64(tile.Level), tile.Index}] = tile.Data
	}
	l.tokens, l.hashes = append(l.tokens, token), append(l.hashes, entry)
	return &Sent{Log: l, Index: l.tree.Size() - 1, Token: token}
}

// Size is how many entries there are.
func (l *Log) Size() uint64 { return l.tree.Size() }

// Fork returns another history of the log from an index on.
func (l *Log) Fork(from int) *Log {
	g := l.w.NewLog(l.of)
	for i := range from {
		g.Add(l.tokens[i], l.hashes[i])
	}
	return g
}

// Checkpoint returns the log's newest checkpoint, signed by the council or cosigned
// by two of the three members.
func (l *Log) Checkpoint() []byte {
	l.w.T.Helper()
	cp := tlog.Checkpoint{Origin: l.of.Origin(), Size: l.tree.Size(), Root: l.tree.Root()}
	if !l.w.Shared {
		switch {
		case l.sign != nil:
			return l.sign(l)
		case l.of == Sender:
			return l.signed(l.w.Second.Record.CheckpointSigner(l.of))
		}
		return l.signed(l.w.Rings[l.of].Record.CheckpointSigner(l.of))
	}
	var lines [][]byte
	for _, c := range []name.Council{Other, Third} {
		line, _, err := tlog.Cosign(cp, l.w.Rings[c].Log.Cosigner())
		l.w.must(err)
		lines = append(lines, line)
	}
	b, err := tlog.Assemble(cp, lines...)
	l.w.must(err)
	return b
}

// signed returns the newest checkpoint of a council's log, signed by its log key and
// by others.
func (l *Log) signed(others ...note.Signer) []byte {
	l.w.T.Helper()
	cp := tlog.Checkpoint{Origin: l.of.Origin(), Size: l.tree.Size(), Root: l.tree.Root()}
	b, err := tlog.SignCheckpoint(cp, l.w.Rings[l.of].Log.Signer(), others...)
	l.w.must(err)
	return b
}

// Consistency proves that the log extends a size of its own.
func (l *Log) Consistency(from uint64) []byte {
	l.w.T.Helper()
	if from == 0 || from >= l.tree.Size() {
		return nil
	}
	proof, err := tlog.Consistency(l, from, l.tree.Size())
	l.w.must(err)
	return tlog.JoinHashes(proof)
}

// Inclusion proves that entries stand in the log.
func (l *Log) Inclusion(indexes ...uint64) []byte {
	l.w.T.Helper()
	proof, err := tlog.ProveBatch(l, indexes, l.tree.Size())
	l.w.must(err)
	return tlog.JoinHashes(proof)
}

// A Sent is one entry as it is sent.
type Sent struct {
	Log   *Log
	Index uint64
	Token []byte
	By    *keys.Ring // whose record key signed it
	Last  bool       // it is the one that is judged
}

// Filler puts one more record into a log, of which nothing is wrong.
func (w *World) Filler(l *Log) *Sent {
	w.fillers++
	return w.put(l, fmt.Sprintf("filler-%d", w.fillers), func(d *draft) { d.signer = w.Second })
}

// Unsigned puts one more record into a log, of which nothing is wrong, as councils share
// them: without a signature of its own.
func (w *World) Unsigned(l *Log) *Sent {
	w.fillers++
	return w.put(l, fmt.Sprintf("unsigned-%d", w.fillers), func(d *draft) { d.bare = true })
}

// A draft is a version of a record as a case wants it.
type draft struct {
	ref    string
	claims record.Claims
	body   map[string]any
	signer *keys.Ring
	keep   func(pointer string) bool
	spoil  func(token []byte) []byte
	bare   bool                      // without a signature
	into   name.Council              // the footprint that its page is sealed for; "" for Fens
	alone  bool                      // with its own signature, where one of its page is wanted
	page   func(p *record.PageProof) // spoils the proof of its page
}

// sealed returns a token with the proof that it is the second entry of a page of three
// that its signer sealed for Fens.
func (x *draft) sealed(t *record.Token) (*record.Token, error) {
	entries := []tlog.Hash{{1}, t.Entry(), {2}}
	p := record.Page{Footprint: Fens, Council: x.claims.Council}
	if x.into != "" {
		p.Footprint = x.into
	}
	p = p.Over(entries)
	seal, err := p.Sign(x.signer.Record)
	if err != nil {
		return nil, err
	}
	var leaves []tlog.Hash
	for _, e := range entries {
		leaves = append(leaves, tlog.Leaf(e))
	}
	proof := &record.PageProof{Page: p, Seal: seal, Index: 1, Path: tlog.NewWhole(leaves).Path(1)}
	if x.page != nil {
		x.page(proof)
	}
	return t.Enclose(proof), nil
}

// put makes a version of a record that an honest sender would send, as edit changes
// it, and puts it into a log.
func (w *World) put(l *Log, ref string, edit func(*draft)) *Sent {
	w.T.Helper()
	x := &draft{
		ref:    ref,
		claims: record.Claims{Council: Sender, IssuedAt: w.now.Unix(), Standard: w.Standard.Name(), Integrity: w.Standard.Integrity(), Version: 1, Op: record.Put},
		body:   map[string]any{"reference": ref, "ward": "X", "name": "CANARY " + ref}, signer: w.Rings[Sender],
		keep: func(pointer string) bool { return pointer == "/ward" },
	}
	x.claims.Record = w.Record(ref)
	if edit != nil {
		edit(x)
	}
	d, err := record.Build(x.claims, x.signer.Record.ID(), w.Standard.Layout(), x.body, record.Seed{1, byte(len(x.ref)), x.ref[len(x.ref)-1]})
	w.must(err)
	sig, err := x.signer.Record.Sign(d.SigningInput())
	w.must(err)
	switch {
	case x.bare:
	case w.Shared && !x.alone:
		d, err = x.sealed(d)
		w.must(err)
	default:
		d = d.Seal(sig)
	}
	tok, err := d.Present(func(p string, _ bool) bool { return x.keep(p) })
	w.must(err)
	b := slices.Clone(tok.Bytes())
	if x.spoil != nil {
		b = x.spoil(b)
	}
	s := l.Add(b, tok.Entry())
	s.By = x.signer
	return s
}

// Record is the id of a record of Sender.
func (w *World) Record(ref string) name.Record {
	key, err := json.Marshal([]string{ref})
	w.must(err)
	return w.Rings[Sender].RecordID(w.Standard.Name().Line(), string(key))
}

// Event puts an event of a council into a log.
func (w *World) Event(l *Log, by name.Council, signer *keys.Ring, kind string, body map[string]any) *Sent {
	w.T.Helper()
	d, err := record.BuildEvent(record.Event{Council: by, IssuedAt: w.now.Unix() + int64(l.Size()), Kind: kind, Body: body}, signer.Record.ID())
	w.must(err)
	sig, err := signer.Record.Sign(d.SigningInput())
	w.must(err)
	s := l.Add(d.Seal(sig).Bytes(), d.Entry())
	s.By = signer
	return s
}

// say puts an event of the kind that a path for events carries into a log: of mode
// aggregate counts, and else the end of an agreement.
func (w *World) say(l *Log, by name.Council, signer *keys.Ring) *Sent {
	w.T.Helper()
	if w.Doc.Way().Answers != agreement.AnswersCounts {
		return w.Event(l, by, signer, event.KindAgreementEnd, agreement.Notice{Ref: w.Doc.Ref(), Reason: "over", At: w.now}.Body())
	}
	ward := "X"
	return w.Event(l, by, signer, event.KindCounts, agreement.Counts{
		Agreement: w.Doc.Name, Version: w.Doc.Version, Day: agreement.Date(w.now.Format("2006-01-02")), By: []name.Field{"/ward"},
		Threshold: agreement.CountThreshold, Rounded: agreement.CountRounding, Groups: []agreement.Group{{Of: []*string{&ward}, Count: 15}}, Total: 15,
	}.Body())
}

func (w *World) withdraw(l *Log, signer *keys.Ring, a name.Agreement, ref string) *Sent {
	w.T.Helper()
	return w.Event(l, Sender, signer, event.KindWithdrawal, map[string]any{
		"agreement": string(a), "version": json.Number("1"), "record": string(w.Record(ref)),
		"reason": ledger.WithdrawnNoMatch, "entry": json.Number("0"),
	})
}

// Prove is a prover that asks the log that sent something last.
func (w *World) Prove(last func() *Log) func(log, member name.Council) ledger.Prover {
	return func(name.Council, name.Council) ledger.Prover {
		return func(_ context.Context, first, second uint64) ([]tlog.Hash, error) {
			if last().Size() < second {
				return nil, ledger.ErrShorter
			}
			return tlog.Consistency(last(), first, second)
		}
	}
}

// Packed returns what was sent as a page carries it, and the table that it is read
// with. What can be packed as no record is given in the place of an event, where a
// hostile sender would have to put it.
func Packed(sent ...*Sent) (items []judge.Item, table []byte) {
	var p record.Packer
	for _, s := range sent {
		it := judge.Item{Index: s.Index, Event: s.Token}
		if t, err := record.Parse(s.Token); err == nil {
			if b, err := p.Pack(nil, t); err == nil {
				it.Event, it.Record = nil, b
			}
		}
		items = append(items, it)
	}
	return items, p.Table()
}
