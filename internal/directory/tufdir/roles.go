package tufdir

import (
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// RoleKeys says who may sign for a role, and how many of them must.
type RoleKeys struct {
	Role string
	Need int
	Keys []Public // sorted by id
}

// Roles lists who may sign what, as it will be when all that waits is
// published: root, targets, snapshot, timestamp, members, and the standards
// bodies sorted.
func (r *Repository) Roles() []RoleKeys {
	var out []RoleKeys
	add := func(role string, need int, keys map[string]*metadata.Key, ids []string) {
		k := RoleKeys{Role: role, Need: need}
		for _, id := range ids {
			if p, ok := publicOf(keys[id]); ok {
				k.Keys = append(k.Keys, p)
			}
		}
		slices.SortFunc(k.Keys, func(a, b Public) int { return strings.Compare(a.ID(), b.ID()) })
		out = append(out, k)
	}
	root := r.newestRoot()
	for _, role := range []string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		if q := root.Signed.Roles[role]; q != nil {
			add(role, q.Threshold, root.Signed.Keys, q.KeyIDs)
		}
	}
	d := r.newest(metadata.TARGETS).Signed.Delegations
	for _, members := range []bool{true, false} {
		for _, e := range d.Roles {
			if (e.Name == RoleMembers) == members {
				add(e.Name, e.Threshold, d.Keys, e.KeyIDs)
			}
		}
	}
	return out
}

// Policy returns the directory's rule of how long each role signs, as it will be
// when all that waits is published.
func (r *Repository) Policy() Policy { return r.policy() }

// Published reports whether r has ever been published, and has not only been
// founded.
func (r *Repository) Published() bool { return r.timestamp != nil }

// Previous returns the published file of a role, nil when there is none, for
// whoever is to sign the next: [ReviewRequest] compares the two.
func (r *Repository) Previous(role string) []byte {
	version := int64(0)
	if role == metadata.ROOT && r.root != nil {
		version = r.root.Signed.Version
	} else if md := r.targets[role]; md != nil {
		version = md.Signed.Version
	}
	if version == 0 {
		return nil
	}
	b, err := r.bytes(treePath{role: role, version: version})
	if err != nil {
		return nil
	}
	return b
}

// Brought returns, by the name of the file they stand in, the targets that the
// waiting file of a role adds, for whoever is to sign it and for whoever is to
// publish it elsewhere; see [Repository.Import].
func (r *Repository) Brought(role string) map[string][]byte {
	d := r.pending[role]
	if d == nil || d.targets == nil {
		return nil
	}
	out := map[string][]byte{}
	for target, f := range d.targets.Signed.Targets {
		p := treePath{target: target}
		if copy(p.sum[:], f.Hashes["sha256"]) != len(p.sum) {
			continue
		}
		if b, ok := r.waiting[p.String()]; ok {
			out[target] = b
		}
	}
	return out
}

// SignedBy reports whether the key has signed a file that was exported or
// published. Whoever signs the next version may compare it with the one before
// that bears their own signature, since nobody can have changed that.
func SignedBy(file []byte, p Public) bool {
	d, err := parseDraft(file)
	if err != nil {
		return false
	}
	payload, err := d.payload()
	return err == nil && hasSigned(*d.signatures(), p, payload)
}
