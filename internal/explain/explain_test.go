package explain

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

const (
	northmoor name.Council = "northmoor.gov.uk"
	saltby    name.Council = "saltby.gov.uk"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

const huts = `
agreement: northmoor.gov.uk/huts
version: 1
from: northmoor.gov.uk
to: [saltby.gov.uk]
mode: replicate
standard: standards.example/hut@1
rows: record.doors > 1
fields: [/id]
`

// none are the footprints of a council that keeps none.
type none struct{}

func (none) Is(name.Council) bool                      { return false }
func (none) Has(name.Council) bool                     { return false }
func (none) Replica(name.Council) *footprint.Footprint { return nil }

type standing []agreement.Status

func (s *standing) Standing(time.Time) []agreement.Status                         { return *s }
func (s *standing) PassesNothing(*agreement.Agreement, time.Time) (string, error) { return "", nil }
func (s *standing) Status(a name.Agreement, _ time.Time) (agreement.Status, bool) {
	for _, st := range *s {
		if st.Agreement.Name == a {
			return st, true
		}
	}
	return agreement.Status{}, false
}

// A world is one council's ledger, what it believes of others, and its explainer.
type world struct {
	*Explainer
	agreements standing
	records    map[string]name.Record // by the value of their key
}

func open(t *testing.T) *world {
	t.Helper()
	ring, err := keys.Generate(northmoor)
	if err != nil {
		t.Fatal(err)
	}
	now, log := func() time.Time { return noon }, slog.New(slog.DiscardHandler)
	l, err := ledger.Open(ledger.Options{
		Dir: filepath.Join(t.TempDir(), "ledger"), Council: northmoor, Keys: ring, Now: now, Log: log, Fatal: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	std, err := standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte("name: standards.example/hut\nversion: 1.0.0\ntitle: Hut\nstatus: live\nkey: [/id]\nclasses: {/doors: internal}\n")},
		"schema.json":   {Data: []byte(`{"type":"object","additionalProperties":false,"required":["id"],"properties":{"id":{"type":"string"},"doors":{"type":"integer"}}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Adopt(t.Context(), std); err != nil {
		t.Fatal(err)
	}
	w := &world{records: map[string]name.Record{}}
	for id, doors := range map[string]string{"one": "1", "two": "2"} {
		body, err := strictjson.Decode([]byte(`{"id":"`+id+`","doors":`+doors+`}`), strictjson.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		o, err := l.Offer(std, body.(map[string]any))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Write(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		w.records[id] = o.Record()
	}
	d, err := directory.New()
	if err != nil {
		t.Fatal(err)
	}
	cs, err := peersync.OpenConfirmations(l)
	if err != nil {
		t.Fatal(err)
	}
	w.Explainer = New(Options{
		Self: northmoor, Ledger: l, Keys: ring, Directory: d, View: func() *tufdir.View { return &tufdir.View{} }, Agreements: &w.agreements, Footprints: none{},
		Confirmations: cs, AsksFor: func(*agreement.Agreement) name.Council { return "" },
		Running: func() (*peersync.Syncer, []name.Council) { return nil, nil },
		LetOut: func(context.Context, api.DisclosureRequest) (*api.DisclosureReply, error) {
			return &api.DisclosureReply{}, nil
		},
		Held:   func(_ name.Council, typed string) (name.Record, error) { return name.ParseRecord(typed) },
		Record: func(typed, _ string) (name.Record, error) { return name.ParseRecord(typed) }, Log: log, Now: now,
	})
	return w
}

// member puts saltby into the directory as it is on some day.
func (w *world) member(t *testing.T, change func(*directory.Member)) {
	t.Helper()
	ring, err := keys.Generate(saltby)
	if err != nil {
		t.Fatal(err)
	}
	m := directory.FromRing(saltby, ring)
	m.Title, m.Role, m.ValidFrom = "Saltby", directory.RoleCouncil, noon.AddDate(-1, 0, 0).Truncate(24*time.Hour)
	change(&m)
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	if err := w.o.Directory.Replace([]directory.Member{m}, nil); err != nil {
		t.Fatal(err)
	}
}

// agree puts the agreement over huts in force, with its feed.
func (w *world) agree(t *testing.T) *agreement.Agreement {
	t.Helper()
	a, err := agreement.Parse([]byte(huts))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.o.Ledger.OpenFeed(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	w.agreements = standing{{Agreement: a, Digest: a.Digest(), Phase: agreement.InForce}}
	return a
}

// What keeps us from exchanging with a council is told by its membership.
func TestGone(t *testing.T) {
	w := open(t)
	if got := w.gone(saltby); got != "it is not in the directory" {
		t.Errorf("a stranger: %q", got)
	}
	day := noon.Truncate(24 * time.Hour)
	for want, change := range map[string]func(*directory.Member){
		"":                                    func(*directory.Member) {},
		"its membership begins on 2026-11-29": func(m *directory.Member) { m.ValidFrom = day.AddDate(0, 0, 1) },
		"its membership ended on 2026-11-28":  func(m *directory.Member) { m.Ended = day },
		"its membership ended on 2026-11-28; fenwick.gov.uk and moorby.gov.uk has taken over: agree with it": func(m *directory.Member) {
			m.Ended, m.Successors = day, []name.Council{"fenwick.gov.uk", "moorby.gov.uk"}
		},
	} {
		w.member(t, change)
		if got := w.gone(saltby); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The first rule that does not hold is the answer, and it holds no field's value.
func TestWhy(t *testing.T) {
	w := open(t)
	ask := func(record, partner string) *api.WhyReply {
		t.Helper()
		r, err := w.Why(t.Context(), api.WhyRequest{Record: string(w.records[record]), Partner: partner})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	failing := func(r *api.WhyReply) (rules []string) {
		for _, s := range r.Steps {
			if !s.Holds {
				rules = append(rules, s.Rule)
			}
		}
		return rules
	}
	r := ask("two", "saltby.gov.uk")
	if got := failing(r); r.Has || !slices.Contains(got, "the partner is in the directory") || !slices.Contains(got, "an agreement covers this standard") {
		t.Errorf("a stranger: %q", got)
	}
	w.member(t, func(*directory.Member) {})
	w.agree(t)
	w.settle(t)
	r = ask("one", "SALTBY.gov.uk")
	if got := failing(r); r.Has || !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "row filter: ") }) {
		t.Errorf("a record that the filter leaves out: %q", got)
	}
	r = ask("two", "saltby.gov.uk")
	if got := failing(r); r.Has || !slices.Contains(got, "the partner has acknowledged it") || slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "row filter: ") }) {
		t.Errorf("a record that was not fetched yet: %q", got)
	}
	sent := map[string]bool{}
	for _, f := range r.Fields {
		sent[f.Field] = f.Sent
	}
	if len(sent) != 2 || !sent["/id"] || sent["/doors"] {
		t.Errorf("fields: %v", sent)
	}
	if _, err := w.Why(t.Context(), api.WhyRequest{Record: string(w.records["two"]), Partner: "not a council"}); err == nil {
		t.Error("a partner that is none was answered")
	}
}

// settle waits until the records there were are matched.
func (w *world) settle(t *testing.T) {
	t.Helper()
	for {
		changed := w.o.Ledger.Changed()
		if fs := w.o.Ledger.Feeds(); len(fs) > 0 && fs[0].Ready {
			return
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal("the feed was not made")
		}
	}
}

// A receiver that has acknowledged nothing is behind, and the reason is what an
// operator can do something about: what stops all exchange comes first.
func TestPartners(t *testing.T) {
	w := open(t)
	w.member(t, func(*directory.Member) {})
	w.agree(t)
	w.settle(t)
	one := func() api.PartnerReply {
		t.Helper()
		ps, err := w.Partners(false)
		if err != nil || len(ps) != 1 {
			t.Fatalf("%+v, %v", ps, err)
		}
		return ps[0]
	}
	if p := one(); p.Council != saltby || p.Direction != "to" || p.InStep || p.Offered != 1 || p.Held != 0 || p.Behind != "this node is not running" {
		t.Errorf("got %+v", p)
	}
	w.agreements[0].Phase, w.agreements[0].Why = agreement.Suspended, "suspended by northmoor.gov.uk"
	if p := one(); !p.Suspended || p.InStep || p.Behind != "suspended by northmoor.gov.uk" {
		t.Errorf("suspended: %+v", p)
	}
	w.agreements[0].Phase, w.agreements[0].Why = agreement.Ended, "ended by northmoor.gov.uk"
	if ps, err := w.Partners(false); err != nil || len(ps) != 0 {
		t.Errorf("over, with nothing to take back: %+v, %v", ps, err)
	}
	if got := w.Flows(saltby); len(got) != 0 {
		t.Errorf("flows: %+v", got)
	}
}
