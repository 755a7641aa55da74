package tufdir

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A refresh that breaks off at any file leaves the view, the mirror and the
// protection as they were, and the next one ends what it began.
func TestRefreshBreaksOffAnywhere(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk")
	w.publish()
	before := w.tree()
	w.must(w.repo.Rekey(publics(w.holders...), 2, key(t).Public(), w.now))
	w.must(w.repo.Rekey(publics(w.holders...), 2, w.online.Public(), w.now))
	w.admit("saltby.gov.uk", "brook.example")
	w.body("standards.example")
	w.must(w.repo.PublishStandard(newStandard(t, "standards.example/housing@1.0.0", "Housing"), w.now))
	w.publish()
	total := 0
	for stop := 0; total == 0 || stop <= total; stop++ {
		dir := t.TempDir()
		c, err := Create(dir, before["metadata/1.root.json"].Data, Options{Now: func() time.Time { return w.now }})
		w.must(err)
		_, err = c.Refresh(context.Background(), FromFS(before))
		w.must(err)
		var n atomic.Int64
		rep, err := c.Refresh(context.Background(), func(ctx context.Context, path string, max int64) ([]byte, error) {
			if int(n.Add(1)) == stop+1 {
				return nil, errors.New("connection reset")
			}
			return w.repo.Fetch(ctx, path, max)
		})
		if err == nil && len(rep.Refused) == 0 {
			total = rep.Files
			if stop < total {
				t.Errorf("file %d of %d failed, and nothing was said", stop, total)
			}
		}
		for range 2 { // as it is, and after a restart
			got := strings.Join(councils(c.View()), " ")
			if err != nil && got != "northmoor.gov.uk" || err == nil && got != "brook.example northmoor.gov.uk saltby.gov.uk" {
				t.Errorf("stopped at file %d (%v): members are %s", stop, err, got)
			}
			if b, merr := c.Mirror().Lookup("metadata/timestamp.json"); merr != nil || len(b) == 0 {
				t.Errorf("stopped at file %d: the mirror has no timestamp: %v", stop, merr)
			}
			w.must(c.Close())
			c, _ = Open(dir, Options{Now: func() time.Time { return w.now }})
		}
		// A newcomer can begin with this mirror whatever happened to it.
		n2, err := Create(t.TempDir(), before["metadata/1.root.json"].Data, Options{Now: func() time.Time { return w.now }})
		w.must(err)
		if _, err := n2.Refresh(context.Background(), c.Mirror().Fetch); err != nil && !errors.Is(err, ErrMissing) && !errors.Is(err, ErrSignatures) {
			t.Errorf("stopped at file %d: a newcomer is refused: %v", stop, err)
		}
		n2.Close()
		w.refresh(c)
		same(t, "members in the end", councils(c.View()), "[brook.example northmoor.gov.uk saltby.gov.uk]")
		same(t, "standards in the end", standards(c.View()), "[standards.example/housing@1.0.0]")
		if p, _ := c.View().Standard(standardName(t, "standards.example/housing@1.0.0")); !p.Held {
			t.Errorf("stopped at file %d: the archive never came", stop)
		}
		w.must(c.Close())
		if stop > 60 {
			t.Fatal("no end")
		}
	}
}

// Files lost or changed on the disk are noticed, and brought again.
func TestCacheIsCheckedAndMended(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk", "saltby.gov.uk")
	w.body("standards.example")
	std := newStandard(t, "standards.example/housing@1.0.0", "Housing")
	w.must(w.repo.PublishStandard(std, w.now))
	w.publish()
	c, dir := w.client()
	w.refresh(c)
	w.must(c.Close())
	open := func() *Client {
		t.Helper()
		c, err := Open(dir, Options{Now: func() time.Time { return w.now }})
		w.must(err)
		return c
	}
	clean := map[string][]byte{}
	for _, f := range files(t, dir) {
		b, err := os.ReadFile(filepath.Join(dir, f))
		w.must(err)
		clean[f] = b
	}
	for f, b := range clean {
		for _, damage := range []func(string) error{
			os.Remove,
			func(p string) error { return os.WriteFile(p, append([]byte("x"), b[1:]...), 0o644) },
			func(p string) error { return os.WriteFile(p, nil, 0o644) },
		} {
			w.must(damage(filepath.Join(dir, filepath.FromSlash(f))))
			c, err := Open(dir, Options{Now: func() time.Time { return w.now }})
			switch {
			case f == "trust/root.json" || f == "trust/frozen.json" && err != nil:
				if err == nil {
					t.Errorf("opened without %s", f)
				}
			case err != nil:
				t.Errorf("%s damaged: %v", f, err)
			default:
				for _, n := range councils(c.View()) {
					if n != "northmoor.gov.uk" && n != "saltby.gov.uk" {
						t.Errorf("%s damaged: %q is a member", f, n)
					}
				}
				_, _ = c.Archive(std.Name()) // notices an archive that changed without growing
				w.refresh(c)
				same(t, f+" damaged: members", councils(c.View()), "[northmoor.gov.uk saltby.gov.uk]")
				if got, err := c.Archive(std.Name()); err != nil || string(got) != string(std.Archive()) {
					t.Errorf("%s damaged: archive: %v", f, err)
				}
				c.Close()
			}
			w.must(os.WriteFile(filepath.Join(dir, filepath.FromSlash(f)), b, 0o644))
		}
	}
	c = open()
	defer c.Close()
	same(t, "refused", c.View().Refused(), "[]")
}

