package tufdir

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/stile-exchange/stile/node/name"
)

// A Repository is a directory in the hands of those who run it: what is
// published, and what is prepared and waits for signatures. Operations prepare
// the next version of a role's file; [Repository.Export], [Sign] and
// [Repository.Import] bring it to those who sign and back;
// [Repository.Publish] puts out all that enough of them have signed.
//
// A Repository is a value in memory. [Repository.Save] writes it to a folder,
// [Load] reads it. The folder is a tree as the package comment has it, and beside
// it pending/, with what waits. A tree alone is enough: that of any mirror,
// copied, is a Repository, which is how a directory is taken over from a host
// that is lost. It must not be used concurrently.
type Repository struct {
	dir     string            // "" until saved
	stamp   []byte            // the timestamp in dir when it was read
	waits   [32]byte          // the digest of what waited in dir when it was read; zero is nothing
	base    Fetcher           // the folder's tree; nil in memory
	fresh   map[string][]byte // files to be written, by path in the tree
	waiting map[string][]byte // targets of pending files, by path in the tree

	root      *rootFile
	timestamp *timestampFile
	snapshot  *snapshotFile
	targets   map[string]*targetsFile // published, by role
	pending   map[string]*draft       // by role

	parsed map[string]Entry // of members, by what they were parsed from
}

func newRepository() *Repository {
	return &Repository{fresh: map[string][]byte{}, waiting: map[string][]byte{}, targets: map[string]*targetsFile{},
		pending: map[string]*draft{}, parsed: map[string]Entry{}}
}

// policy reads the rule that the newest root holds.
func (r *Repository) policy() Policy {
	stile, _ := r.newestRoot().Signed.UnrecognizedFields["stile"].(map[string]any)
	days, _ := stile["expiry_days"].(map[string]any)
	n := func(role string) int {
		f, _ := days[role].(float64)
		return int(f)
	}
	p := Policy{n("root"), n("targets"), n("members"), n("body"), n("snapshot"), n("timestamp")}
	if p.check() != nil {
		return DefaultPolicy()
	}
	return p
}

func (r *Repository) newestRoot() *rootFile {
	if d := r.pending[metadata.ROOT]; d != nil {
		return d.root
	}
	return r.root
}

// newest returns a role's file as it will be: what waits, else what is
// published, else nil.
func (r *Repository) newest(role string) *targetsFile {
	if d := r.pending[role]; d != nil {
		return d.targets
	}
	return r.targets[role]
}

// bodies lists the standards bodies that the newest targets name.
func (r *Repository) bodies() (out []string) {
	for _, d := range r.newest(metadata.TARGETS).Signed.Delegations.Roles {
		if d.Name != RoleMembers {
			out = append(out, d.Name)
		}
	}
	return out
}

// bytes returns a file of the tree, published or waiting.
func (r *Repository) bytes(p treePath) ([]byte, error) {
	path := p.String()
	if b, ok := r.fresh[path]; ok {
		return b, nil
	}
	if b, ok := r.waiting[path]; ok {
		return b, nil
	}
	if r.base == nil {
		return nil, refuse(path, ErrMissing, "")
	}
	b, err := r.base(context.Background(), path, p.limit())
	if err != nil {
		return nil, fetchRefusal(path, err)
	}
	if p.target != "" {
		return b, verifyTarget(p, b)
	}
	return b, nil
}

// Fetch is a [Fetcher] of what is published, saved or not, for the host that
// follows its own directory.
func (r *Repository) Fetch(ctx context.Context, path string, max int64) ([]byte, error) {
	b, ok := r.fresh[path]
	switch {
	case ok && int64(len(b)) > max:
		return nil, ErrTooLong
	case ok:
		return b, nil
	case r.base == nil:
		return nil, ErrMissing
	}
	return r.base(ctx, path, max)
}

