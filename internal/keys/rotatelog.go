package keys

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/node/name"
)

// A log keeps its name when its key is replaced. Beside log.pem there may then be
//
//	log.next.pem    the key that is made and not yet used
//	log-<hash>.pem  one used before, which signs each checkpoint too while there is an overlap
//	log-<hash>.pub  the verifier key of one used before, which signs no more
//
// where <hash> is the key's hash (c2sp.org/signed-note), eight hexadecimal digits.
const stagedLogFile = "log.next.pem"

// StageLog makes the log key that is to follow the one in use, in the file log.next.pem, or
// finds the one that is there, and returns its verifier key. When it returns without an
// error the file is on disk.
func StageLog(dir string, c name.Council, passphrase []byte) (string, error) {
	staged, err := StagedLog(dir, c, passphrase)
	if !errors.Is(err, fs.ErrNotExist) {
		return staged, err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err == nil {
		err = writeKey(dir, stagedLogFile, key, passphrase)
	}
	if err != nil {
		return "", fmt.Errorf("stage log key: %w", err)
	}
	return StagedLog(dir, c, passphrase)
}

// StagedLog returns the verifier key of the log key that is made and not yet used. The
// error wraps fs.ErrNotExist when there is none.
func StagedLog(dir string, c name.Council, passphrase []byte) (string, error) {
	_, vkey, err := readLogKey(dir, stagedLogFile, c, passphrase)
	return vkey, err
}

// UnstageLog removes the log key that is made and not yet used.
func UnstageLog(dir string) error {
	if err := os.Remove(filepath.Join(dir, stagedLogFile)); err != nil {
		return fmt.Errorf("discard log key: %w", err)
	}
	return syncDir(dir)
}

// ActivateLog puts the staged log key in the place of the one in use, which must be in no
// other process's hands. From then on [Open] gives a ring that signs each checkpoint with
// both, until [FinishLog].
//
// At every moment there is one whole log.pem, and after an error, or a crash, ActivateLog
// can be called again.
func ActivateLog(dir string, c name.Council, passphrase []byte) error {
	_, next, err := readLogKey(dir, stagedLogFile, c, passphrase)
	if err != nil {
		return err
	}
	was, vkey, err := readLogKey(dir, logFile, c, passphrase)
	if err != nil {
		return err
	}
	// Written anew, so that its time says since when there is an overlap.
	if err := writeKey(dir, formerLog(vkey, ".pem"), was, passphrase); err != nil {
		return fmt.Errorf("keep log key: %w", err)
	}
	if err := rememberLog(dir, next); err != nil {
		return fmt.Errorf("activate log key: %w", err)
	}
	if err := errors.Join(os.Rename(filepath.Join(dir, stagedLogFile), filepath.Join(dir, logFile)), syncDir(dir)); err != nil {
		return fmt.Errorf("activate log key: %w", err)
	}
	return nil
}

// OverlapSince returns since when checkpoints are signed with more log keys than one, by
// the time of the file of the one before; zero when there is no overlap.
func OverlapSince(dir string) (since time.Time, err error) {
	files, err := formerLogs(dir, ".pem")
	for _, f := range files {
		st, serr := os.Stat(filepath.Join(dir, f))
		if serr != nil {
			return time.Time{}, fmt.Errorf("read key %q: %w", f, serr)
		}
		if since.IsZero() || st.ModTime().After(since) {
			since = st.ModTime()
		}
	}
	return since, err
}

// FinishLog ends the overlap: the log keys used before sign no more. Their private files are
// removed, which on many disks does not remove their bytes, and their verifier keys kept, so
// that what they signed in the ledger still verifies. It may be called again after an error.
func FinishLog(dir string, c name.Council, passphrase []byte) error {
	files, err := formerLogs(dir, ".pem")
	if err != nil {
		return err
	}
	for _, f := range files {
		_, vkey, err := readLogKey(dir, f, c, passphrase)
		if err != nil {
			return err
		}
		if err := writeFile(dir, formerLog(vkey, ".pub"), []byte(vkey+"\n")); err != nil {
			return fmt.Errorf("keep verifier of log key: %w", err)
		}
		if err := errors.Join(os.Remove(filepath.Join(dir, f)), syncDir(dir)); err != nil {
			return fmt.Errorf("remove log key: %w", err)
		}
	}
	return nil
}

// readLogKey returns a private key and what verifies it as the log key of c. A file with a
// key's hash in its name has to hold that key: one with a flipped bit holds another.
func readLogKey(dir, file string, c name.Council, passphrase []byte) (ed25519.PrivateKey, string, error) {
	key, err := readPrivate(dir, file, passphrase)
	if err != nil {
		return nil, "", err
	}
	priv, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, "", fmt.Errorf("open key %q: not an Ed25519 key", file)
	}
	vkey, err := note.NewEd25519VerifierKey(c.Origin(), priv.Public().(ed25519.PublicKey))
	if err == nil && strings.HasPrefix(file, "log-") && file != formerLog(vkey, ".pem") {
		err = ErrAltered
	}
	if err != nil {
		return nil, "", fmt.Errorf("open key %q: %w", file, err)
	}
	return priv, vkey, nil
}

// formerLog returns the name of the file of a log key used before.
func formerLog(vkey, ext string) string { return "log-" + strings.Split(vkey, "+")[1] + ext }

// formerLogs returns the files of log keys used before, sorted.
func formerLogs(dir, ext string) (out []string, err error) {
	es, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	for _, e := range es {
		if hash, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), ext), "log-"); ok && len(hash) == 8 && strings.HasSuffix(e.Name(), ext) {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// addFormer reads the log keys that were used before the ring's.
func (k *LogKey) addFormer(dir string, c name.Council, passphrase []byte) error {
	private, err := formerLogs(dir, ".pem")
	if err != nil {
		return err
	}
	for _, f := range private {
		priv, vkey, err := readLogKey(dir, f, c, passphrase)
		if err != nil {
			return err
		}
		if vkey == k.verifierKey {
			continue // a crash came between the keeping of a key and the use of the next
		}
		skey, _, err := noteKeys(c.Origin(), priv)
		if err != nil {
			return fmt.Errorf("open key %q: %w", f, err)
		}
		s, err := note.NewSigner(skey)
		if err != nil {
			return fmt.Errorf("open key %q: %w", f, err)
		}
		k.also, k.former = append(k.also, s), append(k.former, vkey)
	}
	public, err := formerLogs(dir, ".pub")
	if err != nil {
		return err
	}
	for _, f := range public {
		b, err := readKeyFile(dir, f)
		if err != nil {
			return err
		}
		vkey := strings.TrimSuffix(string(b), "\n")
		v, err := note.NewVerifier(vkey)
		if err != nil || v.Name() != c.Origin() || f != formerLog(vkey, ".pub") {
			return fmt.Errorf("open key %q: want the verifier key of %s that its name says", f, c.Origin())
		}
		if vkey != k.verifierKey && !slices.Contains(k.former, vkey) {
			k.former = append(k.former, vkey)
		}
	}
	return nil
}

// writeKey writes a private key into a file that is then there whole or not at all.
func writeKey(dir, file string, key crypto.PrivateKey, passphrase []byte) error {
	b, err := marshalPrivate(key, passphrase)
	if err != nil {
		return err
	}
	return writeFile(dir, file, b)
}

func writeFile(dir, file string, b []byte) error {
	// Written aside first: a file that is cut off would be taken for the key.
	tmp := filepath.Join(dir, file+".part")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(tmp, filepath.Join(dir, file)), syncDir(dir))
}
