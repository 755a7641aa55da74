package question_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/question"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

func agreedFields(pointer string, _ bool) bool {
	return slices.Contains([]string{"/reference", "/status", "/name"}, pointer)
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

// answered has a council answer what another posed.
func (c *council) answered(from name.Council, p *question.Posed) *wirepb.Answer {
	c.t.Helper()
	a, _ := c.Answer(c.t.Context(), from, p.Message(0))
	return a
}

// A council that answers with what was not asked for or not agreed is not
// believed, however well it signs.
func TestLyingAnswer(t *testing.T) {
	a, b, w := newWorld(t)
	made := a.put(person("C-1", "AB123456C", true), person("C-4", "AB123459C", true), person("C-9", "AB123450C", false))
	b.put(person("C-1", "AB123456C", true))
	doc := text(t, "cases", agreement.Lookup, nil)
	w.agreed(t, doc)
	p, err := b.Pose(t.Context(), agreement.Lookup, question.Request{Agreement: doc.Name, Field: "/reference", Value: "C-1", Because: "case 1"})
	if err != nil {
		t.Fatal(err)
	}
	right := made[:1]
	honest := a.answered(saltby, p)
	if err := b.Check(t.Context(), northmoor, p, 0, honest); err != nil {
		t.Fatal("an honest answer is refused: ", err)
	}
	lie := func(keep func(string, bool) bool, records []name.Record, change func(*event.Answer)) *wirepb.Answer {
		t.Helper()
		x, err := a.Lie(t.Context(), p, keep, records, change)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	if err := b.Check(t.Context(), northmoor, p, 0, lie(agreedFields, right, nil)); err != nil {
		t.Fatalf("what is no lie: %v", err)
	}
	all := func(string, bool) bool { return true }
	if own := b.answered(saltby, p); own.GetCode() == "" {
		t.Error("who receives answers")
	}
	for what, c := range map[string]struct {
		answer *wirepb.Answer
		want   string
	}{
		"more fields":       {lie(all, right, nil), "field beyond the agreement at /"},
		"another record":    {lie(agreedFields, made[1:2], nil), "not the one that was asked for"},
		"another agreement": {lie(agreedFields, right, func(m *event.Answer) { m.Agreement = "northmoor.gov.uk/other" }), "another question"},
		"another version":   {lie(agreedFields, right, func(m *event.Answer) { m.Version = 2 }), "another question"},
		"another asker":     {lie(agreedFields, right, func(m *event.Answer) { m.To = "hexwell.gov.uk" }), "another question"},
		"another question":  {lie(agreedFields, right, func(m *event.Answer) { m.ID = event.QuestionID{} }), "another question"},
		"another reason":    {lie(agreedFields, right, func(m *event.Answer) { m.Because = "it was nosy" }), "another question"},
		"unlogged record":   {lie(agreedFields, right, func(m *event.Answer) { m.Outcome, m.Records, m.Entries = event.OutcomeNothing, nil, nil }), "something else than its answer says"},
		"forged record": {edit(honest, func(x *wirepb.Answer) {
			x.Entries[0].Token = resigned(x.Entries[0].Token)
		}), judge.RuleSignature},
		"forged answer":       {edit(honest, func(x *wirepb.Answer) { x.Event = resigned(x.Event) }), judge.RuleSignature},
		"no proof":            {edit(honest, func(x *wirepb.Answer) { x.Inclusion = x.Inclusion[32:] }), "proof"},
		"another checkpoint":  {edit(honest, func(x *wirepb.Answer) { x.Checkpoint = []byte("northmoor.gov.uk/stile\n1\n") }), "checkpoint"},
		"beyond its log":      {edit(honest, func(x *wirepb.Answer) { x.Index = 1 << 40 }), "not in its log"},
		"an answer withheld":  {edit(honest, func(x *wirepb.Answer) { x.Entries = nil }), "something else"},
		"counts nobody asked": {edit(honest, func(x *wirepb.Answer) { x.Counts = &wirepb.Entry{Token: x.Event} }), "something else"},
		"of a footprint":      {edit(honest, func(x *wirepb.Answer) { x.Footprint = true }), "another log"},
		"a receipt for it":    {edit(honest, func(x *wirepb.Answer) { x.Event = p.Message(0).Event }), judge.ErrLied.Error()},
	} {
		err := b.Check(t.Context(), northmoor, p, 0, c.answer)
		if err == nil || !errors.Is(err, judge.ErrLied) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "C-1") || strings.Contains(err.Error(), "CANARY")) {
			t.Errorf("%s: the error holds a value: %v", what, err)
		}
	}
	// By a council's own record, in the answer's place.
	theirs, err := b.Lie(t.Context(), p, agreedFields, nil, nil)
	if err != nil || b.Check(t.Context(), northmoor, p, 0, theirs) == nil {
		t.Error("an answer by another council is believed")
	}
}

