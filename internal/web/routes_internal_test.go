package web

import (
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/people"
)

// Routes returns the operation that a person must be let carry out to see a page, by the
// pattern of every page that is not for everybody, as the router has them.
func Routes(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	s, _, err := newSite(Options{Data: dir, Council: "northmoor.gov.uk", People: people.Open(dir, rand.Reader, time.Now), Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return s.ops
}

// NewOfFlows returns pages whose register has n flows, which stay for an hour.
func NewOfFlows(o Options, n int) (http.Handler, error) {
	s, pages, err := newSite(o)
	if err != nil {
		return nil, err
	}
	at := o.Now().Add(time.Hour)
	s.register.last, s.register.at = newSnapshot(manyFlows(n, at)), at
	return pages, nil
}
