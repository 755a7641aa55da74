package api

import (
	"encoding/json"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// StatusReply is the state of the node.
type StatusReply struct {
	// Conditions are what somebody should know of, the gravest first. Nothing in a
	// status matters more.
	Conditions []Condition `json:"conditions"`
	// Halt says why nothing is signed in our own log; nil while all is well.
	Halt *HaltReply `json:"halt,omitempty"`
	// Damage says what of the store is damaged and not served; nil while all is well.
	Damage *DamageReply `json:"damage,omitempty"`

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
	Published  *LogReply        `json:"published,omitempty"` // nil: our log is not published
	Partners   []PartnerReply   `json:"partners,omitempty"`
	Agreements []AgreementReply `json:"agreements,omitempty"`    // not in force, and why
	Refusals   []Refusal        `json:"refusals,omitempty"`      // newest, of all partners
	Shares     []SharePassed    `json:"shares_passed,omitempty"` // what was refused to councils beyond their shares, the most first
	Links      []Link           `json:"links,omitempty"`
	DiskBytes  uint64           `json:"disk_bytes"`
	Backup     *LastBackup      `json:"backup,omitempty"` // nil: none was made, and none is to be
	Directory  DirectoryHealth  `json:"directory"`
}

// A LogReply says what of our log is published, and who has cosigned it.
type LogReply struct {
	Size       uint64          `json:"size"` // entries; 0 for nothing yet
	At         time.Time       `json:"at,omitzero"`
	Wanted     bool            `json:"wanted"` // a witness policy wants cosignatures
	Met        bool            `json:"met"`    // and they are there
	CosignedBy []string        `json:"cosigned_by,omitempty"`
	Witnesses  []PolicyWitness `json:"policy_witnesses,omitempty"`
}

// A PolicyWitness is a witness that the witness policy knows.
type PolicyWitness struct {
	Name     string `json:"name"`          // in the policy
	URL      string `json:"url,omitempty"` // "" for a partner, which cosigns in the exchange
	Cosigned bool   `json:"cosigned"`      // what is published
	Problem  string `json:"problem,omitempty"`
}

// A SharePassed is how often a council was refused something since it had used its share
// of it; docs/quotas.md has the shares.
type SharePassed struct {
	Council name.Council `json:"council"`
	Kind    string       `json:"kind"` // as in docs/quotas.md
	Count   uint64       `json:"count"`
	Last    time.Time    `json:"last"`
	Why     string       `json:"why"` // what became of it
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

// QuarantineReply is one stop of all exchange with a council, or a footprint.
type QuarantineReply struct {
	Council name.Council `json:"council"`
	Active  bool         `json:"active"`
	Since   time.Time    `json:"since"`
	Fault   string       `json:"fault"` // fork, rollback or unproved
	Reason  string       `json:"reason"`
	MetWith string       `json:"met_with,omitempty"` // what the other head came with
	Proven  bool         `json:"proven"`             // the two heads prove it by themselves
	// The sizes and roots of the signed heads: the one we knew, and the one that we
	// met then, of size 0 when none came.
	HeldSize uint64 `json:"held_size"`
	HeldRoot string `json:"held_root,omitempty"`
	ToldSize uint64 `json:"told_size,omitempty"`
	ToldRoot string `json:"told_root,omitempty"`
	Entry    uint64 `json:"entry"` // in our log, that says so

	EndedAt  time.Time `json:"ended_at,omitzero"`
	Because  string    `json:"because,omitempty"`
	Follow   string    `json:"follow,omitempty"`    // the history that is followed since: held or told
	EndEntry uint64    `json:"end_entry,omitempty"` // in our log
}

// AccusationReply is that a council stopped all exchange with us over our own log.
type AccusationReply struct {
	Council name.Council `json:"council"`
	Since   time.Time    `json:"since"`
	Reason  string       `json:"reason"` // in its words
	// Proven: what it showed is signed with our log key and is not of the log that
	// stands here.
	Proven bool `json:"proven"`
}

// LastBackup says of the newest backup of a node when it was made, and which one was last
// verified.
type LastBackup struct {
	Every    int       `json:"every,omitempty"`   // hours; 0 where the node makes none by itself
	Made     time.Time `json:"made,omitzero"`     // zero: none was made
	File     string    `json:"file,omitempty"`    // "" where whoever asked for it keeps it
	Size     uint64    `json:"size,omitempty"`    // of the log then
	Verified time.Time `json:"verified,omitzero"` // when one was last read whole and found good
	Failed   string    `json:"failed,omitempty"`  // why the last did not succeed
}

// HaltReply says why nothing is signed in our own log: this folder may be, or is, an
// old copy of it, or another node speaks with our key.
type HaltReply struct {
	Reason  string         `json:"reason"`            // a sentence
	Behind  bool           `json:"behind"`            // others hold what is not in our log
	Size    uint64         `json:"size"`              // entries here
	Newest  uint64         `json:"newest,omitempty"`  // entries of the longest that others hold
	Waiting []name.Council `json:"waiting,omitempty"` // have not said yet what they hold
	Holders []name.Council `json:"holders,omitempty"` // hold what is not in our log
	Agreed  []name.Council `json:"agreed,omitempty"`  // held it, and agreed that our log begins anew
	// Elsewhere heard another process speak with our key while this one ran.
	Elsewhere []name.Council `json:"elsewhere,omitempty"`
	Lost      int            `json:"lost,omitempty"` // records of ours that were fetched back from holders
}

// ContinueRequest lets our log go on from what stands here.
type ContinueRequest struct {
	Because    string `json:"because"`
	AcceptRisk bool   `json:"accept_risk,omitempty"` // although some have not answered
}

// ContinueReply says which entry of our log notes it.
type ContinueReply struct {
	Entry uint64 `json:"entry"`
}

// LostRequest asks for lost records from a place in our log as it was; a page ends
// within the 500 first or with all of one place.
type LostRequest struct {
	From uint64 `json:"from,omitempty"`
}

// LostReply is a record of ours that is not in our log any more, since the folder was
// set back, and that another council held and gave back.
type LostReply struct {
	Entry    uint64          `json:"entry"` // in our log as it was
	Held     name.Council    `json:"held"`  // by whom
	Record   name.Record     `json:"record"`
	Version  uint64          `json:"version"`
	Standard string          `json:"standard"`
	Deleted  bool            `json:"deleted,omitempty"`
	Withheld int             `json:"withheld"` // fields that it was not given, which are lost
	Body     json.RawMessage `json:"body,omitempty"`
}

// EvidenceReply is a file that stile-audit judges.
type EvidenceReply struct {
	Council  name.Council `json:"council"`
	Evidence []byte       `json:"evidence"`
}

// EndQuarantineRequest lets exchange with a council go on.
type EndQuarantineRequest struct {
	Council string `json:"council"`
	// Follow is "held" when the council has put its log right, so that it goes on
	// from what we knew, and "told" when its log begins anew.
	Follow  string `json:"follow"`
	Because string `json:"because"`
}

// WhyRequest asks why a partner has or lacks a record; see RecordRequest. With From it
// asks of a record that the partner sent us why we hold it, or hold it no more.
type WhyRequest struct {
	From     bool   `json:"from,omitempty"`
	Partner  string `json:"partner"`
	Record   string `json:"record"`
	Standard string `json:"standard,omitempty"`
}

// WhyReply answers why a partner has or lacks a record.
type WhyReply struct {
	Record  name.Record  `json:"record"`
	Partner name.Council `json:"partner"`
	From    bool         `json:"from,omitempty"` // it is the partner's, and we are who has it or not
	Has     bool         `json:"has"`            // it was acknowledged, and its deletion was not
	Had     bool         `json:"had,omitempty"`  // it was, at some time
	Answer  string       `json:"answer"`         // one sentence
	Steps   []WhyStep    `json:"steps"`          // rule by rule
	Fields  []WhyField   `json:"fields,omitempty"`
	Events  []WhyEvent   `json:"events,omitempty"` // what happened, the oldest first
}

// WhyEvent is one thing that happened to the record between the two councils.
type WhyEvent struct {
	At        time.Time      `json:"at,omitzero"` // as who logged it claims
	What      string         `json:"what"`        // in words
	Agreement name.Agreement `json:"agreement,omitempty"`
	Version   uint64         `json:"agreement_version,omitempty"`
	Log       name.Council   `json:"log,omitempty"` // whose log has it at Entry; "" where none has
	Entry     uint64         `json:"entry,omitempty"`
	Fields    []name.Field   `json:"fields,omitempty"` // of what was sent
}

// WhyStep is one rule that was looked at.
type WhyStep struct {
	Agreement name.Agreement `json:"agreement,omitempty"`
	Rule      string         `json:"rule"`
	Past      bool           `json:"past,omitempty"` // of an agreement that is over: whether it held then
	Holds     bool           `json:"holds"`
	Detail    string         `json:"detail,omitempty"`
}

// WhyField is what happens to one field of the record.
type WhyField struct {
	Agreement name.Agreement `json:"agreement,omitempty"`
	Field     string         `json:"field"`
	Sent      bool           `json:"sent"`  // the text lets it out, or did
	State     string         `json:"state"` // then or now: "sent", "would be sent", "was sent", "would have been sent", "withheld", "was withheld"
	Because   string         `json:"because"`
}
