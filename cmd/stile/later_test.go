package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/examples"
	"github.com/stile-exchange/stile/examples/people"
	"github.com/stile-exchange/stile/examples/planning"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// clockAt is a clock that goes on from a day.
func clockAt(t *testing.T, day string) func() time.Time {
	t.Helper()
	from, err := time.Parse(time.DateOnly, day)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	return func() time.Time { return from.Add(12*time.Hour + time.Since(began)) }
}

// What the demonstration and the exchanges sign is in force on any day, and stays so for two
// months: a text whose dates have come, or are near, differs from that of the example in its
// dates alone, and that is said.
func TestExamplesStayInForce(t *testing.T) {
	texts := map[string][]byte{"people": people.Agreement(), "planning": planning.Agreement()}
	all, err := examples.Exchanges()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		files, err := e.Files()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range e.Steps {
			for _, one := range e.Turns(s) {
				if one.Agree != "" {
					texts[e.ID+" "+one.Agree] = files[one.Agree]
				}
			}
		}
	}
	if len(texts) < 40 {
		t.Fatalf("%d texts, want those of sixteen exchanges", len(texts))
	}
	for _, day := range []string{"2026-11-30", "2027-09-01", "2027-11-29", "2027-11-30", "2030-12-31", "2031-01-01", "2042-06-01"} {
		town := &town{app: &app{env: env{now: clockAt(t, day)}}}
		for what, text := range texts {
			own, err := agreement.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			doc, moved, err := town.written(text)
			if err != nil {
				t.Fatal(err)
			}
			a, err := agreement.Parse(doc)
			if err != nil {
				t.Fatalf("%s on %s: %v", what, day, err)
			}
			signed := map[name.Council]bool{}
			for _, c := range a.Parties() {
				signed[c] = true
			}
			later := town.clock().AddDate(0, 2, 0)
			for _, on := range []time.Time{town.clock(), later} {
				if is, why := a.InForce(on, signed); !is || !on.Before(a.Review.Time()) {
					t.Errorf("%s on %s: in force on %s: %v, %s; its review is on %s", what, day, on.Format(time.DateOnly), is, why, a.Review)
				}
			}
			if changed := !bytes.Equal(doc, text); changed != (moved != "") || changed != (later.AddDate(0, 1, 0).After(own.Review.Time())) {
				t.Errorf("%s on %s: changed %v, and said %q", what, day, changed, moved)
			}
			if moved != "" && (!strings.Contains(moved, string(own.Review)) || !strings.Contains(moved, string(a.Review))) {
				t.Errorf("%s on %s: said %q", what, day, moved)
			}
			same := *a
			same.Starts, same.Review, same.Ends = own.Starts, own.Review, own.Ends
			if same.Digest() != own.Digest() {
				t.Errorf("%s on %s: more than its dates is changed", what, day)
			}
		}
	}
}

// TestPlayedLater: the demonstration and an exchange come about years after the days of review
// and the ends of their agreements, also of one that a standard offers, and say that their
// dates are moved.
func TestPlayedLater(t *testing.T) {
	for command, wants := range map[string][]string{
		"demo --people 30 --applications 20": {
			"northmoor.gov.uk/people-moving-to-saltby: Its dates are 6 years later than in the example, where it is to be reviewed on 2027-11-30: it is now on 2033-11-30.",
			"Both are signed by both sides, and in force",
			"none failed.",
		},
		// Its last day is counted in working days, whose bank holidays are not known for so long.
		"exchange run 01": {
			`--by "Jo Smith" --notice 2028-02-15`,
			"LATE: was due 2028-03-07",
			"saltby.gov.uk holds 1 record under northmoor.gov.uk/referrals, all proved by the log of northmoor.gov.uk; 2 fields withheld.",
		},
		"exchange run 11": {
			"Its dates are 6 years later than in the example, where it is to be reviewed on 2027-11-30: it is now on 2033-11-30.",
			"It offers a text that was to be reviewed on 2028-11-30, and the councils agree on another day.",
			"northmoor$ stile agreement accept exchange-case --to fellshire.gov.uk --yes --review 2033-11-30",
			"fellshire$ stile agreement accept exchange-case --all --yes --review 2033-11-30",
			"fellshire.gov.uk holds 1 record under northmoor.gov.uk/exchange-cases, all proved by the log of northmoor.gov.uk; 0 fields withheld.",
		},
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			code := Main(t.Context(), env{in: strings.NewReader(""), out: &out, err: &out, now: clockAt(t, "2033-03-01")}, strings.Fields(command))
			if code != 0 {
				t.Fatalf("exit code %d:\n%s", code, &out)
			}
			for _, want := range wants {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the run does not say %q:\n%s", want, &out)
				}
			}
		})
	}
}

// TestReviewOf: an offered agreement is accepted with its own day of review or with the one
// that is typed, and with none that has come.
func TestReviewOf(t *testing.T) {
	std, err := offered("exchange-case")
	if err != nil || std == nil {
		t.Fatalf("exchange-case offers nothing: %v", err)
	}
	for _, c := range []struct {
		today, typed string
		want         agreement.Date
		kind         node.Kind // of the error
	}{
		{"2026-11-30", "", "2028-11-30", ""},
		{"2028-11-29", "", "2028-11-30", ""},
		{"2028-11-30", "", "", node.Invalid},
		{"2028-11-30", "2028-12-01", "2028-12-01", ""},
		{"2028-11-30", "2028-11-30", "", node.Usage},
		{"2026-11-30", "next year", "", node.Usage},
	} {
		a := &app{env: env{now: clockAt(t, c.today)}}
		got, err := a.reviewOf(std, c.typed)
		var e *node.Error
		if errors.As(err, &e); got != c.want || (err == nil) != (c.kind == "") || e != nil && (e.Kind != c.kind || e.Try == "" && c.typed != "next year") {
			t.Errorf("on %s with %q: %s, %v", c.today, c.typed, got, err)
		}
	}
}
