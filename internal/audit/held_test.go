package audit

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/api"
)

// A holderTown is a town of which saltby shows what it was given.
type holderTown struct {
	*town
	given map[uint64][]byte
}

// newHolderTown has three records go to saltby, signed for and not changed since.
func newHolderTown(t *testing.T) *holderTown {
	w := &holderTown{newTown(t), map[uint64][]byte{}}
	w.header.Holder = saltby
	w.agree()
	for _, ref := range []string{"N/1", "N/2", "N/3"} {
		i, tok := w.record(ref, "E07000999")
		w.given[i], w.include[i] = tok, tok
	}
	w.receipt(indexList(w.given), nil)
	return w
}

// commit has northmoor commit to what the agreement permits saltby now.
func (w *holderTown) commit() {
	var sum tlog.Tally
	for _, i := range indexList(w.given) {
		t, err := record.Parse(w.given[i])
		w.must(err)
		view, err := t.View()
		w.must(err)
		m, err := memberUnder(t, view, i, w.terms)
		w.must(err)
		sum.Add(m)
	}
	w.event(event.KindAgreementCheckpoint, event.AgreementCheckpoint{
		Agreement: moving, Version: 1, To: saltby, Size: w.tree.Size(), Count: sum.Size(), Root: sum.Root(),
	}.Body())
}

func (w *holderTown) newest() uint64 {
	all := indexList(w.given)
	return all[len(all)-1]
}

// What a holder shows is believed as far as somebody else signed it, and no further.
func TestHeld(t *testing.T) {
	w := newHolderTown(t)
	w.commit()
	w.checkpoint(true)
	r := verify(t, w.bundle(2), Options{Trust: w.trust()})
	if r.Result == Failed {
		t.Fatal(text(r))
	}
	expect(t, r, CheckInclusion, OK)
	expect(t, r, CheckReceipts, OK, "Of 3 entries", "3 records are here")
	expect(t, r, CheckComplete, OK, "Complete up to checkpoint")
	expect(t, r, CheckLogged, NotDone, "seen in its own bundle")
	if c := r.Commitments; len(c) != 1 || c[0].Result != "ok" || c[0].Counted != c[0].Committed || c[0].Counted.Count != 3 || c[0].To != saltby {
		t.Errorf("commitments counted again: %+v", c)
	}
}

func TestLyingHolder(t *testing.T) {
	for _, c := range []struct {
		name  string
		lie   func(w *holderTown)
		check string
		want  Result
		words []string
	}{
		{"shows what it never signed for", func(w *holderTown) {
			i, tok := w.record("N/4", "E07000999")
			w.include[i] = tok
		}, CheckReceipts, Failed, nil},
		{"leaves out what it signed for", func(w *holderTown) {
			w.commit()
			delete(w.include, w.newest())
		}, CheckComplete, NotDone, []string{"the file has 2 of then", "may have left out"}},
		{"changes who said a record", func(w *holderTown) {
			tok, err := record.Parse(w.sign(w.draft(saltby, "N/5", "E07000999"), w.rings[saltby]).Bytes())
			w.must(err)
			w.include[w.newest()] = tok.Bytes()
		}, CheckRecordSignatures, Failed, nil},
		{"shows a field beyond the agreement", func(w *holderTown) {
			w.include[w.newest()] = w.tokens[w.newest()]
		}, CheckFields, Failed, nil},
		{"signed for another history", func(w *holderTown) {
			w.heard(event.KindReceipt, event.Receipt{Agreement: moving, From: northmoor, Size: w.tree.Size(), Root: tlog.Hash{1}, Cursor: w.tree.Size(), Held: []uint64{}}.Body())
		}, CheckHistory, Failed, nil},
		{"shows the receipt of another agreement", func(w *holderTown) {
			w.heard(event.KindReceipt, event.Receipt{Agreement: "northmoor.gov.uk/other", From: northmoor, Size: w.tree.Size(), Root: w.tree.Root(), Cursor: w.tree.Size(), Held: []uint64{}}.Body())
		}, CheckReceipts, Failed, nil},
		{"signs for what the checkpoint does not have", func(w *holderTown) {
			w.receipt([]uint64{w.tree.Size() + 5}, nil)
		}, CheckReceipts, Failed, nil},
		{"has nobody's commitment", func(*holderTown) {}, CheckComplete, NotDone, []string{"nothing says whether this is all"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newHolderTown(t)
			c.lie(w)
			w.checkpoint(true)
			expect(t, verify(t, w.bundle(2), Options{Trust: w.trust()}), c.check, c.want, c.words...)
		})
	}
}

