package tufdir

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// refused expects a Refusal for a reason, in words, and that the client's view
// and what its mirror serves are as before.
func refused(t *testing.T, c *Client, from Fetcher, why error, words string) {
	t.Helper()
	before, stamp := c.View(), mirrored(t, c)
	_, err := c.Refresh(context.Background(), from)
	r, ok := errors.AsType[*Refusal](err)
	if !ok || r.Why != why || !strings.Contains(err.Error(), words) {
		t.Errorf("got %v, want a refusal that it %v, with %q", err, why, words)
	}
	if c.View() != before || !bytes.Equal(mirrored(t, c), stamp) {
		t.Error("the view or the mirror changed")
	}
}

func mirrored(t *testing.T, c *Client) []byte {
	t.Helper()
	b, err := c.Mirror().Lookup("metadata/timestamp.json")
	if err != nil && !errors.Is(err, ErrMissing) {
		t.Fatal(err)
	}
	return b
}

// A hostile mirror has what was signed once, and what was never signed.
func TestHostileMirror(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk")
	w.publish()
	old := w.tree()
	w.admit("saltby.gov.uk")
	w.publish()
	now := w.tree()
	saltby := ""
	for p := range now {
		if strings.Contains(p, "saltby") {
			saltby = p
		}
	}
	const (
		stamp    = "metadata/timestamp.json"
		snapshot = "metadata/3.snapshot.json"
		members  = "metadata/3.members.json"
		root2    = "metadata/2.root.json"
	)
	set := func(p string, b []byte) func(fstest.MapFS) {
		return func(m fstest.MapFS) { m[p] = &fstest.MapFile{Data: b} }
	}
	drop := func(p string) func(fstest.MapFS) { return func(m fstest.MapFS) { delete(m, p) } }
	altered := func(p, from, to string) func(fstest.MapFS) {
		b := now[p].Data
		if !bytes.Contains(b, []byte(from)) {
			t.Fatalf("%s does not hold %q", p, from)
		}
		return set(p, bytes.Replace(b, []byte(from), []byte(to), 1))
	}
	long := bytes.Repeat([]byte(" "), 9<<20)
	for _, c := range []struct {
		what  string
		edit  func(fstest.MapFS)
		why   error
		words string
	}{
		{"timestamp gone", drop(stamp), ErrMissing, "timestamp.json"},
		{"timestamp is a page", set(stamp, []byte("<html>")), ErrFormat, "timestamp.json"},
		{"timestamp is a snapshot", set(stamp, now[snapshot].Data), ErrFormat, "timestamp.json"},
		{"timestamp endless", set(stamp, long), ErrTooLong, "timestamp.json"},
		{"timestamp altered", altered(stamp, `"version":3`, `"version":9`), ErrSignatures, "timestamp.json"},
		{"timestamp with two versions", altered(stamp, `"version":3`, `"version":3,"version":9`), ErrFormat, "timestamp.json"},
		{"timestamp with a null", altered(stamp, `"signatures":[`, `"x":null,"signatures":[`), ErrFormat, "timestamp.json"},
		{"timestamp nested deep", set(stamp, []byte(strings.Repeat("[", 9000))), ErrFormat, "timestamp.json"},
		{"snapshot of before", set(snapshot, old["metadata/2.snapshot.json"].Data), ErrMismatch, "3.snapshot.json"},
		{"snapshot gone", drop(snapshot), ErrMissing, "3.snapshot.json"},
		{"snapshot endless", set(snapshot, long), ErrTooLong, "3.snapshot.json"},
		{"members of before", set(members, old["metadata/2.members.json"].Data), ErrMismatch, "3.members.json"},
		{"members gone", drop(members), ErrMissing, "3.members.json"},
		{"members endless", set(members, long), ErrTooLong, "3.members.json"},
		{"members altered", altered(members, "E07000998", "E07000999"), ErrMismatch, "3.members.json"},
		{"a member withheld", drop(saltby), ErrMissing, "saltby"},
		{"a member altered", altered(saltby, "7400", "7401"), ErrMismatch, "saltby"},
		{"a member endless", set(saltby, long), ErrTooLong, "saltby"},
		{"a member cut short", set(saltby, now[saltby].Data[:20]), ErrMismatch, "saltby"},
		{"root 2 is empty", set(root2, []byte("{}")), ErrFormat, "2.root.json"},
		{"root 2 endless", set(root2, long), ErrTooLong, "2.root.json"},
		{"root 2 is root 1", set(root2, now["metadata/1.root.json"].Data), ErrMix, "calls itself version 1"},
		{"root 2 is the members'", set(root2, now[members].Data), ErrFormat, "2.root.json"},
	} {
		t.Run(c.what, func(t *testing.T) {
			w.t = t
			client, _ := w.client()
			if _, err := client.Refresh(context.Background(), FromFS(old)); err != nil {
				t.Fatal(err)
			}
			bad := w.tree()
			c.edit(bad)
			refused(t, client, FromFS(bad), c.why, c.words)
			same(t, "members meanwhile", councils(client.View()), "[northmoor.gov.uk]")
			// Whatever it did, an honest mirror mends it.
			if _, err := client.Refresh(context.Background(), FromFS(now)); err != nil {
				t.Error(err)
			}
			same(t, "members after", councils(client.View()), "[northmoor.gov.uk saltby.gov.uk]")
		})
	}
}

