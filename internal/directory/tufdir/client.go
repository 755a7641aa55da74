package tufdir

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// Options are what a Client may be told. The zero Options are good.
type Options struct {
	Now         func() time.Time // the clock; nil is time.Now
	FileTimeout time.Duration    // for one file to arrive in; 0 is 30 seconds, within which a mirror that dribbles is given up
}

// A Client follows a directory in a folder of its own, which holds all it needs
// to answer without a network. It may be used concurrently; View never waits for
// Refresh. Only one Client may use a folder at a time.
type Client struct {
	cache   cache
	now     func() time.Time
	timeout time.Duration
	view    atomic.Pointer[View]
	last    atomic.Pointer[View] // the edition before, whose files are still served

	mu     sync.Mutex // held by Refresh
	frozen map[string][32]byte
}

// ErrJoined is returned by [Create] for a folder that follows a directory
// already.
var ErrJoined = errors.New("folder follows a directory already")

// Create makes the folder dir, which may exist and be empty of a directory, to
// follow the directory that root founds. Whoever calls it says that root is the
// right one: see [Join]. Nothing is fetched yet, and the view is empty.
func Create(dir string, root []byte, o Options) (*Client, error) {
	w, err := begin(root, time.Time{}, nil, nil, roleLimit)
	if err != nil {
		return nil, fmt.Errorf("follow directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("follow directory: %w", err)
	}
	c, err := openCache(dir)
	if err != nil {
		return nil, fmt.Errorf("follow directory: %w", err)
	}
	defer c.root.Close()
	if _, err := c.root.Stat(trustDir + "/root.json"); err == nil {
		return nil, fmt.Errorf("follow directory: %w", ErrJoined)
	}
	if err := c.save(metadata.ROOT, w.tm.Root.Signed.Version, root); err != nil {
		return nil, fmt.Errorf("follow directory: %w", err)
	}
	return Open(dir, o)
}

// Open opens the folder of a Client, and reads and verifies the edition it
// holds. Nothing is fetched. An edition that has expired is opened all the
// same; [View.Health] says so. Files that have been lost are missing in the
// view, and named in [View.Refused], until the next Refresh.
//
// The error wraps fs.ErrNotExist when dir follows no directory.
func Open(dir string, o Options) (*Client, error) {
	kept, err := openCache(dir)
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	c := &Client{cache: kept, now: o.Now, timeout: o.FileTimeout}
	if c.now == nil {
		c.now = time.Now
	}
	if c.timeout <= 0 {
		c.timeout = 30 * time.Second
	}
	if c.frozen, err = kept.readFrozen(); err == nil {
		err = c.load()
	}
	if err != nil {
		kept.root.Close()
		return nil, fmt.Errorf("open directory: %w", err)
	}
	return c, nil
}

// Close lets go of the folder. The Client must not be used afterwards.
func (c *Client) Close() error { return c.cache.root.Close() }

// View returns the newest edition that is here whole. It is never nil.
func (c *Client) View() *View { return c.view.Load() }

// Health returns the state of the view now.
func (c *Client) Health() Health { return c.View().Health(c.now()) }

// Root returns the newest root that is trusted, and its version.
func (c *Client) Root() (root []byte, version int64, err error) {
	if root, err = c.cache.readFile(trustDir+"/root.json", maxRoot); err != nil {
		return nil, 0, fmt.Errorf("read root: %w", err)
	}
	h, err := vet(root, maxRoot)
	if err != nil {
		return nil, 0, refuse("root.json", ErrFormat, err.Error())
	}
	return root, h.version, nil
}

// load makes the first view from the mirror.
func (c *Client) load() error {
	_, newest, err := c.Root()
	if err != nil {
		return err
	}
	c.view.Store(&View{})
	stamp, err := c.cache.readFile(mirrorDir+"/metadata/timestamp.json", maxTimestamp)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	// The edition may have been signed under a root that has been replaced
	// since, when the first refresh under the new one has not come through.
	var first error
	for v := newest; v > 0; v-- {
		root, err := c.cache.readFile(mirrorDir+"/"+metadataPath(metadata.ROOT, v), maxRoot)
		if err != nil {
			break
		}
		view, err := c.offline(root, stamp)
		if err == nil {
			c.view.Store(view)
			return nil
		}
		if first == nil {
			first = err
		}
	}
	// A cache that cannot be verified is no cache. It is not an error either:
	// the next refresh will mend it.
	c.view.Store(&View{refused: []*Refusal{refuse("the directory's cache", ErrFormat, fmt.Sprint(first))}})
	return nil
}

// offline verifies the edition in the mirror against a root, whatever the time.
func (c *Client) offline(root, stamp []byte) (*View, error) {
	nothing := func(context.Context, string, int64) ([]byte, error) { return nil, ErrMissing }
	w, err := begin(root, time.Time{}, edition{c.cache}, nothing, roleLimit)
	if err != nil {
		return nil, err
	}
	if _, err := vet(stamp, maxTimestamp); err != nil {
		return nil, err
	}
	if err := guard(func() error { _, err := w.tm.UpdateTimestamp(stamp); return err }); err != nil {
		return nil, err
	}
	ctx := context.Background()
	if err := w.snapshot(ctx); err != nil {
		return nil, err
	}
	if _, err := w.targets(ctx, metadata.TARGETS, metadata.ROOT); err != nil {
		return nil, err
	}
	a := &assembly{w: w, have: c.cache, older: c.cache.older(w), frozen: c.frozen, before: &View{}}
	v, err := a.assemble(ctx)
	if err != nil {
		return nil, err
	}
	return a.archives(ctx, v), nil
}

// An edition is a cache whose snapshot is the mirror's and not the newest seen.
type edition struct{ cache }

func (e edition) load(role string, version int64) []byte {
	if role != metadata.SNAPSHOT {
		return e.cache.load(role, version)
	}
	b, err := e.readFile(mirrorDir+"/"+metadataPath(role, version), maxSnapshot)
	if err != nil {
		return nil
	}
	return b
}

func (e edition) save(string, int64, []byte) error { return nil }

// A Report says what a Refresh did.
type Report struct {
	Changed bool       // there is a new edition in view
	Version int64      // of the timestamp in view
	Files   int        // that were asked for, the answers "not there" included
	Bytes   int64      // that arrived
	Refused []*Refusal // what the new edition says that was not accepted
}

// Refresh brings the newest edition that from has, verifies it, and takes it
// into view.
//
// On an error the view is what it was, and so is all that the folder serves:
// the error is, or wraps, a *[Refusal] that says which file was not accepted
// and why, or that of the folder's file system. Ask somebody else then: what the
// first one did give and could be verified need not be fetched again. Files of
// one standards body or one member that are not accepted are no error, and stand
// in the report and in the view.
func (c *Client) Refresh(ctx context.Context, from Fetcher) (*Report, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rep := new(Report)
	err := c.refresh(ctx, from, rep)
	rep.Version, rep.Refused = c.View().Version(), c.View().Refused()
	if err != nil {
		return rep, fmt.Errorf("refresh directory: %w", err)
	}
	return rep, nil
}

func (c *Client) refresh(ctx context.Context, from Fetcher, rep *Report) error {
	root, _, err := c.Root()
	if err != nil {
		return err
	}
	var mu sync.Mutex
	fetch := func(ctx context.Context, path string, max int64) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		b, err := from(ctx, path, max)
		mu.Lock()
		rep.Files, rep.Bytes = rep.Files+1, rep.Bytes+int64(len(b))
		mu.Unlock()
		if err == nil && int64(len(b)) > max {
			err = ErrTooLong // a Fetcher's own fault; its bytes are still not believed
		}
		return b, err
	}
	inMetadata := func(ctx context.Context, file string, max int64) ([]byte, error) {
		return fetch(ctx, "metadata/"+file, max)
	}
	w, err := begin(root, c.now().UTC(), c.cache, inMetadata, roleLimit)
	if err != nil {
		return err
	}
	if err := w.top(ctx); err != nil {
		return err
	}
	before := c.View()
	if before.stands(w, c.now()) && c.cache.hasAll(before.files) {
		return nil // nothing is newer: what was verified is not verified once more
	}
	a := &assembly{w: w, have: c.cache, older: c.cache.older(w), frozen: maps.Clone(c.frozen), before: before,
		bring: func(ctx context.Context, p treePath, length int64) error {
			b, err := fetch(ctx, p.String(), length)
			if err != nil {
				return fetchRefusal(p.String(), err)
			}
			if int64(len(b)) != length {
				return refuse(p.String(), ErrMismatch, fmt.Sprintf("it has %d bytes, and %d were signed for", len(b), length))
			}
			if err := verifyTarget(p, b); err != nil {
				return err
			}
			return c.cache.write(mirrorDir+"/"+p.String(), b, false)
		}}
	view, err := a.assemble(ctx)
	if err != nil {
		return err
	}
	if err := c.cache.writeFrozen(a.frozen); err != nil {
		return err
	}
	// Everything the timestamp leads to is here, but for archives. From this write
	// on, what is served and what a restart finds is the new edition.
	stamp, err := c.cache.readFile(trustDir+"/timestamp.json", maxTimestamp)
	if err != nil {
		return err
	}
	if err := c.cache.write(mirrorDir+"/metadata/timestamp.json", stamp, true); err != nil {
		return err
	}
	c.frozen = a.frozen
	rep.Changed = view.stamp != before.stamp || view.root != before.root
	if rep.Changed {
		c.last.Store(before)
	}
	held := view.holding(before)
	c.view.Store(held)
	// And now what may be large and may wait.
	view = a.archives(ctx, view)
	c.view.Store(view)
	if rep.Changed {
		return c.cache.prune(view.files, before.files)
	}
	return nil
}

