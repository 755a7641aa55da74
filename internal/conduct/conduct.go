// Package conduct gathers what our own ledger shows of how another council keeps what was
// agreed: how soon it deletes what is withdrawn, what it refuses and what of it we refuse,
// how often it asks, how its log stands and who has watched it, which standards it meets.
//
// They are facts and no score: each stands with how many there were, when the last was, and
// the entries of our log that show it. What another council is to be trusted with is for
// people to say.
package conduct

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

const (
	usualDays = 365
	mostDays  = 3650
	// examined bounds how many events of one kind are read for one answer, the newest first.
	examined = 20_000
	// shown is how many entries of our log a fact names, the newest first.
	shown = 5
	// Late is the age from which a withdrawal without a receipt counts as late.
	Late = ledger.Late
)

// Options say what a Keeper works with. All are needed.
type Options struct {
	Self   name.Council
	Ledger *ledger.Ledger
	Member func(name.Council) (directory.Member, bool)
	// Texts returns the newest text of every agreement, whatever its phase.
	Texts func(now time.Time) []agreement.Status
	// Refused lists what was refused between us and a council.
	Refused func(context.Context, api.RefusedRequest) ([]api.RefusedReply, error)
	// Adoption gathers the compliance statements that came.
	Adoption func(context.Context, api.AdoptionRequest) (*api.Adoption, error)
	Now      func() time.Time
}

// A Keeper answers. Its methods may be called concurrently.
type Keeper struct{ o Options }

// New returns a Keeper.
func New(o Options) *Keeper { return &Keeper{o} }

