package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// lookupAgreement lets to ask from for people who moved, by their national
// insurance number or reference.
func lookupAgreement(from, to name.Council, version int, fields string) string {
	return fmt.Sprintf(`
agreement: %[1]s/cases
version: %[3]d
from: %[1]s
to: [%[2]s]
mode: lookup
standard: standards.stile.example/housing-need@1
rows: record.moved_to == "E07000999"
fields: [%[4]s]
match: [/nino, /reference]
purpose: To take up a case of somebody who stands at the counter.
necessity: The caseworker needs to know whether there is a case, and no other cases.
data_items: Reference, status and the names of the household, about people who have moved.
lawful_basis:
  article_6: 6(1)(e) public task
  legal_power: Housing Act 1996, section 213B
dpia: DPIA-2026-118, 1 October 2026
roles: {%[1]s: controller, %[2]s: controller}
contacts: {%[1]s: dpo@northmoor.gov.uk, %[2]s: dpo@saltby.gov.uk}
rights_contact: dpo@northmoor.gov.uk answers for both.
accuracy: Each answer is the newest version.
retention: P1D
disposal: Nothing is kept.
security: Caseworkers only; breaches are told within 24 hours.
review: 2999-01-01
starts: 2020-01-01
exit: At once.
`, from, to, version, fields)
}

const caseFields = "/reference, /status, /applicant/name"

func housing(ref, nino, movedTo string) map[string]any {
	m := map[string]any{
		"reference": ref, "status": "relief-duty", "referral": "local-connection", "referred_on": "2026-11-02",
		"district": "E07000998", "moved_to": movedTo, "consent": map[string]any{"given_on": "2026-11-01", "how": "in-writing"},
		"applicant": map[string]any{"name": "Tomos Quarrington", "date_of_birth": "1988-04-17", "contact": map[string]any{"phone": "01632 960123"}}, "notes": "CANARY",
	}
	if nino != "" {
		m["nino"] = nino
	}
	return m
}

func offerHousing(t testing.TB, n *running, records ...map[string]any) []node.PutResult {
	t.Helper()
	got := offer(t, n, "housing-need", records...).Results
	for _, r := range got {
		if len(r.Problems) > 0 {
			t.Fatalf("refused: %+v", r.Problems)
		}
	}
	return got
}

