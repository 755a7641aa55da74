package condition

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

const (
	// moving is how long records may be on their way before that is worth a word.
	moving = 10 * time.Minute
	// failing is how long a link may fail before it is said to.
	failing = time.Hour
	// overdue is how long a withdrawal may wait for its receipt before it is critical.
	overdue = 7 * 24 * time.Hour
	// uncounted is how long a partner may give without committing to it.
	uncounted = 24 * time.Hour
	// soon is how long before a date an officer is told of it.
	soon = 30 * 24 * time.Hour
	// near is how long before it that is said once more.
	near = 7 * 24 * time.Hour
	// unasked is how long the council that issued what was passed on may leave unanswered
	// whether it may be kept.
	unasked = 7 * 24 * time.Hour
	// recalled is for how long it is told that who passed something on kept quiet.
	recalled = 30 * 24 * time.Hour
)

// stopped reports whether all exchange with a council has stopped, which is said
// already.
func (f *Facts) stopped(c name.Council) bool {
	return slices.ContainsFunc(f.Quarantines, func(q api.QuarantineReply) bool { return q.Council == c }) ||
		slices.ContainsFunc(f.Accusations, func(a api.AccusationReply) bool { return a.Council == c })
}

// failed returns the links that have failed for long, each with why.
func (f *Facts) failed() (out []api.Link) {
	for _, l := range f.Links {
		if l.Problem != "" && !l.Connected && !f.stopped(l.Council) && f.Now.Sub(l.Since) >= failing {
			out = append(out, l)
		}
	}
	return out
}

