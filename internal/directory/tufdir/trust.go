package tufdir

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

type (
	rootFile      = metadata.Metadata[metadata.RootType]
	targetsFile   = metadata.Metadata[metadata.TargetsType]
	snapshotFile  = metadata.Metadata[metadata.SnapshotType]
	timestampFile = metadata.Metadata[metadata.TimestampType]
)

// A roleStore is where a walk keeps the files it has verified, by role: the cache
// of a [Client], and the flat folder of the conformance suite.
type roleStore interface {
	// load returns the file of a role as it was last saved, or nil. A store that
	// keeps more than one version may use the version wanted.
	load(role string, version int64) []byte
	save(role string, version int64, b []byte) error
}

// A walk is one run through the client workflow of TUF, section 5. It is used
// once and not concurrently: what a file was verified against is part of the
// walk, and go-tuf remembers a delegated role by its name alone.
type walk struct {
	tm        *trustedmetadata.TrustedMetadata
	roleStore roleStore
	fetch     Fetcher                 // of metadata, by file name such as "3.members.json"
	limit     func(role string) int64 // bytes of a role's file
	parents   map[string]string       // of each verified targets role
}

// begin starts a walk from a root that is trusted. The zero time for now
// starts one in which nothing is expired.
func begin(root []byte, now time.Time, s roleStore, fetch Fetcher, limit func(string) int64) (*walk, error) {
	w := &walk{roleStore: s, fetch: fetch, limit: limit, parents: map[string]string{}}
	h, err := vet(root, limit(metadata.ROOT))
	if err == nil && h.typ != metadata.ROOT {
		err = errors.New("want a root")
	}
	if err != nil {
		return nil, refuse("root.json", ErrFormat, err.Error())
	}
	err = guard(func() (err error) {
		w.tm, err = trustedmetadata.New(root)
		return err
	})
	if err != nil {
		return nil, refuse("root.json", reason(err), err.Error())
	}
	w.tm.RefTime = now
	return w, nil
}

// top verifies the four top-level files, newest first where there are newer
// ones. Each is on the shelf as soon as it is verified, so that a walk which
// breaks off cannot be led back behind it.
func (w *walk) top(ctx context.Context) error {
	for _, step := range []func(context.Context) error{w.roots, w.timestamp, w.snapshot} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	_, err := w.targets(ctx, metadata.TARGETS, metadata.ROOT)
	return err
}

// file returns the name under which a role's file is asked for. A role's name
// may be anything in TUF; escaped, it cannot lead elsewhere.
func (w *walk) file(role string, version int64) string {
	if role == metadata.TIMESTAMP || role != metadata.ROOT && !w.tm.Root.Signed.ConsistentSnapshot {
		return url.PathEscape(role) + ".json"
	}
	return strconv.FormatInt(version, 10) + "." + url.PathEscape(role) + ".json"
}

// get fetches a role's file and vets it. length is what was signed for it, or 0.
func (w *walk) get(ctx context.Context, role string, version, length int64) (b []byte, h header, err error) {
	name, limit := w.file(role, version), w.limit(role)
	if length > 0 {
		limit = min(limit, length)
	}
	if b, err = w.fetch(ctx, name, limit); err != nil {
		return nil, h, fetchRefusal(name, err)
	}
	if int64(len(b)) > limit {
		return nil, h, refuse(name, ErrTooLong, fmt.Sprintf("more than %d bytes", limit))
	}
	if h, err = vet(b, limit); err != nil {
		return nil, h, refuse(name, ErrFormat, err.Error())
	}
	return b, h, nil
}

// fetchRefusal says which file it was that could not be fetched.
func fetchRefusal(file string, err error) error {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	for _, own := range []error{ErrMissing, ErrTooLong} {
		if errors.Is(err, own) {
			return refuse(file, own, "")
		}
	}
	return refuse(file, ErrUnreachable, err.Error())
}

