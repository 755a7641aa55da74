package question

import (
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// A Logged is one question as our log has it. The value that was asked by stands
// in no log.
type Logged struct {
	ledger.AnswerSaid
	At      time.Time
	Ours    bool   // asked by us; else answered by us
	Index   uint64 // in our log: of the question, or of our answer
	Receipt bool   // the asker's receipt is held
}

// List returns the questions that were asked or answered here in the order of our
// log, of one agreement or, for "", of all.
func List(v *ledger.View, self name.Council, of name.Agreement) (all []Logged, err error) {
	for _, kind := range []string{event.KindQuestion, event.KindAnswer} {
		v.Events(kind, 0, func(i uint64) bool {
			var l Logged
			if l, err = Read(v, self, i); err == nil && (of == "" || of == l.Agreement) {
				all = append(all, l)
			}
			return err == nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b Logged) int { return int(int64(a.Index) - int64(b.Index)) })
	return all, nil
}

// Read reads a question that was asked or answered here from our log.
func Read(v *ledger.View, self name.Council, index uint64) (l Logged, err error) {
	ev, _, err := v.Event(index)
	if err != nil {
		return l, err
	}
	if l.AnswerSaid, err = ledger.AnswerOf(ev); err != nil {
		return l, err
	}
	l.At, l.Index, l.Ours = time.Unix(ev.IssuedAt, 0).UTC(), index, ev.Kind == event.KindQuestion
	by := l.Partner
	if l.Ours {
		by = self
	}
	a, err := v.Answered(by, l.Question)
	if err != nil {
		return l, err
	}
	l.Receipt = a.Receipt != nil
	if a.ReceiptIndex != 0 {
		ev, _, err := v.Event(a.ReceiptIndex)
		if err != nil {
			return l, err
		}
		receipt, err := ledger.AnswerOf(ev)
		if err != nil {
			return l, err
		}
		l.Outcome, l.Records, l.Receipt = receipt.Outcome, receipt.Records, true
	}
	return l, nil
}
