package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A model is a ledger as a child would write one: maps and loops, no log, no
// disk, nothing kept that can be worked out.
type model struct {
	size    uint64
	records map[string]*modelRecord // by reference
	feeds   []*modelFeed            // in the order of opening
}

type modelRecord struct {
	versions []modelVersion
}

type modelVersion struct {
	index uint64
	std   string
	body  map[string]any // nil: deleted
}

type modelFeed struct {
	doc    *agreement.Agreement
	stds   map[string]bool // versions of the standard it has terms for
	match  func(map[string]any) bool
	fields []string
	closed bool
	items  map[string]modelItem // by reference
}

type modelItem struct {
	index     uint64
	withdrawn bool
}

func (r *modelRecord) now() modelVersion {
	if len(r.versions) == 0 {
		return modelVersion{}
	}
	return r.versions[len(r.versions)-1]
}

// put applies a put or, with a nil body, a delete.
func (m *model) put(ref, std string, body map[string]any) (ledger.Result, error) {
	r := m.records[ref]
	if r == nil {
		r = &modelRecord{}
		m.records[ref] = r
	}
	old := r.now()
	if body == nil && old.body == nil {
		return ledger.Result{}, ledger.ErrNotFound
	}
	res := ledger.Result{Version: uint64(len(r.versions)), Index: old.index, Outcome: ledger.Unchanged}
	if body != nil && reflect.DeepEqual(body, old.body) && std == old.std {
		return res, nil
	}
	switch {
	case body == nil:
		res.Outcome, std = ledger.Deleted, old.std
	case old.body == nil:
		res.Outcome = ledger.Created
	default:
		res.Outcome = ledger.Changed
	}
	res.Version, res.Index = res.Version+1, m.size
	r.versions = append(r.versions, modelVersion{m.size, std, body})
	m.size++
	for _, f := range m.feeds {
		if f.closed {
			continue
		}
		was, had := f.items[ref]
		switch {
		case f.takes(std, body):
			f.items[ref] = modelItem{res.Index, false}
		case had && !was.withdrawn:
			f.items[ref] = modelItem{m.size, true}
			m.size++
			res.Withdrawn++
		}
	}
	return res, nil
}

func (f *modelFeed) takes(std string, body map[string]any) bool {
	return body != nil && f.stds[std] && f.match(body)
}

func (m *model) open(f *modelFeed) *modelFeed {
	f.items = map[string]modelItem{}
	for ref, r := range m.records {
		if v := r.now(); f.takes(v.std, v.body) {
			f.items[ref] = modelItem{v.index, false}
		}
	}
	m.feeds = append(m.feeds, f)
	return f
}

// supersede returns how many withdrawals it takes; their order is not the
// model's business, so it leaves their indexes to be filled in.
func (m *model) supersede(old, now *modelFeed) (moved []string) {
	for ref, it := range old.items {
		if _, ok := now.items[ref]; ok {
			continue
		}
		if !it.withdrawn {
			moved = append(moved, ref)
			m.size++
		} else {
			now.items[ref] = it
		}
	}
	old.closed = true
	return moved
}

// A pairing is a ledger and its model, and the random walk both take.
type pairing struct {
	*model
	t    *testing.T
	rng  *rand.Rand
	dir  string
	ring *keys.Ring
	l    *ledger.Ledger
	stds map[string]*standard.Standard
	last tlog.Checkpoint
	made int // agreements
}

func TestAgainstModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(9) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			dir := ""
			if seed%3 == 0 {
				dir = t.TempDir()
			}
			p := &pairing{
				model: &model{records: map[string]*modelRecord{}}, t: t, rng: rand.New(rand.NewPCG(seed, 4)), dir: dir, ring: ring(t),
				stds: map[string]*standard.Standard{"1.0.0": parish(t, "1.0.0"), "1.1.0": parish(t, "1.1.0")},
			}
			p.l = open(t, dir, p.ring)
			adopt(t, p.l, p.stds["1.0.0"])
			p.size++
			for i := range 120 {
				p.step()
				if i%12 == 11 {
					p.check()
				}
				if t.Failed() {
					t.Fatalf("after step %d", i)
				}
			}
		})
	}
}

