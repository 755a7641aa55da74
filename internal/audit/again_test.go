package audit

import (
	"testing"

	"github.com/stile-exchange/stile/internal/event"
)

// TestLetOutByAnotherText: what one text of an agreement took back the next may let
// out again as it is; the same text may not.
func TestLetOutByAnotherText(t *testing.T) {
	for _, amended := range []bool{true, false} {
		w := newTown(t)
		w.agree()
		at, token := w.record("R0", "E07000999")
		w.send(map[uint64][]byte{at: token})
		back := w.event("withdrawal", event.Withdrawal{Agreement: moving, Version: 1, Record: w.last["R0"].Record, Reason: "no longer matches the agreement", Entry: at}.Body())
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
