package agreement

import "time"

// soon is how far off the dates of an example have to be: who keeps what was played from it can
// try it for as long.
const soon = 90 * 24 * time.Hour

// Later returns an agreement as if it had been written whole years later: the fewest after
// which neither its review nor its end is past or within 90 days of today; and how many they
// are. Where there are none it is the agreement itself, and so it is where no year to come
// would do. It starts as much later, unless that were a day to come.
//
// It is for texts of examples, whose parties are made up: those of real ones are looked at
// again, and renewed.
func (a *Agreement) Later(today time.Time) (*Agreement, int) {
	later, years := *a, 0
	for near(later.Review, today) || near(later.Ends, today) {
		years++
		later.Review, later.Ends = a.Review.later(years), a.Ends.later(years)
		if max(later.Review, later.Ends) > "2999-12-31" { // see [ParseDate]
			return a, 0
		}
	}
	if years == 0 {
		return a, 0
	}
	if starts := a.Starts.later(years); !starts.Time().After(today) {
		later.Starts = starts
	}
	return &later, years
}

// near reports whether a date that is stated is past or will be soon.
func near(d Date, today time.Time) bool { return d != "" && d.Time().Before(today.Add(soon)) }

// later is the date so many years later; one that is not stated stays so.
func (d Date) later(years int) Date {
	if d == "" {
		return ""
	}
	return Date(d.Time().AddDate(years, 0, 0).Format(time.DateOnly))
}
