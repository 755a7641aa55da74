package node

import (
	"encoding/json"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// Offered is one record offered to the node, with the name its sender knows it
// by.
type Offered struct {
	Row       int             `json:"row,omitempty"`       // in the sender's file, from 1
	Reference string          `json:"reference,omitempty"` // the sender's own
	Record    json.RawMessage `json:"record"`
	// Problems say that the sender's reader could not make a record of it; then
	// Record is what it could make, or null, and the offer is refused and counted.
	Problems []Problem `json:"problems,omitempty"`
}

// PutRequest offers records of one standard, in order.
type PutRequest struct {
	Standard string    `json:"standard"` // publisher/name@version, or @major for the newest adopted
	Records  []Offered `json:"records"`
	DryRun   bool      `json:"dry_run,omitempty"` // validate only
	Hold     bool      `json:"hold,omitempty"`    // keep refused offers, to be listed and mended
	Run      *Run      `json:"run,omitempty"`     // of the source that the records come from; see Records.Begin
}

// PutReply says what became of each record, in the order offered.
type PutReply struct {
	Results []PutResult `json:"results"`
}

// PutResult is what became of one offered record. Outcome is empty when it
// was refused, "not judged" when the gate came to no verdict (then the one
// problem says why, and is no fault of the record), and in a dry run "valid".
type PutResult struct {
	Row       int         `json:"row,omitempty"`
	Reference string      `json:"reference,omitempty"`
	Record    name.Record `json:"record,omitempty"`
	Version   uint64      `json:"version,omitempty"`
	Index     uint64      `json:"entry,omitempty"`
	Outcome   Outcome     `json:"outcome,omitempty"`
	Withdrawn int         `json:"withdrawn,omitempty"` // agreements the record left by this change
	Problems  []Problem   `json:"problems,omitempty"`
	// Repeated: it was refused, and so were the very same bytes when the source
	// last offered them.
	Repeated bool `json:"repeated,omitempty"`
}

// An Outcome is what became of a record.
type Outcome string

// The outcomes of a record. All but NotJudged are of one that was taken.
const (
	Created   Outcome = "created"
	Changed   Outcome = "changed"
	Unchanged Outcome = "unchanged"
	Valid     Outcome = "valid"      // in a dry run
	NotJudged Outcome = "not judged" // not taken, and not known to be wrong
)

// RecordRequest names one record: its id, or a standard and the natural key's
// value, or a standard and JSON array of values. From names the council it is
// held from; empty means our own.
type RecordRequest struct {
	Record   string       `json:"record"`             // id, or the natural key
	Standard string       `json:"standard,omitempty"` // needed for a natural key; publisher/name is enough
	From     name.Council `json:"from,omitempty"`
}

// RecordReply is one version of a record.
type RecordReply struct {
	Council   name.Council    `json:"council"`
	Record    name.Record     `json:"record"`
	Reference string          `json:"reference,omitempty"` // what the council that issued it knows it by: the values of the standard's key, parted by spaces; "" when they are not disclosed
	Standard  name.Standard   `json:"standard"`
	Version   uint64          `json:"version"`
	Op        string          `json:"op"`
	Index     uint64          `json:"entry"` // in the issuer's log
	IssuedAt  time.Time       `json:"issued_at"`
	Agreement name.Agreement  `json:"agreement,omitempty"` // under which it is held here; empty for our own
	Withheld  int             `json:"withheld"`            // fields the issuer kept back
	Disclosed []string        `json:"disclosed,omitempty"` // pointers of the fields that were disclosed one by one
	Body      json.RawMessage `json:"body,omitempty"`
	Token     string          `json:"token,omitempty"`
	MadeFrom  name.Record     `json:"made_from,omitempty"` // record of ours that a mapping made it from; only where it is shown alone
	Signature string          `json:"signature"`           // "checked" or "log only": see the word in docs
}

// ListRequest lists records of a standard, a page at a time.
type ListRequest struct {
	Standard string       `json:"standard,omitempty"` // publisher/name, of any version; or with @1 or @1.2.0, of those; empty lists all
	From     name.Council `json:"from,omitempty"`     // held from this council; empty: our own
	Cursor   Cursor       `json:"cursor,omitempty"`
	Limit    int          `json:"limit,omitempty"` // default 100, at most 1000
	Bodies   bool         `json:"bodies,omitempty"`
}

// ListReply is a page of records.
type ListReply struct {
	Records []RecordReply `json:"records"`
	Damaged []string      `json:"damaged,omitempty"` // what was left out because it is damaged on disk
	Cursor  Cursor        `json:"cursor,omitempty"`
}

// HistoryReply is every version of a record, newest first.
type HistoryReply struct {
	Versions []RecordReply `json:"versions"`
}

// DeleteReply says what a deletion did.
type DeleteReply struct {
	Record    name.Record `json:"record"`
	Version   uint64      `json:"version"`
	Withdrawn int         `json:"withdrawn"`
}

// ProofReply is a c2sp.org/tlog-proof file that shows that a record version is
// in the log, and the token it is about.
type ProofReply struct {
	Record  name.Record    `json:"record"`
	Index   uint64         `json:"entry"`
	Token   string         `json:"token"`
	Proof   string         `json:"proof"`
	Witness []name.Council `json:"witnesses"`
}

// StandardReply describes an adopted standard.
type StandardReply struct {
	Name        name.Standard     `json:"name"`
	Title       string            `json:"title"`
	Description string            `json:"description,omitempty"`
	Status      string            `json:"status"`
	Integrity   string            `json:"integrity"`
	Key         []string          `json:"key"`
	Classes     map[string]string `json:"classes,omitempty"`
	Records     int               `json:"records"` // live records of ours
	Source      []string          `json:"source,omitempty"`
	Waived      []string          `json:"waived,omitempty"` // rules of lint that its publisher broke, waived when it was adopted
	// Mappings are the majors whose records can be made into records of it.
	Mappings []int `json:"mappings,omitempty"`
	// Mapped says how records of it are made from those of an older major.
	Mapped *MappedReply `json:"mapped,omitempty"`
}

// AgreementRequest names an agreement, or carries its YAML document.
type AgreementRequest struct {
	Name     string `json:"name,omitempty"`
	Document []byte `json:"document,omitempty"` // YAML
	Version  int    `json:"version,omitempty"`  // 0: the newest
	Reason   string `json:"reason,omitempty"`   // of an end
	Samples  int    `json:"samples,omitempty"`  // of a preview
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
	Waiting  []name.Council    `json:"waiting,omitempty"`  // whose signatures are missing
	Unsent   string            `json:"unsent,omitempty"`   // why a footprint has not got what we have just said
	Document string            `json:"document,omitempty"` // YAML
	Partners []PartnerReply    `json:"partners,omitempty"`
	// Confirmed are the receipts of the footprints that receive.
	Confirmed []ConfirmedReply `json:"confirmed,omitempty"`
}

// PartnerReply is one partner under one agreement: how far the exchange is.
type PartnerReply struct {
	Council     name.Council   `json:"council"`
	Agreement   name.Agreement `json:"agreement"`
	Direction   string         `json:"direction"`         // "to": we send; "from": we receive
	Through     name.Council   `json:"through,omitempty"` // direction to: the footprint that sends, of which we are a member
	InStep      bool           `json:"in_step"`
	Suspended   bool           `json:"suspended,omitempty"` // by a party; Behind says by whom
	Behind      string         `json:"behind,omitempty"`    // because, in words
	Connected   bool           `json:"connected"`
	Offered     int            `json:"offered"`            // records the agreement lets out now
	Held        int            `json:"held"`               // records the receiver holds
	Verified    int            `json:"verified,omitempty"` // direction from: whose own signature was checked; the rest stand on the sender's signed log
	Withheld    int            `json:"withheld,omitempty"` // direction from: fields kept back, over all records; only where asked for
	Refused     int            `json:"refused,omitempty"`
	Outstanding int            `json:"outstanding,omitempty"` // withdrawals not receipted
	OldestHours float64        `json:"oldest_hours,omitempty"`
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
}

// PreviewReply says what an agreement would let out of the records there are.
type PreviewReply struct {
	Name     name.Agreement    `json:"name"`
	Mode     string            `json:"mode"`
	Problems []Problem         `json:"problems,omitempty"` // why it cannot be signed yet
	Records  int               `json:"records"`            // of the standard, looked at
	Matched  int               `json:"matched"`
	Errors   int               `json:"errors,omitempty"` // rows the filter failed on: not sent
	Fields   []FieldCount      `json:"fields"`
	Samples  []json.RawMessage `json:"samples,omitempty"` // rows as the partner would see them
	Widens   []string          `json:"widens,omitempty"`  // against the version in force, in words
}

// FieldCount says how often a field is filled in the matching rows, and
// whether it travels.
type FieldCount struct {
	Field  string `json:"field"`
	Class  string `json:"class"`
	Sent   bool   `json:"sent"`
	Filled int    `json:"filled"`
}

// WhyReply answers why a partner has or lacks a record.
type WhyReply struct {
	Record  name.Record  `json:"record"`
	Partner name.Council `json:"partner"`
	Has     bool         `json:"has"`    // the partner acknowledged it and it was not withdrawn since
	Answer  string       `json:"answer"` // one sentence
	Steps   []WhyStep    `json:"steps"`  // rule by rule
	Fields  []WhyField   `json:"fields,omitempty"`
}

// WhyStep is one rule that was looked at.
type WhyStep struct {
	Agreement name.Agreement `json:"agreement,omitempty"`
	Rule      string         `json:"rule"`
	Holds     bool           `json:"holds"`
	Detail    string         `json:"detail,omitempty"`
}

// WhyField is what happens to one field of the record.
type WhyField struct {
	Agreement name.Agreement `json:"agreement,omitempty"`
	Field     string         `json:"field"`
	Sent      bool           `json:"sent"`
	Because   string         `json:"because"`
}

// StatusReply is the state of the node.
type StatusReply struct {
	// Quarantines are the councils with which all exchange is stopped, because their
	// logs told two histories or were rolled back; Accusations those that say so of
	// our own log. Nothing in a status matters more.
	Quarantines []QuarantineReply `json:"quarantines,omitempty"`
	Accusations []AccusationReply `json:"accusations,omitempty"`

	Council    name.Council     `json:"council"`
	Running    bool             `json:"running"` // answered by a running node; false: read from the folder
	Since      time.Time        `json:"since,omitzero"`
	Version    string           `json:"version"`
	Addresses  []string         `json:"addresses,omitempty"`
	LogSize    uint64           `json:"log_size"`
	LogRoot    string           `json:"log_root"`
	Records    map[string]int   `json:"records"` // live records of ours by standard
	Held       int              `json:"held"`    // offers held back at the gate
	Holdings   int              `json:"holdings"`
	Witnesses  []WitnessReply   `json:"witnesses,omitempty"`
	Partners   []PartnerReply   `json:"partners,omitempty"`
	Agreements []AgreementReply `json:"agreements,omitempty"` // not in force, and why
	Refusals   []Refusal        `json:"refusals,omitempty"`   // newest, of all partners
	Links      []Link           `json:"links,omitempty"`
	DiskBytes  uint64           `json:"disk_bytes"`
	Directory  DirectoryHealth  `json:"directory"`
	Warnings   []string         `json:"warnings,omitempty"`
}

// A Refusal is an entry of a partner's log that this node did not take.
type Refusal struct {
	From      name.Council   `json:"from"`
	Agreement name.Agreement `json:"agreement,omitempty"`
	Index     uint64         `json:"entry"` // log index at the sender
	Pointer   string         `json:"pointer,omitempty"`
	Rule      string         `json:"rule"`
	At        time.Time      `json:"at"`
}

// A Link is a copy that is being made here of what a partner lets us have.
type Link struct {
	Council   name.Council   `json:"council"`
	Agreement name.Agreement `json:"agreement,omitempty"`
	Connected bool           `json:"connected"`
	Live      bool           `json:"live"` // everything there was has been kept
	Problem   string         `json:"problem,omitempty"`
	Since     time.Time      `json:"since,omitzero"` // of the problem
}

// DirectoryHealth says whether the directory is to be relied upon. Exchange
// stops when it has expired; local work goes on.
type DirectoryHealth struct {
	State   string    `json:"state"`            // fresh, expiring (within 14 days), expired or empty
	Expires time.Time `json:"expires,omitzero"` // what expires first
	Days    int       `json:"days"`             // whole days until then
	Text    string    `json:"text"`             // in a sentence
}

// WitnessReply is a partner that has cosigned our log.
type WitnessReply struct {
	Council name.Council `json:"council"`
	Size    uint64       `json:"size"`
}

// BundleRequest asks for an audit bundle. With an agreement it holds what went
// under it and what came back; with records, those; with neither, all records
// of ours of a standard.
type BundleRequest struct {
	Agreement string   `json:"agreement,omitempty"`
	Standard  string   `json:"standard,omitempty"`
	Records   []string `json:"records,omitempty"` // ids
	Full      bool     `json:"full,omitempty"`    // every field, not only the agreed ones; needs no agreement
	// Statement asks for a compliance statement of ours and the records that it
	// was counted from: its id, or "newest", of Standard where that is given.
	Statement string `json:"statement,omitempty"`
	// File is where the node writes the bundle: a new file, named from the root of
	// the disk. Without it the bundle comes in the reply, through memory.
	File string `json:"file,omitempty"`
}

// BundleReply is a .stile file, or says what is in the one that was written.
type BundleReply struct {
	Bundle  []byte `json:"bundle,omitempty"` // nil when it went to a file
	Bytes   uint64 `json:"bytes"`
	Entries int    `json:"entries"`
}

// MemberRequest adds or replaces a member in the directory folder.
type MemberRequest struct {
	Document []byte `json:"document"` // member file, YAML
}

// MemberReply describes a member of the directory.
type MemberReply struct {
	Council   name.Council `json:"council"`
	Title     string       `json:"title,omitempty"`
	GSS       string       `json:"gss,omitempty"`
	Role      string       `json:"role"`
	Addresses []string     `json:"addresses,omitempty"`
	Self      bool         `json:"self,omitempty"`
	Document  string       `json:"document,omitempty"` // member file, YAML
}

// A Held is an offer that was held back at the gate.
type Held struct {
	Standard  name.Standard `json:"standard"`
	Reference string        `json:"reference"` // the sender's own
	At        time.Time     `json:"at"`
	Problems  []Problem     `json:"problems"`
	Offered   []byte        `json:"offered,omitempty"` // the bytes as offered; only where asked for
}

// HeldReply lists offers held back at the gate.
type HeldReply struct {
	Held []Held `json:"held"`
}

// Empty is the request or reply of an operation that has none.
type Empty struct{}
