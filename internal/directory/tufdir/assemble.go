package tufdir

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/sync/errgroup"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/node/name"
)

// Holdings are the targets somebody has: a client's cache, a host's folder.
type holdings interface {
	has(p treePath, length int64) bool
	read(p treePath) ([]byte, error)
}

// An assembly makes a View of a walk whose top-level files are verified. The
// members come as a whole or not at all, since a mirror that could leave out
// one would choose who is a member. A standards body that is refused costs nobody
// but itself, and its archives, however large, are waited for by nobody: they
// come after the members are in view.
type assembly struct {
	w      *walk
	have   holdings
	bring  func(ctx context.Context, p treePath, length int64) error // fetches a target into have; nil offline
	older  olderFunc
	frozen map[string][32]byte // by target; added to
	before *View               // for what need not be parsed again; never nil

	view *View
	want []wanted
}

// An olderFunc returns the newest file of a body that was verified before, that
// the body's keys of today still vouch for, and that ok accepts; or nil.
type olderFunc func(role string, ok func(*targetsFile) bool) *targetsFile

type wanted struct {
	path     treePath
	length   int64
	required bool
}

// simultaneous fetches: enough to hide the way to a mirror and back, few
// enough for one that serves hundreds of councils.
const simultaneous = 8

func signedBy(role string) string { return "signed by " + role }

func (a *assembly) refuse(file string, why error, detail string) {
	a.view.refused = append(a.view.refused, refuse(file, why, detail))
}

// assemble makes a View with all members in it, and no archives yet.
func (a *assembly) assemble(ctx context.Context) (*View, error) {
	root := a.w.tm.Root.Signed
	a.view = &View{root: root.Version, stamp: a.w.tm.Timestamp.Signed.Version,
		council: map[name.Council]int{}, node: map[string]int{}, standard: map[name.Standard]int{},
		files: map[string]bool{metadataPath(metadata.TIMESTAMP, 0): true}, parsed: map[string]Entry{}}
	if !root.ConsistentSnapshot {
		return nil, refuse(metadataPath(metadata.ROOT, root.Version), ErrFormat, "want consistent snapshots")
	}
	top := a.w.tm.Targets[metadata.TARGETS]
	bodies, err := a.delegations(top)
	if err != nil {
		return nil, err
	}
	members, err := a.w.targets(ctx, RoleMembers, metadata.TARGETS)
	if err != nil {
		return nil, err
	}
	if err := checkRole(members, RoleMembers); err != nil {
		return nil, err
	}
	if n := len(members.Signed.Targets); n > maxMembers {
		return nil, refuse(metadataPath(RoleMembers, members.Signed.Version), ErrTooLong, fmt.Sprintf("more than %d members", maxMembers))
	}
	a.expires(metadata.ROOT, root.Version, Expiry{At: root.Expires})
	a.expires(metadata.TARGETS, top.Signed.Version, Expiry{At: top.Signed.Expires})
	a.expires(RoleMembers, members.Signed.Version, Expiry{At: members.Signed.Expires})
	a.expires(metadata.SNAPSHOT, a.w.tm.Snapshot.Signed.Version, Expiry{At: a.w.tm.Snapshot.Signed.Expires})
	a.expires(metadata.TIMESTAMP, 0, Expiry{At: a.w.tm.Timestamp.Signed.Expires})
	slices.SortStableFunc(a.view.expiry, func(x, y Expiry) int { return x.At.Compare(y.At) })

	type signed struct {
		council name.Council
		path    treePath
		file    *metadata.TargetFiles
	}
	var list []signed
	for _, target := range slices.Sorted(maps.Keys(members.Signed.Targets)) {
		f := members.Signed.Targets[target]
		c, ok := parseMemberTarget(target)
		if !ok {
			a.refuse(target, ErrForeign, signedBy(RoleMembers))
			continue
		}
		p, ok := a.path(target, f, directory.MaxFile)
		if !ok {
			continue
		}
		list = append(list, signed{c, p, f})
		a.want = append(a.want, wanted{p, f.Length, true})
	}
	for _, body := range bodies {
		a.body(ctx, body)
	}
	if _, err := a.take(ctx, true); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, refuse("the directory", ErrUnreachable, err.Error())
	}
	for _, s := range list {
		if e, ok := a.member(s.council, s.path, s.file); ok {
			a.view.members = append(a.view.members, e)
		}
	}
	a.index()
	return a.view, nil
}

func (a *assembly) expires(role string, version int64, e Expiry) {
	e.Role = role
	a.view.expiry = append(a.view.expiry, e)
	a.view.files[metadataPath(role, version)] = true
}

