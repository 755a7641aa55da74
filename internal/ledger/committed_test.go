package ledger_test

import (
	"errors"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// The words in which a sender committed to what it permits are kept of the newest that was
// compared, and of the few that wait. All others go: a sender that commits to nothing new
// at each checkpoint fills no disk.
func TestOldCommitmentsGo(t *testing.T) {
	l := open(t, t.TempDir(), ring(t))
	src, err := l.OpenSource(t.Context(), "hexwell.gov.uk", "hexwell.gov.uk/items")
	if err != nil {
		t.Fatal(err)
	}
	again := func() *ledger.Source {
		t.Helper()
		s, err := l.Source(src.From, src.Agreement)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	commit := func(size, entry uint64) {
		t.Helper()
		if err := l.Told(t.Context(), again(), event.AgreementCheckpoint{Size: size, Count: size, Root: tlog.Hash{byte(size)}}, entry, []byte{byte(entry)}); err != nil {
			t.Fatal(err)
		}
	}
	kept := func() int { return l.CountKeys(ledger.CommitmentPrefix(again())) }

	// Twenty, of sizes that this copy has not come to: the newest few wait.
	for i := range uint64(20) {
		commit(10+i, 100+i)
	}
	if n := kept(); n != 4 {
		t.Errorf("the words of %d commitments are kept of 20 that wait, want 4", n)
	}
	err = l.View(func(v *ledger.View) error { _, _, err := v.Commitment(again()); return err })
	if !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("nothing was compared, and a commitment is shown: %v", err)
	}

	// The copy comes to the size of the newest: that one is compared, and stays alone.
	d := &ledger.Delivery{Cursor: 29, Puts: []ledger.Put{{Index: 5, Record: name.RecordFrom([16]byte{1}), Version: 1, Hash: tlog.Hash{1}, Token: []byte("token")}}}
	if _, err := l.Receive(t.Context(), again(), d); err != nil {
		t.Fatal(err)
	}
	if err := l.CountCopy(t.Context(), again(), 29, func() {}); err != nil {
		t.Fatal(err)
	}
	err = l.View(func(v *ledger.View) error {
		at, jws, err := v.Commitment(again())
		if err == nil && (at != 119 || string(jws) != string([]byte{119})) {
			t.Errorf("the newest that was compared is that at %d, %x", at, jws)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// It differs from what came (that was one record), so it is kept for that, too.
	if n := kept(); n != 1 {
		t.Errorf("the words of %d commitments are kept once the newest was compared, want 1", n)
	}
}
