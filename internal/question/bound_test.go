package question_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/question"
)

// A council that has asked as often as it may in a day learns nothing more by
// asking with other values under the id of a question that was answered: what is
// refused is refused before anything is looked for, and so at the same cost.
func TestNoSearchBeyondTheBound(t *testing.T) {
	a, b, w := newWorld(t)
	a.perDay = 3
	a.put(person("C-1", "AB000001C", true), person("C-2", "AB000002C", true))
	doc := text(t, "cases", agreement.Lookup, nil)
	w.agreed(t, doc)
	p, err := b.Pose(t.Context(), agreement.Lookup, question.Request{Agreement: doc.Name, Field: "/number", Value: "AB000001C", Because: "case 1"})
	if err != nil {
		t.Fatal(err)
	}
	m := p.Message(0)
	probe := func(value string) string {
		m.Value = value
		out, _ := a.Answer(t.Context(), saltby, m)
		return out.GetCode()
	}
	if code := probe("AB000001C"); code != "" {
		t.Fatal(code)
	}
	for i := range 20 {
		// A record of the other council, and none, in turn.
		want := "question"
		if i >= 2 {
			want = "too-often"
		}
		code := probe(fmt.Sprintf("AB00000%dC", 2+i%2))
		if counted, _ := a.asked(doc); code != want || counted != min(2+i, 3) {
			t.Errorf("probe %d: %q, want %q; %d questions counted", i, code, want, counted)
		}
	}
	// The store works in the background and allocates, too: the middle one of many runs.
	middle := func(value string) float64 {
		var runs []float64
		for range 15 {
			runs = append(runs, testing.AllocsPerRun(8, func() { probe(value) }))
		}
		slices.Sort(runs)
		return runs[len(runs)/2]
	}
	hit, miss := middle("AB000002C"), middle("AB000003C")
	found := testing.AllocsPerRun(5, func() { probe("AB000001C") })
	if hit-miss > 5 || miss-hit > 5 {
		t.Errorf("a refusal costs %v allocations where there is a record and %v where there is none", hit, miss)
	}
	if found < hit+50 {
		t.Errorf("an answer costs %v allocations and a refusal %v: they say nothing", found, hit)
	}
	if code := probe("AB000001C"); code != "" {
		t.Errorf("the question itself, asked again: %q", code)
	}
	if _, answered := a.asked(doc); answered != 1 {
		t.Errorf("%d answers logged, want 1", answered)
	}
}

// Counting by a field with too many values is charged as any question is, and what
// one receiver counts by leaves another its ways of counting.
func TestTooManyGroupsBeyondTheBound(t *testing.T) {
	a, b, w := newWorld(t)
	a.perDay = 2
	var rows []map[string]any
	for i := range agreement.MaxGroups + 1 {
		rows = append(rows, person(fmt.Sprint("C-", i), "", true))
	}
	a.put(rows...)
	doc := text(t, "counts", agreement.Aggregate, nil)
	w.agreed(t, doc)
	for i := range 5 {
		p, err := b.Pose(t.Context(), agreement.Aggregate, question.Request{Agreement: doc.Name, By: doc.Fields[:1], Because: "table 1"})
		if err != nil {
			t.Fatal(err)
		}
		want := "too-many-groups"
		if i >= 2 {
			want = "too-often"
		}
		if code := a.answered(saltby, p).GetCode(); code != want {
			t.Errorf("question %d: %q, want %q", i+1, code, want)
		}
	}
}

// A question that fails after it was charged has cost its one, and may be asked
// again as the same without costing another.
func TestFailureIsCharged(t *testing.T) {
	a, b, w := newWorld(t)
	doc := text(t, "cases", agreement.Lookup, nil)
	for _, c := range w.councils {
		c.stands(doc, agreement.InForce, "") // and the index is not made yet
	}
	p, err := b.Pose(t.Context(), agreement.Lookup, question.Request{Agreement: doc.Name, Field: "/reference", Value: "C-1", Because: "case 1"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		code := a.answered(saltby, p).GetCode()
		if counted, _ := a.asked(doc); code != "not-ready" || counted != 1 {
			t.Errorf("%q, %d questions counted", code, counted)
		}
	}
	w.agreed(t, doc)
	out := a.answered(saltby, p)
	if counted, answered := a.asked(doc); out.GetCode() != "" || counted != 1 || answered != 1 {
		t.Errorf("once it can be answered: %q, %d counted, %d answered", out.GetCode(), counted, answered)
	}
}
