package tufdir

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A draft is the next version of a role's file, with the signatures it has so
// far. One of root and targets is set.
type draft struct {
	role    string
	root    *rootFile
	targets *targetsFile
}

// parseDraft reads a file that is to be signed or has been. Which role it is
// of, it says itself.
func parseDraft(b []byte) (*draft, error) {
	h, err := vet(b, maxTargets)
	if err != nil {
		return nil, err
	}
	d := new(draft)
	err = guard(func() (err error) {
		switch h.typ {
		case metadata.ROOT:
			d.role = metadata.ROOT
			d.root, err = metadata.Root().FromBytes(b)
		case metadata.TARGETS:
			if d.targets, err = metadata.Targets().FromBytes(b); err == nil {
				m, _ := d.targets.Signed.UnrecognizedFields["stile"].(map[string]any)
				d.role, _ = m["role"].(string)
			}
		default:
			return errors.New("want a file that is signed by hand: root, targets, members or a body's")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, body := bodyOf(d.role); !body && d.role != metadata.ROOT && d.role != metadata.TARGETS && d.role != RoleMembers {
		return nil, errors.New("it does not say of which role it is the file")
	}
	if d.role == metadata.TARGETS && d.targets.Signed.Delegations == nil {
		return nil, errors.New("want delegations")
	}
	// go-tuf signs what it understood of a file, and prints a list that was left
	// out as null. Nobody should sign a text other than the one they were shown.
	var raw struct{ Signed json.RawMessage }
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, err
	}
	read, err := d.payload()
	if err != nil {
		return nil, err
	}
	if given, err := cjson.EncodeCanonical(raw.Signed); err != nil || !bytes.Equal(given, read) {
		return nil, errors.New("it is not written in full, or not in the form it would be signed in")
	}
	return d, nil
}

func (d *draft) version() int64 {
	if d.root != nil {
		return d.root.Signed.Version
	}
	return d.targets.Signed.Version
}

func (d *draft) expires() time.Time {
	if d.root != nil {
		return d.root.Signed.Expires
	}
	return d.targets.Signed.Expires
}

func (d *draft) signatures() *[]metadata.Signature {
	if d.root != nil {
		return &d.root.Signatures
	}
	return &d.targets.Signatures
}

// payload returns the bytes that are signed: OLPC canonical JSON of "signed",
// as TUF section 4.2 has it.
func (d *draft) payload() (b []byte, err error) {
	err = guard(func() (err error) {
		if d.root != nil {
			b, err = cjson.EncodeCanonical(d.root.Signed)
		} else {
			b, err = cjson.EncodeCanonical(d.targets.Signed)
		}
		return err
	})
	return b, err
}

// bytes prints the file.
func (d *draft) bytes() []byte {
	var b []byte
	var err error
	if d.root != nil {
		b, err = d.root.ToBytes(false)
	} else {
		b, err = d.targets.ToBytes(false)
	}
	if err != nil {
		// It was parsed, or built by us.
		panic("internal error: metadata does not marshal: " + err.Error())
	}
	return append(b, '\n')
}

// add puts a signature in, in the place of one by the same key.
func (d *draft) add(s metadata.Signature) {
	list := slices.DeleteFunc(*d.signatures(), func(o metadata.Signature) bool { return o.KeyID == s.KeyID })
	list = append(list, s)
	slices.SortFunc(list, func(a, b metadata.Signature) int { return strings.Compare(a.KeyID, b.KeyID) })
	*d.signatures() = list
}

// Sign signs a file that [Repository.Export] gave, and returns it with the
// signature added. It needs nothing but the file and the key, and so can be done on
// a machine that is never connected. Whoever signs should have read what
// [ReviewRequest] says of it.
func Sign(request []byte, k *Key) ([]byte, error) {
	d, err := parseDraft(request)
	if err != nil {
		return nil, fmt.Errorf("sign: %w: %w", ErrFormat, err)
	}
	payload, err := d.payload()
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", d.role, err)
	}
	d.add(k.sign(payload))
	return d.bytes(), nil
}

// A Quorum is a set of keys of which a number must sign.
type Quorum struct {
	Need   int
	Keys   []string // ids, sorted
	Signed []string // those of Keys that have signed, sorted
}

func (q Quorum) met() bool { return len(q.Signed) >= q.Need }

// Waiting is a file that is prepared and not published.
type Waiting struct {
	Role    string
	Version int64
	Expires time.Time
	Quorums []Quorum // all must be met: of a root that follows another, by the keys of both
	Ready   bool     // they are
}

// Left returns how long each published role goes on being believed, but for
// snapshot and timestamp, which Publish signs anew.
func (r *Repository) Left(now time.Time) map[string]time.Duration {
	left := map[string]time.Duration{}
	if r.root != nil {
		left[metadata.ROOT] = r.root.Signed.Expires.Sub(now)
	}
	for role, md := range r.targets {
		left[role] = md.Signed.Expires.Sub(now)
	}
	return left
}

// Waiting lists what is prepared and not published, root and targets first.
func (r *Repository) Waiting() []Waiting {
	var out []Waiting
	for _, role := range r.pendingRoles() {
		out = append(out, r.await(r.pending[role]))
	}
	return out
}

// pendingRoles lists what waits, each after what it depends on.
func (r *Repository) pendingRoles() []string {
	order := func(role string) int {
		return slices.Index([]string{metadata.ROOT, metadata.TARGETS, RoleMembers}, role) & 0xff
	}
	roles := slices.Sorted(maps.Keys(r.pending))
	slices.SortStableFunc(roles, func(a, b string) int { return order(a) - order(b) })
	return roles
}

func (r *Repository) await(d *draft) Waiting {
	w := Waiting{Role: d.role, Version: d.version(), Expires: d.expires(), Ready: true}
	payload, err := d.payload()
	for _, q := range r.quorums(d) {
		count := Quorum{Need: q.need}
		for id, pub := range q.keys {
			count.Keys = append(count.Keys, id)
			if err == nil && hasSigned(*d.signatures(), pub, payload) {
				count.Signed = append(count.Signed, id)
			}
		}
		slices.Sort(count.Keys)
		slices.Sort(count.Signed)
		w.Ready = w.Ready && count.met()
		w.Quorums = append(w.Quorums, count)
	}
	w.Ready = w.Ready && len(w.Quorums) > 0
	return w
}

func hasSigned(list []metadata.Signature, p Public, payload []byte) bool {
	for _, s := range list {
		if s.KeyID == p.ID() && ed25519.Verify(p.key[:], payload, s.Signature) {
			return true
		}
	}
	return false
}

type quorum struct {
	need int
	keys map[string]Public
}

// quorums says whose signatures a file needs, by the newest files that there
// are: a member who is admitted while root waits will be judged by that root.
func (r *Repository) quorums(d *draft) (out []quorum) {
	ofRoot := func(root *rootFile, role string) {
		if q := root.Signed.Roles[role]; q != nil {
			out = append(out, newQuorum(root.Signed.Keys, q.KeyIDs, q.Threshold))
		}
	}
	switch d.role {
	case metadata.ROOT:
		if r.root != nil {
			ofRoot(r.root, metadata.ROOT)
		}
		ofRoot(d.root, metadata.ROOT)
	case metadata.TARGETS:
		ofRoot(r.newestRoot(), metadata.TARGETS)
	default:
		top := r.newest(metadata.TARGETS)
		for _, e := range top.Signed.Delegations.Roles {
			if e.Name == d.role {
				out = append(out, newQuorum(top.Signed.Delegations.Keys, e.KeyIDs, e.Threshold))
			}
		}
	}
	return out
}

func newQuorum(keys map[string]*metadata.Key, ids []string, need int) quorum {
	q := quorum{need: need, keys: map[string]Public{}}
	for _, id := range ids {
		if p, ok := publicOf(keys[id]); ok && p.ID() == id {
			q.keys[id] = p
		}
	}
	return q
}

// Export returns the file of a role that waits, for its signers. The error
// wraps [ErrMissing] when nothing of that role waits.
func (r *Repository) Export(role string) ([]byte, error) {
	d := r.pending[role]
	if d == nil {
		return nil, refuse(clip(role, 80), ErrMissing, "nothing of that role waits to be signed")
	}
	return d.bytes(), nil
}

// Import takes back a file that was signed, and what it needs of targets.
//
// When it is what waits here, its signatures are added, each after it was
// verified and found to be by a key that counts; others are left out. Otherwise it
// may be the whole next version of a body's or the members' file,
// prepared elsewhere, with the bytes of the targets it adds: it then
// waits here, in the place of nothing.
//
// The error is a *[Refusal]: [ErrMix] for another version than the next or
// another content than waits, [ErrSignatures] when no signature on it counts,
// [ErrForeign] for names that are not the role's, [ErrFrozen] for other bytes
// under a version that is published.
func (r *Repository) Import(file []byte, targets ...[]byte) (Waiting, error) {
	d, err := parseDraft(file)
	if err != nil {
		return Waiting{}, refuse("the signed file", ErrFormat, err.Error())
	}
	name := metadataPath(d.role, d.version())
	payload, err := d.payload()
	if err != nil {
		return Waiting{}, refuse(name, ErrFormat, err.Error())
	}
	good := r.countable(d, payload)
	if len(good) == 0 {
		return Waiting{}, refuse(name, ErrSignatures, "no signature on it is by a key that counts")
	}
	if own := r.pending[d.role]; own != nil {
		if ours, err := own.payload(); err != nil || !bytes.Equal(ours, payload) {
			return Waiting{}, refuse(name, ErrMix, "what was signed is not what waits here")
		}
		for _, s := range good {
			own.add(s)
		}
		return r.await(own), nil
	}
	if err := r.adopt(d, good, targets); err != nil {
		return Waiting{}, err
	}
	return r.await(d), nil
}

// countable returns the signatures on d that verify and count.
func (r *Repository) countable(d *draft, payload []byte) (good []metadata.Signature) {
	for _, s := range *d.signatures() {
		for _, q := range r.quorums(d) {
			if p, ok := q.keys[s.KeyID]; ok && ed25519.Verify(p.key[:], payload, s.Signature) {
				good = append(good, metadata.Signature{KeyID: s.KeyID, Signature: s.Signature})
				break
			}
		}
	}
	return good
}

// adopt lets a file that was prepared elsewhere wait here.
func (r *Repository) adopt(d *draft, good []metadata.Signature, targets [][]byte) error {
	name := metadataPath(d.role, d.version())
	if d.targets == nil || d.role == metadata.TARGETS {
		return refuse(name, ErrMix, "nothing of that role waits here")
	}
	next := int64(1)
	was := map[string]*metadata.TargetFiles{}
	if old := r.targets[d.role]; old != nil {
		next, was = old.Signed.Version+1, old.Signed.Targets
	}
	if d.version() != next {
		return refuse(name, ErrMix, fmt.Sprintf("version %d is next", next))
	}
	if err := checkRole(d.targets, d.role); err != nil {
		return err
	}
	bytesOf := map[[32]byte][]byte{}
	for _, b := range targets {
		bytesOf[sha256.Sum256(b)] = b
	}
	for target := range was {
		if _, std := parseStandardTarget(target); std && d.targets.Signed.Targets[target] == nil {
			return refuse(target, ErrFrozen, "what is published stays; it can be retired")
		}
	}
	waiting := map[string][]byte{}
	for target, f := range d.targets.Signed.Targets {
		if err := r.adoptTarget(d.role, target, f, was[target], bytesOf, waiting); err != nil {
			return err
		}
	}
	*d.signatures() = nil
	for _, s := range good {
		d.add(s)
	}
	r.pending[d.role] = d
	maps.Copy(r.waiting, waiting)
	return nil
}

func (r *Repository) adoptTarget(role, target string, f, was *metadata.TargetFiles, bytesOf map[[32]byte][]byte, waiting map[string][]byte) error {
	n, std := parseStandardTarget(target)
	c, member := parseMemberTarget(target)
	if role == RoleMembers && !member || role != RoleMembers && (!std || string(n.Name.Publisher()) != role) {
		return refuse(target, ErrForeign, signedBy(role))
	}
	if len(f.Hashes["sha256"]) != 32 || f.Custom == nil {
		return refuse(target, ErrFormat, "want a SHA-256 and custom fields")
	}
	p := treePath{target: target, sum: [32]byte(f.Hashes["sha256"])}
	same := was != nil && bytes.Equal(was.Hashes["sha256"], p.sum[:])
	if std && was != nil && !same {
		return refuse(target, ErrFrozen, "")
	}
	b, brought := bytesOf[p.sum]
	if !brought {
		var err error
		if b, err = r.bytes(p); err != nil {
			return err
		}
	}
	if int64(len(b)) != f.Length {
		return refuse(target, ErrMismatch, "its length is not what was signed")
	}
	if std {
		if _, err := ParseStandardExtra(*f.Custom); err != nil {
			return refuse(target, ErrFormat, err.Error())
		}
		if brought && !same {
			if _, err := checkArchive(n, b); err != nil {
				return err
			}
		}
	} else if _, err := parseEntry(c, b, *f.Custom); err != nil {
		return refuse(target, ErrFormat, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if brought && !same {
		waiting[p.String()] = b
	}
	return nil
}

// Sign signs with k everything that waits and that k counts for, and returns
// the roles. It is for keys that are at hand: those of a directory of one, the
// registrar's on its own machine.
func (r *Repository) Sign(k *Key) ([]string, error) {
	var done []string
	for _, role := range r.pendingRoles() {
		d := r.pending[role]
		if !slices.ContainsFunc(r.quorums(d), func(q quorum) bool { _, ok := q.keys[k.Public().ID()]; return ok }) {
			continue
		}
		payload, err := d.payload()
		if err != nil {
			return done, fmt.Errorf("sign %s: %w", role, err)
		}
		d.add(k.sign(payload))
		done = append(done, role)
	}
	return done, nil
}

// Discard gives up what waits of a role. Nothing that is published changes.
// What a directory is founded with cannot be given up.
func (r *Repository) Discard(role string) error {
	if r.pending[role] == nil {
		return refuse(clip(role, 80), ErrMissing, "nothing of that role waits")
	}
	if r.root == nil {
		return refuse(clip(role, 80), ErrMix, "the directory has not been published yet")
	}
	delete(r.pending, role)
	return nil
}
