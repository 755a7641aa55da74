package ledger

import (
	"context"
	"crypto/hmac"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/blind"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Question is what a partner asks.
type Question struct {
	ID      event.QuestionID
	By      name.Council // who asks
	For     name.Council // the footprint it asks for; "" for itself
	Event   []byte       // its signed question, which was checked
	Entry   tlog.Hash    // of that event
	Because string       // as it says there
	Case    string       // a case reference; "" where none was asked for

	Text   agreement.Digest // the text of the agreement it asks under
	Asked  agreement.Asked  // in mode lookup
	Groups []name.Field     // in mode aggregate
	Sums   []name.Field     // in mode aggregate: fields whose numbers are summed
	PerDay int              // questions that it may ask in a day under that text
	// PerHour is the same for an hour; 0 for no bound but that of the day.
	PerHour int

	// Hidden is the value that is asked by as it comes from a partner which does not tell
	// it, see package blind; nil when Asked has the value. Bits and Bucket say which part
	// of a long index it is compared with.
	Hidden []byte
	Bits   int
	Bucket byte
	// After is the question with a hidden value that this one follows; zero for none.
	After event.QuestionID

	// Subjects are the records that a question is about which is asked for a person, and To
	// the party that it is asked of. Else there are none, and the sender is asked.
	Subjects []name.Record
	To       name.Council
}

// hidden returns what a log may hold of the hidden value.
func (q *Question) hidden() (h tlog.Hash) {
	if q.Hidden != nil {
		h = blind.Sum(q.Hidden)
	}
	return h
}

// sum tells another question under the same id, without keeping the value.
func (l *Ledger) sum(q *Question) string {
	scope := append([]byte("question"), q.Text[:]...)
	text := q.Asked.Value
	for _, f := range q.Groups {
		text += string(f) + "\x00"
	}
	for _, f := range q.Sums {
		text += "sum " + string(f) + "\x00"
	}
	for _, r := range q.Subjects {
		text += "subject " + string(r) + "\x00"
	}
	if q.Hidden != nil {
		text = fmt.Sprintf("%x %d %d", q.Hidden, q.Bits, q.Bucket)
	}
	k := l.o.Keys.BlindIndex(scope, q.Asked.Field, text)
	return hex.EncodeToString(k[:]) + " " + q.Entry.String()
}

// Content returns what the signed question says, under the agreement of its text.
func (q *Question) Content(a *agreement.Agreement) event.Question {
	c := event.Question{Agreement: a.Name, Version: uint64(a.Version), To: a.From, For: q.For, ID: q.ID, Because: q.Because, Case: q.Case, Hidden: q.hidden(), After: q.After}
	if q.Subjects != nil {
		c.Subjects, c.To = q.Subjects, q.To
	} else if a.Way().ByMatch {
		c.Field = q.Asked.Field
	} else {
		c.By = append([]name.Field{}, q.Groups...)
		c.Sum = q.Sums
	}
	return c
}

// Reply returns what an answer to the question says in any case; the answerer adds
// the result.
func (q *Question) Reply(a *agreement.Agreement) event.Answer {
	c := q.Content(a)
	c.To = q.By
	return event.Answer{Question: c, Asked: q.Entry}
}

// A Bound says that no more questions are answered for now.
type Bound struct {
	Most  int
	What  string    // what there may be so many of
	In    string    // "today" or "in this hour"
	Opens time.Time // when the next may be asked
}

// Error says it in words that may be sent to the asker.
func (b *Bound) Error() string {
	return fmt.Sprintf("%d %s have been asked under it %s, and no more are answered before %s", b.Most, b.What, b.In, b.Opens.Format("2006-01-02 15:04 MST"))
}

// ErrChanged: what was answered under the question's id is not so any more.
var ErrChanged = errors.New("the answer has changed since: ask again as a new question")

// ErrAnotherQuestion: the id was used for another question.
var ErrAnotherQuestion = errors.New("another question has this id")

// ErrRepeats: a question was asked again too often under its id.
var ErrRepeats = errors.New("it has been asked again too often: ask as a new question")

// MaxRepeats is how often one question may be asked again without being counted
// as another. An answer that was lost on the way needs a few; somebody who
// watches whether an answer changes needs many.
const MaxRepeats = 10

// An Answered is a question that was asked, and what shows what became of it.
type Answered struct {
	Index   *uint64 `json:"index,omitempty"` // of our answer, or of our own question; nil while there is none
	Sum     string  `json:"sum,omitempty"`   // binds the id to the value, see sum
	Asked   []byte  `json:"asked,omitempty"` // the asker's signed question
	Repeats int     `json:"repeats,omitempty"`
	Receipt []byte  `json:"receipt,omitempty"` // what the asker said of the answer
	// Ours, of a question that we asked: where our receipt stands in our log.
	ReceiptIndex uint64 `json:"receipt_index,omitempty"`
}

func questionKey(by name.Council, id event.QuestionID) []byte {
	return append(append(append([]byte("q"), by...), 0), id[:]...)
}

func dayKey(text agreement.Digest, by name.Council) []byte {
	return append(append([]byte("d"), text[:]...), by...)
}

// Answered returns what is kept of a question that a council asked, ErrNotFound
// when it asked none under that id.
func (v *View) Answered(by name.Council, id event.QuestionID) (a Answered, err error) {
	b, err := v.value(questionKey(by, id))
	if err == nil {
		err = unmarshal(b, &a)
	}
	return a, err
}

// Charge counts a question against the day's bound and binds its id to what it
// asks, durably. Nothing may be looked for before it returns nil, so that a
// question costs the asker one of its day whether it is answered, refused or
// fails afterwards. The same question again is not counted, at most MaxRepeats
// times: before is then the index of our answer, nil where there is none yet.
//
// The error is a *Bound when there have been too many questions today,
// ErrAnotherQuestion when the id was used for another, which is counted too,
// or ErrRepeats. None of them hangs on what is in the ledger beside the counts.
func (l *Ledger) Charge(ctx context.Context, q *Question) (before *uint64, err error) {
	sum := l.sum(q)
	var refused error
	err = l.do(ctx, false, func(t *tx) error {
		before, refused = nil, nil
		var a Answered
		b, err := t.lookup(questionKey(q.By, q.ID))
		known := err == nil
		switch {
		case known:
			if err := unmarshal(b, &a); err != nil {
				return err
			}
		case !errors.Is(err, ErrNotFound):
			return err
		}
		if known && hmac.Equal([]byte(a.Sum), []byte(sum)) {
			if a.Repeats >= MaxRepeats {
				return ErrRepeats
			}
			a.Repeats++
			before = a.Index
		} else {
			if err := t.count(q); err != nil {
				return err
			}
			if known {
				// Counted, and nothing else is written: the id stays bound.
				refused = ErrAnotherQuestion
				return nil
			}
			a = Answered{Sum: sum, Asked: q.Event}
		}
		b, err = marshal(a)
		t.set(questionKey(q.By, q.ID), b)
		return err
	})
	if err == nil {
		err = refused
	}
	return before, err
}

// A questionDay is how many questions there were on a day, and in its last hour that
// had any.
type questionDay struct {
	day, hour    int64 // since 1970, by UTC
	count, hours int
}

// questionDay reads the count of today.
func (l *Ledger) questionDay(b []byte, err error) (questionDay, error) {
	now := l.o.Now().UTC().Unix()
	d := questionDay{day: now / 86400, hour: now / 3600}
	if errors.Is(err, ErrNotFound) {
		return d, nil
	}
	// Not by whether it is another day: a clock that is set back must not begin a
	// count anew.
	if err == nil && (len(b) == 12 || len(b) == 24) && int64(binary.BigEndian.Uint64(b)) >= d.day {
		d.day, d.count = int64(binary.BigEndian.Uint64(b)), int(binary.BigEndian.Uint32(b[8:]))
		if len(b) == 24 && int64(binary.BigEndian.Uint64(b[12:])) >= d.hour {
			d.hour, d.hours = int64(binary.BigEndian.Uint64(b[12:])), int(binary.BigEndian.Uint32(b[20:]))
		}
	}
	return d, err
}

// count counts one more question of today, or returns a *Bound.
func (t *tx) count(q *Question) error {
	key := dayKey(q.Text, q.Partner())
	d, err := t.l.questionDay(t.lookup(key))
	if err != nil {
		return err
	}
	if d.count >= q.PerDay {
		return &Bound{Most: q.PerDay, What: "questions", In: "today", Opens: time.Unix((d.day+1)*86400, 0).UTC()}
	}
	if q.PerHour > 0 && d.hours >= q.PerHour {
		return &Bound{Most: q.PerHour, What: "questions", In: "in this hour", Opens: time.Unix((d.hour+1)*3600, 0).UTC()}
	}
	b := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, uint64(d.day)), uint32(d.count+1))
	t.set(key, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(b, uint64(d.hour)), uint32(d.hours+1)))
	return nil
}

// Partner returns whose questions are counted together: those of the footprint
// that it is asked for, or else of who asks.
func (q *Question) Partner() name.Council {
	if q.For != "" {
		return q.For
	}
	return q.By
}

// QuestionsToday returns how many questions a partner has asked today under the
// text of an agreement, however they were answered.
func (v *View) QuestionsToday(text agreement.Digest, by name.Council) (int, error) {
	d, err := v.l.questionDay(v.value(dayKey(text, by)))
	return d.count, err
}