// Archive returns the bytes of a standard, checked against what was signed. The
// error is a *[Refusal]: [ErrMissing] when the directory has no such standard
// or its archive is not here.
func (c *Client) Archive(n name.Standard) ([]byte, error) {
	p, ok := c.View().Standard(n)
	if !ok {
		return nil, refuse(standardTarget(n), ErrMissing, "not in the directory")
	}
	return c.cache.read(treePath{target: standardTarget(n), sum: p.SHA256})
}

// Standard returns a standard, loaded. Errors are those of Archive and of
// standard.LoadArchive; a publisher may have signed what is no standard, or
// one that calls itself by another name, which is a *[Refusal].
func (c *Client) Standard(n name.Standard) (*standard.Standard, error) {
	b, err := c.Archive(n)
	if err != nil {
		return nil, err
	}
	s, err := standard.LoadArchive(b)
	if err != nil {
		return nil, refuse(standardTarget(n), ErrFormat, err.Error())
	}
	if s.Name() != n {
		return nil, refuse(standardTarget(n), ErrForeign, "it calls itself by another name")
	}
	return s, nil
}

// RootHash returns the SHA-256 of the newest trusted root, which an [Invite]
// carries.
func (c *Client) RootHash() (sum [32]byte, version int64, err error) {
	root, version, err := c.Root()
	return sha256.Sum256(root), version, err
}

// ReadMembers returns the members that a Client's folder holds, whole (see
// [Entry.Full]) and sorted by council, verified from the root in it but not held
// against the clock: what was said then was said. The error wraps
// fs.ErrNotExist when the folder follows no directory.
func ReadMembers(dir string) ([]directory.Member, error) {
	c, err := Open(dir, Options{})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	members := []directory.Member{}
	for _, e := range c.View().Members() {
		members = append(members, e.Full())
	}
	return members, nil
}
