// Package measure says how well a council complies with a standard: the figures
// of a compliance statement, how they are counted, and what they are worth.
//
// A statement is a record in the standard [Standard], which comes with Stile.
// Its figures are of one version of one standard, counted by the council's own
// node from its own ledger at one checkpoint. docs/measuring.md defines each
// figure; the short form stands on the fields of [api.Statement].
//
// A statement holds counts and the names of places in a standard, never
// anything a record says. What another council states is foreign: [Parse] takes
// only what is possible in itself.
package measure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Standard is the name of the standard that statements are records in.
const Standard name.StandardName = "standards.stile.example/compliance-statement"

// A Statement is what a council says of itself and one version of a standard.
type Statement = api.Statement

// An Error is a rule broken at a place.
type Error = api.StatementError

// Limits on a statement.
const (
	MaxErrors = 40
	// maxCount is the largest count: integers beyond 2^53-1 are no records'.
	maxCount = 1<<53 - 1
)

// Record returns a statement as a record: canonical JSON.
func Record(s *Statement) ([]byte, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write statement: %w", err)
	}
	v, err := strictjson.Decode(b, strictjson.DefaultLimits())
	if err != nil {
		return nil, fmt.Errorf("write statement: %w", err)
	}
	return strictjson.Canonical(v), nil
}

// ErrStatement is wrapped by every error of [Parse]. Its texts name fields and
// hold no value.
var ErrStatement = errors.New("not a possible statement")

// Parse reads a statement from the body of a record, whoever issued it. It
// checks what the schema cannot say: that the counts can be true together. It
// does not look at who signed it; that the council it names is its issuer is
// for the caller to compare.
func Parse(body map[string]any) (*Statement, error) {
	s := &Statement{}
	text := strictjson.Canonical(body)
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(s); err != nil {
		return nil, fmt.Errorf("%w: a field is missing, unknown or of another kind", ErrStatement)
	}
	if err := check(s); err != nil {
		return nil, err
	}
	if again, err := Record(s); err != nil || !bytes.Equal(again, text) {
		return nil, fmt.Errorf("%w: a count of none is written out, or a name in another case: a statement has one spelling", ErrStatement)
	}
	return s, nil
}

// check reports the first thing that cannot be.
func check(s *Statement) error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrStatement, what) }
	if _, err := name.ParseCouncil(string(s.Council)); err != nil {
		return bad("/council names none")
	}
	if s.Standard.Name == "" || s.ComputedAt.IsZero() || s.CountedSince.IsZero() {
		return bad("/standard, /computed_at or /counted_since is missing")
	}
	if s.ComputedAt.UTC().Format(time.DateOnly) != s.ComputedOn {
		return bad("/computed_on is not the day of /computed_at")
	}
	if s.CountedSince.After(s.ComputedAt) {
		return bad("/counted_since is after /computed_at")
	}
	if _, err := tlog.ParseHash(s.Checkpoint.Root); err != nil || s.Checkpoint.Origin != s.Council.Origin() || s.Checkpoint.Size > maxCount {
		return bad("/checkpoint is none of the council's log")
	}
	readable := s.Records - s.Damaged
	// Each count and what it cannot exceed.
	for _, c := range []struct {
		field     string
		n, atMost int
	}{
		{"/records", s.Records, int(s.Checkpoint.Size)}, {"/damaged", s.Damaged, s.Records},
		{"/first_offers/seen", s.Offers.Seen, maxCount}, {"/first_offers/valid", s.Offers.Valid, min(s.Offers.Seen, int(s.Checkpoint.Size))},
		{"/first_offers/not_judged", s.Offers.NotJudged, maxCount}, {"/held_back", s.Held, maxCount}, {"/errors/other", s.Errors.Other, maxCount},
		{"/partners/served", s.Partners.Served, maxCount}, {"/partners/offered", s.Partners.Offered, s.Partners.Served * min(s.Records, maxCount/max(1, s.Partners.Served))},
		{"/partners/delivered", s.Partners.Delivered, s.Partners.Offered}, {"/partners/acknowledged", s.Partners.Acknowledged, s.Partners.Delivered},
		{"/received/records", s.Received.Records, maxCount}, {"/received/used", s.Received.Used, s.Received.Records},
		{"/received/ever_used", s.Received.EverUsed, maxCount},
	} {
		if c.n < 0 || c.n > c.atMost {
			return bad(c.field + " is larger than can be")
		}
	}
	if s.Received.EverUsed < s.Received.Used {
		return bad("/received/ever_used is less than /received/used")
	}
	if len(s.Errors.Listed) > MaxErrors || len(s.Fields) > MaxPlaces {
		return bad("/errors or /fields is too long")
	}
	for i, f := range s.Fields {
		if f.Filled < 0 || f.Filled > readable {
			return bad("/fields has a count larger than can be")
		}
		if i > 0 && f.Field <= s.Fields[i-1].Field {
			return bad("/fields is out of order")
		}
	}
	for _, e := range s.Errors.Listed {
		if e.Count <= 0 || e.Count > maxCount {
			return bad("/errors has a count that cannot be")
		}
	}
	if f := s.Freshness; f != nil {
		if d, err := standard.ParseDuration(f.Within); err != nil || d.IsZero() || f.Fresh < 0 || f.Fresh > readable {
			return bad("/freshness cannot be")
		}
	}
	return nil
}

// Fresh reports whether a record whose newest version was issued at a time is
// fresh at another.
func Fresh(within standard.Duration, issued, now time.Time) bool {
	return !within.After(issued).Before(now)
}

// Top returns the most frequent errors and the sum of the others. It sorts list.
func Top(list []Error, other int) api.StatementErrors {
	slices.SortFunc(list, func(a, b Error) int {
		switch {
		case a.Count != b.Count:
			return b.Count - a.Count
		case a.Field != b.Field:
			if a.Field < b.Field {
				return -1
			}
			return 1
		case a.Rule < b.Rule:
			return -1
		}
		return 1
	})
	e := api.StatementErrors{Listed: []Error{}, Other: other}
	for i, x := range list {
		if i < MaxErrors {
			e.Listed = append(e.Listed, x)
		} else {
			e.Other += x.Count
		}
	}
	return e
}

// Share returns part of whole in percent, rounded down to a tenth, so that 100
// means all; false when whole is 0.
func Share(part, whole int) (percent float64, ok bool) {
	if whole <= 0 {
		return 0, false
	}
	return float64(int(float64(part)/float64(whole)*1000+1e-9)) / 10, true
}
