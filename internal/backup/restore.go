package backup

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// ErrNotEmpty: a backup is restored into an empty folder.
var ErrNotEmpty = errors.New("the folder is not empty")

// ErrKeys: a file of keys is not one of the backup's council, or is of no keys.
var ErrKeys = errors.New("the two backups do not belong together")

// Checked is what was found in a backup that is whole.
type Checked struct {
	Made
	Files      int
	Footprints []string // whose ledgers are in it
	Ledger     ledger.Checked
	Erasures   int // versions of records that the restored folder's list of erasures has
	Damaged    int // lines of the lists that it was made of that cannot be read
}

// A Restored is the file that marks a restored folder until its node knows that its log may
// grow: an old copy must not sign before those who may know its log were asked. Whoever
// deletes it by hand makes a node that may sign a second history.
type Restored struct {
	Digest string       `json:"digest"`
	Made   time.Time    `json:"made"`
	At     time.Time    `json:"at"`
	Size   uint64       `json:"size"`
	Root   tlog.Hash    `json:"root"`
	Of     name.Council `json:"council"`
}

// ReadRestored reads the mark of a data folder; nil when it has none.
func ReadRestored(data string) (*Restored, error) {
	b, err := os.ReadFile(filepath.Join(data, RestoredName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var r Restored
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		// It is there: that is what counts.
		return &Restored{}, nil
	}
	return &r, nil
}

// Settled removes the mark.
func Settled(data string) error {
	err := os.Remove(filepath.Join(data, RestoredName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Verify reads a whole backup and checks it: that it is as it was written, that every entry
// of its ledger is what the log says, and that the log's checkpoint is signed by the log key
// that the backup names. It needs no key but an identity. What it unpacks stands in
// a folder below scratch meanwhile, encrypted with a key that is kept nowhere. The error wraps
// ErrDamaged, ErrIdentity or ErrNewer.
func Verify(ctx context.Context, in io.Reader, ids []age.Identity, scratch string) (c Checked, err error) {
	dir, err := os.MkdirTemp(scratch, "stile-verify-")
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	key := make([]byte, 32)
	rand.Read(key)
	return Unpack(ctx, in, ids, filepath.Join(dir, ledgerName), key)
}

// Unpack does what Verify does and leaves the ledger of the backup in the folder dir, which must not
// be there yet, encrypted with key, so that it can be read. Of a footprint's backup there is none.
func Unpack(ctx context.Context, in io.Reader, ids []age.Identity, dir string, key []byte) (Checked, error) {
	return unpack(ctx, in, ids, func(string, io.Reader) error { return nil }, func() (ledger.Options, error) {
		return ledger.Options{Dir: dir, EncryptionKey: key}, nil
	})
}

// unpack reads a backup: each file goes to file, and the ledger where at says, once all files
// were read.
func unpack(ctx context.Context, in io.Reader, ids []age.Identity, file func(path string, content io.Reader) error, at func() (ledger.Options, error)) (c Checked, err error) {
	sum := sha256.New()
	count := &counter{w: sum}
	raw := io.TeeReader(&until{ctx, in}, count)
	r, err := opened(raw, ids)
	if err != nil {
		return c, err
	}
	c.Header = r.Header()
	for {
		path, content, err := r.File()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return c, err
		}
		c.Files++
		if n, ok := strings.CutPrefix(path, footprintsName+"/"); ok {
			c.Footprints = append(c.Footprints, n)
		}
		if err := file(path, content); err != nil {
			return c, err
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			return c, err
		}
	}
	if c.Of == OfFolder {
		o, err := at()
		if err != nil {
			return c, err
		}
		o.Council = c.Council
		if err := ledger.Fill(o, r.Pair); err != nil {
			return c, asDamage(err)
		}
		if err := r.End(); err != nil {
			return c, err
		}
		if c.Ledger, err = ledger.CheckStore(o, c.LogKey); err != nil {
			return c, asDamage(err)
		}
		if c.Ledger.Checkpoint.Size != c.Size || c.Ledger.Checkpoint.Root != c.Root {
			return c, damaged("its ledger is not the one that its header names")
		}
	} else if err := r.End(); err != nil {
		return c, err
	}
	// age has read to its own end; anything after it makes another file.
	if n, err := io.Copy(io.Discard, raw); err != nil || n > 0 {
		return c, errors.Join(damaged("something stands after its end"), err)
	}
	c.Digest, c.Bytes = hex.EncodeToString(sum.Sum(nil)), count.n
	return c, nil
}

// asDamage: what is wrong with the ledger of a backup is wrong with the backup.
func asDamage(err error) error {
	if errors.Is(err, ledger.ErrDamaged) && !errors.Is(err, ErrDamaged) {
		return fmt.Errorf("%w: its ledger: %w", ErrDamaged, err)
	}
	return err
}

// until ends a reader with a context.
type until struct {
	ctx context.Context
	r   io.Reader
}

func (u *until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// Restore makes a data folder of a backup, and of one of keys, which may be nil: then keys/
// is to be put there by hand before the node is started. dir must be empty or not there. The
// folder is marked; see [Restored]. What was restored is checked as Verify does. After an
// error nothing is left in dir. Its list of erasures is that of the backup, with the one in the folder
// beside and those that erased names, files or folders; one that is not there is none.
func Restore(ctx context.Context, in, keyFile io.Reader, ids []age.Identity, dir string, now time.Time, beside string, erased ...string) (c Checked, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return c, err
	}
	if empty, err := isEmpty(dir); err != nil || !empty {
		return c, errors.Join(err, fmt.Errorf("%w: %s", ErrNotEmpty, dir))
	}
	_, was := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return c, err
	}
	defer func() {
		if err == nil {
			return
		}
		if was != nil {
			err = errors.Join(err, os.RemoveAll(dir))
			return
		}
		es, _ := os.ReadDir(dir)
		for _, e := range es {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}()
	var k Checked
	if keyFile != nil {
		k, err = unpack(ctx, keyFile, ids, func(path string, content io.Reader) error {
			if rest, ok := strings.CutPrefix(path, secretsName+"/"); ok {
				if err := checkPath(OfFolder, rest); err != nil || rest == config.FileName {
					return errors.Join(err, damaged("it holds a secret that is none"))
				}
				path = rest
			}
			return writeFile(dir, path, content)
		}, func() (ledger.Options, error) {
			return ledger.Options{}, fmt.Errorf("%w: a backup of a folder was given for one of keys", ErrKeys)
		})
		if err != nil {
			return c, fmt.Errorf("the backup of the keys: %w", err)
		}
	}
	// The configuration comes into its place last: a folder without it is no node's.
	const waiting = config.FileName + ".restoring"
	c, err = unpack(ctx, in, ids, func(path string, content io.Reader) error {
		if path == config.FileName {
			path = waiting
		}
		return writeFile(dir, path, content)
	}, func() (o ledger.Options, err error) {
		cfg, err := loadAt(filepath.Join(dir, waiting), dir)
		if err != nil {
			return o, err
		}
		if o.EncryptionKey, err = cfg.EncryptionKey(); err != nil {
			return o, fmt.Errorf("%w; the ledger is written with it: bring it back first, with --keys or by hand", err)
		}
		o.Dir = filepath.Join(dir, ledgerName)
		return o, os.MkdirAll(o.Dir, 0o700)
	})
	switch {
	case err != nil:
		return c, err
	case c.Of != OfFolder:
		return c, fmt.Errorf("%w: it is of keys, and one of a folder is wanted", ErrKeys)
	case keyFile != nil && (k.Council != c.Council || k.LogKey != c.LogKey):
		return c, fmt.Errorf("%w: the keys are those of %s, with another log key", ErrKeys, k.Council)
	}
	list, err := ledger.ReadErasures(dir, c.Council)
	for _, path := range append(erased, filepath.Join(beside, ledger.ErasuresFile(c.Council))) {
		if err == nil {
			var more *ledger.Erasures
			if more, err = ledger.ReadErasures(path, c.Council); err == nil {
				list.Add(more)
				c.Damaged += more.Bad
			}
		}
	}
	if err == nil {
		c.Erasures, c.Damaged = list.Len(), c.Damaged+list.Bad
		err = list.Write(filepath.Join(dir, ledger.ErasuresName))
	}
	if err != nil {
		return c, err
	}
	mark, err := json.MarshalIndent(Restored{Digest: c.Digest, Made: c.Header.Made, At: now.UTC().Truncate(time.Second), Size: c.Size, Root: c.Root, Of: c.Council}, "", "  ")
	if err != nil {
		return c, err
	}
	if err := writeFile(dir, RestoredName, strings.NewReader(string(mark)+"\n")); err != nil {
		return c, err
	}
	return c, errors.Join(os.Rename(filepath.Join(dir, waiting), filepath.Join(dir, config.FileName)), syncDir(dir))
}

// loadAt reads a configuration as one of a folder.
func loadAt(file, dir string) (*config.Config, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damaged("it has no %s", config.FileName)
	}
	if err != nil {
		return nil, err
	}
	return config.Parse(b, config.FileName, dir)
}

// writeFile makes a file below a folder, and the folders before it, for its owner alone.
func writeFile(dir, path string, content io.Reader) error {
	if slices.Contains(never, path) && path != RestoredName {
		return damaged("it holds the file %.200q, which no backup has", path)
	}
	to := filepath.Join(dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	// Not every system syncs folders.
	_ = d.Sync()
	return d.Close()
}
