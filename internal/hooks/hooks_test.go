package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/webhook"
	"github.com/stile-exchange/stile/node/api"
)

// feed is a feed of one change.
func feed(_ context.Context, in api.ChangesRequest) (*api.ChangesReply, error) {
	if in.After == "now" || in.After == "1-" {
		return &api.ChangesReply{Cursor: "1-", Live: true}, nil
	}
	c := api.FeedChange{Cursor: "1-", Position: 1, Type: api.ChangePut, Standard: "standards.example/x@1.0.0", Records: []api.ChangedRecord{{Record: "r1"}}}
	return &api.ChangesReply{Changes: []api.FeedChange{c}, Cursor: "1-", Live: true}, nil
}

func options(t *testing.T, dir string, ring *keys.Ring) Options {
	t.Helper()
	s, err := access.OpenStore(filepath.Join(dir, "access.json"), bytes.NewReader(make([]byte, 1000)), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Council: "northmoor.gov.uk", Data: dir, Keys: ring, Access: s, Guard: webhook.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Read: feed, Changed: func(ctx context.Context) <-chan struct{} { return ctx.Done() }, Log: slog.New(slog.DiscardHandler), Now: time.Now,
	}
}

func ring(t *testing.T) *keys.Ring {
	t.Helper()
	r, err := keys.Generate("northmoor.gov.uk")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What is on disk shows neither URL nor secret, is read again with the same keys, and by no
// others; a file in clear is taken over and sealed; one that was altered is refused.
func TestSealed(t *testing.T) {
	dir, r := t.TempDir(), ring(t)
	o := options(t, dir, r)
	k, err := o.Access.Add(api.KeyRequest{Title: "ours", Allow: []string{"read:own:*"}})
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, FileName)
	clear := `{"version":1,"hooks":[{"id":"hook_old","title":"old","url":"https://127.0.0.1/path-of-old","key":"` + k.ID + `","allow":["read:own:*"],"made":"2026-01-01T00:00:00Z","secret":"whsec_old","cursor":"1-"}]}`
	if err := os.WriteFile(at, []byte(clear), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Add(t.Context(), api.WebhookRequest{Title: "new", URL: "https://127.0.0.1/path-of-new", Key: k.ID}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"whsec", "path-of", "127.0.0.1", "hook_old"} {
		if bytes.Contains(b, []byte(s)) {
			t.Errorf("the file holds %q", s)
		}
	}
	again, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	all, err := again.List(t.Context(), api.Empty{})
	if err != nil || len(all) != 2 || all[0].Title != "old" || all[1].Host != "127.0.0.1" || all[1].Secret != "" {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := Open(options(t, dir, ring(t))); err == nil || !strings.Contains(err.Error(), keys.ErrSealed.Error()) {
		t.Errorf("with other keys: %v", err)
	}
	for i := range b {
		b[i] ^= 1
		if list, _, err := parse(b, func(b []byte) ([]byte, error) { return r.Open(purpose, b) }); err == nil && len(list) > 0 {
			t.Errorf("byte %d altered: %d webhooks", i, len(list))
		}
		b[i] ^= 1
	}
	if _, err := r.Open("another", b); err == nil {
		t.Error("it opens for another purpose")
	}
}

// An event that is not taken at first comes again under one id, and both attempts are told;
// where the webhook stands outlives the keeper.
func TestDelivered(t *testing.T) {
	dir, r := t.TempDir(), ring(t)
	o := options(t, dir, r)
	k, err := o.Access.Add(api.KeyRequest{Title: "ours", Allow: []string{"read:own:*"}})
	if err != nil {
		t.Fatal(err)
	}
	type got struct {
		id   string
		body []byte
		err  error
	}
	var secret webhook.Secret
	fail, came := true, make(chan got, 4)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		id, err := webhook.Verify(secret, r.Header, b, time.Now())
		if fail {
			fail = false
			w.WriteHeader(503)
		}
		came <- got{id, b, err}
	}))
	defer srv.Close()
	h, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	made, err := h.Add(t.Context(), api.WebhookRequest{Title: "ours", URL: srv.URL + "/x", Key: k.ID, After: "0-", Types: []string{api.ChangePut}})
	if err != nil {
		t.Fatal(err)
	}
	if secret, err = webhook.ParseSecret(made.Secret); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { h.Run(ctx); close(ran) }()
	first := <-came
	for { // until it is written down that it failed; then at once, rather than in a minute
		runtime.Gosched()
		all, _ := h.List(ctx, api.Empty{})
		if all[0].State == api.WebhookFailing {
			break
		}
	}
	if _, err := h.Replay(ctx, api.WebhookReplayRequest{ID: made.ID}); err != nil {
		t.Fatal(err)
	}
	second := <-came
	for {
		if all, _ := h.List(ctx, api.Empty{}); all[0].Sent == 1 {
			break
		}
	}
	stop()
	<-ran
	var e CloudEvent
	if err := json.Unmarshal(second.body, &e); err != nil || e.Type != "uk.stile.record.put" || e.Subject != "r1" || e.Source != "https://northmoor.gov.uk" {
		t.Errorf("%s, %v", second.body, err)
	}
	if first.err != nil || second.err != nil || first.id != second.id {
		t.Errorf("first %q %v, second %q %v", first.id, first.err, second.id, second.err)
	}
	if h, err = Open(o); err != nil {
		t.Fatal(err)
	}
	d, err := h.Deliveries(t.Context(), api.WebhookIDRequest{ID: made.ID})
	if err != nil || len(d) != 2 || !d[0].Taken || d[1].Taken || d[1].Reason == "" || d[0].Message != second.id || d[0].Event != "1-" {
		t.Errorf("%+v, %v", d, err)
	}
}

// What is read from the file is written and read as the same, and nothing makes it panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version":1,"hooks":[{"id":"a","cursor":"1-"}]}`))
	f.Add([]byte(`{"version":2,"sealed":"AAAA"}`))
	f.Add([]byte(`{"version":1,"hooks":[null]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, _, err := parse(b, func(b []byte) ([]byte, error) { return b, nil })
		if err != nil {
			return
		}
		out, err := marshal(file{Version: 1, Hooks: list})
		if err != nil {
			return // a time beyond what JSON can say
		}
		again, _, err := parse(out, nil)
		if err != nil || len(again) != len(list) {
			t.Errorf("%d webhooks came back as %d: %v", len(list), len(again), err)
		}
	})
}
