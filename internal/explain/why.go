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
	id, err := x.recordFor(partner, in)
	if err != nil {
		return nil, err
	}
	out := &api.WhyReply{Record: id, Partner: partner, Steps: []api.WhyStep{}}
	step := func(a name.Agreement, holds bool, rule, detail string) bool {
		out.Steps = append(out.Steps, api.WhyStep{Agreement: a, Rule: rule, Holds: holds, Detail: detail})
		return holds
	}
	err = x.o.Ledger.View(func(v *ledger.View) error {
		ver, err := v.Current(id)
		if err != nil {
			return err
		}
		live := ver.Claims.Op == record.Put
		step("", live, "the record exists", map[bool]string{true: fmt.Sprintf("version %d, %s", ver.Claims.Version, ver.Claims.Standard), false: "it was deleted"}[live])
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

		found := false
		for _, st := range x.o.Agreements.Standing(x.o.Now()) {
			a := st.Agreement
			if a.From != x.o.Self || !slices.Contains(a.To, partner) || a.Standard.Name != ver.Claims.Standard.Name {
				continue
			}
			found = true
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
	verb := "has"
	if !out.Has {
		verb = "does not have"
	}
	out.Answer = fmt.Sprintf("%s %s this record", partner, verb)
	for _, s := range out.Steps {
		if !s.Holds {
			out.Answer += ": " + s.Rule + ": no"
			if s.Detail != "" {
				out.Answer += " (" + s.Detail + ")"
			}
			break
		}
	}
	return out, nil
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
	step(a.Name, st.InForce(), "the agreement is in force", st.Why)
	step(a.Name, a.Standard == ver.Claims.Standard.Line(), "it speaks of this version of the standard", fmt.Sprintf("%s; the record is %s", a.Standard, ver.Claims.Standard))
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
		for _, r := range terms.Explain(ver.Body) {
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
			step(a.Name, r.Outcome == agreement.Met, "row filter: "+r.Text, strings.TrimPrefix(detail, "; "))
		}
	}
	f, err := x.o.Ledger.Feed(a.Name, st.Digest)
	if err != nil {
		step(a.Name, false, "this node has signed it and keeps its index", "")
		return false, nil
	}
	at, withdrawn, err := v.InFeed(f, ver.Claims.Record)
	if errors.Is(err, ledger.ErrNotFound) {
		detail := "it never matched"
		if !a.Way().Copied {
			detail = "it does not match"
		}
		step(a.Name, false, "the record stands in the agreement's index", detail)
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
		step(a.Name, true, "the record stands in the agreement's index", fmt.Sprintf("at entry %d", at))
		return false, x.whyAsked(v, a, partner, ver.Claims.Record, step)
	}
	if withdrawn {
		if p.Cursor > at {
			step(a.Name, false, "the record stands in the agreement's index", fmt.Sprintf("withdrawn by entry %d, and the partner said that it deleted it", at))
			return false, nil
		}
		step(a.Name, false, "the record stands in the agreement's index", fmt.Sprintf("withdrawn by entry %d, which the partner has not acknowledged", at))
		return p.Disclosed > 0 && p.Cursor > 0, nil
	}
	step(a.Name, true, "the record stands in the agreement's index", fmt.Sprintf("at entry %d", at))
	got := step(a.Name, p.Cursor > at, "the partner has acknowledged it", fmt.Sprintf("its receipts reach to entry %d; the record is at %d", p.Cursor, at))
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
	if times > 0 {
		detail = fmt.Sprintf("it may ask by %s, and was told of this record %s, last on %s because %q (entry %d)",
			question.FieldWords(a.Match), plural(times, "time"), last.At.Format(time.DateOnly), last.Because, last.Index)
	}
	step(a.Name, false, rule, detail)
	return nil
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
