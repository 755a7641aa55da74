package retention_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/webhook"
	"github.com/stile-exchange/stile/node"
)

// found returns the condition of that name that a council's status has; nil for none.
func found(w *town, kind string) *node.Condition {
	w.t.Helper()
	s, err := w.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range s.Conditions {
		if c.Name == kind {
			return &c
		}
	}
	return nil
}

// day is a day on the clocks.
const day = 24 * time.Hour

// pass lets time go by on the clocks of both, and starts the receiver anew, which looks at
// once. In fact two minutes go by, in which everybody looks at how it does: time that a
// node really runs is what a test costs.
func pass(d time.Duration, from, to *town) {
	to.halt()
	from.ahead.Add(int64(d))
	to.ahead.Add(int64(d))
	to.start()
	time.Sleep(2 * time.Minute)
}

// What is held under a term of thirty days or more is told of from seven days before it is
// deleted, and no more once a new version has replaced it; of a shorter term no word is
// said.
func TestNearing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		from, to := world(t)
		agree(t, from, to, 1, "retention: P3D", "retention: P40D")
		write(from, "aaa CANARYALPHA")
		await(t, "it is held", has(to, 1))
		pass(32*day, from, to)
		if c := found(to, "retention-near"); c != nil {
			t.Errorf("eight days before: %+v", c)
		}
		pass(2*day, from, to)
		c := found(to, "retention-near")
		if c == nil || c.Council != north || c.Agreement != under || c.Cause != "the agreement lets it be kept for P40D" {
			t.Fatalf("six days before: %+v", c)
		}
		if c := found(from, "retention-near"); c != nil {
			t.Errorf("the sender, which may keep it, is told: %+v", c)
		}
		write(from, "aaa CANARYBETA")
		await(t, "the new version has come", func() bool { return flow(from).InStep && flow(to).InStep })
		pass(day, from, to)
		if c := found(to, "retention-near"); c != nil {
			t.Errorf("a new version has replaced it: %+v", c)
		}
		agree(t, from, to, 2)
		second := func() bool {
			r := call(to, to.Agreements().Show, node.AgreementRequest{Name: under})
			return r.Version == 2 && r.InForce
		}
		await(t, "the copy is of the second text", func() bool { p := flow(from); return second() && p.InStep && p.Held == 1 })
		pass(0, from, to)
		if c := found(to, "retention-near"); c != nil {
			t.Errorf("of a term of three days: %+v", c)
		}
	})
}

// An ear is a webhook that hears "change name" of what it is told.
type ear struct {
	url, secret string // secret is the file

	mu    sync.Mutex // guards heard
	heard []string
}

func (e *ear) has(what string) func() bool {
	return func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return slices.Contains(e.heard, what)
	}
}

// listen starts one. It must be called outside of a bubble, whose time stands still while
// a request is under way.
func listen(t *testing.T) *ear {
	t.Helper()
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	s, err := webhook.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	e := &ear{secret: filepath.Join(t.TempDir(), "secret")}
	if err := os.WriteFile(e.secret, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		at, err := strconv.ParseInt(r.Header.Get("webhook-timestamp"), 10, 64)
		if err == nil {
			_, err = webhook.Verify(s, r.Header, b, time.Unix(at, 0))
		}
		var d struct {
			Data struct {
				Changes []struct{ Change, Name string }
			}
		}
		if err == nil {
			err = json.Unmarshal(b, &d)
		}
		if err != nil {
			t.Errorf("what was sent to the webhook: %v", err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, c := range d.Data.Changes {
			e.heard = append(e.heard, c.Change+" "+c.Name)
		}
	}))
	// A connection that is kept open would keep the time in the bubble from going on.
	srv.Config.SetKeepAlivesEnabled(false)
	srv.Start()
	t.Cleanup(srv.Close)
	e.url = srv.URL
	return e
}