func (p *pairing) step() {
	switch n := p.rng.IntN(100); {
	case n < 60:
		p.write(1)
	case n < 75:
		p.write(2 + p.rng.IntN(12))
	case n < 83:
		p.openFeed("")
	case n < 87:
		if f := p.anyFeed(); f != nil {
			f.closed = true
			if err := p.l.CloseFeed(p.t.Context(), f.doc.Name, f.doc.Digest()); err != nil {
				p.t.Error(err)
			}
		}
	case n < 91:
		p.supersede()
	case n < 94:
		if _, _, err := p.l.AppendNotice(p.t.Context(), "notice", nil, hexwell); err != nil {
			p.t.Error(err)
		}
		p.size++
	case n < 96:
		if _, err := p.l.Standard(p.stds["1.1.0"].Name()); err != nil {
			p.size++
		}
		adopt(p.t, p.l, p.stds["1.1.0"])
	default:
		if p.dir != "" {
			if err := p.l.Close(); err != nil {
				p.t.Error(err)
			}
			p.l = open(p.t, p.dir, p.ring)
		}
	}
}

// write offers some changes in one go.
func (p *pairing) write(n int) {
	var offers []*ledger.Offer
	var wants []ledger.Result
	var errs []error
	for range n {
		ref := fmt.Sprint("ref-", p.rng.IntN(15))
		var body map[string]any
		std := "1.0.0"
		if p.rng.IntN(5) > 0 {
			body = item(ref, string(rune('A'+p.rng.IntN(3))), fmt.Sprint("n", p.rng.IntN(3)))
			if _, err := p.l.Standard(p.stds["1.1.0"].Name()); err == nil && p.rng.IntN(4) == 0 {
				std = "1.1.0"
				body["phone"] = "0"
			}
		}
		at := uint64(0)
		if p.rng.IntN(8) == 0 {
			at = uint64(1 + p.rng.IntN(4))
		}
		if r := p.records[ref]; at != 0 && (r == nil || uint64(len(r.versions)) != at) {
			errs, wants = append(errs, ledger.ErrConflict), append(wants, ledger.Result{})
		} else {
			want, err := p.put(ref, std, body)
			errs, wants = append(errs, err), append(wants, want)
		}
		var o *ledger.Offer
		if body == nil {
			key, err := p.stds[std].Key(item(ref, "", ""))
			if err != nil {
				p.t.Fatal(err)
			}
			o = p.l.OfferDelete(p.ring.RecordID(p.stds[std].Name().Line(), key))
		} else {
			var err error
			if o, err = p.l.Offer(p.stds[std], maps.Clone(body)); err != nil {
				p.t.Fatal(err)
			}
		}
		offers = append(offers, o.At(at))
	}
	if err := p.l.Write(p.t.Context(), offers...); err != nil {
		p.t.Fatal(err)
	}
	for i, o := range offers {
		got, err := o.Result()
		if !errors.Is(err, errs[i]) {
			p.t.Errorf("offer %d: error %v, want %v", i, err, errs[i])
		}
		if err == nil {
			wants[i].Record = got.Record
			if got != wants[i] {
				p.t.Errorf("offer %d: %+v, want %+v", i, got, wants[i])
			}
		}
	}
}

func (p *pairing) openFeed(nm string) *modelFeed {
	if len(p.feeds) > 8 {
		return nil
	}
	p.made++
	if nm == "" {
		nm = fmt.Sprint("items-", p.made)
	}
	ward := string(rune('A' + p.rng.IntN(3)))
	fields := []string{"/ward"}
	if p.rng.IntN(2) == 0 {
		fields = append(fields, "/name")
	}
	if _, err := p.l.Standard(p.stds["1.1.0"].Name()); err == nil {
		// Version 1.1.0 calls it open: without it nobody could sign.
		fields = append(fields, "/phone")
	}
	doc := sharing(p.t, nm, p.made, fmt.Sprintf("record.ward == %q", ward), fields...)
	openFeed(p.t, p.l, doc)
	f := &modelFeed{doc: doc, fields: fields, stds: map[string]bool{}, match: func(b map[string]any) bool { return b["ward"] == ward }}
	for v, std := range p.stds {
		_, err := doc.Compile(std)
		f.stds[v] = err == nil
	}
	return p.open(f)
}

