package api

import (
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// DisclosureRequest says which disclosures are asked for. What is empty picks nothing
// out.
type DisclosureRequest struct {
	Record   string `json:"record,omitempty"`   // id, or the natural key
	Standard string `json:"standard,omitempty"` // of a record named by its natural key
	// Person is a number that names a person, as the records have it; it may be spelled
	// with other spaces, hyphens and letter case. Scheme says whose number it is, and is
	// needed where two standards give the same number to two schemes.
	Person    string         `json:"person,omitempty"`
	Scheme    string         `json:"scheme,omitempty"`
	To        name.Council   `json:"to,omitempty"`
	Agreement name.Agreement `json:"agreement,omitempty"`
	Since     time.Time      `json:"since,omitzero"`
	Until     time.Time      `json:"until,omitzero"` // before this instant
	Cursor    Cursor         `json:"cursor,omitempty"`
	Limit     int            `json:"limit,omitempty"` // default 100, at most 1000
}

// DisclosureReply is a page of disclosures, the oldest first.
type DisclosureReply struct {
	Disclosures []Disclosure `json:"disclosures"`
	Cursor      Cursor       `json:"cursor,omitempty"`
}

// The ways in which something is let out.
const (
	LetCopy      = "copy"      // the receiver keeps a copy
	LetAnswer    = "answer"    // a question was answered, and nothing is kept
	LetCounts    = "counts"    // a question was answered with counts, of no record by itself
	LetFootprint = "footprint" // open fields went into a footprint without an agreement
)

// Disclosure is one version of a record that was let out to one council.
type Disclosure struct {
	At        time.Time      `json:"at"`    // when it was logged, before it left
	Entry     uint64         `json:"entry"` // of the event in our log that says so
	Way       string         `json:"way"`
	To        name.Council   `json:"to"`
	For       name.Council   `json:"for,omitempty"` // the footprint that it was asked for
	Agreement name.Agreement `json:"agreement,omitempty"`
	Version   uint64         `json:"agreement_version,omitempty"`
	Urgent    bool           `json:"urgent,omitempty"`  // the agreement is for urgent disclosures
	Because   string         `json:"because,omitempty"` // why it was asked for

	// Of is whose record it is, where it was passed on; "" for our own.
	Of name.Council `json:"of,omitempty"`
	// Footprint is whose log RecordEntry is of; "" for our own.
	Footprint     name.Council  `json:"footprint,omitempty"`
	Record        name.Record   `json:"record,omitempty"`
	RecordVersion uint64        `json:"record_version,omitempty"`
	RecordEntry   uint64        `json:"record_entry,omitempty"`
	Committed     time.Time     `json:"committed,omitzero"` // when that version was logged; zero where our own log does not say
	Standard      name.Standard `json:"standard,omitzero"`
	Fields        []name.Field  `json:"fields"` // of the agreement's text, those that the record had
	// Unread says why the record could not be looked at; Fields are then all that the
	// text lets out.
	Unread string `json:"unread,omitempty"`

	Receipt    *DisclosureReceipt    `json:"receipt,omitempty"`
	Withdrawal *DisclosureWithdrawal `json:"withdrawal,omitempty"`
}

// DisclosureReceipt is what the receiver signed about it; or, with ByCall, what it said by
// a call with a key, which our node alone signed.
type DisclosureReceipt struct {
	At   time.Time `json:"at"`             // as the receiver claims
	Says string    `json:"says"`           // "held", "refused", "received", "deleted" or "replaced"
	Rule string    `json:"rule,omitempty"` // of a refusal
	// Entry is, for what a footprint took in and for what was said by a call, that of our
	// log which keeps its word.
	Entry  uint64 `json:"entry,omitempty"`
	ByCall bool   `json:"by_call,omitempty"`
	Key    string `json:"key,omitempty"` // the id of the key that the call came with
}

// DisclosureWithdrawal is how it was taken back.
type DisclosureWithdrawal struct {
	At      time.Time  `json:"at,omitzero"`
	Entry   uint64     `json:"entry,omitempty"` // of the withdrawal in our log; 0 where the agreement is over
	Reason  string     `json:"reason"`
	AtTerm  bool       `json:"at_term,omitempty"` // it was not taken back: the receiver deleted it, since it may keep it no longer
	Deleted *time.Time `json:"deleted,omitempty"` // when the receiver says it deleted it; nil while it does not
}

// SeenRequest asks what a partner had of a record of ours at an instant.
type SeenRequest struct {
	Partner  string    `json:"partner"`
	Record   string    `json:"record"` // id, or the natural key
	Standard string    `json:"standard,omitempty"`
	At       time.Time `json:"at"` // what was logged before it counts
}

// SeenReply is what a partner had of a record at an instant, by our log and by what the
// partner signed.
type SeenReply struct {
	Record  name.Record  `json:"record"`
	Partner name.Council `json:"partner"`
	At      time.Time    `json:"at"`
	Has     bool         `json:"has"`    // something that was let out was not known to be deleted
	Answer  string       `json:"answer"` // one line
	Under   []Seen       `json:"under"`  // by agreement
}

// Seen is the last that a partner was let have of a record under one agreement.
type Seen struct {
	Disclosure `json:"disclosure"`

	Had   bool   `json:"had"`   // it could see it then
	State string `json:"state"` // in words
	Times int    `json:"times"` // how often something of the record was let out before
}

// DriftRequest asks where the exchange is no longer what the agreements say.
type DriftRequest struct {
	Days int `json:"days,omitempty"` // that are looked at, and as many before them; default 90
}

// DriftReply is, for each agreement that stands and under which we send, what was let out
// and what is to be looked at; and for each under which we hold what others sent, whether
// anybody looked at it.
type DriftReply struct {
	Since      time.Time       `json:"since"`
	Agreements []Drift         `json:"agreements"`
	Received   []DriftReceived `json:"received"`
}

// DriftReceived is one agreement under which we hold what another council sent.
type DriftReceived struct {
	Agreement name.Agreement `json:"agreement"`
	Version   int            `json:"version"`
	From      name.Council   `json:"from"`
	Held      int            `json:"held"`
	LookedAt  int            `json:"looked_at"`           // of those held, in some version, ever
	Last      time.Time      `json:"last_read,omitzero"`  // the day on which somebody looked last; zero: not since days are kept
	Counted   time.Time      `json:"days_since,omitzero"` // from when days are kept; zero: not yet
	// Unread are the fields that nobody looked at since DriftReply.Since, or Counted where that
	// is later; nil where nobody looked at anything.
	Unread   []name.Field `json:"fields_unread,omitempty"`
	Findings []string     `json:"findings,omitempty"` // in words; none where all is as it was
}

// Drift is one agreement.
type Drift struct {
	Agreement name.Agreement `json:"agreement"`
	Version   int            `json:"version"`
	Mode      string         `json:"mode"`
	LetOut    int            `json:"let_out"`        // versions of records, or counts, since
	Before    int            `json:"let_out_before"` // in as many days before
	Last      time.Time      `json:"last,omitzero"`  // when something was let out last, ever
	// Never are the fields that no version let out since had; nil where none was looked
	// at. Examined says how many were.
	Never    []name.Field `json:"fields_never,omitempty"`
	Examined int          `json:"examined"`
	// Idle are the receivers to which nothing was let out since.
	Idle     []name.Council `json:"idle,omitempty"`
	Findings []string       `json:"findings,omitempty"` // in words; none where all is as it was
}

// RefusedRequest asks what was asked for and refused.
type RefusedRequest struct {
	Council name.Council `json:"council,omitempty"` // only what it asked for, or sent
	Since   time.Time    `json:"since,omitzero"`
	Limit   int          `json:"limit,omitempty"` // the newest so many; default 100
}

// What was refused, besides that which the log's entries say: question, copy and record.
const (
	RefusedNearMiss = "near miss" // a question was answered, with nothing
	RefusedDelivery = "delivery"  // something that a partner sent, and we did not take

	RefusedByUs     = "asked of us"
	RefusedFromThem = "sent to us"
)

// RefusedReply is something that was refused.
type RefusedReply struct {
	At        time.Time      `json:"at"` // of what is counted by the hour, its beginning
	Council   name.Council   `json:"council"`
	Direction string         `json:"direction"` // "asked of us" or "sent to us"
	What      string         `json:"what"`
	Rule      string         `json:"rule"` // a code or a rule, never a value
	Agreement name.Agreement `json:"agreement,omitempty"`
	Times     uint64         `json:"times"`
	Entry     uint64         `json:"entry,omitempty"` // in our log; 0 for what is not logged, or not yet: the hour is not over
}
