package tufdir

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/stile-exchange/stile/internal/keys"
)

// A Key signs for one or more roles of a directory. It is Ed25519 (RFC 8032)
// and lives in a PEM file: PKCS #8, or, with a passphrase, PEM of type
// "ENCRYPTED SIGSTORE PRIVATE KEY" as the files of package keys, so that cosign
// can make and read it. A Key may be used concurrently.
type Key struct {
	private ed25519.PrivateKey
}

// A Public is the public half of a Key. It is comparable.
type Public struct {
	key [ed25519.PublicKeySize]byte
}

const (
	pemPrivate   = "PRIVATE KEY"
	pemEncrypted = "ENCRYPTED SIGSTORE PRIVATE KEY"
	pemPublic    = "PUBLIC KEY"
	maxKeyFile   = 64 << 10 // bytes
)

// GenerateKey makes a key in memory.
func GenerateKey() (*Key, error) {
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate directory key: %w", err)
	}
	return &Key{priv}, nil
}

// CreateKey makes a key and writes it to file, mode 0600. An empty passphrase
// leaves it unencrypted.
//
// When CreateKey returns without an error the file is on disk. It overwrites
// nothing: the error wraps keys.ErrExists when file is there.
func CreateKey(file string, passphrase []byte) (*Key, error) {
	k, err := GenerateKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("create key %q: %w", filepath.Base(file), err)
	}
	block := &pem.Block{Type: pemPrivate, Bytes: der}
	if len(passphrase) > 0 {
		sealed, err := encrypted.Encrypt(der, passphrase)
		if err != nil {
			return nil, fmt.Errorf("create key %q: %w", filepath.Base(file), err)
		}
		block = &pem.Block{Type: pemEncrypted, Bytes: sealed}
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create key %q: %w", filepath.Base(file), keys.ErrExists)
	} else if err != nil {
		return nil, fmt.Errorf("create key: %w", err)
	}
	_, err = f.Write(pem.EncodeToMemory(block))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(file)
		return nil, fmt.Errorf("create key %q: %w", filepath.Base(file), err)
	}
	// Reading back what was written is the only proof that it can be.
	return OpenKey(file, passphrase)
}

// OpenKey reads a key from file. passphrase is not looked at for a file that is
// not encrypted. The error wraps keys.ErrPassphrase when the file is encrypted
// and passphrase is empty or wrong, keys.ErrExposed when every user of the
// machine can read it, and fs.ErrNotExist when it is not there.
func OpenKey(file string, passphrase []byte) (*Key, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open key: %w", err)
	}
	defer f.Close()
	bad := func(err error) (*Key, error) { return nil, fmt.Errorf("open key %q: %w", filepath.Base(file), err) }
	st, err := f.Stat()
	if err != nil {
		return bad(err)
	}
	if runtime.GOOS != "windows" && st.Mode().Perm()&0o007 != 0 {
		return bad(keys.ErrExposed)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return bad(err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return bad(errors.New("not PEM"))
	}
	der := block.Bytes
	switch block.Type {
	case pemPrivate:
	case pemEncrypted:
		if len(passphrase) == 0 {
			return bad(keys.ErrPassphrase)
		}
		// A wrong passphrase and a damaged file look alike to the cipher.
		if der, err = encrypted.Decrypt(block.Bytes, passphrase); err != nil {
			return bad(fmt.Errorf("%w (%w)", keys.ErrPassphrase, err))
		}
	default:
		return bad(fmt.Errorf("want PEM of type %s or %s", pemPrivate, pemEncrypted))
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return bad(err)
	}
	priv, ok := key.(ed25519.PrivateKey)
	if !ok {
		return bad(errors.New("not an Ed25519 key"))
	}
	return &Key{priv}, nil
}

// Public returns the public half.
func (k *Key) Public() Public { return Public{[32]byte(k.private.Public().(ed25519.PublicKey))} }

// sign signs the canonical bytes of what a file of TUF calls "signed".
func (k *Key) sign(payload []byte) metadata.Signature {
	return metadata.Signature{KeyID: k.Public().ID(), Signature: ed25519.Sign(k.private, payload)}
}

// ParsePublic reads a public key in PEM of type "PUBLIC KEY" (RFC 7468 section
// 13), Ed25519, with nothing before or behind it but space.
func ParsePublic(b []byte) (Public, error) {
	block, rest := pem.Decode(b)
	if len(b) > maxKeyFile || block == nil || block.Type != pemPublic || len(block.Headers) > 0 || len(trim(rest)) > 0 {
		return Public{}, fmt.Errorf("read public key: want one PEM block of type %s", pemPublic)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return Public{}, fmt.Errorf("read public key: %w", err)
	}
	pub, ok := key.(ed25519.PublicKey)
	if !ok {
		return Public{}, errors.New("read public key: not an Ed25519 key")
	}
	p := Public{[32]byte(pub)}
	// Words before the block would be lost; somebody may have meant them.
	if string(trim(b)) != string(trim(p.PEM())) {
		return Public{}, fmt.Errorf("read public key: want one PEM block of type %s and nothing else", pemPublic)
	}
	return p, nil
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r' || b[len(b)-1] == ' ') {
		b = b[:len(b)-1]
	}
	return b
}

// PEM returns the key as [ParsePublic] reads it.
func (p Public) PEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(p.key[:]))
	if err != nil {
		panic("internal error: an Ed25519 key does not marshal: " + err.Error())
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: der})
}

// ID returns the key's id in TUF, section 4.2: the SHA-256 of its canonical
// form, in hex. Its first sixteen characters are what people compare.
func (p Public) ID() string {
	id, err := p.tuf().ID()
	if err != nil {
		panic("internal error: an Ed25519 key has no id: " + err.Error())
	}
	return id
}

func (p Public) tuf() *metadata.Key {
	return &metadata.Key{Type: metadata.KeyTypeEd25519, Scheme: metadata.KeySchemeEd25519,
		Value: metadata.KeyVal{PublicKey: hex.EncodeToString(p.key[:])}}
}

// publicOf reads a key of a directory of ours, where there is but one kind.
func publicOf(k *metadata.Key) (p Public, ok bool) {
	if k == nil || k.Type != metadata.KeyTypeEd25519 || k.Scheme != metadata.KeySchemeEd25519 || len(k.Value.PublicKey) != 64 {
		return p, false
	}
	n, err := hex.Decode(p.key[:], []byte(k.Value.PublicKey))
	return p, err == nil && n == len(p.key)
}
