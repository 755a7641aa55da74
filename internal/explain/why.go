package explain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/question"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Why says, rule by rule and field by field, why a partner has or lacks one of
// our records.
func (x *Explainer) Why(ctx context.Context, in api.WhyRequest) (*api.WhyReply, error) {
	partner, err := name.ParseCouncil(strings.ToLower(in.Partner))
	if err != nil {
		return nil, api.Fail(api.Usage, "stile council list", "%v", err)
	}
	if in.From {
		return x.whyHeld(partner, in)
	}
	id, err := x.recordFor(partner, in)
	if err == nil || api.IsNotFound(err) {
		if p, found, err := x.passedRecord(partner, in, id); err != nil || found {
			if err != nil {
				return nil, err
			}
			return x.whyPassed(partner, p)
		}
	}
	if err != nil {
		return nil, err
	}
	let, err := x.letOut(ctx, id, partner)
	if err != nil {
		return nil, err
	}
	texts := map[name.Agreement]agreement.Status{}
	out := &api.WhyReply{Record: id, Partner: partner, Steps: []api.WhyStep{}}
	step := func(a name.Agreement, holds bool, rule, detail string) bool {
		st, is := texts[a]
		past := is && (st.Phase == agreement.Ended || st.Phase == agreement.Superseded)
		out.Steps = append(out.Steps, api.WhyStep{Agreement: a, Rule: rule, Past: past, Holds: holds, Detail: detail})
		return holds
	}
	err = x.o.Ledger.View(func(v *ledger.View) error {
		ver, err := v.Current(id)
		if err != nil {
			return err
		}
		live := ver.Claims.Op == record.Put
		step("", live, "the record exists", map[bool]string{true: fmt.Sprintf("version %d, %s", ver.Claims.Version, ver.Claims.Standard), false: "it was deleted"}[live])
		x.whyPartner(partner, step)

		found := false
		for _, st := range x.o.Agreements.Standing(x.o.Now()) {
			a := st.Agreement
			if a.From != x.o.Self || !slices.Contains(a.To, partner) || a.Standard.Name != ver.Claims.Standard.Name {
				continue
			}
			found, texts[a.Name] = true, st
			if a.Origin != "" {
				step(a.Name, false, "it is about records of our own", fmt.Sprintf("what goes under it is what we hold under %s", a.Origin))
				continue
			}
			has, err := x.whyAgreement(v, st, partner, ver, out, step)
			if err != nil {
				return err
			}
			out.Has = out.Has || has
		}
		if !found {
			step("", false, "an agreement covers this standard", fmt.Sprintf("no agreement lets %s have %s", partner, ver.Claims.Standard.Name))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	x.answer(let, texts, out)
	return out, nil
}

// whyPartner says whether there can be exchange with a partner, by the directory.
func (x *Explainer) whyPartner(partner name.Council, step func(name.Agreement, bool, string, string) bool) {
	m, member := x.o.Directory.Member(partner)
	detail := string(partner)
	if member && !m.ActiveAt(x.o.Now()) {
		member, detail = false, fmt.Sprintf("the membership of %s has ended, or has not begun", partner)
	}
	if x.o.Footprints.Has(partner) {
		member, detail = true, fmt.Sprintf("%s is a footprint that this node keeps with others", partner)
	}
	step("", member, "the partner is in the directory", detail)
	if edition := x.o.View(); edition.Exchange(x.o.Now()) != nil {
		step("", false, "the directory is to be relied upon", "it "+expiredWords(edition.Health(x.o.Now()).State)+", so exchange has stopped; local work goes on")
	}
}

// answer words what the log tells of a record and a partner or, where it tells nothing, the
// first rule that does not hold.
func (x *Explainer) answer(let []api.Disclosure, texts map[name.Agreement]agreement.Status, out *api.WhyReply) {
	stateFields(let, texts, out)
	if len(let) > 0 {
		x.tellSent(let, out)
		out.Answer = x.answerSent(let, out)
		return
	}
	if out.Has {
		out.Had, out.Answer = true, fmt.Sprintf("%s has this record", out.Partner)
		return
	}
	out.Answer = fmt.Sprintf("%s does not have this record", out.Partner)
	for _, s := range out.Steps {
		if !s.Holds {
			out.Answer += ": " + s.Rule + ": no"
			if s.Detail != "" {
				out.Answer += " (" + s.Detail + ")"
			}
			break
		}
	}
}

// recordFor finds the record that is asked about. Where a council has the same
// case in two majors, the one that an agreement lets the partner have is meant.
func (x *Explainer) recordFor(partner name.Council, in api.WhyRequest) (name.Record, error) {
	id, err := x.o.Record(in.Record, in.Standard)
	if err != nil || string(id) == in.Record || strings.Contains(in.Standard, "@") {
		return id, err
	}
	return id, x.o.Ledger.View(func(v *ledger.View) error {
		now, err := v.Current(id)
		if err != nil {
			return nil // the caller says so
		}
		var best name.StandardLine
		for _, st := range x.o.Agreements.Standing(x.o.Now()) {
			l := st.Agreement.Standard
			if st.Agreement.From != x.o.Self || !slices.Contains(st.Agreement.To, partner) || l.Name != now.Claims.Standard.Name || l.Major < best.Major {
				continue
			}
			if other := x.o.Keys.RecordID(l, standard.TypedKey(in.Record)); has(v, other) {
				id, best = other, l
			}
		}
		return nil
	})
}

func has(v *ledger.View, r name.Record) bool {
	_, err := v.Current(r)
	return err == nil
}

func (x *Explainer) whyAgreement(v *ledger.View, st agreement.Status, partner name.Council, ver *ledger.Version, out *api.WhyReply, step func(name.Agreement, bool, string, string) bool) (bool, error) {
	a := st.Agreement
	past := st.Phase == agreement.Ended || st.Phase == agreement.Superseded
	then := func(now, was string) string {
		if past {
			return was
		}
		return now
	}
	if past {
		step(a.Name, false, "the agreement is in force still", fmt.Sprintf("it is over: %s", st.Why))
	} else {
		step(a.Name, st.InForce(), "the agreement is in force", st.Why)
	}
	step(a.Name, a.Standard == ver.Claims.Standard.Line(), then("it speaks of this version of the standard", "it spoke of this version of the standard"), fmt.Sprintf("%s; the record is %s", a.Standard, ver.Claims.Standard))
	std, err := x.o.Ledger.StandardOf(a.Standard)
	if err != nil {
		step(a.Name, false, "its standard is adopted here", err.Error())
		return false, nil
	}
	terms, err := a.Compile(std)
	if err != nil {
		return false, err
	}
	if ver.Body != nil {
		whyRows(terms, ver.Body, then("row filter: ", "row filter, then: "), out, step)
	}
	return x.whyStands(v, st, partner, ver.Claims.Record, step)
}

// whyRows says of each condition of the filter whether a record meets it, and of each field
// whether it travels.
func whyRows(terms *agreement.Terms, body map[string]any, rule string, out *api.WhyReply, step func(name.Agreement, bool, string, string) bool) {
	a := terms.Agreement()
	for _, r := range terms.Explain(body) {
		if r.Rule == "field" {
			out.Fields = append(out.Fields, api.WhyField{
				Agreement: a.Name, Field: r.Text, Sent: r.Outcome != agreement.Withheld,
				Because: because(r),
			})
			continue
		}
		detail := r.Detail
		for _, alt := range r.Any {
			detail += fmt.Sprintf("; %s: %s", alt.Text, alt.Outcome)
		}
		step(a.Name, r.Outcome == agreement.Met, rule+r.Text, strings.TrimPrefix(detail, "; "))
	}
}

// whyStands says where a record stands in the feed of an agreement, and how far the partner's
// receipts reach.
func (x *Explainer) whyStands(v *ledger.View, st agreement.Status, partner name.Council, id name.Record, step func(name.Agreement, bool, string, string) bool) (bool, error) {
	a := st.Agreement
	past := st.Phase == agreement.Ended || st.Phase == agreement.Superseded
	then := func(now, was string) string {
		if past {
			return was
		}
		return now
	}
	f, err := x.o.Ledger.Feed(a.Name, st.Digest)
	if err != nil {
		step(a.Name, false, "this node has signed it and keeps its index", "")
		return false, nil
	}
	at, withdrawn, err := v.InFeed(f, id)
	if errors.Is(err, ledger.ErrNotFound) {
		detail := "it never matched"
		if !a.Way().Copied {
			detail = "it does not match"
		}
		step(a.Name, false, then("the record stands in the agreement's index", "the record stood in the agreement's index"), detail)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p, err := v.Partner(f, partner)
	if err != nil {
		return false, err
	}
	if !a.Way().Copied {
		step(a.Name, true, then("the record stands in the agreement's index", "the record stood in the agreement's index"), fmt.Sprintf("at %s", dated(v, at)))
		return false, x.whyAsked(v, a, partner, id, step)
	}
	if withdrawn {
		if p.Has(at) {
			step(a.Name, false, then("the record stands in the agreement's index", "the record stood in the agreement's index"), fmt.Sprintf("withdrawn by %s, and the partner said that it deleted it", dated(v, at)))
			return false, nil
		}
		step(a.Name, false, then("the record stands in the agreement's index", "the record stood in the agreement's index"), fmt.Sprintf("withdrawn by %s, which the partner has not acknowledged", dated(v, at)))
		return p.Disclosed > 0 && p.Cursor > 0, nil
	}
	step(a.Name, true, then("the record stands in the agreement's index", "the record stood in the agreement's index"), fmt.Sprintf("at %s", dated(v, at)))
	if waits := p.Waits(a.Most, x.o.Now()); waits != "" && !p.Has(at) && !p.Sent(at) {
		step(a.Name, false, then("the agreement lets one more go: "+a.Most.String(), "the agreement let one more go: "+a.Most.String()), waits)
		return false, nil
	}
	ahead := ""
	if p.AheadTo > p.AheadFrom {
		ahead = fmt.Sprintf(" and, of what goes ahead, from %d to %d", p.AheadFrom, p.AheadTo)
	}
	got := step(a.Name, p.Has(at), "the partner has acknowledged it", fmt.Sprintf("its receipts reach to entry %d%s, the last of %s; the record is at %s", p.Cursor, ahead, stampOf(p.LastAck), dated(v, at)))
	return got, nil
}

// whyAsked says what a partner that may ask was told of a record.
func (x *Explainer) whyAsked(v *ledger.View, a *agreement.Agreement, partner name.Council, r name.Record, step func(name.Agreement, bool, string, string) bool) error {
	rule := "records are copied under it"
	if !a.Way().Shows() {
		step(a.Name, false, rule, "they are only counted")
		return nil
	}
	all, err := question.List(v, x.o.Self, a.Name)
	if err != nil {
		return err
	}
	times, last := 0, question.Logged{}
	for _, q := range all {
		if !q.Ours && (q.Partner == partner || q.For == partner) && slices.Contains(q.Records, r) {
			times, last = times+1, q
		}
	}
	detail := fmt.Sprintf("it may ask by %s, and has not asked about this record", question.FieldWords(a.Match))
	if a.Way().Hidden {
		detail = fmt.Sprintf("it may ask by %s without saying about whom, which shows in no log; it has not asked to be shown this record", question.FieldWords(a.Match))
	}
	if times > 0 {
		detail = fmt.Sprintf("it may ask by %s, and was told of this record %s, last on %s because %q (entry %d)",
			question.FieldWords(a.Match), plural(times, "time"), last.At.Format(time.DateOnly), last.Because, last.Index)
	}
	step(a.Name, false, rule, detail)
	return nil
}

// dated names an entry of our log with the day of it.
func dated(v *ledger.View, index uint64) string {
	if g, err := v.Logged(index); err == nil {
		return fmt.Sprintf("entry %d of %s", index, day(g.At))
	}
	if ev, _, err := v.Event(index); err == nil {
		return fmt.Sprintf("entry %d of %s", index, day(time.Unix(ev.IssuedAt, 0)))
	}
	return fmt.Sprintf("entry %d", index)
}

func stampOf(t time.Time) string {
	if t.IsZero() {
		return "no day"
	}
	return day(t)
}

func because(r agreement.Reason) string {
	switch r.Outcome {
	case agreement.IsOpen:
		return "open: stands in clear in every token"
	case agreement.IsAgreed:
		return "agreed; class " + r.Detail
	}
	return "not among the agreed fields; class " + r.Detail
}
