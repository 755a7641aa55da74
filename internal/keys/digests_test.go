package keys

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestFlippedBitInAKey flips bits of every key file: what opens is the key that was
// written, or is said to be altered, and the digests tell which bit it was.
func TestFlippedBitInAKey(t *testing.T) {
	t.Parallel()
	const c = "northmoor.gov.uk"
	dir := t.TempDir()
	r, err := Create(dir, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, known, err := Altered(dir, r); known || err != nil {
		t.Fatalf("before anything is remembered: known %v, %v", known, err)
	}
	if err := Remember(dir, r); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	altered := 0
	for _, file := range []string{recordFile, logFile, witnessFile, nodeFile, secretFile} {
		path := filepath.Join(dir, file)
		was, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			b, bit := bytes.Clone(was), rng.IntN(8*len(was))
			b[bit/8] ^= 1 << (bit % 8)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := Open(dir, c, nil)
			opens := err == nil
			if opens {
				files, known, err := Altered(dir, r)
				if err != nil || !known || len(files) > 1 {
					t.Fatalf("bit %d of %s: %v, %v, %v", bit, file, files, known, err)
				}
				if len(files) == 0 {
					continue // outside the key itself, or a bit that says nothing
				}
				altered++
				if files[0] != file {
					t.Errorf("bit %d of %s: %v is said to be altered", bit, file, files)
				}
			}
			mended, err := Mend(dir, c)
			if err != nil || !slices.Equal(mended, []string{file}) {
				t.Errorf("bit %d of %s: mended %v, %v", bit, file, mended, err)
			}
			if r, err = Open(dir, c, nil); err != nil {
				t.Fatalf("bit %d of %s: %v", bit, file, err)
			}
			if files, _, _ := Altered(dir, r); len(files) > 0 {
				t.Errorf("bit %d of %s: %v after it was mended", bit, file, files)
			}
		}
		if err := os.WriteFile(path, was, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if altered == 0 {
		t.Error("no flipped bit made another key")
	}
	// A digest that is damaged says nothing of the keys.
	if err := os.WriteFile(filepath.Join(dir, digestsFile), []byte(digestsHead+"sum x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err = Open(dir, c, nil); err != nil {
		t.Fatal(err)
	}
	if _, known, err := Altered(dir, r); known || err != nil {
		t.Errorf("a damaged digest: known %v, %v", known, err)
	}
}

// TestDigestsFollowRotation activates another record key: it is the one that was written.
func TestDigestsFollowRotation(t *testing.T) {
	t.Parallel()
	const c = "northmoor.gov.uk"
	dir := t.TempDir()
	r, err := Create(dir, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Remember(dir, r); err != nil {
		t.Fatal(err)
	}
	if _, err := Stage(dir, nil); err != nil {
		t.Fatal(err)
	}
	if err := Activate(dir, nil, false); err != nil {
		t.Fatal(err)
	}
	next, err := Open(dir, c, nil)
	if err != nil || next.Record.ID() == r.Record.ID() {
		t.Fatalf("still %s, %v", r.Record.ID(), err)
	}
	if files, known, err := Altered(dir, next); len(files) > 0 || !known || err != nil {
		t.Errorf("altered %v, known %v, %v", files, known, err)
	}
}
