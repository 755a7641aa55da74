package ledger

import (
	"slices"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestObeyAgain: an order to erase that came when an older program ran, which kept it among the
// notices and did nothing, is receipted once by the program that knows of it; one about what
// was never handed over is not.
func TestObeyAgain(t *testing.T) {
	from, to := name.Council("northmoor.gov.uk"), name.Council("saltby.gov.uk")
	own, err := keys.Generate(to)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := keys.Generate(from)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(Options{Dir: t.TempDir(), Council: to, Keys: own, MinFree: 1, Founded: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	src, err := l.OpenSource(t.Context(), from, "")
	if err == nil {
		_, err = l.OpenNotices(t.Context(), from)
	}
	if err != nil {
		t.Fatal(err)
	}
	const moves = name.Agreement("northmoor.gov.uk/moves")
	taken, never := name.RecordFrom([16]byte{1}), name.RecordFrom([16]byte{2})
	err = l.do(t.Context(), false, func(x *tx) error {
		x.let(letTaken, moves, taken, event.CaseID{7})
		for i, r := range []name.Record{taken, never} {
			o := event.ErasureOrder{Withdrawal: event.Withdrawal{Agreement: moves, Version: 1, Record: r, Reason: WithdrawnErased}}
			tok, err := record.BuildEvent(record.Event{Council: from, IssuedAt: 1, Kind: event.KindErasureOrder, Body: o.Body()}, theirs.Record.ID())
			if err != nil {
				return err
			}
			sig, err := theirs.Record.Sign(tok.SigningInput())
			if err != nil {
				return err
			}
			x.set(positionKey('E', src.number, uint64(5+i)), tok.Seal(sig).Bytes())
		}
		k, err := x.known(from)
		if err != nil {
			return err
		}
		k.Size, k.Root = 9, tlog.Hash{1}
		return x.keepKnown(k)
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.ObeyAgain(t.Context(), src); err != nil {
			t.Fatal(err)
		}
	}
	var said []*event.Receipt
	kept := 0
	err = l.View(func(v *View) error {
		v.Events(event.KindReceipt, 0, func(i uint64) bool {
			ev, _, err := v.Event(i)
			if err != nil {
				t.Fatal(err)
			}
			r, err := event.ParseReceipt(ev.Body)
			if err != nil {
				t.Fatal(err)
			}
			said = append(said, r)
			return true
		})
		return v.OrdersFrom(from, 0, func(uint64, []byte) bool { kept++; return true })
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(said) != 1 || said[0].Agreement != moves || said[0].From != from || !slices.Equal(said[0].Deleted, []uint64{5}) || said[0].Cursor != 6 || kept != 1 {
		t.Errorf("receipts %+v, %d orders kept", said, kept)
	}
	f, err := l.Notices(from)
	if err != nil || f.End == 0 {
		t.Errorf("nothing is addressed to %s: %v", from, err)
	}
}