// has and read let an assembly look at the repository as a client would.
func (r *Repository) has(p treePath, length int64) bool {
	for _, m := range []map[string][]byte{r.fresh, r.waiting} {
		if b, ok := m[p.String()]; ok {
			return int64(len(b)) == length
		}
	}
	if r.dir == "" {
		return false
	}
	st, err := os.Stat(filepath.Join(r.dir, filepath.FromSlash(p.String())))
	return err == nil && st.Mode().IsRegular() && st.Size() == length
}

func (r *Repository) read(p treePath) ([]byte, error) { return r.bytes(p) }

const pendingDir = "pending"

// ErrChanged says that somebody else has published or prepared something in the
// folder since it was read. Load it again, and do again what was done.
var ErrChanged = errors.New("directory was changed by somebody else meanwhile")

// Save writes r into the folder dir, which it makes if need be. A Repository that
// was loaded from or saved to a folder stays with it.
//
// Files of the tree are written before the timestamp that leads to them, each in
// one step. When Save returns without an error all is on disk. It returns an error
// wrapping [ErrChanged] when another has published or prepared something there since;
// two that save at the same instant are not told apart.
func (r *Repository) Save(dir string) error {
	if r.dir != "" && dir != r.dir {
		return errors.New("save directory: it lives in another folder")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("save directory: %w", err)
	}
	c, err := openCache(dir)
	if err != nil {
		return fmt.Errorf("save directory: %w", err)
	}
	defer c.root.Close()
	const stamp = "metadata/timestamp.json"
	now, err := c.readFile(stamp, maxTimestamp)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("save directory: %w", err)
	}
	there, err := waitsIn(c)
	if err != nil {
		return fmt.Errorf("save directory: %w", err)
	}
	if !bytes.Equal(now, r.stamp) || there != r.waits {
		return fmt.Errorf("save directory: %w", ErrChanged)
	}
	write := map[string][]byte{}
	for role, d := range r.pending {
		write[pendingDir+"/"+role+".json"] = d.bytes()
	}
	for path, b := range r.waiting {
		write[pendingDir+"/"+path] = b
	}
	waits := maps.Clone(write)
	maps.Copy(write, r.fresh)
	delete(write, stamp)
	for _, path := range slices.Sorted(maps.Keys(write)) {
		if err := c.write(path, write[path], true); err != nil {
			return fmt.Errorf("save directory: %w", err)
		}
	}
	if b, ok := r.fresh[stamp]; ok {
		if err := c.write(stamp, b, true); err != nil {
			return fmt.Errorf("save directory: %w", err)
		}
		r.stamp = b
	}
	// Last, for a signature that came from afar is not to be had again. What waits
	// and is published as well, Load passes over.
	if err := removeOthers(c.root, waits); err != nil {
		return fmt.Errorf("save directory: %w", err)
	}
	if r.waits, err = waitsIn(c); err != nil {
		return fmt.Errorf("save directory: %w", err)
	}
	r.dir, r.base, r.fresh = dir, FromFS(os.DirFS(dir)), map[string][]byte{}
	return nil
}

// waitsIn returns a digest of the files that wait for signatures in a folder. It
// tells two who change a directory at a time apart, as the timestamp does when
// one of them publishes.
func waitsIn(c cache) (sum [32]byte, err error) {
	entries, err := fs.ReadDir(c.root.FS(), pendingDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return sum, err
	}
	h, n := sha256.New(), 0
	for _, e := range entries { // sorted
		if e.IsDir() {
			continue
		}
		n++
		b, err := c.readFile(path.Join(pendingDir, e.Name()), maxTargets)
		if err != nil {
			return sum, err
		}
		fmt.Fprintf(h, "%q %x\n", e.Name(), sha256.Sum256(b))
	}
	if n > 0 {
		sum = [32]byte(h.Sum(nil))
	}
	return sum, nil
}

// removeOthers removes from pending/ what waits no longer.
func removeOthers(root *os.Root, keep map[string][]byte) error {
	var gone []string
	err := fs.WalkDir(root.FS(), pendingDir, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err == nil && !d.IsDir() && keep[p] == nil {
			gone = append(gone, p)
		}
		return err
	})
	for _, p := range gone {
		err = errors.Join(err, root.Remove(p))
	}
	return err
}