// Facts says what is known here of a council. A failure for a person is an *[api.Error]: the
// council is no member and nothing of it is here, or the days are out of their bounds. It
// reads what was logged in those days and, of each agreement with the council, how it stands.
func (k *Keeper) Facts(ctx context.Context, in api.FactsRequest) (*api.FactsReply, error) {
	c, err := name.ParseCouncil(in.Council)
	switch {
	case err != nil:
		return nil, api.Fail(api.Usage, "stile council list", "%v", err)
	case c == k.o.Self:
		return nil, api.Fail(api.Usage, "stile status", "this node speaks for %s itself", c)
	case in.Days == 0:
		in.Days = usualDays
	case in.Days < 1 || in.Days > mostDays:
		return nil, api.Fail(api.Usage, "", "the days to look at are 1 to %d", mostDays)
	}
	now := k.o.Now().UTC().Truncate(time.Second)
	g := &gathering{Keeper: k, council: c, now: now, since: now.AddDate(0, 0, -in.Days), facts: []api.CouncilFact{}}
	r := &api.FactsReply{Council: c, Since: g.since, Until: now}
	m, ok := k.o.Member(c)
	if ok {
		r.Title, r.Role, r.MemberSince, r.MemberUntil = m.Title, string(m.Role), m.ValidFrom, m.Ended
	}
	known := k.o.Ledger.Known(c)
	if !ok && known.Size == 0 && known.Quarantine == nil {
		return nil, api.Fail(api.NotFound, "stile council list", "%s is not in the directory, and nothing of it is here", c)
	}
	for _, st := range k.o.Texts(now) {
		if slices.Contains(st.Agreement.Parties(), c) {
			g.texts = append(g.texts, st)
		}
	}
	g.agreements()
	err = k.o.Ledger.View(func(v *ledger.View) error {
		for _, gather := range []func(context.Context, *ledger.View) error{g.sent, g.received, g.passedOn, g.questions, g.log} {
			if err := gather(ctx, v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := g.refusals(ctx); err != nil {
		return nil, err
	}
	if err := g.standards(ctx); err != nil {
		return nil, err
	}
	r.Facts = g.facts
	return r, nil
}

// A gathering is one answer in the making.
type gathering struct {
	*Keeper
	council    name.Council
	now, since time.Time
	texts      []agreement.Status // of the agreements with it, the newest of each
	facts      []api.CouncilFact
}

// say adds a fact that there is something to say of.
func (g *gathering) say(f api.CouncilFact) {
	if len(f.Entries) > shown {
		f.Entries = f.Entries[:shown]
	}
	g.facts = append(g.facts, f)
}

// some adds a fact unless its count is none.
func (g *gathering) some(f api.CouncilFact) {
	if f.Count > 0 {
		g.say(f)
	}
}

// back calls fn with the events of our log of one kind since the gathering's first day, the
// newest first. It reports whether there were more than are read.
func (g *gathering) back(ctx context.Context, v *ledger.View, kind string, fn func(at uint64, ev *record.Event) error) (more bool, err error) {
	n := 0
	var failed error
	v.EventsBack(kind, func(at uint64) bool {
		if failed = ctx.Err(); failed != nil {
			return false
		}
		ev, _, err := v.Event(at)
		if errors.Is(err, ledger.ErrStorage) {
			failed = err
			return false
		}
		if err != nil {
			return true // damaged, which status says
		}
		if time.Unix(ev.IssuedAt, 0).Before(g.since) {
			return false
		}
		if n++; n > examined {
			more = true
			return false
		}
		failed = fn(at, ev)
		return failed == nil
	})
	return more, failed
}

// agreements says how many there are, who stopped them, and how long it takes to sign.
func (g *gathering) agreements() {
	inForce := api.CouncilFact{Topic: api.FactAgreements, Name: api.FactInForce}
	stopped := api.CouncilFact{Topic: api.FactAgreements, Name: api.FactSuspendedByIt}
	waits := api.CouncilFact{Topic: api.FactAgreements, Name: api.FactAwaitsIt}
	var took []time.Duration
	for _, st := range g.texts {
		if st.InForce() {
			inForce.Count++
		}
		for _, s := range st.Suspensions {
			if s.By == g.council {
				stopped.Count++
				stopped.Last = later(stopped.Last, s.Since)
			}
		}
		if slices.Contains(st.Awaiting, g.council) && st.Phase == agreement.Proposed {
			waits.Count++
			if waits.First.IsZero() || st.Proposed.Before(waits.First) {
				waits.First = st.Proposed
			}
		}
		if at, ok := st.Signed[g.council]; ok && st.Agreement.From == g.o.Self && !at.Before(g.since) {
			took = append(took, max(0, at.Sub(st.Proposed)))
		}
	}
	g.say(inForce)
	g.some(stopped)
	g.some(waits)
	if f, ok := spread(api.CouncilFact{Topic: api.FactAgreements, Name: api.FactSigned}, took); ok {
		g.say(f)
	}
}

// sent says what became of what we send: what it holds and refused, and how soon it
// receipted what was taken back. Times are from our signature of the withdrawal to its own of
// the receipt.
func (g *gathering) sent(ctx context.Context, v *ledger.View) error {
	holds := api.CouncilFact{Topic: api.FactSent, Name: api.FactHolds}
	refused := api.CouncilFact{Topic: api.FactSent, Name: api.FactItRefused}
	gaveUp := api.CouncilFact{Topic: api.FactSent, Name: api.FactGivenUp}
	feeds := map[name.Agreement][]*ledger.Feed{}
	for _, f := range g.o.Ledger.Feeds() {
		if f.Agreement == "" || !slices.Contains(f.To, g.council) {
			continue
		}
		feeds[f.Agreement] = append(feeds[f.Agreement], f)
		p, err := v.Partner(f, g.council)
		if err != nil {
			return err
		}
		if !f.Closed() {
			holds.Count += p.Held
		}
		holds.Last = later(holds.Last, p.LastAck)
		refused.Count += p.Refused
		if !p.GivenUp.IsZero() {
			gaveUp.Count++
			gaveUp.Last = later(gaveUp.Last, p.GivenUp)
		}
	}
	if len(feeds) == 0 {
		return nil
	}
	g.say(holds)
	g.say(refused) // that it refused none is a fact, too
	g.some(gaveUp)
	late := api.CouncilFact{Topic: api.FactSent, Name: api.FactLate}
	waiting := api.CouncilFact{Topic: api.FactSent, Name: api.FactOutstanding}
	var took []time.Duration
	more := false
	for _, kind := range []string{event.KindWithdrawal, event.KindErasureOrder} {
		cut, err := g.back(ctx, v, kind, func(at uint64, ev *record.Event) error {
			w, err := event.ParseTakenBack(kind, ev.Body)
			if err != nil {
				return nil
			}
			jws, reached, err := receiptOf(v, feeds[w.Agreement], g.council, w.Record, at)
			if err != nil || !reached {
				return err
			}
			began := time.Unix(ev.IssuedAt, 0).UTC()
			if jws == nil {
				waiting.Count++
				waiting.Entries = append(waiting.Entries, at)
				waiting.First = began // from the newest back
				return nil
			}
			_, said, err := record.ParseEvent(jws)
			if err != nil {
				return nil
			}
			d := max(0, time.Unix(said.IssuedAt, 0).Sub(began))
			took = append(took, d)
			if d > Late {
				late.Count++
				late.Entries = append(late.Entries, at)
				late.Last = later(late.Last, began)
			}
			return nil
		})
		if err != nil {
			return err
		}
		more = more || cut
	}
	if f, ok := spread(api.CouncilFact{Topic: api.FactSent, Name: api.FactReceipted, Newest: more}, took); ok {
		g.say(f)
		late.Newest = more
		g.say(late)
	}
	waiting.Newest = more
	g.say(waiting)
	return nil
}

// receiptOf returns the receipt that a council gave for what took a record back, nil where
// none came, and whether it had to give one: the withdrawal stands in a feed that goes to it.
func receiptOf(v *ledger.View, feeds []*ledger.Feed, c name.Council, r name.Record, at uint64) (jws []byte, reached bool, err error) {
	for _, f := range feeds {
		jws, err := v.ReceiptFor(f, c, at)
		if err != nil || jws != nil {
			return jws, true, err
		}
		index, withdrawn, err := v.InFeed(f, r)
		if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return nil, false, err
		}
		if err != nil || !withdrawn || index != at {
			continue
		}
		p, err := v.Partner(f, c)
		if err != nil {
			return nil, false, err
		}
		if at >= max(p.Cursor, p.TakenBack) && p.Awaited() && !p.Done {
			return nil, true, nil
		}
	}
	return nil, false, nil
}

// received says what it sent, and whether that is what it committed to.
func (g *gathering) received(context.Context, *ledger.View) error {
	held := api.CouncilFact{Topic: api.FactReceived, Name: api.FactHeld}
	equal := api.CouncilFact{Topic: api.FactReceived, Name: api.FactCountedEqual}
	differs := api.CouncilFact{Topic: api.FactReceived, Name: api.FactCountedDiffers}
	uncounted := api.CouncilFact{Topic: api.FactReceived, Name: api.FactUncounted}
	any := false
	for _, s := range g.o.Ledger.Sources() {
		if s.From != g.council || s.Agreement == "" {
			continue
		}
		any = true
		held.Count += s.Records
		held.Last = later(held.Last, s.LastAt)
		if s.Compared != nil && s.Compared.Equal() {
			equal.Count++
			equal.Last = later(equal.Last, s.Compared.At)
		}
		if s.Differs != nil {
			differs.Count++
			differs.Last = later(differs.Last, s.Differs.At)
		}
		if !s.Unproved.IsZero() && g.now.Sub(s.Unproved) > Late {
			uncounted.Count++
			if uncounted.First.IsZero() || s.Unproved.Before(uncounted.First) {
				uncounted.First = s.Unproved
			}
		}
	}
	if any {
		g.say(held)
	}
	g.some(equal)
	if equal.Count+differs.Count > 0 {
		g.say(differs)
	}
	g.some(uncounted)
	return nil
}

// passedOn says what it passed on to us and did not take back, so that we deleted it by the
// word of the council that issued it: as much as it had known of for a day, by its own signature.
func (g *gathering) passedOn(ctx context.Context, v *ledger.View) (err error) {
	quiet := api.CouncilFact{Topic: api.FactReceived, Name: api.FactKeptQuiet}
	quiet.Newest, err = g.back(ctx, v, event.KindOnwardDeleted, func(at uint64, ev *record.Event) error {
		o, err := event.ParseOnwardDeleted(ev.Body)
		if err != nil || o.From != g.council || o.Known == 0 {
			return nil
		}
		quiet.Count += int(o.Known)
		quiet.Entries = append(quiet.Entries, at)
		quiet.Last = later(quiet.Last, time.Unix(ev.IssuedAt, 0))
		return nil
	})
	g.some(quiet)
	return err
}

// questions says how often each asked the other, and what of ours it left unanswered.
func (g *gathering) questions(ctx context.Context, v *ledger.View) error {
	asked := map[string]*api.CouncilFact{}
	more, err := g.back(ctx, v, event.KindAnswer, func(at uint64, ev *record.Event) error {
		a, err := event.ParseAnswer(ev.Body)
		if err != nil || a.To != g.council {
			return nil
		}
		f := asked[a.Outcome]
		if f == nil {
			f = &api.CouncilFact{Topic: api.FactQuestions, Name: api.FactAskedUs, Of: a.Outcome, Last: time.Unix(ev.IssuedAt, 0).UTC()}
			asked[a.Outcome] = f
		}
		f.Count++
		f.Entries = append(f.Entries, at)
		return nil
	})
	if err != nil {
		return err
	}
	for _, f := range asked {
		f.Newest = more
		g.say(*f)
	}
	g.sort(api.FactQuestions)
	answered := map[event.QuestionID]bool{}
	unread, err := g.back(ctx, v, event.KindAnswerReceipt, func(at uint64, ev *record.Event) error {
		if r, err := event.ParseAnswerReceipt(ev.Body); err == nil {
			answered[r.ID] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	ours := api.CouncilFact{Topic: api.FactQuestions, Name: api.FactWeAsked}
	without := api.CouncilFact{Topic: api.FactQuestions, Name: api.FactUnanswered}
	if ours.Newest, err = g.back(ctx, v, event.KindQuestion, func(at uint64, ev *record.Event) error {
		q, err := event.ParseQuestion(ev.Body)
		if err != nil || q.To != g.council {
			return nil
		}
		when := time.Unix(ev.IssuedAt, 0).UTC()
		ours.Count++
		ours.Last = later(ours.Last, when)
		ours.Entries = append(ours.Entries, at)
		if !answered[q.ID] {
			without.Count++
			without.Last = later(without.Last, when)
			without.Entries = append(without.Entries, at)
		}
		return nil
	}); err != nil {
		return err
	}
	g.some(ours)
	if ours.Count > 0 && !unread { // else an answer may be among the receipts that were not read
		g.say(without)
	}
	return nil
}

// log says how its log stands, whether two histories of it were met, and who watches whose.
func (g *gathering) log(_ context.Context, v *ledger.View) error {
	known := g.o.Ledger.Known(g.council)
	if known.Size > 0 {
		g.say(api.CouncilFact{Topic: api.FactLog, Name: api.FactLogSize, Count: int(known.Size), Last: known.At})
	}
	if known.CosignedSize > 0 {
		g.say(api.CouncilFact{Topic: api.FactLog, Name: api.FactWeCosigned, Count: int(known.CosignedSize)})
	}
	ws, err := v.Cosigned()
	if err != nil {
		return err
	}
	size, _ := v.Checkpoint()
	for _, w := range ws {
		if w.Witness == g.council {
			g.say(api.CouncilFact{Topic: api.FactLog, Name: api.FactItCosigned, Count: int(w.Checkpoint.Size), Out: int(size.Size)})
		}
	}
	all := known.Ended
	if known.Quarantine != nil {
		all = append(slices.Clone(all), *known.Quarantine)
	}
	for _, q := range all {
		f := api.CouncilFact{Topic: api.FactLog, Name: api.FactStopped, Of: q.Fault, Count: 1, First: q.Since, Last: q.EndedAt, Entries: []uint64{q.Entry}}
		if q.EndedAt.IsZero() {
			f.Name = api.FactStoppedNow
		}
		g.say(f)
	}
	if len(all) == 0 && known.Size > 0 {
		g.say(api.CouncilFact{Topic: api.FactLog, Name: api.FactStopped})
	}
	if known.Forsworn {
		g.say(api.CouncilFact{Topic: api.FactLog, Name: api.FactForsworn, Count: 1})
	}
	if a := known.Accusation; a != nil {
		g.say(api.CouncilFact{Topic: api.FactLog, Name: api.FactAccusesUs, Count: 1, First: a.Since})
	}
	return nil
}

// refusals says what it asked for and did not get, and what it sent that was not taken, by rule.
func (g *gathering) refusals(ctx context.Context) error {
	list, err := g.o.Refused(ctx, api.RefusedRequest{Council: g.council, Since: g.since, Limit: 10_000})
	if err != nil {
		return err
	}
	by := map[string]*api.CouncilFact{}
	for _, r := range list {
		called := api.FactWeRefusedIt
		switch {
		case r.What == api.RefusedNearMiss:
			continue // among its questions
		case r.Direction == api.RefusedFromThem:
			called = api.FactNotTaken
		}
		at := called + " " + r.Rule
		f := by[at]
		if f == nil {
			f = &api.CouncilFact{Topic: api.FactRefusals, Name: called, Of: r.Rule, Newest: len(list) == 10_000}
			by[at] = f
		}
		f.Count += int(r.Times)
		f.Last = later(f.Last, r.At)
		if r.Entry > 0 {
			f.Entries = append([]uint64{r.Entry}, f.Entries...) // the list is the oldest first
		}
	}
	for _, f := range by {
		g.say(*f)
	}
	g.sort(api.FactRefusals)
	return nil
}

// standards says what it states of its records, in its own signed words.
func (g *gathering) standards(ctx context.Context) error {
	all, err := g.o.Adoption(ctx, api.AdoptionRequest{At: g.now})
	if err != nil {
		return err
	}
	for _, r := range all.Rows {
		if r.Council == g.council {
			s := r.Statement
			g.say(api.CouncilFact{Topic: api.FactStandards, Name: api.FactStates, Of: s.Standard.String(), Count: s.Records, Last: s.ComputedAt})
			if s.Offers.Seen > 0 {
				g.say(api.CouncilFact{Topic: api.FactStandards, Name: api.FactFirstOffers, Of: s.Standard.String(), Count: s.Offers.Valid, Out: s.Offers.Seen, First: s.CountedSince, Last: s.ComputedAt})
			}
		}
	}
	return nil
}

// sort puts the facts of one topic, which are the last of all, in order: by what they are
// called, those of which there are most first.
func (g *gathering) sort(topic string) {
	first := slices.IndexFunc(g.facts, func(f api.CouncilFact) bool { return f.Topic == topic })
	if first < 0 {
		return
	}
	slices.SortFunc(g.facts[first:], func(a, b api.CouncilFact) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(b.Count, a.Count), strings.Compare(a.Of, b.Of))
	})
}

// spread says of durations how many there are, the middle one, that within which nine of ten
// are, and the longest.
func spread(f api.CouncilFact, took []time.Duration) (api.CouncilFact, bool) {
	if len(took) == 0 {
		return f, false
	}
	slices.Sort(took)
	at := func(hundredth int) float64 { return took[(len(took)-1)*hundredth/100].Seconds() }
	f.Count, f.Median, f.Ninety, f.Longest = len(took), at(50), at(90), at(100)
	return f, true
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b.UTC()
	}
	return a
}
