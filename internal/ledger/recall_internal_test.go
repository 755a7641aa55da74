package ledger

import (
	"errors"
	"slices"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestDeletingIsFinished: what was put out of reach by the word of a council when the node stopped
// has left the disk when it is opened again, and is said then, once; a version that came in the
// place of one that was to go stays.
func TestDeletingIsFinished(t *testing.T) {
	const by, of, self = name.Council("saltby.gov.uk"), name.Council("northmoor.gov.uk"), name.Council("hexwell.gov.uk")
	const on, first = name.Agreement("saltby.gov.uk/on"), name.Agreement("northmoor.gov.uk/moves")
	ring, err := keys.Generate(self)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Dir: t.TempDir(), Council: self, Keys: ring, MinFree: 1, Founded: true}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	src, err := l.OpenSource(t.Context(), by, on)
	if err != nil {
		t.Fatal(err)
	}
	var which []HeldPassed
	said := event.OnwardGone{Agreement: first, Version: 1, To: self, Under: on}
	put := func(index uint64, r byte, version uint64) Put {
		return Put{Index: index, Record: name.RecordFrom([16]byte{r}), Version: version, Entry: tlog.Hash{r, byte(version)}, Token: []byte("eyJ"), Passed: []byte("a.b.c")}
	}
	err = l.do(t.Context(), false, func(x *tx) error {
		c, err := x.current(src)
		if err != nil {
			return err
		}
		// The third has a later version by the time that its first is said to be gone.
		for _, p := range []Put{put(3, 1, 1), put(4, 2, 1), put(5, 3, 1), put(6, 3, 2)} {
			if took, err := x.keep(c, &p); err != nil || !took {
				return errors.Join(err, errors.New("not kept"))
			}
			if p.Version == 1 {
				which = append(which, HeldPassed{Index: p.Index, PassedVersion: PassedVersion{p.Record, p.Entry}, Under: []name.Agreement{first, on}})
				said.Versions = append(said.Versions, event.GoneVersion{Record: p.Record, Hash: p.Entry, Since: 1, Known: p.Index != 4})
			}
		}
		return x.source(c)
	})
	if err == nil {
		err = l.outOfReach(t.Context(), src, []byte("d.e.f"), said, which)
	}
	if err = errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}

	if l, err = Open(o); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if src, err = l.Source(by, on); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.FinishDeleting(t.Context(), src); err != nil {
			t.Fatal(err)
		}
	}
	src, _ = l.Source(by, on)
	if tr := src.Tracing; src.Records != 1 || tr == nil || tr.Going != nil || tr.Gone != 2 || tr.Quiet != 1 || tr.Of != of {
		t.Errorf("%d are held, and asking stands at %+v", src.Records, tr)
	}
	err = l.View(func(v *View) error {
		for r, held := range map[byte]bool{1: false, 2: false, 3: true} {
			if _, err := holdingOf(v.txn, src, [16]byte{r}); held == errors.Is(err, ErrNotFound) {
				t.Errorf("record %d: %v, want it held %t", r, err, held)
			}
		}
		if err := v.walk([]byte{'O'}, func(key, _ []byte) error {
			t.Errorf("to leave the disk still: %x", key)
			return nil
		}); err != nil {
			return err
		}
		var events []event.OnwardDeleted
		v.Events(event.KindOnwardDeleted, 0, func(i uint64) bool {
			e, _, err := ReadEvent(v, i, event.KindOnwardDeleted, event.ParseOnwardDeleted)
			if err != nil {
				t.Error(err)
			}
			events = append(events, e)
			return true
		})
		if len(events) != 1 || events[0].From != by || events[0].Agreement != first || events[0].Under != on || events[0].Word != "d.e.f" || events[0].Known != 1 || !slices.Equal(events[0].Entries, []uint64{3, 4}) {
			t.Errorf("it is said that %+v", events)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []name.Council{by, of} {
		if f, err := l.Notices(c); err != nil || f.End == 0 {
			t.Errorf("nothing waits for %s: %v", c, err)
		}
	}
}
