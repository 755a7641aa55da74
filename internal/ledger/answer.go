package ledger

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// What became of a question.
const (
	Found   = "found"         // one record or a few
	Nothing = "nothing found" // whether there is none, or none that may be asked for
	TooMany = "too many"      // more than one may be told of: none is
	Counted = "counted"       // in mode aggregate
)

// MaxFound is the most records that one question is answered with. It asks for
// one; more come only where a key is shared.
const MaxFound = 10

// A QuestionID is made by the asker, at random.
type QuestionID [16]byte

// String returns the id as 32 hexadecimal digits.
func (q QuestionID) String() string { return hex.EncodeToString(q[:]) }

// ParseQuestionID reads what String prints.
func ParseQuestionID(s string) (q QuestionID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(q) || hex.EncodeToString(b) != s {
		return q, fmt.Errorf("a question's id is 32 hexadecimal digits")
	}
	return QuestionID(b), nil
}

// A Question is what a partner asks.
type Question struct {
	ID      QuestionID
	By      name.Council // who asks
	For     name.Council // the footprint it asks for; "" for itself
	Event   []byte       // its event of event.KindQuestion, which was checked
	Entry   tlog.Hash    // of that event
	Because string       // as it says there

	Text   agreement.Digest // the text of the agreement it asks under
	Asked  agreement.Asked  // in mode lookup
	Groups []name.Field     // in mode aggregate
	PerDay int              // questions that it may ask in a day under that text
}

// sum tells another question under the same id, without keeping the value.
func (l *Ledger) sum(q *Question) string {
	scope := append([]byte("question"), q.Text[:]...)
	text := q.Asked.Value
	for _, f := range q.Groups {
		text += string(f) + "\x00"
	}
	k := l.o.Keys.BlindIndex(scope, q.Asked.Field, text)
	return hex.EncodeToString(k[:]) + " " + q.Entry.String()
}

// A Bound says that no more questions are answered for now.
type Bound struct {
	PerDay int
	What   string    // what there may be so many of in a day
	Opens  time.Time // when the next may be asked
}

// Error says it in words that may be sent to the asker.
func (b *Bound) Error() string {
	return fmt.Sprintf("%d %s have been asked under it today, and no more are answered before %s", b.PerDay, b.What, b.Opens.Format("2006-01-02 15:04 MST"))
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
	Index   *uint64 `json:"index,omitempty"` // of our event of event.KindAnswer, or of event.KindQuestion for our own; nil while there is none
	Sum     string  `json:"sum,omitempty"`   // binds the id to the value, see sum
	Asked   []byte  `json:"asked,omitempty"` // the asker's signed question
	Repeats int     `json:"repeats,omitempty"`
	Receipt []byte  `json:"receipt,omitempty"` // what the asker said of the answer
	// Ours, of a question that we asked: where our receipt stands in our log.
	ReceiptIndex uint64 `json:"receipt_index,omitempty"`
}

func questionKey(by name.Council, id QuestionID) []byte {
	return append(append(append([]byte("q"), by...), 0), id[:]...)
}

func dayKey(text agreement.Digest, by name.Council) []byte {
	return append(append([]byte("d"), text[:]...), by...)
}

// Answered returns what is kept of a question that a council asked, ErrNotFound
// when it asked none under that id.
func (v *View) Answered(by name.Council, id QuestionID) (a Answered, err error) {
	b, err := valueOf(v.txn, questionKey(by, id))
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

// A questionDay is how many questions there were on a day.
type questionDay struct {
	day   int64 // since 1970, by UTC
	count int
}

// questionDay reads the count of today.
func (l *Ledger) questionDay(b []byte, err error) (questionDay, error) {
	d := questionDay{day: l.o.Now().UTC().Unix() / 86400}
	if errors.Is(err, ErrNotFound) {
		return d, nil
	}
	// Not by whether it is another day: a clock that is set back must not begin a
	// count anew.
	if err == nil && len(b) == 12 && int64(binary.BigEndian.Uint64(b)) >= d.day {
		d = questionDay{int64(binary.BigEndian.Uint64(b)), int(binary.BigEndian.Uint32(b[8:]))}
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
		return &Bound{PerDay: q.PerDay, What: "questions", Opens: time.Unix((d.day+1)*86400, 0).UTC()}
	}
	t.set(key, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, uint64(d.day)), uint32(d.count+1)))
	return nil
}

