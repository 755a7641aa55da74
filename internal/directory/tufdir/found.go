package tufdir

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A Policy says for how long each role signs at a time. Timestamp bounds both
// how long a hostile mirror can hide news and how long a federation can live
// without its host. The default holds for thirty days when the host signs daily:
// that leaves sixteen silent days before anybody is warned, and then fourteen
// before exchange stops.
type Policy struct {
	Root, Targets, Members, Body, Snapshot, Timestamp int // days, 1 to 3650
}

// DefaultPolicy returns a year for what is signed by hand, and thirty days for
// what the host signs.
func DefaultPolicy() Policy {
	return Policy{Root: 365, Targets: 365, Members: 365, Body: 365, Snapshot: 30, Timestamp: 30}
}

func (p Policy) days() map[string]int {
	return map[string]int{"root": p.Root, "targets": p.Targets, "members": p.Members, "body": p.Body,
		"snapshot": p.Snapshot, "timestamp": p.Timestamp}
}

func (p Policy) check() error {
	d := p.days()
	for _, role := range slices.Sorted(maps.Keys(d)) {
		if d[role] < 1 || d[role] > 3650 {
			return fmt.Errorf("expiry of %s: want 1 to 3650 days", role)
		}
	}
	return nil
}

// expiry returns when a file of role signed at now ceases to be believed, to
// the second, as TUF writes it.
func (p Policy) expiry(role string, now time.Time) time.Time {
	n, ok := p.days()[role]
	if !ok {
		n = p.Body
	}
	return now.UTC().Truncate(time.Second).AddDate(0, 0, n)
}

// A Founding is what a directory begins with.
type Founding struct {
	Holders          []Public // of root, offline
	Threshold        int      // how many of them must sign; 0 is two, of three or more
	Online           Public   // the host's key for snapshot and timestamp
	Members          []Public // the registrar's keys
	MembersThreshold int      // 0 is one
	Policy           Policy   // zero is DefaultPolicy
}

// Found prepares a directory: root, targets and members, each at version 1 and
// without a signature. Nothing is published before enough of the holders have
// signed, and the registrar.
func Found(f Founding, now time.Time) (*Repository, error) {
	if f.Threshold == 0 {
		if f.Threshold = 2; len(f.Holders) < 3 {
			return nil, errors.New("found directory: want three holders of root or more, or a threshold that is said outright")
		}
	}
	f.MembersThreshold = max(f.MembersThreshold, 1)
	if f.Policy == (Policy{}) {
		f.Policy = DefaultPolicy()
	}
	if err := f.Policy.check(); err != nil {
		return nil, fmt.Errorf("found directory: %w", err)
	}
	r := newRepository()
	root := metadata.Root(f.Policy.expiry("root", now))
	days := map[string]any{}
	for role, n := range f.Policy.days() {
		days[role] = float64(n) // as it will be read back
	}
	root.Signed.UnrecognizedFields = map[string]any{"stile": map[string]any{"format": float64(1), "expiry_days": days}}
	if err := setRoot(root, f.Holders, f.Threshold, f.Online); err != nil {
		return nil, fmt.Errorf("found directory: %w", err)
	}
	r.pending[metadata.ROOT] = &draft{role: metadata.ROOT, root: root}
	if len(f.Members) == 0 {
		return nil, errors.New("found directory: want a registrar's key")
	}
	top := newTargets(metadata.TARGETS, f.Policy.expiry("targets", now))
	if err := delegate(top, RoleMembers, f.Members, f.MembersThreshold); err != nil {
		return nil, fmt.Errorf("found directory: %w", err)
	}
	r.pending[metadata.TARGETS] = &draft{role: metadata.TARGETS, targets: top}
	r.pending[RoleMembers] = &draft{role: RoleMembers, targets: newTargets(RoleMembers, f.Policy.expiry("members", now))}
	return r, nil
}

func newTargets(role string, expires time.Time) *targetsFile {
	md := metadata.Targets(expires)
	md.Signed.UnrecognizedFields = map[string]any{"stile": map[string]any{"role": role}}
	if role == metadata.TARGETS {
		md.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}, Roles: []metadata.DelegatedRole{}}
	}
	return md
}

// checkKeys refuses keys that are fewer than they look.
func checkKeys(keys []Public, threshold int) error {
	seen := map[Public]bool{}
	for _, k := range keys {
		seen[k] = true
	}
	if len(seen) != len(keys) {
		return errors.New("the same key twice")
	}
	if len(keys) > maxKeys || threshold < 1 || threshold > len(keys) {
		return fmt.Errorf("want 1 to %d keys, and a threshold of 1 to as many", maxKeys)
	}
	return nil
}

// setRoot gives root its keys, in the place of those it has.
func setRoot(root *rootFile, holders []Public, threshold int, online Public) error {
	if err := checkKeys(holders, threshold); err != nil {
		return fmt.Errorf("holders: %w", err)
	}
	if slices.Contains(holders, online) && len(holders) > 1 {
		// A key on a connected machine counts for nothing as one of several
		// offline ones. A directory of one has nothing else.
		return errors.New("online key: it is one of the holders'")
	}
	signed := &root.Signed
	signed.Keys = map[string]*metadata.Key{online.ID(): online.tuf()}
	ids := make([]string, len(holders))
	for i, k := range holders {
		ids[i] = k.ID()
		signed.Keys[ids[i]] = k.tuf()
	}
	slices.Sort(ids)
	signed.Roles = map[string]*metadata.Role{
		metadata.ROOT:      {KeyIDs: ids, Threshold: threshold},
		metadata.TARGETS:   {KeyIDs: ids, Threshold: threshold},
		metadata.SNAPSHOT:  {KeyIDs: []string{online.ID()}, Threshold: 1},
		metadata.TIMESTAMP: {KeyIDs: []string{online.ID()}, Threshold: 1},
	}
	return nil
}

// delegate gives a delegated role its keys; none takes the delegation back.
func delegate(top *targetsFile, role string, keys []Public, threshold int) error {
	d := top.Signed.Delegations
	d.Roles = slices.DeleteFunc(d.Roles, func(r metadata.DelegatedRole) bool { return r.Name == role })
	if len(keys) > 0 {
		if err := checkKeys(keys, threshold); err != nil {
			return fmt.Errorf("keys of %s: %w", role, err)
		}
		entry := metadata.DelegatedRole{Name: role, Threshold: threshold, Terminating: true, Paths: []string{rolePath(role)}}
		for _, k := range keys {
			entry.KeyIDs = append(entry.KeyIDs, k.ID())
			d.Keys[k.ID()] = k.tuf()
		}
		slices.Sort(entry.KeyIDs)
		d.Roles = append(d.Roles, entry)
		if len(d.Roles) > maxBodies {
			return fmt.Errorf("want at most %d standards bodies", maxBodies)
		}
	}
	slices.SortFunc(d.Roles, func(a, b metadata.DelegatedRole) int { return strings.Compare(a.Name, b.Name) })
	for id := range d.Keys {
		if !slices.ContainsFunc(d.Roles, func(r metadata.DelegatedRole) bool { return slices.Contains(r.KeyIDs, id) }) {
			delete(d.Keys, id)
		}
	}
	return nil
}
