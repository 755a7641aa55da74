package explain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// What happened, as against what the rules let happen: the log tells the one, the
// agreements the other.

// letOut returns what of a record of ours was let out to a partner to be kept, the oldest
// first.
func (x *Explainer) letOut(ctx context.Context, r name.Record, partner name.Council) (out []api.Disclosure, err error) {
	in := api.DisclosureRequest{Record: string(r), To: partner, Limit: 1000}
	for {
		page, err := x.o.LetOut(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, d := range page.Disclosures {
			if d.Way == api.LetCopy || d.Way == api.LetFootprint {
				out = append(out, d)
			}
		}
		if in.Cursor = page.Cursor; page.Cursor == "" {
			return out, nil
		}
	}
}

// held reports whether a partner said that it keeps what was let out, and has not said
// since that it deleted it.
func held(d api.Disclosure) bool {
	return kept(d) && (d.Withdrawal == nil || d.Withdrawal.Deleted == nil)
}

func kept(d api.Disclosure) bool {
	return d.Receipt != nil && (d.Receipt.Says == "held" || d.Receipt.Says == "received" || d.Receipt.Says == "replaced")
}

// tellSent says what was sent to a partner, what it answered and what was taken back:
// the answer, and the events one by one.
func (x *Explainer) tellSent(ds []api.Disclosure, out *api.WhyReply) {
	for _, d := range ds {
		out.Events = append(out.Events, api.WhyEvent{
			At: d.At, What: fmt.Sprintf("version %d was sent", d.RecordVersion), Agreement: d.Agreement, Version: d.Version, Log: x.o.Self, Entry: d.Entry, Fields: d.Fields,
		})
		if r := d.Receipt; r != nil {
			what := fmt.Sprintf("%s said that it received version %d", out.Partner, d.RecordVersion)
			if r.ByCall {
				what += " (by a call, which it did not sign)"
			}
			if r.Says == "refused" {
				what = fmt.Sprintf("%s refused version %d: %s", out.Partner, d.RecordVersion, r.Rule)
			}
			out.Events = append(out.Events, api.WhyEvent{At: r.At, What: what, Agreement: d.Agreement, Version: d.Version})
		}
		w := d.Withdrawal
		if w == nil {
			continue
		}
		var told []api.WhyEvent
		if !w.At.IsZero() {
			told = append(told, api.WhyEvent{At: w.At, What: "it was withdrawn: " + w.Reason, Agreement: d.Agreement, Version: d.Version, Log: x.o.Self, Entry: w.Entry})
		}
		if w.Deleted != nil {
			told = append(told, api.WhyEvent{At: *w.Deleted, What: fmt.Sprintf("%s said that it deleted it", out.Partner), Agreement: d.Agreement, Version: d.Version})
		}
		for _, e := range told { // one withdrawal takes back every version before it
			if !slices.ContainsFunc(out.Events, func(o api.WhyEvent) bool { return o.At.Equal(e.At) && o.What == e.What && o.Entry == e.Entry }) {
				out.Events = append(out.Events, e)
			}
		}
	}
	slices.SortStableFunc(out.Events, func(a, b api.WhyEvent) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Entry, b.Entry)) })
	out.Had = slices.ContainsFunc(ds, kept)
	out.Has = slices.ContainsFunc(ds, held)
}

// answerSent words it in a sentence.
func (x *Explainer) answerSent(ds []api.Disclosure, out *api.WhyReply) string {
	if len(ds) == 0 {
		return ""
	}
	last := ds[len(ds)-1]
	under := "by hand"
	if last.Agreement != "" {
		under = fmt.Sprintf("under version %d of %s", last.Version, last.Agreement)
	}
	sent := fmt.Sprintf("it was sent on %s %s (entry %d)", day(last.At), under, last.Entry)
	w := last.Withdrawal
	taken := ""
	if w != nil && !w.At.IsZero() {
		taken = fmt.Sprintf(", and withdrawn on %s (entry %d): %s", day(w.At), w.Entry, w.Reason)
	}
	switch {
	case out.Has && w != nil && w.Deleted == nil && held(last):
		return fmt.Sprintf("%s has this record, as far as we know: %s%s; it has not said that it deleted it", out.Partner, sent, taken)
	case out.Has && kept(last):
		return fmt.Sprintf("%s has this record: %s, and received on %s", out.Partner, sent, day(last.Receipt.At))
	case out.Has:
		return fmt.Sprintf("%s has an earlier version of this record; of the newest, %s and not answered yet", out.Partner, sent)
	case w != nil && w.Deleted != nil:
		if taken == "" {
			taken = ", and " + w.Reason
		}
		return fmt.Sprintf("%s does not have this record any more: %s%s; it said on %s that it deleted it", out.Partner, sent, taken, day(*w.Deleted))
	case last.Receipt != nil && last.Receipt.Says == "refused":
		return fmt.Sprintf("%s does not have this record: %s, and refused: %s", out.Partner, sent, last.Receipt.Rule)
	}
	return fmt.Sprintf("%s does not have this record, as far as we know: %s%s, and it has not said that it received it", out.Partner, sent, taken)
}

// stateFields says of each field what became of it, then or now.
func stateFields(ds []api.Disclosure, texts map[name.Agreement]agreement.Status, out *api.WhyReply) {
	sent := func(a name.Agreement, f string, version int) (last uint64, is bool) {
		for _, d := range ds {
			if d.Agreement == a && slices.Contains(d.Fields, name.Field(f)) && (version == 0 || int(d.Version) == version) {
				last, is = d.Version, true
			}
		}
		return last, is
	}
	has := func(a name.Agreement) bool {
		return slices.ContainsFunc(ds, func(d api.Disclosure) bool { return d.Agreement == a && held(d) })
	}
	var more []api.WhyField
	for i, f := range out.Fields {
		st := texts[f.Agreement]
		over := st.Phase == agreement.Ended || st.Phase == agreement.Superseded
		_, was := sent(f.Agreement, f.Field, st.Agreement.Version)
		state := "withheld"
		switch {
		case f.Sent && over && was:
			state = "was sent"
		case f.Sent && over:
			state = "would have been sent"
		case f.Sent && was && has(f.Agreement):
			state = "sent"
		case f.Sent && was:
			state = "was sent"
		case f.Sent:
			state = "would be sent"
		case over:
			state = "was withheld"
		}
		out.Fields[i].State = state
		if v, is := sent(f.Agreement, f.Field, 0); is && !f.Sent {
			more = append(more, api.WhyField{Agreement: f.Agreement, Field: f.Field, State: "was sent", Because: fmt.Sprintf("version %d of the agreement let it out; version %d does not", v, st.Agreement.Version)})
		}
	}
	out.Fields = append(out.Fields, more...)
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
