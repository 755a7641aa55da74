package keys

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/node/name"
)

// A private key with one flipped bit is another private key, as good as the first. So the
// file digests beside the keys says which keys they are:
//
//	stile keys 1
//	log.pem BASE64
//	node.pem BASE64
//	record.pem BASE64
//	secret.pem BASE64
//	witness.pem BASE64
//	sum BASE64
//
// of a key the SHA-256 of what is public of it, of the secret that of the line
// "stile secret" and the secret, and last that of all lines before. A file has two lines
// while its key is being replaced. Nothing in it is secret. record.kms is not in it.
const digestsFile = "digests"

const digestsHead = "stile keys 1\n"

// ErrAltered says that a key file holds a key, and not the one that was written.
var ErrAltered = errors.New("it holds another key than the one that was written")

// digests returns the digest of each of the ring's keys, by file.
func (r *Ring) digests() map[string]string {
	of := func(b []byte) string {
		sum := sha256.Sum256(b)
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	d := map[string]string{
		logFile:     of([]byte(r.Log.Verifier())),
		witnessFile: of([]byte(r.Log.CosignerVerifier())),
		nodeFile:    of(r.Node.Public().(ed25519.PublicKey)),
		secretFile:  of(append([]byte("stile secret\n"), r.Secret[:]...)),
	}
	if r.local {
		d[recordFile] = of([]byte(r.Record.ID()))
	}
	return d
}

// Altered returns the files in dir whose keys, which are the ring's, are not those
// that the file digests names, sorted. known is false when there is no such file that
// can be read.
func Altered(dir string, r *Ring) (files []string, known bool, err error) {
	stored, err := readDigests(dir)
	if err != nil || stored == nil {
		return nil, false, err
	}
	for file, is := range r.digests() {
		if was := stored[file]; was != nil && !slices.Contains(was, is) {
			files = append(files, file)
		}
	}
	slices.Sort(files)
	return files, true, nil
}

// Remember writes into dir which keys the ring's are. When it returns without an error
// that is on disk.
func Remember(dir string, r *Ring) error {
	d := map[string][]string{}
	for file, is := range r.digests() {
		d[file] = []string{is}
	}
	return writeDigests(dir, d)
}

// readDigests returns nil without an error when there is no such file or it is
// damaged: then nothing is known.
func readDigests(dir string) (map[string][]string, error) {
	b, err := readKeyFile(dir, digestsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	text, found := strings.CutPrefix(string(b), digestsHead)
	lines, _, found2 := strings.Cut(text, "sum ")
	if !found || !found2 || string(b) != sealDigests(lines) {
		return nil, nil
	}
	out := map[string][]string{}
	for l := range strings.Lines(lines) {
		file, digest, ok := strings.Cut(strings.TrimSuffix(l, "\n"), " ")
		if !ok {
			return nil, nil
		}
		out[file] = append(out[file], digest)
	}
	return out, nil
}

func sealDigests(lines string) string {
	sum := sha256.Sum256([]byte(digestsHead + lines))
	return digestsHead + lines + "sum " + base64.StdEncoding.EncodeToString(sum[:]) + "\n"
}

func writeDigests(dir string, d map[string][]string) error {
	var lines strings.Builder
	for _, file := range slices.Sorted(maps.Keys(d)) {
		for _, digest := range d[file] {
			fmt.Fprintf(&lines, "%s %s\n", file, digest)
		}
	}
	part := filepath.Join(dir, digestsFile+".part")
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write key digests: %w", err)
	}
	_, err = f.WriteString(sealDigests(lines.String()))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write key digests: %w", err)
	}
	if err := errors.Join(os.Rename(part, filepath.Join(dir, digestsFile)), syncDir(dir)); err != nil {
		return fmt.Errorf("write key digests: %w", err)
	}
	return nil
}

// rememberNext adds the record key that is about to be used to the digests, if there are any.
func rememberNext(dir string, next *RecordPublic) error { return remember(dir, recordFile, next.ID()) }

// rememberLog does the same for the log key with a verifier key.
func rememberLog(dir, vkey string) error { return remember(dir, logFile, vkey) }

func remember(dir, file, public string) error {
	d, err := readDigests(dir)
	if err != nil || d == nil {
		return err
	}
	sum := sha256.Sum256([]byte(public))
	digest := base64.StdEncoding.EncodeToString(sum[:])
	if slices.Contains(d[file], digest) {
		return nil
	}
	d[file] = append(d[file], digest)
	return writeDigests(dir, d)
}

// Mend puts right each key file of c in dir that one flipped bit has damaged, by the
// digests, and returns their names. Encrypted files are not mended: a damaged one does not open.
func Mend(dir string, c name.Council) (mended []string, err error) {
	stored, err := readDigests(dir)
	if err != nil || stored == nil {
		return nil, err
	}
	for _, file := range slices.Sorted(maps.Keys(stored)) {
		b, err := readKeyFile(dir, file)
		if err != nil {
			return mended, err
		}
		if bytes.Contains(b, []byte("ENCRYPTED")) || slices.Contains(stored[file], digestOf(b, file, c)) {
			continue
		}
		for bit := range 8 * len(b) {
			b[bit/8] ^= 1 << (bit % 8)
			if slices.Contains(stored[file], digestOf(b, file, c)) {
				path := filepath.Join(dir, file)
				if err := errors.Join(os.WriteFile(path+".part", b, 0o600), os.Rename(path+".part", path), syncDir(dir)); err != nil {
					return mended, fmt.Errorf("mend key %q: %w", file, err)
				}
				mended = append(mended, file)
				break
			}
			b[bit/8] ^= 1 << (bit % 8)
		}
	}
	return mended, nil
}

// digestOf returns the digest of the key that is in a file's bytes, "" when none is.
func digestOf(b []byte, file string, c name.Council) string {
	of := func(b []byte) string {
		sum := sha256.Sum256(b)
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	if file == secretFile {
		s, err := parseSecret(b, file, nil)
		if err != nil {
			return ""
		}
		return of(append([]byte("stile secret\n"), s[:]...))
	}
	key, err := parsePrivate(b, file, nil)
	if err != nil {
		return ""
	}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		if k, err := newRecordKey(key); err == nil && file == recordFile {
			return of([]byte(k.ID()))
		}
	case ed25519.PrivateKey:
		switch file {
		case nodeFile:
			return of(key.Public().(ed25519.PublicKey))
		case logFile, witnessFile:
			k, err := newLogKey(c, key, key)
			switch {
			case err != nil:
			case file == logFile:
				return of([]byte(k.Verifier()))
			default:
				return of([]byte(k.CosignerVerifier()))
			}
		}
	}
	return ""
}
