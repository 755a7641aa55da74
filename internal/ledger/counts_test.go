package ledger_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// What was counted on a day is given again until midnight, whatever changes, and
// only so many ways of counting are.
func TestCountsOnceADay(t *testing.T) {
	now := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	l := open(t, "", ring(t), func(o *ledger.Options) { o.Now = func() time.Time { return now } })
	std := parish(t, "1.0.0")
	if err := l.Adopt(t.Context(), std); err != nil {
		t.Fatal(err)
	}
	a := *sharing(t, "counted", 1, `record.name != "left out"`, "/ward")
	a.Mode = agreement.Aggregate
	if err := l.OpenFeed(t.Context(), &a); err != nil {
		t.Fatal(err)
	}
	put(t, l, std, item("x", "A", "left out"))
	n := 0
	more := func(k int) {
		for range k {
			n++
			put(t, l, std, item(fmt.Sprint("i", n), "A", "Ann"))
		}
	}
	tallies := 0
	count := func(by ...name.Field) (uint64, int, error) {
		index, err := l.Counts(t.Context(), &a, by, func() (*agreement.Tally, error) {
			tallies++
			f, err := l.Feed(a.Name, a.Digest())
			if err != nil {
				return nil, err
			}
			return l.Tally(t.Context(), f, by)
		})
		if err != nil {
			return 0, 0, err
		}
		var c agreement.Counts
		err = l.View(func(v *ledger.View) error {
			ev, _, err := v.Event(index)
			if err == nil {
				c, err = agreement.ParseCounts(ev.Body)
			}
			return err
		})
		return index, c.Total, err
	}
	more(12)
	first, total, err := count("/ward")
	if err != nil || total != 10 {
		t.Fatalf("12 are counted as %d, %v", total, err)
	}
	more(8)
	if again, total, err := count("/ward"); again != first || total != 10 || tallies != 1 || err != nil {
		t.Errorf("the same day: entry %d, %d, counted %d times, %v", again, total, tallies, err)
	}
	now = now.Add(-2 * time.Hour) // a clock that is set back
	if again, _, err := count("/ward"); again != first || err != nil {
		t.Errorf("the day before: entry %d, %v", again, err)
	}
	now = now.Add(25 * time.Hour)
	if again, total, err := count("/ward"); again == first || total != 20 || err != nil {
		t.Errorf("the next day: entry %d, %d, %v", again, total, err)
	}
	for i := range ledger.MaxGroupings - 1 {
		if _, _, err := count(name.Field(fmt.Sprint("/", i))); err != nil {
			t.Fatal(err)
		}
	}
	var bound *ledger.Bound
	if _, _, err := count("/another"); !errors.As(err, &bound) {
		t.Errorf("one way of counting more: %v", err)
	}
	if _, _, err := count("/ward"); err != nil {
		t.Errorf("what was counted is not given again: %v", err)
	}
}