// Load reads the Repository in a folder, or makes one of a mirror's tree, and
// verifies all of it but the standards' archives. What has expired is loaded:
// signing anew is what it is loaded for.
func Load(dir string) (*Repository, error) {
	c, err := openCache(dir)
	if err != nil {
		return nil, fmt.Errorf("load directory: %w", err)
	}
	defer c.root.Close()
	r := newRepository()
	r.dir, r.base = dir, FromFS(os.DirFS(dir))
	if err := r.load(c); err != nil {
		return nil, fmt.Errorf("load directory: %w", err)
	}
	return r, nil
}

func (r *Repository) load(c cache) (err error) {
	r.stamp, err = c.readFile("metadata/timestamp.json", maxTimestamp)
	switch {
	case errors.Is(err, fs.ErrNotExist): // founded, and not published yet
	case err != nil:
		return err
	default:
		if err := r.loadPublished(); err != nil {
			return err
		}
	}
	if r.waits, err = waitsIn(c); err != nil {
		return err
	}
	entries, err := fs.ReadDir(c.root.FS(), pendingDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		role, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || e.IsDir() {
			continue
		}
		b, err := c.readFile(path.Join(pendingDir, e.Name()), roleLimit(role))
		if err != nil {
			return err
		}
		d, err := parseDraft(b)
		if err == nil && d.role != role {
			err = errors.New("it is the file of another role")
		}
		if err != nil {
			return refuse(pendingDir+"/"+e.Name(), ErrFormat, err.Error())
		}
		if d.root != nil && r.root != nil && d.version() <= r.root.Signed.Version ||
			d.targets != nil && r.targets[role] != nil && d.version() <= r.targets[role].Signed.Version {
			continue // published, and a crash came before it was taken away
		}
		r.pending[role] = d
	}
	for _, d := range r.pending {
		if d.targets == nil {
			continue
		}
		for target, f := range d.targets.Signed.Targets {
			p := treePath{target: target}
			if copy(p.sum[:], f.Hashes["sha256"]) != len(p.sum) {
				return refuse(target, ErrFormat, "")
			}
			if b, err := c.readFile(pendingDir+"/"+p.String(), p.limit()); err == nil {
				r.waiting[p.String()] = b
			}
		}
	}
	if r.root == nil && (r.pending[metadata.ROOT] == nil || r.pending[metadata.TARGETS] == nil || r.pending[RoleMembers] == nil) {
		return refuse("metadata/timestamp.json", ErrMissing, "and no directory is being founded here")
	}
	return nil
}

