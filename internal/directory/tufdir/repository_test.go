package tufdir

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/standard"
)

func rawJSON(s string) *json.RawMessage { r := json.RawMessage(s); return &r }

// Each holder signs on a machine of their own, and what two of three have signed
// is published; what one has is not.
func TestRootIsSignedByHoldersApart(t *testing.T) {
	holders, online, registrar := []*Key{key(t), key(t), key(t)}, key(t), key(t)
	r, err := Found(Founding{Holders: publics(holders...), Online: online.Public(), Members: publics(registrar)}, start)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "repo")
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	export := func(role string) []byte {
		b, err := r.Export(role)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sign := func(role string, k *Key) {
		t.Helper()
		signed, err := Sign(export(role), k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Import(signed); err != nil {
			t.Fatal(err)
		}
	}
	sign("root", holders[0])
	sign("targets", holders[0])
	sign("members", registrar)
	if _, err := r.Publish(online, start); !errors.Is(err, ErrSignatures) {
		t.Fatalf("published with one signature of two: %v", err)
	}
	if w := r.Waiting(); len(w) != 3 || w[0].Role != "root" || w[0].Ready || len(w[0].Quorums[0].Signed) != 1 || !w[2].Ready {
		t.Errorf("waiting: %+v", w)
	}

	// The same holder twice is one, and a stranger is none.
	sign("root", holders[0])
	stranger, err := Sign(export("root"), key(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Import(stranger); err != nil {
		t.Fatal(err) // it carries the first holder's too
	}
	if w := r.Waiting()[0]; w.Ready || len(w.Quorums[0].Signed) != 1 {
		t.Errorf("a stranger or a second signature by the same key counted: %+v", w)
	}
	if _, err := r.Publish(key(t), start); err == nil {
		t.Error("published with a key that root does not name")
	}

	// What waits survives the programs in between.
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	if r, err = Load(dir); err != nil {
		t.Fatal(err)
	}
	sign("root", holders[2])
	sign("targets", holders[1])
	done, err := r.Publish(online, start)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "published", done, "[root targets members]")
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	same(t, "the tree", files(t, dir),
		"[metadata/1.members.json metadata/1.root.json metadata/1.snapshot.json metadata/1.targets.json metadata/timestamp.json]")
	if _, err := Load(dir); err != nil {
		t.Error(err)
	}
}

func TestImportTakesOnlyWhatWaits(t *testing.T) {
	w := newTown(t)
	if _, err := w.repo.Export("root"); !errors.Is(err, ErrMissing) {
		t.Errorf("exported what does not wait: %v", err)
	}
	w.must(w.repo.Rekey(publics(key(t), key(t), key(t)), 2, w.online.Public(), w.now))
	request, err := w.repo.Export("root")
	w.must(err)
	signed, err := Sign(request, w.holders[0])
	w.must(err)

	for what, b := range map[string][]byte{
		"another threshold": bytes.Replace(signed, []byte(`"threshold":2`), []byte(`"threshold":1`), 1),
		"no signature":      request,
		"not JSON":          []byte("hello"),
		"a timestamp":       w.repo.fresh["metadata/timestamp.json"],
		"a null":            bytes.Replace(signed, []byte(`"consistent_snapshot":true`), []byte(`"consistent_snapshot":null`), 1),
	} {
		if got, err := w.repo.Import(b); err == nil {
			t.Errorf("%s: imported as %+v", what, got)
		}
	}
	// Signed in full, but not what waits here.
	other, err := Sign(bytes.Replace(request, []byte("2027-"), []byte("2037-"), 1), w.holders[0])
	w.must(err)
	if _, err := w.repo.Import(other); !errors.Is(err, ErrMix) {
		t.Errorf("another root than waits: %v", err)
	}
	if got, err := w.repo.Import(signed); err != nil || got.Ready || len(got.Quorums) != 2 {
		t.Errorf("got %+v, %v; want the quorums of the old and of the new root", got, err)
	}
}

func TestFoundingAsksForEnoughHolders(t *testing.T) {
	a, b, c := key(t).Public(), key(t).Public(), key(t).Public()
	for what, f := range map[string]Founding{
		"two, threshold not said": {Holders: []Public{a, b}, Online: c},
		"none":                    {Threshold: 1, Online: c},
		"one twice":               {Holders: []Public{a, a, b}, Online: c},
		"threshold too high":      {Holders: []Public{a, b}, Threshold: 3, Online: c},
		"online among three":      {Holders: []Public{a, b, c}, Online: c},
	} {
		f.Members = []Public{c}
		if _, err := Found(f, start); err == nil {
			t.Errorf("%s: founded", what)
		}
	}
	if _, err := Found(Founding{Holders: []Public{a, b, c}, Online: key(t).Public()}, start); err == nil {
		t.Error("founded without a registrar")
	}
	if _, err := Found(Founding{Holders: []Public{a, b, c}, Online: key(t).Public(), Members: []Public{a}, Policy: Policy{Root: 1}}, start); err == nil {
		t.Error("founded with a policy that lets files expire at once")
	}
}

// A directory of one: one key in every role, as init founds it.
func TestDirectoryOfOne(t *testing.T) {
	k := key(t)
	r, err := Found(Founding{Holders: publics(k), Threshold: 1, Online: k.Public(), Members: publics(k)}, start)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Admit(newMember(t, "northmoor.gov.uk"), start); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Sign(k); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Publish(k, start); err != nil {
		t.Fatal(err)
	}
	root := r.fresh["metadata/1.root.json"]
	c, err := Create(t.TempDir(), root, Options{Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Refresh(context.Background(), r.Fetch); err != nil {
		t.Fatal(err)
	}
	same(t, "members", councils(c.View()), "[northmoor.gov.uk]")

	// One key may sign for several roles; the file of one is still not that of
	// another.
	w := newTown(t)
	w.must(w.repo.SetBody("standards.example", publics(w.registrar), 1, w.now))
	w.forge("standards.example", w.registrar, func(md *targetsFile) {
		md.Signed.UnrecognizedFields["stile"] = map[string]any{"role": RoleMembers}
	})
	w.publish()
	got := w.follower()
	same(t, "refused", refusedFor(got.View(), ErrMix), "[metadata/1.standards.example.json]")
}

func TestMembersComeChangeAndGo(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk", "saltby.gov.uk", "newmoor.gov.uk", "oldham.example")
	w.publish()
	c := w.follower()
	same(t, "members", councils(c.View()), "[newmoor.gov.uk northmoor.gov.uk oldham.example saltby.gov.uk]")

	north, _ := c.View().Member("northmoor.gov.uk")
	if err := w.repo.Admit(north.Member, w.now); !errors.Is(err, ErrMember) {
		t.Errorf("admitted twice: %v", err)
	}
	thief := newMember(t, "thief.example")
	thief.Node = north.Member.Node
	if err := w.repo.Admit(thief, w.now); err == nil || !strings.Contains(err.Error(), "northmoor") {
		t.Errorf("admitted with another's node key: %v", err)
	}

	// Keys: a record key is added beside the old ones, and revoked from an index.
	ring, err := keys.Generate("northmoor.gov.uk")
	w.must(err)
	w.must(w.repo.RotateKey("northmoor.gov.uk", Rotation{Record: ring.Record.Public(), Log: ring.Log.Verifier()}, w.now))
	old := north.Member.RecordKeys[0].ID()
	w.must(w.repo.RevokeKey("northmoor.gov.uk", old, 1200, w.now))
	w.must(w.repo.RevokeKey("northmoor.gov.uk", old, 1000, w.now))
	if err := w.repo.RevokeKey("northmoor.gov.uk", old, 1001, w.now); !errors.Is(err, ErrKept) {
		t.Errorf("a revocation was moved to a later entry: %v", err)
	}
	if err := w.repo.RevokeKey("northmoor.gov.uk", "nokey", 5, w.now); !errors.Is(err, directory.ErrNoKey) {
		t.Errorf("revoked a key that is not there: %v", err)
	}
	amended := north.Member
	amended.Title = "Northmoor Borough Council"
	if err := w.repo.Amend(amended, w.now); !errors.Is(err, ErrKept) {
		t.Errorf("amended keys: %v", err)
	}
	now, err := w.repo.member("northmoor.gov.uk")
	w.must(err)
	now.Member.Title = "Northmoor Borough Council"
	w.must(w.repo.Amend(now.Member, w.now))

	// Merger: two into one.
	merge := day.AddDate(0, 6, 0)
	w.must(w.repo.Succeed("saltby.gov.uk", "newmoor.gov.uk", merge, w.now))
	w.must(w.repo.Succeed("northmoor.gov.uk", "newmoor.gov.uk", merge, w.now))
	if err := w.repo.Succeed("northmoor.gov.uk", "saltby.gov.uk", merge.AddDate(0, 0, 1), w.now); !errors.Is(err, ErrKept) {
		t.Errorf("ended on two days: %v", err)
	}
	w.must(w.repo.Remove("oldham.example", w.now))
	if err := w.repo.Remove("nobody.example", w.now); !errors.Is(err, ErrNoMember) {
		t.Errorf("removed nobody: %v", err)
	}
	w.publish()
	w.refresh(c)
	v := c.View()
	same(t, "members", councils(v), "[newmoor.gov.uk northmoor.gov.uk saltby.gov.uk]")
	e, _ := v.Member("northmoor.gov.uk")
	if e.Member.Title != "Northmoor Borough Council" || len(e.Member.RecordKeys) != 2 || e.Member.LogKey != ring.Log.Verifier() {
		t.Errorf("northmoor is %+v", e.Member)
	}
	for _, at := range []struct {
		kid   string
		index uint64
		want  error
	}{{old, 999, nil}, {old, 1000, directory.ErrRevoked}, {old, 1 << 40, directory.ErrRevoked}, {ring.Record.ID(), 1 << 40, nil}, {"nokey", 0, directory.ErrNoKey}} {
		if _, err := e.Full().RecordKeyAt(at.kid, at.index); !errors.Is(err, at.want) {
			t.Errorf("key %.8s at %d: got %v, want %v", at.kid, at.index, err, at.want)
		}
	}
	if !e.Full().ActiveAt(merge.Add(-time.Second)) || e.Full().ActiveAt(merge) || e.Full().ActiveAt(day.Add(-time.Second)) {
		t.Error("northmoor is not a member from its first day to the merger")
	}
	young, _ := v.Member("newmoor.gov.uk")
	same(t, "predecessors", young.Extra.Predecessors, "[northmoor.gov.uk saltby.gov.uk]")
	same(t, "successors", e.Extra.Successors, "[newmoor.gov.uk]")
	if got, ok := v.ByNode(e.Member.Node); !ok || got.Member.Council != "northmoor.gov.uk" {
		t.Error("not found by its node")
	}
}

func TestStandardsAreFrozen(t *testing.T) {
	w := newTown(t)
	first := newStandard(t, "standards.example/housing@1.0.0", "Housing")
	if err := w.repo.PublishStandard(first, w.now); !errors.Is(err, ErrBody) {
		t.Errorf("published for a body that is not admitted: %v", err)
	}
	w.body("standards.example")
	w.must(w.repo.PublishStandard(first, w.now))
	w.must(w.repo.PublishStandard(newStandard(t, "standards.example/housing@1.1.0", "Housing"), w.now))
	w.publish()
	w.must(w.repo.PublishStandard(first, w.now))
	if len(w.repo.Waiting()) != 0 {
		t.Error("publishing the same bytes again changed something")
	}
	if err := w.repo.PublishStandard(newStandard(t, "standards.example/housing@1.0.0", "Other words"), w.now); !errors.Is(err, ErrFrozen) {
		t.Errorf("other bytes under a published version: %v", err)
	}
	c := w.follower()
	same(t, "standards", standards(c.View()), "[standards.example/housing@1.0.0 standards.example/housing@1.1.0]")
	s, err := c.Standard(first.Name())
	if err != nil || s.Integrity() != first.Integrity() {
		t.Errorf("got %v, %v", s, err)
	}

	// Status goes forward, beside the frozen bytes.
	if err := w.repo.SetStatus(first.Name(), standard.Candidate, day.AddDate(0, 1, 0), w.now); err == nil {
		t.Error("went back to candidate")
	}
	w.must(w.repo.SetStatus(first.Name(), standard.Retired, day.AddDate(1, 0, 0), w.now))
	w.publish()
	w.refresh(c)
	p, _ := c.View().Standard(first.Name())
	if p.Extra.Status() != standard.Retired || len(p.Extra.History) != 2 || !p.Held {
		t.Errorf("got %+v", p)
	}
	if _, err := c.Archive(standardName(t, "standards.example/none@1.0.0")); !errors.Is(err, ErrMissing) {
		t.Errorf("archive of nothing: %v", err)
	}
}

// A body prepares on its own machine, from any mirror, and the host takes what
// it signed.
func TestBodyPublishesFromItsOwnMachine(t *testing.T) {
	w := newTown(t)
	k := w.body("standards.example")
	w.body("other.example")
	w.must(w.repo.PublishStandard(newStandard(t, "standards.example/housing@1.0.0", "Housing"), w.now))
	w.publish()
	_, dir := w.client()
	c, err := Open(dir, Options{Now: func() time.Time { return w.now }})
	w.must(err)
	w.refresh(c)
	w.must(c.Close())

	own := filepath.Join(t.TempDir(), "body")
	w.must(os.CopyFS(own, os.DirFS(filepath.Join(dir, mirrorDir))))
	b, err := Load(own)
	w.must(err)
	std := newStandard(t, "standards.example/housing@2.0.0", "Housing")
	w.must(b.PublishStandard(std, w.now))
	w.must(b.Save(own))
	b, err = Load(own)
	w.must(err)
	request, err := b.Export("standards.example")
	w.must(err)
	signed, err := Sign(request, k)
	w.must(err)

	if _, err := w.repo.Import(signed); !errors.Is(err, ErrMissing) {
		t.Errorf("taken without the archive: %v", err)
	}
	if _, err := w.repo.Import(request, std.Archive()); !errors.Is(err, ErrSignatures) {
		t.Errorf("taken unsigned: %v", err)
	}
	got, err := w.repo.Import(signed, std.Archive())
	if err != nil || !got.Ready {
		t.Fatalf("got %+v, %v", got, err)
	}
	w.publish()
	same(t, "standards", standards(w.follower().View()), "[standards.example/housing@1.0.0 standards.example/housing@2.0.0]")
	if _, err := w.repo.Import(signed, std.Archive()); !errors.Is(err, ErrMix) {
		t.Errorf("the same version again: %v", err)
	}

	// What a body may not have the host put out.
	body := func(edit func(*targetsFile), bring ...[]byte) error {
		t.Helper()
		d := &draft{role: "standards.example", targets: cloneTargets(w.repo.targets["standards.example"])}
		d.targets.Signed.Version++
		edit(d.targets)
		signed, err := Sign(d.bytes(), k)
		w.must(err)
		_, err = w.repo.Import(signed, bring...)
		delete(w.repo.pending, "standards.example")
		return err
	}
	extra := string(StandardExtra{Integrity: std.Integrity(), History: []Step{{standard.Live, day}}}.JSON())
	forged := newStandard(t, "standards.example/housing@1.0.0", "Forged").Archive()
	for what, c := range map[string]struct {
		edit  func(md *targetsFile)
		bring []byte
		want  error
	}{
		"other bytes": {func(md *targetsFile) {
			md.Signed.Targets["standards/standards.example/housing/1.0.0.zip"] = targetOf(forged, extra)
		}, forged, ErrFrozen},
		"taken back": {func(md *targetsFile) { delete(md.Signed.Targets, "standards/standards.example/housing/1.0.0.zip") }, nil, ErrFrozen},
		"another's name": {func(md *targetsFile) {
			md.Signed.Targets["standards/other.example/x/1.0.0.zip"] = targetOf(forged, extra)
		}, forged, ErrForeign},
		"a member": {func(md *targetsFile) { md.Signed.Targets["members/thief.example.yaml"] = targetOf(forged, extra) }, forged, ErrForeign},
		"a path trick": {func(md *targetsFile) {
			md.Signed.Targets["standards/standards.example/../1.0.0.zip"] = targetOf(forged, extra)
		}, forged, ErrForeign},
		"under another name": {func(md *targetsFile) {
			md.Signed.Targets["standards/standards.example/housing/9.0.0.zip"] = targetOf(forged, extra)
		}, forged, ErrForeign},
		"no standard": {func(md *targetsFile) {
			md.Signed.Targets["standards/standards.example/housing/9.0.0.zip"] = targetOf([]byte("zip"), extra)
		}, []byte("zip"), ErrFormat},
		"other custom": {func(md *targetsFile) {
			md.Signed.Targets["standards/standards.example/housing/9.0.0.zip"] = targetOf(forged, `{"x":1}`)
		}, forged, ErrFormat},
		"delegates": {func(md *targetsFile) {
			md.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}, Roles: []metadata.DelegatedRole{}}
		}, nil, ErrForeign},
		"skips a version": {func(md *targetsFile) { md.Signed.Version++ }, nil, ErrMix},
	} {
		if err := body(c.edit, c.bring); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", what, err, c.want)
		}
	}
}

// The host is lost. Three things are left: the holders' keys, the registrar's,
// and any mirror. That is enough.
func TestAnyMirrorCanBecomeTheHost(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk", "saltby.gov.uk")
	k := w.body("standards.example")
	w.must(w.repo.PublishStandard(newStandard(t, "standards.example/housing@1.0.0", "Housing"), w.now))
	w.publish()
	survivor, dir := w.client()
	w.refresh(survivor)
	behind := w.follower()

	// The lost host published once more, and only one node saw it.
	w.admit("brook.example")
	w.publish()
	ahead := w.follower()

	w.now = w.now.AddDate(0, 0, 40) // long expired
	if survivor.Health().State != Expired {
		t.Fatal("not expired")
	}
	heir := filepath.Join(t.TempDir(), "host")
	w.must(os.CopyFS(heir, os.DirFS(filepath.Join(dir, mirrorDir))))
	r, err := Load(heir)
	w.must(err)
	online := key(t)
	w.must(r.Rekey(publics(w.holders...), 2, online.Public(), w.now))
	for _, h := range w.holders[1:] {
		request, err := r.Export("root")
		w.must(err)
		signed, err := Sign(request, h)
		w.must(err)
		_, err = r.Import(signed)
		w.must(err)
	}
	w.must(r.Admit(newMember(t, "newmoor.gov.uk"), w.now))
	_, err = r.Sign(w.registrar)
	w.must(err)
	_, err = r.Publish(online, w.now)
	w.must(err)
	w.must(r.Save(heir))
	r, err = Load(heir)
	w.must(err)
	w.must(r.PublishStandard(newStandard(t, "standards.example/housing@1.1.0", "Housing"), w.now))
	_, err = r.Sign(k)
	w.must(err)
	_, err = r.Publish(online, w.now)
	w.must(err)

	for what, c := range map[string]*Client{"survivor": survivor, "behind": behind, "ahead": ahead} {
		if _, err := c.Refresh(context.Background(), r.Fetch); err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		same(t, what, councils(c.View()), "[newmoor.gov.uk northmoor.gov.uk saltby.gov.uk]")
		same(t, what, standards(c.View()), "[standards.example/housing@1.0.0 standards.example/housing@1.1.0]")
	}
}

func TestSaveSeesWhoElsePublished(t *testing.T) {
	w := newTown(t)
	dir := filepath.Join(t.TempDir(), "repo")
	w.must(w.repo.Save(dir))
	a, err := Load(dir)
	w.must(err)
	b, err := Load(dir)
	w.must(err)
	for _, r := range []*Repository{a, b} {
		_, err := r.Publish(w.online, w.now)
		w.must(err)
	}
	w.must(a.Save(dir))
	if err := b.Save(dir); !errors.Is(err, ErrChanged) {
		t.Errorf("saved over another's publication: %v", err)
	}
	if err := a.Save(t.TempDir()); err == nil {
		t.Error("saved into another folder")
	}
}

// A host that has no news signs only the timestamp, until the snapshot is
// half through.
func TestDailyPublicationIsSmall(t *testing.T) {
	w := newTown(t)
	w.now = w.now.AddDate(0, 0, 1)
	w.publish()
	if _, ok := w.repo.fresh["metadata/2.snapshot.json"]; ok {
		t.Error("signed a snapshot that says nothing new")
	}
	w.now = w.now.AddDate(0, 0, 15)
	w.publish()
	if _, ok := w.repo.fresh["metadata/2.snapshot.json"]; !ok {
		t.Error("let the snapshot run towards its end")
	}
	w.must(w.repo.Renew("members", w.now))
	w.must(w.repo.Renew("root", w.now))
	w.must(w.repo.Renew("targets", w.now))
	w.publish()
	p := DefaultPolicy()
	p.Timestamp, p.Snapshot = 60, 60
	w.must(w.repo.SetPolicy(p, w.now))
	w.publish()
	// The snapshot of before is still good for longer than half of sixty days.
	w.repo.Renew("members", w.now)
	w.publish()
	if got := w.follower().Health().Expires; !got.Equal(start.AddDate(0, 0, 16+60)) {
		t.Errorf("expires %v", got)
	}
	if got := w.repo.policy(); got != p {
		t.Errorf("the policy is %+v", got)
	}
}

// Bodies go and registrars change; a client takes neither for an attack.
func TestBodiesGoAndRegistrarsChange(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk")
	w.body("standards.example")
	w.must(w.repo.PublishStandard(newStandard(t, "standards.example/housing@1.0.0", "Housing"), w.now))
	w.publish()
	c := w.follower()

	old := w.registrar
	w.registrar = key(t)
	w.must(w.repo.SetRegistrar(publics(w.registrar, key(t)), 1, w.now))
	w.must(w.repo.RemoveBody("standards.example", w.now))
	if err := w.repo.RemoveBody("nobody.example", w.now); !errors.Is(err, ErrBody) {
		t.Errorf("removed nobody: %v", err)
	}
	if err := w.repo.SetRegistrar(nil, 1, w.now); err == nil {
		t.Error("left the members to nobody")
	}
	if err := w.repo.SetBody("members", publics(old), 1, w.now); err == nil {
		t.Error("a standards body is called members")
	}
	w.publish()
	w.refresh(c)
	same(t, "members", councils(c.View()), "[northmoor.gov.uk]")
	same(t, "standards", standards(c.View()), "[]")
	if w.repo.snapshot.Signed.Meta["standards.example.json"] == nil {
		t.Error("the snapshot forgot a role, which looks like an attack")
	}
	w.admit("saltby.gov.uk")
	request, err := w.repo.Export(RoleMembers)
	w.must(err)
	signed, err := Sign(request, old)
	w.must(err)
	if _, err := w.repo.Import(signed); !errors.Is(err, ErrSignatures) {
		t.Errorf("the old registrar counts: %v", err)
	}

	// Back again, and its versions go on where they were.
	w.body("standards.example")
	w.must(w.repo.PublishStandard(newStandard(t, "standards.example/housing@1.1.0", "Housing"), w.now))
	w.publish()
	w.refresh(c)
	same(t, "standards", standards(c.View()), "[standards.example/housing@1.0.0 standards.example/housing@1.1.0]")
}

func TestReviewSaysWhatIsSigned(t *testing.T) {
	w := newTown(t)
	before := w.repo.fresh["metadata/1.root.json"]
	fresh := key(t)
	w.must(w.repo.Rekey(publics(w.holders[0], w.holders[1], fresh), 2, w.online.Public(), w.now))
	request, err := w.repo.Export("root")
	w.must(err)
	lines, err := ReviewRequest(request, before)
	w.must(err)
	text := strings.Join(lines, "\n")
	for _, want := range []string{"root, version 2", "until 2027-11-02", "root: 2 of 3", "new: key " + fresh.Public().ID()[:16], "gone: key " + w.holders[2].Public().ID()[:16]} {
		if !strings.Contains(text, want) {
			t.Errorf("the review of a root does not say %q:\n%s", want, text)
		}
	}
	if _, err := ReviewRequest(before, before); err == nil {
		t.Error("a file was reviewed as following itself")
	}
	w.repo.Discard("root")
	w.admit("northmoor.gov.uk")
	w.body("standards.example")
	for role, want := range map[string]string{"members": "new: members/northmoor.gov.uk.yaml", "targets": "new: standards.example: 1 of 1 keys"} {
		request, err := w.repo.Export(role)
		w.must(err)
		lines, err := ReviewRequest(request, w.repo.fresh["metadata/1."+role+".json"])
		if text := strings.Join(lines, "\n"); err != nil || !strings.Contains(text, want) {
			t.Errorf("%s: want %q in %v\n%s", role, want, err, text)
		}
	}
	bad, err := w.repo.Export("members")
	w.must(err)
	if lines, err := ReviewRequest(bytes.Replace(bad, []byte(`"gss"`), []byte(`"pwn"`), 1), nil); err == nil {
		t.Errorf("a field nobody knows was passed over: %q", lines)
	}
}

func TestDiscard(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk")
	w.must(w.repo.Discard("members"))
	if err := w.repo.Discard("members"); !errors.Is(err, ErrMissing) {
		t.Errorf("discarded nothing: %v", err)
	}
	r, err := Found(Founding{Holders: publics(w.holders...), Online: w.online.Public(), Members: publics(w.registrar)}, start)
	w.must(err)
	if r.Discard("root") == nil {
		t.Error("discarded the founding")
	}
	if len(r.Bodies()) != 0 || len(w.repo.Bodies()) != 0 {
		t.Error("bodies from nowhere")
	}
}

// A verifier key is base64, which has a plus sign in it every other time. What
// follows the last one may be a few characters that two keys have in common.
func TestBareKey(t *testing.T) {
	for in, want := range map[string]string{
		"":                                      "",
		"a.example/stile+0123abcd+AAAA":         "AAAA",
		"a.example/stile+0123abcd+AAAA+BB+C==":  "AAAA+BB+C==",
		"a.example/stile+0123abcd++AAA/B+C==":   "+AAA/B+C==",
		"another.example+ffffffff+AAAA+BB/+C==": "AAAA+BB/+C==",
	} {
		if got := bareKey(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
