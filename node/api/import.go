package api

import (
	"crypto/sha256"

	"golang.org/x/text/unicode/norm"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// ImportRequest begins an import: rows of one standard, in order, in batches of
// any length.
type ImportRequest struct {
	Standard string `json:"standard"`          // as in PutRequest
	DryRun   bool   `json:"dry_run,omitempty"` // validate only
	Hold     bool   `json:"hold,omitempty"`    // keep refused offers, to be listed and mended
	Run      *Run   `json:"run,omitempty"`     // of the source that the rows come from; see Records.Begin
	Each     bool   `json:"each,omitempty"`    // say of every row what became of it
}

// ImportRow is one row of an import.
type ImportRow struct {
	Row       int    // in the sender's file, from 1
	Reference string // the sender's own; where it is "" the node finds it in the record
	Record    []byte // JSON, as it stands in the file; kept until the row's batch is answered
	Problems  []Problem
}

// ImportReply is what became of one batch: how many rows of each outcome, and
// those that were not taken one by one.
type ImportReply struct {
	Rows      int             `json:"rows"`
	Counts    map[Outcome]int `json:"counts"`
	Withdrawn int             `json:"withdrawn,omitempty"` // from partners, of all rows
	NotTaken  []NotTaken      `json:"not_taken,omitempty"` // in the order of the rows
	Results   []PutResult     `json:"results,omitempty"`   // of every row, where that was asked for
	Keys      []KeyDigest     `json:"-"`                   // of each row; empty of one whose key cannot be read
}

// NotTaken is what became of a row that was refused, or that no verdict came to.
type NotTaken struct {
	At int `json:"at"` // in the batch, from 0
	PutResult
}

// KeyDigest tells a record's key from others without saying it: eight bytes each of
// the key itself, of its twin by [name.KeyTwin], and of its Unicode normalisation
// form C. It is for the sender alone, to tell of a key that stands in a file
// twice or that looks like another.
type KeyDigest struct{ Exact, Twin, NFC [8]byte }

// DigestKey returns the digest of a key's values, strings, numbers and booleans, in the
// standard's order.
func DigestKey(values []any) KeyDigest {
	hash := func(change func(string) string) (d [8]byte) {
		var room [256]byte
		b := room[:0]
		for _, v := range values {
			if s, ok := v.(string); ok {
				v = change(s)
			}
			b = append(strictjson.AppendCanonical(b, v), ',')
		}
		sum := sha256.Sum256(b)
		copy(d[:], sum[:])
		return d
	}
	return KeyDigest{hash(func(s string) string { return s }), hash(name.KeyTwin), hash(norm.NFC.String)}
}
