package web

import (
	"crypto/rand"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/people"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// How long a page of the register takes over 10,000 flows: the first page, a late one, and a
// search.
func BenchmarkRegister(b *testing.B) {
	cfg, err := node.Init(b.Context(), node.InitOptions{Dir: filepath.Join(b.TempDir(), "n"), Council: "northmoor.gov.uk", Listen: []string{}, Addresses: []string{"/ip4/127.0.0.1/tcp/1"}})
	if err != nil {
		b.Fatal(err)
	}
	n, err := node.Open(cfg, node.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	now := time.Now()
	s, pages, err := newSite(Options{Node: n.Operations, Council: "northmoor.gov.uk", Title: "Northmoor", Data: cfg.Data, People: people.Open(cfg.Data, rand.Reader, time.Now), Now: func() time.Time { return now }, Random: rand.Reader})
	if err != nil {
		b.Fatal(err)
	}
	s.register.last, s.register.at = newSnapshot(manyFlows(10000, now)), now
	for _, at := range []string{"/register", "/register?from=9900", "/register?q=kind+99", "/register/northmoor.gov.uk/flow-09000", "/register.json"} {
		b.Run(strings.TrimPrefix(at, "/"), func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				start, w := time.Now(), httptest.NewRecorder()
				pages.ServeHTTP(w, httptest.NewRequest("GET", at, nil))
				took = append(took, time.Since(start))
				if w.Code != 200 {
					b.Fatal(w.Code)
				}
			}
			reportP95(b, took)
		})
	}
}

// manyFlows is a register of n flows.
func manyFlows(n int, made time.Time) *Register {
	r := &Register{Council: "northmoor.gov.uk", Title: "Northmoor", Made: made}
	text := strings.Repeat("What is shared, and why it is needed. ", 8)
	for i := range n {
		r.Flows = append(r.Flows, Flow{Agreement: name.Agreement(fmt.Sprintf("northmoor.gov.uk/flow-%05d", i)), Version: 1, From: "northmoor.gov.uk", To: []name.Council{"saltby.gov.uk"},
			Fields: []name.Field{"/reference", "/status"}, Purpose: text, Necessity: text, DataItems: fmt.Sprintf("Referrals of kind %d", i), Article6: "6(1)(e)", LegalPower: text, Starts: "2026-01-01", Review: "2027-01-01", Sends: true, Held: i})
	}
	return r
}

func reportP95(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
}
