package agreement

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

func TestExplain(t *testing.T) {
	terms := compile(t, parsed(t, `rows: record.moved_to == "E07000999" && record.status != "closed"`,
		`rows: record.moved_to == "E07000999" && (record.status == "received" || record.consent.how == "online") && record.household.exists(h, h.name.startsWith("B")) && record.status != "closed"`),
		loadStandard(t, "housing-need/1.0.0"))
	rec := decode(t, `{"reference":"SECRETref","moved_to":"E07000999","status":"SECRETstatus","consent":{"how":"online"},
		"nino":"SECRETnino","applicant":{"name":"SECRETname","date_of_birth":"SECRETdob","contact":{}},
		"household":[{"name":"SECRET","pregnant":true},{"name":"x"}],"support_needs":[]}`)
	got := terms.Explain(rec)
	want := []Reason{
		{Rule: "rows", Text: `record.moved_to == "E07000999"`, Outcome: Met},
		{Rule: "rows", Text: `record.status == "received" || record.consent.how == "online"`, Outcome: Met, Any: []Reason{
			{Rule: "rows", Text: `record.status == "received"`, Outcome: NotMet},
			{Rule: "rows", Text: `record.consent.how == "online"`, Outcome: Met},
		}},
		{Rule: "rows", Text: `record.household.exists(h, h.name.startsWith("B"))`, Outcome: NotMet},
		{Rule: "rows", Text: `record.status != "closed"`, Outcome: Met},
		{Rule: "field", Text: "/applicant/contact", Outcome: IsAgreed, Detail: "personal"},
		{Rule: "field", Text: "/applicant/date_of_birth", Outcome: Withheld, Detail: "personal"},
		{Rule: "field", Text: "/applicant/name", Outcome: IsAgreed, Detail: "personal"},
		{Rule: "field", Text: "/consent", Outcome: IsAgreed, Detail: "personal"},
		{Rule: "field", Text: "/household/*/name", Outcome: IsAgreed, Detail: "personal"},
		{Rule: "field", Text: "/household/*/pregnant", Outcome: Withheld, Detail: "special"},
		{Rule: "field", Text: "/moved_to", Outcome: IsAgreed, Detail: "personal"},
		{Rule: "field", Text: "/nino", Outcome: Withheld, Detail: "personal"},
		{Rule: "field", Text: "/reference", Outcome: IsAgreed, Detail: "internal"},
		{Rule: "field", Text: "/status", Outcome: IsAgreed, Detail: "personal"},
		{Rule: "field", Text: "/support_needs", Outcome: IsAgreed, Detail: "special"},
	}
	g, _ := json.MarshalIndent(got, "", " ")
	w, _ := json.MarshalIndent(want, "", " ")
	if string(g) != string(w) {
		t.Errorf("got %s\nwant %s", g, w)
	}
	if strings.Contains(string(g), "SECRET") {
		t.Error("an explanation holds a value")
	}
	if got := terms.Explain(nil); len(got) != 1 || got[0].Rule != "deleted" || got[0].Outcome != NotMet {
		t.Errorf("deleted: %+v", got)
	}
}

func TestExplainErrors(t *testing.T) {
	std := makeStandard(t, anySchema, "/id: internal")
	rec := decode(t, `{"id":"SECRET","n":"SECRET7","l":[{"a":1},{}],"t":"`+strings.Repeat("x", maxSearched+1)+`"}`)
	for rows, want := range map[string]string{
		`record.missing == "x"`:       "the record has no /missing",
		`record.missing.below == "x"`: "the record has no /missing/below",
		`record.l.all(i, i.a == 1)`:   "the record has no /l/*/a",
		`record.l[5].a == 1`:          "the record has no /l/*/a",
		`record.n > 5`:                "a field is not of the kind that the condition needs",
		`int(record.n) > 5`:           "cannot be worked out on this record",
		`record.t.matches("x")`:       "a text is too long for matches",
		`record.l.all(i, record.l.all(j, ` + strings.Repeat(`record.t == record.t && `, 60) + `true))`: "needs too much work on this record",
	} {
		got := compile(t, simple(rows, "/id"), std).Explain(rec)
		i := slices.IndexFunc(got, func(r Reason) bool { return r.Outcome == Failed })
		if i < 0 || got[i].Detail != want {
			t.Errorf("%.60s: %+v, want %q", rows, got, want)
		}
		if j, _ := json.Marshal(got); strings.Contains(string(j), "SECRET") {
			t.Errorf("%s: an explanation holds a value: %s", rows, j)
		}
	}
	// A bare flag is a condition too.
	got := compile(t, simple(`record.flag && !record.off`, "/id"), std).Explain(decode(t, `{"flag":true,"off":false}`))
	if got[0].Text != "record.flag" || got[0].Outcome != Met || got[1].Text != "!record.off" || got[1].Outcome != Met {
		t.Errorf("%+v", got)
	}
}

