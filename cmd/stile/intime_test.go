package main

import (
	"testing"
	"time"

	"github.com/stile-exchange/stile/node"
)

// TestInTimeSays: who receives is told in plain words whether something came in time.
func TestInTimeSays(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, c := range []struct {
		day     string
		has     bool
		came    time.Time
		version uint64
		spare   int
		late    bool
		says    string
	}{
		{"2026-12-08", true, now, 1, 8, false, "8 days to spare"},
		{"2026-12-01", true, now, 3, 1, false, "1 day to spare"},
		{"2026-11-30", true, now, 1, 0, true, "LATE: on the day itself"},
		{"2026-11-29", true, now, 1, -1, true, "LATE: 1 day after the day"},
		{"2026-11-20", true, now, 2, -10, true, "LATE: 10 days after the day, as version 2"},
		{"2026-12-08", false, now, 1, 0, false, "has not come yet: 8 days left"},
		{"2026-11-30", false, now, 1, 0, true, "LATE: has not come"},
		{"2026-12-08", true, time.Time{}, 1, 0, false, "not known when it came"},
		{"", true, now, 1, 0, false, "no day is said"},
	} {
		var d time.Time
		if c.day != "" {
			d = day(c.day)
		}
		spare, late, says := inTimeSays(node.RecordReply{Received: c.came, Version: c.version}, d, c.has, now)
		if late != c.late || says != c.says || spare != nil && *spare != c.spare || (spare == nil) != (!c.has || c.came.IsZero() || c.day == "") {
			t.Errorf("%+v: %v, %v, %q", c, spare, late, says)
		}
	}
}
