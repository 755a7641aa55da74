package disclosure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

const (
	driftDays     = 90
	driftExamined = 5_000 // versions whose fields are looked at, of each agreement
	driftFactor   = 5     // more or less than before that is told
	driftLeast    = 50    // versions below which a change of volume says nothing
)

// Drift says of each agreement under which we send, and that stands, whether the exchange
// is still what it was agreed for: whether it is used, by whom, whether each field is, and
// whether the volume is another than in as many days before. It reads what was let out
// in that time. Of each under which we receive it says whether anybody looks at what is held,
// and reads a mark of each record that somebody did.
func (r *Register) Drift(ctx context.Context, in api.DriftRequest) (*api.DriftReply, error) {
	switch {
	case in.Days == 0:
		in.Days = driftDays
	case in.Days < 1 || in.Days > 3650:
		return nil, api.Fail(api.Usage, "", "the days to look at are 1 to 3650")
	}
	now := r.o.Now().UTC().Truncate(time.Second)
	out := &api.DriftReply{Since: now.AddDate(0, 0, -in.Days), Agreements: []api.Drift{}, Received: []api.DriftReceived{}}
	err := r.o.Ledger.View(func(v *ledger.View) error {
		for _, st := range r.o.Standing() {
			if !st.InForce() && st.Phase != agreement.Suspended {
				continue
			}
			if st.Agreement.From != r.o.Self {
				d, err := r.received(v, st, out.Since, in.Days)
				if err != nil {
					return err
				}
				if d != nil {
					out.Received = append(out.Received, *d)
				}
				continue
			}
			d, err := r.drift(ctx, v, st, out.Since, out.Since.AddDate(0, 0, -in.Days), in.Days)
			if err != nil {
				return err
			}
			out.Agreements = append(out.Agreements, *d)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out.Agreements, func(a, b api.Drift) int { return strings.Compare(string(a.Agreement), string(b.Agreement)) })
	slices.SortFunc(out.Received, func(a, b api.DriftReceived) int { return strings.Compare(string(a.Agreement), string(b.Agreement)) })
	return out, nil
}

func (r *Register) drift(ctx context.Context, v *ledger.View, st agreement.Status, since, before time.Time, days int) (*api.Drift, error) {
	a := st.Agreement
	d := &api.Drift{Agreement: a.Name, Version: a.Version, Mode: string(a.Mode)}
	used := map[name.Council]bool{}
	found := map[name.Field]bool{}
	var failed error
	err := v.Flows("", a.Name, ledger.Flow{At: before}, func(f ledger.Flow) bool {
		if failed = ctx.Err(); failed != nil {
			return false
		}
		e, err := r.let(v, f.Index)
		if failed = err; err != nil {
			return false
		}
		n, recent := 0, !f.At.Before(since)
		if e.row.Way == api.LetCounts {
			n = 1
			if recent {
				for _, x := range e.row.Fields {
					found[x] = true
				}
			}
		}
		for _, at := range e.entries {
			if e.row.Footprint == "" {
				if _, err := v.Logged(at); errors.Is(err, ledger.ErrNotFound) {
					continue // a withdrawal
				}
			}
			n++
			if !recent || d.Examined == driftExamined || e.row.Footprint != "" {
				continue
			}
			ver, err := v.Version(at)
			if errors.Is(err, ledger.ErrStorage) {
				failed = err
				return false
			}
			if err != nil {
				continue
			}
			d.Examined++
			for _, x := range a.Fields {
				found[x] = found[x] || has(ver.Body, x.Tokens())
			}
		}
		if n > 0 {
			d.Last = f.At
		}
		if recent {
			d.LetOut += n
			used[f.To] = used[f.To] || n > 0
		} else {
			d.Before += n
		}
		return true
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	if d.Last.IsZero() {
		if d.Last, err = lastFlow(v, a); err != nil {
			return nil, err
		}
	}
	for _, c := range a.To {
		if !used[c] {
			d.Idle = append(d.Idle, c)
		}
	}
	for _, f := range a.Fields {
		if !found[f] && (d.Examined > 0 || a.Way().Grouped && d.LetOut > 0) {
			d.Never = append(d.Never, f)
		}
	}
	d.Findings = findings(st, d, since, days)
	return d, nil
}

// lastFlow returns when something was let out last under an agreement; zero for never.
func lastFlow(v *ledger.View, a *agreement.Agreement) (last time.Time, err error) {
	err = v.Flows("", a.Name, ledger.Flow{}, func(f ledger.Flow) bool { last = f.At; return true })
	return last, err
}

// begun is when an agreement came into force.
func begun(st agreement.Status) (begun time.Time) {
	for _, at := range st.Signed {
		if at.After(begun) {
			begun = at
		}
	}
	if s := st.Agreement.Starts.Time(); s.After(begun) {
		begun = s
	}
	return begun
}

// received says whether anybody looks at what is held under an agreement; nil where nothing
// is held.
func (r *Register) received(v *ledger.View, st agreement.Status, since time.Time, days int) (*api.DriftReceived, error) {
	a := st.Agreement
	src, err := r.o.Ledger.Source(a.From, a.Name)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && src.Records == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	read, err := v.Reading(src)
	if err != nil {
		return nil, err
	}
	d := &api.DriftReceived{Agreement: a.Name, Version: a.Version, From: a.From, Held: src.Records, LookedAt: read.Records, Counted: read.Since}
	for _, day := range read.Fields {
		if day.After(d.Last) {
			d.Last = day
		}
	}
	d.Unread = notRead(a.Fields, read, since)
	d.Findings = unreadFindings(st, d, since, days)
	return d, nil
}

// notRead returns the fields that nobody looked at since a day; nil where nobody looked at any.
// Who looks at a part of a field, or at what it is a part of, looks at it.
func notRead(fields []name.Field, read ledger.Reading, since time.Time) (out []name.Field) {
	since = since.Truncate(24 * time.Hour) // marks are of days
	any := false
	for _, f := range fields {
		seen := false
		for at, day := range read.Fields {
			if !day.Before(since) {
				any = true
				seen = seen || at == "" || overlap(f.Tokens(), at.Tokens())
			}
		}
		if !seen {
			out = append(out, f)
		}
	}
	if !any {
		return nil
	}
	return out
}

// overlap reports whether one of two places is, or may be, within the other. "*" is any step.
func overlap(a, b []string) bool {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] && a[i] != "*" && b[i] != "*" {
			return false
		}
	}
	return true
}

// unreadFindings says in words what is to be looked at of what is held.
func unreadFindings(st agreement.Status, d *api.DriftReceived, since time.Time, days int) (out []string) {
	if begun(st).After(since) {
		return nil // it has not stood for all of that time
	}
	kept := !d.Counted.IsZero() && !d.Counted.After(since) // days were kept for all of it
	switch {
	case d.LookedAt == 0 && d.Last.IsZero():
		out = append(out, fmt.Sprintf("nobody has looked at any of the %d records held: ask whether we need them", d.Held))
	case kept && d.Last.Before(since.Truncate(24*time.Hour)):
		out = append(out, fmt.Sprintf("nobody has looked at a record for %d days: ask whether we still need them", days))
	case kept && len(d.Unread) > 0:
		out = append(out, fmt.Sprintf("nobody has looked at %s for %d days: ask whether we need each", fieldList(d.Unread), days))
	}
	return out
}

// findings says in words what is to be looked at.
func findings(st agreement.Status, d *api.Drift, since time.Time, days int) (out []string) {
	begun := begun(st)
	young := begun.After(since) // it has not stood for all of that time
	switch {
	case d.LetOut == 0 && young:
	case d.LetOut == 0 && d.Last.IsZero():
		out = append(out, "it was never used: ask whether it is needed")
	case d.LetOut == 0:
		out = append(out, fmt.Sprintf("nothing was let out for %d days: ask whether it is still needed", days))
	case len(d.Idle) > 0 && !young:
		var who []string
		for _, c := range d.Idle {
			who = append(who, string(c))
		}
		out = append(out, "nothing went to "+words(who, "or")+": ask whether they still need it")
	}
	if len(d.Never) > 0 && (!young || d.Examined >= driftLeast) {
		out = append(out, fmt.Sprintf("no record that left had %s: ask whether each is needed", fieldList(d.Never)))
	}
	switch most := max(d.LetOut, d.Before); {
	case begun.After(since.AddDate(0, 0, -days)) || most < driftLeast:
	case d.LetOut >= driftFactor*max(d.Before, 1):
		out = append(out, fmt.Sprintf("%d left, and %d in as many days before: look whether the filter still picks what was meant", d.LetOut, d.Before))
	case d.Before >= driftFactor*max(d.LetOut, 1):
		out = append(out, fmt.Sprintf("%d left, and %d in as many days before: look whether records still come in", d.LetOut, d.Before))
	}
	return out
}

func fieldList(fs []name.Field) string {
	var out []string
	for _, f := range fs {
		out = append(out, string(f))
	}
	return strings.Join(out, ", ")
}
