package ledger_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/ledger"
)

// What was live at every size of the log is what was live then, and every
// checkpoint of then is the one that the log key signed then.
func TestLiveAt(t *testing.T) {
	std, later := parish(t, "1.0.0"), parish(t, "1.1.0")
	l := open(t, "", ring(t))
	adopt(t, l, std, later)
	rng := rand.New(rand.NewPCG(7, 7))
	live := map[string]uint64{} // by record, in std
	history := map[uint64][]uint64{}
	notes := map[uint64]string{}
	for i := range 120 {
		ref := fmt.Sprint(rng.IntN(9))
		switch rng.IntN(4) {
		case 0:
			r := put(t, l, std, item(ref, fmt.Sprint(i), "x"))
			remove(t, l, r.Record)
			delete(live, ref)
		case 1:
			put(t, l, later, item(ref, fmt.Sprint(i), "x"))
			delete(live, ref)
		default:
			live[ref] = put(t, l, std, item(ref, fmt.Sprint(i), "x")).Index
		}
		err := l.View(func(v *ledger.View) error {
			cp, note := v.Checkpoint()
			history[cp.Size], notes[cp.Size] = slices.Sorted(maps.Values(live)), string(note)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := l.View(func(v *ledger.View) error {
		for size, want := range history {
			got, err := v.LiveAt(std.Name(), size)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("at %d: got %v, want %v (%v)", size, got, want, err)
			}
			if _, note, err := v.CheckpointAt(size); err != nil || !strings.HasPrefix(notes[size], string(note)) {
				t.Errorf("checkpoint at %d is another than was signed then: %v", size, err)
			}
		}
		_, err := v.LiveAt(std.Name(), l.Size()+1)
		_, _, err2 := v.CheckpointAt(l.Size() + 1)
		_, _, err3 := v.CheckpointAt(0)
		if !errors.Is(err, ledger.ErrNotFound) || !errors.Is(err2, ledger.ErrNotFound) || !errors.Is(err3, ledger.ErrNotFound) {
			t.Errorf("beyond the log: %v, %v, %v", err, err2, err3)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
