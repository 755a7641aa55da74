package main

import (
	"cmp"
	"context"
	"time"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// listInTime lists when each record that a partner sent came, against the day before which it
// was needed.
func (a *app) listInTime(ctx context.Context, req node.ListRequest, n audit.Needed, show []string, all bool) error {
	type line struct {
		Record    name.Record   `json:"record"`
		Reference string        `json:"reference,omitempty"`
		Standard  name.Standard `json:"standard"`
		Version   uint64        `json:"version"`
		Received  time.Time     `json:"received,omitzero"`
		Before    string        `json:"before,omitempty"`        // the day
		Spare     *int          `json:"days_to_spare,omitempty"` // none where it has not come, or no day is said
		Late      bool          `json:"late"`
		Says      string        `json:"says"`
	}
	req.Bodies = true
	if !a.json {
		req.Show = append(req.Show, n.Before)
	}
	t := newTable(append([]string{"REFERENCE", "#VERSION", "CAME AT", "NEEDED BEFORE", "IN TIME"}, show...)...)
	var late []string
	inTime, other := 0, 0
	damaged, more, err := a.pages(ctx, req, all, func(r node.RecordReply) error {
		cells := shown(r.Body, []string{string(n.Before), string(n.What)})
		day, err := time.Parse(time.DateOnly, cells[0])
		l := line{Record: r.Record, Reference: r.Reference, Standard: r.Standard, Version: r.Version, Received: r.Received, Before: cells[0]}
		if err != nil {
			l.Before = ""
		}
		l.Spare, l.Late, l.Says = inTimeSays(r, day, n.What == "" || cells[1] != "-", a.clock())
		switch called := cmp.Or(r.Reference, string(r.Record)); {
		case l.Late:
			late = append(late, called)
		case l.Spare != nil:
			inTime++
		default:
			other++
		}
		if a.json {
			return a.emitLine(l)
		}
		came := "-"
		if !r.Received.IsZero() {
			came = at(r.Received)
		}
		t.add(append([]string{cmp.Or(r.Reference, string(r.Record)), number(r.Version), came, cells[0], l.Says}, shown(r.Body, show)...)...)
		return nil
	})
	if err != nil {
		return err
	}
	if !a.json {
		t.write(a.out, "")
		a.printf("\n%s in time, %d LATE, %d of which it cannot be said.\n", number(inTime), len(late), other)
		for _, l := range late {
			a.printf("LATE: %s\n", l)
		}
	}
	return a.leftOut(damaged, more, inTime+len(late)+other)
}

// inTimeSays says of a record that is held how many days before a day it came, zero for none,
// and whether it is late: what was needed has is false of.
func inTimeSays(r node.RecordReply, day time.Time, has bool, now time.Time) (spare *int, late bool, says string) {
	if day.IsZero() {
		return nil, false, "no day is said"
	}
	if !has {
		if audit.DaysToSpare(now, day) > 0 {
			return nil, false, "has not come yet: " + plural(audit.DaysToSpare(now, day), "day", "days") + " left"
		}
		return nil, true, "LATE: has not come"
	}
	if r.Received.IsZero() {
		return nil, false, "not known when it came"
	}
	n := audit.DaysToSpare(r.Received, day)
	as := ""
	if r.Version > 1 {
		as = ", as version " + number(r.Version)
	}
	switch {
	case n > 0:
		return &n, false, plural(n, "day", "days") + " to spare"
	case n == 0:
		return &n, true, "LATE: on the day itself" + as
	}
	return &n, true, "LATE: " + plural(-n, "day", "days") + " after the day" + as
}
