package api

import (
	"encoding/json"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// AgreementRequest names an agreement, or carries its YAML document.
type AgreementRequest struct {
	Name     string `json:"name,omitempty"`
	Document []byte `json:"document,omitempty"` // YAML
	Version  int    `json:"version,omitempty"`  // 0: the newest
	Reason   string `json:"reason,omitempty"`   // of an end
	Review   string `json:"review,omitempty"`   // of a renewal: the new date of review
	Samples  int    `json:"samples,omitempty"`  // of a preview
	Counter  string `json:"counter,omitempty"`  // in the place of a version: what this council proposed instead
	// By is the person who has the council sign, suspend, resume, renew or end it: a name, or
	// a pseudonym. It is logged in the event, which the other parties read.
	By string `json:"by,omitempty"`
	// As and Passphrase say at the admin socket, or to a folder that is opened directly, who
	// signs, renews or proposes: a person by id, email address or name. Their name, or
	// pseudonym, is then By.
	As         string `json:"as,omitempty"`
	Passphrase []byte `json:"passphrase,omitempty"`
}

// An ApprovalReply is what the first of two persons said yes to, where the council signs
// when two have.
type ApprovalReply struct {
	Agreement name.Agreement `json:"agreement"`
	Of        string         `json:"of"`     // the digest of a text, "counter-proposal " and one, or "renewal until " and a day
	Person    string         `json:"person"` // the id
	By        string         `json:"by"`     // what they are called where it is logged
	At        time.Time      `json:"at"`
}

// AgreementReply describes one version of an agreement.
type AgreementReply struct {
	Name     name.Agreement    `json:"name"`
	Version  int               `json:"version"`
	Digest   string            `json:"digest"`
	From     name.Council      `json:"from"`
	To       []name.Council    `json:"to"`
	Mode     string            `json:"mode"`
	Standard name.StandardLine `json:"standard"`
	InForce  bool              `json:"in_force"`
	Why      string            `json:"why,omitempty"` // why it is not, in words
	Signed   []name.Council    `json:"signed"`
	Waiting  []name.Council    `json:"waiting,omitempty"` // whose signatures are missing
	Unsent   string            `json:"unsent,omitempty"`  // why a footprint has not got what we have just said
	// Matching is how far the records there were when we signed, as sender, are
	// matched; nil once all are.
	Matching *Matching `json:"matching,omitempty"`
	// Review is the date of review that counts: that of the text, or the latest to
	// which all parties have renewed it. Renewals are what each party said of it last.
	Review   string         `json:"review,omitempty"`
	Renewals []RenewalReply `json:"renewals,omitempty"`
	Ends     string         `json:"ends,omitempty"`
	Kept     string         `json:"kept,omitempty"`     // how long the receiver keeps records, in words
	Document string         `json:"document,omitempty"` // YAML
	// Counters are what receivers propose instead of the newest version, that of the highest
	// version first. In a reply to show and list.
	Counters []CounterReply `json:"counters,omitempty"`
	Partners []PartnerReply `json:"partners,omitempty"`
	// Confirmed are the receipts of the footprints that receive.
	Confirmed []ConfirmedReply `json:"confirmed,omitempty"`
	// Signatures are the signatures under the text, with where each stands, in the order
	// of the parties; those of members of a footprint that is one come last. Log is ours,
	// with the size and root (base64) of its newest checkpoint. In a reply to show alone.
	Signatures []SignedReply `json:"signatures,omitempty"`
	Log        name.Council  `json:"log,omitempty"`
	LogSize    uint64        `json:"log_size,omitempty"`
	LogRoot    string        `json:"log_root,omitempty"`
	// Approval is set where nothing was signed, renewed or proposed yet, because two persons
	// must say yes: what the first has said. In a reply to sign, renew and counter.
	Approval *ApprovalReply `json:"approval,omitempty"`
}

// A SignedReply is a council's signature under an agreement: an event in its log.
type SignedReply struct {
	Council name.Council `json:"council"`
	By      string       `json:"by,omitempty"` // the person, where it was logged
	At      time.Time    `json:"at"`           // as the council says
	Entry   uint64       `json:"entry"`        // of its log, counted from 0
	Event   string       `json:"event"`        // SHA-256 of the signed event, hexadecimal
}

// A CounterReply is what a receiver would sign instead of what was proposed. It binds
// nobody until the sender signs it.
type CounterReply struct {
	Council  name.Council `json:"council"`
	By       string       `json:"by,omitempty"` // the person, where it was logged
	Version  int          `json:"version"`
	Digest   string       `json:"digest"`
	Answers  int          `json:"answers"` // the version that it would take the place of
	At       time.Time    `json:"at"`      // as the council says
	Differs  []string     `json:"differs"` // against that version, in words
	Document string       `json:"document"`
}

// A RenewalReply is a party's word that an agreement goes on as it is until a new date of
// review.
type RenewalReply struct {
	By     name.Council `json:"by"`
	Review string       `json:"review"`
	At     time.Time    `json:"at"`
}

// Matching says how many records were looked at, of how many, about.
type Matching struct {
	Examined int `json:"examined"`
	Of       int `json:"of"`
}

// PartnerReply is one partner under one agreement: how far the exchange is.
type PartnerReply struct {
	Council     name.Council   `json:"council"`
	Agreement   name.Agreement `json:"agreement"`
	Direction   string         `json:"direction"`           // "to": we send; "from": we receive
	Footprint   name.Council   `json:"footprint,omitempty"` // direction to: the footprint that sends, of which we are a member
	InStep      bool           `json:"in_step"`
	Suspended   bool           `json:"suspended,omitempty"` // by a party; Behind says by whom
	Behind      string         `json:"behind,omitempty"`    // because, in words
	Moving      bool           `json:"moving,omitempty"`    // it is behind, and gets on
	Bounded     bool           `json:"bounded,omitempty"`   // as much has gone as the agreement lets go, in all or today
	Full        bool           `json:"full,omitempty"`      // direction to: it keeps nothing, since its disk is nearly full
	Connected   bool           `json:"connected"`
	Offered     int            `json:"offered"`            // records the agreement lets out now
	Held        int            `json:"held"`               // records the receiver holds
	Proved      int            `json:"proved,omitempty"`   // direction from: records held that are proved by the sender's signed log: all of them
	Withheld    int            `json:"withheld,omitempty"` // direction from: fields kept back, over all records; only where asked for
	Refused     int            `json:"refused,omitempty"`
	Outstanding int            `json:"outstanding,omitempty"` // withdrawals not receipted; of what is over, records held
	Erasures    int            `json:"erasures,omitempty"`    // of the withdrawals, those that order an erasure
	// RefusedOrders are the orders to erase that the receiver has refused, at most 20: nothing
	// waits for them, and a person is to look. Refusals is how many there are.
	RefusedOrders []RefusedOrder `json:"refused_orders,omitempty"`
	Refusals      int            `json:"refusals,omitempty"`
	Over          bool           `json:"over,omitempty"` // its version is over, or it has left the directory: all that it holds is outstanding
	OldestHours   float64        `json:"oldest_hours,omitempty"`
	// Kept: the agreement is over since its sender has ended, and what the receiver holds is
	// kept, as it is, until it comes from the successors; nil for any other.
	Kept *KeptReply `json:"kept,omitempty"`
	// AtTerm is how many records the receiver deleted since the time was over for which
	// it may keep them, and AtTermAt when it last did.
	AtTerm   int       `json:"at_term,omitempty"`
	AtTermAt time.Time `json:"at_term_at,omitzero"`
	// Unconfirmed are the members of a footprint that have not confirmed all of
	// the outstanding withdrawals.
	Unconfirmed []name.Council `json:"unconfirmed,omitempty"`
	// BehindEntries is how far behind the receiver is, at most: direction to, in
	// entries of our log; direction from, in records.
	BehindEntries uint64    `json:"behind_entries,omitempty"`
	LastAt        time.Time `json:"last_at,omitzero"`
	// Mode is lookup or aggregate, where nothing is copied and the receiver asks;
	// "" where records are copied. Asked counts, in direction to, the questions of
	// today.
	Mode  string `json:"mode,omitempty"`
	Asked int    `json:"asked,omitempty"`
	// Spent is how many times records were counted this year under the agreement, of
	// CountBudget; both 0 where nothing is counted.
	Spent       int `json:"countings,omitempty"`
	CountBudget int `json:"countings_of,omitempty"`

	// Counted is the newest checkpoint of the agreement for the receiver: direction to,
	// what our log commits to; direction from, what the sender's does, and whether what
	// came is that. Differs is, direction from, the first at which it was not, and stays
	// until one comes at which it is. UncountedSince is, direction from, since when
	// something came that no checkpoint has covered.
	Counted        *CountReply `json:"counted,omitempty"`
	Differs        *CountReply `json:"differs,omitempty"`
	UncountedSince time.Time   `json:"uncounted_since,omitzero"`
}

// RefusedOrder is an order to erase that its receiver has refused.
type RefusedOrder struct {
	Record  name.Record `json:"record"`
	Entry   uint64      `json:"entry"`             // of the order, in our log
	Rule    string      `json:"rule"`              // by which it was refused, in the receiver's words
	Pointer string      `json:"pointer,omitempty"` // the place, where it named one
	At      time.Time   `json:"at"`
}

// A CountReply is a checkpoint of an agreement: so many records, with that root, were
// permitted a receiver when the sender's log had a size.
type CountReply struct {
	Size  uint64 `json:"size"`
	Count uint64 `json:"count"`
	Root  string `json:"root"`            // base64
	Entry uint64 `json:"entry,omitempty"` // of the sender's log, where it says so; direction from
	// By is the member in whose log Entry is instead, of what a footprint sends.
	By name.Council `json:"by,omitempty"`
	At time.Time    `json:"at"` // when it was logged, or compared
	// Direction from: what came, and whether the sender committed to two things of one
	// size.
	Came     uint64 `json:"came,omitempty"`
	CameRoot string `json:"came_root,omitempty"`
	Twice    bool   `json:"twice,omitempty"`
}

// A CountRequest asks that what an agreement of ours permits is counted now and committed
// to in our log, for one receiver or all.
type CountRequest struct {
	Agreement string       `json:"agreement"`
	To        name.Council `json:"to,omitempty"`
}

// An AuditRequest asks that what an agreement of ours permitted is counted again from our
// records.
type AuditRequest struct {
	Agreement string `json:"agreement"`
	All       bool   `json:"all,omitempty"` // every checkpoint, and not the newest for each receiver alone
}

// An AuditReply says of checkpoints of an agreement whether the records bear them out.
type AuditReply struct {
	Agreement   name.Agreement      `json:"agreement"`
	Failed      bool                `json:"failed"` // one of them differs, or something was left out or sent that was not permitted
	Checkpoints []AuditedCheckpoint `json:"checkpoints"`
}

// An AuditedCheckpoint is one checkpoint of an agreement, counted again.
type AuditedCheckpoint struct {
	Entry     uint64          `json:"entry"`        // of our log, or the sender's
	By        name.Council    `json:"by,omitempty"` // the member of a footprint in whose log it is instead
	To        name.Council    `json:"to"`
	Version   int             `json:"version"` // of the agreement
	Size      uint64          `json:"size"`    // of our log
	Committed AuditedSum      `json:"committed"`
	Counted   AuditedSum      `json:"counted"`
	Result    string          `json:"result"` // ok, failed, or not done
	Because   []string        `json:"because,omitempty"`
	Lacks     int             `json:"lacks"`                // permitted, and sent nowhere
	Excess    int             `json:"excess"`               // sent, not permitted, and not taken back
	Erased    int             `json:"erased,omitempty"`     // sent, and erased since
	Lacking   []AuditedRecord `json:"lacking,omitempty"`    // the first 1,000
	Exceeding []AuditedRecord `json:"exceeding,omitempty"`  // the first 1,000
	Gone      int             `json:"gone"`                 // committed to, and not what is permitted any more
	GoneSince []AuditedGone   `json:"gone_since,omitempty"` // the first 1,000
}

// Why a record that was committed to is not what is permitted any more.
const (
	GoneNewer     = "newer version" // another version is in its place
	GoneDeleted   = "deleted"       // by the council whose record it is
	GoneTakenBack = "taken back"    // withdrawn from the receiver
	GoneErased    = "erased"        // body and seed were destroyed
	GoneNotHeld   = "not held"      // of a holder: it refused it, or deleted it at the end of its term
)

// An AuditedGone is a record version that a commitment counts and that has gone since.
type AuditedGone struct {
	Entry   uint64      `json:"entry"`
	Record  name.Record `json:"record"`
	Version uint64      `json:"version,omitempty"` // absent: not known any more
	Why     string      `json:"why"`               // one of the Gone constants
	By      uint64      `json:"by,omitempty"`      // the entry of the council's log that did it
}

// An AuditedSum is a number of records and the root over them.
type AuditedSum struct {
	Count uint64 `json:"count"`
	Root  string `json:"root"` // base64
}

// An AuditedRecord is one version of a record.
type AuditedRecord struct {
	Entry   uint64      `json:"entry"`
	Record  name.Record `json:"record"`
	Version uint64      `json:"version"`
}

// A ConfirmedReply says what all members of a footprint have confirmed.
type ConfirmedReply struct {
	Footprint name.Council   `json:"footprint"`
	Withdrawn int            `json:"withdrawn"` // withdrawals, over all receipts
	Held      int            `json:"held"`      // records taken, over all receipts; each version counts
	Members   []name.Council `json:"members"`   // in the last receipt
	At        time.Time      `json:"at"`        // of the last receipt
	Entry     uint64         `json:"entry"`     // of it in our log
}

// GiveUpRequest stops waiting for the receipts of a council under an agreement.
type GiveUpRequest struct {
	Agreement string `json:"agreement"`
	Council   string `json:"council"`
	Because   string `json:"because"` // logged for good
}

// GiveUpReply says what was waited for.
type GiveUpReply struct {
	Agreement   name.Agreement `json:"agreement"`
	Council     name.Council   `json:"council"`
	Outstanding int            `json:"outstanding"`
	Entry       uint64         `json:"entry"` // of the log, which says so
}

// PreviewReply says what an agreement would let out of the records there are.
type PreviewReply struct {
	Name     name.Agreement    `json:"name"`
	Sender   name.Council      `json:"sender,omitempty"` // of what would come to us; only it can count, so nothing is counted here
	Mode     string            `json:"mode"`
	Problems []Problem         `json:"problems,omitempty"` // why it cannot be signed yet
	Records  int               `json:"records"`            // of the standard, looked at
	Matched  int               `json:"matched"`
	Errors   int               `json:"errors,omitempty"` // rows the filter failed on: not sent
	Fields   []FieldCount      `json:"fields"`
	Samples  []json.RawMessage `json:"samples,omitempty"`  // rows as the partner would see them
	Bounded  string            `json:"bounded,omitempty"`  // how many go to each receiver at most, in words
	Kept     string            `json:"kept,omitempty"`     // how long the receiver would keep them, in words
	Subjects string            `json:"subjects,omitempty"` // what the parties tell each other for a person who asks, in words
	Origin   string            `json:"origin,omitempty"`   // whose records travel, where they are not the sender's own, in words
	Onward   string            `json:"onward,omitempty"`   // what a receiver may pass on, in words
	// Where what was received is passed on, Records are those held under the origin. Then
	// Unsigned of them have no signature of their own council by itself and do not go on,
	// HeldBack says what the earlier agreements keep back, and Nothing why nothing goes on at
	// all, in words; then none is matched.
	Unsigned int      `json:"unsigned,omitempty"`
	HeldBack []string `json:"held_back,omitempty"`
	Nothing  string   `json:"passes_nothing,omitempty"`
	People   string   `json:"by_people,omitempty"` // what of that only people can do
	Widens   []string `json:"widens,omitempty"`    // against the version in force, in words
	// Impact says what each receiver gains or loses against the version that stands, of the
	// records there are now; at the sender alone, and where both are of one standard.
	Impact []ImpactReply `json:"impact,omitempty"`
}

// An ImpactReply is what one receiver gains and loses when a new version of an agreement
// takes the place of the one that stands.
type ImpactReply struct {
	Council name.Council  `json:"council"`
	Against int           `json:"against"` // the version that stands
	Before  int           `json:"before"`  // records under that
	After   int           `json:"after"`   // records under the new one
	Gained  int           `json:"gained"`  // records under the new one alone
	Lost    int           `json:"lost"`    // records under the other alone
	Fields  []FieldImpact `json:"fields,omitempty"`
}

// A FieldImpact says in how many records a receiver gains or loses a field, those records
// that it gains or loses as a whole included.
type FieldImpact struct {
	Field  string `json:"field"`
	Class  string `json:"class"`
	Gained int    `json:"gained,omitempty"`
	Lost   int    `json:"lost,omitempty"`
}

// FieldCount says how often a field is filled in the matching rows, and
// whether it travels.
type FieldCount struct {
	Field  string `json:"field"`
	Class  string `json:"class"`
	Sent   bool   `json:"sent"`
	Filled int    `json:"filled"`
}
