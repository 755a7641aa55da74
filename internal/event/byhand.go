package event

import (
	"fmt"
	"time"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// Under agreements of a mode in which records go by hand, people let out single
// records. What they decide is a case, with an id that both logs name. There are two
// sorts of cases: a handover is offered by the sender, answered by the receiver and
// closed by the sender; an urgent disclosure is given by one person of the sender,
// decided by another, and ended and reviewed later. None of these events holds a
// field of a record.

// Bounds of cases.
const (
	MaxItems   = 200 // records of one case
	maxPerson  = 256 // bytes of the name of a person
	maxCaseRef = 100 // bytes of a reference of the case in other systems
)

// A CaseID is made by whoever begins a case, at random.
type CaseID [16]byte

// String returns the id as 32 hexadecimal digits.
func (c CaseID) String() string { return hexOf(c[:]) }

// ParseCaseID reads what String prints.
func ParseCaseID(s string) (c CaseID, err error) {
	if !parseHex(c[:], s) {
		return CaseID{}, fmt.Errorf("the id of a case is 32 hexadecimal digits")
	}
	return c, nil
}

// An Item is one record of a case, as it stands in a body:
//
//	{"agreement":"northmoor.gov.uk/moves","entry":17,"record":"…","version":1}
type Item struct {
	Agreement name.Agreement // under which it goes
	Version   uint64         // of the agreement
	Record    name.Record
	Entry     uint64 // in the sender's log: of the record's version, or in UrgentEnded of its withdrawal
}

func itemList(items []Item) []any {
	out := make([]any, len(items))
	for i, it := range items {
		out[i] = map[string]any{"agreement": string(it.Agreement), "version": Number(it.Version), "record": string(it.Record), "entry": Number(it.Entry)}
	}
	return out
}

// items reads a list of items, in which no record comes twice under one agreement.
func (r *reader) items(member string, least int) (out []Item) {
	type key struct {
		a name.Agreement
		r name.Record
	}
	seen := map[key]bool{}
	r.objects(member, MaxItems, func(r *reader) {
		it := Item{
			Agreement: r.agreement("agreement"), Version: r.version("version"),
			Record: named(r, "record", "the id of a record", name.ParseRecord), Entry: r.index("entry"),
		}
		k := key{it.Agreement, it.Record}
		if seen[k] {
			r.wrong("record", "comes twice")
		}
		seen[k] = true
		out = append(out, it)
	})
	if len(out) < least {
		r.wrong(member, "is empty")
	}
	return out
}

func (r *reader) caseID() CaseID {
	return named(r, "case", "32 hexadecimal digits", ParseCaseID)
}

func (r *reader) because() string { return r.textOf("because", 1, MaxBecause) }
func (r *reader) person() string  { return r.textOf("by", 0, maxPerson) }

// dateIf reads a day, or "".
func (r *reader) dateIf(member string) string {
	s := r.textOf(member, 0, len(time.DateOnly))
	if _, err := time.Parse(time.DateOnly, s); s != "" && err != nil {
		r.wrong(member, "is not a date")
		return ""
	}
	return s
}

// A HandoverOffer says that the sender offers records to be taken over. Body:
//
//	{"because":"…","by":"…","case":"<32 hex>","due":"2026-12-22","items":[…],"notice":"2026-12-01","ref":"CP-7","to":"saltby.gov.uk"}
type HandoverOffer struct {
	Case    CaseID
	To      name.Council
	Ref     string // of the case in the sender's other systems; "" for none
	Because string
	By      string // who has the council offer it
	Notice  string // the day that the time is counted from
	Due     string // the last day to take it over by; "" where no agreement of it says one
	Items   []Item
}

// Body returns the body of a [KindHandoverOffer].
func (h HandoverOffer) Body() map[string]any {
	return map[string]any{
		"case": h.Case.String(), "to": string(h.To), "ref": h.Ref, "because": h.Because, "by": h.By,
		"notice": h.Notice, "due": h.Due, "items": itemList(h.Items),
	}
}

// ParseHandoverOffer reads the body of a [KindHandoverOffer]. The error wraps [ErrBody].
func ParseHandoverOffer(body map[string]any) (HandoverOffer, error) {
	r := read(KindHandoverOffer, body)
	h := HandoverOffer{
		Case: r.caseID(), To: r.council("to"), Ref: r.textOf("ref", 0, maxCaseRef), Because: r.because(), By: r.person(),
		Notice: r.dateIf("notice"), Due: r.dateIf("due"), Items: r.items("items", 1),
	}
	return h, r.done()
}

// A HandoverAnswer is what the receiver says to an offer. From its time on the records
// that it takes are its responsibility. Body:
//
//	{"accepted":true,"because":"…","by":"…","case":"<32 hex>","from":"northmoor.gov.uk","offer":"…","taken":[0,2]}
type HandoverAnswer struct {
	Case     CaseID
	From     name.Council // who offered
	Offer    tlog.Hash    // the entry of the offer
	Accepted bool
	Taken    []uint64 // places in the offer's items, ascending; none when it declines
	Because  string
	By       string
}

// Body returns the body of a [KindHandoverAnswer].
func (h HandoverAnswer) Body() map[string]any {
	return map[string]any{
		"case": h.Case.String(), "from": string(h.From), "offer": h.Offer.String(), "accepted": h.Accepted,
		"taken": indexList(h.Taken), "because": h.Because, "by": h.By,
	}
}

// ParseHandoverAnswer reads the body of a [KindHandoverAnswer]. The error wraps [ErrBody].
func ParseHandoverAnswer(body map[string]any) (HandoverAnswer, error) {
	r := read(KindHandoverAnswer, body)
	h := HandoverAnswer{
		Case: r.caseID(), From: r.council("from"), Offer: r.hash("offer"), Accepted: r.flag("accepted"),
		Taken: r.indexes("taken"), Because: r.textOf("because", 0, MaxBecause), By: r.person(),
	}
	for i, n := range h.Taken {
		if n >= MaxItems || i > 0 && n <= h.Taken[i-1] {
			r.wrong("taken", "does not name places in ascending order")
		}
	}
	if h.Accepted != (len(h.Taken) > 0) {
		r.wrong("taken", "does not go with the answer")
	}
	return h, r.done()
}

// A HandoverWithdrawn says that the sender takes back an offer that was not answered. Body:
//
//	{"because":"…","by":"…","case":"<32 hex>","to":"saltby.gov.uk"}
type HandoverWithdrawn struct {
	Case    CaseID
	To      name.Council
	Because string
	By      string
}

// Body returns the body of a [KindHandoverWithdrawn].
func (h HandoverWithdrawn) Body() map[string]any {
	return map[string]any{"case": h.Case.String(), "to": string(h.To), "because": h.Because, "by": h.By}
}

// ParseHandoverWithdrawn reads the body of a [KindHandoverWithdrawn]. The error wraps [ErrBody].
func ParseHandoverWithdrawn(body map[string]any) (HandoverWithdrawn, error) {
	r := read(KindHandoverWithdrawn, body)
	h := HandoverWithdrawn{Case: r.caseID(), To: r.council("to"), Because: r.because(), By: r.person()}
	return h, r.done()
}

// A HandoverClosed says that the receiver's receipts for what it took have come, and
// what stayed behind. Body:
//
//	{"answer":"…","case":"<32 hex>","left":[…],"passed":[…],"to":"saltby.gov.uk"}
type HandoverClosed struct {
	Case   CaseID
	To     name.Council
	Answer tlog.Hash // the entry of the receiver's answer, in its log
	Passed []Item    // each with the version that the receiver's receipt is for
	Left   []Item    // as offered
}

// Body returns the body of a [KindHandoverClosed].
func (h HandoverClosed) Body() map[string]any {
	return map[string]any{
		"case": h.Case.String(), "to": string(h.To), "answer": h.Answer.String(), "passed": itemList(h.Passed), "left": itemList(h.Left),
	}
}

// ParseHandoverClosed reads the body of a [KindHandoverClosed]. The error wraps [ErrBody].
func ParseHandoverClosed(body map[string]any) (HandoverClosed, error) {
	r := read(KindHandoverClosed, body)
	h := HandoverClosed{Case: r.caseID(), To: r.council("to"), Answer: r.hash("answer"), Passed: r.items("passed", 0), Left: r.items("left", 0)}
	return h, r.done()
}

// An UrgentAsked asks another council for an urgent disclosure. Whom it is about people
// tell each other by other means: it stands in no log. Body:
//
//	{"because":"…","by":"…","case":"<32 hex>","ref":"…","to":"northmoor.gov.uk"}
type UrgentAsked struct {
	Case    CaseID
	To      name.Council // who is asked
	Ref     string
	Because string
	By      string
}

// Body returns the body of a [KindUrgentAsked].
func (u UrgentAsked) Body() map[string]any {
	return map[string]any{"case": u.Case.String(), "to": string(u.To), "ref": u.Ref, "because": u.Because, "by": u.By}
}

// ParseUrgentAsked reads the body of a [KindUrgentAsked]. The error wraps [ErrBody].
func ParseUrgentAsked(body map[string]any) (UrgentAsked, error) {
	r := read(KindUrgentAsked, body)
	u := UrgentAsked{Case: r.caseID(), To: r.council("to"), Ref: r.textOf("ref", 0, maxCaseRef), Because: r.because(), By: r.person()}
	return u, r.done()
}

// An UrgentGiven says that one person wants records let out urgently. It lets nothing
// out. Body:
//
//	{"because":"…","by":"…","case":"<32 hex>","items":[…],"ref":"…","to":"saltby.gov.uk"}
type UrgentGiven struct {
	Case    CaseID // that of the question, when it answers one
	To      name.Council
	Ref     string
	Because string
	By      string // at least one byte
	Items   []Item
}

// Body returns the body of a [KindUrgentGiven].
func (u UrgentGiven) Body() map[string]any {
	return map[string]any{
		"case": u.Case.String(), "to": string(u.To), "ref": u.Ref, "because": u.Because, "by": u.By, "items": itemList(u.Items),
	}
}

// ParseUrgentGiven reads the body of a [KindUrgentGiven]. The error wraps [ErrBody].
func ParseUrgentGiven(body map[string]any) (UrgentGiven, error) {
	r := read(KindUrgentGiven, body)
	u := UrgentGiven{
		Case: r.caseID(), To: r.council("to"), Ref: r.textOf("ref", 0, maxCaseRef), Because: r.because(),
		By: r.textOf("by", 1, maxPerson), Items: r.items("items", 1),
	}
	return u, r.done()
}

// An UrgentDecided is what a second person says. When it approves, the records are let
// out until an instant. Body:
//
//	{"approved":true,"because":"…","by":"…","case":"<32 hex>","given_by":"…","items":[…],"ref":"…","to":"saltby.gov.uk","until":1796083200}
type UrgentDecided struct {
	Case     CaseID
	To       name.Council
	Ref      string
	Because  string // the reason for the disclosure, or why it is refused
	By       string // the second person, at least one byte
	GivenBy  string // the first person; "" when a question is refused that nobody wanted to answer
	Approved bool
	Until    uint64 // seconds since 1970; 0 when it is refused
	Items    []Item // none when it is refused
}

// Body returns the body of a [KindUrgentDecided].
func (u UrgentDecided) Body() map[string]any {
	return map[string]any{
		"case": u.Case.String(), "to": string(u.To), "ref": u.Ref, "because": u.Because, "by": u.By, "given_by": u.GivenBy,
		"approved": u.Approved, "until": Number(u.Until), "items": itemList(u.Items),
	}
}

// ParseUrgentDecided reads the body of a [KindUrgentDecided]. The error wraps [ErrBody].
func ParseUrgentDecided(body map[string]any) (UrgentDecided, error) {
	r := read(KindUrgentDecided, body)
	u := UrgentDecided{
		Case: r.caseID(), To: r.council("to"), Ref: r.textOf("ref", 0, maxCaseRef), Because: r.because(),
		By: r.textOf("by", 1, maxPerson), GivenBy: r.textOf("given_by", 0, maxPerson), Approved: r.flag("approved"),
		Until: r.seconds("until"), Items: r.items("items", 0),
	}
	switch {
	case u.Approved != (len(u.Items) > 0):
		r.wrong("items", "does not go with the decision")
	case u.Approved != (u.Until > 0):
		r.wrong("until", "does not go with the decision")
	case u.Approved && (u.GivenBy == "" || u.GivenBy == u.By):
		r.wrong("given_by", "is not another person")
	}
	return u, r.done()
}

// An UrgentEnded says that what was disclosed urgently has been withdrawn. Body:
//
//	{"because":"…","by":"","case":"<32 hex>","items":[…],"to":"saltby.gov.uk"}
type UrgentEnded struct {
	Case    CaseID
	To      name.Council
	Because string
	By      string // who ended it early; "" when its time was over
	Items   []Item // each with the entry of its withdrawal; without those that had gone before
}

// Body returns the body of a [KindUrgentEnded].
func (u UrgentEnded) Body() map[string]any {
	return map[string]any{"case": u.Case.String(), "to": string(u.To), "because": u.Because, "by": u.By, "items": itemList(u.Items)}
}

// ParseUrgentEnded reads the body of a [KindUrgentEnded]. The error wraps [ErrBody].
func ParseUrgentEnded(body map[string]any) (UrgentEnded, error) {
	r := read(KindUrgentEnded, body)
	u := UrgentEnded{Case: r.caseID(), To: r.council("to"), Because: r.because(), By: r.person(), Items: r.items("items", 0)}
	return u, r.done()
}

// An UrgentReviewed is what a person of either council says of an urgent disclosure that is
// over: whether it was right. Body:
//
//	{"because":"…","by":"…","case":"<32 hex>","partner":"saltby.gov.uk"}
type UrgentReviewed struct {
	Case    CaseID
	Partner name.Council // the other council
	Because string       // the review, in words
	By      string       // at least one byte
}

// Body returns the body of a [KindUrgentReviewed].
func (u UrgentReviewed) Body() map[string]any {
	return map[string]any{"case": u.Case.String(), "partner": string(u.Partner), "because": u.Because, "by": u.By}
}

// ParseUrgentReviewed reads the body of a [KindUrgentReviewed]. The error wraps [ErrBody].
func ParseUrgentReviewed(body map[string]any) (UrgentReviewed, error) {
	r := read(KindUrgentReviewed, body)
	u := UrgentReviewed{Case: r.caseID(), Partner: r.council("partner"), Because: r.because(), By: r.textOf("by", 1, maxPerson)}
	return u, r.done()
}

// CaseKinds returns the kinds of events about cases.
func CaseKinds() []string {
	return []string{
		KindHandoverOffer, KindHandoverAnswer, KindHandoverWithdrawn, KindHandoverClosed,
		KindUrgentAsked, KindUrgentGiven, KindUrgentDecided, KindUrgentEnded, KindUrgentReviewed,
	}
}

// BeginsCase reports whether an event of a kind may be the first that is heard of a case, by
// whom it is addressed to.
func BeginsCase(kind string) bool {
	return kind == KindHandoverOffer || kind == KindUrgentAsked || kind == KindUrgentDecided
}
