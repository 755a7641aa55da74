package keys

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// stagedFile holds a record key that is made and not yet used: those who are to
// believe it must hear of it first.
const stagedFile = "record.next.pem"

// ErrKMS says that the record key is held by another program, which makes and
// replaces it.
var ErrKMS = errors.New("record key is named by " + kmsFile)

// Stage makes the record key that is to follow the one in use, in the file
// record.next.pem of a ring's directory, or returns the one that is there. The
// ring goes on signing with its own until [Activate].
//
// The error wraps [ErrKMS] for a ring whose record key is held elsewhere. When
// Stage returns without an error the file is on disk.
func Stage(dir string, passphrase []byte) (*RecordPublic, error) {
	if _, err := os.Lstat(filepath.Join(dir, kmsFile)); err == nil {
		return nil, fmt.Errorf("stage record key: %w", ErrKMS)
	}
	staged, err := Staged(dir, passphrase)
	if !errors.Is(err, fs.ErrNotExist) {
		return staged, err
	}
	key, err := newP256()
	if err != nil {
		return nil, fmt.Errorf("stage record key: %w", err)
	}
	if err := writeKey(dir, stagedFile, key, passphrase); err != nil {
		return nil, fmt.Errorf("stage record key: %w", err)
	}
	return Staged(dir, passphrase)
}

// Staged returns the public half of the record key that is made and not yet used.
// The error wraps fs.ErrNotExist when there is none.
func Staged(dir string, passphrase []byte) (*RecordPublic, error) {
	key, err := readPrivate(dir, stagedFile, passphrase)
	if err != nil {
		return nil, err
	}
	priv, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("open key %q: not an ECDSA key", stagedFile)
	}
	return newRecordPublic(&priv.PublicKey)
}

// Unstage removes the record key that is made and not yet used.
func Unstage(dir string) error {
	if err := os.Remove(filepath.Join(dir, stagedFile)); err != nil {
		return fmt.Errorf("discard record key: %w", err)
	}
	return syncDir(dir)
}

// Activate puts the staged record key in the place of the one in use, which must
// be in no other process's hands. The one before is kept as record-<kid>.pem
// unless destroy is set: then its file is removed, which on many disks does not
// remove its bytes.
//
// At every moment there is one whole record.pem, and after an error, or a crash,
// Activate can be called again.
func Activate(dir string, passphrase []byte, destroy bool) error {
	next, err := Staged(dir, passphrase)
	if err != nil {
		return err
	}
	was, err := openRecordKey(dir, passphrase)
	if err != nil {
		return err
	}
	file, old := filepath.Join(dir, recordFile), filepath.Join(dir, formerFile(was.ID()))
	if !destroy {
		if err := os.Link(file, old); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("keep record key: %w", err)
		}
		if err := syncDir(dir); err != nil {
			return fmt.Errorf("keep record key: %w", err)
		}
	}
	if err := rememberNext(dir, next); err != nil {
		return fmt.Errorf("activate record key: %w", err)
	}
	if err := errors.Join(os.Rename(filepath.Join(dir, stagedFile), file), syncDir(dir)); err != nil {
		return fmt.Errorf("activate record key: %w", err)
	}
	return nil
}
