package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/stile-exchange/stile/node/name"
)

// The files of a ring; see the package comment.
const (
	recordFile  = "record.pem"
	kmsFile     = "record.kms"
	logFile     = "log.pem"
	witnessFile = "witness.pem"
	nodeFile    = "node.pem"
	secretFile  = "secret.pem"
)

const (
	secretType          = "STILE SECRET"
	encryptedSecretType = "ENCRYPTED STILE SECRET"
	maxKeyFile          = 64 << 10 // bytes; a key file is some 300
)

// ErrExists says that a key is already there and was not overwritten.
var ErrExists = errors.New("key already exists")

// ErrExposed says that a key file can be read by every user of the machine.
var ErrExposed = errors.New("key file is readable by others")

// Create makes a new ring for c and writes it to dir, which it makes if need
// be. An empty passphrase leaves the keys unencrypted. A record.kms already in
// dir is kept and used; no record.pem is then written.
//
// When Create returns without an error the files are on disk. It overwrites
// nothing: if any key file is there it returns an error wrapping [ErrExists]. On
// any error it removes the files it made.
func Create(dir string, c name.Council, passphrase []byte) (_ *Ring, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create keys: %w", err)
	}
	for _, f := range []string{recordFile, logFile, witnessFile, nodeFile, secretFile} {
		if _, err := os.Lstat(filepath.Join(dir, f)); !errors.Is(err, fs.ErrNotExist) {
			if err == nil {
				err = ErrExists
			}
			return nil, fmt.Errorf("create key %q: %w", f, err)
		}
	}
	var made []string
	defer func() {
		if err != nil {
			for _, f := range made {
				os.Remove(f)
			}
		}
	}()
	write := func(file string, block []byte) error {
		p := filepath.Join(dir, file)
		f, err := os.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			if errors.Is(err, fs.ErrExist) {
				err = ErrExists
			}
			return fmt.Errorf("create key %q: %w", file, err)
		}
		made = append(made, p)
		_, err = f.Write(block)
		// A key lost to a power cut takes the council's identity with it.
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("create key %q: %w", file, err)
		}
		return nil
	}
	private := func(file string, key crypto.PrivateKey) error {
		b, err := marshalPrivate(key, passphrase)
		if err != nil {
			return fmt.Errorf("create key %q: %w", file, err)
		}
		return write(file, b)
	}

	if _, err := os.Lstat(filepath.Join(dir, kmsFile)); errors.Is(err, fs.ErrNotExist) {
		rec, err := newP256()
		if err != nil {
			return nil, fmt.Errorf("create key %q: %w", recordFile, err)
		}
		if err := private(recordFile, rec); err != nil {
			return nil, err
		}
	}
	for _, file := range []string{logFile, witnessFile, nodeFile} {
		_, priv, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("create key %q: %w", file, err)
		}
		if err := private(file, priv); err != nil {
			return nil, err
		}
	}
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return nil, fmt.Errorf("create key %q: %w", secretFile, err)
	}
	block, err := marshalSecret(secret, passphrase)
	if err != nil {
		return nil, fmt.Errorf("create key %q: %w", secretFile, err)
	}
	if err := write(secretFile, block); err != nil {
		return nil, err
	}
	if err := syncDir(dir); err != nil {
		return nil, fmt.Errorf("create keys: %w", err)
	}
	// Reading back what was written is the only proof that it can be.
	return Open(dir, c, passphrase)
}

// Open reads the ring of c from dir. passphrase is not looked at for a file that
// is not encrypted.
//
// It returns an error wrapping [ErrPassphrase] when a file is encrypted and
// passphrase is empty or wrong, one wrapping [ErrExposed] when a file can be
// read by every user of the machine, and one wrapping fs.ErrNotExist when a file
// is missing. With record.kms the key is asked for its public half, so what holds it
// must answer.
func Open(dir string, c name.Council, passphrase []byte) (*Ring, error) {
	r := new(Ring)
	var err error
	if r.Record, err = openRecordKey(dir, passphrase); err != nil {
		return nil, err
	}
	var ed [3]ed25519.PrivateKey
	for i, file := range []string{logFile, witnessFile, nodeFile} {
		key, err := readPrivate(dir, file, passphrase)
		if err != nil {
			return nil, err
		}
		var ok bool
		if ed[i], ok = key.(ed25519.PrivateKey); !ok {
			return nil, fmt.Errorf("open key %q: not an Ed25519 key", file)
		}
	}
	if r.Log, err = newLogKey(c, ed[0], ed[1]); err != nil {
		return nil, err
	}
	if err := r.Log.addFormer(dir, c, passphrase); err != nil {
		return nil, err
	}
	r.Node = ed[2]
	if r.Secret, err = readSecret(dir, passphrase); err != nil {
		return nil, err
	}
	_, err = os.Lstat(filepath.Join(dir, kmsFile))
	r.local = errors.Is(err, fs.ErrNotExist)
	r.former = formerKeys(dir, bytes.Clone(passphrase))
	return r, nil
}

// formerKeys opens record keys that were used before, each once.
func formerKeys(dir string, passphrase []byte) func(kid string) (*RecordKey, error) {
	var mu sync.Mutex
	opened := map[string]*RecordKey{}
	return func(kid string) (*RecordKey, error) {
		mu.Lock()
		defer mu.Unlock()
		if k := opened[kid]; k != nil {
			return k, nil
		}
		if len(kid) != 43 || strings.ContainsAny(kid, `/\.`) {
			return nil, fmt.Errorf("%w: %s", ErrNoFormer, kid)
		}
		key, err := readPrivate(dir, formerFile(kid), passphrase)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s", ErrNoFormer, kid)
		}
		if err != nil {
			return nil, err
		}
		priv, ok := key.(*ecdsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("open key %q: not an ECDSA key", formerFile(kid))
		}
		k, err := newRecordKey(priv)
		if err != nil || k.ID() != kid {
			return nil, fmt.Errorf("open key %q: not the key that its name says", formerFile(kid))
		}
		opened[kid] = k
		return k, nil
	}
}

