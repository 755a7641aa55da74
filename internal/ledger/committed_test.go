package ledger_test

import (
	"errors"
	"fmt"
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
		if err := l.Told(t.Context(), again(), event.AgreementCheckpoint{Size: size, Count: size, Root: tlog.Hash{byte(size)}}, ledger.Words{Entry: entry}, []byte{byte(entry)}); err != nil {
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
		if err == nil && (at.Entry != 119 || string(jws) != string([]byte{119})) {
			t.Errorf("the newest that was compared is that at %d, %x", at.Entry, jws)
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

// What a footprint sends each of its members commits to. A record that one of them left out
// is missed when another commits, and that the one agrees with itself clears nothing; two
// that say different things of one size are kept with their words; and no member pushes out
// what another said.
func TestMembersCommit(t *testing.T) {
	const fens, northmoor, saltby, outOfFens = name.Council("fens.example"), name.Council("northmoor.gov.uk"), name.Council("saltby.gov.uk"), name.Agreement("fens.example/out")
	l := open(t, "", ring(t))
	if _, err := l.OpenSource(t.Context(), fens, outOfFens); err != nil {
		t.Fatal(err)
	}
	source := func() *ledger.Source {
		t.Helper()
		src, err := l.Source(fens, outOfFens)
		if err != nil {
			t.Fatal(err)
		}
		return src
	}
	sum := func(leaves ...byte) (c event.AgreementCheckpoint) {
		var tally tlog.Tally
		for _, b := range leaves {
			tally.Add(tlog.Hash{b})
		}
		return event.AgreementCheckpoint{Count: tally.Size(), Root: tally.Root()}
	}
	said := uint64(0)
	tell := func(by name.Council, size uint64, c event.AgreementCheckpoint) ledger.Words {
		t.Helper()
		said++
		at := ledger.Words{By: by, Entry: said}
		c.Size = size
		if err := l.Told(t.Context(), source(), c, at, []byte(fmt.Sprint(by, said))); err != nil {
			t.Fatal(err)
		}
		return at
	}
	receive := func(cursor uint64, puts ...ledger.Put) {
		t.Helper()
		if _, err := l.Receive(t.Context(), source(), &ledger.Delivery{Cursor: cursor, Puts: puts}); err != nil {
			t.Fatal(err)
		}
		if err := l.CountCopy(t.Context(), source(), cursor, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	put := func(b byte, index uint64) ledger.Put {
		return ledger.Put{Index: index, Record: name.RecordFrom([16]byte{b}), Version: 1, Hash: tlog.Hash{b}, Token: []byte("token")}
	}
	// Northmoor leaves out record 2, and says so alike.
	receive(10, put(1, 3), put(3, 7))
	tell(northmoor, 10, sum(1, 3))
	if src := source(); src.Compared == nil || !src.Compared.Equal() || src.Differs != nil {
		t.Fatalf("alike: %+v, %+v", src.Compared, src.Differs)
	}
	receive(20, put(4, 12))
	tell(saltby, 20, sum(1, 2, 3, 4))
	if d := source().Differs; d == nil || d.By != saltby || d.Twice || d.Ours.Count != 3 || d.Sender.Count != 4 {
		t.Fatalf("left out: %+v", d)
	}
	receive(30, put(5, 22))
	tell(northmoor, 30, sum(1, 3, 4, 5))
	if src := source(); !src.Compared.Equal() || src.Differs == nil || src.Differs.By != saltby {
		t.Fatalf("northmoor agrees with itself: %+v, %+v", src.Compared, src.Differs)
	}
	// Of the same size they say two things: what came decides which is compared.
	at := tell(saltby, 30, sum(1, 2, 3, 4, 5))
	src := source()
	if d := src.Differs; d == nil || !d.Twice || d.Words != at || d.Against == nil || d.Against.By != northmoor || !src.Compared.Equal() || src.Compared.By != northmoor {
		t.Fatalf("two things: %+v, compared %+v", src.Differs, src.Compared)
	}
	err := l.View(func(v *ledger.View) error {
		of, jws, err := v.Contradiction(source())
		if err == nil && (of[0].By != northmoor || of[1] != at || len(jws[0]) == 0 || string(jws[1]) != fmt.Sprint(saltby, at.Entry)) {
			t.Errorf("both words: %+v, %q", of, jws)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// One that commits to what nobody can compare pushes out its own alone.
	tell(northmoor, 40, sum(1, 3, 4, 5, 6))
	for i := range uint64(20) {
		tell(saltby, 1<<40+i, sum(1))
	}
	receive(40, put(6, 33))
	if c := source().Compared; c.Sender.Size != 40 || c.By != northmoor || !c.Equal() {
		t.Errorf("pushed out: %+v", c)
	}
}
