package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/api"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/client"
)

const one = `{"reference":"HN-1","status":"received","referral":"duty-to-refer","referred_on":"2026-11-14","district":"E07000998","moved_to":"E07000999","consent":{"given_on":"2026-11-13","how":"in-writing"},"applicant":{"name":"Ffion Ashdown","contact":{"phone":"01632 960456"}}}`

// The system pushes a case, reads it back, is told of it by a webhook that it can trust,
// and does not write over what somebody else has changed.
func TestLineOfBusiness(t *testing.T) {
	cfg, err := node.Init(t.Context(), node.InitOptions{Dir: filepath.Join(t.TempDir(), "data"), Council: "northmoor.gov.uk", GSS: "E07000998", Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Limits.MinFreeMiB = 16
	cfg.Web.WebhookNetworks = []string{"127.0.0.0/8"}
	n, err := node.Open(cfg, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	a, err := api.New(api.Options{Node: n, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { n.Run(ctx); close(ran) }()
	defer func() { cancel(); <-ran }()
	srv := httptest.NewServer(a)
	defer srv.Close()
	k, err := n.Access().AddKey(t.Context(), node.KeyRequest{Title: "housing", Allow: []string{"write:own:" + housing, "read:both:" + housing, "webhooks"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(srv.URL, k.Secret, srv.Client())
	if err != nil {
		t.Fatal(err)
	}
	s := New(c, nil, time.Now)
	told := make(chan struct{}, 100)
	hook := httptest.NewServer(httptestHandler(s, told))
	defer hook.Close()
	r := httptest.NewRequest("POST", "/v1/webhooks", strings.NewReader(`{"title":"housing","url":"`+hook.URL+`/hooks"}`))
	r.Header.Set("Authorization", "Bearer "+k.Secret)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	var made struct{ Secret string }
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	s.mu.Lock()
	if s.Secret, err = ParseSecret(made.Secret); err != nil {
		t.Fatal(err)
	}
	s.mu.Unlock()

	if err := s.Save(ctx, "HN-1", json.RawMessage(one)); err != nil {
		t.Fatal(err)
	}
	same, err := s.Check(ctx, "HN-1")
	if err != nil || !same {
		t.Errorf("read back: %v, %v", same, err)
	}
	id := s.cases["HN-1"].ID
	for s.Told(id) != "record.put" {
		select {
		case <-told:
		case <-time.After(3 * time.Minute):
			t.Fatal("no webhook came")
		}
	}
	if err := s.Save(ctx, "HN-1", json.RawMessage(strings.Replace(one, "E07000999", "E07000997", 1))); err != nil || s.cases["HN-1"].Version != 2 {
		t.Errorf("changed: %v", err)
	}
	// Somebody else changes it: the system does not write over that.
	if _, err := c.Put(ctx, housing, "HN-1", json.RawMessage(strings.Replace(one, "E07000999", "E07000996", 1)), client.Always); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(ctx, "HN-1", json.RawMessage(one)); err == nil || !strings.Contains(err.Error(), "changed elsewhere") {
		t.Errorf("wrote over it: %v", err)
	}
	// A message that is not the node's is not taken.
	forged := httptest.NewRequest("POST", "/hooks", strings.NewReader(`{"data":{"type":"received.withdrawn"}}`))
	forged.Header.Set("webhook-id", "msg_1")
	forged.Header.Set("webhook-timestamp", "1796083200")
	forged.Header.Set("webhook-signature", "v1,AAAA")
	fw := httptest.NewRecorder()
	s.ServeHTTP(fw, forged)
	if fw.Code != 401 {
		t.Errorf("a forged message: %d", fw.Code)
	}
	sum, err := c.Import(ctx, housing, strings.NewReader(strings.ReplaceAll(one, "HN-1", "HN-2")+"\n{}\n"), 0, false, nil)
	if err != nil || sum.Rows != 2 || sum.Refused != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
}

// httptestHandler serves the system and says when something has come.
func httptestHandler(s *System, told chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(w, r)
		select {
		case told <- struct{}{}:
		default:
		}
	})
}