func formerFile(kid string) string { return "record-" + kid + ".pem" }

func openRecordKey(dir string, passphrase []byte) (*RecordKey, error) {
	ref, err := readKeyFile(dir, kmsFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		key, err := readPrivate(dir, recordFile, passphrase)
		if err != nil {
			return nil, err
		}
		priv, ok := key.(*ecdsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("open key %q: not an ECDSA key", recordFile)
		}
		return newRecordKey(priv)
	case err != nil:
		return nil, err
	}
	if _, err := os.Lstat(filepath.Join(dir, recordFile)); err == nil {
		// Guessing here would sign a council's records with a key it has retired.
		return nil, fmt.Errorf("open record key: both %q and %q are there", recordFile, kmsFile)
	}
	s := strings.TrimSpace(string(ref))
	if err := checkKMS(s); err != nil {
		return nil, err
	}
	return openKMS(s)
}

func checkKMS(ref string) error {
	if plugin, _, ok := strings.Cut(ref, "://"); !ok || plugin == "" || strings.ContainsAny(ref, " \t\r\n") {
		return fmt.Errorf("open key %q: want one line such as name://key", kmsFile)
	}
	return nil
}

// NameRecordKey writes record.kms into dir, which it makes if need be, so that
// [Create] then takes the record key that the sigstore KMS reference ref names. It
// asks nothing of that key, and overwrites nothing.
func NameRecordKey(dir, ref string) error {
	if err := checkKMS(ref); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("name record key: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, kmsFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("name record key: %w", err)
	}
	_, err = f.WriteString(ref + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("name record key: %w", err)
	}
	return nil
}

func marshalPrivate(key crypto.PrivateKey, passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 {
		return cryptoutils.MarshalPrivateKeyToPEM(key)
	}
	der, err := cryptoutils.MarshalPrivateKeyToEncryptedDER(key, cryptoutils.StaticPasswordFunc(passphrase))
	if err != nil {
		return nil, err
	}
	return cryptoutils.PEMEncode(cryptoutils.EncryptedSigstorePrivateKeyPEMType, der), nil
}

func readPrivate(dir, file string, passphrase []byte) (crypto.PrivateKey, error) {
	b, err := readKeyFile(dir, file)
	if err != nil {
		return nil, err
	}
	return parsePrivate(b, file, passphrase)
}

func parsePrivate(b []byte, file string, passphrase []byte) (crypto.PrivateKey, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("open key %q: not PEM", file)
	}
	if !strings.HasPrefix(block.Type, "ENCRYPTED ") {
		key, err := cryptoutils.UnmarshalPEMToPrivateKey(b, nil)
		if err != nil {
			return nil, fmt.Errorf("open key %q: %w", file, err)
		}
		return key, nil
	}
	if len(passphrase) == 0 {
		return nil, fmt.Errorf("open key %q: %w", file, ErrPassphrase)
	}
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(b, cryptoutils.StaticPasswordFunc(passphrase))
	if err != nil {
		// A wrong passphrase and a damaged file look alike to the cipher.
		return nil, fmt.Errorf("open key %q: %w (%w)", file, ErrPassphrase, err)
	}
	return key, nil
}

func marshalSecret(secret [32]byte, passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 {
		return pem.EncodeToMemory(&pem.Block{Type: secretType, Bytes: secret[:]}), nil
	}
	b, err := encrypted.Encrypt(secret[:], passphrase)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: encryptedSecretType, Bytes: b}), nil
}

func readSecret(dir string, passphrase []byte) ([32]byte, error) {
	return readSecretIn(dir, secretFile, passphrase)
}

func readSecretIn(dir, file string, passphrase []byte) (s [32]byte, err error) {
	b, err := readKeyFile(dir, file)
	if err != nil {
		return s, err
	}
	return parseSecret(b, file, passphrase)
}

func parseSecret(b []byte, file string, passphrase []byte) (s [32]byte, err error) {
	block, _ := pem.Decode(b)
	if block == nil || (block.Type != secretType && block.Type != encryptedSecretType) {
		return s, fmt.Errorf("open key %q: want PEM of type %s", file, secretType)
	}
	raw := block.Bytes
	if block.Type == encryptedSecretType {
		if len(passphrase) == 0 {
			return s, fmt.Errorf("open key %q: %w", file, ErrPassphrase)
		}
		if raw, err = encrypted.Decrypt(raw, passphrase); err != nil {
			return s, fmt.Errorf("open key %q: %w (%w)", file, ErrPassphrase, err)
		}
	}
	if len(raw) != len(s) {
		return s, fmt.Errorf("open key %q: want 32 bytes", file)
	}
	return [32]byte(raw), nil
}

// readKeyFile reads a small file that not everybody may read.
func readKeyFile(dir, file string) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, file))
	if err != nil {
		return nil, fmt.Errorf("open key %q: %w", file, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open key %q: %w", file, err)
	}
	// A group may read: that is how service managers and clusters hand secrets
	// to an unprivileged process. Windows has no such bits.
	if runtime.GOOS != "windows" && st.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("open key %q: %w", file, ErrExposed)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("open key %q: %w", file, err)
	}
	if len(b) > maxKeyFile {
		return nil, fmt.Errorf("open key %q: longer than any key", file)
	}
	return b, nil
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // a directory cannot be opened for syncing there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
