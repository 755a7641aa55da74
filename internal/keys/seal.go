package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
)

// ErrSealed: it was not sealed under this council's secret for that purpose, or altered
// since.
var ErrSealed = errors.New("it was not sealed under this council's secret, or was altered since")

// Seal encrypts what only this council may read, for a purpose. It is 12 random bytes and
// AES-256-GCM (NIST SP 800-38D) under HMAC-SHA256 of the council secret over a byte 3 and
// purpose. [Ring.Open] with the same purpose opens it.
func (r *Ring) Seal(purpose string, plain []byte) ([]byte, error) {
	g, err := r.sealer(purpose)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, g.NonceSize(), g.NonceSize()+len(plain)+g.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return g.Seal(nonce, nonce, plain, nil), nil
}

// Open returns what [Ring.Seal] sealed for a purpose. The error is [ErrSealed].
func (r *Ring) Open(purpose string, sealed []byte) ([]byte, error) {
	g, err := r.sealer(purpose)
	if err != nil {
		return nil, err
	}
	if len(sealed) < g.NonceSize() {
		return nil, ErrSealed
	}
	plain, err := g.Open(nil, sealed[:g.NonceSize()], sealed[g.NonceSize():], nil)
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

func (r *Ring) sealer(purpose string) (cipher.AEAD, error) {
	// A line of a standard begins with no byte below a space; 1 and 2 are in use.
	h := hmac.New(sha256.New, r.Secret[:])
	h.Write([]byte{3})
	h.Write([]byte(purpose))
	b, err := aes.NewCipher(h.Sum(nil))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}
