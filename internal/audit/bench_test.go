package audit

import (
	"bytes"
	"io"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"testing/fstest"

	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

// planning is a planning application of 18 fields and some 830 bytes, of which
// the agreement below lets 12 travel. The people and places are made up.
const planning = `{
	"reference": "24/01234/FUL", "district": "E07000999", "status": "registered",
	"address": "Flat 2, The Old Tannery, 17 Weir Lane, Northmoor", "postcode": "NM4 7QZ", "uprn": "100098765432",
	"easting": 412345.5, "northing": 287654.25, "ward": "E05099123",
	"proposal": "Demolition of the existing single storey rear extension and outbuilding, and erection of a two storey side and rear extension with associated landscaping, bin and cycle stores, and alterations to the vehicular access onto Weir Lane",
	"applicant_name": "Ms Ottoline Hargreave-Smythe", "applicant_email": "o.hargreave@example.org", "applicant_phone": "01632 960983",
	"agent_name": "Pell and Marsh Architects Ltd", "received": "2024-03-18", "validated": "2024-03-25",
	"decision_due": "2024-05-20", "officer": "D. Achebe"
}`

const planningManifest = `
name: standards.example/planning-lane
version: 1.0.0
title: Planning application
status: live
key: [/reference]
classes: {/reference: open, /district: open, /status: open}
`

const planningSchema = `{"type":"object","required":["reference","district","status","address","proposal"],"properties":{
	"reference":{"type":"string","maxLength":40},"district":{"type":"string","pattern":"^E[0-9]{8}$"},"status":{"enum":["registered","decided","withdrawn"]},
	"postcode":{"type":"string","maxLength":8},"uprn":{"type":"string","pattern":"^[0-9]{1,12}$"},"easting":{"type":"number"},"northing":{"type":"number"},
	"received":{"type":"string","format":"date"},"validated":{"type":"string","format":"date"},"decision_due":{"type":"string","format":"date"}}}`

// planningTown has n such records sent under an agreement.
func planningTown(t testing.TB, n int) *town {
	t.Helper()
	w := newTown(t)
	var err error
	w.std, err = standard.Load(fstest.MapFS{"standard.yaml": {Data: []byte(planningManifest)}, "schema.json": {Data: []byte(planningSchema)}})
	w.must(err)
	w.standards = []*standard.Standard{w.std}
	w.doc.Standard, w.doc.Rows = w.std.Name().Line(), `record.district == "E07000999"`
	w.doc.Fields = []name.Field{"/reference", "/district", "/status", "/address", "/postcode", "/easting", "/northing", "/ward", "/proposal", "/received", "/validated", "/decision_due"}
	if ps := w.doc.Check(w.std); len(ps) > 0 {
		t.Fatalf("the test's agreement cannot be signed: %+v", ps)
	}
	w.terms, err = w.doc.Compile(w.std)
	w.must(err)
	w.agree()
	v, err := strictjson.Decode([]byte(planning), strictjson.Limits{})
	w.must(err)
	body := v.(map[string]any)
	ring, kid := w.rings[northmoor], w.rings[northmoor].Record.ID()
	all := map[uint64][]byte{}
	for i := range n {
		ref := strconv.Itoa(i)
		body["reference"] = ref
		d, err := record.Build(record.Claims{Council: northmoor, IssuedAt: w.now, Standard: w.std.Name(), Integrity: w.std.Integrity(),
			Record: ring.RecordID(w.std.Name().Line(), ref), Version: 1, Op: record.Put}, kid, w.std.Layout(), body, record.Seed{byte(i), byte(i >> 8), byte(i >> 16)})
		w.must(err)
		tok := w.sign(d, ring)
		p, err := tok.Present(w.terms.Keep)
		w.must(err)
		all[w.append(tok)] = p.Bytes()
	}
	for _, part := range parts(all, MaxChunk) {
		w.send(part)
		w.receipt(indexList(part), nil)
	}
	w.checkpoint(true)
	return w
}

// BenchmarkVerifyBundle checks everything there is to check of 20,000 records
// with 6 of 18 fields withheld, sent and receipted under one agreement, on
// every core.
func BenchmarkVerifyBundle(b *testing.B) {
	const n = 20_000
	w := planningTown(b, n)
	z := w.bundle(MaxChunk)
	o := Options{Trust: w.trust()}
	b.SetBytes(int64(len(z)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := Verify(bytes.NewReader(z), int64(len(z)), o)
		if err != nil || !r.OK() {
			b.Fatalf("%v\n%s", err, text(r))
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(len(z))/n, "B/record")
}

// BenchmarkWriteBundle is the writer's part: packing, not the reading of a
// ledger or the making of proofs.
func BenchmarkWriteBundle(b *testing.B) {
	const n = 20_000
	w := planningTown(b, n)
	at := slices.Sorted(maps.Keys(w.include))
	var chunks [][]Entry
	var proofs [][]tlog.Hash
	for part := range slices.Chunk(at, MaxChunk) {
		var es []Entry
		for _, i := range part {
			es = append(es, Entry{i, w.include[i]})
		}
		p, err := tlog.ProveBatch(w, part, w.tree.Size())
		w.must(err)
		chunks, proofs = append(chunks, es), append(proofs, p)
	}
	b.ReportAllocs()
	for b.Loop() {
		nw, err := NewWriter(io.Discard, w.header)
		w.must(err)
		for i := range chunks {
			w.must(nw.AddEntries(chunks[i], proofs[i]))
		}
		w.must(nw.AddCheckpoint(w.notes[0].note, nil))
		w.must(nw.Close())
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "records/s")
}

// TestMemoryIsBounded: what a bundle takes to verify grows by far less than its
// records do, since no token outlives its chunk.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("makes some thousand records")
	}
	const n = 4000
	w := planningTown(t, n)
	z := w.bundle(250)
	c, err := open(bytes.NewReader(z), int64(len(z)))
	w.must(err)
	v := &verifier{contents: c, council: northmoor, covers: c.doc.Covers, ring: newKeyring(w.trust()), sheet: newSheet(), used: map[Key]bool{}, parallel: 1}
	v.readMembers()
	v.readCheckpoints()
	v.readStandards(nil)
	v.readAgreements()
	heap := func() uint64 {
		runtime.GC()
		runtime.GC() // what finalizers and pools let go of
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	v.readEntries()
	per := (int64(heap()) - int64(before)) / n
	if len(v.records) != n {
		t.Fatalf("%d records, want %d", len(v.records), n)
	}
	if per > 400 {
		t.Errorf("%d bytes are kept of each record, want at most 400 of some 2,000", per)
	}
	runtime.KeepAlive(v)
}

// TestShippedStandards: the standards that come with Stile go into a bundle and
// come out of it.
func TestShippedStandards(t *testing.T) {
	w := newTown(t)
	w.live(3)
	for _, fsys := range schemas.All() {
		s, err := standard.Load(fsys)
		w.must(err)
		w.standards = append(w.standards, s)
	}
	r := verify(t, w.bundle(50), Options{Trust: w.trust()})
	if !r.OK() {
		t.Error(text(r))
	}
}