// partnerKinds are about how far exchange has come.
var partnerKinds = []Kind{
	{
		Name: "partner-ending", Severity: api.Notice, Means: "by the directory a partner ends within sixty days and an agreement with it is not signed by us with each of its successors, so that what is held under it is deleted, or it has ended and an agreement with it is not over here, as one of which others are receivers too (docs/succession.md)",
		find: func(f *Facts, say func(api.Condition)) {
			for _, e := range f.Ending {
				if f.Now.Before(e.On.Add(-endingSoon)) || f.Now.Before(e.On) && len(e.Unsigned) == 0 {
					continue
				}
				c := api.Condition{
					Council: e.Council, Text: fmt.Sprintf("%s ends on %s%s", e.Council, day(e.On), in(f.Now, e.On)),
					Cause: "not signed by us with each successor: " + list(e.Unsigned),
					Try:   "stile agreement novate NAME --old " + string(e.Council) + " --new SUCCESSOR --starts " + day(e.On) + " --out FILE, where it is to go on",
				}
				if n := len(e.Successors); n > 0 {
					c.Text += ", and " + list(e.Successors) + map[bool]string{true: " takes", false: " take"}[n == 1] + " over"
				}
				if !f.Now.Before(e.On) { // it can tell us nothing any more
					c.Cause, c.Try = "not over here: "+list(e.Agreements), "stile agreement end NAME, which deletes what is held under it"
					if len(e.Shared) > 0 {
						c.Cause += "; with others who receive: " + list(e.Shared)
						c.Try = fmt.Sprintf("stile agreement novate %s --old %s --out FILE, which writes it for the others, then have them sign it", e.Shared[0], e.Council)
					}
				}
				say(c)
			}
		},
	},
	{
		Name: "link-failing", Severity: api.Warning, Means: "what a partner lets us have, or what it tells us, could not be fetched for an hour or longer: it was refused, or tried again in vain",
		find: func(f *Facts, say func(api.Condition)) {
			for _, l := range f.failed() {
				what := "what it tells us"
				if l.Agreement != "" {
					what = "what we may have under " + string(l.Agreement)
				}
				say(api.Condition{
					Council: l.Council, Agreement: l.Agreement, Since: l.Since,
					Text: fmt.Sprintf("from %s nothing has come for %s: %s", l.Council, age(f.Now.Sub(l.Since)), what), Cause: l.Problem,
					Try: fmt.Sprintf("see whether the node of %s runs and can be reached, then: stile watch", l.Council),
				})
			}
		},
	},
	{
		Name: "receiver-full", Severity: api.Warning, Means: "a partner keeps nothing of what we send it, since its disk is nearly full",
		find: func(f *Facts, say func(api.Condition)) {
			for _, p := range f.Partners {
				if p.Full {
					say(api.Condition{
						Council: p.Council, Agreement: p.Agreement, Text: fmt.Sprintf("%s keeps nothing that we send it", p.Council), Cause: p.Behind,
						Try: fmt.Sprintf("tell %s; what waits for it is sent once it has room", p.Council),
					})
				}
			}
		},
	},
	{
		Name: "partner-behind", Severity: api.Warning, Means: "a partner lacks records that an agreement lets it have, or we lack records that it lets us have, for another reason than that they are on their way",
		find: func(f *Facts, say func(api.Condition)) {
			failed := f.failed()
			for _, p := range f.Partners {
				named := p.Full || f.stopped(p.Council) || slices.ContainsFunc(failed, func(l api.Link) bool {
					return p.Direction == "from" && l.Council == p.Council && l.Agreement == p.Agreement
				})
				switch {
				case p.InStep, p.Suspended, p.Bounded, p.Footprint != "", named:
				case p.Moving && f.Now.Sub(later(p.LastAt, f.Started)) < moving:
				default:
					text := fmt.Sprintf("%s is behind under %s", p.Council, p.Agreement)
					if p.Direction == "from" {
						text = fmt.Sprintf("we are behind %s under %s", p.Council, p.Agreement)
					}
					try := "stile status, and stile agreement show " + string(p.Agreement)
					if _, std, ok := strings.Cut(p.Behind, "standard is not adopted here: "); ok { // judge.ErrStandardMissing
						try = "stile standard adopt " + std
					}
					say(api.Condition{Council: p.Council, Agreement: p.Agreement, Text: text, Cause: p.Behind, Since: p.LastAt, Try: try})
				}
			}
		},
	},
	{
		Name: "bound-reached", Severity: api.Notice, Means: "as many records have gone under an agreement as it lets go, in all or in a day, and more match: what is withdrawn goes on to be taken back, and nothing else goes",
		find: func(f *Facts, say func(api.Condition)) {
			for _, p := range f.Partners {
				if !p.Bounded || f.stopped(p.Council) {
					continue
				}
				text := fmt.Sprintf("no more goes to %s under %s for now", p.Council, p.Agreement)
				if p.Direction == "from" {
					text = fmt.Sprintf("no more comes from %s under %s for now", p.Council, p.Agreement)
				}
				say(api.Condition{
					Council: p.Council, Agreement: p.Agreement, Text: text, Cause: p.Behind,
					Try: "nothing, if that is meant; if more is needed, agree on a version with another bound: stile agreement draft",
				})
			}
		},
	},
	{
		Name: "countings-running-out", Severity: api.Notice, Means: "nine of ten of the countings that an agreement of mode aggregate has in a year are used: once all are, its partners get no new counts before the next",
		find: func(f *Facts, say func(api.Condition)) {
			told := map[name.Agreement]bool{}
			for _, p := range f.Partners {
				if p.CountBudget == 0 || 10*p.Spent < 9*p.CountBudget || told[p.Agreement] {
					continue
				}
				told[p.Agreement] = true
				say(api.Condition{
					Agreement: p.Agreement, Text: fmt.Sprintf("%d of the %d countings of this year under %s are used", p.Spent, p.CountBudget, p.Agreement),
					Cause: "each way of counting in a week is one; the same question again is none", Try: "tell those who ask, so that they choose what they still need this year",
				})
			}
		},
	},
	{
		Name: "holdings-hidden", Severity: api.Warning, Means: "this folder was set back, and what a partner had sent is not shown until its feed was read to the end: it may have been taken back since",
		find: func(f *Facts, say func(api.Condition)) {
			for _, h := range f.Hidden {
				say(api.Condition{
					Council: h.From, Agreement: h.Agreement, Text: fmt.Sprintf("%s that %s sent under %s are not shown", count(h.Records, "record", "records"), h.From, h.Agreement),
					Cause: "this folder was set back, and the feed was not read to its end since", Try: "run stile serve until " + string(h.From) + " has answered",
				})
			}
		},
	},
	{
		Name: "withdrawals-waiting", Severity: api.Warning, Means: "a partner has not said that it deleted what was withdrawn",
		find: func(f *Facts, say func(api.Condition)) { f.withdrawals(false, say) },
	},
	{
		Name: "withdrawals-overdue", Severity: api.Critical, Means: "a partner has not said for a week that it deleted what was withdrawn",
		find: func(f *Facts, say func(api.Condition)) { f.withdrawals(true, say) },
	},
	{
		Name: "erasure-refused", Severity: api.Warning, Means: "a partner has refused to erase a record of ours, and said by which rule: whether it has it still only its people can say ([erasure](erasure.md))",
		find: func(f *Facts, say func(api.Condition)) {
			for _, p := range f.Partners {
				if p.Refusals == 0 {
					continue
				}
				o := p.RefusedOrders[0]
				c := api.Condition{
					Council: p.Council, Agreement: p.Agreement, Since: o.At,
					Text:  fmt.Sprintf("%s has refused to erase %s under %s", p.Council, count(p.Refusals, "record", "records"), p.Agreement),
					Cause: fmt.Sprintf("of record %s it says: %s", o.Record, o.Rule),
					Try: fmt.Sprintf("ask the people of %s what they have of it; then order it again with stile record erase %s, or if nothing is there: stile agreement give-up %s %s",
						p.Council, o.Record, p.Agreement, p.Council),
				}
				if o.Pointer != "" {
					c.Cause += fmt.Sprintf(", at %q", o.Pointer)
				}
				say(c)
			}
		},
	},
	{
		Name: "copy-differs", Severity: api.Critical, Means: "what a partner gave under an agreement is not what it committed to in its log: something was left out or added, or it committed to two things",
		find: func(f *Facts, say func(api.Condition)) {
			for _, p := range f.Partners {
				d := p.Differs
				if d == nil {
					continue
				}
				c := api.Condition{
					Council: p.Council, Agreement: p.Agreement, Since: d.At,
					Text:  fmt.Sprintf("what %s gave under %s is not what it committed to", p.Council, p.Agreement),
					Cause: fmt.Sprintf("entry %d of its log says %s at %s, and %s came, with another root", d.Entry, count(int(d.Count), "record", "records"), count(int(d.Size), "entry", "entries"), count(int(d.Came), "record", "records")),
					Try:   fmt.Sprintf("ask %s to run: stile audit run --agreement %s", p.Council, p.Agreement),
				}
				switch {
				case d.By != "":
					c.Cause, c.Try = memberDiffers(p.Council, d), fmt.Sprintf("ask each of its members to run: stile agreement checkpoint %s", p.Agreement)
				case d.Twice:
					c.Cause = fmt.Sprintf("its log commits to two counts or roots at %s, one of them at entry %d", count(int(d.Size), "entry", "entries"), d.Entry)
				case d.Came == d.Count:
					c.Cause = fmt.Sprintf("entry %d of its log says %s at %s, and as many came, with another root", d.Entry, count(int(d.Count), "record", "records"), count(int(d.Size), "entry", "entries"))
				}
				say(c)
			}
		},
	},
	{
		Name: "copy-not-counted", Severity: api.Notice, Means: "for a day or longer a partner has not committed to what it gave under an agreement, so that nothing shows that it is all",
		find: func(f *Facts, say func(api.Condition)) {
			for _, p := range f.Partners {
				if p.UncountedSince.IsZero() || f.Now.Sub(p.UncountedSince) < uncounted || p.Differs != nil || !p.InStep {
					continue
				}
				say(api.Condition{
					Council: p.Council, Agreement: p.Agreement, Since: p.UncountedSince,
					Text:  fmt.Sprintf("nothing shows that what %s gave under %s is all of it", p.Council, p.Agreement),
					Cause: fmt.Sprintf("for %s it has committed to nothing that could be compared", age(f.Now.Sub(p.UncountedSince))),
					Try:   fmt.Sprintf("ask %s to run: stile agreement checkpoint %s", p.Council, p.Agreement),
				})
			}
		},
	},
	{
		Name: "retention-late", Severity: api.Warning, Means: "a partner has not said, a week after the end of the time it may keep them, that it deleted records of ours",
		find: func(f *Facts, say func(api.Condition)) {
			for _, l := range f.Late {
				say(api.Condition{
					Council: l.Council, Agreement: l.Agreement, Since: l.Since,
					Text:  fmt.Sprintf("%s may keep %s under %s no longer, and has not said that it deleted them", l.Council, count(l.Records, "record", "records"), l.Agreement),
					Cause: "the term of the first was over " + age(f.Now.Sub(l.Since)) + " ago, by its own receipt",
					Try:   fmt.Sprintf("ask %s whether its node runs, of a version that deletes by itself, with a clock that is right", l.Council),
				})
			}
		},
	},
	{
		Name: "retention-near", Severity: api.Notice, Stage: "retention", Means: "within seven days the time is over for which we may keep the first of what we hold under an agreement, and the node deletes it then; not told where that time is shorter than thirty days",
		find: func(f *Facts, say func(api.Condition)) {
			for _, n := range f.Nearing {
				left := n.First.Sub(f.Now)
				if left > near || left < 0 {
					continue
				}
				say(api.Condition{
					Council: n.From, Agreement: n.Agreement,
					Text:  fmt.Sprintf("what we hold of %s under %s reaches the end of its time, the first on %s: it is deleted here then", n.From, n.Agreement, day(n.First)),
					Cause: "the agreement lets it be kept for " + n.Term,
					Try:   "nothing, if that is meant; if it is still needed, agree on a longer term, which needs a reason: stile agreement draft",
				})
			}
		},
	},
	{
		Name: "partner-clock-off", Severity: api.Warning, Means: "the clock of a partner is more than five minutes off, by what it signed just now",
		find: func(f *Facts, say func(api.Condition)) {
			if f.clockOff() != "" {
				return
			}
			for c, d := range f.Clock.Partners {
				if d.Abs() <= skew {
					continue
				}
				way := "fast"
				if d < 0 {
					way = "slow"
				}
				say(api.Condition{Council: c, Text: fmt.Sprintf("the clock of %s is %s by %s", c, way, age(d.Abs())), Cause: "so what it signed just now says, and other partners agree with ours", Try: fmt.Sprintf("tell %s", c)})
			}
		},
	},
}

