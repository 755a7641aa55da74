package footprint

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// A snapshot on its way lies on the disk for a while: one received until it is
// installed, one sent until the member that asked has it. With an encryption key
// it is sealed there as the replica is: AES-256-CTR under a key derived from it
// (HKDF-SHA-256, RFC 5869, info "stile footprint snapshot"), after 16 random
// bytes that the counter begins with. That it was not altered the digest at the
// stream's end tells.

func spoolCipher(key, iv []byte) (cipher.Stream, error) {
	k, err := hkdf.Key(sha256.New, key, nil, "stile footprint snapshot", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	return cipher.NewCTR(block, iv), nil
}

// spoolWriter returns what writes a snapshot to w, sealed where there is a key.
func spoolWriter(w io.Writer, key []byte) (io.Writer, error) {
	if len(key) == 0 {
		return w, nil
	}
	iv := make([]byte, aes.BlockSize)
	if _, err := rand.Read(iv); err != nil {
		return nil, err
	}
	s, err := spoolCipher(key, iv)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(iv); err != nil {
		return nil, err
	}
	return cipher.StreamWriter{S: s, W: w}, nil
}

// spoolReader returns what reads the snapshot in f from its beginning, and closes
// f.
func spoolReader(f *os.File, key []byte) (io.ReadCloser, error) {
	if len(key) == 0 {
		return f, nil
	}
	iv := make([]byte, aes.BlockSize)
	if _, err := io.ReadFull(f, iv); err != nil {
		return nil, errors.Join(fmt.Errorf("read snapshot: %w", err), f.Close())
	}
	s, err := spoolCipher(key, iv)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{cipher.StreamReader{S: s, R: f}, f}, nil
}
