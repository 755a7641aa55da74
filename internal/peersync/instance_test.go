package peersync_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/node/name"
)

// TestTwoProcesses: two nodes with one key, of which neither has signed anything that the
// other has not, are told apart by the partner that hears both. Both sign nothing, the
// partner names them, and when one is stopped the other goes on by itself.
func TestTwoProcesses(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		// They sign nothing but receipts, so that the two logs stay one until then.
		a := terms(t, saltby, "items", 1, nil, northmoor)
		s := w.run(saltby, a)
		w.folder = t.TempDir()
		n := w.run(northmoor, a)
		s.put(item("before", "X"))
		w.await("they are in step", func() bool { return len(n.held(a.Name)) == 1 && s.Serving(northmoor, "") })
		time.Sleep(time.Minute)
		n.stop()
		other := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(other, os.DirFS(w.folder)); err != nil {
			t.Fatal(err)
		}
		n = w.run(northmoor, a)
		w.folder = other
		w.await("they are connected", func() bool { return s.Serving(northmoor, a.Name) && s.Serving(northmoor, "") })
		time.Sleep(time.Minute)
		if got := s.Twice(); len(got) > 0 {
			t.Fatalf("one node is taken for two: %v", got)
		}
		size := n.ledger.Size()
		began := time.Now()
		m := w.twin(northmoor, a)
		for _, h := range []*house{n, m} {
			w.await("it signs nothing", func() bool { return h.ledger.Halted() != nil && len(h.ledger.Halted().Elsewhere) == 1 })
			if err := h.ledger.Write(t.Context(), h.ledger.OfferDelete(name.RecordFrom([16]byte{}))); !errors.Is(err, ledger.ErrElsewhere) {
				t.Errorf("it signs: %v", err)
			}
			if h.ledger.Halted().Elsewhere[0].By != saltby {
				t.Errorf("%+v", h.ledger.Halted())
			}
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("it took %v", d)
		}
		time.Sleep(10 * time.Minute)
		if got := s.Twice(); len(got) != 1 || got[0].Council != northmoor {
			t.Errorf("the partner says %v", got)
		}
		if n.ledger.Halted() == nil || m.ledger.Halted() == nil {
			t.Fatal("one goes on while the other runs")
		}
		if s.Serving(northmoor, "") {
			t.Error("the partner goes on")
		}

		if x, y := n.ledger.Size(), m.ledger.Size(); x != size || y != size {
			t.Errorf("they signed: %d and %d entries, %d before", x, y, size)
		}
		m.stop()
		w.await("the other goes on", func() bool { return n.ledger.Halted() == nil })
		if got := s.Twice(); len(got) > 0 {
			t.Errorf("the partner still says %v", got)
		}
		s.put(item("after", "X"))
		w.await("exchange goes on", func() bool { return len(n.held(a.Name)) == 2 })
	})
}

// TestStartedAgain: a node that is started again, with the former connection still up at
// its partner, and one whose process was killed, are not taken for two.
func TestStartedAgain(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := terms(t, northmoor, "items", 1, nil, saltby)
		s := w.run(saltby, a)
		w.folder = t.TempDir()
		for i := range 3 {
			n := w.run(northmoor, a)
			w.await("it is connected", func() bool { return s.Serving(northmoor, "") })
			if i == 1 {
				w.world.Cut(northmoor, saltby) // nothing that it says at its end arrives
			}
			n.stop()
			w.world.Heal(northmoor, saltby)
		}
		n := w.run(northmoor, a)
		for range 30 {
			time.Sleep(10 * time.Second)
			if got := s.Twice(); len(got) > 0 {
				t.Fatalf("%v", got)
			}
			if h := n.ledger.Halted(); h != nil {
				t.Fatalf("%+v", h)
			}
		}
		n.put(item("one", "X"))
		w.await("exchange goes on", func() bool { return s.holds(planning, 1) })
	})
}

// A vouch is believed of nobody but who signed it, about nobody but whom it names.
func TestVouch(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		one, two := peersync.Instance{1}, peersync.Instance{2}
		key := func(c name.Council) note.Verifier {
			v, err := note.NewVerifier(w.rings[c].Log.Verifier())
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		signed, err := peersync.Vouch(w.rings[northmoor].Log.Signer(), northmoor, one, two)
		if err != nil {
			t.Fatal(err)
		}
		if id, of, err := peersync.ParseVouch(signed, northmoor, key(northmoor)); err != nil || id != one || of != two {
			t.Errorf("%x %x %v", id, of, err)
		}
		for _, c := range []struct {
			of  name.Council
			key name.Council
		}{{saltby, northmoor}, {northmoor, saltby}} {
			if _, _, err := peersync.ParseVouch(signed, c.of, key(c.key)); err == nil {
				t.Errorf("taken for one of %s with the key of %s", c.of, c.key)
			}
		}
	})
}

func FuzzParseVouch(f *testing.F) {
	// Signatures are not the matter here: any is taken.
	f.Add("stile instance 1\nnorthmoor.gov.uk\n01000000000000000000000000000000\n02000000000000000000000000000000\n")
	f.Add("stile instance 1\nnorthmoor.gov.uk\n0A\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		signed, err := note.Sign(&note.Note{Text: text}, anyKey{})
		if err != nil {
			return
		}
		id, of, err := peersync.ParseVouch(signed, northmoor, anyKey{})
		if err != nil {
			return
		}
		again, err := peersync.Vouch(anyKey{}, northmoor, id, of)
		if err != nil || string(again) != string(signed) {
			t.Errorf("%q becomes %q: %v", signed, again, err)
		}
	})
}

type anyKey struct{}

func (anyKey) Name() string                { return "any" }
func (anyKey) KeyHash() uint32             { return 1 }
func (anyKey) Verify(msg, sig []byte) bool { return true }
func (anyKey) Sign([]byte) ([]byte, error) { return []byte{1}, nil }