func (f *Facts) withdrawals(old bool, say func(api.Condition)) {
	for _, p := range f.Partners {
		waited := time.Duration(p.OldestHours * float64(time.Hour))
		if p.Outstanding == 0 || waited >= overdue != old {
			continue
		}
		c := api.Condition{
			Council: p.Council, Agreement: p.Agreement, Cause: p.Behind, Try: fmt.Sprintf("ask %s whether its node runs; stile status lists them by age", p.Council),
			Text: fmt.Sprintf("%s has not said that it deleted %s under %s", p.Council, count(p.Outstanding, "withdrawn record", "withdrawn records"), p.Agreement),
		}
		if p.Erasures > 0 {
			c.Text += fmt.Sprintf(", %d of them to be erased", p.Erasures)
		}
		if p.Over {
			c.Text = fmt.Sprintf("%s has not said that it deleted what it holds under %s: %s", p.Council, p.Agreement, count(p.Outstanding, "record", "records"))
			c.Try = fmt.Sprintf("ask the people of %s; if no receipt can come any more: stile agreement give-up %s %s", p.Council, p.Agreement, p.Council)
		}
		if waited > 0 {
			c.Since = f.Now.Add(-waited)
			if p.Over {
				c.Text += ", for " + age(waited)
			} else {
				c.Text += ", the oldest withdrawn " + age(waited) + " ago"
			}
		}
		if c.Cause == "" {
			c.Cause = "no receipt has come for them"
		}
		if len(p.Unconfirmed) > 0 {
			c.Cause = "not confirmed by " + join(p.Unconfirmed)
		}
		say(c)
	}
}

