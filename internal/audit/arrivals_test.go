package audit

import (
	"testing"
	"time"
)

// TestArrivals: what came before its day is told from what came on it or after it, by the first
// version that the receiver signed for, against the newest day.
func TestArrivals(t *testing.T) {
	w := newTown(t)
	w.agree()
	sent := func(day string) {
		at, tok := w.record(day, "E07000999")
		w.send(map[uint64][]byte{at: tok})
		w.receipt([]uint64{at}, nil)
	}
	on := func(days int) string { return time.Unix(w.now, 0).UTC().AddDate(0, 0, days).Format(time.DateOnly) }
	corrected := on(2)
	sent(corrected)
	w.now += 2 * 86400 // on the day itself it is corrected
	sent(corrected)
	for _, day := range []string{on(1), on(40), on(0), on(-1), on(-400), "some day"} {
		if day != corrected {
			sent(day)
		}
	}
	at, tok := w.record(on(5), "E07000999") // nobody has signed for it
	w.send(map[uint64][]byte{at: tok})
	w.checkpoint(true)
	b := w.bundle(10)
	for _, c := range []struct {
		what string
		want Arrivals
	}{
		{"", Arrivals{InTime: 3, Late: 2, NoDay: 1}},
		{"/applicant/name", Arrivals{InTime: 3, Late: 2, NoDay: 1}},
		{"/applicant/phone", Arrivals{Missing: 5, NoDay: 1}}, // it is withheld
	} {
		n, err := ParseNeeded(c.what, "/reference")
		if err != nil {
			t.Fatal(err)
		}
		r := verify(t, b, Options{Trust: w.trust(), Needed: n})
		c.want.What, c.want.Before = n.What, "/reference"
		if !r.OK() || r.Arrivals == nil || *r.Arrivals != c.want {
			t.Errorf("of %q: %+v, want %+v", c.what, r.Arrivals, c.want)
		}
	}
	if r := verify(t, b, Options{Trust: w.trust()}); r.Arrivals != nil {
		t.Errorf("counted %+v, and nobody asked", r.Arrivals)
	}
	for _, bad := range [][2]string{{"/plan", ""}, {"", "move_on"}, {"plan", "/move_on"}} {
		if n, err := ParseNeeded(bad[0], bad[1]); err == nil {
			t.Errorf("%q read as %+v", bad, n)
		}
	}
}

func TestDaysToSpare(t *testing.T) {
	day := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for came, want := range map[string]int{
		"2026-11-30T23:59:59Z": 1, "2026-12-01T00:00:00Z": 0, "2026-12-01T23:59:59Z": 0, "2026-12-02T00:00:00Z": -1,
		"2026-12-01T00:30:00+01:00": 1, "2025-12-01T12:00:00Z": 365,
	} {
		at, err := time.Parse(time.RFC3339, came)
		if err != nil {
			t.Fatal(err)
		}
		if got := DaysToSpare(at, day); got != want {
			t.Errorf("%s: %d, want %d", came, got, want)
		}
	}
}
