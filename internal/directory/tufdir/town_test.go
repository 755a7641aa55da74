package tufdir

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

var (
	day   = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	start = day.Add(9 * time.Hour)
)

// A town is those who run a directory, with all their keys in one hand.
type town struct {
	t         testing.TB
	holders   []*Key // of root, two of three
	online    *Key
	registrar *Key
	bodies    map[name.Council]*Key
	repo      *Repository
	now       time.Time
}

func key(t testing.TB) *Key {
	t.Helper()
	k, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func publics(keys ...*Key) (out []Public) {
	for _, k := range keys {
		out = append(out, k.Public())
	}
	return out
}

// newTown founds a directory and publishes it, with nobody in it.
func newTown(t testing.TB) *town {
	t.Helper()
	w := &town{t: t, holders: []*Key{key(t), key(t), key(t)}, online: key(t), registrar: key(t),
		bodies: map[name.Council]*Key{}, now: start}
	var err error
	w.repo, err = Found(Founding{Holders: publics(w.holders...), Online: w.online.Public(), Members: publics(w.registrar)}, w.now)
	if err != nil {
		t.Fatal(err)
	}
	w.publish()
	return w
}

func (w *town) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// publish signs all that waits with as many keys as it takes.
func (w *town) publish() {
	w.t.Helper()
	for _, k := range append([]*Key{w.holders[0], w.holders[1], w.registrar}, slices.Collect(maps.Values(w.bodies))...) {
		_, err := w.repo.Sign(k)
		w.must(err)
	}
	_, err := w.repo.Publish(w.online, w.now)
	w.must(err)
	if left := w.repo.Waiting(); len(left) > 0 {
		w.t.Fatalf("left waiting: %+v", left)
	}
}

// body admits a standards body with a new key.
func (w *town) body(c name.Council) *Key {
	w.t.Helper()
	w.bodies[c] = key(w.t)
	w.must(w.repo.SetBody(c, publics(w.bodies[c]), 1, w.now))
	return w.bodies[c]
}

func (w *town) admit(councils ...name.Council) {
	w.t.Helper()
	for _, c := range councils {
		w.must(w.repo.Admit(newMember(w.t, c), w.now))
	}
}

// tree returns a copy of everything that is published.
func (w *town) tree() fstest.MapFS {
	fsys := fstest.MapFS{}
	for p, b := range w.repo.fresh {
		fsys[p] = &fstest.MapFile{Data: slices.Clone(b)}
	}
	return fsys
}

// client follows the directory in a new folder, from the first root on.
func (w *town) client() (*Client, string) {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "directory")
	root, err := w.repo.Fetch(context.Background(), "metadata/1.root.json", maxRoot)
	w.must(err)
	c, err := Create(dir, root, Options{Now: func() time.Time { return w.now }})
	w.must(err)
	w.t.Cleanup(func() { c.Close() })
	return c, dir
}

func (w *town) refresh(c *Client) *Report {
	w.t.Helper()
	rep, err := c.Refresh(context.Background(), w.repo.Fetch)
	w.must(err)
	return rep
}

// follower is a client that has what is published now.
func (w *town) follower() *Client {
	w.t.Helper()
	c, _ := w.client()
	w.refresh(c)
	return c
}

func newMember(t testing.TB, c name.Council) directory.Member {
	t.Helper()
	ring, err := keys.Generate(c)
	if err != nil {
		t.Fatal(err)
	}
	m := directory.FromRing(c, ring)
	m.Title, m.GSS, m.Role, m.ValidFrom = "The Council of "+string(c), "E07000998", directory.RoleCouncil, day
	m.Addresses = []string{"/dns4/stile." + string(c) + "/tcp/7400", "/dns4/stile." + string(c) + "/udp/7400/quic-v1"}
	m.Contact = "data@" + string(c)
	return m
}

// newStandard returns a small standard that is what it is called.
func newStandard(t testing.TB, n string, title string) *standard.Standard {
	t.Helper()
	s, err := name.ParseStandard(n)
	if err != nil {
		t.Fatal(err)
	}
	std, err := standard.Load(fstest.MapFS{
		"standard.yaml": {Data: fmt.Appendf(nil, "name: %s\nversion: %s\ntitle: %s\nstatus: live\nkey: [/ref]\nclasses: {/ref: open}\n", s.Name, s.Version, title)},
		"schema.json":   {Data: []byte(`{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["ref"],"properties":{"ref":{"type":"string"}}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return std
}

func standardName(t testing.TB, s string) name.Standard {
	t.Helper()
	n, err := name.ParseStandard(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func councils(v *View) (out []string) {
	for _, e := range v.Members() {
		out = append(out, string(e.Member.Council))
	}
	return out
}

func standards(v *View) (out []string) {
	for _, p := range v.Standards() {
		out = append(out, p.Name.String())
	}
	return out
}

// same fails the test unless two lists print alike.
func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

// files lists the tree under a folder.
func files(t testing.TB, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			out = append(out, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// forge signs a targets role's next version as its holder could, whatever is in it.
func (w *town) forge(role string, k *Key, edit func(*targetsFile)) {
	w.t.Helper()
	md := w.repo.edit(role, w.now)
	edit(md)
	payload, err := w.repo.pending[role].payload()
	w.must(err)
	w.repo.pending[role].add(k.sign(payload))
}

// targetOf is a target entry for bytes, with or without sense.
func targetOf(b []byte, custom string) *metadata.TargetFiles {
	f, err := metadata.TargetFile().FromBytes("", b)
	if err != nil {
		panic(err)
	}
	if custom != "" {
		f.Custom = rawJSON(custom)
	}
	return f
}

func refusedFor(v *View, why error) (out []string) {
	for _, r := range v.Refused() {
		if r.Why == why {
			out = append(out, r.File)
		}
	}
	return out
}

func hasPrefix(list []string, prefix string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.HasPrefix(s, prefix) })
}

func canonical(t testing.TB, v any) []byte {
	t.Helper()
	b, err := cjson.EncodeCanonical(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
