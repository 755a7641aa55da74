package ledger

import (
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
)

// TestNobodyHasSeenMore: whoever read a commit before it was finished here has not seen
// more of our log than there is.
func TestNobodyHasSeenMore(t *testing.T) {
	ring, err := keys.Generate("saltby.gov.uk")
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(Options{Dir: t.TempDir(), Council: "saltby.gov.uk", Keys: ring, MinFree: 1, Founded: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// A commit is finished under this lock: while it is held here there is one that is
	// durable, and that views show, and no more.
	l.mu.RLock()
	had := l.tree.Size()
	wrote := make(chan error, 1)
	go func() {
		wrote <- l.do(t.Context(), false, func(tx *tx) error {
			tx.event(event.KindBackupMade, map[string]any{"of": "folder"})
			return nil
		})
	}()
	var note []byte
	for size := had; size == had; {
		if err := l.View(func(v *View) error { size, note = v.cp.Size, v.note; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	against := l.Contradicts(note)
	shown, err := l.Shown()
	l.mu.RUnlock()
	if against || err != nil || shown != had+1 {
		t.Errorf("the checkpoint that a view shows speaks against our log: %v; shown are %d entries of %d, %v", against, shown, had+1, err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}