func (w *walk) roots(ctx context.Context) error {
	for range maxRotations {
		have := w.tm.Root.Signed.Version
		b, h, err := w.get(ctx, metadata.ROOT, have+1, 0)
		if errors.Is(err, ErrMissing) {
			return nil // the root we have is the newest there is
		} else if err != nil {
			return err
		}
		name := w.file(metadata.ROOT, have+1)
		err = guard(func() error { _, err := w.tm.UpdateRoot(b); return err })
		switch {
		case err == nil:
		case errors.Is(err, &metadata.ErrBadVersionNumber{}):
			return refuse(name, ErrMix, fmt.Sprintf("it calls itself version %d", h.version))
		default:
			return refuse(name, reason(err), err.Error())
		}
		if err := w.roleStore.save(metadata.ROOT, have+1, b); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) timestamp(ctx context.Context) error {
	// Of the timestamp on the shelf only its versions matter, so that one that is
	// expired, or signed with a key that has been replaced since, is no error.
	if b := w.roleStore.load(metadata.TIMESTAMP, 0); b != nil {
		if _, err := vet(b, w.limit(metadata.TIMESTAMP)); err == nil {
			_ = guard(func() error { _, err := w.tm.UpdateTimestamp(b); return err })
		}
	}
	b, h, err := w.get(ctx, metadata.TIMESTAMP, 0, 0)
	if err != nil {
		return err
	}
	name := w.file(metadata.TIMESTAMP, 0)
	err = guard(func() error { _, err := w.tm.UpdateTimestamp(b); return err })
	switch {
	case err == nil:
	case errors.Is(err, &metadata.ErrEqualVersionNumber{}):
		// Nothing new; ours is kept even if theirs says something else.
		if t := w.tm.Timestamp.Signed; t.IsExpired(w.tm.RefTime) {
			return refuse(name, ErrExpired, "on "+t.Expires.Format(dayForm))
		}
		return nil
	case errors.Is(err, &metadata.ErrBadVersionNumber{}):
		held := w.tm.Timestamp.Signed
		if h.version < held.Version {
			return refuse(name, ErrRollback, fmt.Sprintf("version %d, and %d was seen before", h.version, held.Version))
		}
		return refuse(name, ErrRollback, fmt.Sprintf("it names a snapshot older than version %d, which was seen before", held.Meta["snapshot.json"].Version))
	case errors.Is(err, &metadata.ErrExpiredMetadata{}):
		if w.tm.Root.Signed.IsExpired(w.tm.RefTime) {
			return refuse(w.file(metadata.ROOT, w.tm.Root.Signed.Version), ErrExpired, "on "+w.tm.Root.Signed.Expires.Format(dayForm))
		}
		return refuse(name, ErrExpired, "on "+w.tm.Timestamp.Signed.Expires.Format(dayForm))
	default:
		return refuse(name, reason(err), err.Error())
	}
	return w.roleStore.save(metadata.TIMESTAMP, h.version, b)
}

func (w *walk) snapshot(ctx context.Context) error {
	meta := w.tm.Timestamp.Signed.Meta["snapshot.json"]
	if meta == nil {
		return refuse(w.file(metadata.TIMESTAMP, 0), ErrFormat, "it names no snapshot")
	}
	if b := w.roleStore.load(metadata.SNAPSHOT, meta.Version); b != nil {
		if _, err := vet(b, w.limit(metadata.SNAPSHOT)); err == nil {
			if guard(func() error { _, err := w.tm.UpdateSnapshot(b, true); return err }) == nil {
				return nil
			}
		}
	}
	b, h, err := w.get(ctx, metadata.SNAPSHOT, meta.Version, meta.Length)
	if err != nil {
		return err
	}
	name := w.file(metadata.SNAPSHOT, meta.Version)
	err = guard(func() error { _, err := w.tm.UpdateSnapshot(b, false); return err })
	switch {
	case err == nil:
	case errors.Is(err, &metadata.ErrBadVersionNumber{}) && h.version != meta.Version:
		return refuse(name, ErrMix, fmt.Sprintf("it is version %d, and the timestamp names %d", h.version, meta.Version))
	case errors.Is(err, &metadata.ErrBadVersionNumber{}):
		return refuse(name, ErrRollback, "it names a role's file older than was seen before")
	case errors.Is(err, &metadata.ErrRepository{}) && reason(err) == ErrFormat:
		return refuse(name, ErrRollback, "it leaves out a role that was there before")
	default:
		return refuse(name, reason(err), err.Error())
	}
	return w.roleStore.save(metadata.SNAPSHOT, h.version, b)
}

// targets verifies a targets role as its delegator parent has it. The error is
// a *[Refusal], or that of the shelf.
func (w *walk) targets(ctx context.Context, role, parent string) (*targetsFile, error) {
	if md := w.tm.Targets[role]; md != nil {
		if w.parents[role] == parent {
			return md, nil
		}
		// Another delegator names other keys. That the first one's were enough
		// says nothing here.
		err := guard(func() error { return w.tm.Targets[parent].VerifyDelegate(role, md) })
		if err != nil {
			return nil, refuse(w.file(role, md.Signed.Version), reason(err), err.Error())
		}
		return md, nil
	}
	meta := w.tm.Snapshot.Signed.Meta[role+".json"]
	if meta == nil {
		return nil, refuse(url.PathEscape(role)+".json", ErrMissing, "the snapshot does not name it")
	}
	update := func(b []byte) error {
		return guard(func() error { _, err := w.tm.UpdateDelegatedTargets(b, role, parent); return err })
	}
	if b := w.roleStore.load(role, meta.Version); b != nil {
		if _, err := vet(b, w.limit(role)); err == nil && update(b) == nil {
			w.parents[role] = parent
			return w.tm.Targets[role], nil
		}
	}
	b, h, err := w.get(ctx, role, meta.Version, meta.Length)
	if err != nil {
		return nil, err
	}
	name := w.file(role, meta.Version)
	if err := update(b); errors.Is(err, &metadata.ErrBadVersionNumber{}) {
		return nil, refuse(name, ErrMix, fmt.Sprintf("it is version %d, and the snapshot names %d", h.version, meta.Version))
	} else if err != nil {
		return nil, refuse(name, reason(err), err.Error())
	}
	w.parents[role] = parent
	return w.tm.Targets[role], w.roleStore.save(role, h.version, b)
}

// find looks for a target as TUF section 5.6.7 says: through the delegations
// whose patterns match, in order, each before its siblings, no role twice.
func (w *walk) find(ctx context.Context, target string) (*metadata.TargetFiles, error) {
	type step struct{ role, parent string }
	visit := []step{{metadata.TARGETS, metadata.ROOT}}
	seen := map[string]bool{}
	for len(visit) > 0 && len(seen) <= maxKeys {
		next := visit[len(visit)-1]
		visit = visit[:len(visit)-1]
		if seen[next.role] {
			continue
		}
		md, err := w.targets(ctx, next.role, next.parent)
		if err != nil {
			return nil, err
		}
		if t, ok := md.Signed.Targets[target]; ok {
			return t, nil
		}
		seen[next.role] = true
		if md.Signed.Delegations == nil {
			continue
		}
		var children []step
		for _, r := range md.Signed.Delegations.GetRolesForTarget(target) {
			children = append(children, step{r.Name, next.role})
			if r.Terminating {
				visit = nil // nobody after this role, or above it, is asked
				break
			}
		}
		slices.Reverse(children)
		visit = append(visit, children...)
	}
	return nil, refuse(target, ErrMissing, "no role has such a target")
}
