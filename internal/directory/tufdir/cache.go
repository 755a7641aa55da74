package tufdir

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// A cache is a client's folder:
//
//	trust/root.json, timestamp.json, snapshot.json   the newest that were ever verified
//	trust/frozen.json                                by target, the SHA-256 under which each standard was first seen
//	mirror/…                                         a tree, as the package comment has it
//
// The trust moves forward with every file that verifies, so that nobody can
// lead back behind one. The mirror's timestamp moves when a whole edition is
// here, all but archives that nobody has, so that what is served is always whole. They are two things: a mirror that
// breaks off in the middle must cost neither the protection nor the service.
type cache struct {
	root *os.Root
}

const (
	trustDir  = "trust"
	mirrorDir = "mirror"
	frozen    = trustDir + "/frozen.json"
)

func openCache(dir string) (cache, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return cache{}, err
	}
	return cache{root}, nil
}

// read returns a file of at most max bytes.
func (c cache) readFile(name string, max int64) ([]byte, error) {
	f, err := c.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readMax(f, max)
}

// write puts a file in its place in one step. With sync it is on disk when
// write returns; what can be fetched again need not be.
func (c cache) write(name string, b []byte, sync bool) error {
	if old, err := c.readFile(name, int64(len(b))); err == nil && bytes.Equal(old, b) {
		return nil
	}
	if err := c.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return writeFile(c.root, name, b, sync)
}

// writeFile writes a file of root so that a reader sees the old or the new.
func writeFile(root *os.Root, name string, b []byte, sync bool) (err error) {
	temp := path.Dir(name) + "/.tmp-" + rand.Text()
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(b)
	if sync && err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(temp, name)
	}
	if err == nil && sync {
		err = syncDir(root, path.Dir(name))
	}
	if err != nil {
		root.Remove(temp)
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func syncDir(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// load and save make the cache the shelf of a walk. What can only be asked for
// by its version is read from the mirror.
func (c cache) load(role string, version int64) []byte {
	p := metadataPath(role, version)
	file := mirrorDir + "/" + p
	if role == metadata.TIMESTAMP || role == metadata.SNAPSHOT {
		file = trustDir + "/" + role + ".json"
	}
	if _, ok := parsePath(p); !ok {
		return nil
	}
	b, err := c.readFile(file, roleLimit(role))
	if err != nil {
		return nil
	}
	return b
}

func (c cache) save(role string, version int64, b []byte) error {
	p := metadataPath(role, version)
	if _, ok := parsePath(p); !ok {
		return refuse(p, ErrFormat, "not a role of a directory")
	}
	if role != metadata.TIMESTAMP {
		if err := c.write(mirrorDir+"/"+p, b, role == metadata.ROOT); err != nil {
			return err
		}
	}
	switch role {
	case metadata.ROOT, metadata.TIMESTAMP, metadata.SNAPSHOT:
		return c.write(trustDir+"/"+role+".json", b, true)
	}
	return nil
}

// has and read make it the holdings of an assembly.
func (c cache) has(p treePath, length int64) bool {
	st, err := c.root.Stat(mirrorDir + "/" + p.String())
	return err == nil && st.Mode().IsRegular() && st.Size() == length
}

// hasAll reports whether every one of an edition's files is there.
func (c cache) hasAll(files map[string]bool) bool {
	for f := range files {
		if _, err := c.root.Lstat(mirrorDir + "/" + f); err != nil {
			return false
		}
	}
	return true
}

func (c cache) read(p treePath) ([]byte, error) {
	file := mirrorDir + "/" + p.String()
	b, err := c.readFile(file, p.limit())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refuse(p.String(), ErrMissing, "")
	} else if err != nil {
		return nil, refuse(p.String(), reason(err), err.Error())
	}
	if p.target != "" {
		if err := verifyTarget(p, b); err != nil {
			// Out of the way, so that the next refresh brings it again.
			c.root.Remove(file)
			return nil, err
		}
	}
	return b, nil
}

// older is an [olderFunc] over the mirror, for a walk that has verified the
// delegations.
func (c cache) older(w *walk) olderFunc {
	return func(role string, ok func(*targetsFile) bool) *targetsFile {
		for _, v := range c.versions(role) {
			b := c.load(role, v)
			if _, err := vet(b, roleLimit(role)); err != nil {
				continue
			}
			var md *targetsFile
			err := guard(func() (err error) {
				if md, err = metadata.Targets().FromBytes(b); err != nil {
					return err
				}
				return w.tm.Targets[metadata.TARGETS].VerifyDelegate(role, md)
			})
			if err == nil && md.Signed.Version == v && ok(md) {
				return md
			}
		}
		return nil
	}
}

func (c cache) versions(role string) []int64 {
	return versionsIn(c.root.FS(), mirrorDir+"/metadata", role)
}

// versionsIn lists the versions of a role's file in a folder, newest first.
func versionsIn(fsys fs.FS, dir, role string) (out []int64) {
	entries, _ := fs.ReadDir(fsys, dir)
	for _, e := range entries {
		v, file, _ := strings.Cut(e.Name(), ".")
		if n, err := strconv.ParseInt(v, 10, 48); err == nil && file == role+".json" {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out
}

// errFrozen is not repaired silently: without the list a body could put other
// bytes under an old version.
var errFrozen = errors.New("trust/frozen.json is damaged; remove it to take every standard as it is published today")

func (c cache) readFrozen() (map[string][32]byte, error) {
	out := map[string][32]byte{}
	b, err := c.readFile(frozen, 64<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	} else if err != nil {
		return nil, err
	}
	v, err := strictjson.Decode(b, strictjson.Limits{Bytes: 64 << 20, Values: 2_000_000})
	m, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, errFrozen
	}
	for target, digest := range m {
		s, _ := digest.(string)
		sum, err := hex.DecodeString(s)
		if err != nil || len(sum) != 32 {
			return nil, errFrozen
		}
		out[target] = [32]byte(sum)
	}
	return out, nil
}

func (c cache) writeFrozen(m map[string][32]byte) error {
	if len(m) == 0 {
		return nil
	}
	v := make(map[string]any, len(m))
	for target, sum := range m {
		v[target] = hex.EncodeToString(sum[:])
	}
	return c.write(frozen, strictjson.Canonical(v), true)
}

// prune removes from the mirror what keep does not name: files that no edition
// of late refers to, and what a crash left. The roots stay, for a newcomer
// walks along them.
func (c cache) prune(keep ...map[string]bool) error {
	var gone []string
	err := fs.WalkDir(c.root.FS(), mirrorDir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rest := strings.TrimPrefix(p, mirrorDir+"/")
		if t, ok := parsePath(rest); ok && t.role == metadata.ROOT {
			return nil
		}
		if !slices.ContainsFunc(keep, func(m map[string]bool) bool { return m[rest] }) {
			gone = append(gone, p)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("prune directory cache: %w", err)
	}
	for _, p := range gone {
		if err := c.root.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("prune directory cache: %w", err)
		}
	}
	return nil
}
