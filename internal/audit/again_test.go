package audit

import (
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
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

// TestTakenBackWhileSuspended: a suspended agreement, and one that has ended, let withdrawals
// through, and not a record beside one.
func TestTakenBackWhileSuspended(t *testing.T) {
	for _, kind := range []string{event.KindAgreementSuspend, event.KindAgreementEnd} {
		for _, beside := range []bool{false, true} {
			w := newTown(t)
			w.agree()
			at, token := w.record("R0", "E07000999")
			later, other := w.record("R1", "E07000999")
			w.send(map[uint64][]byte{at: token})
			w.event(kind, agreement.Notice{Ref: w.doc.Ref(), Reason: "a breach", At: time.Unix(w.now, 0)}.Body())
			w.now += 60
			back := w.event(event.KindWithdrawal, event.Withdrawal{Agreement: moving, Version: 1, Record: w.last["R0"].Record, Reason: "deleted", Entry: at}.Body())
			goes := map[uint64][]byte{back: w.include[back]}
			if beside {
				goes[later] = other
			}
			w.send(goes)
			w.checkpoint(true)
			if r := verify(t, w.bundle(MaxChunk), Options{Trust: w.trust()}); r.OK() == beside {
				t.Errorf("%s, a record beside it %v: %s", kind, beside, text(r))
			}
		}
	}
}

// TestSentAgainWithinASecond: a link that breaks off has a council log the same
// disclosure twice. The auditor says so, and nothing is wrong. Any other event twice is.
func TestSentAgainWithinASecond(t *testing.T) {
	again := func(w *town, i uint64) {
		tok, _, err := record.ParseEvent(w.include[i])
		w.must(err)
		w.include[w.append(tok)] = tok.Bytes()
	}
	w := newTown(t)
	w.agree()
	at, token := w.record("R0", "E07000999")
	again(w, w.send(map[uint64][]byte{at: token}))
	w.receipt([]uint64{at}, nil)
	w.checkpoint(true)
	r := verify(t, w.bundle(MaxChunk), Options{Trust: w.trust()})
	expect(t, r, CheckDuplicates, OK, "none of them twice", "1 disclosure is the same as one before it")
	if !r.OK() {
		t.Errorf("an honest bundle fails:\n%s", text(r))
	}

	back := w.event(event.KindWithdrawal, event.Withdrawal{Agreement: moving, Version: 1, Record: w.last["R0"].Record, Reason: "no longer matches the agreement", Entry: at}.Body())
	again(w, back)
	w.checkpoint(true)
	expect(t, verify(t, w.bundle(MaxChunk), Options{Trust: w.trust()}), CheckDuplicates, Failed, "none of them twice")
}
