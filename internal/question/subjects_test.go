package question_test

import (
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/question"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Who asks about a person's records without the parties' consent, or as no party, is refused
// before anything is looked for or charged, whatever its own node lets it do; and either
// party may ask the other, within the bound of a day.
func TestSubjectsAreAgreed(t *testing.T) {
	a, b, w := newWorld(t)
	c := w.councils[hexwell]
	records := []name.Record{name.RecordFrom([16]byte{1}), name.RecordFrom([16]byte{2})}
	answers := func(a *agreement.Agreement) {
		a.Mode, a.Match, a.Subjects = agreement.Replicate, nil, agreement.SubjectsAnswered
	}
	silent := text(t, "silent", agreement.Replicate, func(a *agreement.Agreement) { a.Match = nil })
	doc := text(t, "cases", agreement.Replicate, answers)
	hidden := text(t, "hidden", agreement.PrivateLookup, func(a *agreement.Agreement) { a.Subjects = agreement.SubjectsAnswered })
	for _, d := range []*agreement.Agreement{silent, doc, hidden} {
		w.agreed(t, d)
	}
	for _, x := range []struct {
		by   *council
		doc  *agreement.Agreement
		to   name.Council
		code string
	}{
		{b, silent, northmoor, "subject-questions"},
		{b, hidden, northmoor, "subject-questions"},
		{c, doc, northmoor, "not-agreed"},
		{b, doc, hexwell, "question"}, // addressed to another
	} {
		p, err := x.by.PoseSubjects(t.Context(), x.doc, question.SubjectRequest{To: x.to, Records: records, Because: "request 7"})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.answered(x.by.self, p); got.GetCode() != x.code {
			t.Errorf("%s under %s, of %s: %q (%s), want %q", x.by.self, x.doc.Name, x.to, got.GetCode(), got.GetReason(), x.code)
		}
	}
	if a.told != 0 {
		t.Errorf("it was looked %d times what may be told of what was refused", a.told)
	}
	err := a.ledger.View(func(v *ledger.View) error {
		n, err := v.QuestionsToday(silent.Digest(), saltby)
		if n != 0 {
			t.Errorf("%d questions are charged that were refused", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// The asker's own node sends nothing where it is not agreed.
	if _, err := b.Subject(t.Context(), b.net, question.SubjectRequest{Agreement: silent.Name, To: northmoor, Records: records, Because: "request 7"}); err == nil || !strings.Contains(err.Error(), "does not say that questions about a person are answered") {
		t.Errorf("asked under what has no such term: %v", err)
	}

	// Both ways, and no more than there may be in a day.
	a.perDay, b.perDay = 1, 1
	ask := func(by, of *council) error {
		got, err := by.Subject(t.Context(), by.net, question.SubjectRequest{Agreement: doc.Name, To: of.self, Records: records, Because: "request 7"})
		if err == nil && len(got.Told) != len(records) {
			t.Errorf("%s told %s %+v", of.self, by.self, got.Told)
		}
		return err
	}
	for _, x := range [][2]*council{{b, a}, {a, b}} {
		if err := ask(x[0], x[1]); err != nil {
			t.Errorf("%s asks %s: %v", x[0].self, x[1].self, err)
		}
		if err := ask(x[0], x[1]); err == nil || !strings.Contains(err.Error(), "1 questions have been asked") {
			t.Errorf("%s asks %s again: %v, want the bound of the day", x[0].self, x[1].self, err)
		}
	}

	// Who tells of what was not asked about is not believed.
	a.perDay, a.also = 50, []name.Record{name.RecordFrom([16]byte{3})}
	if e, ok := ask(b, a).(*api.Error); !ok || e.Kind != api.Unverified || !strings.Contains(e.Message, "a record that was not asked about") {
		t.Errorf("told of another record: %v", e)
	}
}
