package audit

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

const (
	northmoor = name.Council("northmoor.gov.uk")
	saltby    = name.Council("saltby.gov.uk")
	moving    = name.Agreement("northmoor.gov.uk/people-moving-to-saltby")
)

const manifest = `
name: standards.example/housing-need
version: 1.0.0
title: Housing need referral
status: live
key: [/reference]
classes:
  /reference: open
  /status: internal
  /moved_to: internal
  /applicant/name: personal
  /applicant/phone: personal
`

const schema = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
	"required": ["reference", "moved_to"], "additionalProperties": false,
	"properties": {
		"reference": {"type": "string"}, "status": {"enum": ["open", "closed"]},
		"moved_to": {"type": "string", "pattern": "^E[0-9]{8}$"}, "note": {"type": "string"},
		"applicant": {"type": "object", "properties": {"name": {"type": "string"}, "phone": {"type": "string"}}}
	}
}`

func loadStandard(t testing.TB, manifest string) *standard.Standard {
	t.Helper()
	s, err := standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte(manifest)}, "schema.json": {Data: []byte(schema)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func movingAgreement() *agreement.Agreement {
	return &agreement.Agreement{
		Name: moving, Version: 1, From: northmoor, To: []name.Council{saltby}, Mode: agreement.Replicate,
		Standard: name.StandardLine{Name: "standards.example/housing-need", Major: 1},
		Rows:     `record.moved_to == "E07000999"`,
		Fields:   []name.Field{"/reference", "/status", "/moved_to", "/applicant/name"},
		Purpose:  "To house people who move", Necessity: "Each council keeps its own list", DataItems: "Referrals and names of applicants",
		LawfulBasis:   agreement.Basis{Article6: "6(1)(e) public task", LegalPower: "Housing Act 1996 section 213"},
		DPIA:          "DPIA 2025/14",
		Roles:         map[name.Council]agreement.Role{northmoor: agreement.Controller, saltby: agreement.Controller},
		Contacts:      map[name.Council]string{northmoor: "dpo@northmoor.gov.uk", saltby: "dpo@saltby.gov.uk"},
		RightsContact: "rights@northmoor.gov.uk", Accuracy: "Corrections follow as new versions", Retention: "P1Y",
		Disposal: "Deleted and receipted", Security: "Housing officers only", Review: "2030-01-01", Starts: "2025-01-01",
		Exit: "Either side may end it; everything is deleted",
	}
}

// A town is two councils, a log in memory, and what went from one to the other.
type town struct {
	t       testing.TB
	rings   map[name.Council]*keys.Ring
	std     *standard.Standard
	doc     *agreement.Agreement
	terms   *agreement.Terms
	now     int64
	tokens  [][]byte // by log index, whole
	tree    *tlog.Tree
	tiles   map[string][]byte
	last    map[string]*record.View // newest version of a record by reference
	entries map[string]tlog.Hash

	include   map[uint64][]byte // what goes into the bundle, by log index
	notes     []cosigned
	events    [][]byte // of saltby
	gone      []Gone   // that a holder names
	standards []*standard.Standard
	header    Header
	docs      []*agreement.Agreement // earlier versions
	former    []*keys.RecordPublic   // of northmoor, still listed
}

type cosigned struct {
	size uint64
	note []byte
}

func newTown(t testing.TB) *town {
	t.Helper()
	w := &town{t: t, rings: map[name.Council]*keys.Ring{}, std: loadStandard(t, manifest), doc: movingAgreement(), now: time.Now().Unix(), // near that of witnesses, who have the clock of the machine

		tree: new(tlog.Tree), tiles: map[string][]byte{}, last: map[string]*record.View{}, entries: map[string]tlog.Hash{}, include: map[uint64][]byte{},
		header: Header{Council: northmoor, Created: time.Now().UTC().Truncate(time.Second), Covers: Covers{Agreement: moving}}}
	for _, c := range []name.Council{northmoor, saltby, "otherby.gov.uk"} {
		r, err := keys.Generate(c)
		if err != nil {
			t.Fatal(err)
		}
		w.rings[c] = r
	}
	if ps := w.doc.Check(w.std); len(ps) > 0 {
		t.Fatalf("the test's agreement cannot be signed: %+v", ps)
	}
	var err error
	if w.terms, err = w.doc.Compile(w.std); err != nil {
		t.Fatal(err)
	}
	w.standards = []*standard.Standard{w.std}
	return w
}

func (w *town) Tile(level int, index uint64, width int) ([]byte, error) {
	b := w.tiles[fmt.Sprint(level, "/", index)]
	if len(b) < 32*width {
		return nil, io.ErrUnexpectedEOF
	}
	return b[:32*width], nil
}

func (w *town) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// append puts a token into northmoor's log.
func (w *town) append(tok *record.Token) uint64 {
	for _, tile := range w.tree.Append([]tlog.Hash{tok.Entry()}) {
		w.tiles[fmt.Sprint(tile.Level, "/", tile.Index)] = tile.Data
	}
	w.tokens = append(w.tokens, tok.Bytes())
	return uint64(len(w.tokens) - 1)
}

func (w *town) sign(d *record.Token, by *keys.Ring) *record.Token {
	sig, err := by.Record.Sign(d.SigningInput())
	w.must(err)
	return d.Seal(sig)
}

func (w *town) eventToken(by name.Council, kind string, body map[string]any) *record.Token {
	w.t.Helper()
	w.now++
	v, err := strictjson.Decode(strictjson.Canonical(body), strictjson.Limits{})
	w.must(err)
	d, err := record.BuildEvent(record.Event{Council: by, IssuedAt: w.now, Kind: kind, Body: v.(map[string]any)}, w.rings[by].Record.ID())
	w.must(err)
	return w.sign(d, w.rings[by])
}

// event logs an event of northmoor and puts it into the bundle.
func (w *town) event(kind string, body map[string]any) uint64 {
	w.t.Helper()
	tok := w.eventToken(northmoor, kind, body)
	i := w.append(tok)
	w.include[i] = tok.Bytes()
	return i
}

// heard adds an event of saltby to the bundle.
func (w *town) heard(kind string, body map[string]any) {
	w.t.Helper()
	w.events = append(w.events, w.eventToken(saltby, kind, body).Bytes())
}

func (w *town) draft(by name.Council, ref, movedTo string) *record.Token {
	w.t.Helper()
	v, err := strictjson.Decode(fmt.Appendf(nil, `{"reference":%q,"status":"open","moved_to":%q,"note":"nobody's business","applicant":{"name":"A. Person","phone":"01632 960983"}}`, ref, movedTo), strictjson.Limits{})
	w.must(err)
	w.now++
	c := record.Claims{Council: by, IssuedAt: w.now, Standard: w.std.Name(), Integrity: w.std.Integrity(),
		Record: w.rings[northmoor].RecordID(w.std.Name().Line(), ref), Version: 1, Op: record.Put}
	if old := w.last[ref]; old != nil {
		c.Version, c.Prev = old.Version+1, w.entries[ref]
	}
	d, err := record.Build(c, w.rings[by].Record.ID(), w.std.Layout(), v.(map[string]any), record.Seed{byte(len(w.tokens)), 1})
	w.must(err)
	w.last[ref], w.entries[ref] = &record.View{Claims: c}, d.Entry()
	return d
}

// record logs a record of northmoor, and returns its index and the token as
// saltby may have it.
func (w *town) record(ref, movedTo string) (uint64, []byte) {
	w.t.Helper()
	tok := w.sign(w.draft(northmoor, ref, movedTo), w.rings[northmoor])
	p, err := tok.Present(w.terms.Keep)
	w.must(err)
	return w.append(tok), p.Bytes()
}

// send logs a disclosure of entries to saltby, and has them in the bundle.
func (w *town) send(entries map[uint64][]byte) uint64 {
	w.t.Helper()
	maps.Copy(w.include, entries)
	return w.event(event.KindDisclosure, event.Disclosure{Agreement: moving, Version: uint64(w.doc.Version), To: saltby, Entries: indexList(entries)}.Body())
}

func indexList(entries map[uint64][]byte) []uint64 { return slices.Sorted(maps.Keys(entries)) }

// receipt has saltby sign for entries at the checkpoint of now.
func (w *town) receipt(held, deleted []uint64) {
	w.t.Helper()
	w.heard(event.KindReceipt, event.Receipt{
		Agreement: moving, From: northmoor, Size: w.tree.Size(), Root: w.tree.Root(), Cursor: w.tree.Size(), Held: held, Deleted: deleted,
	}.Body())
}

// retained has saltby say that it deleted what a council sent at the end of its term.
func (w *town) retained(from name.Council, entries ...uint64) {
	w.retainedSince(time.Unix(1_764_547_200, 0), from, entries...)
}

// retainedSince is retained of what came at an instant.
func (w *town) retainedSince(at time.Time, from name.Council, entries ...uint64) {
	r := event.Retention{Agreement: moving, Version: 1, From: from, Entries: entries}
	for range entries {
		r.Received = append(r.Received, uint64(at.Unix()))
	}
	w.heard(event.KindRetention, r.Body())
}

// atTerm sends saltby two records, the first of which it says it deleted at the end of its
// term of a year, having got it so many days later than a year before. It returns the log
// index of the second.
func (w *town) atTerm(days int) uint64 {
	w.agree()
	w.now += 10 * 86400
	a, first := w.record("R-over", "E07000999")
	b, second := w.record("R-here", "E07000999")
	w.send(map[uint64][]byte{a: first, b: second})
	w.receipt([]uint64{a, b}, nil)
	w.retainedSince(time.Unix(w.now, 0).AddDate(-1, 0, days), northmoor, a)
	w.checkpoint(true)
	return b
}

// checkpoint signs the log as it is now, and has saltby cosign it.
func (w *town) checkpoint(witness bool) {
	w.t.Helper()
	cp := tlog.Checkpoint{Origin: northmoor.Origin(), Size: w.tree.Size(), Root: w.tree.Root()}
	signed, err := tlog.SignCheckpoint(cp, w.rings[northmoor].Log.Signer(), w.rings[northmoor].Record.CheckpointSigner(northmoor))
	w.must(err)
	if n := len(w.notes); n > 0 && w.notes[n-1].size == cp.Size {
		signed = w.notes[n-1].note // a council signs it once
	}
	if witness {
		line, _, err := tlog.Cosign(cp, w.rings[saltby].Log.Cosigner())
		w.must(err)
		v, err := tlog.ParseWitnessKey(w.rings[saltby].Log.CosignerVerifier())
		w.must(err)
		signed, err = tlog.AddCosignature(signed, line, v)
		w.must(err)
	}
	w.notes = append(w.notes, cosigned{cp.Size, signed})
}

func (w *town) member(c name.Council) directory.Member {
	m := directory.FromRing(c, w.rings[c])
	m.Title, m.GSS, m.Role = "Council of "+string(c), "E07000998", directory.RoleCouncil
	m.ValidFrom = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	if c == northmoor {
		m.RecordKeys = append(m.RecordKeys, w.former...)
	}
	return m
}

// agree has both sides sign the agreement.
func (w *town) agree() {
	w.t.Helper()
	w.event(event.KindStandardAdopted, event.StandardAdopted{Standard: w.std.Name(), Integrity: w.std.Integrity()}.Body())
	w.event(event.KindAgreementProposal, agreement.Proposal{Agreement: w.doc}.Body())
	w.event(event.KindAgreementSignature, agreement.Signature{Ref: w.doc.Ref()}.Body())
	w.heard(event.KindAgreementSignature, agreement.Signature{Ref: w.doc.Ref()}.Body())
}

// amend has both sides sign a second version, with one field more.
func (w *town) amend() {
	w.t.Helper()
	next := *w.doc
	next.Version++
	next.Fields = append(slices.Clone(w.doc.Fields), "/applicant/phone")
	w.docs, w.doc = append(w.docs, w.doc), &next
	var err error
	w.terms, err = next.Compile(w.std)
	w.must(err)
	w.event(event.KindAgreementProposal, agreement.Proposal{Agreement: w.doc}.Body())
	w.event(event.KindAgreementSignature, agreement.Signature{Ref: w.doc.Ref()}.Body())
	w.heard(event.KindAgreementSignature, agreement.Signature{Ref: w.doc.Ref()}.Body())
}

// live plays an exchange: n records of which two thirds move to Saltby, one
// that changes and one that is taken back.
func (w *town) live(n int) {
	w.t.Helper()
	w.agree()
	first := map[uint64][]byte{}
	for i := range n {
		to := "E07000999"
		if i%3 == 2 {
			to = "E07000001"
		}
		if at, tok := w.record("R"+strconv.Itoa(i), to); i%3 != 2 {
			first[at] = tok
		}
	}
	for _, part := range parts(first, MaxChunk) {
		w.send(part)
		w.receipt(indexList(part), nil)
	}
	w.checkpoint(true)

	at, tok := w.record("R1", "E07000999") // changes, and still matches
	w.send(map[uint64][]byte{at: tok})
	w.receipt([]uint64{at}, nil)
	was := slices.Min(slices.Collect(maps.Keys(first)))
	w.record("R0", "E07000001") // moves elsewhere
	back := w.event(event.KindWithdrawal, event.Withdrawal{Agreement: moving, Version: 1, Record: w.last["R0"].Record, Reason: "no longer matches the agreement", Entry: was}.Body())
	w.send(map[uint64][]byte{back: w.include[back]})
	w.receipt([]uint64{}, []uint64{back})
	w.record("R-new", "E07000001")
	w.checkpoint(false)
}

func parts(m map[uint64][]byte, n int) (out []map[uint64][]byte) {
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(m)), n) {
		part := map[uint64][]byte{}
		for _, i := range chunk {
			part[i] = m[i]
		}
		out = append(out, part)
	}
	return out
}

// bundle writes what there is, in chunks of the given number of entries.
func (w *town) bundle(per int) []byte {
	w.t.Helper()
	return w.bundleOf(per, func(m directory.Member) directory.Member { return m })
}

// bundleOf is bundle, with northmoor's member file changed.
func (w *town) bundleOf(per int, change func(directory.Member) directory.Member) []byte {
	w.t.Helper()
	var out bytes.Buffer
	b, err := NewWriter(&out, w.header)
	w.must(err)
	main := w.notes[len(w.notes)-1].size
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(w.include)), per) {
		var es []Entry
		for _, i := range chunk {
			es = append(es, Entry{i, w.include[i]})
		}
		proof, err := tlog.ProveBatch(w, chunk, main)
		w.must(err)
		w.must(b.AddEntries(es, proof))
	}
	for _, n := range w.notes {
		proof, err := tlog.Consistency(w, n.size, main)
		w.must(err)
		w.must(b.AddCheckpoint(n.note, proof))
	}
	for _, c := range []name.Council{northmoor, saltby} {
		m := w.member(c)
		if c == northmoor {
			m = change(m)
		}
		w.must(b.AddMember(m.YAML()))
	}
	for _, s := range w.standards {
		w.must(b.AddStandard(s))
	}
	for _, d := range slices.DeleteFunc(append(w.docs, w.doc), func(d *agreement.Agreement) bool { return d == nil }) {
		w.must(b.AddAgreement(d))
	}
	for _, e := range w.events {
		w.must(b.AddEvent(saltby, e))
	}
	if len(w.gone) > 0 {
		w.must(b.SetGone(w.gone))
	}
	w.must(b.Close())
	return out.Bytes()
}

func (w *town) trust() Trust {
	return Trust{Members: []directory.Member{w.member(northmoor), w.member(saltby)}}
}

func verify(t testing.TB, b []byte, o Options) *Report {
	t.Helper()
	r, err := Verify(bytes.NewReader(b), int64(len(b)), o)
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	return r
}

func text(r *Report) string {
	var b bytes.Buffer
	r.WriteText(&b)
	return b.String()
}

// unpack and repack take a bundle apart and put it together again, so that a
// test can be the one who alters it.
func unpack(t testing.TB, b []byte) map[string][]byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, f := range z.File {
		if out[f.Name], err = readFile(f); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func repack(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, n := range slices.Sorted(maps.Keys(files)) {
		f, err := z.Create(n)
		if err == nil {
			_, err = f.Write(files[n])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// setCount makes bundle.json say another number, so that a count that is off
// does not give away what else was done.
func setCount(files map[string][]byte, key string, n int) {
	v, _ := strictjson.Decode(files[documentPath], strictjson.Limits{})
	v.(map[string]any)["counts"].(map[string]any)[key] = json.Number(strconv.Itoa(n))
	files[documentPath] = strictjson.Canonical(v)
}

// yamlOf returns a council's member file.
func yamlOf(w *town, c name.Council) []byte {
	m := w.member(c)
	w.must(m.Check())
	return m.YAML()
}
