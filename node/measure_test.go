package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

func measured(t testing.TB, n face, std string) node.Statement {
	t.Helper()
	r := call(t, n.Standards().Measure, node.MeasureRequest{Standard: std})
	if len(r.Statements) != 1 {
		t.Fatalf("%d statements", len(r.Statements))
	}
	return r.Statements[0]
}

// Two councils: what one counts of what it sent is what the other counts of
// what came, and a record is used once somebody has looked at it.
func TestMeasureAcrossABorder(t *testing.T) {
	t.Parallel()
	const std = "planning-application"
	a, b := start(t, northmoor, "E07000998"), start(t, saltby, "E07000999")
	introduce(t, a, b)
	var records []map[string]any
	for i := range 60 {
		records = append(records, planning(i, string(rune('X'+i%2))))
	}
	offer(t, a, std, records...)
	broken := planning(99, "X")
	broken["status"], broken["uprn"] = "CANARY", "CANARY"
	offer(t, a, std, broken, broken)
	offer(t, a, std, map[string]any{"CANARY": 1}, planning(0, "X"))

	s := measured(t, a, std)
	if s.Records != 60 || s.Offers != (node.StatementOffers{Seen: 62, Valid: 60}) || s.Freshness == nil || s.Freshness.Fresh != 60 || s.GSS != "E07000998" {
		t.Errorf("%+v", s)
	}
	filled := map[name.Field]int{}
	for _, f := range s.Fields {
		filled[f.Field] = f.Filled
	}
	if filled["/reference"] != 60 || filled["/decision"] != 0 || filled["/uprn"] != 60 {
		t.Errorf("%+v", s.Fields)
	}
	if text, err := json.Marshal(s); err != nil || strings.Contains(string(text), "CANARY") {
		t.Errorf("the statement holds what a record says: %s, %v", text, err)
	}
	if s.Partners != (node.StatementPartners{}) {
		t.Errorf("%+v", s.Partners)
	}

	agree(t, a, b)
	await(t, "northmoor has the receipts", func() bool { p := partnerOf(t, a); return p.Held == 30 && p.InStep })
	if s = measured(t, a, std); s.Partners != (node.StatementPartners{Served: 1, Offered: 30, Delivered: 30, Acknowledged: 30}) {
		t.Errorf("%+v", s.Partners)
	}
	used := func(what string, want node.StatementReceived) {
		t.Helper()
		if s := measured(t, b, std); s.Received != want || s.Records != 0 {
			t.Errorf("%s: %+v, want %+v", what, s.Received, want)
		}
	}
	used("nobody looked", node.StatementReceived{Records: 30})
	call(t, b.Records().List, node.ListRequest{From: northmoor})
	used("a list without what they say", node.StatementReceived{Records: 30})
	call(t, b.Records().Show, node.RecordRequest{From: northmoor, Record: "26/0000002/PA", Standard: std})
	used("one was shown", node.StatementReceived{Records: 30, Used: 1, EverUsed: 1})
	call(t, b.Records().List, node.ListRequest{From: northmoor, Limit: 10, Bodies: true})
	call(t, b.Records().List, node.ListRequest{From: northmoor, Limit: 10, Bodies: true})
	used("ten were listed, twice", node.StatementReceived{Records: 30, Used: 10, EverUsed: 10})
	changed := planning(2, "X")
	changed["status"] = "decided"
	changed["decision"], changed["decisionDate"] = "granted", "2026-03-01"
	if r := offer(t, a, std, changed).Results[0]; len(r.Problems) > 0 {
		t.Fatalf("%+v", r.Problems)
	}
	await(t, "the change is receipted", func() bool {
		return measured(t, a, std).Partners == node.StatementPartners{Served: 1, Offered: 30, Delivered: 30, Acknowledged: 30}
	})
	used("one has a version nobody looked at", node.StatementReceived{Records: 30, Used: 9, EverUsed: 10})
}

