package node

import (
	"testing"
	"time"
)

// TestFollowsByList: the code of a district that has ended stands for that of the unitary that
// took over from it, from the day on; not the other way, and not before.
func TestFollowsByList(t *testing.T) {
	day := time.Date(2023, 4, 1, 0, 0, 0, 0, time.UTC)
	for _, x := range []struct {
		old, successor string // Mendip, then Somerset
		by             time.Time
		is             bool
	}{
		{"E07000187", "E06000066", day, true},
		{"E07000187", "E06000066", day.AddDate(0, 0, -1), false},
		{"E06000066", "E07000187", day, false},
		{"E07000187", "E07000187", day, false},
		{"E07000187", "", day, false},
		{"", "E06000066", day, false},
	} {
		if got := followsByList(x.old, x.successor, x.by); got != x.is {
			t.Errorf("%q follows %q on %s: %t", x.successor, x.old, x.by.Format(time.DateOnly), got)
		}
	}
}
