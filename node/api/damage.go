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

// DamagedEntry is an entry of our log that cannot be read.
type DamagedEntry struct {
	Entry  uint64      `json:"entry"`
	Record name.Record `json:"record,omitempty"` // whose newest version it is; "" for an event, an earlier version, or one that is not known
	Lacks  []string    `json:"lacks,omitempty"`  // fields that come from a backup alone: no partner was let have them
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
