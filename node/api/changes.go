package api

import (
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// The types of a change. What an agreement's text or a record says is in none of them:
// who may see it reads it.
const (
	ChangePut         = "record.put"         // a version of a record of ours was logged
	ChangeDeleted     = "record.deleted"     // a record of ours was deleted
	ChangeErased      = "record.erased"      // versions of a record of ours were erased for good
	ChangeWithdrawn   = "record.withdrawn"   // a record of ours was taken back from whom an agreement let it go to
	ChangeReceived    = "received.put"       // a council sent versions of records
	ChangeTakenBack   = "received.withdrawn" // a council took records back, and they were deleted here
	ChangeReceivedEnd = "received.ended"     // everything that was held under an agreement was deleted here
	ChangeAgreement   = "agreement.stands"   // how an agreement stands, which may be as before
)

// ChangeTypes returns every type of change.
func ChangeTypes() []string {
	return []string{ChangePut, ChangeDeleted, ChangeErased, ChangeWithdrawn, ChangeReceived, ChangeTakenBack, ChangeReceivedEnd, ChangeAgreement}
}

// ChangesRequest asks for what changed after a place in the feed of changes.
type ChangesRequest struct {
	After string `json:"after,omitempty"` // cursor of an earlier reply or change; "" is the beginning, "now" the end
	Limit int    `json:"limit,omitempty"` // entries of the log that are looked at; default and at most 1000
}

// ChangesReply is a part of the feed.
type ChangesReply struct {
	Changes []FeedChange `json:"changes"`
	Cursor  string       `json:"cursor"` // after all of them, and what was of no interest
	Live    bool         `json:"live"`   // there is nothing more now
}

// A FeedChange is one thing that changed, without any field's value.
type FeedChange struct {
	// Cursor is the place after it. It begins with the position: how many entries our log
	// has with it. A change may come again; its type, position and records are then the
	// same, unless newer versions have come that stand further on.
	Cursor    string          `json:"cursor"`
	Position  uint64          `json:"position"`
	Type      string          `json:"type"`
	At        time.Time       `json:"at"`
	Council   name.Council    `json:"council,omitempty"` // the other one, of received.*
	Agreement name.Agreement  `json:"agreement,omitempty"`
	Version   uint64          `json:"agreement_version,omitempty"`
	Standard  string          `json:"standard,omitempty"` // publisher/name@version of our own records; @major of what was received, and of an agreement
	Records   []ChangedRecord `json:"records,omitempty"`
	// InForce and Why are of agreement.stands.
	InForce bool   `json:"in_force,omitempty"`
	Why     string `json:"why,omitempty"`
}

// A ChangedRecord is one record that a change is about.
type ChangedRecord struct {
	Record  name.Record `json:"record"`
	Version uint64      `json:"version,omitempty"` // of our own
	Entry   uint64      `json:"entry"`             // in the log of whose record it is; of a withdrawal, its own
}

// CheckpointReply is the newest checkpoint of our log: a signed note, with what partners
// cosigned it or an earlier one.
type CheckpointReply struct {
	Origin    string         `json:"origin"`
	Size      uint64         `json:"size"`
	Root      string         `json:"root"` // base64
	Note      string         `json:"note"` // c2sp.org/tlog-checkpoint
	Key       string         `json:"key"`  // c2sp.org/signed-note verifier key
	Witnesses []WitnessReply `json:"witnesses,omitempty"`
}

// EntryRequest names an entry of our log.
type EntryRequest struct {
	Entry uint64 `json:"entry"` // from 0
}

// EntryProofReply proves that an entry stands in our log.
type EntryProofReply struct {
	Entry uint64 `json:"entry"`
	Hash  string `json:"hash"`  // base64 of the 32 bytes that stand in the log
	Proof string `json:"proof"` // c2sp.org/tlog-proof
}
