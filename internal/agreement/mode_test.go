package agreement

import (
	"strings"
	"testing"
)

// Every row of the table says all that it is asked, and what it says goes together.
func TestWays(t *testing.T) {
	seen, reach := map[Mode]bool{}, map[int]bool{}
	for _, m := range Modes() {
		w := m.Way()
		if w.Mode != m || seen[m] || reach[w.Reach] {
			t.Errorf("%s: named twice, or of the same reach as another", m)
		}
		seen[m], reach[w.Reach] = true, true
		if w.Means == "" || w.Would == "" || w.Command == "" || w.Shows() != (w.Sent != "") {
			t.Errorf("%s: the row lacks words, or has too many: %+v", m, w)
		}
		if w.Copied == (w.Answers != AnswersNothing) {
			t.Errorf("%s: records are copied and asked for, or neither", m)
		}
		if w.Hidden && !w.ByMatch {
			t.Errorf("%s: a value is hidden, and none is asked by", m)
		}
		if w.ByMatch && w.Answers != AnswersRecords || w.Grouped != (w.Answers == AnswersCounts) {
			t.Errorf("%s: what is asked by does not go with what is answered: %+v", m, w)
		}
		if w.ByHand && !w.Copied || w.Moves && !w.ByHand {
			t.Errorf("%s: what goes by hand is no copy, or moves unasked: %+v", m, w)
		}
		// A mode in which less is learned is narrower, whatever the modes are.
		for _, n := range Modes() {
			old, now := parsed(t), parsed(t)
			old.Mode, now.Mode = m, n
			d := strings.Join(Diff(old, now), "\n")
			want := map[bool]string{true: "mode is now " + string(n), false: ""}[m != n]
			if !strings.Contains(d, want) || m == n && strings.Contains(d, "mode") {
				t.Errorf("from %s to %s: %s", m, n, d)
			}
		}
	}
	if !DraftMode(false).Way().Copied || !DraftMode(true).Way().ByMatch {
		t.Errorf("drafts are of mode %s, and of %s with match fields", DraftMode(false), DraftMode(true))
	}
	if got, want := ModeWords(false), "replicate, lookup, private-lookup, aggregate, handover or break-glass"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A mode that no row is of lets nothing out, and no document can have it.
func TestNoSuchMode(t *testing.T) {
	if _, err := Parse(edited(t, "mode: replicate", "mode: stare")); err == nil || !strings.Contains(err.Error(), "want one of replicate, lookup, private-lookup, aggregate, handover, break-glass") {
		t.Errorf("a document of mode stare: %v", err)
	}
	a := parsed(t)
	a.Mode = "stare"
	if w := a.Way(); w != (Way{}) || w.Shows() || w.Copied {
		t.Errorf("%+v", w)
	}
	terms, err := a.Compile(loadStandard(t, "housing-need/1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	rec := decode(t, `{"reference":"x","status":"y","moved_to":"E07000999"}`)
	if terms.Keep("/reference", false) || len(terms.Present(rec)) != 0 || len(terms.Excess(rec)) != 3 || terms.Asked(rec) != nil || a.MayAskBy("/nino") {
		t.Error("something of a record leaves in a mode that there is not")
	}
}
