package api

import "time"

// DirectoryReply says what directory the node follows and how it stands.
type DirectoryReply struct {
	Root        string    `json:"root"` // SHA-256 of the newest root, hex
	RootVersion int64     `json:"root_version"`
	Version     int64     `json:"version"` // of the edition; grows with every publication
	State       string    `json:"state"`   // fresh, expiring, expired or empty
	Expires     time.Time `json:"expires,omitzero"`
	Health      string    `json:"health"`         // in a sentence
	Host        bool      `json:"host,omitempty"` // this node publishes it
	Sole        bool      `json:"sole,omitempty"` // it is a directory of one
	Members     int       `json:"members"`
	Ended       int       `json:"ended,omitempty"`
	Standards   int       `json:"standards"`
	Mirrors     []string  `json:"mirrors,omitempty"` // written down when the node joined
	Refused     []string  `json:"refused,omitempty"` // parts of it that were not accepted, and why
	Waiting     []string  `json:"waiting,omitempty"` // roles that wait for signatures, where this node is the host
}

// InviteRequest asks for a code that leads a newcomer to the directory.
type InviteRequest struct {
	Address string `json:"address,omitempty"` // default: this node's own
	Days    int    `json:"days,omitempty"`    // until it expires; default 14
}

// InviteReply is an invite.
type InviteReply struct {
	Code    string    `json:"code"`
	Words   string    `json:"words"` // both sides read them out
	Address string    `json:"address"`
	Expires time.Time `json:"expires"`
}

// JoinRequest follows an invite. What its words are, and that the other side
// has the same, is for a person to see to before.
type JoinRequest struct {
	Code string `json:"code"`
}
