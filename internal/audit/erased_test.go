package audit

import (
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// TestErased: an auditor tells a version that the council erased from one that it left
// out, and the order to erase from silence; what is shown all the same is a fault.
func TestErased(t *testing.T) {
	w := newTown(t)
	w.agree()
	at, token := w.record("R0", "E07000999")
	w.send(map[uint64][]byte{at: token})
	w.receipt([]uint64{at}, nil)
	rec := w.last["R0"].Record
	said := w.event(event.KindErasure, event.Erasure{Record: rec, Entries: []uint64{at}, Reason: "asked for"}.Body())
	order := w.event(event.KindErasureOrder, event.ErasureOrder{Withdrawal: event.Withdrawal{
		Agreement: moving, Version: 1, Record: rec, Reason: "erased by the council that held it", Entry: at,
	}}.Body())
	w.send(map[uint64][]byte{order: w.include[order]})
	w.receipt([]uint64{}, []uint64{order})
	w.checkpoint(true)

	expect(t, verify(t, w.bundle(MaxChunk), Options{Trust: w.trust()}), CheckWithdrawals, Failed, "Of 1 withdrawal")
	whole := w.include[at]
	delete(w.include, at)
	r := verify(t, w.bundle(MaxChunk), Options{Trust: w.trust()})
	expect(t, r, CheckWithdrawals, OK, "Of 1 withdrawal, every receiver signed that it deleted what 1 took back", "logged that it erased 1 version", "1 of them had been disclosed before")
	if !r.OK() || r.Counts.Erasures != 1 {
		t.Errorf("an honest bundle fails:\n%s", text(r))
	}
	for _, c := range r.Checks {
		if c.Name == CheckLogged && c.NotDone > 0 {
			t.Errorf("what was erased is called left out: %s", c.Detail)
		}
	}

	w.include[at] = whole
	for _, bad := range []event.Erasure{
		{Record: name.Record(rec), Entries: []uint64{said}, Reason: ""}, // no record
		{Record: name.Record(rec), Entries: []uint64{1 << 40}, Reason: ""},
	} {
		delete(w.include, at)
		i := w.event(event.KindErasure, bad.Body())
		w.checkpoint(true)
		expect(t, verify(t, w.bundle(MaxChunk), Options{Trust: w.trust()}), CheckWithdrawals, Failed, "Of 1 withdrawal")
		delete(w.include, i)
	}
}
