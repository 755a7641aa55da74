package question

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

func lied(what string) error { return fmt.Errorf("%w: %s", judge.ErrLied, what) }

// checked is an answer that holds, with what a receipt needs.
type checked struct {
	Answer
	head    *judge.Head
	content event.Answer // what the answer's event says
	entry   tlog.Hash    // of that event
}

// Check decides about an answer that a council gave to a question. The error wraps
// judge.ErrLied when no honest council can have sent it, and judge.ErrWait when it
// cannot be checked yet; it is that of judge.Log.Extend, too.
func (k *Asker) Check(ctx context.Context, by name.Council, p *Posed, seen uint64, a *wirepb.Answer) error {
	_, err := k.check(ctx, by, p, seen, a)
	return err
}

// check checks an answer of a council against its log, the question, the agreement
// and the standards. Nothing of an answer is shown that does not hold as a whole.
func (k *Asker) check(ctx context.Context, by name.Council, p *Posed, seen uint64, a *wirepb.Answer) (*checked, error) {
	doc, q := p.doc, p.q
	// Of a footprint a member answers: its records stand in the footprint's ledger,
	// and what the member itself says in the member's.
	shared, index := p.shared(by), a.GetIndex()
	if a.GetFootprint() != shared {
		return nil, lied("it answers from another log")
	}
	got := &checked{Answer: Answer{Agreement: doc, By: by, Question: q.ID, Event: a.GetEvent(), Index: a.GetIndex()}}
	log, err := k.o.Judge.Log(p.logOf(by))
	if err != nil {
		return nil, err
	}
	got.head, err = log.Extend(ctx, judge.Told{
		Checkpoint: a.GetCheckpoint(), Consistency: a.GetConsistency(), From: seen, By: by, MetWith: "an answer under " + string(doc.Name),
	})
	switch {
	case shared && errors.Is(err, judge.ErrWait):
		return nil, api.Fail(api.Unverified, "stile council show "+string(doc.From), "%v", err)
	case err != nil:
		return nil, err
	}
	got.Checkpoint = got.head.Checkpoint
	switch {
	case shared:
		index = directory.AnyPlace // nothing here proves it
	case a.GetIndex() >= got.Checkpoint.Size:
		return nil, lied("its answer is not in its log")
	}
	// The answer itself: said by them, of this question, under this agreement.
	t, ev, err := k.event(by, a.GetEvent(), event.KindAnswer, index)
	if err != nil {
		return nil, err
	}
	if got.content, err = event.ParseAnswer(ev.Body); err != nil || !p.answeredBy(got.content) || !answers(got.content, doc, q) || got.content.Footprint != p.answersFor(by) {
		return nil, lied("its answer is to another question")
	}
	got.entry, got.Outcome, got.Told, got.Unsaid = t.Entry(), got.content.Outcome, got.content.Told, got.content.Unsaid
	if fault := p.toldFault(got.content); fault != "" {
		return nil, lied(fault)
	}
	hashes, indexes, err := k.checkContents(doc, q, shared, a, got)
	if err != nil {
		return nil, err
	}
	if got.Outcome == event.OutcomeCompared {
		if got.Held, err = p.checkCompared(a, got.content.Compared); err != nil {
			return nil, err
		}
	}
	if !shared {
		hashes, indexes = append(hashes, got.entry), append(indexes, a.GetIndex())
	}
	if len(indexes) == 0 {
		return got, nil
	}
	return got, judge.Proved(got.Checkpoint, hashes, indexes, a.GetInclusion())
}

// event reads an event that a council sent as its own, of a kind.
func (k *Asker) event(by name.Council, jws []byte, kind string, index uint64) (*record.Token, *record.Event, error) {
	t, ev, rule, err := k.o.Judge.Event(by, jws, index)
	switch {
	case err != nil:
		return nil, nil, err
	case rule != "":
		return nil, nil, lied("its " + kind + ": " + rule)
	case ev.Kind != kind:
		return nil, nil, lied("it sent another kind of event than its " + kind)
	}
	return t, ev, nil
}

