package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// Kept is a backup that the node knows of.
type Kept struct {
	File     string    `json:"file,omitempty"` // "" where whoever asked for it keeps it
	Of       string    `json:"of"`
	Digest   string    `json:"digest"` // SHA-256 in hexadecimal
	Bytes    uint64    `json:"bytes"`
	Size     uint64    `json:"size"` // of the log
	Root     tlog.Hash `json:"root"`
	Made     time.Time `json:"made"`
	Entry    *uint64   `json:"entry,omitempty"`   // of our log that says so; nil where nothing could be signed
	Verified time.Time `json:"verified,omitzero"` // when it was last read whole and found good
	Pruned   bool      `json:"pruned,omitempty"`  // it was deleted since there are enough newer ones
}

// A State is what a node remembers of its backups, in the file backups.json of its data
// folder. It proves nothing to others; the log does.
type State struct {
	Tried  time.Time `json:"tried,omitzero"`   // when one was last begun by itself
	Failed string    `json:"failed,omitempty"` // why that did not succeed; "" when it did
	Kept   []Kept    `json:"kept"`             // oldest first, as many as maxKept
}

const maxKept = 1000

// Last returns the newest backup of the folder that was made, and the one that was last
// verified; zero where there is none.
func (s State) Last() (made, verified Kept) {
	for _, k := range s.Kept {
		if k.Of != OfFolder {
			continue
		}
		if k.Made.After(made.Made) {
			made = k
		}
		if k.Verified.After(verified.Verified) {
			verified = k
		}
	}
	return made, verified
}

// A Keeper keeps the State of a data folder. Its methods may be called concurrently.
type Keeper struct {
	path string

	mu    sync.Mutex // guards what follows
	state State
}

// OpenKeeper reads the State of a data folder. A file that cannot be read counts as none.
func OpenKeeper(data string) *Keeper {
	k := &Keeper{path: filepath.Join(data, StateName)}
	if b, err := os.ReadFile(k.path); err == nil && json.Unmarshal(b, &k.state) != nil {
		k.state = State{}
	}
	return k
}

// State returns what is remembered.
func (k *Keeper) State() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.state
	s.Kept = slices.Clone(s.Kept)
	return s
}

// Change changes what is remembered, and writes it.
func (k *Keeper) Change(f func(*State)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(&k.state)
	if n := len(k.state.Kept) - maxKept; n > 0 {
		k.state.Kept = slices.Delete(k.state.Kept, 0, n)
	}
	b, err := json.MarshalIndent(k.state, "", "  ")
	if err != nil {
		return err
	}
	if err = os.WriteFile(k.path+".part", append(b, '\n'), 0o600); err == nil {
		err = os.Rename(k.path+".part", k.path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", StateName, err)
	}
	return nil
}

// Endings of the names of backups.
const (
	folderEnding = ".stile-backup"
	keysEnding   = ".stile-keys"
)

// FileName returns how a backup is named by itself: council, time in UTC, ending. Names of
// one council are in the order of time.
func FileName(c name.Council, of string, at time.Time) string {
	return string(c) + "-" + at.UTC().Format("20060102T150405Z") + endingOf(of)
}

func endingOf(of string) string {
	if of == OfKeys {
		return keysEnding
	}
	return folderEnding
}

var stamped = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z$`)

// Files returns the backups that stand in a folder and are named as FileName names those of
// a council, by what they are of, oldest first. Any other file is left alone.
func Files(dir string, c name.Council, of string) ([]string, error) {
	es, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	ending := endingOf(of)
	var out []string
	for _, e := range es {
		rest, ok := strings.CutPrefix(e.Name(), string(c)+"-")
		at, ok2 := strings.CutSuffix(rest, ending)
		if ok && ok2 && stamped.MatchString(at) && e.Type().IsRegular() {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// Prune deletes all but the newest keep backups of a council in a folder, of each sort. It
// never deletes the one that was verified last. It returns the names of what it deleted.
func Prune(dir string, c name.Council, keep int, s State) (gone []string, err error) {
	_, verified := s.Last()
	for _, of := range []string{OfFolder, OfKeys} {
		files, err := Files(dir, c, of)
		if err != nil {
			return gone, err
		}
		for _, f := range files[:max(0, len(files)-keep)] {
			if verified.File != "" && filepath.Base(verified.File) == f {
				continue
			}
			if err := os.Remove(filepath.Join(dir, f)); err != nil {
				return gone, err
			}
			gone = append(gone, f)
		}
	}
	return gone, nil
}

// KeepErasures adds the list of what a node has erased to the one in a folder of backups, so that a backup from
// before is not all that is left of it. It is not encrypted, since it holds ids alone, and has to be read where
// no identity is.
func KeepErasures(cfg *config.Config, folder string) error {
	return ledger.KeepErasures(filepath.Join(folder, ledger.ErasuresFile(cfg.Council)), filepath.Join(cfg.Data, ledger.ErasuresName), cfg.Council)
}

// attempts is how often a backup begins anew since something was erased meanwhile, before
// erasing waits for it.
const attempts = 3

// Attempt calls make, which writes one backup from its beginning, until nothing was erased
// while it did.
func Attempt(ctx context.Context, moved func(error) bool, make func(hold bool) error) error {
	for try := 1; ; try++ {
		err := make(try > attempts)
		if err == nil || !moved(err) || try > attempts || ctx.Err() != nil {
			return err
		}
	}
}

// ToFile writes a backup to a new file, whole and synced, or not at all. make is called with
// the file, from its beginning.
func ToFile(ctx context.Context, path string, moved func(error) bool, make func(w io.Writer, hold bool) error) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%q is there already: %w", path, os.ErrExist)
	}
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(part)
		}
	}()
	err = Attempt(ctx, moved, func(hold bool) error {
		if err := f.Truncate(0); err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		return make(f, hold)
	})
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// ToFile writes a backup of s to a new file.
func (s *Source) ToFile(ctx context.Context, path string, to []age.Recipient, of string) (m Made, err error) {
	err = ToFile(ctx, path, func(err error) bool { return errors.Is(err, ledger.ErrMoved) }, func(w io.Writer, hold bool) error {
		m, err = s.Write(&untilWriter{ctx, w}, to, of, hold)
		return err
	})
	return m, err
}

// untilWriter ends a writer with a context.
type untilWriter struct {
	ctx context.Context
	w   io.Writer
}

func (u *untilWriter) Write(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.w.Write(p)
}
