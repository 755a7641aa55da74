package web

import (
	"crypto/rand"
	"testing"
	"time"
)

// Routes returns the operation that a person must be let carry out to see a page, by the
// pattern of every page that is not for everybody, as the router has them.
func Routes(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	s, _, err := newSite(Options{Data: dir, Council: "northmoor.gov.uk", People: OpenPeople(dir, rand.Reader, time.Now), Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return s.ops
}
