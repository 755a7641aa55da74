package api

import (
	"encoding/json"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// CollectRequest asks for a page of what goes to a receiver that has no node.
type CollectRequest struct {
	Agreement string       `json:"agreement"`
	Receiver  name.Council `json:"receiver"`
	Cursor    Cursor       `json:"cursor,omitempty"` // "" goes on after the last receipt; see Whole
	Whole     bool         `json:"whole,omitempty"`  // without a cursor: from the beginning
}

// CollectReply is a page of what an agreement lets out, and of what it takes back. That
// it was let out is in our log before it is in anybody's hands.
type CollectReply struct {
	Agreement name.Agreement    `json:"agreement"`
	Version   int               `json:"agreement_version"`
	Standard  name.StandardLine `json:"standard"`
	Suspended bool              `json:"suspended,omitempty"` // the agreement is: what is taken back comes, and nothing else
	Items     []Collected       `json:"items"`
	Cursor    Cursor            `json:"cursor"` // say it in the receipt, and go on from it
	Live      bool              `json:"live"`   // there is no more now
	Damaged   int               `json:"damaged,omitempty"`
}

// Collected is one record that was let out, or taken back.
type Collected struct {
	Record    name.Record     `json:"record"`
	Withdrawn bool            `json:"withdrawn,omitempty"` // delete it
	Version   uint64          `json:"version,omitempty"`
	Standard  string          `json:"standard,omitempty"`
	IssuedAt  time.Time       `json:"issued_at,omitzero"`
	Entry     uint64          `json:"entry"` // in the sender's log
	Withheld  int             `json:"withheld,omitempty"`
	Body      json.RawMessage `json:"body,omitempty"`
	Token     string          `json:"token,omitempty"` // SD-JWT with what is disclosed
}

// CollectReceipt says that a receiver has everything up to a cursor: it keeps what was let
// out and has deleted what was taken back.
type CollectReceipt struct {
	Agreement string       `json:"agreement"`
	Receiver  name.Council `json:"receiver"`
	Cursor    Cursor       `json:"cursor,omitempty"`
	Held      int          `json:"held"`              // records that it holds now
	Deleted   bool         `json:"deleted,omitempty"` // the agreement is over, and it has deleted everything
}

// SignatureReply is our signature under an agreement, as a file for a council that is not
// exchanged with.
type SignatureReply struct {
	Name      name.Agreement `json:"name"`
	Version   int            `json:"version"`
	Digest    string         `json:"digest"`
	Council   name.Council   `json:"council"`
	Signature []byte         `json:"signature"` // the signed event, a JWS
	// Approval is set, and Signature empty, where another person must say yes first.
	Approval *ApprovalReply `json:"approval,omitempty"`
}

// SignatureRequest brings such a file.
type SignatureRequest struct {
	Signature []byte `json:"signature"`
}