// A council that asks what it may not is told nothing, and no more than that.
func TestLyingAsker(t *testing.T) {
	a, b, w := newWorld(t)
	a.perDay = 7
	a.put(person("C-1", "AB123456C", true))
	doc := text(t, "cases", agreement.Lookup, nil)
	w.agreed(t, doc)
	pose := func(change func(*event.Question)) *question.Posed {
		t.Helper()
		p, err := b.PoseAs(t.Context(), agreement.Lookup, question.Request{Agreement: doc.Name, Field: "/number", Value: "AB123456C", Because: "case 1"}, change)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ask := func(from name.Council, p *question.Posed, change func(*wirepb.Question), want string) {
		t.Helper()
		m := p.Message(0)
		if change != nil {
			change(m)
		}
		got, said := a.Answer(t.Context(), from, m)
		if got.GetCode() != want || (said != nil) != (want == "") || want != "" && (got.Event != nil || got.Entries != nil) {
			t.Errorf("code %q, want %q", got.GetCode(), want)
		}
	}
	p := pose(nil)
	ask(hexwell, p, nil, "question") // another's question
	ask("nobody.gov.uk", p, nil, "not-agreed")
	ask(saltby, p, func(m *wirepb.Question) { m.Event = resigned(m.Event) }, "question")
	ask(saltby, p, func(m *wirepb.Question) { m.Event = []byte("e30.e30.") }, "question")
	ask(saltby, p, func(m *wirepb.Question) { m.AgreementDigest = make([]byte, 32) }, "other-version")
	ask(saltby, p, func(m *wirepb.Question) { m.Version = 0 }, "protocol-version")
	ask(saltby, p, func(m *wirepb.Question) { m.Value = "" }, "field")
	ask(saltby, pose(func(m *event.Question) { m.Field = "/name" }), nil, "field")
	ask(saltby, pose(func(m *event.Question) { m.Agreement = "northmoor.gov.uk/none" }), nil, "not-agreed")
	ask(saltby, pose(func(m *event.Question) { m.For = "fens.example" }), nil, "not-agreed")
	ask(saltby, pose(func(m *event.Question) { m.Because = "" }), nil, "question")
	ask(saltby, pose(func(m *event.Question) { m.To = "hexwell.gov.uk" }), nil, "question")
	ask(saltby, pose(func(m *event.Question) { m.Version = 2 }), nil, "other-version")
	if counted, _ := a.asked(doc); counted != 0 {
		t.Errorf("%d questions counted that were none under the agreement", counted)
	}

	// While it is suspended nothing is answered, and then the first question is.
	a.stands(doc, agreement.Suspended, "suspended by northmoor.gov.uk")
	ask(saltby, p, nil, "not-in-force")
	ask(hexwell, p, nil, "question")
	a.stands(doc, agreement.InForce, "")
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
	if counted, answered := a.asked(doc); counted != 7 || answered != 4 {
		t.Errorf("%d questions counted and %d answers logged, want 7 and 4", counted, answered)
	}
}

// Counts that break the rules are not shown, whoever signed them.
func TestLyingCounts(t *testing.T) {
	a, b, w := newWorld(t)
	doc := text(t, "counts", agreement.Aggregate, nil)
	w.agreed(t, doc)
	pose := func(by ...name.Field) *question.Posed {
		t.Helper()
		p, err := b.PoseAs(t.Context(), agreement.Aggregate, question.Request{Agreement: doc.Name, By: by, Because: "table 1"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := pose("/district")
	honest := a.answered(saltby, p)
	if err := b.Check(t.Context(), northmoor, p, 0, honest); err != nil {
		t.Fatal("an honest answer is refused: ", honest.GetCode(), err)
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
		"another day":       {func(c *agreement.Counts) { c.Day = "2026-01-01" }, "another week"},
		"another agreement": {func(c *agreement.Counts) { c.Agreement = "northmoor.gov.uk/other" }, "something else"},
	} {
		x, err := a.LieCounts(t.Context(), p, c.change)
		if err != nil {
			t.Fatal(err)
		}
		err = b.Check(t.Context(), northmoor, p, 0, x)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, judge.ErrLied) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	if code := a.answered(saltby, pose("/name")).GetCode(); code != "field" {
		t.Errorf("by a field that is not agreed: %q", code)
	}
	if code := a.answered(saltby, pose("/status", "/district")).GetCode(); code != "field" {
		t.Errorf("out of order, and so the same twice: %q", code)
	}
}