func TestRollback(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk")
	w.publish()
	old := w.tree()
	w.admit("saltby.gov.uk")
	w.publish()
	c, dir := w.client()
	w.refresh(c)
	refused(t, c, FromFS(old), ErrRollback, "version 2, and 3 was seen before")

	// The protection outlives the process.
	w.must(c.Close())
	c, err := Open(dir, Options{Now: func() time.Time { return w.now }})
	w.must(err)
	defer c.Close()
	refused(t, c, FromFS(old), ErrRollback, "timestamp.json")

	// Whoever has the online key can sign a timestamp, and a snapshot, but cannot
	// make either lead back.
	thief := *w.repo
	thief.snapshot, thief.fresh = nil, map[string][]byte{}
	for p, f := range w.tree() {
		thief.fresh[p] = f.Data
	}
	members := thief.targets[RoleMembers]
	back := cloneTargets(members)
	back.Signed.Version = 2
	thief.targets = map[string]*targetsFile{"targets": w.repo.targets["targets"], RoleMembers: back}
	w.must(thief.signSnapshot(w.online, w.now))
	w.must(thief.signTimestamp(w.online, w.now))
	refused(t, c, thief.Fetch, ErrRollback, "older than version 3")
	thief.snapshot.Signed.Version = 9
	reSign(t, &thief, w)
	refused(t, c, thief.Fetch, ErrRollback, "names a role's file older")
	delete(thief.snapshot.Signed.Meta, "members.json")
	thief.snapshot.Signed.Version = 10
	reSign(t, &thief, w)
	refused(t, c, thief.Fetch, ErrRollback, "leaves out a role")
}

// reSign signs a thief's snapshot as it stands, and a timestamp to it.
func reSign(t *testing.T, thief *Repository, w *town) {
	t.Helper()
	d := thief.snapshot
	d.Signatures = nil
	payload := canonical(t, d.Signed)
	d.Signatures = []metadata.Signature{w.online.sign(payload)}
	b, err := d.ToBytes(false)
	w.must(err)
	thief.fresh[metadataPath(metadata.SNAPSHOT, d.Signed.Version)] = b
	w.must(thief.signTimestamp(w.online, w.now))
}

