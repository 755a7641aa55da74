package api

import (
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// FactsRequest asks what our own ledger shows of another council.
type FactsRequest struct {
	Council string `json:"council"`
	Days    int    `json:"days,omitempty"` // to look back, 1 to 3650; default 365
}

// FactsReply is what our own ledger shows of how another council keeps what was agreed: facts
// with how many, when and where to look, and no score.
type FactsReply struct {
	Council     name.Council  `json:"council"`
	Title       string        `json:"title,omitempty"`
	Role        string        `json:"role,omitempty"` // in the directory; "" where it is no member
	MemberSince time.Time     `json:"member_since,omitzero"`
	MemberUntil time.Time     `json:"member_until,omitzero"` // the first day on which it is none any more
	Since       time.Time     `json:"since"`
	Until       time.Time     `json:"until"`
	Facts       []CouncilFact `json:"facts"` // by topic, in the order of FactTopics
}

// The topics of facts, in the order in which they are told.
const (
	FactAgreements = "agreements"
	FactSent       = "sent"
	FactReceived   = "received"
	FactRefusals   = "refusals"
	FactQuestions  = "questions"
	FactLog        = "log"
	FactStandards  = "standards"
)

// FactTopics returns the topics, in the order in which they are told.
func FactTopics() []string {
	return []string{FactAgreements, FactSent, FactReceived, FactQuestions, FactLog, FactRefusals, FactStandards}
}

// What facts are called. A name is never given another meaning.
const (
	FactInForce        = "agreements-in-force"
	FactSuspendedByIt  = "suspended-by-it"       // agreements; Last is when it last did
	FactAwaitsIt       = "waits-for-it"          // proposals that it has not signed, the oldest since First
	FactSigned         = "proposals-signed"      // of ours, with how long it took
	FactHolds          = "holds-of-ours"         // records, by its receipts; it last answered at Last
	FactItRefused      = "refused-of-ours"       // items that it did not take
	FactGivenUp        = "receipts-given-up"     // agreements of which a person stopped waiting for its receipts
	FactReceipted      = "withdrawals-receipted" // with how long it took
	FactLate           = "withdrawals-late"      // receipted more than a day after
	FactOutstanding    = "withdrawals-waiting"   // without a receipt, the oldest since First
	FactHeld           = "held-of-it"            // records here; the last delivery at Last
	FactCountedEqual   = "counted-equal"         // agreements of which what came is what it committed to
	FactCountedDiffers = "counted-differs"       // and of which it is not
	FactUncounted      = "not-committed"         // agreements of which it has not committed to what it sent for more than a day
	FactKeptQuiet      = "kept-quiet"            // versions that it passed on and did not take back, deleted here by the word of who issued them: it had known for a day
	FactWeRefusedIt    = "asked-and-refused"     // by the rule Of
	FactNotTaken       = "sent-and-not-taken"    // by the rule Of
	FactAskedUs        = "asked-us"              // questions, by the outcome Of
	FactWeAsked        = "we-asked"              // questions to it
	FactUnanswered     = "we-asked-no-answer"    // of those, without an answer that verified
	FactLogSize        = "log-seen"              // entries of its log, met first at Last
	FactWeCosigned     = "log-cosigned-by-us"    // at this size
	FactItCosigned     = "our-log-cosigned"      // by it at this size, of Out
	FactStopped        = "exchange-was-stopped"  // for the fault Of, from First to Last
	FactStoppedNow     = "exchange-is-stopped"
	FactForsworn       = "log-not-cosigned" // we cosign it no more: it went on from another history
	FactAccusesUs      = "accuses-our-log"
	FactStates         = "states-records" // in its newest statement of the standard Of
	FactFirstOffers    = "first-offers"   // valid as they came, of Out, by the same statement
)

// FactNames returns what facts are called.
func FactNames() []string {
	return []string{
		FactInForce, FactSuspendedByIt, FactAwaitsIt, FactSigned, FactHolds, FactItRefused, FactGivenUp, FactReceipted,
		FactLate, FactOutstanding, FactHeld, FactCountedEqual, FactCountedDiffers, FactUncounted, FactKeptQuiet, FactWeRefusedIt, FactNotTaken,
		FactAskedUs, FactWeAsked, FactUnanswered, FactLogSize, FactWeCosigned, FactItCosigned, FactStopped, FactStoppedNow, FactForsworn, FactAccusesUs, FactStates, FactFirstOffers,
	}
}

// A CouncilFact is one thing that our ledger shows of another council; where it could have done
// otherwise, also that there is none.
type CouncilFact struct {
	Topic   string    `json:"topic"`
	Name    string    `json:"name"`
	Of      string    `json:"of,omitempty"` // a rule, an outcome, a fault or a standard
	Count   int       `json:"count"`
	Out     int       `json:"out_of,omitempty"`
	First   time.Time `json:"first,omitzero"`
	Last    time.Time `json:"last,omitzero"`
	Newest  bool      `json:"newest_only,omitempty"` // there are more than were read
	Entries []uint64  `json:"entries,omitempty"`     // in our log, the newest first, at most 5

	// Median, Ninety and Longest are how long things took, in seconds: half of them, nine of
	// ten, and all were over within.
	Median  float64 `json:"median_seconds,omitempty"`
	Ninety  float64 `json:"ninety_seconds,omitempty"`
	Longest float64 `json:"longest_seconds,omitempty"`
}

// Took reports whether the fact says how long things took.
func (f CouncilFact) Took() bool { return f.Name == FactReceipted || f.Name == FactSigned }