// lie publishes a statement with a change, and returns its bundle.
func lie(t testing.TB, n *running, full bool, change func(map[string]any)) []byte {
	t.Helper()
	s := measured(t, n, "planning-application")
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	v, err := strictjson.Decode(b, strictjson.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	m := v.(map[string]any)
	change(m)
	if r := offer(t, n, "compliance-statement", m).Results[0]; len(r.Problems) > 0 {
		t.Fatalf("%+v", r.Problems)
	}
	return call(t, n.Bundle, node.BundleRequest{Standard: "planning-application", Statement: "newest", Full: full}).Bundle
}

func recount(t testing.TB, bundle []byte) *audit.AdoptionReport {
	t.Helper()
	rs, err := audit.Adoption(bytes.NewReader(bundle), int64(len(bundle)), audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(rs) != 1 {
		t.Fatalf("%d statements", len(rs))
	}
	return rs[0]
}

func verdicts(r *audit.AdoptionReport, v audit.Verdict) (out []string) {
	for _, f := range r.Figures {
		if f.Verdict == v {
			out = append(out, fmt.Sprintf("%s: %s/%s", f.Name, f.Stated, f.Counted))
		}
	}
	return out
}

// Every figure that records can show is counted again: an honest statement
// agrees though the records changed since, and each lie is caught by itself.
func TestStatementsAreCountedAgain(t *testing.T) {
	t.Parallel()
	n := start(t, northmoor, "E07000998")
	var records []map[string]any
	for i := range 20 {
		records = append(records, planning(i, "X"))
	}
	offer(t, n, "planning-application", records...)
	honest := lie(t, n, true, func(map[string]any) {})
	call(t, n.Records().Delete, node.RecordRequest{Record: "26/0000003/PA"})
	offer(t, n, "planning-application", planning(4, "Y"), planning(50, "X"))
	later := call(t, n.Bundle, node.BundleRequest{Statement: "newest", Full: true}).Bundle
	for what, b := range map[string][]byte{"at once": honest, "after changes": later} {
		r := recount(t, b)
		if !r.OK() || len(verdicts(r, audit.Differs)) > 0 || len(verdicts(r, audit.Agrees)) != 5 {
			t.Errorf("%s: result %s, differs %q, agrees %q", what, r.Result, verdicts(r, audit.Differs), verdicts(r, audit.Agrees))
		}
		for _, f := range r.Figures {
			if f.Verdict == audit.Unknown && f.Because == "" {
				t.Errorf("%s: nobody says why", f.Name)
			}
		}
	}
	set := func(path string, v any) func(map[string]any) {
		return func(m map[string]any) {
			keys := strings.Split(path, "/")
			for _, k := range keys[:len(keys)-1] {
				m = m[k].(map[string]any)
			}
			m[keys[len(keys)-1]] = v
		}
	}
	num := func(n int) json.Number { return json.Number(fmt.Sprint(n)) }
	for want, change := range map[string]func(map[string]any){
		"live records: 21/20":       set("records", num(21)),
		"fresh records: 3/20":       set("freshness/fresh", num(3)),
		"fresh records: 20/":        set("freshness/within", "P10Y"),
		"fresh records: nothing/20": func(m map[string]any) { delete(m, "freshness") },
		"filled: /decision: 20/0": func(m map[string]any) {
			for _, f := range m["fields"].([]any) {
				if x := f.(map[string]any); x["field"] == "/decision" {
					x["filled"] = num(20)
				}
			}
		},
		"fields filled: 1 place/18 places": func(m map[string]any) { m["fields"] = m["fields"].([]any)[:1] },
		"filled: /zebra: 1/": func(m map[string]any) {
			m["fields"] = append(m["fields"].([]any), map[string]any{"field": "/zebra", "filled": num(1)})
		},
		"state of the log: ": set("checkpoint/root", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
		"time of counting: ": func(m map[string]any) {
			m["computed_on"], m["computed_at"], m["counted_since"] = "2020-01-01", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
		},
	} {
		r := recount(t, lie(t, n, true, change))
		found := false
		for _, d := range verdicts(r, audit.Differs) {
			found = found || strings.HasPrefix(d, want)
		}
		var text bytes.Buffer
		if err := r.WriteText(&text); err != nil || len(r.JSON()) == 0 {
			t.Error(err)
		}
		if r.OK() || !found {
			t.Errorf("want %q to differ, got %s with %q\n%s", want, r.Result, verdicts(r, audit.Differs), &text)
		}
	}
	// With fields withheld nothing is said of what is in them.
	r := recount(t, lie(t, n, false, func(map[string]any) {}))
	if !r.OK() || len(verdicts(r, audit.Differs)) > 0 {
		t.Errorf("withheld: %s, %q", r.Result, verdicts(r, audit.Differs))
	}
	unknown := strings.Join(verdicts(r, audit.Unknown), "\n")
	if !strings.Contains(unknown, "records that are valid now") || !strings.Contains(unknown, "filled: /uprn") {
		t.Errorf("withheld: %s", unknown)
	}
	// A bundle that was altered shows nothing.
	for at := len(honest) / 3; at < len(honest); at += len(honest) / 3 {
		bad := bytes.Clone(honest)
		bad[at] ^= 1
		if rs, err := audit.Adoption(bytes.NewReader(bad), int64(len(bad)), audit.Options{}); err == nil && rs[0].OK() {
			t.Errorf("a bundle altered at byte %d was believed", at)
		}
	}
	// One that cannot be true in itself is nothing to count again.
	s := measured(t, n, "planning-application")
	s.Offers.Valid, s.Offers.Seen = 1000, 1000
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	r2 := call(t, n.Records().Put, node.PutRequest{Standard: "compliance-statement", Records: []node.Offered{{Record: b}}})
	refusedAs(t, node.Invalid, n.Bundle, node.BundleRequest{Statement: string(r2.Results[0].Record)})
}

// A standards body takes statements in, and says which count for nothing.
func TestAdoptionRefuses(t *testing.T) {
	n := start(t, northmoor, "E06000066")
	offer(t, n, "planning-application", planning(1, "X"))
	lie(t, n, false, func(map[string]any) {})
	lie(t, n, false, func(m map[string]any) {
		m["council"], m["computed_on"], m["computed_at"], m["counted_since"] = "saltby.gov.uk", "2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"
		m["checkpoint"].(map[string]any)["origin"] = "saltby.gov.uk/stile"
	})
	lie(t, n, false, func(m map[string]any) {
		m["computed_on"], m["computed_at"] = "2999-01-01", "2999-01-01T00:00:00Z"
	})
	lie(t, n, false, func(m map[string]any) {
		m["computed_on"], m["computed_at"], m["counted_since"] = "2026-01-03", "2026-01-03T00:00:00Z", "2026-01-03T00:00:00Z"
		m["checkpoint"].(map[string]any)["size"] = json.Number("100000")
	})
	a := call(t, n.Standards().Adoption, node.AdoptionRequest{})
	if len(a.Rows) != 1 || a.Rows[0].Region != "South West" || len(a.Refused) != 3 || len(a.Shares) != 1 || a.Shares[0].English != 1 {
		t.Errorf("%d rows, refused %+v, %+v", len(a.Rows), a.Refused, a.Shares)
	}
	for _, r := range a.Refused {
		if r.Issuer != northmoor || r.Because == "" {
			t.Errorf("%+v", r)
		}
	}
	refusedAs(t, node.NotFound, n.Standards().Adoption, node.AdoptionRequest{Standard: "housing-need"})
	refusedAs(t, node.NotFound, n.Bundle, node.BundleRequest{Standard: "housing-need", Statement: "newest"})
	refusedAs(t, node.Usage, n.Bundle, node.BundleRequest{Statement: "x"})
	refusedAs(t, node.Usage, n.Standards().Measure, node.MeasureRequest{Standard: "compliance-statement"})
}

// A running node makes statements by itself, counted from the newest it made:
// starting it anew makes none sooner.
func TestMeasureEvery(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	cfg, err := node.Init(t.Context(), node.InitOptions{Dir: dir, Council: northmoor, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		t.Fatal(err)
	}
	run := func(later time.Duration, every int, f func(n *node.Node)) {
		t.Helper()
		cfg.MeasureEvery = every
		n, err := node.Open(cfg, node.Options{Now: func() time.Time { return time.Now().Add(later) }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		<-n.Ready()
		f(n)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	statements := func(n *node.Node) int {
		return len(call(t, n.Records().List, node.ListRequest{Standard: "compliance-statement"}).Records)
	}
	day := 24 * time.Hour
	run(0, 168, func(n *node.Node) {
		offer(t, n, "planning-application", planning(1, "X"))
		if statements(n) != 0 {
			t.Error("a statement on the first day")
		}
	})
	run(8*day, 0, func(n *node.Node) {
		if statements(n) != 0 {
			t.Error("a statement though none was wanted")
		}
	})
	run(8*day, 168, func(n *node.Node) {
		await(t, "a statement is made", func() bool { return statements(n) == 1 })
	})
	run(10*day, 168, func(n *node.Node) {
		if statements(n) != 1 {
			t.Error("a second statement after two days")
		}
	})
	run(16*day, 168, func(n *node.Node) {
		await(t, "a second statement is made", func() bool { return statements(n) == 2 })
	})
}

// Rows that an importer could make nothing of are counted, and not held.
func TestUnreadRowsCount(t *testing.T) {
	n := start(t, northmoor, "")
	problem := []node.Problem{{Pointer: "/receivedDate", Rule: "date"}}
	call(t, n.Records().Put, node.PutRequest{Standard: "planning-application", Hold: true, Records: []node.Offered{
		{Row: 1, Reference: "26/1", Record: json.RawMessage(`{"reference":"26/1"}`), Problems: problem},
		{Row: 2, Record: json.RawMessage(`"sha256-1"`), Problems: problem},
		{Row: 3, Record: json.RawMessage(`null`), Reference: "26/3", Problems: problem},
	}})
	s := measured(t, n, "planning-application")
	if s.Offers != (node.StatementOffers{Seen: 3}) || s.Held != 0 || len(s.Errors.Listed) != 1 || s.Errors.Listed[0] != (node.StatementError{Rule: "date", Field: "/receivedDate", Count: 3}) {
		t.Errorf("%+v, %d held, %+v", s.Offers, s.Held, s.Errors)
	}
}

// What is live as the bytes that were refused once is not held back, and counts
// as valid: neither listed nor in the figures.
func TestHeldIsNeverWhatIsLive(t *testing.T) {
	n := start(t, northmoor, "")
	const std = "standards.stile.example/planning-application@1.0.0"
	full, err := name.ParseStandard(std)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := standard.Load(schemas.FS("planning-application/1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	valid, _ := loaded.Examples()
	ctx := t.Context()
	for ref, offered := range map[string][]byte{"same": valid[0].Text, "other": []byte(`{"reference":"26/9"}`)} {
		if err := n.Keep(ctx, full, ref, offered); err != nil {
			t.Fatal(err)
		}
	}
	if r := call(t, n.Records().Held, node.ListRequest{}); len(r.Held) != 2 {
		t.Fatalf("before: %d held", len(r.Held))
	}
	call(t, n.Records().Put, node.PutRequest{Standard: std, Hold: true, Records: []node.Offered{{Record: valid[0].Text}}})
	if r := call(t, n.Records().Held, node.ListRequest{}); len(r.Held) != 1 || r.Held[0].Reference != "other" {
		t.Errorf("held: %+v", r.Held)
	}
	if s := measured(t, n, std); s.Held != 1 || s.Offers != (node.StatementOffers{Seen: 1, Valid: 1}) {
		t.Errorf("%d held, %+v", s.Held, s.Offers)
	}
}

// BenchmarkMeasure counts the lane: what it costs to make a statement.
func BenchmarkMeasure(b *testing.B) {
	size := laneSize(b)
	n := start(b, northmoor, "E07000998")
	ingest(b, n, lane(size))
	b.ResetTimer()
	began := time.Now()
	for b.Loop() {
		if s := measured(b, n, "planning-application"); s.Records != size || s.Offers.Valid != size {
			b.Fatalf("%+v", s)
		}
	}
	b.ReportMetric(float64(b.N*size)/time.Since(began).Seconds(), "records/s")
	bundle := call(b, n.Standards().Measure, node.MeasureRequest{Standard: "planning-application", Publish: true})
	if len(bundle.Published) != 1 {
		b.Fatal("nothing was published")
	}
}
