package api

import (
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// CaseRequest names a case in which people let out single records, or begins one.
type CaseRequest struct {
	// Case is its id, or as many of the first digits as tell it from others; "" begins a
	// new one. Of an offer: the case of a council that has ended from which it goes on.
	Case    string       `json:"case,omitempty"`
	Partner name.Council `json:"partner,omitempty"`
	// Records are ids, or references within Standard; Person, of Scheme where that is not
	// clear, stands for all records of ours that name a person.
	Records  []string `json:"records,omitempty"`
	Standard string   `json:"standard,omitempty"`
	Person   string   `json:"person,omitempty"`
	Scheme   string   `json:"scheme,omitempty"`
	Ref      string   `json:"ref,omitempty"`     // of the case in other systems, which both councils log
	Because  string   `json:"because,omitempty"` // why, in words that both councils log
	// By is the person who has the council say it: a name, or a pseudonym. Both councils
	// log it.
	By string `json:"by,omitempty"`
	// Of an offer: Notice is the day that the time is counted from, today unless given;
	// Due the last day, where the agreements say none, or a later one.
	Notice string `json:"notice,omitempty"`
	Due    string `json:"due,omitempty"`
	// Only, of an acceptance, are the records that are taken; none is all that may be.
	Only []string `json:"only,omitempty"`
	// As and Passphrase say who gives or approves an urgent disclosure, as in an AgreementRequest.
	// What is logged of that person is their id.
	As         string `json:"as,omitempty"`
	Passphrase []byte `json:"passphrase,omitempty"`
}

// CaseReply is a case as far as it has come.
type CaseReply struct {
	Case      string       `json:"case"`
	Kind      string       `json:"kind"`      // handover or urgent
	Direction string       `json:"direction"` // to: the records are ours; from: the partner's
	Partner   name.Council `json:"partner"`
	State     string       `json:"state"`
	Ref       string       `json:"ref,omitempty"`
	Because   string       `json:"because,omitempty"`
	By        string       `json:"by,omitempty"` // who began it
	Began     time.Time    `json:"began"`
	Items     []CaseItem   `json:"items"`

	// Of a handover.
	Responsible name.Council `json:"responsible,omitempty"` // for the case, as things stand
	Notice      string       `json:"notice,omitempty"`
	Due         string       `json:"due,omitempty"`
	DaysLeft    *int         `json:"days_left,omitempty"`    // to Due, of its kind; less than 0 after it; nil once it is answered, or not known
	WorkingDays bool         `json:"working_days,omitempty"` // of which DaysLeft are
	DueUnknown  string       `json:"due_unknown,omitempty"`  // why DaysLeft cannot be told
	Overdue     bool         `json:"overdue,omitempty"`
	Answer      string       `json:"answer,omitempty"` // in the receiver's words
	AnswerBy    string       `json:"answer_by,omitempty"`
	Answered    time.Time    `json:"answered,omitzero"`
	// Of a handover that we carry on for a council that has ended: CarriedFrom is that council,
	// and Was how the case stood; CarriedToo are other successors that have it by the plan, so
	// that people decide between them. Next is the case in which its records were offered anew.
	CarriedFrom name.Council   `json:"carried_from,omitempty"`
	Was         string         `json:"was,omitempty"`
	CarriedToo  []name.Council `json:"carried_too,omitempty"`
	Next        string         `json:"next,omitempty"`

	// Of an urgent disclosure.
	Decision  string       `json:"decision,omitempty"` // in the second person's words
	DecidedBy string       `json:"decided_by,omitempty"`
	Decided   time.Time    `json:"decided,omitzero"`
	Until     time.Time    `json:"until,omitzero"`
	ToReview  bool         `json:"to_review,omitempty"` // it waits for our review
	Reviews   []CaseReview `json:"reviews,omitempty"`

	Events []CaseEvent `json:"events"`
	// Left, of an offer just made, says of records that were asked for why they are not
	// in it.
	Left []CaseItem `json:"left,omitempty"`
}

// CaseItem is one record of a case.
type CaseItem struct {
	Agreement name.Agreement `json:"agreement,omitempty"`
	Record    name.Record    `json:"record"`
	Standard  string         `json:"standard,omitempty"` // as the agreement has it
	Entry     uint64         `json:"entry,omitempty"`    // in the sender's log
	State     string         `json:"state,omitempty"`    // offered, taken, passed, left, out or withdrawn
	Problem   string         `json:"problem,omitempty"`  // why it cannot go
}

// CaseReview is what a person of one council said of an urgent disclosure.
type CaseReview struct {
	Council name.Council `json:"council"`
	By      string       `json:"by"`
	Because string       `json:"because"`
	At      time.Time    `json:"at"`
}

// CaseEvent is one event about a case.
type CaseEvent struct {
	Kind    string       `json:"kind"`
	Council name.Council `json:"council"` // who says it
	At      time.Time    `json:"at"`
	Entry   *uint64      `json:"entry,omitempty"` // in our own log
}
