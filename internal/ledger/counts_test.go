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

// What was counted in a week is given again until its end, whatever changes, and
// only so many ways of counting are.
func TestCountsOnceAWeek(t *testing.T) {
	now := time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)
	l := open(t, "", ring(t), func(o *ledger.Options) { o.Now = func() time.Time { return now } })
	std := parish(t, "1.0.0")
	if err := l.Adopt(t.Context(), std); err != nil {
		t.Fatal(err)
	}
	a := *sharing(t, "counted", 1, `record.name != "left out"`, "/ward")
	a.Mode, a.To = agreement.Aggregate, []name.Council{saltby, hexwell}
	a.Fields = append(a.Fields, "/another")
	for i := range ledger.MaxGroupings {
		a.Fields = append(a.Fields, name.Field(fmt.Sprint("/", i)))
	}
	if err := errors.Join(l.OpenFeed(t.Context(), &a), l.AwaitFeed(t.Context(), &a)); err != nil {
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
	tallies, asked := 0, byte(0)
	countFor := func(partner name.Council, by ...name.Field) (uint64, int, error) {
		asked++
		q := question(&a, asked, "", "")
		q.By, q.Groups = partner, by
		if _, err := l.Charge(t.Context(), q); err != nil {
			return 0, 0, err
		}
		index, err := l.Counts(t.Context(), &a, q, func() (*agreement.Tally, error) {
			tallies++
			f, err := l.Feed(a.Name, a.Digest())
			if err != nil {
				return nil, err
			}
			return l.Tally(t.Context(), f, q)
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
	count := func(by ...name.Field) (uint64, int, error) { return countFor(saltby, by...) }
	more(32)
	first, was, err := count("/ward")
	if err != nil || was < 25 || was > 40 {
		t.Fatalf("32 are counted as %d, %v", was, err)
	}
	more(40)
	if again, total, err := count("/ward"); again != first || total != was || tallies != 1 || err != nil {
		t.Errorf("the same week: entry %d, %d, counted %d times, %v", again, total, tallies, err)
	}
	now = now.Add(-2 * time.Hour) // a clock that is set back
	if again, _, err := count("/ward"); again != first || err != nil {
		t.Errorf("the day before: entry %d, %v", again, err)
	}
	now = now.AddDate(0, 0, 7)
	if again, _, err := count("/ward"); again != first || err != nil {
		t.Errorf("on the Sunday: entry %d, %v", again, err)
	}
	now = now.Add(3 * time.Hour)
	if again, total, err := count("/ward"); again == first || total < 65 || total > 80 || err != nil {
		t.Errorf("the next week: entry %d, %d, %v", again, total, err)
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
	last, _, err := count("/ward")
	if err != nil {
		t.Errorf("what was counted is not given again: %v", err)
	}
	// Another partner is given the same, and has ways of counting of its own.
	made := tallies
	if index, _, err := countFor(hexwell, "/ward"); index != last || tallies != made || err != nil {
		t.Errorf("to another partner: entry %d, want %d, %v", index, last, err)
	}
	if _, _, err := countFor(hexwell, "/another"); err != nil {
		t.Errorf("one partner has used up another's ways of counting: %v", err)
	}
}

// Fields that make too many groups cost what others do: a question of the day and
// one of its ways of counting, and all records are read for them once a day.
func TestTooManyGroupsIsCharged(t *testing.T) {
	l := open(t, "", ring(t))
	a := *sharing(t, "counted", 1, "true", "/ward")
	a.Mode = agreement.Aggregate
	tallies := 0
	for i := range byte(8) {
		q := question(&a, i, "", "")
		q.Groups, q.PerDay = []name.Field{"/reference"}, 5
		_, err := l.Charge(t.Context(), q)
		if i >= 5 {
			if bound := new(ledger.Bound); !errors.As(err, &bound) {
				t.Errorf("question %d of a bound of 5: %v", i, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.Counts(t.Context(), &a, q, func() (*agreement.Tally, error) {
			tallies++
			return nil, agreement.ErrGroups
		})
		if !errors.Is(err, agreement.ErrGroups) {
			t.Errorf("question %d: %v", i, err)
		}
	}
	if tallies != 1 {
		t.Errorf("counted %d times in one week, want 1", tallies)
	}
	// A tally that fails has been charged before it began.
	for i := range ledger.MaxGroupings {
		q := question(&a, byte(100+i), "", "")
		q.Groups = []name.Field{name.Field(fmt.Sprint("/", i))}
		if _, err := l.Charge(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		failed := errors.New("interrupted")
		_, err := l.Counts(t.Context(), &a, q, func() (*agreement.Tally, error) { return nil, failed })
		if bound := new(ledger.Bound); i < ledger.MaxGroupings-1 && !errors.Is(err, failed) || i == ledger.MaxGroupings-1 && !errors.As(err, &bound) {
			t.Errorf("way of counting %d: %v", i+1, err)
		}
	}
}

// A way of counting in a week is charged to the budget of a year, of the agreement and of
// all that count the same records: a new text of an agreement, and another agreement, begin
// with what is left. What was counted is given again for nothing.
func TestCountsOfAYear(t *testing.T) {
	now := time.Date(2026, 1, 5, 1, 0, 0, 0, time.UTC) // a Monday
	l := open(t, "", ring(t), func(o *ledger.Options) { o.Now = func() time.Time { return now } })
	if err := l.Adopt(t.Context(), parish(t, "1.0.0")); err != nil {
		t.Fatal(err)
	}
	id := uint32(0)
	count := func(a *agreement.Agreement, by name.Field) error {
		id++
		q := question(a, byte(id), "", "")
		q.ID[5], q.ID[6] = byte(id>>8), 1
		q.Groups, q.PerDay = []name.Field{by}, 1000
		if _, err := l.Charge(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		_, err := l.Counts(t.Context(), a, q, func() (*agreement.Tally, error) { return l.NewTally(a, q) })
		return err
	}
	named := func(nm string, version int) *agreement.Agreement {
		a := *sharing(t, nm, version, "true", "/ward")
		a.Mode = agreement.Aggregate
		return &a
	}
	bound := new(ledger.Bound)
	for week := range ledger.MaxCountsAgreement / ledger.MaxGroupings {
		for i := range ledger.MaxGroupings {
			for _, nm := range []string{"a", "b", "c", "d"} {
				if err := count(named(nm, 1+week/10), name.Field(fmt.Sprint("/", i))); err != nil {
					t.Fatal(err)
				}
			}
		}
		now = now.AddDate(0, 0, 7)
	}
	if err := count(named("a", 3), "/ward"); !errors.As(err, &bound) || bound.Most != ledger.MaxCountsAgreement || bound.Opens.Year() != 2027 {
		t.Errorf("one counting more of an agreement's year: %v", err)
	}
	if err := count(named("e", 1), "/ward"); !errors.As(err, &bound) || bound.Most != ledger.MaxCountsPopulation {
		t.Errorf("one counting more of a population's year: %v", err)
	}
	err := l.View(func(v *ledger.View) error {
		spent, err := v.CountsThisYear(named("a", 1).Name)
		if spent != ledger.MaxCountsAgreement {
			t.Errorf("%d were counted", spent)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	now = time.Date(2027, 1, 4, 0, 0, 0, 0, time.UTC)
	if err := count(named("a", 3), "/ward"); err != nil {
		t.Errorf("in the next year: %v", err)
	}
}
