package agreement

import (
	"errors"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/event"
)

// TestCounter: a receiver's counter-proposal stands until the sender proposes a version as
// high, whichever event comes first; it binds nobody.
func TestCounter(t *testing.T) {
	now := time.Date(2026, 12, 2, 12, 0, 0, 0, time.UTC)
	one := parsed(t)
	two, three := parsed(t, "version: 1", "version: 2", "retention: P2Y", "retention: P1Y"), parsed(t, "version: 1", "version: 3")
	say := func(s *State, c string, kind string, body map[string]any) error {
		return s.Apply(one.Parties()[map[string]int{"from": 0, "to": 1}[c]], kind, body, now)
	}
	propose := func(s *State, a *Agreement) error {
		return say(s, "from", event.KindAgreementProposal, Proposal{a}.Body())
	}
	counter := func(s *State) error {
		return say(s, "to", event.KindAgreementCounter, Counter{one.Ref(), two, "Jo Smith"}.Body())
	}
	for _, before := range []bool{false, true} { // the answer comes before what it answers
		s := NewState()
		steps := []func() error{func() error { return propose(s, one) }, func() error { return counter(s) }}
		if before {
			steps[0], steps[1] = steps[1], steps[0]
		}
		for _, f := range steps {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		}
		got := s.Counters(one.Name)
		if len(got) != 1 || got[0].By != one.To[0] || got[0].Agreement.Ref() != two.Ref() || got[0].Answers != 1 || got[0].Person != "Jo Smith" {
			t.Fatalf("counters: %+v", got)
		}
		if st, _ := s.Status(one.Name, now); st.Agreement.Version != 1 || len(st.Signed) != 0 {
			t.Errorf("a counter-proposal binds: %+v", st)
		}
		if err := say(s, "to", event.KindAgreementCounter, Counter{one.Ref(), three, ""}.Body()); err != nil {
			t.Fatal(err)
		}
		if got := s.Counters(one.Name); len(got) != 1 || got[0].Agreement.Version != 3 {
			t.Errorf("after a second: %+v", got)
		}
		if err := propose(s, three); err != nil {
			t.Fatal(err)
		}
		if got := s.Counters(one.Name); len(got) != 0 {
			t.Errorf("answered, and stands: %+v", got)
		}
		if err := propose(s, two); !errors.Is(err, ErrConflict) {
			t.Errorf("a superseded text is proposed: %v", err)
		}
	}
	s := NewState()
	if err := propose(s, one); err != nil {
		t.Fatal(err)
	}
	if err := say(s, "from", event.KindAgreementCounter, Counter{one.Ref(), two, ""}.Body()); !errors.Is(err, ErrNotParty) {
		t.Errorf("the sender answers itself: %v", err)
	}
	if _, err := ParseCounter(Counter{two.Ref(), one, ""}.Body()); !errors.Is(err, ErrEvent) {
		t.Errorf("a lower version: %v", err)
	}
	wrong := one.Ref()
	wrong.Digest[0]++
	if err := say(s, "to", event.KindAgreementCounter, Counter{wrong, two, ""}.Body()); !errors.Is(err, ErrConflict) {
		t.Errorf("an answer to another text: %v", err)
	}
	s = NewState()
	for i := range maxCounters + 1 {
		ref := one.Ref()
		ref.Version = 1
		ref.Digest[1] = byte(i)
		err := say(s, "to", event.KindAgreementCounter, Counter{ref, two, ""}.Body())
		if want := i == maxCounters; errors.Is(err, ErrTooMany) != want {
			t.Errorf("answer %d to what is not known: %v", i, err)
		}
	}
}