// agreementKinds are about agreements and their dates.
var agreementKinds = []Kind{
	{
		Name: "second-opinion", Severity: api.Critical, Means: "of the two evaluators of an agreement, written apart, one found that a record, a field or a count may not leave which the other let through: nothing leaves under that text until the node is started again with a program in which the fault is mended, or another text is in force ([modes](modes.md))",
		find: func(f *Facts, say func(api.Condition)) {
			for _, d := range f.Disagreements {
				where := ""
				if d.Place != "" {
					where = ", at " + d.Place
				}
				say(api.Condition{
					Agreement: d.Agreement, Council: d.To, Since: d.Since,
					Text:  fmt.Sprintf("nothing leaves under version %d of agreement %s: the second opinion on entry %d differs", d.Version, d.Agreement, d.Entry),
					Cause: d.Rule + where + ", which the first evaluator let through: a fault of this program",
					Try:   "report it with the agreement's text; stile agreement show " + string(d.Agreement),
				})
			}
		},
	},
	{
		Name: "onward-kept-quiet", Severity: api.Critical, Means: "a council that passes records on to us did not take back what their own council had taken back, though it had known for a day, by its own signature: our node deleted it by the word of that council; told for thirty days ([onward](onward.md))",
		find: func(f *Facts, say func(api.Condition)) {
			for _, p := range f.PassedOn {
				if p.Quiet == 0 || f.Now.Sub(p.QuietAt) >= recalled {
					continue
				}
				say(api.Condition{
					Council: p.From, Agreement: p.Agreement, Since: p.QuietAt,
					Text:  fmt.Sprintf("%s kept quiet that %s under %s had to go: deleted by the word of %s", p.From, count(p.Quiet, "version", "versions"), p.Agreement, p.Of),
					Cause: fmt.Sprintf("%s had signed to %s more than a day before that it knew", p.From, p.Of),
					Try:   fmt.Sprintf("ask %s and %s; stile council facts %s names the entries of our log", p.From, p.Of, p.From),
				})
			}
		},
	},
	{
		Name: "onward-unanswered", Severity: api.Notice, Means: "for a week or longer the council that issued what another passed on to us has not said whether we may keep it: its node cannot be reached or runs an earlier version, and nothing but the word of who passed it on says that it stands ([onward](onward.md))",
		find: func(f *Facts, say func(api.Condition)) {
			for _, p := range f.PassedOn {
				if p.Unanswered.IsZero() || p.Records == 0 || f.Now.Sub(p.Unanswered) < unasked {
					continue
				}
				say(api.Condition{
					Council: p.Of, Agreement: p.Agreement, Since: p.Unanswered,
					Text:  fmt.Sprintf("%s has not said for %s whether we may keep what %s passed on under %s", p.Of, age(f.Now.Sub(p.Unanswered)), p.From, p.Agreement),
					Cause: "its node was not reached, did not know the question, or refused it",
					Try:   fmt.Sprintf("ask %s whether its node runs, of a version that answers", p.Of),
				})
			}
		},
	},
	{
		Name: "onward-nothing", Severity: api.Warning, Means: "under an agreement of ours that passes on what we received nothing goes on: the agreement that it came under is not in force or does not permit it, or what came has no signatures of its own council by itself ([onward](onward.md))",
		find: func(f *Facts, say func(api.Condition)) {
			for _, p := range f.NotPassing {
				say(api.Condition{
					Agreement: p.Agreement, Text: fmt.Sprintf("nothing is passed on under agreement %s", p.Agreement), Cause: p.Why,
					Try: "speak with " + string(p.Origin.Council()) + ": stile agreement show " + string(p.Origin),
				})
			}
		},
	},
	{
		Name: "exchange-suspended", Severity: api.Warning, Means: "a party has suspended an agreement: nothing is shared under it",
		find: func(f *Facts, say func(api.Condition)) {
			for _, st := range f.Agreements {
				if st.Phase != agreement.Suspended || len(st.Suspensions) == 0 {
					continue
				}
				c := api.Condition{Agreement: st.Agreement.Name, Text: fmt.Sprintf("agreement %s is suspended: nothing is shared under it", st.Agreement.Name), Cause: st.Why, Try: "speak with whoever suspended it, who ends that: stile agreement resume " + string(st.Agreement.Name)}
				for _, s := range st.Suspensions {
					if c.Since.IsZero() || s.Since.Before(c.Since) {
						c.Since = s.Since
					}
				}
				say(c)
			}
		},
	},
	{
		Name: "agreement-waits-for-us", Severity: api.Warning, Means: "an agreement, or a new version of one, waits for our signature",
		find: func(f *Facts, say func(api.Condition)) { f.unsigned(true, say) },
	},
	{
		Name: "agreement-waits-for-others", Severity: api.Notice, Means: "an agreement, or a new version of one, waits for the signature of another party",
		find: func(f *Facts, say func(api.Condition)) { f.unsigned(false, say) },
	},
	{
		Name: "counter-proposal-waits", Severity: api.Warning, Means: "a receiver of ours would sign another text of an agreement than we proposed",
		find: func(f *Facts, say func(api.Condition)) {
			for _, x := range f.Counters {
				if x.Agreement.From != f.Council {
					continue
				}
				say(api.Condition{
					Agreement: x.Agreement.Name, Council: x.By, Since: x.At,
					Text:  fmt.Sprintf("%s answers version %d of agreement %s with another text", x.By, x.Answers, x.Agreement.Name),
					Cause: "nothing that we proposed since is as new",
					Try:   fmt.Sprintf("stile agreement show %s, then stile agreement sign %s --counter %s, or stile agreement counter %s --file FILE", x.Agreement.Name, x.Agreement.Name, x.By, x.Agreement.Name),
				})
			}
		},
	},
	{
		Name: "review-past", Severity: api.Warning, Stage: "review", Means: "the date of review of an agreement has come and not every party has renewed it: nothing is shared under it",
		find: func(f *Facts, say func(api.Condition)) {
			for _, st := range f.Agreements {
				if st.Phase == agreement.Suspended && st.Review != "" && !f.Now.Before(st.Review.Time()) {
					a := st.Agreement
					say(api.Condition{
						Agreement: a.Name, Text: fmt.Sprintf("agreement %s was due for review on %s: nothing is shared under it", a.Name, st.Review),
						Cause: st.Why, Since: st.Review.Time(), Try: "review it; then, on the node of each party: " + renewal(a),
					})
				}
			}
		},
	},
	{
		Name: "review-close", Severity: api.Warning, Stage: "review", Means: "an agreement in force is due for review within seven days; then nothing is shared under it, unless every party has renewed it",
		find: func(f *Facts, say func(api.Condition)) { f.reviews(0, near, say) },
	},
	{
		Name: "review-near", Severity: api.Notice, Stage: "review", Means: "an agreement in force is due for review within thirty days",
		find: func(f *Facts, say func(api.Condition)) { f.reviews(near, soon, say) },
	},
	{
		Name: "end-close", Severity: api.Warning, Stage: "end", Means: "an agreement in force ends within seven days, and what was shared under it is then deleted",
		find: func(f *Facts, say func(api.Condition)) { f.endings(0, near, say) },
	},
	{
		Name: "end-near", Severity: api.Warning, Stage: "end", Means: "an agreement in force ends within thirty days, and what was shared under it is then deleted",
		find: func(f *Facts, say func(api.Condition)) { f.endings(near, soon, say) },
	},
	{
		Name: "agreement-over", Severity: api.Notice, Stage: "end", Means: "an agreement ended within the last thirty days, by its date or by a party",
		find: func(f *Facts, say func(api.Condition)) {
			for _, st := range f.Agreements {
				if a := st.Agreement; st.Phase == agreement.Ended && (a.Ends == "" || f.Now.Sub(a.Ends.Time()) < soon) {
					say(api.Condition{Agreement: a.Name, Text: fmt.Sprintf("agreement %s is over", a.Name), Cause: st.Why, Try: "nothing, if that was meant; if the exchange is to go on: stile agreement draft"})
				}
			}
		},
	},
}

