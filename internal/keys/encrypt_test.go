package keys

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stile-exchange/stile/node/name"
)

// Keys in clear are encrypted and stay the same, those staged and from before too; a
// run that was cut short is gone on with.
func TestEncrypt(t *testing.T) {
	const council name.Council = "northmoor.gov.uk"
	dir := t.TempDir()
	if _, err := Create(dir, council, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Stage(dir, nil); err != nil {
		t.Fatal(err)
	}
	if err := Activate(dir, nil, false); err != nil {
		t.Fatal(err)
	}
	if _, err := Stage(dir, nil); err != nil {
		t.Fatal(err)
	}
	was, err := Open(dir, council, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := InClear(dir); len(got) != 7 {
		t.Errorf("in clear: %q", got)
	}
	if _, err := Encrypt(dir, nil); !errors.Is(err, ErrPassphrase) {
		t.Errorf("without a passphrase: %v", err)
	}
	pass := []byte("correct horse")
	// Cut short after one file, with half of the next beside it.
	if err := encryptFile(dir, logFile, pass); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, nodeFile+".part"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	done, err := Encrypt(dir, pass)
	if err != nil || len(done) != 6 || slices.Contains(done, logFile) {
		t.Fatalf("encrypted %q, %v", done, err)
	}
	if got := InClear(dir); len(got) != 0 {
		t.Errorf("still in clear: %q", got)
	}
	if _, err := Open(dir, council, nil); !errors.Is(err, ErrPassphrase) {
		t.Errorf("opened without: %v", err)
	}
	is, err := Open(dir, council, pass)
	if err != nil {
		t.Fatal(err)
	}
	if is.Record.ID() != was.Record.ID() || is.Log.Verifier() != was.Log.Verifier() || is.Log.CosignerVerifier() != was.Log.CosignerVerifier() || !is.Node.Equal(was.Node) || is.Secret != was.Secret {
		t.Error("the keys are others")
	}
	if _, err := Staged(dir, pass); err != nil {
		t.Error(err)
	}
	if again, err := Encrypt(dir, pass); err != nil || len(again) != 0 {
		t.Errorf("a second time: %q, %v", again, err)
	}
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		if filepath.Ext(e.Name()) == ".part" {
			t.Errorf("%s is left", e.Name())
		}
		if st, err := e.Info(); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", e.Name(), st.Mode(), err)
		}
	}
}