// delegations reads which bodies there are. What the holders of root delegate
// beside members and bodies is not ours to believe.
func (a *assembly) delegations(top *targetsFile) (bodies []string, err error) {
	file := metadataPath(metadata.TARGETS, top.Signed.Version)
	if err := ownRole(top, metadata.TARGETS); err != nil {
		return nil, err
	}
	d := top.Signed.Delegations
	if d == nil || d.SuccinctRoles != nil {
		return nil, refuse(file, ErrFormat, "want delegations by name")
	}
	for target := range top.Signed.Targets {
		a.refuse(target, ErrForeign, signedBy(metadata.TARGETS))
	}
	seen := map[string]bool{}
	for _, r := range d.Roles {
		_, body := bodyOf(r.Name)
		switch {
		case r.Name != RoleMembers && !body, len(r.Paths) != 1 || r.Paths[0] != rolePath(r.Name), !r.Terminating, seen[r.Name]:
			a.refuse(file, ErrForeign, "it delegates what is neither members nor the standards of one body")
		case body:
			if bodies = append(bodies, r.Name); len(bodies) > maxBodies {
				return nil, refuse(file, ErrTooLong, fmt.Sprintf("more than %d standards bodies", maxBodies))
			}
		}
		seen[r.Name] = true
	}
	slices.Sort(bodies)
	return bodies, nil
}

// ownRole checks that a file was signed as that of role.
func ownRole(md *targetsFile, role string) error {
	m, _ := md.Signed.UnrecognizedFields["stile"].(map[string]any)
	if said, _ := m["role"].(string); said != role {
		return refuse(metadataPath(role, md.Signed.Version), ErrMix, "it was signed as the file of another role")
	}
	return nil
}

// checkRole checks a delegated role's file beyond its signatures.
func checkRole(md *targetsFile, role string) error {
	if md.Signed.Delegations != nil {
		return refuse(metadataPath(role, md.Signed.Version), ErrForeign, "it delegates to others")
	}
	return ownRole(md, role)
}

// path returns where a target's bytes stand.
func (a *assembly) path(target string, f *metadata.TargetFiles, limit int64) (treePath, bool) {
	sum := f.Hashes["sha256"]
	if len(sum) != sha256.Size || f.Length < 1 {
		a.refuse(target, ErrFormat, "want its length and SHA-256")
		return treePath{}, false
	}
	if f.Length > limit {
		a.refuse(target, ErrTooLong, fmt.Sprintf("more than %d bytes", limit))
		return treePath{}, false
	}
	return treePath{target: target, sum: [32]byte(sum)}, true
}

// body adds what one standards body has published.
func (a *assembly) body(ctx context.Context, role string) {
	if a.w.tm.Snapshot.Signed.Meta[role+".json"] == nil {
		return // admitted, and has published nothing yet
	}
	md, err := a.w.targets(ctx, role, metadata.TARGETS)
	if err == nil {
		err = checkRole(md, role)
	}
	if err == nil {
		err = a.sizes(md, role)
	}
	if err != nil {
		// What the body had published before holds on: its file was verified
		// then, and still is by the keys it has now.
		a.fail(metadataPath(role, 0), err)
		md = a.older(role, func(md *targetsFile) bool { return checkRole(md, role) == nil && a.sizes(md, role) == nil })
		if md == nil {
			return
		}
	}
	a.view.bodies = append(a.view.bodies, Expiry{role, md.Signed.Expires})
	a.view.files[metadataPath(role, md.Signed.Version)] = true
	for _, target := range slices.Sorted(maps.Keys(md.Signed.Targets)) {
		f := md.Signed.Targets[target]
		n, ok := parseStandardTarget(target)
		if !ok || string(n.Name.Publisher()) != role {
			a.refuse(target, ErrForeign, signedBy(role))
			continue
		}
		p, ok := a.path(target, f, maxArchive)
		if !ok {
			continue
		}
		length := f.Length
		if was, ok := a.frozen[target]; ok && was != p.sum {
			a.refuse(target, ErrFrozen, signedBy(role))
			// The bytes that were first published go on being served.
			p.sum = was
			b, err := a.have.read(p)
			if err != nil {
				continue
			}
			length = int64(len(b))
		}
		a.frozen[target] = p.sum
		var custom []byte
		if f.Custom != nil {
			custom = *f.Custom
		}
		extra, err := ParseStandardExtra(custom)
		if err != nil {
			a.refuse(target, ErrFormat, err.Error())
			continue
		}
		a.view.standards = append(a.view.standards, Published{Name: n, SHA256: p.sum, Length: length, Extra: extra})
		a.want = append(a.want, wanted{p, length, false})
	}
}