// unsigned says which versions wait for a signature, of ours or of others.
func (f *Facts) unsigned(ours bool, say func(api.Condition)) {
	for _, st := range f.Agreements {
		if st.Phase != agreement.Proposed || slices.Contains(st.Awaiting, f.Council) != ours {
			continue
		}
		c := api.Condition{
			Agreement: st.Agreement.Name, Since: st.Proposed, Cause: st.Why,
			Text: fmt.Sprintf("version %d of agreement %s waits for the signature of %s", st.Agreement.Version, st.Agreement.Name, join(st.Awaiting)),
			Try:  "ask them; stile agreement show " + string(st.Agreement.Name),
		}
		if ours {
			c.Text = fmt.Sprintf("version %d of agreement %s waits for our signature", st.Agreement.Version, st.Agreement.Name)
			c.Try = fmt.Sprintf("stile agreement preview %s, then stile agreement sign %s", st.Agreement.Name, st.Agreement.Name)
		}
		say(c)
	}
}

// reviews says which agreements in force are due for review between two times from now.
func (f *Facts) reviews(from, to time.Duration, say func(api.Condition)) {
	for _, st := range f.Agreements {
		left := st.Review.Time().Sub(f.Now)
		if !st.InForce() || st.Review == "" || left < from || left >= to {
			continue
		}
		a, cause := st.Agreement, "its text says so"
		var by []name.Council
		for _, r := range st.Renewals {
			if r.Review > st.Review {
				by = append(by, r.By)
			}
		}
		if len(by) > 0 {
			cause = "so far it is renewed by " + join(by) + " alone"
		}
		say(api.Condition{
			Agreement: a.Name, Text: fmt.Sprintf("agreement %s is due for review on %s, %s: what travels under it stops then", a.Name, st.Review, inDays(left)),
			Cause: cause, Try: "review it; then, on the node of each party: " + renewal(a),
		})
	}
}

