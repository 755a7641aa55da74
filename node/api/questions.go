package api

import (
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// LookupRequest asks for a record.
type LookupRequest struct {
	Agreement string `json:"agreement"`
	Field     string `json:"field"` // one of the agreement's match fields
	Value     string `json:"value"` // see agreement.Text
	Because   string `json:"because"`
	Case      string `json:"case,omitempty"` // a case reference; needed under mode private-lookup
	// Show asks, under mode private-lookup and where there is a record, to be shown it,
	// which says about whom.
	Show bool `json:"show,omitempty"`
	// Question is the id of a question that was asked before and whose answer did
	// not arrive; "" for a new one.
	Question string `json:"question,omitempty"`
}

// LookupReply is the answer to a question: what was found, which nobody keeps.
type LookupReply struct {
	Agreement name.Agreement `json:"agreement"`
	From      name.Council   `json:"from"`
	By        name.Council   `json:"by"` // who answered: From, or a member of the footprint that it is
	Question  string         `json:"question"`
	Outcome   string         `json:"outcome"`
	Held      bool           `json:"held,omitempty"` // under mode private-lookup: there is a record, which the other council does not know was found
	Records   []RecordReply  `json:"records"`
	Answer    string         `json:"answer"` // the signed event of who answered
	Entry     uint64         `json:"entry"`  // of it in their log
	Size      uint64         `json:"size"`   // of the checkpoint that proves all of it; of a footprint's ledger, the records
	Root      string         `json:"root"`
	Receipt   bool           `json:"receipt"` // ours reached them
}

// LookupListRequest lists questions that were asked or answered here.
type LookupListRequest struct {
	Agreement string `json:"agreement,omitempty"` // only of this agreement
	Limit     int    `json:"limit,omitempty"`     // the newest so many; default 100
}

// QuestionReply is one question as a log has it. The value that was asked by
// stands in no log.
type QuestionReply struct {
	At        time.Time      `json:"at"`
	Direction string         `json:"direction"` // "asked" by us, or "answered" by us
	Agreement name.Agreement `json:"agreement"`
	Partner   name.Council   `json:"partner"`
	For       name.Council   `json:"for,omitempty"` // the footprint it was asked for
	Question  string         `json:"question"`
	Field     string         `json:"field,omitempty"`
	By        []name.Field   `json:"by,omitempty"`
	Because   string         `json:"because"`
	Case      string         `json:"case,omitempty"`
	Outcome   string         `json:"outcome"` // "" while there is no answer
	Records   []name.Record  `json:"records,omitempty"`
	Entry     uint64         `json:"entry"`   // in our log: of the question, or of our answer
	Receipt   bool           `json:"receipt"` // the asker's receipt is held
}

// AggregateRequest asks for counts of records.
type AggregateRequest struct {
	Agreement string   `json:"agreement"`
	By        []string `json:"by,omitempty"`  // fields of the agreement; none counts all together
	Sum       []string `json:"sum,omitempty"` // fields of the agreement whose numbers are summed in each group
	Because   string   `json:"because"`
	Question  string   `json:"question,omitempty"` // see LookupRequest
}

// AggregateReply is the answer: counts that are rounded and lack small groups.
type AggregateReply struct {
	Agreement name.Agreement `json:"agreement"`
	From      name.Council   `json:"from"`
	By        name.Council   `json:"answered_by"` // From, or a member of the footprint that it is
	Question  string         `json:"question"`
	Day       string         `json:"day"`            // the first of the week that they are of, by UTC
	Fields    []name.Field   `json:"by"`             // counted by, in the order asked for
	Sums      []name.Field   `json:"sums,omitempty"` // summed, in the order asked for
	Groups    []Group        `json:"groups"`
	Total     int            `json:"total"`     // of the counts there are
	Threshold int            `json:"threshold"` // groups of fewer are not there
	Rounded   int            `json:"rounded"`   // to the nearest multiple of it
	Counts    string         `json:"counts"`    // the signed event that holds them
	Answer    string         `json:"answer"`    // the signed event of who answered
	Entry     uint64         `json:"entry"`     // of the counts in their log
	Size      uint64         `json:"size"`      // of the checkpoint that proves both
	Root      string         `json:"root"`
	Receipt   bool           `json:"receipt"` // ours reached them
	// With the keys of who counted these prove that both events stand in its log: the signed
	// checkpoint, the entry of Answer, and the hashes of a batch proof, joined.
	Checkpoint  string `json:"checkpoint"`
	AnswerEntry uint64 `json:"answer_entry"`
	Inclusion   []byte `json:"inclusion"`
	// Spent is how many times records were counted this year under the agreement, of
	// Budget.
	Spent  int `json:"spent"`
	Budget int `json:"budget"`
}

// A Group is how many records have the same values.
type Group struct {
	Of    []*string `json:"of"` // the values at the fields counted by, in their order; nil where a record has none
	Count int       `json:"count"`
	Sums  []*int64  `json:"sums,omitempty"` // in the order of the reply's; nil where few records make up most of one
}