// checkContents checks the records or counts of an answer, and returns what has to
// stand in the log.
func (k *Asker) checkContents(doc *agreement.Agreement, q *ledger.Question, shared bool, a *wirepb.Answer, got *checked) (hashes []tlog.Hash, indexes []uint64, err error) {
	if len(a.GetEntries()) != len(got.content.Entries) || (a.GetCounts() != nil) != (got.content.Outcome == event.OutcomeCounted) {
		return nil, nil, lied("it sent something else than its answer says")
	}
	var under *judge.Case
	if len(a.GetEntries()) > 0 {
		if under, err = k.o.Judge.Under(doc); err != nil {
			return nil, nil, err
		}
	}
	for i, e := range a.GetEntries() {
		if e.GetIndex() != got.content.Entries[i] || e.GetIndex() >= got.Checkpoint.Size || !shared && e.GetIndex() >= a.GetIndex() {
			return nil, nil, lied("it sent another record than its answer says")
		}
		v, err := k.checkRecord(under, got.head, doc, q, e)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case v.View.Record != got.content.Records[i]:
			return nil, nil, lied("it sent another record than its answer says")
		case shared && !slices.Contains(k.o.Footprints.Members(doc.From), v.View.Council):
			return nil, nil, lied("a record in it was issued by a council that is no member")
		}
		got.Records = append(got.Records, Record{e.GetIndex(), v.Token, v.View})
		hashes, indexes = append(hashes, v.Entry), append(indexes, e.GetIndex())
	}
	if e := a.GetCounts(); e != nil {
		if e.GetIndex() != got.content.Counts || e.GetIndex() >= a.GetIndex() {
			return nil, nil, lied("it sent other counts than its answer says")
		}
		t, ev, err := k.event(got.By, e.GetToken(), event.KindCounts, e.GetIndex())
		if err != nil {
			return nil, nil, err
		}
		if got.Counts, err = k.checkCounts(doc, q, ev); err != nil {
			return nil, nil, err
		}
		got.Token, got.Index = e.GetToken(), e.GetIndex()
		got.Proof = CountsProof{a.GetCheckpoint(), a.GetIndex(), a.GetInclusion()}
		hashes, indexes = append(hashes, t.Entry()), append(indexes, e.GetIndex())
	}
	return hashes, indexes, nil
}

// checkRecord checks a record that was sent as an answer. More than was agreed is
// not shown, not even the part that was.
func (k *Asker) checkRecord(under *judge.Case, head *judge.Head, doc *agreement.Agreement, q *ledger.Question, e *wirepb.Entry) (v judge.Verdict, err error) {
	t, err := record.Parse(e.GetToken())
	if err != nil {
		return v, fmt.Errorf("%w: token: %w", judge.ErrLied, err)
	}
	if v, err = under.Record(head, e.GetIndex(), t); err != nil {
		if errors.Is(err, judge.ErrStandardMissing) && v.View != nil {
			err = api.Fail(api.NotFound, "stile standard adopt "+v.View.Standard.String(), "the answer is in %s, which is not adopted here, so it cannot be checked", v.View.Standard)
		}
		return v, err
	}
	if v.Rule != "" {
		where := ""
		if v.Pointer != "" {
			where = " at " + v.Pointer
		}
		return v, lied("a record in it is refused: " + v.Rule + where)
	}
	std, err := k.o.Ledger.Standard(v.View.Standard)
	if err != nil {
		return v, err
	}
	terms, err := doc.Compile(std)
	if err != nil {
		return v, lied("a record in it is of a version that the agreement lets nothing of out")
	}
	if terms.AskedCheckable(q.Asked.Field) && !slices.Contains(terms.Asked(v.View.Body), q.Asked) {
		return v, lied("a record in it is not the one that was asked for")
	}
	return v, nil
}

// checkCounts checks what counts say: of what was asked, of today, and as the
// agreement's mode lets them be.
func (k *Asker) checkCounts(doc *agreement.Agreement, q *ledger.Question, ev *record.Event) (*agreement.Counts, error) {
	c, err := agreement.ParseCounts(ev.Body)
	if err != nil {
		return nil, lied(err.Error())
	}
	if c.Agreement != doc.Name || c.Version != doc.Version || !slices.Equal(c.By, q.Groups) || !slices.Equal(c.Sums, q.Sums) {
		return nil, lied("its counts are of something else")
	}
	// Half a day more: two clocks that are an hour apart may see two weeks.
	if age := k.o.Now().Sub(c.Day.Time()); age < -12*time.Hour || age > agreement.PeriodDays*24*time.Hour+12*time.Hour {
		return nil, lied("its counts are of another week")
	}
	return &c, nil
}

// answeredBy reports whether an answer is of the kind that the question wants.
func (p *Posed) answeredBy(a event.Answer) bool {
	return (p.q.Hidden != nil) == (a.Outcome == event.OutcomeCompared) && (p.q.Subjects != nil) == (a.Outcome == event.OutcomeTold)
}

// answers reports whether an answer is to a question.
func answers(a event.Answer, doc *agreement.Agreement, q *ledger.Question) bool {
	want := q.Reply(doc)
	return bytes.Equal(strictjson.Canonical(a.Question.Body()), strictjson.Canonical(want.Question.Body())) && a.Asked == want.Asked &&
		(doc.Way().Answers == agreement.AnswersCounts && q.Subjects == nil) == (a.Outcome == event.OutcomeCounted)
}
