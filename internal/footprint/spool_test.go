package footprint

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/stile-exchange/stile/internal/ledger"
)

// TestSpool: a snapshot being received is on disk sealed where there is a key,
// and reads back as it came.
func TestSpool(t *testing.T) {
	secret := []byte("Ada Secretsurname, 9 Mill Lane")
	for _, key := range [][]byte{nil, bytes.Repeat([]byte{1}, 32)} {
		s := &snapshotStore{f: &folder{dir: t.TempDir(), o: ledger.ReplicaOptions{EncryptionKey: key}}}
		if err := os.Mkdir(s.dir(), 0o700); err != nil {
			t.Fatal(err)
		}
		k, err := s.Create(1, 7, 2, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if n, err := k.Write(secret); err != nil || n != len(secret) {
				t.Fatalf("wrote %d: %v", n, err)
			}
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(s.dir(), k.ID()+".stream"))
		if err != nil || bytes.Contains(raw, []byte("Secretsurname")) != (key == nil) {
			t.Errorf("key %x: on disk stands %q, %v", key, raw, err)
		}
		meta, r, err := s.Open(k.ID())
		if err != nil || meta.Size != int64(3*len(secret)) {
			t.Fatalf("open: %+v, %v", meta, err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, bytes.Repeat(secret, 3)) {
			t.Errorf("key %x: read %q, %v", key, got, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