// A mirror that shows the same edition for ever is believed until its
// timestamp expires, and not a second longer.
func TestFreeze(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk")
	w.publish()
	c, dir := w.client()
	w.refresh(c)
	frozen := w.tree()
	for _, at := range []struct {
		after time.Duration
		state State
		days  int
		words string
	}{
		{0, Fresh, 30, "good for 30 days"},
		{16 * 24 * time.Hour, Fresh, 14, "good for 14 days"},
		{16*24*time.Hour + time.Second, Expiring, 13, "expires in 13 days, on 2026-12-02 (snapshot); ask its host"},
		{30 * 24 * time.Hour, Expiring, 0, "0 days"},
		{30*24*time.Hour + time.Second, Expired, 0, "expired on 2026-12-02"},
	} {
		w.now = start.Add(at.after)
		h := c.Health()
		if h.State != at.state || h.DaysLeft != at.days || !strings.Contains(h.String(), at.words) {
			t.Errorf("after %v: got %+v, %q", at.after, h, h)
		}
		if err := c.View().Exchange(w.now); (err != nil) != (at.state == Expired) || err != nil && !errors.Is(err, ErrExpired) {
			t.Errorf("after %v: exchange: %v", at.after, err)
		}
		_, err := c.Refresh(context.Background(), FromFS(frozen))
		if (err != nil) != (at.state == Expired) {
			t.Errorf("after %v: refresh: %v", at.after, err)
		}
	}
	refused(t, c, FromFS(frozen), ErrExpired, "timestamp.json")

	// Local work goes on: all that was known is still there, after a restart too.
	w.must(c.Close())
	c, err := Open(dir, Options{Now: func() time.Time { return w.now.AddDate(5, 0, 0) }})
	w.must(err)
	defer c.Close()
	same(t, "members", councils(c.View()), "[northmoor.gov.uk]")
	if c.Health().State != Expired {
		t.Error("five years later it is not expired")
	}
	fresh, _ := w.client()
	if _, err := fresh.Refresh(context.Background(), FromFS(frozen)); !errors.Is(err, ErrExpired) {
		t.Errorf("a newcomer took an expired directory: %v", err)
	}
	if fresh.Health().State != Empty || fresh.View().Exchange(w.now) == nil {
		t.Error("a newcomer with nothing exchanges")
	}
}

func TestRootsFollowOneAnother(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk")
	w.publish()
	c := w.follower()
	slow := w.follower()
	newcomer, _ := w.client()

	// Three rotations: a holder, the online key, all holders but one.
	oldOnline := w.online
	for i := range 3 {
		outgoing := w.holders
		if i == 1 {
			w.online = key(t)
		} else {
			w.holders = []*Key{w.holders[1], w.holders[2], key(t)}
		}
		w.must(w.repo.Rekey(publics(w.holders...), 2, w.online.Public(), w.now))
		for _, h := range outgoing {
			_, err := w.repo.Sign(h)
			w.must(err)
		}
		w.publish()
		w.refresh(c)
	}
	w.refresh(slow)
	w.refresh(newcomer)
	for what, c := range map[string]*Client{"every step": c, "all at once": slow, "from nothing": newcomer} {
		same(t, what, fmt.Sprint(councils(c.View()), c.View().RootVersion()), "[northmoor.gov.uk] 4")
	}

	// The old online key is worth nothing now.
	thief := *w.repo
	thief.fresh = map[string][]byte{}
	for p, f := range w.tree() {
		thief.fresh[p] = f.Data
	}
	w.must(thief.signTimestamp(oldOnline, w.now))
	refused(t, c, thief.Fetch, ErrSignatures, "timestamp.json")
}

func TestRootUnderThreshold(t *testing.T) {
	w := newTown(t)
	c := w.follower()
	strangers := []*Key{key(t), key(t), key(t)}
	for what, signers := range map[string][]*Key{
		"one of three":                   {w.holders[0]},
		"one of three and strangers":     {w.holders[0], strangers[0], strangers[1]},
		"strangers whom it names itself": strangers,
		"two of three, none of its own":  {w.holders[0], w.holders[1]},
		"nobody":                         nil,
	} {
		r := *w.repo
		r.pending, r.waiting = map[string]*draft{}, map[string][]byte{}
		w.must(r.Rekey(publics(strangers...), 2, w.online.Public(), w.now))
		d := r.pending["root"]
		payload, err := d.payload()
		w.must(err)
		for _, k := range signers {
			d.add(k.sign(payload))
		}
		tree := w.tree()
		tree["metadata/2.root.json"] = &fstest.MapFile{Data: d.bytes()}
		t.Run(what, func(t *testing.T) { refused(t, c, FromFS(tree), ErrSignatures, "2.root.json") })
	}
}

