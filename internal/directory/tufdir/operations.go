package tufdir

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// What the operations refuse.
var (
	ErrMember   = errors.New("is a member already")
	ErrNoMember = errors.New("is not a member")
	ErrBody     = errors.New("is not a standards body of this directory")
	ErrKept     = errors.New("may not be taken back")
	ErrRole     = errors.New("the role of a member cannot change")
)

// edit returns the file of a targets role that waits, or prepares the next
// version. Signatures it had are for what it was, and go.
func (r *Repository) edit(role string, now time.Time) *targetsFile {
	d := r.pending[role]
	if d == nil {
		d = &draft{role: role}
		if old := r.targets[role]; old != nil {
			d.targets = cloneTargets(old)
			d.targets.Signed.Version++
		} else {
			d.targets = newTargets(role, now)
			if r.snapshot != nil && r.snapshot.Signed.Meta[role+".json"] != nil {
				d.targets.Signed.Version = r.snapshot.Signed.Meta[role+".json"].Version + 1
			}
		}
		r.pending[role] = d
	}
	d.targets.Signed.Expires = r.policy().expiry(role, now)
	d.targets.Signatures = []metadata.Signature{}
	return d.targets
}

func cloneTargets(md *targetsFile) *targetsFile {
	b, err := md.ToBytes(false)
	if err != nil {
		panic("internal error: metadata does not marshal: " + err.Error())
	}
	c, err := metadata.Targets().FromBytes(b)
	if err != nil {
		panic("internal error: metadata does not print back: " + err.Error())
	}
	return c
}

func (r *Repository) editRoot(now time.Time) *rootFile {
	d := r.pending[metadata.ROOT]
	if d == nil {
		b, err := r.root.ToBytes(false)
		if err != nil {
			panic("internal error: metadata does not marshal: " + err.Error())
		}
		root, err := metadata.Root().FromBytes(b)
		if err != nil {
			panic("internal error: metadata does not print back: " + err.Error())
		}
		root.Signed.Version++
		d = &draft{role: metadata.ROOT, root: root}
		r.pending[metadata.ROOT] = d
	}
	d.root.Signed.Expires = r.policy().expiry(metadata.ROOT, now)
	d.root.Signatures = []metadata.Signature{}
	return d.root
}

// Rekey prepares a root with other holders, threshold or online key. It must be
// signed by enough of the holders there are and by enough of those there will be.
// Where the present signatures on targets would not do under the new root, the
// next version of targets is prepared too.
func (r *Repository) Rekey(holders []Public, threshold int, online Public, now time.Time) error {
	had := r.pending[metadata.ROOT]
	root := r.editRoot(now)
	if err := setRoot(root, holders, threshold, online); err != nil {
		if had == nil {
			delete(r.pending, metadata.ROOT)
		}
		return fmt.Errorf("change root: %w", err)
	}
	if old := r.targets[metadata.TARGETS]; old != nil && r.pending[metadata.TARGETS] == nil &&
		!r.await(&draft{role: metadata.TARGETS, targets: old}).Ready {
		r.edit(metadata.TARGETS, now)
	}
	return nil
}

// SetPolicy prepares a root with another policy of expiry.
func (r *Repository) SetPolicy(p Policy, now time.Time) error {
	if err := p.check(); err != nil {
		return fmt.Errorf("change policy: %w", err)
	}
	root := r.editRoot(now)
	days := map[string]any{}
	for role, n := range p.days() {
		days[role] = float64(n)
	}
	root.Signed.UnrecognizedFields["stile"] = map[string]any{"format": float64(1), "expiry_days": days}
	root.Signed.Expires = p.expiry(metadata.ROOT, now)
	return nil
}

// Renew prepares the next version of a role's file, changed in nothing but its
// expiry.
func (r *Repository) Renew(role string, now time.Time) error {
	switch {
	case role == metadata.ROOT && r.root != nil:
		r.editRoot(now)
	case r.targets[role] != nil:
		r.edit(role, now)
	default:
		return refuse(clip(role, 80), ErrMissing, "it is not published")
	}
	return nil
}

// Admit prepares the admission of a member. It must pass directory.Member.Check
// and share no key with another; the error wraps [ErrMember] when it is one
// already.
func (r *Repository) Admit(m directory.Member, now time.Time) error {
	if f := r.newest(RoleMembers).Signed.Targets[memberTarget(m.Council)]; f != nil {
		return fmt.Errorf("admit %q: %w", clip(string(m.Council), 80), ErrMember)
	}
	m = m.Bare() // its own node prints it whole
	e := Entry{m, MemberExtra{Role: m.Role, GSS: m.GSS, ValidFrom: m.ValidFrom}}
	if err := r.put(e, now); err != nil {
		return fmt.Errorf("admit %q: %w", clip(string(m.Council), 80), err)
	}
	return nil
}

