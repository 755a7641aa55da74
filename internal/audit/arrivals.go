package audit

import (
	"errors"
	"fmt"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// A Needed says by when something of a record has to have come to who receives it: before the
// day that stands in a field of the record, such as a care plan before the day of the move.
type Needed struct {
	What   name.Field // what has to have come; "" is the record itself
	Before name.Field // a day, such as 2026-12-01
}

// ParseNeeded reads what somebody typed for the two fields; nil where they typed neither.
func ParseNeeded(what, before string) (*Needed, error) {
	if what == "" && before == "" {
		return nil, nil
	}
	if before == "" {
		return nil, errors.New("--what goes with --before, the field in which the day stands")
	}
	day, err := name.ParseField(before)
	if err == nil && day == "" {
		err = errors.New("want a field such as /intention/move_on")
	}
	if err != nil {
		return nil, fmt.Errorf("--before: %w", err)
	}
	of, err := name.ParseField(what)
	if err != nil {
		return nil, fmt.Errorf("--what: %w", err)
	}
	return &Needed{What: of, Before: day}, nil
}

// An Arrivals counts what came before the day on which it was needed, by the receipts in which
// receivers say that they have it. It is counted once for each record and receiver: by the
// first version with what was needed for which there is a receipt, and by the newest day that
// the bundle shows. A day begins at midnight UTC. What came on the day itself came late.
type Arrivals struct {
	What    name.Field `json:"what,omitempty"`
	Before  name.Field `json:"before"`
	InTime  int        `json:"in_time"`           // came before the day
	Late    int        `json:"late"`              // came on the day or after it
	Missing int        `json:"missing,omitempty"` // records came, and what was needed has not
	NoDay   int        `json:"no_day,omitempty"`  // no version here says a day
}

// DaysToSpare is how many days before a day something came: 0 on the day itself, and less
// than 0 after it. Days begin at midnight UTC.
func DaysToSpare(came, day time.Time) int {
	return int(day.UTC().Truncate(24*time.Hour).Sub(came.UTC().Truncate(24*time.Hour)) / (24 * time.Hour))
}

// inTime counts what came in time under the agreement that the bundle covers.
func (v *verifier) arrivals(n Needed) *Arrivals {
	type of struct {
		day string
		has map[uint64]bool // by entry of a version: whether it has what was needed
	}
	records := map[name.Record]*of{}
	which := map[uint64]*of{} // by entry
	err := v.eachRecord(func(index uint64, _ *record.Token, view *record.View) {
		if view.Op != record.Put {
			return
		}
		r := records[view.Record]
		if r == nil {
			r = &of{has: map[uint64]bool{}}
			records[view.Record] = r
		}
		_, has := textAt(view.Body, n.What)
		if day, ok := textAt(view.Body, n.Before); ok {
			r.day = day
		}
		r.has[index], which[index] = has, r
	})
	if err != nil {
		return nil // the check of contents has failed by it
	}
	type arrival struct {
		to name.Council
		r  *of
	}
	first := map[arrival]int64{} // when what was needed came, Unix seconds; 0 where it has not
	for i := range v.foreign {
		e := &v.foreign[i]
		if e.kind != event.KindReceipt || e.from != v.council || e.agreement != v.covers.Agreement || !v.mayReceive(e.agreement, e.by) {
			continue
		}
		for _, index := range e.entries {
			r := which[index]
			if r == nil {
				continue
			}
			k := arrival{e.by, r}
			if at := first[k]; r.has[index] && (at == 0 || e.issuedAt < at) {
				first[k] = e.issuedAt
			} else {
				first[k] = at
			}
		}
	}
	out := &Arrivals{What: n.What, Before: n.Before}
	for k, at := range first {
		day, err := time.Parse(time.DateOnly, k.r.day)
		switch {
		case err != nil:
			out.NoDay++
		case at == 0:
			out.Missing++
		case DaysToSpare(time.Unix(at, 0), day) > 0:
			out.InTime++
		default:
			out.Late++
		}
	}
	return out
}

// textAt returns the text at a place in a record, "" where something else stands there;
// false where nothing does. The empty place is the record.
func textAt(body map[string]any, f name.Field) (text string, there bool) {
	var v any = body
	for _, step := range f.Tokens() {
		m, ok := v.(map[string]any)
		if !ok {
			return "", false
		}
		if v, there = m[step]; !there {
			return "", false
		}
	}
	text, _ = v.(string)
	return text, true
}

// String says in words what came in time.
func (t *Arrivals) String() string {
	what := "The record"
	if t.What != "" {
		what = string(t.What)
	}
	s := fmt.Sprintf("%s came before the day at %s of %s, and LATE, on that day or after it, of %s.", what, t.Before, count(t.InTime, "record"), number(t.Late))
	if t.Missing > 0 {
		s += fmt.Sprintf(" It has not come of %s.", number(t.Missing))
	}
	if t.NoDay > 0 {
		s += fmt.Sprintf(" No day is said of %s.", number(t.NoDay))
	}
	return s
}
