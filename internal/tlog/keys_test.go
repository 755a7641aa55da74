package tlog

import (
	"crypto/rand"
	"errors"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// A log whose key was replaced is believed by any of its keys, by one from before only up to
// the size that is said of it, and by whoever knows only one of two that signed.
func TestOtherKeys(t *testing.T) {
	const origin = "northmoor.gov.uk/stile"
	var signers [3]note.Signer
	var vkeys [3]string
	for i := range signers {
		skey, vkey, err := note.GenerateKey(rand.Reader, origin)
		if err != nil {
			t.Fatal(err)
		}
		vkeys[i] = vkey
		if signers[i], err = note.NewSigner(skey); err != nil {
			t.Fatal(err)
		}
	}
	all, err := ParseLogKeys(vkeys[1], OtherKey{Key: vkeys[0], To: 7}, OtherKey{Key: vkeys[2]})
	if err != nil {
		t.Fatal(err)
	}
	first, err := ParseLogKey(vkeys[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		size  uint64
		by    []note.Signer
		known note.Verifier
		ok    bool
	}{
		{"in use", 9, signers[1:2], all, true},
		{"before, within its bound", 7, signers[:1], all, true},
		{"before, beyond its bound", 8, signers[:1], all, false},
		{"to follow", 9, signers[2:], all, true},
		{"both, beyond the bound of one", 8, signers[:2], all, true},
		{"both, and one is known", 8, []note.Signer{signers[1], signers[0]}, first, true},
		{"one, and another is known", 8, signers[1:2], first, false},
	} {
		cp := Checkpoint{Origin: origin, Size: tt.size, Root: Hash{1}}
		b, err := SignCheckpoint(cp, tt.by[0], tt.by[1:]...)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := OpenCheckpoint(b, origin, tt.known)
		if (err == nil && got == cp) != tt.ok || err != nil && !errors.Is(err, ErrSignature) {
			t.Errorf("%s: got %v, %v, want %v", tt.name, got, err, tt.ok)
		}
	}
	if _, err := SignCheckpoint(Checkpoint{Origin: origin, Size: 1, Root: Hash{1}}, signers[0], signers[0]); err == nil {
		t.Error("one key signed twice")
	}
	for _, bad := range [][]OtherKey{{{Key: vkeys[1]}}, {{Key: vkeys[0]}, {Key: vkeys[0], To: 3}}, {{Key: "x"}}} {
		if _, err := ParseLogKeys(vkeys[1], bad...); !errors.Is(err, ErrKey) {
			t.Errorf("%v: got %v", bad, err)
		}
	}
}
