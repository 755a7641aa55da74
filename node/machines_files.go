package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/ledger"
)

// Beside the ledger a council's node keeps the directory it follows, and where it
// hosts one, that, as files. A machine that takes over goes on with these as they
// were, so they are in the machines' store too: copied there whenever they have
// changed, and from there before the node is opened.

// filesEvery is how often a running node looks whether commands that work on the
// files themselves have changed them. What the node itself changes is kept before
// it answers.
const filesEvery = time.Second

// maxFilesWrite is how many bytes of files one write holds, and maxFileKept the
// largest file that is kept.
const (
	maxFilesWrite = 2 << 20
	maxFileKept   = 7 << 20
)

// A savedFiles remembers what was kept last, by path in the store.
type savedFiles map[string]fileState

type fileState struct {
	size int64
	mod  time.Time
}

// folders are what is kept, by the first part of the path in the store.
func folders(cfg *config.Config) map[string]string {
	return map[string]string{"directory": cfg.Directory, datadir.AuthorityName: datadir.Authority(cfg)}
}

// look lists the files there are now.
func look(cfg *config.Config) (savedFiles, error) {
	out := savedFiles{}
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
		return "", fmt.Errorf("keep files: %q is not where one belongs", path)
	}
	return filepath.Join(dir, filepath.FromSlash(rest)), nil
}

// restoreFiles makes the files on this machine those that the machines keep. It
// changes nothing while they keep none.
func restoreFiles(cfg *config.Config, s *ledger.Shared) error {
	have, err := look(cfg)
	if err != nil {
		return err
	}
	kept := 0
	err = s.Files(func(path string, content []byte) error {
		kept++
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
	if err != nil || kept == 0 {
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

// keepFiles copies what has changed to the other machines. Where the ledger is
// the node's own it does nothing.
func (n *Node) keepFiles() error {
	s := n.o.shared
	if s == nil {
		return nil
	}
	n.keeping.Lock()
	defer n.keeping.Unlock()
	now, err := look(n.cfg)
	if err != nil {
		return err
	}
	changed, size := map[string][]byte{}, 0
	flush := func() error {
		if len(changed) == 0 {
			return nil
		}
		err := s.Keep(changed)
		changed, size = map[string][]byte{}, 0
		return err
	}
	for path, st := range now {
		if n.kept[path] == st {
			continue
		}
		p, err := filePath(n.cfg, path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p)
		if errors.Is(err, fs.ErrNotExist) {
			delete(now, path)
			continue
		}
		if err != nil || len(b) > maxFileKept {
			return errors.Join(err, fmt.Errorf("keep files: %s has %d bytes", path, len(b)))
		}
		if size+len(b) > maxFilesWrite {
			if err := flush(); err != nil {
				return err
			}
		}
		changed[path] = b
		size += len(b)
	}
	for path := range n.kept {
		if _, ok := now[path]; !ok {
			changed[path] = nil
		}
	}
	if err := flush(); err != nil {
		return err
	}
	n.kept = now
	return nil
}

// knowFiles reads what the machines keep already, so that what was copied from
// there is not copied back.
func (n *Node) knowFiles() error {
	now, err := look(n.cfg)
	if err != nil {
		return err
	}
	n.kept = savedFiles{}
	return n.o.shared.Files(func(path string, _ []byte) error {
		n.kept[path] = now[path]
		return nil
	})
}

// keepKeepingFiles looks after the files until ctx ends.
func (n *Node) keepKeepingFiles(ctx context.Context) {
	for ctx.Err() == nil {
		if err := n.keepFiles(); err != nil && ctx.Err() == nil {
			n.log.Warn("the other machines do not have the newest directory", "because", err.Error())
		}
		pause(ctx, filesEvery)
	}
}
