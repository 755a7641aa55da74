package machines

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/ledger"
)

// filesEvery is how often a running node looks whether commands that work on the
// files themselves have changed them. What the node itself changes is copied before
// it answers.
const filesEvery = time.Second

// maxFilesWrite is how many bytes of files one write holds, and maxFile the largest
// file that is copied.
const (
	maxFilesWrite = 2 << 20
	maxFile       = 7 << 20
)

// A Store is where the machines have files; a [ledger.Shared] is one.
type Store interface {
	// Files calls f with every file, in order of path.
	Files(f func(path string, content []byte) error) error
	// WriteFiles writes files, in one transaction; nil deletes one.
	WriteFiles(files map[string][]byte) error
}

// Files are the files beside the ledger that a council's node needs wherever it runs:
// the directory it follows, and where it hosts one, that. A machine that takes over
// goes on with these as they were, so they are in the machines' store too: copied
// there whenever they have changed, and from there before the node is opened.
//
// A nil Files is of a node whose ledger is its own folder's, and does nothing.
type Files struct {
	cfg   *config.Config
	store Store
	log   *slog.Logger

	mu     sync.Mutex // held while files are copied
	copied states     // guarded by it
}

// states remembers what was copied last, by path in the store.
type states map[string]fileState

type fileState struct {
	size int64
	mod  time.Time
}

// OpenFiles copies what the files are now to the machines' store; nil when s is.
func OpenFiles(cfg *config.Config, s *ledger.Shared, log *slog.Logger) (*Files, error) {
	if s == nil {
		return nil, nil
	}
	return openFiles(cfg, s, log)
}

func openFiles(cfg *config.Config, s Store, log *slog.Logger) (*Files, error) {
	now, err := look(cfg)
	if err != nil {
		return nil, err
	}
	f := &Files{cfg: cfg, store: s, log: log, copied: states{}}
	// What stands there already is what was copied from there.
	err = s.Files(func(path string, _ []byte) error {
		f.copied[path] = now[path]
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, f.Copy()
}

// folders are what is copied, by the first part of the path in the store.
func folders(cfg *config.Config) map[string]string {
	return map[string]string{"directory": cfg.Directory, datadir.AuthorityName: datadir.Authority(cfg)}
}

// look lists the files there are now.
func look(cfg *config.Config) (states, error) {
	out := states{}
	for first, dir := range folders(cfg) {
		err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(dir, p)
			out[first+"/"+filepath.ToSlash(rel)] = fileState{info.Size(), info.ModTime()}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func filePath(cfg *config.Config, path string) (string, error) {
	first, rest, ok := strings.Cut(path, "/")
	dir := folders(cfg)[first]
	if !ok || dir == "" || !filepath.IsLocal(filepath.FromSlash(rest)) {
		return "", fmt.Errorf("copy files: %q is not where one belongs", path)
	}
	return filepath.Join(dir, filepath.FromSlash(rest)), nil
}

// restoreFiles makes the files on this machine those in the machines' store. It
// changes nothing while that has none.
func restoreFiles(cfg *config.Config, s Store) error {
	have, err := look(cfg)
	if err != nil {
		return err
	}
	stored := 0
	err = s.Files(func(path string, content []byte) error {
		stored++
		delete(have, path)
		p, err := filePath(cfg, path)
		if err != nil {
			return err
		}
		if old, err := os.ReadFile(p); err == nil && string(old) == string(content) {
			return nil
		}
		return errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, content, 0o600))
	})
	if err != nil || stored == 0 {
		return err
	}
	for path := range have {
		p, err := filePath(cfg, path)
		if err == nil {
			err = os.Remove(p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Copy copies what has changed since to the other machines.
func (f *Files) Copy() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now, err := look(f.cfg)
	if err != nil {
		return err
	}
	changed, size := map[string][]byte{}, 0
	flush := func() error {
		if len(changed) == 0 {
			return nil
		}
		err := f.store.WriteFiles(changed)
		changed, size = map[string][]byte{}, 0
		return err
	}
	for path, st := range now {
		if f.copied[path] == st {
			continue
		}
		p, err := filePath(f.cfg, path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p)
		if errors.Is(err, fs.ErrNotExist) {
			delete(now, path)
			continue
		}
		if err != nil || len(b) > maxFile {
			return errors.Join(err, fmt.Errorf("copy files: %s has %d bytes", path, len(b)))
		}
		if size+len(b) > maxFilesWrite {
			if err := flush(); err != nil {
				return err
			}
		}
		changed[path] = b
		size += len(b)
	}
	for path := range f.copied {
		if _, ok := now[path]; !ok {
			changed[path] = nil
		}
	}
	if err := flush(); err != nil {
		return err
	}
	f.copied = now
	return nil
}

// Run looks after the files until ctx ends.
func (f *Files) Run(ctx context.Context) {
	if f == nil {
		return
	}
	t := time.NewTicker(filesEvery)
	defer t.Stop()
	for {
		if err := f.Copy(); err != nil && ctx.Err() == nil {
			f.log.Warn("the other machines do not have the newest directory", "because", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
