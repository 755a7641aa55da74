package keys

import (
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
)

// privateFiles returns the files of a ring's directory that hold something private, by
// name: those of the ring, those of record keys to come and from before, and those of
// the directory (package datadir), which are kept in the same form.
func privateFiles(dir string) ([]string, error) {
	es, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	var out []string
	for _, e := range es {
		if e.Type().IsRegular() && (strings.HasSuffix(e.Name(), ".pem") || strings.HasSuffix(e.Name(), ".key")) {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// InClear returns the files of a ring's directory that are not encrypted, by name. What
// cannot be read is left out: [Open] says so.
func InClear(dir string) (out []string) {
	files, err := privateFiles(dir)
	if err != nil {
		return nil
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil || len(b) > maxKeyFile {
			continue
		}
		if block, _ := pem.Decode(b); block != nil && inClear(block.Type) {
			out = append(out, f)
		}
	}
	return out
}

func inClear(pemType string) bool {
	return pemType == secretType || strings.HasSuffix(pemType, "PRIVATE KEY") && !strings.HasPrefix(pemType, "ENCRYPTED ")
}

// Encrypt encrypts with a passphrase every file of a ring's directory that is not yet,
// and returns their names. The keys stay what they are; a process that has them open
// goes on.
//
// A file is replaced at once by one that was read back first, so that at every moment
// each key stands there whole, and after an error, or a crash, Encrypt can be called
// again. On many disks the bytes of the file before remain until they are overwritten.
func Encrypt(dir string, passphrase []byte) (done []string, err error) {
	if len(passphrase) == 0 {
		return nil, fmt.Errorf("encrypt keys: %w", ErrPassphrase)
	}
	for _, file := range InClear(dir) {
		if err := encryptFile(dir, file, passphrase); err != nil {
			return done, fmt.Errorf("encrypt key %q: %w", file, err)
		}
		done = append(done, file)
	}
	return done, syncDir(dir)
}

func encryptFile(dir, file string, passphrase []byte) error {
	b, err := readKeyFile(dir, file)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return errors.New("not PEM")
	}
	part := file + ".part"
	var out []byte
	var same func() error // whether the new file holds what the old one did
	if block.Type == secretType {
		secret, err := readSecretIn(dir, file, nil)
		if err != nil {
			return err
		}
		if out, err = marshalSecret(secret, passphrase); err != nil {
			return err
		}
		same = func() error {
			back, err := readSecretIn(dir, part, passphrase)
			if err == nil && back != secret {
				err = errors.New("what was written is not what was read")
			}
			return err
		}
	} else {
		key, err := readPrivate(dir, file, nil)
		if err != nil {
			return err
		}
		if out, err = marshalPrivate(key, passphrase); err != nil {
			return err
		}
		same = func() error {
			back, err := readPrivate(dir, part, passphrase)
			if err != nil {
				return err
			}
			was, err1 := cryptoutils.MarshalPrivateKeyToPEM(key)
			is, err2 := cryptoutils.MarshalPrivateKeyToPEM(back)
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			if string(was) != string(is) {
				return errors.New("what was written is not what was read")
			}
			return nil
		}
	}
	tmp := filepath.Join(dir, part)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(out)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := same(); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return os.Rename(tmp, filepath.Join(dir, file))
}