// What one standards body does wrong costs that body, and nobody else.
func TestMaliciousBody(t *testing.T) {
	good := newStandard(t, "standards.example/housing@1.0.0", "Housing")
	extra := string(StandardExtra{Integrity: good.Integrity(), History: []Step{{standard.Live, day}}}.JSON())
	archive := []byte("bytes of something")
	add := func(target string) func(*targetsFile) {
		return func(md *targetsFile) { md.Signed.Targets[target] = targetOf(archive, extra) }
	}
	shortKey := &metadata.Key{Type: "ed25519", Scheme: "ed25519", Value: metadata.KeyVal{PublicKey: "00ff"}}
	for _, c := range []struct {
		what string
		edit func(*targetsFile)
		why  error
		file string
	}{
		{"another body's name", add("standards/quiet.example/plan/1.0.0.zip"), ErrForeign, "standards/quiet.example/"},
		{"a member", add("members/northmoor.gov.uk.yaml"), ErrForeign, "members/"},
		{"a path trick", add("standards/loud.example/../../trust/root.json"), ErrForeign, "standards/loud.example/.."},
		{"an absolute path", add("/etc/passwd"), ErrForeign, "/etc"},
		{"control characters", add("standards/loud.example/\x1b[2J/1.0.0.zip"), ErrForeign, "standards/loud.example/·"},
		{"no custom", func(md *targetsFile) { md.Signed.Targets["standards/loud.example/x/1.0.0.zip"] = targetOf(archive, "") }, ErrFormat, "standards/loud.example/x"},
		{"a custom nobody knows", func(md *targetsFile) {
			md.Signed.Targets["standards/loud.example/x/1.0.0.zip"] = targetOf(archive, `{"a":1}`)
		}, ErrFormat, "standards/loud.example/x"},
		{"no digest of a known kind", func(md *targetsFile) {
			f := targetOf(archive, extra)
			f.Hashes = metadata.Hashes{"md5": []byte("x")}
			md.Signed.Targets["standards/loud.example/x/1.0.0.zip"] = f
		}, ErrFormat, "standards/loud.example/x"},
		{"larger than a standard", func(md *targetsFile) {
			f := targetOf(archive, extra)
			f.Length = 1 << 40
			md.Signed.Targets["standards/loud.example/x/1.0.0.zip"] = f
		}, ErrTooLong, "standards/loud.example/x"},
		{"more than a body may keep", func(md *targetsFile) {
			for i := range 9 {
				f := targetOf(archive, extra)
				f.Length = maxArchive
				md.Signed.Targets[fmt.Sprintf("standards/loud.example/x/%d.0.0.zip", i)] = f
			}
		}, ErrTooLong, "metadata/2.loud.example.json"},
		{"delegates on, with a key that is none", func(md *targetsFile) {
			md.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{"k": shortKey},
				Roles: []metadata.DelegatedRole{{Name: "x", KeyIDs: []string{"k"}, Threshold: 1, Paths: []string{"*"}}}}
		}, ErrForeign, "metadata/2.loud.example.json"},
		{"bytes nobody has", func(md *targetsFile) {
			md.Signed.Targets["standards/loud.example/x/1.0.0.zip"] = targetOf(archive, extra)
		}, ErrMissing, "targets/standards/loud.example/x"},
		{"other bytes under an old version", func(md *targetsFile) {
			f := targetOf(archive, extra)
			md.Signed.Targets["standards/loud.example/housing/1.0.0.zip"] = f
		}, ErrFrozen, "standards/loud.example/housing/1.0.0.zip"},
		{"its standard taken back", func(md *targetsFile) { delete(md.Signed.Targets, "standards/loud.example/housing/1.0.0.zip") }, nil, ""},
		{"expired", func(md *targetsFile) { md.Signed.Expires = start.Add(-time.Hour) }, ErrExpired, "2.loud.example.json"},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newTown(t)
			loud := w.body("loud.example")
			w.body("quiet.example")
			first := newStandard(t, "loud.example/housing@1.0.0", "Housing")
			w.must(w.repo.PublishStandard(first, w.now))
			w.must(w.repo.PublishStandard(newStandard(t, "quiet.example/plan@1.0.0", "Plan"), w.now))
			w.admit("northmoor.gov.uk")
			w.publish()
			client, dir := w.client()
			w.refresh(client)

			w.forge("loud.example", loud, c.edit)
			w.admit("saltby.gov.uk")
			w.must(w.repo.PublishStandard(newStandard(t, "quiet.example/plan@1.1.0", "Plan"), w.now))
			w.publish()
			check := func(client *Client) {
				t.Helper()
				v := client.View()
				same(t, "members", councils(v), "[northmoor.gov.uk saltby.gov.uk]")
				want := "loud.example/housing@1.0.0 "
				if c.why == nil {
					want = ""
				}
				got := fmt.Sprint(standards(v))
				got = strings.Replace(got, "loud.example/x@1.0.0 ", "", 1) // listed, and not held
				same(t, "standards", got, "["+want+"quiet.example/plan@1.0.0 quiet.example/plan@1.1.0]")
				if c.why == nil {
					return
				}
				if b, err := client.Archive(first.Name()); err != nil || !bytes.Equal(b, first.Archive()) {
					t.Errorf("what it had published before: %v", err)
				}
			}
			rep := w.refresh(client)
			check(client)
			if c.why != nil && !hasPrefix(refusedFor(client.View(), c.why), c.file) {
				t.Errorf("got %v, want %q: %v", rep.Refused, c.file, c.why)
			}
			for _, r := range rep.Refused {
				if strings.ContainsAny(r.Error(), "\x1b\n") {
					t.Errorf("a refusal that is not fit to print: %q", r.Error())
				}
			}
			// It is the same after a restart and another refresh.
			w.must(client.Close())
			client, err := Open(dir, Options{Now: func() time.Time { return w.now }})
			w.must(err)
			defer client.Close()
			check(client)
			w.refresh(client)
			check(client)
		})
	}
}

