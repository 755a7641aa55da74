package statement

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/gate"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/measure"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

const northmoor name.Council = "northmoor.gov.uk"

type noAgreements struct{}

func (noAgreements) Standing(time.Time) []agreement.Status { return nil }
func (noAgreements) Status(name.Agreement, time.Time) (agreement.Status, bool) {
	return agreement.Status{}, false
}

// A council is a ledger with its gate and its statements, at a time of its own.
type council struct {
	*Keeper
	gate *gate.Gate
	now  time.Time
	hut  *standard.Standard
	// feeds are those that are of a tool.
	feeds []string
}

func open(t *testing.T, every time.Duration) *council {
	t.Helper()
	c := &council{now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)}
	var err error
	c.hut, err = standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte("name: standards.example/hut\nversion: 1.0.0\ntitle: Hut\nstatus: live\nkey: [/id]\nclasses: {/id: open}\nmeasures: {fresh_within: P7D}\n")},
		"schema.json":   {Data: []byte(`{"type":"object","additionalProperties":false,"required":["id"],"properties":{"id":{"type":"string"},"doors":{"type":"integer"}}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Generate(northmoor)
	if err != nil {
		t.Fatal(err)
	}
	now, log := func() time.Time { return c.now }, slog.New(slog.DiscardHandler)
	l, err := ledger.Open(ledger.Options{
		Dir: filepath.Join(t.TempDir(), "ledger"), Council: northmoor, Keys: ring, Now: now, Log: log, Fatal: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	stds := map[string]*standard.Standard{"hut": c.hut}
	for _, dir := range schemas.Names() {
		slug, _, _ := strings.Cut(dir, "/")
		if !slices.ContainsFunc([]string{string(measure.Standard), tools, suppliers}, func(n string) bool { return name.StandardName(n).Slug() == slug }) {
			continue
		}
		s, err := standard.Load(schemas.FS(dir))
		if err != nil {
			t.Fatal(err)
		}
		stds[string(s.Name().Name)] = s // the newest comes last
	}
	if len(stds) != 4 {
		t.Fatal("the standards of statements and tools do not come with Stile")
	}
	for _, s := range stds {
		if err := l.Adopt(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	named := func(typed string) (*standard.Standard, error) {
		if s := stds[typed]; s != nil {
			return s, nil
		}
		return nil, api.Fail(api.NotFound, "", "no such standard")
	}
	d, err := directory.New()
	if err != nil {
		t.Fatal(err)
	}
	c.gate = gate.New(gate.Options{Ledger: l, Keys: ring, Standard: named, Now: now, Workers: 2, RecordBytes: 1 << 20})
	c.Keeper = New(Options{
		Self: northmoor, Ledger: l, Directory: d, Agreements: noAgreements{}, Uses: NewUses(l, log), Standard: named,
		RecordID: ring.RecordID, Feeds: func(string) []string { return c.feeds }, Stands: c.gate.Stands, Put: c.gate.Put, Log: log, Now: now, Workers: 2, Every: every,
	})
	return c
}

func (c *council) put(t *testing.T, hold bool, records ...string) {
	t.Helper()
	in := api.PutRequest{Standard: "hut", Hold: hold}
	for i, r := range records {
		in.Records = append(in.Records, api.Offered{Reference: fmt.Sprint("row ", i), Record: []byte(r)})
	}
	if _, err := c.gate.Put(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// A statement counts live records, what they fill, first offers, what broke the
// rules and what is held back; a record that is older than its standard asks is not
// fresh. What is counted is of the checkpoint that the statement names.
func TestMeasure(t *testing.T) {
	c := open(t, 0)
	if r, err := c.Measure(t.Context(), api.MeasureRequest{}); err != nil || len(r.Statements) != 0 {
		t.Errorf("with nothing to say: %+v, %v", r, err)
	}
	c.put(t, false, `{"id":"1"}`)
	c.now = c.now.AddDate(0, 0, 8)
	c.put(t, true, `{"id":"2","doors":1}`, `{"id":"3","doors":"two"}`, `{"doors":4}`)
	r, err := c.Measure(t.Context(), api.MeasureRequest{Standard: "hut"})
	if err != nil || len(r.Statements) != 1 || r.Published != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	s := r.Statements[0]
	if s.Records != 2 || s.Offers.Seen != 4 || s.Offers.Valid != 2 || s.Held != 2 || len(s.Errors.Listed) != 2 || s.Freshness == nil || s.Freshness.Fresh != 1 {
		t.Errorf("got %+v", s)
	}
	want := []api.StatementField{{Field: "/doors", Filled: 1}, {Field: "/id", Filled: 2}}
	if fmt.Sprint(s.Fields) != fmt.Sprint(want) || s.Checkpoint.Size != c.o.Ledger.Size() {
		t.Errorf("fields %v at %d, want %v at %d", s.Fields, s.Checkpoint.Size, want, c.o.Ledger.Size())
	}
	c.put(t, true, `{"id":"3","doors":2}`)
	again, err := c.Measure(t.Context(), api.MeasureRequest{Standard: "hut"})
	if err != nil || again.Statements[0].Records != 3 || again.Statements[0].Offers.Valid != 2 {
		t.Errorf("a record that was mended: %+v, %v", again, err)
	}
}

// What is published is a record of the council's own; it is found by its id and as
// the newest, and adoption counts it. Statements themselves are not measured.
func TestPublish(t *testing.T) {
	c := open(t, 0)
	c.put(t, false, `{"id":"1"}`)
	r, err := c.Measure(t.Context(), api.MeasureRequest{Publish: true})
	if err != nil || len(r.Published) != 1 || r.Published[0].Outcome != api.Created {
		t.Fatalf("%+v, %v", r, err)
	}
	find := func(in api.BundleRequest) (s *measure.Statement, err error) {
		err = c.o.Ledger.View(func(v *ledger.View) error { _, s, err = c.Find(v, in); return err })
		return s, err
	}
	for _, in := range []api.BundleRequest{{Statement: "newest"}, {Statement: string(r.Published[0].Record)}, {Statement: "newest", Standard: "hut"}} {
		if s, err := find(in); err != nil || s.Records != 1 || s.Council != northmoor {
			t.Errorf("%+v: %+v, %v", in, s, err)
		}
	}
	kind := func(err error) api.Kind {
		if e, ok := errors.AsType[*api.Error](err); ok {
			return e.Kind
		}
		return ""
	}
	if _, err := find(api.BundleRequest{Statement: "last"}); kind(err) != api.Usage {
		t.Errorf("no id: %v", err)
	}
	if _, err := c.Measure(t.Context(), api.MeasureRequest{Standard: string(measure.Standard)}); kind(err) != api.Usage {
		t.Errorf("statements were measured: %v", err)
	}
	a, err := c.Adoption(t.Context(), api.AdoptionRequest{Standard: "hut"})
	if err != nil || len(a.Rows) != 1 || a.Rows[0].Statement.Records != 1 || len(a.Refused) != 0 {
		t.Errorf("adoption: %+v, %v", a, err)
	}
	if _, err := c.Adoption(t.Context(), api.AdoptionRequest{Standard: "barn"}); kind(err) != api.NotFound {
		t.Errorf("a standard that nobody speaks of: %v", err)
	}
	if a, err = c.Adoption(t.Context(), api.AdoptionRequest{At: c.now.AddDate(0, 0, -1)}); err != nil || len(a.Rows) != 0 {
		t.Errorf("the day before: %+v, %v", a, err)
	}
}

// A council whose newest statement is old enough makes one at once when it starts.
func TestRun(t *testing.T) {
	c := open(t, time.Hour)
	c.put(t, false, `{"id":"1"}`)
	c.now = c.now.Add(2 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	put := c.o.Put
	c.o.Put = func(ctx context.Context, in api.PutRequest) (*api.PutReply, error) {
		defer cancel()
		return put(ctx, in)
	}
	c.Run(ctx) // returns once a statement was made
	last, err := c.lastStatement()
	if err != nil || !last.Equal(c.now) {
		t.Errorf("the newest statement is of %s, want %s (%v)", last, c.now, err)
	}
}

// After Close nothing is noted any more, and no timer is left.
func TestUsesClose(t *testing.T) {
	c := open(t, 0)
	u := c.o.Uses
	src := &ledger.Source{From: "saltby.gov.uk", Agreement: "saltby.gov.uk/huts"}
	u.Note(src, nil)
	if u.timer == nil || len(u.waiting) != 1 {
		t.Errorf("noted: %d wait", len(u.waiting))
	}
	u.Close()
	u.Note(src, nil)
	if u.timer != nil || len(u.waiting) != 0 {
		t.Errorf("after Close %d wait", len(u.waiting))
	}
}
