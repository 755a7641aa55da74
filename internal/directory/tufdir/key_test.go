package tufdir

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/stile-exchange/stile/internal/keys"
)

// sigstore's own code reads our key files, and we read its.
func TestKeyFilesAreCosigns(t *testing.T) {
	dir := t.TempDir()
	for _, pass := range []string{"", "correct horse"} {
		file := filepath.Join(dir, "key"+pass)
		k, err := CreateKey(file, []byte(pass))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := CreateKey(file, nil); !errors.Is(err, keys.ErrExists) {
			t.Errorf("overwrote a key: %v", err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		priv, err := cryptoutils.UnmarshalPEMToPrivateKey(b, cryptoutils.StaticPasswordFunc([]byte(pass)))
		if err != nil || !k.private.Equal(priv) {
			t.Errorf("sigstore reads %T, %v", priv, err)
		}
		pub, err := cryptoutils.UnmarshalPEMToPublicKey(k.Public().PEM())
		if err != nil || !k.private.Public().(ed25519.PublicKey).Equal(pub) {
			t.Errorf("sigstore reads the public key as %T, %v", pub, err)
		}
		theirs, err := cryptoutils.MarshalPrivateKeyToPEM(k.private)
		if pass != "" {
			der, derr := cryptoutils.MarshalPrivateKeyToEncryptedDER(k.private, cryptoutils.StaticPasswordFunc([]byte(pass)))
			theirs, err = cryptoutils.PEMEncode(cryptoutils.EncryptedSigstorePrivateKeyPEMType, der), derr
		}
		if err != nil {
			t.Fatal(err)
		}
		other := file + ".theirs"
		if err := os.WriteFile(other, theirs, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := OpenKey(other, []byte(pass))
		if err != nil || got.Public() != k.Public() {
			t.Errorf("we read theirs as %v, %v", got, err)
		}
		if pass == "" {
			continue
		}
		for _, wrong := range []string{"", "wrong"} {
			if _, err := OpenKey(file, []byte(wrong)); !errors.Is(err, keys.ErrPassphrase) {
				t.Errorf("passphrase %q: %v", wrong, err)
			}
		}
	}
}

func TestKeyFilesRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenKey(filepath.Join(dir, "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	file := filepath.Join(dir, "key")
	k, err := CreateKey(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKey(file, nil); !errors.Is(err, keys.ErrExposed) {
		t.Errorf("a file for everybody: %v", err)
	}
	for what, b := range map[string][]byte{"nothing": nil, "words": []byte("key"), "a public key": k.Public().PEM(),
		"PEM of nothing": []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")} {
		p := filepath.Join(dir, "bad")
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKey(p, nil); err == nil {
			t.Errorf("%s: opened", what)
		}
		if _, err := ParsePublic(b); err == nil && what != "a public key" {
			t.Errorf("%s: read as a public key", what)
		}
	}
	p := k.Public()
	if got, err := ParsePublic(p.PEM()); err != nil || got != p || len(p.ID()) != 64 {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range [][]byte{append([]byte("x\n"), p.PEM()...), append(p.PEM(), p.PEM()...), bytes.Replace(p.PEM(), []byte("PUBLIC"), []byte("PRIVATE"), 2)} {
		if _, err := ParsePublic(bad); err == nil {
			t.Errorf("read %q", bad)
		}
	}
}