// A body cannot take a version back and publish other bytes under it later.
func TestFrozenIsRemembered(t *testing.T) {
	w := newTown(t)
	k := w.body("loud.example")
	first := newStandard(t, "loud.example/housing@1.0.0", "Housing")
	w.must(w.repo.PublishStandard(first, w.now))
	w.publish()
	c := w.follower()
	const target = "standards/loud.example/housing/1.0.0.zip"
	w.forge("loud.example", k, func(md *targetsFile) { delete(md.Signed.Targets, target) })
	w.publish()
	w.refresh(c)
	same(t, "standards", standards(c.View()), "[]")
	w.must(w.repo.PublishStandard(newStandard(t, "loud.example/housing@1.0.0", "Other words"), w.now))
	w.publish()
	w.refresh(c)
	same(t, "refused", refusedFor(c.View(), ErrFrozen), "["+target+"]")
	if s, err := c.Standard(first.Name()); err == nil && s.Manifest().Title != "Housing" {
		t.Error("the new bytes are served under the old version")
	}
}

// Replacing a body's keys makes what the old keys sign afterwards worthless.
func TestStolenBodyKey(t *testing.T) {
	w := newTown(t)
	stolen := w.body("loud.example")
	w.must(w.repo.PublishStandard(newStandard(t, "loud.example/housing@1.0.0", "Housing"), w.now))
	w.publish()
	c := w.follower()

	own := w.body("loud.example") // new keys
	dir := filepath.Join(t.TempDir(), "repo")
	w.must(w.repo.Save(dir))
	var err error
	w.repo, err = Load(dir)
	w.must(err)
	w.publish()
	w.refresh(c)
	same(t, "standards", standards(c.View()), "[loud.example/housing@1.0.0]")
	same(t, "refused", c.View().Refused(), "[]")

	w.repo.edit("loud.example", w.now)
	request, err := w.repo.Export("loud.example")
	w.must(err)
	signed, err := Sign(request, stolen)
	w.must(err)
	if _, err := w.repo.Import(signed); !errors.Is(err, ErrSignatures) {
		t.Errorf("the old key counts: %v", err)
	}
	signed, err = Sign(request, own)
	w.must(err)
	if got, err := w.repo.Import(signed); err != nil || !got.Ready {
		t.Errorf("the new key: %+v, %v", got, err)
	}
}