// put prepares entries in the place of those of the same councils, all of them
// or none.
func (r *Repository) put(e Entry, now time.Time) error { return r.putAll([]Entry{e}, now) }

func (r *Repository) putAll(list []Entry, now time.Time) error {
	members, err := r.Members()
	if err != nil {
		return err
	}
	var files [][]byte
	for _, e := range list {
		if err := e.Member.Check(); err != nil {
			return err
		}
		file, custom := e.Member.YAML(), e.Extra.JSON()
		// What is kept is what a client will read.
		back, err := parseEntry(e.Member.Council, file, custom)
		if err != nil {
			return err
		}
		files = append(files, file)
		members = slices.DeleteFunc(members, func(o Entry) bool { return o.Member.Council == e.Member.Council })
		members = append(members, back)
	}
	if len(members) > maxMembers {
		return fmt.Errorf("want at most %d members", maxMembers)
	}
	if bad := clashes(members); len(bad) > 0 {
		for _, e := range list {
			if why := bad[e.Member.Council]; why != "" {
				return errors.New(why)
			}
		}
	}
	md := r.edit(RoleMembers, now)
	for i, e := range list {
		r.addTarget(md, memberTarget(e.Member.Council), files[i], e.Extra.JSON())
	}
	return nil
}

// addTarget signs for bytes, in a file that waits.
func (r *Repository) addTarget(md *targetsFile, target string, b, custom []byte) {
	sum := sha256.Sum256(b)
	raw := json.RawMessage(custom)
	md.Signed.Targets[target] = &metadata.TargetFiles{Path: target, Length: int64(len(b)),
		Hashes: metadata.Hashes{"sha256": sum[:]}, Custom: &raw}
	p := treePath{target: target, sum: sum}
	if _, err := r.bytes(p); err != nil {
		r.waiting[p.String()] = b
	}
}

// member returns one member as it will be.
func (r *Repository) member(c name.Council) (Entry, error) {
	target := memberTarget(c)
	f := r.newest(RoleMembers).Signed.Targets[target]
	if f == nil {
		return Entry{}, fmt.Errorf("%q %w", clip(string(c), 80), ErrNoMember)
	}
	e, err := r.entry(target, f)
	e.Extra = e.Extra.clone()
	e.Member.RecordKeys = slices.Clone(e.Member.RecordKeys)
	return e, err
}

// Amend prepares a change of a member that is not one of keys or of role:
// title, addresses, contact. The keys must be those there are; see
// [Repository.RotateKey].
func (r *Repository) Amend(m directory.Member, now time.Time) error {
	e, err := r.member(m.Council)
	if err != nil {
		return fmt.Errorf("amend member: %w", err)
	}
	old := e.Member
	same := slices.Equal(old.LogKeys(), m.LogKeys()) && old.WitnessKey == m.WitnessKey && old.Node == m.Node && old.Role == m.Role &&
		old.ValidFrom.Equal(m.ValidFrom) && slices.EqualFunc(old.RecordKeys, m.RecordKeys, func(a, b *keys.RecordPublic) bool { return a.ID() == b.ID() })
	if !same {
		return fmt.Errorf("amend member %q: keys, role and valid_from %w this way", string(m.Council), ErrKept)
	}
	e.Member = m.Bare()
	e.Extra.GSS = m.GSS
	if err := r.put(e, now); err != nil {
		return fmt.Errorf("amend member %q: %w", string(m.Council), err)
	}
	return nil
}

// A Rotation is what changes of a member's keys. What is zero stays.
type Rotation struct {
	Record  *keys.RecordPublic // a new record key, beside those there are: what they signed must go on verifying
	Log     string             // a verifier key in the place of the one there is
	LogAlso []tlog.OtherKey    // with Log: the log's other keys in the place of those there are
	Witness string             // likewise
	Node    string             // a peer id in the place of the one there is
}

// RotateKey prepares a change of a member's keys. A record key is never taken
// out; one that is lost to somebody is revoked.
func (r *Repository) RotateKey(c name.Council, change Rotation, now time.Time) error {
	e, err := r.member(c)
	if err != nil {
		return fmt.Errorf("rotate key: %w", err)
	}
	m := &e.Member
	if change.Record != nil {
		m.RecordKeys = append(m.RecordKeys, change.Record)
	}
	if change.Log != "" {
		m.LogAlso = change.LogAlso
	}
	for _, f := range []struct {
		to   *string
		from string
	}{{&m.LogKey, change.Log}, {&m.WitnessKey, change.Witness}, {&m.Node, change.Node}} {
		if f.from != "" {
			*f.to = f.from
		}
	}
	if err := r.put(e, now); err != nil {
		return fmt.Errorf("rotate key of %q: %w", string(c), err)
	}
	return nil
}

