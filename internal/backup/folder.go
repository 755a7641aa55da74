package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/tlog"
)

// A Store is a ledger that can be copied; a *ledger.Ledger is one.
type Store interface {
	Copy(hold bool, begin func(tlog.Checkpoint) error, pair func(key, value []byte) error) error
	LogKey() string
}

// A Source is what a backup is made of.
type Source struct {
	Config  *config.Config
	Ledger  Store
	Program string // version
	Now     func() time.Time
	// Footprints writes the ledger of each footprint that the folder has a replica of, by
	// name.
	Footprints map[string]func(io.Writer) error
}

// Made describes a backup that was written.
type Made struct {
	Header
	Digest string // SHA-256 of the encrypted file, in hexadecimal
	Bytes  uint64
}

// Write writes a backup to w, of OfFolder or OfKeys, encrypted to the recipients. With hold,
// erasing waits for it; see [ledger.Ledger.Copy], whose ErrMoved it returns.
func (s *Source) Write(w io.Writer, to []age.Recipient, of string, hold bool) (m Made, err error) {
	sum := sha256.New()
	count := &counter{w: io.MultiWriter(w, sum)}
	enc, err := age.Encrypt(count, to...)
	if err != nil {
		return m, fmt.Errorf("encrypt the backup: %w", err)
	}
	files, err := s.collect(of)
	if err != nil {
		return m, err
	}
	var out *Writer
	begin := func(cp tlog.Checkpoint) error {
		m.Header = Header{
			Of: of, Council: s.Config.Council, Made: s.Now().UTC().Truncate(time.Second), Program: s.Program,
			LogKey: s.Ledger.LogKey(), Size: cp.Size, Root: cp.Root,
		}
		if out, err = NewWriter(enc, m.Header); err != nil {
			return err
		}
		for _, p := range slices.Sorted(maps.Keys(files)) {
			if err := out.File(p, files[p]); err != nil {
				return fmt.Errorf("back up %s: %w", p, err)
			}
		}
		if of == OfKeys {
			return errEnough
		}
		return nil
	}
	err = s.Ledger.Copy(hold, begin, func(key, value []byte) error { return out.Pair(key, value) })
	if err != nil && !(of == OfKeys && errors.Is(err, errEnough)) {
		return m, err
	}
	if err := errors.Join(out.Close(), enc.Close()); err != nil {
		return m, err
	}
	m.Digest, m.Bytes = hex.EncodeToString(sum.Sum(nil)), count.n
	return m, nil
}

var errEnough = errors.New("keys need no ledger")

type counter struct {
	w io.Writer
	n uint64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += uint64(n)
	return n, err
}

// inMemory bounds the files that are read before the ledger is copied, so that none of them
// says more than it.
const (
	inMemory    = 4 << 20
	inMemoryAll = 64 << 20
)

// collect returns what writes each file of a backup, by path. The directory is of one moment.
func (s *Source) collect(of string) (map[string]func(io.Writer) error, error) {
	for try := 0; ; try++ {
		paths, err := s.list(of)
		if err != nil {
			return nil, err
		}
		before := states(paths)
		out, all := map[string]func(io.Writer) error{}, 0
		for p, from := range paths {
			st, err := os.Stat(from)
			if err == nil && st.Size() <= inMemory && all+int(st.Size()) <= inMemoryAll {
				var b []byte
				if b, err = os.ReadFile(from); err == nil {
					all += len(b)
					out[p] = func(w io.Writer) error { _, err := w.Write(b); return err }
					continue
				}
			}
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("back up %s: %w", p, err)
			}
			out[p] = func(w io.Writer) error {
				f, err := os.Open(from)
				if err != nil {
					return err
				}
				defer f.Close()
				_, err = io.Copy(w, f)
				return err
			}
		}
		again, err := s.list(of)
		if err != nil {
			return nil, err
		}
		if !maps.Equal(before, states(again)) {
			if try < 10 {
				continue
			}
			return nil, errors.New("the files of the directory change all the time: try again")
		}
		if of == OfFolder {
			for n, write := range s.Footprints {
				out[footprintsName+"/"+n] = write
			}
		}
		return out, nil
	}
}

// states tells the files of the directory as they are now, by path.
func states(paths map[string]string) map[string]string {
	out := map[string]string{}
	for p, from := range paths {
		if first, _, _ := strings.Cut(p, "/"); first != "directory" && first != datadir.AuthorityName {
			continue
		}
		if st, err := os.Stat(from); err == nil {
			out[p] = fmt.Sprint(st.Size(), st.ModTime().UnixNano())
		}
	}
	return out
}

// list returns where each file is, by its path in the backup.
func (s *Source) list(of string) (map[string]string, error) {
	out := map[string]string{}
	secret := Secrets(s.Config)
	walk := func(root, under string) error {
		return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, p)
			if err != nil || rel == "." {
				return err
			}
			to := filepath.ToSlash(rel)
			if under != "" {
				to = under + "/" + to
			}
			first, _, deep := strings.Cut(to, "/")
			skip := strings.HasPrefix(first, ".") || slices.Contains(never, first) || first == footprintsName || s.Config.Backup.Folder != "" && p == filepath.Clean(s.Config.Backup.Folder)
			if _, is := secret[p]; is || first == keysName && !deep {
				skip = true
			}
			switch {
			case skip && d.IsDir():
				return filepath.SkipDir
			case skip || !d.Type().IsRegular() || strings.HasSuffix(p, ".part"):
				return nil
			}
			if checkPath(of, to) != nil {
				return nil // no file of a node's
			}
			out[to] = p
			return nil
		})
	}
	if of == OfFolder {
		err := walk(s.Config.Data, "")
		if s.Config.Directory != filepath.Join(s.Config.Data, "directory") {
			err = errors.Join(err, walk(s.Config.Directory, "directory"))
		}
		return out, err
	}
	err := walk(filepath.Join(s.Config.Data, keysName), keysName)
	for p, rel := range secret {
		if st, serr := os.Stat(p); serr == nil && st.IsDir() {
			err = errors.Join(err, walk(p, secretsName+"/"+rel))
		} else if serr == nil {
			out[secretsName+"/"+rel] = p
		}
	}
	return out, err
}

// Secrets returns the files and folders within a data folder that its configuration names as
// secret, with their paths below it. They are backed up with the keys.
func Secrets(cfg *config.Config) map[string]string {
	out := map[string]string{}
	named := []string{cfg.PassphraseFile, cfg.EncryptionKeyFile, cfg.Web.KeyFile, cfg.Web.Autocert}
	for _, f := range cfg.Feeds {
		named = append(named, f.ConnectionFile)
	}
	for _, n := range cfg.Notify {
		named = append(named, n.SecretFile)
	}
	for _, p := range named {
		if p == "" {
			continue
		}
		if rel, err := filepath.Rel(cfg.Data, p); err == nil && filepath.IsLocal(rel) && rel != "." {
			out[filepath.Clean(p)] = filepath.ToSlash(rel)
		}
	}
	return out
}

// opened reads the header of an encrypted backup. The error wraps ErrIdentity, ErrDamaged or
// ErrNewer.
func opened(in io.Reader, ids []age.Identity) (*Reader, error) {
	text, err := age.Decrypt(in, ids...)
	if _, no := errors.AsType[*age.NoIdentityMatchError](err); no {
		return nil, ErrIdentity
	}
	if err != nil {
		return nil, damaged("%v", err)
	}
	return NewReader(text)
}

// isEmpty reports whether a folder is not there or holds nothing.
func isEmpty(dir string) (bool, error) {
	es, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return len(es) == 0, err
}
