package ledger

import (
	"cmp"
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// An Answer is what leaves, with what proves it.
type Answer struct {
	Index      uint64       // of the event
	Event      []byte       // as we signed it
	Content    event.Answer // what it says
	Items      []PageItem   // the records' tokens with the agreed disclosures, ascending
	Counts     *PageItem    // in mode aggregate, the event that holds the counts
	Checkpoint tlog.Checkpoint
	Note       []byte
	Inclusion  []tlog.Hash // tlog batch proof of items, counts and event at Checkpoint
	Compared   *Comparison // of a hidden value, else nil
}

// Answer answers a question that was charged from a feed of mode lookup: it finds
// the records, logs that they are about to be disclosed, and returns them once
// that is durable. before is what Charge returned: a question that was answered
// before gets the same answer, without a search, or ErrChanged when a record in
// it is not any more what it was.
//
// The caller has checked that the feed's agreement is in force and that the asker
// may ask by the field.
func (l *Ledger) Answer(ctx context.Context, f *Feed, q *Question, before *uint64) (*Answer, error) {
	a, err := l.answerNew(ctx, f, q, before)
	if err == nil {
		// Who asks may want the record to show to others, which the log's proof alone
		// would not let them.
		err = l.SignTokens(ctx, a.Items)
	}
	if err == nil {
		err = l.Second(ctx, f.doc, f.Digest, q.Partner(), a.Items)
	}
	if err != nil {
		return nil, fmt.Errorf("answer under %s: %w", f.Agreement, err)
	}
	return a, nil
}

func (l *Ledger) answerNew(ctx context.Context, f *Feed, q *Question, before *uint64) (*Answer, error) {
	if before != nil {
		return l.answer(f, *before)
	}
	reply := q.Reply(f.doc)
	var items []PageItem
	err := l.View(func(v *View) error {
		found, more, err := v.Find(f, q.Asked, event.MaxFound)
		if err == nil && len(found) == 0 {
			err = v.lacks(f)
		}
		if err != nil {
			return err
		}
		size := 0
		for _, ver := range found {
			t, err := ver.Token.Present(f.termsFor(ver.Standard).Keep)
			if err != nil {
				return err
			}
			size += len(t.Bytes())
			items = append(items, PageItem{Index: ver.Index, Token: t.Bytes(), Whole: ver.Body, Standard: ver.Standard})
		}
		reply.Result = resultOf(found, more || len(found) > 1 && size > MaxPageBytes, v.cp)
		return nil
	})
	if err == nil {
		// Before it is logged that they leave.
		err = l.Second(ctx, f.doc, f.Digest, q.Partner(), items)
	}
	if err != nil {
		return nil, err
	}
	index, _, err := l.LogAnswer(ctx, q, reply)
	if err != nil {
		return nil, err
	}
	return l.answer(f, index)
}

// resultOf says which records a question is answered with.
func resultOf(found []*Version, more bool, cp tlog.Checkpoint) event.Result {
	r := event.Result{Outcome: event.OutcomeFound, Size: cp.Size, Root: cp.Root}
	switch {
	case more:
		r.Outcome, found = event.OutcomeTooMany, nil
	case len(found) == 0:
		r.Outcome = event.OutcomeNothing
	}
	slices.SortFunc(found, func(a, b *Version) int { return cmp.Compare(a.Index, b.Index) })
	for _, ver := range found {
		r.Records, r.Entries = append(r.Records, ver.Claims.Record), append(r.Entries, ver.Index)
	}
	return r
}

// answer gathers what an answer in our log says is answered.
func (l *Ledger) answer(f *Feed, index uint64) (*Answer, error) {
	a := &Answer{Index: index}
	err := l.View(func(v *View) (err error) {
		if a.Content, a.Event, err = ReadEvent(v, index, event.KindAnswer, event.ParseAnswer); err != nil {
			return err
		}
		content := a.Content
		a.Checkpoint, a.Note = v.Checkpoint()
		if content.Agreement != f.Agreement || content.Version != uint64(f.Version) {
			return ErrAnotherQuestion
		}
		var indexes []uint64
		for i, at := range content.Entries {
			ver, err := v.Current(content.Records[i])
			if err != nil {
				return err
			}
			// Asked again, at the last moment, of the agreement and not of what is
			// stored beside it.
			t := f.termsFor(ver.Standard)
			if ver.Index != at || t == nil || !t.Match(ver.Body) {
				return ErrChanged
			}
			token, err := ver.Token.Present(t.Keep)
			if err != nil {
				return err
			}
			a.Items, indexes = append(a.Items, PageItem{Index: at, Token: token.Bytes(), Whole: ver.Body, Standard: ver.Standard}), append(indexes, at)
		}
		a.Inclusion, err = tlog.ProveBatch(v, append(indexes, index), a.Checkpoint.Size)
		return err
	})
	return a, err
}

// AnswerTold answers a charged question about the records of a person with what tell
// says of one state of the ledger: rows, and how much else is not said. A question that was
// answered before gets the same answer, and tell is not called. before is what Charge
// returned. Nothing of a record leaves.
func (l *Ledger) AnswerTold(ctx context.Context, a *agreement.Agreement, q *Question, before *uint64, tell func(*View) ([]event.Told, uint64, error)) (*Answer, error) {
	out := &Answer{}
	if before != nil {
		out.Index = *before
	} else {
		reply := q.Reply(a)
		err := l.View(func(v *View) (err error) {
			reply.Result = event.Result{Outcome: event.OutcomeTold, Size: v.cp.Size, Root: v.cp.Root}
			reply.Told, reply.Unsaid, err = tell(v)
			return err
		})
		if err == nil {
			out.Index, _, err = l.LogAnswer(ctx, q, reply)
		}
		if err != nil {
			return nil, fmt.Errorf("answer under %s: %w", a.Name, err)
		}
	}
	err := l.View(func(v *View) (err error) {
		if out.Content, out.Event, err = ReadEvent(v, out.Index, event.KindAnswer, event.ParseAnswer); err != nil {
			return err
		}
		if c := out.Content; c.Outcome != event.OutcomeTold || c.Agreement != a.Name || c.Version != uint64(a.Version) {
			return ErrAnotherQuestion
		}
		out.Checkpoint, out.Note = v.Checkpoint()
		out.Inclusion, err = tlog.ProveBatch(v, []uint64{out.Index}, out.Checkpoint.Size)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("answer under %s: %w", a.Name, err)
	}
	return out, nil
}

// LogAnswer logs what is about to be answered, and returns when that is durable: its
// log index. A question that was answered before is not logged again: again says so,
// and the index is of then. The error is ErrAnotherQuestion for a question that was
// not charged.
func (l *Ledger) LogAnswer(ctx context.Context, q *Question, a event.Answer) (index uint64, again bool, err error) {
	sum := l.sum(q)
	err = l.do(ctx, false, func(t *tx) error {
		b, err := t.lookup(questionKey(q.By, q.ID))
		if errors.Is(err, ErrNotFound) {
			return ErrAnotherQuestion
		}
		var known Answered
		if err == nil {
			err = unmarshal(b, &known)
		}
		if err != nil {
			return err
		}
		if !hmac.Equal([]byte(known.Sum), []byte(sum)) {
			return ErrAnotherQuestion
		}
		if again = known.Index != nil; again {
			index = *known.Index
			return nil
		}
		index = t.event(event.KindAnswer, a.Body()).index
		known.Index = &index
		b, err = marshal(known)
		t.set(questionKey(q.By, q.ID), b)
		return err
	})
	return index, again, err
}

// KeepReceipt keeps what an asker said of the answer to its question. The first
// counts. ErrNotFound when it asked no such question.
func (l *Ledger) KeepReceipt(ctx context.Context, by name.Council, id event.QuestionID, receipt []byte) error {
	return l.do(ctx, false, func(t *tx) error {
		b, err := t.lookup(questionKey(by, id))
		if err != nil {
			return err
		}
		var a Answered
		if err := unmarshal(b, &a); err != nil || a.Receipt != nil {
			return err
		}
		a.Receipt = receipt
		if b, err = marshal(a); err == nil {
			t.set(questionKey(by, id), b)
		}
		return err
	})
}
