package audit

import (
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
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
