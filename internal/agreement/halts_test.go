package agreement

import (
	"errors"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/event"
)

// A party that suspends and resumes without end is heard a fixed number of times. Then
// the text stays suspended, it can still be ended, and of endings without end one is
// kept, the first to come.
func TestHaltsAreBounded(t *testing.T) {
	a := parsed(t)
	st := NewState()
	for _, s := range []said{propose(a), sign(from, a), sign(to, a)} {
		if err := s.apply(t, st); err != nil {
			t.Fatal(err)
		}
	}
	begin := day(t, "2027-01-01")
	say := func(kind string, i int) error {
		return st.Apply(to, kind, wired(t, Notice{a.Ref(), "because", begin.Add(time.Duration(i) * time.Second), ""}.Body()), begin)
	}
	refused := 0
	for i := range 3000 {
		err := say([]string{event.KindAgreementSuspend, event.KindAgreementResume}[i%2], i)
		if errors.Is(err, ErrTooMany) {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	v := st.agreements[a.Name][a.Version]
	if kept := len(v.notices[to]); kept != MaxHalts || refused != 3000-MaxHalts || len(v.heard) != MaxHalts {
		t.Errorf("%d kept and %d refused of 3000", kept, refused)
	}
	// The last word of those that were kept is that it is resumed.
	if got, _ := st.Status(a.Name, begin.Add(time.Hour)); got.Phase != Suspended {
		t.Errorf("after too many words the text is %s: %s", got.Phase, got.Why)
	}
	for i := range 3000 {
		if err := say(event.KindAgreementEnd, 10_000-i); err != nil {
			t.Fatal(err)
		}
	}
	if kept := len(v.notices[to]); kept != MaxHalts+1 {
		t.Errorf("%d kept with 3000 endings", kept)
	}
	if got, _ := st.Status(a.Name, begin.Add(7001*time.Second)); got.Phase != Ended {
		t.Errorf("at the first of its endings the text is %s", got.Phase)
	}
	if got, _ := st.Status(a.Name, begin.Add(7000*time.Second)); got.Phase == Ended {
		t.Error("the text ended before the first of its endings")
	}
}