// The registrar's mistakes cost the member in question.
func TestMemberThatDoesNotHoldTogether(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk", "saltby.gov.uk")
	w.publish()
	c := w.follower()
	salt, _ := c.View().Member("saltby.gov.uk")
	yaml, extra := salt.Member.YAML(), string(salt.Extra.JSON())
	const target = "members/saltby.gov.uk.yaml"
	twin := salt.Member
	twin.Council, twin.LogKey, twin.WitnessKey = "twin.example", "", ""
	twin.Role = "auditor"
	for what, edit := range map[string]func(*targetsFile){
		"of another council": func(md *targetsFile) { md.Signed.Targets["members/brook.example.yaml"] = targetOf(yaml, extra) },
		"no member at all":   func(md *targetsFile) { md.Signed.Targets["members/brook.example.yaml"] = targetOf([]byte("x"), extra) },
		"a field nobody knows": func(md *targetsFile) {
			md.Signed.Targets[target] = targetOf(yaml, extra[:len(extra)-1]+`,"suspended":true}`)
		},
		"another GSS": func(md *targetsFile) {
			md.Signed.Targets[target] = targetOf(yaml, strings.Replace(extra, "998", "997", 1))
		},
		"an unknown key revoked": func(md *targetsFile) {
			md.Signed.Targets[target] = targetOf(yaml, extra[:len(extra)-1]+`,"revocations":[{"kid":"`+strings.Repeat("A", 43)+`","from_index":1}]}`)
		},
		"a name that is no council": func(md *targetsFile) { md.Signed.Targets["members/../x.yaml"] = targetOf(yaml, extra) },
		"another's key": func(md *targetsFile) {
			md.Signed.Targets["members/twin.example.yaml"] = targetOf(twin.YAML(), strings.Replace(extra, "council", "auditor", 1))
		},
	} {
		t.Run(what, func(t *testing.T) {
			r := *w
			r.t = t
			repo := *w.repo
			repo.pending, repo.targets = map[string]*draft{}, map[string]*targetsFile{}
			repo.fresh, repo.parsed = map[string][]byte{}, map[string]Entry{}
			for p, f := range w.tree() {
				repo.fresh[p] = f.Data
			}
			for role, md := range w.repo.targets {
				repo.targets[role] = md
			}
			r.repo = &repo
			r.forge(RoleMembers, w.registrar, edit)
			// The repository refuses to put it out; a registrar with other programs
			// would not.
			if _, err := r.repo.Publish(w.online, w.now); err == nil {
				t.Error("published")
			}
			d := repo.pending[RoleMembers]
			for _, f := range d.targets.Signed.Targets {
				for _, b := range [][]byte{yaml, []byte("x"), twin.YAML()} {
					if sum := sha256.Sum256(b); bytes.Equal(sum[:], f.Hashes["sha256"]) {
						f := *f
						for path, g := range d.targets.Signed.Targets {
							if bytes.Equal(g.Hashes["sha256"], f.Hashes["sha256"]) {
								repo.fresh[treePath{target: path, sum: sum}.String()] = b
							}
						}
					}
				}
			}
			repo.targets[RoleMembers] = d.targets
			repo.fresh[metadataPath(RoleMembers, d.version())] = d.bytes()
			w.must(repo.signSnapshot(w.online, w.now))
			w.must(repo.signTimestamp(w.online, w.now))
			client, _ := r.client()
			if _, err := client.Refresh(context.Background(), repo.Fetch); err != nil {
				t.Fatal(err)
			}
			if _, ok := client.View().Member("northmoor.gov.uk"); !ok {
				t.Error("northmoor is not a member")
			}
			if len(client.View().Refused()) == 0 {
				t.Error("nothing was refused")
			}
			for _, c := range []name.Council{"brook.example", "twin.example"} {
				if _, ok := client.View().Member(c); ok {
					t.Errorf("%s is a member", c)
				}
			}
		})
	}
}