// A filter matches exactly when all that Explain lists of it is met; CEL's rule
// that false settles && even beside an error agrees with that.
func TestExplainAgreesWithMatch(t *testing.T) {
	std := makeStandard(t, anySchema, "/d: open")
	atoms := []string{`record.a == "x"`, `record.b.c == "x"`, `record.l.exists(i, i.k == "x")`, `has(record.d)`, `record.d > 0`, `record.l[0].m == "y"`}
	r := newRand(3)
	for range rounds(800) {
		pick := func() string { return atoms[r.IntN(len(atoms))] }
		rows := pick()
		for range r.IntN(3) {
			rows = "(" + rows + []string{" && ", " || "}[r.IntN(2)] + pick() + ")"
		}
		terms := compile(t, simple(rows, "/d"), std)
		rec := randomRecord(r, 0)
		all := true
		for _, e := range terms.Explain(rec) {
			all = all && (e.Rule != "rows" || e.Outcome == Met)
		}
		if all != terms.Match(rec) {
			j, _ := json.Marshal(rec)
			t.Fatalf("%s on %s: explained %v, matched %v", rows, j, all, !all)
		}
	}
}

func TestPreview(t *testing.T) {
	terms := compile(t, parsed(t), loadStandard(t, "housing-need/1.0.0"))
	records := []map[string]any{
		decode(t, `{"reference":"1","moved_to":"E07000999","status":"received","nino":"A","household":[{"name":"n","pregnant":true},{"name":"m"}]}`),
		decode(t, `{"reference":"2","moved_to":"E07000999","status":"received","household":[]}`),
		decode(t, `{"reference":"3","moved_to":"E07000999","status":"closed"}`),
		decode(t, `{"reference":"4","moved_to":"E07000001","status":"received"}`),
		decode(t, `{"reference":"5","moved_to":"E07000999"}`),
	}
	counting := terms.NewPreview(1)
	for at, r := range slices.Backward(records) { // the order does not matter
		if err := counting.Add(uint64(at), strictjson.Canonical(r), strictjson.DefaultLimits()); err != nil {
			t.Fatal(err)
		}
	}
	if err := counting.Add(9, []byte(`null`), strictjson.DefaultLimits()); err == nil {
		t.Error("what is no record is counted")
	}
	p := counting.Done()
	if p.Records != 5 || p.Matched != 2 || p.Unpicked != 2 || p.Failed != 1 || p.Errors["the record has no /status"] != 1 {
		t.Errorf("%+v", p)
	}
	counts := make(map[name.Field]FieldCount)
	for _, c := range p.Fields {
		counts[c.Field] = c
	}
	for _, want := range []FieldCount{
		{"/reference", "internal", 2, 0}, {"/nino", "personal", 0, 1}, {"/household/*/name", "personal", 1, 0},
		{"/household/*/pregnant", "special", 0, 1}, {"/household", "personal", 1, 0},
	} {
		if counts[want.Field] != want {
			t.Errorf("%+v, want %+v", counts[want.Field], want)
		}
	}
	if len(p.Samples) != 1 || p.Samples[0]["nino"] != nil || p.Samples[0]["reference"] != "1" || terms.Excess(p.Samples[0]) != nil {
		t.Errorf("samples %v", p.Samples)
	}
	if !slices.Contains(p.Unused, "/applicant/name") || slices.Contains(p.Unused, "/household/*/name") || slices.Contains(p.Unused, "/status") {
		t.Errorf("unused %q", p.Unused)
	}
}