// LogAnswer logs what is about to be answered, in the body of an event of
// event.KindAnswer, and returns when that is durable: its log index. A question that was
// answered before is not logged again: again says so, and the index is of then.
// The error is ErrAnotherQuestion for a question that was not charged.
func (l *Ledger) LogAnswer(ctx context.Context, q *Question, body map[string]any) (index uint64, again bool, err error) {
	sum := l.sum(q)
	err = l.do(ctx, false, func(t *tx) error {
		b, err := t.lookup(questionKey(q.By, q.ID))
		if errors.Is(err, ErrNotFound) {
			return ErrAnotherQuestion
		}
		var a Answered
		if err == nil {
			err = unmarshal(b, &a)
		}
		if err != nil {
			return err
		}
		if !hmac.Equal([]byte(a.Sum), []byte(sum)) {
			return ErrAnotherQuestion
		}
		if again = a.Index != nil; again {
			index = *a.Index
			return nil
		}
		index = t.event(event.KindAnswer, body).index
		a.Index = &index
		b, err = marshal(a)
		t.set(questionKey(q.By, q.ID), b)
		return err
	})
	return index, again, err
}

// KeepReceipt keeps what an asker said of the answer to its question. The first
// counts. ErrNotFound when it asked no such question.
func (l *Ledger) KeepReceipt(ctx context.Context, by name.Council, id QuestionID, receipt []byte) error {
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
	d, err := v.l.questionDay(valueOf(v.txn, dayKey(text, by)))
	return d.count, err
}

