package api

import (
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// BackupRequest asks for a backup, which is written where it is asked for.
type BackupRequest struct {
	Recipients string `json:"recipients,omitempty"` // public keys of age; "" for those of the configuration
	Keys       bool   `json:"keys,omitempty"`       // of the private keys, instead of the rest of the folder
	Hold       bool   `json:"hold,omitempty"`       // what is to be erased waits until it is written
}

// BackupReply describes a backup that was written.
type BackupReply struct {
	Council name.Council `json:"council"`
	Of      string       `json:"of"`     // folder or keys
	Digest  string       `json:"digest"` // SHA-256 of the file, in hexadecimal
	Bytes   uint64       `json:"bytes"`
	Size    uint64       `json:"size"` // entries of the log, at the checkpoint that it is of
	Root    string       `json:"root"`
	Made    time.Time    `json:"made"`
	// LeftOut are footprints whose replica here cannot be read.
	LeftOut []name.Council `json:"left_out,omitempty"`

	File     string    `json:"file,omitempty"`
	Entry    *uint64   `json:"entry,omitempty"` // of our log that says so; nil where nothing could be signed
	Verified time.Time `json:"verified,omitzero"`
	Pruned   bool      `json:"pruned,omitempty"` // deleted, since there are enough newer ones
	Missing  bool      `json:"missing,omitempty"`
}

// BackupsReply is what a node knows of its backups.
type BackupsReply struct {
	Folder string        `json:"folder,omitempty"` // where it makes them by itself
	Every  int           `json:"every,omitempty"`  // hours
	Tried  time.Time     `json:"tried,omitzero"`   // when it last began one by itself
	Failed string        `json:"failed,omitempty"` // why that did not succeed
	Kept   []BackupReply `json:"kept"`             // oldest first
}