// agreed signs a document at each node.
func agreed(t testing.TB, doc string, who ...*running) {
	t.Helper()
	line := strings.SplitN(strings.TrimSpace(doc), "\n", 2)[0]
	nm := strings.TrimPrefix(line, "agreement: ")
	call(t, who[0].Agreements().Sign, node.AgreementRequest{Document: []byte(doc)})
	for _, n := range who[1:] {
		await(t, "the proposal arrives", func() bool {
			var r node.AgreementReply
			err := try(t.Context(), n.Agreements().Show, node.AgreementRequest{Name: nm}, &r)
			return err == nil && strings.Contains(doc, fmt.Sprintf("\nversion: %d\n", r.Version))
		})
		call(t, n.Agreements().Sign, node.AgreementRequest{Document: []byte(doc)})
	}
	for _, n := range who {
		await(t, "it is in force everywhere", func() bool {
			return call(t, n.Agreements().Show, node.AgreementRequest{Name: nm}).InForce
		})
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	a, b := start(t, northmoor, "E07000998"), start(t, saltby, "E07000999")
	introduce(t, a, b)
	offerHousing(t, a, housing("HN-1", "AB123456C", "E07000999"), housing("HN-2", "AB123457C", "E07000997"), housing("HN-3", "", "E07000999"))
	agreed(t, lookupAgreement(northmoor, saltby, 1, caseFields), a, b)
	agreement := "northmoor.gov.uk/cases"
	ask := func(field, value string) node.LookupRequest {
		return node.LookupRequest{Agreement: agreement, Field: field, Value: value, Because: "case 2026/77"}
	}

	// What was there before the agreement is found, with the agreed fields alone.
	got := call(t, b.Questions().Ask, ask("/nino", "AB123456C"))
	if len(got.Records) != 1 || !got.Receipt {
		t.Fatalf("answer: %+v", got)
	}
	if body := string(got.Records[0].Body); body != `{"applicant":{"name":"Tomos Quarrington"},"reference":"HN-1","status":"relief-duty"}` {
		t.Errorf("body: %s", body)
	}
	// And what came since, and what changed.
	offerHousing(t, a, housing("HN-4", "AB123459C", "E07000999"), housing("HN-1", "AB123458C", "E07000999"))
	call(t, b.Questions().Ask, ask("/nino", "AB123459C"))
	call(t, b.Questions().Ask, ask("/nino", "AB123458C"))
	call(t, b.Questions().Ask, ask("/reference", "HN-3"))

	// A record outside the filter and one that is not are the same.
	none := refusedAs(t, node.NotFound, b.Questions().Ask, ask("/nino", "AB123457C"))
	if other := refusedAs(t, node.NotFound, b.Questions().Ask, ask("/nino", "AB999999C")); other != none {
		t.Errorf("told apart: %q and %q", none, other)
	}
	refusedAs(t, node.NotFound, b.Questions().Ask, ask("/nino", "AB123456C")) // its old number
	refusedAs(t, node.Refused, b.Questions().Ask, ask("/applicant/name", "Tomos Quarrington"))
	refusedAs(t, node.Refused, a.Questions().Ask, ask("/nino", "AB123458C"))

	// It leaves the filter, or is deleted.
	offerHousing(t, a, housing("HN-1", "AB123458C", "E07000997"))
	call(t, a.Records().Delete, node.RecordRequest{Record: "HN-3", Standard: "housing-need"})
	refusedAs(t, node.NotFound, b.Questions().Ask, ask("/nino", "AB123458C"))
	refusedAs(t, node.NotFound, b.Questions().Ask, ask("/reference", "HN-3"))

	// Both sides have logged every question and no value.
	for _, n := range []*running{a, b} {
		all := call(t, n.Questions().List, node.LookupListRequest{})
		if len(all) != 9 {
			t.Errorf("%d questions logged, want 9: %+v", len(all), all)
		}
		for _, q := range all {
			if q.Because != "case 2026/77" || q.Outcome == "" || !q.Receipt {
				t.Errorf("logged: %+v", q)
			}
		}
	}
	if s := get(t, b.Status); s.Holdings != 0 {
		t.Errorf("%d records are held", s.Holdings)
	}

	// Other fields are agreed; then it ends.
	agreed(t, lookupAgreement(northmoor, saltby, 2, "/reference, /status"), a, b)
	got = call(t, b.Questions().Ask, ask("/reference", "HN-4"))
	if body := string(got.Records[0].Body); body != `{"reference":"HN-4","status":"relief-duty"}` {
		t.Errorf("body: %s", body)
	}
	call(t, a.Agreements().End, node.AgreementRequest{Name: agreement, Reason: "the pilot is over"})
	await(t, "it is over at saltby", func() bool {
		return !call(t, b.Agreements().Show, node.AgreementRequest{Name: agreement}).InForce
	})
	refusedAs(t, node.Refused, b.Questions().Ask, ask("/reference", "HN-4"))
	dir := filepath.Join(b.Config().Data, "ledger")
	b.stop()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		// AB123456C is an example of the standard, whose archive stands there.
		for _, value := range []string{"AB123457C", "AB123458C", "AB123459C", "Quarrington"} {
			if strings.Contains(string(raw), value) {
				t.Errorf("%s holds %s, which was only to be shown", f.Name(), value)
			}
		}
	}
}

// startIn founds a node and runs it on a network in memory.
func startIn(t testing.TB, m *wire.Memory, c name.Council) *running {
	t.Helper()
	cfg, err := node.Init(t.Context(), node.InitOptions{Dir: t.TempDir() + "/data", Council: c})
	if err != nil {
		t.Fatal(err)
	}
	little(t, cfg)
	n, err := node.Open(cfg, node.Options{Fatal: func(err error) { t.Errorf("%s: %v", c, err) }})
	if err != nil {
		t.Fatal(err)
	}
	return runIn(t, wire.With(context.Background(), m.Node(c)), n)
}

