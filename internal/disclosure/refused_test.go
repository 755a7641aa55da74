package disclosure

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// Whoever is refused a million times has one entry for each reason written, once the hour
// is over; what was counted when the node stops is logged then.
func TestRefusalsAreLoggedByTheHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []event.Refused
		r := NewRefusals(func(_ context.Context, kind string, body map[string]any) error {
			f, err := event.ParseRefused(body)
			if kind != event.KindRefused || err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			said = append(said, f)
			return nil
		}, slog.New(slog.DiscardHandler), time.Now)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.Run(ctx) }()
		for range 100_000 {
			r.Note("saltby.gov.uk", event.RefusedQuestion, "too-often", "northmoor.gov.uk/cases")
		}
		r.Note("saltby.gov.uk", event.RefusedCopy, "not-agreed", "")
		r.Note("hexwell.gov.uk", event.RefusedCopy, "not-agreed", "")
		hour := uint64(time.Now().Unix() / 3600)
		synctest.Wait()
		if len(said) != 0 || len(r.counted()) != 3 {
			t.Errorf("in the hour: logged %v, counted %v", said, r.counted())
		}
		time.Sleep(61 * time.Minute)
		synctest.Wait()
		want := []event.Refused{
			{By: "hexwell.gov.uk", What: event.RefusedCopy, Rule: "not-agreed", Hour: hour, Times: 1},
			{By: "saltby.gov.uk", What: event.RefusedCopy, Rule: "not-agreed", Hour: hour, Times: 1},
			{By: "saltby.gov.uk", What: event.RefusedQuestion, Rule: "too-often", Agreement: "northmoor.gov.uk/cases", Hour: hour, Times: 100_000},
		}
		if fmt.Sprint(said) != fmt.Sprint(want) || len(r.counted()) != 0 {
			t.Errorf("after it: logged %v\nwant %v\ncounted %v", said, want, r.counted())
		}
		said = nil
		r.Note("hexwell.gov.uk", event.RefusedRecord, "withheld", "northmoor.gov.uk/cases")
		stop()
		<-done
		if len(said) != 1 || said[0].Hour != hour+1 || said[0].What != event.RefusedRecord {
			t.Errorf("at the end: %v", said)
		}
	})
}

// One council cannot make another reason of every refusal, and all of them together
// cannot fill the memory.
func TestRefusalsAreBounded(t *testing.T) {
	now := time.Date(2026, 11, 1, 9, 30, 0, 0, time.UTC)
	r := NewRefusals(nil, nil, func() time.Time { return now })
	for i := range 1000 {
		r.Note("saltby.gov.uk", event.RefusedCopy, fmt.Sprint("rule-", i), "")
	}
	all := r.counted()
	var times uint64
	for _, f := range all {
		times += f.Times
	}
	if len(all) != maxRefusalKinds+1 || times != 1000 {
		t.Errorf("%d kinds are counted, %d refusals", len(all), times)
	}
	for i := range 10_000 {
		r.Note(name.Council(fmt.Sprintf("c%d.gov.uk", i)), event.RefusedCopy, "not-agreed", "")
	}
	if n := len(r.counted()); n != maxRefusals {
		t.Errorf("%d are counted", n)
	}
	// The next hour begins anew.
	now = now.Add(time.Hour)
	if n := len(r.take(uint64(now.Unix() / 3600))); n != maxRefusals || len(r.counted()) != 0 {
		t.Errorf("%d were taken, %d are left", n, len(r.counted()))
	}
	r.Note("saltby.gov.uk", event.RefusedCopy, "rule-1", "")
	if all := r.counted(); len(all) != 1 || all[0].Rule != "rule-1" {
		t.Errorf("after the hour: %v", all)
	}
}
