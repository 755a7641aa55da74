package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

const (
	northmoor = name.Council("northmoor.gov.uk")
	saltby    = name.Council("saltby.gov.uk")
)

// A running is a node and how to stop it.
type running struct {
	*node.Node
	stop func()
}

// A face is a node, or one that runs.
type face interface {
	Records() node.Records
	Standards() node.Standards
	Status(context.Context) (node.StatusReply, error)
}

// start founds a node in a folder of its own and runs it on loopback.
func start(t testing.TB, c name.Council, gss string) *running {
	t.Helper()
	return startAt(t, c, gss, time.Now)
}

// little has a node make do with little disk and, in a test, with little memory: each store
// begins with a table in memory of the size that this allows, and the race detector watches
// all of it.
func little(t testing.TB, cfg *config.Config) {
	cfg.Limits.MinFreeMiB = 16
	if _, test := t.(*testing.T); test {
		cfg.Limits.MemoryMiB = 32
	}
}

// startAt is start with another clock.
func startAt(t testing.TB, c name.Council, gss string, now func() time.Time) *running {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	cfg, err := node.Init(t.Context(), node.InitOptions{
		Dir: dir, Council: c, GSS: gss, Listen: []string{"/ip4/127.0.0.1/tcp/0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	little(t, cfg)
	var log *slog.Logger
	if os.Getenv("STILE_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("node", c)
	}
	n, err := node.Open(cfg, node.Options{Log: log, Now: now, Fatal: func(err error) { t.Errorf("%s: %v", c, err) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	select {
	case <-n.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	stopped := false
	r := &running{Node: n}
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s: run: %v", c, err)
		}
		if err := n.Close(); err != nil {
			t.Errorf("%s: close: %v", c, err)
		}
	}
	t.Cleanup(r.stop)
	return r
}

// call carries out an operation that must not fail.
func call[In, Out any](t testing.TB, f func(context.Context, In) (Out, error), in In) Out {
	t.Helper()
	out, err := f(t.Context(), in)
	if err != nil {
		t.Fatalf("%T: %v", in, err)
	}
	return out
}

// get carries out an operation that takes nothing and must not fail.
func get[Out any](t testing.TB, f func(context.Context) (Out, error)) Out {
	t.Helper()
	out, err := f(t.Context())
	if err != nil {
		t.Fatalf("%T: %v", out, err)
	}
	return out
}

// try carries out an operation; out may be nil.
func try[In, Out any](ctx context.Context, f func(context.Context, In) (Out, error), in In, out *Out) error {
	got, err := f(ctx, in)
	if out != nil {
		*out = got
	}
	return err
}

// introduce puts each node into the other's directory.
func introduce(t testing.TB, nodes ...*running) {
	t.Helper()
	for _, n := range nodes {
		me := call(t, n.Councils().Show, node.MemberNameRequest{})
		m, err := directory.ParseMember([]byte(me.Document))
		if err != nil {
			t.Fatal(err)
		}
		m.Addresses = n.Addresses()
		for _, other := range nodes {
			call(t, other.Councils().Add, node.MemberRequest{Document: m.YAML()})
		}
	}
}

// pollEvery is short beside what is waited for, and long beside what asking costs.
const pollEvery = 20 * time.Millisecond

// await polls f until it says true.
func await(t testing.TB, what string, f func() bool) {
	t.Helper()
	awaitEvery(t, pollEvery, what, f)
}

func awaitEvery(t testing.TB, every time.Duration, what string, f func() bool) {
	t.Helper()
	awaitWithin(t, 4*time.Minute, every, what, f)
}

func awaitWithin(t testing.TB, within, every time.Duration, what string, f func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !f() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		case <-tick.C:
		}
	}
}

func planning(i int, district string) map[string]any {
	return map[string]any{
		"reference": fmt.Sprintf("26/%07d/PA", i), "organisation": "local-authority:NBR", "district": district,
		"uprn": 100000000000 + i, "address": "30 Station Road, Eastleigh Vale, SQ3 8CO", "postcode": "SQ3 8CO",
		"longitude": -2.203408, "latitude": 53.379509, "applicationType": "reserved-matters", "status": "in-consultation",
		"description":  "Removal of a failing boundary wall and planting of a replacement hedge.",
		"receivedDate": "2026-02-16", "validDate": "2026-02-23", "decision": nil, "decisionDate": nil,
		"caseOfficer": "officer-1", "applicantName": fmt.Sprintf("CANARY%d", i), "applicantEmail": "kezia.sandhu8572@example.org",
	}
}

func offer(t testing.TB, n face, std string, records ...map[string]any) node.PutReply {
	t.Helper()
	in := node.PutRequest{Standard: std}
	for i, r := range records {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		in.Records = append(in.Records, node.Offered{Row: i + 1, Record: b})
	}
	return call(t, n.Records().Put, in)
}

const planningAgreement = `
agreement: northmoor.gov.uk/planning-for-saltby
version: 1
from: northmoor.gov.uk
to: [saltby.gov.uk]
mode: replicate
standard: standards.stile.example/planning-application@1
rows: record.district == "X"
fields: [/reference, /organisation, /district, /address, /postcode, /longitude, /latitude, /applicationType, /status, /description, /decision, /decisionDate]
purpose: To consult the neighbouring authority on applications near the boundary.
necessity: The neighbour cannot comment on what it does not know of.
data_items: The public register entry of each application; no applicant.
lawful_basis:
  article_6: 6(1)(e) public task
  legal_power: Town and Country Planning Act 1990, section 69
dpia: Screened 2026-10-01; a full assessment is not needed.
roles:
  northmoor.gov.uk: controller
  saltby.gov.uk: controller
contacts:
  northmoor.gov.uk: dpo@northmoor.gov.uk
  saltby.gov.uk: dpo@saltby.gov.uk
rights_contact: dpo@northmoor.gov.uk
accuracy: Corrections follow as new versions at once.
retention: P2Y
disposal: Deleted by the node on withdrawal.
security: Planning officers only; breaches are told within a day.
review: 2029-11-01
starts: 2026-01-01
ends: 2030-01-01
exit: Either side ends it with a month's notice; copies are deleted.
`

func TestExchange(t *testing.T) {
	t.Parallel()
	a, b := start(t, northmoor, "E07000998"), start(t, saltby, "E07000999")
	introduce(t, a, b)
	std := "planning-application"
	var records []map[string]any
	for i := range 300 {
		d := "Y"
		if i%3 == 0 {
			d = "X"
		}
		records = append(records, planning(i, d))
	}
	for _, r := range offer(t, a, std, records...).Results {
		if len(r.Problems) > 0 {
			t.Fatalf("refused: %+v", r.Problems)
		}
	}
	doc := node.AgreementRequest{Document: []byte(planningAgreement)}
	if p := call(t, a.Agreements().Preview, doc); p.Matched != 100 || len(p.Problems) > 0 {
		t.Fatalf("preview: %+v", p)
	}
	call(t, a.Agreements().Sign, doc)
	nm := node.AgreementRequest{Name: "northmoor.gov.uk/planning-for-saltby"}
	await(t, "the proposal arrives", func() bool {
		return len(get(t, b.Agreements().List)) == 1
	})
	if got := call(t, b.Agreements().Sign, nm); !got.InForce {
		t.Fatalf("after both signed: %+v", got)
	}
	partner := func(n face) node.PartnerReply {
		s := get(t, n.Status)
		if len(s.Partners) != 1 {
			return node.PartnerReply{}
		}
		return s.Partners[0]
	}
	await(t, "saltby holds 100 records", func() bool { p := partner(b); return p.Held == 100 && p.InStep && p.Proved == 100 })
	await(t, "northmoor has the receipts", func() bool { p := partner(a); return p.Held == 100 && p.InStep })

	shown := call(t, b.Records().List, node.ListRequest{From: northmoor, Limit: 1000, Bodies: true})
	if len(shown.Records) != 100 {
		t.Fatalf("%d records listed", len(shown.Records))
	}
	for _, r := range shown.Records {
		if strings.Contains(string(r.Body), "CANARY") || strings.Contains(string(r.Body), `"district":"Y"`) {
			t.Fatalf("more than agreed was shared: %s", r.Body)
		}
		if r.Withheld != 6 {
			t.Fatalf("%d fields withheld, want 6: %s", r.Withheld, r.Body)
		}
	}

	// Live: a new one, a changed one, one that leaves, one that is deleted.
	offer(t, a, std, planning(1000, "X"))
	moved := offer(t, a, std, planning(0, "Y")).Results[0]
	if moved.Withdrawn != 1 {
		t.Fatalf("moving out of the filter: %+v", moved)
	}
	call(t, a.Records().Delete, node.RecordRequest{Record: "26/0000003/PA"})
	await(t, "saltby holds 99", func() bool { p := partner(b); return p.Held == 99 && p.InStep })
	await(t, "the withdrawals are receipted", func() bool { p := partner(a); return p.Held == 99 && p.Outstanding == 0 && p.InStep })
	why := call(t, a.Why, node.WhyRequest{Partner: string(saltby), Record: "26/0000000/PA"})
	if why.Has || len(why.Steps) == 0 {
		t.Errorf("why: %+v", why)
	}
	if s := get(t, a.Status); len(s.Witnesses) != 1 {
		t.Errorf("witnesses: %+v", s.Witnesses)
	}

	// The end: everything is deleted and receipted, though a newer text, which is
	// not in force, has been proposed.
	newer := strings.Replace(planningAgreement, "version: 1", "version: 2", 1)
	call(t, a.Agreements().Sign, node.AgreementRequest{Document: []byte(newer)})
	if r := call(t, a.Agreements().End, node.AgreementRequest{Name: nm.Name, Reason: "the pilot is over"}); r.Version != 1 {
		t.Errorf("version %d was ended", r.Version)
	}
	await(t, "saltby has deleted everything", func() bool {
		return get(t, b.Status).Holdings == 0
	})
	await(t, "northmoor knows", func() bool {
		return len(get(t, a.Status).Partners) == 0
	})
	// Gone from the files, too.
	b.stop()
}
