package api

import (
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// KeyRequest asks for a key with which a system, or a receiver that has no node, may
// call the node's API.
type KeyRequest struct {
	Title string `json:"title"` // what the key is for, in words, of 1 to 100 characters
	// Allow lists scopes, such as read:own:standards.example/housing-need or status; see
	// docs/api.md. A key for a receiver has none.
	Allow []string `json:"allow,omitempty"`
	Days  int      `json:"days,omitempty"` // until it ends; default 90, at most 730
	// Agreement makes it the key of a receiver: for what comes to Receiver under that
	// agreement, and for nothing else.
	Agreement string `json:"agreement,omitempty"`
	Receiver  string `json:"receiver,omitempty"` // may be left out where the agreement has one receiver
}

// KeyReply describes a key. Its secret is in the reply to whoever asked for it to be
// made, and never again.
type KeyReply struct {
	ID        string         `json:"id"`
	Title     string         `json:"title"`
	Allow     []string       `json:"allow,omitempty"`
	Receiver  name.Council   `json:"receiver,omitempty"`
	Agreement name.Agreement `json:"agreement,omitempty"`
	Created   time.Time      `json:"created"`
	Expires   time.Time      `json:"expires"`
	LastUsed  time.Time      `json:"last_used,omitzero"` // to the minute; zero: never
	Revoked   time.Time      `json:"revoked,omitzero"`
	State     string         `json:"state"` // good, expired or revoked
	Secret    string         `json:"secret,omitempty"`
}

// The states of a key.
const (
	KeyGood    = "good"
	KeyExpired = "expired"
	KeyRevoked = "revoked"
)

// KeyIDRequest names a key by its id.
type KeyIDRequest struct {
	ID string `json:"id"`
}

// KeySecretRequest holds a key as a caller shows it.
type KeySecretRequest struct {
	Secret string `json:"secret"`
}