// A date of review that has come stops the exchange between two councils, after a webhook
// was told within thirty days of it and within seven; one party alone does not bring it
// back, both do. An auditor finds both renewals in the bundle of the sender and in that of
// the receiver, and what the receiver deleted at the end of its term.
func TestReview(t *testing.T) {
	e := listen(t)
	bubble(t, func(t *testing.T) {
		from, to := world(t)
		to.halt()
		to.change = func(c *config.Config) {
			c.Web.WebhookNetworks = []string{"127.0.0.0/8"}
			c.Notify = []config.Notify{{Name: "officer", Webhook: e.url, SecretFile: e.secret, Severity: "critical", Tells: "dates"}}
		}
		to.start()
		agree(t, from, to, 1, "review: 2000-09-01", "review: 2000-02-15", "retention: P3D", "retention: P60D")
		write(from, "aaa CANARYALPHA")
		await(t, "it is held", has(to, 1))
		pass(20*day, from, to)
		await(t, "the webhook is told that the review is near", e.has("began review-near"))
		pass(20*day, from, to)
		await(t, "the webhook is told that the review is close", e.has("began review-close"))
		if e.has("began review-past")() {
			t.Error("the webhook is told that the review is past, five days before")
		}
		write(from, "bbb CANARYBETA")
		await(t, "the exchange goes on", has(to, 2))

		pass(5*day, from, to)
		await(t, "the webhook is told that the review is past", e.has("began review-past"))
		stopped := func(when string) {
			t.Helper()
			time.Sleep(2 * time.Minute)
			p := flow(from)
			if n := flow(to).Held; n != 2 || p.Held != 2 || p.InStep || !p.Suspended || !strings.Contains(p.Behind, "the date of review 2000-02-15 has come") {
				t.Errorf("%s: the receiver holds %d, the sender says %+v", when, n, p)
			}
		}
		write(from, "ccc CANARYGAMMA")
		stopped("nobody has renewed it")
		renewal := node.AgreementRequest{Name: under, Review: "2000-12-01"}
		call(from, from.Agreements().Renew, renewal)
		stopped("the sender alone has renewed it")
		call(to, to.Agreements().Renew, renewal)
		await(t, "both have renewed it, and the exchange goes on", has(to, 3))
		time.Sleep(30 * time.Second)
		for _, w := range []*town{from, to} {
			w.ahead.Add(int64(11 * time.Minute)) // after ten a condition is over
		}
		await(t, "the webhook is told so", e.has("ended review-past"))

		pass(14*day, from, to)       // to the day before the first is due
		pass(36*time.Hour, from, to) // the clock is believed again
		await(t, "the sender knows that the first is deleted", func() bool { return flow(from).AtTerm == 1 })
		trust := trusting(t, from, to)
		for _, x := range []struct {
			of *town
			in node.BundleRequest
		}{
			{from, node.BundleRequest{Agreement: under}},
			{to, node.BundleRequest{Agreement: under, From: string(north), Held: true}},
		} {
			b := call(x.of, x.of.Bundle, x.in).Bundle
			r, err := audit.Verify(bytes.NewReader(b), int64(len(b)), audit.Options{Trust: trust})
			if err != nil {
				t.Fatal(err)
			}
			if !r.OK() || r.Counts.Renewals != 2 || r.Counts.Retained != 1 {
				t.Errorf("the bundle of %s: %s, %d renewals, %d deleted at the end of their term", x.of.name, r.Result, r.Counts.Renewals, r.Counts.Retained)
			}
		}
	})
}

// trusting returns what an auditor is given of some councils.
func trusting(t *testing.T, towns ...*town) audit.Trust {
	t.Helper()
	dir := t.TempDir()
	for _, w := range towns {
		m := call(w, w.Councils().Show, node.MemberNameRequest{})
		if err := os.WriteFile(filepath.Join(dir, string(m.Council)+".yaml"), []byte(m.Document), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trust, err := audit.ReadTrust(dir)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}
