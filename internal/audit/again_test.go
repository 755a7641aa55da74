package audit

import "testing"

// TestLetOutByAnotherText: what one text of an agreement took back the next may let
// out again as it is; the same text may not.
func TestLetOutByAnotherText(t *testing.T) {
	for _, amended := range []bool{true, false} {
		w := newTown(t)
		w.agree()
		at, token := w.record("R0", "E07000999")
		w.send(map[uint64][]byte{at: token})
		back := w.event("withdrawal", map[string]any{"agreement": string(moving), "version": 1,
			"record": string(w.last["R0"].Record), "reason": "no longer matches the agreement", "entry": at})
		w.send(map[uint64][]byte{back: w.include[back]})
		if amended {
			w.amend()
		}
		w.send(map[uint64][]byte{at: token})
		w.checkpoint(true)
		if r := verify(t, w.bundle(MaxChunk), Options{Trust: w.trust()}); r.OK() != amended {
			t.Errorf("by another text %v: %s", amended, text(r))
		}
	}
}