func TestCreateAndOpenRefuse(t *testing.T) {
	w := newTown(t)
	dir := t.TempDir()
	if _, err := Open(dir, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened an empty folder: %v", err)
	}
	root := w.repo.fresh["metadata/1.root.json"]
	for what, b := range map[string][]byte{"nothing": nil, "no root": w.repo.fresh["metadata/1.members.json"],
		"altered": []byte(strings.Replace(string(root), "2027", "2037", 1))} {
		if _, err := Create(dir, b, Options{}); err == nil {
			t.Errorf("%s: followed", what)
		}
	}
	c, err := Create(dir, root, Options{})
	w.must(err)
	w.must(c.Close())
	if _, err := Create(dir, root, Options{}); !errors.Is(err, ErrJoined) {
		t.Errorf("followed twice: %v", err)
	}
}

// What nobody refers to any longer goes; the roots, and the edition before, stay.
func TestMirrorKeepsTwoEditions(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk")
	w.publish()
	c, dir := w.client()
	w.refresh(c)
	for range 5 {
		e, err := w.repo.member("northmoor.gov.uk")
		w.must(err)
		e.Member.Title += "!"
		w.must(w.repo.Amend(e.Member, w.now))
		w.publish()
		w.refresh(c)
	}
	got := files(t, filepath.Join(dir, mirrorDir))
	if len(got) != 1+1+1+2+2+2 { // timestamp, root, targets, and two each of snapshot, members, northmoor
		t.Errorf("the mirror has %d files: %v", len(got), got)
	}
	for _, f := range got {
		if _, err := c.Mirror().Lookup(f); err != nil {
			t.Error(err)
		}
	}
	if rep := w.refresh(c); rep.Changed || rep.Files != 2 {
		t.Errorf("nothing new took %+v; want two questions, for a root and the timestamp", rep)
	}
}

func TestMirrorServesSignedFilesOnly(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk")
	w.body("standards.example")
	w.must(w.repo.PublishStandard(newStandard(t, "standards.example/housing@1.0.0", "Housing"), w.now))
	w.publish()
	c, dir := w.client()
	w.refresh(c)
	w.must(os.WriteFile(filepath.Join(dir, "secret"), []byte("s"), 0o600))
	w.must(os.WriteFile(filepath.Join(dir, mirrorDir, "metadata", "9.members.json"), []byte("s"), 0o600))
	unsigned := "targets/members/" + strings.Repeat("ab", 32) + ".thief.example.yaml"
	w.must(os.WriteFile(filepath.Join(dir, mirrorDir, unsigned), []byte("s"), 0o600))

	srv := httptest.NewServer(c.Mirror())
	defer srv.Close()
	fetch, err := FromHTTP(nil, srv.URL+"/")
	w.must(err)
	for _, path := range []string{"", "metadata", "metadata/", "trust/root.json", "secret", "../secret", "metadata/../../secret",
		"metadata/..%2f..%2fsecret", "/metadata/timestamp.json", "metadata//timestamp.json", "metadata/01.root.json", "metadata/0.root.json",
		"metadata/1.timestamp.json", "metadata/9.members.json", "metadata/1.Standards.example.json", unsigned,
		"targets/members/northmoor.gov.uk.yaml", "metadata/99999999999999999999.root.json", "metadata/-1.root.json", strings.Repeat("a", 10000)} {
		if b, err := c.Mirror().Lookup(path); !errors.Is(err, ErrMissing) {
			t.Errorf("%q: served %d bytes, %v", path, len(b), err)
		}
		if _, err := fetch(context.Background(), path, 1<<20); err == nil {
			t.Errorf("%q: served over HTTP", path)
		}
	}
	for _, f := range files(t, filepath.Join(dir, mirrorDir)) {
		want, err := os.ReadFile(filepath.Join(dir, mirrorDir, filepath.FromSlash(f)))
		w.must(err)
		if f == unsigned || f == "metadata/9.members.json" {
			continue
		}
		got, err := fetch(context.Background(), f, 1<<20)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %v", f, err)
		}
	}
	// A newcomer fetches all of it from a member, over HTTP.
	n, _ := w.client()
	if _, err := n.Refresh(context.Background(), fetch); err != nil {
		t.Fatal(err)
	}
	same(t, "members", councils(n.View()), "[northmoor.gov.uk]")

	res, err := http.Post(srv.URL+"/metadata/timestamp.json", "text/plain", nil)
	if err != nil || res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v %v", res.StatusCode, err)
	}
	res.Body.Close()
	res, err = http.Get(srv.URL + "/metadata/timestamp.json")
	w.must(err)
	res.Body.Close()
	req, _ := http.NewRequest(http.MethodGet, srv.URL+"/metadata/timestamp.json", nil)
	req.Header.Set("If-None-Match", res.Header.Get("ETag"))
	if res, err = http.DefaultClient.Do(req); err != nil || res.StatusCode != http.StatusNotModified {
		t.Errorf("asked again: %v %v", res.StatusCode, err)
	}
	res.Body.Close()
}

func TestFetchersKeepBounds(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Error("followed a redirection") }))
	defer elsewhere.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		case "/away":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	fetch, err := FromHTTP(srv.Client(), srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{"endless": ErrTooLong, "gone": ErrMissing} {
		if _, err := fetch(context.Background(), path, 1000); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", path, err, want)
		}
	}
	for _, path := range []string{"away", "broken"} {
		if _, err := fetch(context.Background(), path, 1000); err == nil || errors.Is(err, ErrMissing) {
			t.Errorf("%s: got %v", path, err)
		}
	}
	for _, bad := range []string{"", "ftp://x", "stile.example", "http://", "https://x/?q", "https://x/#f", "http://[::1"} {
		if _, err := FromHTTP(nil, bad); err == nil {
			t.Errorf("%q is an address", bad)
		}
	}
	if _, err := FromFS(os.DirFS(t.TempDir()))(context.Background(), "../x", 10); !errors.Is(err, ErrMissing) {
		t.Errorf("path out of the folder: %v", err)
	}
}
