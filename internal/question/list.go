package question

import (
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// A Logged is one question as our log has it. The value that was asked by stands
// in no log.
type Logged struct {
	event.Question
	Partner name.Council // whom we asked, or who asked us
	Outcome string       // "" while we have no answer
	Records []name.Record
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
	l.At, l.Index, l.Ours = time.Unix(ev.IssuedAt, 0).UTC(), index, ev.Kind == event.KindQuestion
	by := self
	if l.Ours {
		l.Question, err = event.ParseQuestion(ev.Body)
	} else {
		var a event.Answer
		a, err = event.ParseAnswer(ev.Body)
		l.Question, l.Outcome, l.Records, by = a.Question, a.Outcome, a.Records, a.To
	}
	if err != nil {
		return l, fmt.Errorf("entry %d: %w", index, err)
	}
	l.Partner = l.To
	a, err := v.Answered(by, l.ID)
	if err != nil {
		return l, err
	}
	l.Receipt = a.Receipt != nil
	if a.ReceiptIndex != 0 {
		receipt, _, err := ledger.ReadEvent(v, a.ReceiptIndex, event.KindAnswerReceipt, event.ParseAnswerReceipt)
		if err != nil {
			return l, err
		}
		l.Outcome, l.Records, l.Receipt = receipt.Outcome, receipt.Records, true
	}
	return l, nil
}