// RevokeKey prepares the word that a member's record key is not to be believed
// from the entry at index from of its log on. It may later be said of an
// earlier entry, when more is known, but not of a later one: the error then wraps
// [ErrKept].
func (r *Repository) RevokeKey(c name.Council, kid string, from uint64, now time.Time) error {
	e, err := r.member(c)
	if err != nil {
		return fmt.Errorf("revoke key: %w", err)
	}
	if _, ok := e.Member.RecordKey(kid); !ok {
		return fmt.Errorf("revoke key of %q: %w", string(c), directory.ErrNoKey)
	}
	if from > maxIndex {
		return fmt.Errorf("revoke key of %q: want an index in its log", string(c))
	}
	i, found := slices.BinarySearchFunc(e.Extra.Revocations, kid, func(v directory.Revocation, kid string) int { return strings.Compare(v.KID, kid) })
	if !found {
		e.Extra.Revocations = slices.Insert(e.Extra.Revocations, i, directory.Revocation{KID: kid, FromIndex: from})
	} else if was := e.Extra.Revocations[i].FromIndex; from > was {
		return fmt.Errorf("revoke key of %q: a revocation from entry %d %w", string(c), was, ErrKept)
	}
	e.Extra.Revocations[i].FromIndex = from
	if err := r.put(e, now); err != nil {
		return fmt.Errorf("revoke key of %q: %w", string(c), err)
	}
	return nil
}

// End prepares the end of a membership on a day, midnight UTC. The member stays
// in the directory with its keys, so that what it logged still verifies.
func (r *Repository) End(c name.Council, on, now time.Time) error {
	e, err := r.member(c)
	if err != nil {
		return fmt.Errorf("end membership: %w", err)
	}
	e.Extra.Ended = on
	if err := r.put(e, now); err != nil {
		return fmt.Errorf("end membership of %q: %w", string(c), err)
	}
	return nil
}

// Remove prepares the removal of a member and its keys. What it said can then
// no longer be verified from the newest edition alone; for a council that goes
// in peace [Repository.End] is right.
func (r *Repository) Remove(c name.Council, now time.Time) error {
	if _, err := r.member(c); err != nil {
		return fmt.Errorf("remove member: %w", err)
	}
	delete(r.edit(RoleMembers, now).Signed.Targets, memberTarget(c))
	return nil
}

// Succeed prepares the succession of one member to another on a day, midnight
// UTC, when councils merge: the old one ends then, and each names the other. Said
// of several old ones it is a merger, of several new ones a division.
func (r *Repository) Succeed(from, to name.Council, on, now time.Time) error {
	old, err := r.member(from)
	if err != nil {
		return fmt.Errorf("succeed: %w", err)
	}
	young, err := r.member(to)
	if err != nil {
		return fmt.Errorf("succeed: %w", err)
	}
	if from == to {
		return fmt.Errorf("succeed %q: want another council", string(from))
	}
	if !old.Extra.Ended.IsZero() && !old.Extra.Ended.Equal(on) {
		return fmt.Errorf("succeed %q: its end on another day %w", string(from), ErrKept)
	}
	old.Extra.Ended = on
	old.Extra.Successors = include(old.Extra.Successors, to)
	young.Extra.Predecessors = include(young.Extra.Predecessors, from)
	if err := r.putAll([]Entry{old, young}, now); err != nil {
		return fmt.Errorf("succeed %q: %w", string(from), err)
	}
	return nil
}

// Update admits a member, or brings what the directory has of one up to date:
// other keys, addresses, title or contact. No record key is ever taken out. The
// error is ErrRole when the member has another role.
func (r *Repository) Update(m directory.Member, now time.Time) error {
	members, err := r.Members()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(members, func(e Entry) bool { return e.Member.Council == m.Council })
	if i < 0 {
		return r.Admit(m, now)
	}
	old := members[i].Member
	if old.Role != m.Role {
		return ErrRole
	}
	change := Rotation{}
	rotate := !slices.Equal(old.LogKeys(), m.LogKeys())
	if rotate {
		change.Log, change.LogAlso = m.LogKey, m.LogAlso
	}
	for _, f := range []struct {
		to       *string
		was, now string
	}{{&change.Witness, old.WitnessKey, m.WitnessKey}, {&change.Node, old.Node, m.Node}} {
		if f.was != f.now {
			*f.to, rotate = f.now, true
		}
	}
	added := slices.DeleteFunc(slices.Clone(m.RecordKeys), func(k *keys.RecordPublic) bool { _, has := old.RecordKey(k.ID()); return has })
	for k := 0; k < len(added) || rotate; k++ {
		if k < len(added) {
			change.Record = added[k]
		}
		if err := r.RotateKey(m.Council, change, now); err != nil {
			return err
		}
		change, rotate = Rotation{}, false
	}
	// What a member signed goes on verifying: none of its record keys is taken out.
	m.RecordKeys = slices.Concat(old.RecordKeys, added)
	m.ValidFrom = old.ValidFrom
	return r.Amend(m, now)
}