func renewal(a *agreement.Agreement) string {
	return fmt.Sprintf("stile agreement renew %s --review DATE", a.Name)
}

// endings says which agreements in force end between two times from now.
func (f *Facts) endings(from, to time.Duration, say func(api.Condition)) {
	for _, st := range f.Agreements {
		a := st.Agreement
		if left := a.Ends.Time().Sub(f.Now); st.InForce() && a.Ends != "" && left >= from && left < to {
			say(api.Condition{Agreement: a.Name, Text: fmt.Sprintf("agreement %s ends on %s, %s: what was shared under it is then deleted", a.Name, a.Ends, inDays(left)), Cause: "its text says so", Try: "agree on a new version in time, if the exchange is to go on: stile agreement draft"})
		}
	}
}

// footprintKinds are about ledgers kept with others.
var footprintKinds = []Kind{
	{
		Name: "footprint-not-open", Severity: api.Critical, Means: "our replica of a footprint could not be opened",
		find: eachFootprint(func(f *Facts, p Footprint) (c api.Condition) {
			if p.Unopened != "" {
				c = api.Condition{Text: fmt.Sprintf("footprint %s is not open here", p.Name), Cause: p.Unopened, Try: "look at the node's log, check the disk, and start the node again"}
			}
			return c
		}),
	},
	{
		Name: "footprint-stopped", Severity: api.Critical, Means: "our replica of a footprint applies nothing any more",
		find: eachFootprint(func(f *Facts, p Footprint) (c api.Condition) {
			if p.Stopped != "" {
				c = api.Condition{Text: fmt.Sprintf("our replica of footprint %s has stopped", p.Name), Cause: p.Stopped, Try: "look at the node's log, check the disk, and start the node again"}
			}
			return c
		}),
	},
	{
		Name: "footprint-cut-us-out", Severity: api.Critical, Means: "we are no member of a footprint any more, and still hold what others shared there",
		find: eachFootprint(func(f *Facts, p Footprint) (c api.Condition) {
			if p.Out {
				c = api.Condition{Text: fmt.Sprintf("we are no member of footprint %s any more and still hold what others shared there", p.Name), Cause: "its members have let us go, or we have left", Try: "stile footprint discard " + string(p.Name)}
			}
			return c
		}),
	},
	{
		Name: "footprint-without-quorum", Severity: api.Critical, Means: "a footprint can decide nothing: too few members answer, or none leads",
		find: eachFootprint(func(f *Facts, p Footprint) (c api.Condition) {
			if p.Unopened != "" || p.Stopped != "" || p.Out {
				return c
			}
			switch {
			case p.Asked && len(p.Up) < p.Needs:
				c.Cause = fmt.Sprintf("%d of its members answer, and %d must agree; not heard from: %s", len(p.Up), p.Needs, join(p.Down))
			case p.Leader == "" && f.Now.Sub(later(p.Heard, f.Started)) > electing:
				c.Cause = "no member is heard of that leads"
			default:
				return c
			}
			c.Since = p.Heard
			c.Text = fmt.Sprintf("footprint %s can decide nothing: nothing is written into it", p.Name)
			c.Try = "see that the nodes of its members run: stile footprint status " + string(p.Name)
			return c
		}),
	},
	{
		Name: "footprint-without-reserve", Severity: api.Warning, Means: "a footprint decides, and one more member that fails would stop it",
		find: eachFootprint(func(f *Facts, p Footprint) (c api.Condition) {
			if p.Asked && len(p.Down) > 0 && len(p.Up) == p.Needs && !p.Out {
				c = api.Condition{Text: fmt.Sprintf("if one more member of footprint %s fails, nothing can be written into it", p.Name), Cause: "not heard from: " + join(p.Down), Try: "see that their nodes run: stile footprint status " + string(p.Name)}
			}
			return c
		}),
	},
	{
		Name: "footprint-evidence", Severity: api.Critical, Means: "a member of a footprint signed what no honest member signs",
		find: eachFootprint(func(f *Facts, p Footprint) (c api.Condition) {
			if p.Evidence > 0 {
				c = api.Condition{Text: fmt.Sprintf("a member of footprint %s did what no honest member does", p.Name), Cause: count(p.Evidence, "such thing was", "such things were") + " seen", Try: "stile footprint evidence " + string(p.Name)}
			}
			return c
		}),
	},
	{
		Name: "former-member-waiting", Severity: api.Warning, Means: "a council that was a member of a footprint has not said that it erased what was taken back",
		find: func(f *Facts, say func(api.Condition)) { f.formerMembers(false, say) },
	},
	{
		Name: "former-member-overdue", Severity: api.Critical, Means: "a council that was a member of a footprint has not said for a week that it erased what was taken back",
		find: func(f *Facts, say func(api.Condition)) { f.formerMembers(true, say) },
	},
	{
		Name: "footprint-unlisted", Severity: api.Warning, Means: "the directory does not list the members of a footprint as they are, so that nobody outside can tell what it has signed",
		find: eachFootprint(func(f *Facts, p Footprint) (c api.Condition) {
			if p.Unlisted {
				c = api.Condition{Text: fmt.Sprintf("the directory does not list the members of %s as they are, so that nobody outside can tell what it has signed", p.Name), Cause: "its entry is of another time, or missing", Try: "stile footprint entry " + string(p.Name)}
			}
			return c
		}),
	},
}