// sizes keeps one body from filling everybody's disk.
func (a *assembly) sizes(md *targetsFile, role string) error {
	total := int64(0)
	for _, f := range md.Signed.Targets {
		total += min(max(f.Length, 0), maxArchive+1)
	}
	if len(md.Signed.Targets) > maxStandards || total > maxBodyTotal {
		return refuse(metadataPath(role, md.Signed.Version), ErrTooLong, "more standards than one body may keep here")
	}
	return nil
}

func (a *assembly) fail(file string, err error) {
	if r, ok := errors.AsType[*Refusal](err); ok {
		a.view.refused = append(a.view.refused, r)
		return
	}
	a.refuse(file, reason(err), err.Error())
}

// fetch brings those targets that are not held, and returns what became of each.
// It ends early when one that is required cannot be had.
func (a *assembly) fetch(ctx context.Context, want []wanted) ([]error, error) {
	failed := make([]error, len(want))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(simultaneous)
	for i, t := range want {
		if a.have.has(t.path, t.length) {
			continue
		}
		if a.bring == nil {
			failed[i] = refuse(t.path.String(), ErrMissing, "")
			continue
		}
		group.Go(func() error {
			failed[i] = a.bring(gctx, t.path, t.length)
			if t.required {
				return failed[i]
			}
			return nil
		})
	}
	return failed, group.Wait()
}

// take brings targets, and notes in the view what is held and what is not.
func (a *assembly) take(ctx context.Context, required bool) (held map[string]bool, err error) {
	var want []wanted
	for _, t := range a.want {
		if t.required == required {
			want = append(want, t)
		}
	}
	failed, err := a.fetch(ctx, want)
	if err != nil {
		return nil, err
	}
	held = map[string]bool{}
	for i, t := range want {
		if failed[i] != nil {
			a.fail(t.path.String(), failed[i])
			continue
		}
		held[t.path.target] = true
		a.view.files[t.path.String()] = true
	}
	return held, nil
}

// archives returns a View like v with the standards' archives in it, as far as
// they can be had.
func (a *assembly) archives(ctx context.Context, v *View) *View {
	more := *v
	more.refused, more.standards, more.files = slices.Clone(v.refused), slices.Clone(v.standards), maps.Clone(v.files)
	a.view = &more
	held, err := a.take(ctx, false)
	if err != nil {
		panic("internal error: an archive was required: " + err.Error())
	}
	for i := range more.standards {
		more.standards[i].Held = held[standardTarget(more.standards[i].Name)]
	}
	return &more
}

// member reads one member's file and custom. What does not hold together is
// refused, and with it this member alone.
func (a *assembly) member(c name.Council, p treePath, f *metadata.TargetFiles) (Entry, bool) {
	var custom []byte
	if f.Custom != nil {
		custom = *f.Custom
	}
	key := string(p.sum[:]) + string(c) + "\x00" + string(custom)
	e, ok := a.before.parsed[key]
	if !ok {
		b, err := a.have.read(p)
		if err != nil {
			if a.view.files[p.String()] { // else it has been said
				delete(a.view.files, p.String())
				a.fail(p.String(), err)
			}
			return Entry{}, false
		}
		if e, err = parseEntry(c, b, custom); err != nil {
			a.refuse(p.target, ErrFormat, strings.ReplaceAll(err.Error(), "\n", "; "))
			return Entry{}, false
		}
	}
	a.view.parsed[key] = e
	return e, true
}

// index sorts the view and leaves out members who share a key: with one node
// id or record key it could not be said who spoke, and with one witness key one
// member would count as two.
func (a *assembly) index() {
	v := a.view
	if bad := clashes(v.members); len(bad) > 0 {
		for _, c := range slices.Sorted(maps.Keys(bad)) {
			a.refuse(memberTarget(c), ErrFormat, bad[c])
		}
		v.members = slices.DeleteFunc(v.members, func(e Entry) bool { return bad[e.Member.Council] != "" })
	}
	slices.SortFunc(v.members, func(x, y Entry) int { return cmp.Compare(x.Member.Council, y.Member.Council) })
	for i, e := range v.members {
		v.council[e.Member.Council] = i
		if e.Member.Node != "" {
			v.node[e.Member.Node] = i
		}
	}
	slices.SortFunc(v.standards, func(x, y Published) int {
		return cmp.Or(cmp.Compare(x.Name.Name, y.Name.Name), x.Name.Version.Compare(y.Name.Version))
	})
	for i, s := range v.standards {
		v.standard[s.Name] = i
	}
}

// verifyTarget checks a target's bytes against its path.
func verifyTarget(p treePath, b []byte) error {
	sum := sha256.Sum256(b)
	if !bytes.Equal(sum[:], p.sum[:]) {
		return refuse(p.String(), ErrMismatch, "")
	}
	return nil
}
