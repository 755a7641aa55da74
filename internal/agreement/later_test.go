package agreement_test

import (
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
)

// The dates of an example are moved by whole years, and only where one of them is past or near.
func TestLater(t *testing.T) {
	for _, c := range []struct {
		about                string
		starts, review, ends agreement.Date
		today                string
		years                int
		want                 [3]agreement.Date
	}{
		{"all to come", "2026-01-01", "2027-11-30", "2031-01-01", "2027-09-01", 0, [3]agreement.Date{"2026-01-01", "2027-11-30", "2031-01-01"}},
		{"the review is near", "2026-01-01", "2027-11-30", "2031-01-01", "2027-09-02", 1, [3]agreement.Date{"2027-01-01", "2028-11-30", "2032-01-01"}},
		{"the review is today", "2026-01-01", "2027-11-30", "", "2027-11-30", 1, [3]agreement.Date{"2027-01-01", "2028-11-30", ""}},
		{"everything is past", "2026-01-01", "2027-11-30", "2031-01-01", "2034-05-01", 7, [3]agreement.Date{"2033-01-01", "2034-11-30", "2038-01-01"}},
		{"its end alone is told, and near", "2026-01-01", "", "2027-10-01", "2027-09-02", 1, [3]agreement.Date{"2027-01-01", "", "2028-10-01"}},
		{"it would start in days to come", "2026-12-01", "2027-11-30", "", "2027-11-01", 1, [3]agreement.Date{"2026-12-01", "2028-11-30", ""}},
		{"a leap day", "2027-01-01", "2028-02-29", "", "2028-02-29", 1, [3]agreement.Date{"2028-01-01", "2029-03-01", ""}},
		{"it has neither", "2026-01-01", "", "", "2050-01-01", 0, [3]agreement.Date{"2026-01-01", "", ""}},
		{"no year to come would do", "2998-01-01", "2999-01-01", "", "2999-12-01", 0, [3]agreement.Date{"2998-01-01", "2999-01-01", ""}},
	} {
		today, err := time.Parse(time.DateOnly, c.today)
		if err != nil {
			t.Fatal(err)
		}
		a := &agreement.Agreement{Starts: c.starts, Review: c.review, Ends: c.ends}
		b, years := a.Later(today)
		if got := [3]agreement.Date{b.Starts, b.Review, b.Ends}; years != c.years || got != c.want {
			t.Errorf("%s: %d years later %q, want %d and %q", c.about, years, got, c.years, c.want)
		}
		if years == 0 && a != b || a.Starts != c.starts || a.Review != c.review || a.Ends != c.ends {
			t.Errorf("%s: the text itself was changed: %+v", c.about, a)
		}
	}
}