func (p *pairing) anyFeed() *modelFeed {
	var list []*modelFeed
	for _, f := range p.feeds {
		if !f.closed {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[p.rng.IntN(len(list))]
}

func (p *pairing) supersede() {
	old := p.anyFeed()
	if old == nil {
		return
	}
	now := p.openFeed(string(old.doc.Name)[len("northmoor.gov.uk/"):])
	if now == nil {
		return
	}
	p.write(1) // between the two
	moved := p.model.supersede(old, now)
	if err := p.l.Supersede(p.t.Context(), p.feed(old), p.feed(now)); err != nil {
		p.t.Fatal(err)
	}
	for _, ref := range moved {
		err := p.l.View(func(v *ledger.View) error {
			i, withdrawn, err := v.InFeed(p.feed(now), p.id(ref))
			now.items[ref] = modelItem{i, withdrawn}
			return err
		})
		if err != nil || !now.items[ref].withdrawn || now.items[ref].index < p.size-uint64(len(moved)) {
			p.t.Errorf("%s was not withdrawn from the new text's feed: %+v, %v", ref, now.items[ref], err)
		}
	}
}

func (p *pairing) feed(f *modelFeed) *ledger.Feed {
	for _, g := range p.l.Feeds() {
		if g.Agreement == f.doc.Name && g.Digest == f.doc.Digest() {
			return g
		}
	}
	p.t.Fatalf("no feed of %s", f.doc.Name)
	return nil
}

func (p *pairing) id(ref string) name.Record {
	key, err := p.stds["1.0.0"].Key(item(ref, "", ""))
	if err != nil {
		p.t.Fatal(err)
	}
	return p.ring.RecordID(p.stds["1.0.0"].Name().Line(), key)
}

// check compares everything that can be asked of the ledger with the model.
func (p *pairing) check() {
	p.t.Helper()
	if p.l.Size() != p.size {
		p.t.Errorf("the log has %d entries, want %d", p.l.Size(), p.size)
		return
	}
	verifier, err := note.NewVerifier(p.ring.Log.Verifier())
	if err != nil {
		p.t.Fatal(err)
	}
	err = p.l.View(func(v *ledger.View) error {
		cp, signed := v.Checkpoint()
		if got, _, err := tlog.OpenCheckpoint(signed, council.Origin(), verifier); err != nil || got != cp {
			p.t.Errorf("checkpoint %v says %v, %v", cp, got, err)
		}
		if root, err := tlog.CheckTiles(cp.Size, v); err != nil || root != cp.Root {
			p.t.Errorf("tiles: root %v, checkpoint %v, %v", root, cp.Root, err)
		}
		proof, err := tlog.Consistency(v, p.last.Size, cp.Size)
		if err == nil && p.last.Size > 0 {
			err = tlog.VerifyConsistency(p.last.Size, p.last.Root, cp.Size, cp.Root, proof)
		}
		if err != nil {
			p.t.Errorf("the log does not extend what it was: %v", err)
		}
		p.last = cp
		p.checkRecords(v)
		for i := range cp.Size {
			if _, _, err := v.Entry(i); err != nil {
				p.t.Errorf("entry %d: %v", i, err)
			}
		}
		return nil
	})
	if err != nil {
		p.t.Error(err)
	}
	for _, f := range p.feeds {
		p.checkFeed(f)
	}
}

func (p *pairing) checkRecords(v *ledger.View) {
	live := map[uint64]string{}
	counts := map[name.Standard]int{}
	for ref, r := range p.records {
		if len(r.versions) == 0 {
			if _, err := v.Current(p.id(ref)); !errors.Is(err, ledger.ErrNotFound) {
				p.t.Errorf("%s: %v, want not found", ref, err)
			}
			continue
		}
		ver, err := v.Current(p.id(ref))
		for i := len(r.versions) - 1; i >= 0; i-- {
			want := r.versions[i]
			if err != nil {
				p.t.Errorf("%s version %d: %v", ref, i+1, err)
				break
			}
			if ver.Index != want.index || ver.Claims.Version != uint64(i+1) || !reflect.DeepEqual(ver.Body, want.body) || ver.Standard.Name().Version.String() != want.std {
				p.t.Errorf("%s version %d is %+v with %v, want %+v", ref, i+1, ver.Claims, ver.Body, want)
			}
			if ver.Token.Signed() || ver.Token.KeyID() != p.ring.Record.ID() {
				p.t.Errorf("%s version %d: not a token that its place in the log proves", ref, i+1)
			}
			ver, err = v.Before(ver)
		}
		if !errors.Is(err, ledger.ErrNotFound) {
			p.t.Errorf("%s: before version 1: %v", ref, err)
		}
		if now := r.now(); now.body != nil {
			live[now.index] = ref
			counts[p.stds[now.std].Name()]++
		}
	}
	if got, err := v.Count(); err != nil || !sameCounts(got, counts) || !sameCounts(counts, got) {
		p.t.Errorf("counts %v, want %v, %v", got, counts, err)
	}
	from := uint64(p.rng.IntN(int(p.size)))
	var got, want []uint64
	err := v.Scan(p.stds["1.0.0"].Name().Name, from, func(ver *ledger.Version, err error) bool {
		if err != nil {
			p.t.Error(err)
			return false
		}
		got = append(got, ver.Index)
		return true
	})
	for _, i := range slices.Sorted(maps.Keys(live)) {
		if i >= from {
			want = append(want, i)
		}
	}
	if err != nil || !slices.Equal(got, want) {
		p.t.Errorf("scan from %d: %v, want %v, %v", from, got, want, err)
	}
}

// sameCounts reports whether b counts what a does; what is not there counts 0.
func sameCounts(a, b map[name.Standard]int) bool {
	for k := range a {
		if a[k] != b[k] {
			return false
		}
	}
	return true
}

// versionAt returns the fields named, and the reference, of the version of a
// record at a log index.
func (p *pairing) versionAt(ref string, index uint64, fields []string) map[string]any {
	out := map[string]any{}
	for _, v := range p.records[ref].versions {
		if v.index != index {
			continue
		}
		for _, field := range append([]string{"/reference"}, fields...) {
			if x, ok := v.body[field[1:]]; ok {
				out[field[1:]] = x
			}
		}
	}
	return out
}

func (p *pairing) checkFeed(f *modelFeed) {
	got := p.feed(f)
	live, end := 0, uint64(0)
	type at struct {
		index uint64
		ref   string
	}
	cursor := uint64(p.rng.IntN(int(p.size)))
	var wants []at
	for ref, it := range f.items {
		if !it.withdrawn {
			live++
		}
		end = max(end, it.index+1)
		if it.index >= cursor {
			wants = append(wants, at{it.index, ref})
		}
	}
	slices.SortFunc(wants, func(a, b at) int { return int(a.index) - int(b.index) })
	if got.Records != live || got.End < end || got.Closed() != f.closed {
		p.t.Errorf("feed of %s: %d records to %d, closed %v; want %d to %d, %v", f.doc.Name, got.Records, got.End, got.Closed(), live, end, f.closed)
	}
	page, err := p.l.Page(got, cursor)
	if err != nil {
		p.t.Fatal(err)
	}
	// What is said to be idle is empty, and a feed is idle from its end on.
	if idle := p.l.Idle(got, cursor); idle && len(wants) > 0 || !p.l.Idle(got, got.End) {
		p.t.Errorf("feed of %s: idle from %d is %v, with %d items; from its end, %d, %v", f.doc.Name, cursor, idle, len(wants), got.End, p.l.Idle(got, got.End))
	}
	if !page.Live || page.Cursor != p.size || len(page.Items) != len(wants) || len(page.Damaged) > 0 || page.Records != live {
		p.t.Errorf("page from %d: %d items, live %v, cursor %d, %d records, damaged %v; want %d items", cursor, len(page.Items), page.Live, page.Cursor, page.Records, page.Damaged, len(wants))
		return
	}
	var hashes []tlog.Hash
	var indices []uint64
	for i, it := range page.Items {
		want := f.items[wants[i].ref]
		if it.Index != want.index {
			p.t.Errorf("item %d of the page is entry %d, want %d", i, it.Index, want.index)
			continue
		}
		indices = append(indices, it.Index)
		if want.withdrawn {
			tok, ev, err := record.ParseEvent(it.Token)
			if err != nil {
				p.t.Fatal(err)
			}
			if w, err := event.ParseWithdrawal(ev.Body); err != nil || w.Agreement != f.doc.Name || w.Record != p.id(wants[i].ref) {
				p.t.Errorf("entry %d withdraws %s from %s: %v", it.Index, w.Record, w.Agreement, err)
			}
			hashes = append(hashes, tok.Entry())
			continue
		}
		tok, err := record.Parse(it.Token)
		if err != nil {
			p.t.Fatal(err)
		}
		view, err := tok.View()
		if err != nil {
			p.t.Fatal(err)
		}
		body := p.versionAt(wants[i].ref, want.index, f.fields)
		if !reflect.DeepEqual(view.Body, body) {
			p.t.Errorf("entry %d leaves as %v, want %v", it.Index, view.Body, body)
		}
		hashes = append(hashes, tok.Entry())
	}
	if len(hashes) > 0 {
		if err := tlog.VerifyBatch(hashes, indices, page.Checkpoint.Size, page.Checkpoint.Root, page.Inclusion); err != nil {
			p.t.Error(err)
		}
	}
	if !bytes.Contains(page.Note, []byte(page.Checkpoint.Root.String())) {
		p.t.Errorf("the page's note is not of its checkpoint")
	}
}