// goneHolder is a holder of three records that were committed to, of which the first has a
// newer version since and the second was taken back. It names both.
func goneHolder(t *testing.T) *holderTown {
	w := newHolderTown(t)
	w.commit()
	at := indexList(w.given)
	w.goes(at[0], 0)
	i, tok := w.record("N/1", "E07000999")
	w.include[i] = tok
	w.receipt([]uint64{i}, nil)
	w.gone[0].By = i
	w.goes(at[1], w.takeBack("N/2", at[1]))
	return w
}

func (w *holderTown) takeBack(ref string, entry uint64) uint64 {
	return w.event(event.KindWithdrawal, event.Withdrawal{Agreement: moving, Version: 1, Record: w.last[ref].Record, Reason: "moved", Entry: entry}.Body())
}

// goes has a record leave what saltby shows: by an entry that took it back, or for a newer
// version by an entry that is to be filled in, when that is 0.
func (w *holderTown) goes(index, by uint64) {
	tok, err := record.Parse(w.given[index])
	w.must(err)
	view, err := tok.View()
	w.must(err)
	m, err := memberUnder(tok, view, index, w.terms)
	w.must(err)
	g := Gone{Entry: index, By: by, Record: view.Record, Why: api.GoneTakenBack, Hash: m}
	if by == 0 {
		g.Why, g.Version, g.Digest, g.Fields = api.GoneNewer, view.Version, tok.Entry(), agreement.FieldsOf(view.Disclosed)
	}
	w.gone = append(w.gone, g)
	delete(w.include, index)
}

// What a holder says has gone makes its file whole as far as the council's own words speak
// for it: whoever hides a record, and calls it gone, is told from who does not.
func TestHolderNamesWhatHasGone(t *testing.T) {
	for _, c := range []struct {
		name  string
		do    func(w *holderTown)
		want  Result
		words []string
	}{
		{"honest", func(*holderTown) {}, OK, []string{"Complete up to checkpoint", "with what has gone since it is the 3 records", "2 have gone since: 1 newer version, 1 taken back"}},
		{"erased", func(w *holderTown) {
			at := w.newest()
			w.goes(at, w.event(event.KindErasureOrder, event.Withdrawal{Agreement: moving, Version: 1, Record: w.last["N/3"].Record, Reason: "erased", Entry: at}.Body()))
			w.gone[2].Why = api.GoneErased
		}, OK, []string{"3 have gone since: 1 newer version, 1 taken back, 1 erased"}},
		{"newer, and then taken back", func(w *holderTown) {
			delete(w.include, w.gone[0].By)
			w.takeBack("N/1", w.gone[0].By)
		}, OK, []string{"Complete up to checkpoint"}},
		{"at the end of its term, signed for", func(w *holderTown) {
			at := w.newest()
			w.goes(at, 1)
			w.gone[2].By, w.gone[2].Why = 0, api.GoneNotHeld
			w.retainedSince(time.Unix(w.now, 0).AddDate(-1, 0, -2), northmoor, at)
		}, OK, []string{"1 not held"}},
		{"at the end of its term, and nobody signed", func(w *holderTown) {
			w.goes(w.newest(), 1)
			w.gone[2].By, w.gone[2].Why = 0, api.GoneNotHeld
		}, NotDone, []string{"that 1 of them has gone, and was not left out, is the word of saltby.gov.uk alone"}},
		{"hides a record that nothing took back", func(w *holderTown) {
			w.goes(w.newest(), w.tree.Size())
			w.record("N/9", "E07000001")
		}, NotDone, []string{"that 1 of them has gone, and was not left out, is the word of saltby.gov.uk alone"}},
		{"hides a record behind what took back another", func(w *holderTown) {
			w.goes(w.newest(), w.gone[1].By)
		}, Failed, nil},
		{"hides a record under the name of another that came later and was taken back", func(w *holderTown) {
			at := w.newest()
			i, _ := w.record("N/7", "E07000999")
			w.goes(at, w.takeBack("N/7", i))
			w.gone[2].Record = w.last["N/7"].Record
		}, NotDone, []string{"is the word of saltby.gov.uk alone"}},
		{"hides a record behind the newer version of another", func(w *holderTown) {
			at := w.newest()
			w.goes(at, w.gone[0].By)
		}, Failed, nil},
		{"hides a record behind an event that is about none", func(w *holderTown) {
			at := w.newest()
			w.goes(at, w.event(event.KindErasure, event.Erasure{Record: w.last["N/3"].Record, Entries: []uint64{}, Reason: ""}.Body()))
		}, Failed, nil},
		{"calls erased what was taken back", func(w *holderTown) { w.gone[1].Why = api.GoneErased }, Failed, nil},
		{"names one hash too many", func(w *holderTown) {
			w.gone = append(w.gone, Gone{Entry: 1, By: w.gone[1].By, Record: w.gone[1].Record, Why: api.GoneTakenBack, Hash: tlog.Hash{1}})
		}, NotDone, []string{"cannot be told apart"}},
		{"names another hash", func(w *holderTown) { w.gone[1].Hash[0]++ }, NotDone, []string{"cannot be told apart"}},
		{"says that it went before the commitment", func(w *holderTown) { w.gone[0].By = w.gone[0].Entry + 1 }, Failed, nil},
		{"calls gone what is here, as another", func(w *holderTown) {
			at := w.newest()
			w.goes(at, w.gone[1].By)
			w.gone[2].Hash[0]++
			w.include[at] = w.given[at]
		}, Failed, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := goneHolder(t)
			c.do(w)
			w.checkpoint(true)
			r := verify(t, w.bundle(2), Options{Trust: w.trust()})
			expect(t, r, CheckComplete, c.want, c.words...)
			if len(r.Commitments) != 1 || (r.Commitments[0].Result == string(OK)) != (c.want == OK) && c.want != Failed {
				t.Errorf("commitments: %+v", r.Commitments)
			}
			if c.want != Failed && r.Result == Failed {
				t.Error(text(r))
			}
		})
	}
}

