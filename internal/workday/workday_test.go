package workday

import (
	"errors"
	"slices"
	"testing"
	"time"
)

func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

// easter returns Easter Sunday by the method of Meeus, Jones and Butcher.
func easter(y int) time.Time {
	a, b, c := y%19, y/100, y%100
	d, e := b/4, b%4
	g := (8*b + 13) / 25
	h := (19*a + b - d - g + 15) % 30
	i, k := c/4, c%4
	l := (32 + 2*e + 2*i - h - k) % 7
	m := (a + 11*h + 19*l) / 433
	n := (h + l - 7*m + 90) / 25
	return time.Date(y, time.Month(n), (h+l-7*m+33*n+19)%32, 0, 0, 0, 0, time.UTC)
}

// worked works out the bank holidays of a year by the Act, without those that are
// proclaimed for one occasion.
func worked(y int) (out []string) {
	monday := func(m time.Month, from int) time.Time {
		t := time.Date(y, m, from, 0, 0, 0, 0, time.UTC)
		for t.Weekday() != time.Monday {
			t = t.AddDate(0, 0, 1)
		}
		return t
	}
	all := []time.Time{easter(y).AddDate(0, 0, -2), easter(y).AddDate(0, 0, 1), monday(time.May, 1), monday(time.May, 25), monday(time.August, 25)}
	for _, f := range []time.Time{time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(y, 12, 25, 0, 0, 0, 0, time.UTC), time.Date(y, 12, 26, 0, 0, 0, 0, time.UTC)} {
		for f.Weekday() == time.Saturday || f.Weekday() == time.Sunday || slices.Contains(all, f) {
			f = f.AddDate(0, 0, 1)
		}
		all = append(all, f)
	}
	for _, t := range all {
		out = append(out, t.Format(time.DateOnly))
	}
	slices.Sort(out)
	return out
}

// Each year of the table is what the Act makes it.
func TestHolidays(t *testing.T) {
	var want []string
	for y := day(First).Year(); y <= day(Last).Year(); y++ {
		want = append(want, worked(y)...)
	}
	if !slices.Equal(holidays, want) {
		t.Errorf("the table has\n%q\nthe Act makes it\n%q", holidays, want)
	}
}

func TestFrom(t *testing.T) {
	for _, c := range []struct{ limit, from, want string }{
		{"15 working days", "2026-06-01", "2026-06-22"}, // three weeks without a bank holiday
		{"15 working days", "2026-12-18", "2027-01-13"}, // Christmas, the day for Boxing Day, New Year
		{"15 working days", "2026-03-27", "2026-04-21"}, // Easter
		{"1 working day", "2026-12-24", "2026-12-29"},
		{"1 working day", "2026-11-27", "2026-11-30"},   // a Friday
		{"10 working days", "2026-11-29", "2026-12-11"}, // a Sunday is not counted, nor counted from
		{"10 days", "2026-12-20", "2026-12-30"},
		{"1 day", "2028-12-31", "2029-01-01"}, // needs no table
	} {
		l, err := Parse(c.limit)
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.From(day(c.from))
		if err != nil || got.Format(time.DateOnly) != c.want {
			t.Errorf("%s from %s: %s, %v; want %s", c.limit, c.from, got.Format(time.DateOnly), err, c.want)
			continue
		}
		if left, err := l.Left(day(c.from), got); err != nil || left != l.Days {
			t.Errorf("%s from %s: %d are left on the first day, %v", c.limit, c.from, left, err)
		}
	}
}

func TestLeft(t *testing.T) {
	l := Limit{Days: 15, Working: true}
	for _, c := range []struct {
		on   string
		want int
	}{{"2026-12-24", 1}, {"2026-12-29", 0}, {"2026-12-30", -1}, {"2026-12-28", 1}, {"2027-01-04", -3}} {
		if got, err := l.Left(day(c.on), day("2026-12-29")); err != nil || got != c.want {
			t.Errorf("on %s: %d, %v; want %d", c.on, got, err, c.want)
		}
	}
	// Over by a weekend is over.
	if got, err := l.Left(day("2026-11-28"), day("2026-11-27")); err != nil || got != -1 {
		t.Errorf("on a Saturday after the last day: %d, %v", got, err)
	}
}

// What lies outside the table is said to be unknown, and not guessed.
func TestUnknown(t *testing.T) {
	l := Limit{Days: 15, Working: true}
	if got, err := l.From(day("2028-12-20")); !errors.Is(err, ErrUnknown) || !got.IsZero() {
		t.Errorf("beyond the table: %s, %v", got, err)
	}
	if _, err := l.From(day("2023-12-20")); !errors.Is(err, ErrUnknown) {
		t.Errorf("before the table: %v", err)
	}
	if _, err := l.Left(day("2028-12-20"), day("2029-01-03")); !errors.Is(err, ErrUnknown) {
		t.Errorf("left: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"15 working days", "1 day", "1 days", "0 days", "015 working days", "367 days", "15  working days", "1 working day", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := Parse(s)
		if err == nil && (l.String() != s || l.Days < 1 || l.Days > MaxDays) {
			t.Errorf("%q is read as %+v", s, l)
		}
	})
}

// TestKnown: an example's day is moved back by whole years when limits cannot be counted from it.
func TestKnown(t *testing.T) {
	for day, want := range map[string]string{"2026-11-16": "2026-11-16", "2028-06-30": "2028-06-30", "2028-07-02": "2027-07-02", "2033-03-01": "2028-03-01"} {
		on, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		got := Known(on)
		if got.Format(time.DateOnly) != want {
			t.Errorf("%s: %s, want %s", day, got.Format(time.DateOnly), want)
		}
		if _, err := (Limit{Days: 100, Working: true}).From(got); err != nil {
			t.Errorf("%s: %v", day, err)
		}
	}
}