// LogQuestion logs that we are about to ask, in the body of an event of
// event.KindQuestion, and returns the signed event once that is durable. A question that
// was logged before is returned as it was, if it says the same; else the error is
// ErrAnotherQuestion.
func (l *Ledger) LogQuestion(ctx context.Context, id QuestionID, body map[string]any) (jws []byte, err error) {
	var p *pending
	var before Answered
	err = l.do(ctx, false, func(t *tx) error {
		p, before = nil, Answered{}
		b, err := t.lookup(questionKey(l.o.Council, id))
		if err == nil {
			return unmarshal(b, &before)
		}
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		p = t.event(event.KindQuestion, body)
		b, err = marshal(Answered{Index: &p.index})
		t.set(questionKey(l.o.Council, id), b)
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("log question: %w", err)
	case p != nil:
		return p.token.Bytes(), nil
	}
	err = l.View(func(v *View) error {
		if before.Index == nil {
			return ErrAnotherQuestion // somebody else's under our name: never
		}
		ev, b, err := v.Event(*before.Index)
		if err == nil && !bytes.Equal(strictjson.Canonical(ev.Body), strictjson.Canonical(body)) {
			err = ErrAnotherQuestion
		}
		jws = bytes.Clone(b)
		return err
	})
	return jws, err
}

// LogReceipt logs what we were answered to a question of ours, in the body of an
// event of event.KindAnswerReceipt, and returns the signed event. What was logged before is
// returned as it was.
func (l *Ledger) LogReceipt(ctx context.Context, id QuestionID, body map[string]any) (jws []byte, err error) {
	var p *pending
	var a Answered
	err = l.do(ctx, false, func(t *tx) error {
		p, a = nil, Answered{}
		b, err := t.lookup(questionKey(l.o.Council, id))
		if err == nil {
			err = unmarshal(b, &a)
		}
		if err != nil || a.ReceiptIndex != 0 {
			return err
		}
		p = t.event(event.KindAnswerReceipt, body)
		a.ReceiptIndex = p.index
		b, err = marshal(a)
		t.set(questionKey(l.o.Council, id), b)
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("log receipt: %w", err)
	case p != nil:
		return p.token.Bytes(), nil
	}
	err = l.View(func(v *View) error {
		_, b, err := v.Event(a.ReceiptIndex)
		jws = bytes.Clone(b)
		return err
	})
	return jws, err
}

// Body returns what an event of event.KindAnswer says of a question in any case; the
// answerer adds what it answers.
func (q *Question) Body(a *agreement.Agreement) map[string]any {
	m := map[string]any{
		"agreement": string(a.Name), "version": decimal(a.Version), "to": string(q.By),
		"question": q.ID.String(), "asked": q.Entry.String(), "because": q.Because,
	}
	if q.For != "" {
		m["for"] = string(q.For)
	}
	if a.Way().ByMatch {
		m["field"] = string(q.Asked.Field)
	} else {
		m["by"] = fieldList(q.Groups)
	}
	return m
}

func fieldList(fs []name.Field) []any {
	out := make([]any, len(fs))
	for i, f := range fs {
		out[i] = string(f)
	}
	return out
}

// An Answer is what leaves, with what proves it.
type Answer struct {
	Index      uint64 // of the event
	Event      []byte // of event.KindAnswer
	Said       *record.Event
	Items      []PageItem // the records' tokens with the agreed disclosures, ascending
	Counts     *PageItem  // in mode aggregate, the event of KindCounts
	Checkpoint tlog.Checkpoint
	Note       []byte
	Inclusion  []tlog.Hash // tlog batch proof of items, counts and event at Checkpoint
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
	if err != nil {
		return nil, fmt.Errorf("answer under %s: %w", f.Agreement, err)
	}
	return a, nil
}

func (l *Ledger) answerNew(ctx context.Context, f *Feed, q *Question, before *uint64) (*Answer, error) {
	if before != nil {
		return l.answer(f, *before)
	}
	body := q.Body(f.doc)
	err := l.View(func(v *View) error {
		found, more, err := v.Find(f, q.Asked, MaxFound)
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
		}
		DescribeAnswer(body, found, more || len(found) > 1 && size > MaxPageBytes, v.cp)
		return nil
	})
	if err != nil {
		return nil, err
	}
	index, _, err := l.LogAnswer(ctx, q, body)
	if err != nil {
		return nil, err
	}
	return l.answer(f, index)
}

// DescribeAnswer writes into the body of an event which records are answered with.
func DescribeAnswer(body map[string]any, found []*Version, more bool, cp tlog.Checkpoint) {
	outcome := Found
	switch {
	case more:
		outcome, found = TooMany, nil
	case len(found) == 0:
		outcome = Nothing
	}
	slices.SortFunc(found, func(a, b *Version) int { return int(int64(a.Index) - int64(b.Index)) })
	records, entries := make([]any, len(found)), make([]any, len(found))
	for i, ver := range found {
		records[i], entries[i] = string(ver.Claims.Record), decimal(ver.Index)
	}
	body["outcome"], body["records"], body["entries"] = outcome, records, entries
	body["size"], body["root"] = decimal(cp.Size), cp.Root.String()
}

// answer gathers what an event of event.KindAnswer says is answered.
func (l *Ledger) answer(f *Feed, index uint64) (*Answer, error) {
	a := &Answer{Index: index}
	err := l.View(func(v *View) (err error) {
		if a.Said, a.Event, err = v.Event(index); err != nil {
			return err
		}
		a.Checkpoint, a.Note = v.Checkpoint()
		said, err := AnswerOf(a.Said)
		if err != nil {
			return err
		}
		if said.Agreement != f.Agreement || said.Version != f.Version {
			return ErrAnotherQuestion
		}
		var indexes []uint64
		for i, at := range said.Entries {
			ver, err := v.Current(said.Records[i])
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
			a.Items, indexes = append(a.Items, PageItem{Index: at, Token: token.Bytes()}), append(indexes, at)
		}
		a.Inclusion, err = tlog.ProveBatch(v, append(indexes, index), a.Checkpoint.Size)
		return err
	})
	return a, err
}

// AnswerSaid is what an event of event.KindQuestion, event.KindAnswer or event.KindAnswerReceipt says.
type AnswerSaid struct {
	Agreement name.Agreement
	Version   int          // 0 in a receipt
	Partner   name.Council // to, or in a receipt from
	For       name.Council
	Footprint name.Council
	Question  QuestionID
	Asked     string // the entry of the question, or in a receipt of the answer
	Because   string
	Field     name.Field
	Groups    []name.Field
	Outcome   string // "" in a question
	Records   []name.Record
	Entries   []uint64
	Counts    uint64
	Size      uint64
	Root      string
}

// MaxBecause is the most bytes of a reason for a question.
const MaxBecause = 300

// AnswerOf reads an event of event.KindQuestion, event.KindAnswer or event.KindAnswerReceipt, by whomever
// it was said. It refuses what those do not say, and passes over members that it
// does not know.
func AnswerOf(e *record.Event) (s AnswerSaid, err error) {
	bad := func(member string) (AnswerSaid, error) {
		return AnswerSaid{}, fmt.Errorf("read %s: %s is missing or malformed", e.Kind, member)
	}
	text := func(member string) string { t, _ := e.Body[member].(string); return t }
	who, entry := "to", "asked"
	switch e.Kind {
	case event.KindQuestion, event.KindAnswer:
	case event.KindAnswerReceipt:
		who, entry = "from", "answer"
	default:
		return s, fmt.Errorf("read answer: event is a %q", e.Kind)
	}
	if s.Agreement, err = name.ParseAgreement(text("agreement")); err != nil {
		return bad("agreement")
	}
	if s.Partner, err = name.ParseCouncil(text(who)); err != nil {
		return bad(who)
	}
	if s.Question, err = ParseQuestionID(text("question")); err != nil {
		return bad("question")
	}
	for _, c := range []struct {
		member string
		into   *name.Council
	}{{"for", &s.For}, {"footprint", &s.Footprint}} {
		if t := text(c.member); t != "" {
			if *c.into, err = name.ParseCouncil(t); err != nil {
				return bad(c.member)
			}
		}
	}
	s.Because = text("because")
	if len(s.Because) > MaxBecause {
		return bad("because")
	}
	if s.Field, err = name.ParseField(text("field")); err != nil {
		return bad("field")
	}
	by, _ := e.Body["by"].([]any)
	for _, v := range by {
		t, ok := v.(string)
		f, err := name.ParseField(t)
		if !ok || err != nil || len(by) > agreement.MaxGroupFields {
			return bad("by")
		}
		s.Groups = append(s.Groups, f)
	}
	if e.Kind != event.KindAnswerReceipt {
		n, ok := number(e.Body["version"])
		if !ok || n > agreement.MaxVersion {
			return bad("version")
		}
		s.Version = int(n)
	}
	if e.Kind == event.KindQuestion {
		return s, nil
	}
	if _, err := tlog.ParseHash(text(entry)); err != nil {
		return bad(entry)
	}
	s.Asked, s.Outcome = text(entry), text("outcome")
	records, _ := e.Body["records"].([]any)
	entries, _ := e.Body["entries"].([]any)
	if len(records) != len(entries) || len(records) > MaxFound {
		return bad("records")
	}
	for i := range records {
		t, _ := records[i].(string)
		r, err := name.ParseRecord(t)
		n, ok := number(entries[i])
		if err != nil || !ok || i > 0 && n <= s.Entries[i-1] {
			return bad("records")
		}
		s.Records, s.Entries = append(s.Records, r), append(s.Entries, n)
	}
	ok := true
	switch s.Outcome {
	case Found:
		ok = len(records) > 0
	case Nothing, TooMany:
		ok = len(records) == 0
	case Counted:
		s.Counts, ok = number(e.Body["counts"])
		ok = ok && len(records) == 0
	default:
		ok = false
	}
	if !ok {
		return bad("outcome")
	}
	if s.Size, ok = number(e.Body["size"]); !ok {
		return bad("size")
	}
	if s.Root = text("root"); s.Root != "" {
		if _, err := tlog.ParseHash(s.Root); err != nil {
			return bad("root")
		}
	}
	return s, nil
}
