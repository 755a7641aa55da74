package ledger_test

import (
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
)

// signedBy reports whether a ledger's newest checkpoint is signed by the log key and
// by a record key.
func signedBy(t *testing.T, l *ledger.Ledger, r *keys.Ring) bool {
	t.Helper()
	log, err := note.NewVerifier(r.Log.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	record := r.Record.Public().CheckpointVerifier(council)
	signed := false
	err = l.View(func(v *ledger.View) error {
		cp, b := v.Checkpoint()
		got, n, err := tlog.OpenCheckpoint(b, council.Origin(), log, record)
		if err == nil && got == cp {
			signed = tlog.SignedBy(n, record)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// TestCheckpointSignedByBoth: every checkpoint is signed by the log key and by the
// record key in use; one that another record key signed is signed anew when the
// ledger is opened, before anything is written.
func TestCheckpointSignedByBoth(t *testing.T) {
	dir, r := t.TempDir(), ring(t)
	l := open(t, dir, r)
	if !signedBy(t, l, r) {
		t.Error("the checkpoint of the empty log is not signed by both")
	}
	std := parish(t, "1.0.0")
	adopt(t, l, std)
	put(t, l, std, item("A/1", "x", "y"))
	if !signedBy(t, l, r) {
		t.Error("the checkpoint is not signed by both")
	}
	size := l.Size()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	next := *r
	next.Record = ring(t).Record
	for range 2 { // opened once more, it is as it was left
		l = open(t, dir, &next)
		if l.Size() != size || !signedBy(t, l, &next) {
			t.Errorf("after a new record key: size %d, want %d, signed by both %v", l.Size(), size, signedBy(t, l, &next))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
