package agreement

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// How long a receiver keeps a record that is copied to it.
//
// retention_from says what retention is counted from:
//
//	receipt   from when the receiver got the version of the record that it holds, by
//	          its own clock, as its receipt says; also when the heading is empty
//	/field    from the date, or the date and time, that the field holds in that
//	          version; where it holds none, from receipt
//	end       from the end of the agreement. All that is held under an agreement is
//	          deleted when it ends, since nobody could correct or withdraw it after, so
//	          retention is P0D: the record is kept while the agreement lasts
//
// It is counted by the calendar, in UTC: a year is the same day of the next year. A new
// version of a record renews the term, since it is a new receipt. The same version sent
// again, under this text or a later one, does not: it came when it came first.

// The words of retention_from, beside JSON Pointers.
const (
	FromReceipt = "receipt"
	FromEnd     = "end"
)

func setRetentionFrom(a *Agreement, v value) error {
	if v.text != FromReceipt && v.text != FromEnd {
		if f, err := name.ParseField(v.text); err != nil || f == "" || slices.Contains(f.Tokens(), "*") {
			return errors.New(`want receipt, end, or a field with a date such as /closed_on`)
		}
	}
	a.RetentionFrom = v.text
	return nil
}

// retentionField returns the field whose date the term is counted from; false when it
// is counted from something else.
func (a *Agreement) retentionField() (name.Field, bool) {
	switch a.RetentionFrom {
	case "", FromReceipt, FromEnd:
		return "", false
	}
	return name.Field(a.RetentionFrom), true
}

// countedFrom says in words what the term is counted from.
func (a *Agreement) countedFrom() string {
	if f, ok := a.retentionField(); ok {
		return "the date at " + string(f)
	}
	if a.RetentionFrom == FromEnd {
		return "the end of the agreement"
	}
	return "receipt"
}

// epoch is a day to compare durations from.
var epoch = time.Unix(0, 0).UTC()

// A Term is when a receiver deletes what it holds under one text, by itself. The zero
// Term never does.
type Term struct {
	Kept  Duration
	Field name.Field // whose date it is counted from; "" is receipt
}

// Term returns the agreement's; the zero Term where nothing is copied, and where records
// are kept until the agreement ends.
func (a *Agreement) Term() Term {
	if !a.Way().Copied || a.RetentionFrom == FromEnd || a.Retention.Zero() {
		return Term{}
	}
	f, _ := a.retentionField()
	return Term{a.Retention, f}
}

// Counted returns what the term of a record is counted from when that is a date that it
// shows; the zero time when it is receipt. body is as strictjson decodes it, as far as
// the receiver sees it.
func (t Term) Counted(body map[string]any) time.Time {
	if t.Field == "" {
		return time.Time{}
	}
	v, ok := ScalarAt(body, t.Field)
	if !ok || v.kind != 's' {
		return time.Time{}
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, v.text); err == nil && at.Year() >= 1000 && at.Year() <= 9999 {
			return at.UTC()
		}
	}
	return time.Time{}
}

// Over returns from which instant on a record is kept no longer: counted from counted
// or, where that is zero, from received. It is the zero time when the term never ends.
func (t Term) Over(counted, received time.Time) time.Time {
	if t.Kept == "" {
		return time.Time{}
	}
	if counted.IsZero() {
		counted = received
	}
	return t.Kept.After(counted.UTC())
}

// Kept says in words how long a receiver keeps what it gets: for people. It is "" where
// nothing is said of it yet.
func (a *Agreement) Kept() string {
	switch {
	case a.Retention == "":
		return ""
	case !a.Way().Copied:
		if a.Retention.Zero() {
			return "its node keeps no answer, and people keep nothing of it"
		}
		return "its node keeps no answer; people keep what they note for " + a.Retention.Words()
	case a.RetentionFrom == FromEnd:
		return "until the agreement ends"
	}
	if a.Way().Moves {
		return fmt.Sprintf("%s from %s, also after the agreement has ended", a.Retention.Words(), a.countedFrom())
	}
	return fmt.Sprintf("%s from %s, or until the agreement ends", a.Retention.Words(), a.countedFrom())
}

// ByPeople is what retention asks of people, since no node can do it.
const ByPeople = "paper copies, what was exported or passed on to other systems, and their backups are for people to destroy"

// checkRetention says what is wrong with the headings about retention.
func (a *Agreement) checkRetention(say func(key, rule, detail, fix string)) {
	f, isField := a.retentionField()
	copied := a.Way().Copied
	switch {
	case !copied:
		if a.RetentionFrom != "" {
			say("retention_from", RuleMode, fmt.Sprintf("is for records that are copied, and the mode is %s", a.Mode), "remove retention_from, or change the mode")
		}
	case a.RetentionFrom == FromEnd && a.Way().Moves:
		say("retention_from", RuleMode, fmt.Sprintf("is the end of the agreement, and in mode %s records are kept beyond it", a.Mode), "count from receipt or from a field with a date")
	case a.RetentionFrom == FromEnd && a.Retention != "" && !a.Retention.Zero():
		say("retention", RuleForm, "is counted from the end, when all that is held is deleted", "write P0D, or count from receipt or from a field with a date")
	case a.RetentionFrom != FromEnd && a.Retention.Zero():
		say("retention", RuleForm, "is no time at all, and the receiver is to keep a copy", "say how long it needs the records, or use "+askedBy())
	case a.Way().Short != "" && (isField || a.RetentionFrom == FromEnd):
		say("retention_from", RuleMode, fmt.Sprintf("is for modes in which records stay, and in mode %s they are kept for days from receipt", a.Mode), "remove retention_from")
	case a.Way().Short != "" && a.Retention != "" && a.Retention.After(epoch).After(a.Way().Short.After(epoch)):
		say("retention", RuleForm, fmt.Sprintf("is longer than %s, the longest in mode %s", a.Way().Short, a.Mode), "write "+string(a.Way().Short)+" or less")
	case isField && !slices.ContainsFunc(a.Fields, func(g name.Field) bool { return f.Under(g) }):
		say("retention_from", RuleForm, fmt.Sprintf("is %s, which does not travel, so the receiver could not tell its date", f), "add it to fields, or count from receipt")
	}
}

// checkRetentionField holds the field that the term is counted from to the standard.
func (a *Agreement) checkRetentionField(std *standard.Standard) (ps []Problem) {
	if f, ok := a.retentionField(); ok && a.Way().Copied {
		newKnown(std, func(key, rule, detail, fix string) {
			ps = append(ps, Problem{Pointer: "/" + key, Rule: rule, Detail: detail, Fix: fix})
		}).check("retention_from", []name.Field{f})
	}
	return ps
}
