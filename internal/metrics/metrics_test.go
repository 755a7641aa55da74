package metrics

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/condition"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/replicas"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
)

// nothing is what a council with no agreements and no footprints has.
type nothing struct{}

func (nothing) Standing(time.Time) []agreement.Status { return nil }
func (nothing) List() []*replicas.Replica             { return nil }
func (nothing) All() []*replicas.Replica              { return nil }

func open(t *testing.T, change func(*Options)) *Monitor {
	t.Helper()
	ring, err := keys.Generate("northmoor.gov.uk")
	if err != nil {
		t.Fatal(err)
	}
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	now := func() time.Time { return time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC) }
	l, err := ledger.Open(ledger.Options{
		Dir: filepath.Join(dir, "ledger"), Council: "northmoor.gov.uk", Keys: ring, Now: now, Log: log, Fatal: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	d, err := directory.New()
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	close(ready)
	o := Options{
		Listen: "127.0.0.1:0", Version: "1.2.3", Data: dir, Ledger: l, Directory: d, View: func() *tufdir.View { return &tufdir.View{} }, Agreements: nothing{},
		Replicas: nothing{}, Partners: func() ([]api.PartnerReply, error) { return nil, nil },
		Conditions: func() []api.Condition { return nil }, Blocked: func() api.Condition { return api.Condition{} }, Ready: ready, Log: log, Now: now,
		Passed: func() []quota.Refused { return nil },
	}
	change(&o)
	return New(o)
}

// scrape returns what a scrape shows.
func scrape(t *testing.T, m *Monitor) string {
	t.Helper()
	h, err := m.Handler()
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func expect(t *testing.T, page string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains(page, "\n"+l+"\n") {
			t.Errorf("no line %q in\n%s", l, page)
		}
	}
}

// What councils were refused beyond their shares is a figure for each kind of thing.
func TestShares(t *testing.T) {
	m := open(t, func(o *Options) {
		o.Passed = func() []quota.Refused {
			return []quota.Refused{{Council: "saltby.gov.uk", Kind: "questions", Count: 3}, {Council: "hexwell.gov.uk", Kind: "questions", Count: 4}, {Council: "hexwell.gov.uk", Kind: quota.Cosignings, Count: 1}}
		}
	})
	page := scrape(t, m)
	expect(t, page, `stile_quota_refused_total{kind="questions"} 7`, `stile_quota_refused_total{kind="cosign requests"} 1`)
	if strings.Contains(page, "hexwell") {
		t.Error("the figure names a stranger")
	}
}

// Before the first count a scrape shows what can be read at once; after it, what was
// counted, and then nothing is counted by a scrape.
func TestCount(t *testing.T) {
	asked := 0
	m := open(t, func(o *Options) {
		o.Partners = func() ([]api.PartnerReply, error) { asked++; return nil, nil }
	})
	std, err := standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte("name: standards.example/hut\nversion: 1.0.0\ntitle: Hut\nstatus: live\nkey: [/id]\nclasses: {/id: open}\n")},
		"schema.json":   {Data: []byte(`{"type":"object","additionalProperties":false,"required":["id"],"properties":{"id":{"type":"string"}}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.o.Ledger.Adopt(t.Context(), std); err != nil {
		t.Fatal(err)
	}
	o, err := m.o.Ledger.Offer(std, map[string]any{"id": "CANARY"})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.o.Ledger.Write(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	page := scrape(t, m)
	expect(t, page, `stile_build_info{version="1.2.3"} 1`, "stile_ledger_entries 2")
	if strings.Contains(page, "stile_records") {
		t.Errorf("records before they were counted:\n%s", page)
	}
	if err := m.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	page = scrape(t, m)
	expect(t, page, `stile_records{standard="standards.example/hut@1.0.0"} 1`, "stile_agreements_not_in_force 0")
	if strings.Contains(page, "CANARY") || strings.Contains(page, string(o.Record())) {
		t.Errorf("a value or a record's id is shown:\n%s", page)
	}
	if asked != 1 {
		t.Errorf("partners were asked about %d times, want once", asked)
	}
}

// Agreements with one partner about one standard are shown as one, which is in step
// when all are; those that a footprint of ours sends are the footprint's to show.
func TestPartners(t *testing.T) {
	of := func(change func(*api.PartnerReply)) api.PartnerReply {
		p := api.PartnerReply{Council: "saltby.gov.uk", Agreement: "northmoor.gov.uk/a", Direction: "to", InStep: true, Held: 3, OldestHours: 1}
		change(&p)
		return p
	}
	m := open(t, func(o *Options) {
		o.Partners = func() ([]api.PartnerReply, error) {
			return []api.PartnerReply{
				of(func(*api.PartnerReply) {}),
				of(func(p *api.PartnerReply) {
					p.Agreement, p.InStep, p.Held, p.OldestHours = "northmoor.gov.uk/b", false, 4, 2
				}),
				of(func(p *api.PartnerReply) { p.Footprint, p.Held = "fens.footprint.uk", 900 }),
			}, nil
		}
		accepted := condition.New("keys-in-clear", "", "", "")
		accepted.Severity, accepted.Accepted = api.Notice, true
		o.Conditions = func() []api.Condition {
			return []api.Condition{condition.New("partner-two-histories", "", "", ""), condition.New("partner-two-histories", "", "", ""), accepted}
		}
	})
	if err := m.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	page := scrape(t, m)
	l := `{direction="out",partner="saltby.gov.uk",standard="@0"} `
	expect(t, page, "stile_partner_in_step"+l+"0", "stile_partner_records"+l+"7", "stile_partner_oldest_withdrawal_age_seconds"+l+"7200",
		`stile_condition{name="partner-two-histories",severity="critical"} 2`, `stile_condition{name="keys-in-clear",severity="warning"} 0`,
		`stile_condition{name="keys-in-clear",severity="notice"} 1`, `stile_condition{name="disk-full",severity="critical"} 0`)
	if page := scrape(t, open(t, func(*Options) {})); strings.Contains(page, "stile_condition{") {
		t.Errorf("before anybody looked:\n%s", page)
	}
	if strings.Contains(page, "northmoor.gov.uk/") {
		t.Errorf("an agreement is named:\n%s", page)
	}
}

// lines are those of a log, as far as somebody reads them.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	select {
	case l <- string(b):
	default:
	}
	return len(b), nil
}

// A node is ready when it can be reached and there is room for records; it lives
// either way.
func TestServe(t *testing.T) {
	starting := make(chan struct{})
	said := make(lines, 1)
	m := open(t, func(o *Options) { o.Ready, o.Log = starting, slog.New(slog.NewTextHandler(said, nil)) })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Serve(ctx) }()
	select {
	case err := <-done:
		t.Fatal(err)
	case line := <-said:
		if m.Address() == "" || !strings.Contains(line, m.Address()) {
			t.Fatalf("it serves at %q and says %q", m.Address(), line)
		}
	}
	get := func(path string) (int, string) {
		t.Helper()
		r, err := http.Get("http://" + m.Address() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, strings.TrimSpace(string(b))
	}
	if code, text := get("/readyz"); code != http.StatusServiceUnavailable || text != "not ready: the node is starting" {
		t.Errorf("starting: %d %s", code, text)
	}
	if code, text := get("/livez"); code != http.StatusOK || text != "alive" {
		t.Errorf("%d %s", code, text)
	}
	close(starting)
	if code, text := get("/readyz"); code != http.StatusOK || text != "ready" {
		t.Errorf("started: %d %s", code, text)
	}
	if code, _ := get("/records"); code != http.StatusNotFound {
		t.Errorf("another path: %d", code)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("ended: %v", err)
	}
	full := open(t, func(o *Options) {
		o.Blocked = func() api.Condition { return condition.New("disk-full", "no room", "", "") }
	})
	if why := full.unready(); why != "disk-full: no room" {
		t.Errorf("a full disk: %q", why)
	}
}
