// Package workday counts limits of time as English law writes them: "15 working
// days", "10 days".
//
// A working day is a day from Monday to Friday that is no bank holiday in England.
// Days are counted as the Interpretation Act and the courts do where a rule says
// "within": the day that is counted from is not one of them, and the last may still be
// used. So 15 working days from a Monday without bank holidays end on the Monday three
// weeks later.
//
// The bank holidays are data, see holidays.go, and end. A day behind their end is an
// error wrapping [ErrUnknown], never a guess.
package workday

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrUnknown: the bank holidays of a day are not in this program.
var ErrUnknown = errors.New("the bank holidays of England are not known to this program")

// MaxDays bounds a limit.
const MaxDays = 366

// A Limit is a number of days. The zero Limit is none.
type Limit struct {
	Days    int
	Working bool // only working days count
}

// Parse reads what [Limit.String] prints: "15 working days", "1 working day", "10
// days", "1 day", of 1 to [MaxDays] days.
func Parse(s string) (Limit, error) {
	digits, rest, _ := strings.Cut(s, " ")
	n, err := strconv.Atoi(digits)
	l := Limit{Days: n, Working: strings.HasPrefix(rest, "working ")}
	if err != nil || n < 1 || n > MaxDays || l.String() != s {
		return Limit{}, fmt.Errorf(`want a number of days from 1 to %d, such as "15 working days" or "10 days"`, MaxDays)
	}
	return l, nil
}

// String returns the limit in words.
func (l Limit) String() string {
	words := "days"
	if l.Days == 1 {
		words = "day"
	}
	if l.Working {
		words = "working " + words
	}
	return strconv.Itoa(l.Days) + " " + words
}

// From returns the last day of the limit that is counted from a day, both at midnight
// UTC. The error wraps [ErrUnknown].
func (l Limit) From(day time.Time) (time.Time, error) {
	day = Midnight(day)
	if !l.Working {
		return day.AddDate(0, 0, l.Days), nil
	}
	for n := 0; n < l.Days; {
		day = day.AddDate(0, 0, 1)
		is, err := Is(day)
		if err != nil {
			return time.Time{}, fmt.Errorf("%s from then: %w", l, err)
		}
		if is {
			n++
		}
	}
	return day, nil
}

// Left returns how many days of the limit's kind are left on a day until its last day: 0 on
// the last day, and less than 0 after it. The error wraps [ErrUnknown].
func (l Limit) Left(day, last time.Time) (int, error) {
	day, last = Midnight(day), Midnight(last)
	if !l.Working {
		return int(last.Sub(day) / (24 * time.Hour)), nil
	}
	sign := 1
	if day.After(last) {
		day, last, sign = last, day, -1
	}
	n := 0
	for day.Before(last) {
		day = day.AddDate(0, 0, 1)
		is, err := Is(day)
		if err != nil {
			return 0, err
		}
		if is {
			n++
		}
	}
	if sign < 0 && n == 0 {
		n = 1 // it is over, if only by a weekend
	}
	return sign * n, nil
}

// Is reports whether a day is a working day. The error wraps [ErrUnknown].
func Is(day time.Time) (bool, error) {
	s := day.UTC().Format(time.DateOnly)
	if s < First || s > Last {
		return false, fmt.Errorf("%w for %s: it knows them from %s to %s", ErrUnknown, s, First, Last)
	}
	switch day.UTC().Weekday() {
	case time.Saturday, time.Sunday:
		return false, nil
	}
	_, is := slices.BinarySearch(holidays, s)
	return !is, nil
}

// Known returns a day from which limits of up to half a year can be counted: the one that is
// given or, where bank holidays after it are not known, that day of the last year in which it
// can be done. It is for examples, whose days matter to nobody.
func Known(day time.Time) time.Time {
	for day.AddDate(0, 6, 0).Format(time.DateOnly) > Last {
		day = day.AddDate(-1, 0, 0)
	}
	return day
}

// Midnight returns the beginning of a day, in UTC.
func Midnight(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