// A key of the wrong length, rightly signed for, makes go-tuf v2.4.2 panic.
func TestHoldersDelegateToAKeyThatIsNone(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk")
	w.body("loud.example")
	w.body("quiet.example")
	w.must(w.repo.PublishStandard(newStandard(t, "loud.example/housing@1.0.0", "Housing"), w.now))
	w.must(w.repo.PublishStandard(newStandard(t, "quiet.example/plan@1.0.0", "Plan"), w.now))
	w.publish()
	c := w.follower()
	md := w.repo.edit(metadata.TARGETS, w.now)
	for i, r := range md.Signed.Delegations.Roles {
		if r.Name == "loud.example" {
			md.Signed.Delegations.Roles[i].KeyIDs = []string{"k"}
			md.Signed.Delegations.Keys["k"] = &metadata.Key{Type: "ed25519", Scheme: "ed25519", Value: metadata.KeyVal{PublicKey: "00ff"}}
		}
	}
	// And what no directory should hold: a role without a namespace of its own.
	md.Signed.Delegations.Roles = append(md.Signed.Delegations.Roles,
		metadata.DelegatedRole{Name: "all.example", KeyIDs: []string{"k"}, Threshold: 1, Terminating: true, Paths: []string{"standards/*/*/*"}})
	w.publish()
	w.refresh(c)
	same(t, "members", councils(c.View()), "[northmoor.gov.uk]")
	same(t, "standards", standards(c.View()), "[quiet.example/plan@1.0.0]")
	if got := refusedFor(c.View(), ErrFormat); len(got) != 1 || !strings.Contains(got[0], "loud.example") {
		t.Errorf("refused: %v", c.View().Refused())
	}
	same(t, "foreign", refusedFor(c.View(), ErrForeign), "[metadata/3.targets.json]")
}

// A mirror that dribbles or hangs is given up; one that lies about how much it
// read is not believed.
func TestSlowAndEndless(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk")
	w.publish()
	tree := FromFS(w.tree())
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		root, err := tree(context.Background(), "metadata/1.root.json", maxRoot)
		w.must(err)
		c, err := Create(t.TempDir(), root, Options{Now: func() time.Time { return start }, FileTimeout: time.Minute})
		w.must(err)
		defer c.Close()
		began := time.Now()
		_, err = c.Refresh(context.Background(), func(ctx context.Context, path string, max int64) ([]byte, error) {
			if strings.HasSuffix(path, "snapshot.json") {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return tree(ctx, path, max)
		})
		if !errors.Is(err, ErrUnreachable) || time.Since(began) != time.Minute {
			t.Errorf("a mirror that hangs: %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := c.Refresh(ctx, tree); !errors.Is(err, ErrUnreachable) {
			t.Errorf("cancelled: %v", err)
		}
		if _, err := c.Refresh(context.Background(), func(ctx context.Context, path string, max int64) ([]byte, error) {
			return bytes.Repeat([]byte("{"), int(max)+1), nil
		}); !errors.Is(err, ErrTooLong) {
			t.Errorf("a fetcher without bounds: %v", err)
		}
		w.must(errOnly(c.Refresh(context.Background(), tree)))
	})
}

// Members are in view before a body's archives, however slow those are.
func TestMembersDoNotWaitForArchives(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk")
	w.body("loud.example")
	w.must(w.repo.PublishStandard(newStandard(t, "loud.example/housing@1.0.0", "Housing"), w.now))
	w.publish()
	c, _ := w.client()
	seen := ""
	rep, err := c.Refresh(context.Background(), func(ctx context.Context, path string, max int64) ([]byte, error) {
		if strings.HasSuffix(path, ".zip") {
			seen = fmt.Sprint(councils(c.View()), standards(c.View()))
			return nil, errors.New("connection reset")
		}
		return w.repo.Fetch(ctx, path, max)
	})
	w.must(err)
	same(t, "in view while an archive is fetched", seen, "[northmoor.gov.uk] [loud.example/housing@1.0.0]")
	if p, _ := c.View().Standard(standardName(t, "loud.example/housing@1.0.0")); p.Held || len(rep.Refused) != 1 || rep.Refused[0].Why != ErrUnreachable {
		t.Errorf("got %+v, %v", p, rep.Refused)
	}
	w.refresh(c)
	if p, _ := c.View().Standard(standardName(t, "loud.example/housing@1.0.0")); !p.Held {
		t.Error("the next refresh did not bring it")
	}
}

func errOnly[T any](_ T, err error) error { return err }
