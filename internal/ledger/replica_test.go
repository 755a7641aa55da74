package ledger

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stile-exchange/stile/internal/tlog"
)

// TestReplicaErasesWhileItApplies: what is erased is gone, and nothing that is
// applied meanwhile is refused for it.
func TestReplicaErasesWhileItApplies(t *testing.T) {
	r, err := OpenReplica(ReplicaOptions{Dir: t.TempDir(), Name: "fens.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const rounds = 60
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		for {
			if _, err := r.Erase(); err != nil {
				t.Errorf("erase: %v", err)
				return
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for i := range uint64(rounds) {
		err := r.Apply(i+1, func(tx *ReplicaTx) error {
			n := tx.Append(tlog.Hash{byte(i)}, fmt.Appendf(nil, "entry %d", i))
			if n >= 2 {
				tx.EraseEntry(n - 2)
			}
			return nil
		})
		if err != nil {
			t.Errorf("apply %d: %v", i, err)
			break
		}
	}
	close(done)
	wg.Wait()
	err = r.View(func(v *ReplicaView) error {
		for i := range uint64(rounds) {
			_, kept, err := v.Entry(i)
			if gone := i < rounds-2; err != nil || (kept == nil) != gone {
				t.Errorf("entry %d: %q, %v", i, kept, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
