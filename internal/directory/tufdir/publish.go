package tufdir

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Publish puts out every file that waits and that enough of its keys have
// signed, and signs a snapshot, if anything has changed or the last one nears
// its end, and a timestamp. It returns the roles that were put out; what still
// waits goes on waiting. A host calls it daily, with nothing waiting, to
// vouch that there is no news.
//
// The whole edition is then verified as a client would, from the newest root. On
// an error nothing is changed: online is not the key that root names, root or
// targets have never been signed, or the keys of one were replaced and what
// they vouch for not signed again.
func (r *Repository) Publish(online *Key, now time.Time) ([]string, error) {
	p := &Repository{dir: r.dir, stamp: r.stamp, waits: r.waits, base: r.base, fresh: maps.Clone(r.fresh), waiting: r.waiting,
		root: r.root, timestamp: r.timestamp, snapshot: r.snapshot, targets: maps.Clone(r.targets),
		pending: maps.Clone(r.pending), parsed: r.parsed}
	done, err := p.publish(online, now)
	if err != nil {
		return nil, fmt.Errorf("publish directory: %w", err)
	}
	*r = *p
	return done, nil
}

func (r *Repository) publish(online *Key, now time.Time) (done []string, err error) {
	for _, role := range r.pendingRoles() {
		d := r.pending[role]
		if !r.judge(d) {
			continue
		}
		r.fresh[metadataPath(role, d.version())] = d.bytes()
		if d.root != nil {
			r.root = d.root
		} else {
			r.targets[role] = d.targets
		}
		delete(r.pending, role)
		done = append(done, role)
	}
	for _, role := range []string{metadata.ROOT, metadata.TARGETS, RoleMembers} {
		if role == metadata.ROOT && r.root == nil || role != metadata.ROOT && r.targets[role] == nil {
			return nil, refuse(role, ErrSignatures, "it has never been signed by enough of its keys")
		}
	}
	if q := r.root.Signed.Roles[metadata.TIMESTAMP]; q == nil || !slices.Contains(q.KeyIDs, online.Public().ID()) {
		return nil, refuse("the online key", ErrSignatures, "root names another")
	}
	r.release()
	if err := r.signSnapshot(online, now); err != nil {
		return nil, err
	}
	if err := r.signTimestamp(online, now); err != nil {
		return nil, err
	}
	root, err := r.bytes(treePath{role: metadata.ROOT, version: r.root.Signed.Version})
	if err != nil {
		return nil, err
	}
	_, view, err := r.follow(context.Background(), root)
	if err == nil {
		err = memberRefused(view)
	}
	if err != nil {
		return nil, err
	}
	maps.Copy(r.parsed, view.parsed)
	return done, nil
}

// judge reports whether a file is signed by enough, by what is published and not
// by what may yet be.
func (r *Repository) judge(d *draft) bool {
	published := &Repository{root: r.root, targets: r.targets, pending: map[string]*draft{}}
	if d.root == nil && (r.root == nil || d.role != metadata.TARGETS && r.targets[metadata.TARGETS] == nil) {
		return false
	}
	return published.await(d).Ready
}

// release moves the targets that published files name to where they are served.
func (r *Repository) release() {
	left := map[string][]byte{}
	for path, b := range r.waiting {
		p, _ := parsePath(path)
		named := func(files map[string]*metadata.TargetFiles) bool {
			f := files[p.target]
			return f != nil && string(f.Hashes["sha256"]) == string(p.sum[:])
		}
		for _, md := range r.targets {
			if named(md.Signed.Targets) {
				r.fresh[path] = b
			}
		}
		for _, d := range r.pending {
			if d.targets != nil && named(d.targets.Signed.Targets) {
				left[path] = b
			}
		}
	}
	r.waiting = left
}

// signSnapshot signs a snapshot when the last does not say what is so, or has
// less than half its time left.
func (r *Repository) signSnapshot(online *Key, now time.Time) error {
	meta := map[string]*metadata.MetaFiles{}
	version := int64(1)
	if r.snapshot != nil {
		// A role that is delegated no longer stays listed: to a client its
		// going would look like an attack (TUF section 5.5.5).
		maps.Copy(meta, r.snapshot.Signed.Meta)
		version = r.snapshot.Signed.Version + 1
	}
	changed := r.snapshot == nil || !slices.Contains(r.signers(r.snapshot.Signatures), online.Public().ID())
	for role, md := range r.targets {
		if old := meta[role+".json"]; old != nil && old.Version == md.Signed.Version {
			continue
		}
		m, err := r.describe(role, md.Signed.Version)
		if err != nil {
			return err
		}
		meta[role+".json"], changed = m, true
	}
	expires := r.policy().expiry(metadata.SNAPSHOT, now)
	if !changed && r.snapshot.Signed.Expires.Sub(now) > expires.Sub(now)/2 {
		return nil
	}
	s := metadata.Snapshot(expires)
	s.Signed.Version, s.Signed.Meta = version, meta
	payload, err := cjson.EncodeCanonical(s.Signed)
	if err != nil {
		return err
	}
	s.Signatures = []metadata.Signature{online.sign(payload)}
	b, err := s.ToBytes(false)
	if err != nil {
		return err
	}
	r.snapshot, r.fresh[metadataPath(metadata.SNAPSHOT, version)] = s, append(b, '\n')
	return nil
}

func (r *Repository) signers(list []metadata.Signature) (out []string) {
	for _, s := range list {
		out = append(out, s.KeyID)
	}
	return out
}

// describe says of a file what leads to it: version, length and digest. The
// last two are optional in TUF; with them a mirror cannot make a client read
// what was not signed.
func (r *Repository) describe(role string, version int64) (*metadata.MetaFiles, error) {
	b, err := r.bytes(treePath{role: role, version: version})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	m := metadata.MetaFile(version)
	m.Length, m.Hashes = int64(len(b)), metadata.Hashes{"sha256": sum[:]}
	return m, nil
}

func (r *Repository) signTimestamp(online *Key, now time.Time) error {
	m, err := r.describe(metadata.SNAPSHOT, r.snapshot.Signed.Version)
	if err != nil {
		return err
	}
	t := metadata.Timestamp(r.policy().expiry(metadata.TIMESTAMP, now))
	if r.timestamp != nil {
		t.Signed.Version = r.timestamp.Signed.Version + 1
	}
	t.Signed.Meta = map[string]*metadata.MetaFiles{"snapshot.json": m}
	payload, err := cjson.EncodeCanonical(t.Signed)
	if err != nil {
		return err
	}
	t.Signatures = []metadata.Signature{online.sign(payload)}
	b, err := t.ToBytes(false)
	if err != nil {
		return err
	}
	r.timestamp, r.fresh[metadataPath(metadata.TIMESTAMP, 0)] = t, append(b, '\n')
	return nil
}