// formerMembers says which former members of footprints owe a receipt.
func (f *Facts) formerMembers(old bool, say func(api.Condition)) {
	for _, p := range f.Footprints {
		for _, m := range p.Former {
			waited := f.Now.Sub(m.Oldest)
			if m.Orders == 0 || p.Out || waited >= overdue != old {
				continue
			}
			say(api.Condition{
				Council: m.Council, Since: m.Oldest,
				Text:  fmt.Sprintf("%s, which was a member of footprint %s, has not said that it erased what was taken back: %s, the oldest %s ago", m.Council, p.Name, count(m.Orders, "order", "orders"), age(waited)),
				Cause: "no receipt has come for them",
				Try:   fmt.Sprintf("ask %s to start its node, or to delete its replica: stile footprint discard %s", m.Council, p.Name),
			})
		}
	}
}

// electing is how long a footprint may be without a leader, while one is elected.
const electing = 15 * time.Second

func eachFootprint(find func(*Facts, Footprint) api.Condition) func(*Facts, func(api.Condition)) {
	return func(f *Facts, say func(api.Condition)) {
		for _, p := range f.Footprints {
			if c := find(f, p); c.Text != "" {
				c.Council = p.Name
				say(c)
			}
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func join(cs []name.Council) string {
	out := make([]string, len(cs))
	for i, c := range cs {
		out[i] = string(c)
	}
	return strings.Join(out, ", ")
}

// inDays says how far away an instant is, in whole days begun.
func inDays(d time.Duration) string {
	if n := int(d.Hours()/24) + 1; n > 1 {
		return fmt.Sprintf("in %d days", n)
	}
	return "tomorrow or sooner"
}

// memberDiffers says what a member of a footprint committed to that is not what came from
// its members, or not what another of them said.
func memberDiffers(footprint name.Council, d *api.CountReply) string {
	if d.Twice {
		return fmt.Sprintf("the members of %s committed to two counts or roots at %s of its log, one of them %s at entry %d of its own", footprint, count(int(d.Size), "entry", "entries"), d.By, d.Entry)
	}
	return fmt.Sprintf("entry %d of the log of %s says %s at %s of that of %s, and %s came from its members, with another root",
		d.Entry, d.By, count(int(d.Count), "record", "records"), count(int(d.Size), "entry", "entries"), footprint, count(int(d.Came), "record", "records"))
}
