package event

import (
	"encoding/hex"
	"fmt"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// Bounds of questions and answers.
const (
	// MaxBecause is the most bytes of a reason for a question, and MaxCase of a case's
	// reference.
	MaxBecause = 300
	MaxCase    = 100
	// MaxLabels is the most labels that a hidden value is compared with.
	MaxLabels = 8192
	// MaxFound is the most records that one question is answered with. It asks for
	// one; more come only where a key is shared.
	MaxFound = 10
	// MaxSubjects is the most records that one question is about, MaxTold the most rows of
	// its answer, and MaxToldFields the most fields of a row.
	MaxSubjects   = 100
	MaxTold       = 400
	MaxToldFields = 500
	// MaxGroupFields is the most fields that are counted by at once.
	MaxGroupFields = 4
)

// A QuestionID is made by the asker, at random.
type QuestionID [16]byte

// String returns the id as 32 hexadecimal digits.
func (q QuestionID) String() string { return hexOf(q[:]) }

// ParseQuestionID reads what String prints.
func ParseQuestionID(s string) (q QuestionID, err error) {
	if !parseHex(q[:], s) {
		return QuestionID{}, fmt.Errorf("a question's id is 32 hexadecimal digits")
	}
	return q, nil
}

func parseSHA(s string) (h [32]byte, err error) {
	if !parseHex(h[:], s) {
		return [32]byte{}, ErrBody
	}
	return h, nil
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// parseHex reads lower-case hexadecimal digits, exactly as many as into takes.
func parseHex(into []byte, s string) bool {
	if len(s) != 2*len(into) {
		return false
	}
	_, err := hex.Decode(into, []byte(s))
	return err == nil && hexOf(into) == s
}

// A Question says that a council is about to ask. Body, in mode lookup and in mode
// aggregate:
//
//	{"agreement":"northmoor.gov.uk/people","because":"…","field":"/nino","question":"<32 hex>","to":"northmoor.gov.uk","version":1}
//	{"agreement":"northmoor.gov.uk/planning","because":"…","by":["/district"],"question":"<32 hex>","to":"northmoor.gov.uk","version":1}
type Question struct {
	Agreement name.Agreement
	Version   uint64       // of the agreement
	To        name.Council // who is asked
	For       name.Council // the footprint that it is asked for; "" for the asker itself
	ID        QuestionID
	Because   string // why, in words, at most MaxBecause bytes
	// Field is what is asked by. By are the fields to count by, and is nil in mode
	// lookup: that of a question which counts all records together is empty.
	Field name.Field
	By    []name.Field
	// Sum are fields whose numbers are summed in each group, with By; nil for none.
	Sum []name.Field
	// Case is a reference to what it is asked for; "" where none must be given. Hidden
	// is the digest of a hidden value, see package blind: the zero digest for a question
	// that says its value. After is the question with a hidden value that this one
	// follows, to be shown the record; the zero id for none.
	Case   string
	Hidden tlog.Hash
	After  QuestionID
	// Subjects are records that went under the agreement and of which it is asked, for a
	// person, what became of them where they were given: 1 to MaxSubjects, ascending. Then
	// there is neither Field nor By. Body: "subjects":["…"] in the place of them.
	Subjects []name.Record
}

// Body returns the body of a [KindQuestion].
func (q Question) Body() map[string]any {
	body := map[string]any{
		"agreement": string(q.Agreement), "version": Number(q.Version), "to": string(q.To),
		"question": q.ID.String(), "because": q.Because,
	}
	if q.For != "" {
		body["for"] = string(q.For)
	}
	switch {
	case q.Subjects != nil:
		body["subjects"] = textList(q.Subjects)
	case q.By == nil:
		body["field"] = string(q.Field)
	default:
		body["by"] = textList(q.By)
	}
	if len(q.Sum) > 0 {
		body["sum"] = textList(q.Sum)
	}
	if q.Case != "" {
		body["case"] = q.Case
	}
	if q.Hidden != (tlog.Hash{}) {
		body["hidden"] = q.Hidden.String()
	}
	if q.After != (QuestionID{}) {
		body["after"] = q.After.String()
	}
	return body
}

// ParseQuestion reads the body of a [KindQuestion]. The error wraps [ErrBody].
func ParseQuestion(body map[string]any) (Question, error) {
	r := read(KindQuestion, body)
	q := r.question()
	return q, r.done()
}

func (r *reader) question() Question {
	q := Question{
		Agreement: r.agreement("agreement"), Version: r.version("version"), To: r.council("to"), For: r.councilIf("for"),
		ID: named(r, "question", "32 hexadecimal digits", ParseQuestionID), Because: r.textOf("because", 0, MaxBecause),
	}
	const aField = "a JSON Pointer to a field"
	if r.has("subjects") {
		q.Subjects = namesOf(r, "subjects", "the id of a record", MaxSubjects, name.ParseRecord)
		for i := range q.Subjects {
			if i > 0 && q.Subjects[i] <= q.Subjects[i-1] {
				r.wrong("subjects", "is not in ascending order")
			}
		}
		if len(q.Subjects) == 0 || r.has("by") || r.has("sum") || r.has("hidden") || r.has("after") || q.For != "" {
			r.wrong("subjects", "does not go with the question")
		}
	} else if r.has("by") {
		q.By = append([]name.Field{}, namesOf(r, "by", aField, MaxGroupFields, name.ParseField)...)
	} else {
		q.Field = named(r, "field", aField, name.ParseField)
	}
	if r.has("sum") {
		if q.Sum = namesOf(r, "sum", aField, MaxGroupFields, name.ParseField); len(q.Sum) == 0 || q.By == nil {
			r.wrong("sum", "does not go with the question")
		}
	}
	if r.has("case") {
		q.Case = r.textOf("case", 1, MaxCase)
	}
	if r.has("hidden") {
		if q.Hidden = r.hash("hidden"); q.Hidden == (tlog.Hash{}) || q.By != nil {
			r.wrong("hidden", "is not the digest of a hidden value")
		}
	}
	if r.has("after") {
		q.After = named(r, "after", "32 hexadecimal digits", ParseQuestionID)
		if q.After == (QuestionID{}) || q.By != nil || q.Hidden != (tlog.Hash{}) {
			r.wrong("after", "is not a question that this one can follow")
		}
	}
	return q
}

// What became of a question.
const (
	OutcomeFound   = "found"         // one record or a few
	OutcomeNothing = "nothing found" // whether there is none, or none that may be asked for
	OutcomeTooMany = "too many"      // more than one may be told of: none is
	OutcomeCounted = "counted"       // in mode aggregate
	// OutcomeCompared is that of a question with a hidden value: who answers does not
	// know whether there is a record, and what the asker learned is in no log.
	OutcomeCompared = "compared"
	// OutcomeTold is that of a question about the records of a person.
	OutcomeTold = "told"
)

// A Result is what a question is answered with.
type Result struct {
	Outcome string        // one of the outcomes above
	Records []name.Record // of OutcomeFound, else none
	Entries []uint64      // the log index of the disclosed version of each, ascending
	Counts  uint64        // of OutcomeCounted: log index of the counts
	Size    uint64        // of the log when it was looked up, or in a receipt
	Root    tlog.Hash     // of the checkpoint that proves it
}

func (s *Result) write(body map[string]any) {
	body["outcome"], body["size"], body["root"] = s.Outcome, Number(s.Size), s.Root.String()
	if s.Outcome == OutcomeCounted {
		body["counts"] = Number(s.Counts)
		return
	}
	body["records"], body["entries"] = textList(s.Records), indexList(s.Entries)
}

func (r *reader) result() Result {
	s := Result{
		Outcome: r.oneOf("outcome", OutcomeFound, OutcomeNothing, OutcomeTooMany, OutcomeCounted, OutcomeCompared, OutcomeTold),
		Size:    r.index("size"), Root: r.hash("root"),
	}
	if s.Outcome == OutcomeCounted {
		s.Counts = r.index("counts")
		return s
	}
	s.Records = namesOf(r, "records", "the id of a record", MaxFound, name.ParseRecord)
	s.Entries = r.indexes("entries")
	if len(s.Records) != len(s.Entries) {
		r.wrong("entries", "has not as many elements as records")
	}
	if found := s.Outcome == OutcomeFound; found != (len(s.Records) > 0) {
		r.wrong("records", "does not go with the outcome")
	}
	for i := 1; i < len(s.Entries); i++ {
		if s.Entries[i] <= s.Entries[i-1] {
			r.wrong("entries", "is not in ascending order")
		}
	}
	return s
}

// An Answer says what is about to be answered to a question. Body: what the question
// says, with to being who asked, and what [Result] says; asked; footprint.
type Answer struct {
	Question
	Asked     tlog.Hash    // the entry of the question's event
	Footprint name.Council // that a member answers for, of whose log Result is; "" for none
	Compared  *Compared    // of OutcomeCompared, else nil
	Told      []Told       // of OutcomeTold, else nil
	// Unsaid counts, of OutcomeTold, what else was given to others of which nothing is said:
	// under agreements whose parties have not agreed that it is, or beyond MaxTold.
	Unsaid uint64
	Result
}

// What one row of an answer of [OutcomeTold] says.
const (
	ToldHolds = "holds"     // who answers holds the record, which another council sent it
	ToldNot   = "not held"  // it does not hold the record
	ToldGave  = "gave"      // it gave a version of its record to To
	ToldTook  = "took back" // it took that back, and To has not said that it deleted it
	ToldGone  = "deleted"   // it took that back, and To has signed that it deleted it
)

// Told is one thing that is said of a record, without a value of it. Element of "told":
//
//	{"agreement":"northmoor.gov.uk/people","at":1798761600,"entry":17,"fields":["/name"],"record":"…","says":"gave","to":"saltby.gov.uk","version":1,"way":"copy"}
type Told struct {
	Record    name.Record
	Says      string         // one of the words above
	At        uint64         // Unix seconds: when it was received, or given; 0 where that is not known
	Agreement name.Agreement // under which; "" for what is public
	Version   uint64         // of the agreement
	// Of what was given, and else left out: to whom, in which way (one of the words of the
	// node's API), which fields, and the entry of the disclosure in the answerer's log.
	To     name.Council
	Way    string
	Fields []name.Field
	Entry  uint64
}

func (t Told) body() map[string]any {
	m := map[string]any{"record": string(t.Record), "says": t.Says, "at": Number(t.At), "version": Number(t.Version)}
	if t.Agreement != "" {
		m["agreement"] = string(t.Agreement)
	}
	if t.To != "" {
		m["to"], m["way"], m["fields"], m["entry"] = string(t.To), t.Way, textList(t.Fields), Number(t.Entry)
	}
	return m
}

func (r *reader) told() Told {
	t := Told{
		Record: named(r, "record", "the id of a record", name.ParseRecord),
		Says:   r.oneOf("says", ToldHolds, ToldNot, ToldGave, ToldTook, ToldGone), At: r.seconds("at"), Version: r.version("version"),
	}
	if r.has("agreement") {
		t.Agreement = r.agreement("agreement")
	}
	if given := t.Says != ToldHolds && t.Says != ToldNot; given != r.has("to") {
		r.wrong("to", "does not go with what is said")
	} else if given {
		t.To, t.Way, t.Entry = r.council("to"), r.textOf("way", 1, 32), r.index("entry")
		t.Fields = namesOf(r, "fields", "a JSON Pointer to a field", MaxToldFields, name.ParseField)
	}
	return t
}

// Compared says what a hidden value was compared with. Members of the body:
//
//	"key":"<64 hex>","labels":256,"labels_digest":"<64 hex>"
type Compared struct {
	Key    [32]byte  // the public key for this question; see package blind
	Labels uint64    // how many there are, with those that stand for nothing
	Digest tlog.Hash // SHA-256 of the labels, one after another
}

// Body returns the body of a [KindAnswer].
func (a Answer) Body() map[string]any {
	body := a.Question.Body()
	body["asked"] = a.Asked.String()
	if a.Footprint != "" {
		body["footprint"] = string(a.Footprint)
	}
	if c := a.Compared; c != nil {
		body["key"], body["labels"], body["labels_digest"] = hexOf(c.Key[:]), Number(c.Labels), c.Digest.String()
	}
	if a.Outcome == OutcomeTold {
		told := make([]any, len(a.Told))
		for i, t := range a.Told {
			told[i] = t.body()
		}
		body["told"], body["unsaid"] = told, Number(a.Unsaid)
	}
	a.Result.write(body)
	return body
}

// ParseAnswer reads the body of a [KindAnswer]. The error wraps [ErrBody].
func ParseAnswer(body map[string]any) (Answer, error) {
	r := read(KindAnswer, body)
	a := Answer{Question: r.question(), Asked: r.hash("asked"), Footprint: r.councilIf("footprint"), Result: r.result()}
	if a.Outcome == OutcomeCompared {
		c := Compared{Key: named(r, "key", "64 hexadecimal digits", parseSHA), Labels: r.index("labels"), Digest: r.hash("labels_digest")}
		if c.Labels == 0 || c.Labels > MaxLabels {
			r.wrong("labels", "is not a number of labels")
		}
		a.Compared = &c
	}
	if a.Outcome == OutcomeTold {
		a.Told = []Told{}
		r.objects("told", MaxTold, func(r *reader) { a.Told = append(a.Told, r.told()) })
		a.Unsaid = r.index("unsaid")
	}
	if (a.Outcome == OutcomeTold) != (a.Subjects != nil) {
		r.wrong("outcome", "does not go with the question")
	}
	if (a.Outcome == OutcomeCompared) != (a.Hidden != tlog.Hash{}) {
		r.wrong("outcome", "does not go with the question")
	}
	return a, r.done()
}

// An AnswerReceipt is the asker's receipt for an answer. Body: its own members and
// those of [Result].
//
//	{"agreement":"northmoor.gov.uk/people","answer":"…","entries":[7],"from":"northmoor.gov.uk","outcome":"found",
//	 "question":"<32 hex>","records":["…"],"root":"…","size":9}
type AnswerReceipt struct {
	Agreement name.Agreement
	From      name.Council // who answered
	For       name.Council // the footprint that it was asked for; "" for the asker itself
	Footprint name.Council // that a member answered for, of whose log Result is; "" for none
	ID        QuestionID
	Answer    tlog.Hash // the entry of the answer's event
	Result
}

// Body returns the body of a [KindAnswerReceipt].
func (a AnswerReceipt) Body() map[string]any {
	body := map[string]any{
		"agreement": string(a.Agreement), "from": string(a.From), "question": a.ID.String(), "answer": a.Answer.String(),
	}
	if a.For != "" {
		body["for"] = string(a.For)
	}
	if a.Footprint != "" {
		body["footprint"] = string(a.Footprint)
	}
	a.Result.write(body)
	return body
}

// ParseAnswerReceipt reads the body of a [KindAnswerReceipt]. The error wraps
// [ErrBody].
func ParseAnswerReceipt(body map[string]any) (AnswerReceipt, error) {
	r := read(KindAnswerReceipt, body)
	a := AnswerReceipt{
		Agreement: r.agreement("agreement"), From: r.council("from"), For: r.councilIf("for"), Footprint: r.councilIf("footprint"),
		ID: named(r, "question", "32 hexadecimal digits", ParseQuestionID), Answer: r.hash("answer"), Result: r.result(),
	}
	return a, r.done()
}