// A file that names what has gone has a number of its own, and what names it is read in one
// spelling.
func TestGoneFormat(t *testing.T) {
	w := goneHolder(t)
	w.checkpoint(true)
	files := unpack(t, w.bundle(2))
	if !bytes.Contains(files[documentPath], []byte(`"format":4`)) || !bytes.Contains(files[documentPath], []byte(`"gone":2`)) {
		t.Errorf("bundle.json: %s", files[documentPath])
	}
	lines := bytes.SplitAfter(files[gonePath], []byte("\n"))
	for what, bad := range map[string][]byte{
		"out of order":    slices.Concat(lines[1], lines[0]),
		"twice":           slices.Concat(lines[0], lines[0]),
		"cut off":         files[gonePath][:len(files[gonePath])-1],
		"not canonical":   bytes.Replace(files[gonePath], []byte(`{`), []byte(`{ `), 1),
		"a member more":   bytes.Replace(files[gonePath], []byte(`"why"`), []byte(`"wer":1,"why"`), 1),
		"an unknown why":  bytes.Replace(files[gonePath], []byte(`taken back`), []byte(`eaten`), 1),
		"fewer than said": lines[0],
	} {
		altered := maps.Clone(files)
		altered[gonePath] = bad
		z := repack(t, altered)
		if r, err := Verify(bytes.NewReader(z), int64(len(z)), Options{Trust: w.trust()}); err == nil && r.OK() {
			t.Errorf("%s: it is taken", what)
		}
	}
	delete(files, gonePath)
	z := repack(t, files)
	if _, err := Verify(bytes.NewReader(z), int64(len(z)), Options{}); !errors.Is(err, ErrBundle) {
		t.Errorf("the list is missing: %v", err)
	}
}

// A holder cannot choose the sample: the seed draws it from what it signed for.
func TestHeldSample(t *testing.T) {
	w := newHolderTown(t)
	w.header.Covers.Sample = Sample{Size: 1, Seed: "audit committee"}
	drawn := w.header.Covers.Sample.Draw(indexList(w.given))[0]
	w.checkpoint(false)
	for i := range w.given {
		w.include = map[uint64][]byte{i: w.given[i]}
		want := OK
		if i != drawn {
			want = Failed
		}
		expect(t, verify(t, w.bundle(2), Options{Trust: w.trust()}), CheckReceipts, want)
	}
}
