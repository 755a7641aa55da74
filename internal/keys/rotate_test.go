package keys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stile-exchange/stile/node/name"
)

// A staged key is not used before it is activated, and the one before is kept, or
// destroyed when that is asked for.
func TestRotate(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "keys"), name.Council("northmoor.gov.uk")
	first, err := Create(dir, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Activate(dir, nil, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing is staged: got %v", err)
	}
	next, err := Stage(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Stage(dir, nil)
	if err != nil || again.ID() != next.ID() {
		t.Errorf("staged again: got %v, %v, want the same key", again, err)
	}
	if r, err := Open(dir, c, nil); err != nil || r.Record.ID() != first.Record.ID() {
		t.Fatalf("the staged key is used already, or %v", err)
	}
	if err := Activate(dir, nil, false); err != nil {
		t.Fatal(err)
	}
	if r, err := Open(dir, c, nil); err != nil || r.Record.ID() != next.ID() || r.Log.Verifier() != first.Log.Verifier() {
		t.Fatalf("the staged key is not used, or another key changed, or %v", err)
	}
	old := filepath.Join(dir, "record-"+first.Record.ID()+".pem")
	if st, err := os.Stat(old); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key before is not kept: %v", err)
	}
	if _, err := Stage(dir, nil); err != nil {
		t.Fatal(err)
	}
	if err := Activate(dir, nil, true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "record-"+next.ID()+".pem")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the key before is kept, and was to be destroyed: %v", err)
	}
	if _, err := Stage(dir, nil); err != nil {
		t.Fatal(err)
	}
	if err := Unstage(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Staged(dir, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("given up: got %v", err)
	}
}

// With a passphrase the staged key is encrypted, too.
func TestStageEncrypted(t *testing.T) {
	dir := t.TempDir()
	k, err := Stage(dir, []byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Staged(dir, nil); !errors.Is(err, ErrPassphrase) {
		t.Errorf("without the passphrase: got %v", err)
	}
	if again, err := Staged(dir, []byte("correct horse")); err != nil || again.ID() != k.ID() {
		t.Errorf("with it: got %v", err)
	}
}

// A key that another program holds is replaced there.
func TestRotateKMS(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, kmsFile), []byte("name://key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Stage(dir, nil); !errors.Is(err, ErrKMS) {
		t.Errorf("got %v, want ErrKMS", err)
	}
}

// The log key is replaced in three steps: made, used beside the one before, used alone. What
// the one before signed can be verified at each, and a damaged file of it is noticed.
func TestRotateLog(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "keys"), name.Council("northmoor.gov.uk")
	first, err := Create(dir, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Remember(dir, first); err != nil {
		t.Fatal(err)
	}
	if err := ActivateLog(dir, c, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing is staged: got %v", err)
	}
	next, err := StageLog(dir, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := StageLog(dir, c, nil); err != nil || again != next {
		t.Errorf("staged again: got %v, %v, want the same key", again, err)
	}
	look := func(step, inUse string, also int, former ...string) {
		t.Helper()
		r, err := Open(dir, c, nil)
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		if r.Log.Verifier() != inUse || len(r.Log.Also()) != also || !slices.Equal(r.Log.Former(), former) || r.Log.CosignerVerifier() != first.Log.CosignerVerifier() {
			t.Errorf("%s: got %s, %d more, before %v", step, r.Log.Verifier(), len(r.Log.Also()), r.Log.Former())
		}
		if files, known, err := Altered(dir, r); err != nil || !known || len(files) > 0 {
			t.Errorf("%s: altered: %v, %v, %v", step, files, known, err)
		}
	}
	look("made", first.Log.Verifier(), 0)
	if since, err := OverlapSince(dir); err != nil || !since.IsZero() {
		t.Errorf("no overlap yet: got %v, %v", since, err)
	}
	if err := ActivateLog(dir, c, nil); err != nil {
		t.Fatal(err)
	}
	look("used", next, 1, first.Log.Verifier())
	if since, err := OverlapSince(dir); err != nil || since.IsZero() {
		t.Errorf("an overlap: got %v, %v", since, err)
	}
	old := filepath.Join(dir, formerLog(first.Log.Verifier(), ".pem"))
	b, err := os.ReadFile(filepath.Join(dir, logFile))
	if err != nil {
		t.Fatal(err)
	}
	was, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, c, nil); !errors.Is(err, ErrAltered) {
		t.Errorf("another key than the name says: got %v", err)
	}
	if err := os.WriteFile(old, was, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds nothing to do
		if err := FinishLog(dir, c, nil); err != nil {
			t.Fatal(err)
		}
	}
	look("alone", next, 0, first.Log.Verifier())
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the private key from before is there: %v", err)
	}
	if _, err := StageLog(dir, c, nil); err != nil {
		t.Fatal(err)
	}
	if err := UnstageLog(dir); err != nil {
		t.Fatal(err)
	}
	look("given up", next, 0, first.Log.Verifier())
}
