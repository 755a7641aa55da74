package node_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func agreedFields(pointer string, _ bool) bool {
	return slices.Contains([]string{"/reference", "/status", "/applicant", "/applicant/name"}, pointer)
}

// A council that answers with what was not asked for or not agreed is not
// believed, however well it signs.
func TestLyingAnswer(t *testing.T) {
	a, b := start(t, northmoor, "E07000998"), start(t, saltby, "E07000999")
	introduce(t, a, b)
	made := offerHousing(t, a, housing("HN-1", "AB123456C", "E07000999"), housing("HN-4", "AB123459C", "E07000999"), housing("HN-9", "AB123450C", "E07000997"))
	offerHousing(t, b, housing("HN-1", "AB123456C", "E07000999"))
	agreed(t, lookupAgreement(northmoor, saltby, 1, caseFields), a, b)
	p, err := b.Pose(t.Context(), node.LookupRequest{Agreement: "northmoor.gov.uk/cases", Field: "/reference", Value: "HN-1", Because: "case 1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	right := []name.Record{made[0].Record}
	honest, code := a.AnswerQuestion(t.Context(), saltby, p.Msg)
	if code != "" || b.JudgeAnswer(p, honest) != nil {
		t.Fatal("an honest answer is refused", code, b.JudgeAnswer(p, honest))
	}

	lie := func(keep func(string, bool) bool, records []name.Record, change func(map[string]any)) *wirepb.Answer {
		t.Helper()
		x, err := a.Lie(t.Context(), p, keep, records, change)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	if err := b.JudgeAnswer(p, lie(agreedFields, right, nil)); err != nil {
		t.Fatalf("what is no lie: %v", err)
	}
	all := func(string, bool) bool { return true }
	own, code := b.AnswerQuestion(t.Context(), saltby, p.Msg)
	if own != nil || code == "" {
		t.Error("who receives answers")
	}
	for what, c := range map[string]struct {
		answer *wirepb.Answer
		want   string
	}{
		"more fields":       {lie(all, right, nil), "field beyond the agreement at /applicant/contact"},
		"another record":    {lie(agreedFields, []name.Record{made[1].Record}, nil), "not the one that was asked for"},
		"another agreement": {lie(agreedFields, right, func(m map[string]any) { m["agreement"] = "northmoor.gov.uk/other" }), "another question"},
		"another version":   {lie(agreedFields, right, func(m map[string]any) { m["version"] = json.Number("2") }), "another question"},
		"another asker":     {lie(agreedFields, right, func(m map[string]any) { m["to"] = "hexwell.gov.uk" }), "another question"},
		"another question":  {lie(agreedFields, right, func(m map[string]any) { m["question"] = strings.Repeat("0", 32) }), "another question"},
		"another reason":    {lie(agreedFields, right, func(m map[string]any) { m["because"] = "it was nosy" }), "another question"},
		"unlogged record":   {lie(agreedFields, right, func(m map[string]any) { m["outcome"], m["records"], m["entries"] = "nothing found", []any{}, []any{} }), "something else than its answer says"},
		"forged record": {edit(honest, func(x *wirepb.Answer) {
			x.Entries[0].Token = resigned(x.Entries[0].Token)
		}), "signature of a record"},
		"forged answer":       {edit(honest, func(x *wirepb.Answer) { x.Event = resigned(x.Event) }), "signature of its answer"},
		"no proof":            {edit(honest, func(x *wirepb.Answer) { x.Inclusion = x.Inclusion[32:] }), "no proof"},
		"another checkpoint":  {edit(honest, func(x *wirepb.Answer) { x.Checkpoint = []byte("northmoor.gov.uk/stile\n1\n") }), "not signed by its log"},
		"beyond its log":      {edit(honest, func(x *wirepb.Answer) { x.Index = 1 << 40 }), "not in its log"},
		"an answer withheld":  {edit(honest, func(x *wirepb.Answer) { x.Entries = nil }), "something else"},
		"counts nobody asked": {edit(honest, func(x *wirepb.Answer) { x.Counts = &wirepb.Entry{Token: x.Event} }), "something else"},
	} {
		err := b.JudgeAnswer(p, c.answer)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "HN-") || strings.Contains(err.Error(), "CANARY")) {
			t.Errorf("%s: the error holds a value: %v", what, err)
		}
	}
	// By a council's own record, in the answer's place.
	theirs, err := b.Lie(t.Context(), p, agreedFields, right[:0], nil)
	if err != nil || b.JudgeAnswer(p, theirs) == nil {
		t.Error("an answer by another council is believed")
	}
}

func edit(a *wirepb.Answer, f func(*wirepb.Answer)) *wirepb.Answer {
	c := proto.Clone(a).(*wirepb.Answer)
	f(c)
	return c
}

// resigned returns a token with one bit of its signature turned.
func resigned(token []byte) []byte {
	out := slices.Clone(token)
	dots := 0
	for i, c := range out {
		if c == '.' {
			dots++
		}
		if dots == 2 && c != '.' {
			out[i] = map[bool]byte{true: 'A', false: 'B'}[c == 'B']
			return out
		}
	}
	return out
}

// A council that asks what it may not is told nothing, and no more than that.
func TestLyingAsker(t *testing.T) {
	a, b, c := start(t, northmoor, "E07000998"), start(t, saltby, "E07000999"), start(t, hexwell, "E07000997")
	introduce(t, a, b, c)
	a.Config().Limits.QuestionsPerDay = 7
	offerHousing(t, a, housing("HN-1", "AB123456C", "E07000999"))
	agreed(t, lookupAgreement(northmoor, saltby, 1, caseFields), a, b)
	req := node.LookupRequest{Agreement: "northmoor.gov.uk/cases", Field: "/nino", Value: "AB123456C", Because: "case 1"}
	pose := func(change func(map[string]any)) *node.Posed {
		t.Helper()
		p, err := b.Pose(t.Context(), req, change)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ask := func(from name.Council, p *node.Posed, change func(*wirepb.Question), want string) {
		t.Helper()
		m := proto.Clone(p.Msg).(*wirepb.Question)
		if change != nil {
			change(m)
		}
		got, code := a.AnswerQuestion(t.Context(), from, m)
		if code != want || (got != nil) != (want == "") {
			t.Errorf("code %q, want %q", code, want)
		}
	}
	p := pose(nil)
	ask(hexwell, p, nil, "question") // another's question
	ask("nobody.gov.uk", p, nil, "not-agreed")
	ask(saltby, p, func(m *wirepb.Question) { m.Event = resigned(m.Event) }, "question")
	ask(saltby, p, func(m *wirepb.Question) { m.Event = []byte("e30.e30.") }, "question")
	ask(saltby, p, func(m *wirepb.Question) { m.AgreementDigest = make([]byte, 32) }, "other-version")
	ask(saltby, p, func(m *wirepb.Question) { m.Value = "" }, "field")
	ask(saltby, pose(func(m map[string]any) { m["field"] = "/applicant/name" }), nil, "field")
	ask(saltby, pose(func(m map[string]any) { m["agreement"] = "northmoor.gov.uk/none" }), nil, "not-agreed")
	ask(saltby, pose(func(m map[string]any) { m["for"] = "fens.example" }), nil, "not-agreed")
	ask(saltby, pose(func(m map[string]any) { m["because"] = "" }), nil, "question")
	ask(saltby, pose(func(m map[string]any) { m["to"] = "hexwell.gov.uk" }), nil, "question")
	ask(saltby, pose(func(m map[string]any) { m["version"] = json.Number("2") }), nil, "other-version")

	// While it is suspended nothing is answered, and then the first question is.
	halt := node.AgreementRequest{Name: req.Agreement, Reason: "a breach is looked into"}
	for i, change := range []func(context.Context, node.AgreementRequest) (node.AgreementReply, error){a.Agreements().Suspend, a.Agreements().Resume} {
		call(t, change, halt)
		if i == 0 {
			ask(saltby, p, nil, "not-in-force")
		}
		await(t, "saltby knows", func() bool {
			r := call(t, b.Agreements().Show, node.AgreementRequest{Name: req.Agreement})
			return r.InForce == (i == 1)
		})
	}
	for range 3 {
		ask(saltby, p, nil, "")
		ask(saltby, p, func(m *wirepb.Question) { m.Value = "AB123457C" }, "question") // another value under the id
	}
	// Each of those three was counted. Three questions more, and then no more today,
	// but the first may be repeated.
	for range 3 {
		ask(saltby, pose(nil), nil, "")
	}
	for range 5 {
		ask(saltby, pose(nil), nil, "too-often")
	}
	ask(saltby, p, nil, "")
	n := 0
	for _, q := range call(t, a.Questions().List, node.LookupListRequest{}) {
		if q.Direction == "answered" {
			n++
		}
	}
	if n != 4 {
		t.Errorf("%d answers logged, want 4", n)
	}
}

// Counts that break the rules are not shown, whoever signed them.
func TestLyingCounts(t *testing.T) {
	m := wire.NewMemory()
	a, b := startIn(t, m, northmoor), startIn(t, m, saltby)
	introduce(t, a, b)
	text := strings.Replace(intoFens("counts", 1, string(saltby), "/district, /status"), "mode: replicate", "mode: aggregate", 1)
	agreed(t, text, a, b)
	p, err := b.PoseCounts(t.Context(), "northmoor.gov.uk/counts", "/district")
	if err != nil {
		t.Fatal(err)
	}
	honest, code := a.AnswerQuestion(t.Context(), saltby, p.Msg)
	if code != "" || b.JudgeAnswer(p, honest) != nil {
		t.Fatal("an honest answer is refused", code, b.JudgeAnswer(p, honest))
	}
	small := "B"
	for what, c := range map[string]struct {
		change func(c *agreement.Counts)
		want   string
	}{
		"no lie": {nil, ""},
		"a small group": {func(c *agreement.Counts) {
			c.Groups = append(c.Groups, agreement.Group{Of: []*string{&small}, Count: 5})
		}, "count"},
		"a true count":      {func(c *agreement.Counts) { c.Groups[0].Count, c.Total = 13, 13 }, "count"},
		"a true total":      {func(c *agreement.Counts) { c.Total = 17 }, "total"},
		"a low threshold":   {func(c *agreement.Counts) { c.Threshold = 1 }, "threshold"},
		"other fields":      {func(c *agreement.Counts) { c.By = []name.Field{"/status"} }, "something else"},
		"another day":       {func(c *agreement.Counts) { c.Day = "2026-01-01" }, "another day"},
		"another agreement": {func(c *agreement.Counts) { c.Agreement = "northmoor.gov.uk/other" }, "something else"},
	} {
		x, err := a.LieCounts(t.Context(), p, c.change)
		if err != nil {
			t.Fatal(err)
		}
		err = b.JudgeAnswer(p, x)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	other, err := b.PoseCounts(t.Context(), "northmoor.gov.uk/counts", "/organisation")
	if err != nil {
		t.Fatal(err)
	}
	if _, code := a.AnswerQuestion(t.Context(), saltby, other.Msg); code != "field" {
		t.Errorf("by a field that is not agreed: %q", code)
	}
	if other, err = b.PoseCounts(t.Context(), "northmoor.gov.uk/counts", "/status", "/district"); err != nil {
		t.Fatal(err)
	}
	if _, code := a.AnswerQuestion(t.Context(), saltby, other.Msg); code != "field" {
		t.Errorf("out of order, and so the same twice: %q", code)
	}
}
