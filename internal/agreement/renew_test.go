package agreement

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// signedBy returns a state in which all parties have signed a text.
func signedState(t *testing.T, a *Agreement) *State {
	t.Helper()
	s := NewState()
	at := instant(t, "2026-11-01T00:00:00Z")
	if err := s.Apply(a.From, event.KindAgreementProposal, Proposal{a}.Body(), at); err != nil {
		t.Fatal(err)
	}
	for _, c := range a.Parties() {
		if err := s.Apply(c, event.KindAgreementSignature, Signature{a.Ref(), ""}.Body(), at); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// On the date of review the exchange stops; it goes on once every party has renewed it,
// to the latest day that all have named, and not before.
func TestReviewStops(t *testing.T) {
	a := parsed(t, "starts: 2026-12-01", "starts: 2026-12-01\nends: 2028-01-01")
	s := signedState(t, a)
	review := a.Review.Time()
	at := func(now time.Time) Status {
		st, ok := s.Status(a.Name, now)
		if !ok {
			t.Fatal("there is no such agreement")
		}
		return st
	}
	renew := func(c name.Council, to Date, when time.Time) {
		t.Helper()
		if err := s.Apply(c, event.KindAgreementRenewal, Renewal{a.Ref(), to, ""}.Body(), when); err != nil {
			t.Fatal(err)
		}
	}
	if st := at(review.Add(-time.Second)); !st.InForce() || st.Review != a.Review {
		t.Fatalf("before the day: %s, %s", st.Phase, st.Why)
	}
	st := at(review)
	if st.Phase != Suspended || len(st.Suspensions) != 0 || !strings.Contains(st.Why, "the date of review 2027-06-01 has come, and northmoor.gov.uk and saltby.gov.uk have not renewed it") {
		t.Fatalf("on the day: %s, %q", st.Phase, st.Why)
	}
	if s.Suspended(a.Name, review) == nil {
		t.Error("what has to come back does not")
	}
	if next, ok := s.NextChange(review.Add(-time.Hour)); !ok || !next.Equal(review) {
		t.Errorf("next change at %v", next)
	}
	// All but one, one of them further than the others.
	renew("northmoor.gov.uk", "2027-08-01", review.Add(-48*time.Hour))
	if st := at(review); st.Phase != Suspended || !strings.Contains(st.Why, "and saltby.gov.uk has not renewed it") || len(st.Renewals) != 1 {
		t.Errorf("with one missing: %s, %q", st.Phase, st.Why)
	}
	// The last says so two days late: for these two days it was stopped, also in hindsight.
	late := review.Add(48 * time.Hour)
	renew("saltby.gov.uk", "2027-10-01", late)
	if st := at(late.Add(-time.Second)); st.Phase != Suspended {
		t.Error("a late renewal makes the past right")
	}
	if st := at(late); !st.InForce() || st.Review != "2027-08-01" {
		t.Errorf("renewed by all: %s until %s", st.Phase, st.Review)
	}
	if st := at(Date("2027-08-01").Time()); st.Phase != Suspended || !strings.Contains(st.Why, "northmoor.gov.uk has not") {
		t.Errorf("on the new day: %s, %q", st.Phase, st.Why)
	}
	// It comes on top of a party's own suspension.
	if err := s.Apply("saltby.gov.uk", event.KindAgreementSuspend, Notice{a.Ref(), "a move", late, ""}.Body(), late); err != nil {
		t.Fatal(err)
	}
	if st := at(Date("2027-08-01").Time()); !strings.Contains(st.Why, "a move; and the date of review") {
		t.Errorf("both: %q", st.Why)
	}
}

// A renewal is a party's own, of this very text, beyond its date and not beyond its end,
// and no more of them are remembered than a text needs.
func TestRenewalRefused(t *testing.T) {
	a := parsed(t, "starts: 2026-12-01", "starts: 2026-12-01\nends: 2028-01-01")
	s := signedState(t, a)
	now := instant(t, "2027-01-01T00:00:00Z")
	other := a.Ref()
	other.Digest[0]++
	for _, c := range []struct {
		by   name.Council
		r    Renewal
		want error
	}{
		{"other.gov.uk", Renewal{a.Ref(), "2027-08-01", ""}, ErrNotParty},
		{"saltby.gov.uk", Renewal{other, "2027-08-01", ""}, ErrConflict},
		{"saltby.gov.uk", Renewal{a.Ref(), a.Review, "Jo Smith"}, ErrConflict},
		{"saltby.gov.uk", Renewal{a.Ref(), "2028-08-01", ""}, ErrConflict},
	} {
		if err := s.Apply(c.by, event.KindAgreementRenewal, c.r.Body(), now); !errors.Is(err, c.want) {
			t.Errorf("%s to %s: %v, want %v", c.by, c.r.Review, err, c.want)
		}
	}
	for i := range MaxRenewals + 1 {
		to := Date(a.Review.Time().AddDate(0, 0, i+1).Format(time.DateOnly))
		err := s.Apply("saltby.gov.uk", event.KindAgreementRenewal, Renewal{a.Ref(), to, ""}.Body(), now)
		if (err == nil) != (i < MaxRenewals) || err != nil && !errors.Is(err, ErrTooMany) {
			t.Fatalf("renewal %d: %v", i, err)
		}
		// Once more changes nothing.
		if err := s.Apply("saltby.gov.uk", event.KindAgreementRenewal, Renewal{a.Ref(), a.Review + "", ""}.Body(), now); !errors.Is(err, ErrConflict) {
			t.Fatal(err)
		}
	}
}

// What a term is counted from, and when it is over.
func TestTerm(t *testing.T) {
	got := instant(t, "2027-01-31T12:30:00Z")
	body := map[string]any{"closed": "2026-02-28", "at": "2026-02-28T10:00:00+02:00", "word": "soon", "deep": map[string]any{"on": "2024-02-29"}}
	for _, c := range []struct{ change, want string }{
		{"retention: P1Y", "2028-01-31T12:30:00Z"},
		{"retention: P1Y\nretention_from: receipt", "2028-01-31T12:30:00Z"},
		{"retention: P1Y\nretention_from: /closed", "2027-02-28T00:00:00Z"},
		{"retention: P30D\nretention_from: /at", "2026-03-30T08:00:00Z"},
		{"retention: P1Y\nretention_from: /deep/on", "2025-03-01T00:00:00Z"},
		{"retention: P1Y\nretention_from: /word", "2028-01-31T12:30:00Z"},
		{"retention: P1Y\nretention_from: /gone", "2028-01-31T12:30:00Z"},
		{"retention: P0D\nretention_from: end", "0001-01-01T00:00:00Z"},
	} {
		a := parsed(t, "retention: P2Y", c.change)
		if b, err := Parse(a.YAML()); err != nil || b.Digest() != a.Digest() {
			t.Errorf("%q does not print as it was read: %v", c.change, err)
		}
		term := a.Term()
		if over := term.Over(term.Counted(body), got); over.Format(time.RFC3339) != c.want {
			t.Errorf("%q: over at %s, want %s", c.change, over.Format(time.RFC3339), c.want)
		}
	}
}

func instant(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// What the headings about retention may say together.
func TestRetentionChecked(t *testing.T) {
	std := loadStandard(t, "housing-need/1.0.0")
	for _, c := range []struct{ change, pointer, rule string }{
		{"retention: P2Y", "", ""},
		{"retention: P2Y\nretention_from: receipt", "", ""},
		{"retention: P0D\nretention_from: end", "", ""},
		{"retention: P0D", "/retention", RuleForm},
		{"retention: P0D\nretention_from: receipt", "/retention", RuleForm},
		{"retention: P2Y\nretention_from: end", "/retention", RuleForm},
		{"retention: P2Y\nretention_from: /not_shared", "/retention_from", RuleForm},
	} {
		ps := parsed(t, "retention: P2Y", c.change).Check(std)
		switch {
		case c.rule == "" && len(ps) == 0:
		case len(ps) == 0, ps[0].Pointer != c.pointer, ps[0].Rule != c.rule, ps[0].Fix == "":
			t.Errorf("%q: %+v, want %s at %s", c.change, ps, c.rule, c.pointer)
		}
	}
	for _, bad := range []string{"never", "closed_on", "/a/*/on", "Receipt"} {
		if _, err := Parse(edited(t, "retention: P2Y", "retention: P2Y\nretention_from: "+bad)); err == nil {
			t.Errorf("%q is taken for what a term is counted from", bad)
		}
	}
	a, b := parsed(t), parsed(t, "retention: P2Y", "retention: P2Y\nretention_from: /closed_on")
	if d := Diff(a, b); len(d) != 1 || d[0] != "changed: retention is now counted from the date at /closed_on, was from receipt" {
		t.Errorf("the difference is %q", d)
	}
}