// An agreement that stops copying has the receiver delete what it holds.
func TestCopiesBecomeQuestions(t *testing.T) {
	m := wire.NewMemory()
	a, b := startIn(t, m, northmoor), startIn(t, m, saltby)
	introduce(t, a, b)
	offerHousing(t, a, housing("HN-1", "AB123456C", "E07000999"))
	first := strings.Replace(lookupAgreement(northmoor, saltby, 1, caseFields), "mode: lookup", "mode: replicate", 1)
	first = strings.Replace(first, "match: [/nino, /reference]\n", "", 1)
	agreed(t, first, a, b)
	await(t, "saltby holds a copy", func() bool {
		return get(t, b.Status).Holdings == 1
	})
	agreed(t, lookupAgreement(northmoor, saltby, 2, caseFields), a, b)
	await(t, "saltby has deleted it", func() bool {
		return get(t, b.Status).Holdings == 0
	})
	await(t, "northmoor has its receipt", func() bool {
		for _, p := range get(t, a.Status).Partners {
			if p.Outstanding > 0 || p.Held > 0 {
				return false
			}
		}
		return true
	})
	got := call(t, b.Questions().Ask, node.LookupRequest{Agreement: "northmoor.gov.uk/cases", Field: "/nino", Value: "AB123456C", Because: "case 1"})
	if len(got.Records) != 1 {
		t.Errorf("asked: %+v", got)
	}
}

// BenchmarkLookup asks how long a question takes, from the call that asks until the
// checked answer, and how long one does that is answered with counts of all.
func BenchmarkLookup(b *testing.B) {
	x, y := start(b, northmoor, "E07000998"), start(b, saltby, "E07000999")
	introduce(b, x, y)
	x.Config().Limits.QuestionsPerDay = 100_000
	size := laneSize(b)
	ingest(b, x, lane(size))
	text := func(slug, mode, fields string) string {
		s := strings.Replace(planningAgreement, "northmoor.gov.uk/planning-for-saltby", "northmoor.gov.uk/"+slug, 1)
		s = strings.Replace(s, `record.district == "X"`, `"true"`, 1)
		return strings.TrimSpace(strings.Replace(s, "mode: replicate\n", "mode: "+mode+"\n"+fields, 1))
	}
	agreed(b, text("asked", "lookup", "match: [/reference]\n"), x, y)
	counted := text("counted", "aggregate", "")
	at := strings.Index(counted, "fields: [")
	agreed(b, counted[:at]+"fields: [/district, /status]"+counted[at+strings.IndexByte(counted[at:], '\n'):], x, y)
	refs := call(b, x.Records().List, node.ListRequest{Limit: 1000, Bodies: true}).Records
	b.Run(fmt.Sprint("one of ", size), func(b *testing.B) {
		i := 0
		for b.Loop() {
			i++
			var body struct{ Reference string }
			if err := json.Unmarshal(refs[i%len(refs)].Body, &body); err != nil {
				b.Fatal(err)
			}
			call(b, y.Questions().Ask, node.LookupRequest{Agreement: "northmoor.gov.uk/asked", Field: "/reference", Value: body.Reference, Because: "case 1"})
		}
	})
	// Counted once a day, so it is timed once.
	began := time.Now()
	count := func() {
		call(b, y.Questions().Count, node.AggregateRequest{Agreement: "northmoor.gov.uk/counted", By: []string{"/district", "/status"}, Because: "table 1"})
	}
	count()
	rate := float64(size) / time.Since(began).Seconds()
	b.Run(fmt.Sprint("counts of ", size, ", given again"), func(b *testing.B) {
		for b.Loop() {
			count()
		}
		b.ReportMetric(rate, "records-counted-first/s")
	})
}
