package api

import (
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// DamageReply says what of the store is damaged and not served. It is whole: what is not in it is served.
type DamageReply struct {
	Since    time.Time         `json:"since"`
	Text     string            `json:"text"`  // in words, how much
	Files    []string          `json:"files"` // tables of the store that were damaged
	Entries  []DamagedEntry    `json:"entries,omitempty"`
	Holdings []DamagedHolding  `json:"holdings,omitempty"`
	Missing  []MissingHoldings `json:"missing,omitempty"`
	Tree     string            `json:"tree,omitempty"`  // of the log's tree of hashes; nothing is signed while it is not ""
	Notes    []string          `json:"notes,omitempty"` // what else is not known any more
}

// RepairRequest asks to fetch back what is damaged.
type RepairRequest struct {
	// From is the ledger/ folder of another copy of ours, such as one restored from a backup; "" for none. Nobody may have
	// it open.
	From string `json:"from,omitempty"`
	// Key is what that copy is encrypted with, 32 bytes; nil for the key of the node's own ledger.
	Key []byte `json:"key,omitempty"`
	// Settle lets go of the notes of what is not known any more.
	Settle bool `json:"settle,omitempty"`
}

// RepairReply says what was put back, and what is still missing.
type RepairReply struct {
	Restored int            `json:"restored"` // entries of our log
	Sent     int            `json:"sent"`     // records of others that their senders sent again
	Asked    []name.Council `json:"asked,omitempty"`
	Silent   []name.Council `json:"silent,omitempty"` // asked, and did not answer
	Left     *DamageReply   `json:"left,omitempty"`   // nil: nothing is missing any more
}

// DamagedEntry is an entry of our log that cannot be read.
type DamagedEntry struct {
	Entry  uint64      `json:"entry"`
	Record name.Record `json:"record,omitempty"` // whose newest version it is; "" for an event, an earlier version, or one that is not known
	Lacks  int         `json:"lacks,omitempty"`  // fields that come from a backup alone: no partner was let have them
}

// DamagedHolding is a record that another council sent and that cannot be read.
type DamagedHolding struct {
	From      name.Council   `json:"from"`
	Agreement name.Agreement `json:"agreement"`
	Entry     uint64         `json:"entry"` // in its log
	Record    name.Record    `json:"record"`
}

// MissingHoldings are records that another council sent, that are lost, and of which it is not known which they
// are.
type MissingHoldings struct {
	From      name.Council   `json:"from"`
	Agreement name.Agreement `json:"agreement"`
	Records   int            `json:"records"`
}