// loadPublished walks from the newest root to everything that is published.
func (r *Repository) loadPublished() error {
	ctx := context.Background()
	var first error
	// As for a client's cache, the edition may stand under an older root; the
	// newest then waits for its first publication.
	for _, v := range versionsIn(os.DirFS(r.dir), "metadata", metadata.ROOT) {
		root, err := r.base(ctx, metadataPath(metadata.ROOT, v), maxRoot)
		if err == nil {
			if err = r.walk(ctx, root); err == nil {
				return r.catchUp(ctx, root)
			}
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = refuse(metadataPath(metadata.ROOT, 1), ErrMissing, "")
	}
	return first
}

// catchUp follows the roots after the one the edition stands under.
func (r *Repository) catchUp(ctx context.Context, root []byte) error {
	fetch := func(ctx context.Context, file string, max int64) ([]byte, error) {
		return r.base(ctx, "metadata/"+file, max)
	}
	w, err := begin(root, time.Time{}, noCache{}, fetch, roleLimit)
	if err != nil {
		return err
	}
	if err := w.roots(ctx); err != nil {
		return err
	}
	r.root = w.tm.Root
	return nil
}

// walk verifies the tree as a client who trusts root would, whatever the time,
// and keeps what was read.
func (r *Repository) walk(ctx context.Context, root []byte) error {
	w, view, err := r.follow(ctx, root)
	if err != nil {
		return err
	}
	if err := memberRefused(view); err != nil {
		return err
	}
	r.root, r.snapshot, r.timestamp = w.tm.Root, w.tm.Snapshot, w.tm.Timestamp
	r.targets = w.tm.Targets
	maps.Copy(r.parsed, view.parsed)
	for file, meta := range r.snapshot.Signed.Meta {
		role := strings.TrimSuffix(file, ".json")
		if _, body := bodyOf(role); !body || r.targets[role] != nil {
			continue
		}
		// A body whose keys have been replaced has yet to sign its list again. The
		// list is what the snapshot vouches for.
		b, err := r.bytes(treePath{role: role, version: meta.Version})
		if err == nil {
			if _, err = vet(b, roleLimit(role)); err == nil {
				err = meta.VerifyLengthHashes(b)
			}
		}
		if err != nil {
			continue
		}
		_ = guard(func() error {
			md, err := metadata.Targets().FromBytes(b)
			if err == nil {
				r.targets[role] = md
			}
			return err
		})
	}
	return nil
}

// memberRefused finds a member of the registrar's that a client would not accept. Those who run a
// directory may not publish one.
func memberRefused(v *View) error {
	for _, f := range v.refused {
		if strings.HasPrefix(strings.TrimPrefix(f.File, "targets/"), "members/") && (f.Why != ErrForeign || f.Detail == signedBy(RoleMembers)) {
			return f
		}
	}
	return nil
}

// follow is a client's walk through what r has published.
func (r *Repository) follow(ctx context.Context, root []byte) (*walk, *View, error) {
	fetch := func(ctx context.Context, file string, max int64) ([]byte, error) {
		if strings.HasSuffix(file, "."+metadata.ROOT+".json") {
			return nil, ErrMissing // root is the newest there is
		}
		return r.Fetch(ctx, "metadata/"+file, max)
	}
	w, err := begin(root, time.Time{}, noCache{}, fetch, roleLimit)
	if err != nil {
		return nil, nil, err
	}
	if err := w.top(ctx); err != nil {
		return nil, nil, err
	}
	a := &assembly{w: w, have: r, older: func(string, func(*targetsFile) bool) *targetsFile { return nil },
		frozen: map[string][32]byte{}, before: &View{parsed: r.parsed}}
	view, err := a.assemble(ctx)
	if err == nil {
		view = a.archives(ctx, view)
	}
	return w, view, err
}

// noCache remembers nothing.
type noCache struct{}

func (noCache) load(string, int64) []byte        { return nil }
func (noCache) save(string, int64, []byte) error { return nil }

// Members returns the members as they will be when all that waits is
// published, sorted by council.
func (r *Repository) Members() ([]Entry, error) {
	md := r.newest(RoleMembers)
	out := make([]Entry, 0, len(md.Signed.Targets))
	for _, target := range slices.Sorted(maps.Keys(md.Signed.Targets)) {
		e, err := r.entry(target, md.Signed.Targets[target])
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Entry) int { return strings.Compare(string(a.Member.Council), string(b.Member.Council)) })
	return out, nil
}

func (r *Repository) entry(target string, f *metadata.TargetFiles) (Entry, error) {
	c, ok := parseMemberTarget(target)
	if !ok || f.Custom == nil || len(f.Hashes["sha256"]) != 32 {
		return Entry{}, refuse(target, ErrFormat, "")
	}
	p := treePath{target: target, sum: [32]byte(f.Hashes["sha256"])}
	key := string(p.sum[:]) + string(c) + "\x00" + string(*f.Custom)
	if e, ok := r.parsed[key]; ok {
		return e, nil
	}
	b, err := r.bytes(p)
	if err != nil {
		return Entry{}, err
	}
	e, err := parseEntry(c, b, *f.Custom)
	if err != nil {
		return Entry{}, refuse(target, ErrFormat, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	r.parsed[key] = e
	return e, nil
}

// Bodies returns the standards bodies as they will be when all that waits is
// published, sorted.
func (r *Repository) Bodies() []name.Council {
	var out []name.Council
	for _, b := range r.bodies() {
		out = append(out, name.Council(b))
	}
	return out
}
