package web

import (
	"crypto/rand"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/people"
)

// asked returns a request for a page by somebody with some roles; by nobody, with none.
func asked(t *testing.T, path string, roles ...access.Role) *request {
	t.Helper()
	dir := t.TempDir()
	s, _, err := newSite(Options{Data: dir, Council: "northmoor.gov.uk", People: people.Open(dir, rand.Reader, time.Now), Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	q := &request{site: s, tongue: s.tongues[English], r: httptest.NewRequest("GET", path, nil)}
	if len(roles) > 0 {
		q.who = &people.Person{ID: "p", Roles: roles}
	}
	return q
}

// at is the one link that stands as the current one, and how.
func at(t *testing.T, links []navigation) string {
	t.Helper()
	var out []string
	for _, n := range links {
		if n.Current != "" {
			out = append(out, n.To+" "+n.Current)
		}
	}
	return strings.Join(out, ", ")
}

// Every page that the router has for people who signed in is in one section, and in one
// place of it; and what leads where somebody may not go is not there.
func TestMenu(t *testing.T) {
	q := asked(t, "/", access.Roles()...)
	for pattern := range q.ops {
		path, get := strings.CutPrefix(pattern, "GET ")
		if !get {
			continue
		}
		q.r = httptest.NewRequest("GET", path, nil)
		if all, section := q.menu(); strings.Count(at(t, all), "/") == 0 || strings.Contains(at(t, all), ",") || at(t, section) == "" || strings.Contains(at(t, section), ",") {
			t.Errorf("%s: the menu stands at %q, the section at %q", path, at(t, all), at(t, section))
		}
	}
	for _, c := range []struct{ path, menu, section string }{
		{"/urgent", "/handovers true", "/urgent page"},
		{"/urgent/x", "/handovers true", "/urgent true"},
		{"/handovers", "/handovers page", "/handovers page"},
		{"/records/northmoor.gov.uk/x", "/records true", "/records true"},
		{"/admin/keys", "/admin true", "/admin/keys page"},
		{"/drafts/northmoor.gov.uk/x", "/agreements true", "/drafts/new true"},
		{"/register/northmoor.gov.uk/x", "/register true", "/register true"},
		{"/recordsets", "", ""},
	} {
		q.r = httptest.NewRequest("GET", c.path, nil)
		if all, section := q.menu(); at(t, all) != c.menu || at(t, section) != c.section {
			t.Errorf("%s: the menu stands at %q, the section at %q, want %q and %q", c.path, at(t, all), at(t, section), c.menu, c.section)
		}
	}
	q = asked(t, "/admin/backups", access.Auditor)
	if all, section := q.menu(); at(t, all) != "/admin/backups page" || len(section) != 0 {
		t.Errorf("an auditor at the backups: %+v, %+v", all, section)
	}
	if all, section := asked(t, "/register/x/y").menu(); at(t, all) != "/register true" || len(section) != 0 || slices.ContainsFunc(all, func(n navigation) bool { return n.To == "/open" }) {
		t.Errorf("nobody signed in: %+v, %+v", all, section)
	}
}
